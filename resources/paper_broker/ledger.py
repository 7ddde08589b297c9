"""The paper broker's ledger: one file that outlives whoever writes it. Nothing here decides anything.

What is done with an order is broker.py.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.paper_broker.statement import damaged
from trading.errors import BrokerUnavailable, OutcomeUnknown

FULL = 2
"""What `pragma synchronous` reads back when every commit waits for the disk."""

BUSY_TIMEOUT_S = 5.0

_MIGRATIONS = (
    # 1: one order under each id, executions only.
    """
    create table if not exists orders (
      client_order_id text primary key,
      seq integer not null unique,
      broker_order_id text not null unique,
      request text not null,
      session text not null,
      symbol text not null,
      side text not null,
      quantity integer not null check (quantity > 0),
      filled_quantity integer not null check (filled_quantity between 0 and quantity),
      status text not null,
      reason text not null,
      submitted_at text not null
    );
    create table if not exists fills (
      execution_id text primary key,
      client_order_id text not null references orders (client_order_id),
      quantity integer not null check (quantity > 0),
      price_micros integer not null,
      commission_micros integer not null,
      filled_at text not null
    )
    """,
    # 2: every send that arrives, a broker that can forget an id, and the account that it all adds up to.
    """
    alter table orders rename to orders_1;
    alter table fills rename to fills_1;
    create table orders (
      seq integer primary key,
      broker_order_id text not null unique,
      client_order_id text not null,
      request text not null,
      session text not null,
      symbol text not null,
      side text not null,
      quantity integer not null check (quantity > 0),
      filled_quantity integer not null check (filled_quantity between 0 and quantity),
      status text not null,
      reason text not null,
      submitted_at text not null
    );
    create index orders_by_client_order_id on orders (client_order_id);
    create index orders_by_session on orders (session);
    create index open_orders on orders (seq) where status in ('working', 'partial_fill');
    create table fills (
      seq integer primary key,
      execution_id text not null unique,
      order_seq integer not null references orders (seq),
      quantity integer not null check (quantity > 0),
      price_micros integer not null,
      commission_micros integer not null,
      filled_at text not null,
      takes_back text not null
    );
    create index fills_by_order on fills (order_seq);
    create table arrivals (
      seq integer primary key,
      client_order_id text not null,
      request_sha text not null,
      broker_order_id text not null,
      arrived_at text not null,
      outcome text not null
    );
    create index arrivals_by_client_order_id on arrivals (client_order_id);
    create table due (
      seq integer primary key,
      due_at text not null,
      what text not null,
      about integer not null,
      request text not null
    );
    create table account (
      id integer primary key check (id = 1),
      name text not null,
      deposit_micros integer not null
    );
    create table checkpoints (
      id integer primary key check (id = 1),
      through_session text not null,
      through_fill integer not null,
      cash_micros integer not null,
      quantities text not null
    );
    insert into orders
      select seq, broker_order_id, client_order_id, request, session, symbol, side, quantity, filled_quantity,
        status, reason, submitted_at
      from orders_1;
    insert into fills
      (execution_id, order_seq, quantity, price_micros, commission_micros, filled_at, takes_back)
      select f.execution_id, o.seq, f.quantity, f.price_micros, f.commission_micros, f.filled_at, ''
      from fills_1 f join orders_1 o on o.client_order_id = f.client_order_id
      order by f.filled_at, f.execution_id;
    drop table fills_1;
    drop table orders_1
    """,
    # 3: what happened to an order and when, orders that rest for a price, and the exchange's own clock.
    """
    alter table fills add column session text not null default '';
    create table updates (
      seq integer primary key,
      order_seq integer not null references orders (seq),
      event text not null,
      at text not null,
      execution_id text not null default ''
    );
    create index updates_by_order on updates (order_seq);
    create table terms (
      order_seq integer primary key references orders (seq),
      limit_micros integer,
      stop_micros integer,
      order_class text not null default '',
      parent_seq integer references orders (seq),
      leg text not null default '',
      replaces_seq integer references orders (seq),
      is_held integer not null default 0,
      is_triggered integer not null default 0,
      seen_from text not null default '',
      matched_through text not null default ''
    );
    create index terms_by_parent on terms (parent_seq);
    create index terms_by_replaced on terms (replaces_seq);
    create table exchange_clock (
      id integer primary key check (id = 1),
      now text not null
    )
    """,
)
"""What brings a ledger forward, one entry a version; `pragma user_version` counts those applied."""

_LEFT_OPEN: list[sqlite3.Connection] = []
"""Connections of a parent process: closing one in the child would fold away a log that the parent writes."""


class Ledger:
    """Keep one connection to a ledger file open, each commit on disk before it returns.

    Any thread may use it, one at a time; after a fork the child opens its own. Raises `BrokerUnavailable`
    for a file that is no ledger, is of a newer version, or would not be synced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._of_process = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokerUnavailable(f"paper broker {path}: its folder cannot be made: {error}") from error
        with self._one_opener(), self.transaction(BrokerUnavailable) as connection:
            _migrate(connection, path)

    @contextmanager
    def transaction(self, failure: type[BrokerUnavailable | OutcomeUnknown]) -> Iterator[sqlite3.Connection]:
        """Hold the ledger's write lock; commit at the end, or roll back where the body raises.

        A failing send is of unknown outcome, a failing read may be tried again: `failure` says which it is.
        """
        try:
            with self._turn:
                connection = self._opened()
                connection.execute("begin immediate")
                try:
                    yield connection
                except BaseException:
                    connection.rollback()
                    raise
                connection.commit()
        except sqlite3.OperationalError as error:
            raise failure(f"paper broker {self.path}: {error}") from error
        except sqlite3.Error as error:
            raise failure(damaged(self.path, error)) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self._of_process == os.getpid():
            return self._connection
        if self._connection is not None:
            _LEFT_OPEN.append(self._connection)
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S
        )
        connection.row_factory = sqlite3.Row
        try:
            journal_mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
            connection.execute("pragma synchronous = full")
            connection.execute("pragma foreign_keys = on")
            synchronous = connection.execute("pragma synchronous").fetchone()[0]
        except sqlite3.Error:
            connection.close()
            raise
        if journal_mode != "wal" or synchronous != FULL:
            connection.close()
            raise BrokerUnavailable(
                f"paper broker {self.path}: journal_mode {journal_mode}, synchronous {synchronous};"
                " it needs wal and 2 (full): move it to a local disk"
            )
        weakref.finalize(self, _close, connection, os.getpid())
        self._connection, self._of_process = connection, os.getpid()
        return connection

    @contextmanager
    def _one_opener(self) -> Iterator[None]:
        """Let one process at a time make the file: SQLite answers "locked" at once to a second one."""
        try:
            folder = os.open(self.path.parent, os.O_RDONLY)
        except OSError as error:
            raise BrokerUnavailable(f"paper broker {self.path}: cannot open its folder: {error}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("pragma user_version").fetchone()[0]
    if version > len(_MIGRATIONS):
        raise BrokerUnavailable(
            f"paper broker {path}: ledger version {version}, this one reads {len(_MIGRATIONS)}"
        )
    for script in _MIGRATIONS[version:]:
        for statement in script.split(";"):
            connection.execute(statement)
    if version < len(_MIGRATIONS):
        connection.execute(f"pragma user_version = {len(_MIGRATIONS)}")


def _close(connection: sqlite3.Connection, of_process: int) -> None:
    if of_process == os.getpid():
        connection.close()
    else:
        _LEFT_OPEN.append(connection)
