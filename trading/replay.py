"""A replay: the session step over a range, in chunks of a year that can be kept, and gone on with.

A *request* says what is replayed; with the hashes of the data, the rules and the code it names what comes
out, so that equal inputs are one and the same replay. What it leaves behind is replayed.py, what is checked
of that replay_checks.py; where it is kept is resources/replay_files.py, where its panel comes from
resources/panels.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import Any

import numpy as np

from trading.actions import CorporateAction
from trading.books import BookConfig
from trading.decisions import Outcome
from trading.errors import BadInput
from trading.guards import BPS, GUARDS, NO_LIMIT, REASONS
from trading.limits import Limits
from trading.positions import Book, Mark, book_from_payload, opened_book
from trading.quotes import Panel
from trading.replayed import COLUMNS, Columns, Replayed, table_of
from trading.session import SessionResult, each_session
from trading.sessions import Calendar
from trading.simulation import FillModel, buy_cost_bps
from trading.strategies.plugin import Parameter, Strategy, load_strategy
from trading.values import IntentId, IntentKey, Side, Symbol, digest, notional_micros
from trading.verdicts import by_intent

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
"""A name is a folder beside files of the lake's own, so that it has no dot: none can be called like them."""
NAME_RULE = "1 to 64 small letters, digits or _ -, beginning with a letter or digit"

LANE = "replay"
"""The lane of what a replay decides; no live broker is ever built for it."""

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """Hold what is asked of a replay: the book, from which session to which, and what differs from live.

    `strategies` name those that vote, each with its parameters where they differ (`momentum:lookback=60`);
    empty: the configured ones. `approve`: whoever is asked approves. `light`: only sessions and fills are
    kept. The name is no part of what it is.
    """

    name: str
    book: str
    first_session: date
    last_session: date
    deposit_micros: int
    costs: FillModel
    strategies: tuple[str, ...] = ()
    approve: bool = True
    light: bool = False

    def __post_init__(self) -> None:
        """Refuse a request that could not be kept, or has no session."""
        if not NAME.fullmatch(self.name):
            raise BadInput(f"replay name {self.name!r}: must be {NAME_RULE}")
        if self.first_session > self.last_session:
            raise BadInput(f"replay {self.first_session}..{self.last_session}: ends before it begins")
        if self.deposit_micros <= 0:
            raise BadInput(f"replay {self.name}: a book opens with a positive deposit")

    def payload(self) -> dict[str, Any]:
        """Return what makes two requests the same, as plain JSON values."""
        return {
            "book": self.book,
            "first_session": self.first_session.isoformat(),
            "last_session": self.last_session.isoformat(),
            "deposit_micros": self.deposit_micros,
            "costs": self.costs._asdict(),
            "strategies": list(self.strategies),
            "approve": self.approve,
            "light": self.light,
        }

    def sha(self) -> str:
        """Return the digest of the request."""
        return digest(self.payload())

    def replay_sha(self, *, data_sha: str, rules_sha: str, code_sha: str) -> str:
        """Return the digest of all that a replay comes from: what was asked, data, rules and code."""
        inputs = {"data": data_sha, "rules": rules_sha, "code": code_sha}
        return digest({"request": self.payload(), **inputs})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Hold what somebody asks of a replay; `None` and empty mean as the book has it."""

    first_session: date | None = None
    last_session: date | None = None
    strategies: tuple[str, ...] = ()
    deposit_micros: int | None = None
    slippage_bps: int | None = None
    commission_bps: int | None = None
    participation_bps: int | None = None
    approve: bool = True
    light: bool = False


def request_of(asked: Asked, config: BookConfig, *, name: str) -> ReplayRequest:
    """Return the request of what is asked of a book; without a name it gets one that tells it.

    Raises `BadInput` for a cost that is none.
    """
    costs = FillModel(
        slippage_bps=_bps("slippage", asked.slippage_bps, config.costs.slippage_bps),
        commission_bps=_bps("commission", asked.commission_bps, config.costs.commission_bps),
        participation_bps=_bps("participation", asked.participation_bps, config.costs.participation_bps),
    )
    first, last = asked.first_session or config.first_session, asked.last_session or config.last_session
    request = ReplayRequest(
        name=name or f"{first}_{last}",
        book=config.name,
        first_session=first,
        last_session=last,
        deposit_micros=config.deposit_micros if asked.deposit_micros is None else asked.deposit_micros,
        costs=costs,
        strategies=asked.strategies,
        approve=asked.approve,
        light=asked.light,
    )
    is_plain = request.payload() == request_of_all(config, first, last).payload()
    return request if name or is_plain else replace(request, name=f"{request.name}_{request.sha()[:8]}")


def request_of_all(config: BookConfig, first: date, last: date) -> ReplayRequest:
    """Return the request of a range of a book just as the book is."""
    return ReplayRequest(
        name=f"{first}_{last}",
        book=config.name,
        first_session=first,
        last_session=last,
        deposit_micros=config.deposit_micros,
        costs=config.costs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Hold what a replay reads: a panel that ends with its last session, and the actions up to it.

    `sha` digests both; `source` says where they come from, and `manifest_sha` which pinned data set they are
    part of (empty: of none).
    """

    panel: Panel
    actions: tuple[CorporateAction, ...]
    sha: str
    source: str
    manifest_sha: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayState:
    """Hold what the next session starts from: the book, marks of what it holds, what it was worth of late."""

    book: Book
    held: Mapping[Symbol, Mark] = field(default_factory=dict)
    equities: tuple[int, ...] = ()

    def payload(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "book": self.book.payload(),
            "held": {
                symbol: [mark.price_micros, mark.marked_on.isoformat()] for symbol, mark in self.held.items()
            },
            "equities": list(self.equities),
        }


