"""Ended at every drawn line while it trades over HTTP: SIGKILL in store, executor, reconciler and adapter.

The executor of kills.py sends, asks, cancels and replaces by Alpaca's protocol here, through the one HTTP
client, to a paper exchange that is a process of its own and outlives it. The exchange itself breaks
connections and answers 504, as its script says. The next process recovers; then everything is checked
against the exchange's own ledger, and that nothing arrived there more often than it was sent.

The protocol carries no reference price: of an arrival the digest is taken over what it does carry, and
counts as that of the bytes prepared where all of that is equal.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import resources
from proof import desk as desks
from proof.desk import (
    ACCOUNT,
    BEFORE,
    BOOK,
    CALENDAR,
    EARLY,
    LANE,
    LATER,
    SESSION,
    Desk,
    Fault,
    Scenario,
    Telling,
)
from proof.forks import (
    Found,
    Zygote,
    child,
    copied,
    healed,
    in_child,
    planted_caught,
    spread,
    uncaught,
    zygote,
)
from proof.kills import PRODUCT, PURE, Point, Trail, drawn, is_killed_at, lines_of, places, watched
from proof.planted import PLANTED, Plant
from proof.suite import Progress, Size, Told
from resources.alpaca_markets.broker import AlpacaBroker
from resources.alpaca_markets.hosts import AlpacaKeys
from resources.journal.reader import JournalReader
from resources.outbound.client import ExchangeFailed, OutboundClient, Reply
from resources.paper_broker.broker import KIND, PaperBroker
from resources.paper_exchange.application import Keys
from resources.paper_exchange.clocks import SimulatedTime
from resources.paper_exchange.exchange import Exchange
from resources.paper_exchange.server import bound
from resources.paper_exchange.starting import Wanted, server_of
from trading.broker_behaviour import Behaviour, SendFault
from trading.brokers import BrokerDump, request_payload
from trading.journal import JournalOrder
from trading.orders import OrderRequest
from trading.values import ClientOrderId, Symbol, digest

ADAPTER = Path(resources.__file__).parent / "alpaca_markets"
CLIENT = Path(resources.__file__).parent / "outbound" / "client.py"

WATCHED = watched(
    (*PRODUCT, *ADAPTER.glob("*.py"), CLIENT),
    # In how many pieces an answer comes is up to the wire.
    once_a_call=PURE | {"wire.py", "refusals.py", "hosts.py", CLIENT.name},
)
"""The lines that are points: those of kills.py, the adapter's, and those of the one HTTP client."""

KEYS = Keys("PKPROOF", "proof-secret")
SYMBOLS = frozenset({Symbol("AAPL"), Symbol("IBM")})


@dataclass(frozen=True, slots=True, kw_only=True)
class WireScenario(Scenario):
    """Hold one way in which an executor is used, and how the exchange behaves in it."""

    behaviour: Behaviour = KIND


def _over_the_wire(name: str, of: str = "", fault: SendFault | None = None, **changes: Any) -> WireScenario:
    """Return a scenario of desk.py as it is at an exchange, whose first answers meet a fault.

    An order for the opening auction is sent before it, and fills there.
    """
    told = next(scenario for scenario in desks.SCENARIOS if scenario.name == (of or name))
    same = {each.name: getattr(told, each.name) for each in fields(Scenario)}
    at = {"acts_at": EARLY, "recovers_at": EARLY + LATER, "fault": Fault.NONE}
    behaviour = KIND if fault is None else Behaviour(script=(fault,))
    return WireScenario(**same | at | {"name": name, "behaviour": behaviour} | changes)


SCENARIOS: tuple[WireScenario, ...] = (
    _over_the_wire("plain"),
    _over_the_wire("approve"),
    _over_the_wire("time_out", fault=SendFault.RESET_AFTER),
    _over_the_wire("gateway_time_out", of="time_out", fault=SendFault.FAILED_AFTER),
    _over_the_wire("duplicate", fault=SendFault.DUPLICATE_ANSWER),
    _over_the_wire("partial_fill"),
    _over_the_wire("cancel"),
    _over_the_wire("replace"),
    _over_the_wire("expiry", fault=SendFault.RESET_BEFORE, recovers_at=desks.CLOSE),
)


