"""Answers worked by hand or published elsewhere: costs, participation, rebalancing, splits and dividends.

Whole sessions by the step that live, graph and replay share, and a property: value is conserved in every
session of any market. Each noun's own answers are in the test beside it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from resources.calendars import load_calendar
from resources.judged_bars import judged_bars
from resources.profiles import Profiled
from resources.settings import load_settings
from trading.actions import ActionKind, CorporateAction
from trading.books import BookConfig
from trading.orders import Fill
from trading.positions import Position, book_at_open, imbalance_micros, opened_book, with_fills
from trading.quotes import Panel
from trading.session import SessionResult, run_sessions
from trading.simulation import FillModel
from trading.strategies.plugin import Strategy, buy, sell
from trading.values import ClientOrderId, IntentId, Side, Symbol

A, B = Symbol("A"), Symbol("B")
CALENDAR = load_calendar("XNYS", Path(__file__).resolve().parents[2] / "config" / "calendars")
DAYS = CALENDAR.between(date(2004, 1, 2), date(2004, 12, 31))
BOUNDLESS = 10**15
BEFORE = 70
"""Sessions before the first that trades: a book's risk can be told from sixty on."""


def split(symbol, on, numerator, denominator=1):
    return CorporateAction(
        effective_on=on,
        symbol=symbol,
        kind=ActionKind.SPLIT,
        numerator=numerator,
        denominator=denominator,
    )


def dividend(symbol, on, micros):
    return CorporateAction(effective_on=on, symbol=symbol, kind=ActionKind.DIVIDEND, dividend_micros=micros)


@pytest.fixture(scope="module")
def config() -> BookConfig:
    """Give a book whose guards let everything pass that can be paid."""
    config = Profiled(load_settings()).books["us_five"]
    rules = config.rules
    limits = replace(
        rules.limits,
        allowlist=(),
        order_notional_micros_max=BOUNDLESS,
        auto_approve_notional_micros=BOUNDLESS,
        symbol_weight_bps_max=10_000,
        position_weight_bps_max=10_000,
        order_quantity_max=BOUNDLESS,
        usual_order_notional_micros=BOUNDLESS,
        price_collar_bps=BOUNDLESS,
        volume_share_bps_max=10_000,
        gross_notional_micros_max=BOUNDLESS,
        net_notional_micros_max=BOUNDLESS,
        var_bps_max=10_000,
        daily_loss_bps_max=10_000,
        drawdown_bps_max=10_000,
        orders_per_minute_max=1_000,
    )
    rules = replace(
        rules,
        limits=limits,
        scanner=replace(rules.scanner, risk_score_max=1.1, confidence_min=0.0),
        council=replace(rules.council, quorum=1, support_min=0.1, exit_quorum=1, exit_support_min=0.1),
        allocation=replace(
            rules.allocation, position_bps=5_000, cap_bps=5_000, step_bps=5_000, reserve_bps=0, band_bps=0
        ),
    )
    return replace(config, rules=rules)


def told_by(words):
    """Give a strategy that says by session and symbol what it is told to, as sure as can be."""

    def signals(window, symbols):
        said = words.get(window.session, {})
        return {symbol: (buy if said[symbol] > 0 else sell)(1.0, "") for symbol in symbols if symbol in said}

    return Strategy(name="told", version="1", weight=1.0, parameters=(), signals=signals)


def run(config, panel, sessions, *, words, actions, costs) -> list[SessionResult]:
    # The guards are to allow for what trading costs here: both, and each on the other.
    allowed_bps = costs.slippage_bps + costs.commission_bps + 10
    limits = replace(config.rules.limits, cost_bps=allowed_bps)
    rules = replace(config.rules, strategies=(told_by(words),), limits=limits)
    config = replace(config, rules=rules, costs=costs)
    return run_sessions(
        config, panel=panel, actions=actions, calendar=CALENDAR, sessions=sessions, approve=True
    )


# ----------------------------------------------------------------------------------- whole sessions by hand


