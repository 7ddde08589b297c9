"""The one HTTP client against a server that misbehaves: what is asked again, what never, what is kept."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from resources.outbound.client import (
    READ_ATTEMPTS,
    REPLY_BYTES_MAX,
    Endpoint,
    ExchangeFailed,
    OutboundClient,
)
from resources.outbound.kept import JournalBreakers, JournalCalls
from resources.outbound.limits import RateLimits
from tests.adapters.misbehaving import RESET, http, misbehaving
from tests.console.web.test_server import signed_for_loopback
from trading.breakers import Breaker, BreakerReason, BreakerState
from trading.errors import BadInput, BadSetting, JournalUnavailable
from trading.outbound import CallKind, OutboundCall, figures_by_endpoint
from trading.rate_limits import LimitRules

PROJECT = Path(__file__).resolve().parents[2]
NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
OK = http("200 OK", b'{"ok": true}')
CANARY = "canary-4711-secret"


@dataclass
class Kept:
    """Remember breakers and calls, as a journal would."""

    rows: list = field(default_factory=list)
    breakers: dict = field(default_factory=dict)

    def record(self, call):
        self.rows.append(call)

    def breaker(self, name):
        return self.breakers.get(name, Breaker(name))

    def change(self, after, *, actor, reason, now):
        if self.breaker(after.name).version != after.version - 1:
            return False
        self.breakers[after.name] = after
        return True


@dataclass
class Time:
    """Be the clock and the sleep of a client: waiting takes no time, and is remembered."""

    now: datetime = NOW
    slept_s: list = field(default_factory=list)

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept_s.append(seconds)
        self.now += timedelta(seconds=seconds)

    def pass_s(self, seconds):
        self.now += timedelta(seconds=seconds)


def client_of(url, *, kept=None, clock=None, **options):
    clock = clock or Time()
    return OutboundClient("broker", url, clock=clock, sleep=clock.sleep, calls=kept, breakers=kept, **options)


def failing(call, word):
    with pytest.raises(ExchangeFailed) as caught:
        call()
    assert caught.value.word == word
    return caught.value


# -------------------------------------------------------------------------------- reads and sends


def test_a_read_is_asked_again_and_each_request_is_a_row():
    answers = {1: RESET, 2: http("503 Busy"), 3: OK}
    kept = Kept()
    with misbehaving(answers.get) as (url, heard), client_of(url, kept=kept) as client:
        reply = client.read("orders.list", "/orders", parameters={"status": "all"}, now=NOW)

    assert (reply.status, reply.content, reply.attempts) == (200, b'{"ok": true}', 3)
    assert [request.split(b" HTTP")[0] for request in heard] == [b"GET /orders?status=all"] * 3
    assert [(row.status, row.word, row.attempt) for row in kept.rows] == [
        (0, kept.rows[0].word, 1), (503, "", 2), (200, "", 3),
    ]  # fmt: skip
    assert kept.rows[0].word in {"reset", "half_reply"}
    assert {row.kind for row in kept.rows} == {CallKind.READ}
    assert kept.breakers == {}


def test_a_read_that_never_ends_well_gives_its_last_answer_or_says_how_it_failed():
    with misbehaving(lambda _: http("503 Busy")) as (url, heard), client_of(url) as client:
        assert client.read("orders.list", "/orders").status == 503
        assert len(heard) == READ_ATTEMPTS
    with misbehaving(lambda _: b"garbage\r\n\r\n") as (url, heard), client_of(url) as client:
        failing(lambda: client.read("orders.list", "/orders"), "half_reply")
        assert len(heard) == READ_ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (RESET, None), (b"", "half_reply"), (b"garbage\r\n\r\n", "half_reply"),
        (http("200 OK", b"half", length=99), "half_reply"), (http("503 Busy"), 503), (http("429 Slow"), 429),
        (http("504 Late", headers="Retry-After: 0\r\n"), 504),
        (http("307 Go", headers="Location: /x\r\n"), 307),
        (http("408 Late", headers="Connection: close\r\n"), 408),
    ],
)  # fmt: skip
def test_a_send_is_one_request_whatever_it_is_answered(answer, word):
    kept = Kept()
    with misbehaving(lambda _: answer) as (url, heard), client_of(url, kept=kept) as client:
        if isinstance(word, int):
            assert client.send("orders.submit", "POST", "/orders", content=b"{}").status == word
        else:
            with pytest.raises(ExchangeFailed) as caught:
                client.send("orders.submit", "POST", "/orders", content=b"{}")
            assert caught.value.word in ({word} if word else {"reset", "half_reply"})

        assert len(heard) == 1
    assert [(row.kind, row.attempt) for row in kept.rows] == [(CallKind.SEND, 1)]


def test_nobody_there_is_a_failed_connect_tried_once_for_a_send(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    connect, tried = socket.create_connection, []

    def counting(address, *arguments, **options):
        tried.append(address)
        return connect(address, *arguments, **options)

    monkeypatch.setattr(socket, "create_connection", counting)
    with client_of(f"http://127.0.0.1:{port}") as client:
        failing(lambda: client.send("orders.submit", "POST", "/orders", content=b"{}"), "connect")

    assert tried == [("127.0.0.1", port)]


@pytest.mark.parametrize("head_first", [True, False])
def test_an_answer_that_drips_is_ended_at_the_deadline_in_its_head_and_in_its_body(head_first):
    answer = http("200 OK", b" " * 4000) if head_first else b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 4000
    with (
        misbehaving(lambda _: answer, drip_s=0.02) as (url, heard),
        client_of(url, timeout_s=0.4) as client,
    ):
        failing(lambda: client.send("orders.submit", "POST", "/orders", content=b"{}"), "time_out")

        assert len(heard) == 1


def test_an_answer_past_its_bound_is_not_read_to_its_end():
    small = {"bars": Endpoint(reply_bytes_max=1000)}
    with (
        misbehaving(lambda _: http("200 OK", b"x" * 5000)) as (url, _),
        client_of(url, endpoints=small) as client,
    ):
        failing(lambda: client.read("bars", "/bars"), "too_long_reply")

        assert client.read("assets", "/assets").content == b"x" * 5000
    assert REPLY_BYTES_MAX > 5000


def test_packed_bytes_are_given_as_they_came():
    packed = http("200 OK", b"\x1f\x8b\x08", headers="Content-Encoding: gzip\r\n")
    with misbehaving(lambda _: packed) as (url, heard), client_of(url) as client:
        assert client.read("bars", "/bars").content == b"\x1f\x8b\x08"

        assert b"accept-encoding: identity" in heard[0].lower()


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with misbehaving(lambda _: OK) as (url, heard), client_of(url) as client:
        assert client.read("orders.list", "/orders").status == 200
        assert len(heard) == 1


def test_an_answer_is_kept_for_as_long_as_it_is_good_and_only_a_good_one():
    answers = {1: OK, 2: http("404 None"), 3: OK}
    clock, kept = Time(), Kept()
    policy = {"clock": Endpoint(cache_s=5)}
    with (
        misbehaving(answers.get) as (url, heard),
        client_of(url, clock=clock, kept=kept, endpoints=policy) as client,
    ):
        first, again = client.read("clock", "/clock"), client.read("clock", "/clock")
        clock.pass_s(5)
        expired = client.read("clock", "/clock")
        other = client.read("clock", "/clock", parameters={"a": "b"})

        assert len(heard) == 3
    assert (first.status, again.status, expired.status, other.status) == (200, 200, 404, 200)
    assert again.attempts == 0
    assert [row.was_cached for row in kept.rows] == [False, True, False, False]
    assert figures_by_endpoint(kept.rows)[0][2:] == (3, 1, 0.0, figures_by_endpoint(kept.rows)[0][5], 0, 1)


# -------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "answer", [RESET, b"", f"HTTP/1.1 200 OK\r\n{CANARY}\r\n\r\n".encode(), http("500 x")]
)
def test_no_secret_stands_in_any_error_log_or_row(answer, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    kept = Kept()
    with (
        misbehaving(lambda _: answer) as (url, heard),
        client_of(f"{url}/{CANARY}", kept=kept, headers={"APCA-API-SECRET-KEY": CANARY}) as client,
    ):
        told = repr(client)
        for call in (
            lambda: client.read("account", f"/{CANARY}", parameters={"key": CANARY}),
            lambda: client.send("submit", "POST", "/x", content=CANARY.encode(), headers={"X-Key": CANARY}),
        ):
            try:
                call()
            except ExchangeFailed as error:
                told += "".join(traceback.format_exception(error))

        assert all(CANARY.encode() in request for request in heard)
    told += caplog.text + repr(kept.rows) + repr(kept.breakers) + "".join(capsys.readouterr())
    assert CANARY not in told


@pytest.mark.parametrize(
    "value", ["", CANARY + "\n", f"a\r\nX: {CANARY}", " " + CANARY, "ключ " + CANARY, CANARY + "\0"]
)
def test_a_header_that_cannot_be_sent_is_refused_without_showing_it(value):
    with pytest.raises(BadSetting) as caught:
        OutboundClient("broker", "https://broker.invalid", headers={"Authorization": value})

    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url", ["", "broker", f"https://key:{CANARY}@host", "ftp://host", "https://h/?k=" + CANARY, "https://"]
)
def test_an_address_that_is_none_or_holds_a_password_is_refused_without_showing_it(url):
    with pytest.raises(BadSetting) as caught:
        OutboundClient("broker", url)

    assert CANARY not in str(caught.value)


class SaysYes(BaseHTTPRequestHandler):
    """Answer a question with an empty 200."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Keep no log."""


