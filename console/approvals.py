"""What waits for a person: the list, and the preview that an approval is bound to.

Answering is actions.py. A preview shows what the book would look like, how far each guard is from stopping
it, how old the price is, and until when it may be approved.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from console.actions import shown
from console.book_outlines import BookOutline, require_book
from console.desk import Desk
from console.explain import GuardSaid, explained
from console.reports import equity_at_close
from trading.guards import BPS
from trading.journal import JournalIntent
from trading.lifecycle import IntentState
from trading.values import Side, notional_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Hold one intent that waits. Money in micro-units; `not_after` is when it expires."""

    intent_id: str
    book: str
    session: date
    symbol: str
    side: str
    quantity: int
    price_micros: int
    notional_micros: int
    currency: str
    reason: str
    not_after: datetime
    payload_hash: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Hold what an approver looks at. Weights are shares of equity in basis points, at the intent's price.

    `priced_on` is the session whose close is the price; `equity_micros` that of the same close, or the
    deposit before the first session. Approving with `payload_hash` and `version` binds to this preview;
    where it is not `is_answerable`, somebody or its time was first: `changed_by` and `changed_at` say who.
    """

    pending: Pending
    state: IntentState
    is_answerable: bool
    changed_by: str
    changed_at: datetime
    unadvised_quantity: int
    held_quantity: int
    equity_micros: int | None
    weight_before_bps: int | None
    weight_after_bps: int | None
    priced_on: date | None
    guards: tuple[GuardSaid, ...]
    largest_quantity: int | None
    strategy: str
    rationale: str


def pending_of(desk: Desk, book: str | None = None) -> tuple[Pending, ...]:
    """Return what waits for a person, the soonest to expire first."""
    chosen = {outline.name for outline in desk.chosen(book)}
    waiting = [row for row in desk.journal.pending(lane=desk.lane) if row.intent.book in chosen]
    return tuple(_pending(row) for row in sorted(waiting, key=lambda row: (row.not_after, row.intent.symbol)))


def preview(desk: Desk, row: JournalIntent) -> Preview:
    """Return what an approver of an intent looks at."""
    book = require_book(desk.books, row.intent.book)
    before = desk.calendar(book).before(row.intent.session, 1)
    equity = _equity(desk, book, before[-1] if before else None)
    held = _held(desk, book, row, before[-1] if before else None)
    change = row.quantity if row.intent.side is Side.BUY else -row.quantity
    said = explained(desk, row)
    return Preview(
        pending=_pending(row),
        state=row.state,
        is_answerable=row.state is IntentState.PENDING_APPROVAL,
        changed_by=row.actor,
        changed_at=row.changed_at,
        unadvised_quantity=row.unadvised_quantity,
        held_quantity=held,
        equity_micros=equity,
        weight_before_bps=_weight_bps(row, held, equity),
        weight_after_bps=_weight_bps(row, held + change, equity),
        priced_on=before[-1] if before else None,
        guards=said.guards,
        largest_quantity=said.largest_quantity,
        strategy=f"{row.intent.strategy} {row.intent.strategy_version}",
        rationale=row.intent.rationale,
    )


def _pending(row: JournalIntent) -> Pending:
    seen = shown(row)
    return Pending(
        intent_id=row.intent_id,
        book=row.intent.book,
        session=row.intent.session,
        symbol=row.intent.symbol,
        side=row.intent.side.value,
        quantity=row.quantity,
        price_micros=row.intent.price_micros,
        notional_micros=notional_micros(price_micros=row.intent.price_micros, quantity=row.quantity),
        currency=row.intent.currency,
        reason=row.reason,
        not_after=row.not_after,
        payload_hash=seen.payload_hash,
        version=seen.version,
    )


def _equity(desk: Desk, book: BookOutline, before: date | None) -> int | None:
    """Return the equity the session opens with: that of the close before, or the deposit of a new book."""
    if before is not None and desk.journal.session_record(book=book.name, lane=desk.lane, session=before):
        return equity_at_close(desk, book, before)
    return book.deposit_micros


def _held(desk: Desk, book: BookOutline, row: JournalIntent, before: date | None) -> int:
    record = before and desk.journal.session_record(book=book.name, lane=desk.lane, session=before)
    return record.closing.quantity_of(row.intent.symbol) if record and record.closing else 0


def _weight_bps(row: JournalIntent, quantity: int, equity_micros: int | None) -> int | None:
    if not equity_micros:
        return None
    return notional_micros(price_micros=row.intent.price_micros, quantity=quantity) * BPS // equity_micros
