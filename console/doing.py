"""Do what a person asks, from a desk: open the journal, choose the time, act, start what follows.

For surfaces that go on serving (REST, pages); a dry run is the same act in a journal that keeps nothing. What
each act is, and what binds it, is actions.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime

from console import actions
from console.actions import Answer, Answered, ControlChanged, HaltLifted, OrderAsked, Shown
from console.agreement import log_to_resume_on
from console.approvals import require_approvable
from console.cancelling import cancel_apart
from console.concluding import require_conclusive
from console.desk import Desk
from console.execution_start import STARTS, How, Started, Starts
from console.incidents import IncidentLine, incident_of, require_open
from console.verb_apart import told_by_verb
from resources.clocks import system_now
from resources.settings import Profile
from trading.approvals import Role
from trading.clock import Phase
from trading.control import cooling, state_of, transition
from trading.errors import ApprovalRefused, BadInput, GateClosed, Refused, StaleVersion, UnknownId
from trading.flattening import is_confirmation
from trading.journal import CancelKind, Cooldown, Halt, Journal, JournalIntent, RunControlAction
from trading.lifecycle import IntentState, Refusal
from trading.values import micros_from_text

REHEARSED = Started(how=How.NOT, told="a dry run starts nothing")
NOT_NEEDED = Started(how=How.NOT, told="nothing is left to do")


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Hold who acts, in which role, and why; `is_rehearsal` keeps nothing of it."""

    actor: str
    reason: str
    role: Role | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """Hold which session's execution is tried again, and how it was started."""

    book: str
    session: date
    execution: Started


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenedLine:
    """Hold one position of a flatten; without a price it cannot be sold here."""

    symbol: str
    held: int
    on_sale: int
    quantity: int
    price_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten:
    """Hold a flatten as it was shown or, where `is_ordered`, sent; `confirm` is the word that orders it.

    `left_micros` is the exposure that would be left at the last prices.
    """

    book: str
    session: date
    currency: str
    is_ordered: bool
    orders: int
    notional_micros: int
    left_micros: int
    confirm: str
    lines: tuple[FlattenedLine, ...]
    message: str


def answer(
    desk: Desk, row: JournalIntent, what: Answer, *, seen: Shown, by: By, starts: Starts = STARTS
) -> AnsweredAndStarted:
    """Approve or reject a pending intent as it was seen; an approval starts the execution at once.

    Raises `Refused` for an approval on stores that do not belong together, `BadSetting` for one that could
    not be executed, since a reviewed file cannot be read.
    """
    if what is Answer.APPROVE and (by.role is None or by.role.may_act):
        require_approvable(desk, row.intent.book)
    with _journal(desk, by) as journal:
        answered = actions.answer_intent(
            journal,
            row.intent_id,
            what,
            seen=seen,
            actor=by.actor,
            reason=by.reason,
            now=desk.act_at(row.intent.book, row.intent.session),
            role=by.role,
        )
    if by.is_rehearsal:
        return AnsweredAndStarted(answered=answered, execution=REHEARSED)
    if answered.state is not IntentState.APPROVED:
        return AnsweredAndStarted(answered=answered, execution=NOT_NEEDED)
    return AnsweredAndStarted(
        answered=answered, execution=starts.execution(desk, row.intent.book, row.intent.session)
    )


def note_refused(desk: Desk, row: JournalIntent, what: Answer, *, by: By) -> None:
    """Keep in the journal that somebody answered an intent who may only look; raises `ValueError` for others.

    It is refused by the rule that the journal holds every answer to, of which it keeps what it refuses.
    """
    if by.role is None or by.role.may_act:
        raise ValueError(f"{by.actor}: is {by.role or 'in no role'}; only who may not act is refused unheard")
    with suppress(ApprovalRefused):
        answer(desk, row, what, seen=actions.shown(row), by=by)


def expire(desk: Desk, row: JournalIntent, *, version: int, by: By, now: datetime) -> JournalIntent:
    """End a pending or approved intent whose time is over."""
    actions.require_actor(by.actor, by.reason)
    with _journal(desk, by) as journal:
        return actions.expire(journal, row.intent_id, version=version, actor=by.actor, now=now)


def change_control(
    desk: Desk, action: RunControlAction, *, by: By, confirmed: str | None = None
) -> ControlChanged:
    """Halt, pause, degrade, restore or resume all trading."""
    with _journal(desk, by) as journal:
        now = system_now()
        if action is RunControlAction.HALT:
            halted = actions.halt(journal, actor=by.actor, reason=by.reason, now=now)
            if not by.is_rehearsal:
                cancel_apart(desk, actor=by.actor, reason=by.reason, is_waiting=False)
            return halted
        if action is RunControlAction.PAUSE:
            return actions.pause(journal, actor=by.actor, reason=by.reason, now=now)
        if action in {RunControlAction.DEGRADE, RunControlAction.RESTORE}:
            is_on = action is RunControlAction.DEGRADE
            return actions.degrade(journal, is_on=is_on, actor=by.actor, reason=by.reason, now=now)
        return actions.resume(
            journal,
            audit=log_to_resume_on(desk),
            confirmed=confirmed,
            actor=by.actor,
            reason=by.reason,
            now=now,
        )


