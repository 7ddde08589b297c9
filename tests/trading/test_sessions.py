"""Sessions of an exchange: what trades when, what comes before and after, and why a date does not trade."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from trading.errors import UnknownSession
from trading.sessions import Calendar, index_of

# A fortnight around Thanksgiving 2012 and the first two sessions after the clocks changed in 2013.
CALENDAR = Calendar(
    name="XNYS",
    timezone="America/New_York",
    open_time=time(9, 30),
    close_time=time(16),
    sessions=(
        *(date(2012, 11, day) for day in (19, 20, 21, 23, 26)),
        date(2013, 3, 8),
        date(2013, 3, 11),
    ),
    early_closes={date(2012, 11, 23): time(13)},
    holidays={date(2012, 11, 22): "Thanksgiving"},
)
THANKSGIVING = date(2012, 11, 22)
FIRST, LAST = date(2012, 11, 19), date(2013, 3, 11)


def test_a_date_is_a_session_only_if_the_calendar_lists_it():
    listed = [date(2012, 11, day) for day in range(19, 27) if date(2012, 11, day) in CALENDAR]

    assert listed == list(CALENDAR.sessions[:5])
    assert date(2012, 11, 16) not in CALENDAR
    assert date(2013, 3, 12) not in CALENDAR


@pytest.mark.parametrize(
    ("on", "why"),
    [
        (THANKSGIVING, "Thanksgiving"),
        (date(2012, 11, 24), "weekend"),
        (date(2012, 11, 25), "weekend"),
        (date(2012, 11, 27), "holiday"),
        (date(2012, 11, 18), "the calendar covers 2012-11-19 to 2013-03-11"),
        (date(2013, 3, 12), "the calendar covers 2012-11-19 to 2013-03-11"),
    ],
)
def test_a_date_without_a_session_is_refused_with_its_reason(on, why):
    assert CALENDAR.why_closed(on) == why
    with pytest.raises(UnknownSession, match=f"{on} is no session of XNYS: {why}"):
        CALENDAR.require(on)


@pytest.mark.parametrize(
    ("on", "previous", "following"),
    [
        (date(2012, 11, 20), date(2012, 11, 19), date(2012, 11, 21)),
        (THANKSGIVING, date(2012, 11, 21), date(2012, 11, 23)),
        (date(2012, 11, 23), date(2012, 11, 21), date(2012, 11, 26)),
        (date(2012, 11, 25), date(2012, 11, 23), date(2012, 11, 26)),
    ],
)
def test_neighbours_are_sessions_whatever_the_date(on, previous, following):
    assert CALENDAR.previous(on) == previous
    assert CALENDAR.next(on) == following


def test_there_is_no_session_outside_the_calendar():
    with pytest.raises(UnknownSession, match="starts 2012-11-19"):
        CALENDAR.previous(FIRST)
    with pytest.raises(UnknownSession, match="ends 2013-03-11"):
        CALENDAR.next(LAST)
    assert CALENDAR.next(date(2000, 1, 1)) == FIRST
    assert CALENDAR.previous(date(2030, 1, 1)) == LAST


def test_the_sessions_before_a_date_never_hold_the_date_itself():
    assert CALENDAR.before(date(2012, 11, 21), 2) == (date(2012, 11, 19), date(2012, 11, 20))
    assert CALENDAR.before(date(2012, 11, 21), 99) == (date(2012, 11, 19), date(2012, 11, 20))
    assert CALENDAR.before(THANKSGIVING, 1) == (date(2012, 11, 21),)
    assert CALENDAR.before(FIRST, 5) == ()
    assert CALENDAR.before(date(2012, 11, 21), 0) == ()


def test_a_range_holds_both_its_ends():
    assert CALENDAR.between(date(2012, 11, 21), date(2012, 11, 26)) == CALENDAR.sessions[2:5]
    assert CALENDAR.between(THANKSGIVING, THANKSGIVING) == ()
    assert CALENDAR.between(LAST, FIRST) == ()


@pytest.mark.parametrize(
    ("session", "opens", "closes"),
    [
        (date(2012, 11, 21), (14, 30), (21, 0)),
        (date(2012, 11, 23), (14, 30), (18, 0)),  # closes at 13:00
        (date(2013, 3, 8), (14, 30), (21, 0)),
        (date(2013, 3, 11), (13, 30), (20, 0)),  # summer time since the day before
    ],
)
def test_a_session_opens_and_closes_at_exchange_time_told_in_utc(session, opens, closes):
    day = (session.year, session.month, session.day)

    assert CALENDAR.opens_at(session) == datetime(*day, *opens, tzinfo=UTC)
    assert CALENDAR.closes_at(session) == datetime(*day, *closes, tzinfo=UTC)


def test_a_date_that_is_no_session_neither_opens_nor_closes():
    for ask in (CALENDAR.opens_at, CALENDAR.closes_at):
        with pytest.raises(UnknownSession, match="Thanksgiving"):
            ask(THANKSGIVING)


def test_a_session_has_a_place_in_a_sequence_that_holds_it():
    assert [index_of(CALENDAR.sessions, session) for session in CALENDAR.sessions] == list(range(7))
    for absent in (THANKSGIVING, date(2012, 1, 1), date(2013, 3, 12)):
        with pytest.raises(UnknownSession, match=f"{absent} is not among the 7"):
            index_of(CALENDAR.sessions, absent)
