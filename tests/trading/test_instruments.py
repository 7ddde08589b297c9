"""One instrument, whatever it is called: notations, names that change, names that others use again."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.instruments import Instrument, Instruments, Name, UnknownInstrument, spelled
from trading.values import Symbol

CHANGED = date(2022, 6, 9)
META = Instrument(
    symbol=Symbol("FB"),
    names=(
        Name(name=Symbol("FB"), until=CHANGED - timedelta(days=1)),
        Name(name=Symbol("META"), since=CHANGED),
    ),
)
FUND = Instrument(
    symbol=Symbol("METV"),
    names=(
        Name(name=Symbol("META"), since=date(2021, 6, 30), until=date(2022, 1, 30)),
        Name(name=Symbol("METV"), since=date(2022, 1, 31)),
    ),
)
GONE = Instrument(
    symbol=Symbol("LEH"),
    names=(Name(name=Symbol("LEH"), until=date(2008, 9, 17)),),
    delisted_on=date(2008, 9, 17),
)
BOTH = Instruments(listed=(META, FUND, GONE))
DAYS = st.dates(date(2000, 1, 1), date(2030, 12, 31))


@pytest.mark.parametrize(
    ("texts", "symbol"),
    [
        (("BRK.B", "BRK/B", "BRK-B", "BRK B", " BRK.B "), "BRK.B"),
        (("BF.B", "BF-B"), "BF.B"),
        (("A005930", "005930"), "005930"),
        (("AAPL", " AAPL"), "AAPL"),
        (("T",), "T"),
    ],
)
def test_two_notations_are_one_instrument(texts, symbol):
    assert {spelled(text) for text in texts} == {symbol}


@given(st.text(alphabet="ABCZ0129./- ", max_size=9))
def test_a_notation_is_written_once_and_stays(text):
    assert spelled(spelled(text)) == spelled(text)


@pytest.mark.parametrize(
    ("text", "on", "symbol"),
    [
        ("FB", date(2013, 3, 1), "FB"),
        ("FB", date(2022, 6, 8), "FB"),
        ("META", CHANGED, "FB"),
        ("META", date(2022, 1, 30), "METV"),
        ("METV", date(2022, 1, 31), "METV"),
        ("META", date(2022, 3, 1), "META"),
        ("IBM", date(2013, 3, 1), "IBM"),
        ("LEH", date(2008, 9, 17), "LEH"),
    ],
)
def test_a_name_means_who_is_called_so_on_that_day(text, on, symbol):
    assert BOTH.symbol_of(text, on) == symbol


@pytest.mark.parametrize(
    ("text", "on"), [("FB", CHANGED), ("FB", date(2030, 1, 1)), ("LEH", date(2008, 9, 18))]
)
def test_a_name_that_somebody_else_uses_now_continues_nobodys_history(text, on):
    with pytest.raises(UnknownInstrument, match="give it a symbol of its own"):
        BOTH.symbol_of(text, on)


@given(DAYS)
def test_what_an_instrument_is_called_leads_back_to_it(on):
    for instrument in BOTH.listed:
        name = BOTH.name_of(instrument.symbol, on)
        assert name is None or BOTH.symbol_of(name, on) == instrument.symbol
    assert BOTH.name_of(Symbol("IBM"), on) == "IBM"


def test_a_position_is_held_through_a_change_of_name_and_told_to_a_broker_by_the_days_name():
    assert BOTH.name_of(Symbol("FB"), CHANGED - timedelta(days=1)) == "FB"
    assert BOTH.name_of(Symbol("FB"), CHANGED) == "META"
    assert BOTH.name_of(Symbol("LEH"), date(2009, 1, 2)) is None


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (lambda: Instrument(symbol=Symbol("A"), names=()), "has no name"),
        (
            lambda: Instrument(symbol=Symbol("A"), names=(Name(name=Symbol("A")), Name(name=Symbol("B")))),
            "both its name",
        ),
        (
            lambda: Instrument(
                symbol=Symbol("A"), names=(Name(name=Symbol("A")),), delisted_on=date(2020, 1, 1)
            ),
            "has a name after it",
        ),
        (
            lambda: Instrument(
                symbol=Symbol("A"), names=(Name(name=Symbol("A"), since=CHANGED, until=date(2020, 1, 1)),)
            ),
            "before it begins",
        ),
        (lambda: Instruments(listed=(META, META)), "symbol of two instruments"),
        (
            lambda: Instruments(
                listed=(META, Instrument(symbol=Symbol("X"), names=(Name(name=Symbol("META")),)))
            ),
            "META: is the name of FB and of X",
        ),
    ],
)
def test_names_that_contradict_each_other_cannot_exist(made, rule):
    with pytest.raises(ValueError, match=rule):
        made()
