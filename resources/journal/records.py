"""Rows of the journal's tables as the records of trading.journal; read by the store and by the reader alike.

Imports no database: the console's reading verbs start in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Protocol

from trading.advisor_calls import AdvisorCall, Purpose, Tier
from trading.approvals import ApprovalMode, ChainStage, StageRecord, StageVerdict
from trading.audit import instant_from_text
from trading.breakers import Breaker, BreakerReason, BreakerState
from trading.brokers import request_from_payload
from trading.intents import Intent, intent_from_payload
from trading.journal import (
    CancelKind,
    Cooldown,
    Delivery,
    ExecutorTerm,
    FlattenCommand,
    Halt,
    Incident,
    JournalEvent,
    JournalIntent,
    JournalOrder,
    OutboxMessage,
    QuoteRelease,
    RunControl,
    SessionRecord,
)
from trading.lifecycle import IntentState, Stage
from trading.orders import Fill, OrderRequest
from trading.outbound import CallKind, OutboundCall
from trading.positions import Book, book_from_payload
from trading.routing import RouteChoice
from trading.values import ClientOrderId, IntentId, Side, Symbol
from trading.verdicts import Verdict


class Row(Protocol):
    """Give one row's values by column name, whatever driver read it."""

    def __getitem__(self, name: str, /) -> Any:
        """Return the value of a column."""
        ...

    def keys(self) -> Iterable[str]:
        """Return the names of the columns."""
        ...


DEGRADE, APPROVAL = "degrade", "approval"
"""The names of the rows of `modes`."""

ON, OFF = "on", "off"
"""The values of the mode `degrade`."""

UNTOUCHED_RUN_CONTROL = RunControl(kill_switch_on=False, paused=False, actor="", reason="", changed_at=None)
"""The run control before anybody set it."""


TEXTS_KEPT_MAX = 1024
"""How many payloads stay read: an intent's is asked for at each of its steps, and its text never changes."""


BOOKS_KEPT_MAX = 256
"""How many books stay read: a settled session's never changes, and a page shows a quarter of them."""


def intent_of(row: Row) -> JournalIntent:
    """Return the record of one row of `intents`."""
    return JournalIntent(
        intent_id=IntentId(row["intent_id"]),
        intent=_intent_of_payload(row["payload"]),
        account=row["account"],
        lane=row["lane"],
        state=IntentState(row["state"]),
        stage=Stage(row["stage"]),
        version=row["version"],
        epoch=row["epoch"],
        generation=row["generation"],
        quantity=row["quantity"],
        unadvised_quantity=row["unadvised_quantity"],
        filled_quantity=row["filled_quantity"],
        payload_hash=row["payload_hash"],
        reason=row["reason"],
        actor=row["actor"],
        not_after=instant_from_text(row["not_after"]),
        verdicts_sha=row["verdicts_sha"],
        limits_sha=row["limits_sha"],
        inputs_sha=row["inputs_sha"],
        complete=row["state"] == IntentState.EXECUTED and row["filled_quantity"] == row["quantity"],
        changed_at=instant_from_text(row["changed_at"]),
    )


def verdict_of(row: Row, *, intent: Intent) -> Verdict:
    """Return the record of one row of `verdicts`; the intent's row says what it is about."""
    return Verdict(
        intent_key=intent.intent_key,
        symbol=intent.symbol,
        session=intent.session,
        guard=row["guard"],
        passed=bool(row["passed"]),
        reason=row["reason"],
        observed=row["observed"],
        limit=row["limit_value"],
        largest_quantity=row["largest_quantity"],
        limits_sha=row["limits_sha"],
    )


def order_of(row: Row) -> JournalOrder:
    """Return the record of one row of `orders`."""
    return JournalOrder(
        intent_id=IntentId(row["intent_id"]),
        client_order_id=ClientOrderId(row["client_order_id"]),
        generation=row["generation"],
        request=_request_of_payload(row["request"]),
        request_sha=row["request_sha"],
        status=row["status"],
        broker_order_id=row["broker_order_id"],
        filled_quantity=row["filled_quantity"],
        attempts=row["attempts"],
        absences=row["absences"],
        first_absent_at=_instant_or_none(row["first_absent_at"]),
        cancel_asked_at=_instant_or_none(row["cancel_asked_at"]),
        cancel_kind=CancelKind(row["cancel_kind"]),
        prepared_at=instant_from_text(row["prepared_at"]),
        send_by=instant_from_text(row["send_by"]),
        reason=row["reason"],
        route=RouteChoice(
            row["expected_adapter"], row["actual_adapter"], row["fallback_count"], row["fallback_reason"]
        ),
    )


