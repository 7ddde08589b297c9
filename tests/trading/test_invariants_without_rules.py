"""What one broken rule of the store lets happen is seen by the invariants alone, from what was recorded.

Each life is a real journal's with one of its rules taken out. Evidence that somebody changed is
test_invariants.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from resources.evidence import gather
from resources.journal import approvals, outcomes, preparations, sessions
from resources.journal.store import SqlJournal
from trading.approvals import ChainStage, StageRecord, StageVerdict
from trading.audit import GENESIS, chained, content_of
from trading.brokers import BrokerDump
from trading.decisions import Decision, Outcome
from trading.guards import GUARDS, NAMED_NO_TERM, NAMES_SAID, NO_LIMIT, PASS, Why
from trading.intents import intent_id_of
from trading.invariants import Evidence, Violation, violations
from trading.journal import CancelKind, JournalEvent, JournalIntent, JournalOrder, Preparation
from trading.lifecycle import IntentState
from trading.orders import BrokerOrder, OrderStatus
from trading.positions import Book
from trading.protocol import ABSENCES_NEEDED
from trading.testing import example_decision, example_intent, reconciled_term
from trading.values import IntentId

ACCOUNT, LANE = "SIM-FIVE", "simulated"
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
CLOSE = datetime(2013, 2, 28, 21, 0, tzinfo=UTC)
OF = {"book": "us_five", "lane": LANE, "session": SESSION}
OPENING = Book(currency="USD", cash_micros=10**12, deposits_micros=10**12)
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)
DECISION = example_decision(example_intent("AAPL"), not_after=CLOSE)
WAITS = example_decision(example_intent("AAPL"), not_after=CLOSE, outcome=Outcome.PENDING_APPROVAL)


@dataclass(slots=True, kw_only=True)
class Life:
    """Drive a journal step by step, with nothing between that would hold a step back."""

    journal: SqlJournal
    review: tuple[Why, ...] = PASSED

    def decide(self, *decisions: Decision) -> JournalIntent:
        self.journal.opening_book(**OF, previous=None, opened=OPENING, now=NOW)
        decided = decisions or (DECISION,)
        return self.journal.register(**OF, decisions=decided, verdicts=[], decisions_sha="d", now=NOW)[0]

    def began(self) -> int:
        return self.journal.begin_term(account=ACCOUNT, lane=LANE, holder="another", now=NOW)

    def reconciled(self) -> int:
        return reconciled_term(self.journal, account=ACCOUNT, lane=LANE, now=NOW)

    def prepare(self, row: JournalIntent, term: int, *, at: datetime = NOW) -> Preparation:
        claimed = self.journal.claim(row.intent_id, version=row.version, term=term, holder="x", now=NOW)
        return self.journal.prepare(
            row.intent_id, **self._of(claimed, term), send_by=CLOSE, is_live=False, now=at
        )

    def lose(self, row: JournalIntent, *, absences: int = ABSENCES_NEEDED) -> JournalIntent:
        """Hear nothing of a send, and find its order absent so often."""
        lost = self.journal.mark_unknown(
            row.intent_id, epoch=row.epoch, reason="timed_out", is_takeover=False, now=NOW
        )
        for _ in range(absences):
            self.journal.record_absence(row.intent_id, epoch=lost.epoch, now=NOW)
        return lost

    def send_again(self, row: JournalIntent, term: int) -> Preparation:
        return self.journal.prepare_again(row.intent_id, **self._of(row, term), send_by=CLOSE, now=NOW)

    def conclude(self, row: JournalIntent, **said: Any) -> JournalIntent:
        options = {"is_expired": False, "settle_time_s": 0, "is_death_proven": True, "now": NOW}
        return self.journal.conclude_absent(
            row.intent_id, epoch=row.epoch, reason="gone", **{**options, **said}
        )

    def acknowledge(self, row: JournalIntent, order: JournalOrder) -> JournalIntent:
        return self.journal.acknowledge(row.intent_id, epoch=row.epoch, order=at_broker(order), now=NOW)

    def ask_cancel(self, row: JournalIntent, kind: CancelKind) -> JournalIntent:
        return self.journal.ask_cancel(
            row.intent_id, epoch=row.epoch, kind=kind, actor="ann", reason="wanted", now=NOW
        )

    def replace(self, row: JournalIntent, order: JournalOrder, term: int) -> Preparation:
        asked = self.ask_cancel(self.acknowledge(row, order), CancelKind.REPLACE)
        ended = at_broker(order, OrderStatus.CANCELLED)
        return self.journal.prepare_replacement(
            row.intent_id, **self._of(asked, term), ended=ended, send_by=CLOSE, is_live=False, now=NOW
        )

    def approve(self, row: JournalIntent, actor: str, *, at: datetime) -> JournalIntent:
        seen = {"version": row.version, "payload_hash": row.payload_hash, "nonce": f"by {actor}"}
        return self.journal.approve(row.intent_id, **seen, actor=actor, reason="looked at it", now=at)

    def found(self, **options: Any) -> tuple[Violation, ...]:
        return violations(gather(self.journal, **options))

    def _of(self, row: JournalIntent, term: int) -> dict[str, Any]:
        review = {"book_at_open": OPENING, "review": lambda *_: self.review}
        return {"epoch": row.epoch, "term": term, **review}


@pytest.fixture
def life(tmp_path) -> Iterable[Life]:
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        yield Life(journal=journal)


def at_broker(order: JournalOrder, status: OrderStatus = OrderStatus.WORKING) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b-1",
        client_order_id=order.client_order_id,
        symbol=order.request.symbol,
        side=order.request.side,
        quantity=order.request.quantity,
        filled_quantity=0,
        status=status,
    )


def told(found: Sequence[Violation]) -> list[tuple[str, str]]:
    """Give each violation's invariant and what it says, without the number of the event."""
    return [(each.invariant, each.detail.partition(": ")[2] or each.detail) for each in found]


