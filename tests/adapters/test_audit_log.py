"""The chain of events and its file: a prefix of the journal's export, healed where torn, verified."""

from __future__ import annotations

import fcntl
import json
import random
import resource
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
import rfc8785

from resources.audit_keys import NEW_NAME, PRIVATE_NAME, PUBLIC_NAME, has_key, put_in_use, signing_key
from resources.audit_log import (
    AuditFile,
    check,
    checkpoints_of,
    compare,
    events_in,
    keys_of,
    project,
    verify_end,
)
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from trading.audit import GENESIS, LINE_BYTES_MAX, BadEntry, Fault, Part, chained, line_of, verify
from trading.errors import BadInput, BadSetting, JournalBehindLog, JournalError
from trading.journal import RunControlAction
from trading.values import canonical_json

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


def is_free(log: Path) -> bool:
    with log.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


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


# -------------------------------------------------------------------------------- checkpoints


def public_key_of(log):
    return keys_of(log) / PUBLIC_NAME


def test_each_projection_that_adds_signs_where_the_log_ends(journal, log):
    project(journal, log)
    project(journal, log)
    speak(journal, 2)
    project(journal, log)
    checkpoints = [json.loads(line) for line in checkpoints_of(log).read_text().splitlines()]

    assert [checkpoint["seq"] for checkpoint in checkpoints] == [12, 14]
    assert checkpoints[-1]["size_bytes"] == log.stat().st_size
    assert checkpoints[-1]["hash"] == json.loads(log.read_text().splitlines()[-1])["hash"]
    assert check(log) is verify_end(journal, log) is None


def test_a_checkpoint_is_canonical_json_whoever_writes_it(journal, log):
    project(journal, log)
    line = checkpoints_of(log).read_bytes().removesuffix(b"\n")

    assert rfc8785.dumps(json.loads(line)) == line == canonical_json(json.loads(line)).encode()


def test_a_log_verifies_elsewhere_with_the_public_key_alone(journal, log, tmp_path):
    project(journal, log)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in (log, checkpoints_of(log), public_key_of(log)):
        shutil.copy(path, elsewhere)
    copy, key = elsewhere / log.name, elsewhere / PUBLIC_NAME

    assert check(copy, public_key=key) is None
    copy.write_bytes(copy.read_bytes().replace(b'"ann"', b'"eve"', 1))
    assert check(copy, public_key=key) == BadEntry(1, 1, "hash is not that of the content")


def test_a_log_that_was_never_signed_is_signed_once_it_is_the_journals(journal, log):
    log.parent.mkdir()
    log.write_bytes(export(journal))
    before = check(log)
    speak(journal, 1)
    project(journal, log)

    assert before is not None
    assert (before.fault, before.line) == (Fault.UNSIGNED, 1)
    assert check(log) is None


def test_what_was_cut_off_below_a_checkpoint_is_told_and_given_back_by_the_journal(journal, log):
    project(journal, log)
    whole = log.read_bytes()
    log.write_bytes(whole[:1000])
    bad = check(log)
    seen = verify_end(journal, log)
    project(journal, log)

    assert bad is not None
    assert not bad.heals
    assert "checkpoint 1 is signed for entry 12: cut off" in bad.reason
    assert seen == bad
    assert log.read_bytes() == whole
    assert check(log) is None


@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_end_is_told_as_torn_and_not_as_tampering(journal, log, cut):
    project(journal, log)
    speak(journal, 1)
    before = checkpoints_of(log).read_bytes()
    project(journal, log)
    checkpoints_of(log).write_bytes(before)
    log.write_bytes(log.read_bytes()[:-cut])
    bad = check(log)

    assert bad is not None
    assert (bad.fault, bad.line, bad.part) == (Fault.TORN, 13, Part.LOG)
    assert verify_end(journal, log) == bad


def test_without_its_checkpoints_a_log_is_neither_believed_nor_signed_again(journal, log):
    project(journal, log)
    checkpoints_of(log).unlink()
    bad = check(log)
    with pytest.raises(JournalError, match="checkpoints are missing"):
        project(journal, log)

    assert bad is not None
    assert (bad.part, bad.heals) == (Part.CHECKPOINTS, False)
    assert not checkpoints_of(log).exists()


EMPTIED = {
    "emptied": lambda log: checkpoints_of(log).write_bytes(b""),
    "cut within the first": lambda log: checkpoints_of(log).write_bytes(
        checkpoints_of(log).read_bytes()[:99]
    ),
    "a hole for the first": lambda log: checkpoints_of(log).write_bytes(bytes(300) + b"\n"),
    "emptied with the log": lambda log: [path.write_bytes(b"") for path in (log, checkpoints_of(log))],
    "gone with the log": lambda log: [path.unlink() for path in (log, checkpoints_of(log))],
    "gone, the log emptied": lambda log: [checkpoints_of(log).unlink(), log.write_bytes(b"")],
}


