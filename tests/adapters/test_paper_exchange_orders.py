"""Orders that wait, at the paper exchange: brackets, replacements, fills over sessions, and its stream."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from time import sleep

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
)
from alpaca.trading.stream import TradingStream
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.paper_broker.broker import PaperBroker
from resources.paper_broker.resting import STOP_LOSS, TAKE_PROFIT, Leg, Ticket
from resources.paper_broker.statement import statement_of
from tests.adapters.broker_rules import ACCOUNT, MODEL
from tests.adapters.exchange_served import HEADERS, KEYS, served, until
from trading.actions import ActionKind, CorporateAction
from trading.brokers import ActivityKind
from trading.orders import OrderRequest
from trading.quotes import Quote
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce

DAYS = tuple(date(2013, 3, day) for day in (4, 5, 6, 7, 8))
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = DAYS
WEEK = Calendar(
    name="XNYS",
    timezone="America/New_York",
    open_time=time(9, 30),
    close_time=time(16, 0),
    sessions=DAYS,
)
BEFORE = WEEK.opens_at(MONDAY) - timedelta(hours=1)
FREE = FillModel(slippage_bps=0, commission_bps=0, participation_bps=500)
AAPL = Symbol("AAPL")


class Week:
    """Hold AAPL's bars of a week, given as open, high, low, close and volume."""

    def __init__(self, *bars, actions=()):
        self._bars = dict(zip(DAYS, bars, strict=False))
        self._actions = actions

    def bar(self, symbol, session):
        if symbol != AAPL or session not in self._bars:
            return None
        opened, high, low, close, volume = self._bars[session]
        return Quote(
            symbol=symbol,
            session=session,
            open_micros=int(opened * 1_000_000),
            high_micros=int(high * 1_000_000),
            low_micros=int(low * 1_000_000),
            close_micros=int(close * 1_000_000),
            volume=volume,
            source="test",
            source_sha="0",
            known_at=WEEK.closes_at(session),
        )

    def actions(self):
        return self._actions


CALM = (100, 101, 99, 100, 1_000_000)
FALL_AND_RISE = (100, 110, 90, 100, 1_000_000)


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "exchange.db"


@contextmanager
def week(ledger, *bars, actions=(), **parts):
    given = {"calendar": WEEK, "model": FREE, "starts_at": BEFORE} | parts
    with served(ledger, market=Week(*bars, actions=actions), **given) as desk:
        yield desk


def bought(known_as="in", **changes):
    asked = {"symbol": "AAPL", "qty": 100, "side": OrderSide.BUY, "time_in_force": "day"}
    return MarketOrderRequest(client_order_id=known_as, **(asked | changes))


def limited(price, known_as="in", **changes):
    asked = {"symbol": "AAPL", "qty": 100, "side": OrderSide.BUY, "time_in_force": "gtc"}
    return LimitOrderRequest(client_order_id=known_as, limit_price=price, **(asked | changes))


def bracket(known_as="in", *, takes=105, cuts=95, **changes):
    return bought(
        known_as,
        order_class="bracket",
        take_profit=TakeProfitRequest(limit_price=takes),
        stop_loss=StopLossRequest(stop_price=cuts),
        **({"time_in_force": "gtc"} | changes),
    )


def refused(call):
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.status_code, caught.value.code


def told(client, known_as):
    order = client.get_order_by_client_id(known_as)
    return order.status, int(order.filled_qty), order.filled_avg_price


# -------------------------------------------------------------------------------- families


def test_the_legs_of_a_bracket_wait_for_their_entry_and_one_ends_the_other(ledger):
    with week(ledger, CALM, (100, 106, 99, 104, 1_000_000)) as desk:
        client = desk.client()
        sent = client.submit_order(bracket())
        desk.at(WEEK.opens_at(MONDAY))
        entered = client.get_order_by_client_id("in")
        desk.at(WEEK.closes_at(TUESDAY))
        stop, profit = client.get_order_by_client_id("in").legs

        assert {leg.status for leg in sent.legs} == {OrderStatus.HELD}
        assert entered.status is OrderStatus.FILLED
        assert {leg.status for leg in entered.legs} == {OrderStatus.NEW}
        assert (stop.status, profit.status) == (OrderStatus.CANCELED, OrderStatus.FILLED)
        assert (profit.filled_avg_price, client.get_all_positions()) == ("105", [])


