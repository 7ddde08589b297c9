"""What needs a person: halts in force, findings with what to do about each, what is stuck, and what happened.

Findings are trading/findings.py, what is stuck is stuck.py; both are what the command line shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.desk import Desk
from console.status import lifting
from console.stuck import Stuck, stuck_of
from trading.findings import STUCK_AFTER, remedy_of
from trading.journal import Cooldown, Halt, Incident, JournalEvent, OutboxMessage

FINDINGS_SHOWN = 50
MESSAGES_SHOWN = 20
EVENTS_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Hold one incident and what a person does about it."""

    incident: Incident
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltShown:
    """Hold one halt of an account or an instrument, and the commands that end it."""

    halt: Halt
    next: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """Hold the page, the latest first; `finding_count` is of all, `cooldowns` are those over as well."""

    halts: tuple[HaltShown, ...]
    cooldowns: tuple[Cooldown, ...]
    findings: tuple[Finding, ...]
    finding_count: int
    stuck: tuple[Stuck, ...]
    messages: tuple[OutboxMessage, ...]
    events: tuple[JournalEvent, ...]


def incidents_of(desk: Desk) -> Incidents:
    """Return the page."""
    incidents = desk.journal.incidents()
    return Incidents(
        halts=tuple(
            HaltShown(halt=halt, next=("trading reconcile", lifting(halt))) for halt in desk.journal.halts()
        ),
        cooldowns=tuple(row for row in desk.journal.cooldowns() if row.lane == desk.lane),
        findings=tuple(
            Finding(incident=row, remedy=remedy_of(row.kind)) for row in incidents[: -FINDINGS_SHOWN - 1 : -1]
        ),
        finding_count=len(incidents),
        stuck=stuck_of(desk, older_than_s=int(STUCK_AFTER.total_seconds())),
        messages=tuple(desk.journal.last_messages(last=MESSAGES_SHOWN)),
        events=tuple(desk.journal.troubles(last=EVENTS_SHOWN)),
    )
