"""Windows of signals and their latch, in the journal: one event a window, and none of its own rows.

What a window means, and when the latch sets, is trading/signal_continuity.py.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from resources.journal import records
from resources.journal.drafts import Draft
from resources.journal.statements import asked
from trading.signal_continuity import WINDOW, Window, body_of, windows_of

if TYPE_CHECKING:
    import sqlalchemy as sa

    from resources.journal.store import SqlJournal


class JournalSignals:
    """Keep windows in a journal; the port is `trading.signal_continuity.SignalKeeper`."""

    def __init__(self, journal: SqlJournal) -> None:
        """Use this journal; it stays the caller's to close."""
        self._journal = journal

    def window_before(self, *, book: str, lane: str, session: date) -> Window | None:
        """Return the last window that was stored for an earlier session."""
        with self._journal.looking() as conn:
            return _last_window(conn, book, lane, before=session.isoformat())

    def last_window(self, *, book: str, lane: str) -> Window | None:
        """Return the last window stored, `None` before the first."""
        with self._journal.looking() as conn:
            return _last_window(conn, book, lane)

    def keep(self, window: Window, *, lane: str, now: datetime) -> bool:
        """Store a window; returns whether it was new.

        The same look again changes nothing, nor does one for an earlier session than the last one: what is
        over neither sets the latch nor clears it.
        """
        with self._journal.appending(now) as (conn, append):
            last = _last_window(conn, window.book, lane)
            if last is not None and (window.session < last.session or window.is_of_same_look(last)):
                return False
            append(
                Draft(
                    WINDOW,
                    book=window.book,
                    lane=lane,
                    session=window.session.isoformat(),
                    reason=window.looked.reason.value if window.looked.reason is not None else "",
                    body=body_of(window),
                )
            )
            return True


def _last_window(conn: sa.Connection, book: str, lane: str, *, before: str = "") -> Window | None:
    """Return the last window stored, or the last of a session earlier than `before` (ISO)."""
    rows = asked(conn, "find_last_signal_window", book=book, lane=lane, before=before)
    found = windows_of(records.event_of(row) for row in rows)
    return found[0] if found else None