def test_where_one_bar_met_both_the_stop_came_first(ledger):
    with week(ledger, FALL_AND_RISE) as desk:
        client = desk.client()
        client.submit_order(bracket())
        desk.at(WEEK.closes_at(MONDAY))
        stop, profit = client.get_order_by_client_id("in").legs

        assert (stop.status, stop.filled_avg_price) == (OrderStatus.FILLED, "95")
        assert profit.status is OrderStatus.CANCELED


def test_an_entry_that_never_fills_takes_its_legs_with_it(ledger):
    with week(ledger, CALM) as desk:
        client = desk.client()
        client.submit_order(bracket())
        client.cancel_order_by_id(client.get_order_by_client_id("in").id)

        ended = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED))
        assert {order.status for order in ended} == {OrderStatus.CANCELED}
        assert len(ended) == 3


def test_of_two_orders_one_cancels_the_other(ledger):
    with week(ledger, CALM, FALL_AND_RISE) as desk:
        client = desk.client()
        client.submit_order(bought())
        desk.at(WEEK.closes_at(MONDAY))
        client.submit_order(
            LimitOrderRequest(
                client_order_id="out",
                symbol="AAPL",
                qty=100,
                side=OrderSide.SELL,
                time_in_force="gtc",
                order_class="oco",
                take_profit=TakeProfitRequest(limit_price=105),
                stop_loss=StopLossRequest(stop_price=96),
            )
        )
        desk.at(WEEK.closes_at(TUESDAY))
        out = client.get_order_by_client_id("out")

        assert out.status is OrderStatus.CANCELED
        assert [(leg.status, leg.filled_avg_price) for leg in out.legs] == [(OrderStatus.FILLED, "96")]
        assert client.get_all_positions() == []


def test_a_leg_that_fills_in_part_leaves_the_other_what_is_left(ledger):
    with week(ledger, CALM, (105.5, 106, 104, 105, 1_000), (94, 96, 93, 95, 1_000_000)) as desk:
        client = desk.client()
        client.submit_order(bracket())
        desk.at(WEEK.closes_at(TUESDAY))
        stop, profit = client.get_order_by_client_id("in").legs
        desk.at(WEEK.closes_at(WEDNESDAY))

        assert (profit.filled_qty, profit.filled_avg_price, stop.qty) == ("50", "105.5", "50")
        assert client.get_all_positions() == []


# -------------------------------------------------------------------------------- alone


def test_an_order_that_lives_until_cancelled_fills_its_share_of_each_session(ledger):
    thin = (100, 101, 99, 100, 800)
    with week(ledger, thin, thin, thin) as desk:
        client = desk.client()
        client.submit_order(limited(100.5))
        stood = []
        for day in DAYS[:3]:
            desk.at(WEEK.closes_at(day))
            stood.append(told(client, "in")[:2])
        fills = client.get("/account/activities/FILL", {"direction": "asc"})

        assert stood == [
            (OrderStatus.PARTIALLY_FILLED, 40),
            (OrderStatus.PARTIALLY_FILLED, 80),
            (OrderStatus.FILLED, 100),
        ]
        assert [fill["transaction_time"][:10] for fill in fills] == [day.isoformat() for day in DAYS[:3]]
        assert client.get_open_position("AAPL").qty == "100"
    statement = statement_of(ledger)
    assert [execution.session for _, execution in statement.executions] == list(DAYS[:3])


