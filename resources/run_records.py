"""Dagster's own records of runs, events and checks on SQLite, through connections that are kept.

Dagster's default storage opens a connection for every event and closes it again: each time SQL is compiled
anew, and SQLite, seeing its last reader leave, writes its log back and deletes it. Half of a session's run
went there, and nearly all of it on a busy disk. Here are the same tables in the same files, by the same
code; only the connections are others. What was decided and sent is the journal's (resources/journal), on
which execution relies; `dagster.yaml` may name PostgreSQL instead of this.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Self

from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, inspect

BUSY_S_MAX = 30
"""How long a writer waits for another: Dagster's own number for event logs."""

ENGINES_KEPT = 24
"""Files whose connections are kept: runs, the index of events, and the latest runs' own files."""


class KeptRunRecords(DagsterSqliteStorage):
    """Keep runs, events and schedules below `base_dir`, in the files of Dagster's default storage."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Not by the constructor of the default storage, which would open its own runs and events first.
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        self.base_dir = base_dir
        self._inst_data = inst_data
        history = Path(base_dir) / "history"
        with _one_opener(Path(base_dir)):
            self._run_storage = KeptRuns.from_local(str(history))
            self._event_log_storage = KeptEvents(str(history / "runs"))
            self._schedule_storage = SqliteScheduleStorage.from_local(str(Path(base_dir) / "schedules"))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Return the storage of a `storage: custom:` section."""
        return cls.from_local(inst_data=inst_data, **config_value)


class KeptRuns(SqliteRunStorage):
    """Keep runs, their tags and the state of daemons."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines = Engines()
        super().__init__(conn_string, inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a kept connection, in a transaction that ends with the block."""
        with self._engines.of(self._conn_string).begin() as connection:
            yield connection

    def dispose(self) -> None:
        """Close what is kept."""
        self._engines.close()
        super().dispose()


class KeptEvents(SqliteEventLogStorage):
    """Keep the events of each run in a file of its own, and those of assets and checks in an index."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines = Engines()
        super().__init__(base_dir, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.of(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def has_table(self, table_name: str) -> bool:
        """Say whether the index has a table: asked with every evaluation of a check."""
        with self._engines.of(self.conn_string_for_shard(INDEX_SHARD_NAME)).connect() as connection:
            return inspect(connection).has_table(table_name)

    def dispose(self) -> None:
        """Close what is kept."""
        self._engines.close()
        super().dispose()


class Engines:
    """Keep the engines of the files used last, each with its connections; threads may share it."""

    def __init__(self) -> None:
        self._kept: dict[str, Engine] = {}
        self._lock = Lock()

    def of(self, url: str) -> Engine:
        """Return the engine of a file."""
        with self._lock:
            engine = self._kept.pop(url, None) or _engine(url)
            self._kept[url] = engine  # at the end: the first is the one used longest ago
            forgotten = list(self._kept)[:-ENGINES_KEPT]
            for other in forgotten:
                self._kept.pop(other).dispose()
            return engine

    def close(self) -> None:
        """Close every connection that is not in use."""
        with self._lock:
            for engine in self._kept.values():
                engine.dispose()
            self._kept.clear()


@contextmanager
def _one_opener(folder: Path) -> Iterator[None]:
    """Let one process at a time open the files below a folder, and the others wait.

    Dagster makes the tables of a new file without asking whether another process does so at the same time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _engine(url: str) -> Engine:
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=1, max_overflow=-1, connect_args={"timeout": BUSY_S_MAX}
    )
    event.listen(engine, "connect", _sync_at_checkpoints)
    return engine


def _sync_at_checkpoints(connection: Any, _: object) -> None:
    """Let a power loss take the latest events, never the file: who executes asks the journal besides.

    A check's evaluation that is lost leaves the gate closed, or as the evaluation before had it, and the
    executor judges the same facts itself.
    """
    connection.execute("pragma synchronous = normal")
