"""The ladder in a journal: it survives a restart and a rebuild, steps back once, people raise it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from resources.advisor_ladder import JournalLadder, ladder_log
from resources.audit_log import events_in, project
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from trading.advice import Ladder
from trading.advice_ladder import (
    LadderEvent,
    LadderFacts,
    LadderRules,
    LiftStanding,
    ModelLock,
    evaluated,
    ladder_log_of,
    moved,
)
from trading.advisor_calls import ErrorBudget
from trading.errors import Refused
from trading.rebuild import rebuild
from trading.testing import example_call

LOCK = ModelLock(
    models=("small-1",),
    prompt_name="advice",
    prompt_version="1",
    template_sha="t" * 64,
    schema_version="advice.v1",
)
BOOK = "us_five"
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 13, 45, tzinfo=UTC)


def ladder_on(path, **changes):
    given = {"ceiling": Ladder.VETO, "lock": LOCK, "budget": ErrorBudget(calls_min=2)} | changes
    return JournalLadder(SqlJournal(f"sqlite:///{path}"), **given)


def lower(ladder, after, *, now=NOW):
    def asked(log):
        facts = LadderFacts(lock=LOCK, log=log, sessions=(), as_of=now)
        return moved(
            facts, LadderRules(), book=BOOK, ceiling=Ladder.VETO, after=after, actor="ann", reason="rehearsal"
        )

    return ladder.store(BOOK, asked, now=now)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


FAILED = [example_call(ok=False, error_type="time_out")] * 2


def observe(ladder, *, recent=(), strays=0, now=NOW):
    return ladder.observe(BOOK, SESSION, recent=recent, strays=strays, now=now)


def test_a_step_back_is_stored_once_and_stands_after_a_restart(path):
    first = ladder_on(path)
    assert first.in_force(BOOK).step is Ladder.SHADOW

    assert observe(first, recent=FAILED) == "error_rate_breached"
    assert observe(first, recent=FAILED) == ""  # the same session again

    second = ladder_on(path)
    assert second.in_force(BOOK).step is Ladder.OFF
    assert second.in_force("another").step is Ladder.SHADOW
    assert [move.reason for move in second.log(BOOK).moves] == ["error_rate_breached"]


def test_two_runs_of_one_session_step_back_once(path):
    ladder = ladder_on(path)
    body = {"before": 1, "after": 2, "lock_sha": LOCK.sha()}
    ladder.store(
        BOOK,
        lambda _: LadderEvent("advisor_moved", body, BOOK, "ann", "evidence"),
        now=NOW - timedelta(days=1),
    )

    assert observe(ladder, strays=1) == "advice_guard_mismatch"
    assert observe(ladder, strays=1) == ""
    assert ladder.in_force(BOOK).step is Ladder.SHADOW


def test_only_a_person_ends_a_step_back(path):
    ladder = ladder_on(path)
    observe(ladder, strays=1)
    assert ladder.log(BOOK).stepped_back is not None

    lower(ladder, Ladder.OFF, now=NOW + timedelta(hours=1))

    assert ladder.log(BOOK).stepped_back is None
    assert ladder.in_force(BOOK).step is Ladder.OFF


def test_a_raise_without_evidence_stores_nothing(path):
    ladder = ladder_on(path)

    with pytest.raises(Refused, match="evaluated"):
        lower(ladder, Ladder.VETO)
    assert ladder.log(BOOK).moves == ()


def test_without_a_model_nothing_is_looked_at(path):
    ladder = ladder_on(path, lock=None)

    assert (observe(ladder, strays=1), ladder.in_force(BOOK).step) == ("", Ladder.OFF)


def test_a_reader_and_a_rebuild_of_the_log_know_the_same_ladder(path, tmp_path):
    ladder = ladder_on(path)
    lower(ladder, Ladder.OFF)
    ladder.store(
        BOOK,
        lambda _: evaluated(
            LOCK, book=BOOK, report_sha="r", standing=LiftStanding.GAINS, actor="ann", reason="month"
        ),
        now=NOW,
    )
    observe(ladder, strays=1)

    log = tmp_path / "audit.jsonl"
    with SqlJournal(f"sqlite:///{path}") as journal:
        project(journal, log)
    events = list(events_in(log))

    assert ladder_log(JournalReader(f"sqlite:///{path}"), BOOK) == ladder.log(BOOK)
    assert ladder_log_of(events, book=BOOK) == ladder.log(BOOK)
    assert not any(rebuild(events).values())  # history, and no row of any table
