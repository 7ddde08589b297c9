"""The weeks of all books that were looked back on: how each went, whether it was in order, and its pages.

What a look says was written by the graph (trading_assets/stages/weeks.py), and is shown as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from console.book_outlines import BookOutline
from console.desk import Desk
from console.pages.frame import session_link
from console.weeks import AUDIT, AUDIT_JSON, HEALTH, HEALTH_JSON, page_of_week, weeks_missing, written_of_week

WEEKS_SHOWN = 26
"""The weeks of a book that are shown: half a year."""

FINDINGS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekLine:
    """Hold one week as it was looked back on; texts are empty and pages too where a look is not written.

    `attention` are the first lines that ask for a person; `runs` leads to the runs while Dagster is up.
    """

    week: str
    health: str
    sessions: str
    attention: tuple[str, ...]
    health_page: str
    audit: str
    findings: tuple[str, ...]
    audit_page: str
    runs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BookWeeks:
    """Hold the weeks of one book, the latest first, and those that are over and wait for the next tick."""

    book: str
    missing: tuple[str, ...]
    weeks: tuple[WeekLine, ...]


def weeks_shown(desk: Desk, dagster: str) -> tuple[BookWeeks, ...]:
    """Return the weeks of each book."""
    return tuple(_book(desk, dagster, outline) for outline in desk.books.values())


def _book(desk: Desk, dagster: str, outline: BookOutline) -> BookWeeks:
    missing = [week.name for week in weeks_missing(desk, outline)]
    folders = {path.parent.name for path in written_of_week(desk, outline)}
    weeks = sorted(folders | set(missing), reverse=True)[:WEEKS_SHOWN]
    return BookWeeks(
        book=outline.name,
        missing=tuple(reversed(missing)),
        weeks=tuple(_line(desk, dagster, outline, name) for name in weeks if name in folders),
    )


def _line(desk: Desk, dagster: str, outline: BookOutline, name: str) -> WeekLine:
    health = _read(desk, outline, name, HEALTH_JSON)
    audit = _read(desk, outline, name, AUDIT_JSON)
    findings = [f"{one['grade']} {one['subject']}: {one['detail']}" for one in audit.get("findings", ())]
    return WeekLine(
        week=name,
        health=str(health.get("outcome", "")),
        sessions=f"{health['run']} of {health['expected']} sessions run" if health else "",
        attention=tuple(health.get("attention", ()))[:FINDINGS_SHOWN],
        health_page=_page(outline, name, HEALTH) if health else "",
        audit=str(audit.get("outcome", "")),
        findings=tuple(findings[:FINDINGS_SHOWN]),
        audit_page=_page(outline, name, AUDIT) if audit else "",
        runs=session_link(dagster, outline.name, AUDIT, name),
    )


def _read(desk: Desk, outline: BookOutline, name: str, file: str) -> Mapping[str, Any]:
    content = page_of_week(desk, outline, name, file)
    found: dict[str, Any] = {} if content is None else json.loads(content)
    return found


def _page(outline: BookOutline, name: str, asset: str) -> str:
    return f"/weeks/{quote(outline.name, safe='')}/{quote(name, safe='')}/{asset}"
