"""Metrics v1: one session in numbers, each with a formula, a unit and an honest answer to "no data".

The frozen names stand in `config/metrics_v1.json`; `METRICS` below is the table of what each one means.
Rows of a session come in, numbers go out. What a number is judged by is alerts.py, how it is shown is
reporting.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from trading.advice import Advice
from trading.advisor_calls import AdvisorCall, latency_ms_p95, spent, was_held_back
from trading.advisor_calls import went_out as was_asked
from trading.broker_positions import BrokerPositionRow
from trading.candidates import Candidate
from trading.decisions import DecisionRow, Outcome, outcomes_by_reason
from trading.features import rounded
from trading.inputs import InputRow
from trading.lifecycle import IntentState
from trading.orders import ExecutionRow, OrderStatusRow
from trading.outbound import OutboundCall, went_out
from trading.positions import BookRow, Item
from trading.risk import drawdown, exposures
from trading.routing import NOT_RECORDED
from trading.session_course import (
    RunOutcome,
    SessionCourse,
    StageOutcome,
    run_outcomes,
    stage_outcomes,
    stage_seconds,
    waits_s,
)
from trading.values import MICROS
from trading.verdicts import Verdict

SCHEMA_VERSION = "metrics.v1"
"""The version of the names and units; a change of either needs another one."""

BLOCKED_REASONS_TOP = 5
"""How many blocking reasons get a row of their own."""

BLOCKED_REASON = "execution.blocked_reason_top."
FALLBACKS = "execution.fallback_total_by_reason."
API_ERRORS = "broker_api.api_error_total_by_api_id."
INPUT_FALLBACKS = "input_hydration.fallback_total_by_reason."
STAGE_SUCCESS = "stage.success."
STAGE_FAILURES = "stage.failure_total."
STAGE_RETRIES = "stage.retry_total."
STAGE_LATENCY = "stage.latency_seconds."
RUN_SUCCESS = "run.success."
RUN_LATENCY = "run.latency_seconds."
"""Rows of these families are named by the prefix and a reason, an endpoint, a stage, or a run's id."""

PORTFOLIO_GUARDS = frozenset(
    {
        "exposure_sound",
        "buying_power",
        "shorts",
        "exposure_priced",
        "position_limit",
        "symbol_cap",
        "strategy_budget",
        "gross_exposure",
        "net_exposure",
        "leverage",
        "value_at_risk",
        "daily_loss",
        "drawdown",
    }
)
"""The guards that look at the account and the whole book, not at the order alone."""

STRATEGY_BUDGET = "strategy_budget"

MEDIAN, PERCENTILE_95 = 50, 95

HTTP_ERRORS_FROM = 400
HTTP_TOO_MANY_REQUESTS = 429


class MetricStatus(StrEnum):
    """Say whether there was anything to measure."""

    OK = "ok"
    NO_DATA = "no_data"


class MetricRow(NamedTuple):
    """Hold one number of one session; `value` is `None` where there was nothing to measure, never zero."""

    session: date
    name: str
    value: float | None
    unit: str
    status: MetricStatus


class BrokerCall(NamedTuple):
    """Hold one request to a broker: the endpoint's id and the HTTP status, 0 where no reply came."""

    api_id: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """Hold what one session left behind, as the rows of its tables.

    A count is `None` where its stage did not run. `previous_equities_micros` are the equities at the close
    of the book's earlier sessions, ascending. `deposits_micros` is what the book was opened with.
    `positions` is empty until the session is settled. Nobody asked a model or a broker's API: no calls.
    `inputs` are how the decision's sources were hydrated, empty where that was not kept; `broker_positions`
    is `None` where the broker was not asked. `course` is `None` until the session is settled; `stored` names
    the session's tables that stand.
    """

    session: date
    quotes_count: int | None
    quarantined_count: int | None
    candidates: tuple[Candidate, ...]
    intents_count: int | None
    verdicts: tuple[Verdict, ...]
    advice: tuple[Advice, ...]
    decisions: tuple[DecisionRow, ...]
    executions: tuple[ExecutionRow, ...]
    order_status: tuple[OrderStatusRow, ...]
    positions: tuple[BookRow, ...]
    previous_equities_micros: tuple[int, ...]
    deposits_micros: int
    advisor_calls: tuple[AdvisorCall, ...] = ()
    broker_calls: tuple[BrokerCall, ...] = ()
    inputs: tuple[InputRow, ...] = ()
    broker_positions: tuple[BrokerPositionRow, ...] | None = None
    course: SessionCourse | None = None
    stored: tuple[str, ...] = ()


