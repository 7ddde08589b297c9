"""The database under the journal: connections that can be trusted with an order, and its revision.

SQLite or PostgreSQL, by the journal's URL alone. What is stored is schema.py, when it is what store.py puts
together; who of several writers is next on SQLite is turns.py.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from resources.journal.condition import (
    DURABLE_SETTINGS,
    POSTGRESQL,
    REVISION_TABLE,
    SQLITE,
    advice,
    check_durable,
    check_not_newer,
    is_journal,
)
from resources.journal.looking import CONNECTION_LIMITS, STATEMENT_S_MAX
from resources.journal.turns import NoTurns, Turns
from trading.errors import BadSetting, JournalUnavailable

SQLITE_TABLES = "select name from sqlite_master where type = 'table' and name not like 'sqlite~_%' escape '~'"

WRITES = "journal_writes"
"""The execution option that says a connection begins nothing by itself: its writer does (`writing_alone`).

On SQLite each statement outside of that would be committed alone.
"""

FULL = 2
"""What `pragma synchronous` reads back when every commit waits for the disk."""

CHAIN_LOCK = 0x7472_6164
"""The PostgreSQL advisory lock that puts writers in line, since the chain has one end."""

STOPPED_WRITER_S_MAX = 30
"""How long the server lets a writer that says nothing (a stopped process) keep others waiting."""

LOG_PATIENCE_S = 0.1
LOG_PART_BYTES = 1 << 20

SQLITE_PRIMARY = 0xFF
"""What of SQLite's extended error codes tells the kind."""

_BEGIN_WRITING = {
    SQLITE: "begin immediate",
    POSTGRESQL: "set transaction isolation level read committed read write;"
    f" select pg_catalog.pg_advisory_xact_lock({CHAIN_LOCK})",
}
"""The lock is taken before anything is read, and each statement sees all that was committed before it."""

_engines: WeakSet[sa.Engine] = WeakSet()
_of_the_parent: list[sa.Pool] = []


def parsed(url: str) -> sa.URL:
    """Return a journal's URL, `postgresql://` as `postgresql+psycopg2://`; raises `BadSetting`."""
    try:
        found = sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadSetting(
            f"journal_url {url.partition('://')[0][:20]}: is no URL; name sqlite:///… or postgresql://…"
        ) from error
    if found.drivername == POSTGRESQL:
        return found.set(drivername=f"{POSTGRESQL}+psycopg2")
    if found.drivername not in {SQLITE, f"{SQLITE}+pysqlite", f"{POSTGRESQL}+psycopg2"}:
        raise BadSetting(
            f"journal_url {found.drivername}://…: the journal lives in sqlite:///… or postgresql://…"
        )
    return found


def name_of(url: sa.URL) -> str:
    """Return how messages call a journal: its file, or its server and database without who and password."""
    if url.get_backend_name() == SQLITE:
        return url.database or ""
    host = url.host or url.query.get("host", "")
    return f"{POSTGRESQL}://{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def is_missing(url: sa.URL) -> bool:
    """Say whether a journal's file is not there yet, or nothing is in it; one in a server is asked."""
    file = Path(url.database or "")
    return url.get_backend_name() == SQLITE and not (file.exists() and file.stat().st_size)


def engine_for(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    """Return an engine whose writers take the lock at once, and whose commits all wait for the disk.

    Raises `JournalUnavailable` where there can be no file; a connection raises it where it would not sync.
    """
    build = _sqlite_engine if url.get_backend_name() == SQLITE else _postgresql_engine
    engine = build(url, busy_timeout_s)
    _engines.add(engine)
    return engine


def _sqlite_engine(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise JournalUnavailable(f"journal {url}: a journal outlives its process, so it needs a file")
    folder = _folder_of(url.database)
    try:
        _make_durably(folder)
    except OSError as error:
        raise JournalUnavailable(f"journal {url.database}: its folder cannot be made: {error}") from error
    # The other half of the patience is for one's turn.
    engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s / 2}, pool_timeout=busy_timeout_s)

    @sa.event.listens_for(engine, "connect")
    def _prepared(connection: Any, _record: Any) -> None:
        # Readers' transactions are begun by the next listener, writers' in their turn, with the lock at once.
        connection.isolation_level = None
        cursor = connection.cursor()
        if cursor.execute("pragma journal_mode").fetchone()[0] != "wal":
            # The mode is kept in the file: another program's is refused before it is changed.
            tables = cursor.execute(SQLITE_TABLES).fetchall()
            is_journal(url.database or "", [name for (name,) in tables])
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
        if not connection.get_execution_options().get(WRITES, False):
            _run(connection, "begin")

    return engine


