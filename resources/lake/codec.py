"""Rows and typed tables: a row type (NamedTuple or frozen dataclass) is the schema of its table.

Column by column, no per-cell validation: 500 rows both ways take a few milliseconds.
Not here: bytes, files and hashes (store.py).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

from trading.errors import BadInput, LakeError
from trading.values import digest

Row = TypeVar("Row")

ARROW_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    date: pa.date32(),
    datetime: pa.timestamp("us", tz="UTC"),
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL = EPOCH.toordinal()
MICROSECOND = timedelta(microseconds=1)
TEXT_BYTES_MAX = 2**31 - 1
"""The text of one column: its offsets are int32."""

_BLANKS: dict[type, Any] = {str: "", int: 0, float: 0.0, bool: False, date: EPOCH.date(), datetime: EPOCH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Describe one field of a row type: what Python holds, what the table holds, and which enum it names."""

    name: str
    holds: type
    arrow: pa.DataType
    nullable: bool
    enum: type[StrEnum] | None

    @property
    def blank(self) -> Any:
        """Return what lies in the buffer where there is no value."""
        return _BLANKS[self.holds]

    def field(self) -> pa.Field:
        """Return the column's field in a schema."""
        return pa.field(self.name, self.arrow, nullable=self.nullable)


def columns_of(row_type: type[Any]) -> tuple[Column, ...]:
    """Return the columns of a row type; raises `TypeError` naming a field that no column can hold."""
    return _columns_of(cast("Any", row_type))


@lru_cache(maxsize=256)
def _columns_of(row_type: Any) -> tuple[Column, ...]:
    hints = get_type_hints(row_type)
    if hasattr(row_type, "_fields"):
        names: tuple[str, ...] = row_type._fields
    elif is_dataclass(row_type):
        names = tuple(row_type.__dataclass_fields__)
    else:
        raise TypeError(f"row type {row_type.__name__}: neither a NamedTuple nor a dataclass")
    if not names:
        raise TypeError(f"row type {row_type.__name__}: has no fields")
    return tuple(_column_of(row_type, name, hints[name]) for name in names)


def schema_of(row_type: type[Any]) -> pa.Schema:
    """Return the Arrow schema of a row type, columns in the order of its fields."""
    return pa.schema([column.field() for column in columns_of(row_type)])


def schema_digest(schema: pa.Schema) -> str:
    """Return the digest of names, types and nullability, in order."""
    return digest([[field.name, str(field.type), field.nullable] for field in schema])


def table_of(row_type: type[Row], rows: Iterable[Row]) -> pa.Table:
    """Return rows as a table of their type's schema, in the order given.

    Raises `BadInput` for an integer outside int64, a text that is no Unicode or a time that is not aware
    UTC; `TypeError` where a row or a value is of another type than the row type says.
    """
    held = rows if isinstance(rows, list | tuple) else tuple(rows)
    strangers = set(map(type, held)) - {row_type}
    if strangers:
        names = ", ".join(sorted(stranger.__name__ for stranger in strangers))
        raise TypeError(f"rows of {row_type.__name__}: found {names}")
    arrays = [
        _array_of(row_type, column, list(map(attrgetter(column.name), held)))
        for column in columns_of(row_type)
    ]
    return pa.Table.from_arrays(arrays, schema=schema_of(row_type))


def rows_of(row_type: type[Row], table: pa.Table) -> tuple[Row, ...]:
    """Return a table's rows, enums and times restored.

    A table from before its row type got its last columns has their defaults in them. Raises `LakeError`
    naming column, found and expected type where the table is of another schema.
    """
    columns = columns_of(row_type)
    later = _later_columns(row_type, table.schema)
    if not later:
        require_schema(row_type, table.schema)
    values = [
        [later[column.name]] * table.num_rows
        if column.name in later
        else _values_of(row_type, column, table.column(column.name))
        for column in columns
    ]
    make = getattr(row_type, "_make", None)
    if make is not None:
        return tuple(map(make, zip(*values, strict=True)))
    names = [column.name for column in columns]
    return tuple(row_type(**dict(zip(names, cells, strict=True))) for cells in zip(*values, strict=True))


def require_schema(row_type: type[Any], found: pa.Schema) -> None:
    """Raise `LakeError` with the first column in which a schema differs from a row type's."""
    expected = schema_of(row_type)
    for field in expected:
        if field.name not in found.names:
            raise LakeError(
                f"table of {row_type.__name__}: column {field.name} is missing, expected {_named(field)}"
            )
        if not found.field(field.name).equals(field):
            raise LakeError(
                f"table of {row_type.__name__}: column {field.name} holds {_named(found.field(field.name))}, "
                f"expected {_named(field)}"
            )
    for name in found.names:
        if name not in expected.names:
            raise LakeError(
                f"table of {row_type.__name__}: column {name} holds {_named(found.field(name))}, "
                "expected no such column"
            )
    if found.names != expected.names:
        raise LakeError(
            f"table of {row_type.__name__}: columns stand in the order {', '.join(found.names)}, "
            f"expected {', '.join(expected.names)}"
        )


def _later_columns(row_type: type[Any], found: pa.Schema) -> dict[str, Any]:
    """Return the defaults of the columns that a row type got after a table was written, none otherwise.

    New columns come last and have a default; a table that differs in anything else is of another schema.
    """
    expected = schema_of(row_type)
    kept, added = expected.names[: len(found.names)], expected.names[len(found.names) :]
    defaults: dict[str, Any] = getattr(row_type, "_field_defaults", {})
    is_earlier = found.names == kept and all(found.field(name).equals(expected.field(name)) for name in kept)
    return {name: defaults[name] for name in added} if is_earlier and set(added) <= set(defaults) else {}


