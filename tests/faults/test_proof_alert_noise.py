"""A replayed quarter with a holiday, half days and a change of the clock: nobody is told for nothing."""

from __future__ import annotations

from proof.alert_noise import PLANTED, run
from proof.suite import Size


def test_in_a_quarter_that_ran_well_no_alert_is_false_and_no_message_is_a_second_one():
    told = run(Size(points=60, seed=1), lambda _: None)

    assert told.violations == ()
    assert (told.points, told.parts["false alerts"], told.parts["duplicate messages"]) == (60, 0, 0)
    assert told.parts["looks"] > 4_000
    assert told.is_planted_bug_caught, PLANTED
