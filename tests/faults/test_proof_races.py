"""Racing processes: one order an intent, whoever is first, stopped or killed, with a lock and without one."""

from __future__ import annotations

import signal

import pytest

from proof.postgres_server import PostgresServer
from proof.races import DECIDED, Racer, Round, caught_in, decide, ended_otherwise, plan_of, race, started
from trading.brokers import DedupScope

SEED = 20130228


@pytest.fixture(scope="module")
def at():
    with started() as at:
        yield at


@pytest.fixture(scope="module")
def server():
    with PostgresServer() as server:
        decide(server.create(DECIDED))
        yield server


@pytest.mark.parametrize("is_on_postgres", [False, True], ids=["SQLite", "PostgreSQL"])
def test_whoever_races_an_intent_becomes_one_order(at, server, is_on_postgres):
    rounds = range(SEED, SEED + 4)
    found = [race(server, at, Round(seed, is_on_postgres=is_on_postgres)) for seed in rounds]

    assert [violation for each in found for violation in each.violations] == []
    assert {plan_of(seed).has_lock for seed in rounds} == {True, False}


@pytest.mark.parametrize(
    ("status", "given", "is_told"),
    [
        (0, 0, False),
        (0, signal.SIGKILL, False),
        (signal.SIGKILL, signal.SIGKILL, False),
        (signal.SIGKILL, 0, True),
        (signal.SIGALRM, signal.SIGKILL, True),
        (signal.SIGSEGV, signal.SIGSTOP, True),
        (1 << 8, 0, True),
    ],
)
def test_a_racer_that_waits_for_ever_or_ends_by_itself_is_told(status, given, is_told):
    racer = Racer(signal=given, at=1, after_ms=0, stopped_ms=0)

    assert bool(ended_otherwise(status, racer)) is is_told


def test_a_claim_without_compare_and_set_is_found_as_two_orders_of_one_id(at, server):
    seed = caught_in(at, server, SEED)

    assert seed is not None
    assert (plan_of(seed).has_lock, plan_of(seed).scope) == (False, DedupScope.NONE)
