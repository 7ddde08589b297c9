"""The council: several strategies' opinions of a symbol become one motion, by true quorum and weight.

A motion to buy carries only where *both* hold: enough supporters, and enough support.
What strategies are is strategies/plugin.py; how much is bought is allocation.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from trading.features import rounded
from trading.quotes import Window
from trading.strategies.plugin import Signal, Strategy
from trading.values import Symbol

COUNCIL = "council"
"""The strategy of every intent that a book decides; those of `config/strategies.toml` vote in it.

What they wanted is one motion a symbol, so no position is one voter's: what a book holds is the council's.
"""


class Motion(StrEnum):
    """Say what the council wants of a symbol."""

    BUY = "buy"
    SELL = "sell"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class CouncilRules:
    """Hold when a motion carries: supporters needed, and support (weight × confidence over all weights).

    Leaving is made easier than entering, so that a doubt reduces risk.
    """

    quorum: int
    support_min: float
    exit_quorum: int
    exit_support_min: float


class Vote(NamedTuple):
    """Hold the council's motion on one symbol.

    `support` of the motion in [0, 1]; `why` names each opinion.
    """

    symbol: Symbol
    motion: Motion
    supporters: int
    support: float
    why: str


def vote(
    window: Window, symbols: Sequence[Symbol], strategies: Sequence[Strategy], rules: CouncilRules
) -> dict[Symbol, Vote]:
    """Return the council's vote on each symbol. A carried motion to sell beats one to buy."""
    opinions = {strategy.name: strategy.opinions(window, symbols) for strategy in strategies}
    return {symbol: _vote_on(symbol, opinions, strategies, rules) for symbol in symbols}


def why_no_motion(votes: Mapping[Symbol, Vote]) -> str:
    """Return why nothing is to be traded: how near the best symbol came; empty where a motion carries."""
    if any(ballot.motion is not Motion.HOLD for ballot in votes.values()):
        return ""
    if not votes:
        return "no candidate and nothing held"
    best = max(votes.values(), key=lambda ballot: (ballot.supporters, ballot.support, ballot.symbol))
    return (
        f"no motion carried; nearest {best.symbol}: {best.supporters} supporters, support {best.support:.2f}"
    )


def _vote_on(
    symbol: Symbol,
    opinions: Mapping[str, Mapping[Symbol, Signal]],
    strategies: Sequence[Strategy],
    rules: CouncilRules,
) -> Vote:
    said = [
        (strategy, opinions[strategy.name][symbol])
        for strategy in strategies
        if symbol in opinions[strategy.name]
    ]
    why = "; ".join(
        f"{strategy.name} {signal.direction * signal.confidence:+.2f} ({signal.why})"
        for strategy, signal in said
    )
    total = sum(strategy.weight for strategy in strategies)
    supporters, support = _support(said, direction=-1, total=total)
    if supporters >= rules.exit_quorum and support >= rules.exit_support_min:
        return Vote(symbol, Motion.SELL, supporters, support, why)
    supporters, support = _support(said, direction=1, total=total)
    if supporters >= rules.quorum and support >= rules.support_min:
        return Vote(symbol, Motion.BUY, supporters, support, why)
    return Vote(symbol, Motion.HOLD, supporters, support, why)


def _support(said: Sequence[tuple[Strategy, Signal]], *, direction: int, total: float) -> tuple[int, float]:
    """Return how many strategies point one way, and their weight × confidence over all weights."""
    with_it = [(strategy, signal) for strategy, signal in said if signal.direction == direction]
    support = 0.0
    for strategy, signal in with_it:
        support += strategy.weight * signal.confidence
    return len(with_it), rounded(support / total) if total > 0 else 0.0
