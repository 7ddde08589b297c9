"""The paper broker on a real ledger file: what it takes, fills, remembers and refuses."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from resources.paper_broker import ledger as paper_ledger
from resources.paper_broker.broker import PaperBroker
from tests.adapters.broker_rules import CALENDAR, CLOSE, EARLY, MODEL, OPEN, SESSION, Market, request
from trading.brokers import DuplicateClientOrderId
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.orders import OrderStatus
from trading.values import ClientOrderId, OrderType, Symbol


@pytest.fixture
def market():
    return Market(AAPL=10**6, THIN=400)


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "paper" / "SIM.db"


@pytest.fixture
def broker(ledger, market):
    return opened(ledger, market)


def opened(ledger, market, **options):
    return PaperBroker(
        ledger,
        account="SIM",
        deposit_micros=10**12,
        market=market,
        fill_model=MODEL,
        calendar=CALENDAR,
        **options,
    )


def test_an_order_waits_for_the_open_and_then_fills_at_it(broker):
    accepted = broker.submit(request(), now=EARLY)
    before = broker.order_by_client_order_id(accepted.client_order_id, now=OPEN - timedelta(seconds=1))
    after = broker.order_by_client_order_id(accepted.client_order_id, now=OPEN)
    (fill,) = broker.fills(accepted.client_order_id, now=OPEN)

    assert accepted.status is OrderStatus.WORKING
    assert before == accepted
    assert (after.status, after.filled_quantity) == (OrderStatus.FILLED, 100)
    assert (fill.quantity, fill.price_micros, fill.filled_at) == (100, 100_050_000, OPEN)
    assert fill.commission_micros == 1_000_500


def test_an_order_sent_after_the_open_fills_at_the_open_too(broker):
    broker.submit(request(), now=OPEN + timedelta(hours=2))

    assert broker.fills(ClientOrderId("ta-AAPL"), now=CLOSE)[0].filled_at == OPEN


def test_a_thin_market_fills_a_part_and_the_close_cancels_the_rest(broker):
    broker.submit(request("THIN"), now=EARLY)
    part = broker.order_by_client_order_id(ClientOrderId("ta-THIN"), now=CLOSE - timedelta(seconds=1))
    ended = broker.order_by_client_order_id(ClientOrderId("ta-THIN"), now=CLOSE)

    assert (part.status, part.filled_quantity) == (OrderStatus.PARTIAL_FILL, 20)
    assert (ended.status, ended.filled_quantity) == (OrderStatus.CANCELLED, 20)
    assert len(broker.fills(ClientOrderId("ta-THIN"), now=CLOSE)) == 1


def test_an_order_without_a_bar_waits_and_ends_unfilled_at_the_close(broker, market):
    broker.submit(request("GONE"), now=EARLY)
    waiting = broker.order_by_client_order_id(ClientOrderId("ta-GONE"), now=OPEN)
    market.volumes["LATE"] = 10**6
    ended = broker.order_by_client_order_id(ClientOrderId("ta-GONE"), now=CLOSE)

    assert waiting.status is OrderStatus.WORKING
    assert (ended.status, ended.filled_quantity) == (OrderStatus.CANCELLED, 0)
    assert broker.fills(ClientOrderId("ta-GONE"), now=CLOSE) == []


def test_a_bar_that_comes_late_still_fills_at_the_open(broker, market):
    broker.submit(request("LATE"), now=EARLY)
    broker.order_by_client_order_id(ClientOrderId("ta-LATE"), now=OPEN)
    market.volumes["LATE"] = 10**6
    (fill,) = broker.fills(ClientOrderId("ta-LATE"), now=CLOSE - timedelta(hours=1))

    assert fill.filled_at == OPEN


def test_a_known_client_order_id_is_a_duplicate_for_good(broker, ledger, market):
    first = broker.submit(request(), now=EARLY)
    broker.cancel(first.client_order_id, now=EARLY)
    again = opened(ledger, market)
    with pytest.raises(DuplicateClientOrderId) as caught:
        again.submit(request(quantity=1), now=EARLY)
    known = again.order_by_client_order_id(caught.value.client_order_id, now=EARLY)

    assert (known.quantity, known.status) == (100, OrderStatus.CANCELLED)
    assert len(again.orders(since=SESSION, now=EARLY)) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": Symbol("NOPE")}, "unknown_symbol"),
        ({"quantity": 0}, "zero_quantity"),
        ({"quantity": -5}, "zero_quantity"),
        ({"order_type": OrderType.LIMIT}, "not_a_market_order"),
    ],
)
def test_what_cannot_be_an_order_is_refused_definitively(ledger, market, changes, code):
    broker = opened(ledger, market, symbols={Symbol("AAPL")})
    with pytest.raises(BrokerRejected, match=f"^{code}: "):
        broker.submit(request(**changes), now=EARLY)

    assert broker.orders(since=SESSION, now=EARLY) == []
    assert code in broker.capabilities.definitive_errors


def test_an_order_for_a_session_that_is_over_is_refused(broker):
    with pytest.raises(BrokerRejected, match="session_over"):
        broker.submit(request(), now=CLOSE)


def test_a_refused_id_may_be_used_when_the_reason_is_gone(broker):
    with pytest.raises(BrokerRejected):
        broker.submit(request(quantity=0), now=EARLY)

    assert broker.submit(request(), now=EARLY).status is OrderStatus.WORKING


def test_the_ledger_survives_its_process_and_says_the_same(broker, ledger, market):
    broker.submit(request("THIN"), now=EARLY)
    filled = broker.order_by_client_order_id(ClientOrderId("ta-THIN"), now=OPEN)
    fills = broker.fills(ClientOrderId("ta-THIN"), now=OPEN)
    market.asked.clear()
    again = opened(ledger, market)

    assert again.order_by_client_order_id(ClientOrderId("ta-THIN"), now=OPEN) == filled
    assert again.fills(ClientOrderId("ta-THIN"), now=OPEN) == fills
    assert market.asked == []


def test_ids_and_times_do_not_depend_on_when_somebody_asks(tmp_path, market):
    told = []
    for name, moments in (("one", [OPEN, CLOSE]), ("two", [CLOSE])):
        broker = opened(tmp_path / f"{name}.db", market)
        for symbol in ("AAPL", "THIN"):
            broker.submit(request(symbol), now=EARLY)
        for now in moments:
            orders = broker.orders(since=SESSION, now=now)
        told.append((orders, [broker.fills(order.client_order_id, now=CLOSE) for order in orders]))

    assert told[0] == told[1]


def test_a_cancel_keeps_what_was_filled_and_leaves_an_ended_order_alone(broker):
    for symbol in ("THIN", "AAPL"):
        broker.submit(request(symbol), now=EARLY)
        broker.cancel(ClientOrderId(f"ta-{symbol}"), now=OPEN)

    thin, whole = broker.orders(since=SESSION, now=OPEN)
    assert (thin.status, thin.filled_quantity) == (OrderStatus.CANCELLED, 20)
    assert (whole.status, whole.filled_quantity) == (OrderStatus.FILLED, 100)


def test_an_unknown_id_is_not_there(broker):
    assert broker.order_by_client_order_id(ClientOrderId("ta-none"), now=OPEN) is None
    assert broker.fills(ClientOrderId("ta-none"), now=OPEN) == []


def test_a_locked_ledger_makes_a_send_unproven_and_a_question_repeatable(ledger, market, monkeypatch):
    monkeypatch.setattr(paper_ledger, "BUSY_TIMEOUT_S", 0)
    broker = opened(ledger, market)
    with closing(sqlite3.connect(ledger)) as other:
        other.execute("begin immediate")
        with pytest.raises(OutcomeUnknown, match="locked"):
            broker.submit(request(), now=EARLY)
        with pytest.raises(BrokerUnavailable, match="locked"):
            broker.order_by_client_order_id(ClientOrderId("ta-AAPL"), now=EARLY)

    assert broker.submit(request(), now=EARLY).status is OrderStatus.WORKING


def test_a_damaged_ledger_is_named(ledger, market):
    ledger.parent.mkdir()
    ledger.write_bytes(b"no ledger " * 500)
    with pytest.raises(
        BrokerUnavailable, match=r"SIM\.db: is damaged \(file is not a database\): keep the file"
    ):
        opened(ledger, market)
