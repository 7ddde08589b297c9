"""The port to a broker, and what an adapter declares of it: whom we send to, and what it can be trusted with.

Who sends is executions.py; who compares what a broker tells with the journal is reconciliation.py. The
adapters are resources/paper_broker/ and its neighbours; one conformance suite is run on each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.errors import TradingError
from trading.orders import BrokerOrder, OrderRequest
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce


class DedupScope(StrEnum):
    """Say for how long a broker refuses a repeated client order id. Unproven means `none`."""

    ALL_TIME = "all_time"
    WINDOW = "window"
    SESSION = "session"
    OPEN_ONLY = "open_only"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Hold what an adapter has proven of its broker.

    `is_query_authoritative`: an order that its query by client order id does not find does not exist, once
    `settle_time_s` has passed since the send. `definitive_errors` is the closed list of codes for which
    the adapter raises `BrokerRejected`; everything else it meets after a send is `OutcomeUnknown`, and
    `ambiguous_errors` names what of that is known to happen. `dedup_window_s` is how long a
    `DedupScope.WINDOW` lasts from the send, 0 for every other scope.
    """

    is_live: bool
    dedup_scope: DedupScope
    is_query_authoritative: bool
    settle_time_s: int
    definitive_errors: frozenset[str]
    ambiguous_errors: frozenset[str] = frozenset()
    dedup_window_s: int = 0


class BrokerFill(NamedTuple):
    """Hold one execution as the broker reports it; price and commission in micro-units.

    An empty `execution_id` is a broker's that gives none. `takes_back` names the execution that this one
    busts, in whole; empty for every ordinary one.
    """

    execution_id: str
    client_order_id: ClientOrderId
    quantity: int
    price_micros: int
    commission_micros: int
    filled_at: datetime
    takes_back: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Hold what a broker says an account has: shares by symbol (none of them 0), and cash in micro-units."""

    quantities: Mapping[Symbol, int] = field(default_factory=dict)
    cash_micros: int


class Arrival(NamedTuple):
    """Hold one send as it reached the broker: its id, the digest of its bytes, and what became of it.

    `request_sha` is `digest(request_payload(request))`; `broker_order_id` is empty where no order was made.
    """

    client_order_id: ClientOrderId
    request_sha: str
    broker_order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerDump:
    """Hold everything a broker knows of an account, for the proof that the journal agrees with it.

    Two orders under one client order id are two of `orders`, told apart by their broker order ids.
    """

    account: str
    is_live: bool
    orders: tuple[BrokerOrder, ...] = ()
    fills: tuple[BrokerFill, ...] = ()
    arrivals: tuple[Arrival, ...] = ()


class DuplicateClientOrderId(TradingError):
    """Say that the broker already has an order under this id: look it up and adopt it, never fail it."""

    def __init__(self, client_order_id: ClientOrderId, order: BrokerOrder | None = None) -> None:
        super().__init__(f"client order id {client_order_id}: the broker has an order under it already")
        self.client_order_id = client_order_id
        self.order = order


class Broker(Protocol):
    """Take orders and report on them. A client library must never retry a send by itself."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what is proven of the broker."""
        ...

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order, in exactly one attempt.

        Raises `BrokerRejected` for a refusal of the closed list, `DuplicateClientOrderId` for a known id,
        `OutcomeUnknown` for everything that leaves the outcome unproven.
        """
        ...

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`; raises `BrokerUnavailable` where the query failed."""
        ...

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return an order's executions, ascending in time; raises `BrokerUnavailable`."""
        ...

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for a cancel; that it was accepted does not mean that the order is cancelled.

        Asking again, or for an order that has ended, changes nothing. Raises `BrokerUnavailable`.
        """
        ...

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return every order that is open, and every one of a session from `since` on, ours or not.

        Raises `BrokerUnavailable`; half a list is a failed query.
        """
        ...

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what the account has; raises `BrokerUnavailable`: what cannot be seen is not flat."""
        ...


def request_payload(request: OrderRequest) -> dict[str, Any]:
    """Return a request as plain JSON values: what its stored digest is taken over."""
    return {
        "client_order_id": request.client_order_id,
        "account": request.account,
        "session": request.session.isoformat(),
        "symbol": request.symbol,
        "side": request.side.value,
        "quantity": request.quantity,
        "order_type": request.order_type.value,
        "time_in_force": request.time_in_force.value,
        "reference_price_micros": request.reference_price_micros,
    }


def request_from_payload(payload: Mapping[str, Any]) -> OrderRequest:
    """Return the request that a payload was made from; raises `KeyError` or `ValueError` for another one."""
    return OrderRequest(
        client_order_id=ClientOrderId(payload["client_order_id"]),
        account=payload["account"],
        session=date.fromisoformat(payload["session"]),
        symbol=Symbol(payload["symbol"]),
        side=Side(payload["side"]),
        quantity=payload["quantity"],
        order_type=OrderType(payload["order_type"]),
        time_in_force=TimeInForce(payload["time_in_force"]),
        reference_price_micros=payload["reference_price_micros"],
    )


def differences(request: OrderRequest, order: BrokerOrder) -> tuple[str, ...]:
    """Return how a broker's order differs from what was sent, field by field; empty where it is the same."""
    pairs = (
        ("client_order_id", request.client_order_id, order.client_order_id),
        ("symbol", request.symbol, order.symbol),
        ("side", request.side, order.side),
        ("quantity", request.quantity, order.quantity),
    )
    return tuple(f"{name} sent {sent}, found {found}" for name, sent, found in pairs if sent != found)
