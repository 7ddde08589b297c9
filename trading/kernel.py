"""The session step over arrays: years in compiled loops, by the rules that trade live.

Written in the subset of Python that Numba compiles; resources/compiled_rules.py compiles it, and without that
it runs as it stands. A session is what session.py does: actions, what a strategy wishes, every guard before
the open, every guard again at the open, fills, ledger, marks. Guards, fills, trades, splits, reservations and
value at risk are called where they stand. What surrounds them is written here a second time, kept up to date
from session to session where the session step makes it anew:

- the order of events and of orders (`replay`, `look_before_open`, `trade_at_open`), as in
  `session.each_session`, `verdicts.review_intents` and `session.send_decisions`
- what a book is worth and what the orders before one leave of it (`valued`, the two looks), as in
  `verdicts.funds_of`
- actions and marks (`act`, `mark`, `mark_opening`), as in `positions.book_at_open` and `session.marks_of`
- closes and volumes in today's shares (`last_close`, `price_factor`, `average_volume`, `roll_volumes`), as in
  `quotes.adjusted_window` and `prepared.average_volumes`
- what scenarios make of a book (`know_returns`, `know_pnl`, `move_pnl`), as in `risk.prepare`
- the peak of late equities (`late_peak`), as in `session.morning_of`

On real sessions all of it is held to the session step, in every table and to the unit, by
`test_the_kernel_and_the_session_step_agree_on_real_sessions`; on drawn ones, with actions and gaps, the
ledger is held to a book by
`test_value_is_conserved_in_every_session_and_the_ledger_is_that_of_a_book`, and compiled code to plain by
`test_a_compiled_replay_equals_a_plain_one_to_the_unit`. Two things are here alone: value at risk is bounded
from above first (`stake`, `var_bound`), and made exact where the bound is over the limit; and with
`Ways.cuts`, which the session step has not, a buy that only cash stops is cut to what cash pays, held by
`test_a_buy_that_only_cash_stops_is_cut_to_what_cash_pays_and_else_refused`.

Long only, one strategy and one currency; market orders at the open; no advice and no overrides. Symbols and
sessions are numbers: columns and rows of the bars. What the columns mean to readers is replayed.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.approvals import is_above_auto
from trading.guards import (
    GUARDS,
    Caps,
    Case,
    Control,
    Exposure,
    Instrument,
    Market,
    Proposal,
    Recent,
    Risk,
    is_soft,
    tally,
    var_limit,
)
from trading.positions import split_shares, traded
from trading.prepared import average_of
from trading.quotes import adjusted_price, dividend_factor, split_price
from trading.risk import (
    NOT_MEASURABLE,
    PNL_MICROS_MAX,
    SCENARIOS_MAX,
    VarBound,
    is_believable,
    is_enough,
    moved_ppm,
    order_pnl_micros,
    order_var,
    var_bound_micros,
)
from trading.simulation import FillModel, affordable_quantity, filled_at_open
from trading.verdicts import freed_micros, promised_micros

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GUARD_COUNT = len(GUARDS)
ALL_PASSED = (1 << GUARD_COUNT) - 1
"""The verdict of an intent that every guard passes."""

BUYING_POWER = [name for name, _ in GUARDS].index("buying_power")
"""The place of the guard that cash cuts."""

BLOCKED, PENDING, APPROVED = 0, 1, 2
"""Outcomes of an intent, as session.py decides them: a guard stops it, a person is asked, it goes."""

DONE, UNPRICED, OVERSOLD, TOO_LARGE = 0, 1, 2, 3
"""How a replay ends: all done, a holding without any price, more sold than held, more than 64 bits hold."""

WORTH_MICROS_MAX = 2**55
"""What a book or an order may be worth (36 billion), so that no sum and no share of it leaves 64 bits."""

BPS_MAX = 1_000_000
"""The largest limit in basis points, for the same: a hundredfold."""

ROOM = 1 << 12
"""Rows that tables have room for at first."""

LOUD = 1e9
"""Stands for a move that says nothing: of a session without a quote on either side."""

CALM = 9.0
"""A move under ninefold is believable whatever rounding does; above, the exact rule is asked."""

SYMBOL, SIGN, QUANTITY, PRICE, OUTCOME, PASSED, LARGEST = 1, 2, 3, 4, 5, 6, 7
"""Places of an intent's columns."""

CASH, REALISED, DIVIDENDS, COMMISSIONS = 0, 1, 2, 3
"""Places in a book's totals."""

HELD, COST, MARK = 0, 1, 2
"""Rows of a desk by symbol that are the book: shares, what they cost, what each was last valued at."""

BEHIND, VOLUME, OPEN_BUYS, OPEN_SELLS, SEEN_BUYS, SEEN_SELLS, SENT_BUYS, SENT_SELLS = 3, 4, 5, 6, 7, 8, 9, 10
"""Rows that are the day: how stale the close is, average volume, shares open, intents seen and sent."""

KNOWN_ON, ENOUGH = 11, 12
"""Rows that are history: the session whose scenario returns are known, and whether they are enough."""

VOLUME_SUM = 13
"""The row that is the shares traded in the late sessions together."""

DESK_ROWS = 14

EXACT_MAX = 2**53
"""Whole numbers under it are floats to the unit."""

EFFECTIVE, IS_SPLIT, NUMERATOR, DENOMINATOR, DIVIDEND, OF = 0, 1, 2, 3, 4, 5
"""Columns of corporate actions: the session's row, what kind, its numbers, and the symbol."""

DELISTED = 2
"""Stands for a delisting where a split is 1 and a dividend 0: to prices it is a split of one for one."""

COST_BPS = Caps._fields.index("cost_bps")
LOT, TICK, ALLOWLIST, VOLUME_SESSIONS, DRAWDOWN_SESSIONS, VAR_LEVEL, AUTO_APPROVE = range(
    len(Caps._fields), len(Caps._fields) + 7
)
"""Columns of limits: those of `Caps` in its order, then these."""

