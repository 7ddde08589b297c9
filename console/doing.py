"""Do what a person asks, from a desk: open the journal, choose the time, act, start what follows.

For surfaces that go on serving (REST, pages); a dry run is the same act in a journal that keeps nothing. What
each act is, and what binds it, is actions.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from console import actions
from console.actions import Answer, Answered, ControlChanged, HaltLifted, OrderAsked, Shown
from console.cancelling import cancel_apart
from console.desk import Desk
from console.execution_start import STARTS, How, Started, Starts
from resources.clocks import system_now
from trading.errors import StaleVersion, UnknownId
from trading.journal import CancelKind, Halt, Journal, JournalIntent, RunControlAction
from trading.lifecycle import IntentState

REHEARSED = Started(how=How.NOT, told="a dry run starts nothing")
NOT_NEEDED = Started(how=How.NOT, told="nothing is left to do")


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Hold who acts and why; `is_rehearsal` keeps nothing of it."""

    actor: str
    reason: str
    is_rehearsal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredAndStarted:
    """Hold an answer to a pending intent, and how its execution was started."""

    answered: Answered
    execution: Started


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedAndStarted:
    """Hold what was asked of an order, and how the broker is asked for it."""

    asked: OrderAsked
    then: Started


def answer(
    desk: Desk, row: JournalIntent, what: Answer, *, seen: Shown, by: By, starts: Starts = STARTS
) -> AnsweredAndStarted:
    """Approve or reject a pending intent as it was seen; an approval starts the execution at once."""
    with _journal(desk, by) as journal:
        answered = actions.answer_intent(
            journal,
            row.intent_id,
            what,
            seen=seen,
            actor=by.actor,
            reason=by.reason,
            now=desk.act_at(row.intent.book, row.intent.session),
        )
    if by.is_rehearsal:
        return AnsweredAndStarted(answered=answered, execution=REHEARSED)
    if answered.state is not IntentState.APPROVED:
        return AnsweredAndStarted(answered=answered, execution=NOT_NEEDED)
    return AnsweredAndStarted(
        answered=answered, execution=starts.execution(desk, row.intent.book, row.intent.session)
    )


def expire(desk: Desk, row: JournalIntent, *, version: int, by: By, now: datetime) -> JournalIntent:
    """End a pending or approved intent whose time is over."""
    actions.require_actor(by.actor, by.reason)
    with _journal(desk, by) as journal:
        return journal.expire(row.intent_id, version=version, actor=by.actor, now=now)


def change_control(
    desk: Desk, action: RunControlAction, *, by: By, confirmed: str | None = None
) -> ControlChanged:
    """Halt, pause or resume all trading."""
    with _journal(desk, by) as journal:
        now = system_now()
        if action is RunControlAction.HALT:
            halted = actions.halt(journal, actor=by.actor, reason=by.reason, now=now)
            if not by.is_rehearsal:
                cancel_apart(desk, actor=by.actor, reason=by.reason, is_waiting=False)
            return halted
        if action is RunControlAction.PAUSE:
            return actions.pause(journal, actor=by.actor, reason=by.reason, now=now)
        return actions.resume(journal, confirmed=confirmed, actor=by.actor, reason=by.reason, now=now)


def lift(desk: Desk, *, account: str, symbol: str, changed_at: datetime, by: By) -> HaltLifted:
    """End the halt of an account or an instrument that was seen; raises `UnknownId`, `StaleVersion`."""
    found = _halt_of(desk, account, symbol)
    if found.changed_at != changed_at:
        raise StaleVersion(
            f"halt of {account} {symbol}".rstrip()
            + f": is since {found.changed_at.isoformat()}, you saw another; look again"
        )
    with _journal(desk, by) as journal:
        return actions.lift_halt(journal, found, actor=by.actor, reason=by.reason, now=system_now())


def ask_of_order(
    desk: Desk, row: JournalIntent, kind: CancelKind, *, version: int, by: By, starts: Starts = STARTS
) -> AskedAndStarted:
    """Ask for an order's cancel or replacement as it was seen, and have the broker asked."""
    if row.version != version:
        raise StaleVersion(
            f"{row.intent_id} {row.intent.symbol}: is version {row.version}, you saw {version}; look again"
        )
    with _journal(desk, by) as journal:
        asked = actions.ask_cancel_of(
            journal,
            row.intent_id,
            kind,
            actor=by.actor,
            reason=by.reason,
            now=desk.act_at(row.intent.book, row.intent.session),
        )
    if by.is_rehearsal:
        return AskedAndStarted(asked=asked, then=REHEARSED)
    if not asked.state.is_open:
        return AskedAndStarted(asked=asked, then=NOT_NEEDED)
    if kind is CancelKind.REPLACE:
        return AskedAndStarted(asked=asked, then=starts.execution(desk, row.intent.book, row.intent.session))
    return AskedAndStarted(asked=asked, then=starts.reconciling(desk, row.intent.book))


def _journal(desk: Desk, by: By) -> AbstractContextManager[Journal]:
    return desk.rehearse_journal() if by.is_rehearsal else desk.open_journal()


def _halt_of(desk: Desk, account: str, symbol: str) -> Halt:
    for halt in desk.journal.halts():
        if (halt.account, halt.symbol) == (account, symbol):
            return halt
    what = f"{account} {symbol}".rstrip()
    raise UnknownId(f"halt of {what}: there is none; `trading status` lists what is halted")
