"""The same partition launched twice at once: one order an intent, whoever is first."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.graph.desk import FIRST, PROJECT, Desk, failure_of

LAUNCHES = 2

IN_A_PROCESS = """
import sys
from datetime import date
from pathlib import Path
from tests.graph.desk import Desk, failure_of

desk = Desk(Path(sys.argv[1]))
desk.definitions
print("ready", flush=True)
sys.stdin.readline()
result = desk.run("execute", date.fromisoformat(sys.argv[2]))
print(failure_of(result))
"""


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


def test_two_processes_that_execute_at_once_send_each_order_once(whole_session, desk):
    assert desk.run("decide", FIRST).success
    command = [sys.executable, "-W", "ignore", "-c", IN_A_PROCESS]
    processes = [
        subprocess.Popen(
            [*command, str(desk.settings.state_dir), str(FIRST)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(LAUNCHES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate()[0].strip().splitlines()[-1] for process in processes]

    assert "('', '')" in told, told
    assert_one_order_an_intent(desk, whole_session[0])
