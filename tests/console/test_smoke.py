"""`trading inputs smoke`: each input is read end to end, and the exit code says how it went."""

from __future__ import annotations

import json
from datetime import date

import pytest

from console.cli import main
from console.exit_codes import ExitCode
from console.smoke import SKIPPED, OriginRead, smoke_of
from trading.inputs import InputStatus


@pytest.fixture
def speak(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))

    def spoken(*words):
        code = main(["inputs", "smoke", "--book", "us_five", *words])
        return code, capsys.readouterr().out

    return spoken


def read(status, origin="broker", word="connect"):
    return OriginRead(
        book="us_five",
        session=date(2013, 3, 1),
        source="account.orders",
        origin=origin,
        status=status,
        records=0,
        code=f"account.orders:read_{origin}:{word}",
        detail="",
    )


@pytest.mark.parametrize(
    ("statuses", "code", "counts"),
    [
        ([InputStatus.READY, InputStatus.READY], ExitCode.DONE, (2, 2, 0, 0)),
        ([InputStatus.READY, SKIPPED], ExitCode.DONE, (1, 1, 0, 1)),
        ([InputStatus.READY, InputStatus.ASK], ExitCode.DEPENDENCY_DOWN, (2, 1, 1, 0)),
        ([InputStatus.ASK, InputStatus.ERROR], ExitCode.USAGE, (2, 0, 2, 0)),
        ([SKIPPED], ExitCode.ATTENTION, (0, 0, 0, 1)),
        ([], ExitCode.ATTENTION, (0, 0, 0, 0)),
    ],
)
def test_the_exit_code_is_that_of_the_worst_read(statuses, code, counts):
    found = smoke_of([read(status) for status in statuses])

    assert found.exit_code is code
    assert (found.attempted, found.ready, found.errors, found.skipped) == counts


def test_what_is_not_there_yet_is_waited_for_and_a_broker_that_does_not_answer_is_down():
    down = [("broker", word) for word in ("connect", "time_out", "rate_limited", "broker_unavailable")]
    waited_for = [("lake", "missing"), ("broker", "live_refused"), ("broker", "no_broker")]
    codes = {
        read_of: smoke_of([read(InputStatus.ASK, *read_of)]).exit_code for read_of in (*down, *waited_for)
    }

    assert {codes[one] for one in down} == {ExitCode.DEPENDENCY_DOWN}
    assert {codes[one] for one in waited_for} == {ExitCode.ATTENTION}


def test_before_any_import_the_quotes_are_missing_and_everything_else_answers(speak):
    code, out = speak("--session", "2013-03-01", "--json")
    told = json.loads(out)
    by_origin = {(row["source"], row["origin"]): row for row in told["reads"]}

    assert code == ExitCode.ATTENTION
    assert by_origin["market.quote", "lake"]["status"] == "ask"
    assert "trading quotes import --book us_five" in by_origin["market.quote", "lake"]["detail"]
    assert {row["status"] for key, row in by_origin.items() if key[0] != "market.quote"} == {"ready"}
    assert set(by_origin) >= {("account.orders", "broker"), ("account.orders", "journal")}


def test_outside_of_a_simulation_nobody_is_asked_over_the_network_unless_it_is_said(speak, monkeypatch):
    monkeypatch.setenv("TRADING_PROFILE", "live")
    monkeypatch.setenv("TRADING_LIVE_ALLOWED", "true")

    _, out = speak("--session", "2013-03-01", "--json")
    _, connected = speak("--session", "2013-03-01", "--connect", "--json")
    broker = next(row for row in json.loads(out)["reads"] if row["origin"] == "broker")
    asked = next(row for row in json.loads(connected)["reads"] if row["origin"] == "broker")

    assert broker["status"] == SKIPPED
    assert asked["status"] == "ask"
    assert asked["code"].startswith("account.orders:read_broker:")


def test_people_read_a_table(speak):
    code, out = speak("--session", "2013-03-01")

    assert code == ExitCode.ATTENTION
    assert out.startswith("3 of 4 reads ready")
    assert "account.orders" in out
