"""Which alerts are told together, when, and which are held back; Alertmanager is asked the same elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.alert_groups import (
    Alert,
    Group,
    InhibitRule,
    Matcher,
    Matching,
    Route,
    Silence,
    fingerprint_of_labels,
    flushed,
    group_of,
    is_inhibited,
    is_silenced,
    joined,
    labels_of,
    matcher_of,
)

NOW = datetime(2013, 3, 1, 21, 30, tzinfo=UTC)
ROUTE = Route(group_by=("book",), group_wait_s=30, group_interval_s=300, repeat_interval_s=3600)
HIGH = labels_of({"alertname": "drawdown_high", "book": "us_five", "severity": "warning"})
STUCK = labels_of({"alertname": "intents_stuck", "book": "us_five", "severity": "critical"})


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def told(group: Group, at: datetime, **more):
    return flushed(group, ROUTE, now=at, **({"is_held_back": lambda _: False} | more))


def group_with(*alerts: Alert) -> Group:
    group = None
    for alert in alerts:
        group = joined(group, alert, ROUTE, now=NOW)
    assert group is not None
    return group


def test_alerts_of_one_group_are_told_at_once_after_the_wait():
    group = group_with(Alert(HIGH, NOW), Alert(STUCK, NOW))

    group, notification = told(group, group.next_flush_at)

    assert (notification.group, notification.at) == ((("book", "us_five"),), after(30))
    assert [line.labels for line in notification.lines] == [HIGH, STUCK]
    assert group.next_flush_at == after(330)


def test_what_goes_on_unchanged_is_told_again_only_after_the_repeat_interval():
    group, _ = told(group_with(Alert(HIGH, NOW)), after(30))

    group, soon = told(group, after(330))
    group, again = told(group, after(3631))

    assert soon is None
    assert again is not None


def test_what_somebody_acknowledged_is_not_repeated_but_another_one_is_told():
    group, _ = told(group_with(Alert(HIGH, NOW)), after(30))
    known = frozenset({fingerprint_of_labels(HIGH)})

    group, repeated = told(group, after(4000), acknowledged=known)
    group, changed = told(
        joined(group, Alert(STUCK, after(4000)), ROUTE, now=after(4000)), after(4300), acknowledged=known
    )

    assert repeated is None
    assert len(changed.lines) == 2


def test_the_end_of_an_alert_is_told_once_and_it_leaves_its_group():
    group, _ = told(group_with(Alert(HIGH, NOW)), after(30))
    group = joined(group, Alert(HIGH, NOW, after(100)), ROUTE, now=after(100))

    group, over = told(group, after(330))
    emptied, nothing = told(group, after(630))

    assert [line.is_resolved for line in over.lines] == [True]
    assert (emptied.alerts, nothing) == ({}, None)


def test_what_fired_and_ended_between_two_looks_is_told_to_nobody():
    group, notification = told(group_with(Alert(HIGH, NOW, after(10))), after(30))

    assert (group.alerts, notification) == ({}, None)


def test_what_ended_while_silenced_is_told_when_it_fires_again():
    group, _ = told(group_with(Alert(HIGH, NOW)), after(30))
    group = joined(group, Alert(HIGH, NOW, after(100)), ROUTE, now=after(100))
    group, silenced = told(group, after(330), is_held_back=lambda _: True)

    _, again = told(joined(group, Alert(HIGH, after(400)), ROUTE, now=after(400)), after(630))

    assert silenced is None
    assert [line.labels for line in again.lines] == [HIGH]


def test_what_fires_for_longer_than_the_wait_is_told_at_once():
    group = joined(None, Alert(HIGH, NOW - timedelta(hours=1)), ROUTE, now=NOW)

    assert group.next_flush_at == NOW


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alertname=drawdown_high", True),
        ("alertname!=drawdown_high", False),
        ("alertname=~drawdown_.*|stuck", True),
        ("alertname=~drawdown", False),
        ("alertname!~drawdown", True),
        ("stage=", True),
        ("stage!=metrics", True),
        ("severity =~ warning|critical", True),
    ],
)
def test_a_matcher_reads_as_alertmanagers_do(text, expected):
    assert matcher_of(text).matches(dict(HIGH)) is expected


@pytest.mark.parametrize(
    "text", ["", "drawdown_high", "=x", "Code=x", "code=~(a+)+", "code=~[ab]", "code=~a?"]
)
def test_a_text_that_is_no_matcher_and_a_pattern_that_may_take_long_are_refused(text):
    with pytest.raises(ValueError, match="matcher"):
        matcher_of(text)


@pytest.mark.parametrize(("seconds", "expected"), [(-1, False), (0, True), (59, True), (60, False)])
def test_a_silence_holds_from_its_start_until_before_its_end(seconds, expected):
    silence = Silence("s", (matcher_of("book=us_five"),), NOW, after(60), "ada", "known")

    assert is_silenced(HIGH, [silence], now=after(seconds)) is expected
    assert not is_silenced(labels_of({"book": "us_wide"}), [silence], now=after(seconds))


CRITICAL_HIDES_WARNING = InhibitRule(
    source=(Matcher("severity", Matching.EQUAL, "critical"),),
    target=(Matcher("severity", Matching.EQUAL, "warning"),),
    equal=("book",),
)


def test_a_critical_keeps_the_warnings_of_its_own_book_from_being_told():
    elsewhere = labels_of({**dict(HIGH), "book": "us_wide"})

    assert is_inhibited(HIGH, [CRITICAL_HIDES_WARNING], [STUCK, HIGH])
    assert not is_inhibited(elsewhere, [CRITICAL_HIDES_WARNING], [STUCK])
    assert not is_inhibited(STUCK, [CRITICAL_HIDES_WARNING], [STUCK, HIGH])


def test_what_matches_both_sides_does_not_inhibit_itself_nor_its_like():
    both = CRITICAL_HIDES_WARNING._replace(
        source=(matcher_of("severity=~.*"),), target=(matcher_of("severity=~.*"),)
    )

    assert not is_inhibited(HIGH, [both], [HIGH, STUCK])


def test_labels_have_one_order_and_no_empty_values():
    assert labels_of({"b": "2", "a": "1", "c": ""}) == (("a", "1"), ("b", "2"))
    assert group_of(HIGH, ROUTE) == (("book", "us_five"),)
    with pytest.raises(ValueError, match="label 'Book'"):
        labels_of({"Book": "us_five"})


STATES = st.lists(st.sampled_from(["fires", "ends", "silent", "heard", "look"]), max_size=40)


@given(STATES)
def test_whoever_hears_every_notification_knows_what_fires_unless_it_is_silenced(states):
    """After each look that follows the interval, a listener's picture is the truth."""
    group = group_with(Alert(HIGH, NOW))
    known, is_firing, is_silent, at = False, True, False, NOW
    for state in states:
        at += timedelta(seconds=400)
        match state:
            case "fires":
                is_firing = True
                group = joined(group, Alert(HIGH, at), ROUTE, now=at)
            case "ends":
                is_firing = False
                group = joined(group, Alert(HIGH, NOW, at), ROUTE, now=at)
            case "silent" | "heard":
                is_silent = state == "silent"
            case _:
                group, said = told(group, at, is_held_back=lambda _, held=is_silent: held)
                known = not said.lines[0].is_resolved if said else known
                if is_firing and not is_silent:
                    assert known
