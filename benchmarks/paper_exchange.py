"""How many orders the paper exchange takes in a second over HTTP, and how long one in a hundred waits.

The baseline is the same server in the same process, asked the same way, that answers a constant: what is
above it is the exchange. Each order is on disk before it is answered.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from measuring import PROJECT, Figure, Table

from resources.paper_exchange.application import Keys
from resources.paper_exchange.server import ExchangeServer, bound
from resources.paper_exchange.starting import Wanted, exchange_of, server_of, time_of

BOOK = "us_five"
KEYS = Keys("PKBENCH", "bench")
HEADERS = {"APCA-API-KEY-ID": KEYS.key_id, "APCA-API-SECRET-KEY": KEYS.secret}
ORDERS = 400
CLIENTS = (1, 8)


def measure() -> list[Figure | Table]:
    """Return the figures of submitting, asking and listing."""
    found: list[Figure | Table] = []
    with TemporaryDirectory(prefix="exchange-bench-") as folder:
        wanted = Wanted(
            book=BOOK,
            ledger=Path(folder) / "ledger.db",
            config_dir=PROJECT / "config",
            books_file=PROJECT / "config" / "books.toml",
            keys=KEYS,
            requests_per_minute=0,
        )
        exchange = exchange_of(wanted)
        server = server_of(exchange, wanted=wanted, clock=time_of(wanted, exchange))
        with _served(ExchangeServer(_constant, transports={})) as bare, _served(server) as url:
            for clients in CLIENTS:
                floor = _rate(bare, clients, _body)
                made = _rate(url, clients, _body)
                found += _figures(
                    f"orders submitted, {clients} at once", made, floor, "the bare server, POST"
                )
            floor = _rate(bare, 1, None)
            asked = _rate(url, 1, None)
            found += _figures(
                "orders asked for by their client order id", asked, floor, "the bare server, GET"
            )
    return found


Timed = tuple[float, float]
"""Requests in a second, and the 99th percentile of one in milliseconds."""


def _figures(what: str, timed: Timed, floor: Timed, baseline: str) -> list[Figure]:
    return [
        Figure(
            what=f"{what}, per second",
            value=round(timed[0]),
            unit="1/s",
            baseline=f"{baseline}: {floor[0]:.0f} 1/s",
            ratio=timed[0] / floor[0],
        ),
        Figure(
            what=f"{what}, p99",
            value=round(timed[1], 2),
            unit="ms",
            baseline=f"{baseline}: {floor[1]:.2f} ms",
            ratio=timed[1] / floor[1],
        ),
    ]


def _rate(url: str, clients: int, body: Callable[[int, int], dict[str, str]] | None) -> Timed:
    """Ask ORDERS times by so many clients, each over a connection of its own that is warm."""
    run = time.monotonic_ns()
    took: list[float] = []

    def ask(client: int) -> None:
        with httpx.Client(base_url=url, headers=HEADERS, timeout=60) as http:
            http.get("/v2/clock")
            for number in range(ORDERS // clients):
                began = time.perf_counter()
                if body is None:
                    reply = http.get(
                        "/v2/orders:by_client_order_id", params={"client_order_id": f"known-{number}"}
                    )
                else:
                    reply = http.post("/v2/orders", json=body(run + client, number))
                took.append((time.perf_counter() - began) * 1000)
                if reply.status_code not in {200, 404}:
                    raise RuntimeError(f"{url}: {reply.status_code} {reply.text[:200]}")

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(ask, range(clients)))
    lasted = time.perf_counter() - began
    return len(took) / lasted, sorted(took)[int(len(took) * 0.99)]


def _body(run: int, number: int) -> dict[str, str]:
    return {
        "symbol": "AAPL",
        "qty": "1",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
        "client_order_id": f"{run}-{number}",
    }


async def _constant(_: Any, receive: Callable[[], Any], send: Callable[[dict[str, Any]], Any]) -> None:
    """Read a request and answer what an order's answer is as long as."""
    while (await receive()).get("more_body"):
        pass
    content = json.dumps({"id": "0" * 900}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@contextmanager
def _served(server: Any) -> Iterator[str]:
    listening: socket.socket = bound(0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
