"""Journal and broker brought together by the graph: what is found is shown, kept, told and halts."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from resources.notifier import Notifier, StdoutChannel, WebhookChannel
from tests.graph.desk import CALENDAR, FIRST, SESSIONS, Desk, copied, failure_of
from trading.alert_log import alert_log_of, subjects_firing
from trading.broker_positions import BrokerItem
from trading.brokers import DedupScope
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.executions import conclude_parked
from trading.lifecycle import IntentState, Stage


class Deaf:
    """Stand in front of a broker that takes orders, and whose answers to sends are never heard.

    `loses`: the orders do not arrive either; `forgets`: it is not known to refuse a repeated id; `refuses`:
    it says no, and is heard.
    """

    def __init__(self, real, *, loses, forgets, refuses):
        self._real = real
        self._loses = loses
        self._forgets = forgets
        self._refuses = refuses

    @property
    def capabilities(self):
        proven = self._real.capabilities
        return replace(proven, dedup_scope=DedupScope.NONE) if self._forgets else proven

    def __getattr__(self, name):
        return getattr(self._real, name)

    def submit(self, request, *, now):
        if self._refuses:
            raise BrokerRejected("not today")
        if not self._loses:
            self._real.submit(request, now=now)
        raise OutcomeUnknown("the line went dead")


def deaf(*, loses=False, forgets=False, refuses=False):
    return {
        "brokers": lambda profiled: {
            "us_five": Deaf(profiled.brokers["us_five"], loses=loses, forgets=forgets, refuses=refuses)
        }
    }


def checks_of(run):
    return {check.check_name: check for check in run.get_asset_check_evaluations()}


def metadata_of(run, asset):
    (event,) = [
        event
        for event in run.all_events
        if event.is_step_materialization and event.asset_key.path[1] == asset
    ]
    return {
        name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()
    }


def records_of(check, name="rows"):
    return [record.data for record in check.metadata[name].records]


def alerts_of(desk):
    rows = desk.journal.answers(["find_outbox"])["find_outbox"]
    return {one["code"] for row in rows for one in json.loads(row["body"])["alerts"]}


@pytest.fixture(scope="module")
def decided(imported, tmp_path_factory):
    """Give the folder of a desk that has decided the first session."""
    desk = Desk(copied(imported.folder, tmp_path_factory.mktemp("decided") / "desk"))
    assert desk.run("decide", FIRST).success
    desk.close()
    return desk.settings.state_dir


def test_the_executions_tell_how_far_each_intent_came_and_what_was_stopped_by_reason(whole_session):
    told = metadata_of(whole_session[1], "executions")

    assert {name: told[name] for name in ("claimed", "sent", "filled", "unknown", "parked", "findings")} == {
        "claimed": 1,
        "sent": 1,
        "filled": 1,
        "unknown": 0,
        "parked": 0,
        "findings": 0,
    }
    assert [record.data for record in told["blocked by reason"].records] == [
        {"reason": "symbol_not_allowed", "intents": 1}
    ]
    assert json.loads(json.dumps(told["this run"])) == {"sent": 1, "closed": 1, "new fills": 1}


def test_a_send_that_is_not_proven_fails_its_check_and_the_next_run_adopts_the_order(decided, desk_on):
    dead = desk_on(decided, ports=deaf())
    executed = dead.run("execute", FIRST)
    check = checks_of(executed)["every_outcome_is_known"]
    desk = desk_on(name="desk")

    again = desk.run("execute", FIRST)

    assert not check.passed
    assert (check.severity.value, check.metadata["unknown"].value) == ("WARN", 1)
    assert records_of(check)[0]["symbol"] == "IBM"
    assert checks_of(again)["every_outcome_is_known"].passed
    assert metadata_of(again, "executions")["this run"]["adopted"] == 1
    assert len(desk.sent()) == 1


def test_an_outcome_that_nobody_can_prove_is_parked_shown_and_told_and_holds_its_session_open(
    decided, desk_on
):
    desk = desk_on(decided, ports=deaf(loses=True, forgets=True))
    assert desk.run("execute", FIRST).success

    settled = desk.run("settle", FIRST)
    told = checks_of(desk.run("execute", FIRST))["every_outcome_is_known"]

    assert failure_of(settled)[0] == "positions"
    (row,) = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.quantity]
    assert (row.state, row.stage) == (IntentState.UNKNOWN, Stage.PARKED)
    assert (told.passed, told.severity.value, told.metadata["parked"].value) == (False, "ERROR", 1)
    assert alerts_of(desk) == {"intents_stuck"}
    assert desk.journal.session_record(**desk.where(FIRST)).settled_at is None


def test_a_parked_intent_that_a_person_concludes_lets_its_session_settle(decided, desk_on):
    desk = desk_on(decided, ports=deaf(loses=True, forgets=True))
    assert desk.run("execute", FIRST).success
    assert desk.run("reconcile", FIRST).success
    assert not desk.run("settle", FIRST).success
    (row,) = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.quantity]

    conclude_parked(
        desk.journal,
        row.intent_id,
        actor="anna",
        reason="the broker has no order under the id",
        now=CALENDAR.closes_at(FIRST),
    )

    settled = desk.run("settle", FIRST)
    assert failure_of(settled) == ("", "")
    assert desk.sent() == []


def stray(desk):
    """Let the broker have an order of ours that the journal knows nothing of, as from a lost journal."""
    # Past our own routes, which send nothing that was not prepared.
    broker = desk.profiled._embedded_paper(desk.book)
    session = FIRST
    (row,) = [row for row in desk.journal.intents(**desk.where(session)) if row.quantity]
    order = desk.journal.order_of(row.intent_id)
    broker.submit(
        type(order.request)(
            **{
                **{name: getattr(order.request, name) for name in order.request.__dataclass_fields__},
                "client_order_id": "ta-" + "0" * 40,
                "quantity": 1,
            }
        ),
        now=CALENDAR.opens_at(session),
    )


def test_an_order_that_the_journal_does_not_know_is_shown_halts_its_account_and_is_told(decided, desk_on):
    desk = desk_on(decided)
    assert desk.run("execute", FIRST).success
    stray(desk)

    run = desk.run("settle", FIRST)

    orders, positions = (
        checks_of(run)[name] for name in ("orders_agree_with_the_broker", "positions_agree_with_the_broker")
    )
    assert (orders.passed, positions.passed) == (False, False)
    (found,) = [row for row in records_of(orders) if row["finding"] == "orphan"]
    assert "the journal has no row of it" in found["detail"]
    assert found["to do"]
    assert {row["what"] for row in records_of(positions)} >= {"cash"}
    account = desk.profiled.books[desk.book].account
    assert ("", account) in {(halt.symbol, halt.account) for halt in desk.journal.halts()}
    assert "broker_disagrees" in alerts_of(desk)


def test_a_settled_session_with_findings_is_told_again_by_the_same_bytes_and_checks(decided, desk_on):
    desk = desk_on(decided)
    assert desk.run("execute", FIRST).success
    stray(desk)
    settled = desk.run("settle", FIRST)
    before, sent = desk.current(), desk.sent()

    again = desk.materialize("order_status", "broker_positions", session=FIRST)

    assert failure_of(settled) == failure_of(again) == ("", "")
    assert desk.current() == before
    assert desk.sent() == sent
    kept, made = checks_of(again), checks_of(settled)
    assert not kept["orders_agree_with_the_broker"].passed
    orphans = [
        [
            row["detail"]
            for row in records_of(checks["orders_agree_with_the_broker"])
            if row["finding"] == "orphan"
        ]
        for checks in (made, kept)
    ]
    assert orphans[0] == orphans[1]
    assert records_of(kept["positions_agree_with_the_broker"]) == records_of(
        made["positions_agree_with_the_broker"]
    )


def test_the_broker_has_after_every_session_what_the_book_has(whole_session, desk_on):
    first, ran = whole_session
    desk = desk_on(first.settings.state_dir)
    for session in SESSIONS[:3]:
        run = ran if session == FIRST else desk.run("session", session)
        assert run.success, failure_of(run)
        assert checks_of(run)["positions_agree_with_the_broker"].passed
        rows = desk.rows("broker_positions", session)
        closing_book = desk.journal.session_record(**desk.where(session)).closing
        held = {row.symbol: row.quantity for row in rows if row.item is BrokerItem.POSITION}
        assert held == {position.symbol: position.quantity for position in closing_book.positions}
        assert rows[0].cash_micros == closing_book.cash_micros


def test_the_reconcile_job_finishes_what_an_unheard_send_left_and_sends_nothing(decided, desk_on):
    dead = desk_on(decided, ports=deaf())
    assert dead.run("execute", FIRST).success
    desk = desk_on(name="desk")
    before = desk.sent()

    run = desk.run("reconcile", FIRST)

    assert failure_of(run) == ("", "")
    assert desk.sent() == before
    (row,) = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.quantity]
    assert row.state is IntentState.EXECUTED
    (seen,) = [event for event in run.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    told = seen.event_specific_data.asset_observation
    assert (told.asset_key.path, told.partition) == (["us_five", "order_status"], str(FIRST))
    assert told.metadata["this run"].value["adopted"] == 1
    assert told.metadata["not compared"].value == ""


def test_the_reconcile_job_leaves_an_account_alone_for_which_somebody_executes(decided, desk_on):
    desk = desk_on(decided)
    other = desk_on(name="desk")

    with other.profiled.executor_locks[desk.book]:
        run = desk.run("reconcile", FIRST)

    assert failure_of(run) == ("", "")
    assert (
        desk.journal.executor_term(account=desk.profiled.books[desk.book].account, lane="simulated") is None
    )


class Unreachable(Deaf):
    """Stand in front of a broker that gives no answer at all."""

    def orders(self, *, since, now):
        raise BrokerUnavailable("no answer")


class Later:
    """Be a clock that is two minutes further."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)

    def now(self, session, phase):
        return self._real.now(session, phase) + timedelta(minutes=2)


