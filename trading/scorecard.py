"""What a replay was worth: one record of measures, whole and cut by year, regime, symbol and strategy.

A pure function of what a replay left behind, its actions and a benchmark. The measures of a series of
returns are performance.py, of symbols and strategies attribution.py; here are those of trading (turnover,
exposure, costs) and the record. Whether any of it is luck is honest.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import Enum
from typing import Any

import numpy as np

from trading.actions import CorporateAction
from trading.attribution import (
    MEASURES_OF_ROUND_TRIPS,
    Attribution,
    RoundTrips,
    by_strategy,
    by_symbol,
    equity_before,
    whole_numbers,
)
from trading.benchmark import Benchmark
from trading.features import Regime
from trading.performance import (
    MEASURES_BESIDE,
    SESSIONS_MIN,
    SESSIONS_PER_YEAR,
    Drawdown,
    Floats,
    Performance,
    Sessions,
    drawdowns_of,
    performance_of,
)
from trading.positions import Book
from trading.replayed import Columns, Replayed
from trading.risk import BPS
from trading.values import digest

SCHEMA = 1
"""Version of a scorecard's payload."""

DRAWDOWNS_TOLD = 5
"""How many of the deepest drawdowns a scorecard lists."""

DECIMALS = 9
"""What a measure is rounded to where it is written, so that platforms agree on the text."""

NO_REGIME = "no_data"
"""The name of the sessions before which the benchmark had too little history for a regime."""


def mean_equity_micros(sessions: Columns) -> float | None:
    """Return the mean of the book's worth at the closes, in micro-units.

    Sampling: every session. No data: no session, or nothing in the book on average.
    """
    equity = whole_numbers(sessions, "equity_micros")
    mean = float(np.mean(equity)) if equity.size else 0.0
    return mean if mean > 0 else None


def turnover(sessions: Columns) -> float | None:
    """Return how often the book was traded in a year: Σ notional of fills / mean equity × 252 / n.

    Sampling: every session; purchases and sales both count, so that selling all and buying anew is 2. No
    data: no session, or no equity.
    """
    return _a_year(sessions, float(np.sum(whole_numbers(sessions, "traded_micros"))))


def exposure(sessions: Columns) -> float | None:
    """Return the mean share of equity that is in positions, long and short added: mean(gross / equity).

    Sampling: closes with a positive equity. No data: none.
    """
    return _mean_share(sessions, "gross_micros")


def net_exposure(sessions: Columns) -> float | None:
    """Return the mean of longs less shorts over equity: mean(net / equity).

    Sampling: closes with a positive equity. No data: none.
    """
    return _mean_share(sessions, "net_micros")


def exposure_max(sessions: Columns) -> float | None:
    """Return the largest share of equity in positions at a close: max(gross / equity).

    Sampling: closes with a positive equity. No data: none.
    """
    shares = _shares(sessions, "gross_micros")
    return float(np.max(shares)) if shares.size else None


def invested_share(sessions: Columns) -> float | None:
    """Return the share of sessions that closed with a position: count(gross > 0) / n.

    Sampling: every session. No data: no session.
    """
    gross = whole_numbers(sessions, "gross_micros")
    return float(np.count_nonzero(gross)) / gross.size if gross.size else None


def commission_bps(sessions: Columns) -> float | None:
    """Return commissions in basis points of the notional traded.

    Sampling: every fill. No data: nothing was traded.
    """
    return _bps_of_traded(sessions, "commission_micros")


def slippage_bps(sessions: Columns) -> float | None:
    """Return what prices cost against the opens, in basis points of the notional traded.

    Sampling: every fill. No data: nothing was traded.
    """
    return _bps_of_traded(sessions, "slippage_micros")


def cost_bps_a_year(sessions: Columns) -> float | None:
    """Return commissions and slippage in basis points of mean equity a year: costs / mean equity × 252 / n.

    Sampling: every session. No data: no session, or no equity.
    """
    costs = whole_numbers(sessions, "commission_micros") + whole_numbers(sessions, "slippage_micros")
    share = _a_year(sessions, float(np.sum(costs)))
    return None if share is None else share * BPS


def blocked_share(sessions: Columns) -> float | None:
    """Return the share of intents that guards blocked: Σ blocked / Σ intents.

    Sampling: every intent. No data: none.
    """
    intents = int(np.sum(whole_numbers(sessions, "intents")))
    return int(np.sum(whole_numbers(sessions, "blocked"))) / intents if intents else None


MEASURES_OF_TRADING: Mapping[str, Callable[[Columns], float | None]] = {
    "turnover": turnover,
    "exposure": exposure,
    "net_exposure": net_exposure,
    "exposure_max": exposure_max,
    "invested_share": invested_share,
    "commission_bps": commission_bps,
    "slippage_bps": slippage_bps,
    "cost_bps_a_year": cost_bps_a_year,
    "blocked_share": blocked_share,
}
"""Every measure of a table of sessions by its name: the fields of `Trading` beside counts and amounts."""

