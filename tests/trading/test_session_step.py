"""Whole sessions in one step: blind to what is not known yet, balanced to the micro-unit, always the same.

On the real bars of `us_five` (13 years, 3 splits, 92 dividends) and some of `us_wide`. The stages by
themselves are tested beside this file, one a noun.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from resources.market_data.bokeh_stocks import BokehStocks
from resources.market_data.bytetheory import Bytetheory
from resources.quality_rules import load_quality_limits, load_releases
from resources.reviewed_config import book_config, read_books
from trading.actions import ActionKind, CorporateAction
from trading.books import BookConfig
from trading.decisions import Outcome
from trading.positions import Mark, book_at_open, imbalance_micros, with_fills
from trading.quality import dates_of, judge_range
from trading.quotes import Panel, Quote
from trading.session import (
    SessionResult,
    decide_session,
    earlier_marks,
    marks_of,
    passing,
    run_sessions,
    send_decisions,
    window_marks,
)
from trading.sessions import Calendar
from trading.strategies.plugin import Strategy, buy, load_strategy, sell
from trading.values import Side, Symbol, digest

ROOT = Path(__file__).resolve().parents[2]
SPLITS = (date(2000, 6, 21), date(2003, 2, 18), date(2005, 2, 28))
ROUND = 10_000


class World(NamedTuple):
    """Hold one book's configuration and everything that its market ever was."""

    config: BookConfig
    panel: Panel
    actions: tuple[CorporateAction, ...]
    calendar: Calendar

    def run(self, sessions, **options) -> list[SessionResult]:
        return run_sessions(
            self.config,
            panel=self.panel,
            actions=self.actions,
            calendar=self.calendar,
            sessions=sessions,
            **{"approve": True, **options},
        )

    def with_rules(self, **changes) -> World:
        return self._replace(config=replace(self.config, rules=replace(self.config.rules, **changes)))


def judged(
    name: str, source: Any, calendar: Calendar, config_dir: Path, *, count: int | None = None
) -> World:
    """Give a book with the quotes that the quality rules accept of its source."""
    line = read_books(config_dir / "books.toml")[name]
    config = book_config(name, line, config_dir=config_dir, source=source, calendar=calendar)
    sessions = calendar.between(config.first_session, config.last_session)[:count]
    days = judge_range(
        sessions=sessions,
        raw=source.raw_bars(*dates_of(calendar, first=sessions[0], last=sessions[-1])),
        calendar=calendar,
        previous={},
        actions=source.actions(),
        released={release.row_id for release in load_releases(config_dir / "releases.toml")},
        limits=load_quality_limits(config_dir / "quality.toml"),
        source_sha=source.source_sha(),
    )
    panel = Panel.from_quotes(sessions, [quote for day in days for quote in day.accepted])
    return World(config, panel, source.actions(), calendar)


def eager(world: World) -> World:
    """Give a book rules by which it buys on any support and seldom sells, so that it always holds shares."""
    rules = world.config.rules
    boundless = 10**15
    return world.with_rules(
        limits=replace(
            rules.limits,
            allowlist=(),
            order_notional_micros_max=boundless,
            auto_approve_notional_micros=boundless,
            symbol_weight_bps_max=10_000,
            position_weight_bps_max=10_000,
            order_quantity_max=boundless,
            usual_order_notional_micros=boundless,
            price_collar_bps=boundless,
            volume_share_bps_max=10_000,
            gross_notional_micros_max=boundless,
            net_notional_micros_max=boundless,
            var_bps_max=10_000,
            daily_loss_bps_max=10_000,
            drawdown_bps_max=10_000,
        ),
        council=replace(rules.council, quorum=1, support_min=0.1, exit_quorum=2, exit_support_min=0.45),
        scanner=replace(rules.scanner, risk_score_max=1.0, confidence_min=0.3),
        allocation=replace(rules.allocation, position_bps=5_000, cap_bps=2_400, step_bps=2_400, band_bps=10),
    )


@pytest.fixture(scope="module")
def shipped(xnys, config_dir) -> World:
    """Give `us_five` as it is configured."""
    return judged("us_five", BokehStocks(), xnys, config_dir)


