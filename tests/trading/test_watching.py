"""What a watch makes of what it saw: one sighting a subject, and no session of a year missed that was not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from resources.calendars import load_calendar
from trading.advisor_calls import Purpose
from trading.alerts import (
    CHECKS_FAILED,
    DAY_COST,
    MISSED,
    RUNS_FAILED,
    SESSION_COST,
    STALE,
    TICKS_FAILED,
    TICKS_UNDER_WAY,
    WEEK_COST,
)
from trading.journal import SessionRecord
from trading.slos import PAIRS, Objective, PairBurn
from trading.testing import example_call
from trading.timetable import DECIDE_BEFORE_OPEN, SETTLE_AFTER_CLOSE
from trading.watching import (
    CheckSeen,
    RunSeen,
    TickSeen,
    Wanted,
    sessions_begun,
    sighting_of_disk,
    sightings_of_burns,
    sightings_of_costs,
    sightings_of_runs,
    sightings_of_sessions,
    sightings_of_stale,
    sightings_of_stopped,
    sightings_of_ticks,
)
from trading.weeks import week_of_date

CALENDAR = load_calendar("XNYS", Path(__file__).resolve().parents[2] / "config" / "calendars")
TODAY = date(2013, 3, 1)
LAST = date(2013, 2, 28)
YEAR = CALENDAR.between(date(2012, 1, 1), date(2012, 12, 31))


def run(*checks: CheckSeen, session: date | None = LAST, failed: bool = False, book: str = "five") -> RunSeen:
    return RunSeen("r1", "decide", book, session, failed, "run r1", checks)


def check(passed: bool, *, session: date | None = LAST, name: str = "quotes_are_fresh") -> CheckSeen:
    return CheckSeen("five", "market_quotes", name, session, passed, "")


def seen(*runs: RunSeen):
    found = sightings_of_runs(runs, today=lambda _: TODAY, calendar=lambda _: CALENDAR)
    return {(one.metric, one.about): one for one in found}


def test_a_run_says_of_its_job_and_of_each_of_its_checks_whether_they_are_well():
    found = seen(run(check(True), check(False, name="book_balances"), failed=True))

    assert {key: one.observed for key, one in found.items()} == {
        (RUNS_FAILED, "decide"): 1.0,
        (CHECKS_FAILED, "market_quotes:quotes_are_fresh"): 0.0,
        (CHECKS_FAILED, "market_quotes:book_balances"): 1.0,
    }


def test_what_a_failed_run_says_can_be_stored_whatever_is_in_it():
    said = "the source said \ud83d\0 and\x1b[31m then\u2028nothing"
    found = seen(run(failed=True)._replace(detail=said))

    assert found[RUNS_FAILED, "decide"].detail == "the source said and [31m then nothing"


@pytest.mark.parametrize("order", [(False, True), (True, False), (True, False, True)])
def test_a_failure_between_two_good_looks_is_told_and_then_over(order):
    found = seen(*(run(check(passed)) for passed in order))

    one = found[CHECKS_FAILED, "market_quotes:quotes_are_fresh"]
    assert (one.observed, one.mended) == (1.0, order[-1])


def test_a_check_that_only_shows_an_alert_is_no_second_one():
    found = seen(run(check(False, name="session_raised_no_critical_alert")))

    assert {metric for metric, _ in found} == {RUNS_FAILED}


def test_what_repeats_history_is_told_to_nobody():
    old = date(2012, 3, 1)

    assert seen(run(check(False, session=old), session=old, failed=True)) == {}
    assert seen(run(failed=True, session=old, book="")) == {}
    assert seen(run(session=None, failed=True))[RUNS_FAILED, "decide"].session == TODAY


def record(session: date, *, decided: bool = True, settled: bool = True) -> SessionRecord:
    at = CALENDAR.opens_at(session)
    return SessionRecord(
        book="five",
        lane="paper",
        session=session,
        opening_sha="0" * 64,
        decided_at=at if decided else None,
        decisions_sha="",
        settled_at=at if settled else None,
        carried_by="",
        closing=None,
        closing_sha="",
        refused="",
    )


def missed(records: dict[date, SessionRecord], now: datetime) -> dict[str, tuple[float, str]]:
    found = sightings_of_sessions("five", CALENDAR, record_of=records.get, now=now)
    assert {one.metric for one in found} <= {MISSED}
    return {one.about: (one.observed, one.detail) for one in found}


def test_no_session_of_a_year_is_missed_that_is_decided_and_settled_in_time():
    """Each session's own hours, over holidays, half days, weekends and both changes of the clock."""
    records: dict[date, SessionRecord] = {}
    alarms, asked = [], 0
    for session in YEAR:
        opens_at, closes_at = CALENDAR.opens_at(session), CALENDAR.closes_at(session)
        looks = [opens_at - DECIDE_BEFORE_OPEN - timedelta(hours=hours) for hours in (9, 3, 1)]
        for at in looks:
            alarms += [(at, what) for what, (count, _) in missed(records, at).items() if count]
        records[session] = record(session, settled=False)
        for at in (opens_at, closes_at, closes_at + SETTLE_AFTER_CLOSE):
            alarms += [(at, what) for what, (count, _) in missed(records, at).items() if count]
        records[session] = record(session)
        for hours in (1, 3, 6, 30):
            at = closes_at + timedelta(hours=hours)
            if at < CALENDAR.opens_at(CALENDAR.next(session)):
                alarms += [(at, what) for what, (count, _) in missed(records, at).items() if count]
                asked += 1
        asked += 6

    assert alarms == []
    assert asked > 2_000


