"""An incident looked back on: what happened when, how long it took to see and to end it, and what to learn.

Pure: the journal's events come in, in the order stored; the timeline, the times and the post-mortem's text go
out. Times are computed from events alone, never from a run's end. Which incidents there are, and what answers
one, is console/incidents.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from string import Template
from typing import Any, NamedTuple

from trading.alert_log import KINDS as ALERT_KINDS
from trading.alerts import ALERTNAME
from trading.errors import BadInput
from trading.incident_ladder import Owner, charge_of, step_of
from trading.incident_log import ACKNOWLEDGED, ACTED, INCIDENT, RESOLVED, WORDS, Action
from trading.journal import JournalEvent
from trading.lifecycle import Step

RECONCILED = "reconciled"

SENDING = frozenset({Step.PREPARED.value, Step.PREPARED_AGAIN.value, Step.REPLACED.value})
"""The steps by which an order leaves the desk: what is not proven began with the last of them."""

RECOVERY_S_MAX = 900
"""Within how many seconds most incidents (95 of 100) are to be over."""

PERCENTILE = 95


class Part(StrEnum):
    """Say which part of the desk an event of a timeline is of."""

    INTENT = "intent"
    ORDER = "order"
    ALERT = "alert"
    INCIDENT = "incident"
    RUN = "run"
    OPERATOR = "operator"


class Moment(NamedTuple):
    """Hold one line of a timeline; `seq` is the event's place in the journal.

    `fingerprint` names the alert that it tells of, `run_id` the run that it was seen in; empty without one.
    """

    at: datetime
    seq: int
    part: Part
    what: str
    about: str
    actor: str
    reason: str
    fingerprint: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFacts:
    """Hold what is known of an incident beside its events; `halts` is as incidents tell it, or empty."""

    incident_id: int
    at: datetime
    kind: str
    account: str
    intent_id: str
    detail: str
    halts: str
    answered_at: datetime | None
    answered_by: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Hold an incident looked back on. Times in seconds, `None` where an end of one is not known.

    `began_at` is when it went wrong at the earliest: the last send of its intent, else the last time that
    journal and broker agreed. `detect_s` is from then to the incident, `recover_s` from the incident to its
    answer. `actions` are what people said they did, `planned` what is to be done so
    that it does not happen again.
    """

    facts: IncidentFacts
    severity: str
    owner: Owner
    began_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    detect_s: int | None
    acknowledge_s: int | None
    recover_s: int | None
    actions: tuple[Moment, ...]
    planned: tuple[Action, ...]
    timeline: tuple[Moment, ...]


def reviewed(
    facts: IncidentFacts, events: Sequence[JournalEvent], *, planned: Sequence[Action] = ()
) -> Review:
    """Return an incident looked back on, from the events around it, ascending, and what is planned since."""
    own = [event for event in events if _is_word(event, facts)]
    taken_on = next((event for event in own if event.kind == ACKNOWLEDGED), None)
    told = event_of_incident(facts, events)
    charge = charge_of(facts.kind, {} if told is None else told.body)
    began_at = _began_at(facts, told, events)
    called = _alerts_called(events)
    timeline = tuple(_moment(event, called) for event in events if _concerns(event, facts))
    acted = [event for event in own if event.kind in {ACTED, RESOLVED}]
    return Review(
        facts=facts,
        severity=step_of(facts.halts, charge.severity),
        owner=charge.owner,
        began_at=began_at,
        acknowledged_at=taken_on.at if taken_on else None,
        acknowledged_by=taken_on.actor if taken_on else "",
        detect_s=_seconds(began_at, facts.at),
        acknowledge_s=_seconds(facts.at, taken_on.at if taken_on else None),
        recover_s=_seconds(facts.at, facts.answered_at),
        actions=tuple(_moment(event, called) for event in acted),
        planned=tuple(planned),
        timeline=timeline,
    )


