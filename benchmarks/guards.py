"""What a review costs: the session's prepared state, one intent compiled and plain, a thousand stored.

The book holds 3,000 symbols with 250 scenarios each. Compiled, a review is timed inside a compiled loop, as a
replay runs it; the plain one is what a live process runs. What only computes is told in CPU time, since
others use the machine as well; what waits for a disk in wall time.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from measuring import Figure, median, timed

from resources.compiled_rules import compiled_rules
from resources.journal.store import SqlJournal
from trading.advice import Ladder
from trading.decisions import decide
from trading.guards import GUARDS, PASS, Case, Market, Risk, review
from trading.intents import Intent
from trading.limits import Limits
from trading.positions import Book, Position, equity_micros
from trading.prepared import prepare_session
from trading.quotes import Window
from trading.risk import Ints, OrderVar, VarBound, order_var
from trading.session import TRADING
from trading.testing import example_intent, example_limits
from trading.values import Symbol
from trading.verdicts import NOTHING_RECENT, Funds, OpenOrders, Prepared, case_of, funds_of, review_intents

SYMBOLS, SESSIONS = 3_000, 251
INTENTS = 1_000
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
ACCOUNT, BOOK, LANE = "SIM-FIVE", "us_five", "simulated"
OF: dict[str, Any] = {"book": BOOK, "lane": LANE, "session": SESSION}

COMPILED_INTENTS = 20_000
ROUNDS = 5

ELSEWHERE = "NautilusTrader's checks took 8 to 19 µs an order on such a machine, a denial 29 µs"


def measure() -> list[Figure]:
    """Return the figures."""
    desk = _desk()
    limits = example_limits(order_notional_micros_max=10**15, auto_approve_notional_micros=10**15)

    def prepare() -> Prepared:
        return prepare_session(desk.window, desk.book, limits, prices=desk.prices)

    prepares_s = [timed(prepare)[1] for _ in range(ROUNDS)]
    prepared = prepare()
    intents = [
        example_intent(symbol, quantity=10 + place % 90, price_micros=desk.prices[symbol])
        for place, symbol in enumerate(desk.window.symbols[:INTENTS])
    ]
    cases = _cases(intents, desk, limits, prepared)
    with TemporaryDirectory(prefix="guards-bench-") as name:
        return [
            Figure(
                what=f"prepared state of a session: {SYMBOLS:,} symbols held, {SESSIONS - 1} scenarios",
                value=median(prepares_s) * 1e3,
                unit="ms",
                note="once a session, apart from every figure below",
            ),
            *_reviews(cases, prepared, Path(name)),
            *_stored(intents, desk, limits, prepared, Path(name)),
        ]


# -------------------------------------------------------------------------------- one intent


class Asked(NamedTuple):
    """Hold what the reviews are of: cases, the book's scenarios, each case's row in them, and VaR's bound."""

    cases: list[Case]
    pnl_micros: Ints
    returns_ppm: Ints
    rows: Ints
    bound: VarBound


def review_many(asked: Asked, count: int) -> int:
    """Return how often a guard stops something: each intent's VaR on the scenarios, then every guard."""
    stopped = 0
    for number in range(count):
        case = asked.cases[number % len(asked.cases)]
        told = var_of(asked, number)
        risk = case.risk
        whys = review(
            Case(
                case.proposal,
                case.market,
                case.instrument,
                case.exposure,
                case.recent,
                Risk(
                    risk.is_history_sufficient,
                    told.var_micros,
                    told.largest,
                    risk.is_pnl_known,
                    risk.day_pnl_micros,
                    risk.peak_equity_micros,
                ),
                case.control,
                case.caps,
            )
        )
        for why in whys:
            if why.code != PASS:
                stopped += 1
    return stopped


def var_of_many(asked: Asked, count: int) -> int:
    """Return the sum of the largest quantities by VaR alone."""
    total = 0
    for number in range(count):
        total += var_of(asked, number).largest
    return total


