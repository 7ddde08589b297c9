"""The ladder in the journal: which step is in force for a book, and each move of it as an event.

What a move needs, and what steps back, is trading/advice_ladder.py. Events alone hold it, so that a journal
made again from its log stands on the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

from resources.journal import records
from trading.advice import Ladder
from trading.advice_ladder import (
    KINDS,
    InForce,
    LadderEvent,
    LadderLog,
    ModelLock,
    in_force,
    ladder_log_of,
    stepped_back,
)
from trading.advisor_calls import AdvisorCall, BudgetFigures, ErrorBudget, budget_figures

QUESTION = "find_ladder_events"


class Answering(Protocol):
    """Answer questions about a journal: `SqlJournal` and `JournalReader` do."""

    def answers(self, questions: Sequence[str]) -> Mapping[str, Sequence[records.Row]]:
        """Return the rows of each question (a file of `sql/` that binds nothing)."""
        ...


def ladder_log(journal: Answering, book: str) -> LadderLog:
    """Return what a journal tells of a book's ladder."""
    return ladder_log_of((records.event_of(row) for row in journal.answers((QUESTION,))[QUESTION]), book=book)


class JournalLadder:
    """Keep the ladder in a journal; a `trading.advice_ladder.AdvisorLadder`.

    `ceiling` is the highest step that the reviewed file allows, `lock` what it names, `None` without a model.
    """

    def __init__(
        self, journal: Any, *, ceiling: Ladder, lock: ModelLock | None, budget: ErrorBudget | None = None
    ) -> None:
        """Use this journal; it stays the caller's to close."""
        self._journal = journal
        self.ceiling = ceiling
        self.lock = lock
        self._budget = budget or ErrorBudget()

    def log(self, book: str) -> LadderLog:
        """Return every move and report of a book."""
        return ladder_log(self._journal, book)

    def in_force(self, book: str) -> InForce:
        """Return the step in force."""
        return in_force(self.log(book), ceiling=self.ceiling, lock=self.lock)

    def observe(
        self, book: str, session: date, *, recent: Sequence[AdvisorCall], strays: int, now: datetime
    ) -> str:
        """Step back where a session's advice asks for it; return the stable reason, empty where it does not.

        Looked at and stored in one transaction, so that two runs of a session step back once.
        """
        lock = self.lock
        if lock is None:
            return ""

        def asked(log: LadderLog) -> LadderEvent | None:
            if any(move.is_stepping_back and move.at >= now for move in log.moves):
                return None
            return stepped_back(
                log,
                book=book,
                session=session,
                step=in_force(log, ceiling=self.ceiling, lock=lock).step,
                lock=lock,
                recent=recent,
                strays=strays,
                budget=self._budget,
            )

        event = self.store(book, asked, now=now)
        return "" if event is None else event.reason

    def budget_figures(self, calls: Sequence[AdvisorCall]) -> BudgetFigures:
        """Return how calls stand against the reviewed error budget."""
        return budget_figures(calls, budget=self._budget)

    def store(
        self, book: str, made: Callable[[LadderLog], LadderEvent | None], *, now: datetime
    ) -> LadderEvent | None:
        """Store what is made of a book's log as it is in the same transaction; return it.

        Whatever `made` raises is raised, and nothing is stored.
        """
        # SQLAlchemy takes longer to import than a verb that only reads may.
        import sqlalchemy as sa  # noqa: PLC0415

        from resources.journal.drafts import Draft  # noqa: PLC0415
        from resources.journal.schema import events  # noqa: PLC0415

        with self._journal.appending(now) as (conn, append):
            told = sa.select(events).where(events.c.kind.in_(KINDS)).order_by(events.c.seq)
            log = ladder_log_of((records.event_of(row) for row in conn.execute(told).mappings()), book=book)
            event = made(log)
            if event is not None:
                append(
                    Draft(
                        event.kind,
                        book=event.book,
                        session=event.session,
                        actor=event.actor,
                        reason=event.reason,
                        body=event.body,
                    )
                )
        return event
