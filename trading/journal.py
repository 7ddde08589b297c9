"""The journal as the rules see it: the port, and the records that cross it.

The adapter is resources/journal/. Every changing call is one transaction, compare-and-set, with its event
row inside; it raises a `JournalError` and changes nothing where the protocol has no such edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from trading.decisions import Decision
from trading.intents import Intent
from trading.lifecycle import IntentState
from trading.orders import BrokerOrder, Fill, OrderRequest
from trading.positions import Book
from trading.values import ClientOrderId, IntentId
from trading.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RunControl:
    """Hold the run control in force, and who set it last."""

    kill_switch_on: bool
    paused: bool
    actor: str
    reason: str
    changed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalIntent:
    """Hold one intent's row: what was decided, where it is, and what binds the next change.

    `quantity` is the final (advised) quantity to send; `payload_hash` is what an approval names.
    """

    intent_id: IntentId
    intent: Intent
    account: str
    lane: str
    state: IntentState
    stage: str
    version: int
    epoch: int
    generation: int
    quantity: int
    unadvised_quantity: int
    filled_quantity: int
    payload_hash: str
    reason: str
    actor: str
    not_after: datetime
    verdicts_sha: str
    inputs_sha: str
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOrder:
    """Hold one prepared order: what was (or is about to be) sent, and what the broker said."""

    intent_id: IntentId
    client_order_id: ClientOrderId
    generation: int
    request: OrderRequest
    request_sha: str
    status: str
    broker_order_id: str
    filled_quantity: int
    prepared_at: datetime
    send_by: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """Hold how far one session of one book has come; `None` where a step has not been taken.

    `refused` names the stage and reason of the last refusal, empty when there is none.
    """

    book: str
    lane: str
    session: date
    opening_sha: str
    decided_at: datetime | None
    decisions_sha: str
    settled_at: datetime | None
    carried_by: str
    closing: Book | None
    closing_sha: str
    refused: str


class Journal(Protocol):
    """Keep the live state; the only thing the executor trusts."""

    def run_control(self) -> RunControl:
        """Return the run control in force."""
        ...

    def opening_book(self, *, book: str, lane: str, session: date, previous: date | None, opened: Book, now: datetime) -> Book:
        """Return the book after `previous`; opens the book with `opened` where it has no session yet.

        Raises `OutOfOrder` unless `previous` is settled, or this is the session the book opened in.
        Asking again gives the same answer.
        """
        ...

    def session_record(self, *, book: str, lane: str, session: date) -> SessionRecord | None:
        """Return how far a session has come, or `None` before its book was opened for it."""
        ...

    def record_refusal(self, *, book: str, lane: str, session: date, stage: str, reason: str, now: datetime) -> None:
        """Store that a stage refused a session, and why; the latest one is shown until the stage passes."""
        ...

    def register(self, *, book: str, lane: str, session: date, decisions: Sequence[Decision], verdicts: Sequence[Verdict], decisions_sha: str, now: datetime) -> list[JournalIntent]:
        """Store a session's decisions and verdicts (transition 1); returns all rows in the order given.

        The same decisions again change nothing. Another payload under a known id is a conflict event and
        raises `DuplicateIntent`: the first one stands.
        """
        ...

    def intent(self, intent_id: IntentId) -> JournalIntent:
        """Return one intent; raises `UnknownId`."""
        ...

    def intents(self, *, book: str, lane: str, session: date) -> list[JournalIntent]:
        """Return a session's intents, sells first, then by symbol: the order in which they execute."""
        ...

    def order(self, client_order_id: ClientOrderId) -> JournalOrder | None:
        """Return one order row, or `None`."""
        ...

    def orders(self, *, book: str, lane: str, session: date) -> list[JournalOrder]:
        """Return a session's orders, by intent then generation."""
        ...

    def fills(self, *, book: str, lane: str, session: date) -> list[Fill]:
        """Return a session's fills in the order booked: sells first as they execute."""
        ...

    def record_fill(self, fill: Fill, *, now: datetime) -> bool:
        """Book a fill (transition 16); returns whether it was new. Sum over an order never passes its quantity."""
        ...

    def acknowledge(self, intent_id: IntentId, *, epoch: int, order: BrokerOrder, now: datetime) -> JournalIntent:
        """Store that the broker has the order (transition 8 or 11); raises where fields differ."""
        ...

    def settle(self, *, book: str, lane: str, session: date, closing: Book, carried_by: str, now: datetime) -> None:
        """Store the book after a session; the same book again changes nothing, another one raises `Refused`.

        Raises `OutOfOrder` while an intent of the session is open.
        """
        ...
