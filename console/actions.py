"""What a person does to trading: approve, reject, halt, pause, resume, cancel, replace, conclude.

One set of actions behind every surface: each takes ports and plain values, does one thing in the journal and
returns what it did. What binds an action to what its actor saw is checked here and again by the journal.
Looking is status.py and its neighbours; quarantined rows are quarantine.py; starting runs is launcher.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from console.render import in_one_line, instant, is_shown
from trading.approvals import ApprovalMode, Role
from trading.audit import AuditLog
from trading.errors import (
    ApprovalRefused,
    BadInput,
    GateClosed,
    IllegalTransition,
    Refused,
    StaleVersion,
)
from trading.executions import ask_cancel, conclude_parked
from trading.findings import REMEDIES_OF_THE_LOG
from trading.intents import hashed
from trading.journal import (
    CancelKind,
    Cooldown,
    Halt,
    Journal,
    JournalIntent,
    RunControl,
    RunControlAction,
    SessionRecord,
)
from trading.lifecycle import NOT_BEGUN, IntentState, Stage, Step
from trading.protocol import cancel_refusal
from trading.values import IntentId, digest

REASON_CHARACTERS_MAX = 10_000
"""The longest reason that the journal keeps."""

CONFIRM_PREFIX = "resume-"
"""How the word begins that the second step of a resume names."""


class Answer(StrEnum):
    """Say what a person answers to a pending intent."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Hold what an approver saw and so answers to: the payload's hash and the version of the row."""

    payload_hash: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Hold an answer given: which intent, by whom, and the state it is in now."""

    intent_id: IntentId
    book: str
    session: str
    symbol: str
    answer: Answer
    actor: str
    reason: str
    state: IntentState
    version: int
    payload_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlChanged:
    """Hold a change of run control, before and after. `changed` is false where nothing was to be resumed."""

    action: RunControlAction
    changed: bool
    before: RunControl
    after: RunControl


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltLifted:
    """Hold the halt of an account or an instrument that was ended, and by whom."""

    halt: Halt
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAsked:
    """Hold what was asked of an order; an intent that was never sent is `cancelled` at once."""

    intent_id: IntentId
    book: str
    session: str
    symbol: str
    kind: CancelKind
    actor: str
    reason: str
    client_order_id: str
    state: IntentState


def shown(intent: JournalIntent) -> Shown:
    """Return what has to be named to answer to an intent as it stands now."""
    return Shown(payload_hash=intent.payload_hash, version=intent.version)


def answer_intent(
    journal: Journal,
    intent_id: IntentId,
    answer: Answer,
    *,
    seen: Shown,
    actor: str,
    reason: str,
    now: datetime,
    role: Role | None = None,
) -> Answered:
    """Approve or reject one pending intent, bound to what its actor saw; `role` where a token gave one.

    Raises `ApprovalRefused` where the payload is another by now, its time is over, a viewer answers or the
    same person twice above the four-eyes limit; `StaleVersion` where somebody else was first: all of it is
    kept in the journal. The first approval of two leaves the intent pending; approving sends nothing, since
    the executor does, after looking again.
    """
    require_actor(actor, reason)
    act = journal.approve if answer is Answer.APPROVE else journal.reject
    try:
        after = act(
            intent_id,
            version=seen.version,
            payload_hash=seen.payload_hash,
            nonce=nonce_of(intent_id, seen),
            actor=actor,
            reason=reason,
            now=now,
            role=role,
        )
    except (IllegalTransition, StaleVersion) as error:
        intent = journal.intent(intent_id)
        if intent.state is IntentState.PENDING_APPROVAL:
            raise
        raise type(error)(
            f"{intent_id} {intent.intent.symbol}: {_answered_before(journal, intent)}; is {intent.state} "
            f"since {instant(intent.changed_at)}, nothing was changed; see `trading approvals list`"
        ) from error
    return Answered(
        intent_id=intent_id,
        book=after.intent.book,
        session=after.intent.session.isoformat(),
        symbol=after.intent.symbol,
        answer=answer,
        actor=actor,
        reason=reason,
        state=after.state,
        version=after.version,
        payload_hash=after.payload_hash,
    )


def _answered_before(journal: Journal, intent: JournalIntent) -> str:
    """Return who answered an intent, as what and when; that nobody did where it ended otherwise."""
    answers = {Step.APPROVED, Step.REJECTED}
    given = [event for event in journal.events_of(intent.intent_id) if event.kind in answers and event.actor]
    if not given:
        return "not pending approval"
    return f"answered by {given[-1].actor} as {given[-1].kind} at {instant(given[-1].at)}"


def nonce_of(intent_id: IntentId, seen: Shown) -> str:
    """Return the word under which an answer is kept: one for each intent, payload and version.

    It follows from what was shown, so it is no secret and proves no preview. What makes an answer single is
    the version: the journal compares and sets it.
    """
    return "ans-" + hashed(intent_id, seen.payload_hash, str(seen.version))


def halt(journal: Journal, *, actor: str, reason: str, now: datetime) -> ControlChanged:
    """Stop all trading at once: nothing more is claimed or sent until a person resumes.

    A halt during a halt is kept as well: it is now the one in force, so that the word of the first one,
    whose reason may be over, no longer ends it. It is not refused for how its reason is written: what would
    not be shown is kept as its escape.
    """
    reason = in_one_line(reason) if reason.strip() else reason
    require_actor(actor, reason)
    before = journal.run_control()
    after = journal.set_run_control(RunControlAction.HALT, actor=actor, reason=reason, now=now)
    return ControlChanged(action=RunControlAction.HALT, changed=True, before=before, after=after)


def pause(journal: Journal, *, actor: str, reason: str, now: datetime) -> ControlChanged:
    """Hold trading back without the kill switch. Raises `GateClosed` while halted: a halt is not lowered.

    Raises `StaleVersion` where somebody changed run control meanwhile.
    """
    require_actor(actor, reason)
    control = journal.run_control()
    if control.kill_switch_on:
        raise GateClosed(
            f"pause: trading is halted by {control.actor} ({control.reason}), which stops more than a pause; "
            "end the halt with `trading resume`"
        )
    after = journal.set_run_control(
        RunControlAction.PAUSE, actor=actor, reason=reason, now=now, expected=control
    )
    return ControlChanged(action=RunControlAction.PAUSE, changed=True, before=control, after=after)


def degrade(journal: Journal, *, is_on: bool, actor: str, reason: str, now: datetime) -> ControlChanged:
    """Trade less and by hand from now on, or normally again; a halt or a pause stands apart from it.

    A degrade during a degrade is kept as well, and its word is now the one in force. Raises `GateClosed`
    where trading is not degraded and should be restored.
    """
    require_actor(actor, reason)
    before = journal.run_control()
    if not is_on and not before.is_degraded:
        ended = (
            f", {before.degraded_by} ended it at {instant(before.degraded_at)} ({before.degraded_reason})"
            if before.degraded_by
            else ""
        )
        raise GateClosed(f"restore: trading is not degraded{ended}: nothing was changed")
    action = RunControlAction.DEGRADE if is_on else RunControlAction.RESTORE
    after = journal.set_run_control(action, actor=actor, reason=reason, now=now)
    return ControlChanged(
        action=action, changed=before.is_degraded != after.is_degraded, before=before, after=after
    )


def set_approval_mode(
    journal: Journal, mode: ApprovalMode | None, *, actor: str, reason: str, now: datetime
) -> ControlChanged:
    """Store the mode that approvals are wanted in, `None` to have each book's reviewed one again.

    It never makes a book more automatic than its reviewed file says.
    """
    require_actor(actor, reason)
    before = journal.run_control()
    after = journal.set_approval_mode(mode, actor=actor, reason=reason, now=now)
    changed = before.approval_mode is not after.approval_mode
    return ControlChanged(action=RunControlAction.MODE, changed=changed, before=before, after=after)


def end_cooldown(journal: Journal, cooldown: Cooldown, *, actor: str, reason: str, now: datetime) -> Cooldown:
    """End an account's cooldown before its time; raises `UnknownId` where it is over already."""
    require_actor(actor, reason)
    return journal.end_cooldown(
        account=cooldown.account, lane=cooldown.lane, actor=actor, reason=reason, now=now
    )


