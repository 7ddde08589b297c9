"""The calendar file against exchange_calendars, an independent account of the same exchange."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import exchange_calendars
import pytest

from resources.calendars import load_calendar
from trading.errors import BadSetting, UnknownSession

ROOT = Path(__file__).parents[2]
CALENDARS = ROOT / "config" / "calendars"
NEW_YORK = load_calendar("XNYS", CALENDARS)


@pytest.fixture(scope="module")
def oracle() -> Any:
    with warnings.catch_warnings():
        # The library reads time zones in a way that pandas 4 will change; its sessions are right on pandas 3.
        warnings.filterwarnings("ignore", message="Series.values", category=DeprecationWarning)
        return exchange_calendars.get_calendar("XNYS", start="2000-01-01", end="2027-12-31")


def test_sessions_are_those_of_the_exchange_for_28_years(oracle: Any) -> None:
    expected = tuple(stamp.date() for stamp in oracle.sessions)

    assert NEW_YORK.between(date(2000, 1, 1), date(2027, 12, 31)) == expected
    assert len(expected) > 7000


def test_every_session_opens_and_closes_when_the_exchange_does(oracle: Any) -> None:
    for session, row in zip(oracle.sessions, oracle.schedule.itertuples(), strict=True):
        day = session.date()

        assert NEW_YORK.opens_at(day) == row.open.to_pydatetime(), day
        assert NEW_YORK.closes_at(day) == row.close.to_pydatetime(), day


def test_early_closes_are_those_of_the_exchange(oracle: Any) -> None:
    ours = [day for day in NEW_YORK.early_closes if day.year <= 2027]

    assert ours == [stamp.date() for stamp in oracle.early_closes]
    assert NEW_YORK.closes_at(date(2012, 11, 23)) == datetime(2012, 11, 23, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("session", "opens", "closes"),
    [
        (date(2012, 3, 9), 14, 21),  # Friday in winter time
        (date(2012, 3, 12), 13, 20),  # Monday after clocks went forward
        (date(2012, 11, 2), 13, 20),  # Friday in summer time
        (date(2012, 11, 5), 14, 21),  # Monday after clocks went back
    ],
)
def test_hours_follow_new_york_over_both_clock_changes(session: date, opens: int, closes: int) -> None:
    day = (session.year, session.month, session.day)

    assert NEW_YORK.opens_at(session) == datetime(*day, opens, 30, tzinfo=UTC)
    assert NEW_YORK.closes_at(session) == datetime(*day, closes, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("closed_on", "why"),
    [
        (date(2001, 9, 13), "September 11 attacks"),
        (date(2012, 10, 30), "Hurricane Sandy"),
        (date(2004, 6, 11), "Funeral of President Reagan"),
        (date(2009, 9, 7), "Labor Day"),
        (date(2010, 8, 21), "weekend"),
        (date(1999, 12, 31), "the calendar covers 2000-01-03 to 2030-12-31"),
    ],
)
def test_a_closed_day_says_why(closed_on: date, why: str) -> None:
    with pytest.raises(UnknownSession, match=why):
        NEW_YORK.require(closed_on)


def test_every_holiday_is_a_named_weekday_without_a_session() -> None:
    for day, why in NEW_YORK.holidays.items():
        assert day.weekday() < 5
        assert why
        assert day not in NEW_YORK


def test_a_market_without_calendar_is_named_with_its_file_and_the_known_ones() -> None:
    with pytest.raises(
        BadSetting, match=r"no calendar for market 'XKRX': .*XKRX\.json does not exist; known: XNYS"
    ):
        load_calendar("XKRX", CALENDARS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ('{"holidays": {}}', "'name' is missing"),
        ('{"holidays": {"2001-13-01": "Never"}}', "month must be in 1..12"),
    ],
)
def test_a_broken_calendar_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "XNYS.json").write_text(content, encoding="utf-8")

    with pytest.raises(BadSetting, match=message) as caught:
        load_calendar("XNYS", tmp_path)

    assert str(tmp_path / "XNYS.json") in str(caught.value)


def test_a_calendar_that_was_edited_by_hand_is_found_by_the_generator(tmp_path: Path) -> None:
    for name in ("generate.py", "XNYS.json"):
        shutil.copy(CALENDARS / name, tmp_path / name)
    check = [sys.executable, str(tmp_path / "generate.py"), "--check"]
    untouched = subprocess.run(check, check=False, capture_output=True, text=True)
    path = tmp_path / "XNYS.json"
    path.write_text(path.read_text(encoding="utf-8").replace("2012-10-30", "2012-10-31"), encoding="utf-8")

    edited = subprocess.run(check, check=False, capture_output=True, text=True)

    assert untouched.returncode == 0, untouched.stderr
    assert edited.returncode == 1
    assert "differs from exchange_calendars" in edited.stderr
