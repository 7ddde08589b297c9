"""Processes made by forking: quick to make, thrown away, and each one's death is its own.

A zygote that has imported everything and made the desks forks a child for each thing that is done at one.
Where a child is killed is the suites' business: kills.py, system_calls.py.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from proof import desk as desks
from proof.desk import SCENARIOS, Desk, Scenario
from proof.planted import PLANTED, Plant
from proof.suite import Progress, Size
from trading.decisions import Outcome

MEMORY = Path("/dev/shm")  # noqa: S108 - a SIGKILL needs no disk: what a process wrote, the kernel has
TOO_LONG_S = 60
"""After how long a child counts as one that never ends."""

GOLDEN = (5**0.5 - 1) / 2

Point = TypeVar("Point")


class Zygote(NamedTuple):
    """Hold what points are run from: a decided desk for each scenario, and a folder for copies."""

    folder: Path
    templates: dict[str, Desk]
    plant: Plant | None = None


class Found(NamedTuple):
    """Hold what came of one or more points: how many were covered, and what did not hold."""

    covered: int
    violations: tuple[str, ...] = ()


Kill = Callable[[Zygote, Point], Found]
"""Runs one point to its end."""


class ChildFailed(Exception):
    """Say how a child ended that was to tell something."""


@contextmanager
def pool(workers: int) -> Iterator[Pool]:
    """Give forked workers for things that are each done in one of them, and wait until they have ended.

    Dagster takes SIGTERM for SIGINT, which whoever started us in the background has us ignore: workers that
    are told to end by it, as a pool does that is merely left, would be waited for without end.
    """
    with get_context("fork").Pool(workers, signal.signal, (signal.SIGTERM, signal.SIG_DFL)) as forked:
        yield forked
        forked.close()
        forked.join()


@contextmanager
def zygote(scenarios: Iterable[Scenario] = SCENARIOS) -> Iterator[Zygote]:
    """Give a zygote whose caches are warm, in a folder in memory where the machine has one.

    Raises `AssertionError` where a scenario does not hold even when nobody dies.
    """
    home = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="proof-", dir=home) as name:
        folder = Path(name)
        templates: dict[str, Desk] = {}
        decided: dict[Outcome, Desk] = {}
        for scenario in scenarios:
            if scenario.outcome not in decided:
                # What was decided, and the day before it, is all that a scenario begins with.
                decided[scenario.outcome] = Desk(folder / f"decided-{scenario.outcome}")
                desks.decide(decided[scenario.outcome], scenario)
            templates[scenario.name] = decided[scenario.outcome]
            warm = templates[scenario.name].copy_to(folder / "warm")
            desks.act(warm, scenario)
            if found := [*desks.recover(warm, scenario), *desks.check(warm, scenario)]:
                raise AssertionError(f"{scenario.name} does not hold even unkilled: {'; '.join(found)}")
            warm.remove()
        gc.collect()
        gc.freeze()
        yield Zygote(folder, templates)
        gc.unfreeze()


@contextmanager
def copied(at: Zygote, desk: Desk) -> Iterator[Desk]:
    """Give a copy of a desk as it is now, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="point-", dir=at.folder) as name:
        yield desk.copy_to(Path(name) / "desk")


def healed(at: Zygote, desk: Desk, scenario: Scenario, where: object) -> tuple[str, ...]:
    """Return what does not hold at a process's death, while the next one recovers, and after it."""

    def next_process() -> list[str]:
        found = [f"at its death: {each}" for each in desks.check_at_death(desk, scenario)]
        return found + desks.recover(desk, scenario) + desks.check(desk, scenario)

    try:
        found = in_child(at, next_process)
    except ChildFailed as failure:
        found = [str(failure)]
    return tuple(f"{where}: {each}" for each in found)


