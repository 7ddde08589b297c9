"""What telling people costs: a session's policy with its messages, and the watch's look over ten years.

A session's alerts are judged, kept and put into the outbox in a journal in a file, as the asset does. The ten
years hold two alerts a session that began, were told, ended and were told over, with their deliveries; the
watch's look is what its sensor does of the journal each minute, Dagster's own records aside.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from console_pages import ANSWER_MS_MAX, YEARS_OF_SESSIONS
from measuring import PROJECT, Figure, median, timed
from monitoring import FRACTION_MS, INTENTS, session_facts

from console.web.app import API
from console.web.rates import Rate
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.calendars import load_calendar
from resources.journal.store import SqlJournal
from resources.notifier import Notifier, StdoutChannel
from sensors.watch import judge
from tests.console.states import NOW, SESSION
from tests.console.web.serving import Console, console_on
from trading.alert_log import KINDS
from trading.alerts import (
    DISK_FREE,
    RUNS_FAILED,
    SIGNALS_LATCHED,
    TICKS_FAILED,
    AlertPolicy,
    Comparison,
    evaluate,
    evaluate_watched,
    judged,
    judged_watched,
    tell,
)
from trading.metrics import session_metrics
from trading.watching import Sighting

BOOK = "us_five"
ROUNDS, ASKED = 7, 40
TOLD_EACH_SESSION = {TICKS_FAILED: 1.0, RUNS_FAILED: 1.0}
DELIVERIES_EACH_SESSION = 8


def measure() -> list[Figure]:
    """Return the figures of one session, then of ten years."""
    return [_session(), *_ten_years()]


# ------------------------------------------------------------------------------------------ one session


def _session() -> Figure:
    """Judge a session's metrics by rules that all fire, keep the alerts, store the messages, and end them."""
    rows = session_metrics(session_facts())
    policy = _firing_always(load_alert_policy(PROJECT / "config" / "alerts.toml"))
    with TemporaryDirectory(prefix="telling-bench-") as folder, _journal(Path(folder)) as journal:
        keeper, days = JournalAlerts(journal), count()

        def judge_and_tell() -> None:
            now = NOW + timedelta(days=next(days))
            found = evaluate(rows, policy.rules, book=BOOK)
            of = {"codes": judged(rows, policy.rules), "policy": policy, "book": BOOK}
            told = tell(found, keeper=keeper, session=now.date(), now=now, **of)
            told += tell((), keeper=keeper, session=now.date(), now=now + timedelta(hours=1), **of)
            if not found or not told:
                raise RuntimeError("nothing was told: the figure would be of nothing")

        took = [timed(judge_and_tell)[0] * 1000 for _ in range(ROUNDS)]
    return _figure(
        f"every rule judged, kept and told, then ended and told, of {INTENTS:,} intents",
        took,
        limit_ms=FRACTION_MS,
    )


def _firing_always(policy: AlertPolicy) -> AlertPolicy:
    beyond = {Comparison.ABOVE: -1e12, Comparison.BELOW: 1e12}
    return replace(
        policy, rules=tuple(replace(rule, threshold=beyond[rule.comparison]) for rule in policy.rules)
    )


# ------------------------------------------------------------------------------------------ ten years


def _ten_years() -> Iterator[Figure]:
    policy = load_alert_policy(PROJECT / "config" / "alerts.toml")
    calendar = load_calendar("XNYS", PROJECT / "config" / "calendars")
    sessions = calendar.before(SESSION, YEARS_OF_SESSIONS)
    with TemporaryDirectory(prefix="telling-bench-") as name:
        folder = Path(name)
        with _journal(folder / "simulated") as journal:
            _one_session(journal, policy)
        _multiplied(folder / "simulated" / "journal.db", sessions)
        with _journal(folder / "simulated") as journal:
            yield from _looks(journal, policy)
        with console_on(folder, requests=Rate(burst=10**9, per_s=10**9)) as console:
            for what, path in (
                ("alerts", "/alerts"),
                ("deliveries", "/deliveries"),
                ("deliveries by reason and channel", "/deliveries?reason=http_error&channel=stdout"),
                ("deliveries of a reason that there is none of", "/deliveries?reason=dry_run"),
            ):
                took = [_asked(console, f"{API}{path}") for _ in range(ASKED + 2)][2:]
                yield _p95(f"{what}, ten years of alerts kept", took)


def _looks(journal: SqlJournal, policy: AlertPolicy) -> Iterator[Figure]:
    """Look as the watch does: first in a new process, then each minute."""
    began = NOW + timedelta(days=30)
    first = [_look(JournalAlerts(journal), journal, policy, began) for _ in range(ROUNDS)]
    yield _figure(
        "the watch's first look in a process, ten years of alerts kept", first, limit_ms=FRACTION_MS
    )
    keeper, minutes = JournalAlerts(journal), [began + timedelta(minutes=minute) for minute in range(ASKED)]
    found = [_look(keeper, journal, policy, now, failing=minutes.index(now) % 5 == 0) for now in minutes]
    quiet = [took for place, took in enumerate(found) if place % 5 > 1]
    told = [took for place, took in enumerate(found) if place % 5 <= 1]
    yield _p95("the watch's look each minute that finds nothing new, ten years of alerts kept", quiet)
    yield _figure("its look that finds something, or finds it over, and tells it", told, limit_ms=FRACTION_MS)


