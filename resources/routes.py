"""Sending and asking by route: one broker over several adapters, and the choice among them before a send.

What is chosen stands in the journal with the order; `RoutedBroker` reads it there for every call about that
order, and has no other way to an adapter. Which lines there are is route_file.py, the rule is
trading/routing.py, and which adapter is behind a name profiles.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol

from resources.logs import log_of, with_ids
from trading.breakers import (
    FAILURE_WORDS,
    BreakerRules,
    Breakers,
    after_failure,
    after_success,
    permission,
)
from trading.brokers import (
    Broker,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    DuplicateClientOrderId,
    Holdings,
)
from trading.errors import BrokerRejected, BrokerUnavailable, JournalError, OutcomeUnknown
from trading.journal import JournalIntent, JournalOrder
from trading.orders import BrokerOrder, OrderRequest
from trading.protocol import request_of
from trading.routing import (
    CIRCUIT_OPEN,
    EMBEDDED_PAPER,
    RATE_LIMITED,
    SHARES_ELSEWHERE,
    TIMEOUT,
    UNREACHABLE,
    NoRoute,
    RouteChoice,
    RouteTable,
    choose,
    together,
    weakest,
)
from trading.values import ClientOrderId, Side, Symbol

BLOCKED = "blocked"

ONLY_REDUCES = "only_reduces"
"""Why what adds risk goes nowhere: the account may get out of what it holds, and no more."""

WORDS = {"time_out": TIMEOUT, CIRCUIT_OPEN: CIRCUIT_OPEN, RATE_LIMITED: RATE_LIMITED}
"""What a route's reason calls the first word of an adapter's error; any other one is `unreachable`."""

RULES = BreakerRules()

ACTOR = "executor"
"""Who a route's breaker was changed by."""

CHANGES_TRIED = 5
"""How often a breaker that others change at the same moment is read again."""


class StoredRoutes(Protocol):
    """Give what the journal has of orders' routes."""

    def order(self, client_order_id: ClientOrderId) -> JournalOrder | None:
        """Return one order row, or `None`."""
        ...

    def adapters_used(self, *, account: str, lane: str) -> tuple[str, ...]:
        """Return every adapter that an order of an account was prepared for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Hold an account's adapters by name, each built when first used, and what each was opened with.

    `openings` are micro-units; an adapter without one was opened with `deposit_micros`. `home` are the
    adapters that the account's routes name, in order: the first that answers is asked while none was used.
    """

    adapters: Mapping[str, Broker]
    home: tuple[str, ...]
    deposit_micros: int
    openings: Mapping[str, int]


