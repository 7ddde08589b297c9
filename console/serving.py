"""Serve the graph's pages: Dagster's web server and daemon, one pair a state folder, on this machine only.

Here: starting them, saying where they answer, ending them and all they started. What a page shows is the
graph's (trading_assets); starting runs, through these pages or without them, is launcher.py.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from console.serving_marker import LOOK_EVERY_S, only_holder, tell, told_by
from resources.settings import Settings
from trading.errors import BadInput, Refused, TradingError

PROJECT = Path(__file__).resolve().parent.parent
"""Where `dagster.yaml` and `workspace.yaml` stand."""

LOOPBACK = "127.0.0.1"
"""The web server has no login, so that nobody else may reach it."""

INTERRUPTED = 130
START_S_MAX = 180
"""Imports on a busy machine take a minute; longer is a defect that the log explains."""
STOP_S_MAX = 25
"""How long the servers may take to end by themselves before they are killed."""
ANSWER_S_MAX = 20
LOG_LINES_SHOWN = 15

GRAPH_STATE = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  ... on PythonError { message errorChain { error { message } } } } } } } }"""

LOCATION, REPOSITORY = "trading_assets", "__repository__"
"""What `workspace.yaml` calls the graph's place, and Dagster the only repository in it."""

LAUNCH = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on PipelineNotFoundError { message } ... on UnauthorizedError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""

STORAGE = """
storage:
  custom:
    module: resources.run_records
    class: KeptRunRecords
    config:
      base_dir: {base_dir}
"""

Progress = Callable[[str], None]


def dagster_home(settings: Settings) -> Path:
    """Return Dagster's folder of a profile, with the project's `dagster.yaml` in it as it stands now.

    Unless that names a storage, Dagster's records lie in the same folder (resources/run_records.py).
    """
    home = (settings.profile_dir / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    wanted = (PROJECT / "dagster.yaml").read_text(encoding="utf-8")
    if "\nstorage:" not in wanted:
        wanted += STORAGE.format(base_dir=json.dumps(str(home)))
    file = home / "dagster.yaml"
    if not file.exists() or file.read_text(encoding="utf-8") != wanted:
        # Whole or not at all: another process may be reading it.
        partial = home / f"dagster.yaml.{os.getpid()}"
        partial.write_text(wanted, encoding="utf-8")
        partial.replace(file)
    return home


def address(port: int) -> str:
    """Return where the pages are."""
    return f"http://{LOOPBACK}:{port}"


def serving_port(settings: Settings) -> int | None:
    """Return the port of the web server of this state folder, `None` where none is up and ready."""
    said = told_by(_marker_path(settings)) or {}
    port = said.get("port")
    return port if isinstance(port, int) else None


def serve_ui(settings: Settings, port: int, progress: Progress, *, console_port: int | None = None) -> int:
    """Serve the pages and run schedules, sensors and backfills until interrupted; return the exit code.

    With a `console_port` the console is served beside them, in a process of its own; it says where itself.

    Raises `BadInput` where the port is taken, `Refused` where this state folder is served already,
    `TradingError` where the servers do not start. Ctrl-C, SIGTERM and a closed terminal end all of it.
    """
    marked = only_holder(_marker_path(settings), lambda holder: _second(settings, holder))
    with signals_noted() as noted, marked as marker:
        require_free(port)
        if console_port is not None:
            require_free(console_port, option="--console-port")
        home = dagster_home(settings)
        log = home / "ui.log"
        began = time.monotonic()
        progress(f"starting the web server and the daemon; log: {log}")
        server = _started(home, port, log, marker)
        try:
            _wait_until_ready(server, port, log, noted)
            if noted:
                return INTERRUPTED
            tell(marker, {"port": port, "pid": server.pid})
            progress(f"{address(port)}  ready after {time.monotonic() - began:.0f} s; Ctrl-C stops it")
            _tell_load_errors(port, progress)
            with _console_beside(console_port) as console:
                while not noted:
                    if server.poll() is not None:
                        _raise_ended(server, log)
                    if console is not None and console.poll():
                        raise TradingError(f"ui: the console ended with status {console.returncode}")
                    time.sleep(LOOK_EVERY_S)
            progress("stopping …")
            return INTERRUPTED
        finally:
            tell(marker, {})
            _end(server, noted)


@contextlib.contextmanager
def _console_beside(port: int | None) -> Iterator[subprocess.Popen[bytes] | None]:
    """Serve the console while inside; its link is told to the person, and is in no log.

    It ends with 0 where this profile's console was served already: then it has told a new link to that one.
    """
    if port is None:
        yield None
        return
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "console", "console", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def launch_job(port: int, job: str, tags: Mapping[str, str]) -> str:
    """Have the web server launch a job; return the run's id.

    Raises `OSError` where it does not answer, and `TradingError` with its words where it does not launch.
    """
    selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "pipelineName": job}
    parameters = {
        "selector": selector,
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    body = json.dumps({"query": LAUNCH, "variables": {"p": parameters}})
    try:
        reply = _asked(port, "POST", "/graphql", body)
    except (http.client.HTTPException, ValueError) as error:
        raise TradingError(f"{address(port)} did not answer as a web server of the graph: {error}") from error
    answer = (reply.get("data") or {}).get("launchPipelineExecution") or {}
    if "run" not in answer:
        told = answer.get("message") or reply.get("errors") or answer.get("__typename")
        raise TradingError(f"{address(port)} did not launch {job}: {told}")
    return str(answer["run"]["runId"])


def _started(home: Path, port: int, log: Path, marker: TextIOWrapper) -> subprocess.Popen[bytes]:
    """Start both servers in a group of their own, so that ending the group leaves nothing behind.

    They keep the working directory and the environment, and so the settings. The marker's lock goes to them
    too: were this process killed, it would still be told that they are up.
    """
    command = [
        "env",
        f"DAGSTER_HOME={home}",
        sys.executable,
        *("-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml"), "-h", LOOPBACK, "-p", str(port)),
    ]
    with log.open("wb") as file:
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(marker.fileno(),),
        )


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path, noted: list[int]) -> None:
    """Return once the web server answers, or somebody interrupts."""
    deadline = time.monotonic() + START_S_MAX
    while not noted:
        if server.poll() is not None:
            _raise_ended(server, log)
        if time.monotonic() > deadline:
            raise TradingError(f"ui: no answer on port {port} within {START_S_MAX} s; see {log}")
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            if "dagster_webserver_version" in _asked(port, "GET", "/server_info"):
                return
        time.sleep(LOOK_EVERY_S)