@pytest.fixture(scope="module")
def five(shipped) -> World:
    """Give `us_five` with eager rules."""
    return eager(shipped)


@pytest.fixture(scope="module")
def years(five) -> dict[date, SessionResult]:
    """Give all sessions that have 21 before them: the fewest of which anything can be said."""
    return {result.session: result for result in five.run(five.panel.sessions[21:])}


@pytest.fixture(scope="module")
def wide(xnys, config_dir) -> World:
    """Give the first months of `us_wide` with eager rules, and a strategy that has opinions by then."""
    world = eager(judged("us_wide", Bytetheory(), xnys, config_dir, count=85))
    parameters = {"sessions": 20, "calm": 3.0, "stretched": 3.5}
    return world.with_rules(strategies=(load_strategy("mean_reversion", weight=1.0, parameters=parameters),))


# ----------------------------------------------------------- (a) nothing that is not known yet is seen


def altered(panel: Panel, first_row: int, change) -> Panel:
    """Give a panel whose bars from one row on are changed."""
    arrays = {}
    for name in ("open", "high", "low", "close", "volume"):
        array = getattr(panel, name).copy()
        array[first_row:] = change(array[first_row:])
        arrays[name] = array
    return replace(panel, **arrays)


def cut(panel: Panel, first_row: int) -> Panel:
    """Give a panel as it stood before a session: neither its rows nor symbols first quoted in them."""
    listed = (panel.close[:first_row] > 0).any(axis=0)
    arrays = {
        name: getattr(panel, name)[:first_row, listed] for name in ("open", "high", "low", "close", "volume")
    }
    symbols = tuple(symbol for symbol, known in zip(panel.symbols, listed, strict=True) if known)
    return replace(panel, sessions=panel.sessions[:first_row], symbols=symbols, **arrays)


FUTURES = {
    "removed": cut,
    "ten times as high": lambda panel, row: altered(panel, row, lambda bars: bars * 10),
    "without a quote": lambda panel, row: altered(panel, row, lambda bars: bars * 0),
    "negative": lambda panel, row: altered(panel, row, lambda bars: -bars),
    "of a later session": lambda panel, row: altered(panel, row, lambda bars: np.roll(bars, -1, axis=0)),
    "of another symbol": lambda panel, row: altered(panel, row, lambda bars: np.roll(bars, 1, axis=1)),
}
"""What becomes of a session's own bars and of all that follow."""


def read_honestly(panel, session, count, actions):
    return panel.window_before(session, count, actions=actions)


def read_ahead(panel, session, count, actions):
    """Read like a reader off by one: the window ends with the session's own bars, under earlier dates."""
    window = panel.window_before(next_of(panel, session), count, actions=actions)
    earlier = dict(zip(window.sessions[1:], window.sessions, strict=False))
    return replace(
        window,
        session=session,
        sessions=(date(1999, 1, 4), *window.sessions[:-1]),
        quoted_on=tuple(earlier.get(day, date(1999, 1, 4)) for day in window.quoted_on),
    )


def next_of(panel, session):
    following = [day for day in panel.sessions if day > session]
    return following[0] if following else date(2099, 1, 1)


def decision_on(world, session, opening, *, panel, actions=None, reader=read_honestly) -> str:
    """Decide a session on some panel; give everything that the decision made, in full."""
    actions = world.actions if actions is None else actions
    decided = decide_session(
        world.config,
        lane="replay:blind",
        window=reader(panel, session, world.config.rules.window_sessions, actions),
        opening=opening,
        actions=actions,
        not_after=world.calendar.closes_at(session),
    )
    return repr(decided)


def look_ahead(world, sessions, opening_of, **options) -> list[tuple[date, str]]:
    """Give each session and future of it that changed the session's decision."""
    seen = []
    for session in sessions:
        row = world.panel.sessions.index(session)
        honest = decision_on(world, session, opening_of(session), panel=world.panel, **options)
        for name, change in FUTURES.items():
            panel = change(world.panel, row)
            if decision_on(world, session, opening_of(session), panel=panel, **options) != honest:
                seen.append((session, name))
    return seen


