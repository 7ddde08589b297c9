"""The same replay, byte for byte: over hash seeds, time zones, and alone or beside a second process.

A point is one replay of two years of `us_five` with all that it leaves behind, in a process of its own, on
a state folder of its own or on one that a second process replays on at the same time. Every file has to be
the first one's, byte for byte. The planted bug is a strategy whose opinion hangs on Python's hash of a name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path

from proof.suite import Progress, Size, Told
from resources.profiles import Profiled
from resources.settings import load_settings
from trading.books import BookConfig
from trading.quotes import Window
from trading.replay import Asked, request_of
from trading.replaying import run_replay
from trading.strategies.plugin import Signal, Strategy, buy
from trading.values import Symbol

ROOT = Path(__file__).resolve().parents[1]
HASH_SEEDS = ("0", "1", "20130228")
TIME_ZONES = ("UTC", "Asia/Kathmandu")
PROCESSES = (1, 2)
YEARS = Asked(first_session=date(2011, 1, 3), last_session=date(2012, 12, 31))
BOOK = "us_five"
PLANTED = "planted"

Files = dict[str, str]
"""SHA-256 of each file of a replay, by table and year."""


def run(size: Size, progress: Progress) -> Told:
    """Replay up to `size.points` times, and hold every replay to the first."""
    began = time.monotonic()
    is_caught = _files("0", "UTC", is_planted=True) != _files("1", "UTC", is_planted=True)
    first: Files = {}
    violations: list[str] = []
    points = 0
    for hash_seed, zone, processes in product(HASH_SEEDS, TIME_ZONES, PROCESSES):
        if points >= size.points:
            break
        for number, found in enumerate(_together(hash_seed, zone, processes), start=1):
            first = first or found
            told = f"hash seed {hash_seed}, {zone}, process {number} of {processes}"
            violations += [f"{told}: {each}" for each in _differing(first, found)]
            points += 1
        progress(points)
    return Told(
        points=points,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="a strategy whose opinion hangs on Python's hash of a name",
        is_planted_bug_caught=is_caught,
        violations=tuple(violations),
        parts={"files of each": len(first)},
    )


def replay(name: str, *, is_planted: bool) -> Files:
    """Replay in this process, on the state folder of its environment; return the digest of each file."""
    profiled = Profiled(load_settings())
    config = profiled.books[BOOK]
    finished = run_replay(
        _hashing(config) if is_planted else config,
        request_of(YEARS, config, name=name),
        data_sets=profiled.data_sets[BOOK],
        calendar=profiled.calendars[BOOK],
        store=profiled.replay_stores[BOOK],
        trials=None,
        tell=lambda _: None,
        clock=time.perf_counter,
    )
    return {f"{file.table} {file.chunk}": file.sha for file in finished.files}


def _files(hash_seed: str, zone: str, *, is_planted: bool = False) -> Files:
    with tempfile.TemporaryDirectory(prefix="proof-identity-") as folder:
        return _answer(_start(hash_seed, zone, folder, "only", is_planted=is_planted))


def _together(hash_seed: str, zone: str, processes: int) -> list[Files]:
    """Return what processes find that replay on one state folder at the same time."""
    with tempfile.TemporaryDirectory(prefix="proof-identity-") as folder:
        started = [_start(hash_seed, zone, folder, f"replay-{number}") for number in range(processes)]
        return [_answer(process) for process in started]


def _start(
    hash_seed: str, zone: str, folder: str, name: str, *, is_planted: bool = False
) -> subprocess.Popen[str]:
    given = {
        **os.environ,
        "PYTHONHASHSEED": hash_seed,
        "TZ": zone,
        "PYTHONPATH": str(ROOT),
        "TRADING_STATE_DIR": folder,
    }
    words = [sys.executable, "-m", "proof.identity", name, *([PLANTED] if is_planted else [])]
    return subprocess.Popen(words, env=given, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _answer(process: subprocess.Popen[str]) -> Files:
    out, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"a replay ended with {process.returncode}")
    found: Files = json.loads(out)
    return found


def _differing(first: Files, found: Files) -> list[str]:
    names = sorted({*first, *found})
    return [f"{name} differs" for name in names if first.get(name) != found.get(name)]


def _hashing(config: BookConfig) -> BookConfig:
    def signals(_window: Window, symbols: list[Symbol]) -> dict[Symbol, Signal]:
        return {symbol: buy((hash(symbol) % 100) / 100, "by its name") for symbol in symbols}

    strategy = Strategy(name="hashing", version="1", weight=1.0, parameters=(), signals=signals)
    council = replace(config.rules.council, quorum=1)
    return replace(config, rules=replace(config.rules, strategies=(strategy,), council=council))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(replay(sys.argv[1], is_planted=PLANTED in sys.argv[2:])))
