"""The job that looks back on a week of one book: its health summary and its compliance audit.

It sends nothing and changes nothing of what may be traded; when it runs is sensors/weeks.py.
"""

from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading_assets.stage import BookGraph

WEEK = ("weekly_health", "weekly_audit")


def week_job(graph: BookGraph) -> Any:
    """Return the job of one book."""
    keys = [graph.key(name) for name in WEEK]
    return dg.define_asset_job(
        job_name(graph.name, "week"),
        selection=dg.AssetSelection.assets(*keys) | dg.AssetSelection.checks_for_assets(*keys),
        description="Look back on a week: how it went, and whether all of it was in order.",
        tags={BOOK_TAG: graph.name},
        executor_def=dg.in_process_executor,
    )
