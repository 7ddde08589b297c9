"""A flatten from the command line to the broker's ledger: two named steps, while halted, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import pytest

from console.cli import main
from resources.evidence import gather
from tests.graph.desk import CALENDAR, CONFIG, FIRST, SESSIONS, Desk, copied, failure_of
from trading.invariants import violations
from trading.journal import RunControlAction
from trading.lifecycle import IntentState
from trading.values import Side, Slot

SECOND = SESSIONS[1]
STOP = {"actor": "ann", "reason": "fire", "now": CALENDAR.opens_at(FIRST)}


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="module")
def holding(imported, tmp_path_factory):
    """Give the folder of a desk that has decided and executed the first session, and so holds a position."""
    desk = Desk(copied(imported.folder, tmp_path_factory.mktemp("holding") / "desk"))
    assert desk.run("decide", FIRST).success
    assert desk.run("execute", FIRST).success
    desk.close()
    return desk.settings.state_dir


@pytest.fixture
def speak(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "desk"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(CONFIG))
    monkeypatch.setenv("TRADING_OPERATOR", "anna")

    def speak_words(*words):
        code = main((*words, "--json"))
        captured = capsys.readouterr()
        return Spoken(code, captured.out, captured.err)

    return speak_words


def flatten(speak, *words):
    return speak("flatten", "--book", "us_five", "--reason", "out", *words)


def test_a_flatten_sells_all_that_is_held_in_two_named_steps_and_the_session_goes_on(holding, desk_on, speak):
    desk = desk_on(holding)
    assert flatten(speak).code == 4  # not halted
    desk.journal.set_run_control(RunControlAction.HALT, **STOP)
    sent = len(desk.sent())

    shown = flatten(speak)
    assert shown.code == 3, shown.err
    assert len(desk.sent()) == sent
    (line,) = shown.json["lines"]
    wrong = flatten(speak, "--yes", "--confirm", "flatten-00000000")
    done = flatten(speak, "--yes", "--confirm", shown.json["confirm"])

    assert wrong.code == 4
    assert "names another flatten" in wrong.out
    assert done.code in {0, 3}, done.out
    (row,) = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.intent.slot is Slot.FLATTEN]
    (command, *_) = [one for one in desk.journal.flatten_commands(**desk.where(FIRST)) if one.ordered_by]
    assert (row.intent.side, row.quantity, command.ordered_by) == (Side.SELL, line["quantity"], "anna")
    assert len(desk.sent()) == sent + 1, done.out
    assert desk.journal.run_control().kill_switch_on

    # The session is settled as any other, with what was sold in its book.
    desk.journal.set_run_control(RunControlAction.RESUME, **STOP)
    assert desk.run("execute", FIRST).success
    assert desk.run("settle", FIRST).success
    record = desk.journal.session_record(**desk.where(FIRST))
    assert record.settled_at is not None
    found = violations(
        gather(
            desk.journal,
            audit_path=desk.settings.audit_log,
            dumps=[desk.profiled.brokers[desk.book].dump()],
            is_healed=True,
            as_of=CALENDAR.closes_at(FIRST),
        )
    )
    assert [f"{one.invariant} {one.subject}: {one.detail}" for one in found] == []
    desk.profiled.audit_log.project()
    explained = speak("explain", row.intent_id).json
    assert {said["guard"] for said in explained["guards"]} >= {"kill_switch", "reconciled", "max_notional"}
    assert all(said["passed"] for said in explained["guards"])
    links = speak("verify").json["links"]
    assert (links["orders"], links["unlinked"]) == (len(desk.sent()), [])
    assert links["linked"] == links["orders"]


def test_a_cooldown_after_incidents_lets_no_session_begin_and_a_flatten_through(holding, desk_on, speak):
    desk = desk_on(holding)
    now = CALENDAR.opens_at(FIRST)
    config = desk.profiled.books[desk.book]
    for number in range(config.rules.cooldown.incidents_max):
        desk.journal.record_incident(
            kind="foreign_order", account=config.account, intent_id="", detail=f"{number}", is_halting=False,
            now=now,
        )  # fmt: skip
    run_once = ("run-once", "--book", desk.book, "--session", str(SECOND), "--phase", "decide")
    of = {"account": config.account, "lane": desk.where(FIRST)["lane"]}
    # The clock of a simulated day is at its morning: the cooldown of the day before is over by then.
    lasting = replace(config.rules.cooldown, incidents_window_s=10**7, cooldown_s=10**7)
    held = desk.journal.cool_down(**of, rules=lasting, now=now)
    begun = speak(*run_once)
    desk.journal.set_run_control(RunControlAction.HALT, **STOP)
    shown = flatten(speak)
    done = flatten(speak, "--yes", "--confirm", shown.json["confirm"])

    assert held is not None
    (told,) = begun.json["runs"]
    assert (begun.code, told["run_id"], told["refused_by"]) == (4, "", "GateClosed")
    assert "incident_threshold_cooldown" in told["message"]
    assert f"trading resume --account {config.account}" in told["message"]
    assert done.code in {0, 3}, done.out
    (row,) = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.intent.slot is Slot.FLATTEN]
    assert (row.intent.side, row.state) == (Side.SELL, IntentState.EXECUTED)


def test_what_waits_is_cancelled_by_a_flatten_so_that_a_resume_does_not_buy_it(imported, desk_on, speak):
    desk = desk_on(imported.folder)
    assert desk.run("decide", FIRST).success
    desk.journal.set_run_control(RunControlAction.HALT, **STOP)
    shown = flatten(speak)
    flatten(speak, "--yes", "--confirm", shown.json["confirm"])

    rows = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.quantity]
    assert {row.state for row in rows} == {IntentState.CANCELLED}
    assert {row.reason for row in rows} == {"flatten: out"}
    assert desk.sent() == []


def test_the_flatten_job_sends_nothing_while_nothing_is_halted(imported, desk_on):
    desk = desk_on(imported.folder)
    assert desk.run("decide", FIRST).success

    refused = desk.run("flatten", FIRST)

    assert "only while halted" in failure_of(refused)[1]
    assert desk.sent() == []
    rows = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.quantity]
    assert {row.state for row in rows} == {IntentState.APPROVED}


class ResumedMeanwhile:
    """Be an executor's lock at the taking of which somebody resumes: after the job looked at the switch."""

    def __init__(self, profiled):
        self.profiled = profiled

    def __getitem__(self, book):
        self.profiled.journal.set_run_control(RunControlAction.RESUME, **STOP)
        return self.profiled.executor_locks[book]


def test_a_resume_in_the_middle_of_a_flatten_lets_it_send_nothing_but_what_it_ordered(imported, desk_on):
    desk = desk_on(imported.folder, ports={"executor_locks": ResumedMeanwhile})
    assert desk.run("decide", FIRST).success
    desk.journal.set_run_control(RunControlAction.HALT, **STOP)

    done = desk.run("flatten", FIRST)

    assert done.success, failure_of(done)
    assert not desk.journal.run_control().kill_switch_on
    assert desk.sent() == []


def test_without_an_open_session_nothing_can_be_sold(whole_session, desk_on, speak):
    desk_on(whole_session[0].settings.state_dir)

    refused = flatten(speak)

    assert refused.code == 4
    assert "no session is open" in refused.json["error"]["message"]
