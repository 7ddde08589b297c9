"""A replayed quarter with holidays, a storm and a change of the clock: nobody is told for nothing."""

from __future__ import annotations

from proof.alert_noise import PLANTED, run
from proof.suite import Size


def test_in_a_quarter_no_alert_is_false_or_missing_no_message_is_a_second_one_and_planted_bugs_are_found():
    told = run(Size(points=60, seed=1), lambda _: None)

    assert told.violations == ()
    assert told.is_planted_bug_caught, PLANTED
    assert told.points == 60
    assert told.parts["us_five: looks"] > 2_000
    assert told.parts["us_five: false alerts"] == "0 of 1"
    assert told.parts["us_five with 10 faults: missing alerts"] == "0 of 11"
    assert told.parts["us_five at a tenth of the thresholds: false alerts"] == "0 of 6"
    assert told.parts["us_five at a tenth of the thresholds: duplicate messages"] == "0 of 82"