def firing(desk):
    log = alert_log_of(desk.journal.events(after=0, limit=100_000))
    return {subject.code for subject in subjects_firing(log)}


def test_a_broker_that_cannot_be_asked_ends_no_alert_on_what_disagrees(decided, desk_on):
    desk = desk_on(decided)
    assert desk.run("execute", FIRST).success
    stray(desk)
    assert desk.run("reconcile", FIRST).success
    assert "broker_disagrees" in firing(desk)
    silent = {"loses": False, "forgets": False, "refuses": False}
    unreachable = desk_on(
        name="desk",
        ports={"brokers": lambda profiled: {"us_five": Unreachable(profiled.brokers["us_five"], **silent)}},
    )

    run = unreachable.run("reconcile", FIRST)

    assert "broker_unavailable" in failure_of(run)[1]
    assert "broker_disagrees" in firing(unreachable)


def test_an_intent_that_is_stuck_behind_an_executor_that_hangs_is_told_of(decided, desk_on):
    dead = desk_on(decided, ports=deaf(loses=True))
    assert dead.run("execute", FIRST).success
    later = {"clocks": lambda profiled: {"us_five": Later(profiled.clocks["us_five"])}}
    desk = desk_on(name="desk", ports=later)
    assert firing(desk) == set()

    with dead.profiled.executor_locks[desk.book]:
        run = desk.run("reconcile", FIRST)

    assert failure_of(run) == ("", "")
    assert firing(desk) == {"intents_stuck"}