class OverTls(HTTPServer):
    """Serve by a certificate; a caller who does not believe it has gone."""

    def __init__(self, certificate, key):
        super().__init__(("127.0.0.1", 0), SaysYes)
        speaking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        speaking.load_cert_chain(certificate, key)
        self.socket = speaking.wrap_socket(self.socket, server_side=True)


def test_over_tls_only_who_is_vouched_for_is_asked(tmp_path, monkeypatch):
    certificate, key = signed_for_loopback(tmp_path)
    with OverTls(certificate, key) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"HTTPS://127.0.0.1:{server.server_address[1]}"
        with client_of(url) as unbelieving, pytest.raises(ExchangeFailed, match="connect"):
            unbelieving.read("orders.list", "/orders")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with client_of(url) as believing:
            reply = believing.read("orders.list", "/orders")
        server.shutdown()

    assert reply.status == 200


def test_a_method_or_a_path_that_cannot_be_meant_is_refused_before_anything_goes_out():
    with misbehaving(lambda _: OK) as (url, heard), client_of(url) as client:
        for method in ("GET", "post", "POST /x HTTP/1.1\r\n"):
            with pytest.raises(BadInput):
                client.send("orders.submit", method, "/orders", content=b"{}")
        with pytest.raises(BadInput):
            client.read("orders.list", "/orders\r\nX: y")
        assert heard == []


