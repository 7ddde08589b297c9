"""The course of one session, as the journal's events tell it: stages that refused, sends, what people did.

Pure. A course ends where its session is settled and begins where the session before was: of a settled session
it is the same whenever it is asked for. What it is measured by is metrics.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from trading.breakers import BreakerState
from trading.journal import JournalEvent, RunControlAction

STAGES = (
    "opening_book",
    "input_envelopes",
    "candidates",
    "intents",
    "verdicts",
    "advice",
    "decisions",
    "executions",
    "order_status",
    "broker_positions",
    "positions",
)
"""The stages of a session whose refusals the journal keeps, in the order of the flow."""


class SendTimes(NamedTuple):
    """Hold when an order was sent and when its broker answered; `None` where no answer came."""

    sent_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCourse:
    """Hold the course of one session.

    `refused` names the stage of each refusal, in their order; the same refusal again is none. Openings of
    breakers, halts, pauses and resumptions are the whole desk's, cooldowns and incidents the account's,
    retries the session's own.
    """

    refused: tuple[str, ...] = ()
    sends: tuple[SendTimes, ...] = ()
    circuits_opened: int = 0
    cooldowns: int = 0
    incidents: int = 0
    retries: int = 0
    halts: int = 0
    pauses: int = 0
    resumptions: int = 0


class CourseHistory(Protocol):
    """Know the course of a book's sessions."""

    def course_of(self, session: date) -> SessionCourse | None:
        """Return the course of a session, `None` until it is settled."""
        ...


class StageOutcome(NamedTuple):
    """Hold how a stage ended: whether its table stands, how often it refused, how often it was run again."""

    passed: bool
    failures: int
    retries: int


def session_course(
    events: Iterable[JournalEvent], sends: Iterable[SendTimes], *, account: str
) -> SessionCourse:
    """Return the course that the events of a session tell; those of other accounts are left out."""
    refused: list[str] = []
    seen: Counter[str] = Counter()
    for event in events:
        match event.kind:
            case "stage_refused":
                refused.append(event.body["stage"])
            case "cooldown_began" | "incident":
                seen[event.kind] += event.body["account"] == account
            case "breaker_changed":
                seen["opened"] += event.body["state"] == BreakerState.OPEN
            case "run_control":
                seen[event.body["action"]] += 1
            case kind:
                seen[kind] += 1
    return SessionCourse(
        refused=tuple(refused),
        sends=tuple(sends),
        circuits_opened=seen["opened"],
        cooldowns=seen["cooldown_began"],
        incidents=seen["incident"],
        retries=seen["retried"],
        halts=seen[RunControlAction.HALT],
        pauses=seen[RunControlAction.PAUSE],
        resumptions=seen[RunControlAction.RESUME],
    )


def waits_s(course: SessionCourse) -> tuple[float, ...]:
    """Return how long each answered send waited, in seconds, ascending.

    A clock that stood still, as a simulated one does, measured nothing: such a send is left out.
    """
    waited = (
        (send.answered_at - send.sent_at).total_seconds()
        for send in course.sends
        if send.answered_at is not None and send.answered_at > send.sent_at
    )
    return tuple(sorted(waited))


def stage_outcomes(course: SessionCourse, *, stored: Iterable[str]) -> dict[str, StageOutcome | None]:
    """Return how each stage ended, in the order of the flow; `None` for one that never ran.

    `stored` names the tables of the session that stand. Every run of a stage but its first is a retry.
    """
    tables, refused = set(stored), Counter(course.refused)
    outcomes: dict[str, StageOutcome | None] = {}
    for stage in STAGES:
        passed, failures = stage in tables, refused[stage]
        has_run = passed or failures > 0
        outcomes[stage] = StageOutcome(passed, failures, failures + passed - 1) if has_run else None
    return outcomes