def retry(desk: Desk, book: str, session: date, *, by: By, starts: Starts = STARTS) -> Retried:
    """Have a session's execution tried again; what was sent is never sent twice."""
    with _journal(desk, by) as journal:
        actions.retry(
            journal,
            book=book,
            lane=desk.lane,
            session=session,
            actor=by.actor,
            reason=by.reason,
            now=desk.act_at(book, session),
        )
    started = REHEARSED if by.is_rehearsal else starts.execution(desk, book, session)
    return Retried(book=book, session=session, execution=started)


def flatten(desk: Desk, book: str, *, confirmed: str | None, by: By) -> Flatten:
    """Preview what selling all that a book holds would be, or order what a preview showed by its word.

    It is done in a process of its own, since a server holds no broker. A rehearsal is a preview.
    """
    # These three go to a process as its arguments.
    actions.require_actor(by.actor, by.reason)
    if confirmed is not None and not is_confirmation(confirmed):
        raise BadInput(f"{confirmed[:80]!a}: is no word of a flatten; a preview shows it")
    refused = transition(state_of(desk.journal.run_control()), RunControlAction.FLATTEN)
    if isinstance(refused, Refusal):
        raise GateClosed(f"flatten: {refused.code}: {refused.message}")
    words = [f"--book={book}", f"--reason={by.reason}", f"--as={by.actor}", "--yes"]
    is_ordered = confirmed is not None and not by.is_rehearsal
    told = told_by_verb(["flatten", *words, *([f"--confirm={confirmed}"] if is_ordered else [])])
    return Flatten(
        book=book,
        session=date.fromisoformat(told["session"]),
        currency=told["currency"],
        is_ordered=is_ordered,
        orders=told["orders"],
        notional_micros=micros_from_text(told["notional"]),
        left_micros=micros_from_text(told["left"]),
        confirm=told["confirm"],
        lines=tuple(
            FlattenedLine(
                symbol=line["symbol"],
                held=line["held"],
                on_sale=line["on_sale"],
                quantity=line["quantity"],
                price_micros=micros_from_text(line["price"]),
            )
            for line in told["lines"]
        ),
        message=str(told.get("message", "")),
    )


def acknowledge(desk: Desk, incident_id: int, *, by: By) -> IncidentLine:
    """Keep that a named person has taken an open incident on; raises `UnknownId`, `Refused`.

    It stays open until what it is about has ended: acknowledging says who looks, and lifts nothing.
    """
    actions.require_actor(by.actor, by.reason)
    row = incident_of(desk, incident_id)
    require_open(row)
    now = _speaking_at(desk, row)
    with _journal(desk, by) as journal:
        journal.acknowledge_incident(incident_id=incident_id, actor=by.actor, reason=by.reason, now=now)
    return replace(row, acknowledged_by=by.actor, acknowledged_at=now, acknowledgement=by.reason)


def act_on(desk: Desk, incident_id: int, *, by: By, is_end: bool) -> IncidentLine:
    """Keep what a named person did about an incident, or with `is_end` that it is over.

    What halts something is over when its halt is lifted, and what is about an open intent when that has
    ended: such an end raises `Refused`. Raises `UnknownId`.
    """
    actions.require_actor(by.actor, by.reason)
    row = incident_of(desk, incident_id)
    if is_end:
        require_open(row)
        if row.halts:
            raise Refused(
                f"incident {incident_id} {row.kind}: halts {row.halts}; it is over when that is lifted: "
                f"{row.remedy}"
            )
        if row.intent_id:
            raise Refused(
                f"incident {incident_id} {row.kind}: is over when intent {row.intent_id} has ended: "
                f"{row.remedy}"
            )
    now = _speaking_at(desk, row)
    with _journal(desk, by) as journal:
        journal.act_on_incident(
            incident_id=incident_id, is_end=is_end, actor=by.actor, reason=by.reason, now=now
        )
    if not is_end:
        return row
    return replace(row, is_open=False, answered_by=by.actor, answered_at=now, answer=f"resolved: {by.reason}")


def plan_action(desk: Desk, incident_id: int, *, owner: str, due_on: date, by: By) -> int:
    """Keep what somebody is to do so that an incident does not happen again; returns its number in it.

    Raises `UnknownId`, or `BadInput` for an owner without a name and a day that is over.
    """
    if not owner.strip():
        raise BadInput(f"owner {owner!r}: empty; say who does it with --owner NAME")
    # By the machine's clock, as it is judged overdue: people do it, on whatever days the desk trades.
    if due_on < (today := system_now().date()):
        raise BadInput(f"until {due_on}: is over, today is {today}; name today or a later day")
    actions.require_actor(owner, by.reason)
    now = _speaking_at(desk, incident_of(desk, incident_id))
    with _journal(desk, by) as journal:
        return journal.plan_action(
            incident_id=incident_id, owner=owner, due_on=due_on, actor=by.actor, reason=by.reason,
            now=now,
        )  # fmt: skip