class Metric(NamedTuple):
    """Hold what one metric means: its unit, how it is made, and when there is nothing to measure."""

    name: str
    unit: str
    formula: str
    no_data_when: str
    measure: Callable[[SessionFacts], float | None]


def broker_calls_of(calls: Iterable[OutboundCall]) -> tuple[BrokerCall, ...]:
    """Return the requests among a session's calls: what a breaker, a limit or the cache kept here is none."""
    return tuple(BrokerCall(call.endpoint, call.status) for call in calls if went_out(call))


def session_metrics(facts: SessionFacts) -> tuple[MetricRow, ...]:
    """Return every metric of a session, in the order of `METRICS`, then the rows of the families.

    Values are rounded to 1e-9; the same rows give the same numbers. Raises `ValueError` where the book's
    deposits are not the ones given: return and drawdown would be measured from a wrong start.
    """
    booked = _book_total(facts, Item.DEPOSITS)
    if booked is not None and booked != facts.deposits_micros:
        raise ValueError(
            f"deposits of {facts.session}: the book has {booked}, the facts say {facts.deposits_micros} "
            "micro-units; give the deposits the book was opened with"
        )
    rows = [_row(facts.session, metric.name, metric.measure(facts), metric.unit) for metric in METRICS]
    rows += [
        _row(facts.session, BLOCKED_REASON + reason, float(count), "intents")
        for reason, count in _top_reasons(facts)
    ]
    rows += [
        _row(facts.session, FALLBACKS + reason, float(count), "orders")
        for reason, count in _fallbacks_by_reason(facts).items()
    ]
    rows += [
        _row(facts.session, API_ERRORS + api_id, float(count), "errors")
        for api_id, count in _errors_by_api_id(facts).items()
    ]
    rows += [
        _row(facts.session, INPUT_FALLBACKS + reason, float(count), "sources")
        for reason, count in _input_fallbacks_by_reason(facts).items()
    ]
    rows += _rows_of_stages(facts)
    return tuple(rows)


def by_name(rows: Iterable[MetricRow]) -> dict[str, MetricRow]:
    """Return the rows of one session by name."""
    return {row.name: row for row in rows}


def _row(session: date, name: str, value: float | None, unit: str) -> MetricRow:
    if value is None:
        return MetricRow(session, name, None, unit, MetricStatus.NO_DATA)
    return MetricRow(session, name, rounded(value), unit, MetricStatus.OK)


def _rows_of_stages(facts: SessionFacts) -> list[MetricRow]:
    """Return four rows a stage, then two a run; a stage that never ran has no data, and is no failure."""
    rows = []
    seconds = _stage_seconds(facts)
    for stage, ended in _stages(facts).items():
        for prefix, value, unit in (
            (STAGE_SUCCESS, None if ended is None else float(ended.passed), "ratio"),
            (STAGE_FAILURES, None if ended is None else float(ended.failures), "refusals"),
            (STAGE_RETRIES, None if ended is None else float(ended.retries), "retries"),
            (STAGE_LATENCY, seconds.get(stage), "s"),
        ):
            rows.append(_row(facts.session, prefix + stage, value, unit))
    for run_id, run in _runs(facts).items():
        rows.append(_row(facts.session, RUN_SUCCESS + run_id, float(run.passed), "ratio"))
        rows.append(_row(facts.session, RUN_LATENCY + run_id, run.took_s, "s"))
    return rows


# ------------------------------------------------------------------------------------------------- the funnel


def _quotes(facts: SessionFacts) -> float | None:
    return _count(facts.quotes_count)


def _quarantined(facts: SessionFacts) -> float | None:
    return _count(facts.quarantined_count)


def _quarantined_ratio(facts: SessionFacts) -> float | None:
    if facts.quotes_count is None or facts.quarantined_count is None:
        return None
    return _ratio(facts.quarantined_count, facts.quotes_count + facts.quarantined_count)


def _scanned(facts: SessionFacts) -> float | None:
    return _count(len(facts.candidates) or None)


def _candidates(facts: SessionFacts) -> float | None:
    if not facts.candidates:
        return None
    return float(sum(1 for row in facts.candidates if row.selected))


def _intents(facts: SessionFacts) -> float | None:
    return _count(facts.intents_count)


def _blocked(facts: SessionFacts) -> float | None:
    return _decided(facts, Outcome.BLOCKED)


