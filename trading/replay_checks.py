"""What a replay's tables are held to, after they were read back: each check names the rows that break it.

They are told by rules of their own, or by the live rule run the other way round, never by what the replay
says of itself. The replay is replay.py; what is told of one is replay_summary.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from trading.actions import ActionKind, CorporateAction, at_sessions, effective_in
from trading.books import BookConfig
from trading.guards import GUARDS
from trading.positions import Book, Mark, Trade, book_at_open, opened_book, with_trades
from trading.quotes import Panel, split_price
from trading.replay import DataSet, ReplayRequest
from trading.replayed import Replayed
from trading.session import marks_at_open
from trading.sessions import Calendar, index_of
from trading.simulation import FillModel, fill_at_open
from trading.values import Side, Symbol
from trading.verdicts import SOFT_REASONS


class Broken(NamedTuple):
    """Hold one row that breaks a check: of which session and symbol, what is there and what should be."""

    session: date
    symbol: str
    what: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayCheck:
    """Hold what one check found. `looked_at` counts the rows it is about; `no_data` says why it has none.

    Without data it has not passed.
    """

    name: str
    looked_at: int
    broken: tuple[Broken, ...]
    no_data: str = ""

    @property
    def passed(self) -> bool:
        """Say whether every row is as it should be, and there was one to look at."""
        return not self.broken and not self.no_data


def replay_checks(
    replayed: Replayed,
    *,
    request: ReplayRequest,
    config: BookConfig,
    data: DataSet,
    calendar: Calendar,
) -> tuple[ReplayCheck, ...]:
    """Return every check of a replay of `config`, evaluated on all its sessions."""
    actions = at_sessions(data.actions, calendar)
    sessions = calendar.between(request.first_session, request.last_session)
    opening = opened_book(currency=config.currency, deposit_micros=config.deposit_micros)
    why_light = "a light replay keeps sessions and fills only" if request.light else ""

    def checked(name: str, table: str, broken: Callable[[], Iterable[Broken]]) -> ReplayCheck:
        no_data = why_light if table not in {"sessions", "fills"} else ""
        looked_at = len(replayed[table]["session"])
        return ReplayCheck(
            name=name, looked_at=looked_at, broken=() if no_data else tuple(broken()), no_data=no_data
        )

    return (
        checked("every_session_is_there_once", "sessions", lambda: missing_sessions(replayed, sessions)),
        checked(
            "value_is_conserved_in_every_session",
            "positions",
            lambda: unconserved(replayed, opening=opening, actions=actions),
        ),
        checked(
            "fills_are_within_volume_at_their_cost",
            "fills",
            lambda: impossible_fills(replayed, panel=data.panel, costs=config.costs),
        ),
        checked("nothing_went_unjudged", "intents", lambda: unjudged(replayed)),
        checked(
            "intents_are_sized_on_earlier_closes",
            "intents",
            lambda: sized_on_others(
                replayed, panel=data.panel, actions=actions, window_sessions=config.rules.window_sessions
            ),
        ),
    )


CHECKS = {
    "every_session_is_there_once": "Each session of the range stands in the replay once, in order.",
    "value_is_conserved_in_every_session": (
        "The book folded again from fills and corporate actions has the cash, shares, costs and worth that "
        "the tables say, in every session."
    ),
    "fills_are_within_volume_at_their_cost": (
        "No fill takes more than its share of the session's volume, or has another price or commission than "
        "the cost model gives on the session's open."
    ),
    "nothing_went_unjudged": (
        "Every intent has the word of every guard, and nothing was filled that one refused."
    ),
    "intents_are_sized_on_earlier_closes": (
        "Each intent's reference is the last close before its session, splits applied: never a later price."
    ),
}
"""The checks of a replay, with what each holds."""


def missing_sessions(replayed: Replayed, sessions: Sequence[date]) -> Iterator[Broken]:
    """Give the sessions that are not there, not asked for, or not there once."""
    counts, wanted = Counter(replayed["sessions"]["session"].tolist()), set(sessions)
    for session in sorted({*counts, *wanted}):
        expected = int(session in wanted)
        if counts[session] != expected:
            yield Broken(session, "", "rows", str(counts[session]), str(expected))
    if not np.all(np.diff(replayed["sessions"]["session"].astype(np.int64)) > 0):
        yield Broken(sessions[0], "", "order", "not ascending", "ascending")


def unconserved(replayed: Replayed, *, opening: Book, actions: Sequence[CorporateAction]) -> Iterator[Broken]:
    """Give what differs from the book folded again from nothing but fills and corporate actions."""
    book, marks = opening, dict[Symbol, Mark]()
    rows = _by_session(replayed)
    for row, session in enumerate(replayed["sessions"]["session"].tolist()):
        last = marks_at_open(marks, session=session, actions=actions)
        prices = {symbol: mark.price_micros for symbol, mark in last.items()}
        dividends_micros = book.dividends_micros
        book = book_at_open(book, effective_in(actions, session), last_close_micros=prices)
        book = with_trades(book, _trades(replayed, rows["fills"].get(session, range(0))))
        held = rows["positions"].get(session, range(0))
        told = [
            (str(symbol), int(quantity), int(cost))
            for symbol, quantity, cost in _cells(
                replayed, "positions", held, "symbol", "quantity", "cost_micros"
            )
        ]
        if told != [tuple(position) for position in book.positions]:
            yield Broken(session, "", "positions", str(told), str([tuple(one) for one in book.positions]))
        worth = sum(
            int(quantity) * int(price)
            for quantity, price in _cells(replayed, "positions", held, "quantity", "price_micros")
        )
        for what, expected in (
            ("cash_micros", book.cash_micros),
            ("net_micros", worth),
            ("equity_micros", book.cash_micros + worth),
            ("dividend_micros", book.dividends_micros - dividends_micros),
        ):
            found = int(replayed["sessions"][what][row])
            if found != expected:
                yield Broken(session, "", what, str(found), str(expected))
        quoted = _cells(replayed, "marks", rows["marks"].get(session, range(0)), "symbol", "price_micros")
        marks = {**last, **{Symbol(str(symbol)): Mark(int(price), session) for symbol, price in quoted}}


def impossible_fills(replayed: Replayed, *, panel: Panel, costs: FillModel) -> Iterator[Broken]:
    """Give the fills that the session's open and volume could not have given at the cost model's price."""
    fills = replayed["fills"]
    for at in range(len(fills["session"])):
        session, symbol = fills["session"][at].item(), str(fills["symbol"][at])
        row, column = index_of(panel.sessions, session), panel.symbols.index(Symbol(symbol))
        told = tuple(int(fills[name][at]) for name in ("quantity", "price_micros", "commission_micros"))
        side = Side.BUY if fills["sign"][at] > 0 else Side.SELL
        possible = fill_at_open(
            side, told[0], int(panel.open[row, column]), int(panel.volume[row, column]), costs
        )
        if told != possible:
            yield Broken(session, symbol, "shares, price, commission", str(told), str(possible))


def unjudged(replayed: Replayed) -> Iterator[Broken]:
    """Give intents without the word of every guard, and fills of intents that a guard refused for good."""
    intents, verdicts, refusals = replayed["intents"], replayed["verdicts"], replayed["refusals"]
    spoken = dict(zip(verdicts["intent_key"].tolist(), verdicts["passed"].tolist(), strict=True))
    refused = Counter(refusals["intent_key"][refusals["at_send"] == 0].tolist())
    final = {
        key
        for key, reason, at_send in zip(
            refusals["intent_key"].tolist(),
            refusals["reason"].tolist(),
            refusals["at_send"].tolist(),
            strict=True,
        )
        if at_send or reason not in SOFT_REASONS
    }
    wanted = intents["intent_key"].tolist()
    known = set(wanted)
    for session, key, symbol in _cells(
        replayed, "intents", range(len(wanted)), "session", "intent_key", "symbol"
    ):
        said = spoken[key].bit_count() + refused[key] if key in spoken else 0
        if said != len(GUARDS):
            yield Broken(session, symbol, f"words of guards on {key}", str(said), str(len(GUARDS)))
    count = len(replayed["fills"]["session"])
    for session, key, symbol in _cells(replayed, "fills", range(count), "session", "intent_key", "symbol"):
        if key not in known:
            yield Broken(session, symbol, f"fill of {key}", "no such intent", "an intent")
        elif key in final:
            yield Broken(session, symbol, f"fill of {key}", "refused by a guard", "no fill")


def sized_on_others(
    replayed: Replayed, *, panel: Panel, actions: Iterable[CorporateAction], window_sessions: int
) -> Iterator[Broken]:
    """Give the intents whose reference is not the last close before their session, in its shares."""
    splits = [action for action in actions if action.kind is ActionKind.SPLIT]
    count = len(replayed["intents"]["session"])
    for session, symbol, found in _cells(
        replayed, "intents", range(count), "session", "symbol", "price_micros"
    ):
        row = bisect_left(panel.sessions, session)
        column = panel.symbols.index(Symbol(symbol))
        quoted = np.flatnonzero(panel.close[max(0, row - window_sessions) : row, column])
        if not quoted.size:
            yield Broken(session, symbol, "price_micros", str(found), "no close before the session")
            continue
        last = max(0, row - window_sessions) + int(quoted[-1])
        expected = int(panel.close[last, column])
        for split in sorted(splits):
            if split.symbol == symbol and panel.sessions[last] < split.effective_on <= session:
                expected = split_price(expected, split.numerator, split.denominator)
        if int(found) != expected:
            yield Broken(session, symbol, "price_micros", str(found), str(expected))


def _by_session(replayed: Replayed) -> dict[str, dict[date, range]]:
    """Return the rows of each session of the tables, which are in the order of sessions."""
    found: dict[str, dict[date, range]] = {}
    for name in ("fills", "positions", "marks"):
        days = replayed[name]["session"]
        first = (
            np.flatnonzero(np.r_[True, days[1:] != days[:-1]]) if len(days) else np.array([], dtype=np.int64)
        )
        ends = [*first[1:].tolist(), len(days)]
        found[name] = {
            days[begin].item(): range(begin, end) for begin, end in zip(first.tolist(), ends, strict=False)
        }
    return found


def _trades(replayed: Replayed, rows: range) -> Iterator[Trade]:
    for symbol, sign, quantity, price, commission in _cells(
        replayed, "fills", rows, "symbol", "sign", "quantity", "price_micros", "commission_micros"
    ):
        yield Symbol(symbol), Side.BUY if sign > 0 else Side.SELL, quantity, price, commission


def _cells(replayed: Replayed, table: str, rows: range, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Give some columns of rows in a row, as Python values."""
    part = slice(rows.start, rows.stop)
    return zip(*(replayed[table][column][part].tolist() for column in columns), strict=True)
