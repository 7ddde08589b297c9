"""What is done while people are told, and what has to hold wherever the process was ended.

Three scenarios: a run's first look; a day and the next morning, on which a channel refuses, is full, has no
address and is slow, and people acknowledge and silence; and two looks of the watch at Dagster's runs.
A channel is a file: what was written there was heard, whoever dies afterwards. Each scenario is a list of
deeds; whoever comes after a death goes on with the deed that it interrupted, as the next process, the daemon
or the same person would. Where processes are ended is outbox_kills.py.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.sensor_definition import SensorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster_shared.error import SerializableErrorInfo

import resources
import sensors
import trading
from jobs.session_jobs import BOOK_TAG
from proof.kills import Watched, watched
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.calendars import load_calendar
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.notifier import Notifier
from resources.watch_signs import WatchSigns, last_beat
from sensors.watch import watch_sensor
from trading.alert_log import ACKNOWLEDGED, SILENCED, UNSILENCED, alert_log_of, find_alert
from trading.alerts import AlertRow, Attempt, Reason, Severity, fingerprint_of, tell
from trading.clock import Phase
from trading.journal import CooldownRules, OutboxMessage
from trading.sessions import Calendar
from trading.slos import RAISED_BY, Judgement, PairBurn, judged

RESOURCES = Path(resources.__file__).parent
CONFIG = RESOURCES.parent / "config"

TELLING = watched(
    (
        RESOURCES / "alert_fold.py",
        RESOURCES / "alert_keeper.py",
        RESOURCES / "notifier.py",
        Path(trading.__file__).parent / "alerts.py",
        *(RESOURCES / "journal").glob("*.py"),
    ),
    once_a_call=frozenset({"alerts.py", "records.py", "queries.py"}),
)
"""The files whose lines are points: what stores alerts and messages, and what sends them."""

WATCHING = watched(
    (
        Path(sensors.__file__).parent / "watch.py",
        RESOURCES / "watch_signs.py",
        RESOURCES / "alert_keeper.py",
    ),
    once_a_call=(),
)
"""Those of the watch; what is below it is killed at in the other scenarios, where a point is cheaper."""

POLICY = load_alert_policy(CONFIG / "alerts.toml")
CHANNEL = "stdout"
BOOK, OTHER_BOOK, SESSION = "us_five", "us_wide", date(2013, 2, 28)
CALENDAR = load_calendar("XNYS", CONFIG / "calendars")
NOW = datetime(2013, 2, 28, 21, 30, tzinfo=UTC)
LATER = NOW + timedelta(seconds=POLICY.delivery.lease_s + POLICY.route.group_interval_s)
DISAGREES, DRAWDOWN, SLIPPAGE = "broker_disagrees", "drawdown_high", "slippage_high"
RUN_FAILED, TICK_FAILED = "run_failed", "tick_failed"
CODES = {DISAGREES: Severity.CRITICAL, DRAWDOWN: Severity.WARNING}

SENDS_MAX = 2
"""Somebody hears of one message a second time only where a process died between the send and its mark."""


class Scenario(NamedTuple):
    """Hold one way in which people are told.

    `prepare` makes a folder once, `act` is what is killed in it at a line of `files`, and `heal` is what the
    next processes do: it returns what does not hold.
    """

    name: str
    files: Watched
    prepare: Callable[[Path], None]
    act: Callable[[Path], None]
    heal: Callable[[Path], list[str]]


class FileChannel:
    """Be a channel whose other end hears what stands in a file, whoever dies afterwards.

    It refuses as many sends as the folder says. `before` is done before a send, as long as that takes.
    """

    def __init__(
        self,
        folder: Path,
        now: datetime,
        *,
        unready: Reason | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self._folder = folder
        self._now = now
        self._unready = unready
        self._before = before

    def unready_reason(self) -> Reason | None:
        """Return why nothing can be sent, as the scenario has it."""
        return self._unready

    def send(self, message: OutboxMessage) -> Attempt:
        """Write one line, by one call that the kernel keeps whole."""
        self._before()
        refusals = refusals_left(self._folder)
        if refusals:
            refuse(self._folder, *refusals[1:])
            return Attempt(arrived=False, status=refusals[0])
        told = {"outbox_id": message.outbox_id, "body": message.body, "at": self._now.isoformat()}
        handle = os.open(self._folder / "heard", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{json.dumps(told)}\n".encode())
        finally:
            os.close(handle)
        return Attempt(arrived=True, status=0)


def refuse(folder: Path, *statuses: int) -> None:
    """Let the channel refuse the next sends with these statuses; 0 is no answer at all."""
    (folder / "refusals").write_text(json.dumps(statuses), encoding="utf-8")


def refusals_left(folder: Path) -> list[int]:
    """Return the statuses of the sends that are still refused."""
    try:
        return list(json.loads((folder / "refusals").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []


def url_of(folder: Path) -> str:
    """Return the address of a folder's journal."""
    return f"sqlite:///{folder / 'journal.db'}"


