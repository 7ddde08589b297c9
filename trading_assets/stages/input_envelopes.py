"""Input envelopes: how each input of a session's decision came, from whom, and why not from the first asked.

Read before the scan, and again whenever the session is decided anew. Once it is decided, what it was decided
on stands: the stored rows are given again, and nobody is asked. Who is asked what is ../hydration.py.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from trading.brokers import Broker
from trading.clock import Clock, Phase
from trading.inputs import InputHistory, InputRow, envelope_of
from trading.journal import Journal
from trading.quotes import AcceptedQuotes, WindowReader, inputs_digest
from trading_assets.hydration import hydrated_rows
from trading_assets.stage import (
    INPUTS_SHA,
    SCANNER,
    WHY_NONE,
    BookGraph,
    column_schema,
    refusals_kept,
    session_of,
    table_of,
)


def input_envelopes_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("input_envelopes", group=SCANNER, kinds={"broker"}),
        deps=[graph.key("opening_book"), graph.earlier_quotes()],
        metadata={"dagster/column_schema": column_schema(InputRow)},
    )
    def input_envelopes(
        context: dg.AssetExecutionContext,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        brokers: dg.ResourceParam[Mapping[str, Broker]],
        journal: dg.ResourceParam[Journal],
        input_history: dg.ResourceParam[Mapping[str, InputHistory]],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one source of the scan: what was asked, who answered, and why not the first one.

        A source that is not ready holds the scan up; a fallback does not, and its reason stands here.
        """
        session = session_of(context)
        now = clocks[graph.name].now(session, Phase.DECIDE)
        with refusals_kept(
            journal,
            graph,
            session,
            "input_envelopes",
            clock=partial(clocks[graph.name].now, session, Phase.DECIDE),
        ):
            record = journal.session_record(**graph.where(session))
            if record is not None and record.decided_at is not None:
                rows = input_history[graph.name].inputs_of(session) or ()
            else:
                rows = hydrated_rows(
                    graph,
                    session,
                    windows=windows,
                    accepted=accepted_quotes[graph.name],
                    brokers=brokers,
                    journal=journal,
                    now=now,
                )
        envelope = envelope_of(rows)
        return dg.Output(
            rows,
            metadata={
                "envelope": envelope.status.value,
                "attempted": sum(row.attempted for row in rows),
                "ready": sum(row.ready for row in rows),
                "errors": sum(row.errors for row in rows),
                "fallbacks": "; ".join(envelope.fallbacks),
                INPUTS_SHA: inputs_digest((row.source.value, row.records_sha) for row in rows),
                WHY_NONE: envelope.reason or "; ".join(envelope.fallbacks),
                "sources": table_of([shown(row) for row in rows]),
            },
        )

    return [input_envelopes]


def shown(row: InputRow) -> dict[str, Any]:
    """Return a source as people read it."""
    return {
        "source": row.source.value,
        "status": row.status.value,
        "used": row.used or "nobody",
        "attempted": row.attempted,
        "ready": row.ready,
        "errors": row.errors,
        "records": row.records,
        "why": row.remark,
    }
