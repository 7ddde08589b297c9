"""Decisions: what becomes of each intent after guards, advice and the approval policy.

A decision is registered in the journal before anything can execute; guards.py judges, advice.py advises,
limits.py says up to what notional approval is automatic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from trading.intents import Intent
from trading.values import IntentId, IntentKey, Symbol


class Outcome(StrEnum):
    """Say what was decided of an intent."""

    BLOCKED = "blocked"
    VETOED = "vetoed"
    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"


class Verdict(NamedTuple):
    """Hold what one guard said of one intent. `largest_quantity` (shares) would have passed this guard."""

    intent_key: IntentKey
    symbol: Symbol
    session: date
    guard: str
    passed: bool
    reason: str
    observed: int
    limit: int
    largest_quantity: int
    limits_sha: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Hold the decision on one intent.

    `quantity` is final (0 where blocked or vetoed); `unadvised_quantity` is its twin without advice.
    `reason` is the stable code; `not_after` is the UTC instant after which nobody may approve or send it.
    `inputs_sha` digests all that was read to decide; `verdicts_sha` digests the verdicts of this intent.
    """

    intent: Intent
    account: str
    lane: str
    intent_id: IntentId
    outcome: Outcome
    reason: str
    quantity: int
    unadvised_quantity: int
    not_after: datetime
    verdicts_sha: str
    limits_sha: str
    inputs_sha: str
