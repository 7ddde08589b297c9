"""Ended at every executed line: SIGKILL in the store, the executor, the reconciler and the audit log.

A zygote that has imported everything forks a child for each point. The child does what its scenario says
under a trace of the product's own files, and kills itself at the N-th line; another child recovers, as the
next process would, and checks the promise. Double kills end the recovery as well, and recover once more.
Every line that a scenario executes is a point: a line that is executed three times is three points.
What a desk does is desk.py; kills inside a line, at system calls, are system_calls.py.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import resources
import trading
from proof import desk as desks
from proof.desk import SCENARIOS, Desk, Scenario
from proof.planted import PLANTED, Plant
from proof.suite import Progress, Size, Told

PRODUCT = (
    *(Path(resources.__file__).parent / "journal").glob("*.py"),
    Path(resources.__file__).parent / "audit_log.py",
    *(Path(trading.__file__).parent / f"{name}.py" for name in ("executions", "reconciliation", "lifecycle")),
)
"""The files whose lines are points: what stores, sends, reconciles and tells."""

PURE = frozenset({"lifecycle.py", "records.py"})
"""Of them those that touch nothing outside: a line that a loop repeats within one call is one point there."""

NOT_OURS, EVERY_TIME, ONCE_A_CALL = range(3)

MEMORY = Path("/dev/shm")  # noqa: S108 - a SIGKILL needs no disk: what a process wrote, the kernel has
SECOND_KILLS = 5
"""Points of one recovery that are drawn for each first kill, so that its lines are counted once."""
PLANTED_POINTS = 60
"""Points at which a planted bug is looked for, drawn from the scenario that shows it."""
TOO_LONG_S = 60
"""After how long a child counts as one that never ends."""


class Point(NamedTuple):
    """Hold where a process is killed: at the `line`-th line of a scenario, and of its recovery (0: not)."""

    scenario: str
    line: int
    second: int = 0


Trail = list[tuple[str, int]]
"""The lines that a scenario executes, in order: file and number."""


class Found(NamedTuple):
    """Hold what came of one or more points: how many were covered, and what did not hold."""

    covered: int
    violations: tuple[str, ...]


class Zygote(NamedTuple):
    """Hold what points are run from: a decided desk for each scenario, and a folder for copies."""

    folder: Path
    templates: dict[str, Desk]
    plant: Plant | None = None


def run(size: Size, progress: Progress) -> Told:
    """Kill at every line that a scenario executes, then at more moments of lines executed often."""
    began = time.monotonic()
    with zygote() as at:
        trails = {scenario.name: trail(at, scenario) for scenario in SCENARIOS}
        points = drawn(trails, size)
        caught = planted_caught(at, size)
        found = spread(at, points, _kill_once, workers=size.workers, progress=progress)
    parts = Counter(point.scenario for point in points)
    parts["distinct lines in them"] = len(_places(trails, points))
    parts["of distinct lines"] = sum(len(set(lines)) for lines in trails.values())
    parts["of line events"] = sum(len(lines) for lines in trails.values())
    return _told(size, began, found, caught, parts)


def drawn(trails: Mapping[str, Trail], size: Size) -> list[Point]:
    """Return the points to kill at: one moment of every line of every scenario, then others by chance."""
    chance = random.Random(size.seed)
    firsts, others = [], []
    for name, lines in trails.items():
        moments: dict[tuple[str, int], list[Point]] = defaultdict(list)
        for number, line in enumerate(lines, start=1):
            moments[line].append(Point(name, number))
        for of_line in moments.values():
            chance.shuffle(of_line)
            firsts.append(of_line[0])
            others += of_line[1:]
    chance.shuffle(firsts)
    chance.shuffle(others)
    return (firsts + others)[: size.points]


def run_double(size: Size, progress: Progress) -> Told:
    """Kill at a drawn line, kill its recovery at drawn lines, recover again."""
    began = time.monotonic()
    chance = random.Random(size.seed)
    with zygote() as at:
        trails = {scenario.name: trail(at, scenario) for scenario in SCENARIOS}
        everywhere = drawn(trails, replace(size, points=sys.maxsize))
        firsts = [
            # The seed of the second kills travels with the first, whichever worker takes it.
            point._replace(second=chance.randrange(1, 2**31))
            for point in chance.choices(everywhere, k=-(-size.points // SECOND_KILLS))
        ]
        caught = planted_caught(at, size)
        found = spread(at, firsts, _kill_twice, workers=size.workers, progress=progress)
    return _told(size, began, found, caught, Counter(point.scenario for point in firsts))


def _told(
    size: Size, began: float, found: Found, caught: Mapping[str, bool], parts: Mapping[str, int]
) -> Told:
    missed = [f"planted and not caught: {name}" for name, is_caught in caught.items() if not is_caught]
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(PLANTED),
        is_planted_bug_caught=not missed,
        violations=(*found.violations, *missed),
        parts=dict(parts),
    )


def _places(trails: Mapping[str, Trail], points: Iterable[Point]) -> set[tuple[str, str, int]]:
    return {(point.scenario, *trails[point.scenario][point.line - 1]) for point in points}


def planted_caught(at: Zygote, size: Size) -> dict[str, bool]:
    """Return for each planted bug whether kills at drawn lines of its scenario found it."""
    caught = {}
    for name, plant in PLANTED.items():
        planted = at._replace(plant=plant)
        scenario = next(each for each in SCENARIOS if each.name == plant.scenario)
        everywhere = [Point(scenario.name, line + 1) for line in range(len(trail(planted, scenario)))]
        drawn = random.Random(size.seed).sample(everywhere, min(PLANTED_POINTS, len(everywhere)))
        found = spread(planted, drawn, _kill_once, workers=size.workers, progress=lambda _: None)
        caught[name] = bool(found.violations)
    return caught


# -------------------------------------------------------------------------------- points


@contextmanager
def zygote(parent: Path | None = None) -> Iterator[Zygote]:
    """Give a zygote whose caches are warm, in a folder in memory where the machine has one."""
    home = parent or (MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None)
    with tempfile.TemporaryDirectory(prefix="proof-", dir=home) as name:
        folder = Path(name)
        templates = {}
        for scenario in SCENARIOS:
            templates[scenario.name] = Desk(folder / f"decided-{scenario.name}")
            desks.decide(templates[scenario.name], scenario)
            warm = templates[scenario.name].copy_to(folder / "warm")
            desks.act(warm, scenario)
            if found := [*desks.recover(warm, scenario), *desks.check(warm, scenario)]:
                raise AssertionError(f"{scenario.name} does not hold even unkilled: {'; '.join(found)}")
            warm.remove()
        gc.collect()
        gc.freeze()
        yield Zygote(folder, templates)
        gc.unfreeze()


def trail(at: Zygote, scenario: Scenario) -> Trail:
    """Return every line that a scenario executes when nobody kills it, as file and number, in order."""
    with _copy(at, scenario) as desk:
        told = _in_child(at, lambda: _lines_of(lambda: desks.act(desk, scenario)))
    return [(str(file), int(line)) for file, line in told]


def spread(
    at: Zygote,
    points: Sequence[Point],
    kill: Callable[[Zygote, Point], Found],
    *,
    workers: int,
    progress: Progress,
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


def _work(
    at: Zygote, points: Sequence[Point], kill: Callable[[Zygote, Point], Found], sender: Connection
) -> None:
    for point in points:
        sender.send(kill(at, point))


def _kill_once(at: Zygote, point: Point) -> Found:
    scenario = _named(point.scenario)
    with _copy(at, scenario) as desk:
        if not _killed_at(at, point.line, lambda: desks.act(desk, scenario)):
            return Found(0, (f"{point}: ended before the line",))
        return Found(1, _healed(at, desk, scenario, str(point)))


def _kill_twice(at: Zygote, first: Point) -> Found:
    scenario = _named(first.scenario)
    chance = random.Random(first.second)
    covered = 0
    violations: list[str] = []
    with _copy(at, scenario) as desk:
        if not _killed_at(at, first.line, lambda: desks.act(desk, scenario)):
            return Found(0, (f"{first}: ended before the line",))
        with _again(at, desk) as counted:
            lines = len(_in_child(at, lambda: _lines_of(lambda: desks.recover(counted, scenario))))
        for second in chance.sample(range(1, lines + 1), min(SECOND_KILLS, lines)):
            point = first._replace(second=second)
            with _again(at, desk) as dead:
                if not _killed_at(at, second, partial(desks.recover, dead, scenario)):
                    violations.append(f"{point}: ended before the line")
                    continue
                covered += 1
                violations += _healed(at, dead, scenario, str(point))
    return Found(covered, tuple(violations))


def _healed(at: Zygote, desk: Desk, scenario: Scenario, where: str) -> tuple[str, ...]:
    """Return what does not hold at a process's death, while the next one recovers, and after it."""

    def next_process() -> list[str]:
        found = [f"at its death: {each}" for each in desks.check_at_death(desk, scenario)]
        return found + desks.recover(desk, scenario) + desks.check(desk, scenario)

    try:
        found = _in_child(at, next_process)
    except ChildFailed as failure:
        found = [str(failure)]
    return tuple(f"{where}: {each}" for each in found)


