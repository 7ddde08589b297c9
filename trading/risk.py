"""Risk: what the book could lose in a session, how far it has fallen, and how much of it stands where.

Scenarios are the sessions of the decision's own window, replayed on the book as it stands: historical VaR is
a rank among them, parametric VaR their standard deviation. All in int64 micro-units and ppm, so that a
plain and a compiled run agree to the unit; wherever a number is rounded, it is rounded against the book.
What holds orders to these numbers is guards.py, how they are shown metrics.py and reporting.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.quotes import Window
from trading.values import Symbol

Ints = NDArray[np.int64]

PPM = 1_000_000
"""Parts per million in one; also the micro-units in one unit of a currency."""

BPS = 10_000
"""Basis points in one."""

SCENARIOS_MAX = 250
"""Sessions that scenarios are taken from at most: about a year, the shortest history that Basel asks for."""

SCENARIOS_MIN = 60
"""Fewer sessions than a quarter of a year say nothing of a bad day: no symbol's history is enough then."""

UNQUOTED_BPS_MAX = 1_000
"""A symbol may lack a quote of its own in a tenth of the scenarios; a gap's whole move counts at its end."""

RETURN_PPM_MAX = 10 * PPM
"""A move over tenfold in a session is no history: it would be a defect of the data."""

PNL_MICROS_MAX = 2**61
"""What a book may make or lose in a scenario, so that one more order's part still fits int64."""

VALUE_MICROS_MAX = PNL_MICROS_MAX * PPM // RETURN_PPM_MAX
"""What a book or an order may be worth for that (230 billion)."""

NOT_MEASURABLE = 2**62
"""Stands for a loss that cannot be told, larger than any limit: forbid wins."""

NORMAL_QUANTILES = (
    (9_000, 1_281_552),
    (9_500, 1_644_854),
    (9_750, 1_959_964),
    (9_900, 2_326_348),
    (9_950, 2_575_830),
    (9_990, 3_090_233),
    (9_999, 3_719_017),
)
"""Levels in bps with the quantile of the standard normal distribution in ppm, rounded up."""

SQUARE_BITS = 22
"""P&L is shifted to this many bits before it is squared: 250² squares of them still fit int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenarios:
    """Hold a session's prepared state: what each symbol did in each scenario, and what the book would have.

    `returns_ppm` has shape (symbols, scenarios), total returns, oldest scenario first; `rows` gives a
    symbol's row. `too_short` are the symbols with too little history to say what they may lose.
    `pnl_micros` has shape (scenarios,): the book's P&L in each; `unmeasured` are symbols of the book that
    it leaves out, for want of history or of a price: while there is one, the book's risk is not known.
    """

    returns_ppm: Ints
    rows: Mapping[Symbol, int]
    too_short: frozenset[Symbol]
    pnl_micros: Ints
    unmeasured: tuple[Symbol, ...] = ()

    def is_sufficient(self, symbol: Symbol) -> bool:
        """Say whether the book's risk with an order in a symbol can be told at all."""
        return not self.unmeasured and symbol in self.rows and symbol not in self.too_short

    def returns_of(self, symbol: Symbol) -> Ints:
        """Return a symbol's scenario returns in ppm; zeros for one that is unknown, which never suffices."""
        row = self.rows.get(symbol)
        return np.zeros_like(self.pnl_micros) if row is None else self.returns_ppm[row]

    def var_micros(self, level_bps: int) -> int:
        """Return the book's VaR in micro-units, the larger of historical and parametric."""
        return NOT_MEASURABLE if self.unmeasured else value_at_risk_micros(self.pnl_micros, level_bps)

    def order_var(self, symbol: Symbol, *, quantity: int, price_micros: int, bound: VarBound) -> OrderVar:
        """Return the book's VaR with one more order (shares, negative: sold), and what would be within."""
        if not self.is_sufficient(symbol) or price_micros <= 0:
            return OrderVar(NOT_MEASURABLE, 0)
        return order_var(self.pnl_micros, self.returns_of(symbol), quantity, price_micros, bound)

    def of_book(self, quantities: Mapping[Symbol, int], prices: Mapping[Symbol, int]) -> Scenarios:
        """Return the same scenarios for a book of quantities (shares, negative: short) at prices."""
        pnl = np.zeros_like(self.pnl_micros)
        unmeasured = []
        gross = 0
        for symbol, quantity in sorted(quantities.items()):
            if quantity == 0:
                continue
            price = prices.get(symbol, 0)
            gross += abs(quantity) * price
            if price <= 0 or gross > VALUE_MICROS_MAX or symbol in self.too_short or symbol not in self.rows:
                unmeasured.append(symbol)
                continue
            pnl += order_pnl_micros(quantity * price, self.returns_ppm[self.rows[symbol]])
        pnl.setflags(write=False)
        return replace(self, pnl_micros=pnl, unmeasured=tuple(unmeasured))

    def with_order(self, symbol: Symbol, *, quantity: int, price_micros: int) -> Scenarios:
        """Return the scenarios with one more order counted as filled (shares, negative: sold)."""
        value = quantity * price_micros
        if not self.is_sufficient(symbol) or price_micros <= 0 or abs(value) > VALUE_MICROS_MAX:
            return replace(self, unmeasured=tuple(sorted({*self.unmeasured, symbol})))
        pnl = self.pnl_micros + order_pnl_micros(value, self.returns_of(symbol))
        if np.max(np.abs(pnl)) > PNL_MICROS_MAX:
            return replace(self, unmeasured=tuple(sorted({*self.unmeasured, symbol})))
        pnl.setflags(write=False)
        return replace(self, pnl_micros=pnl)


