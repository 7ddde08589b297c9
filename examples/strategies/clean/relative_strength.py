"""Buys on a weak relative strength index and sells on a strong one: Cutler's form, over a fixed length.

Clean: simple averages of the last 14 changes; nothing before them counts.
"""

from trading.features import relative_strength
from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, sessions=14):
    """Return a buy under 50 and a sell over it."""
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)[-sessions - 1 :]
        if len(closes) == sessions + 1:
            index = relative_strength(closes)
            opinions[symbol] = (buy if index < 50 else sell)(abs(index - 50) / 50, f"strength {index:.2f}")
    return opinions
