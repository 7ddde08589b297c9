"""Which of Dagster's record files can be read, as far as a short look tells, without Dagster.

Dagster itself is resources/run_records.py, which takes a second to import. A look reads the beginning of a
file and holds its length against what is written there; pages in the middle of a long one are not read.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from resources.journal.looking import UNREADABLE, is_undecodable, read_only_address

SHARED = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""The files that every run and every page of Dagster needs; each run has one of its own besides."""
NEWEST_RUNS = 12
"""How many runs' own files are looked at, those changed last."""
WHOLE_BYTES_MAX = 500_000
"""A file of at most this size is read whole."""
AT_WORK = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""What SQLite answers where somebody else is at work."""
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""What SQLite answers where a file is damaged; every other answer says nothing of what is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilesSeen:
    """Hold how many files were looked at of how many, and why one is damaged or stays unseen, by its path."""

    looked_at: int
    files: int
    shared_faults: dict[Path, str]
    run_faults: dict[Path, str]
    unseen: dict[Path, str]


class _Look(NamedTuple):
    """Hold what ails a file, or why it could not be looked at; both are empty where it can be read."""

    fault: str = ""
    unseen: str = ""


def run_files_seen(home: Path) -> RunFilesSeen:
    """Look at the record files below Dagster's folder; none there is nothing wrong."""
    shared = [file for name in SHARED if (file := home / name).is_file()]
    runs = [file for file in (home / "history" / "runs").glob("*.db") if file not in shared]
    newest = sorted(runs, key=lambda file: file.stat().st_mtime)[-NEWEST_RUNS:]
    shared_looks = {file: _look_at(file, is_filled=True) for file in shared}
    run_looks = {file: _look_at(file, is_filled=False) for file in newest}
    unseen = {file: look.unseen for file, look in (shared_looks | run_looks).items() if look.unseen}
    return RunFilesSeen(
        looked_at=len(shared) + len(newest) - len(unseen),
        files=len(shared) + len(runs),
        shared_faults={file: look.fault for file, look in shared_looks.items() if look.fault},
        run_faults={file: look.fault for file, look in run_looks.items() if look.fault},
        unseen=unseen,
    )


def _look_at(file: Path, *, is_filled: bool) -> _Look:
    """Return whether a file can be read; `is_filled` where one without tables is damaged."""
    try:
        with closing(sqlite3.connect(read_only_address(file), uri=True)) as connection:
            # SQLite holds the length that the file claims against the one it has, whatever is asked first.
            tables = connection.execute("select name, sql from sqlite_master").fetchall()
            if is_filled and not tables:
                return _Look(fault="holds no table")
            if file.stat().st_size > WHOLE_BYTES_MAX:
                return _Look()
            answer = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    except UNREADABLE as error:
        return _look_of(error)
    return _Look(fault="" if answer == "ok" else answer.replace("\n", " "))


def _look_of(error: sqlite3.Error | UnicodeDecodeError) -> _Look:
    # What the driver itself finds wrong has no number of SQLite's.
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF in AT_WORK:
        return _Look()
    if code & 0xFF in DAMAGED or is_undecodable(error):
        return _Look(fault=str(error))
    if code == sqlite3.SQLITE_READONLY_ROLLBACK:
        return _Look(unseen="a write was cut short, which the next process of Dagster takes back")
    return _Look(unseen=str(error))
