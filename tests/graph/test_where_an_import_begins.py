"""Quotes are judged alike wherever an import begins: what came before counts whether it is stored or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest

from resources.market_data.bytetheory import Bytetheory
from resources.profiles import Profiled
from tests.graph.desk import CALENDAR, settings_in
from trading.quotes import Quote, SessionQuotes
from trading_assets.session_graph import book_graph
from trading_assets.stages.market_quotes import _chosen


class Stored:
    """Hold quotes as a lake would that has what was given, and nothing else."""

    def __init__(self, judged: Sequence[SessionQuotes] = ()) -> None:
        self.days = {day.session: day for day in judged}

    def has_all(self, sessions: Sequence[date]) -> bool:
        return all(session in self.days for session in sessions)

    def last_before(self, session: date, count: int) -> dict[str, Quote]:
        latest: dict[str, Quote] = {}
        for day in CALENDAR.before(session, count):
            if day in self.days:
                latest |= {quote.symbol: quote for quote in self.days[day].accepted}
        return latest


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Give what judges sessions of `us_wide` before a given store."""
    profiled = Profiled(settings_in(tmp_path_factory.mktemp("desk")))
    graph = book_graph(profiled.books["us_wide"], CALENDAR, lane="simulated", is_open_ended=False)
    source = Bytetheory()

    def judged(sessions, stored):
        chosen = _chosen(
            graph, sessions, sources=[source], actions=(), stored=stored, quality=profiled.quality
        )
        return [one.quotes for one in chosen]

    yield judged
    profiled.journal.close()


def test_a_session_is_judged_the_same_with_and_without_its_past_in_the_lake(judge):
    sessions = CALENDAR.between(date(2009, 8, 21), date(2009, 11, 30))
    whole = {day.session: day for day in judge(sessions, Stored())}
    half_outage = date(2009, 11, 12)

    for start in (half_outage, date(2009, 9, 9), date(2009, 11, 30)):
        (alone,) = judge([start], Stored())
        beside = judge([start], Stored([day for day in whole.values() if day.session < start]))[0]
        partly = judge([start], Stored([day for day in whole.values() if day.session < start][-5:]))[0]
        assert alone == beside == partly == whole[start]
    assert whole[half_outage].unfit_reason != ""
