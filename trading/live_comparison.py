"""A replay beside what was decided live in the same sessions: which intents both have, and where they part.

A replay begins with a deposit and may be of other strategies, while live goes on with what the book holds; so
they may part for good reasons, and this says where. Whether live itself is what the rules make of its own
inputs is recorded.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from trading.decisions import DecisionRow, Outcome
from trading.intents import Intent
from trading.parity import WHOLE_ROW, Difference, Row, differing_rows
from trading.replayed import Replayed
from trading.values import Side

INTENTS = "intents"


class DecidedLive(NamedTuple):
    """Hold what was decided live in one session; `equity_micros` is `None` where it is not settled yet."""

    session: date
    intents: tuple[Intent, ...]
    decisions: tuple[DecisionRow, ...]
    equity_micros: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Hold how the intents of a replay and of live compare over `sessions` that both decided.

    Counts of intents: equal in both, in both and different, in one alone. `first` is the first difference of
    the earliest session that has one. Equities are those of `last_session`, the last that is settled live,
    in micro-units of the book's currency; `None` where there is none.
    """

    sessions: int
    same: int
    differing: int
    live_only: int
    replayed_only: int
    first: Difference | None
    last_session: date | None
    live_equity_micros: int | None
    replayed_equity_micros: int | None


def compared_with_live(replayed: Replayed, live: Iterable[DecidedLive]) -> Comparison | None:
    """Return how a replay compares with the sessions that were decided live, ascending.

    Side, quantity, reference price and whether a guard blocked are compared; what people and advice made of
    an intent afterwards is not. `None` for a light replay, which keeps no intents.
    """
    sessions, intents = replayed["sessions"], replayed["intents"]
    if not len(intents["session"]) and int(sessions["intents"].sum()):
        return None
    rows = _replayed_rows(replayed)
    worth = dict(zip(sessions["session"].tolist(), sessions["equity_micros"].tolist(), strict=True))
    both = [each for each in live if each.session in worth]
    found: list[Difference] = []
    count = 0
    for each in both:
        here, there = _live_rows(each), rows.get(each.session, {})
        count += len({*here, *there})
        found += differing_rows(INTENTS, here, there)
    alone = [row for row in found if row.column == WHOLE_ROW]
    differing = len({row.key for row in found if row.column != WHOLE_ROW})
    live_only = sum(row.key in _keys(both) for row in alone)
    settled = [each for each in both if each.equity_micros is not None]
    last = settled[-1] if settled else None
    return Comparison(
        sessions=len(both),
        same=count - differing - len(alone),
        differing=differing,
        live_only=live_only,
        replayed_only=len(alone) - live_only,
        first=found[0] if found else None,
        last_session=last.session if last else None,
        live_equity_micros=last.equity_micros if last else None,
        replayed_equity_micros=worth[last.session] if last else None,
    )


def _keys(live: Iterable[DecidedLive]) -> set[str]:
    return {key for each in live for key in _live_rows(each)}


def _live_rows(live: DecidedLive) -> dict[str, Row]:
    """Return a session's intents by what they are called to people, in the order of those names."""
    outcomes = {row.intent_key: row.outcome for row in live.decisions}
    return dict(
        sorted(
            (
                _key(live.session, intent.symbol, intent.strategy),
                _row(
                    intent.side,
                    intent.quantity,
                    intent.price_micros,
                    is_blocked=outcomes.get(intent.intent_key) is Outcome.BLOCKED,
                ),
            )
            for intent in live.intents
        )
    )


def _replayed_rows(replayed: Replayed) -> Mapping[date, dict[str, Row]]:
    names = ("session", "symbol", "strategy", "sign", "quantity", "price_micros", "outcome")
    columns = (replayed[INTENTS][name].tolist() for name in names)
    rows: dict[date, dict[str, Row]] = {}
    for session, symbol, strategy, sign, quantity, price, outcome in sorted(zip(*columns, strict=True)):
        side = Side.BUY if sign > 0 else Side.SELL
        rows.setdefault(session, {})[_key(session, symbol, strategy)] = _row(
            side, quantity, price, is_blocked=outcome == Outcome.BLOCKED
        )
    return rows


def _key(session: date, symbol: str, strategy: str) -> str:
    return f"{session} {symbol} {strategy}"


def _row(side: Side, quantity: int, price_micros: int, *, is_blocked: bool) -> Row:
    return {"side": side.value, "quantity": quantity, "price_micros": price_micros, "blocked": is_blocked}
