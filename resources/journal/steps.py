"""One step of an intent: ask trading.lifecycle whether it may follow, compare and set, append its event.

Which steps there are, and what else each of them stores, is approvals.py, preparations.py, outcomes.py and
fills.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.drafts import draft_of, step_body
from resources.journal.queries import named
from resources.journal.statements import update
from resources.journal.transactions import STEPS, Transactions
from trading.audit import instant_text
from trading.errors import IllegalTransition, JournalError, StaleVersion
from trading.journal import JournalIntent
from trading.lifecycle import STALE_EPOCH, STALE_VERSION, Event, IntentState, Place, Refusal, Step, transition


class Steps(Transactions):
    """Take an intent from one state to the next."""

    def _move(
        self,
        conn: sa.Connection,
        row: JournalIntent,
        step: tuple[Step, IntentState],
        *,
        now: datetime,
        version: int | None = None,
        epoch: int | None = None,
        quantity: int = 0,
        actor: str = "",
        reason: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> JournalIntent:
        """Take one edge: compare and set the row, append its event; return the row as it is then."""
        place = _place_of(row)
        after = judge(row, step, version=version, epoch=epoch, quantity=quantity)
        changed = update(
            conn,
            schema.intents,
            {
                "state": after.state.value,
                "stage": after.stage.value,
                "version": after.version,
                "epoch": after.epoch,
                "generation": after.generation,
                "filled_quantity": after.filled_quantity,
                "reason": reason or row.reason,
                "actor": actor or row.actor,
                "changed_at": instant_text(now),
            },
            intent_id=row.intent_id,
            version=place.version,
            state=place.state.value,
            epoch=place.epoch,
        )
        if changed != 1:
            raise StaleVersion(f"{named(row)}: version {place.version} was changed by another")
        moved = replace(
            row,
            state=after.state,
            stage=after.stage,
            version=after.version,
            epoch=after.epoch,
            generation=after.generation,
            filled_quantity=after.filled_quantity,
            reason=reason or row.reason,
            actor=actor or row.actor,
            complete=after.state is IntentState.EXECUTED and after.filled_quantity == after.quantity,
            changed_at=now,
        )
        told = step_body(place, step, quantity) | dict(body or {})
        self._append(conn, now, draft_of(row, step[0].value, actor=actor, reason=reason, body=told))
        conn.info[STEPS].append((step[0], moved, reason))
        return moved


def judge(
    row: JournalIntent,
    step: tuple[Step, IntentState],
    *,
    version: int | None = None,
    epoch: int | None = None,
    quantity: int = 0,
) -> Place:
    """Return where a row goes by a step, or raise what the refusal means."""
    event = Event(
        step[0],
        step[1],
        row.version if version is None else version,
        row.epoch if epoch is None else epoch,
        quantity,
    )
    after = transition(_place_of(row), event)
    if isinstance(after, Refusal):
        kind: type[JournalError] = (
            StaleVersion if after.code in {STALE_VERSION, STALE_EPOCH} else IllegalTransition
        )
        raise kind(f"{named(row)}: {after.message}")
    return after


def _place_of(row: JournalIntent) -> Place:
    return Place(
        state=row.state,
        stage=row.stage,
        version=row.version,
        epoch=row.epoch,
        generation=row.generation,
        quantity=row.quantity,
        filled_quantity=row.filled_quantity,
    )
