"""The morning check tells all that needs a person: stuck sends, approved intents nobody sends, incidents.

In process on a real journal; what the desk looks like is states.py.
"""

from __future__ import annotations

import pytest

from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.audit_log import project
from tests.console.states import (
    CLOSE,
    NOW,
    OF,
    OPEN,
    OPENED,
    SESSION,
    a_filled_intent,
    a_parked_intent,
    a_prepared_intent,
    an_approved_intent,
    concluded_absent,
    prepared,
)
from tests.console.test_command_line import empty_journal, journal, lake, ledger, speak, state
from tests.graph.desk import CONFIG
from trading.alerts import STUCK as STUCK_ALERT
from trading.alerts import evaluate_watched, judged_watched, tell
from trading.journal import RunControlAction
from trading.orders import BrokerOrder, OrderStatus
from trading.testing import reconciled_term
from trading_assets.tables import ROW_TYPES

__all__ = ["empty_journal", "journal", "lake", "ledger", "speak", "state"]

ACCOUNT = "SIM-FIVE"


pytestmark = pytest.mark.usefixtures("ledger")


def a_claimed_intent(journal):
    row = an_approved_intent(journal)
    term = reconciled_term(journal, account=row.account, lane=row.lane, now=OPEN)
    return journal.claim(row.intent_id, version=row.version, term=term, holder="test", now=OPEN)


def an_acknowledged_intent(journal):
    row, order = prepared(journal, an_approved_intent(journal))
    working = BrokerOrder(
        broker_order_id="b-77",
        client_order_id=order.client_order_id,
        symbol=row.intent.symbol,
        side=row.intent.side,
        quantity=row.quantity,
        filled_quantity=0,
        status=OrderStatus.WORKING,
    )
    return journal.acknowledge(row.intent_id, epoch=row.epoch, order=working, now=OPEN)


STUCK = {
    "claimed": a_claimed_intent,
    "prepared": a_prepared_intent,
    "acknowledged": an_acknowledged_intent,
    "parked": a_parked_intent,
}


@pytest.mark.parametrize("make", STUCK.values(), ids=STUCK)
def test_status_tells_of_all_that_is_stuck_with_the_command_that_comes_next(speak, journal, make):
    make(journal)
    (item,) = speak("stuck", "--json").json["items"]

    spoken = speak("status")

    assert spoken.code == 3
    assert spoken.out.startswith("ATTENTION: us_five")
    assert "`trading stuck --book us_five`" in spoken.out
    assert item["next"] in spoken.out
    assert speak("status", "--json").json["stuck"] == [item]


def test_an_approved_intent_that_nobody_sends_is_told_with_the_command_that_sends_it(speak, journal):
    an_approved_intent(journal)

    spoken = speak("status")

    assert spoken.code == 3
    assert spoken.out.startswith(
        "ATTENTION: us_five 2013-02-28: 1 approved, not sent, until 2013-02-28 21:00"
    )
    assert "trading run-once --book us_five --session 2013-02-28 --phase execute" in spoken.out


def test_the_list_of_approvals_tells_what_is_approved_and_not_sent(speak, journal):
    an_approved_intent(journal)

    spoken = speak("approvals", "list")

    assert spoken.code == 3
    assert "us_five 2013-02-28: 1 approved, not sent" in spoken.out
    assert "trading run-once --book us_five --session 2013-02-28 --phase execute" in spoken.out
    assert speak("approvals", "list", "--json").json["unsent"][0]["count"] == 1


# ------------------------------------------------------------------------------------- incidents


def a_finding(journal, *, detail="2 IBM there, 0 here", symbol=""):
    journal.record_finding(
        kind="position_mismatch",
        account=ACCOUNT,
        symbol=symbol,
        intent_id="",
        detail=detail,
        is_standing=True,
        now=NOW,
    )


def test_a_lifted_halt_answers_the_finding_that_it_named(speak, journal):
    a_filled_intent(journal)
    a_finding(journal)
    before, listed = speak("status"), speak("incidents")

    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="the transfer is booked", now=OPEN)
    after, answered = speak("status"), speak("incidents", "--json")

    assert (before.code, listed.code, after.code, answered.code) == (3, 3, 0, 0)
    assert after.out.startswith("ALL WELL")
    assert "OPEN: position_mismatch: 2 IBM there, 0 here" in listed.out
    (item,) = answered.json["items"]
    assert (item["is_open"], item["halts"], item["answered_by"]) == (False, ACCOUNT, "ben")
    assert item["answer"] == "lifted: the transfer is booked"


