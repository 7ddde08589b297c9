"""What starts a run: schedules over a year of the exchange, and the sensor from approvals to execution."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import cron_string_iterator

from resources.settings import Profile
from sensors.reconciliation import SESSIONS_BACK, not_due
from tests.graph.desk import CALENDAR, FIRST, Desk
from trading.clock import Phase
from trading.decisions import Outcome
from trading.positions import opened_book
from trading.testing import example_decision, example_intent, reconciled_term

NEW_YORK = ZoneInfo("America/New_York")
YEAR = CALENDAR.between(date(2012, 1, 1), date(2012, 12, 31))
HALF_DAYS = {date(2012, 7, 3), date(2012, 11, 23), date(2012, 12, 24)}


def ticks(schedule, year=2012) -> Iterator[datetime]:
    """Give the ticks of a schedule over a year: those that Dagster's own daemon would make."""
    crons = (
        schedule.cron_schedule
        if isinstance(schedule.cron_schedule, list | tuple)
        else [schedule.cron_schedule]
    )
    found: set[datetime] = set()
    start = datetime(year, 1, 1, tzinfo=NEW_YORK)
    for cron in crons:
        for at in cron_string_iterator(start.timestamp(), cron, schedule.execution_timezone):
            if at.year > year:
                break
            found.add(at.astimezone(UTC))
    yield from sorted(found)


