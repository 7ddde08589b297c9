"""The paper broker's own account: cash and shares by its ledger and market, held against the book's rules."""

from __future__ import annotations

import multiprocessing
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.calendars import load_calendar
from resources.market_data.bokeh_stocks import BokehStocks
from resources.market_data.simulated_market import market_of
from resources.paper_broker.broker import CHECKPOINT_SESSIONS, PaperBroker
from resources.quality_rules import load_quality_limits
from resources.reviewed_config import book_config, read_books
from tests.adapters.broker_rules import (
    ACCOUNT,
    CALENDAR,
    CLOSE,
    DEPOSIT,
    EARLY,
    LATER,
    MODEL,
    NEXT,
    OPEN,
    SESSION,
    Market,
    request,
)
from tests.graph.desk import CONFIG
from trading.accounts import Execution, account_after, last_opened
from trading.actions import ActionKind, CorporateAction, effective_in
from trading.broker_behaviour import Behaviour, ReportFault
from trading.brokers import Holdings
from trading.orders import Fill, OrderRequest
from trading.positions import book_at_open, opened_book, with_fill
from trading.quality import judge_range
from trading.quotes import Panel
from trading.session import run_sessions
from trading.sessions import Calendar
from trading.values import ClientOrderId, IntentId, OrderType, Side, Symbol, TimeInForce

AAPL = Symbol("AAPL")
HOLDS_A_SPLIT = (date(2004, 3, 1), date(2005, 7, 1))
"""Of `us_five`: Apple's split of 2005 is in it, and dividends of IBM and Microsoft."""


@pytest.fixture(scope="module")
def five():
    """Give the book `us_five` as a plain loop runs it: its results, and what a broker of it is made of."""
    source = BokehStocks()
    line = read_books(CONFIG / "books.toml")["us_five"]
    calendar = load_calendar(line.calendar, CONFIG / "calendars")
    config = book_config("us_five", line, config_dir=CONFIG, source=source, calendar=calendar)
    sessions, limits = calendar.between(*HOLDS_A_SPLIT), load_quality_limits(CONFIG / "quality.toml")
    days = judge_range(
        sessions=sessions,
        raw=source.raw_bars(*HOLDS_A_SPLIT),
        calendar=calendar,
        previous={},
        actions=source.actions(),
        released=frozenset(),
        limits=limits,
        source_sha="",
    )
    panel = Panel.from_quotes(sessions, [quote for day in days for quote in day.accepted])
    results = run_sessions(
        config,
        panel=panel,
        actions=source.actions(),
        calendar=calendar,
        sessions=sessions[config.rules.window_sessions :],
        approve=True,
    )
    return config, calendar, results, market_of(source, calendar=calendar, limits=limits)


def sent(result, account):
    """Return what an executor would have sent for a session's fills."""
    decided = {decision.intent_id: decision.quantity for decision in result.decided.decisions}
    return [
        OrderRequest(
            client_order_id=fill.client_order_id,
            account=account,
            session=result.session,
            symbol=fill.symbol,
            side=fill.side,
            quantity=decided[fill.intent_id],
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.OPG,
            reference_price_micros=fill.price_micros,
        )
        for fill in result.fills
    ]


def test_the_account_is_the_book_to_the_micro_unit_in_every_session(five, tmp_path):
    config, calendar, results, market = five
    broker = PaperBroker(
        tmp_path / "SIM.db",
        account=config.account,
        deposit_micros=config.deposit_micros,
        market=market,
        fill_model=config.costs,
        calendar=calendar,
    )
    told, booked = [], []
    for result in results:
        for one in sent(result, config.account):
            broker.submit(one, now=calendar.opens_at(result.session))
        held = broker.holdings(now=calendar.closes_at(result.session) + timedelta(minutes=30))
        told.append((result.session, held.cash_micros, dict(held.quantities)))
        closing_book = result.closing
        shares = {position.symbol: position.quantity for position in closing_book.positions}
        booked.append((result.session, closing_book.cash_micros, shares))

    assert told == booked
    assert len(results) > 150
    # The range must hold what makes it a test: a split and dividends of what is held, sales, idle sessions.
    split_on = date(2005, 2, 28)
    before = next(shares for session, _, shares in reversed(told) if session < split_on)
    assert before.get("AAPL", 0) > 0
    assert results[-1].closing.dividends_micros > 0
    assert {fill.side for result in results for fill in result.fills} == set(Side)
    assert any(not result.fills for result in results)


