"""Candidates: scores by hand, ranks, and every reason for which a symbol is none."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from trading.candidates import (
    Chosen,
    ScannerRules,
    rank_candidates,
    selected,
    why_no_candidate,
)
from trading.values import Symbol

RULES = ScannerRules(
    top=2,
    history_sessions=30,
    confidence_min=0.8,
    risk_score_max=0.7,
    trend_weight=0.4,
    strength_weight=0.2,
    activity_weight=0.1,
    calm_weight=0.3,
    open_order_penalty=0.2,
)
FLAT = [50.0] * 30


def rising(start, step, count=30):
    return [start + step * at for at in range(count)]


def by_symbol(rows):
    return {row.symbol: row for row in rows}


def test_the_score_of_a_flat_symbol_is_its_calm(window_of):
    (row,) = rank_candidates(window_of({"FLAT": FLAT}), RULES)

    # No gap, strength 50, usual volume, no volatility: only calm counts, in full.
    assert (row.trend, row.strength, row.activity, row.calm, row.penalty) == (0.0, 0.0, 0.0, 0.3, 0.0)
    assert (row.score, row.risk_score, row.confidence) == (0.3, 0.0, 1.0)
    assert (row.rank, row.selected, row.reason) == (1, True, Chosen.SELECTED)
    assert (row.rsi14, row.ma20_gap, row.volume_spike20, row.regime) == (50.0, 0.0, 1.0, "range")
    assert row.close_micros == 50_000_000
    assert row.quoted_on == row.session.replace(month=2, day=28)


def test_each_component_of_a_score_by_hand(window_of):
    # Thirty closes 100 … 129 and a volume that doubles on the last session.
    window = window_of({"UP": rising(100, 1)}, volumes={"UP": [1_000] * 29 + [2_000]}, spread=2)
    (row,) = rank_candidates(window, RULES, open_orders={Symbol("UP")})

    gap = 129 / 119.5 - 1
    assert row.trend == round(0.4 * gap / 0.10, 9)
    assert row.strength == 0.2  # nothing fell
    assert row.activity == pytest.approx(0.1 * (2 - 1) / 2.0)
    assert row.calm == round(0.3 * (1 - row.volatility20 / 0.05), 9)
    assert row.penalty == -0.2
    assert row.score == pytest.approx(row.trend + row.strength + row.activity + row.calm - 0.2, abs=2e-9)
    assert row.risk_score == pytest.approx(row.volatility20 / 0.06, abs=1e-9)
    assert row.atr14 == 4.0


def test_components_are_held_to_their_weight(window_of):
    window = window_of({"JUMP": [10.0] * 29 + [10.8]}, volumes={"JUMP": [1_000] * 29 + [900_000]})
    (row,) = rank_candidates(window, replace(RULES, trend_weight=4.0))

    assert row.activity == 0.1
    assert row.strength == 0.2
    assert row.trend == pytest.approx(4.0 * (10.8 / 10.04 - 1) / 0.10)
    (fallen,) = rank_candidates(window_of({"FELL": [10.0] * 29 + [8.8]}), RULES)
    assert fallen.trend == -0.4
    assert fallen.strength == -0.2


def test_the_best_scores_are_candidates_and_the_next_is_below_the_top(window_of):
    columns = {"SLOW": rising(100, 0.1), "FAST": rising(100, 1), "FALL": rising(100, -0.5), "MID": FLAT}
    rows = rank_candidates(window_of(columns), RULES)

    assert [row.symbol for row in rows] == ["FAST", "SLOW", "MID", "FALL"]
    assert [row.rank for row in rows] == [1, 2, 3, 4]
    assert [row.reason for row in rows] == [Chosen.SELECTED] * 2 + [Chosen.BELOW_TOP] * 2
    assert all(better.score >= worse.score for better, worse in pairwise(rows))
    assert [row.symbol for row in selected(reversed(rows))] == ["FAST", "SLOW"]
    assert why_no_candidate(rows) == ""


def test_equal_scores_rank_by_symbol(window_of):
    rows = rank_candidates(window_of({"ZZZ": FLAT, "AAA": FLAT, "MMM": FLAT}), RULES)

    assert [(row.symbol, row.selected) for row in rows] == [("AAA", True), ("MMM", True), ("ZZZ", False)]


def test_an_open_order_takes_its_penalty_off_and_may_cost_the_rank(window_of):
    window = window_of({"AAA": FLAT, "BBB": FLAT})

    plain = by_symbol(rank_candidates(window, RULES))
    penalised = by_symbol(rank_candidates(window, RULES, open_orders={Symbol("AAA")}))

    assert (plain["AAA"].rank, penalised["AAA"].rank) == (1, 2)
    assert penalised["AAA"].score == pytest.approx(plain["AAA"].score - 0.2)


def test_a_stale_quote_yields_no_candidate(window_of):
    rows = by_symbol(rank_candidates(window_of({"GONE": [*FLAT[:-1], None], "HERE": FLAT}), RULES))

    assert rows["GONE"].reason is Chosen.NO_QUOTE
    assert (rows["GONE"].rank, rows["GONE"].selected, rows["GONE"].score) == (0, False, 0.0)
    assert rows["HERE"].selected


def test_a_short_history_yields_no_candidate(window_of):
    rows = by_symbol(
        rank_candidates(
            window_of({"NEW": [None] * 10 + FLAT[10:], "ENOUGH": [None] * 9 + FLAT[9:], "OLD": FLAT}),
            replace(RULES, confidence_min=0.0),
        )
    )

    assert rows["NEW"].reason is Chosen.INSUFFICIENT_HISTORY  # 20 quotes, one too few
    assert rows["ENOUGH"].selected


@pytest.mark.parametrize(("missing", "reason"), [(6, Chosen.SELECTED), (7, Chosen.LOW_CONFIDENCE)])
def test_a_symbol_with_too_many_gaps_is_not_believed(window_of, missing, reason):
    # 24 of 30 sessions are the 0.8 that is asked for.
    column = [None] * missing + FLAT[missing:]
    rows = by_symbol(rank_candidates(window_of({"GAPS": column, "FULL": FLAT}), RULES))

    assert rows["GAPS"].reason is reason
    assert rows["GAPS"].confidence == pytest.approx(1 - missing / 30)


def test_a_symbol_at_the_risk_bound_is_left_alone(window_of):
    window = window_of({"WILD": [100.0, 95.0] * 15})
    (row,) = rank_candidates(window, RULES)
    (bold,) = rank_candidates(window, replace(RULES, risk_score_max=row.risk_score + 1e-9))
    (careful,) = rank_candidates(window, replace(RULES, risk_score_max=row.risk_score))

    assert 0.7 < row.risk_score < 1.0
    assert (row.reason, row.rank) == (Chosen.RISK_TOO_HIGH, 0)
    assert bold.selected
    assert careful.reason is Chosen.RISK_TOO_HIGH


def test_rows_that_cannot_be_ranked_stand_last_by_symbol(window_of):
    rows = rank_candidates(
        window_of({"ZNEW": [None] * 25 + FLAT[25:], "GONE": [*FLAT[:-1], None], "OK": FLAT}), RULES
    )

    assert [row.symbol for row in rows] == ["OK", "GONE", "ZNEW"]


def test_why_nothing_was_selected_is_told_by_reason(window_of):
    window = window_of({"A": [100.0, 90.0] * 15, "B": [100.0, 90.0] * 15, "C": [*FLAT[:-1], None]})

    rows = rank_candidates(window, RULES)

    assert why_no_candidate(rows) == "2 risk_too_high, 1 no_quote_in_last_session"
    assert why_no_candidate([]) == "no symbol has a quote"
    assert selected(rows) == ()


def test_sessions_before_the_history_change_nothing(window_of):
    long = window_of({"A": [3.0, 900.0, *rising(100, 1)], "B": [1.0, 1.0, *FLAT]})
    short = window_of({"A": rising(100, 1), "B": FLAT})

    assert rank_candidates(long, RULES) == rank_candidates(short, RULES)
