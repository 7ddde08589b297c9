"""What a replay leaves behind, as columns: each session, intent, verdict, fill, position and mark.

One shape for whoever makes it (the session step, the compiled kernel) and for whoever reads it (scorecards,
promotion, detectors, the artefacts). Money in int64 micro-units, quantities in shares; a `sign` is +1 for a
buy and −1 for a sale. Rows are in the order of sessions and, within one, in the order of events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.generic]]
"""Equally long arrays by name: one table."""

SESSION, SYMBOL, KEY, TEXT, INT, BITS = "datetime64[D]", "U16", "U64", "U64", "int64", "uint64"

COLUMNS: Mapping[str, Mapping[str, str]] = {
    # `gross_micros` and `net_micros` are the positions' worth at the close; `traded_micros` the notional of
    # fills and `slippage_micros` what their prices cost against the opens; the last three are of the session.
    "sessions": {
        "session": SESSION,
        "equity_micros": INT,
        "cash_micros": INT,
        "gross_micros": INT,
        "net_micros": INT,
        "intents": INT,
        "blocked": INT,
        "fills": INT,
        "traded_micros": INT,
        "commission_micros": INT,
        "slippage_micros": INT,
        "dividend_micros": INT,
    },
    # `price_micros` is the reference an intent was sized on; `outcome` that of its decision.
    "intents": {
        "session": SESSION,
        "intent_key": KEY,
        "symbol": SYMBOL,
        "strategy": TEXT,
        "sign": INT,
        "quantity": INT,
        "price_micros": INT,
        "outcome": TEXT,
    },
    # Bit g of `passed` is set where guard g of `trading.guards.GUARDS` passed; `largest_quantity` is the
    # smallest of what they let through.
    "verdicts": {"session": SESSION, "intent_key": KEY, "passed": BITS, "largest_quantity": INT},
    # Each verdict that did not pass, in full; `at_send` 1 where it was the second look at the open.
    "refusals": {
        "session": SESSION,
        "intent_key": KEY,
        "symbol": SYMBOL,
        "guard": TEXT,
        "reason": TEXT,
        "observed": INT,
        "limit": INT,
        "largest_quantity": INT,
        "at_send": INT,
    },
    "fills": {
        "session": SESSION,
        "intent_key": KEY,
        "symbol": SYMBOL,
        "sign": INT,
        "quantity": INT,
        "price_micros": INT,
        "open_micros": INT,
        "commission_micros": INT,
    },
    # After the session; `price_micros` is the mark.
    "positions": {
        "session": SESSION,
        "symbol": SYMBOL,
        "quantity": INT,
        "cost_micros": INT,
        "price_micros": INT,
    },
    # What every symbol that was held or quoted is valued at after the session.
    "marks": {"session": SESSION, "symbol": SYMBOL, "price_micros": INT},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Hold the tables of one replay, each with the columns and dtypes of `COLUMNS`.

    `opening_micros` is what the book was worth before the first session. A light replay leaves every table
    but `sessions` and `fills` empty. Raises `ValueError` for a table or column that is missing, unknown, of
    another dtype or length.
    """

    book: str
    currency: str
    opening_micros: int
    tables: Mapping[str, Columns]

    def __post_init__(self) -> None:
        """Hold the tables to their columns."""
        if set(self.tables) != set(COLUMNS):
            raise ValueError(f"tables {sorted(self.tables)}: expected {sorted(COLUMNS)}")
        for name, table in self.tables.items():
            if list(table) != list(COLUMNS[name]):
                raise ValueError(f"table {name}: columns {list(table)}, expected {list(COLUMNS[name])}")
            for column, expected in COLUMNS[name].items():
                if table[column].dtype != np.dtype(expected):
                    raise ValueError(f"{name}.{column}: {table[column].dtype}, expected {expected}")
            if len({len(values) for values in table.values()}) > 1:
                raise ValueError(f"table {name}: columns of different lengths")

    def __getitem__(self, table: str) -> Columns:
        """Return a table by name."""
        return self.tables[table]


def table_of(name: str, rows: list[tuple[object, ...]]) -> Columns:
    """Return rows in the order of a table's columns as it; raises `ValueError` for a text too long."""
    columns = COLUMNS[name]
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    made: Columns = {}
    for (column, dtype), held in zip(columns.items(), values, strict=True):
        texts = dtype.startswith("U")
        if texts and max((len(str(each)) for each in held), default=0) > int(dtype[1:]):
            raise ValueError(f"{name}.{column}: a text of more than {dtype[1:]} characters")
        made[column] = np.array(held, dtype=dtype)
    return made
