"""A session's decisions as rows and events, and how another batch for a decided session differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from resources.journal import schema
from resources.journal.drafts import Draft, step_body
from resources.journal.queries import Of, at
from resources.journal.statements import insert_all, insert_placed
from trading.approvals import StageRecord, StageVerdict
from trading.audit import instant_text
from trading.decisions import Decision, Outcome, sent_payload_hash
from trading.errors import BadInput, DuplicateIntent
from trading.flattening import previewed_quantities
from trading.intents import intent_id_of
from trading.journal import FlattenCommand
from trading.lifecycle import IntentState, Stage, Step
from trading.values import NOTIONAL_MICROS_MAX, IntentId, Side, Slot, canonical_json
from trading.verdicts import Verdict

STAGE_COLUMNS = ("stage", "verdict", "policy", "detail", "actor", "approvers", "expires_at", "at")
"""What an event tells of a stage, in this order."""

VERDICT_COLUMNS = (
    "guard", "passed", "reason", "observed", "limit_value", "largest_quantity", "limits_sha"
)  # fmt: skip
"""What an event and a row tell of a verdict, in this order."""

_OUTCOME_STATE = {
    Outcome.BLOCKED: IntentState.REJECTED,
    Outcome.VETOED: IntentState.REJECTED,
    Outcome.PENDING_APPROVAL: IntentState.PENDING_APPROVAL,
    Outcome.APPROVED: IntentState.APPROVED,
}


def check_batch(decisions: Sequence[Decision], of: Of) -> None:
    """Raise where a decision is of another session, twice in the batch, or is none that rules could make."""
    seen = set()
    for decision in decisions:
        intent = decision.intent
        if (intent.book, decision.lane, intent.session.isoformat()) != of:
            raise BadInput(
                f"decision on {intent.symbol} of {intent.book} {decision.lane} {intent.session}:"
                f" registered under {of.book} {of.lane} {of.session}"
            )
        if decision.intent_id in seen:
            raise DuplicateIntent(f"{intent.symbol} {of.session}: two decisions under {decision.intent_id}")
        seen.add(decision.intent_id)
        if why_not := _refusal_of(decision):
            raise BadInput(f"decision on {intent.symbol} of {of.book} {of.session}: {why_not}")


def _refusal_of(decision: Decision) -> str:
    """Return how a decision is none that rules, advice and the approval policy make, empty where it is one.

    Its id is all that keeps one decision from becoming two orders, so it is no choice of the caller's.
    """
    intent, quantity, twin = decision.intent, decision.quantity, decision.unadvised_quantity
    own = intent_id_of(account=decision.account, lane=decision.lane, intent_key=intent.intent_key)
    if decision.intent_id != own:
        return f"is under id {decision.intent_id}; the id of what was decided in {decision.account} is {own}"
    if twin not in {0, intent.quantity}:
        return f"unadvised for {twin} shares, wished were {intent.quantity}: it is all of them or 0"
    if not 0 <= quantity <= twin:
        return f"for {quantity} shares, unadvised {twin}: advice takes away, it never adds"
    if (decision.outcome in {Outcome.APPROVED, Outcome.PENDING_APPROVAL}) != (quantity > 0):
        return f"{decision.outcome} with quantity {quantity}"
    if intent.price_micros * quantity > NOTIONAL_MICROS_MAX:
        return f"worth more than {NOTIONAL_MICROS_MAX} micro-units: no sum of it could be kept"
    is_waiting = any(record.verdict is StageVerdict.WAITING for record in decision.chain)
    if is_waiting and decision.outcome is not Outcome.PENDING_APPROVAL:
        return f"{decision.outcome} though its chain waits for a person: it is pending_approval until then"
    return ""


def check_flatten_batch(decisions: Sequence[Decision], command: FlattenCommand) -> None:
    """Raise `BadInput` where a decision is anything but a sale of slot `flatten` in the command's account.

    A flatten reduces and does nothing else; what it would add to is not its own. It sells no more of a
    symbol than its preview showed, and in one sale.
    """
    if not decisions:
        raise BadInput(f"flatten {command.command_id}: nothing is held, so there is nothing to order")
    for decision in decisions:
        intent = decision.intent
        if (decision.account, intent.slot, intent.side) != (command.account, Slot.FLATTEN, Side.SELL):
            raise BadInput(
                f"flatten {command.command_id}: {intent.side} {intent.symbol} in slot {intent.slot} of"
                f" {decision.account} is no sale of slot flatten in {command.account}"
            )
    previewed = previewed_quantities(command.plan)
    for decision in decisions:
        symbol, most = decision.intent.symbol, previewed.pop(decision.intent.symbol, 0)
        if decision.quantity > most:
            raise BadInput(
                f"flatten {command.command_id}: {decision.quantity} {symbol}: its preview showed {most}"
            )


def conflict_with(
    conn: sa.Connection, of: Of, decisions: Sequence[Decision], decisions_sha: str, *, stands: str
) -> str:
    """Return how decisions differ from those that a session was decided with, empty where they do not."""
    table = schema.intents
    # A flatten is a person's command beside what the session decided.
    query = sa.select(table.c.intent_id, table.c.payload_hash).where(
        *at(table, of), table.c.slot != Slot.FLATTEN.value
    )
    stored = {row.intent_id: row.payload_hash for row in conn.execute(query)}
    given = {d.intent_id: sent_payload_hash(d.intent, quantity=d.quantity) for d in decisions}
    for decision in decisions:
        if stored.get(decision.intent_id) != given[decision.intent_id]:
            return f"another decision on {decision.intent.symbol} under {decision.intent_id}"
    if len(stored) != len(given):
        return f"{len(given)} decisions, {len(stored)} are stored"
    if stands != decisions_sha:
        return f"decisions {decisions_sha[:12]}, stored are {stands[:12]}"
    return ""


def intent_row(decision: Decision, now: datetime, *, actor: str = "") -> dict[str, Any]:
    """Return the row of `intents` that a decision begins as; `actor` is who ordered it, if a person did."""
    intent = decision.intent
    return {
        "intent_id": decision.intent_id,
        "account": decision.account,
        "lane": decision.lane,
        "book": intent.book,
        "session": intent.session.isoformat(),
        "symbol": intent.symbol,
        "side": intent.side.value,
        "slot": intent.slot.value,
        "payload": canonical_json(intent.payload()),
        "payload_hash": sent_payload_hash(intent, quantity=decision.quantity),
        "state": _OUTCOME_STATE[decision.outcome].value,
        "stage": Stage.NONE.value,
        "version": 1,
        "epoch": 0,
        "generation": 0,
        "quantity": decision.quantity,
        "unadvised_quantity": decision.unadvised_quantity,
        "filled_quantity": 0,
        "reason": decision.reason,
        "actor": actor,
        "not_after": instant_text(decision.not_after),
        "verdicts_sha": decision.verdicts_sha,
        "limits_sha": decision.limits_sha,
        "inputs_sha": decision.inputs_sha,
        "changed_at": instant_text(now),
    }


Told = tuple[str, int, str, int, int, int, str]
"""A verdict as the journal keeps it: the values of `VERDICT_COLUMNS`."""


def verdicts_told(decisions: Sequence[Decision], verdicts: Sequence[Verdict]) -> dict[IntentId, list[Told]]:
    """Return each decision's verdicts, in the order given; raises `BadInput` on an unknown intent."""
    told: dict[IntentId, list[Told]] = {decision.intent_id: [] for decision in decisions}
    by_key = {decision.intent.intent_key: told[decision.intent_id] for decision in decisions}
    for key, symbol, _, guard, passed, reason, observed, limit, largest, limits_sha in verdicts:
        own = by_key.get(key)
        if own is None:
            raise BadInput(f"verdict of {guard} on {symbol}: no decision on this intent")
        own.append((guard, int(passed), reason, observed, limit, largest, limits_sha))
    return told