# -------------------------------------------------------------------------------- the breaker of a call


def test_two_failed_calls_open_the_breaker_and_then_nothing_goes_out_until_its_one_trial():
    clock, kept = Time(), Kept()
    answers = dict.fromkeys(range(1, 2 * READ_ATTEMPTS + 1), http("500 x"))
    with (
        misbehaving(lambda n: answers.get(n, OK)) as (url, heard),
        client_of(url, clock=clock, kept=kept) as client,
    ):
        client.read("orders.list", "/orders")
        client.read("account", "/account")
        sent = len(heard)
        refused = failing(lambda: client.send("orders.submit", "POST", "/o", content=b"{}"), "circuit_open")
        assert len(heard) == sent == 2 * READ_ATTEMPTS
        clock.pass_s(60)
        client.read("orders.list", "/orders")
        assert kept.breakers["broker"].state is BreakerState.CLOSED
        client.send("orders.submit", "POST", "/o", content=b"{}")

    assert "nothing was sent" in str(refused)
    assert "`trading outbound` tells until when" in str(refused)
    assert [(row.endpoint, row.word, row.attempt, row.breaker) for row in kept.rows[sent:]] == [
        ("orders.submit", "circuit_open", 0, BreakerReason.CIRCUIT_OPEN),
        ("orders.list", "", 1, BreakerReason.CIRCUIT_HALF_OPEN),
        ("orders.submit", "", 1, BreakerReason.ALLOWED),
    ]


