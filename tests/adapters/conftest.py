"""The two engines under a journal, each with real files or a real server."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
import structlog
import structlog.testing

from proof.postgres_server import PostgresServer
from resources.journal.database import parsed
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from trading.testing import reconciled_term

ENGINES = ["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class JournalDatabase:
    """Hold where a test's own journal is, and how to look at it past the store."""

    url: str
    connect: Callable[[], Any]

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith("postgresql")

    def open(self, **options: Any) -> SqlJournal:
        return SqlJournal(self.url, **options)

    def reader(self, **options: Any) -> JournalReader:
        return JournalReader(self.url, **options)

    def engine(self) -> sa.Engine:
        return sa.create_engine(parsed(self.url), poolclass=sa.NullPool)

    def disarm(self, table: str) -> None:
        """Take a table's triggers away, as somebody who may change everything would."""
        if self.is_postgresql:
            self.do(f"alter table {table} disable trigger user")
            return
        listed = "select name from sqlite_master where type = 'trigger' and tbl_name = "
        for (name,) in self.do(f"{listed} '{table}'"):
            self.do(f"drop trigger {name}")

    def do(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements past the store and commit; return what the last one found."""
        with closing(self.connect()) as raw:
            cursor = raw.cursor()
            for statement in statements:
                cursor.execute(statement)
            found = cursor.fetchall() if cursor.description else []
            raw.commit()
            return found


TERM_BEGAN_AT = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one server for all tests of a process."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server) -> str:
    """Make an empty journal with an executor's term once; each test works on a copy of its own."""
    with SqlJournal(postgres_server.create("journal_template")) as journal:
        reconciled_term(journal, account="SIM-FIVE", lane="simulated", now=TERM_BEGAN_AT)
    return "journal_template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Path:
    """Make an empty journal with an executor's term once; each test works on a copy of its own."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    with SqlJournal(f"sqlite:///{path}") as journal:
        reconciled_term(journal, account="SIM-FIVE", lane="simulated", now=TERM_BEGAN_AT)
    return path


_numbers = itertools.count(1)


@pytest.fixture(params=ENGINES)
def new_database(request, tmp_path) -> Iterator[Callable[..., JournalDatabase]]:
    """Give what makes a journal of the test's own: an empty one, a copy, or nothing at all (`is_blank`)."""
    made: list[str] = []

    def on_sqlite(*, is_blank: bool = False, copy_of: JournalDatabase | None = None) -> JournalDatabase:
        path = tmp_path / f"journal-{next(_numbers)}.db"
        if copy_of is not None:
            shutil.copy(copy_of.url.removeprefix("sqlite:///"), path)
        elif not is_blank:
            shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return JournalDatabase(f"sqlite:///{path}", lambda: sqlite3.connect(path))

    def on_postgresql(*, is_blank: bool = False, copy_of: JournalDatabase | None = None) -> JournalDatabase:
        server = request.getfixturevalue("postgres_server")
        name = f"journal_{next(_numbers)}"
        made.append(name)
        template = "template1" if is_blank else request.getfixturevalue("postgres_template")
        if copy_of is not None:
            template = parsed(copy_of.url).database
        url = server.create(name, template=template)
        return JournalDatabase(url, lambda: psycopg2.connect(url))

    yield on_sqlite if request.param == "sqlite" else on_postgresql
    for name in made:
        request.getfixturevalue("postgres_server").drop(name)


@pytest.fixture
def database(new_database) -> JournalDatabase:
    """Make one empty journal, on each engine in turn."""
    return new_database()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Give what a test logs, of every level, whatever level and file a test before it had set."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.reset_defaults()
    with structlog.testing.capture_logs() as lines:
        yield lines
    structlog.reset_defaults()
    if before is not None:
        structlog.configure(**before)
