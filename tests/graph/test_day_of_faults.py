"""Days on which things really fail, on a real desk: each fault is told once a window, wherever people hear.

Runs are the graph's on a Dagster instance with its own storage, ticks the daemon's, and those who hear are
servers on this machine that are down for ten minutes each time something fails. Time is the test's.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from email import message_from_bytes
from email.policy import default as default_policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from resources.advisor_file import read_advisor
from resources.advisor_ladder import JournalLadder
from resources.advisors.asking import ModelAdvisor
from resources.advisors.chat_completions import ChatCompletions, breaker_of
from resources.journal.reader import JournalReader
from resources.lake.store import POINTER
from resources.notifier import EmailChannel, Notifier, SlackChannel, WebhookChannel
from resources.outbound.kept import JournalBreakers
from sensors.watch import watch_sensor
from tests.adapters.misbehaving import RESET, misbehaving
from tests.graph.desk import CALENDAR, CONFIG, DESKS, SESSIONS, Desk, copied, failure_of
from tests.graph.test_advised_session import LOCK
from tests.graph.test_reconciling import Deaf
from trading.advice import AdviceContext, Ladder
from trading.alert_log import LABELS, alert_log_of
from trading.alerts import Reason
from trading.breakers import BreakerState
from trading.clock import Phase
from trading.sessions import Calendar
from trading.slos import Judgement, PairBurn, judged
from trading.testing import example_intent
from trading_assets.definitions import graph_of

# Apprise's e-mail plug-in imports a module that Python 3.11 deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

LIMITED, UNHEARD, SKIPPED, QUIET_DAY = EVENINGS = SESSIONS[1:5]
"""The days: source, model and limits fail; lake and broker; schedule and sensor; then nothing new fails."""

DEAF_EVENINGS = (LIMITED, UNHEARD, SKIPPED)
"""Those on which nobody can hear at first."""

HOST = "127.0.0.7"
"""This machine, by a name that no other test listens on: while a server is down nobody takes its port."""

DOWN_FOR = timedelta(minutes=10)
CHANNELS = ("webhook", "slack", "email")


class Heard(NamedTuple):
    """Hold one alert as one message told it; `alert` is the beginning of its fingerprint."""

    channel: str
    alert: str
    status: str
    evening: date


class Ears:
    """Be a web server, a Slack-shaped one and a mailbox that can be down, and remember what they took."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.messages = 0
        self.evening = date.min
        self._ports = dict.fromkeys(CHANNELS, 0)
        self._running: list[Callable[[], None]] = []
        self.come_back()
        self.channels = {
            "webhook": WebhookChannel(self._web("webhook")),
            "slack": SlackChannel(self._web("slack")),
            "email": EmailChannel(
                f"mailto://{HOST}:{self._ports['email']}?from=desk@example.org&to=ada@example.org&mode=insecure"
            ),
        }

    def _web(self, channel: str) -> str:
        return f"http://{HOST}:{self._ports[channel]}/hook"

    def come_back(self) -> None:
        """Listen, at the addresses of before."""
        self.is_down = False
        for channel in ("webhook", "slack"):
            server = ThreadingHTTPServer((HOST, self._ports[channel]), self._handler(channel))
            self._ports[channel] = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            self._running.append(lambda server=server, thread=thread: _ended(server, thread))
        mailbox = _Mailbox(self, hostname=HOST, port=self._ports["email"])
        mailbox.start()
        self._ports["email"] = mailbox.port
        self._running.append(mailbox.stop)

    def go_down(self) -> None:
        """Refuse connections: nobody listens."""
        self.is_down = True
        while self._running:
            self._running.pop()()

    def close(self) -> None:
        """Let go of the addresses."""
        self.go_down()

    def take_json(self, channel: str, body: dict[str, Any]) -> None:
        if channel == "slack":
            self.take_text(channel, body["text"])
            return
        told = json.loads(body["message"])["alerts"]
        self._keep(channel, [(one["fingerprint"][:12], one["status"]) for one in told])

    def take_text(self, channel: str, text: str) -> None:
        states = re.findall(r"^\w+ \((firing|resolved), ", text, re.MULTILINE)
        shown = re.findall(r"trading alerts show ([0-9a-f]{12})", text)
        self._keep(channel, list(zip(shown, states, strict=True)))

    def _keep(self, channel: str, told: Sequence[tuple[str, str]]) -> None:
        self.messages += 1
        self.heard += [Heard(channel, alert, status, self.evening) for alert, status in told]

    def _handler(self, channel: str) -> type[BaseHTTPRequestHandler]:
        ears = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                ears.take_json(channel, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        return Handler


class _Mailbox(Controller):
    """Be a mail server that hands on what it takes."""

    def __init__(self, ears: Ears, *, hostname: str, port: int) -> None:
        super().__init__(self, hostname=hostname, port=port)
        self._ears = ears

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=default_policy)
        self._ears.take_text("email", message.get_body(("plain",)).get_content())
        return "250 kept"

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def _ended(server: ThreadingHTTPServer, thread: threading.Thread) -> None:
    server.shutdown()
    thread.join()
    server.server_close()


