"""Lines over sessions: where their points are, what they say in words, and that names can be read."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.history import SessionPoint
from console.pages.plots import HEIGHT, NAME_APART, Series, plot_of, plots_of

LETTER = 5
"""How wide a letter of a name is at most on average, in the units of a drawing, at nine of them high."""


def point(number: int, equity: int | None, *counts: int) -> SessionPoint:
    intents, blocked, filled = counts or (0, 0, 0)
    return SessionPoint(
        session=date(2013, 2, 1) + timedelta(days=number),
        equity_micros=equity,
        exposure_micros=None if equity is None else equity // 2,
        intents=intents,
        blocked=blocked,
        filled=filled,
    )


def test_a_line_goes_from_the_lowest_to_the_highest_value_across_the_whole_plot():
    equity, *_ = plots_of([point(0, 10**6), point(1, 3 * 10**6)], "USD")

    (line,) = equity.lines
    assert line.runs == (f"{equity.left}.0,{equity.bottom}.0 {equity.right}.0,{equity.top}.0",)
    assert (equity.lowest, equity.highest) == ("1.00 USD", "3.00 USD")


def test_a_session_without_a_value_is_a_gap_and_a_lone_one_a_dot():
    equity, *_ = plots_of([point(0, 5), point(1, None), point(2, 7), point(3, 9)], "USD")

    (line,) = equity.lines
    assert (len(line.dots), len(line.runs)) == (1, 1)


def test_a_plot_says_in_words_what_it_shows():
    *_, funnel = plots_of([point(0, None, 3, 1, 2), point(1, None, 5, 0, 4)], "USD")

    assert funnel.text == (
        "From intents to fills over 2 sessions, 2013-02-01 to 2013-02-02: "
        "intents from 3 to 5, lowest 3, highest 5; blocked from 1 to 0, lowest 0, highest 1; "
        "filled from 2 to 4, lowest 2, highest 4."
    )


@pytest.mark.parametrize("points", [[], [point(0, 5)]], ids=["no session", "one session"])
def test_too_few_sessions_make_no_plot(points):
    assert plots_of(points, "USD") == ()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60))
def test_names_never_stand_on_each_other_nor_on_the_dates_and_points_stay_inside(counts):
    *_, funnel = plots_of([point(number, None, *row) for number, row in enumerate(counts)], "USD")

    heights = sorted(line.name_y for line in funnel.lines)
    assert all(below - above >= NAME_APART - 0.1 for above, below in itertools.pairwise(heights))
    assert funnel.top <= heights[0]
    assert heights[-1] <= funnel.bottom
    for line in funnel.lines:
        for pair in " ".join(line.runs).split():
            across, down = map(float, pair.split(","))
            assert funnel.left <= across <= funnel.right
            assert funnel.top <= down <= funnel.bottom < HEIGHT


def test_names_of_lines_that_all_end_at_the_top_stand_within_the_drawing():
    objectives = ("availability", "latency", "freshness", "execution")
    sessions = [date(2013, 2, 1), date(2013, 2, 4)]
    lines = [Series(name=name, numbers=(1.0, 1.0)) for name in objectives]
    drawn = plot_of("Error budget left", sessions, lines, lambda share: f"{share:.0%}", from_zero=True)

    assert drawn is not None
    assert min(line.name_y for line in drawn.lines) >= drawn.top
    assert max(line.name_x + len(line.name) * LETTER for line in drawn.lines) <= drawn.width
