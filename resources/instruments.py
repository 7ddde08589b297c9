"""Read the reviewed names of instruments from `config/instruments.toml`, and translate those of a source.

What a name means is trading/instruments.py. Light on purpose: the command line reads it too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from trading.actions import CorporateAction
from trading.datasets import DataFile
from trading.errors import BadSetting
from trading.instruments import Instrument, Instruments, Name, UnknownInstrument, spelled
from trading.quality import Fault, read_date
from trading.quotes import MarketData, RawBar
from trading.values import Symbol

FILE = "instruments.toml"

_KEYS = {"market", "symbol", "reason", "names", "delisted_on"}
_NAME_KEYS = {"name", "from", "until"}

OTHERS = "?"
"""Put behind a name that is somebody else's now, so that the row is quarantined and a person looks."""


@lru_cache(maxsize=16)
def load_instruments(path: Path, market: str | None = None) -> Instruments:
    """Return the reviewed instruments of a market, of all of them without one; none where there is no file.

    Raises `BadSetting` naming file, section, key and rule.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Instruments()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path}: {error}") from error
    if set(content) - {"instruments"}:
        raise BadSetting(f"{path}: known is [[instruments]], found {', '.join(content)}")
    sections = content.get("instruments", [])
    listed = [_instrument(section, f"{path} [instruments {at}]") for at, section in enumerate(sections, 1)]
    try:
        return Instruments(listed=tuple(found for of, found in listed if market in {None, of}))
    except ValueError as error:
        raise BadSetting(f"{path}: {error}") from error


class Translated:
    """Give a source's rows and actions by the symbols they are stored under; a `trading.quotes.MarketData`."""

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


def _instrument(section: Any, where: str) -> tuple[str, Instrument]:
    _refuse_other_keys(section, _KEYS, where)
    for key in ("market", "symbol", "reason", "names"):
        if not section.get(key):
            raise BadSetting(f"{where} {key}: missing")
    names = [_name(entry, f"{where} names {at}") for at, entry in enumerate(section["names"], 1)]
    delisted_on = section.get("delisted_on")
    try:
        instrument = Instrument(
            symbol=_spelt(section["symbol"], f"{where} symbol"),
            names=tuple(names),
            delisted_on=delisted_on,
        )
    except (ValueError, TypeError) as error:
        raise BadSetting(f"{where}: {error}") from error
    return str(section["market"]), instrument


def _name(entry: Any, where: str) -> Name:
    _refuse_other_keys(entry, _NAME_KEYS, where)
    for key in ("from", "until"):
        if key in entry and type(entry[key]) is not date:
            raise BadSetting(f"{where} {key} = {entry[key]!r}: must be a date")
    return Name(
        name=_spelt(entry.get("name", ""), f"{where} name"), since=entry.get("from"), until=entry.get("until")
    )


def _spelt(text: Any, where: str) -> Symbol:
    """Return a name of the file; raises `BadSetting` where it is not written in its one notation."""
    if not isinstance(text, str) or not text or spelled(text) != text:
        shown = spelled(text) if isinstance(text, str) else "a text"
        raise BadSetting(f"{where} = {text!r}: write it as {shown or 'a name'}")
    return Symbol(text)


def _refuse_other_keys(section: Any, known: Iterable[str], where: str) -> None:
    if not isinstance(section, Mapping):
        raise BadSetting(f"{where}: must be a section with keys")
    others = sorted(set(section) - set(known))
    if others:
        raise BadSetting(f"{where} {others[0]}: nothing reads it; known are {', '.join(sorted(known))}")
