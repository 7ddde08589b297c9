"""The morning check as a page: one verdict, then for each book its funnel, P&L and why nothing traded.

What it says is status.py, why.py and history.py, as the command line says it; here it gets its links.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from console.alerts import AlertLine, alerts_of
from console.approvals import Pending, pending_of
from console.book_outlines import BookOutline
from console.desk import Desk
from console.history import SessionPoint, history_of
from console.margins import Margin, margins_of
from console.pages.frame import link_to, session_link
from console.pages.plots import Plot, plots_of
from console.render import counted
from console.status import BookStatus, Status, status_of
from console.why import WhyNot, why
from resources.reviewed_config import read_limits

PENDING_SHOWN = 10
ALERTS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Hold one step of the funnel: how many came through (`None`: not known), and where they are listed."""

    name: str
    count: int | None
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookCard:
    """Hold one book. `quote_age` says how old its quotes are; links are empty while Dagster is down."""

    status: BookStatus
    why_not: WhyNot
    quote_age: str
    steps: tuple[Step, ...]
    margins: tuple[Margin, ...]
    points: tuple[SessionPoint, ...]
    plots: tuple[Plot, ...]
    decisions_link: str
    executions_link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Hold the page; `pending` are the first that expire of `pending_count`.

    `alerts` are the worst that fire of `alert_count`.
    """

    status: Status
    alerts: tuple[AlertLine, ...]
    alert_count: int
    books: tuple[BookCard, ...]
    pending: tuple[Pending, ...]
    pending_count: int


def overview_of(desk: Desk, dagster: str) -> Overview:
    """Return the page."""
    status = status_of(desk)
    alerts, pending = alerts_of(desk), pending_of(desk)
    return Overview(
        status=status,
        alerts=alerts[:ALERTS_SHOWN],
        alert_count=len(alerts),
        books=tuple(_card(desk, desk.books[row.book], row, dagster) for row in status.books),
        pending=pending[:PENDING_SHOWN],
        pending_count=len(pending),
    )


def _card(desk: Desk, book: BookOutline, row: BookStatus, dagster: str) -> BookCard:
    points = history_of(desk, book)
    session = row.session.isoformat() if row.session else ""
    return BookCard(
        status=row,
        why_not=why(desk, book=book, session=row.session),
        quote_age=_quote_age(desk, book, row.quoted_until),
        steps=_steps(book, row),
        margins=_margins(desk, row, points),
        points=points,
        plots=plots_of(points, book.currency),
        decisions_link=session_link(dagster, book.name, "decisions", session) if session else "",
        executions_link=session_link(dagster, book.name, "executions", session) if session else "",
    )


def _margins(desk: Desk, row: BookStatus, points: Sequence[SessionPoint]) -> tuple[Margin, ...]:
    """Return how far a book is from the limits in force in its latest session."""
    if row.session is None:
        return ()
    limits = read_limits(row.book, desk.settings.config_dir / "limits.toml").on(row.session)
    return margins_of(points, row.session_pnl_micros, limits)


def _quote_age(desk: Desk, book: BookOutline, quoted_until: date | None) -> str:
    """Return how many sessions before today the latest quotes are behind, in words."""
    if quoted_until is None:
        return "no quotes yet"
    calendar = desk.calendar(book)
    closed = calendar.before(desk.today(book), 1)
    behind = len(calendar.between(quoted_until, closed[-1])) - 1 if closed else 0
    age = f"{counted(behind, 'session')} behind" if behind > 0 else "up to date"
    return f"{quoted_until}, {age}"


def _steps(book: BookOutline, row: BookStatus) -> tuple[Step, ...]:
    funnel, session = row.funnel, row.session
    if funnel is None or session is None:
        return ()

    def intents(show: str = "") -> str:
        return link_to("/intents", book=book.name, session=session, show=show)

    reason = link_to("/why", book=book.name, session=session)
    counts: Sequence[tuple[str, int | None, str]] = (
        ("quotes", funnel.quotes, reason),
        ("candidates", funnel.candidates, reason),
        ("intents", funnel.intents, intents()),
        ("blocked", funnel.blocked, intents("blocked")),
        *([("vetoed", funnel.vetoed, intents("blocked"))] if funnel.vetoed else []),
        *([("pending", funnel.pending, intents("pending"))] if funnel.pending else []),
        *([("unknown", funnel.unknown, "/incidents")] if funnel.unknown else []),
        ("filled", funnel.filled, intents("filled")),
    )
    return tuple(
        Step(name=name.removesuffix("s") if count == 1 else name, count=count, link=link)
        for name, count, link in counts
    )
