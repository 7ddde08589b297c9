"""What people say to an intent before it is sent: approvals, rejections, cancels, and what came too late.

How a step is taken is steps.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.arguments import check_person
from resources.journal.batch import stage_row
from resources.journal.drafts import draft_of
from resources.journal.queries import chain_in, named, required
from resources.journal.statements import insert, row_of
from resources.journal.steps import Steps
from trading.approvals import (
    NOT_PENDING,
    STALE,
    Asked,
    ChainStage,
    Role,
    Said,
    StageRecord,
    StageVerdict,
    answer_refusal,
    is_last_approval,
)
from trading.audit import instant_text
from trading.errors import ApprovalRefused, IllegalTransition, StaleVersion
from trading.journal import JournalIntent
from trading.lifecycle import IntentState, Step
from trading.values import IntentId


class Approvals(Steps):
    """Keep the answers that people give, and what ends unsent."""

    def approve(
        self,
        intent_id: IntentId,
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        now: datetime,
        role: Role | None = None,
    ) -> JournalIntent:
        """Store a person's approval (2), or the first of two."""
        return self._answer(
            intent_id,
            (Step.APPROVED, IntentState.APPROVED),
            version=version,
            payload_hash=payload_hash,
            nonce=nonce,
            actor=actor,
            reason=reason,
            role=role,
            now=now,
        )

    def reject(
        self,
        intent_id: IntentId,
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        now: datetime,
        role: Role | None = None,
    ) -> JournalIntent:
        """Store a person's rejection (2)."""
        return self._answer(
            intent_id,
            (Step.REJECTED, IntentState.REJECTED),
            version=version,
            payload_hash=payload_hash,
            nonce=nonce,
            actor=actor,
            reason=reason,
            role=role,
            now=now,
        )

    def chain(self, intent_id: IntentId) -> list[StageRecord]:
        """Return the stages of approval that an intent went through, in order."""
        with self._reading() as conn:
            required(conn, intent_id)
            return chain_in(conn, intent_id)

    def expire(self, intent_id: IntentId, *, version: int, actor: str, now: datetime) -> JournalIntent:
        """End a pending or approved intent whose `not_after` has passed (2, 3)."""
        with self._writing() as conn:
            row = required(conn, intent_id)
            if row.state.is_open and now < row.not_after:
                raise IllegalTransition(
                    f"{named(row)}: may be sent until {instant_text(row.not_after)}, so not expired"
                )
            return self._move(
                conn,
                row,
                (Step.EXPIRED, IntentState.EXPIRED),
                version=version,
                actor=actor,
                reason="not_after_passed",
                now=now,
            )

    def cancel(
        self, intent_id: IntentId, *, version: int, actor: str, reason: str, now: datetime
    ) -> JournalIntent:
        """End a pending or approved intent that was never prepared (3)."""
        check_person(actor, reason)
        with self._writing() as conn:
            return self._move(
                conn,
                required(conn, intent_id),
                (Step.CANCELLED, IntentState.CANCELLED),
                version=version,
                actor=actor,
                reason=reason,
                now=now,
            )

    def _answer(
        self,
        intent_id: IntentId,
        step: tuple[Step, IntentState],
        *,
        version: int,
        payload_hash: str,
        nonce: str,
        actor: str,
        reason: str,
        role: Role | None,
        now: datetime,
    ) -> JournalIntent:
        with self._writing() as conn:
            row = required(conn, intent_id)
            chain = chain_in(conn, intent_id)
            is_approval = step[0] is Step.APPROVED
            said = Said(is_approval, actor, reason, role, version, payload_hash, nonce)
            before = row_of(conn, schema.approvals, nonce=nonce) or row_of(
                conn, schema.endorsements, nonce=nonce
            )
            # Who was first with another answer, or is another person, is no repeat: the version says so.
            is_used = before is not None and not _is_late(row, before, said, step[1])
            refused = answer_refusal(_asked_of(row), said, chain, is_nonce_used=is_used, now=now)
            if refused is None:
                return self._put_answer(conn, row, step, said, chain, now=now)
            # Committed, and only then raised: who tried what they may not is history as well.
            body = {
                "answer": step[1].value,
                "message": refused.message,
                "version": version,
                "payload_hash": payload_hash,
                "nonce": nonce,
                "role": role.value if role else "",
            }
            self._append(
                conn, now, draft_of(row, "answer_refused", actor=actor, reason=refused.code, body=body)
            )
        kind = {STALE: StaleVersion, NOT_PENDING: IllegalTransition}.get(refused.code, ApprovalRefused)
        raise kind(f"{named(row)}: {refused.message}")

    def _put_answer(
        self,
        conn: sa.Connection,
        row: JournalIntent,
        step: tuple[Step, IntentState],
        said: Said,
        chain: Sequence[StageRecord],
        *,
        now: datetime,
    ) -> JournalIntent:
        """Take the step of an answer that counts; the first approval of two leaves the intent pending."""
        is_endorsed = said.is_approval and not is_last_approval(chain)
        moved = self._move(
            conn,
            row,
            (Step.ENDORSED, IntentState.PENDING_APPROVAL) if is_endorsed else step,
            version=said.version,
            actor=said.actor,
            reason=said.reason,
            body={"nonce": said.nonce, "payload_hash": said.payload_hash, "stage_place": len(chain)},
            now=now,
        )
        given = {
            "nonce": said.nonce,
            "intent_id": row.intent_id,
            "actor": said.actor,
            "reason": said.reason,
            "payload_hash": said.payload_hash,
            "version": said.version,
            "at": instant_text(now),
        }
        if is_endorsed:
            insert(conn, schema.endorsements, given)
        else:
            insert(conn, schema.approvals, {**given, "answer": step[1].value})
        answered = StageVerdict.PASSED if said.is_approval else StageVerdict.FAILED
        record = StageRecord(
            ChainStage.PERSON,
            StageVerdict.ENDORSED if is_endorsed else answered,
            said.actor,
            said.reason,
            said.actor,
            0,
            row.not_after,
            now,
        )
        insert(conn, schema.approval_stages, stage_row(record, row.intent_id, len(chain)))
        return moved


def _asked_of(row: JournalIntent) -> Asked:
    return Asked(
        is_pending=row.state is IntentState.PENDING_APPROVAL,
        state=row.state.value,
        version=row.version,
        payload_hash=row.payload_hash,
        not_after=row.not_after,
        maker=row.actor,
    )


def _is_late(row: JournalIntent, before: Any, said: Said, answer: IntentState) -> bool:
    """Say whether an answer lost to another one that was given to the same version of its intent."""
    is_same = (before["actor"], before.get("answer", IntentState.APPROVED.value)) == (
        said.actor,
        answer.value,
    )
    return before["intent_id"] == row.intent_id and said.version != row.version and not is_same
