"""What needs a person between journal and broker: findings with what to do about each, and what is stuck.

How a finding is made is protocol.py, who records it reconciliation.py. The journal keeps findings as
incidents, once each; what they halt stays halted until a person lifts it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from trading.audit import Part
from trading.journal import Incident, JournalIntent
from trading.lifecycle import IntentState, Stage
from trading.protocol import FINDINGS_APART, FindingKind

PARKED = "parked"

CHAIN_BROKEN = "audit_chain_broken"
"""The incident of an audit log that was changed: it halts all trading."""

HOLDINGS = frozenset({FindingKind.POSITION.value, FindingKind.CASH.value, FindingKind.OVERSOLD.value})
"""Findings on what is held; every other one is on an order."""

REMEDIES: Mapping[str, str] = {
    FindingKind.ZOMBIE.value: "its cancel was asked for; see at the broker who sent it, then lift the halt",
    FindingKind.ORPHAN.value: "find at the broker who sent it; correct it there, then lift the halt",
    FindingKind.MISMATCHED.value: "compare `trading trace` of it with the broker, then lift the halt",
    FindingKind.TWICE.value: "cancel the one that is too many at the broker, then lift the halt",
    FindingKind.FOREIGN.value: "somebody else trades in the account; give the desk an account of its own",
    FindingKind.POSITION.value: "compare `trading positions` with the broker's statement, then lift the halt",
    FindingKind.CASH.value: "compare `trading positions` with the broker's statement, then lift the halt",
    FindingKind.OVERSOLD.value: "an execution was taken back that was sold on: buy it back at the broker",
    FindingKind.FILL_REFUSED.value: "compare the fills of `trading trace` with the broker's confirmations",
    FindingKind.BUST.value: "the broker took an execution back: check the position, then lift the halt",
    FindingKind.UNRESOLVED.value: "see `trading trace` of it; it needs a person at the broker and here",
    PARKED: "search the broker for the client order id, then `trading intents conclude` or reconcile again",
}
"""What a person does about each kind."""

REMEDY_OF_THE_LOG = (
    "`trading verify` names the line; keep journal and log, put the true log back, or where INV7 holds move "
    "audit.jsonl away and `trading reconcile` writes it again (docs/how-to/copy_and_restore.md), then resume"
)
"""What a person does about a broken audit chain, which is no finding of an order or a holding."""

REMEDIES_OF_THE_LOG: Mapping[Part, str] = {
    Part.LOG: REMEDY_OF_THE_LOG,
    Part.CHECKPOINTS: (
        "`trading verify` says more; put audit.checkpoints.jsonl and keys/ back, or without a copy move them "
        "away with audit.jsonl, and `trading reconcile` begins them anew (docs/how-to/copy_and_restore.md), "
        "then resume"
    ),
    Part.JOURNAL: (
        "`trading verify` says more; keep the folder, and put back a whole copy, in which the journal is its "
        "log's (docs/how-to/copy_and_restore.md), then resume"
    ),
}
"""What a person does about a broken audit chain, by the file that is not what it was."""

WHY_PARKED: Mapping[str, str] = {
    "acknowledged_then_absent": "the broker had acknowledged the order, and now does not know it",
    "dedup_not_for_all_time": "this broker may forget order ids, so sending again could double the order",
    "holder_not_proven_dead": "the process that began to send it may still be alive, so it may still arrive",
    "order_mismatch": "the broker has another order under its id",
    "query_not_authoritative": "that this broker does not know an order proves nothing",
}
"""Why an intent waits for a person, by the reason that the protocol gives."""

STUCK_AFTER = timedelta(seconds=60)
"""How long an intent may be on its way to the broker, or unknown, before a person is told."""


def in_words(reason: str) -> str:
    """Return a reason for which an intent is parked in words, with its name; any other one as it is."""
    return f"{WHY_PARKED[reason]} ({reason})" if reason in WHY_PARKED else reason


def findings_named(reason: str) -> tuple[str, ...]:
    """Return the findings that a halt's reason names, one each."""
    return tuple(reason.split(FINDINGS_APART))


class FindingShown(NamedTuple):
    """Hold one finding for people: its kind, what it is about, how it disagrees, and what to do."""

    kind: str
    intent_id: str
    detail: str
    remedy: str


def remedy_of(kind: str) -> str:
    """Return what a person does about a kind of finding."""
    if kind == CHAIN_BROKEN:
        return REMEDY_OF_THE_LOG
    return REMEDIES.get(kind, "see `trading status` and the runbook broker_disagrees")


def findings_kept(
    incidents: Iterable[Incident],
    *,
    account: str,
    intent_ids: Collection[str],
    after: datetime | None,
    until: datetime,
) -> tuple[FindingShown, ...]:
    """Return the findings on orders that a settled session left in the journal, in the order recorded.

    Its own are those of its intents, and those of no intent that were recorded after the session before was
    settled (`after`; `None` where there is none) and up to its own settlement.
    """
    return tuple(
        FindingShown(row.kind, row.intent_id, row.detail, remedy_of(row.kind))
        for row in incidents
        if row.account == account
        and row.kind in REMEDIES
        and row.kind not in HOLDINGS
        and (
            row.intent_id in intent_ids
            or (not row.intent_id and row.at <= until and (after is None or row.at > after))
        )
    )


def is_stuck(row: JournalIntent, *, now: datetime, after: timedelta = STUCK_AFTER) -> bool:
    """Say whether an intent waits for a proof, or a person: parked, or longer on its way than it takes.

    An order that the broker has is on its way only once its intent's time is over: it may rest all day.
    """
    if row.stage is Stage.PARKED:
        return True
    if row.state not in {IntentState.EXECUTING, IntentState.UNKNOWN}:
        return False
    since = max(row.changed_at, row.not_after) if row.stage is Stage.WORKING else row.changed_at
    return now - since >= after
