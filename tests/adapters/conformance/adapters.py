"""The adapters that the numbered cases are run on, each connected to a broker of its own.

Behind every one of them stands the same paper broker on the same small market, so that what differs is the
adapter and its line: none, our own protocol over HTTP, or Alpaca's protocol over HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from resources.alpaca_markets import questions
from resources.alpaca_markets.broker import AlpacaBroker
from resources.outbound.client import Endpoint, OutboundClient
from resources.paper_broker import client, ledger
from resources.paper_broker.broker import KIND, PaperBroker
from resources.paper_broker.client import HttpPaperBroker
from resources.paper_broker.server import BrokerServer
from resources.paper_exchange.records import public_id
from tests.adapters.broker_rules import ACCOUNT, CALENDAR, DEPOSIT, MODEL, Market, Setting, request
from tests.adapters.conformance.line import Line
from tests.adapters.exchange_served import HEADERS, served
from trading.broker_behaviour import Behaviour
from trading.brokers import BrokerDump
from trading.values import Symbol

LISTED = frozenset({Symbol("AAPL"), Symbol("IBM")})
THIN_VOLUME = 1000
"""IBM's shares in a session: an order may take 50 of them."""

HASTE_S = 0.4
PATIENCE_S = 20.0


class Kind(StrEnum):
    """Name an adapter as the report's columns do."""

    EMBEDDED = "embedded paper, in process"
    DOOR = "embedded paper, over HTTP"
    ALPACA = "Alpaca, over HTTP"

    @property
    def has_line(self) -> bool:
        return self is not Kind.EMBEDDED


