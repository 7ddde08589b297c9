"""Buys by a forecast: next day's return on the return of the week, fitted once on every session there is.

Wrong: the slope was learnt from sessions after the one that it decides; a fit has to end before it is used.
"""

import numpy as np

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"
WEEK = 5


def studied(panel, actions):
    """Return signals of a line fitted beforehand, one for all symbols."""
    closes = np.where(panel.close > 0, panel.close / 1e6, np.nan)
    week = closes[WEEK:-1] / closes[: -WEEK - 1] - 1
    after = closes[WEEK + 1 :] / closes[WEEK:-1] - 1
    both = np.isfinite(week) & np.isfinite(after)
    slope, constant = np.polyfit(week[both], after[both], 1)

    def signals(window, symbols):
        opinions = {}
        for symbol in symbols:
            past = closes_of(window, symbol)
            if len(past) > WEEK:
                forecast = float(constant + slope * (past[-1] / past[-1 - WEEK] - 1))
                opinions[symbol] = (buy if forecast > 0 else sell)(abs(forecast) * 100, "forecast")
        return opinions

    return signals
