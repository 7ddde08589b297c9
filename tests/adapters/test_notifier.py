"""Messages leave the outbox once, through a real web server or a stream, and are never lost on the way."""

from __future__ import annotations

import io
import json
import re
import shutil
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
from aiosmtpd.controller import Controller

from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.store import SqlJournal
from resources.logs import configure_logging
from resources.notifier import EmailChannel, Notifier, SlackChannel, StdoutChannel, WebhookChannel
from trading.alerts import Attempt, DeliveryPolicy, Reason, Severity, evaluate_watched
from trading.errors import BadSetting
from trading.journal import OutboxMessage

# Apprise's e-mail plug-in imports a module that Python 3.11 deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NOW = datetime(2013, 3, 1, 21, 30, tzinfo=UTC)
SESSION = date(2013, 3, 1)
POLICY = DeliveryPolicy(
    channels=("stdout", "webhook"),
    rate_limit_count=3,
    rate_limit_window_s=600,
    retries=1,
    retry_wait_s=2.0,
    backoff_s=60,
    backoff_s_max=3600,
    backoff_critical_s_max=300,
    attempts_max=4,
    lease_s=120,
)


class Stored(NamedTuple):
    """Hold what the journal has of one message."""

    status: str
    attempts: int


class Sink:
    """Be a web server that answers with the given statuses (then 200) and remembers what came."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.received: list[dict[str, Any]] = []
        self.accepted: list[dict[str, Any]] = []
        self.is_down = False
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = sink.statuses.pop(0) if sink.statuses else 200
                status = 503 if sink.is_down else status
                sink.received.append(json.loads(body))
                if status == 200:
                    sink.accepted.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def empty_journal(tmp_path_factory) -> Path:
    """Make an empty journal once; each test works on its own copy."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    SqlJournal(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def journal_file(empty_journal, tmp_path) -> Path:
    return Path(shutil.copy(empty_journal, tmp_path))


@pytest.fixture
def outbox(journal_file) -> Iterator[SqlJournal]:
    with SqlJournal(f"sqlite:///{journal_file}") as journal:
        yield journal


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    yield server
    server.stop()


class Told(NamedTuple):
    """Hold what people are told: which alert, how bad, what was seen."""

    code: str
    severity: Severity
    observed: float


def alert(code: str = "drawdown_high", severity: Severity = Severity.WARNING) -> Told:
    return Told(code, severity, 0.25)


def queue(alerts: list[Told], outbox: SqlJournal, *, channels: Sequence[str], now: datetime) -> list[bool]:
    """Store a message an alert and channel; say of each whether it was new."""
    return [
        outbox.enqueue(
            dedup_key=one.code,
            channel=channel,
            severity=one.severity.value,
            subject=f"[{one.severity.value}] us_five {SESSION}: {one.code}",
            body=json.dumps({"observed": one.observed, "runbook": f"docs/runbooks/{one.code}.md"}),
            now=now,
        )
        for one in alerts
        for channel in channels
    ]


def notifier(
    outbox: SqlJournal, url: str | None, stream: io.StringIO | None = None, **options: Any
) -> Notifier:
    channels = {"stdout": StdoutChannel(stream or io.StringIO()), "webhook": WebhookChannel(url)}
    return Notifier(outbox, channels, policy=POLICY, sleep=options.pop("sleep", lambda _: None), **options)


def stored(path: Path) -> list[Stored]:
    """Read the messages as any other process would."""
    with closing(sqlite3.connect(path)) as database:
        return [
            Stored(*row) for row in database.execute("select status, attempts from outbox order by outbox_id")
        ]


def message_of(channel: str) -> OutboxMessage:
    return OutboxMessage(
        outbox_id=1,
        dedup_key="drawdown_high",
        channel=channel,
        severity="critical",
        subject="[critical] us_five: drawdown_high",
        body="{}",
        status="waiting",
        attempts=1,
        created_at=NOW,
        due_at=NOW,
    )


def reasons(outbox: SqlJournal, channel: str) -> list[str]:
    return [delivery.reason for delivery in outbox.deliveries() if delivery.channel == channel]


