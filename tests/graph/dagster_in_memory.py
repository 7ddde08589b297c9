"""Dagster's instances in memory, without what only one that lasts needs: a run's time is a test's time.

Nothing that Dagster decides, stores or tells is another for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log import in_memory as events
from dagster._core.storage.event_log import sql_event_log as log
from dagster._core.storage.runs import in_memory as runs


def stamp_nothing(*_: Any, **__: Any) -> None:
    """Note no revision of a schema: nobody upgrades a database that ends with its process."""


@contextmanager
def connected(storage: events.InMemoryEventLogStorage) -> Iterator[sa.Connection]:
    """Give a connection as Dagster does, without setting up anew for each question what a file would need.

    A database in memory has no journal, and its tables have no foreign keys.
    """
    with storage._db_lock, storage._engine.begin() as connection:
        yield connection


class Written:
    """Write an event down once: Dagster does it anew for each table and each partition that it goes into."""

    def __init__(self, write: Callable[[Any], str]) -> None:
        self._write = write
        self._last: tuple[Any, str] = (None, "")

    def __call__(self, value: Any) -> str:
        """Return a value as it is stored."""
        last, text = self._last
        if value is not last:
            text = self._write(value)
            self._last = (value, text)
        return text


def hash_kept(partitions: dg.TimeWindowPartitionsDefinition) -> int:
    """Return the hash of a book's sessions, which Dagster draws anew from all their holidays, each time."""
    kept = vars(partitions)
    if "hash" not in kept:
        kept["hash"] = drawn_anew(partitions)
    return int(kept["hash"])


drawn_anew = dg.TimeWindowPartitionsDefinition.__hash__

dg.TimeWindowPartitionsDefinition.__hash__ = hash_kept  # type: ignore[method-assign]
log.serialize_value = Written(log.serialize_value)  # type: ignore[assignment]
events.stamp_alembic_rev = runs.stamp_alembic_rev = stamp_nothing
events.InMemoryEventLogStorage._connect = connected  # type: ignore[method-assign]


def instance_in_memory() -> dg.DagsterInstance:
    """Return a new instance, empty, that is gone when nobody holds it."""
    return dg.DagsterInstance.ephemeral()
