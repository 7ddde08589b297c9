"""What the journal's events tell of incidents: what each halted, who lifted that, took it on or ended it.

Pure. The journal asks here whether something that is found again is another incident, the console whether one
is open. How one incident is looked back on is incident_review.py; what to do about each kind is findings.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from datetime import date, datetime
from typing import NamedTuple

from trading.journal import Incident, JournalEvent, RunControlAction

INCIDENT, HALTED, LIFTED, CONTROL = "incident", "halted", "halt_lifted", "run_control"
ACKNOWLEDGED, ACTED, RESOLVED = "incident_acknowledged", "incident_acted", "incident_resolved"
"""The kinds of events that tell of an incident, its halt, who took it on, what they did, and its end."""

PLANNED, DONE = "incident_action_planned", "incident_action_done"
"""The kinds of events that tell of an action so that it does not happen again, and of its end."""

WORDS = (ACKNOWLEDGED, ACTED, RESOLVED, PLANNED, DONE)
"""The kinds of events by which people speak of one incident; each names it in its body."""

_AGAIN = re.compile(r"; again after incident \d+\Z")


class IncidentTold(NamedTuple):
    """Hold what events tell of one incident: `None` for what did not happen.

    `halt` is the event by which it halted something and `lift` the one that ended that; `acknowledged` is
    the last word of somebody who took it on, `resolved` of somebody who said that it is over.
    """

    incident: JournalEvent
    halt: JournalEvent | None = None
    lift: JournalEvent | None = None
    acknowledged: JournalEvent | None = None
    resolved: JournalEvent | None = None

    @property
    def is_over(self) -> bool:
        """Say whether somebody ended it: its halt, or where it halts nothing by a word."""
        return (self.resolved if self.halt is None else self.lift) is not None


def incidents_told(events: Iterable[JournalEvent]) -> dict[int, IncidentTold]:
    """Return every incident by its number, from all events of the kinds above, ascending.

    Incidents are numbered from 1 in the order of their events. One transaction wrote an incident and its
    halt, so that their events follow each other.
    """
    told: dict[int, IncidentTold] = {}
    standing: defaultdict[Hashable, list[int]] = defaultdict(list)
    for event in events:
        match event.kind:
            case "incident":
                told[len(told) + 1] = IncidentTold(event)
            case "halted" | "halt_lifted" | "run_control":
                number = len(told)
                if _lifts(event):
                    for lifted in standing.pop(_halted_by(event), []):
                        told[lifted] = told[lifted]._replace(lift=event)
                elif _halts(event) and told and _is_halt_of(told[number].incident, event):
                    told[number] = told[number]._replace(halt=event)
                    standing[_halted_by(event)].append(number)
            case "incident_acknowledged" | "incident_resolved":
                number = event.body["incident_id"]
                name = event.kind.removeprefix("incident_")
                told[number] = told[number]._replace(**{name: event})
            case _:
                continue
    return told


class Action(NamedTuple):
    """Hold what somebody is to do so that an incident does not happen again, numbered from 1 in its incident.

    `owner` is who does it, `due_on` by when; `done_by` is empty, and `done_at` `None`, while it is open.
    """

    incident_id: int
    number: int
    what: str
    owner: str
    due_on: date
    planned_by: str
    planned_at: datetime
    done_by: str
    done_at: datetime | None
    outcome: str

    def is_overdue(self, today: date) -> bool:
        """Say whether its day is over and it is not done."""
        return self.done_at is None and self.due_on < today

    @property
    def owed(self) -> str:
        """Return who was to do what by when."""
        return f"incident {self.incident_id}: {self.owner} was to do by {self.due_on}: {self.what}"


def actions_told(events: Iterable[JournalEvent]) -> dict[tuple[int, int], Action]:
    """Return every action by its incident and number, in the order planned, from all events of the kinds."""
    told: dict[tuple[int, int], Action] = {}
    for event in events:
        if event.kind == PLANNED:
            body = event.body
            key = (body["incident_id"], body["action"])
            due_on = date.fromisoformat(body["due_on"])
            told[key] = Action(*key, event.reason, body["owner"], due_on, event.actor, event.at, "", None, "")
        elif event.kind == DONE:
            key = (event.body["incident_id"], event.body["action"])
            told[key] = told[key]._replace(done_by=event.actor, done_at=event.at, outcome=event.reason)
    return told


def last_alike(
    incidents: Iterable[Incident], *, kind: str, account: str, intent_id: str, detail: str
) -> Incident | None:
    """Return the last incident that says the same, `None` where none ever did; they come in their order."""
    found = None
    for row in incidents:
        of = (row.kind, row.account, row.intent_id, _AGAIN.sub("", row.detail))
        if of == (kind, account, intent_id, detail):
            found = row
    return found


def said_again(detail: str, last: Incident) -> str:
    """Return what an incident says that comes back after the last one like it was over.

    No two incidents say the same, so that whoever ends one has not ended another.
    """
    return f"{detail}; again after incident {last.incident_id}"


def _is_halt_of(incident: JournalEvent, event: JournalEvent) -> bool:
    """Say whether a halt is an incident's: it follows at once, and names it last."""
    said = f"{incident.body['incident']}: {incident.reason}"
    return incident.seq + 1 == event.seq and event.reason.endswith(said)


def _halts(event: JournalEvent) -> bool:
    return event.kind == HALTED or event.body.get("action") == RunControlAction.HALT.value


def _lifts(event: JournalEvent) -> bool:
    return event.kind == LIFTED or event.body.get("action") == RunControlAction.RESUME.value


def _halted_by(event: JournalEvent) -> Hashable:
    """Return what an event halts, or halts no more: all trading, an account, or an instrument in one."""
    return CONTROL if event.kind == CONTROL else (event.body["account"], event.body["symbol"])