def _look(
    keeper: JournalAlerts, journal: SqlJournal, policy: AlertPolicy, now: datetime, *, failing: bool = False
) -> float:
    """Look once at a tick, a run, the signals and the disk; return the milliseconds that it took."""
    bad = 1.0 if failing else 0.0
    found = [
        Sighting(metric, BOOK, "", now.date(), observed, "")
        for metric, observed in (
            (TICKS_FAILED, 0.0), (RUNS_FAILED, bad), (SIGNALS_LATCHED, bad), (DISK_FREE, 0.5)
        )
    ]  # fmt: skip
    notifier = Notifier(journal, {"stdout": StdoutChannel(io.StringIO())}, policy=policy.delivery)

    def look() -> None:
        keeper.tell(policy, now=now)
        judge(found, keeper=keeper, policy=policy, now=now)
        notifier.deliver(now)

    return timed(look)[0] * 1000


def _one_session(journal: SqlJournal, policy: AlertPolicy) -> None:
    """Have two alerts begin, told, end and told, and the messages delivered."""
    keeper = JournalAlerts(journal)
    notifier = Notifier(journal, {"stdout": StdoutChannel(io.StringIO())}, policy=policy.delivery)
    for hour, faults in enumerate((TOLD_EACH_SESSION, dict.fromkeys(TOLD_EACH_SESSION, 0.0))):
        now = NOW + timedelta(hours=hour)
        tell(
            evaluate_watched(faults, policy.rules, book=BOOK, session=SESSION),
            codes=judged_watched(faults, policy.rules),
            keeper=keeper,
            policy=policy,
            book=BOOK,
            session=SESSION,
            now=now,
        )
        notifier.deliver(now)


def _multiplied(path: Path, sessions: Sequence[date]) -> None:
    """Copy the events of alerts into every session, and as many messages with their deliveries."""
    with closing(sqlite3.connect(path)) as database:
        marks = ", ".join("?" * len(KINDS))
        template = database.execute(
            f"select at, kind, book, lane, intent_id, actor, reason, body from events where kind in ({marks})"  # noqa: S608 - marks only
            " order by seq",
            KINDS,
        ).fetchall()
        (newest,) = database.execute("select max(seq) from events").fetchone()
        events, messages, deliveries = [], [], []
        for session in sessions:
            for at, kind, book, lane, intent_id, actor, reason, body in template:
                newest += 1
                told_at = f"{session}{at[10:]}"
                events.append(
                    (newest, told_at, kind, book, lane, str(session), intent_id, actor, reason, body,
                     f"p{newest:063x}", f"h{newest:063x}")
                )  # fmt: skip
            for number in range(DELIVERIES_EACH_SESSION):
                place = 10**6 + len(messages)
                at = f"{session}T21:{number:02}:00.000000Z"
                messages.append(
                    (place, f"k{place}", "stdout", "critical", "s", "b" * 400, "delivered", 2, at, at)
                )
                deliveries += [(place, 1, 0, "http_error", at), (place, 2, 1, "sent", at)]
        for table, rows in (("events", events), ("outbox", messages), ("deliveries", deliveries)):
            marks = ", ".join("?" * len(rows[0]))
            database.executemany(f"insert into {table} values ({marks})", rows)  # noqa: S608 - names of ours only
        database.commit()


def _journal(folder: Path) -> SqlJournal:
    folder.mkdir(parents=True, exist_ok=True)
    return SqlJournal(f"sqlite:///{folder / 'journal.db'}")


def _asked(console: Console, path: str) -> float:
    headers = console.signed_in()
    replies = []
    took = timed(lambda: replies.append(console.ask("GET", path, headers=headers)))[0] * 1000
    (reply,) = replies
    if reply.status >= 400 or "items" not in json.loads(reply.body):
        raise RuntimeError(f"{path}: {reply.status} {reply.body[:200]!r}")
    return took


def _p95(what: str, took: Sequence[float]) -> Figure:
    p95 = sorted(took)[int(len(took) * 0.95)]
    return Figure(
        what=f"{what}, p95",
        value=p95,
        unit="ms",
        baseline=f"{ANSWER_MS_MAX} ms",
        ratio=p95 / ANSWER_MS_MAX,
        note=f"p50 {median(took):.0f} ms",
    )


def _figure(what: str, took: Sequence[float], *, limit_ms: float) -> Figure:
    middle = median(took)
    return Figure(
        what=what,
        value=middle,
        unit="ms",
        baseline=f"{limit_ms:.0f} ms",
        ratio=middle / limit_ms,
        note=f"longest of {len(took)}: {max(took):.0f} ms",
    )
