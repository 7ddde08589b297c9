"""The capability of a halt: an object that cancels and looks, and has nothing that could send.

It is built in a process of its own (console/cancel_process.py), so that the console and the command line can
stop trading and never hold a key that can buy. For the embedded paper broker it is this object alone; a live
broker's adapter brings one of its own, with the key that may only cancel.
"""

from __future__ import annotations

from collections.abc import Callable

from trading.halting import Canceller
from trading.orders import BrokerOrder


class CancelOnly:
    """Pass on a broker's `cancel`, `order_by_client_order_id` and `orders`; implements `Canceller`."""

    __slots__ = ("cancel", "order_by_client_order_id", "orders")

    def __init__(self, broker: Canceller) -> None:
        """Take these three of a broker, and let go of the rest."""
        self.cancel: Callable[..., None] = broker.cancel
        self.order_by_client_order_id: Callable[..., BrokerOrder | None] = broker.order_by_client_order_id
        self.orders: Callable[..., list[BrokerOrder]] = broker.orders
