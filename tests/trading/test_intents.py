"""Intents: ids that stay the same for ever, and differ wherever what they name does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from trading.intents import client_order_id_of, hashed, intent_from_payload, intent_id_of
from trading.testing import example_intent
from trading.values import OrderType, Side, Slot, Symbol, TimeInForce

INTENT = example_intent("AAPL", quantity=10, price_micros=100_000_000)
KEY = INTENT.intent_key


def id_of(*, account="SIM-FIVE", lane="simulated", intent_key=KEY):
    return intent_id_of(account=account, lane=lane, intent_key=intent_key)


def test_ids_are_pinned():
    # Journals and brokers hold these: a change of any is a break with everything stored.
    assert KEY == "key-ee789bbf8ff8357d0220a6a647fe8747"
    assert id_of() == "int-96244b167231ae47fd72a58a6dc25b0b"
    assert (
        client_order_id_of(account="SIM-FIVE", intent_id=id_of(), generation=0)
        == "ta-d9e3219a231f72ce7a5496654a2cf15a"
    )
    assert INTENT.payload_hash() == "6dcb89d99c8201d30a2789dbf53d0728e6368340173b0ea45c7d2ebcbeab8eb2"


def test_an_id_is_sha_256_over_parts_that_a_unit_separator_keeps_apart():
    # printf 'a\x1fb' | sha256sum
    assert hashed("a", "b") == "f04cdced9736a69da6103f08a4daaf8c"
    assert hashed("ab", "") != hashed("a", "b") != hashed("", "ab")


def test_a_client_order_id_fits_every_broker():
    for account in ("S", "SIM-FIVE" * 40):
        assert len(client_order_id_of(account=account, intent_id=id_of(), generation=10**6)) == 35


@pytest.mark.parametrize(
    "same",
    [
        {"side": Side.SELL},
        {"quantity": 11},
        {"price_micros": 1},
        {"strategy_version": "example@2"},
        {"rationale": "other"},
        {"order_type": OrderType.LIMIT},
        {"time_in_force": TimeInForce.DAY},
        {"currency": "EUR"},
    ],
)
def test_the_payload_is_no_part_of_the_identity(same):
    other = replace(INTENT, **same)

    assert other.intent_key == KEY
    assert other.payload_hash() != INTENT.payload_hash()


@pytest.mark.parametrize(
    "different",
    [
        {"book": "us_wide"},
        {"strategy": "momentum"},
        {"session": date(2013, 3, 1)},
        {"symbol": Symbol("IBM")},
        {"slot": Slot.STOP},
        {"slot": Slot.FLATTEN},
    ],
)
def test_what_was_decided_about_is_the_identity(different):
    other = replace(INTENT, **different)

    assert other.intent_key != KEY
    assert other.payload_hash() != INTENT.payload_hash()


def test_an_intent_has_another_id_in_every_lane_and_account():
    ids = {
        id_of(),
        id_of(lane="replay:first"),
        id_of(lane="replay:second"),
        id_of(lane="paper"),
        id_of(account="SIM-WIDE"),
        id_of(intent_key=replace(INTENT, slot=Slot.STOP).intent_key),
    }

    assert len(ids) == 6


def test_a_client_order_id_changes_with_the_generation_alone():
    def of(generation, account="SIM-FIVE"):
        return client_order_id_of(account=account, intent_id=id_of(), generation=generation)

    assert of(0) == of(0)
    assert len({of(0), of(1), of(2), of(0, account="OTHER")}) == 4


def test_an_intent_comes_back_from_its_payload_unchanged():
    for intent in (INTENT, replace(INTENT, side=Side.SELL, slot=Slot.FLATTEN, rationale="ünïcode; −1 %")):
        payload = intent.payload()
        assert intent_from_payload(payload) == intent
        assert intent_from_payload(payload).payload_hash() == intent.payload_hash()


def test_a_payload_of_another_schema_is_refused():
    with pytest.raises(ValueError, match="schema 2: this version reads 1"):
        intent_from_payload({**INTENT.payload(), "schema": 2})


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"quantity": 0}, "quantity 0 AAPL: an intent trades at least one share"),
        ({"quantity": -5}, "quantity -5 AAPL"),
        ({"price_micros": 0}, "price 0 AAPL: an intent needs a positive reference"),
    ],
)
def test_an_intent_that_trades_nothing_cannot_exist(changes, rule):
    with pytest.raises(ValueError, match=rule):
        replace(INTENT, **changes)
