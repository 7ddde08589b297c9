"""Allocation: weights under caps, steps and a reserve, and quantities in whole lots, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.allocation import AllocationRules, intents_of, target_weights_bps, version_of
from trading.council import Motion, Vote
from trading.positions import Book, Position
from trading.values import OrderType, Side, Slot, Symbol, TimeInForce

A, B, C = Symbol("A"), Symbol("B"), Symbol("C")
RULES = AllocationRules(position_bps=2_000, cap_bps=1_800, reserve_bps=500, band_bps=100, step_bps=600, lot=1)
SESSION = date(2013, 3, 1)


def ballot(symbol, motion, support=1.0):
    return Vote(symbol, motion, 2, support, f"{motion} {symbol}")


def votes(**motions):
    return {
        Symbol(name): ballot(Symbol(name), motion, support) for name, (motion, support) in motions.items()
    }


def book(cash, **positions):
    return Book(
        currency="USD",
        cash_micros=cash * 10**6,
        deposits_micros=cash * 10**6,
        positions=tuple(Position(Symbol(name), quantity, 0) for name, quantity in sorted(positions.items())),
    )


def sized(motions, held, prices, rules=RULES):
    intents = intents_of(
        motions,
        book_name="us_five",
        session=SESSION,
        book=held,
        prices={Symbol(name): price for name, price in prices.items()},
        rules=rules,
        strategy_version="x@1",
    )
    return [(intent.side, intent.symbol, intent.quantity) for intent in intents]


@pytest.mark.parametrize(
    ("motions", "held", "targets"),
    [
        ({"A": (Motion.BUY, 0.5)}, {}, {"A": 600}),  # 1000 wanted, 600 a step
        ({"A": (Motion.BUY, 0.2)}, {}, {"A": 400}),
        ({"A": (Motion.BUY, 1.0)}, {"A": 1_500}, {"A": 1_800}),  # the cap, not 2000
        ({"A": (Motion.BUY, 0.5)}, {"A": 1_400}, {"A": 1_400}),  # a buy never sells
        ({"A": (Motion.SELL, 1.0)}, {"A": 1_400}, {"A": 0}),
        ({"A": (Motion.SELL, 1.0)}, {}, {}),
        ({"A": (Motion.HOLD, 0.0)}, {"A": 1_400}, {"A": 1_400}),
        ({}, {"A": 1_400}, {"A": 1_400}),
        ({"A": (Motion.BUY, 1.0), "B": (Motion.BUY, 1.0)}, {"C": 8_900}, {"C": 8_900, "A": 300, "B": 300}),
        ({"A": (Motion.BUY, 1.0), "B": (Motion.BUY, 0.1)}, {"C": 9_101}, {"C": 9_101, "A": 299, "B": 99}),
        ({"A": (Motion.BUY, 1.0)}, {"C": 9_600}, {"C": 9_600, "A": 0}),  # over the reserve already
        ({"A": (Motion.BUY, 1.0), "C": (Motion.SELL, 1.0)}, {"C": 9_500}, {"A": 600, "C": 0}),
    ],
)
def test_targets_by_hand(motions, held, targets):
    assert target_weights_bps(votes(**motions), held, RULES) == targets


@given(
    st.dictionaries(
        st.sampled_from("ABCDEFGH"), st.tuples(st.sampled_from(Motion), st.floats(0, 1)), max_size=8
    ),
    st.dictionaries(st.sampled_from("ABCDEFGH"), st.integers(0, 4_000), max_size=8),
)
def test_no_target_passes_cap_step_or_reserve_and_only_a_sell_lowers_one(motions, held):
    ballots = votes(**motions)
    targets = target_weights_bps(ballots, held, RULES)

    bought = {symbol for symbol in targets if targets[symbol] > held.get(symbol, 0)}
    for symbol in bought:
        assert ballots[symbol].motion is Motion.BUY
        assert targets[symbol] <= RULES.cap_bps
        assert targets[symbol] - held.get(symbol, 0) <= RULES.step_bps
    if bought:
        assert sum(targets.values()) <= 10_000 - RULES.reserve_bps
    for symbol, weight in held.items():
        if ballots.get(symbol, ballot(A, Motion.HOLD)).motion is Motion.SELL:
            assert targets[symbol] == 0
        else:
            assert targets[symbol] >= weight


def test_a_buy_is_cut_to_whole_shares_of_its_target():
    # 6 % of 1,000,000 is 60,000: 6666 shares at 9 and two thirds of one left over.
    assert sized(votes(A=(Motion.BUY, 1.0)), book(1_000_000), {"A": 9_000_000}) == [(Side.BUY, "A", 6_666)]


def test_a_buy_is_cut_to_whole_lots():
    rules = replace(RULES, lot=100)

    assert sized(votes(A=(Motion.BUY, 1.0)), book(1_000_000), {"A": 9_000_000}, rules) == [
        (Side.BUY, "A", 6_600)
    ]
    assert sized(votes(A=(Motion.BUY, 1.0)), book(1_000_000), {"A": 601_000_000}, rules) == []


@pytest.mark.parametrize(("support", "quantity"), [(0.05, 1_000), (0.0499, None)])
def test_a_change_inside_the_band_is_not_traded(support, quantity):
    # 1 % of 1,000,000 at 10 is 1000 shares: exactly the band.
    found = sized(votes(A=(Motion.BUY, support)), book(1_000_000), {"A": 10_000_000})

    assert found == ([(Side.BUY, "A", quantity)] if quantity else [])


def test_a_sell_sells_all_that_is_held_and_nothing_that_is_not():
    motions = votes(A=(Motion.SELL, 1.0), B=(Motion.SELL, 1.0))

    assert sized(motions, book(1_000, A=7), {"A": 1_000_000, "B": 1_000_000}) == [(Side.SELL, "A", 7)]


def test_sells_come_first_then_buys_by_support_and_symbol():
    motions = votes(
        E=(Motion.BUY, 0.5),
        D=(Motion.BUY, 0.9),
        C=(Motion.SELL, 1.0),
        B=(Motion.BUY, 0.5),
        A=(Motion.SELL, 0.4),
    )
    prices = dict.fromkeys("ABCDE", 10_000_000)

    found = sized(motions, book(1_000_000, A=10, C=20), prices)

    assert [(side, symbol) for side, symbol, _ in found] == [
        (Side.SELL, "A"),
        (Side.SELL, "C"),
        (Side.BUY, "D"),
        (Side.BUY, "B"),
        (Side.BUY, "E"),
    ]


def test_a_symbol_without_a_price_gets_no_intent():
    assert sized(votes(A=(Motion.BUY, 1.0), B=(Motion.SELL, 1.0)), book(1_000_000, B=5), {"B": 0}) == []


def test_a_book_worth_nothing_wants_nothing():
    assert sized(votes(A=(Motion.BUY, 1.0)), book(0), {"A": 1_000_000}) == []


def test_an_intent_says_what_it_was_made_of():
    (intent,) = intents_of(
        votes(A=(Motion.BUY, 1.0)),
        book_name="us_five",
        session=SESSION,
        book=book(1_000),
        prices={A: 1_000_000},
        rules=RULES,
        strategy_version="x@1",
    )

    assert (intent.book, intent.session, intent.slot, intent.currency) == (
        "us_five",
        SESSION,
        Slot.REBALANCE,
        "USD",
    )
    assert (intent.order_type, intent.time_in_force) == (OrderType.MARKET, TimeInForce.DAY)
    assert (intent.price_micros, intent.rationale, intent.strategy_version) == (1_000_000, "buy A", "x@1")


def test_the_version_of_a_council_is_its_strategies_by_name():
    assert version_of([("momentum", "2"), ("mean_reversion", "1")]) == "mean_reversion@1,momentum@2"
