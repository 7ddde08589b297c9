"""`trading evidence` on a real journal: what is filed, one run in full, and each row that is gone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from console.cli import main
from resources.evidence_ledger import EvidenceLedger
from resources.journal.store import SqlJournal
from tests.trading.test_promotion import THRESHOLDS
from trading.evidence_ledger import Role, RunStatus, draft_of_promotion, drafts_of_run
from trading.positions import opened_book
from trading.promotion import promotion_of
from trading.testing import example_run, example_subject

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2013, 3, 1, 22, 30, tzinfo=UTC)
SKIPPED = replace(
    example_run(name="quiet week"),
    status=RunStatus.SKIPPED,
    reason="no session in the window",
    candidates=(),
)


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Give a state folder of its own, and the journal in it."""
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    (tmp_path / "simulated").mkdir()
    return tmp_path / "simulated" / "journal.db"


@pytest.fixture
def speak(path, capsys):
    def speak(*words):
        code = main(list(words))
        spoken = capsys.readouterr()
        return Spoken(code, spoken.out, spoken.err)

    return speak


@pytest.fixture
def journal(path):
    with SqlJournal(f"sqlite:///{path}") as opened:
        yield opened


@pytest.fixture
def filed(journal):
    """File a run, a quiet window and a decision."""
    ledger = EvidenceLedger(journal)
    ledger.file([*drafts_of_run(example_run()), *drafts_of_run(SKIPPED)], actor="replay", now=NOW)
    decision = promotion_of(example_subject(), ledger.read(), THRESHOLDS, as_of=NOW, last_session=NOW.date())
    promotion = decision.signed(actor="ann", reason="reviewed", decided_at=NOW)
    ledger.file([draft_of_promotion(promotion)], actor="ann", now=NOW)
    return ledger


def test_nothing_filed_is_told_as_no_data(speak):
    checked = speak("evidence", "check", "--json")

    assert (checked.code, checked.json["verdict"]) == (3, "NO DATA: no evidence was ever filed")
    assert set(checked.json["unfiled"]) >= {"us_five"}
    assert speak("evidence", "list").out.startswith("nothing is filed yet")


@pytest.mark.usefixtures("filed")
def test_what_is_filed_is_listed_by_book_and_strategy(speak):
    listed = speak("evidence", "list", "--json").json

    assert [(run["name"], run["status"], run["folds"], run["stresses"]) for run in listed["runs"]] == [
        ("thirteen years", "completed", 6, 5),
        ("quiet week", "skipped", 0, 0),
    ]
    assert [(one["outcome"], one["actor"]) for one in listed["promotions"]] == [("promoted", "ann")]
    assert "PROMOTED by ann (reviewed)" in speak("evidence", "list").out
    unfiled = speak("evidence", "list", "--strategy", "mean_reversion")
    assert (unfiled.code, "nothing is filed of it" in unfiled.err) == (2, True)
    assert speak("evidence", "list", "--book", "us_wide", "--json").json["runs"] == []


def test_a_sweep_is_listed_under_what_it_tried_and_not_under_what_is_configured(speak, journal):
    """It is bound to the book as configured: a council that it never tried."""
    configured = example_subject(strategy="mean_reversion+momentum")
    tried = [
        replace(
            example_run(subject=example_subject(strategy=strategy, rules_sha=strategy)).candidates[0],
            name=strategy,
            role=Role.TRIAL,
            folds=(),
            stresses=(),
        )
        for strategy in ("breakout", "breakout+momentum")
    ]
    of_all = replace(example_run(subject=configured).bound, replay_sha="")
    swept = replace(example_run(name="sweep"), bound=of_all, candidates=tuple(tried))
    EvidenceLedger(journal).file(drafts_of_run(swept), actor="ann", now=NOW)

    def named(strategy):
        listed = speak("evidence", "list", "--strategy", strategy, "--json")
        return [run["strategy"] for run in listed.json["runs"]] if listed.code == 0 else listed.code

    told = "breakout, breakout+momentum"
    assert named("breakout") == [told]
    assert named("momentum") == [told]
    assert named("mean_reversion") == 2
    assert named("mean_reversion+momentum") == 2
    assert told in speak("evidence", "list").out
    assert f"{told} 1 in us_five" in speak("evidence", "show", "sweep").out


