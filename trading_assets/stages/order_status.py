"""Order status: where each order of a session stands after the close, as the broker and the journal agree."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import partial
from typing import Any

import dagster as dg

from trading.alerts import AlertKeeper, AlertPolicy, Deliverer
from trading.audit import AuditLog
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.errors import OutOfOrder
from trading.executions import Desk, ExecutorLock, settle_orders, stopped
from trading.findings import findings_kept
from trading.journal import Journal
from trading.lifecycle import IntentState
from trading.order_tables import order_inputs_sha, order_status_rows
from trading.orders import OrderStatusRow
from trading.positions import BookHistory
from trading.quotes import AcceptedQuotes
from trading.reconciliation import Expected
from trading_assets.executor import opened_day, shown_finding, tell_people, told_of_run
from trading_assets.stage import (
    INPUTS_SHA,
    MONITOR,
    BookGraph,
    Where,
    column_schema,
    opening_in_journal,
    refusals_kept,
    session_of,
    table_of,
)

ORDERS_AGREE = "orders_agree_with_the_broker"
"""The check of `order_status`: nothing was found that journal and broker do not agree on."""


def order_status_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("order_status", group=MONITOR, kinds={"broker"}),
        ins={"corporate_actions": graph.rows_of("corporate_actions")},
        deps=[graph.key("opening_book"), graph.key("executions")],
        op_tags={"dagster/max_retries": "0"},
        metadata={"dagster/column_schema": column_schema(OrderStatusRow)},
        check_specs=[
            dg.AssetCheckSpec(
                ORDERS_AGREE,
                asset=graph.key("order_status"),
                partitions_def=graph.sessions,
                description="Shows each order on which journal and broker do not agree, and what to do.",
            )
        ],
    )
    def order_status(
        context: dg.AssetExecutionContext,
        corporate_actions: Any,
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        audit_log: dg.ResourceParam[AuditLog],
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        executor_locks: dg.ResourceParam[Mapping[str, ExecutorLock]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        notifier: dg.ResourceParam[Deliverer],
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        """One row is one intent's order after the close: filled, in part, cancelled, rejected, or none.

        What waited for an approval past its time expires here. An approved intent that was never executed
        holds the session: a person carries it, or it is executed first.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.SETTLE)
        where = graph.where(session)
        record = journal.session_record(**where)
        found: list[Mapping[str, Any]] = []
        did: dict[str, int] = {}
        if record is None or record.settled_at is None:
            with refusals_kept(
                journal,
                graph,
                session,
                "order_status",
                clock=partial(clocks[graph.name].now, session, Phase.SETTLE),
            ):
                _refuse_unexecuted(graph, journal, where)
                at_open, _ = opened_day(
                    graph,
                    session,
                    opening=opening_in_journal(journal, graph, session, now=now),
                    actions=corporate_actions,
                    accepted=accepted_quotes[graph.name],
                    history=book_history[graph.name],
                )
                outcomes = settle_orders(
                    Desk(
                        journal=journal,
                        broker=brokers[graph.name],
                        lock=executor_locks[graph.name],
                        audit=audit_log,
                        clock=lambda: now,
                        account=graph.config.account,
                        lane=graph.lane,
                        holder=f"run {context.run.run_id[:8]}",
                    ),
                    book=graph.name,
                    session=session,
                    since=graph.watched_since(session),
                    expected=Expected(
                        book=graph.name, session=session, at_open=at_open, until=graph.next_open(session)
                    ),
                    actor="order_status",
                )
                tell_people(
                    graph,
                    session,
                    outcomes,
                    journal=journal,
                    policy=alert_policy,
                    keeper=alert_keeper,
                    notifier=notifier,
                    now=now,
                )
                found = [shown_finding(finding) for finding in outcomes.findings]
                did = told_of_run(outcomes)
                if outcomes.halted:
                    raise stopped("the broker could not be reconciled with", outcomes.halted)
        else:
            found = _kept(graph, journal, session, record.settled_at)
        stands = (journal.intents(**where), journal.orders(**where), journal.fills(**where))
        rows = order_status_rows(*stands)
        yield dg.Output(
            rows,
            metadata={
                INPUTS_SHA: order_inputs_sha(*stands),
                "orders": sum(1 for row in rows if row.client_order_id),
                "open": sum(1 for row in rows if not row.terminal),
                "unknown": sum(1 for row in rows if row.intent_state == IntentState.UNKNOWN),
                "findings": len(found),
                "this run": did,
                "status": table_of(
                    [
                        {
                            "symbol": row.symbol,
                            "side": row.side.value,
                            "intent": row.intent_state,
                            "order": row.status,
                            "terminal": "yes" if row.terminal else "NO",
                            "filled": f"{row.filled_quantity} of {row.quantity}",
                            "progress": f"{row.progress_bps / 100:g} %",
                            "reason": row.reason,
                        }
                        for row in rows
                    ]
                ),
            },
        )
        yield dg.AssetCheckResult(
            check_name=ORDERS_AGREE,
            passed=not found,
            metadata={"detail": f"{len(found)} findings", "rows": table_of(found)},
        )

    return [order_status]


def _kept(graph: BookGraph, journal: Journal, session: date, settled_at: datetime) -> list[Mapping[str, Any]]:
    """Return what a settled session left in the journal of findings on its orders."""
    previous = graph.session_before(session)
    before = None if previous is None else journal.session_record(**graph.where(previous))
    kept = findings_kept(
        journal.incidents(),
        account=graph.config.account,
        intent_ids={row.intent_id for row in journal.intents(**graph.where(session))},
        after=None if before is None else before.settled_at,
        until=settled_at,
    )
    return [
        {"finding": row.kind, "about": row.intent_id, "detail": row.detail, "to do": row.remedy}
        for row in kept
    ]


def _refuse_unexecuted(graph: BookGraph, journal: Journal, where: Where) -> None:
    held = [row for row in journal.intents(**where) if row.state is IntentState.APPROVED]
    if held:
        symbols = ", ".join(row.intent.symbol for row in held)
        never = "1 approved intent was" if len(held) == 1 else f"{len(held)} approved intents were"
        raise OutOfOrder(
            f"{never} never executed ({symbols}); "
            f"`trading run-once --book {graph.name} --session {where['session']} --phase execute` does it, "
            "or close the session by "
            f"`trading settle {where['session']} --book {graph.name} --carry --reason …`"
        )
