"""The delivery log: what came of each attempt to tell people, asked by reason, channel and day.

Seven outcomes over three channels, stored as the notifier stores them, in a real journal; the same answers
by the verb and over HTTP.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from console.web.app import API
from console.web.identities import Role
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from tests.console.test_command_line import Spoken, main
from tests.console.web.serving import console_on
from trading.alerts import Reason

OUTCOMES = (
    Reason.SENT, Reason.SENT_AFTER_RETRY, Reason.RATE_LIMITED, Reason.NON_2XX, Reason.HTTP_ERROR,
    Reason.MISSING_WEBHOOK_URL, Reason.PROVIDER_NONE,
)  # fmt: skip
CHANNELS = ("stdout", "webhook", "email")
FIRST = datetime(2013, 2, 25, 12, 0, tzinfo=UTC)
ATTEMPTS = [
    (reason, channel, FIRST + timedelta(hours=6 * place))
    for place, (reason, channel) in enumerate(product(OUTCOMES, CHANNELS))
]
"""Every outcome over every channel, one each six hours: five days of it."""


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """Give the console of a desk with all attempts."""
    with console_on(tmp_path_factory.mktemp("desk")) as served:
        served.desk.settings.profile_dir.mkdir(parents=True, exist_ok=True)
        with SqlJournal(served.desk.settings.journal_url) as journal:
            for reason, channel, at in ATTEMPTS:
                journal.enqueue(
                    dedup_key=f"{reason} {channel}",
                    channel=channel,
                    severity="critical",
                    subject=f"{reason} over {channel}",
                    body="{}",
                    now=at,
                )
                (message,) = journal.lease(now=at, lease_s=60, limit=1)
                journal.mark(
                    message.outbox_id,
                    attempt=message.attempts,
                    is_delivered=reason.is_delivered,
                    reason=reason.value,
                    retry_at=None if reason.is_delivered else at + timedelta(days=365),
                    now=at,
                )
        yield served


@pytest.fixture
def speak(console, capsys, monkeypatch, tmp_path):
    """Give the command line on the same desk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(console.desk.settings.state_dir))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(console.desk.settings.config_dir))

    def spoken(*words):
        code = main([*words])
        told = capsys.readouterr()
        return Spoken(code, told.out, told.err)

    return spoken


def asked(console, query=""):
    reply = console.ask("GET", f"{API}/deliveries{query}", role=Role.VIEWER)
    assert reply.status == 200, reply.body
    return reply.json


def wanted(*, reason=None, channel=None, since=None):
    """Give what the log must answer, worked out from what was stored."""
    return [
        f"{what} over {over}"
        for what, over, at in reversed(ATTEMPTS)
        if reason in {None, what} and channel in {None, over} and (since is None or str(at.date()) >= since)
    ]


FILTERS = [
    {},
    *({"reason": reason} for reason in OUTCOMES),
    *({"channel": channel} for channel in CHANNELS),
    {"since": "2013-02-28"},
    {"since": "2013-03-09"},
    {"reason": Reason.DRY_RUN},
    {"channel": "slack"},
    {"reason": Reason.HTTP_ERROR, "channel": "webhook"},
    {"reason": Reason.HTTP_ERROR, "channel": "webhook", "since": "2013-03-09"},
]


@pytest.mark.parametrize("only", FILTERS, ids=lambda only: "+".join(only.values()) or "all")
def test_each_filter_gives_just_its_attempts_by_the_verb_and_over_http(console, speak, only):
    words = [word for name, value in only.items() for word in (f"--{name}", str(value))]
    spoken = speak("deliveries", *words, "--json")
    query = "&".join(f"{name}={value}" for name, value in only.items())
    over_http = asked(console, f"?limit=100&{query}")["items"]

    told = json.loads(spoken.out)
    assert spoken.code == 0
    assert [row["subject"] for row in told["items"]] == wanted(**only)
    assert sum(row["attempts"] for row in told["counts"]) == len(wanted(**only))
    assert [row["subject"] for row in over_http] == wanted(**only)


def test_a_line_says_when_which_message_over_what_and_what_it_is_now(console):
    (sent,) = asked(console, "?reason=sent&channel=email")["items"]

    assert sent == {
        "at": "2013-02-26T00:00:00Z",
        "outbox_id": 3,
        "attempt": 1,
        "channel": "email",
        "reason": "sent",
        "severity": "critical",
        "subject": "sent over email",
        "status": "delivered",
    }


@pytest.mark.parametrize("limit", [1, 4, 21, 22])
def test_the_log_is_paged_and_every_attempt_is_seen_once(console, limit):
    seen, query = [], f"?limit={limit}"
    while True:
        page = asked(console, query)
        seen += [row["subject"] for row in page["items"]]
        assert len(page["items"]) <= limit
        if page["next"] is None:
            break
        query = f"?limit={limit}&cursor={page['next']}"

    assert seen == wanted()


@pytest.mark.parametrize(
    "query",
    [
        "reason=nosuch",
        "channel=nosuch",
        "since=yesterday",
        "cursor=x",
        "cursor=WyJhIiwiYiJd",
        "cursor=WyItMSIsIjEiXQ",
    ],
)
def test_what_no_attempt_can_be_asked_by_is_refused(console, query):
    reply = console.ask("GET", f"{API}/deliveries?{query}", role=Role.VIEWER)

    assert reply.status in {400, 422}


def test_attempts_of_one_message_stand_together_the_last_one_first(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        for key in ("first", "second"):
            journal.enqueue(
                dedup_key=key, channel="stdout", severity="critical", subject=key, body="", now=FIRST
            )
        for hour in range(3):
            at = FIRST + timedelta(hours=hour)
            for message in journal.lease(now=at, lease_s=60, limit=9):
                journal.mark(
                    message.outbox_id,
                    attempt=message.attempts,
                    is_delivered=False,
                    reason="http_error",
                    retry_at=at,
                    now=at,
                )
    reader = JournalReader(tmp_path / "journal.db")

    found = reader.last_deliveries(reason="", channel="", since="", before=None, last=9)
    since = reader.last_deliveries(reason="", channel="", since="2013-02-25T13", before=(2, 3), last=2)

    assert [(row["subject"], row["attempt"]) for row in found] == [
        *(("second", number) for number in (3, 2, 1)),
        *(("first", number) for number in (3, 2, 1)),
    ]
    assert [(row["subject"], row["attempt"]) for row in since] == [("second", 2), ("first", 3)]


def test_the_verb_reads_as_a_table_and_says_so_where_there_is_nothing(speak):
    spoken, nothing = speak("deliveries", "--last", "2"), speak("deliveries", "--channel", "slack")

    assert "provider_none over email" in spoken.out
    assert "provider_none over stdout" not in spoken.out
    assert nothing.out == "no attempt is like that; `trading deliveries` shows all\n"
