"""Measure replays: this project's engine with every guard asked, beside a bare compiled loop and vectorbt.

What is replayed is told in integer_reference.py, whose answer the engine and the bare loop must give to the
unit; a wrong one ends the benchmark. Each engine runs in processes of its own (replay_child.py). All of a
round run one after the other before the next round, so that each has its share of what else the machine does;
figures are medians. CPU seconds are the ones to compare where others use the machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Self

import numpy as np
from measuring import PROJECT, Table, median
from panels import SIZES, kept_path, panels_folder

WORKLOADS = ("w1", "w2")
OURS = ("engine", "engine_full")
TITLES = {
    "bare": "bare Numba loop, no guards",
    "engine": "this engine, all guards, light",
    "engine_full": "this engine, all guards, every table kept",
    "vectorbt": "vectorbt, no guards",
}
VECTORBT_ENGINE = "vectorbt"
ROUNDS = {"S": 7, "M": 5, "L": 3}
SHOTS = {"S": 3, "M": 3, "L": 2}
GROWTH_SESSIONS = (1_008, 2_016, 3_024, 4_032, 5_040)
GROWTH_SYMBOLS = (200, 400, 600, 800, 1_000)
GROWTH_OTHER = {"sessions": 500, "symbols": 2_520}
"""How many symbols there are while sessions grow, and sessions while symbols do."""

AIMS = {
    ("warm vectorbt", "w1", "M"): 5,
    ("warm vectorbt", "w1", "L"): 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """Hold a whole process: wall and CPU seconds from its start to its end, its peak memory, what it told."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    told: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Hold what one engine took for one workload at one size; medians, in seconds and MiB."""

    size: str
    workload: str
    engine: str
    warm_cpu_s: float
    warm_wall_s: float
    shot_cpu_s: float
    shot_wall_s: float
    cold_cpu_s: float | None
    cold_wall_s: float | None
    peak_mib: float
    fills: int
    equity_micros: int
    is_exact: bool