class Desktop:
    """Evaluate the schedules and the sensor of one desk, as the daemon would."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.schedules = {schedule.name: schedule for schedule in desk.definitions.schedules}
        self.sensors = {sensor.name: sensor for sensor in desk.definitions.sensors}

    def schedule(self, what: str) -> dg.ScheduleDefinition:
        return self.schedules[f"{self.desk.book}__{what}_schedule"]

    def ports_of(self, started: dg.ScheduleDefinition | dg.SensorDefinition) -> dict[str, Any]:
        """Return the ports that a schedule or a sensor asks for."""
        profiled = self.desk.profiled
        ports = {"journal": self.desk.journal, "clocks": profiled.clocks, "tables": profiled.lineage}
        return {name: ports[name] for name in started.required_resource_keys}

    def tick(self, what: str, at: datetime):
        context = dg.build_schedule_context(instance=self.desk.instance, scheduled_execution_time=at)
        # Called through Dagster, each tick would build a storage in memory first: 50 ms, 783 times a year.
        return self.schedule(what)._execution_fn.decorated_fn(context, **self.ports_of(self.schedule(what)))

    def real_tick(self, what: str, at: datetime):
        context = dg.build_schedule_context(
            instance=self.desk.instance,
            scheduled_execution_time=at,
            repository_def=self.desk.definitions.get_repository_def(),
            resources=self.ports_of(self.schedule(what)),
        )
        (request,) = self.schedule(what).evaluate_tick(context).run_requests
        return request

    def sweep(self):
        context = dg.build_sensor_context()
        sensor = self.sensors[f"{self.desk.book}__approvals_sensor"]
        return sensor(context, **self.ports_of(sensor))

    def watch(self):
        context = dg.build_sensor_context(instance=self.desk.instance)
        sensor = self.sensors[f"{self.desk.book}__reconciliation_sensor"]
        return sensor(context, **self.ports_of(sensor))


@pytest.fixture
def paper(desk_on) -> Desktop:
    """Give a desk on whose wall it is what it is: a schedule's session is its tick's."""
    return Desktop(desk_on(profile=Profile.PAPER))


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """Give every tick of a year with what the schedule answered, by schedule."""
    desk = Desk(tmp_path_factory.mktemp("year"), profile=Profile.PAPER)
    desktop = Desktop(desk)
    yield {
        what: {at: desktop.tick(what, at) for at in ticks(desktop.schedule(what))}
        for what in ("decide", "settle")
    }
    desk.close()


@pytest.fixture
def simulated(desk_on) -> Desktop:
    return Desktop(desk_on())


def session_of(answer) -> date | None:
    return date.fromisoformat(answer.partition_key) if isinstance(answer, dg.RunRequest) else None


def test_a_year_of_ticks_decides_every_session_once_at_a_quarter_to_nine_in_new_york(year):
    decided = {at: session_of(answer) for at, answer in year["decide"].items() if session_of(answer)}

    assert tuple(decided.values()) == YEAR
    assert {at.astimezone(NEW_YORK).time() for at in decided} == {time(8, 45)}
    assert all(at.astimezone(NEW_YORK).date() == session for at, session in decided.items())
    # Both changes of the clocks are in the year: the same wall time is another instant.
    assert {at.time() for at in decided} == {time(12, 45), time(13, 45)}


def test_a_year_of_ticks_settles_every_session_once_half_an_hour_after_its_close(year):
    settled = {at: session_of(answer) for at, answer in year["settle"].items() if session_of(answer)}

    assert tuple(settled.values()) == YEAR
    for at, session in settled.items():
        wall = at.astimezone(NEW_YORK)
        assert wall.date() == session
        assert wall.time() == (time(13, 30) if session in HALF_DAYS else time(16, 30))
        assert at == CALENDAR.closes_at(session) + timedelta(minutes=30)


@pytest.mark.parametrize("what", ["decide", "settle"])
def test_a_holiday_is_skipped_with_its_name(year, what):
    holidays = {day: name for day, name in CALENDAR.holidays.items() if day.year == 2012}

    skipped = {}
    for at, answer in year[what].items():
        day = at.astimezone(NEW_YORK).date()
        if isinstance(answer, dg.SkipReason) and day in holidays:
            skipped[day] = answer.skip_message

    assert set(skipped) == set(holidays)
    assert len(holidays) == 11
    assert all(holidays[day] in reason for day, reason in skipped.items())
    assert "Hurricane Sandy" in skipped[date(2012, 10, 29)]


def test_a_tick_at_the_close_of_a_half_day_says_that_it_was_settled_early(paper):
    answer = paper.tick("settle", datetime(2012, 7, 3, 16, 30, tzinfo=NEW_YORK))

    assert isinstance(answer, dg.SkipReason)
    assert "2012-07-03 was to be settled at 13:30 EDT" in answer.skip_message


@pytest.mark.parametrize("what", ["decide", "settle"])
def test_the_same_tick_three_times_asks_for_one_and_the_same_run(paper, what):
    at = {"decide": time(8, 45), "settle": time(16, 30)}[what]
    moment = datetime.combine(date(2012, 6, 1), at, tzinfo=NEW_YORK)

    answers = [paper.real_tick(what, moment) for _ in range(3)]

    assert {answer.run_key for answer in answers} == {f"us_five:2012-06-01:{what}"}
    assert {answer.partition_key for answer in answers} == {"2012-06-01"}
    assert {answer.tags["trading/book"] for answer in answers} == {"us_five"}


def test_in_the_simulated_profile_today_is_the_last_session_of_the_data(simulated):
    answer = simulated.tick("decide", datetime(2026, 11, 20, 8, 45, tzinfo=NEW_YORK))

    assert answer.partition_key == "2013-03-01"


def test_a_simulated_tick_on_a_holiday_is_skipped_all_the_same(simulated):
    answer = simulated.tick("decide", datetime(2026, 11, 26, 8, 45, tzinfo=NEW_YORK))

    assert isinstance(answer, dg.SkipReason)
    assert "Thanksgiving" in answer.skip_message


def registered(desk, *outcomes):
    """Decide the first session by hand: one intent of each outcome."""
    session = FIRST
    now = CALENDAR.opens_at(session) - timedelta(minutes=30)
    config = desk.profiled.books[desk.book]
    opened = opened_book(currency=config.currency, deposit_micros=config.deposit_micros)
    desk.journal.opening_book(**desk.where(session), previous=None, opened=opened, now=now)
    decisions = [
        example_decision(
            example_intent(symbol, session=session),
            outcome=outcome,
            not_after=CALENDAR.closes_at(session),
            account=config.account,
        )
        for symbol, outcome in zip(("AAPL", "IBM", "MSFT"), outcomes, strict=False)
    ]
    return desk.journal.register(
        **desk.where(session), decisions=decisions, verdicts=(), decisions_sha="0" * 64, now=now
    )


def test_a_decided_session_is_not_decided_by_a_later_tick(simulated):
    desk = simulated.desk
    last = desk.profiled.books["us_five"].last_session
    config = desk.profiled.books["us_five"]
    opened = opened_book(currency=config.currency, deposit_micros=config.deposit_micros)
    now = CALENDAR.opens_at(last)
    desk.journal.opening_book(**desk.where(last), previous=None, opened=opened, now=now)
    desk.journal.register(**desk.where(last), decisions=(), verdicts=(), decisions_sha="0" * 64, now=now)

    answer = simulated.tick("decide", datetime(2026, 11, 20, 8, 45, tzinfo=NEW_YORK))

    assert isinstance(answer, dg.SkipReason)
    assert "decide is done already" in answer.skip_message


def too_many_incidents(desk, now):
    account = desk.profiled.books[desk.book].account
    for number in range(desk.profiled.books[desk.book].rules.cooldown.incidents_max):
        desk.journal.record_incident(
            kind="foreign_order", account=account, intent_id="", detail=f"{number}", is_halting=False, now=now
        )
    return account


def test_while_an_account_cools_down_after_incidents_no_session_is_decided_and_all_else_goes_on(paper):
    desk, at = paper.desk, datetime(2012, 6, 1, 8, 45, tzinfo=NEW_YORK)
    now = desk.profiled.clocks[desk.book].now(date(2012, 6, 1), Phase.DECIDE)
    account = too_many_incidents(desk, now)

    held = paper.tick("decide", at)
    settling = paper.tick("settle", datetime(2012, 6, 1, 16, 30, tzinfo=NEW_YORK))
    (began,) = desk.journal.cooldowns()
    desk.journal.end_cooldown(account=account, lane=began.lane, actor="ben", reason="seen to", now=now)
    afterwards = paper.tick("decide", at)

    assert isinstance(held, dg.SkipReason)
    assert "2012-06-01: cooldown_active account" in held.skip_message
    assert "incident_threshold_cooldown: 3 incidents within 3600 s" in held.skip_message
    assert session_of(settling) == session_of(afterwards) == date(2012, 6, 1)


def test_an_approved_intent_gets_a_run_and_the_same_sweep_again_the_same_one(simulated):
    registered(simulated.desk, Outcome.APPROVED)

    keys = set()
    for _ in range(3):
        (request,) = simulated.sweep().run_requests
        keys.add((request.run_key, request.partition_key))

    assert len(keys) == 1
    assert next(iter(keys))[1] == str(FIRST)


def test_another_approval_gets_another_run(simulated):
    _, pending = registered(simulated.desk, Outcome.APPROVED, Outcome.PENDING_APPROVAL)
    (before,) = simulated.sweep().run_requests
    simulated.desk.journal.approve(
        pending.intent_id,
        version=pending.version,
        payload_hash=pending.payload_hash,
        nonce="n1",
        actor="anna",
        reason="looked at it",
        now=CALENDAR.opens_at(FIRST),
    )

    (after,) = simulated.sweep().run_requests

    assert after.run_key != before.run_key
    assert after.partition_key == before.partition_key


@pytest.mark.parametrize("outcomes", [(), (Outcome.PENDING_APPROVAL,), (Outcome.BLOCKED,)], ids=str)
def test_where_nothing_is_approved_the_sweep_says_so_and_starts_nothing(simulated, outcomes):
    registered(simulated.desk, *outcomes)

    answer = simulated.sweep()

    assert isinstance(answer, dg.SkipReason)
    assert "nothing approved waits" in answer.skip_message


def test_the_same_look_three_times_asks_for_one_and_the_same_reconciliation(simulated):
    registered(simulated.desk, Outcome.APPROVED)
    last = simulated.desk.profiled.books["us_five"].last_session

    asked = [simulated.watch() for _ in range(3)]

    assert len(CALENDAR.between(FIRST, last)) <= SESSIONS_BACK
    assert {one.partition_key for one in asked} == {str(FIRST)}
    assert len({one.run_key for one in asked}) == 1


def test_a_book_without_an_open_session_is_not_reconciled_by_itself(simulated):
    answer = simulated.watch()

    assert isinstance(answer, dg.SkipReason)
    assert "no session is open" in answer.skip_message


@pytest.mark.parametrize(
    ("is_claimed", "after", "is_due"),
    [
        (False, timedelta(minutes=15, seconds=-1), False),
        (False, timedelta(minutes=15), True),
        (True, timedelta(seconds=59), False),
        (True, timedelta(seconds=60), True),
    ],
)
def test_what_is_on_its_way_is_asked_for_each_minute_and_all_else_each_quarter(
    simulated, is_claimed, after, is_due
):
    journal = simulated.desk.journal
    (row,) = registered(simulated.desk, Outcome.APPROVED)
    opened = CALENDAR.opens_at(FIRST)
    term = reconciled_term(journal, account=row.account, lane=row.lane, now=opened)
    if is_claimed:
        journal.claim(row.intent_id, version=row.version, term=term, holder="tester", now=opened)

    why_not = not_due(
        journal.open_intents(account=row.account, lane=row.lane),
        journal.executor_term(account=row.account, lane=row.lane),
        now=opened + after,
    )

    assert (why_not == "") is is_due


def test_an_approved_intent_of_a_session_that_is_over_is_not_swept_up(paper):
    desk = paper.desk
    now = CALENDAR.opens_at(FIRST) - timedelta(minutes=30)
    config = desk.profiled.books[desk.book]
    opened = opened_book(currency=config.currency, deposit_micros=config.deposit_micros)
    where = {**desk.where(FIRST), "lane": "paper"}
    desk.journal.opening_book(**where, previous=None, opened=opened, now=now)
    decision = example_decision(
        example_intent("IBM", session=FIRST),
        not_after=CALENDAR.closes_at(FIRST),
        account=config.account,
        lane="paper",
    )
    desk.journal.register(**where, decisions=[decision], verdicts=(), decisions_sha="0" * 64, now=now)

    assert isinstance(paper.sweep(), dg.SkipReason)
