"""Risk: VaR, drawdown and exposure worked by hand, and against a second version with numpy and pandas."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal, localcontext
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading import risk
from trading.quotes import Window
from trading.risk import (
    NOT_MEASURABLE,
    PNL_MICROS_MAX,
    SCENARIOS_MAX,
    SCENARIOS_MIN,
    VALUE_MICROS_MAX,
    Drawdown,
    Exposures,
    VarBound,
    deepest_drawdown,
    deviation_micros,
    drawdown,
    expected_shortfall_micros,
    exposures,
    historical_var_micros,
    is_within,
    longest_drawdown,
    normal_quantile_ppm,
    order_pnl_micros,
    order_var,
    parametric_var_micros,
    prepare,
    stop_distance_bps,
    tail_count,
    value_at_risk_micros,
    var_bound_micros,
    var_with_order_micros,
)
from trading.values import Symbol

A, B, C = Symbol("A"), Symbol("B"), Symbol("C")
ONE = 1_000_000
"""One unit of the currency, in micro-units."""


def ints(*numbers):
    return np.array(numbers, dtype=np.int64)


def window_of(**closes):
    """Give a window of closes by symbol, NaN where there is none."""
    table = np.array(list(closes.values()), dtype=float).T
    last = date(2013, 3, 1)
    count = len(table)
    return Window(
        session=last,
        sessions=tuple(last - timedelta(days=count - row) for row in range(count)),
        symbols=tuple(Symbol(name) for name in closes),
        open=table,
        high=table,
        low=table,
        close=table,
        volume=table,
        close_micros=np.zeros(len(closes), dtype=np.int64),
        quoted_on=(None,) * len(closes),
    )


def walk(seed, count=SCENARIOS_MAX + 1, *, volatility=0.02):
    """Give closes of a random walk."""
    moves = np.random.default_rng(seed).normal(0, volatility, count)
    return list(100 * np.exp(np.cumsum(moves)))


# -------------------------------------------------------------------------------- worked by hand

# Twenty scenarios of a book, in currency units: losses of 100, 80, 60, 40, then small gains 1 to 16.
TWENTY = ints(*(number * ONE for number in (5, -100, 2, 3, -40, 1, 4, 6, -80, 7, 8, 9, -60, 10, 11, 12)))
TWENTY = np.concatenate([TWENTY, ints(13 * ONE, 14 * ONE, 15 * ONE, 16 * ONE)])


@pytest.mark.parametrize(
    ("scenarios", "level_bps", "worst"),
    [
        (20, 9_500, 1),  # 5 % of 20 is 1
        (21, 9_500, 2),  # 1.05, rounded up
        (40, 9_500, 2),
        (41, 9_500, 3),
        (100, 9_900, 1),
        (101, 9_900, 2),
        (250, 9_500, 13),  # 12.5
        (250, 9_900, 3),  # 2.5
        (1, 9_900, 1),
    ],
)
def test_the_tail_is_the_share_of_scenarios_that_the_level_leaves_out_rounded_up(scenarios, level_bps, worst):
    assert tail_count(scenarios, level_bps) == worst


def test_historical_var_is_a_rank_among_the_scenarios_by_hand():
    # 95 % of twenty: the worst one, a loss of 100.
    assert historical_var_micros(TWENTY, 9_500) == 100 * ONE
    # With three scenarios more 5 % are 1.15, so two: the second worst, a loss of 80.
    assert historical_var_micros(np.concatenate([TWENTY, ints(0, 0, 0)]), 9_500) == 80 * ONE
    # 99 % of either: the worst.
    assert historical_var_micros(np.concatenate([TWENTY, ints(0, 0, 0)]), 9_900) == 100 * ONE


def test_expected_shortfall_is_the_mean_of_the_tail_by_hand():
    assert expected_shortfall_micros(TWENTY, 9_500) == 100 * ONE
    # Of 41 scenarios the tail is 2.05, so three: (100 + 80 + 60) / 3 = 80.
    assert expected_shortfall_micros(np.concatenate([TWENTY, np.zeros(21, np.int64)]), 9_500) == 80 * ONE
    # Rounded up: (5 + 4 + 4) / 3 = 4.33.
    assert expected_shortfall_micros(np.concatenate([ints(-5, -4, -4), np.ones(38, np.int64)]), 9_500) == 5


def test_a_book_that_never_lost_has_no_historical_var_and_no_shortfall():
    gains = ints(*range(1, 101))

    assert historical_var_micros(gains, 9_500) == 0
    assert expected_shortfall_micros(gains, 9_500) == 0


def test_parametric_var_is_the_deviation_times_the_normal_quantile_by_hand():
    # −2, 4, 4, 4, 5, 5, 7, 9 and 9, 15: mean 6, squared distances 64+4+4+4+1+1+1+9+9+81 = 178, over 9 = 19.8;
    # its root 4.45 is rounded up to 5; 1.644854 × 5 = 8.2 to 9, 2.326348 × 5 = 11.6 to 12.
    ten = ints(-2, 4, 4, 4, 5, 5, 7, 9, 9, 15)

    assert deviation_micros(ten) == 5
    assert parametric_var_micros(ten, 9_500) == 9
    assert parametric_var_micros(ten, 9_900) == 12


@pytest.mark.parametrize(
    ("level_bps", "of_bps"),
    [
        (9_000, 9_000),
        (9_001, 9_500),
        (9_500, 9_500),
        (9_501, 9_750),
        (9_750, 9_750),
        (9_900, 9_900),
        (9_901, 9_950),
        (9_950, 9_950),
        (9_951, 9_990),
        (9_990, 9_990),
        (9_991, 9_999),
        (9_999, 9_999),
    ],
)
def test_the_normal_quantile_is_that_of_the_next_level_of_the_tables(level_bps, of_bps):
    exact = NormalDist().inv_cdf(of_bps / 10_000) * 1e6

    assert 0 <= normal_quantile_ppm(level_bps) - exact < 1.5


def test_the_larger_of_the_two_counts():
    # Losing 10 or making 10 by turns: the tail says 10, the normal curve 1.64 × 10 and a little.
    turns = ints(*([10 * ONE, -10 * ONE] * 50))
    # One loss of 1,000 in a hundred: the deviation is 100, so the tail at 99 % says more.
    rare = ints(*([0] * 99), -1_000 * ONE)

    assert historical_var_micros(turns, 9_500) == 10 * ONE
    assert value_at_risk_micros(turns, 9_500) == parametric_var_micros(turns, 9_500) > 16 * ONE
    assert parametric_var_micros(rare, 9_900) < 233 * ONE
    assert value_at_risk_micros(rare, 9_900) == historical_var_micros(rare, 9_900) == 1_000 * ONE


def test_a_book_of_two_has_the_scenarios_of_both_by_hand():
    # A: 100 → 110 → 99, so +10 % and −10 %; B: 50 → 49 → 49.98, so −2 % and +2 %.
    # Ten A at 99 are 990: +99 and −99. Forty B at 49.98 are 1,999.20: −39.984 and +39.984.
    window = window_of(A=[100, 110, 99], B=[50, 49, 49.98])
    prices = {A: 99 * ONE, B: 49_980_000}

    scenarios = prepare(window, {A: 10, B: 40}, prices)

    assert scenarios.returns_ppm.tolist() == [[100_000, -100_000], [-20_000, 20_000]]
    # Two scenarios are too few to trust, so the book is told as unmeasured; alone it can be worked out.
    assert scenarios.too_short == {A, B}
    assert scenarios.unmeasured == (A, B)
    pnl = order_pnl_micros(990 * ONE, scenarios.returns_of(A))
    pnl = pnl + order_pnl_micros(1_999_200_000, scenarios.returns_of(B))
    assert pnl.tolist() == [99_000_000 - 39_984_000, -99_000_000 + 39_984_000]


def test_two_that_move_against_each_other_risk_less_than_either_by_hand():
    # A ±1 % and B ∓1 % by turns, 1,000 of each: the book does not move. With A alone it loses 10 at 95 %, and
    # its deviation is 10 × √(100 / 99) = 10.050378…; 1.644854 × 10.050378 = 16.531406…
    ups = [10_000, -10_000] * 50
    a, b = ints(*ups), -ints(*ups)
    book = order_pnl_micros(1_000 * ONE, a)

    assert historical_var_micros(book, 9_500) == 10 * ONE
    assert parametric_var_micros(book, 9_500) == pytest.approx(16_531_406, abs=20)
    assert var_with_order_micros(book, b, 10, 100 * ONE, 9_500) == 0
    assert var_with_order_micros(book, a, 10, 100 * ONE, 9_500) == pytest.approx(2 * 16_531_406, abs=40)
    assert var_with_order_micros(book, a, -10, 100 * ONE, 9_500) == 0  # the same shares sold


def test_drawdown_is_told_from_the_highest_equity_by_hand():
    # 100, 120, 90, 108, 120, 60, 90: from 120, first two sessions long (−25 %), later −50 % and −25 %.
    equities = [number * ONE for number in (100, 120, 90, 108, 120, 60, 90)]

    assert drawdown(equities[:1]) == Drawdown(100 * ONE, 0, 0)
    assert drawdown(equities[:4]) == Drawdown(120 * ONE, 12 * ONE, 2)
    assert drawdown(equities[:4]).depth_bps == 1_000
    assert drawdown(equities[:5]) == Drawdown(120 * ONE, 0, 0)
    assert drawdown(equities) == Drawdown(120 * ONE, 30 * ONE, 2)
    assert deepest_drawdown(equities) == Drawdown(120 * ONE, 60 * ONE, 1)
    assert deepest_drawdown(equities).depth_bps == 5_000
    assert longest_drawdown(equities) == 2


def test_a_drawdown_is_rounded_up_and_without_a_highest_over_nothing_it_is_whole():
    assert drawdown([3 * ONE, 2 * ONE]).depth_bps == 3_334
    assert drawdown([0, -1]).depth_bps == 10_000
    with pytest.raises(ValueError, match="no session"):
        drawdown([])


def test_exposures_are_told_by_hand():
    # 600 long, 150 short, 250 long of an equity of 800: gross 1,000, net 700.
    assert exposures([600, -150, 250], equity_micros=800) == Exposures(
        gross_micros=1_000,
        net_micros=700,
        largest_micros=600,
        leverage_bps=12_500,
        concentration_bps=7_500,
    )
    assert exposures([1], equity_micros=3).leverage_bps == 3_334  # rounded up
    assert exposures([], equity_micros=0) == Exposures(0, 0, 0, 0, 0)
    assert exposures([5], equity_micros=0) == Exposures(5, 5, 5, NOT_MEASURABLE, NOT_MEASURABLE)


@pytest.mark.parametrize(
    ("price", "distance_bps"),
    [(100, 800), (96, 400), (92, 0), (91, -100), (110, 1_800)],
)
def test_the_distance_to_a_stop_of_eight_percent_is_told_by_hand(price, distance_bps):
    # Ten bought at 100: the stop stands at 92.
    assert (
        stop_distance_bps(cost_micros=1_000 * ONE, quantity=10, price_micros=price * ONE, stop_bps=800)
        == distance_bps
    )


def test_a_stop_without_a_cost_is_refused():
    with pytest.raises(ValueError, match="positive cost"):
        stop_distance_bps(cost_micros=0, quantity=10, price_micros=ONE, stop_bps=800)
    with pytest.raises(ValueError, match="positive cost"):
        stop_distance_bps(cost_micros=ONE, quantity=0, price_micros=ONE, stop_bps=800)


# -------------------------------------------------------------------------------- what history says


def test_scenarios_are_the_last_year_of_the_window():
    closes = walk(1, 400)

    scenarios = prepare(window_of(A=closes), {}, {})

    assert scenarios.returns_ppm.shape == (1, SCENARIOS_MAX)
    last_ppm = round((closes[-1] / closes[-2] - 1) * 1e6)
    assert scenarios.returns_of(A)[-1] == last_ppm
    assert scenarios.is_sufficient(A)


@pytest.mark.parametrize(("sessions", "is_enough"), [(SCENARIOS_MIN, False), (SCENARIOS_MIN + 1, True)])
def test_a_quarter_of_a_year_is_the_shortest_history(sessions, is_enough):
    scenarios = prepare(window_of(A=walk(1, sessions)), {}, {})

    assert scenarios.is_sufficient(A) is is_enough
    assert scenarios.too_short == (frozenset() if is_enough else {A})


def test_an_empty_window_has_enough_history_for_nothing():
    scenarios = prepare(window_of(A=[]), {A: 5}, {A: ONE})

    assert scenarios.pnl_micros.size == 0
    assert scenarios.unmeasured == (A,)
    assert value_at_risk_micros(scenarios.pnl_micros, 9_500) == NOT_MEASURABLE


def test_a_gap_counts_whole_in_the_session_that_ends_it():
    closes = walk(1, 101)
    closes[40], closes[50], closes[51], closes[52] = 80.0, np.nan, np.nan, 60.0
    closes[49] = 80.0

    returns = prepare(window_of(A=closes), {}, {}).returns_of(A)

    assert returns[49:52].tolist() == [0, 0, -250_000]


@pytest.mark.parametrize(("missing", "is_enough"), [(10, True), (11, False)])
def test_a_tenth_of_the_scenarios_may_be_without_a_quote(missing, is_enough):
    closes = walk(1, 101)
    for row in range(2, 2 + missing * 2, 2):
        closes[row] = np.nan

    assert prepare(window_of(A=closes), {}, {}).is_sufficient(A) is is_enough


def test_a_symbol_listed_later_than_the_first_scenario_has_too_little_history():
    late = [np.nan, *walk(1, 100)]

    scenarios = prepare(window_of(A=late, B=walk(2, 101)), {A: 1, B: 1}, {A: ONE, B: ONE})

    assert scenarios.too_short == {A}
    assert scenarios.unmeasured == (A,)
    assert not scenarios.is_sufficient(B)  # what is held already cannot be told, so neither can more


@pytest.mark.parametrize("bad", [0.0, -5.0, np.inf])
def test_a_close_that_is_no_price_is_as_good_as_none(bad):
    closes, gap = walk(1, 101), walk(1, 101)
    closes[30], gap[30] = bad, np.nan

    returns = [prepare(window_of(A=each), {}, {}).returns_of(A).tolist() for each in (closes, gap)]

    assert returns[0] == returns[1]


def test_a_move_of_more_than_tenfold_is_no_history():
    flat = [1.0] * 101
    flat[60:] = [11.0] * 41
    assert prepare(window_of(A=flat), {}, {}).is_sufficient(A)
    flat[60:] = [11.00001] * 41
    assert not prepare(window_of(A=flat), {}, {}).is_sufficient(A)


@pytest.mark.parametrize("prices", [{}, {A: 0}, {A: -ONE}])
def test_a_position_without_a_price_leaves_the_book_unmeasured(prices):
    window = window_of(A=walk(1), B=walk(2))

    scenarios = prepare(window, {A: 3, B: 2}, {B: ONE, **prices})

    assert scenarios.unmeasured == (A,)
    assert not scenarios.is_sufficient(B)


def test_a_symbol_that_the_window_does_not_know_leaves_the_book_unmeasured():
    scenarios = prepare(window_of(A=walk(1)), {C: 1}, {C: ONE})

    assert scenarios.unmeasured == (C,)
    assert not scenarios.is_sufficient(C)
    assert scenarios.returns_of(C).tolist() == [0] * SCENARIOS_MAX


def test_shares_of_which_none_are_held_ask_for_no_history():
    scenarios = prepare(window_of(A=walk(1)), {C: 0}, {})

    assert scenarios.unmeasured == ()
    assert scenarios.is_sufficient(A)


def test_a_book_too_large_for_its_sums_is_not_measured_instead_of_wrong():
    window = window_of(A=walk(1), B=walk(2))
    most = VALUE_MICROS_MAX // ONE

    assert prepare(window, {A: most}, {A: ONE}).unmeasured == ()
    assert prepare(window, {A: most + 1}, {A: ONE}).unmeasured == (A,)
    assert prepare(window, {A: most, B: 1}, {A: ONE, B: ONE}).unmeasured == (B,)
    assert prepare(window, {A: -most, B: 1}, {A: ONE, B: ONE}).unmeasured == (B,)


def test_one_more_order_is_the_book_with_it():
    window, prices = window_of(A=walk(1), B=walk(2)), {A: 7 * ONE, B: 9_990_001}
    before = prepare(window, {A: 30}, prices)

    after = before.with_order(B, quantity=20, price_micros=prices[B])
    sold = after.with_order(A, quantity=-30, price_micros=prices[A])

    assert after.pnl_micros.tolist() == prepare(window, {A: 30, B: 20}, prices).pnl_micros.tolist()
    # Each part is rounded down by itself, so that what is bought and sold again leaves a micro-unit at most.
    assert sold.pnl_micros == pytest.approx(prepare(window, {B: 20}, prices).pnl_micros, abs=1)
    assert not after.pnl_micros.flags.writeable


@pytest.mark.parametrize(
    ("symbol", "quantity", "price"),
    [(C, 1, ONE), (A, 1, 0), (A, 1, -1), (A, VALUE_MICROS_MAX // ONE + 1, ONE)],
)
def test_one_more_order_that_cannot_be_measured_leaves_the_book_unmeasured(symbol, quantity, price):
    book = prepare(window_of(A=walk(1)), {}, {}).with_order(symbol, quantity=quantity, price_micros=price)

    assert book.unmeasured == (symbol,)
    assert not book.is_sufficient(A)


def test_orders_that_together_pass_what_sums_can_hold_leave_the_book_unmeasured():
    tenfold = [1.0] * 60 + [11.0] * 41
    book = prepare(window_of(A=tenfold), {}, {})
    one = book.with_order(A, quantity=VALUE_MICROS_MAX // ONE, price_micros=ONE)
    two = one.with_order(A, quantity=VALUE_MICROS_MAX // ONE, price_micros=ONE)

    assert one.unmeasured == ()
    assert int(one.pnl_micros.max()) <= PNL_MICROS_MAX
    assert two.unmeasured == (A,)


# -------------------------------------------------------------------------------- an order

STEADY = ints(*([-20_000, 10_000] * 50))


def test_the_quantity_asked_for_is_the_largest_where_it_passes():
    # Each share of 100 loses 2 in half the scenarios; its deviation is 1.5 × √(100/99) = 1.507557, so that
    # the normal curve says 2.479711: ten shares 24.797 and a little.
    nothing = np.zeros(100, np.int64)

    assert order_var(nothing, STEADY, 10, 100 * ONE, VarBound(9_500, 24_798_000)).largest == 10
    assert order_var(nothing, STEADY, 10, 100 * ONE, VarBound(9_500, 24_797_000)).largest == 9
    assert order_var(nothing, STEADY, 10, 100 * ONE, VarBound(9_500, 2_480_000)).largest == 1
    assert order_var(nothing, STEADY, 10, 100 * ONE, VarBound(9_500, 2_479_000)).largest == 0


def test_over_its_bound_a_book_takes_only_what_brings_it_back():
    book = order_pnl_micros(1_000 * ONE, STEADY)
    bound = VarBound(9_500, value_at_risk_micros(book, 9_500) - 1)

    assert order_var(book, STEADY, 1, 100 * ONE, bound).largest == 0
    assert order_var(book, -STEADY, 5, 100 * ONE, bound).largest == 5
    assert order_var(book, STEADY, -5, 100 * ONE, bound).largest == 5
    assert order_var(book, STEADY, -50, 100 * ONE, bound).largest == 0  # short four times what was held


def test_of_a_sale_that_goes_short_too_far_a_smaller_one_is_told():
    nothing = np.zeros(100, np.int64)

    told = order_var(nothing, STEADY, -10, 100 * ONE, VarBound(9_500, 2_480_000))

    assert told.largest == 1
    assert told.var_micros == var_with_order_micros(nothing, STEADY, -10, 100 * ONE, 9_500)


def test_the_risk_of_an_order_is_told_on_the_book_as_it_stands():
    book = prepare(window_of(A=walk(1), B=walk(2)), {A: 10}, {A: 100 * ONE})
    bound = VarBound(9_500, 10**12)

    after = book.with_order(B, quantity=5, price_micros=ONE)
    assert book.order_var(B, quantity=5, price_micros=ONE, bound=bound).var_micros == after.var_micros(9_500)
    assert book.var_micros(9_900) > book.var_micros(9_500) > 0


@pytest.mark.parametrize(("symbol", "price"), [(C, ONE), (A, 0), (A, -1)])
def test_an_order_that_cannot_be_measured_is_over_every_limit(symbol, price):
    book = prepare(window_of(A=walk(1)), {}, {})
    unmeasured = prepare(window_of(A=walk(1)), {C: 1}, {})
    bound = VarBound(9_500, NOT_MEASURABLE - 1)

    assert book.order_var(symbol, quantity=1, price_micros=price, bound=bound) == (NOT_MEASURABLE, 0)
    assert unmeasured.order_var(A, quantity=1, price_micros=ONE, bound=bound) == (NOT_MEASURABLE, 0)
    assert unmeasured.var_micros(9_500) == NOT_MEASURABLE


@pytest.mark.parametrize("quantity", [VALUE_MICROS_MAX // ONE + 1, 2**62])
def test_an_order_too_large_for_its_sums_is_over_every_limit(quantity):
    nothing = np.zeros(100, np.int64)

    assert var_with_order_micros(nothing, STEADY, quantity, ONE, 9_500) == NOT_MEASURABLE
    # A share of 1 risks 0.02479711: forty of them 0.99 of the 1 allowed.
    assert order_var(nothing, STEADY, quantity, ONE, VarBound(9_500, ONE)).largest == 40


def test_the_largest_order_that_can_be_counted_is_counted_right():
    most = VALUE_MICROS_MAX // ONE
    tenfold = np.full(100, -risk.RETURN_PPM_MAX)
    tenfold[::2] = 0

    assert historical_var_micros(order_pnl_micros(most * ONE, tenfold), 9_500) == most * ONE * 10
    assert var_with_order_micros(np.zeros(100, np.int64), tenfold, most, ONE, 9_500) > most * ONE * 8


# -------------------------------------------------------------------------------- a second version

BOOKS = st.lists(st.lists(st.integers(-(10**13), 10**13), min_size=60, max_size=60), min_size=1, max_size=4)
LEVELS = st.sampled_from([(9_500, 0.05, "1.644854"), (9_900, 0.01, "2.326348")])


@settings(deadline=None)
@given(st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=250), LEVELS)
def test_historical_var_and_shortfall_are_those_of_numpy_and_pandas(pnl, level):
    level_bps, tail, _ = level
    series = pd.Series(pnl)

    assert historical_var_micros(ints(*pnl), level_bps) == max(
        -int(np.quantile(pnl, tail, method="inverted_cdf")), 0
    )
    worst = series.nsmallest(max(int(np.ceil(round(len(pnl) * tail, 9))), 1))
    exact = -Fraction(sum(map(int, worst)), len(worst))
    assert expected_shortfall_micros(ints(*pnl), level_bps) == max(
        -(-exact.numerator // exact.denominator), 0
    )


@settings(deadline=None)
@given(st.lists(st.integers(-(10**15), 10**15), min_size=2, max_size=250), LEVELS)
def test_parametric_var_is_that_of_exact_decimals_and_never_under_it(pnl, level):
    level_bps, _, z = level
    with localcontext() as context:
        context.prec = 60
        mean = Decimal(sum(pnl)) / len(pnl)
        variance = sum((Decimal(number) - mean) ** 2 for number in pnl) / (len(pnl) - 1)
        exact = (Decimal(z) * variance.sqrt()).to_integral_value(ROUND_CEILING)
    step = max(max(map(abs, pnl)) // 2**21, 1)

    assert exact <= parametric_var_micros(ints(*pnl), level_bps) <= exact + 8 * step + 2


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(60, 250), LEVELS)
def test_parametric_var_of_a_book_is_that_of_the_covariance_of_what_it_holds(seed, held, count, level):
    rng = np.random.default_rng(seed)
    level_bps, _, z = level
    shared = rng.normal(0, 0.01, count)
    frame = pd.DataFrame({n: 0.7 * shared + rng.normal(0, 0.01, count) for n in range(held)})
    returns_ppm = (frame * 1e6).round().astype("int64")
    worth = rng.integers(10**9, 10**12, held)
    pnl = sum(order_pnl_micros(int(worth[n]), returns_ppm[n].to_numpy()) for n in range(held))

    weights = worth.astype(float)
    exact = float(z) * np.sqrt(weights @ (returns_ppm / 1e6).cov().to_numpy() @ weights)
    assert parametric_var_micros(pnl, level_bps) == pytest.approx(exact, rel=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(-1_000, 1_000), max_size=60), st.integers(-10, 1_200), LEVELS)
def test_being_within_a_bound_is_having_a_value_at_risk_that_is(pnl, limit, level):
    said = is_within(ints(*pnl), VarBound(level[0], limit))

    assert said == (value_at_risk_micros(ints(*pnl), level[0]) <= limit)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400), st.integers(1, 10**9))
def test_what_is_called_the_largest_passes_and_one_more_does_not(seed, quantity, limit):
    rng = np.random.default_rng(seed)
    pnl = np.rint(rng.normal(0, 10**8, 100)).astype(np.int64)
    returns = np.rint(rng.normal(0, 20_000, 100)).astype(np.int64)

    def within(some):
        return var_with_order_micros(pnl, returns, some, 50 * ONE, 9_500) <= limit

    largest = order_var(pnl, returns, quantity, 50 * ONE, VarBound(9_500, limit)).largest

    assert 0 <= largest <= quantity
    assert largest == 0 or within(largest)
    assert largest == quantity or not within(largest + 1) or not within(0)
    tighter = order_var(pnl, returns, quantity, 50 * ONE, VarBound(9_500, limit * 9 // 10)).largest
    assert tighter <= largest


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=60))
def test_drawdowns_are_those_of_pandas(equities):
    series = pd.Series(equities)
    falls = 1 - series / series.cummax()

    last, deepest = drawdown(equities), deepest_drawdown(equities)
    assert last.peak_micros == series.cummax().iloc[-1]
    assert last.depth_micros / last.peak_micros == pytest.approx(falls.iloc[-1], abs=1e-9)
    assert deepest.depth_micros / deepest.peak_micros == pytest.approx(falls.max(), abs=1e-4)
    under = series < series.cummax()
    runs = under.groupby((~under).cumsum()).sum()
    assert longest_drawdown(equities) == runs.max()
    assert last.sessions == runs.iloc[-1]


@settings(deadline=None)
@given(
    st.lists(st.integers(-(10**15), 10**15), min_size=1, max_size=30),
    st.integers(1, 10**15),
)
def test_exposures_are_those_of_pandas(values, equity):
    series = pd.Series(values)

    told = exposures(values, equity_micros=equity)
    assert (told.gross_micros, told.net_micros) == (series.abs().sum(), series.sum())
    assert told.leverage_bps == pytest.approx(series.abs().sum() / equity * 10_000, abs=1, rel=1e-9)
    assert told.concentration_bps == pytest.approx(series.abs().max() / equity * 10_000, abs=1, rel=1e-9)
    assert abs(told.net_micros) <= told.gross_micros <= len(values) * told.largest_micros


@settings(deadline=None)
@given(BOOKS)
def test_scenarios_of_a_book_are_the_sum_of_its_parts_in_whatever_order(parts):
    rows = [np.array(part, dtype=np.int64) % 1_000_000 for part in parts]

    forwards = sum(order_pnl_micros(10**11 + n, row) for n, row in enumerate(rows))
    backwards = sum(order_pnl_micros(10**11 + n, row) for n, row in reversed(list(enumerate(rows))))
    assert np.array_equal(forwards, backwards)
    for n, row in enumerate(rows):
        exact = [(10**11 + n) * int(ppm) // 10**6 for ppm in row]
        assert order_pnl_micros(10**11 + n, row).tolist() == exact


def test_a_longer_history_than_is_asked_for_changes_nothing():
    closes = walk(3, 300)

    long, short = (prepare(window_of(A=each), {A: 5}, {A: ONE}) for each in (closes, closes[-251:]))

    assert np.array_equal(long.pnl_micros, short.pnl_micros)


@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=40),
    st.sampled_from([9_000, 9_500, 9_750, 9_900, 9_990, 9_999]),
)
def test_value_at_risk_is_never_over_what_no_scenario_exceeds_makes_it_at_most(pnl, level_bps):
    worst = max(abs(each) for each in pnl)

    assert value_at_risk_micros(ints(*pnl), level_bps) <= var_bound_micros(float(worst), len(pnl), level_bps)
