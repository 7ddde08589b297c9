"""Gates: what must hold of a whole batch of decisions before anything of it may execute.

A guard says whether *this intent* may go; a gate says whether the *batch* is fit to trade on. The same
functions stand behind the blocking asset checks and in front of the executor, which asks again itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trading.decisions import DecisionRow, Outcome, needs_person
from trading.guards import BPS, GUARDS
from trading.journal import JournalIntent, JournalOrder, RunControl
from trading.lifecycle import IntentState
from trading.limits import Limits
from trading.values import IntentId, Slot
from trading.verdicts import Verdict, by_intent, stopping, verdicts_sha

INTENT_FIELDS = ("session", "symbol", "side", "price_micros", "intent_key")
JOURNAL_FIELDS = (
    "quantity",
    "unadvised_quantity",
    "payload_hash",
    "account",
    "lane",
    "not_after",
    "verdicts_sha",
    "limits_sha",
    "inputs_sha",
)
"""What a decision's row has in common with its registered intent, and with that one's row in the journal."""


class Gate(NamedTuple):
    """Hold one gate's answer: a full statement as name, whether it holds, why not, and the offending rows."""

    name: str
    passed: bool
    detail: str
    rows: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """Hold what the gates look at, read afresh: the batch, the journal's side of it, and its inputs now.

    `inputs_sha` is the digest of the inputs as they are now, empty with `inputs_problem` saying why they
    cannot be read.
    """

    decisions: Sequence[DecisionRow]
    verdicts: Sequence[Verdict]
    intents: Sequence[JournalIntent]
    orders: Sequence[JournalOrder]
    control: RunControl
    limits: Limits
    inputs_sha: str
    inputs_problem: str
    is_settled: bool = False


def decision_gates(facts: BatchFacts) -> tuple[Gate, ...]:
    """Return every gate's answer on a batch, in a fixed order."""
    return (
        trading_is_running(facts),
        quotes_are_fresh(facts),
        every_intent_is_judged_by_every_guard(facts),
        decisions_match_the_journal(facts),
        no_approved_intent_is_over_a_limit(facts),
        no_intent_is_executed_twice(facts),
    )


GATE_NAMES = (
    "trading_is_running",
    "quotes_are_fresh",
    "every_intent_is_judged_by_every_guard",
    "decisions_match_the_journal",
    "no_approved_intent_is_over_a_limit",
    "no_intent_is_executed_twice",
)


def closed(gates: Sequence[Gate]) -> str:
    """Return why execution is held, naming each closed gate; empty where all are open."""
    return "; ".join(f"{gate.name}: {gate.detail}" for gate in gates if not gate.passed)


def trading_is_running(facts: BatchFacts) -> Gate:
    """Hold everything while the kill switch is on or a person has paused trading."""
    control = facts.control
    if facts.is_settled:
        return _open("trading_is_running", "the session is settled: nothing of it is sent")
    if control.kill_switch_on:
        return _closed("trading_is_running", f"halted by {control.actor}: {control.reason}")
    if control.paused:
        return _closed("trading_is_running", f"paused by {control.actor}: {control.reason}")
    return _open("trading_is_running", "kill switch off, not paused")


def quotes_are_fresh(facts: BatchFacts) -> Gate:
    """Hold a batch whose inputs are gone, or are not the ones it was decided on, or are stale in part."""
    name = "quotes_are_fresh"
    if facts.inputs_problem:
        return _closed(name, facts.inputs_problem)
    changed = [row for row in facts.decisions if row.inputs_sha != facts.inputs_sha]
    if changed:
        return _closed(
            name,
            f"{len(changed)} of {len(facts.decisions)} decisions were made on other inputs than stand now: "
            "quotes, actions, or a reviewed file of rules or limits; put back what was changed, or cancel "
            "what was approved by `trading orders cancel ID`",
            [
                {"symbol": row.symbol, "decided_on": row.inputs_sha[:12], "now": facts.inputs_sha[:12]}
                for row in changed
            ],
        )
    stale = [verdict for verdict in facts.verdicts if verdict.guard == "quote_age" and not verdict.passed]
    if facts.decisions and len(stale) * BPS > facts.limits.stale_ratio_bps_max * len(facts.decisions):
        return _closed(
            name,
            f"{len(stale)} of {len(facts.decisions)} intents stand on stale quotes: "
            f"over {facts.limits.stale_ratio_bps_max} bps",
            [{"symbol": row.symbol, "sessions_behind": str(row.observed)} for row in stale],
        )
    return _open(name, "inputs are those decided on")


