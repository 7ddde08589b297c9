"""How long it takes from launching thirteen years of `us_five` to a result that can be looked at, both ways.

The one way is a command of its own, from its start to its end; the other Dagster's web server, asked as its
pages ask it, until the run has ended and the page with plots is there. All artefacts are kept and scored. Of
each the replay tells what its data, its engine and its artefacts took; the rest is Dagster's and the start's.

Then a third run of the server is cancelled midway, as its pages cancel it, and launched again: its files are
held to those of the run that nobody cancelled, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
from measuring import PROJECT, Figure

from tests.served import LAUNCH_RUN, LOCATION, Served, served

VISIBLE_S_MAX = 10.0
"""Within this a result is to be there."""

BOOK = "us_five"
PARTS = ("data", "engine", "artefacts")
WAIT_S_MAX = 300
LOOK_EVERY_S = 0.05

ADD_PARTITION = """mutation($name: String!, $partitions: String!, $repository: RepositorySelector!) {
  addDynamicPartition(partitionKey: $name, partitionsDefName: $partitions, repositorySelector: $repository) {
  __typename ... on PythonError { message } } }"""

TERMINATE = """mutation($run: String!) { terminateRun(runId: $run) {
  __typename ... on TerminateRunFailure { message } ... on PythonError { message } } }"""


def measure() -> list[Figure]:
    """Return the figures of both ways, and of a run that was cancelled and launched again."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory(prefix="launch-bench-") as name:
        state = Path(name) / "state"
        os.environ |= {"TRADING_STATE_DIR": str(state), "TRADING_CONFIG_DIR": str(PROJECT / "config")}
        _by_command("warm")  # the panel is judged and kept once, by whoever comes first
        ways = {"a command of its own": _by_command("by-command")}
        with served(state) as pages:
            ways["Dagster's web server"] = _by_server(pages, "by-server")
            cancelled = _cancelled(pages, "cancelled", whole="by-server")
    load = os.getloadavg()[0]
    return [*(figure for way, told in ways.items() for figure in _figures(way, told, load)), cancelled]


def _figures(way: str, told: dict[str, float], load: float) -> list[Figure]:
    rest = told["whole"] - sum(told[part] for part in PARTS)
    shown = ", ".join(f"{part} {told[part]:.1f} s" for part in PARTS)
    return [
        Figure(
            what=f"thirteen years of {BOOK}, launch → visible result, by {way}",
            value=told["whole"],
            unit="s",
            baseline=f"{VISIBLE_S_MAX:.0f} s",
            ratio=told["whole"] / VISIBLE_S_MAX,
            note=f"{shown}, Dagster, the start and the scorecard {rest:.1f} s; load {load:.1f}",
        )
    ]


def _by_command(name: str) -> dict[str, float]:
    began = time.perf_counter()
    command = [str(Path(sys.executable).with_name("trading")), "replay", "--book", BOOK]
    done = subprocess.run(
        [*command, "--name", name, "--json"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    whole = time.perf_counter() - began
    told = json.loads(done.stdout)["seconds"]
    return {**{part: float(told[part]) for part in PARTS}, "whole": whole}


def _by_server(pages: Served, name: str) -> dict[str, float]:
    _add(pages, name)
    began = time.perf_counter()
    _wait(pages, _launched(pages, name), "SUCCESS")
    return {**_parts_of(name), "whole": time.perf_counter() - began}


def _cancelled(pages: Served, name: str, *, whole: str) -> Figure:
    """Cancel a run once its first year is kept, launch it again, and hold its files to another's."""
    _add(pages, name)
    run = _launched(pages, name)
    began = time.perf_counter()
    while not _kept(name):
        if time.perf_counter() - began > WAIT_S_MAX:
            raise RuntimeError(f"run {run}: no year is kept")
        time.sleep(LOOK_EVERY_S)
    answer = pages.ask(TERMINATE, run=run)["terminateRun"]
    if answer["__typename"] != "TerminateRunSuccess":
        raise RuntimeError(f"run {run}: {answer}")
    _wait(pages, run, "CANCELED")
    kept = len(_kept(name))
    _wait(pages, _launched(pages, name), "SUCCESS")
    ours, theirs = _bytes_of(name), _bytes_of(whole)
    differ = [path for path in {*ours, *theirs} if ours.get(path) != theirs.get(path)]
    return Figure(
        what="cancelled midway in the UI and launched again, files that differ from a whole run's",
        value=len(differ),
        unit="files",
        note=f"of {len(theirs)} files; {kept} years were kept when it was cancelled",
    )


def _add(pages: Served, name: str) -> None:
    added = pages.ask(ADD_PARTITION, name=name, partitions=f"{BOOK}__replays", repository=LOCATION)
    if added["addDynamicPartition"]["__typename"] != "AddDynamicPartitionSuccess":
        raise RuntimeError(f"partition {name}: {added}")


def _launched(pages: Served, name: str) -> str:
    selector = {**LOCATION, "pipelineName": f"{BOOK}__replay"}
    tags = [{"key": "dagster/partition", "value": name}]
    answer = pages.ask(LAUNCH_RUN, p={"selector": selector, "executionMetadata": {"tags": tags}})
    return str(answer["launchPipelineExecution"]["run"]["runId"])


def _wait(pages: Served, run: str, wanted: str) -> None:
    began = time.perf_counter()
    while (status := pages.status(run)) != wanted:
        if status in {"SUCCESS", "FAILURE", "CANCELED"} or time.perf_counter() - began > WAIT_S_MAX:
            raise RuntimeError(f"run {run}: {status}, not {wanted}: {pages.why(run)}")
        time.sleep(LOOK_EVERY_S)


def _kept(name: str) -> list[Path]:
    """Return the records of the years that are kept of a replay."""
    return list(_folder_of(name).glob("*/kept/*.json"))


def _bytes_of(name: str) -> dict[str, str]:
    """Return the digest of each table and page of a replay, by its place below the replay's own folder."""
    folder = _folder_of(name)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("*/*/*.parquet", "*/scorecard.json")
        for path in sorted(folder.glob(pattern))
    }


def _folder_of(name: str) -> Path:
    from resources.settings import load_settings  # noqa: PLC0415 - reads the settings made here

    return Path(load_settings().lake_root) / BOOK / "replays" / name


def _parts_of(name: str) -> dict[str, float]:
    """Return what the last replay says that its parts took; its page has to be there."""
    from console.serving import dagster_home  # noqa: PLC0415 - reads the settings made here
    from resources.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    if not list(Path(settings.lake_root).glob(f"{BOOK}/replays/{name}/*/tear_sheet.html")):
        raise RuntimeError(f"replay {name}: no page")
    instance = dg.DagsterInstance.from_config(str(dagster_home(settings)))
    event = instance.get_latest_materialization_event(dg.AssetKey([BOOK, "replays"]))
    instance.dispose()
    if event is None or event.asset_materialization is None:
        raise RuntimeError(f"replay {name}: no materialization")
    metadata = event.asset_materialization.metadata
    return {part: float(str(metadata[f"seconds, {part}"].value)) for part in PARTS}
