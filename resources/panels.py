"""The data sets that replays read: accepted quotes of many sessions as one panel, memory-mapped.

    <folder>/<key>/open.npy, high.npy, …      int64, sessions × symbols; never changed
    <folder>/<key>/panel.json                 sessions, symbols, and the SHA-256 of each file

`key` digests all that a panel is made from: the pointers of the lake's tables with the source that they are
of, or the source with the rules of quality. A panel whose files are not what `panel.json` says is never used.
What a panel is, is trading/quotes.py.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Protocol

import numpy as np

from resources.craft import craft_sha
from resources.lake.accepted import LakeAcceptedQuotes, LakeActions
from resources.lake.store import Lake
from trading.actions import CorporateAction, actions_sha, at_sessions
from trading.books import BookConfig
from trading.datasets import Dataset
from trading.errors import LakeError
from trading.quality import QualityLimits, dates_of, judge_range
from trading.quotes import MarketData, Panel, Quote, SessionQuotes
from trading.replay import DataSet
from trading.sessions import Calendar
from trading.values import Symbol, canonical_json, digest

FIELDS = ("open", "high", "low", "close", "volume")
ABOUT = "panel.json"

OTHER_IN_LAKE = " (the lake holds quotes or actions that are not of it as it is; import again)"
"""Added to a source's name where the lake has every session and is not read."""


class Quality(Protocol):
    """Give the reviewed limits of quality, and the rows that people have released."""

    @property
    def limits(self) -> QualityLimits:
        """Return the reviewed limits."""
        ...

    def released(self) -> Collection[str]:
        """Return the ids of released rows."""
        ...


class _OfAnotherSource(Exception):
    """Say that a quote of the lake is not of the source as it is."""


