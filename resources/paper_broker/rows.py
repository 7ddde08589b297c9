"""The ledger's rows of orders, executions and updates: how one is written and changed, whoever decides it.

What decides is broker.py for orders that fill at the open, resting.py for those that wait for a price.
"""

from __future__ import annotations

import sqlite3
from datetime import date, datetime
from enum import StrEnum

from trading.audit import instant_text
from trading.orders import OrderStatus

SESSION_OVER = "session_over"
REPLACED = "replaced"

ORDERS = (
    "select seq, broker_order_id, client_order_id, session, symbol, side, quantity, filled_quantity, status,"
    " reason, submitted_at from orders"
)


class Event(StrEnum):
    """Say what happened to an order, in the words of the protocol that tells it."""

    NEW = "new"
    FILL = "fill"
    TRADE_BUST = "trade_bust"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REPLACED = "replaced"
    RESTATED = "restated"


CANCELLED_AS = {SESSION_OVER: Event.EXPIRED, REPLACED: Event.REPLACED}


def insert_update(
    ledger: sqlite3.Connection, order_seq: int, event: Event, at: datetime, execution_id: str = ""
) -> None:
    """Insert what happened to an order, and when."""
    ledger.execute(
        "insert into updates (order_seq, event, at, execution_id) values (?, ?, ?, ?)",
        (order_seq, event.value, instant_text(at), execution_id),
    )


def insert_fill(
    ledger: sqlite3.Connection,
    order: sqlite3.Row,
    execution_id: str,
    terms: tuple[int, int, int],
    filled_at: datetime,
    *,
    takes_back: str = "",
    session: date | None = None,
) -> None:
    """Insert an execution of an order; `terms` are its quantity, price and commission.

    `session` is named where it may be another than the order's own.
    """
    ledger.execute(
        "insert into fills (execution_id, order_seq, quantity, price_micros, commission_micros, filled_at,"
        " takes_back, session) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            execution_id,
            order["seq"],
            *terms,
            instant_text(filled_at),
            takes_back,
            "" if session is None else session.isoformat(),
        ),
    )
    insert_update(
        ledger, order["seq"], Event.TRADE_BUST if takes_back else Event.FILL, filled_at, execution_id
    )


def set_status(
    ledger: sqlite3.Connection,
    row: sqlite3.Row,
    status: OrderStatus,
    filled_quantity: int,
    reason: str,
    *,
    at: datetime,
) -> sqlite3.Row:
    """Change where an order stands, and return its row; what it turned into is an update of its own."""
    ledger.execute(
        "update orders set status = ?, filled_quantity = ?, reason = ? where seq = ?",
        (status.value, filled_quantity, reason, row["seq"]),
    )
    if status is OrderStatus.REJECTED and status != row["status"]:
        insert_update(ledger, row["seq"], Event.REJECTED, at)
    if status is OrderStatus.CANCELLED and status != row["status"]:
        insert_update(ledger, row["seq"], CANCELLED_AS.get(reason, Event.CANCELED), at)
    changed: sqlite3.Row = ledger.execute(f"{ORDERS} where seq = ?", (row["seq"],)).fetchone()
    return changed
