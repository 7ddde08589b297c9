"""Daily bars of AAPL, IBM, MSFT, GOOG and FB from 2000-03-01 to 2013-03-01, as bokeh-sampledata ships them.

BSD-3; the stocks table is recorded there as public domain. The prices are raw, as traded. The file's
adjusted close looks ahead (a split of 2005 is in every row before it), so it never leaves this module:
it only tells where splits and dividends were.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path

from resources.market_data.bar_rows import BarRows, data_file, packaged_file, sha_of
from trading.actions import ActionKind, CorporateAction
from trading.datasets import DataFile
from trading.errors import BadQuotes
from trading.quotes import RawBar
from trading.values import MICROS, Symbol

COLUMNS = ["Ticker", "Date", "Open", "High", "Low", "Close", "Volume", "Adj Close"]

SPLIT_CHANGE_MIN = Decimal("0.2")
"""A factor that changes by more is a split: no dividend in the data is over 11 % of the price."""

DIVIDEND_CHANGE_MIN = Decimal("0.0001")
"""A factor that changes by less is rounding in the file: without this bound it makes 9,665 dividends."""

DIVIDEND_TICK = Decimal("0.0001")
"""Dividends are declared in whole cents or parts of them; the factors give them to about 1e-11."""

SPLIT_DENOMINATOR_MAX = 10


class BokehStocks:
    """Give the five clean names; implements `trading.quotes.MarketData`. Reads the file once, when asked."""

    name = "bokeh_stocks"

    def source_sha(self) -> str:
        """Return the SHA-256 of the packed file."""
        return sha_of(self._packed)

    def files(self) -> tuple[DataFile, ...]:
        """Return the one file, as the package ships it."""
        return (data_file(self._path, self._packed),)

    def sessions(self) -> tuple[date, ...]:
        """Return the 3,270 dates that have rows, ascending."""
        return self._bars.dates()

    def raw_bars(self, first: date, last: date) -> list[RawBar]:
        """Return the rows from `first` to `last`, both included."""
        return self._bars.between(first, last)

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return 3 splits and 92 cash dividends, found in the adjusted close.

        With f = adjusted close / close and k = f(t) / f(t−1): |k − 1| > 0.2 is a split of ratio k;
        1e-4 < |k − 1| ≤ 0.2 pays the ex-date's close × (k − 1), to the nearest 0.0001 (ROUND_HALF_EVEN).
        """
        return _actions_in(self._packed)

    @cached_property
    def _path(self) -> Path:
        return packaged_file("bokeh_sampledata", "_data", "stocks.csv.gz", distribution="bokeh-sampledata")

    @cached_property
    def _packed(self) -> bytes:
        return self._path.read_bytes()

    @property
    def _bars(self) -> BarRows:
        return _bars_in(self._packed)


# Once a process each, however many desks are opened in it; apart, since a row without a price has a place
# among the bars, where it is held back, and none among the actions.
@lru_cache(maxsize=1)
def _bars_in(packed: bytes) -> BarRows:
    bars = (RawBar(BokehStocks.name, line, *row[:7]) for line, row in enumerate(_rows_in(packed), start=2))
    return BarRows(bars, name=BokehStocks.name)


@lru_cache(maxsize=1)
def _actions_in(packed: bytes) -> tuple[CorporateAction, ...]:
    """Return where the factor of the adjusted close changes, and by what."""
    found = []
    last_symbol, last_factor = "", Decimal(1)
    for symbol, on, *_, close, _volume, adjusted in _rows_in(packed):
        factor = Decimal(adjusted) / Decimal(close)
        change = factor / last_factor
        if symbol == last_symbol and abs(change - 1) > DIVIDEND_CHANGE_MIN:
            found.append(_action(Symbol(symbol), date.fromisoformat(on), change, close=Decimal(close)))
        last_symbol, last_factor = symbol, factor
    return tuple(sorted(found))


@lru_cache(maxsize=1)
def _rows_in(packed: bytes) -> list[list[str]]:
    header, *rows = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    if header != COLUMNS:
        raise BadQuotes(f"bokeh-sampledata stocks.csv.gz: columns {header}, expected {COLUMNS}; see the lock")
    return rows


def _action(symbol: Symbol, on: date, change: Decimal, *, close: Decimal) -> CorporateAction:
    """Return what changed the factor: a split, or else a dividend."""
    if abs(change - 1) > SPLIT_CHANGE_MIN:
        ratio = Fraction(change).limit_denominator(SPLIT_DENOMINATOR_MAX)
        return CorporateAction(
            effective_on=on,
            symbol=symbol,
            kind=ActionKind.SPLIT,
            numerator=ratio.numerator,
            denominator=ratio.denominator,
        )
    paid = (close * (change - 1)).quantize(DIVIDEND_TICK, ROUND_HALF_EVEN)
    return CorporateAction(
        effective_on=on, symbol=symbol, kind=ActionKind.DIVIDEND, dividend_micros=int(paid * MICROS)
    )
