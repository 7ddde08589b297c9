"""What a decision may see: sessions before its own, complete, unaltered and known by its open."""

import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.calendars import load_calendar
from resources.lake.store import Lake
from resources.lake.window import LakeQuotes, LakeWindowReader
from trading.actions import ActionKind, CorporateAction, actions_sha
from trading.errors import BadInput, LakeError, LookAhead, UnfitQuotes, UnknownSession
from trading.quotes import Panel, Quote, adjusted_window, inputs_digest
from trading.values import Symbol

CALENDAR = load_calendar("XNYS", Path("config/calendars").absolute())
FIRST = date(2013, 2, 15)  # a Friday before a holiday: Monday the 18th is Presidents' Day
SESSION = date(2013, 2, 28)
DAYS = CALENDAR.between(FIRST, SESSION)
ASSET = ("us_five", "market_quotes")
SPLIT = CorporateAction(
    effective_on=date(2013, 2, 27), symbol=Symbol("AAPL"), kind=ActionKind.SPLIT, numerator=2
)


def quote(symbol, session, close=100_000_000):
    return Quote(
        Symbol(symbol),
        session,
        close - 1,
        close + 2,
        close - 3,
        close,
        1000 + session.day,
        "test",
        "f" * 64,
        CALENDAR.closes_at(session),
    )


def quotes_of(day):
    symbols = ("AAPL", "IBM") if day.day % 2 else ("AAPL", "GOOG", "IBM")
    return tuple(quote(symbol, day, 100_000_000 + 1000 * day.day) for symbol in symbols)


def put(lake, day, quotes=None, **options):
    return lake.write_rows(
        ASSET, day.isoformat(), Quote, quotes_of(day) if quotes is None else quotes, **options
    )


@pytest.fixture
def lake(tmp_path):
    filled = Lake(tmp_path / "lake")
    for day in DAYS:
        put(filled, day)
    return filled


def reader(lake, actions=(), starts_on=FIRST):
    return LakeWindowReader(
        lake=lake, book="us_five", calendar=CALENDAR, starts_on=starts_on, actions=actions
    )


