"""Instruments and their names: one instrument, several notations, and a name that changes or is used again.

An instrument keeps one symbol in everything that is stored: the book, the journal and the lake never rename.
What others call it depends on the day, and is translated where it comes in. The reviewed names are
`config/instruments.toml`, read by resources/instruments.py; a name that is not in it is its own symbol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from trading.errors import BadInput
from trading.values import Symbol

_SHARE_CLASS = re.compile(r"([A-Z]{1,5})[./\- ]([A-Z])")
"""A share class in any notation: BRK.B, BRK/B, BRK-B, BRK B."""

_KOREAN = re.compile(r"A?(\d{6})")
"""A Korean short code, with or without the A that some feeds put before it."""


class UnknownInstrument(BadInput):
    """Name what was one instrument's name and is now somebody else's, whom nobody has reviewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """Hold what an instrument is called from one date to another, both included; `None` is without an end."""

    name: Symbol
    since: date | None = None
    until: date | None = None

    def is_used(self, on: date) -> bool:
        """Say whether the name is in use on a date."""
        return (self.since is None or self.since <= on) and (self.until is None or on <= self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """Hold one instrument of a market: the symbol it is stored under for good, and its names by date.

    After `delisted_on` it has no name any more: its last one may be another's. What its holders are paid is a
    corporate action (actions.py).
    """

    symbol: Symbol
    names: tuple[Name, ...]
    delisted_on: date | None = None

    def __post_init__(self) -> None:
        """Refuse an instrument with no name, with two names on one day, or one after its end."""
        if not self.names:
            raise ValueError(f"{self.symbol}: has no name")
        for earlier, later in zip(self.names, self.names[1:], strict=False):
            if earlier.until is None or later.since is None or later.since <= earlier.until:
                raise ValueError(
                    f"{self.symbol}: {earlier.name} and {later.name} are both its name on one day"
                )
        for name in self.names:
            if name.since is not None and name.until is not None and name.until < name.since:
                raise ValueError(
                    f"{self.symbol}: {name.name} ends {name.until}, before it begins {name.since}"
                )
        last = self.names[-1].until
        if self.delisted_on is not None and (last is None or last > self.delisted_on):
            raise ValueError(f"{self.symbol}: is delisted on {self.delisted_on}, and has a name after it")

    def name_on(self, on: date) -> Symbol | None:
        """Return what it is called on a date, `None` where it is not listed under any name."""
        return next((name.name for name in self.names if name.is_used(on)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """Hold the reviewed instruments of one market; everything else is called by its own symbol."""

    listed: tuple[Instrument, ...] = ()

    def __post_init__(self) -> None:
        """Refuse one symbol for two instruments, and one name for two on the same day."""
        symbols = [instrument.symbol for instrument in self.listed]
        for symbol in symbols:
            if symbols.count(symbol) > 1:
                raise ValueError(f"{symbol}: is the symbol of two instruments; one of them needs another")
        for number, one in enumerate(self.listed):
            for other in self.listed[number + 1 :]:
                shared = _shared_name(one, other)
                if shared:
                    raise ValueError(
                        f"{shared}: is the name of {one.symbol} and of {other.symbol} on one day"
                    )

    def knows(self, name: str) -> bool:
        """Say whether a name, in its one notation, was ever a reviewed instrument's, or is its symbol."""
        return any(
            name == instrument.symbol or any(name == known.name for known in instrument.names)
            for instrument in self.listed
        )

    def symbol_of(self, text: str, on: date) -> Symbol:
        """Return the symbol under which what is called so on a date is stored.

        A name that no reviewed instrument has on that day stands for itself. Raises `UnknownInstrument` where
        it is the symbol of a reviewed one that is called otherwise by then: somebody else uses it now, and
        its prices must not continue the old ones.
        """
        name = spelled(text)
        for instrument in self.listed:
            if instrument.name_on(on) == name:
                return instrument.symbol
        if any(instrument.symbol == name for instrument in self.listed):
            raise UnknownInstrument(
                f"{name} on {on}: is not the {name} of config/instruments.toml, which is not called so then; "
                "review whose name it is, and give it a symbol of its own"
            )
        return name

    def name_of(self, symbol: Symbol, on: date) -> Symbol | None:
        """Return what an instrument is called on a date, `None` where it is not listed then."""
        for instrument in self.listed:
            if instrument.symbol == symbol:
                return instrument.name_on(on)
        return symbol


def spelled(text: str) -> Symbol:
    """Return a name in its one notation: a share class behind a point, a Korean code without its A."""
    name = text.strip()
    if match := _SHARE_CLASS.fullmatch(name):
        return Symbol(f"{match[1]}.{match[2]}")
    if match := _KOREAN.fullmatch(name):
        return Symbol(match[1])
    return Symbol(name)


def _shared_name(one: Instrument, other: Instrument) -> str:
    """Return a name that two instruments have on one day, empty where there is none."""
    for left in one.names:
        for right in other.names:
            if left.name == right.name and _overlap(left, right):
                return left.name
    return ""


def _overlap(left: Name, right: Name) -> bool:
    begins = max(left.since or date.min, right.since or date.min)
    ends = min(left.until or date.max, right.until or date.max)
    return begins <= ends
