"""The jobs of one book: import quotes, decide, execute, settle, carry, and a whole session in one run.

Each selects stages by name and runs in one process. The execute job selects the checks of `decisions` as
well, so that the blocking ones run again just before; a run without them is held by the executor itself.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from trading_assets.stage import BookGraph

BOOK_TAG = "trading/book"
"""The run tag that the queue limits: one run of a book at a time."""

IMPORT = ("corporate_actions", "market_quotes", "quarantined_quotes")
DECIDE = (
    "opening_book",
    "input_envelopes",
    "candidates",
    "intents",
    "verdicts",
    "advice",
    "advisor_calls",
    "decisions",
)
EXECUTE = ("executions",)
SETTLE = (
    "market_quotes",
    "quarantined_quotes",
    "order_status",
    "broker_positions",
    "positions",
    "metrics",
    "alerts",
    "daily_report",
)
SESSION = tuple(dict.fromkeys((*DECIDE, *EXECUTE, *SETTLE)))


def job_name(book: str, what: str) -> str:
    """Return the name of a book's job: `us_five__decide`."""
    return f"{book}__{what}"


def book_jobs(graph: BookGraph) -> list[Any]:
    """Return the six jobs of one book."""
    return [
        _job(
            graph,
            "import_quotes",
            IMPORT,
            "Import bars: accepted ones, quarantined ones, and corporate actions.",
        ),
        _job(
            graph,
            "decide",
            DECIDE,
            "Before the open: from quotes of earlier sessions to registered decisions.",
        ),
        _job(
            graph,
            "execute",
            EXECUTE,
            "When something is approved: the blocking checks again, then each approved intent once.",
            checks_of=("decisions", "executions"),
        ),
        _job(graph, "settle", SETTLE, "After the close: quotes, fills, positions, metrics, alerts, report."),
        _job(
            graph,
            "carry",
            ("opening_book", *SETTLE),
            "By a person's word: the book is opened and settled without anything being decided or sent.",
        ),
        _job(graph, "session", SESSION, "A whole session in one run: decide, execute, settle."),
    ]


def _job(
    graph: BookGraph,
    what: str,
    assets: Sequence[str],
    description: str,
    *,
    checks_of: Sequence[str] | None = None,
) -> Any:
    keys = [graph.key(name) for name in assets]
    checked = [graph.key(name) for name in (checks_of if checks_of is not None else assets)]
    return dg.define_asset_job(
        job_name(graph.name, what),
        selection=dg.AssetSelection.assets(*keys) | dg.AssetSelection.checks_for_assets(*checked),
        description=description,
        tags={BOOK_TAG: graph.name},
        executor_def=dg.in_process_executor,
    )
