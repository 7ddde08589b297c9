"""What replays there are, and what came of one: read from the files that they left, with nothing else.

How a replay is run is console/launcher.py; what its files are is resources/replay_files.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.book_outlines import BookOutline
from console.desk import Desk
from trading.errors import UnknownId

ASSET = "replays"
SHA_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """Hold one replay: its name, what was asked and what came of it.

    `summary` is empty until it came to its end; `years_kept` counts those that are whole by then. `folder` is
    where its tables lie, below the lake; `scorecard` is what it was worth, and `tear_sheet` the page of it.
    """

    name: str
    book: str
    is_whole: bool
    replay_sha: str
    folder: str
    years_kept: int
    request: Mapping[str, Any]
    summary: Mapping[str, Any]
    scorecard: Mapping[str, Any]
    tear_sheet: str


def replays_of(desk: Desk, book: BookOutline) -> tuple[ReplayView, ...]:
    """Return the replays of a book by name."""
    names = desk.lake.folders_with(f"{book.name}/{ASSET}", "request.json")
    return tuple(_view(desk, book, name) for name in names)


def replay_of(desk: Desk, name: str, *, book: str | None = None) -> ReplayView:
    """Return one replay; raises `UnknownId` where no book, or more than one, has one of that name."""
    found = [view for outline in desk.chosen(book) for view in replays_of(desk, outline) if view.name == name]
    if len(found) > 1:
        raise UnknownId(f"replay {name!r}: {', '.join(view.book for view in found)} have one; say --book")
    if not found:
        known = [view.name for outline in desk.chosen(book) for view in replays_of(desk, outline)]
        told = f"known: {', '.join(known)}" if known else "there is none yet; `trading replay` makes one"
        raise UnknownId(f"replay {name!r}: no such replay; {told}")
    return found[0]


def _view(desk: Desk, book: BookOutline, name: str) -> ReplayView:
    place = f"{book.name}/{ASSET}/{name}"
    state = desk.lake.state(book.name, ASSET, name)
    folder = f"{place}/{state.inputs_sha[:SHA_SHOWN]}" if state else ""
    manifest = (desk.lake.document(f"{folder}/manifest.json") if folder else None) or {}
    card = (desk.lake.document(f"{folder}/scorecard.json") if folder else None) or {}
    return ReplayView(
        name=name,
        book=book.name,
        is_whole=bool(manifest),
        replay_sha=manifest.get("replay_sha", ""),
        folder=f"{desk.lake.root}/{folder or place}",
        years_kept=len(manifest.get("chunks", ())),
        request=desk.lake.document(f"{place}/request.json") or {},
        summary=manifest.get("summary", {}),
        scorecard=card,
        tear_sheet=f"{desk.lake.root}/{folder}/tear_sheet.html" if card else "",
    )