def _vetoed(facts: SessionFacts) -> float | None:
    return _decided(facts, Outcome.VETOED)


def _pending_approval(facts: SessionFacts) -> float | None:
    return _decided(facts, Outcome.PENDING_APPROVAL)


def _approved(facts: SessionFacts) -> float | None:
    if not _is_decided(facts):
        return None
    by_policy = {row.intent_id for row in facts.decisions if row.outcome is Outcome.APPROVED}
    by_people = {row.intent_id for row in facts.order_status if row.intent_state in AFTER_APPROVAL}
    return float(len(by_policy | by_people))


def _executed(facts: SessionFacts) -> float | None:
    return _ended(facts, lambda row: row.intent_state == IntentState.EXECUTED)


def _filled(facts: SessionFacts) -> float | None:
    return _ended(facts, lambda row: row.filled_quantity > 0 and row.filled_quantity == row.quantity)


def _unknown(facts: SessionFacts) -> float | None:
    return _ended(facts, lambda row: row.intent_state == IntentState.UNKNOWN)


# ---------------------------------------------------------------------------------------------- the execution


AFTER_APPROVAL = frozenset(
    {
        IntentState.APPROVED.value,
        IntentState.EXECUTING.value,
        IntentState.UNKNOWN.value,
        IntentState.EXECUTED.value,
        IntentState.FAILED.value,
    }
)
"""States that only an approved intent reaches."""

ACCOUNTED_FOR = frozenset(
    {
        IntentState.EXECUTED.value,
        IntentState.EXPIRED.value,
        IntentState.CANCELLED.value,
        IntentState.REJECTED.value,
    }
)
"""States in which an approved intent has ended as it should: done, out of time, withdrawn, or refused at the
claim by the guards."""


def _approved_executed_gap(facts: SessionFacts) -> float | None:
    if not _is_decided(facts):
        return None
    state_of = {row.intent_id: row.intent_state for row in facts.order_status}
    approved = {row.intent_id for row in facts.decisions if row.outcome is Outcome.APPROVED}
    approved |= {intent_id for intent_id, state in state_of.items() if state in AFTER_APPROVAL}
    return float(sum(1 for intent_id in approved if state_of.get(intent_id) not in ACCOUNTED_FOR))


def _blocked_rate(facts: SessionFacts) -> float | None:
    blocked = _blocked(facts)
    if blocked is None or facts.intents_count is None:
        return None
    return _ratio(blocked, facts.intents_count)


def _blocked_reasons(facts: SessionFacts) -> float | None:
    if not _is_decided(facts):
        return None
    return float(len(outcomes_by_reason(_only_blocked(facts))))


def _fallbacks(facts: SessionFacts) -> float | None:
    return float(sum(_fallbacks_by_reason(facts).values())) if _sent(facts) else None


def _route_coverage(facts: SessionFacts) -> float | None:
    sent = _sent(facts)
    return _ratio(sum(1 for row in sent if row.actual_adapter != NOT_RECORDED), len(sent))


def _fallbacks_by_reason(facts: SessionFacts) -> dict[str, int]:
    return dict(
        sorted(Counter(row.fallback_reason for row in facts.executions if row.fallback_count).items())
    )


def _sent(facts: SessionFacts) -> list[ExecutionRow]:
    return [row for row in facts.executions if row.client_order_id]


def _slippage_bps(facts: SessionFacts) -> float | None:
    weighted = 0.0
    notional = 0
    for row in facts.executions:
        worth = row.average_price_micros * row.filled_quantity
        weighted += row.slippage_bps * worth
        notional += worth
    return weighted / notional if notional else None


def _turnover(facts: SessionFacts) -> float | None:
    if not facts.order_status and facts.intents_count != 0:
        return None
    traded = sum(row.notional_micros for row in facts.order_status)
    return _ratio(traded, _equity_before(facts))


def _portfolio_blocked_ratio(facts: SessionFacts) -> float | None:
    reviewed = {row.intent_key for row in facts.verdicts if row.guard in PORTFOLIO_GUARDS}
    stopped = {row.intent_key for row in facts.verdicts if row.guard in PORTFOLIO_GUARDS and not row.passed}
    return _ratio(len(stopped), len(reviewed))


def _strategy_budget_exceeded(facts: SessionFacts) -> float | None:
    verdicts = [row for row in facts.verdicts if row.guard == STRATEGY_BUDGET]
    if not verdicts:
        return None
    return float(sum(1 for row in verdicts if not row.passed))


# ------------------------------------------------------------------------------------------ money, exposure


