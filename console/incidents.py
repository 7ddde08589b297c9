"""Which incidents still need a person: what each one halted, whether that halt stands, and who answered.

An incident stays in the journal for good, so that it is told once; what is open of them is told here. What to
do about each kind is trading/findings.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from console.desk import Desk
from console.render import instant
from resources.journal import records
from trading.audit import instant_from_text, instant_text
from trading.errors import Refused, UnknownId
from trading.findings import PARKED, findings_named, in_words, remedy_of
from trading.incident_ladder import charge_of, step_of
from trading.incident_log import CONTROL, WORDS, Action, IncidentTold, actions_told, incidents_told
from trading.journal import Halt, Incident, JournalEvent, RunControl
from trading.values import IntentId

EVERYTHING = "all trading"
"""What an incident halts that throws the kill switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentLine:
    """Hold one incident: what it `halts` (an account, `account symbol`, all trading, or nothing: empty).

    `acknowledged_by`, `acknowledged_at` and `acknowledgement` say who took it on last, when, and in which
    words; empty where nobody did. `answered_by`, `answered_at` and `answer` say who ended it, when and how;
    empty while it `is_open`. `severity` is the step of the ladder, `owner` who acts; `alert` is the
    fingerprint of the alert that opened it, empty where none did. `holds` is what waits for
    the parked intent that it is about, though nothing is halted; empty for every other one.
    """

    incident_id: int
    at: datetime
    kind: str
    account: str
    intent_id: str
    detail: str
    severity: str
    owner: str
    alert: str
    halts: str
    holds: str
    is_open: bool
    acknowledged_by: str
    acknowledged_at: datetime | None
    acknowledgement: str
    answered_by: str
    answered_at: datetime | None
    answer: str
    remedy: str

    @property
    def told(self) -> str:
        """Return its detail for people: a reason that only a name says in words."""
        return in_words(self.detail)

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


class _Settlements:
    """Hold when each account was settled; asked for once, and not at all where no incident needs it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def first_since(self, row: Incident) -> _Answer | None:
        """Return the first settlement of an account since: it compared all there is with the broker again."""
        settled = self._by_account.get(row.account, [])
        place = bisect_right(settled, instant_text(row.at), key=lambda one: str(one["settled_at"]))
        if place == len(settled):
            return None
        first = settled[place]
        return _Answer(
            by=first["carried_by"] or "executor",
            at=instant_from_text(first["settled_at"]),
            what=f"session {first['session']} settled since",
        )

    @cached_property
    def _by_account(self) -> dict[str, list[records.Row]]:
        found: defaultdict[str, list[records.Row]] = defaultdict(list)
        for row in self._desk.journal.settlements(lane=self._desk.lane):
            if (outline := self._desk.books.get(row["book"])) is not None:
                found[outline.account].append(row)
        return found


def incidents_of(desk: Desk, *, book: str | None = None) -> tuple[IncidentLine, ...]:
    """Return the incidents of a book's account, or all of them, the latest first; raises `BadInput`."""
    incidents = _recorded(desk, book)
    if not incidents:
        return ()
    question = "find_answers_to_incidents"
    told = incidents_told(records.event_of(row) for row in desk.journal.answers((question,))[question])
    named = _named(desk.journal.halts(), desk.journal.run_control())
    settlements = _Settlements(desk)
    lines = [_line(desk, row, told[row.incident_id], named, settlements) for row in incidents]
    return tuple(reversed(lines))


def planned_actions(desk: Desk, *, book: str | None = None) -> tuple[Action, ...]:
    """Return what is to be done about incidents of a book, or of all: the open first, by day and number."""
    wanted = {row.incident_id for row in _recorded(desk, book)}
    question = "find_answers_to_incidents"
    events = [records.event_of(row) for row in desk.journal.answers((question,))[question]] if wanted else []
    found = [one for one in actions_told(events).values() if one.incident_id in wanted]
    return tuple(sorted(found, key=lambda one: (one.done_at is not None, one.due_on, one.number)))


def incident_of(desk: Desk, incident_id: int) -> IncidentLine:
    """Return one incident; raises `UnknownId` where there is none of that number."""
    for row in incidents_of(desk):
        if row.incident_id == incident_id:
            return row
    raise UnknownId(f"incident {incident_id}: there is none; `trading incidents` lists them")


