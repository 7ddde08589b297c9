"""Gates: open on an honest batch, and each closed by the tampering it is there for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from trading.advice import Ladder
from trading.decisions import Outcome, decide, decision_rows, sent_payload_hash
from trading.gates import GATE_NAMES, BatchFacts, closed, decision_gates
from trading.intents import client_order_id_of
from trading.journal import PREPARED, CancelKind, JournalIntent, JournalOrder, RunControl
from trading.lifecycle import IntentState, Stage
from trading.orders import OrderRequest
from trading.positions import Book, Position
from trading.testing import example_intent, example_limits, example_verdicts
from trading.values import IntentId, Side, Symbol

NOON = datetime(2013, 2, 28, 17, tzinfo=UTC)
LIMITS = example_limits(
    order_notional_micros_max=100_000_000_000,
    symbol_weight_bps_max=10_000,
    auto_approve_notional_micros=5_000_000_000,
    cost_bps=20,
    quote_age_s_max=300,
    stale_ratio_bps_max=3_000,
    usual_order_notional_micros=100_000_000_000,
)
SALE = example_intent("SOLD", side=Side.SELL, quantity=900)
SMALL = example_intent("SMALL", quantity=50)
LARGE = example_intent("LARGE", quantity=51)
HUGE = example_intent("HUGE", quantity=1_001)
INTENTS = (SALE, SMALL, LARGE, HUGE)
BOOK = Book(
    currency="USD",
    cash_micros=10**11,
    deposits_micros=10**11,
    positions=(Position(Symbol("SOLD"), 900, 0),),
)
STATES = {
    Outcome.APPROVED: IntentState.APPROVED,
    Outcome.PENDING_APPROVAL: IntentState.PENDING_APPROVAL,
    Outcome.BLOCKED: IntentState.REJECTED,
    Outcome.VETOED: IntentState.REJECTED,
}


def honest(*, behind=()):
    """Return a batch as it is when nobody has touched it; `behind` names symbols with old quotes."""
    verdicts = example_verdicts(
        INTENTS,
        book=BOOK,
        limits=LIMITS,
        sessions_behind={intent.symbol: int(intent.symbol in behind) for intent in INTENTS},
    )
    decisions = decide(
        INTENTS,
        verdicts,
        (),
        account="SIM",
        lane="simulated",
        ladder=Ladder.OFF,
        limits=LIMITS,
        not_after=NOON,
        inputs_sha="inputs",
    )
    return BatchFacts(
        decisions=decision_rows(decisions),
        verdicts=verdicts,
        intents=[registered(decision) for decision in decisions],
        orders=[order(decision.intent_id) for decision in decisions[:2]],
        control=RunControl(kill_switch_on=False, paused=False, actor="", reason="", changed_at=None),
        limits=LIMITS,
        inputs_sha="inputs",
        inputs_problem="",
    )


def registered(decision):
    return JournalIntent(
        intent_id=decision.intent_id,
        intent=decision.intent,
        account=decision.account,
        lane=decision.lane,
        state=STATES[decision.outcome],
        stage=Stage.NONE,
        version=1,
        epoch=0,
        generation=0,
        quantity=decision.quantity,
        unadvised_quantity=decision.unadvised_quantity,
        filled_quantity=0,
        payload_hash=sent_payload_hash(decision.intent, quantity=decision.quantity),
        reason=decision.reason,
        actor="",
        not_after=decision.not_after,
        verdicts_sha=decision.verdicts_sha,
        limits_sha=decision.limits_sha,
        inputs_sha=decision.inputs_sha,
        complete=False,
        changed_at=NOON,
    )


def order(intent_id, generation=0):
    client_order_id = client_order_id_of(account="SIM", intent_id=intent_id, generation=generation)
    return JournalOrder(
        intent_id=intent_id,
        client_order_id=client_order_id,
        generation=generation,
        request=OrderRequest(
            client_order_id=client_order_id,
            account="SIM",
            session=SMALL.session,
            symbol=SMALL.symbol,
            side=SMALL.side,
            quantity=1,
            order_type=SMALL.order_type,
            time_in_force=SMALL.time_in_force,
            reference_price_micros=1,
        ),
        request_sha="sha",
        status=PREPARED,
        broker_order_id="",
        filled_quantity=0,
        attempts=0,
        absences=0,
        first_absent_at=None,
        cancel_asked_at=None,
        cancel_kind=CancelKind.NONE,
        prepared_at=NOON,
        send_by=NOON,
        reason="",
    )


def with_row(facts, symbol, /, **changes):
    """Return the batch with the table's row of one symbol changed, the journal untouched."""
    rows = tuple(row._replace(**changes) if row.symbol == symbol else row for row in facts.decisions)
    return replace(facts, decisions=rows)


