"""Writers of one journal beside each other: turns, killed, stopped and forked ones, and lost servers."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import psutil
import psycopg2
import pytest

from resources.journal import database as database_module
from resources.journal import schema
from resources.journal import turns as turns_module
from resources.journal.condition import check_durable
from resources.journal.store import SqlJournal
from resources.journal.turns import Turns
from trading.audit import line_of, verify
from trading.errors import IllegalTransition, JournalUnavailable, UnknownId
from trading.values import IntentId

NOW = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)

WRITE = """
import sys
from datetime import datetime, UTC
from resources.journal.store import SqlJournal
with SqlJournal(sys.argv[1]) as journal:
    with journal._writing() as conn:
        print("writing", flush=True)
        sys.stdin.readline()
    journal.enqueue(dedup_key="other", channel="c", severity="warning", subject="", body="",
        now=datetime(2013, 2, 28, tzinfo=UTC))
    print("written", flush=True)
"""
TURN = """
import sys
from pathlib import Path
from resources.journal.turns import Turns
with Turns(Path(sys.argv[1]), patience_s=60).next():
    print("mine", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def journal(database):
    with database.open() as opened:
        yield opened


@pytest.fixture
def path(sqlite_template, tmp_path):
    path = tmp_path / "journal.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


def write(journal, key="mine"):
    return journal.enqueue(dedup_key=key, channel="c", severity="warning", subject="", body="", now=NOW)


def written(journal) -> list[str]:
    """Return the keys of all that was written, in the order of the chain."""
    events = journal.events(after=0, limit=999)
    return [event.body["dedup_key"] for event in events if event.kind == "message_queued"]


@contextmanager
def process(program, *arguments, says):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout.readline() == f"{says}\n"
            yield started
        finally:
            started.send_signal(signal.SIGCONT)
            started.kill()


# -------------------------------------------------------------------------------- both engines


def test_writers_beside_each_other_keep_one_chain(database):
    def work(name):
        with database.open(busy_timeout_s=60) as mine:
            for number in range(15):
                write(mine, f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.open() as journal:
        assert len(set(written(journal))) == 60
        assert verify(line_of(event) for event in journal.events(after=0, limit=999)) is None


def test_a_killed_writer_leaves_nothing_and_keeps_nobody(database, journal):
    with process(WRITE, database.url, says="writing") as other:
        other.kill()
        other.wait()
        assert write(journal)

    assert written(journal) == ["mine"]


def test_a_stopped_writer_is_reported_and_goes_on_unharmed(database):
    with (
        database.open(busy_timeout_s=0.1) as journal,
        process(WRITE, database.url, says="writing") as other,
    ):
        other.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="another process writes it"):
                write(journal)

        other.send_signal(signal.SIGCONT)
        other.stdin.close()
        assert other.stdout.readline() == "written\n"
        assert write(journal)
        assert verify(line_of(event) for event in journal.events(after=0, limit=9)) is None


def test_a_forked_process_has_connections_of_its_own(database, journal):
    write(journal, "before")
    child = os.fork()
    if child == 0:
        # Ended without a word to Python's exit: pytest's own files are the parent's.
        os._exit(0 if write(journal, "child") and not write(journal, "before") else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert write(journal, "after")
    assert verify(line_of(event) for event in journal.events(after=0, limit=9)) is None
    assert written(journal) == ["before", "child", "after"]


# -------------------------------------------------------------------------------- turns on SQLite


def waiting(path, said, name):
    """Start to wait for a turn; return once the number is drawn."""
    numbers = path.with_name(f"{path.name}-turns")
    before = numbers.read_bytes()
    thread = threading.Thread(target=take, args=(path, said, name))
    thread.start()
    while numbers.read_bytes() == before:
        os.sched_yield()
    return thread


def take(path, said, name):
    with Turns(path, patience_s=60).next():
        said.append(name)


def test_turns_come_in_the_order_in_which_they_were_asked_for(tmp_path):
    path, said = tmp_path / "journal.db", []
    with Turns(path, patience_s=60).next():
        threads = [waiting(path, said, name) for name in "abc"]
        assert said == []
    for thread in threads:
        thread.join()

    assert said == ["a", "b", "c"]


def test_whoever_is_done_wakes_the_next_who_would_otherwise_look_too_late(tmp_path, monkeypatch):
    path, said = tmp_path / "journal.db", []
    rings = turns_module._rings
    # Not how often it is looked whether a number can be drawn: the one before may still be at it.
    monkeypatch.setattr(turns_module, "_rings", lambda bell, _: rings(bell, 3600))
    with Turns(path, patience_s=60).next():
        threads = [waiting(path, said, name) for name in "abc"]
    for thread in threads:
        thread.join()

    assert said == ["a", "b", "c"]


@pytest.fixture
def locks_at_ring(path, monkeypatch):
    """Say of each end of a turn whether SQLite's own lock could be had then."""
    ring, could = turns_module._ring, []

    def rung(*of):
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            could.append(other.execute("begin immediate").fetchall() == [])
        ring(*of)

    monkeypatch.setattr(turns_module, "_ring", rung)
    return could


def test_a_step_gives_the_lock_back_before_the_turn_stored_or_refused(path, locks_at_ring):
    with SqlJournal(f"sqlite:///{path}") as journal:
        with pytest.raises(UnknownId):
            journal.expire(IntentId("none"), version=1, actor="quant", now=NOW)
        assert journal.enqueue(dedup_key="k", channel="c", severity="warning", subject="", body="", now=NOW)

    assert locks_at_ring == [True, True]


def deliver_nothing(journal):
    of_no_message = {"outbox_id": 7, "attempt": 1, "is_delivered": 1, "reason": "", "at": ""}
    with journal.appending(NOW) as (conn, _):
        conn.exec_driver_sql("pragma defer_foreign_keys = on")
        conn.execute(schema.deliveries.insert().values(**of_no_message))


def test_a_commit_that_fails_stores_nothing_and_gives_the_lock_back_before_the_turn(path, locks_at_ring):
    with SqlJournal(f"sqlite:///{path}") as journal:
        with pytest.raises(IllegalTransition, match="FOREIGN KEY"):
            deliver_nothing(journal)
        assert journal.deliveries() == []

    assert locks_at_ring == [True]


def test_a_writer_for_whom_no_bell_is_left_goes_on_and_leaves_nothing_open(tmp_path, monkeypatch):
    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(turns_module.socket, "socket", none_left)
    before = psutil.Process().num_fds()
    with Turns(tmp_path / "journal.db", patience_s=60).next():
        pass

    assert psutil.Process().num_fds() == before


def test_who_cannot_be_woken_looks_by_itself(tmp_path, monkeypatch):
    path, said = tmp_path / "journal.db", []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as taken:
        taken.bind(b"\0trading-turn-of-another-%d" % os.getpid())
        monkeypatch.setattr(turns_module, "_name_of", lambda *_: taken.getsockname())
        with Turns(path, patience_s=60).next():
            threads = [waiting(path, said, name) for name in "ab"]
        for thread in threads:
            thread.join()

    assert said == ["a", "b"]


def test_the_turn_of_a_killed_process_is_over(tmp_path):
    path, said = tmp_path / "journal.db", []
    with process(TURN, path, says="mine") as other:
        thread = waiting(path, said, "next")
        other.kill()
        thread.join()

    assert said == ["next"]


def test_a_turn_that_does_not_come_is_passed_over_once(path):
    with (
        process(TURN, path, says="mine") as other,
        SqlJournal(f"sqlite:///{path}", busy_timeout_s=0.2) as journal,
    ):
        other.send_signal(signal.SIGSTOP)
        assert write(journal)

        # From now on the stopped one is not waited for.
        turns = Turns(path, patience_s=60)
        turns._passed = journal._turns._passed
        with turns.next():
            assert write(journal, "again")


def test_a_process_forked_during_a_turn_does_not_keep_it(tmp_path):
    path = tmp_path / "journal.db"
    read_end, write_end = os.pipe()
    with Turns(path, patience_s=60).next():
        child = os.fork()
        if child == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
    with Turns(path, patience_s=60).next():
        os.close(write_end)
        os.close(read_end)
        assert os.waitpid(child, 0)[1] == 0


def test_numbers_that_were_deleted_or_damaged_are_drawn_anew(path):
    numbers = path.with_name(f"{path.name}-turns")
    with SqlJournal(f"sqlite:///{path}") as journal:
        for number, content in enumerate([None, b"", b"\xff" * 8, b"abc"]):
            assert write(journal, f"{number}")
            numbers.unlink()
            if content is not None:
                numbers.write_bytes(content)
        assert write(journal, "last")


def test_a_writer_that_takes_no_turns_is_waited_for_by_sqlite_itself(path):
    with (
        SqlJournal(f"sqlite:///{path}", busy_timeout_s=0.1) as journal,
        closing(sqlite3.connect(path)) as other,
    ):
        other.execute("begin immediate")
        with pytest.raises(JournalUnavailable, match="another process writes it"):
            write(journal)

        other.rollback()
        assert write(journal)


def commit_until(url, ended, counts, name):
    with SqlJournal(url, busy_timeout_s=60) as journal:
        while not ended.is_set():
            write(journal, f"{name}-{counts[name]}")
            counts[name] += 1
            if counts[name] == 60:
                ended.set()


def test_no_writer_starves(path):
    context = multiprocessing.get_context("spawn")
    ended, counts = context.Event(), context.Array("i", 4, lock=False)
    url = f"sqlite:///{path}"
    others = [context.Process(target=commit_until, args=(url, ended, counts, name)) for name in range(4)]
    # All of them import and open before the first may begin.
    with SqlJournal(url, busy_timeout_s=60) as journal, journal._turns.next():
        for other in others:
            other.start()
        while _drawn(path) < 5:
            os.sched_yield()
    for other in others:
        other.join()

    assert max(counts) == 60
    assert min(counts) >= 15


def _drawn(path) -> int:
    return int.from_bytes(path.with_name(f"{path.name}-turns").read_bytes()[:8], "little")


# -------------------------------------------------------------------------------- PostgreSQL's server


@pytest.fixture
def server_url(postgres_server, postgres_template):
    yield postgres_server.create("of_the_server", template=postgres_template)
    postgres_server.drop("of_the_server")


def say(url, statement):
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize("how", ["kill", "stop_at_once"])
def test_what_was_committed_is_there_after_the_server_was_lost(postgres_server, server_url, how):
    with SqlJournal(server_url) as journal:
        write(journal, "before")
        getattr(postgres_server, how)()
        with pytest.raises(JournalUnavailable, match="the server does not answer"):
            write(journal, "between")
        postgres_server.start()

        # The same journal connects anew.
        assert write(journal, "after")
        assert not write(journal, "before")


def test_a_session_that_is_ended_during_a_step_changes_nothing(server_url):
    def step(journal):
        with journal._writing() as conn:
            pid = conn.exec_driver_sql("select pg_backend_pid()").scalar()
            conn.exec_driver_sql("insert into quote_releases values ('r', 1, 'a', 'b', 'c')")
            say(server_url, f"select pg_terminate_backend({pid})")
            conn.exec_driver_sql("select 1")

    with SqlJournal(server_url) as journal:
        with pytest.raises(JournalUnavailable, match="look again"):
            step(journal)

        assert journal.quote_releases() == []


def test_a_writer_that_says_nothing_is_ended_by_the_server(server_url, monkeypatch):
    def say_nothing(silent, other):
        with silent._writing() as conn:
            assert write(other)
            conn.exec_driver_sql("select 1")

    monkeypatch.setattr(database_module, "STOPPED_WRITER_S_MAX", 0.2)
    with (
        SqlJournal(server_url, busy_timeout_s=0.1) as silent,
        SqlJournal(server_url, busy_timeout_s=60) as other,
    ):
        with pytest.raises(JournalUnavailable, match="look again"):
            say_nothing(silent, other)

        assert write(silent, "again")


def test_what_only_looks_cannot_change_anything(server_url):
    def change(journal):
        with journal._reading() as conn:
            conn.exec_driver_sql("delete from outbox")

    with SqlJournal(server_url) as journal, pytest.raises(JournalUnavailable, match="read-only transaction"):
        change(journal)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
def test_a_server_that_does_not_sync_is_refused(setting):
    settings = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "server_encoding": "UTF8",
    }
    check_durable("j", settings)
    with pytest.raises(JournalUnavailable, match=f"{setting} is off; trading needs every commit on disk"):
        check_durable("j", {**settings, setting: "off"})


def test_a_database_that_was_told_not_to_sync_is_refused(server_url):
    with SqlJournal(server_url) as journal:
        write(journal)
        say(server_url, "alter database of_the_server set synchronous_commit = off")

        with pytest.raises(JournalUnavailable, match="synchronous_commit is off"):
            SqlJournal(server_url)
        # Nor does an open journal go on with a connection made since.
        journal._engine.dispose()
        with pytest.raises(JournalUnavailable, match="synchronous_commit is off"):
            write(journal, "again")


def test_a_database_of_another_encoding_is_refused(postgres_server):
    url = postgres_server.create(
        "ascii", template="template0", more="encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
    )
    with pytest.raises(JournalUnavailable, match="create it with encoding UTF8"):
        SqlJournal(url)
    postgres_server.drop("ascii")