def _equity(facts: SessionFacts) -> float | None:
    return _amount(_book_total(facts, Item.EQUITY))


def _cash(facts: SessionFacts) -> float | None:
    return _amount(_book_total(facts, Item.CASH))


def _realised(facts: SessionFacts) -> float | None:
    return _amount(_book_total(facts, Item.REALISED))


def _unrealised(facts: SessionFacts) -> float | None:
    return _amount(_book_total(facts, Item.UNREALISED))


def _dividends(facts: SessionFacts) -> float | None:
    return _amount(_book_total(facts, Item.DIVIDENDS))


def _commissions(facts: SessionFacts) -> float | None:
    return _amount(_book_total(facts, Item.COMMISSIONS))


def _session_pnl(facts: SessionFacts) -> float | None:
    equity = _book_total(facts, Item.EQUITY)
    return None if equity is None else _amount(equity - _equity_before(facts))


def _return_since_opening(facts: SessionFacts) -> float | None:
    equity = _book_total(facts, Item.EQUITY)
    return None if equity is None else _ratio(equity - facts.deposits_micros, facts.deposits_micros)


def _drawdown(facts: SessionFacts) -> float | None:
    equity = _book_total(facts, Item.EQUITY)
    if equity is None:
        return None
    fall = drawdown((facts.deposits_micros, *facts.previous_equities_micros, equity))
    return _ratio(fall.depth_micros, fall.peak_micros)


def _gross_exposure(facts: SessionFacts) -> float | None:
    equity = _book_total(facts, Item.EQUITY)
    if equity is None:
        return None
    values = [row.value_micros for row in facts.positions if row.item is Item.POSITION]
    return _ratio(exposures(values, equity_micros=equity).gross_micros, equity)


def _positions_count(facts: SessionFacts) -> float | None:
    if not facts.positions:
        return None
    return float(sum(1 for row in facts.positions if row.item is Item.POSITION))


# ----------------------------------------------------------------------------------------- model and broker


def _advisor_success_rate(facts: SessionFacts) -> float | None:
    sent = [call for call in facts.advisor_calls if was_asked(call)]
    return _ratio(sum(1 for call in sent if call.ok), len(sent))


def _advisor_latency_ms_p95(facts: SessionFacts) -> float | None:
    return _count(latency_ms_p95(facts.advisor_calls))


def _advisor_circuit_open_rate(facts: SessionFacts) -> float | None:
    held_back = sum(1 for call in facts.advisor_calls if was_held_back(call))
    return _ratio(held_back, held_back + sum(1 for call in facts.advisor_calls if was_asked(call)))


def _prompt_tokens(facts: SessionFacts) -> float | None:
    return float(spent(facts.advisor_calls).prompt_tokens) if facts.advisor_calls else None


def _completion_tokens(facts: SessionFacts) -> float | None:
    return float(spent(facts.advisor_calls).completion_tokens) if facts.advisor_calls else None


def _total_tokens(facts: SessionFacts) -> float | None:
    return float(spent(facts.advisor_calls).tokens) if facts.advisor_calls else None


def _advisor_cost(facts: SessionFacts) -> float | None:
    return _amount(spent(facts.advisor_calls).cost_micros) if facts.advisor_calls else None


def _api_errors(facts: SessionFacts) -> float | None:
    if not facts.broker_calls:
        return None
    return float(sum(_errors_by_api_id(facts).values()))


def _api_429_rate(facts: SessionFacts) -> float | None:
    limited = sum(1 for call in facts.broker_calls if call.status == HTTP_TOO_MANY_REQUESTS)
    return _ratio(limited, len(facts.broker_calls))


# ------------------------------------------------------------------------------------------- input hydration


def _inputs_attempted(facts: SessionFacts) -> float | None:
    return float(sum(row.attempted for row in facts.inputs)) if facts.inputs else None


def _inputs_ready(facts: SessionFacts) -> float | None:
    return float(sum(row.ready for row in facts.inputs)) if facts.inputs else None


def _inputs_error(facts: SessionFacts) -> float | None:
    return float(sum(row.errors for row in facts.inputs)) if facts.inputs else None


def _input_fallbacks(facts: SessionFacts) -> float | None:
    return float(sum(_input_fallbacks_by_reason(facts).values())) if facts.inputs else None


def _input_fallbacks_by_reason(facts: SessionFacts) -> dict[str, int]:
    return dict(sorted(Counter(row.fallback_reason for row in facts.inputs if row.fallback_reason).items()))


