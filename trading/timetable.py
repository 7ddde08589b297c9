"""The timetable: which session a tick of the clock is for, or why it is for none.

A schedule ticks at fixed wall-clock times of the exchange; what it means is decided here, on the calendar.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from trading.sessions import Calendar

DECIDE_BEFORE_OPEN = timedelta(minutes=45)
SETTLE_AFTER_CLOSE = timedelta(minutes=30)
LOOK_BACK_BEFORE_DECISION = timedelta(hours=2)


class Tick(NamedTuple):
    """Hold the session a tick is for, or `None` with the reason."""

    session: date | None
    reason: str


def decide_cron(calendar: Calendar) -> str:
    """Return the cron line of decisions: weekdays, 45 minutes before the open, in exchange time."""
    return _cron(_shifted(calendar.open_time, -DECIDE_BEFORE_OPEN))


def settle_crons(calendar: Calendar) -> list[str]:
    """Return the cron lines of settlement: weekdays, 30 minutes after the close and each early close."""
    closes = sorted({calendar.close_time, *calendar.early_closes.values()})
    return [_cron(_shifted(close, SETTLE_AFTER_CLOSE)) for close in closes]


def week_cron(calendar: Calendar) -> str:
    """Return the cron line of looking back on a week: Mondays, two hours before the first decision is due."""
    at = _shifted(calendar.open_time, -DECIDE_BEFORE_OPEN - LOOK_BACK_BEFORE_DECISION)
    return f"{at.minute} {at.hour} * * 1"


def last_week_tick(calendar: Calendar, at: datetime) -> datetime:
    """Return the last tick of looking back on a week that is not after an instant, in exchange time."""
    on = _exchange_date(calendar, at)
    due = _shifted(calendar.open_time, -DECIDE_BEFORE_OPEN - LOOK_BACK_BEFORE_DECISION)
    tick = datetime.combine(on - timedelta(days=on.weekday()), due, tzinfo=ZoneInfo(calendar.timezone))
    return tick if tick <= at else tick - timedelta(days=7)


def decide_tick(calendar: Calendar, at: datetime) -> Tick:
    """Return the session to decide at a tick, an aware instant; a day without one says why."""
    on = _exchange_date(calendar, at)
    if on not in calendar:
        return Tick(None, f"{on} is no session of {calendar.name}: {calendar.why_closed(on)}")
    if at >= calendar.opens_at(on):
        return Tick(None, f"{on} is open already: a decision is made before the open")
    return Tick(on, "")


def settle_tick(calendar: Calendar, at: datetime) -> Tick:
    """Return the session to settle at a tick: the one whose close was 30 minutes ago, half days included."""
    on = _exchange_date(calendar, at)
    if on not in calendar:
        return Tick(None, f"{on} is no session of {calendar.name}: {calendar.why_closed(on)}")
    due = calendar.closes_at(on) + SETTLE_AFTER_CLOSE
    if at < due:
        return Tick(None, f"{on} closes later today; it is settled at {_local(calendar, due)}")
    if at >= due + SETTLE_AFTER_CLOSE:
        return Tick(None, f"{on} was to be settled at {_local(calendar, due)}, 30 minutes after its close")
    return Tick(on, "")


def span_of(calendar: Calendar, session: date) -> tuple[datetime, datetime]:
    """Return the instants from which and before which a session's work happens: its decision to the next's.

    The calendar's last session has no next: its span ends a day after its close.
    """
    first = calendar.opens_at(session) - DECIDE_BEFORE_OPEN
    if session == calendar.sessions[-1]:
        return first, calendar.closes_at(session) + timedelta(days=1)
    return first, calendar.opens_at(calendar.next(session)) - DECIDE_BEFORE_OPEN


def _exchange_date(calendar: Calendar, at: datetime) -> date:
    return at.astimezone(ZoneInfo(calendar.timezone)).date()


def _local(calendar: Calendar, at: datetime) -> str:
    return at.astimezone(ZoneInfo(calendar.timezone)).strftime("%H:%M %Z")


def _shifted(at: time, by: timedelta) -> time:
    return (datetime.combine(date.min + timedelta(days=1), at) + by).time()


def _cron(at: time) -> str:
    return f"{at.minute} {at.hour} * * 1-5"
