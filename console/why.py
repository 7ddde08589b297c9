"""Why nothing was traded: the stages of a session in order, and the first one at zero with its reason.

The counts are funnel.py; the reasons come from who knew them: the calendar, the journal, the tables' makers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from console.book_outlines import BookOutline
from console.desk import Desk
from console.exit_codes import ExitCode
from console.funnel import Funnel, funnel_of, is_blocked
from console.render import counted, instant
from console.unsent import unsent_of
from trading.control import cooling
from trading.findings import in_words
from trading.journal import JournalIntent, RunControl, SessionRecord, before_opening
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


class Stop(NamedTuple):
    """Hold where a session stopped, why, what comes next, and how the verb ends."""

    at: str
    reason: str
    next: tuple[str, ...] = ()
    exit_code: ExitCode = ExitCode.DONE


def why(desk: Desk, *, book: BookOutline, session: date | None = None) -> WhyNot:
    """Return the first stage at zero of a session and its reason.

    By default of the book's latest session, or of today where the exchange is closed today.
    """
    control = desk.journal.run_control()
    asked = session or _closed_today(desk, book) or desk.session(book, None)
    if asked is None:
        first = f"trading run-once --book {book.name}"
        nothing = Stop("session", "nothing yet: no session of this book was run", (first,))
        return _answer(book, None, _stopped_by_run_control(control, first) or nothing)
    calendar = desk.calendar(book)
    if asked not in calendar:
        reason = f"{asked} is no session of {calendar.name}: {calendar.why_closed(asked)}"
        earlier = tuple(
            f"trading why --book {book.name} --session {day}" for day in calendar.before(asked, 1)
        )
        return _answer(book, asked, Stop("session", reason, earlier))
    record = desk.journal.session_record(book=book.name, lane=desk.lane, session=asked)
    intents = desk.journal.intents(book=book.name, lane=desk.lane, session=asked)
    funnel = funnel_of(desk, book, asked, intents)
    stages = _stages(desk, book, asked, funnel, intents)
    if funnel.filled:
        reason = f"{counted(funnel.filled, 'intent')} filled: something was traded"
        stop = Stop("", reason, (f"trading orders --book {book.name} --session {asked}",))
        return _answer(book, asked, stop, stages)
    held = _held_as_a_whole(desk, book, asked, record, control)
    stopped = next((f"{row.intent.symbol}@{asked}" for row in _blocked(intents)), "")
    found = held or _first_at_zero(book, asked, stages, funnel, stopped=stopped)
    if found.at == "executed" and found.exit_code is ExitCode.DONE:
        found = _left_unsent(desk, book, asked) or found
    return _answer(book, asked, found, stages)


def _closed_today(desk: Desk, book: BookOutline) -> date | None:
    """Return today where its exchange is closed and the book has run before; simulated days are sessions."""
    latest = desk.latest(book)
    if latest is None:
        return None
    calendar = desk.calendar(book)
    today = desk.clock(book).today(calendar, latest.session)
    return today if today > latest.session and today not in calendar else None


def _held_as_a_whole(
    desk: Desk, book: BookOutline, session: date, record: SessionRecord | None, control: RunControl
) -> Stop | None:
    """Return what holds the session as a whole, before any count matters."""
    again = f"trading run-once --book {book.name} --session {session}"
    is_over = record is not None and record.settled_at is not None
    first = desk.journal.first_opened(book=book.name, lane=desk.lane)
    if too_early := before_opening(session, first):
        return Stop("session", too_early, (f"trading why --book {book.name} --session {first}",))
    if not is_over and (stopped := _stopped_by_run_control(control, again)):
        return stopped
    if record is None:
        return _no_data(desk, book, session) or Stop("session", "this session was not run", (again,))
    if record.refused and not is_over:
        stage, _, reason = record.refused.partition(": ")
        return Stop(stage, f"refused: {reason}", (again,), ExitCode.ATTENTION)
    if record.carried_by:
        reason = f"settled without fills by {record.carried_by}: the book was carried over"
        return Stop("settle", reason, (f"trading report --book {book.name} --session {session}",))
    if not is_over and (halted := _halted_account(desk, book, again)):
        return halted
    if not is_over and (open_breaker := _breaker_open(desk, book, session, again)):
        return open_breaker
    if record.decided_at is None:
        return Stop("decisions", "the book was opened, and nothing was decided yet", (again,))
    return None


def _no_data(desk: Desk, book: BookOutline, session: date) -> Stop | None:
    """Return why there is nothing to decide a session on, `None` where its quotes are there."""
    if book.last_session is not None and session > book.last_session:
        reason = f"no data: the bars of {book.name} end at {book.last_session}"
        return Stop("quotes", reason, ("trading config show",))
    before = desk.calendar(book).before(session, 1)
    if not before or (book.first_session is not None and before[-1] < book.first_session):
        first = book.first_session or desk.calendar(book).sessions[0]
        return Stop("quotes", f"no data: nothing is known before {first}", ("trading config show",))
    if desk.lake.state(book.name, "market_quotes", before[-1].isoformat()) is None:
        reason = f"no data: the quotes of {before[-1]} were not imported, and the session was not run"
        return Stop("quotes", reason, (f"trading run-once --book {book.name} --session {session}",))
    return None


def _stopped_by_run_control(control: RunControl, again: str) -> Stop | None:
    """Return the halt or pause in force, `None` where trading goes on."""
    commands = ("trading resume --reason TEXT", again)
    said = f"by {control.actor} since {instant(control.changed_at)}: {control.reason}"
    if control.kill_switch_on:
        return Stop("run control", f"halted {said}", commands, ExitCode.HALTED)
    if control.paused:
        return Stop("run control", f"paused {said}", commands, ExitCode.ATTENTION)
    return None


def _halted_account(desk: Desk, book: BookOutline, again: str) -> Stop | None:
    """Return the halt of the book's whole account, `None` where there is none."""
    halt = next(
        (row for row in desk.journal.halts() if (row.account, row.symbol) == (book.account, "")), None
    )
    if halt is None:
        return None
    commands = ("trading reconcile", f"trading resume --account {halt.account} --reason TEXT", again)
    said = f"account {halt.account} halted since {instant(halt.changed_at)}: {halt.reason}"
    return Stop("reconciliation", said, commands, ExitCode.ATTENTION)


