"""The REST API over HTTP: what it shows, what it changes, and that nothing is done twice or on old sight."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import threading
import uuid
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from console.cli import main
from console.verb_apart import told_by_verb
from console.web.identities import Role
from resources.journal.store import SqlJournal
from tests.console import states
from tests.console.web.serving import console_on
from trading.decisions import Outcome
from trading.errors import BadInput
from trading.orders import BrokerOrder, OrderStatus
from trading.testing import example_decision, example_intent

API = "/api/v1"
ROOT = Path(__file__).resolve().parents[3]
LOOKS = [
    "/status",
    "/why",
    "/approvals",
    "/intents",
    "/positions",
    "/orders",
    "/stuck",
    "/incidents",
    "/incidents/actions",
    "/halts",
]
LOOKS += [
    "/alerts",
    "/silences",
    "/messages",
    "/deliveries",
    "/control",
    "/verify",
    "/doctor",
    "/sessions?book=us_five",
]
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Give the journal of a session with three intents that wait and one that was blocked."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    with SqlJournal(f"sqlite:///{path}") as journal:
        decisions, verdicts = [], []
        for symbol in SYMBOLS:
            intent = example_intent(symbol, quantity=700)
            is_blocked = symbol == "IBM"
            outcome = Outcome.BLOCKED if is_blocked else Outcome.PENDING_APPROVAL
            decisions.append(example_decision(intent, outcome=outcome, not_after=states.CLOSE))
            verdicts += states.verdicts_on(intent, stopped_by="symbol_cap" if is_blocked else "")
        states.decided(journal, *decisions, verdicts=verdicts)
    return path


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    with console_on(tmp_path_factory.mktemp("desk")) as served:
        served.desk.settings.profile_dir.mkdir(parents=True, exist_ok=True)
        yield served


@pytest.fixture
def journal(console, decided):
    """Give the console's journal, as it was decided; what a test did to it is gone with the test."""
    path = console.desk.settings.profile_dir / "journal.db"
    for old in path.parent.glob("journal.db*"):
        old.unlink()
    shutil.copy(decided, path)
    with SqlJournal(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture
def started(console):
    """Give what the console is asked to start from here on."""
    console.started.clear()
    return console.started


def look(console, path, *, role=Role.VIEWER):
    reply = console.ask("GET", f"{API}{path}", role=role)
    assert reply.status == 200, reply.body
    return reply.json


def change(console, path, body, *, role=Role.TRADER, key="", dry_run=False):
    return console.ask(
        "POST",
        f"{API}{path}{'?dry_run=true' if dry_run else ''}",
        role=role,
        body=body,
        headers={} if dry_run else {"Idempotency-Key": key or uuid.uuid4().hex},
    )


def seen(console, symbol="AAPL"):
    """Give an approval of what a preview shows."""
    pending = look(console, f"/approvals/{symbol}@2013-02-28")["item"]["pending"]
    body = {"reason": "checked", "payload_hash": pending["payload_hash"], "version": pending["version"]}
    return f"/approvals/{pending['intent_id']}", body


# ------------------------------------------------------------------------------------- looking


@pytest.mark.parametrize("path", LOOKS)
def test_every_answer_says_of_when_it_is_and_whose_money_moves(console, journal, path):
    answer = look(console, path)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", answer["as_of"])
    assert answer["mode"] == "simulated"
    assert isinstance(answer["stale"], bool)
    assert ("item" in answer) != ("items" in answer)


@pytest.mark.parametrize("path", LOOKS)
def test_a_look_at_a_desk_without_a_journal_finds_nothing_and_makes_nothing(tmp_path, path, console):
    path_of = console.desk.settings.profile_dir / "journal.db"
    for old in path_of.parent.glob("journal.db*"):
        old.unlink()

    look(console, path)

    assert not path_of.exists()


def test_status_is_what_the_command_line_says(console, journal, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(console.desk.settings.state_dir))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(console.desk.settings.config_dir))
    main(["status", "--json"])
    told = json.loads(capsys.readouterr().out)
    shown = look(console, "/status")["item"]

    assert {name: shown[name] for name in ("verdict", "mode", "attention", "exit_code", "next")} == {
        name: told[name] for name in ("verdict", "mode", "attention", "exit_code", "next")
    }


