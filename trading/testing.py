"""Fakes of ports, which obey one and remember what they were told, and examples of values.

The journal has no fake: the real one on a temporary file is as quick, and keeps the promises that matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from trading.accounts import Execution, account_after
from trading.advisor_calls import AdvisorCall, Purpose, Tier
from trading.audit import BadEntry, Tell, tell_nobody
from trading.breakers import BreakerReason
from trading.broker_behaviour import Behaviour
from trading.brokers import (
    ActivityKind,
    Arrival,
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    DedupScope,
    DuplicateClientOrderId,
    Holdings,
    replacement_fault,
    request_payload,
)
from trading.decisions import Decision, Outcome
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.evidence_ledger import Bound, Candidate, Fold, Run, RunStatus, Stress, Subject
from trading.intents import Intent, hashed, intent_id_of
from trading.journal import Journal
from trading.limits import Limits
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.positions import Book
from trading.values import ClientOrderId, OrderType, Side, Slot, Symbol, TimeInForce, digest
from trading.verdicts import (
    NO_EXCEPTIONS,
    Exceptions,
    Funds,
    Measured,
    OpenOrders,
    Prepared,
    RiskModel,
    Switches,
    Verdict,
    funds_of,
    review_intents,
)


class SendOutcome(StrEnum):
    """Say what becomes of one send."""

    ACCEPT = "accept"
    ACCEPT_THEN_TIME_OUT = "accept_then_time_out"
    TIME_OUT = "time_out"
    REFUSE = "refuse"
    ACCEPT_OTHER_QUANTITY = "accept_other_quantity"


REMEMBERS = Capabilities(
    is_live=False,
    dedup_scope=DedupScope.ALL_TIME,
    is_query_authoritative=True,
    settle_time_s=0,
    definitive_errors=frozenset({"refused"}),
)
"""A broker that remembers client order ids for good, and whose answers can be believed at once."""


EXAMPLE_SWITCHES = Switches(
    kill_switch_on=False,
    paused=False,
    cooldown_active=False,
    is_reconciled=True,
    execution_enabled=True,
    is_degraded=False,
)
"""A day on which nobody holds anything back."""

EXAMPLE_HOLDINGS = Holdings(cash_micros=1_000_000_000_000)
"""An account before anything was traded."""


class OpenLock:
    """Obey `trading.executions.ExecutorLock` and be free whoever asks, so that a test can ignore the lock.

    `proves_death` is what it claims of its last holder; with `is_lost` it was taken away meanwhile.
    """

    def __init__(self, *, proves_death: bool = True) -> None:
        self.proves_death = proves_death
        self.is_lost = False

    def is_held(self) -> bool:
        """Say whether it is still ours."""
        return not self.is_lost

    def __enter__(self) -> Self:
        """Take it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""


class NoAuditLog:
    """Obey `trading.audit.AuditLog` where no copy is kept: nothing in it is broken."""

    def project(self) -> int:
        """Keep nothing."""
        return 0

    def verify(self) -> BadEntry | None:
        """Find nothing."""
        return None

    def verify_all(self, tell: Tell = tell_nobody) -> BadEntry | None:
        """Find nothing."""
        return None


