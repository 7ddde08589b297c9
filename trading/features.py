"""Features of one symbol, from its adjusted closes, ranges and volumes up to the session before.

All float64 by explicit loops, since compiled and vectorised means differ in their last bits; each result
is rounded to 1e-9 where it leaves. What is done with them is candidates.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

RSI_SESSIONS = 14
ATR_SESSIONS = 14
AVERAGE_SESSIONS = 20
SESSIONS_NEEDED = AVERAGE_SESSIONS + 1
"""Closes that a symbol must have before any feature can be said of it."""

DECIMALS = 9


class Regime(StrEnum):
    """Say what kind of market a symbol is in."""

    HIGH_VOLATILITY = "high_volatility"
    TREND = "trend"
    RANGE = "range"


HIGH_VOLATILITY_MIN = 0.03
TREND_GAP_MIN = 0.01


class Features(NamedTuple):
    """Hold the features of one symbol. Ratios unless said otherwise.

    `rsi14` in [0, 100]; `ma20_gap` last close over its 20-session mean, minus 1; `atr14` in currency units;
    `volume_spike20` last volume over the mean of the 20 before; `volatility20` the standard deviation of
    daily returns (population, not annualised).
    """

    rsi14: float
    ma20_gap: float
    atr14: float
    volume_spike20: float
    volatility20: float
    regime: Regime


def features_of(
    *, highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], volumes: Sequence[float]
) -> Features | None:
    """Return the features of the last session, or `None` with fewer than 21 of them."""
    if len(closes) < SESSIONS_NEEDED:
        return None
    gap = closes[-1] / mean(closes[-AVERAGE_SESSIONS:]) - 1
    volatility = standard_deviation(returns(closes[-SESSIONS_NEEDED:]))
    return Features(
        rsi14=rounded(relative_strength(closes[-RSI_SESSIONS - 1 :])),
        ma20_gap=rounded(gap),
        atr14=rounded(average_true_range(highs, lows, closes)),
        volume_spike20=rounded(volume_spike(volumes[-SESSIONS_NEEDED:])),
        volatility20=rounded(volatility),
        regime=regime_of(volatility=volatility, gap=gap),
    )


def regime_of(*, volatility: float, gap: float) -> Regime:
    """Return the regime: high volatility first, then trend, else range."""
    if volatility >= HIGH_VOLATILITY_MIN:
        return Regime.HIGH_VOLATILITY
    return Regime.TREND if abs(gap) >= TREND_GAP_MIN else Regime.RANGE


def returns(closes: Sequence[float]) -> list[float]:
    """Return simple returns, one fewer than closes."""
    return [closes[index] / closes[index - 1] - 1 for index in range(1, len(closes))]


def mean(numbers: Sequence[float]) -> float:
    """Return the mean, summed left to right; raises `ZeroDivisionError` of nothing."""
    total = 0.0
    for number in numbers:
        total += number
    return total / len(numbers)


def standard_deviation(numbers: Sequence[float]) -> float:
    """Return the population standard deviation, two passes; 0 of equal numbers."""
    middle = mean(numbers)
    total = 0.0
    for number in numbers:
        total += (number - middle) * (number - middle)
    return math.sqrt(total / len(numbers))


def relative_strength(closes: Sequence[float]) -> float:
    """Return the relative strength index of all closes given, by simple averages (Cutler's form).

    50 where nothing moved, 100 where nothing fell.
    """
    gains = losses = 0.0
    for index in range(1, len(closes)):
        change = closes[index] - closes[index - 1]
        if change > 0:
            gains += change
        else:
            losses -= change
    if gains + losses == 0:
        return 50.0
    return 100.0 * gains / (gains + losses)


def average_true_range(highs: Sequence[float], lows: Sequence[float], closes: Sequence[float]) -> float:
    """Return the mean true range of the last 14 sessions, in currency units (Wilder's true range)."""
    ranges = [
        max(highs[-back], closes[-back - 1]) - min(lows[-back], closes[-back - 1])
        for back in range(ATR_SESSIONS, 0, -1)
    ]
    return mean(ranges)


def volume_spike(volumes: Sequence[float]) -> float:
    """Return the last volume over the mean of those before it; 1 where those are all zero."""
    usual = mean(volumes[:-1])
    return volumes[-1] / usual if usual > 0 else 1.0


def rounded(number: float) -> float:
    """Return a score as it enters a decision: nearest 1e-9, and never minus zero."""
    return round(number, DECIMALS) + 0.0


def clamped(number: float, low: float, high: float) -> float:
    """Return the number, held between two bounds."""
    return max(low, min(high, number))
