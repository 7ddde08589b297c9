"""What the store reads inside its transactions. What it writes is each subject's; rows are records.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.statements import asked, last_of, row_of, rows_of, tuples
from trading.approvals import StageRecord
from trading.audit import instant_from_text, instant_text
from trading.control import cooling
from trading.errors import IllegalTransition, OutOfOrder, UnknownId
from trading.journal import (
    Cooldown,
    ExecutorTerm,
    FundsView,
    Halt,
    JournalIntent,
    JournalOrder,
    RunControl,
    before_opening,
)
from trading.orders import Fill
from trading.positions import Book, with_trades
from trading.values import ClientOrderId, IntentId, Side, Symbol


class Of(NamedTuple):
    """Say which session of which book, in which lane; `session` is its ISO date."""

    book: str
    lane: str
    session: str


def of_intent(row: JournalIntent) -> Of:
    """Return the session of an intent."""
    return Of(row.intent.book, row.lane, row.intent.session.isoformat())


def at(table: sa.Table, of: Of) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions that choose a session's rows of a table."""
    return (table.c.book == of.book, table.c.lane == of.lane, table.c.session == of.session)


def named(row: JournalIntent) -> str:
    """Return how messages call an intent."""
    return f"{row.intent.side} {row.intent.symbol} of {row.intent.session} ({row.intent_id})"


RATE_WINDOW = timedelta(seconds=60)
"""Over how long orders are counted: the guard's limit is one a minute."""

_SIDES = {side.value: side for side in Side}
"""The sides by what a column holds: found sooner than an enumeration finds its members."""


def required(conn: sa.Connection, intent_id: IntentId) -> JournalIntent:
    """Return an intent; raises `UnknownId`."""
    row = row_of(conn, schema.intents, intent_id=intent_id)
    if row is None:
        raise UnknownId(f"intent {intent_id}: nothing is stored under this id")
    return records.intent_of(row)


def required_order(conn: sa.Connection, row: JournalIntent) -> JournalOrder:
    """Return the order of an intent's generation; raises `IllegalTransition` where it was never prepared."""
    order = row_of(conn, schema.orders, intent_id=row.intent_id, generation=row.generation)
    if order is None:
        raise IllegalTransition(f"{named(row)}: has no prepared order")
    return records.order_of(order)


def session_rows(conn: sa.Connection, of: Of) -> Sequence[records.Row]:
    """Return a session's rows of `intents` in the order in which they execute."""
    return asked(conn, "find_intents", **of._asdict())


def session_fills(conn: sa.Connection, of: Of) -> list[Fill]:
    """Return a session's fills that the broker has not taken back, in the order booked."""
    return [records.fill_of(row) for row in asked(conn, "find_fills", **of._asdict())]


def book_session(conn: sa.Connection, of: Of) -> records.Row | None:
    """Return a session's row of `book_sessions`, or `None`."""
    return row_of(conn, schema.book_sessions, **of._asdict())


def carried_on(conn: sa.Connection, of: Of, previous: date | None, *, first: str, last: str) -> Book:
    """Return the closing book of the session before, for a book that is open from `first` to `last`.

    Raises `OutOfOrder` where there is no such book.
    """
    if why := before_opening(date.fromisoformat(of.session), date.fromisoformat(first)):
        raise OutOfOrder(f"{of.book} {of.session}: {why}")
    if previous is None:
        raise OutOfOrder(f"{of.book} {of.session}: has no session before, but the book opened on {first}")
    before = book_session(conn, Of(of.book, of.lane, previous.isoformat()))
    if before is None or before["closing"] is None:
        how = "was never opened" if before is None or before["opening"] is None else "is not settled"
        raise OutOfOrder(
            f"{of.book} {of.session}: the session before, {previous}, {how} (the book is at {last});"
            " run it first, or carry the book over it as a named person"
        )
    return records.book_of(before["closing"])


def run_control_in_force(conn: sa.Connection) -> RunControl:
    """Return the run control in force."""
    return records.run_control_of(
        row_of(conn, schema.run_control), rows_of(conn, schema.modes, order_by="name")
    )


