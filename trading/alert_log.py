"""What is known of alerts, told by the journal's events alone: since when each fires, who knows of it.

Pure: events in, the state and the next events out. The rules that raise alerts are alerts.py, how they are
told together alert_groups.py; the journal does what is said here in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from trading.alert_groups import (
    Alert,
    Group,
    InhibitRule,
    Labels,
    Line,
    Notification,
    Route,
    Silence,
    Told,
    fingerprint_of_labels,
    flushed,
    group_of,
    is_inhibited,
    is_silenced,
    labels_of,
    matcher_of,
)
from trading.alerts import ALERTNAME, AlertPolicy, AlertRow, Severity, Subject
from trading.audit import instant_from_text, instant_text
from trading.errors import BadInput, IllegalTransition, UnknownId
from trading.journal import JournalEvent
from trading.values import canonical_json, digest

ALERT, ACKNOWLEDGED = "alert", "alert_acknowledged"
SILENCED, UNSILENCED = "silence_set", "silence_ended"
TOLD = "alerts_told"
KINDS = (ALERT, ACKNOWLEDGED, SILENCED, UNSILENCED, TOLD)
"""The kinds of events that tell of alerts; they have no rows of their own."""

SILENCE_MAX = timedelta(days=30)
"""The longest that people may be kept from hearing of something."""

LABELS = (ALERTNAME, "book", "severity", "about")
"""What an alert can be matched and grouped by."""

MATCHER_CHARACTERS_MAX = 200
NAME_SHOWN = 60

NO_RULE = "the policy has no rule of this code any more"
"""Why an alert ends that nobody judges: not that all is well."""

CODES_SHOWN = 3
"""How many codes stand in a message's subject."""