@pytest.mark.parametrize(
    "session", [date(2012, 7, 3), date(2012, 11, 23), date(2012, 3, 12), date(2012, 7, 2)]
)
def test_a_session_that_nobody_decides_or_settles_is_missed_at_its_hour_and_not_before(session):
    before = CALENDAR.previous(session)
    known = {before: record(before)}
    opens_at, closes_at = CALENDAR.opens_at(session), CALENDAR.closes_at(session)
    late = closes_at + 2 * SETTLE_AFTER_CLOSE

    assert missed(known, opens_at - timedelta(seconds=1))["decide"] == (0.0, "")
    assert missed(known, opens_at)["decide"] == (1.0, str(session))
    known[session] = record(session, settled=False)
    assert missed(known, late - timedelta(seconds=1)) == {"decide": (0.0, ""), "settle": (0.0, "")}
    assert missed(known, late)["settle"] == (1.0, str(session))
    known[session] = record(session, decided=False)
    assert missed(known, late) == {"decide": (0.0, ""), "settle": (0.0, "")}


def test_a_book_that_nobody_has_begun_misses_nothing():
    assert missed({}, CALENDAR.closes_at(LAST) + timedelta(hours=5)) == {}


def settled(session: date, *, after: timedelta = SETTLE_AFTER_CLOSE) -> SessionRecord:
    return replace(record(session), settled_at=CALENDAR.closes_at(session) + after)


def late(
    records: dict[date, SessionRecord],
    now: datetime,
    *,
    made: Collection[str] = (),
    evidence_since: datetime | None = None,
    weeks_since: datetime | None = None,
) -> dict[str, str]:
    """Give what each table that is late is late with, with the subjects asked about in one order."""
    found = sightings_of_stale(
        "five",
        CALENDAR,
        sessions_begun(CALENDAR, record_of=records.get, now=now),
        is_made=lambda asset, partition: f"{asset} {partition}" in made,
        evidence_since=evidence_since,
        weeks_since=weeks_since,
        now=now,
    )
    assert {one.metric for one in found} <= {STALE}
    assert [one.about for one in found] in ([], [*TABLES, "weekly_health", "weekly_audit"])
    assert all(one.observed == len(one.detail.split(", ")) for one in found if one.detail)
    return {one.about: one.detail for one in found if one.observed}


