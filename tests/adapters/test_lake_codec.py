"""Rows ↔ tables: exact both ways, and strict about what a table holds."""

import subprocess
import sys
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import NamedTuple, NewType

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.lake.codec import columns_of, rows_of, schema_of, table_of
from trading.errors import BadInput, LakeError

Name = NewType("Name", str)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Everything(NamedTuple):
    name: Name
    colour: Colour
    number: int
    share: float
    flag: bool
    on: date
    at: datetime
    maybe_name: Name | None
    maybe_colour: Colour | None
    maybe_number: int | None
    maybe_share: float | None
    maybe_flag: bool | None
    maybe_on: date | None
    maybe_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    name: Name
    colour: Colour = Colour.RED
    at: datetime | None = None


class Small(NamedTuple):
    name: str
    number: int


VALUES = {
    "name": st.text(),
    "colour": st.sampled_from(Colour),
    "number": st.integers(-(2**63), 2**63 - 1),
    "share": st.floats(allow_nan=False),
    "flag": st.booleans(),
    "on": st.dates(),
    "at": st.datetimes(timezones=st.just(UTC)),
}
ROWS = st.builds(
    Everything,
    **VALUES,
    **{f"maybe_{name}": values | st.none() for name, values in VALUES.items()},
)


@given(st.lists(ROWS, max_size=12))
def test_what_was_written_is_what_is_read(rows):
    table = table_of(Everything, rows)

    back = rows_of(Everything, table)
    assert back == tuple(rows)
    assert [[type(cell) for cell in row] for row in back] == [[type(cell) for cell in row] for row in rows]
    assert table.validate(full=True) is None


@given(st.lists(st.builds(Kept, name=VALUES["name"], colour=VALUES["colour"], at=VALUES["at"] | st.none())))
def test_dataclasses_are_rows_as_well(rows):
    assert rows_of(Kept, table_of(Kept, rows)) == tuple(rows)


@given(st.lists(ROWS, max_size=12), st.integers(0, 12))
def test_a_part_of_a_table_and_tables_put_together_read_as_their_rows(rows, cut):
    table = table_of(Everything, rows)

    assert rows_of(Everything, table.slice(cut)) == tuple(rows[cut:])
    assert rows_of(Everything, pa.concat_tables([table, table])) == (*rows, *rows)


def test_a_float_keeps_every_bit_not_a_number_and_negative_zero_too():
    class Measured(NamedTuple):
        measure: float

    table = table_of(Measured, [Measured(float("nan")), Measured(-0.0), Measured(0.1 + 0.2)])

    assert [row.measure.hex() for row in rows_of(Measured, table)] == ["nan", "-0x0.0p+0", (0.1 + 0.2).hex()]


def test_the_schema_says_types_and_which_columns_may_be_empty():
    schema = schema_of(Everything)

    assert [str(schema.field(name).type) for name in VALUES] == [
        "string",
        "string",
        "int64",
        "double",
        "bool",
        "date32[day]",
        "timestamp[us, tz=UTC]",
    ]
    assert [schema.field(name).nullable for name in VALUES] == [False] * 7
    assert [schema.field(f"maybe_{name}").nullable for name in VALUES] == [True] * 7


@pytest.mark.parametrize(
    "held", [list[str], dict[str, int], bytes, object, int | str, timedelta, tuple[int, int]]
)
def test_a_field_that_no_column_can_hold_is_refused(held):
    class Strange(NamedTuple):
        field: held

    with pytest.raises(TypeError, match="row type Strange, field field: no column holds"):
        columns_of(Strange)


@pytest.mark.parametrize("kind", [int, NamedTuple("empty", [])])
def test_a_type_without_fields_is_no_row_type(kind):
    with pytest.raises(TypeError, match=r"neither a NamedTuple nor a dataclass|has no fields"):
        columns_of(kind)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_integer_that_does_not_fit_is_named(number):
    with pytest.raises(BadInput, match=f"Small.number {number}: outside int64"):
        table_of(Small, [Small("A", 1), Small("B", number)])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Small("A", 1.0), "Small.number: found float, expected int"),
        (Small("A", True), "Small.number: found bool, expected int"),
        (Small("A", None), "Small.number: found NoneType, expected int"),
        (Small(7, 1), "Small.name: found int, expected str"),
        (("A", 1), "rows of Small: found tuple"),
    ],
)
def test_a_value_of_another_type_is_never_converted(row, told):
    with pytest.raises(TypeError, match=told):
        table_of(Small, [row])