def verdict_rows(told: Mapping[IntentId, Sequence[Told]]) -> list[tuple[str | int, ...]]:
    """Return the rows of `verdicts`, numbered by intent: its id, its place, then `VERDICT_COLUMNS`."""
    return [
        (intent_id, place, *verdict)
        for intent_id, verdicts in told.items()
        for place, verdict in enumerate(verdicts)
    ]


def stage_row(record: StageRecord, intent_id: IntentId, place: int) -> dict[str, Any]:
    """Return the row of `approval_stages` that keeps a stage's verdict."""
    return {
        "intent_id": intent_id,
        "place": place,
        "stage": record.stage.value,
        "verdict": record.verdict.value,
        "policy": record.policy,
        "detail": record.detail,
        "actor": record.actor,
        "approvers": record.approvers,
        "expires_at": instant_text(record.expires_at),
        "at": instant_text(record.at),
    }


def stage_rows(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Return the rows of `approval_stages` that decisions begin with."""
    return [
        stage_row(record, decision.intent_id, place)
        for decision in decisions
        for place, record in enumerate(decision.chain)
    ]


def insert_decided(
    conn: sa.Connection,
    decisions: Sequence[Decision],
    verdicts: Sequence[Verdict],
    rows: Sequence[Mapping[str, Any]],
) -> dict[IntentId, list[Told]]:
    """Insert intents with their verdicts and stages of approval; return each one's verdicts as told."""
    told = verdicts_told(decisions, verdicts)
    insert_all(conn, schema.intents, rows)
    columns = ("intent_id", "place", *VERDICT_COLUMNS)
    insert_placed(conn, schema.verdicts, columns, verdict_rows(told))
    insert_all(conn, schema.approval_stages, stage_rows(decisions))
    return told


def registration(
    decision: Decision,
    row: Mapping[str, Any],
    verdicts: Sequence[Told],
    *,
    actor: str = "",
    flatten_command: str = "",
) -> Draft:
    """Return the event of a decision, with all that its row and its rows of verdicts and stages hold.

    A verdict is told as the list of its `VERDICT_COLUMNS`; a stage of the chain as stage, verdict, policy,
    detail, actor, approvers, expiry, instant. What a person ordered names that command.
    """
    state = _OUTCOME_STATE[decision.outcome]
    body = step_body(None, (Step.REGISTERED, state), decision.quantity) | {
        name: row[name]
        for name in (
            "account", "payload_hash", "unadvised_quantity", "not_after",
            "verdicts_sha", "limits_sha", "inputs_sha",
        )
    }  # fmt: skip
    body |= {"payload": decision.intent.payload(), "outcome": decision.outcome.value}
    body["verdicts"] = verdicts
    if decision.chain:
        body["chain"] = [[told[name] for name in STAGE_COLUMNS] for told in stage_rows((decision,))]
    if flatten_command:
        body["flatten_command"] = flatten_command
    return Draft(
        Step.REGISTERED.value,
        row["book"],
        row["lane"],
        row["session"],
        decision.intent_id,
        actor=actor,
        reason=decision.reason,
        body=body,
    )