def retry(
    journal: Journal, *, book: str, lane: str, session: date, actor: str, reason: str, now: datetime
) -> None:
    """Keep that a person has a session's execution tried again; the caller starts it.

    Raises `Refused` for a session that was never run or is settled, `GateClosed` while trading is halted or
    paused, or an account cools down.
    """
    require_actor(actor, reason)
    record = journal.session_record(book=book, lane=lane, session=session)
    if record is None:
        raise Refused(
            f"retry {book} {session}: this session was never run, so nothing of it can be tried again; "
            f"`trading run-once --book {book} --session {session}` runs it"
        )
    if why_not := nothing_to_retry(record):
        raise Refused(f"retry {book} {session}: {why_not}")
    journal.record_retry(book=book, lane=lane, session=session, actor=actor, reason=reason, now=now)


def nothing_to_retry(record: SessionRecord | None) -> str:
    """Return why nothing of a session is left to try again, empty where something may be."""
    if record is None or record.settled_at is None:
        return ""
    return f"is settled since {instant(record.settled_at)}: nothing is left to try, nothing was run"


def confirmation_of(control: RunControl) -> str:
    """Return the word that ends this very halt or pause and no other: it changes with who, why and when."""
    at = control.changed_at.isoformat() if control.changed_at else ""
    return CONFIRM_PREFIX + digest([control.actor, control.reason, at])[:8]


