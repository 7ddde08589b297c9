"""The life of an intent: its states, and the edges between them. Pure; the journal stores what this says.

The table of transitions is `docs/explanation/intent_life.md`; the numbers in `EDGES` are its rows.
"""

from __future__ import annotations

from enum import StrEnum


class IntentState(StrEnum):
    """Say where an intent is. The first four are open, the others terminal."""

    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    REJECTED = "rejected"
    EXECUTED = "executed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        """Say whether something may still happen to the intent."""
        return self in {
            IntentState.PENDING_APPROVAL,
            IntentState.APPROVED,
            IntentState.EXECUTING,
            IntentState.UNKNOWN,
        }
