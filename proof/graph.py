"""Dagster doing what it may do to a session: the same tick again, a retry, two launches, a backfill, a death.

The product's own graph, lake, journal, lock and paper broker, run in processes of their own. Nothing of what
starts a run is trusted by the executor, so whatever is started how often: an intent has one order, and what
nobody disturbed has the same. A round is a point; its kind and its moments are drawn from its seed.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple, Self

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from proof import forks
from proof.forks import Found, Zygote
from proof.planted import Plant
from proof.quotes_of_books import write_quotes
from proof.suite import Progress, Size, Told
from resources.calendars import load_calendar
from resources.evidence import gather
from resources.profiles import Profiled
from resources.settings import Profile, Settings
from trading.errors import TradingError
from trading.executions import Desk
from trading.intents import CLIENT_ORDER_ID_PREFIX, hashed
from trading.invariants import violations
from trading.protocol import request_of
from trading.reconciliation import Outcomes
from trading.routing import EMBEDDED_PAPER
from trading.values import ClientOrderId
from trading_assets.definitions import definitions_of, resources_of
from trading_assets.stages import executions
from trading_assets.tables import OF_SESSIONS

CONFIG = Path(__file__).resolve().parents[1] / "config"
CALENDAR = load_calendar("XNYS", CONFIG / "calendars")
BOOK = "us_five"
SESSIONS = CALENDAR.between(date(2013, 2, 20), date(2013, 2, 21))
FIRST, SECOND = SESSIONS
TOO_LONG_S = 300
"""After how many seconds a process that runs the graph counts as one that never ends."""

TICKS = 3
LAUNCHES = 2

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
LATE = (
    "dagster._core.execution.execute_in_process",
    "great_expectations",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "pyarrow.dataset",
    "resources.settings_model",
)
"""What is imported where it is first used: seconds, which each session in a child would take anew."""

IMPORTED, DECIDED = "imported", "decided"
MORTAL_PORTS = ("brokers", "live_quotes")
"""Ports that a book has each its own of; the journal and the outbox are one for all."""


class Reference(NamedTuple):
    """Hold what nobody disturbed: the broker's orders by session, and how many calls of ports a job makes."""

    sent: dict[str, list[tuple[str, int]]]
    calls: dict[str, int]


class Broken(Exception):
    """Be what goes wrong in a run that is then retried."""


class Life:
    """Count calls of ports, and do something at one of them."""

    def __init__(self, at: int = 0, deed: Callable[[], None] = lambda: None) -> None:
        self.calls = 0
        self._at = at
        self._deed = deed

    def tick(self) -> None:
        """Count one."""
        self.calls += 1
        if self.calls == self._at:
            self._deed()


class Port:
    """Pass calls on to a port: each is two moments of a life, before it and after it."""

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


# -------------------------------------------------------------------------------- the suite


def run(size: Size, progress: Progress) -> Told:
    """Run `size.points` rounds, each kind in turn, after the planted bug was found."""
    began = time.monotonic()
    rounds = range(size.seed, size.seed + size.points)
    with started() as at:
        told = forks.in_child(at, lambda: _prepare(at.folder, {kind_of(seed) for seed in rounds}))
        reference = Reference(
            sent={session: [(symbol, count) for symbol, count in sent] for session, sent in told[0].items()},
            calls=told[1],
        )
        plant = Plant("", _plant, ("was never prepared",))
        is_caught = forks.is_shown(plant, _round(at._replace(plant=plant), reference, size.seed, "ticks"))
        found = forks.spread(
            at, rounds, partial(_round_of, reference), workers=min(size.workers, 2), progress=progress
        )
    kinds = Counter(kind_of(seed) for seed in rounds)
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="an executor that sends what was decided without claiming it in the journal",
        is_planted_bug_caught=is_caught,
        violations=found.violations,
        parts=dict(sorted(kinds.items())),
    )


