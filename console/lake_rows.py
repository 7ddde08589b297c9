"""Some rows of the lake's tables, by DuckDB in memory: quicker to start than Parquet's own library.

Each file is checked by its name before it is read. The questions are in sql/, one file each; whole tables as
rows are resources/lake/store.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console.lake_pointers import LakePointers, TableState
from trading.errors import LakeError

SQL = Path(__file__).parent / "sql"


def rows_found(
    lake: LakePointers, states: Sequence[TableState], question: str, **bound: str
) -> list[dict[str, Any]]:
    """Return what a question finds in tables, one dict a row; none in no table.

    Raises `LakeError` where a file is missing, its content is not what it is named by, or it is no table that
    can answer the question.
    """
    filled = [state for state in states if state.rows]
    if not filled:
        return []
    import duckdb

    with _files(lake, filled) as files, duckdb.connect(":memory:", config={"threads": 1}) as connection:
        text = (SQL / f"{question}.sql").read_text(encoding="utf-8")
        try:
            found = connection.execute(text, {"files": files, **bound})
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        except duckdb.Error as error:
            told = str(error).split("\n", maxsplit=1)[0]
            raise LakeError(
                f"{lake.path(filled[0])}: cannot be read ({told}); materialize its session again"
            ) from error


@contextmanager
def _files(lake: LakePointers, states: Sequence[TableState]) -> Iterator[list[str]]:
    """Give the paths of checked files; those of an object store are copied for as long as they are read."""
    contents = [(state, lake.content(state)) for state in states]
    if lake.is_local:
        yield [lake.path(state) for state, _ in contents]
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = [
            (Path(folder) / f"{number}.parquet", content) for number, (_, content) in enumerate(contents)
        ]
        for path, content in copies:
            path.write_bytes(content)
        yield [str(path) for path, _ in copies]
