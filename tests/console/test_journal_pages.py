"""`trading orders` on a journal whose pages are damaged: rows that cannot be found are not taken for none."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from console import journal_pages
from resources.journal.store import SqlJournal
from resources.paper_broker.ledger import Ledger
from tests.console.test_verify import lived, profile, speak, state

__all__ = ["lived", "profile", "speak", "state"]

PAGE = 4096
READ = ("book_sessions", "intents", "orders", "fills")


def roots(path: Path) -> dict[str, int]:
    """Return the first page of each table and index."""
    with closing(sqlite3.connect(path)) as raw:
        return dict(raw.execute("select name, rootpage from sqlite_master where rootpage > 0"))


def of_table(path: Path, table: str) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        indexes = "select name from sqlite_master where type = 'index' and tbl_name = ? order by name"
        return [name for (name,) in raw.execute(indexes, (table,))]


def emptied(path: Path, name: str, like: str) -> None:
    """Put the page of something empty where a table or an index begins, as a write that went astray does."""
    where = roots(path)
    content = bytearray(path.read_bytes())
    source, target = (where[like] - 1) * PAGE, (where[name] - 1) * PAGE
    content[target : target + PAGE] = content[source : source + PAGE]
    path.write_bytes(content)


@pytest.mark.parametrize("table", READ)
def test_a_table_or_index_that_reads_as_empty_is_damage_and_not_an_older_state(speak, profile, table):
    path = profile / "journal.db"
    whole = path.read_bytes()
    for name, like in [
        (table, "busts"),
        *((index, "sqlite_autoindex_busts_1") for index in of_table(path, table)),
    ]:
        emptied(path, name, like)
        spoken = speak("orders")
        path.write_bytes(whole)

        assert (spoken.code, spoken.out) == (6, ""), name
        assert f"journal {path}: " in spoken.err
        assert "the file is damaged, so rows may be missing; keep it, and restore the last copy" in spoken.err


@pytest.mark.parametrize("words", [[b"orders"], [b"CREATE TABLE orders"], [b"orders", b"CREATE"]])
@pytest.mark.parametrize("verb", ["orders", "status"])
def test_bytes_in_the_schema_that_are_no_text_are_told_as_damage(speak, profile, verb, words):
    path = profile / "journal.db"
    content = path.read_bytes()
    for word in words:
        content = content.replace(word, word[:-1] + b"\xff")
    path.write_bytes(content)
    spoken = speak(verb)

    assert (spoken.code, spoken.out) == (6, "")
    assert f"journal {path}: malformed" in spoken.err
    assert "the file is damaged" in spoken.err


def test_a_doctor_of_such_a_journal_goes_on_to_its_other_checks(speak, profile):
    path = profile / "journal.db"
    path.write_bytes(path.read_bytes().replace(b"orders", b"order\xff").replace(b"CREATE", b"CREAT\xff"))
    spoken = speak("doctor")

    assert spoken.code == 1
    assert "FAIL  journal" in spoken.out
    assert "dagster home" in spoken.out


def test_half_a_page_of_the_revision_is_told_as_damage(speak, profile):
    path = profile / "journal.db"
    content = bytearray(path.read_bytes())
    end = roots(path)["alembic_version"] * PAGE
    content[end - PAGE // 2 : end] = bytes(PAGE // 2)
    path.write_bytes(content)
    spoken = speak("orders")

    assert (spoken.code, spoken.out) == (6, "")
    assert "the file is damaged" in spoken.err


def test_a_large_journal_is_asked_for_its_sessions_alone(speak, profile, monkeypatch):
    path = profile / "journal.db"
    monkeypatch.setattr(journal_pages, "WHOLE_BYTES_MAX", path.stat().st_size - 1)
    whole = speak("orders")
    emptied(path, "sqlite_autoindex_book_sessions_1", "sqlite_autoindex_busts_1")
    damaged = speak("orders")

    assert (whole.code, damaged.code) == (0, 6)


def remove(profile: Path, *patterns: str) -> None:
    for pattern in patterns:
        for left in profile.glob(pattern):
            left.unlink()


READING = (
    "positions",
    "orders",
    "stuck",
    "approvals list",
    "incidents",
    "why",
    "status",
    "trace FB@2013-02-20",
    "parity",
    "reconcile",
)
WRITING = (
    "resume --reason x --yes",
    "pause --reason x",
    "orders cancel FB@2013-02-20 --reason x --yes",
    "db upgrade",
    "alerts silence alertname=orphan --minutes 5 --reason x --yes",
    "quotes import --book us_five --through 2012-09-10",
)


@pytest.mark.parametrize("words", [*READING, *WRITING])
def test_a_journal_that_is_gone_is_no_desk_on_which_nothing_was_done(speak, profile, words):
    remove(profile, "journal.db*")
    spoken = speak(*words.split())

    assert (spoken.code, spoken.out) == (6, "")
    assert f"journal {profile / 'journal.db'}: is missing or empty, but its audit log tells" in spoken.err
    assert "restore the last copy, do not trade" in spoken.err
    assert not (profile / "journal.db").exists(), "an empty one in its place would read as all well"


def emptied_to_nothing(profile: Path) -> None:
    remove(profile, "journal.db*")
    (profile / "journal.db").touch()


def begun_anew(profile: Path) -> None:
    remove(profile, "journal.db*")
    SqlJournal(f"sqlite:///{profile / 'journal.db'}").close()


def gone_with_its_log(profile: Path) -> None:
    remove(profile, "journal.db*", "audit.jsonl")


@pytest.mark.parametrize(
    "lose", [emptied_to_nothing, begun_anew, gone_with_its_log], ids=lambda each: each.__name__
)
@pytest.mark.parametrize(
    "words", ["orders", "status", "doctor", "halt --reason x", "orders cancel FB@2013-02-20 --reason x"]
)
def test_an_empty_journal_in_the_place_of_one_with_a_log_is_the_loss_of_it(speak, profile, lose, words):
    lose(profile)
    path = profile / "journal.db"
    before = path.read_bytes() if path.exists() else None
    spoken = speak(*words.split())

    assert spoken.code == (1 if words == "doctor" else 6)
    assert f"journal {path}: is missing or empty, but its audit log tells" in spoken.out + spoken.err
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("words", [*READING, *WRITING, "halt --reason x", "doctor"])
def test_a_journal_of_which_only_the_paper_brokers_orders_are_left_is_not_begun_anew(speak, profile, words):
    """Gone with its log, checkpoints, keys and lake."""
    remove(profile, "journal.db*", "audit*.jsonl")
    shutil.rmtree(profile / "keys")
    shutil.rmtree(profile / "lake")
    before = sorted(profile.rglob("*"))
    spoken = speak(*words.split())

    assert spoken.code == (1 if words == "doctor" else 6)
    told = f"the paper broker's ledger {profile / 'paper' / 'SIM-FIVE.db'} has orders: orders may be open"
    assert f"journal {profile / 'journal.db'}: is missing or empty, but {told}" in spoken.out + spoken.err
    assert sorted(profile.rglob("*")) == before, "an empty one in its place would read as all well"


def test_parity_with_another_programs_file_as_the_journal_is_no_verdict(speak, profile):
    remove(profile, "journal.db*")
    with closing(sqlite3.connect(profile / "journal.db")) as raw:
        raw.execute("create table notes (text)")
        raw.commit()
    spoken = speak("parity")

    assert (spoken.code, spoken.out) == (6, "")
    assert f"journal {profile / 'journal.db'}: " in spoken.err


def test_parity_with_a_lake_that_lacks_what_was_decided_is_no_verdict(speak, profile):
    """All of it gone is refused; a session of which the journal knows nothing is named as not the same."""
    decided = sorted((profile / "lake" / "us_five" / "decisions").iterdir())
    unknown = decided[0].with_name("2013-02-14")
    shutil.copytree(decided[0], unknown)
    beyond = speak("parity")
    shutil.rmtree(unknown)
    shutil.rmtree(profile / "lake")
    gone = speak("parity")

    assert beyond.code == 3
    assert "! 2013-02-14: the lake has decisions of it, of which the journal knows nothing" in beyond.out
    assert (gone.code, gone.out) == (1, "")
    assert f"the lake {profile / 'lake'} has no decisions of us_five, of which the journal has" in gone.err
    assert "put the lake back, or name it with TRADING_LAKE_ROOT" in gone.err


def test_a_halt_that_no_journal_can_keep_is_none_and_says_so(speak, profile):
    remove(profile, "journal.db*")
    spoken = speak("halt", "--reason", "x")

    assert (spoken.code, spoken.out) == (6, "")
    assert "NOT HALTED: journal " in spoken.err
    assert "What is open at a broker stays open" in spoken.err
    assert not (profile / "journal.db").exists()


def test_the_doctor_fails_a_journal_that_is_gone(speak, profile):
    remove(profile, "journal.db*")
    spoken = speak("doctor")

    assert spoken.code == 1
    assert spoken.out.count(f"journal {profile / 'journal.db'}: is missing or empty") == 1
    assert "not looked at, since journal failed\n      → mend journal, then ask again" in spoken.out


def test_where_there_is_no_journal_yet_nothing_is_damaged(speak, profile):
    remove(profile, "journal.db*", "audit*.jsonl", "paper/*")
    Ledger(profile / "paper" / "SIM-FIVE.db")

    assert speak("orders").code == 0
