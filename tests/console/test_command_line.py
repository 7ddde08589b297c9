"""The command line as people and scripts meet it: in process, on a real journal and a real lake."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
import types
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from console import reference
from console.book_outlines import read_book_outlines
from console.cli import main
from console.desk import open_desk
from resources.audit_log import project
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.paper_broker.ledger import Ledger
from tests.console.states import (
    BEFORE,
    CLOSE,
    NOW,
    OF,
    OPENED,
    SESSION,
    a_blocked_intent,
    a_filled_intent,
    a_pending_intent,
    an_approved_intent,
    decided,
)
from trading.approvals import ApprovalMode, ChainStage, StageRecord, StageVerdict
from trading.decisions import Outcome
from trading.errors import BadSetting
from trading.journal import RunControlAction
from trading.reporting import ReportFile
from trading.testing import example_decision, example_intent
from trading.values import digest

ROOT = Path(__file__).resolve().parents[2]
READING_VERBS = [
    ["status"],
    ["why"],
    ["positions"],
    ["orders"],
    ["alerts"],
    ["stuck"],
    ["signals"],
    ["slo"],
    ["outbound"],
    ["deliveries"],
    ["approvals", "list"],
    ["config", "show"],
    ["datasets", "list"],
    ["quarantine", "list", "--book", "us_five"],
    ["doctor"],
]


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="module")
def empty_journal(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    SqlJournal(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    """Give an empty state folder that the settings point at; the reviewed files are the project's."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(folder))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setenv("TRADING_OPERATOR", "anna")
    return folder


@pytest.fixture
def speak(state, capsys):
    def speak_words(*words: str) -> Spoken:
        code = main(words)
        captured = capsys.readouterr()
        return Spoken(code, captured.out, captured.err)

    return speak_words