def without(monkeypatch: pytest.MonkeyPatch, module: Any, rule: str) -> None:
    """Take one rule out of the store: it refuses nothing any more."""
    monkeypatch.setattr(module, rule, lambda *_, **__: "")


def as_earlier(evidence: Evidence) -> Evidence:
    """Give the evidence of a version that told no term, and of an ending by absence no more than how many."""
    prev_hash, events = GENESIS, list[JournalEvent]()
    new = {kind: {"term"} for kind in ("claimed", "prepared", "prepared_again", "replaced")}
    new["proven_absent"] = {"is_on_word", "settle_time_s", "is_death_proven"}
    for event in evidence.events:
        left_out = new.get(event.kind, set())
        body = {name: said for name, said in event.body.items() if name not in left_out}
        bare = event._replace(body=body)
        hashed = chained(prev_hash, content_of(bare))
        events.append(bare._replace(prev_hash=prev_hash, hash=hashed))
        prev_hash = hashed
    return replace(evidence, events=tuple(events))


# -------------------------------------------------------------------------------- executors' terms


def test_a_send_where_no_executor_ever_began_is_seen(life, monkeypatch):
    without(monkeypatch, preparations, "term_refusal")
    life.prepare(life.decide(), 7)

    assert told(life.found()) == [
        ("INV11", f"{step} in term 7, but no executor's term ever began") for step in ("claimed", "prepared")
    ]


def test_a_send_of_an_executor_that_was_fenced_off_is_seen(life, monkeypatch):
    without(monkeypatch, preparations, "term_refusal")
    old = life.reconciled()
    life.reconciled()
    life.prepare(life.decide(), old)

    assert told(life.found()) == [
        ("INV11", f"{step} in term 1, while term 2 was in force") for step in ("claimed", "prepared")
    ]


def test_what_is_sent_again_or_replaced_before_the_term_is_reconciled_is_seen(life, monkeypatch):
    other = example_decision(example_intent("GOOG"), not_after=CLOSE)
    life.decide(DECISION, other)
    first = life.reconciled()
    lost, kept = (life.prepare(row, first) for row in life.journal.intents(**OF))
    unknown = life.lose(lost.intent)
    without(monkeypatch, preparations, "term_refusal")
    second = life.began()
    life.send_again(unknown, second)
    life.replace(kept.intent, kept.order, second)

    late = "before its executor's term was reconciled"
    assert told(life.found()) == [("INV11", f"prepared_again {late}"), ("INV11", f"replaced {late}")]


def test_a_term_that_another_one_reconciles_is_not_reconciled(life, monkeypatch):
    row, old = life.decide(), life.began()
    new = life.began()
    without(monkeypatch, preparations, "term_refusal")
    life.journal.record_reconciled(account=ACCOUNT, lane=LANE, term=old, findings=[], now=NOW)
    life.prepare(row, new)

    late = "before its executor's term was reconciled"
    assert [each for each in told(life.found()) if each[0] == "INV11"] == [
        ("INV11", f"{step} {late}") for step in ("claimed", "prepared")
    ]


