"""Lift: what an advisor's advice was worth, against the twin that every advised decision has without it.

Twin and decision are bought at the same open and marked at the same later close, so that only the quantity
differs. A session counts only after the model's stated training cut-off: of what came before, a model may
remember how it went. Costs are left out: less is traded, and they would only add. What too little is known
for is *not enough evidence*, never a number. Which quantity advice leaves is advice.py; pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from trading.actions import ActionKind, CorporateAction
from trading.advice import Advice, AdviceVerdict, Ladder, advised_quantity, reduces_risk
from trading.advice_ladder import LiftStanding
from trading.decisions import DecisionRow
from trading.guards import BPS
from trading.honest import Interval, bootstrap_interval
from trading.intents import Intent
from trading.performance import Floats
from trading.quotes import Quote
from trading.values import IntentKey, Side, Symbol

HORIZON_SESSIONS = 5
"""How many sessions after its own a decision is marked: a week, in which most of what is held is held on."""
SESSIONS_MIN = 20
"""The fewest sessions that say anything: a month."""
CHANGES_MIN = 10
"""The fewest decisions that advice would have changed; of fewer, one symbol's luck is the whole of it."""
HORIZONS_MIN = 4
"""The fewest horizons that sessions must fill: where a block of the bootstrap is nearly all there is, each
draw is the same, and chance gets an interval of next to nothing."""
SEED = 20_130_228
"""Where the bootstrap's chance begins: the same twins give the same interval."""


class LeftOut(StrEnum):
    """Say why a session of twins does not count."""

    OTHER_LOCK = "other_models_or_prompt"
    CUT_OFF_UNKNOWN = "cut_off_unknown"
    BEFORE_CUT_OFF = "before_cut_off"
    NOT_MARKED_YET = "not_marked_yet"


class Twin(NamedTuple):
    """Hold one advised decision beside what the rules alone would have traded.

    `unadvised_quantity` is the twin's, `quantity` what the advice leaves at the step asked about, and
    `traded_quantity` what was decided. `entry_micros` is the session's open, `mark_micros` what a share of
    that open was worth at the close of `marked_on`; `None` where there is no such price yet. `is_of_lock`
    says whether the advice came from exactly the models, prompt and schema that are asked about.
    """

    session: date
    symbol: Symbol
    intent_key: IntentKey
    side: Side
    verdict: AdviceVerdict
    unadvised_quantity: int
    quantity: int
    traded_quantity: int
    entry_micros: int | None = None
    mark_micros: int | None = None
    marked_on: date | None = None
    is_of_lock: bool = True

    @property
    def is_changed(self) -> bool:
        """Say whether the advice leaves less than the rules wished."""
        return self.quantity < self.unadvised_quantity

    @property
    def gain_micros(self) -> int | None:
        """Return what following the advice gained over its twin, `None` without both prices."""
        if self.entry_micros is None or self.mark_micros is None:
            return None
        moved = self.mark_micros - self.entry_micros
        direction = 1 if self.side is Side.BUY else -1
        return (self.quantity - self.unadvised_quantity) * direction * moved

    @property
    def notional_micros(self) -> int | None:
        """Return what the twin traded at the open, `None` without its price."""
        return None if self.entry_micros is None else self.unadvised_quantity * self.entry_micros


class SessionLift(NamedTuple):
    """Hold what advice was worth in one session: of the twins' notional, and why it does not count."""

    session: date
    twins: int
    changed: int
    gain_micros: int | None
    lift_bps: float | None
    left_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftReport:
    """Hold what advice was worth, session by session, and how sure that is.

    `mean_bps` is the mean of the counted sessions' lift in basis points of what the twins traded, `interval`
    that of the mean; both `None` where there is not enough evidence, and `why` then says what lacks.
    """

    book: str
    step: Ladder
    horizon_sessions: int
    trained_until: date | None
    sessions: tuple[SessionLift, ...]
    twins: tuple[Twin, ...]
    gain_micros: int
    mean_bps: float | None
    interval: Interval | None
    standing: LiftStanding
    why: str

    @property
    def counted(self) -> tuple[SessionLift, ...]:
        """Return the sessions that count."""
        return tuple(row for row in self.sessions if not row.left_out)