class Child:
    """Hold a process that has an engine ready, and run it as often as asked."""

    def __init__(self, command: Sequence[str], *, caches: Path) -> None:
        """Start it; the first run is still to come, and warms up."""
        self._process = subprocess.Popen(
            [*command, "--serve"],
            cwd=PROJECT,
            env=_environment(caches),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return it as it is."""
        return self

    def run(self) -> dict[str, Any]:
        """Return what one run took and gave; raises `RuntimeError` where the process ended instead."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("started without pipes")
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args}: ended with {self._process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.communicate()


def measure(
    sizes: Sequence[str] = ("S",),
    *,
    vectorbt: str | None = None,
    growth: bool = False,
    caches: Path | None = None,
) -> list[Table]:
    """Return the tables of the sizes asked for; with `growth` also how time and memory grow.

    `vectorbt` is the interpreter that has it: this one where it is left out and has it. Machine code is kept
    below `caches`, a folder beside the panels by default, so that a second benchmark starts warm.
    """
    interpreter = vectorbt or (sys.executable if _has_vectorbt(sys.executable) else None)
    if interpreter is None:
        print(
            "bench: NO VECTORBT HERE, so nothing is compared with it: name an interpreter that has it",
            file=sys.stderr,
        )
    elif not _has_vectorbt(interpreter):
        raise SystemExit(f"bench: {interpreter} has no vectorbt")
    kept = caches or Path(gettempdir()) / f"trading-machine-code-{os.getuid()}"
    measured = [
        one
        for size in sizes
        for workload in WORKLOADS
        for one in _measured(size, workload, vectorbt=interpreter, caches=kept, with_cold=size == sizes[0])
    ]
    tables = [_figures(measured), _verdicts(measured)]
    if growth:
        tables += [_growth("sessions", kept), _growth("symbols", kept)]
    return tables


def _measured(
    size: str, workload: str, *, vectorbt: str | None, caches: Path, with_cold: bool
) -> Iterable[Measured]:
    panel = _panel(*SIZES[size])
    engines = ["bare", *OURS, *([VECTORBT_ENGINE] if vectorbt else [])]
    commands = {name: _command(name, workload, panel, vectorbt=vectorbt) for name in ("integers", *engines)}
    _say(f"{size} {workload}: the integer reference")
    right = _shot(commands["integers"], caches=caches).told
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    with ExitStack() as stack:
        children = {name: stack.enter_context(Child(commands[name], caches=caches)) for name in engines}
        for place in range(1 + ROUNDS[size]):
            _say(f"{size} {workload}: round {place} of {ROUNDS[size]}")
            for name, child in children.items():
                told = child.run()
                _require_right(name, told, right)
                if place:
                    runs[name].append(told)
    shots: dict[str, list[Shot]] = {name: [] for name in engines}
    for place in range(SHOTS[size]):
        _say(f"{size} {workload}: one shot {place + 1} of {SHOTS[size]}")
        for name in engines:
            shots[name].append(_shot(commands[name], caches=caches))
    cold = {}
    if with_cold:
        for name in engines:
            _say(f"{size} {workload}: one shot with nothing compiled, {name}")
            with TemporaryDirectory() as empty:
                cold[name] = _shot(commands[name], caches=Path(empty))
    for name in engines:
        yield Measured(
            size=size,
            workload=workload,
            engine=name,
            warm_cpu_s=median([run["cpu_s"] for run in runs[name]]),
            warm_wall_s=median([run["wall_s"] for run in runs[name]]),
            shot_cpu_s=median([shot.cpu_s for shot in shots[name]]),
            shot_wall_s=median([shot.wall_s for shot in shots[name]]),
            cold_cpu_s=cold[name].cpu_s if name in cold else None,
            cold_wall_s=cold[name].wall_s if name in cold else None,
            peak_mib=median([shot.peak_mib for shot in shots[name]]),
            fills=runs[name][-1]["fills"],
            equity_micros=runs[name][-1]["equity_micros"],
            is_exact=all(runs[name][-1][key] == right[key] for key in ("equity_sha", "fills_sha")),
        )


def _require_right(name: str, told: dict[str, Any], right: dict[str, Any]) -> None:
    """Raise `RuntimeError` where what has to give the reference's answer to the unit gave another."""
    if name == VECTORBT_ENGINE:
        return
    for key in ("fills", "equity_micros", "fills_sha", "equity_sha"):
        if told[key] != right[key]:
            raise RuntimeError(f"{name}: {key} {told[key]}, the integer reference has {right[key]}")


# ------------------------------------------------------------------------------------------------- processes


def _command(
    engine: str, workload: str, panel: Path, *, vectorbt: str | None = None, sessions: int = 0
) -> list[str]:
    python = vectorbt if engine == VECTORBT_ENGINE and vectorbt else sys.executable
    return [
        python,
        *("-W", "ignore", "-m", "benchmarks.replay_child"),
        *(engine, workload, str(panel), str(sessions)),
    ]


def _shot(command: Sequence[str], *, caches: Path) -> Shot:
    """Run a whole process, with what it was imported, read and compiled for."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=PROJECT, env=_environment(caches), stdout=subprocess.PIPE, text=True
    )
    if process.stdout is None:
        raise RuntimeError("started without a pipe")
    with process.stdout as out:
        lines = out.read().splitlines()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)}: ended with {process.returncode}")
    told: dict[str, Any] = json.loads(lines[-1])
    return Shot(
        wall_s=time.perf_counter() - began,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mib=told["peak_mib"],
        told=told,
    )


def _environment(caches: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT), "NUMBA_CACHE_DIR": str(caches)}


def _panel(symbols: int, sessions: int) -> Path:
    """Return the folder of a panel, made by a process of its own where it is not there yet."""
    made = kept_path(symbols, sessions, under=panels_folder())
    if not made.exists():
        _say(f"making {symbols} × {sessions:,} bars")
        maker = [sys.executable, "-m", "benchmarks.panels", str(symbols), str(sessions)]
        subprocess.run(maker, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, check=True)
    return made


def _has_vectorbt(python: str) -> bool:
    found = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vectorbt') is None)"
    return subprocess.run([python, "-c", found], check=False).returncode == 0


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr)


# ------------------------------------------------------------------------------------------------- growth


def _growth(what: str, caches: Path) -> Table:
    """Return how warm CPU seconds and peak memory grow with sessions or symbols, through a fitted line."""
    steps = GROWTH_SESSIONS if what == "sessions" else GROWTH_SYMBOLS
    rows, cells, peaks = [], np.zeros(len(steps)), np.zeros(len(steps))
    took = {workload: np.zeros(len(steps)) for workload in WORKLOADS}
    for place, step in enumerate(steps):
        symbols, sessions = (GROWTH_OTHER[what], step) if what == "sessions" else (step, GROWTH_OTHER[what])
        _say(f"growth in {what}: {symbols} × {sessions:,}")
        panel = _panel(symbols, sessions)
        cells[place] = symbols * sessions
        for workload in WORKLOADS:
            with Child(_command("engine", workload, panel), caches=caches) as child:
                told = [child.run() for _ in range(6)]
            took[workload][place] = median([run["cpu_s"] for run in told[1:]])
            peaks[place] = max(peaks[place], told[0]["peak_mib"])
        rows.append(
            (
                f"{symbols} × {sessions:,}",
                *(f"{took[workload][place] * 1e3:.1f}" for workload in WORKLOADS),
                f"{peaks[place]:.0f}",
                f"{cells[place] * 24 / 2**20:.0f}",
            )
        )
    fits = [_fit(cells, took[workload]) for workload in WORKLOADS]
    bytes_a_bar = np.polyfit(cells, peaks * 2**20, 1)[0]
    rows.append(("exponent, R² of a line", *(f"{power:.2f}, {fit:.4f}" for power, fit in fits), "", ""))
    return Table(
        title=f"Growth in {what}",
        headers=("symbols × sessions", "W1 warm CPU, ms", "W2 warm CPU, ms", "peak, MiB", "panel, MiB"),
        rows=tuple(rows),
        note=f"An exponent of 1 is linear. A bar more takes {bytes_a_bar:.0f} bytes; the panel's are 24.",
    )


def _fit(sizes: Any, took: Any) -> tuple[float, float]:
    """Return the exponent of growth, and how much of the variance a straight line explains."""
    exponent = float(np.polyfit(np.log(sizes), np.log(took), 1)[0])
    left = took - np.polyval(np.polyfit(sizes, took, 1), sizes)
    return exponent, float(1 - np.sum(left**2) / np.sum((took - took.mean()) ** 2))


# ------------------------------------------------------------------------------------------------- tables


def _figures(measured: Sequence[Measured]) -> Table:
    rows = []
    for one in measured:
        bare, others = _beside(measured, one, "bare"), _beside(measured, one, VECTORBT_ENGINE)
        rows.append(
            (
                one.size,
                one.workload.upper(),
                TITLES[one.engine],
                f"{one.warm_cpu_s * 1e3:,.2f}",
                f"{one.warm_wall_s * 1e3:,.2f}",
                "" if bare is None else f"{one.warm_cpu_s / bare.warm_cpu_s:.1f}",
                "" if others is None else f"{others.warm_cpu_s / one.warm_cpu_s:.1f}",
                f"{one.shot_cpu_s:.2f}",
                f"{one.shot_wall_s:.2f}",
                "" if one.cold_cpu_s is None else f"{one.cold_cpu_s:.1f} ∕ {one.cold_wall_s:.1f}",
                f"{one.peak_mib:,.0f}",
                f"{one.fills:,}",
                f"{one.equity_micros / 1e6:,.6f}",
                "to the unit" if one.is_exact else "near",
            )
        )
    return Table(
        title="Replays",
        headers=(
            *(
                "size",
                "workload",
                "engine",
                "warm CPU, ms",
                "warm wall, ms",
                "× bare",
                "ahead of vectorbt, ×",
            ),
            *("one shot CPU, s", "one shot wall, s", "nothing compiled: CPU ∕ wall, s", "peak, MiB"),
            *("fills", "final equity", "reference"),
        ),
        rows=tuple(rows),
        note="S 20 × 2,016, M 500 × 2,520, L 3,000 × 5,040 symbols × sessions.",
    )


def _verdicts(measured: Sequence[Measured]) -> Table:
    """Return what is required and aimed at, beside what was found."""
    rows = []

    def row(what: str, asked: str, found: float, *, is_met: bool) -> None:
        rows.append((what, asked, f"{found:.2f}", "yes" if is_met else "NO"))

    for one in measured:
        if one.engine != "engine":
            continue
        where = f"{one.workload.upper()} {one.size}"
        bare, other = _beside(measured, one, "bare"), _beside(measured, one, VECTORBT_ENGINE)
        if bare is not None and one.size in {"M", "L"}:
            ratio = one.warm_cpu_s / bare.warm_cpu_s
            row(f"{where}: warm CPU ∕ bare loop's (an aim)", "≤ 2.5", ratio, is_met=ratio <= 2.5)
        if other is not None:
            least = AIMS.get(("warm vectorbt", one.workload, one.size), 1)
            ahead, part = other.warm_cpu_s / one.warm_cpu_s, one.shot_cpu_s / other.shot_cpu_s
            row(f"{where}: vectorbt's warm CPU ∕ ours", f"≥ {least}", ahead, is_met=ahead >= least)
            row(f"{where}: one shot CPU ∕ vectorbt's", "≤ 0.33", part, is_met=part <= 1 / 3)
        if one.size == "L":
            row(f"{where}: peak memory, GiB", "< 2", one.peak_mib / 1024, is_met=one.peak_mib < 2048)
    return Table(title="Asked and found", headers=("what", "asked", "found", "met"), rows=tuple(rows))


def _beside(measured: Sequence[Measured], one: Measured, engine: str) -> Measured | None:
    """Return what another engine took for the same work."""
    same = [
        other
        for other in measured
        if (other.size, other.workload, other.engine) == (one.size, one.workload, engine)
    ]
    return same[0] if same else None
