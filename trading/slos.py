"""Service levels: what share of what should go well did, how fast its error budget burns, and what follows.

Pure: counts by session in, a standing an objective and one level out: normal, watch or incident. Whoever asks
how careful to be asks this level. Beside that, how fast a budget burned over minutes and hours, which the
alert policy judges. Where counts come from is resources/service_levels.py; what is judged within a session is
alerts.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from trading.sessions import Calendar
from trading.signal_continuity import due_at
from trading.timetable import SETTLE_AFTER_CLOSE

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

WINDOWS: Mapping[str, timedelta] = {
    "5m": timedelta(minutes=5),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "3d": timedelta(days=3),
}
"""The windows of time that a burn is told over, by the name that Prometheus would give them."""


class BurnPair(NamedTuple):
    """Hold two of `WINDOWS` over which a budget must burn too fast before somebody is told, and its metric.

    How fast is too fast stands in `config/alerts.toml`, in the rule on the metric.
    """

    metric: str
    long: str
    short: str


BURN_1H, BURN_6H, BURN_3D = "slo.burn_1h", "slo.burn_6h", "slo.burn_3d"

PAIRS = (BurnPair(BURN_1H, "1h", "5m"), BurnPair(BURN_6H, "6h", "30m"), BurnPair(BURN_3D, "3d", "6h"))
"""The usual three pairs: The Site Reliability Workbook (2018), chapter 5, "Alerting on SLOs", table 5-8."""

BAD_MIN = 2
"""From how many bad ones on there is a rate: a desk that counts a few a day would call its every slip a burn,
and what a single one means has a rule of its own (a missed session, an order that is not proven)."""


class Judged(NamedTuple):
    """Hold one thing that an objective counts: when it was known how it went, and whether it was good."""

    at: datetime
    is_good: bool


class SessionTimes(NamedTuple):
    """Hold when a session whose book was opened was decided and settled; `None` where it was not yet."""

    session: date
    decided_at: datetime | None
    settled_at: datetime | None


class Tally(NamedTuple):
    """Hold how many of what was counted were good."""

    good: int
    total: int

    @property
    def bad(self) -> int:
        """Return how many were not."""
        return self.total - self.good


class PairBurn(NamedTuple):
    """Hold how fast an objective burns over both windows of a pair: the slower of the two.

    `None` where one of them has nothing to count: nobody knows. 0 where the long one has fewer than `BAD_MIN`
    bad ones: whatever the short one has, that is no burn.
    """

    objective: Objective
    pair: BurnPair
    burn: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Hold how an objective stands. Ratios are `None` where nothing was counted: no data is no success.

    `budget_left` is the unspent share of the budget, below 0 where it is overspent; `burn_by_session` holds
    each session's burn rate, ascending, `left_by_session` what was left of today's budget after each; `alert`
    is the burn that fires, `None` where none does.
    """

    objective: Objective
    target: float
    unit: str
    good: int
    total: int
    ratio: float | None
    budget_left: float | None
    burn_by_session: tuple[tuple[date, float | None], ...]
    left_by_session: tuple[tuple[date, float | None], ...]
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


class Levels(Protocol):
    """Tell how careful to be now, and how fast error budgets burn: the same to everybody who asks."""

    def judgement(self) -> Judgement:
        """Return the level in force with its reasons."""
        ...

    def burns(self) -> Sequence[PairBurn]:
        """Return the burn of each objective over each of `PAIRS`."""
        ...


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
        left_by_session=tuple(_left(sessions, allowed)),
        alert=_alert(sessions, promise.target),
    )