def content_of_both(log) -> list[bytes]:
    return [path.read_bytes() if path.exists() else b"" for path in (log, checkpoints_of(log))]


@pytest.mark.parametrize("empty", EMPTIED.values(), ids=EMPTIED)
@pytest.mark.parametrize("whose", ["its own", "another"])
def test_emptied_checkpoints_are_no_beginning_while_their_key_is_there(journal, log, tmp_path, empty, whose):
    project(journal, log)
    speak(journal, 1)
    project(journal, log)
    empty(log)
    before = content_of_both(log)
    with SqlJournal(f"sqlite:///{tmp_path / 'other.db'}") as other:
        speak(other, 13, reason="elsewhere")
        audit = AuditFile(journal if whose == "its own" else other, log)
        found = [audit.verify(), audit.verify_all(), check(log, public_key=public_key_of(log))]
        with pytest.raises(JournalError, match=r"the checkpoints are .*, but a key has signed them"):
            audit.project()

    assert [(bad.part, bad.heals) for bad in found if bad] == [(Part.CHECKPOINTS, False)] * 3
    assert content_of_both(log) == before


def test_a_log_cut_back_to_its_first_checkpoint_takes_no_other_journal(journal, log, tmp_path):
    project(journal, log)
    speak(journal, 1)
    project(journal, log)
    checkpoints_of(log).write_bytes(checkpoints_of(log).read_bytes().splitlines(keepends=True)[0])
    log.write_bytes(b"")
    with SqlJournal(f"sqlite:///{tmp_path / 'other.db'}") as other:
        speak(other, 13, reason="elsewhere")
        with pytest.raises(JournalError, match="entry 12 was signed, but is another one in the journal"):
            project(other, log)


@pytest.mark.parametrize("left", [0, 1, 200, None])
def test_a_crash_between_a_new_key_and_its_first_checkpoint_heals_with_the_same_key(journal, log, left):
    project(journal, log)
    keys, whole = keys_of(log), checkpoints_of(log).read_bytes()
    public = public_key_of(log).read_bytes()
    (keys / PRIVATE_NAME).rename(keys / NEW_NAME)
    checkpoints_of(log).write_bytes(whole[:left])
    bad = check(log)
    seen = verify_end(journal, log)
    project(journal, log)

    assert bad is None or bad.heals
    assert seen == bad
    assert checkpoints_of(log).read_bytes() == whole
    assert public_key_of(log).read_bytes() == public
    assert has_key(keys)
    assert check(log) is None


def test_without_its_key_nothing_is_signed_and_no_other_key_is_made(journal, log):
    project(journal, log)
    (keys_of(log) / PRIVATE_NAME).unlink()
    speak(journal, 1)
    with pytest.raises(BadSetting, match=r"signing key .* is missing"):
        project(journal, log)

    assert not (keys_of(log) / PRIVATE_NAME).exists()
    assert check(log) is None


def test_a_log_signed_with_another_key_is_not_gone_on_with(journal, log, tmp_path):
    project(journal, log)
    taken_away = shutil.copy(public_key_of(log), tmp_path / "taken_away.pub")
    shutil.rmtree(keys_of(log))
    signing_key(keys_of(log), may_make=True)
    put_in_use(keys_of(log))
    bad = check(log, public_key=Path(taken_away))
    replaced = check(log)
    with pytest.raises(JournalError, match="last checkpoint does not hold"):
        project(journal, log)

    assert bad is None
    assert replaced is not None
    assert "signed with key" in replaced.reason


def test_a_log_and_checkpoints_cut_off_together_are_told_by_a_kept_checkpoint(journal, log):
    project(journal, log)
    old = log.read_bytes(), checkpoints_of(log).read_bytes()
    speak(journal, 3)
    project(journal, log)
    kept = checkpoints_of(log).read_text().splitlines()[-1]
    assert check(log, kept=kept) is None
    log.write_bytes(old[0])
    checkpoints_of(log).write_bytes(old[1])
    bad = check(log, kept=kept)

    assert check(log) is None
    assert bad is not None
    assert "kept, for event 15, is not here" in bad.reason
    with pytest.raises(BadInput, match="that was kept does not hold"):
        check(log, kept=kept.replace('"seq":15', '"seq":16'))


