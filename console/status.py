"""The morning check: one verdict, and for each book how far its latest session is and what needs a person.

Why nothing was traded is why.py; where one order came from is trace.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from shlex import quote

from console.agreement import disagreements, lost_of
from console.alerts import AlertLine, alerts_of
from console.book_outlines import BookOutline
from console.desk import Desk
from console.exit_codes import ExitCode
from console.funnel import Funnel, funnel_of
from console.incidents import IncidentLine, incidents_of, is_named, planned_actions
from console.render import counted, instant
from console.reports import NOTHING_REPORTED, headline_of
from console.slo import level_of
from console.stuck import Stuck, stuck_of
from console.unsent import Unsent, unsent_of
from resources.clocks import system_now
from trading.alert_log import AlertState
from trading.alerts import Severity
from trading.findings import STUCK_AFTER, findings_named
from trading.journal import Halt, JournalIntent, RunControl, SessionRecord
from trading.lifecycle import IntentState, Stage

UNDELIVERED = "count_undelivered_by_reason"


class Progress(StrEnum):
    """Say how far a session is."""

    NOTHING_YET = "nothing yet"
    CLOSED = "closed"
    REFUSED = "refused"
    OPENED = "opened"
    DECIDED = "decided"
    AWAITING_APPROVAL = "awaiting approval"
    EXECUTED = "executed"
    SETTLED = "settled"
    CARRIED = "carried"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStatus:
    """Hold where one book stands. Money in micro-units of `currency`, `None` until a session is reported.

    `closed_because` says why the date asked for is no session of its exchange. `quoted_until` is the last
    session with quotes; `open_intents` counts all that are not terminal, in any session of the book;
    `carried_by` names who settled a session without fills; `unsent` are sessions whose approved intents
    nobody sends; `reconciled_at` is when journal and broker were last brought together, `None` where an
    executor began and has not come that far.
    """

    book: str
    title: str
    currency: str
    session: date | None
    progress: Progress
    closed_because: str
    refused: str
    carried_by: str
    quoted_until: date | None
    funnel: Funnel | None
    equity_micros: int | None
    session_pnl_micros: int | None
    alerts: tuple[str, ...]
    pending: int
    open_intents: int
    unknown: int
    unsent: tuple[Unsent, ...]
    reconciled_at: datetime | None
    report: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Hold the whole desk in one look. `verdict` is one sentence; `attention` says what needs a person.

    `stuck` is what `trading stuck` lists; `incidents` counts those that are open. `waiting_alerts` and
    `given_up_alerts` count messages to people by channel and what came of the last try. `level` is the
    desk's, with its severity and what asks for it: normal, watch or incident (`trading slo`).
    """

    verdict: str
    exit_code: ExitCode
    mode: str
    control: RunControl
    attention: tuple[str, ...]
    books: tuple[BookStatus, ...]
    undelivered_alerts: int
    waiting_alerts: dict[str, int]
    given_up_alerts: dict[str, int]
    stuck: tuple[Stuck, ...]
    incidents: int
    halts: tuple[Halt, ...]
    next: tuple[str, ...]
    level: str
    severity: str
    level_because: tuple[str, ...]


