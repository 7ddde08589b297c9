"""Value is conserved in every session of a replay, whatever the market does to what is held.

Markets are drawn: gaps, thin volume, splits, dividends, delistings and names that follow under the symbol.
Two strategies say what is drawn for them, on books of several currencies. A purse apart from the book is
told of fills and actions alone, and has to come to the same cash, shares and worth to the micro-unit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.market_data.bokeh_stocks import BokehStocks
from resources.reviewed_config import book_config, read_books
from trading.actions import ActionKind, CorporateAction, effective_in
from trading.positions import imbalance_micros, opened_book
from trading.quotes import Panel, split_price
from trading.replay import replayed_of
from trading.scorecard import scorecard_of
from trading.session import each_session
from trading.strategies.plugin import Signal, Strategy
from trading.testing import example_limits
from trading.values import MICROS, Side, Symbol

SYMBOLS = tuple(Symbol(name) for name in "ABC")
WARM, LIVELY = 70, 8
"""Sessions before the first decision, as many as value at risk asks for, and sessions with decisions."""

CURRENCIES = ("USD", "EUR", "JPY")


@pytest.fixture(scope="module")
def book(xnys, config_dir):
    """Give a book that buys on one voice and that little but cash holds back, and its sessions."""
    line = read_books(config_dir / "books.toml")["us_five"]
    config = book_config("us_five", line, config_dir=config_dir, source=BokehStocks(), calendar=xnys)
    rules = config.rules
    loose = example_limits(
        order_quantity_max=10**9,
        order_notional_micros_max=10**15,
        auto_approve_notional_micros=10**15,
        usual_order_notional_micros=10**15,
        price_collar_bps=10**6,
        volume_share_bps_max=10**6,
        position_weight_bps_max=10**6,
        symbol_weight_bps_max=10**6,
        var_bps_max=10**6,
        drawdown_bps_max=10**6,
        daily_loss_bps_max=10**6,
    )
    eager = replace(
        rules,
        limits=loose,
        council=replace(rules.council, quorum=1, support_min=0.1, exit_quorum=1, exit_support_min=0.1),
        scanner=replace(rules.scanner, risk_score_max=1.0, confidence_min=0.0),
        allocation=replace(rules.allocation, position_bps=8_000, cap_bps=6_000, step_bps=6_000, band_bps=10),
    )
    sessions = xnys.between(date(2012, 1, 3), date(2012, 6, 29))[: WARM + LIVELY]
    return replace(config, rules=eager), sessions


@st.composite
def drawn(draw):
    """Give what a market is made of: its chance, how much of it is quoted, and what is done to its shares.

    An action is a session, a symbol, a kind and three numbers.
    """
    action = st.tuples(
        st.integers(WARM, WARM + LIVELY - 1),
        st.sampled_from(SYMBOLS),
        st.sampled_from(ActionKind),
        st.integers(1, 7),
        st.integers(1, 5),
        st.integers(1, 60 * MICROS),
    )
    return (
        draw(st.integers(0, 2**32)),
        draw(st.sampled_from([0.8, 1.0])),
        draw(st.lists(action, min_size=1, max_size=6, unique_by=lambda each: each[:3])),
    )


def panel_of(sessions, rng, *, quoted_share):
    shape = (len(sessions), len(SYMBOLS))
    closes = np.rint(50 * MICROS * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0)))
    opens = np.rint(closes * rng.uniform(0.97, 1.03, shape))
    quoted = rng.random(shape) < quoted_share
    quoted[:WARM] = True
    bars = {"open": opens, "high": np.fmax(opens, closes), "low": np.fmin(opens, closes), "close": closes}
    bars["volume"] = rng.integers(1, 400_000, shape)
    kept = {name: np.where(quoted, one, 0).astype(np.int64) for name, one in bars.items()}
    return Panel(sessions=sessions, symbols=SYMBOLS, **kept)


def speaking(name, rng):
    """Give a strategy that says what is drawn for it."""
    said = rng.integers(-1, 2, (400, len(SYMBOLS)))

    def signals(window, symbols):
        row = said[window.session.timetuple().tm_yday]
        return {symbol: Signal(int(row[SYMBOLS.index(symbol)]), 0.9, "drawn") for symbol in symbols}

    return Strategy(name=name, version="1", weight=1.0, parameters=(), signals=signals)


def replayed(book, xnys, market, *, currency):
    """Give the book as it is replayed, its panel, actions and results."""
    config, sessions = book
    seed, quoted_share, drawn_actions = market
    rng = np.random.Generator(np.random.PCG64(seed))
    panel = panel_of(sessions, rng, quoted_share=quoted_share)
    strategies = (speaking("first", rng), speaking("second", rng))
    config = replace(config, currency=currency, rules=replace(config.rules, strategies=strategies))
    actions = tuple(
        CorporateAction(
            effective_on=sessions[row],
            symbol=symbol,
            kind=kind,
            numerator=new if kind is ActionKind.SPLIT else 1,
            denominator=old if kind is ActionKind.SPLIT else 1,
            dividend_micros=0 if kind is ActionKind.SPLIT else paid,
        )
        for row, symbol, kind, new, old, paid in drawn_actions
    )
    results = list(
        each_session(
            config,
            panel=panel,
            actions=actions,
            calendar=xnys,
            sessions=sessions[WARM:],
            approve=True,
        )
    )
    return config, panel, actions, results


def told_apart(config, panel, actions, results):
    """Give cash, shares and worth after each session by a purse that hears of fills and actions alone."""
    purse, shares = config.deposit_micros, Counter()
    last = {symbol: int(price) for symbol, price in zip(SYMBOLS, panel.close[WARM - 1], strict=True)}
    for result in results:
        for action in effective_in(actions, result.session):
            match action.kind:
                case ActionKind.DIVIDEND:
                    purse += shares[action.symbol] * action.dividend_micros
                case ActionKind.SPLIT:
                    last[action.symbol] = split_price(
                        last[action.symbol], action.numerator, action.denominator
                    )
                    whole, rest = divmod(shares[action.symbol] * action.numerator, action.denominator)
                    purse += last[action.symbol] * rest // action.denominator
                    shares[action.symbol] = whole
                case ActionKind.DELISTING:
                    purse += shares[action.symbol] * action.dividend_micros
                    shares[action.symbol] = 0
        for fill in result.fills:
            sign = {Side.BUY: 1, Side.SELL: -1}[fill.side]
            purse -= sign * fill.quantity * fill.price_micros + fill.commission_micros
            shares[fill.symbol] += sign * fill.quantity
        row = panel.sessions.index(result.session)
        last |= {symbol: int(price) for symbol, price in zip(SYMBOLS, panel.close[row], strict=True) if price}
        yield purse, +shares, purse + sum(count * last[symbol] for symbol, count in shares.items())


@settings(max_examples=60, deadline=None)
@given(drawn(), st.sampled_from(CURRENCIES))
def test_every_session_ends_with_what_it_began_with_and_what_was_paid(book, xnys, market, currency):
    config, panel, actions, results = replayed(book, xnys, market, currency=currency)

    for result, (purse, shares, worth) in zip(
        results, told_apart(config, panel, actions, results), strict=True
    ):
        held = {position.symbol: position.quantity for position in result.closing.positions}
        marks = {symbol: mark.price_micros for symbol, mark in result.marks.items()}
        assert (result.closing.cash_micros, held, result.equity_micros) == (purse, shares, worth)
        assert imbalance_micros(result.closing, marks) == 0
        assert result.closing.cash_micros >= 0
        assert result.closing.currency == currency


@settings(max_examples=30, deadline=None)
@given(drawn(), st.sampled_from(CURRENCIES))
def test_symbols_add_up_to_what_such_a_book_made(book, xnys, market, currency):
    config, _, actions, results = replayed(book, xnys, market, currency=currency)
    opening = opened_book(currency=currency, deposit_micros=config.deposit_micros)
    card = scorecard_of(
        replayed_of(results, book=config.name, opening=opening, opening_micros=config.deposit_micros),
        actions=actions,
    )

    assert card.currency == currency
    assert sum(row.pnl_micros for row in card.symbols) == card.closing_micros - card.opening_micros


def test_such_markets_are_traded_over_each_kind_of_action(book, xnys):
    """Without this the laws could hold of books that hold nothing."""
    held_over, fills = Counter(), 0
    for seed in range(12):
        actions = [
            (WARM + 2 + place, symbol, kind, 3, 2, MICROS)
            for place, kind in enumerate(ActionKind)
            for symbol in SYMBOLS
        ]
        _, _, told, results = replayed(book, xnys, (seed, 1.0, actions), currency="USD")
        for before, after in pairwise(results):
            fills += len(after.fills)
            for action in effective_in(told, after.session):
                held_over[action.kind] += before.closing.quantity_of(action.symbol) > 0

    assert fills > 40
    assert min(held_over[kind] for kind in ActionKind) > 5