class RoutedBroker:
    """Send each order to the adapter stored with it, and ask every adapter that the account has used.

    Implements `trading.brokers.Broker`. An order that the journal does not know is at whichever adapter
    listed it. What cannot be seen at one adapter in use is not flat: the whole question fails.
    `only_reduces` says why nothing but a sale of what is held may be sent, empty where anything may.
    """

    def __init__(
        self,
        doors: Doors,
        *,
        stored: StoredRoutes,
        account: str,
        lane: str,
        breakers: RouteBreakers,
        only_reduces: str = "",
    ) -> None:
        self._doors = doors
        self._stored = stored
        self._account = account
        self._lane = lane
        self._breakers = breakers
        self.only_reduces = only_reduces
        self._listed: dict[ClientOrderId, str] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Return what holds whichever of the account's adapters an order is at."""
        return weakest(self._adapter(name).capabilities for name in self._at_hand())

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order to the adapter that it was prepared for, in exactly one attempt."""
        order = self._stored.order(request.client_order_id)
        if order is None:
            raise BrokerRejected(
                f"not_prepared: {request.client_order_id} has no stored order; nothing was sent"
            )
        # What an adapter logs on the way is of this order.
        with with_ids(intent_id=order.intent_id, client_order_id=order.client_order_id):
            return self._submit(order.route.actual or EMBEDDED_PAPER, request, now=now)

    def _submit(self, name: str, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        self._refuse_what_adds(name, request, now=now)
        try:
            answer = self._adapter(name).submit(request, now=now)
        except (OutcomeUnknown, BrokerUnavailable, OSError) as error:
            self._breakers.heard(name, request.client_order_id, word=word_of(error))
            raise
        except (BrokerRejected, DuplicateClientOrderId):
            # Somebody is there and says no.
            self._breakers.heard(name, request.client_order_id, word="")
            raise
        self._breakers.heard(name, request.client_order_id, word="")
        return answer

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id from its own adapter; one without a row is looked for at each."""
        for name in self._where(client_order_id, now):
            found = self._adapter(name).order_by_client_order_id(client_order_id, now=now)
            if found is not None:
                self._listed[client_order_id] = name
                return found
        return None

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return the executions under an id."""
        return [
            fill
            for name in self._where(client_order_id, now)
            for fill in self._adapter(name).fills(client_order_id, now=now)
        ]

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask the order's own adapter for a cancel; each one for an order that nobody knows."""
        for name in self._where(client_order_id, now):
            self._adapter(name).cancel(client_order_id, now=now)

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Ask the order's own adapter to replace it, in one attempt."""
        name = self._of(client_order_id)
        if name is None:
            raise BrokerRejected(f"not_prepared: {client_order_id} has no stored order; nothing was replaced")
        self._refuse_what_adds(name, request, now=now)
        return self._adapter(name).replace(client_order_id, request, now=now)

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return the orders of every adapter in use; a failed list of one fails them all."""
        found = []
        for name in self.in_use(now):
            for order in self._adapter(name).orders(since=since, now=now):
                self._listed[order.client_order_id] = name
                found.append(order)
        return found

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what the account has over all adapters in use: all shares, and one deposit."""
        parts = [(holdings, self._opening(name)) for name, holdings in self.parts(now).items()]
        return together(parts, opened_with_micros=self._doors.deposit_micros)

    def parts(self, now: datetime) -> dict[str, Holdings]:
        """Return what each adapter in use has, by name."""
        return {name: self._adapter(name).holdings(now=now) for name in self.in_use(now)}

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares held, by symbol."""
        return self.holdings(now=now).quantities

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return the account's money over all adapters in use: blocked where one of them blocks it."""
        names = self.in_use(now)
        told = [self._adapter(name).account(now=now) for name in names]
        if len(told) == 1:
            return told[0]
        extra = sum(self._opening(name) for name in names) - self._doors.deposit_micros
        equities = [each.equity_micros for each in told if each.equity_micros is not None]
        return replace(
            told[0],
            cash_micros=sum(each.cash_micros for each in told) - extra,
            buying_power_micros=sum(each.buying_power_micros for each in told),
            equity_micros=sum(equities) - extra if len(equities) == len(told) else None,
            is_blocked=any(each.is_blocked for each in told),
        )

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return what changed the account at any adapter in use, ascending in time."""
        found = [
            activity
            for name in self.in_use(now)
            for activity in self._adapter(name).activities(since=since, now=now)
        ]
        return sorted(found, key=lambda activity: (activity.happened_at, activity.activity_id))

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return what the first adapter in use quotes."""
        return self._adapter(self.in_use(now)[0]).quote(symbol, now=now)

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the clock of the first adapter in use."""
        return self._adapter(self.in_use(now)[0]).clock(now=now)

    def dump(self) -> BrokerDump:
        """Return everything that the adapters in use know, for a proof; who gives no dump is left out."""
        names = self._used() or self._doors.home[:1]
        dumps: list[Any] = [
            self._adapter(name).dump()  # type: ignore[attr-defined]
            for name in names
            if hasattr(self._adapter(name), "dump")
        ]
        return BrokerDump(
            account=self._account,
            is_live=any(dump.is_live for dump in dumps),
            orders=tuple(order for dump in dumps for order in dump.orders),
            fills=tuple(fill for dump in dumps for fill in dump.fills),
            arrivals=tuple(arrival for dump in dumps for arrival in dump.arrivals),
        )

    def in_use(self, now: datetime) -> tuple[str, ...]:
        """Return the adapters that an order was ever prepared for; before the first, the one that answers.

        An adapter stays in use for good: what was earned or lost there is part of the account's cash.
        """
        if used := self._used():
            return used
        for name in self._doors.home[:-1]:
            if not self.ails(name, now):
                return (name,)
        return self._doors.home[-1:]

    def ails(self, name: str, now: datetime) -> str:
        """Return why an adapter cannot be reached now or does not let the account trade, empty where not."""
        try:
            return BLOCKED if self._adapter(name).account(now=now).is_blocked else ""
        except BrokerUnavailable as error:
            return WORDS.get(word_of(error), UNREACHABLE)

    def _refuse_what_adds(self, name: str, request: OrderRequest, *, now: datetime) -> None:
        """Raise `BrokerRejected` before a byte goes out for what is no sale of shares that are held there.

        Raises `BrokerUnavailable` where the shares cannot be seen.
        """
        if not self.only_reduces:
            return
        held = 0
        if request.side is Side.SELL:
            held = self._adapter(name).positions(now=now).get(request.symbol, 0)
        if request.quantity > held:
            raise BrokerRejected(
                f"{ONLY_REDUCES}: {request.side} {request.quantity} {request.symbol} is no sale of what is "
                f"held; nothing was sent: {self.only_reduces}"
            )

    def _used(self) -> tuple[str, ...]:
        used = self._stored.adapters_used(account=self._account, lane=self._lane)
        return tuple(dict.fromkeys(name or EMBEDDED_PAPER for name in used))

    def _at_hand(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._doors.home, *self._used())))

    def _of(self, client_order_id: ClientOrderId) -> str | None:
        """Return the adapter stored with an order; before routes were, there was only the embedded one."""
        order = self._stored.order(client_order_id)
        return None if order is None else order.route.actual or EMBEDDED_PAPER

    def _where(self, client_order_id: ClientOrderId, now: datetime) -> Iterable[str]:
        if (own := self._of(client_order_id)) is not None:
            return (own,)
        listed = self._listed.get(client_order_id)
        return self.in_use(now) if listed is None else (listed,)

    def _opening(self, name: str) -> int:
        return self._doors.openings.get(name, self._doors.deposit_micros)

    def _adapter(self, name: str) -> Broker:
        return self._doors.adapters[name]


class AccountRouter:
    """Choose an account's adapters by its routes; implements `trading.executions.Router`.

    `market` is the book's calendar. An order goes where its symbol's shares are, whatever its line says.
    """

    def __init__(
        self, table: RouteTable, broker: RoutedBroker, *, account: str, market: str, breakers: RouteBreakers
    ) -> None:
        self._table = table
        self._broker = broker
        self._account = account
        self._market = market
        self._breakers = breakers

    def route(self, row: JournalIntent, *, now: datetime) -> RouteChoice | NoRoute:
        """Return the adapter for an intent that was never sent, or why nothing can take it now."""
        if row.intent.side is Side.BUY and self._broker.only_reduces:
            return NoRoute(f"{ONLY_REDUCES}: {self._broker.only_reduces}")
        strategy = row.intent.strategy
        line = self._table.line_for(account=self._account, market=self._market, strategy=strategy)
        if line is None:
            return NoRoute(f"no_route: none for {self._account} × {self._market} × {strategy}")
        ailing: dict[str, str] = {}
        for name in line.adapters:
            word = self._ails(name, row, now=now, has_others=len(line.adapters) > 1)
            if not word:
                break
            ailing[name] = word
        return choose(line.adapters, ailing)

    def _ails(self, name: str, row: JournalIntent, *, now: datetime, has_others: bool) -> str:
        """Return why an adapter cannot take an intent now; taking a breaker's one trial comes last."""
        if self._is_elsewhere(name, row, now):
            return SHARES_ELSEWHERE
        if has_others and (word := self._broker.ails(name, now)):
            return word
        return "" if self._breakers.may_try(name, request_of(row).client_order_id) else CIRCUIT_OPEN

    def _is_elsewhere(self, name: str, row: JournalIntent, now: datetime) -> bool:
        """Say whether a symbol's shares are at another adapter.

        A sale never opens a short by accident; and what is bought beside what is held elsewhere could not be
        sold by one order.
        """
        if self._broker.in_use(now) == (name,):
            return False
        held = {
            each: holdings.quantities.get(row.intent.symbol, 0)
            for each, holdings in self._broker.parts(now).items()
        }
        needed = row.quantity if row.intent.side is Side.SELL else 1
        return held.get(name, 0) < needed and any(held.values())


