"""An executor that lost its intent to another does no harm; found by racing processes without a lock.

What it still looks at is half the other's doing: a fill that comes too late for it is not wrong, and a book
that differs from the broker's is not a difference. So nobody needs to be told, and nothing needs to halt.
"""

from __future__ import annotations

import pytest

from proof.desk import ACCOUNT, BOOK, CLOSE, DECIDED_AT, IN_TIME, LANE, PRICE, SESSION, deposited, passes
from resources.journal.store import SqlJournal
from trading.executions import Desk, execute_session
from trading.orders import Fill
from trading.testing import FakeBroker, NoAuditLog, OpenLock, example_decision, example_intent

OF = {"book": BOOK, "lane": LANE, "session": SESSION}


@pytest.fixture
def journal(tmp_path):
    decision = example_decision(example_intent("AAPL"), not_after=CLOSE, account=ACCOUNT, lane=LANE)
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        journal.opening_book(**OF, previous=None, opened=deposited(), now=DECIDED_AT)
        journal.register(**OF, decisions=[decision], verdicts=[], decisions_sha="d", now=DECIDED_AT)
        yield journal


def execute(journal, broker, holder="test"):
    desk = Desk(
        journal=journal,
        broker=broker,
        lock=OpenLock(),
        audit=NoAuditLog(),
        clock=lambda: IN_TIME,
        account=ACCOUNT,
        lane=LANE,
        holder=holder,
    )
    return execute_session(
        desk,
        book=BOOK,
        session=SESSION,
        since=SESSION,
        book_at_open=deposited(),
        review=passes,
        send_by=CLOSE,
    )


def nothing_is_halted(journal) -> bool:
    return not (journal.incidents() or journal.halts() or journal.run_control().kill_switch_on)


class TakenOverBeforeItsFill(FakeBroker):
    """Let another executor take the intent over while this one is told of its fills."""

    def __init__(self, journal: SqlJournal) -> None:
        super().__init__(fills_at_micros=PRICE)
        self.journal = journal

    def fills(self, client_order_id, *, now):
        (row,) = self.journal.intents(**OF)
        if row.stage == "working" and not self.journal.fills(**OF) and row.epoch == 1:
            self.journal.begin_term(account=ACCOUNT, lane=LANE, holder="another", now=now)
            self.journal.mark_unknown(row.intent_id, epoch=1, reason="taken", is_takeover=True, now=now)
        return super().fills(client_order_id, now=now)


def test_a_fill_that_comes_too_late_for_one_executor_halts_nobody(journal):
    broker = TakenOverBeforeItsFill(journal)
    first = execute(journal, broker)
    second = execute(journal, broker)

    (row,) = journal.intents(**OF)
    assert (row.state, row.filled_quantity) == ("executed", 10)
    assert first.halted.startswith("taken_over")
    assert second.halted == ""
    assert nothing_is_halted(journal)


class OvertakenBetweenTwoLooks(FakeBroker):
    """Let another executor do all there is to do while this one asks for the account's holdings."""

    def __init__(self, journal: SqlJournal) -> None:
        super().__init__(fills_at_micros=PRICE)
        self.journal = journal
        self.is_overtaken = False

    def holdings(self, *, now):
        if not self.is_overtaken:
            self.is_overtaken = True
            execute(self.journal, self, holder="another")
        return super().holdings(now=now)


def test_a_book_that_another_executor_changed_meanwhile_is_no_difference(journal):
    overtaken = execute(journal, OvertakenBetweenTwoLooks(journal))

    (row,) = journal.intents(**OF)
    assert (row.state, row.filled_quantity) == ("executed", 10)
    assert overtaken.halted.startswith("taken_over")
    assert nothing_is_halted(journal)


class EndedBehindALook(FakeBroker):
    """Fill a resting order, and let its first executor book it and end its intent, during a newer one's look.

    An executor whose lock was lost begins nothing any more, but it ends what it had begun.
    """

    def __init__(self, journal: SqlJournal, *, during: str) -> None:
        super().__init__()
        self.journal = journal
        self.during = during

    def orders(self, *, since, now):
        listed = super().orders(since=since, now=now)
        self.end_meanwhile("orders", now)
        return listed

    def holdings(self, *, now):
        self.end_meanwhile("holdings", now)
        return super().holdings(now=now)

    def end_meanwhile(self, look: str, now) -> None:
        (row,) = self.journal.intents(**OF)
        if look != self.during or row.stage != "working":
            return
        order = self.journal.order_of(row.intent_id)
        told = self.fill(order.client_order_id, 10, PRICE, now=now)
        fill = Fill(
            execution_id=told.execution_id,
            client_order_id=order.client_order_id,
            intent_id=row.intent_id,
            symbol=order.request.symbol,
            side=order.request.side,
            quantity=10,
            price_micros=PRICE,
            commission_micros=0,
            session=SESSION,
            filled_at=now,
        )
        self.journal.record_fill(fill, now=now)
        ended = self.order_by_client_order_id(order.client_order_id, now=now)
        self.journal.close_working(row.intent_id, epoch=row.epoch, order=ended, now=now)


@pytest.mark.parametrize("during", ["orders", "holdings"])
def test_what_an_earlier_executor_ends_during_a_look_is_no_difference(journal, during):
    broker = EndedBehindALook(journal, during="")
    execute(journal, broker, holder="earlier")
    (row,) = journal.intents(**OF)
    assert row.stage == "working"

    broker.during = during
    outcomes = execute(journal, broker, holder="newer")

    (row,) = journal.intents(**OF)
    assert (row.state, row.filled_quantity) == ("executed", 10)
    assert (outcomes.halted, outcomes.findings) == ("", ())
    assert broker.cancels == []
    assert nothing_is_halted(journal)
