"""The gate before everything: who has neither token nor session gets 401, whatever was asked, and no more.

An ASGI application around the one that answers. It decides by the head of a request alone, before routing,
and reads no byte of a body: the inner application, which does, is only called for somebody known. The one
way in for a browser is a one-time link (sign_in.py). Which role a route needs is permission.py.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import HTTPException

from console.web.identities import Actor
from console.web.problems import PROBLEM_JSON, Problem, problem
from console.web.rates import Buckets, Rate
from console.web.sign_in import SIGN_IN_PATH, Links, Sessions
from console.web.tokens import LENGTH_MAX, Tokens
from resources.logs import log_of
from trading.errors import BadSetting

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_BYTES_MAX = 64 * 1024
"""Longer than any form or change."""

REQUESTS = Rate(burst=240, per_s=40)
"""What one token or browser may ask: some pages that renew themselves each second."""

FAILED_SIGN_INS = Rate(burst=10, per_s=1 / 6)
"""What one address may try: ten at once, then ten a minute. What is right is never held back."""

HALTS = frozenset({"/halt", "/api/v1/control/halt"})
"""Where trading is stopped, by a page's form and by a program."""

_LENGTH = re.compile(r"[0-9]{1,18}")
"""What a body's length looks like; `isdigit` also takes digits that `int` does not."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

SECURITY_HEADERS: Headers = [
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            b"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
            b"frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: a browser would then hide the origin of a form that it posts to us.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
]
DOCUMENT_POLICY = (
    b"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    b"base-uri 'none'; frame-ancestors 'none'"
)
"""For a page that is one file with its own styles: nothing in it runs, asks, or has our origin."""

HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
UNKEPT = (b"cache-control", b"no-store")

UNAUTHORIZED = problem("unauthorized").content

UNAUTHORIZED_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Not signed in</title>
</head>
<body>
<h1>Not signed in</h1>
<p>A link signs in once, within a minute, and a session ends by itself; this one is over. Run
<code>trading console</code> again, and open the new link.</p>
</body>
</html>
"""
"""What a browser is shown instead: it says the same, whatever was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Hold under which origins the console is reached, and what guards it. The first origin is its own."""

    origins: tuple[str, ...]
    requests: Rate = REQUESTS
    failed_sign_ins: Rate = FAILED_SIGN_INS
    body_bytes_max: int = BODY_BYTES_MAX

    @property
    def hosts(self) -> frozenset[str]:
        """Return the hosts, with their ports, that a request may name."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)

    @property
    def is_https(self) -> bool:
        """Say whether browsers reach the console over TLS."""
        return self.origins[0].startswith("https://")

    @property
    def cookie_name(self) -> str:
        """Return the session cookie's name; cookies know no ports, so the name tells two consoles apart."""
        port = urlsplit(self.origins[0]).port
        return f"{'__Host-' if self.is_https else ''}trading_session{f'_{port}' if port else ''}"

    def cookie(self, value: str, *more: str) -> str:
        """Return what sets the session cookie; a browser that has it by TLS ends it only by what says so."""
        secure = ("Secure",) if self.is_https else ()
        return "; ".join(
            (f"{self.cookie_name}={value}", "Path=/", "HttpOnly", "SameSite=Strict", *secure, *more)
        )