@pytest.fixture
def journal(state, empty_journal):
    path = state / "simulated" / "journal.db"
    path.parent.mkdir()
    shutil.copy(empty_journal, path)
    with SqlJournal(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture
def ledger(state, journal) -> None:
    """Give the paper broker its file, which has to be there once the journal says that it took orders."""
    Ledger(state / "simulated" / "paper" / "SIM-FIVE.db")


@pytest.fixture
def lake(state) -> Lake:
    return Lake(str(state / "simulated" / "lake"))


@pytest.fixture
def launched(monkeypatch) -> list[tuple[str, date]]:
    """Stand in for the launcher, so that no test starts the graph; remember what was launched."""
    calls: list[tuple[str, date]] = []

    class Launcher:
        def launch_execute(self, book, session):
            calls.append((book, session))
            return types.SimpleNamespace(how="process", run_id="run-1", success=True, message="")

        def run_sessions(self, book, sessions, phases, progress):
            progress(f"{book} {sessions[0]} {','.join(phases)}")
            calls.extend((book, session) for session in sessions)
            return [
                types.SimpleNamespace(
                    session=session,
                    run_id="run-2",
                    success=book == "us_five",
                    stage="",
                    message="",
                    refused=False,
                    refused_by="",
                )
                for session in sessions
            ]

        def settle_carried(self, book, session, *, actor, reason):
            calls.append((book, session))
            with open_desk().open_journal() as journal:
                rows = journal.intents(book=book, lane="simulated", session=session)
            return types.SimpleNamespace(run_id="run-3", success=True, stage="", message=""), rows

        def run_demo(self, progress):
            progress("running")
            return []

    module = types.ModuleType("console.launcher")
    module.open_launcher = Launcher
    monkeypatch.setitem(sys.modules, "console.launcher", module)
    return calls


# ------------------------------------------------------------------------------------- nothing yet


@pytest.mark.parametrize("words", READING_VERBS, ids=" ".join)
def test_on_an_empty_state_a_look_says_so_ends_well_and_makes_nothing(speak, state, words):
    spoken = speak(*words)

    assert spoken.code == 0
    assert spoken.err == ""
    assert not (state / "simulated").exists()


@pytest.mark.parametrize("words", READING_VERBS, ids=" ".join)
def test_with_json_a_look_prints_exactly_one_object(speak, words):
    assert isinstance(speak(*words, "--json").json, dict)


def test_an_empty_desk_names_the_next_command(speak):
    spoken = speak("status")

    assert spoken.out.startswith("NOTHING YET")
    assert "trading demo" in spoken.out
    assert "trading run-once --book us_five" in spoken.out


def test_a_report_that_is_not_there_yet_is_refused_with_the_command_that_makes_it(speak):
    spoken = speak("report", "--book", "us_five")

    assert spoken.code == 2
    assert "trading run-once --book us_five" in spoken.err


def test_a_report_of_a_date_that_is_no_session_is_refused_with_why_and_names_no_run(speak):
    session = speak("report", "--book", "us_five", "--session", "2013-03-01")
    saturday = speak("report", "--book", "us_five", "--session", "2013-03-02")

    assert (session.code, saturday.code) == (2, 2)
    assert "`trading run-once --book us_five --session 2013-03-01` writes it" in session.err
    assert "2013-03-02 is no session of XNYS: weekend" in saturday.err
    assert "run-once" not in saturday.err


# ------------------------------------------------------------------------------------- waiting, blocked


def test_a_pending_approval_asks_for_attention(speak, journal):
    a_pending_intent(journal)

    spoken = speak("status")

    assert spoken.code == 3
    assert spoken.out.startswith("ATTENTION: us_five: 1 awaiting approval")
    assert "trading approvals list" in spoken.out


def test_why_names_the_approval_that_is_waited_for(speak, journal):
    a_pending_intent(journal)

    spoken = speak("why", "--book", "us_five")

    assert spoken.code == 3
    assert "stopped at approved: 1 awaiting approval: AAPL until 2013-02-28 21:00:00 UTC" in spoken.out


def test_why_names_the_guard_that_stopped_everything(speak, journal):
    a_blocked_intent(journal)

    (answer,) = speak("why", "--book", "us_five", "--json").json["books"]

    assert answer["stopped_at"] == "passed the guards"
    assert answer["reason"] == "all blocked: 1 blocked"


def test_why_names_the_holiday(speak):
    spoken = speak("why", "--book", "us_five", "--session", "2013-02-18")

    assert spoken.code == 0
    assert "2013-02-18 is no session of XNYS: " in spoken.out
    assert "weekend" not in spoken.out


def test_why_tells_what_the_maker_of_an_empty_table_said(speak, journal, lake):
    decided(journal)
    empty = pa.table({"symbol": pa.array([], pa.string())})
    lake.write(("us_five", "market_quotes"), str(BEFORE), pa.table({"symbol": ["AAPL"]}))
    lake.write(("us_five", "candidates"), str(SESSION), empty, extra={"why_none": "5 low_confidence"})

    (answer,) = speak("why", "--book", "us_five", "--json").json["books"]

    assert (answer["stopped_at"], answer["reason"]) == ("candidates", "5 low_confidence")


def test_a_refused_session_asks_for_attention_and_says_which_stage_refused(speak, journal):
    journal.record_refusal(**OF, stage="opening_book", reason="2013-02-27 is not settled", now=NOW)

    status = speak("status")
    why = speak("why", "--book", "us_five")

    assert status.code == why.code == 3
    assert "refused, opening_book: 2013-02-27 is not settled" in status.out
    assert "stopped at opening_book: refused: 2013-02-27 is not settled" in why.out


def test_explain_shows_every_guard_with_units_and_the_largest_size_that_passes(speak, journal):
    a_blocked_intent(journal)

    spoken = speak("explain", "IBM@2013-02-28")
    guards = {row["guard"]: row for row in speak("explain", "IBM@2013-02-28", "--json").json["guards"]}

    assert spoken.code == 0
    assert "stopped by symbol_cap" in spoken.out
    assert "largest quantity that passes them all: 7" in spoken.out
    assert guards["symbol_cap"]["observed"] == "900.00 USD"
    assert guards["symbol_cap"]["limit"] == "200,000.00 USD"
    assert guards["kill_switch"]["largest_quantity"] is None


# ------------------------------------------------------------------------------------- approving


def test_a_preview_shows_weights_price_age_margins_and_what_an_approval_binds(speak, journal):
    row = a_pending_intent(journal)

    view = speak("approvals", "preview", "AAPL@2013-02-28", "--json").json

    assert (view["weight_before_bps"], view["weight_after_bps"]) == (0, 700)
    assert view["equity"] == "1000000"
    assert view["priced_on"] == "2013-02-27"
    assert view["pending"]["payload_hash"] == row.payload_hash
    assert view["pending"]["not_after"] == "2013-02-28T21:00:00Z"
    assert view["largest_quantity"] == 7


def test_a_preview_says_what_run_control_would_do_to_it_at_its_send(speak, journal):
    a_pending_intent(journal)
    assert speak("approvals", "preview", "AAPL@2013-02-28", "--json").json["notices"] == []

    journal.set_run_control(RunControlAction.DEGRADE, actor="ben", reason="odd prices", now=NOW)
    (degraded,) = speak("approvals", "preview", "AAPL@2013-02-28", "--json").json["notices"]
    journal.set_run_control(RunControlAction.HALT, actor="ben", reason="odd prices", now=NOW)

    assert "a buy needs an allowlisted symbol" in degraded
    assert "! trading is halted by ben" in speak("approvals", "preview", "AAPL@2013-02-28").out


def test_the_second_of_two_persons_is_told_so_and_why_the_system_asks(speak, journal):
    intent = example_intent("AAPL", quantity=700)
    waits = StageRecord(ChainStage.PERSON, StageVerdict.WAITING, "auto", "large_order", "", 2, CLOSE, NOW)
    decision = example_decision(intent, outcome=Outcome.PENDING_APPROVAL, not_after=CLOSE)
    decided(journal, replace(decision, chain=(waits,)))
    speak("approvals", "approve", "AAPL@2013-02-28", "--reason", "looks fine", "--yes")

    listed = speak("approvals", "list", "--json").json["items"]
    previewed = speak("approvals", "preview", "AAPL@2013-02-28").out

    assert [(row["reason"], row["approvers"], row["approved_by"]) for row in listed] == [
        ("large_order", 2, ["anna"])
    ]
    assert "needs 2 persons" in previewed
    assert "large_order, anna approved already" in previewed


def test_an_approval_that_could_not_be_executed_is_not_stored(speak, journal, launched, state, monkeypatch):
    row = a_pending_intent(journal)
    config = shutil.copytree(ROOT / "config", state.parent / "config")
    with (config / "limits.toml").open("a", encoding="utf-8") as limits:
        limits.write('\n[us_fve]\norder_notional_max = "1"\n')
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))

    spoken = speak("approvals", "approve", row.intent_id, "--reason", "yes", "--yes")

    assert spoken.code == 2
    assert "us_fve" in spoken.err
    assert journal.intent(row.intent_id) == row
    assert launched == []


def test_an_approval_is_kept_with_its_actor_and_launches_the_execution(speak, journal, launched):
    row = a_pending_intent(journal)

    spoken = speak("approvals", "approve", row.intent_id[:12], "--reason", "looked at it", "--yes")

    assert spoken.code == 0
    assert "execution: run here, run run-1" in spoken.out
    assert launched == [("us_five", SESSION)]
    assert journal.intent(row.intent_id).state == "approved"
    assert journal.events_of(row.intent_id)[-1].actor == "anna"
    assert journal.events_of(row.intent_id)[-1].reason == "looked at it"


def test_a_rejection_under_another_name_launches_nothing(speak, journal, launched):
    row = a_pending_intent(journal)

    spoken = speak("approvals", "reject", row.intent_id, "--reason", "no", "--as", "ben", "--yes", "--json")

    assert (spoken.code, spoken.json["state"], spoken.json["actor"]) == (0, "rejected", "ben")
    assert launched == []


def test_the_same_answer_twice_is_refused(speak, journal, launched):
    row = a_pending_intent(journal)
    speak("approvals", "approve", row.intent_id, "--reason", "yes", "--yes")

    again = speak("approvals", "approve", row.intent_id, "--reason", "yes", "--yes")

    assert again.code == 4
    assert "is approved since" in again.err
    assert len(launched) == 1


