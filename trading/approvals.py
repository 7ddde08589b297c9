"""The approval chain: risk, then compliance, then a person, each with its verdict and its expiry. Pure.

A passing intent is approved by nobody but a person, unless the reviewed policy of its book lets it pass by
itself. What a person's answer binds, and why it is refused, is `answer_refusal`: the journal asks it inside
its transaction and keeps every refusal. What the guards say is guards.py; who stores it is journal.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from trading.limits import Limits
from trading.values import Side, notional_micros
from trading.verdicts import Verdict


class ApprovalMode(StrEnum):
    """Say who approves what adds risk.

    `manual`: a person, always. `auto`: up to the book's automatic limit nobody has to. `shadow_auto`: a
    person, always, and what `auto` would have done is recorded beside it.
    """

    MANUAL = "manual"
    AUTO = "auto"
    SHADOW_AUTO = "shadow_auto"


class Role(StrEnum):
    """Say what somebody may do: a viewer looks, a trader acts, an admin may do everything."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"

    @property
    def may_act(self) -> bool:
        """Say whether somebody in the role may change anything."""
        return self is not Role.VIEWER


class ChainStage(StrEnum):
    """Name a stage of the chain, in its order; `shadow` only records and holds nothing up."""

    RISK = "risk"
    COMPLIANCE = "compliance"
    SHADOW = "shadow"
    PERSON = "person"


class StageVerdict(StrEnum):
    """Say how a stage ended.

    `waiting`: for a person. `not_needed`: the policy asks for none. `endorsed`: by the first of two persons.
    """

    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    NOT_NEEDED = "not_needed"
    ENDORSED = "endorsed"


class StageRecord(NamedTuple):
    """Hold one stage's verdict on one intent, as it is stored.

    `policy` names what was applied: the digest of the limits, the mode, or who answered. `approvers` is how
    many persons a waiting stage needs, else 0. After `expires_at` the verdict counts no more.
    """

    stage: ChainStage
    verdict: StageVerdict
    policy: str
    detail: str
    actor: str
    approvers: int
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy:
    """Hold how a book's intents are approved; expiries are seconds from the decision, cut at `not_after`.

    `four_eyes_micros`: from above this worth two distinct persons approve.
    """

    mode: ApprovalMode = ApprovalMode.AUTO
    four_eyes_micros: int = 90_000_000_000
    risk_expires_s: int = 28_800
    compliance_expires_s: int = 86_400
    person_expires_s: int = 28_800

    def __post_init__(self) -> None:
        """Refuse a policy by which nothing could be approved."""
        for name in ("four_eyes_micros", "risk_expires_s", "compliance_expires_s", "person_expires_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive")


ABOVE_AUTO_APPROVAL = "above_auto_approval"
MANUAL_APPROVAL = "manual_approval"
DEGRADED_APPROVAL = "degrade_manual_approval_required"
REDUCES_RISK = "reduces_risk"
WITHIN_POLICY = "within_policy"

COMPLIANCE_GUARDS = frozenset({"universe", "allowlist", "restricted", "prohibited_tactic"})
"""The guards that speak for compliance; all others speak for risk."""

NEEDS_ONE, NEEDS_TWO = 1, 2


def auto_refusal(*, side: Side, price_micros: int, quantity: int, limits: Limits) -> str:
    """Return why an order may not go without a person under `auto`, empty where it may.

    What lowers exposure never waits for anybody.
    """
    worth = notional_micros(price_micros=price_micros, quantity=quantity)
    sign = 1 if side is Side.BUY else -1
    is_over = is_above_auto(sign, worth, limits.auto_approve_notional_micros)
    return ABOVE_AUTO_APPROVAL if is_over else ""


def is_above_auto(sign: int, worth_micros: int, auto_approve_micros: int) -> bool:
    """Say whether an order (`sign` +1 buys, −1 sells) is worth more than passes by itself under `auto`."""
    return sign > 0 and worth_micros > auto_approve_micros


