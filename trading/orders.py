"""Orders and fills as a broker knows them, in our words. The ports to brokers stand in executions.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from trading.values import ClientOrderId, IntentId, OrderType, Side, Symbol, TimeInForce, notional_micros


class OrderStatus(StrEnum):
    """Say where an order is in its life at the broker."""

    WORKING = "working"
    PARTIAL_FILL = "partial_fill"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Say whether nothing can follow at the broker."""
        return self in {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED}


class Fill(NamedTuple):
    """Hold one execution: price and commission in micro-units, quantity in shares, slippage in the price."""

    execution_id: str
    client_order_id: ClientOrderId
    intent_id: IntentId
    symbol: Symbol
    side: Side
    quantity: int
    price_micros: int
    commission_micros: int
    session: date
    filled_at: datetime

    @property
    def notional_micros(self) -> int:
        """Return price × quantity in micro-units."""
        return notional_micros(price_micros=self.price_micros, quantity=self.quantity)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """Hold what is sent to a broker, once."""

    client_order_id: ClientOrderId
    account: str
    session: date
    symbol: Symbol
    side: Side
    quantity: int
    order_type: OrderType
    time_in_force: TimeInForce
    reference_price_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """Hold an order as the broker reports it; `filled_quantity` is cumulative."""

    broker_order_id: str
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    quantity: int
    filled_quantity: int
    status: OrderStatus
    reason: str = ""
