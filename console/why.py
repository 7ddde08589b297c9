"""Why nothing was traded: the stages of a session in order, and the first one at zero with its reason.

The counts are funnel.py; the reasons come from who knew them: the calendar, the journal, the tables' makers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from console.book_outlines import BookOutline
from console.desk import Desk
from console.exit_codes import ExitCode
from console.funnel import Funnel, funnel_of, is_blocked
from console.render import counted, instant
from trading.journal import JournalIntent, RunControl, SessionRecord
from trading.lifecycle import IntentState


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFound:
    """Hold one stage: how many came through (`None`: it did not run or left nothing), and what it says."""

    stage: str
    count: int | None
    says: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNot:
    """Hold the answer for one session: `stopped_at` is the first stage at zero, empty where all traded."""

    book: str
    session: date | None
    stages: tuple[StageFound, ...]
    stopped_at: str
    reason: str
    next: tuple[str, ...]
    exit_code: ExitCode


def why(desk: Desk, *, book: BookOutline, session: date | None = None) -> WhyNot:
    """Return the first stage at zero of a session and its reason; the book's latest session by default."""
    asked = desk.session(book, session)
    if asked is None:
        return _answer(
            book,
            None,
            [],
            "session",
            "nothing yet: no session of this book was run",
            next=(f"trading run-once --book {book.name}",),
        )
    calendar = desk.calendar(book)
    if asked not in calendar:
        reason = f"{asked} is no session of {calendar.name}: {calendar.why_closed(asked)}"
        return _answer(book, asked, [StageFound(stage="session", count=0, says=reason)], "session", reason)
    record = desk.journal.session_record(book=book.name, lane=desk.lane, session=asked)
    intents = desk.journal.intents(book=book.name, lane=desk.lane, session=asked)
    funnel = funnel_of(desk, book, asked, intents)
    control = desk.journal.run_control()
    stages = _stages(desk, book, asked, funnel, intents)
    refused = _refused(book, asked, record, control)
    if refused is not None and not funnel.filled:
        return _answer(book, asked, stages, *refused)
    for stage in stages:
        if stage.count == 0:
            return _stopped(book, asked, stages, stage, control, funnel)
    if funnel.filled:
        reason = f"{counted(funnel.filled, 'intent')} filled: something was traded"
        return _answer(
            book, asked, stages, "", reason, next=(f"trading orders --book {book.name} --session {asked}",)
        )
    reason = "the session has not come further yet"
    return _answer(
        book,
        asked,
        stages,
        stages[-1].stage,
        reason,
        next=(f"trading run-once --book {book.name} --session {asked}",),
    )


def _refused(
    book: BookOutline, session: date, record: SessionRecord | None, control: RunControl
) -> tuple[str, str, tuple[str, ...], ExitCode] | None:
    """Return what holds the session as a whole, before any count matters."""
    again = f"trading run-once --book {book.name} --session {session}"
    if control.kill_switch_on:
        reason = f"halted by {control.actor} since {instant(control.changed_at)}: {control.reason}"
        return "run control", reason, ("trading resume --reason TEXT", again), ExitCode.HALTED
    if control.paused:
        reason = f"paused by {control.actor} since {instant(control.changed_at)}: {control.reason}"
        return "run control", reason, ("trading resume --reason TEXT", again), ExitCode.ATTENTION
    if record is None:
        return "session", "this session was not run", (again,), ExitCode.DONE
    if record.refused and record.settled_at is None:
        stage, _, reason = record.refused.partition(": ")
        return stage, f"refused: {reason}", (again,), ExitCode.ATTENTION
    if record.carried_by:
        reason = f"settled without fills by {record.carried_by}: the book was carried over"
        return "settle", reason, (f"trading report --book {book.name} --session {session}",), ExitCode.DONE
    if record.decided_at is None:
        return "decisions", "the book was opened, and nothing was decided yet", (again,), ExitCode.DONE
    return None


