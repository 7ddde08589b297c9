"""Walks of Hypothesis's state machines, drawn from a seed: what the machines of the proof have in common.

A machine asks a real journal for anything, right or wrong, and holds each answer against a model of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from resources.journal.store import SqlJournal

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it

EVENTS_MAX = 100_000
"""More events than a walk makes."""


class Ground:
    """Give each point a journal of its own, one after the other: a copy of one of `templates` in `folder`.

    All use one `SqlJournal`, whose file is exchanged under it while it is closed: the statements that it has
    compiled are half of what a point costs.
    """

    def __init__(self, folder: Path, templates: Sequence[Path]) -> None:
        self._templates = templates
        self._path = Path(tempfile.mkdtemp(dir=folder)) / "journal.db"
        shutil.copy(templates[0], self._path)
        self._journal = SqlJournal(f"sqlite:///{self._path}")

    def journal(self, number: int = 0) -> SqlJournal:
        """Return the journal, as fresh as its template; the one given before is gone."""
        self.close()
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
        shutil.copy(self._templates[number], self._path)
        return self._journal

    def close(self) -> None:
        """Close the file."""
        self._journal.close()


@contextmanager
def memory_folder() -> Iterator[Path]:
    """Give a folder that goes afterwards, in memory: what is lost with the power is storage.py's part."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@contextmanager
def put(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Put another value in a name's place meanwhile: how bugs are planted."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


class Walked(NamedTuple):
    """Hold how many steps were walked, and how the promise broke, empty where it held.

    `is_held_broken` says that something was not so which the machine holds, not just that something raised.
    """

    steps: int
    broke: str
    is_held_broken: bool = False


class Machine(RuleBasedStateMachine):
    """Be a machine on a journal of its own: `fresh` gives it, decided by `decide`, and `stepped` counts."""

    fresh: Callable[[], SqlJournal]
    stepped: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self) -> None:
        super().__init__()
        self.journal = type(self).fresh()
        self._seen = self.journal.events(after=0, limit=EVENTS_MAX)[-1].seq

    def teardown(self) -> None:
        """Close what the walk used."""
        self.journal.close()

    def grew(self) -> bool:
        """Say whether the journal has an event more than when this was last asked."""
        new = self.journal.events(after=self._seen, limit=EVENTS_MAX)
        self._seen += len(new)
        return bool(new)

    @staticmethod
    def decide(journal: SqlJournal) -> None:
        """Make of an empty journal what a walk begins with."""
        raise NotImplementedError


def walk(
    machine: type[Machine],
    *,
    examples: int,
    steps: int,
    chance: int,
    is_told_short: bool = True,
    stepped: Callable[[], None] = lambda: None,
) -> Walked:
    """Walk a machine so many times so many steps; the same chance walks the same ways.

    What broke is told by the shortest walk that shows it, which takes time to find: not where a bug was
    planted (`is_told_short`).
    """
    walked = 0

    def count() -> None:
        nonlocal walked
        walked += 1
        stepped()

    with memory_folder() as folder:
        template = folder / "template.db"
        with SqlJournal(f"sqlite:///{template}") as journal:
            machine.decide(journal)
        ground = Ground(folder, [template])
        members = {"fresh": staticmethod(ground.journal), "stepped": staticmethod(count)}
        walker = seed(chance)(type("Walk", (machine,), members))
        phases = [Phase.generate, Phase.shrink] if is_told_short else [Phase.generate]
        broke, is_held_broken = "", False
        try:
            run_state_machine_as_test(
                walker,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    phases=phases,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:  # noqa: BLE001 - whatever the product raised broke the promise
            broke = told_of(error)
            is_held_broken = is_held(error)
        finally:
            ground.close()
    return Walked(walked, broke, is_held_broken)


class NotHeld(AssertionError):
    """Say which promise a machine found broken."""


def told_of(error: Exception) -> str:
    """Return what ended a walk, each of several, with Hypothesis's notes: the shortest walk that shows it."""
    own = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
    return "\n".join([own, *map(told_of, getattr(error, "exceptions", ()))])


def is_held(error: Exception) -> bool:
    """Say whether walks ended with a promise that was broken, and not with errors alone."""
    return any(isinstance(each, NotHeld) for each in getattr(error, "exceptions", (error,)))


def hold(is_so: bool, promise: str) -> None:  # noqa: FBT001 - what is held comes first, as in assert
    """Raise where a promise is broken, also under `python -O`."""
    if not is_so:
        raise NotHeld(promise)
