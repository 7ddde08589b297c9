"""Corporate actions conserve value, for a book, an account and the compiled ledger alike, to the micro-unit.

Beside the laws, cases worked by hand: splits and dividends as exchanges and issuers published them, and what
trading costs.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.accounts import Execution, account_after
from trading.actions import ActionKind, CorporateAction, effective_in
from trading.brokers import Holdings
from trading.guards import BPS
from trading.order_tables import slippage_bps
from trading.positions import Book, Position, book_at_open, equity_micros, imbalance_micros
from trading.quality import ParsedBar, history_fault
from trading.quotes import Panel, Quote, split_price
from trading.simulation import FillModel, affordable_quantity, fill_at_open
from trading.values import MICROS, Side, Symbol

SYMBOL = Symbol("AAPL")
DAY, NEXT = date(2014, 6, 9), date(2014, 6, 10)
CASH = 1_000 * MICROS

SHARES = st.integers(1, 10**6)
PRICES = st.integers(1, 10_000 * MICROS)
PARTS = st.integers(1, 50)


def split(numerator, denominator, on=DAY):
    return CorporateAction(
        effective_on=on,
        symbol=SYMBOL,
        kind=ActionKind.SPLIT,
        numerator=numerator,
        denominator=denominator,
    )


def paying(kind, micros, on=DAY):
    return CorporateAction(effective_on=on, symbol=SYMBOL, kind=kind, dividend_micros=micros)


def holding(quantity, cost_micros=0):
    return Book(
        currency="USD",
        cash_micros=CASH,
        deposits_micros=CASH + cost_micros,
        positions=(Position(SYMBOL, quantity, cost_micros),) if quantity else (),
    )


def account(quantity, actions, price_micros):
    return account_after(
        Holdings(quantities={SYMBOL: quantity} if quantity else {}, cash_micros=CASH),
        (),
        {DAY: effective_in(actions, DAY)},
        last_close=lambda *_: price_micros,
    )


# ------------------------------------------------------------------------------------------------ laws


@given(SHARES, PARTS, PARTS, PRICES)
def test_a_split_takes_less_than_a_micro_unit_from_a_book_and_gives_nothing(quantity, new, old, price):
    """`price` is the new share's; the old one was worth new/old of it, exactly."""
    book = book_at_open(holding(quantity), [split(new, old)], last_close_micros={SYMBOL: price})
    worth_before = CASH + Fraction(quantity * price * new, old)
    lost = worth_before - equity_micros(book, {SYMBOL: price})

    assert 0 <= lost < 1
    assert imbalance_micros(book, {SYMBOL: price}) == 0


@given(SHARES, st.integers(1, 1000 * MICROS), st.integers(0, 1000 * MICROS))
def test_a_dividend_moves_value_from_the_price_to_the_cash_and_none_is_lost(quantity, dividend, ex_price):
    book = book_at_open(holding(quantity), [paying(ActionKind.DIVIDEND, dividend)], last_close_micros={})

    assert equity_micros(book, {SYMBOL: ex_price}) == CASH + quantity * (ex_price + dividend)
    assert book.dividends_micros == quantity * dividend
    assert imbalance_micros(book, {SYMBOL: ex_price}) == 0


@given(SHARES, st.integers(0, 10**12), st.integers(0, 10_000 * MICROS))
def test_a_delisting_pays_every_share_and_leaves_none(quantity, cost, paid):
    book = book_at_open(holding(quantity, cost), [paying(ActionKind.DELISTING, paid)], last_close_micros={})

    assert book.positions == ()
    assert book.cash_micros == CASH + quantity * paid
    assert book.realised_micros == quantity * paid - cost
    assert imbalance_micros(book, {}) == 0


ACTIONS = st.lists(
    st.one_of(
        st.builds(split, PARTS, PARTS),
        st.builds(paying, st.just(ActionKind.DIVIDEND), st.integers(1, 100 * MICROS)),
        st.builds(paying, st.just(ActionKind.DELISTING), st.integers(0, 100 * MICROS)),
    ),
    min_size=1,
    max_size=3,
)


@given(st.integers(0, 10**5), ACTIONS, PRICES)
def test_a_book_and_a_brokers_account_agree_on_every_action(quantity, actions, price):
    book = book_at_open(holding(quantity), effective_in(actions, DAY), last_close_micros={SYMBOL: price})
    found = account(quantity, actions, price)

    assert found.cash_micros == book.cash_micros
    assert found.quantities.get(SYMBOL, 0) == book.quantity_of(SYMBOL)