def every_intent_is_judged_by_every_guard(facts: BatchFacts) -> Gate:
    """Hold a batch in which an intent lacks a verdict, has one twice, or others than it was decided on."""
    name = "every_intent_is_judged_by_every_guard"
    expected = [guard for guard, _ in GUARDS]
    judged = by_intent(facts.verdicts)
    bad: list[Mapping[str, str]] = []
    for row in facts.decisions:
        own = judged.get(row.intent_key, ())
        guards = [verdict.guard for verdict in own]
        if guards != expected:
            bad.append({"symbol": row.symbol, "what": "not one verdict a guard", "guards": ",".join(guards)})
        elif verdicts_sha(own) != row.verdicts_sha:
            bad.append({"symbol": row.symbol, "what": "other verdicts than it was decided on", "guards": ""})
    if bad:
        return _closed(name, f"{len(bad)} intents: {bad[0]['symbol']} {bad[0]['what']}", bad)
    return _open(name, f"{len(facts.decisions)} intents, {len(expected)} guards each")


def decisions_match_the_journal(facts: BatchFacts) -> Gate:
    """Hold a batch whose table says anything else than what was registered: it was tampered with."""
    name = "decisions_match_the_journal"
    registered: dict[IntentId, JournalIntent] = {row.intent_id: row for row in facts.intents}
    bad = [
        {"symbol": row.symbol, "intent_id": row.intent_id, "what": what}
        for row in facts.decisions
        if (what := _difference(row, registered.get(row.intent_id)))
    ]
    listed = {row.intent_id for row in facts.decisions}
    bad += [
        {"symbol": row.intent.symbol, "intent_id": row.intent_id, "what": "registered but not in the table"}
        for row in facts.intents
        # A flatten is a person's command beside the batch: no decision of the session made it.
        if row.intent_id not in listed and row.intent.slot is not Slot.FLATTEN
    ]
    if bad:
        return _closed(
            name, f"{len(bad)} decisions differ from the journal: {bad[0]['symbol']} {bad[0]['what']}", bad
        )
    return _open(name, f"{len(facts.decisions)} decisions equal the journal's")


def no_approved_intent_is_over_a_limit(facts: BatchFacts) -> Gate:
    """Hold a batch that would execute what a guard stopped, or approved by itself what needs a person."""
    name = "no_approved_intent_is_over_a_limit"
    judged = by_intent(facts.verdicts)
    bad: list[Mapping[str, str]] = []
    for row in facts.decisions:
        if row.outcome not in {Outcome.APPROVED, Outcome.PENDING_APPROVAL}:
            continue
        failed = stopping(judged.get(row.intent_key, ()))
        unattended = row.outcome is Outcome.APPROVED and needs_person(
            side=row.side, price_micros=row.price_micros, quantity=row.quantity, limits=facts.limits
        )
        if failed is not None and (failed.blocks or row.outcome is Outcome.APPROVED):
            bad.append({"symbol": row.symbol, "what": failed.reason})
        elif unattended:
            bad.append({"symbol": row.symbol, "what": "approved above the automatic limit"})
    if bad:
        return _closed(name, f"{len(bad)} intents may not go: {bad[0]['symbol']} {bad[0]['what']}", bad)
    return _open(name, "every intent that may go is within its limits")


def no_intent_is_executed_twice(facts: BatchFacts) -> Gate:
    """Hold a batch with a repeated id, or with two orders of one intent and generation."""
    name = "no_intent_is_executed_twice"
    bad: list[Mapping[str, str]] = []
    seen: set[IntentId] = set()
    for row in facts.decisions:
        if row.intent_id in seen:
            bad.append({"symbol": row.symbol, "intent_id": row.intent_id, "what": "intent id twice"})
        seen.add(row.intent_id)
    ordered: set[tuple[IntentId, int]] = set()
    for order in facts.orders:
        if (order.intent_id, order.generation) in ordered:
            bad.append({"symbol": order.request.symbol, "intent_id": order.intent_id, "what": "two orders"})
        ordered.add((order.intent_id, order.generation))
    if bad:
        return _closed(name, f"{len(bad)} repeated: {bad[0]['symbol']} {bad[0]['what']}", bad)
    return _open(name, f"{len(seen)} ids, {len(ordered)} orders, none twice")


def _difference(row: DecisionRow, registered: JournalIntent | None) -> str:
    """Return how a decision's row differs from its registered intent, empty where it does not."""
    if registered is None:
        return "not registered"
    told = {name: getattr(registered.intent, name) for name in INTENT_FIELDS}
    told |= {name: getattr(registered, name) for name in JOURNAL_FIELDS}
    for name, stored in told.items():
        if getattr(row, name) != stored:
            return f"{name} {getattr(row, name)}, registered {stored}"
    is_dead = registered.state is IntentState.REJECTED and registered.quantity == 0
    if (row.outcome in {Outcome.BLOCKED, Outcome.VETOED}) != is_dead:
        return f"outcome {row.outcome}, registered state {registered.state}"
    return ""


def _open(name: str, detail: str) -> Gate:
    return Gate(name, passed=True, detail=detail)


def _closed(name: str, detail: str, rows: Sequence[Mapping[str, str]] = ()) -> Gate:
    return Gate(name, passed=False, detail=detail, rows=tuple(rows))
