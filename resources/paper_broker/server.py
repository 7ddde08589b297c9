"""The paper broker behind HTTP on this machine: the faults that a broker has on the wire really happen there.

A connection that should break is reset, an answer that should be cut is cut. What the broker decides is
broker.py; who asks is client.py; as a process of its own it is started by process.py.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ValidationError

from resources.paper_broker.broker import MALFORMED_REQUEST, AnswerLost, PaperBroker, QuestionLost
from resources.paper_broker.wire import (
    DUPLICATE_CODE,
    AccountOnWire,
    ActivityOnWire,
    CancelOnWire,
    ClockOnWire,
    FillOnWire,
    FoundOnWire,
    HoldingsOnWire,
    ListOnWire,
    OrderOnWire,
    QuotedOnWire,
    QuoteOnWire,
    RefusalOnWire,
    ReplaceOnWire,
    SendOnWire,
    dump_on_wire,
    fill_on_wire,
    order_on_wire,
)
from trading.broker_behaviour import ReportFault, SendFault
from trading.brokers import BrokerActivity, BrokerFill, DuplicateClientOrderId
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown, TradingError
from trading.orders import BrokerOrder
from trading.values import ClientOrderId, Symbol

BODY_BYTES_MAX = 64 * 1024
"""The longest request that is read."""

LOOPBACK = "127.0.0.1"

ABORT = struct.pack("ii", 1, 0)
"""Linger for no time: closing then resets the connection instead of ending it in order."""

_STATUS_OF = {SendFault.RATE_LIMITED: 429, SendFault.FAILED_BEFORE: 500, SendFault.FAILED_AFTER: 503}


class BrokerServer(ThreadingHTTPServer):
    """Serve one paper broker on a free port of the loopback interface, each connection in its own thread.

    `serve_forever` in the caller's thread, or in one of its own; `url` is where.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, broker: PaperBroker, *, port: int = 0) -> None:
        self.broker = broker
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong here; that a client died or hung up is its own affair."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answer one request of one connection."""

    server: BrokerServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Take an order or a cancel."""
        match urlsplit(self.path).path:
            case "/v1/orders":
                self._guarded(lambda: self._submit(SendOnWire))
            case "/v1/replacements":
                self._guarded(lambda: self._submit(ReplaceOnWire))
            case "/v1/cancels":
                self._guarded(self._cancel)
            case _:
                self._answer(404, RefusalOnWire(code="not_found", message=self.path[:200]))

    def do_GET(self) -> None:
        """Answer a question."""
        questions: dict[str, Callable[[], None]] = {
            "/v1/order": self._order,
            "/v1/orders": self._orders,
            "/v1/fills": self._fills,
            "/v1/holdings": self._holdings,
            "/v1/account": self._account,
            "/v1/activities": self._activities,
            "/v1/quote": self._quote,
            "/v1/clock": self._clock,
            "/v1/dump": self._dump,
        }
        asked = questions.get(urlsplit(self.path).path)
        if asked is None:
            self._answer(404, RefusalOnWire(code="not_found", message=self.path[:200]))
        else:
            self._guarded(asked)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name for it
        """Keep no log: the ledger holds what arrived."""

    # ------------------------------------------------------------------------ what is asked

    def _submit(self, kind: type[SendOnWire]) -> None:
        broker = self.server.broker
        try:
            send = kind.model_validate_json(self._body())
        except ValidationError as error:
            self._tell(BrokerRejected(f"{MALFORMED_REQUEST}: {error.errors()[0]['msg']}"))
            return
        try:
            if isinstance(send, ReplaceOnWire):
                old = ClientOrderId(send.replaces)
                self._tell(broker.replace(old, send.order.request(), now=send.now))
            else:
                self._tell(broker.submit(send.order.request(), now=send.now))
        except AnswerLost as lost:
            self._tell_badly(lost)
        except (DuplicateClientOrderId, BrokerRejected) as error:
            self._tell(error)
        except OutcomeUnknown as error:
            self._answer(500, RefusalOnWire(code="ledger", message=str(error)[:500]))

    def _cancel(self) -> None:
        cancel = CancelOnWire.model_validate_json(self._body())
        self.server.broker.cancel(ClientOrderId(cancel.client_order_id), now=cancel.now)
        self._answer(202, None)

    def _order(self) -> None:
        order = self.server.broker.order_by_client_order_id(self._client_order_id(), now=self._now())
        self._answer(200, FoundOnWire(order=None if order is None else order_on_wire(order)))

    def _orders(self) -> None:
        since = date.fromisoformat(self._parameter("since"))
        self._list(lambda: self.server.broker.orders(since=since, now=self._now()))

    def _fills(self) -> None:
        self._list(lambda: self.server.broker.fills(self._client_order_id(), now=self._now()))

    def _holdings(self) -> None:
        held = self.server.broker.holdings(now=self._now())
        quantities = {str(symbol): shares for symbol, shares in held.quantities.items()}
        self._answer(200, HoldingsOnWire(quantities=quantities, cash_micros=held.cash_micros))

    def _account(self) -> None:
        self._answer(200, AccountOnWire(**asdict(self.server.broker.account(now=self._now()))))

    def _activities(self) -> None:
        since = date.fromisoformat(self._parameter("since"))
        self._list(lambda: self.server.broker.activities(since=since, now=self._now()))

    def _quote(self) -> None:
        quote = self.server.broker.quote(Symbol(self._parameter("symbol")), now=self._now())
        self._answer(200, QuotedOnWire(quote=None if quote is None else QuoteOnWire(**quote._asdict())))

    def _clock(self) -> None:
        self._answer(200, ClockOnWire(**self.server.broker.clock(now=self._now())._asdict()))

    def _dump(self) -> None:
        self._answer(200, dump_on_wire(self.server.broker.dump()))

    def _list(self, ask: Callable[[], Sequence[BrokerOrder | BrokerFill | BrokerActivity]]) -> None:
        """Answer with a list; one that is to break off tells its whole length and half of its rows."""
        try:
            rows = tuple(ask())
            told = len(rows)
        except QuestionLost as lost:
            if lost.fault is not ReportFault.LIST_CUT:
                raise
            rows, told = tuple(lost.answer), len(lost.answer) // 2
        orders = tuple(order_on_wire(row) for row in rows if isinstance(row, BrokerOrder))
        fills = tuple(fill_on_wire(row) for row in rows if isinstance(row, BrokerFill))
        activities = tuple(ActivityOnWire(**row._asdict()) for row in rows if isinstance(row, BrokerActivity))
        if orders:
            self._answer(200, ListOnWire[OrderOnWire](count=len(rows), rows=orders[:told]))
        elif activities:
            self._answer(200, ListOnWire[ActivityOnWire](count=len(rows), rows=activities[:told]))
        else:
            self._answer(200, ListOnWire[FillOnWire](count=len(rows), rows=fills[:told]))

    # ------------------------------------------------------------------------ what is said

    def _tell(self, answer: BrokerOrder | TradingError) -> None:
        status, body = _reply_of(answer)
        self._answer(status, body)

    def _tell_badly(self, lost: AnswerLost) -> None:
        """Do to the answer of a send what its fault says."""
        match lost.fault:
            case SendFault.SLOW:
                time.sleep(self.server.broker.behaviour.slow_s)
                self._tell(lost.answer)
            case SendFault.HALF_REPLY:
                status, body = _reply_of(lost.answer)
                self._answer(status, body, is_cut=True)
            case SendFault.RATE_LIMITED | SendFault.FAILED_BEFORE | SendFault.FAILED_AFTER:
                self._answer(_STATUS_OF[lost.fault], RefusalOnWire(code=lost.fault.value, message=""))
            case _:
                self._reset()

    def _guarded(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except QuestionLost as lost:
            if lost.fault is ReportFault.QUERY_LIMITED:
                self._answer(429, RefusalOnWire(code=lost.fault.value, message=""))
            else:
                self._reset()
        except BrokerUnavailable as error:
            self._answer(503, RefusalOnWire(code="unavailable", message=str(error)[:500]))
        except (ValidationError, ValueError, KeyError) as error:
            self._answer(400, RefusalOnWire(code="malformed", message=str(error)[:500]))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer(self, status: int, body: BaseModel | None, *, is_cut: bool = False) -> None:
        content = b"" if body is None else body.model_dump_json().encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if is_cut:
            content, self.close_connection = content[: len(content) // 2], True
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        """Break the connection so that the other end sees a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.close_connection = True
        self.connection.close()

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= BODY_BYTES_MAX:
            self.close_connection = True
            raise ValueError(f"body of {length} bytes: at most {BODY_BYTES_MAX}")
        return self.rfile.read(length)

    def _parameter(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query)[name][0]

    def _client_order_id(self) -> ClientOrderId:
        return ClientOrderId(self._parameter("client_order_id"))

    def _now(self) -> datetime:
        now = datetime.fromisoformat(self._parameter("now"))
        if now.tzinfo is None:
            raise ValueError(f"now {now}: has no time zone")
        return now


def _reply_of(answer: BrokerOrder | TradingError) -> tuple[int, BaseModel]:
    """Return status and body of the answer to a send."""
    if isinstance(answer, BrokerOrder):
        return 201, order_on_wire(answer)
    if isinstance(answer, DuplicateClientOrderId):
        return 409, RefusalOnWire(code=DUPLICATE_CODE, message=str(answer))
    code, _, message = str(answer).partition(": ")
    return 422, RefusalOnWire(code=code, message=message[:500])
