"""Sessions out of order: each does what it would have done in order, or is refused with what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from resources.journal.store import SqlJournal
from tests.graph.desk import CALENDAR, FIRST, SESSIONS, Desk, copied, failure_of
from trading.control import RunControlAction
from trading.quotes import RawBar

DAYS = SESSIONS[:4]
"""Sessions that are run in one order and another; in each the book trades."""


LONG_AGO = datetime(2013, 1, 2, tzinfo=UTC)


def books(desk: Desk) -> dict[Any, str]:
    records = {day: desk.journal.session_record(**desk.where(day)) for day in DAYS}
    return {day: f"{record.opening_sha} {record.closing_sha}" for day, record in records.items() if record}


@pytest.fixture(scope="module")
def ran(whole_session, tmp_path_factory):
    """Give a desk on which the days ran one after the other, and its folder after each of them."""
    first, result = whole_session
    desk = Desk(copied(first.settings.state_dir, tmp_path_factory.mktemp("order") / "desk"))
    after = {}
    for day in DAYS:
        if day != FIRST:
            result = desk.run("session", day)
        assert result.success, failure_of(result)
        desk.journal.close()
        after[day] = copied(desk.settings.state_dir, tmp_path_factory.mktemp(f"after-{day}") / "desk")
    yield desk, after
    desk.close()


@pytest.fixture
def in_order(ran):
    return ran[0]


@pytest.fixture
def after_one(ran):
    return ran[1][DAYS[0]]


@pytest.fixture
def after_two(ran):
    return ran[1][DAYS[1]]


def test_on_a_journal_that_its_audit_log_does_not_know_nothing_is_decided(after_one, desk_on, tmp_path):
    desk = desk_on(after_one)
    before = desk.files()
    journal = desk.settings.profile_dir / "journal.db"
    kept = journal.rename(tmp_path / "kept.db")
    with SqlJournal(f"sqlite:///{journal}") as another:
        another.set_run_control(RunControlAction.RESUME, actor="ann", reason="begun anew", now=LONG_AGO)
    strange = desk_on(name="desk")
    stage, told = failure_of(strange.run("session", DAYS[0]))
    strange.journal.close()
    kept.rename(journal)
    restored = desk_on(name="desk")

    assert stage == "opening_book"
    assert "the journal was emptied, or is an older or another one" in told
    assert {name: sha for name, sha in restored.files().items() if name in before} == before
    assert restored.run("session", DAYS[1]).success


def test_a_run_makes_no_journal_in_the_place_of_one_that_is_gone(after_one, desk_on, tmp_path):
    desk = desk_on(after_one)
    journal = desk.settings.profile_dir / "journal.db"
    kept = journal.rename(tmp_path / "kept.db")
    result = desk.run("session", DAYS[1])
    is_made = journal.exists()
    kept.rename(journal)

    (unmade,) = [each for each in result.all_events if each.event_type_value == "RESOURCE_INIT_FAILURE"]
    assert "is missing or empty, but its audit log tells" in unmade.engine_event_data.error.message
    assert not is_made
    assert desk.run("session", DAYS[1]).success


def test_sessions_launched_in_shuffled_order_wait_for_the_one_before_and_end_as_in_order(
    in_order, after_one, desk_on
):
    desk = desk_on(after_one)
    refused = {}
    waiting = [DAYS[2], DAYS[3], DAYS[1]]
    rounds = 0
    while waiting:
        rounds += 1
        still = []
        for day in waiting:
            result = desk.run("session", day)
            if not result.success:
                refused[day] = failure_of(result)
                still.append(day)
        assert len(still) < len(waiting), refused
        waiting = still

    assert rounds == 2
    assert set(refused) == {DAYS[2], DAYS[3]}
    stage, told = refused[DAYS[2]]
    assert stage == "opening_book"
    assert f"the session before, {DAYS[1]}, was never opened" in told
    assert "run it first, or carry the book over it as a named person" in told
    assert books(desk) == books(in_order)
    assert desk.outcome() == in_order.outcome()
    assert desk.sent() == in_order.sent()


def test_a_refused_session_leaves_its_reason_in_the_journal_and_nothing_in_the_lake(after_two, desk_on):
    desk = desk_on(after_two)
    before = desk.files()

    assert not desk.run("session", DAYS[3]).success

    record = desk.journal.session_record(**desk.where(DAYS[3]))
    assert record.refused.startswith("opening_book: ")
    assert str(DAYS[2]) in record.refused
    changed = {place for place, sha in desk.files().items() if before.get(place) != sha}
    # Quotes and candidates know nothing of the book: all that stands on it is missing.
    assert {place.split("/")[0] for place in changed} <= {"candidates", "market_quotes", "quarantined_quotes"}


def test_a_session_before_the_book_opened_is_refused(after_two, desk_on):
    desk = desk_on(after_two)
    earlier = CALENDAR.previous(FIRST)

    stage, told = failure_of(desk.run("decide", earlier))

    assert stage in {"opening_book", "candidates"}
    assert desk.journal.intents(**desk.where(earlier)) == []
    refused = desk.journal.session_record(**desk.where(earlier)).refused
    assert f"the book opened on {FIRST}, after it" in f"{told} {refused}"


class FailingOnce:
    """Give real bars, but fail the first time as a source that cannot be reached."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.is_failing = True
        self.name = real.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def raw_bars(self, first: Any, last: Any) -> list[RawBar]:
        if self.is_failing:
            self.is_failing = False
            raise OSError("the source cannot be reached")
        return self._real.raw_bars(first, last)