class PanelFolder:
    """Keep panels under a folder, each made once; `Panel` arrays are read-only maps of its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def panel(self, key: str, make: Callable[[], Panel]) -> Panel:
        """Return the panel kept under a key, made where there is none.

        Raises `LakeError` where what is kept was altered.
        """
        place = self._folder / key
        if not (place / ABOUT).is_file():
            self._keep(place, make())
        return _read(place)

    def _keep(self, place: Path, panel: Panel) -> None:
        """Keep a panel; whoever reads meanwhile sees all of it or nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=self._folder, prefix=".making-"))
        try:
            shas = {}
            for name in FIELDS:
                path = making / f"{name}.npy"
                np.save(path, np.ascontiguousarray(getattr(panel, name)))
                shas[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            about = {
                "sessions": [day.isoformat() for day in panel.sessions],
                "symbols": list(panel.symbols),
                "unfit": {day.isoformat(): why for day, why in panel.unfit.items()},
                "sha": shas,
            }
            (making / ABOUT).write_text(canonical_json(about), encoding="utf-8")
            making.chmod(0o755)
            making.rename(place)
        except OSError as error:
            shutil.rmtree(making, ignore_errors=True)
            if (place / ABOUT).is_file():
                return  # another process kept the same panel first
            raise LakeError(f"{place}: {error.strerror or error}; make room and make it writable") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class BookDataSets:
    """Give the data sets of one book; a `trading.replaying.DataSets`.

    The book's source is judged from its first session to its last, by the rules of quality that an import
    judges it by. Where the lake has every session that a range reads, and in them just what the source has,
    its accepted quotes are taken. Nothing is given before `verify`, which raises where the book's files,
    calendar or costs are not what its manifest says.
    """

    config: BookConfig
    calendar: Calendar
    source: MarketData
    quality: Quality
    accepted: LakeAcceptedQuotes
    imported_actions: LakeActions
    lake: Lake
    panels: PanelFolder
    verify: Callable[[], Dataset]

    def data_set(self, first: date, last: date) -> DataSet:
        """Return what a replay of a range reads: the window of its first session, up to its last.

        Raises `LakeError` where a table or a kept panel was altered, `BadQuotes` where the source cannot be
        read, `DatasetUnknown` where the book has no manifest, `DatasetChanged` where it says otherwise.
        """
        pinned = self.verify()
        before = self.calendar.before(first, self.config.rules.window_sessions)
        starts = max(self.config.first_session, before[0] if before else first)
        needed = self.calendar.between(starts, last)
        is_stored = self.accepted.has_all(needed)
        panel = self._of_source()
        source = self.source.name
        if is_stored:
            # The manifest pins the source: quotes and actions that are not of it are no part of the data set,
            # whatever they say that they are.
            of_lake = self._of_lake(needed)
            is_same = of_lake is not None and _is_same(_cut(of_lake, needed), _cut(panel, needed))
            panel, source = (of_lake, "lake") if is_same and of_lake else (panel, source + OTHER_IN_LAKE)
        data = data_set_of(
            panel, self.source.actions(), sessions=needed, calendar=self.calendar, source=source
        )
        return replace(data, manifest_sha=pinned.sha)

    def _of_lake(self, sessions: Sequence[date]) -> Panel | None:
        """Return the lake's quotes of sessions, `None` where one, or its actions, are not the source's."""
        actions = at_sessions(self.source.actions(), self.calendar)
        if at_sessions(self.imported_actions.actions(), self.calendar) != actions:
            return None
        asset = (self.config.name, "market_quotes")
        tables = [self.lake.require(asset, day.isoformat()).sha for day in sessions]
        source_sha = self.source.source_sha()
        unfit = {day: why for day in sessions if (why := self.accepted.unfit_reason(day))}
        key = digest(
            {
                "book": self.config.name,
                "source": source_sha,
                "lake": [[str(sessions[0]), str(sessions[-1])], tables],
                "unfit": {day.isoformat(): why for day, why in unfit.items()},
            }
        )

        def make() -> Panel:
            quotes: list[Quote] = []
            for day in sessions:
                of_day = self.accepted.quotes_on(day)
                if any(quote.source_sha != source_sha for quote in of_day):
                    raise _OfAnotherSource
                quotes += of_day
            return replace(Panel.from_quotes(sessions, quotes), unfit=unfit)

        try:
            return self.panels.panel(key, make)
        except _OfAnotherSource:
            return None

    def _of_source(self) -> Panel:
        sessions = self.calendar.between(self.config.first_session, self.config.last_session)
        released = frozenset(self.quality.released())
        key = digest(
            {
                "book": self.config.name,
                "source": self.source.source_sha(),
                "sessions": [str(day) for day in sessions],
                "quality": repr(self.quality.limits),
                "released": sorted(released),
                "craft": craft_sha(),
            }
        )
        return self.panels.panel(key, lambda: Panel.from_sessions(self._judged(sessions, released)))

    def _judged(self, sessions: Sequence[date], released: Collection[str]) -> tuple[SessionQuotes, ...]:
        return judge_range(
            sessions=sessions,
            raw=self.source.raw_bars(*dates_of(self.calendar, first=sessions[0], last=sessions[-1])),
            calendar=self.calendar,
            previous={},
            actions=at_sessions(self.source.actions(), self.calendar),
            released=released,
            limits=self.quality.limits,
            source_sha=self.source.source_sha(),
        )


def data_set_of(
    panel: Panel,
    actions: Sequence[CorporateAction],
    *,
    sessions: Sequence[date],
    calendar: Calendar,
    source: str,
) -> DataSet:
    """Return the part of a panel that sessions in a row are, with the actions up to the last of them."""
    cut = _cut(panel, sessions)
    known = tuple(action for action in at_sessions(actions, calendar) if action.effective_on <= sessions[-1])
    return DataSet(panel=cut, actions=known, sha=_data_sha(cut, known), source=source)


def _cut(panel: Panel, sessions: Sequence[date]) -> Panel:
    """Return some rows of a panel, and of its symbols those that are quoted in them."""
    begin = bisect_left(panel.sessions, sessions[0])
    rows = slice(begin, begin + len(sessions))
    quoted = np.flatnonzero((panel.close[rows] > 0).any(axis=0))
    columns = slice(None) if len(quoted) == len(panel.symbols) else quoted
    return Panel(
        sessions=panel.sessions[rows],
        symbols=tuple(panel.symbols[column] for column in quoted),
        open=panel.open[rows, columns],
        high=panel.high[rows, columns],
        low=panel.low[rows, columns],
        close=panel.close[rows, columns],
        volume=panel.volume[rows, columns],
        unfit={day: why for day, why in panel.unfit.items() if sessions[0] <= day <= sessions[-1]},
    )


def _is_same(first: Panel, second: Panel) -> bool:
    """Say whether two panels of the same sessions have the same quotes, and the same unfit sessions."""
    return (
        first.symbols == second.symbols
        and first.unfit.keys() == second.unfit.keys()
        and all(np.array_equal(getattr(first, name), getattr(second, name)) for name in FIELDS)
    )


def _data_sha(panel: Panel, actions: Sequence[CorporateAction]) -> str:
    numbers = {
        name: hashlib.sha256(np.ascontiguousarray(getattr(panel, name)).astype("<i8").tobytes()).hexdigest()
        for name in FIELDS
    }
    return digest(
        {
            "sessions": [day.isoformat() for day in panel.sessions],
            "symbols": list(panel.symbols),
            "numbers": numbers,
            "unfit": sorted(day.isoformat() for day in panel.unfit),
            "actions": actions_sha(actions),
        }
    )


def _read(place: Path) -> Panel:
    cure = "remove the folder, and it is made again"
    try:
        about = json.loads((place / ABOUT).read_text("utf-8"))
        for name in FIELDS:
            sha = hashlib.sha256((place / f"{name}.npy").read_bytes()).hexdigest()
            if sha != about["sha"][name]:
                raise LakeError(f"{place}: {name}.npy is not what {ABOUT} says, so it is not used; {cure}")
        arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in FIELDS}
        return Panel(
            sessions=tuple(date.fromisoformat(day) for day in about["sessions"]),
            symbols=tuple(Symbol(symbol) for symbol in about["symbols"]),
            unfit={date.fromisoformat(day): why for day, why in about["unfit"].items()},
            **arrays,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{place}: cannot be read ({error}); {cure}") from error