def test_a_days_order_expires_and_one_for_now_is_cancelled(ledger):
    with week(ledger, (100, 101, 99, 100, 1_000)) as desk:
        client = desk.client()
        client.submit_order(limited(98, "day", time_in_force="day"))
        client.submit_order(bought("now", time_in_force="ioc"))
        client.submit_order(bought("whole", time_in_force="fok"))
        client.submit_order(bought("close", time_in_force="cls", qty=20))
        desk.at(WEEK.closes_at(MONDAY))

        assert told(client, "day") == (OrderStatus.EXPIRED, 0, None)
        assert told(client, "now") == (OrderStatus.CANCELED, 50, "100")
        assert told(client, "whole") == (OrderStatus.CANCELED, 0, None)
        assert told(client, "close") == (OrderStatus.FILLED, 20, "100")


def test_a_replaced_order_has_an_id_of_its_own_and_the_old_one_says_so(ledger):
    with week(ledger, CALM) as desk:
        client = desk.client()
        old = client.submit_order(limited(90))
        new = client.replace_order_by_id(
            old.id, ReplaceOrderRequest(qty=60, limit_price=99.5, client_order_id="again")
        )
        desk.at(WEEK.closes_at(MONDAY))
        left = client.get_order_by_id(old.id)

        assert (new.replaces, left.replaced_by, left.status) == (old.id, new.id, OrderStatus.REPLACED)
        assert told(client, "again") == (OrderStatus.FILLED, 60, "99.5")
        assert refused(lambda: client.replace_order_by_id(old.id, ReplaceOrderRequest(qty=1)))[0] == 422
        assert refused(lambda: client.submit_order(limited(90))) == (422, 40010001)


def test_an_order_replaced_on_a_later_day_fills_on_none_that_is_over(ledger):
    with week(ledger, FALL_AND_RISE, CALM, CALM) as desk:
        client = desk.client()
        old = client.submit_order(limited(80))
        desk.at(WEEK.closes_at(MONDAY))
        client.replace_order_by_id(old.id, ReplaceOrderRequest(limit_price=95, client_order_id="again"))
        desk.at(WEEK.closes_at(TUESDAY))

        assert told(client, "again")[:2] == (OrderStatus.NEW, 0)


def test_a_leg_can_be_replaced_and_still_ends_the_other(ledger):
    with week(ledger, CALM, (100, 104, 99, 103, 1_000_000)) as desk:
        client = desk.client()
        client.submit_order(bracket())
        desk.at(WEEK.closes_at(MONDAY))
        stop, profit = client.get_order_by_client_id("in").legs
        client.replace_order_by_id(profit.id, ReplaceOrderRequest(limit_price=103, client_order_id="sooner"))
        desk.at(WEEK.closes_at(TUESDAY))

        assert told(client, "sooner") == (OrderStatus.FILLED, 100, "103")
        assert client.get_order_by_id(stop.id).status is OrderStatus.CANCELED
        assert client.get_all_positions() == []


def test_a_split_restates_an_open_order_and_keeps_what_the_account_is_worth(ledger):
    action = CorporateAction(effective_on=TUESDAY, symbol=AAPL, kind=ActionKind.SPLIT, numerator=2)
    with week(ledger, CALM, (50, 50.5, 49.5, 50, 1_000_000), actions=(action,)) as desk:
        client = desk.client()
        client.submit_order(bought())
        client.submit_order(
            StopOrderRequest(
                client_order_id="out",
                symbol="AAPL",
                qty=100,
                side=OrderSide.SELL,
                stop_price=90,
                time_in_force="gtc",
            )
        )
        desk.at(WEEK.closes_at(MONDAY))
        before = client.get_account().equity
        desk.at(WEEK.opens_at(TUESDAY))
        out, (position,) = client.get_order_by_client_id("out"), client.get_all_positions()

        assert (out.qty, out.stop_price, out.status) == ("200", "45", OrderStatus.NEW)
        assert (position.qty, position.cost_basis, position.avg_entry_price) == ("200", "10000", "50")
        assert client.get_account().equity == before == "1000000"


# -------------------------------------------------------------------------------- the account's rules


