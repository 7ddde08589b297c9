"""The machines: store, fills, approvals and log, each walked at random against a model of its own.

A point is one step, after which every invariant of the machine is held. Each machine first has to find the
bug planted for it. A chance is walked again by the same seed and size.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from proof import forks, log_machine
from proof.approvals_machine import ApprovalsMachine, whatever_is_stored_is_approved
from proof.fills_machine import FillsMachine, reports_told_apart_by_arrival
from proof.store_machine import StoreMachine, epochs_unasked
from proof.suite import Progress, Size, Told
from proof.walks import Machine, Walked, walk

STEPS = 40
"""Steps of one walk, at most."""

EXAMPLES_AT_ONCE, EXAMPLES_PLANTED = 25, 100
LOG = "log"


class Kind(NamedTuple):
    """Hold one machine, the bug that it has to find, and its sentence."""

    machine: type[Machine]
    planted: Callable[[], AbstractContextManager[None]]
    bug: str


KINDS = {
    "store": Kind(StoreMachine, epochs_unasked, "writes of whoever was taken over"),
    "fills": Kind(FillsMachine, reports_told_apart_by_arrival, "a repeated report that counts again"),
    "approvals": Kind(
        ApprovalsMachine, whatever_is_stored_is_approved, "an answer to another payload than was shown"
    ),
}


class Part(NamedTuple):
    """Hold some walks of one machine; their chance is what they are drawn from."""

    name: str
    examples: int
    chance: int


def run(size: Size, progress: Progress) -> Told:
    """Walk about `size.points` steps, a quarter of them on each machine."""
    began = time.monotonic()
    missed = [kind.bug for name, kind in KINDS.items() if not is_caught(name, size.seed)]
    examples = max(1, size.points // STEPS // (len(KINDS) + 1))
    parts = [
        Part(name, min(EXAMPLES_AT_ONCE, examples - start), size.seed + start)
        for name in KINDS
        for start in range(0, examples, EXAMPLES_AT_ONCE)
    ]
    steps: Counter[str] = Counter()
    violations = []
    for part, walked in _walked(parts, size.workers):
        steps[part.name] += walked.steps
        violations += [f"{part.name}, chance {part.chance}: {walked.broke}"] if walked.broke else []
        progress(steps.total())
    log = log_machine.run(Size(points=examples * STEPS, seed=size.seed), lambda _: None)
    steps[LOG] = log.points
    missed += [] if log.is_planted_bug_caught else [log.planted_bug]
    progress(steps.total())
    return Told(
        points=steps.total(),
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(missed or [*(kind.bug for kind in KINDS.values()), log.planted_bug]),
        is_planted_bug_caught=not missed,
        violations=(*violations, *(f"{LOG}: {told}" for told in log.violations)),
        parts=dict(steps),
    )


def is_caught(name: str, chance: int) -> bool:
    """Say whether a machine finds the bug planted for it: a broken promise, and no error of its own."""
    with KINDS[name].planted():
        found = walk(
            KINDS[name].machine, examples=EXAMPLES_PLANTED, steps=STEPS, chance=chance, is_told_short=False
        )
    return found.is_held_broken


def _walked(parts: list[Part], workers: int) -> Iterator[tuple[Part, Walked]]:
    if workers == 1:
        yield from map(_walk, parts)
        return
    with forks.pool(workers) as pool:
        yield from pool.imap(_walk, parts)


def _walk(part: Part) -> tuple[Part, Walked]:
    machine = KINDS[part.name].machine
    return part, walk(machine, examples=part.examples, steps=STEPS, chance=part.chance)
