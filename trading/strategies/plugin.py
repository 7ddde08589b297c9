"""What a strategy is: a module beside this one with a `VERSION` and a function `signals`.

`signals(window, symbols, **parameters)` reads the window of earlier sessions and returns a `Signal` for
each symbol it has an opinion on. A strategy is switched on by one line in `config/strategies.toml`.
How several opinions become one is council.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trading.errors import BadSetting
from trading.features import clamped, rounded
from trading.quotes import Window
from trading.values import Symbol


class Signal(NamedTuple):
    """Hold one strategy's opinion of one symbol.

    `direction` is +1 to buy, 0 to hold, −1 to sell; `confidence` is in [0, 1].
    """

    direction: int
    confidence: float
    why: str


Parameter = int | float | str | bool
Signals = Callable[..., Mapping[Symbol, Signal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Hold one configured strategy: its function, version, parameters, and weight in the council."""

    name: str
    version: str
    weight: float
    parameters: tuple[tuple[str, Parameter], ...]
    signals: Signals

    def opinions(self, window: Window, symbols: Sequence[Symbol]) -> Mapping[Symbol, Signal]:
        """Return the strategy's signals over a window, confidences held to [0, 1] and rounded to 1e-9."""
        given = self.signals(window, symbols, **dict(self.parameters))
        return {
            symbol: signal._replace(confidence=rounded(clamped(signal.confidence, 0, 1)))
            for symbol, signal in given.items()
        }


def load_strategy(name: str, *, weight: float, parameters: Mapping[str, Parameter]) -> Strategy:
    """Return the strategy in `trading/strategies/<name>.py`.

    Raises `BadSetting` where there is no such file, or it lacks `VERSION` or `signals`.
    """
    try:
        module = importlib.import_module(f"trading.strategies.{name}")
    except ModuleNotFoundError as error:
        raise BadSetting(
            f"strategy {name!r}: no file trading/strategies/{name}.py; "
            "add it or remove the line from config/strategies.toml"
        ) from error
    for needed in ("VERSION", "signals"):
        if not hasattr(module, needed):
            raise BadSetting(f"strategy {name!r}: trading/strategies/{name}.py defines no {needed}")
    return Strategy(
        name=name,
        version=module.VERSION,
        weight=weight,
        parameters=tuple(sorted(parameters.items())),
        signals=module.signals,
    )


def closes_of(window: Window, symbol: Symbol) -> list[float]:
    """Return a symbol's adjusted closes, oldest first, sessions without a quote left out."""
    column = window.close[:, window.column(symbol)]
    closes: list[float] = column[~np.isnan(column)].tolist()
    return closes


def buy(confidence: float, why: str) -> Signal:
    """Return an opinion to buy."""
    return Signal(1, confidence, why)


def sell(confidence: float, why: str) -> Signal:
    """Return an opinion to sell."""
    return Signal(-1, confidence, why)