def test_more_than_is_held_cannot_be_sold_nor_what_is_held_for_another_sale(ledger):
    with week(ledger, CALM) as desk:
        client = desk.client()
        client.submit_order(bought())
        desk.at(WEEK.opens_at(MONDAY))
        client.submit_order(limited(150, "first", side=OrderSide.SELL, qty=60))

        assert client.get_open_position("AAPL").qty_available == "40"
        for quantity in (41, 101):
            sale = limited(150, "second", side=OrderSide.SELL, qty=quantity)
            assert refused(lambda sale=sale: client.submit_order(sale)) == (403, 40310000)
        client.submit_order(limited(150, "second", side=OrderSide.SELL, qty=40))


def test_two_orders_of_which_one_cancels_the_other_sell_no_more_than_is_held(ledger):
    def closing(name):
        return LimitOrderRequest(
            client_order_id=name,
            symbol="AAPL",
            qty=100,
            side=OrderSide.SELL,
            time_in_force="gtc",
            order_class="oco",
            take_profit=TakeProfitRequest(limit_price=150),
            stop_loss=StopLossRequest(stop_price=90),
        )

    with week(ledger, CALM) as desk:
        client = desk.client()
        client.submit_order(bought())
        desk.at(WEEK.opens_at(MONDAY))
        client.submit_order(closing("first"))

        assert refused(lambda: client.submit_order(closing("second"))) == (403, 40310000)


def test_a_replacement_is_asked_of_the_account_for_what_it_adds(ledger):
    with week(ledger, CALM, CALM, deposit_micros=10_000 * 10**6) as desk:
        client = desk.client()
        client.submit_order(bought())
        desk.at(WEEK.opens_at(MONDAY))
        out = client.submit_order(limited(150, "out", side=OrderSide.SELL, qty=60)).id
        more = client.submit_order(limited(50, "more", qty=100)).id

        for order, change in ((out, {"qty": 101}), (more, {"qty": 100_000}), (more, {"limit_price": 101})):
            asked = ReplaceOrderRequest(**change)
            assert refused(lambda order=order, asked=asked: client.replace_order_by_id(order, asked)) == (
                403,
                40310000,
            )
        client.replace_order_by_id(out, ReplaceOrderRequest(qty=100))
        client.replace_order_by_id(more, ReplaceOrderRequest(limit_price=60))

        assert client.get_open_position("AAPL").qty_available == "0"
        assert client.get_account().buying_power == "4000"


def test_what_is_not_held_is_sold_short_and_bought_back(ledger):
    with week(ledger, CALM, (90, 91, 89, 90, 1_000_000)) as desk:
        client = desk.client()
        client.submit_order(bought("short", side=OrderSide.SELL))
        desk.at(WEEK.closes_at(MONDAY))
        (position,) = client.get_all_positions()
        client.submit_order(bought("cover"))
        desk.at(WEEK.closes_at(TUESDAY))

        assert (position.qty, position.side.value, position.cost_basis) == ("-100", "short", "-10000")
        assert (client.get_all_positions(), client.get_account().cash) == ([], "1001000")


def test_one_purchase_buys_back_what_is_owed_and_no_share_more(ledger):
    with week(ledger, CALM, CALM) as desk:
        client = desk.client()
        client.submit_order(bought("short", side=OrderSide.SELL))
        desk.at(WEEK.opens_at(MONDAY))
        client.submit_order(limited(50, "first", qty=60))

        assert client.get_open_position("AAPL").qty_available == "-40"
        for quantity in (41, 10**9):
            cover = limited(50, "second", qty=quantity)
            assert refused(lambda cover=cover: client.submit_order(cover)) == (403, 40310000)
        client.submit_order(limited(50, "second", qty=40))


def test_the_clock_is_not_ordered_back_and_says_what_time_it_is(ledger):
    with week(ledger, CALM) as desk:
        desk.at(WEEK.closes_at(MONDAY))
        back = desk.http.post("/simulation/clock", json={"now": WEEK.opens_at(MONDAY).isoformat()})
        again = desk.http.post("/simulation/clock", json={"now": WEEK.closes_at(MONDAY).isoformat()})

    assert (back.status_code, again.status_code) == (422, 200)
    assert WEEK.closes_at(MONDAY).isoformat() in back.json()["message"]
    assert WEEK.opens_at(MONDAY).isoformat() in back.json()["message"]


