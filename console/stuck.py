"""What is neither here nor there: intents whose outcome at the broker is not proven, and since when.

Nothing is asked of the broker here; that is reconciling.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.book_outlines import BookOutline
from console.concluding import NotYet, not_yet
from console.desk import Desk
from resources.settings import Profile
from trading.clock import Phase
from trading.findings import in_words, is_stuck
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import IntentState, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Hold one intent that waits for a proof or a person; `for_s` is how long, in seconds.

    `is_unknown` says that it waits for a proof of what the broker has, `absences` how often the broker said
    that it does not know the order. `because` is the reason in words. `not_yet` says why a parked one cannot
    be ended by a person's word yet, or why asking alone may not end an unproven one; `again` is the command
    that helps then, else the one that asks the broker once more.
    """

    intent_id: str
    book: str
    session: date
    symbol: str
    side: str
    quantity: int
    state: str
    reason: str
    since: datetime
    for_s: int
    client_order_id: str
    is_unknown: bool
    absences: int
    because: str
    not_yet: str
    again: str
    next: str


def stuck_of(desk: Desk, *, book: str | None = None, older_than_s: int) -> tuple[Stuck, ...]:
    """Return what is stuck for longer than some seconds, the longest first; raises `BadInput`."""
    found = [
        _stuck(desk, outline, row, now)
        for outline in desk.chosen(book)
        for row in desk.journal.open_intents(account=outline.account, lane=desk.lane)
        if row.intent.book == outline.name
        and is_stuck(row, now=(now := _now(desk, outline, row)), after=timedelta(seconds=older_than_s))
    ]
    return tuple(sorted(found, key=lambda row: (-row.for_s, row.intent_id)))


def _now(desk: Desk, book: BookOutline, row: JournalIntent) -> datetime:
    """Return the time that an intent has got old by: the clock's, on simulated days the settlement's."""
    return desk.clock(book).now(row.intent.session, Phase.SETTLE)


def _stuck(desk: Desk, book: BookOutline, row: JournalIntent, now: datetime) -> Stuck:
    order = _order(desk, book, row)
    waits = not_yet(desk, row, order) or _waits_for_a_run(desk, book, row)
    return Stuck(
        intent_id=row.intent_id,
        book=book.name,
        session=row.intent.session,
        symbol=row.intent.symbol,
        side=row.intent.side.value,
        quantity=row.quantity,
        state=row.state.value if row.stage is Stage.NONE else f"{row.state.value} ({row.stage.value})",
        reason=row.reason,
        since=row.changed_at,
        for_s=int((now - row.changed_at).total_seconds()),
        client_order_id=order.client_order_id if order else "",
        is_unknown=row.state is IntentState.UNKNOWN,
        absences=order.absences if order else 0,
        because=in_words(row.reason),
        not_yet=waits.told if waits else "",
        again=waits.again if waits else f"trading reconcile --book {book.name}",
        next=_next(desk, book, row),
    )


def _waits_for_a_run(desk: Desk, book: BookOutline, row: JournalIntent) -> NotYet | None:
    """Return what brings on an unproven order of a simulated day, whose clock stands still between runs."""
    if not _stands_still(desk, row):
        return None
    return NotYet(
        why="`trading reconcile` asks the broker, and can send nothing again",
        again=_run(book, row),
        does="goes on with it: it sends again what never arrived, and after `trading halt` ends it unsent",
    )


def _stands_still(desk: Desk, row: JournalIntent) -> bool:
    is_unproven = row.state is IntentState.UNKNOWN and row.stage is not Stage.PARKED
    return is_unproven and desk.settings.profile is Profile.SIMULATED


def _run(book: BookOutline, row: JournalIntent) -> str:
    return f"trading run-once --book {book.name} --session {row.intent.session}"


def _order(desk: Desk, book: BookOutline, row: JournalIntent) -> JournalOrder | None:
    """Return the order of the intent's latest generation."""
    orders = desk.journal.orders(book=book.name, lane=desk.lane, session=row.intent.session)
    own = [order for order in orders if order.intent_id == row.intent_id]
    return max(own, key=lambda order: order.generation, default=None)


def _next(desk: Desk, book: BookOutline, row: JournalIntent) -> str:
    if _stands_still(desk, row):
        return _run(book, row)
    if row.stage is Stage.PARKED:
        return f"trading intents conclude {row.intent_id} --absent --reason TEXT"
    if row.stage is Stage.WORKING:
        return f"trading orders cancel {row.intent_id} --reason TEXT"
    return f"trading reconcile --book {book.name}"
