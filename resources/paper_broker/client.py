"""The adapter of a paper broker that answers over HTTP.

A send is one attempt, and whatever does not prove its outcome is unknown. A question may be asked again a few
times. How a call goes out is resources/outbound/; what goes over the wire is wire.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from http import HTTPStatus
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from resources.outbound.client import Endpoint, ExchangeFailed, OutboundClient, Reply
from resources.outbound.limits import RateLimits
from resources.paper_broker.broker import MALFORMED_REQUEST
from resources.paper_broker.wire import (
    DUPLICATE_CODE,
    AccountOnWire,
    ActivityOnWire,
    CancelOnWire,
    ClockOnWire,
    DumpOnWire,
    FillOnWire,
    FoundOnWire,
    HoldingsOnWire,
    ListOnWire,
    OrderOnWire,
    QuotedOnWire,
    RefusalOnWire,
    ReplaceOnWire,
    RequestOnWire,
    SendOnWire,
)
from trading.breakers import Breakers
from trading.brokers import (
    BrokerAccount,
    BrokerActivity,
    BrokerClock,
    BrokerDump,
    BrokerFill,
    BrokerQuote,
    Capabilities,
    DuplicateClientOrderId,
    Holdings,
    request_payload,
)
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.orders import BrokerOrder, OrderRequest
from trading.outbound import Calls
from trading.values import ClientOrderId, Symbol

PROVIDER = "paper"

READS = {
    "/v1/order": "orders.by_client_order_id",
    "/v1/orders": "orders.list",
    "/v1/fills": "fills.list",
    "/v1/holdings": "holdings",
    "/v1/account": "account",
    "/v1/activities": "activities.list",
    "/v1/quote": "quotes.latest",
    "/v1/clock": "clock",
    "/v1/dump": "dump",
}
SENDS = {
    "/v1/orders": "orders.submit",
    "/v1/replacements": "orders.replace",
    "/v1/cancels": "orders.cancel",
}
"""What each path is called where calls are kept."""

REPLY_BYTES_MAX = 64 * 1024 * 1024
"""The longest answer that is read: a dump of some hundred thousand rows."""

AMBIGUOUS_ERRORS = frozenset(
    {
        "connect", "time_out", "reset", "half_reply", "unreadable_reply", "too_long_reply", "other_order",
        "circuit_open", "rate_limited",
        "status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_429", "status_5xx",
    }
)  # fmt: skip
"""What a send can meet that proves nothing, by the word that its `OutcomeUnknown` begins with."""

Told = TypeVar("Told", bound=BaseModel)


class HttpPaperBroker:
    """Send to and ask the paper broker at `url`; implements `trading.brokers.Broker`.

    `capabilities` are those of the broker that answers there. `timeout_s` bounds each call as a whole.
    `account`, `breakers`, `calls` and `limits` are `OutboundClient`'s. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str,
        *,
        capabilities: Capabilities,
        timeout_s: float = 5.0,
        account: str = "",
        breakers: Breakers | None = None,
        calls: Calls | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        self.capabilities = capabilities
        longest = Endpoint(reply_bytes_max=REPLY_BYTES_MAX)
        self._client = OutboundClient(
            PROVIDER,
            url,
            timeout_s=timeout_s,
            account=account,
            breakers=breakers,
            calls=calls,
            limits=limits,
            endpoints=dict.fromkeys((*READS.values(), *SENDS.values()), longest),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order, in exactly one attempt; see `trading.brokers.Broker` for what it raises."""
        return self._ordered("/v1/orders", request, lambda order: SendOnWire(now=now, order=order))

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send an order for the place of another, in exactly one attempt; raises what `submit` does."""
        return self._ordered(
            "/v1/replacements",
            request,
            lambda order: ReplaceOnWire(now=now, order=order, replaces=client_order_id),
        )

    def _ordered(
        self, path: str, request: OrderRequest, written: Callable[[RequestOnWire], SendOnWire]
    ) -> BrokerOrder:
        try:
            send = written(RequestOnWire.model_validate(request_payload(request)))
        except ValidationError as error:
            raise BrokerRejected(f"{MALFORMED_REQUEST}: {error.errors()[0]['msg']}") from error
        try:
            status, _, content, *_ = self._sent(path, send, now=send.now)
        except ExchangeFailed as error:
            raise OutcomeUnknown(str(error)) from error
        match status:
            case HTTPStatus.CREATED:
                return _same(_parsed(OrderOnWire, content, OutcomeUnknown).order(), request)
            case HTTPStatus.CONFLICT:
                refusal = _parsed(RefusalOnWire, content, OutcomeUnknown)
                if refusal.code == DUPLICATE_CODE:
                    raise DuplicateClientOrderId(request.client_order_id)
                raise OutcomeUnknown(f"status_4xx: 409 {refusal.code}")
            case HTTPStatus.UNPROCESSABLE_ENTITY:
                refusal = _parsed(RefusalOnWire, content, OutcomeUnknown)
                if refusal.code in self.capabilities.definitive_errors:
                    raise BrokerRejected(f"{refusal.code}: {refusal.message}")
                raise OutcomeUnknown(f"status_4xx: 422 {refusal.code} is not among the definitive refusals")
            case HTTPStatus.TOO_MANY_REQUESTS:
                raise OutcomeUnknown("status_429: too many requests")
            case _:
                raise OutcomeUnknown(f"status_{status // 100}xx: {status}")

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`; raises `BrokerUnavailable`."""
        found = self._asked(FoundOnWire, "/v1/order", now=now, client_order_id=client_order_id).order
        if found is not None and found.client_order_id != client_order_id:
            raise BrokerUnavailable(f"other_order: asked for {client_order_id}, told {found.client_order_id}")
        return None if found is None else found.order()

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return the executions under an id; raises `BrokerUnavailable`, also for half a list."""
        told = self._asked(ListOnWire[FillOnWire], "/v1/fills", now=now, client_order_id=client_order_id)
        _whole(told)
        return [row.fill() for row in told.rows]

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for a cancel; raises `BrokerUnavailable` unless the broker has taken it."""
        asked = CancelOnWire(now=now, client_order_id=client_order_id)
        try:
            status = self._sent("/v1/cancels", asked, now=now).status
        except ExchangeFailed as error:
            raise BrokerUnavailable(str(error)) from error
        if status != HTTPStatus.ACCEPTED:
            raise BrokerUnavailable(f"status_{status // 100}xx: {status}")

    def orders(self, *, since: date, now: datetime) -> list[BrokerOrder]:
        """Return what is open and what is of a session from `since` on; raises `BrokerUnavailable`."""
        told = self._asked(ListOnWire[OrderOnWire], "/v1/orders", now=now, since=since.isoformat())
        _whole(told)
        return [row.order() for row in told.rows]

    def holdings(self, *, now: datetime) -> Holdings:
        """Return what the account has; raises `BrokerUnavailable`."""
        return self._asked(HoldingsOnWire, "/v1/holdings", now=now).holdings()

    def positions(self, *, now: datetime) -> Mapping[Symbol, int]:
        """Return the shares that the account has; raises `BrokerUnavailable`."""
        return self.holdings(now=now).quantities

    def account(self, *, now: datetime) -> BrokerAccount:
        """Return the account's money; raises `BrokerUnavailable`."""
        return self._asked(AccountOnWire, "/v1/account", now=now).account_told()

    def activities(self, *, since: date, now: datetime) -> list[BrokerActivity]:
        """Return what changed the account from `since` on; raises `BrokerUnavailable`, also for half."""
        told = self._asked(ListOnWire[ActivityOnWire], "/v1/activities", now=now, since=since.isoformat())
        _whole(told)
        return [row.activity() for row in told.rows]

    def quote(self, symbol: Symbol, *, now: datetime) -> BrokerQuote | None:
        """Return what the broker last saw of a symbol, or `None`; raises `BrokerUnavailable`."""
        told = self._asked(QuotedOnWire, "/v1/quote", now=now, symbol=symbol).quote
        if told is not None and told.symbol != symbol:
            raise BrokerUnavailable(f"other_symbol: asked for {symbol}, told {told.symbol}")
        return None if told is None else told.quote()

    def clock(self, *, now: datetime) -> BrokerClock:
        """Return the broker's own time and sessions; raises `BrokerUnavailable`."""
        return self._asked(ClockOnWire, "/v1/clock", now=now).clock()

    def dump(self) -> BrokerDump:
        """Return everything that the broker knows, for a proof; raises `BrokerUnavailable`."""
        told = self._asked(DumpOnWire, "/v1/dump")
        _whole(told.orders)
        _whole(told.fills)
        _whole(told.arrivals)
        return told.dump()

    def _asked(self, kind: type[Told], path: str, *, now: datetime | None = None, **parameters: str) -> Told:
        """Return what a question was answered with; raises `BrokerUnavailable`."""
        told = {**parameters, **({} if now is None else {"now": now.isoformat()})}
        try:
            reply = self._client.read(READS[path], path, parameters=told, now=now)
        except ExchangeFailed as error:
            raise BrokerUnavailable(str(error)) from error
        if reply.status != HTTPStatus.OK:
            raise BrokerUnavailable(f"status_{reply.status // 100}xx: {reply.status}")
        return _parsed(kind, reply.content, BrokerUnavailable)

    def _sent(self, path: str, body: BaseModel, *, now: datetime) -> Reply:
        """Return the answer to one attempt of a send; raises `ExchangeFailed`."""
        return self._client.send(SENDS[path], "POST", path, content=body.model_dump_json().encode(), now=now)


def _parsed(kind: type[Told], content: bytes, failure: type[BrokerUnavailable | OutcomeUnknown]) -> Told:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise failure(
            f"unreadable_reply: {error.error_count()} faults, {error.errors()[0]['msg']}"
        ) from error


def _same(order: BrokerOrder, request: OrderRequest) -> BrokerOrder:
    """Return the order that a send was answered with; an answer about another id proves nothing of ours."""
    if order.client_order_id != request.client_order_id:
        raise OutcomeUnknown(
            f"other_order: sent {request.client_order_id}, answered with {order.client_order_id}"
        )
    return order


def _whole(told: ListOnWire[Any]) -> None:
    if len(told.rows) != told.count:
        raise BrokerUnavailable(f"half_reply: {len(told.rows)} rows of {told.count}")
