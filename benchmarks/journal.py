"""How quickly the journal commits, here and on slower disks, and how it answers with a million intents."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from commits import (
    ACCOUNT,
    CLOSE,
    COMMITS_OF_A_LIFE,
    LANE,
    LIVES,
    OF,
    ROUNDS,
    begin,
    clients_of,
    decided,
    live,
    ms_of,
    on_sqlite,
)
from measuring import PROJECT, Figure, median
from million_intents import MILLION, multiply, session_of

from proof.postgres_server import PostgresServer
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal

SLOWER_MS = (1, 2, 4)
"""By how much strace makes each sync longer: this machine's disk answers before it has written."""

TRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync")
SESSIONS = tuple(date(1990, 1, 1) + timedelta(days=number) for number in range(2000))
"""What the million intents are spread over."""

ANSWER_MS_MAX = 1_000
"""A second: what a person who looks waits for without asking why."""


def measure() -> list[Figure]:
    """Return the figures, each in a folder on the disk that temporary files are on."""
    with TemporaryDirectory(prefix="journal-bench-") as name:
        folder = Path(name)
        figures, sync_ms = on_sqlite(folder)
        for slower_ms in SLOWER_MS:
            figures += _on_a_slower_disk(slower_ms)
        with PostgresServer(on_disk=True) as server:
            figures += _life_on(server.create("lives"), "PostgreSQL", sync_ms)
            figures += clients_of(server.create("clients"), "PostgreSQL", sync_ms)
        figures += _million(folder / "million.db")
    return figures


def _on_a_slower_disk(slower_ms: int) -> list[Figure]:
    """Return the figures of one client and of many where strace makes each sync so much longer."""
    if shutil.which(TRACE[0]) is None:
        print("bench: strace is not installed: no figures of a slower disk", file=sys.stderr)
        return []
    ran = subprocess.run(
        [
            *TRACE,
            *("-e", f"inject=fdatasync,fsync:delay_exit={slower_ms * 1000}"),
            *(sys.executable, str(Path(__file__).with_name("commits.py"))),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    figures = [Figure(**figure) for figure in json.loads(ran.stdout)]
    return [replace(figure, what=f"each sync {slower_ms} ms longer: {figure.what}") for figure in figures]


def _life_on(url: str, engine: str, sync_ms: float) -> list[Figure]:
    with SqlJournal(url) as journal:
        rows = decided(journal, ROUNDS * LIVES + 1)
        live(journal, rows.pop())
        life_ms = median([ms_of(lambda: live(journal, rows.pop())) for _ in range(ROUNDS * LIVES)])
    return [
        Figure(
            what=f"life of an intent ({engine})",
            value=life_ms,
            unit="ms",
            baseline=f"{COMMITS_OF_A_LIFE} fdatasyncs",
            ratio=life_ms / (COMMITS_OF_A_LIFE * sync_ms),
        )
    ]


def _million(path: Path) -> list[Figure]:
    url = f"sqlite:///{path}"
    with SqlJournal(url) as journal:
        first, second = decided(journal, 2)
        live(journal, first)
    multiply(path, first.intent_id, SESSIONS)
    found: list[Figure] = []

    def tell(what: str, act: Callable[[], Any]) -> None:
        ms = median([ms_of(act) for _ in range(5)])
        found.append(
            Figure(what=what, value=ms, unit="ms", baseline=f"{ANSWER_MS_MAX:,} ms", ratio=ms / ANSWER_MS_MAX)
        )

    at = f"{MILLION:,} intents: "
    one = f"{first.intent_id}-777777"
    session = session_of(777_777, SESSIONS)
    with SqlJournal(url) as journal:
        tell(f"{at}opening it (store)", lambda: SqlJournal(url).close())
        tell(f"{at}what is stuck (store)", lambda: journal.stuck(before=CLOSE))
        tell(
            f"{at}an account's open intents (store)",
            lambda: journal.open_intents(account=ACCOUNT, lane=LANE),
        )
        tell(f"{at}the events of one (store)", lambda: journal.events_of(one))
        tell(f"{at}a session's intents, orders and fills (store)", lambda: _session(journal, session))
        term = begin(journal)
        found.append(
            Figure(
                what=f"{at}the life of one more",
                value=ms_of(lambda: live(journal, second, term=term)),
                unit="ms",
            )
        )
        found.append(
            Figure(
                what=f"{at}integrity at an executor's start", value=ms_of(journal.check_integrity), unit="ms"
            )
        )
    reader = JournalReader(url)
    tell(f"{at}opening it (reader)", lambda: reader.exists)
    tell(f"{at}what is stuck (reader)", lambda: reader.stuck(lane=LANE, before=CLOSE))
    tell(f"{at}an account's open intents (reader)", lambda: reader.open_intents(account=ACCOUNT, lane=LANE))
    tell(f"{at}what waits for a person (reader)", lambda: reader.pending(lane=LANE))
    tell(f"{at}one by a part of its id, with its events (reader)", lambda: _trace(reader, one))
    tell(f"{at}a session's intents, orders and fills (reader)", lambda: _session(reader, session))
    with closing(sqlite3.connect(path)) as connection:
        count = "select state, count(*) from intents group by state"
        tell(f"{at}how many are in each state (SQL)", lambda: connection.execute(count).fetchall())
    return found


def _trace(reader: JournalReader, wanted: str) -> None:
    (row,) = reader.intents_by_any_id(wanted[:-1] + "7", lane=LANE)
    reader.events_of(row.intent_id)
    reader.verdicts(row.intent_id)


def _session(journal: SqlJournal | JournalReader, session: date) -> None:
    of: dict[str, Any] = {**OF, "session": session}
    journal.intents(**of)
    journal.orders(**of)
    journal.fills(**of)
