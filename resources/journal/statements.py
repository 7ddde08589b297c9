"""Statements by a table's columns: each text is written once, and run by the driver itself.

For what every step of an intent asks and writes, under the write lock: building an expression and finding
its compiled form takes SQLAlchemy longer than SQLite takes to run it. Everything else is expressions, of
queries.py and of each subject's file. Names come from schema.py alone; values are always bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from resources.journal import records
from resources.journal.condition import SQLITE
from resources.journal.looking import postgresql_text_of
from resources.journal.questions import text_of


def rows_of(
    conn: sa.Connection, table: sa.Table, *, order_by: str = "", **where: str | int
) -> Sequence[records.Row]:
    """Return the rows whose columns have the values given, in the order of the columns named."""
    return _rows(conn, _select(conn.dialect.name, table, tuple(where), order_by), table, where)


def row_of(conn: sa.Connection, table: sa.Table, **where: str | int) -> records.Row | None:
    """Return the only row whose columns have the values given, or `None`."""
    found = _rows(conn, _select(conn.dialect.name, table, tuple(where), ""), table, where)
    if len(found) > 1:
        raise ValueError(f"{table.name}: {len(found)} rows of {sorted(where)}, expected one at most")
    return found[0] if found else None


def last_of(
    conn: sa.Connection, table: sa.Table, column: str, *, names: tuple[str, ...]
) -> tuple[Any, ...] | None:
    """Return of the row with a column's highest value what is in the columns named, `None` without a row."""
    cursor = conn.connection.cursor()
    cursor.execute(_select_last(table, column, names))
    found: tuple[Any, ...] | None = cursor.fetchone()
    cursor.close()
    return found


def tuples(conn: sa.Connection, question: str, **bound: str | int) -> Sequence[tuple[Any, ...]]:
    """Return the rows of a question (a file of sql/), each a tuple in the order of its columns."""
    cursor = conn.connection.cursor()
    cursor.execute(_text_of(conn.dialect.name, question), bound)
    found: Sequence[tuple[Any, ...]] = cursor.fetchall()
    cursor.close()
    return found


def asked(conn: sa.Connection, question: str, **bound: str | int) -> Sequence[records.Row]:
    """Return the rows of a question (a file of sql/)."""
    cursor = conn.connection.cursor()
    cursor.execute(_text_of(conn.dialect.name, question), bound)
    names = [column[0] for column in cursor.description]
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    cursor.close()
    return found


def insert(conn: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert one row; columns left out are null."""
    _changed(conn, _insert(conn.dialect.name, table, tuple(row)), row)


def insert_all(conn: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that name the same columns, by one call of the driver."""
    if rows:
        _run_many(conn, _insert(conn.dialect.name, table, tuple(rows[0])), rows)


def insert_placed(
    conn: sa.Connection, table: sa.Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows that each are the values of the columns named, in this order, by one call of the driver."""
    if rows:
        _run_many(conn, _insert_placed(conn.dialect.name, table, columns), rows)


def update(conn: sa.Connection, table: sa.Table, values: Mapping[str, Any], **where: str | int) -> int:
    """Change the rows whose columns have the values given; return how many there were."""
    text = _update(conn.dialect.name, table, tuple(values), tuple(where))
    return _changed(conn, text, {**values, **{f"{_IF}{name}": value for name, value in where.items()}})


_IF = "if_"
"""Before the name of a value that a row must have to be changed."""


def _rows(conn: sa.Connection, text: str, table: sa.Table, bound: Mapping[str, Any]) -> list[dict[str, Any]]:
    cursor = conn.connection.cursor()
    cursor.execute(text, bound)
    names = _names(table)
    found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    cursor.close()
    return found


def _changed(conn: sa.Connection, text: str, bound: Mapping[str, Any]) -> int:
    cursor = conn.connection.cursor()
    cursor.execute(text, bound)
    changed = int(cursor.rowcount)
    cursor.close()
    return changed


def _run_many(conn: sa.Connection, text: str, rows: Sequence[Any]) -> None:
    cursor = conn.connection.cursor()
    cursor.executemany(text, rows)
    cursor.close()


def _bind(dialect: str, name: str) -> str:
    return f":{name}" if dialect == SQLITE else f"%({name})s"


@cache
def _names(table: sa.Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


@cache
def _select(dialect: str, table: sa.Table, where: tuple[str, ...], order_by: str) -> str:
    text = f"select {', '.join(_names(table))} from {table.name}"  # noqa: S608 - names of the schema
    if where:
        text += " where " + " and ".join(f"{name} = {_bind(dialect, name)}" for name in where)
    return text + (f" order by {order_by}" if order_by else "")


@cache
def _text_of(dialect: str, question: str) -> str:
    return text_of(question) if dialect == SQLITE else postgresql_text_of(question)


@cache
def _select_last(table: sa.Table, column: str, names: tuple[str, ...]) -> str:
    return f"select {', '.join(names)} from {table.name} order by {column} desc limit 1"  # noqa: S608 - names of the schema


@cache
def _insert(dialect: str, table: sa.Table, columns: tuple[str, ...]) -> str:
    values = ", ".join(_bind(dialect, name) for name in columns)
    return f"insert into {table.name} ({', '.join(columns)}) values ({values})"  # noqa: S608 - names of the schema


@cache
def _insert_placed(dialect: str, table: sa.Table, columns: tuple[str, ...]) -> str:
    values = ", ".join("?" if dialect == SQLITE else "%s" for _ in columns)
    return f"insert into {table.name} ({', '.join(columns)}) values ({values})"  # noqa: S608 - names of the schema


@cache
def _update(dialect: str, table: sa.Table, values: tuple[str, ...], where: tuple[str, ...]) -> str:
    changes = ", ".join(f"{name} = {_bind(dialect, name)}" for name in values)
    conditions = " and ".join(f"{name} = {_bind(dialect, _IF + name)}" for name in where)
    return f"update {table.name} set {changes} where {conditions}"  # noqa: S608 - names of the schema
