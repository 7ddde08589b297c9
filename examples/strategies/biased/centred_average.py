"""Buys what closed under its smoothed price: the average is centred, so half of it lies ahead.

Wrong: a centred window smooths without delay because it reads the next five sessions.
"""

import numpy as np

from trading.strategies.plugin import buy, sell

VERSION = "1"
HALF = 5


def studied(panel, actions):
    """Return signals on averages over five sessions before and five after each."""
    closes = panel.close / 1e6
    rows = len(closes)
    centred = np.array([closes[max(0, at - HALF) : at + HALF + 1].mean(axis=0) for at in range(rows)])
    column = {symbol: at for at, symbol in enumerate(panel.symbols)}
    row_of = {session: at for at, session in enumerate(panel.sessions)}

    def signals(window, symbols):
        row = row_of[window.sessions[-1]]
        opinions = {}
        for symbol in symbols:
            close, average = closes[row, column[symbol]], centred[row, column[symbol]]
            if close > 0 and average > 0:
                gap = float(close / average - 1)
                opinions[symbol] = (buy if gap < 0 else sell)(abs(gap) * 10, f"{gap:+.4%}")
        return opinions

    return signals