@pytest.mark.parametrize("stale", [["--payload", "0" * 64], ["--version", "7"]], ids=["payload", "version"])
def test_an_approval_of_what_has_changed_since_is_refused_and_changes_nothing(
    speak, journal, launched, stale
):
    row = a_pending_intent(journal)

    spoken = speak("approvals", "approve", row.intent_id, "--reason", "yes", "--yes", *stale)

    assert spoken.code == 4
    assert journal.intent(row.intent_id) == row
    assert launched == []


def test_an_approval_while_halted_stands_and_launches_nothing(speak, journal, launched):
    row = a_pending_intent(journal)
    journal.set_run_control(RunControlAction.HALT, actor="ben", reason="odd prices", now=NOW)

    spoken = speak("approvals", "approve", row.intent_id, "--reason", "yes", "--yes")

    assert spoken.code == 5
    assert "not launched: halted by ben" in spoken.out
    assert launched == []


def test_without_a_yes_nothing_is_approved(speak, journal, launched, monkeypatch):
    row = a_pending_intent(journal)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))  # nobody answers

    spoken = speak("approvals", "approve", row.intent_id, "--reason", "yes", "--json")

    assert spoken.code == 1
    assert spoken.json["error"]["message"].startswith("not confirmed: nothing was changed")
    assert journal.intent(row.intent_id) == row


# ------------------------------------------------------------------------------------- stopping


def test_halt_stops_and_every_look_says_so(speak, journal):
    an_approved_intent(journal)
    halted = speak("halt", "--reason", "prices look wrong")
    again = speak("halt", "--reason", "still")
    status = speak("status")
    why = speak("why", "--book", "us_five")

    assert (halted.code, again.code, status.code) == (0, 0, 5)
    assert again.out.startswith("HALTED by anna: still")
    assert status.out.startswith("HALTED by anna: still")
    assert why.code == 5
    assert "stopped at run control: halted by anna" in why.out
    assert journal.run_control().kill_switch_on


def test_halt_works_before_there_is_any_journal_and_says_that_nothing_was_done_there(speak, state):
    halted = speak("halt", "--reason", "first thing")

    assert halted.code == 3
    assert f"nothing was ever done here: no audit log or paper ledger below {state}" in halted.out
    assert "is TRADING_STATE_DIR the desk's own?" in halted.out
    assert f"HALTED by anna: first thing; profile simulated, {state / 'simulated'}; having" in halted.err
    assert speak("status").code == 5


def test_a_lake_that_cannot_be_looked_at_stops_no_halt(speak, state, monkeypatch):
    def unlisted(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("console.lake_pointers.LakePointers.tables", unlisted)

    assert speak("halt", "--reason", "first thing").code == 0
    assert speak("status").code == 5


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("TRADING_BOOKS_FILE", "nowhere.toml"),
        ("TRADING_EXECUTION_ENABLED", "nope"),
        ("TRADING_PROFIL", "simulated"),
        ("TRADING_JOURNAL_URL", "mysql://x"),
    ],
)
def test_a_halt_that_a_setting_stops_says_that_nothing_is_halted(speak, monkeypatch, setting, value):
    monkeypatch.setenv(setting, value)

    spoken = speak("halt", "--reason", "x")

    assert (spoken.code, spoken.out) == (2, "")
    assert spoken.err.startswith("trading: NOT HALTED: ")
    assert "What is open at a broker stays open" in spoken.err


def test_a_halt_without_a_reason_says_that_nothing_is_halted(speak):
    spoken = speak("halt")

    assert (spoken.code, spoken.out) == (2, "")
    assert spoken.err.startswith("trading: NOT HALTED: Missing option '--reason'; see `trading halt --help`")


def test_a_day_that_no_month_has_is_told_from_one_that_is_written_otherwise(speak):
    told = [speak("orders", "--book", "us_five", "--session", day).err for day in ("2013-02-30", "30.02.13")]

    assert told == [
        "trading: date '2013-02-30': no such date\n",
        "trading: date '30.02.13': write it as YYYY-MM-DD, e.g. 2013-03-01\n",
    ]


def test_a_books_file_that_cannot_be_read_is_a_setting_to_correct(tmp_path):
    with pytest.raises(BadSetting, match=r"Is a directory; make it readable, or set TRADING_BOOKS_FILE$"):
        read_book_outlines(tmp_path)