@pytest.fixture(scope="module")
def opening_of(years, five):
    """Give the book that the session before left."""

    def of(session):
        return years[five.panel.sessions[five.panel.sessions.index(session) - 1]].closing

    return of


def around(world, session, days):
    row = world.panel.sessions.index(session)
    return world.panel.sessions[row - days : row + days + 1]


def test_a_reader_that_peeks_is_caught(five, opening_of):
    sessions = around(five, SPLITS[2], 5)

    seen = look_ahead(five, sessions, opening_of, reader=read_ahead)

    assert {session for session, _ in seen} == set(sessions)
    assert {name for _, name in seen} == set(FUTURES)


def test_a_strategy_that_peeks_is_caught(five, opening_of):
    today = {}

    def clairvoyant(window, symbols):
        """Buy what will close above its open."""
        panel = today["panel"]
        rows = [row for row, day in enumerate(panel.sessions) if day == window.session]
        if not rows:
            return {}
        rises = panel.close[rows[0]] > panel.open[rows[0]]
        return {
            symbol: (buy if rises[panel.symbols.index(symbol)] else sell)(1.0, "I know") for symbol in symbols
        }

    def reader(panel, session, count, actions):
        today["panel"] = panel
        return read_honestly(panel, session, count, actions)

    biased = five.with_rules(
        strategies=(
            Strategy(name="clairvoyant", version="1", weight=1.0, parameters=(), signals=clairvoyant),
        )
    )
    sessions = around(five, SPLITS[2], 5)

    assert {session for session, _ in look_ahead(biased, sessions, opening_of, reader=reader)} == set(
        sessions
    )


def test_a_rule_that_knows_later_actions_is_caught(five, opening_of):
    """Tell the decision of the day before a split that it is effective already."""
    (eve,) = five.calendar.before(SPLITS[2], 1)
    early = [
        replace(action, effective_on=eve) if action.effective_on == SPLITS[2] else action
        for action in five.actions
    ]

    told = decision_on(five, eve, opening_of(eve), panel=five.panel, actions=early)

    assert told != decision_on(five, eve, opening_of(eve), panel=five.panel)


def test_no_decision_of_a_year_with_a_split_sees_its_own_session_or_later(five, opening_of):
    sessions = five.calendar.between(date(2004, 7, 1), date(2005, 6, 30))
    assert SPLITS[2] in sessions
    assert len(sessions) > 250

    assert look_ahead(five, sessions, opening_of) == []


def test_no_decision_by_the_shipped_rules_sees_its_own_session_or_later(shipped, opening_of):
    assert look_ahead(shipped, around(shipped, SPLITS[2], 20), opening_of) == []


@pytest.mark.parametrize("ex_date", SPLITS)
def test_no_decision_around_a_split_sees_its_own_session_or_later(five, opening_of, ex_date):
    assert look_ahead(five, around(five, ex_date, 5), opening_of) == []


def test_the_sessions_looked_at_decide_something(five, years):
    looked_at = [years[day] for day in five.calendar.between(date(2004, 7, 1), date(2005, 6, 30))]

    decisions = [decision for result in looked_at for decision in result.decided.decisions]
    assert len(decisions) > 10
    assert {decision.intent.side for decision in decisions} == set(Side)
    assert all(any(row.selected for row in result.decided.candidates) for result in looked_at)


def test_later_corporate_actions_change_no_decision(five, opening_of):
    for session in (*SPLITS, *five.calendar.between(date(2005, 2, 1), date(2005, 2, 25))):
        known = [action for action in five.actions if action.effective_on <= session]
        later = [action for action in five.actions if action.effective_on > session]
        doubled = [replace(action, numerator=7, dividend_micros=10**9) for action in later]
        honest = decision_on(five, session, opening_of(session), panel=five.panel)

        assert later
        for others in ([], doubled):
            told = decision_on(
                five, session, opening_of(session), panel=five.panel, actions=[*known, *others]
            )
            assert told == honest, session


