"""Incidents as the console tells of them: which is open, what answered it first, and how long what took."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from console import incident_reviews
from console.desk import open_desk
from console.doing import lifted_at
from console.incident_reviews import write_postmortem
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from tests.console.states import CLOSE, NOW, OF, OPEN, OPENED, SESSION, a_filled_intent
from tests.console.test_command_line import empty_journal, journal, ledger, speak, state
from tests.graph.desk import CONFIG
from trading.alerts import MISSED, evaluate_watched, judged_watched
from trading.testing import reconciled_term

__all__ = ["empty_journal", "journal", "ledger", "speak", "state"]

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


@pytest.mark.parametrize(("found_at", "lifted"), [(NOW, OPEN), (CLOSE, CLOSE)])
def test_a_halt_of_simulated_days_is_lifted_in_their_time(speak, journal, monkeypatch, found_at, lifted):
    a_filled_intent(journal)
    a_finding(journal, now=found_at)
    (halt,) = journal.halts()
    spoken = speak("resume", "--account", ACCOUNT, "--reason", "booked", "--yes")
    monkeypatch.setenv("TRADING_PROFILE", "paper")
    monkeypatch.setattr("console.doing.system_now", lambda: MONDAY)

    assert (spoken.code, journal.halts()) == (0, [])
    assert journal.events(after=0, limit=1000)[-1].at == lifted
    assert lifted_at(open_desk(), halt) == MONDAY


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


def test_what_a_person_did_long_after_an_incident_was_over_stands_in_its_review(speak, journal):
    journal.record_incident(
        kind="foreign_order", account=ACCOUNT, intent_id="", detail="who?", is_halting=False, now=OPEN
    )
    journal.act_on_incident(incident_id=1, is_end=True, actor="ben", reason="theirs", now=CLOSE)
    late = CLOSE + timedelta(days=2)
    journal.act_on_incident(incident_id=1, is_end=False, actor="ann", reason="told the desk", now=late)

    shown = speak("incidents", "show", "1", "--json").json
    written = Path(speak("incidents", "postmortem", "1", "--json").json["path"]).read_text("utf-8")
    assert [one["reason"] for one in shown["actions"]] == ["theirs", "told the desk"]
    assert shown["timeline"][-1]["reason"] == "told the desk"
    assert "ann: told the desk" in written


def test_whoever_speaks_of_a_simulated_day_is_not_told_to_have_taken_years(speak, journal):
    a_finding(journal)
    acknowledged = speak("incidents", "ack", "1", "--reason", "looking", "--json").json
    speak("incidents", "act", "1", "--reason", "asked the broker")
    speak("incidents", "plan", "1", "--owner", "ben", "--until", "2999-01-01", "--reason", "compare")
    speak("incidents", "done", "1", "1", "--reason", "compared")
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=CLOSE)
    shown = speak("incidents", "show", "1", "--json").json

    assert acknowledged["acknowledged_at"] == f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
    assert (shown["acknowledge_s"], len(shown["actions"])) == (0, 1)
    assert {one["at"][:4] for one in shown["timeline"]} == {"2013"}


def test_a_plan_without_an_owner_is_told_what_it_lacks(speak, journal):
    a_finding(journal)
    ownerless = speak("incidents", "plan", "1", "--owner", "", "--until", "2999-01-01", "--reason", "compare")

    assert ownerless.code == 2
    assert "owner ''" in ownerless.err
    assert "--owner NAME" in ownerless.err


# ------------------------------------------------------------------------------------- what is learned


def test_a_post_mortem_is_written_once_and_what_a_person_wrote_into_it_stays(speak, journal):
    a_finding(journal)
    first = speak("incidents", "postmortem", "1", "--json").json
    path = Path(first["path"])
    written = path.read_text("utf-8")
    path.write_text(written.replace("_Why could it happen?", "The fee was booked late. _Why?"), "utf-8")
    second = speak("incidents", "postmortem", "1", "--json").json

    assert (first["is_new"], second["is_new"], second["path"]) == (True, False, first["path"])
    assert written.startswith("# Incident 1: cash_mismatch\n\n2 USD there\n")
    assert "The fee was booked late." in path.read_text("utf-8")
    assert speak("incidents", "postmortem", "9").code == 2


def test_a_post_mortem_that_the_disk_did_not_take_whole_is_none_and_can_be_written_later(tmp_path):
    path = tmp_path / "postmortems" / "incident-1.md"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            incident_reviews._put(path, "why " * 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(path.parent.iterdir()) == []
    assert incident_reviews._put(path, "why")
    assert path.read_text("utf-8") == "why"


def test_of_two_who_write_a_post_mortem_at_once_one_does_and_the_file_is_whole(speak, journal):
    a_finding(journal)
    desks = [open_desk() for _ in range(4)]
    with ThreadPoolExecutor(len(desks)) as pool:
        done = list(pool.map(lambda desk: write_postmortem(desk, 1), desks))

    assert sorted(one.is_new for one in done) == [False, False, False, True]
    assert (
        Path(done[0].path)
        .read_text("utf-8")
        .rstrip()
        .endswith("| what | who | until | done |\n|---|---|---|---|")
    )


def test_a_template_that_cannot_be_used_is_named_and_nothing_is_written(
    speak, journal, tmp_path, monkeypatch
):
    a_finding(journal)
    config = tmp_path / "config"
    config.mkdir()
    for file in CONFIG.iterdir():
        if file.name != "postmortem.md":
            (config / file.name).symlink_to(file)
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))
    missing = speak("incidents", "postmortem", "1")
    (config / "postmortem.md").write_text("# $incident")
    wrong = speak("incidents", "postmortem", "1")

    assert (missing.code, wrong.code) == (2, 2)
    assert "config/postmortem.md" in missing.err
    assert "$timeline" in wrong.err
    assert list((tmp_path / "state").rglob("incident-*.md")) == []


def test_nobody_is_to_do_something_by_a_day_that_is_over(speak, journal, monkeypatch):
    a_filled_intent(journal)
    a_finding(journal)
    monkeypatch.setattr("console.doing.system_now", lambda: datetime(2013, 3, 8, 22, 0, tzinfo=UTC))
    plan = ("incidents", "plan", "1", "--owner", "ben", "--reason", "compare before the open")
    late, today = (speak(*plan, "--until", f"2013-03-0{day}", "--json") for day in (7, 8))

    assert (late.code, today.code) == (2, 0)
    assert "until 2013-03-07: is over, today is 2013-03-08" in late.json["error"]["message"]
    assert today.json == {"incident_id": 1, "action": 1}


@pytest.mark.usefixtures("ledger")
def test_an_action_that_is_overdue_asks_for_a_person_until_it_is_done(speak, journal):
    a_filled_intent(journal)
    a_finding(journal)
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=OPEN)
    plan = ("incidents", "plan", "1", "--owner", "ben", "--reason", "compare before the open")
    in_time = speak(*plan, "--until", "2999-01-01")
    calm = speak("status")
    told = {"actor": "anna", "reason": "compare before the open", "now": OPEN}
    journal.plan_action(incident_id=1, owner="ben", due_on=date(2013, 3, 8), **told)
    asked, listed = speak("status"), speak("incidents", "actions")
    planned = speak("incidents", "show", "1", "--json").json["planned"]
    done = speak("incidents", "done", "1", "2", "--reason", "runs since Monday")
    again = speak("incidents", "done", "1", "2", "--reason", "twice")

    assert (in_time.code, calm.code) == (0, 0)
    assert (asked.code, listed.code) == (3, 3)
    assert "incident 1: ben was to do by 2013-03-08: compare before the open" in asked.out
    assert "OVERDUE" in listed.out
    assert [(one["number"], one["owner"], one["due_on"]) for one in planned] == [
        (2, "ben", "2013-03-08"),
        (1, "ben", "2999-01-01"),
    ]
    assert (done.code, again.code, speak("status").code) == (0, 4, 0)
    assert speak("incidents", "actions", "--json").json["items"][-1]["outcome"] == "runs since Monday"
    assert speak("incidents", "done", "1", "7", "--reason", "x").code == 2
    assert speak(*plan, "--until", "soon").code == 2
