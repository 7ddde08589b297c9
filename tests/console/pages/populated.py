"""A desk as the pages show it: sessions behind it, intents that wait, were blocked and filled, a finding.

Made by the journal's and the lake's own calls. With `Texts` of another kind the same desk is hostile.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pyarrow as pa

from console.desk import Desk
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.audit_log import project
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.ledger_paths import ledger_of
from resources.paper_broker.ledger import Ledger
from resources.settings import Settings
from tests.console.states import BEFORE, CLOSE, NOW, OF, OPEN, OPENED, SESSION, filled, prepared, verdicts_on
from tests.graph.desk import settings_in
from trading.alerts import STUCK, evaluate_watched, fingerprint_of
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
    unfinished: str = "half"
    strategy: str = "momentum:lookback=60"
    variant: str = "lookback=63"
    tear_sheet: str = "<!doctype html><style>h1 { color: #123456 }</style><h1>winter</h1>"


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
        # What a desk that has traded has as well: without them its stores do not belong together.
        project(journal, settings.audit_log)
    Ledger(ledger_of(settings.profile_dir, "SIM-FIVE"))
    _report(settings.profile_dir, texts)
    week_kept(settings.profile_dir, texts)
    replay_kept(lake, settings, "winter", texts)
    replay_begun(settings, texts.unfinished, texts)
    for name, done in (("lookbacks", 4), (texts.unfinished, 3)):
        sweep_kept(settings.profile_dir, name, texts, done=done)
    return state_dir


def fire(
    desk: Desk,
    metric: str,
    observed: float,
    *,
    about: str = "",
    run_id: str = "",
    book: str = "us_five",
) -> str:
    """Have a rule of the reviewed policy judge the latest session, as the watch does; give its alert's name.

    What is not above or below the rule's threshold ends the alert.
    """
    policy = load_alert_policy(desk.settings.config_dir / "alerts.toml")
    (rule,) = [rule for rule in policy.rules if rule.metric == metric]
    judged = replace(rule, metric=STUCK)
    found = evaluate_watched({STUCK: observed}, [judged], book=book, session=SESSION, about=about)
    with desk.open_journal() as journal:
        JournalAlerts(journal).observe(
            found,
            codes={rule.code},
            policy=policy,
            book=book,
            session=SESSION,
            about=about,
            run_id=run_id,
            now=OPEN,
        )
    return fingerprint_of(book=book, code=rule.code, severity=rule.severity, about=about)


def week_kept(profile_dir: Path, texts: Texts) -> None:
    """Leave what the looks back on a week leave."""
    folder = profile_dir / "reports" / "us_five" / "2013-W08"
    folder.mkdir(parents=True)
    health = {"outcome": "attention", "run": 3, "expected": 4, "attention": [texts.finding]}
    finding = {"grade": "critical", "subject": texts.held, "detail": texts.reason}
    audit = {"outcome": "1 critical, 0 warnings", "findings": [finding]}
    for name, content in (("health", health), ("audit", audit)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / f"{name}.html").write_text(texts.tear_sheet, encoding="utf-8")


def replay_kept(lake: Lake, settings: Settings, name: str, texts: Texts) -> None:
    """Leave what a whole replay leaves that the console reads."""
    folder = _asked(settings, name, "a" * 64, texts, first="2012-12-03", last="2013-01-31")
    years = [{"chunk": year, "files": []} for year in ("2012", "2013")]
    summary = {"currency": "USD", "closing_micros": 1_012_345_000_000, "checks": {"value_is_conserved": True}}
    card = {
        "performance": {"cagr": 0.0821, "sharpe": 1.234, "max_drawdown": -0.11},
        "trading": {"turnover": None},
    }
    made = folder / ("a" * 16)
    made.mkdir()
    manifest = {"replay_sha": "a" * 64, "summary": summary, "chunks": years}
    for path, content in (("manifest.json", manifest), ("scorecard.json", card)):
        (made / path).write_text(json.dumps(content), encoding="utf-8")
    (made / "tear_sheet.html").write_text(texts.tear_sheet, encoding="utf-8")
    lake.write(("us_five", "replays"), name, pa.table({"table": ["fills"]}), inputs_sha="a" * 64)


def replay_begun(settings: Settings, name: str, texts: Texts) -> None:
    """Leave what a replay of three years leaves that was stopped in the last of them."""
    folder = _asked(settings, name, "b" * 64, texts, first="2011-01-03", last="2013-02-28")
    kept = folder / ("b" * 16) / "kept"
    kept.mkdir(parents=True)
    for year in ("2011", "2012"):
        (kept / f"{year}.json").write_text("{}", encoding="utf-8")


def _asked(settings: Settings, name: str, sha: str, texts: Texts, *, first: str, last: str) -> Path:
    folder = Path(settings.lake_root) / "us_five" / "replays" / name
    folder.mkdir(parents=True)
    asked = {"first_session": first, "last_session": last, "strategies": [texts.strategy], "light": False}
    (folder / "request.json").write_text(json.dumps(asked), encoding="utf-8")
    (folder / "begun.json").write_text(json.dumps({"replay_sha": sha}), encoding="utf-8")
    return folder


def sweep_kept(profile_dir: Path, name: str, texts: Texts, *, done: int) -> None:
    """Leave what a sweep of four variants leaves, whole where all of them are done."""
    folder = profile_dir / "sweeps" / "named" / "us_five" / name
    folder.mkdir(parents=True)
    asked = {"first_session": "", "last_session": "", "grids": [texts.variant], "against": [], "by": "sharpe"}
    progress = {"asked": asked, "done": done, "of": 4}
    (folder / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    if done == 4:
        whole = {
            "best": {"label": texts.variant, "measures": {"sharpe": 0.8712}},
            "honesty": {"luck_sharpe": 0.51, "deflated_sharpe": 0.634},
            "overfitting": None,
        }
        (folder / "sweep.json").write_text(json.dumps({"together": whole}), encoding="utf-8")
        (folder / "sweep.html").write_text(texts.tear_sheet, encoding="utf-8")


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
        wished = replace(wished, rationale=texts.rationale)
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