def run(size: Size, progress: Progress) -> Told:
    """Kill at drawn lines that each scenario executes over HTTP, after the planted bugs were found."""
    return killed(size, progress, names=[scenario.name for scenario in SCENARIOS], planted=list(PLANTS))


def killed(size: Size, progress: Progress, *, names: Sequence[str], planted: Sequence[str]) -> Told:
    """Kill at drawn lines of the named scenarios, once the planted bugs of those names were found.

    Drawn as in kills.py: one moment of every line before any second one.
    """
    began = time.monotonic()
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    plants = {name: PLANTS[name] for name in planted}
    with zygote(scenarios) as at:
        trails = {scenario.name: trail(at, scenario) for scenario in scenarios}
        points = drawn(trails, size)
        caught = planted_caught(at, size, _points_of, _kill, plants=plants, scenarios=scenarios)
        found = spread(at, points, _kill, workers=size.workers, progress=progress)
    parts = Counter(point.scenario for point in points)
    parts["distinct lines in them"] = len(places(trails, points))
    parts["of distinct lines"] = sum(len(set(lines)) for lines in trails.values())
    parts["of line events"] = sum(len(lines) for lines in trails.values())
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="; ".join(plants),
        is_planted_bug_caught=all(caught.values()),
        violations=(*found.violations, *uncaught(caught)),
        parts=dict(parts),
    )


def trail(at: Zygote, scenario: Scenario) -> Trail:
    """Return every line that a scenario executes over HTTP when nobody kills it, in order."""
    with served(at, scenario) as desk:
        told = in_child(at, lambda: lines_of(lambda: desks.act(desk, scenario), files=WATCHED))
    return [(str(file), int(line)) for file, line in told]


def _points_of(at: Zygote, scenario: Scenario) -> list[Point]:
    return [Point(scenario.name, line + 1) for line in range(len(trail(at, scenario)))]


def _kill(at: Zygote, point: Point) -> Found:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == point.scenario)
    with served(at, scenario) as desk:
        if not is_killed_at(at, point.line, partial(desks.act, desk, scenario), files=WATCHED):
            return Found(0, (f"{point}: ended before the line",))
        often = [f"{point}: at its death: {each}" for each in heard_too_often(desk)]
        found = healed(at, desk, scenario, point)
        often += [f"{point}: {each}" for each in heard_too_often(desk)]
        return Found(1, (*often, *found))


# -------------------------------------------------------------------------------- the exchange


@dataclass(frozen=True, slots=True)
class WireDesk(Desk):
    """Name the files of a desk whose broker is an exchange that answers at `url`."""

    url: str

    def broker(self, *, volume: int) -> Telling:
        """Return the adapter of the exchange, which also tells what stands in the exchange's ledger."""
        client = OutboundClient(
            "paper_exchange", self.url, headers=AlpacaKeys(key_id=KEYS.key_id, secret=KEYS.secret).headers()
        )
        return _Told(client, desk=self, volume=volume)

    def prepared(self) -> Mapping[ClientOrderId, JournalOrder]:
        """Return every order that the journal holds, by its id."""
        journal = JournalReader(self.journal_url)
        return {
            order.client_order_id: order
            for session in (BEFORE, SESSION)
            for order in journal.orders(book=BOOK, lane=LANE, session=session)
        }


