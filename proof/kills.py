"""Ended at every executed line: SIGKILL in the store, the executor, the reconciler and the audit log.

A zygote that has imported everything forks a child for each point. The child does what its scenario says
under a trace of the product's own files, and kills itself at the N-th line; another child recovers, as the
next process would, and checks the promise. Double kills end the recovery as well, and recover once more.
Every line that a scenario executes is a point: a line that is executed three times is three points.
What a desk does is desk.py; kills inside a line, at system calls, are system_calls.py.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import sqlalchemy as sa

import resources
import trading
from proof import desk as desks
from proof.desk import SCENARIOS, Scenario
from proof.forks import (
    Found,
    Zygote,
    child,
    copied,
    healed,
    in_child,
    is_killed,
    planted_caught,
    scenario_named,
    spread,
    uncaught,
    zygote,
)
from proof.planted import PLANTED
from proof.suite import Progress, Size, Told

PRODUCT = (
    *(Path(resources.__file__).parent / "journal").glob("*.py"),
    Path(resources.__file__).parent / "audit_log.py",
    *(
        Path(trading.__file__).parent / f"{name}.py"
        for name in ("executions", "reconciliation", "protocol", "lifecycle")
    ),
)
"""The files whose lines are points: what stores, sends, reconciles and tells."""

PURE = frozenset({"lifecycle.py", "protocol.py", "records.py"})
"""Of them those that touch nothing outside: a line that a loop repeats within one call is one point there."""

EVERY_TIME, ONCE_A_CALL = range(2)

Watched = Mapping[str, int]
"""The files whose lines are points, by path: at every time that one is executed, or once a call."""


def watched(files: Iterable[Path], *, once_a_call: Collection[str]) -> Watched:
    """Return which lines are points: those of files, in the ones of some names once a call."""
    return {str(path): ONCE_A_CALL if path.name in once_a_call else EVERY_TIME for path in files}


WATCHED = watched(PRODUCT, once_a_call=PURE)
"""The lines that are points where the broker is embedded."""

SECOND_KILLS = 5
"""Points of one recovery that are drawn for each first kill, so that its lines are counted once."""


class Point(NamedTuple):
    """Hold where a process is killed: at the `line`-th line of a scenario, and of its recovery (0: not)."""

    scenario: str
    line: int
    second: int = 0


Trail = list[tuple[str, int]]
"""The lines that a scenario executes, in order: file and number."""


class Lived(NamedTuple):
    """Hold what a piece of work executed: its lines, and how many of them when each transaction began."""

    lines: Trail
    begun: list[int]


NOTHING: Mapping[str, Lived] = {}
"""What is known of lives where they are to be watched from their first line on."""


def run(size: Size, progress: Progress) -> Told:
    """Kill at every line that a scenario executes, then at more moments of lines executed often."""
    began = time.monotonic()
    with zygote() as at:
        lives = {scenario.name: life(at, scenario) for scenario in SCENARIOS}
        trails = {name: each.lines for name, each in lives.items()}
        points = drawn(trails, size)
        caught = planted_caught(at, size, _line_points, _kill_once)
        kill = partial(_kill_once, lives=lives)
        found = spread(at, points, kill, workers=size.workers, progress=progress)
    parts = Counter(point.scenario for point in points)
    parts["distinct lines in them"] = len(places(trails, points))
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
        lives = {scenario.name: life(at, scenario) for scenario in SCENARIOS}
        trails = {name: each.lines for name, each in lives.items()}
        everywhere = drawn(trails, replace(size, points=sys.maxsize))
        firsts = _seeded(chance.choices(everywhere, k=-(-size.points // SECOND_KILLS)), chance)
        caught = planted_caught(
            at,
            size,
            lambda at, scenario: _seeded(_line_points(at, scenario), chance),
            partial(_kill_twice, seconds=1),
        )
        kill = partial(_kill_twice, lives=lives)
        found = spread(at, firsts, kill, workers=size.workers, progress=progress)
    return _told(size, began, found, caught, Counter(f"first kills in {each.scenario}" for each in firsts))


def _seeded(points: Iterable[Point], chance: random.Random) -> list[Point]:
    """Give each first kill the seed of its second ones, so that any worker draws the same."""
    return [point._replace(second=chance.randrange(1, 2**31)) for point in points]


def _told(
    size: Size, began: float, found: Found, caught: Mapping[str, bool], parts: Mapping[str, int]
) -> Told:
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(PLANTED),
        is_planted_bug_caught=all(caught.values()),
        violations=(*found.violations, *uncaught(caught)),
        parts=dict(parts),
    )


def places(trails: Mapping[str, Trail], points: Iterable[Point]) -> set[tuple[str, str, int]]:
    """Return the distinct lines that points are at, by scenario."""
    return {(point.scenario, *trails[point.scenario][point.line - 1]) for point in points}


def _line_points(at: Zygote, scenario: Scenario) -> list[Point]:
    return [Point(scenario.name, line + 1) for line in range(len(life(at, scenario).lines))]


def life(at: Zygote, scenario: Scenario) -> Lived:
    """Return what a scenario executes when nobody kills it."""
    with copied(at, at.templates[scenario.name]) as desk:
        return _lived_in_child(at, lambda: desks.act(desk, scenario))


def _lived_in_child(at: Zygote, work: Callable[[], object]) -> Lived:
    lines, begun = in_child(at, lambda: lived(work))
    return Lived([(str(file), int(line)) for file, line in lines], [int(before) for before in begun])


def _kill_once(at: Zygote, point: Point, *, lives: Mapping[str, Lived] = NOTHING) -> Found:
    scenario = scenario_named(point.scenario)
    begun = lives[point.scenario].begun if lives else ()
    with copied(at, at.templates[scenario.name]) as desk:
        if not is_killed_at(at, point.line, lambda: desks.act(desk, scenario), begun=begun):
            return Found(0, (f"{point}: ended before the line",))
        return Found(1, healed(at, desk, scenario, point))


def _kill_twice(
    at: Zygote, first: Point, *, lives: Mapping[str, Lived] = NOTHING, seconds: int = SECOND_KILLS
) -> Found:
    scenario = scenario_named(first.scenario)
    chance = random.Random(first.second)
    covered = 0
    violations: list[str] = []
    with copied(at, at.templates[scenario.name]) as desk:
        begun = lives[first.scenario].begun if lives else ()
        if not is_killed_at(at, first.line, lambda: desks.act(desk, scenario), begun=begun):
            return Found(0, (f"{first}: ended before the line",))
        with copied(at, desk) as counted:
            recovery = _lived_in_child(at, lambda: desks.recover(counted, scenario))
        lines = len(recovery.lines)
        for second in chance.sample(range(1, lines + 1), min(seconds, lines)):
            point = first._replace(second=second)
            with copied(at, desk) as dead:
                recover = partial(desks.recover, dead, scenario)
                if not is_killed_at(at, second, recover, begun=recovery.begun):
                    violations.append(f"{point}: ended before the line")
                    continue
                covered += 1
                violations += healed(at, dead, scenario, point)
    return Found(covered, tuple(violations))


def is_killed_at(
    at: Zygote,
    line: int,
    work: Callable[[], object],
    *,
    files: Watched = WATCHED,
    begun: Sequence[int] = (),
) -> bool:
    """Run work in a child that kills itself at a line; say whether it came to that.

    `begun` is how many lines there are before each of its transactions, as they were counted when nobody
    was killed; without it the child is watched from its first line on.
    """
    number = bisect_left(begun, line)
    before = begun[number - 1] if number else 0

    def doomed() -> None:
        with traced(_killer(line - before), files, begun=number):
            work()

    return is_killed(child(at, doomed))


# -------------------------------------------------------------------------------- lines


AtLine = Callable[[FrameType], None]
Traced = Callable[[FrameType, str, Any], Any]


@contextmanager
def traced(at_line: AtLine, files: Watched = WATCHED, *, begun: int = 0) -> Iterator[None]:
    """Call `at_line` before every line inside the watched files, from the `begun`-th transaction on.

    A trace costs half of what it is put on, also where it looks at nothing: a process that is to be killed
    late is left alone until shortly before. 0 is from the first line on.
    """

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
        # Asked of every call there is, so by the file's name: hashing a code object reads all of it.
        how = files.get(frame.f_code.co_filename)
        if how is None:
            return None
        return every_time if how == EVERY_TIME else once_a_call()

    def at_begin(number: int) -> None:
        if number != begun:
            return
        # Whoever began it is looked at as well, once it goes on.
        inside: FrameType | None = sys._getframe()
        while inside is not None:
            inside.f_trace = called(inside, "call", None)
            inside = inside.f_back
        sys.settrace(called)

    with _beginning(at_begin):
        if not begun:
            sys.settrace(called)
        try:
            yield
        finally:
            sys.settrace(None)


@contextmanager
def _beginning(at_begin: Callable[[int], None]) -> Iterator[None]:
    """Call `at_begin` as each transaction begins, with its number from 1."""
    numbers = itertools.count(1)

    def begin(_connection: sa.Connection) -> None:
        at_begin(next(numbers))

    sa.event.listen(sa.Engine, "begin", begin)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "begin", begin)


def _killer(line: int) -> AtLine:
    left = line

    def at_line(_frame: FrameType) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_line


def lines_of(work: Callable[[], object], *, files: Watched = WATCHED, begun: int = 0) -> Trail:
    """Return every watched line that work executes here, as file and number, in order.

    With `begun` those from that transaction on.
    """
    return lived(work, files=files, begun=begun).lines


def lived(work: Callable[[], object], *, files: Watched = WATCHED, begun: int = 0) -> Lived:
    """Return every watched line that work executes here, and when its transactions began."""
    told = Lived([], [])

    def at_line(frame: FrameType) -> None:
        told.lines.append((Path(frame.f_code.co_filename).name, frame.f_lineno))

    with _beginning(lambda _number: told.begun.append(len(told.lines))), traced(at_line, files, begun=begun):
        work()
    return told
