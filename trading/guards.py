"""Guards: each says *why not* of one proposal, or nothing. Forbid wins; no guard enlarges an order.

Written as a `Case` of scalars and NamedTuples in, a `Why` out, in a subset of Python that compiles, so that
the very same functions serve a live review, the second look inside the send transaction, and a replay loop.
What fills a case is verdicts.py; limits are limits.py; how verdicts become decisions is decisions.py.

An order that only lowers what is held passes whatever holds sizes, exposures and losses: risk can always be
reduced. Whatever is missing, not a number, too old or from the future denies what adds risk: comparisons ask
for what is good, since not a number is neither over a limit nor within it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trading.values import NOTIONAL_MICROS_MAX

BPS = 10_000
"""Basis points in one."""

NO_LIMIT = 2**62
"""The largest quantity of a guard that does not look at quantity."""


class Proposal(NamedTuple):
    """Hold what is proposed: `sign` +1 buys, −1 sells; quantity in shares.

    `price_micros` is the reference that it was sized on, and its limit where `is_limit`.
    """

    sign: int
    quantity: int
    price_micros: int
    is_flatten: bool
    is_limit: bool


class Market(NamedTuple):
    """Hold what the market gives: the price to value at (0: none), how old it is, how much is traded.

    `sessions_behind` counts sessions between the quote and the last closed one (0: it is the last).
    `quote_age_s` is the age at a send; a review before the open is no send (`is_send` false).
    `clock_skew_s` is how far this machine's clock stands behind the newest instant it was told of.
    `average_volume` is the shares traded a session, on average; 0: not known.
    """

    price_micros: int
    sessions_behind: int
    quote_age_s: int
    is_send: bool
    session_open: bool
    clock_skew_s: int
    average_volume: int


class Instrument(NamedTuple):
    """Hold what the reviewed files say of a symbol: lot in shares, tick in micro-units (0: any price).

    `allowlist_size` counts the book's allowlist (0: every symbol of the universe is allowed).
    `restricted_policy` is the number of the policy that restricts the symbol on the session's date, 0: none.
    `tactic` is the number of the prohibited tactic that an order in it would belong to now, 0: none.
    """

    lot: int
    tick_micros: int
    in_universe: bool
    is_allowed: bool
    allowlist_size: int
    restricted_policy: int
    tactic: int


class Exposure(NamedTuple):
    """Hold the book's side: what is held, what open orders may add, and what money is free.

    `reserved_micros` is money promised to open buys; `open_buy_quantity` / `open_sell_quantity` the
    shares of this symbol in orders that are open or whose outcome is unknown. `gross_micros` and
    `net_micros` are the worth of all positions with open buys counted, `strategy_micros` the part of it
    that the intent's strategy has; `unpriced` counts positions and open buys that nothing can value.
    """

    position_quantity: int
    open_buy_quantity: int
    open_sell_quantity: int
    cash_micros: int
    reserved_micros: int
    equity_micros: int
    gross_micros: int
    net_micros: int
    strategy_micros: int
    unpriced: int


class Recent(NamedTuple):
    """Hold what was done of late: other intents for the same, orders of the account, sends without a person.

    `same_intents` counts other live intents of the same symbol, side and slot in the session,
    `orders_last_minute` the account's orders prepared in the last 60 s, `repeated_executions` the orders
    that the intent's strategy already had in this symbol and on this side in the session.
    """

    same_intents: int
    orders_last_minute: int
    repeated_executions: int


class Risk(NamedTuple):
    """Hold what risk.py tells of the book with the order counted as filled, and of its day and its peak.

    `var_micros` is the resulting value at risk of a session, `var_largest` the largest quantity up to the
    one asked for whose value at risk is within the limit; both count only where `is_history_sufficient`.
    `day_pnl_micros` is what the session has made so far and counts only where `is_pnl_known`;
    `peak_equity_micros` is the highest equity of late, 0: not known.
    """

    is_history_sufficient: bool
    var_micros: int
    var_largest: int
    is_pnl_known: bool
    day_pnl_micros: int
    peak_equity_micros: int


class Control(NamedTuple):
    """Hold the run control that matters to a guard; `preflight` is the code of what it denies, 0: nothing."""

    kill_switch_on: bool
    paused: bool
    cooldown_active: bool
    is_reconciled: bool
    execution_enabled: bool
    preflight: int
    is_degraded: bool


class Caps(NamedTuple):
    """Hold the limits as scalars, those of the symbol and the strategy picked out.

    Money in micro-units, shares of equity and costs in bps, ages in seconds. `strategy_budget_bps` −1: the
    strategy has none.
    """

    quote_age_s_max: int
    clock_skew_s_max: int
    order_quantity_max: int
    order_notional_micros_max: int
    price_collar_bps: int
    fat_finger_hard_micros: int
    fat_finger_soft_micros: int
    volume_share_bps_max: int
    orders_per_minute_max: int
    repeated_executions_max: int
    cost_bps: int
    position_weight_bps_max: int
    symbol_weight_bps_max: int
    strategy_budget_bps: int
    gross_micros_max: int
    net_micros_max: int
    leverage_bps_max: int
    var_bps_max: int
    daily_loss_bps_max: int
    drawdown_bps_max: int
    degrade_notional_bps: int


class Case(NamedTuple):
    """Hold all that a guard may look at."""

    proposal: Proposal
    market: Market
    instrument: Instrument
    exposure: Exposure
    recent: Recent
    risk: Risk
    control: Control
    caps: Caps


class Tally(NamedTuple):
    """Hold what all guards say of a case in short: bit g of `passed` is set where guard g of `GUARDS` passes.

    `largest` is the smallest of the quantities (shares) that each would let through; `refused` counts those
    that do not pass.
    """

    passed: int
    largest: int
    refused: int


class Why(NamedTuple):
    """Say whether a guard passes (`code` 0) or why not, with what it saw and its limit.

    `largest` is the largest quantity (shares) that would pass this guard now; 0: none would.
    """

    code: int
    observed: int
    limit: int
    largest: int


PASS = 0

KILL_SWITCH_ON = 101
TRADING_PAUSED = 102
COOLDOWN_ACTIVE = 103
NOT_RECONCILED = 104

EXECUTION_DISABLED = 201
REAL_EXECUTION_NOT_ALLOWED = 202
MISSING_APP_KEY = 203
MISSING_APP_SECRET = 204
MISSING_ACCOUNT_NO = 205
INVALID_BASE_URL = 206
ALLOWLIST_BLOCKED = 207
NOT_PROMOTED = 208
PROMOTION_STALE = 209
SIGNALS_LATCHED = 210
ADVISOR_STEPPED_BACK = 211

MISSING_PRICE = 301
QUOTE_STALE = 302
SESSION_CLOSED = 303
CLOCK_SKEWED = 304

INVALID_INTENT = 401
NOT_IN_UNIVERSE = 402
SYMBOL_NOT_ALLOWED = 403
RESTRICTED_SYMBOL = 404
LOT_SIZE = 405
TICK_SIZE = 406

PROHIBITED_TACTIC = 500
"""Reported with the tactic's number added."""