@contextmanager
def started() -> Iterator[Zygote]:
    """Give what runs are forked from: everything imported, the graph built, nothing opened."""
    _graph_of_all()
    memory = forks.MEMORY if forks.MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="graph-", dir=memory) as name:
        gc.collect()
        gc.freeze()
        yield Zygote(Path(name), {})
        gc.unfreeze()


def kind_of(seed: int) -> str:
    """Return what happens in a round: each kind in turn."""
    return tuple(KINDS)[seed % len(KINDS)]


def _round_of(reference: Reference, at: Zygote, seed: int) -> Found:
    return _round(at, reference, seed, kind_of(seed))


def _round(at: Zygote, reference: Reference, seed: int, kind: str) -> Found:
    """Disturb a session on a copy of the decided desk, let one process finish it, and compare."""
    with tempfile.TemporaryDirectory(prefix="round-", dir=at.folder) as name:
        state = _copied(at.folder / DECIDED, Path(name) / "desk")
        found = KINDS[kind](at, state, reference, Random(seed))
        sessions = sessions_of({kind})
        try:
            found += forks.in_child(at, partial(_healed, state, sessions))
            found += forks.in_child(at, partial(_compared, state, reference, sessions))
        except forks.ChildFailed as failure:
            found.append(str(failure))
    return Found(1, tuple(f"seed {seed}, {kind}: {told}" for told in found))


def _plant() -> None:
    """Put an executor into a child that asks the journal nothing before it sends."""

    def unclaimed(desk: Desk, *, book: str, session: date, **_: Any) -> Outcomes:
        # Past the routes, which by themselves send nothing that is not prepared.
        adapter = desk.broker._adapter(EMBEDDED_PAPER)  # type: ignore[attr-defined]
        for row in desk.journal.intents(book=book, lane=desk.lane, session=session):
            if row.quantity:
                made_up = ClientOrderId(CLIENT_ORDER_ID_PREFIX + hashed(row.intent_id, str(os.getpid())))
                request = replace(request_of(row), client_order_id=made_up)
                adapter.submit(request, now=desk.clock())
        return Outcomes()

    executions.execute_session = unclaimed


# -------------------------------------------------------------------------------- what is done to a session


def _ticks(at: Zygote, state: Path, _reference: Reference, _rng: Random) -> list[str]:
    """Let the sensor look three times, and start every run that it asks for, at once."""
    asked: list[list[str]] = forks.in_child(at, partial(_looked, state))
    found = [] if len({key for key, _ in asked}) == 1 else [f"the same look asked for several runs: {asked}"]
    return found + _at_once(
        at, [partial(_run_alone, state, [("execute", date.fromisoformat(day))]) for _, day in asked]
    )


def _looked(state: Path) -> list[tuple[str, str]]:
    with _Graph(state) as graph:
        return [graph.sweep() for _ in range(TICKS)]


def _retry(at: Zygote, state: Path, reference: Reference, rng: Random) -> list[str]:
    """Let a run break at a call of a port, and do again what failed of it, in the same Dagster instance."""
    broken_at = rng.randrange(1, reference.calls["execute"] + 1)
    told: list[str] = forks.in_child(at, partial(_broken_and_retried, state, broken_at))
    return told


def _broken_and_retried(state: Path, broken_at: int) -> list[str]:
    def break_it() -> None:
        raise Broken

    with _Graph(state, Life(broken_at, break_it)) as graph:
        first = graph.run("execute", FIRST)
        again = graph.again("executions", FIRST, parent=first.run_id)
        return _defects(first, but=Broken) + _defects(again)


def _twice(at: Zygote, state: Path, _reference: Reference, _rng: Random) -> list[str]:
    """Launch the same partition twice at once, in two processes."""
    return _at_once(at, [partial(_run_alone, state, [("execute", FIRST)]) for _ in range(LAUNCHES)])


def _backfill(at: Zygote, state: Path, _reference: Reference, _rng: Random) -> list[str]:
    """Launch a backfill of both sessions over the one that is being executed."""
    backfill = {"dagster/backfill": "overlap"}
    return _at_once(
        at,
        [
            partial(_run_alone, state, [("execute", FIRST), ("settle", FIRST)]),
            partial(_run_alone, state, [("session", FIRST), ("session", SECOND)], tags=backfill),
        ],
    )


