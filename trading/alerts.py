"""Alerts: the rules that a session's metrics are judged by, and the rules by which messages are sent.

Pure. The numbers stand in `config/alerts.toml` (read by resources/alert_policy.py). What is known of an alert
from one look to the next is alert_log.py, which alerts are told together alert_groups.py; messages wait in
the journal's outbox, and resources/notifier.py carries them out. What a metric means is metrics.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, assert_never

from trading.alert_groups import InhibitRule, Route, fingerprint_of_labels, labels_of
from trading.journal import Delivery, OutboxMessage
from trading.slos import BURN_1H, BURN_3D, BURN_6H

if TYPE_CHECKING:
    # What measures takes numpy, which alone takes longer to import than the verb that lists alerts may.
    from trading.metrics import MetricRow

ALERTNAME = "alertname"
"""The label that holds an alert's code; Prometheus calls it so."""

HTTP_TOO_MANY_REQUESTS = 429
HTTP_SERVER_ERRORS_FROM = 500

FINDINGS = "reconciliation.findings"
STUCK = "reconciliation.intents_stuck"
DIFFERENCES = "replay.differences"
SIGNALS_LATCHED = "signals.latched"
RUNS_FAILED = "runs.failed"
CHECKS_FAILED = "checks.failed"
TICKS_FAILED = "ticks.failed"
TICKS_UNDER_WAY = "ticks.under_way"
STOPPED = "schedules.stopped"
STALE = "assets.stale"
MISSED = "schedules.missed"
DISK_FREE = "disk.free_ratio"
SESSION_COST = "advisor.session_cost"
DAY_COST = "advisor.day_cost"
WEEK_COST = "advisor.week_cost"
WATCHED = {
    FINDINGS: "findings",
    STUCK: "intents",
    DIFFERENCES: "sessions",
    SIGNALS_LATCHED: "latches",
    RUNS_FAILED: "runs",
    CHECKS_FAILED: "checks",
    TICKS_FAILED: "ticks",
    TICKS_UNDER_WAY: "looks",
    STOPPED: "schedules",
    STALE: "partitions",
    MISSED: "sessions",
    DISK_FREE: "ratio",
    SESSION_COST: "USD",
    DAY_COST: "USD",
    WEEK_COST: "USD",
    BURN_1H: "rate",
    BURN_6H: "rate",
    BURN_3D: "rate",
}
"""What is judged beside a session's metrics, each with its unit: when journal and broker were brought
together, when sessions were replayed, when quotes were looked for, and by the watch over runs, checks, ticks,
sessions, the disk, what the advisor's model costs and error budgets. A session with an order that is not
proven has no metrics yet: it cannot be settled before that is known.
"""

DOUBLINGS_MAX = 30
"""Enough doublings of a wait to reach any longest one; keeps the power small."""


class Severity(StrEnum):
    """Say how much an alert asks of a person: look today, or act now."""

    WARNING = "warning"
    CRITICAL = "critical"


class Comparison(StrEnum):
    """Say on which side of its threshold a metric is wrong."""

    ABOVE = "above"
    BELOW = "below"


class FailOn(StrEnum):
    """Say from which severity on an evaluation counts as failed."""

    NONE = "none"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """Hold one line of the policy. `threshold` is in the metric's own `unit`; at the threshold all is well.

    `owner` is who acts on it; `runbook` is a path below the repository's root; `why` says where the number
    comes from.
    """

    code: str
    severity: Severity
    owner: str
    metric: str
    comparison: Comparison
    threshold: float
    unit: str
    runbook: str
    why: str


class AlertRow(NamedTuple):
    """Hold one rule that a session broke. `observed` and `threshold` are in the metric's unit.

    `fingerprint` is a digest of book, code and severity: what makes alerts of two sessions the same one.
    """

    session: date
    book: str
    code: str
    severity: Severity
    metric: str
    observed: float
    threshold: float
    message: str
    runbook: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """Hold how people are told. Times in seconds.

    After `rate_limit_count` messages through one channel in `rate_limit_window_s`, the next wait for room;
    a critical never does. A failed send is tried again at once `retries` times, `retry_wait_s` apart; then
    the message waits in the outbox, `backoff_s` doubled with each failure up to `backoff_s_max`, for a
    critical up to `backoff_critical_s_max`, and after `attempts_max` failures a warning is given up, a
    critical never. `lease_s` is how long a message is kept from other senders while one tries: longer than
    all its time-outs.
    """

    channels: tuple[str, ...]
    rate_limit_count: int
    rate_limit_window_s: int
    retries: int
    retry_wait_s: float
    backoff_s: int
    backoff_s_max: int
    backoff_critical_s_max: int
    attempts_max: int
    lease_s: int

    @property
    def wait_s_max(self) -> int:
        """Return the longest that anything waits, whatever for."""
        return max(self.rate_limit_window_s, self.backoff_s_max, self.backoff_critical_s_max, self.lease_s)