@given(st.integers(1, 10**5), ACTIONS, PRICES)
def test_a_short_owes_what_a_holding_is_paid(quantity, actions, price):
    long, short = account(quantity, actions, price), account(-quantity, actions, price)

    assert short.cash_micros - CASH == -(long.cash_micros - CASH)
    assert short.quantities.get(SYMBOL, 0) == -long.quantities.get(SYMBOL, 0)


def test_the_compiled_ledger_takes_a_delisted_position_for_what_was_paid():
    from trading import kernel

    rows = np.array([[1, kernel.DELISTED, 1, 1, 3 * MICROS, 0]], dtype=np.int64)
    actions = kernel.Actions(rows, np.array([0, 1]), np.array([0]))
    by_symbol = np.zeros((kernel.DESK_ROWS, 1), dtype=np.int64)
    by_symbol[kernel.HELD, 0], by_symbol[kernel.COST, 0] = 7, 20 * MICROS

    class Desk:
        pass

    desk = Desk()
    desk.by_symbol, desk.totals = by_symbol, np.zeros(4, dtype=np.int64)
    status = kernel.act(np.full((2, 1), 5 * MICROS), actions, 1, 0, desk)

    assert status == kernel.DONE
    assert (by_symbol[kernel.HELD, 0], by_symbol[kernel.COST, 0]) == (0, 0)
    assert desk.totals[kernel.CASH] == 21 * MICROS
    assert desk.totals[kernel.REALISED] == 1 * MICROS
    assert desk.totals[kernel.DIVIDENDS] == 0


# --------------------------------------------------------------------------------------- worked by hand


@pytest.mark.parametrize(
    ("ratio", "before", "after", "held", "becomes"),
    [
        # Apple, 9 June 2014, 7 for 1: closed at 645.57 on the 6th, opened at 92.22 in new shares.
        pytest.param((7, 1), 645_570_000, 92_224_286, 100, (700, 0), id="apple 7:1 of 2014"),
        # Apple, 31 August 2020, 4 for 1: closed at 499.23 on the 28th.
        pytest.param((4, 1), 499_230_000, 124_807_500, 25, (100, 0), id="apple 4:1 of 2020"),
        # Citigroup, 9 May 2011, 1 for 10: closed at 4.52 on the 6th. Of 25 shares 2 are left, and half of one
        # is paid: 0.5 × 45.20.
        pytest.param((1, 10), 4_520_000, 45_200_000, 25, (2, 22_600_000), id="citigroup 1:10 of 2011"),
        # Three for two of 15 shares: 22, and half of one at 20.
        pytest.param((3, 2), 30_000_000, 20_000_000, 15, (22, 10_000_000), id="three for two"),
        # A reverse split of fewer shares than make a new one is paid whole: 7 / 10 × 45.20.
        pytest.param((1, 10), 4_520_000, 45_200_000, 7, (0, 31_640_000), id="paid out whole"),
    ],
)
def test_splits_as_they_were_published(ratio, before, after, held, becomes):
    assert split_price(before, *ratio) == after
    book = book_at_open(holding(held), [split(*ratio)], last_close_micros={SYMBOL: after})

    assert (book.quantity_of(SYMBOL), book.cash_micros - CASH) == becomes


@pytest.mark.parametrize(
    ("held", "a_share", "paid"),
    [
        # Apple's first dividend after 1995: 2.65 a share, ex 9 August 2012.
        pytest.param(100, 2_650_000, 265_000_000, id="apple 2012"),
        # Microsoft's special dividend: 3.08 a share, ex 15 November 2004.
        pytest.param(1_000, 3_080_000, 3_080_000_000, id="microsoft 2004"),
        pytest.param(3, 333_333, 999_999, id="to the micro-unit"),
    ],
)
def test_dividends_as_they_were_published(held, a_share, paid):
    book = book_at_open(holding(held), [paying(ActionKind.DIVIDEND, a_share)], last_close_micros={})

    assert book.cash_micros - CASH == paid


def test_prices_before_a_dividend_are_scaled_as_crsp_does():
    """Closed at 100, pays 2, opens at 98: the factor is 1 − 2/100, and the return over the day is 0."""
    quotes = [
        Quote(SYMBOL, day, *[price * MICROS] * 4, 1, "hand", "", datetime(2014, 6, 6, 20, tzinfo=UTC))
        for day, price in ((date(2014, 6, 6), 100), (DAY, 98))
    ]
    panel = Panel.from_quotes([date(2014, 6, 6), DAY], quotes)
    window = panel.window_before(NEXT, 2, actions=[paying(ActionKind.DIVIDEND, 2 * MICROS)])

    assert window.close[:, 0].tolist() == pytest.approx([98.0, 98.0], abs=1e-12)


