"""The embedded paper broker: a market simulated at the open, behind a ledger of its own on disk.

It is a broker as any other: it has its own file, keeps its own account of cash and shares, and knows nothing
of the journal. It remembers every client order id for good and answers as it should, unless it is told to
misbehave (trading/broker_behaviour.py). What it fills with is trading/simulation.py; the port is
trading/brokers.py; over HTTP it stands behind server.py.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from resources.paper_broker import resting
from resources.paper_broker.ledger import Ledger
from resources.paper_broker.resting import Ticket
from resources.paper_broker.rows import (
    ORDERS,
    REPLACED,
    SESSION_OVER,
    Event,
    insert_fill,
    insert_update,
    set_status,
)
from trading.accounts import ActionEffect, Execution, account_after, action_effects, last_opened
from trading.actions import CorporateAction, at_sessions, effective_in
from trading.audit import instant_from_text, instant_text
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.brokers import (
    ActivityKind,
    Arrival,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    DuplicateClientOrderId,
    Holdings,
    replacement_fault,
    request_from_payload,
    request_payload,
)
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown, TradingError
from trading.guards import BPS
from trading.intents import hashed
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.quotes import Quote, split_price
from trading.sessions import Calendar
from trading.simulation import FillModel, fill_at_open
from trading.values import ClientOrderId, OrderType, Side, Symbol, digest

UNKNOWN_SYMBOL = "unknown_symbol"
ZERO_QUANTITY = "zero_quantity"
NOT_A_MARKET_ORDER = "not_a_market_order"
NOT_REPLACEABLE = "not_replaceable"
ON_REQUEST = "cancelled_on_request"

REFUSED = "refused"
MALFORMED_REQUEST = "malformed_request"

DEFINITIVE_ERRORS = frozenset(
    {
        UNKNOWN_SYMBOL,
        ZERO_QUANTITY,
        NOT_A_MARKET_ORDER,
        SESSION_OVER,
        NOT_REPLACEABLE,
        REFUSED,
        MALFORMED_REQUEST,
    }
)
"""The closed list of refusals; the last one is of a send that could not be read, or not be written."""

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
LATE_SEND = "late_send"
BUST = "bust"

CHECKPOINT_SESSIONS = 20
"""How many sessions a look at the account may fold: moving the checkpoint waits for the disk."""

KIND = Behaviour()
"""The behaviour of a broker that remembers for good and does nothing wrong."""


class AnswerLost(OutcomeUnknown):
    """Say that a send met with a fault; `answer` is what would have been said."""

    def __init__(self, fault: SendFault, answer: BrokerOrder | TradingError) -> None:
        super().__init__(f"{fault}: no answer to the send")
        self.fault = fault
        self.answer = answer


class QuestionLost(BrokerUnavailable):
    """Say that a question or a cancel met with a fault; `answer` is the list that was cut, if it was one."""

    def __init__(
        self, fault: ReportFault, answer: Sequence[BrokerOrder | BrokerFill | BrokerActivity] = ()
    ) -> None:
        super().__init__(f"{fault}: no whole answer to the question")
        self.fault = fault
        self.answer = answer


class PaperMarket(Protocol):
    """Give the market that the broker trades on."""

    def bar(self, symbol: Symbol, session: date) -> Quote | None:
        """Return a symbol's bar of a session, or `None` where it did not trade or is not known yet."""
        ...

    def actions(self) -> Iterable[CorporateAction]:
        """Return all splits and dividends, each under the date on which it takes effect."""
        ...