def new_journal(folder: Path) -> None:
    """Make an empty journal."""
    SqlJournal(url_of(folder)).close()


def deliver(journal: SqlJournal, folder: Path, now: datetime, **channel: Any) -> None:
    """Send what waits; who sends again does so at once."""
    channels = {CHANNEL: FileChannel(folder, now, **channel)}
    Notifier(journal, channels, policy=POLICY.delivery).deliver(now)


def alert(code: str, severity: Severity, *, book: str = BOOK) -> AlertRow:
    """Return an alert as a look finds it."""
    return AlertRow(
        session=SESSION,
        book=book,
        code=code,
        severity=severity,
        metric="m",
        observed=1.0,
        threshold=0.0,
        message=f"{code} was seen",
        runbook=f"docs/runbooks/{code}.md",
        fingerprint=fingerprint_of(book=book, code=code, severity=severity),
    )


def heard_in(folder: Path) -> list[dict[str, Any]]:
    """Return what was heard, one entry a send."""
    try:
        lines = (folder / "heard").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def told_in(folder: Path) -> Counter[tuple[str, str]]:
    """Return in how many messages each alert was heard of, by code and status."""
    of_message = {one["outbox_id"]: one["body"] for one in heard_in(folder)}
    return Counter(
        (one["code"], one["status"]) for body in of_message.values() for one in json.loads(body)["alerts"]
    )


def sent_too_often(folder: Path, *, doubled: int = 1) -> list[str]:
    """Return what was sent too often: more than twice, or twice of more messages than a death explains."""
    sends = Counter(one["outbox_id"] for one in heard_in(folder))
    found = [f"message {each} was sent {count} times" for each, count in sends.items() if count > SENDS_MAX]
    if sum(count > 1 for count in sends.values()) > doubled:
        found.append("more than the one message was sent twice whose mark the process did not live to make")
    return found


# ------------------------------------------------------------------------------------ a run's first look


def look(folder: Path, now: datetime) -> None:
    """Do what a run does that found two alerts: store them, store their messages, send those."""
    alerts = [alert(code, severity) for code, severity in CODES.items()]
    with SqlJournal(url_of(folder)) as journal:
        tell(
            alerts,
            codes=list(CODES),
            keeper=JournalAlerts(journal),
            policy=POLICY,
            book=BOOK,
            session=SESSION,
            now=now,
        )
        deliver(journal, folder, now)


def tell_and_deliver(folder: Path, now: datetime) -> None:
    """Do what the watch does: tell what is known and due, and send what waits."""
    with SqlJournal(url_of(folder)) as journal:
        JournalAlerts(journal).tell(POLICY, now=now)
        deliver(journal, folder, now)


