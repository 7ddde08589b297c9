"""Each verb of `trading` that only looks, as a fresh process, against Python doing nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from measuring import BOOK, SESSIONS, Figure, desk, median

RUNS = 7
LIMIT_S = 0.4
"""What a person takes for "at once"."""

TRADING = str(Path(sys.executable).with_name("trading"))
ORDER = f"IBM@{SESSIONS[0]}"
VERBS = (
    ("status",),
    ("why",),
    ("positions",),
    ("orders",),
    ("trace", ORDER),
    ("explain", ORDER),
    ("report", "--book", BOOK),
    ("config", "show"),
    ("approvals", "list"),
    ("quarantine", "list", "--book", BOOK),
    ("doctor",),
)


def measure() -> list[Figure]:
    """Return the figures: the median of fresh processes, all verbs in turns."""
    commands = {"python -c pass": [sys.executable, "-c", "pass"]} | {
        f"trading {' '.join(verb)}": [TRADING, *verb] for verb in VERBS
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    with desk():
        for _ in range(RUNS):
            for name, command in commands.items():
                spent[name].append(spent_in(command))
    baseline = median([wall for wall, _ in spent["python -c pass"]])
    figures = []
    for name, runs in spent.items():
        wall, cpu = median([wall for wall, _ in runs]), median([cpu for _, cpu in runs])
        slow = f", over {LIMIT_S} s" if wall > LIMIT_S else ""
        figures.append(
            Figure(
                what=name,
                value=wall,
                unit="s",
                baseline="python -c pass",
                ratio=wall / baseline,
                note=f"{cpu:.2f} s CPU{slow}",
            )
        )
    return figures


def spent_in(command: list[str]) -> tuple[float, float]:
    """Return the wall and CPU seconds of one process; that it calls for attention (3) is no failure."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in {0, 3}:
        raise SystemExit(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