def fill_of(row: Row) -> Fill:
    """Return the record of one row of `fills`."""
    return Fill(
        execution_id=row["execution_id"],
        client_order_id=ClientOrderId(row["client_order_id"]),
        intent_id=IntentId(row["intent_id"]),
        symbol=Symbol(row["symbol"]),
        side=Side(row["side"]),
        quantity=row["quantity"],
        price_micros=row["price_micros"],
        commission_micros=row["commission_micros"],
        session=date.fromisoformat(row["session"]),
        filled_at=instant_from_text(row["filled_at"]),
    )


def session_record_of(row: Row) -> SessionRecord:
    """Return the record of one row of `book_sessions`."""
    refused = f"{row['refused_stage']}: {row['refused_reason']}" if row["refused_stage"] else ""
    return SessionRecord(
        book=row["book"],
        lane=row["lane"],
        session=date.fromisoformat(row["session"]),
        opening_sha=row["opening_sha"],
        decided_at=_instant_or_none(row["decided_at"]),
        decisions_sha=row["decisions_sha"],
        settled_at=_instant_or_none(row["settled_at"]),
        carried_by=row["carried_by"],
        closing=None if row["closing"] is None else book_of(row["closing"]),
        closing_sha=row["closing_sha"],
        refused=refused,
    )


@lru_cache(BOOKS_KEPT_MAX)
def book_of(text: str) -> Book:
    """Return the book of its stored JSON text."""
    return book_from_payload(json.loads(text))


def run_control_of(row: Row | None, modes: Iterable[Row]) -> RunControl:
    """Return the record of the row of `run_control`, untouched without one, and the rows of `modes`."""
    control = UNTOUCHED_RUN_CONTROL
    if row is not None:
        control = RunControl(
            kill_switch_on=bool(row["kill_switch_on"]),
            paused=bool(row["paused"]),
            actor=row["actor"],
            reason=row["reason"],
            changed_at=instant_from_text(row["changed_at"]),
        )
    for mode in modes:
        if mode["name"] == DEGRADE:
            control = replace(
                control,
                is_degraded=mode["value"] == ON,
                degraded_by=mode["actor"],
                degraded_reason=mode["reason"],
                degraded_at=instant_from_text(mode["changed_at"]),
            )
        elif mode["value"]:
            control = replace(control, approval_mode=ApprovalMode(mode["value"]))
    return control


def stage_of(row: Row) -> StageRecord:
    """Return the record of one row of `approval_stages`."""
    return StageRecord(
        stage=ChainStage(row["stage"]),
        verdict=StageVerdict(row["verdict"]),
        policy=row["policy"],
        detail=row["detail"],
        actor=row["actor"],
        approvers=row["approvers"],
        expires_at=instant_from_text(row["expires_at"]),
        at=instant_from_text(row["at"]),
    )


def cooldown_of(row: Row) -> Cooldown:
    """Return the record of one row of `cooldowns`."""
    return Cooldown(
        account=row["account"],
        lane=row["lane"],
        failures=row["failures"],
        began_at=instant_from_text(row["began_at"]),
        until=instant_from_text(row["until"]),
        actor=row["actor"],
        reason=row["reason"],
    )


def flatten_of(row: Row) -> FlattenCommand:
    """Return the record of one row of `flatten_commands`."""
    return FlattenCommand(
        command_id=row["command_id"],
        book=row["book"],
        lane=row["lane"],
        account=row["account"],
        session=date.fromisoformat(row["session"]),
        plan=row["plan"],
        previewed_by=row["previewed_by"],
        previewed_at=instant_from_text(row["previewed_at"]),
        ordered_by=row["ordered_by"],
        reason=row["reason"],
        ordered_at=_instant_or_none(row["ordered_at"]),
    )


def event_of(row: Row) -> JournalEvent:
    """Return the record of one row of `events`."""
    return JournalEvent(
        seq=row["seq"],
        at=instant_from_text(row["at"]),
        kind=row["kind"],
        book=row["book"],
        lane=row["lane"],
        session=row["session"],
        intent_id=row["intent_id"],
        actor=row["actor"],
        reason=row["reason"],
        body=json.loads(row["body"]),
        prev_hash=row["prev_hash"],
        hash=row["hash"],
    )


