"""A journal on PostgreSQL, with its clients and its servers ended: what was promised must hold there as well.

A client is a process at a desk (desk.py), killed at a line of the product drawn from the seed, as in
kills.py. A server is killed with all its processes, or stopped without a word to anybody, while a client is
in the midst of its work: stopped between two statements for it, or running on into it. It starts again and
recovers; a client that lives on may refuse in the product's own words only. Then the next process recovers.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from proof import desk as desks
from proof import forks, kills
from proof.desk import EXPIRED, Desk, Scenario
from proof.desk import SCENARIOS as FILE_SCENARIOS
from proof.forks import MEMORY, Found, Zygote, is_shown, spread, uncaught
from proof.planted import PLANTED, Plant
from proof.postgres_server import PostgresServer
from proof.suite import Progress, Size, Told
from resources.journal import database
from resources.journal.store import SqlJournal
from trading.errors import TradingError

EACH_SERVER = 26
"""One point of so many ends a server, which takes all others' time as well."""

HOWS = ("kill", "stop_at_once")
TRIES_TO_CATCH = 30
SENT_EARLY = "an order sent before its row is on disk"
UNSYNCED = "a server that does not sync what it commits"

PARKED = "incident parked: holder_not_proven_dead"
"""What a recovery may say here of an order that nobody has seen when the time to send it is over.

A session's end does not prove its process's: it might still send, so a person decides.
"""

WAITED = "recovery does not come to rest: ()"
"""What a recovery says that settled, and did not execute: its predecessor might have been about to send."""

SCENARIOS = tuple(
    replace(
        scenario,
        ends={symbol: ends | {("unknown", 0), EXPIRED} for symbol, ends in scenario.ends.items()},
    )
    for scenario in FILE_SCENARIOS
)

_numbers = itertools.count(1)


class ServerPoint(NamedTuple):
    """Hold where a client of a scenario is when its server ends, how, and whether the client waits for it."""

    scenario: str
    line: int
    how: str
    is_waited_for: bool


@dataclass(frozen=True, slots=True)
class ServerDesk(Desk):
    """Name the files of a desk, and its journal in a server."""

    url: str

    @property
    def journal_url(self) -> str:
        """Return where the journal is."""
        return self.url


