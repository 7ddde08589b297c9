"""Measures of returns: the published numbers, the laws they obey, and no number where there is none.

The published numbers are the expected values of empyrical's own tests (github.com/quantopian/empyrical and
its successor empyrical-reloaded, tests/test_stats.py), to 8 decimals where they are held to as many. Its
series that begins with an unknown return has 9 sessions for growth and 8 for means and deviations.
"""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.performance import (
    MEASURES,
    MEASURES_BESIDE,
    SESSIONS_MIN,
    Performance,
    alpha,
    beta,
    cagr,
    calmar,
    downside_risk,
    drawdown_sessions_max,
    drawdowns_of,
    expected_shortfall,
    information_ratio,
    kurtosis,
    levels_of,
    max_drawdown,
    performance_of,
    sharpe,
    skew,
    sortino,
    tail_ratio,
    total_return,
    value_at_risk,
    volatility,
)

WEEKS, MONTHS = 52, 12


def percent(*returns: float) -> np.ndarray:
    return np.array(returns) / 100


BENCHMARK = percent(0, 1, 0, 1, 0, 1, 0, 1, 0)
POSITIVE = percent(1, 2, 1, 1, 1, 1, 1, 1, 1)
NEGATIVE = percent(0, -6, -7, -1, -9, -2, -6, -8, -5)
MIXED = percent(1, 10, -4, 2, 3, 2, 1, -10)
MIXED_OF_NINE = percent(0, 1, 10, -4, 2, 3, 2, 1, -10)
FLAT = percent(*[1] * 9)
ONE = percent(1)
NOTHING = percent()
EIGHT = np.array(
    [-0.00171614, 0.01322056, 0.03063862, -0.01422057, -0.00489779, 0.01268925, -0.03357711, 0.01797036]
)
OTHER_EIGHT = np.array(
    [0.01846232, 0.00793951, -0.01448395, 0.00422537, -0.00339611, 0.03756813, 0.0151531, 0.03549769]
)