def test_four_sessions_with_a_part_fill_a_dividend_a_split_a_rebalance_and_a_sale_by_hand(config):
    first = BEFORE
    d1, d2, d3, d4 = DAYS[first : first + 4]
    opens, closes = {d1: 100, d2: 102, d3: 53, d4: 55}, {d1: 102, d2: 104, d3: 54, d4: 55}
    volumes = {d1: 80_000, d2: 80_000, d3: 400_000, d4: 400_000}
    days = DAYS[: first + 4]

    def column(of, before):
        return np.array([[of.get(day, before)] for day in days], dtype=np.int64)

    opened, closed = column(opens, 100) * 10**6, column(closes, 100) * 10**6
    panel = Panel(
        sessions=days,
        symbols=(A,),
        open=opened,
        high=np.maximum(opened, closed),
        low=np.minimum(opened, closed),
        close=closed,
        volume=column(volumes, 80_000),
    )
    results = run(
        config,
        panel,
        [d1, d2, d3, d4],
        words={d1: {A: 1}, d3: {A: 1}, d4: {A: -1}},
        actions=(dividend(A, d2, 510_000), split(A, d3, 2)),
        costs=FillModel(slippage_bps=5, commission_bps=1, participation_bps=500),
    )
    bought, paid, rebalanced, sold = results

    # Half of 1,000,000 at 100.00 is 5,000 shares; 5 % of 80,000 is 4,000 of them, at 100.05 and 1 bps.
    assert [(fill.quantity, fill.price_micros, fill.commission_micros) for fill in bought.fills] == [
        (4_000, 100_050_000, 40_020_000)
    ]
    assert bought.closing.cash_micros == 599_759_980_000
    assert bought.equity_micros == 1_007_759_980_000  # 4,000 × 102.00 more
    # 0.51 on each of 4,000 shares.
    assert paid.fills == ()
    assert paid.closing.cash_micros == 601_799_980_000
    assert paid.closing.dividends_micros == 2_040_000_000
    # 8,000 shares at 52.00 of 1,017,799.98: half of it is 9,786 shares, 1,786 more, at 53.0265.
    assert rebalanced.decided.proposed.at_open.positions == (Position(A, 8_000, 400_200_000_000),)
    assert [(fill.quantity, fill.price_micros, fill.commission_micros) for fill in rebalanced.fills] == [
        (1_786, 53_026_500, 9_470_533)
    ]
    assert rebalanced.closing.positions == (Position(A, 9_786, 494_905_329_000),)
    assert rebalanced.closing.cash_micros == 507_085_180_467
    # All at 54.9725: 537,960.885 for what cost 494,905.329.
    assert [(fill.side, fill.quantity, fill.price_micros) for fill in sold.fills] == [
        (Side.SELL, 9_786, 54_972_500)
    ]
    assert sold.closing.positions == ()
    assert sold.closing.realised_micros == 43_055_556_000
    assert sold.closing.cash_micros == sold.equity_micros == 1_044_992_269_378


def test_who_sells_at_the_open_of_the_ex_date_is_paid_and_who_buys_there_is_not(config):
    first = BEFORE
    d1, d2 = DAYS[first : first + 2]
    flat = np.full((first + 2, 2), 100 * 10**6, dtype=np.int64)
    panel = Panel(
        sessions=DAYS[: first + 2],
        symbols=(A, B),
        open=flat,
        high=flat,
        low=flat,
        close=flat,
        volume=np.full((first + 2, 2), 10**7, dtype=np.int64),
    )
    _, after = run(
        config,
        panel,
        [d1, d2],
        words={d1: {A: 1}, d2: {A: -1, B: 1}},
        actions=(dividend(A, d2, 1_000_000), dividend(B, d2, 1_000_000)),
        costs=FillModel(slippage_bps=0, commission_bps=0, participation_bps=10_000),
    )

    assert [(fill.symbol, fill.side, fill.quantity) for fill in after.fills] == [
        (A, Side.SELL, 5_000),
        (B, Side.BUY, 5_025),  # half of 1,005,000
    ]
    assert after.closing.dividends_micros == 5_000 * 1_000_000


