"""An operator's verbs that ask a broker: reconcile, cancel, replace, on what the graph has left.

In process, on a real journal, lake and paper ledger. What needs no broker is in tests/console.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest

from console.actions import confirmation_of
from console.cli import main
from resources.evidence import gather
from resources.journal.store import SqlJournal
from resources.per_book import PerBook
from resources.profiles import Profiled
from tests.graph.desk import CALENDAR, CONFIG, FIRST, Desk, copied, failure_of
from tests.graph.test_reconciling import deaf, stray
from trading.invariants import violations
from trading.journal import RunControlAction
from trading.lifecycle import IntentState
from trading.orders import OrderStatus

LONG_AGO = datetime(2013, 1, 2, tzinfo=UTC)


class Spoken(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def speak(monkeypatch, tmp_path, capsys):
    """Give the command line on the state of this test's desk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "desk"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(CONFIG))
    monkeypatch.setenv("TRADING_OPERATOR", "anna")

    def speak_words(*words):
        code = main(words)
        captured = capsys.readouterr()
        return Spoken(code, captured.out, captured.err)

    return speak_words


@pytest.fixture(scope="module")
def decided(imported, tmp_path_factory):
    """Give the folder of a desk that has decided the first session."""
    desk = Desk(copied(imported.folder, tmp_path_factory.mktemp("decided") / "desk"))
    assert desk.run("decide", FIRST).success
    desk.close()
    return desk.settings.state_dir


def intent_of(desk):
    (row,) = [row for row in desk.journal.intents(**desk.where(FIRST)) if row.quantity]
    return row


def assert_nothing_is_violated(desk, *, is_healed):
    broker = desk.profiled.brokers[desk.book]
    found = violations(
        gather(
            desk.journal,
            audit_path=desk.settings.audit_log,
            dumps=[broker.dump()],
            is_healed=is_healed,
            as_of=CALENDAR.closes_at(FIRST),
        )
    )
    assert [f"{one.invariant} {one.subject}: {one.detail}" for one in found] == []


def test_after_a_session_journal_and_broker_agree(whole_session, desk_on, speak):
    desk = desk_on(whole_session[0].settings.state_dir)
    sent = desk.sent()

    spoken = speak("reconcile", "--book", "us_five", "--json")

    assert spoken.code == 0, spoken.err
    (book,) = spoken.json["books"]
    assert (book["session"], book["findings"], book["not_compared"], book["halted"]) == (
        str(FIRST),
        [],
        "",
        "",
    )
    assert desk.sent() == sent


def test_a_send_that_nobody_heard_is_adopted_and_closed_and_sent_no_second_time(decided, desk_on, speak):
    dead = desk_on(decided, ports=deaf())
    assert dead.run("execute", FIRST).success
    assert speak("stuck").code == 3

    spoken = speak("reconcile", "--book", "us_five")

    assert spoken.code == 0, spoken.out
    assert "us_five 2013-02-20: journal and broker agree" in spoken.out
    row = intent_of(dead)
    assert f"adopted     IBM {row.intent_id}" in spoken.out
    assert row.state is IntentState.EXECUTED
    assert len(dead.sent()) == 1
    assert speak("stuck").code == 0
    assert_nothing_is_violated(dead, is_healed=False)


def test_a_session_with_a_send_that_nobody_heard_is_carried_with_what_the_broker_then_tells(
    decided, desk_on, speak
):
    dead = desk_on(decided, ports=deaf())
    assert dead.run("execute", FIRST).success
    assert intent_of(dead).state is IntentState.UNKNOWN

    spoken = speak("settle", str(FIRST), "--book", "us_five", "--carry", "--reason", "no more of it", "--yes")

    assert spoken.code == 0, spoken.err
    assert "settled with 1 fill and nothing more by anna" in spoken.out
    assert intent_of(dead).state is IntentState.EXECUTED
    assert len(dead.sent()) == 1


def test_asking_again_after_the_close_of_a_simulated_day_is_no_look_before_it(decided, desk_on, speak):
    dead = desk_on(decided, ports=deaf())
    assert dead.run("execute", FIRST).success
    looked_at = CALENDAR.closes_at(FIRST) + timedelta(minutes=30)
    dead.journal.begin_term(account="SIM-FIVE", lane="simulated", holder="settling", now=looked_at)

    assert speak("reconcile", "--book", "us_five").code == 0

    term = dead.journal.executor_term(account="SIM-FIVE", lane="simulated")
    assert (term.began_at, term.reconciled_at) == (looked_at, looked_at)


def test_an_order_nobody_here_knows_is_told_with_what_to_do_and_ends_with_3(decided, desk_on, speak):
    desk = desk_on(decided)
    assert desk.run("execute", FIRST).success
    stray(desk)

    spoken = speak("reconcile", "--book", "us_five")
    status = speak("status", "--book", "us_five")

    assert spoken.code == 3
    assert "journal and broker do NOT agree" in spoken.out
    assert "! orphan: " in spoken.out
    assert "→ find at the broker who sent it" in spoken.out
    assert "halted: SIM-FIVE" in spoken.out
    assert "account SIM-FIVE is halted" in status.out
    assert "alert [critical] us_five 2013-02-20: broker_disagrees" in spoken.err


