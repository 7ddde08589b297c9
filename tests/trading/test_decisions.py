"""Decisions: one an intent, with the outcome, the first reason and all that it was decided on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from trading.advice import Ladder
from trading.decisions import (
    Outcome,
    decide,
    decision_rows,
    needs_person,
    outcomes_by_reason,
    sent_payload_hash,
)
from trading.intents import intent_id_of
from trading.positions import Book, Position
from trading.testing import example_decision, example_intent, example_limits, example_verdicts
from trading.values import Side, Symbol
from trading.verdicts import by_intent, verdicts_sha

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
SALE = example_intent("SOLD", side=Side.SELL, quantity=900)
SMALL = example_intent("SMALL", quantity=50)
LARGE = example_intent("LARGE", quantity=51)
HUGE = example_intent("HUGE", quantity=1_001)
BOOK = Book(
    currency="USD",
    cash_micros=10**11,
    deposits_micros=10**11,
    positions=(Position(Symbol("SOLD"), 900, 0),),
)


def verdicts_on(*intents, paused=False):
    return example_verdicts(intents, book=BOOK, limits=LIMITS, paused=paused)


def decided(*intents, verdicts=None):
    return decide(
        intents,
        verdicts_on(*intents) if verdicts is None else verdicts,
        (),
        account="SIM",
        lane="simulated",
        ladder=Ladder.OFF,
        limits=LIMITS,
        not_after=NOON,
        inputs_sha="inputs",
    )


def test_each_intent_gets_one_decision_in_its_place():
    # Up to 5,000.00 needs nobody; 50 at 100.00 is exactly that. A sale never waits.
    found = decided(SALE, SMALL, LARGE, HUGE)

    assert [(d.intent.symbol, d.outcome, d.reason, d.quantity, d.unadvised_quantity) for d in found] == [
        ("SOLD", Outcome.APPROVED, "within_policy", 900, 900),
        ("SMALL", Outcome.APPROVED, "within_policy", 50, 50),
        ("LARGE", Outcome.PENDING_APPROVAL, "above_auto_approval", 51, 51),
        ("HUGE", Outcome.BLOCKED, "max_notional_exceeded", 0, 0),
    ]


def test_a_decision_names_all_that_it_was_decided_on():
    verdicts = verdicts_on(SMALL, LARGE)
    small, large = decided(SMALL, LARGE, verdicts=verdicts)

    assert small.intent_id == intent_id_of(account="SIM", lane="simulated", intent_key=SMALL.intent_key)
    assert (small.account, small.lane, small.not_after) == ("SIM", "simulated", NOON)
    assert (small.inputs_sha, small.limits_sha) == ("inputs", LIMITS.sha())
    assert small.verdicts_sha == verdicts_sha(verdicts[: len(verdicts) // 2])
    assert large.verdicts_sha == verdicts_sha(by_intent(verdicts)[LARGE.intent_key])
    assert small.verdicts_sha != large.verdicts_sha


def test_the_first_guard_that_stops_an_intent_is_its_reason():
    (found,) = decided(HUGE, verdicts=verdicts_on(HUGE, paused=True))

    assert (found.outcome, found.reason) == (Outcome.BLOCKED, "trading_paused")


def test_what_was_not_reviewed_is_never_decided():
    with pytest.raises(ValueError, match="LARGE 2013-02-28: no verdict, so no decision"):
        decided(SMALL, LARGE, verdicts=verdicts_on(SMALL))


def test_no_intents_no_decisions():
    assert decided() == ()


@pytest.mark.parametrize(
    ("side", "quantity", "needed"),
    [(Side.BUY, 50, False), (Side.BUY, 51, True), (Side.SELL, 51, False), (Side.SELL, 10**6, False)],
)
def test_a_person_is_needed_for_a_buy_above_the_limit_only(side, quantity, needed):
    assert needs_person(side=side, price_micros=100_000_000, quantity=quantity, limits=LIMITS) is needed


def test_an_approval_binds_the_quantity_that_is_to_be_sent():
    shrunk = replace(SMALL, quantity=20)

    assert sent_payload_hash(SMALL, quantity=20) == shrunk.payload_hash()
    assert sent_payload_hash(SMALL, quantity=50) == SMALL.payload_hash()
    assert sent_payload_hash(SMALL, quantity=0) == SMALL.payload_hash()


def test_a_row_tells_its_decision():
    decision = replace(example_decision(SMALL, not_after=NOON), quantity=20)
    (row,) = decision_rows([decision])

    assert row.payload_hash == replace(SMALL, quantity=20).payload_hash()
    assert (row.session, row.symbol, row.side) == (SMALL.session, "SMALL", Side.BUY)
    assert (row.price_micros, row.intent_key) == (SMALL.price_micros, SMALL.intent_key)
    for name in (
        "outcome",
        "reason",
        "quantity",
        "unadvised_quantity",
        "intent_id",
        "account",
        "lane",
        "not_after",
        "verdicts_sha",
        "limits_sha",
        "inputs_sha",
    ):
        assert getattr(row, name) == getattr(decision, name), name


def test_what_was_stopped_is_counted_by_reason_most_first():
    def row(symbol, outcome, reason):
        decision = example_decision(example_intent(symbol), not_after=NOON, outcome=outcome)
        return decision_rows([replace(decision, reason=reason)])[0]

    rows = [
        row("A", Outcome.BLOCKED, "quote_stale"),
        row("B", Outcome.VETOED, "advisor_veto"),
        row("C", Outcome.BLOCKED, "max_notional_exceeded"),
        row("D", Outcome.VETOED, "advisor_veto"),
        row("E", Outcome.APPROVED, "within_policy"),
        row("F", Outcome.PENDING_APPROVAL, "above_auto_approval"),
    ]

    assert list(outcomes_by_reason(rows).items()) == [
        ("advisor_veto", 2),
        ("max_notional_exceeded", 1),
        ("quote_stale", 1),
    ]
