"""Advice: an advisor's factor on the intents that passed the guards. At step 0 of the ladder it is off."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading.advice import Advice, AdviceContext, Advisor, Ladder, admitted
from trading.clock import Clock, Phase
from trading.session import passing
from trading_assets.stage import STRATEGIST, BookGraph, column_schema, session_of


def advice_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("advice", group=STRATEGIST),
        ins={name: graph.rows_of(name) for name in ("intents", "verdicts")},
        metadata={"dagster/column_schema": column_schema(Advice)},
    )
    def advice(
        context: dg.AssetExecutionContext,
        intents: Any,
        verdicts: Any,
        advisor: dg.ResourceParam[Advisor],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> dg.Output[Any]:
        """One row is the advice on one intent that passed: keep, shrink, veto or abstain.

        It can only make an order smaller, and only as far as the ladder's step allows; off means no effect.
        """
        session = session_of(context)
        passed = passing(intents, verdicts)
        told = AdviceContext(
            book=graph.name,
            lane=graph.lane,
            session=session,
            cut_off=clocks[graph.name].now(session, Phase.DECIDE),
            ladder=Ladder.OFF,
        )
        rows = admitted(advisor.advise(passed, context=told).advice, passed, ladder=told.ladder)
        return dg.Output(
            rows, metadata={"advised": len(rows), "applied": sum(1 for row in rows if row.applied)}
        )

    return [advice]
