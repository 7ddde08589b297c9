"""What a suite is, and what it tells: how much it covered, what it found, and that it can find something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Hold how much a suite is asked to cover: `points` at most, from `seed`, with `workers` processes."""

    points: int
    seed: int
    workers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Hold what a suite found.

    `points` were covered in `seconds`; `violations` are sentences, none of them where the promise held.
    `is_planted_bug_caught` says that the same harness found the bug described by `planted_bug`. `parts` are
    further counts by name, as points by scenario, or fractions as text.
    """

    points: int
    seconds: float
    seed: int
    planted_bug: str
    is_planted_bug_caught: bool
    violations: tuple[str, ...] = ()
    parts: dict[str, int | str] = field(default_factory=dict)


Progress = Callable[[int], None]
"""Is told how many points are done so far."""

Run = Callable[[Size, Progress], Told]
"""One suite: `run(size, progress)`; the same seed covers the same points."""


class NotRun(Exception):
    """Say that a suite cannot run on this machine, and what it lacks: that proves nothing, and is told so."""
