"""A changed audit log is found, however it was changed: a small size of what `make prove` covers."""

from __future__ import annotations

from proof import tampering
from proof.suite import Size
from proof.tampering import TAMPERINGS, run


def test_every_kind_of_tampering_is_found_and_a_blind_verifier_is_found_out():
    points = 10 * len(TAMPERINGS)
    covered = []
    told = run(Size(points=points, seed=20130228), covered.append)

    assert told.violations == ()
    assert told.is_planted_bug_caught
    assert told.parts == dict.fromkeys(TAMPERINGS, 10)
    assert covered[-1] <= points == told.points


def test_a_verifier_that_lets_nothing_pass_is_not_taken_for_one_that_is_blind(monkeypatch):
    monkeypatch.setattr(tampering, "BLIND", {tampering._product: frozenset({"rewrite"})})
    told = run(Size(points=1, seed=20130228), lambda _: None)

    assert told.violations == ()
    assert not told.is_planted_bug_caught