def test_money_is_a_decimal_string_with_its_currency_and_times_are_utc(console, journal):
    (first, *_) = look(console, "/approvals?book=us_five")["items"]

    assert first["notional"] == {"amount": "70000", "currency": "USD"}
    assert first["not_after"] == "2013-02-28T21:00:00Z"


def test_a_list_is_paged_by_cursors_and_nothing_is_seen_twice(console, journal):
    whole = look(console, "/intents?book=us_five")
    found, path = [], "/intents?book=us_five&limit=1"
    following = ""
    while following is not None:
        page = look(console, f"{path}{f'&cursor={following}' if following else ''}")
        found += page["items"]
        following = page["next"]

    assert whole["next"] is None
    assert found == whole["items"]
    assert len(found) == len(SYMBOLS)


@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "%00", "W10"])
def test_a_cursor_that_is_none_is_refused(console, journal, cursor):
    for path in ("/intents?", "/sessions?book=us_five&"):
        reply = console.ask("GET", f"{API}{path}cursor={cursor}", role=Role.VIEWER)

        assert (reply.status, reply.json["code"]) == (400, "bad_input")


def test_a_blocked_intent_is_explained_with_the_largest_size_that_passes(console, journal):
    item = look(console, "/intents/IBM@2013-02-28")["item"]

    assert item["stopped_by"] == ["symbol_cap"]
    assert item["largest_quantity"] == 7
    assert item["intent"]["state"] == "rejected"


def test_an_order_is_traced_from_any_id(console, journal):
    intent = look(console, "/intents?book=us_five")["items"][0]
    item = look(console, f"/orders/{intent['intent_id'][:20]}")["item"]

    assert item["intent"]["intent_id"] == intent["intent_id"]
    assert [event["what"] for event in item["events"]]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/intents/nothing-here", 404, "unknown_id"),
        ("/intents/x", 400, "bad_input"),
        ("/status?book=nowhere", 400, "bad_input"),
        ("/status?session=today", 422, "invalid_request"),
        ("/intents?limit=0", 422, "invalid_request"),
        ("/nothing", 404, "not_found"),
    ],
)
def test_an_error_is_a_problem_with_a_code_that_keeps_its_meaning(console, journal, path, status, code):
    reply = console.ask("GET", f"{API}{path}", role=Role.VIEWER)

    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status, reply.json["status"], reply.json["code"]) == (status, status, code)
    assert reply.json["type"] == f"urn:trading:problem:{code}"
    assert reply.json["exit_code"] == 2


