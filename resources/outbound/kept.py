"""Breakers and calls in the journal's database, where every process sees them.

A breaker's change is compare-and-set with its event; a call is a row and no event, since nothing is decided
from it. What either means is trading/breakers.py and trading/outbound.py.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from resources.journal import records
from resources.journal.drafts import Draft
from resources.journal.queries import next_number
from resources.journal.schema import breakers, outbound_calls
from resources.journal.statements import asked, insert, row_of, update
from trading.audit import instant_text
from trading.breakers import Breaker
from trading.outbound import OutboundCall
from trading.sessions import Calendar
from trading.timetable import span_of

if TYPE_CHECKING:
    from resources.journal.store import SqlJournal

BREAKER_CHANGED = "breaker_changed"


class JournalBreakers:
    """Keep breakers in a journal; implements `trading.breakers.Breakers`."""

    def __init__(self, journal: SqlJournal) -> None:
        """Use this journal; it stays the caller's to close."""
        self._journal = journal

    def breaker(self, name: str) -> Breaker:
        """Return a breaker as it is stored now; raises `JournalUnavailable`."""
        with self._journal.looking() as conn:
            row = row_of(conn, breakers, name=name)
        return Breaker(name) if row is None else records.breaker_of(row)

    def change(self, after: Breaker, *, actor: str, reason: str, now: datetime) -> bool:
        """Store a change of the version before it, with its event; raises `JournalUnavailable`."""
        row: dict[str, Any] = {
            **after._asdict(),
            "state": after.state.value,
            "until": None if after.until is None else instant_text(after.until),
        }
        kept = {**row, "actor": actor, "reason": reason, "changed_at": instant_text(now)}
        with self._journal.appending(now) as (conn, append):
            if after.version == 1:
                if row_of(conn, breakers, name=after.name) is not None:
                    return False
                insert(conn, breakers, kept)
            elif update(conn, breakers, kept, name=after.name, version=after.version - 1) == 0:
                return False
            append(Draft(BREAKER_CHANGED, actor=actor, reason=reason, body=row))
        return True


class JournalCalls:
    """Keep calls in a journal; implements `trading.outbound.Calls`.

    Nothing here takes a row away: a call is some two hundred bytes. Whoever wants the database smaller may
    delete old rows, which no event and no proof knows of.
    """

    def __init__(self, journal: SqlJournal) -> None:
        """Use this journal; it stays the caller's to close."""
        self._journal = journal

    def record(self, call: OutboundCall) -> None:
        """Keep one call; raises `JournalUnavailable`."""
        with self._journal.appending(call.at) as (conn, _):
            insert(
                conn,
                outbound_calls,
                {
                    "seq": next_number(conn, outbound_calls.c.seq),
                    **call._asdict(),
                    "at": instant_text(call.at),
                    "kind": call.kind.value,
                    "breaker": call.breaker.value,
                    "was_cached": int(call.was_cached),
                },
            )

    def calls_of(self, account: str, *, first: datetime, past: datetime) -> list[OutboundCall]:
        """Return an account's calls from an instant on and before another, in the order recorded."""
        with self._journal.looking() as conn:
            rows = asked(
                conn,
                "find_outbound_calls_of_account",
                account=account,
                first=instant_text(first),
                past=instant_text(past),
            )
        return [records.outbound_call_of(row) for row in rows]


class JournalCallHistory:
    """Know one account's calls by session; implements `trading.outbound.CallHistory`."""

    def __init__(self, calls: JournalCalls, *, account: str, calendar: Calendar) -> None:
        self._calls = calls
        self._account = account
        self._calendar = calendar

    def calls_in(self, session: date) -> list[OutboundCall]:
        """Return the account's calls of a session, in the order recorded."""
        first, past = span_of(self._calendar, session)
        return self._calls.calls_of(self._account, first=first, past=past)
