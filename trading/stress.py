"""Worse worlds: what a strategy would have made with dearer, later, wilder, thinner or halted markets.

A scenario changes what a replay reads (quotes, actions, costs), and the replay is run again: rules decide
anew, guards judge anew, every fill is made anew. Nothing is subtracted from a result afterwards.
What a replay was worth is scorecard.py; the statistics of one that was not re-run are honest.py.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from trading.actions import ORDER_OF_KINDS, ActionKind, CorporateAction
from trading.attribution import whole_numbers
from trading.books import BookConfig
from trading.performance import Floats
from trading.quotes import Micros, Panel, Window
from trading.replayed import Replayed
from trading.risk import BPS
from trading.scorecard import Scorecard, scorecard_of

MOVE_MIN = 0.05
"""What is left of a price, at least, of one session's move made larger: no price goes below nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Hold what a replay reads: the book's configuration with its costs, quotes, and actions at sessions."""

    config: BookConfig
    panel: Panel
    actions: tuple[CorporateAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Hold one way in which the world is worse, why it is asked, and how much worse.

    `amounts` are numbers by name, units at the end: `_times` a multiple, `_bps` basis points, `_sessions` a
    count. `change` gives the worse world; it is a pure function.
    """

    name: str
    reason: str
    amounts: tuple[tuple[str, float], ...]
    change: Callable[[World], World] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stressed:
    """Hold a scenario, the scorecard of the replay that was run in it, and its `participation_max`."""

    scenario: Scenario
    scorecard: Scorecard
    participation_max: float | None

    def payload(self) -> dict[str, Any]:
        """Return both as plain JSON values."""
        return {
            "name": self.scenario.name,
            "reason": self.scenario.reason,
            "amounts": dict(self.scenario.amounts),
            "participation_max": self.participation_max,
            "scorecard": self.scorecard.payload(),
        }


def stressed(
    world: World, scenarios: Iterable[Scenario], *, run: Callable[[World], Replayed]
) -> tuple[Stressed, ...]:
    """Return the scorecard of each scenario, its replay made by `run` in the changed world.

    `run` is the replay of the unchanged world too, with its range, calendar and opening: so that a scenario
    that changes nothing has the very scorecard of the replay itself.
    """
    made = []
    for scenario in scenarios:
        worse = scenario.change(world)
        replayed = run(worse)
        made.append(
            Stressed(
                scenario=scenario,
                scorecard=scorecard_of(replayed, actions=worse.actions),
                participation_max=participation_max(replayed, worse.panel),
            )
        )
    return tuple(made)


def participation_max(replayed: Replayed, panel: Panel) -> float | None:
    """Return the largest share of a session's volume that one fill took: max(quantity / volume).

    Sampling: every fill of a session with a volume in `panel`. No data: none. It says of a thin market that a
    small book was in it, since each fill takes more of it at the same price.
    """
    fills = replayed["fills"]
    days = np.array(panel.sessions, dtype="datetime64[D]")
    columns = {symbol: column for column, symbol in enumerate(panel.symbols)}
    rows = np.searchsorted(days, fills["session"].astype("datetime64[D]"))
    at = np.array([columns[symbol] for symbol in fills["symbol"].tolist()], dtype=np.int64)
    volumes, quantities = panel.volume[rows, at], whole_numbers(fills, "quantity")
    traded = volumes > 0
    return float(np.max(quantities[traded] / volumes[traded])) if traded.any() else None


# ----------------------------------------------------------------------------------------------- scenarios


def costs(*, slippage_times: float = 2.0, commission_times: float = 2.0) -> Scenario:
    """Return the scenario of dearer trading: slippage and commission as multiples, rounded up."""

    def change(world: World) -> World:
        model = world.config.costs
        dearer = model._replace(
            slippage_bps=_times(model.slippage_bps, slippage_times),
            commission_bps=_times(model.commission_bps, commission_times),
        )
        return replace(world, config=replace(world.config, costs=dearer))

    return Scenario(
        name="costs",
        reason="costs are estimated; what only earns at half of them earns for the broker",
        amounts=(("slippage_times", slippage_times), ("commission_times", commission_times)),
        change=change,
    )


def spread(*, half_spread_bps: int = 25) -> Scenario:
    """Return the scenario of wide quotes: each fill pays half a spread more, beside the slippage."""

    def change(world: World) -> World:
        model = world.config.costs
        wider = model._replace(slippage_bps=min(model.slippage_bps + half_spread_bps, BPS))
        return replace(world, config=replace(world.config, costs=wider))

    return Scenario(
        name="spread",
        reason="daily bars tell no spread, and it is widest when everybody trades",
        amounts=(("half_spread_bps", half_spread_bps),),
        change=change,
    )


