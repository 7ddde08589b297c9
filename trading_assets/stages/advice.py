"""Advice: an advisor's factor on the intents that passed the guards. At step 0 of the ladder it is off."""

from typing import Any

import dagster as dg

from trading.advice import Advice, Advisor
from trading.session import passing
from trading_assets.stage import STRATEGIST, BookGraph, column_schema


def advice_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **graph.asset_arguments("advice", group=STRATEGIST),
        ins={name: graph.rows_of(name) for name in ("intents", "verdicts")},
        metadata={"dagster/column_schema": column_schema(Advice)},
    )
    def advice(intents: Any, verdicts: Any, advisor: dg.ResourceParam[Advisor]) -> dg.Output[Any]:
        """One row is the advice on one intent that passed: keep, shrink, veto or abstain.

        It can only make an order smaller, and only as far as the ladder's step allows; off means no effect.
        """
        rows = advisor.advise(passing(intents, verdicts))
        return dg.Output(
            rows, metadata={"advised": len(rows), "applied": sum(1 for row in rows if row.applied)}
        )

    return [advice]
