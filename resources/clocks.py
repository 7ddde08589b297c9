"""The clocks: the system's, and the one of a simulated market whose days are the data's.

The word `datetime.now` appears here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import assert_never
from zoneinfo import ZoneInfo

from trading.clock import Phase
from trading.sessions import Calendar
from trading.timetable import DECIDE_BEFORE_OPEN, SETTLE_AFTER_CLOSE


def system_now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class SystemClock:
    """Tell the real time, whatever session is asked for."""

    def now(self, session: date, phase: Phase) -> datetime:  # noqa: ARG002 - real time is the same for all of them
        """Return the current instant."""
        return system_now()

    def today(self, calendar: Calendar, last_data_session: date) -> date:  # noqa: ARG002 - data does not make it today
        """Return the date on the exchange's wall; whether it is a session, the calendar says."""
        return system_now().astimezone(ZoneInfo(calendar.timezone)).date()


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedClock:
    """Tell the time of the session asked for: a past day runs as it would have, and again the same."""

    calendar: Calendar

    def now(self, session: date, phase: Phase) -> datetime:
        """Return 30 minutes before the open, the open, or 30 minutes after the close (early ones too)."""
        match phase:
            case Phase.DECIDE:
                return self.calendar.opens_at(session) - DECIDE_BEFORE_OPEN
            case Phase.EXECUTE:
                return self.calendar.opens_at(session)
            case Phase.SETTLE:
                return self.calendar.closes_at(session) + SETTLE_AFTER_CLOSE
            case _:
                assert_never(phase)

    def today(self, calendar: Calendar, last_data_session: date) -> date:  # noqa: ARG002 - the data makes it today
        """Return the data's last session."""
        return last_data_session