def test_a_sessions_own_bars_do_count_where_they_should_in_its_fills(five, years):
    result = next(
        result
        for result in years.values()
        if any(fill.side is Side.BUY for fill in result.fills) and result.session > date(2004, 7, 1)
    )
    row = five.panel.sessions.index(result.session)
    dear = five._replace(panel=FUTURES["ten times as high"](five.panel, row))

    (again,) = dear.run(
        [result.session],
        opening=opening_before(years, result.session),
        equities=[one.equity_micros for day, one in years.items() if day < result.session],
    )

    assert again.decided.decisions == result.decided.decisions
    assert again.fills != result.fills


def opening_before(years, session):
    earlier = [day for day in years if day < session]
    return years[earlier[-1]].closing


# ------------------------------------------------------------------------------ (b) it always balances


def test_a_book_of_thirteen_years_balances_in_every_session_and_never_owes(years):
    prices = {
        session: {symbol: mark.price_micros for symbol, mark in result.marks.items()}
        for session, result in years.items()
    }

    assert len(years) == 3_249
    assert {s for s, r in years.items() if imbalance_micros(r.closing, prices[s]) != 0} == set()
    assert min(result.closing.cash_micros for result in years.values()) > 0
    assert sum(len(result.fills) for result in years.values()) > 200


def test_those_years_hold_shares_over_every_split(five, years):
    splits = [action for action in five.actions if action.kind is ActionKind.SPLIT]
    assert tuple(split.effective_on for split in splits) == SPLITS

    for split in splits:
        before = opening_before(years, split.effective_on)
        at_open = years[split.effective_on].decided.proposed.at_open
        held = before.quantity_of(split.symbol)
        assert held > 1_000
        assert at_open.quantity_of(split.symbol) == 2 * held
        costs = [
            next(position.cost_micros for position in book.positions if position.symbol == split.symbol)
            for book in (before, at_open)
        ]
        assert costs[0] == costs[1]


def test_those_years_collect_most_dividends(five, years):
    paid = Counter()
    for session in sorted({action.effective_on for action in five.actions} & years.keys()):
        opening = opening_before(years, session)
        due = {
            action.symbol: opening.quantity_of(action.symbol) * action.dividend_micros
            for action in five.actions
            if action.effective_on == session and action.kind is ActionKind.DIVIDEND
        }
        at_open = years[session].decided.proposed.at_open
        assert at_open.dividends_micros - opening.dividends_micros == sum(due.values())
        paid.update(symbol for symbol, amount in due.items() if amount > 0)

    assert sum(paid.values()) > 40
    assert set(paid) == {"AAPL", "IBM", "MSFT"}


def test_cash_kept_by_a_purse_of_its_own_is_the_same_to_the_micro_unit(five, years):
    purse, shares, spent = five.config.deposit_micros, Counter(), Counter()
    by_day = {}
    for action in five.actions:
        by_day.setdefault(action.effective_on, []).append(action)

    for session, result in years.items():
        for action in by_day.get(session, []):
            if action.kind is ActionKind.SPLIT:
                assert action.denominator == 1  # so nobody is left a fraction of a share
                shares[action.symbol] *= action.numerator
            else:
                purse += shares[action.symbol] * action.dividend_micros
                spent["dividends"] += shares[action.symbol] * action.dividend_micros
        for fill in result.fills:
            sign = {Side.BUY: 1, Side.SELL: -1}[fill.side]
            purse -= sign * fill.quantity * fill.price_micros + fill.commission_micros
            shares[fill.symbol] += sign * fill.quantity
            spent["commissions"] += fill.commission_micros

        assert result.closing.cash_micros == purse, session
        assert result.closing.dividends_micros == spent["dividends"]
        assert result.closing.commissions_micros == spent["commissions"]
        assert {held.symbol: held.quantity for held in result.closing.positions} == +shares


def test_every_fill_is_at_the_sessions_open_at_the_costs_configured(five, years):
    slippage, commission = five.config.costs.slippage_bps, five.config.costs.commission_bps
    for session, result in list(years.items())[::7]:
        row = five.panel.sessions.index(session)
        for fill in result.fills:
            opened = int(five.panel.open[row, five.panel.symbols.index(fill.symbol)])
            worse = ROUND + slippage if fill.side is Side.BUY else ROUND - slippage
            assert abs(fill.price_micros - opened * worse / ROUND) < 1
            assert 0 <= fill.commission_micros - fill.notional_micros * commission / ROUND < 1
            assert fill.filled_at == five.calendar.opens_at(session)


