"""Corporate actions: splits and dividends of a book's source, imported once, each with its ex-date."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from trading.actions import ActionKind, CorporateAction, at_sessions
from trading.errors import TradingError, failure_word
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
    def corporate_actions(
        sources: dg.ResourceParam[Mapping[str, MarketData]],
        fallback_sources: dg.ResourceParam[Mapping[str, MarketData]],
    ) -> dg.Output[Any]:
        """One row is one split or cash dividend of one symbol, effective at the open of its ex-date.

        Decisions adjust prices by those effective up to their session; positions apply them to the book.
        """
        source, found, why = _first_that_answers(
            [sources[graph.name], *([fallback_sources[graph.name]] if graph.name in fallback_sources else [])]
        )
        actions = at_sessions(found, graph.calendar)
        splits = [action for action in actions if action.kind is ActionKind.SPLIT]
        return dg.Output(
            actions,
            metadata={
                "splits": len(splits),
                "dividends": sum(1 for action in actions if action.kind is ActionKind.DIVIDEND),
                "delistings": sum(1 for action in actions if action.kind is ActionKind.DELISTING),
                "source": source.name,
                "why not the first": why,
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


def _first_that_answers(
    sources: Sequence[MarketData],
) -> tuple[MarketData, tuple[CorporateAction, ...], str]:
    """Return the first source that knows its actions, them, and why the ones before it do not.

    The last one's refusal is everybody's.
    """
    why: list[str] = []
    for source in sources[:-1]:
        try:
            return source, source.actions(), ", ".join(why)
        except TradingError as error:
            why.append(f"{source.name}:read:{failure_word(error)}")
    return sources[-1], sources[-1].actions(), ", ".join(why)
