"""Breaks ties by a drawn number, without a seed.

Wrong: the same session says something else each time, so nothing that was decided can be shown again.
"""

import numpy as np

from trading.strategies.plugin import buy

VERSION = "1"


def signals(window, symbols):
    """Return a buy of everything, as sure as chance has it."""
    drawn = np.random.default_rng()
    return {symbol: buy(0.5 + drawn.random() / 2, "drawn") for symbol in symbols}
