"""Ended inside a line: SIGKILL as the executor's process enters a system call, injected by strace.

What a line of Python does to files is several calls: pages written to a log, syncs, locks, the audit log's
append, what goes over the wire to a broker that is a process of its own. A child forked from the zygote
waits, strace is attached to it with the call and the count at which the kernel is to kill it, and then it
does what its scenario says. A call at which it is killed is not made; the one before it was. Kills between
lines are kills.py.
"""

from __future__ import annotations

import ctypes
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from proof import desk as desks
from proof.desk import SCENARIOS, Desk, Scenario, Telling
from proof.forks import (
    Found,
    Zygote,
    child,
    copied,
    healed,
    is_killed,
    planted_caught,
    scenario_named,
    spread,
    uncaught,
    zygote,
)
from proof.planted import PLANTED
from proof.suite import NotRun, Progress, Size, Told
from resources.paper_broker.broker import DEFINITIVE_ERRORS, KIND
from resources.paper_broker.client import HttpPaperBroker
from resources.paper_broker.server import BrokerServer

CALLS = (
    "openat", "pwrite64", "write", "fdatasync", "fsync", "ftruncate", "flock", "fcntl",
    "rename", "unlink", "unlinkat", "sendto", "recvfrom", "close",
)  # fmt: skip
"""The calls through which a process leaves anything behind, locks it, or speaks to a broker."""

PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)

CAPABILITIES = KIND.capabilities(definitive_errors=DEFINITIVE_ERRORS)
"""What a client declares of the broker that is served here."""

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")


class Point(NamedTuple):
    """Hold where a process is killed: as it enters a call for the `time`-th time in a scenario."""

    scenario: str
    call: str
    time: int


def run(size: Size, progress: Progress) -> Told:
    """Kill at drawn calls of every scenario, each kind of call among them."""
    check_strace()
    began = time.monotonic()
    with zygote() as at:
        calls = {scenario.name: _points_of(at, scenario) for scenario in SCENARIOS}
        points = drawn(calls, size)
        caught = planted_caught(at, size, _points_of, _kill)
        found = spread(at, points, _kill, workers=size.workers, progress=progress)
    parts = Counter(point.scenario for point in points) + Counter(point.call for point in points)
    parts["of calls"] = sum(len(of_scenario) for of_scenario in calls.values())
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(PLANTED),
        is_planted_bug_caught=all(caught.values()),
        violations=(*found.violations, *uncaught(caught)),
        parts=dict(parts),
    )


def check_strace() -> None:
    """Raise `NotRun` where strace is absent, or may not look at a process here."""
    if shutil.which("strace") is None:
        raise NotRun("strace is not installed; install it (apt-get install strace) and run this suite again")
    tried = subprocess.run(
        ["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise NotRun(f"strace may not trace a process here: {tried.stderr.strip()}")


def drawn(calls: dict[str, list[Point]], size: Size) -> list[Point]:
    """Return the points to kill at: in turn from each kind of call of each scenario, drawn by chance."""
    chance = random.Random(size.seed)
    kinds: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for of_scenario in calls.values():
        for point in sorted(of_scenario, key=lambda point: CALLS.index(point.call)):
            kinds[point.scenario, point.call].append(point)
    for of_kind in kinds.values():
        chance.shuffle(of_kind)
    deepest = max(map(len, kinds.values()), default=0)
    turns = [of_kind[turn] for turn in range(deepest) for of_kind in kinds.values() if turn < len(of_kind)]
    return turns[: size.points]


@dataclass(frozen=True, slots=True)
class ServedDesk(Desk):
    """Name the files of a desk whose broker answers at `url`."""

    url: str

    def broker(self, *, volume: int) -> Telling:  # noqa: ARG002 - the market is the server's
        """Return the broker behind its server."""
        return HttpPaperBroker(self.url, capabilities=CAPABILITIES)


@contextmanager
def served(at: Zygote, scenario: Scenario) -> Iterator[ServedDesk]:
    """Give a copy of a scenario's desk whose broker is a process of its own, and outlives who sends to it."""
    with copied(at, at.templates[scenario.name]) as desk:
        reader, writer = os.pipe()

        def serve() -> None:
            with BrokerServer(desk.paper_broker(volume=scenario.volume)) as server:
                os.write(writer, f"{server.url}\n".encode())
                server.serve_forever()

        pid = child(at, serve)
        os.close(writer)
        try:
            with os.fdopen(reader, encoding="utf-8") as told:
                url = told.readline().strip()
            yield ServedDesk(desk.folder, url)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _points_of(at: Zygote, scenario: Scenario) -> list[Point]:
    """Return every call of a scenario that nobody kills, in order."""
    with served(at, scenario) as desk:
        log = desk.folder.parent / "calls.log"
        traced = ",".join(f"?{call}" for call in CALLS)
        pid = _straced(at, partial(desks.act, desk, scenario), [f"--trace={traced}"], log=str(log))
        os.waitpid(pid, 0)
        named = (_CALL.match(line) for line in log.read_text("utf-8", errors="replace").splitlines())
        points = []
        times: Counter[str] = Counter()
        for call in (found.group(1) for found in named if found and found.group(1) in CALLS):
            times[call] += 1
            points.append(Point(scenario.name, call, times[call]))
    return points


def _kill(at: Zygote, point: Point) -> Found:
    """Run one point; where the process made fewer such calls this time, the last one it made is taken.

    How many reads an answer takes is up to the wire.
    """
    scenario = scenario_named(point.scenario)
    for nth in range(point.time, 0, -1):
        with served(at, scenario) as desk:
            inject = f"inject=?{point.call}:signal=SIGKILL:when={nth}"
            pid = _straced(at, partial(desks.act, desk, scenario), [f"--trace=?{point.call}", "-e", inject])
            if is_killed(pid):
                return Found(1, healed(at, desk, scenario, point._replace(time=nth)))
    return Found(0, (f"{point}: no such call was made",))


def _straced(at: Zygote, work: Callable[[], object], options: list[str], log: str = os.devnull) -> int:
    """Do work in a child from its first call on under strace; return its process id once strace is done."""
    reader, writer = os.pipe()

    def wait_and_work() -> None:
        # Where only a parent may trace, a child says that a sibling may.
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
        os.read(reader, 1)
        work()

    pid = child(at, wait_and_work)
    command = ["strace", "-f", "-o", log, *options, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        told = strace.stderr.readline() if strace.stderr is not None else ""
        is_attached = "attached" in told
        if not is_attached:
            os.kill(pid, signal.SIGKILL)
        os.write(writer, b"\n")
        strace.communicate()
    os.close(reader)
    os.close(writer)
    if not is_attached:
        os.waitpid(pid, 0)
        raise NotRun(f"strace may not attach to a process here: {told.strip()}")
    return pid
