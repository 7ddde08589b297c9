"""Serve the console: on this machine, or elsewhere over TLS; say where it answers, and end when asked.

Nothing is served in the clear to another machine: that takes a certificate, or a word that a proxy in front
has one. What answers is app.py, behind gate.py.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvicorn

from console.serving import INTERRUPTED, LOOPBACK, signals_noted
from console.serving_marker import only_holder, tell
from console.web.gate import Access, Application
from console.web.tokens import console_folder
from resources.settings import Settings
from trading.errors import BadInput, Refused

MARKER = "serving.json"
STOP_S_MAX = 5
"""How long a request under way may take to end."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """Hold where the server listens and how browsers reach it; checks itself.

    `address` is the origin in a browser (`https://desk.example.org`), needed beyond this machine. Raises
    `BadInput` for what would be in the clear.
    """

    port: int
    host: str = LOOPBACK
    certificate: Path | None = None
    key: Path | None = None
    is_behind_proxy: bool = False
    address: str = ""

    def __post_init__(self) -> None:
        """Refuse what another machine could read along."""
        has_tls = self.certificate is not None and self.key is not None
        if (self.certificate is None) != (self.key is None):
            raise BadInput("--certificate and --key: name both, PEM files, or neither")
        if not (is_loopback(self.host) or has_tls or self.is_behind_proxy):
            raise BadInput(
                f"--host {self.host}: is not this machine alone; name --certificate and --key, or say "
                "--behind-proxy where a proxy in front speaks TLS"
            )
        if (has_tls or self.is_behind_proxy) and not _is_https_origin(self.address):
            raise BadInput(
                f"--address {self.address!r}: say how browsers reach it, as https://desk.example.org"
            )
        if self.address and not (has_tls or self.is_behind_proxy):
            raise BadInput(f"--address {self.address}: takes --certificate and --key, or --behind-proxy")

    @property
    def access(self) -> Access:
        """Return the origins that are ours, the one in links first."""
        here = tuple(f"http://{name}:{self.port}" for name in (LOOPBACK, "localhost", "[::1]"))
        public = (self.address.rstrip("/").lower(),) if self.address else ()
        if self.certificate is not None:
            return Access(origins=public)
        return Access(origins=(*public, *here))


def marker_path(settings: Settings) -> Path:
    """Return where the server of a profile says that it is up."""
    return console_folder(settings) / MARKER


def serve(application: Application, *, bind: Bind, settings: Settings, ready: Callable[[], None]) -> int:
    """Serve an application behind its gate until interrupted; return the exit code.

    `ready` is called once it answers. Raises `BadInput` where the port is taken or the certificate is none,
    `Refused` where this profile's console is served already.
    """
    path = marker_path(settings)
    with only_holder(path, lambda holder: _second(settings, holder)) as marker, signals_noted() as noted:
        listening = _bound(bind)

        def told_ready() -> None:
            tell(marker, {"address": bind.access.origins[0], "pid": os.getpid()})
            ready()

        server = Server(configured(application, bind), told_ready)
        signal.signal(signal.SIGHUP, lambda number, _: server.handle_exit(number, None))
        try:
            if not noted:
                server.run(sockets=[listening])
        finally:
            tell(marker, {})
            listening.close()
    return INTERRUPTED


def configured(application: Application, bind: Bind) -> uvicorn.Config:
    """Return how an application is served."""
    return uvicorn.Config(
        # Its scopes are TypedDicts, ours plain mappings.
        cast("Any", application),
        # Nothing a proxy says of who asks is believed, and nothing tells what serves.
        proxy_headers=False,
        server_header=False,
        ws="none",
        lifespan="off",
        log_config=None,
        # It would have the codes of one-time links in it.
        access_log=False,
        timeout_graceful_shutdown=STOP_S_MAX,
        ssl_context_factory=(lambda *_: _tls(bind)) if bind.certificate else None,
        ssl_certfile=bind.certificate,
        ssl_keyfile=bind.key,
    )


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Server(uvicorn.Server):
    """Tell when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()


def _bound(bind: Bind) -> socket.socket:
    if bind.certificate is not None:
        _tls(bind)
    try:
        family, *_, place = socket.getaddrinfo(bind.host.strip("[]"), bind.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise BadInput(
            f"--port {bind.port}: cannot be used on {bind.host} ({error.strerror}); name another by --port"
        ) from error
    return listening


def _tls(bind: Bind) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(str(bind.certificate), str(bind.key))
    except (OSError, ValueError) as error:
        raise BadInput(f"--certificate {bind.certificate}: with its key cannot be used: {error}") from error
    return context


def _is_https_origin(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" and bool(parts.netloc) and parts.path in {"", "/"} and not parts.query


def _second(settings: Settings, holder: dict[str, Any]) -> Refused:
    where = f"at {holder['address']}" if "address" in holder else "but not up yet, or on its way down"
    return Refused(
        f"console: of {settings.profile_dir} is served already, {where}; use that, or end it first"
    )