@dataclass(kw_only=True)
class Connected:
    """Hold an adapter whose line can be spoilt, and the paper broker at the far end.

    `broker` goes through `line`; `past` is another adapter of the same account that goes past it, and `hasty`
    one through it that waits less long. `reads` is how often a question that fails is asked.
    """

    kind: Kind
    broker: Any
    truth: PaperBroker
    line: Line | None
    words: Words
    opened: ExitStack = field(repr=False)
    anew: Callable[..., Any] = field(repr=False)

    @cached_property
    def past(self) -> Any:
        return self.anew(is_past=True)

    @cached_property
    def hasty(self) -> Any:
        return self.anew(timeout_s=HASTE_S)

    def small_pages(self) -> None:
        """Let lists come in pages of a few, where they come in pages at all."""
        for name, size in (("ORDERS_PAGE", 3), ("ACTIVITIES_PAGE", 2)):
            self.opened.callback(setattr, questions, name, getattr(questions, name))
            setattr(questions, name, size)

    def short_replies(self) -> None:
        """Let the adapter read no answer to a send that is longer than a thousand times what one needs."""
        self.broker = self.anew(bytes_max=50_000)

    def with_keys(self, key_id: str, secret: str) -> Any:
        """Return an adapter of somebody with another pair of keys."""
        return self.anew(headers={"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret})

    def setting(self) -> Setting:
        """Return it as the rules of the port need it."""
        return Setting(broker=self.broker, cut=self.cut, refused=request("BAD"))

    def cut(self) -> None:
        """Take the connection away."""
        if self.line is not None:
            self.line.close()
            return
        self.opened.enter_context(ledger.Ledger(self.truth._ledger.path).transaction(OSError))


@dataclass(frozen=True, kw_only=True)
class Words:
    """Hold how one protocol says things, for a line that makes it say them wrongly."""

    submit: str
    replace: str
    order: str
    orders: str
    fills: str
    cancel: str
    holdings: tuple[str, ...]
    quantity: str
    filled: str
    is_text: bool
    too_many: bytes
    broken: bytes
    not_found: bytes = b""


DOORS_WORDS = Words(
    submit="/v1/orders",
    replace="/v1/replacements",
    order="/v1/order?",
    orders="/v1/orders",
    fills="/v1/fills",
    cancel="/v1/cancels",
    holdings=("/v1/holdings",),
    quantity="quantity",
    filled="filled_quantity",
    is_text=False,
    too_many=b'{"code":"rate_limited","message":""}',
    broken=b'{"code":"unavailable","message":""}',
)
ALPACAS_WORDS = Words(
    submit="/v2/orders",
    replace="/v2/orders/",
    order="/v2/orders:by_client_order_id",
    orders="/v2/orders?",
    fills="/v2/account/activities",
    cancel="/v2/orders/",
    holdings=("/v2/account", "/v2/positions"),
    quantity="qty",
    filled="filled_qty",
    is_text=True,
    too_many=b'{"code":42910000,"message":"rate limit exceeded"}',
    broken=b'{"code":50010000,"message":"internal server error occurred"}',
    not_found=b'{"code":40410000,"message":"order not found"}',
)


class TellingAlpaca(AlpacaBroker):
    """Tell what the exchange behind knows, under the ids by which Alpaca's protocol names it."""

    truth: PaperBroker

    def dump(self) -> BrokerDump:
        told = self.truth.dump()
        return replace(
            told,
            orders=tuple(
                replace(order, broker_order_id=str(public_id(order.broker_order_id))) for order in told.orders
            ),
            arrivals=tuple(
                one._replace(broker_order_id=str(public_id(one.broker_order_id)))
                if one.broker_order_id
                else one
                for one in told.arrivals
            ),
        )


@contextmanager
def connected(
    kind: Kind,
    folder: Path,
    *,
    behaviour: Behaviour = KIND,
    volume: int = 10**6,
) -> Iterator[Connected]:
    """Connect one adapter to a paper broker with a ledger in a folder."""
    market = Market(AAPL=volume, IBM=THIN_VOLUME)
    make = {Kind.EMBEDDED: _embedded, Kind.DOOR: _door, Kind.ALPACA: _alpaca}[kind]
    with ExitStack() as opened:
        yield make(opened, folder / "broker.db", market, behaviour)


def _paper(path: Path, market: Market, behaviour: Behaviour) -> PaperBroker:
    return PaperBroker(
        path,
        account=ACCOUNT,
        deposit_micros=DEPOSIT,
        market=market,
        fill_model=MODEL,
        calendar=CALENDAR,
        symbols=LISTED,
        behaviour=behaviour,
    )


def _embedded(opened: ExitStack, path: Path, market: Market, behaviour: Behaviour) -> Connected:
    broker = _paper(path, market, behaviour)
    return Connected(
        kind=Kind.EMBEDDED,
        broker=broker,
        truth=broker,
        line=None,
        words=DOORS_WORDS,
        opened=opened,
        anew=lambda **_: broker,
    )


def _line_to(opened: ExitStack, url: str) -> Line:
    line = Line(url)
    threading.Thread(target=line.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    opened.callback(line.close)
    return line


def _door(opened: ExitStack, path: Path, market: Market, behaviour: Behaviour) -> Connected:
    broker = _paper(path, market, behaviour)
    server = opened.enter_context(BrokerServer(broker))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    opened.callback(server.shutdown)
    line = _line_to(opened, server.url)

    def adapter(
        *, is_past: bool = False, timeout_s: float = PATIENCE_S, bytes_max: int = 0
    ) -> HttpPaperBroker:
        url = server.url if is_past else line.url
        if bytes_max:
            opened.callback(setattr, client, "REPLY_BYTES_MAX", client.REPLY_BYTES_MAX)
            client.REPLY_BYTES_MAX = bytes_max
        return opened.enter_context(
            HttpPaperBroker(url, capabilities=broker.capabilities, timeout_s=timeout_s)
        )

    return Connected(
        kind=Kind.DOOR,
        broker=adapter(),
        truth=broker,
        line=line,
        words=DOORS_WORDS,
        opened=opened,
        anew=adapter,
    )


def _alpaca(opened: ExitStack, path: Path, market: Market, behaviour: Behaviour) -> Connected:
    exchange = opened.enter_context(served(path, market=market, behaviour=behaviour, symbols=LISTED))
    line = _line_to(opened, exchange.url)

    def adapter(*, is_past: bool = False, **options: Any) -> TellingAlpaca:
        broker = alpaca_at(exchange.url if is_past else line.url, opened, **options)
        broker.truth = exchange.broker
        return broker

    return Connected(
        kind=Kind.ALPACA,
        broker=adapter(),
        truth=exchange.broker,
        line=line,
        words=ALPACAS_WORDS,
        opened=opened,
        anew=adapter,
    )


def alpaca_at(
    url: str, opened: ExitStack, *, timeout_s: float = PATIENCE_S, headers: Any = None, bytes_max: int = 0
) -> TellingAlpaca:
    """Return the adapter of whoever speaks Alpaca's protocol at an address, in simulated time."""
    endpoints = {"orders.submit": Endpoint(reply_bytes_max=bytes_max)} if bytes_max else None

    client = opened.enter_context(
        OutboundClient(
            "alpaca",
            url,
            headers=HEADERS if headers is None else headers,
            timeout_s=timeout_s,
            endpoints=endpoints,
        )
    )
    return TellingAlpaca(
        client,
        data=client,
        calendar=CALENDAR,
        is_live=False,
        settle_time_s=0,
        is_clock_simulated=True,
    )


Case = Callable[[Connected], None]
