"""The autonomy ladder: how much an advisor's word may do, step by step, each on stored evidence. Pure.

A reviewed file has the highest step allowed (the ceiling); shadow needs no more than that. Veto, and veto and
shrink, are reached by a named person, whose raise is refused while a gate does not pass. A spent error budget
or advice on what the guards did not pass steps back by itself, and only a person raises again: until then
nothing is sent live. All of it is events of the journal, folded here. What advice does at a step is
advice.py, what advice was worth lift.py; the journal's side is resources/advisor_ladder.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.advice import Advice, Ladder
from trading.advice_context import version_of_text
from trading.advisor_calls import (
    AdvisorCall,
    BudgetFigures,
    BudgetState,
    ErrorBudget,
    Purpose,
    budget_figures,
)
from trading.errors import BadInput, Refused
from trading.journal import JournalEvent
from trading.promotion import NOT_TOLD, Standing
from trading.values import IntentKey, digest

MOVED, STEPPED_BACK, EVALUATED = "advisor_moved", "advisor_stepped_back", "advisor_evaluated"
KINDS = (MOVED, STEPPED_BACK, EVALUATED)
"""The kinds of events that tell of the ladder; they have no rows of their own."""

MISMATCH = "advice_guard_mismatch"
"""Why a ladder stepped back: advice came on what the guards had not passed."""

STEP_NAMES: Mapping[Ladder, str] = {
    Ladder.OFF: "off",
    Ladder.SHADOW: "shadow",
    Ladder.VETO: "veto",
    Ladder.VETO_AND_SHRINK: "veto_and_shrink",
}
"""What people call the steps."""


class LiftStanding(StrEnum):
    """Say what is known of an advisor's worth."""

    GAINS = "gains"
    LOSES = "loses"
    UNDECIDED = "undecided"
    NOT_ENOUGH_EVIDENCE = "not_enough_evidence"


class LadderGate(StrEnum):
    """Name what a step asks for: these codes stay."""

    MODEL_LOCKED = "model_locked"
    EVALUATED = "evaluated"
    SESSIONS = "advised_sessions"
    ERROR_BUDGET = "error_budget"
    STABLE_PROFIT = "stable_profit"
    NO_CRITICAL = "no_critical"
    ROLLBACK_REHEARSED = "rollback_rehearsed"
    NO_LOSS_BY_ADVICE = "no_loss_by_advice"


ASKS: Mapping[LadderGate, str] = {
    LadderGate.MODEL_LOCKED: "models, prompt and schema version are named by the reviewed file",
    LadderGate.EVALUATED: "a report on exactly these models, prompt and schema is filed by a person",
    LadderGate.SESSIONS: "so many sessions were advised by exactly these, at the step below or above it; "
    "one in which no question was answered is not",
    LadderGate.ERROR_BUDGET: "their calls kept the budget of errors and of latency",
    LadderGate.STABLE_PROFIT: "the book gained over those sessions, and lost in neither half of them",
    LadderGate.NO_CRITICAL: "no critical alert and no mismatch with the guards in those sessions",
    LadderGate.ROLLBACK_REHEARSED: "a person lowered the step so lately, and raised it again",
    LadderGate.NO_LOSS_BY_ADVICE: "the filed report does not say that following advice loses",
}
"""What each gate asks, in one line for people."""

