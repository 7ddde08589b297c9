"""One session, worked by hand: every metric has the number a person would write down, or no data."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.advice import Ladder
from trading.audit import instant_text
from trading.broker_positions import BrokerItem, BrokerPositionRow
from trading.candidates import Candidate, Chosen
from trading.decisions import DecisionRow, Outcome
from trading.inputs import InputRow, InputSource, InputStatus
from trading.journal import JournalEvent
from trading.metrics import (
    METRICS,
    SCHEMA_VERSION,
    BrokerCall,
    MetricStatus,
    SessionFacts,
    by_name,
    session_metrics,
)
from trading.orders import ExecutionRow, OrderStatusRow
from trading.positions import Book, Mark, Position, book_rows
from trading.session_course import STAGES, SendTimes, SessionCourse, session_course
from trading.testing import example_call
from trading.values import IntentId, IntentKey, Side, Symbol
from trading.verdicts import Verdict

FROZEN = json.loads((Path(__file__).parents[2] / "config" / "metrics_v1.json").read_text("utf-8"))
SESSION = date(2013, 3, 1)
NOT_AFTER = datetime(2013, 3, 1, 21, 0, tzinfo=UTC)
NO_TOKENS = {"prompt_tokens": 0, "completion_tokens": 0, "cost_micros": 0}

# Promised to whoever reads our metrics from outside: these names and no others. Written out here, so that
# neither the frozen file nor the code alone can take one away.
REQUIRED = {
    "strategist_llm.success_rate",
    "strategist_llm.latency_ms.p95",
    "strategist_llm.circuit_open_rate",
    "execution.intents_created",
    "execution.intents_approved",
    "execution.intents_blocked",
    "execution.intents_executed",
    "execution.blocked_reason_topN",
    "broker_api.api_error_total_by_api_id",
    "broker_api.api_429_rate",
    "input_hydration.attempted",
    "input_hydration.ready",
    "input_hydration.error",
    "input_hydration.fallback_total_by_reason",
    "execution.blocked_rate",
    "execution.approved_executed_gap",
    "execution.fallback_total_by_reason",
    "execution.slippage_bps",
    "execution_latency_seconds.p50",
    "execution_latency_seconds.p95",
    "execution_latency_seconds.max",
    "token_usage.prompt",
    "token_usage.completion",
    "token_usage.total",
    "token_usage.cost_usd",
    "commander_resilience.circuit_opened_total",
    "commander_resilience.cooldown_total",
    "commander_resilience.incident_total",
    "commander_resilience.retry_total",
    "commander_resilience.halt_total",
    "commander_resilience.pause_total",
    "commander_resilience.resume_total",
    "portfolio_guard.blocked_ratio",
    "portfolio_guard.strategy_budget_exceeded_total",
    "monitor.orders_watched",
    "monitor.orders_open",
    "monitor.lines_compared",
    "monitor.lines_differing",
    "stage.success_rate",
    "stage.failure_total",
    "stage.retry_total",
    "stage.latency_seconds.max",
    "run.total",
    "run.success_rate",
    "run.failure_total",
    "run.retry_total",
    "run.latency_seconds.max",
    "pnl.realised",
    "pnl.unrealised",
    "pnl.session",
    "exposure.gross",
}

REQUIRED_FAMILIES = {
    "execution.blocked_reason_top.<reason>",
    "execution.fallback_total_by_reason.<reason>",
    "broker_api.api_error_total_by_api_id.<api_id>",
    "input_hydration.fallback_total_by_reason.<reason>",
    "stage.success.<stage>",
    "stage.failure_total.<stage>",
    "stage.retry_total.<stage>",
    "stage.latency_seconds.<stage>",
    "run.success.<run_id>",
    "run.latency_seconds.<run_id>",
}


def candidate(symbol: str, *, selected: bool) -> Candidate:
    return Candidate(
        session=SESSION,
        symbol=Symbol(symbol),
        rank=1,
        selected=selected,
        reason=Chosen.SELECTED if selected else Chosen.BELOW_TOP,
        score=0.5,
        risk_score=0.1,
        confidence=1.0,
        trend=0.1,
        strength=0.1,
        activity=0.1,
        calm=0.2,
        penalty=0.0,
        rsi14=50.0,
        ma20_gap=0.0,
        atr14=1.0,
        volume_spike20=1.0,
        volatility20=0.01,
        regime="range",
        close_micros=100_000_000,
        quoted_on=SESSION,
    )


def decision(symbol: str, outcome: Outcome, reason: str) -> DecisionRow:
    return DecisionRow(
        session=SESSION,
        symbol=Symbol(symbol),
        side=Side.BUY,
        outcome=outcome,
        reason=reason,
        quantity=10,
        unadvised_quantity=10,
        price_micros=100_000_000,
        intent_id=IntentId(f"int-{symbol}"),
        intent_key=IntentKey(f"key-{symbol}"),
        payload_hash="p",
        account="a",
        lane="simulated",
        not_after=NOT_AFTER,
        verdicts_sha="v",
        limits_sha="l",
        inputs_sha="i",
    )


def status(
    symbol: str, state: str, *, quantity: int = 10, filled: int = 0, notional: int = 0
) -> OrderStatusRow:
    return OrderStatusRow(
        session=SESSION,
        symbol=Symbol(symbol),
        side=Side.BUY,
        intent_id=IntentId(f"int-{symbol}"),
        client_order_id="ta-1",
        intent_state=state,
        status="filled",
        terminal=True,
        progress_bps=0,
        quantity=quantity,
        filled_quantity=filled,
        notional_micros=notional,
        commission_micros=0,
        complete=filled == quantity,
        reason="",
    )


def execution(symbol: str, *, filled: int, price: int, slippage_bps: float) -> ExecutionRow:
    return ExecutionRow(
        session=SESSION,
        symbol=Symbol(symbol),
        side=Side.BUY,
        intent_id=IntentId(f"int-{symbol}"),
        state="executed",
        stage="",
        reason="",
        client_order_id="ta-1",
        broker_order_id="b-1",
        submitted_quantity=10,
        filled_quantity=filled,
        average_price_micros=price,
        commission_micros=0,
        arrival_price_micros=100_000_000,
        slippage_bps=slippage_bps,
        status="filled",
        expected_adapter="embedded_paper",
        actual_adapter="embedded_paper",
        fallback_reason="",
        fallback_count=0,
    )


def verdict(symbol: str, guard: str, *, passed: bool) -> Verdict:
    reason = "ok" if passed else "symbol_notional_cap_exceeded"
    return Verdict(IntentKey(f"key-{symbol}"), Symbol(symbol), SESSION, guard, passed, reason, 0, 0, 0, "l")


def broker_line(symbol: str, *, agrees: bool) -> BrokerPositionRow:
    item = BrokerItem.POSITION if symbol else BrokerItem.CASH
    return BrokerPositionRow(SESSION, item, symbol, 1, 1, 0, 0, agrees, "USD")


def hydrated(source: InputSource, used: str, *, left_for: str = "") -> InputRow:
    errors = 1 if left_for else 0
    return InputRow(
        session=SESSION,
        source=source,
        contract=f"{source}.v1",
        status=InputStatus.READY,
        attempted=1 + errors,
        ready=1,
        errors=errors,
        expected="broker" if left_for else used,
        used=used,
        fallback_reason=left_for,
        error_codes=left_for,
        records=1,
        records_sha="r",
        payloads="[]",
        hydrated_at=NOT_AFTER,
        remark=left_for,
    )


def told(seq: int, kind: str, **body: object) -> JournalEvent:
    return JournalEvent(seq, NOT_AFTER, kind, "us_five", "simulated", str(SESSION), "", "", "", body, "", "")


def ran(seq: int, stage: str, *, run_id: str, began_s: float, passed: bool, took_s: float) -> JournalEvent:
    began_at = NOT_AFTER + timedelta(seconds=began_s)
    body = {"stage": stage, "run_id": run_id, "began_at": instant_text(began_at), "passed": passed}
    return told(seq, "stage_ran", **body)._replace(at=began_at + timedelta(seconds=took_s))


def course() -> SessionCourse:
    """Give a session whose candidates refused twice and then passed, and whose advice refused for good.

    Of three orders sent one was answered after 0.2 s, one after 1.4 s, one not at all.
    """
    sent = NOT_AFTER - timedelta(hours=6)
    return session_course(
        (
            told(2, "stage_refused", stage="candidates"),
            told(3, "stage_refused", stage="candidates"),
            told(5, "stage_refused", stage="advice"),
            told(6, "breaker_changed", name="a", state="open"),
            told(7, "breaker_changed", name="a", state="half_open"),
            told(8, "breaker_changed", name="a", state="open"),
            told(9, "breaker_changed", name="a", state="closed"),
            told(10, "cooldown_began", account="a"),
            told(11, "cooldown_began", account="b"),
            told(12, "incident", account="a", incident="cash_mismatch"),
            told(13, "incident", account="b", incident="cash_mismatch"),
            told(14, "run_control", action="halt"),
            told(15, "run_control", action="resume"),
            told(16, "run_control", action="pause"),
            told(17, "run_control", action="resume"),
            told(18, "retried", state="trading"),
            ran(19, "candidates", run_id="r1", began_s=0, passed=False, took_s=2),
            ran(20, "candidates", run_id="r2", began_s=10, passed=True, took_s=3),
            ran(21, "intents", run_id="r2", began_s=14, passed=True, took_s=1),
            ran(22, "positions", run_id="r3", began_s=20, passed=True, took_s=0.5),
        ),
        (
            SendTimes(sent, sent + timedelta(seconds=0.2)),
            SendTimes(sent, sent + timedelta(seconds=1.4)),
            SendTimes(sent, None),
        ),
        account="a",
    )


STORED = (
    "market_quotes",
    "opening_book",
    "input_envelopes",
    "candidates",
    "intents",
    "verdicts",
    "decisions",
    "executions",
    "order_status",
    "positions",
)
"""The tables of that session: there is none of advice, nor of the broker's positions."""

