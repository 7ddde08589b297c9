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
    assert walked(template, examples=12, steps=25, chance=1).broke == ""


def test_a_projection_that_heals_nothing_is_found_out(template):
    assert walked(template, examples=30, steps=25, chance=1, how=_unhealed).is_held_broken


def test_a_projection_that_only_fails_is_no_bug_that_the_machine_found(template):
    def fails(*_):
        raise TypeError("a plant that does not fit any more")

    found = walked(template, examples=5, steps=25, chance=1, how=fails)

    assert "TypeError" in found.broke
    assert not found.is_held_broken