def _healed_look(folder: Path) -> list[str]:
    """Tell what is known, which is then heard; look once more, and nothing is missing or a second message."""
    tell_and_deliver(folder, LATER)
    found = [f"after the watch: {each}" for each in _missing(folder, wanted=_known(folder))]
    look(folder, LATER + timedelta(seconds=POLICY.route.group_interval_s))
    return found + [f"after the next look: {each}" for each in _missing(folder, wanted=set(CODES))]


def _missing(folder: Path, *, wanted: set[str]) -> list[str]:
    told = {code: count for (code, status), count in told_in(folder).items() if status == "firing"}
    found = [f"{code} is known and nobody heard of it" for code in sorted(wanted - set(told))]
    found += [f"{code} is in {count} messages" for code, count in sorted(told.items()) if count > 1]
    return found + sent_too_often(folder)


def _known(folder: Path) -> set[str]:
    events = JournalReader(url_of(folder)).alert_events(first=0)
    bodies: list[Mapping[str, Any]] = [event.body for event in events if event.kind == "alert"]
    return {body["labels"]["alertname"] for body in bodies if body["is_firing"]}


# ------------------------------------------------------------------------------------ a day and a morning

HARD = replace(
    POLICY,
    delivery=replace(POLICY.delivery, channels=(CHANNEL,), rate_limit_count=1, attempts_max=1),
)
"""The policy as shipped, but a channel is full after one message, and a warning refused once is given up."""

SILENCED_AT, UNSILENCED_AT = (timedelta(days=1, minutes=minutes) for minutes in (60, 70))


@dataclass(slots=True)
class Day:
    """Do what is done to one journal; `at` is when."""

    folder: Path
    journal: SqlJournal
    keeper: JournalAlerts
    at: datetime = NOW

    def look(self, *alerts: AlertRow, codes: Sequence[str] = tuple(CODES), book: str = BOOK) -> None:
        """Look at a book, find these alerts and tell of them."""
        tell(
            alerts,
            codes=codes,
            keeper=self.keeper,
            policy=HARD,
            book=book,
            session=SESSION,
            now=self.at,
        )
        self.deliver()

    def watch(self) -> None:
        """Tell what is due, and send."""
        self.keeper.tell(HARD, now=self.at)
        self.deliver()

    def deliver(self, *, now: datetime | None = None, **channel: Any) -> None:
        """Send what waits."""
        channels = {CHANNEL: FileChannel(self.folder, now or self.at, **channel)}
        Notifier(self.journal, channels, policy=HARD.delivery, sleep=lambda _: None).deliver(now or self.at)

    def acknowledge(self) -> None:
        """Acknowledge the alert of the other book, as a person who sees that nobody has."""
        log = alert_log_of(self.journal.events(after=0, limit=10_000))
        if not find_alert(log, SLIPPAGE).acknowledged_by:
            self.keeper.acknowledge(SLIPPAGE, actor="ada", reason="seen", now=self.at)

    def silence(self) -> None:
        """Silence the critical for an hour, unless it is; then it fires again."""
        if not self._silences():
            self.keeper.silence(
                [f"alertname={DISAGREES}"],
                lasts=timedelta(hours=1),
                actor="ada",
                reason="the broker works on it",
                now=self.at,
            )
        self.look(*BOTH)

    def end_silence(self) -> None:
        """End the silence where it is in force: what it held back is told, to nobody without an address."""
        for silence_id in self._silences():
            self.keeper.end_silence(silence_id, actor="ada", reason="they are done", now=self.at)
        self.keeper.tell(HARD, now=self.at)
        self.deliver(unready=Reason.MISSING_WEBHOOK_URL)

    def deliver_slowly(self) -> None:
        """Send so slowly that the lease ends, and another sender has sent the same meanwhile."""
        after = self.at + timedelta(seconds=HARD.delivery.lease_s + 1)
        self.deliver(before=lambda: self.deliver(now=after))

    def _silences(self) -> list[str]:
        log = alert_log_of(self.journal.events(after=0, limit=10_000))
        return [one.silence_id for one in log.silences if one.ends_at > self.at]