def test_a_halt_on_a_disk_that_does_not_answer_says_that_nothing_is_halted(speak, monkeypatch):
    def unlisted(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("console.verbs.deciding.change_control", unlisted)

    spoken = speak("halt", "--reason", "x")

    assert (spoken.code, spoken.out) == (6, "")
    assert spoken.err.startswith("trading: NOT HALTED: [Errno 5] Input/output error. What is open")


@pytest.fixture
def full():
    """Give a file on which nothing can be written."""
    # What was not written is tried once more when it is closed.
    with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as file:
        yield file


def test_where_nobody_can_be_told_of_a_halt_what_is_open_is_cancelled(speak, journal, full, monkeypatch):
    an_approved_intent(journal)
    monkeypatch.setattr("sys.stderr", full)

    spoken = speak("halt", "--reason", "prices look wrong", "--json")

    assert spoken.code == 0
    assert spoken.json["cancels"]["problem"] == ""
    assert journal.run_control().kill_switch_on


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
def test_an_answer_that_finds_no_room_is_no_defect_and_what_was_asked_is_done(
    speak, journal, full, monkeypatch, words
):
    monkeypatch.setattr("sys.stdout", full)

    spoken = speak("pause", "--reason", "waiting", *words)

    assert spoken.code == 1
    assert spoken.err == (
        "trading: the answer could not be written (No space left on device): what was asked for is done; "
        "look again where there is room\n"
    )
    assert journal.run_control().paused


def test_a_halt_ends_in_two_steps_that_name_it(speak, journal):
    speak("halt", "--reason", "prices look wrong")

    first = speak("resume", "--reason", "fine again", "--json")
    wrong = speak("resume", "--reason", "fine again", "--confirm", "resume-00000000", "--yes")
    second = speak("resume", "--reason", "fine again", "--confirm", first.json["confirm"], "--yes")

    assert (first.code, first.json["halted_by"]) == (5, "anna")
    assert wrong.code == 4
    assert "is not the halt in force" in wrong.err
    assert second.code == 0
    assert not journal.run_control().kill_switch_on


def test_the_command_that_ends_a_halt_can_be_pasted_whatever_its_reason_says(speak, journal):
    reason = 'the desk said "$(fine)" at 10:00'
    speak("halt", "--reason", "prices look wrong")

    told = speak("resume", "--reason", reason).out

    pasted = shlex.split(told.partition("if that is over: ")[2].splitlines()[0])
    assert pasted[:5] == ["trading", "resume", "--reason", reason, "--confirm"]


def test_the_word_of_one_halt_does_not_end_another(speak, journal):
    speak("halt", "--reason", "one")
    word = speak("resume", "--reason", "over", "--json").json["confirm"]
    speak("resume", "--reason", "over", "--confirm", word, "--yes")
    speak("halt", "--reason", "another")

    assert speak("resume", "--reason", "over", "--confirm", word, "--yes").code == 4
    assert journal.run_control().kill_switch_on


def test_a_second_halt_is_kept_and_the_word_of_the_first_does_not_end_it(speak, journal):
    an_approved_intent(journal)
    speak("halt", "--reason", "one")
    word = speak("resume", "--reason", "over", "--json").json["confirm"]
    second = speak("halt", "--reason", "another", "--as", "ben")

    refused = speak("resume", "--reason", "over", "--confirm", word, "--yes")

    assert (second.code, refused.code) == (0, 4)
    assert "HALTED by ben: another" in second.out
    assert journal.run_control().kill_switch_on
    assert speak("resume", "--reason", "over", "--json").json["halted_by"] == "ben"


def test_the_word_of_a_halt_does_not_end_an_incident_after_it(speak, journal):
    speak("halt", "--reason", "one")
    word = speak("resume", "--reason", "over", "--json").json["confirm"]
    journal.record_incident(
        kind="order_mismatch", account="SIM-FIVE", intent_id="", detail="d", is_halting=True, now=NOW
    )

    assert speak("resume", "--reason", "over", "--confirm", word, "--yes").code == 4
    assert journal.run_control().kill_switch_on


def test_the_mode_of_approvals_is_shown_stored_with_who_and_why_and_taken_back(speak, journal):
    before = speak("approvals", "mode", "--json").json
    stored = speak("approvals", "mode", "manual", "--reason", "wild news", "--as", "ann", "--json").json
    control = journal.run_control()
    shown = speak("approvals", "mode").out
    unsaid = speak("approvals", "mode", "auto")
    unknown = speak("approvals", "mode", "never", "--reason", "x")
    back = speak("approvals", "mode", "reviewed", "--reason", "calm again", "--json").json

    assert before["mode"] == "reviewed"
    assert (stored["mode"], stored["changed"], stored["actor"], stored["reason"]) == (
        "manual",
        True,
        "ann",
        "wild news",
    )
    assert control.approval_mode is ApprovalMode.MANUAL
    assert "wanted manual in all books" in shown
    assert (unsaid.code, unknown.code) == (2, 2)
    assert "one of manual, auto, shadow_auto, reviewed" in unknown.out + unknown.err
    assert back["mode"] == "reviewed"
    assert journal.run_control().approval_mode is None


def test_a_pause_is_ended_in_one_step_and_never_lowers_a_halt(speak, journal):
    assert speak("pause", "--reason", "lunch").code == 0
    assert speak("status").code == 3
    assert speak("resume", "--reason", "back", "--yes").code == 0
    speak("halt", "--reason", "stop")

    assert speak("pause", "--reason", "lunch").code == 4
    assert journal.run_control().kill_switch_on


# ------------------------------------------------------------------------------------- tracing


@pytest.fixture
def traded(journal, lake):
    """Give a filled intent whose quotes, candidate and close are in the lake."""
    row, order, fill = a_filled_intent(journal)
    quotes = lake.write(
        ("us_five", "market_quotes"),
        str(BEFORE),
        pa.table({"symbol": ["AAPL"], "close_micros": [100_000_000]}),
    )
    candidate = {"symbol": "AAPL", "rank": 1, "selected": True, "reason": "selected", "score": 0.5}
    numbers = ("risk_score", "confidence", "trend", "strength", "activity", "calm", "penalty")
    candidate |= dict.fromkeys(numbers, 0.125) | {
        "regime": "trend",
        "close_micros": 100_000_000,
        "quoted_on": BEFORE,
    }
    lake.write(
        ("us_five", "candidates"),
        str(SESSION),
        pa.Table.from_pylist([candidate]),
        inputs_sha=digest([[str(BEFORE), quotes.sha]]),
    )
    lake.write(
        ("us_five", "market_quotes"),
        str(SESSION),
        pa.table({"symbol": ["AAPL"], "close_micros": [103_000_000]}),
    )
    return row, order, fill


def test_any_id_traces_to_the_same_order(speak, traded):
    row, order, fill = traded
    ids = [
        row.intent_id,
        row.intent_id[:12],
        row.intent.intent_key,
        order.client_order_id[:14],
        "b-77",
        fill.execution_id,
        "AAPL@2013-02-28",
    ]

    found = [speak("trace", identity, "--json") for identity in ids]

    assert [spoken.code for spoken in found] == [0] * len(ids)
    assert {spoken.json["intent"]["intent_id"] for spoken in found} == {row.intent_id}


def test_a_trace_goes_from_quotes_to_the_result(speak, traded):
    view = speak("trace", "AAPL@2013-02-28", "--json").json

    assert view["quotes"]["matches_decision"] is True
    assert view["quotes"]["altered"] == []
    assert view["candidate"]["rank"] == 1
    assert len(view["verdicts"]) == 3
    assert view["orders"][0]["broker_order_id"] == "b-77"
    assert view["fills"][0]["price"] == "101"
    assert view["result"] == "19"  # 10 shares from 101 to 103, less 1 of commission
    assert view["events"][0]["what"] == "registered"


def test_a_trace_tells_advice_of_shadow_as_such_and_why_there_is_none(speak, traded, lake):
    row, _, _ = traded
    advice = {
        "intent_key": row.intent.intent_key,
        "verdict": "veto",
        "factor_bps": 0,
        "ladder": 1,
        "applied": False,
        "source": "small-1",
        "rationale": "because",
    }

    def told(**said):
        lake.write(("us_five", "advice"), str(SESSION), pa.Table.from_pylist([advice | said]))
        return speak("trace", "AAPL@2013-02-28").out

    assert "in shadow, so that nothing followed: veto, 0.00% of the quantity, by small-1: because" in told()
    assert "none by small-1: time_out" in told(error_type="time_out")
    assert "shadow" not in told(ladder=2, error_type="")


def test_a_trace_says_that_a_table_it_stands_on_was_altered(speak, traded, state):
    (file,) = (state / "simulated/lake/us_five/market_quotes" / str(BEFORE)).glob("*.parquet")
    file.write_bytes(file.read_bytes() + b"x")

    spoken = speak("trace", "AAPL@2013-02-28")

    assert spoken.code == 3
    assert "ALTERED" in spoken.out
    assert file.name in spoken.out


def test_a_trace_says_that_quotes_were_imported_again_since(speak, traded, lake):
    lake.write(
        ("us_five", "market_quotes"), str(BEFORE), pa.table({"symbol": ["AAPL"], "close_micros": [99]})
    )

    assert speak("trace", "AAPL@2013-02-28", "--json").json["quotes"]["matches_decision"] is False


def test_orders_show_what_was_sent_filled_and_paid(speak, traded):
    (book,) = speak("orders", "--book", "us_five", "--json").json["books"]
    (line,) = book["orders"]

    assert (line["state"], line["filled_quantity"], line["average_price"]) == ("executed", 10, "101")
    assert line["slippage_bps"] == 100.0


# ------------------------------------------------------------------------------------- running


def test_run_once_takes_the_datas_last_session_first(speak, launched):
    spoken = speak("run-once", "--book", "us_five", "--json")

    assert spoken.code == 0
    assert launched == [("us_five", date(2013, 3, 1))]
    assert spoken.json["runs"][0]["success"] is True
    assert spoken.err == "us_five 2013-03-01 decide,execute,settle\n"


def test_run_once_goes_on_with_the_session_that_is_not_settled(speak, journal, launched):
    decided(journal)

    speak("run-once", "--book", "us_five", "--phase", "settle")

    assert launched == [("us_five", SESSION)]


def test_run_once_runs_a_settled_session_again_that_nobody_was_told_of(speak, journal, launched):
    last = {**OF, "session": date(2013, 3, 1)}
    journal.opening_book(**last, previous=SESSION, opened=OPENED, now=NOW)
    journal.settle(**last, closing=OPENED, carried_by="anna: test", now=NOW)

    speak("run-once", "--book", "us_five")

    assert launched == [("us_five", date(2013, 3, 1))]


def test_run_once_after_the_datas_last_session_has_nothing_to_do(speak, journal, lake, launched):
    last = {**OF, "session": date(2013, 3, 1)}
    journal.opening_book(**last, previous=SESSION, opened=OPENED, now=NOW)
    journal.settle(**last, closing=OPENED, carried_by="anna: test", now=NOW)
    lake.write_rows(("us_five", "daily_report"), "2013-03-01", ReportFile, [ReportFile("html", "x", "0")])

    spoken = speak("run-once", "--book", "us_five")

    assert (spoken.code, launched) == (0, [])
    assert "settled up to 2013-03-01" in spoken.err


def test_the_last_sessions_run_in_order(speak, launched):
    speak("run-once", "--book", "us_five", "--last", "3")

    assert [session for _, session in launched] == [BEFORE, SESSION, date(2013, 3, 1)]


def test_a_failed_run_and_a_refused_one_are_told_apart(speak, journal, launched):
    wide = {"book": "us_wide", "lane": "simulated", "session": date(2010, 8, 20)}

    failed = speak("run-once", "--book", "us_wide")
    journal.record_refusal(**wide, stage="candidates", reason="unfit", now=NOW)
    refused = speak("run-once", "--book", "us_wide")

    assert (failed.code, refused.code) == (1, 4)


def test_after_a_failed_run_it_is_resumed_only_where_the_stores_belong_together(speak, lake, launched):
    speak("halt", "--reason", "prices look wrong")

    stopped = speak("run-once", "--book", "us_wide").out
    lake.write(("us_wide", "decisions"), "2010-08-20", pa.table({"symbol": ["AAPL"]}))
    torn = speak("run-once", "--book", "us_wide").out

    assert "trading resume --reason TEXT" in stopped
    assert "trading resume" not in torn
    assert "next:\n  trading verify\n  trading doctor\n" in torn


@pytest.mark.usefixtures("launched")
def test_a_failed_run_is_told_also_where_the_lake_cannot_be_looked_at(speak, journal, state):
    wide = {"book": "us_wide", "lane": "simulated", "session": date(2010, 8, 20)}
    journal.record_refusal(**wide, stage="candidates", reason="unfit", now=NOW)
    (state / "simulated" / "lake" / "us_wide").mkdir(parents=True)
    (state / "simulated" / "lake" / "us_wide" / "decisions").touch()

    spoken = speak("run-once", "--book", "us_wide")

    assert spoken.code == 4
    assert "2010-08-20  FAILED" in spoken.out
    assert "next:\n  trading verify\n  trading doctor\n" in spoken.out


@pytest.mark.parametrize("verb", ["status", "verify", "doctor"])
def test_a_lake_that_cannot_be_listed_is_named_with_what_to_do(speak, journal, state, verb):
    an_approved_intent(journal)
    folder = state / "simulated" / "lake" / "us_wide" / "decisions"
    folder.parent.mkdir(parents=True)
    folder.touch()

    spoken = speak(verb)

    assert spoken.code != 0
    assert "us_wide/decisions: cannot be listed (Not a directory); put it back" in spoken.out + spoken.err


def test_a_carried_session_is_settled_under_a_name(speak, journal, launched):
    words = ["settle", "2013-02-28", "--book", "us_five", "--carry", "--reason", "quotes unfit", "--yes"]

    spoken = speak(*words, "--json")

    assert spoken.code == 0
    assert spoken.json["carried_by"] == "anna"
    assert launched == [("us_five", SESSION)]


def test_what_a_carried_session_cancels_is_named_before_and_after(speak, journal, launched):
    row = a_pending_intent(journal)
    told = f"{row.intent.side.value} {row.quantity} {row.intent.symbol} (pending approval)"
    words = ["settle", str(SESSION), "--book", "us_five", "--carry", "--reason", "quotes unfit"]

    asked = speak(*words)
    done = speak(*words, "--yes")

    assert f"without fills, cancelling {told}, as anna?" in asked.out + asked.err
    assert done.code == 0
    assert f"settled without fills by anna, having cancelled {told}" in done.out
    assert launched == [("us_five", SESSION)]


def test_the_demo_ends_with_what_happened_and_three_commands(speak, journal, launched):
    a_blocked_intent(journal)

    spoken = speak("demo")
    view = speak("demo", "--json").json

    assert spoken.code == 0
    assert "1 blocked" in spoken.out
    assert spoken.out.rstrip().splitlines()[-4].strip() == "next:"
    assert view["next"][0] == "trading explain IBM@2013-02-28"


# ------------------------------------------------------------------------------------- quarantine


@pytest.fixture
def quarantined(journal, lake):
    rows = [
        {"row_id": "aa11", "symbol": "AAPL", "reason": "unexplained_jump", "releasable": True},
        {"row_id": "bb22", "symbol": "IBM", "reason": "not_a_number", "releasable": False},
    ]
    table = pa.Table.from_pylist(
        [row | {"session": SESSION, "source": "s", "line": 1, "detail": "d"} for row in rows]
    )
    lake.write(("us_five", "quarantined_quotes"), str(SESSION), table)


def test_quarantined_rows_are_listed_by_session_and_one_by_one(speak, quarantined):
    by_session = speak("quarantine", "list", "--book", "us_five", "--json").json
    rows = speak("quarantine", "list", "--book", "us_five", "--session", "2013-02-28", "--json").json["rows"]

    assert by_session["sessions"] == [{"session": "2013-02-28", "rows": 2}]
    assert [(row["row_id"], row["reason"]) for row in rows] == [
        ("aa11", "unexplained_jump"),
        ("bb22", "not_a_number"),
    ]


def test_a_released_row_is_kept_with_its_actor_once(speak, quarantined, journal):
    words = ["quarantine", "release", "aa", "--book", "us_five", "--reason", "real", "--yes", "--json"]

    first, again = speak(*words), speak(*words)

    assert (first.json["is_new"], again.json["is_new"]) == (True, False)
    assert [(row.row_id, row.actor) for row in journal.quote_releases()] == [("aa11", "anna")]


def test_a_row_that_cannot_be_a_quote_is_not_released(speak, quarantined, journal):
    spoken = speak("quarantine", "release", "bb22", "--book", "us_five", "--reason", "real", "--yes")

    assert spoken.code == 4
    assert "not_a_number cannot be released" in spoken.err
    assert journal.quote_releases() == []


# ------------------------------------------------------------------------------------- bad input

BAD_INPUT = [
    (["trace", "int-nothing"], 2, "nothing is stored under it"),
    (["trace", "a"], 2, "write at least 4 characters"),
    (["trace", "AAPL@yesterday"], 2, "AAPL@2013-02-28"),
    (["status", "--session", "28.02.2013"], 2, "'28.02.2013'"),
    (["status", "--book", "us_fiv"], 2, "did you mean us_five?"),
    (["orders", "--book", "nowhere"], 2, "known: us_five, us_wide"),
    (["positions", "--book", "us_five", "--session", "2013-02-28"], 2, "not settled"),
    (["report"], 2, "--book: which one?"),
    (["run-once", "--phase", "dream"], 2, "decide, execute, settle, all"),
    (["run-once", "--book", "us_five", "--session", "2013-02-18"], 2, "is no session of XNYS"),
    (["run-once", "--last", "0"], 2, "at least 1"),
    (["run-once", "--last", "2", "--session", "2013-02-28"], 2, "one of them"),
    (["settle", "2013-02-28", "--book", "us_five", "--reason", "x"], 2, "--carry"),
    (["halt", "--reason", "  "], 2, "say why"),
    (["halt", "--reason", "x", "--as", " "], 2, "say who acts"),
    (["halt"], 2, "--reason"),
    (
        ["quarantine", "release", "abcd", "--book", "us_five", "--reason", "x", "--yes"],
        2,
        "nothing is quarantined",
    ),
    (["status", "--bogus"], 2, "--bogus"),
    (["bogus"], 2, "bogus"),
]


@pytest.mark.parametrize(("words", "code", "said"), BAD_INPUT, ids=[" ".join(case[0]) for case in BAD_INPUT])
def test_bad_input_ends_with_one_line_that_says_what_was_wrong(speak, journal, words, code, said):
    spoken = speak(*words)

    assert spoken.code == code
    assert spoken.out == ""
    assert said in spoken.err
    assert len(spoken.err.splitlines()) == 1


@pytest.mark.parametrize(("words", "code", "said"), BAD_INPUT, ids=[" ".join(case[0]) for case in BAD_INPUT])
def test_with_json_bad_input_is_one_object_with_the_same_code(speak, journal, words, code, said):
    error = speak(*words, "--json").json["error"]

    assert error["exit_code"] == code
    assert said in error["message"]
    assert set(error) == {"code", "message", "exit_code"}


def test_an_id_that_fits_several_names_them(speak, journal):
    intents = [example_intent("AAPL"), example_intent("IBM")]
    decided(journal, *(example_decision(intent, not_after=CLOSE) for intent in intents))

    spoken = speak("trace", "int-")

    assert spoken.code == 2
    assert "fits 2 intents" in spoken.err
    assert "AAPL 2013-02-28" in spoken.err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TRADING_PROFILE", "wild", "TRADING_PROFILE"),
        ("TRADING_PROFIL", "live", "TRADING_PROFILE"),
        ("TRADING_BOOKS_FILE", "nowhere.toml", "nowhere.toml"),
    ],
)
def test_a_bad_setting_is_named(speak, monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)

    status, doctor = speak("status"), speak("doctor")

    assert status.code == 2
    assert said in status.err
    assert doctor.code == 1
    assert "FAIL  settings" in doctor.out
    assert said in doctor.out


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("nowhere.toml", "nowhere.toml: No such file"),
        (".", "Is a directory"),
        (str(ROOT / "config" / "limits.toml"), "Extra inputs are not permitted"),
    ],
    ids=["missing", "a folder", "another kind of file"],
)
def test_a_behaviour_that_is_none_is_refused_before_a_session_is_decided(
    speak, journal, monkeypatch, behaviour, why
):
    monkeypatch.setenv("TRADING_PAPER_BEHAVIOUR", behaviour)

    run = speak("run-once", "--book", "us_five", "--session", str(SESSION))
    doctor = speak("doctor")
    halted = speak("halt", "--reason", "stop")

    assert run.code == 2
    assert run.err.startswith("trading: TRADING_PAPER_BEHAVIOUR: behaviour ")
    assert why in run.err
    assert run.err.rstrip().endswith("or unset it")
    assert "FAIL  paper broker" in doctor.out
    assert why in doctor.out
    assert "\nHALTED by anna: stop\n" in halted.out
    assert journal.run_control().kill_switch_on
    assert journal.session_record(**OF) is None


