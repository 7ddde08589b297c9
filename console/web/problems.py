"""What went wrong, as RFC 9457 has it (`application/problem+json`), with a code that keeps its meaning.

One table leads from our errors to statuses, beside the one that leads to exit codes (console/exit_codes.py).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from console.exit_codes import ExitCode, exit_code_of
from trading.errors import (
    ApprovalRefused,
    BadInput,
    BadSetting,
    BrokerRejected,
    BrokerUnavailable,
    DuplicateIntent,
    GateClosed,
    IllegalTransition,
    JournalBehindLog,
    JournalUnavailable,
    LakeError,
    OutcomeUnknown,
    RecordsUnavailable,
    Refused,
    StaleVersion,
    TradingError,
    UnknownId,
    UnknownSession,
)

PROBLEM_JSON = "application/problem+json"
TYPE = "urn:trading:problem:{}"

STATUS_OF_ERROR: tuple[tuple[type[BaseException], HTTPStatus], ...] = (
    (UnknownId, HTTPStatus.NOT_FOUND),
    (UnknownSession, HTTPStatus.NOT_FOUND),
    (BadSetting, HTTPStatus.INTERNAL_SERVER_ERROR),
    (BadInput, HTTPStatus.BAD_REQUEST),
    (ApprovalRefused, HTTPStatus.CONFLICT),
    (GateClosed, HTTPStatus.CONFLICT),
    (Refused, HTTPStatus.CONFLICT),
    (StaleVersion, HTTPStatus.CONFLICT),
    (IllegalTransition, HTTPStatus.CONFLICT),
    (DuplicateIntent, HTTPStatus.CONFLICT),
    (BrokerRejected, HTTPStatus.CONFLICT),
    (OutcomeUnknown, HTTPStatus.SERVICE_UNAVAILABLE),
    (JournalBehindLog, HTTPStatus.SERVICE_UNAVAILABLE),
    (JournalUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (BrokerUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (RecordsUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (LakeError, HTTPStatus.SERVICE_UNAVAILABLE),
    (TradingError, HTTPStatus.INTERNAL_SERVER_ERROR),
)
"""Which status an error is answered with: the first line it is an instance of."""

CODES: dict[str, tuple[HTTPStatus, str]] = {
    "unauthorized": (HTTPStatus.UNAUTHORIZED, "no valid token or session; nothing was read"),
    "role_needed": (HTTPStatus.FORBIDDEN, "the role of the token or session is too low"),
    "csrf_token_wrong": (HTTPStatus.FORBIDDEN, "a browser's change without the token of its page"),
    "origin_not_allowed": (HTTPStatus.FORBIDDEN, "asked by a page of another site"),
    "host_not_allowed": (HTTPStatus.MISDIRECTED_REQUEST, "asked under a name that the console does not have"),
    "rate_limited": (HTTPStatus.TOO_MANY_REQUESTS, "too many requests; `Retry-After` says for how long"),
    "body_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is longer than any that is meant"),
    "invalid_request": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "a parameter or the body does not fit; see `errors`",
    ),
    "body_unreadable": (HTTPStatus.BAD_REQUEST, "the body is not what its `Content-Type` says"),
    "not_found": (HTTPStatus.NOT_FOUND, "there is no such path"),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "the path is there, not with this method"),
    "idempotency_key_missing": (HTTPStatus.BAD_REQUEST, "a change names its `Idempotency-Key`"),
    "idempotency_key_reused": (HTTPStatus.UNPROCESSABLE_ENTITY, "the key was used for another request"),
    "idempotency_in_progress": (HTTPStatus.CONFLICT, "the first request with this key is not answered yet"),
    "idempotency_outcome_unknown": (
        HTTPStatus.CONFLICT,
        "the server ended before it answered the first request with this key: look, then use a new key",
    ),
    "defect": (HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected; the log says where"),
}
"""The codes that are no error of ours, with their status and meaning."""

EXIT_CODE_OF_STATUS: dict[int, ExitCode] = {
    HTTPStatus.BAD_REQUEST: ExitCode.USAGE,
    HTTPStatus.NOT_FOUND: ExitCode.USAGE,
    HTTPStatus.METHOD_NOT_ALLOWED: ExitCode.USAGE,
    HTTPStatus.UNPROCESSABLE_ENTITY: ExitCode.USAGE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ExitCode.USAGE,
    HTTPStatus.SERVICE_UNAVAILABLE: ExitCode.DEPENDENCY_DOWN,
    HTTPStatus.INTERNAL_SERVER_ERROR: ExitCode.FAILED,
}
"""Which exit code a command would end with where no error of ours says it; everything else is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Hold what went wrong. `exit_code` is what `trading` would end with; `extra` are further members."""

    status: int
    code: str
    detail: str
    exit_code: int
    extra: tuple[tuple[str, Any], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """Return the code in words."""
        return self.code.replace("_", " ").capitalize()

    @property
    def body(self) -> dict[str, Any]:
        """Return the members as RFC 9457 names them."""
        return {
            "type": TYPE.format(self.code),
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "exit_code": self.exit_code,
            **dict(self.extra),
        }

    @property
    def content(self) -> bytes:
        """Return the body's bytes."""
        return json.dumps(self.body, ensure_ascii=False).encode()


class ProblemFound(Exception):
    """Carry a problem to whoever answers."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem(
    code: str, detail: str = "", *, headers: tuple[tuple[str, str], ...] = (), **extra: Any
) -> Problem:
    """Return the problem of a code of `CODES`; the code's meaning where nothing closer is to say."""
    status, meaning = CODES[code]
    return Problem(
        status=status,
        code=code,
        detail=detail or meaning,
        exit_code=EXIT_CODE_OF_STATUS.get(status, ExitCode.REFUSED),
        extra=tuple(extra.items()),
        headers=headers,
    )


def problem_of(error: TradingError) -> Problem:
    """Return the problem that an error of ours is: its class names the code."""
    status = next(status for kind, status in STATUS_OF_ERROR if isinstance(error, kind))
    return Problem(
        status=status, code=code_of(type(error)), detail=str(error), exit_code=int(exit_code_of(error))
    )


def code_of(kind: type[BaseException]) -> str:
    """Return the code of an error's class: `StaleVersion` is `stale_version`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