# --------------------------------------------------------------------------- course of the session, monitor


def _latency_s_p50(facts: SessionFacts) -> float | None:
    return _percentile(_waits(facts), MEDIAN)


def _latency_s_p95(facts: SessionFacts) -> float | None:
    return _percentile(_waits(facts), PERCENTILE_95)


def _latency_s_max(facts: SessionFacts) -> float | None:
    return max(_waits(facts), default=None)


def _circuits_opened(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.circuits_opened)


def _cooldowns(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.cooldowns)


def _incidents(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.incidents)


def _person_retries(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.retries)


def _halts(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.halts)


def _pauses(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.pauses)


def _resumptions(facts: SessionFacts) -> float | None:
    return None if facts.course is None else float(facts.course.resumptions)


def _stages_passed(facts: SessionFacts) -> float | None:
    ended = _stages_that_ran(facts)
    return _ratio(sum(1 for stage in ended if stage.passed), len(ended))


def _stage_failures(facts: SessionFacts) -> float | None:
    ended = _stages_that_ran(facts)
    return float(sum(stage.failures for stage in ended)) if ended else None


def _stage_retries(facts: SessionFacts) -> float | None:
    ended = _stages_that_ran(facts)
    return float(sum(stage.retries for stage in ended)) if ended else None


def _stage_latency_s_max(facts: SessionFacts) -> float | None:
    return max(_stage_seconds(facts).values(), default=None)


def _runs_total(facts: SessionFacts) -> float | None:
    return _count(len(_runs(facts)) or None)


def _runs_passed(facts: SessionFacts) -> float | None:
    runs = _runs(facts).values()
    return _ratio(sum(1 for run in runs if run.passed), len(runs))


def _run_failures(facts: SessionFacts) -> float | None:
    runs = _runs(facts).values()
    return float(sum(1 for run in runs if not run.passed)) if runs else None


def _run_retries(facts: SessionFacts) -> float | None:
    runs = _runs(facts).values()
    return float(sum(1 for run in runs if run.is_retry)) if runs else None


def _run_latency_s_max(facts: SessionFacts) -> float | None:
    return max((run.took_s for run in _runs(facts).values()), default=None)


def _orders_watched(facts: SessionFacts) -> float | None:
    return _ended(facts, lambda row: bool(row.client_order_id))


def _orders_open(facts: SessionFacts) -> float | None:
    return _ended(facts, lambda row: bool(row.client_order_id) and not row.terminal)


def _lines_compared(facts: SessionFacts) -> float | None:
    return None if facts.broker_positions is None else float(len(facts.broker_positions))


def _lines_differing(facts: SessionFacts) -> float | None:
    if facts.broker_positions is None:
        return None
    return float(sum(1 for row in facts.broker_positions if not row.agrees))


def _stage_seconds(facts: SessionFacts) -> dict[str, float]:
    return {} if facts.course is None else stage_seconds(facts.course)


def _runs(facts: SessionFacts) -> dict[str, RunOutcome]:
    return {} if facts.course is None else run_outcomes(facts.course)


def _waits(facts: SessionFacts) -> tuple[float, ...]:
    return () if facts.course is None else waits_s(facts.course)


def _stages(facts: SessionFacts) -> dict[str, StageOutcome | None]:
    return {} if facts.course is None else stage_outcomes(facts.course, stored=facts.stored)


def _stages_that_ran(facts: SessionFacts) -> list[StageOutcome]:
    return [ended for ended in _stages(facts).values() if ended is not None]


