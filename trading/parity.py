"""Parity: whether two decisions of a session are the same, to the bit, and where they first differ.

A decision is told as tables of rows by key, in the order of the flow. What was decided live comes from the
record; what is decided again comes from the same functions, on what was recorded. Who reads the record is
trading_assets/replaying.py; whether a decision sees too much is lookahead.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Any, NamedTuple

Row = Mapping[str, object]
Tables = Mapping[str, Mapping[str, Row]]
"""Rows by key, by table; both in their own order."""

ABSENT = "no such row"
WHOLE_ROW = "row"
"""Stands for a column where one side has no such row."""
PLACE = "place"
"""Stands for a column where both sides have equal rows in another order."""


class Difference(NamedTuple):
    """Name one value that differs: where it stands, and what either side says there.

    `key` is the row's key, `column` is `row` where only one side has it and `place` where the order differs.
    """

    table: str
    key: str
    column: str
    live: str
    replayed: str

    def __str__(self) -> str:
        """Return the difference as one line."""
        return f"{self.table} {self.key} {self.column}: live {self.live}, replayed {self.replayed}"


def keyed(rows: Iterable[Any], *names: str) -> dict[str, Row]:
    """Return rows (named tuples or dataclasses) by the values of some of their columns, joined by `/`.

    Raises `ValueError` where two rows have one key: a difference could not be named.
    """
    found: dict[str, Row] = {}
    for row in rows:
        key = "/".join(str(getattr(row, name)) for name in names)
        if key in found:
            raise ValueError(f"two rows of {type(row).__name__} have the key {key}")
        found[key] = columns_of(row)
    return found


def columns_of(row: Any) -> Row:
    """Return a named tuple or dataclass as values by column."""
    if is_dataclass(row):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    columns: dict[str, object] = row._asdict()
    return columns


def first_difference(live: Tables, replayed: Tables) -> Difference | None:
    """Return where two decisions first differ, in the order of tables, rows and columns; `None`: nowhere."""
    return next(differences(live, replayed), None)


def differences(live: Tables, replayed: Tables) -> Iterator[Difference]:
    """Return everything in which two decisions differ, table by table in the order of the live one."""
    for table in dict.fromkeys((*live, *replayed)):
        yield from differing_rows(table, live.get(table, {}), replayed.get(table, {}))


def differing_rows(table: str, live: Mapping[str, Row], replayed: Mapping[str, Row]) -> Iterator[Difference]:
    """Return the values in which the rows of one table differ, then their first place if order alone does.

    Values are compared by type and to the last bit, so that 1 is not 1.0 and not a number is itself.
    """
    is_equal = True
    for key in dict.fromkeys((*live, *replayed)):
        if key not in replayed or key not in live:
            is_equal = False
            yield Difference(table, key, WHOLE_ROW, _summary(live.get(key)), _summary(replayed.get(key)))
            continue
        before, after = live[key], replayed[key]
        for column in dict.fromkeys((*before, *after)):
            here, there = before.get(column), after.get(column)
            if not is_same(here, there):
                is_equal = False
                yield Difference(table, key, column, told(here), told(there))
    if is_equal and list(live) != list(replayed):
        place, key = next(
            (at, key) for at, (key, other) in enumerate(zip(live, replayed, strict=True)) if key != other
        )
        yield Difference(table, key, PLACE, str(place), str(list(replayed).index(key)))


def is_same(one: object, other: object) -> bool:
    """Say whether two values are of one type and equal to the last bit; texts and named choices are texts."""
    if isinstance(one, str) and isinstance(other, str):
        return str(one) == str(other)
    return type(one) is type(other) and repr(one) == repr(other)


def told(value: object) -> str:
    """Return a value as a person reads it, floats to the last bit."""
    if value is None:
        return "nothing"
    return str(value) if isinstance(value, str | date) else repr(value)


def _summary(row: Row | None) -> str:
    if row is None:
        return ABSENT
    return ", ".join(f"{column} {told(value)}" for column, value in list(row.items())[:6])
