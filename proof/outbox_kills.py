"""Ended at every executed line while people are told: SIGKILL in the keeper of alerts, outbox and sender.

A process looks, finds something critical and something that may wait, stores both with their messages, and
sends them through a channel that is a file: what was written there was heard. It kills itself at the N-th
line. Then the next processes come: the watch, which looks at nothing and tells what is known, and the same
run once more. What is known is told by the first of them, and after the second nothing is missing, nothing
is a second message, and nobody heard of one more than twice. How lines are traced is kills.py.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import resources
from proof.forks import MEMORY, ChildFailed, Found, Zygote, in_child, spread
from proof.kills import Point, drawn, is_killed_at, lines_of, places, watched
from proof.suite import Progress, Size, Told
from resources import alert_keeper
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.messages import put_message
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.notifier import Notifier
from trading.alert_log import messages_due
from trading.alerts import AlertPolicy, AlertRow, Attempt, Reason, Severity, fingerprint_of, tell
from trading.journal import OutboxMessage

FOLDER = Path(resources.__file__).parent
WATCHED = watched(
    (
        FOLDER / "alert_fold.py",
        FOLDER / "alert_keeper.py",
        FOLDER / "notifier.py",
        *(FOLDER / "journal").glob("*.py"),
    ),
    once_a_call=frozenset({"records.py", "queries.py"}),
)
"""The files whose lines are points: what stores alerts and messages, and what sends them."""

NAME = "tell and deliver"
POLICY = load_alert_policy(FOLDER.parent / "config" / "alerts.toml")
CHANNEL = "stdout"
BOOK, SESSION = "us_five", date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 21, 30, tzinfo=UTC)
LATER = NOW + timedelta(seconds=POLICY.delivery.lease_s + POLICY.route.group_interval_s)
CODES = {"broker_disagrees": Severity.CRITICAL, "drawdown_high": Severity.WARNING}

SENDS_MAX = 2
"""Somebody hears of one message a second time only where a process died between the send and its mark."""

PLANTED = "a group counts as told in one transaction, and its messages are stored in the next"


class Plant(NamedTuple):
    """Put a bug into a child."""

    def put(self) -> None:
        """Tell in two transactions."""
        alert_keeper.JournalAlerts.tell = _in_two_transactions  # type: ignore[method-assign]


class FileChannel:
    """Be a channel whose other end hears what stands in a file, whoever dies afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def unready_reason(self) -> Reason | None:
        """Return nothing: a file is always there."""
        return None

    def send(self, message: OutboxMessage) -> Attempt:
        """Write one line, by one call that the kernel keeps whole."""
        line = json.dumps({"outbox_id": message.outbox_id, "body": message.body}) + "\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)
        return Attempt(arrived=True, status=0)


def run(size: Size, progress: Progress) -> Told:
    """Kill at every line that is executed while people are told, and let the next ones go on."""
    began = time.monotonic()
    home = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="proof-", dir=home) as name:
        at = Zygote(Path(name), {})
        template = at.folder / "template.db"
        SqlJournal(f"sqlite:///{template}").close()
        trail = _trail(at)
        points = drawn({NAME: trail}, size)
        is_caught = _is_caught(at, trail, size)
        found = spread(at, points, _kill, workers=size.workers, progress=progress)
    parts = Counter({NAME: len(points)})
    parts["distinct lines in them"] = len(places({NAME: trail}, points))
    parts["of distinct lines"] = len(set(trail))
    return Told(
        points=found.covered,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug=PLANTED,
        is_planted_bug_caught=is_caught,
        violations=found.violations,
        parts=dict(parts),
    )


def look(folder: Path, now: datetime) -> None:
    """Do what a run does that found two alerts: store them, store their messages, send those."""
    alerts = [_alert(code, severity) for code, severity in CODES.items()]
    with SqlJournal(_url(folder)) as journal:
        tell(
            alerts,
            codes=list(CODES),
            keeper=JournalAlerts(journal),
            policy=POLICY,
            book=BOOK,
            session=SESSION,
            now=now,
        )
        _deliver(journal, folder, now)


def watch(folder: Path, now: datetime) -> None:
    """Do what the watch does: tell what is known and due, and send what waits."""
    with SqlJournal(_url(folder)) as journal:
        JournalAlerts(journal).tell(POLICY, now=now)
        _deliver(journal, folder, now)