def assert_equal_windows(found, expected):
    for name in ("open", "high", "low", "close", "volume", "close_micros"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
    for name in ("session", "sessions", "symbols", "quoted_on"):
        assert getattr(found, name) == getattr(expected, name)


def test_a_window_is_the_adjusted_panel_of_the_sessions_before(lake):
    window = reader(lake, [SPLIT]).window_before(SESSION, 5)

    days = CALENDAR.before(SESSION, 5)
    panel = Panel.from_quotes(days, [row for day in days for row in quotes_of(day)])
    assert_equal_windows(window, adjusted_window(panel, session=SESSION, actions=[SPLIT]))
    assert window.sessions == days
    assert window.close[0, 0] == (100_000_000 + 1000 * days[0].day) / 1e6 / 2


def test_a_window_names_each_file_that_it_was_read_from(lake):
    window = reader(lake).window_before(SESSION, 3)

    days = CALENDAR.before(SESSION, 3)
    files = [(day.isoformat(), lake.pointer(ASSET, day.isoformat()).sha) for day in days]
    assert window.inputs == (*files, ("corporate_actions", actions_sha([])))


def test_an_action_after_the_session_changes_nothing_of_what_a_decision_was_made_on(lake):
    later = replace(SPLIT, effective_on=CALENDAR.next(SESSION))

    assert (
        reader(lake, [SPLIT, later]).window_before(SESSION, 5).inputs
        == reader(lake, [SPLIT]).window_before(SESSION, 5).inputs
    )
    assert (
        reader(lake, [SPLIT]).window_before(SESSION, 5).inputs
        != reader(lake, []).window_before(SESSION, 5).inputs
    )


def test_the_digest_of_inputs_changes_with_every_file_of_the_window(lake):
    before = inputs_digest(reader(lake).window_before(SESSION, 3).inputs)
    put(lake, CALENDAR.before(SESSION, 3)[0], [quote("AAPL", CALENDAR.before(SESSION, 3)[0], 5_000_000)])

    assert inputs_digest(reader(lake).window_before(SESSION, 3).inputs) != before


@pytest.mark.parametrize("what", ["removed", "emptied", "altered", "corrupt"])
def test_a_window_does_not_change_with_its_own_sessions_bars_or_later_ones(lake, what):
    before = reader(lake).window_before(date(2013, 2, 26), 5)
    for day in CALENDAR.between(date(2013, 2, 26), SESSION):
        file = Path(lake.place(ASSET, day.isoformat(), lake.pointer(ASSET, day.isoformat()).sha))
        match what:
            case "removed":
                file.unlink()
                file.with_name("current.json").unlink()
            case "emptied":
                put(lake, day, ())
            case "altered":
                put(lake, day, [quote("AAPL", day, 7_000_000)])
            case "corrupt":
                file.write_bytes(b"")

    after = reader(lake).window_before(date(2013, 2, 26), 5)

    assert_equal_windows(after, before)
    assert after.inputs == before.inputs


def test_a_file_that_holds_the_decisions_own_session_is_refused(lake):
    put(lake, date(2013, 2, 26), [*quotes_of(date(2013, 2, 26)), quote("AAPL", SESSION)])

    with pytest.raises(
        LookAhead, match="stored for 2013-02-26 hold one of 2013-02-28: a decision for 2013-02-28"
    ):
        reader(lake).window_before(SESSION, 5)


def test_a_file_that_holds_another_earlier_session_is_refused(lake):
    put(lake, date(2013, 2, 26), quotes_of(date(2013, 2, 25)))

    with pytest.raises(
        LakeError, match="stored for 2013-02-26 hold one of 2013-02-25; run `trading quotes import"
    ):
        reader(lake).window_before(SESSION, 5)


def test_a_quote_that_was_not_known_at_the_open_is_refused(lake):
    day = CALENDAR.previous(SESSION)
    late = quote("AAPL", day)._replace(known_at=CALENDAR.opens_at(SESSION) + timedelta(microseconds=1))
    put(lake, day, [late])

    with pytest.raises(LookAhead, match=r"known at 2013-02-28T14:30:00\.000001\+00:00 only"):
        reader(lake).window_before(SESSION, 5)

    put(lake, day, [late._replace(known_at=CALENDAR.opens_at(SESSION))])
    assert reader(lake).window_before(SESSION, 5).sessions[-1] == day


def test_a_missing_last_session_is_refused_with_the_command_that_imports_it(tmp_path):
    lake = Lake(tmp_path / "lake")
    for day in DAYS[:-2]:
        put(lake, day)

    with pytest.raises(UnfitQuotes) as refusal:
        reader(lake).window_before(SESSION, 5)

    assert str(refusal.value) == (
        "us_five: quotes of 2013-02-27, the last session before 2013-02-28, are not in the lake; "
        "run `trading quotes import --book us_five --through 2013-02-27`"
    )


def test_an_unfit_last_session_is_refused_with_its_reason(lake):
    put(lake, date(2013, 2, 27), extra={"unfit_reason": "2 of 524 symbols"})

    with pytest.raises(UnfitQuotes, match=r"quotes of 2013-02-27, .* are unfit: 2 of 524 symbols"):
        reader(lake).window_before(SESSION, 5)


def test_an_earlier_unfit_session_is_in_the_window_with_what_was_accepted(lake):
    put(lake, date(2013, 2, 26), (), extra={"unfit_reason": "nothing came"})

    window = reader(lake).window_before(SESSION, 3)

    assert window.sessions == CALENDAR.before(SESSION, 3)
    assert np.isnan(window.close[1]).all()
    assert window.quoted_on[window.column("IBM")] == date(2013, 2, 27)


def test_sessions_that_were_never_imported_are_refused_with_their_count(tmp_path):
    lake = Lake(tmp_path / "lake")
    for day in DAYS:
        if day not in {date(2013, 2, 21), date(2013, 2, 25)}:
            put(lake, day)

    with pytest.raises(UnfitQuotes, match=r"quotes of 2 of the 8 sessions .* the first of 2013-02-21"):
        reader(lake).window_before(SESSION, 20)


def test_a_window_is_shorter_where_the_source_starts(lake):
    assert reader(lake).window_before(SESSION, 100).sessions == DAYS[:-1]


def test_a_decision_in_the_sources_first_session_has_no_quotes(lake):
    with pytest.raises(UnfitQuotes, match="no quotes before 2013-02-15: the source starts 2013-02-15"):
        reader(lake).window_before(FIRST, 5)


@pytest.mark.parametrize(
    ("day", "reason"), [(date(2013, 2, 18), "Presid|Washington|holiday"), (date(2013, 2, 23), "weekend")]
)
def test_a_day_without_a_session_has_no_window(lake, day, reason):
    with pytest.raises(UnknownSession, match=reason):
        reader(lake).window_before(day, 5)


def test_a_window_of_nothing_is_refused(lake):
    with pytest.raises(BadInput, match="window of 0 sessions before 2013-02-28: at least 1"):
        reader(lake).window_before(SESSION, 0)


def test_a_corrupt_file_in_the_window_is_refused(lake):
    pointer = lake.pointer(ASSET, "2013-02-22")
    Path(lake.place(ASSET, "2013-02-22", pointer.sha)).write_bytes(b"PAR1")

    with pytest.raises(LakeError, match="content does not match its name"):
        reader(lake).window_before(SESSION, 5)


def test_a_table_of_another_schema_is_refused_by_its_column(lake):
    lake.write_rows(ASSET, "2013-02-27", CorporateAction, [SPLIT])

    with pytest.raises(
        LakeError, match="us_five/market_quotes 2013-02-27: table of Quote: column session is missing"
    ):
        reader(lake).window_before(SESSION, 5)


def test_actions_come_from_the_lake_where_none_are_given_and_are_named_among_the_inputs(lake):
    lake.write_rows(("us_five", "corporate_actions"), None, CorporateAction, [SPLIT])

    window = reader(lake, None).window_before(SESSION, 5)

    assert_equal_windows(window, reader(lake, [SPLIT]).window_before(SESSION, 5))
    assert window.inputs[-1] == ("corporate_actions", actions_sha([SPLIT]))


def test_a_book_without_imported_actions_decides_nothing(lake):
    with pytest.raises(LakeError, match="us_five/corporate_actions: not materialized yet"):
        reader(lake, None).window_before(SESSION, 5)


@settings(max_examples=25, deadline=None)  # it writes eight files: how long that takes is the disk's
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(DAYS[:-1]), st.sampled_from(["AAPL", "BRK.B", "NAN", "ON", "TRUE"])),
        st.integers(1, 2**62),
        max_size=30,
    )
)
def test_the_panel_is_the_one_that_its_quotes_make(tmp_path_factory, closes):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    rows = [quote(symbol, day)._replace(close_micros=close) for (day, symbol), close in closes.items()]
    for day in DAYS[:-1]:
        put(lake, day, sorted(row for row in rows if row.session == day))

    window = reader(lake).window_before(SESSION, 100)

    expected = adjusted_window(Panel.from_quotes(DAYS[:-1], rows), session=SESSION, actions=())
    assert_equal_windows(window, expected)


def test_a_window_is_read_without_importing_pandas_anew(lake):
    before = "pandas" in sys.modules

    reader(lake).window_before(SESSION, 5)

    assert ("pandas" in sys.modules) == before


def test_quotes_of_one_session_are_read_for_marks(lake):
    assert LakeQuotes(lake=lake, book="us_five").quotes_on(SESSION) == quotes_of(SESSION)


def test_quotes_of_a_session_that_is_not_in_the_lake_are_refused_with_the_command(lake):
    with pytest.raises(LakeError, match="run `trading quotes import --book us_five --through 2013-03-01`"):
        LakeQuotes(lake=lake, book="us_five").quotes_on(date(2013, 3, 1))


def test_quotes_of_another_session_are_no_marks(lake):
    put(lake, SESSION, quotes_of(date(2013, 2, 27)))

    with pytest.raises(LakeError, match="stored for 2013-02-28 hold one of 2013-02-27"):
        LakeQuotes(lake=lake, book="us_five").quotes_on(SESSION)