def status_of(desk: Desk, *, book: str | None = None, session: date | None = None) -> Status:
    """Return where the books stand; raises `BadInput` on an unknown one."""
    control = desk.journal.run_control()
    waiting, given_up = _untold(desk)
    firing = alerts_of(desk, book=book)
    books = tuple(_book_status(desk, outline, session, firing) for outline in desk.chosen(book))
    stuck = stuck_of(desk, book=book, older_than_s=int(STUCK_AFTER.total_seconds()))
    torn = tuple(dict.fromkeys((*disagreements(desk), *_lost_of(desk, book, session))))
    halts = _halts(desk, book)
    incidents = tuple(row for row in incidents_of(desk, book=book) if row.is_open)
    today = system_now().date()
    attention = (
        *torn,
        *(line for halt in halts for line in _halted(halt, incidents)),
        *_attention(books, stuck),
        # A critical alert speaks for the incident that it opened.
        *(_incident(row) for row in incidents if not (row.alert or is_named(row, halts, control))),
        *(
            f"{row.owed}, see `trading incidents actions`"
            for row in planned_actions(desk, book=book)
            if row.is_overdue(today)
        ),
        *([_degraded(control)] if control.is_degraded else []),
        *(_firing(row) for row in firing if _is_urgent(row)),
    )
    verdict, code = _verdict(control, books, attention)
    judgement = level_of(desk)
    return Status(
        verdict=verdict,
        exit_code=code,
        mode=desk.lane,
        control=control,
        attention=attention,
        books=books,
        undelivered_alerts=sum(waiting.values()),
        waiting_alerts=waiting,
        given_up_alerts=given_up,
        stuck=stuck,
        incidents=len(incidents),
        halts=halts,
        next=_next(control, books, halts, stuck, _Urgent(is_torn=bool(torn), has_incidents=bool(incidents))),
        level=judgement.level.name.lower(),
        severity=judgement.conduct.severity,
        level_because=judgement.reasons,
    )


def _lost_of(desk: Desk, book: str | None, asked: date | None) -> Iterator[str]:
    """Give what the lake lacks of the session asked for, where a book has settled it."""
    if asked is None:
        return
    for outline in desk.chosen(book):
        record = desk.journal.session_record(book=outline.name, lane=desk.lane, session=asked)
        if record is not None and record.settled_at is not None and (lost := lost_of(desk, record)):
            yield lost


def _halts(desk: Desk, book: str | None) -> tuple[Halt, ...]:
    """Return what is halted of the accounts looked at; a halt that names no book's account is shown too."""
    chosen = {outline.account for outline in desk.chosen(book)}
    others = {outline.account for outline in desk.books.values()} - chosen
    return tuple(halt for halt in desk.journal.halts() if halt.account not in others)


def _halted(halt: Halt, incidents: Sequence[IncidentLine]) -> list[str]:
    """Return one line a finding that halts an account or an instrument, with who has taken it on."""
    taken_on = {row.said: _taken_on(row) for row in incidents if row.account == halt.account}
    what = f"{halt.symbol} of {halt.account}" if halt.symbol else f"account {halt.account}"
    return [
        f"{what} is halted since {instant(halt.changed_at)}, {finding}{taken_on.get(finding, '')}"
        for finding in findings_named(halt.reason)
    ]


def _incident(row: IncidentLine) -> str:
    holds = f"; holds {row.holds}" if row.holds else ""
    of = row.account or "the desk"
    return f"incident {row.incident_id} of {of}, {row.kind}: {row.told}{holds}{_taken_on(row)}"


def _taken_on(row: IncidentLine) -> str:
    return f" (acknowledged by {row.acknowledged_by})" if row.acknowledged_by else ""


def _degraded(control: RunControl) -> str:
    return (
        f"DEGRADED by {control.degraded_by} since {instant(control.degraded_at)}: {control.degraded_reason}"
    )


def lifting(halt: Halt) -> str:
    """Return the command that ends a halt, safe to paste: a symbol is whatever a feed calls one."""
    account, symbol = quote(halt.account), quote(halt.symbol)
    return f"trading resume --account {account}{f' --symbol {symbol}' if halt.symbol else ''} --reason TEXT"


