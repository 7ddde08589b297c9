"""The same partition launched twice at once: one order an intent, whoever is first."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.graph.desk import FIRST, PROJECT, Desk, failure_of

LAUNCHES = 2

IN_PROCESSES = """
import os
import sys
from datetime import date
from pathlib import Path
from tests.graph.desk import Desk, failure_of

state, told, session, launches = sys.argv[1:]
warm = Desk(Path(told) / "warm")
warm.definitions
gate, opener = os.pipe()
for number in range(int(launches)):
    if os.fork() == 0:
        desk = Desk(Path(state))
        desk.definitions
        os.close(opener)
        os.read(gate, 1)
        result = desk.run("execute", date.fromisoformat(session))
        (Path(told) / str(number)).write_text(repr(failure_of(result)))
        os._exit(0)
os.close(opener)
for _ in range(int(launches)):
    os.wait()
"""
"""Builds the graph once and runs a session in forks that are let go at the same moment."""


def launched_together(state, what):
    """Run a job for the first session from threads at once, each with a Dagster of its own."""
    start = Barrier(LAUNCHES)
    # The log is one for a process: it is the desk's here, not that of whichever run began or ended last.
    desks = [Desk(state, ports={"journal": lambda profiled: profiled.journal}) for _ in range(LAUNCHES)]

    def launch(desk):
        start.wait()
        return failure_of(desk.run(what, FIRST))

    try:
        for desk in desks:
            assert desk.definitions
            assert desk.journal
        with ThreadPoolExecutor(LAUNCHES) as pool:
            return list(pool.map(launch, desks))
    finally:
        for desk in desks:
            desk.close()


def assert_one_order_an_intent(desk, reference):
    assert desk.sent() == reference.sent()
    orders = desk.journal.orders(**desk.where(FIRST))
    assert len(orders) == len({order.intent_id for order in orders}) == len(desk.sent())
    assert desk.journal.incidents() == []


def test_a_decided_session_executed_twice_at_once_sends_each_order_once(whole_session, desk):
    assert desk.run("decide", FIRST).success

    told = launched_together(desk.settings.state_dir, "execute")

    assert ("", "") in told, told
    for stage, words in told:
        assert stage in {"", "executions"}
        assert not words or "executes for" in words, words
    assert_one_order_an_intent(desk, whole_session[0])


def test_a_whole_session_started_twice_at_once_ends_as_by_one(whole_session, desk):
    told = launched_together(desk.settings.state_dir, "session")

    again = desk.run("session", FIRST)

    assert failure_of(again) == ("", ""), told
    assert_one_order_an_intent(desk, whole_session[0])
    # A report may have been written while the other run was in between: what stands at the end counts.
    assert desk.outcome() == whole_session[0].outcome()


def test_two_processes_that_execute_at_once_send_each_order_once(whole_session, desk, tmp_path):
    assert desk.run("decide", FIRST).success
    (folder := tmp_path / "told").mkdir()
    asked = (desk.settings.state_dir, folder, FIRST, LAUNCHES)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_PROCESSES, *map(str, asked)], cwd=PROJECT, check=True
    )
    told = [(folder / str(number)).read_text("utf-8") for number in range(LAUNCHES)]

    assert "('', '')" in told, told
    assert_one_order_an_intent(desk, whole_session[0])
