"""The exchange on its wire: a plain ASGI application, and the faults that really happen there.

What is answered is exchange.py; serving it on a port is server.py.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from resources.paper_broker.broker import QuestionLost
from resources.paper_exchange import refusals
from resources.paper_exchange.clocks import ExchangeTime
from resources.paper_exchange.exchange import (
    Answer,
    Exchange,
    ListCut,
    Parameters,
    SendLost,
    instant_parameter,
)
from resources.paper_exchange.market_data import MarketDataDoor
from resources.paper_exchange.rate_limits import RateLimit
from resources.paper_exchange.refusals import ApiRefusal
from resources.paper_exchange.stream import Bell, Stream
from trading.broker_behaviour import ReportFault, SendFault
from trading.errors import TradingError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

BODY_BYTES_MAX = 64 * 1024
THREADS = 8

KEY_ID_HEADER, SECRET_HEADER = b"apca-api-key-id", b"apca-api-secret-key"
SIMULATED_NOW_HEADER = b"x-simulated-now"

STATUS_OF = {SendFault.RATE_LIMITED: 429, SendFault.FAILED_BEFORE: 500, SendFault.FAILED_AFTER: 504}
"""What a practised fault is answered with; 504 is what the official client sends again by itself."""


class Keys(NamedTuple):
    """Hold the pair that a client has to show."""

    key_id: str
    secret: str

    def fit(self, key_id: str, secret: str) -> bool:
        """Say whether a pair is this one, in a time that tells nothing of where it differs."""
        fits = hmac.compare_digest(self.key_id.encode(), key_id.encode())
        return hmac.compare_digest(self.secret.encode(), secret.encode()) and fits


class Asked(NamedTuple):
    """Hold one request: `part` is what its path names."""

    part: str
    parameters: Parameters
    content: bytes
    now: datetime


Answering = Callable[[Asked], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Hold who may come in, how often, and what time it is."""

    keys: Keys
    time: ExchangeTime
    limit: RateLimit
    reset: Callable[[Scope], None]


class Application:
    """Answer HTTP requests; a thread of its own works on each, so that a slow one holds nobody."""

    def __init__(self, exchange: Exchange, *, door: Door) -> None:
        self._exchange = exchange
        self._door = door
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="exchange")
        self._routes = _routes(exchange, MarketDataDoor(exchange))
        self._bell = Bell()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await self._stream(scope, receive, send)
            return
        content = await _body(receive)
        passes, headers = self._door.limit.take()
        try:
            if not passes:
                raise refusals.rate_limited()
            answering, asked = self._asked(scope, content)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, answering, asked)
            self._bell.ring()
        except ApiRefusal as refusal:
            answer = Answer(refusal.status, refusal.body())
        except SendLost as lost:
            self._bell.ring()
            await self._lose(scope, send, headers, lost)
            return
        except ListCut as cut:
            await _tell(send, cut.answer, headers, is_cut=True)
            return
        except QuestionLost as lost:
            if lost.fault is not ReportFault.QUERY_LIMITED:
                self._door.reset(scope)
                return
            limited = refusals.rate_limited()
            answer = Answer(limited.status, limited.body())
        except TradingError as error:
            answer = Answer(500, {"code": refusals.INTERNAL, "message": str(error)[:500]})
        await _tell(send, answer, headers)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/stream":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        stream = Stream(
            self._exchange,
            fits=self._door.keys.fit,
            bell=self._bell,
            threads=self._threads,
            advance=self._advance,
        )
        await stream.serve(receive, send)

    def _advance(self) -> None:
        """Let the market do what is due by now, so that it is told without anybody asking."""
        with self._exchange.broker.look(now=self._door.time.now()):
            return

    def _asked(self, scope: Scope, content: bytes | None) -> tuple[Answering, Asked]:
        if content is None:
            raise refusals.bad_body(f"request body is longer than {BODY_BYTES_MAX} bytes")
        headers = dict(scope["headers"])
        self._admit(headers)
        parameters = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        path = scope["path"]
        if (scope["method"], path) == ("POST", "/simulation/clock"):
            return self._move_clock, Asked("", parameters, content, self._door.time.now())
        for method, pattern, answering in self._routes:
            found = pattern.fullmatch(path)
            if found and method == scope["method"]:
                part = found.group(1) if found.groups() else ""
                return answering, Asked(part, parameters, content, self._now(headers))
        raise refusals.not_found("endpoint not found")

    def _admit(self, headers: Mapping[bytes, bytes]) -> None:
        key_id, secret = headers.get(KEY_ID_HEADER), headers.get(SECRET_HEADER)
        if key_id is None or secret is None:
            raise refusals.unauthorized()
        if not self._door.keys.fit(key_id.decode("latin-1"), secret.decode("latin-1")):
            raise refusals.forbidden()

    def _now(self, headers: Mapping[bytes, bytes]) -> datetime:
        told = headers.get(SIMULATED_NOW_HEADER)
        if told is None:
            return self._door.time.now()
        at = instant_parameter("X-Simulated-Now", told.decode("latin-1"))
        self._door.time.move_to(at)
        return at

    def _move_clock(self, asked: Asked) -> Answer:
        try:
            wanted = json.loads(asked.content)["now"]
        except (ValueError, KeyError, TypeError) as error:
            raise refusals.bad_body('request body format is invalid: {"now": "<instant>"}') from error
        now = self._door.time.set_to(instant_parameter("now", str(wanted)))
        with self._exchange.broker.look(now=now):
            return self._exchange.clock(now=now)

    async def _lose(
        self, scope: Scope, send: Send, headers: list[tuple[bytes, bytes]], lost: SendLost
    ) -> None:
        """Do to the answer of a send what its fault says."""
        answer = lost.answer
        match lost.fault:
            case SendFault.SLOW:
                await asyncio.sleep(self._exchange.broker.behaviour.slow_s)
                await _tell(send, answer, headers)
            case SendFault.HALF_REPLY:
                await _tell(send, answer, headers, is_cut=True)
            case SendFault.RATE_LIMITED:
                await _tell(send, Answer(429, refusals.rate_limited().body()), headers)
            case SendFault.FAILED_BEFORE | SendFault.FAILED_AFTER:
                status = STATUS_OF[lost.fault]
                await _tell(send, Answer(status, {"message": lost.fault.value}), headers)
            case _:
                self._door.reset(scope)


