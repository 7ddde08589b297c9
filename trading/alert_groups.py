"""Which alerts are told together, when, and which are held back: grouping, inhibition, silences.

Pure, with the names and the meaning of Prometheus' Alertmanager, against which `python -m proof alertmanager`
holds it; where ours differs, `flushed` says so. Which alerts there are is alerts.py, what is kept of them
alert_log.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, assert_never

from trading.values import digest

Labels = tuple[tuple[str, str], ...]
"""An alert's labels, ascending by name: what makes two alerts the same one."""

LABEL_NAME = re.compile(r"[a-z_][a-z0-9_]*")

PATTERN = re.compile(r"(?:[A-Za-z0-9_:-]|\.\*|\|)+")
"""What a pattern is made of: words, `.*` and `|`. Every engine reads these alike, and none takes long."""


class Matching(StrEnum):
    """Say how a matcher compares a label with its value; a pattern has to match the whole of it."""

    EQUAL = "="
    NOT_EQUAL = "!="
    PATTERN = "=~"
    NOT_PATTERN = "!~"


class Matcher(NamedTuple):
    """Hold one condition on a label; an alert without the label has it empty."""

    name: str
    matching: Matching
    value: str

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels meet the condition."""
        found = labels.get(self.name, "")
        match self.matching:
            case Matching.EQUAL:
                return found == self.value
            case Matching.NOT_EQUAL:
                return found != self.value
            case Matching.PATTERN:
                return re.fullmatch(self.value, found) is not None
            case Matching.NOT_PATTERN:
                return re.fullmatch(self.value, found) is None
            case _:
                assert_never(self.matching)

    def __str__(self) -> str:
        """Return the matcher as people write it."""
        return f"{self.name}{self.matching.value}{self.value}"


class Silence(NamedTuple):
    """Hold that people are not told of matching alerts from `starts_at` until before `ends_at`."""

    silence_id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str


class InhibitRule(NamedTuple):
    """Hold that a firing alert matching `source` keeps those matching `target` from being told.

    Only where both have the same value of each label of `equal`; a missing label counts as empty.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]


class Alert(NamedTuple):
    """Hold one alert: since when it fires, and until when it did; `ends_at` is `None` while it does."""

    labels: Labels
    starts_at: datetime
    ends_at: datetime | None = None

    def is_resolved(self, now: datetime) -> bool:
        """Say whether the alert is over."""
        return self.ends_at is not None and self.ends_at <= now


class Told(NamedTuple):
    """Hold what people were last told of a group: fingerprints that fired, that were over, and when."""

    firing: frozenset[str]
    resolved: frozenset[str]
    at: datetime


class Line(NamedTuple):
    """Hold one alert of a notification."""

    labels: Labels
    is_resolved: bool