WEIGHT, ALLOWED, POLICY, TACTIC = 0, 1, 2, 3
"""Places of a symbol's own limits."""


class Bars(NamedTuple):
    """Hold raw bars, int64 of shape (sessions, symbols), micro-units and shares; 0: not quoted."""

    open: Ints
    close: Ints
    volume: Ints


class Actions(NamedTuple):
    """Hold corporate actions, one a row, by symbol, session and kind (dividends first).

    `first[i]` to `first[i + 1]` are the rows of symbol i; `by_session` orders them by session.
    """

    rows: Ints
    first: Ints
    by_session: Ints


class Rulebook(NamedTuple):
    """Hold a book's limits as they change: session s is held to row `era_of[s]` of `eras`.

    `own` has shape (eras, symbols, 4): what is a symbol's own of them.
    """

    era_of: Ints
    eras: Ints
    own: Ints


class Opening(NamedTuple):
    """Hold the book that a replay begins with: shares and cost, totals, and its late equities, ascending."""

    book: Ints
    totals: Ints
    equities_micros: Ints


class Ways(NamedTuple):
    """Say how a replay is run.

    Sessions from `first` up to `end`, not included. `window_sessions` is how far decisions see back,
    `scenarios_min` the history that value at risk needs. `approves`: what waits for a person is approved.
    `cuts`: a buy that cash alone stops is not refused but cut to what cash pays at the open. `keeps`: all
    tables are kept, not only sessions and fills. `wishes_max`: the most that a strategy wishes in a session.
    """

    first: int
    end: int
    window_sessions: int
    scenarios_min: int
    approves: bool
    cuts: bool
    keeps: bool
    wishes_max: int


class World(NamedTuple):
    """Hold all that a replay reads."""

    bars: Bars
    actions: Actions
    rules: Rulebook
    control: Control
    costs: FillModel
    opening: Opening
    ways: Ways


class Seen(NamedTuple):
    """Hold what a strategy may see before a session: bars of earlier sessions, and the book at the open.

    Bars end with the session before; `quantity` is by symbol, worth `equity_micros` with cash at last closes.
    """

    session: int
    open: Ints
    close: Ints
    volume: Ints
    quantity: Ints
    cash_micros: int
    equity_micros: int


Decide = Callable[[Seen, Any, Ints], int]
"""A strategy: reads what it sees and its own memory, writes wishes, returns how many.

A wish is a row of symbol, +1 to buy or −1 to sell, and shares.
"""


class Sessions(NamedTuple):
    """Name the columns of a table with a row a session; see `trading.replayed.COLUMNS`."""

    equity_micros: Ints
    cash_micros: Ints
    gross_micros: Ints
    intents: Ints
    blocked: Ints
    fills: Ints
    traded_micros: Ints
    commission_micros: Ints
    slippage_micros: Ints
    dividend_micros: Ints


class Intents(NamedTuple):
    """Name the columns of intents; `passed` and `largest_quantity` are the verdict before the open."""

    session: Ints
    symbol: Ints
    sign: Ints
    quantity: Ints
    price_micros: Ints
    outcome: Ints
    passed: Ints
    largest_quantity: Ints


class Refusals(NamedTuple):
    """Name the columns of refusals; `intent` is the intent's row, `guard` its place in `GUARDS`."""

    intent: Ints
    at_send: Ints
    guard: Ints
    code: Ints
    observed: Ints
    limit: Ints
    largest_quantity: Ints


class Fills(NamedTuple):
    """Name the columns of fills; `intent` is the intent's row where intents are kept."""

    session: Ints
    symbol: Ints
    sign: Ints
    quantity: Ints
    price_micros: Ints
    open_micros: Ints
    commission_micros: Ints
    intent: Ints


class Positions(NamedTuple):
    """Name the columns of what was held after each session, by symbol within one."""

    session: Ints
    symbol: Ints
    quantity: Ints
    cost_micros: Ints
    price_micros: Ints


class Rows(NamedTuple):
    """Hold the tables of a replay, filled up to their counts, and the book at the end.

    Each is an array of shape (rows, columns), since a few arrays compile fast and many do not. `counts` are
    those of sessions, intents, refusals, fills and positions, and how it ended. `book` has shares, cost and
    mark by symbol.
    """

    sessions: Ints
    intents: Ints
    refusals: Ints
    fills: Ints
    positions: Ints
    counts: Ints
    book: Ints
    totals: Ints


SESSION_COLUMNS, INTENT_COLUMNS, REFUSAL_COLUMNS = 10, 8, 7
FILL_COLUMNS, POSITION_COLUMNS = 8, 5
"""How many columns each table has."""


class Record(NamedTuple):
    """Hold recorded wishes: rows of session, symbol, sign and shares, and in `place[0]` the next one."""

    rows: Ints
    place: Ints


class Desk(NamedTuple):
    """Hold what lives through a replay.

    `by_symbol` has the rows named above, `held` the symbols held, ascending, as many as there are, `totals`
    cash and what came and went. `move_now` and `move_before` are the largest moves by symbol of this block of
    sessions and of the one before; `returns_ppm` those in the scenarios, by symbol, and `pnl_micros` what the
    book makes in each, at the look that `pnl_of[0]` numbers. `refused` is where guards write.
    """

    by_symbol: Ints
    held: Ints
    totals: Ints
    move_now: Floats
    move_before: Floats
    returns_ppm: Ints
    pnl_micros: Ints
    pnl_of: Ints
    refused: Ints


class Tables(NamedTuple):
    """Hold the tables that a session writes into."""

    intents: Ints
    refusals: Ints
    fills: Ints


class Valued(NamedTuple):
    """Hold what a book is worth at some prices, in micro-units.

    `equity_micros` leaves out what has no price of that moment, `worth_micros` counts it at its last close.
    `gross_micros` is what positions are worth, `unpriced` how many have no price. `move_micros` is what
    no scenario moves the book by more than, where `is_measured`: every position has its history.
    """

    equity_micros: int
    worth_micros: int
    gross_micros: int
    unpriced: int
    move_micros: float
    is_measured: bool


