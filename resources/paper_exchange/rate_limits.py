"""How many requests a client may make in a minute, told in every answer as Alpaca tells it."""

from __future__ import annotations

import math
from collections.abc import Callable

WINDOW_S = 60
REQUESTS_PER_MINUTE = 200


class RateLimit:
    """Count requests in windows of one minute of real time; `limit` 0 lets everything through."""

    def __init__(self, limit: int, *, wall_s: Callable[[], float]) -> None:
        self._limit = limit
        self._wall_s = wall_s
        self._window = -1
        self._used = 0

    def take(self) -> tuple[bool, list[tuple[bytes, bytes]]]:
        """Return whether one more request may pass, and the headers that say how many are left."""
        if not self._limit:
            return True, []
        window = math.floor(self._wall_s() / WINDOW_S)
        if window != self._window:
            self._window, self._used = window, 0
        is_left = self._used < self._limit
        self._used += is_left
        return is_left, [
            (b"x-ratelimit-limit", b"%d" % self._limit),
            (b"x-ratelimit-remaining", b"%d" % (self._limit - self._used)),
            (b"x-ratelimit-reset", b"%d" % ((window + 1) * WINDOW_S)),
        ]
