"""Rules compiled: the functions of trading/guards.py and trading/risk.py as they stand, made to run fast.

The rules carry no decorator and know nothing of Numba; who is content with plain Python does not import it.
Numba's own cache does not notice a rule that changed in another file, so machine code is kept in a folder
named by the digest of every file under trading/ and the versions of Numba, NumPy and Python.
"""

from __future__ import annotations

import ast
import dis
import importlib
import inspect
import platform
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
from numba.core.registry import CPUDispatcher
from numba.core.types import unliteral

from resources.craft import sources_sha
from trading import guards

REVIEW = """\
def review(case):
    return ({calls},)
"""
"""What Numba can read of `guards.review`, whose loop over functions it cannot."""

TALLY = """\
def tally(case, refusals):
    passed, largest, refused = 0, NO_LIMIT, 0
{asks}
    return Tally(passed, largest, refused)
"""
ASKED = """\
    why = {name}(case)
    largest = min(largest, why.largest)
    if why.code == PASS:
        passed |= {bit}
    else:
        refusals[refused, 0] = {place}
        refusals[refused, 1] = why.code
        refusals[refused, 2] = why.observed
        refusals[refused, 3] = why.limit
        refusals[refused, 4] = why.largest
        refused += 1
"""
"""The same of `guards.tally`, a part for each guard."""

ALONE: dict[str, Any] = {"nopython": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""How a rule is compiled that only compiled ones call: taking values from Python is most of compiling."""


class Alone(CPUDispatcher):
    """Compile a rule that only compiled ones call, once for values of the same types.

    Numba takes each constant for a type of its own, also the one that a variable merely begins with, and
    compiled the longest functions of the replay kernel a second time for a call that nobody makes.
    """

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return how a call is typed: by what its values are, whether or not they are constants."""
        kind_of: Callable[[Any], Any] = unliteral
        kinds = {name: kind_of(kind) for name, kind in kws.items()}
        return super().get_call_template([kind_of(kind) for kind in args], kinds)


@dataclass(slots=True)
class CompiledRules:
    """Hold rules compiled for this process, their machine code under `folder`.

    A function is compiled when it is first called with values of new types, or read from the folder where
    an earlier process did so.
    """

    folder: Path
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict)
    _inner: dict[Callable[..., Any], Any] = field(default_factory=dict)

    def compiled(self, rule: Callable[..., Any]) -> Any:
        """Return a rule compiled, with every plain function that it calls by name.

        `guards.review` and `guards.tally` become the same calls written out.
        """
        if rule not in self._made:
            self._made[rule] = self._kept(self._readable(rule))
        return self._made[rule]

    def bound(self, rule: Callable[..., Any], **given: Callable[..., Any]) -> Any:
        """Return a rule compiled that takes functions, with those it is given in their places.

        A function that is handed over has an address, which no other process knows; one called by name has
        none. So the rule is written out anew without these arguments, and knows the functions by their
        names. Its machine code is kept under theirs, and the folder's digest has to cover where they stand.
        """
        tree = ast.parse(textwrap.dedent(inspect.getsource(rule)))
        written = cast("ast.FunctionDef", tree.body[0])
        written.args.args = [each for each in written.args.args if each.arg not in given]
        written.returns = None
        for each in written.args.args:
            each.annotation = None
        title = "_".join([rule.__name__, *(f"{one.__module__}.{one.__qualname__}" for one in given.values())])
        known = {**rule.__globals__, **given}
        return self._kept(self._written(title, rule.__name__, ast.unparse(tree) + "\n", known))

    def _kept(self, plain: types.FunctionType) -> Any:
        """Return what Python calls: the machine code of a rule and all within it, kept in the folder."""
        _make_ready()
        numba.config.CACHE_DIR = str(self.folder)  # type: ignore[attr-defined]  # made at import
        return numba.njit(cache=True)(self._resolved(plain))

    def _compiled_alone(self, rule: Callable[..., Any]) -> Any:
        if rule not in self._inner:
            self._inner[rule] = Alone(self._resolved(self._readable(rule)), targetoptions=ALONE)
        return self._inner[rule]

    def _readable(self, rule: Callable[..., Any]) -> types.FunctionType:
        """Return a rule as Numba can read it."""
        if rule is guards.review:
            text = REVIEW.format(calls=", ".join(f"{name}(case)" for name, _ in guards.GUARDS))
        elif rule is guards.tally:
            asks = "".join(
                ASKED.format(name=name, place=place, bit=1 << place)
                for place, (name, _) in enumerate(guards.GUARDS)
            )
            text = TALLY.format(asks=asks)
        else:
            return cast("types.FunctionType", rule)
        known = {"PASS": guards.PASS, "NO_LIMIT": guards.NO_LIMIT, "Tally": guards.Tally}
        return self._written(rule.__name__, rule.__name__, text, {**known, **dict(guards.GUARDS)})

    def _resolved(self, plain: types.FunctionType) -> types.FunctionType:
        """Return a function that calls compiled ones where it called plain ones."""
        known = {
            name: self._compiled_alone(value) if isinstance(value, types.FunctionType) else value
            for name, value in _globals_of(plain).items()
        }
        bare = types.FunctionType(plain.__code__, known, plain.__name__, plain.__defaults__)
        bare.__qualname__, bare.__module__ = plain.__qualname__, plain.__module__
        return bare

    def _written(self, title: str, name: str, text: str, known: dict[str, Any]) -> types.FunctionType:
        """Return a function of a text in a file, beside which Numba keeps machine code."""
        path = self.folder / f"{title}.py"
        self.folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
        known = {"__name__": guards.__name__, **known}
        exec(compile(text, str(path), "exec"), known)  # noqa: S102 - our own words and the rules' names
        made: types.FunctionType = known[name]
        return made


def compiled_rules(root: Path, *others: Path) -> CompiledRules:
    """Return the rules compiled, their machine code kept under `root` in a folder of these sources' own.

    `others` are files outside trading/ that functions to compile stand in.
    """
    return CompiledRules(root / sources_digest(*others))


def sources_digest(*others: Path) -> str:
    """Return the digest of every file under trading/, of others, and of what makes machine code of them."""
    return sources_sha(f"{numba.__version__} {np.__version__} {platform.python_version()}", *others)[:32]


@lru_cache(maxsize=1)
def _make_ready() -> None:
    """Let Numba begin without SciPy, which it would import to see whether it could multiply matrices.

    No rule does, and that import alone takes longer than a replay of twenty symbols.
    """
    from numba.np import linalg  # noqa: PLC0415 - of Numba's inside, so only where rules are compiled

    asked = linalg.ensure_blas
    linalg.ensure_blas = _no_blas
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = asked


def _no_blas() -> None:
    raise ImportError("rules multiply no matrices")


def _globals_of(rule: Callable[..., Any]) -> dict[str, Any]:
    """Return the globals that a function reads: not the attributes that happen to have a global's name."""
    read = {each.argval for each in dis.get_instructions(rule) if each.opname == "LOAD_GLOBAL"}
    return {name: value for name, value in rule.__globals__.items() if name in read}
