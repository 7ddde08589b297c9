"""How Alpaca says no, and what each no proves: read by status, code and message together.

The lists are closed. Definitive is only what names a code of theirs under its own status in a body of theirs:
a page of a proxy's that says 403 too proves nothing about an order.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic import ValidationError

from resources.alpaca_markets.wire import ErrorOnAlpaca, loaded

DUPLICATE = "duplicate_client_order_id"

BAD_BODY = "bad_body"
UNAUTHORIZED = "unauthorized"
BAD_KEYS = "bad_keys"
NOT_ENOUGH = "not_enough"
NOT_FOUND = "not_found"
NOT_ALLOWED = "not_allowed"

MALFORMED_REQUEST = "malformed_request"
OTHER_SESSION = "other_session"
AUCTION_CLOSED = "auction_closed"
NOT_REPLACEABLE = "not_replaceable"

_BY_STATUS_AND_CODE = {
    (400, 40010000): BAD_BODY,
    (401, 40110000): UNAUTHORIZED,
    (403, None): BAD_KEYS,
    (403, 40310000): NOT_ENOUGH,
    (404, 40410000): NOT_FOUND,
    (422, 42210000): NOT_ALLOWED,
}
"""What a refusal is called here: a body that cannot be read; no keys; wrong keys; too little buying power or
too few shares; no such order or asset; a price, asset, short sale, hour or cancel that is not allowed."""

_NO_SUCH_PATH = "endpoint"

_WRONG_KEYS = "forbidden"
"""How their answer to wrong keys begins: it alone has no code, and whoever stands between may speak JSON."""

_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_]{16,}")
"""A run of letters and digits as long as a key of theirs; ids with dashes are shorter runs."""

_DUPLICATE_STATUS, _DUPLICATE_CODE, _DUPLICATE_FIELD = 422, 40010001, "client_order_id"

DEFINITIVE_ERRORS = frozenset(
    {*_BY_STATUS_AND_CODE.values(), MALFORMED_REQUEST, OTHER_SESSION, AUCTION_CLOSED, NOT_REPLACEABLE}
)
"""The closed list of refusals after which no order exists; the last four are ours, made before a send."""

AMBIGUOUS_ERRORS = frozenset(
    {
        "connect", "time_out", "reset", "half_reply", "too_long_reply", "circuit_open", "rate_limited",
        "unreadable_reply", "other_order",
        "status_1xx", "status_2xx", "status_3xx", "status_4xx", "status_429", "status_5xx",
    }
)  # fmt: skip
"""What a send can meet that proves nothing, by the word that its `OutcomeUnknown` begins with.

After `circuit_open` and `rate_limited` nothing went out, but an intent must not fail for a wait: it is asked
for as any other, and sent again under its id.
"""


class Refusal(NamedTuple):
    """Hold an answer that is not granted: its word here, and what Alpaca said."""

    word: str
    detail: str

    @property
    def is_definitive(self) -> bool:
        """Say whether no order exists after it."""
        return self.word in DEFINITIVE_ERRORS


def refusal_of(status: int, content: bytes) -> Refusal:
    """Return what an answer other than the one hoped for means; every one that is not known is ambiguous."""
    error = _error_of(content)
    if error is not None:
        told = f"{status}/{error.code or '-'} {_shown(error.message)}"
        is_duplicate = (status, error.code) == (_DUPLICATE_STATUS, _DUPLICATE_CODE)
        if is_duplicate and _DUPLICATE_FIELD in error.message:
            return Refusal(DUPLICATE, told)
        word = _BY_STATUS_AND_CODE.get((status, error.code))
        # Whoever does not know the path says the same of it as of an order: that proves nothing of one.
        is_of_path = word == NOT_FOUND and _NO_SUCH_PATH in error.message
        is_not_theirs = word == BAD_KEYS and not error.message.startswith(_WRONG_KEYS)
        if word is not None and not (is_of_path or is_not_theirs):
            return Refusal(word, told)
        return Refusal(_class_of(status), told)
    return Refusal(_class_of(status), f"{status} without a body of theirs")


def _shown(message: str) -> str:
    """Return a message without anything that a key could be: some servers say which one they did not like."""
    return _LONG_WORD.sub("(...)", message)


def _class_of(status: int) -> str:
    return "status_429" if status == 429 else f"status_{status // 100}xx"  # noqa: PLR2004 - too many requests


def _error_of(content: bytes) -> ErrorOnAlpaca | None:
    try:
        return ErrorOnAlpaca.model_validate(loaded(content))
    except (ValueError, ValidationError):
        return None
