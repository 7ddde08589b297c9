"""Quotes in the lake as an import leaves them, without a run for it: what proofs and pages begin with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from resources.profiles import Profiled
from trading.actions import CorporateAction
from trading.quality import dates_of, judge_range
from trading.quotes import Quarantined, Quote


def write_quotes(profiled: Profiled, book: str, sessions: Sequence[date]) -> None:
    """Write what the import job writes of consecutive sessions, the first of a lake, by the same rules."""
    calendar, source, lake = profiled.calendars[book], profiled.sources[book], profiled.lake
    first, last = dates_of(calendar, first=sessions[0], last=sessions[-1])
    sha, actions = source.source_sha(), source.actions()
    judged = judge_range(
        sessions=sessions,
        raw=source.raw_bars(first, last),
        calendar=calendar,
        previous={},
        actions=actions,
        released=profiled.quality.released(),
        limits=profiled.quality.limits,
        source_sha=sha,
    )
    lake.write_rows((book, "corporate_actions"), None, CorporateAction, actions, inputs_sha=sha)
    for day in judged:
        told = {"unfit_reason": day.unfit_reason} if day.unfit_reason else {}
        key = day.session.isoformat()
        lake.write_rows((book, "market_quotes"), key, Quote, day.accepted, inputs_sha=sha, extra=told)
        lake.write_rows((book, "quarantined_quotes"), key, Quarantined, day.quarantined, inputs_sha=sha)
