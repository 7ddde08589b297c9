"""The paper exchange asked by Alpaca's own client: a session traded, and each refusal in Alpaca's words."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetCalendarRequest, GetOrdersRequest, MarketOrderRequest

from resources.paper_broker.broker import PaperBroker
from tests.adapters.broker_rules import (
    ACCOUNT,
    CALENDAR,
    CLOSE,
    DEPOSIT,
    EARLY,
    LATER,
    MODEL,
    NEXT,
    OPEN,
    SESSION,
    Market,
    request,
)
from tests.adapters.exchange_served import HEADERS, served
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.values import ClientOrderId, Side


def market_order(known_as="one", **changes):
    asked = {"symbol": "AAPL", "qty": 100, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    return MarketOrderRequest(client_order_id=known_as, **(asked | changes))


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "exchange.db"


@pytest.fixture
def desk(ledger):
    with served(ledger) as exchange:
        yield exchange


def refused(call):
    with pytest.raises(APIError) as caught:
        call()
    return caught.value.status_code, caught.value.code


def test_the_official_client_buys_at_the_open_and_finds_its_shares_and_its_cash(desk):
    client = desk.client()
    sent = client.submit_order(market_order())
    desk.at(OPEN)
    bought = client.get_order_by_client_id("one")
    (position,) = client.get_all_positions()

    assert (sent.status, bought.status) == (OrderStatus.ACCEPTED, OrderStatus.FILLED)
    assert (bought.id, bought.filled_qty, bought.filled_avg_price) == (sent.id, "100", "100.05")
    assert (position.symbol, position.qty, position.avg_entry_price) == ("AAPL", "100", "100.05")
    # 100 shares at 100.05, and a basis point of 10,005 for it.
    assert client.get_account().cash == "989993.9995"


def test_equal_orders_come_to_equal_fills_positions_and_cash_through_both_doors(ledger, tmp_path, desk):
    embedded = PaperBroker(
        tmp_path / "embedded.db",
        account=ACCOUNT,
        deposit_micros=DEPOSIT,
        market=Market(AAPL=10**6, IBM=10**6),
        fill_model=MODEL,
        calendar=CALENDAR,
    )
    client = desk.client()
    for known_as, symbol, side, quantity in (
        ("a", "AAPL", Side.BUY, 137),
        ("b", "IBM", Side.BUY, 60_000),
        ("c", "AAPL", Side.SELL, 30),
    ):
        sent = request(symbol, client_order_id=ClientOrderId(known_as), side=side, quantity=quantity)
        embedded.submit(sent, now=EARLY)
        client.submit_order(
            market_order(known_as, symbol=symbol, side=side.value.lower(), qty=quantity, time_in_force="opg")
        )
    desk.at(LATER)
    ours = embedded.holdings(now=LATER)
    positions = {position.symbol: int(position.qty) for position in client.get_all_positions()}

    assert desk.broker.holdings(now=LATER) == ours
    assert positions == dict(ours.quantities)
    for known_as in "abc":
        here = desk.broker.fills(ClientOrderId(known_as), now=LATER)
        assert here == embedded.fills(ClientOrderId(known_as), now=LATER)


def test_an_id_is_refused_for_good_even_after_its_order_was_cancelled(desk):
    client = desk.client()
    order = client.submit_order(market_order())
    client.cancel_order_by_id(order.id)

    assert refused(lambda: client.submit_order(market_order(qty=5))) == (422, 40010001)
    assert client.get_order_by_client_id("one").status is OrderStatus.CANCELED
    assert len(desk.broker.dump().orders) == 1


def test_an_order_that_has_ended_cannot_be_cancelled(desk):
    client = desk.client()
    order = client.submit_order(market_order())
    desk.at(OPEN)

    assert refused(lambda: client.cancel_order_by_id(order.id)) == (422, 42210000)


def test_a_cancelled_order_keeps_what_it_filled(ledger):
    with served(ledger, market=Market(AAPL=1_000)) as desk:
        client = desk.client()
        order = client.submit_order(market_order())
        desk.at(OPEN)
        client.cancel_order_by_id(order.id)
        told = client.get_order_by_id(order.id)

        assert (told.status, told.filled_qty, told.qty) == (OrderStatus.CANCELED, "50", "100")


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"symbol": "NOSUCH"}, (422, 42210000)),
        ({"qty": 0.5}, (403, 40310000)),
        ({"qty": -1}, (422, 42210000)),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_leaves_nothing(desk, changes, answer):
    assert refused(lambda: desk.client().submit_order(market_order(**changes))) == answer
    assert desk.broker.dump().orders == ()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"symbol": "AAPL"}', b'{"symbol": 5, "qty": "1"}', b"\xff"]
)
def test_a_body_that_is_none_is_a_bad_request(desk, body):
    told = desk.http.post("/v2/orders", content=body)

    assert (told.status_code, told.json()["code"]) == (400, 40010000)


def test_keys_that_are_missing_or_wrong_are_two_different_answers(desk):
    bare = httpx.get(f"{desk.url}/v2/account")
    wrong = httpx.get(f"{desk.url}/v2/account", headers=HEADERS | {"APCA-API-SECRET-KEY": "x"})

    assert (bare.status_code, bare.json()["code"]) == (401, 40110000)
    assert (wrong.status_code, wrong.json()) == (403, {"message": "forbidden."})


def test_what_is_not_there_is_not_found(desk):
    client = desk.client()

    assert refused(lambda: client.get_order_by_id(UUID(int=1))) == (404, 40410000)
    assert refused(lambda: client.get_order_by_client_id("nosuch")) == (404, 40410000)
    assert refused(lambda: client.get_open_position("AAPL")) == (404, 40410000)
    assert refused(lambda: client.get_asset("NOSUCH")) == (404, 40410000)
    assert desk.http.get("/v2/nosuch").status_code == 404


@pytest.mark.parametrize(
    ("time_in_force", "at", "session"),
    [
        ("opg", OPEN - timedelta(minutes=2, seconds=1), SESSION),
        ("opg", OPEN - timedelta(minutes=2), None),
        ("opg", CLOSE + timedelta(hours=2, minutes=59), None),
        ("opg", CLOSE + timedelta(hours=3), NEXT),
        ("day", CLOSE - timedelta(seconds=1), SESSION),
        ("day", CLOSE, NEXT),
    ],
)
def test_when_it_is_sent_says_which_session_an_order_is_for(ledger, time_in_force, at, session):
    with served(ledger, starts_at=at) as desk:
        client = desk.client()
        if session is None:
            told = refused(lambda: client.submit_order(market_order(time_in_force=time_in_force)))
            assert told == (422, 42210000)
        else:
            order = client.submit_order(market_order(time_in_force=time_in_force))
            assert order.expires_at == CALENDAR.closes_at(session)


def test_a_list_has_the_open_orders_and_fifty_of_them_unless_more_is_asked_for(desk):
    client = desk.client()
    for number in range(53):
        desk.http.post(
            "/v2/orders",
            json={"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
            | {"client_order_id": f"o{number:02d}"},
            headers={"X-Simulated-Now": (EARLY + timedelta(seconds=number)).isoformat()},
        )
    client.cancel_order_by_id(client.get_order_by_client_id("o00").id)
    listed = client.get_orders()
    every = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500, direction="asc"))
    page = GetOrdersRequest(
        status=QueryOrderStatus.ALL,
        limit=2,
        direction="asc",
        after=every[1].submitted_at,
        until=every[10].submitted_at,
    )

    assert [order.client_order_id for order in listed] == [f"o{number:02d}" for number in range(52, 2, -1)]
    assert [order.client_order_id for order in every] == [f"o{number:02d}" for number in range(53)]
    assert [order.client_order_id for order in client.get_orders(page)] == ["o02", "o03"]
    assert desk.http.get("/v2/orders", params={"limit": "501"}).status_code == 422
    assert [order.client_order_id for order in client.get_orders(GetOrdersRequest(status="closed"))] == [
        "o00"
    ]


def test_the_clock_the_calendar_and_the_assets_are_the_markets(desk):
    client = desk.client()
    clock = client.get_clock()
    desk.at(OPEN)
    (day,) = client.get_calendar(GetCalendarRequest(start=SESSION, end=SESSION))

    assert (clock.is_open, clock.next_open, clock.next_close) == (False, OPEN, CLOSE)
    assert client.get_clock().is_open
    assert (day.date, f"{day.open:%H:%M}", f"{day.close:%H:%M}") == (SESSION, "09:30", "16:00")
    assert {asset.symbol for asset in client.get_all_assets()} == {"AAPL", "IBM"}
    assert client.get_asset("AAPL").id == client.get_asset(client.get_asset("AAPL").id).id


def test_a_request_of_an_earlier_instant_does_not_take_the_clock_back(desk):
    desk.at(OPEN)
    asked = desk.http.get("/v2/clock", headers={"X-Simulated-Now": EARLY.isoformat()})

    assert asked.status_code == 200
    assert desk.client().get_clock().timestamp == OPEN


def test_activities_tell_each_fill_and_what_it_paid_and_page_by_the_last_one(desk):
    client = desk.client()
    for known_as in ("one", "two"):
        client.submit_order(market_order(known_as))
    desk.at(OPEN)
    fills = client.get("/account/activities/FILL", {"direction": "asc"})
    fees = client.get("/account/activities", {"activity_types": "FEE"})
    first = client.get("/account/activities/FILL", {"direction": "asc", "page_size": 1})
    second = client.get("/account/activities/FILL", {"direction": "asc", "page_token": first[0]["id"]})
    spent = sum(float(fill["qty"]) * float(fill["price"]) for fill in fills) - sum(
        float(fee["net_amount"]) for fee in fees
    )

    assert [fill["cum_qty"] for fill in fills] == ["100", "100"]
    assert [*first, *second] == fills
    assert float(client.get_account().cash) == pytest.approx(1_000_000 - spent)


def test_one_request_too_many_in_a_minute_is_refused_and_every_answer_says_how_many_are_left(ledger):
    with served(ledger, requests_per_minute=3) as desk:
        told = [desk.http.get("/v2/clock") for _ in range(5)]

        assert told[0].headers["X-Ratelimit-Limit"] == "3"
        assert {answer.status_code for answer in told} == {200, 429}
        late = next(answer for answer in told if answer.status_code == 429)
        assert late.json() == {"code": 42910000, "message": "rate limit exceeded"}
        assert late.headers["X-Ratelimit-Remaining"] == "0"


@pytest.mark.parametrize(
    ("fault", "is_sent_again"),
    [(SendFault.RATE_LIMITED, True), (SendFault.FAILED_AFTER, True), (SendFault.FAILED_BEFORE, False)],
)
def test_what_the_official_client_sends_again_by_itself_never_makes_a_second_order(
    ledger, fault, is_sent_again
):
    with served(ledger, behaviour=Behaviour(script=(fault,))) as desk:
        client = desk.client()
        if fault is SendFault.RATE_LIMITED:
            assert client.submit_order(market_order()).status is OrderStatus.ACCEPTED
        else:
            with pytest.raises(APIError) as caught:
                client.submit_order(market_order())
            assert caught.value.status_code == (422 if is_sent_again else 500)
        dump = desk.broker.dump()

        assert len(dump.arrivals) == (2 if is_sent_again else 1)
        assert len(dump.orders) == (0 if fault is SendFault.FAILED_BEFORE else 1)


@pytest.mark.parametrize(
    ("fault", "error", "is_accepted"),
    [
        (SendFault.RESET_BEFORE, httpx.ReadError, False),
        (SendFault.RESET_AFTER, httpx.ReadError, True),
        (SendFault.HALF_REPLY, httpx.RemoteProtocolError, True),
    ],
)
def test_a_practised_fault_happens_on_the_wire(ledger, fault, error, is_accepted):
    with served(ledger, behaviour=Behaviour(script=(fault,))) as desk:
        body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        with pytest.raises(error):
            desk.http.post("/v2/orders", json=body | {"client_order_id": "one"})

        assert bool(desk.broker.dump().orders) is is_accepted


def test_a_question_is_lost_and_a_list_breaks_off_where_the_behaviour_says_so(ledger):
    lost = Behaviour(reports={ReportFault.QUERY_LOST: 10_000})
    cut = Behaviour(reports={ReportFault.LIST_CUT: 10_000})
    with served(ledger, behaviour=lost) as desk, pytest.raises(httpx.ReadError):
        desk.http.get("/v2/positions")
    with served(ledger, behaviour=cut) as desk, pytest.raises(httpx.RemoteProtocolError):
        desk.http.get("/v2/orders")


def test_a_fill_is_told_late_where_the_behaviour_says_so_and_its_order_at_once(ledger):
    late = Behaviour(reports={ReportFault.LATE_FILLS: 10_000}, late_s=600)
    with served(ledger, behaviour=late) as desk:
        client = desk.client()
        client.submit_order(market_order())
        desk.at(OPEN)
        early = client.get("/account/activities/FILL")
        desk.at(OPEN + timedelta(seconds=600))

        assert client.get_order_by_client_id("one").filled_qty == "100"
        assert (early, len(client.get("/account/activities/FILL"))) == ([], 1)


def test_an_exchange_started_again_has_its_orders_its_shares_and_its_time(ledger):
    with served(ledger) as desk:
        desk.client().submit_order(market_order())
        desk.at(OPEN)
        before = desk.client().get_all_positions()
    with served(ledger) as again:
        client = again.client()

        assert client.get_all_positions() == before
        assert client.get_clock().timestamp == OPEN
        assert refused(lambda: client.submit_order(market_order())) == (422, 40010001)
