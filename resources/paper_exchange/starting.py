"""Put one book's exchange together: its broker, its ledger, its clock and its door."""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from resources.calendars import load_calendar
from resources.clocks import system_now
from resources.market_data.simulated_market import market_of
from resources.market_data.sources import IN_THE_BOX, SOURCES, source_of
from resources.paper_broker.behaviour_file import load_behaviour
from resources.paper_broker.broker import KIND, PaperBroker
from resources.paper_exchange.application import Application, Door, Keys
from resources.paper_exchange.clocks import ExchangeTime, SimulatedTime, SystemTime
from resources.paper_exchange.exchange import Exchange
from resources.paper_exchange.rate_limits import REQUESTS_PER_MINUTE, RateLimit
from resources.paper_exchange.server import ExchangeServer, Transports, bound, resetting
from resources.quality_rules import load_quality_limits
from resources.reviewed_config import BookLine, costs_of, deposit_of, read_books
from trading.errors import BadInput
from trading.quality import dates_of
from trading.values import Symbol

STARTS_BEFORE_OPEN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Hold how an exchange is asked for. `starts_at` is where a simulated clock begins, `None`: see below.

    `source` and `path` are what its market is made of, in the words of `books.toml`; without them it is the
    book's own first source.
    """

    book: str
    ledger: Path
    config_dir: Path
    books_file: Path
    keys: Keys
    port: int = 0
    is_simulated: bool = True
    starts_at: datetime | None = None
    behaviour: Path | None = None
    requests_per_minute: int = REQUESTS_PER_MINUTE
    source: str | None = None
    path: Path | None = None


def generated_keys() -> Keys:
    """Return a pair that nobody has guessed, shaped as Alpaca's are."""
    return Keys("PK" + secrets.token_hex(9).upper(), secrets.token_urlsafe(30))


def exchange_of(wanted: Wanted) -> Exchange:
    """Return a book's exchange on its ledger, made when missing; raises `BadInput` for an unknown book."""
    line = _line_of(wanted)
    calendar = load_calendar(line.calendar, wanted.config_dir / "calendars")
    source = source_of(wanted.book, line, root=wanted.config_dir.parent)
    rows = source.raw_bars(*dates_of(calendar, first=source.sessions()[0], last=source.sessions()[-1]))
    broker = PaperBroker(
        wanted.ledger,
        account=line.account,
        deposit_micros=deposit_of(wanted.book, line),
        market=market_of(
            source, calendar=calendar, limits=load_quality_limits(wanted.config_dir / "quality.toml")
        ),
        fill_model=costs_of(line),
        calendar=calendar,
        behaviour=load_behaviour(wanted.behaviour) if wanted.behaviour else KIND,
    )
    return Exchange(
        broker,
        account=line.account,
        currency=line.currency,
        calendar=calendar,
        symbols={Symbol(row.symbol) for row in rows},
    )


def time_of(wanted: Wanted, exchange: Exchange) -> ExchangeTime:
    """Return an exchange's clock: a simulated one starts an hour before its data's last open."""
    if not wanted.is_simulated:
        if wanted.starts_at is not None:
            raise BadInput("--starts-at: of a simulated clock alone; leave it out with --clock system")
        return SystemTime(system_now)
    starts_at = wanted.starts_at
    if starts_at is None:
        line = _line_of(wanted)
        source = source_of(wanted.book, line, root=wanted.config_dir.parent)
        last = line.last_session or source.sessions()[-1]
        starts_at = exchange.calendar.opens_at(last) - STARTS_BEFORE_OPEN
    return SimulatedTime(exchange.broker, starts_at=starts_at)


def _line_of(wanted: Wanted) -> BookLine:
    """Return the book's line, its source the one that is wanted; raises `BadInput` for an unknown book."""
    lines = read_books(wanted.books_file)
    if wanted.book not in lines:
        raise BadInput(f"--book {wanted.book}: no such book; known: {', '.join(lines)}")
    line = lines[wanted.book]
    if wanted.source is None:
        return line
    if wanted.source not in SOURCES:
        raise BadInput(f"--source {wanted.source[:100]!r}: one of {', '.join(SOURCES)}")
    if (wanted.path is None) != (wanted.source in IN_THE_BOX):
        needs = "is in the box: leave out --path" if wanted.path else "needs --path, the folder of its bars"
        raise BadInput(f"--source {wanted.source}: {needs}")
    return line.model_copy(update={"source": wanted.source, "path": wanted.path})


def serve(wanted: Wanted, *, ready: Callable[[str, Exchange, ExchangeTime], None]) -> None:
    """Serve a book's exchange until SIGINT or SIGTERM; `ready` is told where, once it answers."""
    exchange = exchange_of(wanted)
    listening = bound(wanted.port)
    url = f"http://{listening.getsockname()[0]}:{listening.getsockname()[1]}"
    try:
        with served_alone(wanted.ledger):
            clock = time_of(wanted, exchange)
            server = server_of(
                exchange, wanted=wanted, clock=clock, ready=lambda: ready(url, exchange, clock)
            )
            server.run(sockets=[listening])
    finally:
        listening.close()


@contextmanager
def served_alone(ledger: Path) -> Iterator[None]:
    """Hold a ledger while its exchange is served; raises `BadInput` while another process serves it.

    Two exchanges on one ledger would have a clock each, and the one that is behind would turn time back. The
    lock is a file of its own: to close the ledger's file would let go of what SQLite holds on it.
    """
    with ledger.with_name(f"{ledger.name}.served").open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                f"--ledger {ledger}: another exchange serves it; stop that one, or name another by --ledger"
            ) from error
        yield


def server_of(
    exchange: Exchange, *, wanted: Wanted, clock: ExchangeTime, ready: Callable[[], None] = lambda: None
) -> Any:
    """Return the server of an exchange, to be run on a bound socket."""
    transports: Transports = {}
    door = Door(
        keys=wanted.keys,
        time=clock,
        limit=RateLimit(wanted.requests_per_minute, wall_s=lambda: system_now().timestamp()),
        reset=resetting(transports),
    )
    return ExchangeServer(Application(exchange, door=door), transports=transports, ready=ready)