OF_STAGES = {
    f"stage.{what}.{stage}": value
    for stage, values in {
        **dict.fromkeys(STORED[1:], (1, 0, 0)),
        "candidates": (1, 2, 2),
        "advice": (0, 1, 0),
        "broker_positions": (None, None, None),
    }.items()
    for what, value in zip(("success", "failure_total", "retry_total"), values, strict=True)
} | {f"stage.latency_seconds.{stage}": None for stage in STAGES}


def worked_by_hand() -> SessionFacts:
    """Give a session of eight intents.

    Two filled (one in part), one approved by a person and lost from sight, three blocked, one vetoed, one
    that waited for a person until it expired.
    """
    # Cash 98,000 + 10 A at 110 + 5 B at 180 = 100,000; cost 1,000 + 1,000.
    book = Book(
        currency="USD",
        cash_micros=98_000_000_000,
        deposits_micros=99_500_000_000,
        realised_micros=520_000_000,
        dividends_micros=30_000_000,
        commissions_micros=50_000_000,
        positions=(Position(Symbol("A"), 10, 1_000_000_000), Position(Symbol("B"), 5, 1_000_000_000)),
    )
    marks = {Symbol("A"): Mark(110_000_000, SESSION), Symbol("B"): Mark(180_000_000, SESSION)}
    return SessionFacts(
        session=SESSION,
        quotes_count=95,
        quarantined_count=5,
        candidates=(
            candidate("A", selected=True),
            candidate("B", selected=True),
            candidate("C", selected=False),
        ),
        intents_count=8,
        verdicts=(
            verdict("A", "symbol_cap", passed=True),
            verdict("D", "symbol_cap", passed=False),
            verdict("D", "buying_power", passed=False),
            verdict("E", "buying_power", passed=True),
            verdict("E", "quote_age", passed=False),
            verdict("F", "symbol_cap", passed=True),
        ),
        advice=(),
        decisions=(
            decision("A", Outcome.APPROVED, "within_policy"),
            decision("B", Outcome.APPROVED, "within_policy"),
            decision("C", Outcome.PENDING_APPROVAL, "above_auto_approval"),
            decision("D", Outcome.BLOCKED, "symbol_notional_cap_exceeded"),
            decision("E", Outcome.BLOCKED, "quote_stale"),
            decision("F", Outcome.BLOCKED, "quote_stale"),
            decision("G", Outcome.VETOED, "advisor_veto"),
            decision("H", Outcome.PENDING_APPROVAL, "above_auto_approval"),
        ),
        executions=(
            execution("A", filled=10, price=100_000_000, slippage_bps=4.0),
            execution("B", filled=5, price=200_000_000, slippage_bps=-1.0)._replace(
                expected_adapter="alpaca_paper",
                fallback_count=1,
                fallback_reason="alpaca_paper_circuit_open",
            ),
            execution("H", filled=0, price=0, slippage_bps=0.0)._replace(
                expected_adapter="not recorded", actual_adapter="not recorded"
            ),
        ),
        order_status=(
            status("A", "executed", filled=10, notional=1_000_000_000),
            status("B", "executed", filled=5, notional=1_000_000_000),
            status("C", "expired"),
            status("H", "unknown"),
        ),
        positions=book_rows(book, session=SESSION, marks=marks),
        previous_equities_micros=(120_000_000_000, 125_000_000_000, 100_500_000_000),
        deposits_micros=99_500_000_000,
        advisor_calls=(
            *(example_call(latency_ms=latency) for latency in range(1, 17)),
            *(
                example_call(ok=False, error_type="time_out", latency_ms=latency)
                for latency in (90, 95, 99, 100)
            ),
            *(
                example_call(ok=False, error_type="circuit_open", attempts=0, latency_ms=0, **NO_TOKENS)
                for _ in range(5)
            ),
            example_call(was_cached=True, attempts=0, latency_ms=0, **NO_TOKENS),
        ),
        broker_calls=(
            BrokerCall("orders.post", 200),
            BrokerCall("orders.post", 429),
            BrokerCall("orders.get", 0),
            BrokerCall("orders.get", 503),
            BrokerCall("account.get", 200),
        ),
        inputs=(
            hydrated(InputSource.MARKET_QUOTE, "lake"),
            hydrated(InputSource.ACCOUNT_ORDERS, "journal", left_for="account.orders:read_broker:time_out"),
            hydrated(InputSource.ORDER_STATUS, "journal"),
        ),
        broker_positions=(
            broker_line("", agrees=True),
            broker_line("A", agrees=True),
            broker_line("B", agrees=False),
        ),
        course=course(),
        stored=STORED,
    )


