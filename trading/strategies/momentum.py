"""Momentum: what rose over half a year, the last week left out, goes on rising (Jegadeesh and Titman)."""

from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, lookback, skip, full):
    """Return a buy for a rise and a sell for a fall, sure of it at a move of `full` (a ratio)."""
    if not (0 <= skip < lookback and full > 0):
        raise ValueError(
            f"skip {skip} of lookback {lookback}, full {full}: needs 0 <= skip < lookback, full > 0"
        )
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)
        if len(closes) > lookback:
            move = closes[-1 - skip] / closes[-1 - lookback] - 1
            say = buy if move > 0 else sell
            opinions[symbol] = say(abs(move) / full, f"{move:+.1%} over {lookback} sessions")
    return opinions
