"""Verdicts: every guard's word on every intent, on the exposure that would result.

This file builds what guards.py takes; the same builder serves the review before the open and the second
look inside the send transaction. What a verdict leads to is decisions.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from trading.guards import (
    BPS,
    GUARDS,
    PASS,
    REASONS,
    Control,
    Exposure,
    Market,
    Proposal,
    Why,
    review,
)
from trading.intents import Intent
from trading.limits import Limits
from trading.positions import Book
from trading.values import IntentKey, Side, Slot, Symbol, digest


class Verdict(NamedTuple):
    """Hold what one guard said of one intent.

    `observed` and `limit` are in the guard's own unit (`docs/reference/guards.md`); `largest_quantity`
    (shares) would have passed this guard.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Hold the run control that a review sees."""

    kill_switch_on: bool
    paused: bool
    execution_enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """Hold the exposure that a review sees: the book, and what open orders may still do to it.

    Quantities by symbol in shares; `equity_micros` is the book's worth at the review's prices.
    """

    positions: Mapping[Symbol, int]
    open_buys: Mapping[Symbol, int]
    open_sells: Mapping[Symbol, int]
    cash_micros: int
    reserved_micros: int
    equity_micros: int


def review_intents(
    intents: Sequence[Intent],
    *,
    book: Book,
    prices: Mapping[Symbol, int],
    sessions_behind: Mapping[Symbol, int],
    session_open: bool,
    switches: Switches,
    limits: Limits,
) -> tuple[Verdict, ...]:
    """Return the verdicts on a batch before the open: ten an intent, in the order of intents and guards.

    Intents are taken in order (sells first): what one that passes would use or free counts for the next,
    a sale's proceeds after costs included. Whether they really came in is asked again at the send.
    """
    funds = _funds_of(book, prices)
    limits_sha = limits.sha()
    verdicts: list[Verdict] = []
    for intent in intents:
        market = Market(
            price_micros=prices.get(intent.symbol, 0),
            sessions_behind=sessions_behind.get(intent.symbol, 1),
            quote_age_s=0,
            is_send=False,
            session_open=session_open,
        )
        whys = review_one(
            intent, quantity=intent.quantity, market=market, funds=funds, switches=switches, limits=limits
        )
        verdicts += verdicts_of(intent, whys, limits_sha=limits_sha)
        if all(why.code == PASS for why in whys):
            funds = _after(funds, intent, limits)
    return tuple(verdicts)


def review_one(
    intent: Intent, *, quantity: int, market: Market, funds: Funds, switches: Switches, limits: Limits
) -> tuple[Why, ...]:
    """Return what every guard says of one intent, for the quantity that would be sent."""
    symbol = intent.symbol
    return review(
        Proposal(
            sign=1 if intent.side is Side.BUY else -1,
            quantity=quantity,
            price_micros=intent.price_micros,
            is_flatten=intent.slot is Slot.FLATTEN,
        ),
        market,
        Exposure(
            position_quantity=funds.positions.get(symbol, 0),
            open_buy_quantity=funds.open_buys.get(symbol, 0),
            open_sell_quantity=funds.open_sells.get(symbol, 0),
            cash_micros=funds.cash_micros,
            reserved_micros=funds.reserved_micros,
            equity_micros=funds.equity_micros,
        ),
        Control(
            kill_switch_on=switches.kill_switch_on,
            paused=switches.paused,
            execution_enabled=switches.execution_enabled,
            symbol_allowed=limits.allows(symbol),
        ),
        limits.caps(),
    )


def verdicts_of(intent: Intent, whys: Sequence[Why], *, limits_sha: str) -> list[Verdict]:
    """Return the rows that store what guards said of one intent."""
    return [
        Verdict(
            intent_key=intent.intent_key,
            symbol=intent.symbol,
            session=intent.session,
            guard=name,
            passed=why.code == PASS,
            reason=REASONS[why.code],
            observed=why.observed,
            limit=why.limit,
            largest_quantity=why.largest,
            limits_sha=limits_sha,
        )
        for (name, _), why in zip(GUARDS, whys, strict=True)
    ]


def switches_seen(verdicts: Iterable[Verdict]) -> Switches | None:
    """Return the run control that stored verdicts were given under, `None` where there are none.

    A session that was decided is told again under what held then, whatever has been switched since.
    """
    observed = {verdict.guard: bool(verdict.observed) for verdict in verdicts}
    if not observed:
        return None
    return Switches(
        kill_switch_on=observed["kill_switch"],
        paused=observed["paused"],
        execution_enabled=observed["execution_enabled"],
    )


def by_intent(verdicts: Iterable[Verdict]) -> dict[IntentKey, tuple[Verdict, ...]]:
    """Return verdicts grouped by intent, each group in the order of guards."""
    groups: dict[IntentKey, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.intent_key, []).append(verdict)
    return {key: tuple(group) for key, group in groups.items()}


def verdicts_sha(verdicts: Sequence[Verdict]) -> str:
    """Return the digest of one intent's verdicts."""
    return digest([[str(field) for field in verdict] for verdict in verdicts])


def _funds_of(book: Book, prices: Mapping[Symbol, int]) -> Funds:
    """Return a book's exposure before any order. A position without a price counts as 0: tighter caps."""
    worth = sum(prices.get(position.symbol, 0) * position.quantity for position in book.positions)
    return Funds(
        positions={position.symbol: position.quantity for position in book.positions},
        open_buys={},
        open_sells={},
        cash_micros=book.cash_micros,
        reserved_micros=0,
        equity_micros=book.cash_micros + worth,
    )


def _after(funds: Funds, intent: Intent, limits: Limits) -> Funds:
    """Return the exposure once a passing intent is counted as open."""
    if intent.side is Side.BUY:
        reserve = -(-intent.notional_micros * (BPS + limits.cost_bps) // BPS)
        return Funds(
            positions=funds.positions,
            open_buys={
                **funds.open_buys,
                intent.symbol: funds.open_buys.get(intent.symbol, 0) + intent.quantity,
            },
            open_sells=funds.open_sells,
            cash_micros=funds.cash_micros,
            reserved_micros=funds.reserved_micros + reserve,
            equity_micros=funds.equity_micros,
        )
    proceeds = intent.notional_micros * (BPS - limits.cost_bps) // BPS
    return Funds(
        positions=funds.positions,
        open_buys=funds.open_buys,
        open_sells={
            **funds.open_sells,
            intent.symbol: funds.open_sells.get(intent.symbol, 0) + intent.quantity,
        },
        cash_micros=funds.cash_micros + proceeds,
        reserved_micros=funds.reserved_micros,
        equity_micros=funds.equity_micros,
    )
