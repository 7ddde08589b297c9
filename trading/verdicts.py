"""Verdicts: every guard's word on every intent, on the exposure that would result.

This file builds what guards.py takes; the same builder serves the review before the open and the second
look inside the send transaction. What a verdict leads to is decisions.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple, Protocol

from trading.guards import (
    BPS,
    GUARDS,
    NO_OVERRIDE,
    PASS,
    REASONS,
    SOFT,
    Case,
    Control,
    Exposure,
    Market,
    Proposal,
    Recent,
    Risk,
    Why,
    degrade_manual_approval,
    review,
    share_of,
    var_limit,
)
from trading.intents import Intent
from trading.limits import Limits, Override
from trading.positions import Book
from trading.values import IntentKey, OrderType, Side, Slot, Symbol, digest

OK = REASONS[PASS]

SOFT_REASONS = frozenset(REASONS[code] for code in SOFT)
"""The reasons that ask a person instead of blocking."""


class Verdict(NamedTuple):
    """Hold what one guard said of one intent.

    `observed` and `limit` are in the guard's own unit (`docs/reference/guards.md`); `largest_quantity`
    (shares) would have passed this guard. `reason` is the guard's code; of one that a person set aside, which
    passes, it tells who did, why and for how long.
    """

    intent_key: IntentKey
    symbol: Symbol
    session: date
    guard: str
    passed: bool
    reason: str
    observed: int
    limit: int
    largest_quantity: int
    limits_sha: str

    @property
    def blocks(self) -> bool:
        """Say whether it is a hard block."""
        return not self.passed and self.reason not in SOFT_REASONS

    @property
    def asks(self) -> bool:
        """Say whether it asks a person: a soft block that nobody has set aside."""
        return not self.passed and self.reason in SOFT_REASONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Hold the run control that a review sees; `preflight` is the guards' code of what live is denied for."""

    kill_switch_on: bool
    paused: bool
    cooldown_active: bool
    is_reconciled: bool
    execution_enabled: bool
    is_degraded: bool
    preflight: int = PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """Hold the exposure that a review sees: the book, and what open orders may still do to it.

    Quantities by symbol in shares; `equity_micros` is the book's worth at the review's prices,
    `gross_micros` and `net_micros` the worth of positions and open buys, and `unpriced` counts those that
    have no price. `day_pnl_micros` and `peak_equity_micros` are `None` where they are not known.
    """

    positions: Mapping[Symbol, int]
    open_buys: Mapping[Symbol, int]
    open_sells: Mapping[Symbol, int]
    cash_micros: int
    reserved_micros: int
    equity_micros: int
    gross_micros: int
    net_micros: int
    unpriced: int
    day_pnl_micros: int | None
    peak_equity_micros: int | None


class OpenOrders(NamedTuple):
    """Hold a book with what is open on it: shares by symbol, and the money promised to open buys."""

    book: Book
    open_buys: Mapping[Symbol, int]
    open_sells: Mapping[Symbol, int]
    reserved_micros: int


class Measured(NamedTuple):
    """Hold a book's value at risk with one more order, and the largest quantity that stays within a limit."""

    var_micros: int
    largest: int


