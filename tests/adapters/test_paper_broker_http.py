"""The paper broker over a real connection: what a send can meet on the wire, and that it is sent once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from resources.calendars import load_calendar
from resources.outbound.client import READ_ATTEMPTS
from resources.paper_broker.broker import PaperBroker
from resources.paper_broker.client import AMBIGUOUS_ERRORS, HttpPaperBroker
from resources.paper_broker.server import BrokerServer
from tests.adapters.broker_rules import (
    ACCOUNT,
    CALENDAR,
    DEPOSIT,
    EARLY,
    LATER,
    MODEL,
    OPEN,
    SESSION,
    Market,
    request,
)
from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.brokers import DedupScope, DuplicateClientOrderId, request_payload
from trading.errors import BrokerRejected, BrokerUnavailable, OutcomeUnknown
from trading.orders import OrderStatus
from trading.values import ClientOrderId, Symbol, digest

PROJECT = Path(__file__).resolve().parents[2]
ALWAYS = 10_000
AAPL = ClientOrderId("ta-AAPL")


@contextmanager
def served(path, *, behaviour=Behaviour(), timeout_s=5.0):  # noqa: B008 - a frozen value
    broker = PaperBroker(
        path,
        account=ACCOUNT,
        deposit_micros=DEPOSIT,
        market=Market(AAPL=10**6, IBM=10**6),
        fill_model=MODEL,
        calendar=CALENDAR,
        behaviour=behaviour,
    )
    with BrokerServer(broker) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with HttpPaperBroker(server.url, capabilities=broker.capabilities, timeout_s=timeout_s) as client:
            try:
                yield client, broker
            finally:
                server.shutdown()


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "SIM.db"


# -------------------------------------------------------------------------------- one send, one attempt


UNANSWERED = [
    (SendFault.SLOW, "time_out", True),
    (SendFault.LATE, "reset", False),
    (SendFault.RESET_BEFORE, "reset", False),
    (SendFault.RESET_AFTER, "reset", True),
    (SendFault.RATE_LIMITED, "status_429", False),
    (SendFault.FAILED_BEFORE, "status_5xx", False),
    (SendFault.FAILED_AFTER, "status_5xx", True),
    (SendFault.HALF_REPLY, "half_reply", True),
]
ANSWERED = {SendFault.REFUSED, SendFault.OTHER_QUANTITY, SendFault.DUPLICATE_ANSWER}


@pytest.mark.parametrize(("fault", "word", "is_accepted"), UNANSWERED)
def test_a_send_that_is_not_answered_is_of_unknown_outcome_and_arrived_once(
    ledger, monkeypatch, fault, word, is_accepted
):
    # What other programs of this machine are told to do with their connections is nothing to a send.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    behaviour = Behaviour(script=(fault,), slow_s=2.0)
    with served(ledger, behaviour=behaviour, timeout_s=0.5) as (client, broker):
        with pytest.raises(OutcomeUnknown, match=f"^{word}: "):
            client.submit(request(), now=EARLY)
        dump = broker.dump()
        found = client.order_by_client_order_id(AAPL, now=EARLY)

    assert word in AMBIGUOUS_ERRORS
    assert len(dump.arrivals) == 1
    assert dump.arrivals[0].request_sha == digest(request_payload(request()))
    assert [order.client_order_id for order in dump.orders] == ([AAPL] if is_accepted else [])
    assert (found is not None) == is_accepted


def test_every_fault_that_leaves_a_send_unanswered_was_tried():
    assert {fault for fault, _, _ in UNANSWERED} == set(SendFault) - ANSWERED


def test_a_send_that_arrives_late_is_there_only_then(ledger):
    behaviour = Behaviour(script=(SendFault.LATE,), late_s=60)
    with served(ledger, behaviour=behaviour) as (client, broker):
        with pytest.raises(OutcomeUnknown):
            client.submit(request(), now=EARLY)
        before = client.order_by_client_order_id(AAPL, now=EARLY + timedelta(seconds=59))
        after = client.order_by_client_order_id(AAPL, now=EARLY + timedelta(seconds=60))
        dump = broker.dump()

    assert before is None
    assert after.status is OrderStatus.WORKING
    assert [arrival.broker_order_id for arrival in dump.arrivals] == [after.broker_order_id]
    assert client.capabilities.settle_time_s == 60


def test_a_late_send_that_meets_its_own_repetition_makes_no_second_order_where_ids_are_remembered(ledger):
    with served(ledger, behaviour=Behaviour(script=(SendFault.LATE,), late_s=60)) as (client, broker):
        with pytest.raises(OutcomeUnknown):
            client.submit(request(), now=EARLY)
        again = client.submit(request(), now=EARLY + timedelta(seconds=1))
        client.orders(since=SESSION, now=OPEN)

        assert [order.broker_order_id for order in broker.dump().orders] == [again.broker_order_id]


def test_a_late_send_that_meets_its_own_repetition_is_a_second_order_where_ids_are_forgotten(ledger):
    behaviour = Behaviour(script=(SendFault.LATE,), late_s=60, scope=DedupScope.NONE)
    with served(ledger, behaviour=behaviour) as (client, broker):
        with pytest.raises(OutcomeUnknown):
            client.submit(request(), now=EARLY)
        client.submit(request(), now=EARLY + timedelta(seconds=1))
        client.orders(since=SESSION, now=OPEN)

        assert [order.client_order_id for order in broker.dump().orders] == [AAPL, AAPL]


def test_a_refusal_over_the_wire_is_definitive(ledger):
    with served(ledger, behaviour=Behaviour(script=(SendFault.REFUSED,))) as (client, broker):
        with pytest.raises(BrokerRejected, match=r"^refused: "):
            client.submit(request(), now=EARLY)

        assert broker.dump().orders == ()


def test_a_refusal_whose_code_is_not_on_the_closed_list_proves_nothing(ledger):
    with served(ledger) as (client, _):
        client.capabilities = replace(client.capabilities, definitive_errors=frozenset({"refused"}))
        with pytest.raises(OutcomeUnknown, match="zero_quantity is not among"):
            client.submit(request(quantity=0), now=EARLY)


def test_a_first_send_answered_as_a_duplicate_is_told_as_one(ledger):
    behaviour = Behaviour(script=(SendFault.DUPLICATE_ANSWER,))
    with (
        served(ledger, behaviour=behaviour) as (client, broker),
        pytest.raises(DuplicateClientOrderId) as caught,
    ):
        client.submit(request(), now=EARLY)

    assert [caught.value.client_order_id] == [order.client_order_id for order in broker.dump().orders]


def test_an_order_of_another_quantity_is_told_as_it_is(ledger):
    with served(ledger, behaviour=Behaviour(script=(SendFault.OTHER_QUANTITY,))) as (client, _):
        assert client.submit(request(quantity=10), now=EARLY).quantity == 11


def test_a_send_that_cannot_be_written_never_leaves(ledger):
    with served(ledger) as (client, broker):
        with pytest.raises(BrokerRejected, match=r"^malformed_request: "):
            client.submit(request(symbol=Symbol("X" * 33)), now=EARLY)

        assert broker.dump().arrivals == ()


def test_one_id_sent_from_many_threads_at_once_is_one_order_and_as_many_arrivals(ledger):
    with served(ledger) as (client, broker):

        def send(_):
            try:
                return client.submit(request(), now=EARLY).broker_order_id
            except DuplicateClientOrderId as error:
                return client.order_by_client_order_id(error.client_order_id, now=EARLY).broker_order_id

        with ThreadPoolExecutor(8) as threads:
            told = set(threads.map(send, range(16)))
        dump = broker.dump()

    assert len(told) == len(dump.orders) == 1
    assert len(dump.arrivals) == 16
    assert len([arrival for arrival in dump.arrivals if arrival.broker_order_id]) == 1


# -------------------------------------------------------------------------------- answers that prove nothing


@contextmanager
def scripted(*, reply: bytes, drips=False):
    """Answer every connection with the same bytes, and count the requests; with `drips` never end one."""
    heard: list[bytes] = []
    done = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def answer_all():
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        heard.append(whole_request(connection))
                        connection.sendall(reply)
                        while drips and not done.wait(0.05):
                            connection.sendall(b" ")

        thread = threading.Thread(target=answer_all, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        finally:
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def whole_request(connection) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65536)
    head, _, body = read.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(status, body: object = None, *, headers="", length=None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {told}\r\n{headers}\r\n".encode() + content


ORDER = {
    "broker_order_id": "b-1",
    "client_order_id": "ta-AAPL",
    "symbol": "AAPL",
    "side": "BUY",
    "quantity": 100,
    "filled_quantity": 0,
    "status": "working",
    "reason": "",
}

UNPROVEN = {
    "no status line": ("half_reply", b"garbage\r\n\r\n"),
    "nothing": ("half_reply", b""),
    "a head that breaks off": ("half_reply", b"HTTP/1.1 201 Created\r\nContent-Le"),
    "a body that breaks off": ("half_reply", http("201 Created", b'{"broker', length=500)),
    "no JSON": ("unreadable_reply", http("201 Created", b"<html>ok</html>")),
    "an unknown field": ("unreadable_reply", http("201 Created", {**ORDER, "venue": "X"})),
    "a missing field": (
        "unreadable_reply",
        http("201 Created", {k: v for k, v in ORDER.items() if k != "status"}),
    ),
    "a quantity past its bound": ("unreadable_reply", http("201 Created", {**ORDER, "quantity": 10**13})),
    "a status that nobody knows": ("unreadable_reply", http("201 Created", {**ORDER, "status": "resting"})),
    "a text with NUL": ("unreadable_reply", http("201 Created", {**ORDER, "reason": "a\0b"})),
    "another order": ("other_order", http("201 Created", {**ORDER, "client_order_id": "ta-IBM"})),
    "not numbers": ("unreadable_reply", http("201 Created", b'{"quantity": NaN}')),
    "200 instead of 201": ("status_2xx", http("200 OK", ORDER)),
    "204": ("status_2xx", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a redirect": ("status_3xx", http("307 Temporary Redirect", b"", headers="Location: /v1/orders\r\n")),
    "a wish to come back": ("status_5xx", http("503 Service Unavailable", b"", headers="Retry-After: 0\r\n")),
    "too many requests": ("status_429", http("429 Too Many Requests", b"", headers="Retry-After: 0\r\n")),
    "a gateway's time-out": ("status_5xx", http("504 Gateway Timeout", b"")),
    "a gateway's refusal": ("status_4xx", http("403 Forbidden", b"<html>")),
    "a request's time-out": ("status_4xx", http("408 Request Timeout", b"", headers="Connection: close\r\n")),
    "an early one": ("status_4xx", http("425 Too Early", b"")),
    "another conflict": ("status_4xx", http("409 Conflict", {"code": "locked", "message": ""})),
    "a conflict without words": ("unreadable_reply", http("409 Conflict", b"")),
    "a refusal of no known code": ("status_4xx", http("422 Unprocessable", {"code": "odd", "message": ""})),
    "a refusal without words": ("unreadable_reply", http("422 Unprocessable", b"")),
    "packed bytes": (
        "unreadable_reply",
        http("201 Created", b"\x1f\x8b\x08", headers="Content-Encoding: gzip\r\n"),
    ),
}


@pytest.mark.parametrize(("word", "reply"), UNPROVEN.values(), ids=UNPROVEN)
def test_an_answer_that_proves_nothing_leaves_a_send_unknown_and_is_asked_for_once(ledger, word, reply):
    with scripted(reply=reply) as (url, heard):
        with (
            HttpPaperBroker(url, capabilities=CAPABILITIES, timeout_s=2.0) as client,
            pytest.raises(OutcomeUnknown) as caught,
        ):
            client.submit(request(), now=EARLY)

        assert word in AMBIGUOUS_ERRORS
        assert str(caught.value).partition(":")[0] == word
        assert len(heard) == 1
        assert heard[0].startswith(b"POST /v1/orders ")


CAPABILITIES = Behaviour().capabilities(definitive_errors=frozenset({"refused"}))


def test_an_answer_that_drips_without_an_end_is_given_up():
    slow = b"HTTP/1.1 201 Created\r\nContent-Length: 90000\r\n\r\n{"
    with (
        scripted(reply=slow, drips=True) as (url, heard),
        HttpPaperBroker(url, capabilities=CAPABILITIES, timeout_s=0.3) as client,
    ):
        with pytest.raises(OutcomeUnknown, match=r"^time_out: no whole answer"):
            client.submit(request(), now=EARLY)

        assert len(heard) == 1


def test_a_connection_that_is_refused_is_unknown_too_and_tried_once(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    connect, tried = socket.create_connection, []

    def counting(address, *arguments, **options):
        tried.append(address)
        return connect(address, *arguments, **options)

    monkeypatch.setattr(socket, "create_connection", counting)
    with HttpPaperBroker(f"http://127.0.0.1:{port}", capabilities=CAPABILITIES) as client:
        with pytest.raises(OutcomeUnknown, match=r"^connect: "):
            client.submit(request(), now=EARLY)

        assert tried == [("127.0.0.1", port)]


def test_a_client_that_retried_would_be_seen_in_the_arrivals(ledger):
    with served(ledger, behaviour=Behaviour(script=(SendFault.RATE_LIMITED,))) as (client, broker):

        def submit_as_some_libraries_do():
            for _ in range(3):
                with suppress(OutcomeUnknown):
                    return client.submit(request(), now=EARLY)
            return None

        submit_as_some_libraries_do()

        assert len(broker.dump().arrivals) == 2


# -------------------------------------------------------------------------------- questions


def test_a_question_is_asked_again_a_few_times_and_then_not_answered_with_nothing():
    with scripted(reply=http("503 Service Unavailable", b"")) as (url, heard):
        with HttpPaperBroker(url, capabilities=CAPABILITIES) as client, pytest.raises(BrokerUnavailable):
            client.order_by_client_order_id(AAPL, now=EARLY)

        assert len(heard) == READ_ATTEMPTS


def test_a_cancel_is_sent_once_and_is_unproven_without_an_answer():
    with scripted(reply=http("503 Service Unavailable", b"")) as (url, heard):
        with HttpPaperBroker(url, capabilities=CAPABILITIES) as client, pytest.raises(BrokerUnavailable):
            client.cancel(AAPL, now=EARLY)

        assert len(heard) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"count": 2, "rows": [ORDER]},
        {"count": 0, "rows": [ORDER]},
        {"rows": [ORDER]},
        [ORDER],
        {"count": 1, "rows": [{**ORDER, "quantity": "many"}]},
    ],
)
def test_half_a_list_is_no_list(body):
    with (
        scripted(reply=http("200 OK", body)) as (url, _),
        HttpPaperBroker(url, capabilities=CAPABILITIES) as client,
        pytest.raises(BrokerUnavailable),
    ):
        client.orders(since=SESSION, now=EARLY)


@pytest.mark.parametrize("field", ["execution_id", "takes_back"])
def test_an_execution_named_by_what_no_journal_keeps_is_no_answer(field):
    fill = {
        "execution_id": "e-1",
        "client_order_id": AAPL,
        "quantity": 1,
        "price_micros": 1,
        "commission_micros": 0,
        "filled_at": LATER.isoformat(),
        "takes_back": "",
    }
    body = {"count": 1, "rows": [{**fill, field: "e\0"}]}
    with (
        scripted(reply=http("200 OK", body)) as (url, _),
        HttpPaperBroker(url, capabilities=CAPABILITIES) as client,
        pytest.raises(BrokerUnavailable, match="unreadable_reply"),
    ):
        client.fills(AAPL, now=LATER)


def test_a_list_cut_by_the_broker_is_noticed(ledger):
    behaviour = Behaviour(reports={ReportFault.LIST_CUT: ALWAYS})
    with served(ledger, behaviour=behaviour) as (client, _):
        for symbol in ("AAPL", "IBM"):
            client.submit(request(symbol), now=EARLY)
        with pytest.raises(BrokerUnavailable, match="half_reply: 1 rows of 2"):
            client.orders(since=SESSION, now=EARLY)
        with pytest.raises(BrokerUnavailable, match="half_reply: 0 rows of 1"):
            client.fills(AAPL, now=LATER)


def test_a_lost_question_is_asked_again_and_one_that_is_always_lost_is_not_answered(ledger, tmp_path):
    sometimes = Behaviour(seed=3, reports={ReportFault.QUERY_LOST: ALWAYS // 2})
    always = Behaviour(reports={ReportFault.QUERY_LOST: ALWAYS})
    with served(ledger, behaviour=sometimes) as (client, broker):
        told = 0
        client.submit(request(), now=EARLY)
        for _ in range(12):
            with suppress(BrokerUnavailable):
                told += client.order_by_client_order_id(AAPL, now=EARLY) is not None
        asked = next(broker._questions) - 1
    with served(tmp_path / "never.db", behaviour=always) as (client, _), pytest.raises(BrokerUnavailable):
        client.holdings(now=EARLY)

    assert 6 < told <= 12 < asked


def test_a_broker_that_answers_about_another_order_is_not_believed():
    with (
        scripted(reply=http("200 OK", {"order": {**ORDER, "client_order_id": "ta-IBM"}})) as (url, _),
        HttpPaperBroker(url, capabilities=CAPABILITIES) as client,
        pytest.raises(BrokerUnavailable, match="other_order"),
    ):
        client.order_by_client_order_id(AAPL, now=EARLY)


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/v1/order?client_order_id=x", None, 400),
        ("GET", "/v1/order?client_order_id=x&now=noon", None, 400),
        ("GET", "/v1/order?client_order_id=x&now=2013-02-28T12:00:00", None, 400),
        ("GET", "/v1/orders?since=soon&now=2013-02-28T12:00:00Z", None, 400),
        ("GET", "/v1/nothing", None, 404),
        ("POST", "/v1/nothing", b"{}", 404),
        ("POST", "/v1/cancels", b"{}", 400),
        ("POST", "/v1/orders", b"{}", 422),
        ("POST", "/v1/orders", b"[" * 1000, 422),
        ("POST", "/v1/orders", b" " * 70_000, 400),
    ],
)
def test_what_the_broker_cannot_read_it_answers_and_does_not_take(ledger, method, path, content, status):
    with served(ledger) as (client, broker):
        answer = httpx.request(method, client._client._base_url + path, content=content, trust_env=False)
        dump = broker.dump()

    assert answer.status_code == status
    assert (dump.orders, dump.arrivals) == ((), ())


# -------------------------------------------------------------------------------- a process of its own


@contextmanager
def process(ledger, *arguments):
    command = [
        sys.executable,
        "-m",
        "resources.paper_broker.process",
        "--book",
        "us_five",
        "--ledger",
        ledger,
    ]
    with subprocess.Popen(
        [*map(str, command), *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as started:
        try:
            yield started, json.loads(started.stdout.readline())
        finally:
            started.terminate()
            started.wait(20)


def test_the_ledger_outlives_the_brokers_death_and_the_order_is_found_by_its_next_life(ledger, tmp_path):
    behaviour = tmp_path / "behaviour.toml"
    behaviour.write_text('seed = 7\nscript = ["reset_after"]\n[sends]\nfailed_before = 5000\n')
    calendar = load_calendar("XNYS", PROJECT / "config" / "calendars")
    opened_at = calendar.opens_at(SESSION)
    with (
        process(ledger, "--behaviour", behaviour) as (first, told),
        HttpPaperBroker(told["url"], capabilities=CAPABILITIES) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            client.submit(request(account=told["account"]), now=opened_at)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(20)
        with pytest.raises(OutcomeUnknown):
            client.submit(request("IBM", account=told["account"]), now=opened_at)
    with (
        process(ledger) as (second, told),
        HttpPaperBroker(told["url"], capabilities=CAPABILITIES) as client,
    ):
        found = client.order_by_client_order_id(AAPL, now=opened_at)
        (fill,) = client.fills(AAPL, now=opened_at)
        with pytest.raises(DuplicateClientOrderId):
            client.submit(request(account=told["account"]), now=opened_at)
        held = client.holdings(now=opened_at)
        dump = client.dump()
        second.terminate()
        code = second.wait(20)

    assert (found.status, fill.quantity) == (OrderStatus.FILLED, 100)
    assert held.quantities == {"AAPL": 100}
    assert [arrival.client_order_id for arrival in dump.arrivals] == [AAPL, AAPL]
    assert len(dump.orders) == 1
    assert code == 0