TABLES = ("positions", "daily_report", "promotion_decisions")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def test_no_table_of_a_year_is_late_that_is_made_in_time():
    """Settled late, and each week looked back on: over holidays, half days and changes of the clock."""
    records: dict[date, SessionRecord] = {}
    made: set[str] = set()
    told, asked = [], 0
    for session in YEAR:
        closes_at, week = CALENDAR.closes_at(session), week_of_date(session)
        records[session] = settled(session, after=timedelta(minutes=50))
        looks = [closes_at + timedelta(minutes=minutes) for minutes in (0, 30, 60, 79)]
        told += [late(records, at, made=made, evidence_since=LONG_AGO) for at in looks]
        made |= {f"{asset} {session}" for asset in TABLES}
        if CALENDAR.next(session) > week.sunday:
            looks += [closes_at + timedelta(hours=hours) for hours in (5, 24, 48)]
            looks += [CALENDAR.opens_at(CALENDAR.next(session)) - DECIDE_BEFORE_OPEN - timedelta(hours=1)]
            told += [
                late(records, at, made=made, evidence_since=LONG_AGO, weeks_since=LONG_AGO)
                for at in looks[-4:-1]
            ]
            made |= {f"{asset} {week.name}" for asset in ("weekly_health", "weekly_audit")}
            told += [late(records, looks[-1], made=made, evidence_since=LONG_AGO, weeks_since=LONG_AGO)]
        asked += len(looks)

    assert [one for one in told if one] == []
    assert asked > 1_000


@pytest.mark.parametrize("session", [date(2012, 7, 3), date(2012, 3, 9), date(2012, 7, 2)])
def test_a_settled_session_without_its_tables_is_late_at_its_hour_and_not_before(session):
    records, closes_at = {session: settled(session)}, CALENDAR.closes_at(session)
    hour = closes_at + timedelta(hours=1)

    assert late(records, hour - timedelta(seconds=1), evidence_since=LONG_AGO) == {}
    assert late(records, hour, evidence_since=LONG_AGO) == dict.fromkeys(TABLES, str(session))
    assert late(records, hour, made=[f"daily_report {session}"]) == {"positions": str(session)}
    records[session] = settled(session, after=timedelta(hours=3))
    assert late(records, closes_at + timedelta(hours=3, minutes=29)) == {}
    assert late(records, closes_at + timedelta(hours=3, minutes=30)).keys() == {"positions", "daily_report"}
    records[session] = record(session, settled=False)
    assert late(records, hour + timedelta(days=3), evidence_since=LONG_AGO) == {}


def test_a_table_of_one_of_the_last_five_sessions_is_late_and_of_one_before_no_more():
    records = {session: settled(session) for session in YEAR[:8]}

    told = late(records, CALENDAR.closes_at(YEAR[7]) + timedelta(hours=2))["positions"]

    assert told == ", ".join(str(session) for session in YEAR[3:8])


def test_evidence_and_weeks_are_late_only_where_their_schedule_ran_when_they_were_due():
    friday = date(2012, 3, 9)
    records = {friday: settled(friday)}
    evidence_tick = CALENDAR.closes_at(friday) + SETTLE_AFTER_CLOSE
    # The clock changes on the Sunday between.
    week_tick = datetime(2012, 3, 12, 6, 45, tzinfo=ZoneInfo("America/New_York"))
    made = [f"positions {friday}", f"daily_report {friday}"]
    due = week_tick + timedelta(hours=2)
    second = timedelta(seconds=1)

    def of(now: datetime, **since: datetime) -> set[str]:
        return set(late(records, now, made=made, **since))

    assert of(due) == set()
    assert of(due, evidence_since=evidence_tick) == {"promotion_decisions"}
    assert of(due, evidence_since=evidence_tick + second) == set()
    assert of(due - second, weeks_since=LONG_AGO) == set()
    assert of(due, weeks_since=week_tick) == {"weekly_health", "weekly_audit"}
    assert of(due, weeks_since=week_tick + second) == set()
    assert late(records, due, made=made, weeks_since=week_tick)["weekly_audit"] == "2012-W10"


def test_a_book_that_nobody_has_begun_lacks_no_table():
    assert late({}, CALENDAR.closes_at(LAST), evidence_since=LONG_AGO, weeks_since=LONG_AGO) == {}


def test_a_tick_is_about_its_sensor_and_the_disk_about_its_free_share():
    tick, _ = sightings_of_ticks(
        [TickSeen("five__decide_schedule", True, "no  such\nfile " + "x" * 300, 0)], on=TODAY
    )

    assert (tick.about, tick.observed, tick.detail[:12], len(tick.detail)) == (
        "five__decide_schedule",
        1.0,
        "no such file",
        201,
    )
    assert sighting_of_disk(0.04, on=TODAY).observed == 0.04