def finish_action(desk: Desk, incident_id: int, action: int, *, by: By) -> None:
    """Keep that an action is done, and what came of it; raises `UnknownId`, `IllegalTransition`."""
    now = _speaking_at(desk, incident_of(desk, incident_id))
    with _journal(desk, by) as journal:
        journal.finish_action(
            incident_id=incident_id, action=action, actor=by.actor, reason=by.reason, now=now
        )


def _speaking_at(desk: Desk, row: IncidentLine) -> datetime:
    """Return when a person speaks about an incident: now, on simulated days the last that is told of it.

    Simulated days have no clock that goes on by itself: the machine's would make years of a minute.
    """
    if desk.settings.profile is not Profile.SIMULATED:
        return system_now()
    return max(filter(None, (row.at, row.acknowledged_at, row.answered_at)))


def lifted_at(desk: Desk, halt: Halt) -> datetime:
    """Return when a person lifts a halt: now, on simulated days the open of its account's last session.

    A halt that came later in that session is lifted when it came.
    """
    if desk.settings.profile is not Profile.SIMULATED:
        return system_now()
    books = [book for book in desk.books.values() if book.account == halt.account]
    return max([halt.changed_at, *desk.last_opens(books)])


def lift(desk: Desk, *, account: str, symbol: str, changed_at: datetime, by: By) -> HaltLifted:
    """End the halt of an account or an instrument that was seen; raises `UnknownId`, `StaleVersion`."""
    found = halt_of(desk, account, symbol)
    if found.changed_at != changed_at:
        raise StaleVersion(
            f"halt of {account} {symbol}".rstrip()
            + f": is since {found.changed_at.isoformat()}, you saw another; look again"
        )
    with _journal(desk, by) as journal:
        now = lifted_at(desk, found)
        return actions.lift_halt(journal, found, actor=by.actor, reason=by.reason, now=now)


def cooldown_of(desk: Desk, account: str) -> tuple[Cooldown, datetime] | None:
    """Return the cooldown that an account is in and when a person acts on it, `None` where it is in none."""
    for book in desk.books.values():
        if book.account == account:
            session = desk.session(book, None)
            now = desk.act_at(book.name, session if session is not None else desk.today(book))
            found = cooling(desk.journal.cooldowns(), account=account, lane=desk.lane, now=now)
            if found is not None:
                return found, now
    return None


def end_cooldown(desk: Desk, account: str, *, began_at: datetime, by: By) -> Cooldown:
    """End the cooldown of an account that was seen; raises `UnknownId`, `StaleVersion` for a later one."""
    cooling_down = cooldown_of(desk, account)
    if cooling_down is None:
        raise UnknownId(f"cooldown of {account}: it is in none; `trading status` lists what is held back")
    found, now = cooling_down
    if found.began_at != began_at:
        raise StaleVersion(
            f"cooldown of {account}: is since {found.began_at.isoformat()}, you saw another; look again"
        )
    with _journal(desk, by) as journal:
        return actions.end_cooldown(journal, found, actor=by.actor, reason=by.reason, now=now)


def conclude(desk: Desk, row: JournalIntent, *, version: int, is_on_word: bool, by: By) -> JournalIntent:
    """End a parked intent as it was seen, by the word of who knows that the broker has no order of it."""
    _require_version(row, version)
    require_conclusive(desk, row, is_on_word=is_on_word)
    with _journal(desk, by) as journal:
        return actions.conclude_absent(
            journal,
            row.intent_id,
            is_on_word=is_on_word,
            actor=by.actor,
            reason=by.reason,
            now=desk.clock(desk.books[row.intent.book]).now(row.intent.session, Phase.SETTLE),
        )


def ask_of_order(
    desk: Desk, row: JournalIntent, kind: CancelKind, *, version: int, by: By, starts: Starts = STARTS
) -> AskedAndStarted:
    """Ask for an order's cancel or replacement as it was seen, and have the broker asked."""
    _require_version(row, version)
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


def _require_version(row: JournalIntent, version: int) -> None:
    if row.version != version:
        raise StaleVersion(
            f"{row.intent_id} {row.intent.symbol}: is version {row.version}, you saw {version}; look again"
        )


def halt_of(desk: Desk, account: str, symbol: str) -> Halt:
    """Return the halt of an account (`symbol` empty) or an instrument; raises `UnknownId`."""
    for halt in desk.journal.halts():
        if (halt.account, halt.symbol) == (account, symbol):
            return halt
    what = f"{account} {symbol}".rstrip()
    raise UnknownId(f"halt of {what}: there is none; `trading status` lists what is halted")