def resume(
    journal: Journal, *, audit: AuditLog, confirmed: str | None, actor: str, reason: str, now: datetime
) -> ControlChanged:
    """End a pause, or in a second step a halt: `confirmed` names the stop that was shown, a halt's always.

    Raises `ApprovalRefused` where it names another stop than the one in force, `GateClosed` without it or
    over a broken audit log, and `StaleVersion` where somebody, or an incident, changed run control meanwhile.
    """
    require_actor(actor, reason)
    control = journal.run_control()
    if control.kill_switch_on and confirmed is None:
        raise GateClosed(
            f"resume: halted by {control.actor} since {instant(control.changed_at)}: {control.reason}. "
            f"If that is over, say so by `trading resume --reason TEXT --confirm {confirmation_of(control)}`"
        )
    is_stopped = control.kill_switch_on or control.paused
    if is_stopped and confirmed is not None and confirmed != confirmation_of(control):
        stop = "halt" if control.kill_switch_on else "pause"
        raise ApprovalRefused(
            f"--confirm {confirmed}: is not the {stop} in force (by {control.actor}, {control.reason}); "
            "run `trading resume --reason TEXT` again and read what it says"
        )
    if not is_stopped:
        return ControlChanged(action=RunControlAction.RESUME, changed=False, before=control, after=control)
    require_true_log(audit)
    after = journal.set_run_control(
        RunControlAction.RESUME, actor=actor, reason=reason, now=now, expected=control
    )
    return ControlChanged(action=RunControlAction.RESUME, changed=True, before=control, after=after)


def require_true_log(audit: AuditLog) -> None:
    """Raise `GateClosed` where the audit log is not what was signed, or not the journal's.

    By the look that halts for it: what it finds now would halt again at the next execution, or be missed
    there, since that one looks at the log's end alone.
    """
    bad = audit.verify()
    if bad is not None and not bad.heals:
        raise GateClosed(
            f"resume: the audit log is broken still, {bad.part} {bad.told}: "
            f"{REMEDIES_OF_THE_LOG[bad.part]}; nothing was changed"
        )


def lift_halt(journal: Journal, halt: Halt, *, actor: str, reason: str, now: datetime) -> HaltLifted:
    """End the halt of an account or an instrument that its actor saw.

    Raises `UnknownId` where somebody else was first, `StaleVersion` where another halt is in force by now.
    """
    require_actor(actor, reason)
    journal.lift_halt(
        account=halt.account, symbol=halt.symbol, actor=actor, reason=reason, now=now, expected=halt
    )
    return HaltLifted(halt=halt, actor=actor, reason=reason)


