"""Orders that wait: for a price, for another session, or for the order that they belong to.

When one fills, and at what price, is trading/matching.py; the plain orders that fill at their session's open
are broker.py's. An entry and the orders that close it (a bracket), or two of which one cancels the other, are
a family: advanced together, moment by moment, a stop before a limit.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from resources.paper_broker.rows import (
    ORDERS,
    SESSION_OVER,
    Event,
    insert_fill,
    insert_update,
    set_status,
)
from trading.accounts import last_opened
from trading.actions import CorporateAction
from trading.audit import instant_from_text, instant_text
from trading.intents import hashed
from trading.matching import ONCE, Match, Moment, Terms, adjusted, matched, moment_of
from trading.orders import OrderRequest, OrderStatus
from trading.quotes import Quote
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce

STOP_LOSS, TAKE_PROFIT = "stop_loss", "take_profit"
PLAIN_TIMES = frozenset({TimeInForce.DAY, TimeInForce.OPG})

OTHER_LEG_DONE = "other_leg_done"
ENTRY_ENDED = "entry_ended"
NOT_FILLED_AT_ONCE = "not_filled_at_once"
ENDED_BY_ACTION = "ended_by_corporate_action"

Bars = Callable[[Symbol, date], Quote | None]


class Leg(NamedTuple):
    """Hold one order that closes an entry: a limit that takes a profit, or a stop that cuts a loss."""

    name: str
    limit_micros: int | None
    stop_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Hold an order of any kind. `order_class` is empty for one alone, else `bracket`, `oto` or `oco`.

    Of an `oco` the order itself takes the profit, and its one leg is the stop. `replaces` is the id of the
    order whose place it takes, `leg` what it is itself in a family.
    """

    request: OrderRequest
    limit_micros: int | None = None
    stop_micros: int | None = None
    order_class: str = ""
    leg: str = ""
    legs: tuple[Leg, ...] = field(default=())
    replaces: ClientOrderId | None = None

    @property
    def is_plain(self) -> bool:
        """Say whether it is filled at its session's open, as the embedded door's orders are."""
        return (
            self.request.order_type is OrderType.MARKET
            and self.request.time_in_force in PLAIN_TIMES
            and not (self.order_class or self.leg)
        )

    def leg_requests(self) -> list[tuple[Leg, OrderRequest]]:
        """Return its legs, each with the order that it is: on the side that closes the entry."""
        is_oco = self.order_class == "oco"
        closing = self.request.side if is_oco else _opposite(self.request.side)
        return [
            (
                leg,
                replace(
                    self.request,
                    client_order_id=ClientOrderId("leg-" + hashed(self.request.client_order_id, leg.name)),
                    side=closing,
                    order_type=_type_of(leg),
                ),
            )
            for leg in self.legs
        ]


class _Member(NamedTuple):
    """Hold one order of a family with what it waits for."""

    row: sqlite3.Row
    terms: Terms
    leg: str
    is_held: bool
    seen_from: datetime
    symbol: Symbol
    session: date


_MEMBERS = """
select o.seq, o.broker_order_id, o.client_order_id, o.request, o.session, o.symbol, o.side, o.quantity,
  o.filled_quantity, o.status, o.reason, o.submitted_at, t.limit_micros, t.stop_micros, t.leg, t.is_held,
  t.is_triggered, t.seen_from
from orders o join terms t on t.order_seq = o.seq
where t.order_seq = ? or t.parent_seq = ?
order by case t.leg when '' then 0 when 'stop_loss' then 1 else 2 end, o.seq
"""


def keep_terms(ledger: sqlite3.Connection, seq: int, ticket: Ticket, now: datetime) -> None:
    """Keep what an order waits for; nothing is kept of a plain one."""
    if ticket.is_plain:
        return
    leg = TAKE_PROFIT if ticket.order_class == "oco" else ticket.leg
    ledger.execute(
        "insert into terms (order_seq, limit_micros, stop_micros, order_class, leg, seen_from)"
        " values (?, ?, ?, ?, ?, ?)",
        (seq, ticket.limit_micros, ticket.stop_micros, ticket.order_class, leg, instant_text(now)),
    )


