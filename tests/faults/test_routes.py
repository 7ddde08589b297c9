"""Routes under faults: an order goes to one adapter, stays with it, and no other ever hears of it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from resources.journal.store import SqlJournal
from resources.outbound.kept import JournalBreakers
from resources.routes import AccountRouter, Doors, RouteBreakers, RoutedBroker
from trading.breakers import BreakerState
from trading.brokers import Holdings
from trading.errors import BrokerRejected, BrokerUnavailable, JournalUnavailable, OutcomeUnknown
from trading.executions import Desk, execute_session
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.lifecycle import IntentState
from trading.orders import OrderStatus
from trading.positions import Book, Position
from trading.routing import ANY, EMBEDDED_PAPER, NoRoute, RouteChoice, RouteLine, RouteTable
from trading.testing import (
    FakeBroker,
    NoAuditLog,
    OpenLock,
    SendOutcome,
    example_decision,
    example_intent,
)
from trading.values import Side, Symbol

BOOK, LANE, ACCOUNT, MARKET = "us_five", "simulated", "SIM-FIVE", "XNYS"
SESSION, SINCE = date(2013, 2, 28), date(2013, 2, 26)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": BOOK, "lane": LANE, "session": SESSION}
PRICE = 100_000_000
CASH = 10**12
OPENED = Holdings(quantities={Symbol("IBM"): 5}, cash_micros=CASH)
EMPTY = Holdings(cash_micros=CASH)
OPENING = Book(
    currency="USD",
    cash_micros=CASH,
    deposits_micros=CASH + 5 * PRICE,
    positions=(Position(Symbol("IBM"), 5, 5 * PRICE),),
)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
BUYS = tuple(example_intent(symbol, quantity=10) for symbol in ("AAPL", "GOOG", "MSFT"))
SALE = example_intent("IBM", side=Side.SELL, quantity=5)
FIRST, SECOND = "first", "second"


class Blind(FakeBroker):
    """Answer questions and lose sends while `is_losing`; say that it is not there while `is_hung`."""

    is_losing = False
    is_hung = False

    def submit(self, request, *, now):
        if self.is_losing:
            self.submitted.append(request)
            raise OutcomeUnknown("time_out: nothing came back")
        return super().submit(request, now=now)

    def account(self, *, now):
        if self.is_hung:
            raise BrokerUnavailable("time_out: nothing came back")
        return super().account(now=now)


class Account:
    """Hold an account with two adapters, a journal with approved intents, and a clock that can be moved."""

    def __init__(self, journal, *, adapters, lines=None, remote=(FIRST, SECOND), only_reduces=""):
        self.journal = journal
        self.adapters = adapters
        self.real_now = NOW
        names = tuple(adapters)
        breakers = RouteBreakers(
            JournalBreakers(journal), lane=LANE, account=ACCOUNT, remote=remote, clock=lambda: self.real_now
        )
        self.broker = RoutedBroker(
            Doors(adapters=adapters, home=names, deposit_micros=CASH, openings={}),
            stored=journal,
            account=ACCOUNT,
            lane=LANE,
            breakers=breakers,
            only_reduces=only_reduces,
        )
        line = RouteLine(account=ANY, market=ANY, strategy=ANY, adapters=names, reason="test")
        self.router = AccountRouter(
            RouteTable(lines=lines or (line,)),
            self.broker,
            account=ACCOUNT,
            market=MARKET,
            breakers=breakers,
        )

    def breaker(self, adapter):
        return JournalBreakers(self.journal).breaker(f"route:{LANE}:{ACCOUNT}:{adapter}")

    def execute(self, *, now=NOW):
        return execute_session(
            Desk(
                journal=self.journal,
                broker=self.broker,
                router=self.router,
                lock=OpenLock(),
                audit=NoAuditLog(),
                clock=lambda: now,
                account=ACCOUNT,
                lane=LANE,
                holder="test",
            ),
            book=BOOK,
            session=SESSION,
            since=SINCE,
            book_at_open=OPENING,
            review=lambda *_: PASSED,
            send_by=CLOSE,
        )

    def routes(self):
        return {order.request.symbol: order.route for order in self.journal.orders(**OF)}

    def states(self):
        return {row.intent.symbol: row.state for row in self.journal.intents(**OF)}


@pytest.fixture
def journal(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as opened:
        opened.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        yield opened


@pytest.fixture
def account(journal):
    def make(*intents, **options):
        decisions = [example_decision(intent, not_after=CLOSE, account=ACCOUNT) for intent in intents]
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=NOW)
        options.setdefault(
            "adapters",
            {
                FIRST: Blind(opened=OPENED, fills_at_micros=PRICE),
                SECOND: Blind(opened=EMPTY, fills_at_micros=PRICE),
            },
        )
        return Account(journal, **options)

    return make


def sent(broker) -> list[str]:
    return [request.symbol for request in broker.submitted]


def test_an_order_goes_to_the_expected_adapter_and_its_row_and_its_event_say_so(account):
    desk = account(BUYS[0])
    desk.execute()

    assert (sent(desk.adapters[FIRST]), sent(desk.adapters[SECOND])) == (["AAPL"], [])
    assert desk.routes() == {"AAPL": RouteChoice(FIRST, FIRST)}
    (prepared,) = [event for event in desk.journal.events(after=0, limit=99) if event.kind == "prepared"]
    assert prepared.body["route"] == {
        "expected_adapter": FIRST,
        "actual_adapter": FIRST,
        "fallback_count": 0,
        "fallback_reason": "",
    }


def test_what_stands_in_is_chosen_before_anything_is_prepared_and_named_with_its_reason(account):
    desk = account(BUYS[0])
    desk.adapters[FIRST].is_hung = True
    desk.execute()

    assert (sent(desk.adapters[FIRST]), sent(desk.adapters[SECOND])) == ([], ["AAPL"])
    assert desk.routes() == {"AAPL": RouteChoice(FIRST, SECOND, 1, "first_timeout")}
    assert desk.states() == {"AAPL": IntentState.EXECUTED}


def test_an_order_whose_outcome_is_unknown_stays_with_its_adapter_whatever_ails_it(account):
    desk = account(BUYS[0])
    first, second = desk.adapters[FIRST], desk.adapters[SECOND]
    first.is_losing = True
    desk.execute()
    assert desk.states() == {"AAPL": IntentState.UNKNOWN}

    for minute in range(1, 6):
        first.is_hung = minute < 3
        first.is_losing = minute < 5
        desk.execute(now=NOW + timedelta(minutes=minute))

    (asked,) = {request.client_order_id for request in first.submitted}
    assert len(first.submitted) > 1, "it was never sent again, so nothing was tried"
    assert second.submitted == []
    assert second.order_by_client_order_id(asked, now=NOW) is None
    assert desk.routes() == {"AAPL": RouteChoice(FIRST, FIRST)}
    assert desk.states() == {"AAPL": IntentState.EXECUTED}


def test_sends_that_are_not_answered_open_the_breaker_and_the_next_intents_go_elsewhere(account):
    desk = account(*BUYS)
    first, second = desk.adapters[FIRST], desk.adapters[SECOND]
    first.is_losing = True
    desk.execute()

    assert (sent(first), sent(second)) == (["AAPL", "GOOG"], ["MSFT"])
    assert desk.routes()["MSFT"] == RouteChoice(FIRST, SECOND, 1, "first_circuit_open")
    assert desk.breaker(FIRST).state is BreakerState.OPEN
    assert desk.states() == {
        "AAPL": IntentState.UNKNOWN,
        "GOOG": IntentState.UNKNOWN,
        "MSFT": IntentState.EXECUTED,
    }


def test_after_its_time_one_order_tries_the_way_again_and_closes_the_breaker(account):
    desk = account(*BUYS)
    first, second = desk.adapters[FIRST], desk.adapters[SECOND]
    breaker = desk.breaker(FIRST)
    for _ in range(2):
        desk.router._breakers.heard(FIRST, "ta-other", word="time_out")
    assert desk.breaker(FIRST).version > breaker.version
    desk.real_now += timedelta(seconds=61)
    desk.execute()

    assert (sent(first), sent(second)) == (["AAPL", "GOOG", "MSFT"], [])
    assert desk.breaker(FIRST).state is BreakerState.CLOSED


def test_without_anybody_to_stand_in_nothing_is_claimed_and_the_intent_waits(account):
    desk = account(*BUYS, adapters={FIRST: Blind(opened=OPENED, fills_at_micros=PRICE)})
    desk.adapters[FIRST].is_losing = True
    outcomes = desk.execute()

    assert sent(desk.adapters[FIRST]) == ["AAPL", "GOOG"]
    assert desk.states()["MSFT"] is IntentState.APPROVED
    assert [reason for _, reason in outcomes.held] == ["no_route: first_circuit_open"]


def test_an_adapter_in_this_process_has_no_breaker(account):
    desk = account(*BUYS, adapters={FIRST: Blind(opened=OPENED)}, remote=())
    desk.adapters[FIRST].is_losing = True
    desk.execute()

    assert sent(desk.adapters[FIRST]) == ["AAPL", "GOOG", "MSFT"]


def test_a_sale_goes_where_the_shares_are_and_never_sells_short_elsewhere(account):
    desk = account(BUYS[0], SALE)
    first, second = desk.adapters[FIRST], desk.adapters[SECOND]
    # The first order ever was sent to the second adapter, and its fill is there.
    first.is_hung = True
    desk.router.route(desk.journal.intents(**OF)[1], now=NOW)
    first.is_hung = False
    desk.execute()
    assert (sent(first), sent(second)) == (["IBM", "AAPL"], [])
    assert second.holdings(now=NOW).quantities == {}


def test_a_sale_of_shares_that_only_another_adapter_has_falls_back_to_it(journal, account):
    desk = account(BUYS[0])
    desk.adapters[FIRST].is_hung = True
    desk.execute()
    desk.adapters[FIRST].is_hung = False
    sale = example_intent("AAPL", side=Side.SELL, quantity=10)
    (row,) = journal.intents(**OF)

    told = desk.router.route(_with_intent(row, sale), now=NOW)

    assert told == RouteChoice(FIRST, SECOND, 1, "first_shares_elsewhere")


def test_more_of_what_another_adapter_holds_is_bought_there_so_that_one_order_can_sell_it(journal, account):
    desk = account(BUYS[0])
    desk.adapters[FIRST].is_hung = True
    desk.execute()
    desk.adapters[FIRST].is_hung = False
    (row,) = journal.intents(**OF)

    more = desk.router.route(_with_intent(row, example_intent("AAPL", quantity=10)), now=NOW)
    other = desk.router.route(_with_intent(row, example_intent("GOOG", quantity=10)), now=NOW)

    assert more == RouteChoice(FIRST, SECOND, 1, "first_shares_elsewhere")
    assert other == RouteChoice(FIRST, FIRST)


def test_a_sale_whose_shares_are_at_no_adapter_of_its_route_waits(journal, account):
    desk = account(BUYS[0])
    desk.adapters[FIRST].is_hung = True
    desk.execute()
    line = RouteLine(account=ANY, market=ANY, strategy=ANY, adapters=(FIRST,), reason="changed since")
    narrowed = Account(journal, adapters=desk.adapters, lines=(line,))
    desk.adapters[FIRST].is_hung = False
    (row,) = journal.intents(**OF)

    told = narrowed.router.route(
        _with_intent(row, example_intent("AAPL", side=Side.SELL, quantity=10)), now=NOW
    )

    assert told == NoRoute("no_route: first_shares_elsewhere")


def _with_intent(row, intent):
    from dataclasses import replace

    return replace(row, intent=intent, quantity=intent.quantity, filled_quantity=0)


def test_what_several_adapters_hold_is_compared_with_the_book_as_one_account(journal, account):
    desk = account(*BUYS)
    first, second = desk.adapters[FIRST], desk.adapters[SECOND]
    first.is_losing = True
    desk.execute()
    first.is_losing = False
    outcomes = desk.execute(now=NOW + timedelta(minutes=5))

    assert set(desk.states().values()) == {IntentState.EXECUTED}
    assert {name: route.actual for name, route in desk.routes().items()} == {
        "AAPL": FIRST,
        "GOOG": FIRST,
        "MSFT": SECOND,
    }
    assert (outcomes.findings, outcomes.halted) == ((), "")
    held = desk.broker.holdings(now=NOW)
    assert held.quantities == {"AAPL": 10, "GOOG": 10, "IBM": 5, "MSFT": 10}
    assert held.cash_micros == CASH - 30 * PRICE
    assert {order.symbol for order in desk.broker.orders(since=SINCE, now=NOW)} == {"AAPL", "GOOG", "MSFT"}
    assert len(desk.broker.dump().orders) == len(first.accepted) + len(second.accepted)


STALE = "PROMOTION_STALE: its evidence would promote it no more"


def test_an_account_that_only_reduces_sells_what_it_holds_and_claims_no_buy(account):
    desk = account(*BUYS, SALE, only_reduces=STALE)
    outcomes = desk.execute()

    assert (sent(desk.adapters[FIRST]), sent(desk.adapters[SECOND])) == (["IBM"], [])
    assert desk.states()["IBM"] is IntentState.EXECUTED
    assert {desk.states()[intent.symbol] for intent in BUYS} == {IntentState.APPROVED}
    assert {reason for _, reason in outcomes.held} == {f"only_reduces: {STALE}"}


@pytest.mark.parametrize(
    "intent",
    [
        BUYS[0],
        example_intent("IBM", quantity=1),
        example_intent("IBM", side=Side.SELL, quantity=6),
        example_intent("AAPL", side=Side.SELL, quantity=1),
    ],
    ids=["a buy", "a buy of what is held", "a sale of more than is held", "a sale of what is not held"],
)
def test_what_an_account_that_only_reduces_would_add_by_is_refused_before_a_byte_goes_out(
    journal, account, intent
):
    prepared = account(intent)
    prepared.adapters[FIRST].is_losing = prepared.adapters[SECOND].is_losing = True
    prepared.execute()
    (order,) = journal.orders(**OF)
    adapters = {FIRST: Blind(opened=OPENED), SECOND: Blind(opened=EMPTY)}
    reducing = Account(journal, adapters=adapters, only_reduces=STALE).broker

    for send in (
        lambda: reducing.submit(order.request, now=NOW),
        lambda: reducing.replace(order.client_order_id, order.request, now=NOW),
    ):
        with pytest.raises(BrokerRejected, match=r"^only_reduces: .* is no sale of what is held; nothing"):
            send()
    assert (adapters[FIRST].submitted, adapters[SECOND].submitted) == ([], [])


def test_a_buy_whose_outcome_is_unknown_is_not_sent_again_by_an_account_that_only_reduces(journal, account):
    desk = account(BUYS[0])
    desk.adapters[FIRST].is_losing = True
    desk.execute()
    desk.adapters[FIRST].is_losing = False
    asked = len(desk.adapters[FIRST].submitted)
    reducing = Account(journal, adapters=desk.adapters, only_reduces=STALE)
    for minute in range(5, 30, 5):
        reducing.execute(now=NOW + timedelta(minutes=minute))

    assert len(desk.adapters[FIRST].submitted) == asked
    assert reducing.states() == {"AAPL": IntentState.UNKNOWN}


def test_shares_that_cannot_be_seen_are_not_sold_by_an_account_that_only_reduces(journal, account):
    desk = account(SALE)
    desk.adapters[FIRST].is_losing = True
    desk.execute()
    (order,) = journal.orders(**OF)
    adapters = {FIRST: Blind(opened=OPENED), SECOND: Blind(opened=EMPTY)}
    adapters[FIRST].is_down = True

    with pytest.raises(BrokerUnavailable):
        Account(journal, adapters=adapters, only_reduces=STALE).broker.submit(order.request, now=NOW)
    assert adapters[FIRST].submitted == []


def test_an_adapter_in_use_that_cannot_be_asked_holds_everything(account):
    desk = account(*BUYS)
    desk.adapters[FIRST].is_hung = True
    desk.execute()
    desk.adapters[SECOND].is_down = True
    outcomes = desk.execute(now=NOW + timedelta(minutes=5))

    assert outcomes.halted.startswith("broker_unavailable")


def test_a_cancel_goes_to_the_orders_own_adapter(journal, account):
    desk = account(BUYS[0], adapters={FIRST: Blind(opened=OPENED), SECOND: Blind(opened=EMPTY)})
    desk.adapters[FIRST].is_hung = True
    desk.execute()
    (order,) = journal.orders(**OF)
    desk.broker.cancel(order.client_order_id, now=NOW)

    assert desk.adapters[SECOND].cancels == [order.client_order_id]
    assert desk.adapters[FIRST].cancels == []


def test_an_order_that_was_never_prepared_is_not_sent_anywhere(journal, account):
    desk = account(BUYS[0], adapters={FIRST: Blind(opened=OPENED), SECOND: Blind(opened=EMPTY)})
    desk.execute()
    (order,) = journal.orders(**OF)
    from dataclasses import replace

    with pytest.raises(BrokerRejected, match="not_prepared"):
        desk.broker.submit(replace(order.request, client_order_id="ta-unknown"), now=NOW)
    assert len(desk.adapters[FIRST].submitted) == 1


def test_the_route_of_an_order_never_changes(tmp_path, account):
    desk = account(BUYS[0])
    desk.execute()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    with engine.begin() as conn, pytest.raises(sa.exc.IntegrityError, match="stays with the adapter"):
        conn.execute(sa.text("update orders set actual_adapter = 'second'"))
    engine.dispose()


def test_an_order_from_before_routes_were_stored_is_at_the_embedded_broker(journal, account):
    desk = account(BUYS[0], adapters={FIRST: Blind(opened=OPENED), EMBEDDED_PAPER: Blind(opened=OPENED)})
    desk.router.route = lambda *_args, **_options: RouteChoice("", "")
    desk.execute()

    (order,) = journal.orders(**OF)
    assert not order.route.is_recorded
    assert order.status == OrderStatus.WORKING
    assert (sent(desk.adapters[FIRST]), sent(desk.adapters[EMBEDDED_PAPER])) == ([], ["AAPL"])


def test_a_refusal_is_an_answer_and_opens_no_breaker(account):
    first = Blind(opened=OPENED, outcomes=[SendOutcome.REFUSE] * 3)
    desk = account(*BUYS, adapters={FIRST: first})
    desk.execute()

    assert len(first.submitted) == 3
    assert desk.breaker(FIRST).state is BreakerState.CLOSED


def test_an_answer_is_kept_though_nobody_can_note_how_the_way_did(account, monkeypatch):
    at = account(BUYS[0])

    def unwritten(*_, **__):
        raise JournalUnavailable("another process writes it")

    submit = at.adapters[FIRST].submit

    def answered(request, *, now):
        monkeypatch.setattr(JournalBreakers, "breaker", unwritten)
        return submit(request, now=now)

    monkeypatch.setattr(at.adapters[FIRST], "submit", answered)
    at.execute()

    assert at.states()[Symbol("AAPL")] is IntentState.EXECUTED
