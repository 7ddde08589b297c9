"""Read the reviewed names of instruments from `config/instruments.toml`.

What a name means is trading/instruments.py; a source is translated in market_data/translated.py. Light on
purpose: the command line reads it too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from trading.errors import BadSetting
from trading.instruments import Instrument, Instruments, Name, spelled
from trading.values import Symbol

FILE = "instruments.toml"

_KEYS = {"market", "symbol", "reason", "names", "delisted_on"}
_NAME_KEYS = {"name", "from", "until"}


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
