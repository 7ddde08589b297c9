"""The exchange without its wire: Alpaca's words become a question to the paper broker, and back.

Every method takes `now`, the exchange's own instant, and returns plain JSON or raises `ApiRefusal`. What
fills an order is resources/paper_broker/; how it is served is server.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from resources.paper_broker.broker import AnswerLost, PaperBroker
from resources.paper_exchange import refusals
from resources.paper_exchange.order_bodies import OrderBody, order_body, price_micros, shares
from resources.paper_exchange.records import (
    OrderRecord,
    broker_order_id_of,
    named_id,
    read_orders,
)
from resources.paper_exchange.refusals import ApiRefusal
from resources.paper_exchange.shapes import (
    asset_shape,
    cash_activity,
    fill_activity,
    number,
    order_shape,
    position_shape,
    status_of,
)
from trading.accounts import costs_after
from trading.actions import ActionKind, CorporateAction
from trading.audit import instant_text
from trading.broker_behaviour import SendFault
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

OPEN = "o.status in ('working', 'partial_fill')"

Parameters = Mapping[str, str]


class Answer(NamedTuple):
    """Hold what is answered: a status and JSON, `None` for no body."""

    status: int
    body: Any


class SendLost(TradingError):
    """Say that a send met with a fault on the wire; `answer` is what is cut, delayed or never told."""

    def __init__(self, fault: SendFault, answer: Answer) -> None:
        super().__init__(f"{fault}: no answer to the send")
        self.fault = fault
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

    # ------------------------------------------------------------------------ orders

    def submit(self, content: bytes, *, now: datetime) -> Answer:
        """Take one order; raises `ApiRefusal`, or `SendLost` where a practised fault holds the answer."""
        request = self._request(order_body(content), now)
        try:
            self.broker.submit(request, now=now)
        except AnswerLost as lost:
            told = self._answer_to(lost.answer, request.client_order_id, now)
            raise SendLost(lost.fault, told) from lost
        except (DuplicateClientOrderId, BrokerRejected) as error:
            raise self._refusal(error) from error
        return self._told(request.client_order_id, now)

    def cancel(self, order_id: str, *, now: datetime) -> Answer:
        """Ask for an order's cancel: 204 where it was open."""
        order = self._by_id(order_id, now)
        if order.status.is_terminal:
            status = status_of(order, opens_at=self.calendar.opens_at(order.session), now=now)
            raise refusals.unprocessable(f'order is already in "{status}" state')
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
        return Answer(200, self._shape(self._by_id(order_id, now), now))

    def order_by_client_order_id(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Return one order by the id its sender gave it."""
        wanted = parameters.get("client_order_id", "")
        found = self.broker.order_by_client_order_id(ClientOrderId(wanted), now=now)
        if found is None:
            raise refusals.not_found(f"order not found for {wanted}")
        return self._told(ClientOrderId(wanted), now)

    def orders(self, parameters: Parameters, *, now: datetime) -> Answer:
        """Return a list of orders: the open ones, the latest 50, unless more is asked for (500 at most)."""
        where, values = ["t.parent_seq is null"], []
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
        with self.broker.look(now=now) as ledger:
            found = read_orders(
                ledger,
                f"where {' and '.join(where)} order by o.submitted_at {direction}, o.seq {direction} limit ?",
                (*values, limit),
            )
        return Answer(200, [self._shape(order, now) for order in found])

    # ------------------------------------------------------------------------ the account

    def account_told(self, *, now: datetime) -> Answer:
        """Return the account: cash, and what it is all worth at the last prices."""
        with self.broker.look(now=now) as ledger:
            held = self.broker.account_in(ledger, now=now)
            began = ledger.execute("select min(arrived_at) from arrivals").fetchone()[0]
        worth = {symbol: self._price(symbol, now) * count for symbol, count in held.quantities.items()}
        long = sum(value for value in worth.values() if value > 0)
        short = sum(value for value in worth.values() if value < 0)
        equity = held.cash_micros + long + short
        cash = number(held.cash_micros)
        return Answer(
            200,
            {
                "id": str(named_id("account", self.account)),
                "account_number": self.account,
                "status": "ACTIVE",
                "currency": self._currency,
                "cash": cash,
                "buying_power": number(max(held.cash_micros, 0)),
                "regt_buying_power": number(max(held.cash_micros, 0)),
                "non_marginable_buying_power": number(max(held.cash_micros, 0)),
                "accrued_fees": "0",
                "portfolio_value": number(equity),
                "equity": number(equity),
                "last_equity": number(equity),
                "long_market_value": number(long),
                "short_market_value": number(short),
                "initial_margin": number(long - short),
                "maintenance_margin": number(long - short),
                "multiplier": "1",
                "shorting_enabled": False,
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
        return Answer(200, [self._position(symbol, now, *parts) for symbol, parts in self._held(now).items()])

    def position(self, symbol: str, *, now: datetime) -> Answer:
        """Return what the account holds of one symbol, named by its id or itself."""
        named = self._symbol(symbol)
        held = self._held(now)
        if named not in held:
            raise refusals.not_found("position does not exist")
        return Answer(200, self._position(named, now, *held[named]))

    def activities(self, parameters: Parameters, *, now: datetime, kind: str = "") -> Answer:
        """Return what moved shares or cash: FILL, the FEE of one, DIV and SPLIT."""
        wanted = {name for name in (kind or parameters.get("activity_types", "")).split(",") if name}
        direction = direction_parameter(parameters)
        size = count_parameter("page_size", parameters, default=ACTIVITIES_DEFAULT, most=ACTIVITIES_MAX)
        rows = [row for row in self._activities(now) if not wanted or row["activity_type"] in wanted]
        rows.sort(key=lambda row: str(row["id"]), reverse=direction == "desc")
        for name in ("date", "after", "until"):
            if name in parameters:
                rows = [row for row in rows if _is_within(row, name, parameters[name], self._zone)]
        token = parameters.get("page_token", "")
        if token:
            rows = [row for row in rows if (row["id"] < token if direction == "desc" else row["id"] > token)]
        return Answer(200, rows[:size])

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
        return Answer(200, [asset_shape(symbol, is_shortable=False) for symbol in listed])

    def asset(self, symbol: str) -> Answer:
        """Return one listed symbol, named by its id or itself."""
        return Answer(200, asset_shape(self._symbol(symbol), is_shortable=False))

    # ------------------------------------------------------------------------ parts

    def _request(self, body: OrderBody, now: datetime) -> OrderRequest:
        symbol = Symbol(body.symbol)
        if symbol not in self.symbols:
            raise refusals.unprocessable(f'asset "{body.symbol}" not found')
        quantity = shares(body.qty, symbol)
        if (
            body.type != "market"
            or body.time_in_force not in {"day", "opg"}
            or body.order_class not in {None, "", "simple"}
        ):
            raise refusals.unprocessable(f"{body.type} {body.time_in_force} orders are not served")
        for name, price in (("limit_price", body.limit_price), ("stop_price", body.stop_price)):
            if price_micros(price, name) is not None:
                raise refusals.unprocessable(f"market orders have no {name}")
        return OrderRequest(
            client_order_id=ClientOrderId(body.client_order_id or str(uuid.uuid4())),
            account=self.account,
            session=self._session(body.time_in_force, now),
            symbol=symbol,
            side=Side(body.side.upper()),
            quantity=quantity,
            order_type=OrderType(body.type),
            time_in_force=TimeInForce(body.time_in_force),
            reference_price_micros=0,
        )

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

    def _told(self, client_order_id: ClientOrderId, now: datetime) -> Answer:
        with self.broker.look(now=now) as ledger:
            found = read_orders(
                ledger, "where o.client_order_id = ? order by o.seq desc limit 1", (client_order_id,)
            )
        return Answer(200, self._shape(found[0], now))

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

    def _shape(self, order: OrderRecord, now: datetime) -> dict[str, Any]:
        status = status_of(order, opens_at=self.calendar.opens_at(order.session), now=now)
        return order_shape(order, status=status, expires_at=self.calendar.closes_at(order.session))

    def _symbol(self, named: str) -> Symbol:
        for symbol in self.symbols:
            if named in {symbol, str(named_id("asset", symbol))}:
                return symbol
        raise refusals.not_found(f"asset not found for {named[:100]}")

    def _price(self, symbol: Symbol, now: datetime) -> int:
        last = self.broker.last_price(symbol, now=now)
        return last[0] if last else 0

    def _held(self, now: datetime) -> dict[Symbol, tuple[int, int, int]]:
        """Return shares, cost and what open sales hold of them, by symbol."""
        with self.broker.look(now=now) as ledger:
            held: Holdings = self.broker.account_in(ledger, now=now)
            executions = self.broker.executions_in(ledger, now=now)
            selling = dict(
                ledger.execute(
                    "select symbol, sum(quantity - filled_quantity) from orders where side = 'SELL'"
                    " and status in ('working', 'partial_fill') group by symbol"
                ).fetchall()
            )
        costs = costs_after(executions, self.broker.actions_until(now))
        return {
            symbol: (count, costs.get(symbol, 0), selling.get(symbol, 0))
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
                "DIV" if effect.action.kind is ActionKind.DIVIDEND else "SPLIT",
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


def _described(action: CorporateAction) -> str:
    if action.kind is ActionKind.DIVIDEND:
        return f"dividend of {action.symbol}"
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
