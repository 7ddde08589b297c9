"""How many of what came through: quotes, candidates, intents, and what became of each intent.

Counted from the journal's intents and the lake's pointers, so that it is true before any report is written.
The first stage at zero, and why, is why.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.lake_pointers import TableState
from trading.decisions import ADVISOR_VETO
from trading.journal import JournalIntent
from trading.lifecycle import IntentState, Stage

WENT_ON = {
    IntentState.APPROVED,
    IntentState.EXECUTING,
    IntentState.UNKNOWN,
    IntentState.EXECUTED,
    IntentState.FAILED,
}
"""States of an intent that was approved, by the policy or a person, and not taken back since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """Count one session's stages; `None` where a stage left no table.

    `quotes` are those of the last session before, on which the decision stands; `scanned` symbols were
    ranked, `candidates` of them selected (`None` where the table's maker did not say). `intents` is
    all that were wished: `blocked` by guards, `vetoed` by advice, `pending` at a person, `approved` or
    further, and `ended` without an order (rejected by a person or at the send, expired, cancelled). Of those
    that went on `unfilled` count the ones whose order the broker refused, or which ended without a fill, or
    never was at the broker.
    """

    quotes: int | None
    quarantined: int | None
    scanned: int | None
    candidates: int | None
    intents: int | None
    blocked: int
    vetoed: int
    pending: int
    approved: int
    ended: int
    unfilled: int
    executed: int
    filled: int
    unknown: int
    parked: int


def funnel_of(desk: Desk, book: BookOutline, session: date, intents: Sequence[JournalIntent]) -> Funnel:
    """Return the counts of one session, from its intents and the tables before them."""
    calendar = desk.calendar(book)
    before = calendar.before(session, 1)
    quoted_on = before[-1].isoformat() if before else ""
    key = session.isoformat()
    candidates = desk.lake.state(book.name, "candidates", key)
    listed = desk.lake.state(book.name, "intents", key)
    rejected = [row for row in intents if row.state is IntentState.REJECTED]
    vetoed = sum(1 for row in rejected if row.reason == ADVISOR_VETO)
    blocked = sum(1 for row in rejected if is_blocked(row)) - vetoed
    over = {IntentState.REJECTED, IntentState.EXPIRED, IntentState.CANCELLED}
    ended = [row for row in intents if row.state in over]
    sent = _with_orders(desk, book, session) if len(ended) > blocked + vetoed else set()
    unfilled = sum(1 for row in ended if row.intent_id in sent)
    return Funnel(
        quotes=_rows(desk.lake.state(book.name, "market_quotes", quoted_on)) if quoted_on else None,
        quarantined=_rows(desk.lake.state(book.name, "quarantined_quotes", quoted_on)) if quoted_on else None,
        scanned=_rows(candidates),
        candidates=_selected(candidates),
        intents=len(intents) or _rows(listed),
        blocked=blocked,
        vetoed=vetoed,
        pending=_in(intents, IntentState.PENDING_APPROVAL),
        approved=sum(1 for row in intents if row.state in WENT_ON) + unfilled,
        ended=len(ended) - unfilled - blocked - vetoed,
        unfilled=unfilled + _in(intents, IntentState.FAILED),
        executed=_in(intents, IntentState.EXECUTED),
        filled=sum(1 for row in intents if row.filled_quantity > 0),
        unknown=_in(intents, IntentState.UNKNOWN),
        parked=sum(1 for row in intents if row.stage is Stage.PARKED),
    )


def _with_orders(desk: Desk, book: BookOutline, session: date) -> set[str]:
    """Return the intents of a session whose order was prepared: it may have been at the broker."""
    orders = desk.journal.orders(book=book.name, lane=desk.lane, session=session)
    return {order.intent_id for order in orders}


def is_blocked(row: JournalIntent) -> bool:
    """Say whether an intent was blocked or vetoed when it was decided: it was never anything to send."""
    return row.state is IntentState.REJECTED and row.quantity == 0


def _in(intents: Sequence[JournalIntent], state: IntentState) -> int:
    return sum(1 for row in intents if row.state is state)


def _rows(state: TableState | None) -> int | None:
    return None if state is None else state.rows


def _selected(state: TableState | None) -> int | None:
    if state is None:
        return None
    if "selected" in state.extra:
        return int(state.extra["selected"])
    return 0 if state.why_none else None
