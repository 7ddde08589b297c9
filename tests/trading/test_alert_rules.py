"""When a session alerts, and what the rules of delivery say about each message."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.alerts import (
    AlertRule,
    Attempt,
    Comparison,
    DeliveryPolicy,
    FailOn,
    Reason,
    Severity,
    attempted,
    evaluate,
    fails,
    fingerprint_of,
    held_until,
    retry_at,
)
from trading.journal import Delivery, OutboxMessage
from trading.metrics import MetricRow, MetricStatus

SESSION = date(2013, 3, 1)
NOW = datetime(2013, 3, 1, 21, 30, tzinfo=UTC)
POLICY = DeliveryPolicy(
    channels=("stdout",),
    rate_limit_count=3,
    rate_limit_window_s=600,
    retries=2,
    retry_wait_s=0.5,
    backoff_s=60,
    backoff_s_max=3600,
    backoff_critical_s_max=300,
    attempts_max=5,
    lease_s=120,
)


def rule(comparison: Comparison = Comparison.ABOVE, threshold: float = 0.6, **changed: object) -> AlertRule:
    values = {
        "code": "execution_blocked_rate_high",
        "severity": Severity.WARNING,
        "owner": "risk",
        "metric": "execution.blocked_rate",
        "comparison": comparison,
        "threshold": threshold,
        "unit": "ratio",
        "runbook": "docs/runbooks/execution_blocked_rate_high.md",
        "why": "because",
    }
    return AlertRule(**(values | changed))


def metric(value: float | None) -> MetricRow:
    known = MetricStatus.NO_DATA if value is None else MetricStatus.OK
    return MetricRow(SESSION, "execution.blocked_rate", value, "ratio", known)


def message(severity: Severity = Severity.WARNING) -> OutboxMessage:
    return OutboxMessage(9, "key", "webhook", severity.value, "subject", "{}", "waiting", 99, NOW, NOW)


def sent(seconds_ago: float, channel: str = "webhook", *, is_delivered: bool = True) -> Delivery:
    return Delivery(1, 1, channel, is_delivered, "sent", NOW - timedelta(seconds=seconds_ago))


@pytest.mark.parametrize(
    ("comparison", "value", "fires"),
    [
        (Comparison.ABOVE, 0.61, True),
        (Comparison.ABOVE, 0.6, False),
        (Comparison.ABOVE, 0.59, False),
        (Comparison.BELOW, 0.61, False),
        (Comparison.BELOW, 0.6, False),
        (Comparison.BELOW, 0.59, True),
        (Comparison.ABOVE, None, False),
        (Comparison.BELOW, None, False),
    ],
)
def test_a_rule_fires_beyond_its_threshold_and_never_without_data(comparison, value, fires) -> None:
    alerts = evaluate([metric(value)], [rule(comparison)], book="us_five")

    assert bool(alerts) is fires


def test_an_alert_says_what_was_seen_and_what_to_read() -> None:
    (alert,) = evaluate([metric(0.75)], [rule()], book="us_five")

    assert alert.message == "execution.blocked_rate is 0.75, above 0.6 (ratio)"
    assert alert.runbook == "docs/runbooks/execution_blocked_rate_high.md"
    assert (alert.session, alert.book, alert.observed, alert.threshold) == (SESSION, "us_five", 0.75, 0.6)


def test_the_same_alert_has_one_fingerprint_whatever_was_seen_and_whenever() -> None:
    (low,) = evaluate([metric(0.7)], [rule()], book="us_five")
    (high,) = evaluate([metric(0.9)._replace(session=SESSION + timedelta(days=1))], [rule()], book="us_five")

    assert low.fingerprint == high.fingerprint
    others = {
        fingerprint_of(book="us_wide", code=low.code, severity=low.severity),
        fingerprint_of(book="us_five", code=low.code, severity=Severity.CRITICAL),
        fingerprint_of(book="us_five", code="another", severity=low.severity),
    }
    assert len(others | {low.fingerprint}) == 4


def test_a_rule_on_a_metric_that_does_not_exist_is_refused_since_it_would_be_silent_for_ever() -> None:
    with pytest.raises(ValueError, match=r"watches execution\.typo"):
        evaluate([metric(0.7)], [rule(metric="execution.typo")], book="us_five")


@pytest.mark.parametrize(
    ("severities", "expected"),
    [
        ([], (False, False, False)),
        ([Severity.WARNING], (False, True, False)),
        ([Severity.CRITICAL], (False, True, True)),
        ([Severity.WARNING, Severity.CRITICAL], (False, True, True)),
    ],
)
def test_an_evaluation_fails_from_the_severity_asked_for(severities, expected) -> None:
    levels = (FailOn.NONE, FailOn.WARNING, FailOn.CRITICAL)

    assert tuple(fails(severities, level) for level in levels) == expected


def test_the_rate_limit_holds_a_warning_until_the_window_has_room() -> None:
    history = [sent(500), sent(400), sent(100)]

    assert held_until(message(), history[1:], policy=POLICY, now=NOW) is None
    assert held_until(message(), history, policy=POLICY, now=NOW) == NOW + timedelta(seconds=100)


def test_only_messages_that_arrived_on_the_same_channel_in_the_window_count() -> None:
    others = [sent(600), sent(10, "stdout"), sent(10, is_delivered=False), sent(-10), sent(1), sent(2)]

    assert held_until(message(), others, policy=POLICY, now=NOW) is None
    assert held_until(message(), [*others, sent(3)], policy=POLICY, now=NOW) is not None


@given(ages=st.lists(st.floats(0, 2000), max_size=40))
def test_the_rate_limit_never_holds_a_critical_and_a_warning_not_for_good(ages) -> None:
    history = [sent(age) for age in ages]

    assert held_until(message(Severity.CRITICAL), history, policy=POLICY, now=NOW) is None
    held = held_until(message(), history, policy=POLICY, now=NOW)
    if held is not None:
        assert NOW < held <= NOW + timedelta(seconds=POLICY.rate_limit_window_s)
        assert held_until(message(), history, policy=POLICY, now=held) is None


ARRIVED = Attempt(arrived=True, status=0)


@pytest.mark.parametrize(
    ("attempts", "reason", "waits"),
    [
        ([ARRIVED], Reason.SENT, 0),
        ([Attempt(arrived=False, status=500), ARRIVED], Reason.SENT_AFTER_RETRY, 1),
        (
            [Attempt(arrived=False, status=429), Attempt(arrived=False, status=0), ARRIVED],
            Reason.SENT_AFTER_RETRY,
            2,
        ),
        ([Attempt(arrived=False, status=503)] * 3, Reason.NON_2XX, 2),
        ([Attempt(arrived=False, status=0)] * 3, Reason.HTTP_ERROR, 2),
        ([Attempt(arrived=False, status=403)], Reason.NON_2XX, 0),
        ([Attempt(arrived=False, status=500), Attempt(arrived=False, status=400)], Reason.NON_2XX, 1),
    ],
)
def test_a_send_is_repeated_only_where_a_moment_may_help_and_only_so_often(attempts, reason, waits) -> None:
    left = list(attempts)
    waited: list[float] = []

    assert attempted(lambda: left.pop(0), policy=POLICY, sleep=waited.append) is reason
    assert left == []
    assert waited == [POLICY.retry_wait_s] * waits


NOTHING_SENT = (Reason.RATE_LIMITED, Reason.MISSING_WEBHOOK_URL, Reason.PROVIDER_NONE)


def tried(*reasons: Reason) -> list[Delivery]:
    return [
        Delivery(9, place, "webhook", False, reason.value, NOW) for place, reason in enumerate(reasons, 1)
    ]


@pytest.mark.parametrize(
    ("severity", "failed_before", "reason", "wait_s"),
    [
        (Severity.WARNING, 0, Reason.HTTP_ERROR, 120),
        (Severity.WARNING, 1, Reason.NON_2XX, 240),
        (Severity.WARNING, 3, Reason.NON_2XX, 960),
        (Severity.WARNING, 4, Reason.HTTP_ERROR, None),
        (Severity.CRITICAL, 0, Reason.HTTP_ERROR, 120),
        (Severity.CRITICAL, 4, Reason.HTTP_ERROR, 300),
        (Severity.CRITICAL, 1000, Reason.HTTP_ERROR, 300),
        (Severity.WARNING, 0, Reason.MISSING_WEBHOOK_URL, None),
        (Severity.WARNING, 0, Reason.PROVIDER_NONE, None),
        (Severity.CRITICAL, 0, Reason.MISSING_WEBHOOK_URL, 0),
        (Severity.CRITICAL, 1000, Reason.PROVIDER_NONE, 0),
        (Severity.WARNING, 0, Reason.SENT, None),
        (Severity.CRITICAL, 0, Reason.SENT_AFTER_RETRY, None),
    ],
)
def test_a_failed_message_is_due_again_ever_later_and_only_a_critical_for_good(
    severity, failed_before, reason, wait_s
) -> None:
    earlier = tried(*[Reason.HTTP_ERROR, Reason.NON_2XX] * 500)[:failed_before]

    due = retry_at(message(severity), reason, earlier, policy=POLICY, now=NOW)

    assert due == (None if wait_s is None else NOW + timedelta(seconds=wait_s))


@given(held=st.lists(st.sampled_from(NOTHING_SENT), max_size=50), severity=st.sampled_from(Severity))
def test_what_sent_nothing_neither_gives_a_message_up_nor_makes_it_wait_longer(held, severity) -> None:
    due = retry_at(message(severity), Reason.HTTP_ERROR, tried(*held), policy=POLICY, now=NOW)

    assert due == NOW + timedelta(seconds=2 * POLICY.backoff_s)


@given(
    before=st.lists(st.sampled_from(Reason), max_size=50),
    reason=st.sampled_from([one for one in Reason if one.is_failed_send or one.is_without_address]),
)
def test_a_critical_is_never_given_up_and_never_waits_longer_than_its_longest_wait(before, reason) -> None:
    due = retry_at(message(Severity.CRITICAL), reason, tried(*before), policy=POLICY, now=NOW)

    assert due is not None
    assert NOW <= due <= NOW + timedelta(seconds=POLICY.backoff_critical_s_max)
