"""The opening book: cash and positions as the session before left them, read from the journal.

It has no upstream edge in the graph (positions → intents would be a circle); its metadata links to the
positions it continues. A session launched before its predecessor is settled is refused here, and so is one on
a journal that its own audit log does not know: nothing is decided on a history that does not hold.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from trading.audit import AuditLog, Part
from trading.clock import Clock, Phase
from trading.errors import JournalBehindLog, JournalError
from trading.journal import Journal
from trading.positions import BookRow, book_rows
from trading.values import Money
from trading_assets.stage import (
    COMMANDER,
    INPUTS_SHA,
    BookGraph,
    column_schema,
    opening_in_journal,
    refusals_kept,
    session_of,
)


def opening_book_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("opening_book", group=COMMANDER),
        metadata={"dagster/column_schema": column_schema(BookRow)},
    )
    def opening_book(
        context: dg.AssetExecutionContext,
        journal: dg.ResourceParam[Journal],
        audit_log: dg.ResourceParam[AuditLog],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one line of the book before the session: cash, totals, and each position at cost.

        Everything decided for the session is sized and guarded on it.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.DECIDE)
        with refusals_kept(
            journal,
            graph,
            session,
            "opening_book",
            clock=partial(clocks[graph.name].now, session, Phase.DECIDE),
        ):
            _check_history(audit_log)
            book = opening_in_journal(journal, graph, session, now=now)
        previous = graph.session_before(session)
        return dg.Output(
            book_rows(book, session=session),
            metadata={
                "cash": str(Money(micros=book.cash_micros, currency=book.currency)),
                "positions": len(book.positions),
                "book_sha": book.sha(),
                INPUTS_SHA: book.sha(),
                "continues": dg.MetadataValue.asset(graph.key("positions")),
                "after session": str(previous) if previous else "opened with its deposit",
            },
        )

    return [opening_book]


def _check_history(audit_log: AuditLog) -> None:
    bad = audit_log.verify()
    if bad is not None and not bad.heals:
        error = JournalBehindLog if bad.part is Part.JOURNAL else JournalError
        raise error(
            f"{bad.reason}: `trading verify` says more; restore the journal and its log before anything is"
            " decided on them"
        )