def test_a_path_with_another_method_says_so(console):
    reply = console.ask("DELETE", f"{API}/status", role=Role.ADMIN)

    assert (reply.status, reply.json["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "GET"


# ------------------------------------------------------------------------------------- changing


def test_an_approval_names_what_was_seen_and_starts_the_execution(console, journal, started):
    path, body = seen(console)
    reply = change(console, f"{path}/approve", body)

    assert reply.status == 200
    assert reply.json["item"]["answered"]["state"] == "approved"
    assert reply.json["item"]["answered"]["actor"] == "trader program"
    assert reply.json["item"]["execution"]["how"] == "process"
    assert started == [("execute", "us_five")]
    assert [row["version"] for row in look(console, "/intents?book=us_five&state=approved")["items"]] == [2]


def test_a_rejection_is_for_good_and_starts_nothing(console, journal, started):
    path, body = seen(console)
    first = change(console, f"{path}/reject", body)
    again = change(console, f"{path}/approve", body)

    assert first.json["item"]["answered"]["state"] == "rejected"
    assert (again.status, again.json["code"]) == (409, "stale_version")
    assert started == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [({"version": 7}, "stale_version"), ({"payload_hash": "0" * 64}, "approval_refused")],
)
def test_an_approval_of_what_is_not_there_any_more_is_refused(console, journal, started, wrong, code):
    path, body = seen(console)
    reply = change(console, f"{path}/approve", body | wrong)

    assert (reply.status, reply.json["code"], reply.json["exit_code"]) == (409, code, 4)
    assert started == []
    assert len(look(console, "/approvals?book=us_five")["items"]) == 3


def test_of_two_who_answer_at_once_one_is_refused(console, journal, started):
    path, body = seen(console)
    replies = []
    answers = [
        threading.Thread(target=lambda what=what: replies.append(change(console, f"{path}/{what}", body)))
        for what in ("approve", "reject")
    ]
    for thread in answers:
        thread.start()
    for thread in answers:
        thread.join()

    assert sorted(reply.status for reply in replies) == [200, 409]


def test_an_intent_whose_time_is_not_over_does_not_expire(console, journal):
    path, body = seen(console)
    reply = change(console, f"{path}/expire", {"reason": "late", "version": body["version"]})

    assert reply.status == 409


@pytest.mark.parametrize("path", ["/control/halt", "/control/pause"])
def test_a_dry_run_says_what_would_be_and_keeps_nothing(console, journal, path):
    reply = change(console, path, {"reason": "rehearsal"}, dry_run=True)

    assert reply.json["dry_run"] is True
    assert reply.json["item"]["after"]["actor"] == "trader program"
    assert journal.run_control().actor == ""
    assert "run_control" not in [event.kind for event in journal.events(after=0, limit=100)]


def test_a_dry_run_of_an_approval_holds_it_to_the_same_rules(console, journal, started):
    path, body = seen(console)
    good = change(console, f"{path}/approve", body, dry_run=True)
    stale = change(console, f"{path}/approve", body | {"version": 9}, dry_run=True)

    assert good.json["item"]["answered"]["state"] == "approved"
    assert (stale.status, stale.json["code"]) == (409, "stale_version")
    assert started == []
    assert len(look(console, "/approvals?book=us_five")["items"]) == 3


def test_a_halt_is_ended_by_an_admin_who_names_it(console, journal):
    halted = change(console, "/control/halt", {"reason": "prices look wrong"})
    word = look(console, "/control")["item"]["confirm"]
    asked = {"reason": "right again", "confirm": word}
    by_trader = change(console, "/control/resume", asked)
    unnamed = change(console, "/control/resume", {"reason": "right again"}, role=Role.ADMIN)
    another = change(console, "/control/resume", asked | {"confirm": "resume-00000000"}, role=Role.ADMIN)
    paused = change(console, "/control/pause", {"reason": "wait"})
    resumed = change(console, "/control/resume", asked, role=Role.ADMIN)

    assert halted.json["item"]["after"]["kill_switch_on"] is True
    assert (by_trader.status, by_trader.json["needed"]) == (403, "admin")
    assert (unnamed.status, unnamed.json["code"]) == (409, "gate_closed")
    assert (another.status, another.json["code"]) == (409, "approval_refused")
    assert (paused.status, paused.json["code"]) == (409, "gate_closed")
    assert resumed.json["item"]["after"]["kill_switch_on"] is False


def test_a_degraded_desk_is_restored_by_an_admin(console, journal):
    degraded = change(console, "/control/degrade", {"reason": "the model is down"})
    by_trader = change(console, "/control/restore", {"reason": "it is back"})
    restored = change(console, "/control/restore", {"reason": "it is back"}, role=Role.ADMIN)

    assert degraded.json["item"]["after"]["is_degraded"] is True
    assert by_trader.status == 403
    assert restored.json["item"]["after"]["is_degraded"] is False


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("dryrun=true", "parameter 'dryrun' is not known here (did you mean 'dry_run')"),
        ("DRY_RUN=true", "parameter 'DRY_RUN' is not known here (did you mean 'dry_run')"),
        ("colour=red", "parameter 'colour' is not known here (known here: dry_run)"),
        ("dry_run=true&dry_run=false", "parameter 'dry_run' is there more than once"),
    ],
)
def test_a_change_with_a_parameter_that_is_not_known_is_refused_and_changes_nothing(
    console, journal, started, query, told
):
    path, body = seen(console)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    approved = console.ask("POST", f"{API}{path}/approve?{query}", role=Role.TRADER, body=body, headers=key)
    halted = console.ask("POST", f"{API}/control/halt?{query}", role=Role.TRADER, body={"reason": "odd"})

    for reply in (approved, halted):
        assert (reply.status, reply.json["code"]) == (422, "invalid_request")
        assert reply.json["detail"].startswith(told)
        assert reply.json["errors"][0]["where"] == f"query.{query.partition('=')[0]}"
    assert started == []
    assert not look(console, "/control")["item"]["control"]["kill_switch_on"]
    assert look(console, f"{path}")["item"]["state"] == "pending_approval"


@pytest.mark.parametrize("reason", ["fine\n9 forged", "a\u202eb", "a\x1b[2Jb"])
def test_a_reason_that_is_not_one_plain_line_is_refused(console, journal, started, reason):
    path, body = seen(console)

    for where, asked in ((f"{path}/approve", body), ("/control/pause", {})):
        reply = change(console, where, {**asked, "reason": reason})

        assert (reply.status, reply.json["code"]) == (400, "bad_input")
        assert "write one line" in reply.json["detail"]
    assert started == []


