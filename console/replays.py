"""What replays there are, and what came of one: read from the files that they left, with nothing else.

How a replay is run is console/launcher.py; what its files are is resources/replay_files.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from console.book_outlines import BookOutline
from console.desk import Desk
from console.render import counted, money
from trading.errors import UnknownId

ASSET = "replays"
SHA_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """Hold one replay: its name, what was asked and what came of it.

    `summary` is empty until it came to its end. `years_kept` of `years` (0: not known) are kept of the one
    that was begun last: another than `summary` tells of where data, rules or code changed since. `folder` is
    where its tables lie, below the lake; `differs` says what was asked otherwise than the book has it now,
    but for its strategies; `refused` why the one begun last ended for its rules or parameters, empty where
    it did not; `scorecard` is what it was worth, and `tear_sheet` the page of it.
    """

    name: str
    book: str
    is_whole: bool
    replay_sha: str
    folder: str
    years_kept: int
    years: int
    request: Mapping[str, Any]
    differs: tuple[str, ...]
    refused: str
    summary: Mapping[str, Any]
    scorecard: Mapping[str, Any]
    tear_sheet: str

    @property
    def asked(self) -> str:
        """Return its strategies in words, and what else differs from the book as it is configured."""
        strategies = ", ".join(self.request.get("strategies", ())) or "as configured"
        return "; ".join((strategies, *self.differs))

    @property
    def progress(self) -> str:
        """Return how far it is, in words."""
        how_far = f"{self.years_kept} of {counted(self.years, 'year')}" if self.years else "unfinished"
        if not self.is_whole:
            return how_far
        return "whole" if self.years_kept >= self.years else f"whole, made anew: {how_far}"


def replay_names(desk: Desk, book: BookOutline) -> list[str]:
    """Return the names that replays of a book have, ascending."""
    return desk.lake.folders_with(f"{book.name}/{ASSET}", "request.json")


def replays_of(desk: Desk, book: BookOutline) -> tuple[ReplayView, ...]:
    """Return the replays of a book by name."""
    return tuple(replay_named(desk, book, name) for name in replay_names(desk, book))


def replay_of(desk: Desk, name: str, *, book: str | None = None) -> ReplayView:
    """Return one replay; raises `UnknownId` where no book, or more than one, has one of that name."""
    named = {outline.name: replay_names(desk, outline) for outline in desk.chosen(book)}
    found = [of_book for of_book, names in named.items() if name in names]
    if len(found) > 1:
        raise UnknownId(f"replay {name!r}: {', '.join(found)} have one; say --book")
    if not found:
        known = [one for names in named.values() for one in names]
        told = f"known: {', '.join(known)}" if known else "there is none yet; `trading replay` makes one"
        raise UnknownId(f"replay {name!r}: no such replay; {told}")
    return replay_named(desk, desk.books[found[0]], name)


def tear_sheet_of(desk: Desk, view: ReplayView) -> bytes:
    """Return the page of a replay; raises `UnknownId` where it has none yet."""
    place = view.tear_sheet.removeprefix(f"{desk.lake.root}/")
    content = desk.lake.file(place) if place else None
    if content is None:
        raise UnknownId(f"replay {view.name!r}: no tear sheet yet; run the same `trading replay` again")
    return content


def replay_named(desk: Desk, book: BookOutline, name: str) -> ReplayView:
    """Return a replay that `replay_names` has named, without looking at the others."""
    place = f"{book.name}/{ASSET}/{name}"
    state = desk.lake.state(book.name, ASSET, name)
    made = state.inputs_sha[:SHA_SHOWN] if state else ""
    folder = f"{place}/{made}" if made else ""
    manifest = (desk.lake.document(f"{folder}/manifest.json") if folder else None) or {}
    card = (desk.lake.document(f"{folder}/scorecard.json") if folder else None) or {}
    request = desk.lake.document(f"{place}/request.json") or {}
    last_begun = desk.lake.document(f"{place}/begun.json") or {}
    ended = desk.lake.document(f"{place}/refused.json") or {}
    begun = str(last_begun.get("replay_sha", ""))[:SHA_SHOWN] or made
    years = [chunk["chunk"] for chunk in manifest.get("chunks", ())]
    kept = len(years)
    if begun != made:
        years = _years(desk, book, request)
        kept = sum(bool(desk.lake.folders_with(f"{place}/{begun}", f"{year}.json")) for year in years)
    return ReplayView(
        name=name,
        book=book.name,
        is_whole=bool(manifest),
        replay_sha=manifest.get("replay_sha", ""),
        folder=f"{desk.lake.root}/{folder or place}",
        years_kept=kept,
        years=len(years),
        request=request,
        differs=_differs(request, book),
        refused=str(ended.get("why", "")) if ended.get("replay_sha") == last_begun.get("replay_sha") else "",
        summary=manifest.get("summary", {}),
        scorecard=card,
        tear_sheet=f"{desk.lake.root}/{folder}/tear_sheet.html" if card else "",
    )


def _differs(request: Mapping[str, Any], book: BookOutline) -> tuple[str, ...]:
    costs = request.get("costs", {})
    told = [
        f"{name.removesuffix('_bps')} {costs[name]} bps, not {bps}"
        for name, bps in book.costs.items()
        if costs.get(name, bps) != bps
    ]
    deposit_micros = request.get("deposit_micros", book.deposit_micros)
    if deposit_micros != book.deposit_micros:
        told.append(f"deposit {money(deposit_micros, book.currency)}, not {money(book.deposit_micros)}")
    if not request.get("approve", True):
        told.append("approvals not given")
    return tuple(told)


def _years(desk: Desk, book: BookOutline, request: Mapping[str, Any]) -> list[int]:
    """Return the years that a request has sessions in, each kept at once; none where it cannot be told."""
    try:
        first, last = (date.fromisoformat(request[day]) for day in ("first_session", "last_session"))
    except (KeyError, ValueError, TypeError):
        return []
    return sorted({session.year for session in desk.calendar(book).between(first, last)})