class Behind:
    """Be a source that stands still: of later days it has nothing."""

    def __init__(self, real: Any, *, last: date) -> None:
        self._real = real
        self._last = last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def sessions(self) -> tuple[date, ...]:
        return tuple(day for day in self._real.sessions() if day <= self._last)

    def raw_bars(self, first: date, last: date) -> list[Any]:
        return self._real.raw_bars(first, min(last, self._last)) if first <= self._last else []


class InProcess(WorkspaceLoadTarget):
    """Let the daemon load a file of definitions here instead of in a process of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create_origins(self) -> list[InProcessCodeLocationOrigin]:
        origin = LoadableTargetOrigin(python_file=str(self._path), attribute="definitions")
        return [InProcessCodeLocationOrigin(origin, location_name="failing")]


FAILING = '''
import dagster as dg


@dg.job
def nothing():
    """Do nothing."""


@dg.sensor(job=nothing, default_status=dg.DefaultSensorStatus.RUNNING)
def fills_sensor():
    """Look where nothing is."""
    open("/nowhere/fills.json")


definitions = dg.Definitions(jobs=[nothing], sensors=[fills_sensor])
'''


class Days:
    """Let days pass at a desk whose source, model, limits and broker fail, with the watch that tells of it.

    It is the clock of the watch, and what the watch asks of disk and budgets, which are well.
    """

    def __init__(self, folder: Path, ears: Ears, *, url: str) -> None:
        self.ears = ears
        self.now_at = CALENDAR.opens_at(LIMITED)
        self.is_deaf = self.is_behind = False
        self.desk = Desk(
            folder / "desk",
            config_dir=_tightened(folder / "config"),
            ports={
                "advisor": lambda _: self.advisor,
                "advisor_ladder": lambda profiled: JournalLadder(
                    profiled.journal, ceiling=Ladder.SHADOW, lock=LOCK
                ),
                "brokers": self._brokers,
                "sources": self._sources,
                "alert_policy": lambda _: self.policy,
                "notifier": lambda _: self.notifier,
            },
        )
        home = folder / "dagster"
        home.mkdir()
        self.desk.instance.dispose()
        self.desk.instance = dg.DagsterInstance.local_temp(
            str(home), overrides={"telemetry": {"enabled": False}}
        )
        DESKS[id(self.desk.instance)] = self.desk
        profiled = self.desk.profiled
        shipped = profiled.alert_policy
        # A message an alert: in how many of them one stands is then how often people were told of it.
        self.policy = replace(
            shipped,
            route=replace(shipped.route, group_by=LABELS),
            delivery=replace(shipped.delivery, channels=CHANNELS, rate_limit_count=100),
        )
        self.notifier = Notifier(
            self.desk.journal, ears.channels, policy=self.policy.delivery, sleep=lambda _: None
        )
        config = read_advisor(CONFIG)
        self.breakers = JournalBreakers(profiled.journal)
        at = CALENDAR.opens_at(LIMITED)
        self.completions = ChatCompletions(
            config, url, breakers=self.breakers, clock=lambda: at, sleep=lambda _: None
        )
        self.advisor = ModelAdvisor(config, self.completions, log=profiled.call_log, clock=lambda: at)
        self.breaker = breaker_of(config.provider)
        self.watch = watch_sensor(
            [graph_of(profiled, "us_five")], automations={"us_five": ()}, is_simulated=False
        )
        self.cursor: str | None = None

    def _brokers(self, profiled: Any) -> Any:
        real = profiled.brokers
        if not self.is_deaf:
            return real
        return {"us_five": Deaf(real["us_five"], loses=True, forgets=True, refuses=False)}

    def _sources(self, profiled: Any) -> Any:
        real = profiled.sources
        return {"us_five": Behind(real["us_five"], last=SESSIONS[0])} if self.is_behind else real

    def ask(self) -> None:
        """Ask the model about an intent of the day before."""
        eve = CALENDAR.previous(LIMITED)
        context = AdviceContext(
            book="us_five",
            lane="simulated",
            session=eve,
            cut_off=CALENDAR.opens_at(eve),
            ladder=Ladder.SHADOW,
        )
        self.advisor.advise((example_intent("AAPL", quantity=5),), context=context)

    def tick_failing_sensor(self, path: Path) -> None:
        """Let the daemon evaluate a sensor that raises."""
        path.write_text(FAILING)
        with WorkspaceProcessContext(self.desk.instance, InProcess(path)) as workspace:
            for _ in execute_sensor_iteration(workspace, logging.getLogger("quiet"), None, None):
                pass

    def close(self) -> None:
        """Let go of the model's connections and of the desk."""
        self.completions.close()
        self.desk.close()

    # ------------------------------------------------------------ what the watch asks

    def now(self, session: date, phase: Phase) -> datetime:
        return self.now_at

    def today(self, calendar: Calendar, last_data_session: date) -> date:
        return self.now_at.date()

    def beat(self) -> None:
        """Leave no sign."""

    def disk_free_ratio(self) -> float:
        return 0.5

    def burns(self) -> list[PairBurn]:
        return []

    def judgement(self) -> Judgement:
        return judged([], incidents_open=0)

    def look(self) -> None:
        """Evaluate the watch once, as the daemon would."""
        profiled = self.desk.profiled
        said = self.watch(
            dg.build_sensor_context(instance=self.desk.instance, cursor=self.cursor),
            journal=self.desk.journal,
            clocks={"us_five": self},
            alert_policy=self.policy,
            alert_keeper=profiled.alert_keeper,
            notifier=self.notifier,
            watched=self,
            call_log=profiled.call_log,
            levels=self,
            tables=profiled.lineage,
        )
        self.cursor = said.cursor

    def evening(self, session: date) -> None:
        """Look for half an hour after the settlement; for its first ten minutes nobody can hear."""
        self.ears.evening = session
        for minute in (1, 6, 11, 30):
            if self.ears.is_down and minute >= DOWN_FOR / timedelta(minutes=1):
                self.ears.come_back()
            self.now_at = began(session) + timedelta(minutes=minute)
            self.look()


