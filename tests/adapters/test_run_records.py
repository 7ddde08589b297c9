"""Dagster's records through kept connections: the same files, told the same, with few connections."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from console.serving import dagster_home
from resources import run_records
from resources.run_records import Engines, KeptEvents, KeptRunRecords
from resources.settings import Profile, Settings

PROJECT = Path(__file__).resolve().parents[2]
SESSIONS = dg.DailyPartitionsDefinition(start_date="2013-01-01", end_date="2013-01-11")
NUMBERS = dg.AssetKey(["book", "numbers"])


@dg.asset(key=NUMBERS, partitions_def=SESSIONS)
def numbers() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset_check(asset=NUMBERS, partitions_def=SESSIONS)
def numbers_are_odd() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def settings_in(folder: Path) -> Settings:
    return Settings(
        profile=Profile.SIMULATED,
        state_dir=folder,
        config_dir=folder,
        books_file=folder / "books.toml",
        journal_url="sqlite://",
        lake_root=str(folder),
        live_allowed=False,
        execution_enabled=True,
        log_level="INFO",
        operator="desk",
        display_timezone="UTC",
    )


def run_in(instance: dg.DagsterInstance, session: date) -> str:
    """Materialize the asset with its check in one session; give the run's id."""
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    defs = dg.Definitions(assets=[numbers], asset_checks=[numbers_are_odd])
    run = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, partition_key=session.isoformat(), run_config=quiet
    )
    return run.run_id


def told(instance: dg.DagsterInstance, run_id: str) -> tuple[object, ...]:
    """Give what an instance tells of a run: its status, its events, its asset and its check."""
    run = instance.get_run_by_id(run_id)
    check = dg.AssetCheckKey(NUMBERS, "numbers_are_odd")
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    return (
        run and run.status,
        tuple(entry.message for entry in instance.all_logs(run_id)),
        instance.get_materialized_partitions(NUMBERS),
        latest.run_id,
        latest.status,
    )


def test_the_records_of_a_run_are_told_alike_by_the_default_storage(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home(settings_in(tmp_path)))) as instance:
        assert isinstance(instance.event_log_storage, KeptEvents)
        run_id = run_in(instance, date(2013, 1, 3))
        here = told(instance, run_id)

    home = tmp_path / "simulated" / "dagster"
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
    with dg.DagsterInstance.from_config(str(home)) as default:
        assert not isinstance(default.event_log_storage, KeptEvents)
        assert told(default, run_id) == here
        later = run_in(default, date(2013, 1, 4))
        there = told(default, later)

    with dg.DagsterInstance.from_config(str(dagster_home(settings_in(tmp_path)))) as instance:
        assert told(instance, later) == there
        assert there[2] == {"2013-01-03", "2013-01-04"}


def test_a_run_opens_a_handful_of_connections_however_many_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.from_config(str(dagster_home(settings_in(tmp_path)))) as instance:
        run_in(instance, date(2013, 1, 3))  # makes the files
        opened: list[str] = []
        real = sqlite3.dbapi2.connect
        monkeypatch.setattr(
            sqlite3.dbapi2, "connect", lambda *a, **k: opened.append(str(a[0])) or real(*a, **k)
        )
        run_id = run_in(instance, date(2013, 1, 4))
        events = len(list(instance.all_logs(run_id)))

    own = [path for path in opened if Path(path).stem == run_id]
    assert events > 15
    assert len(own) <= 2  # one that makes the tables, one that stays
    assert len(opened) <= 5


FIRST_LAUNCH = """
import sys
import dagster as dg
from resources import run_records
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
dg.DagsterInstance.from_config(sys.argv[1]).dispose()
"""


def test_first_launches_at_once_in_an_empty_folder_all_begin(tmp_path: Path) -> None:
    home = dagster_home(settings_in(tmp_path))
    launches = [
        subprocess.Popen(
            [sys.executable, "-c", FIRST_LAUNCH, str(home)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for launch in launches:
        assert launch.stdout is not None
        assert launch.stdout.readline() == "ready\n"
    for launch in launches:
        assert launch.stdin is not None
        launch.stdin.write("\n")
        launch.stdin.flush()
    said = [launch.communicate()[1] for launch in launches]

    assert [launch.returncode for launch in launches] == [0, 0, 0], said


def test_a_commit_waits_for_no_disk_and_a_checkpoint_does(tmp_path: Path) -> None:
    engines = Engines()
    with engines.of(f"sqlite:///{tmp_path / 'a.db'}").connect() as connection:
        synchronous = connection.execute(sa.text("pragma synchronous")).scalar_one()
    engines.close()

    assert synchronous == 1


def test_the_files_used_longest_ago_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_records, "ENGINES_KEPT", 2)
    engines = Engines()
    urls = [f"sqlite:///{tmp_path / name}.db" for name in "abc"]
    first, second = engines.of(urls[0]), engines.of(urls[1])
    engines.of(urls[0])
    engines.of(urls[2])

    assert engines.of(urls[0]) is first
    assert engines.of(urls[1]) is not second
    engines.close()
    assert first.pool.checkedin() == 0


def test_the_folder_says_where_its_records_lie_unless_the_project_names_a_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.setattr("console.serving.PROJECT", project)
    (project / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
    home = dagster_home(settings_in(tmp_path / "state"))
    ours = (home / "dagster.yaml").read_text("utf-8")
    postgres = "telemetry:\n  enabled: false\nstorage:\n  postgres: {}\n"
    (project / "dagster.yaml").write_text(postgres, "utf-8")
    dagster_home(settings_in(tmp_path / "state"))

    assert KeptRunRecords.__name__ in ours
    assert json.dumps(str(home)) in ours
    assert (home / "dagster.yaml").read_text("utf-8") == postgres
