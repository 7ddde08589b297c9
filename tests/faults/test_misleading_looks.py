"""Looks at a broker that mislead: what moves meanwhile, lags, fails half-way, or is corrected afterwards.

What only moved is no difference and halts nobody; what is one is named at once, and by all that was found.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from proof.desk import passes
from resources.journal.store import SqlJournal
from trading.brokers import DedupScope
from trading.decisions import Outcome
from trading.errors import BrokerUnavailable, IllegalTransition
from trading.executions import Desk, ask_cancel, conclude_parked, execute_session, reconcile_account
from trading.intents import CLIENT_ORDER_ID_PREFIX
from trading.journal import CancelKind
from trading.lifecycle import Stage
from trading.orders import OrderStatus
from trading.positions import opened_book
from trading.reconciliation import Expected, Means, Run, bring_on
from trading.testing import (
    REMEMBERS,
    FakeBroker,
    NoAuditLog,
    OpenLock,
    SendOutcome,
    example_decision,
    example_intent,
)
from trading.values import ClientOrderId, Side, Slot

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
PRICE = 100_000_000
OPENING = opened_book(currency="USD", deposit_micros=10**12)
EXPECTED = Expected(book=BOOK, session=SESSION, at_open=OPENING)


@pytest.fixture
def decided(tmp_path):
    """Return how to get a journal in which intents are decided, closed afterwards."""
    opened = []

    def decide(*decisions):
        journal = SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}")
        opened.append(journal)
        journal.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
        return journal

    yield decide
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(decided):
    return decided(*(approved(symbol) for symbol in ("AAPL", "MSFT", "NVDA")))


def approved(symbol, *, side=Side.BUY, slot=Slot.REBALANCE, outcome=Outcome.APPROVED):
    intent = example_intent(symbol, quantity=10, side=side, slot=slot)
    return example_decision(intent, not_after=CLOSE, outcome=outcome)


def desk(journal, broker, now):
    return Desk(
        journal=journal,
        broker=broker,
        lock=OpenLock(),
        audit=NoAuditLog(),
        clock=lambda: now,
        account=ACCOUNT,
        lane=LANE,
        holder="test",
    )


def execute(journal, broker, *, now=NOW, send_by=CLOSE):
    return execute_session(
        desk(journal, broker, now),
        book=BOOK,
        session=SESSION,
        since=SESSION,
        book_at_open=OPENING,
        review=passes,
        send_by=send_by,
    )


def reconcile(journal, broker, *, now=NOW, expected=EXPECTED):
    return reconcile_account(desk(journal, broker, now), since=SESSION, expected=expected)


def earlier_executor(journal, broker):
    return Run(
        journal=journal,
        broker=broker,
        audit=NoAuditLog(),
        clock=lambda: NOW,
        account=ACCOUNT,
        lane=LANE,
        holder="earlier",
        is_death_proven=True,
    )


def row_of(journal, symbol="AAPL", side=Side.BUY):
    (row,) = [row for row in journal.intents(**OF) if (row.intent.symbol, row.intent.side) == (symbol, side)]
    return row


def id_of(broker, symbol="AAPL"):
    return [request.client_order_id for request in broker.submitted if request.symbol == symbol][-1]


def halted(journal):
    return [(halt.account, halt.symbol) for halt in journal.halts()]


def kinds(journal):
    return {incident.kind for incident in journal.incidents()}


def stranger(broker, letter="f"):
    """Return a live order of ours that no journal has a row of."""
    known = broker.orders(since=SESSION, now=NOW)[0]
    return replace(known, client_order_id=ClientOrderId(CLIENT_ORDER_ID_PREFIX + letter * 32))


# -------------------------------------------------------------------------------- what only moves


class EndsOneBehindEachLook(FakeBroker):
    """Let an earlier executor book and end one more intent behind each list."""

    journal = None

    def orders(self, *, since, now):
        listed = super().orders(since=since, now=now)
        rows = self.journal.open_intents(account=ACCOUNT, lane=LANE) if self.journal else []
        if working := [row for row in rows if row.stage is Stage.WORKING]:
            self.fill(self.journal.order_of(working[0].intent_id).client_order_id, 10, PRICE, now=now)
            bring_on(earlier_executor(self.journal, self), working[0], Means())
        return listed


def test_intents_that_end_one_by_one_behind_the_lists_are_no_zombies(journal):
    broker = EndsOneBehindEachLook()
    execute(journal, broker)
    broker.journal = journal
    outcomes = reconcile(journal, broker)

    assert (outcomes.findings, broker.cancels, halted(journal)) == ((), [], [])


class FillsDuringEachLook(FakeBroker):
    """Fill one share more whenever the account is asked for."""

    is_filling = False

    def holdings(self, *, now):
        if self.is_filling:
            self.fill(id_of(self), 1, PRICE, now=now)
        return super().holdings(now=now)


def test_an_order_that_goes_on_filling_during_every_look_is_no_difference(journal):
    broker = FillsDuringEachLook()
    execute(journal, broker)
    broker.is_filling = True
    outcomes = reconcile(journal, broker)

    assert (outcomes.findings, halted(journal)) == ((), [])


class TellsLater(FakeBroker):
    """Tell of no execution before an earlier executor was told, behind the list."""

    tells = True
    journal = None

    def fills(self, client_order_id, *, now):
        return super().fills(client_order_id, now=now) if self.tells else []

    def orders(self, *, since, now):
        if self.journal is not None:
            self.tells = True
            bring_on(earlier_executor(self.journal, self), row_of(self.journal), Means())
        return super().orders(since=since, now=now)


def test_shares_that_an_earlier_executor_was_told_of_are_not_counted_twice(journal):
    broker = TellsLater()
    execute(journal, broker)
    broker.fill(id_of(broker), 10, PRICE, now=NOW)
    broker.tells, broker.journal = False, journal
    outcomes = reconcile(journal, broker)

    assert row_of(journal).state == "executed"
    assert (outcomes.findings, halted(journal)) == ((), [])
    assert not {*outcomes.closed} & {*outcomes.still_open}


class ListLags(FakeBroker):
    """List orders as they were, where a query by id knows better."""

    listed = ()

    def orders(self, *, since, now):
        return list(self.listed) or super().orders(since=since, now=now)


def test_a_list_that_lags_behind_the_query_by_id_makes_no_zombies(journal):
    broker = ListLags()
    execute(journal, broker)
    broker.listed = tuple(broker.orders(since=SESSION, now=NOW))
    for symbol in ("AAPL", "MSFT", "NVDA"):
        broker.fill(id_of(broker, symbol), 10, PRICE, now=NOW)
    outcomes = reconcile(journal, broker)

    assert (outcomes.findings, broker.cancels, halted(journal)) == ((), [], [])


class PagesOverlap(FakeBroker):
    """List the first order on two pages."""

    def orders(self, *, since, now):
        listed = super().orders(since=since, now=now)
        return [*listed, *listed[:1]]


def test_an_order_on_two_pages_of_a_list_is_one_order(journal):
    broker = PagesOverlap()
    execute(journal, broker)

    assert reconcile(journal, broker).findings == ()
    assert halted(journal) == []


class ShowsOrdersLater(FakeBroker):
    """Show an order to queries only two seconds after it was sent."""

    def order_by_client_order_id(self, client_order_id, *, now):
        found = super().order_by_client_order_id(client_order_id, now=now)
        return found if now >= NOW + timedelta(seconds=2) else None


def test_an_acknowledged_order_may_stay_unseen_for_as_long_as_its_broker_says(journal):
    broker = ShowsOrdersLater(capabilities=replace(REMEMBERS, settle_time_s=5))
    sent = execute(journal, broker)
    broker.fill(id_of(broker), 10, PRICE, now=NOW)
    later = reconcile(journal, broker, now=NOW + timedelta(seconds=5))

    assert (len(sent.sent), sent.parked, later.parked) == (3, (), ())
    assert row_of(journal).state == "executed"
    assert kinds(journal) == set()


def test_an_acknowledged_order_that_stays_unseen_for_longer_is_parked(journal):
    broker = FakeBroker(capabilities=replace(REMEMBERS, settle_time_s=5))
    execute(journal, broker)
    broker.hidden.add(id_of(broker))
    reconcile(journal, broker, now=NOW + timedelta(seconds=4))
    assert row_of(journal).stage is Stage.WORKING
    reconcile(journal, broker, now=NOW + timedelta(seconds=5))

    assert row_of(journal).stage is Stage.PARKED


class EndedByAnother(FakeBroker):
    """Let an earlier executor end an order while the one that sent it asks for its fills."""

    journal = None

    def fills(self, client_order_id, *, now):
        told = super().fills(client_order_id, now=now)
        if self.journal is not None and told:
            journal, self.journal = self.journal, None
            (row,) = [row for row in journal.intents(**OF) if row.stage is Stage.WORKING]
            bring_on(earlier_executor(journal, self), row, Means())
        return told


def test_a_sender_whose_order_another_ended_goes_on_with_the_rest(journal):
    broker = EndedByAnother(fills_at_micros=PRICE)
    broker.journal = journal
    outcomes = execute(journal, broker)

    assert outcomes.halted == ""
    assert {row.state for row in journal.intents(**OF)} == {"executed"}
    assert halted(journal) == []


# -------------------------------------------------------------------------------- what is one


class Blind(FakeBroker):
    """List strangers too; not answer for the account, nor to the cancel of `deaf_to`."""

    strangers = ()
    is_blind = False
    deaf_to = ""

    def orders(self, *, since, now):
        return [*super().orders(since=since, now=now), *self.strangers]

    def holdings(self, *, now):
        if self.is_blind:
            raise BrokerUnavailable("500")
        return super().holdings(now=now)

    def cancel(self, client_order_id, *, now):
        if client_order_id == self.deaf_to:
            raise BrokerUnavailable("lost")
        super().cancel(client_order_id, now=now)


def test_a_zombie_is_cancelled_and_halts_although_the_account_does_not_answer(journal):
    broker = Blind()
    execute(journal, broker)
    broker.strangers, broker.is_blind = (stranger(broker),), True
    outcomes = reconcile(journal, broker)

    assert outcomes.halted.startswith("broker_unavailable")
    assert broker.cancels == [broker.strangers[0].client_order_id]
    assert halted(journal) == [(ACCOUNT, "")]


def test_a_zombie_whose_cancel_fails_keeps_no_other_one_alive(journal):
    broker = Blind()
    execute(journal, broker)
    broker.strangers = (stranger(broker, "e"), stranger(broker, "f"))
    broker.deaf_to = broker.strangers[0].client_order_id
    outcomes = reconcile(journal, broker)

    assert outcomes.halted.startswith("broker_unavailable: lost")
    assert broker.cancels == [broker.strangers[1].client_order_id]


def test_a_halt_names_every_finding_so_that_nobody_lifts_one_unseen(journal):
    broker = FakeBroker()
    execute(journal, broker)
    for symbol in ("AAPL", "MSFT"):
        broker.end(id_of(broker, symbol), OrderStatus.CANCELLED)
    reconcile(journal, broker)
    for symbol in ("AAPL", "MSFT"):
        broker.alter(id_of(broker, symbol), filled_quantity=3)
    reconcile(journal, broker, expected=None)
    (halt,) = journal.halts()

    assert halt.reason.count("orphan: ") == 2
    assert "AAPL" in halt.reason
    assert "MSFT" in halt.reason


def test_a_live_order_that_differs_behind_an_ended_intent_is_cancelled_as_well(journal):
    broker = FakeBroker()
    execute(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    reconcile(journal, broker)
    broker.alter(id_of(broker), status=OrderStatus.WORKING, quantity=11)
    outcomes = reconcile(journal, broker)

    assert {finding.kind.value for finding in outcomes.findings} >= {"order_mismatch", "zombie"}
    assert broker.cancels == [id_of(broker)]


def test_the_cancel_that_a_person_asked_for_is_sent_although_the_order_differs(journal):
    broker = FakeBroker()
    execute(journal, broker)
    intent_id = row_of(journal).intent_id
    ask_cancel(journal, intent_id, kind=CancelKind.CANCEL, actor="ann", reason="stop", now=NOW)
    broker.alter(id_of(broker), quantity=11)
    reconcile(journal, broker)

    assert broker.cancels == [id_of(broker)]
    assert "order_mismatch" in kinds(journal)


def test_a_replacement_that_the_broker_rejects_first_ends_and_halts_nobody(journal):
    broker = FakeBroker()
    execute(journal, broker)
    intent_id = row_of(journal).intent_id
    ask_cancel(journal, intent_id, kind=CancelKind.REPLACE, actor="ann", reason="price", now=NOW)
    broker.end(id_of(broker), OrderStatus.REJECTED)
    execute(journal, broker)

    assert row_of(journal).state == "failed"
    assert halted(journal) == []


def test_nobody_ends_an_intent_whose_order_arrived_after_it_was_last_looked_for(decided):
    journal = decided(approved("AAPL"))
    forgets = replace(REMEMBERS, dedup_scope=DedupScope.NONE)
    broker = FakeBroker(capabilities=forgets, outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT])
    execute(journal, broker, send_by=NOW + timedelta(seconds=20))
    broker.hidden.add(id_of(broker))
    reconcile(journal, broker, now=NOW + timedelta(seconds=1))
    broker.hidden.clear()
    broker.fill(id_of(broker), 10, PRICE, now=NOW)
    told = {"actor": "ann", "reason": "not in their list", "now": CLOSE}
    with pytest.raises(IllegalTransition, match="it may have arrived since it was last looked for"):
        conclude_parked(journal, row_of(journal).intent_id, **told)
    reconcile(journal, broker, now=CLOSE - timedelta(hours=1))

    assert row_of(journal).state == "executed"


def test_an_absence_told_by_a_clock_that_was_ahead_is_counted_anew(decided):
    journal = decided(approved("AAPL"))
    broker = FakeBroker(
        capabilities=replace(REMEMBERS, settle_time_s=30),
        outcomes=[SendOutcome.TIME_OUT, SendOutcome.TIME_OUT],
    )
    execute(journal, broker)
    reconcile(journal, broker, now=CLOSE + timedelta(hours=2))
    for seconds in (0, 29):
        reconcile(journal, broker, now=CLOSE + timedelta(seconds=seconds))
        assert row_of(journal).state == "unknown"
    reconcile(journal, broker, now=CLOSE + timedelta(seconds=30))

    assert row_of(journal).state == "expired"


def test_of_what_is_absent_for_good_only_the_looks_of_the_first_minutes_are_kept(decided):
    journal = decided(approved("AAPL"))
    forgets = replace(REMEMBERS, dedup_scope=DedupScope.NONE)
    broker = FakeBroker(capabilities=forgets, outcomes=[SendOutcome.TIME_OUT])
    execute(journal, broker)
    for minute in range(600, 660):
        reconcile(journal, broker, now=NOW + timedelta(minutes=minute))
    absences = [event for event in journal.events(after=0, limit=999) if event.kind == "absent_at_broker"]

    assert row_of(journal).stage is Stage.PARKED
    assert len(absences) == 3 + 5


def test_a_row_that_was_changed_by_hand_is_never_sent_as_a_replacement(journal, tmp_path):
    broker = FakeBroker()
    execute(journal, broker)
    intent_id = row_of(journal).intent_id
    ask_cancel(journal, intent_id, kind=CancelKind.REPLACE, actor="ann", reason="price", now=NOW)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    with sqlite3.connect(tmp_path / "journal.db") as by_hand:
        named = "select name from sqlite_master where type = 'trigger' and tbl_name = 'intents'"
        for (trigger,) in by_hand.execute(named).fetchall():
            by_hand.execute(f"drop trigger {trigger}")
        by_hand.execute("update intents set quantity = 1000 where intent_id = ?", (intent_id,))
    execute(journal, broker)

    assert [request.quantity for request in broker.submitted] == [10, 10, 10]
    assert journal.run_control().kill_switch_on
    assert "payload_mismatch" in kinds(journal)


class TakesBackWhatWasSold(Blind):
    """Take the executions of one order back."""

    taken_back = ""

    def fills(self, client_order_id, *, now):
        told = super().fills(client_order_id, now=now)
        if client_order_id == self.taken_back:
            told = [*told, told[0]._replace(execution_id="bust-1", takes_back=told[0].execution_id)]
        return told


def test_a_bust_of_shares_that_were_sold_on_halts_the_account_and_hides_no_zombie(decided):
    sale = {"side": Side.SELL, "slot": Slot.FLATTEN, "outcome": Outcome.PENDING_APPROVAL}
    journal = decided(approved("AAPL"), approved("AAPL", **sale))
    broker = TakesBackWhatWasSold(fills_at_micros=PRICE)
    execute(journal, broker)
    row = row_of(journal, side=Side.SELL)
    seen = {"version": row.version, "payload_hash": row.payload_hash, "nonce": "n"}
    journal.approve(row.intent_id, **seen, actor="ann", reason="sell", now=NOW)
    bought = id_of(broker)
    execute(journal, broker)
    broker.taken_back, broker.strangers = bought, (stranger(broker),)
    broker.alter(bought, filled_quantity=0)
    broker.strangers = (replace(broker.strangers[0], status=OrderStatus.WORKING, filled_quantity=0),)
    outcomes = reconcile(journal, broker)

    assert {finding.kind.value for finding in outcomes.findings} == {"bust", "zombie", "book_oversold"}
    assert broker.cancels == [broker.strangers[0].client_order_id]
    assert (ACCOUNT, "") in halted(journal)
    assert "fill sells 10 AAPL: the book holds 0" in journal.halts()[0].reason
