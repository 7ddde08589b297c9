"""The storage suite, small: what it covers, that it finds its planted bug, and that its disk is a disk."""

from __future__ import annotations

import os
import shutil
from random import Random

import pytest

from proof import desk as desks
from proof import storage
from proof.desk import SCENARIOS, Desk
from proof.recording import (
    PAGE,
    SECTOR,
    TOP,
    Cut,
    Disk,
    Moved,
    Named,
    Reader,
    Said,
    Synced,
    Unnamed,
    Void,
    Wrote,
    drawn,
    run_traced,
    say,
    write_image,
)
from proof.storage import LEDGER, STATE, Fault, judged, sent_unsynced
from proof.suite import Size

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace records what a process does")


def did(*operations) -> Disk:
    disk = Disk()
    for operation in operations:
        disk.do(operation)
    return disk


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a point is drawn so that it can be found again


MADE = (Named(TOP, "a", 1), Synced(TOP))


# -------------------------------------------------------------------------------- the suite


@needs_strace
def test_power_lost_and_faults_met_lose_no_order_and_a_lax_journal_is_found():
    told = storage.run(Size(points=40, seed=7), lambda _: None)

    assert told.violations == ()
    assert told.points == 40
    assert told.parts["faults"] >= 1
    assert told.is_planted_bug_caught
    assert told.parts[storage.LOST_ORDERS] > 0


@needs_strace
def test_the_same_seed_covers_the_same_images(tmp_path):
    life = storage.record(tmp_path / "life", SCENARIOS[0], pages=12)
    tasks = list(storage._image_tasks(life, 30, 5, tmp_path))

    def images():
        for task in tasks:
            disk = Disk(outside=(LEDGER,))
            for operation in life.operations[: task.start + 1]:
                disk.do(operation)
            yield drawn(disk, seeded(task.start))

    assert list(images()) == list(images())
    assert list(sent_unsynced(life)) == []


@needs_strace
@pytest.mark.parametrize("is_hard", [False, True])
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "write", "openat"])
def test_a_failing_call_is_answered_and_what_went_out_is_durable(tmp_path, call, is_hard):
    decided = tmp_path / "decided"
    desks.decide(Desk(decided), SCENARIOS[0])
    fault = Fault(call, storage.ERRORS[call][0], when=3, is_lasting=True, is_hard=is_hard)
    with storage._copied(decided, tmp_path) as desk:
        is_met, found = storage._met(desk, SCENARIOS[0], fault, tmp_path)

    assert is_met
    assert found == []


@needs_strace
def test_writers_go_on_where_no_turn_can_be_written(tmp_path):
    desk = Desk(tmp_path / STATE)
    desks.decide(desk, SCENARIOS[0])
    turns = desk.journal.with_name("journal.db-turns")
    trace = tmp_path / "trace"
    inject = ["pwrite64:error=ENOSPC:when=1+"]

    assert run_traced(lambda: desks.act(desk, SCENARIOS[0]), trace, inject=inject, paths=[turns]) == 0
    assert "(INJECTED)" in trace.read_text("ascii")
    assert desks.recover(desk, SCENARIOS[0]) == []
    assert desks.check(desk, SCENARIOS[0]) == []


@needs_strace
def test_a_log_whose_sync_failed_is_written_again_before_it_is_believed(tmp_path, monkeypatch):
    decided = tmp_path / "decided"
    desks.decide(Desk(decided), SCENARIOS[0])
    fault = Fault("fdatasync", "EIO", when=5, is_lasting=False, is_hard=True)
    monkeypatch.setattr("resources.journal.database._make_log_durable", lambda _database: None)
    with storage._copied(decided, tmp_path) as desk:
        _, found = storage._met(desk, SCENARIOS[0], fault, tmp_path)

    assert any("is in no row" in sentence for sentence in found)


@needs_strace
def test_an_image_of_a_lost_row_is_judged_as_a_loss(tmp_path):
    desk = Desk(tmp_path / STATE)
    desks.decide(desk, SCENARIOS[0])
    said = [b'{"sent": "ta-unheard-of"}', b'{"event": [1, "another"]}']

    found = judged(desk, SCENARIOS[0], said)
    assert "order ta-unheard-of went to the broker and is in no row" in found
    assert any("event 1 was told and is not there" in sentence for sentence in found)


# -------------------------------------------------------------------------------- recording


@needs_strace
def test_what_is_replayed_is_what_the_process_left(tmp_path):
    folder, trace = tmp_path / "folder", tmp_path / "trace"
    folder.mkdir()

    def live():
        desks.decide(Desk(folder / STATE), SCENARIOS[0])
        say(b"lived")

    assert run_traced(live, trace) == 0
    operations = Reader(folder).read(trace)
    disk = did(*operations)
    image = disk.image(disk.waiting)

    assert Said(b"lived") in operations
    places = [path for path in folder.rglob("*") if not path.name.endswith((".lock", "-shm", "-turns"))]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in places if path.is_file()}
    folders = {f"{path.relative_to(folder)}/": b"" for path in places if path.is_dir()}
    assert image == files | folders


