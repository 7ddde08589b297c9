"""Which of Dagster's record files can be read, as far as a short look tells, without Dagster.

Dagster itself is resources/run_records.py, which takes a second to import. A look reads the beginning of a
file and holds its length against what is written there; pages in the middle of a long one are not read.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from resources.journal.looking import UNREADABLE, read_only_address

SHARED = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""The files that every run and every page of Dagster needs; each run has one of its own besides."""
NEWEST_RUNS = 12
"""How many runs' own files are looked at, those changed last."""
WHOLE_BYTES_MAX = 500_000
"""A file of at most this size is read whole."""
AT_WORK = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
"""What SQLite answers where somebody else is at work: that is no damage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilesSeen:
    """Hold how many files were looked at of how many, and why one cannot be read, by its path."""

    looked_at: int
    files: int
    shared_faults: dict[Path, str]
    run_faults: dict[Path, str]


def run_files_seen(home: Path) -> RunFilesSeen:
    """Look at the record files below Dagster's folder; none there is nothing wrong."""
    shared = [file for name in SHARED if (file := home / name).is_file()]
    runs = [file for file in (home / "history" / "runs").glob("*.db") if file not in shared]
    newest = sorted(runs, key=lambda file: file.stat().st_mtime)[-NEWEST_RUNS:]
    return RunFilesSeen(
        looked_at=len(shared) + len(newest),
        files=len(shared) + len(runs),
        shared_faults={file: why for file in shared if (why := _fault_of(file, is_filled=True))},
        run_faults={file: why for file in newest if (why := _fault_of(file, is_filled=False))},
    )


def _fault_of(file: Path, *, is_filled: bool) -> str:
    """Return why a file cannot be read, or nothing; `is_filled` where one without tables is damaged."""
    try:
        with closing(sqlite3.connect(read_only_address(file), uri=True)) as connection:
            # SQLite holds the length that the file claims against the one it has, whatever is asked first.
            tables = connection.execute("select name, sql from sqlite_master").fetchall()
            if is_filled and not tables:
                return "holds no table"
            if file.stat().st_size > WHOLE_BYTES_MAX:
                return ""
            answer = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    except UNREADABLE as error:
        # What the driver itself finds wrong has no number of SQLite's.
        return "" if getattr(error, "sqlite_errorcode", 0) & 0xFF in AT_WORK else str(error)
    return "" if answer == "ok" else answer.replace("\n", " ")
