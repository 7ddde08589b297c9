"""Events before they have a place in the chain: what each says. transactions.py appends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from resources.journal.queries import of_intent
from trading.journal import JournalIntent
from trading.lifecycle import IntentState, Place, Step


class Draft(NamedTuple):
    """Hold an event before it has a place in the chain."""

    kind: str
    book: str = ""
    lane: str = ""
    session: str = ""
    intent_id: str = ""
    actor: str = ""
    reason: str = ""
    body: Mapping[str, Any] = {}


def step_body(place: Place | None, step: tuple[Step, IntentState], quantity: int) -> dict[str, Any]:
    """Return what an event needs to be folded again: what was asked, and what it was asked of."""
    return {
        "to": step[1].value,
        "version": 0 if place is None else place.version,
        "epoch": 0 if place is None else place.epoch,
        "quantity": quantity,
    }


def draft_of(
    row: JournalIntent, kind: str, *, actor: str = "", reason: str = "", body: Mapping[str, Any]
) -> Draft:
    """Return an event about an intent."""
    return Draft(kind, *of_intent(row), row.intent_id, actor, reason, body)