def test_a_look_for_what_is_not_known_is_refused_and_not_answered_with_something_else(console, journal):
    reply = console.ask("GET", f"{API}/orders?sesion=2013-02-28", role=Role.VIEWER)

    assert reply.status == 422
    assert "did you mean 'session'" in reply.json["detail"]


def test_a_retry_starts_the_execution_and_none_while_halted(console, journal, started):
    asked = {"reason": "the broker answers", "book": "us_five", "session": "2013-02-28"}
    rehearsed = change(console, "/control/retry", asked, dry_run=True)
    tried = change(console, "/control/retry", asked)
    closed = change(console, "/control/retry", asked | {"session": "2013-03-02"})
    change(console, "/control/halt", {"reason": "stop"})
    halted = change(console, "/control/retry", asked)

    assert rehearsed.json["item"]["execution"]["how"] == "not"
    assert tried.json["item"]["execution"]["how"] == "process"
    assert started == [("execute", "us_five")]
    assert (closed.status, closed.json["code"]) == (404, "unknown_session")
    assert (halted.status, halted.json["code"]) == (409, "gate_closed")


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_retry_of_a_settled_session_is_refused_with_the_reason_and_starts_nothing(
    console, journal, started, dry_run
):
    asked = {"reason": "again", "book": "us_five", "session": "2013-02-28"}
    for row in journal.intents(**states.OF):
        if row.state.is_open:
            journal.cancel(row.intent_id, version=row.version, actor="ben", reason="over", now=states.NOW)
    journal.settle(**states.OF, closing=states.OPENED, carried_by="", now=states.CLOSE)
    refused = change(console, "/control/retry", asked, dry_run=dry_run)

    assert (refused.status, refused.json["code"]) == (409, "refused")
    assert "is settled since 2013-02-28 21:00:00 UTC: nothing is left to try" in refused.json["detail"]
    assert started == []
    assert "retried" not in {event.kind for event in journal.events(after=0, limit=1000)}


def test_a_flatten_is_refused_unless_trading_is_halted_and_takes_an_admin(console, journal):
    asked = {"reason": "out", "book": "us_five"}
    by_trader = change(console, "/control/flatten", asked)
    running = change(console, "/control/flatten", asked, role=Role.ADMIN)
    wrong = change(console, "/control/flatten", asked | {"confirm": "yes"}, role=Role.ADMIN)

    assert by_trader.status == 403
    assert (running.status, running.json["code"]) == (409, "gate_closed")
    assert wrong.status == 422


def test_a_flatten_is_shown_and_then_ordered_by_its_word(console, journal, monkeypatch):
    """What the verb does is tests/graph/test_flattening.py; here are its words, in and out."""
    asked_of_verb = []
    monkeypatch.setattr("console.doing.told_by_verb", states.flattening(asked_of_verb))
    change(console, "/control/halt", {"reason": "stop"})
    asked = {"reason": "-- out", "book": "us_five"}
    shown = change(console, "/control/flatten", asked, role=Role.ADMIN)
    named = asked | {"confirm": shown.json["item"]["confirm"]}
    rehearsed = change(console, "/control/flatten", named, role=Role.ADMIN, dry_run=True)
    ordered = change(console, "/control/flatten", named, role=Role.ADMIN)

    assert shown.json["item"]["notional"] == {"amount": "812", "currency": "USD"}
    assert shown.json["item"]["lines"][0]["price"] == {"amount": "101.5", "currency": "USD"}
    assert [one.json["item"]["is_ordered"] for one in (shown, rehearsed, ordered)] == [False, False, True]
    confirms = [[word for word in words if word.startswith("--confirm")] for words in asked_of_verb]
    assert confirms == [[], [], [f"--confirm={named['confirm']}"]]
    assert all({"--reason=-- out", "--as=admin program", "--yes"} <= set(words) for words in asked_of_verb)


def test_a_flatten_for_a_reason_that_no_process_takes_is_refused(console, journal):
    change(console, "/control/halt", {"reason": "stop"})
    asked = {"reason": "a\0b", "book": "us_five"}
    reply = change(console, "/control/flatten", asked, role=Role.ADMIN)

    assert (reply.status, reply.json["code"]) == (400, "bad_input")


