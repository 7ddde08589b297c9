"""A number that nobody can read, in an answer of Alpaca's: it proves nothing, and fells nobody."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resources.alpaca_markets.broker import AlpacaBroker
from resources.alpaca_markets.refusals import refusal_of
from resources.outbound.client import OutboundClient
from tests.adapters.broker_rules import CALENDAR, EARLY, request
from trading.errors import BrokerUnavailable, OutcomeUnknown

TOO_LARGE = b"1e99999999999999999999"
"""JSON, and yet more than an exact number can hold."""

ACCOUNT = {
    "account_number": "PA1",
    "status": "ACTIVE",
    "currency": "USD",
    "cash": "1",
    "buying_power": "1",
    "equity": "1E+999999",
    "trading_blocked": False,
    "account_blocked": False,
}


@pytest.fixture
def answering():
    """Give an adapter whose every call is answered with one body."""
    said = {}

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said["body"])))
            self.end_headers()
            self.wfile.write(said["body"])

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with OutboundClient("alpaca", f"http://127.0.0.1:{server.server_address[1]}") as client:

        def adapter(body: bytes) -> AlpacaBroker:
            said["body"] = body
            return AlpacaBroker(client, data=client, calendar=CALENDAR, is_live=False)

        yield adapter
    server.shutdown()
    server.server_close()


def test_a_send_answered_with_a_number_that_nobody_can_read_is_not_proven(answering):
    with pytest.raises(OutcomeUnknown, match="unreadable_reply"):
        answering(b'{"qty": ' + TOO_LARGE + b"}").submit(request("AAPL"), now=EARLY)


@pytest.mark.parametrize("body", [b'{"cash": ' + TOO_LARGE + b"}", json.dumps(ACCOUNT).encode()])
def test_a_question_answered_with_a_number_that_nobody_can_read_has_failed(answering, body):
    with pytest.raises(BrokerUnavailable, match="unreadable_reply"):
        answering(body).account(now=EARLY)


def test_a_refusal_with_a_number_that_nobody_can_read_proves_nothing():
    refusal = refusal_of(422, b'{"code": ' + TOO_LARGE + b', "message": "no"}')

    assert not refusal.is_definitive
