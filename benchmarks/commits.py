"""How quickly the journal commits on SQLite, and how fairly it serves many clients.

Told against three baselines on the same disk, taken in turns with them, since a disk that others use has no
speed of its own: a bare `fdatasync`, a bare SQLite commit into two small tables, and the very statements of
an intent's life run bare, in as many transactions, on a copy of the same journal.

As a script it prints the figures as JSON: under a tracer that makes each sync longer, those of a slower disk.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from measuring import Figure, median

from resources.journal.store import SqlJournal
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.journal import JournalIntent
from trading.orders import BrokerOrder, Fill, OrderRequest, OrderStatus
from trading.positions import opened_book
from trading.testing import example_decision, example_intent

SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
OF: dict[str, Any] = {"book": BOOK, "lane": LANE, "session": SESSION}
OPENED = opened_book(currency="USD", deposit_micros=10**15)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)

COMMITS_OF_A_LIFE = 5
"""Claimed, prepared, acknowledged, filled, closed."""

ROUNDS, LIVES, SYNCS = 5, 20, 3
Statement = tuple[str, Any]
"""A statement's text, and what is bound to it."""

PAGE = b"p" * 4096
"""What a sync is measured with: about what one commit appends."""

CLIENTS = 4
WINDOWS, WINDOW_S = 6, 1.0
"""How often one client alone and all together commit in turns, and for how long each time."""


def main() -> None:
    """Print the figures of this machine's disk, as a process sees it that may be traced."""
    with TemporaryDirectory(prefix="commits-bench-") as name:
        print(json.dumps([asdict(figure) for figure in on_sqlite(Path(name))[0]]))


def on_sqlite(folder: Path) -> tuple[list[Figure], float]:
    """Return the figures of one client and of many, and how long a bare sync took, in milliseconds."""
    figures, sync_ms = _one_client(folder)
    return [*figures, *clients_of(f"sqlite:///{folder / 'clients.db'}", "SQLite", sync_ms)], sync_ms


# -------------------------------------------------------------------------------- one client


def _one_client(folder: Path) -> tuple[list[Figure], float]:
    rows, recorded = _recorded(folder, ROUNDS * LIVES + 1)
    changes = [_changes_alone(statements) for statements in recorded]
    with (
        _syncing(folder / "bytes") as sync,
        _bare(folder / "bare.db") as commit,
        _connected(folder / "changes.db") as changed,
        _connected(folder / "statements.db") as stated,
        SqlJournal(f"sqlite:///{folder / 'lives.db'}") as journal,
    ):
        syncs, commits, lives, changes_bare, statements_bare = [], [], [], [], []
        for number, row in enumerate(rows):
            syncs += [ms_of(sync) for _ in range(SYNCS)]
            commits += [ms_of(commit) for _ in range(SYNCS)]
            lives.append(ms_of(partial(live, journal, row)))
            changes_bare.append(ms_of(partial(_run, changed, changes[number])))
            statements_bare.append(ms_of(partial(_run, stated, recorded[number])))
        ends = {_end_of(folder / f"{name}.db") for name in ("lives", "changes", "statements")}
    if len(ends) != 1:
        raise RuntimeError("the journal and its copies do not end with the same event: nothing was compared")
    # The first of each opens its files.
    sync_ms, commit_ms, life_ms = median(syncs), median(commits), median(lives[1:])
    changes_ms, statements_ms = median(changes_bare[1:]), median(statements_bare[1:])
    allowed_ms = COMMITS_OF_A_LIFE * commit_ms
    return [
        Figure(what="4 KiB appended and fdatasync", value=sync_ms, unit="ms"),
        Figure(
            what="bare SQLite commit, WAL, FULL, a row and an event",
            value=commit_ms,
            unit="ms",
            baseline="fdatasync",
            ratio=commit_ms / sync_ms,
        ),
        Figure(
            what="life of an intent: claimed, prepared, acknowledged, filled, closed (SQLite)",
            value=life_ms,
            unit="ms",
            baseline=f"{COMMITS_OF_A_LIFE} bare commits",
            ratio=life_ms / allowed_ms,
            note=f"{allowed_ms / life_ms:.2f} of what so many commits into two small tables allow",
        ),
        *_against_the_same_rows(life_ms, changes_ms=changes_ms, statements_ms=statements_ms),
    ], sync_ms