class Morning(NamedTuple):
    """Hold what a session's two looks share.

    `first_row` is where the window begins, `scenarios` how many it gives; intents are rows `start` to `end`,
    `held` counts the positions at the open. `opening_micros` counts where `is_valued`, `peak_micros` is the
    highest of the late closes.
    """

    session: int
    era: int
    first_row: int
    scenarios: int
    start: int
    end: int
    held: int
    opening_micros: int
    is_valued: bool
    peak_micros: int


class Looked(NamedTuple):
    """Hold how many intents a look stopped or filled, how far the table of refusals got, and the status."""

    number: int
    refusals: int
    status: int


# -------------------------------------------------------------------------------- the loop


def replay(world: World, memory: Any, decide: Decide) -> Rows:
    """Return the tables of a replay of a strategy: `decide`, with its `memory`, which it alone writes.

    Integers wherever money is, so that a plain and a compiled run agree to the unit.
    """
    ways, close = world.ways, world.bars.close
    symbols = close.shape[1]
    desk = opened_desk(world.opening, symbols)
    lines = np.zeros((max(ways.end - ways.first, 0), SESSION_COLUMNS), np.int64)
    wishes = np.zeros((ways.wishes_max, 3), np.int64)
    tables = Tables(room_for(INTENT_COLUMNS), room_for(REFUSAL_COLUMNS), room_for(FILL_COLUMNS))
    positions = room_for(POSITION_COLUMNS)
    intents, refusals, fills, kept = 0, 0, 0, 0
    for row in range(max(0, ways.first - 2 * SCENARIOS_MAX), ways.first):
        observe(close, world.actions, desk.move_now, desk.move_before, row)
    status, session = mark_opening(close, world.actions, ways, desk), ways.first
    held, rolled = hold(desk.by_symbol, desk.held), 0
    while session < ways.end and status == DONE:
        line = lines[session - ways.first]
        first_row = max(0, session - ways.window_sessions)
        received = desk.totals[DIVIDENDS]
        if len(world.actions.rows) > 0:
            status = act(close, world.actions, session, first_row, desk)
            held = hold(desk.by_symbol, desk.held)
        back = world.rules.eras[world.rules.era_of[session], VOLUME_SESSIONS]
        roll_volumes(world.bars.volume, desk.by_symbol[VOLUME_SUM], session, back, rolled == back)
        rolled = back
        now = valued(world, desk, session, first_row, held, False, False)
        seen = Seen(
            session,
            world.bars.open[:session],
            close[:session],
            world.bars.volume[:session],
            desk.by_symbol[HELD],
            desk.totals[CASH],
            now.equity_micros,
        )
        wished = decide(seen, memory, wishes)
        if not ways.keeps:
            intents, refusals = 0, 0
        if wished > 0 and status == DONE:
            tables = Tables(
                with_room(tables.intents, intents + wished),
                with_room(tables.refusals, refusals + 2 * GUARD_COUNT * wished),
                with_room(tables.fills, fills + wished),
            )
            end = take_wishes(world, desk, session, first_row, wishes[:wished], tables.intents, intents)
            era = world.rules.era_of[session]
            morning = Morning(
                session,
                era,
                first_row,
                max(min(session - first_row, SCENARIOS_MAX + 1) - 1, 0),
                intents,
                end,
                held,
                now.equity_micros,
                now.unpriced == 0,
                late_peak(
                    world.opening.equities_micros,
                    lines,
                    session - ways.first,
                    world.rules.eras[era, DRAWDOWN_SESSIONS],
                ),
            )
            looked = look_before_open(world, desk, morning, tables, refusals)
            line[3], line[4] = end - intents, looked.number
            if looked.status == DONE:
                looked = trade_at_open(world, desk, morning, tables, looked.refusals, fills, line)
                fills += looked.number
            status, refusals = looked.status, looked.refusals
            forget_day(desk.by_symbol, tables.intents[intents:end])
            intents = end
            held = hold(desk.by_symbol, desk.held)
        observe(close, world.actions, desk.move_now, desk.move_before, session)
        if ways.keeps:
            positions = with_room(positions, kept + held)
        gross, is_safe = mark(close[session], desk, held, session, ways.keeps, positions, kept)
        if ways.keeps:
            kept += held
        if not is_safe:
            status = max(status, TOO_LARGE)
        line[0], line[1], line[2] = desk.totals[CASH] + gross, desk.totals[CASH], gross
        line[9] = desk.totals[DIVIDENDS] - received
        session += 1
    if not ways.keeps:
        intents, refusals = 0, 0
    counts = np.zeros(6, np.int64)
    counts[0], counts[1], counts[2] = session - ways.first, intents, refusals
    counts[3], counts[4], counts[5] = fills, kept, status
    return Rows(
        lines,
        tables.intents,
        tables.refusals,
        tables.fills,
        positions,
        counts,
        desk.by_symbol[: MARK + 1],
        desk.totals,
    )


def recorded(seen: Seen, memory: Record, wishes: Ints) -> int:
    """Wish what was recorded for a session: a strategy that only repeats."""
    count = 0
    while memory.place[0] < len(memory.rows) and memory.rows[memory.place[0], 0] <= seen.session:
        row = memory.rows[memory.place[0]]
        if row[0] == seen.session:
            if count == len(wishes):
                raise ValueError("more wishes are recorded of a session than there is room for")
            wishes[count, 0], wishes[count, 1], wishes[count, 2] = row[1], row[2], row[3]
            count += 1
        memory.place[0] += 1
    return count


# -------------------------------------------------------------------------------- before the open


