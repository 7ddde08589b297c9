"""Exchange sessions: which dates trade, when they open and close, what comes before and after.

A calendar is a plain value made from a generated file (`config/calendars/`); reading it is
`resources/calendars.py`. No clock here: the moment comes in as an argument.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from trading.errors import UnknownSession


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Hold one exchange's sessions: `sessions` ascending, all exceptions by date.

    `open_at` and `close_at` are exchange wall-clock times; `early_closes` maps a session to its
    shorter day's close; `holidays` maps a weekday without a session to its name.
    """

    name: str
    timezone: str
    open_time: time
    close_time: time
    sessions: tuple[date, ...]
    early_closes: dict[date, time] = field(default_factory=dict)
    holidays: dict[date, str] = field(default_factory=dict)

    def __contains__(self, session: date) -> bool:
        """Say whether a date is a session."""
        index = bisect_left(self.sessions, session)
        return index < len(self.sessions) and self.sessions[index] == session

    def require(self, session: date) -> None:
        """Raise `UnknownSession` with the reason where a date is no session."""
        if session in self:
            return
        raise UnknownSession(f"{session} is no session of {self.name}: {self.why_closed(session)}")

    def why_closed(self, on: date) -> str:
        """Return why a date has no session: weekend, the holiday's name, or outside the calendar."""
        if not self.sessions[0] <= on <= self.sessions[-1]:
            return f"the calendar covers {self.sessions[0]} to {self.sessions[-1]}"
        if on.weekday() >= 5:  # noqa: PLR2004 - Saturday and Sunday
            return "weekend"
        return self.holidays.get(on, "holiday")

    def previous(self, session: date) -> date:
        """Return the last session before a date; raises `UnknownSession` before the first."""
        index = bisect_left(self.sessions, session)
        if index == 0:
            raise UnknownSession(f"{self.name} has no session before {session}: it starts {self.sessions[0]}")
        return self.sessions[index - 1]

    def next(self, session: date) -> date:
        """Return the first session after a date; raises `UnknownSession` past the last."""
        index = bisect_right(self.sessions, session)
        if index == len(self.sessions):
            raise UnknownSession(f"{self.name} has no session after {session}: it ends {self.sessions[-1]}")
        return self.sessions[index]

    def before(self, session: date, count: int) -> tuple[date, ...]:
        """Return up to `count` sessions strictly before a date, ascending."""
        index = bisect_left(self.sessions, session)
        return self.sessions[max(0, index - count) : index]

    def between(self, first: date, last: date) -> tuple[date, ...]:
        """Return the sessions from `first` to `last`, both included."""
        return self.sessions[bisect_left(self.sessions, first) : bisect_right(self.sessions, last)]

    def opens_at(self, session: date) -> datetime:
        """Return the UTC instant at which a session opens."""
        self.require(session)
        return self._instant(session, self.open_time)

    def closes_at(self, session: date) -> datetime:
        """Return the UTC instant at which a session closes, early closes included."""
        self.require(session)
        return self._instant(session, self.early_closes.get(session, self.close_time))

    def _instant(self, session: date, at: time) -> datetime:
        return datetime.combine(session, at, tzinfo=ZoneInfo(self.timezone)).astimezone(UTC)


def index_of(sessions: Sequence[date], session: date) -> int:
    """Return a session's place in an ascending sequence; raises `UnknownSession` where it is not in."""
    index = bisect_left(sessions, session)
    if index == len(sessions) or sessions[index] != session:
        raise UnknownSession(f"{session} is not among the {len(sessions)} sessions given")
    return index