def state_from_payload(payload: Mapping[str, Any]) -> ReplayState:
    """Return the state of a stored payload."""
    return ReplayState(
        book=book_from_payload(payload["book"]),
        held={
            Symbol(symbol): Mark(price, date.fromisoformat(marked_on))
            for symbol, (price, marked_on) in payload["held"].items()
        },
        equities=tuple(payload["equities"]),
    )


def replay_chunk(
    config: BookConfig,
    *,
    data: DataSet,
    calendar: Calendar,
    sessions: Sequence[date],
    state: ReplayState,
    approve: bool,
    light: bool,
) -> tuple[Replayed, ReplayState]:
    """Return what sessions in a row leave behind, and what the session after them starts from.

    Where fills cost more than the book's limit allows for, its buying power allows for what they cost.
    """
    config = allowing_for_costs(config)
    results = list(
        each_session(
            config,
            panel=data.panel,
            actions=data.actions,
            calendar=calendar,
            sessions=sessions,
            lane=LANE,
            opening=state.book,
            equities=state.equities,
            held=state.held,
            approve=approve,
        )
    )
    part = replayed_of(
        results,
        book=config.name,
        opening=state.book,
        opening_micros=state.equities[-1] if state.equities else config.deposit_micros,
        light=light,
    )
    equities = (*state.equities, *(result.equity_micros for result in results))
    remembered = equities[-sessions_remembered(config.rules.limits) :]
    return part, ReplayState(book=results[-1].closing, held=results[-1].held, equities=remembered)


def allowing_for_costs(config: BookConfig) -> BookConfig:
    """Return a book whose buying power allows for what its fills cost, as each that trades must (`cost_bps`).

    A request may ask for dearer fills than the reviewed limit allows for, and a scenario makes them: by that
    limit a buy could cost more than there is. A book within its limit is returned as it is.
    """
    cost_bps, limits = buy_cost_bps(config.costs), config.rules.limits
    changes = tuple(
        replace(
            change,
            values=tuple(
                (name, max(value, cost_bps) if name == "cost_bps" else value) for name, value in change.values
            ),
        )
        for change in limits.changes
    )
    allowing = replace(limits, cost_bps=max(limits.cost_bps, cost_bps), changes=changes)
    return config if allowing == limits else replace(config, rules=replace(config.rules, limits=allowing))


def replayed_of(
    results: Iterable[SessionResult], *, book: str, opening: Book, opening_micros: int, light: bool = False
) -> Replayed:
    """Return session results as the tables of a replay that began with a book worth `opening_micros`."""
    rows = _Rows(dividends_micros=opening.dividends_micros, light=light)
    for result in results:
        rows.add(result)
    return Replayed(
        book=book,
        currency=opening.currency,
        opening_micros=opening_micros,
        tables={name: table_of(name, rows.of[name]) for name in COLUMNS},
    )


def joined(parts: Sequence[Replayed]) -> Replayed:
    """Return parts in the order of their sessions as one replay; raises `ValueError` where there is none."""
    if not parts:
        raise ValueError("a replay of no part: there is nothing to join")
    tables: dict[str, Columns] = {
        name: {column: np.concatenate([part[name][column] for part in parts]) for column in columns}
        for name, columns in COLUMNS.items()
    }
    return replace(parts[0], tables=tables)


def chunks_of(sessions: Iterable[date]) -> dict[str, tuple[date, ...]]:
    """Return sessions by calendar year: what is kept at once, whatever range it is part of."""
    return {str(year): tuple(days) for year, days in groupby(sessions, key=lambda day: day.year)}