def _named(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def _column_of(row_type: type[Any], name: str, hint: Any) -> Column:
    nullable = False
    if get_origin(hint) in {Union, types.UnionType}:
        choices = [choice for choice in get_args(hint) if choice is not types.NoneType]
        nullable = len(choices) < len(get_args(hint))
        hint = choices[0] if len(choices) == 1 else hint
    while isinstance(hint, NewType):
        hint = hint.__supertype__
    enum = hint if isinstance(hint, type) and issubclass(hint, StrEnum) else None
    holds = str if enum else hint
    if holds not in ARROW_TYPES:
        known = ", ".join(kind.__name__ for kind in ARROW_TYPES)
        raise TypeError(
            f"row type {row_type.__name__}, field {name}: no column holds {hint!r}; "
            f"use {known}, a NewType or StrEnum of these, or one of them or None"
        )
    return Column(name=name, holds=holds, arrow=ARROW_TYPES[holds], nullable=nullable, enum=enum)


def _array_of(row_type: type[Any], column: Column, values: list[Any]) -> pa.Array:
    _refuse_other_types(row_type, column, values)
    if column.holds is datetime:
        _refuse_other_times(row_type, column, values)
    cells = [column.blank if value is None else value for value in values] if None in values else values
    known = _bits([value is not None for value in values]) if cells is not values else None
    # From buffers, since `pa.array` imports pandas on its first call: a second for every process that writes.
    return pa.Array.from_buffers(column.arrow, len(values), [known, *_buffers_of(row_type, column, cells)])


def _buffers_of(row_type: type[Any], column: Column, cells: list[Any]) -> list[pa.Buffer]:
    if column.holds is str:
        return _text_buffers(row_type, column, cells)
    if column.holds is bool:
        return [_bits(cells)]
    if column.holds is float:
        return [pa.py_buffer(np.array(cells, dtype=np.float64))]
    if column.holds is date:
        return [pa.py_buffer(np.array([day.toordinal() - EPOCH_ORDINAL for day in cells], dtype=np.int32))]
    if column.holds is datetime:
        micros = {at: (at - EPOCH) // MICROSECOND for at in set(cells)}
        return [pa.py_buffer(np.array([micros[at] for at in cells], dtype=np.int64))]
    try:
        return [pa.py_buffer(np.array(cells, dtype=np.int64))]
    except OverflowError as error:
        outside = next(number for number in cells if not -(2**63) <= number < 2**63)
        raise BadInput(f"{row_type.__name__}.{column.name} {outside}: outside int64") from error


def _text_buffers(row_type: type[Any], column: Column, cells: list[str]) -> list[pa.Buffer]:
    try:
        encoded = [cell.encode() for cell in cells]
    except UnicodeEncodeError as error:
        raise BadInput(f"{row_type.__name__}.{column.name} {error.object!r}: not Unicode text") from error
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(cell) for cell in encoded], out=offsets[1:])
    if offsets[-1] > TEXT_BYTES_MAX:
        raise BadInput(
            f"{row_type.__name__}.{column.name}: {offsets[-1]} bytes of text, at most {TEXT_BYTES_MAX}"
        )
    return [pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(encoded))]


def _bits(flags: list[bool]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.array(flags, dtype=np.bool_), bitorder="little"))


def _refuse_other_types(row_type: type[Any], column: Column, values: list[Any]) -> None:
    """Refuse what Arrow would silently convert: a float in a column of integers, a boolean, a bare text."""
    for kind in set(map(type, values)):
        if kind is types.NoneType:
            fits = column.nullable
        elif column.enum is not None:
            fits = kind is column.enum
        elif column.holds in {str, float}:
            # A member of a StrEnum is a text, NumPy's float64 is a float: nothing is lost in either.
            fits = issubclass(kind, column.holds)
        else:
            fits = kind is column.holds
        if not fits:
            expected = column.enum or column.holds
            raise TypeError(
                f"{row_type.__name__}.{column.name}: found {kind.__name__}, expected {expected.__name__}"
                f"{' or None' if column.nullable else ''}"
            )


def _refuse_other_times(row_type: type[Any], column: Column, values: list[Any]) -> None:
    for value in set(values):
        if value is not None and value.utcoffset() != timedelta(0):
            raise BadInput(f"{row_type.__name__}.{column.name} {value.isoformat()}: not an aware UTC time")


def _values_of(row_type: type[Any], column: Column, stored: pa.ChunkedArray) -> list[Any]:
    if column.holds is date:
        return _each_once(
            stored.cast(pa.int32()).to_pylist(), lambda day: date.fromordinal(day + EPOCH_ORDINAL)
        )
    if column.holds is datetime:
        return _each_once(stored.cast(pa.int64()).to_pylist(), lambda micros: EPOCH + micros * MICROSECOND)
    values: list[Any] = stored.to_pylist()
    return values if column.enum is None else _members_of(row_type, column, column.enum, values)


def _each_once(numbers: list[int | None], made: Callable[[int], Any]) -> list[Any]:
    """Return what is made of numbers, each distinct one once: a session's rows share their date and times.

    (Arrow's own way to Python's dates and times is far slower, and imports pandas.)
    """
    known: dict[int | None, Any] = {number: made(number) for number in set(numbers) if number is not None}
    return [known.get(number) for number in numbers]


def _members_of(row_type: type[Any], column: Column, enum: type[StrEnum], values: list[Any]) -> list[Any]:
    members: dict[Any, StrEnum | None] = {member.value: member for member in enum} | {None: None}
    unknown = set(values) - set(members)
    if unknown:
        raise LakeError(
            f"table of {row_type.__name__}: column {column.name} holds {min(unknown)!r}, "
            f"expected one of {', '.join(enum)}"
        )
    return [members[value] for value in values]
