"""Intents: what the rules want, sized. Identity says *what was decided about*; the payload says what.

How targets become intents is allocation.py; what guards say of them is guards.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any

from trading.values import (
    ClientOrderId,
    IntentId,
    IntentKey,
    OrderType,
    Side,
    Slot,
    Symbol,
    TimeInForce,
    digest,
    notional_micros,
)

INTENT_SCHEMA = 1
"""Version of the payload; a stored payload of another version is read by its own rules."""

CLIENT_ORDER_ID_PREFIX = "ta-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Hold one sized wish of a book for a session.

    `price_micros` is the reference it was sized on (the last close in today's shares), not a limit.
    `quantity` is in shares and positive; the side gives the direction.
    """

    book: str
    strategy: str
    strategy_version: str
    session: date
    symbol: Symbol
    slot: Slot
    side: Side
    quantity: int
    price_micros: int
    currency: str
    order_type: OrderType
    time_in_force: TimeInForce
    rationale: str

    def __post_init__(self) -> None:
        """Refuse a quantity or price that is not positive."""
        if self.quantity <= 0:
            raise ValueError(f"quantity {self.quantity} {self.symbol}: an intent trades at least one share")
        if self.price_micros <= 0:
            raise ValueError(f"price {self.price_micros} {self.symbol}: an intent needs a positive reference")

    @property
    def intent_key(self) -> IntentKey:
        """Return what was decided about: the same in every lane and account."""
        return intent_key_of(
            book=self.book, strategy=self.strategy, session=self.session, symbol=self.symbol, slot=self.slot
        )

    @property
    def notional_micros(self) -> int:
        """Return price × quantity in micro-units."""
        return notional_micros(price_micros=self.price_micros, quantity=self.quantity)

    def payload(self) -> dict[str, Any]:
        """Return what an approval binds and a broker is sent, as plain JSON values."""
        return {
            "schema": INTENT_SCHEMA,
            "book": self.book,
            "strategy": self.strategy,
            "strategy_version": self.strategy_version,
            "session": self.session.isoformat(),
            "symbol": self.symbol,
            "slot": self.slot.value,
            "side": self.side.value,
            "quantity": self.quantity,
            "price_micros": self.price_micros,
            "currency": self.currency,
            "order_type": self.order_type.value,
            "time_in_force": self.time_in_force.value,
            "rationale": self.rationale,
        }

    def payload_hash(self) -> str:
        """Return the digest of the payload."""
        return digest(self.payload())


def intent_from_payload(payload: dict[str, Any]) -> Intent:
    """Return the intent of a stored payload; raises `ValueError` on another schema version."""
    if payload["schema"] != INTENT_SCHEMA:
        raise ValueError(f"intent payload schema {payload['schema']}: this version reads {INTENT_SCHEMA}")
    return Intent(
        book=payload["book"],
        strategy=payload["strategy"],
        strategy_version=payload["strategy_version"],
        session=date.fromisoformat(payload["session"]),
        symbol=Symbol(payload["symbol"]),
        slot=Slot(payload["slot"]),
        side=Side(payload["side"]),
        quantity=payload["quantity"],
        price_micros=payload["price_micros"],
        currency=payload["currency"],
        order_type=OrderType(payload["order_type"]),
        time_in_force=TimeInForce(payload["time_in_force"]),
        rationale=payload["rationale"],
    )


def intent_key_of(*, book: str, strategy: str, session: date, symbol: Symbol, slot: Slot) -> IntentKey:
    """Return what names a decision: what it was about, whatever came of it."""
    return IntentKey("key-" + hashed(book, strategy, session.isoformat(), symbol, slot.value))


def intent_id_of(*, account: str, lane: str, intent_key: IntentKey) -> IntentId:
    """Return what the journal and brokers know an intent by, in one account and lane."""
    return IntentId("int-" + hashed(account, lane, intent_key))


def client_order_id_of(*, account: str, intent_id: IntentId, generation: int) -> ClientOrderId:
    """Return the id that a broker deduplicates on (35 characters); only a cancel/replace raises it."""
    return ClientOrderId(CLIENT_ORDER_ID_PREFIX + hashed(account, intent_id, str(generation)))


def hashed(*parts: str) -> str:
    """Return 128 bits of SHA-256 over parts that cannot run into each other, as 32 hex digits."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