def planted_caught(
    at: Zygote,
    size: Size,
    points_of: Callable[[Zygote, Scenario], Sequence[Point]],
    kill: Kill[Point],
    *,
    plants: Mapping[str, Plant] = PLANTED,
    scenarios: Iterable[Scenario] = SCENARIOS,
) -> dict[str, bool]:
    """Return for each planted bug whether kills at drawn points of its scenario found just it.

    Tries until one does, and every point there is before it says no.
    """
    known = {scenario.name: scenario for scenario in scenarios}
    caught = {}
    for name, plant in plants.items():
        planted = at._replace(plant=plant)
        points = strewn(points_of(planted, known[plant.scenario]), seed=f"{size.seed} {name}")
        caught[name] = any(is_shown(plant, kill(planted, point)) for point in points)
    return caught


def strewn(points: Sequence[Point], *, seed: str) -> list[Point]:
    """Return all points, each far from those before it, so that a stretch of them is met early.

    They are in the order of a scenario's life, and a bug shows in a stretch of it. Steps of the golden ratio,
    from a place that the seed gives, leave no gap much wider than another.
    """
    start, count = random.Random(seed).random(), len(points)
    steps = (int((start + turn * GOLDEN) % 1 * count) for turn in range(2 * count))
    return [points[place] for place in dict.fromkeys((*steps, *range(count)))]


def is_shown(plant: Plant, found: Found) -> bool:
    """Say whether what was found is what a planted bug does, and not that something else went wrong."""
    return any(said in each for each in found.violations for said in plant.shows)


def uncaught(caught: Mapping[str, bool]) -> tuple[str, ...]:
    """Return a violation for each planted bug that nothing found."""
    return tuple(f"planted and not caught: {name}" for name, is_caught in caught.items() if not is_caught)


def spread(
    at: Zygote, points: Sequence[Point], kill: Kill[Point], *, workers: int, progress: Progress
) -> Found:
    """Return what came of all points, done by that many processes at a time."""
    receivers: list[Connection] = []
    processes = []
    for worker in range(workers):
        receiver, sender = Pipe(duplex=False)
        process = get_context("fork").Process(
            target=_work, args=(at, points[worker::workers], kill, sender), daemon=True
        )
        process.start()
        sender.close()
        receivers.append(receiver)
        processes.append(process)
    covered = 0
    violations: list[str] = []
    while receivers:
        for ready in [receiver for receiver in wait(receivers) if isinstance(receiver, Connection)]:
            try:
                found: Found = ready.recv()
            except EOFError:
                receivers.remove(ready)
                continue
            covered += found.covered
            violations += found.violations
            progress(covered)
    for process in processes:
        process.join()
        if process.exitcode:
            violations.append(f"a worker ended with status {process.exitcode}")
    return Found(covered, tuple(violations))


def _work(at: Zygote, points: Sequence[Point], kill: Kill[Point], sender: Connection) -> None:
    for point in points:
        sender.send(kill(at, point))


def scenario_named(name: str) -> Scenario:
    """Return a scenario by its name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


# -------------------------------------------------------------------------------- children


def child(at: Zygote, work: Callable[[], object]) -> int:
    """Start a child that does some work and ends; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        # A child that hangs is found, not waited for.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(TOO_LONG_S)
        if at.plant is not None:
            at.plant.put()
        work()
        status = 0
    finally:
        # Nothing of the parent's is tidied up by a child.
        os._exit(status)


def is_killed(pid: int) -> bool:
    """Wait for a child; say whether a SIGKILL ended it."""
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def in_child(at: Zygote, work: Callable[[], Any]) -> Any:
    """Return what work returned in a child of its own, by way of JSON; raises `ChildFailed`."""
    reader, writer = os.pipe()

    def tell() -> None:
        os.close(reader)
        try:
            told = {"returned": work()}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            told = {"raised": f"{type(error).__name__}: {error}"}
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(told, pipe)

    pid = child(at, tell)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not text:
        raise ChildFailed(f"the next process ended with wait status {status}")
    told = json.loads(text)
    if "raised" in told:
        raise ChildFailed(f"the next process raised {told['raised']}")
    return told["returned"]