EXPECTED = {
    "funnel.quotes": 95,
    "funnel.quarantined": 5,
    "funnel.scanned": 3,
    "funnel.candidates": 2,
    "funnel.intents": 8,
    "funnel.blocked": 3,
    "funnel.vetoed": 1,
    "funnel.pending_approval": 2,
    "funnel.approved": 3,  # A and B by policy, H by a person
    "funnel.executed": 2,
    "funnel.filled": 1,
    "quotes.quarantined_ratio": 0.05,
    "execution.intents_created": 8,
    "execution.intents_approved": 3,
    "execution.intents_blocked": 3,
    "execution.intents_executed": 2,
    "execution.intents_unknown": 1,
    "execution.blocked_rate": 0.375,
    "execution.blocked_reason_topN": 2,
    "execution.blocked_reason_top.quote_stale": 2,
    "execution.blocked_reason_top.symbol_notional_cap_exceeded": 1,
    "execution.approved_executed_gap": 1,  # H
    "execution.fallback_total_by_reason": 1,  # B
    "execution.fallback_total_by_reason.alpaca_paper_circuit_open": 1,
    "execution.route_coverage": 0.666666667,  # A and B of A, B, H
    "execution.slippage_bps": 1.5,  # (4 × 1,000 − 1 × 1,000) / 2,000
    "execution.turnover": 0.019900498,  # 2,000 / 100,500
    "portfolio_guard.blocked_ratio": 0.25,  # D of A, D, E, F
    "portfolio_guard.strategy_budget_exceeded_total": None,
    "pnl.equity": 100_000,
    "pnl.cash": 98_000,
    "pnl.realised": 520,
    "pnl.unrealised": 0,
    "pnl.dividends": 30,
    "pnl.commissions": 50,
    "pnl.session": -500,
    "pnl.return_since_opening": 0.005025126,  # 100,000 / 99,500 − 1
    "pnl.drawdown": 0.2,  # 1 − 100,000 / 125,000
    "exposure.gross": 0.02,
    "exposure.positions": 2,
    "strategist_llm.success_rate": 0.8,  # 16 of 20 sent
    "strategist_llm.latency_ms.p95": 99,  # the 19th of 20
    "strategist_llm.circuit_open_rate": 0.2,  # 5 of 25: what the cache knew asked nobody
    "token_usage.prompt": 18_000,
    "token_usage.completion": 2_000,
    "token_usage.total": 20_000,
    "token_usage.cost_usd": 0.0024,
    "broker_api.api_error_total_by_api_id": 3,
    "broker_api.api_error_total_by_api_id.account.get": 0,
    "broker_api.api_error_total_by_api_id.orders.get": 2,
    "broker_api.api_error_total_by_api_id.orders.post": 1,
    "broker_api.api_429_rate": 0.2,
    "input_hydration.attempted": 4,  # the broker's orders were asked for in vain
    "input_hydration.ready": 3,
    "input_hydration.error": 1,
    "input_hydration.fallback_total_by_reason": 1,
    "input_hydration.fallback_total_by_reason.account.orders:read_broker:time_out": 1,
    "execution_latency_seconds.p50": 0.2,  # of 0.2 and 1.4; the third was never answered
    "execution_latency_seconds.p95": 1.4,
    "execution_latency_seconds.max": 1.4,
    "commander_resilience.circuit_opened_total": 2,
    "commander_resilience.cooldown_total": 1,
    "commander_resilience.incident_total": 1,
    "commander_resilience.retry_total": 1,
    "commander_resilience.halt_total": 1,
    "commander_resilience.pause_total": 1,
    "commander_resilience.resume_total": 2,
    "monitor.orders_watched": 4,
    "monitor.orders_open": 0,
    "monitor.lines_compared": 3,
    "monitor.lines_differing": 1,
    "stage.success_rate": 0.9,  # 9 of 10: advice never passed, the broker was never asked
    "stage.failure_total": 3,
    "stage.retry_total": 2,
    **OF_STAGES,
    "stage.latency_seconds.max": 3,
    "stage.latency_seconds.candidates": 3,  # of its last run
    "stage.latency_seconds.intents": 1,
    "stage.latency_seconds.positions": 0.5,
    "run.total": 3,
    "run.success_rate": 0.666666667,
    "run.success.r1": 0,
    "run.success.r2": 1,
    "run.success.r3": 1,
    "run.failure_total": 1,  # r1
    "run.retry_total": 1,  # r2, which did candidates again
    "run.latency_seconds.max": 5,
    "run.latency_seconds.r1": 2,
    "run.latency_seconds.r2": 5,  # from 10 s to 15 s
    "run.latency_seconds.r3": 0.5,
}


