"""Which incidents still need a person: what each one halted, whether that halt stands, and who answered.

An incident stays in the journal for good, so that it is told once; what is open of them is told here. What to
do about each kind is trading/findings.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from console.desk import Desk
from console.render import instant
from resources.journal import records
from trading.errors import Refused, UnknownId
from trading.findings import findings_named, remedy_of
from trading.journal import Halt, Incident, JournalEvent, RunControl, RunControlAction
from trading.values import IntentId

EVERYTHING = "all trading"
"""What an incident halts that throws the kill switch."""

INCIDENT, HALTED, LIFTED, CONTROL = "incident", "halted", "halt_lifted", "run_control"
ACKNOWLEDGED, RESOLVED = "incident_acknowledged", "incident_resolved"
"""The kinds of events that tell of an incident, its halt, who took it on, and the end of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLine:
    """Hold one incident: what it `halts` (an account, `account symbol`, all trading, or nothing: empty).

    `acknowledged_by`, `acknowledged_at` and `acknowledgement` say who took it on last, when, and in which
    words; empty where nobody did. `answered_by`, `answered_at` and `answer` say who ended it, when and how;
    empty while it `is_open`.
    """

    incident_id: int
    at: datetime
    kind: str
    account: str
    intent_id: str
    detail: str
    halts: str
    is_open: bool
    acknowledged_by: str
    acknowledged_at: datetime | None
    acknowledgement: str
    answered_by: str
    answered_at: datetime | None
    answer: str
    remedy: str

    @property
    def said(self) -> str:
        """Return what it says, as a halt's reason names it."""
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """Hold who answered an incident, when and by what."""

    by: str
    at: datetime
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Halting:
    """Hold the event by which an incident halted something, and the one that ended it, if one did."""

    halt: JournalEvent
    lift: JournalEvent | None


def incidents_of(desk: Desk, *, book: str | None = None) -> tuple[IncidentLine, ...]:
    """Return the incidents of a book's account, or all of them, the latest first; raises `BadInput`."""
    accounts = {outline.account for outline in desk.chosen(book)}
    others = {outline.account for outline in desk.books.values()} - accounts
    incidents = [row for row in desk.journal.incidents() if row.account not in others]
    if not incidents:
        return ()
    question = "find_answers_to_incidents"
    events = [records.event_of(row) for row in desk.journal.answers((question,))[question]]
    halted = _halted(events)
    taken_on = {event.body["incident_id"]: event for event in events if event.kind == ACKNOWLEDGED}
    resolved = {event.body["incident_id"]: event for event in events if event.kind == RESOLVED}
    told = _told(desk.journal.halts(), desk.journal.run_control())
    lines = [
        _line(
            desk,
            row,
            halted.get((row.account, row.intent_id, row.kind, row.detail)),
            told,
            taken_on=taken_on.get(row.incident_id),
            resolved=resolved.get(row.incident_id),
        )
        for row in incidents
    ]
    return tuple(reversed(lines))


def incident_of(desk: Desk, incident_id: int) -> IncidentLine:
    """Return one incident; raises `UnknownId` where there is none of that number."""
    for row in incidents_of(desk):
        if row.incident_id == incident_id:
            return row
    raise UnknownId(f"incident {incident_id}: there is none; `trading incidents` lists them")


def require_open(row: IncidentLine) -> None:
    """Raise `Refused` where an incident was answered already: nobody needs to take it on any more."""
    if not row.is_open:
        raise Refused(
            f"incident {row.incident_id} {row.kind}: was answered by {row.answered_by} at "
            f"{instant(row.answered_at)} ({row.answer}): nothing is left to acknowledge"
        )


def is_named(row: IncidentLine, halts: Sequence[Halt], control: RunControl) -> bool:
    """Say whether a halt in force tells of an incident, so that it need not be told twice."""
    return (row.account, f"{row.kind}: {row.detail}") in _told(halts, control, of=row.account)


def _told(halts: Iterable[Halt], control: RunControl, *, of: str = "") -> set[tuple[str, str]]:
    """Return what the halts in force name, each with its account; the kill switch speaks of any (`of`)."""
    named = {(halt.account, finding) for halt in halts for finding in findings_named(halt.reason)}
    if control.kill_switch_on:
        named |= {(of, finding) for finding in findings_named(control.reason)}
    return named


