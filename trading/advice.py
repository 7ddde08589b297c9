"""Advice: a model's factor on intents that the rules sized and the guards passed. It can only make less.

The ladder is at step 0 (off) until evidence raises it: then no model is asked, and every factor is one.
How a factor changes a decision is `advised_quantity`; who asks a model is the `Advisor` port's adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from trading.guards import BPS
from trading.intents import Intent
from trading.values import IntentKey, Side, Symbol


class Ladder(IntEnum):
    """Say how much advice may do: nothing, be recorded, veto, or veto and shrink."""

    OFF = 0
    SHADOW = 1
    VETO = 2
    VETO_AND_SHRINK = 3


class AdviceVerdict(StrEnum):
    """Say what a model said of an intent."""

    KEEP = "keep"
    SHRINK = "shrink"
    VETO = "veto"
    ABSTAIN = "abstain"
    ESCALATE = "escalate"


class Advice(NamedTuple):
    """Hold the advice on one intent. `factor_bps` in [0, 10000] of the quantity; `applied` by the ladder."""

    intent_key: IntentKey
    symbol: Symbol
    session: date
    verdict: AdviceVerdict
    factor_bps: int
    ladder: int
    applied: bool
    source: str
    rationale: str


class Advisor(Protocol):
    """Give advice on intents that passed the guards."""

    def advise(self, intents: Sequence[Intent]) -> tuple[Advice, ...]:
        """Return one advice an intent, in order. Whatever goes wrong is an abstention, never an error."""
        ...


class NoAdvisor:
    """Be the advisor at step 0: abstain on everything, ask nobody."""

    def advise(self, intents: Sequence[Intent]) -> tuple[Advice, ...]:
        """Return an abstention for each intent."""
        return tuple(
            Advice(
                intent_key=intent.intent_key,
                symbol=intent.symbol,
                session=intent.session,
                verdict=AdviceVerdict.ABSTAIN,
                factor_bps=BPS,
                ladder=Ladder.OFF.value,
                applied=False,
                source="off",
                rationale="the advisor is off",
            )
            for intent in intents
        )


def advised_quantity(intent: Intent, advice: Advice | None, *, ladder: Ladder, reduces_risk: bool) -> int:
    """Return the quantity after advice: never more than the intent's, untouched where it reduces risk.

    Rounded down; a factor outside [0, 1] counts as no advice.
    """
    if advice is None or reduces_risk or ladder < Ladder.VETO or not 0 <= advice.factor_bps <= BPS:
        return intent.quantity
    match advice.verdict:
        case AdviceVerdict.VETO:
            return 0
        case AdviceVerdict.SHRINK if ladder is Ladder.VETO_AND_SHRINK:
            return intent.quantity * advice.factor_bps // BPS
        case _:
            return intent.quantity


def escalates(intent: Intent, advice: Advice | None, *, ladder: Ladder) -> bool:
    """Say whether advice hands an intent to a person: where it may veto, and the intent adds risk."""
    if advice is None or reduces_risk(intent) or ladder < Ladder.VETO:
        return False
    return advice.verdict is AdviceVerdict.ESCALATE


def reduces_risk(intent: Intent) -> bool:
    """Say whether an intent lowers exposure: in a long-only book, every sale does."""
    return intent.side is Side.SELL
