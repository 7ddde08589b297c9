"""When an order may be sent, and which session it is for, by how long it is to live.

The hours are those that Alpaca states for its orders. What an order does in its session is matching.py.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from trading.sessions import Calendar

OPEN_ONLY = "opg"
CLOSE_ONLY = "cls"

OPENING_BOOK_CLOSES_BEFORE = timedelta(minutes=2)
"""Orders for the opening auction are refused from 09:28 in New York."""
CLOSING_BOOK_CLOSES_BEFORE = timedelta(minutes=10)
"""Orders for the closing auction are refused from 15:50 in New York, and as much before an early close."""
BOOKS_OPEN_AGAIN = time(19, 0)
"""From then on, on the exchange's wall, both are taken for the next session."""


def session_for(time_in_force: str, *, now: datetime, calendar: Calendar) -> tuple[date | None, str]:
    """Return the session of an order sent at an instant, or `None` and why it is refused.

    An order for an auction is refused from its book's close until 19:00; any other is for the session under
    way, or the next one. Raises `UnknownSession` past the calendar's last session.
    """
    today = now.astimezone(ZoneInfo(calendar.timezone)).date()
    if today not in calendar:
        return calendar.next(today), ""
    if time_in_force not in {OPEN_ONLY, CLOSE_ONLY}:
        return (today if now < calendar.closes_at(today) else calendar.next(today)), ""
    if time_in_force == OPEN_ONLY:
        last = calendar.opens_at(today) - OPENING_BOOK_CLOSES_BEFORE
    else:
        last = calendar.closes_at(today) - CLOSING_BOOK_CLOSES_BEFORE
    if now < last:
        return today, ""
    again = datetime.combine(today, BOOKS_OPEN_AGAIN, tzinfo=ZoneInfo(calendar.timezone))
    if now >= again:
        return calendar.next(today), ""
    wall = last.astimezone(ZoneInfo(calendar.timezone))
    return None, (
        f"{time_in_force} orders are not accepted from {wall:%H:%M} to {BOOKS_OPEN_AGAIN:%H:%M} exchange time"
    )
