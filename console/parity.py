"""Whether sessions decided live are the same when they are decided again from their record.

How one is compared is trading/recorded.py; the graph asks the same after each session. Reads the lake and the
journal, and changes nothing. The journal is asked first which sessions were decided: what cannot be looked at
is never told as the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from console.desk import Desk
from console.journal_pages import require_whole_pages
from console.render import counted
from resources.profiles import Profiled
from resources.session_records import LakeSessionRecords
from trading.decisions import DecisionRow
from trading.errors import BadInput, LakeError
from trading.intents import Intent
from trading.live_comparison import Comparison, DecidedLive, compared_with_live
from trading.recorded import Relived, relived
from trading.replaying import ReplayFile

ALL_SESSIONS = 10**9
UNKNOWN_TO_JOURNAL = (
    "the lake has decisions of it, of which the journal knows nothing; `trading verify` tells more"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Hold what was compared in one book, and the sessions that are not the same."""

    book: str
    sessions: int
    differing: tuple[Relived, ...]


class Decided(NamedTuple):
    """Hold the sessions to compare, ascending, and those of which the journal knows the decisions."""

    asked: tuple[date, ...]
    kept: frozenset[date]


def parity_of(desk: Desk, *, book: str | None, session: date | None) -> tuple[Parity, ...]:
    """Return how one session, or every decided one, compares with itself decided again, by book.

    Raises `BadInput` for a session in which nothing was decided, `JournalUnavailable` and `LakeError` where
    one of the two stores cannot be looked at.
    """
    require_whole_pages(desk)
    profiled = Profiled(desk.settings)
    found = tuple(
        _book_parity(desk, profiled, outline.name, first=session, last=session)
        for outline in desk.chosen(book)
    )
    if session is not None and not any(one.sessions for one in found):
        raise BadInput(f"{session}: nothing was decided in it; `trading status` names the sessions there are")
    return found


def parity_in(desk: Desk, *, book: str, first: date | None, last: date | None) -> Parity:
    """Return how the sessions of a book that were decided within a range compare; `None` leaves it open."""
    return _book_parity(desk, Profiled(desk.settings), book, first=first, last=last)


def beside_live(
    desk: Desk, *, book: str, replay: str, first: date | None, last: date | None
) -> Comparison | None:
    """Return how a replay compares with what was decided live in its sessions; `None` for a light one."""
    profiled = Profiled(desk.settings)
    lake = profiled.lake
    files, _ = lake.read_rows((book, "replays"), replay, ReplayFile)
    _, replayed = profiled.replay_stores[book].read(files)
    live = []
    decided = _decided_in(desk, _records(desk, profiled, book), book, first=first, last=last)
    for session in decided.asked:
        settled = lake.pointer((book, "positions"), str(session))
        live.append(
            DecidedLive(
                session=session,
                intents=lake.read_rows((book, "intents"), str(session), Intent)[0],
                decisions=lake.read_rows((book, "decisions"), str(session), DecisionRow)[0],
                equity_micros=int(settled.extra["equity_micros"]) if settled else None,
            )
        )
    return compared_with_live(replayed, live)


def diff_live(profiled: Profiled, records: LakeSessionRecords, *, book: str, session: date) -> Relived:
    """Return how a session of a book compares with itself decided again: what `--diff live` asks."""
    return relived(
        session,
        config=profiled.books[book],
        lane=profiled.settings.profile.value,
        calendar=profiled.calendars[book],
        windows=profiled.windows[book],
        records=records,
    )


def _book_parity(
    desk: Desk, profiled: Profiled, book: str, *, first: date | None, last: date | None
) -> Parity:
    records = _records(desk, profiled, book)
    decided = _decided_in(desk, records, book, first=first, last=last)
    compared = [
        diff_live(profiled, records, book=book, session=one)
        if one in decided.kept
        else Relived(one, is_same=False, difference=None, detail=UNKNOWN_TO_JOURNAL)
        for one in decided.asked
    ]
    return Parity(
        book=book, sessions=len(compared), differing=tuple(one for one in compared if not one.is_same)
    )


def _records(desk: Desk, profiled: Profiled, book: str) -> LakeSessionRecords:
    return LakeSessionRecords(lake=profiled.lake, journal=desk.journal, book=book, lane=desk.lane)


def _decided_in(
    desk: Desk, records: LakeSessionRecords, book: str, *, first: date | None, last: date | None
) -> Decided:
    """Return the sessions that either store says were decided in a range.

    Raises `JournalUnavailable` where the journal cannot be asked, `LakeError` where the lake has nothing of
    those that it knows.
    """
    kept = frozenset(
        record.session
        for record in desk.journal.sessions(book=book, lane=desk.lane, last=ALL_SESSIONS)
        if record.decided_at is not None
    )
    stored = frozenset(records.decided_sessions())
    if kept and not stored:
        raise LakeError(
            f"the lake {desk.lake.root} has no decisions of {book}, of which the journal has "
            f"{counted(len(kept), 'decided session')}: nothing can be compared; put the lake back, or name "
            "it with TRADING_LAKE_ROOT"
        )
    asked = tuple(
        session
        for session in sorted(kept | stored)
        if (first is None or first <= session) and (last is None or session <= last)
    )
    return Decided(asked, kept)
