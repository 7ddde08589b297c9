"""Calls to the advisor's model: the one record kept of each, and what many of them say. Pure.

A record is of a question: what was asked of which model with which prompt, what that took and cost, and how
it ended. No prompt, reply, key or address is in it. Costs are integers in millionths of a dollar, from
configured prices. The HTTP requests behind a question are outbound.py; who asks is resources/advisors/.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from trading.breakers import BreakerReason
from trading.values import MICROS, IntentKey
from trading.weeks import week_of_date

PERCENTILE_95 = 95
BPS_PER_ONE = 10_000

TOKENS_MAX = 10_000_000
"""The most tokens that a server's own count is believed: more than any model reads or writes at once."""

By = TypeVar("By", bound=Hashable)


class Purpose(StrEnum):
    """Say what a call was for: a session's advice, a question without any effect, or a comparison."""

    ADVICE = "advice"
    SMOKE = "smoke"
    COMPARE = "compare"


class Tier(StrEnum):
    """Say which of the configured models was asked."""

    SMALL = "small"
    LARGE = "large"


class CallError(StrEnum):
    """Say how a call failed before its reply could be read as advice; how advice itself fails is read there.

    The first five are the transport's words, and prove nothing. From `circuit_open` on no byte went out, but
    in a `defect`: a limit holds, or what was to be told was known too late.
    """

    CONNECT = "connect"
    TIME_OUT = "time_out"
    RESET = "reset"
    HALF_REPLY = "half_reply"
    TOO_LONG_REPLY = "too_long_reply"
    HTTP_LIMITED = "http_429"
    HTTP_UNAUTHORIZED = "http_401"
    HTTP_UNPAID = "http_402"
    HTTP_FORBIDDEN = "http_403"
    HTTP_NOT_FOUND = "http_404"
    HTTP_REFUSED = "http_4xx"
    HTTP_SERVER = "http_5xx"
    HTTP_OTHER = "http_other"
    NOT_JSON = "envelope_not_json"
    NOT_A_COMPLETION = "envelope_not_a_completion"
    CUT_OFF = "reply_cut_off"
    FILTERED = "reply_filtered"
    TELLS_KEY = "reply_tells_key"
    CIRCUIT_OPEN = "circuit_open"
    RATE_LIMITED = "rate_limited"
    TOKENS_SPENT = "token_budget_spent"
    COST_SPENT = "cost_budget_spent"
    PROMPT_TOO_LONG = "prompt_too_long"
    LOOK_AHEAD = "look_ahead"
    LOG_UNREADABLE = "call_log_unreadable"
    DEFECT = "defect"


class AdvisorCall(NamedTuple):
    """Hold one question to a model.

    `at` is when it was asked, by the real clock (UTC); `session`, `book`, `lane` and `run_id` say for what.
    `strategies` and `intents` name whose intents and which were asked about, apart by a space. `model` is
    what was asked for; `prompt_version` names the text too (`advice_context.version_of_text`). Tokens are
    the server's count where `is_counted`, else our estimate. `cost_micros` is estimated, in millionths of a
    dollar. `latency_ms` and `attempts` are of all requests of the question; with 0 attempts no byte went
    out. `error_type` is empty exactly where `ok`.
    """

    call_id: str
    at: datetime
    session: date
    book: str
    run_id: str
    purpose: Purpose
    strategies: str
    intents: str
    provider: str
    endpoint: str
    model: str
    tier: Tier
    prompt_name: str
    prompt_version: str
    prompt_sha: str
    schema_version: str
    prompt_tokens: int
    completion_tokens: int
    is_counted: bool
    cost_micros: int
    latency_ms: int
    attempts: int
    ok: bool
    error_type: str
    breaker: BreakerReason
    was_cached: bool
    lane: str = ""


