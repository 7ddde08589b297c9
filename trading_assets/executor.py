"""What the executor works with in a run: its desk of ports, and the book that an account opens the day with.

The rules are trading/executions.py and trading/positions.py; the stages that stand on this are `executions`,
`order_status` and `positions`.
"""

from collections.abc import Iterable, Mapping
from datetime import date

from trading.actions import CorporateAction, effective_in
from trading.positions import Book, BookHistory, Mark, book_at_open
from trading.quotes import AcceptedQuotes
from trading.session import earlier_marks, marks_at_open
from trading.values import Symbol
from trading_assets.stage import BookGraph

LAST_QUOTES_SESSIONS = 5
"""How many sessions back a price is looked for before the marks of the book's last close."""


def opened_day(
    graph: BookGraph,
    session: date,
    *,
    opening: Book,
    actions: Iterable[CorporateAction],
    accepted: AcceptedQuotes,
    history: BookHistory,
) -> tuple[Book, Mapping[Symbol, Mark]]:
    """Return a session's book at its open, after the actions that take effect then, and the last prices."""
    listed = tuple(actions)
    earlier = {
        **earlier_marks(accepted.last_before(session, LAST_QUOTES_SESSIONS), session=session, actions=listed),
        **marks_at_open(_marks_held(graph, session, opening, history), session=session, actions=listed),
    }
    at_open = book_at_open(
        opening,
        effective_in(listed, session),
        last_close_micros={symbol: mark.price_micros for symbol, mark in earlier.items()},
    )
    return at_open, earlier


def _marks_held(
    graph: BookGraph, session: date, opening: Book, history: BookHistory
) -> Mapping[Symbol, Mark]:
    """Return the marks of what the session opens with, as positions[D−1] has them."""
    previous = graph.session_before(session)
    return history.marks_after(previous) if opening.positions and previous is not None else {}
