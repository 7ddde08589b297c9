"""The chain of events and its file: a prefix of the journal's export, healed where torn, verified."""

from __future__ import annotations

import json
import random
import shutil
from datetime import UTC, datetime

import pytest

from resources.audit_log import check, project
from resources.journal.store import SqlJournal
from trading.audit import GENESIS, chained, line_of, verify
from trading.errors import JournalBehindLog, JournalError
from trading.journal import RunControlAction

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Make a journal with events once; each test works on its own copy."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    with SqlJournal(f"sqlite:///{path}") as journal:
        speak(journal, 12)
    return path


@pytest.fixture
def journal(spoken, tmp_path):
    with SqlJournal(f"sqlite:///{shutil.copy(spoken, tmp_path / 'journal.db')}") as opened:
        yield opened


@pytest.fixture
def log(tmp_path):
    return tmp_path / "audit" / "audit.jsonl"


def speak(journal, times, reason="tést “quoted”\n"):
    for _ in range(times):
        journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason=reason, now=NOW)


def export(journal) -> bytes:
    return b"".join(line_of(event).encode() + b"\n" for event in journal.events(after=0, limit=10_000))


def test_the_log_is_the_export_and_grows_with_it(journal, log):
    assert project(journal, log) == 12
    first = log.read_bytes()
    assert project(journal, log) == 0
    speak(journal, 3)
    assert project(journal, log) == 3

    assert log.read_bytes() == export(journal)
    assert log.read_bytes().startswith(first)
    assert check(log) is None


def test_a_log_of_more_than_a_batch_is_whole(journal, log, monkeypatch):
    monkeypatch.setattr("resources.audit_log.BATCH", 5)

    assert project(journal, log) == 12
    assert log.read_bytes() == export(journal)


@pytest.mark.parametrize("tail_size", [1, 7, 65_536])
def test_a_torn_last_line_is_healed_wherever_it_was_torn(journal, log, monkeypatch, tail_size):
    monkeypatch.setattr("resources.audit_log._TAIL", tail_size)
    project(journal, log)
    whole = log.read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
    for cut in {0, 1, ends[0], ends[0] + 1, ends[-2] - 1, ends[-2], ends[-2] + 5, len(whole) - 1}:
        log.write_bytes(whole[:cut])
        project(journal, log)
        assert log.read_bytes() == whole, cut


def test_a_log_of_another_journal_is_left_alone(journal, log, tmp_path):
    project(journal, log)
    before = log.read_bytes()
    with SqlJournal(f"sqlite:///{tmp_path / 'other.db'}") as other:
        speak(other, 12, reason="elsewhere")
        with pytest.raises(JournalError, match="entry 12 was signed, but is another one in the journal"):
            project(other, log)

    assert log.read_bytes() == before


def test_a_log_ahead_of_its_journal_is_reported(journal, log, spoken, tmp_path):
    speak(journal, 1)
    project(journal, log)
    with (
        SqlJournal(f"sqlite:///{shutil.copy(spoken, tmp_path / 'older.db')}") as older,
        pytest.raises(JournalBehindLog, match="no event 13"),
    ):
        project(older, log)


def test_a_file_that_is_no_log_is_left_alone(journal, log):
    log.parent.mkdir()
    log.write_text("shopping list\n")
    with pytest.raises(JournalError, match="line 1 is not the journal's event"):
        project(journal, log)

    assert log.read_text() == "shopping list\n"


def test_a_missing_log_holds_nothing_bad(log):
    assert check(log) is None
    assert verify([]) is None


def test_the_first_bad_entry_is_named(journal, log):
    project(journal, log)
    lines = log.read_text().splitlines(keepends=True)
    entry = json.loads(lines[4])
    entry["actor"] = "eve"
    lines[4] = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    log.write_text("".join(lines))

    bad = check(log)
    assert bad is not None
    assert (bad.line, bad.seq, bad.reason) == (5, 5, "hash is not that of the content")


def test_rewriting_an_entry_with_a_fitting_hash_breaks_the_next_one(journal):
    lines = [line_of(event) for event in journal.events(after=0, limit=99)]
    entry = json.loads(lines[4])
    content = {name: value for name, value in entry.items() if name not in {"prev_hash", "hash"}}
    content["actor"] = "eve"
    forged = {**content, "prev_hash": entry["prev_hash"], "hash": chained(entry["prev_hash"], content)}
    lines[4] = json.dumps(forged, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    bad = verify(lines)
    assert bad is not None
    assert (bad.line, bad.reason) == (6, "prev_hash is not the hash of the entry before")


def test_any_flip_drop_swap_or_splice_is_found(journal):
    lines = [line_of(event) for event in journal.events(after=0, limit=99)]
    assert verify(lines) is None
    rng = random.Random(20130228)  # noqa: S311 - the same faults in every run
    for _ in range(400):
        bad = list(lines)
        at, other = sorted(rng.sample(range(len(lines)), 2))
        match rng.choice(["flip", "drop", "swap", "splice", "space"]):
            case "flip":
                text = bad[at]
                spot = rng.randrange(len(text))
                bad[at] = text[:spot] + chr(ord(text[spot]) ^ 1) + text[spot + 1 :]
            case "drop":
                del bad[min(at, len(lines) - 2)]
            case "swap":
                bad[at], bad[other] = bad[other], bad[at]
            case "splice":
                bad.insert(at, bad[other])
            case "space":
                bad[at] = bad[at].replace(",", ", ", 1)
        assert verify(bad) is not None


@pytest.mark.parametrize("line", ["", "[]", "{}", "null", '{"seq":1}', "{" * 100_000, '{"seq":1.5}', "NaN"])
def test_a_malformed_line_is_an_entry_that_does_not_hold(line):
    bad = verify([line])

    assert bad is not None
    assert bad.line == 1


def test_the_chain_begins_at_genesis(journal):
    first = journal.events(after=0, limit=1)[0]

    assert first.prev_hash == GENESIS
