"""Racing real processes: two to eight executors at once over one journal and one broker's ledger.

In every second round nothing holds them apart: the lock is one that everybody gets, so that it is the
journal's compare-and-set that is proven. At moments drawn from the seed a racer stops itself for a while or
kills itself, between two calls of its ports; or it is stopped or killed from outside, wherever it is just
then. A round is a point; its plan repeats with its seed, the interleaving is the machine's.

On SQLite, and for each seventh round on PostgreSQL.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from proof import forks
from proof.desk import (
    ACCOUNT,
    BOOK,
    CALENDAR,
    CLOSE,
    DECIDED_AT,
    DEPOSIT_MICROS,
    IN_TIME,
    LANE,
    LATER,
    MODEL,
    MUCH,
    SESSION,
    Market,
    deposited,
    passes,
)
from proof.forks import Found, Zygote
from proof.planted import Plant
from proof.postgres_server import PostgresServer
from proof.simulation import EVENTS_OF_EVERY_RUN, SECOND_CLAIMS, TWO_ORDERS
from proof.suite import Progress, Size, Told
from resources.evidence import gather
from resources.journal.lock import ExecutorFileLock
from resources.journal.store import SqlJournal
from resources.paper_broker.broker import PaperBroker
from trading.broker_behaviour import Behaviour
from trading.brokers import DedupScope
from trading.errors import JournalError, Refused, TradingError
from trading.executions import Desk, execute_session, settle_orders
from trading.invariants import violations
from trading.lifecycle import Stage
from trading.reconciliation import Expected, Outcomes
from trading.testing import NoAuditLog, OpenLock, example_decision, example_intent

OF: dict[str, Any] = {"book": BOOK, "lane": LANE, "session": SESSION}
INTENTS = (example_intent("AAPL", quantity=10), example_intent("MSFT", quantity=5))
SEND_BY = IN_TIME + timedelta(minutes=4)
RACERS = (2, 8)
CALLS = 90
"""In how many calls of its ports a racer is sure to have done all it does, undisturbed."""

TRIES = 20
"""How often a racer asks for the lock before it leaves the race."""

TRY_AGAIN_S = 0.01
STOPPED_MS, OUTSIDE_MS = (5, 80), (1, 120)
POLL_S = 0.002
POSTGRES_EACH = 7
"""One round of so many is on PostgreSQL."""

ROUNDS_TO_CATCH = 60
PLANTED = "a claim without compare-and-set, and neither a lock, terms nor the orders' key behind it"
HEALINGS, EVENTS_MAX = 4, 100_000
DECIDED = "decided"


class Racer(NamedTuple):
    """Hold what happens to one racer: a signal, 0 for none.

    It gives it to itself at its `at`-th call, or, where `at` is 0, gets it from outside after `after_ms`;
    stopped, it goes on after `stopped_ms`.
    """

    signal: int
    at: int
    after_ms: int
    stopped_ms: int


class Round(NamedTuple):
    """Hold one round: what it is drawn from, and whether its journal is on PostgreSQL."""

    seed: int
    is_on_postgres: bool = False


class Plan(NamedTuple):
    """Hold what a round's seed decides."""

    has_lock: bool
    scope: DedupScope
    racers: tuple[Racer, ...]


def plan_of(seed: int) -> Plan:
    """Return a round's plan."""
    rng = Random(seed)
    racers = tuple(
        Racer(
            signal=rng.choice((0, 0, signal.SIGSTOP, signal.SIGSTOP, signal.SIGKILL)),
            at=rng.choice((0, rng.randrange(1, CALLS))),
            after_ms=rng.randrange(*OUTSIDE_MS),
            stopped_ms=rng.randrange(*STOPPED_MS),
        )
        for _ in range(rng.randint(*RACERS))
    )
    scope = DedupScope.ALL_TIME if seed // 2 % 2 else DedupScope.NONE
    return Plan(has_lock=seed % 2 == 0, scope=scope, racers=racers)


# -------------------------------------------------------------------------------- the suite


def run(size: Size, progress: Progress) -> Told:
    """Race `size.points` rounds, after the planted bug was found."""
    began = time.monotonic()
    rounds = [
        Round(seed, is_on_postgres=number % POSTGRES_EACH == POSTGRES_EACH - 1)
        for number, seed in enumerate(range(size.seed, size.seed + size.points))
    ]
    with started() as at, PostgresServer() as server:
        decide(server.create(DECIDED))
        is_caught = caught_in(at, server, size.seed) is not None
        found = forks.spread(at, rounds, partial(race, server), workers=size.workers, progress=progress)
    plans = [plan_of(each.seed) for each in rounds]
    signals = Counter(racer.signal for plan in plans for racer in plan.racers)
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug=PLANTED,
        is_planted_bug_caught=is_caught,
        violations=found.violations,
        parts={
            "on SQLite": sum(not each.is_on_postgres for each in rounds),
            "on PostgreSQL": sum(each.is_on_postgres for each in rounds),
            "without a lock": sum(not plan.has_lock for plan in plans),
            "racers": sum(signals.values()),
            "to be stopped": signals[signal.SIGSTOP],
            "to be killed": signals[signal.SIGKILL],
        },
    )