def test_a_journal_of_a_version_that_told_no_term_with_a_send_is_not_violated(life):
    other = example_decision(example_intent("GOOG"), not_after=CLOSE)
    life.decide(DECISION, other)
    term = life.reconciled()
    lost, kept = (life.prepare(row, term) for row in life.journal.intents(**OF))
    life.send_again(life.lose(lost.intent), term)
    life.replace(kept.intent, kept.order, term)
    now = gather(life.journal)
    then = as_earlier(now)
    of_terms = {"executor_began", "reconciled"}
    before_terms = [event for event in then.events if event.kind not in of_terms]
    never = as_earlier(replace(then, events=tuple(e._replace(seq=n) for n, e in enumerate(before_terms, 1))))

    assert [event.body["term"] for event in now.events if "prep" in event.kind] == [term] * 3
    assert violations(now) == violations(then) == ()
    assert {each.invariant for each in violations(never)} == {"INV7"}


# -------------------------------------------------------------------------------- guards that did not look


@pytest.mark.parametrize("looked", sorted({len(GUARDS) - 1, len(GUARDS) + 1, *NAMES_SAID} - {len(GUARDS)}))
def test_a_send_on_the_word_of_a_part_of_the_guards_is_seen_unless_there_were_no_more_of_them(
    life, monkeypatch, looked
):
    without(monkeypatch, preparations, "review_refusal")
    # It counts on every guard as well: what it promises is at the reference price.
    monkeypatch.setattr(
        preparations, "reservation_micros", lambda row, _: row.intent.price_micros * row.quantity
    )
    life.review = (*PASSED, PASSED[0])[:looked]
    life.prepare(life.decide(), life.reconciled())
    now = gather(life.journal)
    seen = [("INV10", f"prepared, but {looked} of {len(GUARDS)} guards looked at it")]

    assert told(violations(now)) == seen
    assert told(violations(as_earlier(now))) == ([] if looked in NAMED_NO_TERM else seen)


# -------------------------------------------------------------------------------- proofs of absence


@pytest.mark.parametrize("absences", [0, ABSENCES_NEEDED - 1])
def test_what_is_sent_again_or_ended_on_too_few_absences_is_seen(life, monkeypatch, absences):
    other = example_decision(example_intent("GOOG"), not_after=CLOSE)
    life.decide(DECISION, other)
    term = life.reconciled()
    both = [life.prepare(row, term).intent for row in life.journal.intents(**OF)]
    again, ended = (life.lose(row, absences=absences) for row in both)
    without(monkeypatch, preparations, "absence_refusal")
    without(monkeypatch, outcomes, "conclusion_refusal")
    life.send_again(again, term)
    life.conclude(ended)

    why = f"it was absent {absences} times, and 3 prove it"
    assert told(life.found()) == [
        ("INV4", f"ended as absent, but {why}"),
        ("INV10", f"sent again, but {why}"),
    ]


def test_the_absences_of_one_send_prove_nothing_of_the_next(life, monkeypatch):
    row, term = life.decide(), life.reconciled()
    lost = life.lose(life.prepare(row, term).intent)
    sent = life.send_again(lost, term).intent
    assert life.found() == ()
    without(monkeypatch, preparations, "absence_refusal")
    life.send_again(life.lose(sent, absences=0), term)

    assert told(life.found()) == [("INV10", "sent again, but it was absent 0 times, and 3 prove it")]


def test_what_was_once_at_the_broker_is_never_proven_absent(life, monkeypatch):
    other = example_decision(example_intent("GOOG"), not_after=CLOSE)
    life.decide(DECISION, other)
    term = life.reconciled()
    known, shown = (life.prepare(row, term) for row in life.journal.intents(**OF))
    without(monkeypatch, preparations, "absence_refusal")
    without(monkeypatch, outcomes, "conclusion_refusal")
    life.send_again(life.lose(life.acknowledge(known.intent, known.order)), term)
    lost = life.lose(shown.intent)
    life.journal.record_presence(lost.intent_id, epoch=lost.epoch, broker_order_id="b-2", now=NOW)
    for _ in range(ABSENCES_NEEDED):
        life.journal.record_absence(lost.intent_id, epoch=lost.epoch, now=NOW)
    life.conclude(lost)

    assert told(life.found()) == [
        ("INV4", "ended as absent, but the broker had its order as b-2"),
        ("INV10", "sent again, but the broker had its order as b-1"),
    ]


@pytest.mark.parametrize(
    "waited", [{"settle_time_s": 300}, {"is_death_proven": False}], ids=["for the broker", "for the sender"]
)
def test_what_is_ended_while_its_order_may_still_arrive_is_seen(life, monkeypatch, waited):
    lost = life.lose(life.prepare(life.decide(), life.reconciled()).intent)
    without(monkeypatch, outcomes, "conclusion_refusal")
    life.conclude(lost, **waited)
    ((invariant, why),) = told(life.found())

    assert (invariant, why.partition(" (")[0]) == (
        "INV4",
        "ended as absent, but it may have arrived since it was last looked for",
    )
    assert violations(as_earlier(gather(life.journal))) == ()


