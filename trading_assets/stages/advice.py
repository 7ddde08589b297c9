"""Advice: an advisor's factor on the intents that passed the guards, and each call that was made for it.

How much of it may be followed is the ladder's step in force. A session that was decided is never asked about
again: its record is read, so that whoever makes it anew gets the same and calls nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any, Protocol

import dagster as dg

from trading.advice import Advice, AdviceContext, AdviceGiven, AdviceVerdict, Advisor, admitted, ladder_of
from trading.advice_context import later_than
from trading.advice_items import cut_off_of, items_of
from trading.advice_ladder import STEP_NAMES, AdvisorLadder, strays_of
from trading.advisor_calls import (
    AdvisorCall,
    BudgetFigures,
    BudgetState,
    CallError,
    latency_ms_p95,
    spent,
    went_out,
)
from trading.clock import Clock, Phase
from trading.errors import Refused
from trading.journal import Journal
from trading.reporting import sparkline_svg
from trading.session import passing
from trading_assets.stage import (
    OWNERS,
    STRATEGIST,
    BookGraph,
    column_schema,
    refusals_kept,
    session_of,
    table_of,
)

CHECKS = {
    "replies_are_readable": "every question that went out was answered in the schema",
    "context_was_known": "nothing that a model was shown was known only after the session's cut-off",
    "error_budget_holds": "errors and latency of the last sessions keep the reviewed budget",
    "spending_holds": "no question was left out since the tokens or the money of its budget were spent",
}
"""What is asked of a session's advice; it warns and never blocks, since advice can only make less."""

SPENT = frozenset({CallError.TOKENS_SPENT, CallError.COST_SPENT})


class AdviceRecords(Protocol):
    """Give what an advisor said of the sessions of a book."""

    def given(self, session: date) -> AdviceGiven | None:
        """Return the stored advice and calls of a session, `None` where it has none."""
        ...

    def calls_before(self, session: date) -> Sequence[AdvisorCall]:
        """Return the calls of the sessions before one, ascending, as far back as a budget looks."""
        ...


def advice_stage(graph: BookGraph) -> list[Any]:
    """Return the two assets of one book, made by one step, and their checks."""

    @dg.multi_asset(
        name=f"{graph.name}__advice",
        outs={
            "advice": _out(
                graph,
                "advice",
                Advice,
                "One row is the advice on one intent that passed: keep, shrink, veto, abstain or escalate. "
                "It can only make an order smaller, and only as far as the ladder's step allows.",
            ),
            "advisor_calls": _out(
                graph,
                "advisor_calls",
                AdvisorCall,
                "One row is one question to a model: what it took and cost, and how it ended.",
            ),
        },
        ins={name: graph.rows_of(name) for name in ("candidates", "intents", "verdicts")},
        partitions_def=graph.sessions,
    )
    def advice(
        context: dg.AssetExecutionContext,
        candidates: Any,
        intents: Any,
        verdicts: Any,
        advisor: dg.ResourceParam[Advisor],
        advisor_ladder: dg.ResourceParam[AdvisorLadder],
        advice_records: dg.ResourceParam[Mapping[str, AdviceRecords]],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        journal: dg.ResourceParam[Journal],
    ) -> Iterator[dg.Output[Any]]:
        session, records = session_of(context), advice_records[graph.name]
        now = clocks[graph.name].now(session, Phase.DECIDE)
        passed = passing(intents, verdicts)
        fell = ""
        with refusals_kept(
            journal, graph, session, "advice", clock=partial(clocks[graph.name].now, session, Phase.DECIDE)
        ):
            decided = journal.session_record(**graph.where(session))
            if decided is not None and decided.decided_at is not None:
                given = _recorded(records, graph.name, session)
                step = ladder_of(given.advice)
            else:
                step = advisor_ladder.in_force(graph.name).step
                told = AdviceContext(
                    book=graph.name,
                    lane=graph.lane,
                    session=session,
                    cut_off=cut_off_of(session, now=now, calendar=graph.calendar),
                    ladder=step,
                    items=items_of(candidates, passed, calendar=graph.calendar),
                    run_id=context.run.run_id,
                )
                given = advisor.advise(passed, context=told)
                fell = advisor_ladder.observe(
                    graph.name,
                    session,
                    recent=[*records.calls_before(session), *given.calls],
                    strays=strays_of(given.advice, [intent.intent_key for intent in passed]),
                    now=now,
                )
            rows = admitted(given.advice, passed, ladder=step)
        earlier = [*records.calls_before(session), *given.calls] if given.calls else []
        yield dg.Output(rows, output_name="advice", metadata=_of_advice(rows, fell))
        yield dg.Output(given.calls, output_name="advisor_calls", metadata=_of_calls(given.calls, earlier))

    return [advice, _checks(graph)]


def _recorded(records: AdviceRecords, book: str, session: date) -> AdviceGiven:
    """Return the record of a decided session; raises `Refused` where it is gone."""
    given = records.given(session)
    if given is None:
        raise Refused(
            f"{book} {session}: was decided, and what its advisor said is not recorded any more; a model is "
            "not asked again, since it would say something else"
        )
    return given


def _out(graph: BookGraph, name: str, row_type: type, description: str) -> dg.AssetOut:
    return dg.AssetOut(
        key=graph.key(name),
        group_name=STRATEGIST,
        owners=OWNERS,
        kinds={"parquet"},
        description=description,
        metadata={"dagster/column_schema": column_schema(row_type)},
    )