def act(close: Ints, actions: Actions, session: int, first_row: int, desk: Desk) -> int:
    """Apply the corporate actions that take effect at a session's open; return a status."""
    by_session = actions.by_session
    after = len(by_session)
    place = 0
    while place < after:  # the first that is not earlier, by halving
        middle = (place + after) // 2
        if actions.rows[by_session[middle], EFFECTIVE] < session:
            place = middle + 1
        else:
            after = middle
    while place < len(by_session) and actions.rows[by_session[place], EFFECTIVE] == session:
        action = actions.rows[by_session[place]]
        book, symbol, quantity = desk.by_symbol, action[OF], desk.by_symbol[HELD, action[OF]]
        if action[IS_SPLIT]:
            book[MARK, symbol] = split_price(book[MARK, symbol], action[NUMERATOR], action[DENOMINATOR])
        if quantity > 0 and action[IS_SPLIT] == DELISTED:
            paid = action[DIVIDEND] * quantity
            sale = traded(-1, quantity, book[COST, symbol], quantity, paid)
            book[HELD, symbol], book[COST, symbol] = sale.quantity, sale.cost_micros
            desk.totals[CASH] += sale.cash_micros
            desk.totals[REALISED] += sale.realised_micros
        elif quantity > 0 and action[IS_SPLIT]:
            price, _ = last_close(close, actions, session, symbol, first_row)
            if price == 0 and quantity * action[NUMERATOR] % action[DENOMINATOR] != 0:
                return UNPRICED
            change = split_shares(quantity, book[COST, symbol], action[NUMERATOR], action[DENOMINATOR], price)
            book[HELD, symbol], book[COST, symbol] = change.quantity, change.cost_micros
            desk.totals[CASH] += change.cash_micros
            desk.totals[REALISED] += change.realised_micros
        elif quantity > 0:
            desk.totals[CASH] += action[DIVIDEND] * quantity
            desk.totals[DIVIDENDS] += action[DIVIDEND] * quantity
        place += 1
    return DONE


def take_wishes(
    world: World, desk: Desk, session: int, first_row: int, wishes: Ints, intents: Ints, start: int
) -> int:
    """Write wishes as intents, sells before buys, and what is known of their symbols; return their end.

    A symbol without a close in the window gets no intent: it can be neither sized nor guarded.
    """
    bars, actions, day = world.bars, world.actions, desk.by_symbol
    move_now, move_before, first = desk.move_now, desk.move_before, world.actions.first
    back = world.rules.eras[world.rules.era_of[session], VOLUME_SESSIONS]
    is_rolled = back <= SCENARIOS_MAX and first_row <= max(session - back, 0)
    end = start
    for side in range(-1, 2, 2):
        for number in range(len(wishes)):
            symbol, sign, quantity = wishes[number, 0], wishes[number, 1], wishes[number, 2]
            if sign != side or quantity <= 0:
                continue
            is_plain = first[symbol] == first[symbol + 1] and session > 0
            price, row = bars.close[session - 1, symbol] if is_plain else 0, session - 1
            if price <= 0:
                price, row = last_close(bars.close, actions, session, symbol, first_row)
                is_plain = False
            if price <= 0:
                continue
            day[BEHIND, symbol] = session - 1 - row
            total = day[VOLUME_SUM, symbol]
            if is_plain and is_rolled and is_calm(move_now, move_before, symbol) and total < EXACT_MAX:
                day[VOLUME, symbol] = average_of(float(total), min(session, back))
            else:
                day[VOLUME, symbol] = average_volume(bars, actions, session, symbol, first_row, back)
            intents[end, 0], intents[end, SYMBOL], intents[end, SIGN] = session, symbol, sign
            intents[end, QUANTITY], intents[end, PRICE], intents[end, OUTCOME] = quantity, price, BLOCKED
            end += 1
    return end


def look_before_open(world: World, desk: Desk, morning: Morning, tables: Tables, refusals: int) -> Looked:
    """Ask every guard of every intent in turn, as `trading.verdicts.review_intents` does.

    What one that goes would use counts for the next, and what a sale that passes would free.
    """
    session, day, refused = morning.session, desk.by_symbol, desk.refused
    limits, own = world.rules.eras[morning.era], world.rules.own[morning.era]
    cost_bps, auto_approve_micros, var_level_bps = limits[COST_BPS], limits[AUTO_APPROVE], limits[VAR_LEVEL]
    move_now, move_before, scenarios = desk.move_now, desk.move_before, morning.scenarios
    is_long = scenarios >= max(world.ways.scenarios_min, 1)
    book = valued(world, desk, session, morning.first_row, morning.held, False, True)
    cash, reserved, gross, move = desk.totals[CASH], 0, book.gross_micros, book.move_micros
    peak_micros, blocked = max(morning.peak_micros, book.equity_micros), 0
    for intent in range(morning.start, morning.end):
        wanted = tables.intents[intent]
        symbol, sign, quantity, price = wanted[SYMBOL], wanted[SIGN], wanted[QUANTITY], wanted[PRICE]
        if not is_small(quantity, price):
            return Looked(blocked, refusals, TOO_LARGE)
        worth = quantity * price
        exposure = Exposure(
            day[HELD, symbol],
            day[OPEN_BUYS, symbol],
            day[OPEN_SELLS, symbol],
            cash,
            reserved,
            book.equity_micros,
            gross,
            gross,
            gross,
            book.unpriced,
        )
        caps = caps_of(limits, own[symbol])
        is_sufficient, var, largest = False, 0, 0
        if sign > 0 and book.is_measured:
            # Where every move was calm the history is enough, and nobody has to look at each.
            is_sufficient = (is_long and is_calm(move_now, move_before, symbol)) or know_returns(
                world, desk, session, symbol, morning.first_row
            )
        if is_sufficient:
            limit, largest = var_limit(exposure, caps), quantity
            var = var_bound(move + stake(move_now, move_before, symbol, worth), scenarios, var_level_bps)
            if var > limit:
                var, largest = exact_var(
                    world, desk, morning, tables.intents, False, intent, quantity, price, limit
                )
        case = Case(
            Proposal(sign, quantity, price, False, False),
            Market(price, day[BEHIND, symbol], 0, False, True, 0, day[VOLUME, symbol]),
            instrument_of(limits, own[symbol]),
            exposure,
            Recent(day[SEEN_BUYS, symbol] if sign > 0 else day[SEEN_SELLS, symbol], 0, 0),
            Risk(is_sufficient, var, largest, morning.is_valued, 0, peak_micros),
            world.control,
            caps,
        )
        told = tally(case, refused)
        hard, asks, on_cash = 0, False, False
        for place in range(told.refused):
            if is_soft(refused[place, 1]):
                asks = True
            else:
                hard += 1
                on_cash = on_cash or refused[place, 0] == BUYING_POWER
        wanted[PASSED], wanted[LARGEST] = told.passed, told.largest
        refusals = note_refusals(tables.refusals, refusals, refused, told.refused, intent, 0)
        if hard > 0 and not (world.ways.cuts and hard == 1 and on_cash):
            blocked += 1
            continue
        waits = asks or is_above_auto(sign, worth, auto_approve_micros)
        wanted[OUTCOME] = PENDING if waits else APPROVED
        if sign > 0:
            day[SEEN_BUYS, symbol] += 1
            day[OPEN_BUYS, symbol] += quantity
            reserved += promised_micros(worth, cost_bps)
        else:
            day[SEEN_SELLS, symbol] += 1
            day[OPEN_SELLS, symbol] += quantity
            if asks:
                continue
            cash += freed_micros(worth, cost_bps)
        gross += sign * worth
        move += sign * stake(move_now, move_before, symbol, worth)
        if desk.pnl_of[0] == look_number(session, False):
            move_pnl(world, desk, morning, symbol, 0, sign * worth)
    return Looked(blocked, refusals, DONE)