def test_after_a_session_that_failed_halfway_the_next_waits_until_it_ran_again(in_order, after_two, desk_on):
    source: dict[str, FailingOnce] = {}

    def sources(profiled: Any) -> Any:
        source.setdefault("us_five", FailingOnce(profiled.sources["us_five"]))
        return source

    desk = desk_on(after_two, ports={"sources": sources})
    failed = desk.run("session", DAYS[2])
    early = desk.run("session", DAYS[3])

    assert failure_of(failed)[0] == "market_quotes"
    assert failure_of(early)[0] == "opening_book"
    assert f"{DAYS[2]}, is not settled" in failure_of(early)[1]
    for day in DAYS[2:]:
        assert desk.run("session", day).success
    assert books(desk) == books(in_order)
    assert desk.outcome() == in_order.outcome()
    assert desk.sent() == in_order.sent()


@pytest.mark.parametrize("what", ["decide", "execute", "settle"])
def test_a_session_run_again_after_the_next_is_settled_changes_nothing(in_order, desk_on, what):
    before = in_order.files()
    desk = desk_on(in_order.settings.state_dir)

    result = desk.run(what, DAYS[1])

    assert failure_of(result) == ("", "")
    assert desk.files() == before
    assert desk.sent() == in_order.sent()
    assert books(desk) == books(in_order)


def test_a_settlement_before_the_decision_is_refused(after_two, desk_on):
    desk = desk_on(after_two)

    result = desk.run("settle", DAYS[2])

    assert not result.success
    record = desk.journal.session_record(**desk.where(DAYS[2]))
    assert record is None or record.settled_at is None
    assert "opening_book" in failure_of(result)[1]
    assert f"trading run-once --book us_five --session {DAYS[2]}" in failure_of(result)[1]


def test_an_execution_before_the_decision_is_refused_with_the_command_to_run(after_two, desk_on):
    desk = desk_on(after_two)
    sent = desk.sent()

    result = desk.run("execute", DAYS[2])

    assert not result.success
    assert f"trading run-once --book us_five --session {DAYS[2]}" in failure_of(result)[1]
    assert desk.sent() == sent


def test_a_settlement_with_something_approved_and_not_executed_is_refused(after_two, desk_on):
    desk = desk_on(after_two)
    assert desk.run("decide", DAYS[2]).success  # and nobody executed it

    result = desk.run("settle", DAYS[2])

    stage, told = failure_of(result)
    assert stage == "order_status"
    assert "1 approved intent was never executed (GOOG); " in told
    assert f"`trading run-once --book us_five --session {DAYS[2]} --phase execute` does it" in told
    assert "--carry" in told
    assert desk.journal.session_record(**desk.where(DAYS[2])).settled_at is None
