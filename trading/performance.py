"""What a series of returns was worth: growth, risk, their ratios, drawdowns and tails.

Each measure is one function of simple returns, one a session, float64 of shape (sessions,), none missing:
0.01 is one per cent. It answers `None`, *no data*, where its formula has no number: too few sessions, no
variation, a ratio over nothing. Nothing here is ever infinite, NaN, or zero for want of knowledge.
Where the returns come from, and what they are cut by, is scorecard.py; what is luck in them is honest.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Sessions = NDArray[np.datetime64]

SESSIONS_PER_YEAR = 252
"""What a session's number is annualised by: the sessions of an average year at the New York exchanges."""

TAIL = 0.05
"""The share of the worst sessions that make the tail."""

VARIATION_MIN = 1e-12
"""A standard deviation under a micro-unit in a million units is rounding, no variation."""

FOR_SKEW, FOR_KURTOSIS = 3, 4
"""Fewer sessions than these have no third or fourth moment of their own."""


def total_return(returns: Floats) -> float | None:
    """Return what one unit grew by: Π(1 + r) − 1.

    Sampling: every session. No data: no session.
    """
    return float(np.prod(1.0 + returns)) - 1.0 if returns.size else None


def cagr(returns: Floats, *, per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Return the compound annual growth rate: Π(1 + r)^(252 / n) − 1.

    Sampling: every session, years of 252. No data: no session, or less than nothing left.
    """
    if not returns.size:
        return None
    grown = float(np.prod(1.0 + returns))
    if grown < 0:
        return None
    return _finite(lambda: grown ** (per_year / returns.size) - 1.0)


def volatility(returns: Floats, *, per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Return the annualised standard deviation: s × √252, s with n − 1 in the denominator.

    Sampling: every session. No data: under 2 sessions. Equal returns have none: 0.
    """
    return _deviation(returns) * math.sqrt(per_year) if returns.size > 1 else None


def sharpe(
    returns: Floats, *, risk_free: Floats | float = 0.0, per_year: int = SESSIONS_PER_YEAR
) -> float | None:
    """Return the Sharpe ratio, annualised: mean(r − rf) / s(r − rf) × √252, s with n − 1.

    Sampling: every session; the risk-free rate is one of a session, 0 in a scorecard. No data: under
    2 sessions, or no variation. Source: Sharpe (1994), The Sharpe Ratio.
    """
    excess = returns - risk_free
    if excess.size < 2 or not _varies(excess):  # noqa: PLR2004 - a deviation takes two
        return None
    return float(np.mean(excess)) / _deviation(excess) * math.sqrt(per_year)


def downside_risk(
    returns: Floats, *, required: Floats | float = 0.0, per_year: int = SESSIONS_PER_YEAR
) -> float | None:
    """Return the annualised deviation below what is required: √mean(min(r − required, 0)²) × √252.

    Sampling: every session counts in the mean, not only those below. No data: no session. Source: Sortino
    and Price (1994), Performance Measurement in a Downside Risk Framework.
    """
    if not returns.size:
        return None
    below = np.minimum(returns - required, 0.0)
    return math.sqrt(float(np.mean(below * below))) * math.sqrt(per_year)


def sortino(
    returns: Floats, *, required: Floats | float = 0.0, per_year: int = SESSIONS_PER_YEAR
) -> float | None:
    """Return the Sortino ratio, annualised: mean(r − required) × 252 / downside risk.

    Sampling: every session; 0 is required in a scorecard. No data: under 2 sessions, or none below what is
    required: others answer infinity, which no table can hold and no gate should pass. Source: Sortino and
    Price (1994).
    """
    risk = downside_risk(returns, required=required, per_year=per_year)
    if returns.size < 2 or risk is None or risk < VARIATION_MIN:  # noqa: PLR2004 - as for a Sharpe ratio
        return None
    return float(np.mean(returns - required)) * per_year / risk


def calmar(returns: Floats, *, per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Return the Calmar ratio: CAGR / |deepest drawdown|, over all sessions given.

    Sampling: every session; the ratio's author took 36 months, so compare equal spans. No data: no drawdown.
    Source: Young (1991), Calmar Ratio: A Smoother Tool.
    """
    growth, depth = cagr(returns, per_year=per_year), max_drawdown(returns)
    if growth is None or depth is None or depth > -VARIATION_MIN:
        return None
    return growth / -depth


def max_drawdown(returns: Floats) -> float | None:
    """Return the deepest fall from a peak: min(level / highest level so far − 1), 0 or negative.

    Sampling: closes; the level before the first session is a peak too. No data: no session.
    """
    if not returns.size:
        return None
    levels = levels_of(returns)
    return min(float(np.min(levels / np.maximum.accumulate(levels) - 1.0)), 0.0)


def drawdown_sessions_max(returns: Floats) -> float | None:
    """Return the sessions of the longest drawdown, from its peak to the peak's level or to the last session.

    Sampling: closes. No data: no session.
    """
    if not returns.size:
        return None
    falls = _falls(levels_of(returns))
    return float(max((end - peak for peak, _, end, _ in falls), default=0))


def gain_share(returns: Floats) -> float | None:
    """Return the share of sessions that gained: count(r > 0) / n.

    Sampling: every session. No data: no session.
    """
    return float(np.count_nonzero(returns > 0)) / returns.size if returns.size else None


def worst_return(returns: Floats) -> float | None:
    """Return the worst session's return: min(r).

    Sampling: every session. No data: no session.
    """
    return float(np.min(returns)) if returns.size else None


def best_return(returns: Floats) -> float | None:
    """Return the best session's return: max(r).

    Sampling: every session. No data: no session.
    """
    return float(np.max(returns)) if returns.size else None


def value_at_risk(returns: Floats, *, tail: float = TAIL) -> float | None:
    """Return the value at risk at 95 %: the 5th percentile of returns, negative where it is a loss.

    Sampling: one session ahead, historical, interpolated between two sessions. The desk's limit on value at
    risk (`trading/risk.py`) interpolates nothing, since a limit is rounded against the book; this describes.
    No data: no session.
    """
    return float(np.percentile(returns, tail * 100.0)) if returns.size else None


def expected_shortfall(returns: Floats, *, tail: float = TAIL) -> float | None:
    """Return the expected shortfall (CVaR) at 95 %: the mean of the worst ⌊(n − 1) × 5 %⌋ + 1 returns.

    Sampling: every session at or below the value at risk. No data: no session. Source: Rockafellar and
    Uryasev (2000), Optimization of Conditional Value-at-Risk.
    """
    if not returns.size:
        return None
    count = int((returns.size - 1) * tail) + 1
    return float(np.mean(np.partition(returns, count - 1)[:count]))


def skew(returns: Floats) -> float | None:
    """Return the skewness: m₃ / m₂^(3/2), with central moments of all n (Fisher and Pearson's g₁).

    Sampling: every session. No data: under 3 sessions, or no variation.
    """
    return _standardised_moment(returns, 3) if returns.size >= FOR_SKEW else None


def kurtosis(returns: Floats) -> float | None:
    """Return the kurtosis: m₄ / m₂², with central moments of all n; a normal distribution has 3.

    Sampling: every session. No data: under 4 sessions, or no variation.
    """
    return _standardised_moment(returns, 4) if returns.size >= FOR_KURTOSIS else None


def tail_ratio(returns: Floats) -> float | None:
    """Return how the best sessions compare with the worst: |95th percentile| / |5th percentile|.

    Sampling: every session, interpolated. 0.25: losses are four times as large as gains. No data: no
    session, or a 5th percentile of 0.
    """
    if not returns.size:
        return None
    low, high = np.percentile(returns, [TAIL * 100.0, 100.0 - TAIL * 100.0])
    return abs(float(high)) / abs(float(low)) if abs(low) > VARIATION_MIN else None


MEASURES: Mapping[str, Callable[[Floats], float | None]] = {
    "total_return": total_return,
    "cagr": cagr,
    "volatility": volatility,
    "sharpe": sharpe,
    "sortino": sortino,
    "calmar": calmar,
    "max_drawdown": max_drawdown,
    "drawdown_sessions_max": drawdown_sessions_max,
    "gain_share": gain_share,
    "worst_return": worst_return,
    "best_return": best_return,
    "value_at_risk": value_at_risk,
    "expected_shortfall": expected_shortfall,
    "skew": skew,
    "kurtosis": kurtosis,
    "tail_ratio": tail_ratio,
}
"""Every measure of a series of returns by its name: the fields of `Performance` beside `sessions`."""

ANNUALISED = ("cagr", "volatility", "sharpe", "sortino", "calmar")
"""Measures that a scorecard leaves out under `SESSIONS_MIN` sessions."""

OF_ONE_STRETCH = ("calmar", "max_drawdown", "drawdown_sessions_max")
"""Measures that sessions apart from each other do not have: a drawdown runs through neighbours."""

SESSIONS_MIN = 20
"""Under a month of sessions, what is annualised says more of the exponent than of the strategy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Hold the measures of one series of returns; each is described by the function of its name.

    `None` is *no data*.
    """

    sessions: int
    total_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown: float | None
    drawdown_sessions_max: float | None
    gain_share: float | None
    worst_return: float | None
    best_return: float | None
    value_at_risk: float | None
    expected_shortfall: float | None
    skew: float | None
    kurtosis: float | None
    tail_ratio: float | None


def performance_of(returns: Floats, *, is_one_stretch: bool = True) -> Performance:
    """Return every measure of a series of returns.

    Under `SESSIONS_MIN` sessions nothing annualised is told; `is_one_stretch` says whether the sessions
    followed each other, without which there is no drawdown.
    """
    withheld = set() if is_one_stretch else set(OF_ONE_STRETCH)
    if returns.size < SESSIONS_MIN:
        withheld |= set(ANNUALISED)
    measured: dict[str, Any] = {
        name: None if name in withheld else measure(returns) for name, measure in MEASURES.items()
    }
    return Performance(sessions=int(returns.size), **measured)


# ------------------------------------------------------------------------------------- beside a benchmark


def beta(returns: Floats, benchmark: Floats) -> float | None:
    """Return how the returns move with a benchmark's: cov(r, b) / var(b).

    Sampling: sessions in which both have a return. No data: under 2 of them, or a benchmark without
    variation. Source: Sharpe (1964), Capital Asset Prices.
    """
    ours, theirs = both(returns, benchmark)
    if ours.size < 2 or not _varies(theirs):  # noqa: PLR2004 - a slope takes two
        return None
    apart = theirs - np.mean(theirs)
    return float(np.mean((ours - np.mean(ours)) * apart) / np.mean(apart * apart))


def alpha(returns: Floats, benchmark: Floats, *, per_year: int = SESSIONS_PER_YEAR) -> float | None:
    """Return what is left beside a benchmark, annualised: mean(r − beta × b) × 252.

    Sampling: sessions in which both have a return; arithmetic, as a Sharpe ratio is, not compounded. No
    data: where there is no beta. Source: Jensen (1968), The Performance of Mutual Funds.
    """
    slope = beta(returns, benchmark)
    if slope is None:
        return None
    ours, theirs = both(returns, benchmark)
    return float(np.mean(ours - slope * theirs)) * per_year


def correlation(returns: Floats, benchmark: Floats) -> float | None:
    """Return Pearson's correlation with a benchmark, in [−1, 1].

    Sampling: sessions in which both have a return. No data: under 2 of them, or one side without variation.
    """
    ours, theirs = both(returns, benchmark)
    if ours.size < 2 or not (_varies(ours) and _varies(theirs)):  # noqa: PLR2004 - a slope takes two
        return None
    a, b = ours - np.mean(ours), theirs - np.mean(theirs)
    found = float(np.mean(a * b)) / math.sqrt(float(np.mean(a * a)) * float(np.mean(b * b)))
    return max(-1.0, min(found, 1.0))


def information_ratio(
    returns: Floats, benchmark: Floats, *, per_year: int = SESSIONS_PER_YEAR
) -> float | None:
    """Return the information ratio, annualised: mean(r − b) / s(r − b) × √252, s with n − 1.

    Sampling: sessions in which both have a return. No data: under 2 of them, or a difference without
    variation. Source: Grinold and Kahn (1999), Active Portfolio Management.
    """
    ours, theirs = both(returns, benchmark)
    return sharpe(ours, risk_free=theirs, per_year=per_year)


MEASURES_BESIDE: Mapping[str, Callable[[Floats, Floats], float | None]] = {
    "alpha": alpha,
    "beta": beta,
    "correlation": correlation,
    "information_ratio": information_ratio,
}
"""Every measure of returns beside a benchmark's, by its name."""


def both(returns: Floats, benchmark: Floats) -> tuple[Floats, Floats]:
    """Return the two series in the sessions in which neither is NaN."""
    known = np.isfinite(returns) & np.isfinite(benchmark)
    return returns[known], benchmark[known]


# ----------------------------------------------------------------------------------------------- drawdowns


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """Hold one fall from a peak: `depth` as a negative ratio, the sessions it lasted, and when.

    `peak_on` is `None` where the peak was the level before the first session; `recovered_on` is `None` while
    the peak's level has not been seen again. `sessions` counts from the peak to there, or to the last
    session; `sessions_falling` from the peak to the trough.
    """

    depth: float
    peak_on: date | None
    trough_on: date
    recovered_on: date | None
    sessions: int
    sessions_falling: int


def drawdowns_of(returns: Floats, sessions: Sessions) -> tuple[Drawdown, ...]:
    """Return every drawdown of a series, in order; two never overlap. `sessions` dates the returns."""
    levels = levels_of(returns)
    dates = sessions.astype("datetime64[D]").astype(object)
    return tuple(
        Drawdown(
            depth=float(levels[trough] / levels[peak] - 1.0),
            peak_on=dates[peak - 1] if peak else None,
            trough_on=dates[trough - 1],
            recovered_on=dates[end - 1] if recovered else None,
            sessions=end - peak,
            sessions_falling=trough - peak,
        )
        for peak, trough, end, recovered in _falls(levels)
    )


def levels_of(returns: Floats) -> Floats:
    """Return what one unit became: 1 before the first session, then its worth after each of them."""
    return np.concatenate([np.ones(1), np.cumprod(1.0 + returns)])


def _falls(levels: Floats) -> list[tuple[int, int, int, bool]]:
    """Return each stretch below a peak: rows of its peak, trough and end, and whether it was recovered."""
    below = levels < np.maximum.accumulate(levels)
    turns = np.flatnonzero(np.diff(below.astype(np.int8), prepend=0, append=0))
    falls = []
    for first, after in zip(turns[0::2].tolist(), turns[1::2].tolist(), strict=True):
        recovered = after < levels.size
        trough = first + int(np.argmin(levels[first:after]))
        falls.append((first - 1, trough, after if recovered else after - 1, recovered))
    return falls


# ------------------------------------------------------------------------------------------------- moments


def _deviation(returns: Floats) -> float:
    """Return the standard deviation with n − 1, exactly 0 of what does not vary."""
    deviation = float(np.std(returns, ddof=1))
    return deviation if deviation >= VARIATION_MIN else 0.0


def _varies(returns: Floats) -> bool:
    return _deviation(returns) > 0


def _standardised_moment(returns: Floats, power: int) -> float | None:
    if not _varies(returns):
        return None
    apart = (returns - np.mean(returns)) / np.std(returns)
    return float(np.mean(apart**power))


def _finite(number: Callable[[], float]) -> float | None:
    """Return a number, `None` where it is too large for a float."""
    try:
        found = number()
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