def test_a_finding_that_halts_again_after_it_was_lifted_is_open_again(speak, journal):
    a_filled_intent(journal)
    a_finding(journal)
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="gone", now=OPEN)

    a_finding(journal)

    assert (speak("status").code, speak("incidents").code) == (3, 3)


def test_an_incident_that_somebody_looks_after_is_told_with_their_name_and_stays_open(speak, journal):
    a_filled_intent(journal)
    a_finding(journal)

    listed = speak("incidents")
    taken_on = speak("incidents", "ack", "1", "--reason", "calling the broker", "--as", "cleo")
    taken_over = speak("incidents", "ack", "1", "--reason", "my shift", "--as", "dan")

    assert "trading incidents ack 1 --reason TEXT" in listed.out
    assert "acknowledged by nobody" in " ".join(listed.out.split())
    assert (taken_on.code, taken_over.code, speak("incidents").code) == (0, 0, 3)
    assert "cleo at" in taken_on.out
    assert "2 IBM there, 0 here (acknowledged by dan)" in speak("status").out
    (item,) = speak("incidents", "--json").json["items"]
    assert (item["is_open"], item["acknowledged_by"], item["acknowledgement"]) == (True, "dan", "my shift")
    standing = {row["invariant"]: row["standing"] for row in speak("verify", "--json").json["invariants"]}
    assert (standing["INV6"], standing["INV7"]) == ("held", "held")


def test_an_incident_that_was_answered_is_not_acknowledged_any_more(speak, journal):
    a_filled_intent(journal)
    a_finding(journal)
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=OPEN)

    spoken = speak("incidents", "ack", "1", "--reason", "late")

    assert spoken.code == 4
    assert "was answered by ben at 2013-02-28 14:30:00 UTC (lifted: booked)" in spoken.err
    assert speak("incidents", "ack", "2", "--reason", "which?").code == 2


def test_a_halt_lifted_elsewhere_answers_nothing_here(speak, journal):
    a_filled_intent(journal)
    a_finding(journal, symbol="IBM")
    a_finding(journal, detail="1 USD there, 2 here")
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=OPEN)

    found = {row["halts"]: row["is_open"] for row in speak("incidents", "--json").json["items"]}

    assert found == {f"{ACCOUNT} IBM": True, ACCOUNT: False}
    assert speak("status").code == 3


def test_a_resume_answers_the_incident_that_halted_everything(speak, journal):
    a_filled_intent(journal)
    journal.record_incident(
        kind="chain_broken", account=ACCOUNT, intent_id="", detail="line 7", is_halting=True, now=NOW
    )
    assert (speak("status").code, speak("incidents").code) == (5, 3)

    journal.set_run_control(RunControlAction.RESUME, actor="ben", reason="restored", now=OPEN)

    assert (speak("status").code, speak("incidents").code) == (0, 0)


def test_an_incident_of_an_intent_is_open_until_the_intent_has_ended(speak, journal):
    row = a_parked_intent(journal)
    before = speak("incidents", "--json").json["items"]

    concluded_absent(journal, row, now=OPEN)
    after = speak("incidents", "--json").json["items"]

    assert [(item["kind"], item["is_open"]) for item in before] == [("parked", True)]
    assert [(item["is_open"], item["answered_by"]) for item in after] == [(False, "ben")]


def test_an_incident_that_halts_nothing_is_open_until_a_session_is_settled_since(speak, journal, lake, state):
    a_filled_intent(journal)
    settled_in_the_lake(lake)
    journal.record_incident(
        kind="foreign_order", account=ACCOUNT, intent_id="", detail="who?", is_halting=False, now=OPEN
    )
    before = speak("status")

    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)
    project(journal, state / "simulated" / "audit.jsonl")

    assert before.code == 3
    assert "incident 1 of SIM-FIVE, foreign_order: who?" in before.out
    assert "trading incidents" in before.out
    assert (speak("status").code, speak("incidents").code) == (0, 0)


def settled_in_the_lake(lake):
    """Let the lake have something that a settled session leaves there."""
    lake.write_rows(("us_five", "positions"), str(SESSION), ROW_TYPES["positions"], [])