# -------------------------------------------------------------------------------- at the open


def trade_at_open(
    world: World,
    desk: Desk,
    morning: Morning,
    tables: Tables,
    refusals: int,
    fills: int,
    line: Ints,
) -> Looked:
    """Ask every guard again at the open, on the book as it is by then, and fill what passes.

    As `trading.session.send_decisions` does: sends go one after the other, all within one minute. Sums of the
    fills go into the session's `line`.
    """
    session, day, refused, ways = morning.session, desk.by_symbol, desk.refused, world.ways
    limits, own = world.rules.eras[morning.era], world.rules.own[morning.era]
    book = valued(world, desk, session, morning.first_row, morning.held, True, True)
    equity, worth, gross = book.equity_micros, book.worth_micros, book.gross_micros
    move, sent, filled_orders = book.move_micros, 0, 0
    is_pnl_known = morning.is_valued and book.unpriced == 0
    var_level_bps, scenarios = limits[VAR_LEVEL], morning.scenarios
    move_now, move_before = desk.move_now, desk.move_before
    is_long = scenarios >= max(ways.scenarios_min, 1)
    for intent in range(morning.start, morning.end):
        wanted = tables.intents[intent]
        symbol, sign, quantity = wanted[SYMBOL], wanted[SIGN], wanted[QUANTITY]
        if wanted[OUTCOME] == BLOCKED or (wanted[OUTCOME] == PENDING and not ways.approves):
            continue
        if world.bars.close[session, symbol] <= 0:
            continue  # no bar: the market does not know it today
        price = world.bars.open[session, symbol]
        if not is_small(quantity, price):
            return Looked(filled_orders, refusals, TOO_LARGE)
        caps = caps_of(limits, own[symbol])
        goes, is_cut = False, False
        while True:  # once, or once more for a buy that only cash stops, cut to what cash pays
            exposure = Exposure(
                day[HELD, symbol], 0, 0, desk.totals[CASH], 0, equity, gross, gross, gross, book.unpriced
            )
            is_sufficient, var, largest = False, 0, 0
            if sign > 0 and price > 0 and book.is_measured:
                is_sufficient = (is_long and is_calm(move_now, move_before, symbol)) or know_returns(
                    world, desk, session, symbol, morning.first_row
                )
            if is_sufficient:
                limit, largest = var_limit(exposure, caps), quantity
                moved = move + stake(move_now, move_before, symbol, quantity * price)
                var = var_bound(moved, scenarios, var_level_bps)
                if var > limit:
                    var, largest = exact_var(
                        world, desk, morning, tables.intents, True, intent, quantity, price, limit
                    )
            case = Case(
                Proposal(sign, quantity, wanted[PRICE], False, False),
                Market(price, 0, 0, True, True, 0, day[VOLUME, symbol]),
                instrument_of(limits, own[symbol]),
                exposure,
                Recent(0, sent, day[SENT_BUYS, symbol] if sign > 0 else day[SENT_SELLS, symbol]),
                Risk(
                    is_sufficient,
                    var,
                    largest,
                    is_pnl_known,
                    worth - morning.opening_micros if is_pnl_known else 0,
                    max(morning.peak_micros, equity),
                ),
                world.control,
                caps,
            )
            told = tally(case, refused)
            stops, pays = 0, quantity
            for place in range(told.refused):
                guard = refused[place, 0]
                if is_soft(refused[place, 1]) and (wanted[PASSED] >> guard) & 1 == 0:
                    continue  # a person saw it, and approved
                if ways.cuts and guard == BUYING_POWER and not is_cut:
                    pays = refused[place, 4]
                else:
                    stops += 1
            goes = stops == 0 and pays > 0
            if not goes or pays == quantity:
                break
            quantity, is_cut = pays, True
        if not goes:
            refusals = note_refusals(tables.refusals, refusals, refused, told.refused, intent, 1)
            continue
        sent += 1
        day[SENT_BUYS if sign > 0 else SENT_SELLS, symbol] += 1
        volume = world.bars.volume[session, symbol]
        filled, paid, commission = filled_at_open(sign, quantity, price, volume, world.costs)
        if ways.cuts and sign > 0 and filled > 0:
            most = affordable_quantity(desk.totals[CASH], paid, world.costs.commission_bps)
            if most < filled:
                filled, paid, commission = filled_at_open(sign, most, price, volume, world.costs)
        if filled == 0:
            continue
        before = day[HELD, symbol]
        if sign < 0 and filled > before:
            return Looked(filled_orders, refusals, OVERSOLD)
        change = traded(sign, before, day[COST, symbol], filled, paid * filled)
        day[HELD, symbol], day[COST, symbol] = change.quantity, change.cost_micros
        desk.totals[CASH] += change.cash_micros - commission
        desk.totals[REALISED] += change.realised_micros
        desk.totals[COMMISSIONS] += commission
        value = sign * filled * price
        equity += change.cash_micros - commission + value
        worth += change.cash_micros - commission + value
        gross += value
        move += sign * stake(move_now, move_before, symbol, filled * price)
        if desk.pnl_of[0] == look_number(session, True):
            move_pnl(world, desk, morning, symbol, before * price, change.quantity * price)
        fill = tables.fills[fills + filled_orders]
        fill[0], fill[1], fill[2], fill[3] = session, symbol, sign, filled
        fill[4], fill[5], fill[6], fill[7] = paid, price, commission, intent
        filled_orders += 1
        line[6] += paid * filled
        line[7] += commission
        line[8] += sign * (paid - price) * filled
    line[5] = filled_orders
    return Looked(filled_orders, refusals, DONE)