def test_an_alert_arrives_at_a_real_web_server_and_as_one_line_on_a_stream(
    outbox, journal_file, sink
) -> None:
    stream = io.StringIO()
    queue([alert()], outbox, channels=POLICY.channels, now=NOW)

    notifier(outbox, sink.url, stream).deliver(NOW)

    (arrived,) = sink.received
    assert arrived["title"] == "[warning] us_five 2013-03-01: drawdown_high"
    assert arrived["type"] == "warning"
    assert json.loads(arrived["message"])["observed"] == 0.25
    (line,) = stream.getvalue().splitlines()
    assert json.loads(json.loads(line)["body"])["runbook"] == "docs/runbooks/drawdown_high.md"
    assert {message.status for message in stored(journal_file)} == {"delivered"}


def test_a_second_round_sends_nothing_again(outbox, sink) -> None:
    queue([alert()], outbox, channels=POLICY.channels, now=NOW)
    notifier(outbox, sink.url).deliver(NOW)

    assert notifier(outbox, sink.url).deliver(NOW + timedelta(days=1)) == []
    assert len(sink.received) == 1


def test_a_server_error_is_tried_again_once_and_then_arrives(outbox, sink) -> None:
    sink.statuses = [500]
    waits: list[float] = []
    queue([alert()], outbox, channels=["webhook"], now=NOW)

    (outcome,) = notifier(outbox, sink.url, sleep=waits.append).deliver(NOW)

    assert outcome.reason is Reason.SENT_AFTER_RETRY
    assert outcome.retry_at is None
    assert waits == [POLICY.retry_wait_s]
    assert len(sink.received) == 2


@pytest.mark.parametrize(("status", "sends"), [(429, 2), (503, 2), (404, 1), (400, 1)])
def test_a_refused_message_waits_and_only_a_passing_trouble_is_tried_at_once(
    outbox, journal_file, sink, status, sends
) -> None:
    sink.statuses = [status] * 2
    queue([alert()], outbox, channels=["webhook"], now=NOW)

    (outcome,) = notifier(outbox, sink.url).deliver(NOW)

    assert outcome.reason is Reason.NON_2XX
    assert outcome.retry_at == NOW + timedelta(seconds=120)
    assert len(sink.received) == sends
    assert stored(journal_file)[0].status == "waiting"


def test_a_message_waits_while_the_server_is_down_and_arrives_when_it_is_up(
    outbox, journal_file, sink
) -> None:
    down = Sink()
    url = down.url
    down.stop()
    queue([alert("drawdown_high"), alert("other")], outbox, channels=["webhook"], now=NOW)

    outcomes = notifier(outbox, url).deliver(NOW)
    assert [outcome.reason for outcome in outcomes] == [Reason.HTTP_ERROR]
    assert [message.status for message in stored(journal_file)] == ["waiting", "waiting"]

    notifier(outbox, sink.url).deliver(NOW + timedelta(hours=1))
    assert len(sink.received) == 2
    assert {message.status for message in stored(journal_file)} == {"delivered"}


def test_a_warning_is_given_up_after_its_attempts_and_a_critical_never(outbox, journal_file, sink) -> None:
    sink.statuses = [500] * 1000
    queue([alert("first"), alert("second", Severity.CRITICAL)], outbox, channels=["webhook"], now=NOW)
    for day in range(POLICY.attempts_max + 3):
        notifier(outbox, sink.url).deliver(NOW + timedelta(days=day))

    warning, critical = stored(journal_file)
    assert (warning.status, warning.attempts) == ("dead", POLICY.attempts_max)
    assert (critical.status, critical.attempts) == ("waiting", POLICY.attempts_max + 3)


def test_a_missing_address_is_said_once_and_the_stream_still_speaks(outbox) -> None:
    stream = io.StringIO()
    queue([alert()], outbox, channels=POLICY.channels, now=NOW)

    for minute in range(3):
        notifier(outbox, None, stream).deliver(NOW + timedelta(minutes=minute))

    assert reasons(outbox, "webhook") == ["missing_webhook_url"]
    assert reasons(outbox, "stdout") == ["sent"]
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("was_tried", [False, True])
def test_a_critical_without_an_address_waits_and_arrives_once_when_there_is_one(
    outbox, journal_file, sink, was_tried
) -> None:
    queue([alert("first"), alert("second", Severity.CRITICAL)], outbox, channels=["webhook"], now=NOW)
    if was_tried:
        sink.is_down = True
        notifier(outbox, sink.url).deliver(NOW)
        sink.is_down = False
    hours = [NOW + timedelta(hours=hour) for hour in range(1, 50)]

    silent = [outcome for at in hours for outcome in notifier(outbox, None).deliver(at)]
    assert [(one.subject.split(": ")[1], one.reason) for one in silent] == [
        ("first", Reason.MISSING_WEBHOOK_URL),
        *([] if was_tried else [("second", Reason.MISSING_WEBHOOK_URL)]),
    ]
    assert [message.status for message in stored(journal_file)] == ["dead", "waiting"]

    for minute in range(3):
        notifier(outbox, sink.url).deliver(hours[-1] + timedelta(minutes=minute))
    assert [message["title"].split(": ")[1] for message in sink.accepted] == ["second"]
    assert [message.status for message in stored(journal_file)] == ["dead", "delivered"]


