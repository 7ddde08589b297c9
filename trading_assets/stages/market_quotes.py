"""Market quotes: the bars of a session that are fit to decide on, and beside them those that are not.

The rules that judge a row are trading/quality.py. Checks here never block: a gate that crosses runs lives
in the data (`unfit_reason`), and whoever reads an unfit session later refuses.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import dagster as dg

from trading.actions import CorporateAction
from trading.errors import BadQuotes, TradingError, failure_word
from trading.quality import Chosen, QualityLimits, Reading, dates_of, judge_sources
from trading.quotes import AcceptedQuotes, MarketData, Quarantined, Quote, SessionQuotes
from trading.values import digest
from trading_assets.evaluations import JUDGED, JUDGED_IN, run_that_judged
from trading_assets.quality_suite import suite_sha, validate_quotes
from trading_assets.stage import (
    FALLBACK_REASON,
    INPUTS_SHA,
    OWNERS,
    SCANNER,
    UNFIT_REASON,
    BookGraph,
    column_schema,
    table_of,
)


class Quality(Protocol):
    """Give the reviewed limits of quality, and the rows that people have released."""

    limits: QualityLimits

    def released(self) -> Collection[str]:
        """Return the ids of released rows, from the reviewed file and from the journal."""
        ...


def market_quotes_stage(graph: BookGraph) -> list[Any]:
    """Return the two assets of one book, made by one step, and their checks."""

    @dg.multi_asset(
        name=f"{graph.name}__market_quotes",
        outs={
            "market_quotes": _out(
                graph, "market_quotes", Quote, "One row is one accepted daily bar, as traded."
            ),
            "quarantined_quotes": _out(
                graph,
                "quarantined_quotes",
                Quarantined,
                "One row is one bar that may not reach a decision, with the rule it broke; or a gap.",
            ),
        },
        ins={"corporate_actions": graph.rows_of("corporate_actions")},
        partitions_def=graph.sessions,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def market_quotes(
        context: dg.AssetExecutionContext,
        corporate_actions: Any,
        sources: dg.ResourceParam[Mapping[str, MarketData]],
        fallback_sources: dg.ResourceParam[Mapping[str, MarketData]],
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
        quality: dg.ResourceParam[Quality],
    ) -> Iterator[dg.Output[Any]]:
        sessions = tuple(date.fromisoformat(key) for key in context.partition_keys)
        chosen = _chosen(
            graph,
            sessions,
            sources=[sources[graph.name], *_of(fallback_sources, graph.name)],
            actions=corporate_actions,
            stored=accepted_quotes[graph.name],
            quality=quality,
        )
        judged = [one.quotes for one in chosen]
        left = {str(one.quotes.session): one for one in chosen if one.fallback_reason}
        accepted = {str(day.session): day.accepted for day in judged}
        quarantined = {str(day.session): day.quarantined for day in judged}
        inputs_sha = _inputs_sha(sources[graph.name], _of(fallback_sources, graph.name) if left else ())
        yield dg.Output(
            _one_or_many(accepted),
            output_name="market_quotes",
            metadata={
                "rows": sum(len(rows) for rows in accepted.values()),
                "unfit": table_of(
                    [{"session": d.session, "why": d.unfit_reason} for d in judged if d.unfit_reason]
                ),
                UNFIT_REASON: dg.MetadataValue.json(
                    {str(day.session): day.unfit_reason for day in judged if day.unfit_reason}
                ),
                FALLBACK_REASON: dg.MetadataValue.json(
                    {day: one.fallback_reason for day, one in left.items()}
                ),
                "fallbacks": table_of(
                    [
                        {"session": day, "used": one.used, "why": one.fallback_reason}
                        for day, one in left.items()
                    ]
                ),
                INPUTS_SHA: inputs_sha,
            },
        )
        yield dg.Output(
            _one_or_many(quarantined),
            output_name="quarantined_quotes",
            metadata={
                "rows": sum(len(rows) for rows in quarantined.values()),
                "by reason": table_of(_by_reason(judged)),
                "quarantined": table_of(
                    [
                        {
                            "session": row.session,
                            "symbol": row.symbol,
                            "reason": row.reason,
                            "detail": row.detail,
                        }
                        for rows in quarantined.values()
                        for row in rows
                    ]
                ),
                INPUTS_SHA: inputs_sha,
            },
        )

    @dg.asset_check(
        asset=graph.key("market_quotes"),
        partitions_def=graph.sessions,
        description="Great Expectations on accepted rows: nothing that quarantine should hold got through.",
    )
    def quotes_satisfy_the_suite(
        context: dg.AssetCheckExecutionContext,
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
    ) -> dg.AssetCheckResult:
        check = dg.AssetCheckKey(graph.key("market_quotes"), "quotes_satisfy_the_suite")
        reader = accepted_quotes[graph.name]
        quotes = {key: reader.quotes_on(date.fromisoformat(key)) for key in _keys(context)}
        judged = {key: _judged_sha(rows) for key, rows in quotes.items()}
        passed = {
            key: run_that_judged(context.instance, check, partition=key, judged=sha)
            for key, sha in judged.items()
        }
        failed = _failed_expectations({key: rows for key, rows in quotes.items() if not passed[key]})
        told = {key: {JUDGED: judged[key], JUDGED_IN: passed[key] or context.run.run_id} for key in judged}
        return _evaluated(context, graph, check.name, {key: failed.get(key, []) for key in quotes}, told)

    @dg.asset_check(
        asset=graph.key("market_quotes"),
        partitions_def=graph.sessions,
        description="Enough quotes to decide the next session on; whoever reads an unfit one refuses.",
    )
    def session_is_fit_to_decide_on(
        context: dg.AssetCheckExecutionContext,
        accepted_quotes: dg.ResourceParam[Mapping[str, AcceptedQuotes]],
    ) -> dg.AssetCheckResult:
        reader = accepted_quotes[graph.name]
        unfit = {key: _as_rows(reader.unfit_reason(date.fromisoformat(key))) for key in _keys(context)}
        return _evaluated(context, graph, "session_is_fit_to_decide_on", unfit)

    return [market_quotes, quotes_satisfy_the_suite, session_is_fit_to_decide_on]


def _of(sources: Mapping[str, MarketData], book: str) -> tuple[MarketData, ...]:
    """Return a book's source of a mapping that need not have one."""
    return (sources[book],) if book in sources else ()


