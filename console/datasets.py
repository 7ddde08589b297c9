"""What people ask of data sets: which there are, whether each is what its manifest says, and a new manifest.

What a data set is stands in trading/datasets.py, its files in resources/dataset_files.py.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import NamedTuple, TypedDict

from console.book_outlines import require_book
from console.desk import Desk
from resources.dataset_files import manifest_path, read_manifest
from trading.datasets import Dataset, DatasetUnknown, Difference, differences


class DatasetLine(NamedTuple):
    """Hold one book's data set as its manifest tells it; without one, only the book."""

    book: str
    sha: str
    source: str
    first_session: date | None
    last_session: date | None
    sessions: int
    symbols: int
    actions: int
    files: tuple[str, ...]


class Compared(NamedTuple):
    """Hold how one book's data set stands to its manifest; `why` says why there is nothing to compare."""

    book: str
    sha: str
    differences: tuple[Difference, ...]
    why: str


class DatasetsView(TypedDict):
    """Hold a line a book."""

    datasets: list[DatasetLine]


class ComparedView(TypedDict):
    """Hold how each data set asked for stands to its manifest."""

    datasets: list[Compared]


class ManifestView(TypedDict):
    """Hold a manifest: as it would be, and what of it is not what the present one says."""

    book: str
    sha: str
    path: str
    text: str
    differences: tuple[Difference, ...]
    is_new: bool


def dataset_lines(desk: Desk) -> DatasetsView:
    """Return a line a book, read from the manifests alone."""
    return {"datasets": [_line(book.name, desk) for book in desk.chosen(None)]}


def compared(desk: Desk, *, book: str | None) -> ComparedView:
    """Return how the data sets stand to their manifests; reads every file of them.

    Raises `BadQuotes` where a source cannot be read.
    """
    found = []
    for outline in desk.chosen(book):
        try:
            expected = read_manifest(manifest_path(Path(desk.settings.books_file), outline.name))
        except DatasetUnknown as error:
            found.append(Compared(outline.name, "", (), str(error)))
            continue
        now = found_dataset(desk, outline.name)
        found.append(Compared(outline.name, now.sha, differences(expected, now), ""))
    return {"datasets": found}


def manifest_of(desk: Desk, book: str) -> tuple[Dataset, ManifestView]:
    """Return a book's data set as it is now with the manifest that would say so; writes nothing."""
    from resources.dataset_files import manifest_text

    require_book(desk.books, book)
    path = manifest_path(Path(desk.settings.books_file), book)
    found = found_dataset(desk, book)
    try:
        changed, is_new = differences(read_manifest(path), found), False
    except DatasetUnknown:
        changed, is_new = (), True
    view: ManifestView = {
        "book": book,
        "sha": found.sha,
        "path": str(path),
        "text": manifest_text(found),
        "differences": changed,
        "is_new": is_new,
    }
    return found, view


def found_dataset(desk: Desk, book: str) -> Dataset:
    """Return the data set of a book as its source holds it now, whatever its manifest says."""
    from resources.dataset_files import dataset_of
    from resources.profiles import Profiled

    profiled = Profiled(desk.settings)
    return dataset_of(profiled.books[book], source=profiled.sources[book], calendar=profiled.calendars[book])


def _line(book: str, desk: Desk) -> DatasetLine:
    try:
        told = read_manifest(manifest_path(Path(desk.settings.books_file), book))
    except DatasetUnknown:
        return DatasetLine(book, "", "", None, None, 0, 0, 0, ())
    return DatasetLine(
        book=book,
        sha=told.sha,
        source=told.source,
        first_session=told.first_session,
        last_session=told.last_session,
        sessions=told.sessions,
        symbols=len(told.symbols),
        actions=told.actions,
        files=tuple(file.name for file in told.files),
    )
