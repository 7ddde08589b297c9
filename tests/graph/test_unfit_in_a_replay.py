"""Behind quotes that are unfit nobody decides: live refuses the session, and a replay does the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from tests.graph.desk import CONFIG, Desk
from trading.errors import UnfitQuotes
from trading.replay import Asked, config_of, opening_state, replay_chunk, request_of
from trading.session import each_session

BEHIND = date(2010, 8, 19)
"""The session after 2010-08-18, of which `us_wide` has no row at all."""

RANGE = (date(2010, 8, 9), date(2010, 8, 20))


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Give a desk of `us_wide`, whose source has sessions missing for all."""
    desk = Desk(tmp_path_factory.mktemp("wide"), book="us_wide", config_dir=CONFIG)
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def replayed(wide):
    """Give the last sessions of the book from its source, and what their replay came to."""
    config, calendar = wide.profiled.books["us_wide"], wide.profiled.calendars["us_wide"]
    data = wide.profiled.data_sets["us_wide"].data_set(*RANGE)
    return data, tuple(
        each_session(
            config,
            panel=data.panel,
            actions=data.actions,
            calendar=calendar,
            sessions=calendar.between(*RANGE),
            approve=True,
        )
    )


def test_the_data_set_names_the_sessions_that_are_unfit(replayed):
    data, _ = replayed

    assert data.panel.unfit == {date(2010, 8, 18): "no row at all for 2010-08-18"}


def test_a_replay_decides_nothing_where_live_refuses_and_carries_the_book_over(replayed):
    _, results = replayed
    found = {result.session: result for result in results}
    before, behind = found[date(2010, 8, 18)], found[BEHIND]

    assert before.decided.candidates
    assert (behind.decided.candidates, behind.decided.decisions, behind.fills) == ((), (), ())
    assert behind.closing.positions == before.closing.positions
    assert behind.closing.cash_micros == before.closing.cash_micros
    assert set(behind.held) == {position.symbol for position in behind.closing.positions}
    assert found[date(2010, 8, 20)].decided.candidates


def test_what_live_refuses_is_just_what_the_replay_does_not_decide(imported_wide, desk_on, replayed):
    """Import the same sessions, and ask for each window as the graph does."""
    desk = desk_on(imported_wide.folder, book="us_wide")
    calendar = desk.profiled.calendars["us_wide"]
    window = desk.profiled.books["us_wide"].rules.window_sessions
    imported = date.fromisoformat(desk.lake.partitions(("us_wide", "market_quotes"))[0])
    result = desk.import_quotes(calendar.before(RANGE[0], window)[0], calendar.before(imported, 1)[0])
    assert result.success
    refused = []
    for session in calendar.between(*RANGE):
        try:
            desk.profiled.windows["us_wide"].window_before(session, window)
        except UnfitQuotes:
            refused.append(session)
    _, results = replayed

    assert refused == [BEHIND] == [one.session for one in results if not one.decided.candidates]


def test_a_chunk_of_a_replay_wants_nothing_behind_a_day_that_is_unfit_though_it_is_quoted(wide, replayed):
    config, calendar = wide.profiled.books["us_wide"], wide.profiled.calendars["us_wide"]
    data, _ = replayed
    asked = Asked(first_session=RANGE[0], last_session=RANGE[1])
    own = config_of(request_of(asked, config, name="wide"), config)
    sessions = calendar.between(*RANGE)

    def wanted(unfit):
        tables, _ = replay_chunk(
            own,
            data=replace(data, panel=replace(data.panel, unfit=unfit)),
            calendar=calendar,
            sessions=sessions,
            state=opening_state(own),
            approve=True,
            light=False,
        )
        assert tables["sessions"]["session"].tolist() == list(sessions)
        return set(tables["intents"]["session"].tolist())

    # The first day on which something is wanted: what is wanted of it later does not matter.
    first = min(wanted({}))
    (before,) = calendar.before(first, 1)

    assert first not in wanted({before: "no whole day"})
