"""What became of each intent of a session: from its decision to its fills. One line an intent.

One of them in full is order_trace.py, its guards are explain.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.concerns import order_status
from console.desk import Desk
from console.order_trace import slippage_bps
from trading.approvals import WITHIN_POLICY
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import IntentState, Stage, Step
from trading.orders import Fill

SENT_ON = frozenset({Step.REGISTERED, Step.ENDORSED, Step.APPROVED})
"""The steps that say on what an intent is sent."""

A_PERSONS = frozenset({Step.ENDORSED, Step.APPROVED, Step.REJECTED, Step.CANCELLED, Step.PROVEN_ABSENT})
"""The steps whose actor is a person: the desk's own runs take the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """Hold one intent. Quantities in shares, money in micro-units; the average price is `None` unfilled.

    `wished` is what the rules wanted, `quantity` what was decided to send (0 where it was stopped).
    `by` is the person whose words the reason is, empty where it is the desk's. What happened on the way of an
    order that was filled in the end is no reason of it. `adapter` is the way that the order went, in words;
    empty where there is none.
    """

    symbol: str
    side: str
    state: str
    by: str
    reason: str
    wished: int
    quantity: int
    filled_quantity: int
    price_micros: int
    average_price_micros: int | None
    slippage_bps: float | None
    commission_micros: int
    order_status: str
    client_order_id: str
    broker_order_id: str
    adapter: str
    intent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOrders:
    """Hold a session's intents; `session` is `None` where there is none, `unknown` counts unproven sends.

    `closed_because` says of a date without intents why it is no session, empty where it is one.
    """

    book: str
    session: date | None
    currency: str
    closed_because: str
    unknown: int
    orders: tuple[OrderLine, ...]


def orders_of(desk: Desk, book: BookOutline, session: date | None = None) -> SessionOrders:
    """Return the intents of a session, by default the latest one, in the order in which they execute."""
    asked = desk.session(book, session)
    if asked is None:
        return SessionOrders(
            book=book.name, session=None, currency=book.currency, closed_because="", unknown=0, orders=()
        )
    intents = desk.journal.intents(book=book.name, lane=desk.lane, session=asked)
    orders = {
        row.intent_id: row for row in desk.journal.orders(book=book.name, lane=desk.lane, session=asked)
    }
    fills: dict[str, list[Fill]] = {}
    for fill in desk.journal.fills(book=book.name, lane=desk.lane, session=asked):
        fills.setdefault(fill.intent_id, []).append(fill)
    return SessionOrders(
        book=book.name,
        session=asked,
        currency=book.currency,
        closed_because="" if intents else _closed_because(desk, book, asked),
        unknown=sum(1 for row in intents if row.state is IntentState.UNKNOWN),
        orders=tuple(
            _line(row, orders.get(row.intent_id), fills.get(row.intent_id, ()), why=_why(desk, row))
            for row in intents
        ),
    )


def _closed_because(desk: Desk, book: BookOutline, on: date) -> str:
    calendar = desk.calendar(book)
    return "" if on in calendar else f"{on} is no session of {calendar.name}: {calendar.why_closed(on)}"


def _why(desk: Desk, row: JournalIntent) -> tuple[str, str]:
    """Return whose words say why an intent is where it is, and the words; the person is empty for the desk's.

    The row keeps the last reason of all. Of an order that was filled that may be an answer that was lost on
    its way, or a person's word: then what it was sent on is looked up.
    """
    is_filled = row.state is IntentState.EXECUTED and row.filled_quantity >= row.quantity
    if row.reason == WITHIN_POLICY or not (is_filled or row.actor):
        return "", row.reason
    events = desk.journal.events_of(row.intent_id)
    said = [
        event
        for event in events
        if (event.reason and event.kind in SENT_ON if is_filled else event.reason == row.reason)
    ]
    if not said:
        return "", row.reason
    return said[-1].actor if said[-1].kind in A_PERSONS else "", said[-1].reason


def _line(
    row: JournalIntent, order: JournalOrder | None, fills: Sequence[Fill], *, why: tuple[str, str]
) -> OrderLine:
    by, reason = why
    filled = sum(fill.quantity for fill in fills)
    return OrderLine(
        symbol=row.intent.symbol,
        side=row.intent.side.value,
        state=row.state.value if row.stage is Stage.NONE else f"{row.state.value} ({row.stage.value})",
        by=by,
        reason=reason,
        wished=row.intent.quantity,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
        price_micros=row.intent.price_micros,
        average_price_micros=sum(fill.notional_micros for fill in fills) // filled if filled else None,
        slippage_bps=slippage_bps(row, fills),
        commission_micros=sum(fill.commission_micros for fill in fills),
        order_status=order_status(order, row) if order else "",
        client_order_id=order.client_order_id if order else "",
        broker_order_id=order.broker_order_id if order else "",
        adapter=order.route.told if order else "",
        intent_id=row.intent_id,
    )