def opening_state(config: BookConfig) -> ReplayState:
    """Return what a replay's first session starts from: the deposit and nothing else."""
    return ReplayState(book=opened_book(currency=config.currency, deposit_micros=config.deposit_micros))


def sessions_of(request: ReplayRequest, config: BookConfig, calendar: Calendar) -> tuple[date, ...]:
    """Return the sessions of a request; raises `BadInput` where the book's data does not cover them."""
    if request.first_session < config.first_session or request.last_session > config.last_session:
        raise BadInput(
            f"{config.name} {request.first_session}..{request.last_session}: the data covers "
            f"{config.first_session}..{config.last_session}"
        )
    sessions = calendar.between(request.first_session, request.last_session)
    if not sessions:
        raise BadInput(
            f"{config.name} {request.first_session}..{request.last_session}: no session of {calendar.name}"
        )
    return sessions


def config_of(request: ReplayRequest, config: BookConfig) -> BookConfig:
    """Return a book as a request wants it: its strategies, deposit and costs in place of the configured ones.

    A council of fewer strategies than a motion needs votes is let carry it with all of them: else one alone
    could never buy.
    """
    rules = config.rules
    if request.strategies:
        chosen = tuple(chosen_strategy(text, rules.strategies) for text in request.strategies)
        names = [strategy.name for strategy in chosen]
        if len(set(names)) < len(names):
            raise BadInput(f"strategies {', '.join(names)}: one is named twice")
        council = replace(
            rules.council,
            quorum=min(rules.council.quorum, len(chosen)),
            exit_quorum=min(rules.council.exit_quorum, len(chosen)),
        )
        in_order = tuple(sorted(chosen, key=lambda strategy: strategy.name))
        rules = replace(rules, strategies=in_order, council=council)
    return replace(config, rules=rules, deposit_micros=request.deposit_micros, costs=request.costs)


def chosen_strategy(text: str, configured: Sequence[Strategy]) -> Strategy:
    """Return the strategy that a text names, `momentum` or `momentum:lookback=60,skip=5`.

    Weight and parameters that it does not name are the configured ones; a strategy that is not configured has
    weight 1. Raises `BadInput` for a text that is none, `BadSetting` where its file or parameters are wrong.
    """
    name, _, told = text.partition(":")
    if not name.isidentifier():
        raise BadInput(
            f"strategy {text!r}: write NAME or NAME:key=value,key=value, of a file in trading/strategies/"
        )
    known = next((strategy for strategy in configured if strategy.name == name), None)
    usual: dict[str, Parameter] = dict(known.parameters) if known else {}
    return load_strategy(
        name,
        weight=known.weight if known else 1.0,
        parameters={**usual, **parameters_told(told, of=text)},
        asked=text if told or known is None else "",
        usual=usual,
    )


def parameters_told(told: str, *, of: str) -> dict[str, Parameter]:
    """Return the parameters that a text tells, `lookback=60,skip=5`; of one told twice the last holds.

    `of` is what a person wrote, and an error names. Raises `BadInput` for a part that is no key=value, for a
    number that is not finite, and for a text with the sign that joins strategies.
    """
    parameters = {}
    for pair in filter(None, told.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"strategy {of!r}: {pair!r} is no key=value")
        parameters[key.strip()] = _parameter(value.strip(), of=of)
    return parameters


def request_in_full(request: ReplayRequest, config: BookConfig) -> ReplayRequest:
    """Return a request that names its strategies with all of their parameters."""
    return replace(request, strategies=texts_of(config_of(request, config).rules.strategies))


def texts_of(strategies: Iterable[Strategy]) -> tuple[str, ...]:
    """Return the texts that name strategies with all parameters, as `chosen_strategy` reads them."""
    return tuple(
        f"{strategy.name}:{','.join(f'{key}={_written(value)}' for key, value in strategy.parameters)}"
        for strategy in strategies
    )


def _written(value: Parameter) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # 1e+22 would be read as two strategies where several stand together.
    return str(value).replace("e+", "e") if isinstance(value, float) else str(value)


def sessions_remembered(limits: Limits) -> int:
    """Return how many closes back a decision looks for the peak of equity, now or after any change."""
    changed = [dict(change.values).get("drawdown_sessions", 0) for change in limits.changes]
    return max(limits.drawdown_sessions, *changed) if changed else limits.drawdown_sessions


def _bps(name: str, asked: int | None, configured: int) -> int:
    if asked is None:
        return configured
    if not 0 <= asked <= BPS:
        raise BadInput(f"{name} {asked}: must lie from 0 to {BPS} basis points")
    return asked


