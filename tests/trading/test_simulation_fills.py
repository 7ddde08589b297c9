"""Fills at the open, worked by hand, and the laws that hold for all of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.simulation import FillModel, affordable_quantity, fill_at_open
from trading.values import Side

FREE = FillModel(slippage_bps=0, commission_bps=0, participation_bps=10_000)
USUAL = FillModel(slippage_bps=5, commission_bps=1, participation_bps=500)


def test_a_buy_pays_the_open_plus_slippage_and_a_sale_gets_it_less():
    # 100.00 ± 5 bps is 100.05 and 99.95; 1 bps of 30 × 100.05 is 0.30015, of 30 × 99.95 is 0.29985.
    assert fill_at_open(Side.BUY, 30, 100_000_000, 1_000, USUAL) == (30, 100_050_000, 300_150)
    assert fill_at_open(Side.SELL, 30, 100_000_000, 1_000, USUAL) == (30, 99_950_000, 299_850)


def test_a_part_of_a_micro_unit_is_rounded_against_us():
    # 3 micro-units and 5 bps are 3.0015 and 2.9985; 1 bps of either is a part of one.
    assert fill_at_open(Side.BUY, 1, 3, 1_000, USUAL) == (1, 4, 1)
    assert fill_at_open(Side.SELL, 1, 3, 1_000, USUAL) == (1, 2, 1)


@pytest.mark.parametrize(
    ("volume", "filled"), [(0, 0), (19, 0), (20, 1), (39, 1), (1_980, 99), (99_999, 100)]
)
def test_an_order_takes_at_most_its_share_of_the_volume_rounded_down(volume, filled):
    assert fill_at_open(Side.BUY, 100, 10_000_000, volume, USUAL)[0] == filled


def test_without_a_price_or_a_share_nothing_is_filled_and_nothing_is_owed():
    assert fill_at_open(Side.BUY, 10, 0, 1_000, FREE) == (0, 0, 0)
    assert fill_at_open(Side.SELL, 10, 5, 0, FREE) == (0, 0, 0)
    assert fill_at_open(Side.SELL, 10, 1, 1_000, USUAL) == (0, 0, 0)


def test_a_market_without_costs_fills_at_its_open():
    assert fill_at_open(Side.BUY, 7, 12_345_678, 7, FREE) == (7, 12_345_678, 0)
    assert fill_at_open(Side.SELL, 7, 12_345_678, 7, FREE) == (7, 12_345_678, 0)


@given(
    side=st.sampled_from(Side),
    quantity=st.integers(1, 10**7),
    open_micros=st.integers(1, 10**12),
    volume=st.integers(0, 10**10),
    model=st.builds(
        FillModel,
        slippage_bps=st.integers(0, 9_999),
        commission_bps=st.integers(0, 1_000),
        participation_bps=st.integers(0, 10_000),
    ),
)
def test_a_fill_is_never_better_than_exact_and_less_than_a_micro_unit_worse(
    side, quantity, open_micros, volume, model
):
    filled, price, commission = fill_at_open(side, quantity, open_micros, volume, model)

    assert 0 <= filled <= quantity
    assert filled * 10_000 <= volume * model.participation_bps
    if filled:
        sign = 1 if side is Side.BUY else -1
        exact = Fraction(open_micros * (10_000 + sign * model.slippage_bps), 10_000)
        assert 0 <= sign * (price - exact) < 1
        assert 0 <= commission - Fraction(price * filled * model.commission_bps, 10_000) < 1


@given(st.integers(-(10**9), 10**14), st.integers(1, 10**9), st.integers(0, 500))
def test_cash_pays_as_many_shares_as_leave_none_missing_and_not_one_more(cash, price, commission_bps):
    def cost(quantity):
        notional = price * quantity
        return notional - (-notional * commission_bps // 10_000)

    most = affordable_quantity(cash, price, commission_bps)

    assert most == 0 or cost(most) <= cash
    assert cost(most + 1) > cash