def _against_the_same_rows(life_ms: float, *, changes_ms: float, statements_ms: float) -> list[Figure]:
    return [
        Figure(
            what="the same rows written bare, in as many commits (SQLite, same tables, indexes, triggers)",
            value=changes_ms,
            unit="ms",
            baseline="the life",
            ratio=changes_ms / life_ms,
            note=f"the life is at {changes_ms / life_ms:.2f} of what its rows allow",
        ),
        Figure(
            what="the same statements run bare: the rows and all that is asked before they are written",
            value=statements_ms,
            unit="ms",
            baseline="the life",
            ratio=statements_ms / life_ms,
            note=f"the life is at {statements_ms / life_ms:.2f} of what its statements allow",
        ),
    ]


class _RecordingCursor(sqlite3.Cursor):
    def execute(self, statement: str, bound: Any = (), /) -> _RecordingCursor:
        self.connection.told.append((statement, bound))  # type: ignore[attr-defined] - of the connection below
        super().execute(statement, bound)
        return self

    def executemany(self, statement: str, rows: Any, /) -> _RecordingCursor:
        told = list(rows)
        self.connection.told.extend((statement, row) for row in told)  # type: ignore[attr-defined] - as above
        super().executemany(statement, told)
        return self


class _Recording(sqlite3.Connection):
    """Keep what a connection is told to run."""

    def __init__(self, *of: Any, **named: Any) -> None:
        super().__init__(*of, **named)
        self.told: list[Statement] = []
        _connections.append(self)

    def cursor(self, *_: Any) -> Any:
        return super().cursor(_RecordingCursor)


_connections: list[_Recording] = []


def _recorded(folder: Path, lives: int) -> tuple[list[JournalIntent], list[list[Statement]]]:
    """Make a journal of approved intents, with copies of it; return them, and what each one's life runs."""
    made = folder / "made.db"
    with SqlJournal(f"sqlite:///{made}") as journal:
        rows = decided(journal, lives)
    for name in ("lives", "changes", "statements"):
        shutil.copy(made, folder / f"{name}.db")

    @sa.event.listens_for(sa.Engine, "do_connect")
    def _record(_dialect: Any, _record: Any, _of: Any, named: dict[str, Any]) -> None:
        named["factory"] = _Recording

    recorded = []
    with SqlJournal(f"sqlite:///{made}") as journal:
        journal.run_control()
        (connection,) = [one for one in _connections if one.told]
        for row in rows:
            connection.told.clear()
            live(journal, row)
            recorded.append(list(connection.told))
    sa.event.remove(sa.Engine, "do_connect", _record)
    _connections.clear()
    return rows, recorded


def _changes_alone(statements: list[Statement]) -> list[Statement]:
    return [one for one in statements if one[0].split()[0] in {"begin", "insert", "update"}]


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
            connection.execute(f"pragma {setting}")
        yield connection


def _run(connection: sqlite3.Connection, statements: list[Statement]) -> None:
    """Run what a life runs: each transaction ends where the next begins."""
    for statement, bound in statements:
        if statement.startswith("begin") and connection.in_transaction:
            connection.execute("commit")
        connection.execute(statement, bound).fetchall()
    connection.execute("commit")


def _end_of(path: Path) -> tuple[Any, ...]:
    with closing(sqlite3.connect(path)) as connection:
        return tuple(connection.execute("select seq, hash from events order by seq desc limit 1").fetchone())


@contextmanager
def _syncing(path: Path) -> Iterator[Callable[[], None]]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def sync() -> None:
        os.write(file, PAGE)
        os.fdatasync(file)

    yield sync
    os.close(file)


