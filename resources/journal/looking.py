"""How the reader looks at a database: plain drivers, read only, one moment at a time.

No SQLAlchemy, which alone takes longer to import than a verb may; PostgreSQL's driver is imported where a
journal is there. What is asked is reader.py, in the SQL of sql/.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from resources.journal import records
from resources.journal.condition import POSTGRESQL, advice
from resources.journal.questions import text_of
from trading.errors import BadSetting, JournalUnavailable

_SQLITE = "sqlite:///"
STATEMENT_S_MAX = 60
"""A statement that takes longer meets a disk or a server that does not answer."""

CONNECTION_LIMITS = {
    "connect_timeout": 10,
    "client_encoding": "utf8",
    # A machine that is gone says nothing: without these, nor would we.
    "tcp_user_timeout": STATEMENT_S_MAX * 1000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""How every connection to a PostgreSQL begins, the writer's as well."""

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's driver raises where it cannot read: the second where a message quotes a damaged schema."""

_NO_TEXT = "could not decode to utf-8"
"""How the driver itself, for which SQLite has no number, says that a column is no text."""

_BOUND = re.compile(r"(?<![:\w]):([a-z_]+)")
"""How the files of sql/ name what is bound: SQLite's way, which is rewritten for PostgreSQL."""


class Sight(Protocol):
    """Answer questions of sql/ as of one moment."""

    def rows(self, question: str, bound: Mapping[str, str | int]) -> Sequence[records.Row]:
        """Return the rows of a question."""
        ...


class Place(Protocol):
    """Hold where a journal is."""

    @property
    def name(self) -> str:
        """Return how messages call it."""
        ...

    @property
    def tables_question(self) -> str:
        """Return the question that lists its tables."""
        ...

    def sight(self) -> Any:
        """Give a `Sight` for a `with`, or `None` where there is nothing yet; raises `JournalUnavailable`."""
        ...


def place_of(url: str | Path) -> Place:
    """Return where a journal's URL (or its file's path) points; raises `BadSetting`."""
    text = str(url)
    if "://" not in text:
        return SqlitePlace(Path(text))
    if (file := file_of(text)) is not None:
        return SqlitePlace(file)
    if text.partition("://")[0] in {POSTGRESQL, f"{POSTGRESQL}+psycopg2"}:
        return PostgresqlPlace(text)
    raise BadSetting(
        f"journal_url {text.partition('://')[0]}://…: the journal lives in sqlite:///… or postgresql://…"
    )


def file_of(url: str) -> Path | None:
    """Return the file of a journal's URL, `None` where the journal is in a server."""
    if not url.startswith(_SQLITE):
        return None
    return Path(unquote(url.removeprefix(_SQLITE).partition("?")[0]))


def read_only_address(file: Path) -> str:
    """Return how SQLite opens a file that it may only read, whatever is in its name."""
    return f"file:{quote(str(file.absolute()))}?mode=ro"


def is_undecodable(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Say whether what was read is no text, which nobody ever wrote."""
    return isinstance(error, UnicodeDecodeError) or str(error).lower().startswith(_NO_TEXT)


def told(error: sqlite3.Error | UnicodeDecodeError) -> str:
    """Return what a file's driver says, with what a person can do about it."""
    return advice(f"malformed text: {error}" if is_undecodable(error) else str(error))


class SqlitePlace:
    """Look at a file."""

    tables_question = "find_tables"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    @contextmanager
    def sight(self) -> Iterator[Sight | None]:
        """Open the file read only, where it is."""
        if not self._path.exists():
            yield None
            return
        try:
            address = read_only_address(self._path)
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("begin")
                yield _SqliteSight(connection)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"journal {self.name}: {told(error)}") from error


class _SqliteSight:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, question: str, bound: Mapping[str, str | int]) -> Sequence[records.Row]:
        try:
            return self._connection.execute(text_of(question), dict(bound)).fetchall()
        except UnicodeDecodeError as error:
            # Here and not around the whole look, in which other files are read as well.
            raise sqlite3.DatabaseError(f"{_NO_TEXT}: {error}") from error


class PostgresqlPlace:
    """Look at a database of a server."""

    tables_question = "find_tables_of_schema"

    def __init__(self, url: str) -> None:
        self._options = postgresql_options(url)
        self.name = postgresql_name(self._options)

    @contextmanager
    def sight(self) -> Iterator[Sight | None]:
        """Connect, and read in one transaction that may change nothing."""
        import psycopg2  # noqa: PLC0415 - a journal in a file needs no server's driver

        try:
            with closing(psycopg2.connect(**self._options)) as connection:
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                with connection.cursor() as cursor:
                    cursor.execute(
                        "select set_config('statement_timeout', %s, true)", (f"{STATEMENT_S_MAX}s",)
                    )
                yield _PostgresqlSight(connection)
        except psycopg2.Error as error:
            raise JournalUnavailable(f"journal {self.name}: {advice(str(error))}") from error


class _PostgresqlSight:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, question: str, bound: Mapping[str, str | int]) -> Sequence[records.Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(postgresql_text_of(question), dict(bound))
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def postgresql_text_of(question: str) -> str:
    """Return the SQL of a question as PostgreSQL's driver binds it."""
    return _BOUND.sub(r"%(\1)s", text_of(question).replace("%", "%%"))


def postgresql_options(url: str) -> dict[str, Any]:
    """Return a URL as the options of a connection; raises `BadSetting`, which never shows the URL."""
    try:
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        named = {
            "host": parts.hostname,
            "port": parts.port,
            "user": parts.username and unquote(parts.username),
            "password": parts.password and unquote(parts.password),
            "dbname": unquote(parts.path.removeprefix("/")),
        }
    except ValueError as error:
        # What cannot be read may hold a password, and so may the error.
        raise BadSetting(
            f"journal_url {POSTGRESQL}://…: cannot be read ({type(error).__name__});"
            " it is postgresql://user:password@host:port/database"
        ) from None
    given = {name: value for name, value in named.items() if value}
    return {**CONNECTION_LIMITS, **given, **asked}


def postgresql_name(options: Mapping[str, Any]) -> str:
    """Return how messages call a database: its server and name, without who and password."""
    port = f":{options['port']}" if "port" in options else ""
    return f"{POSTGRESQL}://{options.get('host', '')}{port}/{options.get('dbname', '')}"