def with_registered(facts, symbol, **changes):
    rows = [replace(row, **changes) if row.intent.symbol == symbol else row for row in facts.intents]
    return replace(facts, intents=rows)


def with_verdicts(facts, change):
    return replace(facts, verdicts=tuple(new for row in facts.verdicts for new in change(row)))


def closed_gates(facts):
    return [gate.name for gate in decision_gates(facts) if not gate.passed]


def is_of(row, symbol, guard):
    return row.symbol == symbol and row.guard == guard


def test_every_gate_is_open_on_an_honest_batch():
    gates = decision_gates(honest())

    assert tuple(gate.name for gate in gates) == GATE_NAMES
    assert closed(gates) == ""
    assert all(gate.detail and not gate.rows for gate in gates)


def test_every_gate_is_open_on_a_batch_of_nothing():
    nothing = replace(honest(), decisions=(), verdicts=(), intents=(), orders=())

    assert closed_gates(nothing) == []


@pytest.mark.parametrize(
    ("control", "told"),
    [
        ({"kill_switch_on": True}, "halted by ann: fire drill"),
        ({"paused": True}, "paused by ann: fire drill"),
        ({"kill_switch_on": True, "paused": True}, "halted by ann: fire drill"),
    ],
)
def test_a_halt_or_a_pause_closes_the_batch_and_says_whose(control, told):
    held = {"kill_switch_on": False, "paused": False} | control
    facts = replace(honest(), control=RunControl(**held, actor="ann", reason="fire drill", changed_at=NOON))

    assert closed_gates(facts) == ["trading_is_running"]
    assert closed(decision_gates(facts)) == f"trading_is_running: {told}"


def test_inputs_that_changed_since_the_decision_close_the_batch():
    facts = replace(honest(), inputs_sha="others")

    assert closed_gates(facts) == ["quotes_are_fresh"]
    gate = decision_gates(facts)[1]
    assert gate.detail.startswith("4 of 4 decisions were made on other inputs than stand now")
    assert gate.rows[0] == {"symbol": "SOLD", "decided_on": "inputs", "now": "others"}


def test_inputs_that_cannot_be_read_close_the_batch_with_the_reason():
    facts = replace(honest(), inputs_sha="", inputs_problem="quotes of 2013-02-27 are missing")

    assert closed(decision_gates(facts)) == "quotes_are_fresh: quotes of 2013-02-27 are missing"


def test_too_many_stale_quotes_close_the_batch():
    # 30 % may be stale: one of four is, two of four are not.
    assert closed_gates(honest(behind={"SMALL"})) == []

    facts = honest(behind={"SMALL", "LARGE"})
    assert closed_gates(facts) == ["quotes_are_fresh"]
    assert "2 of 4 intents stand on stale quotes: over 3000 bps" in closed(decision_gates(facts))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda row: [] if is_of(row, "SMALL", "symbol_cap") else [row], id="one missing"),
        pytest.param(lambda row: [row, row] if is_of(row, "SMALL", "kill_switch") else [row], id="one twice"),
        pytest.param(lambda row: [] if row.symbol == "SMALL" else [row], id="all missing"),
        pytest.param(
            lambda row: [row._replace(guard="paused")] if is_of(row, "SMALL", "quote_age") else [row],
            id="one under another name",
        ),
        pytest.param(
            lambda row: [row._replace(observed=1)] if is_of(row, "SMALL", "max_notional") else [row],
            id="one with another number",
        ),
    ],
)
def test_an_intent_without_exactly_the_verdicts_it_was_decided_on_closes_the_batch(change):
    facts = with_verdicts(honest(), change)

    assert closed_gates(facts) == ["every_intent_is_judged_by_every_guard"]
    assert [row["symbol"] for row in decision_gates(facts)[2].rows] == ["SMALL"]


def test_a_stopped_intent_whose_verdict_was_turned_is_found():
    facts = with_verdicts(
        honest(),
        lambda row: [row._replace(passed=True, reason="ok") if row.symbol == "HUGE" else row],
    )

    assert closed_gates(facts) == ["every_intent_is_judged_by_every_guard"]
    assert "HUGE other verdicts than it was decided on" in closed(decision_gates(facts))