def test_a_tick_under_way_is_told_beside_how_the_one_before_it_ended():
    found = sightings_of_ticks([TickSeen("five__decide_schedule", True, "no file", 7)], on=TODAY)

    assert [(one.metric, one.observed) for one in found] == [(TICKS_FAILED, 1.0), (TICKS_UNDER_WAY, 7.0)]


def stopped(*wanted: tuple[bool, bool | None], is_begun: bool = True) -> list[bool]:
    listed = [Wanted(str(place), *one) for place, one in enumerate(wanted)]
    found = sightings_of_stopped("five", listed, is_begun=is_begun, on=TODAY)

    assert [one.about for one in found] == [one.name for one in listed]
    return [bool(one.observed) for one in found]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([(False, None), (False, None), (True, None)], [False, False, False]),
        ([(False, None), (False, None), (True, True)], [False, False, False]),
        ([(False, True), (False, None), (True, None)], [False, True, False]),
        ([(False, True), (False, False), (True, False)], [False, True, True]),
        ([(False, None), (False, None), (True, False)], [False, False, True]),
        ([(False, False), (False, None), (True, None)], [True, False, False]),
    ],
)
def test_a_book_lacks_what_a_person_stopped_and_what_nobody_started_beside_what_somebody_did(
    wanted, expected
):
    assert stopped(*wanted) == expected
    assert stopped(*wanted, is_begun=False) == [False] * len(wanted)


def test_a_run_of_no_book_is_told_of_the_desk_and_its_checks_of_their_own_books():
    found = sightings_of_runs(
        [run(check(False), failed=True, book="")], today=lambda _: TODAY, calendar=lambda _: CALENDAR
    )

    assert [(one.metric, one.book, one.observed) for one in found] == [
        (RUNS_FAILED, "", 1.0),
        (CHECKS_FAILED, "five", 1.0),
    ]


MONDAY = datetime(2013, 2, 25, 14, tzinfo=UTC)


def asked(days: int, cost_micros: int, *, book: str = "five", purpose: Purpose = Purpose.ADVICE):
    at = MONDAY + timedelta(days=days)
    return example_call(
        call_id=f"{book} {days}",
        at=at,
        session=at.date(),
        book=book,
        cost_micros=cost_micros,
        purpose=purpose,
    )


def test_what_models_cost_is_told_of_the_last_session_day_and_week_and_not_of_those_before():
    calls = [
        asked(3, 100_000),
        asked(-1, 9_000_000),
        asked(0, 500_000),
        asked(3, 30_000, book="wide"),
        asked(3, 7_000, purpose=Purpose.COMPARE),
    ]

    found = {(one.metric, one.book): one for one in sightings_of_costs(calls, on=TODAY)}

    assert {key: one.observed for key, one in found.items()} == {
        (SESSION_COST, "five"): 0.1,
        (SESSION_COST, "wide"): 0.03,
        (DAY_COST, ""): 0.137,
        (WEEK_COST, ""): 0.637,
    }
    assert found[WEEK_COST, ""].detail == "2013-W09, 4 questions"


def test_where_no_model_was_asked_there_is_no_cost_to_judge():
    assert sightings_of_costs([], on=TODAY) == ()


def test_a_trial_of_a_prompt_is_no_sessions_advice():
    found = sightings_of_costs([asked(0, 1, purpose=Purpose.SMOKE)], on=TODAY)

    assert [one.metric for one in found] == [DAY_COST, WEEK_COST]


def test_a_budget_of_which_nothing_was_counted_is_not_judged_and_one_that_does_not_burn_is():
    pair = PAIRS[0]
    burns = [
        PairBurn(Objective.LATENCY, pair, None),
        PairBurn(Objective.FRESHNESS, pair, 0.0),
        PairBurn(Objective.EXECUTION, pair, 20.0),
    ]

    assert [(one.about, one.observed, one.detail) for one in sightings_of_burns(burns, on=TODAY)] == [
        ("freshness", 0.0, ""),
        ("execution", 20.0, "over 1h and over 5m"),
    ]
