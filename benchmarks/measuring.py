"""What every benchmark shares: a desk in a folder of its own, medians, and how figures are told."""

from __future__ import annotations

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
BOOK = "us_five"
SESSIONS = tuple(date.fromisoformat(f"2013-02-{day:02}") for day in (4, 5, 6, 7, 8, 11, 12))
"""Sessions of `us_five`; the first is run to warm up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Hold one figure: what was measured, the number with its unit, and its ratio to a baseline if any."""

    what: str
    value: float
    unit: str
    baseline: str = ""
    ratio: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Hold figures that need columns of their own; `note` stands below them."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@contextmanager
def desk() -> Iterator[Any]:
    """Give a launcher on a fresh folder, with quotes imported and the first session run."""
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder:
        os.environ |= {"TRADING_STATE_DIR": folder, "TRADING_CONFIG_DIR": str(PROJECT / "config")}
        from console.launcher import ALL_PHASES, open_launcher  # noqa: PLC0415 - reads the settings made here

        launcher = open_launcher()
        launcher.import_quotes(BOOK, first=None, through=SESSIONS[-1], progress=silent)
        launcher.run_sessions(BOOK, SESSIONS[:1], ALL_PHASES, silent)
        yield launcher
        launcher.instance.dispose()
        launcher.profiled.journal.close()


def silent(_: str) -> None:
    """Tell nobody."""


def timed(act: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall and the CPU seconds of one call in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - wall, time.process_time() - cpu


def median(numbers: Sequence[float]) -> float:
    """Return the middle one: a machine that others use as well has slow moments."""
    return statistics.median(numbers)


def machine() -> str:
    """Return what the figures were measured on."""
    cores = os.cpu_count()
    load = os.getloadavg()[0]
    return f"Python {platform.python_version()}, {cores} cores shared with other work, load {load:.1f}"
