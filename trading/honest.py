"""What is luck in a backtest: how sure a Sharpe ratio is, how many trials it took, what choosing costs.

Sharpe ratios here are of a session, not annualised, unless a name says so: the statistics need the number of
observations. Each function answers `None`, *no data*, where its formula has no number. Chance comes in as a
seed, and equal seeds give equal bits. What a series was worth is performance.py; re-run fills are stress.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trading.performance import (
    SESSIONS_PER_YEAR,
    VARIATION_MIN,
    Floats,
    Performance,
    cagr,
    kurtosis,
    max_drawdown,
    performance_of,
    sharpe,
    skew,
)

NORMAL = NormalDist()
EULER_MASCHERONI = 0.5772156649015329
"""γ in the expected largest of many normal draws."""

NORMAL_SKEW, NORMAL_KURTOSIS = 0.0, 3.0

CONFIDENCE = 0.95
"""How sure a track record's length and an interval are to be."""

BLOCKS = 16
"""Into how many stretches of sessions the trials are cut to be recombined: 12,870 ways to choose half."""

BLOCK_SESSIONS_MIN = 4
"""A stretch of fewer sessions has no Sharpe ratio to speak of."""

COPY_COSINE = 0.999
"""From where on two trials are one: but for their size they differ by a twentieth of what they move.

A parameter that is moved by a hundredth differs by less, one that changes what is traded by more.
"""

DRAWS = 1_000
"""Series drawn for an interval."""

DRAWS_KNOWN_MIN = 0.9
"""The share of drawn series that must have a measure for it to have an interval."""


# ----------------------------------------------------------------------------- how sure a Sharpe ratio is


def probabilistic_sharpe(
    *, sharpe: float, benchmark: float, sessions: int, skew: float, kurtosis: float
) -> float | None:
    """Return the probability that the true Sharpe ratio is above a benchmark's.

    Φ((SR − SR*) × √(n − 1) / √(1 − γ₃ SR + (γ₄ − 1) / 4 × SR²)), γ₄ = 3 of a normal distribution. Sampling:
    every session, ratios of one. No data: under 2 sessions, or moments that no distribution has. Source:
    Bailey and López de Prado (2012), The Sharpe Ratio Efficient Frontier.
    """
    spread = _spread_of_sharpe(sharpe, skew, kurtosis)
    if sessions < 2 or spread is None:  # noqa: PLR2004 - a deviation takes two
        return None
    return NORMAL.cdf((sharpe - benchmark) * math.sqrt(sessions - 1) / spread)


def track_record_sessions_min(
    *, sharpe: float, benchmark: float, skew: float, kurtosis: float, confidence: float = CONFIDENCE
) -> float | None:
    """Return how many sessions it takes to be sure that a Sharpe ratio is above a benchmark's.

    1 + (1 − γ₃ SR + (γ₄ − 1) / 4 × SR²) × (Φ⁻¹(confidence) / (SR − SR*))². Sampling: ratios of a session.
    No data: a Sharpe ratio that is not above it, for which no record is long enough. Source: Bailey and López
    de Prado (2012), The Sharpe Ratio Efficient Frontier.
    """
    spread = _spread_of_sharpe(sharpe, skew, kurtosis)
    if spread is None or sharpe - benchmark < VARIATION_MIN:
        return None
    return 1.0 + (spread * NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def expected_max_sharpe(*, trials: int, deviation: float) -> float:
    """Return the best Sharpe ratio to expect of trials without any skill; 0 of one trial.

    σ × ((1 − γ) Φ⁻¹(1 − 1 / N) + γ Φ⁻¹(1 − 1 / (N e))), σ the deviation of Sharpe ratios among the trials.
    Trials that resemble each other count as fewer than N, so that N is on the safe side. Sampling: every
    trial that was made. No data: many trials that nobody kept. Source: Bailey and López de Prado (2014), The
    Deflated Sharpe Ratio.
    """
    if trials < 1:
        raise ValueError(f"trials {trials}: a strategy that was chosen was tried at least once")
    if trials == 1:
        return 0.0
    usual = (1.0 - EULER_MASCHERONI) * NORMAL.inv_cdf(1.0 - 1.0 / trials)
    return deviation * (usual + EULER_MASCHERONI * NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e)))