def test_a_verb_asked_in_a_process_of_its_own_answers_or_refuses(monkeypatch, tmp_path):
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))

    assert told_by_verb(["status"])["mode"] == "simulated"
    with pytest.raises(BadInput, match="nothing is stored under it"):
        told_by_verb(["trace", "nothing-like-it"])


def test_a_halt_needs_no_key(console, journal, cancels_asked):
    reply = console.ask("POST", f"{API}/control/halt", role=Role.TRADER, body={"reason": "now"})

    assert reply.status == 200
    assert cancels_asked == [("trader program", "now")]


def test_a_halt_under_a_key_that_was_used_halts_again(console, journal):
    body = {"reason": "stop"}
    change(console, "/control/halt", body, key="key-stop")
    word = look(console, "/control")["item"]["confirm"]
    change(console, "/control/resume", {"reason": "over", "confirm": word}, role=Role.ADMIN)
    was_on = journal.run_control().kill_switch_on
    again = change(console, "/control/halt", body, key="key-stop")

    assert not was_on
    assert again.status == 200
    assert "idempotency-replayed" not in again.headers
    assert journal.run_control().kill_switch_on


@pytest.mark.parametrize("key", ["key-while-locked", "no key\tof ours"])
def test_a_halt_asks_nothing_of_the_key_that_it_is_given(console, journal, key):
    change(console, "/control/pause", {"reason": "so that there are answers"})
    path = console.desk.settings.profile_dir / "console" / "answers.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as holding:
        holding.execute("begin immediate")
        reply = change(console, "/control/halt", {"reason": "stop"}, key=key)

    assert reply.status == 200
    assert journal.run_control().kill_switch_on


def test_a_lift_ends_the_halt_that_was_seen_and_no_later_one(console, journal):
    journal.record_finding(
        kind="zombie_order",
        account="SIM-FIVE",
        symbol="IBM",
        intent_id="",
        detail="unknown",
        is_standing=False,
        now=states.NOW,
    )
    (halt,) = look(console, "/halts")["items"]
    asked = {name: halt[name] for name in ("account", "symbol", "changed_at")} | {"reason": "over"}
    other = change(console, "/halts/lift", asked | {"changed_at": "2013-02-27T00:00:00Z"}, role=Role.ADMIN)
    by_trader = change(console, "/halts/lift", asked)
    lifted = change(console, "/halts/lift", asked, role=Role.ADMIN)
    again = change(console, "/halts/lift", asked, role=Role.ADMIN)

    assert (other.status, other.json["code"]) == (409, "stale_version")
    assert by_trader.status == 403
    assert lifted.status == 200
    assert look(console, "/halts")["items"] == []
    assert (again.status, again.json["code"]) == (404, "unknown_id")


def test_an_incident_is_taken_on_by_a_named_person_and_stays_open_until_it_is_answered(console, journal):
    finding = {"kind": "position_mismatch", "account": "SIM-FIVE", "symbol": "IBM", "intent_id": ""}
    journal.record_finding(**finding, detail="7 there", is_standing=True, now=states.NOW)
    path, asked = "/incidents/1/acknowledge", {"reason": "calling the broker"}
    rehearsed = change(console, path, asked, dry_run=True)
    by_viewer = change(console, path, asked, role=Role.VIEWER)
    nobody = look(console, "/incidents")["items"][0]
    taken_on = change(console, path, asked)
    (shown,) = look(console, "/incidents")["items"]
    status = look(console, "/status")["item"]
    journal.lift_halt(account="SIM-FIVE", symbol="IBM", actor="ben", reason="booked", now=states.NOW)
    answered = change(console, path, asked)
    unknown = change(console, "/incidents/7/acknowledge", asked)

    assert (rehearsed.status, by_viewer.status, nobody["acknowledged_by"]) == (200, 403, "")
    assert taken_on.json["item"]["acknowledged_by"] == "trader program"
    assert (shown["is_open"], shown["acknowledged_by"], shown["acknowledgement"]) == (
        True,
        "trader program",
        "calling the broker",
    )
    assert any("7 there (acknowledged by trader program)" in line for line in status["attention"])
    assert (answered.status, answered.json["code"]) == (409, "refused")
    assert (unknown.status, unknown.json["code"]) == (404, "unknown_id")
    kept = [row for row in journal.events(after=0, limit=1000) if row.kind == "incident_acknowledged"]
    assert [row.body for row in kept] == [{"incident_id": 1, "account": "SIM-FIVE"}]


