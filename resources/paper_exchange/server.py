"""Serve the exchange on this machine, until it is told to stop; a connection that should break is reset.

What answers is application.py.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from resources.paper_exchange.application import Scope
from trading.errors import BadInput

LOOPBACK = "127.0.0.1"
STOP_S_MAX = 2
ABORT = struct.pack("ii", 1, 0)
"""Linger for no time: closing then resets the connection instead of ending it in order."""

Transports = dict[tuple[str, int], Any]


def bound(port: int) -> socket.socket:
    """Return a socket of the loopback interface; raises `BadInput` where the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise BadInput(f"--port {port}: cannot be used ({error.strerror}); name another by --port") from error
    return listening


class ExchangeServer(uvicorn.Server):
    """Serve an application on a bound socket; `ready` is called once it answers."""

    def __init__(
        self, application: Any, *, transports: Transports, ready: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=_protocol(transports),
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=STOP_S_MAX,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def resetting(transports: Transports) -> Callable[[Scope], None]:
    """Return what breaks the connection of a request, so that the other end sees a reset, not an end."""

    def reset(scope: Scope) -> None:
        transport = transports.get(tuple(scope["client"]))
        if transport is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            transport.abort()

    return reset


def _protocol(transports: Transports) -> Any:
    """Return the server's own protocol, which of its two it is, that also knows who is at the other end."""

    def connection_made(protocol: Any, transport: Any) -> None:
        protocol.known_as = transport.get_extra_info("peername")
        transports[protocol.known_as] = transport
        AutoHTTPProtocol.connection_made(protocol, transport)

    def connection_lost(protocol: Any, error: Exception | None) -> None:
        transports.pop(protocol.known_as, None)
        AutoHTTPProtocol.connection_lost(protocol, error)

    return type(
        "KnownConnection",
        (AutoHTTPProtocol,),
        {"connection_made": connection_made, "connection_lost": connection_lost},
    )
