"""`trading verify` on a real desk: journal, signed log, lake and paper ledger, whole and then damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import date
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from console import ask_process, asking
from console import verify as verifying
from console.cli import main
from resources.audit_log import AuditFile
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from resources.paper_broker.broker import PaperBroker
from resources.paper_broker.ledger import Ledger
from resources.profiles import Profiled
from resources.settings import load_settings
from tests.adapters.broker_rules import CALENDAR, CLOSE, EARLY, MODEL, OPEN, SESSION, Market
from trading.actions import ActionKind, CorporateAction
from trading.decisions import DecisionRow, decision_rows
from trading.errors import BrokerUnavailable
from trading.executions import Desk, execute_session, settle_orders
from trading.guards import GUARDS, NO_LIMIT, PASS, Why
from trading.invariants import INVARIANTS
from trading.journal import RunControlAction
from trading.positions import opened_book, with_fills
from trading.testing import OpenLock, example_decision, example_intent
from trading.values import digest
from trading.verdicts import verdicts_of, verdicts_sha

ROOT = Path(__file__).resolve().parents[2]
OF = {"book": "us_five", "lane": "simulated", "session": SESSION}
DEPOSIT = 10**12
PASSED = tuple(Why(PASS, 0, 0, NO_LIMIT) for _ in GUARDS)


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def live_a_session(state: Path) -> None:
    """Make a state folder in which one order was decided, sent, filled and settled."""
    profile = state / "simulated"
    intent = example_intent("AAPL", session=SESSION)
    verdicts = verdicts_of(intent, PASSED, limits_sha="limits")
    decision = replace(example_decision(intent, not_after=CLOSE), verdicts_sha=verdicts_sha(verdicts))
    rows = decision_rows([decision])
    opened = opened_book(currency="USD", deposit_micros=DEPOSIT)
    with SqlJournal(f"sqlite:///{profile / 'journal.db'}") as journal:
        audit = AuditFile(journal, profile / "audit.jsonl")
        broker = PaperBroker(
            profile / "paper" / "SIM-FIVE.db",
            account="SIM-FIVE",
            deposit_micros=DEPOSIT,
            market=Market(AAPL=10**6),
            fill_model=MODEL,
            calendar=CALENDAR,
        )
        journal.opening_book(**OF, previous=None, opened=opened, now=EARLY)
        journal.register(
            **OF,
            decisions=[decision],
            verdicts=verdicts,
            decisions_sha=digest([[str(field) for field in row] for row in rows]),
            now=EARLY,
        )

        def desk(now):
            return Desk(
                journal=journal,
                broker=broker,
                lock=OpenLock(),
                audit=audit,
                clock=lambda: now,
                account="SIM-FIVE",
                lane="simulated",
                holder="test",
            )

        execute_session(
            desk(OPEN),
            book="us_five",
            session=SESSION,
            since=SESSION,
            book_at_open=opened,
            review=lambda *_: PASSED,
            send_by=CLOSE,
        )
        settle_orders(
            desk(CLOSE), book="us_five", session=SESSION, since=SESSION, expected=None, actor="test"
        )
        closing = with_fills(opened, journal.fills(**OF))
        journal.settle(**OF, closing=closing, carried_by="", now=CLOSE)
        audit.project()
    lake = Lake(str(profile / "lake"))
    lake.write_rows(("us_five", "corporate_actions"), None, CorporateAction, [], inputs_sha="inputs")
    lake.write_rows(("us_five", "decisions"), str(SESSION), DecisionRow, rows, inputs_sha="inputs")


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lived") / "state"
    live_a_session(folder)
    return folder


@pytest.fixture
def state(lived, tmp_path, monkeypatch) -> Path:
    """Give a copy of the lived state that the settings point at."""
    folder = tmp_path / "state"
    shutil.copytree(lived, folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(folder))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setattr(verifying, "LOOK_AGAIN_S", 0.0)
    return folder


@pytest.fixture
def profile(state) -> Path:
    return state / "simulated"


@pytest.fixture
def speak(state, capsys):
    def speak_words(*words: str) -> Spoken:
        code = main(words)
        captured = capsys.readouterr()
        return Spoken(code, captured.out, captured.err)

    return speak_words


def change(path: Path, *statements: str) -> None:
    """Change a database past its program, triggers and all."""
    with sqlite3.connect(path) as raw:
        for (name,) in raw.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            raw.execute(f"drop trigger {name}")
        for statement in statements:
            raw.execute(statement)


def standing(spoken: Spoken) -> dict[str, str]:
    return {row["invariant"]: row["standing"] for row in spoken.json["invariants"]}


def violated(spoken: Spoken) -> set[str]:
    return {name for name, how in standing(spoken).items() if how == "violated"}


def test_a_whole_desk_agrees(speak):
    spoken = speak("verify")
    told = speak("verify", "--json")

    assert (spoken.code, spoken.err) == (0, "")
    assert spoken.out.startswith("ALL AGREE: 18 invariants hold, 1 not checked")
    assert "1 of 1 orders lead back to decision, verdicts and inputs" in spoken.out
    assert standing(told) == {
        row.name: "not checked" if row.name == "INV15" else "held" for row in INVARIANTS
    }
    assert told.json["links"] == {"orders": 1, "linked": 1, "unlinked": [], "why": ""}


def test_of_the_log_its_own_lines_are_counted_and_one_that_is_gone_is_not_said_to_hold(speak, profile):
    def of_the_log():
        return next(row for row in speak("verify", "--json").json["invariants"] if row["invariant"] == "INV9")

    log = profile / "audit.jsonl"
    lines = log.read_bytes().count(b"\n")
    whole = of_the_log()
    for path in (log, log.with_suffix(".checkpoints.jsonl")):
        path.unlink()
    shutil.rmtree(profile / "keys")
    gone = of_the_log()

    assert (whole["standing"], whole["looked_at"]) == ("held", f"{lines} lines")
    assert (gone["standing"], gone["why"]) == ("not checked", "there is no audit log")


def test_where_no_checkpoint_is_there_it_is_said_beside_the_chain(speak, profile):
    def of_the_chain():
        return next(line for line in speak("verify").out.splitlines() if " INV8 " in line)

    log = profile / "audit.jsonl"
    signed = of_the_chain()
    checkpoints = log.with_suffix(".checkpoints.jsonl")
    checkpoints.unlink()
    shutil.rmtree(profile / "keys")
    unsigned = of_the_chain()
    checkpoints.touch()
    empty = of_the_chain()
    log.unlink()
    unlogged = of_the_chain()

    assert "HELD" in signed
    assert "checkpoint" not in signed
    for told in (unsigned, empty, unlogged):
        assert told == f"{signed.rstrip()}, no checkpoint looked at"


@pytest.mark.parametrize("left", [bytes(512), b'{"actor":"' + bytes(600), bytes(512) + b"ring\n{}\n"])
def test_what_a_power_loss_left_behind_the_log_is_no_disagreement(speak, profile, left):
    with SqlJournal(f"sqlite:///{profile / 'journal.db'}") as journal:
        journal.set_run_control(RunControlAction.PAUSE, actor="ann", reason="look", now=CLOSE)
    with (profile / "audit.jsonl").open("ab") as log:
        log.write(left)
    spoken = speak("verify", "--json")

    assert (spoken.code, violated(spoken)) == (0, set())


def test_looking_changes_nothing(speak, profile):
    def content():
        return {path: path.read_bytes() for path in profile.rglob("*") if path.is_file()}

    speak("verify")
    before = content()
    speak("verify")

    assert content() == before


def test_where_there_is_nothing_of_a_desk_nothing_agrees_and_none_is_made(speak, profile):
    shutil.rmtree(profile)
    spoken, doctor = speak("verify"), speak("doctor")
    told = speak("verify", "--json")

    nothing = (
        f"no audit log or paper ledger below {profile}, no journal {profile / 'journal.db'},"
        f" no lake {profile / 'lake'}"
    )
    assert (spoken.code, told.code) == (6, 6)
    assert spoken.out.startswith(f"NOTHING TO VERIFY: {nothing}\n")
    assert set(standing(told).values()) == {"not checked"}
    # Well on a first day, and said to whoever looked for a desk.
    assert doctor.code == 0
    assert "; nothing was done here yet" in doctor.out.splitlines()[0]
    assert nothing in doctor.out
    assert not profile.exists()


def test_where_there_is_nothing_it_is_said_where_a_lake_of_another_place_was_looked_for(
    speak, profile, tmp_path, monkeypatch
):
    shutil.rmtree(profile)
    monkeypatch.setenv("TRADING_LAKE_ROOT", str(tmp_path / "mistyped"))

    told = f"no journal {profile / 'journal.db'}, no lake {tmp_path / 'mistyped'}"
    assert told in speak("verify").out
    assert told in speak("doctor").out


@pytest.mark.parametrize("left", ["journal.db", "audit.jsonl", "audit.checkpoints.jsonl", "lake", "paper"])
def test_any_store_that_is_left_of_a_desk_is_looked_at(speak, profile, left):
    for path in profile.iterdir():
        if path.name != left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    spoken, doctor = speak("verify"), speak("doctor")

    assert "NOTHING TO VERIFY" not in spoken.out
    assert "nothing was done here yet" not in doctor.out


def test_a_secret_in_force_is_looked_for_and_never_shown(speak, profile, monkeypatch):
    monkeypatch.setenv("TRADING_WEBHOOK_URL", "https://hooks.example.invalid/s3cr3t")
    assert standing(speak("verify", "--json"))["INV15"] == "held"
    with SqlJournal(f"sqlite:///{profile / 'journal.db'}") as journal:
        journal.record_incident(
            kind="leak",
            account="SIM-FIVE",
            intent_id="",
            detail="posting to https://hooks.example.invalid/s3cr3t failed",
            is_halting=False,
            now=CLOSE,
        )

    spoken = speak("verify")
    assert spoken.code == 1
    assert "VIOLATED" in spoken.out
    assert "INV15 incident 1: holds a planted secret" in spoken.out
    assert "s3cr3t" not in spoken.out


A_STRAY_ORDER = """
insert into orders
select seq + 1, 'pb-stray', 'ta-stray', request, session, symbol, side, quantity, filled_quantity, status,
  reason, submitted_at
