"""The schedule of one book's weeks: on Monday it looks back on every week that is over and has no look yet.

It asks what is missing, not what day it is: a desk that was off for a month catches up with one tick, and a
week in which nobody ran anything is looked back on as well. Which weeks those are is trading/weeks.py.
"""

from typing import Any, Protocol

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading.timetable import week_cron
from trading_assets.stage import BookGraph


class MissingWeeks(Protocol):
    """Know which weeks nobody has looked back on."""

    def missing(self, book: str) -> tuple[str, ...]:
        """Return the weeks of a book that are over and not looked back on yet, ascending."""
        ...


def week_schedule(graph: BookGraph, *, is_simulated: bool) -> Any:
    """Return the schedule of one book; as with sessions, only when simulated it runs by default."""

    @dg.schedule(
        name=f"{graph.name}__week_schedule",
        job_name=job_name(graph.name, "week"),
        cron_schedule=week_cron(graph.calendar),
        execution_timezone=graph.calendar.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if is_simulated else dg.DefaultScheduleStatus.STOPPED,
        description=f"Looks back on each week of {graph.name} that is over and was not looked back on.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, week_records: dg.ResourceParam[MissingWeeks]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        missing = week_records.missing(graph.name)
        if not missing:
            return dg.SkipReason(f"{graph.name}: every week that is over was looked back on")
        context.instance.add_dynamic_partitions(graph.week_names.name or "", list(missing))
        # The tick is in the key, so that a look that failed is tried again a week later.
        tick = context.scheduled_execution_time.date().isoformat()
        return [
            dg.RunRequest(
                run_key=f"{graph.name}:{week}:week:{tick}",
                partition_key=week,
                tags={BOOK_TAG: graph.name},
            )
            for week in missing
        ]

    return schedule