def test_twice_the_equity_is_all_that_can_be_bought(ledger):
    with week(ledger, CALM, CALM, deposit_micros=10_000 * 10**6) as desk:
        client = desk.client()
        desk.at(WEEK.opens_at(MONDAY))
        client.submit_order(limited(100, "most", qty=150))

        assert refused(lambda: client.submit_order(limited(100, "more", qty=51))) == (403, 40310000)
        client.submit_order(limited(100, "rest", qty=50))
        assert client.get_account().buying_power == "0"


def test_twice_the_equity_is_all_that_can_be_sold_short_in_several_orders_too(ledger):
    with week(ledger, CALM, CALM, deposit_micros=10_000 * 10**6) as desk:
        client = desk.client()
        desk.at(WEEK.opens_at(MONDAY))
        short = partial(limited, 200, side=OrderSide.SELL)
        client.submit_order(short("most", qty=75))

        assert client.get_account().buying_power == "5000"
        assert refused(lambda: client.submit_order(short("more", qty=26))) == (403, 40310000)
        client.submit_order(short("rest", qty=25))
        assert refused(lambda: client.submit_order(limited(100, "beside", qty=1))) == (403, 40310000)


WRONG = [
    {"type": "limit"},
    {"type": "market", "limit_price": "5"},
    {"type": "stop", "time_in_force": "opg", "stop_price": "5"},
    {"type": "trailing_stop"},
    {"type": "limit", "limit_price": "5.001"},
    {"type": "limit", "limit_price": "-5"},
    {"type": "market", "order_class": "bracket"},
    {"type": "market", "order_class": "oto"},
    {"type": "market", "order_class": "mleg"},
    {"type": "market", "extended_hours": True},
    {"type": "market", "notional": "5", "qty": None},
    {
        "type": "market",
        "order_class": "bracket",
        "take_profit": {"limit_price": "90"},
        "stop_loss": {"stop_price": "110"},
    },
]


@pytest.mark.parametrize("changes", WRONG)
def test_an_order_that_contradicts_itself_is_refused(ledger, changes):
    with week(ledger, CALM) as desk:
        body = {"symbol": "AAPL", "qty": "1", "side": "buy", "time_in_force": "day"} | changes
        answer = desk.http.post("/v2/orders", json=body)

        assert (answer.status_code, answer.json()["code"]) == (422, 42210000)
        assert desk.broker.dump().orders == ()


def test_positions_are_closed_in_part_and_whole(ledger):
    with week(ledger, CALM, CALM, CALM) as desk:
        client = desk.client()
        client.submit_order(bought())
        desk.at(WEEK.opens_at(MONDAY))
        client.close_position("AAPL", ClosePositionRequest(percentage="25"))
        left = client.get_open_position("AAPL").qty
        client.submit_order(limited(150, "resting", side=OrderSide.SELL, qty=75))
        (closed,) = client.close_all_positions(cancel_orders=True)

        assert (left, closed.status) == ("75", 200)
        assert client.get_all_positions() == []
        assert told(client, "resting")[0] is OrderStatus.CANCELED


def test_a_known_id_is_refused_as_known_though_the_account_could_not_carry_it_again(ledger):
    with week(ledger, CALM) as desk:
        client = desk.client()
        client.submit_order(bought())
        desk.at(WEEK.opens_at(MONDAY))
        sale = limited(150, "out", side=OrderSide.SELL)
        client.submit_order(sale)

        assert refused(lambda: client.submit_order(sale)) == (422, 40010001)


def test_sales_sent_at_once_never_sell_more_than_is_held(ledger):
    with week(ledger, CALM) as desk:
        desk.client().submit_order(bought())
        desk.at(WEEK.opens_at(MONDAY))
        body = {"symbol": "AAPL", "qty": "60", "side": "sell", "type": "limit", "time_in_force": "gtc"}

        # The broker takes its time, so that all of them would be asked about before any is taken.
        place = desk.broker.place

        def placed_late(ticket, *, now):
            sleep(0.1)
            return place(ticket, now=now)

        desk.broker.place = placed_late

        def sell(number):
            sent = body | {"limit_price": "150", "client_order_id": f"out{number}"}
            return desk.http.post("/v2/orders", json=sent).status_code

        with ThreadPoolExecutor(6) as threads:
            answers = sorted(threads.map(sell, range(6)))

        assert answers == [200, 403, 403, 403, 403, 403]