def test_a_persons_name_without_their_word_proves_no_absence_nor_does_a_word_without_a_name(
    life, monkeypatch
):
    other = example_decision(example_intent("GOOG"), not_after=CLOSE)
    life.decide(DECISION, other)
    term = life.reconciled()
    named, said = (
        life.lose(life.prepare(row, term).intent, absences=0) for row in life.journal.intents(**OF)
    )
    without(monkeypatch, outcomes, "conclusion_refusal")
    without(monkeypatch, outcomes, "check_person")
    life.conclude(named, actor="ann")
    life.conclude(said, is_on_word=True)

    assert told(life.found()) == [
        ("INV4", "ended as absent, but it was absent 0 times, and 3 prove it"),
        ("INV4", "ended as absent, but nobody gave their word"),
    ]


def test_a_named_person_may_say_that_an_order_is_absent(life):
    row, term = life.decide(), life.reconciled()
    prepared = life.prepare(row, term)
    lost = life.lose(life.acknowledge(prepared.intent, prepared.order), absences=0)
    life.conclude(lost, actor="ann", is_on_word=True)

    assert life.found() == ()
    assert violations(as_earlier(gather(life.journal))) == ()


# -------------------------------------------------------------------------------- identity


def test_an_intent_under_another_id_than_its_decisions_is_seen(life, monkeypatch):
    without(monkeypatch, sessions, "check_batch")
    life.prepare(life.decide(replace(DECISION, intent_id=IntentId("int-other"))), life.reconciled())

    assert life.found() == (
        Violation("INV1", "int-other", f"what was decided about is named {DECISION.intent_id}"),
    )


def test_two_intents_of_one_decision_are_seen_though_their_orders_have_two_ids(life, monkeypatch):
    without(monkeypatch, sessions, "check_batch")
    life.decide(replace(DECISION, intent_id=IntentId("int-other")), DECISION)
    term = life.reconciled()
    orders = {life.prepare(row, term).order.client_order_id for row in life.journal.intents(**OF)}
    found = life.found()

    assert len(orders) == 2
    assert [(each.invariant, each.subject) for each in found] == [("INV1", "int-other")]


def test_one_decision_in_two_accounts_or_lanes_is_two_intents(life):
    row = life.decide()
    account = intent_id_of(account="SIM-TWO", lane=row.lane, intent_key=row.intent.intent_key)
    lane = intent_id_of(account=row.account, lane="replay:one", intent_key=row.intent.intent_key)
    others = (
        replace(row, intent_id=account, account="SIM-TWO"),
        replace(row, intent_id=lane, lane="replay:one"),
    )
    evidence = replace(gather(life.journal), intents=(row, *others))

    assert [each for each in violations(evidence) if each.invariant == "INV1"] == []


# -------------------------------------------------------------------------------- time


@pytest.mark.parametrize("late_s", [0, 3 * 86_400])
def test_what_is_prepared_after_its_time_is_seen(life, monkeypatch, late_s):
    without(monkeypatch, preparations, "send_time_refusal")
    life.prepare(life.decide(), life.reconciled(), at=CLOSE + timedelta(seconds=late_s))

    assert told(life.found()) == [("INV10", "prepared, but to be sent before 2013-02-28T21:00:00.000000Z")]


def test_what_is_prepared_in_time_for_its_intent_but_not_for_its_send_is_seen(life, monkeypatch):
    without(monkeypatch, preparations, "send_time_refusal")
    row, term = life.decide(replace(DECISION, not_after=CLOSE + timedelta(days=1))), life.reconciled()
    life.prepare(row, term, at=CLOSE)

    assert told(life.found()) == [("INV10", "prepared, but to be sent before 2013-02-28T21:00:00.000000Z")]


# -------------------------------------------------------------------------------- approvals


def stage(
    name: ChainStage, verdict: StageVerdict, *, approvers: int = 0, until: datetime = CLOSE
) -> StageRecord:
    return StageRecord(name, verdict, "auto", "as the policy says", "", approvers, until, NOW)


RISK = stage(ChainStage.RISK, StageVerdict.PASSED)
SHADOW = stage(ChainStage.SHADOW, StageVerdict.FAILED, until=NOW)