def test_every_metric_of_a_session_worked_by_hand() -> None:
    measured = {row.name: row.value for row in session_metrics(worked_by_hand())}

    assert measured == pytest.approx(EXPECTED, abs=1e-9)
    assert measured.keys() == EXPECTED.keys()


def test_a_session_that_left_nothing_has_no_data_and_no_zero() -> None:
    nothing = SessionFacts(
        session=SESSION,
        quotes_count=None,
        quarantined_count=None,
        candidates=(),
        intents_count=None,
        verdicts=(),
        advice=(),
        decisions=(),
        executions=(),
        order_status=(),
        positions=(),
        previous_equities_micros=(100_000_000,),
        deposits_micros=100_000_000,
    )

    rows = session_metrics(nothing)

    assert {row.value for row in rows} == {None}
    assert {row.status for row in rows} == {MetricStatus.NO_DATA}
    assert [row.name for row in rows] == [metric.name for metric in METRICS]


def test_a_session_in_which_nothing_was_wanted_has_zeros_where_things_are_counted() -> None:
    quiet = replace(
        worked_by_hand(), intents_count=0, verdicts=(), decisions=(), executions=(), order_status=()
    )

    measured = by_name(session_metrics(quiet))

    assert measured["execution.intents_blocked"].value == 0
    assert measured["execution.intents_executed"].value == 0
    assert measured["execution.approved_executed_gap"].value == 0
    assert measured["execution.turnover"].value == 0
    assert measured["execution.blocked_rate"].value is None
    assert measured["execution.slippage_bps"].value is None