@contextmanager
def started() -> Iterator[Zygote]:
    """Give what racers are forked from, with a decided journal on SQLite in its folder."""
    memory = forks.MEMORY if forks.MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="races-", dir=memory) as name:
        at = Zygote(Path(name), {})
        decide(_sqlite(at.folder / DECIDED))
        yield at


def decide(url: str) -> None:
    """Let a journal hold a session that is decided and not begun."""
    decisions = [example_decision(intent, not_after=CLOSE, account=ACCOUNT, lane=LANE) for intent in INTENTS]
    with SqlJournal(url) as journal:
        journal.opening_book(**OF, previous=None, opened=deposited(), now=DECIDED_AT)
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="decided", now=DECIDED_AT)


def caught_in(at: Zygote, server: PostgresServer, seed: int) -> int | None:
    """Return the first seed from `seed` on that finds the planted bug.

    Among those without a lock whose broker forgets: one that remembers refuses the second order.
    """
    plant = Plant("", _plant, (TWO_ORDERS,))
    planted = at._replace(plant=plant)
    plans = ((tried, plan_of(tried)) for tried in itertools.count(seed))
    seeds = (tried for tried, plan in plans if (plan.has_lock, plan.scope) == (False, DedupScope.NONE))
    for tried in itertools.islice(seeds, ROUNDS_TO_CATCH):
        if forks.is_shown(plant, race(server, planted, Round(tried))):
            return tried
    return None


def _plant() -> None:
    """Put the bug into a child, for good."""
    for owner, name, instead in SECOND_CLAIMS:
        setattr(owner, name, instead)


# -------------------------------------------------------------------------------- one round


def race(server: PostgresServer, at: Zygote, each: Round) -> Found:
    """Let a round's racers run, whatever becomes of them; then let one process heal, and compare."""
    plan = plan_of(each.seed)
    with _files(server, at, each) as (folder, url):
        found = _run_race(at, folder, url, plan)
        found += [f"before anyone healed: {told}" for told in _broken(folder, url, plan, is_healed=False)]
        try:
            found += _heal(folder, url, plan)
        except TradingError as error:
            found.append(f"what heals fails: {type(error).__name__}: {error}")
        found += _broken(folder, url, plan, is_healed=True) + _ended(url, plan)
    where = f"seed {each.seed} on {'PostgreSQL' if each.is_on_postgres else 'SQLite'}"
    return Found(1, tuple(f"{where}: {told}" for told in found))


@contextmanager
def _files(server: PostgresServer, at: Zygote, each: Round) -> Iterator[tuple[Path, str]]:
    """Give a folder and a journal's URL that are the round's alone."""
    with tempfile.TemporaryDirectory(dir=at.folder) as name:
        folder = Path(name)
        if not each.is_on_postgres:
            shutil.copy(at.folder / DECIDED, folder / DECIDED)
            yield folder, _sqlite(folder / DECIDED)
            return
        database = f"round_{each.seed}"
        try:
            yield folder, server.create(database, template=DECIDED)
        finally:
            server.drop(database)


def _run_race(at: Zygote, folder: Path, url: str, plan: Plan) -> list[str]:
    """Start all racers at once and wait for their ends; return what ended otherwise than it may."""
    gate, opener = os.pipe()

    def enter(racer: Racer) -> None:
        os.close(opener)
        os.read(gate, 1)
        try:
            _execute(folder, url, plan, racer)
        except BaseException:
            with (folder / "errors").open("a", encoding="utf-8") as errors:
                traceback.print_exc(file=errors)
            raise

    running = {forks.child(at, partial(enter, racer)): racer for racer in plan.racers}
    found: list[str] = []
    os.close(gate)
    os.close(opener)
    began = time.monotonic()
    due = {
        pid: (began + racer.after_ms / 1000, racer.signal)
        for pid, racer in running.items()
        if racer.signal and not racer.at
    }
    while running:
        now = time.monotonic()
        for pid in [pid for pid, (when, _) in due.items() if when <= now]:
            os.kill(pid, due.pop(pid)[1])
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if ended and os.WIFSTOPPED(status):
                due[pid] = (now + running[pid].stopped_ms / 1000, signal.SIGCONT)
            elif ended:
                found += ended_otherwise(status, running.pop(pid))
                due.pop(pid, None)
        time.sleep(POLL_S)
    errors = folder / "errors"
    return found + ([f"a racer raised: {errors.read_text(encoding='utf-8')}"] if errors.exists() else [])