def _halted(events: Sequence[JournalEvent]) -> dict[tuple[str, str, str, str], _Halting]:
    """Return what each incident halted, by account, intent, kind and detail: no two have all of them alike.

    One transaction wrote an incident and its halt, so that their events follow each other.
    """
    found = {}
    for place, event in enumerate(events[:-1]):
        halt = events[place + 1]
        if event.kind == INCIDENT and halt.seq == event.seq + 1 and _is_halt(halt):
            lift = next((later for later in events[place + 2 :] if _lifts(later, halt)), None)
            key = (str(event.body["account"]), event.intent_id, str(event.body["incident"]), event.reason)
            found[key] = _Halting(halt=halt, lift=lift)
    return found


def _is_halt(event: JournalEvent) -> bool:
    return event.kind == HALTED or (
        event.kind == CONTROL and event.body["action"] == RunControlAction.HALT.value
    )


def _lifts(event: JournalEvent, halt: JournalEvent) -> bool:
    if halt.kind == CONTROL:
        return event.kind == CONTROL and event.body["action"] == RunControlAction.RESUME.value
    return event.kind == LIFTED and dict(event.body) == dict(halt.body)


def _line(
    desk: Desk,
    row: Incident,
    halting: _Halting | None,
    told: set[tuple[str, str]],
    *,
    taken_on: JournalEvent | None,
    resolved: JournalEvent | None,
) -> IncidentLine:
    said = f"{row.kind}: {row.detail}"
    # A halt that was lifted and set again for the same finding names it still.
    stands = (row.account, said) in told or ("", said) in told
    answered = None if stands else _answered(desk, row, halting)
    if answered is None and resolved is not None and halting is None:
        answered = _Answer(by=resolved.actor, at=resolved.at, what=f"resolved: {resolved.reason}")
    return IncidentLine(
        incident_id=row.incident_id,
        at=row.at,
        kind=row.kind,
        account=row.account,
        intent_id=row.intent_id,
        detail=row.detail,
        halts=_what(halting.halt) if halting else "",
        is_open=answered is None,
        acknowledged_by=taken_on.actor if taken_on else "",
        acknowledged_at=taken_on.at if taken_on else None,
        acknowledgement=taken_on.reason if taken_on else "",
        answered_by=answered.by if answered else "",
        answered_at=answered.at if answered else None,
        answer=answered.what if answered else "",
        remedy=remedy_of(row.kind),
    )


def _what(halt: JournalEvent) -> str:
    if halt.kind == CONTROL:
        return EVERYTHING
    return f"{halt.body['account']} {halt.body['symbol']}".rstrip()


def _answered(desk: Desk, row: Incident, halting: _Halting | None) -> _Answer | None:
    """Return who answered an incident: by ending its halt, or its intent, or by settling on without it."""
    if halting is not None:
        lift = halting.lift
        return None if lift is None else _Answer(by=lift.actor, at=lift.at, what=f"lifted: {lift.reason}")
    return _intent_ended(desk, row) if row.intent_id else _settled_since(desk, row)


def _intent_ended(desk: Desk, row: Incident) -> _Answer | None:
    """Return how the intent ended that an incident is about, `None` while it is open."""
    try:
        intent = desk.journal.intent(IntentId(row.intent_id))
    except UnknownId:
        return None
    if intent.state.is_open:
        return None
    what = f"intent {intent.state.value}" + (f": {intent.reason}" if intent.reason else "")
    return _Answer(by=intent.actor or "executor", at=intent.changed_at, what=what)


def _settled_since(desk: Desk, row: Incident) -> _Answer | None:
    """Return the first settlement of the account since: it compared all there is with the broker again."""
    settled = [
        record
        for outline in desk.books.values()
        if outline.account == row.account
        for record in [desk.journal.last_settled(book=outline.name, lane=desk.lane)]
        if record is not None and record.settled_at is not None and record.settled_at > row.at
    ]
    if not settled or settled[0].settled_at is None:
        return None
    what = f"session {settled[0].session} settled since"
    return _Answer(by=settled[0].carried_by or "executor", at=settled[0].settled_at, what=what)
