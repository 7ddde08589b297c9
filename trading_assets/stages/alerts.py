"""Alerts: what in a session's metrics a person should know, kept in the journal and told from its outbox."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading.alerts import AlertKeeper, AlertPolicy, AlertRow, Deliverer, Severity, evaluate, judged, tell
from trading.clock import Clock, Phase
from trading_assets.stage import REPORTER, BookGraph, column_schema, session_of, table_of


def alerts_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book and its check."""

    @dg.asset(
        **graph.asset_arguments("alerts", group=REPORTER),
        ins={"metrics": graph.rows_of("metrics")},
        metadata={"dagster/column_schema": column_schema(AlertRow)},
    )
    def alerts(
        context: dg.AssetExecutionContext,
        metrics: Any,
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        notifier: dg.ResourceParam[Deliverer],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one rule of the policy that the session's metrics break, with its runbook.

        Each is told once while it goes on; delivery is tried at once and again until it succeeds.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.SETTLE)
        rows = evaluate(metrics, alert_policy.rules, book=graph.name)
        told = tell(
            rows,
            codes=judged(metrics, alert_policy.rules),
            keeper=alert_keeper,
            policy=alert_policy,
            book=graph.name,
            session=session,
            now=now,
        )
        delivered = notifier.deliver(now)
        return dg.Output(
            rows,
            metadata={
                "alerts": len(rows),
                "critical": sum(1 for row in rows if row.severity is Severity.CRITICAL),
                "messages": told,
                "delivery attempts": len(delivered),
                "alert table": table_of(
                    [
                        {
                            "code": row.code,
                            "severity": row.severity.value,
                            "message": row.message,
                            "runbook": row.runbook,
                        }
                        for row in rows
                    ]
                ),
            },
        )

    @dg.asset_check(
        asset=graph.key("alerts"),
        partitions_def=graph.sessions,
        description="Shows the session's alerts; it never holds anything up.",
    )
    def session_raised_no_critical_alert(alerts: Any) -> dg.AssetCheckResult:
        critical = [row for row in alerts if row.severity is Severity.CRITICAL]
        return dg.AssetCheckResult(
            passed=not critical,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"critical": table_of([{"code": row.code, "message": row.message} for row in critical])},
        )

    return [alerts, session_raised_no_critical_alert]