def test_a_critical_is_not_lost_by_a_process_that_lacks_the_address_another_one_has(outbox, sink) -> None:
    queue([alert("critical", Severity.CRITICAL)], outbox, channels=["webhook"], now=NOW)

    notifier(outbox, None).deliver(NOW)
    (outcome,) = notifier(outbox, sink.url).deliver(NOW)

    assert outcome.reason is Reason.SENT
    assert len(sink.accepted) == 1


def test_senders_that_died_before_they_sent_bring_a_warning_no_nearer_to_being_given_up(
    outbox, journal_file, sink
) -> None:
    queue([alert()], outbox, channels=["webhook"], now=NOW)
    for lease in range(POLICY.attempts_max + 1):
        outbox.lease(now=NOW + timedelta(hours=lease), lease_s=POLICY.lease_s, limit=1)
    later = NOW + timedelta(days=1)
    sink.statuses = [500] * 2

    (outcome,) = notifier(outbox, sink.url).deliver(later)

    assert outcome.retry_at == later + timedelta(seconds=2 * POLICY.backoff_s)
    assert stored(journal_file)[0].status == "waiting"


def test_the_same_alert_is_told_once(outbox, sink) -> None:
    first = queue([alert()], outbox, channels=["webhook"], now=NOW)
    again = queue([alert()._replace(observed=0.3)], outbox, channels=["webhook"], now=NOW)
    notifier(outbox, sink.url).deliver(NOW)

    assert (first, again) == ([True], [False])
    assert len(sink.received) == 1


def test_a_critical_passes_the_rate_limit_and_a_warning_waits_for_room(outbox, journal_file, sink) -> None:
    alerts = [alert(f"warning_{number}") for number in range(5)]
    queue([*alerts, alert("critical", Severity.CRITICAL)], outbox, channels=["webhook"], now=NOW)

    notifier(outbox, sink.url).deliver(NOW)

    told = [message["title"].split(": ")[1] for message in sink.received]
    assert told == ["warning_0", "warning_1", "warning_2", "critical"]
    assert reasons(outbox, "webhook").count("rate_limited") == 2

    notifier(outbox, sink.url).deliver(NOW + timedelta(seconds=POLICY.rate_limit_window_s))
    assert {message.status for message in stored(journal_file)} == {"delivered"}


def test_a_message_is_sent_again_when_its_sender_died_between_sending_and_marking(outbox, sink) -> None:
    class PowerCutError(BaseException):
        """End the process without any handler of it."""

    def cut(*_: object, **__: object) -> None:
        raise PowerCutError

    queue([alert()], outbox, channels=["webhook"], now=NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox, "mark", cut)
        with pytest.raises(PowerCutError):
            notifier(outbox, sink.url).deliver(NOW)

    assert notifier(outbox, sink.url).deliver(NOW + timedelta(seconds=POLICY.lease_s - 1)) == []
    (outcome,) = notifier(outbox, sink.url).deliver(NOW + timedelta(seconds=POLICY.lease_s))
    assert outcome.reason is Reason.SENT
    assert len(sink.received) == 2


def test_a_dry_run_sends_nothing_and_says_so(outbox, sink) -> None:
    queue([alert()], outbox, channels=POLICY.channels, now=NOW)
    stream = io.StringIO()

    outcomes = notifier(outbox, sink.url, stream, dry_run=True).deliver(NOW)

    assert {outcome.reason for outcome in outcomes} == {Reason.DRY_RUN}
    assert sink.received == []
    assert stream.getvalue() == ""


def test_a_message_for_a_channel_that_nobody_provides_is_finished_as_such(outbox, journal_file) -> None:
    queue([alert()], outbox, channels=["pager"], now=NOW)

    (outcome,) = notifier(outbox, None).deliver(NOW)

    assert outcome.reason is Reason.PROVIDER_NONE
    assert stored(journal_file)[0].status == "dead"


