"""Order status: where each order of a session stands after the close, as the broker and the journal agree."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg

from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.errors import OutOfOrder
from trading.executions import settle_orders
from trading.journal import Journal
from trading.lifecycle import IntentState
from trading.order_tables import order_status_rows
from trading.orders import OrderStatusRow
from trading_assets.stage import MONITOR, BookGraph, Where, column_schema, refusals_kept, session_of, table_of


def order_status_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("order_status", group=MONITOR, kinds={"broker"}),
        deps=[graph.key("executions")],
        op_tags={"dagster/max_retries": "0"},
        metadata={"dagster/column_schema": column_schema(OrderStatusRow)},
    )
    def order_status(
        context: dg.AssetExecutionContext,
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        executor_locks: dg.ResourceParam[Mapping[str, AbstractContextManager[object]]],
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
                settle_orders(
                    journal=journal,
                    broker=brokers[graph.name],
                    lock=executor_locks[graph.name],
                    account=graph.config.account,
                    **where,
                    actor="order_status",
                    now=now,
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
