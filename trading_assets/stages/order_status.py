"""Order status: where each order of a session stands after the close, as the broker and the journal agree."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading.audit import AuditLog
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.errors import OutOfOrder
from trading.executions import Desk, ExecutorLock, settle_orders
from trading.journal import Journal
from trading.lifecycle import IntentState
from trading.order_tables import order_status_rows
from trading.orders import OrderStatusRow
from trading.positions import BookHistory, book_from_rows
from trading.quotes import AcceptedQuotes
from trading.reconciliation import Expected
from trading_assets.executor import opened_day
from trading_assets.stage import MONITOR, BookGraph, Where, column_schema, refusals_kept, session_of, table_of


def order_status_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("order_status", group=MONITOR, kinds={"broker"}),
        ins={name: graph.rows_of(name) for name in ("opening_book", "corporate_actions")},
        deps=[graph.key("executions")],
        op_tags={"dagster/max_retries": "0"},
        metadata={"dagster/column_schema": column_schema(OrderStatusRow)},
    )
    def order_status(
        context: dg.AssetExecutionContext,
        opening_book: Any,
        corporate_actions: Any,
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        audit_log: dg.ResourceParam[AuditLog],
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        executor_locks: dg.ResourceParam[Mapping[str, ExecutorLock]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one intent's order after the close: filled, in part, cancelled, rejected, or none.

        What waited for an approval past its time expires here. An approved intent that was never executed
        holds the session: a person carries it, or it is executed first.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.SETTLE)
        where = graph.where(session)
        record = journal.session_record(**where)
        if record is None or record.settled_at is None:
            with refusals_kept(journal, graph, session, "order_status", now=now):
                _refuse_unexecuted(graph, journal, where)
                at_open, _ = opened_day(
                    graph,
                    session,
                    opening=book_from_rows(opening_book),
                    actions=corporate_actions,
                    accepted=accepted_quotes[graph.name],
                    history=book_history[graph.name],
                )
                settle_orders(
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
                    expected=Expected(book=graph.name, session=session, at_open=at_open),
                    actor="order_status",
                )
        rows = order_status_rows(journal.intents(**where), journal.orders(**where), journal.fills(**where))
        return dg.Output(
            rows,
            metadata={
                "orders": sum(1 for row in rows if row.client_order_id),
                "open": sum(1 for row in rows if not row.terminal),
                "status": table_of(
                    [
                        {
                            "symbol": row.symbol,
                            "side": row.side.value,
                            "intent": row.intent_state,
                            "order": row.status,
                            "filled": f"{row.filled_quantity} of {row.quantity}",
                            "reason": row.reason,
                        }
                        for row in rows
                    ]
                ),
            },
        )

    return [order_status]


def _refuse_unexecuted(graph: BookGraph, journal: Journal, where: Where) -> None:
    held = [row for row in journal.intents(**where) if row.state is IntentState.APPROVED]
    if held:
        symbols = ", ".join(row.intent.symbol for row in held)
        raise OutOfOrder(
            f"{len(held)} approved intents were never executed ({symbols}); "
            f"run the execute job of {where['session']}, or close it by "
            f"`trading settle {where['session']} --book {graph.name} --carry --reason …`"
        )