def deflated_sharpe(
    *, sharpe: float, sessions: int, skew: float, kurtosis: float, trials: int, deviation: float
) -> float | None:
    """Return the probability that a Sharpe ratio is above the best that so many trials give without skill.

    The probabilistic Sharpe ratio against `expected_max_sharpe`. Sampling: every session of the one chosen,
    every trial that was made. No data: where one of the two has none. Source: Bailey
    and López de Prado (2014).
    """
    luck = expected_max_sharpe(trials=trials, deviation=deviation)
    return probabilistic_sharpe(
        sharpe=sharpe, benchmark=luck, sessions=sessions, skew=skew, kurtosis=kurtosis
    )


def sharpe_deviation(trials: Floats) -> float | None:
    """Return the standard deviation (n − 1) of Sharpe ratios of a session among trials.

    `trials` are returns of shape (sessions, trials). No data: under 2 trials with a Sharpe ratio.
    """
    ratios = [sharpe(trials[:, column], per_year=1) for column in range(trials.shape[1])]
    known = np.array([ratio for ratio in ratios if ratio is not None])
    return float(np.std(known, ddof=1)) if known.size > 1 else None


def _spread_of_sharpe(sharpe: float, skew: float, kurtosis: float) -> float | None:
    """Return the standard deviation of a Sharpe ratio's estimate times √(n − 1)."""
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    return math.sqrt(variance) if variance > VARIATION_MIN else None


# -------------------------------------------------------------------------------- walking forward in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Hold the rows of sessions that a choice is made on, and those it is tried on afterwards."""

    train: tuple[range, ...]
    test: range

    def train_rows(self) -> NDArray[np.int64]:
        """Return the training rows, ascending."""
        return np.concatenate([np.arange(rows.start, rows.stop) for rows in self.train]).astype(np.int64)


def walk_forward(
    sessions: int, *, train: int, test: int, purge: int = 0, is_anchored: bool = False
) -> tuple[Fold, ...]:
    """Return folds of consecutive tests, each trained on the sessions before it.

    All in sessions. `purge` are left out right before each test: at least as many as an outcome takes to be
    known, so that none in training was decided by the test. Training is of the last `train` before those, or
    of all of them where `is_anchored`. What is left at the end, too short for a test, is in none; no fold
    where there is no room for one. Raises `ValueError` for lengths that are none.
    """
    _require_lengths(train=train, test=test, purge=purge)
    folds = []
    for first in range(train + purge, sessions - test + 1, test):
        known = first - purge
        folds.append(
            Fold(train=(range(0 if is_anchored else known - train, known),), test=range(first, first + test))
        )
    return tuple(folds)


def purged_folds(sessions: int, *, folds: int, purge: int = 0, embargo: int = 0) -> tuple[Fold, ...]:
    """Return every stretch of sessions as a test once, trained on the others, purged and embargoed.

    `purge` are left out on both sides of a test: as many as an outcome takes to be known. `embargo` more are
    left out after it: as many as a decision looks back, since those sessions' windows hold the test. Raises
    `ValueError` for fewer than 2 folds, or sessions too few for them. Source: López de Prado (2018),
    Advances in Financial Machine Learning, 7.4.
    """
    _require_lengths(folds=folds, purge=purge, embargo=embargo)
    if folds < 2 or sessions < folds:  # noqa: PLR2004 - one to train on, one to test
        raise ValueError(f"{folds} folds of {sessions} sessions: takes 2 folds, and a session for each")
    edges = [round(sessions * fold / folds) for fold in range(folds + 1)]
    made = []
    for first, after in pairwise(edges):
        around = range(max(first - purge, 0)), range(min(after + purge + embargo, sessions), sessions)
        made.append(Fold(train=tuple(rows for rows in around if rows), test=range(first, after)))
    return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Hold what a fold chose: the trial's column, and how it did in training and in the test after it."""

    fold: Fold
    trial: int
    train: Performance
    test: Performance


