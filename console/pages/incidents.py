"""What needs a person: alerts, halts in force, findings with what to do, what is stuck, and what happened.

Findings are trading/findings.py, what is stuck is stuck.py; both are what the command line shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from console.alerts import AlertLine, SilenceLine, alert_of, alerts_of, ended_alerts, silences_of
from console.desk import Desk
from console.doing import cooldown_of, halt_of
from console.incident_reviews import IncidentReview, has_postmortem, review_of
from console.incidents import IncidentLine, incident_of
from console.incidents import incidents_of as incident_lines
from console.pages.alerts import Cause, causes_of
from console.pages.frame import link_to
from console.status import lifting
from console.stuck import Stuck, stuck_of
from trading.errors import UnknownId
from trading.findings import STUCK_AFTER, findings_named
from trading.journal import Cooldown, Halt, JournalEvent, OutboxMessage

FINDINGS_SHOWN = 50
MESSAGES_SHOWN = 20
EVENTS_SHOWN = 50
ENDED_SHOWN = 20
"""How many of the alerts that are over are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltShown:
    """Hold one halt of an account or an instrument, the findings that it names, and what ends it.

    `lift` is the page that does, `next` the commands that do.
    """

    halt: Halt
    findings: tuple[str, ...]
    lift: str
    next: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownShown:
    """Hold an account's last cooldown; `end` is the page that ends it, empty where it is over."""

    cooldown: Cooldown
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentShown:
    """Hold one incident looked back on, and the halt in force that names it, `None` where there is none.

    `causes` are what is behind the alert that opened it, empty where none did; `has_postmortem` says whether
    its post-mortem was written.
    """

    incident: IncidentLine
    halt: HaltShown | None
    review: IncidentReview
    causes: tuple[Cause, ...]
    has_postmortem: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """Hold the page, the latest first; `cooldowns` are those over as well.

    `ended` are the last alerts that are over; `ended_count` and `finding_count` are of all.
    """

    alerts: tuple[AlertLine, ...]
    ended: tuple[AlertLine, ...]
    ended_count: int
    silences: tuple[SilenceLine, ...]
    halts: tuple[HaltShown, ...]
    cooldowns: tuple[CooldownShown, ...]
    findings: tuple[IncidentLine, ...]
    finding_count: int
    stuck: tuple[Stuck, ...]
    messages: tuple[OutboxMessage, ...]
    events: tuple[JournalEvent, ...]


def incidents_of(desk: Desk) -> Incidents:
    """Return the page."""
    incidents = incident_lines(desk)
    ended, ended_count = ended_alerts(desk, last=ENDED_SHOWN)
    return Incidents(
        alerts=alerts_of(desk),
        ended=ended,
        ended_count=ended_count,
        silences=tuple(one for one in silences_of(desk) if one.is_in_force),
        halts=tuple(halt_shown(halt) for halt in desk.journal.halts()),
        cooldowns=tuple(
            CooldownShown(cooldown=row, end=_ending(desk, row))
            for row in desk.journal.cooldowns()
            if row.lane == desk.lane
        ),
        findings=incidents[:FINDINGS_SHOWN],
        finding_count=len(incidents),
        stuck=stuck_of(desk, older_than_s=int(STUCK_AFTER.total_seconds())),
        messages=tuple(desk.journal.last_messages(last=MESSAGES_SHOWN)),
        events=tuple(desk.journal.troubles(last=EVENTS_SHOWN)),
    )


def incident_shown(desk: Desk, incident_id: int, dagster: str) -> IncidentShown:
    """Return one incident with the halt that it stands behind; raises `UnknownId`."""
    row = incident_of(desk, incident_id)
    naming = (
        halt_shown(halt)
        for halt in desk.journal.halts()
        if halt.account == row.account and row.said in findings_named(halt.reason)
    )
    return IncidentShown(
        incident=row,
        halt=next(naming, None),
        review=review_of(desk, incident_id),
        causes=causes_of(desk, alert_of(desk, row.alert), dagster) if row.alert else (),
        has_postmortem=has_postmortem(desk, incident_id),
    )


def lifted(desk: Desk, account: str, symbol: str) -> HaltShown:
    """Return the halt of an account or an instrument that is to be lifted; raises `UnknownId`."""
    return halt_shown(halt_of(desk, account, symbol))


def cooling_down(desk: Desk, account: str) -> Cooldown:
    """Return the cooldown that an account is in; raises `UnknownId` where it is in none."""
    found = cooldown_of(desk, account)
    if found is None:
        raise UnknownId(f"cooldown of {account}: it is in none; `trading status` lists what is held back")
    return found[0]


def halt_shown(halt: Halt) -> HaltShown:
    """Return a halt with what it names and what ends it."""
    return HaltShown(
        halt=halt,
        findings=findings_named(halt.reason),
        lift=link_to("/halts/lift", account=halt.account, symbol=halt.symbol),
        next=("trading reconcile", lifting(halt)),
    )


def _ending(desk: Desk, cooldown: Cooldown) -> str:
    found = cooldown_of(desk, cooldown.account)
    return link_to("/cooldowns/end", account=cooldown.account) if found and found[0] == cooldown else ""
