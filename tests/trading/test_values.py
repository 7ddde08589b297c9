"""Amounts, digests and money: exact at the edges, and refused where a column could not hold them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import BadInput
from trading.values import (
    MICROS_MAX,
    NOTIONAL_MICROS_MAX,
    Money,
    amount_from_micros,
    canonical_json,
    digest,
    micros_from_text,
    notional_micros,
)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1", 1_000_000),
        ("-1", -1_000_000),
        ("0.000001", 1),
        ("-0.000001", -1),
        ("12.340000", 12_340_000),
        ("0.1000000000000", 100_000),
        ("1E+3", 1_000_000_000),
        ("5e-6", 5),
        ("1.50E2", 150_000_000),
        ("0", 0),
        ("-0", 0),
        ("0E-99999999", 0),
        ("0E+99999999", 0),
        ("9223372036854.775807", MICROS_MAX),
        ("-9223372036854.775807", -MICROS_MAX),
    ],
)
def test_an_amount_is_read_from_text_to_the_micro_unit(text, micros):
    assert micros_from_text(text) == micros


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0.0000001", "more than six decimals"),
        ("1.00000000000000000000000000000000000001", "more than six decimals"),
        ("1." + "1" * 5_000, "more than six decimals"),
        ("1E-999999999999", "more than six decimals"),
        ("9223372036854.775808", "too large"),
        ("9999999999999", "too large"),
        ("-9223372036854.775808", "too large"),
        ("1E+999999999999", "too large"),
        ("NaN", "not a finite number"),
        ("sNaN", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("", "not a decimal number"),
        ("12,50", "not a decimal number"),
        ("1 000", "not a decimal number"),
        ("0x10", "not a decimal number"),
    ],
)
def test_an_amount_that_cannot_be_held_exactly_is_refused_with_its_rule(text, rule):
    with pytest.raises(BadInput, match=rule):
        micros_from_text(text)


@given(st.integers(-MICROS_MAX, MICROS_MAX))
def test_an_amount_goes_to_text_and_back_unchanged(micros):
    assert micros_from_text(str(amount_from_micros(micros))) == micros


def test_a_notional_under_two_to_the_sixty_second_is_told_and_one_over_it_refused():
    assert notional_micros(price_micros=2**62 - 1, quantity=1) == NOTIONAL_MICROS_MAX
    assert notional_micros(price_micros=3, quantity=-5) == -15
    for quantity in (2**31, -(2**31)):
        with pytest.raises(BadInput, match=r"2\^62 micro-units or more"):
            notional_micros(price_micros=2**31, quantity=quantity)


def test_money_of_one_currency_adds_and_of_two_does_not():
    assert Money(micros=1, currency="USD") + Money(micros=2, currency="USD") == Money(
        micros=3, currency="USD"
    )
    with pytest.raises(ValueError, match="currencies differ"):
        Money(micros=1, currency="USD") + Money(micros=2, currency="EUR")


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (1_234_500_000, "1,234.50 USD"),
        (5_000, "0.00 USD"),
        (15_000, "0.02 USD"),
        (-2_999_999, "-3.00 USD"),
    ],
)
def test_money_is_shown_in_cents(micros, shown):
    assert str(Money(micros=micros, currency="USD")) == shown


def test_canonical_json_knows_one_text_for_equal_values():
    assert canonical_json({"b": [1, None, True], "a": "ä"}) == '{"a":"ä","b":[1,null,true]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    # SHA-256 of the two bytes `{}`, as any other program computes it.
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize(
    "value", [0.5, [0.5], {"a": {"b": (1, 0.5)}}, {0.5: 1}, np.float64(1), Decimal(1), {1, 2}]
)
def test_canonical_json_refuses_what_has_more_than_one_text(value):
    with pytest.raises(TypeError):
        canonical_json(value)