def test_the_account_at_an_open_has_that_sessions_actions(five, tmp_path):
    config, calendar, results, market = five
    broker = PaperBroker(
        tmp_path / "SIM.db",
        account=config.account,
        deposit_micros=config.deposit_micros,
        market=market,
        fill_model=config.costs,
        calendar=calendar,
    )
    for result in results:
        opens_at = calendar.opens_at(result.session)
        held = broker.holdings(now=opens_at)
        expected = result.decided.proposed.at_open
        assert held.cash_micros == expected.cash_micros
        assert dict(held.quantities) == {one.symbol: one.quantity for one in expected.positions}
        for one in sent(result, config.account):
            broker.submit(one, now=opens_at)
            broker.fills(one.client_order_id, now=opens_at)


# -------------------------------------------------------------------------------- the fold and its checkpoint


DAYS = tuple(date(2013, 1, 1) + timedelta(days=number) for number in range(80))
EVERY_DAY = replace(CALENDAR, sessions=DAYS)


def dividend(day, micros=1_000_000):
    return CorporateAction(effective_on=day, symbol=AAPL, kind=ActionKind.DIVIDEND, dividend_micros=micros)


def opened(path, *, actions=(), calendar=EVERY_DAY, **options):
    return PaperBroker(
        path,
        account=ACCOUNT,
        deposit_micros=DEPOSIT,
        market=Market(AAPL=10**6, actions=actions),
        fill_model=MODEL,
        calendar=calendar,
        **options,
    )


def buy_each_day(broker, days):
    for number, day in enumerate(days):
        one = request(session=day, client_order_id=ClientOrderId(f"ta-{day}"), quantity=number + 1)
        broker.submit(one, now=EVERY_DAY.opens_at(day))
        broker.holdings(now=EVERY_DAY.closes_at(day))


def checkpoint(path):
    with closing(sqlite3.connect(path)) as ledger:
        return ledger.execute("select through_session, through_fill from checkpoints").fetchone()


def test_a_look_folds_what_came_since_the_checkpoint_and_gives_what_a_whole_fold_gives(tmp_path):
    path = tmp_path / "a.db"
    actions = [dividend(day) for day in DAYS[3::7]]
    broker = opened(path, actions=actions)
    buy_each_day(broker, DAYS)
    now = EVERY_DAY.closes_at(DAYS[-1])
    looked = broker.holdings(now=now)
    through, fill = checkpoint(path)
    with closing(sqlite3.connect(path)) as ledger:
        ledger.execute("delete from checkpoints")
        ledger.commit()

    assert date.fromisoformat(through) >= DAYS[-2 * CHECKPOINT_SESSIONS - 1]
    assert fill >= len(DAYS) - 2 * CHECKPOINT_SESSIONS
    assert broker.holdings(now=now) == looked


def test_an_earlier_day_is_told_as_it_was_and_the_last_one_after_it(tmp_path):
    broker = opened(tmp_path / "a.db", actions=[dividend(DAYS[30])])
    told = {}
    for number, day in enumerate(DAYS):
        one = request(session=day, client_order_id=ClientOrderId(f"ta-{day}"), quantity=number + 1)
        broker.submit(one, now=EVERY_DAY.opens_at(day))
        told[day] = broker.holdings(now=EVERY_DAY.closes_at(day))

    for day in (DAYS[-1], DAYS[2], DAYS[29], DAYS[30], DAYS[61], DAYS[-1]):
        assert broker.holdings(now=EVERY_DAY.closes_at(day)) == told[day]
    assert broker.holdings(now=EVERY_DAY.opens_at(DAYS[0]) - timedelta(hours=1)).cash_micros == DEPOSIT