TRADED_A_YEAR = ("turnover", "cost_bps_a_year")
"""Measures of trading that a scorecard leaves out under `SESSIONS_MIN` sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trading:
    """Hold what was traded and what it cost; measures are described by the functions of their names.

    Counts of intents and fills, amounts in micro-units; `None` is *no data*.
    """

    intents: int
    fills: int
    traded_micros: int
    commission_micros: int
    slippage_micros: int
    dividend_micros: int
    turnover: float | None
    exposure: float | None
    net_exposure: float | None
    exposure_max: float | None
    invested_share: float | None
    commission_bps: float | None
    slippage_bps: float | None
    cost_bps_a_year: float | None
    blocked_share: float | None


COUNTED = ("intents", "fills", "traded_micros", "commission_micros", "slippage_micros", "dividend_micros")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Hold how sessions of a replay compare with a benchmark, where both have a return.

    `performance` is the benchmark's own; the measures are described by the functions of their names.
    """

    name: str
    sessions: int
    performance: Performance
    alpha: float | None
    beta: float | None
    correlation: float | None
    information_ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Hold the measures of some of a replay's sessions: a year's, or those of one regime.

    `beside` is `None` without a benchmark.
    """

    name: str
    performance: Performance
    trading: Trading
    beside: Beside | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """Hold everything that is told of a replay. Amounts are micro-units of `currency`; `None` is *no data*.

    `first_session` and `last_session` are `None` where it had none. `drawdowns` are the deepest, deepest
    first. `years` ascend; `regimes` are the benchmark's known before each session, and empty without one.
    `symbols`, `strategies` and `round_trips` are `None` for a light replay, which keeps no marks.
    """

    book: str
    currency: str
    first_session: date | None
    last_session: date | None
    opening_micros: int
    closing_micros: int
    performance: Performance
    trading: Trading
    round_trips: RoundTrips | None
    beside: Beside | None
    drawdowns: tuple[Drawdown, ...]
    years: tuple[Cut, ...]
    regimes: tuple[Cut, ...]
    symbols: tuple[Attribution, ...] | None
    strategies: tuple[Attribution, ...] | None

    def payload(self) -> dict[str, Any]:
        """Return the scorecard as plain JSON values: measures to 1e-9, dates as text, *no data* as null."""
        return {"schema": SCHEMA, **_plain(self)}

    def sha(self) -> str:
        """Return the digest of the payload, numbers as text: equal scorecards, equal digests."""
        return digest(_written(self.payload()))


def scorecard_of(
    replayed: Replayed,
    *,
    actions: Iterable[CorporateAction] = (),
    benchmark: Benchmark | None = None,
    opening: Book | None = None,
) -> Scorecard:
    """Return the scorecard of a replay.

    `actions` are those that the replay was run with, at sessions; `opening` its book before the first session
    where it held anything. Raises `ValueError` where they are not (see attribution.py). Returns are of the
    book's worth at closes; nothing is put in or taken out during a replay. Once the book is worth nothing
    there are no returns, and no measure of any.
    """
    sessions = replayed["sessions"]
    days = sessions["session"].astype("datetime64[D]")
    returns = returns_of(replayed)
    theirs = benchmark.returns_in(days) if benchmark else np.full(days.size, np.nan)
    told = _Told(sessions=sessions, returns=returns, name=benchmark.name if benchmark else "", theirs=theirs)
    attributed = _attributed(replayed, list(actions), opening)
    equity = whole_numbers(sessions, "equity_micros")
    symbols = attributed[0] if attributed else None
    whole = told.cut("", np.full(days.size, fill_value=True), is_one_stretch=True)
    return Scorecard(
        book=replayed.book,
        currency=replayed.currency,
        first_session=days[0].astype(object) if days.size else None,
        last_session=days[-1].astype(object) if days.size else None,
        opening_micros=replayed.opening_micros,
        closing_micros=int(equity[-1]) if equity.size else replayed.opening_micros,
        performance=whole.performance,
        trading=whole.trading,
        round_trips=None if symbols is None else _all_round_trips(symbols),
        beside=whole.beside,
        drawdowns=_deepest(returns, days),
        years=_years(told),
        regimes=_regimes(told, benchmark) if benchmark else (),
        symbols=symbols,
        strategies=attributed[1] if attributed else None,
    )


def returns_of(replayed: Replayed) -> Floats:
    """Return the book's return in each session, float64 of shape (sessions,): equity / equity before − 1.

    Empty where the book was worth nothing before its last session: no ratio says what followed.
    """
    equity, before = whole_numbers(replayed["sessions"], "equity_micros"), equity_before(replayed)
    if not (before > 0).all():
        return np.empty(0)
    return equity.astype(np.float64) / before - 1.0


def trading_of(sessions: Columns) -> Trading:
    """Return what was traded in a table of sessions, and what it cost."""
    count = len(sessions["session"])
    withheld = TRADED_A_YEAR if count < SESSIONS_MIN else ()
    measured: dict[str, Any] = {
        name: None if name in withheld else measure(sessions) for name, measure in MEASURES_OF_TRADING.items()
    }
    counted = {name: int(np.sum(whole_numbers(sessions, name))) for name in COUNTED}
    return Trading(**counted, **measured)


# --------------------------------------------------------------------------------------------------- cuts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Hold what every cut is made of; `theirs` are a benchmark's returns, and `returns` may be empty."""

    sessions: Columns
    returns: Floats
    name: str
    theirs: Floats

    def cut(self, name: str, chosen: np.ndarray, *, is_one_stretch: bool) -> Cut:
        """Return the measures of the chosen sessions."""
        returns = self.returns[chosen] if self.returns.size else self.returns
        return Cut(
            name=name,
            performance=performance_of(returns, is_one_stretch=is_one_stretch),
            trading=trading_of({column: values[chosen] for column, values in self.sessions.items()}),
            beside=self._beside(returns, self.theirs[chosen], is_one_stretch=is_one_stretch),
        )

    def _beside(self, returns: Floats, theirs: Floats, *, is_one_stretch: bool) -> Beside | None:
        if not self.name or not returns.size:
            return None
        known = np.isfinite(theirs)
        count = int(np.count_nonzero(known))
        measured: dict[str, Any] = {
            name: measure(returns, theirs) if count >= SESSIONS_MIN else None
            for name, measure in MEASURES_BESIDE.items()
        }
        return Beside(
            name=self.name,
            sessions=count,
            performance=performance_of(theirs[known], is_one_stretch=is_one_stretch),
            **measured,
        )


