"""Approvals as a machine: a person's answer binds once, to what was shown, in time, and to nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from proof.desk import CLOSE, DECIDED_AT, IN_TIME, SESSION, deposited
from proof.walks import Machine, NotHeld, hold, put
from resources.evidence import gather
from resources.journal.store import SqlJournal
from trading.decisions import Outcome
from trading.errors import ApprovalRefused, BadInput, IllegalTransition, JournalError, Refused, StaleVersion
from trading.invariants import violations
from trading.journal import JournalIntent
from trading.lifecycle import IntentState
from trading.testing import example_decision, example_intent
from trading.values import IntentId

OF: dict[str, Any] = {"book": "us_five", "lane": "simulated", "session": SESSION}
SYMBOLS = ("AAPL", "MSFT")
NOT_AFTER = CLOSE
UNSENT = {IntentState.PENDING_APPROVAL, IntentState.APPROVED}
"""The states in which a word or time ends an intent, spelt out here: the model does not follow the edges."""

symbols = st.sampled_from(SYMBOLS)
# Mostly right, so that walks come somewhere; wrong often enough, since that is what is asked about.
versions = st.sampled_from([0] * 6 + [-1, 1])
hashes = st.sampled_from(["shown"] * 5 + ["of the other", "of another quantity", "half of it"])
nonces = st.sampled_from(["new"] * 3 + ["used", "none"])
actors = st.sampled_from(["ann", "ann", "bob", ""])
times = st.sampled_from([IN_TIME, IN_TIME, NOT_AFTER - timedelta(microseconds=1), NOT_AFTER])


class ApprovalsMachine(Machine):
    """Answer two pending intents in every way, and hold each answer against a model of the two."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, JournalIntent] = {row.intent.symbol: row for row in self.journal.intents(**OF)}
        self.states = dict.fromkeys(SYMBOLS, IntentState.PENDING_APPROVAL)
        self.versions = dict.fromkeys(SYMBOLS, 1)
        self.used: list[str] = []
        self.answers: list[tuple[str, str, str]] = []
        self.numbers = itertools.count()

    @staticmethod
    def decide(journal: SqlJournal) -> None:
        """Let two intents wait for a person."""
        decisions = [
            example_decision(example_intent(symbol), outcome=Outcome.PENDING_APPROVAL, not_after=NOT_AFTER)
            for symbol in SYMBOLS
        ]
        journal.opening_book(**OF, previous=None, opened=deposited(), now=DECIDED_AT)
        journal.register(**OF, decisions=decisions, verdicts=[], decisions_sha="d", now=DECIDED_AT)

    def hash_of(self, symbol: str, which: str) -> str:
        """Return a payload hash that a person may name."""
        shown = self.rows[symbol].payload_hash
        match which:
            case "shown":
                return shown
            case "of the other":
                return self.rows[SYMBOLS[1 - SYMBOLS.index(symbol)]].payload_hash
            case "half of it":
                return shown[: len(shown) // 2]
            case _:
                return "0" * len(shown)

    def nonce_of(self, which: str) -> str:
        """Return a nonce that was never used, or was, or none."""
        match which:
            case "used" if self.used:
                return self.used[-1]
            case "none":
                return ""
            case _:
                return f"nonce {next(self.numbers)}"

    @rule(
        symbol=symbols,
        is_yes=st.booleans(),
        version=versions,
        shown=hashes,
        nonce=nonces,
        actor=actors,
        now=times,
    )
    def answer(
        self,
        *,
        symbol: str,
        is_yes: bool,
        version: int,
        shown: str,
        nonce: str,
        actor: str,
        now: datetime,
    ) -> None:
        """Approve or reject: it counts if and only if all of it is right."""
        said = self.nonce_of(nonce)
        is_bound = shown == "shown" and bool(said) and said not in self.used
        is_in_time = now < NOT_AFTER
        is_pending = self.states[symbol] is IntentState.PENDING_APPROVAL
        to = IntentState.APPROVED if is_yes else IntentState.REJECTED
        is_taken = self.moves(
            symbol,
            to if is_bound and is_in_time and is_pending and version == 0 and actor else None,
            lambda row: (self.journal.approve if is_yes else self.journal.reject)(
                row.intent_id,
                version=self.versions[symbol] + version,
                payload_hash=self.hash_of(symbol, shown),
                nonce=said,
                actor=actor,
                reason="seen",
                now=now,
            ),
            is_answer=True,
        )
        if is_taken:
            self.used.append(said)
            self.answers.append((symbol, actor, said))

    @rule(symbol=symbols, version=versions, actor=actors, reason=st.sampled_from(["changed her mind", " "]))
    def cancel(self, *, symbol: str, version: int, actor: str, reason: str) -> None:
        """Cancel what was never sent, as a named person with a reason."""
        is_right = version == 0 and bool(actor) and bool(reason.strip())
        may = self.states[symbol] in UNSENT
        self.moves(
            symbol,
            IntentState.CANCELLED if is_right and may else None,
            lambda row: self.journal.cancel(
                row.intent_id,
                version=self.versions[symbol] + version,
                actor=actor,
                reason=reason,
                now=IN_TIME,
            ),
        )

    @rule(symbol=symbols, version=versions, now=times)
    def expire(self, *, symbol: str, version: int, now: datetime) -> None:
        """Sweep what is too late."""
        may = self.states[symbol] in UNSENT
        self.moves(
            symbol,
            IntentState.EXPIRED if version == 0 and now >= NOT_AFTER and may else None,
            lambda row: self.journal.expire(
                row.intent_id, version=self.versions[symbol] + version, actor="sweeper", now=now
            ),
        )

    def moves(self, symbol: str, to: IntentState | None, ask: Any, *, is_answer: bool = False) -> bool:
        """Ask, and hold that it moves the intent just where the model says; returns whether it does.

        An answer that is refused is kept as one event, any other refusal leaves nothing.
        """
        try:
            moved: JournalIntent = ask(self.rows[symbol])
        except (ApprovalRefused, BadInput, IllegalTransition, StaleVersion) as refusal:
            hold(to is None, f"{symbol} was refused: {refusal}")
            hold(bool(self.grew()) is is_answer, "a refused answer is kept, another refusal leaves nothing")
            return False
        except (JournalError, Refused) as refusal:
            raise NotHeld(f"refused as nobody expects: {refusal!r}") from refusal
        hold(self.grew(), "what moves has its event")
        hold(to is not None, f"{symbol} went to {moved.state}, though it may not")
        self.states[symbol] = moved.state
        self.versions[symbol] += 1
        hold(moved.state is to and moved.version == self.versions[symbol], f"{symbol} went where it goes")
        return True

    @invariant()
    def the_journal_is_the_model(self) -> None:
        """Hold both intents against the model, and each answer against who gave it to what."""
        self.stepped()
        for row in self.journal.intents(**OF):
            symbol = row.intent.symbol
            hold(row.state is self.states[symbol], f"{symbol} is {row.state}, not {self.states[symbol]}")
            hold(row.version == self.versions[symbol], f"{symbol} has version {row.version}")
        evidence = gather(self.journal)
        told = [
            (row.intent.symbol, approval.actor, approval.nonce)
            for approval in evidence.approvals
            for row in evidence.intents
            if row.intent_id == approval.intent_id
        ]
        hold(sorted(told) == sorted(self.answers), f"the answers kept are those given: {told}")
        hold(violations(evidence) == (), f"every invariant: {violations(evidence)}")


@contextmanager
def whatever_is_stored_is_approved() -> Iterator[None]:
    """Plant the bug: an answer is bound to the payload that is stored, not to the one that was shown."""
    answer = SqlJournal._answer

    def unbound(self: SqlJournal, intent_id: IntentId, *steps: Any, **options: Any) -> JournalIntent:
        return answer(
            self, intent_id, *steps, **{**options, "payload_hash": self.intent(intent_id).payload_hash}
        )

    with put(SqlJournal, "_answer", unbound):
        yield
