"""The quality rules one by one, their order, what a release undoes, and that no row is ever lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.actions import ActionKind, CorporateAction
from trading.errors import UnknownSession
from trading.quality import (
    RELEASABLE,
    DateStyle,
    Fault,
    QualityLimits,
    Reason,
    dates_by_neighbour,
    dates_of,
    judge_range,
    judge_session,
    micros_or_fault,
    read_date,
    row_id,
)
from trading.quotes import Quote, RawBar, SessionQuotes
from trading.sessions import Calendar
from trading.values import Symbol

FIRST = date(2010, 5, 3)  # a Monday
HOLIDAY = date(2010, 5, 12)
DAYS = tuple(FIRST + timedelta(days=offset) for offset in range(14))
CALENDAR = Calendar(
    name="TEST",
    timezone="America/New_York",
    open_time=time(9, 30),
    close_time=time(16),
    sessions=tuple(day for day in DAYS if day.weekday() < 5 and day != HOLIDAY),
    holidays={HOLIDAY: "Founders' Day"},
)
SESSIONS = CALENDAR.sessions
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = SESSIONS[:5]
LIMITS = QualityLimits(
    jump_bps_max=3000,
    history_sessions=6,
    coverage_bps_min=9000,
    coverage_sessions=5,
    coverage_missing_tolerated=1,
    stale_volume_min=1000,
    price_micros_max=10**13,
    volume_max=10**11,
)
SHA = "f" * 64


def bar(symbol: str = "IBM", on: date | str = TUESDAY, line: int = 2, **changes: Any) -> RawBar:
    session = on if isinstance(on, str) else on.isoformat()
    sound = RawBar("test", line, symbol, session, "100", "103.5", "99.25", "101", "250000")
    return sound._replace(**changes)


def quote(symbol: str = "IBM", on: date = MONDAY, close: int = 100) -> Quote:
    micros = (close * 1_000_000,) * 4
    return Quote(Symbol(symbol), on, *micros, 777_000, "test", SHA, CALENDAR.closes_at(on))


def judged(
    *raw: RawBar,
    session: date = TUESDAY,
    previous: Iterable[Quote] = (),
    actions: Iterable[CorporateAction] = (),
    released: Iterable[str] = (),
) -> SessionQuotes:
    return judge_session(
        session=session,
        raw=raw,
        calendar=CALENDAR,
        previous={row.symbol: row for row in previous},
        actions=actions,
        released=frozenset(released),
        limits=LIMITS,
        source_sha=SHA,
        known_at=CALENDAR.closes_at(session),
    )


def judged_range(
    raw: Iterable[RawBar], sessions: tuple[date, ...] = SESSIONS, released: Iterable[str] = ()
) -> tuple[SessionQuotes, ...]:
    return judge_range(
        sessions=sessions,
        raw=raw,
        calendar=CALENDAR,
        previous={},
        actions=(),
        released=frozenset(released),
        limits=LIMITS,
        source_sha=SHA,
    )


def reasons(quotes: SessionQuotes) -> list[str]:
    return [row.reason for row in quotes.quarantined]


def split(numerator: int, denominator: int, on: date = TUESDAY) -> CorporateAction:
    return CorporateAction(
        effective_on=on,
        symbol=Symbol("IBM"),
        kind=ActionKind.SPLIT,
        numerator=numerator,
        denominator=denominator,
    )


# ------------------------------------------------------------------------------------------- accepted


def test_a_sound_row_becomes_an_exact_quote() -> None:
    (accepted,) = judged(bar()).accepted

    assert accepted == Quote(
        symbol=Symbol("IBM"),
        session=TUESDAY,
        open_micros=100_000_000,
        high_micros=103_500_000,
        low_micros=99_250_000,
        close_micros=101_000_000,
        volume=250_000,
        source="test",
        source_sha=SHA,
        known_at=datetime(2010, 5, 4, 20, tzinfo=UTC),
        released=False,
    )


@pytest.mark.parametrize("symbol", ["TRUE", "NAN", "ON", "NA", "NULL", "BRK.B", "BF-B", "A", "005930"])
def test_a_symbol_stays_text_whatever_it_looks_like(symbol: str) -> None:
    assert [row.symbol for row in judged(bar(symbol)).accepted] == [symbol]


@pytest.mark.parametrize("text", ["2010-05-04", "20100504", "2010/05/04", "04-May-2010", "4-MAY-2010"])
def test_dates_are_read_in_every_style_that_says_its_order(text: str) -> None:
    assert read_date(text) == date(2010, 5, 4)


@pytest.mark.parametrize("text", ["05/04/2010", "13/04/2010", "5-4-2010", "04.05.2010"])
def test_a_date_that_does_not_say_its_order_is_ambiguous_until_a_style_is_named(text: str) -> None:
    fault = read_date(text)

    assert isinstance(fault, Fault)
    assert fault.reason is Reason.AMBIGUOUS_DATE
    assert "date_style" in fault.detail


def test_a_named_style_reads_the_same_text_both_ways() -> None:
    assert read_date("05/04/2010", DateStyle.MDY) == date(2010, 5, 4)
    assert read_date("05/04/2010", DateStyle.DMY) == date(2010, 4, 5)
    assert isinstance(read_date("13/04/2010", DateStyle.MDY), Fault)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("131.28", 131_280_000),
        ("131.280000000", 131_280_000),
        (" 5 ", 5_000_000),
        ("5.", 5_000_000),
        (".5", 500_000),
        ("-1.5", -1_500_000),
        ("1.5e2", 150_000_000),
        ("1e-6", 1),
        ("999999999999999999", 999_999_999_999_999_999_000_000),
    ],
)
def test_numbers_are_read_exactly(text: str, micros: int) -> None:
    assert micros_or_fault("open", text) == micros


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.MISSING_FIELD),
        ("   ", Reason.MISSING_FIELD),
        ("NaN", Reason.NOT_A_NUMBER),
        ("inf", Reason.NOT_A_NUMBER),
        ("1,234", Reason.NOT_A_NUMBER),
        ("1_000", Reason.NOT_A_NUMBER),
        ("0x10", Reason.NOT_A_NUMBER),
        ("१२", Reason.NOT_A_NUMBER),
        ("1e999999999", Reason.NOT_A_NUMBER),
        ("131.2799987", Reason.TOO_PRECISE),
        ("1e-7", Reason.TOO_PRECISE),
        ("1.00000000000000000000000000000001", Reason.TOO_PRECISE),
    ],
)
def test_what_is_no_exact_number_is_refused_with_its_reason(text: str, reason: Reason) -> None:
    fault = micros_or_fault("open", text)

    assert isinstance(fault, Fault)
    assert fault.reason is reason


# ----------------------------------------------------------------------------------------- quarantined


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (bar("Symbol", "Date", open="Open", high="High", low="Low", close="Close"), Reason.HEADER_ROW),
        (bar(on="yesterday"), Reason.UNREADABLE_DATE),
        (bar(on=""), Reason.UNREADABLE_DATE),
        (bar(on="2010-02-30"), Reason.UNREADABLE_DATE),
        (bar(on="04-Mai-2010"), Reason.UNREADABLE_DATE),
        (bar(on="05/04/2010"), Reason.AMBIGUOUS_DATE),
        (bar(on=date(2010, 5, 8)), Reason.OFF_SESSION),
        (bar(on=date(1999, 5, 8)), Reason.OFF_SESSION),
        (bar("ibm"), Reason.BAD_SYMBOL),
        (bar(""), Reason.BAD_SYMBOL),
        (bar("ABCDEFGHIJKLM"), Reason.BAD_SYMBOL),
        (bar(low=""), Reason.MISSING_FIELD),
        (bar(close="NaN"), Reason.NOT_A_NUMBER),
        (bar(volume="250000.5"), Reason.TOO_PRECISE),
        (bar(low="-99.25"), Reason.NON_POSITIVE_PRICE),
        (bar(low="0"), Reason.NON_POSITIVE_PRICE),
        (bar(volume="-1"), Reason.NEGATIVE_VOLUME),
        (bar(high="10000000.01"), Reason.TOO_LARGE),
        (bar(volume="100000000001"), Reason.TOO_LARGE),
        (bar(high="99"), Reason.HIGH_BELOW_LOW),
        (bar(open="103.51"), Reason.OPEN_ABOVE_HIGH),
        (bar(open="99.24"), Reason.OPEN_BELOW_LOW),
        (bar(close="103.51"), Reason.CLOSE_ABOVE_HIGH),
        (bar(close="99.24"), Reason.CLOSE_BELOW_LOW),
        (bar(volume="0"), Reason.ZERO_VOLUME),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(row: RawBar, reason: Reason) -> None:
    quotes = judged(bar("AAPL", line=1), row)

    assert [accepted.symbol for accepted in quotes.accepted] == ["AAPL"]
    assert reasons(quotes) == [reason]
    assert quotes.quarantined[0].line == row.line
    assert quotes.quarantined[0].detail


def test_of_several_reasons_the_first_in_the_list_is_told() -> None:
    worst_first = [
        (bar(on="never", low="", volume="0"), Reason.UNREADABLE_DATE),
        (bar("??", low="", volume="0"), Reason.BAD_SYMBOL),
        (bar(open="x", low="", volume="0"), Reason.MISSING_FIELD),
        (bar(open="1.1234567", low="x", volume="0"), Reason.NOT_A_NUMBER),
        (bar(open="-1", volume="-1"), Reason.NON_POSITIVE_PRICE),
        (bar(high="1", open="500"), Reason.HIGH_BELOW_LOW),
        (bar(open="500", close="500"), Reason.OPEN_ABOVE_HIGH),
        (bar(close="500", volume="0"), Reason.CLOSE_ABOVE_HIGH),
    ]

    assert [reasons(judged(bar("AAPL", line=1), row)) for row, _ in worst_first] == [
        [reason] for _, reason in worst_first
    ]


def test_a_row_of_another_session_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="line 2 is dated 2010-05-05: not a row of session 2010-05-04"):
        judged(bar(on=WEDNESDAY))
    with pytest.raises(UnknownSession, match="Founders' Day"):
        judged(session=HOLIDAY)


def test_an_equal_row_is_a_duplicate_and_the_first_stands() -> None:
    quotes = judged(bar(line=7, open="100.00"), bar(line=3))

    assert len(quotes.accepted) == 1
    assert [(row.reason, row.line) for row in quotes.quarantined] == [(Reason.DUPLICATE, 7)]


def test_of_conflicting_rows_none_stands_until_one_is_released() -> None:
    right, wrong = bar(line=3), bar(line=4, close="102")

    undecided = judged(right, wrong)
    decided = judged(right, wrong, released=[row_id(right)])
    both = judged(right, wrong, released=[row_id(right), row_id(wrong)])

    assert undecided.accepted == ()
    assert reasons(undecided) == [Reason.CONFLICTING] * 2
    assert [(row.close_micros, row.released) for row in decided.accepted] == [(101_000_000, True)]
    assert [row.line for row in decided.quarantined] == [4]
    assert both.accepted == ()


def test_a_broken_row_does_not_conflict_with_the_sound_one() -> None:
    quotes = judged(bar(line=3), bar(line=4, close="-101"))

    assert len(quotes.accepted) == 1
    assert reasons(quotes) == [Reason.NON_POSITIVE_PRICE]


@pytest.mark.parametrize(("volume", "stale"), [("999", False), ("1000", True), ("250000", True)])
def test_an_exact_repeat_of_the_last_accepted_bar_is_stale_from_some_volume_on(
    volume: str, *, stale: bool
) -> None:
    rows = [bar(on=MONDAY, volume=volume), bar(on=TUESDAY, volume=volume)]

    monday, tuesday = judged_range(rows, sessions=(MONDAY, TUESDAY))

    assert len(monday.accepted) == 1
    assert reasons(tuesday) == ([Reason.STALE_REPEAT] if stale else [])


@pytest.mark.parametrize(
    ("close", "accepted"), [("130", True), ("130.01", False), ("70", True), ("69.99", False)]
)
def test_a_close_moves_as_far_as_the_limit_and_no_further(close: str, *, accepted: bool) -> None:
    quotes = judged(bar(open=close, high=close, low=close, close=close), previous=[quote(close=100)])

    assert (len(quotes.accepted) == 1) is accepted
    assert reasons(quotes) == ([] if accepted else [Reason.UNEXPLAINED_JUMP])


def test_a_jump_that_is_a_split_is_accepted_only_with_the_action() -> None:
    halved = bar(open="50", high="51", low="49", close="50")

    told = judged(halved, previous=[quote()], actions=[split(2, 1)])
    told_later = judged(halved, previous=[quote()], actions=[split(2, 1, on=WEDNESDAY)])
    untold = judged(halved, previous=[quote()])

    assert len(told.accepted) == 1
    assert reasons(told_later) == reasons(untold) == [Reason.UNEXPLAINED_JUMP]
    assert "near a 2:1 split that no action tells" in untold.quarantined[0].detail
    assert "-50.0 %, limit 30 %" in untold.quarantined[0].detail


def test_splits_and_dividends_since_the_last_accepted_quote_all_count() -> None:
    special = CorporateAction(
        effective_on=TUESDAY, symbol=Symbol("IBM"), kind=ActionKind.DIVIDEND, dividend_micros=40_000_000
    )
    after_both = bar(on=WEDNESDAY, open="30", high="30", low="30", close="30")

    quotes = judged(
        after_both, session=WEDNESDAY, previous=[quote()], actions=[split(2, 1, on=WEDNESDAY), special]
    )

    assert len(quotes.accepted) == 1


def test_a_split_without_its_jump_is_told_as_such() -> None:
    quotes = judged(bar(), previous=[quote()], actions=[split(2, 1)])

    assert reasons(quotes) == [Reason.SPLIT_WITHOUT_JUMP]


def test_a_symbol_stays_out_after_a_jump_until_released_or_back() -> None:
    def at(price: str, on: date, volume: str) -> RawBar:
        return bar(on=on, open=price, high=price, low=price, close=price, volume=volume)

    rows = [
        at("100", MONDAY, "1000"),
        at("40", TUESDAY, "2000"),
        at("41", WEDNESDAY, "3000"),
        at("99", THURSDAY, "1"),
    ]
    week = (MONDAY, TUESDAY, WEDNESDAY, THURSDAY)

    doubted = judged_range(rows, sessions=week)
    believed = judged_range(rows, sessions=week, released=[row_id(rows[1])])

    assert [len(quotes.accepted) for quotes in doubted] == [1, 0, 0, 1]
    assert [len(quotes.accepted) for quotes in believed] == [1, 1, 1, 0]
    assert [quotes.accepted[0].released for quotes in believed[:3]] == [False, True, False]


def test_a_symbol_begins_anew_when_its_last_quote_is_forgotten() -> None:
    def close_of_40_on(session: date) -> SessionQuotes:
        row = bar(on=session, open="40", high="40", low="40", close="40")
        return judged(row, session=session, previous=[quote(on=MONDAY)])

    assert reasons(close_of_40_on(SESSIONS[6])) == [Reason.UNEXPLAINED_JUMP]
    assert len(close_of_40_on(SESSIONS[7]).accepted) == 1


# --------------------------------------------------------------------------------------------- release


@pytest.mark.parametrize(
    "row",
    [bar(open="500"), bar(high="1"), bar(close="99"), bar(volume="0"), bar(open="9", low="9", close="9")],
)
def test_a_released_row_is_accepted_and_says_so(row: RawBar) -> None:
    held = judged(row, previous=[quote()])
    freed = judged(row, previous=[quote()], released=[held.quarantined[0].row_id])

    assert held.quarantined[0].releasable
    assert [accepted.released for accepted in freed.accepted] == [True]
    assert freed.quarantined == ()


@pytest.mark.parametrize("row", [bar(close="NaN"), bar(low="-1"), bar("ibm"), bar(on="x"), bar(volume="-5")])
def test_a_row_that_cannot_be_a_quote_is_never_released(row: RawBar) -> None:
    held = judged(row)

    assert not held.quarantined[0].releasable
    assert judged(row, released=[row_id(row)]) == held


def test_a_release_of_a_row_that_needs_none_changes_nothing() -> None:
    assert judged(bar(), released=[row_id(bar())]) == judged(bar())


def test_releasable_says_what_a_release_can_undo() -> None:
    assert not RELEASABLE & {Reason.DUPLICATE, Reason.SESSION_MISSING_FOR_ALL, Reason.NON_POSITIVE_PRICE}


# ------------------------------------------------------------------------------------- gaps and fitness


def test_a_session_without_rows_is_missing_for_all_and_unfit() -> None:
    quotes = judged(previous=[quote("IBM"), quote("AAPL")])

    assert reasons(quotes) == [Reason.SESSION_MISSING_FOR_ALL]
    assert not quotes.quarantined[0].releasable
    assert quotes.quarantined[0].line == 0
    assert quotes.unfit_reason == "no row at all for 2010-05-04"


def test_a_symbol_is_missing_once_on_its_first_absent_session() -> None:
    both = [bar("AAPL", MONDAY), bar("IBM", MONDAY)]
    alone = [bar("AAPL", on, volume=str(1000 * on.day)) for on in (TUESDAY, THURSDAY)]

    week = judged_range([*both, *alone], sessions=(MONDAY, TUESDAY, WEDNESDAY, THURSDAY))

    assert [reasons(quotes) for quotes in week] == [
        [],
        [Reason.SESSION_MISSING_FOR_SYMBOL],
        [Reason.SESSION_MISSING_FOR_ALL],
        [],
    ]
    assert week[1].quarantined[0].symbol == "IBM"
    assert week[1].quarantined[0].detail == "last quoted 2010-05-03"


def test_a_symbol_whose_row_is_quarantined_is_not_missing() -> None:
    quotes = judged(bar("AAPL"), bar("IBM", close="NaN"), previous=[quote("IBM"), quote("AAPL")])

    assert reasons(quotes) == [Reason.NOT_A_NUMBER]


@pytest.mark.parametrize(("present", "fit"), [(20, True), (19, True), (18, True), (17, False), (1, False)])
def test_a_session_is_fit_with_nine_tenths_of_the_recent_symbols(present: int, *, fit: bool) -> None:
    recent = [quote(f"S{number}") for number in range(20)]
    rows = [bar(f"S{number}", line=number) for number in range(present)]

    assert (judged(*rows, previous=recent).unfit_reason == "") is fit


def test_one_missing_symbol_of_few_leaves_a_session_fit_but_none_accepted_does_not() -> None:
    two = [quote("AAPL"), quote("IBM")]

    assert judged(bar("AAPL"), previous=two).unfit_reason == ""
    assert "every row is quarantined" in judged(bar(close="NaN"), previous=[quote("IBM")]).unfit_reason


def test_a_symbol_that_left_long_ago_is_not_expected() -> None:
    gone = [quote(f"S{number}", on=MONDAY) for number in range(20)]

    quotes = judged(
        bar("AAPL", SESSIONS[8]), session=SESSIONS[8], previous=[*gone, quote("AAPL", on=SESSIONS[7])]
    )

    assert quotes.unfit_reason == ""


# ------------------------------------------------------------------------------------------ whole ranges


def test_rows_without_a_session_of_their_own_are_placed_with_the_one_before() -> None:
    rows = [
        bar(on=date(2010, 5, 8), line=2),  # a Saturday
        bar(on=HOLIDAY, line=3),
        bar(on=WEDNESDAY, line=4),
        bar(on="??", line=5),
        bar(on="??", line=1),
    ]

    placed = {
        quotes.session: [row.line for row in quotes.quarantined if row.line] for quotes in judged_range(rows)
    }

    assert {session: lines for session, lines in placed.items() if lines} == {
        WEDNESDAY: [5],
        FRIDAY: [2, 1],  # line 1 stands above everything: its neighbour is the row below
        date(2010, 5, 11): [3],
    }


def test_a_session_is_judged_alike_alone_and_within_its_range() -> None:
    rows = [
        bar(on=MONDAY, line=1),
        bar(on="??", line=2),
        bar(on=TUESDAY, line=3, volume="1"),
        bar(on="?", line=4),
    ]
    whole = judged_range(rows, sessions=(MONDAY, TUESDAY))
    dates = dates_by_neighbour(rows)

    alone = judge_range(
        sessions=(TUESDAY,),
        raw=[row for row, on in zip(rows, dates, strict=True) if on == TUESDAY],
        calendar=CALENDAR,
        previous={row.symbol: row for row in whole[0].accepted},
        actions=(),
        released=(),
        limits=LIMITS,
        source_sha=SHA,
    )

    assert alone == whole[1:]


def test_the_dates_of_a_session_reach_to_the_eve_of_the_next() -> None:
    assert dates_of(CALENDAR, first=THURSDAY, last=FRIDAY) == (THURSDAY, date(2010, 5, 9))
    assert dates_of(CALENDAR, first=SESSIONS[-1], last=SESSIONS[-1]) == (SESSIONS[-1], date.max)


def test_rows_with_no_session_to_stand_in_are_refused_not_lost() -> None:
    with pytest.raises(ValueError, match="1 rows and no session"):
        judged_range([bar()], sessions=())
    with pytest.raises(ValueError, match="dated 2010-05-05: not a row of session 2010-05-04"):
        judged_range([bar(on=WEDNESDAY)], sessions=(TUESDAY,))


def test_limits_that_switch_a_rule_off_are_refused() -> None:
    with pytest.raises(ValueError, match="coverage_bps_min 10001: must lie from 0 to 10000"):
        QualityLimits(
            jump_bps_max=3000,
            history_sessions=5,
            coverage_bps_min=10_001,
            coverage_sessions=5,
            coverage_missing_tolerated=1,
            stale_volume_min=1000,
            price_micros_max=10**13,
            volume_max=10**11,
        )


PRICES = st.sampled_from(["100", "101", "99.5", "250", "40", "0", "-3", "NaN", "", "1.1234567", "Open"])
ROWS = st.lists(
    st.builds(
        lambda *cells: cells,
        st.sampled_from(["AAPL", "IBM", "TRUE", "NAN", "ibm", ""]),
        st.sampled_from([*(day.isoformat() for day in DAYS), "05/04/2010", "20100504", "Date", ""]),
        PRICES,
        PRICES,
        PRICES,
        PRICES,
        st.sampled_from(["1000", "2000", "0", "-1", "7.5", "x"]),
    ),
    max_size=25,
)


def numbered(rows: list[tuple[Any, ...]]) -> list[RawBar]:
    return [RawBar("test", line, *cells) for line, cells in enumerate(rows, start=2)]


@given(rows=ROWS, released=st.sets(st.integers(0, 24)))
@settings(deadline=None)
def test_every_row_comes_out_exactly_once(rows: list[tuple[Any, ...]], released: set[int]) -> None:
    raw = numbered(rows)

    week = judged_range(raw, released=[row_id(raw[index]) for index in released if index < len(raw)])

    kept = Counter((row.symbol, row.session) for quotes in week for row in quotes.accepted)
    lines = Counter(row.line for quotes in week for row in quotes.quarantined if row.line)
    assert sum(kept.values()) + sum(lines.values()) == len(raw)
    assert set(lines.values()) <= {1}
    assert set(kept.values()) <= {1}
    for quotes in week:
        assert {quote.session for quote in quotes.accepted} <= {quotes.session}
        assert {row.session for row in quotes.quarantined} <= {quotes.session}


@given(rows=ROWS, seed=st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_changes_nothing_and_twice_is_the_same(
    rows: list[tuple[Any, ...]], seed: Any
) -> None:
    raw = numbered(rows)
    shuffled = raw.copy()
    seed.shuffle(shuffled)

    assert judged_range(raw) == judged_range(raw) == judged_range(shuffled)


@given(rows=ROWS)
@settings(deadline=None)
def test_what_is_accepted_obeys_every_rule(rows: list[tuple[Any, ...]]) -> None:
    week = judged_range(numbered(rows))

    last: dict[Symbol, Quote] = {}
    for row in [quote for quotes in week for quote in quotes.accepted]:
        assert 0 < row.low_micros <= min(row.open_micros, row.close_micros)
        assert max(row.open_micros, row.close_micros) <= row.high_micros
        assert row.volume > 0
        assert row.session in CALENDAR
        before = last.get(row.symbol)
        assert before is None or abs(row.close_micros / before.close_micros - 1) <= 0.3
        last[row.symbol] = row