def _postgresql_engine(url: sa.URL, busy_timeout_s: float) -> sa.Engine:
    engine = sa.create_engine(
        url,
        # A reading transaction sees one moment, whatever is committed meanwhile, as on SQLite.
        isolation_level="REPEATABLE READ",
        # A server that was restarted is found before anything is asked of it.
        pool_pre_ping=True,
        pool_timeout=busy_timeout_s,
        use_native_hstore=False,
        connect_args={**CONNECTION_LIMITS, "application_name": f"trading {os.getpid()}"},
    )
    name = name_of(url)

    @sa.event.listens_for(engine, "connect")
    def _prepared(connection: Any, _record: Any) -> None:
        limits = {
            "lock_timeout": busy_timeout_s,
            "statement_timeout": max(STATEMENT_S_MAX, busy_timeout_s),
            "idle_in_transaction_session_timeout": max(STOPPED_WRITER_S_MAX, busy_timeout_s),
        }
        with connection.cursor() as cursor:
            cursor.execute("set default_transaction_read_only = on")
            for setting, limit_s in limits.items():
                # 0 would mean no limit at all.
                cursor.execute(
                    "select set_config(%s, %s, false)", (setting, f"{max(1, round(limit_s * 1000))}ms")
                )
            cursor.execute("select name, setting from pg_settings where name = any(%s)", (DURABLE_SETTINGS,))
            settings = dict(cursor.fetchall())
        connection.commit()
        check_durable(name, settings)

    return engine


@contextmanager
def writing_alone(connection: sa.Connection) -> Iterator[None]:
    """Hold the write lock from here to the commit, or to the rollback of what raises.

    Inside a transaction of a `WRITES` connection, of which SQLAlchemy then has nothing left to do.
    """
    driver = connection.connection
    _run(connection, _BEGIN_WRITING[connection.dialect.name])
    try:
        yield
        driver.commit()
    except BaseException:
        # One that its server ended, or that was interrupted inside SQLAlchemy, has been taken away already.
        if not connection.invalidated:
            driver.rollback()
        raise


def _run(connection: sa.Connection, statement: str) -> None:
    """Run what every transaction begins with by the driver itself: SQLAlchemy takes longer than it."""
    cursor = connection.connection.cursor()
    cursor.execute(statement)
    cursor.close()


def turns_for(url: sa.URL, busy_timeout_s: float) -> Turns | NoTurns:
    """Return what puts writers in line: PostgreSQL's own lock does it already."""
    if url.get_backend_name() != SQLITE or not url.database:
        return NoTurns()
    return Turns(_file_of(url.database), patience_s=busy_timeout_s / 2)


