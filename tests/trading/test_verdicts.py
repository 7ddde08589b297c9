"""Verdicts: a batch is judged on the exposure that results, earlier intents of it counted."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from trading.advice import Ladder
from trading.decisions import Outcome, decide
from trading.guards import CODES, GUARDS, SOFT
from trading.limits import Override
from trading.positions import Book, Position
from trading.testing import EXAMPLE_SWITCHES, example_intent, example_limits, example_verdicts
from trading.values import Side, Slot, Symbol
from trading.verdicts import (
    SOFT_REASONS,
    Exceptions,
    OpenOrders,
    by_intent,
    funds_of,
    switches_seen,
    verdicts_sha,
)

A, B = Symbol("A"), Symbol("B")
LIMITS = example_limits()
PRICE = 100_000_000
ROOT = Path(__file__).resolve().parents[2]


def book(cash_micros, **positions):
    return Book(
        currency="USD",
        cash_micros=cash_micros,
        deposits_micros=cash_micros,
        positions=tuple(Position(Symbol(name), shares, 0) for name, shares in positions.items()),
    )


def judged(intents, held, *, limits=LIMITS, prices=None, behind=None, **switches):
    verdicts = example_verdicts(
        intents,
        book=held,
        limits=limits,
        prices={A: PRICE, B: PRICE} if prices is None else prices,
        sessions_behind={A: 0, B: 0} if behind is None else behind,
        **switches,
    )
    return [
        [verdict.reason for verdict in group if not verdict.passed] for group in by_intent(verdicts).values()
    ]


def buy(symbol, quantity, **others):
    return example_intent(symbol, quantity=quantity, price_micros=PRICE, **others)


def sale(symbol, quantity, **others):
    return buy(symbol, quantity, side=Side.SELL, **others)


def test_every_guard_says_its_word_on_every_intent_in_order():
    intents = [buy("A", 1), buy("B", 1)]
    verdicts = example_verdicts(intents, book=book(10**9), limits=LIMITS)

    names = [name for name, _ in GUARDS]
    assert [verdict.guard for verdict in verdicts] == names * 2
    assert [verdict.intent_key for verdict in verdicts] == [
        key for i in intents for key in [i.intent_key] * len(names)
    ]
    assert {verdict.limits_sha for verdict in verdicts} == {LIMITS.sha()}
    assert all(verdict.passed and verdict.reason == "ok" for verdict in verdicts)
    power = verdicts[names.index("buying_power")]
    assert (power.observed, power.limit, power.largest_quantity) == (101_000_000, 10**9, 9)


def test_a_passing_buy_reserves_money_with_its_costs_for_the_next():
    # 1 % of costs: two buys of 5 at 100.00 need 505.00 each.
    assert judged([buy("A", 5), buy("B", 5)], book(1_010_000_000)) == [[], []]
    assert judged([buy("A", 5), buy("B", 5)], book(1_009_999_999)) == [[], ["insufficient_buying_power"]]


def test_a_blocked_buy_reserves_nothing():
    small = replace(LIMITS, order_notional_micros_max=600_000_000, auto_approve_notional_micros=600_000_000)

    assert judged([buy("A", 7), buy("B", 5)], book(505_000_000, B=100), limits=small) == [
        ["max_notional_exceeded", "insufficient_buying_power"],
        [],
    ]


def test_the_proceeds_of_an_earlier_sale_count_after_costs():
    # Ten sold at 100.00 less 1 % are 990.00; nine bought need 909.00, ten 1,010.00.
    assert judged([sale("A", 10), buy("B", 9)], book(0, A=10)) == [[], []]
    assert judged([sale("A", 10), buy("B", 10)], book(0, A=10)) == [[], ["insufficient_buying_power"]]


def test_a_blocked_sale_brings_nothing():
    assert judged([sale("A", 11), buy("B", 9)], book(0, A=10)) == [
        ["shorts_not_allowed"],
        ["insufficient_buying_power"],
    ]


def test_two_sales_cannot_sell_the_same_shares():
    twice = [sale("A", 6), sale("A", 5, slot=Slot.STOP)]

    assert judged(twice, book(10**9, A=11)) == [[], []]
    assert judged(twice, book(10**9, A=10)) == [[], ["shorts_not_allowed"]]


def test_two_buys_of_a_symbol_share_its_cap():
    capped = replace(LIMITS, symbol_weight_bps_max=1_000)
    twice = [buy("A", 6), buy("A", 5, slot=Slot.STOP)]

    # 10 % of 11,000.00 are eleven shares, of 10,900.00 only ten.
    assert judged(twice, book(11_000_000_000), limits=capped) == [[], []]
    assert judged(twice, book(10_900_000_000), limits=capped) == [[], ["symbol_notional_cap_exceeded"]]


UNKNOWN = ["missing_exposure_price", "missing_day_pnl"]
UNDER_NOTHING = {
    "open_buys": {A: ["negative_exposure", *UNKNOWN], B: UNKNOWN},
    "open_sells": {A: ["negative_exposure"], B: []},
}


@pytest.mark.parametrize("symbol", [A, B])
@pytest.mark.parametrize("wrong", UNDER_NOTHING)
def test_by_what_is_open_for_fewer_than_no_shares_nothing_is_added(wrong, symbol):
    intents = [buy("A", 1), buy("A", 2, slot=Slot.STOP)]
    told = UNDER_NOTHING[wrong][symbol]

    # The first one, open by then, does not make it right for the second.
    assert judged(intents, book(10**12, B=10), funds=funds_with(**{wrong: {symbol: -1}})) == [told, told]


def test_what_is_held_can_still_be_sold_unless_the_sales_that_are_open_cannot_be():
    held, out = book(10**12, B=10), [sale("B", 10)]

    assert judged(out, held, funds=funds_with(open_buys={A: -1})) == [[]]
    assert judged(out, held, funds=funds_with(reserved_micros=-1)) == [[]]
    assert judged(out, held, funds=funds_with(open_sells={A: -1})) == [[]]
    assert judged(out, held, funds=funds_with(open_sells={B: -1})) == [["negative_exposure"]]


def test_money_promised_by_less_than_nothing_lets_nothing_be_bought():
    told = ["negative_exposure"]

    assert judged([buy("A", 1), buy("B", 1)], book(10**12), funds=funds_with(reserved_micros=-1)) == [
        told,
        told,
    ]


def funds_with(**wrong):
    """Give the funds of a book that holds ten of B, with open orders as a wrong journal would have them."""
    opened = {"open_buys": {}, "open_sells": {}, "reserved_micros": 0} | wrong
    return funds_of(
        OpenOrders(book(10**12, B=10), **opened),
        live={A: PRICE, B: PRICE},
        closes={},
        opening_micros=10**12 + 10 * PRICE,
        peak_equity_micros=0,
    )


def test_a_position_without_a_price_makes_the_caps_tighter():
    capped = replace(LIMITS, symbol_weight_bps_max=1_000)

    assert judged([buy("A", 10)], book(9_000_000_000, B=10), limits=capped) == [[]]
    assert judged([buy("A", 10)], book(9_000_000_000, B=10), limits=capped, prices={A: PRICE}) == [
        ["symbol_notional_cap_exceeded"]
    ]


def test_an_intent_without_price_or_quote_is_stopped():
    assert judged([buy("A", 1)], book(10**9), prices={}, behind={}) == [["missing_price", "quote_stale"]]
    assert judged([buy("A", 1)], book(10**9), behind={}) == [["quote_stale"]]
    assert judged([buy("A", 1)], book(10**9), behind={A: 2}) == [["quote_stale"]]


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"kill_switch_on": True}, "kill_switch_on"),
        ({"paused": True}, "trading_paused"),
        ({"execution_enabled": False}, "execution_disabled"),
        ({"session_open": False}, "session_closed"),
    ],
)
def test_what_holds_trading_holds_every_intent(switches, reason):
    assert judged([buy("A", 1), sale("B", 1)], book(10**9, B=5), **switches) == [[reason], [reason]]


def test_a_flatten_passes_the_kill_switch():
    assert judged([sale("B", 5, slot=Slot.FLATTEN)], book(0, B=5), kill_switch_on=True) == [[]]


def test_a_symbol_off_the_allowlist_is_stopped():
    assert judged([buy("A", 1), buy("B", 1)], book(10**9), limits=replace(LIMITS, allowlist=(A,))) == [
        [],
        ["symbol_not_allowed"],
    ]


def test_the_digest_of_verdicts_changes_with_any_field():
    verdicts = example_verdicts([buy("A", 1)], book=book(10**9), limits=LIMITS)
    plain = verdicts_sha(verdicts)

    assert verdicts_sha(list(verdicts)) == plain
    for name in verdicts[0]._fields:
        value = getattr(verdicts[3], name)
        other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}!"
        changed = (*verdicts[:3], verdicts[3]._replace(**{name: other}), *verdicts[4:])
        assert verdicts_sha(changed) != plain, name
    assert verdicts_sha(verdicts[:-1]) != plain


# -------------------------------------------------------------------------------- soft blocks and overrides

ASKING = example_limits(usual_order_notional_micros=10_000_000)  # over 100.00 a person is asked
SOFTLY = replace(ASKING, fat_finger_hard_multiple=50)
ADA = Override(
    actor="ada", reason="we mean it", guard="fat_finger_soft", symbol="A", session=date(2013, 2, 28)
)


def told_of(guard, verdicts):
    return [(row.passed, row.reason, row.blocks, row.asks) for row in verdicts if row.guard == guard]


def outcomes(verdicts, *intents):
    decisions = decide(
        intents,
        verdicts,
        (),
        account="SIM",
        lane="simulated",
        ladder=Ladder.OFF,
        limits=ASKING,
        not_after=datetime(2013, 2, 28, 21, tzinfo=UTC),
        inputs_sha="inputs",
    )
    return [(one.outcome, one.reason, one.quantity) for one in decisions]


def test_a_soft_block_asks_a_person_instead_of_blocking():
    intent = buy("A", 2)
    verdicts = example_verdicts([intent], book=book(10**9), limits=SOFTLY)

    assert told_of("fat_finger_soft", verdicts) == [(False, "fat_finger_soft", False, True)]
    assert outcomes(verdicts, intent) == [(Outcome.PENDING_APPROVAL, "fat_finger_soft", 2)]


def test_a_hard_block_blocks_whatever_else_asks():
    intent = buy("A", 3)
    verdicts = example_verdicts([intent], book=book(10**9), limits=ASKING)

    assert outcomes(verdicts, intent) == [(Outcome.BLOCKED, "fat_finger_hard", 0)]


def test_an_override_lets_a_soft_block_pass_and_the_verdict_says_whose_it_is():
    intent = buy("A", 2)

    def under(*overrides):
        exceptions = Exceptions(overrides=overrides)
        verdicts = example_verdicts([intent], book=book(10**9), limits=SOFTLY, exceptions=exceptions)
        return told_of("fat_finger_soft", verdicts)[0][:2], outcomes(verdicts, intent)[0][0]

    said = "overridden by ada, session 2013-02-28: we mean it"
    assert under(ADA) == ((True, said), Outcome.APPROVED)
    for other in (
        replace(ADA, symbol="B"),
        replace(ADA, session=date(2013, 3, 1)),
        replace(ADA, guard="volume_share"),
    ):
        assert under(other) == ((False, "fat_finger_soft"), Outcome.PENDING_APPROVAL)


def test_an_override_of_a_hard_block_does_nothing():
    hard = [replace(ADA, guard=name, symbol="") for name, codes in CODES.items() if not set(codes) & SOFT]
    exceptions = Exceptions(overrides=tuple(hard))
    verdicts = example_verdicts(
        [buy("A", 300)], book=book(0), limits=ASKING, exceptions=exceptions, paused=True
    )

    assert {"trading_paused", "max_notional_exceeded", "insufficient_buying_power"} <= {
        row.reason for row in verdicts if row.blocks
    }
    assert not any(row.reason.startswith("overridden") for row in verdicts)


# -------------------------------------------------------------------------------- degrade mode


def test_degraded_trading_asks_a_person_about_every_buy_and_lets_every_reducing_sale_go():
    limits = replace(LIMITS, allowlist=(A, B))
    intents = [sale("B", 5), buy("A", 1)]
    verdicts = example_verdicts(intents, book=book(10**9, B=5), limits=limits, is_degraded=True)

    assert outcomes(verdicts, *intents) == [
        (Outcome.APPROVED, "within_policy", 5),
        (Outcome.PENDING_APPROVAL, "degrade_manual_approval_required", 1),
    ]


def test_degraded_trading_needs_an_allowlist_and_a_quarter_of_the_notional():
    def others(limits, quantity):
        (told,) = judged([buy("A", quantity)], book(10**11), limits=limits, is_degraded=True)
        assert told[0] == "degrade_manual_approval_required"
        return told[1:]

    # 25 % of 10,000.00 are 25 shares.
    assert others(replace(LIMITS, allowlist=(A,)), 25) == []
    assert others(replace(LIMITS, allowlist=(A,)), 26) == ["degrade_notional_limit_exceeded"]
    assert others(LIMITS, 25) == ["degrade_allowlist_required", "degrade_symbol_not_allowlisted"]


@pytest.mark.parametrize(
    "switches",
    [{}, {"is_degraded": True}, {"cooldown_active": True}, {"paused": True}, {"preflight": 203}],
    ids=str,
)
def test_what_trading_was_decided_under_is_read_from_its_verdicts(switches):
    verdicts = example_verdicts([buy("A", 1)], book=book(10**9), limits=LIMITS, **switches)

    assert switches_seen(verdicts) == replace(EXAMPLE_SWITCHES, **switches)
    assert switches_seen([]) is None


def test_the_soft_reasons_are_those_that_the_journal_does_not_count_as_blocked():
    asked = (ROOT / "resources" / "journal" / "sql" / "find_judged_intents.sql").read_text("utf-8")

    assert set(re.findall(r"'(\w+)'", asked)) == SOFT_REASONS


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"auto_approve_notional_micros": 10_000_000_001}, "nothing above that can be approved"),
        ({"order_notional_micros_max": 0, "auto_approve_notional_micros": 0}, "must be positive"),
        ({"symbol_weight_bps_max": 0}, "must be positive; to stop trading use halt"),
        ({"quote_age_s_max": -1}, "quote_age_s_max -1: must be positive"),
    ],
)
def test_limits_that_contradict_themselves_cannot_exist(changes, rule):
    with pytest.raises(ValueError, match=rule):
        replace(LIMITS, **changes)
