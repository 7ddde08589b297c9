"""The console as its callers have it: a real server on a port of this machine, on a real state folder.

Not here: what a desk may look like (tests/console/states.py).
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn

from console.book_outlines import read_book_outlines
from console.console_site import build_site
from console.desk import Desk
from console.execution_start import How, Started, Starts, start_execution
from console.lake_pointers import LakePointers
from console.web.app import Clocks, gated
from console.web.gate import Access
from console.web.identities import Role
from console.web.server import Bind, Server, configured
from console.web.sign_in import SIGN_IN_PATH, Links
from console.web.tokens import Tokens, console_folder
from resources.clocks import system_now
from resources.journal.reader import JournalReader
from tests.graph.desk import settings_in

START_S_MAX = 30


class Answer(NamedTuple):
    """Hold what the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Clock:
    """Be the time that the server goes by; a test moves it."""

    def __init__(self) -> None:
        self.instant = system_now()
        self.seconds = 0.0

    def move(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)
        self.seconds += seconds


class Console:
    """Ask a served console; who asks is named by a role, whose token is made on first use.

    `started` is what it was asked to start, by name and book: nothing is, so that no test runs the graph.
    """

    def __init__(self, desk: Desk, app: Any, clock: Clock, port: int, started: list[tuple[str, str]]) -> None:
        self.desk, self.app, self.clock, self.port, self.started = desk, app, clock, port, started
        self.tokens = Tokens(console_folder(desk.settings))
        self.links = Links(console_folder(desk.settings))
        self._secrets: dict[Role, str] = {}

    def token(self, role: Role) -> str:
        """Give the token of a role; it speaks for somebody called after the role."""
        if role not in self._secrets:
            made = self.tokens.make(name=f"{role} program", role=role, now=self.clock.instant)
            self._secrets[role] = made.secret
        return self._secrets[role]

    def ask(
        self,
        method: str,
        path: str,
        *,
        role: Role | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask, as a role's program or as nobody; a body that is no bytes goes as JSON."""
        given = {"Host": f"127.0.0.1:{self.port}"}
        if role is not None:
            given["Authorization"] = f"Bearer {self.token(role)}"
        if body is not None and not isinstance(body, bytes):
            body, given["Content-Type"] = json.dumps(body).encode(), "application/json"
        given |= dict(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in given:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            reply = connection.getresponse()
            return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def signed_in(self, role: Role = Role.ADMIN, name: str = "anna") -> dict[str, str]:
        """Sign a browser in by a new link; give the headers by which it asks from then on."""
        code = self.links.issue(name=name, role=role, now=self.clock.instant)
        reply = self.ask("GET", f"{SIGN_IN_PATH}?code={code}")
        assert reply.status == 303, reply
        cookie = reply.headers["set-cookie"].partition(";")[0]
        return {"Cookie": cookie, "Origin": f"http://127.0.0.1:{self.port}"}

    def csrf_of(self, headers: Mapping[str, str]) -> str:
        """Give the token that the pages of a signed-in browser carry."""
        cookie = headers["Cookie"].partition("=")[2]
        actor = self.app.state.sessions.recognise(cookie, now=self.clock.instant)
        return str(actor.csrf_token)


def noting(started: list[tuple[str, str]]) -> Starts:
    """Give what starts no process, and notes what it was asked to start and for which book."""

    def execution(desk: Desk, book: str, session: date) -> Started:
        if desk.journal.run_control().kill_switch_on:
            return start_execution(desk, book, session)  # which starts nothing then, and says why
        started.append(("execute", book))
        return Started(how=How.PROCESS, told="started in a process of its own")

    def reconciling(_: Desk, book: str) -> Started:
        started.append(("reconcile", book))
        return Started(how=How.PROCESS, told="started in a process of its own")

    return Starts(execution=execution, reconciling=reconciling)


def desk_in(state_dir: Path, **settings: Any) -> Desk:
    """Give a desk on a state folder, as the server holds it."""
    made = settings_in(state_dir, **settings)
    return Desk(
        settings=made,
        books=read_book_outlines(made.books_file),
        journal=JournalReader(made.journal_url),
        lake=LakePointers(made.lake_root),
    )


@contextmanager
def console_on(
    state_dir: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    starts: Starts | None = None,
    **changes: Any,
) -> Iterator[Console]:
    """Serve the console of a state folder while inside; `changes` are those of its `Access`.

    Without `starts` nothing is started, only noted.
    """
    desk, clock = desk_in(state_dir, **(settings or {})), Clock()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
        bind = Bind(port=port)
        access = Access(**{"origins": bind.access.origins, **changes})
        clocks = Clocks(now=lambda: clock.instant, at_s=lambda: clock.seconds)
        started: list[tuple[str, str]] = []
        app = build_site(desk, access=access, clocks=clocks, starts=starts or noting(started))
        with served(gated(app), bind, listening):
            yield Console(desk, app, clock, port, started)


@contextmanager
def served(application: Any, bind: Bind, listening: socket.socket) -> Iterator[uvicorn.Server]:
    """Serve an application from a thread of this process while inside."""
    ready = threading.Event()
    server = Server(configured(application, bind), ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    assert ready.wait(START_S_MAX)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(START_S_MAX)
        assert not thread.is_alive()
