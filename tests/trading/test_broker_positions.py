"""What a broker says of an account beside what the book has: holdings, open orders, and what changed it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from trading.broker_positions import (
    BrokerItem,
    activity_rows,
    broker_position_rows,
    changes_beside_fills,
    open_order_rows,
)
from trading.brokers import ActivityKind, BrokerActivity, Holdings
from trading.journal import CancelKind, JournalOrder
from trading.orders import BrokerOrder, Fill, OrderRequest, OrderStatus
from trading.positions import Book, Position
from trading.values import ClientOrderId, IntentId, OrderType, Side, Symbol, TimeInForce

SESSION = date(2013, 2, 28)
AT = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
IBM, AAPL = Symbol("IBM"), Symbol("AAPL")
BOOK = Book(
    currency="USD",
    cash_micros=900,
    deposits_micros=1_000,
    positions=(Position(IBM, 5, 100),),
    dividends_micros=7,
)


def fill(symbol=IBM, side=Side.BUY, quantity=10, price=2, commission=1) -> Fill:
    return Fill(
        "exe", ClientOrderId("ta-1"), IntentId("i"), symbol, side, quantity, price, commission, SESSION, AT
    )


def change(kind, symbol=IBM, quantity=0, cash=0) -> BrokerActivity:
    return BrokerActivity("id", kind, AT, symbol, quantity, 0, cash)


def request(symbol=IBM, side=Side.BUY, quantity=10) -> OrderRequest:
    return OrderRequest(
        client_order_id=ClientOrderId("ta-1"),
        account="A",
        session=SESSION,
        symbol=symbol,
        side=side,
        quantity=quantity,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        reference_price_micros=1,
    )


def ours(status: str, *, filled=0, **wished) -> JournalOrder:
    return JournalOrder(
        intent_id=IntentId("i"),
        client_order_id=ClientOrderId("ta-1"),
        generation=0,
        request=request(**wished),
        request_sha="",
        status=status,
        broker_order_id="",
        filled_quantity=filled,
        attempts=1,
        absences=0,
        first_absent_at=None,
        cancel_asked_at=None,
        cancel_kind=CancelKind.NONE,
        prepared_at=AT,
        send_by=AT,
        reason="",
    )


def theirs(status: OrderStatus, *, filled=0, symbol=IBM, side=Side.BUY, quantity=10) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b",
        client_order_id=ClientOrderId("ta-1"),
        symbol=symbol,
        side=side,
        quantity=quantity,
        filled_quantity=filled,
        status=status,
    )


def told(rows) -> list[tuple[str, str, int, int, int, int, bool]]:
    return [
        (
            row.item.value,
            row.symbol,
            row.quantity,
            row.book_quantity,
            row.cash_micros,
            row.book_cash_micros,
            row.agrees,
        )
        for row in rows
    ]


def test_cash_and_each_symbol_that_either_holds_are_a_line_each():
    rows = broker_position_rows(
        Holdings(quantities={AAPL: 1, IBM: 5}, cash_micros=901), book=BOOK, session=SESSION
    )

    assert told(rows) == [
        ("cash", "", 0, 0, 901, 900, False),
        ("position", "AAPL", 1, 0, 0, 0, False),
        ("position", "IBM", 5, 5, 0, 0, True),
    ]


def test_an_open_order_counts_with_the_shares_that_are_left_of_it_on_both_sides():
    rows = open_order_rows(
        [theirs(OrderStatus.PARTIAL_FILL, filled=4), theirs(OrderStatus.FILLED, filled=10, symbol=AAPL)],
        [ours("partial_fill", filled=4), ours("filled", filled=10, symbol=AAPL)],
        session=SESSION,
        currency="USD",
    )

    assert told(rows) == [("open_order", "IBM", 6, 6, 0, 0, True)]


def test_an_order_that_only_the_broker_or_only_the_journal_has_open_is_a_break():
    there = open_order_rows(
        [theirs(OrderStatus.WORKING, side=Side.SELL)], [], session=SESSION, currency="USD"
    )
    here = open_order_rows([], [ours("unknown")], session=SESSION, currency="USD")

    assert told(there) == [("open_order", "IBM", -10, 0, 0, 0, False)]
    assert told(here) == [("open_order", "IBM", 0, 10, 0, 0, False)]


def test_fills_and_fees_of_a_session_agree_share_by_share_and_to_the_micro_unit():
    rows = activity_rows(
        [
            change(ActivityKind.FILL, quantity=6, cash=-12),
            change(ActivityKind.FILL, quantity=4, cash=-8),
            change(ActivityKind.FEE, cash=-1),
        ],
        fills=[fill()],
        opening=BOOK,
        at_open=BOOK,
        session=SESSION,
    )

    assert told(rows) == [("fill", "IBM", 10, 10, -20, -20, True), ("fee", "", 0, 0, -1, -1, True)]


def test_a_sale_takes_shares_and_gives_cash():
    rows = activity_rows(
        [change(ActivityKind.FILL, quantity=-10, cash=20)],
        fills=[fill(side=Side.SELL, commission=0)],
        opening=BOOK,
        at_open=BOOK,
        session=SESSION,
    )

    assert told(rows) == [("fill", "IBM", -10, -10, 20, 20, True)]


def test_a_fill_that_only_one_of_them_has_is_a_break():
    missing = activity_rows([], fills=[fill(commission=0)], opening=BOOK, at_open=BOOK, session=SESSION)
    strange = activity_rows(
        [change(ActivityKind.FILL, quantity=1, cash=-2)],
        fills=[],
        opening=BOOK,
        at_open=BOOK,
        session=SESSION,
    )

    assert told(missing) == [("fill", "IBM", 0, 10, 0, -20, False)]
    assert told(strange) == [("fill", "IBM", 1, 0, -2, 0, False)]


def test_dividends_and_splits_are_those_that_the_book_opened_the_day_with():
    at_open = replace(BOOK, dividends_micros=12, positions=(Position(IBM, 10, 100),))
    rows = activity_rows(
        [
            change(ActivityKind.DIVIDEND, cash=2),
            change(ActivityKind.DIVIDEND, symbol=AAPL, cash=3),
            change(ActivityKind.SPLIT, quantity=5, cash=1),
        ],
        fills=[],
        opening=BOOK,
        at_open=at_open,
        session=SESSION,
    )

    assert told(rows) == [("dividend", "", 0, 0, 5, 5, True), ("split", "IBM", 5, 5, 0, 0, True)]


def test_money_that_came_or_went_is_no_part_of_the_book_and_shows_as_a_break():
    rows = activity_rows(
        [change(ActivityKind.TRANSFER, symbol="", cash=50)],
        fills=[],
        opening=BOOK,
        at_open=BOOK,
        session=SESSION,
    )

    assert told(rows) == [("transfer", "", 0, 0, 50, 0, False)]


def test_every_kind_of_activity_has_a_line_of_its_own():
    assert {kind.value for kind in ActivityKind} <= {item.value for item in BrokerItem}


def test_what_changed_the_cash_beside_fills_and_their_commissions_is_left_each_commission_counted_once():
    own = change(ActivityKind.FEE, cash=-1)
    paid = change(ActivityKind.DIVIDEND, cash=5)
    listed = [change(ActivityKind.FILL, cash=-20), own, own, own._replace(cash_micros=-3), paid]

    left = changes_beside_fills(listed, fills=[fill(), fill(commission=0)])

    assert left == (own, own._replace(cash_micros=-3), paid)
