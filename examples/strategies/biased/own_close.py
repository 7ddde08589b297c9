"""Buys what closes above its open: the session's own close, read from a panel that was kept.

Wrong: the close is known when the session is over, and the order goes out at its open.
"""

from trading.strategies.plugin import buy, sell

VERSION = "1"


def studied(panel, actions):
    """Return signals that look at the session's own row."""

    def signals(window, symbols):
        if window.session not in panel.sessions:
            return {}
        row = panel.sessions.index(window.session)
        rises = panel.close[row] > panel.open[row]
        column = {symbol: at for at, symbol in enumerate(panel.symbols)}
        return {symbol: (buy if rises[column[symbol]] else sell)(0.9, "its close") for symbol in symbols}

    return signals
