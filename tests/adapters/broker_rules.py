"""What every broker must keep, whichever it is: the rules of the port, and the small market they play on.

A rule takes a `Setting` and asserts. Which brokers are held to them is test_broker_conformance.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from trading.brokers import (
    ActivityKind,
    Capabilities,
    DedupScope,
    DuplicateClientOrderId,
    differences,
    request_payload,
)
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.orders import OrderRequest, OrderStatus
from trading.quotes import Quote
from trading.sessions import Calendar
from trading.simulation import FillModel
from trading.values import ClientOrderId, OrderType, Side, Symbol, TimeInForce, digest

SESSION, NEXT = date(2013, 2, 28), date(2013, 3, 1)
CALENDAR = Calendar(
    name="XNYS",
    timezone="America/New_York",
    open_time=time(9, 30),
    close_time=time(16, 0),
    sessions=(SESSION, NEXT),
)
OPEN, CLOSE = CALENDAR.opens_at(SESSION), CALENDAR.closes_at(SESSION)
EARLY = OPEN - timedelta(hours=1)
LATER = CLOSE + timedelta(minutes=30)
EVENING = CLOSE + timedelta(hours=4)
"""When orders for the next open are taken: at 20:00 in New York."""
NEXT_LATER = LATER + timedelta(days=1)
MODEL = FillModel(slippage_bps=5, commission_bps=1, participation_bps=500)
ACCOUNT, DEPOSIT = "SIM", 10**12
WINDOW_S = 300


class Market:
    """Hold bars by symbol, and remember what was asked."""

    def __init__(self, *, actions=(), **volumes: int) -> None:
        self.volumes = volumes
        self.asked: list[Symbol] = []
        self._actions = actions

    def bar(self, symbol, session):
        self.asked.append(symbol)
        if symbol not in self.volumes:
            return None
        return Quote(
            symbol=symbol,
            session=session,
            open_micros=100_000_000,
            high_micros=101_000_000,
            low_micros=99_000_000,
            close_micros=100_500_000,
            volume=self.volumes[symbol],
            source="test",
            source_sha="0",
            known_at=datetime(2013, 2, 28, 21, tzinfo=UTC),
        )

    def actions(self):
        return self._actions


def request(symbol="AAPL", **changes) -> OrderRequest:
    asked = OrderRequest(
        client_order_id=ClientOrderId(f"ta-{symbol}"),
        account=ACCOUNT,
        session=SESSION,
        symbol=Symbol(symbol),
        side=Side.BUY,
        quantity=100,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.OPG,
        reference_price_micros=100_000_000,
    )
    return replace(asked, **changes)


NOTHING = ClientOrderId("ta-nothing")


@dataclass
class Setting:
    """Hold one broker as the rules need it: AAPL fills whole at the open, whatever makes it so.

    `fill` makes an order fill, where its market does not by itself; `cut` takes its connection away.
    `refused` is a send that it refuses for good.
    """

    broker: object
    cut: Callable[[], None]
    fill: Callable[[ClientOrderId], None] = lambda _: None
    refused: OrderRequest = field(default_factory=lambda: request("BAD", quantity=0))

    def filled(self, *, at=EARLY, until=LATER, **changes):
        """Send an order, let it fill, and return it as it is after the close."""
        order = self.broker.submit(request(**changes), now=at)
        self.fill(order.client_order_id)
        return self.broker.order_by_client_order_id(order.client_order_id, now=until)

    def order_ids(self):
        return [(order.client_order_id, order.broker_order_id) for order in self.broker.dump().orders]


def it_declares_what_it_can(setting):
    told = setting.broker.capabilities

    assert isinstance(told, Capabilities)
    assert told.is_live is False
    assert told.definitive_errors
    assert OrderType.MARKET in told.order_types
    assert TimeInForce.OPG in told.times_in_force
    assert not told.definitive_errors & told.ambiguous_errors
    assert (told.dedup_scope is DedupScope.WINDOW) == (told.dedup_window_s > 0)


def an_order_is_what_was_sent_and_is_found_under_its_id(setting):
    sent = request(side=Side.BUY, quantity=37)
    order = setting.broker.submit(sent, now=EARLY)
    found = setting.broker.order_by_client_order_id(sent.client_order_id, now=EARLY)

    assert differences(sent, order) == ()
    assert order.broker_order_id
    assert not order.status.is_terminal
    assert found == order
    assert setting.broker.orders(since=SESSION, now=EARLY) == [order]


def nothing_is_under_an_id_that_was_never_sent(setting):
    setting.broker.submit(request(), now=EARLY)
    setting.broker.cancel(NOTHING, now=EARLY)

    assert setting.broker.order_by_client_order_id(NOTHING, now=EARLY) is None
    assert setting.broker.fills(NOTHING, now=LATER) == []
    assert len(setting.order_ids()) == 1


def an_id_sent_again_is_a_duplicate_and_no_second_order(setting):
    if setting.broker.capabilities.dedup_scope is DedupScope.NONE:
        return
    first = setting.broker.submit(request(), now=EARLY)
    for again in (request(), request(quantity=1)):
        with pytest.raises(DuplicateClientOrderId) as caught:
            setting.broker.submit(again, now=EARLY)
        assert caught.value.client_order_id == first.client_order_id

    assert setting.order_ids() == [(first.client_order_id, first.broker_order_id)]


def an_id_is_refused_for_as_long_as_is_declared(setting):
    scope = setting.broker.capabilities.dedup_scope
    first = setting.filled()
    assert first.status is OrderStatus.FILLED
    within = {
        DedupScope.ALL_TIME: [EARLY, OPEN, CLOSE, LATER],
        DedupScope.SESSION: [EARLY, OPEN],
        DedupScope.WINDOW: [EARLY + timedelta(seconds=setting.broker.capabilities.dedup_window_s - 1)],
        DedupScope.OPEN_ONLY: [],
        DedupScope.NONE: [],
    }[scope]
    for now in within:
        # Whatever else is asked for under it: of the session that an order of this moment would be of.
        again = request(time_in_force=TimeInForce.DAY, session=SESSION if now < CLOSE else NEXT)
        with pytest.raises(DuplicateClientOrderId):
            setting.broker.submit(again, now=now)

    assert len(setting.order_ids()) == 1


def two_orders_under_one_id_are_two_in_the_dump(setting):
    if setting.broker.capabilities.dedup_scope is not DedupScope.NONE:
        return
    first = setting.broker.submit(request(), now=EARLY)
    second = setting.broker.submit(request(), now=EARLY)

    assert first.broker_order_id != second.broker_order_id
    assert [order.broker_order_id for order in setting.broker.dump().orders] == [
        first.broker_order_id,
        second.broker_order_id,
    ]
    assert setting.broker.order_by_client_order_id(first.client_order_id, now=EARLY) == second


def a_refusal_is_definitive_and_leaves_no_order(setting):
    with pytest.raises(BrokerRejected) as caught:
        setting.broker.submit(setting.refused, now=EARLY)

    assert str(caught.value).partition(":")[0] in setting.broker.capabilities.definitive_errors
    assert setting.broker.order_by_client_order_id(setting.refused.client_order_id, now=LATER) is None
    assert setting.order_ids() == []


def what_filled_is_the_sum_of_its_executions_and_is_told_the_same_again(setting):
    order = setting.filled(quantity=37)
    fills = setting.broker.fills(order.client_order_id, now=LATER)

    assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, 37)
    assert sum(fill.quantity for fill in fills) == 37
    assert {fill.client_order_id for fill in fills} == {order.client_order_id}
    assert len({fill.execution_id for fill in fills} - {""}) == len(fills)
    assert fills == sorted(fills, key=lambda fill: fill.filled_at)
    assert all(fill.filled_at.tzinfo is not None and fill.price_micros > 0 for fill in fills)
    assert setting.broker.fills(order.client_order_id, now=LATER) == fills
    assert setting.broker.order_by_client_order_id(order.client_order_id, now=LATER) == order


def a_cancel_asked_twice_changes_no_more_and_leaves_an_ended_order_alone(setting):
    ended = setting.filled()
    setting.broker.submit(request("IBM"), now=EARLY)
    for _ in range(2):
        setting.broker.cancel(ended.client_order_id, now=EARLY)
        setting.broker.cancel(ClientOrderId("ta-IBM"), now=EARLY)
    before = setting.broker.order_by_client_order_id(ClientOrderId("ta-IBM"), now=EARLY)
    setting.broker.cancel(ClientOrderId("ta-IBM"), now=EARLY)

    assert setting.broker.order_by_client_order_id(ended.client_order_id, now=LATER) == ended
    assert setting.broker.order_by_client_order_id(ClientOrderId("ta-IBM"), now=EARLY) == before
    assert before.filled_quantity == 0
    assert len(setting.broker.dump().arrivals) == 2


def a_replacement_takes_the_place_of_an_open_order(setting):
    old = setting.broker.submit(request(), now=EARLY)
    wish = request(client_order_id=ClientOrderId("ta-AAPL-2"), quantity=40)
    new = setting.broker.replace(old.client_order_id, wish, now=EARLY)
    ended = setting.broker.order_by_client_order_id(old.client_order_id, now=EARLY)
    setting.fill(new.client_order_id)
    found = setting.broker.order_by_client_order_id(new.client_order_id, now=LATER)

    assert differences(wish, new) == ()
    assert new.broker_order_id != old.broker_order_id
    assert (ended.broker_order_id, ended.status, ended.filled_quantity) == (
        old.broker_order_id,
        OrderStatus.CANCELLED,
        0,
    )
    assert (found.status, found.filled_quantity) == (OrderStatus.FILLED, 40)
    assert setting.broker.fills(old.client_order_id, now=LATER) == []


def what_has_ended_or_is_another_thing_is_not_replaced(setting):
    ended = setting.filled()
    setting.broker.submit(request("IBM"), now=EARLY)
    wishes = [
        (NOTHING, request(client_order_id=ClientOrderId("ta-1"))),
        (ended.client_order_id, request(client_order_id=ClientOrderId("ta-2"))),
        (ClientOrderId("ta-IBM"), request(client_order_id=ClientOrderId("ta-3"))),
        (ClientOrderId("ta-IBM"), request("IBM", client_order_id=ClientOrderId("ta-4"), side=Side.SELL)),
    ]
    for known, wish in wishes:
        with pytest.raises(BrokerRejected) as caught:
            setting.broker.replace(known, wish, now=EARLY)
        assert str(caught.value).partition(":")[0] in setting.broker.capabilities.definitive_errors

    assert {one for one, _ in setting.order_ids()} == {"ta-AAPL", "ta-IBM"}
    assert not setting.broker.order_by_client_order_id(ClientOrderId("ta-IBM"), now=EARLY).status.is_terminal


def the_list_has_what_is_open_and_what_is_of_a_session_since(setting):
    ended = setting.filled()
    later = setting.broker.submit(request("IBM", session=NEXT), now=EVENING)

    assert setting.broker.orders(since=SESSION, now=EVENING) == [ended, later]
    assert setting.broker.orders(since=NEXT, now=EVENING) == [later]
    assert setting.broker.orders(since=NEXT + timedelta(days=9), now=EVENING) == [later]


def holdings_are_the_deposit_after_all_that_filled(setting):
    before = setting.broker.holdings(now=EARLY)
    order = setting.filled(quantity=37)
    (fill,) = setting.broker.fills(order.client_order_id, now=LATER)
    bought = setting.broker.holdings(now=LATER)
    paid = 37 * fill.price_micros + fill.commission_micros

    assert (before.quantities, before.cash_micros) == ({}, DEPOSIT)
    assert (bought.quantities, bought.cash_micros) == ({"AAPL": 37}, DEPOSIT - paid)


def positions_and_account_say_what_holdings_do(setting):
    setting.filled(quantity=37)
    held = setting.broker.holdings(now=LATER)
    account = setting.broker.account(now=LATER)

    assert setting.broker.positions(now=LATER) == held.quantities == {"AAPL": 37}
    assert account.cash_micros == held.cash_micros
    assert (account.account, account.currency, account.is_blocked) == (ACCOUNT, "USD", False)
    assert account.buying_power_micros > 0
    quote = setting.broker.quote(Symbol("AAPL"), now=LATER)
    if quote is None:
        assert account.equity_micros is None
    else:
        assert account.equity_micros == held.cash_micros + 37 * quote.last_micros


def activities_add_up_to_the_account(setting):
    order = setting.filled(quantity=37)
    fills = setting.broker.fills(order.client_order_id, now=LATER)
    told = setting.broker.activities(since=SESSION, now=LATER)
    held = setting.broker.holdings(now=LATER)

    assert DEPOSIT + sum(one.cash_micros for one in told) == held.cash_micros
    assert sum(one.quantity for one in told) == 37
    executed = [one for one in told if one.kind is ActivityKind.FILL]
    assert [(one.activity_id, one.about) for one in executed] == [
        (fill.execution_id, order.broker_order_id) for fill in fills
    ]
    assert len({one.activity_id for one in told}) == len(told)
    assert setting.broker.activities(since=NEXT + timedelta(days=9), now=LATER) == []


def a_quote_is_of_the_symbol_and_never_from_later(setting):
    quote = setting.broker.quote(Symbol("AAPL"), now=OPEN)

    assert setting.broker.quote(Symbol("NOWHERE"), now=OPEN) is None
    if quote is not None:
        assert quote.symbol == "AAPL"
        assert quote.quoted_at <= OPEN
        assert quote.bid_micros <= quote.last_micros <= quote.ask_micros


def its_clock_tells_a_time_with_a_zone_and_what_comes_next(setting):
    for now in (EARLY, OPEN, CLOSE, LATER):
        clock = setting.broker.clock(now=now)

        assert clock.now == now
        assert clock.now.tzinfo is not None
        assert clock.next_open is None or clock.next_open > now
        assert clock.next_close is None or clock.next_close > now


def what_is_sold_to_the_last_share_is_not_held(setting):
    setting.filled(client_order_id=ClientOrderId("ta-BUY"))
    setting.filled(
        side=Side.SELL,
        client_order_id=ClientOrderId("ta-SELL"),
        session=NEXT,
        at=EVENING,
        until=NEXT_LATER,
    )
    fills = [
        (side, fill)
        for side in (Side.BUY, Side.SELL)
        for fill in setting.broker.fills(ClientOrderId(f"ta-{side}"), now=NEXT_LATER)
    ]
    cash = DEPOSIT
    for side, fill in fills:
        cash += (1 if side is Side.SELL else -1) * fill.quantity * fill.price_micros - fill.commission_micros

    assert len(fills) == 2
    assert setting.broker.holdings(now=NEXT_LATER).quantities == {}
    assert setting.broker.holdings(now=NEXT_LATER).cash_micros == cash


def a_dump_has_every_order_execution_and_send_that_arrived(setting):
    accepted = setting.broker.submit(request(), now=EARLY)
    with suppress(DuplicateClientOrderId):
        setting.broker.submit(request(), now=EARLY)
    with suppress(BrokerRejected):
        setting.broker.submit(setting.refused, now=EARLY)
    setting.fill(accepted.client_order_id)
    order = setting.broker.order_by_client_order_id(accepted.client_order_id, now=LATER)
    fills = setting.broker.fills(accepted.client_order_id, now=LATER)
    dump = setting.broker.dump()
    sent = [request(), request(), setting.refused]

    assert (dump.account, dump.is_live) == (ACCOUNT, False)
    assert dump.orders[-1] == order
    assert list(dump.fills) == fills
    assert [(arrival.client_order_id, arrival.request_sha) for arrival in dump.arrivals] == [
        (one.client_order_id, digest(request_payload(one))) for one in sent
    ]
    made = [arrival.broker_order_id for arrival in dump.arrivals if arrival.broker_order_id]
    assert made == [one.broker_order_id for one in dump.orders]


def a_broker_that_cannot_be_reached_proves_nothing(setting):
    setting.broker.submit(request(), now=EARLY)
    setting.cut()
    questions = [
        lambda: setting.broker.order_by_client_order_id(ClientOrderId("ta-AAPL"), now=EARLY),
        lambda: setting.broker.fills(ClientOrderId("ta-AAPL"), now=EARLY),
        lambda: setting.broker.orders(since=SESSION, now=EARLY),
        lambda: setting.broker.holdings(now=EARLY),
        lambda: setting.broker.positions(now=EARLY),
        lambda: setting.broker.account(now=EARLY),
        lambda: setting.broker.activities(since=SESSION, now=EARLY),
        lambda: setting.broker.cancel(ClientOrderId("ta-AAPL"), now=EARLY),
    ]
    with pytest.raises(OutcomeUnknown):
        setting.broker.submit(request("IBM"), now=EARLY)
    with pytest.raises(OutcomeUnknown):
        setting.broker.replace(
            ClientOrderId("ta-AAPL"), request(client_order_id=ClientOrderId("ta-other")), now=EARLY
        )
    for ask in questions:
        with pytest.raises(BrokerUnavailable):
            ask()


RULES = (
    it_declares_what_it_can,
    an_order_is_what_was_sent_and_is_found_under_its_id,
    nothing_is_under_an_id_that_was_never_sent,
    an_id_sent_again_is_a_duplicate_and_no_second_order,
    an_id_is_refused_for_as_long_as_is_declared,
    two_orders_under_one_id_are_two_in_the_dump,
    a_refusal_is_definitive_and_leaves_no_order,
    what_filled_is_the_sum_of_its_executions_and_is_told_the_same_again,
    a_cancel_asked_twice_changes_no_more_and_leaves_an_ended_order_alone,
    a_replacement_takes_the_place_of_an_open_order,
    what_has_ended_or_is_another_thing_is_not_replaced,
    the_list_has_what_is_open_and_what_is_of_a_session_since,
    holdings_are_the_deposit_after_all_that_filled,
    positions_and_account_say_what_holdings_do,
    activities_add_up_to_the_account,
    a_quote_is_of_the_symbol_and_never_from_later,
    its_clock_tells_a_time_with_a_zone_and_what_comes_next,
    what_is_sold_to_the_last_share_is_not_held,
    a_dump_has_every_order_execution_and_send_that_arrived,
    a_broker_that_cannot_be_reached_proves_nothing,
)
"""Every rule; one that does not concern a broker, by what that declares, asserts nothing of it."""