def test_what_is_to_be_done_about_incidents_is_read_the_open_first(console, journal):
    finding = {"kind": "position_mismatch", "account": "SIM-FIVE", "symbol": "IBM", "intent_id": ""}
    journal.record_finding(**finding, detail="7 there", is_standing=True, now=states.NOW)
    planned = {"incident_id": 1, "actor": "ann", "now": states.NOW, "owner": "ben"}
    journal.plan_action(**planned, due_on=states.SESSION, reason="book it")
    journal.plan_action(**planned, due_on=states.SESSION, reason="compare before the open")
    journal.finish_action(incident_id=1, action=1, actor="ben", reason="booked", now=states.NOW)

    first = look(console, "/incidents/actions?limit=1")
    then = look(console, f"/incidents/actions?limit=1&cursor={first['next']}")

    (opened,), (done,) = first["items"], then["items"]
    assert (opened["number"], opened["owner"], opened["due_on"]) == (2, "ben", f"{states.SESSION}")
    assert (opened["what"], opened["done_at"]) == ("compare before the open", None)
    assert (done["number"], done["done_by"], done["outcome"]) == (1, "ben", "booked")
    assert look(console, "/incidents/actions?book=us_wide")["items"] == []


def test_a_cooldown_is_ended_as_it_was_seen_by_an_admin(tmp_path):
    with console_on(tmp_path) as console:
        console.desk.settings.profile_dir.mkdir(parents=True)
        with SqlJournal(console.desk.settings.journal_url) as journal:
            states.a_cooling_account(journal)
        (shown,) = look(console, "/cooldowns")["items"]
        asked = {"reason": "it was the line", "account": "SIM-FIVE", "began_at": shown["began_at"]}
        another = change(
            console, "/cooldowns/end", asked | {"began_at": "2013-02-27T00:00:00Z"}, role=Role.ADMIN
        )
        by_trader = change(console, "/cooldowns/end", asked)
        rehearsed = change(console, "/cooldowns/end", asked, role=Role.ADMIN, dry_run=True)
        ended = change(console, "/cooldowns/end", asked, role=Role.ADMIN)
        again = change(console, "/cooldowns/end", asked, role=Role.ADMIN)

        assert (another.status, another.json["code"]) == (409, "stale_version")
        assert by_trader.status == 403
        assert (rehearsed.status, ended.status) == (200, 200)
        assert ended.json["item"]["actor"] == "admin program"
        assert (again.status, again.json["code"]) == (404, "unknown_id")


def test_a_parked_intent_is_concluded_by_the_word_of_an_admin_who_saw_it(tmp_path):
    with console_on(tmp_path) as console:
        console.desk.settings.profile_dir.mkdir(parents=True)
        with SqlJournal(console.desk.settings.journal_url) as journal:
            row = states.a_parked_intent(journal)
        path, asked = f"/intents/{row.intent_id}/conclude", {"reason": "searched", "version": row.version}
        unproven = change(console, path, asked, role=Role.ADMIN)
        stale = change(console, path, asked | {"version": 99, "on_my_word": True}, role=Role.ADMIN)
        by_trader = change(console, path, asked | {"on_my_word": True})
        ended = change(console, path, asked | {"on_my_word": True}, role=Role.ADMIN)

        assert unproven.status == 409
        assert (stale.status, stale.json["code"]) == (409, "stale_version")
        assert by_trader.status == 403
        assert ended.json["item"]["state"] == "expired"


def test_a_cancel_is_bound_to_the_version_that_was_seen(console, journal, started):
    intent = look(console, "/intents?book=us_five&state=pending_approval")["items"][0]
    path = f"/orders/{intent['intent_id']}/cancel"
    stale = change(console, path, {"reason": "wrong", "version": 9})
    done = change(console, path, {"reason": "wrong", "version": intent["version"]})

    assert (stale.status, stale.json["code"]) == (409, "stale_version")
    assert done.json["item"]["asked"]["state"] == "cancelled"
    assert done.json["item"]["then"]["how"] == "not"
    assert started == []


