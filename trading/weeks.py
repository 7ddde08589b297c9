"""Weeks: ISO weeks of sessions, which of them are over, and which nobody has looked back on yet. Pure.

A week begins on Monday at midnight of its exchange and ends seven days later. What is told of one is
weekly_health.py and compliance.py; a week may have fewer sessions than five, or none at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from trading.errors import BadInput
from trading.sessions import Calendar

DAYS = 7

YEARS = range(1970, 2200)
"""The years of weeks that may be asked for: no calendar reaches further."""

_NAME = re.compile(r"([0-9]{4})-W([0-9]{2})", re.ASCII)


class Week(NamedTuple):
    """Hold one ISO 8601 week by its Monday."""

    monday: date

    @property
    def name(self) -> str:
        """Return the week as `2013-W09`."""
        year, week, _ = self.monday.isocalendar()
        return f"{year:04d}-W{week:02d}"

    @property
    def sunday(self) -> date:
        """Return its last day."""
        return self.monday + timedelta(days=DAYS - 1)

    @property
    def previous(self) -> Week:
        """Return the week before."""
        return Week(self.monday - timedelta(days=DAYS))

    def sessions(self, calendar: Calendar) -> tuple[date, ...]:
        """Return the sessions of an exchange in the week, ascending; none in a week without any."""
        return calendar.between(self.monday, self.sunday)

    def span(self, calendar: Calendar) -> tuple[datetime, datetime]:
        """Return the UTC instants from which and before which it is this week at an exchange."""
        zone = ZoneInfo(calendar.timezone)
        first, past = (
            datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
            for day in (self.monday, self.monday + timedelta(days=DAYS))
        )
        return first, past


def week_of_date(on: date) -> Week:
    """Return the week that a date is in."""
    return Week(on - timedelta(days=on.weekday()))


def week_from_text(text: str) -> Week:
    """Return the week of a name; raises `BadInput` where it is none, or its year has no such week."""
    found = _NAME.fullmatch(text)
    if found is not None and int(found[1]) not in YEARS:
        found = None
    refusal = f"week {text[:40]!a}: write it as 2013-W09, by ISO 8601"
    if found is None:
        raise BadInput(refusal)
    try:
        return Week(date.fromisocalendar(int(found[1]), int(found[2]), 1))
    except ValueError as error:
        raise BadInput(refusal) from error


def is_over(week: Week, calendar: Calendar, *, now: datetime) -> bool:
    """Say whether a week has ended at its exchange."""
    return week.span(calendar)[1] <= now


def missing_weeks(
    calendar: Calendar, *, first: date, now: datetime, made: Collection[str]
) -> tuple[Week, ...]:
    """Return the weeks that are over and not made yet, ascending, from the one of `first` on.

    A week without a session is one of them: that nothing was to be done is said, not left out.
    """
    missing = []
    week = week_of_date(first)
    while is_over(week, calendar, now=now):
        if week.name not in made:
            missing.append(week)
        week = Week(week.monday + timedelta(days=DAYS))
    return tuple(missing)
