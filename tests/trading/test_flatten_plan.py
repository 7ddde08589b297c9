"""The word of a flatten names one plan: whose, when, and what is sold; and nothing that it does not order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.test_protocol import NOW, row_of
from trading.flattening import FlattenLine, FlattenPlan, confirmation_of, is_confirmation, on_sale
from trading.lifecycle import IntentState
from trading.orders import Fill
from trading.testing import example_intent
from trading.values import ClientOrderId, Side, Slot, Symbol

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


def fill_of(row, execution_id, *, quantity):
    return Fill(
        execution_id=execution_id,
        client_order_id=ClientOrderId("ta-1"),
        intent_id=row.intent_id,
        symbol=row.intent.symbol,
        side=row.intent.side,
        quantity=quantity,
        price_micros=101_500_000,
        commission_micros=0,
        session=row.intent.session,
        filled_at=NOW,
    )


def test_what_was_taken_back_of_a_sale_is_on_sale_again():
    sale = row_of(example_intent("IBM", side=Side.SELL, quantity=10), filled_quantity=7)
    kept = fill_of(sale, "exe-2", quantity=3)

    assert on_sale([sale], [fill_of(sale, "exe-1", quantity=4), kept]) == {"IBM": 3}
    assert on_sale([sale], [kept]) == {"IBM": 7}


def test_an_intent_that_was_not_sent_sells_nothing_unless_it_is_a_flattens():
    waiting = [
        row_of(example_intent("IBM", side=side, quantity=10, slot=slot), state=IntentState.APPROVED)
        for side, slot in ((Side.SELL, Slot.STOP), (Side.SELL, Slot.FLATTEN), (Side.BUY, Slot.REBALANCE))
    ]

    assert on_sale(waiting, []) == {"IBM": 10}
    assert on_sale([replace(waiting[0], state=IntentState.UNKNOWN)], []) == {"IBM": 10}
    assert on_sale([replace(waiting[2], state=IntentState.EXECUTING)], []) == {}