# -------------------------------------------------------------------------------- after the close


def mark(
    closes: Ints, desk: Desk, held: int, session: int, keeps: bool, positions: Ints, kept: int
) -> tuple[int, bool]:
    """Mark what is held at its close, or at the last mark that there was, and keep the rows if asked for.

    Return what all positions are worth, and whether 64 bits hold that safely.
    """
    book, gross, large = desk.by_symbol, 0, 0.0
    for number in range(held):
        symbol = desk.held[number]
        if closes[symbol] > 0:
            book[MARK, symbol] = closes[symbol]
        price, quantity = book[MARK, symbol], book[HELD, symbol]
        gross += price * quantity
        large += float(price) * float(quantity)
        if keeps:
            row = positions[kept + number]
            row[0], row[1], row[2], row[3], row[4] = session, symbol, quantity, book[COST, symbol], price
    return gross, large < WORTH_MICROS_MAX


def observe(close: Ints, actions: Actions, move_now: Floats, move_before: Floats, row: int) -> None:
    """Take a session's moves into the largest ones; those of two blocks reach over every history."""
    if row % SCENARIOS_MAX == 0:
        for symbol in range(len(move_now)):
            move_before[symbol], move_now[symbol] = move_now[symbol], 0.0
    if row == 0:  # nothing is before it, and so no move that a history could hold
        move_before[:] = 0.0
        return
    now, before = close[row], close[row - 1]
    for symbol in range(len(now)):
        moved = abs(np.true_divide(now[symbol], max(before[symbol], 1)) - 1.0)
        if now[symbol] <= 0 or before[symbol] <= 0:
            moved = LOUD
        move_now[symbol] = max(move_now[symbol], moved)
    if len(actions.rows) == 0:
        return
    for symbol in range(len(now)):
        for number in range(actions.first[symbol], actions.first[symbol + 1]):
            if actions.rows[number, EFFECTIVE] == row and now[symbol] > 0 and before[symbol] > 0:
                price = adjusted_price(before[symbol], price_factor(close, actions, row, symbol, row - 1))
                move_now[symbol] = max(
                    move_now[symbol], abs(np.true_divide(adjusted_price(now[symbol], 1.0), price) - 1.0)
                )


def roll_volumes(volume: Ints, total: Ints, session: int, back: int, is_rolled: bool) -> None:
    """Bring the shares traded in the last `back` sessions up to those before a session.

    Where they stand at the session before (`is_rolled`) one comes and one goes, else all are added.
    """
    if not is_rolled:
        total[:] = 0
    for row in range(session - 1 if is_rolled else session - back, session):
        if row >= 0:
            total += volume[row]
    if is_rolled and session - 1 - back >= 0:
        total -= volume[session - 1 - back]


# -------------------------------------------------------------------------------- prices and history


def valued(
    world: World, desk: Desk, session: int, first_row: int, held: int, is_open: bool, measures: bool
) -> Valued:
    """Return what the book is worth at last closes, or at the opens of a session where `is_open`.

    Only where it `measures` are moves told, and whether every position has its history.
    """
    bars, actions, book = world.bars, world.actions, desk.by_symbol
    equity, worth, gross, unpriced = desk.totals[CASH], desk.totals[CASH], 0, 0
    move, is_measured = 0.0, measures
    for number in range(held):
        symbol = desk.held[number]
        quantity = book[HELD, symbol]
        price = bars.close[session - 1, symbol] if session > 0 else 0
        if price <= 0 or actions.first[symbol] < actions.first[symbol + 1]:
            price, _ = last_close(bars.close, actions, session, symbol, first_row)
        now = price
        if is_open:
            is_quoted = bars.close[session, symbol] > 0
            now = bars.open[session, symbol] if is_quoted else 0
            price = now if is_quoted else price
        equity += now * quantity
        worth += price * quantity
        gross += price * quantity
        if price <= 0:
            unpriced += 1
        if measures:
            move += stake(desk.move_now, desk.move_before, symbol, price * quantity)
            if max(desk.move_now[symbol], desk.move_before[symbol]) >= CALM or price <= 0:
                is_measured = (
                    is_measured and price > 0 and know_returns(world, desk, session, symbol, first_row)
                )
    scenarios = min(session - first_row, SCENARIOS_MAX + 1) - 1
    is_measured = is_measured and scenarios >= world.ways.scenarios_min
    return Valued(equity, worth, gross, unpriced, move, is_measured)


