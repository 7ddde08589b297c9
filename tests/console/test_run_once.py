"""Which sessions run-once asks the graph for, and which it refuses before anything is asked for."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from console.cli import main
from console.desk import open_desk
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from tests.console.states import BEFORE, NOW, OF, OPENED, SESSION
from trading.reporting import ReportFile

ROOT = Path(__file__).resolve().parents[2]
BOOK = """
[mine]
title = "My bars"
source = "folder"
path = "bars"
calendar = "XNYS"
currency = "USD"
account = "SIM-MINE"
deposit = "100000"
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""


@pytest.fixture
def imported_to_the_26th(tmp_path, monkeypatch):
    """Give a folder of bars up to 2013-02-28 of which only those up to the 26th are in the lake."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    with (tmp_path / "config" / "books.toml").open("a") as books:
        books.write(BOOK)
    (tmp_path / "bars").mkdir()
    days = [date(2013, 2, day).isoformat() for day in (25, 26, 27, 28)]
    lines = "".join(f"{day},100,101,99,100,100000\n" for day in days)
    (tmp_path / "bars" / "IBM.csv").write_text("date,open,high,low,close,volume\n" + lines)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))
    lake = Lake(str(tmp_path / "state" / "simulated" / "lake"))
    lake.write_rows(("mine", "market_quotes"), "2013-02-26", ReportFile, [])


def test_run_once_goes_up_to_the_sources_last_bar_not_the_last_import(imported_to_the_26th, monkeypatch):
    asked = []

    class Recording:
        def run_sessions(self, book, sessions, phases, progress):
            asked.extend((book, session) for session in sessions)
            return ()

    monkeypatch.setattr("console.verbs.running._launcher", Recording)

    assert main(["run-once", "--book", "mine"]) == 0
    assert asked == [("mine", date(2013, 2, 28))]


def test_a_session_before_the_book_opened_is_refused_before_anything_is_imported(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    with SqlJournal(open_desk().settings.journal_url) as journal:
        journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)

    code = main(["run-once", "--book", "us_five", "--session", str(BEFORE)])

    assert code == 4
    assert f"us_five {BEFORE}: the book opened on {SESSION}, after it" in capsys.readouterr().err
    assert not (tmp_path / "simulated" / "lake").exists()
