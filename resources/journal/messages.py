"""A message to people on its way into the outbox, in the transaction of what it tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.drafts import Draft
from resources.journal.queries import next_number
from resources.journal.statements import insert, row_of
from trading.audit import instant_text


def put_message(
    conn: sa.Connection,
    append: Callable[[Draft], None],
    *,
    dedup_key: str,
    channel: str,
    severity: str,
    subject: str,
    body: str,
    now: datetime,
) -> bool:
    """Store a message with its event; returns whether its key was new in the channel."""
    table = schema.outbox
    if row_of(conn, table, channel=channel, dedup_key=dedup_key) is not None:
        return False
    told = {
        "outbox_id": next_number(conn, table.c.outbox_id),
        "dedup_key": dedup_key,
        "channel": channel,
        "severity": severity,
        "subject": subject,
        "body": body,
    }
    at = instant_text(now)
    insert(conn, table, {**told, "status": "waiting", "attempts": 0, "created_at": at, "due_at": at})
    append(Draft("message_queued", body=told))
    return True
