"""Service levels: what share of what should go well did, how fast its error budget burns, and what follows.

Pure: counts by session in, a standing an objective and one level out: normal, watch or incident. Whoever asks
how careful to be asks this level. Where the counts come from is console/slo.py; what is judged within a
session is alerts.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum
from typing import NamedTuple

WINDOW_SESSIONS = 250
"""Over how many sessions a budget is: about a year, so that 99 % allows two and a half bad sessions."""


class Objective(StrEnum):
    """Name what is promised of a desk."""

    AVAILABILITY = "availability"
    LATENCY = "latency"
    FRESHNESS = "freshness"
    EXECUTION = "execution"


class Promise(NamedTuple):
    """Hold what an objective promises: the share of `unit` that is good, and what good is."""

    target: float
    unit: str
    good: str


PROMISES: Mapping[Objective, Promise] = {
    Objective.AVAILABILITY: Promise(
        0.99, "sessions", "decided by the open and settled within an hour of the close"
    ),
    Objective.LATENCY: Promise(0.99, "sends", "answered by the broker within five seconds"),
    Objective.FRESHNESS: Promise(0.99, "windows", "quotes of the last closed session, in time"),
    Objective.EXECUTION: Promise(0.99, "sent intents", "executed: neither failed nor without a proof"),
}
"""Every objective with its promise. Of no objective the desk may fail more than once in a hundred times."""

LATENCY_S_MAX = 5
"""How long a broker may take to answer a send: as long as a route waits before it calls it a time-out."""


class Count(NamedTuple):
    """Hold one session's share of an objective: how many were good of how many there were."""

    session: date
    good: int
    total: int


class Level(IntEnum):
    """Say how careful to be; a higher one overrules a lower one."""

    NORMAL = 0
    WATCH = 1
    INCIDENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """Hold what a level asks: how often somebody looks (seconds), who is on call, how approvals are given."""

    severity: str
    heartbeat_s: int
    on_call: str
    approvals: str


CONDUCT: Mapping[Level, Conduct] = {
    Level.NORMAL: Conduct(severity="SEV-3", heartbeat_s=300, on_call="nobody", approvals="as configured"),
    Level.WATCH: Conduct(
        severity="SEV-2", heartbeat_s=180, on_call="primary", approvals="degraded, each by a person"
    ),
    Level.INCIDENT: Conduct(
        severity="SEV-1", heartbeat_s=60, on_call="primary and secondary", approvals="none until it is over"
    ),
}
"""The one policy of levels: whoever asks what a level means reads it here."""


class Burn(NamedTuple):
    """Hold one alert on a budget: both windows (sessions) burn at least so many times as fast as they may.

    The long window says that it is no hiccup, the short one that it still goes on.
    """

    long_sessions: int
    short_sessions: int
    rate: float
    level: Level


BURNS = (Burn(5, 1, 6.0, Level.INCIDENT), Burn(20, 5, 1.0, Level.WATCH))
"""The worst first. At a rate of 1 a budget lasts just its window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Hold how an objective stands. Ratios are `None` where nothing was counted: no data is no success.

    `budget_left` is the unspent share of the budget, below 0 where it is overspent; `burn_by_session` holds
    each session's burn rate, ascending; `alert` is the burn that fires, `None` where none does.
    """

    objective: Objective
    target: float
    unit: str
    good: int
    total: int
    ratio: float | None
    budget_left: float | None
    burn_by_session: tuple[tuple[date, float | None], ...]
    alert: Burn | None

    @property
    def level(self) -> Level:
        """Return the level that the objective alone asks for."""
        if self.alert is not None:
            return self.alert.level
        return Level.WATCH if self.budget_left is not None and self.budget_left <= 0 else Level.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Hold the level in force, with all that asks for it, the worst first."""

    level: Level
    reasons: tuple[str, ...]

    @property
    def conduct(self) -> Conduct:
        """Return what the level asks."""
        return CONDUCT[self.level]


def standing_of(objective: Objective, counts: Iterable[Count]) -> Standing:
    """Return how an objective stands over its last sessions; counts of one session are added up.

    Raises `ValueError` for counts that cannot be.
    """
    promise = PROMISES[objective]
    sessions = _by_session(counts)[-WINDOW_SESSIONS:]
    good, total = sum(one.good for one in sessions), sum(one.total for one in sessions)
    allowed = (1 - promise.target) * total
    return Standing(
        objective=objective,
        target=promise.target,
        unit=promise.unit,
        good=good,
        total=total,
        ratio=good / total if total else None,
        budget_left=1 - (total - good) / allowed if total else None,
        burn_by_session=tuple((one.session, _burn([one], promise.target)) for one in sessions),
        alert=_alert(sessions, promise.target),
    )


def judged(standings: Iterable[Standing], *, incidents_open: int, violations: int = 0) -> Judgement:
    """Return the level of standings, open incidents and broken invariants (of which none is tolerated)."""
    reasons = [(one.level, _reason(one)) for one in standings if one.level is not Level.NORMAL]
    if violations:
        reasons.append((Level.INCIDENT, f"{violations} invariants are broken, none may be"))
    if incidents_open:
        reasons.append((Level.WATCH, f"{incidents_open} incidents are open"))
    reasons.sort(key=lambda pair: (-pair[0], pair[1]))
    return Judgement(
        level=reasons[0][0] if reasons else Level.NORMAL, reasons=tuple(text for _, text in reasons)
    )


def _by_session(counts: Iterable[Count]) -> list[Count]:
    added: dict[date, Count] = {}
    for one in counts:
        if not 0 <= one.good <= one.total:
            raise ValueError(f"{one.session}: {one.good} good of {one.total}: no such count")
        before = added.get(one.session, Count(one.session, 0, 0))
        added[one.session] = Count(one.session, before.good + one.good, before.total + one.total)
    return [added[session] for session in sorted(added)]


def _burn(counts: Sequence[Count], target: float) -> float | None:
    """Return how many times as fast as it may a budget burns over some sessions, `None` without data."""
    total = sum(one.total for one in counts)
    if not total:
        return None
    bad = total - sum(one.good for one in counts)
    return round(bad / total / (1 - target), 9)


def _alert(sessions: Sequence[Count], target: float) -> Burn | None:
    for burn in BURNS:
        rates = [_burn(sessions[-size:], target) for size in (burn.long_sessions, burn.short_sessions)]
        if all(rate is not None and rate >= burn.rate for rate in rates):
            return burn
    return None


def _reason(standing: Standing) -> str:
    name = standing.objective.value
    if standing.alert is not None:
        burn = standing.alert
        return (
            f"{name} burns its budget {burn.rate:g} times too fast over {burn.long_sessions} sessions, "
            f"and over the last {burn.short_sessions} as well"
        )
    return f"{name} has spent its budget: {standing.good:,} of {standing.total:,} {standing.unit} were good"
