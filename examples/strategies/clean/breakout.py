"""Buys a close above all closes of the 55 sessions before it, sells one below them.

Clean: silent until there are 56 closes, and nothing before them counts.
"""

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, sessions=55):
    """Return a buy on a new high and a sell on a new low."""
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)[-sessions - 1 :]
        if len(closes) == sessions + 1:
            *before, last = closes
            if last > max(before):
                opinions[symbol] = buy(0.7, f"above {sessions} sessions")
            elif last < min(before):
                opinions[symbol] = sell(0.7, f"below {sessions} sessions")
    return opinions