@needs_strace
def test_a_call_that_is_not_replayed_voids_a_recording(tmp_path):
    folder, trace = tmp_path / "folder", tmp_path / "trace"
    folder.mkdir()

    def live():
        file = os.open(folder / "a", os.O_CREAT | os.O_RDWR)
        os.posix_fallocate(file, 0, 10)

    assert run_traced(live, trace) == 0
    with pytest.raises(Void, match="fallocate"):
        Reader(folder).read(trace)


@needs_strace
def test_a_fault_is_met_by_its_own_call_on_its_own_file_alone(tmp_path):
    folder, trace = tmp_path / "folder", tmp_path / "trace"
    folder.mkdir()

    def live():
        for name in ("other", "ours"):
            with (folder / name).open("wb", buffering=0) as file:
                try:
                    file.write(b"1")
                except OSError:
                    say(name.encode())

    run_traced(live, trace, inject=["write:error=EIO:when=1"], paths=[folder / "ours", os.devnull])
    operations = Reader(folder).read(trace)

    assert [each.payload for each in operations if isinstance(each, Said)] == [b"ours"]


def test_a_folder_that_is_there_is_held_with_all_it_has(tmp_path):
    held = {"a": b"1", "b/": b"", "b/c": b"2"}
    write_image(held, tmp_path / "folder")

    assert did(*Reader(tmp_path / "folder").held()).image([]) == held


# -------------------------------------------------------------------------------- a disk


def test_what_was_synced_is_there_and_what_was_not_may_be():
    disk = did(*MADE, Wrote(1, 0, b"old"), Synced(1), Wrote(1, 0, b"new"), Wrote(1, 3, b"er"))

    assert disk.image([]) == {"a": b"old"}
    assert disk.image(disk.waiting) == {"a": b"newer"}
    assert disk.image(disk.waiting[1:]) == {"a": b"older"}


def test_a_name_is_durable_with_its_folder_only():
    disk = did(Named(TOP, "a", 1), Wrote(1, 0, b"x"), Synced(1))

    assert disk.image([]) == {}
    disk.do(Synced(TOP))
    assert disk.image([]) == {"a": b"x"}


def test_a_folder_that_is_lost_takes_along_what_is_below():
    made = Named(TOP, "b", 1, is_folder=True)
    disk = did(made, Named(1, "c", 2), Wrote(2, 0, b"x"), Synced(2), Synced(1))

    assert disk.image([]) == {}
    assert disk.image(disk.waiting) == {"b/": b"", "b/c": b"x"}


def test_a_folder_whose_names_are_lost_is_an_empty_folder(tmp_path):
    disk = did(Named(TOP, "b", 1, is_folder=True), Synced(TOP), Named(1, "c", 2), Wrote(2, 0, b"x"))
    write_image(disk.image([]), tmp_path / "image")

    assert (tmp_path / "image" / "b").is_dir()
    assert list((tmp_path / "image" / "b").iterdir()) == []


def test_a_cut_a_removal_and_a_renaming_may_be_lost():
    disk = did(*MADE, Wrote(1, 0, b"long"), Synced(1), Cut(1, 2), Moved(TOP, "a", "b"), Unnamed(TOP, "b"))

    assert disk.image([]) == {"a": b"long"}
    assert disk.image(disk.waiting[:2]) == {"b": b"lo"}
    assert disk.image(disk.waiting) == {}


def test_a_gap_reads_as_zeros():
    assert did(*MADE, Wrote(1, 2, b"x"), Synced(1)).image([]) == {"a": b"\0\0x"}


def test_writes_are_torn_at_sectors_alone():
    disk = did(*MADE, Wrote(1, 0, b"0" * 3 * SECTOR), Synced(1), Wrote(1, 100, b"1" * 2 * SECTOR))
    seen = {drawn(disk, seeded(seed))["a"] for seed in range(300)}
    parts = {
        (image[100:SECTOR], image[SECTOR : 2 * SECTOR], image[2 * SECTOR : 2 * SECTOR + 100])
        for image in seen
    }

    assert len(parts) == 2**3
    assert all(len(set(part)) == 1 for image in parts for part in image)


def test_a_sync_that_failed_makes_nothing_durable_and_neither_does_the_next():
    disk = did(*MADE, Wrote(1, 0, b"x" * PAGE), Synced(1, is_failed=True), Wrote(1, PAGE, b"y"), Synced(1))

    assert disk.image([]) == {"a": bytes(PAGE) + b"y"}


def test_a_page_that_changes_again_after_a_failed_sync_is_written_as_it_is_shown():
    disk = did(*MADE, Wrote(1, 0, b"x" * 9), Synced(1, is_failed=True), Wrote(1, 9, b"y"), Synced(1))

    assert disk.image([]) == {"a": b"x" * 9 + b"y"}


def test_another_machine_loses_nothing():
    disk = Disk(outside=(LEDGER,))
    for operation in (Named(TOP, LEDGER, 1), Wrote(1, 0, b"x"), Named(TOP, "a", 2), Wrote(2, 0, b"y")):
        disk.do(operation)

    assert disk.image([]) == {LEDGER: b"x"}