def _breaker_open(desk: Desk, book: BookOutline, session: date, again: str) -> Stop | None:
    """Return that failed executions opened the account's breaker, `None` where it is closed."""
    now = desk.act_at(book.name, session)
    found = cooling(desk.journal.cooldowns(), account=book.account, lane=desk.lane, now=now)
    if found is None:
        return None
    said = (
        f"breaker open: account {found.account} cools down until {instant(found.until)} after "
        f"{counted(found.failures, 'failed execution')}, {found.reason}; what lowers risk goes on"
    )
    return Stop("run control", said, ("trading stuck", again), ExitCode.ATTENTION)


def _first_at_zero(
    book: BookOutline, session: date, stages: Sequence[StageFound], funnel: Funnel, *, stopped: str
) -> Stop:
    """Return the first stage at zero; `stopped` names an intent that was blocked, where one was."""
    stage = next((row for row in stages if row.count == 0), None)
    if stage is None:
        again = f"trading run-once --book {book.name} --session {session}"
        return Stop(stages[-1].stage, "the session has not come further yet", (again,))
    orders = f"trading orders --book {book.name} --session {session}"
    if stage.stage == "quotes":
        reason = f"no data: {stage.says}"
        return Stop(stage.stage, reason, (f"trading quarantine list --book {book.name}", orders))
    if stage.stage == "passed the guards":
        return Stop(stage.stage, f"all blocked: {stage.says}", (f"trading explain {stopped}", orders))
    if stage.stage == "approved" and funnel.pending:
        reason = f"{funnel.pending} awaiting approval: {stage.says}"
        return Stop(stage.stage, reason, ("trading approvals list",), ExitCode.ATTENTION)
    if stage.stage == "executed" and (funnel.unknown or funnel.parked):
        return Stop(stage.stage, f"outcome not proven: {stage.says}", ("trading stuck",), ExitCode.ATTENTION)
    nothing_said = {
        "candidates": "no symbol was selected",
        "intents": "no strategy wants a change",
        "executed": "nothing was sent yet",
    }
    reason = stage.says or nothing_said.get(stage.stage, "nothing came through, and no reason was recorded")
    return Stop(stage.stage, reason, (orders,))


