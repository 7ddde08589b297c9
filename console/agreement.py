"""Do the stores belong together: is this the journal that the audit log and the lake's decisions came from.

A quick look, for `status` and `doctor`, at what a deleted, restored or swapped journal or lake leaves behind.
Every row and byte is compared in verify.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from console.desk import Desk
from console.incidents import incidents_of
from console.ledgers import damaged_ledgers, lost_ledgers
from resources.audit_paths import checkpoints_of, keys_of
from resources.ledger_paths import ledgers_in
from trading.audit import AuditLog, Tell, tell_nobody
from trading.findings import CHAIN_BROKEN
from trading.journal import JournalEvent, SessionRecord

OF_A_SETTLED = ("opening_book", "market_quotes", "decisions", "positions")
"""Tables of which a settled session has left some, whoever settled it."""

_FIRST_EVENTS = 1_000
"""Events among which one of a book is looked for; nobody stops an empty desk so often."""

_TAIL_BYTES = 65_536
"""Bytes read at a time from the end of the log, to find its last line."""


def disagreements(desk: Desk) -> tuple[str, ...]:
    """Return how journal, audit log and lake fall short of each other, and which ledgers are damaged or gone.

    Empty where they belong together. A log that lags is none, nor is a lake of a session that is not settled
    yet: the next run adds what is missing. Raises `JournalUnavailable` where the journal cannot be read, or
    is gone.
    """
    return (
        *_behind_its_log(desk),
        *_behind_the_lake(desk),
        *lost_tables(desk),
        *damaged_ledgers(desk),
        *lost_ledgers(desk).values(),
    )


def why_nothing(desk: Desk) -> str:
    """Return that nothing was ever done in a profile, and where; empty where any store tells of something.

    A journal that holds no more than that trading was stopped tells of nothing: whoever halts in a wrong
    folder has made one there. Raises `JournalUnavailable` where the journal cannot be read, or is gone.
    """
    settings = desk.settings
    log = settings.audit_log
    is_there = desk.journal.exists
    is_told = (
        any(_size_of(path) for path in (log, checkpoints_of(log)))
        or any(ledgers_in(settings.profile_dir).glob("*.db"))
        or (is_there and _has_told(desk.journal.events(after=0, limit=_FIRST_EVENTS)))
        or any(desk.lake.tables(book) for book in desk.books)
    )
    if is_told:
        return ""
    # A journal may be in a server, and a lake anywhere.
    journal = f"{'no session in' if is_there else 'no'} journal {desk.journal.name}"
    return f"no audit log or paper ledger below {settings.profile_dir}, {journal}, no lake {desk.lake.root}"


def why_unlogged(desk: Desk) -> str:
    """Return that a desk has settled sessions and no audit log, and what to do; empty where it has one.

    Until a session is executed there need be none: a halt of a new desk is told in it by the next run.
    Raises `JournalUnavailable` where the journal cannot be read, or is gone.
    """
    if any(_size_of(path) for path in (desk.audit_log, checkpoints_of(desk.audit_log))):
        return ""
    settled = [desk.journal.last_settled(book=book, lane=desk.lane) for book in desk.books]
    if not any(settled):
        return ""
    # Signatures take a tenth of a second to import.
    from resources.audit_keys import has_key

    follows = (
        "all is halted next, since the key that signed is there"
        if has_key(keys_of(desk.audit_log))
        else "the next run begins them anew, and nothing tells what was signed before"
    )
    return (
        f"the audit log {desk.audit_log} is missing with what was signed of it, though sessions are settled: "
        f"put both back; else {follows}"
    )


def lost_tables(desk: Desk) -> Iterator[str]:
    """Give each book whose last settled session has no table in the lake any more, with what to do."""
    for name in desk.books:
        settled = desk.journal.last_settled(book=name, lane=desk.lane)
        if settled is not None and (lost := lost_of(desk, settled)):
            yield lost


def lost_of(desk: Desk, settled: SessionRecord) -> str:
    """Return that the lake has nothing of a settled session, and what to do; empty where it has."""
    book, day = settled.book, settled.session
    if any(desk.lake.has_table(book, asset, day.isoformat()) for asset in OF_A_SETTLED):
        return ""
    return (
        f"the lake has no table of {book} {day}, which is settled: put it back; where that session alone is "
        f"gone, `trading run-once --book {book} --session {day}` tells it again"
    )


def log_to_resume_on(desk: Desk, tell: Tell = tell_nobody) -> AuditLog:
    """Return the audit log as whoever resumes looks at it: read whole where it is what halted trading.

    Else its end is looked at, as whoever executes does. Raises `JournalError` where it cannot be read,
    `BadSetting` for an unusable key.
    """
    # Signatures take a tenth of a second to import.
    from resources.audit_log import AuditFile

    log = AuditFile(desk.journal, desk.audit_log)
    # Not by the halt in force: who halts by hand during such a halt ends nothing of it.
    is_its_halt = any(row.kind == CHAIN_BROKEN and row.is_open for row in incidents_of(desk))
    return log.read_whole(tell) if is_its_halt else log


def _behind_its_log(desk: Desk) -> Iterator[str]:
    path = desk.audit_log
    try:
        last = _last_event(path)
    except ValueError as error:
        yield f"the audit log {error}"
        return
    if last is None:
        if _size_of(path) == 0 < _size_of(checkpoints_of(path)):
            yield "the audit log is missing or empty, and was signed: put it back, or all is halted next"
        elif why := why_unlogged(desk):
            yield why
        return
    seq, told = last
    stored = desk.journal.events(after=seq - 1, limit=1)
    if stored and stored[0].hash == told:
        return
    if not stored:
        yield f"the journal is behind its audit log, which tells of {seq} events: it is an older copy"
    else:
        yield f"event {seq} of the audit log is not the journal's: one of them is another's, or was changed"


def _behind_the_lake(desk: Desk) -> Iterator[str]:
    for name in desk.books:
        partition = desk.lake.latest_partition(name, "decisions")
        if not partition:
            continue
        latest = date.fromisoformat(partition)
        record = desk.journal.session_record(book=name, lane=desk.lane, session=latest)
        if record is None or record.decided_at is None:
            yield f"the lake has decisions of {name} {latest}, of which the journal knows nothing"


def _has_told(first: Sequence[JournalEvent]) -> bool:
    """Say whether a journal, by its first events, tells of a book, and not just of run control."""
    return len(first) == _FIRST_EVENTS or any(event.book for event in first)


def _size_of(path: Path) -> int:
    """Return how many bytes a file has, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _last_event(path: Path) -> tuple[int, str] | None:
    """Return number and hash of the last whole line of a log, `None` where it has none.

    Raises `ValueError` that says what ails it, where it cannot be read or that line tells of no event.
    """
    try:
        line = _last_line(path)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    if not line:
        return None
    try:
        entry = json.loads(line)
        return int(entry["seq"]), str(entry["hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("ends with a line that tells of no event") from error


def _last_line(path: Path) -> bytes:
    """Return the last line of a file that has its end, empty where there is none."""
    if not path.exists():
        return b""
    with path.open("rb") as log:
        start = log.seek(0, os.SEEK_END)
        held = b""
        while start > 0:
            step = min(start, _TAIL_BYTES)
            start -= step
            log.seek(start)
            held = log.read(step) + held
            whole = held[: held.rfind(b"\n") + 1]
            if whole.count(b"\n") > 1 or (whole and start == 0):
                return whole.rstrip(b"\n").rpartition(b"\n")[2]
    return b""