from orders
"""
THE_SAME_AGAIN = """
insert into orders
select seq + 1, 'pb-again', client_order_id, request, session, symbol, side, quantity, filled_quantity,
  status, reason, submitted_at
from orders
"""
ANOTHER_END = """
update events
set hash = hash || 'x'
where seq = (select max(seq) from events)
"""

DAMAGES = {
    "a zombie at the broker": (
        {"INV4"},
        "paper/SIM-FIVE.db",
        ["update orders set status = 'partial_fill'"],
    ),
    "an order nobody prepared": (
        {"INV2"},
        "paper/SIM-FIVE.db",
        [A_STRAY_ORDER],
    ),
    "a second order under one id": (
        {"INV1"},
        "paper/SIM-FIVE.db",
        [THE_SAME_AGAIN],
    ),
    "a fill at another price": (
        {"INV5", "INV19"},
        "paper/SIM-FIVE.db",
        ["update fills set price_micros = price_micros + 1"],
    ),
    "a row changed by hand": ({"INV7"}, "journal.db", ["update intents set version = 99"]),
    "a closed session opened by hand": (
        {"INV3", "INV7"},
        "journal.db",
        [
            "update intents set state = 'executing', stage = 'working'",
        ],
    ),
    "an event changed by hand": (
        {"INV8", "INV9"},
        "journal.db",
        ["update events set actor = 'mallory' where seq = 3"],
    ),
    "a reservation left behind": (
        {"INV7", "INV10"},
        "journal.db",
        ["update reservations set micros_left = 1"],
    ),
    "a lease of a send put later": (
        {"INV7"},
        "journal.db",
        ["update orders set send_by = '2099-01-01T00:00:00.000000Z'"],
    ),
    "a reconciliation taken back": ({"INV7"}, "journal.db", ["update executors set reconciled_at = null"]),
    "decisions of another digest": (
        {"INV7", "INV14"},
        "journal.db",
        ["update book_sessions set decisions_sha = 'other'"],
    ),
}


@pytest.mark.parametrize(("broken", "store", "statements"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_with_what_to_do(speak, profile, broken, store, statements):
    change(profile / store, *statements)
    spoken = speak("verify", "--json")
    text = speak("verify").out

    assert spoken.code == 1
    assert violated(spoken) == broken
    named = spoken.json["violations"]
    assert {row["invariant"] for row in named} == broken
    assert all(row["subject"] and row["detail"] and row["remedy"] for row in named)
    assert all(f"{row['invariant']} {row['subject']}: {row['detail']}" in text for row in named)


def test_a_log_that_was_changed_is_found_by_its_signature_too(speak, profile):
    log = profile / "audit.jsonl"
    log.write_text(log.read_text().replace("us_five", "us_fife", 1))

    assert violated(speak("verify", "--json")) == {"INV8", "INV9"}


def gone(path: Path) -> str:
    for each in path.parent.glob("journal.db*"):
        each.unlink()
    return "is missing or empty, but its audit log tells"


def of_random_bytes(path: Path) -> str:
    gone(path)
    path.write_bytes(bytes(range(256)) * 64)
    return "file is not a database"


def of_no_text(path: Path) -> str:
    content = path.read_bytes()
    gone(path)
    path.write_bytes(content.replace(b"orders", b"order\xff").replace(b"CREATE", b"CREAT\xff"))
    return "malformed"


@pytest.mark.parametrize(
    ("lose", "says", "short"),
    [
        (gone, "the journal is gone", "journal is gone"),
        (of_random_bytes, "the journal's file cannot be read", "journal's file unreadable"),
        (of_no_text, "the journal's file cannot be read", "journal's file unreadable"),
    ],
    ids=["gone", "of random bytes", "of no text"],
)
def test_the_other_stores_of_a_journal_that_is_lost_tell_what_is_lost(speak, profile, lose, says, short):
    path = profile / "journal.db"
    why = lose(path)
    before = path.read_bytes() if path.exists() else None
    text, spoken = speak("verify"), speak("verify", "--json")

    view = json.loads(spoken.out)
    assert (spoken.code, violated(spoken)) == (1, {"INV2", "INV9", "INV14"})
    assert short in view["verdict"].partition("INV")[0]
    (unread,) = view["unreadable"]
    assert f"journal {path}: {why}" in unread
    # What is judged by the journal's rows is not judged without them.
    unjudged = {
        row["invariant"]: row["why"] for row in view["invariants"] if row["standing"] == "not checked"
    }
    assert set(unjudged) == {row.name for row in INVARIANTS} - {"INV2", "INV9", "INV14", "INV20"}
    assert {why for name, why in unjudged.items() if name != "INV15"} == {says}
    assert f"no order can be followed back to its decision: {says}" in text.out
    remedies = {row["remedy"] for row in view["violations"]}
    assert remedies == {"keep what is left, and put the whole copy back: docs/how-to/copy_and_restore.md"}
    assert (path.read_bytes() if path.exists() else None) == before


def test_what_is_judged_beside_a_lost_journal_keeps_its_own_remedy(speak, profile):
    gone(profile / "journal.db")
    for table in profile.glob("lake/us_five/decisions/*/*.parquet"):
        table.write_bytes(b"altered")

    remedies = {row["invariant"]: row["remedy"] for row in speak("verify", "--json").json["violations"]}
    assert remedies["INV20"] == verifying.REMEDIES["INV20"]
    assert remedies["INV9"] == verifying.PUT_BACK


def test_settled_sessions_without_an_audit_log_are_told_by_every_verdict(speak, profile):
    """Log, checkpoints and keys went together, so that nothing tells that there were any."""
    for path in profile.glob("audit*"):
        path.unlink()
    shutil.rmtree(profile / "keys")
    status, doctor, verified = speak("status"), speak("doctor"), speak("verify")

    missing = f"the audit log {profile / 'audit.jsonl'} is missing with what was signed of it"
    assert (status.code, doctor.code, verified.code) == (3, 1, 6)
    assert missing in status.out
    assert "FAIL  audit log" in doctor.out
    assert missing in doctor.out
    assert "every line and what was signed" not in doctor.out
    assert verified.out.startswith("CANNOT TELL: audit log is missing; ")
    assert missing in verified.out


def test_of_a_missing_log_that_a_key_has_signed_it_is_said_that_all_is_halted_next(speak, profile):
    for path in profile.glob("audit*"):
        path.unlink()
    status, verified, reconciled = speak("status"), speak("verify"), speak("reconcile")

    halted = "put both back; else all is halted next, since the key that signed is there"
    assert halted in status.out
    assert verified.code == 1
    assert verified.out.startswith("VIOLATED: audit log is missing; INV8; ")
    assert halted in verified.out
    assert reconciled.code == 5


def test_a_new_desk_that_was_halted_first_lacks_no_log(speak, profile):
    shutil.rmtree(profile)
    assert speak("halt", "--reason", "look first").code == 3
    doctor = speak("doctor")

    assert not (profile / "audit.jsonl").exists()
    assert "audit log" not in speak("status").out
    assert doctor.code == 0
    assert "none yet, the next run writes it" in doctor.out


def test_a_folder_in_which_nothing_but_a_halt_was_done_is_no_desk_whoever_looks(speak, profile):
    shutil.rmtree(profile)
    halts = [speak("halt", "--reason", reason) for reason in ("one", "two", "three")]
    doctor, verified = speak("doctor"), speak("verify")

    nothing = f"no audit log or paper ledger below {profile}, no session in journal {profile / 'journal.db'}"
    assert "no journal" in halts[0].out
    assert [halt.code for halt in halts] == [3, 3, 3]
    assert all(f"nothing was ever done here: {nothing}" in halt.out for halt in halts[1:])
    assert "; nothing was done here yet" in doctor.out.splitlines()[0]
    assert verified.code == 6
    assert verified.out.startswith(f"NOTHING TO VERIFY: {nothing}")


def test_a_log_that_cannot_be_read_is_named_and_the_rest_is_compared(speak, profile):
    log = profile / "audit.jsonl"
    log.unlink()
    log.mkdir()
    status, verified = speak("status"), speak("verify")
    judged = standing(speak("verify", "--json"))

    assert "the audit log cannot be read (Is a directory)" in status.out
    assert verified.code == 6
    assert verified.out.startswith("CANNOT TELL: audit log's file unreadable, checkpoints unreadable; ")
    assert f"audit log's file: {log}: Is a directory" in verified.out
    assert {name for name, how in judged.items() if how == "not checked"} >= {"INV8", "INV9", "INV15"}
    assert judged["INV6"] == "held"


def test_a_log_that_lags_says_by_how_much(speak, profile):
    with SqlJournal(f"sqlite:///{profile / 'journal.db'}") as journal:
        events = len(journal.events(after=0, limit=1000))
    assert speak("halt", "--reason", "look first").code == 0

    assert f"{events} lines of {events + 1} events" in speak("verify").out


@pytest.fixture
def asked_here(monkeypatch):
    """Let the brokers be asked in this process, by the same words.

    To begin the process that does takes seconds, and each look asks twice where something is violated. That
    it is one of its own, and what comes of it, is in the tests without this.
    """

    def answer(arguments):
        said = StringIO()
        with redirect_stdout(said):
            assert ask_process.main(list(arguments)) == 0
        return json.loads(said.getvalue())

    monkeypatch.setattr(asking, "answer_apart", answer)


@pytest.mark.usefixtures("asked_here")
def test_a_brokers_key_in_the_log_is_found_without_the_journal(speak, profile, monkeypatch):
    key = "0123456789abcdef0123"
    monkeypatch.setenv("TRADING_BROKER_APP_KEY", key)
    log = profile / "audit.jsonl"
    log.write_text(log.read_text().replace("us_five", key, 1))
    for path in profile.glob("journal.db*"):
        path.unlink()

    spoken = speak("verify", "--json")

    assert "INV15" in violated(spoken)
    assert any(row["detail"] == "holds a key of a broker" for row in spoken.json["violations"])
    assert [each.partition(":")[0] for each in spoken.json["unreadable"]] == ["journal"]
    assert key not in spoken.out + spoken.err
    assert not (profile / "journal.db").exists()


def test_a_journal_that_lost_what_it_had_is_found_by_every_look(speak, profile):
    for path in profile.glob("journal.db*"):
        path.unlink()
    with SqlJournal(f"sqlite:///{profile / 'journal.db'}") as journal:
        opened = opened_book(currency="USD", deposit_micros=DEPOSIT)
        journal.opening_book(**OF, previous=None, opened=opened, now=EARLY)

    verified, status, doctor = speak("verify", "--json"), speak("status"), speak("doctor")

    assert {"INV2", "INV9", "INV14"} <= violated(verified)
    assert status.code == 3
    assert "audit log" in status.out.splitlines()[0]
    assert f"the lake has decisions of us_five {SESSION}, of which the journal knows nothing" in status.out
    assert "trading verify" in status.out
    assert "trading run-once" not in status.out
    assert doctor.code == 1
    assert "FAIL  stores" in doctor.out


def test_a_journal_of_another_desk_is_told_from_an_older_one(speak, profile):
    change(profile / "journal.db", ANOTHER_END)

    assert "is not the journal's" in speak("status").out


def test_a_log_as_it_was_signed_is_fit(speak):
    assert "OK    audit log" in speak("doctor").out


@pytest.mark.parametrize("how", ["missing", "emptied", "edited", "unsigned", "without its key"])
def test_a_log_that_the_next_start_halts_on_is_found_by_the_doctor(speak, profile, how):
    log = profile / "audit.jsonl"
    match how:
        case "missing":
            log.unlink()
        case "emptied":
            log.write_bytes(b"")
        case "edited":
            log.write_bytes(log.read_bytes()[:-20] + b"0" * 18 + b"}\n")
        case "unsigned":
            (profile / "audit.checkpoints.jsonl").unlink()
        case _:
            shutil.rmtree(profile / "keys")

    doctor = speak("doctor")

    assert doctor.code == 1
    assert "FAIL  audit log" in doctor.out
    assert ("the audit log is missing or empty" in speak("status").out) == (how in {"missing", "emptied"})


def test_a_log_that_lags_or_is_torn_is_no_disagreement(speak, profile):
    log = profile / "audit.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])

    assert "audit log" not in speak("status").out
    assert "OK    stores" in speak("doctor").out


def test_a_lake_that_is_gone_accuses_no_broker_and_is_no_fit_installation(speak, profile):
    shutil.rmtree(profile / "lake")

    verified, doctor = speak("verify", "--json"), speak("doctor")

    assert (verified.code, violated(verified)) == (6, set())
    assert standing(verified)["INV19"] == "not checked"
    assert "us_five/corporate_actions: is missing" in verified.json["unreadable"][0]
    assert doctor.code == 1
    assert f"no table of us_five {SESSION}, which is settled" in doctor.out


def lose_the_ledger(profile: Path) -> str:
    """Delete the ledger, and return what is said of it by whoever misses it."""
    for path in profile.glob("paper/SIM-FIVE.db*"):
        path.unlink()
    ledger = profile / "paper" / "SIM-FIVE.db"
    return (
        f"paper broker {ledger}: is missing or empty, but took orders, the last on {SESSION}: "
        "restore its last copy, do not trade"
    )


def test_a_ledger_that_is_gone_is_named_and_accuses_no_order(speak, profile):
    told = lose_the_ledger(profile)
    spoken = speak("verify", "--json")

    assert (spoken.code, violated(spoken)) == (6, set())
    assert spoken.json["verdict"].startswith("CANNOT TELL: brokers unreadable")
    assert spoken.json["unreadable"] == [f"brokers: {told}"]
    assert {name for name, how in standing(spoken).items() if how == "not checked"} == {
        "INV1", "INV2", "INV4", "INV13", "INV15", "INV19",
    }  # fmt: skip


def test_a_ledger_that_is_gone_hides_no_other_accounts_orders(speak, profile):
    shutil.copy(profile / "paper" / "SIM-FIVE.db", profile / "paper" / "SIM-WIDE.db")
    change(profile / "paper" / "SIM-WIDE.db", A_STRAY_ORDER)
    told = lose_the_ledger(profile)
    spoken = speak("verify", "--json")

    assert (spoken.code, violated(spoken)) == (1, {"INV2"})
    assert spoken.json["unreadable"] == [f"brokers: {told}"]


def test_a_ledger_that_is_gone_is_of_no_account_in_a_book_with_another(speak, profile):
    lose_the_ledger(profile)

    other, own = speak("verify", "--book", "us_wide"), speak("verify", "--book", "us_five")

    assert (other.code, own.code) == (0, 6)
    assert "brokers" not in other.out.splitlines()[0]


def test_whoever_would_open_a_ledger_that_is_gone_refuses_and_makes_none(speak, profile):
    told = lose_the_ledger(profile)
    reconciled = speak("reconcile")
    profiled = Profiled(load_settings())
    with profiled.journal:
        for opened in (profiled.brokers["us_five"], profiled.cancel_only("us_five")):
            with pytest.raises(BrokerUnavailable) as refused:
                opened.orders(since=SESSION, now=CLOSE)
            assert str(refused.value) == told

    assert reconciled.code == 6
    assert told in reconciled.out
    assert not list(profile.glob("paper/SIM-FIVE.db*"))
    assert told in speak("status").out


def test_an_account_without_orders_gets_its_first_ledger(state):
    profiled = Profiled(load_settings())
    with profiled.journal:
        assert profiled.brokers["us_wide"].orders(since=SESSION, now=CLOSE) == []

    assert (state / "simulated" / "paper" / "SIM-WIDE.db").exists()


def test_a_ledger_that_is_gone_is_named_by_every_quick_look(speak, profile):
    told = lose_the_ledger(profile)
    status, doctor = speak("status", "--json"), speak("doctor")

    assert (status.code, doctor.code) == (3, 1)
    assert [line for line in status.json["attention"] if told in line]
    assert status.json["next"][0] == "trading verify"
    assert told in doctor.out
    assert not list(profile.glob("paper/SIM-FIVE.db*"))


def test_an_account_whose_orders_all_went_over_a_network_needs_no_ledger(speak, profile):
    for path in profile.glob("paper/SIM-FIVE.db*"):
        path.unlink()
    change(profile / "journal.db", "update orders set actual_adapter = 'alpaca_paper'")

    assert "paper broker" not in speak("status").out


def books_without(state: Path, monkeypatch, *changes: tuple[str, str]) -> None:
    """Point the settings at a copy of the reviewed files with a text of the books changed."""
    config = state.parent / "config"
    shutil.copytree(ROOT / "config", config)
    books = (config / "books.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in books
        books = books.replace(old, new)
    (config / "books.toml").write_text(books, encoding="utf-8")
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))


def test_the_ledger_of_an_account_that_a_book_had_before_is_asked_after_and_not_that_of_its_new_one(
    speak, state, profile, monkeypatch
):
    books_without(state, monkeypatch, ('account = "SIM-FIVE"', 'account = "SIM-NEW"'))
    whole = speak("status").out
    told_of_all = speak("verify", "--json")
    for path in profile.glob("paper/SIM-FIVE.db*"):
        path.unlink()
    lost = speak("status").out

    assert "paper broker" not in whole
    assert "not at the broker" not in told_of_all.out
    assert f"paper broker {profile / 'paper' / 'SIM-FIVE.db'}: is missing" in lost
    assert "SIM-NEW.db: is missing" not in lost


def test_the_ledger_of_a_book_that_is_taken_out_is_asked_after(speak, state, profile, monkeypatch):
    books_without(state, monkeypatch, ("[us_five]", "[us_other]"), ('"SIM-FIVE"', '"SIM-OTHER"'))
    for path in profile.glob("paper/SIM-FIVE.db*"):
        path.unlink()

    assert f"paper broker {profile / 'paper' / 'SIM-FIVE.db'}: is missing" in speak("status").out


@pytest.mark.parametrize(
    "changed", ["update orders set broker_order_id = ''", "update orders set lane = 'paper'"]
)
def test_orders_that_no_paper_broker_of_this_lane_took_need_no_ledger(speak, profile, changed):
    for path in profile.glob("paper/SIM-FIVE.db*"):
        path.unlink()
    change(profile / "journal.db", changed)

    assert "paper broker" not in speak("status").out


def test_a_ledger_that_cannot_be_opened_is_not_taken_for_one_of_an_older_version(speak, profile):
    ledger = profile / "paper" / "SIM-FIVE.db"
    for path in profile.glob("paper/SIM-FIVE.db*"):
        path.unlink()
    ledger.mkdir()

    line = speak("status").out

    assert f"paper broker {ledger}: cannot be read: " in line
    assert "older version" not in line


def test_a_ledger_that_cannot_be_read_leaves_the_rest_checked(speak, profile):
    (profile / "paper" / "SIM-FIVE.db").write_bytes(b"no ledger" * 999)
    spoken = speak("verify", "--json")

    assert spoken.code == 6
    assert spoken.json["verdict"].startswith("CANNOT TELL: brokers unreadable")
    assert {name for name, how in standing(spoken).items() if how == "not checked"} == {
        "INV1", "INV2", "INV4", "INV13", "INV15", "INV19",
    }  # fmt: skip
    assert "brokers: paper broker" in speak("verify").out


def test_a_journal_that_only_cannot_be_read_now_ends_it(speak, profile):
    change(profile / "journal.db", "update alembic_version set version_num = '0001'")
    spoken = speak("verify")

    assert (spoken.code, spoken.out) == (6, "")
    assert "`trading db upgrade` brings it up to date" in spoken.err


def test_a_journal_that_is_out_of_reach_is_not_called_damaged(speak, profile):
    (profile / "journal.db-wal").unlink(missing_ok=True)
    (profile / "journal.db-wal").mkdir()
    spoken = speak("verify")

    assert (spoken.code, spoken.out) == (6, "")
    assert f"journal {profile / 'journal.db'}: unable to open database file" in spoken.err


def test_a_table_that_decisions_stand_on_is_not_read_once_it_was_altered(speak, profile):
    (file,) = (profile / "lake/us_five/decisions" / str(SESSION)).glob("*.parquet")
    file.write_bytes(b"x")
    spoken = speak("verify", "--json")

    assert spoken.code == 1
    assert standing(spoken)["INV14"] == "not checked"
    assert violated(spoken) == {"INV20"}
    assert str(file) in spoken.json["unreadable"][0]


@pytest.mark.parametrize(
    "table",
    [("market_quotes", "2011-01-03"), ("order_status", "2012-05-04"), ("corporate_actions", "")],
    ids=["market_quotes", "order_status", "corporate_actions"],
)
@pytest.mark.parametrize("how", ["appended", "gone"])
def test_a_byte_changed_in_any_table_of_any_session_is_found(speak, profile, table, how):
    asset, partition = table
    lake = Lake(str(profile / "lake"))
    if asset == "corporate_actions":
        split = CorporateAction(
            effective_on=date(2014, 6, 9), symbol="AAPL", kind=ActionKind.SPLIT, numerator=7
        )
        shutil.rmtree(profile / "lake/us_five" / asset)
        lake.write_rows(("us_five", asset), None, CorporateAction, [split])
    else:
        lake.write(("us_five", asset), partition, pa.table({"symbol": ["AAPL"]}))
    assert violated(speak("verify", "--json")) == set()
    (file,) = (profile / "lake/us_five" / asset / partition).glob("*.parquet")
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b"x")

    spoken = speak("verify", "--json")

    assert (spoken.code, violated(spoken)) == (1, {"INV20"})
    (found,) = spoken.json["violations"]
    assert found["subject"] == f"us_five/{asset} {partition}".rstrip()
    assert str(file) in found["detail"]


def test_doctor_says_how_many_tables_it_read_and_reads_each_kind(speak, profile):
    lake = Lake(str(profile / "lake"))
    lake.write(("us_five", "order_status"), str(SESSION), pa.table({"symbol": ["AAPL"]}))
    whole = speak("doctor")
    (file,) = (profile / "lake/us_five/order_status" / str(SESSION)).glob("*.parquet")
    file.write_bytes(file.read_bytes() + b"x")

    spoken = speak("doctor")

    assert whole.code == 0
    assert "3 of 3 tables read, the 4 newest of each" in whole.out
    assert spoken.code == 1
    assert str(file) in spoken.out


# ------------------------------------------------------------------------------------- what the broker holds


HELD_OTHERWISE = {
    "another deposit": ["update account set deposit_micros = deposit_micros - 5000000"],
    "a checkpoint with shares that nobody bought": [
        "insert or replace into checkpoints values (1, '2000-01-03', 0, 1000000000000, '{\"IBM\": 3}')"
    ],
    "a checkpoint with other cash": [
        "insert or replace into checkpoints values (1, '2000-01-03', 0, 999999000000, '{}')"
    ],
}


@pytest.mark.parametrize("statements", HELD_OTHERWISE.values(), ids=HELD_OTHERWISE)
def test_a_broker_that_holds_something_else_than_the_settled_book_is_found(speak, profile, statements):
    change(profile / "paper/SIM-FIVE.db", *statements)

    spoken = speak("verify", "--json")

    assert (spoken.code, violated(spoken)) == (1, {"INV19"})
    (found,) = spoken.json["violations"]
    assert found["subject"] == f"us_five {SESSION}"
    assert "book" in found["detail"]
    assert "broker" in found["detail"]
    assert "micro" not in found["detail"]


def test_garbage_in_a_ledger_is_named_by_every_look_with_what_to_do(speak, profile):
    for left in profile.glob("paper/SIM-FIVE.db-*"):
        left.unlink()
    (profile / "paper/SIM-FIVE.db").write_bytes(b"garbage")

    status, doctor, verified = speak("status"), speak("doctor"), speak("verify")

    assert (status.code, doctor.code, verified.code) == (3, 1, 6)
    for spoken in (status, doctor, verified):
        assert f"{profile / 'paper/SIM-FIVE.db'}: is damaged" in spoken.out
        assert "restore its last copy" in spoken.out
    assert "trading verify" in status.out


def test_a_broker_on_a_ledger_that_is_none_says_what_to_do(tmp_path):
    (tmp_path / "SIM-FIVE.db").write_bytes(b"garbage")

    with pytest.raises(BrokerUnavailable, match=r"is damaged .*restore its last copy"):
        Ledger(tmp_path / "SIM-FIVE.db")


def test_an_unknown_book_is_refused_and_another_books_violation_left_out(speak, profile):
    change(profile / "journal.db", "update intents set version = 99")

    assert speak("verify", "--book", "nope").code == 2
    assert speak("verify", "--book", "us_five").code == 1
    elsewhere = speak("verify", "--book", "us_wide", "--json")
    assert elsewhere.code == 0
    assert elsewhere.json["links"]["orders"] == 0


def test_of_one_book_its_own_rows_are_counted_and_what_is_nobodys(speak, profile):
    def counted(*words):
        rows = speak("verify", *words, "--json").json["invariants"]
        return {row["invariant"]: row["looked_at"] for row in rows}

    of_all, own, other = counted(), counted("--book", "us_five"), counted("--book", "us_wide")
    apart = {name for name in other if other[name] != of_all[name]}

    assert own == of_all
    assert (other["INV4"], other["INV5"], other["INV16"]) == ("", "0 fills", "0 orders")
    # Of a book that has none of it nothing is said to hold.
    assert {name for name, told in other.items() if not told} > {"INV1", "INV3", "INV14", "INV19", "INV20"}
    # The events and their log are one row, whichever book is asked for.
    assert {"INV6", "INV8", "INV9"}.isdisjoint(apart)


def test_a_table_or_a_closing_book_of_another_book_is_left_out(speak, profile):
    for table in (profile / "lake").rglob("*.parquet"):
        table.write_bytes(table.read_bytes()[:-1] + b"?")
    change(profile / "journal.db", "update book_sessions set closing_sha = 'other'")

    assert speak("verify", "--book", "us_five").code == 1
    assert speak("verify", "--book", "us_wide").code == 0


def test_a_violation_of_a_book_that_is_taken_out_is_still_one(speak, state, profile, monkeypatch):
    books_without(state, monkeypatch, ("[us_five]", "[us_other]"), ('"SIM-FIVE"', '"SIM-OTHER"'))
    change(profile / "journal.db", "update intents set version = 99")

    assert speak("verify").code == 1


UNLINKED = {
    "no verdict is stored of it": "delete from verdicts",
    "its verdicts are not those that it was decided on": "update verdicts set observed = 7",
    "what its decision read was not recorded": "update intents set inputs_sha = ''",
    "the lake's decisions of its session were made from other inputs": "update intents set inputs_sha = 'x'",
}


@pytest.mark.parametrize(("why", "statement"), UNLINKED.items(), ids=UNLINKED)
def test_an_order_that_does_not_lead_back_is_named_with_where_the_way_ends(speak, profile, why, statement):
    change(profile / "journal.db", statement)
    links = speak("verify", "--json").json["links"]

    assert (links["orders"], links["linked"]) == (1, 0)
    assert [row["why"] for row in links["unlinked"]] == [why]
    assert f": {why}" in speak("verify").out


def test_an_order_without_its_decisions_in_the_lake_does_not_lead_back(speak, profile):
    shutil.rmtree(profile / "lake")

    assert speak("verify", "--json").json["links"]["unlinked"][0]["why"] == (
        "the lake has no decisions of its session"
    )


def test_long_work_says_how_far_it_is(speak, monkeypatch):
    monkeypatch.setattr(verifying, "MANY_EVENTS", 1)
    monkeypatch.setattr(verifying, "LONG_LOG_BYTES", 1)
    spoken = speak("verify", "--json")

    assert spoken.err.splitlines()[0] == "reading the brokers, the log and the journal"
    assert [line.split()[0] for line in spoken.err.splitlines()[1:]] == [row.name for row in INVARIANTS]
    assert spoken.json["exit_code"] == 0


def test_what_moved_between_two_looks_is_no_violation(speak, monkeypatch):
    looked = []
    look = verifying._look

    def moving(*words):
        found = look(*words)
        looked.append(found)
        return found if len(looked) > 1 else replaced(found)

    def replaced(found):
        return replace(found, evidence=replace(found.evidence, reservations=()))

    monkeypatch.setattr(verifying, "_look", moving)

    assert speak("verify").code == 0
    assert len(looked) == 2


FOUND_SLOW = """
import sys
sys.path.insert(0, {root!r})
from console.cli import main
main(["verify"])
slow = {{"dagster", "pandas", "sqlalchemy", "pyarrow", "pydantic", "numpy", "duckdb", "rich"}}
print(*sorted(set(sys.modules) & slow), file=sys.stderr)
"""


def test_verifying_imports_duckdb_and_nothing_slower(speak):
    speak("status")  # remembers the settings, which are validated slowly once
    program = FOUND_SLOW.format(root=str(ROOT))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert run.stdout.startswith("ALL AGREE")
    assert run.stderr.split() == ["duckdb"]


def test_every_invariant_has_its_remedy():
    assert list(verifying.REMEDIES) == [row.name for row in INVARIANTS]