def judged(standings: Iterable[Standing], *, incidents_open: int, violations: int = 0) -> Judgement:
    """Return the level of standings, open incidents and broken invariants (of which none is tolerated)."""
    reasons = [(one.level, _reason(one)) for one in standings if one.level is not Level.NORMAL]
    if violations:
        broken = "1 invariant is" if violations == 1 else f"{violations} invariants are"
        reasons.append((Level.INCIDENT, f"{broken} broken, none may be"))
    if incidents_open:
        still = "1 incident is" if incidents_open == 1 else f"{incidents_open} incidents are"
        reasons.append((Level.WATCH, f"{still} open"))
    reasons.sort(key=lambda pair: (-pair[0], pair[1]))
    return Judgement(
        level=reasons[0][0] if reasons else Level.NORMAL, reasons=tuple(text for _, text in reasons)
    )


def available(
    known: Mapping[date, SessionTimes], calendar: Calendar, *, now: datetime | None
) -> dict[date, Judged]:
    """Return each session that a book should have had, from its first one to the last that was due.

    `now` is `None` where time is simulated: none is due there before it is run, and none is late.
    """
    if not known:
        return {}
    first, latest = min(known), max(known)
    last = None if now is None else due_at(calendar, now - SETTLE_AFTER_CLOSE)
    found = {}
    for session in calendar.between(first, latest if last is None else max(last[0], latest)):
        times = known.get(session)
        over_at = calendar.closes_at(session) + 2 * SETTLE_AFTER_CLOSE
        if times is None:
            found[session] = Judged(over_at, is_good=False)
        elif times.settled_at is not None:
            is_decided = times.decided_at is not None and times.decided_at <= calendar.opens_at(session)
            is_good = is_decided and times.settled_at <= over_at
            found[session] = Judged(min(times.settled_at, over_at), is_good=is_good)
        elif now is not None and over_at <= now:
            found[session] = Judged(over_at, is_good=False)
    return found


def answered(sent_at: datetime, answered_at: datetime) -> Judged:
    """Return how long a broker took to answer a send, as latency counts it."""
    return Judged(answered_at, is_good=answered_at - sent_at <= timedelta(seconds=LATENCY_S_MAX))


def tallied(judged: Iterable[Judged], *, now: datetime, window: str) -> Tally:
    """Return what was counted within one of `WINDOWS` before an instant."""
    since = now - WINDOWS[window]
    found = [one.is_good for one in judged if since < one.at <= now]
    return Tally(sum(found), len(found))


def burn_of(tally: Tally, objective: Objective) -> float | None:
    """Return how many times as fast as it may a budget burned, `None` where nothing was counted."""
    return _rate(tally.bad, tally.total, PROMISES[objective].target)


def pair_burn(judged: Sequence[Judged], *, objective: Objective, pair: BurnPair, now: datetime) -> PairBurn:
    """Return how fast an objective burns over both windows of a pair."""
    long = tallied(judged, now=now, window=pair.long)
    if long.total and long.bad < BAD_MIN:
        return PairBurn(objective, pair, 0.0)
    rates = [burn_of(long, objective), burn_of(tallied(judged, now=now, window=pair.short), objective)]
    known = [rate for rate in rates if rate is not None]
    return PairBurn(objective, pair, min(known) if len(known) == len(rates) else None)


RAISED_BY = "levels"
"""Who degrades trading when the level rises: no person."""


def degrading(judgement: Judgement, *, before: Level, is_degraded: bool) -> str:
    """Return why trading is to be degraded now, empty where it is not.

    Only a level that has risen since the look before degrades: what a person restored stays restored while it
    stands. Nothing here ever restores, which is a person's to do.
    """
    if judgement.level <= before or is_degraded:
        return ""
    return f"level {judgement.level.name.lower()}: {'; '.join(judgement.reasons)}"


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
    return _rate(total - sum(one.good for one in counts), total, target)


def _left(sessions: Iterable[Count], allowed: float) -> Iterator[tuple[date, float | None]]:
    """Give what was left after each session of a budget of so many bad ones, `None` where it allows none."""
    bad = 0
    for one in sessions:
        bad += one.total - one.good
        yield one.session, 1 - bad / allowed if allowed else None


def _rate(bad: int, total: int, target: float) -> float | None:
    return round(bad / total / (1 - target), 9) if total else None


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
