"""The replays and named sweeps of all books: how far each is, what it came to, and where its page is.

What there is, is read by console/replays.py and console/sweeps.py, as the command line reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from console.desk import Desk
from console.pages.frame import session_link
from console.replays import ReplayView, replay_named, replay_names
from console.sweeps import SweepView, sweep_named, sweep_names

LINES_A_PAGE = 25
NO_DATA, NOT_YET = "no data", "–"

REPLAY_MEASURES = {"cagr": ".2%", "sharpe": ".2f", "max_drawdown": ".2%", "turnover": ".2f"}
"""What a line tells of a scorecard, and how it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLine:
    """Hold one replay; `measures` are texts, `page` is empty until it is drawn, `runs` while Dagster is down.

    `failed` names the checks that did not hold; of a light replay they have no data.
    """

    view: ReplayView
    sessions: str
    strategies: str
    measures: Mapping[str, str]
    failed: tuple[str, ...]
    page: str
    runs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepLine:
    """Hold one sweep; `measures` are texts, `page` is empty until drawn, `runs` while Dagster is down."""

    view: SweepView
    sessions: str
    varied: tuple[str, ...]
    progress: str
    best: str
    measures: Mapping[str, str]
    page: str
    runs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replays:
    """Hold one page of both lists, by book and name; `name` is what was asked for, empty for all."""

    name: str
    replays: tuple[ReplayLine, ...]
    sweeps: tuple[SweepLine, ...]
    replay_count: int
    sweep_count: int
    page: int
    pages: int


def replays_shown(desk: Desk, dagster: str, *, name: str = "", page: int = 1) -> Replays:
    """Return the page; one beyond the last is the last."""
    books = desk.books.values()
    replays = [(book.name, one) for book in books for one in replay_names(desk, book) if name in {"", one}]
    sweeps = [(book.name, one) for book in books for one in sweep_names(desk, book) if name in {"", one}]
    pages = max(1, -(-max(len(replays), len(sweeps)) // LINES_A_PAGE))
    page = min(page, pages)
    shown = slice((page - 1) * LINES_A_PAGE, page * LINES_A_PAGE)
    return Replays(
        name=name,
        replays=tuple(_replay(desk, dagster, book, one) for book, one in replays[shown]),
        sweeps=tuple(
            line for book, one in sweeps[shown] if (line := _sweep(desk, dagster, book, one)) is not None
        ),
        replay_count=len(replays),
        sweep_count=len(sweeps),
        page=page,
        pages=pages,
    )


def is_named(desk: Desk, name: str) -> bool:
    """Say whether some replay or sweep has a name."""
    return any(
        name in names(desk, book) for book in desk.books.values() for names in (replay_names, sweep_names)
    )


def _replay(desk: Desk, dagster: str, book: str, name: str) -> ReplayLine:
    view = replay_named(desk, desk.books[book], name)
    card = view.scorecard
    measures = {**card.get("trading", {}), **card.get("performance", {})}
    checks = view.summary.get("checks", {})
    return ReplayLine(
        view=view,
        sessions=f"{view.request.get('first_session', '')}..{view.request.get('last_session', '')}",
        strategies=view.asked,
        measures={
            measure: _told(measures.get(measure), written) if card else NOT_YET
            for measure, written in REPLAY_MEASURES.items()
        },
        failed=tuple(check for check, passed in checks.items() if not passed),
        page=_page("replays", book, name) if view.tear_sheet else "",
        runs=session_link(dagster, book, "replays", quote(name, safe="")),
    )


def _sweep(desk: Desk, dagster: str, book: str, name: str) -> SweepLine | None:
    view = sweep_named(desk, desk.books[book], name)
    if view is None:
        return None
    asked, together = view.asked, view.whole.get("together", {})
    best, honesty = together.get("best", {}), together.get("honesty", {})
    told = {
        "sharpe": (best.get("measures", {}).get("sharpe"), ".2f"),
        "luck": (honesty.get("luck_sharpe"), ".2f"),
        "deflated": (honesty.get("deflated_sharpe"), ".1%"),
        "overfitting": ((together.get("overfitting") or {}).get("pbo"), ".0%"),
    }
    is_whole = bool(view.whole) and view.done >= view.of
    return SweepLine(
        view=view,
        sessions=_range(asked),
        varied=(*asked.get("grids", ()), *asked.get("against", ())),
        progress="whole" if is_whole else f"{view.done} of {view.of} variants",
        best=best.get("label", NOT_YET),
        measures={one: _told(*value) if together else NOT_YET for one, value in told.items()},
        page=_page("sweeps", book, name) if view.page else "",
        runs=session_link(dagster, book, "sweeps", quote(name, safe="")),
    )


def _range(asked: Mapping[str, Any]) -> str:
    first, last = asked.get("first_session"), asked.get("last_session")
    return f"{first or 'first'}..{last or 'last'}" if first or last else "all data"


def _told(value: float | None, written: str) -> str:
    return NO_DATA if value is None else format(value, written)


def _page(kind: str, book: str, name: str) -> str:
    return f"/{kind}/{quote(book, safe='')}/{quote(name, safe='')}/page"
