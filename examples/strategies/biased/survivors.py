"""Buys names that will still be traded: the list of symbols is the one at the end of the data.

Wrong: who chose the list knew which names would last (survivorship).
"""

from trading.strategies.plugin import buy

VERSION = "1"


def studied(panel, actions):
    """Return signals for the symbols quoted in the last session of all."""
    lasting = {
        symbol for symbol, close in zip(panel.symbols, panel.close[-1].tolist(), strict=True) if close > 0
    }

    def signals(window, symbols):
        return {symbol: buy(0.6, "it lasts") for symbol in symbols if symbol in lasting}

    return signals
