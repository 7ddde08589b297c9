"""Random lives of a journal, seeded: every deed there is, right or wrong, in an order nobody thought of.

What a deed leaves is for a suite to judge. Nothing is sent anywhere: the broker's words are made up here,
such as it could say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import TypedDict, TypeVar

from resources.evidence_ledger import EvidenceLedger
from resources.journal.store import SqlJournal
from resources.outbound.kept import JournalBreakers
from trading.approvals import ApprovalMode, ChainStage, StageRecord, StageVerdict
from trading.breakers import BreakerRules, after_failure, after_success, permission, reset
from trading.decisions import Decision, Outcome
from trading.errors import TradingError
from trading.evidence_ledger import drafts_of_run
from trading.guards import BPS, GUARDS, NO_LIMIT, PASS, QUOTE_STALE, SYMBOL_CAP_EXCEEDED, Why
from trading.intents import Intent
from trading.journal import CancelKind, CooldownRules, JournalIntent, JournalOrder, RunControlAction, StageRun
from trading.lifecycle import IntentState, Stage
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.positions import Book, Position, opened_book
from trading.testing import example_decision, example_intent, example_run, reconciled_term
from trading.values import Side, Slot, Symbol, canonical_json
from trading.verdicts import Verdict

BOOK, LANE, ACCOUNT = "us_five", "simulated", "SIM-FIVE"
FIRST = date(2013, 2, 25)
SYMBOLS = (Symbol("AAPL"), Symbol("GE"), Symbol("IBM"), Symbol("MSFT"), Symbol("XOM"))
OPENED = Book(
    currency="USD",
    cash_micros=10**15,
    deposits_micros=10**15 + len(SYMBOLS) * 10**12,
    positions=tuple(Position(symbol, 1_000, 10**12) for symbol in SYMBOLS),
)
One = TypeVar("One")

DEEDS_BETWEEN_FILINGS = 150
"""How often evidence is filed; every second filing is of a run that is there already."""

DEEDS_BETWEEN_CALLS = 20
"""How often a call to somebody outside changes a breaker, and a stage ends that was timed."""

WORDS = ("", "wie besprochen", "“quoted” \\ and\n\tbroken", "日本", "\x7f\x00", "🙂 \u2028", "=1+1")
"""Texts that people write: each must come back as it was."""


class Of(TypedDict):
    """Hold the names of one session of a book."""

    book: str
    lane: str
    session: date


class Life:
    """Do deeds on a journal: each call of `step` does one, of the kinds that may follow or may not."""

    def __init__(self, journal: SqlJournal, *, seed: int) -> None:
        self.journal = journal
        self.rng = Random(seed)
        # Calls take nothing from the chances of what money is about.
        self.calls_rng = Random(seed)
        self.session = FIRST
        self.now = datetime.combine(FIRST, time(12, 0), tzinfo=UTC)
        self.counted = 0
        self.deeds = 0

    def step(self) -> None:
        """Do one deed; a refusal is part of life."""
        self.deeds += 1
        if self.deeds % DEEDS_BETWEEN_FILINGS == 0:
            # Beside the others, and not among them: it takes nothing from the chances of what money is about.
            self._file_evidence()
        if self.deeds % DEEDS_BETWEEN_CALLS == 0:
            self._use_a_breaker()
            self._time_a_stage()
        self.now += timedelta(seconds=self.rng.choice([0, 1, 1, 60]), microseconds=self.rng.choice([0, 7]))
        deeds = [self._an_intent, self._a_person, self._a_message, self._a_session]
        deed = self.rng.choices(deeds, [14, 1, 2, 2])[0]
        try:
            deed()
        except TradingError:
            return

    @property
    def of(self) -> Of:
        """Return which session is lived through."""
        return {"book": BOOK, "lane": LANE, "session": self.session}

    @property
    def closes_at(self) -> datetime:
        """Return until when the session's intents may be sent."""
        return datetime.combine(self.session, time(21, 0), tzinfo=UTC)

    # ---------------------------------------------------------------------------- sessions

    def _a_session(self) -> None:
        of = self.of
        record = self.journal.session_record(**of)
        previous = None if self.session == FIRST else self.session - timedelta(days=1)
        deeds: list[Callable[[], object]] = [
            lambda: self.journal.opening_book(**of, previous=previous, opened=OPENED, now=self.now),
            lambda: self.journal.record_refusal(
                **of, stage=self._pick(["quotes", "features"]), reason=self._word() or "stale", now=self.now
            ),
            lambda: self.journal.clear_refusal(**of, stage=self._pick(["quotes", "features"]), now=self.now),
        ]
        if record is None or not record.opening_sha:
            reconciled_term(self.journal, account=ACCOUNT, lane=LANE, now=self.now)
            self._pick([deeds[0], deeds[0], *deeds])()
        elif record.decided_at is None:
            self._pick([self._decide, self._decide, self._decide, *deeds])()
        else:
            self._pick([self._decide, *deeds, *[self._settle] * 4])()

    def _decide(self) -> None:
        intents = [
            example_intent(
                symbol,
                side=self._pick(list(Side)),
                quantity=self.rng.randint(1, 9),
                price_micros=self.rng.randint(1, 500) * 10_000_007,
                session=self.session,
            )
            for symbol in SYMBOLS[: self.rng.randint(0, len(SYMBOLS))]
        ]
        outcomes = [Outcome.APPROVED, Outcome.APPROVED, Outcome.PENDING_APPROVAL, Outcome.BLOCKED]
        decisions = [self._decision(intent, self._pick(outcomes)) for intent in intents]
        self.journal.register(
            **self.of,
            decisions=decisions,
            verdicts=[verdict for intent in intents for verdict in self._verdicts(intent)],
            decisions_sha=self._number("decisions"),
            now=self.now,
        )

    def _decision(self, intent: Intent, outcome: Outcome) -> Decision:
        decision = example_decision(intent, outcome=outcome, not_after=self.closes_at)
        return replace(decision, chain=self._chain(is_waiting=outcome is Outcome.PENDING_APPROVAL))

    def _chain(self, *, is_waiting: bool) -> tuple[StageRecord, ...]:
        approvers = self._pick([1, 2, 2])
        told = (
            (ChainStage.RISK, StageVerdict.PASSED, 0),
            (ChainStage.PERSON, StageVerdict.WAITING, approvers)
            if is_waiting
            else (ChainStage.PERSON, StageVerdict.NOT_NEEDED, 0),
        )
        return tuple(
            StageRecord(
                stage, verdict, "limits", self._word().replace("\0", ""), "", needed, self.closes_at, self.now
            )
            for stage, verdict, needed in told[: self._pick([0, 2, 2])]
        )

    def _verdicts(self, intent: Intent) -> list[Verdict]:
        return [
            Verdict(
                intent_key=intent.intent_key,
                symbol=intent.symbol,
                session=intent.session,
                guard=name,
                passed=self.rng.random() < 0.5,
                reason="ok",
                observed=self.rng.randint(-BPS, BPS),
                limit=self.rng.choice([NO_LIMIT, 2**62, 0]),
                largest_quantity=self.rng.randint(0, 99),
                limits_sha="limits",
            )
            for name, _ in GUARDS[: self.rng.randint(0, len(GUARDS))]
        ]

    def _settle(self) -> None:
        closing = opened_book(currency="USD", deposit_micros=self.rng.randint(1, 10**12))
        self.journal.settle(**self.of, closing=closing, carried_by=self._pick(["", "ann"]), now=self.now)
        self.session += timedelta(days=1)
        self.now = datetime.combine(self.session, time(12, 0), tzinfo=UTC)

    # ---------------------------------------------------------------------------- people, messages

    def _file_evidence(self) -> None:
        run = example_run(
            name=f"run {self.deeds // (2 * DEEDS_BETWEEN_FILINGS)}",
            made_at=datetime.combine(FIRST, time(12), tzinfo=UTC),
        )
        EvidenceLedger(self.journal).file(drafts_of_run(run), actor="ann", now=self.now)

    def _a_person(self) -> None:
        deed = self.rng.randint(0, 9)
        if deed == 0:
            self.journal.release_quote(
                row_id=f"row-{self.rng.randint(0, 9)}",
                actor="ann",
                reason=self._word() or "seen",
                now=self.now,
            )
        elif deed == 1:
            self.journal.record_incident(
                kind=self._pick(["orphan", "zombie"]),
                account=ACCOUNT,
                intent_id="",
                detail=self._word() or "found",
                is_halting=self.rng.random() < 0.3,
                now=self.now,
            )
        elif deed == 2:
            self._find_something()
        elif deed == 3:
            self._take_back()
        elif deed == 5:
            self._cool()
        elif deed == 6:
            self._flatten()
        elif deed == 4:
            reconciled_term(self.journal, account=ACCOUNT, lane=LANE, now=self.now)
        elif halts := self.journal.halts():
            halt = self._pick(halts)
            self.journal.lift_halt(
                account=halt.account,
                symbol=halt.symbol,
                actor="ann",
                reason=self._word() or "ok",
                now=self.now,
            )
        else:
            switches = [RunControlAction.HALT, RunControlAction.PAUSE, *[RunControlAction.RESUME] * 6]
            switches += [RunControlAction.DEGRADE, RunControlAction.RESTORE]
            said = {"actor": "ann", "reason": self._word() or "so"}
            self.journal.set_run_control(self._pick(switches), **said, now=self.now)
            self.journal.set_approval_mode(self._pick([None, *ApprovalMode]), **said, now=self.now)

    def _use_a_breaker(self) -> None:
        kept = JournalBreakers(self.journal)
        found = kept.breaker(self.calls_rng.choice(["broker", "model"]))
        rules = BreakerRules(open_s=1, trial_lease_s=60)
        after = self.calls_rng.choice(
            [
                permission(found, holder="one", rules=rules, now=self.now).breaker,
                after_failure(found, holder="one", word="reset", rules=rules, now=self.now),
                after_success(found, holder="one"),
                reset(found),
            ]
        )
        if after is not None:
            kept.change(after, actor="ann", reason=self.calls_rng.choice(["", "日本"]), now=self.now)

    def _time_a_stage(self) -> None:
        took = timedelta(seconds=self.calls_rng.choice([1, 3600]))
        run = StageRun("intents", "run", self.now - took, self.now, passed=self.calls_rng.random() < 0.5)
        self.journal.record_stage_run(**self.of, run=run)

    def _cool(self) -> None:
        where = {"account": ACCOUNT, "lane": LANE}
        rules = CooldownRules(failures_max=self._pick([1, 2]), window_s=600, cooldown_s=self._pick([1, 120]))
        self.journal.cool_down(**where, rules=rules, now=self.now)
        if self._pick([True, False]):
            self.journal.end_cooldown(**where, actor="bob", reason="mended", now=self.now)
        self.journal.record_retry(**self.of, actor="bob", reason="again", now=self.now)

    def _flatten(self) -> None:
        said = {"actor": "ann", "reason": "fire"}
        self.journal.set_run_control(RunControlAction.HALT, **said, now=self.now)
        try:
            command_id = self._number("flatten")
            self.journal.preview_flatten(
                command_id=command_id,
                book=BOOK,
                lane=LANE,
                account=ACCOUNT,
                session=self.session,
                plan=canonical_json({"lines": [[symbol, 1, 0, 1, 1] for symbol in SYMBOLS]}),
                actor=self._pick(["ann", "bob"]),
                now=self.now,
            )
            intents = [
                example_intent(symbol, side=Side.SELL, quantity=1, session=self.session, slot=Slot.FLATTEN)
                for symbol in SYMBOLS[: self.rng.randint(0, 2)]
            ]
            self.journal.order_flatten(
                command_id=command_id,
                decisions=[example_decision(intent, not_after=self.closes_at) for intent in intents],
                verdicts=[],
                **said,
                now=self.now,
            )
        finally:
            self.journal.set_run_control(RunControlAction.RESUME, **said, now=self.now)

    def _find_something(self) -> None:
        self.journal.record_finding(
            kind=self._pick(["zombie", "missing"]),
            account=ACCOUNT,
            symbol=self._pick(["", *SYMBOLS]),
            intent_id="",
            detail=self._word() or "found",
            is_standing=self._pick([True, False]),
            now=self.now,
        )

    def _take_back(self) -> None:
        fills = self.journal.fills(**self.of)
        if fills:
            fill = self._pick(fills)
            self.journal.record_bust(
                execution_id=f"bust-{fill.execution_id}",
                takes_back=fill.execution_id,
                intent_id=fill.intent_id,
                now=self.now,
            )

    def _a_message(self) -> None:
        deed = self.rng.randint(0, 2)
        if deed == 0:
            self.journal.enqueue(
                dedup_key=f"key-{self.rng.randint(0, 30)}",
                channel=self._pick(["stdout", "webhook"]),
                severity="critical",
                subject=self._word(),
                body=self._word(),
                now=self.now,
            )
            return
        leased = self.journal.lease(now=self.now, lease_s=self.rng.randint(0, 90), limit=3)
        for message in leased[: self.rng.randint(0, 3)]:
            retry_at = self._pick([None, self.now + timedelta(minutes=1)])
            self.journal.mark(
                message.outbox_id,
                attempt=message.attempts,
                is_delivered=self._pick([True, False]),
                reason=self._word(),
                retry_at=retry_at,
                now=self.now,
            )

    # ---------------------------------------------------------------------------- an intent

    def _an_intent(self) -> None:
        rows = self.journal.intents(**self.of)
        rows = [row for row in rows if row.state.is_open] or rows
        if not rows:
            self._a_session()
            return
        row = self._pick(rows)
        match row.state, row.stage:
            case (IntentState.PENDING_APPROVAL, _):
                self._pick([self._answer, self._answer, self._end_unsent])(row)
            case (IntentState.APPROVED, _):
                self._pick([self._claim] * 8 + [self._end_unsent])(row)
            case (IntentState.EXECUTING, Stage.CLAIMED):
                self._pick([self._prepare] * 6 + [self._release, self._reject_claimed])(row)
            case (IntentState.EXECUTING, Stage.PREPARED):
                self._pick([self._acknowledge] * 4 + [self._refuse, self._lose, self._lose])(row)
            case (IntentState.EXECUTING, _) if self._order(row).cancel_kind is CancelKind.REPLACE:
                self._pick([self._replace] * 3 + [self._fill, self._close, self._lose])(row)
            case (IntentState.EXECUTING, _):
                self._pick([self._fill] * 4 + [self._ask_cancel, self._close, self._close, self._lose])(row)
            case (IntentState.UNKNOWN, _):
                deeds = (
                    [self._present]
                    + [self._absent] * 6
                    + [self._again, self._conclude] * 3
                    + [self._find, self._park]
                )
                self._pick(deeds)(row)
            case _:
                self._pick([self._answer, self._claim, self._close, self._fill, self._absent])(row)

    def _answer(self, row: JournalIntent) -> None:
        self._pick([self.journal.approve, self.journal.approve, self.journal.reject])(
            row.intent_id,
            version=row.version,
            payload_hash=row.payload_hash,
            nonce=self._number("nonce"),
            actor=self._pick(["ann", "bob"]),
            reason=self._word(),
            now=self.now,
        )

    def _end_unsent(self, row: JournalIntent) -> None:
        if self._pick([True, False]):
            self.journal.cancel(
                row.intent_id, version=row.version, actor="bob", reason=self._word() or "no", now=self.now
            )
        else:
            self.journal.expire(row.intent_id, version=row.version, actor="sweeper", now=self.closes_at)

    def _term(self) -> int:
        found = self.journal.executor_term(account=ACCOUNT, lane=LANE)
        return 0 if found is None else found.term

    def _claim(self, row: JournalIntent) -> None:
        self.journal.claim(row.intent_id, version=row.version, term=self._term(), holder="x", now=self.now)

    def _release(self, row: JournalIntent) -> None:
        self.journal.release(row.intent_id, epoch=row.epoch, reason=self._word(), now=self.now)

    def _reject_claimed(self, row: JournalIntent) -> None:
        self.journal.reject_claimed(
            row.intent_id, epoch=row.epoch, reason="late", is_expired=self._pick([True, False]), now=self.now
        )

    def _prepare(self, row: JournalIntent) -> None:
        self.journal.prepare(
            row.intent_id,
            epoch=row.epoch,
            term=self._term(),
            book_at_open=OPENED,
            review=lambda *_: self._whys(),
            send_by=self.closes_at,
            is_live=False,
            now=self.now,
        )

    def _whys(self) -> tuple[Why, ...]:
        code = self.rng.choices([PASS, QUOTE_STALE, SYMBOL_CAP_EXCEEDED], [9, 1, 1])[0]
        return tuple(
            Why(code if number == 0 else PASS, self.rng.randint(0, 10**12), 10**12, NO_LIMIT)
            for number, _ in enumerate(GUARDS)
        )

    def _acknowledge(self, row: JournalIntent) -> None:
        self.journal.acknowledge(
            row.intent_id, epoch=row.epoch, order=self._heard(row, OrderStatus.WORKING), now=self.now
        )

    def _refuse(self, row: JournalIntent) -> None:
        self.journal.refuse(row.intent_id, epoch=row.epoch, reason="422 no", now=self.now)

    def _lose(self, row: JournalIntent) -> None:
        self.journal.mark_unknown(
            row.intent_id,
            epoch=row.epoch,
            reason="reset",
            is_takeover=self._pick([True, False]),
            now=self.now,
        )

    def _absent(self, row: JournalIntent) -> None:
        self.journal.record_absence(row.intent_id, epoch=row.epoch, now=self.now)

    def _present(self, row: JournalIntent) -> None:
        self.journal.record_presence(
            row.intent_id, epoch=row.epoch, broker_order_id=self._number("broker"), now=self.now
        )

    def _again(self, row: JournalIntent) -> None:
        self.journal.prepare_again(
            row.intent_id,
            epoch=row.epoch,
            term=self._term(),
            book_at_open=OPENED,
            review=lambda *_: self._whys(),
            send_by=self.closes_at,
            now=self.now,
        )

    def _find(self, row: JournalIntent) -> None:
        status = self._pick(list(OrderStatus))
        self.journal.adopt(row.intent_id, epoch=row.epoch, order=self._heard(row, status), now=self.now)

    def _park(self, row: JournalIntent) -> None:
        self.journal.park(row.intent_id, epoch=row.epoch, reason=self._word(), now=self.now)

    def _conclude(self, row: JournalIntent) -> None:
        self.journal.conclude_absent(
            row.intent_id,
            epoch=row.epoch,
            reason="gone",
            is_expired=self._pick([True, False]),
            settle_time_s=0,
            is_death_proven=True,
            now=self.now,
        )

    def _fill(self, row: JournalIntent) -> None:
        order = self._order(row)
        self.journal.record_fill(
            Fill(
                execution_id=self._number("execution"),
                client_order_id=order.client_order_id,
                intent_id=row.intent_id,
                symbol=order.request.symbol,
                side=order.request.side,
                quantity=self.rng.randint(1, 4),
                price_micros=self.rng.randint(1, 10**9),
                commission_micros=self.rng.randint(0, 10**6),
                session=row.intent.session,
                filled_at=self.now,
            ),
            now=self.now,
        )

    def _ask_cancel(self, row: JournalIntent) -> None:
        self.journal.ask_cancel(
            row.intent_id,
            epoch=row.epoch,
            kind=self._pick([CancelKind.CANCEL, CancelKind.EXPIRY, CancelKind.REPLACE]),
            actor="ann",
            reason=self._word() or "no",
            now=self.now,
        )

    def _close(self, row: JournalIntent) -> None:
        statuses = [status for status in OrderStatus if status.is_terminal]
        self.journal.close_working(
            row.intent_id, epoch=row.epoch, order=self._heard(row, self._pick(statuses)), now=self.now
        )

    def _replace(self, row: JournalIntent) -> None:
        self.journal.prepare_replacement(
            row.intent_id,
            epoch=row.epoch,
            term=self._term(),
            ended=self._heard(row, OrderStatus.CANCELLED),
            book_at_open=OPENED,
            review=lambda *_: self._whys(),
            send_by=self.closes_at,
            is_live=False,
            now=self.now,
        )

    def _heard(self, row: JournalIntent, status: OrderStatus) -> BrokerOrder:
        """Return what a broker could say of the order: its fields, and mostly the fills that are booked."""
        order = self._order(row)
        whole = order.request.quantity
        filled = whole if status is OrderStatus.FILLED else order.filled_quantity
        return BrokerOrder(
            broker_order_id=f"b-{order.client_order_id[-6:]}",
            client_order_id=order.client_order_id,
            symbol=order.request.symbol,
            side=order.request.side,
            quantity=whole,
            filled_quantity=filled,
            status=status,
            reason=self._word() if status.is_terminal else "",
        )

    def _order(self, row: JournalIntent) -> JournalOrder:
        order = self.journal.order_of(row.intent_id)
        if order is None:
            raise TradingError("nothing was prepared")
        return order

    # ---------------------------------------------------------------------------- chance

    def _pick(self, choices: Sequence[One]) -> One:
        return self.rng.choice(choices)

    def _word(self) -> str:
        return self.rng.choice(WORDS)

    def _number(self, of: str) -> str:
        self.counted += 1
        return f"{of}-{self.counted}"
