"""Questions to the advisor's model, in the journal's database: a row each, and no event, as for any call.

What a row means is trading/advisor_calls.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from resources.journal import records
from resources.journal.queries import next_number
from resources.journal.schema import advisor_calls
from resources.journal.statements import asked, insert
from resources.journal.store import SqlJournal
from trading.advisor_calls import AdvisorCall
from trading.audit import instant_text


class JournalCallLog:
    """Keep calls in a journal; implements `trading.advisor_calls.CallLog`."""

    def __init__(self, journal: SqlJournal) -> None:
        """Use this journal; it stays the caller's to close."""
        self._journal = journal

    def record(self, call: AdvisorCall) -> None:
        """Keep one call; raises `JournalUnavailable`."""
        with self._journal.appending(call.at) as (conn, _):
            insert(
                conn,
                advisor_calls,
                {
                    "seq": next_number(conn, advisor_calls.c.seq),
                    **call._asdict(),
                    "at": instant_text(call.at),
                    "session": call.session.isoformat(),
                    "purpose": call.purpose.value,
                    "tier": call.tier.value,
                    "is_counted": int(call.is_counted),
                    "ok": int(call.ok),
                    "breaker": call.breaker.value,
                    "was_cached": int(call.was_cached),
                },
            )

    def calls_of(
        self, *, book: str = "", session: date | None = None, since: datetime | None = None
    ) -> Sequence[AdvisorCall]:
        """Return calls in the order kept; raises `JournalUnavailable`."""
        with self._journal.looking() as conn:
            rows = asked(
                conn,
                "find_advisor_calls",
                book=book,
                session="" if session is None else session.isoformat(),
                since="" if since is None else instant_text(since),
            )
        return [records.advisor_call_of(row) for row in rows]
