"""Gates: a batch that is not fit to trade on sends nothing, however its execution is launched."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from resources.lake.io_manager import LakeIOManager
from tests.graph.desk import FIRST, SESSIONS, Desk, copied, failure_of
from trading.decisions import DecisionRow, Outcome
from trading.intents import hashed
from trading.journal import RunControlAction
from trading.quotes import Quote
from trading.sessions import Calendar
from trading.values import IntentId, Symbol
from trading.verdicts import Verdict
from trading_assets.stage import POINTER_EXTRAS
from trading_assets.tables import REMEDIES, ROW_TYPES


def before(calendar: Calendar) -> str:
    return str(calendar.previous(FIRST))


def set_control(desk, action):
    calendar = desk.profiled.calendars[desk.book]
    desk.journal.set_run_control(action, actor="anna", reason="drill", now=calendar.opens_at(FIRST))


def halt(desk):
    set_control(desk, RunControlAction.HALT)


def pause(desk):
    set_control(desk, RunControlAction.PAUSE)


def restate_yesterday(desk):
    day = before(desk.profiled.calendars[desk.book])
    asset = (desk.book, "market_quotes")
    quotes, _ = desk.lake.read_rows(asset, day, Quote)
    changed = [quotes[0]._replace(close_micros=quotes[0].close_micros + 10_000), *quotes[1:]]
    desk.lake.write_rows(asset, day, Quote, changed)


def lose_yesterday(desk):
    day = before(desk.profiled.calendars[desk.book])
    (desk.lake.root / desk.book / "market_quotes" / day / "current.json").unlink()


def rewrite(desk, change):
    asset = (desk.book, "decisions")
    rows, _ = desk.lake.read_rows(asset, str(FIRST), DecisionRow)
    desk.lake.write_rows(asset, str(FIRST), DecisionRow, change({row.symbol: row for row in rows}))


def raise_a_quantity(desk):
    rewrite(desk, lambda rows: [rows["FB"], rows["IBM"]._replace(quantity=rows["IBM"].quantity * 10)])


def add_a_row(desk):
    rewrite(
        desk,
        lambda rows: [
            *rows.values(),
            rows["IBM"]._replace(symbol=Symbol("MSFT"), intent_id=IntentId("int-" + hashed("forged"))),
        ],
    )


def repeat_a_row(desk):
    rewrite(desk, lambda rows: [*rows.values(), rows["IBM"]])


def drop_a_row(desk):
    rewrite(desk, lambda rows: [rows["FB"]])


def approve_what_was_blocked(desk):
    rewrite(
        desk,
        lambda rows: [
            rows["FB"]._replace(outcome=Outcome.APPROVED, quantity=100, reason="within_policy"),
            rows["IBM"],
        ],
    )


def pass_a_guard_that_stopped(desk):
    asset = (desk.book, "verdicts")
    rows, _ = desk.lake.read_rows(asset, str(FIRST), Verdict)
    desk.lake.write_rows(asset, str(FIRST), Verdict, [row._replace(passed=True, reason="ok") for row in rows])


def drop_a_verdict(desk):
    asset = (desk.book, "verdicts")
    rows, _ = desk.lake.read_rows(asset, str(FIRST), Verdict)
    desk.lake.write_rows(asset, str(FIRST), Verdict, rows[1:])


FAULTS = [
    (pass_a_guard_that_stopped, "every_intent_is_judged_by_every_guard", "other verdicts than it was"),
    (drop_a_verdict, "every_intent_is_judged_by_every_guard", "not one verdict a guard"),
    (halt, "trading_is_running", "halted by anna: drill"),
    (pause, "trading_is_running", "paused by anna: drill"),
    (restate_yesterday, "quotes_are_fresh", "decisions were made on other inputs than stand now"),
    (lose_yesterday, "quotes_are_fresh", "are not in the lake"),
    (raise_a_quantity, "decisions_match_the_journal", "quantity"),
    (add_a_row, "decisions_match_the_journal", "not registered"),
    (repeat_a_row, "no_intent_is_executed_twice", "intent id twice"),
    (drop_a_row, "decisions_match_the_journal", "registered but not in the table"),
    (approve_what_was_blocked, "no_approved_intent_is_over_a_limit", "symbol_not_allowed"),
]


@pytest.fixture(scope="module")
def decided(imported, tmp_path_factory):
    """Give the folder of a desk that decided the first session; no check was ever evaluated by another."""
    desk = Desk(copied(imported.folder, tmp_path_factory.mktemp("decided") / "desk"))
    assert desk.run("decide", FIRST).success
    desk.close()
    return desk.settings.state_dir


def failed_checks(run):
    return {check.check_name for check in run.get_asset_check_evaluations() if not check.passed}


def is_started(run, step):
    return any(event.step_key == step and event.is_step_start for event in run.all_events)


@pytest.mark.parametrize(("fault", "gate", "words"), FAULTS, ids=[fault.__name__ for fault, *_ in FAULTS])
def test_a_batch_that_is_not_fit_is_held_alone_and_in_the_execute_job(decided, desk_on, fault, gate, words):
    desk = desk_on(decided)
    fault(desk)

    alone = desk.materialize("executions", session=FIRST)
    job = desk.run("execute", FIRST)

    stage, told = failure_of(alone)
    assert stage == "executions"
    assert "execution is held, nothing was sent" in told
    assert f"{gate}: " in told
    assert words in told
    assert gate in failed_checks(job)
    assert not is_started(job, "us_five__executions")
    assert desk.sent() == []
    record = desk.journal.session_record(**desk.where(FIRST))
    assert gate in record.refused


def test_what_a_gate_held_is_executed_once_it_opens(desk):
    assert desk.run("decide", FIRST).success
    halt(desk)
    assert not desk.run("execute", FIRST).success
    set_control(desk, RunControlAction.RESUME)

    assert desk.run("execute", FIRST).success

    assert [symbol for _, symbol, _ in desk.sent()] == ["IBM"]
    assert desk.journal.session_record(**desk.where(FIRST)).refused == ""


def test_executions_alone_wait_for_checks_that_were_never_evaluated_here(decided, desk_on):
    other = desk_on(decided)

    stage, told = failure_of(other.materialize("executions", session=FIRST))

    assert stage == "executions"
    assert "check quotes_are_fresh: never evaluated for this session; launch the execute job" in told
    assert other.sent() == []
    assert other.run("execute", FIRST).success
    assert len(other.sent()) == 1


def test_executions_alone_wait_after_a_check_that_failed_last_time(desk):
    assert desk.run("decide", FIRST).success
    halt(desk)
    assert not desk.run("execute", FIRST).success
    set_control(desk, RunControlAction.RESUME)

    stage, told = failure_of(desk.materialize("executions", session=FIRST))

    assert stage == "executions"
    assert "check trading_is_running: last evaluation failed" in told
    assert desk.sent() == []


def test_a_session_started_under_the_kill_switch_decides_nothing_but_blocks_and_sends_nothing(desk):
    halt(desk)

    run = desk.run("session", FIRST)

    assert {row.outcome for row in desk.rows("decisions", FIRST)} == {Outcome.BLOCKED}
    assert "trading_is_running" in failed_checks(run)
    assert not is_started(run, "us_five__executions")
    assert desk.sent() == []


class TamperingLake(dg.IOManager):
    """Stand in front of the lake, and change the decisions as soon as they are stored."""

    def __init__(self, real: LakeIOManager, tamper: Any) -> None:
        self._real, self._tamper = real, tamper

    def handle_output(self, context: Any, obj: Any) -> None:
        self._real.handle_output(context, obj)
        if context.asset_key.path[1] == "decisions":
            self._tamper()

    def load_input(self, context: Any) -> Any:
        return self._real.load_input(context)


@pytest.mark.parametrize(
    ("fault", "gate"),
    [(raise_a_quantity, "decisions_match_the_journal"), (halt, "trading_is_running")],
    ids=["tampered", "halted"],
)
def test_what_goes_wrong_between_deciding_and_executing_holds_the_same_run(imported, desk_on, fault, gate):
    desk = desk_on(
        imported.folder,
        ports={
            "io_manager": lambda profiled: TamperingLake(
                LakeIOManager(profiled.lake, ROW_TYPES, extras=POINTER_EXTRAS, remedies=REMEDIES),
                lambda: fault(desk),
            )
        },
    )

    run = desk.run("session", FIRST)

    assert not run.success
    assert gate in failed_checks(run)
    assert not is_started(run, "us_five__executions")
    assert not is_started(run, "us_five__positions")
    assert desk.sent() == []


def test_the_session_after_a_held_one_is_refused_until_somebody_has_settled_it(desk):
    halt(desk)
    assert not desk.run("session", FIRST).success
    set_control(desk, RunControlAction.RESUME)

    stage, told = failure_of(desk.run("decide", SESSIONS[1]))

    assert stage == "opening_book"
    assert f"the session before, {FIRST}, is not settled" in told