def var_of(asked: Asked, number: int) -> OrderVar:
    """Return the book's VaR with one of the intents, whose quantity is another in each round."""
    place = number % len(asked.cases)
    case = asked.cases[place]
    return order_var(
        asked.pnl_micros,
        asked.returns_ppm[asked.rows[place]],
        case.proposal.quantity + number % 3,
        case.market.price_micros,
        asked.bound,
    )


def _reviews(cases: list[Case], prepared: Prepared, folder: Path) -> list[Figure]:
    import numba  # noqa: PLC0415 - only who compiles needs it

    scenarios = prepared.risk.scenarios  # type: ignore[attr-defined]
    rows = np.arange(len(cases), dtype=np.int64)
    level_bps = 9_500
    asked = Asked(cases, scenarios.pnl_micros, scenarios.returns_ppm, rows, VarBound(level_bps, 10**17))
    tight = VarBound(level_bps, scenarios.var_micros(level_bps) + 10**8)
    rules = compiled_rules(folder)
    listed = asked._replace(cases=numba.typed.List(cases))
    fast, fast_var = rules.compiled(review_many), rules.compiled(var_of_many)
    _, compiling_s = timed(lambda: (fast(listed, 1), fast_var(listed, 1)))

    def each_us(act: Any, some: Asked, count: int) -> float:
        return median([timed(lambda: act(some, count))[1] for _ in range(ROUNDS)]) / count * 1e6

    compiled_us = each_us(fast, listed, COMPILED_INTENTS)
    denied_us = each_us(fast, listed._replace(bound=tight), COMPILED_INTENTS)
    var_us = each_us(fast_var, listed, COMPILED_INTENTS)
    plain_us = each_us(review_many, asked, INTENTS)
    for bound in (asked.bound, tight):
        if fast(listed._replace(bound=bound), INTENTS) != review_many(asked._replace(bound=bound), INTENTS):
            raise RuntimeError("compiled and plain guards differ")
    return [
        Figure(
            what=f"all {len(GUARDS)} guards on one intent, its VaR included, plain Python",
            value=plain_us,
            unit="µs",
        ),
        Figure(
            what=f"all {len(GUARDS)} guards on one intent, its VaR included, compiled",
            value=compiled_us,
            unit="µs",
            baseline="plain Python",
            ratio=compiled_us / plain_us,
            note=ELSEWHERE,
        ),
        Figure(
            what="of which VaR on 250 scenarios, compiled",
            value=var_us,
            unit="µs",
            baseline="all of it",
            ratio=var_us / compiled_us,
        ),
        Figure(
            what="an intent whose VaR is over its limit, the largest that passes sought, compiled",
            value=denied_us,
            unit="µs",
            baseline="one that passes",
            ratio=denied_us / compiled_us,
        ),
        Figure(what="compiling the guards, once for each version of the rules", value=compiling_s, unit="s"),
    ]


# -------------------------------------------------------------------------------- a thousand intents


def _stored(
    intents: list[Intent], desk: Desk, limits: Limits, prepared: Prepared, folder: Path
) -> list[Figure]:
    prices = desk.prices
    began = time.perf_counter()
    verdicts = review_intents(
        intents,
        funds=desk.funds(),
        prices=prices,
        sessions_behind=dict.fromkeys(prices, 0),
        session_open=True,
        switches=TRADING,
        limits=limits,
        prepared=prepared,
    )
    reviewed = time.perf_counter()
    decisions = decide(
        intents,
        verdicts,
        [],
        account=ACCOUNT,
        lane=LANE,
        ladder=Ladder.OFF,
        limits=limits,
        not_after=CLOSE,
        inputs_sha="inputs",
    )
    decided = time.perf_counter()
    cpu = time.process_time()
    with SqlJournal(f"sqlite:///{folder / 'thousand.db'}") as journal:
        journal.opening_book(**OF, previous=None, opened=replace(desk.book, positions=()), now=NOW)
        opened = time.perf_counter()
        journal.register(**OF, decisions=decisions, verdicts=verdicts, decisions_sha="d", now=NOW)
        stored_s = time.perf_counter() - opened
        store_cpu_s = time.process_time() - cpu
    bare_s = _bare_insert_s(folder / "bare.db", verdicts)
    review_s, decide_s = reviewed - began, decided - reviewed
    return [
        Figure(
            what=f"{INTENTS:,} live intents reviewed and decided, {len(verdicts):,} verdicts stored (SQLite)",
            value=review_s + decide_s + stored_s,
            unit="s",
            baseline="the same rows inserted bare",
            ratio=(review_s + decide_s + stored_s) / bare_s,
            note=f"review {review_s:.2f} s, decide {decide_s:.2f} s, "
            f"store {stored_s:.2f} s, of which CPU {store_cpu_s:.2f} s",
        ),
        Figure(what=f"{len(verdicts):,} rows inserted bare in one commit", value=bare_s, unit="s"),
    ]