def words_about(desk: Desk, incident_id: int) -> list[JournalEvent]:
    """Return what people said about an incident, ascending, be it long after its answer."""
    question = "find_answers_to_incidents"
    told = map(records.event_of, desk.journal.answers((question,))[question])
    return [event for event in told if event.kind in WORDS and event.body["incident_id"] == incident_id]


def _recorded(desk: Desk, book: str | None) -> list[Incident]:
    accounts = {outline.account for outline in desk.chosen(book)}
    others = {outline.account for outline in desk.books.values()} - accounts
    return [row for row in desk.journal.incidents() if row.account not in others]


def require_open(row: IncidentLine) -> None:
    """Raise `Refused` where an incident was answered already: nobody needs to take it on any more."""
    if not row.is_open:
        raise Refused(
            f"incident {row.incident_id} {row.kind}: was answered by {row.answered_by} at "
            f"{instant(row.answered_at)} ({row.answer}): nothing is left to do"
        )


def is_named(row: IncidentLine, halts: Sequence[Halt], control: RunControl) -> bool:
    """Say whether a halt in force tells of an incident, so that it need not be told twice."""
    return (row.account, f"{row.kind}: {row.detail}") in _named(halts, control, of=row.account)


def _named(halts: Iterable[Halt], control: RunControl, *, of: str = "") -> set[tuple[str, str]]:
    """Return what the halts in force name, each with its account; the kill switch speaks of any (`of`)."""
    named = {(halt.account, finding) for halt in halts for finding in findings_named(halt.reason)}
    if control.kill_switch_on:
        named |= {(of, finding) for finding in findings_named(control.reason)}
    return named


def _line(
    desk: Desk, row: Incident, told: IncidentTold, named: set[tuple[str, str]], settlements: _Settlements
) -> IncidentLine:
    said = f"{row.kind}: {row.detail}"
    # A halt that was lifted and set again for the same finding names it still.
    stands = (row.account, said) in named or ("", said) in named
    answered = None if stands else _answered(desk, row, told, settlements)
    body = told.incident.body
    halts = _what(told.halt) if told.halt else ""
    charge = charge_of(row.kind, body)
    return IncidentLine(
        incident_id=row.incident_id,
        at=row.at,
        kind=row.kind,
        account=row.account,
        intent_id=row.intent_id,
        detail=row.detail,
        severity=step_of(halts, charge.severity),
        owner=charge.owner.value,
        alert=str(body.get("fingerprint", "")),
        halts=halts,
        holds=_waiting(desk, row) if answered is None and row.kind == PARKED else "",
        is_open=answered is None,
        acknowledged_by=told.acknowledged.actor if told.acknowledged else "",
        acknowledged_at=told.acknowledged.at if told.acknowledged else None,
        acknowledgement=told.acknowledged.reason if told.acknowledged else "",
        answered_by=answered.by if answered else "",
        answered_at=answered.at if answered else None,
        answer=answered.what if answered else "",
        remedy=f"read {body['runbook']}" if "runbook" in body else remedy_of(row.kind),
    )


def _waiting(desk: Desk, row: Incident) -> str:
    """Return what does not go on before a parked intent has ended, empty where its session is unknown."""
    try:
        intent = desk.journal.intent(IntentId(row.intent_id)).intent
    except UnknownId:
        return ""
    return f"the session {intent.session} of {intent.book}: it is not settled before this intent has ended"


def _what(halt: JournalEvent) -> str:
    if halt.kind == CONTROL:
        return EVERYTHING
    return f"{halt.body['account']} {halt.body['symbol']}".rstrip()


def _answered(desk: Desk, row: Incident, told: IncidentTold, settlements: _Settlements) -> _Answer | None:
    """Return who answered an incident first: by ending its halt, or its intent, by settling on, or a word."""
    if told.halt is not None:
        lift = told.lift
        return None if lift is None else _Answer(by=lift.actor, at=lift.at, what=f"lifted: {lift.reason}")
    answered = None
    if row.intent_id:
        answered = _intent_ended(desk, row)
    elif "fingerprint" not in told.incident.body:
        answered = settlements.first_since(row)
    if told.resolved is not None and (answered is None or told.resolved.at < answered.at):
        by_word = told.resolved
        return _Answer(by=by_word.actor, at=by_word.at, what=f"resolved: {by_word.reason}")
    return answered


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
