"""What watching costs: metrics of a session with 10,000 intents and the policy over them, ten years asked.

The metrics are computed from the rows of stages, as the asset is given them, and written as its table is. The
ten years are sessions, intents, messages and one window each in a journal, asked over HTTP through the gate.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from console_pages import ANSWER_MS_MAX, YEARS_OF_SESSIONS, fill_desk
from measuring import PROJECT, Figure, median, timed

from console.web.app import API
from console.web.rates import Rate
from resources.alert_policy import load_alert_policy
from resources.calendars import load_calendar
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.signal_keeper import JournalSignals
from tests.console.states import NOW, OF, SESSION
from tests.console.web.serving import Console, console_on
from tests.graph.desk import settings_in
from tests.trading.test_metrics import execution, status, verdict, worked_by_hand
from tests.trading.test_signal_continuity import GOOD
from trading.alerts import evaluate
from trading.metrics import MetricRow, SessionFacts, session_metrics
from trading.signal_continuity import WINDOW, window_of
from trading.values import IntentKey

INTENTS = 10_000
GUARDS = 30
HISTORY_INTENTS = 100_000
ROUNDS, ASKED = 7, 40
FRACTION_MS = 500
"""What a session's metrics with the policy may take: a fraction of a second."""


def measure() -> list[Figure]:
    """Return the figures of one session, then of ten years."""
    return [*_session(), *_history()]


# ------------------------------------------------------------------------------------------ one session


def _session() -> list[Figure]:
    facts, policy = _facts(), load_alert_policy(PROJECT / "config" / "alerts.toml")
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


def _facts() -> SessionFacts:
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
        _windows(state, sessions)
        with console_on(state, requests=Rate(burst=10**9, per_s=10**9)) as console:
            return [_asked(console, what, path) for what, path in _questions()]


def _questions() -> Sequence[tuple[str, str]]:
    return (
        ("signals", f"{API}/signals"),
        ("service levels", f"{API}/slo"),
        ("how the desk runs by itself", f"{API}/trading/autonomy"),
        ("the last session's metrics", f"{API}/trading/metrics"),
        ("alerts", f"{API}/alerts"),
        ("an incident with its timeline", "/incidents/1"),
        ("metrics for Prometheus", "/metrics"),
    )


def _windows(state: Path, sessions: Sequence[date]) -> None:
    """Keep one look for quotes, and copy it into every session; have one finding to look back on."""
    settings = settings_in(state)
    with SqlJournal(settings.journal_url) as journal:
        window = window_of(GOOD, book="us_five", session=SESSION, earlier=None)
        JournalSignals(journal).keep(window, lane="simulated", now=NOW)
        journal.record_finding(
            kind="cash_mismatch",
            account="SIM-FIVE",
            symbol="",
            intent_id="",
            detail="7.00 USD less",
            is_standing=True,
            now=NOW,
        )
    with closing(sqlite3.connect(settings.profile_dir / "journal.db")) as connection:
        (newest,) = connection.execute("select max(seq) from events").fetchone()
        for place, session in enumerate(sessions, start=1):
            connection.execute(
                "insert into events select ?, at, kind, book, lane, ?, intent_id, actor, reason, body, ?, ?"
                " from events where kind = ? and session = ? limit 1",
                (
                    newest + place,
                    str(session),
                    f"e{place:063x}",
                    f"f{place:063x}",
                    WINDOW,
                    str(OF["session"]),
                ),
            )
        connection.commit()


def _asked(console: Console, what: str, path: str) -> Figure:
    headers, took = console.signed_in(), []
    for turn in range(ASKED + 2):
        began = time.perf_counter()
        reply = console.ask("GET", path, headers=headers)
        if turn >= 2:
            took.append((time.perf_counter() - began) * 1000)
        if reply.status >= 400:
            raise RuntimeError(f"{path}: {reply.status} {reply.body[:200]!r}")
    p95 = sorted(took)[int(len(took) * 0.95)]
    print(f"  {what}: {p95:.0f} ms", file=sys.stderr)
    return Figure(
        what=f"{what}, ten years kept, p95",
        value=p95,
        unit="ms",
        baseline=f"{ANSWER_MS_MAX} ms",
        ratio=p95 / ANSWER_MS_MAX,
        note=f"p50 {median(took):.0f} ms",
    )
