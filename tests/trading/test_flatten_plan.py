"""The word of a flatten names one plan: whose, when, and what is sold; and nothing that it does not order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.flattening import FlattenLine, FlattenPlan, confirmation_of, is_confirmation
from trading.values import Symbol

LINE = FlattenLine(Symbol("IBM"), held=10, on_sale=2, quantity=8, price_micros=101_500_000)
PLAN = FlattenPlan(
    book="us_five",
    lane="simulated",
    account="SIM-FIVE",
    session=date(2013, 2, 28),
    currency="USD",
    number=1,
    lines=(LINE,),
)

OTHERS = {
    "another book": {"book": "us_wide"},
    "another lane": {"lane": "paper"},
    "another account": {"account": "SIM-WIDE"},
    "another session": {"session": date(2013, 3, 1)},
    "the next flatten": {"number": 2},
    "a share less": {"lines": (LINE._replace(held=9, quantity=7),)},
    "one more symbol": {"lines": (LINE, LINE._replace(symbol=Symbol("MSFT")))},
    "without a price": {"lines": (LINE._replace(price_micros=0),)},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_the_word_of_one_plan_orders_no_other(changes):
    assert confirmation_of(replace(PLAN, **changes)) != confirmation_of(PLAN)


@given(price_micros=st.integers(1, 10**12))
def test_what_is_ordered_is_shares_so_that_a_price_alone_changes_no_word(price_micros):
    assert confirmation_of(replace(PLAN, lines=(LINE._replace(price_micros=price_micros),))) == (
        confirmation_of(PLAN)
    )


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), st.integers(1, 50))
def test_every_word_is_written_as_one(quantities, number):
    lines = tuple(
        LINE._replace(symbol=Symbol(f"S{place}"), quantity=quantity)
        for place, quantity in enumerate(quantities)
    )

    assert is_confirmation(confirmation_of(replace(PLAN, lines=lines, number=number)))


@pytest.mark.parametrize("text", ["", "flatten-", "flatten-g", "flatten-a\0", "flatten-1 --yes", "resume-1a"])
def test_what_is_written_otherwise_is_no_word(text):
    assert not is_confirmation(text)