class _Told(AlpacaBroker):
    """Trade over the wire, and tell for the proof what the exchange itself has."""

    def __init__(self, client: OutboundClient, *, desk: WireDesk, volume: int) -> None:
        super().__init__(client, data=client, calendar=CALENDAR, is_live=False, is_clock_simulated=True)
        self._desk = desk
        self._volume = volume

    def dump(self) -> BrokerDump:
        """Return the exchange's own ledger; an arrival of what was prepared has the prepared digest."""
        told = self._desk.paper_broker(volume=self._volume).dump()
        prepared = {carried(order.request): order.request_sha for order in self._desk.prepared().values()}
        return replace(
            told,
            arrivals=tuple(
                arrival._replace(request_sha=prepared.get(arrival.request_sha, arrival.request_sha))
                for arrival in told.arrivals
            ),
        )


def carried(request: OrderRequest) -> str:
    """Return the digest of all of a request that Alpaca's protocol carries: it has no reference price."""
    return digest(request_payload(replace(request, reference_price_micros=0)))


def heard_too_often(desk: WireDesk) -> list[str]:
    """Return each id under which more arrived at the exchange than sends of it were begun."""
    arrivals = desk.paper_broker(volume=desks.MUCH).dump().arrivals
    sent = {name: order.attempts for name, order in desk.prepared().items()}
    return [
        f"{name}: arrived {count} times, sent {sent.get(name, 0)} times"
        for name, count in Counter(arrival.client_order_id for arrival in arrivals).items()
        if count > sent.get(name, 0)
    ]


@contextmanager
def served(at: Zygote, scenario: Scenario) -> Iterator[WireDesk]:
    """Give a copy of a scenario's desk whose exchange is a process of its own and outlives its clients."""
    with copied(at, at.templates[scenario.name]) as desk, bound(0) as listening:
        # From here on whoever comes waits for the exchange, and is not refused.
        listening.listen()

        def serve() -> None:
            # It says of each connection that it breaks that nothing was answered.
            logging.disable(logging.CRITICAL)
            broker = PaperBroker(
                desk.ledger,
                account=ACCOUNT,
                deposit_micros=desks.DEPOSIT_MICROS,
                market=desks.Market(scenario.volume),
                fill_model=desks.MODEL,
                calendar=CALENDAR,
                behaviour=scenario.behaviour if isinstance(scenario, WireScenario) else KIND,
            )
            wanted = Wanted(
                book=BOOK,
                ledger=desk.ledger,
                config_dir=desk.folder,
                books_file=desk.folder,
                keys=KEYS,
                requests_per_minute=0,
            )
            exchange = Exchange(broker, account=ACCOUNT, currency="USD", calendar=CALENDAR, symbols=SYMBOLS)
            clock = SimulatedTime(broker, starts_at=desks.DECIDED_AT)
            server_of(exchange, wanted=wanted, clock=clock).run(sockets=[listening])

        pid = child(at, serve)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.close()
        try:
            yield WireDesk(desk.folder, url)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


# -------------------------------------------------------------------------------- what is planted


def _repeat_after_a_reset() -> None:
    """Have the client send again by itself where a connection broke."""
    send = OutboundClient.send

    def repeated(self: OutboundClient, *given: Any, **named: Any) -> Reply:
        try:
            return send(self, *given, **named)
        except ExchangeFailed as failed:
            if failed.word not in {"reset", "half_reply"}:
                raise
            return send(self, *given, **named)

    OutboundClient.send = repeated  # type: ignore[method-assign]


def _repeat_after_a_504() -> None:
    """Have the client send again by itself where a gateway gave up."""
    send = OutboundClient.send

    def repeated(self: OutboundClient, *given: Any, **named: Any) -> Reply:
        reply = send(self, *given, **named)
        return send(self, *given, **named) if reply.status == 504 else reply

    OutboundClient.send = repeated  # type: ignore[method-assign]


PLANTS: dict[str, Plant] = {
    **PLANTED,
    "a client that repeats a POST after a reset": Plant(
        "time_out", _repeat_after_a_reset, ("arrived 2 times",)
    ),
    "a client that repeats a POST after a 504": Plant(
        "gateway_time_out", _repeat_after_a_504, ("arrived 2 times",)
    ),
}