# ------------------------------------------------------------------------------------- published elsewhere


def test_adjusted_closes_are_those_that_yahoo_explains_adjustment_with():
    """Microsoft in February 2003: 2 for 1 on the 18th and 0.08 on the 19th.

    Yahoo Finance, "What is the adjusted close?": 0.5 and 1 − 0.08 / 24.96 = 0.9968 make 23.42, 24.07, 24.88.
    """
    known = judged_bars(Profiled(load_settings()), "us_five")
    after = date(2003, 2, 20)
    window = known.panel.window_before(after, 5, actions=known.actions)
    column = window.column(Symbol("MSFT"))
    row = known.panel.sessions.index(date(2003, 2, 19))
    raw = known.panel.close[row - 3 : row + 1, known.panel.symbols.index(Symbol("MSFT"))]

    assert (raw / 1e6).tolist() == [46.99, 48.30, 24.96, 24.53]
    assert window.close[-4:, column].round(2).tolist() == [23.42, 24.07, 24.88, 24.53]


@pytest.mark.parametrize(
    ("action", "close", "factor"),
    [
        (dividend(A, DAYS[1], 80_000), "24.96", 0.9968),
        (dividend(A, DAYS[1], 2_400_000), "16.51", 0.8546),
        (dividend(A, DAYS[1], 1_250_000), "51.20", 0.9756),
        (split(A, DAYS[1], 2), "24.96", 0.5),
        (split(A, DAYS[1], 4), "24.96", 0.25),
        (split(A, DAYS[1], 1, 5), "24.96", 5.0),
    ],
)
def test_multipliers_are_those_of_the_same_page(action, close, factor):
    price = np.array([[round(float(close) * 1e6)]], dtype=np.int64)
    panel = Panel(
        sessions=DAYS[:1], symbols=(A,), open=price, high=price, low=price, close=price, volume=price
    )
    window = panel.window_before(DAYS[1], 1, actions=[action])

    assert round(float(window.close[0, 0]) / float(close), 4) == factor


@pytest.mark.parametrize(
    ("shares", "cost", "ratio", "held", "each"),
    [
        # Internal Revenue Service, questions on stock splits: 100 shares of 15 become 200 of 7.50.
        (100, 1_500, (2, 1), 200, "7.5"),
        # The other way round, by hand: 1 for 2 of 100 shares of 10 leaves 50 of 20.
        (100, 1_000, (1, 2), 50, "20"),
    ],
)
def test_a_split_spreads_the_cost_over_the_new_shares(shares, cost, ratio, held, each):
    opened = opened_book(currency="USD", deposit_micros=cost * 10**6)
    day = date(2004, 1, 2)
    fill = Fill(
        "exe", ClientOrderId("ta"), IntentId("int"), A, Side.BUY, shares, cost * 10**6 // shares, 0, day, None
    )
    book = book_at_open(with_fills(opened, [fill]), [split(A, day, *ratio)], last_close_micros={A: 1})

    (position,) = book.positions
    assert position.quantity == held
    assert Fraction(position.cost_micros, position.quantity * 10**6) == Fraction(each)
    assert book.cash_micros == 0


# -------------------------------------------------------------------------- value is conserved, in any market

RATIOS = [(2, 1), (3, 2), (1, 10), (7, 3), (1, 1)]
TRADED = 8
NAMES = (A, B, Symbol("C"))


class Market(NamedTuple):
    """Hold a market drawn at random: bars, actions, costs, and what the strategy says in it."""

    panel: Panel
    actions: tuple[CorporateAction, ...]
    costs: FillModel
    words: dict[date, dict[Symbol, int]]


