"""An order's row and what is reserved for it, in the transaction of the step that changes them."""

from __future__ import annotations

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.queries import named
from resources.journal.statements import row_of, update
from trading.brokers import differences
from trading.errors import IllegalTransition
from trading.journal import JournalIntent, JournalOrder
from trading.orders import BrokerOrder


def put_order(conn: sa.Connection, order: JournalOrder, **values: str | int | None) -> None:
    """Store what has changed of an order."""
    update(conn, schema.orders, values, client_order_id=order.client_order_id)


def shrink(conn: sa.Connection, order: JournalOrder, *, left: int) -> None:
    """Leave of a reservation what the shares still open need, rounded up."""
    row = row_of(conn, schema.reservations, client_order_id=order.client_order_id)
    if row is None:
        raise IllegalTransition(f"order {order.client_order_id}: has no reservation")
    micros = -(-row["micros_left"] * left // row["quantity_left"]) if row["quantity_left"] else 0
    update(
        conn,
        schema.reservations,
        {"quantity_left": left, "micros_left": micros},
        client_order_id=order.client_order_id,
    )


def free(conn: sa.Connection, order: JournalOrder) -> None:
    """Give back all that is reserved for an order."""
    nothing = {"quantity_left": 0, "micros_left": 0}
    update(conn, schema.reservations, nothing, client_order_id=order.client_order_id)


def check_equal(row: JournalIntent, known: JournalOrder, order: BrokerOrder) -> None:
    """Refuse what the broker says of an order whose fields are not those that were sent."""
    found = differences(known.request, order)
    if found:
        raise IllegalTransition(f"{named(row)}: the broker's order differs: {'; '.join(found)}")
