"""A journal of a million intents, made in a minute: one that lived by the journal's calls, copied by SQL.

For what is measured on such a journal: journal.py asks it directly, console_pages.py through the pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path

from resources.journal import schema

MILLION = 1_000_000
OPEN_EACH = 5_000
"""One intent of so many is still open."""


def session_of(number: int, sessions: Sequence[date], *, count: int = MILLION) -> date:
    """Return the session that a copy is in: sessions share the copies evenly."""
    return sessions[number * len(sessions) // (count + 1)]


def multiply(path: Path, intent_id: str, sessions: Sequence[date], *, count: int = MILLION) -> None:
    """Copy an intent that has lived over sessions, with its order, fill, reservation and two events.

    A copy's ids end in its number, from 1; those of one session are of different symbols.
    """
    session = f"(select day from days where place = i * {len(sessions)} / {count + 1})"  # noqa: S608 - numbers
    symbol = f"'S' || (i % {count // len(sessions)})"
    is_open = f"i % {OPEN_EACH} = 0"
    copy_of = "{column} || '-' || i"
    of_intent = {"intent_id": copy_of, "session": session}
    of_order = {**of_intent, "client_order_id": "'c-' || i"}
    plans: list[tuple[str, str, Mapping[str, str]]] = [
        (
            "intents",
            f"intent_id = '{intent_id}'",
            {
                **of_intent,
                "symbol": symbol,
                "payload": f"replace(payload, '\"S0\"', '\"' || {symbol} || '\"')",
                "state": f"case when {is_open} then 'executing' else 'executed' end",
                "stage": f"case when {is_open} then 'working' else '' end",
            },
        ),
        ("orders", f"intent_id = '{intent_id}'", {**of_order, "broker_order_id": "'b-' || i"}),
        ("fills", f"intent_id = '{intent_id}'", {**of_order, "execution_id": "'x-' || i", "seq": "i + 9"}),
        ("reservations", f"intent_id = '{intent_id}'", of_order),
        *(
            (
                "events",
                f"intent_id = '{intent_id}' and kind = '{kind}'",
                {
                    **of_intent,
                    "seq": f"i * 2 + {number} + 9999",
                    "prev_hash": f"printf('%064x', i * 2 + {number})",
                    "hash": f"printf('%064x', i * 2 + {number} + 1)",
                },
            )
            for number, kind in enumerate(("registered", "closed"))
        ),
    ]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Only how the file is filled: nothing here is measured, and whatever opens it syncs again.
        connection.execute("pragma synchronous = off")
        connection.execute("pragma cache_size = -1000000")
        connection.execute("create temp table days (place integer primary key, day text)")
        connection.executemany(
            "insert into days values (?, ?)", [(place, str(day)) for place, day in enumerate(sessions)]
        )
        connection.execute("begin")
        for table, where, changed in plans:
            columns = [column.name for column in schema.metadata.tables[table].columns]
            values = ", ".join(changed.get(name, name).format(column=name) for name in columns)
            statement = (
                f"insert into {table} ({', '.join(columns)})"  # noqa: S608 - names of the schema
                " with recursive numbers (i) as"
                f" (select 1 union all select i + 1 from numbers where i < {count})"
                f" select {values} from numbers, (select * from {table} where {where})"
            )
            filled = connection.execute(statement).rowcount
            if filled != count:
                raise RuntimeError(f"{table}: {filled} rows, {count} were to be made")
        connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")
