"""Corporate actions: splits and dividends of a book's source, imported once, each with its ex-date."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from trading.actions import ActionKind, CorporateAction, at_sessions
from trading.quotes import MarketData
from trading_assets.stage import OWNERS, SCANNER, BookGraph, column_schema, table_of


def corporate_actions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        key=graph.key("corporate_actions"),
        group_name=SCANNER,
        owners=OWNERS,
        kinds={"parquet"},
        metadata={"dagster/column_schema": column_schema(CorporateAction)},
    )
    def corporate_actions(sources: dg.ResourceParam[Mapping[str, MarketData]]) -> dg.Output[Any]:
        """One row is one split or cash dividend of one symbol, effective at the open of its ex-date.

        Decisions adjust prices by those effective up to their session; positions apply them to the book.
        """
        source = sources[graph.name]
        actions = at_sessions(source.actions(), graph.calendar)
        splits = [action for action in actions if action.kind is ActionKind.SPLIT]
        return dg.Output(
            actions,
            metadata={
                "splits": len(splits),
                "dividends": len(actions) - len(splits),
                "source": source.name,
                "inputs_sha": source.source_sha(),
                "split table": table_of(
                    [
                        {
                            "symbol": a.symbol,
                            "effective_on": a.effective_on,
                            "ratio": f"{a.numerator}:{a.denominator}",
                        }
                        for a in splits
                    ]
                ),
            },
        )

    return [corporate_actions]
