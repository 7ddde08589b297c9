"""Histories of alerts, told by ours and by a real Alertmanager at once: the same groups, at the same turns.

All histories run through one server together, each under a label value of its own, with intervals of
seconds. What changes does so on even seconds of its history, turns come on odd ones, so that neither has to
be quick; histories begin one after the other, so that not everything happens at once. Not here: how alerts
are stored and delivered (trading/alert_log.py, resources/notifier.py).
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx

from proof.suite import NotRun, Progress, Size, Told
from trading.alert_groups import (
    Alert,
    Group,
    InhibitRule,
    Labels,
    Line,
    Matcher,
    Matching,
    Route,
    Silence,
    flushed,
    group_of,
    is_inhibited,
    is_silenced,
    joined,
    labels_of,
)

PROGRAMS = ("prometheus-alertmanager", "alertmanager")
"""What the server's program is called: by Debian, and by those who built it."""

WAIT_S, INTERVAL_S, REPEAT_S = 3, 4, 10
"""Of the route; a group's turns come on odd seconds where its first alert came on an even one."""

LAST_CHANGE_S, END_S = 10, 24
STARTED_S_MAX = 60
TRIES = 3

LATE = timedelta(seconds=0.7)
"""How late a change may be at the server: turns come a second later."""

SHIFTS, SHIFT_S = 8, 0.25
"""In how many parts the histories begin, and how far apart."""

FEW = 100
"""So many histories at most are prepared within a moment."""

SILENCE_S = 0.06
"""Seconds kept free for storing one silence: many times what it takes."""

SWEPT_EVERY_S = 30
"""The server forgets empty groups this often from its start; all histories pass in between."""

ROUTE = Route(
    group_by=("book", "history"),
    group_wait_s=WAIT_S,
    group_interval_s=INTERVAL_S,
    repeat_interval_s=REPEAT_S,
)

RULES = (
    InhibitRule(
        source=(Matcher("severity", Matching.EQUAL, "critical"),),
        target=(Matcher("severity", Matching.EQUAL, "warning"),),
        equal=("book", "history"),
    ),
    InhibitRule(
        source=(Matcher("role", Matching.PATTERN, "x|y"),),
        target=(Matcher("role", Matching.PATTERN, "y|z"),),
        equal=("history", "site"),
    ),
)

PLANTED_BUG = "one hears no silence, one inhibits nothing, one never repeats, one does not group"

EPOCH = datetime(2013, 3, 1, tzinfo=UTC)
"""When our own telling of each history begins."""


