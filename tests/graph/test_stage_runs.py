"""By a clock that goes, the metrics tell how long each stage and each run of a session took."""

from __future__ import annotations

from datetime import timedelta

from resources.clocks import SimulatedClock
from resources.journal.store import SqlJournal
from tests.graph.desk import CALENDAR, FIRST, Desk, copied, failure_of
from trading.errors import JournalUnavailable, OutOfOrder
from trading.session_course import STAGES


class GoingClock:
    """Tell the session's time, or where it was told before, a hundredth of a second more."""

    def __init__(self):
        self._still = SimulatedClock(calendar=CALENDAR)
        self._last = CALENDAR.opens_at(FIRST) - timedelta(days=1)

    def now(self, session, phase):
        self._last = max(self._last + timedelta(milliseconds=10), self._still.now(session, phase))
        return self._last

    def today(self, calendar, last_data_session):
        return self._still.today(calendar, last_data_session)


class Untimed(SqlJournal):
    """Be a journal that stores everything but how long a stage took."""

    def record_stage_run(self, **_):
        raise JournalUnavailable("planted: the disk is full")


def test_a_stage_that_passed_has_passed_where_its_time_cannot_be_stored(imported, tmp_path):
    clock = GoingClock()
    desk = Desk(
        copied(imported.folder, tmp_path / "desk"),
        ports={
            "clocks": lambda profiled: dict.fromkeys(profiled.books, clock),
            "journal": lambda profiled: Untimed(profiled.settings.journal_url),
        },
    )
    try:
        run = desk.run("session", FIRST)

        assert failure_of(run) == ("", "")
        measured = {row.name: row.value for row in desk.rows("metrics", FIRST)}
        assert measured["run.total"] is None
    finally:
        desk.close()


class Babbling(SqlJournal):
    """Be a journal that opens no book, and says why in words that no journal keeps."""

    def opening_book(self, **_):
        raise OutOfOrder("planted: \0 half \ud83d a character " + "and so on " * 2_000)


def test_a_stage_that_refuses_in_words_that_nobody_keeps_has_refused(imported, tmp_path):
    desk = Desk(
        copied(imported.folder, tmp_path / "desk"),
        ports={"journal": lambda profiled: Babbling(profiled.settings.journal_url)},
    )
    try:
        run = desk.run("session", FIRST)
        refused = desk.journal.session_record(book=desk.book, lane="simulated", session=FIRST)

        assert not run.success
        assert refused.refused.startswith("opening_book: planted:   half ? a character and so on")
    finally:
        desk.close()


def test_each_stage_and_run_of_a_session_has_its_time_which_running_it_again_leaves(imported, tmp_path):
    clock = GoingClock()
    desk = Desk(
        copied(imported.folder, tmp_path / "desk"),
        ports={"clocks": lambda profiled: dict.fromkeys(profiled.books, clock)},
    )
    try:
        run = desk.run("session", FIRST)
        rows = desk.rows("metrics", FIRST)
        again = desk.run("session", FIRST)

        assert (failure_of(run), failure_of(again)) == (("", ""), ("", ""))
        assert desk.rows("metrics", FIRST) == rows
        measured = {row.name: row.value for row in rows}
        times = {stage: measured[f"stage.latency_seconds.{stage}"] for stage in STAGES}
        assert [stage for stage, took in times.items() if not took] == []
        assert measured["run.total"] == 1
        assert measured[f"run.success.{run.run_id}"] == 1
        assert measured["run.latency_seconds.max"] > sum(times.values())
    finally:
        desk.close()