GATES_OF: Mapping[Ladder, tuple[LadderGate, ...]] = {
    Ladder.OFF: (),
    Ladder.SHADOW: (LadderGate.MODEL_LOCKED,),
    Ladder.VETO: (
        LadderGate.MODEL_LOCKED,
        LadderGate.EVALUATED,
        LadderGate.SESSIONS,
        LadderGate.ERROR_BUDGET,
        LadderGate.STABLE_PROFIT,
        LadderGate.NO_CRITICAL,
        LadderGate.ROLLBACK_REHEARSED,
    ),
    Ladder.VETO_AND_SHRINK: tuple(LadderGate),
}
"""What each step asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLock:
    """Hold what advice comes from: evidence counts for exactly this, and a change of it ends a raise.

    `template_sha` digests the prompt's template; `models` are the configured ones, of both tiers.
    """

    models: tuple[str, ...]
    prompt_name: str
    prompt_version: str
    template_sha: str
    schema_version: str

    def sha(self) -> str:
        """Return the digest by which evidence and moves name the lock."""
        return digest(
            [
                list(self.models),
                self.prompt_name,
                self.prompt_version,
                self.template_sha,
                self.schema_version,
            ]
        )

    def made(self, call: AdvisorCall) -> bool:
        """Say whether a call was of this lock, as far as a call tells."""
        return (
            call.model in self.models
            and call.prompt_name == self.prompt_name
            and call.prompt_version == version_of_text(self.prompt_version, self.template_sha)
            and call.schema_version == self.schema_version
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRules:
    """Hold how much evidence a step above shadow needs."""

    sessions_min: int = 20
    rehearsed_within: timedelta = timedelta(hours=72)
    budget: ErrorBudget = field(default_factory=ErrorBudget)

    def __post_init__(self) -> None:
        """Refuse rules that ask for nothing: two halves need two sessions."""
        if self.sessions_min < 2:  # noqa: PLR2004 - a half of one session is none
            raise ValueError(f"sessions_min {self.sessions_min}: two at least, one for each half")


class Move(NamedTuple):
    """Hold one change of a book's step; `actor` is empty where the rules stepped back."""

    before: Ladder
    after: Ladder
    lock_sha: str
    actor: str
    reason: str
    at: datetime

    @property
    def is_stepping_back(self) -> bool:
        """Say whether no person did it."""
        return not self.actor


