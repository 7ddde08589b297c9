"""Intents: what the strategies want of the candidates and of what is held, sized on the opening book."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from trading.clock import Clock, Phase
from trading.council import why_no_motion
from trading.inputs import open_orders_of
from trading.intents import Intent
from trading.journal import Journal
from trading.positions import book_from_rows
from trading.quotes import WindowReader
from trading.session import decision_inputs_sha, propose
from trading.values import Money
from trading_assets.stage import (
    INPUTS_SHA,
    STRATEGIST,
    WHY_NONE,
    BookGraph,
    column_schema,
    refusals_kept,
    session_of,
    table_of,
)


def intents_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("intents", group=STRATEGIST),
        ins={name: graph.rows_of(name) for name in ("candidates", "opening_book", "corporate_actions")}
        | graph.hydrated(),
        deps=[graph.earlier_quotes()],
        metadata={"dagster/column_schema": column_schema(Intent)},
    )
    def intents(
        context: dg.AssetExecutionContext,
        candidates: Any,
        opening_book: Any,
        corporate_actions: Any,
        input_envelopes: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is one order that the council wants in the session, before any guard has seen it.

        Its key says what was decided about; quantity and reference price say what.
        """
        session = session_of(context)
        rules = graph.config.rules
        opening = book_from_rows(opening_book)
        with refusals_kept(
            journal, graph, session, "intents", clock=partial(clocks[graph.name].now, session, Phase.DECIDE)
        ):
            window = windows[graph.name].window_before(session, rules.window_sessions)
            proposed = propose(
                book_name=graph.name,
                window=window,
                candidates=candidates,
                opening=opening,
                actions=corporate_actions,
                rules=rules,
            )
        return dg.Output(
            proposed.intents,
            metadata={
                "intents": len(proposed.intents),
                "strategies": rules.strategy_version(),
                WHY_NONE: "" if proposed.intents else (why_no_motion(proposed.votes) or "held already"),
                INPUTS_SHA: decision_inputs_sha(
                    window=window,
                    opening_sha=opening.sha(),
                    actions=corporate_actions,
                    rules=rules,
                    open_orders=open_orders_of(input_envelopes or ()),
                ),
                "votes": table_of(
                    [
                        {
                            "symbol": ballot.symbol,
                            "motion": ballot.motion.value,
                            "supporters": ballot.supporters,
                            "support": round(ballot.support, 3),
                            "why": ballot.why,
                        }
                        for ballot in proposed.votes.values()
                    ]
                ),
                "wanted": table_of(
                    [
                        {
                            "symbol": intent.symbol,
                            "side": intent.side.value,
                            "quantity": intent.quantity,
                            "notional": str(Money(micros=intent.notional_micros, currency=intent.currency)),
                        }
                        for intent in proposed.intents
                    ]
                ),
            },
        )

    return [intents]
