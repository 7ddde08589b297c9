"""Weeks: each looked back on once it is over, for people: how it went, and whether all of it was in order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from trading.compliance import Finding, Grade, WeekAudit
from trading.errors import TradingError
from trading.reporting import ReportFile, sparkline_svg
from trading.weekly_health import Outcome, WeekHealth
from trading.weeks import Week, week_from_text
from trading_assets.stage import REPORTER, SUPERVISOR, BookGraph, column_schema, file_row, table_of


class WeekRecords(Protocol):
    """Look back on the weeks of books, from what is stored."""

    def health(self, book: str, week: Week) -> WeekHealth:
        """Return the health summary of a week."""
        ...

    def audit(self, book: str, week: Week, tell: Callable[[str], None]) -> WeekAudit:
        """Return the compliance audit of a week; `tell` is told how far a long look is."""
        ...


class WeekReports(Protocol):
    """Write what was found of a week where people find it."""

    def write_health(self, health: WeekHealth) -> tuple[Path, Path]:
        """Return the paths written: HTML and JSON."""
        ...

    def write_audit(self, audit: WeekAudit) -> tuple[Path, Path]:
        """Return the paths written: HTML and JSON."""
        ...


def weeks_stage(graph: BookGraph) -> list[Any]:
    """Return the two assets of one book, and the check of the audit."""

    @dg.asset(
        **{
            **graph.asset_arguments("weekly_health", group=REPORTER, kinds={"html"}),
            "partitions_def": graph.week_names,
        },
        metadata={"dagster/column_schema": column_schema(ReportFile)},
    )
    def weekly_health(
        context: dg.AssetExecutionContext,
        week_records: dg.ResourceParam[WeekRecords],
        week_writer: dg.ResourceParam[WeekReports],
    ) -> dg.Output[Any]:
        """One row is one file of the week's health summary. It tells of missed sessions by name."""
        try:
            health = week_records.health(graph.name, week_from_text(context.partition_key))
        except TradingError as error:
            raise _failed(graph, context.partition_key, error) from error
        html, json = week_writer.write_health(health)
        return dg.Output(tuple(file_row(path) for path in (html, json)), metadata=_told(health, html))

    @dg.asset(
        **{
            **graph.asset_arguments("weekly_audit", group=SUPERVISOR, kinds={"html"}),
            "partitions_def": graph.week_names,
        },
        metadata={"dagster/column_schema": column_schema(Finding)},
    )
    def weekly_audit(
        context: dg.AssetExecutionContext,
        week_records: dg.ResourceParam[WeekRecords],
        week_writer: dg.ResourceParam[WeekReports],
    ) -> dg.Output[Any]:
        """One row is one finding of the week's compliance audit, with how bad it is and where to look.

        The stores are verified as of the run. What could not be checked is a finding of its own.
        """
        try:
            audit = week_records.audit(
                graph.name, week_from_text(context.partition_key), tell=context.log.info
            )
        except TradingError as error:
            raise _failed(graph, context.partition_key, error) from error
        html, _ = week_writer.write_audit(audit)
        return dg.Output(
            audit.findings,
            metadata={
                "outcome": audit.outcome,
                "critical": audit.critical,
                "warnings": audit.warnings,
                "not checked": audit.not_checked,
                "html": dg.MetadataValue.path(str(html)),
                "areas": table_of([row._asdict() for row in audit.areas]),
                "findings": table_of([row._asdict() for row in audit.findings]),
            },
        )

    @dg.asset_check(
        asset=graph.key("weekly_audit"),
        partitions_def=graph.week_names,
        description="Warns of the critical findings of a week's audit; it never holds anything up.",
    )
    def week_was_in_order(weekly_audit: Any) -> dg.AssetCheckResult:
        critical = [row for row in weekly_audit if row.grade is Grade.CRITICAL]
        return dg.AssetCheckResult(
            passed=not critical,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{len(critical)} critical findings",
            metadata={"critical": table_of([row._asdict() for row in critical])},
        )

    return [weekly_health, weekly_audit, week_was_in_order]


def _failed(graph: BookGraph, week: str, error: TradingError) -> dg.Failure:
    return dg.Failure(description=f"{graph.name} week {week}: {error}", allow_retries=False)


def _told(health: WeekHealth, html: Path) -> dict[str, Any]:
    equities = [row.equity_micros / 1e6 for row in health.sessions if row.equity_micros is not None]
    cost = health.cost
    return {
        "outcome": health.outcome.value,
        "attention": table_of([{"attention": line} for line in health.attention]),
        "sessions": f"{health.run} of {health.expected} run, {health.late} late, {health.missed} missed",
        "all well": health.outcome is Outcome.ALL_WELL,
        "html": dg.MetadataValue.path(str(html)),
        "equity": dg.MetadataValue.md(sparkline_svg(equities) or "no data"),
        "budgets": table_of([row._asdict() for row in health.budgets]),
        "by session": table_of([row._asdict() for row in health.sessions]),
        "cost_usd": "no data" if cost is None else cost.spent.cost_micros / 1e6,
    }
