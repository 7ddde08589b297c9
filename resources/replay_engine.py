"""Runs the replay kernel: gathers what it reads into arrays, compiles it, and says what came of it.

The kernel is trading/kernel.py, the tables are trading/replayed.py. Compiled kernels are kept in a
folder named by the digest of all rules and of the strategy's file, so that an edited guard changes a replay.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resources.compiled_rules import CompiledRules, compiled_rules
from trading.actions import ORDER_OF_KINDS, ActionKind, CorporateAction
from trading.decisions import Outcome
from trading.errors import BadInput
from trading.guards import GUARDS, REASONS, Control
from trading.intents import intent_key_of
from trading.kernel import (
    BPS_MAX,
    CASH,
    DELISTED,
    DONE,
    EFFECTIVE,
    OF,
    OVERSOLD,
    TACTIC,
    TOO_LARGE,
    UNPRICED,
    Actions,
    Bars,
    Decide,
    Fills,
    Intents,
    Opening,
    Positions,
    Refusals,
    Rows,
    Rulebook,
    Sessions,
    Ways,
    World,
    replay,
)
from trading.limits import Limits
from trading.quotes import Panel
from trading.replayed import COLUMNS, Replayed
from trading.sessions import index_of
from trading.simulation import FillModel
from trading.values import Slot, Symbol

Ints = NDArray[np.int64]

_CODES = {ActionKind.DIVIDEND: 0, ActionKind.SPLIT: 1, ActionKind.DELISTING: DELISTED}
"""What the kernel calls a kind of corporate action."""

STATUSES = {
    UNPRICED: "a holding or a split's fraction has no price",
    OVERSOLD: "more was sold than held",
    TOO_LARGE: "the book or an order is worth more than 36 billion",
}

OUTCOMES = [outcome.value for outcome in (Outcome.BLOCKED, Outcome.PENDING_APPROVAL, Outcome.APPROVED)]

SWITCHED_ON = Control(
    kill_switch_on=False,
    paused=False,
    cooldown_active=False,
    is_reconciled=True,
    execution_enabled=True,
    preflight=0,
    is_degraded=False,
)
"""The run control of a day on which nobody holds anything back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Hold a strategy of the kernel: how it decides, and what makes its memory for so many symbols."""

    name: str
    decide: Decide
    memory: Callable[[World], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Hold what a replay leaves behind as columns of int64; of a light one only sessions and fills.

    `counts` are the rows of sessions, intents, refusals, fills and positions, and how it ended. `book` has
    shares, cost and mark by symbol at the end, `totals` cash, realised gains, dividends and commissions.
    """

    sessions: Sessions
    intents: Intents
    refusals: Refusals
    fills: Fills
    positions: Positions
    counts: Ints
    book: Ints
    totals: Ints


@dataclass(slots=True)
class ReplayEngine:
    """Run the kernel compiled, machine code under `folder`, or plainly where `is_compiled` is false."""

    folder: Path
    is_compiled: bool = True
    _loops: dict[Decide, Any] = field(default_factory=dict)
    _rules: dict[Path, CompiledRules] = field(default_factory=dict)

    def run(self, world: World, strategy: Strategy) -> Run:
        """Return what a replay leaves behind; raises `BadInput` where it stops, naming the session."""
        memory = strategy.memory(world)
        rows: Rows = (
            self._loop(strategy.decide)(world, memory)
            if self.is_compiled
            else replay(world, memory, strategy.decide)
        )
        if rows.counts[-1] != DONE:
            session = world.ways.first + int(rows.counts[0]) - 1
            raise BadInput(f"replay stopped in session {session}: {STATUSES[int(rows.counts[-1])]}")
        return Run(
            sessions=Sessions(*rows.sessions[: rows.counts[0]].T),
            intents=Intents(*rows.intents[: rows.counts[1]].T),
            refusals=Refusals(*rows.refusals[: rows.counts[2]].T),
            fills=Fills(*rows.fills[: rows.counts[3]].T),
            positions=Positions(*rows.positions[: rows.counts[4]].T),
            counts=rows.counts,
            book=rows.book,
            totals=rows.totals,
        )

    def _loop(self, decide: Decide) -> Any:
        if decide not in self._loops:
            source = Path(inspect.getfile(decide))
            if source not in self._rules:
                self._rules[source] = compiled_rules(self.folder, source)
            self._loops[decide] = self._rules[source].bound(replay, decide=decide)
        return self._loops[decide]


