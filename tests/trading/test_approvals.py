"""The approval chain: its stages and expiries, who has to approve, and every reason to refuse an answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from resources.reviewed_config import read_limits
from trading.advice import Ladder
from trading.approvals import (
    ApprovalMode,
    ApprovalPolicy,
    Asked,
    ChainStage,
    Role,
    Said,
    StageRecord,
    StageVerdict,
    answer_refusal,
    approvers_needed,
    approvers_of,
    chain_of,
    endorsers_of,
    is_last_approval,
)
from trading.decisions import Outcome, decide
from trading.testing import example_intent
from trading.values import Side
from trading.verdicts import Verdict

NOW = datetime(2013, 2, 28, 14, 0, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
POLICY = ApprovalPolicy(
    mode=ApprovalMode.AUTO,
    four_eyes_micros=90,
    risk_expires_s=60,
    compliance_expires_s=120,
    person_expires_s=36_000,
)
INTENT = example_intent()


def verdict(guard, *, passed=True, reason="ok"):
    return Verdict(
        INTENT.intent_key, INTENT.symbol, INTENT.session, guard, passed, reason, 0, 0, 0, "limits-sha"
    )


def chain(*verdicts, mode=ApprovalMode.AUTO, waits_for="", would="", worth=90):
    return chain_of(
        verdicts,
        waits_for=waits_for,
        would_wait_for=would,
        worth_micros=worth,
        policy=POLICY,
        mode=mode,
        not_after=CLOSE,
        now=NOW,
    )


PASSING = (verdict("kill_switch"), verdict("allowlist"))


def test_a_passing_intent_goes_through_risk_compliance_and_needs_nobody():
    risk, compliance, person = chain(*PASSING)

    assert [(record.stage, record.verdict) for record in (risk, compliance, person)] == [
        (ChainStage.RISK, StageVerdict.PASSED),
        (ChainStage.COMPLIANCE, StageVerdict.PASSED),
        (ChainStage.PERSON, StageVerdict.NOT_NEEDED),
    ]
    assert (risk.policy, risk.detail) == ("limits:limits-sha", "1 guards passed")
    assert risk.expires_at == NOW + timedelta(seconds=60)
    assert compliance.expires_at == NOW + timedelta(seconds=120)
    assert person.expires_at == CLOSE  # ten hours are more than the session has
    assert (person.policy, person.detail, person.approvers) == ("auto", "within_policy", 0)


@pytest.mark.parametrize(
    ("stopped", "stages"),
    [
        (verdict("max_notional", passed=False, reason="too_much"), ["risk"]),
        (verdict("allowlist", passed=False, reason="symbol_not_allowed"), ["risk", "compliance"]),
    ],
)
def test_the_chain_ends_at_the_first_stage_that_fails(stopped, stages):
    found = chain(verdict("kill_switch"), stopped)

    assert [record.stage.value for record in found] == stages
    assert (found[-1].verdict, found[-1].detail) == (StageVerdict.FAILED, stopped.reason)


@pytest.mark.parametrize(
    ("would", "verdict_of_auto", "detail"),
    [
        ("", StageVerdict.PASSED, "within_policy"),
        ("above_auto_approval", StageVerdict.FAILED, "above_auto_approval"),
    ],
)
def test_a_shadow_records_what_auto_would_have_done_and_holds_nothing_up(would, verdict_of_auto, detail):
    found = chain(*PASSING, mode=ApprovalMode.SHADOW_AUTO, waits_for="manual_approval", would=would)
    shadow, person = found[2:]

    assert (shadow.stage, shadow.verdict, shadow.detail) == (ChainStage.SHADOW, verdict_of_auto, detail)
    assert (person.verdict, person.policy, person.approvers) == (StageVerdict.WAITING, "shadow_auto", 1)


@pytest.mark.parametrize(("worth", "needed"), [(90, 1), (91, 2)])
def test_above_the_limit_two_persons_are_needed(worth, needed):
    assert approvers_needed(worth_micros=worth, policy=POLICY) == needed
    assert approvers_of(chain(*PASSING, waits_for="above_auto_approval", worth=worth)) == needed


# -------------------------------------------------------------------------------- who has to approve


@pytest.mark.parametrize(
    ("asked", "outcome", "reason"),
    [
        ((Side.BUY, ApprovalMode.AUTO, False, "small"), Outcome.APPROVED, "within_policy"),
        ((Side.BUY, ApprovalMode.AUTO, False, "large"), Outcome.PENDING_APPROVAL, "above_auto_approval"),
        ((Side.BUY, ApprovalMode.MANUAL, False, "small"), Outcome.PENDING_APPROVAL, "manual_approval"),
        ((Side.BUY, ApprovalMode.SHADOW_AUTO, False, "small"), Outcome.PENDING_APPROVAL, "manual_approval"),
        (
            (Side.BUY, ApprovalMode.MANUAL, True, "small"),
            Outcome.PENDING_APPROVAL,
            "degrade_manual_approval_required",
        ),
        ((Side.SELL, ApprovalMode.MANUAL, False, "large"), Outcome.APPROVED, "within_policy"),
        ((Side.SELL, ApprovalMode.MANUAL, True, "large"), Outcome.APPROVED, "within_policy"),
    ],
)
def test_the_mode_says_who_approves_and_what_reduces_risk_never_waits(asked, outcome, reason, config_dir):
    side, mode, is_degraded, worth = asked
    quantity = 10 if worth == "small" else 900
    intent = example_intent(side=side, quantity=quantity)
    own = [verdict._replace(intent_key=intent.intent_key) for verdict in PASSING]
    (decision,) = decide(
        [intent],
        own,
        [],
        account="A",
        lane="paper",
        ladder=Ladder.OFF,
        limits=read_limits("us_wide", config_dir / "limits.toml"),
        not_after=CLOSE,
        inputs_sha="i",
        approvals=POLICY,
        mode=mode,
        is_degraded=is_degraded,
        now=NOW,
    )

    assert (decision.outcome, decision.reason) == (outcome, reason)
    is_waiting = outcome is Outcome.PENDING_APPROVAL
    assert decision.chain[-1].verdict is (StageVerdict.WAITING if is_waiting else StageVerdict.NOT_NEEDED)


# -------------------------------------------------------------------------------- what a person answers

ASKED = Asked(
    is_pending=True, state="pending_approval", version=3, payload_hash="h" * 64, not_after=CLOSE, maker=""
)
SAID = Said(
    is_approval=True, actor="ann", reason="seen", role=None, version=3, payload_hash="h" * 64, nonce="n"
)


def stage(name, verdict_, *, approvers=0, actor="", until=CLOSE):
    return StageRecord(name, verdict_, "p", "told", actor, approvers, until, NOW)


ONE = (
    stage(ChainStage.RISK, StageVerdict.PASSED, until=NOW + timedelta(seconds=60)),
    stage(ChainStage.COMPLIANCE, StageVerdict.PASSED),
    stage(ChainStage.PERSON, StageVerdict.WAITING, approvers=1),
)
TWO = (*ONE[:2], stage(ChainStage.PERSON, StageVerdict.WAITING, approvers=2))
ENDORSED = (*TWO, stage(ChainStage.PERSON, StageVerdict.ENDORSED, actor="Ann"))

REFUSED = {
    "nobody answers": ("no_actor", {"said": {"actor": " "}}),
    "without a nonce": ("no_actor", {"said": {"nonce": ""}}),
    "a viewer": ("wrong_role", {"said": {"role": Role.VIEWER}}),
    "another payload than shown": ("payload_changed", {"said": {"payload_hash": "g" * 64}}),
    "the same nonce again": ("nonce_used", {"is_nonce_used": True}),
    "too late": ("expired", {"now": CLOSE}),
    "an older version": ("stale_version", {"said": {"version": 2}}),
    "answered already": ("not_pending", {"asked": {"is_pending": False, "state": "approved"}}),
    "after risk has expired": ("stage_expired", {"now": NOW + timedelta(seconds=60)}),
    "compliance did not pass": (
        "stage_expired",
        {"chain": (ONE[0], stage(ChainStage.COMPLIANCE, StageVerdict.FAILED))},
    ),
    "its maker, where two are needed": ("self_approval", {"asked": {"maker": "ANN"}, "chain": TWO}),
    "its maker in another font": ("self_approval", {"asked": {"maker": "\uff41\uff4e\uff4e"}, "chain": TWO}),
    "its maker in a letter of its own": ("self_approval", {"asked": {"maker": "\U0001d49cnn"}, "chain": TWO}),
    "the one who endorsed it": ("self_approval", {"chain": ENDORSED}),
    "a rejection for no reason": ("no_reason", {"said": {"is_approval": False, "reason": " "}}),
}


def refusal(*, said=(), asked=(), chain=ONE, is_nonce_used=False, now=NOW):
    found = answer_refusal(
        ASKED._replace(**dict(asked)),
        SAID._replace(**dict(said)),
        chain,
        is_nonce_used=is_nonce_used,
        now=now,
    )
    return found and found.code


@pytest.mark.parametrize(("code", "changes"), REFUSED.values(), ids=REFUSED)
def test_an_answer_is_refused_for(code, changes):
    assert refusal(**changes) == code


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"said": {"role": Role.TRADER}},
        {"said": {"role": Role.ADMIN}},
        {"chain": ()},
        {"asked": {"maker": "ann"}},  # one is enough, so that its maker may
        {"chain": TWO},
        {"chain": ENDORSED, "said": {"actor": "bob"}},
        {"said": {"is_approval": False}, "now": NOW + timedelta(seconds=60)},
        {"said": {"is_approval": False}, "chain": ENDORSED},
    ],
)
def test_an_answer_that_is_right_counts(changes):
    assert refusal(**changes) is None


def test_the_last_of_two_is_the_second_distinct_one():
    assert [is_last_approval(found) for found in ((), ONE, TWO, ENDORSED)] == [True, True, False, True]
    assert endorsers_of(ENDORSED) == ("Ann",)


@pytest.mark.parametrize("name", ["four_eyes_micros", "risk_expires_s", "person_expires_s"])
def test_a_policy_by_which_nothing_could_be_approved_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} 0: must be positive"):
        replace(POLICY, **{name: 0})
