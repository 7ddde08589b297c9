"""Reconciling with a broker that tells something else: named, halted, never aligned by an order.

The executor's own faults are test_executions.py; the rules alone are tests/trading/test_protocol.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from resources.journal.store import SqlJournal
from trading.audit import BadEntry
from trading.brokers import ActivityKind, BrokerActivity, BrokerFill, DedupScope, Holdings
from trading.errors import BrokerUnavailable, IllegalTransition, Refused, StaleVersion, UnknownId
from trading.executions import (
    Desk,
    ask_cancel,
    conclude_parked,
    execute_session,
    reconcile_account,
    settle_orders,
)
from trading.guards import GUARDS, MISSING_PRICE, NO_LIMIT, PASS, QUOTE_STALE, Why
from trading.intents import CLIENT_ORDER_ID_PREFIX
from trading.journal import CancelKind
from trading.lifecycle import IntentState, Stage
from trading.orders import OrderStatus
from trading.positions import opened_book
from trading.protocol import request_of
from trading.reconciliation import Expected
from trading.testing import (
    REMEMBERS,
    FakeBroker,
    NoAuditLog,
    OpenLock,
    SendOutcome,
    example_decision,
    example_intent,
)
from trading.values import ClientOrderId, Slot, Symbol

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
SESSION, SINCE = date(2013, 2, 28), date(2013, 2, 26)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
PRICE = 100_000_000
OPENING = opened_book(currency="USD", deposit_micros=10**12)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
FORGETS = replace(REMEMBERS, dedup_scope=DedupScope.NONE)


@pytest.fixture
def journal(tmp_path) -> Iterator[SqlJournal]:
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as opened:
        opened.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        decisions = [
            example_decision(example_intent(symbol, quantity=10), not_after=CLOSE)
            for symbol in ("AAPL", "MSFT")
        ]
        opened.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
        yield opened


def desk(journal, broker, *, now=NOW, lock=None, audit=None) -> Desk:
    return Desk(
        journal=journal,
        broker=broker,
        lock=lock or OpenLock(),
        audit=audit or NoAuditLog(),
        clock=lambda: now,
        account=ACCOUNT,
        lane=LANE,
        holder="test",
    )


def execute(journal, broker, *, review=lambda *_: PASSED, send_by=CLOSE, slots=frozenset(Slot), **options):
    return execute_session(
        desk(journal, broker, **options),
        book=BOOK,
        session=SESSION,
        since=SINCE,
        book_at_open=OPENING,
        review=review,
        send_by=send_by,
        slots=slots,
    )


EXPECTED = Expected(book=BOOK, session=SESSION, at_open=OPENING)


def reconcile(journal, broker, *, expected=EXPECTED, **options):
    return reconcile_account(desk(journal, broker, **options), since=SINCE, expected=expected)


def settle(journal, broker, *, now=CLOSE, **options):
    return settle_orders(
        desk(journal, broker, now=now, **options),
        book=BOOK,
        session=SESSION,
        since=SINCE,
        expected=EXPECTED,
        actor="test",
    )


def row_of(journal, symbol="AAPL"):
    return next(row for row in journal.intents(**OF) if row.intent.symbol == symbol)


def id_of(broker, symbol="AAPL") -> ClientOrderId:
    return next(request.client_order_id for request in broker.submitted if request.symbol == symbol)


def halts(journal) -> list[tuple[str, str]]:
    return [(halt.account, halt.symbol) for halt in journal.halts()]


def kinds(journal) -> list[str]:
    return [incident.kind for incident in journal.incidents()]


class Altered(FakeBroker):
    """Tell of one more order than was sent, or hold something else than was filled."""

    more: tuple = ()
    held: Holdings | None = None

    def orders(self, *, since, now):
        return [*super().orders(since=since, now=now), *self.more]

    def holdings(self, *, now):
        found = super().holdings(now=now)
        return self.held if self.held is not None else found


# -------------------------------------------------------------------------------- the order of a start


def test_nothing_is_claimed_before_the_term_is_reconciled(journal):
    row = row_of(journal)
    term = journal.begin_term(account=ACCOUNT, lane=LANE, holder="x", now=NOW)
    with pytest.raises(StaleVersion, match="not_reconciled: executor term 1"):
        journal.claim(row.intent_id, version=row.version, term=term, holder="x", now=NOW)
    journal.record_reconciled(account=ACCOUNT, lane=LANE, term=term, findings=[], now=NOW)

    assert journal.claim(row.intent_id, version=row.version, term=term, holder="x", now=NOW).epoch == 1


def test_an_executor_that_another_one_followed_claims_and_prepares_nothing(journal):
    first, second = row_of(journal), row_of(journal, "MSFT")
    old = journal.begin_term(account=ACCOUNT, lane=LANE, holder="old", now=NOW)
    journal.record_reconciled(account=ACCOUNT, lane=LANE, term=old, findings=[], now=NOW)
    claimed = journal.claim(first.intent_id, version=1, term=old, holder="old", now=NOW)
    journal.begin_term(account=ACCOUNT, lane=LANE, holder="new", now=NOW)
    prepare = {
        "book_at_open": OPENING,
        "review": lambda *_: PASSED,
        "send_by": CLOSE,
        "is_live": False,
        "now": NOW,
    }
    with pytest.raises(StaleVersion, match="term_over: expected executor term 1, found term 2 of new"):
        journal.claim(second.intent_id, version=1, term=old, holder="old", now=NOW)
    with pytest.raises(StaleVersion, match="term_over"):
        journal.prepare(first.intent_id, epoch=claimed.epoch, term=old, **prepare)
    with pytest.raises(StaleVersion, match="term_over"):
        journal.record_reconciled(account=ACCOUNT, lane=LANE, term=old, findings=[], now=NOW)

    assert journal.orders(**OF) == []


def test_an_executor_that_another_one_follows_in_the_middle_of_its_run_stops_and_says_so(journal):
    class Follows(FakeBroker):
        def submit(self, request, *, now):
            journal.begin_term(account=ACCOUNT, lane=LANE, holder="new", now=now)
            return super().submit(request, now=now)

    broker = Follows(fills_at_micros=PRICE)
    outcomes = execute(journal, broker)

    assert [reason for _, reason in outcomes.held] == [
        f"account {ACCOUNT}: term_over: expected executor term 1, found term 2 of new"
    ]
    assert len(broker.submitted) == 1


def test_a_run_whose_lock_was_taken_away_sends_nothing(journal):
    lock = OpenLock()
    lock.is_lost = True
    broker = FakeBroker()
    outcomes = execute(journal, broker, lock=lock)

    assert outcomes.halted.startswith("lock_lost: account SIM-FIVE")
    assert broker.submitted == []
    assert row_of(journal).stage is Stage.PREPARED
    assert len(execute(journal, broker).sent) == 2


class BrokenLog(NoAuditLog):
    def verify(self):
        return BadEntry(3, 3, "hash is not that of the content")


def test_a_broken_chain_halts_all_trading_before_anything_is_asked(journal):
    broker = FakeBroker()
    outcomes = execute(journal, broker, audit=BrokenLog())

    assert outcomes.halted == "audit_chain_broken: line 3, event 3: hash is not that of the content"
    assert journal.run_control().kill_switch_on
    assert broker.submitted == []


def test_a_damaged_journal_is_refused_before_anything_is_asked(tmp_path, journal):
    for _ in range(3):
        execute(journal, FakeBroker(fills_at_micros=PRICE))
    journal.close()
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    broker = FakeBroker()

    with (
        pytest.raises(Exception, match=r"damaged|malformed|restore|keep the file"),
        SqlJournal(f"sqlite:///{path}") as damaged,
    ):
        execute(damaged, broker)
    assert broker.submitted == []


def test_every_run_leaves_a_reconciled_event_that_says_what_it_found(journal):
    broker = Altered(fills_at_micros=PRICE)
    reconcile(journal, broker)
    broker.held = Holdings(cash_micros=1)
    reconcile(journal, broker)
    found = [event for event in journal.events(after=0, limit=99) if event.kind == "reconciled"]

    assert [event.body["term"] for event in found] == [1, 2]
    assert [event.body["findings"] for event in found] == [
        [],
        ["cash_mismatch: cash: book 1,000,000.000000 USD, broker 0.000001 USD"],
    ]


class Charging(Altered):
    """Charge fees that no execution tells of, beside what was traded."""

    charged: tuple = ()

    def activities(self, *, since, now):
        return [*super().activities(since=since, now=now), *self.charged]


def fee(number, micros, **changes):
    told = BrokerActivity(f"fee-{number}", ActivityKind.FEE, NOW, "", 0, 0, -micros, detail="REG fee")
    return told._replace(**changes)


def test_a_fee_that_no_execution_tells_of_is_named_where_the_cash_differs_by_it(journal):
    broker = Charging(fills_at_micros=PRICE)
    execute(journal, broker)
    traded = broker.holdings(now=NOW)
    broker.held = replace(traded, cash_micros=traded.cash_micros - 20_000 + 5_000_000)
    broker.charged = (
        fee("own", 20_000),
        fee("div", -5_000_000, kind=ActivityKind.DIVIDEND, symbol="AAPL", detail=""),
    )
    (found,) = reconcile(journal, broker).findings

    assert found.kind == "cash_mismatch"
    assert found.detail.endswith(
        "; the broker tells of fee -0.02 on 2013-02-28 (REG fee), dividend 5 AAPL on 2013-02-28"
    )
    assert halts(journal) == [(ACCOUNT, "")]
    assert found.detail in journal.halts()[0].reason


def test_a_split_that_the_book_does_not_have_is_named_where_the_shares_differ_by_it(journal):
    broker = Charging(fills_at_micros=PRICE)
    execute(journal, broker)
    traded = broker.holdings(now=NOW)
    broker.held = replace(traded, quantities=dict(traded.quantities) | {Symbol("AAPL"): 20})
    broker.charged = (
        fee("split", 0, kind=ActivityKind.SPLIT, symbol="AAPL", quantity=10, detail="2 for 1"),
        fee("other", 0, kind=ActivityKind.SPLIT, symbol="IBM", quantity=10, detail=""),
    )
    (found,) = reconcile(journal, broker).findings

    assert (found.kind, found.symbol) == ("position_mismatch", "AAPL")
    assert found.detail == (
        "AAPL: book 10, broker 20; the broker tells of split +10 AAPL on 2013-02-28 (2 for 1)"
    )


def test_a_cash_difference_is_told_though_nobody_says_what_changed_it(journal):
    class Silent(Altered):
        def activities(self, *, since, now):
            raise BrokerUnavailable("time_out: no whole answer")

    broker = Silent(fills_at_micros=PRICE)
    broker.held = Holdings(cash_micros=1)
    (found,) = reconcile(journal, broker).findings

    assert "broker 0.000001 USD; what changed it could not be asked (time_out" in found.detail


# -------------------------------------------------------------------------------- what does not agree


def test_a_live_order_without_a_row_is_a_zombie_cancelled_and_halts_the_account(journal):
    known = FakeBroker()
    execute(journal, known)
    stranger = replace(
        known.orders(since=SINCE, now=NOW)[0],
        client_order_id=ClientOrderId(CLIENT_ORDER_ID_PREFIX + "f" * 32),
    )
    broker = Altered()
    broker.more = (stranger,)
    outcomes = reconcile(journal, broker, expected=None)

    assert [finding.kind for finding in outcomes.findings] == ["zombie"]
    assert broker.cancels == [stranger.client_order_id]
    assert halts(journal) == [(ACCOUNT, "")]
    assert "zombie" in kinds(journal)
    assert "10 AAPL" in journal.incidents()[-1].detail


@pytest.mark.parametrize("its_id", ["0", "z"], ids=["listed first", "listed last"])
def test_a_live_second_order_under_the_id_of_an_ended_intent_is_cancelled(journal, its_id):
    broker = Altered(fills_at_micros=PRICE)
    execute(journal, broker)
    settle(journal, broker)
    (first,) = [order for order in broker.orders(since=SINCE, now=NOW) if order.symbol == "AAPL"]
    assert row_of(journal).state is IntentState.EXECUTED
    broker.more = (replace(first, broker_order_id=its_id, filled_quantity=0, status=OrderStatus.WORKING),)
    outcomes = reconcile(journal, broker, expected=None)

    assert [finding.kind for finding in outcomes.findings] == ["zombie", "two_orders_of_one_id"]
    assert broker.cancels == [first.client_order_id]
    assert halts(journal) == [(ACCOUNT, "")]


def test_two_orders_of_one_id_are_one_incident_and_one_halt_however_they_move(journal):
    broker = Altered(fills_at_micros=PRICE)
    execute(journal, broker)
    settle(journal, broker)
    (first,) = [order for order in broker.orders(since=SINCE, now=NOW) if order.symbol == "AAPL"]
    halts_seen = set()
    for filled, status in [(0, OrderStatus.WORKING), (4, OrderStatus.WORKING), (4, OrderStatus.CANCELLED)]:
        broker.more = (replace(first, broker_order_id="z", filled_quantity=filled, status=status),)
        reconcile(journal, broker, expected=None)
        halts_seen |= {halt.reason for halt in journal.halts() if "two_orders_of_one_id" in halt.reason}

    assert kinds(journal).count("two_orders_of_one_id") == 1
    assert {reason.count("two_orders_of_one_id") for reason in halts_seen} == {1}


def test_a_live_order_behind_an_ended_intent_is_a_zombie(journal):
    broker = FakeBroker(outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT] * 2)
    execute(journal, broker)
    broker.hidden = {id_of(broker), id_of(broker, "MSFT")}
    settle(journal, broker)
    assert row_of(journal).state is IntentState.EXPIRED
    broker.hidden = set()
    outcomes = reconcile(journal, broker, expected=None)

    assert [finding.kind for finding in outcomes.findings] == ["zombie"] * 2
    assert set(broker.cancels) == {id_of(broker), id_of(broker, "MSFT")}
    assert halts(journal) == [(ACCOUNT, "")]


def test_a_watched_id_that_turns_up_filled_is_an_orphan_and_its_exposure_is_found(journal):
    broker = FakeBroker(outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT] * 2)
    execute(journal, broker)
    broker.hidden = {id_of(broker), id_of(broker, "MSFT")}
    settle(journal, broker)
    broker.fill(id_of(broker), 10, PRICE, now=CLOSE)
    broker.hidden = {id_of(broker, "MSFT")}
    outcomes = reconcile(journal, broker)

    assert [finding.kind for finding in outcomes.findings] == [
        "orphan",
        "position_mismatch",
        "cash_mismatch",
    ]
    assert halts(journal) == [(ACCOUNT, ""), (ACCOUNT, "AAPL")]


def test_a_foreign_order_is_named_and_left_alone(journal):
    broker = Altered()
    execute(journal, broker)
    broker.more = (replace(broker.orders(since=SINCE, now=NOW)[0], client_order_id=ClientOrderId("by-hand")),)
    outcomes = reconcile(journal, broker)

    assert [finding.kind for finding in outcomes.findings] == ["foreign_order"]
    assert broker.cancels == []
    assert halts(journal) == []
    assert kinds(journal) == ["foreign_order"]


def test_a_position_that_differs_halts_its_instrument_and_no_other(journal):
    broker = Altered(fills_at_micros=PRICE)
    broker.held = Holdings(quantities={Symbol("AAPL"): 3}, cash_micros=10**12)
    outcomes = execute(journal, broker)

    assert halts(journal) == [(ACCOUNT, "AAPL")]
    assert [request.symbol for request in broker.submitted] == ["MSFT"]
    assert "instrument_halted" in outcomes.held[0][1]
    assert broker.cancels == []


def test_a_lifted_halt_holds_again_while_the_holdings_still_differ(journal):
    broker = Altered(fills_at_micros=PRICE)
    broker.held = Holdings(quantities={Symbol("AAPL"): 3}, cash_micros=10**12)
    execute(journal, broker)
    journal.lift_halt(account=ACCOUNT, symbol="AAPL", actor="ann", reason="looked", now=NOW)
    assert halts(journal) == []
    broker.held = Holdings(
        quantities={Symbol("AAPL"): 3, Symbol("MSFT"): 10}, cash_micros=10**12 - 10 * PRICE
    )
    execute(journal, broker)
    assert halts(journal) == [(ACCOUNT, "AAPL")]
    journal.lift_halt(account=ACCOUNT, symbol="AAPL", actor="ann", reason="mended", now=NOW)
    broker.held = None
    execute(journal, broker)

    assert halts(journal) == []
    assert row_of(journal).state is IntentState.EXECUTED


def test_an_ended_orphan_that_a_person_has_seen_halts_only_once(journal):
    broker = Altered()
    execute(journal, broker)
    broker.more = (
        replace(
            broker.orders(since=SINCE, now=NOW)[0],
            client_order_id=ClientOrderId(CLIENT_ORDER_ID_PREFIX + "e" * 32),
            status=OrderStatus.CANCELLED,
        ),
    )
    reconcile(journal, broker)
    assert halts(journal) == [(ACCOUNT, "")]
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ann", reason="seen", now=NOW)
    reconcile(journal, broker)

    assert halts(journal) == []


def test_a_halt_that_nobody_set_cannot_be_lifted(journal):
    with pytest.raises(UnknownId, match="halt of SIM-FIVE AAPL: there is none"):
        journal.lift_halt(account=ACCOUNT, symbol="AAPL", actor="ann", reason="x", now=NOW)


def test_holdings_that_cannot_be_asked_for_are_unknown_and_nothing_is_sent(journal):
    class Blind(FakeBroker):
        def holdings(self, *, now):
            raise BrokerUnavailable("timed out")

    broker = Blind()
    outcomes = execute(journal, broker)

    assert outcomes.halted == "broker_unavailable: timed out"
    assert broker.submitted == []
    term = journal.executor_term(account=ACCOUNT, lane=LANE)
    assert term is not None
    assert term.reconciled_at is None


def test_a_fill_between_two_looks_is_booked_and_is_no_difference(journal):
    class FillsMeanwhile(FakeBroker):
        def holdings(self, *, now):
            if self.submitted and not self.dump().fills:
                self.fill(id_of(self), 4, PRICE, now=now)
            return super().holdings(now=now)

    broker = FillsMeanwhile()
    execute(journal, broker)
    outcomes = reconcile(journal, broker)

    assert outcomes.findings == ()
    assert [fill.quantity for fill in journal.fills(**OF)] == [4]


# -------------------------------------------------------------------------------- cancel and replace


def test_a_cancel_is_on_disk_before_the_broker_is_asked_and_asked_again_until_it_is_true(journal):
    broker = FakeBroker()
    execute(journal, broker)
    row = row_of(journal)
    ask_cancel(journal, row.intent_id, kind=CancelKind.CANCEL, actor="ann", reason="news", now=NOW)
    assert broker.cancels == []
    for _ in range(2):
        assert row.intent_id in reconcile(journal, broker).still_open
    assert broker.cancels == [id_of(broker)] * 2
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    reconcile(journal, broker)

    assert row_of(journal).state is IntentState.CANCELLED
    assert row_of(journal, "MSFT").stage is Stage.WORKING


def test_a_cancel_that_came_too_late_ends_with_what_was_filled(journal):
    broker = FakeBroker()
    execute(journal, broker)
    row = row_of(journal)
    ask_cancel(journal, row.intent_id, kind=CancelKind.CANCEL, actor="ann", reason="news", now=NOW)
    broker.fill(id_of(broker), 10, PRICE, now=NOW)
    reconcile(journal, broker)

    assert (row_of(journal).state, row_of(journal).complete) == (IntentState.EXECUTED, True)


def test_what_was_never_sent_is_cancelled_at_once(journal):
    row = row_of(journal)
    ask_cancel(journal, row.intent_id, kind=CancelKind.CANCEL, actor="ann", reason="news", now=NOW)

    assert row_of(journal).state is IntentState.CANCELLED
    with pytest.raises(IllegalTransition):
        ask_cancel(journal, row.intent_id, kind=CancelKind.CANCEL, actor="ann", reason="again", now=NOW)


def test_an_order_that_outlives_its_intent_is_cancelled_and_expires(journal):
    broker = FakeBroker()
    execute(journal, broker)
    first = settle(journal, broker)
    assert len(first.still_open) == 2
    assert set(broker.cancels) == {id_of(broker), id_of(broker, "MSFT")}
    for symbol in ("AAPL", "MSFT"):
        broker.end(id_of(broker, symbol), OrderStatus.CANCELLED, "cancelled_on_request")
    settle(journal, broker)

    assert {row.state for row in journal.intents(**OF)} == {IntentState.EXPIRED}


def replaced(journal, broker, *, filled=4):
    execute(journal, broker)
    row = row_of(journal)
    if filled:
        broker.fill(id_of(broker), filled, PRICE, now=NOW)
    ask_cancel(journal, row.intent_id, kind=CancelKind.REPLACE, actor="ann", reason="stale", now=NOW)
    return row


def test_a_replacement_is_sent_only_after_the_old_order_has_ended_and_asks_for_what_is_left(journal):
    broker = FakeBroker()
    row = replaced(journal, broker)
    old = id_of(broker)
    assert execute(journal, broker).replaced == ()
    assert len(broker.submitted) == 2
    broker.end(old, OrderStatus.CANCELLED)
    outcomes = execute(journal, broker)
    first, second = (order for order in journal.orders(**OF) if order.intent_id == row.intent_id)

    assert outcomes.replaced == (row.intent_id,)
    assert (first.generation, first.status, first.filled_quantity) == (0, "cancelled", 4)
    assert (second.generation, second.status, second.request.quantity) == (1, "working", 6)
    assert second.client_order_id != first.client_order_id
    assert row_of(journal).generation == 1
    broker.fill(second.client_order_id, 6, PRICE, now=NOW)
    reconcile(journal, broker)
    assert (row_of(journal).state, row_of(journal).complete) == (IntentState.EXECUTED, True)
    assert sum(fill.quantity for fill in journal.fills(**OF) if fill.symbol == "AAPL") == 10


FLATTENS_ONLY = frozenset({Slot.FLATTEN})


def test_a_run_that_sends_flattens_only_claims_nothing_else_though_nothing_is_halted(journal):
    broker = FakeBroker()
    outcomes = execute(journal, broker, slots=FLATTENS_ONLY)

    assert (outcomes.sent, broker.submitted) == ((), [])
    assert {row.state for row in journal.intents(**OF)} == {IntentState.APPROVED}
    assert len(execute(journal, broker).sent) == 2


def test_a_run_that_sends_flattens_only_sends_nothing_else_again(journal):
    broker = FakeBroker(outcomes=[SendOutcome.TIME_OUT])
    execute(journal, broker)
    outcomes = execute(journal, broker, slots=FLATTENS_ONLY)

    assert outcomes.resent == ()
    assert row_of(journal).intent_id in outcomes.still_open
    assert len(broker.submitted) == 2
    assert len(execute(journal, broker).resent) == 1


def test_a_run_that_sends_flattens_only_replaces_nothing_else(journal):
    broker = FakeBroker()
    replaced(journal, broker)
    execute(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)

    assert execute(journal, broker, slots=FLATTENS_ONLY).replaced == ()
    assert len(broker.submitted) == 2
    assert len(execute(journal, broker).replaced) == 1


def test_an_order_that_filled_whole_before_its_cancel_is_not_replaced(journal):
    broker = FakeBroker()
    replaced(journal, broker, filled=10)
    outcomes = execute(journal, broker)

    assert outcomes.replaced == ()
    assert len(broker.submitted) == 2
    assert row_of(journal).state is IntentState.EXECUTED


def test_a_guard_that_stops_a_replacement_ends_the_intent_with_what_was_filled(journal):
    broker = FakeBroker()
    row = replaced(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    outcomes = execute(journal, broker, review=lambda *_: (Why(MISSING_PRICE, 0, 1, 0),))

    assert (row.intent_id, "missing_price") in outcomes.rejected
    assert (row_of(journal).state, row_of(journal).filled_quantity) == (IntentState.EXECUTED, 4)
    assert len(broker.submitted) == 2


def test_a_replacement_waits_for_what_time_may_cure(journal):
    broker = FakeBroker()
    row = replaced(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    stale = execute(journal, broker, review=lambda *_: (Why(QUOTE_STALE, 301, 300, 0),))
    late = execute(journal, broker, send_by=NOW + timedelta(seconds=1))
    assert (row.intent_id, "quote_stale") in stale.held
    assert late.held[0][1].startswith("send_by_near")
    assert row_of(journal).stage is Stage.WORKING

    assert len(execute(journal, broker).replaced) == 1


def test_only_an_executor_that_may_send_replaces_and_a_settlement_ends_instead(journal):
    broker = FakeBroker()
    row = replaced(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    assert row.intent_id in reconcile(journal, broker).still_open
    broker.end(id_of(broker, "MSFT"), OrderStatus.CANCELLED)
    settle(journal, broker)

    assert (row_of(journal).state, row_of(journal).filled_quantity) == (IntentState.EXECUTED, 4)
    assert len(broker.submitted) == 2


@pytest.mark.parametrize("outcome", [SendOutcome.REFUSE, SendOutcome.TIME_OUT])
def test_a_replacement_that_never_was_ends_with_what_the_old_order_filled(journal, outcome):
    broker = FakeBroker(outcomes=[SendOutcome.ACCEPT, SendOutcome.ACCEPT, outcome])
    replaced(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    execute(journal, broker)
    broker.end(id_of(broker, "MSFT"), OrderStatus.CANCELLED)
    settle(journal, broker, now=CLOSE)

    row = row_of(journal)
    assert (row.state, row.filled_quantity, row.complete) == (IntentState.EXECUTED, 4, False)
    assert halts(journal) == []


def test_the_guards_judge_of_a_resent_replacement_what_is_left_of_it(journal):
    broker = FakeBroker(outcomes=[SendOutcome.ACCEPT, SendOutcome.ACCEPT, SendOutcome.TIME_OUT])
    replaced(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    judged = []

    def review(row, funds):
        judged.append((row.generation, row.quantity))
        return PASSED

    execute(journal, broker, review=review)
    execute(journal, broker, review=review)

    assert judged == [(0, 6), (1, 6)]
    assert [request.quantity for request in broker.submitted if request.symbol == "AAPL"] == [10, 6, 6]


def test_a_cancel_is_stronger_than_a_replacement_and_nothing_overwrites_it(journal):
    broker = FakeBroker()
    row = replaced(journal, broker, filled=0)
    asked = {"actor": "bob", "reason": "stop it", "now": NOW}
    ask_cancel(journal, row.intent_id, kind=CancelKind.CANCEL, **asked)
    for kind in (CancelKind.REPLACE, CancelKind.CANCEL, CancelKind.EXPIRY):
        with pytest.raises(IllegalTransition, match="cancel was asked for already"):
            ask_cancel(journal, row.intent_id, kind=kind, **asked)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    outcomes = execute(journal, broker)

    assert outcomes.replaced == ()
    assert row_of(journal).state is IntentState.CANCELLED


def test_nothing_is_sent_again_or_replaced_before_the_account_is_compared(journal):
    broker = Altered(outcomes=[SendOutcome.ACCEPT, SendOutcome.TIME_OUT])
    replaced(journal, broker)
    broker.end(id_of(broker), OrderStatus.CANCELLED)
    broker.held = Holdings(cash_micros=1)
    outcomes = execute(journal, broker)

    assert (outcomes.resent, outcomes.replaced) == ((), ())
    assert len(broker.submitted) == 2
    assert (ACCOUNT, "") in halts(journal)


def test_a_person_who_cancels_while_the_executor_runs_stops_no_other_intent(journal):
    class CancelledMeanwhile(FakeBroker):
        def submit(self, request, *, now):
            row = row_of(journal, "MSFT")
            journal.cancel(row.intent_id, version=row.version, actor="ann", reason="no", now=now)
            return super().submit(request, now=now)

    broker = CancelledMeanwhile()
    outcomes = execute(journal, broker)

    assert len(outcomes.sent) == 1
    assert "expected version 1, found 2" in outcomes.held[0][1]
    assert row_of(journal, "MSFT").state is IntentState.CANCELLED


def test_what_halts_while_orders_are_followed_is_told_as_a_finding(journal):
    class Boasts(FakeBroker):
        def fills(self, client_order_id, *, now):
            return [BrokerFill("exe-x", client_order_id, 6, PRICE, 0, now)]

    broker = Boasts()
    execute(journal, broker)
    outcomes = reconcile(journal, broker, expected=None)
    (*_, event) = [event for event in journal.events(after=0, limit=99) if event.kind == "reconciled"]

    assert [finding.kind for finding in outcomes.findings] == ["fill_refused"]
    assert [told.partition(":")[0] for told in event.body["findings"]] == ["fill_refused"]


def test_a_second_finding_joins_the_halt_in_force_and_lifting_the_first_is_refused(journal):
    broker = Altered()
    broker.held = Holdings(cash_micros=1)
    execute(journal, broker)
    (seen,) = journal.halts()
    broker.more = (
        replace(
            FakeBroker().submit(request_like(journal), now=NOW),
            client_order_id=ClientOrderId(CLIENT_ORDER_ID_PREFIX + "d" * 32),
        ),
    )
    reconcile(journal, broker)
    lift = {"account": ACCOUNT, "symbol": "", "actor": "ann", "reason": "seen", "now": NOW}
    with pytest.raises(StaleVersion, match=r"is 'cash_mismatch: .* \| zombie: .* meanwhile; look again"):
        journal.lift_halt(**lift, expected=seen)

    assert halts(journal) == [(ACCOUNT, "")]


def request_like(journal):
    return request_of(row_of(journal))


def test_a_zombie_whose_cancel_fails_hides_no_other_finding(journal):
    class Deaf(Altered):
        def cancel(self, client_order_id, *, now):
            raise BrokerUnavailable("timed out")

    broker = Deaf()
    broker.held = Holdings(quantities={Symbol("FB"): 1}, cash_micros=1)
    broker.more = (
        replace(
            FakeBroker().submit(request_like(journal), now=NOW),
            client_order_id=ClientOrderId(CLIENT_ORDER_ID_PREFIX + "d" * 32),
        ),
    )
    outcomes = reconcile(journal, broker)

    assert outcomes.halted == "broker_unavailable: timed out"
    assert kinds(journal) == ["zombie", "position_mismatch", "cash_mismatch"]


def test_holdings_of_a_later_session_are_not_held_against_this_ones_book(journal):
    broker = Altered()
    broker.held = Holdings(cash_micros=1)
    until = replace(EXPECTED, until=CLOSE)

    assert reconcile(journal, broker, expected=until, now=CLOSE).findings == ()
    assert len(reconcile(journal, broker, expected=until, now=CLOSE - timedelta(seconds=1)).findings) == 1


# -------------------------------------------------------------------------------- parked


def parked(journal, broker):
    execute(journal, broker, send_by=NOW + timedelta(seconds=60))
    execute(journal, broker)
    row = row_of(journal)
    assert row.stage is Stage.PARKED
    return row


def test_a_person_ends_a_parked_intent_that_was_proven_absent_and_its_id_is_watched(journal):
    broker = FakeBroker(outcomes=[SendOutcome.TIME_OUT], capabilities=FORGETS, fills_at_micros=PRICE)
    row = parked(journal, broker)
    told = {"actor": "ann", "reason": "broker says no order"}
    late = NOW + timedelta(seconds=365)
    for looked_at in (NOW, late - timedelta(seconds=1)):
        reconcile(journal, broker, now=looked_at)
        with pytest.raises(IllegalTransition, match="reconcile again from 2013-02-28 14:36:05 UTC on"):
            conclude_parked(journal, row.intent_id, **told, now=late + timedelta(hours=1))
    reconcile(journal, broker, now=late)
    ended = conclude_parked(journal, row.intent_id, **told, now=late)

    assert (ended.state, ended.actor) == (IntentState.FAILED, "ann")
    watched = journal.watched(account=ACCOUNT, since=SINCE)
    assert [order.intent_id for order in watched] == [row.intent_id]
    assert journal.watched(account=ACCOUNT, since=SESSION + timedelta(days=1)) == []
    assert [request.symbol for request in broker.submitted] == ["AAPL", "MSFT"]


def test_a_person_cannot_end_what_is_not_parked_or_without_a_name(journal):
    broker = FakeBroker(outcomes=[SendOutcome.TIME_OUT], capabilities=FORGETS, fills_at_micros=PRICE)
    row = parked(journal, broker)
    with pytest.raises(Refused, match="named person"):
        conclude_parked(journal, row.intent_id, actor=" ", reason="x", now=NOW)
    with pytest.raises(Refused, match="is executed, not parked"):
        conclude_parked(journal, row_of(journal, "MSFT").intent_id, actor="ann", reason="x", now=NOW)

    assert row_of(journal).stage is Stage.PARKED


def test_a_dead_session_that_proves_no_death_leaves_what_was_prepared_alone_until_its_lease_is_over(journal):
    lost = OpenLock(proves_death=False)
    lost.is_lost = True
    broker = FakeBroker(capabilities=FORGETS, fills_at_micros=PRICE)
    send_by = NOW + timedelta(seconds=60)
    execute(journal, broker, lock=lost, send_by=send_by)
    waiting = reconcile(journal, broker, lock=OpenLock(proves_death=False), now=NOW)
    assert row_of(journal).stage is Stage.PREPARED
    assert row_of(journal).intent_id in waiting.still_open
    assert waiting.halted.startswith("earlier_holder_may_be_alive")
    later = reconcile(journal, broker, lock=OpenLock(proves_death=False), now=send_by + timedelta(seconds=5))

    assert later.parked == (row_of(journal).intent_id,)
    assert row_of(journal).reason == "holder_not_proven_dead"


def test_what_an_earlier_holder_sends_within_its_lease_is_no_mismatch(journal):
    lost = OpenLock(proves_death=False)
    lost.is_lost = True
    broker = FakeBroker(fills_at_micros=PRICE)
    send_by = NOW + timedelta(seconds=60)
    execute(journal, broker, lock=lost, send_by=send_by)
    order = journal.order_of(row_of(journal).intent_id)
    broker.submit(order.request, now=NOW)
    assert reconcile(journal, broker, lock=OpenLock(proves_death=False), now=NOW).halted
    assert (journal.incidents(), journal.halts()) == ([], [])

    reconcile(journal, broker, lock=OpenLock(proves_death=False), now=send_by + timedelta(seconds=5))
    assert row_of(journal).state is IntentState.EXECUTED
    assert (journal.incidents(), journal.halts()) == ([], [])


def test_a_person_ends_on_their_word_what_no_query_can_prove(journal):
    broker = FakeBroker()
    execute(journal, broker)
    broker.hidden = {id_of(broker), id_of(broker, "MSFT")}
    reconcile(journal, broker)
    row = row_of(journal)
    assert (row.stage, row.reason) == (Stage.PARKED, "acknowledged_then_absent")
    told = {"actor": "ann", "reason": "the desk there has none", "now": CLOSE}
    with pytest.raises(IllegalTransition, match="that it is gone proves nothing"):
        conclude_parked(journal, row.intent_id, **told)

    assert conclude_parked(journal, row.intent_id, **told, is_on_word=True).state is IntentState.EXPIRED


def test_an_order_that_the_broker_has_otherwise_is_not_absent_when_it_hides(journal):
    broker = FakeBroker(outcomes=[SendOutcome.ACCEPT_THEN_TIME_OUT], capabilities=FORGETS)
    execute(journal, broker)
    broker.alter(id_of(broker), quantity=99)
    execute(journal, broker)
    broker.hidden = {id_of(broker)}
    for _ in range(4):
        execute(journal, broker)

    with pytest.raises(IllegalTransition, match="that it is gone proves nothing"):
        conclude_parked(journal, row_of(journal).intent_id, actor="ann", reason="gone", now=CLOSE)


# -------------------------------------------------------------------------------- busts and nameless fills


class Busts(FakeBroker):
    """Take the first execution back, as a report of its own."""

    is_busted = False

    def fills(self, client_order_id, *, now):
        told = super().fills(client_order_id, now=now)
        if self.is_busted and told:
            told = [told[0]._replace(execution_id="bust-1", takes_back=told[0].execution_id), *told]
        return told


def test_a_bust_is_a_row_of_its_own_halts_the_instrument_and_leaves_the_fill_in_history(journal):
    broker = Busts()
    execute(journal, broker)
    broker.fill(id_of(broker), 4, PRICE, now=NOW)
    reconcile(journal, broker)
    broker.is_busted = True
    broker.alter(id_of(broker), filled_quantity=0, status=OrderStatus.CANCELLED)
    reconcile(journal, broker, expected=None)
    events = [event.kind for event in journal.events_of(row_of(journal).intent_id)]

    assert halts(journal) == [(ACCOUNT, "AAPL")]
    assert journal.fills(**OF) == []
    assert journal.net_filled(id_of(broker)) == 0
    assert events.count("filled") == events.count("bust") == 1
    assert row_of(journal).state is IntentState.EXECUTED
    reconcile(journal, broker, expected=None)
    assert kinds(journal).count("bust") == 1


def test_a_bust_of_something_that_was_never_booked_halts_the_account(journal):
    class Invents(FakeBroker):
        def fills(self, client_order_id, *, now):
            return [BrokerFill("bust-9", client_order_id, 1, PRICE, 0, now, takes_back="exe-none")]

    execute(journal, Invents())

    assert halts(journal) == [(ACCOUNT, "")]
    assert "fill_refused" in kinds(journal)


def test_a_bust_after_the_end_that_was_never_booked_is_an_orphan(journal):
    class Invents(FakeBroker):
        def fills(self, client_order_id, *, now):
            told = super().fills(client_order_id, now=now)
            if now < CLOSE:
                return told
            return [BrokerFill("bust-9", client_order_id, 1, PRICE, 0, now, takes_back="exe-none")]

    broker = Invents(fills_at_micros=PRICE)
    execute(journal, broker)
    broker.alter(id_of(broker), filled_quantity=9, status=OrderStatus.CANCELLED)
    outcomes = reconcile(journal, broker, now=CLOSE, expected=None)

    assert [finding.kind for finding in outcomes.findings] == ["orphan"]


class Nameless(FakeBroker):
    """Report executions without ids, and each report in another order."""

    def fills(self, client_order_id, *, now):
        told = super().fills(client_order_id, now=now)
        return [fill._replace(execution_id="") for fill in reversed(told)]


def test_executions_without_ids_are_booked_once_each_however_often_they_are_told(journal):
    broker = Nameless()
    execute(journal, broker)
    for quantity in (3, 3, 4):
        broker.fill(id_of(broker), quantity, PRICE, now=NOW)
        reconcile(journal, broker)
    reconcile(journal, broker)

    assert sorted(fill.quantity for fill in journal.fills(**OF)) == [3, 3, 4]
    assert row_of(journal).state is IntentState.EXECUTED
    assert halts(journal) == []


def test_an_execution_without_an_id_whose_commission_is_told_later_is_the_same_one(journal):
    class Later(FakeBroker):
        commission = 0

        def fills(self, client_order_id, *, now):
            told = super().fills(client_order_id, now=now)
            return [fill._replace(execution_id="", commission_micros=self.commission) for fill in told]

    broker = Later()
    execute(journal, broker)
    broker.fill(id_of(broker), 4, PRICE, now=NOW)
    reconcile(journal, broker)
    broker.commission = 1_000_000
    reconcile(journal, broker)

    assert [fill.quantity for fill in journal.fills(**OF)] == [4]
    assert halts(journal) == []


def test_an_execution_that_gets_its_id_later_is_not_booked_beside_itself(journal):
    class Names(FakeBroker):
        is_named = False

        def fills(self, client_order_id, *, now):
            told = super().fills(client_order_id, now=now)
            return told if self.is_named else [fill._replace(execution_id="") for fill in told]

    broker = Names()
    execute(journal, broker)
    broker.fill(id_of(broker), 4, PRICE, now=NOW)
    reconcile(journal, broker)
    broker.is_named = True
    reconcile(journal, broker)

    assert [fill.quantity for fill in journal.fills(**OF)] == [4]
    assert "fill_refused" in kinds(journal)


class Rebates(FakeBroker):
    """Tell of a commission below nothing for one order, which no journal holds."""

    def fills(self, client_order_id, *, now):
        told = super().fills(client_order_id, now=now)
        is_odd = client_order_id == id_of(self)
        return [fill._replace(commission_micros=-1) for fill in told] if is_odd else told


def test_an_execution_that_no_journal_holds_is_named_and_keeps_no_other_order_from_its_end(journal):
    broker = Rebates()
    execute(journal, broker)
    for symbol in ("AAPL", "MSFT"):
        broker.fill(id_of(broker, symbol), 10, PRICE, now=NOW)
    report = reconcile(journal, broker)

    assert report.halted == ""
    assert row_of(journal, "MSFT").state is IntentState.EXECUTED
    assert (row_of(journal).stage, row_of(journal).filled_quantity) == (Stage.WORKING, 0)
    assert "fill_refused" in {finding.kind for finding in report.findings}
    assert (ACCOUNT, "") in halts(journal)


def test_executions_that_exceed_what_the_order_says_are_not_believed(journal):
    class Boasts(FakeBroker):
        def fills(self, client_order_id, *, now):
            return [BrokerFill("exe-x", client_order_id, 6, PRICE, 0, now)]

    broker = Boasts()
    execute(journal, broker)

    assert "fill_refused" in kinds(journal)
    assert halts(journal)[0] == (ACCOUNT, "")


@pytest.mark.parametrize(
    "told",
    [
        {"commission_micros": -1},
        {"execution_id": " "},
        {"filled_at": datetime(1, 1, 1, tzinfo=UTC)},
    ],
    ids=["a commission below zero", "a blank id", "a time before all others"],
)
def test_an_execution_that_no_journal_keeps_is_a_finding_and_ends_no_run(journal, told):
    class Odd(FakeBroker):
        def fills(self, client_order_id, *, now):
            return [fill._replace(**told) for fill in super().fills(client_order_id, now=now)]

    broker = Odd(fills_at_micros=PRICE)
    outcomes = [execute(journal, broker), reconcile(journal, broker, expected=None), settle(journal, broker)]

    assert [(one.halted, one.new_fills) for one in outcomes] == [("", 0)] * 3
    assert "fill_refused" in kinds(journal)
    assert halts(journal)[0] == (ACCOUNT, "")
    assert row_of(journal).stage is Stage.WORKING


def test_a_bust_that_no_journal_keeps_is_an_orphan_and_ends_no_run(journal):
    class Invents(FakeBroker):
        def fills(self, client_order_id, *, now):
            told = super().fills(client_order_id, now=now)
            return told if now < CLOSE else [*told, told[0]._replace(execution_id="bust-1", takes_back=" ")]

    broker = Invents(fills_at_micros=PRICE)
    execute(journal, broker)
    broker.alter(id_of(broker), filled_quantity=9, status=OrderStatus.CANCELLED)
    outcomes = reconcile(journal, broker, now=CLOSE, expected=None)

    assert [finding.kind for finding in outcomes.findings] == ["orphan"]