def run(size: Size, progress: Progress) -> Told:
    """Kill clients at drawn lines, then servers under clients, and let the next process recover."""
    began = time.monotonic()
    servers = max(len(HOWS), size.points // EACH_SERVER)
    with PostgresServer() as server, _decided(server) as at:
        lines = {scenario.name: _lines(server, at, scenario) for scenario in SCENARIOS}
        chance = random.Random(size.seed)
        clients = _client_points(chance, lines, size.points - servers)
        endings = _server_points(chance, lines, servers)
        caught = _caught(server, at, size, lines)
        kill = partial(_kill_client, server)
        found = spread(at, clients, kill, workers=size.workers, progress=progress)
        covered, violations = found.covered, list(found.violations)
        for point in endings:
            each = _end_server(server, at, point)
            covered += each.covered
            violations += each.violations
            progress(covered)
    return Told(
        points=covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(caught),
        is_planted_bug_caught=all(caught.values()),
        violations=(*violations, *uncaught(caught)),
        parts=dict(
            Counter(f"clients killed: {point.scenario}" for point in clients)
            + Counter(f"servers: {point.how}" for point in endings)
        ),
    )


@contextmanager
def _decided(server: PostgresServer) -> Iterator[Zygote]:
    """Give a decided desk of each scenario, in a database that is copied for each point."""
    home = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    SqlJournal(server.create("empty")).close()
    with tempfile.TemporaryDirectory(prefix="proof-", dir=home) as name:
        templates: dict[str, Desk] = {}
        at = Zygote(Path(name), templates)
        for scenario in SCENARIOS:
            url = server.create(_template(scenario), template="empty")
            templates[scenario.name] = ServerDesk(Path(name) / scenario.name, url)
            desks.decide(templates[scenario.name], scenario)
            with _copied(server, at, scenario) as warm:
                desks.act(warm, scenario)
                found = [*desks.recover(warm, scenario), *desks.check(warm, scenario)]
                if found := _unexpected(found):
                    raise AssertionError(f"{scenario.name} does not hold even unkilled: {'; '.join(found)}")
        gc.collect()
        gc.freeze()
        yield at
        gc.unfreeze()


@contextmanager
def _copied(server: PostgresServer, at: Zygote, scenario: Scenario) -> Iterator[ServerDesk]:
    """Give a copy of a decided desk and of its database, and remove both afterwards."""
    database_name = f"point_{os.getpid()}_{next(_numbers)}"
    with tempfile.TemporaryDirectory(prefix="point-", dir=at.folder) as name:
        folder = Path(shutil.copytree(at.templates[scenario.name].folder, Path(name) / "desk"))
        try:
            yield ServerDesk(folder, server.create(database_name, template=_template(scenario)))
        finally:
            server.drop(database_name)


def _template(scenario: Scenario) -> str:
    return f"decided_{scenario.name}"


def _lines(server: PostgresServer, at: Zygote, scenario: Scenario) -> int:
    """Return how many lines of the product a client executes when nothing ends it."""
    with _copied(server, at, scenario) as desk:
        return len(forks.in_child(at, lambda: kills.lines_of(lambda: desks.act(desk, scenario))))


def _client_points(chance: random.Random, lines: Mapping[str, int], count: int) -> list[kills.Point]:
    names = sorted(lines)
    return [
        kills.Point(name, chance.randint(1, lines[name]))
        for name in itertools.islice(itertools.cycle(names), count)
    ]


def _server_points(chance: random.Random, lines: Mapping[str, int], count: int) -> list[ServerPoint]:
    names = chance.choices(sorted(lines), k=count)
    return [
        ServerPoint(name, chance.randint(1, lines[name]), HOWS[number % 2], number % 4 < 2)
        for number, name in enumerate(names)
    ]


# -------------------------------------------------------------------------------- one point


def _kill_client(server: PostgresServer, at: Zygote, point: kills.Point) -> Found:
    scenario = _named(point.scenario)
    with _copied(server, at, scenario) as desk:
        if not kills.is_killed_at(at, point.line, lambda: desks.act(desk, scenario)):
            return Found(0, (f"{point}: ended before the line",))
        # The server hears of it a moment later, and gives the executor's lock back then.
        server.wait_until_left(desk.url)
        return Found(1, _healed(at, desk, scenario, point))


def _end_server(server: PostgresServer, at: Zygote, point: ServerPoint) -> Found:
    scenario = _named(point.scenario)
    with _copied(server, at, scenario) as desk:
        is_there, says = os.pipe()
        is_waiting, lets = os.pipe()

        def reached() -> None:
            os.write(says, b"!")
            if point.is_waited_for:
                os.read(is_waiting, 1)

        def work() -> None:
            os.close(is_there)
            os.close(lets)
            try:
                with kills.traced(_at_line(point.line, reached)):
                    desks.act(desk, scenario)
            except TradingError:
                # Refused in the product's own words: what comes after it recovers.
                return
            except BaseException:
                os.write(says, traceback.format_exc().encode())
                raise

        pid = forks.child(at, work)
        os.close(says)
        os.close(is_waiting)
        has_come = os.read(is_there, 1)
        if has_come:
            getattr(server, point.how)()
        os.close(lets)
        with os.fdopen(is_there, "rb") as left:
            told = left.read().decode(errors="replace")
        _, status = os.waitpid(pid, 0)
        if not has_come:
            return Found(0, (f"{point}: ended before the line",))
        server.start()
        violations = [f"{point}: the client ended with {status}: {told[-2000:]}"] if status else []
        return Found(1, (*violations, *_healed(at, desk, scenario, point)))


def _healed(at: Zygote, desk: Desk, scenario: Scenario, point: object) -> tuple[str, ...]:
    return tuple(_unexpected(forks.healed(at, desk, scenario, point)))


def _unexpected(found: Sequence[str]) -> list[str]:
    return [each for each in found if not each.endswith((PARKED, WAITED))]


def _named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def _at_line(line: int, reached: Any) -> kills.AtLine:
    left = line

    def at_line(_frame: FrameType) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            reached()

    return at_line


# -------------------------------------------------------------------------------- planted


def _do_not_sync() -> None:
    """Let commits return before they are on disk, and ask nobody whether they are."""
    database.CONNECTION_LIMITS = {**database.CONNECTION_LIMITS, "options": "-c synchronous_commit=off"}
    database.check_durable = lambda *_: None


NOT_SYNCED = Plant("plain", _do_not_sync, ("an order at the broker that was never prepared",))
"""What a commit that the server lost leaves: the broker has what nobody here wrote down."""


def _caught(server: PostgresServer, at: Zygote, size: Size, lines: Mapping[str, int]) -> dict[str, bool]:
    """Return for each planted bug whether points drawn in one scenario found it."""
    plain = _named("plain")
    chance = random.Random(size.seed)
    sent_early = PLANTED[SENT_EARLY]
    early = at._replace(plant=sent_early)
    early_lines = range(1, _lines(server, early, plain) + 1)
    unsynced = at._replace(plant=NOT_SYNCED)
    return {
        SENT_EARLY: any(
            is_shown(sent_early, _kill_client(server, early, kills.Point("plain", line)))
            for line in chance.sample(early_lines, min(10 * TRIES_TO_CATCH, len(early_lines)))
        ),
        UNSYNCED: any(
            is_shown(
                NOT_SYNCED, _end_server(server, unsynced, point._replace(how="kill", is_waited_for=True))
            )
            for point in _server_points(chance, {"plain": lines["plain"]}, TRIES_TO_CATCH)
        ),
    }
