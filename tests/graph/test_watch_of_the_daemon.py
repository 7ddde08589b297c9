"""The watch as the daemon evaluates it: killed between its sends and its cursor, it tells nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus

from resources.journal.reader import JournalReader
from resources.watch_signs import last_beat
from tests.graph.desk import PROJECT, QUIET, SESSIONS, Desk

DAEMON = """
import logging
import os
import signal
import sys
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from resources.profiles import Profiled
import sensors.watch
from tests.graph.desk import settings_in
from trading_assets.definitions import graph_of, resources_of
from trading_assets.tables import OF_SESSIONS

STATE, HOME, WHAT = sys.argv[1:]
PROFILED = Profiled(settings_in(Path(STATE)), assets=OF_SESSIONS)


# The daemon that comes after the killed one need not wait for a minute.
sensors.watch.INTERVAL_S = 1


class Signs:
    "Die where the watch has told and delivered everything, and Dagster has not stored its cursor."

    def beat(self):
        if WHAT == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        PROFILED.watch_signs.beat()

    def disk_free_ratio(self):
        return 0.5


definitions = dg.Definitions(
    sensors=[
        sensors.watch.watch_sensor(
            [graph_of(PROFILED, "us_five")], automations={"us_five": ()}, is_simulated=True
        )
    ],
    resources={
        **resources_of(PROFILED),
        "watched": dg.ResourceDefinition.hardcoded_resource(Signs()),
    },
)


class Here(WorkspaceLoadTarget):
    def create_origins(self):
        target = LoadableTargetOrigin(python_file=__file__, attribute="definitions")
        return [InProcessCodeLocationOrigin(target, location_name="desk")]


if __name__ == "__main__":
    with (
        dg.DagsterInstance.local_temp(HOME, overrides={"telemetry": {"enabled": False}}) as instance,
        WorkspaceProcessContext(instance, Here()) as workspace,
    ):
        for _ in execute_sensor_iteration(workspace, logging.getLogger("quiet"), None, None):
            pass
"""


def test_a_daemon_killed_before_it_stored_the_cursor_looks_again_and_tells_nothing_twice(
    tmp_path: Path, desk_on
):
    desk: Desk = desk_on()
    home, script = tmp_path / "dagster", tmp_path / "daemon.py"
    home.mkdir()
    script.write_text(DAEMON)

    def daemon(what: str) -> int:
        """Be the daemon for one iteration; returns how its process ended."""
        command = [sys.executable, str(script), str(desk.settings.state_dir), str(home), what]
        return subprocess.run(command, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)}, check=False).returncode

    with dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}}) as instance:
        fail(instance)

        assert daemon("dies") == -signal.SIGKILL
        (state,) = instance.all_instigator_state()
        (tick,) = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        assert (tick.status, state.instigator_data.cursor) == (TickStatus.STARTED, None)
        assert told(desk) == [("run_failed", "firing")]
        assert last_beat(desk.settings.profile_dir) is None

        assert daemon("lives") == 0
        (state,) = instance.all_instigator_state()
        last, *_ = instance.get_ticks(state.instigator_origin_id, state.selector_id)

    assert last.status is TickStatus.SKIPPED
    assert json.loads(state.instigator_data.cursor)["seen"]
    assert last_beat(desk.settings.profile_dir) is not None
    assert told(desk) == [("run_failed", "firing")]
    (sent,) = [one for one in desk.journal.deliveries() if one.channel == "stdout"]
    assert sent.is_delivered


def fail(instance: dg.DagsterInstance) -> None:
    """Run a job of the book that fails."""

    @dg.op
    def breaks() -> None:
        raise dg.Failure("the source is out of reach")

    @dg.job(tags={"trading/book": "us_five", "dagster/partition": str(SESSIONS[-1])})
    def us_five__decide() -> None:
        breaks()

    us_five__decide.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET)


def told(desk: Desk) -> list[tuple[str, str]]:
    """Return code and status of each alert that people were sent, on one channel."""
    return [
        (alert["code"], alert["status"])
        for one in JournalReader(desk.settings.journal_url).outbox()
        if one.channel == "stdout"
        for alert in json.loads(one.body)["alerts"]
    ]