def missing(folder: Path, *, is_looked_again: bool) -> list[str]:
    """Return what does not hold of what was heard."""
    known = _known(folder)
    wanted = set(CODES) if is_looked_again else known
    heard = _heard(folder)
    of_message = {one["outbox_id"]: one["body"] for one in heard}
    told = Counter(
        alert["code"]
        for body in of_message.values()
        for alert in json.loads(body)["alerts"]
        if alert["status"] == "firing"
    )
    found = [f"{code} is known and nobody heard of it" for code in sorted(wanted - set(told))]
    found += [f"{code} is in {count} messages" for code, count in sorted(told.items()) if count > 1]
    sends = Counter(one["outbox_id"] for one in heard)
    found += [f"message {each} was sent {count} times" for each, count in sends.items() if count > SENDS_MAX]
    if len([each for each, count in sends.items() if count > 1]) > 1:
        found.append("more than the one message was sent twice whose mark the process did not live to make")
    return found


def _kill(at: Zygote, point: Point) -> Found:
    with tempfile.TemporaryDirectory(prefix="point-", dir=at.folder) as name:
        folder = Path(name)
        _begin(at, folder)
        if not is_killed_at(at, point.line, lambda: look(folder, NOW), files=WATCHED):
            return Found(0, (f"{point}: ended before the line",))

        def next_processes() -> list[str]:
            watch(folder, LATER)
            found = [f"after the watch: {each}" for each in missing(folder, is_looked_again=False)]
            again = LATER + timedelta(seconds=POLICY.route.group_interval_s)
            look(folder, again)
            return found + [f"after the next look: {each}" for each in missing(folder, is_looked_again=True)]

        try:
            found = in_child(at, next_processes)
        except ChildFailed as failure:
            found = [str(failure)]
    return Found(1, tuple(f"{point}: {each}" for each in found))


def _is_caught(at: Zygote, trail: Sequence[tuple[str, int]], size: Size) -> bool:
    """Say whether kills find the planted bug; drawn until one does, and each line before one says no."""
    planted = at._replace(plant=Plant())  # type: ignore[arg-type]
    points = [Point(NAME, line + 1) for line in range(len(trail))]
    random.Random(size.seed).shuffle(points)
    return any("nobody heard" in each for point in points for each in _kill(planted, point).violations)


def _trail(at: Zygote) -> list[tuple[str, int]]:
    with tempfile.TemporaryDirectory(prefix="point-", dir=at.folder) as name:
        folder = Path(name)
        _begin(at, folder)
        told = in_child(at, lambda: lines_of(lambda: look(folder, NOW), files=WATCHED))
        if found := missing(folder, is_looked_again=True):
            raise AssertionError(f"{NAME} does not hold even unkilled: {'; '.join(found)}")
    return [(str(file), int(line)) for file, line in told]


def _begin(at: Zygote, folder: Path) -> None:
    shutil.copy(at.folder / "template.db", folder / "journal.db")


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'journal.db'}"


def _deliver(journal: SqlJournal, folder: Path, now: datetime) -> None:
    Notifier(journal, {CHANNEL: FileChannel(folder / "heard")}, policy=POLICY.delivery).deliver(now)


def _alert(code: str, severity: Severity) -> AlertRow:
    return AlertRow(
        session=SESSION,
        book=BOOK,
        code=code,
        severity=severity,
        metric="m",
        observed=1.0,
        threshold=0.0,
        message=f"{code} was seen",
        runbook=f"docs/runbooks/{code}.md",
        fingerprint=fingerprint_of(book=BOOK, code=code, severity=severity),
    )


def _known(folder: Path) -> set[str]:
    events = JournalReader(_url(folder)).alert_events(first=0)
    bodies: list[Mapping[str, Any]] = [event.body for event in events if event.kind == "alert"]
    return {body["labels"]["alertname"] for body in bodies if body["is_firing"]}


def _heard(folder: Path) -> list[dict[str, Any]]:
    try:
        lines = (folder / "heard").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def _in_two_transactions(keeper: JournalAlerts, policy: AlertPolicy, *, now: datetime) -> int:
    """Tell as nobody should: what was told is stored, and only then the messages."""
    with keeper._at(now) as (log, append, _):
        messages = messages_due(log, policy, now=now)
        alert_keeper._append_all(append, [message.event for message in messages])
    with keeper._at(now) as (_, append, conn):
        for message in messages:
            for channel in policy.delivery.channels:
                put_message(
                    conn,
                    append,
                    dedup_key=message.dedup_key,
                    channel=channel,
                    severity=message.severity.value,
                    subject=message.subject,
                    body=message.body,
                    now=now,
                )
    return len(messages)