def chosen_forward(trials: Floats, folds: Sequence[Fold]) -> tuple[Chosen, ...]:
    """Return the trial with the best Sharpe ratio of each fold's training, and what it did in the test.

    `trials` are returns of shape (sessions, trials). A fold in which no trial has a Sharpe ratio chooses
    nothing, and is left out.
    """
    made = []
    for fold in folds:
        rows = fold.train_rows()
        ratios = [sharpe(trials[rows, column]) for column in range(trials.shape[1])]
        known = [(ratio, -column) for column, ratio in enumerate(ratios) if ratio is not None]
        if not known:
            continue
        best = -max(known)[1]
        made.append(
            Chosen(
                fold=fold,
                trial=best,
                train=performance_of(trials[rows, best], is_one_stretch=len(fold.train) == 1),
                test=performance_of(trials[fold.test.start : fold.test.stop, best]),
            )
        )
    return tuple(made)


def forward_returns(trials: Floats, chosen: Sequence[Chosen]) -> Floats:
    """Return the returns of the tests in a row: what choosing as one went along would have made."""
    return np.concatenate(
        [np.empty(0), *(trials[each.fold.test.start : each.fold.test.stop, each.trial] for each in chosen)]
    )


def _require_lengths(**lengths: int) -> None:
    for name, length in lengths.items():
        least = 0 if name in {"purge", "embargo"} else 1
        if length < least:
            raise ValueError(f"{name} {length}: must be at least {least}")


