"""Service levels of the desk: what was promised, what was kept, and how careful that asks people to be.

What is counted is resources/service_levels.py, what the numbers mean trading/slos.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from console.desk import Desk
from console.incidents import IncidentLine, incidents_of
from resources.clocks import system_now
from resources.service_levels import Counted
from resources.settings import Profile
from trading.incident_review import RECOVERY_S_MAX, percentile_s
from trading.slos import (
    PROMISES,
    WINDOW_SESSIONS,
    WINDOWS,
    Judgement,
    PairBurn,
    Standing,
    Tally,
    burn_of,
    judged,
    tallied,
)

BURNS_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionBurn:
    """Hold how many times as fast as it may a budget burned in one session; null without data."""

    session: date
    burn: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBurn:
    """Hold what was counted within a window of time, as `1h`; `burn` is null where nothing was."""

    window: str
    good: int
    total: int
    burn: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SloLine:
    """Hold one objective over the last sessions. Ratios are null where nothing was counted.

    `budget_left` is the unspent share of the error budget, below 0 where it is overspent; `alert` says which
    burn fires, empty where none does; `burns` are the last sessions', the latest first; `windows` are of
    the last minutes, hours and days, the shortest first.
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
    windows: tuple[WindowBurn, ...]


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

    @property
    def calm(self) -> str:
        """Return why the level is normal where nothing asks for another; no data is told, and is no pass."""
        unknown = [one.objective for one in self.objectives if one.ratio is None]
        if not unknown:
            return "every budget lasts, and no incident is open"
        if len(unknown) == len(self.objectives):
            return "no incident is open; no data of any objective"
        return f"every budget that was asked lasts, and no incident is open; no data of {', '.join(unknown)}"


def slo_of(desk: Desk, *, book: str | None = None) -> Slo:
    """Return how the desk, or one book of it, stands; raises `BadInput` for a book that there is not."""
    counted = counted_of(desk, book=book)
    standings = counted.standings()
    incidents = incidents_of(desk, book=book)
    judgement = judgement_of(standings, incidents)
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
        objectives=tuple(_line(one, counted) for one in standings),
    )


def level_of(desk: Desk) -> Judgement:
    """Return the level in force with its reasons: what everybody asks who wants to know how careful to be."""
    return judgement_of(standings_of(desk), incidents_of(desk))


def judgement_of(standings: Iterable[Standing], incidents: Iterable[IncidentLine]) -> Judgement:
    """Return the level that standings and incidents ask for."""
    return judged(standings, incidents_open=sum(1 for row in incidents if row.is_open))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskLevels:
    """Tell a desk's level and burns to who is no part of the console; a `trading.slos.Levels`."""

    desk: Desk

    def judgement(self) -> Judgement:
        """Return the level in force with its reasons."""
        with self.desk.journal.at_one_moment() as journal:
            return level_of(replace(self.desk, journal=journal))

    def burns(self) -> Sequence[PairBurn]:
        """Return the burn of each objective over each pair of windows."""
        return counted_of(self.desk).burns()


def standings_of(desk: Desk, *, book: str | None = None) -> tuple[Standing, ...]:
    """Return how each objective stands over the last sessions, in the order of objectives."""
    return counted_of(desk, book=book).standings()


def counted_of(desk: Desk, *, book: str | None = None) -> Counted:
    """Return what service levels count, of the desk or one book of it."""
    is_simulated = desk.settings.profile is Profile.SIMULATED
    with desk.journal.at_one_moment() as journal:
        return desk.service_counts.look(
            journal,
            calendars={outline.name: desk.calendar(outline) for outline in desk.chosen(book)},
            lane=desk.lane,
            now=None if is_simulated else system_now(),
        )


def _line(standing: Standing, counted: Counted) -> SloLine:
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
        windows=windows_of(standing, counted),
    )


def windows_of(standing: Standing, counted: Counted) -> tuple[WindowBurn, ...]:
    """Return what was counted of an objective within each window of time, the shortest first."""
    recent, now = counted.recent[standing.objective], counted.now
    found = []
    for window in WINDOWS:
        tally = Tally(0, 0) if now is None else tallied(recent, now=now, window=window)
        burn = burn_of(tally, standing.objective)
        found.append(WindowBurn(window=window, good=tally.good, total=tally.total, burn=burn))
    return tuple(found)
