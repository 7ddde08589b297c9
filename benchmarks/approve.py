"""How long it takes from a person's approval to the paper broker's acknowledgement, through both ways.

A book of made-up symbols decides one session by hand, so that every buy waits. Each is approved over HTTP at
the console's real server; the clock runs from that request until the journal has what the broker
acknowledged. Each approval has a run of its own, which Dagster lists: launched in its web server where one is
up, else by a command.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
from measuring import PROJECT, Figure, median, silent

from console.web.identities import Role
from resources.calendars import load_calendar
from tests.console.web.serving import Console, console_on
from tests.served import served
from trading.journal import JournalIntent
from trading.lifecycle import IntentState, Stage

ACKNOWLEDGED_S_MAX = 5.0
"""Within this an approved order is to be acknowledged, at the 95th percentile."""

BOOK, SESSION = "bench", date(2013, 3, 1)
SYMBOLS, SESSIONS = 52, 140
APPROVED_EACH_WAY = 24
WAIT_S_MAX = 180
LOOK_EVERY_S = 0.005

BOOK_LINES = """
[bench]
title = "Made-up symbols that rise"
source = "folder"
path = "{path}"
calendar = "XNYS"
currency = "USD"
account = "SIM-BENCH"
deposit = "1000000"
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""
RULES_LINES = f"""
[bench.scanner]
top = {SYMBOLS}

[bench.council]
quorum = 1
support_min = 0.1

[bench.allocation]
position_bps = 400
cap_bps = 150
band_bps = 10
step_bps = 150
"""
CONTROL_LINES = """
[bench]
approval_mode = "manual"
"""


class Timed(NamedTuple):
    """Hold the seconds until the console answered, the order was acknowledged, and the run ended."""

    answered_s: float
    acknowledged_s: float
    ended_s: float