class RouteBreakers:
    """Keep one breaker an account and adapter over a network, where all processes see it.

    Sends that are not answered open it; then nothing is sent there but one trial at a time. `clock` is the
    real time. An adapter in this process has none: it is there as long as the executor is.
    """

    def __init__(
        self,
        breakers: Breakers,
        *,
        lane: str,
        account: str,
        remote: Collection[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._breakers = breakers
        self._prefix = f"route:{lane}:{account}:"
        self._remote = frozenset(remote)
        self._clock = clock

    def may_try(self, adapter: str, client_order_id: ClientOrderId) -> bool:
        """Say whether an order may be sent to an adapter; where it is the trial, it has been taken."""
        if adapter not in self._remote:
            return True
        breaker = self._breakers.breaker(self._prefix + adapter)
        told = permission(breaker, holder=client_order_id, rules=RULES, now=self._clock())
        if told.breaker is None or not told.is_allowed:
            return told.is_allowed
        return self._breakers.change(told.breaker, actor=ACTOR, reason="trial", now=self._clock())

    def heard(self, adapter: str, client_order_id: ClientOrderId, *, word: str) -> None:
        """Take note of how a send went: the first word of what failed, empty where it was answered.

        A note that cannot be stored is logged: the answer to an order must not be lost for it.
        """
        is_failed = word in FAILURE_WORDS or word.startswith("status_5")
        if adapter not in self._remote or (word and not is_failed):
            # Held back before a byte went out, or an answer that nobody can read: the way is not what failed.
            return
        try:
            self._note(adapter, client_order_id, word=word, is_failed=is_failed)
        except JournalError as error:
            log_of("routes").warning("breaker_not_changed", adapter=adapter, error=type(error).__name__)

    def _note(self, adapter: str, client_order_id: ClientOrderId, *, word: str, is_failed: bool) -> None:
        for _ in range(CHANGES_TRIED):
            breaker = self._breakers.breaker(self._prefix + adapter)
            now = self._clock()
            after = (
                after_failure(breaker, holder=client_order_id, word=word, rules=RULES, now=now)
                if is_failed
                else after_success(breaker, holder=client_order_id)
            )
            if after is None or self._breakers.change(after, actor=ACTOR, reason=word or "answered", now=now):
                return


def word_of(error: Exception) -> str:
    """Return the first word of an adapter's error: what its messages begin with, before the colon."""
    return str(error).partition(":")[0].strip()