class RiskModel(Protocol):
    """Tell a session's value at risk: risk.py is one, on the scenarios of the session's window."""

    def is_sufficient(self, symbol: Symbol) -> bool:
        """Say whether the book's risk with an order in a symbol can be told at all."""
        ...

    def measured(
        self, symbol: Symbol, *, quantity: int, price_micros: int, level_bps: int, limit_micros: int
    ) -> Measured:
        """Return the value at risk with a buy of a quantity, and the largest up to it within the limit."""
        ...

    def with_order(self, symbol: Symbol, *, quantity: int, price_micros: int) -> RiskModel:
        """Return the same with one more order counted as filled (shares, negative: sold)."""
        ...

    def of_book(self, quantities: Mapping[Symbol, int], prices: Mapping[Symbol, int]) -> RiskModel:
        """Return the same for a book of quantities (shares) at prices."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Hold a session's prepared state: what guards need of every symbol, made once before the first intent.

    `average_volumes` are the shares traded a session on average, left out where not known. `recent` is what
    was done of late, by intent; `tactics` the number of the prohibited tactic found in a symbol.
    """

    universe: Collection[Symbol]
    average_volumes: Mapping[Symbol, int]
    risk: RiskModel
    recent: Mapping[IntentKey, Recent] = field(default_factory=dict)
    tactics: Mapping[Symbol, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptions:
    """Hold what lets a soft block pass: overrides in force at an instant, and what a person approved.

    `approved` names the guards whose soft block stood before the person who approved the intent.
    """

    overrides: tuple[Override, ...] = ()
    now: datetime | None = None
    approved: Mapping[IntentKey, Collection[str]] = field(default_factory=dict)


NO_EXCEPTIONS = Exceptions()

PERSON_GUARDS = frozenset(name for name, guard in GUARDS if guard is degrade_manual_approval)
"""The guards that want a person's approval of the order itself, and nothing else."""
NOTHING_RECENT = Recent(same_intents=0, orders_last_minute=0, repeated_executions=0)


def review_intents(
    intents: Sequence[Intent],
    *,
    funds: Funds,
    prices: Mapping[Symbol, int],
    sessions_behind: Mapping[Symbol, int],
    session_open: bool,
    switches: Switches,
    limits: Limits,
    prepared: Prepared,
    exceptions: Exceptions = NO_EXCEPTIONS,
) -> tuple[Verdict, ...]:
    """Return the verdicts on a batch before the open: one a guard, in the order of intents and guards.

    Intents are taken in order (sells first): what one that passes, or waits for a person, would use counts
    for the next, and what a sale that passes would free, its proceeds after costs. Whether they really came
    in is asked again at the send.
    """
    limits_sha = limits.sha()
    verdicts: list[Verdict] = []
    seen: dict[tuple[Symbol, Side, Slot], int] = {}
    for intent in intents:
        market = Market(
            price_micros=prices.get(intent.symbol, 0),
            sessions_behind=sessions_behind.get(intent.symbol, 1),
            quote_age_s=0,
            is_send=False,
            session_open=session_open,
            clock_skew_s=0,
            average_volume=prepared.average_volumes.get(intent.symbol, 0),
        )
        of = (intent.symbol, intent.side, intent.slot)
        recent = prepared.recent.get(intent.intent_key, NOTHING_RECENT)
        case = case_of(
            intent,
            quantity=intent.quantity,
            market=market,
            funds=funds,
            switches=switches,
            limits=limits,
            prepared=prepared,
            recent=recent._replace(same_intents=recent.same_intents + seen.get(of, 0)),
        )
        own = verdicts_of(intent, review(case), limits_sha=limits_sha, exceptions=exceptions)
        verdicts += own
        if not any(verdict.blocks for verdict in own):
            seen[of] = seen.get(of, 0) + 1
            price, is_sure = market.price_micros, all(verdict.passed for verdict in own)
            funds = _after(funds, intent, limits, price, is_sure=is_sure)
            if intent.side is Side.BUY or is_sure:
                quantity = intent.quantity if intent.side is Side.BUY else -intent.quantity
                risk = prepared.risk.with_order(intent.symbol, quantity=quantity, price_micros=price)
                prepared = replace(prepared, risk=risk)
    return tuple(verdicts)


def review_one(
    intent: Intent,
    *,
    quantity: int,
    market: Market,
    funds: Funds,
    switches: Switches,
    limits: Limits,
    prepared: Prepared,
    exceptions: Exceptions = NO_EXCEPTIONS,
) -> tuple[Why, ...]:
    """Return what every guard says of one intent, for the quantity that would be sent.

    A soft block that a person has set aside, or saw when approving the intent, passes.
    """
    case = case_of(
        intent,
        quantity=quantity,
        market=market,
        funds=funds,
        switches=switches,
        limits=limits,
        prepared=prepared,
        recent=prepared.recent.get(intent.intent_key, NOTHING_RECENT),
    )
    approved = exceptions.approved.get(intent.intent_key, ())
    return tuple(
        why._replace(code=PASS)
        if why.code in SOFT and (name in approved or _override(intent, name, why, exceptions))
        else why
        for (name, _), why in zip(GUARDS, review(case), strict=True)
    )


def case_of(
    intent: Intent,
    *,
    quantity: int,
    market: Market,
    funds: Funds,
    switches: Switches,
    limits: Limits,
    prepared: Prepared,
    recent: Recent,
) -> Case:
    """Return what guards take of one intent, for the quantity that would be sent."""
    symbol = intent.symbol
    caps = limits.caps(symbol, intent.strategy)
    exposure = Exposure(
        position_quantity=funds.positions.get(symbol, 0),
        open_buy_quantity=funds.open_buys.get(symbol, 0),
        open_sell_quantity=funds.open_sells.get(symbol, 0),
        cash_micros=funds.cash_micros,
        reserved_micros=funds.reserved_micros,
        equity_micros=funds.equity_micros,
        gross_micros=funds.gross_micros,
        net_micros=funds.net_micros,
        # The council alone decides a book (council.py), so that all that is held is its own; a budget of
        # anybody else is refused where limits are read.
        strategy_micros=funds.gross_micros,
        unpriced=funds.unpriced,
    )
    is_sufficient = intent.side is Side.BUY and prepared.risk.is_sufficient(symbol)
    measured = (
        prepared.risk.measured(
            symbol,
            quantity=quantity,
            price_micros=market.price_micros,
            level_bps=limits.var_level_bps,
            limit_micros=var_limit(exposure, caps),
        )
        if is_sufficient and market.price_micros > 0
        else Measured(var_micros=0, largest=0)
    )
    return Case(
        proposal=Proposal(
            sign=1 if intent.side is Side.BUY else -1,
            quantity=quantity,
            price_micros=intent.price_micros,
            is_flatten=intent.slot is Slot.FLATTEN,
            is_limit=intent.order_type is OrderType.LIMIT,
        ),
        market=market,
        instrument=limits.instrument(
            symbol,
            session=intent.session,
            in_universe=symbol in prepared.universe,
            tactic=prepared.tactics.get(symbol, 0),
        ),
        exposure=exposure,
        recent=recent,
        risk=Risk(
            is_history_sufficient=is_sufficient,
            var_micros=measured.var_micros,
            var_largest=measured.largest,
            is_pnl_known=funds.day_pnl_micros is not None,
            day_pnl_micros=funds.day_pnl_micros or 0,
            peak_equity_micros=funds.peak_equity_micros or 0,
        ),
        control=Control(
            kill_switch_on=switches.kill_switch_on,
            paused=switches.paused,
            cooldown_active=switches.cooldown_active,
            is_reconciled=switches.is_reconciled,
            execution_enabled=switches.execution_enabled,
            preflight=switches.preflight,
            is_degraded=switches.is_degraded,
        ),
        caps=caps,
    )


def verdicts_of(
    intent: Intent, whys: Sequence[Why], *, limits_sha: str, exceptions: Exceptions = NO_EXCEPTIONS
) -> list[Verdict]:
    """Return the rows that store what guards said of one intent; an override passes, and says whose it is."""
    intent_key = intent.intent_key
    rows = []
    for (name, _), why in zip(GUARDS, whys, strict=True):
        override = _override(intent, name, why, exceptions)
        rows.append(
            Verdict(
                intent_key,
                intent.symbol,
                intent.session,
                name,
                why.code == PASS or override is not None,
                REASONS[why.code] if override is None else override.told(),
                why.observed,
                why.limit,
                why.largest,
                limits_sha,
            )
        )
    return rows


def stopping(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the verdict that stops an intent: the first hard block, else the first that asks a person."""
    told = list(verdicts)
    blocking = next((verdict for verdict in told if verdict.blocks), None)
    return blocking or next((verdict for verdict in told if verdict.asks), None)


def asked_of_person(verdicts: Iterable[Verdict]) -> dict[IntentKey, frozenset[str]]:
    """Return the guards whose soft block a person saw who approved the intent, by intent.

    What was blocked hard was never before a person, so it is not in it.
    """
    return {
        key: frozenset(verdict.guard for verdict in own if verdict.asks)
        for key, own in by_intent(verdicts).items()
        if any(verdict.asks for verdict in own) and not any(verdict.blocks for verdict in own)
    }


def answered_by_person(
    asked: Mapping[IntentKey, Collection[str]], intent_key: IntentKey
) -> dict[IntentKey, Collection[str]]:
    """Return what a person set aside of an intent that a person approved.

    To the guards that asked when it was decided comes the one that asks while trading is degraded: it wants
    a person to look, and one has, though nobody was asked for that when it was decided.
    """
    return {**asked, intent_key: {*asked.get(intent_key, ()), *PERSON_GUARDS}}


def switches_seen(verdicts: Iterable[Verdict]) -> Switches | None:
    """Return the run control that stored verdicts were given under, `None` where there are none.

    A session that was decided is told again under what held then, whatever has been switched since. A
    switch that no guard looked at yet was not there.
    """
    observed = {verdict.guard: verdict.observed for verdict in verdicts}
    if not observed:
        return None
    return Switches(
        kill_switch_on=bool(observed["kill_switch"]),
        paused=bool(observed["paused"]),
        cooldown_active=bool(observed.get("cooldown", 0)),
        is_reconciled=bool(observed.get("reconciled", 1)),
        execution_enabled=bool(observed["execution_enabled"]),
        is_degraded=bool(observed.get("degrade_manual_approval", 0)),
        preflight=observed.get("preflight", PASS),
    )


def by_intent(verdicts: Iterable[Verdict]) -> dict[IntentKey, tuple[Verdict, ...]]:
    """Return verdicts grouped by intent, each group in the order of guards."""
    groups: dict[IntentKey, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.intent_key, []).append(verdict)
    return {key: tuple(group) for key, group in groups.items()}


def verdicts_sha(verdicts: Sequence[Verdict]) -> str:
    """Return the digest of one intent's verdicts."""
    return digest([[*map(str, verdict)] for verdict in verdicts])


def funds_of(
    orders: OpenOrders,
    *,
    live: Mapping[Symbol, int],
    closes: Mapping[Symbol, int],
    opening_micros: int | None,
    peak_equity_micros: int,
) -> Funds:
    """Return the exposure of a book with its open orders, at live prices.

    What has no live price counts as 0 in equity, so that caps are the tighter, and at its last close in
    exposures and in the day's P&L. An open buy of fewer than no shares counts as none and as one without a
    price, since nothing can value it. `opening_micros` is what the book was worth before the session.
    """
    positions = {position.symbol: position.quantity for position in orders.book.positions}
    prices = {**closes, **live}
    cash = orders.book.cash_micros
    equity = cash + sum(live.get(symbol, 0) * quantity for symbol, quantity in positions.items())
    worth = sum(prices.get(symbol, 0) * quantity for symbol, quantity in positions.items())
    counted = dict(positions)
    for symbol, quantity in orders.open_buys.items():
        counted[symbol] = counted.get(symbol, 0) + max(quantity, 0)
    values = {symbol: prices.get(symbol, 0) * quantity for symbol, quantity in counted.items() if quantity}
    unpriced = sum(1 for symbol in values if prices.get(symbol, 0) <= 0)
    unpriced += sum(1 for quantity in orders.open_buys.values() if quantity < 0)
    return Funds(
        positions=positions,
        open_buys=orders.open_buys,
        open_sells=orders.open_sells,
        cash_micros=cash,
        reserved_micros=orders.reserved_micros,
        equity_micros=equity,
        gross_micros=sum(abs(value) for value in values.values()),
        net_micros=sum(values.values()),
        unpriced=unpriced,
        day_pnl_micros=None if opening_micros is None or unpriced else cash + worth - opening_micros,
        peak_equity_micros=max(peak_equity_micros, equity),
    )


def promised_micros(notional_micros: int, cost_bps: int) -> int:
    """Return the money that an open buy binds: its worth and what trading it may cost, rounded up."""
    return -share_of(-notional_micros, BPS + cost_bps)


def freed_micros(notional_micros: int, cost_bps: int) -> int:
    """Return the money that a sale is counted on to bring in: its worth less what trading may cost."""
    return share_of(notional_micros, BPS - cost_bps)


def _override(intent: Intent, guard: str, why: Why, exceptions: Exceptions) -> Override | None:
    """Return the override that sets a guard's soft block of an intent aside, `None` where there is none."""
    if why.code not in SOFT or why.code in NO_OVERRIDE:
        return None
    return next(
        (
            override
            for override in exceptions.overrides
            if override.guard == guard
            and override.holds_for(intent.symbol, session=intent.session, now=exceptions.now)
        ),
        None,
    )


def _after(funds: Funds, intent: Intent, limits: Limits, price_micros: int, *, is_sure: bool) -> Funds:
    """Return the exposure once an intent is counted as open; a sale counts as done only where `is_sure`."""
    quantity, notional, worth = intent.quantity, intent.notional_micros, intent.quantity * price_micros
    if intent.side is Side.BUY:
        return replace(
            funds,
            open_buys={
                **funds.open_buys,
                intent.symbol: _more(funds.open_buys.get(intent.symbol, 0), quantity),
            },
            reserved_micros=_more(funds.reserved_micros, promised_micros(notional, limits.cost_bps)),
            gross_micros=funds.gross_micros + worth,
            net_micros=funds.net_micros + worth,
        )
    sold = {**funds.open_sells, intent.symbol: _more(funds.open_sells.get(intent.symbol, 0), quantity)}
    if not is_sure:
        return replace(funds, open_sells=sold)
    return replace(
        funds,
        open_sells=sold,
        cash_micros=funds.cash_micros + freed_micros(notional, limits.cost_bps),
        gross_micros=funds.gross_micros - worth,
        net_micros=funds.net_micros - worth,
    )


def _more(open_already: int, added: int) -> int:
    """Return the sum; what is under nothing stays so, since another order does not make it right."""
    return open_already if open_already < 0 else open_already + added
