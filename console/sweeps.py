"""What sweeps there are, and what came of one: read from the files that they left, with nothing else.

How a sweep is run is console/launcher.py; what its files are is resources/sweeping.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from console.book_outlines import BookOutline, require_book
from console.desk import Desk
from trading.errors import UnknownId

NAMED, PROGRESS, WHOLE, PAGE = "named", "progress.json", "sweep.json", "sweep.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepView:
    """Hold one sweep that has a name: what was asked, how far it is, and what it says.

    `whole` is empty and `page` as well until it has come to its end.
    """

    name: str
    book: str
    asked: Mapping[str, Any]
    done: int
    of: int
    whole: Mapping[str, Any]
    page: str


def sweep_names(desk: Desk, book: BookOutline) -> list[str]:
    """Return the names that sweeps of a book have, ascending."""
    folder = _folder(desk, book.name)
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(place.name for place in found if (place / PROGRESS).is_file())


def sweeps_of(desk: Desk, book: BookOutline) -> tuple[SweepView, ...]:
    """Return the named sweeps of a book by name; what cannot be read is no sweep."""
    found = (sweep_named(desk, book, name) for name in sweep_names(desk, book))
    return tuple(view for view in found if view is not None)


def sweep_of(desk: Desk, book: str, name: str) -> SweepView:
    """Return one sweep; raises `UnknownId` where a book has none of that name."""
    outline = require_book(desk.books, book)
    is_known = name in sweep_names(desk, outline)
    view = sweep_named(desk, outline, name) if is_known else None
    if view is None:
        raise UnknownId(f"sweep {name!r}: {book} has none of that name; `trading sweep --name` makes one")
    return view


def page_of(view: SweepView) -> bytes:
    """Return the page of a sweep; raises `UnknownId` where it has none yet."""
    try:
        return Path(view.page).read_bytes() if view.page else _no_page(view)
    except FileNotFoundError:
        return _no_page(view)


def _no_page(view: SweepView) -> NoReturn:
    raise UnknownId(f"sweep {view.name!r}: no page yet; run the same `trading sweep` again")


def _folder(desk: Desk, book: str) -> Path:
    return desk.settings.profile_dir / "sweeps" / NAMED / book


def sweep_named(desk: Desk, book: BookOutline, name: str) -> SweepView | None:
    """Return a sweep that `sweep_names` has named, `None` where it cannot be read."""
    place = _folder(desk, book.name) / name
    progress, whole = _document(place / PROGRESS), _document(place / WHOLE)
    if not progress.keys() >= {"asked", "done", "of"}:
        return None
    return SweepView(
        name=place.name,
        book=book.name,
        asked=progress["asked"],
        done=progress["done"],
        of=progress["of"],
        whole=whole,
        page=str(place / PAGE) if whole else "",
    )


def _document(path: Path) -> Mapping[str, Any]:
    """Return a file's JSON object, empty where it is not there or none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