def _untold(desk: Desk) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many messages wait, and how many nobody will try again, by channel and last attempt."""
    counts: dict[str, dict[str, int]] = {"waiting": {}, "dead": {}}
    for row in desk.journal.answers((UNDELIVERED,))[UNDELIVERED]:
        why = f"{row['channel']}: {row['reason'] or 'no attempt'}"
        counts[row["status"]][why] = int(row["messages"])
    return counts["waiting"], counts["dead"]


def progress_of(record: SessionRecord | None, intents: Sequence[JournalIntent]) -> Progress:
    """Return how far a session is, from its row and its intents."""
    if record is None:
        return Progress.NOTHING_YET
    if record.settled_at is not None:
        return Progress.CARRIED if record.carried_by else Progress.SETTLED
    if record.refused:
        return Progress.REFUSED
    if record.decided_at is None:
        return Progress.OPENED
    states = {row.state for row in intents}
    if IntentState.PENDING_APPROVAL in states:
        return Progress.AWAITING_APPROVAL
    sent = {IntentState.EXECUTING, IntentState.EXECUTED, IntentState.FAILED, IntentState.UNKNOWN}
    return Progress.EXECUTED if states & sent else Progress.DECIDED


def _book_status(
    desk: Desk, outline: BookOutline, asked: date | None, firing: Sequence[AlertLine]
) -> BookStatus:
    """Return where a book stands; what is open of it is told whatever session was asked for."""
    session = desk.session(outline, asked)
    closed_because = _closed_because(desk, outline, session)
    if session is None or closed_because:
        record, intents, headline = None, [], NOTHING_REPORTED
    else:
        record = desk.journal.session_record(book=outline.name, lane=desk.lane, session=session)
        intents = desk.journal.intents(book=outline.name, lane=desk.lane, session=session)
        headline = headline_of(desk, outline, session)
    open_intents = desk.journal.open_intents(account=outline.account, lane=desk.lane)
    term = desk.journal.executor_term(account=outline.account, lane=desk.lane)
    is_session = session is not None and not closed_because
    return BookStatus(
        book=outline.name,
        title=outline.title,
        currency=outline.currency,
        session=session if is_session else None,
        progress=Progress.CLOSED if closed_because else progress_of(record, intents),
        closed_because=closed_because,
        refused=record.refused if record and record.settled_at is None else "",
        carried_by=record.carried_by if record else "",
        quoted_until=_quoted_until(desk, outline),
        funnel=funnel_of(desk, outline, session, intents) if session and is_session else None,
        equity_micros=headline.equity_micros,
        session_pnl_micros=headline.session_pnl_micros,
        alerts=headline.alerts if asked else _alerts_told(outline, headline.alerts, firing),
        pending=sum(1 for row in open_intents if row.state is IntentState.PENDING_APPROVAL),
        open_intents=len(open_intents),
        unknown=sum(
            1 for row in open_intents if row.state is IntentState.UNKNOWN or row.stage is Stage.PARKED
        ),
        unsent=unsent_of(desk, outline),
        reconciled_at=term.reconciled_at if term else None,
        report=headline.html,
    )


def _alerts_told(
    outline: BookOutline, reported: Sequence[str], firing: Sequence[AlertLine]
) -> tuple[str, ...]:
    """Return what the latest report says of alerts, and what fires of the book that it does not say.

    What is found while a session goes on, or of one that cannot be settled, is in no report.
    """
    own = (row for row in firing if row.book == outline.name)
    told = {(row.severity.value, row.code): f"{row.severity.value} {row.code}: {row.message}" for row in own}
    said = {line.partition(":")[0] for line in reported}
    return (*reported, *(text for (severity, code), text in told.items() if f"{severity} {code}" not in said))


def _closed_because(desk: Desk, outline: BookOutline, session: date | None) -> str:
    """Return why a date is no session of a book's exchange, empty where it is one."""
    if session is None or session in (calendar := desk.calendar(outline)):
        return ""
    return f"{session} is no session of {calendar.name}: {calendar.why_closed(session)}"


def _quoted_until(desk: Desk, outline: BookOutline) -> date | None:
    latest = desk.lake.latest_partition(outline.name, "market_quotes")
    return date.fromisoformat(latest) if latest else None


def _is_urgent(row: AlertLine) -> bool:
    """Say whether an alert is critical, fires, and nobody has taken it on, silenced it or knows its cause."""
    return row.severity is Severity.CRITICAL and row.state is AlertState.FIRING


def _firing(row: AlertLine) -> str:
    return f"{row.book} {row.session}: {row.message}, see `trading alerts show {row.fingerprint[:12]}`"


