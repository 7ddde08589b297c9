"""Scorecards: what each replay was worth beside an equal weight of its universe, and its page with plots."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Protocol

import dagster as dg

from trading.benchmark import benchmark_of
from trading.errors import Refused, TradingError
from trading.replayed import Replayed
from trading.replaying import DataSets, ReplayStore
from trading.scorecard import Scorecard, scorecard_of
from trading.scores import Score, scores_of
from trading_assets.stage import INPUTS_SHA, REPORTER, BookGraph, column_schema, table_of

SCORECARD = "scorecard.json"
TEAR_SHEET = "tear_sheet.html"
SHOWN = ("total_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown")


class TearSheets(Protocol):
    """Draw the page of a scorecard."""

    def page(self, name: str, card: Scorecard, replayed: Replayed) -> str:
        """Return a page with plots that needs no other file."""
        ...


def scorecards_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **{
            **graph.asset_arguments("scorecards", group=REPORTER, kinds={"html"}),
            "partitions_def": graph.replay_names,
        },
        ins={"replays": graph.rows_of("replays")},
        metadata={"dagster/column_schema": column_schema(Score)},
    )
    def scorecards(
        context: dg.AssetExecutionContext,
        replays: Any,
        data_sets: dg.ResourceParam[Mapping[str, DataSets]],
        replay_stores: dg.ResourceParam[Mapping[str, ReplayStore]],
        tear_sheets: dg.ResourceParam[TearSheets],
    ) -> dg.Output[Any]:
        """One row is one number of a replay: of the whole, a year, a regime, a symbol or a strategy.

        An empty value is "no data", never zero. The page beside the tables shows the same with plots.
        """
        name, store = context.partition_key, replay_stores[graph.name]
        try:
            manifest, replayed = store.read(replays)
            card = _card(name, manifest, replayed, data_sets[graph.name])
            written = json.dumps(card.payload(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            store.put_beside(replays, SCORECARD, written)
            page = store.put_beside(replays, TEAR_SHEET, tear_sheets.page(name, card, replayed))
        except TradingError as error:
            raise dg.Failure(
                description=f"{graph.name} scorecard of {name}: {error}", allow_retries=False
            ) from error
        measures = {name: getattr(card.performance, name) for name in SHOWN}
        return dg.Output(
            scores_of(card),
            metadata={
                **{name: round(value, 6) for name, value in measures.items() if value is not None},
                "no data": sum(value is None for value in measures.values()),
                "by year": table_of(
                    [
                        {"year": cut.name, **{name: getattr(cut.performance, name) for name in SHOWN}}
                        for cut in card.years
                    ],
                    limit=100,
                ),
                "tear sheet": dg.MetadataValue.path(page),
                "scorecard_sha": card.sha(),
                INPUTS_SHA: manifest["replay_sha"],
            },
        )

    return [scorecards]


def _card(name: str, manifest: Mapping[str, Any], replayed: Replayed, data_sets: DataSets) -> Scorecard:
    """Return the scorecard of a replay; raises `Refused` where its data is not what it was replayed on."""
    request = manifest["request"]
    data = data_sets.data_set(
        *(date.fromisoformat(day) for day in (manifest["summary"]["first_session"], request["last_session"]))
    )
    if data.sha != manifest["data_sha"]:
        raise Refused(f"replay {name}: its data is other now than it was replayed on; replay it again")
    return scorecard_of(replayed, actions=data.actions, benchmark=benchmark_of(data.panel, data.actions))
