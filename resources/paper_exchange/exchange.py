"""The exchange without its wire: Alpaca's words become a question to the paper broker, and back.

Every method takes `now`, the exchange's own instant, and returns plain JSON or raises `ApiRefusal`. What
fills an order is resources/paper_broker/; how it is served is server.py.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from resources.paper_broker.broker import AnswerLost, PaperBroker
from resources.paper_broker.resting import STOP_LOSS, TAKE_PROFIT, Leg, Ticket
from resources.paper_exchange import refusals
from resources.paper_exchange.order_bodies import (
    OrderBody,
    ReplaceBody,
    order_body,
    price_micros,
    replace_body,
    shares,
)
from resources.paper_exchange.records import (
    FillRecord,
    OrderRecord,
    UpdateRecord,
    broker_order_id_of,
    named_id,
    public_id,
    read_orders,
    read_updates,
)
from resources.paper_exchange.refusals import ApiRefusal
from resources.paper_exchange.shapes import (
    asset_shape,
    cash_activity,
    fill_activity,
    moment,
    number,
    order_shape,
    position_shape,
    status_of,
)
from trading.accounts import costs_after
from trading.actions import ActionKind, CorporateAction
from trading.audit import instant_text
from trading.broker_behaviour import ReportFault, SendFault
from trading.brokers import DuplicateClientOrderId, Holdings
from trading.errors import BrokerRejected, TradingError
from trading.order_windows import session_for
from trading.orders import BrokerOrder, OrderRequest
from trading.sessions import Calendar
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce

ORDERS_DEFAULT = 50
ORDERS_MAX = 500
ACTIVITIES_DEFAULT = 100
ACTIVITIES_MAX = 100

MULTIPLIER = 2
"""How much an account of this kind may hold for each unit of its equity: Regulation T's initial margin."""

HAS_LIMIT, HAS_STOP = frozenset({"limit", "stop_limit"}), frozenset({"stop", "stop_limit"})
AUCTION_TYPES = frozenset({"market", "limit"})
FAMILY_TIMES = frozenset({"day", "gtc"})

UPDATES_MAX = 500
WHOLE_PERCENT = 100

_STATUS_AFTER = {"new": "new", "fill": "filled", "partial_fill": "partially_filled"}

OPEN = "o.status in ('working', 'partial_fill')"

KNOWN = "select 1 from orders where client_order_id = ?"
ASKED = """
select o.symbol, sum(o.quantity - o.filled_quantity) as quantity,
  sum((o.quantity - o.filled_quantity) * coalesce(t.limit_micros, t.stop_micros, 0)) as priced_micros,
  sum((o.quantity - o.filled_quantity) * (coalesce(t.limit_micros, t.stop_micros) is null))
    as unpriced_quantity
from orders o left join terms t on t.order_seq = o.seq
where o.status in ('working', 'partial_fill') and o.side = ? and coalesce(t.is_held, 0) = 0
  and coalesce(t.leg, '') != 'stop_loss'
group by o.symbol
"""
"""What open orders of one side ask for: shares, the worth of those with a price, and how many have none.

Of two legs only one ever fills.
"""
CLOSING = """
select o.symbol, sum(o.quantity - o.filled_quantity)
from orders o left join terms t on t.order_seq = o.seq
where o.status in ('working', 'partial_fill') and o.side = ? and coalesce(t.is_held, 0) = 0
  and coalesce(t.leg, '') != 'stop_loss'
group by o.symbol
"""
"""What open orders of one side hold of what is there to be closed; of two legs only one ever fills."""

ACTIVITY_OF = {ActionKind.DIVIDEND: "DIV", ActionKind.SPLIT: "SPLIT", ActionKind.DELISTING: "REORG"}

Parameters = Mapping[str, str]


class Answer(NamedTuple):
    """Hold what is answered: a status and JSON, `None` for no body."""

    status: int
    body: Any


class Prices(NamedTuple):
    """Hold the prices that an order waits for, `None` where its kind has none."""

    limit_micros: int | None
    stop_micros: int | None


class Worth(NamedTuple):
    """Hold an account's money in micro-units; `asked_micros` is what open orders would use up of it.

    That is what they buy, and what they sell beyond the shares held: a short uses up as much as a purchase.
    """

    cash_micros: int
    long_micros: int
    short_micros: int
    asked_micros: int

    @property
    def equity_micros(self) -> int:
        """Return what it is all worth."""
        return self.cash_micros + self.long_micros + self.short_micros

    @property
    def buying_power_micros(self) -> int:
        """Return what may still be bought: twice the equity less what is held, owed and asked for."""
        used = self.long_micros - self.short_micros + self.asked_micros
        return max(MULTIPLIER * self.equity_micros - used, 0)