def test_a_trial_is_one_attempt_and_a_failed_one_keeps_the_breaker_open_for_longer():
    clock, kept = Time(), Kept()
    with (
        misbehaving(lambda _: http("500 x")) as (url, heard),
        client_of(url, clock=clock, kept=kept) as client,
    ):
        for _ in range(2):
            client.read("orders.list", "/orders")
        clock.pass_s(60)
        client.read("orders.list", "/orders")

        assert len(heard) == 2 * READ_ATTEMPTS + 1
    assert kept.breakers["broker"].until == clock.now + timedelta(seconds=120)


def test_refusals_and_429s_open_no_breaker():
    kept = Kept()
    statuses = ["403 No", "422 No", "429 Slow", "404 None"]
    with misbehaving(lambda n: http(statuses[n % 4])) as (url, _), client_of(url, kept=kept) as client:
        for _ in range(8):
            client.send("orders.submit", "POST", "/o", content=b"{}")

    assert kept.breakers == {}


def test_endpoints_may_have_a_breaker_of_their_own():
    kept = Kept()
    own = {"bars": Endpoint(breaker="broker data")}
    with misbehaving(lambda _: http("500 x")) as (url, _), client_of(url, kept=kept, endpoints=own) as client:
        for _ in range(2):
            client.read("bars", "/bars")
        assert client.read("orders.list", "/orders").status == 500

    assert kept.breakers["broker data"].state is BreakerState.OPEN
    assert kept.breakers["broker"].state is BreakerState.CLOSED


class Unreachable(Kept):
    def record(self, call):
        raise JournalUnavailable("locked")

    def breaker(self, name):
        raise JournalUnavailable("locked")


@pytest.mark.parametrize("answer", [OK, http("500 x"), RESET])
def test_a_journal_out_of_reach_loses_no_answer(answer, logged):
    with (
        misbehaving(lambda _: answer) as (url, heard),
        client_of(url, kept=Unreachable()) as client,
    ):
        if answer == RESET:
            with pytest.raises(ExchangeFailed):
                client.send("orders.submit", "POST", "/o", content=b"{}")
        else:
            assert client.send("orders.submit", "POST", "/o", content=b"{}").status in {200, 500}
        assert len(heard) == 1

    assert "outbound_call_not_recorded" in [line["event"] for line in logged]


def test_no_row_is_written_between_the_wish_to_send_and_the_send():
    heard_at_record = []
    with misbehaving(lambda _: OK) as (url, heard):

        class Watching(Kept):
            def record(self, call):
                heard_at_record.append(len(heard))

        with client_of(url, kept=Watching()) as client:
            client.send("orders.submit", "POST", "/o", content=b"{}")

    assert heard_at_record == [1]


# -------------------------------------------------------------------------------- limits