class Change(NamedTuple):
    """Hold that an alert fires, or is over, `at_s` after the beginning; `since_s` is how long it fired."""

    at_s: int
    labels: Labels
    is_firing: bool
    since_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Hold what happens in one history."""

    name: str
    changes: tuple[Change, ...]
    silences: tuple[Silence, ...]


Lines = tuple[tuple[Labels, bool], ...]
"""The alerts of one notification in their order, each with whether it is over."""


class Ours(NamedTuple):
    """Hold what ours tells of each group in turn; `is_explained` where it means to tell otherwise."""

    by_group: dict[Labels, list[Lines]]
    is_explained: bool


class Telling(NamedTuple):
    """Hold the rules that a history is told by; a planted bug has others than the server."""

    route: Route = ROUTE
    rules: tuple[InhibitRule, ...] = RULES
    hears_silences: bool = True


def run(size: Size, progress: Progress) -> Told:
    """Tell as many histories as asked by both; tell those that differ."""
    started_at = time.monotonic()
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise NotRun("Alertmanager is not installed (Debian: apt-get install prometheus-alertmanager)")
    rng = Random(size.seed)
    histories = [_drawn(f"h{number:05}", rng) for number in range(size.points)]
    theirs = _in_time(program, histories, progress)
    parts: Counter[str] = Counter()
    violations = []
    for history in histories:
        ours = told_by_ours(history, Telling())
        found = theirs[history.name]
        parts["notifications"] += sum(map(len, found.values()))
        if found == ours.by_group:
            parts["equal"] += 1
        elif ours.is_explained:
            parts["explained: over while held back, told again when it fires again"] += 1
        else:
            violations.append(f"{history}: ours {ours.by_group}, Alertmanager {found}")
    return Told(
        points=size.points,
        seconds=time.monotonic() - started_at,
        seed=size.seed,
        planted_bug=PLANTED_BUG,
        is_planted_bug_caught=all(
            any(_differs(history, theirs, planted) for history in histories) for planted in _planted()
        ),
        violations=tuple(violations),
        parts=dict(parts),
    )


def told_by_ours(history: History, telling: Telling) -> Ours:
    """Return what ours tells of a history, turn by turn."""
    groups: dict[Labels, Group] = {}
    alerts: dict[Labels, Alert] = {}
    told: dict[Labels, list[Lines]] = defaultdict(list)
    is_explained = False
    silences = history.silences if telling.hears_silences else ()
    for second in range(END_S + 1):
        now = EPOCH + timedelta(seconds=second)
        for change in (one for one in history.changes if one.at_s == second):
            alert = _changed(alerts.get(change.labels), change, now)
            alerts[change.labels] = alert
            key = group_of(change.labels, telling.route)
            groups[key] = joined(groups.get(key), alert, telling.route, now=now)
        firing = tuple(alert.labels for alert in alerts.values() if not alert.is_resolved(now))

        def is_held_back(alert: Alert, now: datetime = now, firing: Sequence[Labels] = firing) -> bool:
            return is_silenced(alert.labels, silences, now=now) or is_inhibited(
                alert.labels, telling.rules, firing
            )

        for key, group in groups.items():
            if group.next_flush_at > now:
                continue
            after, notification = flushed(group, telling.route, now=now, is_held_back=is_held_back)
            is_explained |= _is_forgotten(group, after, is_held_back, now)
            groups[key] = after
            if notification is not None:
                told[key].append(_lines(notification.lines))
    return Ours(dict(told), is_explained)


def _is_forgotten(before: Group, after: Group, is_held_back: Callable[[Alert], bool], now: datetime) -> bool:
    """Say whether something was over while held back that people had been told of: there, it counts on."""
    told = before.told.firing if before.told else frozenset()
    return any(
        fingerprint in told and alert.is_resolved(now) and is_held_back(alert)
        for fingerprint, alert in before.alerts.items()
        if fingerprint not in after.alerts
    )


def _changed(alert: Alert | None, change: Change, now: datetime) -> Alert:
    if not change.is_firing and alert is not None:
        return alert._replace(ends_at=now)
    return Alert(change.labels, now - timedelta(seconds=change.since_s))


def _lines(lines: Sequence[Line]) -> Lines:
    return tuple((line.labels, line.is_resolved) for line in lines)


def _planted() -> Iterator[Telling]:
    yield Telling(hears_silences=False)
    yield Telling(rules=())
    yield Telling(route=replace(ROUTE, repeat_interval_s=10**6))
    yield Telling(route=replace(ROUTE, group_by=("history",)))


def _differs(history: History, theirs: Mapping[str, Any], planted: Telling) -> bool:
    ours = told_by_ours(history, planted)
    return not ours.is_explained and bool(ours.by_group != theirs[history.name])


# ------------------------------------------------------------------------------------------- what happens


def _drawn(name: str, rng: Random) -> History:
    """Return a history: one to five alerts that come, end and come again, and up to two silences."""
    changes = [
        change for place in range(rng.randint(1, 5)) for change in _life(_labels(name, place, rng), rng)
    ]
    if rng.random() < 0.15:
        changes.append(_late(name, rng))
    silences = tuple(_silence(name, place, rng) for place in range(rng.choice((0, 0, 1, 2))))
    return History(
        name=name, changes=tuple(sorted(changes, key=lambda change: change.at_s)), silences=silences
    )


def _labels(name: str, place: int, rng: Random) -> Labels:
    return labels_of(
        {
            "history": name,
            "alertname": f"{rng.choice('ABCD')}{place}",
            "book": rng.choice(("us_five", "us_wide")),
            "severity": rng.choice(("warning", "critical", "info")),
            "role": rng.choice(("", "", "x", "y", "z")),
            "site": rng.choice(("", "here")),
            "job": rng.choice(("", "", "decide", "settle")),
            "instance": rng.choice(("", "", "one", "two")),
            "stage": rng.choice(("", "metrics")),
        }
    )


def _life(labels: Labels, rng: Random) -> Iterator[Change]:
    """Yield when an alert fires and is over, on even seconds."""
    at_s = 2 * rng.randint(0, 3)
    is_firing = True
    while at_s <= LAST_CHANGE_S:
        yield Change(at_s, labels, is_firing)
        is_firing = not is_firing
        at_s += 2 * rng.randint(1, 5)


def _late(name: str, rng: Random) -> Change:
    """Return an alert that fires for longer than the wait when it is heard of: its group is told at once."""
    labels = labels_of({"history": name, "alertname": "late", "book": "late", "severity": "info"})
    return Change(2 * rng.randint(0, 4) + 1, labels, is_firing=True, since_s=60)


def _silence(name: str, place: int, rng: Random) -> Silence:
    starts_s = 2 * rng.randint(0, 4)
    ends_s = starts_s + 2 * rng.randint(1, 6)
    matchers = [Matcher("history", Matching.EQUAL, name)]
    matchers.append(
        rng.choice(
            (
                Matcher("severity", Matching.EQUAL, "warning"),
                Matcher("severity", Matching.NOT_EQUAL, "critical"),
                Matcher("alertname", Matching.PATTERN, "A.*|B.*"),
                Matcher("alertname", Matching.NOT_PATTERN, "A.*|late"),
                Matcher("book", Matching.EQUAL, "us_five"),
                Matcher("role", Matching.NOT_EQUAL, "x"),
            )
        )
    )
    return Silence(
        silence_id=f"{name}-{place}",
        matchers=tuple(matchers),
        starts_at=EPOCH + timedelta(seconds=starts_s),
        ends_at=EPOCH + timedelta(seconds=ends_s),
        created_by="proof",
        comment="drawn",
    )


# --------------------------------------------------------------------------------------------- the server


class Sink:
    """Be the webhook that a server tells, and keep what came: when, of which history and group."""

    def __init__(self) -> None:
        self.told: list[tuple[datetime, str, Labels, Lines]] = []
        self.lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sink.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    @property
    def url(self) -> str:
        """Return where to tell it."""
        return f"http://127.0.0.1:{self.server.server_port}/"

    def take(self, said: Mapping[str, Any]) -> None:
        """Keep one notification."""
        group = labels_of(said["groupLabels"])
        lines = tuple((labels_of(one["labels"]), one["status"] == "resolved") for one in said["alerts"])
        with self.lock:
            self.told.append((datetime.now(UTC), said["groupLabels"]["history"], group, lines))

    def stop(self) -> None:
        """End the server."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class _LateError(Exception):
    """Say that what should have changed between two turns may have changed after one."""


