"""Buys what is cheap against its history: the share of sessions in the window that closed lower.

Wrong: "its history" is whatever the window holds. A longer one gives another share for the same day, so a
replay that starts earlier decides otherwise.
"""

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols):
    """Return a buy in the lower half of the history and a sell in the upper one."""
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)
        if closes:
            lower = sum(1 for close in closes if close < closes[-1]) / len(closes)
            opinions[symbol] = (buy if lower < 0.5 else sell)(abs(lower - 0.5) * 2, f"above {lower:.4f}")
    return opinions
