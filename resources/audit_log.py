"""The audit log: the journal's events as JSON lines in a file that people can keep a copy of.

A projection, never ahead of the database and always a byte prefix of its export. What a line says and how
the chain is checked is trading/audit.py.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from trading.audit import BadEntry, line_of, verify
from trading.errors import JournalError
from trading.journal import Journal, JournalEvent

BATCH = 1_000
"""Events read from the journal at a time."""

_TAIL = 65_536
"""Bytes read at a time from the end of the file, to find its last line."""


def project(journal: Journal, path: Path) -> int:
    """Append the events that the file does not have yet, and sync it; returns how many.

    A torn last line is cut off first. Raises `JournalError` where the file's last line is not the
    journal's event of that number: then the file is not of this journal, or one of the two was changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    appended = 0
    with path.open("a+b") as log:
        # Two runs may end at once: the second waits, and finds the first one's lines.
        fcntl.flock(log, fcntl.LOCK_EX)
        _heal(log)
        last = _last_line(log)
        seq = 0 if last is None else _checked(journal, path, last)
        for event in _events_after(journal, seq):
            log.write(line_of(event).encode() + b"\n")
            appended += 1
        log.flush()
        os.fsync(log.fileno())
    if is_new:
        _sync_folder(path.parent)
    return appended


class AuditFile:
    """Keep one journal's log file up to date; a `trading.audit.AuditLog`."""

    def __init__(self, journal: Journal, path: Path) -> None:
        """Name the journal and its file."""
        self._journal = journal
        self._path = path

    def project(self) -> int:
        """Append the events that the file does not have yet; return how many."""
        return project(self._journal, self._path)


def check(path: Path) -> BadEntry | None:
    """Return the first entry of a log file that does not hold, or `None`; a missing file holds nothing."""
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="\n") as log:
        return verify(log)


def _events_after(journal: Journal, seq: int) -> Iterator[JournalEvent]:
    while batch := journal.events(after=seq, limit=BATCH):
        yield from batch
        seq = batch[-1].seq


def _heal(log: BinaryIO) -> None:
    """Cut off what a crash left after the last whole line."""
    end = log.seek(0, os.SEEK_END)
    at = end
    while at > 0:
        start = max(0, at - _TAIL)
        log.seek(start)
        newline = log.read(at - start).rfind(b"\n")
        if newline >= 0:
            at = start + newline + 1
            break
        at = start
    if at != end:
        log.truncate(at)


def _last_line(log: BinaryIO) -> bytes | None:
    end = log.seek(0, os.SEEK_END)
    if end == 0:
        return None
    tail = b""
    at = end
    while at > 0 and tail.count(b"\n", 0, -1) == 0:
        start = max(0, at - _TAIL)
        log.seek(start)
        tail = log.read(at - start) + tail
        at = start
    return tail[:-1].rpartition(b"\n")[2]


def _checked(journal: Journal, path: Path, last: bytes) -> int:
    """Return the sequence number of the file's last line, after comparing it with the journal's event."""
    try:
        seq = int(json.loads(last)["seq"])
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(
            f"audit log {path}: its last line is no event; keep it and name another path"
        ) from error
    stored = journal.events(after=seq - 1, limit=1)
    if not stored or line_of(stored[0]).encode() != last:
        raise JournalError(
            f"audit log {path}: its last line (event {seq}) is not the journal's; the file belongs to another"
            " journal, or one of them was changed: verify the log, keep both, and name another path"
        )
    return seq


def _sync_folder(folder: Path) -> None:
    """Make a new file's name as durable as its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