def prepare(window: Window, quantities: Mapping[Symbol, int], prices: Mapping[Symbol, int]) -> Scenarios:
    """Return a session's scenarios from its window, for a book of quantities at prices in micro-units.

    They are the window's last sessions, up to 250 with one before them. A return is the close over the last
    close before it, minus 1, to the nearest ppm: where a symbol was not quoted it is 0, and the whole move
    counts in the session in which it is quoted again. History is too short with under 60 scenarios, without
    a close before the first, with a tenth of them unquoted, or after a move of more than tenfold.
    """
    closes = window.close[-(SCENARIOS_MAX + 1) :]
    count = max(len(closes) - 1, 0)
    quoted = np.isfinite(closes) & (closes > 0)
    filled = _carried_forward(np.where(quoted, closes, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        moves = moved_ppm(filled[1:], filled[:-1])
    known = np.isfinite(moves)
    believable = is_believable(np.where(known, moves, 0))
    returns = np.where(known & believable, moves, 0).astype(np.int64).T.copy()
    returns.setflags(write=False)
    unquoted = count - quoted[1:].sum(axis=0)
    enough = is_enough(unquoted, count, SCENARIOS_MIN) & known.all(axis=0) & believable.all(axis=0)
    alone = Scenarios(
        returns_ppm=returns,
        rows={symbol: row for row, symbol in enumerate(window.symbols)},
        too_short=frozenset(
            symbol for symbol, is_enough in zip(window.symbols, enough, strict=True) if not is_enough
        ),
        pnl_micros=np.zeros(count, dtype=np.int64),
    )
    return alone.of_book(quantities, prices)


# ------------------------------------------------------------------------------- value at risk, compilable


def moved_ppm(close: Any, before: Any) -> Any:
    """Return moves of closes from those before, to the nearest ppm, as floats; of numbers or arrays."""
    return np.rint((close / before - 1) * PPM)


def is_believable(moves_ppm: Any) -> Any:
    """Say of moves whether they are at most tenfold; of a number or an array."""
    return np.abs(moves_ppm) <= RETURN_PPM_MAX


def is_enough(unquoted: Any, scenarios: int, scenarios_min: int) -> Any:
    """Say whether scenarios are enough, `unquoted` of which lack a quote of their own; number or array."""
    return (unquoted * BPS <= UNQUOTED_BPS_MAX * scenarios) & (scenarios >= scenarios_min)


def var_bound_micros(move_micros: float, scenarios: int, level_bps: int) -> float:
    """Return what VaR is at most where no scenario makes or loses more than `move_micros`, without ranking.

    The historical one is at most that; the deviation at most √(n ∕ (n − 1)) of it, under 1 + 1 ∕ (n − 1).
    Its steps and all rounding are allowed for, so that what is within a limit by this is surely within it.
    """
    deviation = move_micros * (1 + 1 / max(scenarios - 1, 1)) * (1 + 1e-5) + PPM
    return max(move_micros, deviation * (normal_quantile_ppm(level_bps) / PPM))


def order_pnl_micros(value_micros: int, return_ppm: Ints) -> Ints:
    """Return what an order worth `value_micros` (negative: sold) makes in each scenario, rounded down.

    Exact: whole units and their rest are multiplied apart, so that no product leaves int64.
    """
    return (value_micros // PPM) * return_ppm + (value_micros % PPM) * return_ppm // PPM


def tail_count(scenarios: int, level_bps: int) -> int:
    """Return how many of the worst scenarios make the tail: (1 − level) of them, rounded up, at least 1."""
    return max(-(-scenarios * (BPS - level_bps) // BPS), 1)


def historical_var_micros(pnl_micros: Ints, level_bps: int) -> int:
    """Return the loss that fewer than (1 − level) of the scenarios exceed, 0 where that is a gain.

    The k-th worst with k = ⌈n × (1 − level)⌉, nothing interpolated: 13th of 250 at 95 %, 3rd at 99 %.
    """
    rank = tail_count(len(pnl_micros), level_bps) - 1
    return max(-int(np.sort(pnl_micros)[rank]), 0)


def expected_shortfall_micros(pnl_micros: Ints, level_bps: int) -> int:
    """Return the mean loss of the tail, rounded up: those k scenarios; 0 where that is a gain."""
    count = tail_count(len(pnl_micros), level_bps)
    worst = np.partition(pnl_micros, count - 1)[:count]
    # Quotients and rests are summed apart: the sum of a tail of huge losses could leave int64.
    total = int(np.sum(worst // count))
    rest = int(np.sum(worst % count))
    return max(-(total + rest // count), 0)


def deviation_micros(pnl_micros: Ints) -> int:
    """Return the standard deviation of P&L over the scenarios (n − 1), rounded up; 0 with fewer than two.

    Of a book this is √(wᵀΣw) with Σ the covariance of what it holds: correlation is in the scenarios. P&L is
    taken in steps of a 2²²th of the largest, so that squares are exact; up to three steps too much.
    """
    count = len(pnl_micros)
    if count <= 1:
        return 0
    largest = int(np.max(np.abs(pnl_micros)))
    shift = 0
    while largest >> shift >= 1 << SQUARE_BITS:
        shift += 1
    steps = pnl_micros >> shift
    total = int(np.sum(steps))
    squares = count * int(np.sum(steps * steps)) - total * total
    variance = -(-squares // (count * (count - 1)))
    if variance == 0:
        return 0 if shift == 0 else 1 << shift
    root = int(math.sqrt(variance))
    while root * root < variance:
        root += 1
    # Taking whole steps may have taken up to one off the deviation: it is given back.
    return root if shift == 0 else (root + 1) << shift


def parametric_var_micros(pnl_micros: Ints, level_bps: int) -> int:
    """Return z × the standard deviation, rounded up: no drift is counted, past gains are no cushion."""
    z_ppm = normal_quantile_ppm(level_bps)
    deviation = deviation_micros(pnl_micros)
    if deviation >= VALUE_MICROS_MAX:
        return NOT_MEASURABLE
    return (deviation // PPM) * z_ppm - (-(deviation % PPM) * z_ppm // PPM)


def normal_quantile_ppm(level_bps: int) -> int:
    """Return the quantile of the standard normal distribution in ppm, of the next level in the tables."""
    for level, quantile_ppm in NORMAL_QUANTILES:
        if level_bps <= level:
            return quantile_ppm
    return NORMAL_QUANTILES[-1][1]


def value_at_risk_micros(pnl_micros: Ints, level_bps: int) -> int:
    """Return the larger of historical and parametric VaR; not measurable without a scenario."""
    if len(pnl_micros) == 0:
        return NOT_MEASURABLE
    return max(historical_var_micros(pnl_micros, level_bps), parametric_var_micros(pnl_micros, level_bps))


class VarBound(NamedTuple):
    """Hold what a book's VaR at a level of confidence may be at most, in micro-units."""

    level_bps: int
    limit_micros: int


class OrderVar(NamedTuple):
    """Hold the book's VaR with an order counted as filled, and how much of it (shares) is within a bound.

    `largest` is the quantity asked for where that is within; else one that is while one share more is not.
    """

    var_micros: int
    largest: int


def order_var(
    pnl_micros: Ints, return_ppm: Ints, quantity: int, price_micros: int, bound: VarBound
) -> OrderVar:
    """Return what one more order (shares, negative: sold) does to the book's VaR, in O(scenarios).

    The largest quantity is found by halving between nothing and what is asked for, only where that is too
    much. VaR need not grow with every share, so that a larger one might pass as well: the answer is on the
    safe side, and a tighter bound never makes it larger.
    """
    asked = abs(quantity)
    var = var_with_order_micros(pnl_micros, return_ppm, quantity, price_micros, bound.level_bps)
    if var <= bound.limit_micros:
        return OrderVar(var, asked)
    if not is_within(pnl_micros, bound):
        return OrderVar(var, 0)
    value_each = price_micros if quantity > 0 else -price_micros
    passes, fails = 0, min(asked, VALUE_MICROS_MAX // max(price_micros, 1) + 1)
    while fails - passes > 1:
        middle = (passes + fails) // 2
        if is_within(pnl_micros + order_pnl_micros(middle * value_each, return_ppm), bound):
            passes = middle
        else:
            fails = middle
    return OrderVar(var, passes)


def is_within(pnl_micros: Ints, bound: VarBound) -> bool:
    """Say whether VaR is within a bound, without ranking: it is where fewer than the tail lose more."""
    count = len(pnl_micros)
    if count == 0 or int(np.sum(pnl_micros < -bound.limit_micros)) >= tail_count(count, bound.level_bps):
        return False
    return parametric_var_micros(pnl_micros, bound.level_bps) <= bound.limit_micros


def var_with_order_micros(
    pnl_micros: Ints, return_ppm: Ints, quantity: int, price_micros: int, level_bps: int
) -> int:
    """Return the book's VaR with one more order (shares, negative: sold) counted as filled."""
    if abs(quantity) > VALUE_MICROS_MAX // max(price_micros, 1):
        return NOT_MEASURABLE
    return value_at_risk_micros(pnl_micros + order_pnl_micros(quantity * price_micros, return_ppm), level_bps)


# ------------------------------------------------------------------------------- drawdown and the session


class Drawdown(NamedTuple):
    """Hold how far equity stands under its highest: that highest, the fall in micro-units, and for how long.

    `sessions` counts those since the highest was last reached; 0 at it.
    """

    peak_micros: int
    depth_micros: int
    sessions: int

    @property
    def depth_bps(self) -> int:
        """Return the fall in basis points of the highest, rounded up; all of it where that is not over 0."""
        if self.peak_micros <= 0:
            return BPS
        return -(-self.depth_micros * BPS // self.peak_micros)


def drawdown(equities_micros: Sequence[int]) -> Drawdown:
    """Return how far the last equity stands under the highest so far; raises `ValueError` of none."""
    return _drawdowns(equities_micros)[-1]


def deepest_drawdown(equities_micros: Sequence[int]) -> Drawdown:
    """Return the deepest drawdown to the basis point, the first of equals; raises `ValueError` of none."""
    return max(_drawdowns(equities_micros), key=lambda fall: fall.depth_bps)


def longest_drawdown(equities_micros: Sequence[int]) -> int:
    """Return the most sessions that equity stood under a highest before; raises `ValueError` of none."""
    return max(fall.sessions for fall in _drawdowns(equities_micros))


# ------------------------------------------------------------------------------- exposure


class Exposures(NamedTuple):
    """Hold how much of the book stands in the market, in micro-units, and of equity in basis points.

    `gross` adds longs and shorts, `net` takes shorts off. `leverage_bps` is gross over equity and
    `concentration_bps` the largest position over equity, both rounded up; without equity both are as large as
    can be told.
    """

    gross_micros: int
    net_micros: int
    largest_micros: int
    leverage_bps: int
    concentration_bps: int


def exposures(values_micros: Sequence[int], *, equity_micros: int) -> Exposures:
    """Return the exposures of positions worth so much each (negative: short)."""
    gross = sum(abs(value) for value in values_micros)
    largest = max((abs(value) for value in values_micros), default=0)
    return Exposures(
        gross_micros=gross,
        net_micros=sum(values_micros),
        largest_micros=largest,
        leverage_bps=_share_bps(gross, equity_micros),
        concentration_bps=_share_bps(largest, equity_micros),
    )


def stop_distance_bps(*, cost_micros: int, quantity: int, price_micros: int, stop_bps: int) -> int:
    """Return how far a long position's worth stands above its stop, in basis points of cost, rounded down.

    The stop is `stop_bps` (800: 8 %) under what the position cost; 0 or less is at or through it. Raises
    `ValueError` where there is no cost to measure from.
    """
    if cost_micros <= 0 or quantity <= 0:
        raise ValueError(f"position of {quantity} for {cost_micros}: a stop is measured from a positive cost")
    return price_micros * quantity * BPS // cost_micros - (BPS - stop_bps)


# ------------------------------------------------------------------------------- shared by them


def _carried_forward(closes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return closes with each unquoted session at the last close before it; NaN before the first."""
    sessions = np.arange(len(closes)).reshape(-1, 1)
    last = np.maximum.accumulate(np.where(np.isnan(closes), -1, sessions), axis=0)
    carried = np.take_along_axis(closes, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, carried, np.nan)


def _drawdowns(equities_micros: Sequence[int]) -> list[Drawdown]:
    if not equities_micros:
        raise ValueError("drawdown of no session: there is no equity to measure")
    falls: list[Drawdown] = []
    peak, since = equities_micros[0], 0
    for equity in equities_micros:
        peak, since = (equity, 0) if equity >= peak else (peak, since + 1)
        falls.append(Drawdown(peak, peak - equity, since))
    return falls


def _share_bps(part_micros: int, equity_micros: int) -> int:
    if part_micros == 0:
        return 0
    return NOT_MEASURABLE if equity_micros <= 0 else -(-part_micros * BPS // equity_micros)
