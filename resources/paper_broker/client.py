"""The adapter of a paper broker that answers over HTTP.

A send is one attempt on a connection of its own, and whatever does not prove its outcome is unknown. A
question may be asked again a few times. What goes over the wire is wire.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from http import HTTPStatus
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

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
from trading.values import ClientOrderId, Symbol

READ_ATTEMPTS = 3
READ_WAIT_S_MAX = 0.5

REPLY_BYTES_MAX = 64 * 1024 * 1024
"""The longest answer that is read: a dump of some hundred thousand rows."""

AMBIGUOUS_ERRORS = frozenset(
    {
        "connect", "time_out", "reset", "half_reply", "unreadable_reply", "too_long_reply", "other_order",
        "status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_429", "status_5xx",
    }
)  # fmt: skip
"""What a send can meet that proves nothing, by the word that its `OutcomeUnknown` begins with."""

Reply = TypeVar("Reply", bound=BaseModel)


class HttpPaperBroker:
    """Send to and ask the paper broker at `url`; implements `trading.brokers.Broker`.

    `capabilities` are those of the broker that answers there. `timeout_s` bounds each wait for the wire,
    and an answer's body as a whole. Close it, or use it in a `with`.
    """

    def __init__(self, url: str, *, capabilities: Capabilities, timeout_s: float = 5.0) -> None:
        self.capabilities = capabilities
        self._timeout_s = timeout_s
        self._client = httpx.Client(
            base_url=url,
            # Neither the transport nor a proxy named in the environment may try anything again, and no
            # connection is used twice: one that had died in between would leave a send unproven.
            transport=httpx.HTTPTransport(retries=0, limits=httpx.Limits(max_keepalive_connections=0)),
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
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
        return self._sent("/v1/orders", request, lambda order: SendOnWire(now=now, order=order))

    def replace(self, client_order_id: ClientOrderId, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send an order for the place of another, in exactly one attempt; raises what `submit` does."""
        return self._sent(
            "/v1/replacements",
            request,
            lambda order: ReplaceOnWire(now=now, order=order, replaces=client_order_id),
        )

    def _sent(
        self, path: str, request: OrderRequest, written: Callable[[RequestOnWire], SendOnWire]
    ) -> BrokerOrder:
        try:
            send = written(RequestOnWire.model_validate(request_payload(request)))
        except ValidationError as error:
            raise BrokerRejected(f"{MALFORMED_REQUEST}: {error.errors()[0]['msg']}") from error
        try:
            status, content = self._exchange("POST", path, send)
        except _ExchangeError as error:
            raise OutcomeUnknown(str(error)) from error
        match status:
            case HTTPStatus.CREATED:
                return _same(_parsed(OrderOnWire, content, OutcomeUnknown).order(), request)
            case HTTPStatus.CONFLICT:
                refusal = _parsed(RefusalOnWire, content, OutcomeUnknown)
                if refusal.code == DUPLICATE_CODE:
                    known = None if refusal.order is None else refusal.order.order()
                    raise DuplicateClientOrderId(request.client_order_id, known)
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
            status, _ = self._exchange("POST", "/v1/cancels", asked)
        except _ExchangeError as error:
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

    def _asked(
        self, kind: type[Reply], path: str, *, now: datetime | None = None, **parameters: str
    ) -> Reply:
        """Ask a question a few times at most: a question changes nothing that a send would do."""
        told = {**parameters, **({} if now is None else {"now": now.isoformat()})}
        for attempt in Retrying(
            stop=stop_after_attempt(READ_ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.02, max=READ_WAIT_S_MAX, jitter=0.02),
            retry=retry_if_exception_type(BrokerUnavailable),
            reraise=True,
        ):
            with attempt:
                return self._asked_once(kind, path, told)
        raise AssertionError("a retried question returns or raises")  # pragma: no cover

    def _asked_once(self, kind: type[Reply], path: str, parameters: Mapping[str, str]) -> Reply:
        try:
            status, content = self._exchange("GET", path, None, parameters)
        except _ExchangeError as error:
            raise BrokerUnavailable(str(error)) from error
        if status != HTTPStatus.OK:
            raise BrokerUnavailable(f"status_{status // 100}xx: {status}")
        return _parsed(kind, content, BrokerUnavailable)

    def _exchange(
        self, method: str, path: str, body: BaseModel | None, parameters: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body of one exchange, in one attempt; raises `_ExchangeError`."""
        ends_at = time.monotonic() + self._timeout_s
        content = None if body is None else body.model_dump_json().encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        read = bytearray()
        try:
            with self._client.stream(
                method, path, content=content, params=parameters, headers=headers
            ) as reply:
                # As sent, not unpacked: a few packed bytes could stand for more than fits in memory.
                for chunk in reply.iter_raw():
                    read += chunk
                    if len(read) > REPLY_BYTES_MAX:
                        raise _ExchangeError(f"too_long_reply: over {REPLY_BYTES_MAX} bytes")
                    if time.monotonic() > ends_at:
                        raise _ExchangeError(f"time_out: no whole answer within {self._timeout_s} s")
        except httpx.ConnectError as error:
            raise _ExchangeError(f"connect: {error}") from error
        except httpx.TimeoutException as error:
            raise _ExchangeError(f"time_out: {error}") from error
        except httpx.RemoteProtocolError as error:
            raise _ExchangeError(f"half_reply: {error}") from error
        except httpx.HTTPError as error:
            raise _ExchangeError(f"reset: {error}") from error
        return reply.status_code, bytes(read)


class _ExchangeError(Exception):
    """Say that an exchange did not end with a whole answer; its first word is of `AMBIGUOUS_ERRORS`."""


def _parsed(kind: type[Reply], content: bytes, failure: type[BrokerUnavailable | OutcomeUnknown]) -> Reply:
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
