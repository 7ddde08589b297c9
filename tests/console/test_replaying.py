"""Replays from the command line: run, listed, shown, and refused with words that help."""

from __future__ import annotations

import importlib
import json
import re
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

from console.cli import main
from resources.dataset_files import dataset_of, write_manifest
from resources.profiles import Profiled
from resources.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
BOOKS = """
[us_five]
title = "Five names from June 2012"
source = "bokeh_stocks"
calendar = "XNYS"
currency = "USD"
account = "SIM-FIVE"
deposit = "1000000"
first_session = 2012-06-01
last_session = 2013-03-01
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""


BRITTLE = """
VERSION = "1"


def signals(window, symbols):
    if window.session.year > 2012:
        raise ValueError("no year like this")
    return {}
"""


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def speak(tmp_path, monkeypatch, capsys):
    books = tmp_path / "books.toml"
    books.write_text(BOOKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setenv("TRADING_BOOKS_FILE", str(books))
    profiled = Profiled(load_settings())
    source, calendar = profiled.sources["us_five"], profiled.calendars["us_five"]
    write_manifest(dataset_of(profiled.books["us_five"], source=source, calendar=calendar), books)

    def speak_words(*words: str) -> Spoken:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = main(words)
        captured = capsys.readouterr()
        return Spoken(code, captured.out, captured.err)

    return speak_words


def test_a_replay_is_run_told_listed_shown_and_its_name_is_taken(speak):
    ran = speak("replay", "2012-12..2013-01", "--name", "winter", "--json")

    assert ran.code == 0, ran.err
    assert ran.err.count(" sessions, ") == 2  # one line a year, while it runs
    view = ran.json
    summary = view["replay"]["summary"]
    assert summary["sessions"] == 41
    assert set(summary["checks"].values()) == {True}
    parts = {"data", "engine", "artefacts", "dagster"}
    assert set(view["seconds"]) == {*parts, "whole"}
    assert sum(view["seconds"][part] for part in parts) == pytest.approx(view["seconds"]["whole"], abs=0.01)
    assert Path(view["replay"]["folder"], "manifest.json").is_file()

    listed = speak("replays")
    assert re.search(r"winter +us_five +2012-12-01..2013-01-31 +as configured +whole", listed.out)
    shown = speak("replays", "show", "winter")
    assert shown.code == 0
    assert "5 of 5 held" in shown.out
    assert "slippage 5 bps, commission 1 bps, up to 500 bps of a session's volume\n" in shown.out
    assert re.search(r"^2012 +20 ", shown.out, flags=re.MULTILINE)
    assert speak("replays", "show", "winter", "--json").json["summary"] == summary

    taken = speak("replay", "2012-12", "--name", "winter")
    assert taken.code == 2
    assert "the name is another request's, with last_session 2013-01-31 (asked: 2012-12-31)" in taken.err


def test_a_replay_tells_what_it_assumed_and_why_nothing_was_intended(speak):
    patient = "--strategy", "momentum:lookback=6000"
    ran = speak("replay", "2012-12", *patient, "--slippage-bps", "25", "--no-approve", "--name", "patient")

    assert ran.code == 0, ran.err
    assert "slippage 25 bps, commission 1 bps, up to 500 bps of a session's volume, approvals" in ran.out
    assert "nothing was intended: momentum says nothing in any of 20 sessions" in ran.out
    assert "`window_sessions` of config/rules.toml" in ran.out
    listed = re.search(r"^patient .*$", speak("replays").out, flags=re.MULTILINE)[0]
    assert "momentum:lookback=6000; slippage 25 bps, not 5; approvals not given" in listed


def test_a_deposit_that_buys_no_share_is_told_as_that(speak):
    ran = speak("replay", "2012-12", "--deposit", "10", "--name", "poor")

    assert ran.code == 0, ran.err
    assert "nothing was intended: the deposit of 10.00 USD is too small for a lot of what was" in ran.out
    assert "as configured; deposit 10.00 USD, not 1,000,000.00" in ran.out


def test_what_a_person_would_have_been_asked_for_is_not_told_as_refused(speak):
    ran = speak("replay", "2012-12..2013-01", "--deposit", "4000000", "--name", "rich")

    assert ran.code == 0, ran.err
    assert "soft" not in re.search(r"^refused .*$", ran.out, flags=re.MULTILINE)[0]
    assert re.search(r"^asked +\d+ fat_finger_soft; taken as approved ", ran.out, flags=re.MULTILINE)
    page = re.search(r"^page +(\S+)$", ran.out, flags=re.MULTILINE)[1]
    assert "<td>fat finger soft</td><td>a person asked</td>" in Path(page).read_text(encoding="utf-8")


def test_a_replay_ends_with_the_command_that_shows_it_and_compares_with_no_data(speak):
    ran = speak("replay", "2013-01", "--diff", "live", "--name", "january")

    assert ran.code == 0, ran.err
    assert "decided live, and again: no data; nothing was decided live in these sessions" in ran.out
    assert ran.out.endswith("\nnext:\n  trading replays show january\n")
    assert re.search(r"cagr -?[\d.]+%, sharpe -?[\d.]+, .*max_drawdown -[\d.]+%", ran.out)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["2011"], "the data covers 2012-06-01..2013-03-01"),
        (["2012-12-03..2013-03-05"], "the data covers 2012-06-01..2013-03-01"),
        (["2012-13"], "'2012-13' is no year, month or day; write FIRST..LAST"),
        (["2013..2012-12"], "ends before it begins"),
        (["lately"], "'lately' is no year, month or day"),
        (["2012-12", "--name", "No/Folder"], "replay name 'No/Folder': must be"),
        (
            ["2012-12", "--strategy", "moment"],
            "no file trading/strategies/moment.py; add it, or name another",
        ),
        (["2012-12", "--strategy", "momentum:lookback=abc"], "lookback='abc' must be a whole number, as 126"),
        (["2012-12", "--strategy", "momentum:nosuch=1"], "got an unexpected keyword argument 'nosuch'"),
        (["2012-12", "--book", "us_fife"], "book 'us_fife': no such book; did you mean us_five?"),
        (["2012-12", "--deposit", "much"], "amount 'much': not a decimal number"),
    ],
)
def test_what_cannot_be_replayed_is_told_before_anything_runs(speak, tmp_path, words, told):
    spoken = speak("replay", *words)

    assert spoken.code == 2
    assert told in spoken.err
    assert not (tmp_path / "state" / "simulated" / "lake").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--by", "nope"], "measure 'nope': must be one of"),
        (["--grid", "momentum.full=0.1,nan"], "'momentum:lookback=40,full=nan': nan is no finite number"),
        (["--grid", "nope.x=1,2"], "no council has a strategy 'nope'"),
        (["--grid", "momentum.full=0.1,abc"], "full='abc' must be a number, as 0.1 is"),
        (["--grid", "momentum.full=0.1,abc", "--name", "named"], "full='abc' must be a number, as 0.1 is"),
    ],
)
def test_a_sweep_that_cannot_be_ranked_or_tried_is_refused_before_anything_runs(speak, tmp_path, words, told):
    spoken = speak("sweep", "2012-12", "--grid", "momentum.lookback=40,80", *words)

    assert spoken.code == 2
    assert told in spoken.err
    assert not (tmp_path / "state" / "simulated" / "sweeps").exists()


def test_a_warning_that_holds_for_several_variants_is_told_once(speak):
    grid = "--grid", "mean_reversion.calm=1,2"
    swept = speak("sweep", "2012-06..2012-08", *grid, "--workers", "1")

    assert swept.code == 0, swept.err
    warned = [line for line in swept.out.splitlines() if line.startswith("! ")]
    assert len(warned) == 2
    assert all(line.startswith("! 2 of 2 variants: ") for line in warned)
    sure = re.search(r"^sessions to be sure +(.*)$", swept.out, flags=re.MULTILINE)[1]
    assert re.fullmatch(r"–|[\d,]+", sure)  # there is no half a session


@pytest.fixture
def brittle(tmp_path_factory, monkeypatch):
    """Add a strategy that raises in every session after 2012."""
    folder = tmp_path_factory.mktemp("strategies")
    (folder / "brittle.py").write_text(BRITTLE, encoding="utf-8")
    package = importlib.import_module("trading.strategies")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    sys.modules.pop("trading.strategies.brittle", None)


@pytest.mark.usefixtures("brittle")
def test_a_rule_that_raises_in_a_later_year_ends_its_replay_alone_and_names_the_session(speak):
    ended = speak("replay", "2012-12..2013-01", "--strategy", "brittle", "--name", "brittle")

    assert ended.code == 2
    assert "brittle.py raised ValueError before the session of 2013-01-02: no year like this" in ended.err
    assert re.search(r"brittle +us_five .* 1 of 2 years, refused", speak("replays").out)
    assert "refused: " in (shown := speak("replays", "show", "brittle").out)
    assert re.search(r"no year like this.*\ncorrect that, then:\n  trading replay", shown)
    goes_on = speak("replays", "show", "brittle").out.splitlines()[-1].split()
    assert goes_on[:2] == ["trading", "replay"]
    again = speak(*goes_on[1:])
    assert again.code == 2
    assert (
        "2012 kept already" in again.err
    )  # it is that replay's own command: the name fits, and so does a year


def test_a_year_that_the_data_begins_or_ends_in_is_cut_there(speak):
    from console.book_outlines import read_book_outlines
    from console.verbs.replaying import range_of

    book = read_book_outlines(Path("books.toml"))["us_five"]

    def told(text):
        return [str(day) for day in range_of(text, book)]

    assert told("2012..2013") == ["2012-06-01", "2013-03-01"]
    assert told("2012-12") == ["2012-12-01", "2012-12-31"]
    assert told("2012-12..2013-02-03") == ["2012-12-01", "2013-02-03"]
    assert told("2012-01-02..2012-07") == ["2012-01-02", "2012-07-31"]  # a day is never another one
    assert range_of("", book) == (None, None)


def test_without_a_replay_the_next_command_is_told(speak):
    assert "trading replay 2012-01..2012-06 --book us_five" in speak("replays").out
    unknown = speak("replays", "show", "winter")
    assert unknown.code == 2
    assert "replay 'winter': no such replay; there is none yet" in unknown.err