class PolicyOverride(NamedTuple):
    """Hold what a named person changed of a rule outside the reviewed file, and why.

    `told` is the change in words; `loosens` says that the rule speaks later or more softly than it did.
    """

    code: str
    actor: str
    why: str
    told: str
    loosens: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """Hold the whole reviewed file: rules, from when on an evaluation fails, and how people are told.

    An alert of a severity of `opens_incident` opens an incident when it begins to fire.

    `route` says which alerts are told together and how often, `inhibit` which keep others from being told.
    The rules are those in force: what the profile and `overrides` change stands in them.
    """

    rules: tuple[AlertRule, ...]
    fail_on: FailOn
    opens_incident: tuple[Severity, ...]
    route: Route
    inhibit: tuple[InhibitRule, ...]
    delivery: DeliveryPolicy
    overrides: tuple[PolicyOverride, ...] = ()


class Reason(StrEnum):
    """Say what became of a message on one channel.

    No reason says that it was told before: what is known already makes no message.
    """

    SENT = "sent"
    SENT_AFTER_RETRY = "sent_after_retry"
    RATE_LIMITED = "rate_limited"
    NON_2XX = "non_2xx"
    HTTP_ERROR = "http_error"
    MISSING_WEBHOOK_URL = "missing_webhook_url"
    DRY_RUN = "dry_run"
    PROVIDER_NONE = "provider_none"

    @property
    def is_delivered(self) -> bool:
        """Say whether the message arrived."""
        return self in {Reason.SENT, Reason.SENT_AFTER_RETRY}

    @property
    def is_failed_send(self) -> bool:
        """Say whether the message was sent and did not arrive."""
        return self in {Reason.NON_2XX, Reason.HTTP_ERROR}

    @property
    def is_without_address(self) -> bool:
        """Say whether nothing was sent, since there is nobody to send to."""
        return self in {Reason.MISSING_WEBHOOK_URL, Reason.PROVIDER_NONE}


class Attempt(NamedTuple):
    """Hold one send: the HTTP status (0: there was no reply, or the channel has none) and if it arrived."""

    arrived: bool
    status: int


