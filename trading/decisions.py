"""Decisions: what becomes of each intent after guards, advice and the approval policy.

A decision is registered in the journal before anything can execute; verdicts.py judges, advice.py advises,
limits.py says up to what notional approval is automatic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from trading.advice import Advice, Ladder, advised_quantity, escalates, lacks_advice, reduces_risk
from trading.approvals import (
    WITHIN_POLICY,
    ApprovalMode,
    ApprovalPolicy,
    StageRecord,
    auto_refusal,
    chain_of,
    person_needed,
)
from trading.intents import Intent, intent_id_of
from trading.limits import Limits
from trading.values import IntentId, IntentKey, Side, Symbol, notional_micros
from trading.verdicts import Verdict, by_intent, stopping, verdicts_sha


class Outcome(StrEnum):
    """Say what was decided of an intent."""

    BLOCKED = "blocked"
    VETOED = "vetoed"
    PENDING_APPROVAL = "pending_approval"
    APPROVED = "approved"


BY_ITSELF = ApprovalPolicy()
"""The approval policy of a replay: nobody is there to ask beyond what the limits ask for."""

ADVISOR_ESCALATED = "advisor_escalated"
ADVISOR_FAILED = "advisor_failed"
"""What an intent waits for a person with where the advisor failed that might have vetoed it."""
ADVISOR_VETO = "advisor_veto"
BY_ADVICE = frozenset({ADVISOR_ESCALATED, ADVISOR_FAILED, ADVISOR_VETO})
"""The reasons that only advice, or the lack of it, gives a decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Hold the decision on one intent.

    `quantity` is final (0 where blocked or vetoed); `unadvised_quantity` is its twin without advice.
    `reason` is the stable code; `not_after` is the UTC instant after which nobody may approve or send it.
    `inputs_sha` digests all that was read to decide; `verdicts_sha` digests the verdicts of this intent.
    `chain` are the stages of approval it went through.
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
    chain: tuple[StageRecord, ...] = ()


class DecisionRow(NamedTuple):
    """Hold one decision as its table has it. Price in micro-units, quantities in shares."""

    session: date
    symbol: Symbol
    side: Side
    outcome: Outcome
    reason: str
    quantity: int
    unadvised_quantity: int
    price_micros: int
    intent_id: IntentId
    intent_key: IntentKey
    payload_hash: str
    account: str
    lane: str
    not_after: datetime
    verdicts_sha: str
    limits_sha: str
    inputs_sha: str


def decide(
    intents: Sequence[Intent],
    verdicts: Iterable[Verdict],
    advice: Iterable[Advice],
    *,
    account: str,
    lane: str,
    ladder: Ladder,
    limits: Limits,
    not_after: datetime,
    inputs_sha: str,
    approvals: ApprovalPolicy = BY_ITSELF,
    mode: ApprovalMode = ApprovalMode.AUTO,
    is_degraded: bool = False,
    now: datetime | None = None,
) -> tuple[Decision, ...]:
    """Return one decision an intent, in order; with `now`, also the stages of approval it went through.

    `mode` is the one in force, whatever `approvals` has. Raises `ValueError` where an intent has no verdicts:
    what was not reviewed is never decided.
    """
    judged = by_intent(verdicts)
    advised = {row.intent_key: row for row in advice}
    limits_sha = limits.sha()
    decisions = []
    for intent in intents:
        if intent.intent_key not in judged:
            raise ValueError(f"{intent.symbol} {intent.session}: no verdict, so no decision")
        own = judged[intent.intent_key]
        asks = _Asks(limits=limits, mode=mode, is_degraded=is_degraded)
        outcome, reason, quantity = _decided(intent, own, advised.get(intent.intent_key), ladder, asks)
        chain = (
            ()
            if now is None
            else chain_of(
                own,
                waits_for=reason if outcome is Outcome.PENDING_APPROVAL else "",
                would_wait_for=auto_refusal(
                    side=intent.side, price_micros=intent.price_micros, quantity=quantity, limits=limits
                ),
                worth_micros=notional_micros(price_micros=intent.price_micros, quantity=quantity),
                policy=approvals,
                mode=mode,
                not_after=not_after,
                now=now,
            )
        )
        decisions.append(
            Decision(
                intent=intent,
                account=account,
                lane=lane,
                intent_id=intent_id_of(account=account, lane=lane, intent_key=intent.intent_key),
                outcome=outcome,
                reason=reason,
                quantity=quantity,
                unadvised_quantity=0 if outcome is Outcome.BLOCKED else intent.quantity,
                not_after=not_after,
                verdicts_sha=verdicts_sha(own),
                limits_sha=limits_sha,
                inputs_sha=inputs_sha,
                chain=chain,
            )
        )
    return tuple(decisions)