def _killed(at: Zygote, state: Path, reference: Reference, rng: Random) -> list[str]:
    """Kill the process of a whole session's run, and that of its successor, at calls of their ports."""
    found = []
    for _ in range(2):
        life = Life(rng.randrange(1, reference.calls["session"] + 1), _kill)
        pid = forks.child(at, partial(_run_alone, state, [("session", FIRST)], life=life))
        _, status = os.waitpid(pid, 0)
        is_over = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        if not is_over and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            found.append(f"a run's process ended with wait status {status}")
    return found


def sessions_of(kinds: Collection[str]) -> Sequence[date]:
    """Return the sessions that rounds of these kinds disturb."""
    return SESSIONS if "backfill" in kinds else (FIRST,)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


KINDS: Mapping[str, Callable[[Zygote, Path, Reference, Random], list[str]]] = {
    "ticks": _ticks,
    "retry": _retry,
    "twice": _twice,
    "backfill": _backfill,
    "killed": _killed,
}


# -------------------------------------------------------------------------------- runs in processes


def _at_once(at: Zygote, works: Sequence[Callable[[], list[str]]]) -> list[str]:
    """Do works in a process each, all let go at the same moment; return what they found wrong."""
    gate, opener = os.pipe()
    place = Path(tempfile.mkdtemp(dir=at.folder))

    def enter(number: int, work: Callable[[], list[str]]) -> None:
        os.close(opener)
        os.read(gate, 1)
        (place / str(number)).write_text(json.dumps(work()), encoding="utf-8")

    pids = [forks.child(at, partial(enter, number, work)) for number, work in enumerate(works)]
    os.close(gate)
    os.close(opener)
    found: list[str] = []
    for number, pid in enumerate(pids):
        _, status = os.waitpid(pid, 0)
        if status:
            found.append(f"a process of {len(pids)} ended with wait status {status}")
        else:
            found += json.loads((place / str(number)).read_text(encoding="utf-8"))
    shutil.rmtree(place)
    return found


def _run_alone(
    state: Path,
    jobs: Sequence[tuple[str, date]],
    *,
    tags: Mapping[str, str] | None = None,
    life: Life | None = None,
) -> list[str]:
    """Run jobs one after the other in this process; return what of them is a defect, not a refusal."""
    with _Graph(state, life) as graph:
        return [told for what, session in jobs for told in _defects(graph.run(what, session, tags=tags))]


def _healed(state: Path, sessions: Sequence[date]) -> list[str]:
    """Run the sessions whole, as whoever comes after would; each has to pass."""
    with _Graph(state) as graph:
        return [
            f"{session} does not pass afterwards: {_failures(result)}"
            for session in sessions
            if not (result := graph.run("session", session)).success
        ]


def _compared(state: Path, reference: Reference, sessions: Sequence[date]) -> list[str]:
    """Return what of the promise does not hold, and where the broker has other orders than undisturbed."""
    profiled = Profiled(_settings(state), assets=OF_SESSIONS)
    with profiled.journal as journal:
        evidence = gather(
            journal,
            audit_path=profiled.settings.profile_dir / "audit.jsonl",
            dumps=[profiled.brokers[BOOK].dump()],
            is_healed=True,
            as_of=CALENDAR.closes_at(sessions[-1]),
        )
        found = [f"{one.invariant} {one.subject}: {one.detail}" for one in violations(evidence)]
        per_intent = Counter((order.intent_id, order.generation) for order in evidence.orders)
    found += [f"{intent_id} has {count} orders" for (intent_id, _), count in per_intent.items() if count > 1]
    expected = [order for session in sessions for order in reference.sent[str(session)]]
    sent = _sent(state)
    if sorted(sent) != sorted(expected):
        found.append(f"the broker has {sorted(sent)}, undisturbed it has {sorted(expected)}")
    return found


