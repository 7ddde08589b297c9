"""Broker positions: what the broker says an account holds and did, beside what the book says it should.

Positions and cash, what is still open, and what changed the account in the session. The broker's word is
stored as it was heard when the session was settled; comparing in order to halt is reconciliation.py, and the
book itself positions.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import NamedTuple, Protocol

from trading.brokers import ActivityKind, BrokerActivity, Holdings
from trading.journal import JournalOrder
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Book
from trading.values import Side


class BrokerItem(StrEnum):
    """Say what a line of a broker's account is: what it has, what is open there, or what changed it."""

    CASH = "cash"
    POSITION = "position"
    OPEN_ORDER = "open_order"
    FILL = "fill"
    FEE = "fee"
    DIVIDEND = "dividend"
    SPLIT = "split"
    TRANSFER = "transfer"
    OTHER = "other"


class BrokerPositionRow(NamedTuple):
    """Hold one line of a broker's account, with the book's own: cash in micro-units, shares of a symbol.

    Shares of an order that is open are those not filled yet; of a change those that it added; both are
    below 0 for sales. What only one of them knows has 0 at the other; `agrees` says whether both are the
    same. Fees and dividends are told in one line each, without a symbol.
    """

    session: date
    item: BrokerItem
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
        item=BrokerItem.CASH,
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
            item=BrokerItem.POSITION,
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


def open_order_rows(
    found: Iterable[BrokerOrder], known: Iterable[JournalOrder], *, session: date, currency: str
) -> tuple[BrokerPositionRow, ...]:
    """Return one row a symbol of which broker or journal has shares in an order that has not ended."""
    there = [
        (order.symbol, _signed(order.side, order.quantity - order.filled_quantity))
        for order in found
        if not order.status.is_terminal
    ]
    here = [
        (order.request.symbol, _signed(order.request.side, order.request.quantity - order.filled_quantity))
        for order in known
        if order.status not in _ENDED
    ]
    return _compared(BrokerItem.OPEN_ORDER, _shares(there), _shares(here), session=session, currency=currency)


def activity_rows(
    found: Iterable[BrokerActivity],
    *,
    fills: Iterable[Fill],
    opening: Book,
    at_open: Book,
    session: date,
) -> tuple[BrokerPositionRow, ...]:
    """Return what changed an account in a session, kind by kind, beside what the book has of it.

    `found` are the changes of the session alone; `opening` is the book before the corporate actions that
    are in `at_open`. The book knows of no transfer: one that the broker tells of is a difference.
    """
    told = list(found)
    booked = list(fills)
    currency = opening.currency
    own: dict[ActivityKind, Changes] = {
        ActivityKind.FILL: _added(
            (fill.symbol, _signed(fill.side, fill.quantity), -_signed(fill.side, fill.notional_micros))
            for fill in booked
        ),
        ActivityKind.FEE: _added(("", 0, -fill.commission_micros) for fill in booked),
        ActivityKind.DIVIDEND: _added([("", 0, at_open.dividends_micros - opening.dividends_micros)]),
        ActivityKind.SPLIT: _added(
            (position.symbol, at_open.quantity_of(position.symbol) - position.quantity, 0)
            for position in opening.positions
        ),
    }
    rows: list[BrokerPositionRow] = []
    for kind in ActivityKind:
        changes = _added(_change(activity) for activity in told if activity.kind is kind)
        rows += _compared(
            BrokerItem(kind.value), changes, own.get(kind, {}), session=session, currency=currency
        )
    return tuple(rows)


def changes_beside_fills(
    found: Iterable[BrokerActivity], *, fills: Iterable[Fill]
) -> tuple[BrokerActivity, ...]:
    """Return what changed an account and is neither an execution nor the commission of one of `fills`.

    A fee takes the place of one commission of its amount, whichever execution's that is: a broker may tell
    a commission with its execution, as a fee of its own, or both ways.
    """
    commissions = Counter(-fill.commission_micros for fill in fills if fill.commission_micros)
    left = []
    for activity in found:
        if activity.kind is ActivityKind.FILL or not (activity.cash_micros or activity.quantity):
            continue
        if activity.kind is ActivityKind.FEE and commissions[activity.cash_micros]:
            commissions[activity.cash_micros] -= 1
            continue
        left.append(activity)
    return tuple(left)


Changes = Mapping[str, tuple[int, int]]
"""Shares and cash (micro-units) that were added, by symbol."""

_ENDED = frozenset(status.value for status in OrderStatus if status.is_terminal)

_WITHOUT_SYMBOL = frozenset({ActivityKind.FEE, ActivityKind.DIVIDEND})


def _change(activity: BrokerActivity) -> tuple[str, int, int]:
    """Return what an activity added; of a split the shares alone: the remainder is in the cash."""
    symbol = "" if activity.kind in _WITHOUT_SYMBOL else activity.symbol
    quantity = 0 if activity.kind is ActivityKind.DIVIDEND else activity.quantity
    return symbol, quantity, 0 if activity.kind is ActivityKind.SPLIT else activity.cash_micros


def _added(changes: Iterable[tuple[str, int, int]]) -> Changes:
    found: dict[str, tuple[int, int]] = {}
    for symbol, quantity, cash_micros in changes:
        before = found.get(symbol, (0, 0))
        found[symbol] = (before[0] + quantity, before[1] + cash_micros)
    return {symbol: added for symbol, added in found.items() if added != (0, 0)}


def _shares(changes: Iterable[tuple[str, int]]) -> Changes:
    return _added((symbol, quantity, 0) for symbol, quantity in changes)


def _compared(
    item: BrokerItem, there: Changes, here: Changes, *, session: date, currency: str
) -> tuple[BrokerPositionRow, ...]:
    nothing = (0, 0)
    return tuple(
        BrokerPositionRow(
            session=session,
            item=item,
            symbol=symbol,
            quantity=there.get(symbol, nothing)[0],
            book_quantity=here.get(symbol, nothing)[0],
            cash_micros=there.get(symbol, nothing)[1],
            book_cash_micros=here.get(symbol, nothing)[1],
            agrees=there.get(symbol, nothing) == here.get(symbol, nothing),
            currency=currency,
        )
        for symbol in sorted({*there, *here})
    )


def _signed(side: Side, amount: int) -> int:
    return amount if side is Side.BUY else -amount
