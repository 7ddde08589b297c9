"""Circuit breakers as values: what opens one, who may try it, and that it never stays shut for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.breakers import (
    Breaker,
    BreakerReason,
    BreakerRules,
    BreakerState,
    after_failure,
    after_success,
    is_failure,
    open_s_of,
    permission,
    reset,
)

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
RULES = BreakerRules()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def failed(breaker, *, now=NOW, holder="one", rules=RULES):
    return after_failure(breaker, holder=holder, word="reset", rules=rules, now=now)


def opened() -> Breaker:
    return failed(failed(Breaker("broker")))


def trial_of(breaker, *, now, holder="one"):
    return permission(breaker, holder=holder, rules=RULES, now=now).breaker


def test_a_breaker_opens_at_the_second_failure_in_a_row():
    once = failed(Breaker("broker"))

    assert once.state is BreakerState.CLOSED
    assert permission(once, holder="two", rules=RULES, now=NOW).is_allowed
    assert opened().state is BreakerState.OPEN
    assert opened().until == later(60)


def test_an_answer_between_two_failures_starts_the_count_anew():
    between = after_success(failed(Breaker("broker")), holder="one")

    assert between.failures == 0
    assert failed(between).state is BreakerState.CLOSED


def test_an_open_breaker_lets_nothing_go_until_its_time_is_over():
    early = permission(opened(), holder="two", rules=RULES, now=later(59.9))

    assert not early.is_allowed
    assert early.reason is BreakerReason.CIRCUIT_OPEN
    assert early.breaker is None


def test_one_trial_may_go_and_the_others_wait_for_it():
    trial = permission(opened(), holder="one", rules=RULES, now=later(60))
    other = permission(trial.breaker, holder="two", rules=RULES, now=later(61))

    assert trial.is_allowed
    assert trial.breaker.version == opened().version + 1
    assert not other.is_allowed
    assert other.reason is BreakerReason.CIRCUIT_HALF_OPEN


def test_only_the_trial_closes_a_breaker_and_only_the_trial_opens_it_for_longer():
    trial = trial_of(opened(), now=later(60))

    assert after_success(opened(), holder="one") is None
    assert after_success(trial, holder="two") is None
    assert failed(trial, holder="two", now=later(61)) is None
    assert failed(opened(), holder="one", now=later(1)) is None
    assert after_success(trial, holder="one").state is BreakerState.CLOSED
    again = failed(trial, now=later(61))
    assert (again.state, again.trials, again.until) == (BreakerState.OPEN, 1, later(61 + 120))


def test_a_trial_whose_holder_died_may_be_taken_by_another_and_no_longer_counts():
    dead = trial_of(opened(), now=later(60))
    taken = permission(dead, holder="two", rules=RULES, now=later(60 + RULES.trial_lease_s))

    assert taken.is_allowed
    assert taken.breaker.holder == "two"
    assert after_success(taken.breaker, holder="one") is None


def test_an_instant_of_a_clock_that_was_far_ahead_is_not_waited_for():
    wrong = failed(failed(Breaker("broker")), now=later(10**9))

    assert permission(wrong, holder="two", rules=RULES, now=NOW).is_allowed


def test_a_breaker_waits_twice_as_long_after_each_failed_trial_up_to_a_bound():
    assert [open_s_of(trials, rules=RULES) for trials in (0, 1, 2, 3, 4, 5, 10**9)] == [
        60, 120, 240, 480, 960, 960, 960,
    ]  # fmt: skip


def test_a_person_closes_a_breaker_and_one_that_counted_nothing_needs_none():
    closed = reset(opened())

    assert (closed.state, closed.failures, closed.trials) == (BreakerState.CLOSED, 0, 0)
    assert closed.version == opened().version + 1
    assert reset(Breaker("broker")) is None
    assert reset(failed(Breaker("broker"))).failures == 0


@pytest.mark.parametrize(
    ("status", "word", "counts"),
    [
        (0, "connect", True), (0, "time_out", True), (0, "reset", True), (0, "half_reply", True),
        (0, "too_long_reply", True), (500, "", True), (503, "", True), (200, "", False), (302, "", False),
        (400, "", False), (403, "", False), (422, "", False), (429, "", False), (499, "", False),
        (0, "rate_limited", False), (0, "circuit_open", False),
    ],
)  # fmt: skip
def test_no_answer_and_the_servers_own_errors_are_failures_and_a_refusal_is_none(status, word, counts):
    assert is_failure(status=status, word=word) is counts


@pytest.mark.parametrize(
    "wrong", [{"failures_max": 0}, {"open_s": 0}, {"trial_lease_s": -1}, {"open_s": 90, "open_s_max": 60}]
)
def test_rules_by_which_a_breaker_makes_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be positive|below open_s"):
        BreakerRules(**wrong)


DEEDS = st.lists(
    st.tuples(st.sampled_from(["wish", "succeed", "fail", "reset"]), st.integers(0, 3), st.integers(0, 200)),
    max_size=60,
)


@given(DEEDS)
def test_whatever_happens_one_holder_at_most_has_a_trial_and_none_is_shut_for_ever(deeds):
    breaker, now = Breaker("broker"), NOW
    for deed, caller, passed_s in deeds:
        now += timedelta(seconds=passed_s)
        holder = f"caller {caller}"
        before = breaker
        match deed:
            case "wish":
                asked = permission(breaker, holder=holder, rules=RULES, now=now)
                breaker = asked.breaker or breaker
                if breaker.state is BreakerState.HALF_OPEN and asked.is_allowed:
                    rival = permission(breaker, holder="rival", rules=RULES, now=now)
                    assert not rival.is_allowed
            case "succeed":
                breaker = after_success(breaker, holder=holder) or breaker
            case "fail":
                breaker = failed(breaker, now=now, holder=holder) or breaker
            case _:
                breaker = reset(breaker) or breaker
        assert breaker.version - before.version in {0, 1}
        assert (breaker.version == before.version) == (breaker == before)
        assert (breaker.state is BreakerState.HALF_OPEN) == bool(breaker.holder)
        assert (breaker.state is BreakerState.CLOSED) == (breaker.until is None)
        much_later = now + timedelta(seconds=RULES.open_s_max)
        assert permission(breaker, holder="any", rules=RULES, now=much_later).is_allowed
