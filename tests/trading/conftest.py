"""What tests of the rules share: the exchange's calendar, the reviewed files, and windows made of closes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from resources.calendars import load_calendar
from trading.quotes import Panel, Quote
from trading.values import Symbol

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture(scope="session")
def config_dir():
    """Give the folder of the reviewed files."""
    return CONFIG


@pytest.fixture(scope="session")
def xnys():
    """Give the New York calendar."""
    return load_calendar("XNYS", CONFIG / "calendars")


def _sessions_before(session: date, count: int) -> list[date]:
    """Give weekdays in a row, the last one right before a session."""
    days: list[date] = []
    day = session
    while len(days) < count:
        day -= timedelta(days=1)
        if day.weekday() < 5:
            days.insert(0, day)
    return days


@pytest.fixture(scope="session")
def window_of():
    """Give a maker of windows from closes in currency units by symbol, `None` where there is no quote.

    Every bar opens at its close and reaches `spread` above and below it.
    """

    def make(closes, *, volumes=None, spread=0.0, session=date(2013, 3, 1), actions=()):
        days = _sessions_before(session, len(next(iter(closes.values()))))
        quotes = [
            Quote(
                Symbol(symbol),
                day,
                round(close * 1e6),
                round((close + spread) * 1e6),
                round((close - spread) * 1e6),
                round(close * 1e6),
                (volumes or {}).get(symbol, [1_000] * len(days))[at],
                "test",
                "sha",
                datetime.combine(day, datetime.min.time(), UTC),
            )
            for symbol, column in closes.items()
            for at, (day, close) in enumerate(zip(days, column, strict=True))
            if close is not None
        ]
        return Panel.from_quotes(days, quotes).window_before(session, len(days), actions=actions)

    return make