def keep_leg_terms(
    ledger: sqlite3.Connection, seq: int, leg: Leg, ticket: Ticket, *, parent_seq: int
) -> None:
    """Keep what a leg waits for: its price, and first of all the entry; only an `oco` has none."""
    is_held = ticket.order_class != "oco"
    ledger.execute(
        "insert into terms (order_seq, limit_micros, stop_micros, order_class, parent_seq, leg, is_held,"
        " seen_from) select ?, ?, ?, ?, ?, ?, ?, submitted_at from orders where seq = ?",
        (
            seq, leg.limit_micros, leg.stop_micros, ticket.order_class, parent_seq, leg.name, is_held, seq,
        ),
    )  # fmt: skip


def take_place(ledger: sqlite3.Connection, old_seq: int, new_seq: int) -> None:
    """Put an order where another one stood: in its family, and in the line of who replaced whom."""
    old = ledger.execute("select * from terms where order_seq = ?", (old_seq,)).fetchone()
    ledger.execute("insert or ignore into terms (order_seq) values (?)", (new_seq,))
    ledger.execute("update terms set replaces_seq = ? where order_seq = ?", (old_seq, new_seq))
    if old is None:
        return
    # It meets the price of the open itself, though the old one did before it.
    through = old["matched_through"][:10] if old["matched_through"].endswith(" 0") else old["matched_through"]
    ledger.execute(
        "update terms set order_class = ?, parent_seq = ?, leg = ?, is_held = ?, matched_through = ?"
        " where order_seq = ?",
        (old["order_class"], old["parent_seq"], old["leg"], old["is_held"], through, new_seq),
    )
    ledger.execute("update terms set parent_seq = ? where parent_seq = ?", (new_seq, old_seq))


def is_resting(ledger: sqlite3.Connection, seq: int) -> bool:
    """Say whether an order is one of these, and not one that fills at its session's open."""
    row = ledger.execute(
        "select o.request, t.order_class, t.leg from orders o join terms t on t.order_seq = o.seq"
        " where o.seq = ?",
        (seq,),
    ).fetchone()
    if row is None:
        return False
    asked = json.loads(row["request"])
    is_alone = not (row["order_class"] or row["leg"])
    return not (is_alone and asked["order_type"] == "market" and asked["time_in_force"] in PLAIN_TIMES)


def advanced(
    ledger: sqlite3.Connection,
    seq: int,
    *,
    bars: Bars,
    model: FillModel,
    calendar: Calendar,
    actions: Mapping[date, tuple[CorporateAction, ...]],
    now: datetime,
) -> sqlite3.Row:
    """Return an order's row after what the market did to its family up to `now`, each moment once."""
    root = ledger.execute(
        "select coalesce(parent_seq, order_seq) from terms where order_seq = ?", (seq,)
    ).fetchone()[0]
    family = _Family(ledger, root, bars, model)
    through: str = ledger.execute(
        "select matched_through from terms where order_seq = ?", (root,)
    ).fetchone()[0]
    opened = last_opened(calendar, now)
    first = family.first_session()
    for session in calendar.between(first, opened) if opened is not None else ():
        for moment, at in (
            (Moment.OPEN, calendar.opens_at(session)),
            (Moment.CLOSE, calendar.closes_at(session)),
        ):
            # So that names sort as moments happen.
            name = f"{session.isoformat()} {int(moment is Moment.CLOSE)}"
            if name <= through or at > now:
                continue
            if moment is Moment.OPEN and through and through[:10] < name[:10]:
                family.adjust(actions.get(session, ()), at)
            family.step(session, moment, at=at, opens_at=calendar.opens_at(session))
            through = name
    ledger.execute("update terms set matched_through = ? where order_seq = ?", (through, root))
    row: sqlite3.Row = ledger.execute(f"{ORDERS} where seq = ?", (seq,)).fetchone()
    return row


