"""What an operator sees and does of orders at a broker: stuck, parked, halted, cancelled, concluded.

In process on a real journal; what is asked of a broker is in tests/graph/test_operator_at_the_desk.py.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.console.states import (
    CLOSE,
    NOW,
    OF,
    OPEN,
    OPENED,
    PASSED,
    SESSION,
    a_filled_intent,
    a_pending_intent,
    decided,
    filled,
    prepared,
    verdicts_on,
)
from tests.console.test_command_line import empty_journal, journal, ledger, speak, state
from trading.decisions import Outcome
from trading.journal import CancelKind, RunControlAction
from trading.lifecycle import IntentState
from trading.orders import BrokerOrder, OrderStatus
from trading.testing import example_decision, example_intent, reconciled_term

__all__ = ["empty_journal", "journal", "ledger", "speak", "state"]

ACCOUNT = "SIM-FIVE"


def a_prepared_intent(journal):
    """Give an intent whose order is on disk, its epoch and its order."""
    intent = example_intent("AAPL", quantity=10)
    decision = example_decision(intent, not_after=CLOSE, account=ACCOUNT)
    (row,) = decided(journal, decision, verdicts=verdicts_on(intent))
    term = reconciled_term(journal, account=row.account, lane=row.lane, now=OPEN)
    claimed = journal.claim(row.intent_id, version=row.version, term=term, holder="test", now=OPEN)
    prepared = journal.prepare(
        row.intent_id,
        epoch=claimed.epoch,
        term=term,
        book_at_open=OPENED,
        review=lambda *_: PASSED,
        send_by=CLOSE,
        is_live=False,
        now=OPEN,
    )
    return prepared.intent, prepared.order


def a_working_intent(journal):
    row, order = a_prepared_intent(journal)
    at_broker = BrokerOrder(
        broker_order_id="b-77",
        client_order_id=order.client_order_id,
        symbol=row.intent.symbol,
        side=row.intent.side,
        quantity=10,
        filled_quantity=0,
        status=OrderStatus.WORKING,
    )
    return journal.acknowledge(row.intent_id, epoch=row.epoch, order=at_broker, now=OPEN), order


def a_parked_intent(journal, *, absences):
    row, order = a_prepared_intent(journal)
    unknown = journal.mark_unknown(
        row.intent_id, epoch=row.epoch, reason="TimeoutError", is_takeover=False, now=OPEN
    )
    for look in range(absences):
        # Looked for long enough apart, once nothing can arrive any more.
        at = CLOSE + timedelta(minutes=5 * look + 5)
        journal.record_absence(row.intent_id, epoch=unknown.epoch, now=at)
    return journal.park(row.intent_id, epoch=unknown.epoch, reason="dedup_not_for_all_time", now=OPEN), order


# ------------------------------------------------------------------------------------- stuck


def test_where_nothing_is_on_its_way_nothing_is_stuck(speak, journal):
    a_filled_intent(journal)

    spoken = speak("stuck")

    assert spoken.code == 0
    assert "nothing is stuck" in spoken.out


def test_a_send_that_was_never_proven_is_stuck_and_says_what_to_do(speak, journal):
    row, order = a_prepared_intent(journal)

    spoken = speak("stuck", "--json")

    assert spoken.code == 3
    (item,) = spoken.json["items"]
    assert (item["intent_id"], item["state"]) == (row.intent_id, "executing (prepared)")
    assert item["client_order_id"] == order.client_order_id
    assert item["for_s"] == int((CLOSE + timedelta(minutes=30) - OPEN).total_seconds())
    assert item["next"] == "trading reconcile --book us_five"


def test_an_unproven_order_of_a_simulated_day_is_led_to_what_ends_it_not_in_a_circle(speak, journal):
    row, _ = a_prepared_intent(journal)
    journal.mark_unknown(row.intent_id, epoch=row.epoch, reason="TimeoutError", is_takeover=False, now=OPEN)

    (item,) = speak("stuck", "--json").json["items"]

    run = f"trading run-once --book us_five --session {SESSION}"
    assert (item["next"], item["again"]) == (run, run)
    # Looks at one instant count as well: it is the means to send that a reconciliation lacks.
    assert item["not_yet"].startswith("`trading reconcile` asks the broker, and can send nothing again; ")
    assert "after `trading halt` ends it unsent" in item["not_yet"]


def test_shares_that_nobody_knows_to_be_sent_are_told_as_such(speak, journal):
    def sent():
        head, line = [one for one in speak("orders").out.splitlines() if "side" in one or "AAPL" in one]
        begins = head.index("sent")
        return line[begins : begins + len("sent")].strip()

    row, _ = a_prepared_intent(journal)
    prepared_only = sent()
    journal.mark_unknown(row.intent_id, epoch=row.epoch, reason="TimeoutError", is_takeover=False, now=OPEN)

    assert (prepared_only, sent()) == ("?", "?")


def test_shares_that_a_broker_acknowledged_were_sent(speak, journal):
    a_working_intent(journal)

    assert (
        " 10 "
        in next(line for line in speak("orders").out.splitlines() if "AAPL" in line).split("working")[-1]
    )


def test_only_what_is_stuck_for_long_enough_is_listed(speak, journal):
    a_prepared_intent(journal)

    assert speak("stuck", "--older-than", "25200").code == 3
    assert speak("stuck", "--older-than", "25201").code == 0


def test_a_working_order_is_stuck_only_after_its_intents_time_is_over(speak, journal):
    a_working_intent(journal)

    spoken = speak("stuck", "--older-than", "1800")

    assert spoken.code == 3
    assert "trading orders cancel" in spoken.out
    assert speak("stuck", "--older-than", "1801").code == 0


def test_a_parked_intent_is_stuck_however_fresh_it_is(speak, journal):
    row, _ = a_parked_intent(journal, absences=0)

    spoken = speak("stuck", "--older-than", "1000000")

    assert spoken.code == 3
    assert f"trading intents conclude {row.intent_id} --absent" in spoken.out
    assert "sending again could double the order" in spoken.out
    assert "absent 0 times at the broker; 3 prove it" in spoken.out


def parked_and_looked_for(journal, *looks):
    """Give a parked intent that the broker did not know at some times."""
    row, _ = a_prepared_intent(journal)
    unknown = journal.mark_unknown(row.intent_id, epoch=row.epoch, reason="x", is_takeover=False, now=OPEN)
    for at in looks:
        journal.record_absence(row.intent_id, epoch=unknown.epoch, now=at)
    return journal.park(row.intent_id, epoch=unknown.epoch, reason="dedup_not_for_all_time", now=OPEN)


def test_what_cannot_be_concluded_yet_is_refused_before_anybody_is_asked(speak, journal, monkeypatch):
    asked = []
    monkeypatch.setattr("typer.confirm", lambda *words, **_: asked.append(words))
    at_the_end = CLOSE + timedelta(minutes=4)
    row = parked_and_looked_for(journal, at_the_end, at_the_end, at_the_end)

    refused = speak("intents", "conclude", row.intent_id, "--absent", "--reason", "looked")
    stuck = speak("stuck")
    (item,) = speak("stuck", "--json").json["items"]

    again = "trading run-once --book us_five --session 2013-02-28"
    assert (refused.code, asked) == (4, [])
    assert "it may have arrived since it was last looked for" in refused.err
    assert f"`{again}` does so" in refused.err
    assert f"next:\n  {again}\n" in stuck.out
    assert item["not_yet"] in refused.err
    assert item["again"] == again


def test_what_can_be_concluded_says_nothing_against_it(speak, journal):
    a_parked_intent(journal, absences=3)

    (item,) = speak("stuck", "--json").json["items"]

    assert (item["not_yet"], item["again"]) == ("", "trading reconcile --book us_five")


def test_the_incident_of_a_parked_intent_says_what_it_holds_up_until_it_is_over(speak, journal):
    row, _ = a_parked_intent(journal, absences=3)
    open_, status = speak("incidents"), speak("status")
    speak("intents", "conclude", row.intent_id, "--absent", "--reason", "looked twice", "--yes")

    held = "the session 2013-02-28 of us_five: it is not settled before this intent has ended"
    assert f"holds         {held}" in open_.out
    assert f"holds {held}" in status.out
    assert "holds" not in speak("incidents").out


def test_an_order_that_was_sent_and_ended_without_a_fill_is_not_told_as_unsent(speak, journal):
    row, _ = a_parked_intent(journal, absences=3)
    speak("intents", "conclude", row.intent_id, "--absent", "--reason", "looked twice", "--yes")

    funnel = speak("status", "--json").json["books"][0]["funnel"]

    assert (funnel["approved"], funnel["filled"], funnel["unfilled"], funnel["ended"]) == (1, 0, 1, 0)
    assert "1 approved → 0 filled → 1 ended unfilled" in speak("status").out


def test_an_order_that_the_broker_refused_is_told_as_ended_unfilled(speak, journal):
    row, _ = a_prepared_intent(journal)
    journal.refuse(row.intent_id, epoch=row.epoch, reason="no money", now=OPEN)

    assert "1 approved → 0 filled → 1 ended unfilled" in speak("status").out


def test_orders_of_a_date_that_is_no_session_are_refused_with_why(speak, journal):
    a_filled_intent(journal)

    refused = speak("orders", "--book", "us_five", "--session", "2013-03-02")

    assert refused.code == 2
    assert "2013-03-02 is no session of XNYS: weekend" in refused.err


def test_the_reason_of_a_filled_order_is_what_it_was_sent_on_and_by_whom(speak, journal):
    intent = example_intent("AAPL", quantity=10)
    asked = example_decision(intent, outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
    (row,) = decided(journal, asked, verdicts=verdicts_on(intent))
    words = {"nonce": "n", "actor": "anna", "reason": "fine", "now": NOW}
    approved = journal.approve(row.intent_id, version=row.version, payload_hash=row.payload_hash, **words)
    claimed, order = prepared(journal, approved)
    journal.mark_unknown(row.intent_id, epoch=claimed.epoch, reason="AnswerLost", is_takeover=False, now=OPEN)
    filled(journal, claimed, order)

    (line,) = speak("orders", "--book", "us_five", "--json").json["books"][0]["orders"]

    assert (line["state"], line["by"], line["reason"]) == ("executed", "anna", "fine")
    assert "anna: fine" in speak("orders", "--book", "us_five").out


# ------------------------------------------------------------------------------------- parked


def test_a_parked_intent_that_was_absent_often_enough_ends_by_a_persons_word(speak, journal):
    row, order = a_parked_intent(journal, absences=3)

    spoken = speak("intents", "conclude", "AAPL@2013-02-28", "--absent", "--reason", "looked twice", "--yes")

    assert spoken.code == 0, spoken.err
    after = journal.intent(row.intent_id)
    assert (after.state, after.actor, after.reason) == (IntentState.EXPIRED, "anna", "looked twice")
    assert [watched.client_order_id for watched in journal.watched(account=ACCOUNT, since=SESSION)] == [
        order.client_order_id
    ]
    assert "trading run-once --book us_five --session 2013-02-28" in spoken.out


def test_what_no_query_proves_ends_by_the_word_of_a_person_who_says_that_it_is_theirs(speak, journal):
    row, _ = a_parked_intent(journal, absences=1)
    words = ("intents", "conclude", row.intent_id, "--absent", "--reason", "they rang me", "--yes")

    assert speak(*words).code == 4
    assert speak(*words, "--on-my-word").code == 0

    assert journal.intent(row.intent_id).state is IntentState.EXPIRED


@pytest.mark.parametrize(
    ("make", "words", "refusal"),
    [
        (lambda journal: a_parked_intent(journal, absences=2), ("--absent",), (4, "absent 2 times")),
        (a_working_intent, ("--absent",), (4, "not parked")),
        (lambda journal: a_parked_intent(journal, absences=3), (), (2, "say --absent")),
    ],
    ids=["absent too seldom", "not parked", "not said"],
)
def test_nothing_is_concluded_that_is_not_proven(speak, journal, make, words, refusal):
    row, _ = make(journal)
    code, said = refusal

    spoken = speak("intents", "conclude", row.intent_id, "--reason", "looked", "--yes", *words)

    assert (spoken.code, said in spoken.err) == (code, True), spoken.err
    assert journal.intent(row.intent_id).state.is_open


def test_without_a_yes_a_parked_intent_stays_and_what_the_broker_said_was_shown(speak, journal, monkeypatch):
    row, order = a_parked_intent(journal, absences=3)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    spoken = speak("intents", "conclude", row.intent_id, "--absent", "--reason", "looked")

    assert spoken.code == 1
    assert order.client_order_id in spoken.err
    assert "3 times" in spoken.err
    assert journal.intent(row.intent_id).state is IntentState.UNKNOWN


# ------------------------------------------------------------------------------------- cancel, replace


def test_an_intent_that_was_never_sent_is_cancelled_at_once(speak, journal):
    row = a_pending_intent(journal)

    spoken = speak("orders", "cancel", "AAPL@2013-02-28", "--reason", "wrong size", "--yes", "--json")

    assert spoken.code == 0
    assert (spoken.json["state"], spoken.json["client_order_id"]) == ("cancelled", "")
    after = journal.intent(row.intent_id)
    assert (after.state, after.actor, after.reason) == (IntentState.CANCELLED, "anna", "wrong size")


@pytest.mark.parametrize(
    ("make", "verb", "said"),
    [
        (lambda journal: (a_pending_intent(journal),), "replace", "was never sent"),
        (a_filled_intent, "cancel", "nothing is left to cancel"),
        (a_prepared_intent, "cancel", "not proven, so there is no order to cancel yet"),
        (lambda journal: a_parked_intent(journal, absences=0), "replace", "not proven"),
    ],
    ids=["replace unsent", "cancel filled", "cancel prepared", "replace parked"],
)
def test_what_cannot_be_cancelled_is_refused_and_says_why(speak, journal, make, verb, said):
    row = make(journal)[0]
    before = journal.intent(row.intent_id)

    spoken = speak("orders", verb, row.intent_id, "--reason", "because", "--yes")

    assert (spoken.code, said in spoken.err) == (4, True), spoken.err
    assert journal.intent(row.intent_id) == before


def test_a_cancel_is_asked_for_once(speak, journal):
    row, _ = a_working_intent(journal)
    journal.ask_cancel(
        row.intent_id, epoch=row.epoch, kind=CancelKind.CANCEL, actor="bert", reason="first", now=OPEN
    )

    spoken = speak("orders", "cancel", row.intent_id, "--reason", "second", "--yes")

    assert spoken.code == 4
    assert "cancel was asked for at 2013-02-28 14:30:00 UTC already" in spoken.err


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("kind", [CancelKind.REPLACE, CancelKind.EXPIRY])
def test_a_person_who_wants_an_order_stopped_wins_over_a_replacement_and_an_expiry(speak, journal, kind):
    row, _ = a_working_intent(journal)
    journal.ask_cancel(row.intent_id, epoch=row.epoch, kind=kind, actor="bert", reason="first", now=OPEN)

    spoken = speak("orders", "cancel", row.intent_id, "--reason", "stop it", "--yes")

    assert spoken.code in {0, 3}, spoken.err
    order = journal.order_of(row.intent_id)
    assert order is not None
    assert order.cancel_kind is CancelKind.CANCEL


@pytest.mark.parametrize("verb", ["cancel", "replace"])
def test_without_a_reason_or_a_yes_no_order_is_touched(speak, journal, monkeypatch, verb):
    row, _ = a_working_intent(journal)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    assert speak("orders", verb, row.intent_id).code == 2
    assert speak("orders", verb, row.intent_id, "--reason", " ", "--yes").code == 2
    assert speak("orders", verb, row.intent_id, "--reason", "because").code == 1
    assert journal.order_of(row.intent_id).cancel_asked_at is None


# ------------------------------------------------------------------------------------- halts


def halted(journal, symbol=""):
    journal.record_finding(
        kind="position_mismatch" if symbol else "zombie",
        account=ACCOUNT,
        symbol=symbol,
        intent_id="",
        detail="IBM: book 5, broker 4",
        is_standing=False,
        now=OPEN,
    )


def test_status_lists_what_a_finding_halted_and_how_it_is_lifted(speak, journal):
    halted(journal, "IBM")
    halted(journal)

    spoken = speak("status")

    assert spoken.code == 3
    assert "account SIM-FIVE is halted since 2013-02-28 14:30:00 UTC, zombie: IBM" in spoken.out
    assert "IBM of SIM-FIVE is halted" in spoken.out
    assert "trading resume --account SIM-FIVE --reason TEXT" in spoken.out
    assert [row["symbol"] for row in speak("status", "--json").json["halts"]] == ["", "IBM"]


def test_status_says_when_journal_and_broker_were_last_brought_together(speak, journal):
    a_filled_intent(journal)

    spoken = speak("status", "--book", "us_five")

    assert "reconciled    2013-02-28 14:30:00 UTC" in spoken.out


def test_a_halt_of_another_books_account_is_none_of_this_book(speak, journal):
    halted(journal)

    assert speak("status", "--book", "us_wide", "--json").json["halts"] == []


def test_a_person_lifts_the_halt_of_an_instrument_and_the_accounts_stays(speak, journal):
    halted(journal, "IBM")
    halted(journal)

    spoken = speak(
        "resume", "--account", ACCOUNT, "--symbol", "IBM", "--reason", "the transfer is booked", "--yes"
    )

    assert spoken.code == 0
    assert [(halt.account, halt.symbol) for halt in journal.halts()] == [(ACCOUNT, "")]
    lifted = journal.events(after=0, limit=1000)[-1]
    assert (lifted.kind, lifted.actor, lifted.reason) == ("halt_lifted", "anna", "the transfer is booked")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--account", "NOBODY"), "halt of NOBODY: there is none"),
        (("--account", ACCOUNT, "--symbol", "AAPL"), "halt of SIM-FIVE AAPL: there is none"),
        (("--symbol", "IBM"), "name its account as well"),
    ],
)
def test_a_halt_that_is_not_there_cannot_be_lifted(speak, journal, words, said):
    halted(journal, "IBM")

    spoken = speak("resume", *words, "--reason", "over", "--yes")

    assert (spoken.code, said in spoken.err) == (2, True), spoken.err
    assert len(journal.halts()) == 1


def test_lifting_an_accounts_halt_leaves_the_kill_switch_on(speak, journal):
    halted(journal)
    journal.set_run_control(RunControlAction.HALT, actor="bert", reason="drill", now=NOW)

    assert speak("resume", "--account", ACCOUNT, "--reason", "looked", "--yes").code == 0

    assert journal.halts() == []
    assert journal.run_control().kill_switch_on


# ------------------------------------------------------------------------------------- why, explain, trace


def test_why_names_the_halt_of_the_account(speak, journal):
    decided(journal, example_decision(example_intent("AAPL"), not_after=CLOSE, account=ACCOUNT))
    halted(journal)

    spoken = speak("why", "--book", "us_five")

    assert spoken.code == 3
    assert "stopped at reconciliation: account SIM-FIVE halted since" in spoken.out


def test_why_names_the_halted_instrument(speak, journal):
    decided(journal, example_decision(example_intent("IBM"), not_after=CLOSE, account=ACCOUNT))
    halted(journal, "IBM")

    assert "IBM halted: position_mismatch: IBM: book 5, broker 4" in speak("why", "--book", "us_five").out


def test_why_names_the_outcome_that_is_not_proven(speak, journal):
    a_parked_intent(journal, absences=1)

    spoken = speak("why", "--book", "us_five")

    assert spoken.code == 3
    assert "stopped at executed: outcome not proven: 1 this broker may forget order ids" in spoken.out
    assert "(dedup_not_for_all_time)" in spoken.out
    assert "trading stuck" in spoken.out


@pytest.mark.parametrize("verb", ["trace", "explain"])
def test_what_was_found_and_halted_about_an_intent_is_told_with_it(speak, journal, verb):
    row, _ = a_parked_intent(journal, absences=1)
    halted(journal)

    spoken = speak(verb, row.intent_id)

    assert "halted: SIM-FIVE since 2013-02-28 14:30:00 UTC: zombie" in spoken.out
    assert "(dedup_not_for_all_time) → search the broker" in spoken.out


@pytest.mark.parametrize("verb", ["trace", "explain"])
def test_each_generation_of_a_replaced_order_is_told(speak, journal, verb):
    row, order = a_working_intent(journal)
    asked = journal.ask_cancel(
        row.intent_id, epoch=row.epoch, kind=CancelKind.REPLACE, actor="anna", reason="stale", now=OPEN
    )
    ended = BrokerOrder(
        broker_order_id="b-77",
        client_order_id=order.client_order_id,
        symbol=row.intent.symbol,
        side=row.intent.side,
        quantity=10,
        filled_quantity=0,
        status=OrderStatus.CANCELLED,
    )
    replaced = journal.prepare_replacement(
        row.intent_id,
        epoch=asked.epoch,
        term=reconciled_term(journal, account=row.account, lane=row.lane, now=OPEN),
        ended=ended,
        book_at_open=OPENED,
        review=lambda *_: PASSED,
        send_by=CLOSE,
        is_live=False,
        now=OPEN,
    )

    spoken = speak(verb, row.intent_id)

    assert f"generation 0: {order.client_order_id}, cancelled, 0 of 10 filled, replace asked" in spoken.out
    assert f"generation 1: {replaced.order.client_order_id}, prepared, 0 of 10 filled" in spoken.out


@pytest.mark.parametrize("verb", ["trace", "explain"])
def test_an_execution_that_the_broker_took_back_is_told(speak, journal, verb):
    row, _, fill = a_filled_intent(journal)
    journal.record_bust(
        execution_id="bust-1", takes_back=fill.execution_id, intent_id=row.intent_id, now=OPEN
    )

    assert "taken back by the broker: execution exe-123456" in speak(verb, row.intent_id).out


def test_orders_alone_still_lists_and_its_help_teaches_what_acts(speak, journal):
    a_working_intent(journal)

    listed = speak("orders", "--book", "us_five", "--json").json["books"][0]["orders"]

    assert [(row["order_status"], row["state"]) for row in listed] == [("working", "executing (working)")]
    assert OF["book"] == "us_five"
    told = speak("orders", "--help").out
    assert "cancel" in told
    assert "replace" in told
