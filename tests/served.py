"""The pages as a person has them: `trading ui` in a process of its own, asked over HTTP, ended by Ctrl-C.

Not here: what the pages show (tests/console), what runs launched there leave behind (tests/faults).
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console.serving_marker import told_by

PROJECT = Path(__file__).resolve().parents[1]
LOCATION = {"repositoryLocationName": "trading_assets", "repositoryName": "__repository__"}

HANGS_S = 600
"""How long is waited for anything: a server on a busy machine is slow, and only a hung one takes longer."""
LOOK_EVERY_S = 1.0

LAUNCH_RUN = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
LAUNCH_BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
CANCEL_BACKFILL = "mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }"
BACKFILL_RUNS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { runs(limit: 200) { id status } } } }"""
RUN_STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
FAILED_STEPS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  __typename ... on ExecutionStepFailureEvent { stepKey failureMetadata { description }
  error { message errorChain { error { message } } } }
} } } }"""

DONE = {"SUCCESS", "FAILURE", "CANCELED"}


class Served:
    """Ask the web server of one state folder; `console_port` is 0 where the console is not beside it."""

    def __init__(self, port: int, group: int, console_port: int = 0) -> None:
        self.port = port
        self.group = group
        self.console_port = console_port

    @property
    def url(self) -> str:
        """Return where the pages are."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the data that GraphQL answers with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            body = json.dumps({"query": query, "variables": variables})
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            reply = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert "errors" not in reply, reply["errors"]
        return reply["data"]

    def launch(self, job: str, session: str, *, assets: Sequence[str] = ()) -> str:
        """Launch a job for a session, or some assets and no check, as the UI does; give the run's id."""
        book = job.partition("__")[0]
        selection = [{"path": [book, asset]} for asset in assets]
        answer = self.ask(
            LAUNCH_RUN,
            p={
                "selector": {
                    **LOCATION,
                    "pipelineName": "__ASSET_JOB" if assets else job,
                    **({"assetSelection": selection, "assetCheckSelection": []} if assets else {}),
                },
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": session}]},
            },
        )["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def backfill_job(self, job: str, sessions: Sequence[str]) -> str:
        """Launch a job's backfill over sessions; give its id."""
        selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": LOCATION}
        return self._backfill({"selector": selector, "partitionNames": list(sessions)})

    def backfill_assets(self, book: str, assets: Sequence[str], sessions: Sequence[str]) -> str:
        """Launch a backfill of assets over sessions; give its id."""
        selection = [{"path": [book, asset]} for asset in assets]
        return self._backfill({"assetSelection": selection, "partitionNames": list(sessions)})

    def cancel(self, backfill: str) -> None:
        """Cancel a backfill."""
        self.ask(CANCEL_BACKFILL, id=backfill)

    def runs_of(self, backfill: str) -> dict[str, str]:
        """Return the status of a backfill's runs, by run id."""
        found = self.ask(BACKFILL_RUNS, id=backfill)["partitionBackfillOrError"]
        return {run["id"]: run["status"] for run in found["runs"]}

    def status(self, run: str) -> str:
        """Return a run's status."""
        return str(self.ask(RUN_STATUS, id=run)["runOrError"]["status"])

    def why(self, run: str) -> dict[str, str]:
        """Return what each failed step of a run said, by step."""
        events = self.ask(FAILED_STEPS, id=run)["logsForRun"]["events"]
        failures = [event for event in events if event["__typename"] == "ExecutionStepFailureEvent"]
        return {
            event["stepKey"]: "\n".join(
                [
                    (event["failureMetadata"] or {}).get("description") or "",
                    event["error"]["message"],
                    *(link["error"]["message"] for link in event["error"]["errorChain"]),
                ]
            )
            for event in failures
        }

    def _backfill(self, parameters: Mapping[str, Any]) -> str:
        answer = self.ask(LAUNCH_BACKFILL, p=parameters)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])


def until(what: str, is_so: Callable[[], Any]) -> Any:
    """Return what `is_so` gives once that is true; fail naming `what` where that never comes."""
    deadline = time.monotonic() + HANGS_S
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"{what}: not within {HANGS_S} s"
        time.sleep(LOOK_EVERY_S)
    return found


@contextmanager
def served(
    state_dir: Path,
    *,
    config_dir: Path = PROJECT / "config",
    cwd: Path = PROJECT,
    has_console: bool = False,
) -> Iterator[Served]:
    """Serve the pages of a state folder while inside; then end them by Ctrl-C and look that all is gone."""
    with socket.create_server(("127.0.0.1", 0)) as probe, socket.create_server(("127.0.0.1", 0)) as other:
        port, console_port = int(probe.getsockname()[1]), int(other.getsockname()[1]) * has_console
    marker = state_dir / "simulated" / "ui.json"
    console_marker = state_dir / "simulated" / "console" / "serving.json"
    ours = {"TRADING_STATE_DIR": str(state_dir), "TRADING_CONFIG_DIR": str(config_dir)}
    foreign = {name: text for name, text in os.environ.items() if not name.startswith("TRADING_")}
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("trading")),
            "ui",
            "--port",
            str(port),
            "--console-port",
            str(console_port),
        ],
        cwd=cwd,
        env=foreign | ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def ready() -> int | None:
        assert process.poll() is None, process.stdout and process.stdout.read()
        found = json.loads(marker.read_text("utf-8") or "{}") if marker.exists() else {}
        return int(found["pid"]) if found.get("port") == port else None

    group = 0
    try:
        group = until("the pages", ready)
        if has_console:
            until("the console", lambda: told_by(console_marker))
        yield Served(port, group, console_port)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            told = process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            if group and (left := alive_in(group)):
                os.killpg(group, signal.SIGKILL)
    assert process.returncode == 130, told
    assert left == []
    assert told_by(console_marker) is None


def alive_in(group: int) -> list[str]:
    """Return the commands of a process group's processes that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " ")[:120])
        except (OSError, ValueError):
            continue  # it ended while we looked
    return found
