"""Incidents as the console tells of them: which is open, what answered it first, and how long what took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from tests.console.states import CLOSE, NOW, OF, OPEN, OPENED, SESSION
from tests.console.test_command_line import empty_journal, journal, speak, state
from tests.graph.desk import CONFIG
from trading.alerts import MISSED, evaluate_watched, judged_watched
from trading.testing import reconciled_term

__all__ = ["empty_journal", "journal", "speak", "state"]

ACCOUNT = "SIM-FIVE"
MONDAY = datetime(2013, 3, 4, 14, 0, tzinfo=UTC)


def settled(journal, session, *, previous, at):
    of = {**OF, "session": session}
    journal.opening_book(**of, previous=previous, opened=OPENED, now=at)
    journal.settle(**of, closing=OPENED, carried_by="ben", now=at)


def a_finding(journal, *, now=NOW):
    journal.record_finding(
        kind="cash_mismatch",
        account=ACCOUNT,
        symbol="",
        intent_id="",
        detail="2 USD there",
        is_standing=True,
        now=now,
    )


def test_the_first_settlement_since_answers_an_incident_and_later_ones_change_nothing(speak, journal):
    journal.record_incident(
        kind="foreign_order", account=ACCOUNT, intent_id="", detail="who?", is_halting=False, now=OPEN
    )
    settled(journal, SESSION, previous=SESSION - timedelta(days=1), at=CLOSE)
    after_one = speak("incidents", "show", "1", "--json").json
    levels = speak("slo", "--json").json
    settled(journal, SESSION + timedelta(days=1), previous=SESSION, at=CLOSE + timedelta(days=1))
    after_two = speak("incidents", "show", "1", "--json").json

    assert after_one["recover_s"] == int((CLOSE - OPEN).total_seconds())
    assert after_two["recover_s"] == after_one["recover_s"]
    assert after_two["incident"]["answer"] == f"session {SESSION} settled since"
    assert speak("slo", "--json").json["recovery_s_p95"] == levels["recovery_s_p95"] == 23_400


def test_what_a_person_resolves_before_the_settlement_is_over_from_then_on(speak, journal):
    journal.record_incident(
        kind="foreign_order", account=ACCOUNT, intent_id="", detail="who?", is_halting=False, now=OPEN
    )
    at = OPEN + timedelta(seconds=60)
    journal.act_on_incident(incident_id=1, is_end=True, actor="ben", reason="a test", now=at)
    settled(journal, SESSION, previous=SESSION - timedelta(days=1), at=CLOSE)

    shown = speak("incidents", "show", "1", "--json").json
    assert (shown["recover_s"], shown["incident"]["answer"]) == (60, "resolved: a test")


def test_what_comes_back_after_its_answer_is_listed_beside_it_and_open(speak, journal):
    a_finding(journal)
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=OPEN)
    a_finding(journal, now=NOW + timedelta(days=7))

    items = speak("incidents", "--json").json["items"]
    assert [(item["incident_id"], item["is_open"], item["halts"]) for item in items] == [
        (2, True, ACCOUNT),
        (1, False, ACCOUNT),
    ]
    assert speak("status").code == 3


def test_what_is_found_on_monday_went_wrong_since_friday_at_the_earliest(speak, journal):
    agreed_at = CLOSE + timedelta(days=1)
    reconciled_term(journal, account=ACCOUNT, lane="simulated", now=agreed_at)
    reconciled_term(journal, account="OTHER", lane="simulated", now=MONDAY - timedelta(seconds=5))
    a_finding(journal, now=MONDAY)
    # The comparison that found it ends after it, at the same instant.
    reconciled_term(journal, account=ACCOUNT, lane="simulated", now=MONDAY)

    shown = speak("incidents", "show", "1", "--json").json
    assert shown["detect_s"] == int((MONDAY - agreed_at).total_seconds())
    assert (shown["timeline"][0]["what"], shown["timeline"][0]["part"]) == ("reconciled", "run")


def missed(journal, sessions, *, at):
    policy, observed = load_alert_policy(CONFIG / "alerts.toml"), {MISSED: sessions}
    JournalAlerts(journal, accounts={"us_five": ACCOUNT}).observe(
        evaluate_watched(observed, policy.rules, book="us_five", session=SESSION),
        codes=judged_watched(observed, policy.rules),
        policy=policy,
        book="us_five",
        session=SESSION,
        now=at,
    )


def test_an_incident_that_an_alert_opened_is_open_until_the_alert_is_over(speak, journal):
    missed(journal, 1, at=OPEN)
    (listed,) = speak("incidents", "--json").json["items"]
    attention = speak("status", "--json").json["attention"]
    settled(journal, SESSION, previous=SESSION - timedelta(days=1), at=CLOSE)
    (after_settlement,) = speak("incidents", "--json").json["items"]
    missed(journal, 0, at=CLOSE)
    (over,) = speak("incidents", "--json").json["items"]
    shown = speak("incidents", "show", "1", "--json").json

    assert (listed["kind"], listed["account"], listed["is_open"]) == ("session_missed", ACCOUNT, True)
    assert (listed["severity"], listed["owner"]) == ("SEV-2", "platform")
    assert listed["remedy"] == "read docs/runbooks/session_missed.md"
    assert len([line for line in attention if "schedules.missed" in line]) == 1
    assert after_settlement["is_open"]
    assert (over["is_open"], over["answer"]) == (False, "resolved: the alert is over")
    assert (shown["severity"], shown["owner"], shown["detect_s"]) == ("SEV-2", "platform", None)
    assert shown["recover_s"] == int((CLOSE - OPEN).total_seconds())
