"""Replays: the live rules over a range of sessions in one run, under a name, with all that they decided.

One materialization and one evaluation of each check carry the whole range as tables: partitioned by session,
the bookkeeping of thirteen years would take longer than the replay. A cancelled run keeps its years, and the
same request goes on from them. How a replay runs is trading/replaying.py.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from time import perf_counter
from typing import Any

import dagster as dg
from pydantic import Field

from trading.errors import BadInput, TradingError
from trading.measure_words import measure_text
from trading.replay import Asked, request_of
from trading.replay_checks import CHECKS, ReplayCheck
from trading.replay_summary import Year, reasons_of, years_of
from trading.replaying import DataSets, Finished, ReplayFile, ReplayStore, TrialRecorder, run_replay
from trading.reporting import sparkline_svg
from trading.values import Money, micros_from_text
from trading_assets.stage import INPUTS_SHA, REFUSED_BY, REPORTER, BookGraph, column_schema, table_of


class ReplayConfig(dg.Config):
    """What to replay; what is left out is as the book has it."""

    first_session: str = Field("", description="YYYY-MM-DD; the first of the data when empty.")
    last_session: str = Field("", description="YYYY-MM-DD; the last of the data when empty.")
    strategies: list[str] = Field(
        [], description="Those that vote, NAME or NAME:key=value,key=value; the configured ones when empty."
    )
    deposit: str = Field("", description="Currency units that the book opens with.")
    slippage_bps: int | None = Field(None, description="Basis points of the price, against us.")
    commission_bps: int | None = Field(None, description="Basis points of the notional.")
    participation_bps: int | None = Field(None, description="Share of a session's volume that may fill.")
    approve: bool = Field(True, description="Whoever is asked for an approval gives it.")
    light: bool = Field(False, description="Keep sessions and fills only.")


def replays_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book."""

    @dg.asset(
        **{
            **graph.asset_arguments("replays", group=REPORTER),
            "partitions_def": graph.replay_names,
        },
        metadata={"dagster/column_schema": column_schema(ReplayFile)},
        check_specs=[
            dg.AssetCheckSpec(
                name, asset=graph.key("replays"), partitions_def=graph.replay_names, description=told
            )
            for name, told in CHECKS.items()
        ],
    )
    def replays(
        context: dg.AssetExecutionContext,
        config: ReplayConfig,
        data_sets: dg.ResourceParam[Mapping[str, DataSets]],
        replay_stores: dg.ResourceParam[Mapping[str, ReplayStore]],
        replay_trials: dg.ResourceParam[Mapping[str, TrialRecorder]],
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        """One row is one file of a replay: a table of one year, with its hash.

        The tables hold every session, intent, verdict, refusal, fill, position and mark of the range, decided
        by the same functions that trade. Scorecards and promotion read them. That it was tried is recorded in
        the evidence ledger, whatever came of it.
        """

        def tell(line: str) -> None:
            context.log.info(line)
            sys.stdout.write(line + "\n")

        name = context.partition_key
        with _told_in_a_line(f"{graph.name} replay {name}"):
            finished = run_replay(
                graph.config,
                request_of(_asked(config), graph.config, name=name),
                data_sets=data_sets[graph.name],
                calendar=graph.calendar,
                store=replay_stores[graph.name],
                trials=replay_trials[graph.name],
                tell=tell,
                clock=perf_counter,
            )
        yield dg.Output(finished.files, metadata=_told(finished))
        for check in finished.checks:
            yield _result(check)

    return [replays]


@contextmanager
def _told_in_a_line(what: str) -> Iterator[None]:
    """End the step with an error's one line, retries off."""
    try:
        yield
    except TradingError as error:
        refused_by = {REFUSED_BY: type(error).__name__}
        raise dg.Failure(description=f"{what}: {error}", metadata=refused_by, allow_retries=False) from error


def _asked(config: ReplayConfig) -> Asked:
    return Asked(
        first_session=_day(config.first_session),
        last_session=_day(config.last_session),
        strategies=tuple(config.strategies),
        deposit_micros=micros_from_text(config.deposit) if config.deposit else None,
        slippage_bps=config.slippage_bps,
        commission_bps=config.commission_bps,
        participation_bps=config.participation_bps,
        approve=config.approve,
        light=config.light,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise BadInput(f"session {text!r}: write it as YYYY-MM-DD, e.g. 2013-03-01") from error


def _told(finished: Finished) -> dict[str, Any]:
    replayed, currency = finished.replayed, finished.config.currency
    equities: list[int] = replayed["sessions"]["equity_micros"].tolist()
    return {
        "range": f"{finished.request.first_session}..{finished.request.last_session}",
        "sessions": len(equities),
        "equity": round(equities[-1] / 1e6, 2),
        "equity over the range": dg.MetadataValue.md(sparkline_svg([equity / 1e6 for equity in equities])),
        "years": table_of([_year(year, currency) for year in years_of(replayed)], limit=100),
        "refused, or a person asked, by reason": table_of(
            [{"reason": reason, "times": times} for reason, times in reasons_of(replayed)]
        ),
        "rows by table": table_of(
            [{"table": table, "rows": len(rows["session"])} for table, rows in replayed.tables.items()]
        ),
        "data from": finished.data.source,
        "years kept from an earlier run": finished.kept_chunks,
        "seconds, data": round(finished.seconds.data, 3),
        "seconds, engine": round(finished.seconds.engine, 3),
        "seconds, artefacts": round(finished.seconds.artefacts, 3),
        "replay_sha": finished.replay_sha,
        "data_sha": finished.data.sha,
        INPUTS_SHA: finished.replay_sha,
    }


def _year(year: Year, currency: str) -> dict[str, Any]:
    return {
        "year": year.year,
        "sessions": year.sessions,
        "closing": str(Money(micros=year.closing_micros, currency=currency)),
        "return": measure_text("total_return", year.return_ratio),
        "drawdown": measure_text("max_drawdown", year.drawdown_ratio),
        "fills": year.fills,
        "blocked": year.blocked,
        "traded": str(Money(micros=year.traded_micros, currency=currency)),
        "commissions": str(Money(micros=year.commission_micros, currency=currency)),
        "slippage": str(Money(micros=year.slippage_micros, currency=currency)),
        "dividends": str(Money(micros=year.dividend_micros, currency=currency)),
    }


def _result(check: ReplayCheck) -> dg.AssetCheckResult:
    rows: Sequence[Mapping[str, Any]] = [broken._asdict() for broken in check.broken]
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=check.passed,
        severity=dg.AssetCheckSeverity.WARN if check.no_data else dg.AssetCheckSeverity.ERROR,
        metadata={
            "rows looked at": check.looked_at,
            "rows broken": len(check.broken),
            "no data": check.no_data,
            "broken": table_of(rows),
        },
    )
