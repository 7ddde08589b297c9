"""Start what follows a person's word from a server: at once, in another process, and without waiting for it.

Dagster's web server launches the run where one is up; else a command of ours does, as a person would at a
terminal. Whatever starts it, what may execute is the journal's say. The command line starts its own runs by
launcher.py.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from console.desk import Desk
from console.serving import address, launch_job, serving_port
from trading.errors import TradingError

BOOK_TAG, PARTITION_TAG = "trading/book", "dagster/partition"
"""What a run is tagged with, as jobs/session_jobs.py and Dagster read it."""

LOG = "runs.log"
"""What started commands say, in the console's folder of the profile."""


class How(StrEnum):
    """Say where something was started: nowhere, in Dagster's web server, or as a command of ours."""

    NOT = "not"
    GRAPHQL = "graphql"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Hold how something was started, and in words; `run_id` is known where Dagster's server runs it."""

    how: How
    told: str
    run_id: str = ""


StartExecution = Callable[[Desk, str, date], Started]
"""Starts the execution of a book's session, and says how."""

StartReconciling = Callable[[Desk, str], Started]
"""Has the broker asked for all that is open of a book, and says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Hold how a server starts what follows."""

    execution: StartExecution
    reconciling: StartReconciling


def start_execution(desk: Desk, book: str, session: date) -> Started:
    """Start the execution of a session; where that fails, what a person decided stands and waits."""
    control = desk.journal.run_control()
    if control.kill_switch_on:
        told = f"not started: halted by {control.actor}; resume, and run the session again"
        return Started(how=How.NOT, told=told)
    port = serving_port(desk.settings)
    if port is not None:
        try:
            tags = {BOOK_TAG: book, PARTITION_TAG: session.isoformat()}
            run_id = launch_job(port, f"{book}__execute", tags)
            told = f"started in Dagster as run {run_id[:8]} ({address(port)})"
            return Started(how=How.GRAPHQL, told=told, run_id=run_id)
        except (OSError, TradingError):
            # Had it been taken after all, both would run, and the journal sends once.
            return _executed_apart(desk, book, session)
    return _executed_apart(desk, book, session)


def start_reconciling(desk: Desk, book: str) -> Started:
    """Have the broker asked for all that is open of a book; what was recorded stands whatever comes of it."""
    _run_apart(desk, "reconcile", "--book", book)
    told = "the broker is asked by a process of its own; what it says shows up here within seconds"
    return Started(how=How.PROCESS, told=told)


STARTS = Starts(execution=start_execution, reconciling=start_reconciling)


def _executed_apart(desk: Desk, book: str, session: date) -> Started:
    _run_apart(desk, "run-once", "--book", book, "--session", session.isoformat(), "--phase", "execute")
    told = "started in a process of its own; the order shows up here within seconds"
    return Started(how=How.PROCESS, told=told)


def _run_apart(desk: Desk, *words: str) -> None:
    """Run a verb in a process that outlives the server: an executor is not ended in the middle of a send."""
    log = desk.settings.profile_dir / "console" / LOG
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "console", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Somebody has to wait for it, or it stays in the table of processes.
    threading.Thread(target=process.wait, daemon=True).start()
