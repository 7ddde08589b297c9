"""Rate limits: how long the next call has to wait, from what earlier answers said of their budget. Pure.

A budget is a bucket of calls that fills at a rate. The rate halves with each 429 and grows back slowly, and
never outruns what the headers say is left until the reset. Reads leave the last calls of a bucket to sends.
State and instant come in, seconds go out; who waits is resources/outbound/. Times are Unix seconds, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

TOO_MANY_REQUESTS = 429

LIMIT_HEADER = "x-ratelimit-limit"
REMAINING_HEADER = "x-ratelimit-remaining"
RESET_HEADER = "x-ratelimit-reset"
RETRY_AFTER_HEADER = "retry-after"

HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"
"""The one form of a date that servers still send (RFC 9110, 5.6.7)."""

WAIT_S_MIN = 0.001
"""Shorter waits are none: rounding would otherwise ask for one that no clock notices, again and again."""

NUMBER_DIGITS_MAX = 15
"""Longer numbers in a header are no count and no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRules:
    """Hold how fast calls of one group may go before anything is learned, and how that changes.

    `calls_per_minute` is the highest rate, as the other side documents it; `burst` calls may go at once, of
    which reads leave `send_reserve` to sends. A 429 multiplies the rate by `cut`, not below
    `calls_per_minute_min`; each second without one adds `recovery_per_s` of the highest rate. No told time is
    waited for longer than `told_wait_s_max`: a wrong clock on either side must not stop everything.
    """

    calls_per_minute: float = 200.0
    calls_per_minute_min: float = 6.0
    burst: int = 20
    send_reserve: int = 4
    cut: float = 0.5
    recovery_per_s: float = 0.005
    told_wait_s_max: float = 120.0

    def __post_init__(self) -> None:
        """Refuse rules by which nothing could ever go, or a 429 would make calls faster."""
        if not 0 < self.calls_per_minute_min <= self.calls_per_minute:
            raise ValueError(
                f"calls_per_minute_min {self.calls_per_minute_min}: must be above 0 and at most "
                f"calls_per_minute {self.calls_per_minute}"
            )
        if not 0 <= self.send_reserve < self.burst:
            raise ValueError(
                f"send_reserve {self.send_reserve}: must be at least 0 and below burst {self.burst}"
            )
        if not 0 < self.cut < 1 or not 0 < self.recovery_per_s <= 1 or self.told_wait_s_max <= 0:
            raise ValueError("cut must be in (0, 1), recovery_per_s in (0, 1], told_wait_s_max positive")


class Budget(NamedTuple):
    """Hold what is known of one group's budget at `at_s`: calls in the bucket, its rate, no call before.

    `limited` counts the 429s, so that a person sees what was learned.
    """

    at_s: float
    calls: float
    calls_per_s: float
    not_before_s: float = 0.0
    limited: int = 0


def full_budget(rules: LimitRules, *, now_s: float) -> Budget:
    """Return the budget before anything is learned: a full bucket at the highest rate."""
    return Budget(at_s=now_s, calls=float(rules.burst), calls_per_s=rules.calls_per_minute / 60)


def wait_s(budget: Budget, *, rules: LimitRules, now_s: float, is_send: bool) -> float:
    """Return the seconds until the next call may go, 0 where it may go now."""
    held = _advanced(budget, rules=rules, now_s=now_s)
    needed = 1.0 if is_send else 1.0 + rules.send_reserve
    refill = max(0.0, needed - held.calls) / held.calls_per_s
    told = min(max(0.0, held.not_before_s - now_s), rules.told_wait_s_max)
    waits_s = max(refill, told)
    return waits_s if waits_s >= WAIT_S_MIN else 0.0


def taken(budget: Budget, *, rules: LimitRules, now_s: float) -> Budget:
    """Return the budget after a call went out."""
    held = _advanced(budget, rules=rules, now_s=now_s)
    return held._replace(calls=max(0.0, held.calls - 1.0))


def heard(
    budget: Budget, *, status: int, headers: Mapping[str, str], rules: LimitRules, now_s: float
) -> Budget:
    """Return the budget after an answer; `headers` by names in small letters.

    A header that is no number says nothing. What is said can only slow calls down, never above the rules.
    """
    held = _advanced(budget, rules=rules, now_s=now_s)
    remaining = _number(headers.get(REMAINING_HEADER, ""))
    reset_in_s = _seconds_until(headers.get(RESET_HEADER, ""), now_s=now_s)
    if remaining is not None:
        held = held._replace(calls=min(held.calls, remaining))
        if reset_in_s is not None and remaining < 1:
            held = held._replace(not_before_s=max(held.not_before_s, now_s + _bounded(reset_in_s, rules)))
    if (limit := _number(headers.get(LIMIT_HEADER, ""))) is not None and limit >= 1:
        # A limit is told for a minute; a lower one than documented is believed, a higher one is not needed.
        held = held._replace(calls_per_s=max(_slowest(rules), min(held.calls_per_s, limit / 60)))
    if status != TOO_MANY_REQUESTS:
        return held
    retry_after_s = _retry_after_s(headers.get(RETRY_AFTER_HEADER, ""), now_s=now_s)
    told_s = max(retry_after_s or 0.0, reset_in_s or 0.0)
    slower = max(_slowest(rules), held.calls_per_s * rules.cut)
    return held._replace(
        calls=0.0,
        calls_per_s=slower,
        # Where nothing is told, one call's time at the slower rate.
        not_before_s=max(held.not_before_s, now_s + _bounded(told_s or 1.0 / slower, rules)),
        limited=held.limited + 1,
    )


def _advanced(budget: Budget, *, rules: LimitRules, now_s: float) -> Budget:
    """Return a budget at a later instant: refilled at its rate, which has grown back a little.

    Refills at the rate before it grew: rather a little less than was earned. A clock that went back earns
    nothing until it has caught up.
    """
    passed_s = now_s - budget.at_s
    if passed_s <= 0:
        # A clock that was far ahead when this was stored must not stop refills for as long.
        return (
            budget if passed_s >= -rules.told_wait_s_max else budget._replace(at_s=now_s, not_before_s=now_s)
        )
    fastest = rules.calls_per_minute / 60
    return budget._replace(
        at_s=now_s,
        calls=min(float(rules.burst), budget.calls + passed_s * budget.calls_per_s),
        calls_per_s=min(fastest, budget.calls_per_s + passed_s * rules.recovery_per_s * fastest),
    )


def _slowest(rules: LimitRules) -> float:
    return rules.calls_per_minute_min / 60


def _bounded(seconds: float, rules: LimitRules) -> float:
    return min(max(0.0, seconds), rules.told_wait_s_max)


def _number(text: str) -> float | None:
    """Return a header's number, `None` where it is none that can be meant."""
    text = text.strip()
    if not text.isascii() or len(text) > NUMBER_DIGITS_MAX or not text.replace(".", "", 1).isdigit():
        return None
    return float(text)


def _seconds_until(text: str, *, now_s: float) -> float | None:
    """Return the seconds until a reset: told as a Unix instant, or (below a day) as a span."""
    number = _number(text)
    if number is None:
        return None
    return number if number < 86_400 else max(0.0, number - now_s)  # noqa: PLR2004 - seconds of a day


def _retry_after_s(text: str, *, now_s: float) -> float | None:
    """Return the seconds of a Retry-After header: a number, or an HTTP date (RFC 9110, 10.2.3)."""
    number = _number(text)
    if number is not None:
        return number
    try:
        told_at = datetime.strptime(text.strip(), HTTP_DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
    return max(0.0, told_at.timestamp() - now_s)