def ask_cancel_of(
    journal: Journal, intent_id: IntentId, kind: CancelKind, *, actor: str, reason: str, now: datetime
) -> OrderAsked:
    """Store that an order is to be cancelled, or cancelled and replaced by what is left of it.

    Nothing is asked of the broker yet: the executor does that. Raises `Refused` where there is no order that
    could be cancelled.
    """
    require_actor(actor, reason)
    row = journal.intent(intent_id)
    named = f"{intent_id} {row.intent.symbol}"
    if not row.state.is_open:
        raise Refused(f"{named}: is {row.state} since {instant(row.changed_at)}: nothing is left to cancel")
    if row.state is IntentState.UNKNOWN or row.stage in {Stage.CLAIMED, Stage.PREPARED}:
        raise Refused(
            f"{named}: its outcome at the broker is not proven, so there is no order to cancel yet; "
            f"`trading reconcile --book {row.intent.book}` asks the broker first"
        )
    if kind is CancelKind.REPLACE and row.stage is not Stage.WORKING:
        raise Refused(f"{named}: was never sent: there is no order to replace; cancel it, or let it run")
    order = journal.order_of(intent_id)
    if order is not None and order.cancel_asked_at is not None and cancel_refusal(order.cancel_kind, kind):
        raise Refused(
            f"{named}: {order.cancel_kind} was asked for at {instant(order.cancel_asked_at)} already; "
            f"`trading reconcile --book {row.intent.book}` asks the broker again"
        )
    after = ask_cancel(journal, intent_id, kind=kind, actor=actor, reason=reason, now=now)
    return OrderAsked(
        intent_id=intent_id,
        book=after.intent.book,
        session=after.intent.session.isoformat(),
        symbol=after.intent.symbol,
        kind=kind,
        actor=actor,
        reason=reason,
        client_order_id=order.client_order_id if order else "",
        state=after.state,
    )


def conclude_absent(
    journal: Journal, intent_id: IntentId, *, is_on_word: bool, actor: str, reason: str, now: datetime
) -> JournalIntent:
    """End a parked intent by the word of a person who has seen that the broker has no order of it.

    Raises `Refused` for one that is not parked, and `IllegalTransition` where it was not found absent often
    enough or may still arrive; `is_on_word` takes the person's word for both. What a person can do about it
    is concluding.py.
    """
    require_actor(actor, reason)
    return conclude_parked(journal, intent_id, actor=actor, reason=reason, is_on_word=is_on_word, now=now)


def expire(
    journal: Journal, intent_id: IntentId, *, version: int, actor: str, now: datetime
) -> JournalIntent:
    """End a pending or approved intent whose time is over.

    Raises `IllegalTransition` where it is neither of them or its time is not over, `StaleVersion` where
    somebody else was first.
    """
    row = journal.intent(intent_id)
    if row.state not in NOT_BEGUN:
        raise IllegalTransition(
            f"{intent_id} {row.intent.symbol}: is {row.state} since {instant(row.changed_at)}: only what is "
            f"{IntentState.PENDING_APPROVAL} or {IntentState.APPROVED} can be expired; nothing was changed"
        )
    return journal.expire(intent_id, version=version, actor=actor, now=now)


def require_words(reason: str) -> None:
    """Raise `BadInput` unless a reason is one that the journal keeps; asked before anything starts."""
    if not reason.strip():
        raise BadInput("reason '': empty; say why, it is kept in the journal")
    if len(reason) > REASON_CHARACTERS_MAX:
        raise BadInput(f"reason {reason[:40]!a}…: say why in 1 to {REASON_CHARACTERS_MAX:,} characters")
    _require_shown("reason", reason)


def require_actor(actor: str, reason: str) -> None:
    """Raise `BadInput` unless somebody acts and says why, each in one line that reads as what it is."""
    if not actor.strip():
        raise BadInput("actor '': empty; say who acts with --as NAME, or set TRADING_OPERATOR")
    _require_shown("actor", actor)
    require_words(reason)


def _require_shown(what: str, text: str) -> None:
    if not is_shown(text):
        raise BadInput(
            f"{what} {text[:40]!a}: write one line, without breaks, tabs and other characters that are not "
            "shown or that turn the writing direction; nothing was changed"
        )
