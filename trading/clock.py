"""The port to time: which moment a phase of a session happens at, and which session is today.

Rules never ask the time: `now` comes in as an argument. The clocks are resources/clocks.py.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from trading.sessions import Calendar


class Phase(StrEnum):
    """Say which part of a session runs: decide before the open, execute at it, settle after the close."""

    DECIDE = "decide"
    EXECUTE = "execute"
    SETTLE = "settle"


class Clock(Protocol):
    """Give the moment to act at, as an aware UTC instant."""

    def now(self, session: date, phase: Phase) -> datetime:
        """Return the instant at which a phase of a session happens."""
        ...

    def today(self, calendar: Calendar, last_data_session: date) -> date:
        """Return the exchange date that counts as today; `last_data_session` is the last one with quotes."""
        ...
