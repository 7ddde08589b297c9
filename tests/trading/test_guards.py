"""Guards: precedence, bounds to the unit, a naive second version, and that none ever enlarges an order."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest

from trading import guards
from trading.guards import (
    GUARDS,
    NO_LIMIT,
    PASS,
    REASONS,
    Caps,
    Control,
    Exposure,
    Market,
    Proposal,
    first_reason,
    review,
)


class Situation(NamedTuple):
    """Hold everything a review takes."""

    proposal: Proposal
    market: Market
    exposure: Exposure
    control: Control
    caps: Caps

    def but(self, **changes):
        """Return the situation with single fields changed, whichever part they stand in."""
        parts = [
            part._replace(**{name: value for name, value in changes.items() if name in part._fields})
            for part in self
        ]
        assert changes.keys() <= {name for part in self for name in part._fields}
        return Situation(*parts)


# A buy of 10 at 100.00 that every guard passes: equity 20,000, a cap of 20 %, 10,000 free, 1,500 an order.
FINE = Situation(
    Proposal(sign=1, quantity=10, price_micros=100_000_000, is_flatten=False),
    Market(price_micros=100_000_000, sessions_behind=0, quote_age_s=5, is_send=True, session_open=True),
    Exposure(
        position_quantity=20,
        open_buy_quantity=4,
        open_sell_quantity=2,
        cash_micros=12_000_000_000,
        reserved_micros=2_000_000_000,
        equity_micros=20_000_000_000,
    ),
    Control(kill_switch_on=False, paused=False, execution_enabled=True, symbol_allowed=True),
    Caps(
        order_notional_micros_max=1_500_000_000, symbol_weight_bps_max=2_000, cost_bps=20, quote_age_s_max=300
    ),
)

TRIGGERS = {
    "kill_switch_on": {"kill_switch_on": True},
    "trading_paused": {"paused": True},
    "execution_disabled": {"execution_enabled": False},
    "missing_price": {"price_micros": 0},
    "quote_stale": {"sessions_behind": 1},
    "session_closed": {"session_open": False},
    "symbol_not_allowed": {"symbol_allowed": False},
    "max_notional_exceeded": {"order_notional_micros_max": 999_999_999},
    "insufficient_buying_power": {"cash_micros": 2_000_000_000},
    "symbol_notional_cap_exceeded": {"symbol_weight_bps_max": 1_000},
}
UNPRICED = {"max_notional_exceeded", "insufficient_buying_power"}


def reasons(situation):
    return [REASONS[why.code] for why in review(*situation) if why.code != PASS]


def test_a_fine_order_is_passed_by_all_ten_guards():
    whys = review(*FINE)

    assert [why.code for why in whys] == [PASS] * 10
    assert first_reason(whys) == "ok"
    assert [name for name, _ in GUARDS] == [
        "kill_switch",
        "paused",
        "execution_enabled",
        "quote_present",
        "quote_age",
        "session_open",
        "allowlist",
        "max_notional",
        "buying_power",
        "symbol_cap",
    ]


@pytest.mark.parametrize("reason", TRIGGERS)
def test_each_guard_stops_by_itself(reason):
    assert reasons(FINE.but(**TRIGGERS[reason])) == [reason]


@pytest.mark.parametrize(("earlier", "later"), list(combinations(TRIGGERS, 2)))
def test_of_two_reasons_the_earlier_is_reported_first_and_both_are_told(earlier, later):
    both = FINE.but(**TRIGGERS[earlier], **TRIGGERS[later])
    if earlier == "missing_price" and later in UNPRICED:
        assert reasons(both) == ["missing_price"]  # money cannot be counted without a price
        return
    if earlier == "missing_price" and later == "symbol_notional_cap_exceeded":
        both = FINE.but(price_micros=0, sign=-1, quantity=19)  # one more than may be sold

    assert reasons(both) == [earlier, later]
    assert first_reason(review(*both)) == earlier
    assert first_reason(tuple(reversed(review(*both)))) == earlier


def test_a_flatten_goes_through_the_kill_switch_alone():
    flatten = FINE.but(sign=-1, is_flatten=True, kill_switch_on=True)

    assert reasons(flatten) == []
    assert reasons(flatten.but(paused=True)) == ["trading_paused"]
    assert reasons(flatten.but(is_flatten=False)) == ["kill_switch_on"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"quote_age_s": 0}, []),
        ({"quote_age_s": 300}, []),
        ({"quote_age_s": 301}, ["quote_stale"]),
        ({"quote_age_s": -1}, ["quote_stale"]),  # from the future
        ({"quote_age_s": 301, "is_send": False}, []),
        ({"quote_age_s": -1, "is_send": False}, []),
        ({"sessions_behind": 1, "is_send": False}, ["quote_stale"]),
        ({"sessions_behind": -1}, ["quote_stale"]),
        ({"price_micros": -1}, ["missing_price"]),
        # An order: 10 × 100.00 = 1,000.00.
        ({"order_notional_micros_max": 1_000_000_000}, []),
        ({"order_notional_micros_max": 999_999_999}, ["max_notional_exceeded"]),
        # 100.00 and 20 bps are 100.20; ten of them 1,002.00.
        ({"cash_micros": 3_002_000_000}, []),
        ({"cash_micros": 3_001_999_999}, ["insufficient_buying_power"]),
        ({"reserved_micros": 10_998_000_000}, []),
        ({"reserved_micros": 10_998_000_001}, ["insufficient_buying_power"]),
        ({"cash_micros": -1, "reserved_micros": 0}, ["insufficient_buying_power"]),
        # 20 held, 4 on their way, 10 more: 34 × 100.00 = 3,400.00 of 17,000.00 is 20 %.
        ({"equity_micros": 17_000_000_000}, []),
        ({"equity_micros": 16_999_999_999}, ["symbol_notional_cap_exceeded"]),
        ({"open_buy_quantity": 10}, []),
        ({"open_buy_quantity": 11}, ["symbol_notional_cap_exceeded"]),
        ({"position_quantity": 26}, []),
        ({"position_quantity": 27}, ["symbol_notional_cap_exceeded"]),
        ({"equity_micros": -1}, ["symbol_notional_cap_exceeded"]),
    ],
)
def test_bounds_hold_to_the_unit(changes, told):
    assert reasons(FINE.but(**changes)) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # 20 held, 2 of them in open sells.
        ({"quantity": 18}, []),
        ({"quantity": 19}, ["max_notional_exceeded", "symbol_notional_cap_exceeded"]),
        ({"quantity": 15, "position_quantity": 0}, ["symbol_notional_cap_exceeded"]),
        ({"open_sell_quantity": 10}, []),
        ({"open_sell_quantity": 11}, ["symbol_notional_cap_exceeded"]),
        ({"cash_micros": -(10**12), "equity_micros": -(10**12)}, []),
        ({"open_buy_quantity": 10**9}, []),
        ({"order_notional_micros_max": 1}, []),
    ],
)
def test_a_sale_that_only_reduces_is_held_to_no_amount_and_one_that_would_go_short_is_stopped(changes, told):
    assert reasons(FINE.but(sign=-1).but(**changes)) == told


# ------------------------------------------------------------------------- a naive second version


def naive(situation):
    """Say what each guard should, from its sentence: rule by rule, in fractions, no shared line."""
    proposal, market, exposure, control, caps = situation
    is_buy = proposal.sign > 0
    price = Fraction(market.price_micros)
    share_cost = price * (1 + Fraction(caps.cost_bps, 10_000))
    share_cost = Fraction(-((-share_cost.numerator) // share_cost.denominator))  # rounded up
    sellable = exposure.position_quantity - exposure.open_sell_quantity
    cap = max(Fraction(exposure.equity_micros), Fraction(0)) * Fraction(caps.symbol_weight_bps_max, 10_000)
    held = exposure.position_quantity + exposure.open_buy_quantity

    def notional_ok(quantity):
        return quantity * price <= caps.order_notional_micros_max or (not is_buy and quantity <= sellable)

    def power_ok(quantity):
        return not is_buy or quantity * share_cost <= exposure.cash_micros - exposure.reserved_micros

    def cap_ok(quantity):
        if not is_buy:
            return quantity <= sellable
        return (held + quantity) * price <= cap

    def age_ok(_):
        fresh = 0 <= market.quote_age_s <= caps.quote_age_s_max
        return market.sessions_behind == 0 and (fresh or not market.is_send)

    priced = market.price_micros > 0
    rules = [
        lambda _: proposal.is_flatten or not control.kill_switch_on,
        lambda _: not control.paused,
        lambda _: control.execution_enabled,
        lambda _: priced,
        age_ok,
        lambda _: market.session_open,
        lambda _: control.symbol_allowed,
        lambda quantity: not priced or notional_ok(quantity),
        lambda quantity: not priced or power_ok(quantity),
        lambda quantity: (not priced and is_buy) or cap_ok(quantity),
    ]
    return [rule(proposal.quantity) for rule in rules], [largest_passing(rule) for rule in rules]


def largest_passing(rule):
    """Find by halving the largest quantity that a rule passes; `NO_LIMIT` where it passes any."""
    if not rule(1):
        return 0
    if rule(NO_LIMIT):
        return NO_LIMIT
    passes, fails = 1, NO_LIMIT
    while fails - passes > 1:
        middle = (passes + fails) // 2
        passes, fails = (middle, fails) if rule(middle) else (passes, middle)
    return passes


def situations(count, *, seed):
    """Make random situations, most of them near a bound."""
    rng = np.random.default_rng(seed)

    def any_of(*numbers):
        return int(numbers[rng.integers(len(numbers))])

    def flag(likely):
        return bool(rng.random() < likely)

    for _ in range(count):
        price = any_of(0, 1, 3, 9_999, 1_000_001, 100_000_000, 533_330_001, int(rng.integers(1, 10**9)))
        quantity = any_of(1, 2, 10, int(rng.integers(1, 200)), int(rng.integers(1, 10**6)))
        worth = price * quantity
        near = any_of(0, 0, -1, 1, -price, price, int(rng.integers(-worth - 1, worth + 2)))
        cost_bps = any_of(0, 1, 20, 30, 100)
        held, weight = any_of(0, 0, quantity, quantity + 1, 50), any_of(1, 500, 2_000, 10_000)
        with_cost = -(-worth * (10_000 + cost_bps) // 10_000)
        yield Situation(
            Proposal(sign=any_of(1, 1, -1), quantity=quantity, price_micros=price + 1, is_flatten=flag(0.1)),
            Market(
                price_micros=price,
                sessions_behind=any_of(0, 0, 0, 0, 0, 0, 1, 3, -1),
                quote_age_s=any_of(0, 5, 299, 300, 301, -1, 10_000),
                is_send=flag(0.5),
                session_open=flag(0.9),
            ),
            Exposure(
                position_quantity=held,
                open_buy_quantity=any_of(0, 0, 1, quantity),
                open_sell_quantity=any_of(0, 0, 1, quantity, held),
                cash_micros=any_of(with_cost + near, with_cost + 7, 10**13),
                reserved_micros=any_of(0, 0, 7, worth),
                equity_micros=any_of((worth + price * held) * 10_000 // weight + near, 10**14, 10**9, -5),
            ),
            Control(
                kill_switch_on=flag(0.1),
                paused=flag(0.1),
                execution_enabled=flag(0.9),
                symbol_allowed=flag(0.9),
            ),
            Caps(
                order_notional_micros_max=max(any_of(worth + near, 10**12), 1),
                symbol_weight_bps_max=weight,
                cost_bps=cost_bps,
                quote_age_s_max=300,
            ),
        )


def differences(some):
    """Return the situations in which a guard says something else than its naive version."""
    found = []
    for situation in some:
        whys = review(*situation)
        if ([why.code == PASS for why in whys], [why.largest for why in whys]) != naive(situation):
            found.append(situation)
    return found


def test_guards_say_the_same_as_a_naive_version_in_four_thousand_situations():
    some = list(situations(4_000, seed=20130301))
    told = Counter(reason for situation in some for reason in reasons(situation))

    assert differences(some) == []
    # The comparison saw every guard stop and pass often, near its bound or not.
    assert set(told) == set(REASONS.values()) - {"ok"}
    assert min(told.values()) > 200
    assert sum(not reasons(situation) for situation in some) > 200


def off_by_one(proposal, market, exposure, control, caps):
    return guards.max_notional(
        proposal,
        market,
        exposure,
        control,
        caps._replace(order_notional_micros_max=caps.order_notional_micros_max + 1),
    )


def forgets_open_buys(proposal, market, exposure, control, caps):
    return guards.symbol_cap(proposal, market, exposure._replace(open_buy_quantity=0), control, caps)


def ignores_costs(proposal, market, exposure, control, caps):
    return guards.buying_power(proposal, market, exposure, control, caps._replace(cost_bps=0))


def blocks_large_sales(proposal, market, exposure, control, caps):
    return guards.max_notional(
        proposal, market, exposure._replace(position_quantity=0, open_sell_quantity=0), control, caps
    )


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("max_notional", off_by_one),
        ("symbol_cap", forgets_open_buys),
        ("buying_power", ignores_costs),
        ("max_notional", blocks_large_sales),
    ],
)
def test_the_naive_version_finds_a_planted_mistake(monkeypatch, name, planted):
    altered = tuple((guard, planted if guard == name else rule) for guard, rule in GUARDS)
    monkeypatch.setattr(guards, "GUARDS", altered)

    assert len(differences(situations(1_000, seed=20130301))) > 5


def test_the_largest_quantity_of_a_guard_passes_it_and_one_more_does_not():
    sized = Counter()
    for situation in situations(2_000, seed=7):
        for at, why in enumerate(review(*situation)):
            name, guard = GUARDS[at]
            if why.largest == NO_LIMIT:
                assert guard(*situation.but(quantity=10**9)).code == PASS
                continue
            if why.largest > 0:
                assert guard(*situation.but(quantity=why.largest)).code == PASS, (name, situation)
                sized[name] += 1
            if why.code == PASS or name in {"max_notional", "buying_power", "symbol_cap"}:
                assert guard(*situation.but(quantity=why.largest + 1)).code != PASS, (name, situation)

    assert set(sized) == {"max_notional", "buying_power", "symbol_cap"}
    assert min(sized.values()) > 200


TIGHTER = [
    lambda s: s.but(order_notional_micros_max=max(s.caps.order_notional_micros_max // 2, 1)),
    lambda s: s.but(symbol_weight_bps_max=s.caps.symbol_weight_bps_max // 2),
    lambda s: s.but(cost_bps=s.caps.cost_bps + 50),
    lambda s: s.but(quote_age_s_max=1),
    lambda s: s.but(cash_micros=s.exposure.cash_micros - 10**9),
    lambda s: s.but(reserved_micros=s.exposure.reserved_micros + 10**9),
    lambda s: s.but(equity_micros=s.exposure.equity_micros - 10**9),
    lambda s: s.but(open_buy_quantity=s.exposure.open_buy_quantity + 5),
    lambda s: s.but(open_sell_quantity=s.exposure.open_sell_quantity + 5),
    lambda s: s.but(sessions_behind=1),
    lambda s: s.but(price_micros=0),
    lambda s: s.but(session_open=False),
    lambda s: s.but(kill_switch_on=True),
    lambda s: s.but(paused=True),
    lambda s: s.but(execution_enabled=False),
    lambda s: s.but(symbol_allowed=False),
]


def allowed(situation):
    """Return the largest quantity that all guards together pass."""
    return min(why.largest for why in review(*situation))


@pytest.mark.parametrize("tighten", TIGHTER)
def test_a_tighter_limit_never_lets_a_larger_order_pass(tighten):
    tightened = 0
    for situation in situations(300, seed=11):
        before, after = allowed(situation), allowed(tighten(situation))
        assert after <= before
        tightened += after < before
        if not reasons(tighten(situation)):
            assert reasons(situation) == []

    assert tightened > 0


def test_one_guard_more_never_lets_a_larger_order_pass():
    for situation in situations(500, seed=13):
        whys = review(*situation)
        for count in range(1, len(whys)):
            assert min(why.largest for why in whys[: count + 1]) <= min(why.largest for why in whys[:count])
