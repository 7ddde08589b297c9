"""What a window made: counts, P&L by average cost, and how far a session went against each fill."""

from __future__ import annotations

from datetime import UTC, date, datetime

from trading.orders import Fill
from trading.positions import opened_book
from trading.profitability import Bar, Realised, SessionRows, profit_of, window_at
from trading.values import ClientOrderId, IntentId, Side, Symbol

SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
IBM = Symbol("IBM")
BOOK = opened_book(currency="USD", deposit_micros=10**12)


def fill(side: Side, quantity: int, price: int, *, name: str) -> Fill:
    return Fill(
        execution_id=name,
        client_order_id=ClientOrderId("c" + name),
        intent_id=IntentId("i" + name),
        symbol=IBM,
        side=side,
        quantity=quantity,
        price_micros=price * 10**6,
        commission_micros=0,
        session=SESSION,
        filled_at=NOW,
    )


def rows(*fills: Fill, bars=None, opening=BOOK) -> SessionRows:
    return SessionRows(opening, (), (), fills, bars or {})


def test_profit_is_what_sales_made_by_average_cost_and_no_shortfall():
    bought = (fill(Side.BUY, 10, 100, name="1"), fill(Side.BUY, 10, 110, name="2"))

    found = profit_of([rows(*bought, fill(Side.SELL, 5, 125, name="3"))])

    assert found.realised_micros == 5 * (125 - 105) * 10**6
    assert found.realised_by_symbol == (Realised(IBM, 100 * 10**6),)
    assert (found.execution_count, found.decision_count) == (3, 0)


def test_excursion_is_what_the_session_went_against_a_fill():
    bars = {IBM: Bar(high_micros=121 * 10**6, low_micros=99 * 10**6)}

    found = profit_of([rows(fill(Side.BUY, 1, 110, name="1"), fill(Side.SELL, 1, 110, name="2"), bars=bars)])

    assert found.adverse_excursion_bps_max == 1000.0
    assert found.adverse_excursion_bps_p95 == 1000.0
    assert found.tca_sample_count == 2
    assert found.caveats == ("adverse excursion is the range of the whole session, before the fill as well",)


def test_what_is_not_known_is_no_data_and_said():
    found = profit_of([rows(fill(Side.BUY, 1, 110, name="1"), opening=None)])

    assert found.realised_micros is None
    assert found.adverse_excursion_bps_p95 is None
    assert found.caveats == (
        "1 fills have no bar yet: their excursion is not known",
        "the book before a session with fills is not known: realised P&L is no data",
    )
    assert profit_of([]).caveats == ("no session of the book falls in the window",)
    assert profit_of([]).realised_micros == 0


def test_the_window_is_three_days_long():
    start, end = window_at(NOW)

    assert (end - start).total_seconds() == 72 * 3600
