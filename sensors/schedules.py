"""The schedules of one book: decide before the open, settle after the close, in exchange time.

While the book's account cools down nothing is decided; what is on its way is executed and settled as ever.
Which session a tick is for is trading/timetable.py. When simulated, today is the data's last session.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading.clock import Clock, Phase
from trading.control import cooldown_refusal
from trading.journal import Journal, SessionRecord, is_finished
from trading.reporting import Tables
from trading.timetable import Tick, decide_cron, decide_tick, settle_crons, settle_tick
from trading_assets.stage import BookGraph


def book_schedules(graph: BookGraph, *, is_simulated: bool) -> list[Any]:
    """Return the three schedules of one book; only when simulated do they run by default."""
    calendar = graph.calendar
    return [
        _schedule(
            graph,
            "decide",
            [decide_cron(calendar)],
            lambda at: _tick(graph, decide_tick, at, is_simulated=is_simulated),
            is_done=lambda record, _: record.decided_at is not None,
            is_simulated=is_simulated,
        ),
        _schedule(
            graph,
            "settle",
            settle_crons(calendar),
            lambda at: _tick(graph, settle_tick, at, is_simulated=is_simulated),
            is_done=lambda record, has_report: is_finished(record, has_report=has_report),
            is_simulated=is_simulated,
        ),
        # At the same ticks: it stands in the book's queue behind the settlement.
        _schedule(
            graph,
            "evidence",
            settle_crons(calendar),
            lambda at: _tick(graph, settle_tick, at, is_simulated=is_simulated),
            is_done=lambda *_: False,
            is_simulated=is_simulated,
        ),
    ]


def _tick(
    graph: BookGraph, meaning: Callable[[Any, datetime], Tick], at: datetime, *, is_simulated: bool
) -> Tick:
    tick = meaning(graph.calendar, at)
    if is_simulated and tick.session is not None:
        return Tick(graph.config.last_session, "")
    return tick


def _schedule(
    graph: BookGraph,
    what: str,
    crons: list[str],
    tick_at: Callable[[datetime], Tick],
    *,
    is_done: Callable[[SessionRecord, bool], bool],
    is_simulated: bool,
) -> Any:
    @dg.schedule(
        name=f"{graph.name}__{what}_schedule",
        job_name=job_name(graph.name, what),
        cron_schedule=crons,
        execution_timezone=graph.calendar.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if is_simulated else dg.DefaultScheduleStatus.STOPPED,
        description=f"Starts the {what} job of {graph.name} on exchange sessions; names a skipped holiday.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext,
        journal: dg.ResourceParam[Journal],
        tables: dg.ResourceParam[Tables],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.RunRequest | dg.SkipReason:
        tick = tick_at(context.scheduled_execution_time)
        if tick.session is None:
            return dg.SkipReason(tick.reason)
        record = journal.session_record(book=graph.name, lane=graph.lane, session=tick.session)
        told = any(row.asset == "daily_report" for row in tables.lineage(graph.name, tick.session))
        if record is not None and is_done(record, told):
            return dg.SkipReason(f"{graph.name} {tick.session}: {what} is done already")
        if what == Phase.DECIDE:
            held = journal.cool_down(
                account=graph.config.account,
                lane=graph.lane,
                rules=graph.config.rules.cooldown,
                now=clocks[graph.name].now(tick.session, Phase.DECIDE),
            )
            if held is not None:
                return dg.SkipReason(f"{graph.name} {tick.session}: {' '.join(cooldown_refusal(held))}")
        key = tick.session.isoformat()
        return dg.RunRequest(
            run_key=f"{graph.name}:{key}:{what}", partition_key=key, tags={BOOK_TAG: graph.name}
        )

    return schedule