def test_an_advisor_that_is_off_is_no_data_and_not_a_failure() -> None:
    off = replace(worked_by_hand(), advice=(), advisor_calls=())

    measured = by_name(session_metrics(off))

    assert Ladder.OFF == 0
    assert measured["strategist_llm.success_rate"].status is MetricStatus.NO_DATA
    assert measured["strategist_llm.circuit_open_rate"].status is MetricStatus.NO_DATA
    assert measured["token_usage.total"].status is MetricStatus.NO_DATA
    assert measured["token_usage.cost_usd"].status is MetricStatus.NO_DATA


def test_a_stage_that_never_ran_is_no_data_and_no_failure() -> None:
    carried = replace(worked_by_hand(), course=SessionCourse(), stored=("opening_book", "positions"))

    measured = by_name(session_metrics(carried))

    assert measured["stage.success.opening_book"].value == 1
    assert measured["stage.success.decisions"].status is MetricStatus.NO_DATA
    assert measured["stage.retry_total.decisions"].status is MetricStatus.NO_DATA
    assert measured["stage.success_rate"].value == 1
    assert measured["stage.failure_total"].value == 0


def test_a_clock_that_stands_still_measures_no_latency() -> None:
    at_once = SendTimes(NOT_AFTER, NOT_AFTER)
    simulated = replace(worked_by_hand(), course=SessionCourse(sends=(at_once, at_once)))

    measured = by_name(session_metrics(simulated))

    assert measured["execution_latency_seconds.p50"].status is MetricStatus.NO_DATA
    assert measured["execution_latency_seconds.max"].status is MetricStatus.NO_DATA
    assert measured["commander_resilience.incident_total"].value == 0


