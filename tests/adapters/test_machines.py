"""Store, fills and approvals as machines: small walks, the bug planted for each, and the suite as a whole."""

from __future__ import annotations

import pytest

from proof.machines import KINDS, run
from proof.suite import Size
from proof.walks import walk

CHANCE = 20130228


@pytest.mark.parametrize("name", KINDS)
def test_a_machine_keeps_its_promises_whatever_is_asked_of_it(name):
    walked = walk(KINDS[name].machine, examples=10, steps=20, chance=CHANCE)

    assert walked.broke == ""
    assert walked.steps > 100


def test_the_suite_walks_every_machine_and_each_finds_the_bug_planted_for_it():
    told = run(Size(points=160, seed=CHANCE, workers=1), lambda _: None)

    assert (told.violations, told.is_planted_bug_caught) == ((), True)
    assert set(told.parts) == {*KINDS, "log"}
    assert told.points == sum(told.parts.values()) > 50
