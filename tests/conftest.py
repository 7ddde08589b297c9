"""What holds for every test: this machine only, and no skip goes unseen.

Here: the guard on sockets, which files begin, and the report of skipped tests.
Not here: fixtures of one room; they stand in the `conftest.py` of that room's folder.
"""

from __future__ import annotations

import atexit
import gc
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings

from proof import statements

NO_SKIP = os.environ.get("TESTS_NO_SKIP") == "1"
"""In the build everything is installed, so a test that does not run is a test that fails."""

# Dagster asks this before it sends anything; the socket guard would refuse, in a thread that nobody reads.
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"

# An example is right or wrong, whatever else the machine does.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


TESTS = Path(__file__).resolve().parent

LONGEST_FIRST = (
    "tests/faults/test_daemon_backfills.py",
    "tests/docs/test_docs_commands.py",
    "tests/adapters/test_replay_engine.py",
    "tests/console/test_promoting.py",
    "tests/faults/test_misbehaving_broker.py",
    "tests/faults/test_proof_kills.py",
    "tests/graph/test_proof_graph.py",
    "tests/console/pages/test_pages_in_browser.py",
    "tests/console/test_ui_in_browser.py",
    "tests/docs/test_runbooks.py",
    "tests/adapters/test_compiled_rules.py",
    "tests/faults/test_verify_over_http.py",
    "tests/graph/test_look_ahead.py",
    "tests/adapters/conformance/test_numbered_cases.py",
    "tests/adapters/test_replay_files.py",
    "tests/graph/test_duplicate_launch.py",
    "tests/faults/test_proof_alertmanager.py",
)
"""Files that take longest, as they were measured: one that began last would be waited for alone.

Those that mostly wait for a server or a clock stand between those that compute.
"""


# Collecting makes objects by the million and drops hardly any: a search for garbage in between finds none.
gc.set_threshold(50_000, 20, 50)


@atexit.register
def _end_of_a_worker() -> None:
    """Leave to the system what a worker still holds: a search through all of it takes five seconds."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        gc.freeze()
        # DuckDB would list after that what was not given back to it; nothing else is left that could speak.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


statements.share()


class Migrations:
    """Make an empty SQLite journal by the statements that its revisions came to the first time.

    They come to the same each time, and Alembic takes ten times as long to find out which they are. A journal
    that holds something, one on PostgreSQL and one of another process go the whole way.
    """

    def __init__(self, migrate: Callable[..., None]) -> None:
        self._migrate = migrate
        self._statements: list[tuple[str, Any]] = []

    def __call__(self, connection: sa.Connection, **options: str) -> None:
        """Bring a database to this version's schema."""
        is_empty = connection.dialect.name == "sqlite" and not sa.inspect(connection).get_table_names()
        if options or not is_empty:
            self._migrate(connection, **options)
            return
        if not self._statements:
            self._statements = self._told_by(connection)
            return
        for statement, values in self._statements:
            connection.exec_driver_sql(statement, values)

    def _told_by(self, connection: sa.Connection) -> list[tuple[str, Any]]:
        told: list[tuple[str, Any]] = []

        def hear(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
            told.append((statement, values))

        sa.event.listen(connection, "before_cursor_execute", hear)
        try:
            self._migrate(connection)
        finally:
            sa.event.remove(connection, "before_cursor_execute", hear)
        return told


class Revisions:
    """Keep the revisions of Dagster's own storage, files of the installed version that stay as they are.

    Dagster reads all of them anew whenever it opens a store of its own, to compare its revision with the
    last. A process of the product opens a few; one of the tests opens hundreds.
    """

    def __init__(self, directory: Any) -> None:
        self._directory = directory
        self._kept: dict[str, Any] = {}

    def from_config(self, config: Any) -> Any:
        """Give the revisions in the folder that a configuration names, as Alembic's own class does."""
        folder = str(config.get_main_option("script_location"))
        if folder not in self._kept:
            self._kept[folder] = self._directory.from_config(config)
        return self._kept[folder]


def pytest_configure(config: pytest.Config) -> None:
    """Let each worker begin to collect at another file: what one has compiled is there for the others.

    Every worker collects every test, and to rewrite a file's assertions takes longer than to import it. The
    order in which tests run stays the drawn one, which does not ask where collecting began. Each file is
    named, and the folder that holds them is not: pytest drops what stands within another that is named.
    """
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if worker and is_whole and config.getoption("randomly_reorganize", default=False):
        files = [str(file) for file in sorted(TESTS.rglob("test_*.py"))]
        first = len(files) * int(worker["workerid"].removeprefix("gw")) // int(worker["workercount"])
        config.args = [*files[first:], *files[:first]]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin first; the others keep the order that they were drawn in."""
    rank = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what collecting made out of every later collection of garbage: a tenth of the tests' time."""
    transactions: Any = sys.modules.get("resources.journal.transactions")
    if transactions is not None:
        transactions.migrate = Migrations(transactions.migrate)
    storage: Any = sys.modules.get("dagster._core.storage.sql")
    if storage is not None:
        storage.ScriptDirectory = Revisions(storage.ScriptDirectory)
    gc.collect()
    gc.freeze()


class NetworkForbiddenError(RuntimeError):
    """Say that a test tried to leave this machine; not an OSError, so that no retry swallows it."""


def is_this_machine(host: object) -> bool:
    """Say whether a host is a loopback address or the name of one."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in {None, "", "localhost", "localhost.localdomain", "ip6-localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def refuse_to_leave(address: object) -> None:
    """Raise if a socket address is not on this machine; a path (AF_UNIX) always is."""
    if isinstance(address, tuple) and address and not is_this_machine(address[0]):
        message = (
            f"tests talk to this machine only: {address[0]!r} refused (fake the port, or serve on 127.0.0.1)"
        )
        raise NetworkForbiddenError(message)


@pytest.fixture(autouse=True, scope="session")
def _this_machine_only() -> Iterator[None]:
    """Let sockets and name look-ups of this process reach loopback and AF_UNIX, nothing else."""
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    look_up = socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        refuse_to_leave(address)
        real["connect"](self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        refuse_to_leave(address)
        return int(real["connect_ex"](self, address))

    def sendto(self: socket.socket, data: Any, *flags_and_address: Any) -> int:
        refuse_to_leave(flags_and_address[-1])
        return int(real["sendto"](self, data, *flags_and_address))

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        refuse_to_leave((host,))
        return look_up(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        patch.setattr(socket.socket, "sendto", sendto)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Give the reason of a skip as it was written."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(report.longrepr)


def is_plain_skip(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Say whether a report is a skip, and not a failure that was expected."""
    return report.skipped and not hasattr(report, "wasxfail")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turn a skipped test into a failed one, where nothing may be skipped."""
    del item, call
    report: Any = yield
    if NO_SKIP and is_plain_skip(report):
        report.outcome = "failed"
        report.longrepr = f"skipped, and TESTS_NO_SKIP=1 allows none: {reason_of(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Turn a module skipped as a whole into a failed one, where nothing may be skipped."""
    del collector
    report: Any = yield
    if NO_SKIP and is_plain_skip(report):
        report.outcome = "failed"
        report.longrepr = f"skipped, and TESTS_NO_SKIP=1 allows none: {reason_of(report)}"
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List every skipped test with its reason, last before the summary line."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} SKIPPED, so not shown to work here", yellow=True, bold=True)
    for report in sorted(skipped, key=lambda report: str(report.nodeid)):
        terminalreporter.line(f"{report.nodeid}: {reason_of(report)}", yellow=True)
