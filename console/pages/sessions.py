"""The intents and orders of one session as pages of lines, with the way to the sessions beside it.

The lines are orders.py; one intent in full is explain.py and order_trace.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.orders import OrderLine, orders_of
from trading.errors import BadInput
from trading.lifecycle import IntentState

LINES_A_PAGE = 100

OPEN_STATES = {state.value for state in IntentState if state.is_open}

SHOWN: Mapping[str, Callable[[OrderLine], bool]] = {
    "all": lambda _: True,
    "blocked": lambda line: line.state == IntentState.REJECTED.value and line.quantity == 0,
    "pending": lambda line: line.state == IntentState.PENDING_APPROVAL.value,
    "open": lambda line: line.state.partition(" ")[0] in OPEN_STATES,
    "filled": lambda line: line.filled_quantity > 0,
}
"""Which lines may be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLines:
    """Hold one page of a session's lines; `session` is `None` before the first.

    `counts` has how many lines each choice of `SHOWN` would show; pages count from 1.
    """

    book: BookOutline
    books: tuple[str, ...]
    session: date | None
    before: date | None
    after: date | None
    show: str
    counts: Mapping[str, int]
    lines: tuple[OrderLine, ...]
    page: int
    pages: int


def session_lines(
    desk: Desk, book: BookOutline, session: date | None, *, show: str, page: int, is_sent_only: bool = False
) -> SessionLines:
    """Return a page of a session's intents, by default of the latest; `is_sent_only` are those with an order.

    Raises `BadInput` for another `show` than there is.
    """
    if show not in SHOWN:
        raise BadInput(f"show {show!r}: one of {', '.join(SHOWN)}")
    found = orders_of(desk, book, session)
    lines = [line for line in found.orders if line.client_order_id or not is_sent_only]
    chosen = [line for line in lines if SHOWN[show](line)]
    pages = max(1, -(-len(chosen) // LINES_A_PAGE))
    page = min(max(page, 1), pages)
    before, after = _beside(desk, book, found.session)
    return SessionLines(
        book=book,
        books=tuple(desk.books),
        session=found.session,
        before=before,
        after=after,
        show=show,
        counts={name: sum(1 for line in lines if fits(line)) for name, fits in SHOWN.items()},
        lines=tuple(chosen[(page - 1) * LINES_A_PAGE : page * LINES_A_PAGE]),
        page=page,
        pages=pages,
    )


def _beside(desk: Desk, book: BookOutline, session: date | None) -> tuple[date | None, date | None]:
    """Return the sessions before and after one, as far as the book has run."""
    latest = desk.latest(book)
    if session is None or latest is None:
        return None, None
    calendar = desk.calendar(book)
    before = calendar.before(session, 1)
    after = calendar.between(session, latest.session)[:2]
    return (before[-1] if before else None), (after[-1] if len(after) > 1 else None)
