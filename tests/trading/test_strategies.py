"""Strategies: what the shipped two say by hand, and how one that breaks a rule is named."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from trading.errors import BadSetting
from trading.strategies.plugin import Signal, Strategy, buy, closes_of, load_strategy, misfit_of, sell
from trading.values import Symbol

A, B = Symbol("A"), Symbol("B")
MOMENTUM = load_strategy("momentum", weight=0.5, parameters={"lookback": 4, "skip": 1, "full": 0.1})
REVERSION = load_strategy(
    "mean_reversion", weight=0.5, parameters={"sessions": 4, "calm": 0.5, "stretched": 1.5}
)


@pytest.fixture
def window(window_of):
    return window_of({"A": [10.0] * 25, "B": [20.0] * 25})


@pytest.fixture
def installed(monkeypatch):
    """Give a way to add a strategy's module for one test."""

    def install(name, **content):
        module = ModuleType(f"trading.strategies.{name}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


def strategy(signals):
    return Strategy(name="mine", version="1", weight=1.0, parameters=(), signals=signals)


def test_momentum_buys_what_rose_and_sells_what_fell_the_last_sessions_left_out(window_of):
    # Four sessions before the last close stands 100; one session before it 104 or 95.
    window = window_of({"UP": [100.0, 0.5, 0.5, 104.0, 1.0], "DOWN": [100.0, 0.5, 0.5, 95.0, 999.0]})
    found = MOMENTUM.opinions(window, [Symbol("UP"), Symbol("DOWN")])

    assert found["UP"].direction == 1
    assert found["UP"].confidence == 0.4  # 4 % of the 10 % at which it is sure
    assert found["UP"].why == "+4.0% over 4 sessions"
    assert (found["DOWN"].direction, found["DOWN"].confidence) == (-1, 0.5)


def test_momentum_is_silent_where_the_history_is_too_short(window_of):
    short = window_of({"A": [100.0, 101.0, 102.0, 103.0], "B": [1.0, 1.0, 1.0, 1.0]})

    assert MOMENTUM.opinions(short, [A]) == {}


@pytest.mark.parametrize(
    "wrong", [{"lookback": -5}, {"lookback": 1}, {"skip": 4}, {"skip": -1}, {"full": -0.1}]
)
def test_momentum_that_would_look_the_other_way_is_refused(window_of, wrong):
    # A look-back that ends before what is skipped reads the move backwards, and one below zero an old close.
    parameters = {**dict(MOMENTUM.parameters), **wrong}
    backwards = load_strategy("momentum", weight=0.5, parameters=parameters)

    with pytest.raises(BadSetting, match="needs 0 <= skip < lookback, full > 0"):
        backwards.opinions(window_of({"A": [100.0, 101.0, 102.0, 103.0, 104.0]}), [A])


def test_a_confidence_over_one_is_held_to_one(window_of):
    window = window_of({"A": [100.0, 1.0, 1.0, 300.0, 1.0]})

    assert MOMENTUM.opinions(window, [A])[A].confidence == 1.0


def test_mean_reversion_sells_what_is_stretched_and_may_buy_what_is_not(window_of):
    # The deviation of 10, 10, 10, 14 is √3 about 11: its last close stands √3 of them above.
    window = window_of(
        {"HIGH": [10.0, 10.0, 10.0, 14.0], "LOW": [14.0, 14.0, 14.0, 10.0], "MID": [10.0, 14.0, 10.0, 12.4]}
    )
    found = REVERSION.opinions(window, [Symbol("HIGH"), Symbol("LOW"), Symbol("MID")])

    assert found["HIGH"].direction == -1
    assert found["HIGH"].confidence == pytest.approx(3**0.5 / 4, abs=1e-9)
    assert found["HIGH"].why == "+1.73 deviations from the mean"
    assert found["LOW"].direction == 1
    assert found["LOW"].confidence == 1.0  # 0.5 + (0.5 + √3) / 4 is over one
    distance = (12.4 - 11.6) / np.std([10, 14, 10, 12.4])
    assert found["MID"].confidence == pytest.approx(0.5 + (0.5 - distance) / 4, abs=1e-9)


def test_mean_reversion_is_silent_between_its_bounds_without_movement_and_without_history(window_of):
    window = window_of({"A": [10.0, 10.0, 12.0, 12.0], "B": [7.0] * 4, "C": [None, 1.0, 2.0, 3.0]})

    assert REVERSION.opinions(window, [A, B, Symbol("C")]) == {}


def test_closes_come_oldest_first_without_the_sessions_that_have_no_quote(window_of):
    assert closes_of(window_of({"A": [1.0, None, 3.0], "B": [1.0, 1.0, 1.0]}), A) == [1.0, 3.0]


def test_a_signal_keeps_its_words_and_its_confidence_is_rounded(window):
    found = strategy(lambda *_: {A: buy(0.12345678949, "so"), B: sell(-3, "no")}).opinions(window, [A, B])

    assert found == {A: Signal(1, 0.123456789, "so"), B: Signal(-1, 0.0, "no")}
    assert strategy(lambda *_: {A: Signal(0, np.float64(0.5), "")}).opinions(window, [A])[A].confidence == 0.5


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "returned None: it must return a mapping of symbols to Signal"),
        ([buy(1, "")], r"returned \[Signal\(.*\)\]: it must return a mapping"),
        ({"ZZZ": buy(1, "")}, "ZZZ: 'ZZZ' is no symbol of the window"),
        ({None: buy(1, "")}, "None is no symbol of the window"),
        ({"A": 1}, "'mine', A: 1 is no Signal; make one by buy"),
        ({"A": (1, 0.5, "why")}, r"\(1, 0.5, 'why'\) is no Signal"),
        ({"B": Signal(2, 0.5, "")}, "'mine', B: direction 2 must be 1, 0 or -1"),
        ({"A": Signal(0.5, 0.5, "")}, "direction 0.5 must be 1, 0 or -1"),
        ({"A": Signal([1], 0.5, "")}, r"direction \[1\] must be"),
        ({"A": buy(float("nan"), "")}, "confidence nan must be a finite number"),
        ({"A": buy(float("inf"), "")}, "confidence inf must be a finite number"),
        ({"A": buy(None, "")}, "confidence None must be a finite number"),
        ({"A": buy("0.5", "")}, "confidence '0.5' must be a finite number"),
    ],
)
def test_an_answer_that_is_no_opinion_names_strategy_symbol_value_and_rule(window, answer, told):
    with pytest.raises(BadSetting, match=told) as refusal:
        strategy(lambda *_: answer).opinions(window, [A, B])

    assert "strategy 'mine'" in str(refusal.value)
    assert "trading/strategies/mine.py" in str(refusal.value)


