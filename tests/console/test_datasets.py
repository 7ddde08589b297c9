"""`trading datasets`: what replays stand on, whether it is still that, and a new manifest."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest

from console.cli import main

ROOT = Path(__file__).resolve().parents[2]
BARS = "symbol,date,open,high,low,close,volume\nACME,2013-02-27,20.10,20.40,20.00,20.30,120000\n"
BOOK = """
[my_bars]
title = "My own bars"
source = "folder"
path = "data/my_bars"
calendar = "XNYS"
currency = "USD"
account = "SIM-MINE"
deposit = "100000"
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    bars = tmp_path / "data" / "my_bars"
    bars.mkdir(parents=True)
    (bars / "bars.csv").write_text(BARS, "utf-8")
    with (tmp_path / "config" / "books.toml").open("a", encoding="utf-8") as books:
        books.write(BOOK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def speak(project, capsys):
    def speak_words(*words: str, answers: int) -> str:
        assert main(["datasets", *words]) == answers
        captured = capsys.readouterr()
        return str(captured.out + captured.err)

    return speak_words


def test_the_list_tells_each_book_and_which_has_no_manifest(speak, project):
    told = speak("list", answers=0)

    assert "stocks.csv.gz" in told
    assert "SP500_ind.csv" in told
    assert "my_bars  no manifest" in told
    assert not (project / "state" / "simulated").exists()
    assert isinstance(json.loads(speak("list", "--json", answers=0)), dict)


def test_a_book_gets_a_manifest_and_a_changed_byte_is_then_found_and_accepted(speak, project):
    assert "trading datasets manifest --book my_bars --write" in speak(
        "verify", "--book", "my_bars", answers=2
    )
    shown = speak("manifest", "--book", "my_bars", answers=0)
    manifest = project / "config" / "datasets" / "my_bars.toml"
    assert not manifest.exists()
    speak("manifest", "--book", "my_bars", "--write", answers=0)
    assert manifest.read_text("utf-8") == shown
    assert "as its manifest says" in speak("verify", "--book", "my_bars", answers=0)

    (project / "data" / "my_bars" / "bars.csv").write_text(BARS.replace("20.30", "20.31"), "utf-8")

    told = speak("verify", "--book", "my_bars", answers=4)
    assert "file bars.csv: sha256 " in told
    assert "expected sha256 " in told
    found = json.loads(speak("verify", "--book", "my_bars", "--json", answers=4))["datasets"][0]
    assert [one["what"] for one in found["differences"]] == ["file bars.csv", "source_sha"]
    speak("manifest", "--book", "my_bars", "--write", "--yes", answers=0)
    assert "as its manifest says" in speak("verify", "--book", "my_bars", answers=0)


def test_a_manifest_is_not_replaced_before_somebody_says_so(speak, project, monkeypatch):
    speak("manifest", "--book", "my_bars", "--write", answers=0)
    manifest = project / "config" / "datasets" / "my_bars.toml"
    before = manifest.read_text("utf-8")
    (project / "data" / "my_bars" / "bars.csv").write_text(BARS.replace("20.30", "20.31"), "utf-8")

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))

    told = speak("manifest", "--book", "my_bars", "--write", answers=1)

    assert "not confirmed" in told
    assert manifest.read_text("utf-8") == before


def test_an_unknown_book_is_named(speak):
    assert "book 'us_fiv': no such book" in speak("manifest", "--book", "us_fiv", answers=2)
