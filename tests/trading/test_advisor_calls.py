"""What calls to a model come to: tokens, costs and the error budget; nobody asked is no data."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.advisor_calls import (
    BudgetState,
    CallError,
    ErrorBudget,
    Prices,
    budget_figures,
    cost_by_intent,
    intents_of,
    latency_ms_p95,
    spent,
    spent_by,
    week_of,
)
from trading.testing import example_call

HELD_BACK = example_call(
    ok=False, error_type=CallError.CIRCUIT_OPEN.value, attempts=0, latency_ms=0, cost_micros=0,
    prompt_tokens=0, completion_tokens=0,
)  # fmt: skip
CACHED = HELD_BACK._replace(ok=True, error_type="", was_cached=True)
OVER_BUDGET = HELD_BACK._replace(error_type=CallError.TOKENS_SPENT.value)
FAILED = example_call(ok=False, error_type=CallError.TIME_OUT.value, latency_ms=15_000, attempts=2)


def test_a_price_is_of_a_million_tokens_and_a_cost_is_rounded_up() -> None:
    prices = Prices(prompt_micros=150_000, completion_micros=600_000)

    assert prices.cost_micros(prompt_tokens=1_000_000, completion_tokens=1_000_000) == 750_000
    assert prices.cost_micros(prompt_tokens=1, completion_tokens=0) == 1
    assert prices.cost_micros(prompt_tokens=0, completion_tokens=0) == 0
    with pytest.raises(ValueError, match="not below 0"):
        Prices(prompt_micros=-1, completion_micros=0)


def test_what_calls_came_to_together() -> None:
    found = spent([example_call(), FAILED, HELD_BACK, CACHED, OVER_BUDGET])

    assert found._asdict() == {
        "calls": 5, "sent": 2, "errors": 1, "held_back": 1, "cached": 1,
        "prompt_tokens": 1_800, "completion_tokens": 200, "cost_micros": 240,
    }  # fmt: skip
    assert found.tokens == 2_000


def test_calls_are_summed_by_session_week_and_run() -> None:
    calls = [
        example_call(session=date(2013, 2, 28), run_id="a"),
        example_call(session=date(2013, 3, 1), run_id="b"),
        example_call(session=date(2013, 3, 4), run_id="b"),
    ]

    assert {week: of.calls for week, of in spent_by(calls, week_of).items()} == {"2013-W09": 2, "2013-W10": 1}
    assert {run: of.cost_micros for run, of in spent_by(calls, lambda call: call.run_id).items()} == {
        "a": 120, "b": 240,
    }  # fmt: skip
    assert len(spent_by(calls, lambda call: call.session)) == 3
    # The ISO week of the last days of December may be the next year's first.
    assert week_of(example_call(session=date(2012, 12, 31))) == "2013-W01"


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True), st.integers(0, 10**9)
        ),
        max_size=8,
    )
)  # fmt: skip
def test_the_shares_of_intents_add_up_to_what_was_spent(asked) -> None:
    calls = [example_call(intents=" ".join(keys), cost_micros=cost) for keys, cost in asked]

    shares = cost_by_intent(calls)

    assert sum(shares.values()) == spent(calls).cost_micros
    for call in calls:
        assert set(intents_of(call)) <= set(shares)


def test_a_call_about_three_intents_costs_each_a_third() -> None:
    assert cost_by_intent([example_call(intents="a b c", cost_micros=100)]) == {"a": 34, "b": 33, "c": 33}


# -------------------------------------------------------------------------------- the error budget

BUDGET = ErrorBudget(error_rate_bps_max=1_000, latency_ms_p95_max=100, calls_min=10)


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ([], BudgetState.NO_DATA),
        ([FAILED] * 9, BudgetState.NO_DATA),
        ([example_call()] * 10, BudgetState.KEPT),
        ([example_call()] * 9 + [HELD_BACK], BudgetState.KEPT),  # one of ten is the bound itself
        ([example_call()] * 8 + [HELD_BACK] * 2, BudgetState.ERRORS),
        ([example_call()] * 9 + [FAILED] * 2, BudgetState.ERRORS),
        ([example_call(latency_ms=100)] * 10, BudgetState.KEPT),
        ([example_call(latency_ms=101)] * 10, BudgetState.LATENCY),
        # What the cache knew, and what our own budgets kept here, says nothing of the model.
        ([example_call()] * 9 + [CACHED] * 5 + [OVER_BUDGET] * 5, BudgetState.NO_DATA),
    ],
)
def test_an_error_budget_holds_or_is_spent_or_is_not_known(calls, state) -> None:
    assert budget_figures(calls, budget=BUDGET).state is state


def test_figures_without_calls_are_no_data() -> None:
    found = budget_figures([], budget=BUDGET)

    assert (found.error_rate, found.latency_ms_p95) == (None, None)
    assert budget_figures([HELD_BACK] * 10, budget=BUDGET).latency_ms_p95 is None


def test_the_percentile_is_the_nearest_rank_of_what_went_out() -> None:
    calls = [example_call(latency_ms=latency) for latency in range(1, 21)]

    assert latency_ms_p95([*calls, HELD_BACK]) == 19
    assert latency_ms_p95([HELD_BACK]) is None


@pytest.mark.parametrize(
    "wrong",
    [{"error_rate_bps_max": 10_000}, {"error_rate_bps_max": -1}, {"calls_min": 0}, {"latency_ms_p95_max": 0}],
)  # fmt: skip
def test_a_budget_that_nothing_could_break_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ErrorBudget(**wrong)
