"""Buys what stands above its exponential average, which is seeded with the first close of the window.

Wrong: the seed still weighs (99/101)^129, about 8 %, after a window of 130 sessions. Another start of the
history gives another average for the same day; a span of 100 needs some 1,000 sessions.
"""

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, span=100):
    """Return a buy above the average and a sell below it."""
    weight = 2 / (span + 1)
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)
        average = closes[0] if closes else 0.0
        for close in closes[1:]:
            average += weight * (close - average)
        if average > 0:
            gap = closes[-1] / average - 1
            opinions[symbol] = (buy if gap > 0 else sell)(abs(gap) * 5, f"{gap:+.4%} from its average")
    return opinions
