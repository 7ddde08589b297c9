"""The book: it balances to the micro-unit, whatever is bought, sold, paid out or split."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.actions import ActionKind, CorporateAction, effective_in
from trading.orders import Fill
from trading.positions import (
    Book,
    Item,
    Mark,
    Position,
    book_at_open,
    book_from_payload,
    book_from_rows,
    book_rows,
    equity_micros,
    imbalance_micros,
    market_value_micros,
    opened_book,
    unrealised_micros,
    with_fill,
    with_fills,
)
from trading.values import ClientOrderId, IntentId, Side, Symbol

A, B = Symbol("A"), Symbol("B")
DAY = date(2013, 3, 1)
MILLION = 10**12
OPENED = opened_book(currency="USD", deposit_micros=MILLION)


def fill(side, symbol, quantity, price_micros, commission_micros=0):
    return Fill(
        "exe",
        ClientOrderId("ta"),
        IntentId("int"),
        symbol,
        side,
        quantity,
        price_micros,
        commission_micros,
        DAY,
        datetime(2013, 3, 1, 14, 30, tzinfo=UTC),
    )


def split(symbol, numerator, denominator):
    return CorporateAction(
        effective_on=DAY, symbol=symbol, kind=ActionKind.SPLIT, numerator=numerator, denominator=denominator
    )


def dividend(symbol, micros):
    return CorporateAction(effective_on=DAY, symbol=symbol, kind=ActionKind.DIVIDEND, dividend_micros=micros)


def delisting(symbol, micros):
    return CorporateAction(effective_on=DAY, symbol=symbol, kind=ActionKind.DELISTING, dividend_micros=micros)


def after(book, *actions, **closes):
    prices = {Symbol(name): price for name, price in closes.items()}
    return book_at_open(book, actions, last_close_micros=prices)


# ---------------------------------------------------------------------------------------- by hand


def test_buys_and_sales_by_hand():
    # Ten at 100.00 and five at 130.00 cost 1,650.00; six sold at 120.00 take 660.00 of it.
    book = with_fills(
        OPENED,
        [
            fill(Side.BUY, A, 10, 100_000_000, 100_000),
            fill(Side.BUY, A, 5, 130_000_000, 65_000),
            fill(Side.SELL, A, 6, 120_000_000, 72_000),
        ],
    )

    assert book.positions == (Position(A, 9, 990_000_000),)
    assert book.realised_micros == 720_000_000 - 660_000_000
    assert book.commissions_micros == 237_000
    assert book.cash_micros == MILLION - 1_650_000_000 + 720_000_000 - 237_000
    assert unrealised_micros(book, {A: 120_000_000}) == 1_080_000_000 - 990_000_000
    assert equity_micros(book, {A: 120_000_000}) == book.cash_micros + 1_080_000_000
    assert imbalance_micros(book, {A: 120_000_000}) == 0


def test_the_cost_of_a_sale_is_cut_to_the_unit_and_the_rest_stays_with_the_position():
    book = with_fill(OPENED, fill(Side.BUY, A, 3, 33_333_333))
    book = replace(book, positions=(Position(A, 3, 100_000_000),))

    sold = with_fill(book, fill(Side.SELL, A, 1, 40_000_000))

    assert sold.positions == (Position(A, 2, 66_666_667),)
    assert sold.realised_micros == 40_000_000 - 33_333_333
    gone = with_fill(sold, fill(Side.SELL, A, 2, 40_000_000))
    assert gone.positions == ()
    assert gone.realised_micros == 120_000_000 - 100_000_000


def test_a_sale_of_more_than_is_held_is_refused():
    book = with_fill(OPENED, fill(Side.BUY, A, 10, 1_000_000))

    with pytest.raises(ValueError, match="fill sells 11 A: the book holds 10"):
        with_fill(book, fill(Side.SELL, A, 11, 1_000_000))
    with pytest.raises(ValueError, match="fill sells 1 B: the book holds 0"):
        with_fill(book, fill(Side.SELL, B, 1, 1_000_000))


def test_a_dividend_is_paid_on_what_is_held_and_on_nothing_else():
    book = with_fill(OPENED, fill(Side.BUY, A, 10, 1_000_000))

    paid = after(book, dividend(A, 250_000), dividend(B, 9_000_000))

    assert paid.cash_micros == book.cash_micros + 2_500_000
    assert paid.dividends_micros == 2_500_000
    assert paid.positions == book.positions


def test_a_split_multiplies_shares_and_leaves_their_cost():
    book = with_fill(OPENED, fill(Side.BUY, A, 10, 88_990_000))

    assert after(book, split(A, 2, 1)).positions == (Position(A, 20, 889_900_000),)
    assert after(book, split(A, 2, 1)).cash_micros == book.cash_micros
    assert after(book, split(B, 2, 1)) == book


def test_the_fraction_that_a_split_leaves_is_paid_at_the_last_close():
    # 3:2 of seven shares are ten and a half; the half is paid at 60.00, and a twenty-first of the cost goes.
    book = with_fill(OPENED, fill(Side.BUY, A, 7, 90_000_000))

    split_book = after(book, split(A, 3, 2), A=60_000_000)

    assert split_book.positions == (Position(A, 10, 600_000_000),)
    assert split_book.cash_micros == book.cash_micros + 30_000_000
    assert split_book.realised_micros == 0
    assert imbalance_micros(split_book, {A: 60_000_000}) == 0


def test_a_reverse_split_of_too_few_shares_is_paid_out_whole():
    book = with_fill(OPENED, fill(Side.BUY, A, 7, 2_000_000))

    paid = after(book, split(A, 1, 10), A=21_000_000)

    assert paid.positions == ()
    assert paid.cash_micros == book.cash_micros + 14_700_000
    assert paid.realised_micros == 700_000
    assert imbalance_micros(paid, {}) == 0


def test_a_fraction_without_a_price_is_never_dropped():
    book = with_fill(OPENED, fill(Side.BUY, A, 7, 2_000_000))

    with pytest.raises(ValueError, match="A split 1/10 leaves a fraction: no close to pay it at"):
        after(book, split(A, 1, 10))


def test_a_dividend_of_the_day_of_a_split_is_paid_on_the_old_shares():
    book = with_fill(OPENED, fill(Side.BUY, A, 10, 100_000_000))

    both = effective_in([split(A, 2, 1), dividend(A, 1_000_000), split(B, 3, 1)], DAY)

    assert [action.kind for action in both] == [ActionKind.DIVIDEND, ActionKind.SPLIT, ActionKind.SPLIT]
    assert after(book, *both, A=50_000_000).dividends_micros == 10_000_000


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"numerator": 0}, "both must be positive"),
        ({"denominator": -1}, "both must be positive"),
        ({"kind": ActionKind.DIVIDEND}, "dividend 0: must be positive"),
    ],
)
def test_an_action_that_takes_away_cannot_exist(changes, rule):
    with pytest.raises(ValueError, match=rule):
        replace(split(A, 2, 1), **changes)


def test_a_book_opens_with_a_positive_deposit_only():
    with pytest.raises(ValueError, match="deposit 0: a book opens with a positive deposit"):
        opened_book(currency="USD", deposit_micros=0)


def test_a_position_without_a_mark_has_no_worth_to_tell():
    with pytest.raises(KeyError, match="A"):
        market_value_micros(with_fill(OPENED, fill(Side.BUY, A, 1, 1)), {B: 1})


def test_a_books_rows_tell_its_totals_its_positions_and_its_worth():
    book = with_fills(OPENED, [fill(Side.BUY, B, 2, 5_000_000, 7), fill(Side.BUY, A, 3, 2_000_000)])
    rows = book_rows(
        book, session=DAY, marks={A: Mark(3_000_000, DAY), B: Mark(4_000_000, DAY), Symbol("C"): Mark(9, DAY)}
    )

    assert [(row.item, row.symbol, row.value_micros) for row in rows] == [
        (Item.CASH, "", MILLION - 16_000_007),
        (Item.DEPOSITS, "", MILLION),
        (Item.REALISED, "", 0),
        (Item.DIVIDENDS, "", 0),
        (Item.COMMISSIONS, "", 7),
        (Item.POSITION, "A", 9_000_000),
        (Item.POSITION, "B", 8_000_000),
        (Item.UNREALISED, "", 1_000_000),
        (Item.EQUITY, "", MILLION + 999_993),
    ]
    assert book_from_rows(rows) == book
    unmarked = book_rows(book, session=DAY)
    assert {row.item for row in unmarked} == set(Item) - {Item.UNREALISED, Item.EQUITY}
    assert book_from_rows(unmarked) == book
    with pytest.raises(KeyError):
        book_from_rows(rows[1:])


# ------------------------------------------------------------------------------------------- laws

SYMBOLS = (A, B, Symbol("C"))
PRICE = st.integers(1, 10**11)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.sampled_from(SYMBOLS), st.integers(1, 10**5), PRICE),
        st.tuples(st.just("sell"), st.sampled_from(SYMBOLS), st.integers(1, 10_000), PRICE),
        st.tuples(st.just("dividend"), st.sampled_from(SYMBOLS), st.integers(1, 10**8), PRICE),
        st.tuples(
            st.just("split"),
            st.sampled_from(SYMBOLS),
            st.tuples(st.integers(1, 20), st.integers(1, 20)),
            PRICE,
        ),
        st.tuples(st.just("delisting"), st.sampled_from(SYMBOLS), st.integers(0, 10**9), PRICE),
    ),
    max_size=30,
)


def played(steps):
    """Play steps on a new book; return it with what a purse and share counts kept apart from it say."""
    book, purse, shares = OPENED, MILLION, dict.fromkeys(SYMBOLS, 0)
    for kind, symbol, size, price in steps:
        match kind:
            case "buy":
                book = with_fill(book, fill(Side.BUY, symbol, size, price, price // 7))
                purse -= size * price + price // 7
                shares[symbol] += size
            case "sell":
                sold = shares[symbol] * size // 10_000
                if sold:
                    book = with_fill(book, fill(Side.SELL, symbol, sold, price, price // 7))
                    purse += sold * price - price // 7
                    shares[symbol] -= sold
            case "dividend":
                book = after(book, dividend(symbol, size))
                purse += shares[symbol] * size
            case "split":
                new, old = size
                book = after(book, split(symbol, new, old), **{symbol: price})
                whole, rest = divmod(shares[symbol] * new, old)
                purse += price * rest // old
                shares[symbol] = whole
            case "delisting":
                book = after(book, delisting(symbol, size))
                purse += shares[symbol] * size
                shares[symbol] = 0
    return book, purse, shares


@settings(max_examples=400)
@given(STEPS, st.lists(PRICE, min_size=3, max_size=3))
def test_any_life_of_a_book_balances_to_the_micro_unit(steps, marks):
    book, purse, shares = played(steps)

    assert book.cash_micros == purse
    assert {position.symbol: position.quantity for position in book.positions} == {
        symbol: count for symbol, count in shares.items() if count
    }
    assert [position.symbol for position in book.positions] == sorted(p.symbol for p in book.positions)
    assert all(position.quantity > 0 and position.cost_micros >= 0 for position in book.positions)
    assert imbalance_micros(book, dict(zip(SYMBOLS, marks, strict=True))) == 0
    # The same in other words: money is where it was put, gained or spent.
    cost = sum(position.cost_micros for position in book.positions)
    assert (
        book.cash_micros + cost
        == MILLION + book.realised_micros + book.dividends_micros - book.commissions_micros
    )


@given(STEPS)
def test_a_book_goes_through_its_payload_and_its_rows_unchanged(steps):
    book, _, _ = played(steps)

    assert book_from_payload(book.payload()) == book
    assert book_from_payload(book.payload()).sha() == book.sha()
    marks = {symbol: Mark(1, DAY) for symbol in SYMBOLS}
    assert book_from_rows(book_rows(book, session=DAY, marks=marks)) == book


@given(
    st.integers(1, 10**6),
    st.integers(0, 10**12),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 10**7),
)
def test_a_split_conserves_value_to_the_micro_unit(quantity, cost, numerator, denominator, unit):
    # A price whose old and new shares both have whole micro-units.
    new_price, old_price = unit * denominator, unit * numerator
    book = Book(
        currency="USD",
        cash_micros=5,
        deposits_micros=5 + cost,
        positions=(Position(A, quantity, cost),),
    )

    split_book = after(book, split(A, numerator, denominator), A=new_price)

    assert equity_micros(split_book, {A: new_price}) == equity_micros(book, {A: old_price})
    assert imbalance_micros(split_book, {A: new_price}) == 0


def test_an_imbalance_is_seen():
    book = with_fill(OPENED, fill(Side.BUY, A, 10, 1_000_000))

    assert imbalance_micros(replace(book, cash_micros=book.cash_micros + 1), {A: 1_000_000}) == 1
    assert imbalance_micros(replace(book, dividends_micros=3), {A: 1_000_000}) == -3