def _in_time(
    program: str, histories: Sequence[History], progress: Progress
) -> dict[str, dict[Labels, list[Lines]]]:
    """Return what the server told, of the first time that nothing came too late."""
    for _ in range(TRIES):
        try:
            return _told_by_server(program, histories, progress)
        except (_LateError, httpx.TimeoutException):
            continue
    raise NotRun(f"this machine was too busy, {TRIES} times, to tell {len(histories)} histories in time")


def _told_by_server(
    program: str, histories: Sequence[History], progress: Progress
) -> dict[str, dict[Labels, list[Lines]]]:
    sink = Sink()
    started_at = datetime.now(UTC)
    try:
        with _alertmanager(program, sink.url) as client:
            begins_at = started_at + timedelta(seconds=_first_s(histories))
            for place, history in enumerate(histories):
                for silence in history.silences:
                    posted = _as_posted(silence, begins_at + _shift_of(place))
                    client.post("/api/v2/silences", json=posted).raise_for_status()
            if datetime.now(UTC) >= begins_at:
                raise _LateError
            steps = round(END_S / SHIFT_S) + SHIFTS
            for step in range(steps):
                _sleep_until(begins_at + step * timedelta(seconds=SHIFT_S))
                _post_changes(client, histories, step)
                if datetime.now(UTC) > begins_at + step * timedelta(seconds=SHIFT_S) + LATE:
                    raise _LateError
                progress(len(histories) * step // steps)
    finally:
        sink.stop()
    ends_at = {
        history.name: begins_at + _shift_of(place) + timedelta(seconds=END_S)
        for place, history in enumerate(histories)
    }
    told: dict[str, dict[Labels, list[Lines]]] = {history.name: {} for history in histories}
    for at, name, group, lines in sink.told:
        if at < ends_at[name]:
            told[name].setdefault(group, []).append(lines)
    return told


@contextmanager
def _alertmanager(program: str, webhook: str) -> Iterator[httpx.Client]:
    """Give a client of a server of one's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yml").write_text(json.dumps(_config(webhook)), encoding="utf-8")
        port = _free_port()
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={folder / 'config.yml'}",
                    f"--storage.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--cluster.listen-address=",
                    "--log.level=warn",
                ],
                stdout=said,
                stderr=said,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                _wait_until_ready(client, process, folder / "said")
                yield client
        finally:
            process.terminate()
            process.wait()


def _config(webhook: str) -> dict[str, Any]:
    """Return the route and rules as the server reads them; JSON is YAML."""
    return {
        "route": {
            "receiver": "sink",
            "group_by": list(ROUTE.group_by),
            "group_wait": f"{WAIT_S}s",
            "group_interval": f"{INTERVAL_S}s",
            "repeat_interval": f"{REPEAT_S}s",
        },
        "receivers": [{"name": "sink", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
        "inhibit_rules": [
            {
                "source_matchers": [f'{name}{how.value}"{value}"' for name, how, value in rule.source],
                "target_matchers": [f'{name}{how.value}"{value}"' for name, how, value in rule.target],
                "equal": list(rule.equal),
            }
            for rule in RULES
        ],
    }


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], said: Path) -> None:
    until = time.monotonic() + STARTED_S_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NotRun(f"Alertmanager ended at once: {said.read_text(errors='replace')[-500:]}")
        try:
            if client.get("/-/ready").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise NotRun(f"Alertmanager was not ready within {STARTED_S_MAX} s")


def _as_posted(silence: Silence, begins_at: datetime) -> dict[str, Any]:
    return {
        "matchers": [
            {
                "name": name,
                "value": value,
                "isRegex": how in {Matching.PATTERN, Matching.NOT_PATTERN},
                "isEqual": how in {Matching.EQUAL, Matching.PATTERN},
            }
            for name, how, value in silence.matchers
        ],
        "startsAt": (begins_at + (silence.starts_at - EPOCH)).isoformat(),
        "endsAt": (begins_at + (silence.ends_at - EPOCH)).isoformat(),
        "createdBy": silence.created_by,
        "comment": silence.comment,
    }


def _first_s(histories: Sequence[History]) -> float:
    """Return how long after the server's start the histories begin: few at once, many after a sweep."""
    if len(histories) <= FEW:
        return 3.5
    sweeps = math.ceil(SILENCE_S * sum(len(history.silences) for history in histories) / SWEPT_EVERY_S)
    return sweeps * SWEPT_EVERY_S + 0.5


def _shift_of(place: int) -> timedelta:
    return timedelta(seconds=SHIFT_S * (place % SHIFTS))


def _post_changes(client: httpx.Client, histories: Sequence[History], step: int) -> None:
    """Post what changes at a step, in the histories that are at a whole second then."""
    now = datetime.now(UTC)
    changes = [
        change
        for place, history in enumerate(histories)
        for change in history.changes
        if step - place % SHIFTS == round(change.at_s / SHIFT_S)
    ]
    if not changes:
        return
    posted = [
        {
            "labels": dict(change.labels),
            "startsAt": (now - timedelta(seconds=change.since_s)).isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
        }
        if change.is_firing
        else {"labels": dict(change.labels), "endsAt": now.isoformat()}
        for change in changes
    ]
    client.post("/api/v2/alerts", json=posted).raise_for_status()


def _sleep_until(instant: datetime) -> None:
    time.sleep(max((instant - datetime.now(UTC)).total_seconds(), 0))
