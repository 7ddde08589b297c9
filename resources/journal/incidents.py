"""An incident on its way into the journal, in the transaction of what it tells, and the end of an alert's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.drafts import Draft
from resources.journal.queries import next_number
from resources.journal.statements import asked, insert, row_of, rows_of
from trading.alert_log import AlertEvent
from trading.alerts import ALERTNAME
from trading.audit import instant_text
from trading.incident_ladder import RULES
from trading.incident_log import (
    RESOLVED,
    Action,
    IncidentTold,
    actions_told,
    incidents_told,
    last_alike,
    said_again,
)
from trading.lifecycle import IntentState

ALERTS = "alerts"
"""Who ends an incident that an alert opened."""


class Put(NamedTuple):
    """Hold what an incident says in the journal, and whether it was stored just now."""

    detail: str
    is_new: bool


def put_incident(
    conn: sa.Connection,
    append: Callable[[Draft], None],
    *,
    kind: str,
    account: str,
    intent_id: str,
    detail: str,
    is_standing: bool,
    now: datetime,
    told: Mapping[str, Any] | None = None,
) -> Put:
    """Store an incident with its event, unless one that says the same is there.

    What `is_standing`, so and not a thing of the past, is another incident once the last one like it is over.
    `told` goes into the event besides.
    """
    known = rows_of(
        conn, schema.incidents, order_by="incident_id", kind=kind, account=account, intent_id=intent_id
    )
    last = last_alike(
        map(records.incident_of, known), kind=kind, account=account, intent_id=intent_id, detail=detail
    )
    if last is not None:
        if not (is_standing and _is_over(conn, last.incident_id)):
            return Put(last.detail, is_new=False)
        detail = said_again(detail, last)
    row = {
        "incident_id": next_number(conn, schema.incidents.c.incident_id),
        "kind": kind,
        "account": account,
        "intent_id": intent_id,
        "detail": detail,
        "at": instant_text(now),
    }
    insert(conn, schema.incidents, row)
    body = {**(told or {}), "incident": kind, "account": account}
    append(Draft("incident", intent_id=intent_id, reason=detail, body=body))
    return Put(detail, is_new=True)


def open_alerted(
    conn: sa.Connection,
    append: Callable[[Draft], None],
    event: AlertEvent,
    *,
    account: str,
    now: datetime,
) -> None:
    """Store the incident of an alert that begins to fire, unless what was found of its facts is one."""
    labels = event.body["labels"]
    code = labels[ALERTNAME]
    if code in RULES.values() and _is_found(conn, code, account=account):
        return
    put_incident(
        conn,
        append,
        kind=code,
        account=account,
        intent_id="",
        detail=" ".join(filter(None, [event.book, f"{event.session}:", event.body["message"]])),
        is_standing=True,
        now=now,
        told={
            "fingerprint": event.body["fingerprint"],
            "severity": labels["severity"],
            "owner": event.body["owner"],
            "runbook": event.body["runbook"],
        },
    )


def resolve_alerted(conn: sa.Connection, append: Callable[[Draft], None], over: Mapping[str, str]) -> None:
    """Store the end of the incidents whose alerts are over, unless a person has ended them before.

    `over` has the alerts' fingerprints, and why each ended where nobody saw that all is well.
    """
    if not over:
        return
    for number, told in _told(conn).items():
        body = told.incident.body
        if told.resolved is None and body.get("fingerprint") in over:
            ended = {"incident_id": number, "account": body["account"]}
            why = ": ".join(filter(None, ["the alert is over", over[body["fingerprint"]]]))
            append(Draft(RESOLVED, actor=ALERTS, reason=why, body=ended))


def _is_found(conn: sa.Connection, code: str, *, account: str) -> bool:
    """Say whether an incident of the facts that a rule sees is open: its halt stands, or its intent is."""
    for told in _told(conn).values():
        kind, intent_id = told.incident.body["incident"], told.incident.intent_id
        if RULES.get(kind) != code or told.incident.body["account"] != account or told.is_over:
            continue
        if told.halt is not None:
            return True
        intent = row_of(conn, schema.intents, intent_id=intent_id) if intent_id else None
        if intent is not None and IntentState(intent["state"]).is_open:
            return True
    return False


def actions_known(conn: sa.Connection) -> dict[tuple[int, int], Action]:
    """Return every action by its incident and number."""
    return actions_told(map(records.event_of, asked(conn, "find_answers_to_incidents")))


def _is_over(conn: sa.Connection, incident_id: int) -> bool:
    return _told(conn)[incident_id].is_over


def _told(conn: sa.Connection) -> dict[int, IncidentTold]:
    return incidents_told(map(records.event_of, asked(conn, "find_answers_to_incidents")))