class PaperBroker:
    """Take day and opening market orders and fill them at their session's open.

    `path` is its ledger, made when missing, which then remembers the account's name and what it opened
    with, `deposit_micros` of `currency`. `symbols` are those it lists; `None` lists all. An order fills as
    soon as it is asked about at or after the open, up to the model's share of the bar's volume; what is left
    is cancelled at the close. Ids and times are pure functions of the order, its session and `behaviour`, so
    the same orders give the same ledger whenever they are asked about.
    """

    def __init__(
        self,
        path: Path,
        *,
        account: str,
        deposit_micros: int,
        market: PaperMarket,
        fill_model: FillModel,
        calendar: Calendar,
        symbols: Collection[Symbol] | None = None,
        behaviour: Behaviour = KIND,
        currency: str = "USD",
    ) -> None:
        self.capabilities = replace(
            behaviour.capabilities(
                definitive_errors=DEFINITIVE_ERRORS, ambiguous_errors=frozenset(SendFault) - _ANSWERED
            ),
            short=True,
        )
        self.behaviour = behaviour
        self._currency = currency
        self._questions = count(1)
        self._market = market
        self._model = fill_model
        self._calendar = calendar
        self._symbols = None if symbols is None else frozenset(symbols)
        self._ledger = Ledger(path)
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            ledger.execute("insert or ignore into account values (1, ?, ?)", (account, deposit_micros))

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Accept one order for good, or refuse it."""
        with self._ledger.transaction(OutcomeUnknown) as ledger:
            self._come_due(ledger, now)
            attempt = _arrivals_under(ledger, request.client_order_id)
            fault = self.behaviour.send_fault(request.client_order_id, attempt=attempt)
            answer = self._received(ledger, request, fault, now)
        return _told(answer, fault)

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Accept an order in the place of an open one, or refuse it; it may be lost, and is never `late`."""
        with self._ledger.transaction(OutcomeUnknown) as ledger:
            self._come_due(ledger, now)
            rows = self._advanced(ledger, _under(ledger, client_order_id), now)
            attempt = _arrivals_under(ledger, request.client_order_id)
            fault = self.behaviour.send_fault(request.client_order_id, attempt=attempt)
            fault = SendFault.RESET_BEFORE if fault is SendFault.LATE else fault
            answer = self._replaced(ledger, rows[-1] if rows else None, request, fault, now)
        return _told(answer, fault)

    def place(self, ticket: Ticket, *, now: datetime) -> BrokerOrder:
        """Accept an order of any kind, alone or in the place of another one, or refuse it; never `late`."""
        request = ticket.request
        with self._ledger.transaction(OutcomeUnknown) as ledger:
            self._come_due(ledger, now)
            old = self._advanced(ledger, _under(ledger, ticket.replaces), now) if ticket.replaces else []
            attempt = _arrivals_under(ledger, request.client_order_id)
            fault = self.behaviour.send_fault(request.client_order_id, attempt=attempt)
            fault = SendFault.RESET_BEFORE if fault is SendFault.LATE else fault
            if ticket.replaces:
                answer = self._replaced(ledger, old[-1] if old else None, request, fault, now, ticket=ticket)
            else:
                answer = self._received(ledger, request, fault, now, ticket=ticket)
        return _told(answer, fault)

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id as it is at `now`, or `None`; the latest where there are two."""
        self.asked()
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            rows = self._advanced(ledger, _under(ledger, client_order_id), now)
        return _order_of(rows[-1]) if rows else None

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return the executions under an id up to `now`."""
        number = self.asked()
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            self._advanced(ledger, _under(ledger, client_order_id), now)
            rows = ledger.execute(
                f"{_FILLS} where o.client_order_id = ? order by f.filled_at, f.seq", (client_order_id,)
            ).fetchall()
        told = self.behaviour.told([_fill_of(row) for row in rows], now=now)
        if self.behaviour.has(ReportFault.LIST_CUT, number):
            raise QuestionLost(ReportFault.LIST_CUT, told)
        return told

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Cancel what is left of an order; one that has ended stays as it ended."""
        if self.behaviour.has(ReportFault.CANCEL_LOST, client_order_id):
            raise QuestionLost(ReportFault.CANCEL_LOST)
        is_ignored = self.behaviour.has(ReportFault.CANCEL_THEN_FILLED, client_order_id)
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            for row in self._advanced(ledger, _under(ledger, client_order_id), now):
                if not (is_ignored or OrderStatus(row["status"]).is_terminal):
                    set_status(ledger, row, OrderStatus.CANCELLED, row["filled_quantity"], ON_REQUEST, at=now)
                    resting.after_end(ledger, row["seq"], at=now)

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return every order that is open at `now`, and every one of a session from `since` on."""
        number = self.asked()
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            listed = ledger.execute(
                f"{ORDERS} where session >= ? union {ORDERS} where {_OPEN} order by seq",
                (since.isoformat(),),
            ).fetchall()
            rows = self._advanced(ledger, listed, now)
        orders = [
            _order_of(row)
            for row in rows
            if row["session"] >= since.isoformat() or not OrderStatus(row["status"]).is_terminal
        ]
        if self.behaviour.has(ReportFault.LIST_CUT, number):
            raise QuestionLost(ReportFault.LIST_CUT, orders)
        return orders

    def holdings(self, *, now: datetime) -> Holdings:
        """Return the broker's own account of cash and shares: deposit, executions, and actions in effect."""
        self.asked()
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            self._advance_all(ledger, now)
            return self._account(ledger, now)

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares of the broker's own account."""
        return self.holdings(now=now).quantities

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return the account's money, its shares at what the market last showed; it lends nothing."""
        held = self.holdings(now=now)
        quotes = {symbol: self._quote(symbol, now) for symbol in held.quantities}
        prices = {symbol: quote.last_micros for symbol, quote in quotes.items() if quote is not None}
        worth = [shares * (prices.get(symbol) or 0) for symbol, shares in held.quantities.items()]
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            name = ledger.execute("select name from account").fetchone()["name"]
        return BrokerAccount(
            account=name,
            currency=self._currency,
            cash_micros=held.cash_micros,
            buying_power_micros=max(held.cash_micros, 0),
            equity_micros=held.cash_micros + sum(worth) if len(prices) == len(held.quantities) else None,
        )

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return executions, their fees, and what splits and dividends did, as far as they are told."""
        number = self.asked()
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            self._advance_all(ledger, now)
            fills = ledger.execute(f"{_FILLS} order by f.filled_at, f.seq").fetchall()
            effects = self.effects_in(ledger, now=now)
        listed = [activity for row in fills for activity in _activities_of(row)]
        listed += [
            BrokerActivity(
                activity_id="act-"
                + hashed(effect.session.isoformat(), effect.action.symbol, effect.action.kind),
                kind=ActivityKind(effect.action.kind.value),
                happened_at=self._calendar.opens_at(effect.session),
                symbol=effect.action.symbol,
                quantity=effect.quantity,
                price_micros=effect.action.dividend_micros,
                cash_micros=effect.cash_micros,
            )
            for effect in effects
        ]
        begins_at = datetime.combine(since, time.min, tzinfo=ZoneInfo(self._calendar.timezone))
        told = sorted(
            (activity for activity in listed if begins_at <= activity.happened_at <= now),
            key=lambda activity: activity.happened_at,
        )
        if self.behaviour.has(ReportFault.LIST_CUT, number):
            raise QuestionLost(ReportFault.LIST_CUT, told)
        return told

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return what a share costs here and gets, slippage included, in the last session that opened."""
        self.asked()
        return self._quote(symbol, now)

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the time that it was told, and the calendar's next open and close."""
        self.asked()
        opened = last_opened(self._calendar, now)
        sessions = self._calendar.sessions
        at = 0 if opened is None else bisect_right(sessions, opened)
        next_open = self._calendar.opens_at(sessions[at]) if at < len(sessions) else None
        closes_at = None if opened is None else self._calendar.closes_at(opened)
        is_open = closes_at is not None and now < closes_at
        if not is_open:
            closes_at = None if next_open is None else self._calendar.closes_at(sessions[at])
        return BrokerClock(now.astimezone(UTC), is_open, next_open, closes_at)

    def asked(self) -> str:
        """Count a question, and lose it where that is its fate; return its number."""
        number = str(next(self._questions))
        for fault in (ReportFault.QUERY_LOST, ReportFault.QUERY_LIMITED):
            if self.behaviour.has(fault, number):
                raise QuestionLost(fault)
        return number

    @contextmanager
    def kept(self) -> Iterator[sqlite3.Connection]:
        """Give the ledger as it was left, to keep something beside the orders in it."""
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            yield ledger

    @contextmanager
    def look(self, *, now: datetime) -> Iterator[sqlite3.Connection]:
        """Give the ledger as it stands at an instant: all that the market did until then is in it."""
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            self._come_due(ledger, now)
            self._advance_all(ledger, now)
            yield ledger

    def last_price(self, symbol: Symbol, *, now: datetime) -> tuple[int, datetime] | None:
        """Return what a symbol last traded at, in micro-units, and when; `None` where it never did.

        From a session's open to its close that is the open, since nothing else of a daily bar is known yet.
        """
        session = last_opened(self._calendar, now)
        if session is None:
            return None
        bar = self._market.bar(symbol, session)
        closes_at = self._calendar.closes_at(session)
        if bar is not None and now >= closes_at:
            return bar.close_micros, closes_at
        if bar is not None:
            return bar.open_micros, self._calendar.opens_at(session)
        close = self._last_close(symbol, session)
        return None if close is None else (close, self._calendar.closes_at(self._calendar.previous(session)))

    def bar(self, symbol: Symbol, session: date) -> Quote | None:
        """Return a symbol's whole bar of a session, or `None`; who asks sees to it that it is over."""
        return self._market.bar(symbol, session)

    def previous_close(self, symbol: Symbol, *, now: datetime) -> int | None:
        """Return a symbol's last close before the latest session that has opened, in its shares."""
        session = last_opened(self._calendar, now)
        return None if session is None else self._last_close(symbol, session)

    def executions_in(self, ledger: sqlite3.Connection, *, now: datetime) -> list[Execution]:
        """Return every execution of the sessions that have opened, in their order, inside a look."""
        opened = last_opened(self._calendar, now)
        listed = [execution for _, execution in _executions_after(ledger, 0)]
        return [execution for execution in listed if opened is not None and execution.session <= opened]

    def effects_in(self, ledger: sqlite3.Connection, *, now: datetime) -> tuple[ActionEffect, ...]:
        """Return what splits and dividends did to the account until an instant, inside a look."""
        return action_effects(
            _deposit(ledger).holdings,
            [execution for _, execution in _executions_after(ledger, 0)],
            self.actions_until(now),
            last_close=self._last_close,
        )

    def actions_until(self, now: datetime) -> Mapping[date, tuple[CorporateAction, ...]]:
        """Return the actions in effect at an instant, by the session at whose open they took it."""
        opened = last_opened(self._calendar, now)
        return {day: due for day, due in self._actions.items() if opened is not None and day <= opened}

    def account_in(self, ledger: sqlite3.Connection, *, now: datetime) -> Holdings:
        """Return the account as `holdings` does, inside a look at the same instant."""
        return self._account(ledger, now)

    def dump(self) -> BrokerDump:
        """Return everything in the ledger, as it was when it was last asked or told something."""
        with self._ledger.transaction(BrokerUnavailable) as ledger:
            account = ledger.execute("select name from account").fetchone()["name"]
            orders = ledger.execute(f"{ORDERS} order by seq").fetchall()
            fills = ledger.execute(f"{_FILLS} order by f.filled_at, f.seq").fetchall()
            arrivals = ledger.execute(
                "select client_order_id, request_sha, broker_order_id from arrivals order by seq"
            ).fetchall()
        return BrokerDump(
            account=account,
            is_live=self.capabilities.is_live,
            orders=tuple(_order_of(row) for row in orders),
            fills=tuple(self.behaviour.without_id(_fill_of(row)) for row in fills),
            arrivals=tuple(
                Arrival(ClientOrderId(row["client_order_id"]), row["request_sha"], row["broker_order_id"])
                for row in arrivals
            ),
        )

    # ------------------------------------------------------------------------ what arrives

    def _received(
        self,
        ledger: sqlite3.Connection,
        request: OrderRequest,
        fault: SendFault | None,
        now: datetime,
        *,
        ticket: Ticket | None = None,
    ) -> BrokerOrder | TradingError:
        """Record a send that arrived, and return its answer, whether or not anybody will hear it."""
        if fault is SendFault.LATE:
            arrival = _insert_arrival(ledger, request, fault.value, now)
            due_at = now + timedelta(seconds=self.behaviour.late_s)
            _insert_due(ledger, due_at, LATE_SEND, arrival, _text_of(request))
            return OutcomeUnknown(fault.value)
        if fault is not None and fault is not SendFault.REFUSED and not fault.is_accepted:
            _insert_arrival(ledger, request, fault.value, now)
            return OutcomeUnknown(fault.value)
        arrival = _insert_arrival(ledger, request, "", now)
        return self._taken(ledger, request, arrival, fault, now, ticket=ticket)

    def _replaced(
        self,
        ledger: sqlite3.Connection,
        old: sqlite3.Row | None,
        request: OrderRequest,
        fault: SendFault | None,
        now: datetime,
        *,
        ticket: Ticket | None = None,
    ) -> BrokerOrder | TradingError:
        """Return the order that took another one's place, or why there is none."""
        is_other_session = old is not None and old["session"] != request.session.isoformat()
        why = "no such order" if old is None else replacement_fault(request, _order_of(old))
        if why or is_other_session:
            _insert_arrival(ledger, request, NOT_REPLACEABLE, now)
            return BrokerRejected(f"{NOT_REPLACEABLE}: {why or 'it is of another session'}")
        answer = self._received(ledger, request, fault, now, ticket=ticket)
        if old is not None and isinstance(answer, BrokerOrder):
            set_status(ledger, old, OrderStatus.CANCELLED, 0, REPLACED, at=now)
            resting.take_place(ledger, old["seq"], _under(ledger, request.client_order_id)[-1]["seq"])
        return answer

    def _taken(
        self,
        ledger: sqlite3.Connection,
        request: OrderRequest,
        arrival: int,
        fault: SendFault | None,
        now: datetime,
        *,
        ticket: Ticket | None = None,
    ) -> BrokerOrder | TradingError:
        """Return the order made of a send, or why there is none; its arrival says the same."""
        if self._is_remembered(ledger, request.client_order_id, now):
            _set_arrival(ledger, arrival, DUPLICATE, "")
            return DuplicateClientOrderId(request.client_order_id)
        refusal = REFUSED if fault is SendFault.REFUSED else self._refusal_of(request, now, ticket)
        if refusal:
            _set_arrival(ledger, arrival, refusal, "")
            return BrokerRejected(f"{refusal}: {request.side} {request.quantity} {request.symbol}")
        extra = 1 if fault is SendFault.OTHER_QUANTITY else 0
        order = _insert_order(ledger, request, request.quantity + extra, now)
        if ticket is not None:
            self._rest(ledger, ticket, now)
        _set_arrival(ledger, arrival, fault.value if fault else ACCEPTED, order.broker_order_id)
        return order

    def _is_remembered(
        self, ledger: sqlite3.Connection, client_order_id: ClientOrderId, now: datetime
    ) -> bool:
        """Say whether the broker still knows an order under an id when it is sent again."""
        return any(
            self.behaviour.is_remembered(
                sent_at=instant_from_text(row["submitted_at"]),
                closes_at=self._calendar.closes_at(date.fromisoformat(row["session"])),
                is_open=not OrderStatus(row["status"]).is_terminal,
                now=now,
            )
            for row in self._advanced(ledger, _under(ledger, client_order_id), now)
        )

    def _come_due(self, ledger: sqlite3.Connection, now: datetime) -> None:
        """Let happen what was put off until `now`, in its order."""
        due = ledger.execute(
            "select * from due where due_at <= ? order by due_at, seq", (instant_text(now),)
        ).fetchall()
        for row in due:
            at = instant_from_text(row["due_at"])
            if row["what"] == LATE_SEND:
                request = request_from_payload(json.loads(row["request"]))
                self._taken(ledger, request, row["about"], None, at)
            else:
                _bust_last(ledger, row["about"], at)
            ledger.execute("delete from due where seq = ?", (row["seq"],))

    def _rest(self, ledger: sqlite3.Connection, ticket: Ticket, now: datetime) -> None:
        """Keep what an order waits for, and the orders that wait for it."""
        seq = _under(ledger, ticket.request.client_order_id)[-1]["seq"]
        resting.keep_terms(ledger, seq, ticket, now)
        for leg, request in ticket.leg_requests():
            _insert_order(ledger, request, request.quantity, now)
            leg_seq = _under(ledger, request.client_order_id)[-1]["seq"]
            resting.keep_leg_terms(ledger, leg_seq, leg, ticket, parent_seq=seq)

    def _refusal_of(self, request: OrderRequest, now: datetime, ticket: Ticket | None = None) -> str:
        if request.quantity <= 0:
            return ZERO_QUANTITY
        if self._symbols is not None and request.symbol not in self._symbols:
            return UNKNOWN_SYMBOL
        if request.order_type is not OrderType.MARKET and ticket is None:
            return NOT_A_MARKET_ORDER
        if ticket is not None and ticket.replaces:
            return ""
        return SESSION_OVER if now >= self._calendar.closes_at(request.session) else ""

    # ------------------------------------------------------------------------ what the market does

    def _advance_all(self, ledger: sqlite3.Connection, now: datetime) -> None:
        """Let the market do to every open order what it did up to `now`: nothing before its session."""
        opened = last_opened(self._calendar, now)
        if opened is not None:
            due = f"{ORDERS} where {_OPEN} and session <= ? order by seq"
            self._advanced(ledger, ledger.execute(due, (opened.isoformat(),)).fetchall(), now)

    def _advanced(
        self, ledger: sqlite3.Connection, rows: Iterable[sqlite3.Row], now: datetime
    ) -> list[sqlite3.Row]:
        """Return orders' rows after what the market did to them up to `now`."""
        return [self._advanced_one(ledger, row, now) for row in rows]

    def _advanced_one(self, ledger: sqlite3.Connection, row: sqlite3.Row, now: datetime) -> sqlite3.Row:
        if OrderStatus(row["status"]).is_terminal:
            return row
        if resting.is_resting(ledger, row["seq"]):
            return resting.advanced(
                ledger,
                row["seq"],
                bars=self._market.bar,
                model=self._model,
                calendar=self._calendar,
                actions=self._actions,
                now=now,
            )
        session = date.fromisoformat(row["session"])
        opened_at = self._calendar.opens_at(session)
        if row["status"] == OrderStatus.WORKING and now >= opened_at:
            row = self._filled(ledger, row, session, opened_at)
        is_over = now >= self._calendar.closes_at(session)
        if is_over and not OrderStatus(row["status"]).is_terminal:
            closed_at = self._calendar.closes_at(session)
            row = set_status(
                ledger, row, OrderStatus.CANCELLED, row["filled_quantity"], SESSION_OVER, at=closed_at
            )
        return row

    def _filled(
        self, ledger: sqlite3.Connection, row: sqlite3.Row, session: date, opened_at: datetime
    ) -> sqlite3.Row:
        bar = self._market.bar(Symbol(row["symbol"]), session)
        if bar is None:
            return row
        client_order_id = row["client_order_id"]
        is_cancelled = self.behaviour.has(ReportFault.PART_THEN_CANCELLED, client_order_id)
        is_rejected = self.behaviour.has(ReportFault.PART_THEN_REJECTED, client_order_id)
        ends_early = is_cancelled or is_rejected
        asked = row["quantity"] // 2 if ends_early else row["quantity"]
        filled, price, commission = fill_at_open(
            Side(row["side"]), asked, bar.open_micros, bar.volume, self._model
        )
        if filled == 0 and not ends_early:
            return row
        for number, (quantity, its_commission) in enumerate(
            _parts(filled, commission, self.behaviour.executions), start=1
        ):
            insert_fill(
                ledger,
                row,
                "exe-" + hashed(row["broker_order_id"], str(number)),
                (quantity, price, its_commission),
                opened_at,
            )
        if filled and self.behaviour.has(ReportFault.BUST, client_order_id):
            _insert_due(ledger, opened_at + timedelta(seconds=self.behaviour.late_s), BUST, row["seq"])
        if is_cancelled:
            return set_status(ledger, row, OrderStatus.CANCELLED, filled, "cancelled_by_broker", at=opened_at)
        if is_rejected:
            return set_status(ledger, row, OrderStatus.REJECTED, filled, "rejected_by_broker", at=opened_at)
        status = OrderStatus.FILLED if filled == row["quantity"] else OrderStatus.PARTIAL_FILL
        return set_status(ledger, row, status, filled, "", at=opened_at)

    def _quote(self, symbol: Symbol, now: datetime) -> BrokerQuote | None:
        session = last_opened(self._calendar, now)
        bar = None if session is None else self._market.bar(symbol, session)
        if session is None or bar is None:
            return None
        is_over = now >= self._calendar.closes_at(session)
        last = bar.close_micros if is_over else bar.open_micros
        # One share of endless volume: what the broker's own model makes of the price.
        (_, ask, _), (_, bid, _) = (
            fill_at_open(side, 1, last, BPS * BPS, self._model) for side in (Side.BUY, Side.SELL)
        )
        quoted_at = self._calendar.closes_at(session) if is_over else self._calendar.opens_at(session)
        return BrokerQuote(symbol, bid or None, ask or None, last, quoted_at)

    # ------------------------------------------------------------------------ the account

    @cached_property
    def _actions(self) -> Mapping[date, tuple[CorporateAction, ...]]:
        actions = at_sessions(self._market.actions(), self._calendar)
        return {day: effective_in(actions, day) for day in {action.effective_on for action in actions}}

    def _account(self, ledger: sqlite3.Connection, now: datetime) -> Holdings:
        """Fold the account from the last checkpoint, or from its deposit where that is no part of the past.

        The checkpoint is one row, moved once in a while: without it, every look would fold all history.
        """
        opened = last_opened(self._calendar, now)
        if opened is None:
            return _deposit(ledger).holdings
        start = _checkpoint(ledger)
        fills = _executions_after(ledger, start.through_fill)
        if start.through_session >= opened or any(
            execution.session <= start.through_session for _, execution in fills
        ):
            # Asked about an earlier day, or an execution came late: what was folded is not what was.
            start = _deposit(ledger)
            fills = _executions_after(ledger, 0)
        due = self._calendar.before(opened, CHECKPOINT_SESSIONS)
        if due and due[0] > start.through_session:
            start = self._carried(start, fills, through=due[-1])
            _store_checkpoint(ledger, start)
        return self._carried(start, fills, through=opened).holdings

    def _carried(
        self, start: _Checkpoint, fills: Iterable[tuple[int, Execution]], *, through: date
    ) -> _Checkpoint:
        listed = list(fills)
        passed = [
            execution for _, execution in listed if start.through_session < execution.session <= through
        ]
        holdings = account_after(
            start.holdings,
            passed,
            {day: due for day, due in self._actions.items() if start.through_session < day <= through},
            last_close=self._last_close,
        )
        later = [seq for seq, execution in listed if execution.session > through]
        known = [start.through_fill, *(seq for seq, _ in listed)]
        return _Checkpoint(through, min(later) - 1 if later else max(known), holdings)

    def _last_close(self, symbol: Symbol, session: date) -> int | None:
        """Return a symbol's last close before a session, in the session's shares."""
        for day in reversed(self._calendar.before(session, len(self._calendar.sessions))):
            bar = self._market.bar(symbol, day)
            if bar is None:
                continue
            close = bar.close_micros
            for effective_on in sorted(self._actions):
                if day < effective_on <= session:
                    for action in self._actions[effective_on]:
                        if action.symbol == symbol:
                            close = split_price(close, action.numerator, action.denominator)
            return close
        return None


