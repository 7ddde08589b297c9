"""The one HTTP client: every call to somebody outside goes through it, and nobody else imports httpx.

A send is exactly one request, whatever happens; a read may be asked again. Each call has a connection of its
own and ends by its deadline, whatever the other side does. Before a byte goes out the breaker and the limits
are asked; afterwards the call is recorded, which never fails a call. No header's value, address or body
stands in any error, log or row, but the place as `told_as` names it. What breakers, limits and rows mean is
trading/.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential_jitter,
)

from resources.clocks import system_now
from resources.logs import log_of
from resources.outbound.limits import RateLimits
from trading.breakers import (
    BreakerReason,
    BreakerRules,
    Breakers,
    BreakerState,
    after_failure,
    after_success,
    is_failure,
    permission,
)
from trading.errors import BadInput, BadSetting, JournalError, TradingError
from trading.outbound import CallKind, Calls, OutboundCall

REPLY_BYTES_MAX = 64 * 1024 * 1024
"""The longest answer that is read unless an endpoint says less."""

READ_ATTEMPTS = 3
READ_AGAIN_S = 0.02
READ_WAIT_S_MAX = 0.5

LIMITED_ATTEMPTS_MAX = 10
"""How often a read is asked at most where it is told to come later: that is no failure, and is waited out."""

CACHED_REPLIES_MAX = 256

AGAIN_STATUSES = frozenset({429, 500, 502, 503, 504})
"""The answers after which a read is asked again."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_BASE_URL = re.compile(r"https?://[^/@?#\s]+(/[^?#\s]*)?", re.IGNORECASE)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_BREAKER_TRIES = 5
"""How often a change of a breaker is tried that others change at the same moment."""


class ExchangeFailed(TradingError):
    """Say that a call did not end with a whole answer.

    `word` is `connect`, `time_out`, `reset`, `half_reply` or `too_long_reply`: of a send these prove nothing.
    With `circuit_open` and `rate_limited` no byte went out. Of a question (`ask`) `attempts` counts how often
    it was put, and `breaker` is what the breaker was found at.
    """

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word
        self.detail = detail
        self.attempts = 0
        self.breaker = BreakerReason.ALLOWED


class Reply(NamedTuple):
    """Hold a whole answer: its body as sent, its headers by names in small letters.

    `latency_ms` is of the last attempt; `attempts` is 0 where it came from the cache.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    latency_ms: int
    attempts: int
    breaker: BreakerReason = BreakerReason.ALLOWED


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Hold what differs at one endpoint; an empty name stands for the provider's.

    `timeout_s` bounds the whole call, `cache_s` is how long a read's answer is good for, `wait_s_max` how
    long limits may make a call wait before it is refused, `again_s` how long a read waits before it is asked
    a second time, twice that before a third. `limits_group` and `breaker` name what it shares with other
    endpoints.
    """

    timeout_s: float | None = None
    cache_s: float = 0.0
    reply_bytes_max: int = REPLY_BYTES_MAX
    read_attempts: int = READ_ATTEMPTS
    wait_s_max: float | None = None
    again_s: float = READ_AGAIN_S
    limits_group: str = ""
    breaker: str = ""


