"""Where one order came from: quotes, score, verdicts, advice, decision, approver, order, fills, result.

From any id that somebody may hold. Content hashes are computed again from the files, with nothing running:
what is called intact here is what was decided on. Why a session as a whole traded nothing is why.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from console.book_outlines import BookOutline, require_book
from console.concerns import Concerns, concerns_of, order_status
from console.desk import Desk
from console.explain import verdicts_on
from console.lake_pointers import TableState
from console.lake_rows import rows_found
from console.lookup import find_intent
from trading.actions import ActionKind, CorporateAction, actions_sha
from trading.errors import BadSetting
from trading.guards import BPS
from trading.journal import JournalIntent, JournalOrder
from trading.lifecycle import Step
from trading.orders import Fill
from trading.values import Side, digest, notional_micros
from trading.verdicts import Verdict

CORPORATE_ACTIONS = "corporate_actions"

DECIDING = frozenset({Step.REGISTERED, Step.APPROVED, Step.REJECTED})
"""The steps that decide of an intent whether it is sent; the later ones tell what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotesRead:
    """Hold the quotes a decision stands on: sessions `first` to `last`, and the last table's content hash.

    `altered` names tables whose content is not what their name says. `matches_decision` says whether the
    tables as they stand give the digest that the candidates were made from; `None` where that is not known.
    """

    first: date | None
    last: date | None
    sessions: int
    last_sha: str
    altered: tuple[str, ...]
    matches_decision: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Hold one event of the intent's life."""

    seq: int
    at: datetime
    what: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Hold one intent's whole way. Money in micro-units of the intent's currency.

    `candidate` and `advice` are the rows of their tables, empty where there is none; `answered_by` who
    approved, rejected or ordered, empty where the policy did, and `decision_reason` why. The orders have
    their status as it is told: one that the broker never had is absent there. `result_micros` is what the
    fills were worth at the session's close less what they cost, commissions included; `None` until there is
    a close.
    """

    asked: str
    intent: JournalIntent
    quotes: QuotesRead
    candidate: Mapping[str, Any]
    verdicts: tuple[Verdict, ...]
    advice: Mapping[str, Any]
    answered_by: str
    decision_reason: str
    orders: tuple[JournalOrder, ...]
    fills: tuple[Fill, ...]
    result_micros: int | None
    events: tuple[Happened, ...]
    concerns: Concerns


def trace(desk: Desk, identity: str) -> Trace:
    """Return the way of the intent that an id belongs to.

    Raises `UnknownId` where nothing is stored under it and `BadInput` where it fits several.
    """
    return trace_of_intent(desk, find_intent(desk, identity), asked=identity)


def trace_of_intent(desk: Desk, intent: JournalIntent, *, asked: str = "") -> Trace:
    """Return the way of an intent."""
    book = require_book(desk.books, intent.intent.book)
    session = intent.intent.session
    candidates = desk.lake.state(book.name, "candidates", session.isoformat())
    events = desk.journal.events_of(intent.intent_id)
    # A damaged journal may have lost the events of a row: what is left is shown.
    decided = next((event for event in reversed(events) if event.kind in DECIDING), None)
    return Trace(
        asked=asked or intent.intent_id,
        intent=intent,
        quotes=_quotes(desk, book, session, candidates),
        candidate=_row(desk, candidates, "find_candidate", symbol=intent.intent.symbol),
        verdicts=tuple(verdicts_on(desk, intent)),
        advice=_row(
            desk,
            desk.lake.state(book.name, "advice", session.isoformat()),
            "find_advice",
            intent_key=intent.intent.intent_key,
        ),
        answered_by=decided.actor if decided else "",
        decision_reason=decided.reason if decided else intent.reason,
        orders=tuple(
            replace(row, status=order_status(row, intent))
            for row in desk.journal.orders(book=book.name, lane=desk.lane, session=session)
            if row.intent_id == intent.intent_id
        ),
        fills=tuple(_fills(desk, book, intent)),
        result_micros=_result(desk, book, intent),
        events=tuple(
            Happened(seq=event.seq, at=event.at, what=event.kind, actor=event.actor, reason=event.reason)
            for event in events
        ),
        concerns=concerns_of(desk, intent),
    )


def _fills(desk: Desk, book: BookOutline, intent: JournalIntent) -> list[Fill]:
    fills = desk.journal.fills(book=book.name, lane=desk.lane, session=intent.intent.session)
    return [row for row in fills if row.intent_id == intent.intent_id]


def _quotes(desk: Desk, book: BookOutline, session: date, candidates: TableState | None) -> QuotesRead:
    """Return the tables of the decision's window, each checked by its name, and their common digest."""
    days = desk.calendar(book).before(session, _window_sessions(desk, book))
    days = tuple(day for day in days if book.first_session is None or day >= book.first_session)
    states = [
        state for day in days if (state := desk.lake.state(book.name, "market_quotes", day.isoformat()))
    ]
    actions = desk.lake.state(book.name, CORPORATE_ACTIONS)
    read = [*states, *([actions] if actions else [])]
    inputs = [[state.partition, state.sha] for state in states]
    if actions and states:
        inputs.append(
            [CORPORATE_ACTIONS, _actions_sha(desk, actions, after=states[0].partition, session=session)]
        )
    return QuotesRead(
        first=date.fromisoformat(states[0].partition) if states else None,
        last=date.fromisoformat(states[-1].partition) if states else None,
        sessions=len(states),
        last_sha=states[-1].sha if states else "",
        altered=tuple(desk.lake.path(state) for state in read if not desk.lake.is_intact(state)),
        matches_decision=digest(inputs) == candidates.inputs_sha if candidates else None,
    )


