"""The kill switch while orders are on their way: what was sent is cancelled, and nothing else goes out."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from resources.cancel_only import CancelOnly
from resources.evidence import gather
from resources.journal.store import SqlJournal
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.executions import Desk, execute_session
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.halting import cancel_open_orders
from trading.invariants import violations
from trading.journal import CancelKind, RunControlAction
from trading.lifecycle import IntentState, Stage
from trading.orders import OrderStatus
from trading.positions import opened_book
from trading.testing import (
    FakeBroker,
    NoAuditLog,
    OpenLock,
    example_decision,
    example_intent,
)
from trading.values import Side, Slot

ROOT = Path(__file__).resolve().parents[2]
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": "us_five", "lane": "simulated", "session": SESSION}
ACCOUNT = {"account": "SIM-FIVE", "lane": "simulated"}
OPENING = opened_book(currency="USD", deposit_micros=10**12)
STOP = {"actor": "ann", "reason": "prices look wrong", "now": NOW}
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)


@pytest.fixture
def journal(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as opened:
        yield opened


def decided(journal, *intents):
    decisions = [example_decision(intent, not_after=CLOSE) for intent in intents]
    journal.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
    journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)


def execute(journal, broker):
    desk = Desk(
        journal=journal,
        broker=broker,
        lock=OpenLock(),
        audit=NoAuditLog(),
        clock=lambda: NOW,
        account="SIM-FIVE",
        lane="simulated",
        holder="test",
    )
    return execute_session(
        desk,
        book="us_five",
        session=SESSION,
        since=SESSION,
        book_at_open=OPENING,
        review=lambda *_: PASSED,
        send_by=CLOSE,
    )


def halt_at(journal, broker):
    """Let a halt arrive while the first order is on its way to the broker."""
    submit = broker.submit

    def halted(request, *, now):
        answer = submit(request, now=now)
        journal.set_run_control(RunControlAction.HALT, **STOP)
        return answer

    broker.submit = halted
    return broker


def test_an_order_that_was_on_its_way_when_the_halt_came_is_cancelled_and_nothing_follows_it(journal):
    decided(journal, example_intent("AAPL"), example_intent("IBM"), example_intent("MSFT"))
    broker = halt_at(journal, FakeBroker())
    outcomes = execute(journal, broker)

    (order,) = broker.accepted
    assert broker.cancels == [order.client_order_id]
    assert len(outcomes.held) == 2
    known = journal.order(order.client_order_id)
    assert (known.cancel_kind, known.cancel_asked_at) == (CancelKind.CANCEL, NOW)
    asked = [event for event in journal.events(after=0, limit=99) if event.kind == "cancel_asked"]
    assert [(event.actor, event.reason) for event in asked] == [("ann", "prices look wrong")]

    # After a restart the switch is as it was, and the broker's word ends what was cancelled.
    broker.end(order.client_order_id, OrderStatus.CANCELLED)
    again = execute(journal, broker)
    assert (len(again.held), len(broker.accepted)) == (2, 1)
    assert journal.intent(known.intent_id).state is IntentState.CANCELLED
    assert violations(gather(journal, dumps=[broker.dump()])) == ()


def cancel_round(journal, broker):
    return cancel_open_orders(journal, CancelOnly(broker), **ACCOUNT, since=SESSION, **STOP)


def test_a_halt_asks_for_the_cancel_of_every_open_order_of_ours_and_says_what_is_left(journal):
    decided(journal, example_intent("AAPL"), example_intent("IBM"))
    broker = FakeBroker()
    execute(journal, broker)
    ids = [request.client_order_id for request in broker.accepted]
    journal.set_run_control(RunControlAction.HALT, **STOP)

    first = cancel_round(journal, broker)
    for client_order_id in ids:
        broker.end(client_order_id, OrderStatus.CANCELLED)
    last = cancel_round(journal, broker)

    assert (set(first.asked), set(first.still_open), first.is_done) == (set(ids), set(ids), False)
    assert (last.asked, last.is_done) == ((), True)
    orders = [journal.order(client_order_id) for client_order_id in ids]
    assert {order.cancel_kind for order in orders} == {CancelKind.CANCEL}


def test_what_nobody_heard_of_is_cancelled_as_well_and_a_flatten_is_left_alone(journal):
    decided(journal, example_intent("AAPL"))
    broker = FakeBroker()
    execute(journal, broker)
    (row,) = journal.intents(**OF)
    journal.mark_unknown(row.intent_id, epoch=row.epoch, reason="time_out", is_takeover=False, now=NOW)
    journal.set_run_control(RunControlAction.HALT, **STOP)
    sale = example_decision(example_intent("IBM", side=Side.SELL, slot=Slot.FLATTEN), not_after=CLOSE)
    of = {"command_id": "f-1", "now": NOW}
    journal.preview_flatten(
        **of, **OF, account="SIM-FIVE", plan='{"lines":[["IBM",100,0,100,1]]}', actor="ann"
    )
    journal.order_flatten(**of, decisions=[sale], verdicts=[], actor="ann", reason="out")
    broker.hidden = {row.client_order_id for row in journal.orders(**OF)}
    execute(journal, broker)
    broker.hidden = set()

    found = cancel_round(journal, broker)

    lost = journal.order_of(row.intent_id).client_order_id
    assert found.asked == (lost,)
    assert [request.symbol for request in broker.accepted] == ["AAPL", "IBM"]


def test_a_broker_that_does_not_answer_is_said_and_what_was_wanted_is_on_record(journal):
    decided(journal, example_intent("AAPL"))
    broker = FakeBroker()
    execute(journal, broker)
    broker.is_down = True
    journal.set_run_control(RunControlAction.HALT, **STOP)

    found = cancel_round(journal, broker)

    assert not found.is_done
    assert "query failed" in found.problem
    (row,) = journal.intents(**OF)
    assert (row.stage, journal.order_of(row.intent_id).cancel_kind) == (Stage.WORKING, CancelKind.CANCEL)


class Stuck(FakeBroker):
    """Fail the cancel of some orders, for good; while `is_unlisted` one of its places does not answer."""

    stuck: frozenset[str] = frozenset()
    fails_as = BrokerUnavailable
    is_unlisted = False

    def cancel(self, client_order_id, *, now):
        if client_order_id in self.stuck:
            raise self.fails_as("status_500: of this order")
        super().cancel(client_order_id, now=now)

    def orders(self, *, since, now):
        if self.is_unlisted:
            raise BrokerUnavailable("time_out: nothing came back")
        return super().orders(since=since, now=now)


@pytest.mark.parametrize("error", [BrokerUnavailable, BrokerRejected, OutcomeUnknown])
def test_an_order_that_cannot_be_cancelled_keeps_no_other_one_alive(journal, error):
    decided(journal, *(example_intent(symbol) for symbol in ("AAPL", "IBM", "MSFT")))
    broker = Stuck()
    broker.fails_as = error
    execute(journal, broker)
    first, *others = [request.client_order_id for request in broker.accepted]
    broker.stuck = frozenset({first})
    journal.set_run_control(RunControlAction.HALT, **STOP)

    found = cancel_round(journal, broker)

    assert broker.cancels == others
    assert (found.asked, found.is_done) == (tuple(others), False)
    assert found.problem == f"{first}: status_500: of this order"


def test_what_a_broker_does_not_list_is_cancelled_as_the_journal_knows_it(journal):
    decided(journal, example_intent("AAPL"), example_intent("IBM"))
    broker = Stuck()
    execute(journal, broker)
    ids = [request.client_order_id for request in broker.accepted]
    broker.is_unlisted = True
    journal.set_run_control(RunControlAction.HALT, **STOP)

    found = cancel_round(journal, broker)

    assert (broker.cancels, found.asked) == (ids, tuple(ids))
    assert (found.is_done, found.problem) == (False, "time_out: nothing came back")


def test_of_many_orders_that_cannot_be_cancelled_a_few_are_told(journal):
    decided(journal, *(example_intent(f"S{number}") for number in range(9)))
    broker = Stuck()
    execute(journal, broker)
    broker.stuck = frozenset(request.client_order_id for request in broker.accepted)
    journal.set_run_control(RunControlAction.HALT, **STOP)

    found = cancel_round(journal, broker)

    assert found.problem.count("status_500") == 3
    assert found.problem.endswith(" and more")


def test_the_capability_of_a_halt_has_nothing_that_could_send():
    capability = CancelOnly(FakeBroker())

    assert {name for name in dir(capability) if not name.startswith("_")} == {
        "cancel",
        "order_by_client_order_id",
        "orders",
    }
    with pytest.raises(AttributeError):
        capability.submit = print


EXECUTOR = """
import sys, time
from tests.faults.test_halting import SqlJournal, FakeBroker, execute
broker = FakeBroker()
submit = broker.submit
def slowly(request, *, now):
    answer = submit(request, now=now)
    print(request.client_order_id, flush=True)
    time.sleep(0.02)
    return answer
