"""Mutation of guards, run control and the pure protocol: each change fails a fast test, or is known and why.

`make mutants` runs mutmut by `[tool.mutmut]` of pyproject.toml and holds what survived against SURVIVORS.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[1]
SURVIVING_SHARE_MAX = 0.05
"""More surviving mutants than this share, and the tests do not hold the rules."""


class Survivor(NamedTuple):
    """Hold a mutant that no test can tell from the original: where it is, what its lines say, and why."""

    path: str
    says: str
    why: str


PROTOCOL, GUARDS = "trading/protocol.py", "trading/guards.py"

SURVIVORS = (
    Survivor(
        PROTOCOL, "key=None", "verdicts sort by their code first, so the first of them has the same code"
    ),
    Survivor(
        PROTOCOL,
        "code != PASS), default=None",
        "the same: without a key verdicts sort by their code first",
    ),
    Survivor(
        PROTOCOL, "-        case _:", "without its last case the function answers None, which is as false"
    ),
    Survivor(
        GUARDS, "rest if rest <= quantity", "a sale of all that is left is whole by itself and passed before"
    ),
    Survivor(GUARDS, "tick > 1 and", "every price is a whole number of ticks of one micro-unit"),
    Survivor(
        PROTOCOL,
        "now <= row.not_after",
        "nobody asks at that very instant: what is late was judged before",
    ),
)
"""The mutants that are known to survive. An entry stands for its own file alone, and goes with its mutant."""

UNCHECKED = "not checked"


def main() -> int:
    """Run mutmut, tell the mutants of each file, and fail where what survived is not what is known."""
    argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0]).parse_args()
    mutated = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]["only_mutate"]
    began = time.monotonic()
    # What an earlier run found is not asked again, though the tests have changed since.
    shutil.rmtree(PROJECT / "mutants", ignore_errors=True)
    subprocess.run([_mutmut(), "run", "--max-children", "2"], cwd=PROJECT, check=False, stdout=sys.stderr)
    results = _results()
    if UNCHECKED in results.values():
        print("mutants: not every mutant was put to the tests; what stopped them stands above")
        return 2
    made = Counter(_file_of(name) for name in results)
    alive = [name for name, status in results.items() if status != "killed"]
    for path in mutated:
        survived = sum(1 for name in alive if _file_of(name) == path)
        print(f"{path}: {made[path]} mutants, {made[path] - survived} killed, {survived} survived")
    changes = {name: _change(name) for name in alive}
    whys = {name: why_of(name, change) for name, change in changes.items()}
    for name, change in changes.items():
        print(f"\n{name} ({results[name]}): {whys[name] or 'NOT KNOWN: write the test that fails'}\n{change}")
    unmet = unmet_of(changes)
    for entry in unmet:
        print(
            f"\n{entry.path}: no mutant that survived here says {entry.says!r}: take it out of SURVIVORS, or"
            " name the file that it is in"
        )
    unknown = sum(1 for why in whys.values() if not why)
    share = len(alive) / max(1, len(results))
    print(
        f"\n{len(results)} mutants in {time.monotonic() - began:.0f} s, {len(alive)} survived"
        f" ({share:.1%}), {unknown} of them not known"
    )
    is_missed = any(not made[path] for path in mutated)
    return int(unknown > 0 or bool(unmet) or share > SURVIVING_SHARE_MAX or is_missed)


def why_of(mutant: str, change: str) -> str:
    """Return why a mutant that survived is one of those known in its file, or nothing where it is not."""
    path = _file_of(mutant)
    return next((entry.why for entry in SURVIVORS if entry.path == path and entry.says in change), "")


def unmet_of(changes: Mapping[str, str]) -> list[Survivor]:
    """Return the entries that no mutant's change says, by the changes of those that survived.

    What is known of a mutant that is gone would excuse the next one that happens to read like it.
    """
    return [
        entry
        for entry in SURVIVORS
        if not any(_file_of(name) == entry.path and entry.says in change for name, change in changes.items())
    ]


def _results() -> dict[str, str]:
    """Return each mutant's status by its name."""
    told = _told("results", "--all", "true")
    pairs = (line.strip().rpartition(": ") for line in told.splitlines() if ": " in line)
    return {name: status for name, _, status in pairs}


def _change(name: str) -> str:
    """Return the lines that a mutant changes."""
    lines = _told("show", name).splitlines()
    return "\n".join(line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---")))


def _file_of(mutant: str) -> str:
    """Return the file of a mutant: `trading.protocol.x_covers__mutmut_3` is one of trading/protocol.py."""
    return "/".join(mutant.split(".")[:-1]) + ".py"


def _told(*arguments: str) -> str:
    return subprocess.run(
        [_mutmut(), *arguments], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout


def _mutmut() -> str:
    return str(Path(sys.executable).with_name("mutmut"))


if __name__ == "__main__":
    raise SystemExit(main())