def _defects(result: dg.ExecuteInProcessResult, *, but: type[BaseException] = TradingError) -> list[str]:
    """Return the failures of a run that are no refusal of ours, no closed gate, and not expected."""
    allowed = (but.__name__, "DagsterAssetCheckFailedError")
    return [told for kind, told in _failures(result) if kind and kind not in allowed]


def _failures(result: dg.ExecuteInProcessResult) -> list[tuple[str, str]]:
    """Return for each failed step the class of its error (empty for a refusal of ours), and what it says."""
    told = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:
                told.append(("", f"{event.step_key}: {data.user_failure_data.description}"))
            elif data.error is not None:
                error = data.error.cause or data.error
                told.append((str(error.cls_name), f"{event.step_key}: {error.message.strip()}"))
    if not (told or result.success):
        told.append(("run", "the run failed outside of its steps"))
    return told


# -------------------------------------------------------------------------------- the desk


@cache
def _graph_of_all() -> dg.Definitions:
    """Return the graph, built and its jobs resolved once for all processes: a run asks the desk that is open.

    Both take longer than most runs do.
    """
    with tempfile.TemporaryDirectory(prefix="graph-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = definitions_of(_settings(Path(name)))
        kinds = {name: type(own) for name, own in resources_of(Profiled(_settings(Path(name)))).items()}
        graph = dg.Definitions(
            assets=whole.assets,
            asset_checks=whole.asset_checks,
            jobs=whole.jobs,
            sensors=whole.sensors,
            resources={name: _of_the_open_desk(name, kind) for name, kind in kinds.items()},
            executor=whole.executor,
        )
        graph.get_repository_def().get_all_jobs()
        for module in LATE:
            import_module(module)
        # What an instance imports and sets up is there for each child; it is gone before the first.
        dg.DagsterInstance.ephemeral().dispose()
    return graph


def _of_the_open_desk(name: str, kind: type[dg.ResourceDefinition]) -> dg.ResourceDefinition:
    def of_the_open_desk(context: dg.InitResourceContext) -> Any:
        return _Graph.open.resources[name].resource_fn(context)

    return kind(of_the_open_desk)


class _Graph:
    """Run the product's graph on a state folder in this process, for a `with`; one at a time."""

    open: ClassVar[_Graph]

    def __init__(self, state: Path, life: Life | None = None) -> None:
        # A child of forks.py may live a minute; a whole session on a busy machine may take longer.
        signal.alarm(TOO_LONG_S)
        warnings.simplefilter("ignore")
        self._settings = _settings(state)
        self._profiled = Profiled(self._settings, assets=OF_SESSIONS)
        self._instance = dg.DagsterInstance.ephemeral()
        self._quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._quiet, 1)
        ports = {} if life is None else self._mortal(life)
        self.resources = {**resources_of(self._profiled), **ports}
        self._definitions = _graph_of_all()
        _Graph.open = self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._profiled.journal.close()
        self._instance.dispose()
        os.close(self._quiet)

    def run(
        self, what: str, session: date, *, tags: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a job of the book."""
        return self._definitions.resolve_job_def(job_name(BOOK, what)).execute_in_process(
            partition_key=str(session),
            instance=self._instance,
            raise_on_error=False,
            run_config=QUIET,
            tags={BOOK_TAG: BOOK, **(tags or {})},
        )

    def again(self, asset: str, session: date, *, parent: str) -> dg.ExecuteInProcessResult:
        """Run the step of one asset alone, as a run that is retried from its failure does."""
        return self._definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            partition_key=str(session),
            instance=self._instance,
            raise_on_error=False,
            run_config=QUIET,
            asset_selection=[dg.AssetKey([BOOK, asset])],
            tags={"dagster/parent_run_id": parent, "dagster/root_run_id": parent},
        )

    def sweep(self) -> tuple[str, str]:
        """Let the sensor look, and return the key and the session of the one run that it asks for."""
        (sensor,) = [
            one
            for one in self._definitions.get_repository_def().sensor_defs
            if one.name == f"{BOOK}__approvals_sensor"
        ]
        context = dg.build_sensor_context(
            instance=self._instance,
            repository_def=self._definitions.get_repository_def(),
            resources={"journal": self._profiled.journal, "clocks": self._profiled.clocks},
        )
        (request,) = sensor.evaluate_tick(context).run_requests or ()
        return str(request.run_key), str(request.partition_key)

    def _mortal(self, life: Life) -> dict[str, dg.ResourceDefinition]:
        """Return the ports whose calls are moments of a life."""
        profiled = self._profiled
        ports: dict[str, Callable[[], Any]] = {
            name: partial(lambda name: {BOOK: Port(getattr(profiled, name)[BOOK], life)}, name)
            for name in MORTAL_PORTS
        }
        ports |= {
            "journal": lambda: Port(profiled.journal, life),
            "alert_keeper": lambda: Port(profiled.alert_keeper, life),
        }
        return {name: _resource(build) for name, build in ports.items()}


def _resource(build: Callable[[], Any]) -> dg.ResourceDefinition:
    return dg.ResourceDefinition(lambda _: build())


def _prepare(folder: Path, kinds: Collection[str]) -> tuple[dict[str, list[tuple[str, int]]], dict[str, int]]:
    """Import quotes, decide the first session, and see what sessions send when nobody disturbs.

    Only what rounds of these kinds are compared with: the second session, and the calls of an execution.
    """
    _import_quotes(folder / IMPORTED)
    _copied(folder / IMPORTED, folder / DECIDED)
    with _Graph(folder / DECIDED) as graph:
        assert_passed(graph.run("decide", FIRST))
    undisturbed = _copied(folder / DECIDED, folder / "undisturbed")
    sent: dict[str, list[tuple[str, int]]] = {}
    lives = {"session": Life()}
    for session in sessions_of(kinds):
        with _Graph(undisturbed, lives["session"] if session == FIRST else None) as graph:
            assert_passed(graph.run("session", session))
        known = [order for orders in sent.values() for order in orders]
        sent[str(session)] = [order for order in _sent(undisturbed) if order not in known]
    if "retry" in kinds:
        lives["execute"] = Life()
        with _Graph(_copied(folder / DECIDED, folder / "executed"), lives["execute"]) as graph:
            assert_passed(graph.run("execute", FIRST))
    return sent, {what: life.calls for what, life in lives.items()}


def assert_passed(result: dg.ExecuteInProcessResult) -> None:
    """Raise `AssertionError` where a run that nobody disturbed does not pass."""
    if not result.success:
        raise AssertionError(f"does not pass even undisturbed: {_failures(result)}")


def _import_quotes(state: Path) -> None:
    profiled = Profiled(_settings(state))
    window = CALENDAR.before(FIRST, profiled.books[BOOK].rules.window_sessions)
    write_quotes(profiled, BOOK, (*window, *SESSIONS))
    profiled.journal.close()


def _settings(state: Path) -> Settings:
    """Return the settings of a simulated desk whose every file is below one folder."""
    return Settings(
        profile=Profile.SIMULATED,
        state_dir=state,
        config_dir=CONFIG,
        books_file=CONFIG / "books.toml",
        journal_url=f"sqlite:///{state}/simulated/journal.db",
        lake_root=str(state / "simulated" / "lake"),
        live_allowed=False,
        execution_enabled=True,
        log_level="ERROR",
        operator="proof",
        display_timezone="UTC",
    )


def _sent(state: Path) -> list[tuple[str, int]]:
    """Return symbol and quantity of every order in the paper broker's ledger."""
    (ledger,) = (state / "simulated" / "paper").glob("*.db")
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return connection.execute("select symbol, quantity from orders order by seq").fetchall()


def _copied(state: Path, place: Path) -> Path:
    """Copy a state folder; tables of the lake are linked, since nobody writes into one."""
    shutil.copytree(state, place, copy_function=_copy)
    return place


def _copy(source: str, target: str) -> None:
    (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)
