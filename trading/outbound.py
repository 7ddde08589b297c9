"""Calls to somebody outside: what is kept of each, and what many of them say. Pure.

One row a request that went out (a read that was asked again has several), and one for each that a breaker, a
limit or the cache kept here. No header, address or body is in it. Who calls is resources/outbound/; whether a
call may go is breakers.py, how fast rate_limits.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from trading.breakers import BreakerReason

PERCENTILE_95 = 95
ERRORS_FROM = 400
TOO_MANY_REQUESTS = 429


class CallKind(StrEnum):
    """Say what a call may do outside: a read changes nothing and may be repeated, a send may and is not."""

    READ = "read"
    SEND = "send"


class OutboundCall(NamedTuple):
    """Hold one call. `at` is the caller's instant (in a simulated book the book's), UTC.

    `account` is the account it was made for, empty where it was for none. `status` is the answer's, 0 where
    none came; `word` says how it failed, empty where it was answered. `waited_ms` is what limits and retries
    made it wait before it went out; `attempt` counts from 1, and is 0 where no byte went out.
    """

    at: datetime
    provider: str
    endpoint: str
    account: str
    kind: CallKind
    status: int
    word: str
    latency_ms: int
    waited_ms: int
    attempt: int
    breaker: BreakerReason
    was_cached: bool


class Calls(Protocol):
    """Keep what was called."""

    def record(self, call: OutboundCall) -> None:
        """Keep one call."""
        ...


class CallHistory(Protocol):
    """Know what was called for one book."""

    def calls_in(self, session: date) -> list[OutboundCall]:
        """Return the calls of a session: from its decision until the next one's, in the order recorded."""
        ...


class EndpointFigures(NamedTuple):
    """Hold what the calls of one endpoint say together; a ratio or percentile without calls is `None`."""

    provider: str
    endpoint: str
    calls: int
    errors: int
    limited_ratio: float | None
    latency_ms_p95: int | None
    held_back: int
    cached: int


def figures_by_endpoint(calls: Iterable[OutboundCall]) -> list[EndpointFigures]:
    """Return what each endpoint's calls say, by provider then endpoint.

    `calls` counts those that left this machine; an error is one without a reply or with status ≥ 400.
    `held_back` counts those that no byte of went out, `cached` the answers from the cache.
    """
    of: dict[tuple[str, str], list[OutboundCall]] = {}
    for call in calls:
        of.setdefault((call.provider, call.endpoint), []).append(call)
    return [_figures(provider, endpoint, of[provider, endpoint]) for provider, endpoint in sorted(of)]


def is_error(call: OutboundCall) -> bool:
    """Say whether a call ended without a reply, or with one that refuses."""
    return call.status == 0 or call.status >= ERRORS_FROM


def went_out(call: OutboundCall) -> bool:
    """Say whether a byte of a call left this machine."""
    return call.attempt > 0


def _figures(provider: str, endpoint: str, calls: list[OutboundCall]) -> EndpointFigures:
    out = [call for call in calls if went_out(call)]
    latencies = sorted(call.latency_ms for call in out)
    limited = sum(1 for call in out if call.status == TOO_MANY_REQUESTS)
    return EndpointFigures(
        provider=provider,
        endpoint=endpoint,
        calls=len(out),
        errors=sum(1 for call in out if is_error(call)),
        limited_ratio=limited / len(out) if out else None,
        latency_ms_p95=latencies[-(-PERCENTILE_95 * len(latencies) // 100) - 1] if latencies else None,
        held_back=sum(1 for call in calls if not went_out(call) and not call.was_cached),
        cached=sum(1 for call in calls if call.was_cached),
    )
