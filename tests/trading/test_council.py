"""The council: a motion needs enough supporters *and* enough support."""

from __future__ import annotations

import pytest

from trading.council import CouncilRules, Motion, Vote, vote, why_no_motion
from trading.strategies.plugin import Signal, Strategy, buy, sell
from trading.values import Symbol

A, B = Symbol("A"), Symbol("B")
RULES = CouncilRules(quorum=2, support_min=0.5, exit_quorum=1, exit_support_min=0.3)


@pytest.fixture
def window(window_of):
    return window_of({"A": [10.0] * 3, "B": [10.0] * 3})


def strategies(*opinions, weights=None):
    """Make one strategy for each opinion of A; `None` is silent."""
    return [
        Strategy(
            name=f"s{at}",
            version="1",
            weight=(weights or [1.0] * len(opinions))[at],
            parameters=(),
            signals=lambda *_, said=said: {} if said is None else {A: said},
        )
        for at, said in enumerate(opinions)
    ]


@pytest.mark.parametrize(
    ("supporters", "confidence", "motion"),
    [
        # Four strategies of weight 1: support is supporters × confidence / 4.
        (0, 1.0, Motion.HOLD),
        (1, 1.0, Motion.HOLD),  # neither
        (2, 0.99, Motion.HOLD),  # quorum without support
        (2, 1.0, Motion.BUY),
        (3, 0.66, Motion.HOLD),
        (3, 0.67, Motion.BUY),
        (4, 0.49, Motion.HOLD),
        (4, 0.5, Motion.BUY),
    ],
)
def test_a_buy_carries_where_quorum_and_support_both_hold(window, supporters, confidence, motion):
    council = strategies(*[buy(confidence, "")] * supporters, *[None] * (4 - supporters))

    (ballot,) = vote(window, [A], council, RULES).values()

    assert ballot.motion is motion
    assert ballot.supporters == supporters
    assert ballot.support == pytest.approx(supporters * confidence / 4)


def test_support_without_quorum_does_not_carry(window):
    council = strategies(buy(1, ""), buy(1, ""), None, weights=[8.0, 1.0, 1.0])

    assert vote(window, [A], council, RULES)[A].motion is Motion.BUY
    alone = strategies(buy(1, ""), None, None, weights=[8.0, 1.0, 1.0])
    assert vote(window, [A], alone, RULES)[A] == Vote(A, Motion.HOLD, 1, 0.8, "s0 +1.00 ()")


@pytest.mark.parametrize(
    ("exit_quorum", "confidence", "motion"),
    [(1, 0.6, Motion.SELL), (1, 0.59, Motion.HOLD), (2, 1.0, Motion.HOLD)],
)
def test_a_sell_carries_by_its_own_quorum_and_support(window, exit_quorum, confidence, motion):
    rules = CouncilRules(quorum=2, support_min=0.5, exit_quorum=exit_quorum, exit_support_min=0.3)

    assert vote(window, [A], strategies(sell(confidence, ""), None), rules)[A].motion is motion


def test_a_carried_sell_beats_a_carried_buy(window):
    council = strategies(buy(1, ""), buy(1, ""), buy(1, ""), sell(1, ""), sell(0.5, ""))

    ballot = vote(window, [A], council, RULES)[A]

    assert ballot[:4] == (A, Motion.SELL, 2, 0.3)


def test_a_hold_supports_nothing_and_weighs_like_every_other(window):
    council = strategies(buy(1, ""), buy(1, ""), Signal(0, 1.0, "wait"), None)

    assert vote(window, [A], council, RULES)[A].support == 0.5


def test_a_vote_names_every_opinion_in_the_order_of_the_strategies(window):
    council = strategies(buy(0.5, "rose"), sell(0.25, "dear"), None)

    assert vote(window, [A], council, RULES)[A].why == "s0 +0.50 (rose); s1 -0.25 (dear)"


def test_every_symbol_asked_about_gets_a_vote_and_no_other(window):
    votes = vote(window, [B], strategies(buy(1, ""), buy(1, "")), RULES)

    assert votes == {B: Vote(B, Motion.HOLD, 0, 0.0, "")}


def test_a_council_of_nobody_holds(window):
    assert vote(window, [A], [], RULES)[A].motion is Motion.HOLD


def test_why_nothing_is_traded_names_the_nearest_symbol():
    held = {A: Vote(A, Motion.HOLD, 1, 0.4, ""), B: Vote(B, Motion.HOLD, 2, 0.3, "")}

    assert why_no_motion(held) == "no motion carried; nearest B: 2 supporters, support 0.30"
    assert why_no_motion({}) == "no candidate and nothing held"
    assert why_no_motion({**held, A: Vote(A, Motion.SELL, 1, 0.4, "")}) == ""
