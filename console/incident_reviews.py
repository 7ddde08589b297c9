"""One incident looked back on: its timeline from stored events, how long what took, and its post-mortem file.

What follows from what is trading/incident_review.py. The file is for people to finish: it is written once.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from console.desk import Desk
from console.incidents import IncidentLine, incident_of, planned_actions, words_about
from resources.clocks import system_now
from trading.errors import BadInput, BadSetting, UnknownId
from trading.incident_log import Action
from trading.incident_review import (
    IncidentFacts,
    Moment,
    Review,
    event_of_incident,
    postmortem_text,
    reviewed,
)
from trading.journal import JournalEvent

BEFORE, AFTER = timedelta(days=1), timedelta(hours=1)
"""How far before an incident, and behind its answer, its timeline reaches; of its intent, and of
what people said about it, it has all."""

FOLDER = "postmortems"

TEMPLATE = "postmortem.md"
"""The reviewed file that a post-mortem is made from, beside the other reviewed files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentReview:
    """Hold one incident with its timeline; times in seconds, null where an end of one is not known.

    `severity` is the step of the ladder, `owner` who acts. `began_at` is when it went wrong at the earliest.
    """

    incident: IncidentLine
    severity: str
    owner: str
    began_at: datetime | None
    detect_s: int | None
    acknowledge_s: int | None
    recover_s: int | None
    actions: tuple[Moment, ...]
    planned: tuple[Action, ...]
    timeline: tuple[Moment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Postmortem:
    """Hold where an incident's post-mortem lies; `is_new` where it was written just now."""

    incident_id: int
    path: str
    is_new: bool


def review_of(desk: Desk, incident_id: int) -> IncidentReview:
    """Return one incident with its timeline; raises `UnknownId` where there is none of that number."""
    row = incident_of(desk, incident_id)
    found = _reviewed(desk, row)
    return IncidentReview(
        incident=row,
        severity=found.severity,
        owner=found.owner.value,
        began_at=found.began_at,
        detect_s=found.detect_s,
        acknowledge_s=found.acknowledge_s,
        recover_s=found.recover_s,
        actions=found.actions,
        planned=found.planned,
        timeline=found.timeline,
    )


def write_postmortem(desk: Desk, incident_id: int) -> Postmortem:
    """Write an incident's post-mortem below the profile's folder, unless it is there.

    Raises `UnknownId`, or `BadSetting` where the template cannot be used.
    """
    file = desk.settings.config_dir / TEMPLATE
    review = _reviewed(desk, incident_of(desk, incident_id))
    try:
        text = postmortem_text(review, file.read_text(encoding="utf-8"))
    except (OSError, ValueError, BadInput) as error:
        raise BadSetting(f"{file}: {error}") from error
    path = _file_of(desk, incident_id)
    return Postmortem(incident_id=incident_id, path=str(path), is_new=_put(path, text))


def has_postmortem(desk: Desk, incident_id: int) -> bool:
    """Say whether an incident's post-mortem was written."""
    return _file_of(desk, incident_id).is_file()


def read_postmortem(desk: Desk, incident_id: int) -> tuple[Path, str]:
    """Return where an incident's post-mortem lies and what it says now; raises `UnknownId`."""
    path = _file_of(desk, incident_of(desk, incident_id).incident_id)
    try:
        return path, path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        write = f"`trading incidents postmortem {incident_id}` writes it"
        raise UnknownId(f"post-mortem of incident {incident_id}: there is none yet; {write}") from error


def _file_of(desk: Desk, incident_id: int) -> Path:
    return desk.settings.profile_dir / FOLDER / f"incident-{incident_id}.md"


def _put(path: Path, text: str) -> bool:
    """Write a file that is not there yet, whole or not at all: half of one would stand for good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink()
    return True


def _reviewed(desk: Desk, row: IncidentLine) -> Review:
    facts = IncidentFacts(
        incident_id=row.incident_id,
        at=row.at,
        kind=row.kind,
        account=row.account,
        intent_id=row.intent_id,
        detail=row.detail,
        halts=row.halts,
        answered_at=row.answered_at,
        answered_by=row.answered_by,
        answer=row.answer,
    )
    events = desk.journal.events_around(
        first=row.at - BEFORE, past=(row.answered_at or system_now()) + AFTER, intent_id=row.intent_id
    )
    planned = [one for one in planned_actions(desk) if one.incident_id == row.incident_id]
    known = {event.seq: event for event in (*events, *words_about(desk, row.incident_id))}
    told = [known[seq] for seq in sorted(known)]
    return reviewed(facts, [*_agreed_before(desk, facts, events), *told], planned=planned)


def _agreed_before(desk: Desk, facts: IncidentFacts, events: Sequence[JournalEvent]) -> list[JournalEvent]:
    """Return when its account was last compared before an incident, where that was earlier than all events.

    A weekend, or a week without a run, lies between: the incident went wrong at the earliest then.
    """
    told = event_of_incident(facts, events)
    if told is None or facts.intent_id:
        return []
    agreed = desk.journal.last_reconciled(account=facts.account, before=told.seq)
    return [agreed] if agreed is not None and agreed.seq < events[0].seq else []