def person_needed(
    *,
    side: Side,
    price_micros: int,
    quantity: int,
    limits: Limits,
    mode: ApprovalMode = ApprovalMode.AUTO,
    is_degraded: bool = False,
) -> str:
    """Return why an order waits for a person, empty where it does not; what lowers exposure never waits."""
    if side is Side.SELL:
        return ""
    if is_degraded:
        return DEGRADED_APPROVAL
    if mode is not ApprovalMode.AUTO:
        return MANUAL_APPROVAL
    return auto_refusal(side=side, price_micros=price_micros, quantity=quantity, limits=limits)


def approvers_needed(*, worth_micros: int, policy: ApprovalPolicy) -> int:
    """Return how many distinct persons approve an order of a worth."""
    return NEEDS_TWO if worth_micros > policy.four_eyes_micros else NEEDS_ONE


def chain_of(
    verdicts: Iterable[Verdict],
    *,
    waits_for: str,
    would_wait_for: str,
    worth_micros: int,
    policy: ApprovalPolicy,
    mode: ApprovalMode,
    not_after: datetime,
    now: datetime,
) -> tuple[StageRecord, ...]:
    """Return the stages that a decision went through, up to the first that failed.

    `waits_for` is why a person is needed, `would_wait_for` why `auto` would have asked one; both are empty
    where nobody is.
    """
    own = tuple(verdicts)
    limits_sha = own[0].limits_sha if own else ""
    stages: list[StageRecord] = []

    def put(
        stage: ChainStage,
        verdict: StageVerdict,
        expires_s: int,
        *,
        policy_id: str,
        detail: str,
        approvers: int = 0,
    ) -> None:
        until = min(now + timedelta(seconds=expires_s), not_after)
        stages.append(StageRecord(stage, verdict, policy_id, detail, "", approvers, until, now))

    for stage, expires_s, judged in (
        (ChainStage.RISK, policy.risk_expires_s, [v for v in own if v.guard not in COMPLIANCE_GUARDS]),
        (
            ChainStage.COMPLIANCE,
            policy.compliance_expires_s,
            [v for v in own if v.guard in COMPLIANCE_GUARDS],
        ),
    ):
        failed = [verdict.reason for verdict in judged if verdict.blocks]
        asks = [verdict.reason for verdict in judged if not verdict.passed and not verdict.blocks]
        put(
            stage,
            StageVerdict.FAILED if failed else StageVerdict.PASSED,
            expires_s,
            policy_id=f"limits:{limits_sha[:12]}",
            detail=", ".join(failed or asks) or f"{len(judged)} guards passed",
        )
        if failed:
            return tuple(stages)
    if mode is ApprovalMode.SHADOW_AUTO:
        put(
            ChainStage.SHADOW,
            StageVerdict.FAILED if would_wait_for else StageVerdict.PASSED,
            policy.person_expires_s,
            policy_id=ApprovalMode.AUTO.value,
            detail=would_wait_for or WITHIN_POLICY,
        )
    put(
        ChainStage.PERSON,
        StageVerdict.WAITING if waits_for else StageVerdict.NOT_NEEDED,
        policy.person_expires_s,
        policy_id=mode.value,
        detail=waits_for or WITHIN_POLICY,
        approvers=approvers_needed(worth_micros=worth_micros, policy=policy) if waits_for else 0,
    )
    return tuple(stages)


# -------------------------------------------------------------------------------- what a person answers


class AnswerRefused(NamedTuple):
    """Say why an answer does not count: a stable code, kept in the journal, and a sentence."""

    code: str
    message: str


PAYLOAD_CHANGED = "payload_changed"
NONCE_USED = "nonce_used"
EXPIRED = "expired"
STAGE_EXPIRED = "stage_expired"
STALE = "stale_version"
NOT_PENDING = "not_pending"
WRONG_ROLE = "wrong_role"
SELF_APPROVAL = "self_approval"
NO_REASON = "no_reason"
NO_ACTOR = "no_actor"


class Asked(NamedTuple):
    """Hold what an intent is when it is answered to, as the journal has it in the same transaction."""

    is_pending: bool
    state: str
    version: int
    payload_hash: str
    not_after: datetime
    maker: str


class Said(NamedTuple):
    """Hold what somebody answers, and what they saw; `role` is `None` where nobody asked for one."""

    is_approval: bool
    actor: str
    reason: str
    role: Role | None
    version: int
    payload_hash: str
    nonce: str


