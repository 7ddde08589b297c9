"""The job that replays a range of one book, in one run: its configuration says what, its partition the name.

It reads no journal, has no broker and sends nothing; the tag keeps a live broker from whatever it may run.
"""

from typing import Any

import dagster as dg

from jobs.session_jobs import job_name
from trading_assets.stage import BookGraph

REPLAY_TAG = "trading/replay"
"""The run tag of replays: with it no live broker is built (resources/live_capability.py)."""

REPLAY = ("replays", "scorecards")


def replay_job(graph: BookGraph) -> Any:
    """Return the job of one book."""
    keys = [graph.key(name) for name in REPLAY]
    return dg.define_asset_job(
        job_name(graph.name, "replay"),
        selection=dg.AssetSelection.assets(*keys) | dg.AssetSelection.checks_for_assets(*keys),
        description="Replay a range by the live rules, under a name, and score it: years in one run.",
        tags={REPLAY_TAG: graph.name},
        executor_def=dg.in_process_executor,
    )