@pytest.mark.parametrize(
    ("tampered", "told"),
    [
        (lambda facts: with_row(facts, "SMALL", quantity=49), "quantity 49, registered 50"),
        (lambda facts: with_row(facts, "SMALL", payload_hash="other"), "payload_hash other, registered "),
        (lambda facts: with_row(facts, "SMALL", side=Side.SELL), "side SELL, registered BUY"),
        (lambda facts: with_row(facts, "SMALL", symbol=Symbol("TINY")), "symbol TINY, registered SMALL"),
        (lambda facts: with_row(facts, "SMALL", price_micros=1), "price_micros 1, registered 100000000"),
        (lambda facts: with_row(facts, "SMALL", unadvised_quantity=0), "unadvised_quantity 0, registered 50"),
        (lambda facts: with_row(facts, "SMALL", lane="live"), "lane live, registered simulated"),
        (lambda facts: with_row(facts, "SMALL", account="OTHER"), "account OTHER, registered SIM"),
        (lambda facts: with_row(facts, "SMALL", limits_sha="other"), "limits_sha other, registered "),
        (
            lambda facts: with_registered(facts, "SMALL", inputs_sha="other"),
            "inputs_sha inputs, registered other",
        ),
        (
            lambda facts: with_registered(facts, "SMALL", not_after=NOON.replace(hour=3)),
            "not_after 2013-02-28 17",
        ),
        (lambda facts: with_row(facts, "SMALL", intent_id=IntentId("int-x")), "not registered"),
        (
            lambda facts: with_row(facts, "HUGE", outcome=Outcome.VETOED, quantity=1),
            "quantity 1, registered 0",
        ),
        (
            lambda facts: with_row(facts, "SMALL", outcome=Outcome.BLOCKED),
            "outcome blocked, registered state",
        ),
        (
            lambda facts: replace(facts, decisions=facts.decisions[:-1]),
            "HUGE registered but not in the table",
        ),
        (lambda facts: replace(facts, intents=facts.intents[1:]), "SOLD not registered"),
        (lambda facts: with_registered(facts, "SMALL", quantity=49), "quantity 50, registered 49"),
        (lambda facts: with_registered(facts, "SMALL", payload_hash="other"), "payload_hash"),
        (lambda facts: with_registered(facts, "SMALL", verdicts_sha="other"), "verdicts_sha"),
    ],
)
def test_a_table_that_differs_from_the_journal_closes_the_batch(tampered, told):
    facts = tampered(honest())

    assert closed_gates(facts) == ["decisions_match_the_journal"]
    assert told in closed(decision_gates(facts))


@pytest.mark.parametrize(
    "state",
    [
        IntentState.APPROVED,
        IntentState.REJECTED,
        IntentState.EXPIRED,
        IntentState.CANCELLED,
        IntentState.EXECUTING,
        IntentState.EXECUTED,
    ],
)
def test_what_people_and_execution_did_since_does_not_close_the_batch(state):
    assert closed_gates(with_registered(honest(), "LARGE", state=state)) == []


def test_a_stopped_intent_turned_into_an_approved_one_closes_the_batch():
    facts = with_row(honest(), "HUGE", outcome=Outcome.APPROVED, reason="within_policy", quantity=1_001)

    assert closed_gates(facts) == ["decisions_match_the_journal", "no_approved_intent_is_over_a_limit"]
    assert "HUGE max_notional_exceeded" in closed(decision_gates(facts))


def test_a_stopped_intent_turned_in_table_and_journal_alike_is_still_over_its_limit():
    facts = with_row(honest(), "HUGE", outcome=Outcome.PENDING_APPROVAL, quantity=1_001)
    facts = with_registered(facts, "HUGE", state=IntentState.PENDING_APPROVAL, quantity=1_001)

    assert closed_gates(facts) == ["no_approved_intent_is_over_a_limit"]


def test_an_intent_approved_past_the_person_it_needs_closes_the_batch():
    facts = with_row(honest(), "LARGE", outcome=Outcome.APPROVED)
    assert closed_gates(facts) == ["no_approved_intent_is_over_a_limit"]
    assert "LARGE approved above the automatic limit" in closed(decision_gates(facts))

    tightened = replace(LIMITS, auto_approve_notional_micros=4_999_999_999)
    assert closed_gates(replace(honest(), limits=tightened)) == ["no_approved_intent_is_over_a_limit"]


def test_a_repeated_intent_closes_the_batch():
    facts = honest()
    facts = replace(facts, decisions=(*facts.decisions, facts.decisions[1]))

    assert closed_gates(facts) == ["no_intent_is_executed_twice"]
    assert "SMALL intent id twice" in closed(decision_gates(facts))


def test_two_orders_of_one_intent_and_generation_close_the_batch():
    facts = honest()
    intent_id = facts.decisions[0].intent_id

    replaced = replace(facts, orders=[*facts.orders, order(intent_id, generation=1)])
    assert closed_gates(replaced) == []
    twice = replace(facts, orders=[*facts.orders, order(intent_id)])
    assert closed_gates(twice) == ["no_intent_is_executed_twice"]
    assert "two orders" in closed(decision_gates(twice))


def test_every_closed_gate_is_named():
    facts = replace(honest(), inputs_sha="others", orders=[*honest().orders] * 2)

    told = closed(decision_gates(facts))

    assert told.startswith("quotes_are_fresh: 4 of 4")
    assert "; no_intent_is_executed_twice: 2 repeated" in told