def _attention(books: Sequence[BookStatus], stuck: Sequence[Stuck]) -> list[str]:
    """Return what needs a person, worst first."""
    lines = [
        f"{row.book}: outcome unknown of {row.unknown}, see `trading stuck --book {row.book}`"
        for row in books
        if row.unknown
    ]
    lines += [
        f"{row.book} {row.session}: {row.side} {row.quantity:,} {row.symbol} is {row.state} "
        f"for {row.for_s:,} s, see `trading stuck --book {row.book}`"
        for row in stuck
        if not row.is_unknown
    ]
    lines += [
        f"{row.book} {row.session}: refused, {row.refused}"
        for row in books
        if row.progress is Progress.REFUSED
    ]
    lines += [one.told for row in books for one in row.unsent]
    lines += [f"{row.book}: {row.pending} awaiting approval" for row in books if row.pending]
    return lines


def _verdict(
    control: RunControl, books: Sequence[BookStatus], attention: Sequence[str]
) -> tuple[str, ExitCode]:
    """Return the one sentence; that trading is degraded is in it whatever else comes first."""
    verdict, code = _of_all(control, books, attention)
    degraded = _degraded(control) if control.is_degraded else ""
    return (verdict if degraded in verdict else f"{verdict}; {degraded}"), code


def _of_all(
    control: RunControl, books: Sequence[BookStatus], attention: Sequence[str]
) -> tuple[str, ExitCode]:
    if control.kill_switch_on:
        first, *others = findings_named(control.reason)
        more = f", and {len(others)} more" if others else ""
        return f"HALTED by {control.actor}: {first}{more}", ExitCode.HALTED
    if control.paused:
        return f"PAUSED by {control.actor}: {control.reason}", ExitCode.ATTENTION
    if attention:
        return f"ATTENTION: {attention[0]}" + (
            f", and {len(attention) - 1} more" if len(attention) > 1 else ""
        ), ExitCode.ATTENTION
    if all(row.progress is Progress.CLOSED for row in books):
        return f"CLOSED: {books[0].closed_because}", ExitCode.DONE
    if all(row.progress in {Progress.NOTHING_YET, Progress.CLOSED} for row in books):
        return "NOTHING YET: no session was run in this profile", ExitCode.DONE
    return "ALL WELL: " + "; ".join(_in_short(row) for row in books), ExitCode.DONE


def _in_short(row: BookStatus) -> str:
    if row.session is None:
        return f"{row.book} {row.progress}"
    filled = row.funnel.filled if row.funnel else 0
    alerts = f", {counted(len(row.alerts), 'alert')}" if row.alerts else ""
    return f"{row.book} {row.session} {row.progress}, {filled} filled{alerts}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Urgent:
    """Hold what commands come before everything else for."""

    is_torn: bool
    has_incidents: bool


def _next(
    control: RunControl,
    books: Sequence[BookStatus],
    halts: Sequence[Halt],
    stuck: Sequence[Stuck],
    urgent: _Urgent,
) -> tuple[str, ...]:
    """Return the commands that come next, most urgent first, at most three.

    Where the stores do not belong together nothing is run before somebody has looked.
    """
    if urgent.is_torn:
        return ("trading verify", "trading doctor")
    commands: list[str] = []
    if control.kill_switch_on or control.paused:
        commands.append("trading resume --reason TEXT")
    if control.is_degraded:
        commands.append("trading degrade --off --reason TEXT")
    if halts or any(row.unknown for row in books):
        commands.append("trading reconcile")
    commands += [lifting(halt) for halt in halts]
    commands += [row.next for row in stuck]
    commands += [one.next for row in books for one in row.unsent]
    if any(row.pending for row in books):
        commands.append("trading approvals list")
    if urgent.has_incidents:
        commands.append("trading incidents")
    commands += [
        f"trading why --book {row.book} --session {row.session}"
        for row in books
        if row.progress is Progress.REFUSED
    ]
    if all(row.progress is Progress.NOTHING_YET for row in books):
        commands += ["trading demo", f"trading run-once --book {books[0].book}"]
    commands += [f"trading why --book {row.book}" for row in books if row.funnel and not row.funnel.filled]
    commands += [f"trading report --book {row.book}" for row in books if row.report]
    return tuple(dict.fromkeys(commands))[:3]
