"""What is approved and nobody sends: a process died, or was never started, between approval and execution.

Told by `trading status` and `trading approvals list`, since such an intent expires without another word. What
was begun to be sent is stuck.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from console.book_outlines import BookOutline
from console.desk import Desk
from console.render import instant
from trading.clock import Phase
from trading.findings import STUCK_AFTER
from trading.journal import JournalIntent
from trading.lifecycle import IntentState


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """Hold a session's intents that are approved, that nobody sends, and that end unsent at `not_after`.

    `is_over` says that this time has come: then nothing sends them any more, and the next run ends them.
    """

    book: str
    session: date
    count: int
    not_after: datetime
    is_over: bool
    next: str

    @property
    def told(self) -> str:
        """Return it in one line."""
        ends = "their time is over" if self.is_over else f"until {instant(self.not_after)}"
        return f"{self.book} {self.session}: {self.count} approved, not sent, {ends}"


def unsent_of(desk: Desk, book: BookOutline) -> tuple[Unsent, ...]:
    """Return the sessions whose approved intents nobody sends: the exchange is open, and no run took them."""
    clock, calendar = desk.clock(book), desk.calendar(book)
    waiting: dict[date, list[JournalIntent]] = {}
    for row in desk.journal.open_intents(account=book.account, lane=desk.lane):
        session = row.intent.session
        if row.state is IntentState.APPROVED and row.intent.book == book.name:
            since = max(row.changed_at, calendar.opens_at(session))
            if clock.now(session, Phase.SETTLE) - since >= STUCK_AFTER:
                waiting.setdefault(session, []).append(row)
    return tuple(
        Unsent(
            book=book.name,
            session=session,
            count=len(rows),
            not_after=min(row.not_after for row in rows),
            is_over=all(clock.now(session, Phase.EXECUTE) >= row.not_after for row in rows),
            next=f"trading run-once --book {book.name} --session {session} --phase execute",
        )
        for session, rows in sorted(waiting.items())
    )
