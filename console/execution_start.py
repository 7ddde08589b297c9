"""Start the execution of a session from a server: at once, in another process, and without waiting for it.

Dagster's web server launches the run where one is up; else a command of ours does, as a person would at a
terminal. Whatever starts it, what may execute is the journal's say. The command line starts its own runs by
launcher.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from console.desk import Desk
from console.serving import address, launch_job, serving_port
from trading.errors import TradingError

BOOK_TAG, PARTITION_TAG = "trading/book", "dagster/partition"
"""What a run is tagged with, as jobs/session_jobs.py and Dagster read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Hold how an execution was started, in words; `run_id` is known where Dagster's server runs it."""

    told: str
    run_id: str = ""


StartExecution = Callable[[Desk, str, date], Started]
"""Starts the execution of a book's session, and says how."""


def start_execution(desk: Desk, book: str, session: date) -> Started:
    """Start the execution of a session; where that fails, what a person decided stands and waits."""
    control = desk.journal.run_control()
    if control.kill_switch_on:
        return Started(told=f"not started: halted by {control.actor}; resume, and run the session again")
    port = serving_port(desk.settings)
    if port is not None:
        try:
            tags = {BOOK_TAG: book, PARTITION_TAG: session.isoformat()}
            run_id = launch_job(port, f"{book}__execute", tags)
            told = f"started in Dagster as run {run_id[:8]} ({address(port)})"
            return Started(told=told, run_id=run_id)
        except (OSError, TradingError):
            # Had it been taken after all, both would run, and the journal sends once.
            return _started_here(book, session)
    return _started_here(book, session)


def _started_here(book: str, session: date) -> Started:
    asked = ("run-once", "--book", book, "--session", session.isoformat(), "--phase", "execute")
    subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "console", *asked],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Started(told="started in a process of its own; the order shows up here within seconds")
