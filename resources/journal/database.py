"""The database under the journal: connections that can be trusted with an order, and its revision.

What is stored is store.py and schema.py.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resources.journal.condition import REVISION_TABLE, check_not_newer, is_journal
from trading.errors import JournalUnavailable

WRITES = "journal_writes"
"""The execution option that says a connection begins with the write lock."""

FULL = 2
"""What `pragma synchronous` reads back when every commit waits for the disk."""


def engine_for(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    """Return an engine whose writers take the lock at once, on SQLite with every commit synced to disk.

    Raises `JournalUnavailable` where there can be no file; a connection raises it where it would not sync.
    """
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url)
    if not url.database or url.database == ":memory:":
        raise JournalUnavailable(f"journal {url}: a journal outlives its process, so it needs a file")
    folder = _folder_of(url.database)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalUnavailable(f"journal {url.database}: its folder cannot be made: {error}") from error
    engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s})

    @sa.event.listens_for(engine, "connect")
    def _prepared(connection: Any, _record: Any) -> None:
        # Transactions are begun by the next listener, so that a writer takes the lock at once.
        connection.isolation_level = None
        cursor = connection.cursor()
        journal_mode = cursor.execute("pragma journal_mode = wal").fetchone()[0]
        cursor.execute("pragma synchronous = full")
        cursor.execute("pragma foreign_keys = on")
        synchronous = cursor.execute("pragma synchronous").fetchone()[0]
        cursor.close()
        if journal_mode != "wal" or synchronous != FULL:
            # With less, a power loss can leave an order at the broker and no claim here.
            raise JournalUnavailable(
                f"journal {url.database}: journal_mode is {journal_mode}, synchronous {synchronous};"
                " trading needs wal and 2 (full): move it to a local disk"
            )

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("begin immediate" if writes else "begin")

    return engine


@contextmanager
def one_opener(url: sa.URL) -> Iterator[None]:
    """Let one process at a time open a file's journal, and the others wait.

    SQLite answers "locked" at once, without waiting, to all but one who turn a new file into WAL mode.
    """
    if url.get_backend_name() != "sqlite" or not url.database:
        yield
        return
    folder = os.open(_folder_of(url.database), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def revision_of(conn: sa.Connection, name: str) -> str:
    """Return the schema revision of a database, empty where it is empty; raises on one that is not ours."""
    if not is_journal(name, sa.inspect(conn).get_table_names()):
        return ""
    revision = str(
        conn.execute(sa.select(sa.column("version_num")).select_from(sa.table(REVISION_TABLE))).scalar() or ""
    )
    check_not_newer(name, revision)
    return revision


def migrate(conn: sa.Connection) -> None:
    """Bring a database to this version's schema, inside the caller's transaction."""
    # Alembic takes a third of a second to import, and only a file that is behind needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def _folder_of(database: str) -> Path:
    return Path(database.removeprefix("file:").partition("?")[0]).absolute().parent