@pytest.mark.parametrize("line", [1, -1], ids=["before what was signed last", "at its end"])
def test_a_log_that_somebody_changed_halts_and_says_what_to_do(whole_session, desk_on, speak, line):
    desk = desk_on(whole_session[0].settings.state_dir)
    log = desk.settings.audit_log
    lines = log.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line][:-20] + b"0" * 17 + b'"}\n'
    log.write_bytes(b"".join(lines))

    spoken = speak("reconcile", "--book", "us_five")

    assert spoken.code == 5, spoken.err
    assert "NOT RECONCILED: audit_chain_broken" in spoken.out
    assert "put the true log back" in speak("incidents").out
    assert desk.journal.run_control().kill_switch_on


def the_word_of(speak):
    return speak("resume", "--reason", "over", "--json").json["confirm"]


def test_a_halt_by_the_log_is_not_resumed_before_the_log_holds_and_moving_it_away_mends_it(
    whole_session, desk_on, speak
):
    desk = desk_on(whole_session[0].settings.state_dir)
    log = desk.settings.audit_log
    whole = log.read_bytes()
    lines = whole.splitlines(keepends=True)
    # Before what was signed last, where whoever executes does not look.
    lines[1] = lines[1][:-20] + b"0" * 17 + b'"}\n'
    log.write_bytes(b"".join(lines))
    assert speak("reconcile", "--book", "us_five").code == 5
    of_the_chain = confirmation_of(desk.journal.run_control())
    desk.journal.set_run_control(
        RunControlAction.HALT, actor="bert", reason="I look", now=CALENDAR.closes_at(FIRST)
    )
    control = desk.journal.run_control()

    first = speak("resume", "--reason", "over")
    for word in (of_the_chain, confirmation_of(control)):
        named = speak("resume", "--reason", "over", "--confirm", word, "--yes")
        assert (named.code, named.out) == (4, "")
        assert "the audit log is broken still, log line 2, event 2: " in named.err
        assert (
            "or where INV7 holds move audit.jsonl away and `trading reconcile` writes it again" in named.err
        )

    assert (first.code, first.out) == (4, "")
    assert desk.journal.run_control() == control
    log.rename(log.with_suffix(".damaged"))
    assert speak("reconcile", "--book", "us_five").code == 5
    assert log.read_bytes().startswith(whole)
    resumed = speak("resume", "--reason", "over", "--confirm", the_word_of(speak), "--yes")
    assert (resumed.code, resumed.err) == (0, "")
    assert not desk.journal.run_control().kill_switch_on


def test_where_what_was_signed_is_lost_the_refusal_names_what_begins_it_anew(whole_session, desk_on, speak):
    desk = desk_on(whole_session[0].settings.state_dir)
    log = desk.settings.audit_log
    log.with_suffix(".checkpoints.jsonl").unlink()
    assert speak("reconcile", "--book", "us_five").code == 5

    refused = speak("resume", "--reason", "over")
    log.unlink()
    shutil.rmtree(log.parent / "keys")
    again = speak("reconcile", "--book", "us_five")
    resumed = speak("resume", "--reason", "over", "--confirm", the_word_of(speak), "--yes")

    assert refused.code == 4
    assert (
        "without a copy move them away with audit.jsonl, and `trading reconcile` begins them" in refused.err
    )
    assert (again.code, resumed.code) == (5, 0), again.err
    assert log.exists()


def test_while_another_process_executes_nothing_is_reconciled(decided, desk_on, speak):
    desk = desk_on(decided)

    with desk.profiled.executor_locks[desk.book]:
        spoken = speak("reconcile", "--book", "us_five")

    assert spoken.code == 4
    assert "executes for it; let it finish" in spoken.err


def test_a_reconciliation_under_the_kill_switch_is_done_and_says_that_trading_is_halted(
    decided, desk_on, speak
):
    dead = desk_on(decided, ports=deaf())
    assert dead.run("execute", FIRST).success
    dead.journal.set_run_control(
        RunControlAction.HALT, actor="bert", reason="drill", now=CALENDAR.opens_at(FIRST)
    )

    assert speak("reconcile", "--book", "us_five").code == 5
    assert intent_of(dead).state is IntentState.EXECUTED


def test_a_broker_that_is_out_of_reach_is_a_dependency_that_is_down(decided, desk_on, speak):
    dead = desk_on(decided, ports=deaf())
    assert dead.run("execute", FIRST).success
    for path in (dead.settings.profile_dir / "paper").glob("SIM-FIVE.db*"):
        path.write_bytes(b"this is no ledger, however long one reads in it" * 200)

    spoken = speak("reconcile", "--book", "us_five")

    assert spoken.code == 6
    assert "SIM-FIVE" in spoken.out + spoken.err
    assert intent_of(dead).state is IntentState.UNKNOWN


