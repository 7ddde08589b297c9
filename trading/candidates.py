"""Candidates: the symbols worth a look in a session, ranked, each score explained by its components.

Features are features.py; what a strategy wants of a candidate is strategies/ and council.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from trading.features import Features, Regime, clamped, features_of, rounded
from trading.quotes import Window
from trading.values import Symbol


class Chosen(StrEnum):
    """Say why a scanned symbol is a candidate, or why not."""

    SELECTED = "selected"
    BELOW_TOP = "below_top"
    RISK_TOO_HIGH = "risk_too_high"
    LOW_CONFIDENCE = "low_confidence"
    INSUFFICIENT_HISTORY = "insufficient_history"
    NO_QUOTE = "no_quote_in_last_session"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerRules:
    """Hold how symbols are scored. Weights are of components in [-1, 1]; the others have their own scale."""

    top: int
    history_sessions: int
    confidence_min: float
    risk_score_max: float
    trend_weight: float
    strength_weight: float
    activity_weight: float
    calm_weight: float
    open_order_penalty: float


class Candidate(NamedTuple):
    """Hold one scanned symbol. `rank` 1 is the best, 0 where it could not be ranked.

    `score` is the sum of the four components and the open-order penalty; `risk_score` and `confidence` in
    [0, 1]; `atr14` in currency units; `close_micros` the last close in today's shares.
    """

    session: date
    symbol: Symbol
    rank: int
    selected: bool
    reason: Chosen
    score: float
    risk_score: float
    confidence: float
    trend: float
    strength: float
    activity: float
    calm: float
    penalty: float
    rsi14: float
    ma20_gap: float
    atr14: float
    volume_spike20: float
    volatility20: float
    regime: str
    close_micros: int
    quoted_on: date | None


HIGH_VOLATILITY_FULL = 0.06
"""Daily volatility at which the risk score is 1 (about 95 % a year)."""
TREND_GAP_FULL = 0.10
ACTIVITY_FULL = 2.0
CALM_FULL = 0.05


def rank_candidates(
    window: Window, rules: ScannerRules, *, open_orders: Collection[Symbol] = ()
) -> tuple[Candidate, ...]:
    """Return one row per symbol of the window: ranked ones by rank, then the others by symbol.

    Ties in score go to the symbol that sorts first.
    """
    scanned = [_scanned(window, column, rules, open_orders) for column in range(len(window.symbols))]
    rankable = [row for row in scanned if row.reason in {Chosen.SELECTED, Chosen.BELOW_TOP}]
    rankable.sort(key=lambda row: (-row.score, row.symbol))
    ranked = [
        row._replace(rank=rank, selected=rank <= rules.top, reason=_by_rank(rank, rules.top))
        for rank, row in enumerate(rankable, start=1)
    ]
    others = sorted(
        (row for row in scanned if row.reason not in {Chosen.SELECTED, Chosen.BELOW_TOP}), key=_symbol
    )
    return (*ranked, *others)


def selected(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the rows that are candidates, by rank."""
    return tuple(sorted((row for row in candidates if row.selected), key=lambda row: row.rank))


def why_no_candidate(candidates: Iterable[Candidate]) -> str:
    """Return why nothing was selected, by count of reasons; empty where something was."""
    rows = list(candidates)
    if any(row.selected for row in rows):
        return ""
    if not rows:
        return "no symbol has a quote"
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.reason.value] = counts.get(row.reason.value, 0) + 1
    return ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: -item[1])
    )


def _by_rank(rank: int, top: int) -> Chosen:
    return Chosen.SELECTED if rank <= top else Chosen.BELOW_TOP


def _symbol(row: Candidate) -> Symbol:
    return row.symbol


def _scanned(window: Window, column: int, rules: ScannerRules, open_orders: Collection[Symbol]) -> Candidate:
    symbol = window.symbols[column]
    known = ~np.isnan(window.close[-rules.history_sessions :, column])
    features = features_of(
        highs=_known(window.high, column, rules, known),
        lows=_known(window.low, column, rules, known),
        closes=_known(window.close, column, rules, known),
        volumes=_known(window.volume, column, rules, known),
    )
    confidence = rounded(float(known.sum()) / rules.history_sessions)
    row = _row(window, column, confidence, Chosen.INSUFFICIENT_HISTORY)
    if window.quoted_on[column] != (window.sessions[-1] if window.sessions else None):
        return row._replace(reason=Chosen.NO_QUOTE)
    if features is None:
        return row
    scored = _scored(row, features, rules, penalised=symbol in open_orders)
    if scored.risk_score >= rules.risk_score_max:
        return scored._replace(reason=Chosen.RISK_TOO_HIGH)
    if confidence < rules.confidence_min:
        return scored._replace(reason=Chosen.LOW_CONFIDENCE)
    return scored._replace(reason=Chosen.BELOW_TOP)


def _known(field: np.ndarray, column: int, rules: ScannerRules, known: np.ndarray) -> list[float]:
    numbers: list[float] = field[-rules.history_sessions :, column][known].tolist()
    return numbers


def _row(window: Window, column: int, confidence: float, reason: Chosen) -> Candidate:
    return Candidate(
        session=window.session,
        symbol=window.symbols[column],
        rank=0,
        selected=False,
        reason=reason,
        score=0.0,
        risk_score=0.0,
        confidence=confidence,
        trend=0.0,
        strength=0.0,
        activity=0.0,
        calm=0.0,
        penalty=0.0,
        rsi14=0.0,
        ma20_gap=0.0,
        atr14=0.0,
        volume_spike20=0.0,
        volatility20=0.0,
        regime=Regime.RANGE.value,
        close_micros=int(window.close_micros[column]),
        quoted_on=window.quoted_on[column],
    )


def _scored(row: Candidate, features: Features, rules: ScannerRules, *, penalised: bool) -> Candidate:
    trend = rounded(rules.trend_weight * clamped(features.ma20_gap / TREND_GAP_FULL, -1, 1))
    strength = rounded(rules.strength_weight * clamped((features.rsi14 - 50) / 50, -1, 1))
    activity = rounded(rules.activity_weight * clamped((features.volume_spike20 - 1) / ACTIVITY_FULL, 0, 1))
    calm = rounded(rules.calm_weight * (1 - clamped(features.volatility20 / CALM_FULL, 0, 1)))
    penalty = rounded(-rules.open_order_penalty if penalised else 0.0)
    return row._replace(
        score=rounded(trend + strength + activity + calm + penalty),
        risk_score=rounded(clamped(features.volatility20 / HIGH_VOLATILITY_FULL, 0, 1)),
        trend=trend,
        strength=strength,
        activity=activity,
        calm=calm,
        penalty=penalty,
        rsi14=features.rsi14,
        ma20_gap=features.ma20_gap,
        atr14=features.atr14,
        volume_spike20=features.volume_spike20,
        volatility20=features.volatility20,
        regime=features.regime.value,
    )
