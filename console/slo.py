"""Service levels of the desk: what was promised, what was kept, and how careful that asks people to be.

Counted from the journal alone, session by session. What the numbers mean is trading/slos.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from console.book_outlines import BookOutline
from console.desk import Desk
from console.incidents import incidents_of
from console.signals import windows_since
from resources.settings import Profile
from trading.audit import instant_from_text
from trading.clock import Phase
from trading.incident_review import RECOVERY_S_MAX, percentile_s
from trading.journal import SessionRecord
from trading.sessions import Calendar
from trading.signal_continuity import LIMITS, due_at
from trading.slos import (
    LATENCY_S_MAX,
    PROMISES,
    WINDOW_SESSIONS,
    Count,
    Judgement,
    Objective,
    Standing,
    judged,
    standing_of,
)
from trading.timetable import SETTLE_AFTER_CLOSE

BURNS_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBurn:
    """Hold how many times as fast as it may a budget burned in one session; null without data."""

    session: date
    burn: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SloLine:
    """Hold one objective over the last sessions. Ratios are null where nothing was counted.

    `budget_left` is the unspent share of the error budget, below 0 where it is overspent; `alert` says which
    burn fires, empty where none does; `burns` are the last sessions', the latest first.
    """

    objective: str
    good_is: str
    target: float
    unit: str
    good: int
    total: int
    ratio: float | None
    budget_left: float | None
    level: str
    alert: str
    burns: tuple[SessionBurn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Hold how the desk stands by what it promises, and the conduct that its level asks.

    `level` is normal, watch or incident; `recovery_s_p95` the 95th percentile of the seconds from an incident
    to its answer, null without one.
    """

    level: str
    severity: str
    heartbeat_s: int
    on_call: str
    approvals: str
    reasons: tuple[str, ...]
    window_sessions: int
    incidents_open: int
    recovery_s_p95: int | None
    recovery_s_max: int
    objectives: tuple[SloLine, ...]


def slo_of(desk: Desk, *, book: str | None = None) -> Slo:
    """Return how the desk, or one book of it, stands; raises `BadInput` for a book that there is not."""
    standings = standings_of(desk, book=book)
    incidents = incidents_of(desk, book=book)
    judgement = judged(standings, incidents_open=sum(1 for row in incidents if row.is_open))
    conduct = judgement.conduct
    return Slo(
        level=judgement.level.name.lower(),
        severity=conduct.severity,
        heartbeat_s=conduct.heartbeat_s,
        on_call=conduct.on_call,
        approvals=conduct.approvals,
        reasons=judgement.reasons,
        window_sessions=WINDOW_SESSIONS,
        incidents_open=sum(1 for row in incidents if row.is_open),
        recovery_s_p95=percentile_s(
            int((row.answered_at - row.at).total_seconds())
            for row in incidents
            if row.answered_at is not None and row.answered_at >= row.at
        ),
        recovery_s_max=RECOVERY_S_MAX,
        objectives=tuple(_line(one) for one in standings),
    )


def level_of(desk: Desk) -> Judgement:
    """Return the level in force with its reasons: what everybody asks who wants to know how careful to be."""
    open_count = sum(1 for row in incidents_of(desk) if row.is_open)
    return judged(standings_of(desk), incidents_open=open_count)


def standings_of(desk: Desk, *, book: str | None = None) -> tuple[Standing, ...]:
    """Return how each objective stands over the last sessions, in the order of objectives."""
    chosen = desk.chosen(book)
    names = {outline.name for outline in chosen}
    first = min((_first_of(desk, outline) for outline in chosen), default=date.max)
    counts = {
        Objective.AVAILABILITY: [one for outline in chosen for one in _availability(desk, outline)],
        Objective.LATENCY: list(_latency(desk, names, first)),
        Objective.FRESHNESS: list(_freshness(desk, names, first)),
        Objective.EXECUTION: [
            Count(date.fromisoformat(row["session"]), row["executed"], row["sent"])
            for row in desk.journal.sent_by_session(lane=desk.lane, first=first)
            if row["book"] in names
        ],
    }
    return tuple(standing_of(objective, counts[objective]) for objective in Objective)


