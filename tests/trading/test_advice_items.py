"""What an advisor is shown of a session, and up to when anybody may have known it."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from resources.calendars import load_calendar
from trading.advice_items import cut_off_of

CALENDAR = load_calendar("XNYS", Path(__file__).resolve().parents[2] / "config" / "calendars")
SESSION = date(2013, 2, 28)
OPEN = CALENDAR.opens_at(SESSION)


@pytest.mark.parametrize(
    ("now", "cut_off"),
    [
        (OPEN - timedelta(minutes=30), OPEN - timedelta(minutes=30)),
        (OPEN, OPEN),
        (OPEN + timedelta(hours=5), OPEN),
        (OPEN + timedelta(days=900), OPEN),
    ],
)
def test_who_decides_late_is_told_no_more_than_was_known_at_the_open(now, cut_off):
    assert cut_off_of(SESSION, now=now, calendar=CALENDAR) == cut_off
