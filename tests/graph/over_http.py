"""A paper exchange on loopback whose every request is seen, and may be answered badly; desks routed to it.

What a desk does is desk.py. Time between requests is `Wall`'s where a test says so: nobody really waits.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import resources.paper_exchange.starting
import resources.profile_brokers
from proof.transport import ROUTES
from resources.outbound.client import OutboundClient
from resources.outbound.limits import RateLimits
from resources.paper_exchange.application import Keys
from resources.paper_exchange.exchange import Exchange
from resources.paper_exchange.server import bound
from resources.paper_exchange.starting import Wanted, exchange_of, server_of, time_of
from tests.graph.desk import CALENDAR, CONFIG, FIRST

KEYS = Keys("PKGRAPH", "a secret of the graph's tests")
LATENCY_S = 0.01


class Wall:
    """Be the real time of client and exchange: it passes by a moment a request, and by what is waited."""

    def __init__(self) -> None:
        self.s = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 5, 15, 0, tzinfo=UTC) + timedelta(seconds=self.s)

    def sleep(self, seconds: float) -> None:
        self.s += seconds

    def used_by(self, monkeypatch: Any) -> None:
        """Have the product's clients wait by this time."""
        limits = partial(RateLimits, clock=self.now)
        client = partial(OutboundClient, clock=self.now, sleep=self.sleep)
        monkeypatch.setattr(resources.profile_brokers, "RateLimits", limits)
        monkeypatch.setattr(resources.profile_brokers, "OutboundClient", client)
        monkeypatch.setattr(resources.paper_exchange.starting, "system_now", self.now)


class Asked(NamedTuple):
    """Hold one request that reached the exchange, and its answer's status."""

    at_s: float
    method: str
    path: str
    status: int


Body = Callable[[Any], Any]
"""Makes the JSON of an answer into what is told instead: another one, or bytes."""


@dataclass
class Door:
    """Stand between the exchange and whoever asks; `changes` make other answers, `before` sees each call.

    `refusals` says what who has no or wrong keys is told, by the headers of the request.
    """

    exchange: Exchange
    wall: Wall
    asked: list[Asked] = field(default_factory=list)
    changes: dict[str, Body] = field(default_factory=dict)
    before: Callable[[int, str, str], None] = lambda _number, _method, _path: None
    refusals: Callable[[Any], Any] | None = None
    url: str = ""

    def through(self, inner: Any) -> Any:
        """Return the application behind this door."""

        async def application(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await inner(scope, receive, send)
                return
            method, path = scope["method"], scope["path"]
            self.before(len(self.asked), method, path)
            self.wall.sleep(LATENCY_S)
            at_s = self.wall.s
            head: dict[str, Any] = {}
            parts: list[bytes] = []

            async def told(message: Any) -> None:
                if message["type"] == "http.response.start":
                    head.update(message)
                    self.asked.append(Asked(at_s, method, path, message["status"]))
                    return
                parts.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                content = b"".join(parts)
                change = self.changes.get(path)
                if change is not None and head["status"] == 200:
                    changed = change(json.loads(content))
                    content = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
                if self.refusals is not None and head["status"] in {401, 403}:
                    content = json.dumps(self.refusals(scope["headers"])).encode()
                headers = [pair for pair in head["headers"] if pair[0] != b"content-length"]
                head["headers"] = [*headers, (b"content-length", b"%d" % len(content))]
                await send(head)
                await send({"type": "http.response.body", "body": content})

            await inner(scope, receive, told)

        return application


@contextmanager
def exchange(
    ledger: Path,
    *,
    wall: Wall | None = None,
    starts_at: date = FIRST,
    keys: Keys = KEYS,
    requests_per_minute: int = 0,
) -> Iterator[Door]:
    """Serve the paper exchange of `us_five` from this process, and give its door."""
    wanted = Wanted(
        book="us_five",
        ledger=ledger,
        config_dir=CONFIG,
        books_file=CONFIG / "books.toml",
        keys=keys,
        starts_at=CALENDAR.opens_at(starts_at) - timedelta(days=1),
        requests_per_minute=requests_per_minute,
    )
    served = exchange_of(wanted)
    door = Door(served, wall or Wall())
    listening = bound(0)
    answers = threading.Event()
    server = server_of(served, wanted=wanted, clock=time_of(wanted, served), ready=answers.set)
    server.config.app = door.through(server.config.app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert answers.wait(60), "the exchange never answered"
        door.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield door
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


def routed_to(door: Door, folder: Path, monkeypatch: Any, *, keys: Keys = KEYS) -> dict[str, Any]:
    """Return the settings of a desk whose orders go to an exchange; its keys are in the environment."""
    config = Path(shutil.copytree(CONFIG, folder / "config"))
    (config / "routes.toml").write_text(ROUTES, encoding="utf-8")
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", keys.key_id)
    monkeypatch.setenv("TRADING_BROKER_APP_SECRET", keys.secret)
    return {
        "config_dir": config,
        "books_file": config / "books.toml",
        "broker_base_url": door.url,
    }