def test_an_address_that_cannot_be_used_is_named_without_being_shown(caplog, capfd) -> None:
    with pytest.raises(BadSetting, match="TRADING_WEBHOOK_URL") as caught:
        WebhookChannel("nonsense://token-1234/secret").send(message_of("webhook"))

    shown = str(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert "token-1234" not in shown


@pytest.mark.parametrize(
    ("channel", "address", "said"),
    [
        (WebhookChannel, None, ""),
        (WebhookChannel, "https://hooks.example/token-1234", ""),
        (WebhookChannel, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", ""),
        (SlackChannel, "https://hooks.example/token-1234?a=b", ""),
        (EmailChannel, "mailtos://anna:token-1234@example.org", ""),
        (WebhookChannel, "token-1234/secret", "TRADING_WEBHOOK_URL: .* it has no scheme"),
        (WebhookChannel, "token-1234://secret", "TRADING_WEBHOOK_URL: .* a scheme of no service"),
        (WebhookChannel, "https://no_host!/token-1234", "TRADING_WEBHOOK_URL: .* https:// needs a host"),
        (SlackChannel, "nonsense://token-1234", "TRADING_SLACK_WEBHOOK_URL: .* a scheme of no service"),
        (EmailChannel, "mailtos://example.org?to=token-1234@x.org", "TRADING_EMAIL_URL: .* mailtos:// needs"),
    ],
)
def test_what_apprise_does_not_take_of_an_address_is_said_without_sending_or_showing_it(
    channel, address, said, caplog, capfd
) -> None:
    refusal = channel(address).refusal()

    assert re.match(said, refusal)
    assert bool(refusal) == bool(said)
    assert "token-1234" not in refusal + caplog.text + "".join(capfd.readouterr())


def test_an_address_at_which_apprise_itself_fails_is_refused_without_its_words(monkeypatch) -> None:
    def failing(*_: object) -> None:
        raise ValueError("https://token-1234.example is no address")

    monkeypatch.setattr("apprise.Apprise.add", failing)

    refusal = WebhookChannel("https://token-1234.example").refusal()

    assert "it fails at it (ValueError)" in refusal
    assert "token-1234" not in refusal


def test_an_address_that_cannot_be_used_ends_neither_the_run_nor_another_channel(
    outbox, journal_file, tmp_path
) -> None:
    critical = alert(severity=Severity.CRITICAL)
    queue([critical], outbox, channels=["webhook", "stdout"], now=NOW)
    stream, log = io.StringIO(), tmp_path / "trading.jsonl"
    configure_logging(log)
    try:
        outcomes = notifier(outbox, "nonsense://token-1234/secret", stream).deliver(NOW)
    finally:
        structlog.reset_defaults()

    assert [outcome.reason for outcome in outcomes] == [Reason.HTTP_ERROR, Reason.SENT]
    assert [message.status for message in stored(journal_file)] == ["waiting", "delivered"]
    told = log.read_text(encoding="utf-8")
    assert "not an address that Apprise knows" in told
    assert "token-1234" not in told


def test_a_channel_that_raises_what_nobody_foresaw_has_not_sent_and_keeps_its_words(outbox, tmp_path) -> None:
    class Raising(StdoutChannel):
        def send(self, message: OutboxMessage) -> Attempt:
            raise RuntimeError(f"https://token-1234.example refused {message.subject}")

    queue([alert()], outbox, channels=["stdout"], now=NOW)
    log = tmp_path / "trading.jsonl"
    configure_logging(log)
    try:
        (outcome,) = Notifier(outbox, {"stdout": Raising(io.StringIO())}, policy=POLICY).deliver(NOW)
    finally:
        structlog.reset_defaults()

    assert outcome.reason is Reason.HTTP_ERROR
    assert "RuntimeError" in log.read_text(encoding="utf-8")
    assert "token-1234" not in log.read_text(encoding="utf-8")


def test_a_message_that_was_put_off_before_the_clock_was_set_back_goes_out(outbox, sink) -> None:
    queue([alert(severity=Severity.CRITICAL)], outbox, channels=["webhook"], now=NOW)
    sink.statuses = [503, 503]
    (failed,) = notifier(outbox, sink.url).deliver(NOW)
    set_back = NOW - timedelta(hours=9)

    (sent,) = notifier(outbox, sink.url).deliver(set_back)
    assert (failed.reason, sent.reason) == (Reason.NON_2XX, Reason.SENT)
    assert notifier(outbox, sink.url).deliver(NOW + timedelta(days=1)) == []


def test_after_the_clock_was_set_back_a_refused_message_still_waits_its_time(outbox, sink) -> None:
    queue([alert(severity=Severity.CRITICAL)], outbox, channels=["webhook"], now=NOW)
    sink.is_down = True
    set_back = NOW - timedelta(hours=9)

    assert len(notifier(outbox, sink.url).deliver(set_back)) == 1
    assert notifier(outbox, sink.url).deliver(set_back + timedelta(seconds=30)) == []


def test_a_stream_that_breaks_keeps_the_message(outbox, journal_file) -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    queue([alert()], outbox, channels=["stdout"], now=NOW)

    (outcome,) = notifier(outbox, None, Broken()).deliver(NOW)

    assert outcome.reason is Reason.HTTP_ERROR
    assert stored(journal_file)[0].status == "waiting"


def test_a_message_that_another_sender_took_over_is_left_to_it(outbox, journal_file, sink) -> None:
    queue([alert("slow"), alert("next")], outbox, channels=["webhook"], now=NOW)
    sink.statuses = [500]

    def taken_meanwhile(_: float) -> None:
        outbox.lease(now=NOW + timedelta(seconds=POLICY.lease_s), lease_s=POLICY.lease_s, limit=1)

    outcomes = notifier(outbox, sink.url, sleep=taken_meanwhile).deliver(NOW)

    assert [outcome.subject.split(": ")[1] for outcome in outcomes] == ["next"]
    assert stored(journal_file) == [Stored("waiting", 2), Stored("delivered", 1)]


BODY = json.dumps(
    {
        "status": "firing",
        "alerts": [
            {
                "code": "intents_stuck",
                "status": "firing",
                "severity": "critical",
                "message": "reconciliation.intents_stuck is 1, above 0 (intents)",
                "owner": "trader",
                "runbook": "docs/runbooks/intents_stuck.md",
                "fingerprint": "0123456789abcdef",
            }
        ],
    }
)


class Mailbox:
    """Be the handler of a mail server that remembers what came, and can refuse for a while."""

    def __init__(self) -> None:
        self.refusals = 0
        self.received: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refusals:
            self.refusals -= 1
            return "451 try again later"
        self.received.append(message_from_bytes(envelope.content, policy=default_policy))
        return "250 kept"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """Serve a mailbox on this machine; give it with its address."""
    handler = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield handler, f"mailto://127.0.0.1:{port}?from=desk@example.org&to=ada@example.org&mode=insecure"
    finally:
        controller.stop()


def told(outbox: SqlJournal, channel: str, *, key: str = "k") -> None:
    outbox.enqueue(
        dedup_key=key,
        channel=channel,
        severity="critical",
        subject="[critical] us_five 2013-02-28: intents_stuck",
        body=BODY,
        now=NOW,
    )


def deliverer(outbox: SqlJournal, **channels: Any) -> Notifier:
    return Notifier(outbox, channels, policy=POLICY, sleep=lambda _: None)


def test_slack_gets_one_text_and_nothing_else(outbox, sink):
    told(outbox, "slack")

    (outcome,) = deliverer(outbox, slack=SlackChannel(sink.url)).deliver(NOW)

    assert outcome.reason is Reason.SENT
    (arrived,) = sink.received
    assert set(arrived) == {"text"}
    assert arrived["text"].splitlines() == [
        "[critical] us_five 2013-02-28: intents_stuck",
        "intents_stuck (firing, critical): reconciliation.intents_stuck is 1, above 0 (intents)",
        "owner trader, read docs/runbooks/intents_stuck.md, then: trading alerts show 0123456789ab",
    ]


def test_what_a_broker_says_calls_nobody_in_slack_and_links_nowhere(outbox, sink):
    hostile = "<!channel> <https://evil.example|resume trading> & go"
    outbox.enqueue(
        dedup_key="hostile", channel="slack", severity="critical", subject="[critical]", body=hostile, now=NOW
    )

    deliverer(outbox, slack=SlackChannel(sink.url)).deliver(NOW)

    (arrived,) = sink.received
    assert arrived["text"].splitlines() == [
        "[critical]",
        "&lt;!channel&gt; &lt;https://evil.example|resume trading&gt; &amp; go",
    ]


def test_a_mailbox_gets_the_subject_and_what_to_read(outbox, mailbox):
    box, url = mailbox
    told(outbox, "email")

    (outcome,) = deliverer(outbox, email=EmailChannel(url)).deliver(NOW)

    assert outcome.reason is Reason.SENT
    (arrived,) = box.received
    assert arrived["Subject"] == "[critical] us_five 2013-02-28: intents_stuck"
    assert (arrived["From"].addresses[0].addr_spec, arrived["To"]) == ("desk@example.org", "ada@example.org")
    assert "docs/runbooks/intents_stuck.md" in arrived.get_body(("plain",)).get_content()


def test_a_mail_server_that_refuses_for_a_while_gets_the_message_once_it_takes_it(
    outbox, journal_file, mailbox
):
    box, url = mailbox
    box.refusals = 2
    told(outbox, "email")

    (refused,) = deliverer(outbox, email=EmailChannel(url)).deliver(NOW)
    (sent,) = deliverer(outbox, email=EmailChannel(url)).deliver(NOW + timedelta(hours=1))

    assert (refused.reason, sent.reason) == (Reason.HTTP_ERROR, Reason.SENT)
    assert len(box.received) == 1
    assert stored(journal_file)[0].status == "delivered"


def test_mails_are_held_up_by_the_policy_alone(outbox, mailbox, monkeypatch):
    """Apprise has a pause of its own between mails, longer together than a lease of them."""
    box, url = mailbox
    pauses = []
    for number in range(3):
        told(outbox, "email", key=f"k{number}")
    monkeypatch.setattr("apprise.url.time.sleep", pauses.append)

    deliverer(outbox, email=EmailChannel(url)).deliver(NOW)

    assert (len(box.received), pauses) == (3, [])


FAULTS = {
    "signals.latched": 1.0,
    "strategist_llm.circuit_open_rate": 0.5,
    "execution.blocked_rate": 0.9,
    "reconciliation.intents_stuck": 1.0,
    "schedules.missed": 1.0,
    "ticks.failed": 1.0,
}


def test_faults_of_one_moment_are_one_message_a_severity_everywhere_though_servers_err_for_ten_minutes(
    outbox, sink, mailbox
):
    """As the shipped policy groups them; days on which each fault really happens are in tests/graph."""
    file = load_alert_policy(Path(__file__).resolve().parents[2] / "config" / "alerts.toml")
    delivery = replace(file.delivery, channels=("webhook", "slack", "email"), retry_wait_s=0.0)
    policy = replace(file, delivery=delivery)
    slack, (box, address) = Sink(), mailbox
    channels = {
        "webhook": WebhookChannel(sink.url),
        "slack": SlackChannel(slack.url),
        "email": EmailChannel(address),
    }
    keeper = JournalAlerts(outbox)
    codes = [rule.code for rule in policy.rules if rule.metric in FAULTS]
    try:
        for minute in (0, 3, 9, 10, 15, 30):
            now = NOW + timedelta(minutes=minute)
            sink.is_down = slack.is_down = minute < 10
            box.refusals = 10**6 if minute < 10 else 0
            alerts = evaluate_watched(FAULTS, policy.rules, book="us_five", session=SESSION)
            keeper.observe(alerts, codes=codes, policy=policy, book="us_five", session=SESSION, now=now)
            keeper.tell(policy, now=now)
            Notifier(outbox, channels, policy=delivery, sleep=lambda _: None).deliver(now)
    finally:
        slack.stop()

    def heard(text: str) -> Counter[str]:
        return Counter(code for code in codes if f"{code} (firing" in text or f'"code":"{code}"' in text)

    by_channel = {
        "webhook": [heard(str(one["message"])) for one in sink.accepted],
        "slack": [heard(one["text"]) for one in slack.accepted],
        "email": [heard(one.get_body(("plain",)).get_content()) for one in box.received],
    }
    assert len(codes) == len(FAULTS)
    assert len(sink.received) > len(sink.accepted)
    for channel, messages in by_channel.items():
        assert len(messages) == 2, channel
        assert sum(messages, Counter()) == dict.fromkeys(codes, 1), channel


def test_a_channel_of_the_policy_without_an_address_is_finished_as_such(outbox):
    told(outbox, "slack")
    told(outbox, "email")

    outcomes = deliverer(outbox, slack=SlackChannel(None), email=EmailChannel(None)).deliver(NOW)

    assert [outcome.reason for outcome in outcomes] == [Reason.MISSING_WEBHOOK_URL, Reason.PROVIDER_NONE]
