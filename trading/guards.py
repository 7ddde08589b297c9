"""Guards: each says *why not* of one proposal, or nothing. Forbid wins; no guard enlarges an order.

Written as scalars and NamedTuples in, a `Why` out, in a subset of Python that compiles, so that the very
same functions serve a live review, the second look inside the send transaction, and a replay loop.
Limits are limits.py; how verdicts become decisions is decisions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

BPS = 10_000
"""Basis points in one."""

NO_LIMIT = 2**62
"""The largest quantity of a guard that does not look at quantity."""


class Proposal(NamedTuple):
    """Hold what is proposed: `sign` +1 buys, −1 sells; price in micro-units; quantity in shares."""

    sign: int
    quantity: int
    price_micros: int
    is_flatten: bool


class Market(NamedTuple):
    """Hold what the market gives: the price to value at (0: none), and how old it is in both measures.

    `sessions_behind` counts sessions between the quote and the last closed one (0: it is the last).
    `quote_age_s` is the age at a send; a review before the open is no send (`is_send` false).
    """

    price_micros: int
    sessions_behind: int
    quote_age_s: int
    is_send: bool
    session_open: bool


class Exposure(NamedTuple):
    """Hold the book's side: what is held, what open orders may add, and what money is free.

    `reserved_micros` is money promised to open buys; `open_buy_quantity` / `open_sell_quantity` the
    shares of this symbol in orders that are open or whose outcome is unknown.
    """

    position_quantity: int
    open_buy_quantity: int
    open_sell_quantity: int
    cash_micros: int
    reserved_micros: int
    equity_micros: int


class Control(NamedTuple):
    """Hold the run control that matters to a guard."""

    kill_switch_on: bool
    paused: bool
    execution_enabled: bool
    symbol_allowed: bool


class Caps(NamedTuple):
    """Hold the limits as scalars: money in micro-units, equity's shares and costs in bps, ages in seconds."""

    order_notional_micros_max: int
    symbol_weight_bps_max: int
    cost_bps: int
    quote_age_s_max: int


class Why(NamedTuple):
    """Say whether a guard passes (`code` 0) or why not, with what it saw and its limit.

    `largest` is the largest quantity (shares) that would pass this guard now; 0: none would.
    """

    code: int
    observed: int
    limit: int
    largest: int


PASS = 0
KILL_SWITCH_ON = 1
TRADING_PAUSED = 2
EXECUTION_DISABLED = 3
MISSING_PRICE = 4
QUOTE_STALE = 5
SESSION_CLOSED = 6
SYMBOL_NOT_ALLOWED = 7
MAX_NOTIONAL_EXCEEDED = 8
INSUFFICIENT_BUYING_POWER = 9
SYMBOL_CAP_EXCEEDED = 10

REASONS = {
    PASS: "ok",
    KILL_SWITCH_ON: "kill_switch_on",
    TRADING_PAUSED: "trading_paused",
    EXECUTION_DISABLED: "execution_disabled",
    MISSING_PRICE: "missing_price",
    QUOTE_STALE: "quote_stale",
    SESSION_CLOSED: "session_closed",
    SYMBOL_NOT_ALLOWED: "symbol_not_allowed",
    MAX_NOTIONAL_EXCEEDED: "max_notional_exceeded",
    INSUFFICIENT_BUYING_POWER: "insufficient_buying_power",
    SYMBOL_CAP_EXCEEDED: "symbol_notional_cap_exceeded",
}
"""The stable reason code of each number. Numbers are the precedence: the lowest is reported first."""