def test_a_burst_of_429s_makes_requests_rarer_and_nothing_is_lost():
    clock, kept = Time(), Kept()
    limits = RateLimits(LimitRules(burst=5, send_reserve=0), clock=clock)
    burst = http("429 Slow", headers="Retry-After: 1\r\n")
    times = []

    def answer(number):
        times.append(clock.now)
        return burst if 20 < number <= 26 else OK

    with misbehaving(answer) as (url, _), client_of(url, clock=clock, kept=kept, limits=limits) as client:
        statuses = [client.read("orders.list", f"/orders/{n}").status for n in range(60)]

    before = (times[19] - times[5]) / 14
    after = (times[45] - times[27]) / 18
    assert statuses == [200] * 60
    assert after > 2 * before
    assert limits.budget("broker").limited == 6
    assert figures_by_endpoint(kept.rows)[0].limited_ratio == pytest.approx(6 / 66)
    assert sum(row.waited_ms for row in kept.rows) > 0


def test_a_send_that_would_wait_too_long_is_refused_before_a_byte_goes_out():
    clock, kept = Time(), Kept()
    limits = RateLimits(clock=clock)
    limits.hear("broker", status=429, headers={"retry-after": "60"})
    with (
        misbehaving(lambda _: OK) as (url, heard),
        client_of(url, clock=clock, kept=kept, limits=limits) as client,
    ):
        failing(lambda: client.send("orders.submit", "POST", "/o", content=b"{}"), "rate_limited")
        failing(lambda: client.read("orders.list", "/orders"), "rate_limited")
        assert heard == []
        clock.pass_s(59)
        assert client.send("orders.submit", "POST", "/o", content=b"{}").status == 200

    assert [row.attempt for row in kept.rows] == [0, 0, 1]
    assert clock.slept_s == [pytest.approx(1)]


def test_a_read_whose_wait_became_too_long_gives_the_429_that_said_so():
    clock = Time()
    limits = RateLimits(clock=clock)
    slow = http("429 Slow", headers="Retry-After: 100\r\n")
    with misbehaving(lambda _: slow) as (url, heard), client_of(url, clock=clock, limits=limits) as client:
        assert client.read("orders.list", "/orders").status == 429
        assert len(heard) == 1


def test_a_trial_that_limits_held_back_is_given_back():
    clock, kept = Time(), Kept()
    limits = RateLimits(clock=clock)
    kept.breakers["broker"] = Breaker("broker", state=BreakerState.OPEN, until=NOW, word="reset", version=1)
    limits.hear("broker", status=429, headers={"retry-after": "60"})
    with (
        misbehaving(lambda _: OK) as (url, _),
        client_of(url, clock=clock, kept=kept, limits=limits) as client,
    ):
        failing(lambda: client.read("orders.list", "/orders"), "rate_limited")
        assert kept.breakers["broker"].state is BreakerState.OPEN
        clock.pass_s(60)
        client.read("orders.list", "/orders")

    assert kept.breakers["broker"].state is BreakerState.CLOSED


# -------------------------------------------------------------------------------- in the journal


def test_rows_and_breakers_of_a_journal_are_read_back_on_both_engines(new_database):
    database = new_database()
    with database.open() as journal:
        calls, breakers = JournalCalls(journal), JournalBreakers(journal)
        with misbehaving(lambda _: http("500 x")) as (url, _):
            clock = Time()
            options = {"calls": calls, "breakers": breakers, "account": "SIM-FIVE", "clock": clock}
            with OutboundClient("broker", url, sleep=clock.sleep, **options) as client:
                for _ in range(2):
                    client.send("orders.submit", "POST", "/o", content=b"{}", now=NOW)
        told = calls.calls_of("SIM-FIVE", first=NOW, past=NOW + timedelta(seconds=1))
        assert calls.calls_of("SIM-WIDE", first=NOW, past=NOW + timedelta(seconds=1)) == []
        assert calls.calls_of("SIM-FIVE", first=NOW - timedelta(seconds=1), past=NOW) == []
        events = [event for event in journal.events(after=0, limit=99) if event.kind == "breaker_changed"]
    reader = database.reader()

    assert [(row.status, row.endpoint, row.attempt) for row in told] == [(500, "orders.submit", 1)] * 2
    assert reader.outbound_calls(last=9) == told
    assert reader.outbound_calls(last=1) == told[1:]
    (breaker,) = reader.breakers()
    assert (breaker.state, breaker.version, breaker.word) == (BreakerState.OPEN, 2, "status_500")
    assert [(event.actor, event.body["state"]) for event in events] == [
        ("broker", "closed"),
        ("broker", "open"),
    ]