def twins_of(
    intents: Iterable[Intent],
    advice: Iterable[Advice],
    decisions: Iterable[DecisionRow],
    *,
    step: Ladder = Ladder.VETO_AND_SHRINK,
    is_of_lock: bool = True,
) -> tuple[Twin, ...]:
    """Return each decision on an advised intent with its twin, as advice would change it at a step.

    In shadow nothing was changed, and what following would have been worth is what is asked. What the guards
    blocked was never advised and has no twin.
    """
    wished = {intent.intent_key: intent for intent in intents}
    decided = {row.intent_key: row for row in decisions}
    twins = []
    for said in advice:
        row, intent = decided.get(said.intent_key), wished.get(said.intent_key)
        if row is None or intent is None or row.unadvised_quantity == 0:
            continue
        quantity = advised_quantity(
            replace(intent, quantity=row.unadvised_quantity),
            said,
            ladder=step,
            reduces_risk=reduces_risk(intent),
        )
        twins.append(
            Twin(
                session=row.session,
                symbol=row.symbol,
                intent_key=row.intent_key,
                side=row.side,
                verdict=said.verdict,
                unadvised_quantity=row.unadvised_quantity,
                quantity=quantity,
                traded_quantity=row.quantity,
                is_of_lock=is_of_lock,
            )
        )
    return tuple(twins)


def marked(
    twins: Iterable[Twin],
    *,
    sessions: Sequence[date],
    quotes: Mapping[date, Mapping[Symbol, Quote]],
    actions: Iterable[CorporateAction],
    horizon_sessions: int = HORIZON_SESSIONS,
) -> tuple[Twin, ...]:
    """Return twins with the open of their session and what a share is worth so many sessions later.

    `sessions` are those of the calendar, ascending; `quotes` are as traded, by session and symbol. A symbol
    that was not quoted on the last of them is worth its last close before it. Splits on the way are undone
    and dividends added; one that was delisted is worth what was paid.
    """
    place = {session: at for at, session in enumerate(sessions)}
    held = sorted(actions)
    valued = []
    for twin in twins:
        at = place[twin.session]
        until = sessions[at + horizon_sessions] if at + horizon_sessions < len(sessions) else None
        entry = quotes.get(twin.session, {}).get(twin.symbol)
        if entry is not None and until is not None and until in quotes:
            days = sessions[at + 1 : at + horizon_sessions + 1]
            worth, marked_on = _worth_later(twin, days, quotes, held)
            valued.append(
                twin._replace(entry_micros=entry.open_micros, mark_micros=worth, marked_on=marked_on)
            )
        else:
            valued.append(twin)
    return tuple(valued)


def lift_of(
    twins: Iterable[Twin],
    *,
    book: str,
    trained_until: date | None,
    step: Ladder = Ladder.VETO_AND_SHRINK,
    horizon_sessions: int = HORIZON_SESSIONS,
    seed: int = SEED,
) -> LiftReport:
    """Return what advice was worth on marked twins, counting only sessions after `trained_until`.

    What other models or prompts advised does not count either: it says nothing of the ones asked about.
    A session's lift is the gain over its twins of what they traded together, in basis points; sessions weigh
    the same. The interval of the mean is the stationary bootstrap's with blocks of the horizon, since marks
    of sessions so near share the same days (honest.py has the source).
    """
    held = tuple(sorted(twins, key=lambda twin: (twin.session, twin.symbol, twin.intent_key)))
    by_session: dict[date, list[Twin]] = {}
    for twin in held:
        by_session.setdefault(twin.session, []).append(twin)
    rows = tuple(_session_lift(day, own, trained_until) for day, own in by_session.items())
    counted = [row for row in rows if not row.left_out]
    lifts = np.array([row.lift_bps for row in counted], dtype=np.float64)
    needed = max(SESSIONS_MIN, HORIZONS_MIN * horizon_sessions)
    lacking = _lacking(rows, counted, trained_until, needed=needed)
    interval = (
        None if lacking else bootstrap_interval(lifts, _mean, seed=seed, block_sessions=horizon_sessions)
    )
    return LiftReport(
        book=book,
        step=step,
        horizon_sessions=horizon_sessions,
        trained_until=trained_until,
        sessions=rows,
        twins=held,
        gain_micros=sum(row.gain_micros or 0 for row in counted),
        mean_bps=_mean(lifts) if interval is not None else None,
        interval=interval,
        standing=_standing(interval),
        why=lacking,
    )


