"""Service levels: budgets and burn rates by plain arithmetic, and one level that follows from them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.slos import (
    BURNS,
    CONDUCT,
    PROMISES,
    WINDOW_SESSIONS,
    Count,
    Level,
    Objective,
    judged,
    standing_of,
)

FIRST = date(2012, 1, 2)


def counts(*pairs: tuple[int, int]) -> list[Count]:
    """Return counts of sessions that follow each other: good and total."""
    return [Count(FIRST + timedelta(days=place), *pair) for place, pair in enumerate(pairs)]


def test_no_data_is_neither_a_success_nor_an_alarm():
    standing = standing_of(Objective.LATENCY, counts((0, 0), (0, 0)))

    assert (standing.ratio, standing.budget_left, standing.alert) == (None, None, None)
    assert standing.burn_by_session == ((FIRST, None), (FIRST + timedelta(days=1), None))
    assert judged([standing], incidents_open=0).level is Level.NORMAL


def test_a_year_s_budget_of_one_in_a_hundred_is_two_and_a_half_sessions():
    standing = standing_of(Objective.AVAILABILITY, counts(*[(1, 1)] * 100, (0, 1), *[(1, 1)] * 149))

    assert (standing.good, standing.total) == (249, 250)
    assert standing.budget_left == pytest.approx(1 - 1 / 2.5)
    assert standing.level is Level.NORMAL


def test_a_bad_session_is_an_incident_while_it_is_the_last_and_watched_for_a_week():
    levels = [
        standing_of(Objective.AVAILABILITY, counts(*[(1, 1)] * 200, (0, 1), *[(1, 1)] * since)).level
        for since in range(7)
    ]

    assert levels == [Level.INCIDENT, *[Level.WATCH] * 4, Level.NORMAL, Level.NORMAL]


def test_a_budget_that_is_spent_is_watched_though_nothing_burns_now():
    pairs = [(1, 1)] * 200
    for place in (10, 60, 110):
        pairs[place] = (0, 1)
    standing = standing_of(Objective.AVAILABILITY, counts(*pairs))

    assert standing.alert is None
    assert standing.budget_left < 0
    assert judged([standing], incidents_open=0).reasons == (
        "availability has spent its budget: 197 of 200 sessions were good",
    )


def test_what_is_older_than_the_window_is_forgotten():
    bad = [(0, 1)] * 20
    standing = standing_of(Objective.FRESHNESS, counts(*bad, *[(1, 1)] * WINDOW_SESSIONS))

    assert (standing.total, standing.ratio, standing.level) == (WINDOW_SESSIONS, 1.0, Level.NORMAL)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: (min(pair), max(pair))), max_size=300
    )
)
def test_budget_and_burn_are_what_the_counts_say(pairs):
    standing = standing_of(Objective.EXECUTION, counts(*pairs))

    window = pairs[-WINDOW_SESSIONS:]
    good, total = sum(pair[0] for pair in window), sum(pair[1] for pair in window)
    assert (standing.good, standing.total) == (good, total)
    if total:
        assert standing.budget_left == pytest.approx(1 - (total - good) / (0.01 * total))
        assert (standing.budget_left >= 0) == ((total - good) * 100 <= total) or abs(
            standing.budget_left
        ) < 1e-9
    if standing.alert is not None:
        bad_now = window[-standing.alert.short_sessions :]
        assert any(pair[0] < pair[1] for pair in bad_now)


@settings(deadline=None)
@given(st.permutations(range(6)))
def test_the_order_in_which_counts_come_does_not_matter(order):
    listed = counts((1, 2), (0, 1), (3, 3), (1, 1), (2, 2), (0, 0))

    assert standing_of(Objective.LATENCY, [listed[place] for place in order]) == standing_of(
        Objective.LATENCY, listed
    )


def test_a_count_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="2 good of 1"):
        standing_of(Objective.LATENCY, counts((2, 1)))


@pytest.mark.parametrize(
    ("incidents", "violations", "level"),
    [(0, 0, Level.NORMAL), (1, 0, Level.WATCH), (0, 1, Level.INCIDENT), (2, 1, Level.INCIDENT)],
)
def test_open_incidents_are_watched_and_a_broken_invariant_is_never_tolerated(incidents, violations, level):
    judgement = judged([], incidents_open=incidents, violations=violations)

    assert judgement.level is level
    assert len(judgement.reasons) == (incidents > 0) + (violations > 0)


def test_each_level_says_what_it_asks_and_each_objective_what_it_promises():
    assert [(CONDUCT[level].severity, CONDUCT[level].heartbeat_s) for level in Level] == [
        ("SEV-3", 300),
        ("SEV-2", 180),
        ("SEV-1", 60),
    ]
    assert set(PROMISES) == set(Objective)
    assert [burn.level for burn in BURNS] == [Level.INCIDENT, Level.WATCH]