def kill_switch(
    proposal: Proposal, _market: Market, _exposure: Exposure, control: Control, _caps: Caps
) -> Why:
    """Stop everything but a flatten while the kill switch is on."""
    if control.kill_switch_on and not proposal.is_flatten:
        return Why(KILL_SWITCH_ON, 1, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


def paused(_proposal: Proposal, _market: Market, _exposure: Exposure, control: Control, _caps: Caps) -> Why:
    """Stop while a person has paused trading."""
    if control.paused:
        return Why(TRADING_PAUSED, 1, 0, 0)
    return Why(PASS, 0, 0, NO_LIMIT)


def execution_enabled(
    _proposal: Proposal, _market: Market, _exposure: Exposure, control: Control, _caps: Caps
) -> Why:
    """Stop unless execution is switched on."""
    if not control.execution_enabled:
        return Why(EXECUTION_DISABLED, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


def quote_present(
    _proposal: Proposal, market: Market, _exposure: Exposure, _control: Control, _caps: Caps
) -> Why:
    """Stop without a price: nothing unpriced can be bounded."""
    if market.price_micros <= 0:
        return Why(MISSING_PRICE, market.price_micros, 1, 0)
    return Why(PASS, market.price_micros, 1, NO_LIMIT)


def quote_age(_proposal: Proposal, market: Market, _exposure: Exposure, _control: Control, caps: Caps) -> Why:
    """Stop on an old quote: a decision needs the last closed session's, a send one of at most some seconds.

    A quote from the future (negative age) is as wrong as an old one.
    """
    if market.sessions_behind != 0:
        return Why(QUOTE_STALE, market.sessions_behind, 0, 0)
    if market.is_send and (market.quote_age_s < 0 or market.quote_age_s > caps.quote_age_s_max):
        return Why(QUOTE_STALE, market.quote_age_s, caps.quote_age_s_max, 0)
    return Why(PASS, market.quote_age_s, caps.quote_age_s_max, NO_LIMIT)


def session_open(
    _proposal: Proposal, market: Market, _exposure: Exposure, _control: Control, _caps: Caps
) -> Why:
    """Stop outside the session (before the open a review asks whether there will be one)."""
    if not market.session_open:
        return Why(SESSION_CLOSED, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


def allowlist(
    _proposal: Proposal, _market: Market, _exposure: Exposure, control: Control, _caps: Caps
) -> Why:
    """Stop a symbol that is not on the book's allowlist."""
    if not control.symbol_allowed:
        return Why(SYMBOL_NOT_ALLOWED, 0, 1, 0)
    return Why(PASS, 1, 1, NO_LIMIT)


def max_notional(
    proposal: Proposal, market: Market, exposure: Exposure, _control: Control, caps: Caps
) -> Why:
    """Stop an order worth more than the limit, unless it only reduces what is held."""
    price = market.price_micros
    limit = caps.order_notional_micros_max
    if price <= 0:
        return Why(PASS, 0, limit, NO_LIMIT)
    largest = limit // price
    if proposal.sign < 0:
        largest = max(largest, sellable_quantity(exposure))
    if proposal.quantity > largest:
        return Why(MAX_NOTIONAL_EXCEEDED, proposal.quantity * price, limit, largest)
    return Why(PASS, proposal.quantity * price, limit, largest)


def buying_power(
    proposal: Proposal, market: Market, exposure: Exposure, _control: Control, caps: Caps
) -> Why:
    """Stop a buy that free cash does not pay, slippage and commission allowed for (rounded up)."""
    free = exposure.cash_micros - exposure.reserved_micros
    price = market.price_micros
    if price <= 0 or proposal.sign < 0:
        return Why(PASS, 0, free, NO_LIMIT)
    cost_each = -(-price * (BPS + caps.cost_bps) // BPS)
    largest = max(free, 0) // cost_each
    if proposal.quantity > largest:
        return Why(INSUFFICIENT_BUYING_POWER, proposal.quantity * cost_each, free, largest)
    return Why(PASS, proposal.quantity * cost_each, free, largest)


def symbol_cap(proposal: Proposal, market: Market, exposure: Exposure, _control: Control, caps: Caps) -> Why:
    """Stop an order whose resulting position, open buys counted, is over the symbol's share of equity.

    A sale that only reduces passes; one that would sell more than is held (open sells counted) does not.
    """
    limit = max(exposure.equity_micros, 0) * caps.symbol_weight_bps_max // BPS
    price = market.price_micros
    if proposal.sign < 0:
        sellable = sellable_quantity(exposure)
        if proposal.quantity > sellable:
            return Why(SYMBOL_CAP_EXCEEDED, proposal.quantity, sellable, sellable)
        return Why(PASS, proposal.quantity, sellable, sellable)
    if price <= 0:
        return Why(PASS, 0, limit, NO_LIMIT)
    held = exposure.position_quantity + exposure.open_buy_quantity
    largest = max(limit // price - held, 0)
    if proposal.quantity > largest:
        return Why(SYMBOL_CAP_EXCEEDED, (held + proposal.quantity) * price, limit, largest)
    return Why(PASS, (held + proposal.quantity) * price, limit, largest)


def sellable_quantity(exposure: Exposure) -> int:
    """Return the shares that a sale may sell and still only lower what is held, open sells counted."""
    return max(exposure.position_quantity - exposure.open_sell_quantity, 0)


Guard = Callable[[Proposal, Market, Exposure, Control, Caps], Why]

GUARDS: tuple[tuple[str, Guard], ...] = (
    ("kill_switch", kill_switch),
    ("paused", paused),
    ("execution_enabled", execution_enabled),
    ("quote_present", quote_present),
    ("quote_age", quote_age),
    ("session_open", session_open),
    ("allowlist", allowlist),
    ("max_notional", max_notional),
    ("buying_power", buying_power),
    ("symbol_cap", symbol_cap),
)
"""Every guard by name, in the order of precedence."""


def review(
    proposal: Proposal, market: Market, exposure: Exposure, control: Control, caps: Caps
) -> tuple[Why, ...]:
    """Return what each guard says, in order; all of them, not just the first that stops."""
    return tuple(guard(proposal, market, exposure, control, caps) for _, guard in GUARDS)


def first_reason(whys: tuple[Why, ...]) -> str:
    """Return the reason code reported first, or `ok` where every guard passes."""
    codes = [why.code for why in whys if why.code != PASS]
    return REASONS[min(codes)] if codes else REASONS[PASS]