# ------------------------------------------------------------------------------------- cancel, replace


class BeforeTheOpen:
    """Stand in front of a broker at which it is always half an hour before the open: orders rest."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        found = getattr(self._real, name)
        if not callable(found):
            return found

        def early(*arguments, **options):
            if "now" in options:
                options["now"] = CALENDAR.opens_at(FIRST) - timedelta(minutes=30)
            return found(*arguments, **options)

        return early


@pytest.fixture
def resting(decided, desk_on, monkeypatch):
    """Give a desk whose one order rests: its broker, and that of `trading`, is not open yet."""
    real = Profiled.brokers.func
    early = property(
        lambda profiled: profiled.__dict__.setdefault(
            "early", PerBook(profiled.lines, lambda book: BeforeTheOpen(real(profiled)[book]))
        )
    )
    monkeypatch.setattr(Profiled, "brokers", early)
    desk = desk_on(decided)
    executed = desk.run("execute", FIRST)
    assert executed.success, failure_of(executed)
    assert desk.journal.order_of(intent_of(desk).intent_id).status == OrderStatus.WORKING
    return desk


def test_a_resting_order_is_cancelled_at_the_broker_at_once(resting, speak):
    spoken = speak("orders", "cancel", "IBM@2013-02-20", "--reason", "wrong size", "--yes", "--json")

    assert spoken.code == 0, spoken.err
    assert (spoken.json["kind"], spoken.json["state"], spoken.json["then"]) == (
        "cancel",
        "cancelled",
        "asked the broker",
    )
    row = intent_of(resting)
    assert row.state is IntentState.CANCELLED
    assert resting.journal.order_of(row.intent_id).cancel_kind == "cancel"
    assert_nothing_is_violated(resting, is_healed=True)


def test_a_cancel_that_cannot_be_asked_of_the_broker_yet_stands_and_says_so(resting, speak):
    with resting.profiled.executor_locks[resting.book]:
        spoken = speak("orders", "cancel", "IBM@2013-02-20", "--reason", "wrong size", "--yes")

    assert spoken.code == 4
    assert "not asked yet" in spoken.out
    assert "`trading reconcile --book us_five` asks the broker" in spoken.out
    assert resting.journal.order_of(intent_of(resting).intent_id).cancel_asked_at is not None
    assert speak("reconcile", "--book", "us_five").code == 0
    assert intent_of(resting).state is IntentState.CANCELLED


def test_an_order_that_another_journal_left_at_the_broker_is_found_cancelled_and_halts(
    resting, speak, tmp_path
):
    resting.close()
    profile = tmp_path / "desk" / "simulated"
    for path in [*profile.glob("journal.db*"), *profile.glob("audit*"), profile / "keys"]:
        path.rename(tmp_path / path.name)
    with SqlJournal(f"sqlite:///{profile / 'journal.db'}") as another:
        another.set_run_control(RunControlAction.RESUME, actor="ann", reason="begun anew", now=LONG_AGO)

    spoken = speak("reconcile", "--book", "us_five", "--json")

    (book,) = spoken.json["books"]
    assert spoken.code == 3
    assert [row["kind"] for row in book["findings"]] == ["zombie"]
    assert book["not_compared"] == "the book was not opened for 2013-03-01"
    assert [halt["account"] for halt in book["halts"]] == ["SIM-FIVE"]
    with closing(sqlite3.connect(profile / "paper" / "SIM-FIVE.db")) as ledger:
        assert ledger.execute("select status from orders").fetchall() == [("cancelled",)]


def test_a_resting_order_is_replaced_by_its_next_generation_and_by_one_order_more(resting, speak):
    before = intent_of(resting)

    spoken = speak("orders", "replace", "IBM@2013-02-20", "--reason", "stale there", "--yes", "--json")

    assert spoken.code == 0, spoken.out + spoken.err
    assert (spoken.json["generation"], before.generation) == (1, 0)
    ids = [client_order_id for client_order_id, _, _ in resting.sent()]
    assert len(ids) == len(set(ids)) == 2
    with closing(sqlite3.connect(resting.settings.profile_dir / "paper" / "SIM-FIVE.db")) as ledger:
        assert [row[0] for row in ledger.execute("select status from orders order by seq")] == [
            "cancelled",
            "working",
        ]
    assert_nothing_is_violated(resting, is_healed=False)


def test_a_replaced_order_that_is_filled_is_told_whole_in_the_tables(resting, speak, monkeypatch):
    assert speak("orders", "replace", "IBM@2013-02-20", "--reason", "stale there", "--yes").code == 0
    monkeypatch.undo()
    quantity = intent_of(resting).quantity
    resting.profiled.__dict__.pop("early")

    settled = resting.run("settle", FIRST)

    assert failure_of(settled) == ("", "")
    (row,) = [row for row in resting.rows("order_status", FIRST) if row.quantity]
    assert (row.quantity, row.filled_quantity, row.progress_bps) == (quantity, quantity, 10_000)