class Outbox(Protocol):
    """Keep messages until they are delivered; a part of the journal.

    A message is known by channel and dedup key for good: the same one is stored, and told, once.
    """

    def enqueue(
        self, *, dedup_key: str, channel: str, severity: str, subject: str, body: str, now: datetime
    ) -> bool:
        """Store a message; returns whether its key was new to the channel."""
        ...

    def lease(
        self,
        *,
        now: datetime,
        lease_s: int,
        limit: int,
        ready: Collection[str] | None = None,
        wait_s_max: int | None = None,
    ) -> list[OutboxMessage]:
        """Take waiting messages that are due, oldest first, for `lease_s`; a dead sender's come back.

        `ready` are the channels with an address, `None` for all: a critical for another is taken once, to
        say why it waits, and then left until the channel is among them. What would wait for longer than
        `wait_s_max` is due: the clock was set back since it was put off.
        """
        ...

    def mark(
        self,
        outbox_id: int,
        *,
        attempt: int,
        is_delivered: bool,
        reason: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Store how an attempt went; undelivered without `retry_at` is given up.

        Raises `StaleVersion` where another sender has leased the message since.
        """
        ...

    def deliveries_of(self, outbox_id: int) -> list[Delivery]:
        """Return the attempts to deliver one message, in the order made."""
        ...

    def delivered_since(self, since: datetime) -> list[Delivery]:
        """Return the attempts of all messages that arrived after an instant, in the order made."""
        ...


class Subject(NamedTuple):
    """Hold what an alert is of: the rule's code, the book, and the one thing where the rule is of many."""

    code: str
    book: str
    about: str


class AlertKeeper(Protocol):
    """Keep what is known of alerts from one look to the next; a part of the journal."""

    def observe(
        self,
        alerts: Sequence[AlertRow],
        *,
        codes: Collection[str],
        policy: AlertPolicy,
        book: str,
        session: date,
        now: datetime,
        about: str = "",
        run_id: str = "",
    ) -> None:
        """Store what changed by a look at a book that judged the rules of `codes` and found `alerts`.

        `about` names the one thing that was looked at, where a rule is of many: a job, a check; `run_id` the
        run that it was seen in.
        """
        ...

    def firing(self) -> frozenset[Subject]:
        """Return what fires, by code, book and subject."""
        ...

    def tell(self, policy: AlertPolicy, *, now: datetime) -> int:
        """Store the messages that are due, one a group and channel; returns how many groups were told."""
        ...


class Deliverer(Protocol):
    """Send what waits in the outbox; what cannot be sent stays there."""

    def deliver(self, now: datetime) -> Sequence[object]:
        """Return one row an attempt."""
        ...


# ------------------------------------------------------------------------------------------ judging a session


def evaluate(metrics: Sequence[MetricRow], rules: Iterable[AlertRule], *, book: str) -> tuple[AlertRow, ...]:
    """Return an alert for each rule that a session's metrics break, in the order of the rules.

    A metric without data breaks nothing. Raises `ValueError` for a rule on a metric that does not exist,
    since such a rule would be silent for ever.
    """
    measured = {row.name: row for row in metrics}
    alerts = []
    for rule in rules:
        if rule.metric in WATCHED:
            continue
        if rule.metric not in measured:
            raise ValueError(f"rule {rule.code} watches {rule.metric}, which is not a metric of v1")
        row = measured[rule.metric]
        if row.value is not None and _breaks(row.value, rule):
            alerts.append(_alert(rule, row.session, book, row.value))
    return tuple(alerts)


def evaluate_watched(
    observed: Mapping[str, float],
    rules: Iterable[AlertRule],
    *,
    book: str,
    session: date,
    about: str = "",
    detail: str = "",
) -> tuple[AlertRow, ...]:
    """Return an alert for each rule that what was observed breaks, in the order of the rules.

    `observed` has some of `WATCHED`; a rule on anything else is not asked. `about` names the one thing that
    was looked at, `detail` says more of it.
    """
    return tuple(
        _alert(rule, session, book, float(observed[rule.metric]), about=about, detail=detail)
        for rule in rules
        if rule.metric in observed and _breaks(float(observed[rule.metric]), rule)
    )


def fails(severities: Iterable[Severity], fail_on: FailOn) -> bool:
    """Say whether alerts of these severities count as failed: `trading alerts` then ends with 3."""
    found = set(severities)
    match fail_on:
        case FailOn.NONE:
            return False
        case FailOn.WARNING:
            return bool(found)
        case FailOn.CRITICAL:
            return Severity.CRITICAL in found
        case _:
            assert_never(fail_on)


def fingerprint_of(*, book: str, code: str, severity: Severity, about: str = "") -> str:
    """Return what two alerts must share to be the same one."""
    labels = {ALERTNAME: code, "book": book, "severity": severity.value, "about": about}
    return fingerprint_of_labels(labels_of(labels))


def is_looser(rule: AlertRule, than: AlertRule) -> bool:
    """Say whether a changed rule speaks more softly, or of less, than it did."""
    if rule.severity is Severity.WARNING and than.severity is Severity.CRITICAL:
        return True
    # What only the old threshold called wrong is not told any more.
    return _breaks(rule.threshold, than)


def _breaks(value: float, rule: AlertRule) -> bool:
    match rule.comparison:
        case Comparison.ABOVE:
            return value > rule.threshold
        case Comparison.BELOW:
            return value < rule.threshold
        case _:
            assert_never(rule.comparison)


def _alert(
    rule: AlertRule, session: date, book: str, observed: float, *, about: str = "", detail: str = ""
) -> AlertRow:
    told = f"{rule.metric} is {observed:g}, {rule.comparison.value} {rule.threshold:g} ({rule.unit})"
    return AlertRow(
        session=session,
        book=book,
        code=rule.code,
        severity=rule.severity,
        metric=rule.metric,
        observed=observed,
        threshold=rule.threshold,
        message=": ".join(part for part in (about, told, detail) if part),
        runbook=rule.runbook,
        fingerprint=fingerprint_of(book=book, code=rule.code, severity=rule.severity, about=about),
    )


def judged(metrics: Sequence[MetricRow], rules: Iterable[AlertRule]) -> tuple[str, ...]:
    """Return the codes of the rules that a session's metrics say something about: no data judges nothing."""
    measured = {row.name: row for row in metrics}
    return tuple(
        rule.code for rule in rules if rule.metric in measured and measured[rule.metric].value is not None
    )


def judged_watched(observed: Mapping[str, float], rules: Iterable[AlertRule]) -> tuple[str, ...]:
    """Return the codes of the rules that what was observed says something about."""
    return tuple(rule.code for rule in rules if rule.metric in observed)


def tell(
    alerts: Sequence[AlertRow],
    *,
    codes: Collection[str],
    keeper: AlertKeeper,
    policy: AlertPolicy,
    book: str,
    session: date,
    now: datetime,
) -> int:
    """Store what a look found and over which rules, and the messages that are due; returns how many."""
    keeper.observe(alerts, codes=codes, policy=policy, book=book, session=session, now=now)
    return keeper.tell(policy, now=now)


# --------------------------------------------------------------------------------------------- telling people


def held_until(
    message: OutboxMessage, deliveries: Iterable[Delivery], *, policy: DeliveryPolicy, now: datetime
) -> datetime | None:
    """Return until when the rate limit holds a message back, or `None` where it may go.

    A critical is never held. Others wait in the outbox until the channel's window has room again.
    """
    if message.severity == Severity.CRITICAL:
        return None
    window = timedelta(seconds=policy.rate_limit_window_s)
    sent_at = sorted(
        delivery.at
        for delivery in deliveries
        if delivery.channel == message.channel and delivery.is_delivered and now - window < delivery.at <= now
    )
    if len(sent_at) < policy.rate_limit_count:
        return None
    return sent_at[-policy.rate_limit_count] + window


def attempted(
    send: Callable[[], Attempt], *, policy: DeliveryPolicy, sleep: Callable[[float], None]
) -> Reason:
    """Send until it arrives, a refusal is final, or the retries are used up; returns how it ended."""
    attempt = send()
    for _ in range(policy.retries):
        if not _is_worth_retrying(attempt):
            break
        sleep(policy.retry_wait_s)
        attempt = send()
        if attempt.arrived:
            return Reason.SENT_AFTER_RETRY
    if attempt.arrived:
        return Reason.SENT
    return Reason.NON_2XX if attempt.status else Reason.HTTP_ERROR


def retry_at(
    message: OutboxMessage,
    reason: Reason,
    earlier: Iterable[Delivery],
    *,
    policy: DeliveryPolicy,
    now: datetime,
) -> datetime | None:
    """Return when an undelivered message is due again, or `None` where it is given up.

    Where there is nobody to send to, a warning is given up at once, and a critical stays due: it goes out as
    soon as there is somebody. A failed send is tried again, ever later: a warning a bounded number of times,
    a critical for good. `earlier` are the message's attempts before this one; those that sent nothing, held
    by the rate limit or left by a sender that died, count for nothing.
    """
    is_critical = message.severity == Severity.CRITICAL
    if reason.is_without_address:
        return now if is_critical else None
    if not reason.is_failed_send:
        return None
    failed = 1 + sum(1 for delivery in earlier if Reason(delivery.reason).is_failed_send)
    if not is_critical and failed >= policy.attempts_max:
        return None
    longest_s = policy.backoff_critical_s_max if is_critical else policy.backoff_s_max
    wait_s = min(policy.backoff_s * 2 ** min(failed, DOUBLINGS_MAX), longest_s)
    return now + timedelta(seconds=wait_s)


def _is_worth_retrying(attempt: Attempt) -> bool:
    """Say whether the same send may succeed a moment later: no reply, 429, or the server's own trouble."""
    if attempt.arrived:
        return False
    return attempt.status in {0, HTTP_TOO_MANY_REQUESTS} or attempt.status >= HTTP_SERVER_ERRORS_FROM