def delay(*, delay_sessions: int = 1) -> Scenario:
    """Return the scenario of late fills: what was decided fills so many sessions later.

    A decision sees the market as it was those sessions earlier, and is sized on what it saw; holdings, costs
    and the open it fills at are the session's own.
    """
    if delay_sessions < 0:
        raise ValueError(f"delay of {delay_sessions} sessions: fills come later, never earlier")

    def change(world: World) -> World:
        return replace(world, panel=_delayed(world.panel, delay_sessions))

    return Scenario(
        name="delay",
        reason="an edge that is gone a session later was never there for an order by hand",
        amounts=(("delay_sessions", delay_sessions),),
        change=change,
    )


def volatility(*, volatility_times: float = 1.5) -> Scenario:
    """Return the scenario of wilder markets: each move about a symbol's own mean, so many times as large.

    The mean move of its sessions stays, so that no drift is added; a dividend keeps its share of the price.
    No session takes more than 95 % of a price.
    """

    def change(world: World) -> World:
        return _wilder(world, volatility_times)

    return Scenario(
        name="volatility",
        reason="the years at hand were calmer than some that will come",
        amounts=(("volatility_times", volatility_times),),
        change=change,
    )


def liquidity(*, volume_bps: int = 1_000) -> Scenario:
    """Return the scenario of thin markets: a share of the volume (rounded down) for guards and fills."""

    def change(world: World) -> World:
        thinner = _frozen(world.panel.volume * volume_bps // BPS)
        return replace(world, panel=replace(world.panel, volume=thinner))

    return Scenario(
        name="liquidity",
        reason="volume goes first when a book has to be sold",
        amounts=(("volume_bps", volume_bps),),
        change=change,
    )


def halt(*, halt_sessions: int = 10, every_sessions: int = 252) -> Scenario:
    """Return the scenario of halted symbols: each without a bar for some sessions of so many, one by one."""
    _require_period(halt_sessions, every_sessions)

    def change(world: World) -> World:
        panel = world.panel
        starts = _starts(panel, every_sessions)
        since = np.arange(len(panel.sessions))[:, None] - starts[None, :]
        halted = (since >= 0) & (since % every_sessions < halt_sessions)
        quoted = _repriced(panel, lambda bars: np.where(halted, 0, bars))
        return replace(world, panel=replace(quoted, volume=_frozen(np.where(halted, 0, panel.volume))))

    return Scenario(
        name="halt",
        reason="what is halted cannot be sold, and opens where it wants to",
        amounts=(("halt_sessions", halt_sessions), ("every_sessions", every_sessions)),
        change=change,
    )


def gap(*, gap_bps: int = 1_000, every_sessions: int = 504) -> Scenario:
    """Return the scenario of single falls: each symbol opens so much lower once in so many sessions."""
    _require_period(1, every_sessions)

    def change(world: World) -> World:
        starts = _starts(world.panel, every_sessions)
        return _fallen(world, starts, gap_bps=gap_bps, every_sessions=every_sessions)

    return Scenario(
        name="gap",
        reason="bad news of one name comes overnight, and no stop fills on the way",
        amounts=(("gap_bps", gap_bps), ("every_sessions", every_sessions)),
        change=change,
    )


def market(*, fall_bps: int = 500, every_sessions: int = 252) -> Scenario:
    """Return the scenario of broad falls: all symbols open so much lower once in so many sessions."""
    _require_period(1, every_sessions)

    def change(world: World) -> World:
        starts = np.full(len(world.panel.symbols), every_sessions // 2)
        return _fallen(world, starts, gap_bps=fall_bps, every_sessions=every_sessions)

    return Scenario(
        name="market",
        reason="when everything falls at once, many names are one position",
        amounts=(("fall_bps", fall_bps), ("every_sessions", every_sessions)),
        change=change,
    )


SCENARIOS: tuple[Callable[[], Scenario], ...] = (
    costs,
    spread,
    delay,
    volatility,
    liquidity,
    halt,
    gap,
    market,
)
"""Every scenario, with amounts of its own where none are given."""


def usual_scenarios() -> tuple[Scenario, ...]:
    """Return every scenario with its usual amounts."""
    return tuple(make() for make in SCENARIOS)


# ------------------------------------------------------------------------------------------------- changes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Late(Panel):
    """Give windows that end some sessions early; the bars to fill at and to value by are the true ones."""

    delay_sessions: int

    def window_before(
        self,
        session: date,
        count: int,
        *,
        actions: Iterable[CorporateAction],
        inputs: tuple[tuple[str, str], ...] = (),
    ) -> Window:
        """Return the window as it stood so many sessions earlier, in the shares of its session."""
        end = max(bisect_left(self.sessions, session) - self.delay_sessions, 0)
        seen = Panel(
            sessions=self.sessions[:end],
            symbols=self.symbols,
            open=self.open[:end],
            high=self.high[:end],
            low=self.low[:end],
            close=self.close[:end],
            volume=self.volume[:end],
            unfit=self.unfit,
        )
        return seen.window_before(session, count, actions=actions, inputs=inputs)


def _delayed(panel: Panel, sessions: int) -> Panel:
    return _Late(
        sessions=panel.sessions,
        symbols=panel.symbols,
        open=panel.open,
        high=panel.high,
        low=panel.low,
        close=panel.close,
        volume=panel.volume,
        unfit=panel.unfit,
        delay_sessions=sessions,
    )


def _fallen(world: World, starts: Micros, *, gap_bps: int, every_sessions: int) -> World:
    """Return a world in which each symbol falls in its sessions, and stays lower for good."""
    since = np.arange(len(world.panel.sessions))[:, None] - starts[None, :]
    falls = np.where(since >= 0, since // every_sessions + 1, 0)
    factors = (1.0 - gap_bps / BPS) ** falls
    actions = tuple(_scaled(action, world.panel, factors) for action in world.actions)
    fallen = _repriced(world.panel, lambda bars: _priced(bars * factors, bars))
    return replace(world, panel=fallen, actions=actions)


def _wilder(world: World, times: float) -> World:
    """Return a world of the same first prices, whose moves about their means are so many times as large."""
    panel = world.panel
    old = _levels_before(panel, world.actions)
    moves = panel.close / old - 1.0
    known = np.isfinite(moves) & (panel.close > 0)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, moves, 0.0).sum(axis=0) / counts
    # A bar's prices are moved from the level before it; so is the level itself, session by session.
    factors = np.ones(panel.close.shape)
    carried = np.ones(len(panel.symbols))
    for row in range(len(panel.sessions)):
        factors[row] = carried
        moved = np.maximum(1.0 + mean + times * (moves[row] - mean), MOVE_MIN)
        carried = np.where(
            known[row], carried * moved / (1.0 + np.where(known[row], moves[row], 0.0)), carried
        )

    def wilder(bars: Micros) -> Micros:
        ratio = np.maximum(1.0 + mean + times * (bars / old - 1.0 - mean), MOVE_MIN)
        return _priced(np.where(known, old * factors * ratio, bars * factors), bars)

    actions = tuple(_scaled(action, panel, factors) for action in world.actions)
    return replace(world, panel=_repriced(panel, wilder), actions=actions)


def _levels_before(panel: Panel, actions: Iterable[CorporateAction]) -> Floats:
    """Return what each bar moves from: the last close before it, in its shares and less its dividend."""
    levels = np.full(panel.close.shape, np.nan)
    last = np.full(len(panel.symbols), np.nan)
    due: dict[int, list[CorporateAction]] = {}
    for action in actions:
        due.setdefault(bisect_left(panel.sessions, action.effective_on), []).append(action)
    columns = {symbol: column for column, symbol in enumerate(panel.symbols)}
    for row in range(len(panel.sessions)):
        for action in sorted(due.get(row, ()), key=lambda action: ORDER_OF_KINDS[action.kind]):
            column = columns.get(action.symbol)
            if column is not None:
                last[column] = _level_after(last[column], action)
        levels[row] = last
        last = np.where(panel.close[row] > 0, panel.close[row], last)
    return levels


def _level_after(level: float, action: CorporateAction) -> float:
    """Return what a price moves from after an action; NaN after a delisting: what follows is another name."""
    match action.kind:
        case ActionKind.SPLIT:
            return level * action.denominator / action.numerator
        case ActionKind.DIVIDEND:
            return level - action.dividend_micros if level > action.dividend_micros else level
        case ActionKind.DELISTING:
            return math.nan


def _scaled(action: CorporateAction, panel: Panel, factors: Floats) -> CorporateAction:
    """Return what an action pays as the same share of a price that is a factor of what it was.

    That is a dividend, and what a delisting pays for its shares: a name that fell is not bought at the old
    price. A split, and shares that nothing is paid for, are as they were.
    """
    row = bisect_left(panel.sessions, action.effective_on)
    if not action.dividend_micros or action.symbol not in panel.symbols or row == len(factors):
        return action
    factor = float(factors[row, panel.symbols.index(action.symbol)])
    return replace(action, dividend_micros=max(round(action.dividend_micros * factor), 1))


def _starts(panel: Panel, every_sessions: int) -> Micros:
    """Return the row of each symbol's first event: spread over the period, so that they come one by one."""
    count = len(panel.symbols)
    return (np.arange(1, count + 1) * every_sessions) // (count + 1)


def _priced(prices: Floats, bars: Micros) -> Micros:
    """Return prices in whole micro-units, at least one, and 0 where there was no bar."""
    return np.where(bars > 0, np.maximum(np.rint(prices), 1.0), 0.0).astype(np.int64)


def _repriced(panel: Panel, change: Callable[[Micros], Micros]) -> Panel:
    return replace(
        panel,
        open=_frozen(change(panel.open)),
        high=_frozen(change(panel.high)),
        low=_frozen(change(panel.low)),
        close=_frozen(change(panel.close)),
    )


def _frozen(bars: Micros) -> Micros:
    bars.setflags(write=False)
    return bars


def _times(bps: int, times: float) -> int:
    """Return a multiple in whole basis points, rounded up, and at most all of it."""
    return min(int(np.ceil(bps * times)), BPS)


def _require_period(length: int, every_sessions: int) -> None:
    if not 0 < length < every_sessions:
        raise ValueError(f"{length} of every {every_sessions} sessions: must be some, and not all of them")
