"""Buys while the short average stands above the long one: simple averages of 20 and 50 closes.

Clean: silent until there are 50 closes, and nothing before them counts.
"""

from trading.features import mean
from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, short=20, long=50):
    """Return a buy above the cross and a sell below it."""
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)[-long:]
        if len(closes) == long:
            gap = mean(closes[-short:]) / mean(closes) - 1
            opinions[symbol] = (buy if gap > 0 else sell)(abs(gap) * 10, f"{gap:+.2%} between averages")
    return opinions