def test_a_cancel_of_an_order_at_the_broker_is_stored_and_has_the_broker_asked(tmp_path):
    with console_on(tmp_path) as console:
        console.desk.settings.profile_dir.mkdir(parents=True)
        with SqlJournal(console.desk.settings.journal_url) as journal:
            row, order = states.a_prepared_intent(journal)
            at_broker = BrokerOrder(
                broker_order_id="b-1",
                client_order_id=order.client_order_id,
                symbol=row.intent.symbol,
                side=row.intent.side,
                quantity=row.quantity,
                filled_quantity=0,
                status=OrderStatus.WORKING,
            )
            working = journal.acknowledge(row.intent_id, epoch=row.epoch, order=at_broker, now=states.OPEN)
        body = {"reason": "wrong size", "version": working.version}
        rehearsed = change(console, f"/orders/{row.intent_id}/cancel", body, dry_run=True)
        asked = change(console, f"/orders/{order.client_order_id}/cancel", body)
        again = change(console, f"/orders/{row.intent_id}/cancel", body)

        assert rehearsed.json["item"]["then"]["how"] == "not"
        assert asked.json["item"]["asked"]["state"] == "executing"
        assert console.started == [("reconcile", "us_five")]
        assert (again.status, again.json["code"]) == (409, "stale_version")
        traced = look(console, f"/orders/{row.intent_id}")["item"]
        assert traced["orders"][0]["cancel_kind"] == "cancel"


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/approvals/AAPL@2013-02-28/approve", Role.TRADER),
        ("/control/halt", Role.TRADER),
        ("/control/pause", Role.TRADER),
        ("/orders/AAPL@2013-02-28/cancel", Role.TRADER),
        ("/halts/lift", Role.ADMIN),
        ("/cooldowns/end", Role.ADMIN),
        ("/intents/AAPL@2013-02-28/conclude", Role.ADMIN),
    ],
)
def test_a_change_takes_its_role(console, journal, path, needed):
    lower = list(Role)[list(Role).index(needed) - 1]
    reply = change(console, path, {"reason": "because"}, role=lower)

    assert reply.status in {403, 422}
    assert journal.run_control().actor == ""