class Deed(NamedTuple):
    """Hold what is done when, and which sends are refused meanwhile."""

    at: timedelta
    do: Callable[[Any], object]
    refused: tuple[int, ...] = ()


BOTH = tuple(alert(code, severity) for code, severity in CODES.items())
_SLIPPED = alert(SLIPPAGE, Severity.WARNING, book=OTHER_BOOK)

DAY = (
    Deed(timedelta(), lambda day: day.look(*BOTH), (0, 0)),
    # The warning is given up, the critical waits; a retry then gets through.
    Deed(timedelta(minutes=5), Day.watch, (503,) * 4),
    Deed(timedelta(minutes=10), Day.watch, (429,)),
    # The channel is full.
    Deed(timedelta(minutes=15), lambda day: day.look(_SLIPPED, codes=[SLIPPAGE], book=OTHER_BOOK)),
    Deed(timedelta(minutes=30), Day.watch),
    Deed(timedelta(minutes=40), lambda day: day.look(BOTH[1])),
    Deed(timedelta(minutes=50), Day.acknowledge),
    # What goes on is told again, unless somebody knows of it.
    Deed(timedelta(days=1, minutes=45), Day.watch),
    Deed(SILENCED_AT, Day.silence),
    Deed(UNSILENCED_AT, Day.end_silence),
    Deed(UNSILENCED_AT + timedelta(minutes=5), Day.deliver_slowly),
    Deed(UNSILENCED_AT + timedelta(minutes=15), Day.watch),
)

DAY_TOLD = {
    (DISAGREES, "firing"): {2},
    (DISAGREES, "resolved"): {1},
    (SLIPPAGE, "firing"): {1},
    # Its first message is given up; a sender that died in between leaves it to be sent.
    (DRAWDOWN, "firing"): {1, 2},
}
"""In how many messages each alert is heard of, by code and status, wherever the process was ended."""


def _go_on(folder: Path, deeds: Sequence[Deed], day: Any) -> None:
    """Do the deeds that nobody has finished."""
    done = folder / "done"
    finished = int(done.read_text(encoding="utf-8")) if done.exists() else 0
    for number, deed in enumerate(deeds[finished:], start=finished + 1):
        day.at = NOW + deed.at
        refuse(folder, *deed.refused)
        deed.do(day)
        done.write_text(str(number), encoding="utf-8")


def live_the_day(folder: Path) -> None:
    """Do what is left of the day and the morning."""
    with SqlJournal(url_of(folder)) as journal:
        _go_on(folder, DAY, Day(folder, journal, JournalAlerts(journal)))


def _healed_day(folder: Path) -> list[str]:
    live_the_day(folder)
    with SqlJournal(url_of(folder)) as journal:
        end = Day(folder, journal, JournalAlerts(journal), at=NOW + timedelta(days=1, hours=2))
        end.watch()
        kinds = Counter(event.kind for event in journal.events(after=0, limit=10_000))
    silent = (NOW + SILENCED_AT, NOW + UNSILENCED_AT)
    found = [
        f"{DISAGREES} was heard of at {one['at']}, while it was silenced"
        for one in heard_in(folder)
        if silent[0] <= datetime.fromisoformat(one["at"]) < silent[1]
        and DISAGREES in {told["code"] for told in json.loads(one["body"])["alerts"]}
    ]
    found += [
        f"{kind} stands {kinds[kind]} times"
        for kind in (ACKNOWLEDGED, SILENCED, UNSILENCED)
        if kinds[kind] != 1
    ]
    # The slow sender's message is heard of twice even where nobody dies.
    return [*found, *_told_otherwise(folder, DAY_TOLD), *sent_too_often(folder, doubled=2)]


