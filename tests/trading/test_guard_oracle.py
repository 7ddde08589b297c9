"""The guards against a naive second version: a part of what `make prove ARGS=guards` covers, and its bugs."""

from __future__ import annotations

from collections import Counter

import pytest

from proof import guards as suite
from proof.guard_oracle import RULES
from proof.guards import differences, run, worlds
from proof.suite import Size
from trading import guards
from trading.guards import GUARDS, PASS, REASONS, Why


def test_the_second_version_has_a_rule_for_every_guard_in_the_same_order():
    assert list(RULES) == [name for name, _ in GUARDS]


def test_in_hundreds_of_books_no_word_of_a_guard_differs_from_the_second_version():
    said = Counter()

    found = [problem for world in worlds(20130228, 700) for problem in differences(world, said)]

    assert found == []
    # Most reasons were said, and books without any as well.
    assert len(said) > len(REASONS) * 3 // 4
    assert said["ok"] > 100


def planted(name, change):
    """Give the guards with one that looks at a changed case."""
    return tuple(
        (each, (lambda case, guard=guard: guard(change(case))) if each == name else guard)
        for each, guard in GUARDS
    )


def a_limit_more(name):
    return lambda case: case._replace(caps=case.caps._replace(**{name: getattr(case.caps, name) + 1}))


def without(part, name):
    return lambda case: case._replace(**{part: getattr(case, part)._replace(**{name: 0})})


BUGS = {
    "a share too many": ("max_quantity", a_limit_more("order_quantity_max")),
    "a micro-unit too many": ("max_notional", a_limit_more("order_notional_micros_max")),
    "a micro-unit too many in all": ("gross_exposure", a_limit_more("gross_micros_max")),
    "open buys forgotten": ("symbol_cap", without("exposure", "open_buy_quantity")),
    "open sales forgotten": ("shorts", without("exposure", "open_sell_quantity")),
    "promised money forgotten": ("buying_power", without("exposure", "reserved_micros")),
    "costs forgotten": ("buying_power", without("caps", "cost_bps")),
    "missing history taken for none": (
        "value_at_risk",
        lambda case: case._replace(risk=case.risk._replace(is_history_sufficient=True)),
    ),
    "risk told of the half": (
        "value_at_risk",
        lambda case: case._replace(risk=case.risk._replace(var_micros=case.risk.var_micros // 2)),
    ),
    "an unknown day taken for an even one": (
        "daily_loss",
        lambda case: case._replace(risk=case.risk._replace(is_pnl_known=True)),
    ),
    "an age from the future taken for now": (
        "quote_age",
        lambda case: case._replace(market=case.market._replace(quote_age_s=max(case.market.quote_age_s, 0))),
    ),
    "money promised by less than nothing taken for free": (
        "exposure_sound",
        without("exposure", "reserved_micros"),
    ),
    "an unpriced position forgotten": ("exposure_priced", without("exposure", "unpriced")),
    "a sale held to a limit of buys": (
        "max_notional",
        lambda case: case._replace(exposure=case.exposure._replace(position_quantity=0)),
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_second_version_finds_a_planted_mistake(monkeypatch, bug):
    monkeypatch.setattr(guards, "GUARDS", planted(*BUGS[bug]))

    assert any(any(differences(world, Counter())) for world in worlds(11, 600))


def test_another_precedence_is_found(monkeypatch):
    def quiet(case):
        why = guards.kill_switch(case)
        return why if why.code == PASS else Why(REASON_OF_LAST, 1, 0, 0)

    monkeypatch.setattr(guards, "GUARDS", (("kill_switch", quiet), *GUARDS[1:]))

    assert any(any(differences(world, Counter())) for world in worlds(11, 300))


REASON_OF_LAST = guards.DEGRADE_NOTIONAL_LIMIT


def test_the_suite_tells_what_it_covered_and_finds_its_own_bug():
    steps = []

    told = run(Size(points=40, seed=3), steps.append)

    assert (told.points, told.violations, told.is_planted_bug_caught) == (40, (), True)
    assert steps == list(range(1, 41))
    assert sum(told.parts.values()) > 40
    assert guards.GUARDS is GUARDS


def test_a_reason_that_is_never_said_is_a_violation(monkeypatch):
    monkeypatch.setattr(suite, "ENOUGH", 1)

    told = run(Size(points=2, seed=3), lambda _: None)

    assert any(violation.endswith("was never said") for violation in told.violations)