def _bare_insert_s(path: Path, verdicts: tuple[Any, ...]) -> float:
    rows = [tuple(str(cell) for cell in verdict) for verdict in verdicts]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        columns = ", ".join(f"c{place}" for place in range(len(rows[0])))
        connection.execute(f"create table verdicts ({columns}, primary key (c0, c3))")
        began = time.perf_counter()
        connection.execute("begin immediate")
        connection.executemany(
            f"insert into verdicts values ({', '.join('?' * len(rows[0]))})",  # noqa: S608 - question marks
            rows,
        )
        connection.execute("commit")
        return time.perf_counter() - began


# -------------------------------------------------------------------------------- a desk of 3,000 symbols


class Desk(NamedTuple):
    """Hold a book of 3,000 symbols, the window that its session is decided on, and last prices."""

    window: Window
    book: Book
    prices: dict[Symbol, int]

    def funds(self) -> Funds:
        """Return the book's exposure with nothing open."""
        return funds_of(
            OpenOrders(self.book, {}, {}, 0),
            live=self.prices,
            closes=self.prices,
            opening_micros=equity_micros(self.book, self.prices),
            peak_equity_micros=0,
        )


def _desk() -> Desk:
    rng = np.random.default_rng(20130228)
    market = rng.normal(0, 0.01, (SESSIONS, 1))
    closes = 100 * np.exp(np.cumsum(0.7 * market + rng.normal(0, 0.012, (SESSIONS, SYMBOLS)), axis=0))
    symbols = tuple(Symbol(f"S{number:04}") for number in range(SYMBOLS))
    last_micros = np.rint(closes[-1] * 1e6).astype(np.int64)
    volume = np.full(closes.shape, 5e6)
    window = Window(
        session=SESSION,
        sessions=tuple(SESSION - timedelta(days=SESSIONS - row) for row in range(SESSIONS)),
        symbols=symbols,
        open=closes,
        high=closes,
        low=closes,
        close=closes,
        volume=volume,
        close_micros=last_micros,
        quoted_on=(SESSION - timedelta(days=1),) * SYMBOLS,
    )
    book = Book(
        currency="USD",
        cash_micros=10**14,
        deposits_micros=10**14,
        positions=tuple(Position(symbol, 300, 1) for symbol in symbols),
    )
    return Desk(window, book, dict(zip(symbols, last_micros.tolist(), strict=True)))


def _cases(intents: list[Intent], desk: Desk, limits: Limits, prepared: Prepared) -> list[Case]:
    """Return what guards take of each intent, as a review of each alone builds it."""
    funds = desk.funds()
    return [
        case_of(
            intent,
            quantity=intent.quantity,
            market=Market(
                price_micros=desk.prices[intent.symbol],
                sessions_behind=0,
                quote_age_s=0,
                is_send=False,
                session_open=True,
                clock_skew_s=0,
                average_volume=prepared.average_volumes[intent.symbol],
            ),
            funds=funds,
            switches=TRADING,
            limits=limits,
            prepared=prepared,
            recent=NOTHING_RECENT,
        )
        for intent in intents
    ]
