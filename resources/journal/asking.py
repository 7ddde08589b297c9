"""What a journal answers about intents, orders, fills, executors, incidents and events, as records.

What is asked inside a change is queries.py. Not here: what the console asks (reader.py), whose plain drivers
start in a moment.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime

import sqlalchemy as sa

from resources.journal import records, schema
from resources.journal.queries import (
    Of,
    executor_term,
    net_filled,
    required,
    session_fills,
    session_rows,
)
from resources.journal.questions import text_of
from resources.journal.statements import asked, row_of, rows_of
from resources.journal.transactions import Transactions
from trading.audit import instant_text
from trading.journal import ExecutorTerm, Incident, JournalEvent, JournalIntent, JournalOrder
from trading.orders import Fill
from trading.values import ClientOrderId, IntentId
from trading.verdicts import Verdict

IDS_AT_ONCE = 500
"""How many ids one query names."""


class Asking(Transactions):
    """Answer, and change nothing."""

    def intent(self, intent_id: IntentId) -> JournalIntent:
        """Return one intent; raises `UnknownId`."""
        with self._reading() as conn:
            return required(conn, intent_id)

    def intents(self, *, book: str, lane: str, session: date) -> list[JournalIntent]:
        """Return a session's intents in the order in which they execute."""
        with self._reading() as conn:
            rows = session_rows(conn, Of(book, lane, session.isoformat()))
        return [records.intent_of(row) for row in rows]

    def open_intents(self, *, account: str, lane: str) -> list[JournalIntent]:
        """Return an account's open intents, by session, sells first, then by symbol."""
        return [
            records.intent_of(row) for row in self._asked("find_open_intents", account=account, lane=lane)
        ]

    def stuck(self, *, before: datetime) -> list[JournalIntent]:
        """Return intents that are executing or unknown and have not changed since before an instant."""
        table = schema.intents
        query = (
            sa.select(table)
            .where(table.c.state.in_(["executing", "unknown"]), table.c.changed_at < instant_text(before))
            .order_by(table.c.changed_at, table.c.intent_id)
        )
        return [records.intent_of(row) for row in self._rows(query)]

    def verdicts(self, intent_id: IntentId) -> list[Verdict]:
        """Return what each guard said of an intent when it was decided, in the order of precedence."""
        table = schema.verdicts
        with self._reading() as conn:
            intent = required(conn, intent_id).intent
            rows = conn.execute(
                sa.select(table).where(table.c.intent_id == intent_id).order_by(table.c.place)
            ).mappings()
            return [records.verdict_of(row, intent=intent) for row in rows]

    def order(self, client_order_id: ClientOrderId) -> JournalOrder | None:
        """Return one order row, or `None`."""
        with self._reading() as conn:
            row = row_of(conn, schema.orders, client_order_id=client_order_id)
        return None if row is None else records.order_of(row)

    def order_of(self, intent_id: IntentId) -> JournalOrder | None:
        """Return an intent's order of its highest generation, or `None`; raises `UnknownId`."""
        with self._reading() as conn:
            rows = rows_of(conn, schema.orders, order_by="generation desc", intent_id=intent_id)
            if not rows:
                required(conn, intent_id)
        return records.order_of(rows[0]) if rows else None

    def orders(self, *, book: str, lane: str, session: date) -> list[JournalOrder]:
        """Return a session's orders, by intent then generation."""
        rows = self._asked("find_orders", book=book, lane=lane, session=session.isoformat())
        return [records.order_of(row) for row in rows]

    def fills(self, *, book: str, lane: str, session: date) -> list[Fill]:
        """Return a session's fills in the order booked, without those that the broker took back."""
        with self._reading() as conn:
            return session_fills(conn, Of(book, lane, session.isoformat()))

    def executions_of(self, client_order_id: ClientOrderId) -> dict[str, int]:
        """Return the shares booked of an order by execution id, as of one moment; a bust's are negative."""
        booked = {}
        for row in self._asked("find_executions", client_order_id=client_order_id):
            booked[row["execution_id"]] = row["quantity"]
            if row["bust_id"] is not None:
                booked[row["bust_id"]] = -row["quantity"]
        return booked

    def net_filled(self, client_order_id: ClientOrderId) -> int:
        """Return an order's booked shares less those that the broker has taken back."""
        with self._reading() as conn:
            return net_filled(conn, client_order_id)

    def orders_by_id(self, client_order_ids: Collection[str]) -> list[JournalOrder]:
        """Return the orders under ids, those there are, ascending by id."""
        return [
            records.order_of(row)
            for row in self._rows_by_id(schema.orders.c.client_order_id, client_order_ids)
        ]

    def intents_by_id(self, intent_ids: Collection[str]) -> list[JournalIntent]:
        """Return the intents under ids, those there are, ascending by id."""
        return [records.intent_of(row) for row in self._rows_by_id(schema.intents.c.intent_id, intent_ids)]

    def watched(self, *, account: str, since: date) -> list[JournalOrder]:
        """Return the orders of sessions from `since` on that were proven absent, ascending by id."""
        rows = self._asked("find_watched_orders", account=account, since=since.isoformat())
        return [records.order_of(row) for row in rows]

    def adapters_used(self, *, account: str, lane: str) -> tuple[str, ...]:
        """Return every adapter that an order of an account was prepared for, ascending by name."""
        table = schema.orders
        found: list[str] = []
        with self._reading() as conn:
            # One look into the index an adapter: there are a few of them, and of orders any number.
            query = sa.select(sa.func.min(table.c.actual_adapter)).where(
                table.c.account == account, table.c.lane == lane
            )
            name = conn.execute(query).scalar()
            while name is not None:
                found.append(name)
                name = conn.execute(query.where(table.c.actual_adapter > name)).scalar()
        return tuple(found)

    def executor_term(self, *, account: str, lane: str) -> ExecutorTerm | None:
        """Return which executor of an account began last, or `None` where none ever did."""
        with self._reading() as conn:
            return executor_term(conn, account, lane)

    def incidents(self) -> list[Incident]:
        """Return all incidents, in the order recorded."""
        return [records.incident_of(row) for row in self._asked("find_incidents")]

    def events(self, *, after: int, limit: int) -> list[JournalEvent]:
        """Return events with a sequence number above `after`, ascending, at most `limit`."""
        return [records.event_of(row) for row in self._asked("find_events", after=after, limit=limit)]

    def events_of(self, intent_id: IntentId) -> list[JournalEvent]:
        """Return an intent's events, ascending; raises `UnknownId`."""
        with self._reading() as conn:
            required(conn, intent_id)
            rows = asked(conn, "find_events_of_intent", intent_id=intent_id)
        return [records.event_of(row) for row in rows]

    def answers(self, questions: Sequence[str]) -> dict[str, Sequence[records.Row]]:
        """Return the rows of questions that bind nothing (files of `sql/`), all as of one moment."""
        with self._reading() as conn:
            return {name: conn.exec_driver_sql(text_of(name)).mappings().all() for name in questions}

    def _asked(self, question: str, **bound: str | int) -> Sequence[records.Row]:
        with self._reading() as conn:
            return asked(conn, question, **bound)

    def _rows_by_id(self, column: sa.Column[str], ids: Collection[str]) -> list[records.Row]:
        """Return the rows under ids, ascending by id, asked for in parts that every engine takes."""
        wanted = sorted(set(ids))
        rows: list[records.Row] = []
        for start in range(0, len(wanted), IDS_AT_ONCE):
            part = wanted[start : start + IDS_AT_ONCE]
            rows += self._rows(sa.select(column.table).where(column.in_(part)).order_by(column))
        return rows
