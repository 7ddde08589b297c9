"""Advice: a model's factor on intents that the rules sized and the guards passed. It can only make less.

An `Advisor` asks a model and gives what it said; `admitted` is the one door from there to a decision, whoever
the advisor is; `advised_quantity` says what a factor changes. How much it may change is the ladder's step
(advice_ladder.py), how a model's text is read advice_replies.py, what a model is told advice_context.py, and
what a call cost advisor_calls.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

from trading.advice_context import ContextItem
from trading.advisor_calls import AdvisorCall
from trading.errors import BadInput
from trading.guards import BPS
from trading.intents import Intent
from trading.values import IntentKey, Side, Symbol

CONFIDENCE_BPS_MIN = BPS // 2
"""Below this confidence a model's word is no advice: the intent goes on as the rules have it."""

RATIONALE_CHARACTERS_MAX = 280
EVIDENCE_MAX = 8
"""The most references that one advice may name."""
EVIDENCE_CHARACTERS_MAX = 64
"""The longest reference to what a model was shown."""

LOW_CONFIDENCE = "low_confidence"
"""The error type of a word that its own speaker doubts: no advice, and no failure of the advisor either."""
NOT_ASKED = "not_asked"
"""The error type of an intent that might have been vetoed, and there was no model to ask."""
NOT_ANSWERED = "not_answered"
"""The error type of an intent that an advisor said nothing of."""
BAD_ADVICE = "bad_advice"
"""The error type of advice whose factor, confidence or text no reader of replies lets through."""


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
    """Hold the advice on one intent, as its table has it.

    `factor_bps` in [0, 10000] of the quantity; `ladder` is the step in force, `applied` whether it let the
    advice change anything. `confidence_bps` is what the model said of itself, `None` where it said nothing.
    `error_type` says why there is no advice, empty where there is; `evidence` names what the model was shown
    and leans on, one reference a comma. `rationale` and `evidence` are annotation: nothing follows from them.
    """

    intent_key: IntentKey
    symbol: Symbol
    session: date
    verdict: AdviceVerdict
    factor_bps: int
    ladder: int
    applied: bool
    source: str
    rationale: str
    confidence_bps: int | None = None
    error_type: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceContext:
    """Hold what an advisor is told beside the intents, and up to when anybody may have known it.

    `cut_off` is the UTC instant before which all of `items` was known; `ladder` the step in force. `run_id`
    is whose run asks, empty where none does.
    """

    book: str
    lane: str
    session: date
    cut_off: datetime
    ladder: Ladder
    items: tuple[ContextItem, ...] = ()
    run_id: str = ""

    def __post_init__(self) -> None:
        """Refuse a cut-off that is no instant in UTC."""
        if self.cut_off.utcoffset() != timedelta(0):
            raise ValueError(f"cut-off {self.cut_off.isoformat()}: not an aware UTC time")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceGiven:
    """Hold what an advisor said of a session's intents, and each call that it made for it."""

    advice: tuple[Advice, ...]
    calls: tuple[AdvisorCall, ...] = ()


class Advisor(Protocol):
    """Give advice on intents that passed the guards."""

    def advise(self, intents: Sequence[Intent], *, context: AdviceContext) -> AdviceGiven:
        """Return one advice an intent, in order, and the calls. Whatever goes wrong is no advice, no error.

        `no_advice` is what stands where nothing was said, with the type of what went wrong.
        """
        ...


class NoAdvisor:
    """Be the advisor at step 0: abstain on everything, ask nobody."""

    def advise(self, intents: Sequence[Intent], *, context: AdviceContext) -> AdviceGiven:
        """Return an abstention for each intent; at a step that may veto it says that nobody was asked.

        Then the rules' buys wait for a person: whoever took the model away did not lower the ladder.
        """
        error_type = NOT_ASKED if context.ladder >= Ladder.VETO else ""
        return AdviceGiven(
            advice=tuple(
                no_advice(intent, source="off", error_type=error_type, rationale="the advisor is off")
                for intent in intents
            )
        )


def no_advice(intent: Intent, *, source: str, error_type: str = "", rationale: str = "") -> Advice:
    """Return the abstention on an intent: it goes on as the rules have it."""
    return Advice(
        intent_key=intent.intent_key,
        symbol=intent.symbol,
        session=intent.session,
        verdict=AdviceVerdict.ABSTAIN,
        factor_bps=BPS,
        ladder=Ladder.OFF.value,
        applied=False,
        source=source,
        rationale=rationale,
        error_type=error_type,
    )


