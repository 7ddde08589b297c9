"""What each guard says of one intent: reason, observed, limit, and the largest quantity that passes.

The guards are trading/guards.py; their units are told here in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from console.concerns import Concerns, concerns_of
from console.desk import Desk
from console.lookup import find_intent
from console.render import counted, money
from trading.guards import GUARDS, NO_LIMIT, Why
from trading.journal import JournalIntent
from trading.values import Side, Slot
from trading.verdicts import Verdict, verdicts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSaid:
    """Hold what one guard said, its numbers as text with their unit.

    `largest_quantity` is in shares, `None` where the guard does not look at quantity; where `more_may_pass`
    the guard tried nothing larger than the order itself, which passed.
    """

    guard: str
    passed: bool
    reason: str
    observed: str
    limit: str
    largest_quantity: int | None
    more_may_pass: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Hold one intent, what the guards said of it, and what else concerns it.

    `largest_quantity` is what all guards let pass; more may, where `more_may_pass`.
    """

    intent: JournalIntent
    guards: tuple[GuardSaid, ...]
    stopped_by: tuple[str, ...]
    largest_quantity: int | None
    more_may_pass: bool
    concerns: Concerns


def explain(desk: Desk, identity: str) -> Explained:
    """Return what the guards said when an intent was decided; raises `UnknownId` or `BadInput`."""
    return explained(desk, find_intent(desk, identity))


def explained(desk: Desk, intent: JournalIntent) -> Explained:
    """Return what the guards said of an intent when it was decided, of a flatten's when it was sent."""
    guards = tuple(_said(verdict, intent) for verdict in verdicts_on(desk, intent))
    looked_at = [row.largest_quantity for row in guards if row.largest_quantity is not None]
    largest = min(looked_at, default=None)
    bounding = [row for row in guards if row.largest_quantity == largest and largest is not None]
    return Explained(
        intent=intent,
        guards=guards,
        stopped_by=tuple(row.guard for row in guards if not row.passed),
        largest_quantity=largest,
        more_may_pass=bool(bounding) and all(row.more_may_pass for row in bounding),
        concerns=concerns_of(desk, intent),
    )


def verdicts_on(desk: Desk, intent: JournalIntent) -> Sequence[Verdict]:
    """Return what the guards said of an intent that was decided, or of one that a flatten ordered.

    Those of a flatten look where its order is prepared, and what they said is kept with that step.
    """
    if intent.intent.slot is not Slot.FLATTEN:
        return desk.journal.verdicts(intent.intent_id)
    looks = [
        event.body["whys"] for event in desk.journal.events_of(intent.intent_id) if event.body.get("whys")
    ]
    whys = [Why(*why) for why in looks[-1]] if looks else []
    # Of another number than there are guards now, nobody could say which guard said what.
    return verdicts_of(intent.intent, whys, limits_sha=intent.limits_sha) if len(whys) == len(GUARDS) else ()


def _said(verdict: Verdict, intent: JournalIntent) -> GuardSaid:
    return GuardSaid(
        guard=verdict.guard,
        passed=verdict.passed,
        reason=verdict.reason,
        observed=_with_unit(verdict, verdict.observed, intent),
        limit=_with_unit(verdict, verdict.limit, intent),
        largest_quantity=None if verdict.largest_quantity >= NO_LIMIT else verdict.largest_quantity,
        more_may_pass=_more_may_pass(verdict),
    )


def _more_may_pass(verdict: Verdict) -> bool:
    """Say whether a guard let the order pass without a look at any larger one: only value at risk does.

    Its measure is a whole scenario vector, taken of the order alone where that is within the limit.
    """
    is_within = verdict.passed and verdict.observed <= verdict.limit
    return verdict.guard == "value_at_risk" and is_within and 0 < verdict.largest_quantity < NO_LIMIT


def _with_unit(verdict: Verdict, number: int, intent: JournalIntent) -> str:
    """Return a guard's number in words: the units are those of guards.py."""
    currency = intent.intent.currency
    match verdict.guard:
        case (
            "max_notional" | "price_collar" | "fat_finger_hard" | "fat_finger_soft" | "tick_size"
            | "buying_power" | "position_limit" | "strategy_budget" | "gross_exposure" | "net_exposure"
            | "leverage" | "degrade_notional"
        ):  # fmt: skip
            return money(number, currency)
        case "value_at_risk" | "daily_loss" | "drawdown" if verdict.limit:
            return money(number, currency)
        case "value_at_risk" | "daily_loss" | "drawdown":
            return "not known" if number else "known"
        case "quote_present" | "degrade_price":
            return "any price" if number == verdict.limit else money(number, currency)
        case "symbol_cap":
            # A sale used to be held to the shares by this guard; now `shorts` does.
            is_old = intent.intent.side is Side.SELL and verdict.limit == verdict.largest_quantity
            return _shares(number) if is_old else money(number, currency)
        case "well_formed" | "lot_size" | "max_quantity" | "volume_share" | "self_match" | "shorts":
            return _shares(number)
        case "quote_age":
            # Before the open a price has no age in seconds: it is the last close, so many sessions behind.
            # What passed then carries a send's limit, to which it was not held; a flatten is looked at then.
            is_at_send = intent.intent.slot is Slot.FLATTEN
            is_in_seconds = bool(verdict.limit and (verdict.observed or is_at_send))
            behind = 0 if verdict.limit else number
            return f"{number:,} s" if is_in_seconds else counted(behind, "session") + " behind"
        case "clock_skew":
            return f"{number:,} s"
        case "execution_enabled" | "session_open" | "allowlist" | "universe" | "reconciled":
            return "yes" if number else "no"
        case "kill_switch" | "paused" | "cooldown" | "degrade_manual_approval":
            return "on" if number else "off"
        case "restricted":
            return f"policy {number}" if number else "none"
        case _:
            return f"{number:,}"


def _shares(number: int) -> str:
    return f"{number:,} share" if number == 1 else f"{number:,} shares"