class AlertState(StrEnum):
    """Say what an alert is to people: only one that fires and is nothing else is told."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    RESOLVED = "resolved"


class KnownAlert(NamedTuple):
    """Hold what is known of one alert; `ends_at` is `None` while it fires.

    `session` is the one in which it was seen last, `acknowledged_by` is empty while nobody has. `run_id` is
    the run in which it was seen first, empty where it was in none. `end_reason` says why it is over though
    nobody saw it well again, empty where somebody did.
    """

    fingerprint: str
    labels: Labels
    starts_at: datetime
    ends_at: datetime | None
    session: str
    message: str
    owner: str
    runbook: str
    acknowledged_by: str
    acknowledged_at: datetime | None
    comment: str
    run_id: str = ""
    end_reason: str = ""

    @property
    def code(self) -> str:
        """Return the code of the rule that raised it."""
        return dict(self.labels)[ALERTNAME]

    @property
    def severity(self) -> Severity:
        """Return how much it asks of a person."""
        return Severity(dict(self.labels)["severity"])


class AlertEvent(NamedTuple):
    """Hold an event to be stored, before it has a place in the chain."""

    kind: str
    body: Mapping[str, Any]
    book: str = ""
    session: str = ""
    actor: str = ""
    reason: str = ""


class Message(NamedTuple):
    """Hold what people are told at once, and the event that says so; one thing has one key."""

    event: AlertEvent
    dedup_key: str
    severity: Severity
    subject: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLog:
    """Hold what is known: alerts by fingerprint, silences in the order set, what each group was told last."""

    alerts: Mapping[str, KnownAlert] = field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    told: Mapping[Labels, Told] = field(default_factory=dict)


def alert_log_of(events: Iterable[JournalEvent], before: AlertLog | None = None) -> AlertLog:
    """Return what events tell of alerts, after what was known `before`; other kinds are passed over."""
    known = before or AlertLog()
    alerts = dict(known.alerts)
    silences = {one.silence_id: one for one in known.silences}
    told = dict(known.told)
    for event in events:
        body = event.body
        match event.kind:
            case "alert":
                _take_alert(alerts, told, event)
            case "alert_acknowledged":
                found = alerts[body["fingerprint"]]
                alerts[found.fingerprint] = found._replace(
                    acknowledged_by=event.actor, acknowledged_at=event.at, comment=event.reason
                )
            case "silence_set":
                silences[body["silence_id"]] = Silence(
                    silence_id=body["silence_id"],
                    matchers=tuple(matcher_of(text) for text in body["matchers"]),
                    starts_at=instant_from_text(body["starts_at"]),
                    ends_at=instant_from_text(body["ends_at"]),
                    created_by=event.actor,
                    comment=event.reason,
                )
            case "silence_ended":
                ended = silences[body["silence_id"]]
                silences[ended.silence_id] = ended._replace(ends_at=event.at)
            case "alerts_told":
                told[labels_of(body["group"])] = Told(
                    frozenset(body["firing"]), frozenset(body["resolved"]), event.at
                )
            case _:
                continue
    return AlertLog(alerts=alerts, silences=tuple(silences.values()), told=told)


def _take_alert(alerts: dict[str, KnownAlert], told: dict[Labels, Told], event: JournalEvent) -> None:
    body = event.body
    fingerprint = body["fingerprint"]
    known = alerts.get(fingerprint)
    if not body["is_firing"]:
        if known is not None:
            alerts[fingerprint] = known._replace(
                ends_at=event.at, session=event.session, end_reason=event.reason
            )
        return
    if known is not None and known.ends_at is not None:
        # It is another occurrence: who was told of the last one has not heard of this.
        for group, last in told.items():
            told[group] = last._replace(firing=last.firing - {fingerprint})
    alerts[fingerprint] = KnownAlert(
        fingerprint=fingerprint,
        labels=labels_of(body["labels"]),
        starts_at=event.at,
        ends_at=None,
        session=event.session,
        message=body["message"],
        owner=body["owner"],
        runbook=body["runbook"],
        acknowledged_by="",
        acknowledged_at=None,
        comment="",
        # Alerts of the first journals name no run.
        run_id=body.get("run_id", ""),
    )


# ------------------------------------------------------------------------------------- what is observed


def observed(
    log: AlertLog,
    alerts: Sequence[AlertRow],
    *,
    codes: Iterable[str],
    policy: AlertPolicy,
    book: str,
    session: date,
    about: str = "",
    run_id: str = "",
) -> tuple[AlertEvent, ...]:
    """Return what changes by a look at a book that judged the rules of `codes` and found `alerts`.

    Where a rule is of many things, `about` names the one that was looked at, and `run_id` the run in which
    it was seen. What fires already is no news,
    and what was judged and not found is over. A look at an earlier session than the last one is history: it
    changes nothing that was judged later.
    """
    judged = set(codes)
    found = {alert.fingerprint: alert for alert in alerts}
    owners = {rule.code: rule.owner for rule in policy.rules}
    events = []
    for known in log.alerts.values():
        labels = dict(known.labels)
        if (labels.get("book", ""), labels.get("about", "")) != (book, about) or known.code not in judged:
            continue
        if known.session > session.isoformat():
            found.pop(known.fingerprint, None)
        elif known.ends_at is None and found.pop(known.fingerprint, None) is None:
            body = {"fingerprint": known.fingerprint, "is_firing": False}
            events.append(AlertEvent(ALERT, body, book=book, session=session.isoformat()))
    for alert in found.values():
        body = {
            "fingerprint": alert.fingerprint,
            "is_firing": True,
            "labels": dict(alert_labels(alert, about=about)),
            "message": alert.message,
            "owner": owners[alert.code],
            "runbook": alert.runbook,
            "run_id": run_id,
        }
        events.append(AlertEvent(ALERT, body, book=book, session=session.isoformat()))
    return tuple(events)


def ended_without_rule(log: AlertLog, policy: AlertPolicy) -> tuple[AlertEvent, ...]:
    """Return the end of what fires by rules that the policy has no more: nobody would ever judge it again."""
    codes = {rule.code for rule in policy.rules}
    return tuple(
        AlertEvent(
            ALERT,
            {"fingerprint": one.fingerprint, "is_firing": False},
            book=dict(one.labels).get("book", ""),
            session=one.session,
            reason=NO_RULE,
        )
        for one in log.alerts.values()
        if one.ends_at is None and one.code not in codes
    )


def alert_labels(alert: AlertRow, *, about: str = "") -> Labels:
    """Return the labels of an alert: what makes it the same one in another session."""
    severity = alert.severity.value
    return labels_of({ALERTNAME: alert.code, "book": alert.book, "severity": severity, "about": about})


def subjects_firing(log: AlertLog) -> frozenset[Subject]:
    """Return what fires, by code, book and subject."""
    firing = [(one.code, dict(one.labels)) for one in log.alerts.values() if one.ends_at is None]
    return frozenset(
        Subject(code, labels.get("book", ""), labels.get("about", "")) for code, labels in firing
    )


# ------------------------------------------------------------------------------------- what people do


def acknowledgement(log: AlertLog, wanted: str, *, actor: str, reason: str) -> AlertEvent:
    """Return that somebody knows of an alert, named by its code or the beginning of its fingerprint.

    Raises `UnknownId` where none that fires is called so, `BadInput` where several are.
    """
    alert = find_alert(log, wanted)
    if alert.ends_at is not None:
        raise IllegalTransition(f"alert {alert.code}: is over since {alert.ends_at:%Y-%m-%d %H:%M} UTC")
    return AlertEvent(
        ACKNOWLEDGED,
        {"fingerprint": alert.fingerprint},
        book=dict(alert.labels).get("book", ""),
        session=alert.session,
        actor=actor,
        reason=reason,
    )


def find_alert(log: AlertLog, wanted: str) -> KnownAlert:
    """Return the alert of a code or a fingerprint's beginning: one that fires before one that is over.

    Raises `UnknownId` where there is none, `BadInput` where several are called so.
    """
    found = [one for one in log.alerts.values() if wanted and wanted == one.code]
    found = found or [one for one in log.alerts.values() if wanted and one.fingerprint.startswith(wanted)]
    found = [one for one in found if one.ends_at is None] or found
    if not found:
        raise UnknownId(
            f"alert {wanted[:NAME_SHOWN]!r}: none has this code or fingerprint; `trading alerts list` has all"
        )
    if len(found) > 1:
        names = ", ".join(f"{dict(one.labels).get('book', '-')} {one.fingerprint[:12]}" for one in found)
        raise BadInput(
            f"alert {wanted[:NAME_SHOWN]!r}: several are called so; name one by its fingerprint: {names}"
        )
    return found[0]


def silencing(
    matchers: Sequence[str], *, lasts: timedelta, actor: str, reason: str, now: datetime
) -> AlertEvent:
    """Return that people are not told of matching alerts for a while; raises `BadInput`.

    A silence names who set it and why, and ends by itself.
    """
    if any(len(text) > MATCHER_CHARACTERS_MAX for text in matchers):
        raise BadInput(f"a matcher has at most {MATCHER_CHARACTERS_MAX} characters")
    try:
        parsed = tuple(matcher_of(text) for text in matchers)
    except ValueError as error:
        raise BadInput(str(error)) from error
    if unknown := sorted({matcher.name for matcher in parsed} - set(LABELS)):
        raise BadInput(f"label {unknown[0]}: no alert has it; labels are {', '.join(LABELS)}")
    if not parsed or all(matcher.matches({}) for matcher in parsed):
        raise BadInput(
            "a silence needs a matcher that not every alert meets, such as alertname=drawdown_high"
        )
    if not timedelta() < lasts <= SILENCE_MAX:
        raise BadInput(f"a silence lasts longer than nothing and at most {SILENCE_MAX.days} days")
    texts = [str(matcher) for matcher in parsed]
    ends_at = now + lasts
    body = {
        "silence_id": digest([texts, instant_text(now), actor])[:12],
        "matchers": texts,
        "starts_at": instant_text(now),
        "ends_at": instant_text(ends_at),
    }
    return AlertEvent(SILENCED, body, actor=actor, reason=reason)


def unsilencing(log: AlertLog, silence_id: str, *, actor: str, reason: str, now: datetime) -> AlertEvent:
    """Return that a silence ends before its time; raises `UnknownId` where none of that id is in force."""
    if not any(one.silence_id == silence_id and one.ends_at > now for one in log.silences):
        raise UnknownId(f"silence {silence_id[:NAME_SHOWN]!r}: none of this id is in force")
    return AlertEvent(UNSILENCED, {"silence_id": silence_id}, actor=actor, reason=reason)


# ------------------------------------------------------------------------------------- what people are told


def state_of(
    alert: KnownAlert, log: AlertLog, inhibit: Iterable[InhibitRule], *, now: datetime
) -> AlertState:
    """Return what an alert is to people now."""
    if alert.ends_at is not None:
        return AlertState.RESOLVED
    if is_silenced(alert.labels, log.silences, now=now):
        return AlertState.SILENCED
    if is_inhibited(alert.labels, inhibit, _firing(log)):
        return AlertState.INHIBITED
    return AlertState.ACKNOWLEDGED if alert.acknowledged_by else AlertState.FIRING


def messages_due(log: AlertLog, policy: AlertPolicy, *, now: datetime) -> tuple[Message, ...]:
    """Return what people are to be told now: one message a group whose turn it is."""
    acknowledged = frozenset(
        one.fingerprint for one in log.alerts.values() if one.ends_at is None and one.acknowledged_by
    )
    firing = _firing(log)

    def is_held_back(alert: Alert) -> bool:
        return is_silenced(alert.labels, log.silences, now=now) or is_inhibited(
            alert.labels, policy.inhibit, firing
        )

    messages = []
    for group in _groups(log, policy.route, now=now):
        if group.next_flush_at > now:
            continue
        after, notification = flushed(
            group, policy.route, now=now, is_held_back=is_held_back, acknowledged=acknowledged
        )
        if notification is not None and after.told is not None:
            messages.append(_message(log, notification, after.told))
    return tuple(messages)


def is_needed(told: Mapping[str, Any], last: Told | None, *, at: datetime, repeat_interval_s: int) -> bool:
    """Say whether a message says something: `told` is the body of its event, `last` what its group was told.

    It is news where other alerts fire or one has ended, and a repetition where the interval has passed.
    """
    if last is None or set(told["firing"]) != set(last.firing) or told["resolved"]:
        return True
    return at - last.at >= timedelta(seconds=repeat_interval_s)


def _firing(log: AlertLog) -> tuple[Labels, ...]:
    return tuple(one.labels for one in log.alerts.values() if one.ends_at is None)


def _groups(log: AlertLog, route: Route, *, now: datetime) -> list[Group]:
    """Return the groups with what fires, and with what is over and people still take for firing.

    Nobody looks at a group between two turns, so that one that was quiet for longer than the interval is
    due at once; so is one that was told, or began, at an instant that is still to come: the clock was set
    back, and nobody waits until it is there again.
    """
    groups: dict[Labels, Group] = {}
    for one in log.alerts.values():
        key = group_of(one.labels, route)
        told = log.told.get(key)
        if one.ends_at is not None and (told is None or one.fingerprint not in told.firing):
            continue
        since, wait_s = one.starts_at, route.group_wait_s
        if told is not None and told.firing:
            since, wait_s = told.at, route.group_interval_s
        joins_at = now if since > now else since + timedelta(seconds=wait_s)
        group = groups.get(key)
        if group is None:
            group = Group(
                labels=key, alerts={}, next_flush_at=joins_at, is_flushed=told is not None, told=told
            )
        groups[key] = replace(
            group,
            alerts={**group.alerts, one.fingerprint: Alert(one.labels, one.starts_at, one.ends_at)},
            next_flush_at=min(group.next_flush_at, joins_at),
        )
    return [groups[key] for key in sorted(groups)]


def _message(log: AlertLog, notification: Notification, told: Told) -> Message:
    firing = [line for line in notification.lines if not line.is_resolved]
    shown = firing or list(notification.lines)
    alerts = [_line_of(log, line) for line in notification.lines]
    severity = (
        Severity.CRITICAL
        if any(dict(line.labels)["severity"] == Severity.CRITICAL for line in notification.lines)
        else Severity.WARNING
    )
    event = AlertEvent(
        TOLD,
        {
            "group": dict(notification.group),
            "firing": sorted(told.firing),
            "resolved": sorted(told.resolved),
        },
        book=dict(notification.group).get("book", ""),
    )
    return Message(
        event=event,
        dedup_key=digest([canonical_json(event.body), instant_text(told.at)]),
        severity=severity,
        subject=_subject(log, notification, shown, severity if firing else None),
        body=canonical_json({"status": "firing" if firing else "resolved", "alerts": alerts}),
    )


def _subject(
    log: AlertLog, notification: Notification, shown: Sequence[Line], severity: Severity | None
) -> str:
    """Return a message as one line: how bad, of which book and session, which alerts."""
    known = [log.alerts[fingerprint_of_labels(line.labels)] for line in shown]
    codes = [one.code for one in known]
    more = f" and {len(codes) - CODES_SHOWN} more" if len(codes) > CODES_SHOWN else ""
    where = " ".join(
        part for part in (dict(notification.group).get("book", ""), max(one.session for one in known)) if part
    )
    return f"[{severity.value if severity else 'resolved'}] {where}: {', '.join(codes[:CODES_SHOWN])}{more}"


def text_of_body(body: str) -> str:
    """Return a message's body as text for people: a paragraph an alert; another body as it is."""
    try:
        alerts = json.loads(body)["alerts"]
    except (ValueError, KeyError, TypeError):
        return body
    return "\n\n".join(
        f"{one['code']} ({one['status']}, {one['severity']}): {one['message']}\n"
        f"owner {one['owner']}, read {one['runbook']}, then: trading alerts show {one['fingerprint'][:12]}"
        for one in alerts
    )


def _line_of(log: AlertLog, line: Line) -> dict[str, Any]:
    known = log.alerts[fingerprint_of_labels(line.labels)]
    return {
        "status": "resolved" if line.is_resolved else "firing",
        "code": known.code,
        "severity": known.severity.value,
        "labels": dict(known.labels),
        "session": known.session,
        "message": f"{known.message}; over: {known.end_reason}" if known.end_reason else known.message,
        "owner": known.owner,
        "runbook": known.runbook,
        "fingerprint": known.fingerprint,
        "starts_at": instant_text(known.starts_at),
    }