def last_close(close: Ints, actions: Actions, session: int, symbol: int, first_row: int) -> tuple[int, int]:
    """Return a symbol's last close since a row in the shares of a session, and its row; 0, −1: none."""
    row = session - 1
    while row >= first_row and close[row, symbol] <= 0:
        row -= 1
    if row < first_row:
        return 0, -1
    price = close[row, symbol]
    for number in range(actions.first[symbol], actions.first[symbol + 1]):
        action = actions.rows[number]
        if action[IS_SPLIT] and row < action[EFFECTIVE] <= session:
            price = split_price(price, action[NUMERATOR], action[DENOMINATOR])
    return price, row


def price_factor(close: Ints, actions: Actions, session: int, symbol: int, row: int) -> float:
    """Return what a row's prices are scaled by for the actions after it, up to a session's open."""
    factor = 1.0
    for number in range(actions.first[symbol], actions.first[symbol + 1]):
        action = actions.rows[number]
        if action[EFFECTIVE] <= row or action[EFFECTIVE] > session:
            continue
        if action[IS_SPLIT]:
            factor /= action[NUMERATOR] / action[DENOMINATOR]
        else:
            last = action[EFFECTIVE] - 1
            while close[last, symbol] <= 0:
                last -= 1
            factor *= dividend_factor(action[DIVIDEND], close[last, symbol])
    return factor


def average_volume(
    bars: Bars, actions: Actions, session: int, symbol: int, first_row: int, sessions: int
) -> int:
    """Return the mean volume of the last sessions in today's shares, 0 where none was quoted."""
    total, count = 0.0, 0
    for row in range(max(first_row, session - sessions), session):
        if bars.close[row, symbol] <= 0:
            continue
        factor = 1.0
        for number in range(actions.first[symbol], actions.first[symbol + 1]):
            action = actions.rows[number]
            if action[IS_SPLIT] and row < action[EFFECTIVE] <= session:
                factor *= action[NUMERATOR] / action[DENOMINATOR]
        total += bars.volume[row, symbol] * factor
        count += 1
    return average_of(total, count) if count > 0 else 0


def is_calm(move_now: Floats, move_before: Floats, symbol: int) -> bool:
    """Say whether a symbol was quoted in every session of its history, and never moved past belief."""
    return bool(max(move_now[symbol], move_before[symbol]) < CALM)


def know_returns(world: World, desk: Desk, session: int, symbol: int, first_row: int) -> bool:
    """Write a symbol's returns in a session's scenarios, and say whether they are enough.

    One a session after the first, from its close and the last one before it, as `trading.risk.prepare` makes.
    """
    day, close = desk.by_symbol, world.bars.close
    if day[KNOWN_ON, symbol] == session:
        return bool(day[ENOUGH, symbol] == 1)
    start = max(first_row, session - SCENARIOS_MAX - 1)
    before, unquoted, is_known = 0.0, 0, True
    for row in range(start, session):
        price = before
        if close[row, symbol] > 0:
            factor = price_factor(close, world.actions, session, symbol, row)
            price = adjusted_price(close[row, symbol], factor)
        if row > start:
            moved = moved_ppm(price, before) if before > 0 else LOUD
            is_good = is_believable(moved)
            desk.returns_ppm[symbol, row - start - 1] = int(moved) if is_good else 0
            is_known = is_known and is_good
            if close[row, symbol] <= 0:
                unquoted += 1
        before = price
    scenarios = max(session - start - 1, 0)
    is_sufficient = is_known and is_enough(unquoted, scenarios, world.ways.scenarios_min)
    day[KNOWN_ON, symbol], day[ENOUGH, symbol] = session, 1 if is_sufficient else 0
    return bool(is_sufficient)


# -------------------------------------------------------------------------------- value at risk


def stake(move_now: Floats, move_before: Floats, symbol: int, value_micros: int) -> float:
    """Return what no scenario makes of a value of a symbol, rounding to whole ppm and units counted."""
    moved: float = max(move_now[symbol], move_before[symbol])
    return float(value_micros) * (moved + 1e-6) + 1.0


def var_bound(move_micros: float, scenarios: int, level_bps: int) -> int:
    """Return what value at risk is at most; where that is within the limit, so is it.

    The exact number is told only of what may be over: a verdict that passes says no more than that it does.
    """
    bound = var_bound_micros(move_micros, scenarios, level_bps)
    return NOT_MEASURABLE if move_micros >= PNL_MICROS_MAX or bound >= NOT_MEASURABLE else int(bound)


def exact_var(
    world: World,
    desk: Desk,
    morning: Morning,
    intents: Ints,
    is_open: bool,
    intent: int,
    quantity: int,
    price: int,
    limit: int,
) -> tuple[int, int]:
    """Return the book's value at risk with an order, and how many of its shares are within the limit."""
    symbol = intents[intent, SYMBOL]
    know_pnl(world, desk, morning, intents, is_open, intent)
    know_returns(world, desk, morning.session, symbol, morning.first_row)
    told = order_var(
        desk.pnl_micros[: morning.scenarios],
        desk.returns_ppm[symbol, : morning.scenarios],
        quantity,
        price,
        VarBound(world.rules.eras[morning.era, VAR_LEVEL], limit),
    )
    return told.var_micros, told.largest


def look_number(session: int, is_open: bool) -> int:
    """Return the number of a session's look, of the two there are; from 1."""
    return 2 * session + (2 if is_open else 1)


