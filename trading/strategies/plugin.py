"""What a strategy is: a module beside this one with a `VERSION` and a function `signals`.

`signals(window, symbols, **parameters)` reads the window of earlier sessions and returns a `Signal` for
each symbol it has an opinion on. A strategy is switched on by one line in `config/strategies.toml`.
How several opinions become one is council.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import NamedTuple

import numpy as np

from trading.errors import BadSetting
from trading.features import clamped, rounded
from trading.quotes import Window
from trading.values import Symbol, digest, digest_of_text


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
    """Hold one configured strategy: its function, version, parameters, and weight in the council.

    `asked` is what a person named in place of its configured parameters, e.g. `momentum:lookback=60`, so that
    an error blames that and no file; empty where nobody did. `file_sha` is the digest of the file that it was
    loaded from, and of those beside it that it imports, empty of none: an edit under the same version has
    another one (trials.py). `place` is its file where that is another than `file_of` tells.
    """

    name: str
    version: str
    weight: float
    parameters: tuple[tuple[str, Parameter], ...]
    signals: Signals
    asked: str = field(default="", compare=False)
    file_sha: str = field(default="", compare=False, repr=False)
    place: str = field(default="", compare=False, repr=False)

    def opinions(self, window: Window, symbols: Sequence[Symbol]) -> Mapping[Symbol, Signal]:
        """Return the strategy's signals over a window, confidences held to [0, 1] and rounded to 1e-9.

        Raises `BadSetting` naming the strategy where it raises, or returns anything but signals.
        """
        try:
            given = self.signals(window, symbols, **dict(self.parameters))
        except Exception as error:
            raise BadSetting(
                f"strategy {self.name!r}: {self._file()} raised {type(error).__name__} before the "
                f"session of {window.session}: {error}; {self._cure()}"
            ) from error
        if not isinstance(given, Mapping):
            raise BadSetting(
                f"strategy {self.name!r}: {self._file()} returned {given!r}: "
                "it must return a mapping of symbols to Signal"
            )
        for symbol, signal in given.items():
            broken = _broken_rule(symbol, signal, window)
            if broken:
                raise BadSetting(
                    f"strategy {self.name!r}, {symbol}: {broken}; "
                    f"{self._cure() if ':' in self.asked else f'see {self._file()}'}"
                )
        return {
            symbol: signal._replace(confidence=rounded(clamped(float(signal.confidence), 0, 1)))
            for symbol, signal in given.items()
        }

    def _file(self) -> str:
        return self.place or file_of(self.name)

    def _cure(self) -> str:
        if ":" in self.asked:
            return f"it was asked for as {self.asked!r}: give another value there"
        if self.asked:
            return "correct it, or name another"
        return "correct it, or remove its line from config/strategies.toml"


def load_strategy(
    name: str,
    *,
    weight: float,
    parameters: Mapping[str, Parameter],
    asked: str = "",
    usual: Mapping[str, Parameter] | None = None,
) -> Strategy:
    """Return the strategy in `trading/strategies/<name>.py`; `asked` as a `Strategy` has it.

    `usual` are values of its parameters that are known to be of the right kind, as the configured ones.
    Raises `BadSetting` where there is no such file, it cannot be read, it lacks `VERSION` (a text) or
    `signals` (a function), or that function does not take the parameters.
    """
    module = _module(name, asked=asked)
    version = getattr(module, "VERSION", None)
    if not isinstance(version, str):
        raise BadSetting(f'strategy {name!r}: {file_of(name)} defines no VERSION, a text such as "1"')
    signals = getattr(module, "signals", None)
    if not callable(signals):
        raise BadSetting(f"strategy {name!r}: {file_of(name)} defines no function signals")
    if misfit := misfit_of(signals, parameters, usual=usual or {}):
        place = f"of {asked!r}" if asked else "in config/strategies.toml"
        raise BadSetting(
            f"strategy {name!r}: parameters {dict(parameters)} {place} do not fit {file_of(name)}: {misfit}"
        )
    return Strategy(
        name=name,
        version=version,
        weight=weight,
        parameters=tuple(sorted(parameters.items())),
        signals=signals,
        asked=asked,
        file_sha=_file_sha(module),
    )


def misfit_of(
    signals: Signals, parameters: Mapping[str, Parameter], *, usual: Mapping[str, Parameter]
) -> str:
    """Return why a strategy's function cannot be called with parameters; empty where it can.

    It has to take each by name, and each has to be of the kind of its default, or else of its usual value: a
    text where a number is reckoned with would be found out in the middle of a replay.
    """
    signature = inspect.signature(signals)
    try:
        signature.bind("window", "symbols", **parameters)
    except TypeError as error:
        return str(error)
    defaults = {
        name: each.default for name, each in signature.parameters.items() if each.default is not each.empty
    }
    known = {**usual, **defaults}
    for name, value in parameters.items():
        if name in known and (kind := _kind_missed(value, known[name])):
            return f"{name}={value!r} must be {kind}, as {known[name]!r} is"
    return ""


def file_of(name: str) -> str:
    """Return the file that a strategy stands in, as a person would look for it."""
    return f"trading/strategies/{name}.py"


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


def _module(name: str, *, asked: str) -> ModuleType:
    module = f"trading.strategies.{name}"
    try:
        return importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            mend = (
                "add it, or name another"
                if asked
                else "add it or remove the line from config/strategies.toml"
            )
            raise BadSetting(f"strategy {name!r}: no file {file_of(name)}; {mend}") from error
        raise BadSetting(
            f"strategy {name!r}: {file_of(name)} cannot be read: {type(error).__name__}: {error}"
        ) from error


def _kind_missed(value: Parameter, known: Parameter) -> str:
    """Return what kind a value should be of and is not; empty where it is, or any is right."""
    is_truth = isinstance(value, bool)
    if isinstance(known, bool):
        return "" if is_truth else "true or false"
    if isinstance(known, int):
        return "" if isinstance(value, int) and not is_truth else "a whole number"
    if isinstance(known, float):
        return "" if isinstance(value, int | float) and not is_truth else "a number"
    return ""


@lru_cache
def _file_sha(module: ModuleType) -> str:
    """Return the digest of the source that a module was imported from, asked for once a module.

    Where it imports others from beside it, it is of all of them: what decides may stand in any.
    """
    sources, waiting = {module.__name__: inspect.getsource(module)}, [module.__name__]
    while waiting:
        for name in _imported_beside(sources[waiting.pop()]):
            if name not in sources:
                sources[name] = inspect.getsource(importlib.import_module(name))
                waiting.append(name)
    own = sources.pop(module.__name__)
    return digest([own, sources]) if sources else digest_of_text(own)


def _imported_beside(source: str) -> Iterator[str]:
    """Yield the modules beside this one that a source imports, in whatever way it writes it."""
    package = __name__.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        told: list[str] = []
        if isinstance(node, ast.Import):
            told = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            where = ".".join(filter(None, (package if node.level == 1 else "", node.module)))
            told = [where, *(f"{where}.{each.name}" for each in node.names)]
        for name in told:
            if name.rpartition(".")[0] == package and name != __name__ and find_spec(name) is not None:
                yield name


def _broken_rule(symbol: object, signal: object, window: Window) -> str:
    """Return which rule an opinion breaks, with the value; empty where it breaks none."""
    if symbol not in window.symbols:
        return f"{symbol!r} is no symbol of the window"
    if not isinstance(signal, Signal):
        return f"{signal!r} is no Signal; make one by buy() or sell()"
    if not isinstance(signal.direction, int) or signal.direction not in {-1, 0, 1}:
        return f"direction {signal.direction!r} must be 1, 0 or -1"
    if not isinstance(signal.confidence, int | float) or not math.isfinite(signal.confidence):
        return f"confidence {signal.confidence!r} must be a finite number"
    return ""
