"""Totals over all sessions, kept between looks: always what a count of everything says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console.totals import Totals
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from tests.console.states import (
    CLOSE,
    NOW,
    OF,
    OPENED,
    SESSION,
    a_filled_intent,
    concluded_absent,
    prepared,
    verdicts_on,
)
from trading.decisions import Outcome
from trading.testing import example_decision, example_intent

KEPT_FOR = {"books": ("us_five", "us_wide"), "lane": "simulated"}


class Watched:
    """Stand before a journal, and look at its totals after every call of it."""

    def __init__(self, journal, look):
        self._journal, self._look = journal, look

    def __getattr__(self, name):
        called = getattr(self._journal, name)

        def watched(*given, **named):
            came = called(*given, **named)
            self._look(name)
            return came

        return watched


def rows_of(totals, url):
    with JournalReader(url).at_one_moment() as journal:
        return {
            question: sorted(tuple(row.values()) for row in map(dict, rows))
            for question, rows in totals.rows(journal, **KEPT_FOR).items()
        }


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'journal.db'}"


def test_after_every_step_of_intents_of_two_sessions_the_kept_totals_are_those_of_a_whole_count(url):
    kept, seen, states = Totals(), [], set()

    def look(name):
        whole = rows_of(Totals(), url)
        assert rows_of(kept, url) == whole, name
        seen.append(name)
        states.add(repr(whole))

    with SqlJournal(url) as journal:
        watched = Watched(journal, look)
        a_filled_intent(watched)
        later = SESSION + timedelta(days=1)
        intents = [example_intent(symbol, session=later) for symbol in ("IBM", "MSFT", "GE")]
        outcomes = (Outcome.APPROVED, Outcome.APPROVED, Outcome.BLOCKED)
        of = {**OF, "session": later}
        watched.settle(**OF, closing=OPENED, carried_by="", now=NOW)
        watched.opening_book(**of, previous=SESSION, opened=OPENED, now=NOW)
        rows = watched.register(
            **of,
            decisions=[
                example_decision(intent, outcome=outcome, not_after=CLOSE + timedelta(days=1))
                for intent, outcome in zip(intents, outcomes, strict=True)
            ],
            verdicts=[one for intent in intents[:2] for one in verdicts_on(intent)]
            + verdicts_on(intents[2], stopped_by="symbol_cap"),
            decisions_sha="sha",
            now=NOW,
        )
        claimed, _ = prepared(watched, rows[0])
        watched.mark_unknown(
            claimed.intent_id, epoch=claimed.epoch, reason="time out", is_takeover=False, now=CLOSE
        )
        parked = watched.park(claimed.intent_id, epoch=claimed.epoch, reason="absent", now=CLOSE)
        concluded_absent(watched, parked, now=CLOSE)

    assert {"register", "claim", "prepare", "acknowledge", "record_fill", "close_working", "park"} <= set(
        seen
    )
    assert len(states) > 8


def test_only_sessions_that_something_happened_to_are_counted_again(url):
    kept = Totals()
    with SqlJournal(url) as journal:
        a_filled_intent(journal)
        before = rows_of(kept, url)
        asked = []
        with JournalReader(url).at_one_moment() as held:
            held.counted = lambda question, **_: asked.append(question)
            kept.rows(held, **KEPT_FOR)

    assert asked == []
    assert before["count_orders_by_status"] == [("us_five", str(SESSION), "filled", 1, 1)]


def test_a_journal_put_in_the_place_of_another_is_counted_from_the_start(url, tmp_path):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with SqlJournal(url) as journal:
        a_filled_intent(journal)
    with SqlJournal(other):
        pass
    kept = Totals()
    rows_of(kept, url)

    assert rows_of(kept, other)["count_intents_by_state"] == []