def _years(told: _Told) -> tuple[Cut, ...]:
    years = told.sessions["session"].astype("datetime64[Y]").astype(np.int64) + 1970
    return tuple(
        told.cut(str(year), years == year, is_one_stretch=True) for year in np.unique(years).tolist()
    )


def _regimes(told: _Told, benchmark: Benchmark) -> tuple[Cut, ...]:
    """Return the sessions of each regime: known before them, so that a cut could have been traded."""
    known = benchmark.regimes_before(told.sessions["session"].astype("datetime64[D]"))
    names = np.array([NO_REGIME if regime is None else regime.value for regime in known], dtype="U32")
    return tuple(
        told.cut(name, names == name, is_one_stretch=False)
        for name in (*(regime.value for regime in Regime), NO_REGIME)
        if (names == name).any()
    )


def _deepest(returns: Floats, days: Sessions) -> tuple[Drawdown, ...]:
    if not returns.size:
        return ()
    return tuple(sorted(drawdowns_of(returns, days), key=lambda fall: (fall.depth, fall.trough_on)))[
        :DRAWDOWNS_TOLD
    ]


def _attributed(
    replayed: Replayed, actions: Sequence[CorporateAction], opening: Book | None
) -> tuple[tuple[Attribution, ...], tuple[Attribution, ...]] | None:
    """Return what symbols and strategies did; `None` where positions were held and no marks were kept."""
    held = np.any(whole_numbers(replayed["sessions"], "gross_micros") != 0)
    if held and not len(replayed["marks"]["session"]):
        return None
    return by_symbol(replayed, actions, opening=opening), by_strategy(replayed, actions)


def _all_round_trips(symbols: Iterable[Attribution]) -> RoundTrips:
    return sum((row.round_trips for row in symbols if row.round_trips), RoundTrips())


# ------------------------------------------------------------------------------------- measures of trading


def _a_year(sessions: Columns, micros: float) -> float | None:
    """Return an amount of all sessions as a share of mean equity in a year of them."""
    mean = mean_equity_micros(sessions)
    return None if mean is None else micros / mean * SESSIONS_PER_YEAR / len(sessions["session"])


def _bps_of_traded(sessions: Columns, column: str) -> float | None:
    traded = int(np.sum(whole_numbers(sessions, "traded_micros")))
    return int(np.sum(whole_numbers(sessions, column))) * BPS / traded if traded else None


def _mean_share(sessions: Columns, column: str) -> float | None:
    shares = _shares(sessions, column)
    return float(np.mean(shares)) if shares.size else None


def _shares(sessions: Columns, column: str) -> Floats:
    """Return a column over equity, at the closes with a positive one."""
    equity = whole_numbers(sessions, "equity_micros")
    worth = equity > 0
    return whole_numbers(sessions, column)[worth] / equity[worth]


# ------------------------------------------------------------------------------------------------ payload


def _plain(value: Any) -> Any:
    """Return a value as plain JSON: records by their fields, `None` kept, numbers rounded."""
    if isinstance(value, RoundTrips):
        rates = {name: _plain(getattr(value, name)) for name in MEASURES_OF_ROUND_TRIPS}
        return {**_of_fields(value), **rates}
    if is_dataclass(value):
        return _of_fields(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return round(value, DECIMALS) + 0.0 if isinstance(value, float) else value


def _of_fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _written(value: Any) -> Any:
    """Return a payload with its floats as text of 9 decimals: what a digest is taken over."""
    if isinstance(value, dict):
        return {key: _written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_written(item) for item in value]
    return f"{value:.{DECIMALS}f}" if isinstance(value, float) else value
