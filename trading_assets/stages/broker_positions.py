"""Broker positions: what the broker says the account holds, has open and did, beside the book's own numbers.

The broker is asked once a session, before it is settled, and its word is kept: a settled session is told
again from the table that was stored then. What halts an instrument is the comparison in `order_status`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from trading.broker_positions import (
    BrokerHistory,
    BrokerItem,
    BrokerPositionRow,
    activity_rows,
    broker_position_rows,
    open_order_rows,
)
from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.journal import Journal
from trading.positions import BookHistory, with_fills
from trading.quotes import AcceptedQuotes
from trading.values import Money
from trading_assets.executor import opened_day
from trading_assets.stage import (
    MONITOR,
    WHY_NONE,
    BookGraph,
    column_schema,
    opening_in_journal,
    refusals_kept,
    session_of,
    table_of,
)

HELD_OR_OPEN = frozenset({BrokerItem.CASH, BrokerItem.POSITION, BrokerItem.OPEN_ORDER})

NOT_ASKED = "settled before the broker's positions were kept"


def broker_positions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book and its check."""

    @dg.asset(
        **graph.asset_arguments("broker_positions", group=MONITOR, kinds={"broker"}),
        ins={"corporate_actions": graph.rows_of("corporate_actions")},
        deps=[graph.key("opening_book"), graph.key("order_status")],
        op_tags={"dagster/max_retries": "0"},
        metadata={"dagster/column_schema": column_schema(BrokerPositionRow)},
    )
    def broker_positions(
        context: dg.AssetExecutionContext,
        corporate_actions: Any,
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        broker_history: dg.ResourceParam[Mapping[str, BrokerHistory]],
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is cash, a symbol, an open order or a change of the account as the broker has it.

        The book is settled on the journal's fills, never on this; where they differ a person looks.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.SETTLE)
        where = graph.where(session)
        record = journal.session_record(**where)
        if record is not None and record.settled_at is not None:
            rows = broker_history[graph.name].broker_positions_of(session) or ()
        else:
            with refusals_kept(
                journal,
                graph,
                session,
                "broker_positions",
                clock=partial(clocks[graph.name].now, session, Phase.SETTLE),
            ):
                opening = opening_in_journal(journal, graph, session, now=now)
                at_open, _ = opened_day(
                    graph,
                    session,
                    opening=opening,
                    actions=corporate_actions,
                    accepted=accepted_quotes[graph.name],
                    history=book_history[graph.name],
                )
                broker, fills = brokers[graph.name], journal.fills(**where)
                until = graph.next_open(session)
                rows = (
                    *broker_position_rows(
                        broker.holdings(now=now), book=with_fills(at_open, fills), session=session
                    ),
                    *open_order_rows(
                        broker.orders(since=session, now=now),
                        journal.orders(**where),
                        session=session,
                        currency=opening.currency,
                    ),
                    *activity_rows(
                        [
                            activity
                            for activity in broker.activities(since=session, now=now)
                            if until is None or activity.happened_at < until
                        ],
                        fills=fills,
                        opening=opening,
                        at_open=at_open,
                        session=session,
                    ),
                )
        return dg.Output(
            rows,
            metadata={
                "symbols": sum(1 for row in rows if row.item is BrokerItem.POSITION),
                "open orders": sum(1 for row in rows if row.item is BrokerItem.OPEN_ORDER),
                "changes": sum(1 for row in rows if row.item not in HELD_OR_OPEN),
                "disagreeing": sum(1 for row in rows if not row.agrees),
                WHY_NONE: "" if rows else NOT_ASKED,
                "broker and book": table_of([_shown(row) for row in rows]),
            },
        )

    @dg.asset_check(
        asset=graph.key("broker_positions"),
        partitions_def=graph.sessions,
        description="Shows each symbol, cash, open order and change of which broker and book differ.",
    )
    def positions_agree_with_the_broker(broker_positions: Any) -> dg.AssetCheckResult:
        differing = [row for row in broker_positions if not row.agrees]
        return dg.AssetCheckResult(
            passed=bool(broker_positions) and not differing,
            severity=dg.AssetCheckSeverity.ERROR if differing else dg.AssetCheckSeverity.WARN,
            metadata={
                "detail": NOT_ASKED if not broker_positions else f"{len(differing)} lines differ",
                "rows": table_of([_shown(row) for row in differing]),
            },
        )

    return [broker_positions, positions_agree_with_the_broker]


def _shown(row: BrokerPositionRow) -> dict[str, Any]:
    return {
        "what": f"{row.item.value} {row.symbol}".rstrip(),
        "book (expected)": _amounts(row, row.book_quantity, row.book_cash_micros),
        "broker (found)": _amounts(row, row.quantity, row.cash_micros),
        "agrees": "yes" if row.agrees else "NO",
    }


def _amounts(row: BrokerPositionRow, quantity: int, cash_micros: int) -> str:
    """Return shares where the line is of a symbol, and money where either of both has some in it."""
    money = str(Money(micros=cash_micros, currency=row.currency))
    if not row.symbol:
        return money
    return f"{quantity}, {money}" if row.cash_micros or row.book_cash_micros else str(quantity)