def after_end(ledger: sqlite3.Connection, seq: int, *, at: datetime) -> None:
    """Let an order's end have its consequence: legs begin or end with their entry, one leg ends the other."""
    own = ledger.execute("select parent_seq, leg from terms where order_seq = ?", (seq,)).fetchone()
    if own is None:
        return
    root = seq if own["parent_seq"] is None else own["parent_seq"]
    order = ledger.execute(f"{ORDERS} where seq = ?", (seq,)).fetchone()
    others = [member for member in _members(ledger, root) if member.row["seq"] != seq]
    for member in others:
        if OrderStatus(member.row["status"]).is_terminal:
            continue
        if own["leg"]:
            if member.leg:
                _end(ledger, member.row, OTHER_LEG_DONE, at)
        elif order["filled_quantity"] == 0:
            _end(ledger, member.row, ENTRY_ENDED, at)
        else:
            _begin(ledger, member.row, order["filled_quantity"], at)


class _Family:
    """Match the orders of one family, each moment of each session in its turn."""

    def __init__(self, ledger: sqlite3.Connection, root: int, bars: Bars, model: FillModel) -> None:
        self._ledger = ledger
        self._root = root
        self._bars = bars
        self._model = model

    def first_session(self) -> date:
        """Return the session that the family was sent for."""
        return min(member.session for member in _members(self._ledger, self._root))

    def adjust(self, actions: tuple[CorporateAction, ...], at: datetime) -> None:
        """Restate what rested over the night in the shares and prices of the new session."""
        for action in actions:
            for member in _members(self._ledger, self._root):
                if member.symbol != action.symbol or OrderStatus(member.row["status"]).is_terminal:
                    continue
                after = adjusted(member.terms, action)
                if after is None or after.left == 0:
                    _end(self._ledger, member.row, ENDED_BY_ACTION, at)
                    continue
                self._ledger.execute(
                    "update orders set quantity = ? where seq = ?",
                    (member.row["filled_quantity"] + after.left, member.row["seq"]),
                )
                self._ledger.execute(
                    "update terms set limit_micros = ?, stop_micros = ? where order_seq = ?",
                    (after.limit_micros, after.stop_micros, member.row["seq"]),
                )
                insert_update(self._ledger, member.row["seq"], Event.RESTATED, at)

    def step(self, session: date, moment: Moment, *, at: datetime, opens_at: datetime) -> None:
        """Let one moment happen: the entry first, then the stop, then the limit; then what is over ends."""
        for seq in [member.row["seq"] for member in _members(self._ledger, self._root)]:
            member = self._member(seq)
            if member.is_held or OrderStatus(member.row["status"]).is_terminal or session < member.session:
                continue
            bar = self._bars(member.symbol, session)
            if bar is not None:
                self._match(member, bar, session, moment, at=at, opens_at=opens_at)
            self._expire(self._member(seq), moment, at)

    def _match(
        self, member: _Member, bar: Quote, session: date, moment: Moment, *, at: datetime, opens_at: datetime
    ) -> None:
        seq = member.row["seq"]
        taken = self._ledger.execute(
            "select coalesce(sum(quantity), 0) from fills where order_seq = ? and session = ?",
            (seq, session.isoformat()),
        ).fetchone()[0]
        found = matched(
            member.terms,
            bar,
            self._model,
            moment=moment,
            taken=taken,
            is_there_from_open=member.seen_from <= opens_at,
        )
        if found.is_triggered != member.terms.is_triggered:
            self._ledger.execute("update terms set is_triggered = 1 where order_seq = ?", (seq,))
        if found.quantity:
            self._fill(member, found, session, max(at, member.seen_from))

    def _fill(self, member: _Member, found: Match, session: date, at: datetime) -> None:
        row, ledger = member.row, self._ledger
        number = ledger.execute("select count(*) from fills where order_seq = ?", (row["seq"],)).fetchone()[0]
        insert_fill(
            ledger,
            row,
            "exe-" + hashed(row["broker_order_id"], str(number + 1)),
            (found.quantity, found.price_micros, found.commission_micros),
            at,
            session=session,
        )
        filled = row["filled_quantity"] + found.quantity
        is_whole = filled == row["quantity"]
        set_status(
            ledger, row, OrderStatus.FILLED if is_whole else OrderStatus.PARTIAL_FILL, filled, "", at=at
        )
        if is_whole:
            after_end(ledger, row["seq"], at=at)
        elif member.leg:
            self._shrink_other(row["seq"], found.quantity, at)

    def _shrink_other(self, seq: int, quantity: int, at: datetime) -> None:
        """Take from the other leg what one of them closed."""
        for member in _members(self._ledger, self._root):
            if member.row["seq"] == seq or not member.leg or OrderStatus(member.row["status"]).is_terminal:
                continue
            left = member.row["quantity"] - quantity
            if left <= member.row["filled_quantity"]:
                _end(self._ledger, member.row, OTHER_LEG_DONE, at)
            else:
                self._ledger.execute(
                    "update orders set quantity = ? where seq = ?", (left, member.row["seq"])
                )

    def _expire(self, member: _Member, moment: Moment, at: datetime) -> None:
        if OrderStatus(member.row["status"]).is_terminal:
            return
        time_in_force = member.terms.time_in_force
        if time_in_force in ONCE and moment_of(time_in_force) is moment:
            _end(self._ledger, member.row, NOT_FILLED_AT_ONCE, at)
        elif time_in_force is not TimeInForce.GTC and moment is Moment.CLOSE:
            _end(self._ledger, member.row, SESSION_OVER, at)
        else:
            return
        after_end(self._ledger, member.row["seq"], at=at)

    def _member(self, seq: int) -> _Member:
        return next(one for one in _members(self._ledger, self._root) if one.row["seq"] == seq)