def test_the_key_is_in_no_file_that_is_copied(journal, log):
    project(journal, log)
    secret = (keys_of(log) / PRIVATE_NAME).read_text().splitlines()[1]

    for path in (log, checkpoints_of(log), public_key_of(log)):
        assert secret not in path.read_text()


# -------------------------------------------------------------------------------- against the journal


def test_a_log_short_of_its_journal_agrees_with_it(journal, log):
    assert compare(journal, log) is None
    project(journal, log)
    speak(journal, 2)

    assert compare(journal, log) is verify_end(journal, log) is None


@pytest.mark.parametrize("how", ["deleted", "emptied", "older", "other"])
def test_a_journal_that_is_not_the_logs_is_told_before_anything_is_written(
    journal, log, spoken, tmp_path, how
):
    speak(journal, 1)
    project(journal, log)
    before = log.read_bytes()
    path = tmp_path / f"{how}.db"
    if how == "older":
        shutil.copy(spoken, path)
    reader = JournalReader(path)
    if how != "deleted":
        with SqlJournal(f"sqlite:///{path}") as replaced:
            speak(replaced, 13 if how == "other" else 0, reason="elsewhere")
            with pytest.raises(JournalError):
                project(replaced, log)
    bad = compare(reader, log)
    seen = verify_end(reader, log)

    assert bad is not None
    assert seen is not None
    assert (bad.part, bad.line) == {
        "deleted": (Part.JOURNAL, 1),
        "emptied": (Part.JOURNAL, 1),
        "older": (Part.JOURNAL, 13),
        "other": (Part.LOG, 1),
    }[how]
    assert (seen.part, seen.line) == (Part.LOG if how == "other" else Part.JOURNAL, 13)
    assert not seen.heals
    assert log.read_bytes() == before


def test_the_full_look_finds_what_was_changed_before_the_last_checkpoint(journal, log):
    audit = AuditFile(journal, log)
    audit.project()
    assert audit.verify() is audit.verify_all() is None
    log.write_bytes(log.read_bytes().replace(b'"ann"', b'"eve"', 1))

    assert audit.verify() is None
    assert audit.verify_all() == BadEntry(1, 1, "hash is not that of the content")


def test_a_log_read_whole_is_found_broken_until_it_is_read_again(journal, log):
    audit = AuditFile(journal, log)
    audit.project()
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b'"ann"', b'"eve"', 1))
    read = audit.read_whole()
    again = read.verify()
    log.write_bytes(whole)

    assert again == read.verify() == BadEntry(1, 1, "hash is not that of the content")
    assert audit.read_whole().verify() is None


def test_a_log_read_whole_is_still_looked_at_from_its_last_checkpoint_on(journal, log):
    audit = AuditFile(journal, log)
    audit.project()
    read = audit.read_whole()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b'"ann"', b'"eve"')]))

    assert read.verify() == BadEntry(12, 12, "hash is not that of the content")


def test_a_look_at_a_long_log_tells_how_far_it_is(journal, log, monkeypatch):
    monkeypatch.setattr("resources.audit_log.TOLD_EVERY", 6)
    audit = AuditFile(journal, log)
    audit.project()
    told = []

    assert audit.verify_all(told.append) is None
    assert told == [
        "audit log: 6 lines followed by their hashes, 50% of it",
        "audit log: 12 lines followed by their hashes, 100% of it",
        "audit log: 6 lines compared with the journal, 50% of it",
        "audit log: 12 lines compared with the journal, 100% of it",
    ]


def test_a_look_at_a_long_log_holds_up_nobody_who_appends_to_it(journal, log, monkeypatch):
    monkeypatch.setattr("resources.audit_log.TOLD_EVERY", 6)
    project(journal, log)
    appended = []

    def append(_: str) -> None:
        speak(journal, 1)
        appended.append(project(journal, log))

    assert check(log, tell=append) is None
    assert compare(journal, log, tell=append) is None
    assert appended == [1] * 4


def test_what_a_look_found_beside_others_is_looked_at_again_with_them_kept_out(journal, log, monkeypatch):
    monkeypatch.setattr("resources.audit_log.TOLD_EVERY", 6)
    project(journal, log)
    log.write_bytes(log.read_bytes()[:-5])
    may_append = []

    def heal_once(_: str) -> None:
        may_append.append(is_free(log))
        if len(may_append) == 1:
            project(journal, log)

    assert check(log, tell=heal_once) is None
    assert may_append == [True, False, False]


@pytest.mark.parametrize("growth", [0, 3])
def test_a_log_shortened_in_its_middle_is_never_gone_on_with(journal, log, growth):
    project(journal, log)
    lines = log.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace("tést".encode(), b"t", 1)
    log.write_bytes(b"".join(lines))
    changed = log.read_bytes()
    speak(journal, growth)

    for _ in range(2):
        with pytest.raises(JournalError, match="was changed before line 12"):
            project(journal, log)
        assert verify_end(journal, log).line == 3
    assert log.read_bytes() == changed