@st.composite
def markets(draw):
    """Draw bars that jump and have gaps, actions in every session that trades, costs and opinions."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    days = DAYS[: BEFORE + TRADED]
    moves = rng.normal(0, 0.03, (len(days), len(NAMES)))
    close = (np.exp(moves.cumsum(axis=0)) * draw(st.sampled_from([3, 97, 2_500])) * 1e6).astype(np.int64) + 1
    opened = (close * np.exp(rng.normal(0, 0.02, close.shape))).astype(np.int64) + 1
    volume = rng.integers(0, draw(st.sampled_from([1_000, 10**6])), close.shape)
    quoted = rng.random(close.shape) > draw(st.sampled_from([0.0, 0.05]))
    quoted[0] = True
    arrays = {
        "open": opened,
        "high": np.maximum(opened, close),
        "low": np.minimum(opened, close),
        "close": close,
        "volume": volume,
    }
    panel = Panel(
        sessions=days, symbols=NAMES, **{name: np.where(quoted, array, 0) for name, array in arrays.items()}
    )
    trading = days[BEFORE:]
    events = draw(
        st.lists(
            st.tuples(
                st.sampled_from(trading), st.sampled_from(NAMES), st.sampled_from([*RATIOS, None, None])
            ),
            max_size=8,
            unique_by=lambda event: event[:2],
        )
    )
    actions = tuple(
        dividend(symbol, day, int(rng.integers(1, 2_000_000)))
        if ratio is None
        else split(symbol, day, *ratio)
        for day, symbol, ratio in events
    )
    words = {
        day: {symbol: int(rng.choice([-1, 1])) for symbol in NAMES if rng.random() < 0.6} for day in trading
    }
    costs = FillModel(
        slippage_bps=draw(st.integers(0, 300)),
        commission_bps=draw(st.integers(0, 100)),
        participation_bps=draw(st.sampled_from([100, 500, 10_000])),
    )
    return Market(panel, actions, costs, words)


@settings(max_examples=60, deadline=None)
@given(market=markets())
def test_value_is_conserved_in_every_session_of_any_market(config, market):
    sessions = market.panel.sessions[BEFORE:]
    results = run(
        config, market.panel, sessions, words=market.words, actions=market.actions, costs=market.costs
    )

    cash = equity = config.deposit_micros
    shares, marks = dict.fromkeys(NAMES, 0), {}
    for session, result in zip(sessions, results, strict=True):
        at_open = result.decided.proposed.at_open
        paid, lost = 0, Fraction(0)
        for action in sorted(market.actions):
            if action.effective_on != session or not shares[action.symbol]:
                continue
            held = shares[action.symbol]
            if action.kind is ActionKind.DIVIDEND:
                paid += held * action.dividend_micros
                continue
            ratio = Fraction(action.numerator, action.denominator)
            shares[action.symbol] = int(held * ratio)
            # The new price is within half a micro-unit of the exact one, for each share and for the rest.
            lost += held * ratio / 2 + 1
            marks[action.symbol] = Fraction(marks[action.symbol]) / ratio
        assert {p.symbol: p.quantity for p in at_open.positions} == {s: n for s, n in shares.items() if n}
        whole = sum(p.quantity * marks[p.symbol] for p in at_open.positions)
        assert abs(whole + at_open.cash_micros - paid - equity) <= lost
        cash = at_open.cash_micros
        for fill in result.fills:
            sign = 1 if fill.side is Side.BUY else -1
            shares[fill.symbol] += sign * fill.quantity
            cash -= sign * fill.quantity * fill.price_micros + fill.commission_micros
        closing = result.closing
        prices = {symbol: mark.price_micros for symbol, mark in result.marks.items()}

        assert closing.cash_micros == cash >= 0
        assert {p.symbol: p.quantity for p in closing.positions} == {s: n for s, n in shares.items() if n}
        assert imbalance_micros(closing, prices) == 0
        assert result.equity_micros == cash + sum(n * prices[s] for s, n in shares.items() if n)
        marks = {symbol: Fraction(price) for symbol, price in prices.items()}
        equity = result.equity_micros
    event("trades" if any(result.fills for result in results) else "does not trade")