def world_of(
    bars: Bars,
    *,
    limits: Limits,
    costs: FillModel,
    opening: Opening,
    ways: Ways,
    strategy: str,
    symbols: Sequence[Symbol] = (),
    sessions: Sequence[date] = (),
    actions: Sequence[CorporateAction] = (),
    control: Control = SWITCHED_ON,
) -> World:
    """Return what a replay reads. Symbols and sessions name the columns and rows of the bars.

    Without them limits must be the same for all of both. Raises `BadInput` for a limit or cost of more than a
    hundredfold in basis points, whose share of a large book 64 bits do not hold.
    """
    for name in (*Limits.__dataclass_fields__, *costs._fields):
        bps = getattr(costs, name, None) or getattr(limits, name, 0)
        if "_bps" in name and isinstance(bps, int) and bps > BPS_MAX:
            raise BadInput(f"{name} {bps}: a replay takes at most {BPS_MAX}")
    return World(
        bars=bars,
        actions=_actions(actions, symbols, sessions, bars.close.shape[1]),
        rules=_rulebook(limits, strategy, symbols, sessions, bars.close.shape),
        control=control,
        costs=costs,
        opening=opening,
        ways=ways,
    )


def replayed_of(
    run: Run,
    world: World,
    *,
    book: str,
    strategy: str,
    currency: str,
    symbols: Sequence[Symbol],
    sessions: Sequence[date],
) -> Replayed:
    """Return what a replay left behind as the tables that all read; a light one has sessions and fills.

    Symbols and sessions name the columns and rows of the world's bars.
    """
    names, days = np.array(symbols, dtype="U16"), np.array(sessions, dtype="datetime64[D]")
    refused = run.refusals.intent
    of: dict[str, list[NDArray[Any]]] = {
        "sessions": [
            days[world.ways.first : world.ways.first + run.counts[0]],
            run.sessions.equity_micros,
            run.sessions.cash_micros,
            run.sessions.gross_micros,
            run.sessions.gross_micros,  # long only: what positions are worth is net and gross
            *run.sessions[3:],
        ],
        "intents": [
            days[run.intents.session],
            _keys(run.intents, book, strategy, symbols, sessions),
            names[run.intents.symbol],
            np.full(len(run.intents.symbol), strategy, dtype="U64"),
            run.intents.sign,
            run.intents.quantity,
            run.intents.price_micros,
            np.array(OUTCOMES, dtype="U64")[run.intents.outcome],
        ],
        "fills": [
            days[run.fills.session],
            _keys(run.fills, book, strategy, symbols, sessions),
            names[run.fills.symbol],
            *run.fills[2:-1],
        ],
        "positions": [days[run.positions.session], names[run.positions.symbol], *run.positions[2:]],
    }
    keys = of["intents"][1]
    of["verdicts"] = [of["intents"][0], keys, run.intents.passed, run.intents.largest_quantity]
    of["refusals"] = [
        of["intents"][0][refused],
        keys[refused],
        of["intents"][2][refused],
        np.array([name for name, _ in GUARDS], dtype="U64")[run.refusals.guard],
        np.array([REASONS[code] for code in run.refusals.code.tolist()], dtype="U64"),
        run.refusals.observed,
        run.refusals.limit,
        run.refusals.largest_quantity,
        run.refusals.at_send,
    ]
    rows, columns, marks = _marks(run, world)
    of["marks"] = [days[rows], names[columns], marks]
    return Replayed(
        book=book,
        currency=currency,
        opening_micros=int(world.opening.totals[CASH]),
        tables={
            name: {
                column: np.ascontiguousarray(values, dtype=dtype)
                for (column, dtype), values in zip(dtypes.items(), of[name], strict=True)
            }
            for name, dtypes in COLUMNS.items()
        },
    )


def bars_of(panel: Panel) -> Bars:
    """Return a panel's bars as the kernel reads them."""
    return Bars(*(as_read_only(column) for column in (panel.open, panel.close, panel.volume)))


def as_read_only(column: Any) -> Ints:
    """Return an int64 array of rows in memory order, that nobody writes: one type, so one compilation."""
    held: Ints = np.ascontiguousarray(np.asarray(column), dtype=np.int64).view()
    held.setflags(write=False)
    return held


def opening_of(symbols: int, *, deposit_micros: int) -> Opening:
    """Return a book that holds its deposit and nothing else."""
    return Opening(
        book=as_read_only(np.zeros((2, symbols))),
        totals=as_read_only([deposit_micros, 0, 0, 0]),
        equities_micros=as_read_only([]),
    )