@contextmanager
def _copy(at: Zygote, scenario: Scenario) -> Iterator[Desk]:
    with _again(at, at.templates[scenario.name]) as desk:
        yield desk


@contextmanager
def _again(at: Zygote, desk: Desk) -> Iterator[Desk]:
    copied = desk.copy_to(Path(tempfile.mkdtemp(prefix="point-", dir=at.folder)) / "desk")
    try:
        yield copied
    finally:
        Desk(copied.folder.parent).remove()


def _named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


# -------------------------------------------------------------------------------- children


class ChildFailed(Exception):
    """Say how a child ended that was to tell something."""


def _killed_at(at: Zygote, line: int, work: Callable[[], object]) -> bool:
    """Run work in a child that kills itself at a line; return whether it came to that."""
    pid = os.fork()
    if pid == 0:
        try:
            _begin(at)
            with _traced(_killer(line)):
                work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _in_child(at: Zygote, work: Callable[[], Any]) -> Any:
    """Return what work returned in a child of its own, by way of JSON; raises `ChildFailed`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            try:
                _begin(at)
                told = {"returned": work()}
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                told = {"raised": f"{type(error).__name__}: {error}"}
            with os.fdopen(writer, "w", encoding="utf-8") as pipe:
                json.dump(told, pipe)
        finally:
            os._exit(0)
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


def _begin(at: Zygote) -> None:
    # A child that hangs is found, not waited for.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(TOO_LONG_S)
    if at.plant is not None:
        at.plant.put()


AtLine = Callable[[FrameType], None]
Traced = Callable[[FrameType, str, Any], Any]


@contextmanager
def _traced(at_line: AtLine) -> Iterator[None]:
    """Call `at_line` before every line inside the product's files; in pure ones, once a call."""
    files = {str(path): ONCE_A_CALL if path.name in PURE else EVERY_TIME for path in PRODUCT}
    known: dict[CodeType, int] = {}

    def every_time(frame: FrameType, event: str, _arg: Any) -> Traced:
        if event == "line":
            at_line(frame)
        return every_time

    def once_a_call() -> Traced:
        seen: set[int] = set()

        def once(frame: FrameType, event: str, _arg: Any) -> Traced:
            if event == "line" and frame.f_lineno not in seen:
                seen.add(frame.f_lineno)
                at_line(frame)
            return once

        return once

    def called(frame: FrameType, _event: str, _arg: Any) -> Traced | None:
        code = frame.f_code
        how = known.get(code)
        if how is None:
            how = known[code] = files.get(code.co_filename, NOT_OURS)
        if how == EVERY_TIME:
            return every_time
        return once_a_call() if how == ONCE_A_CALL else None

    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(None)


def _killer(line: int) -> AtLine:
    left = line

    def at_line(_frame: FrameType) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_line


def _lines_of(work: Callable[[], object]) -> Trail:
    lines: Trail = []

    def at_line(frame: FrameType) -> None:
        lines.append((Path(frame.f_code.co_filename).name, frame.f_lineno))

    with _traced(at_line):
        work()
    return lines
