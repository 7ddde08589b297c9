"""Resting orders on daily bars, worked by hand: what fills, at what price, and what a doubt is settled to."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.actions import ActionKind, CorporateAction
from trading.matching import Moment, Terms, adjusted, matched
from trading.quotes import Quote
from trading.simulation import FillModel
from trading.values import OrderType, Symbol, TimeInForce

MODEL = FillModel(slippage_bps=10, commission_bps=1, participation_bps=500)
FREE = FillModel(slippage_bps=0, commission_bps=0, participation_bps=10_000)
BUY, SELL = 1, -1
DAY, GTC, OPG, CLS = TimeInForce.DAY, TimeInForce.GTC, TimeInForce.OPG, TimeInForce.CLS
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


def bar(opened=100, high=105, low=95, close=102, volume=1_000_000):
    return Quote(
        symbol=Symbol("AAPL"),
        session=date(2013, 2, 28),
        open_micros=int(opened * 1_000_000),
        high_micros=int(high * 1_000_000),
        low_micros=int(low * 1_000_000),
        close_micros=int(close * 1_000_000),
        volume=volume,
        source="test",
        source_sha="0",
        known_at=datetime(2013, 2, 28, 21, tzinfo=UTC),
    )


def terms(sign, order_type, time_in_force=DAY, *, limit=None, stop=None, left=100, is_triggered=False):
    return Terms(
        sign,
        left,
        order_type,
        time_in_force,
        None if limit is None else int(limit * 1_000_000),
        None if stop is None else int(stop * 1_000_000),
        is_triggered,
    )


def price_at(order, moment, *, there=True, model=FREE, on=None, taken=0):
    """Return what an order pays, `None` where it does not fill."""
    found = matched(order, on or bar(), model, moment=moment, taken=taken, is_there_from_open=there)
    return found.price_micros / 1_000_000 if found.quantity else None


MARKET, LIMIT = OrderType.MARKET, OrderType.LIMIT
STOP, STOP_LIMIT = OrderType.STOP, OrderType.STOP_LIMIT
AT_OPEN, BY_CLOSE = Moment.OPEN, Moment.CLOSE

WORKED = [
    # The bar opens at 100, sees 105 and 95, and closes at 102.
    ("a market order pays the open", terms(BUY, MARKET), 100, None),
    ("one for the close pays the close", terms(BUY, MARKET, CLS), None, 102),
    ("a limit above the open pays the open", terms(BUY, LIMIT, limit=101), 100, None),
    ("a limit below it waits for its price", terms(BUY, LIMIT, limit=97), None, 97),
    ("a limit that was only touched waits on", terms(BUY, LIMIT, limit=95), None, None),
    ("a sale's limit is met above the open", terms(SELL, LIMIT, limit=104), None, 104),
    ("a sale's limit that was only touched waits on", terms(SELL, LIMIT, limit=105), None, None),
    ("a stop that the open is past pays the open", terms(SELL, STOP, stop=101), 100, None),
    ("a stop that was touched pays its price", terms(SELL, STOP, stop=95), None, 95),
    ("a stop out of reach waits on", terms(SELL, STOP, stop=94), None, None),
    ("a purchase's stop is met from below", terms(BUY, STOP, stop=105), None, 105),
    ("a stop-limit pays its stop within its limit", terms(BUY, STOP_LIMIT, stop=103, limit=104), None, 103),
    ("one with its limit before its stop waits on", terms(BUY, STOP_LIMIT, stop=103, limit=101), None, None),
    ("once hit it is a limit order", terms(BUY, STOP_LIMIT, stop=103, limit=97, is_triggered=True), None, 97),
    ("a limit for the opening is for it alone", terms(BUY, LIMIT, OPG, limit=97), None, None),
    ("a limit for the close is met by it", terms(BUY, LIMIT, CLS, limit=103), None, 102),
    ("or not", terms(BUY, LIMIT, CLS, limit=101), None, None),
    ("what is for now takes the open", terms(SELL, LIMIT, IOC, limit=100), 100, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("order", "at_open", "by_close"), [pytest.param(*case[1:], id=case[0]) for case in WORKED]
)
def test_a_worked_case_fills_as_worked(order, at_open, by_close):
    assert price_at(order, AT_OPEN) == at_open
    if at_open is None:
        assert price_at(order, BY_CLOSE) == by_close


def test_an_order_that_came_after_the_open_fills_only_by_what_the_close_proves():
    low_was_before = terms(BUY, LIMIT, limit=97)
    close_is_through = terms(BUY, LIMIT, limit=103)

    assert price_at(low_was_before, BY_CLOSE, there=False) is None
    assert price_at(close_is_through, BY_CLOSE, there=False) == 103
    # A stop is hit all the same: the worse of what may have been.
    assert price_at(terms(SELL, STOP, stop=96), BY_CLOSE, there=False) == 96


def test_what_the_whole_bar_is_past_pays_the_worst_of_it():
    """A leg that begins within a session has missed the open."""
    assert price_at(terms(SELL, LIMIT, limit=90), BY_CLOSE) == 95
    assert price_at(terms(BUY, LIMIT, limit=110), BY_CLOSE) == 105
    assert price_at(terms(SELL, STOP, stop=110), BY_CLOSE) == 95
    assert price_at(terms(BUY, STOP, stop=90), BY_CLOSE) == 105


def test_slippage_costs_a_market_order_and_never_takes_a_limit_past_its_price():
    assert price_at(terms(BUY, MARKET), AT_OPEN, model=MODEL) == 100.1
    assert price_at(terms(BUY, LIMIT, limit=100.05), AT_OPEN, model=MODEL) == 100.05
    assert price_at(terms(SELL, STOP, stop=95), BY_CLOSE, model=MODEL) == 94.905
    # Slipped, the stop's price is past the limit, and whether it came back nobody knows.
    assert price_at(terms(SELL, STOP_LIMIT, stop=96, limit=95.95), BY_CLOSE, model=MODEL) is None


def test_a_session_gives_an_order_its_share_of_the_volume_once():
    order, thin = terms(BUY, LIMIT, GTC, limit=101), bar(volume=1_000)
    first = matched(order, thin, MODEL, moment=AT_OPEN, taken=0, is_there_from_open=True)
    again = matched(order._replace(left=50), thin, MODEL, moment=BY_CLOSE, taken=50, is_there_from_open=True)

    assert (first.quantity, again.quantity) == (50, 0)


def test_all_or_nothing_is_nothing_where_the_volume_gives_part():
    thin = bar(volume=1_000)

    assert price_at(terms(BUY, MARKET, FOK), AT_OPEN, on=thin, model=MODEL) is None
    assert price_at(terms(BUY, MARKET, FOK, left=50), AT_OPEN, on=thin, model=MODEL) == 100.1
    assert (
        matched(
            terms(BUY, MARKET, IOC), thin, MODEL, moment=AT_OPEN, taken=0, is_there_from_open=True
        ).quantity
        == 50
    )


def split(numerator, denominator=1):
    return CorporateAction(
        effective_on=date(2013, 3, 1),
        symbol=Symbol("AAPL"),
        kind=ActionKind.SPLIT,
        numerator=numerator,
        denominator=denominator,
    )


def dividend(micros):
    return CorporateAction(
        effective_on=date(2013, 3, 1),
        symbol=Symbol("AAPL"),
        kind=ActionKind.DIVIDEND,
        dividend_micros=micros,
    )


def test_a_split_restates_what_is_left_and_its_prices_and_one_into_fewer_shares_ends_the_order():
    order = terms(BUY, STOP_LIMIT, GTC, stop=90, limit=96, left=70)
    after = adjusted(order, split(2))

    assert (after.left, after.stop_micros, after.limit_micros) == (140, 45_000_000, 48_000_000)
    assert adjusted(order, split(1, 10)) is None


@pytest.mark.parametrize(
    ("sign", "order_type", "is_lowered"),
    [
        (BUY, LIMIT, True),
        (SELL, LIMIT, False),
        (BUY, STOP, False),
        (SELL, STOP, True),
    ],
)
def test_a_dividend_lowers_what_rests_below_the_market_and_nothing_else(sign, order_type, is_lowered):
    is_limit = order_type is LIMIT
    order = terms(sign, order_type, GTC, limit=90 if is_limit else None, stop=None if is_limit else 90)
    after = adjusted(order, dividend(500_000))

    assert (after.limit_micros or after.stop_micros) == (89_500_000 if is_lowered else 90_000_000)


def test_a_delisting_ends_what_rests():
    gone = CorporateAction(
        effective_on=date(2013, 3, 1), symbol=Symbol("AAPL"), kind=ActionKind.DELISTING, dividend_micros=5
    )

    assert adjusted(terms(SELL, LIMIT, GTC, limit=90), gone) is None


def test_an_order_that_a_dividend_would_leave_without_a_price_ends():
    assert adjusted(terms(BUY, LIMIT, GTC, limit=0.4), dividend(500_000)) is None


CENTS = st.integers(1, 300).map(lambda cents: cents * 1_000_000)


@st.composite
def bars(draw):
    prices = sorted(draw(st.tuples(CENTS, CENTS, CENTS, CENTS)))
    opened, close = draw(st.permutations(prices[1:3]))
    return bar(opened / 1e6, prices[3] / 1e6, prices[0] / 1e6, close / 1e6, draw(st.integers(0, 10_000)))


@st.composite
def any_terms(draw):
    order_type = draw(st.sampled_from(OrderType))
    has_limit, has_stop = order_type in {LIMIT, STOP_LIMIT}, order_type in {STOP, STOP_LIMIT}
    return Terms(
        draw(st.sampled_from([BUY, SELL])),
        draw(st.integers(1, 1_000)),
        order_type,
        draw(st.sampled_from(TimeInForce)),
        draw(CENTS) if has_limit else None,
        draw(CENTS) if has_stop else None,
    )


@given(any_terms(), bars(), st.sampled_from(Moment), st.booleans(), st.integers(0, 500))
def test_no_bar_gives_more_than_was_asked_for_nor_a_price_past_a_limit_nor_one_that_never_was(
    order, on, moment, there, taken
):
    found = matched(order, on, MODEL, moment=moment, taken=taken, is_there_from_open=there)
    share = on.volume * MODEL.participation_bps // 10_000

    assert 0 <= found.quantity <= min(order.left, max(share - taken, 0))
    if found.quantity:
        if order.limit_micros is not None:
            assert order.sign * found.price_micros <= order.sign * order.limit_micros
        slip = MODEL.slippage_bps / 10_000
        assert on.low_micros * (1 - slip) - 1 <= found.price_micros <= on.high_micros * (1 + slip) + 1
        assert found.commission_micros > 0


@given(any_terms(), bars(), st.booleans())
def test_no_order_does_better_for_having_come_later(order, on, there):
    """What only the whole bar could give is never given to who was not there for it."""
    late = matched(order, on, FREE, moment=BY_CLOSE, taken=0, is_there_from_open=False)
    early = matched(order, on, FREE, moment=BY_CLOSE, taken=0, is_there_from_open=True)

    assert late.quantity <= early.quantity
