"""Strategies from files by path, to try the detectors on: plug-ins, and studies that cannot be traded.

The council's own are loaded by name (trading/strategies/plugin.py); what is done with these is
trading/lookahead.py.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, ModuleType

from trading.errors import BadSetting
from trading.lookahead import Known, Suspect
from trading.strategies.plugin import Parameter, Signals, Strategy, misfit_of


def suspect_in(
    path: Path, *, parameters: Mapping[str, Parameter] | None = None, asked: str | None = None
) -> Suspect:
    """Return the strategy in a file, named like it. The file is run anew each time the strategy is made.

    So nothing is left of what it was asked before. `parameters` are what its `signals`, or what `studied`
    returns, is called with; `asked` is what a person named, the path where not given. Raises `BadSetting`
    where the file cannot be read or run, lacks `VERSION` (a text) or one of the functions `signals` and
    `studied`, or does not take the parameters.
    """
    code = _compiled(path)
    module = _run(path, code)
    if not isinstance(getattr(module, "VERSION", None), str):
        raise BadSetting(f'strategy {path}: defines no VERSION, a text such as "1"')
    if not callable(getattr(module, "signals", None)) and not callable(getattr(module, "studied", None)):
        raise BadSetting(f"strategy {path}: defines neither of the functions signals and studied")
    given = dict(sorted((parameters or {}).items()))
    if getattr(module, "studied", None) is None:
        _require_fit(path, module.signals, given)

    def made(known: Known) -> Strategy:
        module = _run(path, code)
        study = getattr(module, "studied", None)
        signals = module.signals if study is None else study(known.panel, known.actions)
        if study is not None:
            _require_fit(path, signals, given)
        return Strategy(
            name=path.stem,
            version=module.VERSION,
            weight=1.0,
            parameters=tuple(given.items()),
            signals=signals,
            asked=str(path) if asked is None else asked,
            place=str(path),
        )

    return Suspect(name=path.stem, made=made)


def suspect_of(strategy: Strategy) -> Suspect:
    """Return a configured strategy from its file, with its parameters: see `suspect_in`."""
    path = Path(inspect.getfile(strategy.signals))
    return suspect_in(path, parameters=dict(strategy.parameters), asked=strategy.asked)


def _require_fit(path: Path, signals: Signals, parameters: Mapping[str, Parameter]) -> None:
    if misfit := misfit_of(signals, parameters, usual={}):
        raise BadSetting(f"strategy {path}: parameters {dict(parameters)} do not fit it: {misfit}")


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec")
    except (OSError, SyntaxError, ValueError) as error:
        raise BadSetting(f"strategy {path}: cannot be read: {type(error).__name__}: {error}") from error


def _run(path: Path, code: CodeType) -> ModuleType:
    module = ModuleType(f"suspect_{path.stem}")
    module.__file__ = str(path)
    # A dataclass asks by its module's name for what its annotations mean, while it is made.
    sys.modules[module.__name__] = module
    try:
        exec(code, vars(module))  # noqa: S102 - the file that a person names is the strategy to be tried
    except Exception as error:
        raise BadSetting(f"strategy {path}: cannot be run: {type(error).__name__}: {error}") from error
    finally:
        del sys.modules[module.__name__]
    return module
