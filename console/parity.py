"""Whether sessions decided live are the same when they are decided again from their record.

How one is compared is trading/recorded.py; the graph asks the same after each session. Reads the lake and the
journal, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from console.desk import Desk
from resources.profiles import Profiled
from resources.session_records import LakeSessionRecords
from trading.decisions import DecisionRow
from trading.errors import BadInput
from trading.intents import Intent
from trading.live_comparison import Comparison, DecidedLive, compared_with_live
from trading.recorded import Relived, relived
from trading.replaying import ReplayFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Hold what was compared in one book, and the sessions that are not the same."""

    book: str
    sessions: int
    differing: tuple[Relived, ...]


def parity_of(desk: Desk, *, book: str | None, session: date | None) -> tuple[Parity, ...]:
    """Return how one session, or every decided one, compares with itself decided again, by book.

    Raises `BadInput` for a session in which nothing was decided.
    """
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
    for session in _decided_in(_records(desk, profiled, book), first=first, last=last):
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
    asked = _decided_in(records, first=first, last=last)
    compared = [diff_live(profiled, records, book=book, session=one) for one in asked]
    return Parity(
        book=book, sessions=len(compared), differing=tuple(one for one in compared if not one.is_same)
    )


def _records(desk: Desk, profiled: Profiled, book: str) -> LakeSessionRecords:
    return LakeSessionRecords(lake=profiled.lake, journal=desk.journal, book=book, lane=desk.lane)


def _decided_in(records: LakeSessionRecords, *, first: date | None, last: date | None) -> list[date]:
    return [
        session
        for session in records.decided_sessions()
        if (first is None or first <= session) and (last is None or session <= last)
    ]