def admitted(advice: Iterable[Advice], intents: Sequence[Intent], *, ladder: Ladder) -> tuple[Advice, ...]:
    """Return one advice an intent, in order, as a decision may follow it: the door behind every advisor.

    Advice on anything else is dropped, the first of several stands, an intent without any has an abstention.
    What is out of range is no advice; whether a step applies it is said here and by nobody else.
    """
    said: dict[IntentKey, Advice] = {}
    for row in advice:
        said.setdefault(row.intent_key, row)
    return tuple(_admitted(said.get(intent.intent_key), intent, ladder) for intent in intents)


def advised_quantity(intent: Intent, advice: Advice | None, *, ladder: Ladder, reduces_risk: bool) -> int:
    """Return the quantity after advice: never more than the intent's, untouched where it reduces risk.

    Rounded down; a factor outside [0, 1] counts as no advice, and so does advice with an error type.
    """
    if advice is None or reduces_risk or ladder < Ladder.VETO or not 0 <= advice.factor_bps <= BPS:
        return intent.quantity
    if advice.error_type:
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
    if advice is None or advice.error_type or reduces_risk(intent) or ladder < Ladder.VETO:
        return False
    return advice.verdict is AdviceVerdict.ESCALATE


def lacks_advice(intent: Intent, advice: Advice | None, *, ladder: Ladder) -> bool:
    """Say whether an intent waits for a person since the advisor failed on it where it might have vetoed.

    A model that abstains or doubts itself has not failed: then the rules go on by themselves.
    """
    if advice is None or reduces_risk(intent) or ladder < Ladder.VETO:
        return False
    return advice.error_type not in {"", LOW_CONFIDENCE}


def reduces_risk(intent: Intent) -> bool:
    """Say whether an intent lowers exposure: in a long-only book, every sale does."""
    return intent.side is Side.SELL


def ladder_of(advice: Iterable[Advice]) -> Ladder:
    """Return the step that advice was given at: the record a decision is made by, live and again.

    Without any there is nothing to apply, and it is off. Raises `BadInput` where rows are of several steps,
    or of one that there is not.
    """
    steps = sorted({row.ladder for row in advice})
    if len(steps) > 1 or not set(steps) <= set(Ladder):
        raise BadInput(f"advice of steps {steps}: a session is advised at one step of the ladder")
    return Ladder(steps[0]) if steps else Ladder.OFF


def is_confident(confidence_bps: int | None) -> bool:
    """Say whether a model's own confidence is enough to be advice; unsaid is enough only to abstain."""
    return confidence_bps is not None and confidence_bps >= CONFIDENCE_BPS_MIN


def _admitted(advice: Advice | None, intent: Intent, ladder: Ladder) -> Advice:
    if advice is None:
        return no_advice(intent, source="none", error_type=NOT_ANSWERED)._replace(ladder=ladder.value)
    silent = no_advice(intent, source=advice.source)._replace(ladder=ladder.value)
    if advice.error_type:
        return silent._replace(error_type=advice.error_type, confidence_bps=_in_range(advice.confidence_bps))
    if not _is_sound(advice):
        return silent._replace(error_type=BAD_ADVICE)
    if advice.verdict is AdviceVerdict.ABSTAIN:
        return silent._replace(rationale=advice.rationale, confidence_bps=advice.confidence_bps)
    if not is_confident(advice.confidence_bps):
        return silent._replace(error_type=LOW_CONFIDENCE, confidence_bps=advice.confidence_bps)
    mine = advice._replace(symbol=intent.symbol, session=intent.session, ladder=ladder.value)
    return mine._replace(applied=_changes(mine, intent, ladder))


def _changes(advice: Advice, intent: Intent, ladder: Ladder) -> bool:
    quantity = advised_quantity(intent, advice, ladder=ladder, reduces_risk=reduces_risk(intent))
    return quantity < intent.quantity or escalates(intent, advice, ladder=ladder)


def _is_sound(advice: Advice) -> bool:
    return (
        0 <= advice.factor_bps <= BPS
        and (advice.confidence_bps is None or 0 <= advice.confidence_bps <= BPS)
        and is_plain_text(advice.rationale, characters_max=RATIONALE_CHARACTERS_MAX)
        and is_plain_text(advice.evidence, characters_max=EVIDENCE_MAX * (EVIDENCE_CHARACTERS_MAX + 2))
    )


def _in_range(confidence_bps: int | None) -> int | None:
    return confidence_bps if confidence_bps is not None and 0 <= confidence_bps <= BPS else None


def is_plain_text(text: str, *, characters_max: int) -> bool:
    """Say whether a text is short and holds nothing that a screen or a log would not show as itself."""
    return len(text) <= characters_max and text.isprintable()
