"""A hostile model does nothing but make orders smaller: a small size of what `make prove` covers."""

from __future__ import annotations

from proof.hostile import KINDS, run
from proof.suite import Size


def test_a_hostile_model_only_makes_orders_smaller_and_a_believer_is_found_out():
    points = 10 * len(KINDS)
    covered = []
    told = run(Size(points=points, seed=20130228), covered.append)

    assert told.violations == ()
    assert told.is_planted_bug_caught
    assert covered[-1] == points == told.points
    # Each question ended somewhere: as advice, by the transport, by the envelope and by the reply.
    assert sum(told.parts.values()) == points
    assert {"answered", "half_reply", "envelope_not_json", "reply_unknown_symbol"} <= set(told.parts)