def measure() -> list[Figure]:
    """Return the figures of both ways."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory(prefix="approve-bench-") as name:
        state, config = Path(name) / "state", _config(Path(name))
        os.environ |= {"TRADING_STATE_DIR": str(state), "TRADING_CONFIG_DIR": str(config)}
        _decide()
        ways: dict[str, list[Timed]] = {}
        with _console(state, config) as console:
            ways["a command of its own"] = _approve(console, APPROVED_EACH_WAY)
            with served(state, config_dir=config):
                ways["Dagster's web server"] = _approve(console, APPROVED_EACH_WAY)
            _require_runs(2 * APPROVED_EACH_WAY)
    load = os.getloadavg()[0]
    return [
        figure
        for way, timed in ways.items()
        for figure in _figures(way, [one.acknowledged_s for one in timed], timed, load)
    ]


def _figures(way: str, acknowledged: list[float], timed: list[Timed], load: float) -> list[Figure]:
    p95 = sorted(acknowledged)[int(len(acknowledged) * 0.95)]
    answered_ms = median([one.answered_s for one in timed]) * 1000
    ended_s = median([one.ended_s for one in timed])
    return [
        Figure(
            what=f"approve → acknowledged by the paper broker, run in {way}, p95",
            value=p95,
            unit="s",
            baseline=f"{ACKNOWLEDGED_S_MAX:.0f} s",
            ratio=p95 / ACKNOWLEDGED_S_MAX,
            note=f"{len(timed)} times, load {load:.1f}; the approval itself answered in"
            f" {answered_ms:.0f} ms, the run ended after {ended_s:.1f} s (medians)",
        ),
        Figure(what="the same, median", value=median(acknowledged), unit="s"),
    ]


def _approve(console: Console, count: int) -> list[Timed]:
    """Approve so many pending intents one after another, each once the run before it has ended."""
    found = []
    instance = _instance()
    for number in range(count + 1):
        row = next(iter(console.desk.journal.pending(lane=console.desk.lane)))
        runs = instance.get_runs_count()
        body = {"reason": "bench", "payload_hash": row.payload_hash, "version": row.version}
        headers = {"Idempotency-Key": f"bench-{row.intent_id}"}
        began = time.perf_counter()
        reply = console.ask(
            "POST",
            f"/api/v1/approvals/{row.intent_id}/approve",
            role=Role.TRADER,
            body=body,
            headers=headers,
        )
        answered_s = time.perf_counter() - began
        if reply.status != 200:
            raise RuntimeError(f"approve: {reply.status} {reply.body!r}")
        _wait(f"{row.intent_id} acknowledged", lambda row=row: _is_acknowledged(console, row))
        acknowledged_s = time.perf_counter() - began
        _wait("the run", lambda runs=runs: _is_ended(instance, runs))
        if number:  # the first one warms up what is started once
            found.append(Timed(answered_s, acknowledged_s, time.perf_counter() - began))
        print(f"  {number}: acknowledged after {acknowledged_s:.2f} s", file=sys.stderr)
    instance.dispose()
    return found


def _is_acknowledged(console: Console, row: JournalIntent) -> bool:
    now = console.desk.journal.intent(row.intent_id)
    if now.state in {IntentState.REJECTED, IntentState.FAILED, IntentState.EXPIRED, IntentState.CANCELLED}:
        raise RuntimeError(f"{row.intent_id}: {now.state}: {now.reason}")
    return now.state is IntentState.EXECUTED or now.stage is Stage.WORKING


def _is_ended(instance: dg.DagsterInstance, before: int) -> bool:
    if instance.get_runs_count() <= before:
        return False
    (last,) = instance.get_runs(limit=1)
    return last.is_finished


def _wait(what: str, is_so: Callable[[], bool]) -> None:
    ends_at = time.perf_counter() + WAIT_S_MAX
    while not is_so():
        if time.perf_counter() > ends_at:
            raise RuntimeError(f"{what}: not within {WAIT_S_MAX} s")
        time.sleep(LOOK_EVERY_S)


def _require_runs(count: int) -> None:
    """Raise unless each approval has a run of its own that Dagster lists, and each of them succeeded."""
    instance = _instance()
    whole = dg.RunsFilter(job_name=f"{BOOK}__execute", statuses=[dg.DagsterRunStatus.SUCCESS])
    runs = instance.get_runs(whole)
    instance.dispose()
    if len(runs) < count:
        raise RuntimeError(f"{len(runs)} runs, {count} approvals")


def _instance() -> dg.DagsterInstance:
    from console.serving import dagster_home  # noqa: PLC0415 - reads the settings made here
    from resources.settings import load_settings  # noqa: PLC0415

    return dg.DagsterInstance.from_config(str(dagster_home(load_settings())))


@contextmanager
def _console(state: Path, config: Path) -> Iterator[Any]:
    from console.execution_start import STARTS  # noqa: PLC0415

    changes = {"config_dir": config, "books_file": config / "books.toml"}
    with console_on(state, settings=changes, starts=STARTS) as console:
        yield console


def _decide() -> None:
    """Run the session's decisions, so that its buys wait for a person."""
    from console.launcher import open_launcher  # noqa: PLC0415 - reads the settings made here

    launcher = open_launcher()
    (run,) = launcher.run_sessions(BOOK, [SESSION], ("decide",), silent)
    if not run.success:
        raise RuntimeError(f"{run.stage}: {run.message}")
    launcher.instance.dispose()
    launcher.profiled.journal.close()


def _config(folder: Path) -> Path:
    """Write the reviewed files with a book of made-up bars, and give their folder."""
    config = folder / "config"
    shutil.copytree(PROJECT / "config", config)
    bars = folder / "bars"
    bars.mkdir()
    sessions = load_calendar("XNYS", config / "calendars").before(SESSION, SESSIONS)
    rng = np.random.default_rng(20130228)
    lines = ["symbol,date,open,high,low,close,volume"]
    for number in range(SYMBOLS):
        closes = 50 * np.exp(np.cumsum(rng.normal(0.002, 0.006, len(sessions) + 1)))
        for day, close in zip((*sessions, SESSION), closes, strict=True):
            price = f"{close:.2f}"
            lines.append(f"M{number:02},{day},{price},{close * 1.004:.2f},{close * 0.996:.2f},{price},900000")
    (bars / "bars.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, told in (
        ("books.toml", BOOK_LINES.format(path=json.dumps(str(bars))[1:-1])),
        ("rules.toml", RULES_LINES),
        ("control.toml", CONTROL_LINES),
    ):
        file = config / name
        file.write_text(file.read_text(encoding="utf-8") + told, encoding="utf-8")
    return config
