"""Worse worlds: each replay is run again in one, and differs by what the scenario says and nothing else.

On half a year of the real bars of `us_five` with a split and dividends, by rules that trade often.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from resources.market_data.bokeh_stocks import BokehStocks
from resources.quality_rules import load_quality_limits
from resources.reviewed_config import book_config, read_books
from trading.actions import ActionKind, CorporateAction, at_sessions
from trading.positions import opened_book
from trading.quality import dates_of, judge_range
from trading.quotes import Panel
from trading.replay import replayed_of
from trading.scorecard import scorecard_of
from trading.session import run_sessions
from trading.simulation import fill_at_open
from trading.stress import (
    SCENARIOS,
    World,
    costs,
    delay,
    gap,
    halt,
    liquidity,
    market,
    participation_max,
    spread,
    stressed,
    usual_scenarios,
    volatility,
)
from trading.values import Side, Symbol

FIRST, LAST = date(2002, 12, 2), date(2003, 5, 30)
WARM = 130
FIELDS = ("open", "high", "low", "close")


@pytest.fixture(scope="module")
def world(xnys, config_dir) -> World:
    """Give half a year in which MSFT was split, with the sessions before it that windows read."""
    source = BokehStocks()
    line = read_books(config_dir / "books.toml")["us_five"]
    config = book_config("us_five", line, config_dir=config_dir, source=source, calendar=xnys)
    sessions = xnys.between(config.first_session, LAST)
    sessions = sessions[sessions.index(FIRST) - WARM :]
    days = judge_range(
        sessions=sessions,
        raw=source.raw_bars(*dates_of(xnys, first=sessions[0], last=sessions[-1])),
        calendar=xnys,
        previous={},
        actions=source.actions(),
        released=set(),
        limits=load_quality_limits(config_dir / "quality.toml"),
        source_sha=source.source_sha(),
    )
    rules = config.rules
    eager = replace(
        rules,
        council=replace(rules.council, quorum=1, support_min=0.1, exit_quorum=1, exit_support_min=0.2),
        scanner=replace(rules.scanner, risk_score_max=1.0, confidence_min=0.3),
    )
    return World(
        config=replace(config, rules=eager),
        panel=Panel.from_quotes(sessions, [quote for day in days for quote in day.accepted]),
        actions=tuple(
            action
            for action in at_sessions(source.actions(), xnys)
            if sessions[0] <= action.effective_on <= LAST
        ),
    )


@pytest.fixture(scope="module")
def run(xnys):
    """Give the replay of a world over its half a year, everything approved."""

    def replay(world: World):
        config = world.config
        return replayed_of(
            run_sessions(
                config,
                panel=world.panel,
                actions=world.actions,
                calendar=xnys,
                sessions=[session for session in world.panel.sessions if session >= FIRST],
                approve=True,
            ),
            book=config.name,
            opening=opened_book(currency=config.currency, deposit_micros=config.deposit_micros),
            opening_micros=config.deposit_micros,
        )

    return replay


@pytest.fixture(scope="module")
def plain(world, run):
    """Give the replay of the world as it was."""
    return run(world)


def test_a_scenario_that_changes_nothing_has_the_scorecard_of_the_replay_itself(world, run, plain):
    nothing = [
        costs(slippage_times=1, commission_times=1),
        spread(half_spread_bps=0),
        delay(delay_sessions=0),
        volatility(volatility_times=1),
        liquidity(volume_bps=10_000),
        gap(gap_bps=0),
    ]
    own = scorecard_of(plain, actions=world.actions).sha()

    assert plain["fills"]["session"].size > 20
    assert {row.scorecard.sha() for row in stressed(world, nothing, run=run)} == {own}


def test_its_symbols_make_what_the_book_made_across_a_split_and_dividends(world, plain):
    card = scorecard_of(plain, actions=world.actions)
    kinds = {action.kind for action in world.actions if action.effective_on >= FIRST}

    assert kinds == {ActionKind.SPLIT, ActionKind.DIVIDEND}
    assert card.trading.dividend_micros > 0
    assert sum(row.pnl_micros for row in card.symbols) == card.closing_micros - card.opening_micros
    assert sum(row.pnl_micros for row in card.strategies) == card.closing_micros - card.opening_micros


def test_every_usual_scenario_changes_what_the_replay_made(world, run, plain):
    own = scorecard_of(plain, actions=world.actions)
    # The book is too small for a tenth of these volumes to bind; see below.
    others = [scenario for scenario in usual_scenarios() if scenario.name != "liquidity"]
    made = stressed(world, others, run=run)

    assert [row.scenario.name for row in made if row.scorecard.closing_micros == own.closing_micros] == []
    assert len({row.scorecard.closing_micros for row in made}) == len(SCENARIOS) - 1


def test_a_thin_market_in_which_a_small_book_fills_the_same_is_told_by_its_share_of_the_volume(
    world, run, plain
):
    thin = stressed(world, [liquidity(volume_bps=1_000)], run=run)[0]
    share = participation_max(plain, world.panel)

    assert thin.scorecard.closing_micros == scorecard_of(plain, actions=world.actions).closing_micros
    assert thin.participation_max == pytest.approx(10 * share, rel=1e-4)
    assert 0 < share < 0.05
    volumes = volumes_of(world.panel)
    fills = plain["fills"]
    assert share == max(
        quantity / volumes[symbol, session]
        for symbol, session, quantity in zip(
            *(fills[name].tolist() for name in ("symbol", "session", "quantity")), strict=True
        )
    )


def test_where_nothing_was_filled_no_share_of_a_volume_is_told(world, plain):
    nothing = {name: column[:0] for name, column in plain["fills"].items()}

    assert participation_max(replace(plain, tables={**plain.tables, "fills": nothing}), world.panel) is None


def test_every_scenario_that_promotion_asks_for_is_there(config_dir):
    asked = tomllib.loads((config_dir / "promotion.toml").read_text("utf-8"))["default"]["stresses"]

    assert set(asked) <= {scenario.name for scenario in usual_scenarios()}


def test_a_scenario_says_its_amounts_with_their_units():
    units = ("_times", "_bps", "_sessions")
    for scenario in usual_scenarios():
        assert scenario.amounts
        assert [name for name, _ in scenario.amounts if not name.endswith(units)] == []


def test_a_stressed_scorecard_is_plain_json_with_its_scenario(world, run):
    payload = stressed(world, [costs()], run=run)[0].payload()

    assert payload["name"] == "costs"
    assert payload["amounts"] == {"slippage_times": 2.0, "commission_times": 2.0}
    assert payload["scorecard"]["book"] == "us_five"


# ------------------------------------------------------------------------------------- dearer, later, thinner


@pytest.mark.parametrize(
    "scenario", [costs(slippage_times=3, commission_times=2), spread(half_spread_bps=40)]
)
def test_every_fill_is_made_at_the_dearer_price(world, run, scenario):
    worse = scenario.change(world)
    replayed = run(worse)
    fills, volumes = replayed["fills"], volumes_of(world.panel)

    for sign, symbol, session, quantity, price, opened, commission in zip(
        *(fills[name].tolist() for name in ("sign", "symbol", "session", "quantity", "price_micros")),
        fills["open_micros"].tolist(),
        fills["commission_micros"].tolist(),
        strict=True,
    ):
        side = Side.BUY if sign > 0 else Side.SELL
        made = fill_at_open(side, quantity, opened, volumes[symbol, session], worse.config.costs)
        assert made == (quantity, price, commission)
    assert worse.config.costs.slippage_bps > world.config.costs.slippage_bps


def volumes_of(panel: Panel) -> dict:
    return {
        (symbol, session): int(panel.volume[row, column])
        for row, session in enumerate(panel.sessions)
        for column, symbol in enumerate(panel.symbols)
    }


def test_costs_that_are_a_fraction_are_rounded_against_the_book(world):
    model = world.config.costs._replace(slippage_bps=5, commission_bps=1)
    dearer = costs(slippage_times=1.5, commission_times=1.1).change(
        replace(world, config=replace(world.config, costs=model))
    )

    assert (dearer.config.costs.slippage_bps, dearer.config.costs.commission_bps) == (8, 2)


def test_a_late_decision_sees_the_market_of_a_session_earlier_and_fills_at_its_own_open(world, run):
    late = delay().change(world)
    session, before = world.panel.sessions[200], world.panel.sessions[199]
    seen = late.panel.window_before(session, 60, actions=world.actions)
    own = world.panel.window_before(before, 60, actions=world.actions)

    assert seen.session == session
    assert seen.sessions == own.sessions
    assert seen.sessions[-1] < before
    fills = run(late)["fills"]
    opens = {
        (symbol, day): int(world.panel.open[row, column])
        for row, day in enumerate(world.panel.sessions)
        for column, symbol in enumerate(world.panel.symbols)
    }
    assert fills["open_micros"].tolist() == [
        opens[pair] for pair in zip(fills["symbol"].tolist(), fills["session"].tolist(), strict=True)
    ]


def test_a_split_on_the_way_is_in_the_late_decision_s_shares(world):
    split = next(action for action in world.actions if action.kind is ActionKind.SPLIT)
    late = delay().change(world).panel.window_before(split.effective_on, 60, actions=world.actions)
    own = world.panel.window_before(split.effective_on, 60, actions=world.actions)
    column = own.symbols.index(split.symbol)

    assert np.array_equal(late.close[:, column][1:], own.close[:-1, column])


def test_fills_come_earlier_in_no_scenario():
    with pytest.raises(ValueError, match="fills come later, never earlier"):
        delay(delay_sessions=-1)


def test_no_order_takes_more_than_its_share_of_the_thinner_volume(world, run):
    fills = run(liquidity(volume_bps=20).change(world))["fills"]
    volumes = volumes_of(world.panel)
    share_bps = world.config.costs.participation_bps
    assert fills["quantity"].size
    for symbol, session, quantity in zip(
        *(fills[name].tolist() for name in ("symbol", "session", "quantity")), strict=True
    ):
        assert quantity <= volumes[symbol, session] * 20 // 10_000 * share_bps // 10_000


# --------------------------------------------------------------------------------------- wilder, halted, down


def moves_of(world: World) -> np.ndarray:
    """Give the total return of each session and symbol."""
    after = date(2003, 12, 31)
    closes = world.panel.window_before(after, len(world.panel.sessions), actions=world.actions).close
    return closes[1:] / closes[:-1] - 1


def test_wilder_markets_move_more_about_the_same_mean(world):
    own, wilder = moves_of(world), moves_of(volatility(volatility_times=2).change(world))

    assert np.std(wilder, axis=0) == pytest.approx(2 * np.std(own, axis=0), rel=1e-3)
    assert np.mean(wilder, axis=0) == pytest.approx(np.mean(own, axis=0), abs=1e-5)


def test_bars_stay_bars_however_wild(world):
    panel = volatility(volatility_times=4).change(world).panel

    assert (panel.close > 0).all()
    for name in FIELDS:
        assert (panel.low <= getattr(panel, name)).all()
        assert (getattr(panel, name) <= panel.high).all()


def test_a_split_is_no_move_and_a_dividend_keeps_its_share_of_the_price(world):
    wilder = volatility(volatility_times=3).change(world)
    before = {action: at_close_before(world, action) for action in world.actions}
    for action, changed in zip(world.actions, wilder.actions, strict=True):
        if action.kind is ActionKind.SPLIT:
            assert changed == action
        else:
            own = action.dividend_micros / before[action]
            assert changed.dividend_micros / at_close_before(wilder, changed) == pytest.approx(own, rel=1e-3)


def test_a_price_that_fell_by_its_dividend_did_not_move(world):
    days = world.panel.sessions[:3]
    closes = np.array([[100_000_000], [99_000_000], [99_000_000]])
    bars = dict.fromkeys((*FIELDS, "volume"), closes)
    paid = CorporateAction(
        effective_on=days[1], symbol=Symbol("A"), kind=ActionKind.DIVIDEND, dividend_micros=1_000_000
    )
    calm = World(
        config=world.config,
        panel=Panel(sessions=days, symbols=(Symbol("A"),), **bars),
        actions=(paid,),
    )

    assert volatility(volatility_times=3).change(calm).panel.close.tolist() == closes.tolist()


def gone_on(session: date, *, paid: int) -> CorporateAction:
    """Give a delisting of A that pays so many micro-units a share."""
    return CorporateAction(
        effective_on=session, symbol=Symbol("A"), kind=ActionKind.DELISTING, dividend_micros=paid
    )


def test_from_a_name_that_is_gone_to_the_next_under_its_symbol_is_no_move(world):
    days = world.panel.sessions[:4]
    closes = np.array([[100_000_000], [100_000_000], [40_000_000], [40_000_000]])
    panel = Panel(sessions=days, symbols=(Symbol("A"),), **dict.fromkeys((*FIELDS, "volume"), closes))
    calm = World(config=world.config, panel=panel, actions=(gone_on(days[2], paid=30_000_000),))

    wilder = volatility(volatility_times=3).change(calm)
    assert wilder.panel.close.tolist() == closes.tolist()
    assert wilder.actions == calm.actions


def test_a_name_that_fell_is_not_bought_at_the_old_price_when_it_goes(world):
    days = world.panel.sessions[:4]
    closes = np.full((4, 1), 100_000_000)
    panel = Panel(sessions=days, symbols=(Symbol("A"),), **dict.fromkeys((*FIELDS, "volume"), closes))
    for paid, fallen in ((90_000_000, 85_500_000), (0, 0)):
        calm = World(config=world.config, panel=panel, actions=(gone_on(days[3], paid=paid),))
        (action,) = market(fall_bps=500, every_sessions=4).change(calm).actions
        assert action == gone_on(days[3], paid=fallen)


def at_close_before(world: World, action: CorporateAction) -> int:
    row = world.panel.sessions.index(action.effective_on)
    return int(world.panel.close[row - 1, world.panel.symbols.index(action.symbol)])


def test_a_halted_symbol_has_no_bar_and_nobody_fills(world, run):
    halted = halt(halt_sessions=5, every_sessions=80).change(world)
    missing = (halted.panel.close == 0) & (world.panel.close > 0)
    fills = run(halted)["fills"]

    # Each of three is halted in turn, at rows 20, 40 and 60 of every 80.
    assert [np.flatnonzero(missing[:80, column]).tolist() for column in range(3)] == [
        list(range(first, first + 5)) for first in (20, 40, 60)
    ]
    assert (halted.panel.volume[missing] == 0).all()
    assert fills["session"].size
    columns = {symbol: column for column, symbol in enumerate(halted.panel.symbols)}
    rows = {session: row for row, session in enumerate(halted.panel.sessions)}
    for symbol, session in zip(fills["symbol"].tolist(), fills["session"].tolist(), strict=True):
        assert halted.panel.close[rows[session], columns[symbol]] > 0


def test_a_gap_takes_a_tenth_of_one_symbol_at_an_open_and_leaves_it_there(world):
    fallen = gap(gap_bps=1_000, every_sessions=80).change(world).panel
    ratios = fallen.close / world.panel.close
    falls = np.flatnonzero(np.diff(ratios[:, 0]) < -1e-6) + 1

    assert falls.tolist() == [20, 100, 180]
    assert ratios[[19, 20, 100, 180], 0] == pytest.approx([1, 0.9, 0.81, 0.729], rel=1e-6)
    assert (fallen.open / world.panel.open)[20, 0] == pytest.approx(0.9, rel=1e-6)
    assert ratios[20, 1:] == pytest.approx(1)


def test_the_market_falls_at_once(world):
    ratios = market(fall_bps=500, every_sessions=120).change(world).panel.close / world.panel.close

    assert ratios[59] == pytest.approx(1)
    assert ratios[60] == pytest.approx(0.95, rel=1e-6)
    assert ratios[180] == pytest.approx(0.9025, rel=1e-6)


@pytest.mark.parametrize("lengths", [(0, 10), (10, 10), (11, 10)])
def test_a_halt_of_all_the_time_is_refused(lengths):
    halted, every = lengths
    with pytest.raises(ValueError, match="must be some, and not all"):
        halt(halt_sessions=halted, every_sessions=every)


def test_no_scenario_touches_the_world_it_changes(world):
    before = {name: getattr(world.panel, name).copy() for name in (*FIELDS, "volume")}
    for scenario in usual_scenarios():
        scenario.change(world)

    assert all(np.array_equal(before[name], getattr(world.panel, name)) for name in before)
