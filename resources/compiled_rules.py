"""Rules compiled: the functions of trading/guards.py and trading/risk.py as they stand, made to run fast.

The rules carry no decorator and know nothing of Numba; who is content with plain Python does not import it.
Numba's own cache does not notice a rule that changed in another file, so machine code is kept in a folder
named by the digest of every file under trading/ and the versions of Numba, NumPy and Python.
"""

from __future__ import annotations

import dis
import hashlib
import platform
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np

import trading
from trading import guards

REVIEW = """\
def review(case):
    return ({calls},)
"""
"""What Numba can read of `guards.review`, whose loop over functions it cannot."""


@dataclass(slots=True)
class CompiledRules:
    """Hold rules compiled for this process, their machine code under `folder`.

    A function is compiled when it is first called with values of new types, or read from the folder where
    an earlier process did so.
    """

    folder: Path
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict)

    def compiled(self, rule: Callable[..., Any]) -> Any:
        """Return a rule compiled, with every plain function that it calls by name.

        `guards.review` becomes the same calls written out: a `Case` in, a tuple of what each guard says out.
        """
        if rule not in self._made:
            plain = self._review() if rule is guards.review else rule
            known = {
                name: self.compiled(value) if isinstance(value, types.FunctionType) else value
                for name, value in _globals_of(plain).items()
            }
            bare = types.FunctionType(plain.__code__, known, plain.__name__, plain.__defaults__)
            bare.__qualname__, bare.__module__ = plain.__qualname__, plain.__module__
            numba.config.CACHE_DIR = str(self.folder)  # type: ignore[attr-defined]  # made at import
            self._made[rule] = numba.njit(cache=True)(bare)
        return self._made[rule]

    def _review(self) -> types.FunctionType:
        """Return the review as a function of a file, beside which Numba keeps machine code."""
        text = REVIEW.format(calls=", ".join(f"{name}(case)" for name, _ in guards.GUARDS))
        path = self.folder / "review.py"
        self.folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
        known: dict[str, Any] = {"__name__": guards.__name__, **dict(guards.GUARDS)}
        exec(compile(text, str(path), "exec"), known)  # noqa: S102 - four words and the guards' own names
        made: types.FunctionType = known["review"]
        return made


def compiled_rules(root: Path) -> CompiledRules:
    """Return the rules compiled, their machine code kept under `root` in a folder of these sources' own."""
    return CompiledRules(root / sources_digest())


def sources_digest() -> str:
    """Return the digest of every file under trading/ and of the versions that make machine code of them."""
    package = Path(trading.__file__).parent
    sha = hashlib.sha256(f"{numba.__version__} {np.__version__} {platform.python_version()}".encode())
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        sha.update(f"\n{path.relative_to(package).as_posix()} {len(content)}\n".encode())
        sha.update(content)
    return sha.hexdigest()[:32]


def _globals_of(rule: Callable[..., Any]) -> dict[str, Any]:
    """Return the globals that a function reads: not the attributes that happen to have a global's name."""
    read = {each.argval for each in dis.get_instructions(rule) if each.opname == "LOAD_GLOBAL"}
    return {name: value for name, value in rule.__globals__.items() if name in read}
