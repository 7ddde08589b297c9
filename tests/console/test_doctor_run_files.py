"""`trading doctor` on Dagster's record files: which of them cannot be read, without Dagster."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from console import run_files
from console.cli import main
from console.run_files import SHARED, WHOLE_BYTES_MAX, run_files_seen

ROOT = Path(__file__).resolve().parents[2]
RUN = "history/runs/0ba7ebe2.db"


def store(path: Path, *, rows: int) -> None:
    """Make a file as Dagster's storage does: SQLite that keeps a log beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table events (told text)")
        connection.executemany("insert into events values (?)", (("x" * 1000,) for _ in range(rows)))
        connection.commit()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Give Dagster's folder of a state folder, with the files that its storage keeps."""
    folder = tmp_path / "state" / "simulated" / "dagster"
    for name in (*SHARED, RUN):
        store(folder / name, rows=20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    return folder


@pytest.fixture
def doctor(capsys):
    """Ask the doctor; give the status and the checks on Dagster's records, by name."""

    def ask():
        code = main(["doctor", "--json"])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return code, {
            row["check"]: row for row in checks if row["check"].startswith(("dagster r", "dagster u"))
        }

    return ask


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 500)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 8192 * 4096)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def lost_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * 8192)


def no_text(path: Path) -> None:
    """Put bytes into the schema that SQLite reads over, and the driver cannot read as names."""
    path.write_bytes(path.read_bytes().replace(b"events", b"event\xff"))


def no_schema(path: Path) -> None:
    """Damage the schema so that SQLite's own message quotes what is no text."""
    path.write_bytes(path.read_bytes().replace(b"events", b"event\xff").replace(b"CREATE", b"CRE\xffTE"))


def test_records_that_can_be_read_are_told_with_how_many_were_looked_at(home, doctor):
    _, checks = doctor()

    assert {name: row["health"] for name, row in checks.items()} == {"dagster records": "ok"}
    assert "4 of 4 files looked at" in checks["dagster records"]["found"]


@pytest.mark.parametrize("damage", [garbage, cut_in_half, empty, lost_pages, no_text, no_schema])
@pytest.mark.parametrize("name", SHARED)
def test_a_damaged_file_that_all_runs_need_fails_with_what_to_do(home, doctor, name, damage):
    damage(home / name)
    code, checks = doctor()

    assert code == 1
    assert checks["dagster records"]["health"] == "fail"
    assert checks["dagster records"]["found"].startswith(f"{name}: ")
    assert f"move {home} away" in checks["dagster records"]["remedy"]


@pytest.mark.parametrize("damage", [garbage, cut_in_half, lost_pages, no_text, no_schema])
def test_a_damaged_file_of_one_run_is_a_warning_that_names_it(home, doctor, damage):
    damage(home / RUN)
    _, checks = doctor()

    assert {name: row["health"] for name, row in checks.items()} == {"dagster runs": "warn"}
    assert checks["dagster runs"]["found"].startswith(f"{RUN}: ")
    assert "move its file away" in checks["dagster runs"]["remedy"]


def test_a_file_that_somebody_writes_is_not_damaged(home):
    with closing(sqlite3.connect(home / SHARED[0])) as writer:
        writer.execute("begin exclusive")
        seen = run_files_seen(home)

    assert (seen.shared_faults, seen.run_faults, seen.unseen) == ({}, {}, {})


def test_files_that_are_held_locked_are_not_damaged_and_are_not_waited_for(home):
    with ExitStack() as held:
        for name in (*SHARED, RUN):
            writer = held.enter_context(closing(sqlite3.connect(home / name, isolation_level=None)))
            writer.execute("pragma journal_mode = delete")
            writer.execute("begin exclusive")
            writer.execute("insert into events values ('')")
            with (
                closing(sqlite3.connect(home / name, timeout=0)) as reader,
                pytest.raises(sqlite3.OperationalError, match="locked"),
            ):
                reader.execute("select count(*) from events")
        begun = time.monotonic()
        seen = run_files_seen(home)
        took_s = time.monotonic() - begun

    assert (seen.shared_faults, seen.run_faults, seen.unseen) == ({}, {}, {})
    # SQLite's own patience is 5 s a file.
    assert took_s < 5


def test_a_look_leaves_no_files_behind(home):
    before = sorted(home.rglob("*"))
    seen = run_files_seen(home)

    assert seen.looked_at == len(SHARED) + 1
    assert sorted(home.rglob("*")) == before


def test_what_a_log_beside_a_file_holds_is_read_as_well(home):
    path = home / SHARED[0]
    path.unlink()
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("create table runs (told text)")
        writer.commit()
        seen = run_files_seen(home)

    assert (seen.shared_faults, seen.unseen) == ({}, {})


def test_a_file_that_is_gone_when_it_is_looked_at_is_passed_over(home):
    (home / "history/runs/gone.db").symlink_to(home / "nowhere.db")
    (home / SHARED[2]).unlink()
    (home / SHARED[2]).symlink_to(home / "nowhere.db")
    seen = run_files_seen(home)

    assert (seen.shared_faults, seen.run_faults, seen.unseen) == ({}, {}, {})
    assert (seen.looked_at, seen.files) == (3, 3)


