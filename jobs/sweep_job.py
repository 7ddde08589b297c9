"""The job that sweeps variants of one book: its configuration says what is varied, its partition the name.

A variant is a light replay, so that it has no broker and sends nothing; the tag keeps a live one away.
"""

from typing import Any

import dagster as dg

from jobs.replay_job import REPLAY_TAG
from jobs.session_jobs import job_name
from trading_assets.stage import BookGraph


def sweep_job(graph: BookGraph) -> Any:
    """Return the job of one book."""
    return dg.define_asset_job(
        job_name(graph.name, "sweep"),
        selection=dg.AssetSelection.assets(graph.key("sweeps")),
        description="Try variants of one replay by the live rules, rank them, and say how much is luck.",
        tags={REPLAY_TAG: graph.name},
        executor_def=dg.in_process_executor,
    )