MAX_QUANTITY_EXCEEDED = 601
MAX_NOTIONAL_EXCEEDED = 602
PRICE_COLLAR_EXCEEDED = 603
FAT_FINGER_HARD = 604
FAT_FINGER_SOFT = 605
MISSING_VOLUME = 606
VOLUME_SHARE_EXCEEDED = 607

DUPLICATE_INTENT = 701
ORDER_RATE_EXCEEDED = 702
REPEATED_EXECUTION = 703
OPPOSITE_SIDE_CONFLICT = 704

NEGATIVE_EXPOSURE = 800
INSUFFICIENT_BUYING_POWER = 801
SHORTS_NOT_ALLOWED = 802
MISSING_EXPOSURE_PRICE = 803
MAX_POSITION_EXCEEDED = 804
SYMBOL_CAP_EXCEEDED = 805
MISSING_STRATEGY_BUDGET = 806
STRATEGY_BUDGET_EXCEEDED = 807
GROSS_LIMIT = 808
NET_LIMIT = 809
LEVERAGE_LIMIT = 810
MISSING_RISK_HISTORY = 811
VAR_LIMIT = 812
MISSING_DAY_PNL = 813
DAILY_LOSS_LIMIT = 814
MISSING_PEAK_EQUITY = 815
DRAWDOWN_LIMIT = 816

DEGRADE_MANUAL_APPROVAL = 901
DEGRADE_ALLOWLIST_REQUIRED = 902
DEGRADE_SYMBOL_NOT_ALLOWLISTED = 903
DEGRADE_INVALID_PRICE = 904
DEGRADE_NOTIONAL_LIMIT = 905

TACTICS = ("spoofing", "layering", "insider", "front_running", "pump_and_dump")
"""The prohibited tactics; a tactic's number is its place here, from 1."""

