"""Which of Dagster's record files can be read, as far as a short look tells, without Dagster.

Dagster itself is resources/run_records.py, which takes a second to import. A look reads the beginning of a
file and holds its length against what is written there; pages in the middle of a long one are not read.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable
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
PATIENCE_S = 0.2
"""How long a look waits for whoever holds a file locked."""
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
    unseen: dict[Path, str] = {}
    shared = _states_of([home / name for name in SHARED], unseen)
    runs = _states_of([file for file in _run_files(home, unseen) if file not in shared], unseen)
    newest = sorted(runs, key=lambda file: runs[file].st_mtime)[-NEWEST_RUNS:]
    shared_looks = {file: _look_at(file, state, is_filled=True) for file, state in shared.items()}
    run_looks = {file: _look_at(file, runs[file], is_filled=False) for file in newest}
    unseen |= {file: look.unseen for file, look in (shared_looks | run_looks).items() if look.unseen}
    return RunFilesSeen(
        looked_at=sum(not look.unseen for look in (*shared_looks.values(), *run_looks.values())),
        files=len(shared) + len(runs),
        shared_faults={file: look.fault for file, look in shared_looks.items() if look.fault},
        run_faults={file: look.fault for file, look in run_looks.items() if look.fault},
        unseen=unseen,
    )


def _run_files(home: Path, unseen: dict[Path, str]) -> list[Path]:
    """Return what is in the folder of the runs; a folder that cannot be listed goes to `unseen`."""
    folder = home / "history" / "runs"
    try:
        # A pattern of Path's would take a folder without permission for an empty one.
        return [file for file in folder.iterdir() if file.suffix == ".db"]
    except FileNotFoundError:
        return []
    except OSError as error:
        unseen[folder] = _why(error)
        return []


def _states_of(files: Iterable[Path], unseen: dict[Path, str]) -> dict[Path, os.stat_result]:
    """Return size and time of each file that is there; those that cannot be asked go to `unseen`.

    Asked once a file: Dagster removes a run's file whenever somebody deletes the run.
    """
    states: dict[Path, os.stat_result] = {}
    for file in files:
        try:
            state = file.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            unseen[file] = _why(error)
            continue
        if stat.S_ISREG(state.st_mode):
            states[file] = state
    return states


def _look_at(file: Path, state: os.stat_result, *, is_filled: bool) -> _Look:
    """Return whether a file can be read; `is_filled` where one without tables is damaged."""
    is_at_rest = not _companions(file)
    look = _read(file, state.st_size, is_filled=is_filled, is_at_rest=is_at_rest)
    if not look.fault and not look.unseen:
        return look
    try:
        now = file.stat()
    except OSError:
        # It was deleted meanwhile.
        return _Look()
    is_changed = (now.st_mtime_ns, now.st_size) != (state.st_mtime_ns, state.st_size)
    if is_at_rest and (is_changed or _companions(file)):
        # Somebody began to write, whom a look without locks does not see: what it found proves nothing.
        return _Look()
    return look


def _read(file: Path, size: int, *, is_filled: bool, is_at_rest: bool) -> _Look:
    # Where nobody is at work SQLite need not share the file: else a look leaves a log and its index behind.
    address = read_only_address(file) + ("&immutable=1" if is_at_rest else "")
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE_S)) as connection:
            # SQLite holds the length that the file claims against the one it has, whatever is asked first.
            tables = connection.execute("select name, sql from sqlite_master").fetchall()
            if is_filled and not tables:
                return _Look(fault="holds no table")
            if size > WHOLE_BYTES_MAX:
                return _Look()
            answer = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    except UNREADABLE as error:
        return _look_of(error)
    return _Look(fault="" if answer == "ok" else answer.replace("\n", " "))


def _companions(file: Path) -> list[str]:
    """Return the files that say that somebody writes, or was ended while writing."""
    return [name for end in ("-wal", "-journal") if os.path.lexists(name := f"{file}{end}")]


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__


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
