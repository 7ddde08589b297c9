"""What an order at Alpaca asks for is digested as the request was that it was made of, field by field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.alpaca_markets.wire import TermsOnAlpaca, order_body
from tests.adapters.broker_rules import EARLY, request
from trading.brokers import request_terms
from trading.values import OrderType, Side, TimeInForce, digest

KINDS = st.fixed_dictionaries(
    {
        "side": st.sampled_from(Side),
        "quantity": st.integers(1, 10**9),
        "order_type": st.sampled_from(OrderType),
        "time_in_force": st.sampled_from(TimeInForce),
        "reference_price_micros": st.integers(1, 10**13),
    }
)


def told(sent: bytes, **changes):
    """Return an order as Alpaca tells it that took a body: its words, and what it adds of its own."""
    added = {"id": "a-1", "status": "new", "filled_qty": "0", "submitted_at": EARLY.isoformat()}
    return TermsOnAlpaca.model_validate(json.loads(sent) | added | changes).terms()


@given(kind=KINDS, padding=st.sampled_from(["", "0", "00"]))
def test_an_order_made_of_a_request_stands_on_its_terms_however_its_numbers_are_written(kind, padding):
    wanted = request(**kind)
    body = json.loads(order_body(wanted))
    if "limit_price" in body and "." in body["limit_price"]:
        body["limit_price"] += padding

    assert told(json.dumps(body).encode()).terms_sha == digest(request_terms(wanted))


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "IBM"},
        {"side": "sell"},
        {"qty": "101"},
        {"type": "market"},
        {"type": "stop"},
        {"time_in_force": "gtc"},
        {"limit_price": "100.000001"},
        {"limit_price": None},
        {"client_order_id": "ta-other"},
    ],
    ids=str,
)
def test_an_order_that_differs_in_any_of_them_stands_on_other_terms(changes):
    wanted = request(order_type=OrderType.LIMIT, time_in_force=TimeInForce.DAY)

    assert told(order_body(wanted)).terms_sha == digest(request_terms(wanted))
    assert told(order_body(wanted), **changes).terms_sha != digest(request_terms(wanted))
