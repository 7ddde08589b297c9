"""How the exchange says no: Alpaca's statuses, codes and bodies, one function for each reason."""

from __future__ import annotations

from typing import Any

from trading.errors import TradingError

BAD_BODY = 40010000
DUPLICATE = 40010001
UNAUTHORIZED = 40110000
NOT_ENOUGH = 40310000
NOT_FOUND = 40410000
UNPROCESSABLE = 42210000
RATE_LIMITED = 42910000
INTERNAL = 50010000


class ApiRefusal(TradingError):
    """Carry the answer to a request that is not granted: status, code (`None` has none) and message."""

    def __init__(self, status: int, code: int | None, message: str) -> None:
        super().__init__(f"{status}/{code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON."""
        return (
            {"message": self.message} if self.code is None else {"code": self.code, "message": self.message}
        )


def bad_body(message: str) -> ApiRefusal:
    """Return the answer to a body or a parameter that cannot be read."""
    return ApiRefusal(400, BAD_BODY, message)


def duplicate() -> ApiRefusal:
    """Return the answer to a client order id that was used before, whatever became of its order."""
    return ApiRefusal(422, DUPLICATE, "client_order_id must be unique")


def unauthorized() -> ApiRefusal:
    """Return the answer to a request without keys."""
    return ApiRefusal(401, UNAUTHORIZED, "request is not authorized")


def forbidden() -> ApiRefusal:
    """Return the answer to a request with wrong keys: it has no code."""
    return ApiRefusal(403, None, "forbidden.")


def not_enough(message: str) -> ApiRefusal:
    """Return the answer to an order that the account cannot carry."""
    return ApiRefusal(403, NOT_ENOUGH, message)


def not_found(message: str) -> ApiRefusal:
    """Return the answer to a question about nothing."""
    return ApiRefusal(404, NOT_FOUND, message)


def unprocessable(message: str) -> ApiRefusal:
    """Return the answer to an order, a replacement or a cancel that the rules do not allow."""
    return ApiRefusal(422, UNPROCESSABLE, message)


def rate_limited() -> ApiRefusal:
    """Return the answer to one request too many."""
    return ApiRefusal(429, RATE_LIMITED, "rate limit exceeded")