PUBLISHED = {
    "total return, 4 decimals": (round(total_return(MIXED) or 0, 4), 0.0389),
    "growth of a year, days": (cagr(MIXED_OF_NINE), 1.9135925373194231),
    "growth of a year, weeks": (cagr(MIXED_OF_NINE, per_year=WEEKS), 0.24690830513998208),
    "growth of a year, months": (cagr(MIXED_OF_NINE, per_year=MONTHS), 0.052242061386048144),
    "growth of a year, one session": (cagr(ONE), 11.274002099240244),
    "growth of a year, years": (cagr(percent(3, 3, 3), per_year=1), 0.03),
    "deviation, days": (volatility(MIXED), 0.9136465399704637),
    "deviation, weeks": (volatility(MIXED_OF_NINE, per_year=WEEKS), 0.38851569394870583),
    "deviation, months": (volatility(MIXED_OF_NINE, per_year=MONTHS), 0.18663690238892558),
    "deviation of nothing that varies": (volatility(FLAT), 0.0),
    "calmar, days": (calmar(MIXED_OF_NINE), 19.135925373194233),
    "calmar, weeks": (calmar(MIXED_OF_NINE, per_year=WEEKS), 2.4690830513998208),
    "calmar, months": (calmar(MIXED_OF_NINE, per_year=MONTHS), 0.52242061386048144),
    "sharpe, mixed": (sharpe(MIXED), 1.7238613961706866),
    "sharpe, over a benchmark": (sharpe(MIXED, risk_free=BENCHMARK[1:]), 0.34111411441060574),
    "sharpe, positive": (sharpe(POSITIVE), 52.915026221291804),
    "sharpe, negative": (sharpe(NEGATIVE), -24.406808633910085),
    "downside risk, one gain": (downside_risk(ONE), 0.0),
    "downside risk, days": (downside_risk(MIXED), 0.60448325038829653),
    "downside risk, a tenth required": (downside_risk(MIXED, required=0.1), 1.7161730681956295),
    "downside risk, weeks": (downside_risk(MIXED_OF_NINE, per_year=WEEKS), 0.25888650451930134),
    "downside risk, months": (downside_risk(MIXED_OF_NINE, per_year=MONTHS), 0.1243650540411842),
    "downside risk of eight": (downside_risk(EIGHT), 0.20671788246185202),
    "downside risk of the other eight": (downside_risk(OTHER_EIGHT), 0.083495680595704475),
    "sortino, mixed": (sortino(MIXED), 2.605531251673693),
    "sortino, over one per cent": (sortino(MIXED, required=FLAT[1:]), -1.3934779588919977),
    "sortino, negative": (sortino(NEGATIVE), -13.532743075043401),
    "sortino, weeks": (sortino(MIXED_OF_NINE, per_year=WEEKS), 1.1158901056866439),
    "sortino, months": (sortino(MIXED_OF_NINE, per_year=MONTHS), 0.53605626741889756),
    "sortino of eight": (sortino(EIGHT), 3.0639640966566306),
    "sortino of the other eight": (sortino(OTHER_EIGHT), 38.090963117002495),
    "drawdown, one gain": (max_drawdown(ONE), 0.0),
    "drawdown, only gains": (max_drawdown(BENCHMARK), 0.0),
    "drawdown, mixed": (max_drawdown(MIXED), -0.1),
    "drawdown, negative": (max_drawdown(NEGATIVE), -0.36590730349873601),
    "drawdown, up, down and up": (max_drawdown(percent(10, -10, 10)), -0.10),
    "tail ratio, one session": (tail_ratio(ONE), 1.0),
    "value at risk, all": (value_at_risk(np.array([1.0, 2.0]), tail=0.0), 1.0),
    "value at risk, between two": (value_at_risk(np.array([1.0, 2.0]), tail=0.3), 1.3),
    "value at risk, none": (value_at_risk(np.array([1.0, 2.0]), tail=1.0), 2.0),
    "value at risk, six at 10 %": (value_at_risk(np.array([1.0, 81, 82, 83, 84, 85]), tail=0.1), 41),
    "value at risk, six at 20 %": (value_at_risk(np.array([1.0, 81, 82, 83, 84, 85]), tail=0.2), 81),
    "value at risk, six at 30 %": (value_at_risk(np.array([1.0, 81, 82, 83, 84, 85]), tail=0.3), 81.5),
    "alpha, arithmetic": (alpha(MIXED, NEGATIVE[1:]), -8.306666666666668),
    "beta": (beta(MIXED, NEGATIVE[1:]), -0.71296296296296313),
    "alpha of itself": (alpha(MIXED, MIXED), 0.0),
    "beta of itself": (beta(MIXED, MIXED), 1.0),
    "beta of its opposite": (beta(MIXED, -MIXED), -1.0),
    # Published of a session; ours is of a year.
    "information ratio": (information_ratio(MIXED, 0 * MIXED), 0.10859306069076737 * math.sqrt(252)),
    "information ratio, over one per cent": (
        information_ratio(MIXED, FLAT[1:]),
        -0.06515583641446039 * math.sqrt(252),
    ),
    # Its later versions compound what is left in a session over a year.
    "alpha, compounded": ((1 + (alpha(MIXED, NEGATIVE[1:]) or 0) / 252) ** 252 - 1, -0.9997853834885004),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_measure_is_the_published_number(name):
    ours, published = PUBLISHED[name]

    assert ours == pytest.approx(published, abs=5e-9, rel=0)


def test_the_tail_ratio_is_the_published_number_to_its_one_decimal():
    assert tail_ratio(MIXED) == pytest.approx(0.9473684210526313, abs=0.05)


def test_the_tail_is_the_mean_of_what_is_at_or_below_the_value_at_risk():
    returns = np.random.default_rng(1337).normal(0, 0.02, 21)

    for tail in (0, 0.0499, 0.05, 0.20, 0.999, 1):
        worst = returns[returns <= (value_at_risk(returns, tail=tail) or 0)]
        assert expected_shortfall(returns, tail=tail) == pytest.approx(float(worst.mean()), abs=1e-15)


def test_skew_and_kurtosis_are_those_of_the_moments_worked_by_hand():
    # Mean 1; apart −1, −1, −1, 3: m₂ = 3, m₃ = 6, m₄ = 21.
    returns = np.array([0.0, 0.0, 0.0, 4.0])

    assert skew(returns) == pytest.approx(6 / 3**1.5, abs=1e-12)
    assert kurtosis(returns) == pytest.approx(21 / 9, abs=1e-12)


# --------------------------------------------------------------------------- no number where there is none


@pytest.mark.parametrize("name", MEASURES)
def test_no_session_has_no_measure(name):
    assert MEASURES[name](NOTHING) is None


@pytest.mark.parametrize(
    ("measure", "returns"),
    [
        (volatility, ONE),
        (sharpe, ONE),
        (sharpe, FLAT),
        (sortino, ONE),
        (sortino, POSITIVE),
        (sortino, BENCHMARK),
        (calmar, ONE),
        (calmar, POSITIVE),
        (skew, percent(1, 2)),
        (skew, FLAT),
        (kurtosis, percent(1, 2, 3)),
        (kurtosis, FLAT),
        (tail_ratio, percent(0, 0, 0)),
        (cagr, np.array([-1.5])),
        (cagr, np.array([1e6])),
    ],
)
def test_a_ratio_over_nothing_is_no_data_and_neither_zero_nor_infinite(measure, returns):
    assert measure(returns) is None


@pytest.mark.parametrize("name", MEASURES_BESIDE)
def test_a_benchmark_of_one_session_says_nothing(name):
    assert MEASURES_BESIDE[name](ONE, ONE) is None


@pytest.mark.parametrize("measure", [alpha, beta])
def test_nothing_moves_with_a_benchmark_that_does_not_move(measure):
    assert measure(MIXED, FLAT[1:]) is None


def test_a_session_that_the_benchmark_does_not_have_is_left_out():
    theirs = NEGATIVE[1:].copy()
    theirs[3] = np.nan
    known = np.isfinite(theirs)

    assert alpha(MIXED, theirs) == alpha(MIXED[known], theirs[known])


def test_under_a_month_nothing_is_annualised():
    short, enough = (performance_of(np.resize(MIXED, count)) for count in (SESSIONS_MIN - 1, SESSIONS_MIN))

    assert (short.cagr, short.volatility, short.sharpe, short.sortino, short.calmar) == (None,) * 5
    assert short.max_drawdown is not None
    assert None not in (enough.cagr, enough.volatility, enough.sharpe, enough.sortino, enough.calmar)


def test_sessions_apart_from_each_other_have_no_drawdown():
    performance = performance_of(np.resize(MIXED, 40), is_one_stretch=False)

    assert (performance.max_drawdown, performance.drawdown_sessions_max, performance.calmar) == (None,) * 3
    assert performance.sharpe is not None


def test_every_measure_is_a_field_of_the_record():
    assert set(Performance.__dataclass_fields__) == {"sessions", *MEASURES}


# -------------------------------------------------------------------------------------------------- laws

A_RETURN = st.floats(-0.5, 0.5).map(lambda number: round(number, 6))
SERIES = st.lists(A_RETURN, min_size=1, max_size=40).map(np.array)


def every_fall(returns: np.ndarray) -> float:
    """Give the deepest fall between any two closes, tried one pair after another."""
    levels = levels_of(returns).tolist()
    return min(
        levels[later] / levels[earlier] - 1
        for earlier in range(len(levels))
        for later in range(earlier, len(levels))
    )


@settings(deadline=None)
@given(SERIES)
def test_the_deepest_drawdown_is_the_worst_of_all_pairs_of_closes(returns):
    assert max_drawdown(returns) == pytest.approx(every_fall(returns), abs=1e-12)


@settings(deadline=None)
@given(SERIES)
def test_drawdowns_follow_each_other_and_hold_the_deepest(returns):
    days = np.array([date(2020, 1, 1) + timedelta(days=at) for at in range(returns.size)], "datetime64[D]")
    falls = drawdowns_of(returns, days)

    assert min((fall.depth for fall in falls), default=0.0) == pytest.approx(max_drawdown(returns), abs=1e-12)
    assert max((fall.sessions for fall in falls), default=0) == drawdown_sessions_max(returns)
    for earlier, later in pairwise(falls):
        assert earlier.recovered_on is not None
        assert later.peak_on is not None
        assert earlier.recovered_on <= later.peak_on < later.trough_on


def test_a_drawdown_tells_its_peak_its_trough_and_its_recovery():
    days = np.arange("2020-01-01", "2020-01-08", dtype="datetime64[D]")
    first, second = drawdowns_of(np.array([-0.5, 1.0, 0.1, -0.1, -0.1, 0.1, 0.0]), days)

    assert (first.depth, first.peak_on, first.trough_on) == (-0.5, None, date(2020, 1, 1))
    assert (first.recovered_on, first.sessions, first.sessions_falling) == (date(2020, 1, 2), 2, 1)
    assert second.depth == pytest.approx(-0.19)
    assert (second.peak_on, second.trough_on) == (date(2020, 1, 3), date(2020, 1, 5))
    assert (second.recovered_on, second.sessions, second.sessions_falling) == (None, 4, 2)


@settings(deadline=None)
@given(SERIES, st.floats(0.1, 10))
def test_a_larger_stake_has_the_same_ratios(returns, stake):
    for ratio in (sharpe, sortino, skew, kurtosis, tail_ratio):
        ours, theirs = ratio(returns), ratio(returns * stake)
        if ours is not None and theirs is not None:
            assert theirs == pytest.approx(ours, rel=1e-6, abs=1e-9)


def as_close(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)


@settings(deadline=None)
@given(SERIES, st.permutations(range(40)))
def test_the_order_of_sessions_changes_drawdowns_alone(returns, order):
    shuffled = returns[[at for at in order if at < returns.size]]

    for name, measure in MEASURES.items():
        if name not in {"max_drawdown", "drawdown_sessions_max", "calmar"}:
            assert as_close(measure(shuffled), measure(returns))


@settings(deadline=None)
@given(SERIES, SERIES)
def test_no_measure_is_ever_infinite_or_not_a_number(returns, others):
    count = min(returns.size, others.size)
    measured = [measure(returns) for measure in MEASURES.values()]
    measured += [measure(returns[:count], others[:count]) for measure in MEASURES_BESIDE.values()]

    assert [number for number in measured if number is not None and not math.isfinite(number)] == []


@settings(deadline=None)
@given(SERIES, st.floats(-0.05, 0.05))
def test_what_follows_a_benchmark_exactly_has_its_beta_and_alpha(benchmark, extra):
    if beta(benchmark, benchmark) is None:
        return
    assert beta(2 * benchmark + extra, benchmark) == pytest.approx(2, abs=1e-6)
    assert alpha(2 * benchmark + extra, benchmark) == pytest.approx(extra * 252, abs=1e-6)
