"""The two workloads of the replay benchmark, as strategies of the replay kernel.

Decided at the close of a session, filled at the next open; whole shares; sales before buys; a buy is cut to
what cash pays. W1 is cross-sectional momentum, W2 a moving-average cross in each symbol. Both are written in
the subset of Python that compiles, and read nothing but bars of earlier sessions and the book.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resources.replay_engine import ReplayEngine, Run, Strategy, as_read_only, opening_of, world_of
from trading.guards import share_of
from trading.kernel import CASH, Bars, Seen, Ways, World
from trading.limits import Limits
from trading.simulation import FillModel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LOOKBACK, SKIPPED, EVERY = 126, 5, 5
FIRST = LOOKBACK + SKIPPED
"""The first session that momentum is told at; there is one every fifth from there."""

INVESTED_BPS = 9_500
FAST, SLOW = 10, 30


class Ranking(NamedTuple):
    """Hold what momentum works on: a score and the shares to hold by symbol, and the best, best first."""

    score: Floats
    target: Ints
    best: Ints


def ranking(world: World) -> Ranking:
    """Return room for a ranking."""
    symbols = world.bars.close.shape[1]
    return Ranking(np.zeros(symbols), np.zeros(symbols, np.int64), np.zeros(max(1, symbols // 10), np.int64))


def momentum(seen: Seen, memory: Ranking, wishes: Ints) -> int:
    """Hold the tenth of the symbols that rose most over half a year, the last week left out, equally.

    Every fifth session; of equal scores the lower column comes first.
    """
    close = seen.close
    last, symbols = seen.session - 1, close.shape[1]
    if last < FIRST or (last - FIRST) % EVERY != 0:
        return 0
    best = memory.best
    for symbol in range(symbols):
        memory.score[symbol] = np.true_divide(close[last - SKIPPED, symbol], close[last - FIRST, symbol]) - 1
        memory.target[symbol] = 0
    rank(memory.score, best)
    each_micros = share_of(seen.equity_micros, INVESTED_BPS) // len(best)
    for place in range(len(best)):
        memory.target[best[place]] = each_micros // close[last, best[place]]
    count = 0
    for symbol in range(symbols):
        if seen.quantity[symbol] > memory.target[symbol]:
            count = wish(wishes, count, symbol, -1, seen.quantity[symbol] - memory.target[symbol])
    for place in range(len(best)):
        symbol = best[place]
        if seen.quantity[symbol] < memory.target[symbol]:
            count = wish(wishes, count, symbol, 1, memory.target[symbol] - seen.quantity[symbol])
    return count


def rank(score: Floats, best: Ints) -> None:
    """Write the symbols of the highest scores, highest first, of equal ones the lower column first.

    A heap of the best so far, the worst of them on top, and then taken down from there.
    """
    count = len(best)
    for symbol in range(len(score)):
        if symbol < count:
            place = symbol
            while place > 0 and is_better(score, best[(place - 1) // 2], symbol):
                best[place] = best[(place - 1) // 2]
                place = (place - 1) // 2
            best[place] = symbol
        elif is_better(score, symbol, best[0]):
            sift(score, best, count, symbol)
    for left in range(count - 1, 0, -1):
        worst, last = best[0], best[left]
        sift(score, best, left, last)
        best[left] = worst


def sift(score: Floats, heap: Ints, count: int, symbol: int) -> None:
    """Put a symbol in place of a heap's top, and let it down to where it belongs."""
    place = 0
    while True:
        below = 2 * place + 1
        if below + 1 < count and is_better(score, heap[below], heap[below + 1]):
            below += 1
        if below >= count or is_better(score, heap[below], symbol):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = symbol


def is_better(score: Floats, one: int, other: int) -> bool:
    """Say whether a symbol ranks before another."""
    return score[one] > score[other] or (score[one] == score[other] and one < other)


class Averages(NamedTuple):
    """Hold the sums of the last closes by symbol, and whether the fast average stood above the slow one."""

    fast: Ints
    slow: Ints
    is_above: NDArray[np.bool_]
    each_micros: Ints


