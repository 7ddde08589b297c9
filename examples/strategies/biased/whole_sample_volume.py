"""Buys on a busy day: the last volume over the largest volume there ever is.

Wrong: the busiest day of all may be years ahead, and every earlier score shrinks by it.
"""

from trading.strategies.plugin import buy

VERSION = "1"


def studied(panel, actions):
    """Return signals on volumes scaled beforehand."""
    largest = dict(zip(panel.symbols, panel.volume.max(axis=0, initial=1).tolist(), strict=True))

    def signals(window, symbols):
        opinions = {}
        for symbol in symbols:
            volume = float(window.volume[-1, window.column(symbol)])
            if volume > 0:
                opinions[symbol] = buy(volume / largest[symbol], "busy")
        return opinions

    return signals