def _inputs_sha(first: MarketData, others: Sequence[MarketData]) -> str:
    """Return the digest of what was read: the first source's own, unless another one was used as well.

    One that cannot be read has none.
    """
    if not others:
        return first.source_sha()
    return digest([reading.source_sha for reading in (_read(source, None) for source in (first, *others))])


def _read(source: MarketData, dates: tuple[date, date] | None) -> Reading:
    """Return what a source gives for some dates, or why it gives nothing."""
    try:
        rows = () if dates is None else tuple(source.raw_bars(*dates))
        return Reading(source.name, rows, source.source_sha())
    except TradingError as error:
        failure = failure_word(error)
    return Reading(source.name, (), "", failure)


def _chosen(
    graph: BookGraph,
    sessions: Sequence[date],
    *,
    sources: Sequence[MarketData],
    actions: Sequence[CorporateAction],
    stored: AcceptedQuotes,
    quality: Quality,
) -> tuple[Chosen, ...]:
    """Return the sessions judged, the same wherever an import begins, each with the source it is from.

    A row is judged by what was accepted before it. Where that is not all stored, the source is judged from
    its first session on.
    """
    earlier = [
        day for day in graph.calendar.between(graph.config.first_session, sessions[0]) if day < sessions[0]
    ]
    history = earlier[-quality.limits.history_sessions :]
    is_stored = stored.has_all(history)
    judged = sessions if is_stored else (*earlier, *sessions)
    dates = dates_of(graph.calendar, first=judged[0], last=judged[-1])
    return judge_sources(
        sessions=judged,
        readings=_readings(sources, dates),
        calendar=graph.calendar,
        previous=stored.last_before(sessions[0], len(history)) if is_stored else {},
        actions=actions,
        released=quality.released(),
        limits=quality.limits,
    )[len(judged) - len(sessions) :]