def _first_of(desk: Desk, outline: BookOutline) -> date:
    """Return the first session that counts of a book: so many before its last one."""
    found = desk.journal.sessions(book=outline.name, lane=desk.lane, last=WINDOW_SESSIONS)
    return found[0].session if found else date.max


def _availability(desk: Desk, outline: BookOutline) -> Iterator[Count]:
    """Give one count a session that a book should have had: from its first one to the last that was due."""
    found = desk.journal.sessions(book=outline.name, lane=desk.lane, last=WINDOW_SESSIONS)
    known = {record.session: record for record in found if record.opening_sha}
    if not known:
        return
    calendar = desk.calendar(outline)
    for session in calendar.between(min(known), _last_due(desk, outline, calendar, max(known))):
        if (
            (record := known.get(session)) is None
            or record.settled_at is not None
            or _is_over(desk, outline, calendar, session)
        ):
            yield Count(session, int(record is not None and _in_time(calendar, record)), 1)


def _last_due(desk: Desk, outline: BookOutline, calendar: Calendar, latest: date) -> date:
    """Return the last session that is due to be settled; in simulated time none is due before it is run."""
    if desk.settings.profile is Profile.SIMULATED:
        return latest
    due = due_at(calendar, _now(desk, outline) - SETTLE_AFTER_CLOSE)
    return latest if due is None else max(due[0], latest)


def _is_over(desk: Desk, outline: BookOutline, calendar: Calendar, session: date) -> bool:
    if desk.settings.profile is Profile.SIMULATED:
        return False
    return calendar.closes_at(session) + 2 * SETTLE_AFTER_CLOSE <= _now(desk, outline)


def _now(desk: Desk, outline: BookOutline) -> datetime:
    """Return the real time; a simulated clock is not asked, since its days are those that were run."""
    return desk.clock(outline).now(date.min, Phase.SETTLE)


def _in_time(calendar: Calendar, record: SessionRecord) -> bool:
    return (
        record.decided_at is not None
        and record.decided_at <= calendar.opens_at(record.session)
        and record.settled_at is not None
        and record.settled_at <= calendar.closes_at(record.session) + 2 * SETTLE_AFTER_CLOSE
    )


def _latency(desk: Desk, books: Iterable[str], first: date) -> Iterator[Count]:
    for row in desk.journal.answers_to_sends(lane=desk.lane, first=first):
        if row["book"] in books and row["answered_at"] is not None:
            took = instant_from_text(row["answered_at"]) - instant_from_text(row["sent_at"])
            is_good = took <= timedelta(seconds=LATENCY_S_MAX)
            yield Count(date.fromisoformat(row["session"]), int(is_good), 1)


def _freshness(desk: Desk, books: Iterable[str], first: date) -> Iterator[Count]:
    for window in windows_since(desk, first):
        if window.book in books and not window.looked.is_silent:
            yield Count(window.session, int(window.looked.is_healthy(LIMITS)), 1)


def _line(standing: Standing) -> SloLine:
    promise, burn = PROMISES[standing.objective], standing.alert
    return SloLine(
        objective=standing.objective.value,
        good_is=promise.good,
        target=standing.target,
        unit=standing.unit,
        good=standing.good,
        total=standing.total,
        ratio=standing.ratio,
        budget_left=standing.budget_left,
        level=standing.level.name.lower(),
        alert=""
        if burn is None
        else f"{burn.rate:g} times too fast over {burn.long_sessions} and {burn.short_sessions} sessions",
        burns=tuple(
            SessionBurn(session=session, burn=rate)
            for session, rate in reversed(standing.burn_by_session[-BURNS_SHOWN:])
        ),
    )