class OutboundClient:
    """Call one provider at `base_url`; close it, or use it in a `with`.

    `headers` (keys among them) go with every call. `breakers` and `calls` are where states and rows are kept,
    `limits` whose budget the calls are of: without them nothing is held back or recorded. `account` is whom
    the rows are for. `clock` is the real time, by which breakers and the cache count; `now` of a call is the
    caller's, under which its row is found. `told_as` is how people know the place, and which setting
    names it: it stands in what says that nobody answered. Raises `BadSetting` for an address or
    header that cannot be sent.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 5.0,
        breakers: Breakers | None = None,
        breaker_rules: BreakerRules | None = None,
        calls: Calls | None = None,
        limits: RateLimits | None = None,
        clock: Callable[[], datetime] = system_now,
        account: str = "",
        endpoints: Mapping[str, Endpoint] | None = None,
        read_wait_s_max: float = 30.0,
        send_wait_s_max: float = 2.0,
        sleep: Callable[[float], None] = time.sleep,
        told_as: str = "",
    ) -> None:
        if _BASE_URL.fullmatch(base_url) is None:
            raise BadSetting(f"{provider}: its address is not https://host[:port][/path] (it is not shown)")
        self._provider = provider
        self._base_url = base_url.rstrip("/")
        self._headers = {"Accept-Encoding": "identity", **_checked_headers(provider, headers or {})}
        self._timeout_s = timeout_s
        self._breakers = breakers
        self._rules = breaker_rules or BreakerRules()
        self._calls = calls
        self._limits = limits
        self._clock = clock
        self._account = account
        self._endpoints = dict(endpoints or {})
        self._read_wait_s_max = read_wait_s_max
        self._send_wait_s_max = send_wait_s_max
        self._sleep = sleep
        self.told_as = told_as
        self._cache = _Cache()
        # At their finest these loggers write addresses and headers.
        for chatty in ("httpx", "httpcore"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._http = httpx.Client(
            # Neither the transport nor a proxy named in the environment may try anything again, and no
            # connection is used twice: one that had died in between would leave a send unproven.
            transport=httpx.HTTPTransport(
                verify=_trusted_by(base_url), retries=0, limits=httpx.Limits(max_keepalive_connections=0)
            ),
            trust_env=False,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        """Say whom it calls, without address or headers."""
        return f"OutboundClient({self._provider!r})"

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the connections."""
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def read(
        self,
        endpoint: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> Reply:
        """Return the answer to a GET, asked again a few times where it did not end or was 429 or 5xx.

        Raises `ExchangeFailed`.
        """
        call = self._wished(CallKind.READ, endpoint, now)
        target = (endpoint, path, *sorted((parameters or {}).items()), *sorted((headers or {}).items()))
        if call.policy.cache_s > 0 and (kept := self._cache.find(target, self._clock())) is not None:
            self._record(call, status=kept.status, was_cached=True)
            return kept._replace(latency_ms=0, attempts=0)
        request = self._request("GET", path, None, headers, parameters)
        reply = self._guarded(call, lambda: self._asked(call, request))
        if call.policy.cache_s > 0 and reply.status == httpx.codes.OK:
            self._cache.keep(target, reply, self._clock() + timedelta(seconds=call.policy.cache_s))
        return reply

    def send(
        self,
        endpoint: str,
        method: str,
        path: str,
        *,
        content: bytes | None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> Reply:
        """Return the answer to one request that may change something: exactly one attempt, ever.

        Raises `ExchangeFailed`; only with `circuit_open` and `rate_limited` it is certain that nothing went
        out.
        """
        if method not in _METHODS:
            raise BadInput(
                f"{endpoint}: {method!r} is no method of a send; one of {', '.join(sorted(_METHODS))}"
            )
        call = self._wished(CallKind.SEND, endpoint, now)
        request = self._request(method, path, content, headers, parameters)
        return self._guarded(call, lambda: self._once(call, request, attempt=1))

    def ask(
        self,
        endpoint: str,
        path: str,
        *,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> Reply:
        """Return the answer to a POST that only asks and changes nothing, asked again as a read is.

        Raises `ExchangeFailed`, with its attempts and what the breaker was found at.
        """
        call = self._wished(CallKind.READ, endpoint, now)
        request = self._request("POST", path, content, headers, None)
        try:
            reply = self._guarded(call, lambda: self._asked(call, request))
        except ExchangeFailed as failed:
            failed.attempts, failed.breaker = call.attempts, call.reason
            raise
        return reply._replace(breaker=call.reason)

    # ------------------------------------------------------------------------ the breaker around a call

    def _wished(self, kind: CallKind, endpoint: str, now: datetime | None) -> _Call:
        policy = self._endpoints.get(endpoint, Endpoint())
        longest = self._read_wait_s_max if kind is CallKind.READ else self._send_wait_s_max
        return _Call(
            at=now or self._clock(),
            kind=kind,
            endpoint=endpoint,
            policy=policy,
            timeout_s=self._timeout_s if policy.timeout_s is None else policy.timeout_s,
            wait_s_left=longest if policy.wait_s_max is None else policy.wait_s_max,
            breaker_name=policy.breaker or self._provider,
            is_paced=self._limits is not None,
            holder=f"{os.getpid()}-{secrets.token_hex(8)}",
        )

    def _guarded(self, call: _Call, exchange: Callable[[], Reply]) -> Reply:
        """Make a call if its breaker lets it go, and tell the breaker how it ended."""
        if not self._may_go(call):
            self._record(call, word="circuit_open")
            raise ExchangeFailed(
                "circuit_open",
                f"breaker {call.breaker_name} holds calls back; nothing was sent; "
                "`trading outbound` tells until when",
            )
        try:
            reply = exchange()
        except ExchangeFailed as failed:
            if failed.word == "rate_limited":
                # Nothing was learned of whoever is there; a trial goes back to be taken by the next.
                self._give_back(call)
            else:
                self._tell_breaker(call, status=0, word=failed.word)
            raise
        self._tell_breaker(call, status=reply.status, word="")
        return reply

    def _may_go(self, call: _Call) -> bool:
        if self._breakers is None:
            return True
        now = self._clock()
        try:
            found = self._breakers.breaker(call.breaker_name)
        except JournalError as error:
            # A breaker is a courtesy, not what keeps a send safe: what cannot be read holds nothing back.
            self._log("breaker_not_read", call, error)
            return True
        call.had_failures = found.failures > 0
        asked = permission(found, holder=call.holder, rules=self._rules, now=now)
        call.reason = asked.reason
        if asked.breaker is None:
            return asked.is_allowed
        try:
            call.is_trial = self._breakers.change(
                asked.breaker, actor=self._provider, reason="trial", now=now
            )
        except JournalError as error:
            self._log("breaker_not_changed", call, error)
        return call.is_trial

    def _tell_breaker(self, call: _Call, *, status: int, word: str) -> None:
        failed = is_failure(status=status, word=word)
        if self._breakers is None or not (failed or call.had_failures or call.is_trial):
            return
        said = word or f"status_{status}"
        try:
            for _ in range(_BREAKER_TRIES):
                now = self._clock()
                found = self._breakers.breaker(call.breaker_name)
                after = (
                    after_failure(found, holder=call.holder, word=said, rules=self._rules, now=now)
                    if failed
                    else after_success(found, holder=call.holder)
                )
                if after is None or self._breakers.change(after, actor=self._provider, reason=said, now=now):
                    return
        except JournalError as error:
            self._log("breaker_not_changed", call, error)

    def _give_back(self, call: _Call) -> None:
        """End a trial that went nowhere, so that the next call may be it."""
        if self._breakers is None or not call.is_trial:
            return
        try:
            found = self._breakers.breaker(call.breaker_name)
            if found.state is BreakerState.HALF_OPEN and found.holder == call.holder:
                now = self._clock()
                back = found._replace(
                    state=BreakerState.OPEN, holder="", until=now, version=found.version + 1
                )
                self._breakers.change(back, actor=self._provider, reason="rate_limited", now=now)
        except JournalError as error:
            self._log("breaker_not_changed", call, error)

    # ------------------------------------------------------------------------ attempts

    def _asked(self, call: _Call, request: Callable[[], httpx.Request]) -> Reply:
        """Ask until there is an answer to believe, the attempts are over, or limits say to wait too long."""
        attempts = call.policy.read_attempts
        retrying = Retrying(
            stop=lambda state: _is_enough(call, state, attempts=attempts),
            wait=wait_exponential_jitter(
                multiplier=call.policy.again_s,
                max=max(READ_WAIT_S_MAX, call.policy.again_s * 2**attempts),
                jitter=READ_AGAIN_S,
            ),
            retry=retry_if_exception_type(_AgainError),
            sleep=self._sleep,
            before_sleep=lambda state: _note_wait(call, state),
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    return self._again_if_needed(call, request, attempt=number)
        except _AgainError as last:
            if last.reply is not None:
                return last.reply
            raise last.failed from None
        raise AssertionError("a retried read returns or raises")  # pragma: no cover

    def _again_if_needed(self, call: _Call, request: Callable[[], httpx.Request], *, attempt: int) -> Reply:
        try:
            reply = self._once(call, request, attempt=attempt)
        except ExchangeFailed as failed:
            if failed.word != "rate_limited":
                raise _AgainError(failed) from None
            if call.last is not None:
                return call.last
            raise
        if reply.status in AGAIN_STATUSES:
            call.limited += reply.status == httpx.codes.TOO_MANY_REQUESTS
            call.last = reply
            raise _AgainError(ExchangeFailed("reset", ""), reply)
        return reply

    def _once(self, call: _Call, request: Callable[[], httpx.Request], *, attempt: int) -> Reply:
        """Make one exchange, in its turn, and record it."""
        self._await_turn(call)
        call.attempts = attempt
        started_at = time.monotonic()
        try:
            reply = self._exchanged(call, request(), attempt=attempt)
        except ExchangeFailed as failed:
            self._record(call, word=failed.word, latency_ms=_ms_since(started_at), attempt=attempt)
            raise
        if self._limits is not None:
            self._limits.hear(self._group(call), status=reply.status, headers=reply.headers)
        self._record(call, status=reply.status, latency_ms=reply.latency_ms, attempt=attempt)
        return reply

    def _await_turn(self, call: _Call) -> None:
        """Wait until the limits let a call go; raises `ExchangeFailed` where that is too long."""
        if self._limits is None:
            return
        is_send = call.kind is CallKind.SEND
        while (to_wait_s := self._limits.admit(self._group(call), is_send=is_send)) > 0:
            if to_wait_s > call.wait_s_left:
                self._record(call, word="rate_limited")
                raise ExchangeFailed("rate_limited", f"{to_wait_s:.1f} s to wait; nothing was sent")
            call.wait_s_left -= to_wait_s
            call.waited_s += to_wait_s
            self._sleep(to_wait_s)

    def _exchanged(self, call: _Call, request: httpx.Request, *, attempt: int) -> Reply:
        started_at = time.monotonic()
        read = bytearray()
        limit = call.policy.reply_bytes_max
        place = f" ({self.told_as})" if self.told_as else ""
        late = ExchangeFailed("time_out", f"no whole answer within {call.timeout_s} s{place}")
        with _Deadline(call.timeout_s) as deadline:
            request.extensions = {"timeout": httpx.Timeout(call.timeout_s).as_dict(), "trace": deadline.trace}
            try:
                reply = self._http.send(request, stream=True)
                try:
                    # As sent, not unpacked: a few packed bytes could stand for more than fits in memory.
                    for chunk in reply.iter_raw():
                        read += chunk
                        if len(read) > limit:
                            raise ExchangeFailed("too_long_reply", f"over {limit} bytes")
                finally:
                    reply.close()
            # What the library says may hold bytes of a header or a reply: only the kind of error is told.
            except httpx.HTTPError as error:
                if deadline.is_over:
                    raise late from None
                raise ExchangeFailed(_word_of(error), type(error).__name__ + place) from None
        if deadline.is_over:
            raise late
        return Reply(
            status=reply.status_code,
            headers={name.lower(): value for name, value in reply.headers.items()},
            content=bytes(read),
            latency_ms=_ms_since(started_at),
            attempts=attempt,
        )

    def _request(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        parameters: Mapping[str, str] | None,
    ) -> Callable[[], httpx.Request]:
        """Return what makes the request, each attempt's its own; raises `BadInput` where nobody could."""
        told = {**self._headers, **_checked_headers(self._provider, headers or {})}
        if content is not None:
            told.setdefault("Content-Type", "application/json")
        try:
            built = self._http.build_request(
                method, self._base_url + path, content=content, params=parameters or None, headers=told
            )
        except (httpx.InvalidURL, ValueError, TypeError):
            raise BadInput(f"{self._provider}: a request that cannot be written (it is not shown)") from None
        url, sent = built.url, built.headers
        return lambda: httpx.Request(method, url, headers=sent, content=content)

    # ------------------------------------------------------------------------ what is kept

    def _group(self, call: _Call) -> str:
        return call.policy.limits_group or self._provider

    def _record(
        self,
        call: _Call,
        *,
        status: int = 0,
        word: str = "",
        latency_ms: int = 0,
        attempt: int = 0,
        was_cached: bool = False,
    ) -> None:
        """Keep a row; whatever goes wrong with it is logged, and never the call's affair."""
        if self._calls is None:
            return
        row = OutboundCall(
            at=call.at,
            provider=self._provider,
            endpoint=call.endpoint,
            account=self._account,
            kind=call.kind,
            status=status,
            word=word,
            latency_ms=latency_ms,
            waited_ms=round(call.waited_s * 1000),
            attempt=attempt,
            breaker=call.reason,
            was_cached=was_cached,
        )
        try:
            self._calls.record(row)
        except Exception as error:  # noqa: BLE001 - a measurement that is lost must not lose an order's answer
            self._log("outbound_call_not_recorded", call, error)

    def _log(self, event: str, call: _Call, error: Exception) -> None:
        with suppress(Exception):
            log_of("outbound").warning(
                event, provider=self._provider, endpoint=call.endpoint, error=type(error).__name__
            )


@dataclass(slots=True, kw_only=True)
class _Call:
    """Hold one call on its way: what it may do, and what became of it so far."""

    at: datetime
    kind: CallKind
    endpoint: str
    policy: Endpoint
    timeout_s: float
    wait_s_left: float
    breaker_name: str
    holder: str
    reason: BreakerReason = BreakerReason.ALLOWED
    is_trial: bool = False
    had_failures: bool = False
    is_paced: bool = False
    waited_s: float = 0.0
    last: Reply | None = None
    limited: int = 0
    attempts: int = 0


class _AgainError(Exception):
    """Say that a read may be asked again: how it failed, or the answer that was not to be believed."""

    def __init__(self, failed: ExchangeFailed, reply: Reply | None = None) -> None:
        super().__init__()
        self.failed = failed
        self.reply = reply


class _Cache:
    """Hold answers for as long as they are good, the oldest forgotten first."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[datetime, Reply]] = {}
        self._lock = threading.Lock()

    def find(self, target: tuple[Any, ...], now: datetime) -> Reply | None:
        """Return an answer that is still good."""
        with self._lock:
            until, reply = self._kept.get(target, (now, None))
            return reply if now < until else None

    def keep(self, target: tuple[Any, ...], reply: Reply, until: datetime) -> None:
        """Keep an answer until an instant."""
        with self._lock:
            self._kept.pop(target, None)
            while len(self._kept) >= CACHED_REPLIES_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[target] = (until, reply)


class _Deadline:
    """End an exchange when its time is over, by shutting its connection.

    A library's own time-outs begin anew with every byte that drips in. The connection is a duplicate's: the
    library's own may be wrapped by TLS meanwhile.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._held: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._held is not None:
                self._held.close()
                self._held = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take hold of the connection once it is made; the library calls this."""
        if event != "connection.connect_tcp.complete":
            return
        with self._lock:
            self._held = info["return_value"].get_extra_info("socket").dup()
            if self.is_over:
                self._shut()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            self._shut()

    def _shut(self) -> None:
        if self._held is not None:
            with suppress(OSError):
                self._held.shutdown(socket.SHUT_RDWR)


def _trusted_by(base_url: str) -> ssl.SSLContext:
    """Return whom a client believes over TLS: nobody where it speaks plain HTTP.

    To read the world's authorities takes longer than a call.
    """
    if base_url.lower().startswith("https:"):
        return httpx.create_ssl_context()
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _word_of(error: httpx.HTTPError) -> str:
    match error:
        case httpx.TimeoutException():
            return "time_out"
        case httpx.ConnectError():
            return "connect"
        case httpx.RemoteProtocolError():
            return "half_reply"
        case _:
            return "reset"


def _checked_headers(provider: str, headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise BadSetting(
                f"{provider}: header {name!r}: only printable ASCII can be sent (it is not shown)"
            )
    return dict(headers)


def _is_enough(call: _Call, state: RetryCallState, *, attempts: int) -> bool:
    """Say whether a read was asked often enough; answers of 429 count only where nothing waits them out."""
    number = state.attempt_number
    if call.is_trial or number >= LIMITED_ATTEMPTS_MAX:
        return True
    return number - (call.limited if call.is_paced else 0) >= attempts


def _note_wait(call: _Call, state: RetryCallState) -> None:
    call.waited_s += state.upcoming_sleep


def _ms_since(started_at: float) -> int:
    return max(0, round((time.monotonic() - started_at) * 1000))
