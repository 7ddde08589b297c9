"""The replay kernel, run as plain Python: what the session step decides and books, and not a unit else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.market_data.bokeh_stocks import BokehStocks
from resources.quality_rules import load_quality_limits, load_releases
from resources.replay_engine import ReplayEngine, Strategy, bars_of, opening_of, replayed_of, world_of
from resources.reviewed_config import book_config, read_books
from trading import kernel, replay
from trading.actions import ActionKind, CorporateAction, at_sessions
from trading.errors import BadInput
from trading.guards import GUARDS, REASONS
from trading.kernel import APPROVED, BLOCKED, Record, Ways, recorded
from trading.positions import book_at_open, equity_micros, imbalance_micros, opened_book, with_trades
from trading.quality import dates_of, judge_range
from trading.quotes import Panel, split_price
from trading.replayed import COLUMNS
from trading.session import run_sessions
from trading.simulation import FillModel
from trading.testing import example_limits
from trading.values import Side, Symbol

A, B, C = (Symbol(name) for name in "ABC")
ONE = 1_000_000
WIDE = example_limits(
    order_notional_micros_max=10**14,
    auto_approve_notional_micros=10**14,
    usual_order_notional_micros=10**14,
    price_collar_bps=10**6,
    volume_share_bps_max=10**6,
    position_weight_bps_max=10**6,
    symbol_weight_bps_max=10**6,
    var_bps_max=10**6,
    cost_bps=0,
)
USUAL = FillModel(slippage_bps=5, commission_bps=1, participation_bps=2_000)


def days(count):
    return tuple(date(2013, 1, 1) + timedelta(days=number) for number in range(count))


def panel_of(opens, closes, volumes):
    closes = np.array(closes, dtype=np.int64)
    return Panel(
        sessions=days(len(closes)),
        symbols=(A, B, C)[: closes.shape[1]],
        open=np.array(opens, dtype=np.int64),
        high=closes,
        low=closes,
        close=closes,
        volume=np.array(volumes, dtype=np.int64),
    )


def steady(count, *, symbols=1, price=100 * ONE, volume=10**6):
    return panel_of(*(np.full((count, symbols), each) for each in (price, price, volume)))


def repeated(rows):
    """Give a strategy that wishes rows of session, symbol, sign and shares."""
    wishes = np.array(sorted(rows, key=lambda row: row[0]), dtype=np.int64).reshape(len(rows), 4)
    return Strategy(
        name="recorded", decide=recorded, memory=lambda _: Record(wishes, np.zeros(1, dtype=np.int64))
    )


def replayed(panel, wishes, *, limits=WIDE, costs=USUAL, actions=(), deposit=10**9 * 100, **ways):
    world = world_of(
        bars_of(panel),
        limits=limits,
        costs=costs,
        opening=opening_of(len(panel.symbols), deposit_micros=deposit),
        ways=Ways(
            **{
                "first": 0,
                "end": len(panel.sessions),
                "window_sessions": 260,
                "scenarios_min": 1,
                "approves": True,
                "cuts": False,
                "keeps": True,
                "wishes_max": 20,
                **ways,
            }
        ),
        strategy="council",
        symbols=panel.symbols,
        sessions=panel.sessions,
        actions=actions,
    )
    strategy = wishes if isinstance(wishes, Strategy) else repeated(wishes)
    return ReplayEngine(folder=None, is_compiled=False).run(world, strategy)


# -------------------------------------------------------------------------------- real sessions


@pytest.fixture(scope="module")
def shipped(xnys, config_dir):
    """Give `us_five` as it is configured, its panel and its calendar."""
    source = BokehStocks()
    line = read_books(config_dir / "books.toml")["us_five"]
    config = book_config("us_five", line, config_dir=config_dir, source=source, calendar=xnys)
    sessions = xnys.between(config.first_session, config.last_session)[:1400]
    judged = judge_range(
        sessions=sessions,
        raw=source.raw_bars(*dates_of(xnys, first=sessions[0], last=sessions[-1])),
        calendar=xnys,
        previous={},
        actions=source.actions(),
        released={release.row_id for release in load_releases(config_dir / "releases.toml")},
        limits=load_quality_limits(config_dir / "quality.toml"),
        source_sha=source.source_sha(),
    )
    return config, Panel.from_quotes(sessions, [quote for day in judged for quote in day.accepted])


def loosened(config):
    """Give a book whose council buys on any support, under limits that are reached now and then."""
    rules = config.rules
    limits = replace(
        rules.limits,
        allowlist=(),
        order_notional_micros_max=10**14,
        auto_approve_notional_micros=10**14,
        usual_order_notional_micros=10**14,
        position_weight_bps_max=10_000,
        symbol_weight_bps_max=2_400,
        var_bps_max=500,
        drawdown_bps_max=3_000,
        daily_loss_bps_max=400,
    )
    return replace(
        config,
        rules=replace(
            rules,
            limits=limits,
            council=replace(rules.council, quorum=1, support_min=0.1, exit_quorum=2, exit_support_min=0.45),
            scanner=replace(rules.scanner, risk_score_max=1.0, confidence_min=0.3),
            allocation=replace(
                rules.allocation, position_bps=5_000, cap_bps=2_400, step_bps=2_400, band_bps=10
            ),
        ),
    )


@pytest.mark.parametrize("changed", [lambda config: config, loosened], ids=["shipped", "loosened"])
def test_the_kernel_and_the_session_step_agree_on_real_sessions(shipped, xnys, changed):
    config, panel = changed(shipped[0]), shipped[1]
    actions, first = at_sessions(BokehStocks().actions(), xnys), 21
    results = run_sessions(
        config,
        panel=panel,
        actions=actions,
        calendar=xnys,
        sessions=panel.sessions[first:],
        approve=True,
    )
    intents = [(row, each) for row, result in enumerate(results) for each in result.decided.proposed.intents]
    column = {symbol: place for place, symbol in enumerate(panel.symbols)}
    world = world_of(
        bars_of(panel),
        limits=config.rules.limits,
        costs=config.costs,
        opening=opening_of(len(panel.symbols), deposit_micros=config.deposit_micros),
        ways=Ways(first, len(panel.sessions), config.rules.window_sessions, 60, True, False, True, 100),
        strategy="council",
        symbols=panel.symbols,
        sessions=panel.sessions,
        actions=actions,
    )
    run = ReplayEngine(folder=None, is_compiled=False).run(
        world,
        repeated(
            [
                (first + row, column[each.symbol], 1 if each.side is Side.BUY else -1, each.quantity)
                for row, each in intents
            ]
        ),
    )

    told = replayed_of(
        run,
        world,
        book=config.name,
        strategy="council",
        currency=config.currency,
        symbols=panel.symbols,
        sessions=panel.sessions,
    )
    opening = opened_book(currency=config.currency, deposit_micros=config.deposit_micros)
    expected = replay.replayed_of(
        results, book=config.name, opening=opening, opening_micros=config.deposit_micros
    )
    for table, columns in COLUMNS.items():
        for column in columns:
            assert told[table][column].tolist() == expected[table][column].tolist(), (table, column)
    assert told.opening_micros == expected.opening_micros
    assert len(told["fills"]["session"]) > 100
    assert len(told["refusals"]["session"]) > 10


# -------------------------------------------------------------------------------- a book of its own


def book_replayed(panel, run, actions, deposit):
    """Give equity after each session by the dataclasses, from the fills; it balances or this raises."""
    book, marks, equities = opened_book(currency="USD", deposit_micros=deposit), {}, []
    for row, session in enumerate(panel.sessions):
        effective = sorted(action for action in actions if action.effective_on == session)
        for action in effective:
            if action.kind is ActionKind.SPLIT and action.symbol in marks:
                marks[action.symbol] = split_price(marks[action.symbol], action.numerator, action.denominator)
        book = book_at_open(book, effective, last_close_micros=marks)
        own = np.flatnonzero(run.fills.session == row)
        book = with_trades(
            book,
            [
                (
                    panel.symbols[run.fills.symbol[fill]],
                    Side.BUY if run.fills.sign[fill] > 0 else Side.SELL,
                    int(run.fills.quantity[fill]),
                    int(run.fills.price_micros[fill]),
                    int(run.fills.commission_micros[fill]),
                )
                for fill in own
            ],
        )
        for column, symbol in enumerate(panel.symbols):
            if panel.close[row, column] > 0:
                marks[symbol] = int(panel.close[row, column])
        assert imbalance_micros(book, marks) == 0
        equities.append(equity_micros(book, marks))
    return book, equities


prices = st.integers(1 * ONE, 400 * ONE)


@st.composite
def worlds(draw):
    """Draw some sessions of up to three symbols with gaps, wishes of any size, and corporate actions."""
    count, symbols = draw(st.integers(2, 9)), draw(st.integers(1, 3))
    shape = st.lists(st.lists(prices, min_size=symbols, max_size=symbols), min_size=count, max_size=count)
    opens, closes = np.array(draw(shape)), np.array(draw(shape))
    quoted = np.array(
        draw(
            st.lists(
                st.lists(st.booleans() | st.just(True), min_size=symbols, max_size=symbols),
                min_size=count,
                max_size=count,
            )
        )
    )
    volumes = draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))
    panel = panel_of(
        np.where(quoted, opens, 0), np.where(quoted, closes, 0), np.repeat([volumes], symbols, axis=0).T
    )
    wish = st.tuples(
        st.integers(1, count - 1),
        st.integers(0, symbols - 1),
        st.sampled_from([-1, 1]),
        st.integers(1, 5_000),
    )
    split = st.builds(
        lambda row, column, up, down: CorporateAction(
            effective_on=panel.sessions[row],
            symbol=panel.symbols[column],
            kind=ActionKind.SPLIT,
            numerator=up,
            denominator=down,
        ),
        st.integers(1, count - 1),
        st.integers(0, symbols - 1),
        st.integers(1, 5),
        st.integers(1, 5),
    )
    dividend = st.builds(
        lambda row, column, paid: CorporateAction(
            effective_on=panel.sessions[row],
            symbol=panel.symbols[column],
            kind=ActionKind.DIVIDEND,
            dividend_micros=paid,
        ),
        st.integers(1, count - 1),
        st.integers(0, symbols - 1),
        st.integers(1, 3 * ONE),
    )
    delisting = st.builds(
        lambda row, column, paid: CorporateAction(
            effective_on=panel.sessions[row],
            symbol=panel.symbols[column],
            kind=ActionKind.DELISTING,
            dividend_micros=paid,
        ),
        st.integers(1, count - 1),
        st.integers(0, symbols - 1),
        st.integers(0, 400 * ONE),
    )
    actions = draw(
        st.lists(
            split | dividend | delisting, max_size=3, unique_by=lambda each: (each.effective_on, each.symbol)
        )
    )
    return panel, draw(st.lists(wish, max_size=12)), actions


@given(worlds(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_value_is_conserved_in_every_session_and_the_ledger_is_that_of_a_book(world, cuts):
    panel, wishes, actions = world
    deposit = 300_000 * ONE

    run = replayed(panel, wishes, actions=actions, deposit=deposit, cuts=cuts)

    book, equities = book_replayed(panel, run, actions, deposit)
    assert run.sessions.equity_micros.tolist() == equities
    held = {position.symbol: position for position in book.positions}
    for column, symbol in enumerate(panel.symbols):
        quantity, cost, _ = run.book[:, column]
        assert (quantity, cost) == (held[symbol][1:] if symbol in held else (0, 0))
    assert run.totals.tolist() == [
        book.cash_micros,
        book.realised_micros,
        book.dividends_micros,
        book.commissions_micros,
    ]
    assert (run.sessions.cash_micros >= 0).all()


@given(worlds())
@settings(max_examples=40, deadline=None)
def test_a_light_replay_fills_and_values_as_a_kept_one(world):
    panel, wishes, actions = world

    kept = replayed(panel, wishes, actions=actions)
    light = replayed(panel, wishes, actions=actions, keeps=False)

    for ours, theirs in zip(kept.fills[:-1], light.fills[:-1], strict=True):  # rows of intents are not kept
        assert ours.tolist() == theirs.tolist()
    for ours, theirs in zip(kept.sessions, light.sessions, strict=True):
        assert ours.tolist() == theirs.tolist()
    assert len(light.intents.session) == len(light.positions.session) == 0


def test_a_strategy_sees_no_bar_of_the_session_it_decides_for():
    panel = steady(5)
    seen = []

    def looks(given, _, __):
        seen.append((given.session, len(given.open), len(given.close), len(given.volume)))
        return 0

    replayed(panel, Strategy(name="looks", decide=looks, memory=lambda _: None))

    assert seen == [(session, session, session, session) for session in range(5)]


def test_sales_are_asked_before_buys_and_pay_for_them():
    panel = steady(5, symbols=2)
    run = replayed(
        panel,
        [(2, 0, 1, 900), (3, 1, 1, 890), (3, 0, -1, 900)],
        deposit=100_000 * ONE,
        costs=FillModel(0, 0, 10_000),
    )

    assert run.intents.sign.tolist() == [1, -1, 1]
    assert run.intents.outcome.tolist() == [APPROVED] * 3
    assert (run.fills.symbol.tolist(), run.fills.quantity.tolist()) == ([0, 0, 1], [900, 900, 890])


def test_a_buy_that_only_cash_stops_is_cut_to_what_cash_pays_and_else_refused():
    panel = steady(4)
    wishes = [(2, 0, 1, 1_001)]

    refused = replayed(panel, wishes, deposit=100_000 * ONE)
    cut = replayed(panel, wishes, deposit=100_000 * ONE, cuts=True)

    assert refused.intents.outcome.tolist() == [BLOCKED]
    assert [GUARDS[place][0] for place in refused.refusals.guard] == ["buying_power"]
    # A share costs 100.05 and a hundredth of a percent of it: 999 shares 99,959.94505, one more too much.
    assert cut.fills.quantity.tolist() == [999]
    assert cut.totals[0] == 100_000 * ONE - 999 * 100_050_000 - 9_994_995
    assert cut.sessions.equity_micros.tolist()[2] == cut.totals[0] + 999 * 100 * ONE


def test_an_order_takes_no_more_than_its_share_of_the_volume():
    run = replayed(steady(4, volume=1_000), [(2, 0, 1, 500)])

    assert run.fills.quantity.tolist() == [200]


def test_what_is_not_quoted_is_not_filled_and_keeps_the_mark_it_had():
    closes = np.array([[100], [100], [120], [0], [0], [0]]) * ONE
    panel = panel_of(closes, closes, np.full((6, 1), 10**6))

    run = replayed(panel, [(2, 0, 1, 10), (4, 0, -1, 10)])

    assert run.fills.session.tolist() == [2]
    assert run.positions.price_micros.tolist() == [120 * ONE] * 4
    assert "quote_stale" in {REASONS[code] for code in run.refusals.code}


def test_a_replay_from_later_on_begins_as_one_that_waited():
    rng = np.random.default_rng(7)
    closes = np.rint(50 * ONE * np.exp(np.cumsum(rng.normal(0, 0.02, (700, 2)), axis=0))).astype(np.int64)
    panel = panel_of(closes, closes, np.full(closes.shape, 10**6))
    wishes = [(row, row % 2, 1, 100) for row in range(600, 690, 5)]
    tight = replace(WIDE, var_bps_max=150)

    whole = replayed(panel, wishes, limits=tight, scenarios_min=60)
    later = replayed(panel, wishes, limits=tight, scenarios_min=60, first=590)

    assert later.intents.passed.tolist() == whole.intents.passed.tolist()
    assert later.sessions.equity_micros.tolist() == whole.sessions.equity_micros[590:].tolist()
    assert "var_limit" in {REASONS[code] for code in later.refusals.code}


def test_limits_that_change_on_a_date_hold_from_that_session_on():
    from trading.limits import Change, Restriction

    panel = steady(7)
    limits = replace(
        WIDE,
        changes=(
            Change(effective_from=panel.sessions[4], reason="calmer", values=(("order_quantity_max", 5),)),
        ),
        restrictions=(Restriction(policy=7, symbol=A, since=panel.sessions[6], until=None, reason="listed"),),
    )

    run = replayed(panel, [(row, 0, 1, 10) for row in range(2, 7)], limits=limits)

    assert run.intents.outcome.tolist() == [APPROVED, APPROVED, BLOCKED, BLOCKED, BLOCKED]
    assert [REASONS[code] for code in run.refusals.code] == [
        "max_quantity_exceeded",
        "max_quantity_exceeded",
        "restricted_symbol",
        "max_quantity_exceeded",
    ]


def test_what_64_bits_do_not_hold_safely_stops_the_replay_by_name():
    with pytest.raises(BadInput, match="session 2: the book or an order is worth more than 36 billion"):
        replayed(steady(4, price=10**12), [(2, 0, 1, 10**5)])
    with pytest.raises(BadInput, match="price_collar_bps 2000000: a replay takes at most 1000000"):
        replayed(steady(3), [], limits=replace(WIDE, price_collar_bps=2 * 10**6))


# -------------------------------------------------------------------------------- what it says of itself


def test_what_the_kernel_says_it_repeats_and_is_held_to_by_is_there():
    told = set(re.findall(r"`([A-Za-z_.]+)`", kernel.__doc__))
    tests = {name for name in told if name.startswith("test_")}
    own = {name for name in told if "." not in name} - tests
    repeated_here = {name for name in told if "." in name} - {"Ways.cuts"}
    written = "".join(path.read_text("utf-8") for path in Path(__file__).parents[1].glob("*/test_*.py"))

    assert len(tests) >= 4
    assert [name for name in sorted(tests) if f"def {name}(" not in written] == []
    assert [name for name in sorted(own) if not hasattr(kernel, name)] == []
    for name in sorted(repeated_here):
        module, _, function = name.partition(".")
        assert hasattr(import_module(f"trading.{module}"), function), name
