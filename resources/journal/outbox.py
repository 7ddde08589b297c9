"""Messages to people that wait, who has taken them for how long, and how each attempt to deliver went.

A message in the transaction of what it tells is messages.py; who sends is resources/notifier.py.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.drafts import Draft
from resources.journal.messages import put_message
from resources.journal.transactions import Transactions
from trading.alerts import Severity
from trading.audit import instant_text
from trading.errors import BadInput, StaleVersion, UnknownId
from trading.journal import Delivery, OutboxMessage


class Outbox(Transactions):
    """Keep what people are to be told until they were."""

    def enqueue(
        self, *, dedup_key: str, channel: str, severity: str, subject: str, body: str, now: datetime
    ) -> bool:
        """Store a message to people; returns whether its key was new in the channel."""
        if severity not in set(Severity):
            raise BadInput(
                f"message {dedup_key}: severity {severity!r}: must be one of {', '.join(Severity)}"
            )
        with self._writing() as conn:
            return put_message(
                conn,
                lambda draft: self._append(conn, now, draft),
                dedup_key=dedup_key,
                channel=channel,
                severity=severity,
                subject=subject,
                body=body,
                now=now,
            )

    def lease(
        self,
        *,
        now: datetime,
        lease_s: int,
        limit: int,
        ready: Collection[str] | None = None,
        wait_s_max: int | None = None,
    ) -> list[OutboxMessage]:
        """Take waiting messages that are due, oldest first, for `lease_s`.

        Of criticals for a channel that is not `ready`, only those that nobody ever took.
        """
        table = schema.outbox
        until = instant_text(now + timedelta(seconds=lease_s))
        is_due = table.c.due_at <= instant_text(now)
        if wait_s_max is not None:
            is_due |= table.c.due_at > instant_text(now + timedelta(seconds=wait_s_max))
        with self._writing() as conn:
            due = (
                sa.select(table)
                .where(table.c.status == "waiting", is_due)
                .order_by(table.c.outbox_id)
                .limit(limit)
            )
            if ready is not None:
                due = due.where(
                    table.c.channel.in_(ready)
                    | (table.c.severity != Severity.CRITICAL.value)
                    | (table.c.attempts == 0)
                )
            leased = []
            for row in conn.execute(due).mappings().all():
                changed = {"attempts": row["attempts"] + 1, "due_at": until}
                conn.execute(table.update().where(table.c.outbox_id == row["outbox_id"]).values(**changed))
                leased.append(records.message_of({**row, **changed}))
            if leased:
                told = {"outbox_ids": [message.outbox_id for message in leased], "due_at": until}
                self._append(conn, now, Draft("messages_leased", body=told))
            return leased

    def mark(
        self,
        outbox_id: int,
        *,
        attempt: int,
        is_delivered: bool,
        reason: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Store how an attempt went; undelivered without `retry_at` is given up."""
        table = schema.outbox
        with self._writing() as conn:
            row = (
                conn.execute(sa.select(table).where(table.c.outbox_id == outbox_id)).mappings().one_or_none()
            )
            if row is None:
                raise UnknownId(f"outbox message {outbox_id}: nothing is stored under this id")
            if row["status"] != "waiting" or row["attempts"] != attempt:
                raise StaleVersion(
                    f"outbox message {outbox_id}: expected attempt {attempt} of a waiting one,"
                    f" found attempt {row['attempts']}, {row['status']}"
                )
            changed = {"status": "delivered" if is_delivered else "dead"}
            if not is_delivered and retry_at is not None:
                changed = {"status": "waiting", "due_at": instant_text(retry_at)}
            conn.execute(table.update().where(table.c.outbox_id == outbox_id).values(**changed))
            conn.execute(
                schema.deliveries.insert().values(
                    outbox_id=outbox_id,
                    attempt=attempt,
                    is_delivered=int(is_delivered),
                    reason=reason,
                    at=instant_text(now),
                )
            )
            self._append(
                conn,
                now,
                Draft(
                    "message_tried",
                    reason=reason,
                    body={
                        "outbox_id": outbox_id,
                        "attempt": attempt,
                        "status": changed["status"],
                        "due_at": changed.get("due_at", row["due_at"]),
                    },
                ),
            )

    def deliveries(self) -> list[Delivery]:
        """Return all attempts to deliver messages, in the order made."""
        return self._deliveries(sa.true())

    def deliveries_of(self, outbox_id: int) -> list[Delivery]:
        """Return the attempts to deliver one message, in the order made."""
        return self._deliveries(schema.deliveries.c.outbox_id == outbox_id)

    def delivered_since(self, since: datetime) -> list[Delivery]:
        """Return the attempts of all messages that arrived after an instant, in the order made."""
        table = schema.deliveries
        return self._deliveries((table.c.is_delivered == 1) & (table.c.at > instant_text(since)))

    def _deliveries(self, which: sa.ColumnElement[bool]) -> list[Delivery]:
        table, outbox = schema.deliveries, schema.outbox
        query = (
            sa.select(table, outbox.c.channel)
            .join(outbox, outbox.c.outbox_id == table.c.outbox_id)
            .where(which)
            .order_by(table.c.at, table.c.outbox_id, table.c.attempt)
        )
        return [records.delivery_of(row) for row in self._rows(query)]
