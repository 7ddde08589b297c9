"""Orders and fills as a broker knows them, in our words. The port to brokers is brokers.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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


def shares_by_intent(fills: Iterable[Fill]) -> Counter[IntentId]:
    """Return the shares of each intent's fills, over all its orders; 0 of one that has none."""
    shares: Counter[IntentId] = Counter()
    for fill in fills:
        shares[fill.intent_id] += fill.quantity
    return shares


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


class ExecutionRow(NamedTuple):
    """Hold what execution made of one decided intent. Prices in micro-units, quantities in shares.

    `average_price_micros` is 0 where nothing filled; `slippage_bps` is the average price against
    `arrival_price_micros` (the decision's reference), positive where it cost money. The adapters are empty
    where nothing was sent, and `not recorded` where it was before routes were; `fallback_count` is how many
    adapters were passed over before the send, `fallback_reason` why.
    """

    session: date
    symbol: Symbol
    side: Side
    intent_id: IntentId
    state: str
    stage: str
    reason: str
    client_order_id: str
    broker_order_id: str
    submitted_quantity: int
    filled_quantity: int
    average_price_micros: int
    commission_micros: int
    arrival_price_micros: int
    slippage_bps: float
    status: str
    expected_adapter: str
    actual_adapter: str
    fallback_reason: str
    fallback_count: int


class OrderStatusRow(NamedTuple):
    """Hold where one order stands after the close. `progress_bps` is filled over sent, 10000 when all filled.

    An intent that never became an order has no client order id and status `none`.
    """

    session: date
    symbol: Symbol
    side: Side
    intent_id: IntentId
    client_order_id: str
    intent_state: str
    status: str
    terminal: bool
    progress_bps: int
    quantity: int
    filled_quantity: int
    notional_micros: int
    commission_micros: int
    complete: bool
    reason: str
