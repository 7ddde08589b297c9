"""A book's bars straight from its source, judged by the quality rules: for research, never for a decision.

What the graph decides on is in the lake (resources/lake/window.py); what people released in the journal is
not looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from resources.profiles import Profiled
from resources.quality_rules import load_releases
from trading.actions import at_sessions
from trading.lookahead import Known
from trading.quality import dates_of, judge_range
from trading.quotes import Panel


def judged_bars(profiled: Profiled, book: str, *, sessions: Sequence[date] | None = None) -> Known:
    """Return the accepted bars of a book's sessions, all where none are named, and its corporate actions."""
    config, calendar, source = profiled.books[book], profiled.calendars[book], profiled.sources[book]
    if sessions is None:
        sessions = calendar.between(config.first_session, config.last_session)
    releases = load_releases(profiled.settings.config_dir / "releases.toml")
    days = judge_range(
        sessions=sessions,
        raw=source.raw_bars(*dates_of(calendar, first=sessions[0], last=sessions[-1])),
        calendar=calendar,
        previous={},
        actions=source.actions(),
        released={release.row_id for release in releases},
        limits=profiled.quality_limits,
        source_sha=source.source_sha(),
    )
    return Known(Panel.from_sessions(days), at_sessions(source.actions(), calendar))
