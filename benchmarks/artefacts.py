"""Measure what it takes to keep everything of a replay, beside a bare pyarrow write of the same tables.

W1 at size M, each year a chunk of its own as a replay keeps them: Parquet that depends on the rows alone,
each file synced and named by its hash. The bare write is one file a table, with pyarrow's own choices and
no sync.
"""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
import pyarrow as pa
from measuring import PROJECT, Figure, median, timed
from pyarrow import parquet
from upath import UPath

from benchmarks.panels import SIZES, kept_panel, panels_folder, read_panel
from benchmarks.workloads import DEPOSIT_MICROS, STRATEGIES, workload_world
from resources.calendars import load_calendar
from resources.lake.store import files_under
from resources.replay_engine import ReplayEngine, replayed_of
from resources.replay_files import KeptReplayFiles
from trading.positions import opened_book
from trading.replay import ReplayState
from trading.replayed import Replayed
from trading.values import Symbol

ROUNDS = 3
LAST = date(2020, 12, 31)


def measure() -> list[Figure]:
    """Return the seconds of both, and their ratio."""
    whole = _replayed()
    parts = _years(whole)
    state = ReplayState(book=opened_book(currency="USD", deposit_micros=DEPOSIT_MICROS))
    kept, bare = [], []
    for _ in range(ROUNDS):
        with TemporaryDirectory() as folder:
            bare.append(timed(lambda: _write_bare(whole, Path(folder))))
        with TemporaryDirectory() as folder:
            kept.append(timed(lambda: _keep(parts, state, folder)))
    rows = sum(len(table["session"]) for table in whole.tables.values())
    figures = []
    for place, clock in enumerate(("wall", "CPU")):
        ours, theirs = (median([took[place] for took in each]) for each in (kept, bare))
        figures += [
            Figure(
                what=f"{rows:,} rows of a replay kept, {len(parts)} years, {clock}",
                value=ours,
                unit="s",
                baseline="a bare pyarrow write",
                ratio=ours / theirs,
            ),
            Figure(what=f"the same tables written bare, {clock}", value=theirs, unit="s"),
        ]
    return figures


def _replayed() -> Replayed:
    """Return all tables of W1 at size M, under real sessions."""
    panel = read_panel(kept_panel(*SIZES["M"], under=panels_folder()))
    sessions, symbols = panel.close_micros.shape
    world = workload_world(panel.open_micros, panel.close_micros, panel.volume, light=False)
    engine = ReplayEngine(Path(gettempdir()) / f"trading-machine-code-{os.getuid()}" / "rules")
    calendar = load_calendar("XNYS", PROJECT / "config" / "calendars")
    return replayed_of(
        engine.run(world, STRATEGIES["w1"]),
        world,
        book="made_up",
        strategy="workload",
        currency="USD",
        symbols=[Symbol(f"S{column:04}") for column in range(symbols)],
        sessions=calendar.before(LAST, sessions),
    )


def _years(whole: Replayed) -> dict[str, Replayed]:
    """Return a replay cut into its years."""
    years = np.unique(whole["sessions"]["session"].astype("datetime64[Y]"))
    parts = {}
    for year in years:
        tables: dict[str, Any] = {}
        for name, table in whole.tables.items():
            of_year = table["session"].astype("datetime64[Y]") == year
            tables[name] = {column: values[of_year] for column, values in table.items()}
        parts[str(year)] = Replayed(
            book=whole.book, currency=whole.currency, opening_micros=whole.opening_micros, tables=tables
        )
    return parts


def _keep(parts: dict[str, Replayed], state: ReplayState, folder: str) -> None:
    kept = KeptReplayFiles(files_under(UPath(folder)), "made_up/replays/bench/0", about={})
    for year, part in parts.items():
        kept.put(year, part, state)
    kept.finish({})


def _write_bare(whole: Replayed, folder: Path) -> None:
    for name, table in whole.tables.items():
        columns = {column: pa.array(values) for column, values in table.items()}
        parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
