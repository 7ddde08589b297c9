"""The same sessions by two ways: the embedded paper broker, and Alpaca's protocol over HTTP.

The product's own graph trades both, each in a folder of its own; the paper exchange stands behind the second
way, with a ledger of its own. What came of a session has to be the same to the micro-unit: orders, fills,
the book, its result, and the broker's own account. Processes that are ended over this transport are
transport_kills.py.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from pydantic import SecretStr

import resources.profile_brokers
from jobs.session_jobs import job_name
from proof.suite import Progress, Size, Told
from resources.alpaca_markets.wire import FillOnAlpaca
from resources.calendars import load_calendar
from resources.paper_exchange.application import Keys
from resources.paper_exchange.server import bound
from resources.paper_exchange.starting import Wanted, exchange_of, server_of, time_of
from resources.profiles import Profiled
from resources.settings import Profile, Settings
from trading_assets.definitions import definitions_of
from trading_assets.tables import OF_SESSIONS, ROW_TYPES

CONFIG = Path(__file__).resolve().parents[1] / "config"
CALENDAR = load_calendar("XNYS", CONFIG / "calendars")
BOOK, ACCOUNT = "us_five", "SIM-FIVE"
WINDOW = 130
LAST = date(2013, 3, 1)

KEYS = Keys("PKPROOF", "proof-secret")
EMBEDDED, EXCHANGE = "embedded_paper", "paper_exchange"

ROUTES = """
[[routes]]
account = "*"
market = "*"
strategy = "*"
adapters = ["embedded_paper"]
reason = "the other book"

[[routes]]
account = "SIM-FIVE"
market = "*"
strategy = "*"
adapters = ["paper_exchange"]
reason = "what is compared"

[adapters.paper_exchange]
account = "SIM-FIVE"
"""

PLANTED = "an adapter that rounds the prices of fills to cents"
CENT_MICROS = 10_000
PLANTED_ON = date(2013, 2, 20)
"""A session on which a book that is opened then trades: where nothing fills, no price can be found wrong."""
CASH_DIFFERS = "cash: book"
"""What a reconciliation says where an account has other money than the fills make."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Traded(NamedTuple):
    """Hold what came of one session, without ids: orders, fills, the closing book, results, the account."""

    orders: list[tuple[Any, ...]]
    fills: list[tuple[Any, ...]]
    closing: dict[str, Any]
    metrics: list[tuple[Any, ...]]
    account: list[tuple[Any, ...]]


def run(size: Size, progress: Progress) -> Told:
    """Trade `size.points` sessions both ways and compare each, after the planted bug was found."""
    began = time.monotonic()
    sessions = CALENDAR.before(LAST, size.points)
    wanted = sorted({PLANTED_ON, *sessions})
    with imported(wanted) as state, tempfile.TemporaryDirectory(prefix="transport-") as name:
        folder = Path(name)
        is_caught = _is_planted_caught(state, folder / "planted")
        found, counts = compared(state, folder, sessions, progress)
    return Told(
        points=len(sessions),
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug=PLANTED,
        is_planted_bug_caught=is_caught,
        violations=found,
        parts=counts,
    )


