"""How the journal is opened, looked into and changed: transactions, and events at the end of the chain.

A change and its events are one transaction. Who is told of the steps in it is told once they are stored. Not
here: what is changed (each subject has a file beside this one), the engines (database.py), how writers take
turns (turns.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from resources.journal import records, schema
from resources.journal.condition import SCHEMA_REVISION, advice
from resources.journal.database import (
    WRITES,
    check_database,
    engine_for,
    is_missing,
    migrate,
    name_of,
    one_opener,
    parsed,
    revision_of,
    turns_for,
    writing_alone,
)
from resources.journal.drafts import Draft
from resources.journal.statements import insert_all, last_of
from resources.journal.traces import lost, trace_of_events
from trading.audit import GENESIS, chained_text, content_text, instant_text
from trading.errors import IllegalTransition, JournalUnavailable
from trading.journal import JournalIntent
from trading.lifecycle import Step
from trading.values import canonical_json

Heard = Callable[[Step, JournalIntent, str], None]
"""Is told a step, the intent as it is then, and the reason, which may be empty."""

STEPS = "steps"
"""Where a connection keeps the steps of its transaction until they are stored."""


class Transactions:
    """Open a database as a journal, by the arguments that SqlJournal tells of; give its transactions."""

    def __init__(
        self,
        url: str,
        *,
        log: Path | None = None,
        busy_timeout_s: float = 5.0,
        heard: Heard | None = None,
    ) -> None:
        at = parsed(url)
        self._heard = heard
        self._name = name_of(at)
        if is_missing(at) and (trace := trace_of_events(log)) and is_missing(at):
            # Before a connection makes it.
            raise lost(self._name, trace)
        self._is_checked = False
        self._engine = engine_for(at, busy_timeout_s)
        self._turns = turns_for(at, busy_timeout_s)
        self._writer = self._engine.execution_options(**{WRITES: True})
        try:
            with one_opener(at):
                self._open(log)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections; what was committed is on disk."""
        self._engine.dispose()

    def check_integrity(self) -> None:
        """Raise `JournalUnavailable` where the database is damaged, or would not sync what it commits."""
        with self._reading() as conn:
            check_database(conn, self._name, is_whole=not self._is_checked)
        self._is_checked = True

    @contextmanager
    def looking(self) -> Iterator[sa.Connection]:
        """Give a transaction that only reads: for tables with a module of their own."""
        with self._reading() as conn:
            yield conn

    @contextmanager
    def appending(self, now: datetime) -> Iterator[tuple[sa.Connection, Callable[[Draft], None]]]:
        """Give a transaction and what appends an event in it: for tables with a module of their own."""
        with self._writing() as conn:
            yield conn, lambda draft: self._append(conn, now, draft)

    def _append(self, conn: sa.Connection, now: datetime, *drafts: Draft) -> None:
        """Put events at the end of the chain, in the transaction of what they tell."""
        seq, prev_hash = last_of(conn, schema.events, "seq", names=("seq", "hash")) or (0, GENESIS)
        at = instant_text(now)
        rows = []
        for draft in drafts:
            seq += 1
            content = {"seq": seq, "at": at, **draft._asdict()}
            body = canonical_json(draft.body)
            hashed = chained_text(prev_hash, content_text(content, body=body), kind=draft.kind)
            rows.append({**content, "body": body, "prev_hash": prev_hash, "hash": hashed})
            prev_hash = hashed
        insert_all(conn, schema.events, rows)

    def _rows(self, query: sa.Select[Any]) -> Sequence[records.Row]:
        with self._reading() as conn:
            return conn.execute(query).mappings().all()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.begin() as conn:
            yield conn

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        # What SQLAlchemy does for a transaction is done before one's turn and after it: others wait the less.
        steps: list[tuple[Step, JournalIntent, str]] = []
        with self._explained(), self._writer.connect() as conn:
            conn.info[STEPS] = steps
            with conn.begin(), self._turns.next(), writing_alone(conn):
                yield conn
        if self._heard is not None:
            for step, row, reason in steps:
                self._heard(step, row, reason)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a database's error means here, and what to do about it."""
        driver = self._engine.dialect.loaded_dbapi
        try:
            yield
        except (IntegrityError, driver.IntegrityError) as error:
            found = getattr(error, "orig", error)
            raise IllegalTransition(f"journal {self._name}: refused by its schema: {found}") from error
        except (DBAPIError, driver.Error) as error:
            found = getattr(error, "orig", error)
            raise JournalUnavailable(f"journal {self._name}: {advice(str(found))}") from error
        except PoolTimeoutError as error:
            raise JournalUnavailable(f"journal {self._name}: {advice(str(error))}") from error

    def _open(self, log: Path | None) -> None:
        revision, has_events = self._found()
        if not has_events and (trace := trace_of_events(log)):
            revision, has_events = self._found()
            if not has_events:
                raise lost(self._name, trace)
        if revision == SCHEMA_REVISION:
            return
        with self._writing() as conn:
            # Another process may have been first: the write lock decides.
            revision = revision_of(conn, self._name)
            if revision < SCHEMA_REVISION:
                migrate(conn)

    def _found(self) -> tuple[str, bool]:
        """Return the schema's revision, empty where there is none, and whether any event is stored."""
        with self._reading() as conn:
            revision = revision_of(conn, self._name)
            return revision, bool(revision and last_of(conn, schema.events, "seq", names=("seq",)))