def test_an_execution_that_comes_late_is_folded_where_it_belongs(tmp_path):
    """Its order's bar was missing on the day; the dividend in between is owed on its shares too."""
    late, path = Market(actions=[dividend(DAYS[2])]), tmp_path / "a.db"
    broker = opened(path)
    broker._market = late
    broker.submit(request(session=DAYS[1], quantity=10), now=EVERY_DAY.opens_at(DAYS[1]))
    for day in DAYS[1:60]:
        # Nobody asks about the order itself, so its day does not end for it.
        with broker._ledger.transaction(OSError) as ledger:
            broker._account(ledger, EVERY_DAY.closes_at(day))
    late.volumes["AAPL"] = 10**6
    held = broker.holdings(now=EVERY_DAY.closes_at(DAYS[60]))
    (fill,) = broker.fills(ClientOrderId("ta-AAPL"), now=EVERY_DAY.closes_at(DAYS[60]))
    paid = fill.quantity * fill.price_micros + fill.commission_micros

    assert checkpoint(path)[0] > DAYS[1].isoformat()
    assert held.quantities == {"AAPL": 10}
    assert held.cash_micros == DEPOSIT - paid + 10 * 1_000_000


def test_a_bust_after_a_checkpoint_is_folded_too(tmp_path):
    bust = Behaviour(reports={ReportFault.BUST: 10_000}, late_s=86_400 * 50)
    broker = opened(tmp_path / "a.db", behaviour=bust)
    broker.submit(request(session=DAYS[1], quantity=10), now=EVERY_DAY.opens_at(DAYS[1]))
    told = [broker.holdings(now=EVERY_DAY.closes_at(day)).quantities for day in DAYS]

    assert told[50] == {"AAPL": 10}
    assert told[-1] == {}
    assert broker.holdings(now=EVERY_DAY.closes_at(DAYS[-1])).cash_micros == DEPOSIT


def test_the_account_opens_with_what_its_ledger_was_made_with(tmp_path):
    path = tmp_path / "a.db"
    opened(path)
    again = PaperBroker(
        path,
        account="OTHER",
        deposit_micros=1,
        market=Market(),
        fill_model=MODEL,
        calendar=CALENDAR,
    )

    assert again.holdings(now=LATER).cash_micros == DEPOSIT
    assert again.dump().account == ACCOUNT


def test_a_child_process_uses_the_ledger_and_leaves_the_parents_alone(tmp_path):
    broker = opened(tmp_path / "a.db", calendar=CALENDAR)
    broker.submit(request(), now=EARLY)

    inherited = broker._ledger._connection

    def use():
        broker.submit(request("IBM"), now=EARLY)
        sys.exit(7 if broker._ledger._connection is inherited else 0)

    child = multiprocessing.get_context("fork").Process(target=use)
    child.start()
    child.join(30)
    broker.submit(request("MSFT"), now=EARLY)

    assert child.exitcode == 0
    symbols = [order.symbol for order in broker.orders(since=SESSION, now=EARLY)]
    assert symbols == ["AAPL", "IBM", "MSFT"]


def test_a_list_since_a_session_reads_no_order_that_ended_before_it(tmp_path):
    broker = opened(tmp_path / "a.db")
    buy_each_day(broker, DAYS[:40])
    read = []
    advanced = broker._advanced_one
    broker._advanced_one = lambda ledger, row, now: (read.append(row["seq"]), advanced(ledger, row, now))[1]
    listed = broker.orders(since=DAYS[38], now=EVERY_DAY.closes_at(DAYS[40]))

    assert len(listed) == len(read) == 2


# -------------------------------------------------------------------------------- the rules of the fold


@pytest.mark.parametrize("held", [7, -7])
def test_a_fraction_of_a_share_is_paid_at_the_last_close_and_owed_where_short(held):
    split = CorporateAction(effective_on=NEXT, symbol=AAPL, kind=ActionKind.SPLIT, numerator=3, denominator=2)
    after = account_after(
        Holdings(quantities={AAPL: held}, cash_micros=0),
        [],
        {NEXT: (split,)},
        last_close=lambda *_: 60_000_000,
    )
    sign = 1 if held > 0 else -1

    assert after == Holdings(quantities={AAPL: sign * 10}, cash_micros=sign * 30_000_000)


def test_the_last_close_is_in_the_shares_of_the_session_that_asks(tmp_path):
    split = CorporateAction(effective_on=NEXT, symbol=AAPL, kind=ActionKind.SPLIT, numerator=3, denominator=2)
    broker = opened(tmp_path / "a.db", actions=[split], calendar=CALENDAR)
    broker.submit(request(quantity=7), now=EARLY)
    before = broker.holdings(now=CLOSE)
    after = broker.holdings(now=CALENDAR.opens_at(NEXT))

    # The close of 100.50 is 67.00 in new shares; 7 old ones are 10 new ones and a half.
    assert after.quantities == {"AAPL": 10}
    assert after.cash_micros - before.cash_micros == 33_500_000