@pytest.mark.parametrize(("what", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_an_answer_by_who_may_only_look_is_refused_and_kept(console, journal, started, what, state):
    path, body = seen(console)
    *_, last = journal.events(after=0, limit=10**6)
    rehearsed = console.ask("POST", f"{API}{path}/{what}?dry_run=1", role=Role.VIEWER, body=body)
    kept_of_rehearsal = journal.events(after=last.seq, limit=9)
    refused = change(console, f"{path}/{what}", body, role=Role.VIEWER)
    unknown = change(console, f"/approvals/nothing-like-it/{what}", body, role=Role.VIEWER)

    assert [(one.status, one.json["code"]) for one in (rehearsed, refused, unknown)] == [
        (403, "role_needed")
    ] * 3
    assert kept_of_rehearsal == []
    [event] = journal.events(after=last.seq, limit=9)
    assert (event.kind, event.reason, event.actor) == ("answer_refused", "wrong_role", "viewer program")
    assert (event.intent_id, event.body["answer"]) == (path.rpartition("/")[2], state)
    assert started == []


# ------------------------------------------------------------------------------------- once a key


def test_the_same_change_under_the_same_key_is_done_once_and_answered_alike(console, journal, started):
    path, body = seen(console)
    first, again = (change(console, f"{path}/approve", body, key="key-1") for _ in range(2))

    assert (first.status, first.body) == (again.status, again.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert started == [("execute", "us_five")]


def test_a_refusal_under_a_key_is_answered_alike(console, journal, started):
    path, body = seen(console)
    first, again = (change(console, f"{path}/approve", body | {"version": 5}, key="key-2") for _ in range(2))

    assert first.status == again.status == 409
    assert first.body == again.body


def test_another_change_under_the_same_key_is_refused(console, journal):
    change(console, "/control/pause", {"reason": "one"}, key="key-3")
    other = change(console, "/control/pause", {"reason": "two"}, key="key-3")

    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    assert journal.run_control().reason == "one"


def test_a_key_says_nothing_for_somebody_else(console, journal):
    for role in (Role.TRADER, Role.ADMIN):
        change(console, "/control/pause", {"reason": str(role)}, key="key-4", role=role)

    assert journal.run_control().reason == "admin"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.TRADER])
def test_a_key_says_nothing_for_another_token_of_the_same_name(console, journal, role):
    tokens = [
        console.tokens.make(name="ada", role=one, now=console.clock.instant).secret
        for one in (Role.ADMIN, role)
    ]
    answers = [
        console.ask(
            "POST",
            f"{API}/control/degrade",
            body={"reason": "wait"},
            headers={"Idempotency-Key": f"key-ada-{role}", "Authorization": f"Bearer {token}"},
        )
        for token in tokens
    ]

    assert [one.status for one in answers] == [200, 403 if role is Role.VIEWER else 200]
    assert "idempotency-replayed" not in answers[1].headers


def test_a_browser_is_held_to_its_pages_token_before_an_answer_is_looked_up(console, journal):
    browser = console.signed_in(Role.TRADER)
    csrf, key = {"X-CSRF-Token": console.csrf_of(browser)}, {"Idempotency-Key": "key-browser"}
    given = [{**browser, **csrf, **key}, {**browser, **key}, {**browser, **csrf, **key}]
    answers = [
        console.ask("POST", f"{API}/control/pause", body={"reason": "wait"}, headers=headers)
        for headers in given
    ]

    assert [one.status for one in answers] == [200, 403, 200]
    assert ["idempotency-replayed" in one.headers for one in answers] == [False, False, True]


@pytest.mark.parametrize("said", ["0", "False", "off", "no"])
def test_what_is_no_dry_run_in_other_words_is_done_once_a_key(console, journal, said):
    def events():
        return len(journal.events(after=0, limit=10**6))

    before = events()
    asked = f"/control/pause?dry_run={said}"
    first, again = (change(console, asked, {"reason": said}, key=f"key-{said}") for _ in range(2))

    assert [first.status, again.status] == [200, 200]
    assert again.headers["idempotency-replayed"] == "true"
    assert events() == before + 1


@pytest.mark.parametrize("said", ["1", "True", "on"])
def test_a_dry_run_in_other_words_takes_no_key(console, journal, said):
    key = f"key-dry-{said}"
    rehearsed = change(console, f"/control/pause?dry_run={said}", {"reason": "wait"}, key=key)
    done = change(console, "/control/pause", {"reason": "wait"}, key=key)

    assert [rehearsed.json["dry_run"], done.json["dry_run"]] == [True, False]


def test_what_was_never_tried_may_be_asked_again_under_its_key(console, journal):
    wrong = change(console, "/control/pause", {"reason": ""}, key="key-5")
    right = change(console, "/control/pause", {"reason": "wait"}, key="key-5")

    assert (wrong.status, right.status) == (422, 200)


def test_a_change_without_a_key_is_refused(console, journal):
    reply = console.ask("POST", f"{API}/control/pause", role=Role.TRADER, body={"reason": "wait"})

    assert (reply.status, reply.json["code"]) == (400, "idempotency_key_missing")


def test_of_a_request_that_died_with_its_server_nobody_knows(console, journal):
    answers = console.app.state.answers
    body = {"reason": "wait"}
    asked = sha256(f"POST {API}/control/pause?\n".encode() + json.dumps(body).encode()).hexdigest()
    token = console.tokens.recognise(console.token(Role.TRADER), now=console.clock.instant)
    answers.begin(f"{token.key} trader", "key-6", asked, now=console.clock.instant)
    waiting = change(console, "/control/pause", body, key="key-6")
    answers.give_up(f"{token.key} trader", "key-6")
    unknown = change(console, "/control/pause", body, key="key-6")

    assert (waiting.status, waiting.json["code"]) == (409, "idempotency_in_progress")
    assert (unknown.status, unknown.json["code"]) == (409, "idempotency_outcome_unknown")


def test_an_answer_is_known_to_a_server_that_was_started_anew(tmp_path):
    answers, headers = [], {"Idempotency-Key": "key-7"}
    for _ in range(2):
        with console_on(tmp_path) as console:
            headers.setdefault("Authorization", f"Bearer {console.token(Role.TRADER)}")
            body = {"reason": "wait"}
            answers.append(console.ask("POST", f"{API}/control/pause", body=body, headers=headers))

    assert [reply.status for reply in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    assert answers[1].headers["idempotency-replayed"] == "true"


# ------------------------------------------------------------------------------------- one set of actions


def test_what_the_api_did_the_command_line_shows(console, journal, capsys, monkeypatch, tmp_path):
    change(console, "/control/halt", {"reason": "over the wire"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(console.desk.settings.state_dir))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(console.desk.settings.config_dir))

    assert main(["status"]) == 5
    assert "HALTED by trader program: over the wire" in capsys.readouterr().out
    assert journal.run_control().kill_switch_on
