"""Rows of the lake's tables as a page or a verb looks them up: what cannot answer is said by its name."""

from __future__ import annotations

import pyarrow as pa
import pytest

from console.lake_pointers import LakePointers
from console.lake_rows import rows_found
from resources.lake.store import Lake
from trading.errors import LakeError

SESSION = "2013-02-28"


def test_a_table_that_cannot_answer_is_named_with_what_to_do(tmp_path):
    Lake(str(tmp_path)).write(("us_five", "candidates"), SESSION, pa.table({"odd": [1]}))
    lake = LakePointers(str(tmp_path))
    state = lake.state("us_five", "candidates", SESSION)

    with pytest.raises(LakeError, match=r"us_five/candidates.*: cannot be read \(.*symbol.*\); materialize"):
        rows_found(lake, [state], "find_candidate", symbol="IBM")
