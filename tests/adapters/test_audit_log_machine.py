"""The audit log as a machine, at a small size of what `make prove` walks."""

from __future__ import annotations

import pytest

from proof.log_machine import _unhealed, walked
from resources.journal.store import SqlJournal


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "journal.db"
    SqlJournal(f"sqlite:///{path}").close()
    return path


def test_the_log_keeps_its_promises_whatever_happens_to_its_projections(template):
    assert walked(template, examples=12, steps=25, chance=1) == ""


def test_a_projection_that_heals_nothing_is_found_out(template):
    assert "AssertionError" in walked(template, examples=30, steps=25, chance=1, how=_unhealed)
