"""The course of a session is read from a real journal: its own events, and nothing of what came behind it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from resources.session_courses import JournalCourses
from tests.console.states import BEFORE, CLOSE, NOW, OF, OPENED, SESSION
from trading.journal import RunControlAction, StageRun
from trading.session_course import SessionCourse

BY = {"actor": "ann", "reason": "drill"}
ACCOUNT = "SIM-FIVE"


@pytest.fixture
def journal(database):
    with database.open() as opened:
        yield opened


def course_of(journal, session=SESSION):
    of = {"book": OF["book"], "lane": OF["lane"]}
    return JournalCourses(journal, **of, account=ACCOUNT).course_of(session)


def settled(journal, of):
    journal.opening_book(**of, previous=None, opened=OPENED, now=NOW)
    journal.settle(**of, closing=OPENED, carried_by="ann", now=CLOSE)


def test_a_session_that_is_not_settled_has_no_course(journal):
    journal.record_refusal(**OF, stage="intents", reason="stale", now=NOW)

    assert course_of(journal) is None


def test_a_run_of_a_stage_is_the_sessions_until_the_stage_ends_that_settled_it(journal):
    def ran(stage, began_at):
        run = StageRun(stage, "r1", began_at, began_at + timedelta(seconds=2), passed=True)
        journal.record_stage_run(**OF, run=run)
        return run

    first = ran("intents", NOW)
    settled(journal, OF)
    last = ran("positions", CLOSE)
    ran("intents", CLOSE + timedelta(seconds=9))  # began behind the settlement
    ran("broker_positions", NOW)  # began before it, and ends behind the session's last stage

    assert course_of(journal).runs == (first, last)


def test_a_course_has_what_happened_since_the_settlement_before_and_until_its_own(journal):
    journal.set_run_control(RunControlAction.HALT, **BY, now=NOW)  # of the session before
    journal.record_refusal(**OF, stage="opening_book", reason="not settled yet", now=NOW)  # this one, early
    settled(journal, {**OF, "session": BEFORE})
    journal.set_run_control(RunControlAction.RESUME, **BY, now=NOW)
    journal.record_refusal(**{**OF, "book": "us_wide"}, stage="intents", reason="stale", now=NOW)
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    journal.record_refusal(**OF, stage="intents", reason="stale", now=NOW)
    journal.record_retry(**OF, **BY, now=NOW)
    journal.settle(**OF, closing=OPENED, carried_by="ann", now=CLOSE)
    at_settlement = course_of(journal)
    journal.set_run_control(RunControlAction.PAUSE, **BY, now=CLOSE + timedelta(hours=1))

    assert at_settlement == SessionCourse(refused=("opening_book", "intents"), resumptions=1, retries=1)
    assert course_of(journal) == at_settlement
    assert course_of(journal, BEFORE) == SessionCourse(halts=1)