class FakeBroker:
    """Obey `trading.brokers.Broker` in memory, by a script.

    Each send takes the next of `outcomes`, then `accept`. `submitted` holds every request that was sent,
    `accepted` each that became an order. With `fills_at_micros` an accepted order fills whole at that price;
    `fill` and `end` do it by hand, and `alter` changes what is said of an order. No query finds an order
    whose id is in `hidden`; while `is_down` nothing answers. It forgets ids as its capabilities say, or as
    `forgets_as` does where they lie. The account begins with `opened` and knows no corporate actions;
    `quotes` is what it has seen of the market, which is always open.
    """

    def __init__(
        self,
        *,
        outcomes: Iterable[SendOutcome] = (),
        capabilities: Capabilities = REMEMBERS,
        fills_at_micros: int = 0,
        forgets_as: DedupScope | None = None,
        account: str = "SIM-FIVE",
        opened: Holdings = EXAMPLE_HOLDINGS,
    ) -> None:
        self.capabilities = capabilities
        self.submitted: list[OrderRequest] = []
        self.accepted: list[OrderRequest] = []
        self.cancels: list[ClientOrderId] = []
        self.hidden: set[ClientOrderId] = set()
        self.quotes: dict[Symbol, BrokerQuote] = {}
        self.is_down = False
        scope = forgets_as or capabilities.dedup_scope
        self._memory = Behaviour(
            scope=scope, window_s=capabilities.dedup_window_s if scope is DedupScope.WINDOW else 0
        )
        self._account = account
        self._opened = opened
        self._kept: list[_Kept] = []
        self._executions: list[tuple[BrokerFill, Execution]] = []
        self._arrivals: list[Arrival] = []
        self._outcomes = list(outcomes)
        self._fills_at_micros = fills_at_micros

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Do what the script says with one send."""
        self.submitted.append(request)
        outcome = self._outcomes.pop(0) if self._outcomes else SendOutcome.ACCEPT
        if outcome is SendOutcome.TIME_OUT or self.is_down:
            raise OutcomeUnknown("timed out before the order arrived")
        known = self._under(request.client_order_id)
        if any(self._is_remembered(kept, now) for kept in known):
            self._arrive(request)
            raise DuplicateClientOrderId(request.client_order_id)
        if outcome is SendOutcome.REFUSE or request.quantity <= 0:
            self._arrive(request)
            raise BrokerRejected("refused: by the script")
        is_other = outcome is SendOutcome.ACCEPT_OTHER_QUANTITY
        earlier = (str(len(known) + 1),) if known else ()
        accepted = BrokerOrder(
            broker_order_id="fake-" + hashed(request.client_order_id, *earlier),
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            side=request.side,
            quantity=request.quantity + (1 if is_other else 0),
            filled_quantity=0,
            status=OrderStatus.WORKING,
        )
        self._arrive(request, accepted.broker_order_id)
        self.accepted.append(request)
        self._kept.append(_Kept(accepted, request.session, now))
        if self._fills_at_micros:
            self.fill(request.client_order_id, accepted.quantity, self._fills_at_micros, now=now)
        if outcome is SendOutcome.ACCEPT_THEN_TIME_OUT:
            raise OutcomeUnknown("timed out after the order arrived")
        return accepted

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`; the latest where there are two."""
        self._answer()
        known = [] if client_order_id in self.hidden else self._under(client_order_id)
        return known[-1].order if known else None

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return the executions under an id."""
        self._answer()
        return [fill for fill, _ in self._executions if fill.client_order_id == client_order_id]

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Remember that a cancel was asked for; `end` makes it true."""
        self._answer()
        self.cancels.append(client_order_id)

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """End an open order, and do with its replacement what the script says of a send."""
        known = self._under(client_order_id)
        why = replacement_fault(request, known[-1].order) if known else "no such order"
        if why and not self.is_down:
            self.submitted.append(request)
            self._arrive(request)
            raise BrokerRejected(f"refused: {why}")
        try:
            return self.submit(request, now=now)
        finally:
            if self._under(request.client_order_id):
                self.end(client_order_id, OrderStatus.CANCELLED, "replaced")

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return what is open and what is of a session from `since` on, in the order accepted."""
        self._answer()
        return [
            kept.order
            for kept in self._kept
            if kept.order.client_order_id not in self.hidden
            and (kept.session >= since or not kept.order.status.is_terminal)
        ]

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what it began with after all executions."""
        self._answer()
        executions = [execution for _, execution in self._executions]
        return account_after(self._opened, executions, {}, last_close=lambda *_: None)

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares of its account."""
        return self.holdings(now=now).quantities

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return its account, with its shares at what `quotes` last showed."""
        held = self.holdings(now=now)
        prices = [self.quotes[symbol].last_micros for symbol in held.quantities if symbol in self.quotes]
        worth = [
            shares * price
            for shares, price in zip(held.quantities.values(), prices, strict=False)
            if price is not None
        ]
        return BrokerAccount(
            account=self._account,
            currency="USD",
            cash_micros=held.cash_micros,
            buying_power_micros=max(held.cash_micros, 0),
            equity_micros=held.cash_micros + sum(worth) if len(worth) == len(held.quantities) else None,
        )

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return its executions from a day (UTC) on."""
        self._answer()
        listed = []
        for fill, execution in self._executions:
            bought = fill.quantity if execution.side is Side.BUY else -fill.quantity
            listed.append(
                BrokerActivity(
                    activity_id=fill.execution_id,
                    kind=ActivityKind.FILL,
                    happened_at=fill.filled_at,
                    symbol=execution.symbol,
                    quantity=bought,
                    price_micros=fill.price_micros,
                    cash_micros=-bought * fill.price_micros,
                    about=self._under(fill.client_order_id)[-1].order.broker_order_id,
                )
            )
        return [activity for activity in listed if since <= activity.happened_at.date()]

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return what is in `quotes`."""
        self._answer()
        return self.quotes.get(symbol)

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the time that it was told, in a market that never closes."""
        self._answer()
        return BrokerClock(now.astimezone(UTC), is_open=True, next_open=None, next_close=None)

    def dump(self) -> BrokerDump:
        """Return everything that it remembers, and every send that arrived."""
        return BrokerDump(
            account=self._account,
            is_live=self.capabilities.is_live,
            orders=tuple(kept.order for kept in self._kept),
            fills=tuple(fill for fill, _ in self._executions),
            arrivals=tuple(self._arrivals),
        )

    def fill(
        self, client_order_id: ClientOrderId, quantity: int, price_micros: int, *, now: datetime
    ) -> BrokerFill:
        """Fill some of the latest order under an id; the last share ends it."""
        kept = self._under(client_order_id)[-1]
        number = sum(fill.client_order_id == client_order_id for fill, _ in self._executions) + 1
        fill = BrokerFill(
            execution_id="exe-" + hashed(client_order_id, str(number)),
            client_order_id=client_order_id,
            quantity=quantity,
            price_micros=price_micros,
            commission_micros=0,
            filled_at=now,
        )
        execution = Execution(kept.session, kept.order.symbol, kept.order.side, quantity, price_micros, 0)
        self._executions.append((fill, execution))
        filled = kept.order.filled_quantity + quantity
        status = OrderStatus.FILLED if filled == kept.order.quantity else OrderStatus.PARTIAL_FILL
        kept.order = replace(kept.order, filled_quantity=filled, status=status)
        return fill

    def end(self, client_order_id: ClientOrderId, status: OrderStatus, reason: str = "") -> None:
        """End the latest order under an id as cancelled or rejected."""
        self.alter(client_order_id, status=status, reason=reason)

    def alter(self, client_order_id: ClientOrderId, **changes: Any) -> None:
        """Change what it says of the latest order under an id."""
        kept = self._under(client_order_id)[-1]
        kept.order = replace(kept.order, **changes)

    def _under(self, client_order_id: ClientOrderId) -> list[_Kept]:
        return [kept for kept in self._kept if kept.order.client_order_id == client_order_id]

    def _is_remembered(self, kept: _Kept, now: datetime) -> bool:
        return self._memory.is_remembered(
            sent_at=kept.sent_at,
            # No exchange closes after the next midnight of the date line's far side.
            closes_at=datetime.combine(kept.session + timedelta(days=1), time(12), tzinfo=UTC),
            is_open=not kept.order.status.is_terminal,
            now=now,
        )

    def _arrive(self, request: OrderRequest, broker_order_id: str = "") -> None:
        sha = digest(request_payload(request))
        self._arrivals.append(Arrival(request.client_order_id, sha, broker_order_id))

    def _answer(self) -> None:
        if self.is_down:
            raise BrokerUnavailable("query failed: by the script")


@dataclass(slots=True)
class _Kept:
    """Hold an order as it is now, its session, and when it was sent."""

    order: BrokerOrder
    session: date
    sent_at: datetime


def reconciled_term(journal: Journal, *, account: str, lane: str, now: datetime) -> int:
    """Begin an executor's term that counts as reconciled, and return it: what a claim needs."""
    term = journal.begin_term(account=account, lane=lane, holder="test", now=now)
    journal.record_reconciled(account=account, lane=lane, term=term, findings=[], now=now)
    return term


