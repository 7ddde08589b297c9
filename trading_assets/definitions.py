"""The root of the graph: every book's assets, checks, jobs and sensors, with the profile's adapters.

The only module that knows both the graph and which adapter is real.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from console.desk import desk_of
from console.slo import DeskLevels
from console.weeks import DeskWeeks
from jobs.evidence_job import evidence_job
from jobs.flatten_job import flatten_job
from jobs.reconcile_job import reconcile_job
from jobs.replay_job import replay_job
from jobs.session_jobs import BOOK_TAG, book_jobs
from jobs.sweep_job import sweep_job
from jobs.week_job import week_job
from resources.journal.store import SqlJournal
from resources.lake.io_manager import LakeIOManager
from resources.logs import configure_logging, with_ids
from resources.profiles import Profiled
from resources.replay_trials import replay_trials_of
from resources.settings import Profile, Settings, load_settings
from resources.sweeping import sweepers_of
from sensors.approvals import approvals_sensor
from sensors.reconciliation import reconciliation_sensor
from sensors.schedules import book_schedules
from sensors.watch import watch_sensor
from sensors.weeks import week_schedule
from trading_assets.session_graph import book_graph, session_graph
from trading_assets.stage import POINTER_EXTRAS, BookGraph
from trading_assets.tables import OF_SESSIONS, REMEDIES, ROW_TYPES


def definitions_of(settings: Settings, *, only: str | None = None) -> dg.Definitions:
    """Return the definitions of a machine's settings: the same graph for every profile.

    `only` is a book beside which no other's assets and jobs are made, though every book is read: a run of one
    needs no more, and making them takes as long as reading all else.
    """
    _accept_pinned_previews()
    profiled = Profiled(settings, assets=OF_SESSIONS)
    is_simulated = settings.profile is Profile.SIMULATED
    read = [graph_of(profiled, book) for book in profiled.lines]
    graphs = [graph for graph in read if only in {None, graph.name}]
    automations = {graph.name: automations_of(graph, is_simulated=is_simulated) for graph in graphs}
    own = [one for automation in automations.values() for one in automation]
    everything = [definition for graph in graphs for definition in session_graph(graph)]
    return dg.Definitions(
        assets=[one for one in everything if not isinstance(one, dg.AssetChecksDefinition)],
        asset_checks=[one for one in everything if isinstance(one, dg.AssetChecksDefinition)],
        jobs=[
            job
            for graph in graphs
            for job in (
                *book_jobs(graph),
                reconcile_job(graph),
                flatten_job(graph),
                replay_job(graph),
                sweep_job(graph),
                evidence_job(graph),
                week_job(graph),
            )
        ],
        schedules=[one for one in own if isinstance(one, dg.ScheduleDefinition)],
        sensors=[
            *(one for one in own if isinstance(one, dg.SensorDefinition)),
            watch_sensor(graphs, automations=automations, is_simulated=is_simulated),
        ],
        resources=resources_of(profiled),
        executor=dg.in_process_executor,
    )


def graph_of(profiled: Profiled, book: str) -> BookGraph:
    """Return what the stages, jobs and sensors of a book are built from."""
    settings = profiled.settings
    return book_graph(
        profiled.books[book],
        profiled.calendars[book],
        lane=settings.profile.value,
        is_open_ended=settings.profile is not Profile.SIMULATED,
    )


def automations_of(graph: BookGraph, *, is_simulated: bool) -> list[Any]:
    """Return the schedules of a book, then its sensors."""
    return [
        *book_schedules(graph, is_simulated=is_simulated),
        week_schedule(graph, is_simulated=is_simulated),
        approvals_sensor(graph, is_simulated=is_simulated),
        reconciliation_sensor(graph, is_simulated=is_simulated),
    ]


def resources_of(profiled: Profiled) -> dict[str, dg.ResourceDefinition]:
    """Return the adapter behind each port that stages ask for; each opens in the run that first needs it."""
    levels = functools.cache(lambda: DeskLevels(desk=desk_of(profiled.settings)))
    adapters: dict[str, Callable[[], Any]] = {
        "alert_keeper": lambda: profiled.alert_keeper,
        "signal_keeper": lambda: profiled.signal_keeper,
        "sources": lambda: profiled.sources,
        "fallback_sources": lambda: profiled.fallback_sources,
        "windows": lambda: profiled.windows,
        "accepted_quotes": lambda: profiled.accepted_quotes,
        "quality": lambda: profiled.quality,
        "clocks": lambda: profiled.clocks,
        "live_quotes": lambda: profiled.live_quotes,
        "executor_locks": lambda: profiled.executor_locks,
        "execution_enabled": lambda: profiled.settings.execution_enabled,
        "approval_environment": lambda: profiled.settings.approval_mode,
        "audit_log": lambda: profiled.audit_log,
        "advisor": lambda: profiled.advisor,
        "advisor_ladder": lambda: profiled.advisor_ladder,
        "advice_records": lambda: profiled.advice_records,
        "alert_policy": lambda: profiled.alert_policy,
        "notifier": lambda: profiled.notifier,
        "book_history": lambda: profiled.book_history,
        "call_history": lambda: profiled.call_history,
        "course_history": lambda: profiled.course_history,
        "week_records": lambda: DeskWeeks(profiled.settings),
        "call_log": lambda: profiled.call_log,
        "broker_history": lambda: profiled.broker_history,
        "input_history": lambda: profiled.input_history,
        "action_history": lambda: profiled.action_history,
        "report_writer": lambda: profiled.report_writer,
        "week_writer": lambda: profiled.week_writer,
        "tables": lambda: profiled.lineage,
        "data_sets": lambda: profiled.data_sets,
        "replay_stores": lambda: profiled.replay_stores,
        "replay_trials": lambda: replay_trials_of(profiled),
        "evidence": lambda: profiled.evidence,
        "evidence_data": lambda: profiled.evidence_data,
        "promotion_rules": lambda: profiled.promotion_rules,
        "sweepers": lambda: sweepers_of(profiled),
        "tear_sheets": lambda: profiled.tear_sheets,
        "session_records": lambda: profiled.session_records,
        "watched": lambda: profiled.watch_signs,
        "levels": levels,
    }
    return {
        "io_manager": dg.IOManagerDefinition(
            lambda _: LakeIOManager(profiled.lake, ROW_TYPES, extras=POINTER_EXTRAS, remedies=REMEDIES)
        ),
        "journal": dg.ResourceDefinition(lambda context: _logged_journal(profiled, context)),
        "brokers": dg.ResourceDefinition(lambda context: profiled.brokers_in(_tags_of(context))),
        "routers": dg.ResourceDefinition(lambda context: profiled.routers_in(_tags_of(context))),
        **{name: _resource(build) for name, build in adapters.items()},
    }


def _accept_pinned_previews() -> None:
    """Silence what Dagster says of features that the pinned version has and our tests hold.

    Partitions of check specs are in preview, the mapping to an absent first partition in beta; a session
    job has one policy more than the import beside it, and takes the smaller one as it should.
    """
    warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def.*AssetCheckSpec")
    warnings.filterwarnings(
        "ignore", category=dg.BetaWarning, message=".*allow_nonexistent_upstream_partitions"
    )
    warnings.filterwarnings("ignore", category=UserWarning, message=".*varying BackfillPolicies")


def _logged_journal(profiled: Profiled, context: dg.InitResourceContext) -> Iterator[SqlJournal]:
    """Give the journal to a run, and log what the run does to the profile's file, under its ids.

    Each step of an order's life is a line, for the journal tells of it (resources/order_lines.py).
    """
    configure_logging(profiled.settings.log_file, level=profiled.settings.log_level)
    with with_ids(**_ids_of(context)):
        yield profiled.journal


def _ids_of(context: dg.InitResourceContext) -> dict[str, str]:
    """Return what names the run that a resource is made for; a sensor has none."""
    tags = _tags_of(context)
    named = {"book": tags.get(BOOK_TAG), "session": tags.get("dagster/partition")}
    if context.run:
        named["run_id"] = context.run.run_id
    return {name: value for name, value in named.items() if value}


def _tags_of(context: dg.InitResourceContext) -> Mapping[str, str]:
    """Return the tags of the run that a resource is made for."""
    return context.run.tags if context.run else {}


def _resource(build: Callable[[], Any]) -> dg.ResourceDefinition:
    return dg.ResourceDefinition(lambda _: build())


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of this machine's settings."""
    return _defined_once(load_settings())


@functools.lru_cache(maxsize=1)
def _defined_once(settings: Settings) -> dg.Definitions:
    """Return the definitions, made once a process: Dagster asks twice in each process that runs a job.

    A reload is a process of its own.
    """
    return definitions_of(settings)
