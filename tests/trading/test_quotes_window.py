"""The window of a decision: adjusted by hand, and blind to its own session and all that follows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.actions import ActionKind, CorporateAction
from trading.errors import LookAhead, UnknownSession
from trading.quotes import Panel, Quote, Window, adjusted_window, split_price
from trading.values import Symbol

A, B = Symbol("A"), Symbol("B")
DAYS = tuple(date(2013, 3, day) for day in (4, 5, 6, 7, 8, 11))
D = date(2013, 3, 12)


def quote(symbol, session, close, *, volume=1_000):
    micros = round(close * 1e6)
    return Quote(
        Symbol(symbol),
        session,
        micros - 1_000_000,
        micros + 2_000_000,
        micros - 2_000_000,
        micros,
        volume,
        "test",
        "sha",
        datetime(session.year, session.month, session.day, 21, tzinfo=UTC),
    )


def panel(**closes):
    return Panel.from_quotes(
        DAYS,
        [
            quote(symbol, day, close)
            for symbol, column in closes.items()
            for day, close in zip(DAYS, column, strict=True)
            if close
        ],
    )


def split(symbol, on, numerator, denominator):
    return CorporateAction(
        effective_on=on,
        symbol=Symbol(symbol),
        kind=ActionKind.SPLIT,
        numerator=numerator,
        denominator=denominator,
    )


def dividend(symbol, on, micros):
    return CorporateAction(
        effective_on=on, symbol=Symbol(symbol), kind=ActionKind.DIVIDEND, dividend_micros=micros
    )


CLOSES = [80.0, 84.0, 43.0, 44.0, 45.0, 46.0]


def test_prices_before_a_split_and_a_dividend_are_told_in_todays_money_by_hand():
    # 2:1 on the 6th; 0.86 paid on the 7th, of a close of 43.00: 2 %.
    actions = [split("A", DAYS[2], 2, 1), dividend("A", DAYS[3], 860_000)]

    window = panel(A=CLOSES).window_before(D, 6, actions=actions)

    assert window.sessions == DAYS
    assert window.close[:, 0] == pytest.approx([39.2, 41.16, 42.14, 44.0, 45.0, 46.0])
    assert window.open[:, 0] == pytest.approx([79 * 0.49, 83 * 0.49, 42 * 0.98, 43.0, 44.0, 45.0])
    assert window.high[0, 0] == pytest.approx(82 * 0.49)
    assert window.low[0, 0] == pytest.approx(78 * 0.49)
    assert window.volume[:, 0].tolist() == [2_000, 2_000, 1_000, 1_000, 1_000, 1_000]
    assert window.close_micros.tolist() == [46_000_000]
    assert window.quoted_on == (DAYS[-1],)


def test_returns_over_an_ex_date_are_total_returns():
    window = panel(A=CLOSES).window_before(
        D, 6, actions=[split("A", DAYS[2], 2, 1), dividend("A", DAYS[3], 860_000)]
    )
    moves = window.close[1:, 0] / window.close[:-1, 0] - 1

    assert moves[1] == pytest.approx(43 * 2 / 84 - 1)
    assert moves[2] == pytest.approx(44 / (43 - 0.86) - 1)


def test_an_action_of_the_decisions_own_open_is_known():
    window = panel(A=CLOSES).window_before(D, 6, actions=[split("A", D, 3, 2), dividend("A", D, 460_000)])

    # A dividend of 1 % and 3:2: the last close in today's shares has the split, not the dividend.
    assert window.close_micros.tolist() == [30_666_667]
    assert window.close[-1, 0] == pytest.approx(46 * 0.99 / 1.5)
    assert window.volume[-1, 0] == 1_500


@pytest.mark.parametrize(
    "action",
    [
        split("A", date(2013, 3, 13), 2, 1),
        dividend("A", date(2013, 3, 13), 10_000_000),
        split("A", DAYS[0], 2, 1),  # in all the prices of the window already
        split("A", date(2000, 1, 3), 2, 1),
        split("B", DAYS[2], 2, 1),
        dividend("A", DAYS[2], 84_000_000),  # all that a share was worth: no factor to be had
    ],
)
def test_later_actions_and_those_before_the_window_and_of_others_change_nothing(action):
    plain = panel(A=CLOSES).window_before(D, 6, actions=[])
    with_it = panel(A=CLOSES).window_before(D, 6, actions=[action])

    for name in ("open", "high", "low", "close", "volume", "close_micros"):
        assert np.array_equal(getattr(plain, name), getattr(with_it, name)), name


def test_actions_give_the_same_window_to_the_bit_in_whatever_order_they_are_told():
    actions = [dividend("A", day, 100_003 * number) for number, day in enumerate(DAYS[1:], start=1)]
    actions.append(split("A", DAYS[3], 3, 7))
    told = {
        panel(A=CLOSES).window_before(D, 6, actions=order).close.tobytes() for order in permutations(actions)
    }

    assert len(told) == 1


def test_a_window_holds_the_sessions_before_its_own_only():
    whole = panel(A=CLOSES)

    assert whole.window_before(DAYS[3], 2, actions=[]).sessions == DAYS[1:3]
    assert whole.window_before(DAYS[3], 99, actions=[]).sessions == DAYS[:3]
    assert whole.window_before(date(2013, 3, 9), 1, actions=[]).sessions == (DAYS[4],)
    empty = whole.window_before(DAYS[0], 5, actions=[])
    assert (empty.sessions, empty.symbols, empty.close.shape) == ((), (), (0, 0))


@pytest.mark.parametrize("session", [DAYS[-1], DAYS[2], date(2013, 3, 10)])
def test_a_window_that_reaches_its_own_session_is_refused(session):
    with pytest.raises(LookAhead, match=f"panel for {session} reaches 2013-03-11"):
        adjusted_window(panel(A=CLOSES), session=session, actions=[])


def test_a_window_cannot_be_made_by_hand_around_its_own_session():
    known = panel(A=CLOSES).window_before(D, 6, actions=[])
    fields = {name: getattr(known, name) for name in Window.__dataclass_fields__}

    with pytest.raises(LookAhead, match="window of 2013-03-11 reaches 2013-03-11"):
        Window(**{**fields, "session": DAYS[-1]})


def test_a_name_that_is_listed_later_is_not_known_before():
    later = panel(A=CLOSES, NEW=[None, None, None, 10.0, 11.0, 12.0])

    assert later.window_before(DAYS[3], 6, actions=[]).symbols == ("A",)
    assert later.window_before(DAYS[4], 6, actions=[]).symbols == ("A", "NEW")


def test_a_session_without_a_quote_is_unknown_and_the_last_close_is_told_with_its_day():
    window = panel(A=CLOSES, B=[20.0, None, 21.0, None, None, None]).window_before(
        D, 6, actions=[split("B", DAYS[4], 3, 1)]
    )
    column = window.column(B)

    assert np.isnan(window.close[:, column]).tolist() == [False, True, False, True, True, True]
    assert np.isnan(window.volume[:, column]).tolist() == [False, True, False, True, True, True]
    assert window.close[2, column] == pytest.approx(7.0)
    assert window.close_micros[column] == 7_000_000  # split since, so in today's shares
    assert window.quoted_on[column] == DAYS[2]


def test_a_symbol_that_is_not_in_the_window_has_no_column():
    with pytest.raises(KeyError, match="ZZZ"):
        panel(A=CLOSES).window_before(D, 6, actions=[]).column(Symbol("ZZZ"))


def test_nobody_can_write_into_a_window_or_a_panel():
    whole = panel(A=CLOSES)
    window = whole.window_before(D, 6, actions=[])

    for array in (window.open, window.high, window.low, window.close, window.volume, window.close_micros):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        whole.close[0] = 1


def test_a_panel_gives_back_its_quotes_of_a_session():
    whole = panel(A=CLOSES, B=[20.0, None, 21.0, None, None, None])
    known_at = datetime(2013, 3, 6, 21, tzinfo=UTC)

    first, second = whole.quotes_on(DAYS[2], known_at=known_at)

    assert first._replace(source="test", source_sha="sha") == quote("A", DAYS[2], 43.0)
    assert second.symbol == "B"
    assert [q.symbol for q in whole.quotes_on(DAYS[1], known_at=known_at)] == ["A"]
    with pytest.raises(UnknownSession):
        whole.quotes_on(D, known_at=known_at)
    with pytest.raises(UnknownSession):
        Panel.from_quotes(DAYS, [quote("A", D, 1.0)])


@pytest.mark.parametrize(
    ("price", "ratio", "new"),
    [
        (88_990_000, (2, 1), 44_495_000),
        (3, (2, 1), 2),  # 1.5, to even
        (5, (2, 1), 2),  # 2.5, to even
        (100, (3, 1), 33),
        (101, (3, 2), 67),
        (7, (1, 10), 70),
    ],
)
def test_a_price_is_split_to_the_nearest_micro_unit_ties_to_even(price, ratio, new):
    assert split_price(price, *ratio) == new


@given(st.integers(0, 10**13), st.integers(1, 50), st.integers(1, 50))
def test_a_split_price_is_the_rounded_fraction(price, numerator, denominator):
    assert split_price(price, numerator, denominator) == round(Fraction(price * denominator, numerator))
