"""Detectors: every biased example strategy is caught for what it says of itself, and no clean one accused.

On the real bars of both books; the whole of them by `make bench ARGS="detectors --every 1"`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from resources.judged_bars import judged_bars
from resources.profiles import Profiled
from resources.settings import load_settings
from resources.strategy_files import suspect_in, suspect_of
from trading.errors import BadSetting
from trading.lookahead import SCANNER, Bias, Suspect, Trial, detect, futures_of, sampled
from trading.strategies.plugin import Strategy, buy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "strategies"
BIASED = {
    "back_adjusted": Bias.LOOK_AHEAD,
    "by_chance": Bias.CHANCE,
    "carried_over": Bias.MEMORY,
    "centred_average": Bias.LOOK_AHEAD,
    "fitted_on_everything": Bias.LOOK_AHEAD,
    "own_close": Bias.LOOK_AHEAD,
    "seeded_average": Bias.HISTORY,
    "share_of_history": Bias.HISTORY,
    "shifted_back": Bias.LOOK_AHEAD,
    "smoothed_strength": Bias.HISTORY,
    "survivors": Bias.LOOK_AHEAD,
    "whole_sample_mean": Bias.LOOK_AHEAD,
    "whole_sample_volume": Bias.LOOK_AHEAD,
}
CLEAN = {path.stem for path in (EXAMPLES / "clean").glob("*.py")} | {"momentum", "mean_reversion"}
HIGHEST = date(2012, 9, 18)
"""The session after AAPL closed higher than ever: most sessions say nothing to who waits for that."""


@pytest.fixture(scope="module")
def trial_of():
    """Give a maker of trials of a book on its real bars: by its rules, of all examples and its own."""
    profiled = Profiled(load_settings())

    def make(book):
        config = profiled.books[book]
        suspects = [suspect_in(path) for path in sorted(EXAMPLES.rglob("*.py"))]
        suspects += [suspect_of(strategy) for strategy in config.rules.strategies]
        return Trial(config=config, known=judged_bars(profiled, book), suspects=tuple(suspects))

    return make


@pytest.fixture(scope="module")
def five(trial_of):
    return trial_of("us_five")


@pytest.fixture(scope="module", params=["us_five", "us_wide"])
def found(request, trial_of, five):
    """Give what is found over five sessions of the clean book, and one of a quarter of the wide one."""
    if request.param == "us_five":
        return detect(five, sorted({*sampled(five.known.panel, 4), HIGHEST}))
    wide = trial_of(request.param)
    panel = wide.known.panel
    arrays = {name: getattr(panel, name)[:, ::4] for name in ("open", "high", "low", "close", "volume")}
    thinned = wide.known._replace(panel=replace(panel, symbols=panel.symbols[::4], **arrays))
    return detect(replace(wide, known=thinned), panel.sessions[200:201])


def alone(trial, *signals):
    """Give a trial of strategies that are functions, by their names."""
    strategies = [
        Strategy(name=one.__name__, version="1", weight=1.0, parameters=(), signals=one) for one in signals
    ]
    made = tuple(Suspect(name=one.name, made=lambda _, one=one: one) for one in strategies)
    return replace(trial, suspects=made)


def around(trial, session, days):
    row = trial.known.panel.sessions.index(session)
    return trial.known.panel.sessions[row - days : row + days + 1]


def test_every_example_that_is_biased_says_so_and_the_test_knows_it():
    assert {path.stem for path in (EXAMPLES / "biased").glob("*.py")} == set(BIASED)
    for path in (EXAMPLES / "biased").glob("*.py"):
        assert "\n\nWrong: " in path.read_text("utf-8"), path.name
    for path in (EXAMPLES / "clean").glob("*.py"):
        assert "\n\nClean: " in path.read_text("utf-8"), path.name


def test_every_biased_example_is_caught_for_what_it_is(found):
    assert {name for name, bias in BIASED.items() if bias not in found.biases_of(name)} == set()


def test_no_clean_example_and_no_rule_of_the_book_is_accused(found):
    assert {row.suspect for row in found.accusations} <= set(BIASED)
    # Who says nothing cannot be accused, and nothing is shown by that.
    assert min(found.opinions[name] for name in CLEAN | set(BIASED)) > 0


def test_an_accusation_names_session_row_column_and_both_values(found):
    for accusation in found.accusations:
        first = accusation.changes[0]
        assert first.session in found.sessions
        assert first.difference.table == "opinions"
        assert first.difference.key == f"{accusation.suspect}/{first.symbol}"
        assert first.difference.live != first.difference.replayed
        assert accusation.values >= len(accusation.changes) > 0


def test_chance_is_told_from_memory_and_neither_is_taken_for_sight(found):
    assert found.biases_of("by_chance") == {Bias.CHANCE}
    assert found.biases_of("carried_over") == {Bias.MEMORY}


def test_the_votes_and_orders_behind_a_biased_strategy_are_counted_and_their_rules_not_accused(found):
    assert found.following > 0
    assert found.biases_of("council") == found.biases_of("guards") == found.biases_of(SCANNER) == set()


def test_the_warm_up_of_the_boxes_strategies_is_what_their_parameters_say(five):
    own = replace(five, suspects=tuple(one for one in five.suspects if one.name in CLEAN))
    found = detect(own, five.known.panel.sessions[-2:])
    least = {row.suspect: row.least_sessions for row in found.warm_ups}

    assert found.is_clean
    assert (least["momentum"], least["mean_reversion"], least[SCANNER]) == (127, 20, 60)
    assert (least["average_cross"], least["relative_strength"], least["studied_average"]) == (50, 15, 20)
    assert not any(row.speaks_early for row in found.warm_ups if row.suspect != SCANNER)


def test_a_seed_that_still_weighs_is_told_with_the_size_of_the_difference(five):
    by_name = {one.name: one for one in five.suspects}
    pair = replace(five, suspects=(by_name["seeded_average"], by_name["fixed_average"]))
    found = detect(pair, five.known.panel.sessions[-2:])
    (accusation,) = found.accusations

    assert (accusation.suspect, accusation.bias) == ("seeded_average", Bias.HISTORY)
    assert 0.001 < accusation.size_max < 1
    assert {row.suspect: row.speaks_early for row in found.warm_ups}["seeded_average"]


def test_a_window_too_short_for_a_strategy_is_found_by_its_warm_up(five):
    def quarter(window, symbols):
        """Stand on 100 closes, or on as many as there are."""
        closes = {symbol: window.close[-100:, window.column(symbol)] for symbol in symbols}
        return {symbol: buy(float(np.nanmean(one)) / 1_000, "mean") for symbol, one in closes.items()}

    rules = replace(five.config.rules, window_sessions=64)
    short = replace(alone(five, quarter), config=replace(five.config, rules=rules))
    found = detect(short, five.known.panel.sessions[-2:])

    assert found.biases_of("quarter") == {Bias.HISTORY}
    enough = replace(five.config.rules, window_sessions=100)
    assert detect(
        replace(short, config=replace(five.config, rules=enough)), five.known.panel.sessions[-2:]
    ).is_clean


def test_a_split_and_dividends_on_their_day_accuse_nobody(five):
    own = replace(five, suspects=tuple(one for one in five.suspects if one.name in CLEAN))

    assert detect(own, around(five, date(2005, 2, 28), 2)).is_clean


def test_what_raises_on_a_false_future_alone_has_looked_at_it(five):
    def studied(known):
        def timid(window, symbols):
            if not (known.panel.close[-1] > 0).all():
                raise ValueError("no quote")
            return {}

        return Strategy(name="timid", version="1", weight=1.0, parameters=(), signals=timid)

    sessions = five.known.panel.sessions[-300:-299]
    found = detect(replace(five, suspects=(Suspect(name="timid", made=studied),)), sessions)

    (accusation,) = found.accusations
    assert (accusation.suspect, accusation.bias) == ("timid", Bias.LOOK_AHEAD)
    assert "no quote" in accusation.changes[0].difference.replayed


def test_what_raises_on_the_true_bars_is_refused(five):
    def broken(window, symbols):
        raise KeyError("AAPL")

    with pytest.raises(BadSetting, match=r"broken.*KeyError"):
        detect(alone(five, broken), five.known.panel.sessions[-1:])


def test_every_future_leaves_what_was_known_before_the_session_as_it_was(five):
    session = date(2005, 2, 28)
    row = five.known.panel.sessions.index(session)
    true = five.known.panel.window_before(session, 130, actions=five.known.actions)

    for done, known in futures_of(five.known, session).items():
        window = known.panel.window_before(session, 130, actions=known.actions)
        assert np.array_equal(window.close, true.close, equal_nan=True), done
        assert known.panel.sessions[:row] == five.known.panel.sessions[:row]
        moved = known.panel.close.shape != five.known.panel.close.shape or not np.array_equal(
            known.panel.close, five.known.panel.close
        )
        assert moved or known.actions != five.known.actions, done


def test_sessions_are_sampled_evenly_and_the_last_is_among_them(five):
    panel = five.known.panel
    few = sampled(panel, 5)

    assert len(few) == 5
    assert few == tuple(sorted(few))
    assert (few[0], few[-1]) == (panel.sessions[21], panel.sessions[-1])
    assert max(b - a for a, b in pairwise(few)) < timedelta(days=1_200)
    assert sampled(panel, 10**6) == panel.sessions[21:]
    assert sampled(panel, 0) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("VERSION = 1\ndef signals(window, symbols): ...", "defines no VERSION"),
        ('VERSION = "1"', "defines neither of the functions signals and studied"),
        ("def signals(:", "cannot be read: SyntaxError"),
        ("import no_such_module", "cannot be run: ModuleNotFoundError"),
    ],
)
def test_a_file_that_is_no_strategy_says_what_it_lacks(tmp_path, text, told):
    path = tmp_path / "mine.py"
    path.write_text(text, "utf-8")

    with pytest.raises(BadSetting, match=told):
        suspect_in(path)


def test_a_strategy_may_define_a_dataclass_of_its_own(tmp_path):
    path = tmp_path / "mine.py"
    lines = (
        "from __future__ import annotations",
        "from dataclasses import dataclass",
        'VERSION = "1"',
        "@dataclass(frozen=True)",
        "class Level:",
        "    price: float = 0.0",
        "def signals(window, symbols): return {}",
    )
    path.write_text("\n".join(lines), "utf-8")

    assert suspect_in(path).name == "mine"
    assert "suspect_mine" not in sys.modules


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadSetting, match=r"none\.py: cannot be read: FileNotFoundError"):
        suspect_in(tmp_path / "none.py")