def _actions_sha(desk: Desk, state: TableState, *, after: str, session: date) -> str:
    """Return the digest of the corporate actions that a window is adjusted by."""
    rows = rows_found(desk.lake, [state], "find_actions", after=after, session=session.isoformat())
    return actions_sha(CorporateAction(**{**row, "kind": ActionKind(row["kind"])}) for row in rows)


def _window_sessions(desk: Desk, book: BookOutline) -> int:
    """Return how many sessions back a decision of a book reads, from the reviewed rules."""
    path = desk.settings.config_dir / "rules.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        scanner = {**content["scanner"], **content.get(book.name, {}).get("scanner", {})}
        return int(scanner["window_sessions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadSetting(
            f"{path} [scanner] window_sessions: cannot be read ({error}); restore the file"
        ) from error


def _result(desk: Desk, book: BookOutline, intent: JournalIntent) -> int | None:
    """Return what the fills were worth at the close less what they cost."""
    fills = _fills(desk, book, intent)
    if not fills:
        return None
    quotes = desk.lake.state(book.name, "market_quotes", intent.intent.session.isoformat())
    close = _row(desk, quotes, "find_close", symbol=intent.intent.symbol).get("close_micros")
    if close is None:
        return None
    return sum(fill_result_micros(fill, close) for fill in fills)


def fill_result_micros(fill: Fill, close_micros: int) -> int:
    """Return a fill's worth at a close less what it cost, commission included, in micro-units."""
    gained = notional_micros(price_micros=close_micros, quantity=fill.quantity) - fill.notional_micros
    return (gained if fill.side is Side.BUY else -gained) - fill.commission_micros


def slippage_bps(intent: JournalIntent, fills: Sequence[Fill]) -> float | None:
    """Return the average price against the decision's reference, positive where it cost money."""
    quantity = sum(fill.quantity for fill in fills)
    if not quantity:
        return None
    reference = notional_micros(price_micros=intent.intent.price_micros, quantity=quantity)
    paid = sum(fill.notional_micros for fill in fills) - reference
    return round((paid if intent.intent.side is Side.BUY else -paid) * BPS / reference, 2)


def _row(desk: Desk, state: TableState | None, question: str, **bound: str) -> Mapping[str, Any]:
    """Return the one row that a question finds in a table, empty where there is none."""
    rows = rows_found(desk.lake, [state], question, **bound) if state else []
    return rows[0] if rows else {}
