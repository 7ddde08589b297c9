"""A source that is late, broken or unfit: the next one is used for that session, with the reason, or none."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.calendars import load_calendar
from resources.quality_rules import load_quality_limits
from trading.quality import Reading, judge_range, judge_sources
from trading.quotes import RawBar

CONFIG = Path(__file__).parents[2] / "config"
CALENDAR = load_calendar("XNYS", CONFIG / "calendars")
LIMITS = load_quality_limits(CONFIG / "quality.toml")
DAYS = CALENDAR.between(date(2013, 2, 25), date(2013, 3, 1))
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT", "XOM", "GE")


def bars(source, days=DAYS, symbols=SYMBOLS, price=100):
    return tuple(
        RawBar(source, line, symbol, str(day), *[str(price + DAYS.index(day))] * 4, "1000")
        for line, (day, symbol) in enumerate(((day, symbol) for day in days for symbol in symbols), start=1)
    )


def judged(*readings):
    return judge_sources(
        sessions=DAYS,
        readings=readings,
        calendar=CALENDAR,
        previous={},
        actions=(),
        released=(),
        limits=LIMITS,
    )


def test_a_source_that_is_well_is_used_and_the_other_one_is_not():
    chosen = judged(Reading("first", bars("first"), "1"), Reading("second", bars("second", price=7), "2"))

    assert {(one.used, one.fallback_reason) for one in chosen} == {("first", "")}
    assert {quote.source_sha for one in chosen for quote in one.quotes.accepted} == {"1"}


def test_a_session_that_has_not_come_yet_is_taken_from_the_next_source_and_it_recovers():
    late = bars("first", days=(*DAYS[:2], *DAYS[3:]))
    chosen = judged(Reading("first", late, "1"), Reading("second", bars("second"), "2"))

    assert [one.used for one in chosen] == ["first", "first", "second", "first", "first"]
    assert [one.fallback_reason for one in chosen] == ["", "", "first:read:late", "", ""]
    assert all(not one.quotes.unfit_reason for one in chosen)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"open": "", "close": ""}, "malformed"),
        ({"close": "NaN"}, "not a number"),
        ({"session": "29.13.2013"}, "no date"),
        ({"high": "1"}, "impossible"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_are_unfit_are_never_decided_on_while_another_source_is_well(row, name):
    broken = tuple(bar._replace(**row) if bar.session == str(DAYS[3]) else bar for bar in bars("first"))
    chosen = judged(Reading("first", broken, "1"), Reading("second", bars("second"), "2"))

    assert chosen[3].used == "second", name
    assert chosen[3].fallback_reason in {"first:read:unfit", "first:read:late"}
    assert [one.used for one in chosen if one.quotes.session != DAYS[3]] == ["first"] * 4


def test_yesterdays_bars_under_todays_date_are_not_believed():
    stale = tuple(
        RawBar("first", line, symbol, str(day), *["100"] * 4, "1000000000")
        for line, (day, symbol) in enumerate(((day, symbol) for day in DAYS for symbol in SYMBOLS), start=1)
    )
    chosen = judged(Reading("first", stale, "1"), Reading("second", bars("second"), "2"))

    assert [one.used for one in chosen] == ["first", *["second"] * 4]
    assert {one.fallback_reason for one in chosen[1:]} == {"first:read:unfit"}


def test_a_source_that_cannot_be_read_is_left_with_its_transports_word():
    chosen = judged(Reading("first", (), "", "time_out"), Reading("second", bars("second"), "2"))

    assert {(one.used, one.fallback_reason) for one in chosen} == {("second", "first:read:time_out")}


def test_where_no_source_is_fit_the_session_stays_unfit_with_one_reason():
    chosen = judged(
        Reading("first", (), "", "time_out"), Reading("second", bars("second", days=DAYS[:2]), "2")
    )

    assert [bool(one.quotes.unfit_reason) for one in chosen] == [False, False, True, True, True]


@given(st.sets(st.sampled_from(DAYS)))
def test_with_one_source_a_range_is_judged_as_ever(missing):
    rows = bars("first", days=[day for day in DAYS if day not in missing])
    alone = judge_range(
        sessions=DAYS,
        raw=rows,
        calendar=CALENDAR,
        previous={},
        actions=(),
        released=(),
        limits=LIMITS,
        source_sha="1",
    )

    assert tuple(one.quotes for one in judged(Reading("first", rows, "1"))) == alone
    assert {one.fallback_reason for one in judged(Reading("first", rows, "1"))} == {""}