class Evaluation(NamedTuple):
    """Hold that a person filed a report on a lock: its digest, and what it says advice is worth."""

    lock_sha: str
    report_sha: str
    standing: LiftStanding
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderLog:
    """Hold what the journal's events tell of one book's ladder, in their order."""

    moves: tuple[Move, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def stepped_back(self) -> Move | None:
        """Return the step back that no person has answered yet, `None` where there is none."""
        last = self.moves[-1] if self.moves else None
        return last if last is not None and last.is_stepping_back else None


class AdvisedSession(NamedTuple):
    """Hold what a session tells of the advisor.

    `ladder` is the step it was advised at; `gain_micros` what the book gained in it, `None` where the session
    before is not known; `criticals` counts its critical alerts.
    """

    session: date
    ladder: Ladder
    calls: tuple[AdvisorCall, ...]
    gain_micros: int | None
    criticals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderFacts:
    """Hold all that a step is judged on. `lock` is `None` where no model is configured."""

    lock: ModelLock | None
    log: LadderLog
    sessions: tuple[AdvisedSession, ...]
    as_of: datetime


class GateJudged(NamedTuple):
    """Hold what a gate found, as text for people."""

    gate: LadderGate
    standing: Standing
    observed: str
    needed: str


class InForce(NamedTuple):
    """Hold the step in force and, where it is under the ceiling, why."""

    step: Ladder
    why: str


class LadderEvent(NamedTuple):
    """Hold an event to be stored, before it has a place in the chain; without an actor the rules did it."""

    kind: str
    body: Mapping[str, Any]
    book: str
    actor: str
    reason: str
    session: str = ""


class AdvisorLadder(Protocol):
    """Say how much an advisor may do for a book now, and keep that it may do less."""

    def in_force(self, book: str) -> InForce:
        """Return the step in force."""
        ...

    def observe(
        self, book: str, session: date, *, recent: Sequence[AdvisorCall], strays: int, now: datetime
    ) -> str:
        """Step back where a session's advice asks for it; return the stable reason, empty where it does not.

        `recent` are the calls of the session and of those before it, `strays` counts advice on what the
        guards had not passed.
        """
        ...

    def budget_figures(self, calls: Sequence[AdvisorCall]) -> BudgetFigures:
        """Return how calls stand against the reviewed error budget."""
        ...


def ladder_log_of(events: Iterable[JournalEvent], *, book: str) -> LadderLog:
    """Return what events tell of a book's ladder; other kinds and books are passed over."""
    moves: list[Move] = []
    evaluations: list[Evaluation] = []
    for event in events:
        if event.kind not in KINDS or event.book != book:
            continue
        body = event.body
        if event.kind == EVALUATED:
            standing = LiftStanding(body["standing"])
            evaluations.append(
                Evaluation(body["lock_sha"], body["report_sha"], standing, event.actor, event.at)
            )
        else:
            steps = Ladder(body["before"]), Ladder(body["after"])
            moves.append(Move(*steps, body["lock_sha"], event.actor, event.reason, event.at))
    return LadderLog(moves=tuple(moves), evaluations=tuple(evaluations))


def in_force(log: LadderLog, *, ceiling: Ladder, lock: ModelLock | None) -> InForce:
    """Return the step in force: the ceiling, no more than a person raised it to, of exactly this lock.

    Without any move it is shadow at most; a move of another lock never lets more than shadow.
    """
    if lock is None:
        return InForce(Ladder.OFF, "" if ceiling is Ladder.OFF else "no model is configured")
    last = log.moves[-1] if log.moves else None
    reached, why = Ladder.SHADOW, "nobody raised it"
    if last is not None and last.lock_sha != lock.sha() and last.after > Ladder.SHADOW:
        # Also where the rules stepped back: what they left standing was raised for other models.
        why = "models, prompt or schema were changed since it was raised"
    elif last is not None and last.is_stepping_back:
        reached, why = last.after, f"stepped back: {last.reason}"
    elif last is not None:
        reached, why = last.after, f"moved by {last.actor}"
    return InForce(ceiling, "") if ceiling <= reached else InForce(reached, why)


def judged(step: Ladder, facts: LadderFacts, rules: LadderRules) -> tuple[GateJudged, ...]:
    """Return what each gate of a step says. No data is an outcome of its own, and never a pass."""
    own = tuple(
        row
        for row in facts.sessions
        if facts.lock is not None
        and row.ladder >= step - 1
        and any(call.ok for call in row.calls)
        and all(facts.lock.made(call) for call in row.calls)
    )
    return tuple(_GATES[gate](facts, own, rules) for gate in GATES_OF[step])


def passes(gates: Iterable[GateJudged]) -> bool:
    """Say whether all gates of a step pass."""
    return all(gate.standing is Standing.PASSED for gate in gates)


def moved(
    facts: LadderFacts,
    rules: LadderRules,
    *,
    book: str,
    ceiling: Ladder,
    after: Ladder,
    actor: str,
    reason: str,
) -> LadderEvent:
    """Return the event of a person's move. Down is always allowed, up one step at a time where gates pass.

    Without a model it can still be switched off, so that a step back is answered by taking the model away.

    Raises `BadInput` without an actor and a reason, and `Refused` with each gate that does not pass.
    """
    if not actor.strip() or not reason.strip():
        raise BadInput("the ladder is moved by a named person, with a reason")
    if facts.lock is None and after > Ladder.OFF:
        raise Refused("no model is configured; config/advisor.toml names them")
    before = in_force(facts.log, ceiling=Ladder.VETO_AND_SHRINK, lock=facts.lock).step
    if after > ceiling:
        raise Refused(
            f"config/advisor.toml allows {STEP_NAMES[ceiling]} at most; change it there first, on review"
        )
    if after > before + 1:
        raise Refused(f"from {STEP_NAMES[before]} one step at a time, {STEP_NAMES[after]} is further")
    if after > before:
        lacking = [gate for gate in judged(after, facts, rules) if gate.standing is not Standing.PASSED]
        if lacking:
            told = "; ".join(f"{one.gate}: {one.observed}, needed {one.needed}" for one in lacking)
            raise Refused(f"{STEP_NAMES[after]}: {told}")
    lock_sha = "" if facts.lock is None else facts.lock.sha()
    body = {"before": before.value, "after": after.value, "lock_sha": lock_sha}
    return LadderEvent(MOVED, body, book, actor, reason)


def evaluated(
    lock: ModelLock, *, book: str, report_sha: str, standing: LiftStanding, actor: str, reason: str
) -> LadderEvent:
    """Return the event of a report that a person files; raises `BadInput` without an actor and a reason."""
    if not actor.strip() or not reason.strip():
        raise BadInput("a report is filed by a named person, with a reason")
    body = {"lock_sha": lock.sha(), "report_sha": report_sha, "standing": standing.value}
    return LadderEvent(EVALUATED, body, book, actor, reason)


def stepped_back(
    log: LadderLog,
    *,
    book: str,
    session: date,
    step: Ladder,
    lock: ModelLock,
    recent: Sequence[AdvisorCall],
    strays: int,
    budget: ErrorBudget,
) -> LadderEvent | None:
    """Return the event of a step back, `None` where nothing asks for one.

    Only calls of sessions after the day of the last move count, so that whoever raises again is not lowered
    by what was known then.
    """
    since = log.moves[-1].at.date() if log.moves else None
    calls = [
        call
        for call in recent
        if call.purpose is Purpose.ADVICE and lock.made(call) and (since is None or call.session > since)
    ]
    state = budget_figures(calls, budget=budget).state
    reason = MISMATCH if strays else state.value
    if step is Ladder.OFF or not (strays or state in {BudgetState.ERRORS, BudgetState.LATENCY}):
        return None
    body = {"before": step.value, "after": step.value - 1, "lock_sha": lock.sha()}
    return LadderEvent(STEPPED_BACK, body, book, "", reason, str(session))


def strays_of(advice: Iterable[Advice], asked: Iterable[IntentKey]) -> int:
    """Return how much advice came on what the guards had not passed: a mismatch, whatever it says."""
    known = set(asked)
    return sum(row.intent_key not in known for row in advice)


# -------------------------------------------------------------------------------- the gates


def _model_locked(facts: LadderFacts, _: Sequence[AdvisedSession], __: LadderRules) -> GateJudged:
    named = NOT_TOLD if facts.lock is None else facts.lock.sha()[:12]
    return _gate(LadderGate.MODEL_LOCKED, named, "a lock", is_passed=facts.lock is not None)


def _report_filed(facts: LadderFacts, _: Sequence[AdvisedSession], __: LadderRules) -> GateJudged:
    found = _report_of(facts)
    shown = NOT_TOLD if found is None else f"{found.report_sha[:12]} by {found.actor}"
    return _gate(LadderGate.EVALUATED, shown, "a report", is_passed=True, is_known=found is not None)


def _sessions(_: LadderFacts, own: Sequence[AdvisedSession], rules: LadderRules) -> GateJudged:
    return _gate(
        LadderGate.SESSIONS,
        str(len(own)),
        f"{rules.sessions_min} or more",
        is_passed=len(own) >= rules.sessions_min,
        is_known=bool(own),
    )


def _error_budget(_: LadderFacts, own: Sequence[AdvisedSession], rules: LadderRules) -> GateJudged:
    figures = budget_figures([call for row in own for call in row.calls], budget=rules.budget)
    told = (
        NOT_TOLD
        if figures.error_rate is None
        else f"{figures.error_rate:.1%} of {figures.calls} calls, p95 {figures.latency_ms_p95} ms"
    )
    needed = f"{rules.budget.error_rate_bps_max / 100:g} %, {rules.budget.latency_ms_p95_max} ms at most"
    return _gate(
        LadderGate.ERROR_BUDGET,
        told,
        needed,
        is_passed=figures.state is BudgetState.KEPT,
        is_known=figures.state is not BudgetState.NO_DATA,
    )


def _stable_profit(_: LadderFacts, own: Sequence[AdvisedSession], rules: LadderRules) -> GateJudged:
    gains = [row.gain_micros for row in own if row.gain_micros is not None]
    half = len(gains) // 2
    first, second = sum(gains[:half]), sum(gains[half:])
    return _gate(
        LadderGate.STABLE_PROFIT,
        f"{first / 1e6:,.2f} and {second / 1e6:,.2f}",
        "a gain, no half under 0",
        is_passed=first >= 0 and second >= 0 and first + second > 0,
        is_known=len(gains) == len(own) and len(own) >= rules.sessions_min,
    )


def _no_critical(facts: LadderFacts, own: Sequence[AdvisedSession], _: LadderRules) -> GateJudged:
    criticals = sum(row.criticals for row in own)
    first = own[0].session if own else None
    mismatches = sum(
        move.is_stepping_back and move.reason == MISMATCH and first is not None and move.at.date() >= first
        for move in facts.log.moves
    )
    return _gate(
        LadderGate.NO_CRITICAL,
        f"{criticals} critical, {mismatches} mismatches",
        "none",
        is_passed=criticals == 0 and mismatches == 0,
        is_known=bool(own),
    )


def _rollback_rehearsed(facts: LadderFacts, _: Sequence[AdvisedSession], rules: LadderRules) -> GateJudged:
    lowered = [
        move.at
        for move, later in zip(facts.log.moves, facts.log.moves[1:], strict=False)
        if not move.is_stepping_back
        and move.after < move.before
        and not later.is_stepping_back
        and later.after > later.before
    ]
    last = max(lowered, default=None)
    hours = rules.rehearsed_within.total_seconds() / 3600
    return _gate(
        LadderGate.ROLLBACK_REHEARSED,
        NOT_TOLD if last is None else f"{last:%Y-%m-%d %H:%M} UTC",
        f"within {hours:g} h",
        is_passed=last is not None and facts.as_of - rules.rehearsed_within <= last <= facts.as_of,
        is_known=last is not None,
    )


def _no_loss_by_advice(facts: LadderFacts, _: Sequence[AdvisedSession], __: LadderRules) -> GateJudged:
    found = _report_of(facts)
    standing = LiftStanding.NOT_ENOUGH_EVIDENCE if found is None else found.standing
    return _gate(
        LadderGate.NO_LOSS_BY_ADVICE,
        standing.value,
        "gains or undecided",
        is_passed=standing in {LiftStanding.GAINS, LiftStanding.UNDECIDED},
        is_known=standing is not LiftStanding.NOT_ENOUGH_EVIDENCE,
    )


def _report_of(facts: LadderFacts) -> Evaluation | None:
    """Return the last report filed on the configured lock."""
    sha = None if facts.lock is None else facts.lock.sha()
    return next((one for one in reversed(facts.log.evaluations) if one.lock_sha == sha), None)


def _gate(
    gate: LadderGate, observed: str, needed: str, *, is_passed: bool, is_known: bool = True
) -> GateJudged:
    standing = Standing.REFUSED if is_known else Standing.NO_DATA
    return GateJudged(gate, Standing.PASSED if is_passed and is_known else standing, observed, needed)


_GATES: Mapping[LadderGate, Callable[[LadderFacts, Sequence[AdvisedSession], LadderRules], GateJudged]] = {
    LadderGate.MODEL_LOCKED: _model_locked,
    LadderGate.EVALUATED: _report_filed,
    LadderGate.SESSIONS: _sessions,
    LadderGate.ERROR_BUDGET: _error_budget,
    LadderGate.STABLE_PROFIT: _stable_profit,
    LadderGate.NO_CRITICAL: _no_critical,
    LadderGate.ROLLBACK_REHEARSED: _rollback_rehearsed,
    LadderGate.NO_LOSS_BY_ADVICE: _no_loss_by_advice,
}
