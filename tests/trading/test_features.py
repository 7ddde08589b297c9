"""Features worked by hand, and against a second version of each written another way."""

from __future__ import annotations

import math
from statistics import fmean, pstdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.features import (
    Regime,
    average_true_range,
    clamped,
    features_of,
    mean,
    regime_of,
    relative_strength,
    returns,
    rounded,
    standard_deviation,
    volume_spike,
)

PRICES = st.floats(min_value=0.5, max_value=5_000, allow_nan=False)
BARS = st.lists(
    st.tuples(PRICES, st.floats(0, 0.2), st.floats(0, 0.2), st.integers(0, 10**9)), min_size=21, max_size=80
)


def strength_by_numpy(closes):
    """Compute the relative strength from arrays of gains and losses, as its inventor's ratio has it."""
    changes = np.diff(np.asarray(closes))
    gain, loss = np.where(changes > 0, changes, 0).mean(), np.where(changes < 0, -changes, 0).mean()
    if gain == loss == 0:
        return 50.0
    return 100.0 if loss == 0 else 100 - 100 / (1 + gain / loss)


def true_range_by_numpy(highs, lows, closes):
    """Compute Wilder's true range as the largest of its three differences."""
    highs, lows, closes = (np.asarray(column) for column in (highs, lows, closes))
    three = [highs[1:] - lows[1:], abs(highs[1:] - closes[:-1]), abs(lows[1:] - closes[:-1])]
    return np.max(three, axis=0)[-14:].mean()


def columns_of(bars):
    closes = [close for close, *_ in bars]
    highs = [close * (1 + up) for close, up, *_ in bars]
    lows = [close * (1 - down) for close, _, down, _ in bars]
    return highs, lows, closes, [volume for *_, volume in bars]


def test_strength_is_the_share_of_gains_in_all_moves():
    assert relative_strength([10, 13, 12]) == 75.0
    assert relative_strength([10, 11, 12]) == 100.0
    assert relative_strength([12, 11, 10]) == 0.0
    assert relative_strength([10, 10, 10]) == 50.0


def test_a_true_range_counts_the_gap_from_the_last_close():
    # Fourteen sessions: twelve of range 1, one that opened 3 above, one that opened 4 below.
    closes = [10.0] * 13 + [13.5, 9.0]
    highs = [10.5] * 13 + [14.0, 9.5]
    lows = [9.5] * 13 + [13.0, 9.0]

    assert average_true_range(highs, lows, closes) == pytest.approx((12 * 1 + 4.0 + 4.5) / 14)


def test_a_volume_spike_is_the_last_volume_over_the_usual_one():
    assert volume_spike([100, 300, 500]) == 2.5
    assert volume_spike([0, 0, 500]) == 1.0


def test_mean_deviation_and_returns_by_hand():
    assert returns([10, 11, 5.5]) == pytest.approx([0.1, -0.5])
    assert mean([1, 2, 6]) == 3.0
    assert standard_deviation([1, 2, 6]) == pytest.approx(math.sqrt(14 / 3))
    assert standard_deviation([7.5, 7.5]) == 0.0
    with pytest.raises(ZeroDivisionError):
        mean([])


def test_the_features_of_a_steady_rise_by_hand():
    # 21 closes 100, 101, …, 120; ranges of 2 around each; volume 1000, then 3000.
    closes = [100.0 + step for step in range(21)]
    found = features_of(
        highs=[close + 1 for close in closes],
        lows=[close - 1 for close in closes],
        closes=closes,
        volumes=[1_000] * 20 + [3_000],
    )

    assert found is not None
    assert found.rsi14 == 100.0
    assert found.ma20_gap == rounded(120 / 110.5 - 1)
    assert found.atr14 == 2.0
    assert found.volume_spike20 == 3.0
    steps = [1 / close for close in closes[:-1]]
    assert found.volatility20 == pytest.approx(pstdev(steps), abs=1e-9)
    assert found.regime is Regime.TREND


def test_twenty_sessions_are_too_few_to_say_anything():
    few = [1.0] * 20

    assert features_of(highs=few, lows=few, closes=few, volumes=few) is None
    assert features_of(highs=[*few, 1], lows=[*few, 1], closes=[*few, 1], volumes=[*few, 1]) is not None


@pytest.mark.parametrize(
    ("volatility", "gap", "regime"),
    [
        (0.03, 0.5, Regime.HIGH_VOLATILITY),
        (0.03, 0.0, Regime.HIGH_VOLATILITY),
        (0.0299, 0.01, Regime.TREND),
        (0.0299, -0.01, Regime.TREND),
        (0.0299, 0.0099, Regime.RANGE),
        (0.0, -0.0099, Regime.RANGE),
    ],
)
def test_high_volatility_is_told_before_trend_and_trend_before_range(volatility, gap, regime):
    assert regime_of(volatility=volatility, gap=gap) is regime


@given(BARS)
def test_every_feature_agrees_with_a_second_version_of_it(bars):
    highs, lows, closes, volumes = columns_of(bars)
    found = features_of(highs=highs, lows=lows, closes=closes, volumes=volumes)

    assert found is not None
    assert found.rsi14 == pytest.approx(strength_by_numpy(closes[-15:]), abs=1e-6)
    assert found.atr14 == pytest.approx(true_range_by_numpy(highs, lows, closes), rel=1e-9, abs=1e-8)
    assert found.ma20_gap == pytest.approx(closes[-1] / fmean(closes[-20:]) - 1, abs=1e-8)
    moves = np.diff(closes[-21:]) / np.asarray(closes[-21:-1])
    assert found.volatility20 == pytest.approx(moves.std(), rel=1e-6, abs=1e-8)
    usual = fmean(volumes[-21:-1])
    assert found.volume_spike20 == pytest.approx(volumes[-1] / usual if usual else 1.0, rel=1e-9, abs=1e-8)


@given(BARS, st.lists(st.tuples(PRICES, st.just(0.1), st.just(0.1), st.just(5)), max_size=9))
def test_only_the_last_twenty_one_sessions_matter(bars, older):
    def of(some):
        highs, lows, closes, volumes = columns_of(some)
        return features_of(highs=highs, lows=lows, closes=closes, volumes=volumes)

    assert of([*older, *bars[-21:]]) == of(bars[-21:])


def test_a_score_is_rounded_and_never_minus_zero():
    assert rounded(0.1234567894) == 0.123456789
    assert str(rounded(-1e-12)) == "0.0"
    assert [clamped(number, -1, 1) for number in (-2, -1, 0.5, 1, 2)] == [-1, -1, 0.5, 1, 1]