def test_a_strategy_that_raises_is_named_with_its_error_and_its_file(window):
    with pytest.raises(BadSetting) as refusal:
        strategy(lambda *_: 1 / 0).opinions(window, [A])

    assert str(refusal.value) == (
        "strategy 'mine': trading/strategies/mine.py raised ZeroDivisionError before the session of "
        f"{window.session}: division by zero; correct it, or remove its line from config/strategies.toml"
    )
    assert isinstance(refusal.value.__cause__, ZeroDivisionError)


def test_a_strategy_cannot_write_into_the_window(window):
    def vandal(window, symbols):
        window.close[-1] = 0

    before = window.close.copy()

    with pytest.raises(BadSetting, match="read-only"):
        strategy(vandal).opinions(window, [A])
    assert np.array_equal(window.close, before)


def test_a_strategy_is_loaded_by_its_files_name():
    assert (MOMENTUM.name, MOMENTUM.version, MOMENTUM.weight) == ("momentum", "1", 0.5)
    assert MOMENTUM.parameters == (("full", 0.1), ("lookback", 4), ("skip", 1))


@pytest.mark.parametrize("name", ["no_such_one", "", "no.such", "momentum.inner"])
def test_a_strategy_without_a_file_is_named(name):
    with pytest.raises(BadSetting, match=f"strategy {name!r}: "):
        load_strategy(name, weight=1, parameters={})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"signals": len}, "defines no VERSION"),
        ({"VERSION": 2, "signals": len}, "defines no VERSION, a text"),
        ({"VERSION": "1"}, "defines no function signals"),
        ({"VERSION": "1", "signals": {}}, "defines no function signals"),
    ],
)
def test_a_file_that_is_no_strategy_says_what_it_lacks(installed, content, told):
    installed("half", **content)

    with pytest.raises(BadSetting, match=f"'half': trading/strategies/half.py {told}"):
        load_strategy("half", weight=1, parameters={})


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"lookback": 4, "skip": 1}, "missing a required argument: 'full'"),
        ({"lookback": 4, "skip": 1, "full": 1, "ful": 2}, "unexpected keyword argument 'ful'"),
        ({"lookback": "abc", "skip": 1, "full": 1}, "lookback='abc' must be a whole number, as 126 is"),
        ({"lookback": 60.5, "skip": 1, "full": 1}, "lookback=60.5 must be a whole number, as 126 is"),
        ({"lookback": True, "skip": 1, "full": 1}, "lookback=True must be a whole number, as 126 is"),
        ({"lookback": 4, "skip": 1, "full": "x"}, "full='x' must be a number, as 0.1 is"),
    ],
)
def test_parameters_that_do_not_fit_are_named_when_the_strategy_is_loaded(parameters, told):
    usual = {"lookback": 126, "full": 0.1}
    with pytest.raises(BadSetting, match=f"strategy 'momentum': parameters .* do not fit .*{told}"):
        load_strategy("momentum", weight=1, parameters=parameters, usual=usual)


def test_a_parameter_is_held_to_the_kind_of_its_default_and_else_of_its_usual_value():
    def signals(window, symbols, *, share=0.5, is_strict=False, sessions=20, label="a", free=None): ...

    def misfit(usual=None, **parameters):
        return misfit_of(signals, parameters, usual=usual or {})

    assert misfit(share=1, is_strict=True, sessions=3, label="b", free=1.5) == ""
    assert misfit(usual={"share": 1}, share=0.25) == ""  # its default tells that it may be a fraction
    assert misfit(is_strict=1) == "is_strict=1 must be true or false, as False is"
    assert misfit(sessions=1.5) == "sessions=1.5 must be a whole number, as 20 is"
    assert misfit(share=True) == "share=True must be a number, as 0.5 is"
    assert misfit(usual={"free": 3}, free="x") == ""  # None may stand for anything


def test_a_file_that_cannot_be_read_is_told_with_its_error(monkeypatch, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_package_anywhere\n", "utf-8")
    (tmp_path / "garbled.py").write_text("def signals(:\n", "utf-8")
    package = sys.modules["trading.strategies"]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])

    with pytest.raises(
        BadSetting, match=r"'broken': .*cannot be read: ModuleNotFoundError: .*no_such_package"
    ):
        load_strategy("broken", weight=1, parameters={})
    with pytest.raises(BadSetting, match=r"'garbled': .*cannot be read: SyntaxError"):
        load_strategy("garbled", weight=1, parameters={})
