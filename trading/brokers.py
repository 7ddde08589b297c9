"""The port to a broker, and what an adapter declares of it: whom we send to, and what it can be trusted with.

Who sends is executions.py; who compares what a broker tells with the journal is reconciliation.py. The
adapters are resources/paper_broker/ and resources/alpaca_markets/; one conformance suite is run on each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.errors import BadInput, TradingError
from trading.orders import BrokerOrder, OrderRequest
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce

CONTRACT = "broker.v2"
"""The version of this port: of the questions that a broker answers, and of the records it answers with.

A method or a field that is added with a default keeps it; one that is taken away or means another thing
raises it, in every adapter at once.
"""


SETTLE_TIME_S_MAX = 300
"""The longest settle time in seconds that an adapter may declare, and how long a person waits in any case.

Whoever ends an intent by hand may know no broker: so nothing is sent through one that takes longer to show
an order.
"""


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
    `settle_time_s` has passed since the send, which is at most `SETTLE_TIME_S_MAX`.

    `definitive_errors` is the closed list of codes for which the adapter raises `BrokerRejected`; everything
    else it meets after a send is `OutcomeUnknown`, and `ambiguous_errors` names what of that is known to
    happen. `dedup_window_s` is how long a `DedupScope.WINDOW` lasts from the send, 0 for every other scope.

    What can be sent through it: `fractional` shares, `short` sales of what is not held, the `order_types` and
    `times_in_force` of our words, and orders for the `extended_hours` before the open and after the close.
    """

    is_live: bool
    dedup_scope: DedupScope
    is_query_authoritative: bool
    settle_time_s: int
    definitive_errors: frozenset[str]
    ambiguous_errors: frozenset[str] = frozenset()
    dedup_window_s: int = 0
    fractional: bool = False
    short: bool = False
    order_types: frozenset[OrderType] = frozenset({OrderType.MARKET})
    times_in_force: frozenset[TimeInForce] = frozenset({TimeInForce.OPG, TimeInForce.DAY})
    extended_hours: bool = False

    def __post_init__(self) -> None:
        """Refuse a settle time that nobody waits for; raises `BadInput`."""
        if not 0 <= self.settle_time_s <= SETTLE_TIME_S_MAX:
            raise BadInput(
                f"settle_time_s {self.settle_time_s}: must be 0 to {SETTLE_TIME_S_MAX} seconds, as long as"
                " a person waits before an absent order's intent is ended by hand"
            )


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


class BrokerQuote(NamedTuple):
    """Hold what a broker last saw of a symbol, in micro-units, and the UTC instant it is of.

    A side that nobody quotes, or a trade that is not known, is `None` and never 0.
    """

    symbol: Symbol
    bid_micros: int | None
    ask_micros: int | None
    last_micros: int | None
    quoted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAccount:
    """Hold what a broker says of an account: its name there, and its money in micro-units of `currency`.

    `equity_micros` is `None` where something held has no price. Nothing is taken while it `is_blocked`.
    """

    account: str
    currency: str
    cash_micros: int
    buying_power_micros: int
    equity_micros: int | None
    is_blocked: bool = False


class BrokerClock(NamedTuple):
    """Hold a broker's own time (UTC), and when its market opens and closes next.

    `next_open` and `next_close` are `None` past the last session that it knows.
    """

    now: datetime
    is_open: bool
    next_open: datetime | None
    next_close: datetime | None


class ActivityKind(StrEnum):
    """Say what changed an account: `transfer` is money that came or went, `other` what has no word here."""

    FILL = "fill"
    DIVIDEND = "dividend"
    SPLIT = "split"
    FEE = "fee"
    TRANSFER = "transfer"
    OTHER = "other"


class BrokerActivity(NamedTuple):
    """Hold one change of an account as the broker lists it.

    `quantity` are the shares of `symbol` that it added, `cash_micros` the cash; both below 0 where it took
    some. A fill's commission is an activity of its own, a fee. `about` is the broker's id of what it belongs
    to: of the order for a fill, of the execution for its fee, empty where there is none.
    """

    activity_id: str
    kind: ActivityKind
    happened_at: datetime
    symbol: str
    quantity: int
    price_micros: int
    cash_micros: int
    about: str = ""
    detail: str = ""


class Arrival(NamedTuple):
    """Hold one send as it reached the broker: its id, the digest of its bytes, and what became of it.

    `request_sha` is `digest(request_payload(request))`; `broker_order_id` is empty where no order was made.
    """

    client_order_id: ClientOrderId
    request_sha: str
    broker_order_id: str