@pytest.mark.parametrize("words", [["status"], ["orders"], ["halt", "--reason", "x"]], ids=" ".join)
def test_a_corrupt_journal_is_a_dependency_that_is_down(speak, journal, state, words):
    journal.close()
    path = state / "simulated" / "journal.db"
    path.write_bytes(b"this is no database" * 500)

    spoken = speak(*words)

    assert spoken.code == 6
    assert str(path) in spoken.err
    assert "Traceback" not in spoken.err


def test_a_halt_that_cannot_be_stored_says_that_it_is_none_and_what_to_do(speak, journal, state):
    journal.close()
    (state / "simulated" / "journal.db").write_bytes(b"this is no database" * 500)

    spoken = speak("halt", "--reason", "prices look wrong")

    assert spoken.code == 6
    assert "NOT HALTED" in spoken.err
    assert "cancel it at its own page" in spoken.err


def test_the_doctor_goes_on_after_a_failure_and_says_what_to_do(speak, journal, state):
    journal.close()
    (state / "simulated" / "journal.db").write_bytes(b"this is no database" * 500)

    view = speak("doctor", "--json").json
    checks = {row["check"]: row["health"] for row in view["checks"]}

    assert view["exit_code"] == 1
    assert checks["journal"] == "fail"
    assert checks["lake"] == "ok"
    assert all(row["remedy"] for row in view["checks"] if row["health"] == "fail")