class Notification(NamedTuple):
    """Hold what people are told at once: a group's alerts that are not held back, in their order."""

    group: Labels
    lines: tuple[Line, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Hold how alerts become notifications. Times in seconds.

    Alerts with equal values of the labels of `group_by` are told together. A new group waits `group_wait_s`
    for others to join, a changed one is told `group_interval_s` after the last look at it, and what goes on
    unchanged again once `repeat_interval_s` has passed.
    """

    group_by: tuple[str, ...]
    group_wait_s: float
    group_interval_s: float
    repeat_interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Hold alerts that are told together, by fingerprint, and what was told of them last."""

    labels: Labels
    alerts: Mapping[str, Alert]
    next_flush_at: datetime
    is_flushed: bool
    told: Told | None


IsHeldBack = Callable[[Alert], bool]
"""Says whether people are not to be told of an alert now."""


def labels_of(values: Mapping[str, str]) -> Labels:
    """Return labels in their one order, without empty ones, which are as if they were not there.

    Raises `ValueError` for a name that is none.
    """
    for name in values:
        if LABEL_NAME.fullmatch(name) is None:
            raise ValueError(f"label {name!r}: lower-case letters, digits and _ only, no digit first")
    return tuple(sorted((name, value) for name, value in values.items() if value))


def fingerprint_of_labels(labels: Labels) -> str:
    """Return the digest by which an alert is known."""
    return digest([list(pair) for pair in labels])


def matcher_of(text: str) -> Matcher:
    """Return a matcher as written: `code=drawdown_high`, `book!=us_wide`, `severity=~warning|info`.

    Raises `ValueError` that names the text and what a matcher is.
    """
    found = re.fullmatch(r"([a-z_][a-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*)", text.strip())
    if found is None:
        raise ValueError(
            f"matcher {text!r}: give LABEL=VALUE, LABEL!=VALUE, LABEL=~PATTERN or LABEL!~PATTERN"
        )
    matcher = Matcher(found[1], Matching(found[2]), found[3])
    is_pattern = matcher.matching in {Matching.PATTERN, Matching.NOT_PATTERN}
    if is_pattern and PATTERN.fullmatch(matcher.value) is None:
        raise ValueError(f"matcher {text!r}: a pattern is made of letters, digits, _ : - and of .* and |")
    return matcher


def matches_all(matchers: Iterable[Matcher], labels: Labels) -> bool:
    """Say whether labels meet every condition."""
    named = dict(labels)
    return all(matcher.matches(named) for matcher in matchers)


def is_silenced(labels: Labels, silences: Iterable[Silence], *, now: datetime) -> bool:
    """Say whether a silence in force matches an alert."""
    return any(
        silence.starts_at <= now < silence.ends_at and matches_all(silence.matchers, labels)
        for silence in silences
    )


def is_inhibited(labels: Labels, rules: Iterable[InhibitRule], firing: Iterable[Labels]) -> bool:
    """Say whether one of the alerts that fire keeps another from being told.

    What matches both sides of a rule inhibits nothing that does so as well, itself least of all.
    """
    named = dict(labels)
    sources = tuple(firing)
    for rule in rules:
        if not matches_all(rule.target, labels):
            continue
        is_two_sided = matches_all(rule.source, labels)
        for source in sources:
            other = dict(source)
            if (
                matches_all(rule.source, source)
                and all(named.get(name, "") == other.get(name, "") for name in rule.equal)
                and not (is_two_sided and matches_all(rule.target, source))
            ):
                return True
    return False


def group_of(labels: Labels, route: Route) -> Labels:
    """Return the labels by which an alert is grouped."""
    return tuple(pair for pair in labels if pair[0] in route.group_by)


def joined(group: Group | None, alert: Alert, route: Route, *, now: datetime) -> Group:
    """Return a group with an alert put in, or changed; a new group where there is none.

    What fires for longer than the wait is not made to wait for others.
    """
    fingerprint = fingerprint_of_labels(alert.labels)
    wait = timedelta(seconds=route.group_wait_s)
    if group is None:
        group = Group(
            labels=group_of(alert.labels, route),
            alerts={},
            next_flush_at=now + wait,
            is_flushed=False,
            told=None,
        )
    is_late = not group.is_flushed and alert.starts_at + wait < now
    return replace(
        group,
        alerts={**group.alerts, fingerprint: alert},
        next_flush_at=now if is_late else group.next_flush_at,
    )


def flushed(
    group: Group,
    route: Route,
    *,
    now: datetime,
    is_held_back: IsHeldBack,
    acknowledged: frozenset[str] = frozenset(),
) -> tuple[Group, Notification | None]:
    """Return a group after its turn at `now`, and what people are told, if anything.

    What is over leaves the group. Ours differs from Alertmanager in two things. What was over while it was
    held back is forgotten here too, so that it is told when it fires again; there it would count as told.
    And what goes on unchanged is not repeated while all that fires is `acknowledged`.
    """
    told_now = sorted(
        (alert for alert in group.alerts.values() if not is_held_back(alert)),
        key=lambda alert: _place_of(alert.labels),
    )
    is_over = {fingerprint for fingerprint, alert in group.alerts.items() if alert.is_resolved(now)}
    listed = {fingerprint_of_labels(alert.labels) for alert in told_now}
    firing, resolved = frozenset(listed - is_over), frozenset(listed & is_over)
    is_told = bool(told_now) and _is_worth_telling(
        group.told, firing, resolved, route, now=now, acknowledged=acknowledged
    )
    told = Told(firing, resolved, now) if is_told else group.told
    after = replace(
        group,
        alerts={name: alert for name, alert in group.alerts.items() if name not in is_over},
        next_flush_at=now + timedelta(seconds=route.group_interval_s),
        is_flushed=True,
        told=None if told is None else told._replace(firing=told.firing - is_over),
    )
    if not is_told:
        return after, None
    lines = tuple(Line(alert.labels, alert.is_resolved(now)) for alert in told_now)
    return after, Notification(group.labels, lines, now)


def _is_worth_telling(
    told: Told | None,
    firing: frozenset[str],
    resolved: frozenset[str],
    route: Route,
    *,
    now: datetime,
    acknowledged: frozenset[str],
) -> bool:
    """Say whether people do not know yet, or are to be told again."""
    if told is None:
        return bool(firing)
    if not firing <= told.firing:
        return True
    if not firing:
        return bool(told.firing)
    if not resolved <= told.resolved:
        return True
    is_long_ago = told.at < now - timedelta(seconds=route.repeat_interval_s)
    return is_long_ago and not firing <= acknowledged


def _place_of(labels: Labels) -> tuple[object, ...]:
    """Return what sorts alerts: by job, then instance, where they have one; then the fewer labels first.

    Of equally many the first name in which they differ decides; who lacks it comes first.
    """
    named = dict(labels)
    first = tuple((name not in named, named.get(name, "")) for name in ("job", "instance"))
    # A name that comes sooner in the alphabet is one that the other lacks: it comes later.
    return (*first, len(labels), _Turned(labels))


@dataclass(frozen=True, slots=True)
class _Turned:
    """Compare labels of equal number by the names of both: who lacks the first that differs comes first."""

    labels: Labels

    def __lt__(self, other: _Turned) -> bool:
        ours, theirs = dict(self.labels), dict(other.labels)
        for name in sorted(ours.keys() | theirs.keys()):
            if name not in ours:
                return True
            if name not in theirs:
                return False
            if ours[name] != theirs[name]:
                return ours[name] < theirs[name]
        return False