# ------------------------------------------------------------------------------------- what choosing costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """Hold what becomes of the best of many trials, over all ways to choose it on half of the sessions.

    `pbo` is the probability of backtest overfitting: the share of splits in which the trial that was best in
    one half is no better than the median in the other; 0.5 is what pure luck gives. `loss_share` is the share
    in which its Sharpe ratio there is below 0; `sharpe_chosen` and `sharpe_after` are its mean Sharpe ratios,
    annualised, in the half it was chosen on and in the other.
    """

    pbo: float
    loss_share: float
    sharpe_chosen: float
    sharpe_after: float
    trials: int
    sessions: int
    blocks: int
    splits: int


def overfitting_of(trials: Floats, *, blocks: int = BLOCKS) -> Overfitting | None:
    """Return the probability of backtest overfitting by combinatorially symmetric cross-validation.

    `trials` are returns of shape (sessions, trials), all of the same sessions: every trial that was made, not
    those that pleased. The share of splits in which the trial that was best in one half is no better than the
    median in the other: each half of `blocks` (even) equal stretches chooses by Sharpe ratio, the other half
    judges. A trial that did not vary has a ratio of 0; ties have their mean rank. Sampling: every session but
    the oldest ones that do not divide. No data: under 2 trials, or under 4 sessions a stretch.
    Source: Bailey, Borwein, López de Prado and Zhu (2017), The Probability of Backtest Overfitting.
    """
    if blocks < 2 or blocks % 2:  # noqa: PLR2004 - two halves
        raise ValueError(f"blocks {blocks}: must be even, so that halves can be compared")
    count = trials.shape[0] // blocks
    if trials.shape[1] < 2 or count < BLOCK_SESSIONS_MIN:  # noqa: PLR2004 - one alone is not chosen
        return None
    kept = trials[trials.shape[0] - count * blocks :]
    # Sums of squares about each trial's mean lose no digits to a common drift.
    stretches = (kept - np.mean(kept, axis=0)).reshape(blocks, count, -1)
    sums, squares = stretches.sum(axis=1), (stretches * stretches).sum(axis=1)
    drift = np.mean(kept, axis=0)
    ranks, after, before = [], [], []
    for halves in _halves(blocks):
        chosen = _ratios(halves @ sums, halves @ squares, drift, count * blocks // 2)
        other = _ratios((1.0 - halves) @ sums, (1.0 - halves) @ squares, drift, count * blocks // 2)
        best = np.argmax(chosen, axis=1)[:, None]
        mine = np.take_along_axis(other, best, axis=1)
        below, level = (other < mine).sum(axis=1), (other == mine).sum(axis=1)
        ranks.append((below + (level + 1) / 2) / (trials.shape[1] + 1))
        after.append(mine[:, 0])
        before.append(np.take_along_axis(chosen, best, axis=1)[:, 0])
    relative, judged = np.concatenate(ranks), np.concatenate(after)
    year = math.sqrt(SESSIONS_PER_YEAR)
    return Overfitting(
        # A logit ln(ω / (1 − ω)) of at most 0 is a relative rank ω of at most a half.
        pbo=float(np.mean(relative <= 0.5)),  # noqa: PLR2004 - the median
        loss_share=float(np.mean(judged < 0)),
        sharpe_chosen=float(np.mean(np.concatenate(before))) * year,
        sharpe_after=float(np.mean(judged)) * year,
        trials=trials.shape[1],
        sessions=kept.shape[0],
        blocks=blocks,
        splits=relative.size,
    )


def told_apart(trials: Floats) -> Floats:
    """Return trials without those that repeat an earlier one, in their order; shape (sessions, trials).

    One repeats another where it is equal, or is the other larger or smaller as a whole, but for little: where
    Σab / √(Σa² Σb²) of their returns is at least `COPY_COSINE`. A choice among copies is none: with enough of
    them, whatever was copied beats the median of all, and the trials seem to differ little. Those that merely
    resemble each other stay. Sampling: every session.
    """
    lengths = np.sqrt(np.sum(trials * trials, axis=0))
    moves = lengths >= VARIATION_MIN
    unit = np.where(moves, trials / np.where(moves, lengths, 1.0), 0.0)
    alike = unit.T @ unit >= COPY_COSINE
    kept: list[int] = []
    known: set[bytes] = set()
    for column in range(trials.shape[1]):
        exactly = trials[:, column].tobytes()
        if exactly not in known and not alike[column, kept].any():
            kept.append(column)
            known.add(exactly)
    return trials[:, kept]


SPLITS_AT_ONCE = 1_024
"""Splits that are judged together: memory is this times the trials."""


def _halves(blocks: int) -> Iterator[Floats]:
    """Return every way to choose half of the blocks, as rows of zeros and ones, some at a time."""
    every = np.array(list(combinations(range(blocks), blocks // 2)))
    for first in range(0, len(every), SPLITS_AT_ONCE):
        part = every[first : first + SPLITS_AT_ONCE]
        rows = np.zeros((len(part), blocks))
        np.put_along_axis(rows, part, 1.0, axis=1)
        yield rows


def _ratios(sums: Floats, squares: Floats, drift: Floats, count: int) -> Floats:
    """Return Sharpe ratios of a session from sums about a drift, 0 where nothing varies."""
    mean = sums / count
    variance = np.maximum((squares - sums * mean) / (count - 1), 0.0)
    deviation = np.sqrt(variance)
    varies = deviation >= VARIATION_MIN
    return np.where(varies, (mean + drift) / np.where(varies, deviation, 1.0), 0.0)


# --------------------------------------------------------------------------------------------- intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Hold the range in which a measure lay in `level` of the series drawn; `seed` draws them again."""

    low: float
    high: float
    level: float
    draws: int
    block_sessions: int
    seed: int