def _tell_load_errors(port: int, progress: Progress) -> None:
    """Say where the graph does not load: the pages would be empty, and only their log would know why."""
    reply = _asked(port, "POST", "/graphql", json.dumps({"query": GRAPH_STATE}))
    for entry in reply["data"]["workspaceOrError"].get("locationEntries", []):
        error = entry["locationOrLoadError"] or {}
        if "message" in error:
            # Dagster's own error comes first, what our code raised next, and then what led to that.
            told = [error["message"], *(link["error"]["message"] for link in error["errorChain"])][:2]
            progress(f"the graph does not load: {told[-1].strip()}")


def _asked(port: int, method: str, path: str, body: str | None = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ANSWER_S_MAX)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def _raise_ended(server: subprocess.Popen[bytes], log: Path) -> NoReturn:
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    told = "\n".join(f"  {line}" for line in last)
    raise TradingError(f"ui: the servers ended with status {server.returncode}; the end of {log}:\n{told}")


def _end(server: subprocess.Popen[bytes], noted: list[int]) -> None:
    """End the servers and all they started; a second signal does not wait for them."""
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    signals, deadline = len(noted), time.monotonic() + STOP_S_MAX
    while server.poll() is None and len(noted) == signals and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
    # Runs in flight, and servers that did not listen. What they were doing the journal knows.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@contextlib.contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Note signals that ask to end instead of raising in the middle of something.

    Set also where they were ignored, as a shell does for background jobs: the servers inherit that otherwise.
    """
    noted: list[int] = []
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: noted.append(number)) for number in asking}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _second(settings: Settings, holder: Mapping[str, Any]) -> Refused:
    where = f"at {address(holder['port'])}" if "port" in holder else "but not up yet, or on its way down"
    return Refused(f"ui: {settings.profile_dir} is served already, {where}; use that, or end it first")


def require_free(port: int, *, option: str = "--port") -> None:
    """Raise `BadInput` where a port of this machine cannot be used, naming the option that gave it."""
    with socket.socket() as probe:
        # As the web server binds: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise BadInput(
                f"{option} {port}: cannot be used on {LOOPBACK} ({error.strerror}); name another by {option}"
            ) from error


def _marker_path(settings: Settings) -> Path:
    return settings.profile_dir / "ui.json"
