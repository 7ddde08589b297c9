"""Circuit breakers: whether a call to somebody outside may go now, from a stored row and an instant. Pure.

Two failed calls in a row open a breaker. When its time is over exactly one call, the trial, may go: it closes
the breaker, or opens it for longer. The trial is a lease, so that a holder who dies blocks nobody for ever.
Where rows are kept is the `Breakers` port's adapter; how often a call may go is rate_limits.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

FAILURE_WORDS = frozenset({"connect", "time_out", "reset", "half_reply", "too_long_reply"})
"""Ways of a call to end without a whole reply; each is a failure of whoever was called."""

SERVER_ERRORS_FROM = 500


class BreakerState(StrEnum):
    """Say what a breaker does: let calls go, hold them, or wait for what its one trial finds."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerReason(StrEnum):
    """Say what a breaker was found at when a call wished to go."""

    ALLOWED = "allowed"
    CIRCUIT_OPEN = "circuit_open"
    CIRCUIT_HALF_OPEN = "circuit_half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """Hold when a breaker opens and for how long.

    `failures_max` failed calls in a row open it for `open_s`; each failed trial doubles that, up to
    `open_s_max`, so that nobody knocks at a dead door every minute for ever. A trial that nobody ended within
    `trial_lease_s` may be taken by another: longer than any call may take.
    """

    failures_max: int = 2
    open_s: int = 60
    open_s_max: int = 960
    trial_lease_s: int = 60

    def __post_init__(self) -> None:
        """Refuse rules by which a breaker would never open or never be tried."""
        for name in ("failures_max", "open_s", "trial_lease_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive")
        if self.open_s_max < self.open_s:
            raise ValueError(f"open_s_max {self.open_s_max}: below open_s {self.open_s}")


class Breaker(NamedTuple):
    """Hold one breaker as it is stored.

    `failures` are those in a row while closed, `trials` the failed trials since it opened. `until` is when an
    open one may be tried, or when a trial's lease ends; `holder` is whose trial it is. `word` is what the
    last failure was. `version` goes up with each change: who changes a row names the one that was read.
    """

    name: str
    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    trials: int = 0
    until: datetime | None = None
    holder: str = ""
    word: str = ""
    version: int = 0


class Permission(NamedTuple):
    """Hold whether a call may go; `breaker` is the row that must be stored first, `None` where none must.

    A call with `circuit_half_open` is the one trial where `is_allowed`, and waits for another's where not.
    """

    is_allowed: bool
    reason: BreakerReason
    breaker: Breaker | None = None


class Breakers(Protocol):
    """Keep breakers where all processes see them."""

    def breaker(self, name: str) -> Breaker:
        """Return a breaker as it is stored now; one that nobody ever changed is closed."""
        ...

    def change(self, after: Breaker, *, actor: str, reason: str, now: datetime) -> bool:
        """Store a changed breaker, if the stored one is the version before it; say whether it was stored."""
        ...


def permission(breaker: Breaker, *, holder: str, rules: BreakerRules, now: datetime) -> Permission:
    """Return whether a call may go now.

    A trial may go only once its `breaker` was stored by compare-and-set: of several who are told that they
    may, one stores it. `holder` names the caller, differently for each call.
    """
    if breaker.state is BreakerState.CLOSED:
        return Permission(is_allowed=True, reason=BreakerReason.ALLOWED)
    if not _is_due(breaker, rules=rules, now=now):
        if breaker.state is BreakerState.OPEN:
            return Permission(is_allowed=False, reason=BreakerReason.CIRCUIT_OPEN)
        return Permission(is_allowed=False, reason=BreakerReason.CIRCUIT_HALF_OPEN)
    trial = breaker._replace(
        state=BreakerState.HALF_OPEN,
        holder=holder,
        until=now + timedelta(seconds=rules.trial_lease_s),
        version=breaker.version + 1,
    )
    return Permission(is_allowed=True, reason=BreakerReason.CIRCUIT_HALF_OPEN, breaker=trial)


def after_success(breaker: Breaker, *, holder: str) -> Breaker | None:
    """Return the breaker after a call that was answered, `None` where that changes nothing.

    An answer to a call that began before the breaker opened proves nothing now: only the trial's closes.
    """
    match breaker.state:
        case BreakerState.CLOSED if breaker.failures > 0:
            return _closed(breaker)
        case BreakerState.HALF_OPEN if breaker.holder == holder:
            return _closed(breaker)
        case _:
            return None


def after_failure(
    breaker: Breaker, *, holder: str, word: str, rules: BreakerRules, now: datetime
) -> Breaker | None:
    """Return the breaker after a call that failed, `None` where that changes nothing."""
    match breaker.state:
        case BreakerState.CLOSED if breaker.failures + 1 < rules.failures_max:
            return breaker._replace(failures=breaker.failures + 1, word=word, version=breaker.version + 1)
        case BreakerState.CLOSED:
            return _opened(breaker, trials=0, word=word, rules=rules, now=now)
        case BreakerState.HALF_OPEN if breaker.holder == holder:
            return _opened(breaker, trials=breaker.trials + 1, word=word, rules=rules, now=now)
        case _:
            return None


def reset(breaker: Breaker) -> Breaker | None:
    """Return a breaker that a person closed, `None` where it is closed and has counted nothing."""
    if breaker.state is BreakerState.CLOSED and breaker.failures == 0:
        return None
    return _closed(breaker)


def is_failure(*, status: int, word: str) -> bool:
    """Say whether a call failed as a breaker counts it: no whole reply, or a status from 500 on.

    An answer below 500 shows that somebody is there: a refusal (4xx) is business, and 429 is the limits'.
    """
    return word in FAILURE_WORDS or status >= SERVER_ERRORS_FROM


def open_s_of(trials: int, *, rules: BreakerRules) -> int:
    """Return for how long a breaker opens after so many failed trials in a row."""
    doubled = rules.open_s
    for _ in range(trials):
        if doubled >= rules.open_s_max:
            break
        doubled *= 2
    return min(doubled, rules.open_s_max)


def _is_due(breaker: Breaker, *, rules: BreakerRules, now: datetime) -> bool:
    """Say whether an open breaker may be tried, or a trial be taken over.

    An instant further away than any wait comes from a clock that was wrong: it is not waited for.
    """
    if breaker.until is None:
        return True
    left = breaker.until - now
    longest = timedelta(seconds=max(rules.open_s_max, rules.trial_lease_s))
    return left <= timedelta(0) or left > longest


def _closed(breaker: Breaker) -> Breaker:
    return Breaker(name=breaker.name, version=breaker.version + 1)


def _opened(breaker: Breaker, *, trials: int, word: str, rules: BreakerRules, now: datetime) -> Breaker:
    return Breaker(
        name=breaker.name,
        state=BreakerState.OPEN,
        failures=max(breaker.failures, rules.failures_max),
        trials=trials,
        until=now + timedelta(seconds=open_s_of(trials, rules=rules)),
        word=word,
        version=breaker.version + 1,
    )
