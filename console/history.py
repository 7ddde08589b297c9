"""A book over its last sessions: worth, exposure, and how many came through. What plots are drawn from.

Only a bounded number of sessions is read, however long the book has run. One session in full is status.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.reports import equity_at_close
from trading.journal import IntentCounts, SessionRecord

SESSIONS_SHOWN = 60
"""A quarter of trading: what a plot of a page's width can still tell apart."""

NONE_YET = IntentCounts(intents=0, blocked=0, filled=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPoint:
    """Hold one session. Money in micro-units, `None` until it is settled; counts are of the journal.

    `exposure_micros` is what was held in shares at the close: the equity less the cash.
    """

    session: date
    equity_micros: int | None
    exposure_micros: int | None
    intents: int
    blocked: int
    filled: int


def history_of(desk: Desk, book: BookOutline, *, last: int = SESSIONS_SHOWN) -> tuple[SessionPoint, ...]:
    """Return the last sessions that the journal knows of a book, ascending."""
    records = desk.journal.sessions(book=book.name, lane=desk.lane, last=last)
    if not records:
        return ()
    counts = desk.journal.intent_counts(
        book=book.name, lane=desk.lane, first=records[0].session, last=records[-1].session
    )
    return tuple(_point(desk, book, record, counts.get(record.session, NONE_YET)) for record in records)


def _point(desk: Desk, book: BookOutline, record: SessionRecord, counts: IntentCounts) -> SessionPoint:
    equity = equity_at_close(desk, book, record.session) if record.closing else None
    return SessionPoint(
        session=record.session,
        equity_micros=equity,
        exposure_micros=None
        if equity is None or record.closing is None
        else equity - record.closing.cash_micros,
        intents=counts.intents,
        blocked=counts.blocked,
        filled=counts.filled,
    )
