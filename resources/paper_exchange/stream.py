"""The stream of order updates over a websocket, as Alpaca's `/stream` tells it: authenticate, listen, hear.

What is told is exchange.py; an update is told once it is in the ledger, and so after a restart too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from resources.paper_exchange.exchange import Exchange

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

TRADE_UPDATES = "trade_updates"
LOOK_EVERY_S = 1.0
"""How often the ledger is looked at where nobody said that something happened: another process may write."""


class Bell:
    """Ring for everybody who waits, when something may have happened."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Wake them."""
        for event in self._waiting:
            event.set()

    async def wait(self, event: asyncio.Event) -> None:
        """Wait for the next ring, or for the time to look anyway."""
        self._waiting.add(event)
        try:
            await asyncio.wait_for(event.wait(), LOOK_EVERY_S)
        except TimeoutError:
            return
        finally:
            self._waiting.discard(event)


class Stream:
    """Tell one client of updates from the moment it begins to listen."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        fits: Callable[[str, str], bool],
        bell: Bell,
        threads: Executor,
        advance: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._fits = fits
        self._bell = bell
        self._threads = threads
        self._advance = advance

    async def serve(self, receive: Receive, send: Send) -> None:
        """Talk to one client until it leaves, or does not show its keys."""
        await receive()
        await send({"type": "websocket.accept"})
        if not await self._authenticated(receive, send):
            await send({"type": "websocket.close", "code": 1008})
            return
        telling: asyncio.Task[None] | None = None
        try:
            while (message := await receive())["type"] == "websocket.receive":
                streams = _streams(message)
                if streams is None:
                    continue
                if TRADE_UPDATES in streams and telling is None:
                    last = await self._in_thread(self._exchange.last_update)
                    telling = asyncio.create_task(self._tell(send, last))
                await _say(send, {"stream": "listening", "data": {"streams": streams}})
        finally:
            if telling is not None:
                telling.cancel()

    async def _authenticated(self, receive: Receive, send: Send) -> bool:
        message = await receive()
        if message["type"] != "websocket.receive":
            return False
        said = _said(message)
        data = said.get("data") if isinstance(said.get("data"), dict) else said
        data = data if isinstance(data, dict) else {}
        key_id = str(data.get("key_id", said.get("key", "")))
        fits = self._fits(key_id, str(data.get("secret_key", said.get("secret", ""))))
        status = "authorized" if fits else "unauthorized"
        data = {"status": status, "action": "authenticate"}
        await _say(send, {"stream": "authorization", "data": data})
        return fits

    async def _tell(self, send: Send, last: int) -> None:
        while True:
            event = asyncio.Event()
            waiting = asyncio.create_task(self._bell.wait(event))
            await self._in_thread(self._advance)
            for seq, told in await self._in_thread(partial(self._exchange.updates_after, last)):
                await _say(send, told)
                last = seq
            await waiting

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _said(message: dict[str, Any]) -> dict[str, Any]:
    try:
        said = json.loads(message.get("bytes") or message.get("text") or "")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _streams(message: dict[str, Any]) -> list[str] | None:
    said = _said(message)
    if said.get("action") != "listen" or not isinstance(said.get("data"), dict):
        return None
    wanted = said["data"].get("streams", [])
    return [TRADE_UPDATES] if isinstance(wanted, list) and TRADE_UPDATES in wanted else []


async def _say(send: Send, told: dict[str, Any]) -> None:
    """Say it in a binary frame, as Alpaca does."""
    await send({"type": "websocket.send", "bytes": json.dumps(told).encode()})
