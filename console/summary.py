"""What a person should know after the sessions in the box have run: the demo's last words.

Built from the same views as `trading status` and its neighbours.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from console.approvals import Pending, pending_of
from console.book_outlines import BookOutline
from console.desk import Desk
from console.funnel import is_blocked
from console.replays import ReplayView, replays_of
from console.status import BookStatus, Status, status_of
from trading.journal import JournalIntent
from trading.lifecycle import IntentState

SESSIONS_MAX = 400
"""How many of a book's latest sessions are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookSummary:
    """Hold one book over the sessions it ran; counts by reason or rule, most first; money in micro-units.

    `expired` were not sent before their session was over. `blocked_example` is an intent that `trading
    explain` tells about, empty where none was blocked.
    """

    status: BookStatus
    sessions: int
    settled: int
    intents: int
    filled: int
    expired: int
    blocked: dict[str, int]
    blocked_example: str
    quarantined: int
    quarantined_session: str
    pnl_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Hold what happened, what waits, and the next commands to try; `failed` names each run that failed."""

    failed: tuple[str, ...]
    status: Status
    books: tuple[BookSummary, ...]
    replays: tuple[ReplayView, ...]
    pending: tuple[Pending, ...]
    next: tuple[str, ...]


def summary_of(desk: Desk, *, failed: tuple[str, ...] = ()) -> Summary:
    """Return what the books came to over all their sessions; `failed` are the runs that did not succeed."""
    now = status_of(desk)
    books = tuple(_book_summary(desk, desk.books[row.book], row) for row in now.books)
    pending = pending_of(desk)
    replays = tuple(view for row in now.books for view in replays_of(desk, desk.books[row.book]))
    return Summary(
        failed=failed,
        status=now,
        books=books,
        replays=replays,
        pending=pending,
        next=_next(books, pending),
    )


def _book_summary(desk: Desk, book: BookOutline, row: BookStatus) -> BookSummary:
    records = desk.journal.sessions(book=book.name, lane=desk.lane, last=SESSIONS_MAX)
    intents = [
        intent
        for record in records
        for intent in desk.journal.intents(book=book.name, lane=desk.lane, session=record.session)
    ]
    blocked = [intent for intent in intents if is_blocked(intent)]
    quarantined = _quarantined(desk, book)
    return BookSummary(
        status=row,
        sessions=len(records),
        settled=sum(1 for record in records if record.settled_at is not None),
        intents=len(intents),
        filled=sum(1 for intent in intents if intent.filled_quantity > 0),
        expired=sum(1 for intent in intents if intent.state is IntentState.EXPIRED),
        blocked=_by_reason(blocked),
        blocked_example=f"{blocked[-1].intent.symbol}@{blocked[-1].intent.session}" if blocked else "",
        quarantined=sum(quarantined.values()),
        quarantined_session=max(quarantined, default=""),
        pnl_micros=None if row.equity_micros is None else row.equity_micros - book.deposit_micros,
    )


def _quarantined(desk: Desk, book: BookOutline) -> dict[str, int]:
    """Return how many rows are quarantined, by session that has any."""
    counts = {}
    for partition in desk.lake.partitions(book.name, "quarantined_quotes"):
        state = desk.lake.state(book.name, "quarantined_quotes", partition)
        if state is not None and state.rows:
            counts[partition] = state.rows
    return counts


def _by_reason(intents: list[JournalIntent]) -> dict[str, int]:
    counts = Counter(row.reason for row in intents)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _next(books: tuple[BookSummary, ...], pending: tuple[Pending, ...]) -> tuple[str, ...]:
    """Return three commands worth trying on what is there."""
    commands = [f"trading approvals preview {pending[0].intent_id}"] if pending else []
    commands += [f"trading run-once --book {row.status.book} --phase decide" for row in books if row.expired]
    commands += [f"trading explain {row.blocked_example}" for row in books if row.blocked_example]
    commands += [f"trading report --book {row.status.book}" for row in books if row.status.report]
    commands += [
        f"trading quarantine list --book {row.status.book} --session {row.quarantined_session}"
        for row in books
        if row.quarantined_session
    ]
    return tuple([*dict.fromkeys(commands), "trading status", "trading why", "trading doctor"][:3])