class OrderTerms(NamedTuple):
    """Hold what an order at a broker asks for, in the words of its sender, as a digest.

    `terms_sha` is `digest(request_terms(request))` of the request that it was made of: a broker that keeps
    no bytes of a send still shows the terms of the order that they made.
    """

    client_order_id: ClientOrderId
    terms_sha: str
    broker_order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerDump:
    """Hold everything a broker knows of an account, for the proof that the journal agrees with it.

    Two orders under one client order id are two of `orders`, told apart by their broker order ids.
    `arrivals` are of a broker that keeps each send, `terms` of one that keeps what came of it.
    """

    account: str
    is_live: bool
    orders: tuple[BrokerOrder, ...] = ()
    fills: tuple[BrokerFill, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    terms: tuple[OrderTerms, ...] = ()


class DuplicateClientOrderId(TradingError):
    """Say that the broker already has an order under this id: look it up and adopt it, never fail it."""

    def __init__(self, client_order_id: ClientOrderId) -> None:
        super().__init__(f"client order id {client_order_id}: the broker has an order under it already")
        self.client_order_id = client_order_id


class Broker(Protocol):
    """Take orders and report on them. A client library must never retry a send by itself."""

    @property
    def capabilities(self) -> Capabilities:
        """Return what is proven of the broker."""
        ...

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order, in exactly one attempt; a limit order's limit is its reference price.

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

        Of a broker that took more than one order under an id, every one that is open is meant.
        Asking again, or for an order that has ended, changes nothing. Raises `BrokerUnavailable`.
        """
        ...

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Put an order in the place of the open one under an id, in exactly one attempt, and return it.

        It has an id of ours and one of the broker's of its own; the old one ends as cancelled. Symbol, side
        and session stay, and nothing of the old one may have filled. Raises what `submit` does.
        """
        ...

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return every order that is open, and every one of a session from `since` on, ours or not.

        Raises `BrokerUnavailable`; half a list is a failed query.
        """
        ...

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what the account has; raises `BrokerUnavailable`: what cannot be seen is not flat.

        Shares and cash are of one look: no execution stands in one of them and not in the other.
        """
        ...

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares by symbol, none of them 0, owed ones below it; raises `BrokerUnavailable`."""
        ...

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return the account's money and whether it may trade; raises `BrokerUnavailable`."""
        ...

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return what changed the account on the exchange's date `since` or later, ascending in time.

        Raises `BrokerUnavailable`; half a list is a failed query.
        """
        ...

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return what the broker last saw of a symbol, or `None`; raises `BrokerUnavailable`."""
        ...

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the broker's own time and sessions; raises `BrokerUnavailable`."""
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


def request_terms(request: OrderRequest) -> dict[str, Any]:
    """Return what of a request goes over a wire and stands in the order there, as plain JSON values.

    Not its account and session, which no broker is told; its price only where that is a limit.
    """
    is_limit = request.order_type is OrderType.LIMIT
    return {
        "client_order_id": request.client_order_id,
        "symbol": request.symbol,
        "side": request.side.value,
        "quantity": request.quantity,
        "order_type": request.order_type.value,
        "time_in_force": request.time_in_force.value,
        "limit_micros": request.reference_price_micros if is_limit else None,
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


def replacement_fault(request: OrderRequest, order: BrokerOrder) -> str:
    """Return why a request cannot take an order's place, empty where it can."""
    if order.status.is_terminal:
        return f"order {order.client_order_id} is {order.status}"
    if order.filled_quantity:
        return f"order {order.client_order_id} has filled {order.filled_quantity}"
    if request.client_order_id == order.client_order_id:
        return f"order {order.client_order_id}: its replacement needs an id of its own"
    if (request.symbol, request.side) != (order.symbol, order.side):
        return f"{request.side} {request.symbol} cannot replace {order.side} {order.symbol}"
    return ""


def differences(request: OrderRequest, order: BrokerOrder) -> tuple[str, ...]:
    """Return how a broker's order differs from what was sent, field by field; empty where it is the same."""
    pairs = (
        ("client_order_id", request.client_order_id, order.client_order_id),
        ("symbol", request.symbol, order.symbol),
        ("side", request.side, order.side),
        ("quantity", request.quantity, order.quantity),
    )
    return tuple(f"{name} sent {sent}, found {found}" for name, sent, found in pairs if sent != found)
