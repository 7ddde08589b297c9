"""Incidents on both engines: told once while they last, told again when they come back, opened by alerts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.store import SqlJournal
from trading.alert_log import NO_RULE
from trading.alerts import AlertRow, AlertRule, Severity, fingerprint_of
from trading.incident_ladder import RULES
from trading.incident_log import incidents_told
from trading.journal import CooldownRules, RunControlAction
from trading.rebuild import rebuild
from trading.testing import reconciled_term

ACCOUNT, OTHER = "SIM_FIVE", "SIMXFIVE"
"""Two names of which the one is like the other, were `_` any letter."""

NOW = datetime(2013, 2, 28, 14, 0, tzinfo=UTC)
SESSION = date(2013, 2, 28)
POLICY = load_alert_policy(Path(__file__).resolve().parents[2] / "config" / "alerts.toml")
CRITICAL = [rule for rule in POLICY.rules if rule.severity is Severity.CRITICAL]
WARNINGS = [rule for rule in POLICY.rules if rule.severity is Severity.WARNING]


@pytest.fixture
def journal(database) -> Iterator[SqlJournal]:
    with database.open() as opened:
        yield opened


def found(journal, detail="cash: book 1 USD, broker 2", *, is_standing=True, days=0):
    journal.record_finding(
        kind="cash_mismatch",
        account=ACCOUNT,
        symbol="",
        intent_id="",
        detail=detail,
        is_standing=is_standing,
        now=NOW + timedelta(days=days),
    )


def lifted(journal):
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=NOW)


def test_a_finding_that_comes_back_after_its_halt_was_lifted_is_another_incident(journal):
    found(journal)
    found(journal, days=1)
    lifted(journal)
    found(journal, days=7)
    found(journal, days=8)
    lifted(journal)
    found(journal, days=9)

    rows = journal.incidents()
    assert [(row.incident_id, row.detail, row.at) for row in rows] == [
        (1, "cash: book 1 USD, broker 2", NOW),
        (2, "cash: book 1 USD, broker 2; again after incident 1", NOW + timedelta(days=7)),
        (3, "cash: book 1 USD, broker 2; again after incident 2", NOW + timedelta(days=9)),
    ]
    assert [halt.reason for halt in journal.halts()] == [f"cash_mismatch: {rows[-1].detail}"]


def test_what_is_past_stays_one_incident_once_somebody_has_seen_it(journal):
    found(journal, is_standing=False)
    lifted(journal)
    found(journal, is_standing=False, days=7)

    assert (len(journal.incidents()), journal.halts()) == (1, [])


def test_more_findings_than_a_halt_names_are_told_once_each_however_often_they_are_seen(journal):
    for day in range(3):
        for number in range(12):
            found(journal, f"cash: book {number}", days=day)

    assert len(journal.incidents()) == 12


def test_what_halted_all_trading_is_another_incident_after_the_resume(journal):
    broken = {"kind": "chain_broken", "account": ACCOUNT, "intent_id": "", "detail": "line 7"}
    for _ in range(2):
        journal.record_incident(**broken, is_halting=True, now=NOW)
    journal.set_run_control(RunControlAction.RESUME, actor="ben", reason="restored", now=NOW)
    for _ in range(2):
        journal.record_incident(**broken, is_halting=True, now=NOW)

    assert [row.detail for row in journal.incidents()] == ["line 7", "line 7; again after incident 1"]
    control = journal.run_control()
    assert (control.kill_switch_on, control.reason) == (True, "chain_broken: line 7; again after incident 1")


def test_when_an_account_was_last_compared_is_known_however_long_ago_it_was(database, journal):
    reader = database.reader()
    for account in (ACCOUNT, OTHER):
        reconciled_term(journal, account=account, lane="paper", now=NOW)
    last = reader.newest_event()
    for number in range(20):
        found(journal, f"cash: book {number}", days=30)

    agreed = reader.last_reconciled(account=ACCOUNT, before=last + 5)
    assert agreed is not None
    assert (agreed.kind, agreed.body["account"]) == ("reconciled", ACCOUNT)
    assert reader.last_reconciled(account=ACCOUNT, before=agreed.seq) is None
    assert reader.last_reconciled(account=OTHER, before=last + 5).seq == last


# ------------------------------------------------------------------------------------- opened by an alert


def looked(journal, *rules: AlertRule, found: bool, minutes=0, book="us_five"):
    """Look once, as a sensor does, at what some rules watch: of the account's book, or of none."""
    keeper = JournalAlerts(journal, accounts={"us_five": ACCOUNT})
    alerts = [
        AlertRow(
            session=SESSION,
            book=book,
            code=rule.code,
            severity=rule.severity,
            metric=rule.metric,
            observed=0.5,
            threshold=rule.threshold,
            message=f"{rule.metric} is wrong",
            runbook=rule.runbook,
            fingerprint=fingerprint_of(book=book, code=rule.code, severity=rule.severity),
        )
        for rule in rules
    ]
    keeper.observe(
        alerts if found else [],
        codes=[rule.code for rule in rules],
        policy=POLICY,
        book=book,
        session=SESSION,
        now=NOW + timedelta(minutes=minutes),
    )