def test_every_stage_that_keeps_its_refusals_is_measured() -> None:
    folder = Path(__file__).parents[2] / "trading_assets" / "stages"
    kept = [
        name
        for path in sorted(folder.glob("*.py"))
        for name in re.findall(
            r'refusals_kept\(\s*journal,\s*graph,\s*session,\s*"(\w+)"', path.read_text("utf-8")
        )
    ]

    assert set(kept) == set(STAGES)


def test_an_approved_intent_without_any_trace_after_the_close_is_a_gap() -> None:
    facts = worked_by_hand()
    lost = replace(facts, order_status=tuple(row for row in facts.order_status if row.symbol != "A"))

    assert by_name(session_metrics(lost))["execution.approved_executed_gap"].value == 2


@pytest.mark.parametrize(
    ("state", "gap"),
    [
        ("executed", 0),
        ("expired", 0),
        ("cancelled", 0),
        ("rejected", 0),
        ("approved", 1),
        ("executing", 1),
        ("unknown", 1),
        ("failed", 1),
    ],
)
def test_the_gap_counts_approved_intents_that_did_not_end_as_they_should(state: str, gap: int) -> None:
    facts = replace(
        worked_by_hand(),
        decisions=(decision("A", Outcome.APPROVED, "within_policy"),),
        order_status=(status("A", state),),
    )

    assert by_name(session_metrics(facts))["execution.approved_executed_gap"].value == gap


