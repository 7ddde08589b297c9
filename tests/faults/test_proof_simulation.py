"""The seeded simulation: it finds what is planted, it finds nothing else, and a seed is one world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proof import simulation
from proof.simulation import (
    PLANTS,
    TWO_ORDERS,
    LockKind,
    Profile,
    but_of_a_liar,
    caught_at,
    lock_of,
    profile_of,
    run,
    simulate,
    templates,
)
from proof.suite import Size
from trading.invariants import INV1, Violation

ROOT = Path(__file__).resolve().parents[2]
SEED = 20130228
EVERY_KIND_OF_WORLD = len(Profile) * len(LockKind) * len(simulation.SHAPES)


@pytest.fixture(scope="module")
def made():
    with templates() as made:
        yield made


@pytest.fixture(scope="module")
def ground(made):
    ground = made.ground()
    yield ground
    ground.close()


def test_every_kind_of_world_keeps_the_promise(ground):
    worlds = [simulate(SEED + number, ground) for number in range(EVERY_KIND_OF_WORLD)]

    assert [world.violations for world in worlds if world.violations] == []
    happened = sum((world.counts for world in worlds), worlds[0].counts)
    assert {f"profile {profile}" for profile in Profile} <= set(happened)
    assert happened["ended executed"] > EVERY_KIND_OF_WORLD // 2, "hardly anything was ever traded"


def test_the_suite_finds_what_is_planted_and_tells_what_it_covered():
    told = run(Size(points=len(Profile), seed=SEED, workers=1), lambda _: None)

    assert (told.points, told.violations, told.is_planted_bug_caught) == (len(Profile), (), True)
    assert told.parts["profile liar"] == 1


@pytest.mark.parametrize("name", [name for name, plant in PLANTS.items() if plant.shows == TWO_ORDERS])
def test_two_orders_of_an_id_at_a_broker_that_never_remembers_are_found_as_such(made, name):
    plant = PLANTS[name]
    seed = caught_at(plant, made, SEED)

    assert seed is not None
    assert (profile_of(seed), lock_of(seed)) == (Profile.FORGETS, LockKind.NONE)
    ground = made.ground()
    assert simulate(seed, ground).violations == ()
    with plant.planted() as options:
        broken = simulate(seed, ground, **options).violations
    ground.close()
    assert [each for each in broken if f"{INV1} ta-" in each and TWO_ORDERS in each]


def test_the_bugs_that_double_an_order_are_planted():
    assert {plant.planted for plant in PLANTS.values() if plant.shows == TWO_ORDERS} == {
        simulation.claims_without_comparing,
        simulation.sends_again_after_absence,
    }


def test_a_liar_is_forgiven_its_second_order_and_nothing_that_is_the_journals():
    doubled = {"order-1", "intent-1"}
    its_own = [Violation(name, "order-1", "two orders") for name in ("INV1", "INV3", "INV4", "INV5")]
    others = [
        Violation("INV7", "intent-1", "a row that no event made"),
        Violation("INV13", "order-1", "other bytes"),
        Violation("INV1", "order-2", "two orders"),
    ]

    assert but_of_a_liar([*its_own, *others], doubled) == tuple(others)


def test_a_seed_is_the_same_world_in_any_process(ground):
    here = simulate(SEED, ground)
    told = [
        subprocess.run(
            [sys.executable, "-m", "proof.simulation", str(SEED)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for hash_seed in ("1", "2")
    ]

    assert told[0] == told[1] == [*here.story, here.digest]
    assert simulate(SEED + 1, ground).digest != here.digest