def test_of_two_changes_of_one_version_one_is_stored(new_database):
    with new_database().open() as journal:
        breakers = JournalBreakers(journal)
        first = Breaker("broker", failures=1, word="reset", version=1)

        assert breakers.change(first, actor="a", reason="", now=NOW)
        assert not breakers.change(first._replace(word="connect"), actor="b", reason="", now=NOW)
        assert not breakers.change(first._replace(version=3), actor="b", reason="", now=NOW)
        assert breakers.breaker("broker") == first


RACER = """
import sys, time
from resources.journal.store import SqlJournal
from resources.outbound.client import ExchangeFailed, OutboundClient
from resources.outbound.kept import JournalBreakers, JournalCalls
journal_url, url = sys.argv[1:]
with SqlJournal(journal_url, busy_timeout_s=30) as journal:
    with OutboundClient("broker", url, breakers=JournalBreakers(journal), timeout_s=45) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            print(client.read("orders.list", "/orders").status, flush=True)
        except ExchangeFailed as failed:
            print(failed.word, flush=True)
"""


def test_of_two_processes_one_makes_the_trial(new_database):
    database = new_database()
    opened = Breaker("broker", state=BreakerState.OPEN, until=NOW, word="reset", version=1)
    held = threading.Event()

    def answer(_):
        held.wait(60)
        return OK

    with database.open() as journal, misbehaving(answer) as (url, heard):
        JournalBreakers(journal).change(opened, actor="broker", reason="reset", now=NOW)
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, database.url, url],
                cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        try:
            assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 2
            for racer in racers:
                racer.stdin.write("go\n")
                racer.stdin.flush()
            # The trial is not answered before the other was refused.
            while all(racer.poll() is None for racer in racers):
                time.sleep(0.02)
            held.set()
            told = sorted(racer.communicate(timeout=60)[0].strip() for racer in racers)
        finally:
            held.set()
            for racer in racers:
                racer.kill()
                racer.wait()
        after = JournalBreakers(journal).breaker("broker")

        assert told == ["200", "circuit_open"]
        assert len(heard) == 1
        assert after.state is BreakerState.CLOSED


def test_a_book_knows_its_accounts_calls_of_a_session_and_metrics_count_those_that_went_out(new_database):
    from resources.outbound.kept import JournalCallHistory
    from tests.adapters.broker_rules import CALENDAR, SESSION
    from trading.metrics import BrokerCall, broker_calls_of
    from trading.timetable import span_of

    first, past = span_of(CALENDAR, SESSION)
    row = OutboundCall(
        first, "alpaca", "orders.submit", "SIM-FIVE", CallKind.SEND, 429, "", 12, 0, 1, BreakerReason.ALLOWED,
        was_cached=False,
    )  # fmt: skip
    rows = [
        row._replace(at=first - timedelta(microseconds=1), status=500),
        row,
        row._replace(status=0, word="circuit_open", attempt=0, breaker=BreakerReason.CIRCUIT_OPEN),
        row._replace(account="", endpoint="chat", status=200),
        row._replace(at=past - timedelta(microseconds=1), endpoint="clock", kind=CallKind.READ, status=200),
        row._replace(at=past, status=500),
    ]
    with new_database().open() as journal:
        calls = JournalCalls(journal)
        for one in rows:
            calls.record(one)
        history = JournalCallHistory(calls, account="SIM-FIVE", calendar=CALENDAR)
        found = history.calls_in(SESSION)

        assert found == [rows[1], rows[2], rows[4]]
        assert broker_calls_of(found) == (BrokerCall("orders.submit", 429), BrokerCall("clock", 200))