def know_pnl(world: World, desk: Desk, morning: Morning, intents: Ints, is_open: bool, intent: int) -> None:
    """Write what the book makes in each scenario, with what counts as done of the intents before this one."""
    session, bars, book = morning.session, world.bars, desk.by_symbol
    if desk.pnl_of[0] == look_number(session, is_open):
        return
    desk.pnl_of[0] = look_number(session, is_open)
    desk.pnl_micros[:] = 0
    for symbol in range(book.shape[1]):
        if book[HELD, symbol] > 0:
            price, _ = last_close(bars.close, world.actions, session, symbol, morning.first_row)
            if is_open and bars.close[session, symbol] > 0:
                price = bars.open[session, symbol]
            move_pnl(world, desk, morning, symbol, 0, book[HELD, symbol] * price)
    if is_open:
        return
    for earlier in range(morning.start, intent):
        done = intents[earlier]
        if done[OUTCOME] != BLOCKED and (done[SIGN] > 0 or done[PASSED] == ALL_PASSED):
            value = done[SIGN] * done[QUANTITY] * done[PRICE]
            move_pnl(world, desk, morning, done[SYMBOL], 0, value)


def move_pnl(world: World, desk: Desk, morning: Morning, symbol: int, before: int, after: int) -> None:
    """Put what a value of a symbol makes in each scenario in place of what another did (negative: sold)."""
    know_returns(world, desk, morning.session, symbol, morning.first_row)
    returns = desk.returns_ppm[symbol, : morning.scenarios]
    pnl = desk.pnl_micros[: morning.scenarios]
    pnl += order_pnl_micros(after, returns) - order_pnl_micros(before, returns)


# -------------------------------------------------------------------------------- room and limits


def opened_desk(opening: Opening, symbols: int) -> Desk:
    """Return the desk before the first session: the opening book, and nothing known of history."""
    by_symbol = np.zeros((DESK_ROWS, symbols), np.int64)
    for line in (HELD, COST):
        for symbol in range(symbols):
            by_symbol[line, symbol] = opening.book[line, symbol]
    by_symbol[KNOWN_ON] = -1
    desk = Desk(
        by_symbol,
        np.zeros(symbols + 1, np.int64),
        opening.totals.copy(),
        np.zeros(symbols, np.float64),
        np.zeros(symbols, np.float64),
        np.empty((symbols, SCENARIOS_MAX), np.int64),
        np.zeros(SCENARIOS_MAX, np.int64),
        np.zeros(1, np.int64),
        np.zeros((GUARD_COUNT, 5), np.int64),
    )
    desk.move_now[:] = LOUD
    desk.move_before[:] = LOUD
    return desk


def mark_opening(close: Ints, actions: Actions, ways: Ways, desk: Desk) -> int:
    """Mark what the opening book holds at its last closes; return a status."""
    first_row = max(0, ways.first - ways.window_sessions)
    for symbol in range(close.shape[1]):
        if desk.by_symbol[HELD, symbol] > 0:
            # In the shares of the session before: the actions of the first one come with it.
            row = ways.first - 1
            while row >= first_row and close[row, symbol] <= 0:
                row -= 1
            if row < first_row:
                return UNPRICED
            price = close[row, symbol]
            for number in range(actions.first[symbol], actions.first[symbol + 1]):
                action = actions.rows[number]
                if action[IS_SPLIT] and row < action[EFFECTIVE] < ways.first:
                    price = split_price(price, action[NUMERATOR], action[DENOMINATOR])
            desk.by_symbol[MARK, symbol] = price
    return DONE


def hold(book: Ints, held: Ints) -> int:
    """List the symbols held, ascending, and return how many there are; `held` has room for one more."""
    count = 0
    for symbol in range(book.shape[1]):
        held[count] = symbol
        count += 1 if book[HELD, symbol] > 0 else 0
    return count


def forget_day(day: Ints, intents: Ints) -> None:
    """Forget what was open, seen and sent in a session."""
    for number in range(len(intents)):
        for row in range(OPEN_BUYS, SENT_SELLS + 1):
            day[row, intents[number, SYMBOL]] = 0


def late_peak(earlier: Ints, lines: Ints, made: int, sessions: int) -> int:
    """Return the highest equity of the last closes before a session, 0 where there was none."""
    peak = 0
    for back in range(1, sessions + 1):
        if back <= made:
            peak = max(peak, lines[made - back, 0])
        elif back - made <= len(earlier):
            peak = max(peak, earlier[len(earlier) - (back - made)])
    return peak


def is_small(quantity: int, price: int) -> bool:
    """Say whether an order's worth is so far under 64 bits that no guard's sum leaves them."""
    return float(quantity) * float(price) < WORTH_MICROS_MAX


def instrument_of(limits: Ints, own: Ints) -> Instrument:
    """Return what guards take of a symbol; it is of the universe, since it has a close in the window."""
    return Instrument(
        limits[LOT], limits[TICK], True, own[ALLOWED] == 1, limits[ALLOWLIST], own[POLICY], own[TACTIC]
    )


def caps_of(limits: Ints, own: Ints) -> Caps:
    """Return the limits in force as scalars, the symbol's own weight picked out."""
    return Caps(
        limits[0],
        limits[1],
        limits[2],
        limits[3],
        limits[4],
        limits[5],
        limits[6],
        limits[7],
        limits[8],
        limits[9],
        limits[10],
        limits[11],
        own[WEIGHT],
        limits[13],
        limits[14],
        limits[15],
        limits[16],
        limits[17],
        limits[18],
        limits[19],
        limits[20],
    )


def note_refusals(refusals: Ints, count: int, refused: Ints, number: int, intent: int, at_send: int) -> int:
    """Write what guards refused of an intent, and return how many rows there are then."""
    for place in range(number):
        row = refusals[count + place]
        row[0], row[1] = intent, at_send
        for column in range(5):
            row[2 + column] = refused[place, column]
    return count + number


def room_for(columns: int) -> Ints:
    """Return room for the first rows of a table."""
    return np.empty((ROOM, columns), np.int64)


def with_room(table: Ints, needed: int) -> Ints:
    """Return a table with room for so many rows, and as many again where it had not."""
    if len(table) >= needed:
        return table
    grown = np.empty((2 * needed, table.shape[1]), np.int64)
    # Nowhere here is an array assigned to a slice: an eighth of all compiling went into that error's words.
    for row in range(len(table)):
        for column in range(table.shape[1]):
            grown[row, column] = table[row, column]
    return grown
