"""A line between an adapter and its broker that spoils what passes: real connections, real resets.

It forwards each request to whoever is behind it, and does to it or to its answer what the test asked for.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

ABORT = struct.pack("ii", 1, 0)
"""Linger for no time: closing then resets the connection instead of ending it in order."""

DRIP_S = 0.05
WAIT_S_MAX = 20.0

Rewrite = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Hold what becomes of a request: whether it reaches the broker, and what is answered.

    `status` with `body` is answered in place of the broker's own answer; `rewrite` changes its own body;
    `how` is `reset`, `half`, `stall` or `drip`, what the connection does with whatever is answered.
    """

    reaches: bool = True
    how: str = ""
    status: int = 0
    body: bytes = b""
    kind: str = "application/json"
    rewrite: Rewrite | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Line(ThreadingHTTPServer):
    """Stand before the broker at `behind`; `url` is where.

    `passed` are the methods and paths of all requests that came, `bodies` what stood in them, `reached` the
    methods and paths of those that the broker got.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, behind: str) -> None:
        self.behind = urlsplit(behind)
        self.passed: list[tuple[str, str]] = []
        self.reached: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.released = threading.Event()
        self._faults: list[tuple[str, str, Fault]] = []
        self._always: list[tuple[str, str, Fault]] = []
        self._turn = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Spoiling)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spoil(self, fault: Fault, *, method: str = "", path: str = "", always: bool = False) -> None:
        """Do this to the next request of a method and a path that begins so, or to every one."""
        (self._always if always else self._faults).append((method, path, fault))

    def heal(self) -> None:
        self._faults.clear()
        self._always.clear()
        self.released.set()

    def sends(self) -> list[str]:
        """Return the paths of every request that could change something and came this far."""
        return [path for method, path in self.passed if method != "GET"]

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._turn:
            self.passed.append((method, path))
            for number, (its_method, its_path, fault) in enumerate(self._faults):
                if method.startswith(its_method) and path.startswith(its_path):
                    del self._faults[number]
                    return fault
            for its_method, its_path, fault in self._always:
                if method.startswith(its_method) and path.startswith(its_path):
                    return fault
            return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a client hung up is what half of the cases are about."""

    def close(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


class _Spoiling(BaseHTTPRequestHandler):
    server: Line
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _pass(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.bodies.append(body)
        fault = self.server.fault_of(self.command, self.path)
        status, headers, content = 0, [], b""
        if fault is None or fault.reaches:
            self.server.reached.append((self.command, self.path))
            status, headers, content = self._forwarded(body)
        if fault is None:
            self._tell(status, headers, content)
            return
        if fault.status:
            status, content = fault.status, fault.body
            headers = [("Content-Type", fault.kind), *fault.headers]
        elif fault.rewrite is not None:
            content = fault.rewrite(content)
        with suppress(OSError):
            self._spoilt(fault, status, headers, content)

    do_GET = do_POST = do_PATCH = do_DELETE = _pass  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name for it
        """Keep no log."""

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        behind = self.server.behind
        upstream = http.client.HTTPConnection(behind.hostname, behind.port, timeout=WAIT_S_MAX)
        try:
            told = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            upstream.request(self.command, self.path, body=body or None, headers=told)
            reply = upstream.getresponse()
            content = reply.read()
            kept = [(name, value) for name, value in reply.getheaders() if name.lower() not in _OWN]
            return reply.status, kept, content
        finally:
            upstream.close()

    def _spoilt(self, fault: Fault, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        match fault.how:
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                self.connection.close()
            case "half":
                self._tell(status, headers, content[: len(content) // 2], told=len(content))
            case "stall":
                self.server.released.wait(WAIT_S_MAX)
            case "drip":
                self._tell(status, headers, b"", told=len(content))
                for place in range(len(content)):
                    self.wfile.write(content[place : place + 1])
                    if self.server.released.wait(DRIP_S):
                        return
            case _:
                self._tell(status, headers, content)

    def _tell(
        self, status: int, headers: list[tuple[str, str]], content: bytes, *, told: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(content) if told is None else told))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


_OWN = {"content-length", "connection", "transfer-encoding", "date", "server"}
