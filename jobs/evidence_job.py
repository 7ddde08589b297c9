"""The job that looks at the evidence of one book each night: its ledger, and what is promoted on it.

It sends nothing and promotes nothing; when it runs is sensors/schedules.py.
"""

from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading_assets.stage import BookGraph

EVIDENCE = ("promotion_decisions",)


def evidence_job(graph: BookGraph) -> Any:
    """Return the job of one book."""
    keys = [graph.key(name) for name in EVIDENCE]
    return dg.define_asset_job(
        job_name(graph.name, "evidence"),
        selection=dg.AssetSelection.assets(*keys) | dg.AssetSelection.checks_for_assets(*keys),
        description="Each night: whether evidence is missing, and what is promoted still would be.",
        tags={BOOK_TAG: graph.name},
        executor_def=dg.in_process_executor,
    )
