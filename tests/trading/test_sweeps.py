"""Sweeps: what is varied, how variants are ranked, and what they say together."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from trading.errors import BadInput
from trading.performance import sharpe
from trading.replay import ReplayRequest
from trading.silences import Silence
from trading.simulation import FillModel
from trading.sweeps import RUINED, Axis, Outcome, axis_of, ranked, together, variants_of

BASE = ReplayRequest(
    name="sweep",
    book="us_five",
    first_session=date(2011, 1, 3),
    last_session=date(2012, 12, 31),
    deposit_micros=10**12,
    costs=FillModel(slippage_bps=5, commission_bps=1, participation_bps=500),
)
CONFIGURED = ("momentum", "mean_reversion")
LOOKBACK = Axis(strategy="momentum", parameter="lookback", values=("63", "126"))
CALM = Axis(strategy="mean_reversion", parameter="calm", values=("1", "1.5", "2"))


def variants(*axes, councils=(), base=BASE):
    return variants_of(base, axes=axes, councils=councils, configured=CONFIGURED)


def outcomes_of(returns) -> list[Outcome]:
    made = variants(Axis(strategy="momentum", parameter="lookback", values=tuple(map(str, range(1, 400)))))
    return [
        Outcome(
            variant=variant,
            replay_sha="",
            measures={"sharpe": sharpe(column)},
            returns=column,
            equity_levels=len(column),
        )
        for variant, column in zip(made, np.asarray(returns, dtype=np.float64).T, strict=False)
    ]


def test_variants_of_two_long_names_that_end_alike_have_names_of_their_own():
    ends = "x" * 60
    names = {
        variant.request.name
        for first in "ab"
        for variant in variants(LOOKBACK, base=replace(BASE, name=f"{first}{ends}"))
    }

    assert len(names) == 4
    assert all(len(name) == 64 for name in names)


def test_an_axis_is_read_from_a_text():
    assert axis_of("momentum.lookback = 63, 126") == LOOKBACK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "momentum",
        "momentum=1",
        "momentum.lookback",
        "momentum.lookback=",
        "momentum.lookback=1,,2",
        "a b.c=1",
    ],
)
def test_a_text_that_is_no_axis_is_refused_with_the_form(text):
    with pytest.raises(BadInput, match=r"write STRATEGY\.PARAMETER=VALUE,VALUE"):
        axis_of(text)


def test_a_value_named_twice_is_refused():
    with pytest.raises(BadInput, match="named twice"):
        axis_of("momentum.lookback=63,63")


def test_every_combination_is_tried_once_light_and_told_apart():
    made = variants(LOOKBACK, CALM)

    assert [variant.number for variant in made] == [1, 2, 3, 4, 5, 6]
    assert made[0].request.strategies == ("momentum:lookback=63", "mean_reversion:calm=1")
    assert made[-1].request.strategies == ("momentum:lookback=126", "mean_reversion:calm=2")
    assert len({variant.label for variant in made}) == 6
    assert len({variant.request.sha() for variant in made}) == 6
    assert all(variant.request.light for variant in made)


def test_what_a_council_says_of_a_parameter_stands_unless_the_grid_varies_it():
    base = replace(BASE, strategies=("momentum:skip=3,lookback=20",))
    (first, second) = variants(LOOKBACK, base=base)

    assert first.request.strategies == ("momentum:skip=3,lookback=20,lookback=63",)
    assert second.request.strategies == ("momentum:skip=3,lookback=20,lookback=126",)


def test_councils_stand_against_each_other_and_a_grid_varies_those_that_have_its_strategy():
    made = variants(CALM, councils=["momentum", "momentum+mean_reversion"])

    assert [variant.label for variant in made] == [
        "momentum",
        "momentum+mean_reversion mean_reversion.calm=1",
        "momentum+mean_reversion mean_reversion.calm=1.5",
        "momentum+mean_reversion mean_reversion.calm=2",
    ]


@pytest.mark.parametrize(
    ("axes", "councils", "told"),
    [
        ((), (), "varies something"),
        ((Axis(strategy="momentum", parameter="lookback", values=("63",)),), (), "varies something"),
        ((LOOKBACK, LOOKBACK), (), "one axis is named twice"),
        ((CALM,), ("momentum", "momentum:skip=1"), "no council has a strategy 'mean_reversion'"),
        ((), ("momentum+", "momentum"), "write STRATEGY"),
        (
            tuple(
                Axis(strategy="momentum", parameter=name, values=tuple(map(str, range(40))))
                for name in ("lookback", "skip")
            ),
            (),
            "1,600 variants: at most 1,000",
        ),
    ],
)
def test_a_sweep_that_varies_nothing_or_too_much_is_refused(axes, councils, told):
    with pytest.raises(BadInput, match=told):
        variants(*axes, councils=councils)


def test_what_has_no_number_ranks_last_and_ties_keep_their_order():
    made = outcomes_of(np.zeros((30, 4)))
    given_ = [
        replace(one, measures={"cagr": value}) for one, value in zip(made, [0.1, None, 0.2, 0.1], strict=True)
    ]

    assert [one.variant.number for one in ranked(given_, by="cagr")] == [3, 1, 4, 2]
    with pytest.raises(BadInput, match="measure 'calmness': must be one of cagr"):
        ranked(given_, by="calmness")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_variants_without_skill_the_best_is_about_what_luck_gives(seed):
    noise = np.random.default_rng(seed).normal(0, 0.01, (512, 24))
    whole = together(outcomes_of(noise), seed=1)
    best = max(sharpe(column) for column in noise.T)

    assert whole.best.measures["sharpe"] == best
    assert whole.honesty.luck_sharpe == pytest.approx(best, rel=0.5)
    assert 0.05 < whole.honesty.deflated_sharpe < 0.95
    assert 0.2 < whole.overfitting.pbo < 0.9


def test_a_variant_with_skill_is_believed_and_its_choice_holds_elsewhere():
    returns = np.random.default_rng(7).normal(0, 0.01, (2_000, 12))
    returns[:, 4] += 0.002
    whole = together(outcomes_of(returns), seed=1)

    assert whole.best.variant.number == 5
    assert whole.honesty.deflated_sharpe > 0.99
    assert whole.overfitting.pbo < 0.01


def test_a_variant_without_data_is_counted_and_can_be_no_choice():
    """Nothing was intended in it, so that it lost nothing: it would be chosen in half of the splits."""
    noise = np.random.default_rng(3).normal(-0.001, 0.01, (512, 4))
    noise[:, 3] = 0.0
    *tried, idle = outcomes_of(noise)
    silence = Silence("momentum", 512, 512, 141, 130, 130)
    mute = replace(idle, measures={"sharpe": None, "intents": 0}, silences=(silence,))
    whole, without = together([*tried, mute], seed=1), together(tried, seed=1)

    assert not mute.has_data
    assert whole.variants == 4
    assert whole.overfitting == without.overfitting
    assert whole.overfitting != together([*tried, idle], seed=1).overfitting
    assert replace(mute, measures={"sharpe": None, "intents": 3}).has_data


def test_copies_of_variants_are_counted_and_compared_with_nothing():
    noise = np.random.default_rng(3).normal(0.001, 0.01, (512, 4))
    plain = together(outcomes_of(noise), seed=1)
    padded = together(outcomes_of(np.column_stack([noise, *[noise[:, 0]] * 20])), seed=1)

    assert padded.variants == 24
    assert padded.overfitting == plain.overfitting
    assert padded.honesty.luck_sharpe > plain.honesty.luck_sharpe


def test_variants_of_other_sessions_are_not_compared():
    first, second = outcomes_of(np.ones((20, 2)))
    with pytest.raises(BadInput, match="variants of 19 and 20 sessions"):
        together([first, replace(second, returns=second.returns[1:])], seed=1)


def test_a_variant_whose_equity_came_to_nothing_is_counted_and_told_as_no_data():
    noise = np.random.default_rng(3).normal(0.001, 0.01, (512, 4))
    *tried, last = outcomes_of(noise)
    ruined = replace(last, measures={"sharpe": None, "intents": 9}, returns=np.empty(0))
    whole, without = together([*tried, ruined], seed=1), together(tried, seed=1)

    assert (whole.variants, whole.best, whole.overfitting) == (4, without.best, without.overfitting)
    assert whole.honesty.luck_sharpe > without.honesty.luck_sharpe
    assert ruined.warnings == (RUINED,)
    assert not ruined.has_data
    of_none = together([ruined, ruined], seed=1)
    assert (of_none.honesty.deflated_sharpe, of_none.overfitting) == (None, None)
