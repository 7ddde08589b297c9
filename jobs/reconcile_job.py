"""The job that brings one book's journal and broker together, between its other runs: it sends nothing.

What it does is trading/reconciliation.py by way of trading_assets/executor.py; when it runs is
sensors/reconciliation.py, and `trading reconcile` does the same without Dagster.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading.actions import ActionHistory
from trading.alerts import AlertKeeper, AlertPolicy, Deliverer
from trading.audit import AuditLog
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.executions import ExecutorBusy, ExecutorLock
from trading.journal import Journal
from trading.positions import BookHistory
from trading.quotes import AcceptedQuotes
from trading_assets.executor import (
    Ports,
    Reconciled,
    reconcile_book,
    shown_finding,
    tell_of_stuck,
    tell_people,
    told_of_run,
)
from trading_assets.stage import BookGraph, table_of


def reconcile_job(graph: BookGraph) -> Any:
    """Return the job of one book."""

    @dg.op(
        name=f"{graph.name}__bring_together",
        out=dg.Out(dg.Nothing),
        tags={"dagster/max_retries": "0"},
        description="Asks the broker for everything that is open, books fills, and names what differs.",
    )
    def bring_together(
        context: dg.OpExecutionContext,
        *,
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        executor_locks: dg.ResourceParam[Mapping[str, ExecutorLock]],
        journal: dg.ResourceParam[Journal],
        audit_log: dg.ResourceParam[AuditLog],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        action_history: dg.ResourceParam[Mapping[str, ActionHistory]],
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        notifier: dg.ResourceParam[Deliverer],
    ) -> None:
        session = date.fromisoformat(context.partition_key)
        ports = Ports(
            journal=journal,
            broker=brokers[graph.name],
            lock=executor_locks[graph.name],
            audit=audit_log,
            clock=clocks[graph.name],
            accepted=accepted_quotes[graph.name],
            history=book_history[graph.name],
            actions=action_history[graph.name],
        )
        try:
            done = reconcile_book(graph, session, ports, holder=f"run {context.run.run_id[:8]}")
        except ExecutorBusy as busy:
            # Whoever executes reconciles before it sends, so that nothing is missed; but it may hang.
            context.log.info("%s %s: %s", graph.name, session, busy)
            tell_of_stuck(
                graph,
                session,
                journal=journal,
                policy=alert_policy,
                keeper=alert_keeper,
                notifier=notifier,
                now=ports.clock.now(session, Phase.EXECUTE),
            )
            return
        audit_log.project()
        tell_people(
            graph,
            session,
            done.outcomes,
            journal=journal,
            policy=alert_policy,
            keeper=alert_keeper,
            notifier=notifier,
            now=ports.clock.now(session, Phase.EXECUTE),
            not_compared=done.not_compared,
        )
        context.log_event(
            dg.AssetObservation(
                asset_key=graph.key("order_status"), partition=str(session), metadata=_told(done)
            )
        )
        if done.outcomes.halted:
            raise dg.Failure(
                description=f"{graph.name} {session}: not reconciled: {done.outcomes.halted}",
                allow_retries=False,
            )

    @dg.job(
        name=job_name(graph.name, "reconcile"),
        partitions_def=graph.sessions,
        tags={BOOK_TAG: graph.name},
        executor_def=dg.in_process_executor,
        description="Between other runs: journal and broker are brought together, and nothing is sent.",
    )
    def reconcile() -> None:
        bring_together()

    return reconcile


def _told(done: Reconciled) -> dict[str, Any]:
    findings = [shown_finding(finding) for finding in done.outcomes.findings]
    return {
        "findings": len(findings),
        "not compared": done.not_compared,
        "halted": done.outcomes.halted,
        "this run": told_of_run(done.outcomes),
        "what disagrees": table_of(findings),
    }
