"""Who serves a state folder, and where: one at a time, known while it lives, and nothing said that is not so.

That Ctrl-C ends all of it is held wherever tests/served.py is used.
"""

from __future__ import annotations

import fcntl
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from console.serving import launch_job, serve_ui, serving_port
from tests.graph.desk import settings_in
from trading.errors import BadInput, Refused, TradingError


@pytest.fixture
def settings(tmp_path):
    return settings_in(tmp_path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def silent(_: str) -> None: ...


def marked(settings: Any, content: str) -> Any:
    """Write the marker as a server leaves it; give it open, so that a test can hold its lock."""
    path = settings.profile_dir / "ui.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path.open("a+", encoding="utf-8")


def test_a_port_in_use_is_named_before_anything_starts(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=rf"--port {port}: cannot be used on 127\.0\.0\.1 .*name another"):
            serve_ui(settings, port, silent)

    assert not (settings.profile_dir / "dagster").exists()


def test_a_second_server_of_a_folder_is_refused_and_told_where_the_first_is(settings):
    with marked(settings, json.dumps({"port": 4321, "pid": 1})) as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)

        with pytest.raises(Refused, match=r"served already, at http://127\.0\.0\.1:4321"):
            serve_ui(settings, free_port(), silent)


def test_a_server_is_known_by_its_lock_not_by_what_a_dead_one_left(settings):
    assert serving_port(settings) is None

    with marked(settings, json.dumps({"port": 4321, "pid": 1})) as marker:
        assert serving_port(settings) is None
        fcntl.flock(marker, fcntl.LOCK_EX)
        assert serving_port(settings) == 4321


@pytest.mark.parametrize("content", ["", "{}", "{", '{"port": "none"}'])
def test_a_server_on_its_way_up_is_not_yet_one(settings, content):
    with marked(settings, content) as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)

        assert serving_port(settings) is None


@pytest.fixture
def answering() -> Iterator[Any]:
    """Give a web server that answers each launch with what it was told to, and keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = json.dumps(answers.pop(0)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    asked: list[Any] = []
    answers: list[Any] = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port, answers, asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_launch_names_the_job_and_the_session_and_gives_the_run(answering):
    port, answers, asked = answering
    answers.append({"data": {"launchPipelineExecution": {"run": {"runId": "r-1"}}}})

    assert launch_job(port, "us_five__execute", {"dagster/partition": "2013-02-28"}) == "r-1"
    parameters = asked[0]["variables"]["p"]
    assert parameters["selector"]["pipelineName"] == "us_five__execute"
    assert parameters["executionMetadata"]["tags"] == [{"key": "dagster/partition", "value": "2013-02-28"}]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"data": {"launchPipelineExecution": {"message": "no such job"}}}, "no such job"),
        ({"data": {"launchPipelineExecution": {"__typename": "RunConflict"}}}, "RunConflict"),
        ({"data": None, "errors": [{"message": "bad query"}]}, "bad query"),
    ],
)
def test_a_launch_that_is_not_one_says_what_the_server_said(answering, answer, told):
    port, answers, _ = answering
    answers.append(answer)

    with pytest.raises(TradingError, match=told):
        launch_job(port, "us_five__execute", {})


def test_a_launch_at_nobody_is_an_error_of_the_connection():
    with pytest.raises(OSError, match="refused"):
        launch_job(free_port(), "us_five__execute", {})
