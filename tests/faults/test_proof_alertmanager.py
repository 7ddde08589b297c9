"""A few of the histories that `make prove` tells by ours and by a real Alertmanager."""

from __future__ import annotations

import pytest

from proof.alertmanager import run
from proof.suite import NotRun, Size

HISTORIES = 40


def test_ours_groups_repeats_inhibits_and_silences_as_a_real_alertmanager_does():
    try:
        told = run(Size(points=HISTORIES, seed=1), lambda _: None)
    except NotRun as reason:
        pytest.skip(str(reason))

    assert told.violations == ()
    assert told.parts["equal"] > HISTORIES * 3 / 4
    assert told.is_planted_bug_caught