def decision_rows(decisions: Iterable[Decision]) -> tuple[DecisionRow, ...]:
    """Return decisions as rows of their table, in the order given."""
    return tuple(
        DecisionRow(
            session=decision.intent.session,
            symbol=decision.intent.symbol,
            side=decision.intent.side,
            outcome=decision.outcome,
            reason=decision.reason,
            quantity=decision.quantity,
            unadvised_quantity=decision.unadvised_quantity,
            price_micros=decision.intent.price_micros,
            intent_id=decision.intent_id,
            intent_key=decision.intent.intent_key,
            payload_hash=sent_payload_hash(decision.intent, quantity=decision.quantity),
            account=decision.account,
            lane=decision.lane,
            not_after=decision.not_after,
            verdicts_sha=decision.verdicts_sha,
            limits_sha=decision.limits_sha,
            inputs_sha=decision.inputs_sha,
        )
        for decision in decisions
    )


def sent_payload_hash(intent: Intent, *, quantity: int) -> str:
    """Return the digest of the payload with the quantity that is to be sent: what an approval binds.

    A blocked intent (quantity 0) keeps the digest of what was wished.
    """
    return (replace(intent, quantity=quantity) if quantity > 0 else intent).payload_hash()


def outcomes_by_reason(rows: Iterable[DecisionRow]) -> Mapping[str, int]:
    """Return how many intents were blocked or vetoed, by reason, most first."""
    counts: dict[str, int] = {}
    for row in rows:
        if row.outcome in {Outcome.BLOCKED, Outcome.VETOED}:
            counts[row.reason] = counts.get(row.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def needs_person(*, side: Side, price_micros: int, quantity: int, limits: Limits) -> bool:
    """Say whether an order has to be approved by a person in every mode: it adds risk, over the limit.

    What lowers exposure never waits for anybody.
    """
    return bool(auto_refusal(side=side, price_micros=price_micros, quantity=quantity, limits=limits))


class _Asks(NamedTuple):
    """Hold what says whether a person is asked."""

    limits: Limits
    mode: ApprovalMode
    is_degraded: bool


def _decided(
    intent: Intent, verdicts: Sequence[Verdict], advice: Advice | None, ladder: Ladder, asks: _Asks
) -> tuple[Outcome, str, int]:
    """Return outcome, reason and final quantity of one intent.

    The first hard block is the reason; a soft one asks a person.
    """
    failed = stopping(verdicts)
    if failed is not None and failed.blocks:
        return Outcome.BLOCKED, failed.reason, 0
    quantity = advised_quantity(intent, advice, ladder=ladder, reduces_risk=reduces_risk(intent))
    if quantity == 0:
        return Outcome.VETOED, ADVISOR_VETO, 0
    if failed is not None:
        return Outcome.PENDING_APPROVAL, failed.reason, quantity
    waits_for = person_needed(
        side=intent.side,
        price_micros=intent.price_micros,
        quantity=quantity,
        limits=asks.limits,
        mode=asks.mode,
        is_degraded=asks.is_degraded,
    )
    if waits_for:
        return Outcome.PENDING_APPROVAL, waits_for, quantity
    if escalates(intent, advice, ladder=ladder):
        return Outcome.PENDING_APPROVAL, ADVISOR_ESCALATED, quantity
    if lacks_advice(intent, advice, ladder=ladder):
        return Outcome.PENDING_APPROVAL, ADVISOR_FAILED, quantity
    return Outcome.APPROVED, WITHIN_POLICY, quantity
