"""A whole session of the graph: what every stage leaves behind, and that the tables tell one story."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from jobs.session_jobs import SESSION
from tests.graph.desk import FIRST, LANE, failure_of
from trading.decisions import Outcome
from trading.guards import GUARDS
from trading.lifecycle import IntentState
from trading.positions import book_from_rows


@pytest.fixture
def desk(whole_session):
    return whole_session[0]


@pytest.fixture
def run(whole_session):
    return whole_session[1]


def made_by(run):
    return {
        event.asset_key.path[1]: event.step_materialization_data.materialization
        for event in run.all_events
        if event.is_step_materialization
    }


def checks_of(run):
    return {check.check_name: check for check in run.get_asset_check_evaluations()}


def test_every_stage_of_a_session_is_materialized(run):
    assert failure_of(run) == ("", "")
    assert set(made_by(run)) == set(SESSION)


def test_the_data_version_of_every_table_is_the_hash_of_its_file(desk, run):
    for asset, materialization in made_by(run).items():
        path = Path(str(materialization.metadata["path"].value))
        sha = hashlib.sha256(path.read_bytes()).hexdigest()

        assert path.name == f"{sha}.parquet"
        assert materialization.tags["dagster/data_version"] == sha
        assert desk.lake.pointer((desk.book, asset), str(FIRST)).sha == sha


def test_every_table_says_what_it_was_made_from(run):
    inputs = {asset: made.metadata["inputs_sha"].value for asset, made in made_by(run).items()}

    assert [asset for asset, sha in inputs.items() if not sha] == []


def test_every_check_of_a_clean_session_passes_but_the_one_that_shows_blocked_intents(run):
    assert {name for name, check in checks_of(run).items() if not check.passed} == {"no_intent_is_blocked"}
    assert len(checks_of(run)) == 19


def test_a_blocked_intent_is_shown_with_its_reason_what_was_observed_and_the_limit(run):
    check = checks_of(run)["no_intent_is_blocked"]

    (shown,) = check.metadata["why"].records
    assert (shown.data["symbol"], shown.data["reason"]) == ("FB", "symbol_not_allowed")
    assert shown.data["observed"] == 0
    assert shown.data["limit"] == 1
    assert check.severity.value == "WARN"


def test_what_was_approved_is_filled_and_what_was_blocked_was_never_sent(desk):
    decided = {row.symbol: row for row in desk.rows("decisions", FIRST)}
    executed = {row.symbol: row for row in desk.rows("executions", FIRST)}

    assert decided["FB"].outcome is Outcome.BLOCKED
    assert (executed["FB"].client_order_id, executed["FB"].state) == ("", IntentState.REJECTED)
    assert decided["IBM"].outcome is Outcome.APPROVED
    assert executed["IBM"].filled_quantity == executed["IBM"].submitted_quantity == decided["IBM"].quantity
    assert desk.sent() == [(executed["IBM"].client_order_id, "IBM", decided["IBM"].quantity)]


def test_each_stage_counts_what_the_one_before_handed_on(desk):
    intents = {row.intent_key for row in desk.rows("intents", FIRST)}
    judged = {row.intent_key for row in desk.rows("verdicts", FIRST)}
    decided = desk.rows("decisions", FIRST)
    registered = desk.journal.intents(**desk.where(FIRST))

    assert judged == intents == {row.intent_key for row in decided}
    assert len(desk.rows("verdicts", FIRST)) == len(GUARDS) * len(intents)
    assert {row.intent_id for row in decided} == {row.intent_id for row in registered}
    assert {row.intent_id for row in desk.rows("executions", FIRST)} == {row.intent_id for row in registered}
    assert {row.intent_id for row in desk.rows("order_status", FIRST)} == {
        row.intent_id for row in registered
    }
    assert all(row.terminal for row in desk.rows("order_status", FIRST))


def test_the_metrics_count_the_same_funnel_as_the_tables(desk):
    numbers = {row.name: row.value for row in desk.rows("metrics", FIRST)}

    assert numbers["execution.intents_created"] == len(desk.rows("intents", FIRST)) == 2
    assert numbers["execution.intents_blocked"] == 1
    assert numbers["execution.intents_approved"] == 1
    assert numbers["execution.intents_executed"] == 1


def test_the_positions_are_the_book_that_the_journal_settled(desk):
    record = desk.journal.session_record(**desk.where(FIRST))
    book = book_from_rows(desk.rows("positions", FIRST))

    assert record.settled_at is not None
    assert record.closing == book
    assert book.quantity_of("IBM") == desk.sent()[0][2]
    spent = sum(
        fill.notional_micros + fill.commission_micros for fill in desk.journal.fills(**desk.where(FIRST))
    )
    assert book.cash_micros == desk.profiled.books[desk.book].deposit_micros - spent


def test_the_report_of_the_session_is_two_files_that_the_table_names(desk):
    for row in desk.rows("daily_report", FIRST):
        path = desk.settings.profile_dir / "reports" / row.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha
        assert desk.book in row.path
    assert {row.kind for row in desk.rows("daily_report", FIRST)} == {"html", "json"}


def test_nothing_is_refused_and_the_lane_is_the_simulated_one(desk):
    assert desk.journal.session_record(**desk.where(FIRST)).refused == ""
    assert {row.lane for row in desk.rows("decisions", FIRST)} == {LANE}
    assert desk.journal.incidents() == []