@contextmanager
def one_opener(url: sa.URL) -> Iterator[None]:
    """Let one process at a time open a file's journal, and the others wait.

    SQLite answers "locked" at once, without waiting, to all but one who turn a new file into WAL mode.
    """
    if url.get_backend_name() != SQLITE or not url.database:
        yield
        return
    try:
        folder = os.open(_folder_of(url.database), os.O_RDONLY)
    except OSError as error:
        raise JournalUnavailable(f"journal {url.database}: its folder cannot be opened: {error}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _make_log_durable(url.database)
        yield
        try:
            # SQLite syncs the name of a log that it makes, unless it cannot open the folder: it goes on then.
            os.fsync(folder)
        except OSError as error:
            raise JournalUnavailable(f"journal {url.database}: cannot sync its folder: {error}") from error
    finally:
        os.close(folder)


def check_database(conn: sa.Connection, name: str, *, is_whole: bool) -> None:
    """Raise `JournalUnavailable` where a database does not sync its commits, or is damaged (`is_whole`).

    Looking for damage reads the whole file: once a process, at its start, is what a start asks for.
    """
    if conn.dialect.name != "sqlite":
        return
    journal_mode = conn.exec_driver_sql("pragma journal_mode").scalar()
    synchronous = conn.exec_driver_sql("pragma synchronous").scalar()
    if journal_mode != "wal" or synchronous != FULL:
        raise JournalUnavailable(f"journal {name}: journal_mode is {journal_mode}, synchronous {synchronous}")
    if not is_whole:
        return
    found = conn.exec_driver_sql("pragma quick_check(1)").scalar()
    if found != "ok":
        raise JournalUnavailable(f"journal {name}: {found}: keep the file, and restore the last copy")
    dangling = conn.exec_driver_sql("pragma foreign_key_check").first()
    if dangling is not None:
        raise JournalUnavailable(f"journal {name}: a row of {dangling[0]} points at nothing: restore a copy")


def revision_of(conn: sa.Connection, name: str) -> str:
    """Return the schema revision of a database, empty where it is empty; raises on one that is not ours."""
    if not is_journal(name, _tables_of(conn)):
        return ""
    revision = str(conn.exec_driver_sql(f"select version_num from {REVISION_TABLE}").scalar() or "")  # noqa: S608 - a name of ours
    check_not_newer(name, revision)
    return revision


def _tables_of(conn: sa.Connection) -> list[str]:
    if conn.dialect.name == SQLITE:
        # Each command asks, and to find out how to ask takes SQLAlchemy ten times as long.
        return [name for (name,) in conn.exec_driver_sql(SQLITE_TABLES)]
    return sa.inspect(conn).get_table_names()


def migrate(conn: sa.Connection, *, to: str = "head") -> None:
    """Bring a database to this version's schema (or an older one's), inside the caller's transaction."""
    # Alembic takes a third of a second to import, and only a file that is behind needs it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    command.upgrade(config, to)


def _file_of(database: str) -> Path:
    """Return the file of what SQLite opens: a path as it is, or an address of its own (`file:…?…`)."""
    address = database.removeprefix("file:")
    return Path(address if address == database else address.partition("?")[0]).absolute()


def _folder_of(database: str) -> Path:
    return _file_of(database).parent


def _make_log_durable(database: str) -> None:
    """Write again what a log left behind holds, and sync it, before anybody believes it.

    A sync that failed has dropped what the kernel still shows, and no later one tells: an order prepared on
    top of it would be lost with it when power is. Nobody appends to the log meanwhile; where somebody is
    writing, whoever opened it first has done this.
    """
    file = _file_of(database)
    log = file.with_name(f"{file.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(file, timeout=LOG_PATIENCE_S, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            with log.open("r+b", buffering=0) as content:
                while part := content.read(LOG_PART_BYTES):
                    content.seek(-len(part), os.SEEK_CUR)
                    content.write(part)
                os.fsync(content.fileno())
            connection.execute("rollback")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & SQLITE_PRIMARY != sqlite3.SQLITE_BUSY:
            raise JournalUnavailable(f"journal {database}: {advice(str(error))}") from error
    except OSError as error:
        raise JournalUnavailable(f"journal {database}: its log cannot be synced: {error}") from error


def _make_durably(folder: Path) -> None:
    """Make a folder and the way to it, each one's name synced: a journal must not vanish with its folder."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        parent = os.open(made.parent, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)


def _forget_the_parents_connections() -> None:
    """Leave a forked process no connection of its parent's: two processes on one would garble both.

    They are kept, not closed: closing one here would end the parent's.
    """
    for engine in list(_engines):
        _of_the_parent.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_the_parents_connections)