def test_the_quick_look_reads_no_more_of_a_longer_log(journal, log):
    project(journal, log)
    log.write_bytes(b"x" * 999 + log.read_bytes()[999:])

    # What lies before the last line is left to the full look.
    assert verify_end(journal, log) is None
    assert check(log) is not None


def test_an_event_of_the_journal_that_does_not_follow_is_never_signed(journal, log, tmp_path):
    project(journal, log)
    speak(journal, 1)
    before = log.read_bytes(), checkpoints_of(log).read_bytes()

    class Forged:
        def events(self, **asked):
            return [
                event._replace(actor="eve") if event.seq == 13 else event for event in journal.events(**asked)
            ]

    with pytest.raises(JournalError, match="the journal's event 13 does not hold"):
        project(Forged(), log)

    assert (log.read_bytes(), checkpoints_of(log).read_bytes()) == before


@pytest.mark.parametrize("first", [0, 100, 600])
@pytest.mark.parametrize("part", ["log", "checkpoints"])
def test_sectors_that_a_power_loss_left_unwritten_are_cut_off_and_told_again(journal, log, part, first):
    project(journal, log)
    torn = log if part == "log" else checkpoints_of(log)
    begins = torn.stat().st_size
    speak(journal, 5)
    project(journal, log)
    whole = log.read_bytes()
    content = bytearray(torn.read_bytes())
    first = min(begins + first, len(content) - 300)
    content[first : first + 200] = bytes(200)
    torn.write_bytes(content)
    if part == "log":
        # It is synced before it is signed for.
        lines = checkpoints_of(log).read_bytes().splitlines(keepends=True)
        checkpoints_of(log).write_bytes(b"".join(lines[:-1]))
    found = verify_end(journal, log)
    project(journal, log)

    assert found is not None
    assert found.heals
    assert log.read_bytes() == whole
    assert verify_end(journal, log) is None
    assert check(log) is None


def test_a_hole_in_what_was_signed_for_is_no_crash(journal, log):
    project(journal, log)
    speak(journal, 5)
    project(journal, log)
    content = bytearray(log.read_bytes())
    content[100:200] = bytes(100)
    log.write_bytes(content)
    lines = checkpoints_of(log).read_bytes().splitlines(keepends=True)
    holed = lines[0][:50] + bytes(20) + lines[0][70:]

    assert not check(log).heals
    checkpoints_of(log).write_bytes(holed + lines[1])
    assert not check(log).heals


# -------------------------------------------------------------------------------- malformed files


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\xfd\n",
        b"\n",
        b"{}\r\n",
        b"[" * 100_000 + b"\n",
        b'{"seq":' + b"9" * 5_000 + b"}\n",
        b'{"seq":1,"seq":1}\n',
        b'{"seq":1.0}\n',
        b'{"seq":NaN}\n',
        b'{"seq":true}\n',
        b"null\n",
        b"x" * (LINE_BYTES_MAX + 10),
        b"x" * (LINE_BYTES_MAX + 10) + b"\n",
    ],
)
@pytest.mark.parametrize("part", ["log", "checkpoints"])
def test_a_malformed_file_is_a_finding_and_never_an_accident(journal, log, content, part):
    project(journal, log)
    path = log if part == "log" else checkpoints_of(log)
    path.write_bytes(content)
    bad = check(log)
    seen = verify_end(journal, log)

    assert bad is not None
    assert (bad.line, bad.part, bad.heals) == (1, part, False)
    assert seen == bad


def test_what_cannot_be_read_or_written_is_said(journal, log):
    log.mkdir(parents=True)
    for ask in (
        lambda: project(journal, log),
        lambda: check(log),
        lambda: verify_end(journal, log),
        lambda: compare(journal, log),
        lambda: list(events_in(log)),
    ):
        with pytest.raises(JournalError, match=r"cannot be (read|written)"):
            ask()


def test_a_full_disk_leaves_a_log_that_the_next_projection_mends(journal, log):
    project(journal, log)
    whole = log.read_bytes()
    speak(journal, 30)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # The journal keeps its bytes; only the log may not grow by more than these.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 700, limit[1]))
    try:
        with pytest.raises(JournalError, match="cannot be written"):
            project(journal, log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    bad = check(log)
    assert bad is None or bad.heals
    assert log.read_bytes().startswith(whole)

    project(journal, log)
    assert log.read_bytes() == export(journal)
    assert check(log) is None