def test_a_dividend_is_owed_by_who_is_short():
    after = account_after(
        Holdings(quantities={AAPL: -5}, cash_micros=0),
        [],
        {NEXT: (dividend(NEXT),)},
        last_close=lambda *_: None,
    )

    assert after == Holdings(quantities={AAPL: -5}, cash_micros=-5_000_000)


def test_selling_more_than_is_held_is_told_and_not_hidden(tmp_path):
    broker = opened(tmp_path / "a.db", calendar=CALENDAR)
    broker.submit(request(side=Side.SELL), now=EARLY)

    assert broker.holdings(now=OPEN).quantities == {"AAPL": -100}


@pytest.mark.parametrize(
    ("now", "session"),
    [
        (OPEN - timedelta(microseconds=1), None),
        (OPEN, SESSION),
        (CALENDAR.opens_at(NEXT) - timedelta(microseconds=1), SESSION),
        (CALENDAR.opens_at(NEXT) + timedelta(days=9), NEXT),
    ],
)
def test_the_last_opened_session_is_the_one_whose_open_has_passed(now, session):
    assert last_opened(CALENDAR, now) == session


def test_an_exchange_ahead_of_utc_opens_on_its_own_date():
    tokyo = Calendar(
        name="XTKS",
        timezone="Asia/Tokyo",
        open_time=CALENDAR.open_time.replace(hour=8, minute=0),
        close_time=CALENDAR.close_time,
        sessions=(SESSION, NEXT),
    )

    assert tokyo.opens_at(NEXT).date() == SESSION
    assert last_opened(tokyo, tokyo.opens_at(NEXT)) == NEXT


SYMBOLS = [Symbol("AAPL"), Symbol("IBM")]
TRADES = st.lists(
    st.tuples(
        st.sampled_from(SYMBOLS),
        st.integers(-50, 200),
        st.integers(1, 300_000_000),
        st.integers(0, 5_000_000),
        st.integers(0, 9),
    ),
    max_size=25,
)
ACTIONS = st.lists(
    st.one_of(
        st.builds(
            CorporateAction,
            effective_on=st.sampled_from(DAYS[:10]),
            symbol=st.sampled_from(SYMBOLS),
            kind=st.just(ActionKind.SPLIT),
            numerator=st.integers(1, 7),
            denominator=st.integers(1, 7),
        ),
        st.builds(
            CorporateAction,
            effective_on=st.sampled_from(DAYS[:10]),
            symbol=st.sampled_from(SYMBOLS),
            kind=st.just(ActionKind.DIVIDEND),
            dividend_micros=st.integers(1, 3_000_000),
        ),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(trades=TRADES, actions=ACTIONS, close=st.integers(1, 500_000_000))
def test_an_account_that_never_sells_short_is_the_book_whatever_happens(trades, actions, close):
    book = opened_book(currency="USD", deposit_micros=DEPOSIT)
    closes = dict.fromkeys(SYMBOLS, close)
    executions = []
    for number, day in enumerate(DAYS[:10]):
        book = book_at_open(book, effective_in(actions, day), last_close_micros=closes)
        for symbol, quantity, price, commission, on in trades:
            side = Side.BUY if quantity >= 0 else Side.SELL
            count = quantity if side is Side.BUY else min(-quantity, book.quantity_of(symbol))
            if on != number or count == 0:
                continue
            book = with_fill(book, fill_of(Execution(day, symbol, side, count, price, commission)))
            executions.append(Execution(day, symbol, side, count, price, commission))
    account = account_after(
        Holdings(cash_micros=DEPOSIT),
        executions,
        {day: effective_in(actions, day) for day in {action.effective_on for action in actions}},
        last_close=lambda *_: close,
    )

    assert account.cash_micros == book.cash_micros
    assert account.quantities == {position.symbol: position.quantity for position in book.positions}


def fill_of(execution):
    return Fill(
        execution_id="e",
        client_order_id=ClientOrderId("c"),
        intent_id=IntentId("i"),
        symbol=execution.symbol,
        side=execution.side,
        quantity=execution.quantity,
        price_micros=execution.price_micros,
        commission_micros=execution.commission_micros,
        session=execution.session,
        filled_at=EVERY_DAY.opens_at(execution.session),
    )
