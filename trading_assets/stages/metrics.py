"""Metrics: one session in numbers, from the tables of the stages before it. No data is not zero."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading.metrics import MetricRow, MetricStatus, SessionFacts, broker_calls_of, session_metrics
from trading.outbound import CallHistory
from trading.positions import BookHistory, book_from_rows
from trading.reporting import Tables
from trading.session_course import CourseHistory
from trading_assets.stage import REPORTER, BookGraph, column_schema, session_of, table_of


def metrics_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""
    optional = {"metadata": {"optional": True}}
    read = (
        "market_quotes",
        "quarantined_quotes",
        "candidates",
        "intents",
        "verdicts",
        "advice",
        "advisor_calls",
        "decisions",
    )

    @dg.asset(
        **graph.asset_arguments("metrics", group=REPORTER),
        ins={
            **{name: graph.rows_of(name, **optional) for name in (*read, "executions", "broker_positions")},
            **{name: graph.rows_of(name) for name in ("order_status", "positions")},
            **graph.hydrated(),
        },
        metadata={"dagster/column_schema": column_schema(MetricRow)},
    )
    def metrics(
        context: dg.AssetExecutionContext,
        market_quotes: Any,
        quarantined_quotes: Any,
        candidates: Any,
        intents: Any,
        verdicts: Any,
        advice: Any,
        advisor_calls: Any,
        decisions: Any,
        executions: Any,
        broker_positions: Any,
        order_status: Any,
        positions: Any,
        input_envelopes: Any,
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        call_history: dg.ResourceParam[Mapping[str, CallHistory]],
        course_history: dg.ResourceParam[Mapping[str, CourseHistory]],
        tables: dg.ResourceParam[Tables],
    ) -> dg.Output[Any]:
        """One row is one number of the session with its unit, or "no data". Alerts and the report read it."""
        session = session_of(context)
        rows = session_metrics(
            SessionFacts(
                session=session,
                quotes_count=_count(market_quotes),
                quarantined_count=_count(quarantined_quotes),
                candidates=candidates or (),
                intents_count=_count(intents),
                verdicts=verdicts or (),
                advice=advice or (),
                advisor_calls=advisor_calls or (),
                decisions=decisions or (),
                executions=executions or (),
                order_status=order_status,
                positions=positions,
                previous_equities_micros=tuple(
                    equity for _, equity in book_history[graph.name].equities_before(session)
                ),
                deposits_micros=book_from_rows(positions).deposits_micros,
                broker_calls=broker_calls_of(call_history[graph.name].calls_in(session)),
                inputs=input_envelopes or (),
                broker_positions=broker_positions,
                course=course_history[graph.name].course_of(session),
                stored=tuple(row.asset for row in tables.lineage(graph.name, session) if row.partition),
            )
        )
        numbers = {row.name: row.value for row in rows if row.status is MetricStatus.OK}
        return dg.Output(
            rows,
            metadata={
                **{name: round(value, 6) for name, value in numbers.items() if value is not None},
                "no data": sum(1 for row in rows if row.status is MetricStatus.NO_DATA),
                "numbers": table_of(
                    [{"metric": row.name, "value": row.value, "unit": row.unit} for row in rows], limit=200
                ),
            },
        )

    return [metrics]


def _count(rows: Any) -> int | None:
    return None if rows is None else len(rows)
