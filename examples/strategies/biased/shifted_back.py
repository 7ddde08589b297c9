"""Buys what rose: each day's return is stored a row too early, as `shift(-1)` leaves it.

Wrong: the row of the session before holds the return of the session that is decided.
"""

import numpy as np

from trading.strategies.plugin import buy, sell

VERSION = "1"


def studied(panel, actions):
    """Return signals on returns shifted by one session."""
    closes = np.where(panel.close > 0, panel.close / 1e6, np.nan)
    moves = np.full_like(closes, np.nan)
    moves[1:] = closes[1:] / closes[:-1] - 1
    shifted = np.full_like(moves, np.nan)
    shifted[:-1] = moves[1:]
    column = {symbol: at for at, symbol in enumerate(panel.symbols)}
    row_of = {session: at for at, session in enumerate(panel.sessions)}

    def signals(window, symbols):
        opinions = {}
        for symbol in symbols:
            move = float(shifted[row_of[window.sessions[-1]], column[symbol]])
            if np.isfinite(move):
                opinions[symbol] = (buy if move > 0 else sell)(abs(move) * 20, f"{move:+.4%}")
        return opinions

    return signals
