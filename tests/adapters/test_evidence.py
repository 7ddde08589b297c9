"""Evidence from real stores: a journal on both engines, a log file that grows, a paper broker's ledger."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from proof.lives import Life
from resources import evidence as gathering
from resources.evidence import gather, paper_dump, stored_verdicts
from resources.journal import schema
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.paper_broker.broker import PaperBroker
from tests.adapters.broker_rules import CALENDAR, CLOSE, EARLY, MODEL, OPEN, SESSION, Market, request
from trading.audit import line_of
from trading.errors import BrokerUnavailable, JournalUnavailable
from trading.guards import NO_LIMIT
from trading.invariants import Stored, violations
from trading.journal import RunControlAction
from trading.positions import opened_book
from trading.rebuild import KEYS
from trading.testing import example_decision, example_intent
from trading.values import ClientOrderId
from trading.verdicts import Verdict

OF = {"book": "us_five", "lane": "simulated", "session": SESSION}
INTENT = example_intent("AAPL", session=SESSION)


def verdict(guard, *, passed):
    reason = "ok" if passed else guard
    return Verdict(INTENT.intent_key, INTENT.symbol, SESSION, guard, passed, reason, 1, 2, NO_LIMIT, "limits")


def fill_up(journal: SqlJournal) -> None:
    opened = opened_book(currency="USD", deposit_micros=10**12)
    journal.opening_book(**OF, previous=None, opened=opened, now=EARLY)
    decision = example_decision(INTENT, not_after=CLOSE)
    verdicts = [verdict("kill_switch", passed=True), verdict("symbol_cap", passed=True)]
    journal.register(**OF, decisions=[decision], verdicts=verdicts, decisions_sha="d", now=EARLY)
    journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason="look", now=EARLY)
    for kind in ("first", "second"):
        journal.record_incident(
            kind=kind, account="SIM-FIVE", intent_id="", detail=kind, is_halting=False, now=EARLY
        )


@pytest.fixture
def journal(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as opened:
        fill_up(opened)
        yield opened


def test_everything_is_gathered_as_the_journal_answers_it(journal):
    found = gather(journal)

    assert list(found.intents) == journal.intents(**OF)
    assert list(found.events) == journal.events(after=0, limit=99)
    assert list(found.incidents) == journal.incidents()
    assert found.run_control == journal.run_control()
    assert found.sessions == (journal.session_record(**OF),)
    assert found.judged == {found.intents[0].intent_id: True}
    assert found.audit_lines is None
    assert violations(found) == ()


def test_every_column_of_every_table_is_gathered_and_follows_from_the_events(tmp_path):
    with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as lived:
        life = Life(lived, seed=12)
        for _ in range(1_300):
            life.step()
        found = gather(lived)

    columns = {
        table.name: {column.name for column in table.columns} for table in schema.metadata.tables.values()
    }
    for told_by_no_event in {"events", *schema.MEASURED}:
        del columns[told_by_no_event]
    assert all(rows for _, rows in found.tables.values())
    assert {table: set(stored.columns) for table, stored in found.tables.items()} == columns
    assert [row for row in violations(found) if row.invariant == "INV7"] == []
    for table, (names, rows) in found.tables.items():
        keys = KEYS[table]
        place = next((at for at, name in enumerate(names) if name not in keys), 0)
        changed = (*rows[-1][:place], "changed", *rows[-1][place + 1 :])
        altered = Stored(names, (*rows[:-1], changed))
        told = violations(replace(found, tables={**found.tables, table: altered}))
        assert f"{table}.{names[place]} is 'changed'" in next(r for r in told if r.invariant == "INV7").detail


def test_the_store_and_the_reader_give_the_same_evidence(journal, tmp_path):
    assert gather(journal) == gather(JournalReader(tmp_path / "journal.db"))


def test_both_engines_give_the_same_evidence(journal, postgres_server):
    with SqlJournal(postgres_server.create("evidence")) as other:
        fill_up(other)
        found = gather(other)

    here = gather(journal)
    assert found.intents == here.intents
    assert found.judged == here.judged
    assert found.tables == here.tables
    assert violations(found) == ()


def test_no_journal_yet_is_no_evidence(tmp_path):
    found = gather(JournalReader(tmp_path / "journal.db"), audit_path=tmp_path / "audit.jsonl")

    assert (found.intents, found.events, found.audit_lines) == ((), (), ())
    assert violations(found) == ()


def test_a_log_that_grows_meanwhile_is_read_up_to_where_it_was(journal, tmp_path):
    log = tmp_path / "audit.jsonl"
    lines = [line_of(event) for event in journal.events(after=0, limit=99)]
    log.write_text("".join(line + "\n" for line in lines))
    found = gather(journal, audit_path=log)
    with log.open("a") as more:
        more.write("what came after\n")

    assert list(found.audit_lines) == lines
    assert list(found.audit_lines) == lines
    assert len(found.audit_lines) == len(lines)
    assert violations(found) == ()
    assert {row.invariant for row in violations(gather(journal, audit_path=log))} == {"INV9"}


@pytest.mark.parametrize("cut", [1, 5, 50])
def test_a_line_torn_within_a_character_is_still_a_prefix(journal, tmp_path, cut):
    journal.set_run_control(RunControlAction.RESUME, actor="ann", reason="übermütig" * 9, now=EARLY)
    log = tmp_path / "audit.jsonl"
    content = "".join(line_of(event) + "\n" for event in journal.events(after=0, limit=99)).encode()
    at = content.rindex("ü".encode()) + cut
    log.write_bytes(content[:at])

    assert violations(gather(journal, audit_path=log)) == ()


def test_many_events_say_the_same_as_few(journal, tmp_path, monkeypatch):
    log = tmp_path / "audit.jsonl"
    log.write_text("".join(line_of(event) + "\n" for event in journal.events(after=0, limit=99)))
    few = gather(journal, audit_path=log)
    monkeypatch.setattr(gathering, "MANY_EVENTS", 1)
    many = gather(journal, audit_path=log)

    assert [dict(event.body) for event in many.events] == [event.body for event in few.events]
    assert [len(event.body) for event in many.events] == [len(event.body) for event in few.events]
    assert violations(many) == ()


@pytest.mark.parametrize("body", ["no json", "[]", '{"opening": 1.5}'])
@pytest.mark.parametrize("many", [1, 50_000])
def test_a_body_that_no_event_can_have_is_named_or_refused(tmp_path, monkeypatch, body, many):
    path = tmp_path / "journal.db"
    with SqlJournal(f"sqlite:///{path}") as journal:
        fill_up(journal)
    with sqlite3.connect(path) as raw:
        listed = "select name from sqlite_master where type = 'trigger' and tbl_name = 'events'"
        for (name,) in raw.execute(listed).fetchall():
            raw.execute(f"drop trigger {name}")
        raw.execute("update events set body = ? where seq = 1", (body,))
    monkeypatch.setattr(gathering, "MANY_EVENTS", many)

    try:
        found = {row.invariant for row in violations(gather(JournalReader(path)))}
    except JournalUnavailable:
        found = {"unreadable"}
    assert found & {"INV8", "unreadable"}


def test_a_row_that_is_none_makes_the_journal_unreadable(tmp_path):
    path = tmp_path / "journal.db"
    with SqlJournal(f"sqlite:///{path}") as journal:
        fill_up(journal)
    with sqlite3.connect(path) as raw:
        listed = "select name from sqlite_master where type = 'trigger' and tbl_name = 'intents'"
        for (name,) in raw.execute(listed).fetchall():
            raw.execute(f"drop trigger {name}")
        raw.execute("update intents set payload = '{'")

    with pytest.raises(JournalUnavailable, match="cannot be read"):
        gather(JournalReader(path))


def test_verdicts_come_in_the_order_of_precedence(journal):
    (row,) = journal.intents(**OF)

    assert stored_verdicts(journal, [row]) == {row.intent_id: journal.verdicts(row.intent_id)}
    assert stored_verdicts(journal, []) == {}


# -------------------------------------------------------------------------------- a paper broker's ledger


def test_a_ledger_is_dumped_as_its_broker_dumps_it(tmp_path):
    path = tmp_path / "SIM.db"
    broker = PaperBroker(
        path,
        account="SIM",
        deposit_micros=10**12,
        market=Market(AAPL=10**6, THIN=400),
        fill_model=MODEL,
        calendar=CALENDAR,
    )
    for symbol in ("AAPL", "THIN"):
        broker.submit(request(symbol), now=EARLY)
        broker.fills(ClientOrderId(f"ta-{symbol}"), now=OPEN)

    found = paper_dump(path, account="SIM")
    assert found == broker.dump()
    assert (len(found.orders), len(found.fills), len(found.arrivals)) == (2, 2, 2)


def test_no_ledger_is_no_dump_and_is_not_made(tmp_path):
    assert paper_dump(tmp_path / "SIM.db", account="SIM") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_ledger_cannot_be_read(tmp_path):
    path = tmp_path / "SIM.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 99)

    with pytest.raises(BrokerUnavailable, match=r"is damaged .*keep the file"):
        paper_dump(path, account="SIM")