# ------------------------------------------------------------------------------ (c) the same every time

SOME_WEEKS = (date(2005, 1, 3), date(2005, 4, 29))

DIGEST_OF_A_RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from datetime import date
from resources.calendars import load_calendar
from resources.market_data.bokeh_stocks import BokehStocks
from resources.reviewed_config import book_config, read_books
from trading.quotes import Panel, Quote
from trading.session import run_sessions
from trading.values import Symbol, digest, micros_from_text

config_dir = Path(sys.argv[1]) / "config"
calendar, source = load_calendar("XNYS", config_dir / "calendars"), BokehStocks()
line = read_books(config_dir / "books.toml")["us_five"]
config = book_config("us_five", line, config_dir=config_dir, source=source, calendar=calendar)
sessions = calendar.between(date(2012, 3, 1), date(2013, 3, 1))
quotes = [
    Quote(Symbol(bar.symbol), date.fromisoformat(bar.session),
          *[micros_from_text(price) for price in (bar.open, bar.high, bar.low, bar.close)],
          int(bar.volume), "", "", calendar.opens_at(sessions[0]))
    for bar in source.raw_bars(sessions[0], sessions[-1])
]
results = run_sessions(config, panel=Panel.from_quotes(sessions, set(quotes)), calendar=calendar,
                       actions=tuple(set(source.actions())), sessions=sessions[140:], approve=True)
fills = sum(len(result.fills) for result in results)
print(len(results), fills, digest([repr(result) for result in results]))
"""


def weeks(world):
    return world.calendar.between(*SOME_WEEKS)


def test_the_same_sessions_again_are_the_same_to_the_bit(five):
    first, second = five.run(weeks(five)), five.run(weeks(five))

    assert repr(first) == repr(second)
    assert any(result.fills for result in first)


def test_a_run_does_not_depend_on_the_seed_of_hashes():
    told = {
        subprocess.run(
            [sys.executable, "-c", DIGEST_OF_A_RUN, str(ROOT)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(told) == 1
    sessions, fills, _ = told.pop().split()
    assert int(sessions) > 100
    assert int(fills) > 0


def test_a_replay_decides_the_same_things_under_other_ids(five):
    def decisions(lane):
        return [one for result in five.run(weeks(five), lane=lane) for one in result.decided.decisions]

    live, replayed, again = decisions("simulated"), decisions("replay:first"), decisions("replay:second")

    assert live
    assert [one.intent for one in live] == [one.intent for one in replayed] == [one.intent for one in again]
    assert [one.intent.intent_key for one in live] == [one.intent.intent_key for one in replayed]
    ids = [{one.intent_id for one in lane} for lane in (live, replayed, again)]
    assert len(set.union(*ids)) == 3 * len(live)
    assert [replace(one, lane="", intent_id="") for one in live] == [
        replace(one, lane="", intent_id="") for one in replayed
    ]


def test_a_range_is_its_sessions_one_by_one(five):
    book, alone = None, []
    for session in weeks(five):
        (result,) = five.run([session], opening=book, equities=[one.equity_micros for one in alone])
        alone.append(result)
        book = result.closing

    assert repr(alone) == repr(five.run(weeks(five)))


# --------------------------------------------------------------------------------- approval and the send


def test_without_a_persons_approval_only_what_needs_none_is_filled(shipped):
    careful = shipped.with_rules(
        limits=replace(shipped.config.rules.limits, auto_approve_notional_micros=50_000_000_000)
    )
    sessions = careful.calendar.between(date(2012, 1, 3), date(2012, 6, 29))
    alone, approved = careful.run(sessions, approve=False), careful.run(sessions, approve=True)

    def filled(results, outcome):
        ids = {one.intent_id for r in results for one in r.decided.decisions if one.outcome is outcome}
        return sum(fill.intent_id in ids for result in results for fill in result.fills)

    assert filled(approved, Outcome.PENDING_APPROVAL) > 0
    assert filled(alone, Outcome.PENDING_APPROVAL) == 0
    for results in (alone, approved):
        assert filled(results, Outcome.BLOCKED) == filled(results, Outcome.VETOED) == 0


def busy(years, side):
    return next(result for result in years.values() if any(fill.side is side for fill in result.fills))


def filled_with(world, result, change):
    """Fill a session's decisions again, on quotes that something happened to."""
    quotes = world.panel.quotes_on(result.session, known_at=world.calendar.closes_at(result.session))
    return send_decisions(
        world.config,
        result.decided,
        quotes={quote.symbol: changed for quote in quotes if (changed := change(quote))},
        filled_at=world.calendar.opens_at(result.session),
        approve=True,
    ).fills


