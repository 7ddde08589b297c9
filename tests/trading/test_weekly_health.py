"""A week's health: every session named, sums only of what was measured, rates only of what there was."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from trading.incident_log import Action
from trading.journal import Delivery, JournalEvent
from trading.slos import Count, Objective, standing_of
from trading.testing import example_call
from trading.weekly_health import (
    AlertFigures,
    IncidentSeen,
    Kept,
    Outcome,
    SessionSeen,
    WeekFacts,
    alert_figures,
    cost_of,
    health_of,
)
from trading.weeks import week_from_text

WEEK = week_from_text("2013-W09")
MONDAY = WEEK.monday
DAYS = [MONDAY + timedelta(days=number) for number in range(5)]
FIRST, PAST = datetime(2013, 2, 25, 5, tzinfo=UTC), datetime(2013, 3, 4, 5, tzinfo=UTC)
QUIET = AlertFigures(
    begun=0,
    by_code=(),
    messages=0,
    sent=0,
    failed=0,
    unaddressed=0,
    duplicates=0,
    duplicate_rate=None,
    ended=0,
    by_themselves=0,
    false_positive_rate=None,
)


def seen(day: date, **told) -> SessionSeen:
    usual = {
        "kept": Kept.IN_TIME,
        "why": "",
        "has_report": True,
        "intents": 3,
        "blocked": 1,
        "orders": 2,
        "filled": 2,
        "pnl_micros": 1_000_000,
        "equity_micros": 100_000_000,
        "drawdown": 0.01,
    }
    return SessionSeen(session=day, **{**usual, **told})


def facts(*sessions: SessionSeen, **told) -> WeekFacts:
    usual = {
        "book": "five",
        "title": "Five",
        "mode": "paper",
        "week": WEEK,
        "as_of": PAST,
        "currency": "USD",
        "closed": (),
        "sessions": sessions,
        "blocked": {},
        "quarantined": {},
        "alerts": QUIET,
        "incidents": (),
        "planned": (),
        "standings": (),
        "calls": (),
        "advisor_step": "",
    }
    return WeekFacts(**{**usual, **told})


def test_a_week_in_which_all_was_in_time_is_all_well_and_adds_up():
    health = health_of(facts(*map(seen, DAYS)))

    assert health.outcome is Outcome.ALL_WELL
    assert (health.expected, health.run, health.late, health.missed) == (5, 5, 0, 0)
    assert (health.intents, health.orders, health.pnl_micros) == (15, 10, 5_000_000)
    assert health.payload()["pnl"] == "5.00"
    assert health.payload()["sessions"][0]["session"] == "2013-02-25"


def test_a_missed_day_is_named_and_adds_nothing():
    missed = SessionSeen(session=DAYS[2], kept=Kept.MISSED, why="nobody ran it")

    health = health_of(facts(*map(seen, DAYS[:2]), missed, *map(seen, DAYS[3:])))

    assert health.outcome is Outcome.ATTENTION
    assert health.attention == ("2013-02-27 missed: nobody ran it",)
    assert (health.expected, health.run, health.missed, health.orders) == (5, 4, 1, 8)
    assert [row.session for row in health.sessions] == DAYS


def test_a_week_of_which_nobody_ran_anything_has_no_data_and_not_nothing():
    health = health_of(facts(*(SessionSeen(session=day, kept=Kept.MISSED, why="nobody") for day in DAYS)))

    assert (health.missed, health.run) == (5, 0)
    assert (health.orders, health.pnl_micros, health.drawdown_max) == (None, None, None)


def test_a_week_without_a_session_is_its_own_outcome():
    health = health_of(facts())

    assert health.outcome is Outcome.NO_SESSION
    assert (health.orders, health.pnl_micros, health.equity_micros, health.cost) == (None, None, None, None)


def test_a_week_whose_sessions_are_to_come_misses_none():
    health = health_of(facts(seen(DAYS[0]), SessionSeen(session=DAYS[1], kept=Kept.OPEN, why="not due")))

    assert (health.expected, health.missed, health.outcome) == (1, 0, Outcome.ALL_WELL)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"sessions": (seen(DAYS[0], kept=Kept.LATE, why="an hour"),)}, "2013-02-25 late: an hour"),
        ({"sessions": (seen(DAYS[0], has_report=False),)}, "2013-02-25 has no daily report"),
        ({"incidents": (IncidentSeen(7, FIRST, "stray", "SEV-1", 5, None, is_open=True),)}, "incident 7"),
        ({"standings": (standing_of(Objective.EXECUTION, [Count(MONDAY, 0, 1)]),)}, "execution has spent"),
    ],
)  # fmt: skip
def test_what_asks_for_a_person_is_said(told, line):
    health = health_of(facts(**{"sessions": (seen(DAYS[0]),), **told}))

    assert health.outcome is Outcome.ATTENTION
    assert any(one.startswith(line) for one in health.attention)


def test_an_action_whose_day_is_over_asks_for_a_person_in_any_week_until_it_is_done():
    def planned(number, *, due_on, done_at=None):
        return Action(3, number, "compare", "ben", due_on, "ann", FIRST, "", done_at, "")

    late, today = planned(1, due_on=PAST.date() - timedelta(days=1)), planned(2, due_on=PAST.date())
    done = planned(3, due_on=MONDAY, done_at=FIRST)

    health = health_of(facts(seen(DAYS[0]), planned=(late, today, done)))

    assert health.attention == ("incident 3: ben was to do by 2013-03-03: compare",)
    assert health.outcome is Outcome.ATTENTION


def test_budgets_burn_by_the_sessions_of_the_week_alone():
    counts = [Count(MONDAY - timedelta(days=7), 0, 1), Count(DAYS[0], 1, 1), Count(DAYS[1], 0, 1)]

    (budget,) = health_of(facts(standings=(standing_of(Objective.AVAILABILITY, counts),))).budgets

    assert (budget.sessions, budget.burn, budget.burned) == (2, 50.0, pytest.approx(0.4))
    (empty,) = health_of(facts(standings=(standing_of(Objective.LATENCY, counts[:1]),))).budgets
    assert (empty.sessions, empty.burn, empty.burned) == (0, None, None)


def test_incidents_tell_how_long_it_took_to_see_and_to_end_them():
    rows = tuple(
        IncidentSeen(number, FIRST, "kind", "SEV-2", number, 10 * number, is_open=False)
        for number in (1, 2, 3)
    )

    health = health_of(facts(incidents=rows))

    assert (health.detect_s_p95, health.recover_s_p95) == (3, 30)


def test_cost_is_told_by_run_and_by_intent():
    calls = (
        example_call(intents="a b", cost_micros=100),
        example_call(intents="a", cost_micros=30, run_id="run-2", call_id="2"),
    )

    cost = cost_of(calls)

    assert cost is not None
    assert [(row.run_id, row.cost_usd_micros) for row in cost.by_run] == [("run-1", 100), ("run-2", 30)]
    assert (cost.intents, cost.intent_usd_micros_mean, cost.intent_usd_micros_max) == (2, 65, 80)
    assert cost_of(()) is None


def event(minutes: int, kind: str, body: dict, actor: str = "") -> JournalEvent:
    at = FIRST + timedelta(minutes=minutes)
    return JournalEvent(minutes, at, kind, "five", "paper", "", "", actor, "", body, "", "")


def fires(minutes: int, fingerprint: str = "f") -> JournalEvent:
    body = {"fingerprint": fingerprint, "is_firing": True, "labels": {"alertname": "drawdown_high"}}
    return event(minutes, "alert", body)


def ends(minutes: int, fingerprint: str = "f") -> JournalEvent:
    return event(minutes, "alert", {"fingerprint": fingerprint, "is_firing": False})


def told(minutes: int, firing: list[str], resolved: list[str] | None = None) -> JournalEvent:
    body = {"group": {"book": "five"}, "firing": firing, "resolved": resolved or []}
    return event(minutes, "alerts_told", body)


def figures(*events: JournalEvent, deliveries=(), acted=()) -> AlertFigures:
    return alert_figures(
        events,
        deliveries,
        first=FIRST,
        past=PAST,
        acted_at=[FIRST + timedelta(minutes=minutes) for minutes in acted],
        repeat_interval_s=86_400,
    )


def test_a_message_that_says_nothing_new_is_a_duplicate_and_a_repetition_after_a_day_is_none():
    found = figures(fires(1), told(1, ["f"]), told(2, ["f"]), told(2 + 1_440, ["f"]), told(1_500, [], ["f"]))

    assert (found.messages, found.duplicates, found.duplicate_rate) == (4, 1, 0.25)


def test_a_message_that_arrived_twice_is_a_duplicate():
    sends = [Delivery(1, 1, "webhook", True, "sent", FIRST), Delivery(1, 2, "webhook", True, "sent", FIRST)]

    found = figures(
        told(1, ["f"]), deliveries=[*sends, Delivery(2, 1, "webhook", False, "http_error", FIRST)]
    )

    assert (found.sent, found.failed, found.unaddressed, found.duplicates) == (2, 1, 0, 1)


def test_a_message_with_nobody_to_send_to_is_no_send_that_failed():
    tries = [Delivery(1, number, "webhook", False, "missing_webhook_url", FIRST) for number in (1, 2)]

    found = figures(told(1, ["f"]), deliveries=tries)

    assert (found.failed, found.unaddressed) == (0, 1)


@pytest.mark.parametrize(
    ("between", "acted", "rate"),
    [
        ((), (), 1.0),
        ((event(2, "alert_acknowledged", {"fingerprint": "f"}, "ann"),), (), 0.0),
        ((), (2,), 0.0),
        ((), (5,), 1.0),
    ],
)
def test_an_alert_that_was_over_by_itself_counts_as_false(between, acted, rate):
    found = figures(fires(1), *between, ends(3), acted=acted)

    assert (found.ended, found.false_positive_rate) == (1, rate)


def test_without_an_alert_there_is_no_rate():
    found = figures()

    assert (found.duplicate_rate, found.false_positive_rate) == (None, None)


def test_alerts_of_other_weeks_are_known_and_not_counted():
    before = fires(-60)

    found = figures(before, fires(1, "g"), ends(5))

    assert (found.begun, found.ended) == (1, 1)
