"""The course of one session, as the journal's events tell it: stages that refused, sends, what people did.

Pure. A course ends where its session is settled and begins where the session before was: of a settled session
it is the same whenever it is asked for. What it is measured by is metrics.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple, Protocol

from trading.audit import instant_from_text
from trading.breakers import BreakerState
from trading.journal import STAGE_RAN, JournalEvent, RunControlAction, StageRun

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
    retries the session's own. `runs` are those of stages by a clock that goes, in the order in which they
    ended.
    """

    refused: tuple[str, ...] = ()
    sends: tuple[SendTimes, ...] = ()
    circuits_opened: int = 0
    cooldowns: int = 0
    incidents: int = 0
    runs: tuple[StageRun, ...] = ()
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


class RunOutcome(NamedTuple):
    """Hold how a run went: whether its stages passed, whether it repeats one, and how long it took."""

    passed: bool
    is_retry: bool
    took_s: float


def session_course(
    events: Iterable[JournalEvent], sends: Iterable[SendTimes], *, account: str
) -> SessionCourse:
    """Return the course that the events of a session tell; those of other accounts are left out."""
    refused: list[str] = []
    runs: list[StageRun] = []
    seen: Counter[str] = Counter()
    for event in events:
        match event.kind:
            case "stage_refused":
                refused.append(event.body["stage"])
            case kind if kind == STAGE_RAN:
                runs.append(_stage_run(event))
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
        runs=tuple(runs),
        circuits_opened=seen["opened"],
        cooldowns=seen["cooldown_began"],
        incidents=seen["incident"],
        retries=seen["retried"],
        halts=seen[RunControlAction.HALT],
        pauses=seen[RunControlAction.PAUSE],
        resumptions=seen[RunControlAction.RESUME],
    )


def _stage_run(event: JournalEvent) -> StageRun:
    told = event.body
    return StageRun(
        told["stage"], told["run_id"], instant_from_text(told["began_at"]), event.at, told["passed"]
    )


def stage_seconds(course: SessionCourse) -> dict[str, float]:
    """Return how long each stage took when it ran last, in seconds, in the order of the flow."""
    last = {run.stage: (run.ended_at - run.began_at).total_seconds() for run in course.runs}
    return {stage: last[stage] for stage in STAGES if stage in last}


def run_outcomes(course: SessionCourse) -> dict[str, RunOutcome]:
    """Return how each run of the orchestrator went, by its id, in the order in which they began.

    A run that does a stage which an earlier one did already is a retry.
    """
    stages: defaultdict[str, list[StageRun]] = defaultdict(list)
    for run in sorted(course.runs, key=lambda run: (run.began_at, run.ended_at)):
        stages[run.run_id].append(run)
    outcomes: dict[str, RunOutcome] = {}
    done: set[str] = set()
    for run_id, runs in stages.items():
        took = max(run.ended_at for run in runs) - runs[0].began_at
        names = {run.stage for run in runs}
        outcomes[run_id] = RunOutcome(
            all(run.passed for run in runs), bool(names & done), took.total_seconds()
        )
        done |= names
    return outcomes


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
