"""What watching costs: metrics of a session with 10,000 intents and the policy over them, ten years asked.

The metrics are computed from the rows of stages, as the asset is given them, and written as its table is. Of
the ten years each session has intents, a window, an alert that came and went, a message and its delivery, and
each month an incident, by the product's own rules and writers; they are asked over HTTP through the gate.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from console_pages import ANSWER_MS_MAX, YEARS_OF_SESSIONS, fill_desk
from measuring import PROJECT, Figure, median, timed

from console.alerts import alerts_of
from console.web.app import API
from console.web.rates import Rate
from resources.alert_policy import load_alert_policy
from resources.calendars import load_calendar
from resources.journal.drafts import Draft
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from tests.console.states import NOW, SESSION
from tests.console.web.serving import Console, console_on
from tests.graph.desk import settings_in
from tests.trading.test_metrics import execution, status, verdict, worked_by_hand
from tests.trading.test_signal_continuity import GOOD
from trading.alert_log import AlertEvent, alert_log_of, messages_due, observed
from trading.alerts import FINDINGS, WATCHED, AlertPolicy, Comparison, evaluate, evaluate_watched
from trading.journal import JournalEvent
from trading.metrics import MetricRow, SessionFacts, session_metrics
from trading.signal_continuity import WINDOW, body_of, window_of
from trading.values import IntentKey

INTENTS = 10_000
GUARDS = 30
HISTORY_INTENTS = 100_000
BOOKS = ("us_five", "us_wide")
EMPTY_EACH = 20
"""One window of so many found no quotes."""

INCIDENTS = 120
"""One a month."""

ROUNDS, ASKED = 7, 40
FRACTION_MS = 500
"""What a session's metrics with the policy may take: a fraction of a second."""


def measure() -> list[Figure]:
    """Return the figures of one session, then of ten years."""
    return [*_session(), *_history()]


# ------------------------------------------------------------------------------------------ one session


def _session() -> list[Figure]:
    facts, policy = session_facts(), load_alert_policy(PROJECT / "config" / "alerts.toml")
    rows = session_metrics(facts)
    with TemporaryDirectory(prefix="monitoring-bench-") as folder:
        lake = Lake(folder)

        def write() -> None:
            lake.write_rows(("us_five", "metrics"), str(SESSION), MetricRow, rows)

        return [
            _told(f"metrics of a session with {INTENTS:,} intents", lambda: session_metrics(facts)),
            _told("the policy over them", lambda: evaluate(rows, policy.rules, book="us_five")),
            _told("their table written into the lake", write),
        ]


def _told(what: str, act: Callable[[], object]) -> Figure:
    took = [timed(act)[0] * 1000 for _ in range(ROUNDS)]
    middle = median(took)
    return Figure(
        what=what,
        value=middle,
        unit="ms",
        baseline=f"{FRACTION_MS} ms",
        ratio=middle / FRACTION_MS,
        note=f"longest of {ROUNDS}: {max(took):.0f} ms",
    )


def session_facts() -> SessionFacts:
    """Give a session of 10,000 intents, each judged by thirty guards, half of them filled."""
    worked = worked_by_hand()
    symbols = [f"S{number}" for number in range(INTENTS)]
    said = [verdict("S", f"guard_{number}", passed=number != 7) for number in range(GUARDS)]
    decided = worked.decisions
    return replace(
        worked,
        intents_count=INTENTS,
        verdicts=tuple(
            row._replace(intent_key=IntentKey(f"key-{symbol}")) for symbol in symbols for row in said
        ),
        decisions=tuple(
            decided[number % len(decided)]._replace(intent_key=IntentKey(f"key-{symbol}"))
            for number, symbol in enumerate(symbols)
        ),
        executions=tuple(
            execution(symbol, filled=10, price=10**8, slippage_bps=1.0) for symbol in symbols[::2]
        ),
        order_status=tuple(status(symbol, "executed", filled=10, notional=10**9) for symbol in symbols[::2]),
    )


# ------------------------------------------------------------------------------------------ ten years


def _history() -> list[Figure]:
    with TemporaryDirectory(prefix="monitoring-bench-") as folder:
        state = Path(folder)
        calendar = load_calendar("XNYS", PROJECT / "config" / "calendars")
        sessions = calendar.before(SESSION, YEARS_OF_SESSIONS)
        fill_desk(state, sessions, HISTORY_INTENTS)
        _lived(state, sessions)
        with console_on(state, requests=Rate(burst=10**9, per_s=10**9)) as console:
            (fingerprint, *_) = [row.fingerprint for row in alerts_of(console.desk, is_all=True)]
            return [_asked(console, what, path) for what, path in _questions(fingerprint)]


def _questions(fingerprint: str) -> Sequence[tuple[str, str]]:
    return (
        ("signals", f"{API}/signals"),
        ("service levels", f"{API}/slo"),
        ("how the desk runs by itself", f"{API}/trading/autonomy"),
        ("the last session's metrics", f"{API}/trading/metrics"),
        ("what was made of late", f"{API}/trading/profitability/runtime"),
        ("alerts", f"{API}/alerts"),
        ("alerts, those over as well", f"{API}/alerts?ended=true"),
        ("one alert with its causes, the page", f"/alerts/{fingerprint}"),
        ("incidents", f"{API}/incidents"),
        ("one incident with its timeline", f"{API}/incidents/1"),
        ("one incident with its timeline, the page", "/incidents/1"),
        ("incidents and alerts, the page", "/incidents"),
        ("the delivery log", f"{API}/deliveries?reason=sent"),
        ("the delivery log, the page", "/deliveries"),
        ("messages", f"{API}/messages"),
        ("quarantined rows, the page", "/quarantine"),
        ("metrics for Prometheus", "/metrics"),
    )


