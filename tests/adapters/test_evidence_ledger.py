"""The evidence ledger in a real journal: filed once, never changed, each row that is taken out named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from resources.audit_log import check, project
from resources.evidence import gather
from resources.evidence_ledger import EvidenceLedger, read_ledger
from resources.journal.reader import JournalReader
from resources.journal.rehearsal import RehearsedJournal
from resources.journal.store import SqlJournal
from resources.reviewed_config import read_promotion
from trading.errors import BadInput
from trading.evidence_ledger import (
    EVIDENCE_FILED,
    RunStatus,
    draft_of_promotion,
    drafts_of_run,
    missing_evidence,
)
from trading.invariants import violations
from trading.promotion import promotion_of
from trading.testing import example_run, example_subject

NOW = datetime(2013, 3, 1, 22, 30, tzinfo=UTC)
LATER = datetime(2013, 3, 4, 22, 30, tzinfo=UTC)
QUIET = replace(
    example_run(name="quiet week"),
    status=RunStatus.SKIPPED,
    reason="no session in the window",
    candidates=(),
)


@pytest.fixture
def thresholds():
    """Return the shipped thresholds."""
    config = Path(__file__).parents[2] / "config"
    return read_promotion("us_five", config / "promotion.toml", books=["us_five"])[0]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path):
    with SqlJournal(f"sqlite:///{path}") as opened:
        yield opened


def file_all(journal, thresholds):
    """File a run, a quiet window and the decision on them, as the nightly chain is made of."""
    ledger = EvidenceLedger(journal)
    ledger.file(drafts_of_run(example_run()), actor="replay", now=NOW)
    ledger.file(drafts_of_run(QUIET), actor="replay", now=NOW)
    decision = promotion_of(
        example_subject(), ledger.read(), thresholds, as_of=LATER, last_session=LATER.date()
    )
    promotion = decision.signed(actor="ann", reason="reviewed", decided_at=LATER)
    ledger.file([draft_of_promotion(promotion)], actor="ann", now=LATER)
    return decision


def test_what_is_filed_is_read_again_and_every_store_agrees(journal, path, tmp_path, thresholds):
    decision = file_all(journal, thresholds)
    found = EvidenceLedger(journal).read()

    assert decision.outcome == "promoted"
    assert [row.seq for row in found.rows] == list(range(1, 16))
    assert missing_evidence(found) == ()
    assert read_ledger(JournalReader(path)) == found
    log = tmp_path / "audit.jsonl"
    project(journal, log)
    assert check(log) is None
    assert violations(gather(journal, audit_path=log)) == ()


def test_the_same_evidence_filed_again_changes_nothing(journal):
    ledger = EvidenceLedger(journal)
    drafts = drafts_of_run(example_run())

    assert ledger.file(drafts, actor="ann", now=NOW) == len(drafts)
    before = ledger.read(), journal.events(after=0, limit=99)
    assert ledger.file([*drafts, *drafts], actor="bob", now=LATER) == 0
    assert (ledger.read(), journal.events(after=0, limit=99)) == before


def test_only_what_is_new_of_a_filing_is_filed(journal):
    ledger = EvidenceLedger(journal)
    ledger.file(drafts_of_run(example_run()), actor="ann", now=NOW)

    assert ledger.file([*drafts_of_run(example_run()), *drafts_of_run(QUIET)], actor="ann", now=LATER) == 1
    assert missing_evidence(ledger.read()) == ()


def test_a_failed_run_is_filed_as_a_good_one_is(journal):
    failed = replace(QUIET, status=RunStatus.FAILED, reason="disk full")

    assert EvidenceLedger(journal).file(drafts_of_run(failed), actor="replay", now=NOW) == 1


def test_a_rehearsed_filing_leaves_nothing(journal, path):
    with RehearsedJournal(f"sqlite:///{path}") as rehearsed:
        assert EvidenceLedger(rehearsed).file(drafts_of_run(QUIET), actor="ann", now=NOW) == 1

    assert EvidenceLedger(journal).read() == ((), ())
    assert journal.events(after=0, limit=9) == []


def test_a_journal_that_is_not_there_yet_has_no_evidence(tmp_path):
    assert read_ledger(JournalReader(tmp_path / "none.db")) == ((), ())


def test_nobody_files_without_a_name(journal):
    with pytest.raises(BadInput, match="who filed it"):
        EvidenceLedger(journal).file(drafts_of_run(QUIET), actor=" ", now=NOW)


def test_a_filing_of_more_rows_than_an_event_may_tell_of_is_told_by_several(
    journal, tmp_path, thresholds, monkeypatch
):
    """Whoever has tried so much that its trials fill an event would never file again."""
    monkeypatch.setattr("resources.evidence_ledger.ROWS_MAX", 4)
    file_all(journal, thresholds)

    filed = [event for event in journal.events(after=0, limit=99) if event.kind == EVIDENCE_FILED]
    found = EvidenceLedger(journal).read()
    assert [len(event.body["rows"]) for event in filed] == [4, 4, 4, 1, 1, 1]
    assert missing_evidence(found) == ()
    assert EvidenceLedger(journal).file(drafts_of_run(example_run()), actor="bob", now=LATER) == 0
    log = tmp_path / "audit.jsonl"
    project(journal, log)
    assert violations(gather(journal, audit_path=log)) == ()


@pytest.mark.parametrize("deed", ["delete from evidence where seq = 1", "update evidence set content = '{}'"])
def test_no_row_is_changed_or_deleted(database, deed):
    with database.open() as journal:
        EvidenceLedger(journal).file(drafts_of_run(example_run()), actor="ann", now=NOW)
        before = EvidenceLedger(journal).read()
        with pytest.raises((sqlite3.IntegrityError, psycopg2.IntegrityError), match="evidence"):
            database.do(deed)

        assert EvidenceLedger(journal).read() == before
        assert missing_evidence(before) == ()
        assert read_ledger(database.reader()) == before


def test_each_row_taken_out_past_the_triggers_is_named_by_the_check(journal, path, thresholds):
    file_all(journal, thresholds)
    rows = EvidenceLedger(journal).read().rows
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("drop trigger evidence_stays")
        for row in rows:
            raw.execute("delete from evidence where seq = ?", (row.seq,))
            found = missing_evidence(read_ledger(JournalReader(path)))
            raw.execute("insert into evidence values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

            removed = [one.about for one in found if one.code == "row_removed"]
            assert removed == [f"row {row.seq} ({row.kind} {row.digest[:12]})"]
    assert missing_evidence(read_ledger(JournalReader(path))) == ()


def test_a_row_taken_out_together_with_its_event_is_found_by_the_log(journal, path, tmp_path, thresholds):
    file_all(journal, thresholds)
    log = tmp_path / "audit.jsonl"
    project(journal, log)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("drop trigger evidence_stays")
        raw.execute("drop trigger events_stay")
        raw.execute("delete from evidence where kind = 'promotion'")
        raw.execute("delete from events where seq = (select max(seq) from events)")

    assert missing_evidence(read_ledger(JournalReader(path))) == ()
    assert "INV9" in {one.invariant for one in violations(gather(journal, audit_path=log))}