# -------------------------------------------------------------------------------- stream and market data


class Listening:
    """Hear updates by Alpaca's own stream, in a thread of its own."""

    def __init__(self, desk):
        self.heard = []
        where = desk.url.replace("http", "ws") + "/stream"
        self._stream = TradingStream(KEYS.key_id, KEYS.secret, url_override=where)
        self._stream.subscribe_trade_updates(self._hear)
        self._thread = threading.Thread(target=self._stream.run, daemon=True)

    async def _hear(self, update):
        self.heard.append(update)

    def __enter__(self):
        self._thread.start()
        until(lambda: self._stream._running)
        return self

    def __exit__(self, *_):
        asyncio.run_coroutine_threadsafe(self._stream.stop_ws(), self._stream._loop).result()
        self._stream._loop.call_soon_threadsafe(
            lambda: asyncio.ensure_future(self._stream.close(), loop=self._stream._loop)
        )
        self._thread.join(30)


def test_the_stream_tells_what_happens_to_orders_in_its_order(ledger):
    with week(ledger, CALM, (100, 106, 99, 104, 1_000_000)) as desk, Listening(desk) as listening:
        client = desk.client()
        client.submit_order(bracket())
        client.cancel_order_by_id(client.submit_order(limited(90, "other")).id)
        desk.at(WEEK.closes_at(TUESDAY))
        until(lambda: len(listening.heard) >= 9)
        heard = [(update.event, update.order.client_order_id[:5]) for update in listening.heard]
        entry = next(update for update in listening.heard if update.event == "fill")

        assert [event for event, _ in heard[:5]] == ["new", "new", "new", "new", "canceled"]
        assert (heard[0][1], heard[4][1]) == ("in", "other")
        assert [event for event, _ in heard[5:]] == ["fill", "new", "new", "fill", "canceled"]
        assert (entry.price, entry.qty, entry.position_qty) == (100.0, 100.0, 100.0)
        assert entry.order.status is OrderStatus.FILLED


def test_a_stream_without_the_keys_is_told_nothing(ledger):
    with week(ledger, CALM) as desk:
        stream = TradingStream("PKTEST", "wrong", url_override=desk.url.replace("http", "ws") + "/stream")

        async def tried():
            await stream._connect()
            try:
                await stream._auth()
            finally:
                await stream.close()

        with pytest.raises(ValueError, match="failed to authenticate"):
            asyncio.run(tried())


def test_bars_come_in_pages_and_never_before_their_session_is_over(ledger):
    with week(ledger, *[(100 + day, 101 + day, 99 + day, 100.5 + day, 1_000) for day in range(5)]) as desk:
        data = StockHistoricalDataClient(KEYS.key_id, KEYS.secret, url_override=desk.url)
        asked = {"timeframe": "1Day", "start": "2013-03-01", "symbols": "AAPL", "limit": "2"}
        desk.at(WEEK.closes_at(THURSDAY) - timedelta(seconds=1))
        pages, token = [], ""
        while token is not None:
            page = desk.http.get("/v2/stocks/bars", params=asked | {"page_token": token}).json()
            pages.append([bar["c"] for bar in page["bars"]["AAPL"]])
            token = page["next_page_token"]
        whole = data.get_stock_bars(
            StockBarsRequest(
                symbol_or_symbols=["AAPL", "IBM"],
                timeframe=TimeFrame.Day,
                start=datetime(2013, 3, 1, tzinfo=UTC),
                adjustment="raw",
            )
        )
        quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]

        assert pages == [[100.5, 101.5], [102.5]]
        assert [bar.close for bar in whole["AAPL"]] == [100.5, 101.5, 102.5]
        assert (quote.bid_price, quote.ask_price, quote.timestamp) == (103, 103, WEEK.opens_at(THURSDAY))