def _members(ledger: sqlite3.Connection, root: int) -> list[_Member]:
    return [_member_of(row) for row in ledger.execute(_MEMBERS, (root, root)).fetchall()]


def _member_of(row: sqlite3.Row) -> _Member:
    asked = json.loads(row["request"])
    return _Member(
        row=row,
        terms=Terms(
            sign=1 if row["side"] == Side.BUY else -1,
            left=row["quantity"] - row["filled_quantity"],
            order_type=OrderType(asked["order_type"]),
            time_in_force=TimeInForce(asked["time_in_force"]),
            limit_micros=row["limit_micros"],
            stop_micros=row["stop_micros"],
            is_triggered=bool(row["is_triggered"]),
        ),
        leg=row["leg"],
        is_held=bool(row["is_held"]),
        seen_from=instant_from_text(row["seen_from"] or row["submitted_at"]),
        symbol=Symbol(row["symbol"]),
        session=date.fromisoformat(row["session"]),
    )


def _end(ledger: sqlite3.Connection, row: sqlite3.Row, reason: str, at: datetime) -> None:
    set_status(ledger, row, OrderStatus.CANCELLED, row["filled_quantity"], reason, at=at)


def _begin(ledger: sqlite3.Connection, row: sqlite3.Row, quantity: int, at: datetime) -> None:
    """Let a leg begin to work, for what its entry filled."""
    ledger.execute("update orders set quantity = ? where seq = ?", (quantity, row["seq"]))
    ledger.execute(
        "update terms set is_held = 0, seen_from = ? where order_seq = ?", (instant_text(at), row["seq"])
    )
    insert_update(ledger, row["seq"], Event.NEW, at)


def _opposite(side: Side) -> Side:
    return Side.SELL if side is Side.BUY else Side.BUY


def _type_of(leg: Leg) -> OrderType:
    if leg.stop_micros is None:
        return OrderType.LIMIT
    return OrderType.STOP if leg.limit_micros is None else OrderType.STOP_LIMIT