def test_a_text_is_no_member_of_an_enum():
    with pytest.raises(TypeError, match=r"Kept\.colour: found str, expected Colour"):
        table_of(Kept, [Kept(name="A", colour="red")])


def test_text_that_is_not_unicode_is_refused():
    with pytest.raises(BadInput, match=r"Small.name '\\ud800': not Unicode text"):
        table_of(Small, [Small("\ud800", 1)])


@pytest.mark.parametrize(
    "at",
    [datetime(2013, 2, 28, 21), datetime(2013, 2, 28, 16, tzinfo=timezone(-timedelta(hours=5)))],  # noqa: DTZ001 - a naive time is the case
)
def test_a_time_that_is_not_aware_utc_is_refused(at):
    with pytest.raises(BadInput, match="not an aware UTC time"):
        table_of(Kept, [Kept(name="A", at=at)])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"name": pa.array(["A"])}, "column number is missing, expected int64 not null"),
        (
            {"name": pa.array(["A"]), "number": pa.array([1.5])},
            "column number holds double not null, expected int64 not null",
        ),
        (
            {"name": pa.array(["A"]), "number": pa.array([1]), "extra": pa.array([1])},
            "column extra holds int64 not null, expected no such column",
        ),
        ({"number": pa.array([1]), "name": pa.array(["A"])}, "columns stand in the order number, name"),
    ],
)
def test_a_table_of_another_schema_is_refused_by_its_first_wrong_column(columns, told):
    schema = pa.schema([pa.field(name, cells.type, nullable=False) for name, cells in columns.items()])

    with pytest.raises(LakeError, match=f"table of Small: {told}"):
        rows_of(Small, pa.table(columns, schema=schema))


class Grown(NamedTuple):
    name: str
    number: int
    grade: int | None = None
    why: str = ""


def test_a_table_from_before_its_last_columns_has_their_defaults_in_them():
    earlier = table_of(Small, [Small("A", 1), Small("B", 2)])

    assert rows_of(Grown, earlier) == (Grown("A", 1), Grown("B", 2))
    assert rows_of(Grown, table_of(Grown, [Grown("C", 3, 4, "w")])) == (Grown("C", 3, 4, "w"),)


def test_only_columns_that_came_last_and_have_a_default_may_be_missing():
    table = table_of(Grown, [Grown("C", 3, 4, "w")])

    with pytest.raises(LakeError, match="column number is missing"):
        rows_of(Grown, table.select(["name"]))
    with pytest.raises(LakeError, match="column grade is missing"):
        rows_of(Grown, table.select(["name", "number", "why"]))
    retyped = table.select(["name", "number"]).set_column(0, pa.field("name", pa.string()), pa.array(["C"]))
    with pytest.raises(LakeError, match="column name holds string, expected string not null"):
        rows_of(Grown, retyped)


def test_an_empty_cell_in_a_column_that_has_none_is_refused():
    with pytest.raises(LakeError, match="column number holds int64, expected int64 not null"):
        rows_of(
            Small,
            pa.table(
                {"name": ["A"], "number": pa.array([None], pa.int64())},
                schema=pa.schema(
                    [pa.field("name", pa.string(), nullable=False), pa.field("number", pa.int64())]
                ),
            ),
        )


def test_an_unknown_member_of_an_enum_is_refused_by_name():
    table = table_of(Kept, [Kept(name="A")])
    changed = table.set_column(1, table.schema.field("colour"), pa.array(["green"]))

    with pytest.raises(LakeError, match="column colour holds 'green', expected one of red, blue"):
        rows_of(Kept, changed)


def test_no_column_of_the_row_type_is_left_out():
    assert schema_of(Kept).names == [field.name for field in fields(Kept)]


def test_rows_are_written_and_read_without_importing_pandas():
    script = (
        "import sys\n"
        "from datetime import date\n"
        "from resources.lake.codec import rows_of, table_of\n"
        "from trading.actions import ActionKind, CorporateAction\n"
        "rows = (CorporateAction(effective_on=date(2005, 2, 28), symbol='A', kind=ActionKind.SPLIT),)\n"
        "assert rows_of(CorporateAction, table_of(CorporateAction, rows)) == rows\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