@pytest.mark.parametrize("changes", [{"timeframe": "1Min"}, {"adjustment": "split"}, {"symbols": ""}])
def test_what_the_data_has_not_is_refused_and_not_made_up(ledger, changes):
    with week(ledger, CALM) as desk:
        asked = {"timeframe": "1Day", "start": "2013-03-01", "symbols": "AAPL"} | changes

        assert desk.http.get("/v2/stocks/bars", params=asked, headers=HEADERS).status_code == 400


# -------------------------------------------------------------------------------- laws

PRICES = st.integers(80, 120).map(lambda dollars: dollars * 1_000_000)


@st.composite
def tickets(draw):
    number = draw(st.integers(0, 10**9))
    order_type = draw(st.sampled_from(OrderType))
    limit = draw(PRICES) if order_type in {OrderType.LIMIT, OrderType.STOP_LIMIT} else None
    stop = draw(PRICES) if order_type in {OrderType.STOP, OrderType.STOP_LIMIT} else None
    has_legs = draw(st.booleans())
    return Ticket(
        request=OrderRequest(
            client_order_id=ClientOrderId(f"o{number}"),
            account=ACCOUNT,
            session=draw(st.sampled_from(DAYS[:3])),
            symbol=AAPL,
            side=draw(st.sampled_from(Side)),
            quantity=draw(st.integers(1, 200)),
            order_type=order_type,
            time_in_force=TimeInForce(draw(st.sampled_from(["day", "gtc"])))
            if has_legs
            else draw(st.sampled_from(TimeInForce)),
            reference_price_micros=0,
        ),
        limit_micros=limit,
        stop_micros=stop,
        order_class="bracket" if has_legs else "",
        legs=(Leg(STOP_LOSS, None, draw(PRICES)), Leg(TAKE_PROFIT, draw(PRICES), None)) if has_legs else (),
    )


SPLIT = CorporateAction(
    effective_on=WEDNESDAY, symbol=AAPL, kind=ActionKind.SPLIT, numerator=3, denominator=2
)
DIVIDEND = CorporateAction(
    effective_on=THURSDAY, symbol=AAPL, kind=ActionKind.DIVIDEND, dividend_micros=370_000
)
MOVING = [
    (100, 110, 90, 104, 1_500),
    (103, 111, 88, 92, 900),
    (70, 76, 61, 66, 2_000),
    (66, 78, 60, 75, 0),
    (74, 80, 70, 71, 9_000),
]


@settings(max_examples=15, deadline=None)
@given(st.lists(tickets(), min_size=1, max_size=5, unique_by=lambda one: one.request.client_order_id))
def test_every_micro_unit_of_the_account_is_told_by_an_activity_and_no_order_fills_more_than_it_is(
    tmp_path_factory, sent
):
    broker = PaperBroker(
        tmp_path_factory.mktemp("law") / "ledger.db",
        account=ACCOUNT,
        deposit_micros=10**12,
        market=Week(*MOVING, actions=(SPLIT, DIVIDEND)),
        fill_model=MODEL,
        calendar=WEEK,
    )
    for ticket in sent:
        broker.place(ticket, now=BEFORE)
    for moment in [*map(WEEK.opens_at, DAYS), WEEK.closes_at(FRIDAY)]:
        held = broker.holdings(now=moment)
        told_of = broker.activities(since=MONDAY, now=moment)

        assert held.cash_micros - 10**12 == sum(activity.cash_micros for activity in told_of)
        assert held.quantities.get(AAPL, 0) == sum(activity.quantity for activity in told_of)
        for order in broker.dump().orders:
            filled = sum(fill.quantity for fill in broker.fills(order.client_order_id, now=moment))
            assert filled == order.filled_quantity <= order.quantity
    fees = [activity for activity in told_of if activity.kind is ActivityKind.FEE]
    assert len(fees) == len(broker.dump().fills)