def last_cooldowns(conn: sa.Connection) -> list[Cooldown]:
    """Return the last cooldown of each account, by account."""
    return [records.cooldown_of(row) for row in rows_of(conn, schema.cooldowns, order_by="account, lane")]


def cooldown_in_force(conn: sa.Connection, row: JournalIntent, now: datetime) -> Cooldown | None:
    """Return the cooldown that an intent's account is in, or `None`."""
    return cooling(last_cooldowns(conn), account=row.account, lane=row.lane, now=now)


def chain_in(conn: sa.Connection, intent_id: IntentId) -> list[StageRecord]:
    """Return the stages of approval that an intent went through, in order."""
    found = rows_of(conn, schema.approval_stages, order_by="place", intent_id=intent_id)
    return [records.stage_of(row) for row in found]


def net_filled(conn: sa.Connection, client_order_id: ClientOrderId) -> int:
    """Return an order's booked shares less those that the broker has taken back."""
    (row,) = asked(conn, "find_net_filled", client_order_id=client_order_id)
    return int(row["quantity"])


def last_absent_at(conn: sa.Connection, row: JournalIntent) -> datetime | None:
    """Return when the broker was last told not to know an intent's order, `None` where it never was."""
    table = schema.events
    found = conn.execute(
        sa.select(table.c.at)
        .where(table.c.intent_id == row.intent_id, table.c.kind == "absent_at_broker")
        .order_by(table.c.seq.desc())
        .limit(1)
    ).scalar()
    return None if found is None else instant_from_text(str(found))


def halts_in_force(conn: sa.Connection) -> list[Halt]:
    """Return the accounts and instruments that are halted, by account then symbol."""
    found = rows_of(conn, schema.halts, order_by="account, symbol", is_on=1)
    return [records.halt_of(row) for row in found]


def executor_term(conn: sa.Connection, account: str, lane: str) -> ExecutorTerm | None:
    """Return which executor of an account began last, or `None`."""
    row = row_of(conn, schema.executors, account=account, lane=lane)
    return None if row is None else records.executor_term_of(row)


def funds_view(
    conn: sa.Connection,
    row: JournalIntent,
    book_at_open: Book,
    *,
    run_control: RunControl,
    cooldown: Cooldown | None,
    now: datetime,
    apart: str = "",
) -> FundsView:
    """Return what a review sees at `now`; the order `apart` is left out, since it is what is reviewed.

    `run_control` and `cooldown` are those in force, read in this transaction.
    """
    intent = row.intent
    # As tuples: in a session of many fills each send would otherwise wait for an object of every one.
    trades = [
        (Symbol(symbol), _SIDES[side], quantity, price_micros, commission_micros)
        for symbol, side, quantity, price_micros, commission_micros in tuples(
            conn, "find_trades", **of_intent(row)._asdict()
        )
    ]
    reserved = 0
    open_quantities: dict[Side, dict[Symbol, int]] = {Side.BUY: {}, Side.SELL: {}}
    for held in asked(conn, "find_open_reservations", book=intent.book, lane=row.lane, apart=apart):
        reserved += held["micros_left"]
        of_side = open_quantities[Side(held["side"])]
        symbol = Symbol(held["symbol"])
        of_side[symbol] = of_side.get(symbol, 0) + held["quantity_left"]
    (counted,) = asked(
        conn,
        "count_orders_of_session",
        **of_intent(row)._asdict(),
        since=instant_text(now - RATE_WINDOW),
        intent_id=row.intent_id,
        symbol=intent.symbol,
        side=intent.side.value,
        payload_hash=row.payload_hash,
        apart=apart,
    )
    return FundsView(
        run_control=run_control,
        book=with_trades(book_at_open, trades),
        reserved_micros=reserved,
        open_buys=open_quantities[Side.BUY],
        open_sells=open_quantities[Side.SELL],
        cooldown_active=cooldown is not None,
        orders_last_minute=int(counted["last_minute"]),
        repeated_executions=int(counted["repeated"]),
        is_approved_by_person=bool(counted["approvals"]),
    )


def next_number(conn: sa.Connection, column: sa.Column[int]) -> int:
    """Return the next number of a column that counts from 1; the write lock keeps it ours."""
    last = last_of(conn, column.table, column.name, names=(column.name,))
    return 1 if last is None else int(last[0]) + 1