class Gate:
    """Stand before an application. `now` gives instants, `at_s` seconds that never go back."""

    def __init__(
        self,
        application: Application,
        *,
        access: Access,
        tokens: Tokens,
        links: Links,
        sessions: Sessions,
        now: Callable[[], datetime],
        at_s: Callable[[], float],
    ) -> None:
        self._application = application
        self._access = access
        self._tokens = tokens
        self._links = links
        self._sessions = sessions
        self._now = now
        self._at_s = at_s
        self._requests = Buckets(access.requests)
        self._failures = Buckets(access.failed_sign_ins)
        self._log = log_of("console")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the request through with `state.actor` set."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, self._guarded(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers_of(scope)
        if scope["path"] == SIGN_IN_PATH and scope["method"] == "GET":
            await self._sign_in(scope, headers, send)
            return
        actor = self._actor(scope, headers)
        if actor is None:
            await _answer_unauthorized(send, is_page=_wants_page(scope, headers))
            return
        refused = self._refused(scope, headers, actor)
        if refused is not None:
            await _answer(send, refused)
            return
        scope.setdefault("state", {})["actor"] = actor
        await self._application(scope, self._bounded(receive), send)

    # ---------------------------------------------------------------------------- who asks

    def _actor(self, scope: Scope, headers: dict[str, str]) -> Actor | None:
        """Return who asks, by token before cookie; a wrong token is not made up for by a cookie."""
        given = headers.get("authorization")
        if given is not None:
            scheme, _, secret = given.partition(" ")
            if scheme.lower() != "bearer" or len(secret) > LENGTH_MAX:
                return None
            return self._by_token(secret.strip(), scope)
        cookie = _cookie(headers.get("cookie", ""), self._access.cookie_name)
        return self._sessions.recognise(cookie, now=self._now()) if cookie else None

    def _by_token(self, secret: str, scope: Scope) -> Actor | None:
        """Return whom a token speaks for.

        A right one is let in however often its address failed: who works, and who halts, is not shut out by
        who guesses, and 256 bits need no waiting time against that.
        """
        try:
            actor = self._tokens.recognise(secret, now=self._now())
        except BadSetting as error:
            self._log.error("tokens_unreadable", why=str(error))
            return None
        if actor is None:
            self._note_failure(scope, "token")
        return actor

    async def _sign_in(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        """Answer a one-time link: with a session and the way to the pages, or as anything else unknown.

        Where an address failed too often, what is no link of ours is not taken to the file that all wait for.
        """
        code = (parse_qs(scope.get("query_string", b"").decode("latin-1")).get("code") or [""])[0]
        found = None
        if code and len(code) <= LENGTH_MAX and self._is_host_allowed(headers):
            try:
                if not self._is_held_back(scope) or self._links.has(code):
                    found = self._links.redeem(code, now=self._now())
            except BadSetting as error:
                self._log.error("links_unreadable", why=str(error))
        if found is None:
            self._note_failure(scope, "link")
            await _answer_unauthorized(send, is_page=_wants_page(scope, headers))
            return
        name, role = found
        cookie = self._sessions.begin(name=name, role=role, now=self._now())
        self._log.info("signed_in", name=name, role=role.value)
        value = self._access.cookie(cookie)
        await _start(send, 303, [(b"location", b"/"), (b"set-cookie", value.encode())])
        await send({"type": "http.response.body", "body": b""})

    def _is_held_back(self, scope: Scope) -> bool:
        return self._failures.held(_address(scope), at_s=self._at_s()) < 1

    def _note_failure(self, scope: Scope, what: str) -> None:
        if self._failures.take(_address(scope), at_s=self._at_s()) == 0:
            self._log.warning("sign_in_failed", by=what, address=_address(scope))

    # ---------------------------------------------------------------------------- what is refused to all

    def _refused(self, scope: Scope, headers: dict[str, str], actor: Actor) -> Problem | None:
        """Return why the head of a request is refused to somebody known, `None` where it is not."""
        if not self._is_host_allowed(headers):
            return problem("host_not_allowed")
        if scope["method"] not in SAFE_METHODS and not self._is_origin_allowed(headers, actor):
            return problem("origin_not_allowed")
        length = headers.get("content-length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > self._access.body_bytes_max:
            # The connection ends with it: nobody waits for the rest of such a body.
            return problem(
                "body_too_large",
                f"more than {self._access.body_bytes_max:,} bytes",
                headers=(("connection", "close"),),
            )
        wait_s = 0.0 if _stops_trading(scope) else self._requests.take(actor.key, at_s=self._at_s())
        if wait_s:
            return problem("rate_limited", headers=(("retry-after", str(int(wait_s) + 1)),))
        return None

    def _is_host_allowed(self, headers: dict[str, str]) -> bool:
        return headers.get("host", "").lower() in self._access.hosts

    def _is_origin_allowed(self, headers: dict[str, str], actor: Actor) -> bool:
        """Say whether a change comes from our own page, or from a program that no page speaks through."""
        origin = headers.get("origin")
        if origin is None:
            return not actor.is_browser or headers.get("sec-fetch-site") == "same-origin"
        return origin.lower() in self._access.origins

    # ---------------------------------------------------------------------------- bodies and heads

    def _bounded(self, receive: Receive) -> Receive:
        """Count what is read of a body that did not say how long it is."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._access.body_bytes_max:
                raise HTTPException(problem("body_too_large").status)
            return message

        return counted

    def _guarded(self, send: Send) -> Send:
        """Put the headers that keep a browser safe on every answer."""
        always = [*SECURITY_HEADERS, *([HTTPS_ONLY] if self._access.is_https else [])]

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                kept = [] if UNKEPT[0] in names else [UNKEPT]
                own = [(name, value) for name, value in given if name.lower() not in _SECURED]
                secured = always
                if (_POLICY, DOCUMENT_POLICY) in given:
                    secured = [(_POLICY, DOCUMENT_POLICY), *(one for one in always if one[0] != _POLICY)]
                message = {**message, "headers": [*own, *secured, *kept]}
            await send(message)

        return guarded


_POLICY = SECURITY_HEADERS[0][0]
_SECURED = frozenset(name for name, _ in (*SECURITY_HEADERS, HTTPS_ONLY))


def _stops_trading(scope: Scope) -> bool:
    """Say whether a change only ever stops trading: that is never held back for its number."""
    return scope["method"] == "POST" and scope["path"] in HALTS


def _headers_of(scope: Scope) -> dict[str, str]:
    """Return the head by lower-case name; one that is there twice and may not be is taken for missing."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in found and name in _ONCE:
            twice.add(name)
        found[name] = raw_value.decode("latin-1")
    for name in twice:
        found[name] = ""
    return found


_ONCE = frozenset({"host", "origin", "authorization", "cookie", "content-length"})


def _cookie(given: str, name: str) -> str:
    try:
        found = SimpleCookie(given).get(name)
    except CookieError:
        return ""
    return found.value if found is not None and len(found.value) <= LENGTH_MAX else ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _wants_page(scope: Scope, headers: dict[str, str]) -> bool:
    """Say whether a person looks, who reads no JSON."""
    return "text/html" in headers.get("accept", "") and not scope["path"].startswith("/api/")


async def _answer_unauthorized(send: Send, *, is_page: bool) -> None:
    """Answer the one thing that is said to the unknown, and hang up: what they go on sending is not read."""
    body = UNAUTHORIZED_PAGE if is_page else UNAUTHORIZED
    await _start(
        send,
        401,
        [
            (b"www-authenticate", b"Bearer"),
            (b"content-type", b"text/html; charset=utf-8" if is_page else PROBLEM_JSON.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ],
    )
    await send({"type": "http.response.body", "body": body})


async def _answer(send: Send, found: Problem) -> None:
    headers = [(name.encode(), value.encode()) for name, value in found.headers]
    await _start(send, found.status, [(b"content-type", PROBLEM_JSON.encode()), *headers])
    await send({"type": "http.response.body", "body": found.content})


async def _start(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