def percentile_s(seconds: Iterable[int | None]) -> int | None:
    """Return the 95th percentile of durations by nearest rank; what is not known yet is left out."""
    known = sorted(one for one in seconds if one is not None)
    return known[-(-PERCENTILE * len(known) // 100) - 1] if known else None


def event_of_incident(facts: IncidentFacts, events: Iterable[JournalEvent]) -> JournalEvent | None:
    """Return the event by which an incident was stored; `None` where it is not among them.

    No two incidents of an account say the same.
    """
    for event in events:
        said = (event.body.get("incident"), event.body.get("account"), event.intent_id, event.reason)
        if event.kind == INCIDENT and said == (facts.kind, facts.account, facts.intent_id, facts.detail):
            return event
    return None


def _began_at(
    facts: IncidentFacts, told: JournalEvent | None, events: Sequence[JournalEvent]
) -> datetime | None:
    if told is None or "fingerprint" in told.body:
        # When what an alert saw began, nothing stored tells.
        return None
    # By their place: the comparison that found it ends at the same instant, and proves nothing of before.
    before = [event for event in events if event.seq < told.seq]
    if facts.intent_id:
        own = [event for event in before if event.intent_id == facts.intent_id and event.kind in SENDING]
        return own[-1].at if own else None
    agreed = [
        event for event in before if event.kind == RECONCILED and event.body.get("account") == facts.account
    ]
    return agreed[-1].at if agreed else None


def _is_word(event: JournalEvent, facts: IncidentFacts) -> bool:
    return event.kind in WORDS and event.body.get("incident_id") == facts.incident_id


def _concerns(event: JournalEvent, facts: IncidentFacts) -> bool:
    """Say whether an event belongs to an incident's timeline: of its intent, or of nobody's in particular."""
    if event.kind in WORDS:
        return _is_word(event, facts)
    return event.kind == INCIDENT or not event.intent_id or event.intent_id == facts.intent_id


_OF_ORDERS = SENDING | {
    Step.ACKNOWLEDGED.value,
    Step.REFUSED_BY_BROKER.value,
    Step.OUTCOME_UNKNOWN.value,
    Step.FOUND.value,
    Step.FOUND_CLOSED.value,
    Step.FILLED.value,
    Step.CANCEL_ASKED.value,
    Step.CLOSED.value,
    Step.PROVEN_ABSENT.value,
    "absent",
}


def _alerts_called(events: Iterable[JournalEvent]) -> Mapping[str, str]:
    """Return what each alert is called by its fingerprint: that it is over is told by that alone."""
    fired = (event.body for event in events if event.kind == "alert" and "labels" in event.body)
    return {str(body["fingerprint"]): str(body["labels"][ALERTNAME]) for body in fired}


def _moment(event: JournalEvent, called: Mapping[str, str]) -> Moment:
    about = " ".join(filter(None, [event.book, event.session, event.intent_id[:16], _about(event.body)]))
    fingerprint, run_id = (str(event.body.get(name, "")) for name in ("fingerprint", "run_id"))
    return Moment(
        event.at,
        event.seq,
        _part(event),
        _what(event, called),
        about,
        event.actor,
        event.reason,
        fingerprint,
        run_id,
    )


def _part(event: JournalEvent) -> Part:
    if event.kind in WORDS:
        return Part.OPERATOR
    if event.kind == INCIDENT:
        return Part.INCIDENT
    if event.intent_id:
        return Part.ORDER if event.kind in _OF_ORDERS else Part.INTENT
    if event.kind in ALERT_KINDS:
        return Part.ALERT
    return Part.OPERATOR if event.actor else Part.RUN


def _what(event: JournalEvent, called: Mapping[str, str]) -> str:
    body = event.body
    if event.kind == "alert":
        told = called.get(fingerprint := str(body["fingerprint"]), fingerprint[:12])
        return f"alert {told} {'fires' if body['is_firing'] else 'is over'}"
    said = body.get("action") or body.get("incident") or body.get("stage") or ""
    return f"{event.kind} {said}".rstrip()


def _about(body: Any) -> str:
    return " ".join(str(body[name]) for name in ("account", "symbol") if body.get(name))


def _seconds(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return max(0, int((end - start).total_seconds()))


# ------------------------------------------------------------------------------------------ the post-mortem


def postmortem_text(review: Review, template: str) -> str:
    """Return the post-mortem of an incident as Markdown: a template with what is known filled in.

    Raises `BadInput` where the template lacks a part of `PARTS`, or names one that there is not.
    """
    facts = review.facts
    known = [
        ("severity", review.severity),
        ("owner", review.owner.value),
        ("halted", facts.halts or "nothing"),
        ("went wrong", _instant(review.began_at)),
        ("detected", _instant(facts.at)),
        ("acknowledged", _said(review.acknowledged_at, review.acknowledged_by)),
        ("over", _said(facts.answered_at, f"{facts.answered_by}: {facts.answer}")),
        ("time to detect", _duration(review.detect_s)),
        ("time to acknowledge", _duration(review.acknowledge_s)),
        ("time to recover", _duration(review.recover_s)),
    ]
    happened = [
        (_instant(one.at), one.part.value, one.what, one.about, one.actor, one.reason)
        for one in review.timeline
    ]
    done = [f"- {_instant(one.at)} {one.actor}: {one.reason}" for one in review.actions]
    planned = [
        (one.what, one.owner, f"{one.due_on}", _said(one.done_at, one.done_by)) for one in review.planned
    ]
    values = (
        f"{facts.incident_id}: {facts.kind}",
        facts.detail,
        "\n".join(_table(("", ""), known)),
        "\n".join(_table(("when", "part", "what", "about", "who", "why"), happened)),
        "\n".join(done or ["- nothing yet"]),
        "\n".join(_table(("what", "who", "until", "done"), planned)),
    )
    text = Template(template)
    if not text.is_valid() or set(text.get_identifiers()) != set(PARTS):
        named = ", ".join(f"${part}" for part in PARTS)
        raise BadInput(f"a post-mortem's template has each of {named}, no other, and $$ for a dollar")
    return text.substitute(dict(zip(PARTS, values, strict=True)))


PARTS = ("incident", "detail", "facts", "timeline", "done", "actions")
"""What of an incident a template names; the rest of it is for a person to answer."""


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(headers)} |",
        f"|{'---|' * len(headers)}",
        *(f"| {' | '.join(_cell(one) for one in row)} |" for row in rows),
    ]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split()) or "–"


def _instant(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at is not None else "not known"


def _said(at: datetime | None, by: str) -> str:
    return f"{_instant(at)}, {by}" if at is not None else "not yet"


def _duration(seconds: int | None) -> str:
    return f"{seconds:,} s" if seconds is not None else "not known"
