"""What an advisor said of the sessions of a book: advice and calls in the lake, and what follows from them.

What a step of the ladder needs of them is trading/advice_ladder.py, what advice was worth trading/lift.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from resources.lake.store import Lake
from resources.lake.window import LakeQuotes
from trading.actions import CorporateAction
from trading.advice import Advice, AdviceGiven, Ladder, ladder_of
from trading.advice_ladder import AdvisedSession, ModelLock
from trading.advisor_calls import AdvisorCall
from trading.alerts import AlertRow, Severity
from trading.decisions import DecisionRow
from trading.intents import Intent
from trading.lift import HORIZON_SESSIONS, Twin, marked, twins_of
from trading.sessions import Calendar

Row = TypeVar("Row")

SESSIONS_BACK = 20
"""How many sessions' calls an error budget looks at: a month, so that a quiet day does not hide a bad one."""

SESSIONS_MAX = 250
"""How many sessions are looked at for evidence: a year."""


class LakeAdviceRecords:
    """Read what was said of a book's sessions from the lake's current tables."""

    def __init__(self, *, lake: Lake, book: str, calendar: Calendar) -> None:
        """Read the tables of one book."""
        self._lake = lake
        self._book = book
        self._calendar = calendar

    def given(self, session: date) -> AdviceGiven | None:
        """Return the stored advice and calls of a session, `None` where it has no advice stored.

        A session from before calls were kept, when the advisor was off, has none; without them one that was
        advised is not stored whole.
        """
        advice = self._rows("advice", session, Advice)
        calls = self._rows("advisor_calls", session, AdvisorCall)
        if advice is None or (calls is None and any(row.ladder > Ladder.OFF for row in advice)):
            return None
        return AdviceGiven(advice=advice, calls=calls or ())

    def calls_before(self, session: date) -> tuple[AdvisorCall, ...]:
        """Return the calls of the sessions before one, ascending, as far back as a budget looks."""
        days = self._calendar.before(session, SESSIONS_BACK)
        return tuple(call for day in days for call in self._rows("advisor_calls", day, AdvisorCall) or ())

    def advised_sessions(self) -> tuple[AdvisedSession, ...]:
        """Return what each session that was advised tells of the advisor, ascending, a year at most."""
        found = []
        for day in self._sessions("advisor_calls")[-SESSIONS_MAX:]:
            calls = self._rows("advisor_calls", day, AdvisorCall) or ()
            if not calls:
                continue
            alerts = self._rows("alerts", day, AlertRow) or ()
            found.append(
                AdvisedSession(
                    session=day,
                    ladder=ladder_of(self._rows("advice", day, Advice) or ()),
                    calls=calls,
                    gain_micros=self._gain(day),
                    criticals=sum(row.severity is Severity.CRITICAL for row in alerts),
                )
            )
        return tuple(found)

    def twins(
        self, *, step: Ladder, horizon_sessions: int = HORIZON_SESSIONS, lock: ModelLock | None = None
    ) -> tuple[Twin, ...]:
        """Return every advised decision with its twin, both marked where the days are over.

        With a `lock` each says whether its session was advised by that alone.
        """
        twins: list[Twin] = []
        for day in self._sessions("advisor_calls"):
            if calls := self._rows("advisor_calls", day, AdvisorCall):
                twins += twins_of(
                    self._rows("intents", day, Intent) or (),
                    self._rows("advice", day, Advice) or (),
                    self._rows("decisions", day, DecisionRow) or (),
                    step=step,
                    is_of_lock=lock is None or all(lock.made(call) for call in calls),
                )
        days = {day for twin in twins for day in self._days_of(twin.session, horizon_sessions)}
        quotes = LakeQuotes(lake=self._lake, book=self._book)
        stored = set(self._sessions("market_quotes"))
        actions: tuple[CorporateAction, ...] = ()
        if self._lake.pointer((self._book, "corporate_actions"), None) is not None:
            actions, _ = self._lake.read_rows((self._book, "corporate_actions"), None, CorporateAction)
        return marked(
            twins,
            sessions=self._calendar.sessions,
            quotes={
                day: {quote.symbol: quote for quote in quotes.quotes_on(day)} for day in sorted(days & stored)
            },
            actions=actions,
            horizon_sessions=horizon_sessions,
        )

    def _days_of(self, session: date, horizon_sessions: int) -> Sequence[date]:
        place = self._calendar.sessions.index(session)
        return self._calendar.sessions[place : place + horizon_sessions + 1]

    def _gain(self, session: date) -> int | None:
        """Return what the book gained in a session, `None` without its close or the one before."""
        before = self._calendar.before(session, 1)
        if not before:
            return None
        asset = (self._book, "positions")
        pointers = [self._lake.pointer(asset, day.isoformat()) for day in (before[0], session)]
        worth = [None if one is None else int(one.extra["equity_micros"]) for one in pointers]
        return None if worth[0] is None or worth[1] is None else worth[1] - worth[0]

    def _sessions(self, asset: str) -> tuple[date, ...]:
        return tuple(date.fromisoformat(key) for key in self._lake.partitions((self._book, asset)))

    def _rows(self, asset: str, session: date, row_type: type[Row]) -> tuple[Row, ...] | None:
        key = (self._book, asset), session.isoformat()
        return None if self._lake.pointer(*key) is None else self._lake.read_rows(*key, row_type)[0]
