"""Importing quotes: a range in one run says of every session what a run of that session would."""

from __future__ import annotations

from collections import Counter

import dagster as dg
import pytest

from tests.graph.desk import CALENDAR, FIRST, SESSIONS, WIDE_SESSIONS, WINDOW, failure_of
from trading.quotes import Quarantined, Quote

CHECKS = ("quotes_satisfy_the_suite", "session_is_fit_to_decide_on")
UNFIT = "2010-08-18"


def evaluations_of(events):
    return [
        event.event_specific_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]


def sessions_of(first, last):
    return [str(day) for day in CALENDAR.between(first, last)]


@pytest.fixture
def wide(imported_wide, desk_on):
    return desk_on(imported_wide.folder, book="us_wide")


def test_a_range_in_one_run_evaluates_each_check_once_for_each_session(imported):
    evaluations = evaluations_of(imported.events)
    counts = Counter((check.check_name, check.partition) for check in evaluations)
    wanted = sessions_of(CALENDAR.before(FIRST, WINDOW)[0], SESSIONS[-1])

    assert len(wanted) == 138
    for name in CHECKS:
        assert {(check, day): 1 for check, day in counts if check == name and day} == {
            (name, day): 1 for day in wanted
        }


def test_a_range_makes_every_session_of_it(imported, desk_on):
    desk = desk_on(imported.folder)
    wanted = sessions_of(CALENDAR.before(FIRST, WINDOW)[0], SESSIONS[-1])

    for asset in ("market_quotes", "quarantined_quotes"):
        made = [
            event.partition
            for event in imported.events
            if event.is_step_materialization and event.asset_key.path[1] == asset
        ]
        assert sorted(made) == wanted
        assert list(desk.lake.partitions(("us_five", asset))) == wanted


def test_the_last_evaluation_of_each_session_is_its_own(imported_wide):
    fit = {
        check.partition: check.passed
        for check in evaluations_of(imported_wide.events)
        if check.check_name == "session_is_fit_to_decide_on" and check.partition
    }

    assert fit[UNFIT] is False
    assert {day for day, passed in fit.items() if not passed} == {UNFIT}
    assert len(fit) == 132


def test_an_unfit_session_is_marked_in_its_table_and_has_no_quote(wide):
    pointer = wide.lake.require(("us_wide", "market_quotes"), UNFIT)

    assert pointer.extra["unfit_reason"] == "no row at all for 2010-08-18"
    assert pointer.rows == 0
    assert "unfit_reason" not in wide.lake.require(("us_wide", "market_quotes"), "2010-08-17").extra


def test_what_may_not_be_decided_on_is_quarantined_with_its_reason(wide):
    rows, _ = wide.lake.read_rows(("us_wide", "quarantined_quotes"), UNFIT, Quarantined)

    assert rows
    assert all(row.reason and row.detail for row in rows)
    assert not any(row.releasable for row in rows), "a gap cannot be released"


@pytest.mark.parametrize("book", ["us_five", "us_wide"])
def test_sessions_imported_one_by_one_are_the_bytes_of_the_range(imported, imported_wide, desk_on, book):
    folder = {"us_five": imported, "us_wide": imported_wide}[book].folder
    days = {"us_five": SESSIONS[-3:], "us_wide": WIDE_SESSIONS}[book]
    desk = desk_on(folder, book=book)
    before = desk.files()
    for day in days:
        for asset in ("market_quotes", "quarantined_quotes"):
            for path in (desk.lake.root / book / asset / str(day)).iterdir():
                path.unlink()

    for day in days:
        assert failure_of(desk.run("import_quotes", day)) == ("", "")

    assert desk.files() == before


def test_a_range_imported_again_changes_nothing(imported, desk_on):
    desk = desk_on(imported.folder)
    before = desk.files()

    assert desk.import_quotes(SESSIONS[0], SESSIONS[-1]).success

    assert desk.files() == before


def test_a_released_row_is_accepted_when_its_session_is_imported_again_and_marked(wide):
    day, row = next(
        (day, row)
        for day in wide.lake.partitions(("us_wide", "quarantined_quotes"))
        for row in wide.lake.read_rows(("us_wide", "quarantined_quotes"), day, Quarantined)[0]
        if row.releasable
    )
    accepted = wide.lake.require(("us_wide", "market_quotes"), day).rows
    wide.journal.release_quote(
        row_id=row.row_id, actor="anna", reason="seen on the tape", now=CALENDAR.closes_at(FIRST)
    )

    assert failure_of(wide.run("import_quotes", row.session)) == ("", "")

    quotes, pointer = wide.lake.read_rows(("us_wide", "market_quotes"), day, Quote)
    held, _ = wide.lake.read_rows(("us_wide", "quarantined_quotes"), day, Quarantined)
    assert pointer.rows == accepted + 1
    assert [quote.symbol for quote in quotes if quote.released] == [row.symbol]
    assert row.row_id not in {one.row_id for one in held}
    assert pointer.previous_sha is not None, "what was known before the release is kept"
