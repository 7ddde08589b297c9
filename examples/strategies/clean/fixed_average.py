"""Buys what stands above its exponential average, over the last 60 closes whatever the window holds.

Clean: the same average as in `biased/seeded_average.py` but cut where the rule says, not where data begins.
"""

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, span=20, sessions=60):
    """Return a buy above the average and a sell below it."""
    weight = 2 / (span + 1)
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)[-sessions:]
        if len(closes) == sessions:
            average = closes[0]
            for close in closes[1:]:
                average += weight * (close - average)
            gap = closes[-1] / average - 1
            opinions[symbol] = (buy if gap > 0 else sell)(abs(gap) * 5, f"{gap:+.2%} from its average")
    return opinions
