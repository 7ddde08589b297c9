"""Decisions: what becomes of each intent, registered in the journal; and the blocking checks of the batch.

The checks are trading/gates.py, asked of the journal and the lake as they are when the check runs; the
execute job runs them again, and the executor asks the same functions itself.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from typing import Any

import dagster as dg

from trading.advice import ladder_of
from trading.approvals import DEGRADED_APPROVAL, ApprovalMode, ChainStage
from trading.clock import Clock, Phase
from trading.control import activated, resolve_mode
from trading.decisions import DecisionRow, Outcome, decide, decision_rows, outcomes_by_reason
from trading.gates import GATE_NAMES
from trading.inputs import InputHistory, open_orders_of
from trading.journal import Journal
from trading.positions import book_from_rows
from trading.quotes import WindowReader
from trading.session import decision_inputs_sha
from trading.values import Money, digest
from trading.verdicts import by_intent
from trading_assets.batch import batch_gates
from trading_assets.stage import (
    INPUTS_SHA,
    SUPERVISOR,
    BookGraph,
    column_schema,
    refusals_kept,
    session_of,
    table_of,
)

APPROVAL_MODE_TAG = "trading/approval_mode"
"""The run tag by which a run asks for a mode of approval; it never makes it more automatic than reviewed."""

GATE_READS = ("verdicts", "opening_book", "corporate_actions")
"""Tables that the gates compare the decisions with."""


def decisions_stage(graph: BookGraph) -> list[Any]:
    """Return the asset of one book, its blocking checks and its warning of blocked intents."""
    read = ("intents", "verdicts", "advice", "opening_book", "corporate_actions")

    @dg.asset(
        **graph.asset_arguments("decisions", group=SUPERVISOR),
        ins={name: graph.rows_of(name) for name in read} | graph.hydrated(),
        deps=[graph.earlier_quotes()],
        metadata={"dagster/column_schema": column_schema(DecisionRow)},
    )
    def decisions(
        context: dg.AssetExecutionContext,
        intents: Any,
        verdicts: Any,
        advice: Any,
        opening_book: Any,
        corporate_actions: Any,
        input_envelopes: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        journal: dg.ResourceParam[Journal],
        clocks: dg.ResourceParam[Mapping[str, Clock]],
        approval_environment: dg.ResourceParam[str],
    ) -> dg.Output[Any]:
        """One row is what was decided of one intent: blocked, vetoed, waiting for approval, or approved.

        Registered in the journal under an id that the same decision always has; nothing executes that is
        not registered here first.
        """
        session = session_of(context)
        rules = graph.config.rules
        now = clocks[graph.name].now(session, Phase.DECIDE)
        with refusals_kept(
            journal, graph, session, "decisions", clock=partial(clocks[graph.name].now, session, Phase.DECIDE)
        ):
            window = windows[graph.name].window_before(session, rules.window_sessions)
            inputs_sha = decision_inputs_sha(
                window=window,
                opening_sha=book_from_rows(opening_book).sha(),
                actions=corporate_actions,
                rules=rules,
                open_orders=open_orders_of(input_envelopes or ()),
            )
            mode, is_degraded = _mode(
                graph, journal, session, tags=context.run.tags, environment=approval_environment
            )
            decided = decide(
                intents,
                verdicts,
                advice,
                account=graph.config.account,
                lane=graph.lane,
                ladder=ladder_of(advice),
                limits=rules.limits.on(session),
                not_after=graph.calendar.closes_at(session),
                inputs_sha=inputs_sha,
                approvals=rules.approvals,
                mode=mode,
                is_degraded=is_degraded,
                now=now,
            )
            rows = decision_rows(decided)
            journal.register(
                book=graph.name,
                lane=graph.lane,
                session=session,
                decisions=decided,
                verdicts=verdicts,
                decisions_sha=digest([[str(field) for field in row] for row in rows]),
                now=now,
            )
        return dg.Output(
            rows,
            metadata={
                **{outcome.value: sum(1 for row in rows if row.outcome is outcome) for outcome in Outcome},
                INPUTS_SHA: inputs_sha,
                "approvals": f"{mode.value}, degraded" if is_degraded else mode.value,
                "decided": table_of([_shown(row, graph.config.currency) for row in rows]),
                "blocked by reason": table_of(
                    [
                        {"reason": reason, "intents": count}
                        for reason, count in outcomes_by_reason(rows).items()
                    ]
                ),
            },
        )

    return [decisions, _gate_checks(graph), _blocked_check(graph)]


def _mode(
    graph: BookGraph, journal: Journal, session: date, *, tags: Mapping[str, str], environment: str
) -> tuple[ApprovalMode, bool]:
    """Return the mode of a decision and whether trading is degraded: as it was decided, else as in force."""
    for row in journal.intents(book=graph.name, lane=graph.lane, session=session):
        for record in journal.chain(row.intent_id):
            if record.stage is ChainStage.PERSON and not record.actor:
                return ApprovalMode(record.policy), record.detail == DEGRADED_APPROVAL
    control = journal.run_control()
    reviewed = graph.config.rules.approvals.mode
    asked = tags.get(APPROVAL_MODE_TAG, "")
    resolved = resolve_mode(
        ApprovalMode(asked) if asked else None,
        control.approval_mode,
        ApprovalMode(environment) if environment else None,
        reviewed,
    )
    mode = activated(resolved, reviewed=reviewed, is_degraded=control.is_degraded)
    return mode, control.is_degraded


def _gate_checks(graph: BookGraph) -> Any:
    """Return the gates as blocking checks of the decisions, in one step: they read the same facts."""

    @dg.multi_asset_check(
        name=f"{graph.name}__decision_gates",
        specs=[
            dg.AssetCheckSpec(
                name,
                asset=graph.key("decisions"),
                additional_deps=[graph.key(read) for read in GATE_READS],
                blocking=True,
                partitions_def=graph.sessions,
                description=f"Blocks execution unless: {name.replace('_', ' ')}.",
            )
            for name in GATE_NAMES
        ],
        ins={name: graph.rows_of(name) for name in ("decisions", *GATE_READS)},
    )
    def decision_gates(
        context: dg.AssetCheckExecutionContext,
        decisions: Any,
        verdicts: Any,
        opening_book: Any,
        corporate_actions: Any,
        windows: dg.ResourceParam[Mapping[str, WindowReader]],
        input_history: dg.ResourceParam[Mapping[str, InputHistory]],
        journal: dg.ResourceParam[Journal],
    ) -> Iterator[dg.AssetCheckResult]:
        gates = batch_gates(
            graph,
            session_of(context.op_execution_context),
            decisions=decisions,
            verdicts=verdicts,
            opening_book=opening_book,
            corporate_actions=corporate_actions,
            hydrated=input_history[graph.name],
            windows=windows[graph.name],
            journal=journal,
        )
        for gate in gates:
            yield dg.AssetCheckResult(
                check_name=gate.name,
                asset_key=graph.key("decisions"),
                passed=gate.passed,
                metadata={"detail": gate.detail, "rows": table_of(gate.rows)},
            )

    return decision_gates


def _blocked_check(graph: BookGraph) -> Any:
    """Return the warning that shows blocked intents; it never holds anything up."""

    @dg.asset_check(
        asset=graph.key("decisions"),
        partitions_def=graph.sessions,
        additional_ins={"verdicts": graph.rows_of("verdicts")},
        description="Shows each blocked intent: reason, what was observed, the limit. Blocked is data.",
    )
    def no_intent_is_blocked(decisions: Any, verdicts: Any) -> dg.AssetCheckResult:
        judged = by_intent(verdicts)
        blocked = [row for row in decisions if row.outcome is Outcome.BLOCKED]
        table = [
            {
                "symbol": row.symbol,
                "side": row.side.value,
                "reason": verdict.reason,
                "observed": verdict.observed,
                "limit": verdict.limit,
                "largest that passes": verdict.largest_quantity,
            }
            for row in blocked
            for verdict in judged.get(row.intent_key, ())
            if not verdict.passed
        ]
        return dg.AssetCheckResult(
            passed=not blocked,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"blocked": len(blocked), "why": table_of(table)},
        )

    return no_intent_is_blocked


def _shown(row: DecisionRow, currency: str) -> dict[str, Any]:
    return {
        "symbol": row.symbol,
        "side": row.side.value,
        "outcome": row.outcome.value,
        "reason": row.reason,
        "quantity": row.quantity,
        "notional": str(Money(micros=row.price_micros * row.quantity, currency=currency)),
        "intent_id": row.intent_id,
    }