def test_the_first_session_is_measured_from_the_deposit() -> None:
    first = replace(worked_by_hand(), previous_equities_micros=())

    measured = by_name(session_metrics(first))

    assert measured["pnl.session"].value == 500
    assert measured["pnl.drawdown"].value == 0


def test_only_the_five_most_frequent_reasons_have_a_row() -> None:
    decisions = [
        decision(f"S{reason}{n}", Outcome.BLOCKED, f"r{reason}")
        for reason in range(7)
        for n in range(reason + 1)
    ]

    rows = session_metrics(replace(worked_by_hand(), decisions=tuple(decisions)))

    top = [(row.name, row.value) for row in rows if row.name.startswith("execution.blocked_reason_top.")]
    assert top == [(f"execution.blocked_reason_top.r{reason}", reason + 1) for reason in (6, 5, 4, 3, 2)]


def test_deposits_that_differ_from_the_book_are_refused() -> None:
    with pytest.raises(ValueError, match="deposits of 2013-03-01"):
        session_metrics(replace(worked_by_hand(), deposits_micros=1))


@given(
    equity=st.integers(1, 10**15),
    earlier=st.lists(st.integers(1, 10**15), max_size=5),
    quarantined=st.integers(0, 10**6),
)
def test_ratios_stay_in_their_range_and_the_same_facts_give_the_same_rows(
    equity, earlier, quarantined
) -> None:
    book = Book(currency="USD", cash_micros=equity, deposits_micros=99_500_000_000)
    facts = replace(
        worked_by_hand(),
        positions=book_rows(book, session=SESSION, marks={}),
        previous_equities_micros=tuple(earlier),
        quarantined_count=quarantined,
    )

    measured = by_name(session_metrics(facts))

    assert 0 <= (measured["pnl.drawdown"].value or 0) <= 1
    assert 0 <= (measured["quotes.quarantined_ratio"].value or 0) <= 1
    assert all(math.copysign(1, row.value) == 1 for row in measured.values() if row.value == 0)
    assert session_metrics(facts) == session_metrics(facts)


def test_v1_is_frozen_none_of_its_metrics_is_gone_renamed_or_of_another_unit() -> None:
    ours = {metric.name: metric.unit for metric in METRICS}

    assert FROZEN["schema_version"] == SCHEMA_VERSION
    assert {name: ours.get(name) for name in FROZEN["metrics"]} == FROZEN["metrics"]
    assert REQUIRED - set(FROZEN["metrics"]) == set()
    assert set(FROZEN["families"]) == REQUIRED_FAMILIES


def test_a_new_metric_is_recorded_in_the_frozen_file_too() -> None:
    assert {metric.name for metric in METRICS} - set(FROZEN["metrics"]) == set()


def test_no_two_metrics_share_a_name_and_each_says_formula_and_empty_answer() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert [
        metric.name for metric in METRICS if not (metric.formula and metric.no_data_when and metric.unit)
    ] == []


def test_the_rows_of_a_family_are_named_as_the_frozen_file_says() -> None:
    prefixes = tuple(name.split("<")[0] for name in FROZEN["families"])
    known = set(FROZEN["metrics"])

    others = [row for row in session_metrics(worked_by_hand()) if row.name not in known]

    assert others
    assert [row.name for row in others if not row.name.startswith(prefixes)] == []