def example_call(**told: Any) -> AdvisorCall:
    """Return a question that a model answered well; whatever is told differs."""
    call = AdvisorCall(
        call_id="call-1",
        at=datetime(2013, 2, 28, 13, 45, tzinfo=UTC),
        session=date(2013, 2, 28),
        book="us_five",
        lane="simulated",
        run_id="run-1",
        purpose=Purpose.ADVICE,
        strategies="council",
        intents=example_intent().intent_key,
        provider="models",
        endpoint="chat.completions",
        model="small-1",
        tier=Tier.SMALL,
        prompt_name="advice",
        prompt_version="1@" + "t" * 12,
        prompt_sha="a" * 64,
        schema_version="advice.v1",
        prompt_tokens=900,
        completion_tokens=100,
        is_counted=True,
        cost_micros=120,
        latency_ms=40,
        attempts=1,
        ok=True,
        error_type="",
        breaker=BreakerReason.ALLOWED,
        was_cached=False,
    )
    return call._replace(**told)


def example_intent(
    symbol: str = "AAPL",
    *,
    side: Side = Side.BUY,
    quantity: int = 10,
    price_micros: int = 100_000_000,
    book: str = "us_five",
    session: date = date(2013, 2, 28),
    slot: Slot = Slot.REBALANCE,
) -> Intent:
    """Return an intent that differs from the next one only in what is asked for."""
    return Intent(
        book=book,
        strategy="council",
        strategy_version="example@1",
        session=session,
        symbol=Symbol(symbol),
        slot=slot,
        side=side,
        quantity=quantity,
        price_micros=price_micros,
        currency="USD",
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.OPG,
        rationale="example",
    )


