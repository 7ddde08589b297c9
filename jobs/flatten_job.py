"""The job that sends what a named flatten ordered: through every guard, while trading is halted.

It sends approved intents of slot `flatten` and nothing else, and only while halted: whoever launches it, and
though a resume may land between the order and the run. What is ordered is trading/flattening.py; launched by
`trading flatten --confirm`, in a process of its own.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import dagster as dg

from jobs.session_jobs import BOOK_TAG, job_name
from trading.actions import ActionHistory
from trading.audit import AuditLog
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.errors import GateClosed
from trading.executions import ExecutorLock, Router
from trading.journal import Journal
from trading.positions import BookHistory
from trading.quotes import AcceptedQuotes, LiveQuotes, WindowReader
from trading.values import Slot
from trading_assets.executor import log_run, opened_day, shown_finding, told_of_run
from trading_assets.stage import BookGraph, opening_in_journal, table_of
from trading_assets.stages.executions import Senders, send_approved


def flatten_job(graph: BookGraph) -> Any:
    """Return the job of one book."""

    @dg.op(
        name=f"{graph.name}__send_flatten",
        out=dg.Out(dg.Nothing),
        tags={"dagster/max_retries": "0"},
        description="While halted: sends a flatten's sales, each once, after all guards but the kill switch.",
    )
    def send_flatten(
        context: dg.OpExecutionContext,
        *,
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        routers: dg.ResourceParam[Mapping[str, Router]],
        executor_locks: dg.ResourceParam[Mapping[str, ExecutorLock]],
        journal: dg.ResourceParam[Journal],
        audit_log: dg.ResourceParam[AuditLog],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        live_quotes: dg.ResourceParam[Mapping[str, LiveQuotes]],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        action_history: dg.ResourceParam[Mapping[str, ActionHistory]],
        execution_enabled: dg.ResourceParam[bool],
    ) -> None:
        if not journal.run_control().kill_switch_on:
            raise GateClosed("flatten: only while halted, nothing was sent; run `trading halt` first")
        session = date.fromisoformat(context.partition_key)

        def clock() -> datetime:
            return clocks[graph.name].now(session, Phase.EXECUTE)

        at_open, _ = opened_day(
            graph,
            session,
            opening=opening_in_journal(journal, graph, session, now=clock()),
            actions=action_history[graph.name].actions(),
            accepted=accepted_quotes[graph.name],
            history=book_history[graph.name],
        )
        outcomes = send_approved(
            graph,
            session,
            Senders(
                journal=journal,
                broker=brokers[graph.name],
                router=routers[graph.name],
                lock=executor_locks[graph.name],
                audit=audit_log,
                clock=clock,
                windows=windows[graph.name],
                live=live_quotes[graph.name],
                history=book_history[graph.name],
                execution_enabled=execution_enabled,
                holder=f"run {context.run.run_id[:8]}",
            ),
            at_open=at_open,
            decisions=[row.intent for row in journal.intents(**graph.where(session))],
            verdicts=(),
            began_at=clock(),
            slots=frozenset({Slot.FLATTEN}),
        )
        log_run(graph, session, outcomes)
        audit_log.project()
        context.log_event(
            dg.AssetObservation(
                asset_key=graph.key("executions"),
                partition=str(session),
                metadata={
                    "flatten": told_of_run(outcomes),
                    "findings": table_of([shown_finding(finding) for finding in outcomes.findings]),
                },
            )
        )
        if outcomes.halted:
            raise GateClosed(f"the flatten stopped before its end: {outcomes.halted}")

    @dg.job(
        name=job_name(graph.name, "flatten"),
        partitions_def=graph.sessions,
        tags={BOOK_TAG: graph.name},
        executor_def=dg.in_process_executor,
        description="By a named person's word: sells what a previewed flatten ordered, and nothing else.",
    )
    def flatten() -> None:
        send_flatten()

    return flatten