def _stages(
    desk: Desk, book: BookOutline, session: date, funnel: Funnel, intents: Sequence[JournalIntent]
) -> list[StageFound]:
    key = session.isoformat()
    before = desk.calendar(book).before(session, 1)
    quoted_on = before[-1].isoformat() if before else key
    said = {
        asset: (state.why_none if state else "")
        for asset, state in (
            ("market_quotes", desk.lake.state(book.name, "market_quotes", quoted_on)),
            ("candidates", desk.lake.state(book.name, "candidates", key)),
            ("intents", desk.lake.state(book.name, "intents", key)),
        )
    }
    reviewed = funnel.intents or 0
    passed = reviewed - funnel.blocked - funnel.vetoed
    return [
        StageFound(stage="quotes", count=funnel.quotes, says=said["market_quotes"] or f"of {quoted_on}"),
        StageFound(stage="candidates", count=funnel.candidates, says=said["candidates"]),
        StageFound(stage="intents", count=funnel.intents, says=said["intents"]),
        StageFound(
            stage="passed the guards", count=passed if reviewed else None, says=_reasons(_blocked(intents))
        ),
        StageFound(
            stage="approved",
            count=funnel.approved if reviewed else None,
            says=_waiting(intents) or _reasons(_ended(intents)),
        ),
        StageFound(
            stage="executed",
            count=funnel.executed if reviewed else None,
            says=_reasons(_not_executed(intents)),
        ),
        StageFound(stage="filled", count=funnel.filled if reviewed else None),
    ]


def _stopped(
    book: BookOutline,
    session: date,
    stages: Sequence[StageFound],
    stage: StageFound,
    control: RunControl,
    funnel: Funnel,
) -> WhyNot:
    del control
    explain = f"trading orders --book {book.name} --session {session}"
    if stage.stage == "approved" and funnel.pending:
        reason = f"{funnel.pending} awaiting approval: {stage.says}"
        return _answer(
            book, session, stages, stage.stage, reason, ("trading approvals list",), ExitCode.ATTENTION
        )
    nothing_said = {
        "quotes": "no quote was accepted in the session before",
        "candidates": "no symbol was selected",
        "intents": "no strategy wants a change",
        "executed": "nothing was sent yet",
    }
    reason = stage.says or nothing_said.get(stage.stage, "nothing came through, and no reason was recorded")
    return _answer(book, session, stages, stage.stage, reason, next=(explain,))


def _answer(
    book: BookOutline,
    session: date | None,
    stages: Sequence[StageFound],
    stopped_at: str,
    reason: str,
    next: tuple[str, ...] = (),  # noqa: A002 - the view's own field
    exit_code: ExitCode = ExitCode.DONE,
) -> WhyNot:
    return WhyNot(
        book=book.name,
        session=session,
        stages=tuple(stages),
        stopped_at=stopped_at,
        reason=reason,
        next=next,
        exit_code=exit_code,
    )


def _blocked(intents: Sequence[JournalIntent]) -> list[JournalIntent]:
    return [row for row in intents if is_blocked(row)]


def _ended(intents: Sequence[JournalIntent]) -> list[JournalIntent]:
    ended = {IntentState.REJECTED, IntentState.EXPIRED, IntentState.CANCELLED}
    return [row for row in intents if row.state in ended and not is_blocked(row)]


def _not_executed(intents: Sequence[JournalIntent]) -> list[JournalIntent]:
    return [row for row in _ended(intents)] + [row for row in intents if row.state is IntentState.FAILED]


def _waiting(intents: Sequence[JournalIntent]) -> str:
    waiting = [row for row in intents if row.state is IntentState.PENDING_APPROVAL]
    if not waiting:
        return ""
    symbols = ", ".join(row.intent.symbol for row in waiting[:5])
    return f"{symbols} until {instant(min(row.not_after for row in waiting))}"


def _reasons(intents: Sequence[JournalIntent]) -> str:
    """Return reasons with their counts, most first."""
    counts = Counter(row.reason or row.state.value for row in intents)
    return ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
