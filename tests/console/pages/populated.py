"""A desk as the pages show it: sessions behind it, intents that wait, were blocked and filled, a finding.

Made by the journal's and the lake's own calls. With `Texts` of another kind the same desk is hostile.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from tests.console.states import BEFORE, CLOSE, NOW, OF, OPENED, SESSION, filled, prepared, verdicts_on
from tests.graph.desk import settings_in
from trading.decisions import Outcome
from trading.journal import RunControlAction
from trading.positions import Book, Position
from trading.testing import example_decision, example_intent
from trading.values import Symbol, digest

EARLIER = (date(2013, 2, 25), date(2013, 2, 26), BEFORE)
MARK = 102_000_000


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Hold what people, strategies and feeds wrote."""

    pending: str = "AAPL"
    blocked: str = "IBM"
    filled: str = "MSFT"
    held: str = "GOOG"
    rationale: str = "momentum and value agree"
    reason: str = "prices look odd"
    actor: str = "ben"
    finding: str = "the broker holds 7 shares more"
    alert: str = "drawdown 11 % is over 10 %"
    broker_order_id: str = "b-77"
    execution_id: str = "exe-123456"


def populate(state_dir: Path, texts: Texts | None = None) -> Path:
    """Fill a state folder and return it."""
    texts = texts or Texts()
    settings = settings_in(state_dir)
    lake = Lake(settings.lake_root)
    closing = Book(
        currency="USD",
        cash_micros=990_000_000_000,
        deposits_micros=10**12,
        positions=(Position(Symbol(texts.held), 100, 10_000_000_000),),
    )
    with SqlJournal(settings.journal_url) as journal:
        _sessions(journal, lake, closing)
        _latest(journal, lake, texts, closing)
        journal.record_finding(
            kind="position_mismatch",
            account="SIM-FIVE",
            symbol=texts.held,
            intent_id="",
            detail=texts.finding,
            is_standing=True,
            now=NOW,
        )
        for action in (RunControlAction.PAUSE, RunControlAction.RESUME):
            journal.set_run_control(action, actor=texts.actor, reason=texts.reason, now=NOW)
        journal.enqueue(
            dedup_key="drawdown",
            channel="stdout",
            severity="warning",
            subject=texts.alert,
            body=texts.alert,
            now=NOW,
        )
    _report(settings.profile_dir, texts)
    return state_dir


def _sessions(journal: SqlJournal, lake: Lake, closing: Book) -> None:
    """Settle some sessions in which nothing was traded, the second without a table of its worth."""
    previous, opened = None, OPENED
    for number, session in enumerate(EARLIER):
        of = {**OF, "session": session}
        journal.opening_book(**of, previous=previous, opened=opened, now=NOW)
        journal.register(**of, decisions=[], verdicts=[], decisions_sha="none", now=NOW)
        journal.settle(**of, closing=closing, carried_by="", now=NOW)
        previous, opened = session, closing
        worth = {} if number == 1 else {"equity_micros": str(closing.cash_micros + 10**10 + number * 10**8)}
        lake.write(("us_five", "positions"), str(session), pa.table({"item": ["cash"]}), extra=worth)


def _latest(journal: SqlJournal, lake: Lake, texts: Texts, opened: Book) -> None:
    def wish(symbol: str, quantity: int, outcome: Outcome):
        wished = example_intent(symbol, quantity=quantity)
        wished = dataclasses.replace(wished, rationale=texts.rationale)
        return wished, example_decision(wished, outcome=outcome, not_after=CLOSE)

    waits, waits_decided = wish(texts.pending, 700, Outcome.PENDING_APPROVAL)
    stopped, stopped_decided = wish(texts.blocked, 9, Outcome.BLOCKED)
    done, done_decided = wish(texts.filled, 10, Outcome.APPROVED)
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)
    rows = journal.register(
        **OF,
        decisions=[waits_decided, stopped_decided, done_decided],
        verdicts=[*verdicts_on(waits), *verdicts_on(stopped, stopped_by="symbol_cap"), *verdicts_on(done)],
        decisions_sha="sha",
        now=NOW,
    )
    filled(
        journal,
        *prepared(journal, rows[2], book_at_open=opened),
        broker_order_id=texts.broker_order_id,
        execution_id=texts.execution_id,
    )
    symbols = [texts.pending, texts.blocked, texts.filled]
    prices = {"symbol": symbols, "close_micros": [100_000_000] * 3}
    quotes = lake.write(("us_five", "market_quotes"), str(BEFORE), pa.table(prices))
    candidate = dict.fromkeys(
        ("risk_score", "confidence", "trend", "strength", "activity", "calm", "penalty"), 0.125
    )
    candidate |= {"score": 0.5, "regime": "trend", "close_micros": 100_000_000, "quoted_on": BEFORE}
    candidates = [
        {**candidate, "symbol": symbol, "rank": rank, "selected": True, "reason": texts.rationale}
        for rank, symbol in enumerate(symbols, start=1)
    ]
    lake.write(
        ("us_five", "candidates"),
        str(SESSION),
        pa.Table.from_pylist(candidates),
        inputs_sha=digest([[str(BEFORE), quotes.sha]]),
        extra={"selected": "3"},
    )


def _report(profile_dir: Path, texts: Texts) -> None:
    for session, alerts in ((BEFORE, []), (SESSION, [texts.alert])):
        folder = profile_dir / "reports" / "us_five" / str(session)
        folder.mkdir(parents=True)
        content = {
            "positions": [{"symbol": texts.held, "mark": "102"}],
            "alerts": [{"severity": "warning", "code": "drawdown_high", "message": text} for text in alerts],
        }
        (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / "report.html").write_text("<!doctype html><title>report</title>", encoding="utf-8")