class Harmless:
    """Obey `trading.verdicts.RiskModel`: nothing can be lost with anything, and that is known."""

    def is_sufficient(self, symbol: Symbol) -> bool:
        """Say that it can be told."""
        return bool(symbol)

    def measured(
        self, symbol: Symbol, *, quantity: int, price_micros: int, level_bps: int, limit_micros: int
    ) -> Measured:
        """Return no risk with any quantity of a priced symbol."""
        is_asked = bool(symbol) and price_micros > 0 and level_bps > 0 and limit_micros >= 0
        return Measured(var_micros=0, largest=quantity if is_asked else 0)

    def with_order(self, symbol: Symbol, *, quantity: int, price_micros: int) -> RiskModel:
        """Return itself."""
        return self if symbol and quantity * price_micros else Harmless()

    def of_book(self, quantities: Mapping[Symbol, int], prices: Mapping[Symbol, int]) -> RiskModel:
        """Return itself."""
        return self if quantities or prices else Harmless()


def example_verdicts(
    intents: Sequence[Intent],
    *,
    book: Book,
    limits: Limits,
    prices: Mapping[Symbol, int] | None = None,
    sessions_behind: Mapping[Symbol, int] | None = None,
    session_open: bool = True,
    exceptions: Exceptions = NO_EXCEPTIONS,
    funds: Funds | None = None,
    **switches: Any,
) -> tuple[Verdict, ...]:
    """Return the verdicts on intents in a liquid market without risk, at their own prices if no others.

    Without `funds` nothing is open.
    """
    if prices is None:
        prices = {intent.symbol: intent.price_micros for intent in intents}
    symbols = {intent.symbol for intent in intents}
    orders = OpenOrders(book, {}, {}, 0)
    alone = funds_of(orders, live=prices, closes={}, opening_micros=0, peak_equity_micros=0)
    return review_intents(
        intents,
        # What has no price here is no matter of the exposures.
        funds=replace(alone, unpriced=0, day_pnl_micros=0) if funds is None else funds,
        prices=prices,
        sessions_behind=dict.fromkeys(symbols, 0) if sessions_behind is None else sessions_behind,
        session_open=session_open,
        switches=replace(EXAMPLE_SWITCHES, **switches),
        limits=limits,
        prepared=Prepared(universe=symbols, average_volumes=dict.fromkeys(symbols, 10**12), risk=Harmless()),
        exceptions=exceptions,
    )


