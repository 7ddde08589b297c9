"""Allocation: votes become target weights under caps and a reserve, targets become sized intents.

Sells come before buys. No limit is enforced here: guards.py has the last word on every intent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from trading.council import COUNCIL, Motion, Vote
from trading.guards import BPS
from trading.intents import Intent
from trading.positions import Book
from trading.values import OrderType, Side, Slot, Symbol, TimeInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationRules:
    """Hold how support becomes weight. All in basis points of equity, `lot` in shares.

    `position_bps` is the weight of a position at full support, `cap_bps` what no target passes,
    `reserve_bps` what stays in cash, `band_bps` the change too small to trade for, `step_bps` the most that
    a position grows in one session, so that no single open decides it.
    """

    position_bps: int
    cap_bps: int
    reserve_bps: int
    band_bps: int
    step_bps: int
    lot: int = 1


def target_weights_bps(
    votes: Mapping[Symbol, Vote], held_bps: Mapping[Symbol, int], rules: AllocationRules
) -> dict[Symbol, int]:
    """Return the target weight of each voted or held symbol, in basis points of equity.

    A sell goes to 0, a buy to its support's share of `position_bps` but never below what is held, a hold
    stays. Buys share what the held ones and the reserve leave, cut in proportion (rounded down).
    """
    targets = {
        symbol: weight for symbol, weight in held_bps.items() if _motion(votes, symbol) is not Motion.SELL
    }
    wanted: dict[Symbol, int] = {}
    for symbol, ballot in votes.items():
        if ballot.motion is Motion.BUY:
            full = min(rules.cap_bps, int(ballot.support * rules.position_bps))
            wanted[symbol] = min(max(full - targets.get(symbol, 0), 0), rules.step_bps)
    room = max(BPS - rules.reserve_bps - sum(targets.values()), 0)
    asked = sum(wanted.values())
    for symbol, more in wanted.items():
        granted = more if asked <= room else more * room // asked
        targets[symbol] = targets.get(symbol, 0) + granted
    for symbol in held_bps:
        targets.setdefault(symbol, 0)
    return targets


def intents_of(
    votes: Mapping[Symbol, Vote],
    *,
    book_name: str,
    session: date,
    book: Book,
    prices: Mapping[Symbol, int],
    rules: AllocationRules,
    strategy_version: str,
) -> tuple[Intent, ...]:
    """Return the session's intents: sells by symbol, then buys by support and symbol.

    `prices` are the last closes in micro-units and today's shares. A symbol without one gets no intent: it
    can be neither sized nor guarded. Quantities are cut to whole lots (ROUND_DOWN).
    """
    equity = book.cash_micros + sum(prices.get(p.symbol, 0) * p.quantity for p in book.positions)
    if equity <= 0:
        return ()
    held_bps = {p.symbol: prices.get(p.symbol, 0) * p.quantity * BPS // equity for p in book.positions}
    targets = target_weights_bps(votes, held_bps, rules)
    sells: list[tuple[Symbol, int]] = []
    buys: list[tuple[float, Symbol, int]] = []
    for symbol, weight in targets.items():
        price = prices.get(symbol, 0)
        held = book.quantity_of(symbol)
        motion = _motion(votes, symbol)
        if price <= 0 or motion is Motion.HOLD:
            continue
        if motion is Motion.SELL:
            if held > 0:
                sells.append((symbol, held))
            continue
        change = (weight * equity // BPS // price - held) // rules.lot * rules.lot
        if change > 0 and change * price * BPS >= rules.band_bps * equity:
            buys.append((-votes[symbol].support, symbol, change))
    sized = [(symbol, Side.SELL, quantity) for symbol, quantity in sorted(sells)]
    sized += [(symbol, Side.BUY, quantity) for _, symbol, quantity in sorted(buys)]
    return tuple(
        Intent(
            book=book_name,
            strategy=COUNCIL,
            strategy_version=strategy_version,
            session=session,
            symbol=symbol,
            slot=Slot.REBALANCE,
            side=side,
            quantity=quantity,
            price_micros=prices[symbol],
            currency=book.currency,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            rationale=votes[symbol].why,
        )
        for symbol, side, quantity in sized
    )


def version_of(strategies: Sequence[tuple[str, str]]) -> str:
    """Return the version of a council: its strategies with theirs, by name."""
    return ",".join(f"{name}@{version}" for name, version in sorted(strategies))


def _motion(votes: Mapping[Symbol, Vote], symbol: Symbol) -> Motion:
    return votes[symbol].motion if symbol in votes else Motion.HOLD