def _keys(
    table: Intents | Fills, book: str, strategy: str, symbols: Sequence[Symbol], sessions: Sequence[date]
) -> NDArray[Any]:
    """Return the key of each row's intent."""
    return np.array(
        [
            intent_key_of(
                book=book,
                strategy=strategy,
                session=sessions[session],
                symbol=symbols[symbol],
                slot=Slot.REBALANCE,
            )
            for session, symbol in zip(table.session.tolist(), table.symbol.tolist(), strict=True)
        ],
        dtype="U64",
    )


def _marks(run: Run, world: World) -> tuple[Ints, Ints, Ints]:
    """Return session, symbol and mark of all that was quoted, and of what was held without a quote."""
    if not world.ways.keeps:
        return (np.zeros(0, dtype=np.int64),) * 3
    last = world.ways.first + int(run.counts[0])
    rows, columns = np.nonzero(world.bars.close[world.ways.first : last] > 0)
    rows += world.ways.first
    held = run.positions
    unquoted = world.bars.close[held.session, held.symbol] <= 0
    marks = np.concatenate((world.bars.close[rows, columns], held.price_micros[unquoted]))
    rows = np.concatenate((rows, held.session[unquoted]))
    columns = np.concatenate((columns, held.symbol[unquoted]))
    order = np.lexsort((columns, rows))
    return rows[order], columns[order], marks[order]


def _actions(
    actions: Sequence[CorporateAction], symbols: Sequence[Symbol], sessions: Sequence[date], columns: int
) -> Actions:
    column = {symbol: place for place, symbol in enumerate(symbols)}
    known = [
        action
        for action in sorted(actions, key=_in_order)
        if action.symbol in column and sessions[0] < action.effective_on <= sessions[-1]
    ]
    rows = [
        (
            index_of(sessions, action.effective_on),
            _CODES[action.kind],
            action.numerator,
            action.denominator,
            action.dividend_micros,
            column[action.symbol],
        )
        for action in known
    ]
    # A dividend comes before a split of the same open: it is paid on the shares that were held.
    rows.sort(key=lambda row: (row[OF], row[:OF]))
    table = np.array(rows, dtype=np.int64).reshape(len(rows), OF + 1)
    by_session = sorted(range(len(rows)), key=lambda place: (rows[place][EFFECTIVE], place))
    return Actions(
        rows=as_read_only(table),
        first=as_read_only(np.searchsorted(table[:, OF], np.arange(columns + 1))),
        by_session=as_read_only(by_session),
    )


def _rulebook(
    limits: Limits,
    strategy: str,
    symbols: Sequence[Symbol],
    sessions: Sequence[date],
    shape: tuple[int, ...],
) -> Rulebook:
    """Return the limits by era: each run of sessions in which the same ones are in force."""
    eras: list[Limits] = [] if sessions else [limits]
    era_of = np.zeros(shape[0], dtype=np.int64)
    for row, session in enumerate(sessions):
        now = limits.on(session)
        if not eras or now != eras[-1]:
            eras.append(now)
        era_of[row] = len(eras) - 1
    names = list(symbols) or [Symbol("")] * shape[1]
    own = np.zeros((len(eras), len(names), TACTIC + 1), dtype=np.int64)
    for place, era in enumerate(eras):
        first = sessions[int(np.argmax(era_of == place))] if sessions else date.min
        for column, name in enumerate(names):
            told = era.instrument(name, session=first, in_universe=True, tactic=0)
            weight_bps = era.caps(name, strategy).symbol_weight_bps_max
            own[place, column] = (weight_bps, told.is_allowed, told.restricted_policy, told.tactic)
    return Rulebook(
        era_of=as_read_only(era_of),
        eras=as_read_only(
            [
                (
                    *era.caps(Symbol(""), strategy),
                    era.lot,
                    era.tick_micros,
                    len(era.allowlist),
                    era.volume_sessions,
                    era.drawdown_sessions,
                    era.var_level_bps,
                    era.auto_approve_notional_micros,
                )
                for era in eras
            ]
        ),
        own=as_read_only(own),
    )


def _in_order(action: CorporateAction) -> tuple[date, Symbol, int]:
    """Return what actions are ordered by: what a share pays is paid before the share changes or goes."""
    return action.effective_on, action.symbol, ORDER_OF_KINDS[action.kind]
