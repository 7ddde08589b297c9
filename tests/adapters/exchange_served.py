"""A paper exchange served on loopback for one test, and Alpaca's own client of it."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from alpaca.trading.client import TradingClient

from resources.paper_broker.broker import KIND, PaperBroker
from resources.paper_exchange.application import Keys
from resources.paper_exchange.clocks import SimulatedTime
from resources.paper_exchange.exchange import Exchange
from resources.paper_exchange.server import bound
from resources.paper_exchange.starting import Wanted, server_of
from tests.adapters.broker_rules import ACCOUNT, CALENDAR, DEPOSIT, EARLY, MODEL, Market
from trading.broker_behaviour import Behaviour
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.values import Symbol

KEYS = Keys("PKTEST", "a secret of the tests")
HEADERS = {"APCA-API-KEY-ID": KEYS.key_id, "APCA-API-SECRET-KEY": KEYS.secret}

NOBODY_TRUSTED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For a client of plain HTTP: to read whom the world trusts takes longer than most of the tests."""


@dataclass(frozen=True)
class Served:
    """Hold where an exchange answers, and what stands behind it."""

    url: str
    exchange: Exchange
    http: httpx.Client

    @property
    def broker(self) -> PaperBroker:
        return self.exchange.broker

    def client(self) -> TradingClient:
        """Return Alpaca's own client; it waits a moment before it sends again by itself."""
        client = TradingClient(KEYS.key_id, KEYS.secret, url_override=self.url)
        client._retry_wait = 0
        return client

    def at(self, now: datetime) -> None:
        """Move the exchange's clock."""
        told = self.http.post("/simulation/clock", json={"now": now.isoformat()})
        assert told.status_code == 200, told.text


@contextmanager
def served(
    path: Path,
    *,
    market: Any = None,
    behaviour: Behaviour = KIND,
    calendar: Calendar = CALENDAR,
    model: FillModel = MODEL,
    starts_at: datetime = EARLY,
    requests_per_minute: int = 0,
    deposit_micros: int = DEPOSIT,
    **parts: Any,
) -> Iterator[Served]:
    broker = PaperBroker(
        path,
        account=ACCOUNT,
        deposit_micros=deposit_micros,
        market=Market(AAPL=10**6, IBM=10**6) if market is None else market,
        fill_model=model,
        calendar=calendar,
        behaviour=behaviour,
        **parts,
    )
    exchange = Exchange(
        broker,
        account=ACCOUNT,
        currency="USD",
        calendar=calendar,
        symbols={Symbol("AAPL"), Symbol("IBM")},
    )
    wanted = Wanted(
        book="test",
        ledger=path,
        config_dir=path.parent,
        books_file=path.parent,
        keys=KEYS,
        requests_per_minute=requests_per_minute,
    )
    listening = bound(0)
    answers = threading.Event()
    server = server_of(
        exchange, wanted=wanted, clock=SimulatedTime(broker, starts_at=starts_at), ready=answers.set
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert answers.wait(60), "the exchange never answered"
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=url, headers=HEADERS, timeout=20, verify=NOBODY_TRUSTED) as http:
            yield Served(url, exchange, http)
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


def until(holds, *, seconds=30.0):
    """Wait until something holds; fail where it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)
