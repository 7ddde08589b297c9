"""An order with all that the ledger knows of it, as one record: what is told of it is shapes.py."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from trading.audit import instant_from_text
from trading.intents import hashed
from trading.orders import OrderStatus
from trading.values import Side, Symbol

ID_PREFIXES = ("pb-", "exe-", "bust-")


class FillRecord(NamedTuple):
    """Hold one execution of an order; `takes_back` names the one that it busts."""

    seq: int
    execution_id: str
    quantity: int
    price_micros: int
    commission_micros: int
    filled_at: datetime
    takes_back: str


class UpdateRecord(NamedTuple):
    """Hold one thing that happened to an order."""

    seq: int
    order_seq: int
    event: str
    at: datetime
    execution_id: str


class OrderRecord(NamedTuple):
    """Hold one order whole. Prices in micro-units, `None` where its kind has none."""

    seq: int
    broker_order_id: str
    client_order_id: str
    session: date
    symbol: Symbol
    side: Side
    quantity: int
    filled_quantity: int
    status: OrderStatus
    reason: str
    submitted_at: datetime
    order_type: str
    time_in_force: str
    limit_micros: int | None
    stop_micros: int | None
    order_class: str
    parent_seq: int | None
    leg: str
    is_held: bool
    replaces: str
    replaced_by: str
    fills: tuple[FillRecord, ...]
    updates: tuple[UpdateRecord, ...]

    @property
    def id(self) -> UUID:
        """Return the id under which clients know it."""
        return public_id(self.broker_order_id)

    def at(self, *events: str) -> datetime | None:
        """Return when the last of some events happened, `None` where none did."""
        return max((update.at for update in self.updates if update.event in events), default=None)


ORDERS = """
select o.seq, o.broker_order_id, o.client_order_id, o.request, o.session, o.symbol, o.side, o.quantity,
  o.filled_quantity, o.status, o.reason, o.submitted_at, t.limit_micros, t.stop_micros,
  coalesce(t.order_class, '') as order_class, t.parent_seq, coalesce(t.leg, '') as leg,
  coalesce(t.is_held, 0) as is_held, coalesce(before.broker_order_id, '') as replaces,
  coalesce((select later.broker_order_id from terms r join orders later on later.seq = r.order_seq
    where r.replaces_seq = o.seq), '') as replaced_by
from orders o
left join terms t on t.order_seq = o.seq
left join orders before on before.seq = t.replaces_seq
"""
FILLS = """
select seq, order_seq, execution_id, quantity, price_micros, commission_micros, filled_at, takes_back
from fills
"""
UPDATES = "select seq, order_seq, event, at, execution_id from updates"
AMONG = "where order_seq in (select value from json_each(?)) order by seq"


def public_id(known_as: str) -> UUID:
    """Return the UUID of an order, an execution or anything else that the ledger names."""
    for prefix in ID_PREFIXES:
        digits = known_as.removeprefix(prefix)
        if digits != known_as and _is_128_bits(digits):
            return UUID(digits)
    return UUID(hashed(known_as))


def broker_order_id_of(public: UUID) -> str:
    """Return the ledger's name of the order that clients know by an id."""
    return f"pb-{public.hex}"


def named_id(kind: str, name: str) -> UUID:
    """Return the id of an account or an asset: a pure function of its name."""
    return uuid5(NAMESPACE_URL, f"paper-exchange:{kind}:{name}")


def read_orders(ledger: sqlite3.Connection, where: str, values: Sequence[object]) -> list[OrderRecord]:
    """Return the orders that a condition chooses, as it orders them, each with its executions and updates."""
    rows = ledger.execute(f"{ORDERS} {where}", values).fetchall()
    chosen = json.dumps([row["seq"] for row in rows])
    fills: dict[int, list[FillRecord]] = defaultdict(list)
    for row in ledger.execute(f"{FILLS} {AMONG}", (chosen,)):
        fills[row["order_seq"]].append(fill_record(row))
    updates: dict[int, list[UpdateRecord]] = defaultdict(list)
    for update in read_updates(ledger, AMONG, (chosen,)):
        updates[update.order_seq].append(update)
    return [_record(row, fills[row["seq"]], updates[row["seq"]]) for row in rows]


def read_updates(ledger: sqlite3.Connection, where: str, values: Sequence[object]) -> list[UpdateRecord]:
    """Return the updates that a condition chooses, as it orders them."""
    return [
        UpdateRecord(
            row["seq"], row["order_seq"], row["event"], instant_from_text(row["at"]), row["execution_id"]
        )
        for row in ledger.execute(f"{UPDATES} {where}", values)
    ]


def fill_record(row: sqlite3.Row) -> FillRecord:
    """Return one row of executions."""
    return FillRecord(
        row["seq"],
        row["execution_id"],
        row["quantity"],
        row["price_micros"],
        row["commission_micros"],
        instant_from_text(row["filled_at"]),
        row["takes_back"],
    )


def _record(row: sqlite3.Row, fills: Iterable[FillRecord], updates: Iterable[UpdateRecord]) -> OrderRecord:
    asked = json.loads(row["request"])
    return OrderRecord(
        seq=row["seq"],
        broker_order_id=row["broker_order_id"],
        client_order_id=row["client_order_id"],
        session=date.fromisoformat(row["session"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        filled_quantity=row["filled_quantity"],
        status=OrderStatus(row["status"]),
        reason=row["reason"],
        submitted_at=instant_from_text(row["submitted_at"]),
        order_type=asked.get("order_type", "market"),
        time_in_force=asked.get("time_in_force", "day"),
        limit_micros=row["limit_micros"],
        stop_micros=row["stop_micros"],
        order_class=row["order_class"],
        parent_seq=row["parent_seq"],
        leg=row["leg"],
        is_held=bool(row["is_held"]),
        replaces=row["replaces"],
        replaced_by=row["replaced_by"],
        fills=tuple(fills),
        updates=tuple(updates),
    )


def _is_128_bits(digits: str) -> bool:
    return len(digits) == 32 and all(digit in "0123456789abcdef" for digit in digits)  # noqa: PLR2004 - hex digits