def _checks(graph: BookGraph) -> Any:
    """Return the checks of advice, in one step: they read the same tables."""

    @dg.multi_asset_check(
        name=f"{graph.name}__advice_checks",
        specs=[
            dg.AssetCheckSpec(
                name,
                asset=graph.key("advice"),
                additional_deps=[graph.key(read) for read in ("advisor_calls", "candidates", "intents")],
                blocking=False,
                partitions_def=graph.sessions,
                description=f"Warns unless {asks}.",
            )
            for name, asks in CHECKS.items()
        ],
        ins={name: graph.rows_of(name) for name in ("advisor_calls", "candidates", "intents")},
    )
    def advice_checks(
        context: dg.AssetCheckExecutionContext,
        advisor_calls: Any,
        candidates: Any,
        intents: Any,
        advice_records: dg.ResourceParam[Mapping[str, AdviceRecords]],
        advisor_ladder: dg.ResourceParam[AdvisorLadder],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
    ) -> Iterator[dg.AssetCheckResult]:
        session = session_of(context.op_execution_context)
        unread = [call for call in advisor_calls if went_out(call) and not call.ok]
        late = later_than(
            items_of(candidates, intents, calendar=graph.calendar),
            cut_off_of(session, now=clocks[graph.name].now(session, Phase.DECIDE), calendar=graph.calendar),
        )
        refused = [call for call in advisor_calls if call.error_type == CallError.LOOK_AHEAD]
        figures = advisor_ladder.budget_figures(
            [*advice_records[graph.name].calls_before(session), *advisor_calls]
        )
        left_out = [call for call in advisor_calls if call.error_type in SPENT]
        found: dict[str, tuple[bool, dict[str, Any]]] = {
            "replies_are_readable": (not unread, {"by error": table_of(_by_error(advisor_calls))}),
            "context_was_known": (not late and not refused, {"too late": len(late) + len(refused)}),
            "error_budget_holds": (figures.state in KEEPING, _figures(figures)),
            "spending_holds": (
                not left_out,
                {"left out": len(left_out), "cost_usd": spent(advisor_calls).cost_micros / 1e6},
            ),
        }
        for name, (passed, metadata) in found.items():
            yield dg.AssetCheckResult(
                check_name=name,
                asset_key=graph.key("advice"),
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"calls": len(advisor_calls), **metadata},
            )

    return advice_checks


KEEPING = frozenset({BudgetState.KEPT, BudgetState.NO_DATA})


def _of_advice(rows: Sequence[Advice], fell: str) -> dict[str, Any]:
    """Return what people look for on a session's advice: how many of each word, and the table of them."""
    return {
        "advised": len(rows),
        "applied": sum(row.applied for row in rows),
        **{verdict.value: sum(row.verdict is verdict for row in rows) for verdict in AdviceVerdict},
        "failed": sum(bool(row.error_type) for row in rows),
        "ladder": STEP_NAMES[ladder_of(rows)],
        "stepped back": fell or "no",
        "advice": table_of(
            [
                {
                    "symbol": row.symbol,
                    "verdict": row.verdict.value,
                    "factor_bps": row.factor_bps,
                    "confidence_bps": row.confidence_bps,
                    "applied": row.applied,
                    "error": row.error_type,
                    "rationale": row.rationale,
                    "by": row.source,
                }
                for row in rows
            ]
        ),
    }


def _of_calls(calls: Sequence[AdvisorCall], shown: Sequence[AdvisorCall]) -> dict[str, Any]:
    """Return the plotted numbers of a session's calls, and its last sessions' cost and latency as lines.

    Without a call there is no latency: no data is no point of the plot, and never zero.
    """
    total, latency = spent(calls), latency_ms_p95(calls)
    by_session: dict[date, list[AdvisorCall]] = {}
    for call in shown:
        by_session.setdefault(call.session, []).append(call)
    latencies = [p95 for own in by_session.values() if (p95 := latency_ms_p95(own)) is not None]
    return {
        "calls": total.calls,
        "sent": total.sent,
        "errors": total.errors,
        "cached": total.cached,
        "tokens": total.tokens,
        "cost_usd": total.cost_micros / 1e6,
        **({} if latency is None else {"latency_ms_p95": latency}),
        "by error": table_of(_by_error(calls)),
        "cost of sessions": _line([spent(own).cost_micros / 1e6 for own in by_session.values()]),
        "latency of sessions": _line(latencies),
    }


def _line(values: Sequence[float]) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.md(sparkline_svg(values) or "no data")


def _by_error(calls: Sequence[AdvisorCall]) -> list[dict[str, Any]]:
    kinds = sorted({call.error_type for call in calls if call.error_type})
    return [{"error": kind, "calls": sum(call.error_type == kind for call in calls)} for kind in kinds]


def _figures(figures: BudgetFigures) -> dict[str, Any]:
    return {
        "state": figures.state.value,
        "errors": figures.errors,
        "judged": figures.calls,
        "error rate": "no data" if figures.error_rate is None else round(figures.error_rate, 4),
        "latency_ms_p95": "no data" if figures.latency_ms_p95 is None else figures.latency_ms_p95,
    }
