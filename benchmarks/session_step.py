"""The session step without Dagster, over thirteen years of `us_five`, against reading its windows only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from measuring import BOOK, PROJECT, Figure, timed

from resources.calendars import load_calendar
from resources.market_data.bokeh_stocks import BokehStocks
from resources.quality_rules import load_quality_limits, load_releases
from resources.reviewed_config import book_config, read_books
from trading.actions import CorporateAction
from trading.books import BookConfig
from trading.quality import dates_of, judge_range
from trading.quotes import Panel
from trading.session import SessionResult, run_sessions
from trading.sessions import Calendar


class Years(NamedTuple):
    """Hold thirteen years of `us_five`: how it is configured, and everything that its market ever was."""

    config: BookConfig
    panel: Panel
    actions: Sequence[CorporateAction]
    calendar: Calendar
    sessions: Sequence[date]


def years() -> Years:
    """Return the book and its bars, judged."""
    folder, source = PROJECT / "config", BokehStocks()
    line = read_books(folder / "books.toml")[BOOK]
    calendar = load_calendar(line.calendar, folder / "calendars")
    config = book_config(BOOK, line, config_dir=folder, source=source, calendar=calendar)
    sessions = calendar.between(config.first_session, config.last_session)
    days = judge_range(
        sessions=sessions,
        raw=source.raw_bars(*dates_of(calendar, first=sessions[0], last=sessions[-1])),
        calendar=calendar,
        previous={},
        actions=source.actions(),
        released={release.row_id for release in load_releases(folder / "releases.toml")},
        limits=load_quality_limits(folder / "quality.toml"),
        source_sha=source.source_sha(),
    )
    panel = Panel.from_quotes(sessions, [quote for day in days for quote in day.accepted])
    return Years(config, panel, source.actions(), calendar, sessions)


def lived_sessions() -> list[SessionResult]:
    """Return every session of the book, decided and settled."""
    config, panel, actions, calendar, sessions = years()
    return run_sessions(
        config, panel=panel, actions=actions, calendar=calendar, sessions=sessions, approve=True
    )


def measure() -> list[Figure]:
    """Return the figures."""
    config, panel, actions, calendar, sessions = years()

    def read_windows() -> None:
        for session in sessions:
            panel.window_before(session, config.rules.window_sessions, actions=actions)

    windows_s, _ = timed(read_windows)
    step_s, _ = timed(
        lambda: run_sessions(
            config, panel=panel, actions=actions, calendar=calendar, sessions=sessions, approve=True
        )
    )
    return [
        Figure(
            what=f"the session step over {len(sessions):,} sessions",
            value=len(sessions) / step_s,
            unit="sessions/s",
            baseline="reading the windows alone",
            ratio=step_s / windows_s,
            note=f"{step_s:.1f} s",
        ),
        Figure(
            what="reading the windows alone",
            value=len(sessions) / windows_s,
            unit="sessions/s",
            note=f"{windows_s:.1f} s",
        ),
    ]
