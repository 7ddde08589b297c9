"""Money, prices, quantities, sides and digests: the words everything else is said in.

Exact for what is owed: int64 micro-units of the currency in columns and rules, `Decimal` at the edges.
Not here: sessions (sessions.py), bars (quotes.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NewType

from trading.errors import BadInput

MICROS = 1_000_000
"""Micro-units in one unit of a currency."""

MICROS_DECIMALS = 6
MICROS_MAX = 2**63 - 1
"""The largest amount that fits a column: over nine trillion units of a currency."""

AMOUNT_DIGITS_MAX = 12
"""Power of ten of that amount."""

NOTIONAL_MICROS_MAX = 2**62 - 1
"""The most that price × quantity may be in micro-units, so that sums of two still fit int64."""

Symbol = NewType("Symbol", str)
IntentKey = NewType("IntentKey", str)
IntentId = NewType("IntentId", str)
ClientOrderId = NewType("ClientOrderId", str)


class Side(StrEnum):
    """Say which way an order goes."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """Say how an order is priced."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """Say how long an order lives: at the open or the close only, for the session, until it is cancelled.

    `ioc` takes what it gets at once and `fok` all or nothing.
    """

    OPG = "opg"
    DAY = "day"
    GTC = "gtc"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class Slot(StrEnum):
    """Say what an intent is for; the closed list is part of its identity."""

    REBALANCE = "rebalance"
    STOP = "stop"
    FLATTEN = "flatten"


def micros_from_text(text: str) -> int:
    """Return micro-units of a decimal number written as text.

    Raises `BadInput` for what is not a finite decimal, has more than six decimals or does not fit int64.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise BadInput(f"amount {text!r}: not a decimal number") from error
    if not amount.is_finite():
        raise BadInput(f"amount {text!r}: not a finite number")
    sign, digits, exponent = amount.as_tuple()
    written = "".join(map(str, digits))
    significant = written.rstrip("0")
    if not significant:
        return 0
    # Sizes are compared before the number is written out: an exponent of a billion is a short text too.
    shift = int(exponent) + len(written) - len(significant) + MICROS_DECIMALS
    if shift < 0:
        raise BadInput(f"amount {text!r}: more than six decimals")
    if amount.adjusted() > AMOUNT_DIGITS_MAX or (micros := int(significant + "0" * shift)) > MICROS_MAX:
        raise BadInput(f"amount {text!r}: too large for 64-bit micro-units")
    return -micros if sign else micros


def amount_from_micros(micros: int) -> Decimal:
    """Return the exact decimal amount of micro-units."""
    return Decimal(micros) / MICROS


def notional_micros(*, price_micros: int, quantity: int) -> int:
    """Return price × quantity in micro-units; raises `BadInput` where it would not fit a column."""
    notional = price_micros * quantity
    if abs(notional) > NOTIONAL_MICROS_MAX:
        raise BadInput(
            f"notional of {quantity} at {amount_from_micros(price_micros)}: 2^62 micro-units or more"
        )
    return notional


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Hold an exact amount of one currency; unlike currencies never add."""

    micros: int
    currency: str

    def __add__(self, other: Money) -> Money:
        """Return the sum; raises `ValueError` on another currency."""
        if self.currency != other.currency:
            raise ValueError(f"{self} + {other}: currencies differ")
        return Money(micros=self.micros + other.micros, currency=self.currency)

    def __str__(self) -> str:
        """Return `1,234.50 USD`, cents shown (ROUND_HALF_EVEN)."""
        return (
            f"{amount_from_micros(self.micros).quantize(Decimal('0.01'), ROUND_HALF_EVEN):,} {self.currency}"
        )


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value of strings, integers, booleans, None, lists and mappings.

    Floats are refused, since their text is a choice: write them as rounded text first.
    """
    _refuse_floats(value)
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of a value's canonical JSON."""
    return digest_of_text(canonical_json(value))


def digest_of_text(written: str) -> str:
    """Return the SHA-256 (hex) of a text: of a value's canonical JSON where it was written already."""
    return hashlib.sha256(written.encode()).hexdigest()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_PLAIN = frozenset({str, int, bool, type(None)})
"""The types that hold no float: most of what is written, so they are passed over together."""


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError(f"float {value!r} in canonical JSON: write it as rounded text")
    if isinstance(value, dict):
        _refuse_floats_in(value)
        _refuse_floats_in(value.values())
    elif isinstance(value, list | tuple):
        _refuse_floats_in(value)


def _refuse_floats_in(values: Collection[Any]) -> None:
    if not _PLAIN.issuperset(map(type, values)):
        for value in values:
            if type(value) not in _PLAIN:
                _refuse_floats(value)