@contextmanager
def _bare(path: Path) -> Iterator[Callable[[], None]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("create table rows (id text primary key, version integer, payload text)")
        connection.execute("create table events (seq integer primary key, body text, hash text unique)")
        connection.execute("insert into rows values ('one', 0, ?)", ("p" * 600,))
        number = count()

        def commit() -> None:
            seq = next(number)
            connection.execute("begin immediate")
            connection.execute("update rows set version = ? where id = 'one'", (seq,))
            connection.execute("insert into events values (?, ?, ?)", (seq, "b" * 600, f"{seq:064}"))
            connection.execute("commit")

        yield commit


def decided(journal: SqlJournal, intents: int) -> list[JournalIntent]:
    """Store so many approved intents of one session, and begin the term in which they are executed."""
    journal.opening_book(**OF, previous=None, opened=OPENED, now=NOW)
    decisions = [
        example_decision(example_intent(f"S{number}"), not_after=CLOSE, account=ACCOUNT)
        for number in range(intents)
    ]
    rows = journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
    begin(journal)
    return rows


def begin(journal: SqlJournal) -> int:
    """Begin an executor's term, reconciled, and return its number."""
    term = journal.begin_term(account=ACCOUNT, lane=LANE, holder="bench", now=NOW)
    journal.record_reconciled(account=ACCOUNT, lane=LANE, term=term, findings=[], now=NOW)
    return term


def live(journal: SqlJournal, row: JournalIntent, *, term: int = 1) -> None:
    """Take an approved intent through its whole life, as the executor does."""
    intent_id = row.intent_id
    claimed = journal.claim(intent_id, version=row.version, term=term, holder="bench", now=NOW)
    epoch = claimed.epoch
    prepared = journal.prepare(
        intent_id,
        epoch=epoch,
        term=term,
        book_at_open=OPENED,
        review=lambda *_: PASSED,
        send_by=CLOSE,
        is_live=False,
        now=NOW,
    )
    if prepared.order is None:
        raise RuntimeError(f"{intent_id}: {prepared.reason}")
    asked = prepared.order.request
    journal.acknowledge(intent_id, epoch=epoch, order=_heard(asked, OrderStatus.WORKING, 0), now=NOW)
    fill = Fill(
        execution_id=f"fill of {intent_id}",
        client_order_id=asked.client_order_id,
        intent_id=intent_id,
        symbol=asked.symbol,
        side=asked.side,
        quantity=asked.quantity,
        price_micros=100_000_000,
        commission_micros=1,
        session=asked.session,
        filled_at=NOW,
    )
    journal.record_fill(fill, now=NOW)
    ended = _heard(asked, OrderStatus.FILLED, asked.quantity)
    journal.close_working(intent_id, epoch=epoch, order=ended, now=NOW)


def _heard(asked: OrderRequest, status: OrderStatus, filled: int) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b",
        client_order_id=asked.client_order_id,
        symbol=asked.symbol,
        side=asked.side,
        quantity=asked.quantity,
        filled_quantity=filled,
        status=status,
    )


# -------------------------------------------------------------------------------- many clients


def clients_of(url: str, engine: str, sync_ms: float) -> list[Figure]:
    """Return how quickly one client commits, how quickly many do, and how evenly they are served."""
    SqlJournal(url).close()
    windows = _commit_in_turns(url)
    rate_alone, rate = (
        median([sum(len(client[number]) for client in windows) / WINDOW_S for number in which])
        for which in (range(0, 2 * WINDOWS, 2), range(1, 2 * WINDOWS, 2))
    )
    of_each = [[ms for took in client[1::2] for ms in took] for client in windows]
    counts = [len(each) for each in of_each]
    all_ms = sorted(ms for each in of_each for ms in each)
    p99_ms = all_ms[int(len(all_ms) * 0.99)]
    return [
        Figure(what=f"commits of 1 client ({engine})", value=rate_alone, unit="/s"),
        Figure(
            what=f"commits of {CLIENTS} clients together ({engine})",
            value=rate,
            unit="/s",
            baseline="1 client",
            ratio=rate / rate_alone,
            note=f"each {min(counts):,} to {max(counts):,}: {max(counts) / min(counts):.2f}",
        ),
        Figure(
            what=f"p99 of one commit of {CLIENTS} clients ({engine})",
            value=p99_ms,
            unit="ms",
            baseline="fdatasync",
            ratio=p99_ms / sync_ms,
            note=f"p50 {statistics.median(all_ms):.2f} ms, longest {all_ms[-1]:.1f} ms",
        ),
    ]


def _commit_in_turns(url: str) -> list[list[list[float]]]:
    """Return of each client how long each commit took, in milliseconds, by window.

    In every second window all commit, in the others the first alone.
    """
    context = multiprocessing.get_context("spawn")
    begins, told = context.Barrier(CLIENTS), context.Queue()
    processes = [
        context.Process(target=_client, args=(url, number, begins, told)) for number in range(CLIENTS)
    ]
    for process in processes:
        process.start()
    found = [told.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def _client(url: str, name: int, begins: Any, told: Any) -> None:
    windows: list[list[float]] = []
    with SqlJournal(url, busy_timeout_s=30) as journal:
        journal.run_control()
        for number in range(2 * WINDOWS):
            took: list[float] = []
            begins.wait()
            until = time.monotonic() + WINDOW_S if name == 0 or number % 2 else 0.0
            while time.monotonic() < until:
                took.append(ms_of(partial(_write, journal, f"{name}-{number}-{len(took)}")))
            windows.append(took)
    told.put(windows)


def _write(journal: SqlJournal, key: str) -> None:
    journal.enqueue(dedup_key=key, channel="bench", severity="warning", subject="s", body="b" * 400, now=NOW)


def ms_of(act: Callable[[], Any]) -> float:
    """Return how long one call took, in milliseconds."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
