"""A real HTTP server on this machine that answers as a test says, byte for byte, and keeps what it heard."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

ABORT = struct.pack("ii", 1, 0)
"""Linger for no time: closing then resets the connection instead of ending it in order."""

RESET = b"(reset)"
"""Instead of an answer: the connection is reset."""

Answer = Callable[[int], bytes]
"""Gives the bytes for the n-th request, from 1."""


def http(status: str, content: bytes = b"", *, headers: str = "", length: int | None = None) -> bytes:
    """Give a whole answer, or one that says it is longer than it is."""
    told = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {told}\r\n{headers}\r\n".encode() + content


@contextmanager
def misbehaving(answer: Answer, *, drip_s: float = 0.0) -> Iterator[tuple[str, list[bytes]]]:
    """Serve on a free port; with `drip_s` an answer comes byte by byte, so far apart.

    Yields the address and the list of requests heard, each connection in a thread of its own.
    """
    heard: list[bytes] = []
    ended = threading.Event()
    lock = threading.Lock()
    threads = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = whole_request(connection)
            with lock:
                heard.append(request)
                number = len(heard)
            told = answer(number)
            if told == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                return
            if not drip_s:
                connection.sendall(told)
                return
            for place in range(len(told)):
                connection.sendall(told[place : place + 1])
                if ended.wait(drip_s):
                    return

    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    thread = threading.Thread(target=serve, args=(connection,), daemon=True)
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        finally:
            ended.set()
            listening.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join(5)


def whole_request(connection: socket.socket) -> bytes:
    """Read one request, its body included."""
    read = b""
    while b"\r\n\r\n" not in read:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError
        read += part
    head, _, body = read.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