class CallLog(Protocol):
    """Keep what models were asked, where every process sees it."""

    def record(self, call: AdvisorCall) -> None:
        """Keep one call."""
        ...

    def calls_of(
        self, *, book: str = "", session: date | None = None, since: datetime | None = None
    ) -> Sequence[AdvisorCall]:
        """Return the calls of a book, a session, and from an instant (UTC) on, in the order kept.

        What is not named does not matter.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Hold what a model costs: millionths of a dollar for a million tokens read, and written."""

    prompt_micros: int
    completion_micros: int

    def __post_init__(self) -> None:
        """Refuse a price below nothing."""
        if min(self.prompt_micros, self.completion_micros) < 0:
            raise ValueError(
                f"prices {self.prompt_micros} and {self.completion_micros} micro-dollars: not below 0"
            )

    def cost_micros(self, *, prompt_tokens: int, completion_tokens: int) -> int:
        """Return what so many tokens cost, in millionths of a dollar, rounded up: no call is for nothing."""
        owed = prompt_tokens * self.prompt_micros + completion_tokens * self.completion_micros
        return -(-owed // MICROS)


class Spent(NamedTuple):
    """Hold what calls came to; `calls` counts all of them, `sent` those that a byte went out of."""

    calls: int
    sent: int
    errors: int
    held_back: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    cost_micros: int

    @property
    def tokens(self) -> int:
        """Return the tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


def went_out(call: AdvisorCall) -> bool:
    """Say whether a byte of a call left this machine."""
    return call.attempts > 0


def was_held_back(call: AdvisorCall) -> bool:
    """Say whether the open breaker kept a call here."""
    return not went_out(call) and call.error_type == CallError.CIRCUIT_OPEN


def spent(calls: Iterable[AdvisorCall]) -> Spent:
    """Return what calls came to together. An answer from the cache costs nothing and has no tokens."""
    listed = list(calls)
    return Spent(
        calls=len(listed),
        sent=sum(1 for call in listed if went_out(call)),
        errors=sum(1 for call in listed if went_out(call) and not call.ok),
        held_back=sum(1 for call in listed if was_held_back(call)),
        cached=sum(1 for call in listed if call.was_cached),
        prompt_tokens=sum(call.prompt_tokens for call in listed),
        completion_tokens=sum(call.completion_tokens for call in listed),
        cost_micros=sum(call.cost_micros for call in listed),
    )


def spent_by(calls: Iterable[AdvisorCall], key: Callable[[AdvisorCall], By]) -> dict[By, Spent]:
    """Return what calls came to for each key, in the order in which the keys first appear."""
    of: dict[By, list[AdvisorCall]] = {}
    for call in calls:
        of.setdefault(key(call), []).append(call)
    return {name: spent(listed) for name, listed in of.items()}


def week_of(call: AdvisorCall) -> str:
    """Return the ISO 8601 week of a call's session, as `2013-W09`."""
    return week_of_date(call.session).name


def week_of_asking(call: AdvisorCall) -> str:
    """Return the ISO 8601 week in which a call was asked, in UTC, whatever day its session was."""
    return week_of_date(call.at.date()).name


def intents_of(call: AdvisorCall) -> tuple[IntentKey, ...]:
    """Return the intents that a call asked about."""
    return tuple(IntentKey(key) for key in call.intents.split())


def cost_by_intent(calls: Iterable[AdvisorCall]) -> dict[IntentKey, int]:
    """Return what was spent on each intent, in millionths of a dollar; the shares add up to the whole.

    A call about several costs each the same, what cannot be divided falls on the first ones.
    """
    of: dict[IntentKey, int] = {}
    for call in calls:
        keys = intents_of(call)
        for place, key in enumerate(keys):
            share = call.cost_micros // len(keys) + (place < call.cost_micros % len(keys))
            of[key] = of.get(key, 0) + share
    return of


# -------------------------------------------------------------------------------- the error budget


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """Hold how often and how slowly a model may answer before it has lost its say.

    An error rate is judged from `calls_min` calls on: fewer show nothing either way.
    """

    error_rate_bps_max: int = 1_000
    latency_ms_p95_max: int = 5_000
    calls_min: int = 10

    def __post_init__(self) -> None:
        """Refuse a budget that nothing could break, or nothing keep."""
        if not 0 <= self.error_rate_bps_max < BPS_PER_ONE:
            raise ValueError(f"error_rate_bps_max {self.error_rate_bps_max}: from 0 to {BPS_PER_ONE - 1}")
        if self.latency_ms_p95_max <= 0 or self.calls_min <= 0:
            raise ValueError(
                f"latency_ms_p95_max {self.latency_ms_p95_max}, calls_min {self.calls_min}: must be positive"
            )


class BudgetState(StrEnum):
    """Say whether an error budget holds; too few calls are no data, never a pass."""

    KEPT = "kept"
    NO_DATA = "no_data"
    ERRORS = "error_rate_breached"
    LATENCY = "latency_breached"


class BudgetFigures(NamedTuple):
    """Hold what is measured against an error budget; `None` where no call went out."""

    state: BudgetState
    calls: int
    errors: int
    error_rate: float | None
    latency_ms_p95: int | None


def budget_figures(calls: Iterable[AdvisorCall], *, budget: ErrorBudget) -> BudgetFigures:
    """Return how calls stand against a budget: those that went out, or that a broken breaker kept here.

    A call held back by an open breaker counts as an error: the model gave no answer. Caches and our own
    budgets say nothing of the model.
    """
    asked = [call for call in calls if went_out(call) or was_held_back(call)]
    errors = sum(1 for call in asked if not call.ok)
    p95 = latency_ms_p95(asked)
    state = BudgetState.KEPT
    if len(asked) < budget.calls_min:
        state = BudgetState.NO_DATA
    elif errors * BPS_PER_ONE > budget.error_rate_bps_max * len(asked):
        state = BudgetState.ERRORS
    elif p95 is not None and p95 > budget.latency_ms_p95_max:
        state = BudgetState.LATENCY
    return BudgetFigures(
        state=state,
        calls=len(asked),
        errors=errors,
        error_rate=errors / len(asked) if asked else None,
        latency_ms_p95=p95,
    )


def latency_ms_p95(calls: Iterable[AdvisorCall]) -> int | None:
    """Return the 95th percentile (nearest rank) of how long calls that went out took, `None` without any."""
    taken = sorted(call.latency_ms for call in calls if went_out(call))
    return taken[-(-PERCENTILE_95 * len(taken) // 100) - 1] if taken else None
