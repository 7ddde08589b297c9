"""An incident on its way into the journal, in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.drafts import Draft
from resources.journal.queries import next_number
from resources.journal.statements import asked, insert, rows_of
from trading.audit import instant_text
from trading.incident_log import incidents_told, last_alike, said_again


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


def _is_over(conn: sa.Connection, incident_id: int) -> bool:
    events = asked(conn, "find_answers_to_incidents")
    return incidents_told(map(records.event_of, events))[incident_id].is_over
