"""The sensor from approvals to execution: what is approved and has not been executed gets a run.

The console launches one at once when a person approves; this sweeps up what has none. Both may fire: the
journal makes a second run harmless.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading.clock import Clock, Phase
from trading.journal import Journal, JournalIntent, RunControl
from trading.lifecycle import IntentState
from trading.values import digest
from trading_assets.stage import BookGraph

INTERVAL_S = 10


def approvals_sensor(graph: BookGraph, *, is_simulated: bool) -> Any:
    """Return the sensor of one book."""

    @dg.sensor(
        name=f"{graph.name}__approvals_sensor",
        job_name=job_name(graph.name, "execute"),
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING if is_simulated else dg.DefaultSensorStatus.STOPPED,
        description=f"Starts the execute job of {graph.name} for open sessions with approved intents.",
    )
    def sensor(
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.SensorResult | dg.SkipReason:
        control = journal.run_control()
        if control.kill_switch_on or control.paused:
            return dg.SkipReason(f"{graph.name}: trading is held by {control.actor}: {control.reason}")
        approved = [
            row
            for row in journal.open_intents(account=graph.config.account, lane=graph.lane)
            if row.state is IntentState.APPROVED and _is_open(graph, clocks[graph.name], row.intent.session)
        ]
        if not approved:
            return dg.SkipReason(f"{graph.name}: nothing approved waits in an open session")
        return dg.SensorResult(
            run_requests=[_request(graph, *group, control) for group in by_session(approved).items()]
        )

    return sensor


def by_session(rows: Iterable[JournalIntent]) -> dict[date, list[JournalIntent]]:
    """Return intents grouped by session, ascending."""
    groups: dict[date, list[JournalIntent]] = {}
    for row in sorted(rows, key=lambda row: (row.intent.session, row.intent_id)):
        groups.setdefault(row.intent.session, []).append(row)
    return groups


def _request(
    graph: BookGraph, session: date, rows: list[JournalIntent], control: RunControl
) -> dg.RunRequest:
    """Return the run of one session; the same approvals give the same key, so a second tick adds none.

    A resume gives another key: what a halt held is tried again.
    """
    key = digest([str(control.changed_at), *([row.intent_id, row.version] for row in rows)])[:16]
    return dg.RunRequest(
        run_key=f"{graph.name}:{session}:execute:{key}",
        partition_key=session.isoformat(),
        tags={BOOK_TAG: graph.name},
    )


def _is_open(graph: BookGraph, clock: Clock, session: date) -> bool:
    now = clock.now(session, Phase.EXECUTE)
    return graph.calendar.opens_at(session) <= now < graph.calendar.closes_at(session)
