"""What a session came to in money and alerts, and where its report lies.

Equity comes from the pointer of the session's positions, so that it is there before any report is written;
what the report holds is trading/reporting.py, and resources/reports.py writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from console.book_outlines import BookOutline
from console.desk import Desk
from trading.errors import LakeError, UnknownId
from trading.values import micros_from_text

REPORTS = "reports"
REPORT_JSON = "report.json"
REPORT_HTML = "report.html"

EQUITY_MICROS = "equity_micros"
"""What the positions' pointer says of the book's worth at the close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """Hold one session's outcome in micro-units, `None` until it is settled.

    `session_pnl_micros` is the equity less that at the close before (the first session has none).
    """

    equity_micros: int | None
    session_pnl_micros: int | None
    alerts: tuple[str, ...]
    html: str


NOTHING_REPORTED = Headline(equity_micros=None, session_pnl_micros=None, alerts=(), html="")
"""What is known of a session that there is not, or not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFound:
    """Hold where a report lies and what it says; `content` is the report's own JSON."""

    book: str
    session: date
    html: str
    json: str
    headline: Headline
    content: Mapping[str, Any]


def headline_of(desk: Desk, book: BookOutline, session: date) -> Headline:
    """Return a session's outcome, as far as it is known."""
    equity = equity_at_close(desk, book, session)
    before = desk.calendar(book).before(session, 1)
    equity_before = equity_at_close(desk, book, before[-1]) if before else None
    content = content_of(desk, book, session)
    return Headline(
        equity_micros=equity,
        session_pnl_micros=equity - equity_before
        if equity is not None and equity_before is not None
        else None,
        alerts=tuple(
            f"{row['severity']} {row['code']}: {row['message']}" for row in (content or {}).get("alerts", ())
        ),
        html=str(_folder(desk, book, session) / REPORT_HTML) if content is not None else "",
    )


def equity_at_close(desk: Desk, book: BookOutline, session: date) -> int | None:
    """Return what a book was worth at a session's close in micro-units, `None` until it is settled."""
    state = desk.lake.state(book.name, "positions", session.isoformat())
    said = state.extra.get(EQUITY_MICROS, "") if state else ""
    return int(said) if said else None


def report_of(desk: Desk, book: BookOutline, session: date) -> ReportFound:
    """Return the report of a session; raises `UnknownId` naming the command that writes it.

    Raises `UnknownSession` for a date of which none can be written, as the exchange is closed.
    """
    content = content_of(desk, book, session)
    if content is None:
        desk.calendar(book).require(session)
        raise UnknownId(
            f"{book.name} {session}: no report yet; "
            f"`trading run-once --book {book.name} --session {session}` writes it after the close"
        )
    folder = _folder(desk, book, session)
    return ReportFound(
        book=book.name,
        session=session,
        html=str(folder / REPORT_HTML),
        json=str(folder / REPORT_JSON),
        headline=headline_of(desk, book, session),
        content=content,
    )


def latest_report(desk: Desk, book: BookOutline) -> ReportFound:
    """Return the latest report of a book; raises `UnknownId` naming the command that makes the first."""
    folder = desk.settings.profile_dir / REPORTS / book.name
    written = sorted(path.parent.name for path in folder.glob(f"*/{REPORT_JSON}"))
    if not written:
        raise UnknownId(
            f"{book.name}: nothing yet, no session has a report; "
            f"`trading run-once --book {book.name}` makes one"
        )
    return report_of(desk, book, date.fromisoformat(written[-1]))


def marks_of(desk: Desk, book: BookOutline, session: date) -> dict[str, int]:
    """Return what a session's report values each position at, micro-units a share; empty without a report."""
    content = content_of(desk, book, session) or {}
    return {row["symbol"]: micros_from_text(row["mark"]) for row in content.get("positions", ())}


def content_of(desk: Desk, book: BookOutline, session: date) -> dict[str, Any] | None:
    """Return what a session's report says, `None` where there is none; raises `LakeError` if unreadable."""
    path = _folder(desk, book, session) / REPORT_JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise LakeError(f"{path}: not a report ({error}); run the session's settle phase again") from error
    return dict(content)


def _folder(desk: Desk, book: BookOutline, session: date) -> Path:
    return desk.settings.profile_dir / REPORTS / book.name / session.isoformat()
