"""How quickly the console's pages and REST answer with ten years of sessions and a million intents kept.

Over HTTP, through the gate, from the real server in this process; each page's 95th percentile is told against
what it may take.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from measuring import PROJECT, Figure, median
from million_intents import MILLION, multiply, session_of

from console.web.app import API
from console.web.rates import Rate
from resources.calendars import load_calendar
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from tests.console.pages.populated import Texts, replay_kept, sweep_kept
from tests.console.states import CLOSE, NOW, OF, OPENED, SESSION, filled, prepared
from tests.console.web.serving import Console, console_on
from tests.graph.desk import settings_in
from trading.decisions import Outcome
from trading.guards import NO_LIMIT
from trading.intents import Intent
from trading.positions import Book, Position
from trading.quotes import Quarantined, Quote
from trading.testing import example_decision, example_intent
from trading.values import Symbol, canonical_json, digest
from trading.verdicts import Verdict

ANSWER_MS_MAX = 100
YEARS_OF_SESSIONS = 2520
INTENTS, BLOCKED, PENDING = 400, 80, 20
"""Of the latest session."""

SYMBOLS_HELD = 100
REPLAYS = 60
"""And as many sweeps, each with a page."""

GUARDS_SAID = 30
ASKED = 40
CANDIDATE = {
    **dict.fromkeys(("risk_score", "confidence", "trend", "strength", "activity", "calm", "penalty"), 0.125),
    "rank": 1,
    "selected": True,
    "reason": "selected",
    "score": 0.5,
    "regime": "trend",
    "close_micros": 100_000_000,
    "quoted_on": SESSION,
}
ASSETS = ("market_quotes", "quarantined_quotes", "candidates", "decisions", "positions")
HELD_BACK = 5
"""How many rows of a session are quarantined."""


def measure(count: int = MILLION) -> list[Figure]:
    """Return the figures of each page."""
    with TemporaryDirectory(prefix="pages-bench-") as folder:
        state = Path(folder)
        calendar = load_calendar("XNYS", PROJECT / "config" / "calendars")
        sessions = calendar.before(SESSION, YEARS_OF_SESSIONS)
        lived = fill_desk(state, sessions, count)
        unlimited = Rate(burst=10**9, per_s=10**9)
        with console_on(state, requests=unlimited) as console:
            return _timed(console, lived, sessions, count)


def _timed(console: Console, lived: str, sessions: Sequence[date], count: int) -> list[Figure]:
    headers = console.signed_in()
    early = session_of(count // 2, sessions, count=count)
    one = f"{lived}-{count // 2}"
    found = []
    for name, path in (
        ("Overview", "/"),
        ("Approvals", "/approvals"),
        ("an approval's preview", f"/approvals/S{INTENTS - 1}@{SESSION}"),
        ("Intents of the latest session", "/intents"),
        ("Intents of a session years ago", f"/intents?book=us_five&session={early}"),
        ("a blocked intent explained", f"/intents/S{BLOCKED}@{SESSION}"),
        ("an intent of years ago explained", f"/intents/{one}"),
        ("Positions", "/positions"),
        ("Orders", f"/orders?book=us_five&session={early}"),
        ("a trace", f"/trace/S0@{SESSION}"),
        ("a trace of years ago", f"/trace/{one}"),
        ("Incidents and alerts", "/incidents"),
        ("Service levels", "/slo"),
        ("Costs", "/costs"),
        ("Replays and sweeps", "/replays"),
        ("a replay's page", "/replays/us_five/replay-00/page"),
        ("a sweep's page", "/sweeps/us_five/sweep-00/page"),
        ("a flatten asked for", "/flatten"),
        ("Settings", "/settings"),
        ("why", "/why"),
        ("search by symbol", "/search?q=S7"),
        ("search by a broker's id", f"/search?q=b-{count // 2}"),
        ("search of what is not there", "/search?q=nothing-like-it"),
        ("REST status", f"{API}/status"),
        ("REST approvals", f"{API}/approvals"),
        ("REST intents of a session years ago", f"{API}/intents?book=us_five&session={early}"),
        ("REST a blocked intent explained", f"{API}/intents/S{BLOCKED}@{SESSION}"),
        ("REST orders", f"{API}/orders?book=us_five&session={early}"),
        ("REST a trace of years ago", f"{API}/orders/{one}"),
        ("REST positions", f"{API}/positions"),
        ("REST why", f"{API}/why?book=us_five"),
        ("REST incidents", f"{API}/incidents"),
        ("REST alerts", f"{API}/alerts"),
        ("REST messages", f"{API}/messages"),
        ("REST sessions", f"{API}/sessions?book=us_five"),
        ("REST stuck", f"{API}/stuck"),
        ("REST run control", f"{API}/control"),
        ("REST service levels", f"{API}/slo"),
        ("REST costs", f"{API}/costs"),
        ("metrics for Prometheus", "/metrics"),
    ):
        took, cpu = [], time.process_time()
        for turn in range(ASKED + 2):
            began = time.perf_counter()
            reply = console.ask("GET", path, headers=headers)
            if turn >= 2:
                took.append((time.perf_counter() - began) * 1000)
            # What is not there is a page that says so.
            if reply.status >= 400 and not (reply.status == 404 and "nothing-like-it" in path):
                raise RuntimeError(f"{path}: {reply.status} {reply.body[:200]!r}")
        cpu_ms = (time.process_time() - cpu) * 1000 / (ASKED + 2)
        p95 = sorted(took)[int(len(took) * 0.95)]
        found.append(
            Figure(
                what=f"{name}, p95",
                value=p95,
                unit="ms",
                baseline=f"{ANSWER_MS_MAX} ms",
                ratio=p95 / ANSWER_MS_MAX,
                note=f"p50 {median(took):.0f} ms, {cpu_ms:.0f} ms of a core",
            )
        )
        print(f"  {found[-1].what}: {p95:.0f} ms, {found[-1].note}", file=sys.stderr)
    return found


def fill_desk(state: Path, sessions: Sequence[date], count: int) -> str:
    """Make ten years of a desk; give the id of the intent whose copies fill it."""
    settings = settings_in(state)
    closing_book = Book(
        currency="USD",
        cash_micros=5 * 10**11,
        deposits_micros=10**12,
        positions=tuple(
            Position(Symbol(f"S{number:03}"), 100, 5_000_000_000) for number in range(SYMBOLS_HELD)
        ),
    )
    with SqlJournal(settings.journal_url) as journal:
        journal.opening_book(**OF, previous=None, opened=OPENED, now=NOW)
        intents = [example_intent(f"S{number}") for number in range(INTENTS)]
        decisions = [
            example_decision(intent, outcome=_outcome(number), not_after=CLOSE)
            for number, intent in enumerate(intents)
        ]
        verdicts = [said for intent in intents for said in _verdicts(intent)]
        rows = journal.register(**OF, decisions=decisions, verdicts=verdicts, decisions_sha="sha", now=NOW)
        lived, _, _ = filled(journal, *prepared(journal, rows[0]))
        journal.enqueue(
            dedup_key="s", channel="stdout", severity="warning", subject="s", body="b" * 200, now=NOW
        )
    path = settings.profile_dir / "journal.db"
    multiply(path, lived.intent_id, sessions, count=count)
    _settle(path, sessions, closing_book)
    _tables(Path(settings.lake_root), sessions, [intent.symbol for intent in intents])
    report = settings.profile_dir / "reports" / "us_five" / str(sessions[-1])
    report.mkdir(parents=True)
    for number in range(REPLAYS):
        replay_kept(Lake(settings.lake_root), settings, f"replay-{number:02}", Texts())
        sweep_kept(settings.profile_dir, f"sweep-{number:02}", Texts(), done=4)
    marks = [{"symbol": row.symbol, "mark": "51"} for row in closing_book.positions]
    (report / "report.json").write_text(json.dumps({"positions": marks, "alerts": []}), encoding="utf-8")
    return str(lived.intent_id)


def _outcome(number: int) -> Outcome:
    if 0 < number <= BLOCKED:
        return Outcome.BLOCKED
    return Outcome.PENDING_APPROVAL if number >= INTENTS - PENDING else Outcome.APPROVED


def _verdicts(intent: Intent) -> list[Verdict]:
    return [
        Verdict(
            intent.intent_key,
            intent.symbol,
            intent.session,
            f"guard_{number}",
            True,
            "ok",
            10**9,
            10**11,
            NO_LIMIT,
            "limits",
        )
        for number in range(GUARDS_SAID)
    ]


def _settle(path: Path, sessions: Sequence[date], book: Book) -> None:
    """Settle every earlier session, and have told people something in each."""
    with closing(sqlite3.connect(path)) as connection:
        settled_at = datetime(2013, 2, 28, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        text = canonical_json(book.payload())
        for session in sessions:
            bound = (str(session), settled_at, text, book.sha(), str(SESSION))
            connection.execute(
                "insert into book_sessions select book, lane, ?, opening, opening_sha, decided_at,"
                " decisions_sha, ?, carried_by, ?, ?, refused_stage, refused_reason"
                " from book_sessions where session = ?",
                bound,
            )
        connection.execute(
            "insert into outbox with recursive numbers (i) as"
            " (select 2 union all select i + 1 from numbers where i <= ?)"
            " select i, 's' || i, channel, severity, subject, body, 'delivered', attempts, created_at, due_at"
            " from numbers, (select * from outbox where outbox_id = 1)",
            (len(sessions),),
        )
        connection.commit()


def _tables(root: Path, sessions: Sequence[date], symbols: Sequence[str]) -> None:
    """Write one table of each asset, and point to it from every session."""
    lake = Lake(str(root))
    rows = pa.Table.from_pylist([{**CANDIDATE, "symbol": symbol} for symbol in symbols])
    extra = {"selected": "5", "equity_micros": str(10**12)}
    for asset in ASSETS:
        if asset == "market_quotes":
            lake.write_rows(("us_five", asset), str(SESSION), Quote, map(_quote, symbols))
        elif asset == "quarantined_quotes":
            lake.write_rows(
                ("us_five", asset), str(SESSION), Quarantined, map(_quarantined, symbols[:HELD_BACK])
            )
        else:
            lake.write(("us_five", asset), str(SESSION), rows, extra=extra)
        first = root / "us_five" / asset / str(SESSION)
        for session in sessions:
            folder = first.parent / str(session)
            folder.mkdir()
            for file in first.iterdir():
                os.link(file, folder / file.name)


def _quote(symbol: str) -> Quote:
    return Quote(
        symbol=Symbol(symbol),
        session=SESSION,
        open_micros=100_000_000,
        high_micros=102_000_000,
        low_micros=99_000_000,
        close_micros=101_000_000,
        volume=1_000_000,
        source="bench",
        source_sha="a" * 64,
        known_at=CLOSE,
    )


def _quarantined(symbol: str) -> Quarantined:
    return Quarantined(
        row_id=digest([symbol]),
        symbol=symbol,
        session=SESSION,
        open="1",
        high="0.5",
        low="1",
        close="1",
        volume="1",
        source="bench",
        line=1,
        reason="inconsistent_range",
        detail="high 0.5 is below low 1",
        releasable=False,
    )


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else MILLION)
