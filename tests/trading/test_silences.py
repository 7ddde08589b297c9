"""Silences: a strategy that had too little history is told from one that waited, and none from what it says.

On 90 sessions of two symbols that only rise; decisions read 30 sessions.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from resources.market_data.bokeh_stocks import BokehStocks
from resources.reviewed_config import book_config, read_books
from trading.quotes import Panel, Quote
from trading.session import run_sessions
from trading.silences import Listening, Silence
from trading.strategies.plugin import Strategy, buy, closes_of
from trading.values import Symbol

WINDOW, ALL = 30, 90
NAMES = ("AAPL", "IBM")


@pytest.fixture(scope="module")
def days(xnys):
    return xnys.between(date(2012, 6, 1), date(2013, 3, 1))[:ALL]


@pytest.fixture(scope="module")
def panel(days):
    prices = [100_000_000 + 50_000 * at + 30_000 * (at % 3) for at in range(ALL)]
    known_at = datetime(2012, 6, 1, tzinfo=UTC)
    return Panel.from_quotes(
        days,
        [
            Quote(Symbol(name), day, price, price, price, price, 10**6, "test", "sha", known_at)
            for name in NAMES
            for day, price in zip(days, prices, strict=True)
        ],
    )


@pytest.fixture(scope="module")
def book(xnys, config_dir):
    """Give `us_five` with a short window; its strategies are each test's."""
    line = read_books(config_dir / "books.toml")["us_five"]
    config = book_config("us_five", line, config_dir=config_dir, source=BokehStocks(), calendar=xnys)
    scanner = replace(config.rules.scanner, history_sessions=25)
    return replace(config, rules=replace(config.rules, window_sessions=WINDOW, scanner=scanner))


def speaking(name, able):
    """Give a strategy that buys whatever it is asked about and is able to speak of."""

    def signals(window, symbols):
        return {symbol: buy(0.5, "") for symbol in symbols if able(window, closes_of(window, symbol))}

    return Strategy(name=name, version="1", weight=1.0, parameters=(), signals=signals)


def with_history(name, needed):
    return speaking(name, lambda _, closes: len(closes) >= needed)


@pytest.fixture
def silences(book, panel, days, xnys):
    """Give who is silent in the sessions from one on, and what was decided in them."""

    def found(*strategies, begin, end=ALL):
        config = replace(book, rules=replace(book.rules, strategies=strategies))
        listening, of_market = Listening(config), {"panel": panel, "actions": (), "calendar": xnys}
        heard = run_sessions(listening.config, sessions=days[begin:end], **of_market)
        alone = run_sessions(config, sessions=days[begin:end], **of_market)

        assert [one.decided for one in heard] == [one.decided for one in alone]
        assert listening.config.rules.sha() == config.rules.sha()
        return listening.silences(days[begin:end], **of_market)

    return found


def test_a_strategy_that_speaks_in_the_first_session_is_not_silent(silences):
    assert silences(with_history("quick", 21), with_history("just", 30), begin=40, end=45) == ()


def test_a_look_back_longer_than_the_window_never_speaks_and_what_it_needs_is_told(silences):
    (silence,) = silences(with_history("quick", 21), with_history("patient", 41), begin=50, end=60)

    assert silence == Silence("patient", 10, 10, 41, 50, WINDOW)
    assert silence.is_whole
    assert silence.told == (
        "patient says nothing in any of 10 sessions: it needs 41 sessions of history, and a decision reads "
        "30 (`window_sessions` of config/rules.toml)"
    )


def test_a_range_that_begins_with_the_data_is_silent_until_there_is_history(silences):
    (silence,) = silences(with_history("late", 28), begin=22, end=40)

    assert silence == Silence("late", 6, 18, 28, 22, WINDOW)
    assert not silence.is_whole
    assert silence.told == (
        "late says nothing in the first 6 of 18 sessions: it needs 28 sessions of history, and the data has "
        "22 before the range"
    )


def test_a_strategy_that_had_the_history_and_waited_is_not_named(silences, days):
    waiting = speaking("waiting", lambda window, _: window.session >= days[50])

    assert silences(waiting, begin=40, end=55) == ()


def test_a_strategy_that_never_speaks_is_named_also_where_no_history_would_help(silences):
    (silence,) = silences(speaking("mute", lambda *_: False), begin=40, end=45)

    assert silence == Silence("mute", 5, 5, None, 40, WINDOW)
    assert "says nothing in any of 5 sessions, nor would it with 44 sessions of history" in silence.told


def test_what_a_strategy_raises_on_a_history_that_no_decision_gives_it_ends_nothing(silences):
    def brittle(window, closes):
        if len(closes) > WINDOW:
            raise IndexError
        return False

    (silence,) = silences(speaking("brittle", brittle), begin=40, end=45)
    assert silence.needed is None