def _routes(exchange: Exchange, data: MarketDataDoor) -> list[tuple[str, re.Pattern[str], Answering]]:
    """Return what is answered, by method and path; the part in brackets is what the path names."""
    told: list[tuple[str, str, Answering]] = [
        ("POST", "/v2/orders", lambda asked: exchange.submit(asked.content, now=asked.now)),
        ("GET", "/v2/orders", lambda asked: exchange.orders(asked.parameters, now=asked.now)),
        ("DELETE", "/v2/orders", lambda asked: exchange.cancel_all(now=asked.now)),
        (
            "GET",
            "/v2/orders:by_client_order_id",
            lambda asked: exchange.order_by_client_order_id(asked.parameters, now=asked.now),
        ),
        ("GET", "/v2/orders/([^/]+)", lambda asked: exchange.order(asked.part, now=asked.now)),
        (
            "PATCH",
            "/v2/orders/([^/]+)",
            lambda asked: exchange.replace(asked.part, asked.content, now=asked.now),
        ),
        ("DELETE", "/v2/orders/([^/]+)", lambda asked: exchange.cancel(asked.part, now=asked.now)),
        ("GET", "/v2/account", lambda asked: exchange.account_told(now=asked.now)),
        ("GET", "/v2/positions", lambda asked: exchange.positions(now=asked.now)),
        (
            "DELETE",
            "/v2/positions",
            lambda asked: exchange.close_all_positions(asked.parameters, now=asked.now),
        ),
        (
            "DELETE",
            "/v2/positions/([^/]+)",
            lambda asked: exchange.close_position(asked.part, asked.parameters, now=asked.now),
        ),
        ("GET", "/v2/positions/([^/]+)", lambda asked: exchange.position(asked.part, now=asked.now)),
        ("GET", "/v2/account/activities", lambda asked: exchange.activities(asked.parameters, now=asked.now)),
        (
            "GET",
            "/v2/account/activities/([^/]+)",
            lambda asked: exchange.activities(asked.parameters, now=asked.now, kind=asked.part),
        ),
        ("GET", "/v2/stocks/bars", lambda asked: data.bars(asked.parameters, now=asked.now)),
        (
            "GET",
            "/v2/stocks/([^/]+)/bars",
            lambda asked: data.bars(asked.parameters, now=asked.now, symbol=asked.part),
        ),
        ("GET", "/v2/stocks/quotes/latest", lambda asked: data.quotes(asked.parameters, now=asked.now)),
        (
            "GET",
            "/v2/stocks/([^/]+)/quotes/latest",
            lambda asked: data.quotes(asked.parameters, now=asked.now, symbol=asked.part),
        ),
        ("GET", "/v2/stocks/trades/latest", lambda asked: data.trades(asked.parameters, now=asked.now)),
        (
            "GET",
            "/v1/corporate-actions",
            lambda asked: data.corporate_actions(asked.parameters, now=asked.now),
        ),
        ("GET", "/v2/clock", lambda asked: exchange.clock(now=asked.now)),
        ("GET", "/v2/calendar", lambda asked: exchange.calendar_told(asked.parameters)),
        ("GET", "/v2/assets", lambda asked: exchange.assets(asked.parameters)),
        ("GET", "/v2/assets/([^/]+)", lambda asked: exchange.asset(asked.part)),
    ]
    return [(method, re.compile(path), answering) for method, path, answering in told]


async def _body(receive: Receive) -> bytes | None:
    """Return a request's body, `None` for one that is too long to be read."""
    parts, length = [], 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > BODY_BYTES_MAX:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


async def _tell(
    send: Send, answer: Answer, headers: list[tuple[bytes, bytes]], *, is_cut: bool = False
) -> None:
    content = b"" if answer.body is None and answer.status == 204 else json.dumps(answer.body).encode()  # noqa: PLR2004 - no content
    described = [(b"content-type", b"application/json; charset=UTF-8")] if content else []
    length = [(b"content-length", b"%d" % len(content))] if answer.status != 204 else []  # noqa: PLR2004 - no content
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": [*described, *length, *headers]}
    )
    if is_cut:
        await send({"type": "http.response.body", "body": content[: len(content) // 2], "more_body": True})
        # It is never completed, so that the server hangs up.
        return
    await send({"type": "http.response.body", "body": content})