def test_a_session_that_was_never_opened_is_reconciled_without_comparing_and_says_so(desk):
    run = desk.run("reconcile", FIRST)

    assert failure_of(run) == ("", "")
    (seen,) = [event for event in run.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    told = seen.event_specific_data.asset_observation.metadata["not compared"].value
    assert told == f"the book was not opened for {FIRST}"
    assert desk.journal.session_record(**desk.where(FIRST)) is None


def logged(desk, *runs):
    """Return the lines that runs left in a desk's log."""
    lines = map(json.loads, desk.settings.log_file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line.get("run_id") in {run.run_id for run in runs}]


def steps_of_orders(lines):
    """Return each step of an order in the log, once it has every id to look it up by."""
    ids = ("book", "session", "run_id", "intent_id", "client_order_id")
    steps = [line for line in lines if line["event"].startswith("order_")]
    assert [(line["event"], name) for line in steps for name in ids if not line.get(name)] == []
    return [(line["event"].removeprefix("order_"), line["level"]) for line in steps]


def test_the_log_follows_an_order_whose_answer_was_not_heard_until_its_end(decided, desk_on):
    dead = desk_on(decided, ports=deaf())
    executed = dead.run("execute", FIRST)
    desk = desk_on(name="desk")
    found = desk.run("reconcile", FIRST)
    lines = logged(desk, executed, found)

    assert steps_of_orders(lines) == [
        ("prepared", "info"),
        ("outcome_unknown", "warning"),
        ("found", "info"),
        ("filled", "info"),
        ("closed", "info"),
    ]
    assert {line["client_order_id"] for line in lines if "client_order_id" in line} == {
        order.client_order_id for order in desk.journal.orders(**desk.where(FIRST))
    }
    (reason,) = [line["reason"] for line in lines if line["event"] == "order_outcome_unknown"]
    assert "the line went dead" in reason


# Apprise's e-mail plug-in imports a module that Python 3.11 deprecated.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_the_log_tells_of_a_refused_order_of_what_disagrees_and_of_a_message_that_did_not_arrive(
    decided, desk_on
):
    hidden = "hu" + "sh"

    def channels(profiled):
        # Nobody listens on port 9.
        webhook = WebhookChannel(f"http://{hidden}:{hidden}@127.0.0.1:9/{hidden}")
        return Notifier(
            profiled.journal,
            {"stdout": StdoutChannel(io.StringIO()), "webhook": webhook},
            policy=profiled.alert_policy.delivery,
            sleep=lambda _: None,
        )

    desk = desk_on(decided, ports={**deaf(refuses=True), "notifier": channels})
    refused = desk.run("execute", FIRST)
    stray(desk)
    compared = desk.run("reconcile", FIRST)
    lines = logged(desk, refused, compared)

    assert (failure_of(refused), failure_of(compared)) == (("", ""), ("", ""))
    assert steps_of_orders(lines) == [("prepared", "info"), ("refused_by_broker", "warning")]
    found = [line for line in lines if line["event"] == "finding"]
    assert "orphan" in {line["finding"] for line in found}
    assert {(line["part"], line["book"], line["run_id"]) for line in found} == {
        ("reconciler", desk.book, compared.run_id)
    }
    sent = [
        (line["outbox_id"], line["channel"], line["attempt"], line["reason"])
        for line in lines
        if line["event"] == "delivery"
    ]
    assert sent == [
        (row.outbox_id, row.channel, row.attempt, row.reason) for row in desk.journal.deliveries()
    ]
    assert ("webhook", "http_error") in {(channel, reason) for _, channel, _, reason in sent}
    assert hidden not in desk.settings.log_file.read_text(encoding="utf-8")