def began(evening: date) -> datetime:
    """Return when the watch begins to look at an evening."""
    return CALENDAR.closes_at(evening) + timedelta(hours=2)


def _tightened(folder: Path) -> Path:
    """Copy the configuration; for one session hardly a symbol may be bought."""
    shutil.copytree(CONFIG, folder)
    with (folder / "limits.toml").open("a") as limits:
        for day, allowed in ((LIMITED, ["IBM"]), (UNHEARD, ["AAPL", "GOOG", "IBM", "MSFT"])):
            limits.write(
                f'[[changes]]\nbook = "us_five"\neffective_from = {day}\nreason = "a mistake, and its end"\n'
                f"allowlist = {json.dumps(allowed)}\n"
            )
    return folder


@pytest.fixture(scope="module")
def days(whole_session: tuple[Desk, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Give a desk after its days of faults, and after one more on which nothing changed."""
    folder = tmp_path_factory.mktemp("faults")
    copied(whole_session[0].settings.state_dir, folder / "desk")
    with (
        misbehaving(lambda _: RESET) as (url, _),
        closing(Ears()) as ears,
        pytest.MonkeyPatch.context() as patch,
        closing(Days(folder, ears, url=url)) as found,
    ):
        # Apprise sleeps for seconds between two mails of one address, by the machine's clock.
        patch.setattr("apprise.plugins.email.NotifyEmail.request_rate_per_sec", 0)
        _live_through(found, folder)
        yield found


def _live_through(days: Days, folder: Path) -> None:
    """Let everything fail that can: each time nobody can hear for ten minutes."""
    desk = days.desk
    days.ears.go_down()
    for _ in range(2):
        days.ask()
    assert days.breakers.breaker(days.breaker).state is BreakerState.OPEN
    days.is_behind = True
    assert failure_of(desk.run("session", LIMITED)) == ("", "")
    days.evening(LIMITED)

    days.ears.go_down()
    (quotes_in(desk, LIMITED) / POINTER).unlink()
    assert failure_of(desk.run("decide", UNHEARD))[0] == "candidates"
    days.is_behind = False
    assert failure_of(desk.run("import_quotes", LIMITED)) == ("", "")
    assert failure_of(desk.run("decide", UNHEARD)) == ("", "")
    days.is_deaf = True
    assert failure_of(desk.run("execute", UNHEARD)) == ("", "")
    assert failure_of(desk.run("settle", UNHEARD))[0] == "positions"
    days.evening(UNHEARD)

    # Nobody decides on SKIPPED.
    days.ears.go_down()
    days.tick_failing_sensor(folder / "failing.py")
    days.evening(SKIPPED)
    days.evening(QUIET_DAY)


def quotes_in(desk: Desk, session: date) -> Path:
    return Path(desk.settings.lake_root) / "us_five" / "market_quotes" / str(session)


FAULTS = {
    ("strategist_circuit_open_rate_high", ""): LIMITED,
    ("execution_blocked_rate_high", ""): LIMITED,
    ("quarantined_ratio_high", ""): LIMITED,
    ("signals_latched", ""): UNHEARD,
    ("intents_stuck", ""): UNHEARD,
    ("session_missed", "settle"): UNHEARD,
    ("session_missed", "decide"): SKIPPED,
    ("tick_failed", "fills_sensor"): SKIPPED,
    ("run_failed", "settle"): UNHEARD,
}
"""Each fault that goes on, as its alert: code and what it is about, by the evening that first tells of it."""


def known(days: Days) -> dict[str, tuple[str, str]]:
    """Return code and subject of each alert that the desk knows, by the beginning of its fingerprint."""
    log = alert_log_of(days.desk.journal.events(after=0, limit=100_000))
    return {
        one.fingerprint[:12]: (one.code, dict(one.labels).get("about", "")) for one in log.alerts.values()
    }


def test_each_fault_becomes_its_alert_and_everyone_hears_of_it_the_same_evening_though_nobody_could_at_first(
    days,
):
    alerts = known(days)
    first = {(one.channel, alerts[one.alert]): one.evening for one in reversed(days.ears.heard)}

    for channel in CHANNELS:
        assert {fault: first.get((channel, fault)) for fault in FAULTS} == FAULTS, channel


def test_what_goes_on_is_told_once_in_each_window_on_each_channel(days):
    heard = Counter(
        (one.channel, one.alert, one.evening) for one in days.ears.heard if one.status == "firing"
    )
    alerts = known(days)
    of_fault = {
        (channel, alerts[alert], evening): count for (channel, alert, evening), count in heard.items()
    }

    assert set(heard.values()) == {1}
    assert {one for one in of_fault if one[1] in FAULTS} == {
        (channel, fault, evening)
        for channel in CHANNELS
        for fault, began in FAULTS.items()
        for evening in EVENINGS
        if evening >= began
    }


def test_every_message_was_refused_while_nobody_listened_and_then_taken_once(days):
    stored = JournalReader(days.desk.settings.journal_url).outbox()
    sends = days.desk.journal.deliveries()
    taken = [one for one in sends if one.is_delivered]
    refused = {(one.channel, one.at.date()) for one in sends if one.reason == Reason.HTTP_ERROR}

    assert {one.status for one in stored} == {"delivered"}
    assert Counter(one.channel for one in stored) == dict.fromkeys(CHANNELS, len(stored) // len(CHANNELS))
    assert Counter(one.outbox_id for one in taken) == dict.fromkeys((one.outbox_id for one in stored), 1)
    assert days.ears.messages == len(stored)
    assert refused == {(channel, evening) for channel in CHANNELS for evening in DEAF_EVENINGS}
    assert {one.at.date() for one in taken} == set(EVENINGS)
    assert min(one.at - began(one.at.date()) for one in taken if one.at.date() in DEAF_EVENINGS) >= DOWN_FOR
