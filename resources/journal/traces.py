"""What beside a journal tells that it had events: its audit log, the log's checkpoints, paper ledgers.

A journal that is gone, or empty in its own place, would read like a desk on which nothing was ever done, and
what were stored in it would hide the loss. The reader and the store ask here; nothing is made or changed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from resources.audit_paths import checkpoints_of
from resources.journal.looking import UNREADABLE, read_only_address, told
from resources.ledger_paths import ledgers_in
from trading.errors import JournalUnavailable

_HAS_ORDERS = "select exists (select 1 from orders)"
_NOT_BEGUN = "no such table"
"""What SQLite says of a ledger whose maker has not got as far as its tables."""


def trace_of_events(log: Path | None) -> str:
    """Return what tells of events that a journal had, empty where nothing does.

    `log` is its audit log, in the profile's folder. None of these is ever ahead of the journal: who saw no
    event there, asks this and looks there once more, finds the events of one that is only being begun.
    """
    if log is None:
        return ""
    folder = ledgers_in(log.parent)
    for path in (log, checkpoints_of(log), folder):
        if path.is_symlink() and not path.exists():
            # As of a disk that is not there: what it led to may tell of events.
            return f"{path} leads nowhere"
    if any(path.exists() and path.stat().st_size for path in (log, checkpoints_of(log))):
        return "its audit log tells of what was done"
    return next(filter(None, map(_orders_in, sorted(folder.glob("*.db")))), "")


def lost(name: str, trace: str) -> JournalUnavailable:
    """Return what to raise of a journal that is gone, or has no events while a trace tells of some."""
    return JournalUnavailable(
        f"journal {name}: is missing or empty, but {trace}: orders may be open;"
        " restore the last copy, do not trade (docs/how-to/copy_and_restore.md)"
    )


def _orders_in(ledger: Path) -> str:
    """Say that a paper broker's ledger has orders, or that nobody can know; empty where it has none."""
    try:
        if not ledger.stat().st_size:
            return ""
    except OSError as error:
        # As a link to a disk that is not there: what it led to may have orders.
        return f"the paper broker's ledger {ledger} cannot be read ({error.strerror})"
    is_at_rest = not _is_written(ledger)
    try:
        has_orders = _has_orders(ledger, is_at_rest=is_at_rest)
        if not has_orders and is_at_rest and _is_written(ledger):
            # Somebody began to write, whom a look without locks does not see.
            has_orders = _has_orders(ledger, is_at_rest=False)
    except UNREADABLE as error:
        return (
            ""
            if _NOT_BEGUN in str(error)
            else f"the paper broker's ledger {ledger} cannot be read ({told(error)})"
        )
    return f"the paper broker's ledger {ledger} has orders" if has_orders else ""


def _has_orders(ledger: Path, *, is_at_rest: bool) -> bool:
    # Where nobody is at work SQLite need not share the file: else a look leaves a log and its index behind.
    address = read_only_address(ledger) + ("&immutable=1" if is_at_rest else "")
    with closing(sqlite3.connect(address, uri=True)) as connection:
        return bool(connection.execute(_HAS_ORDERS).fetchone()[0])


def _is_written(ledger: Path) -> bool:
    """Say whether somebody writes a ledger, or was ended while writing."""
    return any(os.path.lexists(f"{ledger}{end}") for end in ("-wal", "-journal"))
