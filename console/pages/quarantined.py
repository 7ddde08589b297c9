"""The quarantined rows of a session, one of them marked where somebody was led to it.

What puts a row there is trading/quality.py; releasing one is `trading quarantine release`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.quarantine import ASSET, QuarantineCount, QuarantinedRow, quarantined_row, quarantined_rows

ROWS_SHOWN = 200
SESSIONS_LOOKED_AT = 60
"""How many of the latest sessions are looked through for rows: a quarter of a year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Hold the page. `is_known` is false where the quotes of the session were never judged: no data.

    `counts` are of the latest sessions that have such rows, the latest first; `marked` is the row led to.
    """

    books: tuple[str, ...]
    book: str
    session: date | None
    is_known: bool
    counts: tuple[QuarantineCount, ...]
    rows: tuple[QuarantinedRow, ...]
    row_count: int
    marked: QuarantinedRow | None


def quarantine_shown(desk: Desk, outline: BookOutline, session: date | None, row_id: str) -> Quarantine:
    """Return the page of a session, or of the latest one that has rows; raises `UnknownId`, `LakeError`."""
    counts = _counts(desk, outline)
    if session is None:
        latest = desk.lake.latest_partition(outline.name, ASSET)
        session = counts[0].session if counts else date.fromisoformat(latest) if latest else None
    state = desk.lake.state(outline.name, ASSET, session.isoformat()) if session else None
    rows = quarantined_rows(desk.lake, outline.name, [session]) if session else ()
    marked = quarantined_row(rows, row_id) if row_id else None
    shown = rows[:ROWS_SHOWN]
    return Quarantine(
        books=tuple(desk.books),
        book=outline.name,
        session=session,
        is_known=state is not None,
        counts=counts,
        rows=shown if marked is None or marked in shown else (marked, *shown),
        row_count=len(rows),
        marked=marked,
    )


def _counts(desk: Desk, outline: BookOutline) -> tuple[QuarantineCount, ...]:
    found = []
    for partition in reversed(desk.lake.partitions(outline.name, ASSET)[-SESSIONS_LOOKED_AT:]):
        state = desk.lake.state(outline.name, ASSET, partition)
        if state is not None and state.rows:
            found.append(QuarantineCount(session=date.fromisoformat(partition), rows=state.rows))
    return tuple(found)
