"""Honest statistics: the papers' own numbers, and what must hold of any series."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.honest import (
    Interval,
    bootstrap_interval,
    chosen_forward,
    deflated_sharpe,
    expected_max_sharpe,
    forward_returns,
    honesty_of,
    overfitting_of,
    probabilistic_sharpe,
    purged_folds,
    sharpe_deviation,
    told_apart,
    track_record_sessions_min,
    walk_forward,
)
from trading.performance import sharpe, total_return


def noise(sessions: int, trials: int, seed: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).normal(0, 0.01, (sessions, trials))


# ------------------------------------------------------------------------------------ the papers' numbers

# Bailey and López de Prado (2014), a numerical example: 2.5 a year over five years of 250 days, skew −3,
# kurtosis 10, a variance of one half among the annual Sharpe ratios of the trials.
FOUND = {"sharpe": 2.5 / math.sqrt(250), "sessions": 1_250, "deviation": math.sqrt(0.5 / 250)}
FAT = {"skew": -3.0, "kurtosis": 10.0}
NORMAL = {"skew": 0.0, "kurtosis": 3.0}


def test_a_hundred_trials_are_expected_to_show_a_luck_of_0_1132_a_day():
    assert expected_max_sharpe(trials=100, deviation=FOUND["deviation"]) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(
    ("trials", "moments", "published"), [(100, FAT, 0.9004), (46, FAT, 0.9505), (88, NORMAL, 0.9505)]
)
def test_the_deflated_sharpe_ratio_is_the_one_of_its_paper(trials, moments, published):
    assert deflated_sharpe(trials=trials, **FOUND, **moments) == pytest.approx(published, abs=5e-5)


# Bailey and López de Prado (2012): two years of months at 0.458 a month, skew −2.448, kurtosis 10.164.
@pytest.mark.parametrize(
    ("moments", "published"), [({"skew": -2.448, "kurtosis": 10.164}, 0.913), (NORMAL, 0.982)]
)
def test_the_probabilistic_sharpe_ratio_is_the_one_of_its_paper(moments, published):
    ours = probabilistic_sharpe(sharpe=0.458, benchmark=0.0, sessions=24, **moments)

    assert ours == pytest.approx(published, abs=5e-4)


# The same paper: years until a true 2 is told from a 1 with 95 %, by days, weeks and months.
@pytest.mark.parametrize(("a_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_shortest_track_record_is_the_one_of_its_paper(a_year, years):
    ours = track_record_sessions_min(sharpe=2 / math.sqrt(a_year), benchmark=1 / math.sqrt(a_year), **NORMAL)

    assert ours / a_year == pytest.approx(years, abs=0.005)


def test_five_years_bear_45_trials_before_luck_reaches_1_a_year():
    # Bailey, Borwein, López de Prado and Zhu (2014), Pseudo-Mathematics and Financial Charlatanism.
    deviation = 1 / math.sqrt(5)

    assert expected_max_sharpe(trials=45, deviation=deviation) < 1
    assert expected_max_sharpe(trials=46, deviation=deviation) > 1


def test_as_many_sessions_as_it_takes_are_just_sure_enough():
    moments = {"sharpe": 0.1, "benchmark": 0.02, "skew": -0.5, "kurtosis": 5.0}
    needed = track_record_sessions_min(**moments)

    assert probabilistic_sharpe(sessions=math.ceil(needed), **moments) >= 0.95
    assert probabilistic_sharpe(sessions=math.floor(needed), **moments) < 0.95


def test_what_is_not_above_a_benchmark_has_no_record_long_enough():
    assert track_record_sessions_min(sharpe=0.1, benchmark=0.1, **NORMAL) is None


def test_moments_that_no_series_has_tell_nothing():
    assert probabilistic_sharpe(sharpe=1.0, benchmark=0.0, sessions=10, skew=5.0, kurtosis=3.0) is None
    assert probabilistic_sharpe(sharpe=1.0, benchmark=0.0, sessions=1, **NORMAL) is None


def test_one_trial_was_no_choice():
    assert expected_max_sharpe(trials=1, deviation=1.0) == 0
    with pytest.raises(ValueError, match="trials 0"):
        expected_max_sharpe(trials=0, deviation=1.0)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.integers(1, 1_000))
def test_more_trials_never_make_a_strategy_more_credible(trials, more):
    few, many = (deflated_sharpe(trials=count, **FOUND, **FAT) for count in (trials, trials + more))

    assert many <= few


# ------------------------------------------------------------------------------------------ overfitting


def worked_splits(trials: np.ndarray, blocks: int) -> list[tuple[float, float, bool]]:
    """Give of each split, by the definition: the best one's ratio, what it had afterwards, if overfit."""
    count = len(trials) // blocks
    stretches = [trials[len(trials) - (blocks - at) * count :][:count] for at in range(blocks)]
    worked = []
    for chosen in combinations(range(blocks), blocks // 2):
        first = np.concatenate([stretches[at] for at in chosen])
        second = np.concatenate([stretches[at] for at in range(blocks) if at not in chosen])
        before = [sharpe(first[:, column]) for column in range(trials.shape[1])]
        judged = [sharpe(second[:, column]) for column in range(trials.shape[1])]
        best = max(range(trials.shape[1]), key=lambda column: before[column])
        rank = sum(each < judged[best] for each in judged) + 1
        worked.append((before[best], judged[best], math.log(rank / (len(judged) + 1 - rank)) <= 0))
    return worked


def drawn_by_r(seed: int, count: int) -> np.ndarray:
    """Give what R's `rnorm(count)` draws after `set.seed(seed)`: Mersenne Twister, by inversion."""
    scrambled = []
    for _ in range(50 + 625):
        seed = (69_069 * seed + 1) % 2**32
        scrambled.append(seed)
    twister = np.random.MT19937()
    key = np.array(scrambled[51:], dtype=np.uint32)
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    uniform = (twister.random_raw(2 * count) * 2.3283064365386963e-10).reshape(-1, 2)
    chances = (np.floor(2**27 * uniform[:, 0]) + uniform[:, 1]) / 2**27
    return np.array([NormalDist().inv_cdf(chance) for chance in chances])


def centred(trials: np.ndarray) -> np.ndarray:
    """Give trials scaled to a deviation of 1 a year, all of a mean of 0."""
    scaled = trials / np.std(trials, axis=0, ddof=1) / math.sqrt(252)
    return scaled - scaled.mean(axis=0)


@dataclass(frozen=True, kw_only=True)
class Published:
    """What R's package `pbo` was published with.

    `line` bounds the constant and the adjusted R² of the line through each split's two ratios; the package
    calls that constant `slope`.
    """

    trials: Callable[[], np.ndarray]
    blocks: int
    pbo: float
    loss_share: float
    line: tuple[tuple[float, float], tuple[float, float]] | None


PUBLISHED = {
    # Its vignette prints 1.0000000, −0.0030456, 0.9700000 and 1.0000000, to five and two digits.
    "vignette": Published(
        trials=lambda: centred(drawn_by_r(765, 240_000).reshape(100, 2_400).T),
        blocks=8,
        pbo=1.0,
        loss_share=1.0,
        line=((-0.00304565, -0.00304555), (0.965, 0.975)),
    ),
    # Its tests hold each of the four between two bounds, around a half where it is one.
    "tests": Published(
        trials=lambda: drawn_by_r(852, 8_000).reshape(200, 40),
        blocks=4,
        pbo=0.5,
        loss_share=0.5,
        line=((0.19, 0.20), (-0.24, -0.22)),
    ),
    # Its tests again, two splits: exactly none overfit, exactly half at a loss.
    "small": Published(
        trials=lambda: drawn_by_r(852, 80).reshape(20, 4), blocks=2, pbo=0.0, loss_share=0.5, line=None
    ),
}
"""Barry, `pbo`, on CRAN, which follows the paper. Its Sharpe ratio is above a rate of 0.03 a year.

The paper's own cases are drawn at random and nobody can have them again; these can be had to the bit. The
paper ranks over N + 1 and the package over N, which part the same trials at the median while N is even.
"""


def test_the_draws_are_those_that_r_makes():
    # Known to everyone who ever typed set.seed(123); rnorm(3), and set.seed(42); rnorm(2).
    assert drawn_by_r(123, 3).round(8).tolist() == [-0.56047565, -0.23017749, 1.55870831]
    assert drawn_by_r(42, 2).round(7).tolist() == [1.3709584, -0.5646982]


@pytest.mark.parametrize("name", PUBLISHED)
def test_overfitting_is_what_was_published_of_trials_that_can_be_drawn_again(name):
    published = PUBLISHED[name]
    trials = published.trials() - 0.03 / 252
    found = overfitting_of(trials, blocks=published.blocks)
    worked = worked_splits(trials, published.blocks)
    chosen, after, overfit = (np.array(column) for column in zip(*worked, strict=True))

    assert (found.pbo, found.loss_share) == (published.pbo, published.loss_share)
    assert (found.pbo, found.splits) == (np.mean(overfit), len(worked))
    # That the line is the package's shows that the ratios are; their means are ours.
    assert found.sharpe_chosen == pytest.approx(np.mean(chosen), rel=1e-9)
    assert found.sharpe_after == pytest.approx(np.mean(after), rel=1e-9)
    if published.line:
        drawn = line_through(after / math.sqrt(252), chosen / math.sqrt(252))
        assert all(low < number < high for number, (low, high) in zip(drawn, published.line, strict=True))


def line_through(across: np.ndarray, up: np.ndarray) -> tuple[float, float]:
    """Give the constant and the adjusted R² of the line through points."""
    slope, constant = np.polyfit(across, up, 1)
    left = np.sum((up - constant - slope * across) ** 2) / np.sum((up - up.mean()) ** 2)
    return float(constant), 1 - float(left) * (len(up) - 1) / (len(up) - 2)


def test_a_case_worked_by_hand():
    # Four stretches, each (+, −) about its mean: A means 3 1 1 1, B means 1 2 2 2 (%), deviations equal but
    # for what the means add. A is chosen on a half with its 3 against one more (3 and 1: 2; B 1 and 2: 1.5),
    # and then B is better in the other half (A 1, B 2); on a half without it B is chosen (2 against 1), and
    # A is better in the other half (2 against 1.5). Every one of the six splits is overfit.
    a = np.repeat([0.03, 0.01, 0.01, 0.01], 4) + np.tile([0.05, -0.05], 8)
    b = np.repeat([0.01, 0.02, 0.02, 0.02], 4) + np.tile([0.05, -0.05], 8)
    found = overfitting_of(np.column_stack([a, b]), blocks=4)

    assert (found.pbo, found.splits, found.loss_share) == (1.0, 6, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_its_definition_gives(seed):
    # Each trial rises in stretches of its own, so that a half's deviation hangs on its mean.
    stretch = np.arange(67)[:, None] // 11
    trials = noise(67, 7, seed) + np.where((stretch + seed) % np.arange(2, 9) == 0, 0.02, 0.0)

    worked = [overfit for _, _, overfit in worked_splits(trials, 6)]
    assert overfitting_of(trials, blocks=6).pbo == pytest.approx(np.mean(worked))


def test_pure_luck_is_a_coin_s_throw():
    shares = [overfitting_of(noise(400, 20, seed), blocks=8).pbo for seed in range(60)]

    assert np.mean(shares) == pytest.approx(0.5, abs=0.08)


def test_a_strategy_better_than_all_others_is_not_overfit():
    trials = noise(400, 20, 1)
    trials[:, 7] += 0.01

    found = overfitting_of(trials)
    assert found.pbo == 0
    assert found.loss_share == 0
    assert found.sharpe_after > 10


def test_trials_that_all_end_where_they_began_are_overfit_by_every_choice():
    # The paper's first test case: each trial's mean is taken out, so that what is won in one half is lost
    # in the other.
    trials = noise(1_000, 100, 5)
    found = overfitting_of(trials - trials.mean(axis=0), blocks=8)

    assert found.pbo == 1.0
    assert found.sharpe_chosen > 0 > found.sharpe_after


def test_the_oldest_sessions_that_do_not_divide_are_left_out():
    trials = noise(83, 4, 2)

    assert overfitting_of(trials, blocks=8) == overfitting_of(trials[3:], blocks=8)
    assert overfitting_of(trials, blocks=8).sessions == 80


def test_equal_trials_share_their_rank_and_idle_ones_earn_nothing():
    one = noise(64, 1, 3)[:, 0]
    same = overfitting_of(np.column_stack([one, one, one]), blocks=4)
    idle = overfitting_of(np.column_stack([np.abs(one), 0 * one]), blocks=4)

    assert same.pbo == 1.0
    assert idle.pbo == 0.0


@given(copies=st.lists(st.integers(0, 3), max_size=12))
def test_copies_of_trials_tell_nothing_that_one_of_each_does_not(copies):
    trials = noise(64, 4, 3)

    assert np.array_equal(told_apart(np.column_stack([trials, trials[:, copies]])), trials)


@pytest.mark.parametrize(("apart", "stay"), [(0.0, 4), (0.01, 4), (0.2, 12)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_near_copy_of_a_trial_is_one_with_it_whatever_its_size_and_another_trial_is_not(apart, stay, scale):
    trials = noise(512, 4, 3)
    near = scale * (np.tile(trials, 2) + apart * trials.std() * noise(512, 8, 4) / noise(512, 8, 4).std())

    found = told_apart(np.column_stack([trials, near]))
    assert found.shape == (512, stay)
    assert np.array_equal(found[:, :4], trials)


def test_near_copies_of_a_trial_make_luck_look_no_smaller():
    """A hundred variants of one parameter, each moved by a hair, differ in nothing that was chosen."""
    trials = noise(512, 4, 3)
    hairs = trials[:, :1] + 1e-6 * noise(512, 100, 4)

    assert sharpe_deviation(told_apart(np.column_stack([trials, hairs]))) == sharpe_deviation(trials)


def test_trials_that_never_varied_are_no_copies_of_any_that_did():
    idle, one = np.zeros((64, 2)), noise(64, 1, 3)

    assert told_apart(np.column_stack([one, idle, 0.001 + idle])).shape == (64, 3)


@pytest.mark.parametrize("trials", [noise(64, 1, 0), noise(63, 5, 0), noise(0, 5, 0)])
def test_one_trial_or_too_few_sessions_tell_nothing(trials):
    assert overfitting_of(trials, blocks=16) is None


@pytest.mark.parametrize("blocks", [0, 3])
def test_halves_take_an_even_number_of_stretches(blocks):
    with pytest.raises(ValueError, match="must be even"):
        overfitting_of(noise(64, 2, 0), blocks=blocks)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_neither_the_stake_nor_the_names_of_trials_change_the_choice(seed, stake):
    trials = noise(96, 5, seed)
    found = overfitting_of(trials, blocks=6)

    assert overfitting_of(trials * stake, blocks=6).pbo == found.pbo
    assert overfitting_of(trials[:, ::-1], blocks=6).pbo == found.pbo


# ------------------------------------------------------------------------------------------------- folds


def test_a_walk_trains_on_what_was_known_before_each_test():
    first, second = walk_forward(20, train=8, test=4, purge=2)

    assert (first.train, first.test) == ((range(8),), range(10, 14))
    assert (second.train, second.test) == ((range(4, 12),), range(14, 18))


def test_an_anchored_walk_trains_on_all_that_came_before():
    assert [fold.train for fold in walk_forward(20, train=8, test=4, is_anchored=True)] == [
        (range(8),),
        (range(12),),
        (range(16),),
    ]


def test_no_room_for_a_test_is_no_fold():
    assert walk_forward(11, train=8, test=4) == ()


@pytest.mark.parametrize(
    "lengths", [{"train": 0, "test": 1}, {"train": 1, "test": 0}, {"train": 1, "test": 1, "purge": -1}]
)
def test_a_length_that_is_none_is_refused(lengths):
    with pytest.raises(ValueError, match="must be at least"):
        walk_forward(10, **lengths)


@pytest.mark.parametrize(("folds", "sessions"), [(1, 10), (5, 4)])
def test_folds_take_a_session_each_and_one_to_train_on(folds, sessions):
    with pytest.raises(ValueError, match="takes 2 folds"):
        purged_folds(sessions, folds=folds)


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(2, 10), st.integers(0, 10), st.integers(0, 10))
def test_no_fold_trains_near_its_test_and_every_session_is_tested_once(sessions, folds, purge, embargo):
    if sessions < folds:
        return
    made = purged_folds(sessions, folds=folds, purge=purge, embargo=embargo)

    assert [row for fold in made for row in fold.test] == list(range(sessions))
    for fold in made:
        trained = set(fold.train_rows().tolist()) if fold.train else set()
        near = set(range(fold.test.start - purge, fold.test.stop + purge + embargo))
        assert trained == set(range(sessions)) - near


@settings(deadline=None)
@given(st.integers(1, 120), st.integers(1, 30), st.integers(1, 30), st.integers(0, 10))
def test_a_walk_never_trains_on_its_test_or_after(sessions, train, test, purge):
    folds = walk_forward(sessions, train=train, test=test, purge=purge)

    for fold in folds:
        assert fold.train[0].stop + purge == fold.test.start
        assert len(fold.train[0]) == train
    tested = [row for fold in folds for row in fold.test]
    assert tested == list(range(train + purge, train + purge + test * len(folds)))


def test_choosing_forward_takes_the_best_of_training_and_lives_with_the_test():
    # The first trial rises and then falls; the second does nothing but wobble upwards.
    wobble = np.tile([0.01, -0.009], 40)
    trials = np.column_stack([np.where(np.arange(80) < 40, 0.01, -0.01) + wobble, wobble])
    folds = walk_forward(80, train=20, test=20)
    chosen = chosen_forward(trials, folds)

    assert [each.trial for each in chosen] == [0, 0, 1]
    assert chosen[1].train.total_return > 0 > chosen[1].test.total_return
    made = forward_returns(trials, chosen)
    assert made.tolist() == [*trials[20:60, 0], *trials[60:80, 1]]


def test_a_fold_without_a_trial_that_moved_chooses_nothing():
    assert chosen_forward(np.zeros((40, 3)), walk_forward(40, train=20, test=20)) == ()


# --------------------------------------------------------------------------------------------- intervals


def test_an_interval_is_the_same_for_its_seed_and_another_for_another():
    returns = noise(300, 1, 4)[:, 0]
    first, again, other = (bootstrap_interval(returns, sharpe, seed=seed, draws=200) for seed in (7, 7, 8))

    assert first == again
    assert isinstance(first, Interval)
    assert first != other
    assert first.block_sessions == 7
    # Drawn once and kept: the generator's bits are part of what a seed promises.
    assert (round(first.low, 6), round(first.high, 6)) == (0.072705, 3.18042)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    covered = []
    for seed in range(60):
        returns = noise(250, 1, 1_000 + seed)[:, 0] + 0.001
        found = bootstrap_interval(returns, lambda drawn: float(np.mean(drawn)), seed=seed, draws=200)
        covered.append(found.low <= 0.001 <= found.high)

    assert 0.85 <= np.mean(covered) <= 1.0


def test_blocks_keep_what_hangs_together():
    # Runs of ten equal sessions: drawn one by one their mean would seem far surer than it is.
    returns = np.repeat(noise(60, 1, 6)[:, 0], 10)
    narrow, wide = (
        bootstrap_interval(returns, total_return, seed=1, draws=300, block_sessions=length)
        for length in (1, 40)
    )

    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


@pytest.mark.parametrize("returns", [np.empty(0), np.zeros(50)])
def test_what_has_no_measure_has_no_interval(returns):
    assert bootstrap_interval(returns, sharpe, seed=1, draws=50) is None


# ----------------------------------------------------------------------------------------------- together


def test_a_lucky_find_among_many_is_told_from_a_plain_one():
    trials = noise(500, 50, 11)
    ratios = [sharpe(trials[:, column]) for column in range(50)]
    best = trials[:, int(np.argmax(ratios))]
    alone = honesty_of(best, trials=1, seed=1, draws=50)
    among = honesty_of(best, trials=50, deviation=sharpe_deviation(trials), seed=1, draws=50)

    assert alone.deflated_sharpe == alone.probabilistic_sharpe > 0.95
    assert among.deflated_sharpe < 0.8
    assert among.luck_sharpe == pytest.approx(max(ratios), rel=0.5)
    assert [name for name, interval in among.intervals if interval is None] == []


def test_a_choice_among_trials_nobody_kept_tells_nothing_of_luck():
    told = honesty_of(noise(100, 1, 1)[:, 0], trials=20, seed=1, draws=20)

    assert told.probabilistic_sharpe is not None
    assert (told.deflated_sharpe, told.luck_sharpe) == (None, None)


def test_a_series_that_did_nothing_is_no_data():
    told = honesty_of(np.zeros(100), trials=1, seed=1, draws=20)

    assert (told.probabilistic_sharpe, told.deflated_sharpe, told.track_record_sessions_min) == (None,) * 3


def test_the_deviation_among_trials_takes_two_with_a_ratio():
    trials = noise(50, 3, 1)
    ratios = [sharpe(trials[:, column], per_year=1) for column in range(3)]

    assert sharpe_deviation(trials) == pytest.approx(np.std(ratios, ddof=1))
    assert sharpe_deviation(trials[:, :1]) is None


def test_every_way_to_choose_half_is_tried():
    assert overfitting_of(noise(64, 2, 1)).splits == 12_870
