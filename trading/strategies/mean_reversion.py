"""Mean reversion: what is stretched above its mean is sold, what is not stretched may be bought."""

from trading.features import mean, standard_deviation
from trading.strategies.plugin import buy, closes_of, sell

VERSION = "1"


def signals(window, symbols, *, sessions, calm, stretched):
    """Return a buy under `calm` and a sell over `stretched` standard deviations from the mean."""
    opinions = {}
    for symbol in symbols:
        closes = closes_of(window, symbol)[-sessions:]
        spread = standard_deviation(closes) if len(closes) == sessions else 0.0
        if spread > 0:
            distance = (closes[-1] - mean(closes)) / spread
            if distance < calm:
                opinions[symbol] = buy(
                    0.5 + (calm - distance) / 4, f"{distance:+.2f} deviations from the mean"
                )
            elif distance > stretched:
                opinions[symbol] = sell(distance / 4, f"{distance:+.2f} deviations from the mean")
    return opinions
