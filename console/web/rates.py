"""How often somebody may ask: a bucket that fills with time, for each key.

Time comes in as an argument. What is counted, and what is never held back, is gate.py.
"""

from __future__ import annotations

from dataclasses import dataclass

KEYS_MAX = 10_000
"""How many are remembered; one forgotten has a full bucket again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Hold a rate: `burst` at once, and `per_s` more each second."""

    burst: int
    per_s: float


class Buckets:
    """Hold a bucket a key."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._held: dict[str, tuple[float, float]] = {}

    def take(self, key: str, *, at_s: float) -> float:
        """Take one, and return 0; where there is none return the seconds until there is, and take nothing."""
        held = self.held(key, at_s=at_s)
        if held < 1:
            return (1 - held) / self._rate.per_s
        if key not in self._held and len(self._held) >= KEYS_MAX:
            del self._held[next(iter(self._held))]
        self._held[key] = (held - 1, at_s)
        return 0.0

    def held(self, key: str, *, at_s: float) -> float:
        """Return how many a key has left."""
        left, since_s = self._held.get(key, (float(self._rate.burst), at_s))
        return min(self._rate.burst, left + max(0.0, at_s - since_s) * self._rate.per_s)
