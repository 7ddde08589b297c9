"""Positions: the book after a session, marked to market; storing it in the journal settles the session.

positions[D] is opening_book[D] with the actions and fills of D, marked at the closes of D: no dependency on
itself, so no stale or missing yesterday can be read by accident.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from trading.alerts import DIFFERENCES, AlertKeeper, AlertPolicy, evaluate_watched, judged_watched, tell
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
from trading.quotes import AcceptedQuotes, WindowReader
from trading.recorded import SessionRecords, relived
from trading.session import fill_marks, marks_of
from trading.values import Money, Symbol, amount_from_micros
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

BALANCES = "book_balances_to_the_unit"
REPLAYS = "session_replays_the_same"


def positions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book and its checks."""
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
        where = graph.where(session)
        carried_by = context.run.tags.get(CARRIED_BY_TAG, "")
        with refusals_kept(
            journal, graph, session, "positions", clock=partial(clocks[graph.name].now, session, Phase.SETTLE)
        ):
            now = clocks[graph.name].now(session, Phase.SETTLE)
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
            journal.settle(**where, closing=closing, carried_by=carried_by, now=now, fills=fills)
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

    return [positions, _checks(graph)]


def _checks(graph: BookGraph) -> Any:
    """Return the checks of a settled session, in one step: the book balances, and the session replays."""

    @dg.multi_asset_check(
        name=f"{graph.name}__settled_checks",
        specs=[
            dg.AssetCheckSpec(
                BALANCES,
                asset=graph.key("positions"),
                partitions_def=graph.sessions,
                description="cash + positions = deposits + realised + unrealised + dividends − commissions.",
            ),
            dg.AssetCheckSpec(
                REPLAYS,
                asset=graph.key("positions"),
                partitions_def=graph.sessions,
                description="The session decided again from its record is the same, to the bit; "
                "else the first value that differs is named, and people are told.",
            ),
        ],
        ins={"positions": graph.rows_of("positions")},
    )
    def settled_checks(
        context: dg.AssetCheckExecutionContext,
        positions: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        session_records: dg.ResourceParam[Mapping[str, SessionRecords]],
        alert_policy: dg.ResourceParam[AlertPolicy],
        alert_keeper: dg.ResourceParam[AlertKeeper],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> Iterator[dg.AssetCheckResult]:
        yield _balance(graph, positions)
        session = session_of(context.op_execution_context)
        found = relived(
            session,
            config=graph.config,
            lane=graph.lane,
            calendar=graph.calendar,
            windows=windows[graph.name],
            records=session_records[graph.name],
        )
        watched = {DIFFERENCES: int(not found.is_same)}
        tell(
            evaluate_watched(watched, alert_policy.rules, book=graph.name, session=session),
            codes=judged_watched(watched, alert_policy.rules),
            keeper=alert_keeper,
            policy=alert_policy,
            book=graph.name,
            session=session,
            now=clocks[graph.name].now(session, Phase.SETTLE),
        )
        yield dg.AssetCheckResult(
            check_name=REPLAYS,
            asset_key=graph.key("positions"),
            passed=found.is_same,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "detail": found.detail,
                "first difference": table_of([found.difference._asdict()] if found.difference else []),
            },
        )

    return settled_checks


def _balance(graph: BookGraph, positions: Sequence[BookRow]) -> dg.AssetCheckResult:
    book = book_from_rows(positions)
    marks = {Symbol(row.symbol): row.mark_micros for row in positions if row.item is Item.POSITION}
    imbalance = imbalance_micros(book, marks)
    return dg.AssetCheckResult(
        check_name=BALANCES,
        asset_key=graph.key("positions"),
        passed=imbalance == 0,
        metadata={"imbalance_micros": imbalance},
    )
