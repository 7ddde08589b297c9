"""The sensor that keeps journal and broker together while a session is open: it starts the reconcile job.

Often while something is on its way to the broker, now and then otherwise. When simulated it is stopped: a
simulated day has no time in which anything could happen between two runs.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading.clock import Clock, Phase
from trading.journal import ExecutorTerm, Journal, JournalIntent, SessionRecord
from trading.lifecycle import IntentState
from trading_assets.stage import BookGraph

INTERVAL_S = 60
"""How often it is looked, and reconciled while the outcome of anything is open."""

QUIET_EVERY = timedelta(minutes=15)
"""How often it is reconciled while nothing is on its way: for holdings, and orders of somebody else."""

SESSIONS_BACK = 10
"""How far back the last opened session is looked for."""

UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def reconciliation_sensor(graph: BookGraph, *, is_simulated: bool) -> Any:
    """Return the sensor of one book."""
    job = job_name(graph.name, "reconcile")

    @dg.sensor(
        name=f"{graph.name}__reconciliation_sensor",
        job_name=job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.STOPPED if is_simulated else dg.DefaultSensorStatus.RUNNING,
        description=f"Starts the reconcile job of {graph.name} while its session is open; it sends nothing.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.RunRequest | dg.SkipReason:
        record = _last_opened(graph, journal, clocks[graph.name])
        if record is None or record.settled_at is not None:
            return dg.SkipReason(f"{graph.name}: no session is open in the book")
        now = clocks[graph.name].now(record.session, Phase.EXECUTE)
        if now < graph.calendar.opens_at(record.session):
            return dg.SkipReason(f"{graph.name} {record.session}: the market is not open yet")
        why_not = not_due(
            journal.open_intents(account=graph.config.account, lane=graph.lane),
            journal.executor_term(account=graph.config.account, lane=graph.lane),
            now=now,
        )
        if why_not:
            return dg.SkipReason(f"{graph.name} {record.session}: {why_not}")
        if context.instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1):
            return dg.SkipReason(f"{graph.name} {record.session}: a reconciliation is under way")
        minute = f"{now:%Y-%m-%dT%H:%M}"
        return dg.RunRequest(
            run_key=f"{graph.name}:{record.session}:reconcile:{minute}",
            partition_key=record.session.isoformat(),
            tags={BOOK_TAG: graph.name},
        )

    return sensor


def not_due(intents: list[JournalIntent], term: ExecutorTerm | None, *, now: datetime) -> str:
    """Return why a reconciliation is not due yet, empty where it is."""
    if term is None or term.reconciled_at is None:
        return ""
    on_its_way = {IntentState.EXECUTING, IntentState.UNKNOWN}
    is_anything_open = any(row.state in on_its_way for row in intents)
    every = timedelta(seconds=INTERVAL_S) if is_anything_open else QUIET_EVERY
    if now - term.reconciled_at >= every:
        return ""
    return f"reconciled at {term.reconciled_at:%H:%M:%S} UTC, again after {every}"


def _last_opened(graph: BookGraph, journal: Journal, clock: Clock) -> SessionRecord | None:
    today = clock.today(graph.calendar, graph.config.last_session)
    for session in reversed(graph.calendar.before(today + timedelta(days=1), SESSIONS_BACK)):
        record = journal.session_record(**graph.where(session))
        if record is not None and record.opening_sha:
            return record
    return None
