"""Who is called outside, as a person sees it: figures, breakers, and a breaker closed by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.cli import main
from resources.journal.store import SqlJournal
from resources.outbound.kept import JournalBreakers, JournalCalls
from trading.breakers import Breaker, BreakerReason, BreakerState
from trading.outbound import CallKind, OutboundCall

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CALL = OutboundCall(
    NOW, "alpaca", "orders.submit", "SIM-FIVE", CallKind.SEND, 200, "", 12, 0, 1, BreakerReason.ALLOWED,
    was_cached=False,
)  # fmt: skip


@pytest.fixture
def journal(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    (folder / "simulated").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(folder))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setenv("TRADING_OPERATOR", "anna")
    with SqlJournal(f"sqlite:///{folder / 'simulated' / 'journal.db'}") as opened:
        opened_breaker = Breaker(
            "alpaca",
            state=BreakerState.OPEN,
            failures=2,
            until=NOW + timedelta(seconds=60),
            word="reset",
            version=1,
        )
        JournalBreakers(opened).change(opened_breaker, actor="alpaca", reason="reset", now=NOW)
        calls = JournalCalls(opened)
        for latency_ms in range(1, 20):
            calls.record(CALL._replace(latency_ms=latency_ms))
        calls.record(CALL._replace(status=429, latency_ms=99))
        calls.record(CALL._replace(status=0, word="circuit_open", attempt=0, latency_ms=0))
        yield opened


def test_calls_errors_429s_and_latency_are_told_by_endpoint_and_an_open_breaker_needs_a_look(journal, capsys):
    assert main(["outbound", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)

    assert told["breakers"][0]["state"] == "open"
    assert told["endpoints"] == [
        {
            "provider": "alpaca",
            "endpoint": "orders.submit",
            "calls": 20,
            "errors": 1,
            "limited_ratio": 0.05,
            "latency_ms_p95": 19,
            "held_back": 1,
            "cached": 0,
        }
    ]
    assert main(["outbound"]) == 3
    shown = capsys.readouterr().out
    assert "5.0%" in shown
    assert "alpaca" in shown


def test_a_named_person_closes_a_breaker_once_and_the_journal_says_who_and_why(journal, capsys):
    words = ["breakers", "reset", "alpaca", "--reason", "mended", "--as", "ben"]

    assert main(words) == 0
    assert main(["outbound"]) == 0
    assert main(words) == 4
    assert "nothing was changed" in capsys.readouterr().err
    assert main(["breakers", "reset", "nobody", "--reason", "mended"]) == 2
    event = [event for event in journal.events(after=0, limit=99) if event.kind == "breaker_changed"][-1]
    assert (event.actor, event.reason, event.body["state"]) == ("ben", "mended", "closed")
    assert JournalBreakers(journal).breaker("alpaca").state is BreakerState.CLOSED
