"""What service levels count, kept between looks: always what a count of everything says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from resources.calendars import load_calendar
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.service_levels import ServiceCounts
from resources.signal_keeper import JournalSignals
from tests.console.states import CLOSE, NOW, OF, OPEN, OPENED, SESSION, a_parked_intent, concluded_absent
from tests.console.test_totals import Watched
from trading.signal_continuity import Poll, SessionState, window_of
from trading.slos import Objective

CALENDAR = load_calendar("XNYS", Path(__file__).parents[2] / "config" / "calendars")
LOOKED_AT = {
    "calendars": {"us_five": CALENDAR, "us_wide": CALENDAR},
    "lane": "simulated",
    "now": CALENDAR.closes_at(SESSION) + timedelta(hours=2),
}


def a_window(at):
    """Give a look for quotes that found none."""
    poll = Poll(
        looked_at=at,
        session_state=SessionState.PRE_OPEN,
        is_configured=True,
        universe=5,
        invalid="",
        cursor=None,
        tail=None,
        rows=0,
        signals=0,
        due=SESSION - timedelta(days=1),
        due_at=NOW - timedelta(hours=16),
    )
    return window_of(poll, book="us_five", session=SESSION, earlier=None)


def looked(counts, url):
    """Give what is counted, in an order of its own, for it is no promise."""
    with JournalReader(url).at_one_moment() as journal:
        found = counts.look(journal, **LOOKED_AT)
    return (
        {objective: sorted(rows) for objective, rows in found.counts.items()},
        {objective: sorted(rows) for objective, rows in found.recent.items()},
        found.burns(),
    )


@pytest.fixture
def url(database):
    return database.url


def test_after_every_step_what_is_kept_is_what_a_count_of_everything_says(url):
    kept, seen, told = ServiceCounts(), [], set()

    def look(name):
        whole = looked(ServiceCounts(), url)
        assert looked(kept, url) == whole, name
        seen.append(name)
        told.add(repr(whole))

    with SqlJournal(url) as journal:
        watched = Watched(journal, look)
        for minutes in (0, 1):
            JournalSignals(journal).keep(
                a_window(NOW + timedelta(minutes=minutes)), lane="simulated", now=NOW
            )
            look("keep")
        parked = a_parked_intent(watched)
        concluded_absent(watched, parked, now=CLOSE)
        watched.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)

    counts, recent, burns = looked(kept, url)
    by_objective = {objective: [(row.good, row.total) for row in rows] for objective, rows in counts.items()}
    assert by_objective == {
        Objective.AVAILABILITY: [(1, 1)],
        Objective.LATENCY: [(1, 1)],
        Objective.FRESHNESS: [(0, 2)],
        Objective.EXECUTION: [],
    }
    assert [one.at for one in recent[Objective.LATENCY]] == [OPEN]
    assert {one.objective: one.burn for one in burns if one.pair.long == "3d"} == {
        Objective.AVAILABILITY: 0.0,
        Objective.LATENCY: 0.0,
        Objective.FRESHNESS: None,
        Objective.EXECUTION: None,
    }
    assert {"prepare", "mark_unknown", "settle"} <= set(seen)
    assert len(told) > 5


def test_two_windows_without_quotes_burn_freshness_a_hundred_times_too_fast(url):
    with SqlJournal(url) as journal:
        for minutes in (1, 0):
            at = LOOKED_AT["now"] - timedelta(minutes=minutes)
            JournalSignals(journal).keep(a_window(at), lane="simulated", now=NOW)

    _, _, burns = looked(ServiceCounts(), url)

    assert {one.pair.long: one.burn for one in burns if one.objective is Objective.FRESHNESS} == {
        "1h": 100.0,
        "6h": 100.0,
        "3d": 100.0,
    }


def test_only_sessions_that_something_happened_to_are_counted_again(url):
    kept = ServiceCounts()
    with SqlJournal(url) as journal:
        a_parked_intent(journal)
        looked(kept, url)
        asked = []
        with JournalReader(url).at_one_moment() as held:
            for name in ("session_times", "answers_to_sends", "concluded_sends", "signal_windows"):
                setattr(held, name, lambda *_, name=name, **__: asked.append(name))
            kept.look(held, **LOOKED_AT)

    assert asked == []


def test_a_journal_put_in_the_place_of_another_is_counted_from_the_start(url, new_database):
    other = new_database().url
    with SqlJournal(url) as journal:
        a_parked_intent(journal)
    kept = ServiceCounts()
    looked(kept, url)

    counts, _, _ = looked(kept, other)
    assert counts[Objective.LATENCY] == []


def test_a_look_at_one_book_hides_nothing_from_a_later_look_at_all(url):
    kept = ServiceCounts()
    with SqlJournal(url) as journal:
        looked(kept, url)
        JournalSignals(journal).keep(a_window(NOW), lane="simulated", now=NOW)
        a_parked_intent(journal)
        with JournalReader(url).at_one_moment() as reader:
            kept.look(reader, **{**LOOKED_AT, "calendars": {"us_wide": CALENDAR}})

    assert looked(kept, url) == looked(ServiceCounts(), url)