def _told_otherwise(folder: Path, wanted: Mapping[tuple[str, str], set[int]]) -> list[str]:
    told = told_in(folder)
    return [
        f"{code} is in {told[code, status]} messages as {status}, not in {sorted(counts)}"
        + (": nobody heard of it" if not told[code, status] else "")
        for (code, status), counts in {**{each: {0} for each in told}, **wanted}.items()
        if told[code, status] not in counts
    ]


# ------------------------------------------------------------------------------------ the watch

WATCHED_POLICY = replace(
    POLICY,
    rules=tuple(
        replace(rule, severity=Severity.CRITICAL) if rule.code == RUN_FAILED else rule
        for rule in POLICY.rules
    ),
    delivery=replace(POLICY.delivery, channels=(CHANNEL,)),
)
"""The policy as shipped, but a run that failed is critical."""

WATCH_TOLD = {(RUN_FAILED, "firing"): {1}, (RUN_FAILED, "resolved"): {1}, (TICK_FAILED, "firing"): {1}}


class _Config(NamedTuple):
    account: str = "paper-us-five"
    last_session: date = SESSION
    rules: Any = None


class _Rules(NamedTuple):
    cooldown: CooldownRules = CooldownRules()


class _Graph(NamedTuple):
    """Be of a book's graph what the watch asks."""

    name: str = BOOK
    calendar: Calendar = CALENDAR
    config: _Config = _Config(rules=_Rules())
    lane: str = "paper"

    def where(self, session: date) -> dict[str, Any]:
        return {"book": self.name, "lane": self.lane, "session": session}


class _Signs(WatchSigns):
    """Leave real signs of life on a disk that is never full."""

    def disk_free_ratio(self) -> float:
        return 0.5


@dataclass(slots=True)
class Looks:
    """Evaluate the watch as the daemon does, which saves the cursor when an evaluation has ended.

    It is clock, call log, levels and tables too: no model was asked, an incident is open, nothing is late.
    """

    folder: Path
    journal: SqlJournal
    instance: dg.DagsterInstance
    at: datetime = NOW

    def now(self, _session: date, _phase: Phase) -> datetime:
        """Return the time of the look."""
        return self.at

    def today(self, _calendar: Calendar, _last_data_session: date) -> date:
        """Return the session of the runs."""
        return SESSION

    def calls_of(self, **_: Any) -> list[Any]:
        """Return nothing: no model was asked."""
        return []

    def is_made(self, _book: str, _asset: str, _partition: str) -> bool:
        """Say that no table is late."""
        return True

    def burns(self) -> list[PairBurn]:
        """Return nothing: no budget burns."""
        return []

    def judgement(self) -> Judgement:
        """Return the level of an open incident, at which trading is degraded."""
        return judged([], incidents_open=1)

    def look(self) -> None:
        """Look once, and save the cursor."""
        graph: Any = _Graph()
        said = watch_sensor([graph], automations={BOOK: ()}, is_simulated=False)(
            dg.build_sensor_context(instance=self.instance, cursor=cursor_in(self.folder)),
            journal=self.journal,
            clocks={BOOK: self},
            alert_policy=WATCHED_POLICY,
            alert_keeper=JournalAlerts(self.journal),
            notifier=Notifier(
                self.journal,
                {CHANNEL: FileChannel(self.folder, self.at)},
                policy=WATCHED_POLICY.delivery,
            ),
            watched=_Signs(self.folder / "signs"),
            call_log=self,
            levels=self,
            tables=self,
        )
        save_cursor(self.folder, said.cursor)


def cursor_in(folder: Path) -> str | None:
    """Return the cursor that was saved last."""
    kept = folder / "cursor"
    return kept.read_text(encoding="utf-8") if kept.exists() else None


def save_cursor(folder: Path, cursor: str) -> None:
    """Save a cursor whole or not at all, as a transaction of the daemon's does."""
    fresh = folder / "cursor.new"
    fresh.write_text(cursor, encoding="utf-8")
    fresh.replace(folder / "cursor")