REASONS = {
    PASS: "ok",
    KILL_SWITCH_ON: "kill_switch_on",
    TRADING_PAUSED: "trading_paused",
    COOLDOWN_ACTIVE: "cooldown_active",
    NOT_RECONCILED: "not_reconciled",
    EXECUTION_DISABLED: "execution_disabled",
    REAL_EXECUTION_NOT_ALLOWED: "real_execution_not_allowed",
    MISSING_APP_KEY: "missing_app_key",
    MISSING_APP_SECRET: "missing_app_secret",
    MISSING_ACCOUNT_NO: "missing_account_no",
    INVALID_BASE_URL: "invalid_base_url",
    ALLOWLIST_BLOCKED: "allowlist_blocked",
    NOT_PROMOTED: "not_promoted",
    PROMOTION_STALE: "promotion_stale",
    SIGNALS_LATCHED: "signals_latched",
    ADVISOR_STEPPED_BACK: "advisor_stepped_back",
    MISSING_PRICE: "missing_price",
    QUOTE_STALE: "quote_stale",
    SESSION_CLOSED: "session_closed",
    CLOCK_SKEWED: "clock_skewed",
    INVALID_INTENT: "invalid_intent_type",
    NOT_IN_UNIVERSE: "not_in_universe",
    SYMBOL_NOT_ALLOWED: "symbol_not_allowed",
    RESTRICTED_SYMBOL: "restricted_symbol",
    LOT_SIZE: "lot_size",
    TICK_SIZE: "tick_size",
    **{PROHIBITED_TACTIC + place: f"prohibited_tactic:{name}" for place, name in enumerate(TACTICS, start=1)},
    MAX_QUANTITY_EXCEEDED: "max_quantity_exceeded",
    MAX_NOTIONAL_EXCEEDED: "max_notional_exceeded",
    PRICE_COLLAR_EXCEEDED: "price_collar_exceeded",
    FAT_FINGER_HARD: "fat_finger_hard",
    FAT_FINGER_SOFT: "fat_finger_soft",
    MISSING_VOLUME: "missing_volume",
    VOLUME_SHARE_EXCEEDED: "volume_share_exceeded",
    DUPLICATE_INTENT: "duplicate_intent",
    ORDER_RATE_EXCEEDED: "order_rate_exceeded",
    REPEATED_EXECUTION: "repeated_execution_disabled",
    OPPOSITE_SIDE_CONFLICT: "opposite_side_conflict",
    NEGATIVE_EXPOSURE: "negative_exposure",
    INSUFFICIENT_BUYING_POWER: "insufficient_buying_power",
    SHORTS_NOT_ALLOWED: "shorts_not_allowed",
    MISSING_EXPOSURE_PRICE: "missing_exposure_price",
    MAX_POSITION_EXCEEDED: "max_position_pct_exceeded",
    SYMBOL_CAP_EXCEEDED: "symbol_notional_cap_exceeded",
    MISSING_STRATEGY_BUDGET: "missing_strategy_budget",
    STRATEGY_BUDGET_EXCEEDED: "strategy_budget_exceeded",
    GROSS_LIMIT: "gross_notional_limit",
    NET_LIMIT: "net_notional_limit",
    LEVERAGE_LIMIT: "gross_leverage_limit",
    MISSING_RISK_HISTORY: "missing_risk_history",
    VAR_LIMIT: "var_limit",
    MISSING_DAY_PNL: "missing_day_pnl",
    DAILY_LOSS_LIMIT: "daily_loss_limit",
    MISSING_PEAK_EQUITY: "missing_peak_equity",
    DRAWDOWN_LIMIT: "drawdown_limit",
    DEGRADE_MANUAL_APPROVAL: "degrade_manual_approval_required",
    DEGRADE_ALLOWLIST_REQUIRED: "degrade_allowlist_required",
    DEGRADE_SYMBOL_NOT_ALLOWLISTED: "degrade_symbol_not_allowlisted",
    DEGRADE_INVALID_PRICE: "degrade_invalid_price_for_notional_guard",
    DEGRADE_NOTIONAL_LIMIT: "degrade_notional_limit_exceeded",
}
"""The stable reason code of each number. Numbers are the precedence: the lowest is reported first."""

SOFT = frozenset({FAT_FINGER_SOFT, VOLUME_SHARE_EXCEEDED, REPEATED_EXECUTION, DEGRADE_MANUAL_APPROVAL})
"""The codes that ask a person instead of blocking; every other one is hard."""

SOFT_CODES = tuple(sorted(SOFT))
"""The same in a form that compiles."""

NO_OVERRIDE = frozenset({DEGRADE_MANUAL_APPROVAL})
"""The soft codes that only the approval of the order itself answers, never an override."""


# -------------------------------------------------------------------------------- runtime