def _left_unsent(desk: Desk, book: BookOutline, session: date) -> Stop | None:
    """Return that a session's approved intents are sent by nobody, as `status` tells; `None`: they are."""
    unsent = next((one for one in unsent_of(desk, book) if one.session == session), None)
    if unsent is None:
        return None
    return Stop("executed", unsent.told, (unsent.next,), ExitCode.ATTENTION)


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
            ("input_envelopes", desk.lake.state(book.name, "input_envelopes", key)),
        )
    }
    reviewed = funnel.intents or 0
    passed = reviewed - funnel.blocked - funnel.vetoed
    return [
        StageFound(
            stage="quotes",
            count=funnel.quotes,
            says=said["market_quotes"] or f"{'of' if funnel.quotes else 'none was accepted on'} {quoted_on}",
        ),
        *_inputs(said["input_envelopes"]),
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
            says=", ".join(
                filter(None, [_reasons(_not_executed(intents)), *_halted_symbols(desk, book, intents)])
            ),
        ),
        StageFound(stage="filled", count=funnel.filled if reviewed else None),
    ]


def _inputs(said: str) -> list[StageFound]:
    """Return what the session's inputs say for themselves: a fallback, or why one is missing."""
    return [StageFound(stage="inputs", count=None, says=said)] if said else []


def _answer(book: BookOutline, session: date | None, stop: Stop, stages: Sequence[StageFound] = ()) -> WhyNot:
    return WhyNot(
        book=book.name,
        session=session,
        stages=tuple(stages),
        stopped_at=stop.at,
        reason=stop.reason,
        next=stop.next,
        exit_code=stop.exit_code,
    )


def _blocked(intents: Sequence[JournalIntent]) -> list[JournalIntent]:
    return [row for row in intents if is_blocked(row)]


def _ended(intents: Sequence[JournalIntent]) -> list[JournalIntent]:
    ended = {IntentState.REJECTED, IntentState.EXPIRED, IntentState.CANCELLED}
    return [row for row in intents if row.state in ended and not is_blocked(row)]


def _not_executed(intents: Sequence[JournalIntent]) -> list[JournalIntent]:
    return [
        *_ended(intents),
        *(row for row in intents if row.state in {IntentState.FAILED, IntentState.UNKNOWN}),
    ]


def _halted_symbols(desk: Desk, book: BookOutline, intents: Sequence[JournalIntent]) -> list[str]:
    """Return the halted instruments among a session's intents, with why."""
    symbols = {row.intent.symbol for row in intents}
    return [
        f"{halt.symbol} halted: {halt.reason}"
        for halt in desk.journal.halts()
        if halt.account == book.account and halt.symbol in symbols
    ]


def _waiting(intents: Sequence[JournalIntent]) -> str:
    waiting = [row for row in intents if row.state is IntentState.PENDING_APPROVAL]
    if not waiting:
        return ""
    symbols = ", ".join(row.intent.symbol for row in waiting[:5])
    return f"{symbols} until {instant(min(row.not_after for row in waiting))}"


def _reasons(intents: Sequence[JournalIntent]) -> str:
    """Return reasons with their counts, most first."""
    counts = Counter(in_words(row.reason) or row.state.value for row in intents)
    return ", ".join(
        f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
