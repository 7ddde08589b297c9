"""Dagster's instances in memory, without what only one that lasts needs: a run's time is a test's time.

Nothing that Dagster decides, stores or tells is another for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster import DagsterEventType as Kind
from dagster._core.storage import event_log as event_logs
from dagster._core.storage.event_log import in_memory as events
from dagster._core.storage.event_log import sql_event_log as log
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.runs import in_memory as runs
from dagster._core.storage.runs import sql_run_storage as stored
from dagster_shared.serdes import utils as snapshots

OF_STEPS = frozenset(
    {
        Kind.ENGINE_EVENT,
        Kind.HANDLED_OUTPUT,
        Kind.LOADED_INPUT,
        Kind.LOGS_CAPTURED,
        Kind.RESOURCE_INIT_STARTED,
        Kind.RESOURCE_INIT_SUCCESS,
        Kind.STEP_INPUT,
        Kind.STEP_OUTPUT,
        Kind.STEP_START,
        Kind.STEP_SUCCESS,
        Kind.STEP_WORKER_STARTED,
        Kind.STEP_WORKER_STARTING,
    }
)
"""What somebody wants who reads a run's own log, or asks for its kind: Dagster decides nothing by it."""


def stamp_nothing(*_: Any, **__: Any) -> None:
    """Note no revision of a schema: nobody upgrades a database that ends with its process."""


class EventsInMemory(events.InMemoryEventLogStorage):
    """Dagster's events in memory, on one connection; what is `OF_STEPS` is put there once it is asked for.

    Each event has its number when it comes, so that whoever reads finds all in their order.
    """

    def __init__(self, *of: Any, **named: Any) -> None:
        """Begin without an event."""
        self._late: list[tuple[int, log.EventLogEntry]] = []
        self._stores = False
        self._made_in = threading.get_ident()
        super().__init__(*of, **named)

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        # A database in memory has no journal, and its tables have no foreign keys: nothing is to be set up.
        if threading.get_ident() != self._made_in:
            with self._db_lock, self._engine.begin() as connection:
                yield connection
            return
        with self._db_lock, self._held_conn.begin():
            yield self._held_conn

    def store_event(self, event: log.EventLogEntry) -> None:
        """Store an event, or number it and keep it until somebody asks."""
        is_of_step = event.dagster_event is None or event.dagster_event.event_type in OF_STEPS
        if is_of_step and not self._handlers[event.run_id]:
            self._storage_id += 1
            self._late.append((self._storage_id, event))
            return
        self._stores = True
        try:
            super().store_event(event)
        finally:
            self._stores = False

    def prepare_insert_event(self, event: log.EventLogEntry) -> Any:
        """Return what stores an event under its number."""
        return SqlEventLogStorageTable.insert().values(id=self._storage_id + 1, **self._event_to_row(event))

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[sa.Connection]:
        """Give a connection to all events of a run."""
        if not self._stores:
            self._store_late()
        return self._connect()

    def _store_late(self) -> None:
        late, self._late = self._late, []
        if late:
            rows = [{"id": number, **self._event_to_row(event)} for number, event in late]
            with self._connect() as connection:
                connection.execute(SqlEventLogStorageTable.insert(), rows)

    def _get_event_records(self, event_records_filter: dg.EventRecordsFilter, *of: Any, **named: Any) -> Any:
        if event_records_filter.event_type in OF_STEPS:
            self._store_late()
        return super()._get_event_records(event_records_filter, *of, **named)

    def get_logs_for_all_runs_by_log_id(self, *of: Any, **named: Any) -> Any:
        """Return events of all runs."""
        self._store_late()
        return super().get_logs_for_all_runs_by_log_id(*of, **named)

    def get_maximum_record_id(self) -> int | None:
        """Return the number of the last event."""
        self._store_late()
        return super().get_maximum_record_id()

    def has_table(self, table_name: str) -> bool:
        """Say whether there is a table: all were made at the beginning, and nobody drops one."""
        return table_name in SqlEventLogStorageTable.metadata.tables

    def _has_asset_key_col_on_connection(self, conn: sa.Connection, column_name: str) -> bool:
        return column_name in log.AssetKeyTable.c


class Written:
    """Write a value down once: Dagster does it anew for each table and each partition that it goes into.

    Events, runs and snapshots are never changed once they are made, so that one is known by being the same.
    """

    def __init__(self, write: Callable[..., str], *, keeps: int) -> None:
        self._write = write
        self._last: deque[tuple[Any, str]] = deque(maxlen=keeps)

    def __call__(self, value: Any, **options: Any) -> str:
        """Return a value as it is stored."""
        if options:
            return self._write(value, **options)
        for written, text in self._last:
            if written is value:
                return text
        text = self._write(value)
        self._last.append((value, text))
        return text


def hash_kept(partitions: dg.TimeWindowPartitionsDefinition) -> int:
    """Return the hash of a book's sessions, which Dagster draws anew from all their holidays, each time."""
    kept = vars(partitions)
    if "hash" not in kept:
        kept["hash"] = drawn_anew(partitions)
    return int(kept["hash"])


def made_ready_once(job: dg.JobDefinition, *of: Any, **named: Any) -> dg.JobDefinition:
    """Return a job ready to run in this process, made once for each selection of assets.

    Dagster makes it anew for each run, and with it all that it stores of a job: its whole configuration,
    written down and hashed. A definition does not change by being run: a server runs one many times.
    """
    selected = named.get("asset_selection")
    others = [value for name, value in named.items() if name != "asset_selection"]
    if any((*of, *others)):
        return made_ready(job, *of, **named)
    kept: dict[frozenset[dg.AssetKey], dg.JobDefinition] = vars(job).setdefault("made ready", {})
    key = frozenset(selected or ())
    if key not in kept:
        kept[key] = made_ready(job, *of, **named)
    return kept[key]


drawn_anew = dg.TimeWindowPartitionsDefinition.__hash__
made_ready = dg.JobDefinition.as_ephemeral_job

dg.TimeWindowPartitionsDefinition.__hash__ = hash_kept  # type: ignore[method-assign]
dg.JobDefinition.as_ephemeral_job = made_ready_once  # type: ignore[method-assign]
log.serialize_value = Written(log.serialize_value, keeps=1)  # type: ignore[assignment]
# What is stored of an event is read by every stage behind the one that it is of.
log.deserialize_value = lru_cache(maxsize=256)(log.deserialize_value)  # type: ignore[assignment]
# A job and its plan are hashed, hashed again and stored by each run.
snapshots.serialize_value = stored.serialize_value = Written(stored.serialize_value, keeps=32)  # type: ignore[assignment]
events.stamp_alembic_rev = runs.stamp_alembic_rev = stamp_nothing
event_logs.InMemoryEventLogStorage = EventsInMemory  # type: ignore[misc] - where an instance takes it from


def instance_in_memory() -> dg.DagsterInstance:
    """Return a new instance, empty, that is gone when nobody holds it."""
    return dg.DagsterInstance.ephemeral()