def message_of(row: Row) -> OutboxMessage:
    """Return the record of one row of `outbox`."""
    return OutboxMessage(
        outbox_id=row["outbox_id"],
        dedup_key=row["dedup_key"],
        channel=row["channel"],
        severity=row["severity"],
        subject=row["subject"],
        body=row["body"],
        status=row["status"],
        attempts=row["attempts"],
        created_at=instant_from_text(row["created_at"]),
        due_at=instant_from_text(row["due_at"]),
    )


def delivery_of(row: Row) -> Delivery:
    """Return the record of one row of `deliveries` with its message's channel."""
    return Delivery(
        outbox_id=row["outbox_id"],
        attempt=row["attempt"],
        channel=row["channel"],
        is_delivered=bool(row["is_delivered"]),
        reason=row["reason"],
        at=instant_from_text(row["at"]),
    )


def release_of(row: Row) -> QuoteRelease:
    """Return the record of one row of `quote_releases`."""
    return QuoteRelease(
        row_id=row["row_id"],
        actor=row["actor"],
        reason=row["reason"],
        released_at=instant_from_text(row["released_at"]),
    )


def incident_of(row: Row) -> Incident:
    """Return the record of one row of `incidents`."""
    return Incident(
        incident_id=row["incident_id"],
        kind=row["kind"],
        account=row["account"],
        intent_id=row["intent_id"],
        detail=row["detail"],
        at=instant_from_text(row["at"]),
    )


def halt_of(row: Row) -> Halt:
    """Return the record of one row of `halts`."""
    return Halt(
        account=row["account"],
        symbol=row["symbol"],
        actor=row["actor"],
        reason=row["reason"],
        changed_at=instant_from_text(row["changed_at"]),
    )


def executor_term_of(row: Row) -> ExecutorTerm:
    """Return the record of one row of `executors`."""
    return ExecutorTerm(
        account=row["account"],
        lane=row["lane"],
        term=row["term"],
        holder=row["holder"],
        began_at=instant_from_text(row["began_at"]),
        reconciled_at=_instant_or_none(row["reconciled_at"]),
    )


def breaker_of(row: Row) -> Breaker:
    """Return the record of one row of `breakers`."""
    return Breaker(
        name=row["name"],
        state=BreakerState(row["state"]),
        failures=row["failures"],
        trials=row["trials"],
        until=_instant_or_none(row["until"]),
        holder=row["holder"],
        word=row["word"],
        version=row["version"],
    )


def outbound_call_of(row: Row) -> OutboundCall:
    """Return the record of one row of `outbound_calls`."""
    return OutboundCall(
        at=instant_from_text(row["at"]),
        provider=row["provider"],
        endpoint=row["endpoint"],
        account=row["account"],
        kind=CallKind(row["kind"]),
        status=row["status"],
        word=row["word"],
        latency_ms=row["latency_ms"],
        waited_ms=row["waited_ms"],
        attempt=row["attempt"],
        breaker=BreakerReason(row["breaker"]),
        was_cached=bool(row["was_cached"]),
    )


def advisor_call_of(row: Row) -> AdvisorCall:
    """Return the record of one row of `advisor_calls`."""
    told = {name: row[name] for name in AdvisorCall._fields}
    return AdvisorCall(**told)._replace(
        at=instant_from_text(row["at"]),
        session=date.fromisoformat(row["session"]),
        purpose=Purpose(row["purpose"]),
        tier=Tier(row["tier"]),
        is_counted=bool(row["is_counted"]),
        ok=bool(row["ok"]),
        breaker=BreakerReason(row["breaker"]),
        was_cached=bool(row["was_cached"]),
    )


@lru_cache(maxsize=TEXTS_KEPT_MAX)
def _intent_of_payload(text: str) -> Intent:
    return intent_from_payload(json.loads(text))


@lru_cache(maxsize=TEXTS_KEPT_MAX)
def _request_of_payload(text: str) -> OrderRequest:
    return request_from_payload(json.loads(text))


def _instant_or_none(text: str | None) -> datetime | None:
    return None if text is None else instant_from_text(text)
