"""Service levels: budgets and burn rates by plain arithmetic, and one level that follows from them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.calendars import load_calendar
from trading.slos import (
    BURNS,
    CONDUCT,
    PAIRS,
    PROMISES,
    WINDOW_SESSIONS,
    WINDOWS,
    Count,
    Judged,
    Level,
    Objective,
    SessionTimes,
    available,
    degrading,
    judged,
    pair_burn,
    standing_of,
)

ROOT = Path(__file__).parents[2]
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


NOON = datetime(2013, 2, 28, 12, 0, tzinfo=UTC)
HOUR = PAIRS[0]


def ago(minutes: int, *, good: int = 0, bad: int = 0) -> list[Judged]:
    """Return so many judgements of an instant before noon."""
    at = NOON - timedelta(minutes=minutes)
    return [Judged(at, is_good=True)] * good + [Judged(at, is_good=False)] * bad


@pytest.mark.parametrize(
    ("judgements", "burn"),
    [
        ([], None),
        (ago(2, good=9), 0.0),
        (ago(2, bad=1), 0.0),
        (ago(40, good=9), 0.0),
        (ago(2, good=98, bad=2), 2.0),
        (ago(40, good=98, bad=2), None),
        (ago(40, good=90, bad=10) + ago(2, good=100), 0.0),
        (ago(40, good=100) + ago(2, good=90, bad=10), 5.0),
        (ago(40, bad=50) + ago(2, good=99, bad=1), 1.0),
        (ago(70, bad=50) + ago(2, good=98, bad=2), 2.0),
        (ago(-1, bad=50) + ago(2, good=98, bad=2), 2.0),
    ],
)
def test_a_pair_burns_as_fast_as_the_slower_of_its_windows_and_one_slip_is_no_burn(judgements, burn):
    found = pair_burn(judgements, objective=Objective.LATENCY, pair=HOUR, now=NOON)

    assert found.burn == burn


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=60))
def test_a_pair_fires_only_where_both_of_its_windows_would(minutes):
    judgements = [one for ago_min, is_good in minutes for one in ago(ago_min, good=is_good, bad=not is_good)]
    for pair in PAIRS:
        found = pair_burn(judgements, objective=Objective.EXECUTION, pair=pair, now=NOON)
        if not found.burn:
            continue
        for window in (pair.long, pair.short):
            since = NOON - WINDOWS[window]
            inside = [one for one in judgements if since < one.at <= NOON]
            bad = sum(not one.is_good for one in inside)

            assert bad / len(inside) / 0.01 >= found.burn - 1e-6


def test_a_session_that_nobody_ran_is_missed_on_real_days_and_unknown_on_simulated_ones():
    calendar = load_calendar("XNYS", ROOT / "config" / "calendars")
    first, second = date(2013, 2, 26), date(2013, 2, 27)
    times = {
        first: SessionTimes(
            first, calendar.opens_at(first) - timedelta(minutes=45), calendar.closes_at(first)
        )
    }
    late = calendar.closes_at(second) + timedelta(hours=2)

    assert [one.is_good for one in available(times, calendar, now=None).values()] == [True]
    assert {on: one.is_good for on, one in available(times, calendar, now=late).items()} == {
        first: True,
        second: False,
    }
    assert available({}, calendar, now=late) == {}


def test_what_is_left_after_the_last_session_is_what_is_left():
    standing = standing_of(Objective.LATENCY, counts((99, 100), (98, 100), (100, 100)))

    assert [round(left, 9) for _, left in standing.left_by_session] == [
        round(1 - bad / 3, 9) for bad in (1, 3, 3)
    ]
    assert standing.left_by_session[-1][1] == pytest.approx(standing.budget_left)


def test_only_a_level_that_rises_degrades_and_what_is_degraded_is_left_alone():
    watch, incident = judged([], incidents_open=1), judged([], incidents_open=0, violations=1)

    assert degrading(watch, before=Level.NORMAL, is_degraded=False).startswith("level watch: 1 incident is")
    assert degrading(incident, before=Level.WATCH, is_degraded=False).startswith("level incident: ")
    assert degrading(watch, before=Level.WATCH, is_degraded=False) == ""
    assert degrading(watch, before=Level.INCIDENT, is_degraded=False) == ""
    assert degrading(incident, before=Level.NORMAL, is_degraded=True) == ""