LOOKS = (
    Deed(timedelta(), lambda looks: looks.look()),
    Deed(timedelta(minutes=3), lambda looks: looks.look()),
)
"""The first finds a run that failed and was mended by the next, the second that it is over."""


@functools.cache
def _instance_at(home: str) -> dg.DagsterInstance:
    """Open an instance once for a process and its forks: each look connects anew, and only reads."""
    return dg.DagsterInstance.local_temp(home, overrides={"telemetry": {"enabled": False}})


def _prepare_runs(folder: Path) -> None:
    """Let a settlement fail and the next one succeed, and a sensor's tick fail before one under way."""
    new_journal(folder)

    home = folder.with_name(f"{folder.name}-dagster")
    home.mkdir()
    (folder / "home").write_text(str(home), encoding="utf-8")
    instance = _instance_at(str(home))
    for fails in (True, False):
        _settling(fails=fails).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={"dagster/partition": str(SESSION)},
        )
    _tick(instance, f"{BOOK}__approvals_sensor")


def _settling(*, fails: bool) -> dg.JobDefinition:
    @dg.op
    def settle() -> None:
        """Fail as the run wants it."""
        if fails:
            raise dg.Failure("the broker did not answer", allow_retries=False)

    @dg.job(name=f"{BOOK}__settle", tags={BOOK_TAG: BOOK})
    def job() -> None:
        """Settle."""
        settle()

    return job


def _tick(instance: dg.DagsterInstance, name: str) -> None:
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "desk")
    state = InstigatorState(
        RemoteInstigatorOrigin(repository, name),
        InstigatorType.SENSOR,
        InstigatorStatus.RUNNING,
        SensorInstigatorData(sensor_type=SensorType.STANDARD),
    )
    instance.add_instigator_state(state)
    for at, status, error in (
        (1.0, TickStatus.FAILURE, SerializableErrorInfo("no such file", [], None)),
        (2.0, TickStatus.STARTED, None),
    ):
        of = (state.instigator_origin_id, state.instigator_name, InstigatorType.SENSOR)
        instance.create_tick(TickData(*of, status, at, selector_id=state.selector_id, error=error))


def watch_twice(folder: Path) -> None:
    """Do the looks that are left."""
    instance = _instance_at((folder / "home").read_text(encoding="utf-8"))
    with SqlJournal(url_of(folder)) as journal:
        _go_on(folder, LOOKS, Looks(folder, journal, instance))


def _healed_watch(folder: Path) -> list[str]:
    found = []
    if last_beat(folder / "signs") is not None and RUN_FAILED not in _known(folder):
        found.append("at its death: the watch left a sign of life, and the run that failed is not known")
    watch_twice(folder)
    with SqlJournal(url_of(folder)) as journal:
        Notifier(
            journal,
            {CHANNEL: FileChannel(folder, NOW + timedelta(hours=1))},
            policy=WATCHED_POLICY.delivery,
        ).deliver(NOW + timedelta(hours=1))
        degraded = sum(event.actor == RAISED_BY for event in journal.events(after=0, limit=10_000))
        if not journal.run_control().is_degraded or degraded != 1:
            found.append(f"trading was degraded {degraded} times, not once")
    if last_beat(folder / "signs") is None:
        found.append("the watch left no sign of life")
    return [*found, *_told_otherwise(folder, WATCH_TOLD), *sent_too_often(folder)]


FIRST_LOOK, A_DAY, THE_WATCH = SCENARIOS = (
    Scenario("tell and deliver", TELLING, new_journal, lambda folder: look(folder, NOW), _healed_look),
    Scenario("a day and a morning", TELLING, new_journal, live_the_day, _healed_day),
    Scenario("the watch", WATCHING, _prepare_runs, watch_twice, _healed_watch),
)


def copied_to(template: Path, folder: Path) -> None:
    """Copy a prepared folder."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