_ANSWERED = frozenset({SendFault.OTHER_QUANTITY, SendFault.DUPLICATE_ANSWER, SendFault.REFUSED})
"""The faults of a send that has an answer all the same."""


class _Checkpoint(NamedTuple):
    """Hold an account after a session: all of its executions up to `through_fill` are in it."""

    through_session: date
    through_fill: int
    holdings: Holdings


_OPEN = "status in ('working', 'partial_fill')"
_FILLS = (
    "select f.seq, f.execution_id, o.client_order_id, o.broker_order_id,"
    " coalesce(nullif(f.session, ''), o.session) as session, o.symbol, o.side,"
    " f.quantity, f.price_micros, f.commission_micros, f.filled_at, f.takes_back"
    " from fills f join orders o on o.seq = f.order_seq"
)


def _told(answer: BrokerOrder | TradingError, fault: SendFault | None) -> BrokerOrder:
    """Return the answer to a send as its fault lets it be heard, or raise it."""
    if fault is SendFault.DUPLICATE_ANSWER and isinstance(answer, BrokerOrder):
        raise DuplicateClientOrderId(answer.client_order_id)
    if fault is not None and fault not in _ANSWERED:
        raise AnswerLost(fault, answer)
    if isinstance(answer, BrokerOrder):
        return answer
    raise answer


