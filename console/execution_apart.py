"""Start the execution of a session from a process that goes on serving: through the web server, or apart.

It imports nothing of the graph. The verb that runs it in its own process is console/launcher.py; starting
twice is harmless, since what may execute is the journal's say.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from console.desk import Desk
from console.serving import address, launch_job, serving_port
from trading.errors import TradingError

BOOK_TAG, PARTITION_TAG = "trading/book", "dagster/partition"
LOG = "runs.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Hold how something was started: `graphql`, `process`, or `not` with the reason in `message`."""

    how: str
    run_id: str
    message: str


def start_execution(desk: Desk, book: str, session: date) -> Started:
    """Start the execute job of a session at once; what a person said stands whatever comes of it."""
    control = desk.journal.run_control()
    if control.kill_switch_on:
        return Started(
            how="not", run_id="", message=f"halted by {control.actor}; resume, and run the session again"
        )
    port = serving_port(desk.settings)
    why_apart = ""
    if port is not None:
        tags = {BOOK_TAG: book, PARTITION_TAG: session.isoformat()}
        try:
            run_id = launch_job(port, f"{book}__execute", tags)
            return Started(how="graphql", run_id=run_id, message=f"{address(port)}/runs/{run_id}")
        except (OSError, TradingError) as error:
            # Apart then. Had the server taken it after all, both would run, and the journal sends once.
            why_apart = f"; the web server did not take it: {error}"
    words = ("run-once", "--book", book, "--session", session.isoformat(), "--phase", "execute")
    return _started(desk, words, why_apart)


def start_reconciling(desk: Desk, book: str) -> Started:
    """Have the broker asked for all that is open of a book, in a process of its own."""
    return _started(desk, ("reconcile", "--book", book))


def _started(desk: Desk, words: Sequence[str], why_apart: str = "") -> Started:
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
    shown = Path(log.parent.name) / log.name
    return Started(how="process", run_id="", message=f"trading {' '.join(words)}; log: {shown}{why_apart}")
