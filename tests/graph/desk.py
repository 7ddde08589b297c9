"""A desk on a folder of its own: the real graph, run in process, and the eyes that look at what it left.

Not here: the states that tests begin with; they are fixtures (conftest.py).
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import dagster as dg

from jobs.session_jobs import job_name
from resources import reports
from resources.calendars import load_calendar
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.logs import configure_logging
from resources.profiles import Profiled
from resources.settings import Profile, Settings
from tests.graph.dagster_in_memory import instance_in_memory
from trading.metrics import MetricRow
from trading.reporting import DailyReport
from trading_assets.definitions import definitions_of, resources_of
from trading_assets.quality_suite import validate_quotes
from trading_assets.stages import market_quotes
from trading_assets.tables import OF_SESSIONS, ROW_TYPES

PROJECT = Path(__file__).resolve().parents[2]
CONFIG = PROJECT / "config"
LANE = "simulated"

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps a run's own log off the terminal."""

CALENDAR = load_calendar("XNYS", CONFIG / "calendars")

SESSIONS = CALENDAR.between(date(2013, 2, 20), date(2013, 3, 1))
"""The last sessions of `us_five`; their quotes and those of their windows are in the prepared state."""

FIRST = SESSIONS[0]
"""The session in which the book opens: FB is blocked, an order of IBM is filled."""

WIDE_SESSIONS = CALENDAR.between(date(2010, 8, 19), date(2010, 8, 20))
"""The last sessions of `us_wide`; the one before them, 2010-08-18, is missing for all."""

TELL_OF_THE_COURSE = frozenset({"metrics", "daily_report"})
"""Tables that tell how a session went as well: refusals, and stages that were run again."""

WINDOW = 130
"""Sessions that a decision reads."""


def settings_in(state_dir: Path, **changes: Any) -> Settings:
    """Return the settings of a simulated desk whose every file is below one folder."""
    given: dict[str, Any] = {
        "profile": Profile.SIMULATED,
        "state_dir": state_dir,
        "config_dir": CONFIG,
        "books_file": CONFIG / "books.toml",
        "journal_url": f"sqlite:///{state_dir}/simulated/journal.db",
        "lake_root": str(state_dir / "simulated" / "lake"),
        "live_allowed": False,
        "execution_enabled": True,
        "log_level": "INFO",
        "operator": "tester",
        "display_timezone": "UTC",
    }
    return Settings(**{**given, **changes})


class Desk:
    """Run the graph of one state folder, as one process would; a second desk on it is a second process.

    `ports` replaces what stands behind a resource, given the profile's own adapters; the rest is real.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        book: str = "us_five",
        ports: Mapping[str, Callable[[Profiled], Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.book = book
        self.settings = settings_in(state_dir, **settings)
        self.settings.profile_dir.mkdir(parents=True, exist_ok=True)
        self.profiled = Profiled(self.settings, assets=OF_SESSIONS)
        self.instance = instance_in_memory()
        self._ports = dict(ports or {})
        DESKS[id(self.instance)] = self
        # A desk whose journal is replaced would go on writing to the log of the desk before it.
        configure_logging(self.settings.log_file)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """Return the graph with this desk's ports."""
        return graph_shared_by(self)

    @cached_property
    def resources(self) -> dict[str, dg.ResourceDefinition]:
        """Return what stands behind each port at this desk."""
        return {
            **resources_of(self.profiled),
            **{name: self._resource(name, build) for name, build in self._ports.items()},
        }

    def run(
        self, what: str, session: date, *, tags: Mapping[str, str] | None = None, raise_on_error: bool = False
    ) -> dg.ExecuteInProcessResult:
        """Run a job of the book for a session; with `raise_on_error` the first error ends it at once."""
        return self.definitions.resolve_job_def(job_name(self.book, what)).execute_in_process(
            partition_key=str(session),
            instance=self.instance,
            raise_on_error=raise_on_error,
            run_config=QUIET,
            tags=dict(tags or {}),
        )

    def materialize(self, *assets: str, session: date) -> dg.ExecuteInProcessResult:
        """Materialize assets and their own checks, and nothing else: what the UI's button does."""
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            partition_key=str(session),
            instance=self.instance,
            raise_on_error=False,
            run_config=QUIET,
            asset_selection=[dg.AssetKey([self.book, asset]) for asset in assets],
        )

    def import_quotes(self, first: date, last: date) -> dg.ExecuteInProcessResult:
        """Import the quotes of a range of sessions in one run."""
        return self.definitions.resolve_job_def(job_name(self.book, "import_quotes")).execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            run_config=QUIET,
            tags={
                "dagster/asset_partition_range_start": str(first),
                "dagster/asset_partition_range_end": str(last),
            },
        )

    @property
    def journal(self) -> SqlJournal:
        """Return the journal that the graph uses as well."""
        return self.profiled.journal

    @property
    def lake(self) -> Lake:
        """Return the lake."""
        return self.profiled.lake

    def where(self, session: date) -> dict[str, Any]:
        """Return what names a session in the journal."""
        return {"book": self.book, "lane": LANE, "session": session}

    def rows(self, asset: str, session: date) -> tuple[Any, ...]:
        """Return a table's rows."""
        return self.lake.read_rows((self.book, asset), str(session), ROW_TYPES[asset])[0]

    def files(self) -> dict[str, str]:
        """Return the digest of every file of the book's lake, pointers included, by its place."""
        root = Path(self.settings.lake_root) / self.book
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    def current(self) -> dict[str, str]:
        """Return the content hash of every table as it stands now, whatever it was before."""
        return {
            f"{asset}/{partition}": self.lake.require((self.book, asset), partition).sha
            for asset in ROW_TYPES
            for partition in self.lake.partitions((self.book, asset))
        }

    def outcome(self) -> tuple[dict[str, str], list[MetricRow]]:
        """Return what stands whatever it took to get there: refusals and further runs are told in metrics."""
        told = self.current().items()
        stands = {place: sha for place, sha in told if place.split("/")[0] not in TELL_OF_THE_COURSE}
        measured = [
            row
            for session in self.lake.partitions((self.book, "metrics"))
            for row in self.rows("metrics", date.fromisoformat(session))
            if not row.name.startswith(("stage.", "run."))
        ]
        return stands, measured

    def sent(self) -> list[tuple[str, str, int]]:
        """Return what is in the paper broker's ledger: client order id, symbol and quantity, as accepted."""
        ledger = self.settings.profile_dir / "paper" / f"{self.profiled.books[self.book].account}.db"
        if not ledger.exists():
            return []
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
            return connection.execute(
                "select client_order_id, symbol, quantity from orders order by seq"
            ).fetchall()

    def close(self) -> None:
        """Let go of the journal and of Dagster's storage."""
        self.journal.close()
        self.instance.dispose()

    def _resource(self, name: str, build: Callable[[Profiled], Any]) -> dg.ResourceDefinition:
        kind = dg.IOManagerDefinition if name == "io_manager" else dg.ResourceDefinition
        return kind(lambda _: build(self.profiled))


