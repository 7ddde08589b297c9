"""A flatten: what is sold to hold nothing, bound to what its preview showed and ordered by a second word.

The only way to prepare an order while trading is halted. Who previewed and who ordered it is kept by the
journal; sending is executions.py, through every guard but the kill switch. Pure.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from trading.approvals import ChainStage, StageRecord, StageVerdict
from trading.decisions import Decision, Outcome
from trading.intents import Intent, intent_id_of
from trading.journal import JournalIntent
from trading.lifecycle import IntentState
from trading.orders import Fill, shares_by_intent
from trading.positions import Book
from trading.values import OrderType, Side, Slot, Symbol, TimeInForce, canonical_json, digest
from trading.verdicts import verdicts_sha

CONFIRM_PREFIX = "flatten-"
"""How the word begins that the second step of a flatten names."""

_CONFIRMATION = re.compile(CONFIRM_PREFIX + "[0-9a-f]{1,64}")

STRATEGY_VERSION = "operator@1"

WITHIN_POLICY = "named_flatten"
"""Why a flatten's intent is approved: a person ordered it by name, after its preview."""


class FlattenLine(NamedTuple):
    """Hold one position to be sold: shares held, shares in open sales already, and what is left to sell.

    `price_micros` is the last price known, 0 where there is none: then it cannot be sold here.
    """

    symbol: Symbol
    held: int
    on_sale: int
    quantity: int
    price_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenPlan:
    """Hold what a flatten of a book would sell in a session; `number` counts the book's flattens in it."""

    book: str
    lane: str
    account: str
    session: date
    currency: str
    number: int
    lines: tuple[FlattenLine, ...]

    @property
    def command_id(self) -> str:
        """Return the digest of what is sold: other positions give another one, other prices do not."""
        sold = [[line.symbol, line.quantity] for line in self.lines if line.quantity and line.price_micros]
        of = [self.book, self.lane, self.account, self.session.isoformat(), self.number]
        return digest([*of, sold])[:32]

    @property
    def sold(self) -> tuple[FlattenLine, ...]:
        """Return the lines that become orders."""
        return tuple(line for line in self.lines if line.quantity and line.price_micros)

    @property
    def notional_micros(self) -> int:
        """Return what is sold at the last prices."""
        return sum(line.quantity * line.price_micros for line in self.sold)

    @property
    def left_micros(self) -> int:
        """Return the exposure that would be left at the last prices, open sales counted as sold."""
        return sum((line.held - line.on_sale - line.quantity) * line.price_micros for line in self.lines)

    def text(self) -> str:
        """Return the plan as the JSON text that the journal keeps."""
        payload: dict[str, Any] = {
            "book": self.book,
            "session": self.session.isoformat(),
            "number": self.number,
            "lines": [list(line) for line in self.lines],
        }
        return canonical_json(payload)


def on_sale(rows: Iterable[JournalIntent], fills: Iterable[Fill]) -> Counter[Symbol]:
    """Return the shares, by symbol, that open intents may still sell; `fills` are those that stand.

    What was taken back may be sold once more, so it is not counted by what an intent ever filled. An intent
    that was not sent sells nothing, but of a flatten, which nothing but its sends holds back.
    """
    sold = shares_by_intent(fills)
    open_sells: Counter[Symbol] = Counter()
    for row in rows:
        is_sent = row.state in {IntentState.EXECUTING, IntentState.UNKNOWN}
        if row.intent.side is Side.SELL and (is_sent or row.intent.slot is Slot.FLATTEN):
            open_sells[row.intent.symbol] += row.quantity - sold[row.intent_id]
    return open_sells


def plan_of(
    held: Book,
    *,
    open_sells: Mapping[Symbol, int],
    prices: Mapping[Symbol, int],
    book: str,
    lane: str,
    account: str,
    session: date,
    number: int,
) -> FlattenPlan:
    """Return what would be sold of a book, by symbol: all that is held and not on sale already."""
    lines = tuple(
        FlattenLine(
            position.symbol,
            position.quantity,
            open_sells.get(position.symbol, 0),
            max(position.quantity - open_sells.get(position.symbol, 0), 0),
            prices.get(position.symbol, 0),
        )
        for position in sorted(held.positions)
        if position.quantity > 0
    )
    return FlattenPlan(
        book=book,
        lane=lane,
        account=account,
        session=session,
        currency=held.currency,
        number=number,
        lines=lines,
    )


def previewed_quantities(text: str) -> dict[str, int]:
    """Return what a plan's text, as the journal keeps it, shows to be sold: shares by symbol.

    A line without a price becomes no order. A text that is none of a plan shows nothing to be sold.
    """
    try:
        lines = [FlattenLine(*line) for line in json.loads(text)["lines"]]
        return {line.symbol: int(line.quantity) for line in lines if line.price_micros}
    except (ValueError, KeyError, TypeError):
        return {}


def is_confirmation(text: str) -> bool:
    """Say whether a text is written as the word of some flatten is; whose, `confirmation_of` says."""
    return _CONFIRMATION.fullmatch(text) is not None


def confirmation_of(plan: FlattenPlan) -> str:
    """Return the word that orders this very plan and no other."""
    return CONFIRM_PREFIX + plan.command_id[:8]


def flatten_decisions(
    plan: FlattenPlan,
    *,
    actor: str,
    reason: str,
    limits_sha: str,
    not_after: datetime,
    now: datetime,
) -> tuple[Decision, ...]:
    """Return the approved decisions of a plan that a named person ordered: one sale a line, nothing else.

    The guards judge each at its send, where an order is prepared.
    """
    return tuple(
        _decision(
            intent, plan, actor=actor, reason=reason, limits_sha=limits_sha, not_after=not_after, now=now
        )
        for intent in _intents(plan, actor=actor, reason=reason)
    )


def _intents(plan: FlattenPlan, *, actor: str, reason: str) -> Iterable[Intent]:
    for line in plan.sold:
        yield Intent(
            book=plan.book,
            strategy=f"flatten_{plan.number}",
            strategy_version=STRATEGY_VERSION,
            session=plan.session,
            symbol=line.symbol,
            slot=Slot.FLATTEN,
            side=Side.SELL,
            quantity=line.quantity,
            price_micros=line.price_micros,
            currency=plan.currency,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            rationale=f"flattened by {actor}: {reason}",
        )


def _decision(
    intent: Intent,
    plan: FlattenPlan,
    *,
    actor: str,
    reason: str,
    limits_sha: str,
    not_after: datetime,
    now: datetime,
) -> Decision:
    ordered = StageRecord(
        ChainStage.PERSON,
        StageVerdict.PASSED,
        confirmation_of(plan),
        reason,
        actor,
        0,
        not_after,
        now,
    )
    return Decision(
        intent=intent,
        account=plan.account,
        lane=plan.lane,
        intent_id=intent_id_of(account=plan.account, lane=plan.lane, intent_key=intent.intent_key),
        outcome=Outcome.APPROVED,
        reason=WITHIN_POLICY,
        quantity=intent.quantity,
        unadvised_quantity=intent.quantity,
        not_after=not_after,
        verdicts_sha=verdicts_sha(()),
        limits_sha=limits_sha,
        inputs_sha=plan.command_id,
        chain=(ordered,),
    )
