"""Scorecards: a replay worked by hand, what every cut adds up to, and what is no data."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.actions import ActionKind, CorporateAction, effective_in
from trading.attribution import Attribution, RoundTrips, by_strategy, by_symbol
from trading.benchmark import Benchmark, benchmark_of
from trading.features import Regime
from trading.performance import MEASURES_BESIDE, SESSIONS_MIN
from trading.positions import Book, Oversold, Position, book_at_open, equity_micros, opened_book, with_trades
from trading.quotes import Panel, Quote
from trading.replayed import COLUMNS, Replayed, table_of
from trading.scorecard import (
    MEASURES_OF_TRADING,
    Beside,
    Scorecard,
    Trading,
    exposure,
    returns_of,
    scorecard_of,
)
from trading.values import MICROS, Side, Symbol

FIRST = date(2019, 12, 30)
DEPOSIT = 10_000 * MICROS
A, B = Symbol("A"), Symbol("B")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def replay_of(
    trades, *, closes, actions=(), opening: Book | None = None, days: int | None = None
) -> Replayed:
    """Give what a replay leaves behind, folded by the book's own rules.

    `trades` are (day, symbol, sign, shares, price, open, commission, strategy), prices in currency units;
    `closes` each symbol's prices in currency units, one a day.
    """
    count = days if days is not None else len(next(iter(closes.values())))
    start = opening or opened_book(currency="USD", deposit_micros=DEPOSIT)
    book = start
    rows = {name: [] for name in COLUMNS}
    for at in range(count):
        prices = {symbol: round(column[at] * MICROS) for symbol, column in closes.items()}
        before = {symbol: round(column[max(at - 1, 0)] * MICROS) for symbol, column in closes.items()}
        due = effective_in(actions, day(at))
        for action in due:
            if action.kind is ActionKind.SPLIT:
                before[action.symbol] = before[action.symbol] * action.denominator // action.numerator
        opened = book_at_open(book, due, last_close_micros=before)
        dividends, book = opened.dividends_micros - book.dividends_micros, opened
        today = [trade for trade in trades if trade[0] == at]
        for number, (_, symbol, sign, shares, price, open_price, commission, strategy) in enumerate(today):
            key = f"key-{at}-{number}"
            price_micros, open_micros = round(price * MICROS), round(open_price * MICROS)
            fee = round(commission * MICROS)
            book = with_trades(
                book, ((symbol, Side.BUY if sign > 0 else Side.SELL, shares, price_micros, fee),)
            )
            rows["intents"].append((day(at), key, symbol, strategy, sign, shares, price_micros, "approved"))
            rows["fills"].append((day(at), key, symbol, sign, shares, price_micros, open_micros, fee))
        traded = sum(row[4] * row[5] for row in rows["fills"] if row[0] == day(at))
        slipped = sum(row[3] * (row[5] - row[6]) * row[4] for row in rows["fills"] if row[0] == day(at))
        fees = sum(row[7] for row in rows["fills"] if row[0] == day(at))
        equity = equity_micros(book, prices)
        gross = equity - book.cash_micros
        counts = (len(today), 0, len(today))
        rows["sessions"].append(
            (day(at), equity, book.cash_micros, gross, gross, *counts, traded, fees, slipped, dividends)
        )
        rows["positions"] += [
            (day(at), held.symbol, held.quantity, held.cost_micros, prices[held.symbol])
            for held in book.positions
        ]
        rows["marks"] += [(day(at), symbol, price) for symbol, price in sorted(prices.items())]
    first_closes = {symbol: round(column[0] * MICROS) for symbol, column in closes.items()} if count else {}
    worth = equity_micros(start, first_closes) if start.positions else start.cash_micros
    return Replayed(
        book="test",
        currency="USD",
        opening_micros=worth,
        tables={name: table_of(name, rows[name]) for name in COLUMNS},
    )


def light(replayed: Replayed) -> Replayed:
    kept = {"sessions", "fills"}
    return replace(
        replayed,
        tables={
            name: replayed[name] if name in kept else {c: v[:0] for c, v in replayed[name].items()}
            for name in COLUMNS
        },
    )


SPLIT = CorporateAction(effective_on=day(2), symbol=A, kind=ActionKind.SPLIT, numerator=2)
DIVIDEND = CorporateAction(effective_on=day(3), symbol=A, kind=ActionKind.DIVIDEND, dividend_micros=MICROS)

# Ten shares of A at 100.10 (open 100), split in two to twenty, a dividend of 1 on each, twelve of them sold
# at 59.94 (open 60); five of B at 20, sold at 18.
WORKED = [
    (0, A, 1, 10, 100.10, 100, 1.0, "rising"),
    (1, B, 1, 5, 20, 20, 0.5, "falling"),
    (3, A, -1, 12, 59.94, 60, 0.6, "rising"),
    (4, B, -1, 5, 18, 18, 0.5, "falling"),
]
CLOSES = {A: [101, 104, 55, 60, 61], B: [20, 20, 20, 19, 18]}


@pytest.fixture
def worked() -> Replayed:
    return replay_of(WORKED, closes=CLOSES, actions=(SPLIT, DIVIDEND))


@pytest.fixture
def card(worked) -> Scorecard:
    return scorecard_of(worked, actions=(SPLIT, DIVIDEND))


def micros(amount: float) -> int:
    return round(amount * MICROS)


def test_a_symbol_is_told_across_its_split_and_its_dividend(card):
    ours = next(row for row in card.symbols if row.name == "A")

    # Twelve of twenty: 600.60 of a cost of 1,001; proceeds 719.28.
    assert ours.realised_micros == micros(719.28 - 600.60)
    assert ours.unrealised_micros == micros(8 * 61 - 400.40)
    assert ours.dividend_micros == micros(20)
    assert (ours.commission_micros, ours.fills) == (micros(1.6), 2)
    assert ours.slippage_micros == micros(10 * 0.10 + 12 * 0.06)
    assert ours.traded_micros == micros(1_001 + 719.28)
    assert ours.pnl_micros == micros(118.68 + 87.60 + 20 - 1.6)


def test_what_happens_after_the_last_trade_counts_too():
    trades = [(0, A, 1, 10, 100, 100, 0, "s")]
    closes = {A: [100, 100, 50, 50]}
    row = by_symbol(replay_of(trades, closes=closes, actions=(SPLIT, DIVIDEND)), (SPLIT, DIVIDEND))[0]

    assert (row.dividend_micros, row.unrealised_micros) == (micros(20), 0)


def test_a_round_trip_is_a_sale_after_its_costs_and_its_purchase_s(card):
    won, lost = (row.round_trips for row in card.symbols)

    # The commission of 1 on twenty shares went with twelve of them: 0.60.
    assert (won.count, won.gained, won.gained_micros) == (1, 1, micros(118.68 - 0.6 - 0.6))
    assert (lost.count, lost.lost, lost.lost_micros) == (1, 1, micros(10 + 0.5 + 0.5))
    assert card.round_trips == won + lost
    assert card.round_trips.hit_rate == 0.5
    assert card.round_trips.profit_factor == pytest.approx(117.48 / 11)
    assert card.round_trips.payoff == pytest.approx(117.48 / 11)


def test_a_strategy_is_told_by_what_its_own_intents_bought_and_sold(card):
    falling, rising = card.strategies

    assert (falling.name, falling.pnl_micros) == ("falling", micros(-11))
    assert (rising.name, rising.pnl_micros) == ("rising", card.symbols[0].pnl_micros)


def test_a_strategy_that_sells_what_another_bought_is_not_told_apart():
    trades = [(0, A, 1, 10, 100, 100, 0, "rising"), (1, A, -1, 10, 110, 110, 0, "falling")]
    falling, rising = by_strategy(replay_of(trades, closes={A: [100, 110]}), ())

    assert (falling.pnl_micros, falling.round_trips, falling.traded_micros) == (None, None, micros(1_100))
    assert rising.unrealised_micros == micros(100)


def test_costs_are_told_of_what_was_traded_and_of_the_book(card):
    traded = 1_001 + 100 + 719.28 + 90

    assert card.trading.traded_micros == micros(traded)
    assert card.trading.commission_bps == pytest.approx(2.6 / traded * 10_000)
    assert card.trading.slippage_bps == pytest.approx(1.72 / traded * 10_000)
    assert (card.trading.fills, card.trading.dividend_micros) == (4, micros(20))


def test_a_year_of_costs_and_turnover_is_told_of_mean_equity():
    trades = [(0, A, 1, 10, 100, 100, 0, "s"), (20, A, -1, 10, 100, 99, 0, "s")]
    trading = scorecard_of(replay_of(trades, closes={A: [100] * 21})).trading

    assert trading.turnover == pytest.approx(2_000 / 10_000 * 252 / 21)
    assert trading.cost_bps_a_year == pytest.approx(-10 / 10_000 * 252 / 21 * 10_000)
    assert trading.exposure == pytest.approx(20 / 21 / 10)
    assert trading.invested_share == pytest.approx(20 / 21)
    assert trading.exposure_max == pytest.approx(0.1)


def test_years_and_the_whole_compound_to_the_same(card):
    assert [cut.name for cut in card.years] == ["2019", "2020"]
    assert [cut.performance.sessions for cut in card.years] == [2, 3]
    grown = [1 + cut.performance.total_return for cut in card.years]
    assert np.prod(grown) == pytest.approx(card.closing_micros / card.opening_micros)


# -------------------------------------------------------------------------------------------------- no data


def test_a_replay_of_no_session_has_a_scorecard_without_numbers():
    card = scorecard_of(replay_of([], closes={}, days=0))

    assert (card.first_session, card.last_session, card.performance.sessions) == (None, None, 0)
    assert card.closing_micros == card.opening_micros == DEPOSIT
    assert [value for value in numbers_of(card.performance) if value is not None] == [0]
    assert (card.symbols, card.round_trips.hit_rate, card.years) == ((), None, ())


def numbers_of(record) -> list:
    return [getattr(record, field.name) for field in fields(record)]


def test_a_book_that_never_traded_has_no_ratio_and_no_costs():
    card = scorecard_of(replay_of([], closes={A: [100] * 30}))

    assert (card.performance.total_return, card.performance.volatility) == (0.0, 0.0)
    assert (card.performance.sharpe, card.performance.sortino, card.performance.calmar) == (None,) * 3
    assert (card.trading.commission_bps, card.trading.blocked_share) == (None, None)
    assert (card.trading.exposure, card.trading.turnover) == (0.0, 0.0)


def test_a_light_replay_has_no_word_on_symbols(worked):
    card, whole = scorecard_of(light(worked)), scorecard_of(worked, actions=(SPLIT, DIVIDEND))

    assert (card.symbols, card.strategies, card.round_trips) == (None, None, None)
    assert (card.performance, card.trading, card.years) == (whole.performance, whole.trading, whole.years)


def test_a_book_worth_nothing_has_no_returns(worked):
    sessions = {**worked["sessions"], "equity_micros": np.array([DEPOSIT, 0, 0, 0, 0])}
    ruined = replace(worked, tables={**worked.tables, "sessions": sessions})

    assert returns_of(ruined).size == 0
    card = scorecard_of(ruined, actions=(SPLIT, DIVIDEND))
    assert (card.performance.total_return, card.closing_micros) == (None, 0)


def test_an_action_of_a_day_without_a_session_takes_effect_at_the_next():
    trades = [(0, A, 1, 10, 100, 100, 0, "s"), (2, A, -1, 20, 50, 50, 0, "s")]
    replayed = replay_of(trades, closes={A: [100, 100, 50]}, actions=(SPLIT,))
    gone = {
        name: {column: values[values_of != np.datetime64(day(1))] for column, values in table.items()}
        for name, table in replayed.tables.items()
        for values_of in [table["session"]]
    }
    earlier = replace(SPLIT, effective_on=day(1))

    moved, own = by_symbol(replace(replayed, tables=gone), (earlier,)), by_symbol(replayed, (SPLIT,))
    assert moved[0].round_trips == own[0].round_trips
    assert (moved[0].fills, moved[0].pnl_micros) == (2, own[0].pnl_micros)


def test_a_close_at_which_the_book_owes_more_than_it_has_tells_no_exposure(worked):
    sessions = {**worked["sessions"], "equity_micros": np.array([1_000, 1_000, -1, 0, 1_000])}
    sessions["gross_micros"] = np.array([500, 500, 500, 500, 200])

    assert exposure(sessions) == pytest.approx((0.5 + 0.5 + 0.2) / 3)


def test_what_is_lost_of_a_name_that_is_gone_is_a_round_trip_that_lost():
    # Ten shares at 100 with a commission of 1, of which three are paid for with 20 each, and one of what is
    # traded under the name afterwards: sold at a gain of 5 less its own commissions of 2.
    gone = delisting(2, A, paid=20)
    trades = [
        (0, A, 1, 10, 100, 100, 1, "s"),
        (1, A, -1, 7, 100, 100, 0, "s"),
        (3, A, 1, 1, 50, 50, 1, "s"),
        (4, A, -1, 1, 55, 55, 1, "s"),
    ]
    card = scorecard_of(
        replay_of(trades, closes={A: [100, 100, 50, 50, 55]}, actions=(gone,)), actions=(gone,)
    )

    (symbol,) = card.symbols
    assert symbol.round_trips == card.round_trips
    # Of the commission of 1 seven tenths went with the sale, which gained nothing.
    assert (card.round_trips.count, card.round_trips.gained, card.round_trips.lost) == (3, 1, 2)
    assert card.round_trips.lost_micros == micros(0.7) + micros(240.3)
    assert card.round_trips.gained_micros == micros(3)
    assert symbol.pnl_micros == card.closing_micros - card.opening_micros == micros(-238)


def test_a_last_dividend_is_paid_before_the_shares_are_gone():
    gone, last = delisting(1, A, paid=20), replace(DIVIDEND, effective_on=day(1))
    card = scorecard_of(
        replay_of([(0, A, 1, 10, 100, 100, 0, "s")], closes={A: [100, 100]}, actions=(gone, last)),
        actions=(gone, last),
    )

    assert card.symbols[0].dividend_micros == card.trading.dividend_micros == micros(10)
    assert card.symbols[0].pnl_micros == micros(-790)


def test_other_actions_than_the_replay_s_are_refused(worked):
    with pytest.raises(ValueError, match="the replay was paid 20000000"):
        by_symbol(worked, (SPLIT,))
    with pytest.raises(Oversold, match="fill sells 12 A: the book holds 10"):
        by_symbol(worked, (DIVIDEND,))


def test_a_fill_without_its_intent_is_refused(worked):
    intents = {name: values[1:] for name, values in worked["intents"].items()}
    with pytest.raises(ValueError, match="fill of key-0-0: the replay has no such intent"):
        by_strategy(replace(worked, tables={**worked.tables, "intents": intents}), (SPLIT, DIVIDEND))


def test_what_an_opening_book_held_counts_from_its_cost():
    opening = Book(
        currency="USD",
        cash_micros=1_000 * MICROS,
        deposits_micros=1_000 * MICROS,
        positions=(Position(A, 10, 900 * MICROS),),
    )
    replayed = replay_of([(1, A, -1, 10, 120, 120, 0, "s")], closes={A: [100, 120]}, opening=opening)
    card = scorecard_of(replayed, opening=opening)

    assert card.symbols[0].realised_micros == 300 * MICROS
    assert card.strategies[0].pnl_micros is None


# ------------------------------------------------------------------------------------- beside a benchmark


def index_of(levels, *, first: int = -1) -> Benchmark:
    days = [day(first + at) for at in range(len(levels))]
    return Benchmark(name="index", sessions=np.array(days, "datetime64[D]"), levels=np.array(levels, float))


def bought_and_held(closes) -> Replayed:
    return replay_of([(0, A, 1, 100, closes[0], closes[0], 0, "s")], closes={A: closes})


def walk(count: int, seed: int = 7) -> list[float]:
    steps = np.random.default_rng(seed).normal(0, 0.01, count)
    return np.round(100 * np.cumprod(1 + steps), 2).tolist()


def test_all_in_the_benchmark_is_the_benchmark():
    closes = walk(60)
    card = scorecard_of(bought_and_held(closes), benchmark=index_of(closes, first=0))

    assert card.beside.sessions == 59
    assert card.beside.beta == pytest.approx(1, abs=1e-9)
    assert card.beside.alpha == pytest.approx(0, abs=1e-9)
    assert card.beside.correlation == pytest.approx(1, abs=1e-9)


def test_each_year_and_regime_stands_beside_the_benchmark_too():
    closes = walk(60)
    card = scorecard_of(bought_and_held(closes), benchmark=index_of(closes, first=0))
    alone = scorecard_of(bought_and_held(closes))

    assert [cut.beside.sessions for cut in card.years] == [1, 58]
    assert card.years[1].beside.beta == pytest.approx(1, abs=1e-9)
    assert sum(cut.beside.sessions for cut in card.regimes) == 59
    assert (alone.beside, alone.regimes, alone.years[1].beside) == (None, (), None)


def test_under_a_month_beside_a_benchmark_nothing_is_said():
    closes = walk(SESSIONS_MIN)
    beside = scorecard_of(bought_and_held(closes), benchmark=index_of(closes, first=0)).beside

    assert (beside.sessions, beside.alpha, beside.beta) == (SESSIONS_MIN - 1, None, None)


def test_a_regime_is_the_one_that_was_known_before_the_session():
    # Calm for 21 closes, then a jump: the session of the jump is still calm, the ones after it are not.
    levels = [100.0] * 21 + [130.0] * 21
    benchmark = index_of(levels, first=0)
    days = np.array([day(at) for at in (20, 21, 22)], "datetime64[D]")

    assert benchmark.regimes_before(days) == (None, Regime.RANGE, Regime.HIGH_VOLATILITY)


def test_every_session_is_in_one_regime():
    closes = walk(120)
    card = scorecard_of(bought_and_held(closes), benchmark=index_of(closes, first=0))

    assert sum(cut.performance.sessions for cut in card.regimes) == 120
    assert card.regimes[-1].name == "no_data"
    assert card.regimes[-1].performance.sessions == 21
    assert all(cut.performance.max_drawdown is None for cut in card.regimes)


@pytest.mark.parametrize("levels", [[], [1, 0], [1, -1], [1, np.nan]])
def test_what_is_no_index_is_refused(levels):
    with pytest.raises(ValueError, match="benchmark index"):
        index_of(levels)


# ------------------------------------------------------------------------------------------------ payload


def test_a_payload_is_json_and_its_digest_is_of_what_it_says(worked, card):
    payload = card.payload()
    again = scorecard_of(worked, actions=(SPLIT, DIVIDEND))

    assert json.loads(json.dumps(payload, allow_nan=False)) == payload
    assert payload["round_trips"]["hit_rate"] == 0.5
    assert payload["trading"]["commission_bps"] == round(card.trading.commission_bps, 9)
    assert payload["trading"]["commission_bps"] != card.trading.commission_bps
    assert payload["first_session"] == "2019-12-30"
    assert again.sha() == card.sha()
    assert replace(card, closing_micros=card.closing_micros + 1).sha() != card.sha()


def test_every_measure_is_a_field_of_its_record():
    assert set(MEASURES_OF_TRADING) <= set(Trading.__dataclass_fields__)
    assert set(Beside.__dataclass_fields__) == {"name", "sessions", "performance", *MEASURES_BESIDE}


# --------------------------------------------------------------------------------------------------- laws


def delisting(at: int, symbol: Symbol, *, paid: int) -> CorporateAction:
    """Give a delisting that pays so many currency units a share."""
    return CorporateAction(
        effective_on=day(at), symbol=symbol, kind=ActionKind.DELISTING, dividend_micros=paid * MICROS
    )


@st.composite
def journeys(draw):
    """Give trades of two symbols that never sell what is not held, closes, and what is done to the shares.

    A is split, B pays a dividend and may be delisted, and traded under its name afterwards.
    """
    count = draw(st.integers(4, 12))
    prices = st.integers(5, 200)
    closes = {symbol: draw(st.lists(prices, min_size=count, max_size=count)) for symbol in (A, B)}
    split_at = draw(st.integers(1, count - 1))
    actions = (
        CorporateAction(
            effective_on=day(split_at),
            symbol=A,
            kind=ActionKind.SPLIT,
            numerator=draw(st.integers(1, 5)),
            denominator=draw(st.integers(1, 3)),
        ),
        CorporateAction(
            effective_on=day(draw(st.integers(0, count - 1))),
            symbol=B,
            kind=ActionKind.DIVIDEND,
            dividend_micros=draw(st.integers(1, MICROS)),
        ),
    )
    gone_at = draw(st.none() | st.integers(1, count - 1))
    if gone_at is not None:
        actions += (delisting(gone_at, B, paid=draw(st.integers(0, 200))),)
    trades, held = [], {A: 0, B: 0}
    for at in range(count):
        if at == split_at:
            held[A] = held[A] * actions[0].numerator // actions[0].denominator
        if at == gone_at:
            held[B] = 0
        for symbol in (A, B):
            wanted = draw(st.integers(-40, 40))
            shares = wanted if wanted > 0 else -min(-wanted, held[symbol])
            held[symbol] += shares
            if shares:
                price, fee = draw(prices), draw(st.integers(0, 300)) / 100
                trades.append((at, symbol, 1 if shares > 0 else -1, abs(shares), price, price, fee, "s"))
    return trades, closes, actions


@settings(max_examples=60, deadline=None)
@given(journeys())
def test_symbols_and_strategies_add_up_to_what_the_book_made(journey):
    trades, closes, actions = journey
    replayed = replay_of(trades, closes=closes, actions=actions)
    card = scorecard_of(replayed, actions=actions)
    made = card.closing_micros - card.opening_micros

    assert sum(row.pnl_micros for row in card.symbols) == made
    assert sum(row.pnl_micros for row in card.strategies) == made
    assert sum(row.traded_micros for row in card.symbols) == card.trading.traded_micros


@settings(max_examples=60, deadline=None)
@given(journeys())
def test_all_of_a_symbol_sold_made_what_its_round_trips_did(journey):
    trades, closes, actions = journey
    gone = max(
        (action.effective_on for action in actions if action.kind is ActionKind.DELISTING), default=FIRST
    )
    left = sum(sign * shares for at, symbol, sign, shares, *_ in trades if symbol == B and day(at) >= gone)
    if left:
        trades = [*trades, (len(closes[B]), B, -1, left, 50, 50, 0.1, "s")]
        closes = {symbol: [*column, 50] for symbol, column in closes.items()}
    for row in by_symbol(replay_of(trades, closes=closes, actions=actions), actions):
        if row.name == B:
            made = row.round_trips.gained_micros - row.round_trips.lost_micros
            assert made == row.realised_micros - row.commission_micros


@settings(max_examples=60, deadline=None)
@given(journeys())
def test_a_symbol_that_is_all_a_book_trades_did_what_the_book_did(journey):
    trades, closes, actions = journey
    only = [trade for trade in trades if trade[1] == A]
    card = scorecard_of(replay_of(only, closes=closes, actions=actions), actions=actions)
    if not only:
        assert card.symbols == ()
        return
    symbol, strategy = card.symbols[0].performance, card.strategies[0].performance

    assert strategy == symbol
    assert symbol.sessions == card.performance.sessions
    for name in ("total_return", "worst_return", "max_drawdown", "value_at_risk"):
        assert getattr(symbol, name) == pytest.approx(getattr(card.performance, name), abs=1e-9)


def test_an_attribution_without_its_parts_says_what_it_knows():
    row = Attribution(name="s", fills=1, traded_micros=2, commission_micros=3, slippage_micros=4)

    assert (row.pnl_micros, row.round_trips) == (None, None)
    assert (RoundTrips().hit_rate, RoundTrips().profit_factor, RoundTrips().payoff) == (None, None, None)


# ------------------------------------------------------------------------------------- indices of a panel


def panel_of(closes) -> Panel:
    """Give a panel of closes in currency units, `None` where a symbol has no quote."""
    count = len(next(iter(closes.values())))
    known = datetime(2020, 1, 1, tzinfo=UTC)
    quotes = [
        Quote(symbol, day(at), *[round(close * MICROS)] * 4, 100, "test", "", known)
        for symbol, column in closes.items()
        for at, close in enumerate(column)
        if close is not None
    ]
    return Panel.from_quotes([day(at) for at in range(count)], quotes)


def test_an_index_of_a_symbol_is_its_total_return():
    benchmark = benchmark_of(panel_of({A: [100, 110, 55, 66], B: [1, 1, 1, 1]}), (SPLIT,), symbol=A)

    assert benchmark.levels.tolist() == pytest.approx([1, 1.1, 1.1, 1.32])
    assert benchmark.name == "A"


def test_a_dividend_counts_in_the_index_as_if_it_had_not_been_paid_out():
    paid = replace(DIVIDEND, effective_on=day(1), dividend_micros=10 * MICROS)
    benchmark = benchmark_of(panel_of({A: [100, 90, 99]}), (paid,), symbol=A)

    assert benchmark.levels.tolist() == pytest.approx([1, 1, 1.1])


def test_an_equal_index_is_the_mean_move_of_what_is_quoted_again():
    # B is not quoted on the third day: its whole move counts on the fourth; C joins late.
    closes = {A: [100, 110, 121, 121], B: [100, 100, None, 120], Symbol("C"): [None, None, 50, 45]}
    benchmark = benchmark_of(panel_of(closes), ())

    assert np.diff(np.log(benchmark.levels)).tolist() == pytest.approx(np.log([1.05, 1.1, 3.1 / 3]).tolist())


def test_what_is_delisted_counts_in_the_index_with_what_is_paid_for_it():
    # B is gone on the third day for a fifth of its last close; what is called B afterwards is another name.
    panel = panel_of({A: [100, 100, 100, 100, 100], B: [100, 100, None, 500, 550]})
    of_all = benchmark_of(panel, (delisting(2, B, paid=20),))
    of_one = benchmark_of(panel, (delisting(2, B, paid=20),), symbol=B)

    assert of_all.levels.tolist() == pytest.approx([1, 1, 0.6, 0.6, 0.63])
    assert of_one.levels.tolist() == pytest.approx([1, 1, 0.2, 0.2, 0.22])


def test_a_split_before_a_delisting_is_in_what_is_paid_for_a_share():
    halved = replace(SPLIT, effective_on=day(1), symbol=B)
    panel = panel_of({A: [100, 100], B: [100, None]})

    index = benchmark_of(panel, (delisting(1, B, paid=50), halved))
    assert index.levels.tolist() == pytest.approx([1, 1])


def test_an_index_ends_where_all_of_it_is_lost():
    panel = panel_of({A: [100, 110, None], B: [100, 100, 100]})
    index = benchmark_of(panel, (delisting(2, A, paid=0),), symbol=A)

    assert index.levels.tolist() == pytest.approx([1, 1.1])
    assert index.sessions.tolist() == [day(0), day(1)]


def test_an_index_of_what_was_never_quoted_is_refused():
    with pytest.raises(ValueError, match="benchmark Z: the panel has no quote of it"):
        benchmark_of(panel_of({A: [100, 110]}), (), symbol=Symbol("Z"))
