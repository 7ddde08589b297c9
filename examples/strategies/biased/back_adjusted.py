"""Buys cheap shares: cheap by prices that were adjusted backwards for every split there ever was.

Wrong: a price of 40 that will split 2 for 1 in two years looks like 20 already, so the rule knows of it.
"""

from trading.actions import ActionKind
from trading.strategies.plugin import buy, sell

VERSION = "1"
CHEAP = 60.0


def studied(panel, actions):
    """Return signals on prices in the shares that there are at the end of all data."""

    def signals(window, symbols):
        opinions = {}
        for symbol in symbols:
            price = float(window.close_micros[window.column(symbol)]) / 1e6
            for action in actions:
                is_later = action.effective_on > window.session
                if is_later and action.symbol == symbol and action.kind is ActionKind.SPLIT:
                    price *= action.denominator / action.numerator
            if price > 0:
                say = buy if price < CHEAP else sell
                opinions[symbol] = say(abs(price - CHEAP) / CHEAP, f"{price:.2f} a share")
        return opinions

    return signals