def _percentile(ascending: tuple[float, ...], percent: int) -> float | None:
    """Return a percentile by nearest rank, `None` of nothing."""
    return ascending[-(-percent * len(ascending) // 100) - 1] if ascending else None


# --------------------------------------------------------------------------------------------- shared by them


def _count(number: int | None) -> float | None:
    return None if number is None else float(number)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _amount(micros: int | None) -> float | None:
    return None if micros is None else micros / MICROS


def _is_decided(facts: SessionFacts) -> bool:
    """Say whether decisions are known: made, or not needed since nothing was wanted."""
    return bool(facts.decisions) or facts.intents_count == 0


def _decided(facts: SessionFacts, outcome: Outcome) -> float | None:
    if not _is_decided(facts):
        return None
    return float(sum(1 for row in facts.decisions if row.outcome is outcome))


def _ended(facts: SessionFacts, holds: Callable[[OrderStatusRow], bool]) -> float | None:
    if not facts.order_status and facts.intents_count != 0:
        return None
    return float(sum(1 for row in facts.order_status if holds(row)))


def _only_blocked(facts: SessionFacts) -> list[DecisionRow]:
    return [row for row in facts.decisions if row.outcome is Outcome.BLOCKED]


def _top_reasons(facts: SessionFacts) -> list[tuple[str, int]]:
    return list(outcomes_by_reason(_only_blocked(facts)).items())[:BLOCKED_REASONS_TOP]


def _errors_by_api_id(facts: SessionFacts) -> dict[str, int]:
    counts = {call.api_id: 0 for call in sorted(facts.broker_calls)}
    for call in facts.broker_calls:
        if call.status == 0 or call.status >= HTTP_ERRORS_FROM:
            counts[call.api_id] += 1
    return counts


def _book_total(facts: SessionFacts, item: Item) -> int | None:
    return next((row.value_micros for row in facts.positions if row.item is item), None)


def _equity_before(facts: SessionFacts) -> int:
    return facts.previous_equities_micros[-1] if facts.previous_equities_micros else facts.deposits_micros


NOT_DECIDED = "the session was not decided"
NOT_SETTLED = "the session is not settled"
NOTHING_SENT = "nothing was sent"
NOT_ASKED = "no model was asked"
NO_CALLS = "no call to a broker's API was made"
NOT_HYDRATED = "the inputs of the decision were not kept"
NOT_TIMED = "no send was answered, or in simulated time, whose clock stands still"
NO_CLOCK = "no run was timed: in simulated time the clock stands still"
BROKER_NOT_ASKED = "the broker was not asked for its account"

METRICS: tuple[Metric, ...] = (
    Metric("funnel.quotes", "quotes", "accepted quotes", "no quotes were imported", _quotes),
    Metric("funnel.quarantined", "rows", "rows held back", "no quotes were imported", _quarantined),
    Metric("funnel.scanned", "symbols", "symbols scanned", "no symbol was scanned", _scanned),
    Metric("funnel.candidates", "symbols", "symbols selected", "no symbol was scanned", _candidates),
    Metric("funnel.intents", "intents", "intents sized", NOT_DECIDED, _intents),
    Metric("funnel.blocked", "intents", "decided blocked", NOT_DECIDED, _blocked),
    Metric("funnel.vetoed", "intents", "decided vetoed", NOT_DECIDED, _vetoed),
    Metric("funnel.pending_approval", "intents", "decided to need a person", NOT_DECIDED, _pending_approval),
    Metric("funnel.approved", "intents", "approved by policy or by a person", NOT_DECIDED, _approved),
    Metric("funnel.executed", "intents", "ended with something filled", NOT_SETTLED, _executed),
    Metric("funnel.filled", "intents", "filled in full", NOT_SETTLED, _filled),
    Metric(
        "quotes.quarantined_ratio",
        "ratio",
        "quarantined / (quotes + quarantined)",
        "no row was imported",
        _quarantined_ratio,
    ),
    Metric("execution.intents_created", "intents", "intents sized", NOT_DECIDED, _intents),
    Metric(
        "execution.intents_approved", "intents", "approved by policy or by a person", NOT_DECIDED, _approved
    ),
    Metric("execution.intents_blocked", "intents", "decided blocked", NOT_DECIDED, _blocked),
    Metric("execution.intents_executed", "intents", "ended with something filled", NOT_SETTLED, _executed),
    Metric("execution.intents_unknown", "intents", "outcome at the broker not proven", NOT_SETTLED, _unknown),
    Metric(
        "execution.blocked_rate",
        "ratio",
        "blocked / created",
        f"{NOT_DECIDED}, or nothing was wanted",
        _blocked_rate,
    ),
    Metric(
        "execution.blocked_reason_topN",
        "reasons",
        "different reasons of blocked intents; the five most frequent have a row each: "
        "execution.blocked_reason_top.<reason> (intents)",
        NOT_DECIDED,
        _blocked_reasons,
    ),
    Metric(
        "execution.approved_executed_gap",
        "intents",
        "approved, and after the close neither executed, expired, cancelled nor refused at the claim",
        NOT_DECIDED,
        _approved_executed_gap,
    ),
    Metric(
        "execution.fallback_total_by_reason",
        "orders",
        "orders sent by another adapter than the expected one; each reason has a row: "
        "execution.fallback_total_by_reason.<reason> (orders)",
        NOTHING_SENT,
        _fallbacks,
    ),
    Metric(
        "execution.route_coverage",
        "ratio",
        "orders whose expected and actual adapter are stored / orders sent",
        NOTHING_SENT,
        _route_coverage,
    ),
    Metric(
        "execution.slippage_bps",
        "bps",
        "Σ slippage × filled notional / Σ filled notional, against the decision's price; positive costs",
        "nothing was filled",
        _slippage_bps,
    ),
    Metric(
        "execution.turnover",
        "ratio",
        "Σ filled notional / equity of the session before",
        NOT_SETTLED,
        _turnover,
    ),
    Metric(
        "portfolio_guard.blocked_ratio",
        "ratio",
        "intents that a guard of the account or book stops / intents reviewed",
        "nothing was reviewed",
        _portfolio_blocked_ratio,
    ),
    Metric(
        "portfolio_guard.strategy_budget_exceeded_total",
        "intents",
        "intents over their strategy's budget",
        "no guard on strategy budgets reviewed anything",
        _strategy_budget_exceeded,
    ),
    Metric("pnl.equity", "currency", "cash + positions at the close", NOT_SETTLED, _equity),
    Metric("pnl.cash", "currency", "cash at the close", NOT_SETTLED, _cash),
    Metric("pnl.realised", "currency", "proceeds − average cost since opening", NOT_SETTLED, _realised),
    Metric("pnl.unrealised", "currency", "positions at the close − their cost", NOT_SETTLED, _unrealised),
    Metric("pnl.dividends", "currency", "dividends since opening", NOT_SETTLED, _dividends),
    Metric("pnl.commissions", "currency", "commissions since opening", NOT_SETTLED, _commissions),
    Metric(
        "pnl.session",
        "currency",
        "equity − equity of the session before (first: deposits)",
        NOT_SETTLED,
        _session_pnl,
    ),
    Metric("pnl.return_since_opening", "ratio", "equity / deposits − 1", NOT_SETTLED, _return_since_opening),
    Metric(
        "pnl.drawdown",
        "ratio",
        "1 − equity / highest equity so far (deposits included)",
        NOT_SETTLED,
        _drawdown,
    ),
    Metric("exposure.gross", "ratio", "Σ |position at its mark| / equity", NOT_SETTLED, _gross_exposure),
    Metric("exposure.positions", "positions", "symbols held", NOT_SETTLED, _positions_count),
    Metric(
        "strategist_llm.success_rate",
        "ratio",
        "calls answered well / calls sent",
        NOT_ASKED,
        _advisor_success_rate,
    ),
    Metric(
        "strategist_llm.latency_ms.p95",
        "ms",
        "95th percentile of calls sent, nearest rank",
        NOT_ASKED,
        _advisor_latency_ms_p95,
    ),
    Metric(
        "strategist_llm.circuit_open_rate",
        "ratio",
        "calls held back by the open circuit / calls sent or held back",
        NOT_ASKED,
        _advisor_circuit_open_rate,
    ),
    Metric(
        "token_usage.prompt",
        "tokens",
        "Σ tokens read by models; the cache reads none",
        NOT_ASKED,
        _prompt_tokens,
    ),
    Metric("token_usage.completion", "tokens", "Σ tokens written by models", NOT_ASKED, _completion_tokens),
    Metric("token_usage.total", "tokens", "tokens read + written", NOT_ASKED, _total_tokens),
    Metric(
        "token_usage.cost_usd",
        "USD",
        "Σ tokens × the configured price of the model",
        NOT_ASKED,
        _advisor_cost,
    ),
    Metric(
        "broker_api.api_error_total_by_api_id",
        "errors",
        "calls without a reply or with status ≥ 400; each endpoint has a row: "
        "broker_api.api_error_total_by_api_id.<api_id> (errors)",
        NO_CALLS,
        _api_errors,
    ),
    Metric("broker_api.api_429_rate", "ratio", "calls answered 429 / calls", NO_CALLS, _api_429_rate),
    Metric(
        "input_hydration.attempted",
        "reads",
        "reads of the decision's sources, each origin that was asked one",
        NOT_HYDRATED,
        _inputs_attempted,
    ),
    Metric("input_hydration.ready", "reads", "reads that could be decided on", NOT_HYDRATED, _inputs_ready),
    Metric(
        "input_hydration.error",
        "reads",
        "reads that failed, broke their contract, or were late, stale or of the session itself",
        NOT_HYDRATED,
        _inputs_error,
    ),
    Metric(
        "input_hydration.fallback_total_by_reason",
        "sources",
        "sources that were read from another origin than the first; each reason has a row: "
        "input_hydration.fallback_total_by_reason.<reason> (sources)",
        NOT_HYDRATED,
        _input_fallbacks,
    ),
    Metric(
        "execution_latency_seconds.p50",
        "s",
        "median of the time from sending an order to its broker's answer, nearest rank",
        NOT_TIMED,
        _latency_s_p50,
    ),
    Metric(
        "execution_latency_seconds.p95",
        "s",
        "95th percentile of the time from sending an order to its broker's answer, nearest rank",
        NOT_TIMED,
        _latency_s_p95,
    ),
    Metric(
        "execution_latency_seconds.max",
        "s",
        "longest time from sending an order to its broker's answer",
        NOT_TIMED,
        _latency_s_max,
    ),
    Metric(
        "commander_resilience.circuit_opened_total",
        "openings",
        "openings of the desk's breakers since the session before was settled",
        NOT_SETTLED,
        _circuits_opened,
    ),
    Metric(
        "commander_resilience.cooldown_total",
        "cooldowns",
        "cooldowns of the account that began since the session before was settled",
        NOT_SETTLED,
        _cooldowns,
    ),
    Metric(
        "commander_resilience.incident_total",
        "incidents",
        "incidents of the account since the session before was settled",
        NOT_SETTLED,
        _incidents,
    ),
    Metric(
        "commander_resilience.retry_total",
        "retries",
        "times that a person had the session's execution tried again",
        NOT_SETTLED,
        _person_retries,
    ),
    Metric(
        "commander_resilience.halt_total",
        "halts",
        "times that the desk was halted since the session before was settled",
        NOT_SETTLED,
        _halts,
    ),
    Metric(
        "commander_resilience.pause_total",
        "pauses",
        "times that the desk was paused since the session before was settled",
        NOT_SETTLED,
        _pauses,
    ),
    Metric(
        "commander_resilience.resume_total",
        "resumptions",
        "times that the desk was resumed since the session before was settled",
        NOT_SETTLED,
        _resumptions,
    ),
    Metric(
        "monitor.orders_watched",
        "orders",
        "orders sent, looked at after the close",
        NOT_SETTLED,
        _orders_watched,
    ),
    Metric("monitor.orders_open", "orders", "orders that had not ended then", NOT_SETTLED, _orders_open),
    Metric(
        "monitor.lines_compared",
        "lines",
        "lines of the broker's account compared with the book",
        BROKER_NOT_ASKED,
        _lines_compared,
    ),
    Metric(
        "monitor.lines_differing",
        "lines",
        "lines in which broker and book differ",
        BROKER_NOT_ASKED,
        _lines_differing,
    ),
    Metric(
        "stage.success_rate",
        "ratio",
        "stages whose table stands / stages that ran; each stage has a row: stage.success.<stage> (ratio, "
        "1 or 0)",
        NOT_SETTLED,
        _stages_passed,
    ),
    Metric(
        "stage.failure_total",
        "refusals",
        "refusals of stages, the same one again counted once; each stage has a row: "
        "stage.failure_total.<stage> (refusals)",
        NOT_SETTLED,
        _stage_failures,
    ),
    Metric(
        "stage.retry_total",
        "retries",
        "runs of stages after one that refused; each stage has a row: stage.retry_total.<stage> (retries)",
        NOT_SETTLED,
        _stage_retries,
    ),
    Metric(
        "stage.latency_seconds.max",
        "s",
        "longest last run of a stage; each stage has a row: stage.latency_seconds.<stage> (s)",
        NO_CLOCK,
        _stage_latency_s_max,
    ),
    Metric("run.total", "runs", "runs that did a stage of the session", NO_CLOCK, _runs_total),
    Metric(
        "run.success_rate",
        "ratio",
        "runs whose stages all passed / runs; each run has a row: run.success.<run_id> (ratio, 1 or 0)",
        NO_CLOCK,
        _runs_passed,
    ),
    Metric("run.failure_total", "runs", "runs of which a stage refused", NO_CLOCK, _run_failures),
    Metric(
        "run.retry_total", "runs", "runs that did a stage which an earlier one did", NO_CLOCK, _run_retries
    ),
    Metric(
        "run.latency_seconds.max",
        "s",
        "longest run, from its first stage's begin to its last one's end; each run has a row: "
        "run.latency_seconds.<run_id> (s)",
        NO_CLOCK,
        _run_latency_s_max,
    ),
)
"""Every metric of v1, in the order in which it is reported."""
