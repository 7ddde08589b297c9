"""A source whose instruments are called by the symbols they are stored under, whatever it calls them itself.

What a name means is trading/instruments.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from trading.actions import CorporateAction
from trading.datasets import DataFile
from trading.instruments import Instruments, UnknownInstrument, spelled
from trading.quality import Fault, read_date
from trading.quotes import MarketData, RawBar
from trading.values import Symbol

OTHERS = "?"
"""Put behind a name that is somebody else's now, so that the row is quarantined and a person looks."""


class Translated:
    """Give a source's rows and actions by the symbols they are stored under; a `MarketData`."""

    def __init__(self, source: MarketData, instruments: Instruments) -> None:
        """Translate every name of a source by the reviewed instruments of its market."""
        self.name = source.name
        self._source = source
        self._instruments = instruments
        self._plain: dict[str, Symbol | None] = {}

    def source_sha(self) -> str:
        """Return the SHA-256 of what the source holds."""
        return self._source.source_sha()

    def files(self) -> tuple[DataFile, ...]:
        """Return the files that the source reads."""
        return self._source.files()

    def sessions(self) -> tuple[date, ...]:
        """Return the dates that have rows."""
        return self._source.sessions()

    def raw_bars(self, first: date, last: date) -> list[RawBar]:
        """Return the rows of some dates, each under its instrument's symbol."""
        return [self._row(row) for row in self._source.raw_bars(first, last)]

    def actions(self) -> tuple[CorporateAction, ...]:
        """Return all corporate actions, each under its instrument's symbol."""
        return tuple(
            sorted(
                replace(action, symbol=self._instruments.symbol_of(action.symbol, action.effective_on))
                for action in self._source.actions()
            )
        )

    def _row(self, row: RawBar) -> RawBar:
        if row.symbol not in self._plain:
            name, written = spelled(row.symbol), Symbol(row.symbol)
            # A row keeps its text where only spaces differ: it is told apart by it.
            kept = written if name == row.symbol.strip() else name
            self._plain[row.symbol] = None if self._instruments.knows(name) else kept
        symbol = self._plain[row.symbol]
        if symbol is None:
            on = read_date(row.session)
            if isinstance(on, Fault):
                return row  # it will be quarantined whatever it is called
            try:
                symbol = self._instruments.symbol_of(row.symbol, on)
            except UnknownInstrument:
                symbol = Symbol(row.symbol + OTHERS)
            if symbol == row.symbol.strip():
                return row
        return row if symbol == row.symbol else row._replace(symbol=symbol)