@pytest.mark.parametrize("asked", [(), ("--session", str(SESSION))])
def test_a_settled_session_whose_tables_are_gone_is_not_well(speak, journal, lake, state, asked):
    a_filled_intent(journal)
    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)
    project(journal, state / "simulated" / "audit.jsonl")

    gone = speak("status", *asked)
    settled_in_the_lake(lake)
    put_back = speak("status", *asked)

    assert gone.code == 3
    assert gone.out.startswith(
        "ATTENTION: the lake has no table of us_five 2013-02-28, which is settled: put it back"
    )
    assert gone.out.count("the lake has no table") == 2
    assert "trading verify\n  trading doctor" in gone.out
    assert put_back.code == 0


def test_each_finding_of_a_halt_has_a_line_of_its_own(speak, journal):
    a_filled_intent(journal)
    journal.record_finding(
        kind="position_mismatch",
        account=ACCOUNT,
        symbol="",
        intent_id="",
        detail="2 IBM there | cash_mismatch: 1 USD there",
        is_standing=True,
        now=NOW,
    )

    lines = [line for line in speak("status").out.splitlines() if line.startswith("  ! account")]

    assert [line.rpartition("UTC, ")[2] for line in lines] == [
        "position_mismatch: 2 IBM there",
        "cash_mismatch: 1 USD there",
    ]


# ------------------------------------------------------------------------------------- no session


@pytest.mark.parametrize(
    ("on", "why"),
    [
        ("2013-02-18", "2013-02-18 is no session of XNYS: "),
        ("2013-02-17", "2013-02-17 is no session of XNYS: weekend"),
        ("1950-01-03", "1950-01-03 is no session of XNYS: the calendar covers "),
    ],
)
def test_a_date_without_a_session_is_told_with_its_reason(speak, journal, on, why):
    a_filled_intent(journal)

    spoken = speak("status", "--session", on)

    assert spoken.code == 0
    assert spoken.out.startswith(f"CLOSED: {why}")
    assert "nothing yet" not in spoken.out
    assert SESSION.isoformat() not in spoken.out


def test_one_of_anything_is_told_in_the_singular(speak, journal):
    a_filled_intent(journal)

    assert "→ 1 intent →" in speak("status").out


def test_messages_that_wait_and_those_given_up_are_told_with_the_last_reason(journal, speak):
    a_filled_intent(journal)
    for key, channel, severity in (
        ("one", "webhook", "critical"),
        ("two", "webhook", "critical"),
        ("three", "email", "warning"),
        ("four", "stdout", "critical"),
    ):
        journal.enqueue(dedup_key=key, channel=channel, severity=severity, subject=key, body="", now=NOW)
    for reason, severity in (("http_error", None), ("missing_webhook_url", "warning")):
        for message in journal.lease(now=NOW, lease_s=9, limit=3):
            journal.mark(
                message.outbox_id,
                attempt=message.attempts,
                is_delivered=False,
                reason="provider_none" if message.channel == "email" else reason,
                retry_at=None if message.severity == severity else NOW,
                now=NOW,
            )

    view, text = speak("status", "--json").json, speak("status").out

    assert view["undelivered_alerts"] == 3
    assert view["waiting_alerts"] == {"stdout: no attempt": 1, "webhook: missing_webhook_url": 2}
    assert view["given_up_alerts"] == {"email: provider_none": 1}
    assert "2 messages not delivered yet over webhook: missing_webhook_url; set TRADING_WEBHOOK_URL" in text
    assert "1 message not told over email: provider_none; set TRADING_EMAIL_URL" in text


def test_a_critical_alert_that_fires_needs_a_person_until_one_has_taken_it_on(journal, speak):
    a_filled_intent(journal)
    policy = load_alert_policy(CONFIG / "alerts.toml")
    watched = {STUCK_ALERT: 1}
    tell(
        evaluate_watched(watched, policy.rules, book="us_five", session=SESSION),
        codes=judged_watched(watched, policy.rules),
        keeper=JournalAlerts(journal),
        policy=policy,
        book="us_five",
        session=SESSION,
        now=NOW,
    )
    alone = speak("status")
    acked = speak("alerts", "ack", "intents_stuck", "--reason", "looking", "--as", "anna")
    assert acked.code == 0, acked
    known = speak("status")

    assert alone.code == 3
    assert alone.out.startswith("ATTENTION: us_five 2013-02-28: ")
    assert "trading alerts show" in alone.out
    assert known.code == 0
