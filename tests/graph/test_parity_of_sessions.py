"""A session decided live is decided again from its record, to the bit, or the row that differs is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from console.cli import main
from console.desk import open_desk
from console.parity import parity_in
from tests.graph.desk import CALENDAR, FIRST, LANE, SESSIONS, WIDE_SESSIONS, failure_of
from trading.candidates import Candidate
from trading.decisions import DecisionRow
from trading.intents import Intent
from trading.quotes import Quote
from trading.recorded import mode_recorded, relived, session_difference
from trading.verdicts import Verdict

CHECK = "session_replays_the_same"


def check_of(run):
    return next(check for check in run.get_asset_check_evaluations() if check.check_name == CHECK)


def again(desk, session, **changes):
    """Decide a session again from its record, changed where the test says so."""
    config = desk.profiled.books[desk.book]
    recorded = desk.profiled.session_records[desk.book].recorded(session, equities=250)
    window = desk.profiled.windows[desk.book].window_before(session, config.rules.window_sessions)
    return session_difference(
        replace(recorded, **changes), config=config, lane=LANE, calendar=CALENDAR, window=window
    )


def recorded_of(desk, session):
    return desk.profiled.session_records[desk.book].recorded(session, equities=250)


def found_on(desk, session):
    return relived(
        session,
        config=desk.profiled.books[desk.book],
        lane=LANE,
        calendar=CALENDAR,
        windows=desk.profiled.windows[desk.book],
        records=desk.profiled.session_records[desk.book],
    )


@pytest.fixture
def altered(whole_session, desk_on):
    """Give a desk on which one table of a whole session is written anew with a changed row."""

    def alter(asset, row_type, change):
        desk = desk_on(whole_session[0].settings.state_dir)
        rows = [change(row) for row in desk.rows(asset, FIRST)]
        before = desk.lake.require((desk.book, asset), str(FIRST))
        desk.lake.write_rows(
            (desk.book, asset), str(FIRST), row_type, rows, inputs_sha=before.inputs_sha, extra=before.extra
        )
        return desk

    return alter


def test_a_session_that_ran_whole_replays_the_same_and_the_check_says_how_much(whole_session):
    desk, run = whole_session
    check = check_of(run)

    assert check.passed
    assert check.metadata["detail"].value == "5 candidates, 2 intents, the same to the bit"
    assert found_on(desk, FIRST).is_same


def test_a_session_of_the_wide_book_replays_the_same(imported_wide, desk_on):
    desk = desk_on(imported_wide.folder, book="us_wide")
    run = desk.run("session", WIDE_SESSIONS[0] if _decides(desk, WIDE_SESSIONS[0]) else WIDE_SESSIONS[1])

    assert failure_of(run) == ("", "")
    assert check_of(run).passed


def _decides(desk, session):
    """Say whether the quotes before a session are there: the wide data lacks a day."""
    return desk.lake.pointer((desk.book, "market_quotes"), str(CALENDAR.previous(session))).rows > 0


def test_sessions_one_after_the_other_replay_the_same_with_what_the_book_was_worth(whole_session, desk_on):
    desk = desk_on(whole_session[0].settings.state_dir)
    run = desk.run("session", SESSIONS[1])

    assert failure_of(run) == ("", "")
    assert check_of(run).passed
    assert len(recorded_of(desk, SESSIONS[1]).equities) == 1


def test_the_command_line_compares_the_decided_sessions_of_a_range(whole_session, monkeypatch):
    desk, _ = whole_session
    monkeypatch.setenv("TRADING_STATE_DIR", str(desk.settings.state_dir))

    for first, last, sessions in ((None, None, 1), (FIRST, FIRST, 1), (SESSIONS[1], None, 0)):
        found = parity_in(open_desk(), book=desk.book, first=first, last=last)
        assert (found.sessions, found.differing) == (sessions, ())


def test_a_replay_of_live_sessions_wants_what_live_wanted_and_half_of_it_from_half_the_deposit(
    whole_session, desk_on, monkeypatch, capsys
):
    """Live and replay are two paths to the same functions: from the same deposit they decide the same."""
    desk = desk_on(whole_session[0].settings.state_dir)
    monkeypatch.setenv("TRADING_STATE_DIR", str(desk.settings.state_dir))
    live = desk.rows("intents", FIRST)

    def replayed(*words):
        code = main(["replay", f"{FIRST}", "--book", desk.book, "--diff", "live", "--json", *words])
        return code, json.loads(capsys.readouterr().out)

    code, told = replayed()
    beside = told["beside_live"]
    assert (code, told["live"]["sessions"], told["live"]["differing"]) == (0, 1, [])
    assert (beside["sessions"], beside["same"], beside["first"]) == (1, len(live), None)
    code, told = replayed("--deposit", "500000")
    beside = told["beside_live"]
    assert (code, beside["same"], beside["differing"]) == (0, 0, len(live))
    first = min(row.symbol for row in live)
    assert (beside["first"]["key"], beside["first"]["column"]) == (f"{FIRST} {first} council", "quantity")


def first_of(rows, wanted):
    return next(row for row in rows if wanted(row))


CHANGED = {
    "intents quantity": (Intent, lambda row: replace(row, quantity=row.quantity + 1)),
    "intents price_micros": (Intent, lambda row: replace(row, price_micros=row.price_micros - 1)),
    "decisions quantity": (DecisionRow, lambda row: row._replace(quantity=row.quantity + 1)),
    "candidates score": (Candidate, lambda row: row._replace(score=row.score + 1e-9)),
}


@pytest.mark.parametrize("changed", CHANGED)
def test_one_changed_value_of_one_stored_row_is_named(altered, whole_session, changed):
    asset, _, column = changed.partition(" ")
    row_type, change = CHANGED[changed]
    untouched = whole_session[0].rows(asset, FIRST)
    last = untouched[-1]
    desk = altered(asset, row_type, lambda row: change(row) if row == last else row)

    found = found_on(desk, FIRST)

    key = last.symbol if asset == "candidates" else last.intent_key
    assert not found.is_same
    assert (found.difference.table, found.difference.key, found.difference.column) == (asset, key, column)
    assert found.difference.live == repr(getattr(change(last), column))
    assert found.difference.replayed == repr(getattr(last, column))


def test_a_guards_changed_limit_is_named_by_intent_and_guard(altered, whole_session):
    wanted = first_of(
        whole_session[0].rows("verdicts", FIRST), lambda row: row.guard == "symbol_cap" and row.limit > 0
    )
    desk = altered(
        "verdicts", Verdict, lambda row: row._replace(limit=row.limit + 1) if row == wanted else row
    )

    difference = found_on(desk, FIRST).difference

    assert difference.table == "verdicts"
    assert (difference.key, difference.column) == (f"{wanted.intent_key}/symbol_cap", "limit")
    assert (difference.live, difference.replayed) == (str(wanted.limit + 1), str(wanted.limit))


def test_a_quote_that_was_changed_afterwards_is_told_as_another_input(whole_session, desk_on):
    desk = desk_on(whole_session[0].settings.state_dir)
    asset, day = (desk.book, "market_quotes"), str(CALENDAR.previous(FIRST))
    quotes, _ = desk.lake.read_rows(asset, day, Quote)
    changed = [quotes[0]._replace(close_micros=quotes[0].close_micros + 1), *quotes[1:]]
    desk.lake.write_rows(asset, day, Quote, changed)

    difference = found_on(desk, FIRST).difference

    assert (difference.table, difference.key) == ("inputs", "quotes and actions")


def test_a_rule_that_was_changed_without_a_date_is_told_as_another_input(whole_session):
    desk, _ = whole_session
    config = desk.profiled.books[desk.book]
    rules = replace(config.rules, limits=replace(config.rules.limits, order_quantity_max=1))
    found = relived(
        FIRST,
        config=replace(config, rules=rules),
        lane=LANE,
        calendar=CALENDAR,
        windows=desk.profiled.windows[desk.book],
        records=desk.profiled.session_records[desk.book],
    )

    assert (found.difference.table, found.difference.key) == ("inputs", "everything, rules and limits too")


def test_what_the_journal_says_otherwise_than_the_lake_is_named_as_the_journals(whole_session):
    desk, _ = whole_session
    recorded = recorded_of(desk, FIRST)
    first, *others = recorded.intents_kept
    fewer = replace(first, quantity=first.quantity + 7)
    judged = {
        intent_id: tuple(
            row._replace(limit=row.limit + 1) if row.guard == "max_quantity" else row for row in verdicts
        )
        for intent_id, verdicts in recorded.verdicts_kept.items()
    }

    difference = again(desk, FIRST, intents_kept=(fewer, *others))
    assert (difference.table, difference.column) == ("journal intents", "quantity")
    assert difference.key == first.intent.intent_key
    difference = again(desk, FIRST, verdicts_kept=judged)
    assert (difference.table, difference.column) == ("journal verdicts", "limit")
    difference = again(desk, FIRST, chains={key: chain[:1] for key, chain in recorded.chains.items()})
    assert (difference.table, difference.column) == ("journal stages", "row")


def test_answers_of_people_after_the_decision_are_no_difference(whole_session):
    desk, _ = whole_session
    recorded = recorded_of(desk, FIRST)
    answered = {
        key: (*chain, chain[-1]._replace(actor="anna", at=chain[-1].expires_at))
        for key, chain in recorded.chains.items()
    }

    assert again(desk, FIRST, chains=answered) is None
    assert mode_recorded(answered) == mode_recorded(recorded.chains)


def test_a_table_whose_bytes_were_altered_is_no_equal_one(whole_session, desk_on):
    desk = desk_on(whole_session[0].settings.state_dir)
    pointer = desk.lake.require((desk.book, "intents"), str(FIRST))
    path = desk.lake.root / desk.book / "intents" / str(FIRST) / f"{pointer.sha}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # linked to another desk's file
    path.write_bytes(bytes(content))

    found = found_on(desk, FIRST)

    assert not found.is_same
    assert "intents" in found.detail
    assert "altered" in found.detail


def test_a_session_without_decisions_has_nothing_to_compare(whole_session):
    found = found_on(whole_session[0], SESSIONS[3])

    assert (found.is_same, found.detail) == (True, "nothing was decided")


def test_a_difference_fails_the_check_holds_nothing_up_and_people_are_told(altered):
    desk = altered(
        "verdicts",
        Verdict,
        lambda row: row._replace(limit=row.limit + 1) if row.guard == "max_quantity" else row,
    )
    run = desk.materialize("positions", session=FIRST)
    check = check_of(run)

    assert run.success
    assert (check.passed, check.severity.value) == (False, "WARN")
    (row,) = check.metadata["first difference"].records
    assert (row.data["table"], row.data["column"]) == ("verdicts", "limit")
    told = [
        row
        for row in desk.journal.answers(["find_outbox"])["find_outbox"]
        if "replay_differs" in row["subject"]
    ]
    assert {row["channel"] for row in told} == {"stdout", "webhook"}
    (one,) = json.loads(told[0]["body"])["alerts"]
    assert one["runbook"] == "docs/runbooks/replay_differs.md"
