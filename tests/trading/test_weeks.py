"""Weeks by the exchange's calendar: none is lost, not even one without a session."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.calendars import load_calendar
from trading.errors import BadInput
from trading.weeks import Week, is_over, missing_weeks, week_from_text, week_of_date

CALENDAR = load_calendar("XNYS", Path(__file__).resolve().parents[2] / "config" / "calendars")
DAYS = st.dates(date(2005, 1, 1), date(2020, 12, 31))


@given(DAYS)
def test_a_week_is_found_again_by_its_name_and_holds_its_days(day):
    week = week_of_date(day)

    assert week_from_text(week.name) == week
    assert week.monday <= day <= week.sunday
    assert week.previous.sunday + timedelta(days=1) == week.monday
    assert all(week_of_date(session) == week for session in week.sessions(CALENDAR))


@given(DAYS)
def test_every_instant_is_of_exactly_one_week_also_where_clocks_change(day):
    week = week_of_date(day)

    assert week.previous.span(CALENDAR)[1] == week.span(CALENDAR)[0]


def test_the_turn_of_the_year_is_of_the_year_of_its_thursday():
    assert week_of_date(date(2012, 12, 31)).name == "2013-W01"
    assert week_of_date(date(2010, 1, 3)).name == "2009-W53"


NO_WEEKS = ("", "2013", "2013-W1", "2013-W54", "2013-W00", "2013-w09", "2013-W\u06609", "0000-W01")


@pytest.mark.parametrize("text", NO_WEEKS)
def test_a_name_of_no_week_is_refused(text):
    with pytest.raises(BadInput, match="write it as 2013-W09"):
        week_from_text(text)


def test_a_late_look_finds_every_week_that_nobody_made_and_not_the_one_that_runs():
    now = datetime(2013, 3, 1, 22, tzinfo=UTC)

    found = missing_weeks(CALENDAR, first=date(2013, 1, 30), now=now, made={"2013-W06"})

    assert [week.name for week in found] == ["2013-W05", "2013-W07", "2013-W08"]


def test_a_week_is_over_when_it_is_midnight_at_the_exchange():
    week = Week(date(2013, 2, 25))
    midnight = datetime(2013, 3, 4, 5, tzinfo=UTC)

    assert not is_over(week, CALENDAR, now=midnight - timedelta(seconds=1))
    assert is_over(week, CALENDAR, now=midnight)