def test_the_doctor_reads_the_journal_of_a_folder_of_any_name(speak, state, monkeypatch):
    monkeypatch.setenv("TRADING_STATE_DIR", str(state / "desk#1"))
    speak("halt", "--reason", "first thing")

    checks = {row["check"]: row for row in speak("doctor", "--json").json["checks"]}

    assert checks["journal integrity"]["health"] == "ok"
    assert checks["journal"]["found"] == str(state / "desk#1" / "simulated" / "journal.db")


IMPORTING_APPRISE = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""Apprise's e-mail plug-in imports a module that Python 3.11 deprecated."""

NO_HOST = "https://no_host!/secret-1"
"""A web address to the settings, and none to Apprise."""


@IMPORTING_APPRISE
@pytest.mark.parametrize(
    ("profile", "addresses", "health", "said"),
    [
        ("simulated", {}, "ok", "stdout, webhook has no address, email has no address"),
        ("paper", {}, "warn", "reach no person"),
        ("paper", {"TRADING_EMAIL_URL": "mailtos://you:pass@x.org"}, "warn", "webhook has no address"),
        ("live", {}, "fail", "reach no person"),
        ("live", {"TRADING_WEBHOOK_URL": "https://x.org/secret-1"}, "warn", "email has no address"),
        (
            "live",
            {"TRADING_WEBHOOK_URL": "https://x.org/1", "TRADING_EMAIL_URL": "mailtos://you:pass@x.org"},
            "ok",
            "told over stdout, webhook, email",
        ),
        ("simulated", {"TRADING_WEBHOOK_URL": NO_HOST}, "ok", "webhook has no address that can be used"),
        ("paper", {"TRADING_EMAIL_URL": "mailto://x.org?to=you@x.org"}, "warn", "reach no person"),
        ("live", {"TRADING_WEBHOOK_URL": NO_HOST}, "fail", "reach no person"),
    ],
)
def test_the_doctor_says_whether_a_person_is_reached(
    speak, state, monkeypatch, *, profile, addresses, health, said
):
    config = state / "config"
    shutil.copytree(ROOT / "config", config)
    policy = (config / "alerts.toml").read_text("utf-8")
    (config / "alerts.toml").write_text(
        policy.replace('["stdout", "webhook"]', '["stdout", "webhook", "email"]')
    )
    given = {"TRADING_CONFIG_DIR": str(config), "TRADING_PROFILE": profile, "TRADING_LIVE_ALLOWED": "true"}
    for name, value in (given | addresses).items():
        monkeypatch.setenv(name, value)

    (found,) = [row for row in speak("doctor", "--json").json["checks"] if row["check"] == "alerts"]

    assert found["health"] == health
    assert said in found["found"]
    assert "secret-1" not in str(found)
    assert ("TRADING_" in found["remedy"]) == (health != "ok")


