"""The advisor's ladder and lift for people: the step in force, what the next one lacks, what advice is worth.

The judgement is trading/advice_ladder.py and trading/lift.py. Moving the ladder and filing a report open the
real stores, as whatever changes something does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from console.desk import Desk
from console.exit_codes import ExitCode
from resources.profiles import Profiled
from trading.advice import Ladder
from trading.advice_ladder import (
    ASKS,
    STEP_NAMES,
    LadderEvent,
    LadderFacts,
    LadderLog,
    LiftStanding,
    ModelLock,
    evaluated,
    in_force,
    judged,
    moved,
)
from trading.clock import Phase
from trading.errors import BadInput, Refused
from trading.lift import HORIZON_SESSIONS, LiftReport, lift_of
from trading.promotion import Standing
from trading.values import digest

STEPS: Mapping[str, Ladder] = {name: step for step, name in STEP_NAMES.items()}
"""The steps by what people call them."""

TWINS_SHOWN = 20
HORIZON_SESSIONS_MAX = 250
"""The longest time after which a decision is marked: a year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLine:
    """Hold one gate for people: what it asks, what was observed and what is needed."""

    gate: str
    standing: str
    asks: str
    observed: str
    needed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLine:
    """Hold one move; `actor` is empty where the rules stepped back."""

    at: datetime
    before: str
    after: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderView:
    """Hold how a book's ladder stands: `gates` are those of `next_step`, empty at the top.

    `stepped_back` is the reason that nobody has answered yet; while it stands nothing is sent live.
    """

    book: str
    step: str
    why: str
    ceiling: str
    lock: str
    models: tuple[str, ...]
    stepped_back: str
    sessions: int
    next_step: str
    gates: tuple[GateLine, ...]
    moves: tuple[MoveLine, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Return attention where a step back waits for a person."""
        return ExitCode.ATTENTION if self.stepped_back else ExitCode.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinLine:
    """Hold one advised decision beside its twin; gain in micro-units, `None` where it is not marked yet."""

    session: date
    symbol: str
    side: str
    verdict: str
    unadvised_quantity: int
    quantity: int
    traded_quantity: int
    marked_on: date | None
    gain_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftView:
    """Hold what advice was worth at a step; numbers are `None` where there is not enough evidence.

    `twins` are the last ones, `left_out` counts sessions by why they do not count; `report_sha` names all of
    it, and `is_filed` says whether it was filed.
    """

    book: str
    step: str
    standing: str
    why: str
    mean_bps: float | None
    low_bps: float | None
    high_bps: float | None
    level: float | None
    gain_micros: int
    sessions: int
    counted: int
    changed: int
    left_out: Mapping[str, int]
    trained_until: date | None
    horizon_sessions: int
    twins_total: int
    twins: tuple[TwinLine, ...]
    report_sha: str
    is_filed: bool

    @property
    def exit_code(self) -> ExitCode:
        """Return attention where nobody can know yet."""
        lacks = self.standing == LiftStanding.NOT_ENOUGH_EVIDENCE
        return ExitCode.ATTENTION if lacks else ExitCode.DONE


def ladder_view(desk: Desk, *, book: str) -> LadderView:
    """Return how a book's ladder stands, and what its next step lacks."""
    profiled = Profiled(desk.settings)
    ladder = profiled.advisor_ladder
    log = ladder.log(book)
    now = in_force(log, ceiling=ladder.ceiling, lock=ladder.lock)
    facts = _facts(desk, profiled, book, log)
    wanted = Ladder(now.step + 1) if now.step < Ladder.VETO_AND_SHRINK else None
    return LadderView(
        book=book,
        step=STEP_NAMES[now.step],
        why=now.why,
        ceiling=STEP_NAMES[ladder.ceiling],
        lock="" if ladder.lock is None else ladder.lock.sha(),
        models=() if ladder.lock is None else ladder.lock.models,
        stepped_back="" if log.stepped_back is None else log.stepped_back.reason,
        sessions=len(facts.sessions),
        next_step="" if wanted is None else STEP_NAMES[wanted],
        gates=()
        if wanted is None
        else tuple(
            GateLine(
                gate=one.gate.value,
                standing=one.standing.value,
                asks=ASKS[one.gate],
                observed=one.observed,
                needed=one.needed,
            )
            for one in sorted(judged(wanted, facts, profiled.ladder_rules), key=_passed_last)
        ),
        moves=tuple(
            MoveLine(
                at=move.at,
                before=STEP_NAMES[move.before],
                after=STEP_NAMES[move.after],
                actor=move.actor,
                reason=move.reason,
            )
            for move in log.moves
        ),
    )


def move_ladder(desk: Desk, *, book: str, to: str, actor: str, reason: str) -> LadderView:
    """Move a book's ladder by somebody's name; raises `Refused` with each gate that does not pass."""
    if to not in STEPS:
        raise BadInput(f"--to {to!r}: a step is one of {', '.join(STEPS)}")
    profiled = Profiled(desk.settings)
    ladder, rules = profiled.advisor_ladder, profiled.ladder_rules

    def asked(log: LadderLog) -> LadderEvent:
        return moved(
            _facts(desk, profiled, book, log),
            rules,
            book=book,
            ceiling=ladder.ceiling,
            after=STEPS[to],
            actor=actor,
            reason=reason,
        )

    ladder.store(book, asked, now=_now(desk, book))
    return ladder_view(desk, book=book)


def lift_view(
    desk: Desk, *, book: str, step: str, horizon_sessions: int, filed_by: str = "", reason: str = ""
) -> LiftView:
    """Return what advice was worth in a book; with `filed_by` it is filed for the ladder by that name.

    Raises `Refused` where it is to be filed and no model is configured.
    """
    if step not in STEPS:
        raise BadInput(f"--at {step!r}: a step is one of {', '.join(STEPS)}")
    if not 1 <= horizon_sessions <= HORIZON_SESSIONS_MAX:
        raise BadInput(f"--horizon {horizon_sessions}: sessions, from 1 to {HORIZON_SESSIONS_MAX}")
    if filed_by and (STEPS[step], horizon_sessions) != (Ladder.VETO_AND_SHRINK, HORIZON_SESSIONS):
        raise BadInput(
            f"--at {step} --horizon {horizon_sessions}: a report is filed as it is without them, so that "
            "nobody picks the one that suits"
        )
    profiled = Profiled(desk.settings)
    twins = profiled.advice_records[book].twins(
        step=STEPS[step], horizon_sessions=horizon_sessions, lock=profiled.advisor_ladder.lock
    )
    report = lift_of(
        twins,
        book=book,
        trained_until=profiled.trained_until,
        step=STEPS[step],
        horizon_sessions=horizon_sessions,
    )
    view = _lift_view(report, is_filed=bool(filed_by))
    if filed_by:
        lock = _lock(profiled)
        profiled.advisor_ladder.store(
            book,
            lambda _: evaluated(
                lock,
                book=book,
                report_sha=view.report_sha,
                standing=report.standing,
                actor=filed_by,
                reason=reason,
            ),
            now=_now(desk, book),
        )
    return view


def _lift_view(report: LiftReport, *, is_filed: bool) -> LiftView:
    left_out: dict[str, int] = {}
    for row in report.sessions:
        if row.left_out:
            left_out[row.left_out] = left_out.get(row.left_out, 0) + 1
    interval = report.interval
    return LiftView(
        book=report.book,
        step=STEP_NAMES[report.step],
        standing=report.standing.value,
        why=report.why,
        mean_bps=report.mean_bps,
        low_bps=None if interval is None else interval.low,
        high_bps=None if interval is None else interval.high,
        level=None if interval is None else interval.level,
        gain_micros=report.gain_micros,
        sessions=len(report.sessions),
        counted=len(report.counted),
        changed=sum(row.changed for row in report.counted),
        left_out=left_out,
        trained_until=report.trained_until,
        horizon_sessions=report.horizon_sessions,
        twins_total=len(report.twins),
        twins=tuple(
            TwinLine(
                session=twin.session,
                symbol=twin.symbol,
                side=twin.side.value,
                verdict=twin.verdict.value,
                unadvised_quantity=twin.unadvised_quantity,
                quantity=twin.quantity,
                traded_quantity=twin.traded_quantity,
                marked_on=twin.marked_on,
                gain_micros=twin.gain_micros,
            )
            for twin in report.twins[-TWINS_SHOWN:]
        ),
        report_sha=digest([[str(value) for value in twin] for twin in report.twins]),
        is_filed=is_filed,
    )


def _facts(desk: Desk, profiled: Profiled, book: str, log: LadderLog) -> LadderFacts:
    return LadderFacts(
        lock=profiled.advisor_ladder.lock,
        log=log,
        sessions=profiled.advice_records[book].advised_sessions(),
        as_of=_now(desk, book),
    )


def _lock(profiled: Profiled) -> ModelLock:
    if profiled.advisor_ladder.lock is None:
        raise Refused("no model is configured; config/advisor.toml names them")
    return profiled.advisor_ladder.lock


def _passed_last(gate: Any) -> bool:
    return gate.standing is Standing.PASSED


def _now(desk: Desk, book: str) -> datetime:
    """Return when the ladder is judged: now, or when simulated after the data's last session."""
    outline = desk.books[book]
    return desk.clock(outline).now(desk.today(outline), Phase.SETTLE)