def failure_of(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """Return stage and words of the first step that failed, empty where none did."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else data.error.to_string()
            return event.step_key.rpartition("__")[2], str(told)
    return "", ""


def copied(state: Path, place: Path) -> Path:
    """Copy a state folder; tables of the lake are linked, since nobody writes into one."""
    shutil.copytree(state, place, copy_function=_copy, dirs_exist_ok=True)
    return place


def _copy(source: str, target: str) -> None:
    (os.link if source.endswith(".parquet") else shutil.copy2)(source, target)


# ---------------------------------------------------------------------------- one graph for many desks

DESKS: WeakValueDictionary[int, Desk] = WeakValueDictionary()
"""Each desk by the identity of its Dagster instance."""

GRAPHS: dict[str, dg.Definitions] = {}


def graph_shared_by(desk: Desk) -> dg.Definitions:
    """Return the graph of a desk's books, built once a process: a run's instance says whose ports are asked.

    To build it and to resolve its jobs takes longer than most runs.
    """
    profiled = desk.profiled
    books = [(profiled.books[name], profiled.calendars[name]) for name in profiled.lines]
    made_of = [profiled.settings.profile, books, list(desk.resources)]
    key = hashlib.sha256(repr(made_of).encode()).hexdigest()
    if key not in GRAPHS:
        whole = definitions_of(desk.settings)
        GRAPHS[key] = dg.Definitions(
            assets=whole.assets,
            asset_checks=whole.asset_checks,
            jobs=whole.jobs,
            schedules=whole.schedules,
            sensors=whole.sensors,
            resources={name: _of_its_desk(name, type(own)) for name, own in desk.resources.items()},
            executor=whole.executor,
        )
        # Here, where warnings of its making are let pass: a job is resolved when it is first asked for.
        GRAPHS[key].get_repository_def().get_all_jobs()
    return GRAPHS[key]


def _of_its_desk(name: str, kind: type[dg.ResourceDefinition]) -> dg.ResourceDefinition:
    def of_its_desk(context: dg.InitResourceContext) -> Any:
        return DESKS[id(context.instance)].resources[name].resource_fn(context)

    return kind(of_its_desk)


# ------------------------------------------------------------------ one suite and one drawing for many desks

SAID: dict[str, list[dict[str, Any]]] = {}


def said_once(frame: Any) -> list[dict[str, Any]]:
    """Return what the suite says of a table of quotes, asked once a process for each.

    A new desk's Dagster remembers no run that judged, and to judge a session's quotes takes longer than any
    of its stages.
    """
    rows = repr([*frame.dtypes.items(), *frame.itertuples(index=False, name=None)])
    table = hashlib.sha256(rows.encode()).hexdigest()
    if table not in SAID:
        SAID[table] = validate_quotes(frame)
    return copy.deepcopy(SAID[table])


market_quotes.validate_quotes = said_once

DRAWN: dict[str, tuple[reports.Plot, ...]] = {}


def drawn_once(report: DailyReport) -> tuple[reports.Plot, ...]:
    """Return a report's plots, drawn once a process: the same day is lived by many tests."""
    shown = repr((report.currency, report.equities, report.funnel, report.positions))
    if shown not in DRAWN:
        DRAWN[shown] = draw_plots(report)
    return DRAWN[shown]


draw_plots = reports.draw_plots
reports.draw_plots = drawn_once
