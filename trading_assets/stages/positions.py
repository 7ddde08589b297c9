"""Positions: the book after a session, marked to market; storing it in the journal settles the session.

positions[D] is opening_book[D] with the actions and fills of D, marked at the closes of D: no dependency on
itself, so no stale or missing yesterday can be read by accident.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading.clock import Clock, Phase
from trading.errors import Refused
from trading.journal import Journal
from trading.positions import (
    BookHistory,
    BookRow,
    Item,
    book_from_rows,
    book_rows,
    imbalance_micros,
    with_fills,
)
from trading.quotes import AcceptedQuotes
from trading.session import fill_marks, marks_of
from trading.values import Money, amount_from_micros
from trading_assets.executor import opened_day
from trading_assets.stage import (
    CARRIED_BY_TAG,
    EQUITY_MICROS,
    MONITOR,
    BookGraph,
    column_schema,
    opening_in_journal,
    refusals_kept,
    session_of,
    table_of,
)


def positions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book and its check."""
    read = ("opening_book", "market_quotes", "corporate_actions")

    @dg.asset(
        **graph.asset_arguments("positions", group=MONITOR),
        ins={name: graph.rows_of(name) for name in read},
        deps=[graph.key("order_status"), graph.key("broker_positions")],
        metadata={"dagster/column_schema": column_schema(BookRow)},
    )
    def positions(
        context: dg.AssetExecutionContext,
        opening_book: Any,
        market_quotes: Any,
        corporate_actions: Any,
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        book_history: dg.ResourceParam[Mapping[str, BookHistory]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one line of the book after the close: cash, totals, positions at cost and mark, equity.

        The next session opens with it.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.SETTLE)
        where = graph.where(session)
        carried_by = context.run.tags.get(CARRIED_BY_TAG, "")
        with refusals_kept(journal, graph, session, "positions", now=now):
            opening = opening_in_journal(journal, graph, session, now=now)
            if book_from_rows(opening_book) != opening:
                raise Refused(
                    f"the table opening_book of {session} is not the journal's: it was altered; "
                    "materialize it again"
                )
            at_open, earlier = opened_day(
                graph,
                session,
                opening=opening,
                actions=corporate_actions,
                accepted=accepted_quotes[graph.name],
                history=book_history[graph.name],
            )
            fills = journal.fills(**where)
            closing = with_fills(at_open, fills)
            marks = marks_of(session, quotes=market_quotes, earlier={**fill_marks(fills), **earlier})
            rows = book_rows(closing, session=session, marks=marks)
            journal.settle(**where, closing=closing, carried_by=carried_by, now=now)
        equity = next(row.value_micros for row in rows if row.item is Item.EQUITY)
        prices = {symbol: mark.price_micros for symbol, mark in marks.items()}
        return dg.Output(
            rows,
            metadata={
                "equity": float(amount_from_micros(equity)),
                "cash": float(amount_from_micros(closing.cash_micros)),
                "realised": float(amount_from_micros(closing.realised_micros)),
                "dividends": float(amount_from_micros(closing.dividends_micros)),
                "commissions": float(amount_from_micros(closing.commissions_micros)),
                "imbalance_micros": imbalance_micros(closing, prices),
                "carried by": carried_by,
                EQUITY_MICROS: str(equity),
                "positions": table_of(
                    [
                        {
                            "symbol": row.symbol,
                            "quantity": row.quantity,
                            "worth": str(Money(micros=row.value_micros, currency=row.currency)),
                            "cost": str(Money(micros=row.cost_micros, currency=row.currency)),
                            "marked on": row.marked_on,
                        }
                        for row in rows
                        if row.item is Item.POSITION
                    ]
                ),
            },
        )

    @dg.asset_check(
        asset=graph.key("positions"),
        partitions_def=graph.sessions,
        description="cash + positions = deposits + realised + unrealised + dividends − commissions.",
    )
    def book_balances_to_the_unit(positions: Any) -> dg.AssetCheckResult:
        book = book_from_rows(positions)
        marks = {row.symbol: row.mark_micros for row in positions if row.item is Item.POSITION}
        imbalance = imbalance_micros(book, marks)
        return dg.AssetCheckResult(passed=imbalance == 0, metadata={"imbalance_micros": imbalance})

    return [positions, book_balances_to_the_unit]
