"""Promotion decisions: each night, whether every strategy of a book would be promoted on what is filed of it.

It decides nothing by itself: a promotion is filed by a person (`trading promote --confirm`). What it holds
is that the ledger is whole, and that nothing stays promoted whose evidence no longer stands.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from trading.clock import Clock, Phase
from trading.errors import TradingError
from trading.evidence_ledger import (
    EvidenceStore,
    Ledger,
    Missing,
    books_filed,
    broken_evidence,
    missing_evidence,
    windows_of,
)
from trading.journal import Journal
from trading.promotion import PromotionRow, PromotionRules, fallen
from trading.replay_evidence import promotion_rows
from trading.replaying import ReplayStore
from trading.trials import unrecorded
from trading_assets.stage import SUPERVISOR, BookGraph, column_schema, session_of, table_of

EVIDENCE_WHOLE = "evidence_is_whole"
PROMOTIONS_STAND = "promotions_stand_on_evidence"
EVIDENCE_COMPLETE = "evidence_is_complete"
BLOCKING = (EVIDENCE_WHOLE, PROMOTIONS_STAND)

CHECKS = {
    EVIDENCE_WHOLE: "Names each row of the evidence ledger that is gone, changed, or put in by nobody.",
    PROMOTIONS_STAND: "Names each strategy that is promoted, and would not be on the evidence of today.",
    EVIDENCE_COMPLETE: "Names runs that lack their parts, and windows and replays that nothing records.",
}


def promotion_decisions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("promotion_decisions", group=SUPERVISOR),
        metadata={"dagster/column_schema": column_schema(PromotionRow)},
        check_specs=[
            dg.AssetCheckSpec(
                name,
                asset=graph.key("promotion_decisions"),
                blocking=name in BLOCKING,
                partitions_def=graph.sessions,
                description=told,
            )
            for name, told in CHECKS.items()
        ],
    )
    def promotion_decisions(
        context: dg.AssetExecutionContext,
        evidence: dg.ResourceParam[EvidenceStore],
        evidence_data: dg.ResourceParam[Mapping[str, str]],
        promotion_rules: dg.ResourceParam[Mapping[str, PromotionRules]],
        replay_stores: dg.ResourceParam[Mapping[str, ReplayStore]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        """One row is one strategy of the book: whether the gates would promote it, and who has promoted it.

        The last row is the council of all of them. People who promote read it; nothing is promoted by it.
        """
        session = session_of(context)
        rules = promotion_rules[graph.name]
        ledger = evidence.read()
        try:
            rows = promotion_rows(
                graph.config,
                ledger,
                rules.thresholds,
                data_set_sha=evidence_data[graph.name],
                code_sha=replay_stores[graph.name].code_sha,
                as_of=clocks[graph.name].now(session, Phase.SETTLE),
                last_session=session,
            )
            kept = replay_stores[graph.name].whole()
        except TradingError as error:
            raise dg.Failure(description=f"{graph.name} {session}: {error}", allow_retries=False) from error
        yield dg.Output(
            rows,
            metadata={
                "rows in the ledger": len(ledger.rows),
                **{row.strategy: row.outcome.value for row in rows},
                "decisions": table_of([row._asdict() for row in rows]),
            },
        )
        yield _result(EVIDENCE_WHOLE, broken_evidence(ledger))
        yield _result(PROMOTIONS_STAND, fallen(rows))
        incomplete = _incomplete(graph, session, ledger, rules, journal)
        yield _result(EVIDENCE_COMPLETE, (*incomplete, *unrecorded(graph.name, kept, ledger.rows)))

    return [promotion_decisions]


def _incomplete(
    graph: BookGraph, session: date, ledger: Ledger, rules: PromotionRules, journal: Journal
) -> tuple[Missing, ...]:
    """Return what a whole ledger lacks, with windows of settled sessions where the book has any evidence."""
    size = rules.recording.window_sessions * rules.recording.windows
    settled = []
    for day in (*graph.calendar.before(session, size - 1), session):
        record = journal.session_record(**graph.where(day))
        if record is not None and record.settled_at is not None:
            settled.append(day)
    is_filed = graph.name in books_filed(ledger.rows)
    windows = windows_of(graph.name, settled, rules.recording) if is_filed else ()
    broken = set(broken_evidence(ledger))
    return tuple(one for one in missing_evidence(ledger, windows=windows) if one not in broken)


def _result(name: str, missing: Sequence[Missing]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not missing,
        severity=dg.AssetCheckSeverity.ERROR if name in BLOCKING else dg.AssetCheckSeverity.WARN,
        metadata={
            "detail": f"{len(missing)} found; `trading evidence check` tells them all",
            "rows": table_of([one._asdict() for one in missing]),
        },
    )
