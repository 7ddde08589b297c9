"""Buys what rose since it was asked last: the closes of the last call are kept between calls.

Wrong: what it says depends on which session was decided before, in which process. A rerun of one session, or
a replay that starts elsewhere, says something else.
"""

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"
SEEN = {}


def signals(window, symbols):
    """Return a buy for a rise since the last call, and a sell for a fall."""
    opinions = {}
    for symbol in symbols:
        close = closes_of(window, symbol)[-1]
        move = close / SEEN.get(symbol, close) - 1
        opinions[symbol] = (buy if move > 0 else sell)(abs(move) * 10, f"{move:+.4%} since it was asked")
        SEEN[symbol] = close
    return opinions