broker.submit = slowly
with SqlJournal(sys.argv[1]) as journal:
    execute(journal, broker)
print("cancelled", len(broker.cancels), flush=True)
"""


def test_a_halt_stops_an_executor_of_another_process_in_the_middle_of_its_orders(tmp_path):
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with SqlJournal(url) as journal:
        decided(journal, *(example_intent(f"S{number}") for number in range(40)))
        executor = subprocess.Popen(
            [sys.executable, "-c", EXECUTOR, url],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        )
        assert executor.stdout is not None
        sent = [executor.stdout.readline().strip() for _ in range(3)]
        journal.set_run_control(RunControlAction.HALT, **STOP)
        told, _ = executor.communicate(timeout=120)
        assert executor.returncode == 0
        *more, last = told.split("\n")[:-1]
        sent += more

        events = journal.events(after=0, limit=9_999)
        halted_at = next(event.seq for event in events if event.kind == "run_control")
        prepared = [event.seq for event in events if event.kind == "prepared"]
        assert max(prepared) < halted_at
        assert len(prepared) == len(sent) < 40
        # The last one was on its way: its own executor cancelled it.
        assert last.startswith("cancelled ")
        rows = journal.intents(**OF)
        assert sum(row.state is IntentState.APPROVED for row in rows) == 40 - len(sent)
        assert violations(gather(journal)) == ()
