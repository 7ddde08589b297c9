# ruff: noqa: INP001 - a script beside the files it writes, in no package
"""Write the calendar files of this folder from `exchange_calendars`, or compare them with it.

`python config/calendars/generate.py` writes; with `--check` it compares and exits 1 where a file differs.
A development tool: the product reads the JSON (resources/calendars.py) and never imports
exchange_calendars, which takes a second to import.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import exchange_calendars
from exchange_calendars import ExchangeCalendar

FOLDER = Path(__file__).parent
FIRST, LAST = date(2000, 1, 1), date(2030, 12, 31)
"""Both ends are passed on: without `end` the library stops a year from the day on which it is run."""

EXCHANGES = {"XNYS": "New York Stock Exchange"}

# The library gives closings outside the rules as bare dates; a reader wants to know why.
SPECIAL_CLOSINGS = {
    date(2001, 9, 11): "September 11 attacks",
    date(2001, 9, 12): "September 11 attacks",
    date(2001, 9, 13): "September 11 attacks",
    date(2001, 9, 14): "September 11 attacks",
    date(2004, 6, 11): "Funeral of President Reagan",
    date(2007, 1, 2): "Day of mourning for President Ford",
    date(2012, 10, 29): "Hurricane Sandy",
    date(2012, 10, 30): "Hurricane Sandy",
    date(2018, 12, 5): "Day of mourning for President George H. W. Bush",
    date(2025, 1, 9): "Day of mourning for President Carter",
}


def calendar_text(name: str) -> str:
    """Return a calendar file's text: hours, range, early closes and named weekday holidays.

    Sessions are not listed: they are the weekdays from `first_session` to `last_session` that are no
    holiday, which this function verifies before it answers.
    """
    calendar = exchange_calendars.get_calendar(name, start=FIRST.isoformat(), end=LAST.isoformat())
    sessions = [stamp.date() for stamp in calendar.sessions]
    if len(calendar.late_opens):
        raise SystemExit(
            f"{name} opens late on {list(calendar.late_opens)}: the format has no field for that"
        )
    holidays = _named_holidays(calendar, sessions)
    content = {
        "name": name,
        "exchange": EXCHANGES[name],
        "timezone": str(calendar.tz),
        "open_time": _only_time(calendar.open_times),
        "close_time": _only_time(calendar.close_times),
        "first_session": sessions[0].isoformat(),
        "last_session": sessions[-1].isoformat(),
        "early_closes": {
            stamp.date().isoformat(): _clock(calendar.session_close(stamp).tz_convert(calendar.tz).time())
            for stamp in calendar.early_closes
        },
        "holidays": {day.isoformat(): why for day, why in sorted(holidays.items())},
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _named_holidays(calendar: ExchangeCalendar, sessions: list[date]) -> dict[date, str]:
    trading = set(sessions)
    span = (sessions[-1] - sessions[0]).days + 1
    days = (sessions[0] + timedelta(days=offset) for offset in range(span))
    closed = [day for day in days if day.weekday() < 5 and day not in trading]  # noqa: PLR2004 - Monday to Friday
    if any(day.weekday() >= 5 for day in sessions):  # noqa: PLR2004 - Saturday and Sunday
        raise SystemExit(f"{calendar.name} trades on a weekend: the format cannot say so")
    rules = calendar.regular_holidays.holidays(sessions[0], sessions[-1], return_name=True)
    names = {stamp.date(): why for stamp, why in rules.items()} | SPECIAL_CLOSINGS
    unnamed = [day.isoformat() for day in closed if day not in names]
    if unnamed:
        raise SystemExit(f"{calendar.name} is closed on {unnamed}: name them in SPECIAL_CLOSINGS")
    return {day: names[day] for day in closed}


def _only_time(times: tuple[tuple[Any, time], ...]) -> str:
    if len(times) != 1:
        raise SystemExit(f"trading hours changed over time ({times}): the format holds one pair")
    return _clock(times[0][1])


def _clock(at: time) -> str:
    return at.strftime("%H:%M")


def main() -> int:
    """Write or check every calendar; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only, exit 1 on a difference")
    check = parser.parse_args().check
    differing = 0
    for name in EXCHANGES:
        path = FOLDER / f"{name}.json"
        text = calendar_text(name)
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{path} differs from exchange_calendars: run {Path(__file__).name}, review\n")
            differing += 1
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
