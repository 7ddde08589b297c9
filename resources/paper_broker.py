"""The embedded paper broker: a market simulated at the open, behind a ledger of its own on disk.

It is a broker as any other: it has its own file, remembers every client order id for good, and knows
nothing of the journal. What it fills with is trading/simulation.py; the port is trading/executions.py.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

from trading.audit import instant_from_text, instant_text
from trading.brokers import BrokerFill, Capabilities, DedupScope, DuplicateClientOrderId, request_payload
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.intents import hashed
from trading.orders import BrokerOrder, OrderRequest, OrderStatus
from trading.quotes import Quote
from trading.sessions import Calendar
from trading.simulation import FillModel, fill_at_open
from trading.values import ClientOrderId, OrderType, Side, Symbol

UNKNOWN_SYMBOL = "unknown_symbol"
ZERO_QUANTITY = "zero_quantity"
NOT_A_MARKET_ORDER = "not_a_market_order"
SESSION_OVER = "session_over"

_SCHEMA = """
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
);
"""


class PaperMarket(Protocol):
    """Give the market that the broker trades on."""

    def bar(self, symbol: Symbol, session: date) -> Quote | None:
        """Return a symbol's bar of a session, or `None` where it did not trade or is not known yet."""
        ...


class PaperBroker:
    """Take day and opening market orders and fill them at their session's open.

    `path` is its ledger, made when missing. `symbols` are those it lists; `None` lists all. An order fills
    as soon as it is asked about at or after the open, up to the model's share of the bar's volume; what is
    left is cancelled at the close. Ids and times are pure functions of the order and its session, so the
    same orders give the same ledger whenever they are asked about.
    """

    capabilities = Capabilities(
        is_live=False,
        dedup_scope=DedupScope.ALL_TIME,
        is_query_authoritative=True,
        settle_time_s=0,
        definitive_errors=frozenset({UNKNOWN_SYMBOL, ZERO_QUANTITY, NOT_A_MARKET_ORDER, SESSION_OVER}),
    )

    def __init__(
        self,
        path: Path,
        *,
        market: PaperMarket,
        fill_model: FillModel,
        calendar: Calendar,
        symbols: Collection[Symbol] | None = None,
    ) -> None:
        self._path = path
        self._market = market
        self._model = fill_model
        self._calendar = calendar
        self._symbols = None if symbols is None else frozenset(symbols)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokerUnavailable(f"paper broker {path}: its folder cannot be made: {error}") from error
        with self._ledger(BrokerUnavailable) as ledger:
            ledger.executescript(_SCHEMA)

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Accept one order for good, or refuse it."""
        reason = self._refusal_of(request, now)
        with self._ledger(OutcomeUnknown) as ledger:
            ledger.execute("begin immediate")
            known = _row(ledger, request.client_order_id)
            if known is not None:
                ledger.execute("rollback")
                raise DuplicateClientOrderId(request.client_order_id, _order_of(known))
            if reason:
                ledger.execute("rollback")
                raise BrokerRejected(f"{reason}: {request.side} {request.quantity} {request.symbol}")
            ledger.execute(
                "insert into orders (client_order_id, seq, broker_order_id, request, session, symbol, side,"
                " quantity, filled_quantity, status, reason, submitted_at)"
                " values (?, (select coalesce(max(seq), 0) + 1 from orders), ?, ?, ?, ?, ?, ?, 0, ?, '', ?)",
                (
                    request.client_order_id,
                    "pb-" + hashed(request.client_order_id),
                    json.dumps(request_payload(request), sort_keys=True),
                    request.session.isoformat(),
                    request.symbol,
                    request.side.value,
                    request.quantity,
                    OrderStatus.WORKING.value,
                    instant_text(now),
                ),
            )
            accepted = _row(ledger, request.client_order_id)
            ledger.execute("commit")
        return _order_of(accepted)

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id as it is at `now`, or `None`."""
        with self._ledger(BrokerUnavailable) as ledger:
            ledger.execute("begin immediate")
            row = self._advanced(ledger, client_order_id, now)
            ledger.execute("commit")
        return None if row is None else _order_of(row)

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return an order's executions up to `now`."""
        with self._ledger(BrokerUnavailable) as ledger:
            ledger.execute("begin immediate")
            self._advanced(ledger, client_order_id, now)
            rows = ledger.execute(
                "select execution_id, client_order_id, quantity, price_micros, commission_micros, filled_at"
                " from fills where client_order_id = ? order by filled_at, execution_id",
                (client_order_id,),
            ).fetchall()
            ledger.execute("commit")
        return [
            BrokerFill(
                execution_id=row["execution_id"],
                client_order_id=ClientOrderId(row["client_order_id"]),
                quantity=row["quantity"],
                price_micros=row["price_micros"],
                commission_micros=row["commission_micros"],
                filled_at=instant_from_text(row["filled_at"]),
            )
            for row in rows
        ]

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Cancel what is left of an order; one that has ended stays as it ended."""
        with self._ledger(BrokerUnavailable) as ledger:
            ledger.execute("begin immediate")
            row = self._advanced(ledger, client_order_id, now)
            if row is not None and not OrderStatus(row["status"]).is_terminal:
                _set(ledger, row, OrderStatus.CANCELLED, row["filled_quantity"], "cancelled_on_request")
            ledger.execute("commit")

    def orders(self, *, now: datetime) -> list[BrokerOrder]:
        """Return all orders ever accepted, in that order, as they are at `now`."""
        with self._ledger(BrokerUnavailable) as ledger:
            ledger.execute("begin immediate")
            ids = [row[0] for row in ledger.execute("select client_order_id from orders order by seq")]
            rows = [self._advanced(ledger, ClientOrderId(known), now) for known in ids]
            ledger.execute("commit")
        return [_order_of(row) for row in rows]

    def _refusal_of(self, request: OrderRequest, now: datetime) -> str:
        if request.quantity <= 0:
            return ZERO_QUANTITY
        if self._symbols is not None and request.symbol not in self._symbols:
            return UNKNOWN_SYMBOL
        if request.order_type is not OrderType.MARKET:
            return NOT_A_MARKET_ORDER
        return SESSION_OVER if now >= self._calendar.closes_at(request.session) else ""

    def _advanced(
        self, ledger: sqlite3.Connection, client_order_id: ClientOrderId, now: datetime
    ) -> sqlite3.Row | None:
        """Return an order's row after what the market did to it up to `now`."""
        row = _row(ledger, client_order_id)
        if row is None or OrderStatus(row["status"]).is_terminal:
            return row
        session = date.fromisoformat(row["session"])
        opened_at = self._calendar.opens_at(session)
        if row["status"] == OrderStatus.WORKING and now >= opened_at:
            self._fill(ledger, row, session, opened_at)
        row = _row(ledger, client_order_id)
        is_over = now >= self._calendar.closes_at(session)
        if row is not None and is_over and not OrderStatus(row["status"]).is_terminal:
            _set(ledger, row, OrderStatus.CANCELLED, row["filled_quantity"], "session_over")
            row = _row(ledger, client_order_id)
        return row

    def _fill(self, ledger: sqlite3.Connection, row: sqlite3.Row, session: date, opened_at: datetime) -> None:
        bar = self._market.bar(Symbol(row["symbol"]), session)
        if bar is None:
            return
        filled, price, commission = fill_at_open(
            Side(row["side"]), row["quantity"], bar.open_micros, bar.volume, self._model
        )
        if filled == 0:
            return
        ledger.execute(
            "insert into fills (execution_id, client_order_id, quantity, price_micros, commission_micros,"
            " filled_at) values (?, ?, ?, ?, ?, ?)",
            (
                "exe-" + hashed(row["client_order_id"], "1"),
                row["client_order_id"],
                filled,
                price,
                commission,
                instant_text(opened_at),
            ),
        )
        status = OrderStatus.FILLED if filled == row["quantity"] else OrderStatus.PARTIAL_FILL
        _set(ledger, row, status, filled, "")

    @contextmanager
    def _ledger(self, failure: type[BrokerUnavailable | OutcomeUnknown]) -> Iterator[sqlite3.Connection]:
        """Open the ledger; a failing send is of unknown outcome, a failing read may be tried again."""
        try:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as ledger:
                ledger.row_factory = sqlite3.Row
                ledger.execute("pragma journal_mode = wal")
                ledger.execute("pragma synchronous = full")
                ledger.execute("pragma foreign_keys = on")
                yield ledger
        except sqlite3.Error as error:
            raise failure(f"paper broker {self._path}: {error}") from error


def _row(ledger: sqlite3.Connection, client_order_id: ClientOrderId) -> sqlite3.Row | None:
    found: sqlite3.Row | None = ledger.execute(
        "select client_order_id, broker_order_id, session, symbol, side, quantity, filled_quantity, status,"
        " reason from orders where client_order_id = ?",
        (client_order_id,),
    ).fetchone()
    return found


def _set(
    ledger: sqlite3.Connection, row: sqlite3.Row, status: OrderStatus, filled_quantity: int, reason: str
) -> None:
    ledger.execute(
        "update orders set status = ?, filled_quantity = ?, reason = ? where client_order_id = ?",
        (status.value, filled_quantity, reason, row["client_order_id"]),
    )


def _order_of(row: Any) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=row["broker_order_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        filled_quantity=row["filled_quantity"],
        status=OrderStatus(row["status"]),
        reason=row["reason"],
    )
