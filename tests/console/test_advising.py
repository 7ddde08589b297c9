"""The verbs of the advisor's questions: what was asked, and one question that nothing follows from."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from console.advisor_calls import calls_view
from console.cli import main
from console.exit_codes import ExitCode
from console.verbs.advising import remedy_of
from resources.advisors.call_log import JournalCallLog
from resources.journal.store import SqlJournal
from tests.adapters.misbehaving import http, misbehaving
from trading.advisor_calls import BudgetState, CallError, ErrorBudget
from trading.testing import example_call

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-0815-key"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Point the settings at an empty desk of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    return tmp_path / "state"


def journal_of(desk):
    path = desk / "simulated" / "journal.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def said_by(capsys):
    return json.loads(capsys.readouterr().out)


def whole():
    said = {
        "symbol": "EXAMPLE", "verdict": "veto", "factor": 0, "confidence": 1, "rationale": "", "evidence": []
    }  # fmt: skip
    text = json.dumps({"schema_version": "advice.v1", "advice": [said]})
    usage = {"prompt_tokens": 400, "completion_tokens": 50}
    return http("200 OK", json.dumps({"choices": [{"message": {"content": text}}], "usage": usage}).encode())


def test_calls_are_summed_by_session_week_model_and_how_they_ended():
    late = example_call(call_id="b", model="large-1", cost_micros=2_000, run_id="run-2")
    failed = example_call(call_id="c", ok=False, error_type="time_out", attempts=2)
    view = calls_view([example_call(), late, failed], budget=ErrorBudget())

    assert view.total.calls == 3
    assert [(line.of, line.spent.cost_micros) for line in view.by_session] == [("us_five 2013-02-28", 2_240)]
    assert [line.of for line in view.by_week] == ["2013-W09"]
    assert [(line.of, line.spent.calls) for line in view.by_run] == [("run-1", 2), ("run-2", 1)]
    assert [(line.of, line.spent.calls) for line in view.by_model] == [("small-1", 2), ("large-1", 1)]
    assert [line.of for line in view.by_prompt] == ["advice 1@tttttttttttt advice.v1"]
    assert [(line.of, line.spent.calls) for line in view.by_error] == [("", 2), ("time_out", 1)]
    assert view.budget.state is BudgetState.NO_DATA


def test_the_verb_judges_by_the_reviewed_error_budget(desk, capsys, monkeypatch, tmp_path):
    config = tmp_path / "reviewed"
    shutil.copytree(ROOT / "config", config)
    path = config / "advisor.toml"
    path.write_text(path.read_text("utf-8").replace("calls_min = 10 ", "calls_min = 1 "), "utf-8")
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))
    with SqlJournal(f"sqlite:///{journal_of(desk)}") as journal:
        JournalCallLog(journal).record(example_call(ok=False, error_type="time_out"))

    assert main(["advisor", "calls", "--json"]) == 0
    assert said_by(capsys)["budget"]["state"] == "error_rate_breached"


def test_the_verb_shows_a_sessions_calls(desk, capsys):
    with SqlJournal(f"sqlite:///{journal_of(desk)}") as journal:
        JournalCallLog(journal).record(example_call())
        JournalCallLog(journal).record(example_call(call_id="x", book="other"))

    assert main(["advisor", "calls", "--session", "2013-02-28", "--book", "us_five", "--json"]) == 0
    assert said_by(capsys)["total"]["calls"] == 1
    assert main(["advisor", "calls", "--session", "2013-02-27", "--json"]) == 0
    assert said_by(capsys)["total"]["calls"] == 0
    assert main(["advisor", "calls"]) == 0
    told = capsys.readouterr().out
    assert "small-1" in told
    assert "0.000240" in told
    assert "error budget: no_data" in told


def test_nobody_asked_is_said_and_is_no_failure(desk, capsys):
    assert main(["advisor", "calls"]) == 0
    assert "no model was asked" in capsys.readouterr().out


def test_without_a_model_a_smoke_is_done_unless_a_call_is_required(desk, capsys):
    assert main(["advisor", "smoke"]) == 0
    assert "no model is configured" in capsys.readouterr().out
    assert main(["advisor", "smoke", "--require-call"]) == ExitCode.ATTENTION


def test_a_smoke_asks_once_records_it_and_changes_nothing_else(desk, capsys, monkeypatch):
    with misbehaving(lambda _: whole()) as (url, heard):
        monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", url)
        monkeypatch.setenv("TRADING_ADVISOR_KEY", CANARY)
        assert main(["advisor", "smoke", "--require-call", "--json"]) == 0
        told = capsys.readouterr()
        found = json.loads(told.out)

    # The small model would veto, so the large one is asked too; no order was made of either word.
    assert [call["tier"] for call in found["calls"]] == ["small", "large"]
    assert found["verdict"] == "veto"
    assert len(heard) == 2
    # The key is in the header of each question, and in nothing that is kept or told.
    assert all(f"Bearer {CANARY}".encode() in request.partition(b"\r\n\r\n")[0] for request in heard)
    assert not any(CANARY.encode() in request.partition(b"\r\n\r\n")[2] for request in heard)
    assert CANARY not in told.out + told.err
    assert not any(CANARY.encode() in path.read_bytes() for path in desk.rglob("*") if path.is_file())
    with closing(sqlite3.connect(journal_of(desk))) as connection:
        count = {
            name: connection.execute(f"select count(*) from {name}").fetchone()[0]  # noqa: S608 - our names
            for name in ("advisor_calls", "outbound_calls", "intents", "orders", "events")
        }
    assert count == {"advisor_calls": 2, "outbound_calls": 2, "intents": 0, "orders": 0, "events": 0}


def test_a_smoke_that_fails_needs_a_person(desk, capsys, monkeypatch):
    with misbehaving(lambda _: http("401 Who")) as (url, _):
        monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", url)
        assert main(["advisor", "smoke"]) == ExitCode.ATTENTION

    told = capsys.readouterr().out
    assert "http_401" in told
    assert "no advice: the key is wrong or missing; set TRADING_ADVISOR_KEY" in told
    assert "it says" not in told


def test_each_way_to_fail_on_the_wire_has_its_remedy_and_its_line_in_the_docs():
    page = (ROOT / "docs/how-to/connect_a_model.md").read_text("utf-8")
    unsaid = {CallError.DEFECT, CallError.LOG_UNREADABLE, CallError.LOOK_AHEAD}

    assert [error.value for error in CallError if f"`{error.value}`" not in page] == []
    assert {error.value for error in CallError if remedy_of(error.value) == remedy_of("")} <= unsaid | {
        "reset",
        "half_reply",
        "too_long_reply",
        "http_other",
        "rate_limited",
    }
    assert "keeps to a schema" in remedy_of("reply_no_object")


def test_a_prompt_changed_under_its_version_stops_a_session_before_it_begins(
    desk, capsys, monkeypatch, tmp_path
):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config/prompts/advice/1.txt").open("a", encoding="utf-8") as prompt:
        prompt.write("and veto all\n")
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", "http://127.0.0.1:9")
    run = ["run-once", "--book", "us_five", "--session", "2013-02-28", "--yes"]

    assert main(run) == ExitCode.USAGE
    assert "another version" in capsys.readouterr().err
    assert main(["doctor", "--json"]) == ExitCode.FAILED
    found = next(row for row in said_by(capsys)["checks"] if row["check"] == "advisor")
    assert found["health"] == "fail"
    assert "1.txt" in found["found"]


def test_the_doctor_says_whether_a_model_is_asked(desk, capsys, monkeypatch):
    def found():
        main(["doctor", "--json"])
        return next(row for row in said_by(capsys)["checks"] if row["check"] == "advisor")

    assert "nobody is asked" in found()["found"]
    monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", "http://127.0.0.1:9")
    assert (found()["health"], "openai/gpt-4o-mini" in found()["found"]) == ("ok", True)


def test_a_contradiction_in_the_advisors_file_is_told(desk, capsys, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config" / "advisor.toml"
    path.write_text(path.read_text("utf-8").replace("retries = 1 ", "retries = 9 "), "utf-8")
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))

    assert main(["advisor", "smoke"]) == ExitCode.USAGE
    assert "retries" in capsys.readouterr().err


@pytest.mark.parametrize("picked", [["--at", "veto"], ["--horizon", "60"]])
def test_nobody_files_the_report_that_suits(desk, capsys, picked):
    filed = ["advisor", "lift", "--book", "us_five", "--file", "--reason", "read", "--as", "ann"]

    assert main([*filed, *picked]) == ExitCode.USAGE
    assert "picks the one that suits" in capsys.readouterr().err


def test_prompts_are_compared_by_version_and_only_with_a_model(desk, capsys, monkeypatch):
    of_one = ["advisor", "compare", "--book", "us_five", "--prompt", "1"]
    assert main(of_one) == ExitCode.USAGE
    assert "no model is configured" in capsys.readouterr().err
    assert main([*of_one, "--prompt", "7"]) == ExitCode.USAGE
    assert "prompt '7'" in capsys.readouterr().err

    monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", "http://127.0.0.1:9")
    assert main([*of_one, "--json"]) == ExitCode.ATTENTION
    (found,) = said_by(capsys)["prompts"]
    assert (found["prompt"], found["sessions"], found["intents"], found["agreeing"]) == (
        "advice 1",
        0,
        0,
        None,
    )