def ended_otherwise(status: int, racer: Racer) -> list[str]:
    """Return how a racer ended as it may not: one that waited for ever is ended by its alarm."""
    is_over = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == racer.signal == signal.SIGKILL
    return [] if is_over or is_killed else [f"a racer ended with wait status {status}"]


class Life:
    """Count a racer's calls, and let it give itself its signal at one of them."""

    def __init__(self, racer: Racer) -> None:
        self._racer = racer
        self._calls = 0

    def tick(self) -> None:
        """Count one."""
        self._calls += 1
        if self._calls == self._racer.at and self._racer.signal:
            os.kill(os.getpid(), self._racer.signal)


class Port:
    """Pass calls on to a port, each of them two moments of a life: before it and after it."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port = port
        self._life = life

    def __getattr__(self, name: str) -> Any:
        """Return a verb of the port."""
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def called(*arguments: Any, **options: Any) -> Any:
            self._life.tick()
            answer = found(*arguments, **options)
            self._life.tick()
            return answer

        return called


def _execute(folder: Path, url: str, plan: Plan, racer: Racer) -> None:
    """Be one racer: run until a run comes to its end."""
    life = Life(racer)
    with SqlJournal(url) as journal:
        for _ in range(TRIES):
            try:
                desk = _desk(Port(journal, life), Port(_broker(folder, plan), life), folder, plan)
                if not _run(desk).halted:
                    return
            except (JournalError, Refused):
                pass
            # Another one has the lock, or took over what this one was at: it begins again.
            time.sleep(TRY_AGAIN_S)


def _desk(journal: Any, broker: Any, folder: Path, plan: Plan, *, now: datetime = IN_TIME) -> Desk:
    lock = ExecutorFileLock(folder, account=ACCOUNT) if plan.has_lock else OpenLock(proves_death=False)
    return Desk(
        journal=journal,
        broker=broker,
        lock=lock,
        audit=NoAuditLog(),
        clock=lambda: now,
        account=ACCOUNT,
        lane=LANE,
        holder=f"racer {os.getpid()}",
    )


def _run(desk: Desk) -> Outcomes:
    return execute_session(
        desk,
        book=BOOK,
        session=SESSION,
        since=SESSION,
        book_at_open=deposited(),
        review=passes,
        send_by=SEND_BY,
    )


def _heal(folder: Path, url: str, plan: Plan) -> list[str]:
    """Let one more process execute and settle until nothing happens any more."""
    seen = None
    # All racers have ended, so that whoever comes now is alone.
    alone = plan._replace(has_lock=True)
    with SqlJournal(url) as journal:
        for _ in range(HEALINGS):
            _run(_desk(journal, _broker(folder, plan), folder, alone))
            settle_orders(
                _desk(journal, _broker(folder, plan), folder, alone, now=CLOSE),
                book=BOOK,
                session=SESSION,
                since=SESSION,
                expected=Expected(book=BOOK, session=SESSION, at_open=deposited()),
                actor="proof",
            )
            happened = [
                event.seq
                for event in journal.events(after=0, limit=EVENTS_MAX)
                if event.kind not in EVENTS_OF_EVERY_RUN
            ]
            if happened == seen:
                return []
            seen = happened
    return [f"still not quiet after {HEALINGS} healings"]


def _broken(folder: Path, url: str, plan: Plan, *, is_healed: bool) -> list[str]:
    with SqlJournal(url) as journal:
        evidence = gather(
            journal,
            dumps=[_broker(folder, plan).dump()],
            is_healed=is_healed,
            as_of=CLOSE + LATER if is_healed else IN_TIME,
        )
    return [f"{found.invariant} {found.subject}: {found.detail}" for found in violations(evidence)]


def _ended(url: str, plan: Plan) -> list[str]:
    """Return what did not trade in whole; with a broker that forgets it may be parked instead."""
    with SqlJournal(url) as journal:
        return [
            f"{row.intent.symbol} ended as {row.state} {row.stage} with {row.filled_quantity}: {row.reason}"
            for row in journal.intents(**OF)
            if row.filled_quantity != row.intent.quantity
            and not (row.stage is Stage.PARKED and plan.scope is not DedupScope.ALL_TIME)
        ]


def _broker(folder: Path, plan: Plan) -> PaperBroker:
    return PaperBroker(
        folder / "paper_broker.db",
        account=ACCOUNT,
        deposit_micros=DEPOSIT_MICROS,
        market=Market(MUCH),
        fill_model=MODEL,
        calendar=CALENDAR,
        behaviour=Behaviour(scope=plan.scope),
    )


def _sqlite(path: Path) -> str:
    return f"sqlite:///{path}"