def kill_switch(case: Case) -> Why:
    """Stop everything but a flatten while the kill switch is on."""
    if case.control.kill_switch_on and not case.proposal.is_flatten:
        return Why(KILL_SWITCH_ON, 1, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


def paused(case: Case) -> Why:
    """Stop while a person has paused trading."""
    if case.control.paused:
        return Why(TRADING_PAUSED, 1, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


def cooldown(case: Case) -> Why:
    """Stop what adds risk while the account cools down after failed executions."""
    if not case.control.cooldown_active:
        return Why(PASS, 0, 0, NO_LIMIT)
    return held_to_reducing(case, 1, 0, COOLDOWN_ACTIVE)


def reconciled(case: Case) -> Why:
    """Stop until journal and broker have been brought together."""
    if not case.control.is_reconciled:
        return Why(NOT_RECONCILED, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


# -------------------------------------------------------------------------------- mode and preflight


def execution_enabled(case: Case) -> Why:
    """Stop unless execution is switched on."""
    if not case.control.execution_enabled:
        return Why(EXECUTION_DISABLED, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


def preflight(case: Case) -> Why:
    """Stop what live execution is denied for: not allowed, no credentials, no account, a wrong endpoint."""
    if case.control.preflight != PASS:
        return Why(case.control.preflight, case.control.preflight, PASS, 0)
    return Why(PASS, PASS, PASS, NO_LIMIT)


# -------------------------------------------------------------------------------- data


def quote_present(case: Case) -> Why:
    """Stop without a price: nothing unpriced can be bounded."""
    price = case.market.price_micros
    if price > 0:
        return Why(PASS, price, 1, NO_LIMIT)
    return Why(MISSING_PRICE, price, 1, 0)


def quote_age(case: Case) -> Why:
    """Stop on an old quote: a decision needs the last closed session's, a send one of at most some seconds.

    A quote from the future (negative age) is as wrong as an old one.
    """
    market, age_s_max = case.market, case.caps.quote_age_s_max
    if market.sessions_behind != 0:
        return Why(QUOTE_STALE, market.sessions_behind, 0, 0)
    if market.is_send and not 0 <= market.quote_age_s <= age_s_max:
        return Why(QUOTE_STALE, market.quote_age_s, age_s_max, 0)
    return Why(PASS, market.quote_age_s, age_s_max, NO_LIMIT)


def session_open(case: Case) -> Why:
    """Stop outside the session (before the open a review asks whether there will be one)."""
    if not case.market.session_open:
        return Why(SESSION_CLOSED, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


def clock_skew(case: Case) -> Why:
    """Stop while this machine's clock stands behind what the market has already told of, or ahead of it."""
    skew_s, skew_s_max = case.market.clock_skew_s, case.caps.clock_skew_s_max
    if not -skew_s_max <= skew_s <= skew_s_max:
        return Why(CLOCK_SKEWED, skew_s, skew_s_max, 0)
    return Why(PASS, skew_s, skew_s_max, NO_LIMIT)


# -------------------------------------------------------------------------------- instrument


def well_formed(case: Case) -> Why:
    """Stop what is no order at all: no side, no quantity, no reference, or worth more than 64 bits hold."""
    proposal = case.proposal
    if proposal.sign not in (-1, 1) or proposal.quantity <= 0 or proposal.price_micros <= 0:
        return Why(INVALID_INTENT, proposal.quantity, 1, 0)
    price = max(proposal.price_micros, case.market.price_micros)
    largest = NOTIONAL_MICROS_MAX // price
    if proposal.quantity > largest:
        return Why(INVALID_INTENT, proposal.quantity, largest, largest)
    return Why(PASS, proposal.quantity, largest, largest)


def universe(case: Case) -> Why:
    """Stop a symbol that the session's universe does not have."""
    if not case.instrument.in_universe:
        return Why(NOT_IN_UNIVERSE, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


def allowlist(case: Case) -> Why:
    """Stop what adds risk in a symbol that is not on the book's allowlist; what is held can still be sold."""
    if case.instrument.is_allowed:
        return Why(PASS, 1, 1, NO_LIMIT)
    return only_reducing(case, 0, 1, SYMBOL_NOT_ALLOWED)


def restricted(case: Case) -> Why:
    """Stop what adds risk in a symbol that a policy restricts on the date; observed is its number."""
    policy = case.instrument.restricted_policy
    if policy == 0:
        return Why(PASS, 0, 0, NO_LIMIT)
    return only_reducing(case, policy, 0, RESTRICTED_SYMBOL)


def lot_size(case: Case) -> Why:
    """Stop what is no whole number of lots, unless it sells all that is left."""
    quantity, lot = case.proposal.quantity, case.instrument.lot
    if lot <= 0:
        return Why(LOT_SIZE, quantity, lot, 0)
    rest = reducible_quantity(case)
    if quantity % lot != 0 and quantity != rest:
        return Why(LOT_SIZE, quantity, lot, max(quantity // lot * lot, rest if rest < quantity else 0))
    return Why(PASS, quantity, lot, NO_LIMIT)


def tick_size(case: Case) -> Why:
    """Stop a limit price that is no whole number of ticks."""
    price, tick = case.proposal.price_micros, case.instrument.tick_micros
    if case.proposal.is_limit and tick > 0 and price % tick != 0:
        return Why(TICK_SIZE, price, tick, 0)
    return Why(PASS, price, tick, NO_LIMIT)


# -------------------------------------------------------------------------------- prohibited tactics


def prohibited_tactic(case: Case) -> Why:
    """Stop an order that would belong to a prohibited tactic; the tactic's number is observed."""
    tactic = case.instrument.tactic
    if tactic != 0:
        return Why(PROHIBITED_TACTIC + min(max(tactic, 1), len(TACTICS)), tactic, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


# -------------------------------------------------------------------------------- order


def max_quantity(case: Case) -> Why:
    """Stop an order of more shares than the limit, unless it only reduces what is held."""
    quantity, limit = case.proposal.quantity, case.caps.order_quantity_max
    largest = max(limit, reducible_quantity(case))
    if quantity > largest:
        return Why(MAX_QUANTITY_EXCEEDED, quantity, limit, largest)
    return Why(PASS, quantity, limit, largest)


def max_notional(case: Case) -> Why:
    """Stop an order worth more than the limit, unless it only reduces what is held."""
    return bounded_notional(case, case.caps.order_notional_micros_max, MAX_NOTIONAL_EXCEEDED)


def price_collar(case: Case) -> Why:
    """Stop what adds risk where the market has left the order's reference by more than the collar."""
    reference, price = case.proposal.price_micros, case.market.price_micros
    limit = share_of(max(reference, 0), case.caps.price_collar_bps)
    if price <= 0:
        return Why(PASS, 0, limit, NO_LIMIT)
    return held_to_reducing(case, abs(price - reference), limit, PRICE_COLLAR_EXCEEDED)


def fat_finger_hard(case: Case) -> Why:
    """Stop an order many times the usual one: nobody means that."""
    return bounded_notional(case, case.caps.fat_finger_hard_micros, FAT_FINGER_HARD)


def fat_finger_soft(case: Case) -> Why:
    """Ask a person about an order some times the usual one."""
    return bounded_notional(case, case.caps.fat_finger_soft_micros, FAT_FINGER_SOFT)


def volume_share(case: Case) -> Why:
    """Ask a person about an order that is a large share of the average volume; stop one of unknown volume."""
    quantity, volume = case.proposal.quantity, case.market.average_volume
    reducible = reducible_quantity(case)
    if volume <= 0:
        if quantity > reducible:
            return Why(MISSING_VOLUME, volume, 1, reducible)
        return Why(PASS, 0, 0, reducible)
    limit = share_of(volume, case.caps.volume_share_bps_max)
    largest = max(limit, reducible)
    if quantity > largest:
        return Why(VOLUME_SHARE_EXCEEDED, quantity, limit, largest)
    return Why(PASS, quantity, limit, largest)


# -------------------------------------------------------------------------------- repetition


def duplicate(case: Case) -> Why:
    """Stop a second intent for the same: symbol, side and slot in one session."""
    if case.recent.same_intents > 0:
        return Why(DUPLICATE_INTENT, case.recent.same_intents, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


def order_rate(case: Case) -> Why:
    """Stop what adds risk where the account has sent as many orders in a minute as it may."""
    sent, limit = case.recent.orders_last_minute, case.caps.orders_per_minute_max
    if 0 <= sent < limit:
        return Why(PASS, sent, limit, NO_LIMIT)
    return only_reducing(case, sent, limit, ORDER_RATE_EXCEEDED)


def repeated_execution(case: Case) -> Why:
    """Stop a strategy that goes on adding to a symbol, until a named person re-enables it."""
    sent, limit = case.recent.repeated_executions, case.caps.repeated_executions_max
    if 0 <= sent < limit:
        return Why(PASS, sent, limit, NO_LIMIT)
    return only_reducing(case, sent, limit, REPEATED_EXECUTION)


def self_match(case: Case) -> Why:
    """Stop an order that could trade with an open one of our own on the other side."""
    exposure = case.exposure
    opposite = exposure.open_sell_quantity if case.proposal.sign > 0 else exposure.open_buy_quantity
    if opposite > 0:
        return Why(OPPOSITE_SIDE_CONFLICT, opposite, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


# -------------------------------------------------------------------------------- account and portfolio


def exposure_sound(case: Case) -> Why:
    """Stop where orders are open for fewer than no shares, or less than no money is promised to them.

    What cannot be true bounds nothing. A sale passes as long as what is on sale already can be.
    """
    exposure = case.exposure
    same_side = exposure.open_buy_quantity if case.proposal.sign > 0 else exposure.open_sell_quantity
    if same_side < 0:
        return Why(NEGATIVE_EXPOSURE, same_side, 0, 0)
    least = min(exposure.open_buy_quantity, exposure.open_sell_quantity, exposure.reserved_micros)
    if least < 0:
        return only_reducing(case, least, 0, NEGATIVE_EXPOSURE)
    return Why(PASS, 0, 0, NO_LIMIT)


def buying_power(case: Case) -> Why:
    """Stop a buy that free cash does not pay, slippage and commission allowed for (rounded up)."""
    free = case.exposure.cash_micros - case.exposure.reserved_micros
    price = case.market.price_micros
    if price <= 0 or case.proposal.sign < 0:
        return Why(PASS, 0, free, NO_LIMIT)
    cost_each = -(-price * (BPS + case.caps.cost_bps) // BPS)
    largest = max(free, 0) // cost_each
    needed = case.proposal.quantity * cost_each
    if case.proposal.quantity > largest:
        return Why(INSUFFICIENT_BUYING_POWER, needed, free, largest)
    return Why(PASS, needed, free, largest)


def shorts(case: Case) -> Why:
    """Stop a sale of more than is held, open sells counted: a sale never opens a short."""
    if case.proposal.sign > 0:
        return Why(PASS, 0, 0, NO_LIMIT)
    sellable = reducible_quantity(case)
    if case.proposal.quantity > sellable:
        return Why(SHORTS_NOT_ALLOWED, case.proposal.quantity, sellable, sellable)
    return Why(PASS, case.proposal.quantity, sellable, sellable)


def exposure_priced(case: Case) -> Why:
    """Stop a buy while anything held or on order has no price: what cannot be counted cannot be bounded."""
    unpriced = case.exposure.unpriced
    if unpriced != 0 and case.proposal.sign > 0:
        largest = reducible_quantity(case)
        if case.proposal.quantity > largest:
            return Why(MISSING_EXPOSURE_PRICE, unpriced, 0, largest)
        return Why(PASS, unpriced, 0, largest)
    return Why(PASS, unpriced, 0, NO_LIMIT)


def position_limit(case: Case) -> Why:
    """Stop a buy whose resulting position is over the share of equity that no position may have."""
    return bounded_position(case, case.caps.position_weight_bps_max, MAX_POSITION_EXCEEDED)


def symbol_cap(case: Case) -> Why:
    """Stop a buy whose resulting position, open buys counted, is over the symbol's own share of equity."""
    return bounded_position(case, case.caps.symbol_weight_bps_max, SYMBOL_CAP_EXCEEDED)


def strategy_budget(case: Case) -> Why:
    """Stop a buy that takes its strategy over its share of equity; without a budget it buys nothing."""
    exposure, budget_bps = case.exposure, case.caps.strategy_budget_bps
    if budget_bps < 0:
        return bounded_exposure(case, exposure.strategy_micros, 0, MISSING_STRATEGY_BUDGET)
    limit = share_of(max(exposure.equity_micros, 0), budget_bps)
    return bounded_exposure(case, exposure.strategy_micros, limit, STRATEGY_BUDGET_EXCEEDED)


def gross_exposure(case: Case) -> Why:
    """Stop a buy that takes the worth of all positions, open buys counted, over the limit."""
    return bounded_exposure(case, case.exposure.gross_micros, case.caps.gross_micros_max, GROSS_LIMIT)


def net_exposure(case: Case) -> Why:
    """Stop a buy that takes longs less shorts over the limit."""
    return bounded_exposure(case, case.exposure.net_micros, case.caps.net_micros_max, NET_LIMIT)


def leverage(case: Case) -> Why:
    """Stop a buy that takes the worth of all positions over the limit's share of equity."""
    limit = share_of(max(case.exposure.equity_micros, 0), case.caps.leverage_bps_max)
    return bounded_exposure(case, case.exposure.gross_micros, limit, LEVERAGE_LIMIT)


def value_at_risk(case: Case) -> Why:
    """Stop a buy after which the book's value at risk of a session is over its share of equity.

    The larger of historical and parametric, of book and order together; what cannot be told denies.
    """
    risk, limit = case.risk, var_limit(case.exposure, case.caps)
    if case.market.price_micros <= 0 or case.proposal.sign < 0:
        return Why(PASS, 0, limit, NO_LIMIT)
    if not risk.is_history_sufficient or risk.var_micros < 0:
        return held_to_reducing(case, 1, 0, MISSING_RISK_HISTORY)
    quantity, reducible = case.proposal.quantity, reducible_quantity(case)
    if risk.var_micros > limit:
        largest = max(min(risk.var_largest, quantity - 1), reducible)
        if quantity > largest:
            return Why(VAR_LIMIT, risk.var_micros, limit, largest)
        return Why(PASS, risk.var_micros, limit, largest)
    return Why(PASS, risk.var_micros, limit, max(risk.var_largest, quantity))


def daily_loss(case: Case) -> Why:
    """Stop what adds risk once the session has lost more than its share of what it began with."""
    risk = case.risk
    if not risk.is_pnl_known:
        return held_to_reducing(case, 1, 0, MISSING_DAY_PNL)
    limit = share_of(max(case.exposure.equity_micros - risk.day_pnl_micros, 0), case.caps.daily_loss_bps_max)
    return held_to_reducing(case, max(-risk.day_pnl_micros, 0), limit, DAILY_LOSS_LIMIT)


def drawdown(case: Case) -> Why:
    """Stop what adds risk while the book is further under its peak than the limit's share of the peak."""
    peak = case.risk.peak_equity_micros
    if peak <= 0:
        return held_to_reducing(case, 1, 0, MISSING_PEAK_EQUITY)
    limit = share_of(peak, case.caps.drawdown_bps_max)
    return held_to_reducing(case, max(peak - case.exposure.equity_micros, 0), limit, DRAWDOWN_LIMIT)


# -------------------------------------------------------------------------------- degrade mode


def degrade_manual_approval(case: Case) -> Why:
    """Ask a person about everything that adds risk while trading is degraded."""
    if not case.control.is_degraded:
        return Why(PASS, 0, 0, NO_LIMIT)
    return held_to_reducing(case, 1, 0, DEGRADE_MANUAL_APPROVAL)


def degrade_allowlist(case: Case) -> Why:
    """Stop what adds risk in a book without an allowlist while trading is degraded."""
    if not case.control.is_degraded or case.instrument.allowlist_size > 0:
        return Why(PASS, case.instrument.allowlist_size, 1, NO_LIMIT)
    return held_to_reducing(case, 1, 0, DEGRADE_ALLOWLIST_REQUIRED)


def degrade_symbol(case: Case) -> Why:
    """Stop what adds risk in a symbol that is on no allowlist while trading is degraded."""
    is_listed = case.instrument.allowlist_size > 0 and case.instrument.is_allowed
    if not case.control.is_degraded or is_listed:
        return Why(PASS, 0, 0, NO_LIMIT)
    return held_to_reducing(case, 1, 0, DEGRADE_SYMBOL_NOT_ALLOWLISTED)


def degrade_price(case: Case) -> Why:
    """Stop what has no price to hold the degraded notional to."""
    price = case.market.price_micros
    if case.control.is_degraded and price <= 0:
        return Why(DEGRADE_INVALID_PRICE, price, 1, 0)
    return Why(PASS, price, 1, NO_LIMIT)


def degrade_notional(case: Case) -> Why:
    """Stop an order worth more than the degraded share of the normal limit, unless it only reduces."""
    limit = share_of(case.caps.order_notional_micros_max, case.caps.degrade_notional_bps)
    if not case.control.is_degraded:
        return Why(PASS, 0, limit, NO_LIMIT)
    return bounded_notional(case, limit, DEGRADE_NOTIONAL_LIMIT)


# -------------------------------------------------------------------------------- what guards share


def share_of(amount: int, bps: int) -> int:
    """Return basis points of an amount, rounded down; no product leaves 64 bits."""
    return amount // BPS * bps + amount % BPS * bps // BPS


def var_limit(exposure: Exposure, caps: Caps) -> int:
    """Return what the value at risk of a session may be at most, in micro-units."""
    return share_of(max(exposure.equity_micros, 0), caps.var_bps_max)


def reducible_quantity(case: Case) -> int:
    """Return the shares that the order may trade and still only lower what is held, open orders counted."""
    exposure = case.exposure
    if case.proposal.sign < 0:
        return max(exposure.position_quantity - max(exposure.open_sell_quantity, 0), 0)
    return max(-exposure.position_quantity - max(exposure.open_buy_quantity, 0), 0)


def bounded_notional(case: Case, limit: int, code: int) -> Why:
    """Hold an order's worth to a limit, unless it only reduces what is held."""
    price, quantity = case.market.price_micros, case.proposal.quantity
    if price <= 0:
        return Why(PASS, 0, limit, NO_LIMIT)
    largest = max(max(limit, 0) // price, reducible_quantity(case))
    if quantity > largest:
        return Why(code, quantity * price, limit, largest)
    return Why(PASS, quantity * price, limit, largest)


def bounded_position(case: Case, weight_bps: int, code: int) -> Why:
    """Hold the position that a buy would make, open buys counted, to a share of equity."""
    exposure, price = case.exposure, case.market.price_micros
    limit = share_of(max(exposure.equity_micros, 0), weight_bps)
    held = exposure.position_quantity + exposure.open_buy_quantity
    if price <= 0 or case.proposal.sign < 0:
        return Why(PASS, 0, limit, NO_LIMIT)
    largest = max(limit // price - held, reducible_quantity(case))
    if case.proposal.quantity > largest:
        return Why(code, (held + case.proposal.quantity) * price, limit, largest)
    return Why(PASS, (held + case.proposal.quantity) * price, limit, largest)


def bounded_exposure(case: Case, before_micros: int, limit: int, code: int) -> Why:
    """Hold an exposure that a buy adds its worth to."""
    price, quantity = case.market.price_micros, case.proposal.quantity
    if price <= 0 or case.proposal.sign < 0:
        return Why(PASS, before_micros, limit, NO_LIMIT)
    largest = max(max(limit - before_micros, 0) // price, reducible_quantity(case))
    if quantity > largest:
        return Why(code, before_micros + quantity * price, limit, largest)
    return Why(PASS, before_micros + quantity * price, limit, largest)


def held_to_reducing(case: Case, observed: int, limit: int, code: int) -> Why:
    """Let only what reduces pass where the observed is over the limit, and everything where it is not."""
    if observed <= limit:
        return Why(PASS, observed, limit, NO_LIMIT)
    return only_reducing(case, observed, limit, code)


def only_reducing(case: Case, observed: int, limit: int, code: int) -> Why:
    """Let only what reduces what is held pass."""
    largest = reducible_quantity(case)
    if case.proposal.quantity > largest:
        return Why(code, observed, limit, largest)
    return Why(PASS, observed, limit, largest)


# -------------------------------------------------------------------------------- all of them

Guard = Callable[[Case], Why]

GUARDS: tuple[tuple[str, Guard], ...] = (
    ("kill_switch", kill_switch),
    ("paused", paused),
    ("cooldown", cooldown),
    ("reconciled", reconciled),
    ("execution_enabled", execution_enabled),
    ("preflight", preflight),
    ("quote_present", quote_present),
    ("quote_age", quote_age),
    ("session_open", session_open),
    ("clock_skew", clock_skew),
    ("well_formed", well_formed),
    ("universe", universe),
    ("allowlist", allowlist),
    ("restricted", restricted),
    ("lot_size", lot_size),
    ("tick_size", tick_size),
    ("prohibited_tactic", prohibited_tactic),
    ("max_quantity", max_quantity),
    ("max_notional", max_notional),
    ("price_collar", price_collar),
    ("fat_finger_hard", fat_finger_hard),
    ("fat_finger_soft", fat_finger_soft),
    ("volume_share", volume_share),
    ("duplicate", duplicate),
    ("order_rate", order_rate),
    ("repeated_execution", repeated_execution),
    ("self_match", self_match),
    ("exposure_sound", exposure_sound),
    ("buying_power", buying_power),
    ("shorts", shorts),
    ("exposure_priced", exposure_priced),
    ("position_limit", position_limit),
    ("symbol_cap", symbol_cap),
    ("strategy_budget", strategy_budget),
    ("gross_exposure", gross_exposure),
    ("net_exposure", net_exposure),
    ("leverage", leverage),
    ("value_at_risk", value_at_risk),
    ("daily_loss", daily_loss),
    ("drawdown", drawdown),
    ("degrade_manual_approval", degrade_manual_approval),
    ("degrade_allowlist", degrade_allowlist),
    ("degrade_symbol", degrade_symbol),
    ("degrade_price", degrade_price),
    ("degrade_notional", degrade_notional),
)
"""Every guard by name, in the order of precedence."""

CODES: dict[str, tuple[int, ...]] = {
    "kill_switch": (KILL_SWITCH_ON,),
    "paused": (TRADING_PAUSED,),
    "cooldown": (COOLDOWN_ACTIVE,),
    "reconciled": (NOT_RECONCILED,),
    "execution_enabled": (EXECUTION_DISABLED,),
    "preflight": (
        REAL_EXECUTION_NOT_ALLOWED,
        MISSING_APP_KEY,
        MISSING_APP_SECRET,
        MISSING_ACCOUNT_NO,
        INVALID_BASE_URL,
        ALLOWLIST_BLOCKED,
        NOT_PROMOTED,
        PROMOTION_STALE,
        SIGNALS_LATCHED,
        ADVISOR_STEPPED_BACK,
    ),
    "quote_present": (MISSING_PRICE,),
    "quote_age": (QUOTE_STALE,),
    "session_open": (SESSION_CLOSED,),
    "clock_skew": (CLOCK_SKEWED,),
    "well_formed": (INVALID_INTENT,),
    "universe": (NOT_IN_UNIVERSE,),
    "allowlist": (SYMBOL_NOT_ALLOWED,),
    "restricted": (RESTRICTED_SYMBOL,),
    "lot_size": (LOT_SIZE,),
    "tick_size": (TICK_SIZE,),
    "prohibited_tactic": tuple(PROHIBITED_TACTIC + place for place in range(1, len(TACTICS) + 1)),
    "max_quantity": (MAX_QUANTITY_EXCEEDED,),
    "max_notional": (MAX_NOTIONAL_EXCEEDED,),
    "price_collar": (PRICE_COLLAR_EXCEEDED,),
    "fat_finger_hard": (FAT_FINGER_HARD,),
    "fat_finger_soft": (FAT_FINGER_SOFT,),
    "volume_share": (MISSING_VOLUME, VOLUME_SHARE_EXCEEDED),
    "duplicate": (DUPLICATE_INTENT,),
    "order_rate": (ORDER_RATE_EXCEEDED,),
    "repeated_execution": (REPEATED_EXECUTION,),
    "self_match": (OPPOSITE_SIDE_CONFLICT,),
    "exposure_sound": (NEGATIVE_EXPOSURE,),
    "buying_power": (INSUFFICIENT_BUYING_POWER,),
    "shorts": (SHORTS_NOT_ALLOWED,),
    "exposure_priced": (MISSING_EXPOSURE_PRICE,),
    "position_limit": (MAX_POSITION_EXCEEDED,),
    "symbol_cap": (SYMBOL_CAP_EXCEEDED,),
    "strategy_budget": (MISSING_STRATEGY_BUDGET, STRATEGY_BUDGET_EXCEEDED),
    "gross_exposure": (GROSS_LIMIT,),
    "net_exposure": (NET_LIMIT,),
    "leverage": (LEVERAGE_LIMIT,),
    "value_at_risk": (MISSING_RISK_HISTORY, VAR_LIMIT),
    "daily_loss": (MISSING_DAY_PNL, DAILY_LOSS_LIMIT),
    "drawdown": (MISSING_PEAK_EQUITY, DRAWDOWN_LIMIT),
    "degrade_manual_approval": (DEGRADE_MANUAL_APPROVAL,),
    "degrade_allowlist": (DEGRADE_ALLOWLIST_REQUIRED,),
    "degrade_symbol": (DEGRADE_SYMBOL_NOT_ALLOWLISTED,),
    "degrade_price": (DEGRADE_INVALID_PRICE,),
    "degrade_notional": (DEGRADE_NOTIONAL_LIMIT,),
}
"""The codes that each guard may give, in the order of precedence."""

NAMES_SAID = {
    10: (
        "kill_switch",
        "paused",
        "execution_enabled",
        "quote_present",
        "quote_age",
        "session_open",
        "allowlist",
        "max_notional",
        "buying_power",
        "symbol_cap",
    ),
    44: tuple(name for name, _ in GUARDS if name != "exposure_sound"),
    len(GUARDS): tuple(name for name, _ in GUARDS),
}
"""The guards that spoke, by how many did: a journal keeps what they said at a send without their names."""

NAMED_NO_TERM = frozenset({10, 44})
"""How many guards spoke in versions that did not yet name the executor's term beside what they said."""


def review(case: Case) -> tuple[Why, ...]:
    """Return what each guard says, in order; all of them, not just the first that stops."""
    return tuple(guard(case) for _, guard in GUARDS)


def tally(case: Case, refusals: Any) -> Tally:
    """Return what all guards say in short, and write each that does not pass into a row of `refusals`.

    `refusals` is an int64 array of shape (guards, 5): the guard's place in `GUARDS`, and its `Why`. The same
    guards in the same order as `review`, without a tuple for each: what a replay loop asks.
    """
    passed, largest, refused = 0, NO_LIMIT, 0
    for place, (_, guard) in enumerate(GUARDS):
        why = guard(case)
        largest = min(largest, why.largest)
        if why.code == PASS:
            passed |= 1 << place
        else:
            refusals[refused] = (place, *why)
            refused += 1
    return Tally(passed, largest, refused)


def is_soft(code: int) -> bool:
    """Say whether a code asks a person instead of blocking."""
    for soft in SOFT_CODES:  # noqa: SIM110 - any() takes a generator, which does not compile
        if code == soft:
            return True
    return False


def first_reason(whys: tuple[Why, ...]) -> str:
    """Return the reason code reported first, or `ok` where every guard passes."""
    codes = [why.code for why in whys if why.code != PASS]
    return REASONS[min(codes)] if codes else REASONS[PASS]


def review_refusal(whys: Sequence[Why]) -> str:
    """Return why a review does not let anything be sent, though no guard in it stops; empty where it does.

    A guard that did not look has not passed. Where one stops, it stops whoever else was silent.
    """
    codes = {why.code for why in whys}
    if not REASONS.keys() >= codes:
        return f"code {min(codes - REASONS.keys())} is none of a guard"
    if len(whys) == len(GUARDS) or codes - {PASS}:
        return ""
    return f"{len(whys)} of {len(GUARDS)} guards looked: nothing is sent before each of them has passed"
