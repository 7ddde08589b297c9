"""What a book is compared with: the levels of a total-return index, and the kind of market it was in.

Made of the same quotes and actions as a replay, so that both see the same dividends and splits.
What is measured beside it is performance.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from trading.actions import ActionKind, CorporateAction
from trading.features import SESSIONS_NEEDED, Regime, features_of
from trading.performance import Floats, Sessions
from trading.quotes import Panel, split_price
from trading.values import Symbol

EQUAL_WEIGHT = "equal weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Hold an index: its level at the close of each of its sessions, ascending; only ratios of levels count.

    `levels` is float64 of shape (sessions,), positive. Raises `ValueError` for anything else.
    """

    name: str
    sessions: Sessions
    levels: Floats

    def __post_init__(self) -> None:
        """Refuse what is no index."""
        ascends = bool((np.diff(self.sessions).astype(np.int64) > 0).all())
        if not self.sessions.size or self.sessions.shape != self.levels.shape or not ascends:
            raise ValueError(f"benchmark {self.name}: one level for each session, ascending")
        if not (np.isfinite(self.levels) & (self.levels > 0)).all():
            raise ValueError(f"benchmark {self.name}: levels must be positive numbers")

    def returns_in(self, sessions: Sessions) -> Floats:
        """Return its return in each session since its close before, NaN where one of the two is not known."""
        rows = self._rows(sessions)
        returns = np.full(sessions.size, np.nan)
        known = rows > 0
        returns[known] = self.levels[rows[known]] / self.levels[rows[known] - 1] - 1.0
        return returns

    def regimes_before(self, sessions: Sessions) -> tuple[Regime | None, ...]:
        """Return the regime that was known before each session, `None` with under 21 levels before it."""
        first_rows = np.searchsorted(self.sessions, sessions, side="left")
        return tuple(self._regime(int(row)) for row in first_rows)

    def _regime(self, row: int) -> Regime | None:
        closes = self.levels[max(row - SESSIONS_NEEDED, 0) : row].tolist()
        found = features_of(highs=closes, lows=closes, closes=closes, volumes=[1.0] * len(closes))
        return found.regime if found else None

    def _rows(self, sessions: Sessions) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the row of each session, −1 for one it does not have."""
        rows = np.searchsorted(self.sessions, sessions)
        inside = np.minimum(rows, self.sessions.size - 1)
        return np.where(self.sessions[inside] == sessions, inside, -1).astype(np.int64)


def benchmark_of(
    panel: Panel, actions: Iterable[CorporateAction], *, symbol: Symbol | None = None
) -> Benchmark:
    """Return a panel's index of total returns: of one symbol, or of all of them at equal weights.

    Equal weights are restored each session over the symbols that it quotes and that were quoted before; a
    symbol's whole move since its last quote counts in the session that quotes it again. One that is delisted
    moves to what is paid for it in that session, 0 where nothing is, so that the index holds no survivors
    alone; it ends before a session in which all of it is lost. It costs nothing to trade, which no book can
    say. Raises `ValueError` for a symbol without a quote, or a panel without any.
    """
    actions = tuple(actions)
    closes, quoted = _total_return_closes(panel, actions)
    name = symbol or EQUAL_WEIGHT
    columns = [index for index, each in enumerate(quoted) if symbol in {None, each}]
    if not columns:
        raise ValueError(f"benchmark {name}: the panel has no quote of it")
    paid = _paid_shares(panel, actions, quoted)[:, columns]
    chosen = closes[:, columns]
    first = int(np.flatnonzero(np.isfinite(chosen).any(axis=1))[0])
    returns = _mean_returns(chosen[first:], paid[first:])
    levels = np.cumprod(np.concatenate([np.ones(1), 1.0 + returns]))
    worth = levels > 0
    return Benchmark(
        name=name,
        sessions=np.array(panel.sessions[first:], dtype="datetime64[D]")[worth],
        levels=levels[worth],
    )


def _total_return_closes(panel: Panel, actions: Iterable[CorporateAction]) -> tuple[Floats, Sequence[Symbol]]:
    """Return closes whose ratios are total returns, NaN where there is no quote, and their symbols."""
    after = panel.sessions[-1] + timedelta(days=1)
    window = panel.window_before(after, len(panel.sessions), actions=actions)
    return window.close, window.symbols


def _paid_shares(panel: Panel, actions: Iterable[CorporateAction], symbols: Sequence[Symbol]) -> Floats:
    """Return what a delisting pays as a share of the last close before it, NaN where nothing is delisted."""
    paid = np.full((len(panel.sessions), len(symbols)), np.nan)
    splits = [action for action in actions if action.kind is ActionKind.SPLIT]
    for action in actions:
        row = bisect_left(panel.sessions, action.effective_on)
        if action.kind is not ActionKind.DELISTING or action.symbol not in symbols or row == len(paid):
            continue
        bars = panel.close[:row, panel.symbols.index(action.symbol)]
        quoted = np.flatnonzero(bars)
        if not quoted.size:
            continue
        last = int(bars[quoted[-1]])
        for split in splits:
            since = panel.sessions[quoted[-1]] < split.effective_on <= action.effective_on
            if since and split.symbol == action.symbol:
                last = split_price(last, split.numerator, split.denominator)
        paid[row, symbols.index(action.symbol)] = action.dividend_micros / last
    return paid


def _mean_returns(closes: Floats, paid: Floats) -> Floats:
    """Return the mean move of each session after the first, over what it quotes again or delists; else 0."""
    last = closes[0].copy()
    returns = np.zeros(len(closes) - 1)
    for row, (now, delisted) in enumerate(zip(closes[1:], paid[1:], strict=True)):
        gone = np.isfinite(delisted) & np.isfinite(last)
        moved = np.isfinite(now) & np.isfinite(last) & ~gone
        moves = np.concatenate([now[moved] / last[moved], delisted[gone]]) - 1.0
        if moves.size:
            returns[row] = float(np.mean(moves))
        # What is quoted under the symbol of what is gone is another name, and has not moved yet.
        last = np.where(np.isfinite(now), now, np.where(gone, np.nan, last))
    return returns
