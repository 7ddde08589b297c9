"""Buys on a weak relative strength index in Wilder's form, whose averages begin with the window.

Wrong: the averages are carried on from the first 14 sessions of whatever window there is; with fewer sessions
before it, the same day has another index. Fourteen is the length of the average, not of the warm-up.
"""

from itertools import pairwise

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, sessions=14):
    """Return a buy under 50 and a sell over it."""
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)
        if len(closes) <= sessions:
            continue
        changes = [after - before for before, after in pairwise(closes)]
        up = sum(max(change, 0.0) for change in changes[:sessions]) / sessions
        down = sum(max(-change, 0.0) for change in changes[:sessions]) / sessions
        for change in changes[sessions:]:
            up += (max(change, 0.0) - up) / sessions
            down += (max(-change, 0.0) - down) / sessions
        if up + down > 0:
            index = 100 * up / (up + down)
            opinions[symbol] = (buy if index < 50 else sell)(abs(index - 50) / 50, f"strength {index:.4f}")
    return opinions
