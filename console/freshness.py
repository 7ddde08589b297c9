"""Of when what is shown is, and whether it may be behind: the same words on pages and in the API.

What ails the stores themselves is agreement.py and doctor.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from console.book_outlines import BookOutline
from console.desk import Desk
from resources.clocks import system_now
from resources.settings import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Hold the instant at which the stores were read, and whose money moves.

    `stale` says that a book's quotes end before the last session that has closed.
    """

    as_of: datetime
    mode: str
    stale: bool


def freshness_of(desk: Desk, books: Iterable[BookOutline] | None = None) -> Freshness:
    """Return how fresh a look at some books, or at all of them, is."""
    chosen = desk.books.values() if books is None else books
    return Freshness(
        as_of=system_now(), mode=desk.lane, stale=any(_is_behind(desk, outline) for outline in chosen)
    )


def _is_behind(desk: Desk, book: BookOutline) -> bool:
    """Say whether quotes are missing that a decision would need; before the first session nothing is."""
    latest = desk.latest(book)
    if latest is None:
        return False
    closed = desk.calendar(book).before(_today(desk, book, latest.session), 1)
    return bool(closed) and desk.lake.state(book.name, "market_quotes", closed[-1].isoformat()) is None


def _today(desk: Desk, book: BookOutline, latest: date) -> date:
    """Return the exchange's date; on simulated days that of the latest session."""
    if desk.settings.profile is Profile.SIMULATED:
        return latest
    return desk.clock(book).today(desk.calendar(book), latest)