def _under(ledger: sqlite3.Connection, client_order_id: ClientOrderId) -> list[sqlite3.Row]:
    return ledger.execute(f"{ORDERS} where client_order_id = ? order by seq", (client_order_id,)).fetchall()


def _arrivals_under(ledger: sqlite3.Connection, client_order_id: ClientOrderId) -> int:
    count: int = ledger.execute(
        "select count(*) from arrivals where client_order_id = ?", (client_order_id,)
    ).fetchone()[0]
    return count


def _parts(quantity: int, commission_micros: int, count: int) -> list[tuple[int, int]]:
    """Return a quantity and its commission in at most `count` parts that add up to them, none of 0 shares."""
    shares = [quantity * (part + 1) // count - quantity * part // count for part in range(count)]
    parts, done, paid = [], 0, 0
    for share in shares:
        done += share
        owed = commission_micros * done // quantity if quantity else 0
        if share:
            parts.append((share, owed - paid))
            paid = owed
    return parts


def _text_of(request: OrderRequest) -> str:
    return json.dumps(request_payload(request), sort_keys=True)


def _insert_order(
    ledger: sqlite3.Connection, request: OrderRequest, quantity: int, now: datetime
) -> BrokerOrder:
    earlier = len(_under(ledger, request.client_order_id))
    parts = (request.client_order_id, str(earlier + 1)) if earlier else (request.client_order_id,)
    ledger.execute(
        "insert into orders (broker_order_id, client_order_id, request, session, symbol, side, quantity,"
        " filled_quantity, status, reason, submitted_at) values (?, ?, ?, ?, ?, ?, ?, 0, ?, '', ?)",
        (
            "pb-" + hashed(*parts),
            request.client_order_id,
            _text_of(request),
            request.session.isoformat(),
            request.symbol,
            request.side.value,
            quantity,
            OrderStatus.WORKING.value,
            instant_text(now),
        ),
    )
    made = _under(ledger, request.client_order_id)[-1]
    insert_update(ledger, made["seq"], Event.NEW, now)
    return _order_of(made)


def _insert_arrival(ledger: sqlite3.Connection, request: OrderRequest, outcome: str, now: datetime) -> int:
    cursor = ledger.execute(
        "insert into arrivals (client_order_id, request_sha, broker_order_id, arrived_at, outcome)"
        " values (?, ?, '', ?, ?)",
        (request.client_order_id, digest(request_payload(request)), instant_text(now), outcome),
    )
    return cursor.lastrowid or 0


def _set_arrival(ledger: sqlite3.Connection, seq: int, outcome: str, broker_order_id: str) -> None:
    ledger.execute(
        "update arrivals set outcome = ?, broker_order_id = ? where seq = ?", (outcome, broker_order_id, seq)
    )


def _insert_due(
    ledger: sqlite3.Connection, due_at: datetime, what: str, about: int, request: str = ""
) -> None:
    ledger.execute(
        "insert into due (due_at, what, about, request) values (?, ?, ?, ?)",
        (instant_text(due_at), what, about, request),
    )


def _bust_last(ledger: sqlite3.Connection, order_seq: int, at: datetime) -> None:
    """Take an order's last execution back, and its shares out of what the order says is filled."""
    last = ledger.execute(f"{_FILLS} where f.order_seq = ? order by f.seq desc", (order_seq,)).fetchone()
    order = ledger.execute(f"{ORDERS} where seq = ?", (order_seq,)).fetchone()
    insert_fill(
        ledger,
        order,
        "bust-" + hashed(last["execution_id"]),
        (last["quantity"], last["price_micros"], last["commission_micros"]),
        at,
        takes_back=last["execution_id"],
    )
    left = order["filled_quantity"] - last["quantity"]
    set_status(ledger, order, OrderStatus(order["status"]), left, "busted", at=at)


def _executions_after(ledger: sqlite3.Connection, seq: int) -> list[tuple[int, Execution]]:
    return [
        (
            row["seq"],
            Execution(
                session=date.fromisoformat(row["session"]),
                symbol=Symbol(row["symbol"]),
                side=Side(row["side"]),
                quantity=row["quantity"],
                price_micros=row["price_micros"],
                commission_micros=row["commission_micros"],
                is_bust=row["takes_back"] != "",
            ),
        )
        for row in ledger.execute(f"{_FILLS} where f.seq > ? order by f.seq", (seq,))
    ]


def _deposit(ledger: sqlite3.Connection) -> _Checkpoint:
    row = ledger.execute("select deposit_micros from account").fetchone()
    return _Checkpoint(date.min, 0, Holdings(cash_micros=row["deposit_micros"]))


def _checkpoint(ledger: sqlite3.Connection) -> _Checkpoint:
    row = ledger.execute("select * from checkpoints").fetchone()
    if row is None:
        return _deposit(ledger)
    holdings = Holdings(quantities=json.loads(row["quantities"]), cash_micros=row["cash_micros"])
    return _Checkpoint(date.fromisoformat(row["through_session"]), row["through_fill"], holdings)


def _store_checkpoint(ledger: sqlite3.Connection, checkpoint: _Checkpoint) -> None:
    ledger.execute(
        "insert or replace into checkpoints values (1, ?, ?, ?, ?)",
        (
            checkpoint.through_session.isoformat(),
            checkpoint.through_fill,
            checkpoint.holdings.cash_micros,
            json.dumps(checkpoint.holdings.quantities),
        ),
    )


def _order_of(row: sqlite3.Row) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=row["broker_order_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        filled_quantity=row["filled_quantity"],
        status=OrderStatus(row["status"]),
        reason=row["reason"],
    )


def _fill_of(row: sqlite3.Row) -> BrokerFill:
    return BrokerFill(
        execution_id=row["execution_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        quantity=row["quantity"],
        price_micros=row["price_micros"],
        commission_micros=row["commission_micros"],
        filled_at=instant_from_text(row["filled_at"]),
        takes_back=row["takes_back"],
    )


def _activities_of(row: sqlite3.Row) -> list[BrokerActivity]:
    """Return an execution as what it added to the account, and its commission as a fee."""
    sign = -1 if row["takes_back"] else 1
    bought = sign * (row["quantity"] if row["side"] == Side.BUY else -row["quantity"])
    filled_at = instant_from_text(row["filled_at"])
    fill = BrokerActivity(
        activity_id=row["execution_id"],
        kind=ActivityKind.FILL,
        happened_at=filled_at,
        symbol=row["symbol"],
        quantity=bought,
        price_micros=row["price_micros"],
        cash_micros=-bought * row["price_micros"],
        about=row["broker_order_id"],
        detail=row["takes_back"] and f"takes back {row['takes_back']}",
    )
    if not row["commission_micros"]:
        return [fill]
    fee = BrokerActivity(
        activity_id="fee-" + row["execution_id"],
        kind=ActivityKind.FEE,
        happened_at=filled_at,
        symbol=row["symbol"],
        quantity=0,
        price_micros=0,
        cash_micros=-sign * row["commission_micros"],
        about=row["execution_id"],
    )
    return [fill, fee]