def test_an_open_far_above_the_decisions_price_stops_a_buy_at_the_send(five, years):
    result = busy(years, Side.BUY)
    gap = filled_with(five, result, lambda quote: quote._replace(open_micros=quote.open_micros * 20))

    assert filled_with(five, result, lambda quote: quote) == result.fills
    assert [fill for fill in gap if fill.side is Side.BUY] == []


def test_what_one_buy_spends_the_next_one_does_not_have(five, years):
    result = next(
        result
        for result in years.values()
        if [fill.side for fill in result.fills] == [Side.BUY, Side.BUY] and len(result.decided.decisions) == 2
    )
    cash = result.decided.proposed.at_open.cash_micros
    first, second = result.fills
    # Opens at which each of the two alone would take six tenths of the cash.
    opens = {fill.symbol: cash * 6 // 10 // fill.quantity for fill in (first, second)}

    def gapped(quote):
        return quote._replace(open_micros=opens.get(quote.symbol, quote.open_micros))

    assert [fill.symbol for fill in filled_with(five, result, gapped)] == [first.symbol]
    without_first = replace(result, decided=replace(result.decided, decisions=result.decided.decisions[1:]))
    assert [fill.symbol for fill in filled_with(five, without_first, gapped)] == [second.symbol]


def test_a_session_sends_no_more_orders_within_its_minute_than_it_may(five, years):
    result = next(result for result in years.values() if len(result.fills) == 2)
    limits = replace(five.config.rules.limits, orders_per_minute_max=1)
    slower = five.with_rules(limits=limits)

    assert filled_with(slower, result, lambda quote: quote) == result.fills[:1]


def test_an_open_far_below_does_not_stop_a_sale(five, years):
    result = busy(years, Side.SELL)
    gap = filled_with(five, result, lambda quote: quote._replace(open_micros=quote.open_micros // 20))

    sold = {fill.symbol: fill.quantity for fill in result.fills if fill.side is Side.SELL}
    assert {fill.symbol: fill.quantity for fill in gap if fill.side is Side.SELL} == sold


def test_a_symbol_without_a_bar_does_not_fill(five, years):
    result = busy(years, Side.BUY)
    gone = result.fills[0].symbol

    fills = filled_with(five, result, lambda quote: None if quote.symbol == gone else quote)

    assert gone not in {fill.symbol for fill in fills}


def test_a_thin_session_fills_a_part_and_the_book_takes_that_part(five, years):
    result = busy(years, Side.BUY)
    bought = next(fill for fill in result.fills if fill.side is Side.BUY)
    volume = 20 * (bought.quantity // 2)  # 5 % of it is half the order

    fills = filled_with(five, result, lambda quote: quote._replace(volume=volume))

    part = next(fill for fill in fills if fill.symbol == bought.symbol)
    assert part.quantity == bought.quantity // 2
    book = with_fills(result.decided.proposed.at_open, fills)
    held = result.decided.proposed.at_open.quantity_of(bought.symbol)
    assert book.quantity_of(bought.symbol) == held + part.quantity


def test_what_every_guard_passed_is_what_an_advisor_sees(years):
    for result in list(years.values())[::50]:
        seen = passing(result.decided.proposed.intents, result.decided.verdicts)
        outcomes = {one.intent.intent_key: one.outcome for one in result.decided.decisions}

        assert [intent.intent_key for intent in seen] == [
            key for key, outcome in outcomes.items() if outcome is not Outcome.BLOCKED
        ]


# --------------------------------------------------------------------------------------------- marks


def quote_of(symbol, session, close):
    return Quote(
        Symbol(symbol), session, close, close, close, close, 1, "", "", datetime(2005, 3, 1, tzinfo=UTC)
    )


def test_positions_are_marked_at_the_sessions_close_else_at_the_last_one_in_its_shares():
    eve, ex_date, after = date(2005, 2, 25), date(2005, 2, 28), date(2005, 3, 1)
    last = {
        Symbol("AAPL"): quote_of("AAPL", eve, 88_990_001),
        Symbol("IBM"): quote_of("IBM", eve, 92_000_000),
    }
    split = CorporateAction(
        effective_on=ex_date, symbol=Symbol("AAPL"), kind=ActionKind.SPLIT, numerator=2, denominator=1
    )

    earlier = earlier_marks(last, session=after, actions=[split])

    assert earlier == {"AAPL": Mark(44_495_000, eve), "IBM": Mark(92_000_000, eve)}
    assert earlier_marks(last, session=eve, actions=[split])["AAPL"] == Mark(88_990_001, eve)
    ibm = quote_of("IBM", after, 93_000_000)
    assert marks_of(after, quotes=[ibm], earlier=earlier) == {
        "AAPL": Mark(44_495_000, eve),
        "IBM": Mark(93_000_000, after),
    }


def test_the_marks_of_a_window_are_its_last_closes_in_todays_shares(five):
    (eve,) = five.calendar.before(SPLITS[2], 1)
    window = five.panel.window_before(SPLITS[2], 10, actions=five.actions)
    quotes = {
        quote.symbol: quote for quote in five.panel.quotes_on(eve, known_at=datetime(2005, 2, 25, tzinfo=UTC))
    }

    assert window_marks(window) == earlier_marks(quotes, session=SPLITS[2], actions=five.actions)
    row, column = five.panel.sessions.index(eve), five.panel.symbols.index("AAPL")
    assert window_marks(window)["AAPL"] == Mark(int(five.panel.close[row, column]) // 2, eve)


# ------------------------------------------------------------------------------------ (d) 524 dirty names


def test_the_wide_book_sees_nothing_ahead_balances_and_trades(wide):
    sessions = wide.panel.sessions[75:81]
    results = wide.run(sessions)
    openings = dict(zip(sessions[1:], [result.closing for result in results], strict=False))

    assert look_ahead(wide, sessions[1:4], openings.__getitem__) == []
    assert {
        name for _, name in look_ahead(wide, sessions[1:2], openings.__getitem__, reader=read_ahead)
    } == set(FUTURES)
    for result in results:
        prices = {symbol: mark.price_micros for symbol, mark in result.marks.items()}
        assert imbalance_micros(result.closing, prices) == 0
        assert result.closing.cash_micros >= 0
        assert len(result.decided.candidates) > 400
    assert sum(len(result.fills) for result in results) > 3


def test_the_wide_book_replays_the_same_under_other_ids(wide):
    sessions = wide.panel.sessions[75:78]
    live, replayed = wide.run(sessions, lane="simulated"), wide.run(sessions, lane="replay:wide")

    def keys(results):
        return [one.intent.intent_key for result in results for one in result.decided.decisions]

    assert keys(live) == keys(replayed)
    assert len(keys(live)) > 3
    assert digest([book.closing.payload() for book in live]) == digest(
        [book.closing.payload() for book in replayed]
    )


def test_a_book_at_its_open_has_the_actions_of_the_session_and_no_others(five, years):
    for session in SPLITS[1:]:
        opening = opening_before(years, session)
        window = five.panel.window_before(session, 130, actions=five.actions)
        own = [action for action in five.actions if action.effective_on == session]
        closes = {
            symbol: int(close) for symbol, close in zip(window.symbols, window.close_micros, strict=True)
        }

        assert years[session].decided.proposed.at_open == book_at_open(opening, own, last_close_micros=closes)
