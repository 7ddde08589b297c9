"""What time it is: the system's, or the session's own."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import time_machine

from resources.calendars import load_calendar
from resources.clocks import SimulatedClock, SystemClock
from trading.clock import Clock, Phase
from trading.errors import UnknownSession

CALENDAR = load_calendar("XNYS", Path("config/calendars").absolute())
CLOCKS: list[Clock] = [SystemClock(), SimulatedClock(calendar=CALENDAR)]


@pytest.mark.parametrize(
    ("session", "decide", "execute", "settle"),
    [
        (date(2013, 2, 28), "13:45", "14:30", "21:30"),
        (date(2013, 3, 11), "12:45", "13:30", "20:30"),  # the first session of summer time
        (date(2013, 11, 4), "13:45", "14:30", "21:30"),  # the first one after it
        (date(2013, 11, 29), "13:45", "14:30", "18:30"),  # closes at 13:00, the day after Thanksgiving
    ],
)
def test_a_simulated_session_has_its_own_times(session, decide, execute, settle):
    clock = SimulatedClock(calendar=CALENDAR)

    times = [clock.now(session, phase) for phase in (Phase.DECIDE, Phase.EXECUTE, Phase.SETTLE)]

    assert [f"{time:%H:%M}" for time in times] == [decide, execute, settle]
    assert {(time.date(), time.tzinfo) for time in times} == {(session, UTC)}


def test_a_simulated_holiday_has_no_time():
    with pytest.raises(UnknownSession, match="2013-12-25"):
        SimulatedClock(calendar=CALENDAR).now(date(2013, 12, 25), Phase.DECIDE)


def test_in_a_simulated_market_today_is_the_datas_last_session():
    assert SimulatedClock(calendar=CALENDAR).today(CALENDAR, date(2013, 3, 1)) == date(2013, 3, 1)


@pytest.mark.parametrize("phase", list(Phase))
def test_the_system_tells_the_same_time_whatever_is_asked_for(phase):
    with time_machine.travel(datetime(2026, 3, 9, 12, tzinfo=UTC), tick=False):
        assert SystemClock().now(date(2013, 2, 28), phase) == datetime(2026, 3, 9, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "today"),
    [
        (datetime(2026, 3, 10, 3, 59, tzinfo=UTC), date(2026, 3, 9)),
        (datetime(2026, 3, 10, 4, 0, tzinfo=UTC), date(2026, 3, 10)),
        (datetime(2026, 1, 10, 4, 59, tzinfo=UTC), date(2026, 1, 9)),
        (datetime(2026, 1, 10, 5, 0, tzinfo=UTC), date(2026, 1, 10)),
    ],
)
def test_the_systems_today_changes_at_the_exchanges_midnight(instant, today):
    with time_machine.travel(instant, tick=False):
        assert SystemClock().today(CALENDAR, date(2013, 3, 1)) == today