def _parameter(text: str, *, of: str) -> Parameter:
    if text in {"true", "false"}:
        return text == "true"
    for number in (int, float):
        try:
            found = number(text)
        except ValueError:
            continue
        if not math.isfinite(found):
            raise BadInput(f"strategy {of!r}: {text} is no finite number")
        return found
    if "+" in text:
        raise BadInput(f"strategy {of!r}: {text!r} holds a +, which joins strategies")
    return text


class _Rows:
    """Gather the rows of each table, session by session."""

    def __init__(self, *, dividends_micros: int, light: bool) -> None:
        self.of: dict[str, list[Row]] = {name: [] for name in COLUMNS}
        self._dividends_micros = dividends_micros
        self._light = light

    def add(self, result: SessionResult) -> None:
        keys = {decision.intent_id: decision.intent.intent_key for decision in result.decided.decisions}
        fills = list(_fill_rows(result, keys))
        self.of["fills"] += fills
        self.of["sessions"].append(self._session_row(result, fills))
        if self._light:
            return
        self.of["intents"] += _intent_rows(result)
        self.of["verdicts"] += _verdict_rows(result)
        self.of["refusals"] += _refusal_rows(result)
        self.of["positions"] += _position_rows(result)
        self.of["marks"] += _mark_rows(result)

    def _session_row(self, result: SessionResult, fills: Sequence[Row]) -> Row:
        closing = result.closing
        values = [
            notional_micros(
                price_micros=result.marks[position.symbol].price_micros, quantity=position.quantity
            )
            for position in closing.positions
        ]
        dividends = closing.dividends_micros - self._dividends_micros
        self._dividends_micros = closing.dividends_micros
        decisions = result.decided.decisions
        return (
            result.session,
            result.equity_micros,
            closing.cash_micros,
            sum(abs(value) for value in values),
            sum(values),
            len(decisions),
            sum(decision.outcome is Outcome.BLOCKED for decision in decisions),
            len(fills),
            sum(fill.notional_micros for fill in result.fills),
            sum(fill.commission_micros for fill in result.fills),
            sum(
                _sign(fill.side) * (fill.price_micros - result.opens[fill.symbol]) * fill.quantity
                for fill in result.fills
            ),
            dividends,
        )


def _fill_rows(result: SessionResult, keys: Mapping[IntentId, IntentKey]) -> Iterator[Row]:
    for fill in result.fills:
        yield (
            result.session,
            keys[fill.intent_id],
            fill.symbol,
            _sign(fill.side),
            fill.quantity,
            fill.price_micros,
            result.opens[fill.symbol],
            fill.commission_micros,
        )


def _intent_rows(result: SessionResult) -> Iterator[Row]:
    for decision in result.decided.decisions:
        intent = decision.intent
        yield (
            result.session,
            intent.intent_key,
            intent.symbol,
            intent.strategy,
            _sign(intent.side),
            intent.quantity,
            intent.price_micros,
            decision.outcome.value,
        )


def _verdict_rows(result: SessionResult) -> Iterator[Row]:
    places = {name: place for place, (name, _) in enumerate(GUARDS)}
    for key, own in by_intent(result.decided.verdicts).items():
        passed = sum(1 << places[verdict.guard] for verdict in own if verdict.passed)
        yield (
            result.session,
            key,
            passed,
            min((verdict.largest_quantity for verdict in own), default=NO_LIMIT),
        )


def _refusal_rows(result: SessionResult) -> Iterator[Row]:
    for verdict in result.decided.verdicts:
        if not verdict.passed:
            yield (
                result.session,
                verdict.intent_key,
                verdict.symbol,
                verdict.guard,
                verdict.reason,
                verdict.observed,
                verdict.limit,
                verdict.largest_quantity,
                0,
            )
    for intent, guard, why in result.refused:
        yield (
            result.session,
            intent.intent_key,
            intent.symbol,
            guard,
            REASONS[why.code],
            why.observed,
            why.limit,
            why.largest,
            1,
        )


def _position_rows(result: SessionResult) -> Iterator[Row]:
    for position in result.closing.positions:
        yield (
            result.session,
            position.symbol,
            position.quantity,
            position.cost_micros,
            result.marks[position.symbol].price_micros,
        )


def _mark_rows(result: SessionResult) -> Iterator[Row]:
    held = result.held
    for symbol, mark in sorted(result.marks.items()):
        if mark.marked_on == result.session or symbol in held:
            yield result.session, symbol, mark.price_micros


def _sign(side: Side) -> int:
    return 1 if side is Side.BUY else -1