@IMPORTING_APPRISE
def test_the_doctor_says_which_address_cannot_be_used_and_what_is_wrong_with_it(speak, state, monkeypatch):
    monkeypatch.setenv("TRADING_WEBHOOK_URL", NO_HOST)

    spoken = speak("doctor", "--json")

    (found,) = [row for row in spoken.json["checks"] if row["check"] == "alerts over webhook"]
    assert found["health"] == "warn"
    assert "TRADING_WEBHOOK_URL: not an address that Apprise knows: https:// needs a host" in found["found"]
    assert "secret-1" not in spoken.out + spoken.err


def test_the_doctor_says_who_changed_a_rule_of_alerts_and_why(speak, state, monkeypatch):
    changes = [
        {"code": "disk_low", "threshold": 0.02, "actor": "ada", "why": "a small disk"},
        {"code": "drawdown_high", "threshold": 0.05, "actor": "bob", "why": "a nervous week"},
    ]
    monkeypatch.setenv("TRADING_ALERT_OVERRIDES", json.dumps(changes))

    checks = {row["check"]: row for row in speak("doctor", "--json").json["checks"]}

    looser, tighter = checks["alert disk_low"], checks["alert drawdown_high"]
    assert (looser["health"], tighter["health"]) == ("warn", "ok")
    assert looser["found"] == "below 0.05 becomes below 0.02, by ada: a small disk"
    assert "TRADING_ALERT_OVERRIDES" in looser["remedy"]
    assert tighter["found"] == "above 0.1 becomes above 0.05, by bob: a nervous week"