@pytest.mark.usefixtures("filed")
def test_a_run_is_shown_with_what_it_was_made_of_and_all_its_parts(speak):
    shown = speak("evidence", "show", "thirteen years", "--json").json

    assert [part["kind"] for part in shown["parts"]] == ["candidate", *["fold"] * 6, *["stress"] * 5]
    assert shown["parts"][0]["metrics"]["pbo"] == 0.1
    assert (shown["rules_sha"], shown["filed_by"]) == ("rules", "replay")
    assert speak("evidence", "show", shown["run"]["run_id"][:8]).code == 0
    told = speak("evidence", "show", "thirteen years").out.splitlines()
    assert max(len(line) for line in told) < 120
    assert next(line for line in told if line.startswith("kind")).split() == [
        *("kind", "name", "total", "return", "sharpe", "max", "drawdown", "participation", "max", "fills")
    ]
    assert next(line for line in told if line.startswith("pbo")).split() == ["pbo", "0.1"]
    refused = speak("evidence", "show", "no such")
    assert (refused.code, "no such run" in refused.err) == (2, True)


def test_a_whole_ledger_passes_and_each_row_taken_out_is_named(speak, path, filed):
    assert speak("evidence", "check").code == 0
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("drop trigger evidence_stays")
        for row in filed.read().rows:
            raw.execute("delete from evidence where seq = ?", (row.seq,))
            checked = speak("evidence", "check")
            raw.execute("insert into evidence values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

            assert checked.code == 1
            assert f"row_removed: row {row.seq} ({row.kind} {row.digest[:12]})" in checked.out
    assert speak("evidence", "check").code == 0


def settle(journal, *, first, sessions):
    """Settle sessions of us_five in a row, a day each, holding nothing."""
    book = opened_book(currency="USD", deposit_micros=10**12)
    previous = None
    for day in (first + timedelta(days=number) for number in range(sessions)):
        of = {"book": "us_five", "lane": "simulated", "session": day}
        journal.opening_book(**of, previous=previous, opened=book, now=NOW)
        journal.settle(**of, closing=book, carried_by="ann", now=NOW)
        previous = day


@pytest.mark.usefixtures("filed")
@pytest.mark.parametrize("kind", ["run", "candidate", "fold"])
def test_a_changed_row_is_left_out_of_what_is_listed_and_shown(speak, path, kind):
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for (trigger,) in raw.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            if trigger.startswith("evidence_"):
                raw.execute(f"drop trigger {trigger}")
        changed = (
            'update evidence set content = replace(content, \'"made_at":"20\', \'"made_at":"19\')'
            " where seq = (select min(seq) from evidence where kind = ?)"
        )
        raw.execute(changed, (kind,))

    listed = speak("evidence", "list", "--json")
    shown = speak("evidence", "show", "thirteen years", "--json")

    assert (listed.code, listed.err) == (0, "")
    assert ("thirteen years" in [run["name"] for run in listed.json["runs"]]) is (kind != "run")
    assert shown.code == (2 if kind == "run" else 0)
    kinds = [] if kind == "run" else [part["kind"] for part in shown.json["parts"]]
    assert kinds.count("fold") == {"run": 0, "candidate": 0, "fold": 5}[kind]
    assert speak("evidence", "check").code == 1


def test_settled_sessions_that_no_run_reaches_into_are_named(speak, journal):
    ledger = EvidenceLedger(journal)
    settle(journal, first=example_run().last + timedelta(days=1), sessions=5)
    assert speak("evidence", "check").code == 3
    ledger.file(drafts_of_run(example_run()), actor="replay", now=NOW)
    checked = speak("evidence", "check", "--json")
    assert [one["code"] for one in checked.json["missing"]] == ["window_without_record"]

    after = example_run().last
    quiet = replace(SKIPPED, first=after + timedelta(days=2), last=after + timedelta(days=3))
    ledger.file(drafts_of_run(quiet), actor="replay", now=NOW)
    assert speak("evidence", "check").code == 0


def test_a_reviewed_file_without_windows_is_named(speak, journal, tmp_path, monkeypatch):
    EvidenceLedger(journal).file(drafts_of_run(example_run()), actor="replay", now=NOW)
    (tmp_path / "config").mkdir()
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TRADING_BOOKS_FILE", str(ROOT / "config" / "books.toml"))
    (tmp_path / "config" / "promotion.toml").write_text("[default]\nwindows = 4\n")
    refused = speak("evidence", "check")

    assert (refused.code, "promotion.toml" in refused.err) == (2, True)
