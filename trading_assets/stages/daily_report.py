"""The daily report: a session on one page, HTML with plots and JSON beside it."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from trading.advice_ladder import AdvisorLadder
from trading.advisor_calls import AdvisorCall
from trading.audit import AuditLog
from trading.clock import Clock, Phase
from trading.journal import Journal
from trading.lifecycle import IntentState
from trading.positions import BookHistory, BookRow, Item
from trading.quotes import AcceptedQuotes
from trading.reporting import (
    DailyReport,
    EquityPoint,
    Lineage,
    ReportFacts,
    ReportFile,
    Tables,
    build_report,
    sparkline_svg,
)
from trading_assets.stage import REPORTER, BookGraph, column_schema, file_row, session_of


class EarlierCalls(Protocol):
    """Know the calls of earlier sessions of a book."""

    def calls_before(self, session: date) -> Sequence[AdvisorCall]:
        """Return the calls of the sessions before one, as far back as an error budget looks."""
        ...


class Reports(Protocol):
    """Write reports where people find them."""

    def write(self, report: DailyReport) -> tuple[Path, Path]:
        """Return the paths written: HTML and JSON."""
        ...


def daily_report_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""
    optional = {"metadata": {"optional": True}}
    read = ("metrics", "alerts", "positions")
    maybe = ("verdicts", "advice", "advisor_calls", "decisions", "executions", "quarantined_quotes")

    @dg.asset(
        **graph.asset_arguments("daily_report", group=REPORTER, kinds={"html"}),
        ins={
            **{name: graph.rows_of(name) for name in read},
            **{name: graph.rows_of(name, **optional) for name in maybe},
            **graph.hydrated(),
        },
        metadata={"dagster/column_schema": column_schema(ReportFile)},
    )
    def daily_report(
        context: dg.AssetExecutionContext,
        metrics: Any,
        alerts: Any,
        positions: Any,
        verdicts: Any,
        advice: Any,
        advisor_calls: Any,
        decisions: Any,
        executions: Any,
        quarantined_quotes: Any,
        input_envelopes: Any,
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        advice_records: dg.ResourceParam[Mapping[str, EarlierCalls]],
        advisor_ladder: dg.ResourceParam[AdvisorLadder],
        report_writer: dg.ResourceParam[Reports],
        tables: dg.ResourceParam[Tables],
        journal: dg.ResourceParam[Journal],
        audit_log: dg.ResourceParam[AuditLog],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one file of the session's report. The HTML opens in any browser, without a server."""
        session = session_of(context)
        intents = journal.intents(book=graph.name, lane=graph.lane, session=session)
        calls = tuple(advisor_calls or ())
        equities = [*book_history[graph.name].equities_before(session), (session, _equity(positions))]
        report = build_report(
            ReportFacts(
                book=graph.name,
                title=graph.config.title,
                mode=graph.lane,
                session=session,
                as_of=clocks[graph.name].now(session, Phase.SETTLE),
                currency=graph.config.currency,
                unfit_reason=accepted_quotes[graph.name].unfit_reason(session),
                inputs=input_envelopes or (),
                advice=advice,
                advisor_calls=calls,
                budget=advisor_ladder.budget_figures(
                    [*advice_records[graph.name].calls_before(session), *calls]
                ),
                metrics=metrics,
                quarantined=quarantined_quotes or (),
                verdicts=verdicts or (),
                decisions=decisions or (),
                pending_ids=frozenset(
                    row.intent_id for row in intents if row.state is IntentState.PENDING_APPROVAL
                ),
                executions=executions or (),
                positions=positions,
                alerts=alerts,
                equities=tuple(EquityPoint(day, equity) for day, equity in equities),
                lineage=_read_for_report(tables.lineage(graph.name, session)),
            )
        )
        audit_log.project()
        html, json = report_writer.write(report)
        return dg.Output(
            tuple(file_row(path) for path in (html, json)),
            metadata={
                "verdict": report.verdict,
                "html": dg.MetadataValue.path(str(html)),
                "equity": dg.MetadataValue.md(_sparkline([equity for _, equity in equities])),
            },
        )

    return [daily_report]


def _read_for_report(lineage: Sequence[Lineage]) -> tuple[Lineage, ...]:
    """Return all tables but the report's own: one made again would name itself and never be the same."""
    return tuple(table for table in lineage if table.asset != "daily_report")


def _equity(positions: Sequence[BookRow]) -> int:
    return next(row.value_micros for row in positions if row.item is Item.EQUITY)


def _sparkline(equities: list[int]) -> str:
    return sparkline_svg([float(equity) for equity in equities])
