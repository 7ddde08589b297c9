"""Budgets of calls in this process, shared by a provider's clients. The rule is trading/rate_limits.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from resources.clocks import system_now
from trading.rate_limits import Budget, LimitRules, full_budget, heard, taken, wait_s


class RateLimits:
    """Hold one budget a group of endpoints; threads of one process share it.

    Another process learns the same from its own answers: what is left of an account's budget stands in each.
    """

    def __init__(
        self, rules: LimitRules | None = None, *, clock: Callable[[], datetime] = system_now
    ) -> None:
        self._rules = rules or LimitRules()
        self._clock = clock
        self._budgets: dict[str, Budget] = {}
        self._lock = threading.Lock()

    def admit(self, group: str, *, is_send: bool) -> float:
        """Take one call of a group's budget and return 0, or return the seconds to wait and take nothing."""
        with self._lock:
            now_s = self._clock().timestamp()
            budget = self._of(group, now_s)
            to_wait_s = wait_s(budget, rules=self._rules, now_s=now_s, is_send=is_send)
            if to_wait_s <= 0:
                self._budgets[group] = taken(budget, rules=self._rules, now_s=now_s)
            return to_wait_s

    def hear(self, group: str, *, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer; `headers` by names in small letters."""
        with self._lock:
            now_s = self._clock().timestamp()
            self._budgets[group] = heard(
                self._of(group, now_s), status=status, headers=headers, rules=self._rules, now_s=now_s
            )

    def budget(self, group: str) -> Budget:
        """Return what is known of a group's budget."""
        with self._lock:
            return self._of(group, self._clock().timestamp())

    def _of(self, group: str, now_s: float) -> Budget:
        return self._budgets.get(group) or full_budget(self._rules, now_s=now_s)
