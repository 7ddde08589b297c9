"""Executing what the journal says is approved: the port to a broker, and the executor as functions over ports.

The order of things is the promise: claim, prepare (guards again, on disk) and only then exactly one send;
an outcome that is not proven is asked for by client order id, never sent again blindly. The executor trusts
the journal and nothing else: not who launched it, nor its config. Which edges exist is lifecycle.py; who
keeps them is resources/journal/; brokers are resources/paper_broker.py and its neighbours.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from trading.errors import Refused, TradingError
from trading.journal import Journal, Review
from trading.orders import BrokerOrder, OrderRequest
from trading.positions import Book
from trading.values import ClientOrderId, IntentId


class DedupScope(StrEnum):
    """Say for how long a broker refuses a repeated client order id. Unproven means `none`."""

    ALL_TIME = "all_time"
    WINDOW = "window"
    SESSION = "session"
    OPEN_ONLY = "open_only"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Hold what an adapter has proven of its broker.

    `is_query_authoritative`: an order that its query by client order id does not find does not exist, once
    `settle_time_s` has passed since the send. `definitive_errors` is the closed list of codes for which
    the adapter raises `BrokerRejected`; everything else it meets after a send is `OutcomeUnknown`.
    """

    is_live: bool
    dedup_scope: DedupScope
    is_query_authoritative: bool
    settle_time_s: int
    definitive_errors: frozenset[str]


class BrokerFill(NamedTuple):
    """Hold one execution as the broker reports it; price and commission in micro-units."""

    execution_id: str
    client_order_id: ClientOrderId
    quantity: int
    price_micros: int
    commission_micros: int
    filled_at: datetime


class DuplicateClientOrderId(TradingError):
    """Say that the broker already has an order under this id: look it up and adopt it, never fail it."""

    def __init__(self, client_order_id: ClientOrderId, order: BrokerOrder | None = None) -> None:
        super().__init__(f"client order id {client_order_id}: the broker has an order under it already")
        self.client_order_id = client_order_id
        self.order = order


class ExecutorBusy(Refused):
    """Name who else executes for the account; only one may."""


class Broker(Protocol):
    """Take orders and report on them. A client library must never retry a send by itself."""

    capabilities: Capabilities

    def submit(self, request: OrderRequest, *, now: datetime) -> BrokerOrder:
        """Send one order, in exactly one attempt.

        Raises `BrokerRejected` for a refusal of the closed list, `DuplicateClientOrderId` for a known id,
        `OutcomeUnknown` for everything that leaves the outcome unproven.
        """
        ...

    def order_by_client_order_id(
        self, client_order_id: ClientOrderId, *, now: datetime
    ) -> BrokerOrder | None:
        """Return the order under an id, or `None`; raises `BrokerUnavailable` where the query failed."""
        ...

    def fills(self, client_order_id: ClientOrderId, *, now: datetime) -> list[BrokerFill]:
        """Return an order's executions, ascending in time; raises `BrokerUnavailable`."""
        ...

    def cancel(self, client_order_id: ClientOrderId, *, now: datetime) -> None:
        """Ask for a cancel; that it was accepted does not mean that the order is cancelled."""
        ...


ExecutorLock = AbstractContextManager[object]
"""Held for as long as anything may be sent for an account; entering raises `ExecutorBusy`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """Hold what one run of the executor did, by intent in the order done; the journal knows the rest.

    `rejected` and `held` carry the reason; `new_fills` counts fills booked; `halted` says why the run
    stopped before all intents were looked at, empty where it did not.
    """

    adopted: tuple[IntentId, ...] = ()
    resent: tuple[IntentId, ...] = ()
    released: tuple[IntentId, ...] = ()
    sent: tuple[IntentId, ...] = ()
    rejected: tuple[tuple[IntentId, str], ...] = ()
    failed: tuple[tuple[IntentId, str], ...] = ()
    expired: tuple[IntentId, ...] = ()
    held: tuple[tuple[IntentId, str], ...] = ()
    unknown: tuple[IntentId, ...] = ()
    parked: tuple[IntentId, ...] = ()
    closed: tuple[IntentId, ...] = ()
    still_open: tuple[IntentId, ...] = ()
    new_fills: int = 0
    halted: str = ""


def execute_session(
    *,
    journal: Journal,
    broker: Broker,
    lock: ExecutorLock,
    account: str,
    book: str,
    lane: str,
    session: date,
    book_at_open: Book,
    review: Review,
    send_by: datetime,
    holder: str,
    now: datetime,
) -> ExecutionReport:
    """Resolve what an earlier run left open, then send each approved intent of a session once, sells first.

    `book_at_open` is the session's book after its corporate actions; `review` judges each intent again
    inside T2; nothing goes out at or after `send_by`; `holder` names this process in the events.
    Raises `ExecutorBusy` while another process executes for the account.
    """
    raise NotImplementedError


def settle_orders(
    *,
    journal: Journal,
    broker: Broker,
    lock: ExecutorLock,
    account: str,
    book: str,
    lane: str,
    session: date,
    actor: str,
    now: datetime,
) -> ExecutionReport:
    """After the close: ask for each order until it is terminal, book its fills, end its intent.

    Intents that were never sent expire where `not_after` has passed. Sends nothing. What is still open
    afterwards is named in the report: the session cannot be settled yet.
    """
    raise NotImplementedError
