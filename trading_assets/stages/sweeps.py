"""Sweeps: many variants of one replay, under a name, ranked, and told honestly together.

One partition is one sweep; its variants run over all cores of the machine, by the function that the command
line runs them by. What was tried is kept, so that a sweep that was cancelled goes on, and is recorded in the
evidence ledger, whatever came of it.
"""

import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
from pydantic import Field

from trading.errors import BadInput, TradingError
from trading.measure_words import measure_text
from trading.sweeping import MEASURED, AskedSweep, Sweeper, SweepRow, Swept, rows_of_sweep, run_sweep
from trading_assets.stage import INPUTS_SHA, REFUSED_BY, REPORTER, BookGraph, column_schema, table_of


class SweepConfig(dg.Config):
    """What to vary; what is left out is as the book has it."""

    first_session: str = Field("", description="YYYY-MM-DD; the first of the data when empty.")
    last_session: str = Field("", description="YYYY-MM-DD; the last of the data when empty.")
    grids: list[str] = Field([], description="STRATEGY.PARAMETER=VALUE,VALUE; all are combined.")
    against: list[str] = Field([], description="Councils, STRATEGY[:KEY=VALUE,…][+STRATEGY…].")
    by: str = Field("sharpe", description="The measure that ranks them.")
    workers: int = Field(0, ge=0, le=64, description="Processes; 0: all cores.")


def sweeps_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **{
            **graph.asset_arguments("sweeps", group=REPORTER, kinds={"html"}),
            "partitions_def": graph.sweep_names,
        },
        metadata={"dagster/column_schema": column_schema(SweepRow)},
    )
    def sweeps(
        context: dg.AssetExecutionContext,
        config: SweepConfig,
        sweepers: dg.ResourceParam[Mapping[str, Sweeper]],
    ) -> dg.Output[Any]:
        """One row is one variant of a replay, the best first: what was varied, and what it came to.

        The best of many looks better than it is; what all say together stands beside the rows. The page
        compares them with plots. People who choose a parameter read it.
        """

        def tell(line: str) -> None:
            context.log.info(line)
            sys.stdout.write(line + "\n")

        try:
            swept = run_sweep(
                _asked(config),
                graph.config,
                name=context.partition_key,
                calendar=graph.calendar,
                sweeper=sweepers[graph.name],
                workers=config.workers,
                tell=tell,
            )
        except TradingError as error:
            what = f"{graph.name} sweep {context.partition_key}: {error}"
            refused_by = {REFUSED_BY: type(error).__name__}
            raise dg.Failure(description=what, metadata=refused_by, allow_retries=False) from error
        rows = rows_of_sweep(swept)
        return dg.Output(rows, metadata=_told(swept, rows))

    return [sweeps]


def _asked(config: SweepConfig) -> AskedSweep:
    return AskedSweep(
        first_session=_day(config.first_session),
        last_session=_day(config.last_session),
        grids=tuple(config.grids),
        against=tuple(config.against),
        by=config.by,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise BadInput(f"session {text!r}: write it as YYYY-MM-DD, e.g. 2013-03-01") from error


def _shown(row: SweepRow) -> dict[str, Any]:
    """Return a row as people read it, measures as on the page; the table itself keeps the numbers."""
    return row._asdict() | {name: measure_text(name, getattr(row, name)) for name in MEASURED}


def _told(swept: Swept, rows: tuple[SweepRow, ...]) -> dict[str, Any]:
    honesty, overfitting = swept.together.honesty, swept.together.overfitting
    told = {
        "sharpe that luck gives the best": honesty.luck_sharpe,
        "deflated sharpe of the best": honesty.deflated_sharpe,
        "probability of overfitting": None if overfitting is None else overfitting.pbo,
    }
    return {
        "variants": len(rows),
        "sessions": len(swept.sessions),
        "best by sharpe": swept.together.best.variant.label,
        **{name: "no data" if value is None else round(value, 6) for name, value in told.items()},
        "variants with a warning": sum(bool(row.warnings) for row in rows),
        "variants, best first": table_of([_shown(row) for row in rows]),
        "sweep_sha": swept.sha(),
        INPUTS_SHA: swept.sha(),
    }
