"""Rate limits as values: what a burst of 429s does to the rate, what headers say, and that waits end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.rate_limits import LimitRules, full_budget, heard, taken, wait_s

RULES = LimitRules()
START_S = 1_362_061_800.0


def called_as_fast_as_allowed(budget, *, now_s, seconds, answer=(200, {})):
    """Call whenever the budget lets one go; return how often, and the budget after it."""
    calls, end_s = 0, now_s + seconds
    while True:
        now_s += wait_s(budget, rules=RULES, now_s=now_s, is_send=True)
        if now_s >= end_s:
            return calls, budget
        budget = taken(budget, rules=RULES, now_s=now_s)
        status, headers = answer
        budget = heard(budget, status=status, headers=headers, rules=RULES, now_s=now_s)
        now_s += 1e-6
        calls += 1


def test_calls_go_at_once_as_far_as_the_bucket_goes_and_then_at_the_documented_rate():
    calls, _ = called_as_fast_as_allowed(full_budget(RULES, now_s=START_S), now_s=START_S, seconds=60)

    assert calls == RULES.burst + 200


def test_a_burst_of_429s_makes_calls_slower_and_the_rate_comes_back_slowly():
    budget = full_budget(RULES, now_s=START_S)
    fast, _ = called_as_fast_as_allowed(budget, now_s=START_S, seconds=60)
    for n in range(3):
        budget = heard(budget, status=429, headers={}, rules=RULES, now_s=START_S + n)
    slow, budget = called_as_fast_as_allowed(budget, now_s=START_S + 3, seconds=60)
    _, recovered = called_as_fast_as_allowed(budget, now_s=START_S + 63, seconds=300)

    assert budget.limited == 3
    assert slow < fast / 2
    assert budget.calls_per_s < full_budget(RULES, now_s=0).calls_per_s
    assert recovered.calls_per_s == pytest.approx(RULES.calls_per_minute / 60)


def test_reads_leave_the_last_calls_to_sends():
    budget = full_budget(RULES, now_s=START_S)
    for _ in range(RULES.burst - RULES.send_reserve):
        assert wait_s(budget, rules=RULES, now_s=START_S, is_send=False) == 0
        budget = taken(budget, rules=RULES, now_s=START_S)

    assert wait_s(budget, rules=RULES, now_s=START_S, is_send=False) > 0
    assert wait_s(budget, rules=RULES, now_s=START_S, is_send=True) == 0


@pytest.mark.parametrize(
    ("headers", "waits_s"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Thu, 28 Feb 2013 14:30:09 GMT"}, 9),
        ({"x-ratelimit-reset": str(int(START_S) + 12)}, 12),
        ({"x-ratelimit-reset": "12"}, 12),
        ({"retry-after": "3", "x-ratelimit-reset": "5"}, 5),
        ({"retry-after": "999999"}, RULES.told_wait_s_max),
        ({"retry-after": "Thu, 28 Feb 2093 14:30:09 GMT"}, RULES.told_wait_s_max),
    ],
)
def test_a_429_is_waited_out_as_it_says(headers, waits_s):
    budget = heard(full_budget(RULES, now_s=START_S), status=429, headers=headers, rules=RULES, now_s=START_S)

    assert wait_s(budget, rules=RULES, now_s=START_S, is_send=True) == pytest.approx(waits_s)


def test_what_is_left_until_the_reset_is_believed_before_a_429_says_it():
    full = full_budget(RULES, now_s=START_S)
    told = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(START_S) + 20)}
    empty = heard(full, status=200, headers=told, rules=RULES, now_s=START_S)
    two_left = heard(full, status=200, headers={"x-ratelimit-remaining": "2"}, rules=RULES, now_s=START_S)

    assert wait_s(empty, rules=RULES, now_s=START_S, is_send=True) == pytest.approx(20)
    assert wait_s(two_left, rules=RULES, now_s=START_S, is_send=True) == 0
    assert two_left.calls == 2


def test_a_lower_limit_than_documented_is_believed_and_a_higher_one_is_not_needed():
    full = full_budget(RULES, now_s=START_S)
    low = heard(full, status=200, headers={"x-ratelimit-limit": "60"}, rules=RULES, now_s=START_S)
    high = heard(full, status=200, headers={"x-ratelimit-limit": "9000"}, rules=RULES, now_s=START_S)

    assert low.calls_per_s == pytest.approx(1.0)
    assert high.calls_per_s == full.calls_per_s


@pytest.mark.parametrize(
    "wrong", ["", "soon", "-5", "1e9", "NaN", "inf", "\uff19", "9" * 40, "1.2.3", "\x00"]
)
def test_a_header_that_is_no_number_says_nothing(wrong):
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
    full = full_budget(RULES, now_s=START_S)
    told = dict.fromkeys(names, wrong)

    assert heard(full, status=200, headers=told, rules=RULES, now_s=START_S) == full
    assert heard(full, status=429, headers=told, rules=RULES, now_s=START_S) == heard(
        full, status=429, headers={}, rules=RULES, now_s=START_S
    )


HEADER = st.one_of(
    st.integers(-10, 10**12).map(str),
    st.text(st.characters(codec="ascii"), max_size=12),
    st.floats().map(str),
)
ANSWERS = st.lists(
    st.tuples(
        st.sampled_from([200, 429, 500]),
        st.dictionaries(
            st.sampled_from(
                ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after"]
            ),
            HEADER,
        ),
        st.floats(-1e6, 1e6),
    ),
    max_size=12,
)


@given(ANSWERS)
def test_whatever_is_answered_the_wait_ends_and_the_rate_stays_in_its_bounds(answers):
    budget, now_s = full_budget(RULES, now_s=START_S), START_S
    for status, headers, passed_s in answers:
        now_s += passed_s
        budget = heard(budget, status=status, headers=headers, rules=RULES, now_s=now_s)
        for is_send in (True, False):
            waits_s = wait_s(budget, rules=RULES, now_s=now_s, is_send=is_send)

            assert 0 <= waits_s <= max(RULES.told_wait_s_max, 60 * (1 + RULES.send_reserve))
        assert RULES.calls_per_minute_min / 60 <= budget.calls_per_s <= RULES.calls_per_minute / 60
        assert 0 <= budget.calls <= RULES.burst


def test_whoever_waited_as_long_as_told_may_go_although_clocks_round():
    clock_s, budget = START_S, full_budget(RULES, now_s=START_S)
    for _ in range(200):
        budget = taken(budget, rules=RULES, now_s=clock_s)
        clock_s = round(clock_s + wait_s(budget, rules=RULES, now_s=clock_s, is_send=True), 6)

        assert wait_s(budget, rules=RULES, now_s=clock_s, is_send=True) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"calls_per_minute_min": 0}, {"calls_per_minute_min": 300}, {"send_reserve": 20},
        {"send_reserve": -1}, {"cut": 1.0}, {"cut": 0.0}, {"recovery_per_s": 0}, {"told_wait_s_max": 0},
    ],
)  # fmt: skip
def test_rules_by_which_nothing_could_go_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        LimitRules(**wrong)
