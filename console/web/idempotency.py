"""A change that is asked for twice under one key is done once, and answered twice alike.

What was answered is kept on disk before the answer goes out, so that a caller whose connection broke may ask
again, also of a server that was started anew. What an intent's own version binds is actions.py.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from console.web.identities import Actor
from console.web.permission import actor_of, needs_of
from console.web.problems import PROBLEM_JSON, ProblemFound, problem, problem_of
from trading.errors import JournalUnavailable, TradingError

HEADER = "idempotency-key"
REPLAYED = "idempotency-replayed"
KEPT_FOR = timedelta(days=7)
FILE = "answers.db"
BUSY_S_MAX = 5

CONFLICT = 409
FIRST_ERROR = 400

_BOOLEAN = TypeAdapter(bool)

_SCHEMA = """create table if not exists answers (
  actor text not null,
  key text not null,
  asked text not null,
  server text not null,
  at text not null,
  status integer,
  media_type text,
  body blob,
  primary key (actor, key)
)"""


class Kept(NamedTuple):
    """Hold what is kept under a key; `status` is `None` until the request is answered."""

    asked: str
    server: str
    status: int | None
    media_type: str | None
    body: bytes | None


class Answers:
    """Keep what was answered, by which token or browser asked and under which key."""

    def __init__(self, folder: Path) -> None:
        """Take the console's folder in the profile."""
        self._path = folder / FILE
        self._server = secrets.token_hex(8)

    @property
    def server(self) -> str:
        """Return what tells this run of the server from others."""
        return self._server

    def begin(self, actor: str, key: str, asked: str, *, now: datetime) -> Kept | None:
        """Take a key for a request, and return `None`; return what is kept where it is taken already."""
        with self._open() as answers:
            answers.execute("delete from answers where at < ?", ((now - KEPT_FOR).isoformat(),))
            row = answers.execute(
                "select asked, server, status, media_type, body from answers where actor = ? and key = ?",
                (actor, key),
            ).fetchone()
            if row is not None:
                return Kept(*row)
            answers.execute(
                "insert into answers (actor, key, asked, server, at) values (?, ?, ?, ?, ?)",
                (actor, key, asked, self._server, now.isoformat()),
            )
        return None

    def keep(self, actor: str, key: str, *, status: int, media_type: str, body: bytes) -> None:
        """Keep what is answered."""
        with self._open() as answers:
            answers.execute(
                "update answers set status = ?, media_type = ?, body = ? where actor = ? and key = ?",
                (status, media_type, body, actor, key),
            )

    def forget(self, actor: str, key: str) -> None:
        """Give a key back: the request changed nothing, and may be asked again."""
        with self._open() as answers:
            answers.execute("delete from answers where actor = ? and key = ?", (actor, key))

    def give_up(self, actor: str, key: str) -> None:
        """Say that nobody knows what became of a request."""
        with self._open() as answers:
            answers.execute("update answers set server = '' where actor = ? and key = ?", (actor, key))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=BUSY_S_MAX, isolation_level=None)
            try:
                self._path.chmod(0o600)
                connection.execute("pragma synchronous = full")
                connection.execute("begin immediate")
                connection.execute(_SCHEMA)
                yield connection
                connection.execute("commit")
            finally:
                connection.close()
        except (OSError, sqlite3.Error) as error:
            raise JournalUnavailable(
                f"{self._path}: answers cannot be kept ({error}); make room, or move the file away"
            ) from error


class ChangeRoute(APIRoute):
    """Answer a change once a key; a dry run changes nothing, and needs none."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return what answers."""
        answer = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None or is_dry_run(request):
                response: Response = await answer(request)
                return response
            # Before an old answer is looked up: it is for nobody who could not have asked for it now. The
            # body is read first, so that a form's token and the route find it.
            await request.body()
            for need in needs_of(self.dependant):
                await need(request)
            return await _answered_once(request, key, answer)

        return once


def is_dry_run(request: Request) -> bool:
    """Say whether a request changes nothing, in the same words as the route takes for it."""
    try:
        return _BOOLEAN.validate_python(request.query_params.get("dry_run", False))
    except ValidationError:
        return False  # the route refuses it


async def _answered_once(request: Request, key: str, answer: Callable[[Request], Any]) -> Response:
    answers: Answers = request.app.state.answers
    actor = _identity(actor_of(request))
    asked = await _asked(request)
    kept = await run_in_threadpool(answers.begin, actor, key, asked, now=request.app.state.clocks.now())
    if kept is not None:
        return _again(kept, asked, answers.server)
    try:
        response: Response = await answer(request)
    except TradingError as error:
        found = problem_of(error)
        if found.status == CONFLICT:
            await run_in_threadpool(
                answers.keep, actor, key, status=CONFLICT, media_type=PROBLEM_JSON, body=found.content
            )
        else:
            await run_in_threadpool(answers.forget, actor, key)
        raise
    except Exception as error:
        # What our own checks refuse has changed nothing; of anything else nobody knows.
        ended = answers.forget if _is_refusal(error) else answers.give_up
        await run_in_threadpool(ended, actor, key)
        raise
    if response.status_code >= FIRST_ERROR:
        await run_in_threadpool(answers.forget, actor, key)
    else:
        await run_in_threadpool(
            answers.keep,
            actor,
            key,
            status=response.status_code,
            media_type="application/json",
            body=bytes(response.body),
        )
    return response


def _identity(actor: Actor) -> str:
    """Return who a key belongs to: one token or browser in one role, since a name is no proof of either."""
    return f"{actor.key} {actor.role}"


def _again(kept: Kept, asked: str, server: str) -> Response:
    """Return the answer to a key that was used before; raises `ProblemFound` where it is not the same."""
    if kept.asked != asked:
        raise ProblemFound(problem("idempotency_key_reused"))
    if kept.status is None:
        raise ProblemFound(
            problem("idempotency_in_progress" if kept.server == server else "idempotency_outcome_unknown")
        )
    return Response(
        kept.body, status_code=kept.status, media_type=kept.media_type, headers={REPLAYED: "true"}
    )


async def _asked(request: Request) -> str:
    """Return the digest of what is asked: method, path, query, body."""
    named = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return sha256(named + await request.body()).hexdigest()


def _is_refusal(error: Exception) -> bool:
    from fastapi.exceptions import HTTPException, RequestValidationError

    return isinstance(error, ProblemFound | RequestValidationError | HTTPException)
