"""Which sessions a run is for: the one asked for, the last few, or the next that is not settled.

Running them is launcher.py; whether a session may run at all the journal says when its book is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from console.book_outlines import BookOutline
from console.desk import Desk
from resources.settings import Profile
from trading.clock import Phase
from trading.errors import BadInput, OutOfOrder
from trading.journal import JournalIntent, before_opening, is_finished
from trading.lifecycle import IntentState


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Hold the sessions to run of one book, ascending; empty where there is nothing to do, and why."""

    book: str
    sessions: tuple[date, ...]
    nothing_because: str = ""


def bounded_by_source(desk: Desk, book: BookOutline) -> BookOutline:
    """Return a book with its source's last session where `books.toml` names none.

    A run imports what it needs, so for it the data end at the source's last bar; for a reading verb, which
    does not open sources, they end at the last import. Slow: it reads the source.
    """
    if book.last_session is not None:
        return book
    from resources.profiles import Profiled

    return replace(book, last_session=Profiled(desk.settings).books[book.name].last_session)


def ended_by(desk: Desk, plan: Plan, phases: Sequence[str]) -> tuple[JournalIntent, ...]:
    """Return the intents whose time is over by the end of a plan's runs, so that these end them unsent.

    They wait for a person, or are approved and of an earlier session. On real days the clock ends them,
    whether something runs or not; while trading is stopped a run that would execute is refused before.
    """
    if desk.settings.profile is not Profile.SIMULATED or not plan.sessions:
        return ()
    control = desk.journal.run_control()
    if (control.kill_switch_on or control.paused) and Phase.EXECUTE.value in phases:
        return ()
    book = desk.books[plan.book]
    phase = Phase.SETTLE if Phase.SETTLE.value in phases else Phase.EXECUTE
    until = desk.clock(book).now(plan.sessions[-1], phase)
    return tuple(
        row
        for row in desk.journal.open_intents(account=book.account, lane=desk.lane)
        if row.not_after <= until
        and (
            row.state is IntentState.PENDING_APPROVAL
            or (row.state is IntentState.APPROVED and row.intent.session < plan.sessions[0])
        )
    )


def intents_by_state(desk: Desk, book: str, session: date) -> dict[str, int]:
    """Return how many intents of a session are in each state, in the order of a life, none left at 0."""
    states = [row.state for row in desk.journal.intents(book=book, lane=desk.lane, session=session)]
    return {state.value: states.count(state) for state in IntentState if state in states}


def plan_of(desk: Desk, book: BookOutline, *, session: date | None, last: int | None) -> Plan:
    """Return the sessions to run; raises `UnknownSession` with the reason where a date is none.

    Raises `OutOfOrder` of a session before the book opened, so that nothing is imported for it.
    Without a session or a count it is the latest unfinished one, else the one after the latest, up to today.
    """
    if session is not None and last is not None:
        raise BadInput("--session and --last: one of them; --last counts back from today")
    calendar = desk.calendar(book)
    if session is not None:
        calendar.require(session)
        first = desk.journal.first_opened(book=book.name, lane=desk.lane)
        if why := before_opening(session, first):
            raise OutOfOrder(f"{book.name} {session}: {why}")
        return Plan(book=book.name, sessions=(session,))
    today = desk.today(book)
    if last is not None:
        if last < 1:
            raise BadInput(f"--last {last}: at least 1")
        if last > len(calendar.sessions):
            known = f"the calendar {calendar.name} knows {len(calendar.sessions)} sessions"
            raise BadInput(f"--last {last}: {known}")
        return Plan(book=book.name, sessions=calendar.before(today + timedelta(days=1), last))
    latest = desk.latest(book)
    if latest is None:
        return Plan(book=book.name, sessions=calendar.before(today + timedelta(days=1), 1))
    has_report = desk.lake.state(book.name, "daily_report", latest.session.isoformat()) is not None
    if not is_finished(latest, has_report=has_report):
        return Plan(book=book.name, sessions=(latest.session,))
    following = calendar.next(latest.session)
    if following <= today:
        return Plan(book=book.name, sessions=(following,))
    return Plan(
        book=book.name,
        sessions=(),
        nothing_because=f"settled up to {latest.session}, and no later session is up to today ({today})",
    )