def answer_refusal(
    asked: Asked, said: Said, chain: Sequence[StageRecord], *, is_nonce_used: bool, now: datetime
) -> AnswerRefused | None:
    """Return why an answer does not count, `None` where it does; the first reason is the one reported.

    An approval is bound to the payload and the version that were shown, is given once, in time, while risk
    and compliance still stand, by somebody who may, and above the four-eyes limit by another than who made
    or endorsed it. A rejection needs a reason, and no fresh verdict: it only stops.
    """
    if not said.actor.strip() or not said.nonce:
        return AnswerRefused(NO_ACTOR, "an approval names its actor and a nonce")
    if said.role is not None and not said.role.may_act:
        return AnswerRefused(WRONG_ROLE, f"{said.actor} is a {said.role} and may only look")
    if said.payload_hash != asked.payload_hash:
        shown, stored = said.payload_hash[:12], asked.payload_hash[:12]
        return AnswerRefused(PAYLOAD_CHANGED, f"shown {shown}, stored {stored}: look again, preview it again")
    if is_nonce_used:
        return AnswerRefused(NONCE_USED, f"nonce {said.nonce} was used before; preview it again")
    if now >= asked.not_after:
        return AnswerRefused(EXPIRED, f"expired at {asked.not_after:%Y-%m-%d %H:%M:%S} UTC")
    if said.version != asked.version:
        return AnswerRefused(
            STALE, f"expected version {said.version}, found {asked.version} ({asked.state}): look again"
        )
    if not asked.is_pending:
        return AnswerRefused(NOT_PENDING, f"is {asked.state}, not pending approval")
    if not said.is_approval:
        is_silent = not said.reason.strip()
        return (
            AnswerRefused(NO_REASON, "a rejection says why; it is kept in the journal") if is_silent else None
        )
    return _stage_refusal(chain, now) or _self_refusal(asked, said, chain)


def is_last_approval(chain: Sequence[StageRecord]) -> bool:
    """Say whether one more person's approval is the last that is needed."""
    return approvers_of(chain) <= len(endorsers_of(chain)) + 1


def approvers_of(chain: Sequence[StageRecord]) -> int:
    """Return how many persons have to approve; one where an older journal has no chain of the intent."""
    return max((record.approvers for record in chain), default=NEEDS_ONE) or NEEDS_ONE


def endorsers_of(chain: Sequence[StageRecord]) -> tuple[str, ...]:
    """Return who approved already where more than one has to."""
    return tuple(record.actor for record in chain if record.verdict is StageVerdict.ENDORSED)


def person_named(name: str) -> str:
    """Return one form of all ways to write a name, so that nobody is two people by another font or case.

    Folded by Unicode's compatibility forms (NFKC) and case folding.
    """
    folded = unicodedata.normalize("NFKC", name).strip().casefold()
    return unicodedata.normalize("NFKC", folded)


def _stage_refusal(chain: Sequence[StageRecord], now: datetime) -> AnswerRefused | None:
    for record in chain:
        if (
            record.stage in {ChainStage.RISK, ChainStage.COMPLIANCE}
            and record.verdict is not StageVerdict.PASSED
        ):
            return AnswerRefused(STAGE_EXPIRED, f"{record.stage} has not passed: {record.detail}")
        if record.stage is not ChainStage.SHADOW and now >= record.expires_at:
            return AnswerRefused(
                STAGE_EXPIRED,
                f"{record.stage} counted until {record.expires_at:%Y-%m-%d %H:%M:%S} UTC; nothing renews it",
            )
    return None


def _self_refusal(asked: Asked, said: Said, chain: Sequence[StageRecord]) -> AnswerRefused | None:
    """Return why somebody may not approve alone what takes two, `None` where they are the other one."""
    if approvers_of(chain) < NEEDS_TWO:
        return None
    who = person_named(said.actor)
    if who == person_named(asked.maker):
        return AnswerRefused(SELF_APPROVAL, f"{said.actor} made it, and above the limit another one approves")
    if any(who == person_named(name) for name in endorsers_of(chain)):
        return AnswerRefused(
            SELF_APPROVAL, f"{said.actor} approved it already; above the limit another one has to as well"
        )
    return None
