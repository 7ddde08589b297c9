"""The course of one book's sessions, read from the journal; what it means is trading/session_course.py."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from resources.journal import records
from resources.journal.statements import asked
from trading.audit import instant_from_text
from trading.session_course import SendTimes, SessionCourse, session_course

if TYPE_CHECKING:
    from resources.journal.store import SqlJournal


class JournalCourses:
    """Know the course of one book's sessions; implements `trading.session_course.CourseHistory`."""

    def __init__(self, journal: SqlJournal, *, book: str, lane: str, account: str) -> None:
        """Use this journal; it stays the caller's to close."""
        self._journal = journal
        self._of = {"book": book, "lane": lane}
        self._account = account

    def course_of(self, session: date) -> SessionCourse | None:
        """Return the course of a session, `None` until it is settled; raises `JournalUnavailable`."""
        on = session.isoformat()
        with self._journal.looking() as conn:
            (bounds,) = asked(conn, "find_session_bounds", **self._of, session=on)
            if bounds["until_seq"] is None:
                return None
            events = asked(
                conn,
                "find_session_course",
                **self._of,
                session=on,
                after=bounds["after_seq"] or 0,
                until=bounds["until_seq"],
            )
            sends = asked(conn, "find_answers_to_sends", **self._of, first=on, last=on)
        return session_course(map(records.event_of, events), map(_send_times, sends), account=self._account)


def _send_times(row: records.Row) -> SendTimes:
    answered_at = row["answered_at"]
    return SendTimes(
        instant_from_text(row["sent_at"]), None if answered_at is None else instant_from_text(answered_at)
    )
