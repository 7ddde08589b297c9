"""What pages ask of a journal, on both engines: counts, symbols, brokers' ids, messages, one moment."""

from __future__ import annotations

from datetime import date

import pytest

from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from tests.console.states import BEFORE, CLOSE, NOW, OF, OPENED, SESSION, filled, prepared
from trading.decisions import Outcome
from trading.journal import IntentCounts, RunControlAction
from trading.testing import example_decision, example_intent

WHERE = {"book": "us_five", "lane": "simulated"}


@pytest.fixture
def looked_at(database):
    """Give a journal with one intent filled, one blocked and one pending, and its reader."""
    with SqlJournal(database.url) as journal:
        journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
        outcomes = {
            "MSFT": Outcome.APPROVED,
            "IBM": Outcome.BLOCKED,
            "AAPL": Outcome.PENDING_APPROVAL,
        }
        rows = journal.register(
            **OF,
            decisions=[
                example_decision(example_intent(symbol), outcome=outcome, not_after=CLOSE)
                for symbol, outcome in outcomes.items()
            ],
            verdicts=[],
            decisions_sha="sha",
            now=NOW,
        )
        filled(journal, *prepared(journal, next(row for row in rows if row.intent.symbol == "MSFT")))
        yield journal, JournalReader(database.url)


def test_a_session_is_counted_by_what_came_of_its_intents(looked_at):
    _, reader = looked_at

    assert reader.intent_counts(**WHERE, first=BEFORE, last=SESSION) == {
        SESSION: IntentCounts(intents=3, blocked=1, filled=1)
    }
    assert reader.intent_counts(**WHERE, first=BEFORE, last=BEFORE) == {}


def test_intents_are_found_by_symbol_from_a_session_on_and_by_a_brokers_id(looked_at):
    _, reader = looked_at

    (row,) = reader.intents_of_symbol(**WHERE, symbol="IBM", first=BEFORE)
    (sent,) = reader.intents_by_broker_order_id("b-7", lane="simulated")

    assert (row.intent.symbol, sent.intent.symbol) == ("IBM", "MSFT")
    assert reader.intents_of_symbol(**WHERE, symbol="IBM", first=date(2013, 3, 1)) == []
    assert reader.intents_by_broker_order_id("b-8", lane="simulated") == []
    assert reader.intents_by_broker_order_id("b-7", lane="paper") == []


def test_the_latest_troubles_come_first_and_no_more_than_asked_for(looked_at):
    journal, reader = looked_at
    for action in (RunControlAction.PAUSE, RunControlAction.RESUME, RunControlAction.HALT):
        journal.set_run_control(action, actor="anna", reason=action.value, now=NOW)

    assert [event.reason for event in reader.troubles(last=2)] == ["halt", "resume"]
    assert {event.kind for event in reader.troubles(last=99)} == {"run_control"}


def test_messages_are_told_apart_by_whether_they_reached_anybody(looked_at):
    journal, reader = looked_at
    for number in range(3):
        journal.enqueue(
            dedup_key=str(number),
            channel="stdout",
            severity="warning",
            subject=str(number),
            body="b",
            now=NOW,
        )

    assert [row.subject for row in reader.last_messages(last=2)] == ["2", "1"]
    assert [row.subject for row in reader.undelivered()] == ["0", "1", "2"]


def test_all_answers_of_one_look_are_as_of_the_same_moment(looked_at):
    journal, reader = looked_at
    with reader.at_one_moment() as still:
        before = still.run_control()
        journal.set_run_control(RunControlAction.HALT, actor="anna", reason="now", now=NOW)

        assert still.run_control() == before
        assert still.exists
        assert reader.run_control().kill_switch_on


def test_a_look_at_no_journal_finds_nothing(tmp_path):
    with JournalReader(tmp_path / "none.db").at_one_moment() as still:
        assert not still.exists
        assert still.halts() == []
