"""The shape of what a replay leaves behind."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from trading.replayed import COLUMNS, Replayed, table_of

DAY = date(2010, 1, 4)


def test_a_table_is_made_of_rows_with_the_types_of_its_columns() -> None:
    table = table_of("marks", [(DAY, "IBM", 130_000_000), (DAY, "AAPL", 210_000_000)])
    assert {name: str(values.dtype) for name, values in table.items()} == {
        "session": "datetime64[D]",
        "symbol": "<U16",
        "price_micros": "int64",
    }
    assert table["symbol"].tolist() == ["IBM", "AAPL"]


def test_a_table_of_no_rows_keeps_its_columns() -> None:
    assert [len(values) for values in table_of("fills", []).values()] == [0] * len(COLUMNS["fills"])


def test_a_text_is_refused_and_never_cut() -> None:
    with pytest.raises(ValueError, match=r"marks\.symbol: a text of more than 16"):
        table_of("marks", [(DAY, "X" * 17, 1)])


@pytest.mark.parametrize("broken", ["missing table", "other dtype", "uneven"])
def test_what_does_not_have_the_shape_is_refused(broken: str) -> None:
    tables = {name: table_of(name, []) for name in COLUMNS}
    if broken == "missing table":
        del tables["fills"]
    elif broken == "other dtype":
        tables["marks"]["price_micros"] = np.array([], dtype="float64")
    else:
        tables["marks"]["price_micros"] = np.array([1], dtype="int64")
    with pytest.raises(ValueError, match=r"tables|expected int64|different lengths"):
        Replayed(book="us_five", currency="USD", opening_micros=0, tables=tables)