def _worth_later(
    twin: Twin,
    days: Sequence[date],
    quotes: Mapping[date, Mapping[Symbol, Quote]],
    actions: Sequence[CorporateAction],
) -> tuple[int | None, date | None]:
    """Return what one share bought in the twin's session is worth after some days, rounded down, and as of.

    `None` where none of the days has a price.
    """
    numerator = denominator = 1
    paid, worth, marked_on = 0, None, None
    for day in days:
        for action in actions:
            if action.symbol != twin.symbol or action.effective_on != day:
                continue
            match action.kind:
                case ActionKind.SPLIT:
                    numerator, denominator = numerator * action.numerator, denominator * action.denominator
                case ActionKind.DIVIDEND:
                    paid += action.dividend_micros * numerator // denominator
                case ActionKind.DELISTING:
                    return paid + action.dividend_micros * numerator // denominator, day
        quote = quotes.get(day, {}).get(twin.symbol)
        if quote is not None:
            worth, marked_on = quote.close_micros * numerator // denominator, day
    return (None, None) if worth is None else (worth + paid, marked_on)


def _session_lift(session: date, twins: Sequence[Twin], trained_until: date | None) -> SessionLift:
    gains = [twin.gain_micros for twin in twins]
    left_out = ""
    if not all(twin.is_of_lock for twin in twins):
        left_out = LeftOut.OTHER_LOCK.value
    elif trained_until is None:
        left_out = LeftOut.CUT_OFF_UNKNOWN.value
    elif session <= trained_until:
        left_out = LeftOut.BEFORE_CUT_OFF.value
    elif None in gains:
        left_out = LeftOut.NOT_MARKED_YET.value
    gain = None if None in gains else sum(one for one in gains if one is not None)
    notional = sum(twin.notional_micros or 0 for twin in twins)
    return SessionLift(
        session=session,
        twins=len(twins),
        changed=sum(twin.is_changed for twin in twins),
        gain_micros=gain,
        lift_bps=None if gain is None or not notional else gain * BPS / notional,
        left_out=left_out,
    )


def _lacking(
    rows: Sequence[SessionLift], counted: Sequence[SessionLift], trained_until: date | None, *, needed: int
) -> str:
    """Return what lacks for a number, in one line for people; empty where nothing does."""
    if not rows:
        return "no decision was advised yet"
    if trained_until is None:
        return "the model's training cut-off is not stated: nobody knows which sessions it has not seen"
    changes = sum(row.changed for row in counted)
    if len(counted) < needed:
        others = sum(row.left_out == LeftOut.OTHER_LOCK for row in rows)
        told = f"; {others} were advised by other models or prompts" if others else ""
        return f"{len(counted)} sessions after {trained_until} are marked, needed are {needed}{told}"
    if changes < CHANGES_MIN:
        return f"advice changes {changes} decisions of them, needed are {CHANGES_MIN}"
    return ""


def _standing(interval: Interval | None) -> LiftStanding:
    if interval is None:
        return LiftStanding.NOT_ENOUGH_EVIDENCE
    if interval.low > 0:
        return LiftStanding.GAINS
    return LiftStanding.LOSES if interval.high < 0 else LiftStanding.UNDECIDED


def _mean(lifts: Floats) -> float | None:
    return float(np.mean(lifts)) if lifts.size else None
