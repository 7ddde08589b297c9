"""The record of advised sessions in a lake: what the ladder and the lift report are made from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resources.advice_records import LakeAdviceRecords
from resources.calendars import load_calendar
from resources.lake.store import Lake
from trading.advice import Advice, AdviceVerdict, Ladder, no_advice
from trading.advice_ladder import LiftStanding, ModelLock
from trading.advisor_calls import AdvisorCall
from trading.alerts import AlertRow, Severity
from trading.decisions import DecisionRow, Outcome, decision_rows
from trading.intents import Intent
from trading.lift import lift_of
from trading.positions import BookRow
from trading.quotes import Quote
from trading.testing import example_call, example_decision, example_intent
from trading.values import Symbol

BOOK = "us_five"
CALENDAR = load_calendar("XNYS", Path(__file__).resolve().parents[2] / "config" / "calendars")
SESSIONS = CALENDAR.between(date(2013, 1, 2), date(2013, 3, 1))
NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)
KNOWN_UNTIL = date(2012, 12, 31)


def quote(session, close):
    return Quote(
        Symbol("AAPL"),
        session,
        100_000_000,
        max(close, 100_000_000),
        min(close, 100_000_000),
        close,
        1_000,
        "",
        "",
        NOON,
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Give a lake of two months: each day a buy that a model in shadow would have vetoed, and prices fall."""
    found = Lake(tmp_path_factory.mktemp("lake"))
    for at, session in enumerate(SESSIONS):
        intent = replace(example_intent("AAPL"), session=session)
        decision = example_decision(intent, not_after=CALENDAR.closes_at(session), outcome=Outcome.APPROVED)
        advice = no_advice(intent, source="small-1")._replace(
            verdict=AdviceVerdict.VETO, factor_bps=0, confidence_bps=9_000, ladder=1
        )
        for asset, row_type, rows in (
            ("intents", Intent, [intent]),
            ("advice", Advice, [advice]),
            ("advisor_calls", AdvisorCall, [example_call(session=session)]),
            ("decisions", DecisionRow, decision_rows([decision])),
            ("market_quotes", Quote, [quote(session, 95_000_000 if at % 2 else 98_000_000)]),
            ("alerts", AlertRow, []),
        ):
            found.write_rows((BOOK, asset), str(session), row_type, rows)
        found.write_rows(
            (BOOK, "positions"), str(session), BookRow, [], extra={"equity_micros": str(1_000 + at)}
        )
    return found


@pytest.fixture
def records(lake):
    return LakeAdviceRecords(lake=lake, book=BOOK, calendar=CALENDAR)


def test_the_lift_of_recorded_sessions_has_a_twin_for_every_decision(records):
    twins = records.twins(step=Ladder.VETO_AND_SHRINK)
    report = lift_of(twins, book=BOOK, trained_until=KNOWN_UNTIL)

    assert [twin.session for twin in twins] == list(SESSIONS)
    assert {(twin.unadvised_quantity, twin.quantity, twin.traded_quantity) for twin in twins} == {(10, 0, 10)}
    assert len(report.counted) == len(SESSIONS) - 5  # the last five days are not over
    assert report.standing is LiftStanding.GAINS
    assert 200 <= report.interval.low <= report.mean_bps <= report.interval.high <= 500


def test_what_the_model_may_remember_does_not_count(records):
    twins = records.twins(step=Ladder.VETO_AND_SHRINK)

    report = lift_of(twins, book=BOOK, trained_until=SESSIONS[20])

    assert report.standing is LiftStanding.NOT_ENOUGH_EVIDENCE
    assert report.mean_bps is None
    assert f"sessions after {SESSIONS[20]} are marked, needed are 20" in report.why


def test_a_session_tells_its_step_its_calls_and_what_the_book_gained(records):
    first, second, *_ = records.advised_sessions()

    assert (first.gain_micros, second.gain_micros) == (None, 1)
    assert (second.ladder, second.criticals, len(second.calls)) == (Ladder.SHADOW, 0, 1)


def test_critical_alerts_count_and_warnings_do_not(lake, records):
    last = SESSIONS[-1]
    row = AlertRow(last, BOOK, "x", Severity.CRITICAL, "m", 1.0, 0.0, "said", "runbook", "f")
    lake.write_rows((BOOK, "alerts"), str(last), AlertRow, [row, row._replace(severity=Severity.WARNING)])

    assert records.advised_sessions()[-1].criticals == 1


def test_a_budget_looks_back_a_month_and_no_further(records):
    found = records.calls_before(SESSIONS[30])

    assert [call.session for call in found] == list(SESSIONS[10:30])


def test_a_session_from_before_calls_were_kept_has_its_advice_and_no_calls(tmp_path, records):
    lake = Lake(tmp_path)
    intent = example_intent("AAPL")
    lake.write_rows((BOOK, "advice"), str(intent.session), Advice, [no_advice(intent, source="off")])
    alone = LakeAdviceRecords(lake=lake, book=BOOK, calendar=CALENDAR)

    assert alone.given(intent.session).calls == ()
    assert alone.given(SESSIONS[0]) is None
    assert alone.advised_sessions() == ()
    assert alone.twins(step=Ladder.VETO) == ()
    assert len(records.given(SESSIONS[0]).calls) == 1


def test_advice_without_the_calls_it_came_of_is_no_record(tmp_path):
    lake = Lake(tmp_path)
    intent = example_intent("AAPL")
    said = no_advice(intent, source="small-1")._replace(ladder=1)
    lake.write_rows((BOOK, "advice"), str(intent.session), Advice, [said])

    assert LakeAdviceRecords(lake=lake, book=BOOK, calendar=CALENDAR).given(intent.session) is None


MINE = ModelLock(
    models=("small-1",),
    prompt_name="advice",
    prompt_version="1",
    template_sha="t" * 64,
    schema_version="advice.v1",
)


@pytest.mark.parametrize("changed", [{"template_sha": "u" * 64}, {"models": ("small-2",)}])
def test_what_another_prompt_or_model_was_worth_is_no_evidence_for_this_one(records, changed):
    own = lift_of(records.twins(step=Ladder.VETO_AND_SHRINK, lock=MINE), book=BOOK, trained_until=KNOWN_UNTIL)
    other = replace(MINE, **changed)
    found = lift_of(
        records.twins(step=Ladder.VETO_AND_SHRINK, lock=other), book=BOOK, trained_until=KNOWN_UNTIL
    )

    assert own.standing is LiftStanding.GAINS
    assert found.standing is LiftStanding.NOT_ENOUGH_EVIDENCE
    assert f"{len(SESSIONS)} were advised by other models or prompts" in found.why
    assert {row.left_out for row in found.sessions} == {"other_models_or_prompt"}