def compared(
    state: Path, folder: Path, sessions: Sequence[date], progress: Progress = lambda _: None
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return where the two ways differ, and how many orders and fills were compared."""
    violations: list[str] = []
    counts = {"orders": 0, "fills": 0}
    with (
        _desk(state, folder / EMBEDDED, adapter=EMBEDDED) as embedded,
        exchange(folder / "exchange.db", starts_at=sessions[0]) as url,
        _desk(state, folder / EXCHANGE, adapter=EXCHANGE, url=url) as served,
    ):
        for number, session in enumerate(sessions, start=1):
            here, there = embedded(session), served(session)
            counts["orders"] += len(here.orders)
            counts["fills"] += len(here.fills)
            violations += [
                f"{session} {name}: embedded {one}, over HTTP {other}"
                for name, one, other in zip(Traded._fields, here, there, strict=True)
                if one != other
            ]
            progress(number)
    if not counts["fills"]:
        violations.append("nothing was filled, so nothing was compared")
    return tuple(violations), counts


@contextmanager
def imported(sessions: Sequence[date]) -> Iterator[Path]:
    """Give a folder with the quotes of sessions and of their windows."""
    with tempfile.TemporaryDirectory(prefix="imported-") as name:
        settings = _settings(Path(name) / "state", CONFIG)
        job = definitions_of(settings).resolve_job_def(job_name(BOOK, "import_quotes"))
        with dg.DagsterInstance.ephemeral() as instance, _quietly():
            settings.profile_dir.mkdir(parents=True)
            done = job.execute_in_process(
                instance=instance,
                run_config=QUIET,
                tags={
                    "dagster/asset_partition_range_start": str(CALENDAR.before(sessions[0], WINDOW)[0]),
                    "dagster/asset_partition_range_end": str(sessions[-1]),
                },
            )
        if not done.success:
            raise AssertionError("the quotes were not imported")
        yield settings.state_dir


@contextmanager
def exchange(ledger: Path, *, starts_at: date) -> Iterator[str]:
    """Serve a paper exchange on a ledger from this process, and give its address."""
    ledger.parent.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(
        book=BOOK,
        ledger=ledger,
        config_dir=CONFIG,
        books_file=CONFIG / "books.toml",
        keys=KEYS,
        starts_at=CALENDAR.opens_at(starts_at) - timedelta(days=1),
        requests_per_minute=0,
    )
    served = exchange_of(wanted)
    listening = bound(0)
    answers = threading.Event()
    server = server_of(served, wanted=wanted, clock=time_of(wanted, served), ready=answers.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        if not answers.wait(60):
            raise AssertionError("the exchange never answered")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listening.close()


@contextmanager
def _desk(
    state: Path, folder: Path, *, adapter: str, url: str | None = None
) -> Iterator[Callable[[date], Traded]]:
    """Give what trades a session at a desk whose orders go by one adapter."""
    config = CONFIG if adapter == EMBEDDED else shutil.copytree(CONFIG, folder / "config")
    if adapter != EMBEDDED:
        (config / "routes.toml").write_text(ROUTES, encoding="utf-8")
    settings = _settings(Path(shutil.copytree(state, folder / "state")), config, url)
    profiled = Profiled(settings, assets=OF_SESSIONS)
    definitions = definitions_of(settings)

    def trade(session: date) -> Traded:
        with dg.DagsterInstance.ephemeral() as instance, _quietly(), _with_keys():
            done = definitions.resolve_job_def(job_name(BOOK, "session")).execute_in_process(
                partition_key=str(session), instance=instance, run_config=QUIET, raise_on_error=True
            )
        if not done.success:
            raise AssertionError(f"{session} was not traded by way of {adapter}")
        return _told(profiled, session, adapter)

    try:
        yield trade
    finally:
        profiled.journal.close()


def _told(profiled: Profiled, session: date, adapter: str) -> Traded:
    journal, where = profiled.journal, {"book": BOOK, "lane": "simulated", "session": session}
    orders, record = journal.orders(**where), journal.session_record(**where)
    if record is None or record.closing is None:
        raise AssertionError(f"{session} was not settled by way of {adapter}")
    if {order.route.actual for order in orders} - {adapter}:
        raise AssertionError(f"{session}: an order went another way than {adapter}")

    def rows(asset: str) -> list[tuple[Any, ...]]:
        found, _ = profiled.lake.read_rows((BOOK, asset), str(session), ROW_TYPES[asset])
        return [tuple(row) for row in found]

    return Traded(
        orders=sorted(
            (
                order.request.symbol,
                order.request.side,
                order.request.quantity,
                order.status,
                order.filled_quantity,
            )
            for order in orders
        ),
        fills=sorted(
            (fill.symbol, fill.side, fill.quantity, fill.price_micros, fill.commission_micros)
            for fill in journal.fills(**where)
        ),
        closing=record.closing.payload(),
        metrics=[row for row in rows("metrics") if not str(row[1]).startswith("broker_api.")],
        account=rows("broker_positions"),
    )


def _is_planted_caught(state: Path, folder: Path) -> bool:
    """Say whether an adapter that rounds prices is found by fills, or by cash that does not agree."""
    exact = FillOnAlpaca.fill

    def rounded(self: FillOnAlpaca, *given: Any, **named: Any) -> Any:
        fill = exact(self, *given, **named)
        return fill._replace(price_micros=fill.price_micros // CENT_MICROS * CENT_MICROS)

    FillOnAlpaca.fill = rounded  # type: ignore[method-assign]
    try:
        found, counts = compared(state, folder, [PLANTED_ON])
    except (AssertionError, dg.DagsterError, dg.Failure) as error:
        # The reconciliation stopped the session: the account is not what the fills say.
        return CASH_DIFFERS in str(error)
    finally:
        FillOnAlpaca.fill = exact  # type: ignore[method-assign]
    return counts["fills"] > 0 and any(" fills: " in each for each in found)


def _settings(state_dir: Path, config_dir: Path, url: str | None = None) -> Settings:
    return Settings(
        profile=Profile.SIMULATED,
        state_dir=state_dir,
        config_dir=config_dir,
        books_file=config_dir / "books.toml",
        journal_url=f"sqlite:///{state_dir}/simulated/journal.db",
        lake_root=str(state_dir / "simulated" / "lake"),
        live_allowed=False,
        execution_enabled=True,
        log_level="ERROR",
        operator="proof",
        display_timezone="UTC",
        broker_base_url=url,
    )


@contextmanager
def _with_keys() -> Iterator[None]:
    """Have the exchange's keys in this process, as the environment of an executor would."""
    given = resources.profile_brokers.load_secrets
    keys = replace(given(), broker_app_key=SecretStr(KEYS.key_id), broker_app_secret=SecretStr(KEYS.secret))
    resources.profile_brokers.load_secrets = lambda: keys  # type: ignore[attr-defined]
    try:
        yield
    finally:
        resources.profile_brokers.load_secrets = given  # type: ignore[attr-defined]


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the suites' own lines alone: no messages of alerts, and no warnings of a library's imports."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
