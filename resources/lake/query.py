"""Ad-hoc reading: DuckDB in memory over the current tables of the lake. Never a shared database file.

Not here: what a decision reads (window.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from resources.lake.store import AssetPath, Lake
from trading.errors import BadInput, LakeError

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Open a connection: `duckdb.connect`, or in Dagster `DuckDBResource(database=":memory:").get_connection`."""

PARTITION = "partition"
"""The column that every table gets beside its own: the key of the partition that the row is from."""

_SQL = Path(__file__).with_name("sql")


def query(
    lake: Lake,
    sql: str,
    *,
    tables: Mapping[str, AssetPath],
    parameters: Mapping[str, Any] | None = None,
    first: str | None = None,
    last: str | None = None,
    connect: Connect = duckdb.connect,
) -> pa.Table:
    """Return the result of one query over current tables, each verified, under the names given.

    `first` and `last` bound the partitions read, both included; values are bound as `$name`. The query
    sees these tables and nothing else: no files, no network. Raises `LakeError` where nothing is
    materialized, `BadInput` with DuckDB's words where the query is wrong.
    """
    with connect() as connection:
        connection.execute("set python_enable_replacements = false; set enable_external_access = false")
        for name, asset in tables.items():
            connection.register(name, _current(lake, asset, first=first, last=last))
        try:
            result = connection.sql(sql, params=dict(parameters or {}))
            if result is None:
                raise BadInput(f"query {sql.strip()[:60]!r}: asks for nothing; write a select")
            return result.to_arrow_table()
        except duckdb.Error as error:
            told = str(error).split("\n\n")[0].replace("\n", " ")
            raise BadInput(f"query: {told}") from error


def price_history(lake: Lake, *, book: str, symbol: str, first: date, last: date) -> pa.Table:
    """Return a symbol's accepted daily bars, unadjusted, in micro-units, by session; both ends included."""
    return query(
        lake,
        (_SQL / "read_price_history.sql").read_text(encoding="utf-8"),
        tables={"quotes": (book, "market_quotes")},
        parameters={"symbol": symbol},
        first=first.isoformat(),
        last=last.isoformat(),
    )


def _current(lake: Lake, asset: AssetPath, *, first: str | None, last: str | None) -> pa.Table:
    keys = [
        key
        for key in lake.partitions(asset)
        if (first is None or first <= key) and (last is None or key <= last)
    ]
    tables = [_marked(lake.read(asset, key)[0], key) for key in keys]
    if lake.pointer(asset, None) is not None:
        tables.append(lake.read(asset, None)[0])
    if not tables:
        bounds = (
            "" if first is None and last is None else f" from {first or 'its start'} to {last or 'its end'}"
        )
        raise LakeError(f"{'/'.join(asset)}: nothing is materialized{bounds}; materialize it first")
    try:
        return pa.concat_tables(tables, promote_options="default")
    except pa.ArrowException as error:
        raise LakeError(
            f"{'/'.join(asset)}: its partitions differ in schema ({error}); re-materialize the older ones"
        ) from error


def _marked(table: pa.Table, key: str) -> pa.Table:
    if PARTITION in table.column_names:
        return table
    return table.append_column(PARTITION, pa.repeat(pa.scalar(key), table.num_rows))
