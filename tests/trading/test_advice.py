"""Advice: whatever a model says, the orders are a part of those without it, and sales are untouched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.advice import (
    Advice,
    AdviceContext,
    AdviceVerdict,
    Ladder,
    NoAdvisor,
    admitted,
    advised_quantity,
    escalates,
    ladder_of,
    no_advice,
    reduces_risk,
)
from trading.decisions import Outcome, decide
from trading.errors import BadInput
from trading.positions import Book, Position
from trading.testing import example_intent, example_limits, example_verdicts
from trading.values import IntentKey, Side, Symbol

NOON = datetime(2013, 2, 28, 17, tzinfo=UTC)
LIMITS = example_limits(
    order_notional_micros_max=100_000_000_000,
    symbol_weight_bps_max=10_000,
    auto_approve_notional_micros=5_000_000_000,
    cost_bps=20,
    quote_age_s_max=300,
    stale_ratio_bps_max=1_000,
    usual_order_notional_micros=100_000_000_000,
)
INTENTS = (
    example_intent("HELD", side=Side.SELL, quantity=30),
    example_intent("SMALL", quantity=7),
    example_intent("LARGE", quantity=90),
    example_intent("HUGE", quantity=2_000),  # over the limit: blocked
)
HELD = Book(
    currency="USD",
    cash_micros=10**11,
    deposits_micros=10**11,
    positions=(Position(Symbol("HELD"), 30, 0),),
)
VERDICTS = example_verdicts(INTENTS, book=HELD, limits=LIMITS)


def advice_on(intent, verdict, factor_bps=10_000, **fields):
    return Advice(
        intent.intent_key,
        intent.symbol,
        intent.session,
        verdict,
        factor_bps,
        3,
        applied=True,
        source="",
        rationale="",
        confidence_bps=9_000,
    )._replace(**fields)


def decided(advice, ladder):
    return decide(
        INTENTS,
        VERDICTS,
        advice,
        account="SIM",
        lane="simulated",
        ladder=ladder,
        limits=LIMITS,
        not_after=NOON,
        inputs_sha="inputs",
    )


TWIN = decided((), Ladder.OFF)
CONTEXT = AdviceContext(
    book="us_five", lane="simulated", session=INTENTS[0].session, cut_off=NOON, ladder=Ladder.VETO_AND_SHRINK
)


def test_the_twin_has_all_outcomes_that_rules_alone_can_give():
    assert [(d.intent.symbol, d.outcome, d.quantity) for d in TWIN] == [
        ("HELD", Outcome.APPROVED, 30),
        ("SMALL", Outcome.APPROVED, 7),
        ("LARGE", Outcome.PENDING_APPROVAL, 90),
        ("HUGE", Outcome.BLOCKED, 0),
    ]


HOSTILE = st.builds(
    Advice,
    intent_key=st.sampled_from([*(intent.intent_key for intent in INTENTS), IntentKey("key-of-nothing")]),
    symbol=st.sampled_from([intent.symbol for intent in INTENTS]),
    session=st.just(INTENTS[0].session),
    verdict=st.sampled_from(AdviceVerdict),
    factor_bps=st.one_of(
        st.integers(-20_000, 30_000), st.integers(-(10**30), 10**30), st.sampled_from([0, 10_000])
    ),
    ladder=st.integers(-5, 9),
    applied=st.booleans(),
    source=st.just("hostile"),
    rationale=st.text(max_size=5),
    confidence_bps=st.none() | st.integers(-5, 20_000),
    error_type=st.sampled_from(["", "", "low_confidence", "time_out"]),
    evidence=st.text(max_size=5),
)


@settings(deadline=None)
@given(st.lists(HOSTILE, max_size=8), st.sampled_from(Ladder))
def test_a_hostile_model_can_only_make_the_book_smaller(advice, ladder):
    found = decided(advice, ladder)

    for twin, own in zip(TWIN, found, strict=True):
        assert own.intent_id == twin.intent_id
        assert own.verdicts_sha == twin.verdicts_sha
        assert own.unadvised_quantity == twin.unadvised_quantity
        assert 0 <= own.quantity <= twin.quantity
        if twin.outcome is Outcome.BLOCKED or own.intent.side is Side.SELL:
            assert own == twin
        if own.outcome is Outcome.APPROVED and twin.outcome is Outcome.PENDING_APPROVAL:
            # Shrunk to what needs no person: still no more than a person would have been asked for.
            assert own.quantity * own.intent.price_micros <= LIMITS.auto_approve_notional_micros
    if ladder < Ladder.VETO:
        assert found == TWIN


@pytest.mark.parametrize(
    ("ladder", "verdict", "factor_bps", "quantity"),
    [
        (Ladder.OFF, AdviceVerdict.VETO, 0, 7),
        (Ladder.SHADOW, AdviceVerdict.VETO, 0, 7),
        (Ladder.VETO, AdviceVerdict.VETO, 10_000, 0),
        (Ladder.VETO, AdviceVerdict.SHRINK, 5_000, 7),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.VETO, 0, 0),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.SHRINK, 5_000, 3),  # rounded down
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.SHRINK, 9_999, 6),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.SHRINK, 10_000, 7),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.SHRINK, 1, 0),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.SHRINK, 10_001, 7),  # no advice
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.SHRINK, -1, 7),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.VETO, -1, 7),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.KEEP, 0, 7),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.ABSTAIN, 0, 7),
        (Ladder.VETO_AND_SHRINK, AdviceVerdict.ESCALATE, 0, 7),
    ],
)
def test_what_each_step_of_the_ladder_lets_advice_do(ladder, verdict, factor_bps, quantity):
    small = INTENTS[1]
    advice = advice_on(small, verdict, factor_bps)

    assert advised_quantity(small, advice, ladder=ladder, reduces_risk=False) == quantity
    assert advised_quantity(small, advice, ladder=ladder, reduces_risk=True) == 7
    assert advised_quantity(small, None, ladder=ladder, reduces_risk=False) == 7


def test_a_veto_is_told_and_a_shrunk_order_is_what_is_sent():
    _, small, large = INTENTS[:3]
    advice = [advice_on(small, AdviceVerdict.VETO), advice_on(large, AdviceVerdict.SHRINK, 5_000)]

    _, vetoed, shrunk, _ = decided(advice, Ladder.VETO_AND_SHRINK)

    assert (vetoed.outcome, vetoed.reason, vetoed.quantity) == (Outcome.VETOED, "advisor_veto", 0)
    assert vetoed.unadvised_quantity == 7
    assert (shrunk.outcome, shrunk.reason, shrunk.quantity) == (Outcome.APPROVED, "within_policy", 45)


@pytest.mark.parametrize("ladder", Ladder)
def test_an_escalation_hands_a_buy_to_a_person_where_a_veto_would_count(ladder):
    advice = [advice_on(intent, AdviceVerdict.ESCALATE) for intent in INTENTS]

    held, small, large, huge = decided(advice, ladder)

    if ladder < Ladder.VETO:
        assert (held, small, large, huge) == TWIN
    else:
        assert (small.outcome, small.reason, small.quantity) == (
            Outcome.PENDING_APPROVAL,
            "advisor_escalated",
            7,
        )
        assert (large.outcome, large.reason) == (Outcome.PENDING_APPROVAL, "above_auto_approval")
        assert (held, huge) == (TWIN[0], TWIN[3])
        assert not escalates(INTENTS[1], None, ladder=ladder)


def test_the_advisor_that_is_off_abstains_on_every_intent():
    advice = NoAdvisor().advise(INTENTS, context=replace(CONTEXT, ladder=Ladder.SHADOW)).advice

    assert [row.intent_key for row in advice] == [intent.intent_key for intent in INTENTS]
    assert {(row.verdict, row.factor_bps, row.applied) for row in advice} == {
        (AdviceVerdict.ABSTAIN, 10_000, False)
    }
    assert decided(advice, Ladder.VETO_AND_SHRINK) == TWIN


def test_at_a_step_that_may_veto_an_advisor_that_is_gone_leaves_buys_to_a_person():
    advice = NoAdvisor().advise(INTENTS, context=replace(CONTEXT, ladder=Ladder.VETO)).advice

    held, small, _, _ = decided(admitted(advice, INTENTS, ladder=Ladder.VETO), Ladder.VETO)

    assert held == TWIN[0]
    assert (small.outcome, small.reason) == (Outcome.PENDING_APPROVAL, "advisor_failed")


def test_in_a_long_only_book_every_sale_reduces_risk_and_no_buy_does():
    assert [reduces_risk(intent) for intent in INTENTS] == [True, False, False, False]


@settings(deadline=None)
@given(st.lists(HOSTILE, max_size=8), st.sampled_from(Ladder))
def test_whatever_an_advisor_gives_one_sound_row_an_intent_is_admitted(advice, ladder):
    rows = admitted(advice, INTENTS, ladder=ladder)

    assert [row.intent_key for row in rows] == [intent.intent_key for intent in INTENTS]
    assert {(row.symbol, row.session) for row in rows} == {(one.symbol, one.session) for one in INTENTS}
    assert ladder_of(rows) is ladder
    for row, own, twin in zip(rows, decided(rows, ladder), TWIN, strict=True):
        assert 0 <= row.factor_bps <= 10_000
        assert row.rationale.isprintable()
        if not row.applied and twin.outcome is not Outcome.BLOCKED:
            assert own.quantity == twin.quantity
            assert own.outcome is twin.outcome or own.reason == "advisor_failed"


def test_of_two_words_on_one_intent_the_first_stands_and_one_on_nothing_is_dropped():
    small = INTENTS[1]
    stray = advice_on(small, AdviceVerdict.VETO, intent_key=IntentKey("key-of-nothing"))
    said = [stray, advice_on(small, AdviceVerdict.KEEP), advice_on(small, AdviceVerdict.VETO)]

    (row,) = admitted(said, [small], ladder=Ladder.VETO)

    assert (row.verdict, row.applied, row.ladder) == (AdviceVerdict.KEEP, False, 2)


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"confidence_bps": 4_999}, "low_confidence"),
        ({"confidence_bps": None}, "low_confidence"),
        ({"confidence_bps": 10_001}, "bad_advice"),
        ({"factor_bps": 10_001}, "bad_advice"),
        ({"factor_bps": -1}, "bad_advice"),
        ({"rationale": "x" * 281}, "bad_advice"),
        ({"rationale": "a\x00b"}, "bad_advice"),
        ({"evidence": "\u202e"}, "bad_advice"),
        ({"error_type": "time_out"}, "time_out"),
    ],
)
def test_what_no_decision_may_follow_is_an_abstention_that_says_why(fields, error_type):
    small = INTENTS[1]

    (row,) = admitted([advice_on(small, AdviceVerdict.VETO, **fields)], [small], ladder=Ladder.VETO)

    assert (row.verdict, row.factor_bps, row.applied, row.error_type) == (
        AdviceVerdict.ABSTAIN,
        10_000,
        False,
        error_type,
    )
    assert row.rationale == ""


def test_confidence_of_one_half_is_enough():
    small = INTENTS[1]

    (row,) = admitted(
        [advice_on(small, AdviceVerdict.VETO, confidence_bps=5_000)], [small], ladder=Ladder.VETO
    )

    assert row.applied


@pytest.mark.parametrize("ladder", Ladder)
def test_where_the_advisor_failed_the_rules_buys_wait_for_a_person_and_sales_go_on(ladder):
    advice = [
        no_advice(intent, source="model", error_type="time_out")._replace(ladder=ladder) for intent in INTENTS
    ]

    held, small, large, huge = decided(advice, ladder)

    if ladder < Ladder.VETO:
        assert (held, small, large, huge) == TWIN
    else:
        assert (held, huge) == (TWIN[0], TWIN[3])
        assert (small.outcome, small.reason, small.quantity) == (
            Outcome.PENDING_APPROVAL,
            "advisor_failed",
            7,
        )
        assert (large.outcome, large.reason) == (Outcome.PENDING_APPROVAL, "above_auto_approval")


@pytest.mark.parametrize("error_type", ["", "low_confidence"])
def test_a_model_that_abstains_or_doubts_itself_has_not_failed(error_type):
    advice = [no_advice(intent, source="model", error_type=error_type) for intent in INTENTS]

    assert decided(advice, Ladder.VETO_AND_SHRINK) == TWIN


def test_a_session_is_advised_at_one_step():
    for steps in ((1, 2), (4,), (-1,)):
        with pytest.raises(BadInput, match="one step of the ladder"):
            ladder_of([advice_on(INTENTS[0], AdviceVerdict.KEEP, ladder=step) for step in steps])


def test_a_cut_off_is_an_instant_in_utc():
    with pytest.raises(ValueError, match="UTC"):
        AdviceContext(
            book="b",
            lane="simulated",
            session=INTENTS[0].session,
            cut_off=NOON.replace(tzinfo=None),
            ladder=Ladder.OFF,
        )