def averages(world: World) -> Averages:
    """Return room for averages; each symbol has its part of the deposit."""
    symbols = world.bars.close.shape[1]
    return Averages(
        np.zeros(symbols, np.int64),
        np.zeros(symbols, np.int64),
        np.zeros(symbols, np.bool_),
        np.array([world.opening.totals[CASH] // symbols]),
    )


def crossing(seen: Seen, memory: Averages, wishes: Ints) -> int:
    """Buy a symbol whose average of 10 closes crosses over that of 30 while flat, sell all as it falls under.

    Equal averages count as not above. Called once a session from the first on, since sums are carried along.
    """
    close, last = seen.close, seen.session - 1
    if last < 0:
        return 0
    symbols, count = close.shape[1], 0
    for symbol in range(symbols):
        memory.fast[symbol] += close[last, symbol]
        memory.slow[symbol] += close[last, symbol]
        if last >= FAST:
            memory.fast[symbol] -= close[last - FAST, symbol]
        if last >= SLOW:
            memory.slow[symbol] -= close[last - SLOW, symbol]
    if last < SLOW - 1:
        return 0
    for symbol in range(symbols):
        is_above = memory.fast[symbol] * SLOW > memory.slow[symbol] * FAST
        was_above = memory.is_above[symbol]
        memory.is_above[symbol] = is_above
        if last < SLOW or is_above == was_above:
            continue
        if is_above and seen.quantity[symbol] == 0:
            count = wish(wishes, count, symbol, 1, memory.each_micros[0] // close[last, symbol])
        elif not is_above and seen.quantity[symbol] > 0:
            count = wish(wishes, count, symbol, -1, seen.quantity[symbol])
    return count


def wish(wishes: Ints, count: int, symbol: int, sign: int, quantity: int) -> int:
    """Write one wish, and return how many there are."""
    wishes[count, 0], wishes[count, 1], wishes[count, 2] = symbol, sign, quantity
    return count + 1


STRATEGIES = {
    "w1": Strategy(name="momentum", decide=momentum, memory=ranking),
    "w2": Strategy(name="crossing", decide=crossing, memory=averages),
}

WIDE = Limits(
    order_quantity_max=10**12,
    order_notional_micros_max=10**17,
    price_collar_bps=10**6,
    usual_order_notional_micros=10**15,
    fat_finger_soft_multiple=100,
    fat_finger_hard_multiple=1_000,
    volume_share_bps_max=10**6,
    volume_sessions=20,
    orders_per_minute_max=10**9,
    repeated_executions_max=10**9,
    position_weight_bps_max=10**6,
    symbol_weight_bps_max=10**6,
    gross_notional_micros_max=10**18,
    net_notional_micros_max=10**18,
    leverage_bps_max=10**6,
    var_bps_max=10_000,
    var_level_bps=9_500,
    daily_loss_bps_max=10_000,
    drawdown_bps_max=10_000,
    drawdown_sessions=60,
    degrade_notional_bps=10_000,
    auto_approve_notional_micros=10**17,
    cost_bps=0,
    quote_age_s_max=300,
    clock_skew_s_max=2,
    stale_ratio_bps_max=10_000,
    lot=1,
    tick_micros=10_000,
    strategy_budgets_bps=(("workload", 10**6),),
)
"""Limits so wide that they stop nothing of the workloads, though every guard is asked."""

COSTS = FillModel(slippage_bps=5, commission_bps=1, participation_bps=10**6)
DEPOSIT_MICROS = 100_000_000 * 10**6


def replay_workload(
    workload: str,
    open_micros: Ints,
    close_micros: Ints,
    volume: Ints,
    *,
    engine: ReplayEngine,
    deposit_micros: int = DEPOSIT_MICROS,
    costs: FillModel = COSTS,
    limits: Limits = WIDE,
    light: bool = True,
) -> Run:
    """Return the tables of a workload over bars of shape (sessions, symbols) through all guards.

    A light run keeps sessions and fills alone.
    History of one session is enough for value at risk here: W2 trades from its 31st on.
    """
    world = workload_world(
        open_micros,
        close_micros,
        volume,
        deposit_micros=deposit_micros,
        costs=costs,
        limits=limits,
        light=light,
    )
    return engine.run(world, STRATEGIES[workload])


def workload_world(
    open_micros: Ints,
    close_micros: Ints,
    volume: Ints,
    *,
    deposit_micros: int = DEPOSIT_MICROS,
    costs: FillModel = COSTS,
    limits: Limits = WIDE,
    light: bool = True,
) -> World:
    """Return what a workload is replayed in; see `replay_workload`."""
    sessions, symbols = close_micros.shape
    ways = Ways(
        first=0,
        end=sessions,
        window_sessions=sessions,
        scenarios_min=1,
        approves=False,
        cuts=True,
        keeps=not light,
        wishes_max=2 * symbols,
    )
    return world_of(
        Bars(as_read_only(open_micros), as_read_only(close_micros), as_read_only(volume)),
        limits=limits,
        costs=costs,
        opening=opening_of(symbols, deposit_micros=deposit_micros),
        ways=ways,
        strategy="workload",
    )