def _readings(sources: Sequence[MarketData], dates: tuple[date, date]) -> list[Reading]:
    """Return what each source gives; raises the refusal of the only one, or `BadQuotes` where all fail."""
    if len(sources) == 1:
        (source,) = sources
        return [Reading(source.name, tuple(source.raw_bars(*dates)), source.source_sha())]
    readings = [_read(source, dates) for source in sources]
    if all(reading.failure for reading in readings):
        told = ", ".join(f"{reading.name} ({reading.failure})" for reading in readings)
        raise BadQuotes(f"no source of quotes can be read: {told}")
    return readings


def _one_or_many(by_session: Mapping[str, Any]) -> Any:
    """Return the rows of the only session, or all of them by session: what the lake's IO manager takes."""
    return next(iter(by_session.values())) if len(by_session) == 1 else by_session


def _by_reason(judged: Sequence[SessionQuotes]) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for day in judged:
        for row in day.quarantined:
            counts[row.reason] = counts.get(row.reason, 0) + 1
    return [
        {"reason": reason, "rows": count} for reason, count in sorted(counts.items(), key=lambda x: -x[1])
    ]


def _keys(context: dg.AssetCheckExecutionContext) -> Sequence[str]:
    return context.op_execution_context.partition_keys


def _judged_sha(quotes: Sequence[Quote]) -> str:
    """Return the digest of rows and suite: with the same, the suite says the same, at seconds a process."""
    return hashlib.sha256(f"{suite_sha()}{[tuple(row) for row in quotes]}".encode()).hexdigest()


def _failed_expectations(quotes: Mapping[str, Sequence[Quote]]) -> dict[str, list[dict[str, Any]]]:
    """Return what each session's accepted rows fail; an empty session is another check's matter."""
    if not quotes:
        return {}
    if not validate_quotes(_frame([quote for rows in quotes.values() for quote in rows])):
        return {key: [] for key in quotes}
    return {key: validate_quotes(_frame(rows)) if rows else [] for key, rows in quotes.items()}


def _frame(quotes: Sequence[Quote]) -> Any:
    """Return rows as the data frame that the suite takes."""
    import pandas as pd  # noqa: PLC0415 - half a second a process, and most runs find their rows judged

    return pd.DataFrame(quotes, columns=list(Quote._fields))


def _as_rows(reason: str) -> list[dict[str, Any]]:
    return [{"why": reason}] if reason else []


def _evaluated(
    context: dg.AssetCheckExecutionContext,
    graph: BookGraph,
    name: str,
    failed: Mapping[str, list[dict[str, Any]]],
    told: Mapping[str, Mapping[str, str]] | None = None,
) -> dg.AssetCheckResult:
    """Return the check's result; in a run over a range of sessions, after one evaluation for each of them.

    `told` is more metadata of each session's evaluation.
    """
    told = told or {}
    if not context.op_execution_context.has_partition_key:  # a range, be it of one: the result names none
        for key, rows in failed.items():
            evaluation = dg.AssetCheckEvaluation(
                asset_key=graph.key("market_quotes"),
                check_name=name,
                passed=not rows,
                partition=key,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"failed": table_of(rows), **told.get(key, {})},
            )
            # The method takes an evaluation; only its annotation lags behind.
            context.op_execution_context.log_event(evaluation)  # type: ignore[arg-type]
    bad = [{"session": key, **row} for key, rows in failed.items() for row in rows]
    return dg.AssetCheckResult(
        passed=not bad,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "sessions": len(failed),
            "failed": table_of(bad),
            **(told[next(iter(failed))] if len(failed) == 1 and told else {}),
        },
    )


def _out(graph: BookGraph, name: str, row_type: type, description: str) -> dg.AssetOut:
    return dg.AssetOut(
        key=graph.key(name),
        group_name=SCANNER,
        owners=OWNERS,
        kinds={"parquet"},
        description=description,
        metadata={"dagster/column_schema": column_schema(row_type)},
    )
