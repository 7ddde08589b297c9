"""Broker positions: what the broker says an account holds, beside what the book says it should.

The broker's word is stored as it was heard when the session was settled; comparing in order to halt is
reconciliation.py, and the book itself positions.py.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple, Protocol

from trading.brokers import Holdings
from trading.positions import Book, Item


class BrokerPositionRow(NamedTuple):
    """Hold one line of a broker's account: cash (micro-units) or a symbol's shares, with the book's own.

    A symbol that only one of them knows has 0 at the other; `agrees` says whether both are the same.
    """

    session: date
    item: Item
    symbol: str
    quantity: int
    book_quantity: int
    cash_micros: int
    book_cash_micros: int
    agrees: bool
    currency: str


class BrokerHistory(Protocol):
    """Give what a broker said of an account at the settlement of earlier sessions."""

    def broker_positions_of(self, session: date) -> tuple[BrokerPositionRow, ...] | None:
        """Return the rows stored for a session, `None` where the broker was not asked then."""
        ...


def broker_position_rows(found: Holdings, *, book: Book, session: date) -> tuple[BrokerPositionRow, ...]:
    """Return the cash line, then one row a symbol that either of them holds, by symbol."""
    held = {position.symbol: position.quantity for position in book.positions}
    cash = BrokerPositionRow(
        session=session,
        item=Item.CASH,
        symbol="",
        quantity=0,
        book_quantity=0,
        cash_micros=found.cash_micros,
        book_cash_micros=book.cash_micros,
        agrees=found.cash_micros == book.cash_micros,
        currency=book.currency,
    )
    shares = (
        BrokerPositionRow(
            session=session,
            item=Item.POSITION,
            symbol=symbol,
            quantity=found.quantities.get(symbol, 0),
            book_quantity=held.get(symbol, 0),
            cash_micros=0,
            book_cash_micros=0,
            agrees=found.quantities.get(symbol, 0) == held.get(symbol, 0),
            currency=book.currency,
        )
        for symbol in sorted({*held, *found.quantities})
    )
    return (cash, *shares)