def told_of(journal):
    return incidents_told(journal.events(after=0, limit=10_000))


def test_each_critical_rule_opens_one_incident_however_often_and_by_whom_it_is_seen(database, journal):
    with database.open() as another:
        for minute in range(10):
            for looking in (journal, another):
                looked(looking, *CRITICAL, *WARNINGS, found=True, minutes=minute)

    rows = journal.incidents()
    assert sorted(row.kind for row in rows) == sorted(rule.code for rule in CRITICAL)
    assert {(row.account, row.at) for row in rows} == {(ACCOUNT, NOW)}
    owners = {rule.code: (rule.owner, rule.severity) for rule in CRITICAL}
    for one in told_of(journal).values():
        body = one.incident.body
        assert (body["owner"], body["severity"]) == owners[body["incident"]]


def test_the_end_of_an_alert_ends_its_incident_and_its_return_is_another(journal):
    rule = CRITICAL[0]
    looked(journal, rule, found=True)
    looked(journal, rule, found=False, minutes=5)
    looked(journal, rule, found=False, minutes=6)
    looked(journal, rule, found=True, minutes=30)

    first, second = told_of(journal).values()
    assert (first.resolved.actor, first.resolved.at) == ("alerts", NOW + timedelta(minutes=5))
    assert second.resolved is None
    assert journal.incidents()[1].detail.endswith("; again after incident 1")


def test_the_incident_of_a_rule_that_was_removed_ends_with_its_alert_and_says_why(journal):
    rule, other = CRITICAL[:2]
    looked(journal, rule, other, found=True)
    keeper = JournalAlerts(journal, accounts={"us_five": ACCOUNT})
    policy = replace(POLICY, rules=tuple(one for one in POLICY.rules if one.code != rule.code))
    for minute in (5, 6):
        keeper.tell(policy, now=NOW + timedelta(minutes=minute))

    of_rule, of_other = told_of(journal).values()
    assert {one.code for one in keeper.firing()} == {other.code}
    assert of_rule.resolved.at == NOW + timedelta(minutes=5)
    assert of_rule.resolved.reason == f"the alert is over: {NO_RULE}"
    assert of_other.resolved is None


def test_what_a_person_ended_before_its_alert_was_over_stays_as_they_ended_it(journal):
    rule = CRITICAL[0]
    looked(journal, rule, found=True)
    journal.act_on_incident(incident_id=1, is_end=True, actor="ben", reason="known", now=NOW)
    looked(journal, rule, found=True, minutes=1)
    looked(journal, rule, found=False, minutes=2)

    (only,) = told_of(journal).values()
    assert (only.resolved.actor, only.resolved.reason) == ("ben", "known")


def test_what_was_found_at_the_broker_is_no_second_incident_by_its_alert(journal):
    rule = next(rule for rule in CRITICAL if rule.code == RULES["cash_mismatch"])
    found(journal)
    looked(journal, rule, found=True, minutes=1)
    of_finding = [row.kind for row in journal.incidents()]
    lifted(journal)
    looked(journal, rule, found=False, minutes=2)
    looked(journal, rule, found=True, minutes=3)

    assert of_finding == ["cash_mismatch"]
    assert [row.kind for row in journal.incidents()] == ["cash_mismatch", rule.code]


def test_the_rows_of_incidents_are_those_that_the_events_tell(journal):
    looked(journal, *CRITICAL, found=True)
    looked(journal, *CRITICAL, found=False, minutes=1)
    looked(journal, *CRITICAL, found=True, minutes=2)

    made = rebuild(journal.events(after=0, limit=10_000))["incidents"]
    assert [row["detail"] for row in made] == [row.detail for row in journal.incidents()]


# ------------------------------------------------------------------------------------- too many of them

COOLING = CooldownRules(incidents_max=3, incidents_window_s=3600, cooldown_s=900)


def cooled(journal, *, account=ACCOUNT, minutes=0):
    now = NOW + timedelta(minutes=minutes)
    return journal.cool_down(account=account, lane="paper", rules=COOLING, now=now)


def foreign(journal, number, *, account=ACCOUNT):
    journal.record_incident(
        kind="foreign_order", account=account, intent_id="", detail=f"{number}", is_halting=False, now=NOW
    )


def test_so_many_incidents_of_an_account_or_of_the_desk_bring_a_cooldown_of_it_alone(journal):
    foreign(journal, 1)
    looked(journal, CRITICAL[0], found=True, book="")
    foreign(journal, 3, account=OTHER)
    before = cooled(journal)
    foreign(journal, 4)
    held = cooled(journal, minutes=1)

    assert before is None
    assert (held.failures, held.until) == (3, NOW + timedelta(minutes=16))
    assert held.reason == "incident_threshold_cooldown: 3 incidents within 3600 s"
    assert cooled(journal, minutes=2) == held
    assert cooled(journal, account=OTHER) is None


def test_incidents_before_a_cooldown_that_is_over_and_those_long_ago_count_no_more(journal):
    for number in range(3):
        foreign(journal, number)

    assert cooled(journal, minutes=61) is None
    assert cooled(journal, minutes=30) is not None
    for number in range(3, 5):
        foreign(journal, number)
    assert cooled(journal, minutes=45) is None
