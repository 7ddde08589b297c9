"""The timetable: of all ticks of a year, one decides and one settles each session."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from trading.timetable import decide_cron, decide_tick, settle_crons, settle_tick

NEW_YORK = ZoneInfo("America/New_York")


def ticks(cron, year):
    """Give every instant of a year at which a cron line of weekdays fires, in exchange time."""
    minute, hour, *days = cron.split()
    assert days == ["*", "*", "1-5"]
    start = date(year, 1, 1)
    dates = (start + timedelta(days=offset) for offset in range(366))
    return [
        datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=NEW_YORK).astimezone(UTC)
        for day in dates
        if day.year == year and day.weekday() < 5
    ]


def test_the_crons_stand_three_quarters_of_an_hour_before_the_open_and_half_an_hour_after_each_close(xnys):
    assert decide_cron(xnys) == "45 8 * * 1-5"
    assert settle_crons(xnys) == ["30 13 * * 1-5", "30 16 * * 1-5"]


# 2001 closed for four days in September, 2012 for two in October; both clock changes are in each.
@pytest.mark.parametrize("year", [2001, 2012, 2013, 2026])
def test_every_session_of_a_year_is_decided_by_one_tick_before_its_open(xnys, year):
    sessions = xnys.between(date(year, 1, 1), date(year, 12, 31))
    told = {at: decide_tick(xnys, at) for at in ticks(decide_cron(xnys), year)}

    assert [tick.session for tick in told.values() if tick.session] == list(sessions)
    for at, tick in told.items():
        on = at.astimezone(NEW_YORK).date()
        if tick.session:
            assert (tick.session, tick.reason) == (on, "")
            assert xnys.opens_at(on) - at == timedelta(minutes=45)
        else:
            assert tick.reason == f"{on} is no session of XNYS: {xnys.holidays[on]}"


@pytest.mark.parametrize("year", [2001, 2012, 2013, 2026])
def test_every_session_of_a_year_is_settled_by_one_tick_half_an_hour_after_its_close(xnys, year):
    sessions = xnys.between(date(year, 1, 1), date(year, 12, 31))
    told = [(at, settle_tick(xnys, at)) for cron in settle_crons(xnys) for at in ticks(cron, year)]

    assert Counter(tick.session for _, tick in told if tick.session) == Counter(sessions)
    half_days = 0
    for at, tick in told:
        on = at.astimezone(NEW_YORK).date()
        if tick.session:
            assert tick.session == on
            assert at - xnys.closes_at(on) == timedelta(minutes=30)
            half_days += xnys.closes_at(on).astimezone(NEW_YORK).hour == 13
        elif on in xnys.holidays:
            assert tick.reason == f"{on} is no session of XNYS: {xnys.holidays[on]}"
        elif on in xnys.early_closes:
            assert "was to be settled at 13:30 E" in tick.reason
        else:
            assert "closes later today; it is settled at 16:30 E" in tick.reason
    assert half_days == sum(day.year == year for day in xnys.early_closes)


@pytest.mark.parametrize(
    ("on", "decides"),
    [
        (date(2013, 3, 8), (13, 45)),  # winter time
        (date(2013, 3, 11), (12, 45)),
        (date(2013, 11, 1), (12, 45)),  # summer time
        (date(2013, 11, 4), (13, 45)),
    ],
)
def test_ticks_follow_the_clocks_of_the_exchange(xnys, on, decides):
    (at,) = [at for at in ticks(decide_cron(xnys), on.year) if at.astimezone(NEW_YORK).date() == on]

    assert (at.hour, at.minute) == decides
    assert decide_tick(xnys, at).session == on


@pytest.mark.parametrize(
    ("at", "session", "reason"),
    [
        (datetime(2013, 3, 1, 14, 29, 59, tzinfo=UTC), date(2013, 3, 1), ""),
        (datetime(2013, 3, 1, 14, 30, tzinfo=UTC), None, "2013-03-01 is open already"),
        (datetime(2013, 3, 1, 23, 0, tzinfo=UTC), None, "2013-03-01 is open already"),
        # Past midnight in London, still the evening before in New York.
        (datetime(2013, 3, 2, 1, 0, tzinfo=UTC), None, "2013-03-01 is open already"),
        (datetime(2013, 3, 2, 5, 0, tzinfo=UTC), None, "2013-03-02 is no session of XNYS: weekend"),
        (datetime(2013, 3, 29, 12, 45, tzinfo=UTC), None, "2013-03-29 is no session of XNYS: Good Friday"),
    ],
)
def test_a_decision_is_made_before_the_open_only(xnys, at, session, reason):
    tick = decide_tick(xnys, at)

    assert tick.session == session
    assert tick.reason.startswith(reason)


@pytest.mark.parametrize(
    ("at", "session", "reason"),
    [
        (
            datetime(2013, 3, 1, 21, 29, 59, tzinfo=UTC),
            None,
            "closes later today; it is settled at 16:30 EST",
        ),
        (datetime(2013, 3, 1, 21, 30, tzinfo=UTC), date(2013, 3, 1), ""),
        (datetime(2013, 3, 1, 21, 59, 59, tzinfo=UTC), date(2013, 3, 1), ""),
        (datetime(2013, 3, 1, 22, 0, tzinfo=UTC), None, "was to be settled at 16:30 EST"),
        (datetime(2013, 7, 3, 17, 30, tzinfo=UTC), date(2013, 7, 3), ""),
        (datetime(2013, 7, 3, 20, 30, tzinfo=UTC), None, "was to be settled at 13:30 EDT"),
        (datetime(2013, 3, 2, 21, 30, tzinfo=UTC), None, "weekend"),
    ],
)
def test_a_session_is_settled_in_the_half_hour_that_starts_half_an_hour_after_its_close(
    xnys, at, session, reason
):
    tick = settle_tick(xnys, at)

    assert tick.session == session
    assert reason in tick.reason