@pytest.mark.parametrize(
    ("held_up", "says"),
    [
        (stage(ChainStage.PERSON, StageVerdict.WAITING, approvers=2), "person is waiting"),
        (stage(ChainStage.COMPLIANCE, StageVerdict.FAILED), "compliance is failed"),
    ],
)
def test_what_is_decided_as_approved_though_its_chain_holds_it_up_is_seen(life, monkeypatch, held_up, says):
    without(monkeypatch, sessions, "check_batch")
    life.decide(replace(DECISION, chain=(RISK, SHADOW, held_up)))

    assert told(life.found()) == [("INV12", f"decided as approved, but {says}")]


def test_what_nobody_has_to_approve_is_decided_as_approved(life):
    nobody = stage(ChainStage.PERSON, StageVerdict.NOT_NEEDED)
    life.decide(replace(DECISION, chain=(RISK, SHADOW, nobody)))

    assert life.found() == ()


@pytest.mark.parametrize("approvers", [1, 2])
def test_an_approval_after_its_time_is_seen(life, monkeypatch, approvers):
    waiting = stage(ChainStage.PERSON, StageVerdict.WAITING, approvers=approvers)
    row = life.decide(replace(WAITS, chain=(RISK, SHADOW, waiting)))
    monkeypatch.setattr(approvals, "answer_refusal", lambda *_, **__: None)
    for actor in ("ann", "bob")[:approvers]:
        row = life.approve(row, actor, at=CLOSE)

    late = "but only until 2013-02-28T21:00:00.000000Z"
    steps = ("endorsed", "approved")[-approvers:]
    assert told(life.found()) == [("INV12", f"{step}, {late}") for step in steps]


def test_an_approval_after_a_stage_before_it_counts_no_more_is_seen(life, monkeypatch):
    waiting = stage(ChainStage.PERSON, StageVerdict.WAITING, approvers=1)
    until = NOW + timedelta(hours=1)
    risk = stage(ChainStage.RISK, StageVerdict.PASSED, until=until)
    row = life.decide(replace(WAITS, chain=(risk, SHADOW, waiting)))
    monkeypatch.setattr(approvals, "answer_refusal", lambda *_, **__: None)
    life.approve(row, "ann", at=until)

    assert told(life.found()) == [("INV12", "approved, but only until 2013-02-28T15:30:00.000000Z")]


def test_an_approval_in_time_is_seen_as_such_with_or_without_a_chain(life):
    waiting = stage(ChainStage.PERSON, StageVerdict.WAITING, approvers=1)
    other = example_decision(example_intent("GOOG"), not_after=CLOSE, outcome=Outcome.PENDING_APPROVAL)
    life.decide(replace(WAITS, chain=(RISK, SHADOW, waiting)), other)
    for row, actor in zip(life.journal.intents(**OF), ("ann", "bob"), strict=True):
        life.approve(row, actor, at=CLOSE - timedelta(seconds=1))

    assert life.found() == ()


# -------------------------------------------------------------------------------- endings


@pytest.mark.parametrize("wrong", [IntentState.FAILED, IntentState.CANCELLED, IntentState.EXPIRED])
@pytest.mark.parametrize(
    ("asked", "status", "means"),
    [
        (CancelKind.CANCEL, OrderStatus.CANCELLED, IntentState.CANCELLED),
        (CancelKind.REPLACE, OrderStatus.CANCELLED, IntentState.CANCELLED),
        (CancelKind.EXPIRY, OrderStatus.CANCELLED, IntentState.EXPIRED),
        (CancelKind.NONE, OrderStatus.CANCELLED, IntentState.EXPIRED),
        (CancelKind.NONE, OrderStatus.REJECTED, IntentState.FAILED),
    ],
)
@pytest.mark.parametrize("is_found", [False, True])
def test_an_ending_is_what_its_orders_ending_means(
    life, monkeypatch, *, asked, status, means, wrong, is_found
):
    monkeypatch.setattr(outcomes, "ending_of", lambda *_, **__: wrong)
    prepared = life.prepare(life.decide(), life.reconciled())
    row = life.acknowledge(prepared.intent, prepared.order)
    if asked is not CancelKind.NONE:
        row = life.ask_cancel(row, asked)
    ended = at_broker(prepared.order, status)
    if is_found:
        row = life.lose(row, absences=0)
    end = life.journal.adopt if is_found else life.journal.close_working
    end(row.intent_id, epoch=row.epoch, order=ended, now=NOW)
    found = life.found(dumps=[BrokerDump(account=ACCOUNT, is_live=False, orders=(ended,))])

    after = f" after {asked} was asked for" if asked else ""
    says = f"ended {status}{after}, so its intent is {means}, not {wrong}"
    assert told(found) == ([] if wrong is means else [("INV4", says)])
