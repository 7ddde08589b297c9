"""An order's row and what is reserved for it, in the transaction of the step that changes them."""

from __future__ import annotations

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.queries import named
from resources.journal.records import Row
from resources.journal.statements import row_of, update
from trading.brokers import differences
from trading.errors import IllegalTransition
from trading.journal import JournalIntent, JournalOrder
from trading.orders import BrokerOrder, Fill
from trading.protocol import reserved_after_bust


def put_order(conn: sa.Connection, order: JournalOrder, **values: str | int | None) -> None:
    """Store what has changed of an order."""
    update(conn, schema.orders, values, client_order_id=order.client_order_id)


def shrink(conn: sa.Connection, order: JournalOrder, *, filled: int) -> None:
    """Leave of a reservation what the shares still open after a fill need, rounded up."""
    row = _reservation(conn, order)
    left = row["quantity_left"] - filled
    micros = -(-row["micros_left"] * left // row["quantity_left"]) if row["quantity_left"] else 0
    _reserve(conn, order, left, micros)


def reopen(conn: sa.Connection, order: JournalOrder, fill: Fill) -> dict[str, str | int]:
    """Reserve again what a fill of an open order had used that was taken back; returns what is told of it."""
    row = _reservation(conn, order)
    left, micros = reserved_after_bust(row["quantity_left"], row["micros_left"], fill)
    _reserve(conn, order, left, micros)
    return {
        "client_order_id": order.client_order_id,
        "reserved_quantity": left,
        "reserved_micros": micros,
    }


def free(conn: sa.Connection, order: JournalOrder) -> None:
    """Give back all that is reserved for an order."""
    _reserve(conn, order, 0, 0)


def check_equal(row: JournalIntent, known: JournalOrder, order: BrokerOrder) -> None:
    """Refuse what the broker says of an order whose fields are not those that were sent."""
    found = differences(known.request, order)
    if found:
        raise IllegalTransition(f"{named(row)}: the broker's order differs: {'; '.join(found)}")


def _reservation(conn: sa.Connection, order: JournalOrder) -> Row:
    row = row_of(conn, schema.reservations, client_order_id=order.client_order_id)
    if row is None:
        raise IllegalTransition(f"order {order.client_order_id}: has no reservation")
    return row


def _reserve(conn: sa.Connection, order: JournalOrder, quantity: int, micros: int) -> None:
    left = {"quantity_left": quantity, "micros_left": micros}
    update(conn, schema.reservations, left, client_order_id=order.client_order_id)