def test_the_doctor_names_a_symbol_of_limits_or_lists_that_nothing_quotes(speak, journal, state, monkeypatch):
    config = state / "config"
    shutil.copytree(ROOT / "config", config)
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))
    lake = Lake(str(state / "simulated" / "lake"))
    before = speak("doctor", "--json").json["checks"]
    for book, symbols in (("us_five", ["AAPL", "GOOG", "IBM", "MSFT", "FB"]), ("us_wide", ["ABC"])):
        lake.write((book, "market_quotes"), str(SESSION), pa.table({"symbol": symbols}))
    whole = speak("doctor", "--json").json["checks"]
    (config / "restricted.toml").write_text(
        '[[restricted]]\npolicy = 1\nsymbol = "APPL"\nfrom = 2013-02-01\nreason = "a deal"\n'
        '[[restricted]]\npolicy = 2\nsymbol = "ABC"\nfrom = 2013-02-01\nreason = "in one book"\n'
        '[[restricted]]\npolicy = 3\nsymbol = "ABC"\nbook = "us_five"\nfrom = 2013-02-01\nreason = "x"\n'
    )
    spoken = speak("doctor", "--json").json["checks"]

    found = [next(row for row in checks if row["check"] == "symbols") for checks in (before, whole, spoken)]
    assert [row["health"] for row in found] == ["ok", "ok", "warn"]
    assert "without quotes yet" in found[0]["found"]
    assert "restricted.toml policy 1: APPL (us_five, us_wide)" in found[2]["found"]
    assert "restricted.toml policy 3: ABC (us_five)" in found[2]["found"]
    assert "policy 2" not in found[2]["found"]
    assert "correct the name" in found[2]["remedy"]


def test_the_doctor_finds_an_edited_event(speak, journal, state):
    a_blocked_intent(journal)
    journal.close()
    with sqlite3.connect(state / "simulated" / "journal.db") as connection:
        for (name,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f'drop trigger "{name}"')
        connection.execute("update events set actor = 'mallory' where seq = 1")
    connection.close()

    spoken = speak("doctor")

    assert spoken.code == 1
    assert "FAIL  audit chain" in spoken.out


def test_the_doctor_finds_a_line_changed_long_before_what_was_signed_last(speak, journal, state, monkeypatch):
    monkeypatch.setattr("resources.audit_log.TOLD_EVERY", 1)
    a_blocked_intent(journal)
    log = state / "simulated" / "audit.jsonl"
    project(journal, log)
    whole = speak("doctor")
    log.write_bytes(log.read_bytes().replace(b'"session":"2013-02-28"', b'"session":"2013-02-27"', 1))

    spoken = speak("doctor")

    assert "OK    audit log" in whole.out
    assert "audit log: 1 lines followed by their hashes" in whole.err
    assert (spoken.code, spoken.out.splitlines()[0]) == (1, "FAILED: audit log")
    assert "log line 1, event 1: hash is not that of the content" in spoken.out
    assert "`trading halt`" in spoken.out


def test_the_doctor_finds_an_altered_table(speak, traded, state):
    (file,) = (state / "simulated/lake/us_five/candidates" / str(SESSION)).glob("*.parquet")
    file.write_bytes(b"x")

    spoken = speak("doctor")

    assert spoken.code == 1
    assert str(file) in spoken.out


def test_a_secret_is_never_shown(speak, monkeypatch):
    monkeypatch.setenv("TRADING_WEBHOOK_URL", "https://hooks.example.invalid/s3cr3t")

    spoken = speak("config", "show", "--json")

    assert "s3cr3t" not in spoken.out
    assert {"variable": "TRADING_WEBHOOK_URL", "value": "****", "source": "environment"} in spoken.json[
        "settings"
    ]


# ------------------------------------------------------------------------------------- quick, and current

FOUND_SLOW = """
import sys
sys.path.insert(0, {root!r})
from console.cli import main
for words in {verbs!r}:
    main(words)
print(*sorted(set(sys.modules) & {slow!r}), file=sys.stderr)
"""
SLOW = {"dagster", "pandas", "sqlalchemy", "pyarrow", "pydantic", "numpy", "duckdb", "rich"}
QUICK_VERBS = [
    ["status"],
    ["why"],
    ["positions"],
    ["orders"],
    ["alerts"],
    ["stuck"],
    ["explain", "AAPL@2013-02-28"],
    ["approvals", "list"],
    ["approvals", "preview", "AAPL@2013-02-28"],
    ["config", "show"],
    ["datasets", "list"],
    ["trace", "AAPL@2013-02-28"],
]


def slow_imports_of(verbs) -> set[str]:
    program = FOUND_SLOW.format(root=str(ROOT), verbs=verbs, slow=SLOW)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert run.stdout
    return set(run.stderr.split())


def test_looks_import_nothing_slow(speak, journal):
    a_pending_intent(journal)
    speak("status")  # remembers the settings, which are validated slowly once

    assert slow_imports_of(QUICK_VERBS) == set()


def test_a_trace_through_tables_imports_duckdb_and_nothing_slower(speak, traded):
    speak("status")

    assert slow_imports_of([["trace", "AAPL@2013-02-28"]]) == {"duckdb"}


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_the_reference_says_what_the_verbs_say(path):
    assert path.read_text("utf-8") == reference.pages()[path], "run `python -m console.reference`"


def test_the_version_is_the_packages(speak):
    assert speak("--version").out.startswith("trading 0.")


def test_a_defect_is_one_line_that_says_how_to_see_more(speak, monkeypatch):
    def broken():
        raise RuntimeError("out of order")

    monkeypatch.setattr("console.verbs.reading.open_desk", broken)

    spoken = speak("status")

    assert spoken.code == 1
    assert spoken.err == (
        "trading: unexpected RuntimeError: out of order; this is a defect: "
        "`trading --traceback status` shows where\n"
    )
    with pytest.raises(RuntimeError):
        main(["--traceback", "status"])