@pytest.mark.parametrize("left", [b"", b"this is no database" * 500])
def test_a_file_that_is_deleted_or_changed_during_the_look_is_not_damaged(home, monkeypatch, left):
    connect = sqlite3.connect

    def overtaken(address, **options):
        path = Path(address.removeprefix("file:").partition("?")[0])
        path.unlink()
        if left:
            path.write_bytes(left)
        return connect(address, **options)

    monkeypatch.setattr(run_files.sqlite3, "connect", overtaken)
    seen = run_files_seen(home)

    assert (seen.shared_faults, seen.run_faults, seen.unseen) == ({}, {}, {})


@pytest.mark.parametrize("name", [*SHARED, RUN])
def test_a_file_that_the_system_does_not_let_ask_about_is_a_warning_that_names_it(home, doctor, name):
    (home / name).unlink()
    (home / name).symlink_to(home / name)
    _, checks = doctor()

    assert {check: row["health"] for check, row in checks.items()} == {"dagster unseen": "warn"}
    assert f"{name}: Too many levels of symbolic links" in checks["dagster unseen"]["found"]


def test_a_folder_of_runs_that_cannot_be_listed_is_a_warning_and_not_taken_for_an_empty_one(home, doctor):
    shutil.rmtree(home / "history/runs")
    (home / "history/runs").symlink_to(home / "history/runs")
    _, checks = doctor()

    assert checks["dagster unseen"]["health"] == "warn"
    assert "history/runs: Too many levels of symbolic links" in checks["dagster unseen"]["found"]


def cut_off_write(path: Path) -> None:
    """Leave what a kill in the middle of a write leaves where no log is kept: pages, and how they were."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma journal_mode = delete")
        connection.execute("pragma cache_size = 1")
        connection.execute("begin")
        connection.execute("update events set told = 'y' || told")
        left = {file: file.read_bytes() for file in (path, path.with_name(f"{path.name}-journal"))}
    for file, content in left.items():
        file.write_bytes(content)


def of_a_newer_sqlite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[44:48] = (9).to_bytes(4, "big")
    path.write_bytes(content)


def no_way_to_its_log(path: Path) -> None:
    """Stand in the way of a log beside the file, as a missing right or a limit of open files does."""
    path.with_name(f"{path.name}-wal").mkdir()


@pytest.mark.parametrize("hindrance", [cut_off_write, of_a_newer_sqlite, no_way_to_its_log])
@pytest.mark.parametrize("name", [*SHARED, RUN])
def test_a_file_that_could_not_be_looked_at_is_a_warning_that_moves_nothing_away(
    home, doctor, name, hindrance
):
    hindrance(home / name)
    _, checks = doctor()

    assert {check: row["health"] for check, row in checks.items()} == {"dagster unseen": "warn"}
    assert checks["dagster unseen"]["found"].startswith(f"could not be looked at: {name}: ")
    assert "keep them" in checks["dagster unseen"]["remedy"]


def test_a_write_that_was_cut_off_says_who_takes_it_back(home):
    cut_off_write(home / RUN)

    assert (
        "cut short, which the next process of Dagster takes back" in run_files_seen(home).unseen[home / RUN]
    )


def test_a_large_file_that_is_cut_short_is_found_without_being_read_whole(home, monkeypatch):
    large = home / SHARED[1]
    large.unlink()
    store(large, rows=2000)
    size = large.stat().st_size
    asked: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        if large.name in arguments[0]:
            connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(run_files.sqlite3, "connect", traced)

    assert size > WHOLE_BYTES_MAX
    assert run_files_seen(home).shared_faults == {}
    assert asked
    assert not [statement for statement in asked if "check" in statement]

    os.truncate(large, size - 4096)

    assert list(run_files_seen(home).shared_faults) == [large]


def test_the_newest_runs_are_looked_at_where_there_are_many(home):
    for number in range(run_files.NEWEST_RUNS):
        path = home / f"history/runs/{number}.db"
        store(path, rows=1)
        os.utime(path, (2e9 + number, 2e9 + number))
    garbage(home / RUN)
    os.utime(home / RUN, (1e9, 1e9))
    seen = run_files_seen(home)

    assert (seen.looked_at, seen.files) == (3 + run_files.NEWEST_RUNS, 4 + run_files.NEWEST_RUNS)
    assert seen.run_faults == {}


def test_a_folder_without_records_is_looked_at_in_vain(tmp_path):
    seen = run_files_seen(tmp_path)

    assert (seen.files, seen.shared_faults, seen.run_faults) == (0, {}, {})


def test_the_look_needs_no_dagster(home):
    code = (
        "import sys; from console.cli import main; main(['doctor']);"
        "sys.exit(bool({'dagster', 'sqlalchemy'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stdout + told.stderr
    assert "dagster records" in told.stdout