def example_limits(**changes: Any) -> Limits:
    """Return limits that stop hardly anything, with fields changed."""
    return replace(
        Limits(
            order_quantity_max=10**9,
            order_notional_micros_max=10_000_000_000,
            price_collar_bps=10_000,
            usual_order_notional_micros=10_000_000_000,
            fat_finger_soft_multiple=10,
            fat_finger_hard_multiple=20,
            volume_share_bps_max=10_000,
            volume_sessions=20,
            orders_per_minute_max=1_000,
            repeated_executions_max=10,
            position_weight_bps_max=10_000,
            symbol_weight_bps_max=10_000,
            gross_notional_micros_max=10**15,
            net_notional_micros_max=10**15,
            leverage_bps_max=100_000,
            var_bps_max=10_000,
            var_level_bps=9_500,
            daily_loss_bps_max=10_000,
            drawdown_bps_max=10_000,
            drawdown_sessions=60,
            degrade_notional_bps=2_500,
            auto_approve_notional_micros=10_000_000_000,
            cost_bps=100,
            quote_age_s_max=300,
            clock_skew_s_max=2,
            stale_ratio_bps_max=1_000,
            lot=1,
            tick_micros=10_000,
            strategy_budgets_bps=(("council", 100_000),),
        ),
        **changes,
    )


def example_decision(
    intent: Intent,
    *,
    not_after: datetime,
    outcome: Outcome = Outcome.APPROVED,
    account: str = "SIM-FIVE",
    lane: str = "simulated",
) -> Decision:
    """Return the decision that gives an intent an outcome, unadvised."""
    sends = outcome in {Outcome.APPROVED, Outcome.PENDING_APPROVAL}
    return Decision(
        intent=intent,
        account=account,
        lane=lane,
        intent_id=intent_id_of(account=account, lane=lane, intent_key=intent.intent_key),
        outcome=outcome,
        reason="within_policy" if outcome is Outcome.APPROVED else outcome.value,
        quantity=intent.quantity if sends else 0,
        unadvised_quantity=0 if outcome is Outcome.BLOCKED else intent.quantity,
        not_after=not_after,
        verdicts_sha="verdicts",
        limits_sha="limits",
        inputs_sha="inputs",
    )


def example_subject(**changes: str) -> Subject:
    """Return what evidence is about, with changes by name."""
    subject = Subject(
        strategy="momentum",
        strategy_version="1",
        book="us_five",
        data_set_sha="data",
        costs_sha="costs",
        rules_sha="rules",
        code_sha="code",
        strategy_sha="file",
    )
    return replace(subject, **changes)


def example_run(
    *,
    name: str = "thirteen years",
    subject: Subject | None = None,
    made_at: datetime = datetime(2013, 3, 1, 22, tzinfo=UTC),
    **of_candidate: Any,
) -> Run:
    """Return a run that every shipped threshold lets pass, its candidate changed by name."""
    about = example_subject() if subject is None else subject
    bound = Bound(subject=about, replay_sha=digest(["replay", about.payload()]), made_at=made_at)
    folds = tuple(
        Fold(
            number=number,
            train_first=date(2000 + number, 1, 3),
            train_last=date(2004 + number, 12, 30),
            test_first=date(2005 + number, 1, 10),
            test_last=date(2005 + number, 12, 30),
            bound=bound,
            metrics={"total_return": 0.01 * number - 0.01, "sharpe": 0.5},
        )
        for number in range(1, 7)
    )
    stresses = tuple(
        Stress(
            name=scenario,
            bound=replace(bound, replay_sha=digest([scenario, about.payload()])),
            metrics={"total_return": gained},
        )
        for scenario, gained in (
            ("costs", 0.3), ("spread", 0.35), ("volatility", 0.2), ("liquidity", 0.1), ("halt", -0.05),
        )
    )  # fmt: skip
    candidate = Candidate(
        name="as configured",
        parameters={"lookback": 126},
        bound=bound,
        sessions=3_270,
        fills=812,
        equity_levels=3_100,
        metrics={
            "total_return": 0.42,
            "deflated_sharpe": 0.97,
            "pbo": 0.1,
            "trials": 16.0,
            "other_trials": 0.0,
            "overfitting_trials": 16.0,
            "max_drawdown": -0.18,
        },
        folds=folds,
        stresses=stresses,
    )
    return Run(
        name=name,
        bound=bound,
        first=date(2000, 3, 1),
        last=date(2013, 3, 1),
        status=RunStatus.COMPLETED,
        candidates=(replace(candidate, **of_candidate),),
    )