def bootstrap_interval(
    returns: Floats,
    measure: Callable[[Floats], float | None],
    *,
    seed: int,
    draws: int = DRAWS,
    block_sessions: int | None = None,
    level: float = CONFIDENCE,
) -> Interval | None:
    """Return a measure's interval by the stationary bootstrap: its percentiles over series drawn anew.

    Blocks of sessions are drawn with a geometric length of `block_sessions` on average (n^(1/3) where not
    given), so that what hangs together stays together. Chance is PCG64 with `seed`. Sampling: every session.
    No data: a tenth of the
    series without the measure. Source: Politis and Romano (1994), The Stationary Bootstrap.
    """
    if not returns.size:
        return None
    length = block_sessions or max(round(returns.size ** (1 / 3)), 1)
    rows = _drawn_rows(returns.size, draws=draws, block_sessions=length, seed=seed)
    measured = [measure(returns[drawn]) for drawn in rows]
    known = np.array([number for number in measured if number is not None])
    if known.size < draws * DRAWS_KNOWN_MIN:
        return None
    low, high = np.percentile(known, [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return Interval(
        low=float(low), high=float(high), level=level, draws=draws, block_sessions=length, seed=seed
    )


def _drawn_rows(count: int, *, draws: int, block_sessions: int, seed: int) -> NDArray[np.int64]:
    """Return rows of shape (draws, count): blocks that go on from row to row, and around at the end."""
    rng = np.random.Generator(np.random.PCG64(seed))
    begins = rng.random((draws, count)) < 1.0 / block_sessions
    begins[:, 0] = True
    starts = rng.integers(0, count, size=(draws, count))
    at = np.arange(count)
    begun = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
    return (np.take_along_axis(starts, begun, axis=1) + at - begun) % count


# ------------------------------------------------------------------------------------------------ together

MEASURES_OF_LUCK: Mapping[str, Callable[..., Any]] = {
    "probabilistic_sharpe": probabilistic_sharpe,
    "track_record_sessions_min": track_record_sessions_min,
    "luck_sharpe": expected_max_sharpe,
    "deflated_sharpe": deflated_sharpe,
    "pbo": overfitting_of,
    "intervals": bootstrap_interval,
}
"""Every statistic of luck by its name in `Honesty` and `Overfitting`."""

INTERVALS: Mapping[str, Callable[[Floats], float | None]] = {
    "sharpe": sharpe,
    "cagr": cagr,
    "max_drawdown": max_drawdown,
}
"""The measures that are told with an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Honesty:
    """Hold how far one series of returns can be believed; `None` is *no data*.

    `trials` is how many it was chosen from. `probabilistic_sharpe` is against a true Sharpe ratio of 0;
    `luck_sharpe` is the best, annualised, that so many trials give without skill, `deflated_sharpe` the
    probability of being above it. `track_record_sessions_min` is how many sessions it takes to be 95 % sure
    of a Sharpe ratio above 0. `intervals` are of the measures of `INTERVALS`, annualised as those are.
    """

    sessions: int
    trials: int
    probabilistic_sharpe: float | None
    luck_sharpe: float | None
    deflated_sharpe: float | None
    track_record_sessions_min: float | None
    intervals: tuple[tuple[str, Interval | None], ...]


def honesty_of(
    returns: Floats, *, trials: int, deviation: float | None = None, seed: int, draws: int = DRAWS
) -> Honesty:
    """Return how far a series can be believed that was chosen from trials.

    `deviation` is that of Sharpe ratios of a session among the trials (`sharpe_deviation`); without it, and
    with more than one trial, nothing is told of luck.
    """
    ratio, third, fourth = sharpe(returns, per_year=1), skew(returns), kurtosis(returns)
    intervals = tuple(
        (name, bootstrap_interval(returns, measure, seed=seed, draws=draws))
        for name, measure in INTERVALS.items()
    )
    told: dict[str, Any] = dict.fromkeys(
        ("probabilistic_sharpe", "luck_sharpe", "deflated_sharpe", "track_record_sessions_min")
    )
    if ratio is not None and third is not None and fourth is not None:
        moments = {"skew": third, "kurtosis": fourth}
        count = returns.size
        told["probabilistic_sharpe"] = probabilistic_sharpe(
            sharpe=ratio, benchmark=0.0, sessions=count, **moments
        )
        told["track_record_sessions_min"] = track_record_sessions_min(sharpe=ratio, benchmark=0.0, **moments)
        if trials == 1 or deviation is not None:
            spread = deviation or 0.0
            luck = expected_max_sharpe(trials=trials, deviation=spread)
            told["luck_sharpe"] = luck * math.sqrt(SESSIONS_PER_YEAR)
            told["deflated_sharpe"] = deflated_sharpe(
                sharpe=ratio, sessions=count, trials=trials, deviation=spread, **moments
            )
    return Honesty(sessions=int(returns.size), trials=trials, intervals=intervals, **told)
