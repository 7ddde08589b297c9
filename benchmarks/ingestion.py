"""How fast bars come into the lake, against a bare Parquet write of the same rows in the same run.

Drawn bars of 500 symbols over 60 sessions: rows of a source as text, each judged by every rule of quality,
and written session by session as the import does it, with hash, flush and pointer. The baseline writes the
same accepted rows with pyarrow alone: one file a session, and one file of all. A ratio says how many
times as long as the baseline something took.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from measuring import PROJECT, Figure, median, timed

from resources.calendars import load_calendar
from resources.lake.codec import table_of
from resources.lake.store import Lake
from resources.quality_rules import load_quality_limits
from trading.quality import judge_range
from trading.quotes import Quote, RawBar, SessionQuotes
from trading.sessions import Calendar

SYMBOLS, SESSIONS, TIMES = 500, 60, 3
SEED = 20130301
ASSET = ("bench", "market_quotes")


def measure() -> list[Figure]:
    """Return rows a second: judged and stored, stored alone, and written bare."""
    calendar = load_calendar("XNYS", PROJECT / "config" / "calendars")
    raw = _bars(calendar)
    days: list[SessionQuotes] = []

    def judge() -> None:
        days[:] = _judged(raw, calendar)

    with TemporaryDirectory() as folder:
        judged_s = _seconds(lambda _: judge())
        rows = sum(len(day.accepted) for day in days)
        stored_s = _seconds(lambda number: _store(days, Path(folder, f"lake{number}")))
        tables = [table_of(Quote, day.accepted) for day in days]
        bare_s = _seconds(lambda number: _bare(tables, Path(folder, f"bare{number}")))
        synced_s = _seconds(lambda number: _bare(tables, Path(folder, f"synced{number}"), is_synced=True))
        one_s = _seconds(
            lambda number: pq.write_table(pa.concat_tables(tables), f"{folder}/one{number}.parquet")
        )
    size = f"{SYMBOLS} symbols, {SESSIONS} sessions, {rows:,} rows"
    return [
        _figure("judged and into the lake", rows, judged_s + stored_s, bare_s, size),
        _figure("into the lake", rows, stored_s, bare_s, "typed, hashed, flushed, with its pointer"),
        _figure("judged alone", rows, judged_s, bare_s, "every rule of quality, from text"),
        _figure("bare Parquet, flushed", rows, synced_s, bare_s, "the baseline and an fsync a file"),
        _figure("bare Parquet, a file a session", rows, bare_s, bare_s, "the baseline: pyarrow alone"),
        _figure("bare Parquet, one file", rows, one_s, bare_s, "no session can be replaced by itself"),
    ]


def _figure(what: str, rows: int, seconds: float, bare_s: float, note: str) -> Figure:
    """Return rows a second, and how many times as long as the bare write they took."""
    return Figure(
        what=what,
        value=rows / seconds,
        unit="rows/s",
        baseline="bare Parquet, a file a session",
        ratio=seconds / bare_s,
        note=note,
    )


def _seconds(act: Callable[[int], Any]) -> float:
    """Return the median wall time of an act, given the number of each time."""
    return median([timed(lambda number=number: act(number))[0] for number in range(TIMES)])


def _bars(calendar: Calendar) -> list[RawBar]:
    """Return drawn bars as a source gives them: text, a line each."""
    rng = random.Random(SEED)  # noqa: S311 - prices, not secrets
    days = calendar.sessions[-SESSIONS:]
    prices = [rng.uniform(10, 500) for _ in range(SYMBOLS)]
    rows = []
    for day in days:
        for number in range(SYMBOLS):
            prices[number] *= 1 + rng.uniform(-0.02, 0.02)
            close = prices[number]
            opened = close * (1 + rng.uniform(-0.01, 0.01))
            cells = [opened, max(opened, close) * 1.003, min(opened, close) * 0.997, close]
            rows.append(
                RawBar(
                    "drawn",
                    len(rows) + 1,
                    f"S{number:04}",
                    str(day),
                    *(f"{cell:.4f}" for cell in cells),
                    str(rng.randrange(10_000, 9_000_000)),
                )
            )
    return rows


def _judged(raw: Sequence[RawBar], calendar: Calendar) -> tuple[SessionQuotes, ...]:
    return judge_range(
        sessions=calendar.sessions[-SESSIONS:],
        raw=raw,
        calendar=calendar,
        previous={},
        actions=(),
        released=(),
        limits=load_quality_limits(PROJECT / "config" / "quality.toml"),
        source_sha="drawn",
    )


def _store(days: Sequence[SessionQuotes], root: Path) -> None:
    lake = Lake(root)
    for day in days:
        lake.write_rows(ASSET, str(day.session), Quote, day.accepted, inputs_sha="drawn")


def _bare(tables: Sequence[pa.Table], root: Path, *, is_synced: bool = False) -> None:
    root.mkdir()
    for number, table in enumerate(tables):
        path = root / f"{number}.parquet"
        pq.write_table(table, path)
        if is_synced:
            with path.open("rb") as file:
                os.fsync(file.fileno())