def test_prices_before_a_delisting_are_what_they_were():
    quotes = [
        Quote(
            SYMBOL, date(2014, 6, 6), *[50 * MICROS] * 4, 1, "hand", "", datetime(2014, 6, 6, 20, tzinfo=UTC)
        )
    ]
    panel = Panel.from_quotes([date(2014, 6, 6)], quotes)
    window = panel.window_before(DAY, 1, actions=[paying(ActionKind.DELISTING, 10 * MICROS)])

    assert window.close[0, 0] == 50.0
    assert window.close_micros[0] == 50 * MICROS


def test_what_trades_under_a_delisted_symbol_is_held_to_no_history(config_dir):
    from resources.quality_rules import load_quality_limits

    limits = load_quality_limits(config_dir / "quality.toml")
    before = Quote(
        SYMBOL, date(2014, 6, 6), *[50 * MICROS] * 4, 1, "hand", "", datetime(2014, 6, 6, 20, tzinfo=UTC)
    )
    other = ParsedBar(SYMBOL, NEXT, *[400 * MICROS] * 4, 1)

    assert history_fault(other, before, [], limits) is not None
    assert history_fault(other, before, [paying(ActionKind.DELISTING, 0)], limits) is None


MODEL = FillModel(slippage_bps=5, commission_bps=1, participation_bps=500)


@pytest.mark.parametrize(
    ("order", "fill"),
    [
        # 100.00 and 5 bps: 100.05; 1 bp of 100 × 100.05 is 1.0005.
        pytest.param((Side.BUY, 100, 100_000_000, 10_000), (100, 100_050_000, 1_000_500), id="a buy"),
        pytest.param((Side.SELL, 100, 100_000_000, 10_000), (100, 99_950_000, 999_500), id="a sale"),
        # 5 % of 1,000 shares are 50.
        pytest.param((Side.BUY, 100, 100_000_000, 1_000), (50, 100_050_000, 500_250), id="half the order"),
        pytest.param((Side.BUY, 100, 100_000_000, 19), (0, 0, 0), id="no volume to fill on"),
        # 0.000001 and 5 bps round up to 0.000002, and the commission to a micro-unit: never in our favour.
        pytest.param((Side.BUY, 1, 1, 100), (1, 2, 1), id="rounded against us"),
        pytest.param((Side.SELL, 1, 33_333_333, 100), (1, 33_316_666, 3_332), id="a sale rounded against us"),
    ],
)
def test_fills_worked_by_hand(order, fill):
    assert fill_at_open(*order, MODEL) == fill


ORDERS = st.tuples(st.sampled_from(Side), SHARES, PRICES, st.integers(0, 10**9))
BASIS_POINTS = st.integers(0, 100)


@given(ORDERS, BASIS_POINTS, BASIS_POINTS)
def test_no_model_of_costs_ever_flatters(order, slippage, commission):
    side, asked, opened, volume = order
    filled, price, paid = fill_at_open(*order, FillModel(slippage, commission, 500))
    if not filled:
        return
    exact = Fraction(opened * (BPS + (slippage if side is Side.BUY else -slippage)), BPS)

    assert filled <= asked
    assert filled * BPS <= volume * 500
    assert 0 <= (price - exact if side is Side.BUY else exact - price) < 1
    assert 0 <= paid - Fraction(price * filled * commission, BPS) < 1


@pytest.mark.parametrize(
    ("side", "arrival", "average", "bps"),
    [
        (Side.BUY, 100 * MICROS, 100_050_000, 5.0),
        (Side.SELL, 100 * MICROS, 99_950_000, 5.0),
        (Side.BUY, 100 * MICROS, 99_900_000, -10.0),
        (Side.SELL, 200 * MICROS, 198 * MICROS, 100.0),
    ],
)
def test_slippage_is_told_against_the_arrival_price_and_positive_where_it_costs(side, arrival, average, bps):
    assert slippage_bps(side=side, arrival_micros=arrival, average_micros=average) == bps


def test_cash_pays_for_its_commission_too():
    # 1,000.00 at 10.00 and 10 bps: 99 shares cost 990.99, 100 would cost 1,001.00.
    assert affordable_quantity(1_000 * MICROS, 10 * MICROS, 10) == 99


def test_what_was_bought_before_a_split_is_carried_over_it_with_its_commission():
    bought = Execution(date(2014, 6, 6), SYMBOL, Side.BUY, 10, 645_570_000, 645_570)
    found = account_after(
        Holdings(cash_micros=10_000 * MICROS),
        [bought],
        {DAY: (split(7, 1),)},
        last_close=lambda *_: 92_224_286,
    )

    assert found.quantities == {SYMBOL: 70}
    assert found.cash_micros == 10_000 * MICROS - 6_455_700_000 - 645_570