def _lived(state: Path, sessions: Sequence[date]) -> None:
    """Have each session of ten years leave what it leaves: looks for quotes, an alert, what was told."""
    settings = settings_in(state)
    policy = load_alert_policy(settings.config_dir / "alerts.toml")
    with SqlJournal(settings.journal_url) as journal:
        by_session: dict[str, list[Draft]] = {}
        for draft in (*_windows(sessions), *_alerts(sessions, policy)):
            by_session.setdefault(draft.session, []).append(draft)
        for session, drafts in by_session.items():
            at = datetime.combine(date.fromisoformat(session), NOW.timetz())
            with journal.appending(at) as (_, append):
                for draft in drafts:
                    append(draft)
        for number in range(INCIDENTS):
            _finding(journal, f"{number}.00 USD less")
            if number < INCIDENTS - 1:
                journal.lift_halt(
                    account="SIM-FIVE", symbol="", actor="anna", reason="the statement came", now=NOW
                )
        message, *_ = journal.lease(now=NOW, lease_s=60, limit=1)
        journal.mark(
            message.outbox_id,
            attempt=message.attempts,
            is_delivered=True,
            reason="sent",
            retry_at=None,
            now=NOW,
        )
    rows = session_metrics(session_facts())
    Lake(settings.lake_root).write_rows(("us_five", "metrics"), str(SESSION), MetricRow, rows)
    with closing(sqlite3.connect(settings.profile_dir / "journal.db")) as connection:
        connection.execute(
            "insert into deliveries select outbox.outbox_id, attempt, is_delivered, reason, at"
            " from deliveries, outbox where not exists"
            " (select 1 from deliveries as made where made.outbox_id = outbox.outbox_id)"
        )
        connection.commit()


def _finding(journal: SqlJournal, detail: str) -> None:
    journal.record_finding(
        kind="cash_mismatch",
        account="SIM-FIVE",
        symbol="",
        intent_id="",
        detail=detail,
        is_standing=True,
        now=NOW,
    )


def _windows(sessions: Sequence[date]) -> Iterator[Draft]:
    """Give a window of each book and session by the product's rule, one in twenty of them empty."""
    for book in BOOKS:
        earlier = None
        for place, session in enumerate(sessions):
            poll = replace(GOOD, rows=0, signals=0) if place % EMPTY_EACH == 0 else GOOD
            earlier = window_of(poll, book=book, session=session, earlier=earlier)
            reason = earlier.looked.reason
            yield Draft(
                WINDOW,
                book=book,
                lane="simulated",
                session=session.isoformat(),
                reason=reason.value if reason is not None else "",
                body=body_of(earlier),
            )


def _alerts(sessions: Sequence[date], policy: AlertPolicy) -> Iterator[Draft]:
    """Give an alert of each session that fires, is told, is over and told to be; the last one fires."""
    rules = [rule for rule in policy.rules if rule.metric not in WATCHED]
    for place, session in enumerate(sessions):
        rule = rules[place % len(rules)]
        judged = replace(rule, metric=FINDINGS, threshold=0, comparison=Comparison.ABOVE)
        (row,) = evaluate_watched({FINDINGS: 1}, [judged], book="us_five", session=session)
        known: list[JournalEvent] = []
        for found in ([row], [] if session != sessions[-1] else [row]):
            log = alert_log_of(known)
            looked = observed(log, found, codes=[rule.code], policy=policy, book="us_five", session=session)
            known += [_event(one) for one in looked]
            told = messages_due(alert_log_of(known), policy, now=NOW + timedelta(days=len(known)))
            known += [_event(one.event) for one in told]
        for one in known:
            yield Draft(one.kind, book=one.book, session=str(session), body=one.body)


def _event(event: AlertEvent) -> JournalEvent:
    return JournalEvent(seq=0, at=NOW, lane="", intent_id="", prev_hash="", hash="", **event._asdict())


def _asked(console: Console, what: str, path: str) -> Figure:
    headers, took, cpu = console.signed_in(), [], time.process_time()
    for turn in range(ASKED + 2):
        began = time.perf_counter()
        reply = console.ask("GET", path, headers=headers)
        if turn >= 2:
            took.append((time.perf_counter() - began) * 1000)
        if reply.status >= 400:
            raise RuntimeError(f"{path}: {reply.status} {reply.body[:200]!r}")
    cpu_ms = (time.process_time() - cpu) * 1000 / (ASKED + 2)
    p95 = sorted(took)[int(len(took) * 0.95)]
    print(f"  {what}: {p95:.0f} ms, {cpu_ms:.0f} ms of a core", file=sys.stderr)
    return Figure(
        what=f"{what}, ten years kept, p95",
        value=p95,
        unit="ms",
        baseline=f"{ANSWER_MS_MAX} ms",
        ratio=p95 / ANSWER_MS_MAX,
        note=f"p50 {median(took):.0f} ms, {cpu_ms:.0f} ms of a core",
    )