class SendLost(TradingError):
    """Say that a send met with a fault on the wire; `answer` is what is cut, delayed or never told."""

    def __init__(self, fault: SendFault, answer: Answer) -> None:
        super().__init__(f"{fault}: no answer to the send")
        self.fault = fault
        self.answer = answer


class ListCut(TradingError):
    """Say that a list breaks off on the wire; `answer` is the whole of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("list_cut: no whole answer to the question")
        self.answer = answer


class Exchange:
    """Answer for one account at one paper broker. `symbols` are those it lists."""

    def __init__(
        self,
        broker: PaperBroker,
        *,
        account: str,
        currency: str,
        calendar: Calendar,
        symbols: Collection[Symbol],
    ) -> None:
        self.broker = broker
        self.account = account
        self.calendar = calendar
        self.symbols = frozenset(symbols)
        self._currency = currency
        self._zone = ZoneInfo(calendar.timezone)
        # One order at a time: what the account can carry is asked before it is taken.
        self._turn = threading.Lock()

    # ------------------------------------------------------------------------ orders

    def submit(self, content: bytes, *, now: datetime) -> Answer:
        """Take one order; raises `ApiRefusal`, or `SendLost` where a fault holds the answer."""
        body = order_body(content)
        with self._turn:
            return self._placed(self._ticket(body, now), now)

    def replace(self, order_id: str, content: bytes, *, now: datetime) -> Answer:
        """Put an order in the place of an open one, of which nothing has filled: it gets an id of its own."""
        body = replace_body(content)
        with self._turn:
            order = self._by_id(order_id, now)
            if order.status.is_terminal or order.filled_quantity:
                raise refusals.unprocessable(f'order is already in "{self._status(order, now)}" state')
            return self._placed(self._replacement(order, body, now), now)

    def cancel(self, order_id: str, *, now: datetime) -> Answer:
        """Ask for an order's cancel: 204 where it was open."""
        order = self._by_id(order_id, now)
        if order.status.is_terminal:
            raise refusals.unprocessable(f'order is already in "{self._status(order, now)}" state')
        self.broker.cancel(ClientOrderId(order.client_order_id), now=now)
        return Answer(204, None)

    def cancel_all(self, *, now: datetime) -> Answer:
        """Ask for the cancel of every open order."""
        with self.broker.look(now=now) as ledger:
            orders = read_orders(ledger, f"where {OPEN} order by o.seq", ())
        told = []
        for order in orders:
            self.broker.cancel(ClientOrderId(order.client_order_id), now=now)
            told.append({"id": str(order.id), "status": 200, "body": None})
        return Answer(207, told)

    def order(self, order_id: str, *, now: datetime) -> Answer:
        """Return one order by its id."""
        order = self._by_id(order_id, now)
        with self.broker.look(now=now) as ledger:
            legs = legs_in(ledger, [order])
        return Answer(200, self._shape(order, now, legs))

    def order_by_client_order_id(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Return one order by the id its sender gave it."""
        wanted = parameters.get("client_order_id", "")
        found = self.broker.order_by_client_order_id(ClientOrderId(wanted), now=now)
        if found is None:
            raise refusals.not_found(f"order not found for {wanted}")
        return self._told(ClientOrderId(wanted), now)

    def orders(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Return a list of orders: the open ones, the latest 50, unless more is asked for (500 at most)."""
        is_nested = parameters.get("nested", "").lower() == "true"
        where = ["t.parent_seq is null"] if is_nested else ["true"]
        values: list[object] = []
        match parameters.get("status", "open"):
            case "open":
                where.append(OPEN)
            case "closed":
                where.append(f"not {OPEN}")
            case "all":
                pass
            case other:
                raise refusals.bad_body(f"invalid status {other!r}: open, closed or all")
        for name, sign in (("after", ">"), ("until", "<=")):
            if name in parameters:
                where.append(f"o.submitted_at {sign} ?")
                values.append(instant_text(instant_parameter(name, parameters[name])))
        if parameters.get("symbols"):
            names = parameters["symbols"].split(",")
            where.append(f"o.symbol in ({', '.join('?' * len(names))})")
            values += names
        if parameters.get("side"):
            where.append("o.side = ?")
            values.append(parameters["side"].upper())
        limit = count_parameter("limit", parameters, default=ORDERS_DEFAULT, most=ORDERS_MAX)
        direction = direction_parameter(parameters)
        number_asked = self.broker.asked()
        with self.broker.look(now=now) as ledger:
            found = read_orders(
                ledger,
                f"where {' and '.join(where)} order by o.submitted_at {direction}, o.seq {direction} limit ?",
                (*values, limit),
            )
            legs = legs_in(ledger, found) if is_nested else {}
        return self._listed(number_asked, [self._shape(order, now, legs) for order in found])

    # ------------------------------------------------------------------------ the account

    def account_told(self, *, now: datetime) -> Answer:
        """Return the account: cash, and what it is all worth at the last prices."""
        self.broker.asked()
        worth = self._worth(now)
        with self.broker.look(now=now) as ledger:
            began = ledger.execute("select min(arrived_at) from arrivals").fetchone()[0]
        gross = worth.long_micros - worth.short_micros
        power = number(worth.buying_power_micros)
        return Answer(
            200,
            {
                "id": str(named_id("account", self.account)),
                "account_number": self.account,
                "status": "ACTIVE",
                "currency": self._currency,
                "cash": number(worth.cash_micros),
                "buying_power": power,
                "regt_buying_power": power,
                "non_marginable_buying_power": number(max(worth.cash_micros, 0)),
                "accrued_fees": "0",
                "portfolio_value": number(worth.equity_micros),
                "equity": number(worth.equity_micros),
                "long_market_value": number(worth.long_micros),
                "short_market_value": number(worth.short_micros),
                "initial_margin": number(gross // MULTIPLIER),
                "maintenance_margin": number(gross // MULTIPLIER),
                "multiplier": str(MULTIPLIER),
                "shorting_enabled": True,
                "trading_blocked": False,
                "transfers_blocked": False,
                "account_blocked": False,
                "trade_suspended_by_user": False,
                "created_at": began or instant_text(now),
                "balance_asof": now.astimezone(self._zone).date().isoformat(),
            },
        )

    def positions(self, *, now: datetime) -> Answer:
        """Return what the account holds."""
        self.broker.asked()
        return Answer(200, [self._position(symbol, now, *parts) for symbol, parts in self._held(now).items()])

    def position(self, symbol: str, *, now: datetime) -> Answer:
        """Return what the account holds of one symbol, named by its id or itself."""
        named = self._symbol(symbol)
        held = self._held(now)
        if named not in held:
            raise refusals.not_found("position does not exist")
        return Answer(200, self._position(named, now, *held[named]))

    def close_position(self, symbol: str, parameters: Parameters, *, now: datetime) -> Answer:
        """Send a market order for the day that closes a position, or the part of it that is asked for."""
        named, held = self._symbol(symbol), self._held(now)
        if named not in held:
            raise refusals.not_found(f"position not found: {named}")
        count = held[named][0]
        quantity = shares(_decimal("qty", parameters), named) if parameters.get("qty") else abs(count)
        if parameters.get("percentage"):
            part = _decimal("percentage", parameters)
            if not 0 < part <= WHOLE_PERCENT:
                raise refusals.unprocessable("percentage must be over 0 and at most 100")
            quantity = int(abs(count) * part / WHOLE_PERCENT)
        body = {
            "symbol": named,
            "qty": str(quantity),
            "side": "sell" if count > 0 else "buy",
            "type": "market",
            "time_in_force": "day",
        }
        return self.submit(json.dumps(body).encode(), now=now)

    def close_all_positions(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Close every position; with `cancel_orders` true every open order is cancelled first."""
        if parameters.get("cancel_orders", "").lower() == "true":
            self.cancel_all(now=now)
        told = []
        for symbol in self._held(now):
            try:
                status, body = self.close_position(symbol, {}, now=now)
            except ApiRefusal as refusal:
                status, body = refusal.status, refusal.body()
            told.append({"symbol": symbol, "status": status, "body": body})
        return Answer(207, told)

    def activities(self, parameters: Parameters, *, now: datetime, kind: str = "") -> Answer:
        """Return what moved shares or cash: FILL, the FEE of one, DIV and SPLIT."""
        wanted = {name for name in (kind or parameters.get("activity_types", "")).split(",") if name}
        direction = direction_parameter(parameters)
        size = count_parameter("page_size", parameters, default=ACTIVITIES_DEFAULT, most=ACTIVITIES_MAX)
        number_asked = self.broker.asked()
        rows = [row for row in self._activities(now) if not wanted or row["activity_type"] in wanted]
        rows.sort(key=lambda row: str(row["id"]), reverse=direction == "desc")
        for name in ("date", "after", "until"):
            if name in parameters:
                rows = [row for row in rows if _is_within(row, name, parameters[name], self._zone)]
        token = parameters.get("page_token", "")
        if token:
            rows = [row for row in rows if (row["id"] < token if direction == "desc" else row["id"] > token)]
        return self._listed(number_asked, rows[:size])

    # ------------------------------------------------------------------------ the market

    def clock(self, *, now: datetime) -> Answer:
        """Return the exchange's time, and when it opens and closes next, as its wall shows it."""
        upcoming = self.calendar.between(now.date() - timedelta(days=1), now.date() + timedelta(days=30))
        opens = next((at for day in upcoming if (at := self.calendar.opens_at(day)) > now), None)
        closes = next((at for day in upcoming if (at := self.calendar.closes_at(day)) > now), None)
        is_open = any(self.calendar.opens_at(day) <= now < self.calendar.closes_at(day) for day in upcoming)
        if opens is None or closes is None:
            raise refusals.not_found(f"{self.calendar.name} has no session after {now.date()}")
        return Answer(
            200,
            {
                "timestamp": now.astimezone(self._zone).isoformat(),
                "is_open": is_open,
                "next_open": opens.astimezone(self._zone).isoformat(),
                "next_close": closes.astimezone(self._zone).isoformat(),
            },
        )

    def calendar_told(self, parameters: Parameters) -> Answer:
        """Return the sessions from `start` to `end`, each with its hours on the exchange's wall."""
        first = day_parameter("start", parameters, default=self.calendar.sessions[0])
        last = day_parameter("end", parameters, default=self.calendar.sessions[-1])
        return Answer(
            200,
            [
                {
                    "date": day.isoformat(),
                    "open": f"{self.calendar.open_time:%H:%M}",
                    "close": f"{self.calendar.early_closes.get(day, self.calendar.close_time):%H:%M}",
                    "session_open": f"{self.calendar.open_time:%H%M}",
                    "session_close": f"{self.calendar.early_closes.get(day, self.calendar.close_time):%H%M}",
                    "settlement_date": self.calendar.next(day).isoformat(),
                }
                for day in self.calendar.between(first, last)
                if day != self.calendar.sessions[-1]
            ],
        )

    def assets(self, parameters: Parameters) -> Answer:
        """Return every listed symbol."""
        is_none = parameters.get("status", "active") != "active"
        is_none |= parameters.get("asset_class", "us_equity") != "us_equity"
        listed = () if is_none else sorted(self.symbols)
        return Answer(200, [asset_shape(symbol, is_shortable=True) for symbol in listed])

    def asset(self, symbol: str) -> Answer:
        """Return one listed symbol, named by its id or itself."""
        return Answer(200, asset_shape(self._symbol(symbol), is_shortable=True))

    def updates_after(self, seq: int) -> list[tuple[int, dict[str, Any]]]:
        """Return what happened to orders after a number, each with its own, as the stream tells it."""
        with self.broker.kept() as ledger:
            updates = read_updates(ledger, "where seq > ? order by seq limit ?", (seq, UPDATES_MAX))
            wanted = json.dumps(sorted({update.order_seq for update in updates}))
            orders = read_orders(ledger, "where o.seq in (select value from json_each(?))", (wanted,))
        known = {order.seq: order for order in orders}
        return [(update.seq, self._told_update(known[update.order_seq], update)) for update in updates]

    def last_update(self) -> int:
        """Return the number of the latest update, 0 where there is none."""
        with self.broker.kept() as ledger:
            return int(ledger.execute("select coalesce(max(seq), 0) from updates").fetchone()[0])

    # ------------------------------------------------------------------------ parts

    def _told_update(self, order: OrderRecord, update: UpdateRecord) -> dict[str, Any]:
        """Return one update: the order in it is as it was then, however much has happened since."""
        fills = tuple(fill for fill in order.fills if fill.filled_at <= update.at)
        told = tuple(one for one in fills if one.seq <= _fill_seq(fills, update))
        filled = sum(-fill.quantity if fill.takes_back else fill.quantity for fill in told)
        event = update.event
        if event == "fill" and filled < order.quantity:
            event = "partial_fill"
        then = order._replace(
            fills=told,
            filled_quantity=filled,
            updates=tuple(one for one in order.updates if one.seq <= update.seq),
        )
        shape = self._shape(then, update.at)
        shape["status"] = _STATUS_AFTER.get(event, shape["status"])
        data: dict[str, Any] = {"event": event, "timestamp": moment(update.at), "order": shape}
        fill = next((one for one in told if one.execution_id == update.execution_id), None)
        if fill is not None:
            data |= {
                "execution_id": str(public_id(fill.execution_id)),
                "price": number(fill.price_micros),
                "qty": str(fill.quantity),
                "position_qty": str(self._shares_after(order.symbol, update)),
            }
        return {"stream": "trade_updates", "data": data}

    def _shares_after(self, symbol: Symbol, update: UpdateRecord) -> int:
        with self.broker.look(now=update.at) as ledger:
            return self.broker.account_in(ledger, now=update.at).quantities.get(symbol, 0)

    def _placed(self, ticket: Ticket, now: datetime) -> Answer:
        client_order_id = ticket.request.client_order_id
        try:
            self.broker.place(ticket, now=now)
        except AnswerLost as lost:
            raise SendLost(lost.fault, self._answer_to(lost.answer, client_order_id, now)) from lost
        except (DuplicateClientOrderId, BrokerRejected) as error:
            raise self._refusal(error) from error
        return self._told(client_order_id, now)

    def _ticket(self, body: OrderBody, now: datetime) -> Ticket:
        """Return what a body asks for; raises `ApiRefusal` where it cannot be had."""
        symbol = Symbol(body.symbol)
        if symbol not in self.symbols:
            raise refusals.unprocessable(f'asset "{body.symbol}" not found')
        prices = prices_of(body)
        request = OrderRequest(
            client_order_id=ClientOrderId(body.client_order_id or str(uuid.uuid4())),
            account=self.account,
            session=self._session(body.time_in_force, now),
            symbol=symbol,
            side=Side(body.side.upper()),
            quantity=shares(body.qty, symbol),
            order_type=OrderType(body.type),
            time_in_force=TimeInForce(body.time_in_force),
            reference_price_micros=0,
        )
        order_class = "" if body.order_class in {None, "simple"} else str(body.order_class)
        ticket = Ticket(
            request=request,
            limit_micros=prices.limit_micros,
            stop_micros=prices.stop_micros,
            order_class=order_class,
            legs=legs_of(body, prices),
        )
        self._check_account(request, prices, now)
        return ticket

    def _replacement(self, order: OrderRecord, body: ReplaceBody, now: datetime) -> Ticket:
        request = OrderRequest(
            client_order_id=ClientOrderId(body.client_order_id or str(uuid.uuid4())),
            account=self.account,
            session=order.session,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity if body.qty is None else shares(body.qty, order.symbol),
            order_type=OrderType(order.order_type),
            time_in_force=TimeInForce(body.time_in_force or order.time_in_force),
            reference_price_micros=0,
        )
        for name, price, has_one in (
            ("limit_price", body.limit_price, order.limit_micros is not None),
            ("stop_price", body.stop_price, order.stop_micros is not None),
        ):
            if price is not None and not has_one:
                raise refusals.unprocessable(f"{order.order_type} orders have no {name}")
        prices = Prices(
            price_micros(body.limit_price, "limit_price") or order.limit_micros,
            price_micros(body.stop_price, "stop_price") or order.stop_micros,
        )
        self._check_account(request, prices, now, instead_of=order)
        return Ticket(
            request=request,
            limit_micros=prices.limit_micros,
            stop_micros=prices.stop_micros,
            order_class=order.order_class,
            leg=order.leg,
            replaces=ClientOrderId(order.client_order_id),
        )

    def _check_account(
        self, request: OrderRequest, prices: Prices, now: datetime, *, instead_of: OrderRecord | None = None
    ) -> None:
        """Raise `ApiRefusal` for more than the account can buy, or a sale of more than is there to be sold.

        What is held can be sold, less what open sales hold of it; what is owed can be bought back, less what
        open purchases hold of that. What is not held can be sold short, but one order never turns a position
        around. Of a replacement it is asked what it adds to the order that it takes the place of. An id that
        is known is the broker's to refuse.
        """
        with self.broker.look(now=now) as ledger:
            if ledger.execute(KNOWN, (request.client_order_id,)).fetchone():
                return
            shares_held = self.broker.account_in(ledger, now=now).quantities.get(request.symbol, 0)
            open_there = dict(ledger.execute(CLOSING, (request.side,)).fetchall()).get(request.symbol, 0)
        replaced = 0 if instead_of is None else instead_of.quantity
        if shares_held and (request.side is Side.SELL) == (shares_held > 0):
            available = max(abs(shares_held) - open_there, 0)
            if request.quantity - replaced > available:
                raise refusals.not_enough(
                    f"insufficient qty available for order (requested: {request.quantity},"
                    f" available: {available})"
                )
            return
        last = self._price(request.symbol, now)
        cost = (prices.limit_micros or prices.stop_micros or last) * request.quantity
        if instead_of is not None:
            cost -= (instead_of.limit_micros or instead_of.stop_micros or last) * replaced
        if cost > 0 and cost > self._worth(now).buying_power_micros:
            raise refusals.not_enough("insufficient buying power")

    def _session(self, time_in_force: str, now: datetime) -> date:
        session, reason = session_for(time_in_force, now=now, calendar=self.calendar)
        if session is None:
            raise refusals.unprocessable(reason)
        return session

    def _refusal(self, error: TradingError) -> ApiRefusal:
        if isinstance(error, DuplicateClientOrderId):
            return refusals.duplicate()
        code, _, words = str(error).partition(": ")
        if code == "refused":
            return refusals.not_enough("insufficient buying power")
        return refusals.unprocessable(f"{code.replace('_', ' ')}: {words}")

    def _answer_to(
        self, answer: BrokerOrder | TradingError, client_order_id: ClientOrderId, now: datetime
    ) -> Answer:
        """Return what a send whose answer is lost on the way would have been answered."""
        if isinstance(answer, BrokerOrder):
            return self._told(client_order_id, now)
        refusal = self._refusal(answer)
        return Answer(refusal.status, refusal.body())

    def _listed(self, number_asked: str, rows: list[dict[str, Any]]) -> Answer:
        """Return a list, or lose half of it on the wire where that is its fate."""
        if self.broker.behaviour.has(ReportFault.LIST_CUT, number_asked):
            raise ListCut(Answer(200, rows))
        return Answer(200, rows)

    def _is_told(self, order: OrderRecord, fill: FillRecord, now: datetime) -> bool:
        """Say whether an execution is told yet: a broker may tell it late, and of its order at once."""
        is_late = self.broker.behaviour.has(ReportFault.LATE_FILLS, order.client_order_id)
        return not is_late or now >= fill.filled_at + timedelta(seconds=self.broker.behaviour.late_s)

    def _status(self, order: OrderRecord, now: datetime) -> str:
        return status_of(order, opens_at=self.calendar.opens_at(order.session), now=now)

    def _told(self, client_order_id: ClientOrderId, now: datetime) -> Answer:
        with self.broker.look(now=now) as ledger:
            found = read_orders(
                ledger, "where o.client_order_id = ? order by o.seq desc limit 1", (client_order_id,)
            )
            legs = legs_in(ledger, found)
        return Answer(200, self._shape(found[0], now, legs))

    def _by_id(self, order_id: str, now: datetime) -> OrderRecord:
        try:
            wanted = broker_order_id_of(UUID(order_id))
        except ValueError as error:
            raise refusals.bad_body(f"invalid order_id {order_id[:100]!r}") from error
        with self.broker.look(now=now) as ledger:
            found = read_orders(ledger, "where o.broker_order_id = ?", (wanted,))
        if not found:
            raise refusals.not_found(f"order not found for {order_id}")
        return found[0]

    def _shape(
        self, order: OrderRecord, now: datetime, legs: Mapping[int, list[OrderRecord]] | None = None
    ) -> dict[str, Any]:
        """Return an order as it is told, its legs within it where they are given."""
        inner = [self._shape(leg, now) for leg in (legs or {}).get(order.seq, ())]
        return order_shape(
            order,
            status=self._status(order, now),
            expires_at=self.calendar.closes_at(order.session),
            legs=inner or None,
        )

    def _symbol(self, named: str) -> Symbol:
        for symbol in self.symbols:
            if named in {symbol, str(named_id("asset", symbol))}:
                return symbol
        raise refusals.not_found(f"asset not found for {named[:100]}")

    def _worth(self, now: datetime) -> Worth:
        """Return the account's money: what it holds at the last prices, and what it may still buy."""
        with self.broker.look(now=now) as ledger:
            held = self.broker.account_in(ledger, now=now)
            buying = ledger.execute(ASKED, (Side.BUY,)).fetchall()
            selling = ledger.execute(ASKED, (Side.SELL,)).fetchall()
        values = [self._price(symbol, now) * count for symbol, count in held.quantities.items()]
        asked = sum(priced + count * self._price(Symbol(symbol), now) for symbol, _, priced, count in buying)
        for symbol, quantity, priced, count in selling:
            short = max(quantity - max(held.quantities.get(Symbol(symbol), 0), 0), 0)
            asked += (priced + count * self._price(Symbol(symbol), now)) * short // quantity
        return Worth(
            cash_micros=held.cash_micros,
            long_micros=sum(value for value in values if value > 0),
            short_micros=sum(value for value in values if value < 0),
            asked_micros=asked,
        )

    def _price(self, symbol: Symbol, now: datetime) -> int:
        last = self.broker.last_price(symbol, now=now)
        return last[0] if last else 0

    def _held(self, now: datetime) -> dict[Symbol, tuple[int, int, int]]:
        """Return shares, cost and what open orders that close hold of them, by symbol; owed ones below 0."""
        with self.broker.look(now=now) as ledger:
            held: Holdings = self.broker.account_in(ledger, now=now)
            executions = self.broker.executions_in(ledger, now=now)
            selling = dict(ledger.execute(CLOSING, (Side.SELL,)).fetchall())
            buying = dict(ledger.execute(CLOSING, (Side.BUY,)).fetchall())
        costs = costs_after(executions, self.broker.actions_until(now))
        return {
            symbol: (
                count,
                costs.get(symbol, 0),
                selling.get(symbol, 0) if count > 0 else -buying.get(symbol, 0),
            )
            for symbol, count in held.quantities.items()
        }

    def _position(self, symbol: Symbol, now: datetime, quantity: int, cost: int, held: int) -> dict[str, Any]:
        last = self.broker.last_price(symbol, now=now)
        before = self.broker.previous_close(symbol, now=now)
        return position_shape(
            symbol,
            quantity,
            cost_micros=cost,
            price_micros=last[0] if last else None,
            before_micros=before,
            held=held,
        )

    def _activities(self, now: datetime) -> list[dict[str, Any]]:
        with self.broker.look(now=now) as ledger:
            orders = read_orders(ledger, "where o.seq in (select order_seq from fills) order by o.seq", ())
            effects = self.broker.effects_in(ledger, now=now)
        rows = [
            cash_activity(
                ACTIVITY_OF[effect.action.kind],
                at=self.calendar.opens_at(effect.session),
                on=effect.session.isoformat(),
                known_as=f"{effect.session}-{effect.action.symbol}-{effect.action.kind}",
                net_micros=effect.cash_micros,
                description=_described(effect.action),
                account=self.account,
                symbol=effect.action.symbol,
                quantity=effect.quantity,
                per_share_micros=effect.action.dividend_micros or None,
            )
            for effect in effects
        ]
        for order in orders:
            done = 0
            for fill in order.fills:
                done += -fill.quantity if fill.takes_back else fill.quantity
                if not self._is_told(order, fill, now):
                    continue
                rows.append(fill_activity(order, fill, cumulative=done, account=self.account))
                fee = fill.commission_micros if fill.takes_back else -fill.commission_micros
                if fee:
                    rows.append(
                        cash_activity(
                            "FEE",
                            at=fill.filled_at,
                            on=fill.filled_at.astimezone(self._zone).date().isoformat(),
                            known_as=f"fee-{fill.execution_id}",
                            net_micros=fee,
                            description=f"commission of {fill.execution_id}",
                            account=self.account,
                            symbol=order.symbol,
                        )
                    )
        return rows


def _fill_seq(fills: Iterable[FillRecord], update: UpdateRecord) -> int:
    """Return the number of the last execution that an update knows of."""
    listed = list(fills)
    own = [fill.seq for fill in listed if fill.execution_id == update.execution_id]
    return own[0] if own else max((fill.seq for fill in listed), default=0)


def prices_of(body: OrderBody) -> Prices:
    """Return the prices of an order; raises `ApiRefusal` for one that its kind lacks or does not have."""
    if body.type == "trailing_stop" or body.order_class == "mleg":
        kind = " ".join(word for word in (body.type, body.order_class) if word)
        raise refusals.unprocessable(f"{kind} orders are not served here")
    limit, stop = price_micros(body.limit_price, "limit_price"), price_micros(body.stop_price, "stop_price")
    if body.order_class == "oco":
        limit = (
            None if body.take_profit is None else price_micros(body.take_profit.limit_price, "limit_price")
        )
    for name, price, kinds in (("limit_price", limit, HAS_LIMIT), ("stop_price", stop, HAS_STOP)):
        if price is None and body.type in kinds:
            raise refusals.unprocessable(f"{body.type} orders require {name}")
        if price is not None and body.type not in kinds:
            raise refusals.unprocessable(f"{body.type} orders have no {name}")
    if body.time_in_force in {"opg", "cls"} and body.type not in AUCTION_TYPES:
        raise refusals.unprocessable(f"{body.time_in_force} orders must be market or limit orders")
    if body.extended_hours:
        raise refusals.unprocessable("extended hours orders are not served here")
    return Prices(limit, stop)


def legs_of(body: OrderBody, prices: Prices) -> tuple[Leg, ...]:
    """Return the orders that close an entry; raises `ApiRefusal` for one that is missing or crossed."""
    if body.order_class in {None, "", "simple"}:
        return ()
    if body.time_in_force not in FAMILY_TIMES:
        raise refusals.unprocessable(f"{body.order_class} orders must be day or gtc orders")
    if body.order_class == "oco" and body.type != "limit":
        raise refusals.unprocessable("oco orders must be limit orders")
    takes, cuts = body.take_profit, body.stop_loss
    profit = None if takes is None else price_micros(takes.limit_price, "take_profit.limit_price")
    stop = None if cuts is None else price_micros(cuts.stop_price, "stop_loss.stop_price")
    limit = None if cuts is None else price_micros(cuts.limit_price, "stop_loss.limit_price")
    if body.order_class in {"bracket", "oco"} and (profit is None or stop is None):
        raise refusals.unprocessable(f"{body.order_class} orders require take_profit and stop_loss")
    if profit is None and stop is None:
        raise refusals.unprocessable("oto orders require take_profit or stop_loss")
    closes_by_selling = (body.side == "sell") == (body.order_class == "oco")
    entry = prices.limit_micros if body.order_class != "oco" else None
    low, high = (stop, profit) if closes_by_selling else (profit, stop)
    if low is not None and high is not None and low >= high:
        raise refusals.unprocessable("take_profit.limit_price and stop_loss.stop_price are crossed")
    if entry is not None and ((low is not None and low >= entry) or (high is not None and high <= entry)):
        raise refusals.unprocessable("take_profit and stop_loss must lie on both sides of the entry's limit")
    legs = []
    if stop is not None:
        legs.append(Leg(STOP_LOSS, limit, stop))
    if profit is not None and body.order_class != "oco":
        legs.append(Leg(TAKE_PROFIT, profit, None))
    return tuple(legs)


def legs_in(ledger: sqlite3.Connection, orders: Iterable[OrderRecord]) -> dict[int, list[OrderRecord]]:
    """Return the legs of orders, by the number of the order that they belong to."""
    parents = json.dumps([order.seq for order in orders if order.order_class])
    found: dict[int, list[OrderRecord]] = defaultdict(list)
    where = "where t.parent_seq in (select value from json_each(?)) order by o.seq"
    for leg in read_orders(ledger, where, (parents,)) if parents != "[]" else ():
        found[leg.parent_seq or 0].append(leg)
    return found


def _described(action: CorporateAction) -> str:
    if action.kind is ActionKind.DIVIDEND:
        return f"dividend of {action.symbol}"
    if action.kind is ActionKind.DELISTING:
        return f"delisting of {action.symbol}"
    return f"split of {action.symbol}, {action.numerator} for {action.denominator}"


def instant_parameter(name: str, text: str) -> datetime:
    """Return an instant of a parameter; a date is its first moment in UTC. Raises `ApiRefusal`."""
    try:
        at = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise refusals.bad_body(f"invalid {name} {text[:100]!r}: write it as RFC 3339") from error
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo("UTC"))


def day_parameter(name: str, parameters: Parameters, *, default: date) -> date:
    """Return the date of a parameter; raises `ApiRefusal`."""
    if not parameters.get(name):
        return default
    return instant_parameter(name, parameters[name]).date()


def count_parameter(name: str, parameters: Parameters, *, default: int, most: int) -> int:
    """Return a count of rows; raises `ApiRefusal` for one that is not 1 to the most."""
    text = parameters.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
        raise refusals.unprocessable(f"{name} must be 1 to {most}")
    return int(text)


def _decimal(name: str, parameters: Parameters) -> Decimal:
    """Return a number of a parameter; raises `ApiRefusal`."""
    try:
        number_asked = Decimal(parameters[name])
    except InvalidOperation as error:
        raise refusals.bad_body(f"invalid {name} {parameters[name][:100]!r}") from error
    if not number_asked.is_finite():
        raise refusals.bad_body(f"invalid {name} {parameters[name][:100]!r}")
    return number_asked


def direction_parameter(parameters: Parameters) -> str:
    """Return `asc` or `desc`, the default; raises `ApiRefusal`."""
    direction = parameters.get("direction", "desc") or "desc"
    if direction not in {"asc", "desc"}:
        raise refusals.bad_body(f"invalid direction {direction[:100]!r}: asc or desc")
    return direction


def _is_within(row: dict[str, Any], name: str, text: str, zone: ZoneInfo) -> bool:
    at = row.get("transaction_time") or row["date"]
    when = instant_parameter("transaction_time", at)
    if name == "date":
        return at == text if "T" not in at else when.astimezone(zone).date().isoformat() == text
    limit = instant_parameter(name, text)
    return when > limit if name == "after" else when <= limit
