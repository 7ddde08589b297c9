"""What verbs say of what they did, or of what is over already, is what became of it.

In process on a real journal; what is asked of a broker is in tests/graph/test_operator_at_the_desk.py.
"""

from __future__ import annotations

import sqlite3
import sys
import types
from contextlib import closing
from datetime import date

import pytest

from console.actions import Answer, answer_intent, shown
from console.exit_codes import ExitCode
from console.reconciling import Brought
from console.render import in_one_line, is_shown
from console.verbs import ordering, texts
from tests.console.states import (
    CLOSE,
    NOW,
    OF,
    OPEN,
    OPENED,
    SESSION,
    a_blocked_intent,
    a_filled_intent,
    a_parked_intent,
    a_pending_intent,
    a_prepared_intent,
    an_approved_intent,
    concluded_absent,
    decided,
    filled,
    parked_after_approval,
    prepared,
)
from tests.console.test_command_line import empty_journal, journal, launched, speak, state
from trading.errors import ApprovalRefused, StaleVersion
from trading.guards import NO_LIMIT
from trading.journal import CancelKind, RunControlAction
from trading.lifecycle import IntentState
from trading.orders import BrokerOrder, Fill, OrderStatus
from trading.testing import example_decision, example_intent
from trading.verdicts import Verdict

__all__ = ["empty_journal", "journal", "launched", "speak", "state"]

RUN = "trading run-once --book us_five --session 2013-02-28"


# ------------------------------------------------------------------------------------- cancelled, or not


def working(journal):
    """Give an intent whose order rests at the broker."""
    intent = example_intent("AAPL", quantity=10)
    (row,) = decided(journal, example_decision(intent, not_after=CLOSE))
    row, order = prepared(journal, row)
    at_broker = at_the_broker(row, order, OrderStatus.WORKING, filled_quantity=0)
    return journal.acknowledge(row.intent_id, epoch=row.epoch, order=at_broker, now=OPEN), order


def asked_of_a_broker_that(then, monkeypatch):
    """Let the broker be asked by what happens then."""

    def reconciled(*_):
        then()
        return "asked the broker", ordering.ExitCode.DONE

    monkeypatch.setattr(ordering, "_reconciled_after", reconciled)


def at_the_broker(row, order, status, *, filled_quantity):
    return BrokerOrder(
        broker_order_id="b-77",
        client_order_id=order.client_order_id,
        symbol=row.intent.symbol,
        side=row.intent.side,
        quantity=10,
        filled_quantity=filled_quantity,
        status=status,
    )


def fill_whole(journal, row, order):
    fill = Fill(
        execution_id="exe-1",
        client_order_id=order.client_order_id,
        intent_id=row.intent_id,
        symbol=row.intent.symbol,
        side=row.intent.side,
        quantity=10,
        price_micros=101_000_000,
        commission_micros=0,
        session=SESSION,
        filled_at=OPEN,
    )
    journal.record_fill(fill, now=OPEN)
    done = at_the_broker(row, order, OrderStatus.FILLED, filled_quantity=10)
    journal.close_working(row.intent_id, epoch=row.epoch, order=done, now=OPEN)


def test_a_cancel_that_came_after_the_fill_is_told_as_too_late(speak, journal, monkeypatch):
    row, order = working(journal)
    asked_of_a_broker_that(lambda: fill_whole(journal, row, order), monkeypatch)

    spoken = speak("orders", "cancel", row.intent_id, "--reason", "wrong size", "--yes")

    assert spoken.code == 1
    assert "NOT cancelled, too late: the order is executed, 10 of 10 filled" in spoken.out


def test_a_cancel_that_the_broker_took_is_told_as_cancelled(speak, journal, monkeypatch):
    row, order = working(journal)

    def end():
        cancelled = at_the_broker(row, order, OrderStatus.CANCELLED, filled_quantity=0)
        journal.close_working(row.intent_id, epoch=row.epoch, order=cancelled, now=OPEN)

    asked_of_a_broker_that(end, monkeypatch)

    spoken = speak("orders", "cancel", row.intent_id, "--reason", "wrong size", "--yes")

    assert (spoken.code, "cancelled, 0 of 10 filled" in spoken.out) == (0, True)


def test_a_cancel_that_the_broker_did_not_take_yet_asks_for_attention(speak, journal, monkeypatch):
    row, _ = working(journal)
    asked_of_a_broker_that(lambda: None, monkeypatch)

    spoken = speak("orders", "cancel", row.intent_id, "--reason", "wrong size", "--yes")

    assert (spoken.code, "asked for, NOT cancelled yet" in spoken.out) == (3, True)
    assert journal.order_of(row.intent_id).cancel_kind is CancelKind.CANCEL


# ------------------------------------------------------------------------------------- refused before asked


@pytest.fixture
def unasked(monkeypatch):
    """Fail where a question is asked."""

    def asked(question, **_):
        raise AssertionError(f"asked {question!r}, though a yes would be refused")

    monkeypatch.setattr("typer.confirm", asked)


@pytest.mark.usefixtures("unasked")
def test_a_word_of_another_halt_is_refused_before_anybody_is_asked(speak, journal):
    speak("halt", "--reason", "prices look wrong")

    spoken = speak("resume", "--reason", "fine", "--confirm", "resume-00000000")

    assert (spoken.code, spoken.out) == (4, "")
    assert "is not the halt in force" in spoken.err
    assert journal.run_control().kill_switch_on


@pytest.mark.usefixtures("unasked", "launched")
def test_a_retry_while_halted_is_refused_before_anybody_is_asked(speak, journal):
    an_approved_intent(journal)
    speak("halt", "--reason", "prices look wrong")
    before = journal.events(after=0, limit=1_000)

    spoken = speak("retry", "--book", "us_five", "--reason", "again")

    assert (spoken.code, spoken.out) == (4, "")
    assert journal.events(after=0, limit=1_000) == before


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize("verb", ["cancel", "replace"])
def test_nothing_left_to_cancel_is_refused_before_anybody_is_asked(speak, journal, verb):
    row, order = working(journal)
    fill_whole(journal, row, order)

    spoken = speak("orders", verb, row.intent_id, "--reason", "wrong size")

    assert (spoken.code, spoken.out) == (4, "")
    assert "nothing is left to cancel" in spoken.err


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(
    "words",
    [
        ("retry", "--book", "us_five", "--reason", "again"),
        ("orders", "cancel", "AAPL@2013-02-28", "--reason", "wrong size"),
        ("resume", "--reason", "fine"),
    ],
    ids=lambda words: words[0],
)
def test_what_is_asked_back_and_answered_by_no_leaves_nothing(speak, journal, monkeypatch, words):
    """Also of the look at whether a yes would be refused."""
    an_approved_intent(journal)
    if words[0] == "resume":
        speak("pause", "--reason", "odd")
    before = journal.events(after=0, limit=1_000)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    spoken = speak(*words)

    assert (spoken.code, spoken.out) == (1, "")
    assert journal.events(after=0, limit=1_000) == before


def test_what_cannot_be_expired_is_told_by_its_state_and_what_can_be(speak, journal):
    a_filled_intent(journal)
    (row,) = journal.intents(**OF)

    spoken = speak("approvals", "expire", row.intent_id)

    assert (spoken.code, spoken.out) == (4, "")
    assert f"{row.intent_id} AAPL: is executed since 20" in spoken.err
    assert "only what is pending_approval or approved can be expired; nothing was changed" in spoken.err


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize(("count", "told"), [(1, "1 session"), (2, "2 sessions"), (1_200, "1,200 sessions")])
def test_one_session_is_told_as_one(speak, monkeypatch, count, told):
    launcher = types.SimpleNamespace(import_quotes=lambda *_, **__: count)
    monkeypatch.setattr("console.verbs.running._launcher", lambda: launcher)

    spoken = speak("quotes", "import", "--book", "us_five")

    assert spoken.out.splitlines()[0] == f"us_five: {told} in the lake"


# ------------------------------------------------------------------------------------- held, or only filled


def test_a_book_that_traded_and_is_not_settled_is_not_told_as_untouched(speak, journal):
    a_filled_intent(journal)

    spoken = speak("positions", "--book", "us_five")
    (book,) = speak("positions", "--book", "us_five", "--json").json["books"]

    assert "untouched" not in spoken.out
    assert "2013-02-28 is NOT SETTLED" in spoken.out
    assert "holdings follow at settlement" in spoken.out
    assert ["BUY", "10", "AAPL", "101.00"] in [line.split() for line in spoken.out.splitlines()]
    assert "run-once --book us_five --session 2013-02-28 --phase settle" in spoken.out
    assert book["unsettled"] == "2013-02-28"
    assert book["filled"] == [{"side": "BUY", "symbol": "AAPL", "quantity": 10, "average_price": "101"}]


def test_a_session_that_filled_nothing_yet_is_told_as_open_and_a_settled_one_as_held(speak, journal):
    a_blocked_intent(journal)
    open_ = speak("positions", "--book", "us_five").out
    journal.settle(**OF, closing=OPENED, carried_by="ben: odd", now=CLOSE)
    settled = speak("positions", "--book", "us_five").out

    assert "2013-02-28 is NOT SETTLED" in open_
    assert "nothing was filled in it so far" in open_
    assert settled.startswith("us_five: after 2013-02-28\n")
    assert "NOT SETTLED" not in settled


# ------------------------------------------------------------------------------------- degraded


def test_a_degraded_desk_is_never_all_well(speak, journal):
    speak("degrade", "--reason", "the model is down")
    alone = speak("status")
    a_pending_intent(journal)
    beside, with_json = speak("status"), speak("status", "--json").json

    said = "DEGRADED by anna since 20"
    assert (alone.code, beside.code) == (3, 3)
    assert alone.out.startswith(f"ATTENTION: {said}")
    assert alone.out.splitlines()[0].count("DEGRADED") == 1
    assert said in beside.out.splitlines()[0]
    assert ": the model is down" in beside.out.splitlines()[0]
    assert "trading degrade --off --reason TEXT" in beside.out
    assert with_json["control"]["degraded_at"].endswith("Z")


def test_a_second_degrade_says_whose_word_it_takes_the_place_of(speak, journal):
    first = speak("degrade", "--reason", "the model is down")
    second = speak("degrade", "--reason", "thin market", "--as", "ben")

    assert first.out.startswith("DEGRADED by anna: the model is down")
    assert second.out.startswith("DEGRADED by ben: thin market")
    assert "it was already, by anna since 20" in second.out
    assert "nothing was stopped" not in first.out + second.out


@pytest.mark.parametrize("stop", [None, "pause"])
def test_what_is_not_degraded_is_not_restored_and_says_so(speak, journal, stop):
    if stop:
        speak(stop, "--reason", "odd")
    never = speak("degrade", "--off", "--reason", "it is back")
    speak("degrade", "--reason", "the model is down")
    ended = speak("degrade", "--off", "--reason", "it is back")
    twice = speak("degrade", "--off", "--reason", "it is back")

    assert (never.code, ended.code, twice.code) == (4, 0, 4)
    assert "trading is not degraded: nothing was changed" in never.err
    assert ended.out.startswith("no longer degraded, by anna: it is back")
    assert "trading is not degraded, anna ended it at 20" in twice.err
    assert "(by : )" not in never.err + twice.err


# ------------------------------------------------------------------------------------- one line is one line

FORGING = ["fine\n  9  forged  ann", "fine\tben", "fine\r9", "a\x1b[2Jb", "a\u202eb", "a\u2066b", "a\u2028b"]


@pytest.mark.parametrize("reason", FORGING)
@pytest.mark.parametrize(
    "words",
    [
        ("approvals", "approve", "AAPL@2013-02-28", "--yes"),
        ("approvals", "reject", "AAPL@2013-02-28", "--yes"),
        ("pause",),
        ("degrade",),
    ],
    ids=" ".join,
)
def test_a_reason_that_is_not_one_plain_line_is_refused_and_nothing_is_kept(
    speak, journal, launched, words, reason
):
    row = a_pending_intent(journal)

    spoken = speak(*words, "--reason", reason)

    assert spoken.code == 2
    assert "write one line, without breaks, tabs and other characters" in spoken.err
    assert spoken.err.count("\n") == 1
    assert journal.intent(row.intent_id).state is IntentState.PENDING_APPROVAL
    assert not journal.run_control().paused
    assert not journal.run_control().is_degraded


@pytest.mark.parametrize("reason", FORGING)
def test_a_halt_is_never_refused_for_how_its_reason_is_written(speak, journal, reason):
    an_approved_intent(journal)
    spoken = speak("halt", "--reason", reason)

    assert spoken.code == 0
    assert journal.run_control().kill_switch_on
    assert journal.run_control().reason == in_one_line(reason)
    assert is_shown(spoken.out.replace("\n", ""))


@pytest.mark.parametrize("reason", FORGING)
def test_what_was_stored_before_forges_no_line_of_any_view(speak, journal, reason):
    row = a_pending_intent(journal)
    seen = {"version": row.version, "payload_hash": row.payload_hash, "nonce": "n"}
    journal.reject(row.intent_id, **seen, actor="ben", reason=reason, now=OPEN)
    journal.set_run_control(RunControlAction.PAUSE, actor="ben", reason=reason, now=OPEN)

    for words in (["trace", row.intent_id], ["status"], ["explain", row.intent_id], ["why"], ["orders"]):
        told = speak(*words)

        assert is_shown(told.out.replace("\n", "")), words
        assert not [line for line in told.out.splitlines() if line.lstrip().startswith("9  forged")], words
        assert is_shown(speak(*words, "--json").out.replace("\n", "")), words
    assert in_one_line(reason) in speak("trace", row.intent_id).out
    assert speak("trace", row.intent_id, "--json").json["events"][-1]["reason"] == reason


# ------------------------------------------------------------------------------------- who was first


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_who_loses_a_race_is_told_who_answered_and_when(journal, second):
    row = a_pending_intent(journal)
    seen, said = shown(row), {"reason": "seen", "now": OPEN}
    answer_intent(journal, row.intent_id, Answer.APPROVE, seen=seen, actor="alice", **said)

    with pytest.raises(StaleVersion, match="answered by alice as approved at 2013-02-28 14:30:00 UTC"):
        answer_intent(journal, row.intent_id, Answer(second), seen=seen, actor="bob", **said)
    with pytest.raises(ApprovalRefused, match="used before"):
        answer_intent(journal, row.intent_id, Answer.APPROVE, seen=seen, actor="alice", **said)

    refused = [event for event in journal.events_of(row.intent_id) if event.kind == "answer_refused"]
    assert [(event.actor, event.reason) for event in refused] == [
        ("bob", "stale_version"),
        ("alice", "nonce_used"),
    ]


# ------------------------------------------------------------------------------------- tried again


def test_a_session_that_was_never_run_is_not_retried_and_says_why(speak, journal, launched):
    spoken = speak("retry", "--book", "us_five", "--session", "2013-02-28", "--reason", "again", "--yes")

    assert (spoken.code, launched) == (4, [])
    assert "this session was never run" in spoken.err


def test_a_settled_session_needs_no_retry(speak, journal, launched):
    a_filled_intent(journal)
    journal.settle(**OF, closing=OPENED, carried_by="", now=CLOSE)

    spoken = speak("retry", "--book", "us_five", "--reason", "again")

    assert (spoken.code, launched) == (0, [])
    assert "nothing is left to try" in spoken.out


@pytest.mark.parametrize(
    ("session", "told"),
    [
        (SESSION, "`trading run-once --book us_five --session 2013-03-01` opens the next one"),
        (date(2013, 3, 1), "the last one, 2013-03-01, is settled, and no later one is up to today"),
    ],
)
def test_a_flatten_without_an_open_session_names_the_next_one_only_where_there_is_one(
    speak, journal, session, told
):
    of = {**OF, "session": session}
    journal.opening_book(**of, previous=None, opened=OPENED, now=NOW)
    journal.register(**of, decisions=[], verdicts=[], decisions_sha="none", now=NOW)
    journal.settle(**of, closing=OPENED, carried_by="", now=CLOSE)
    journal.set_run_control(RunControlAction.HALT, actor="ben", reason="out", now=CLOSE)

    spoken = speak("flatten", "--book", "us_five", "--reason", "out")

    assert spoken.code == 4
    assert told in spoken.err
    assert ("run-once" in spoken.err) == (session == SESSION)


def test_a_retry_asks_back_unless_told_not_to(speak, journal, launched, monkeypatch):
    an_approved_intent(journal)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    assert (speak("retry", "--book", "us_five", "--reason", "again").code, launched) == (1, [])
    assert speak("retry", "--book", "us_five", "--reason", "again", "--yes").code == 0
    assert len(launched) == 1


# ------------------------------------------------------------------------------------- stopped, then told


def test_a_halt_is_told_before_its_cancels_are_done(speak, journal, monkeypatch):
    told = []

    def cancels(*_, **__):
        told.append(journal.run_control().kill_switch_on)
        raise KeyboardInterrupt

    monkeypatch.setattr("console.cancelling.cancel_apart", cancels)

    spoken = speak("halt", "--reason", "odd")

    assert (spoken.code, told) == (130, [True])
    assert spoken.err.startswith("HALTED by anna: odd")


@pytest.mark.usefixtures("launched")
@pytest.mark.parametrize(("refused", "code"), [(True, 4), (False, 1)])
def test_a_run_behind_a_closed_gate_is_refused_and_no_failure(speak, journal, monkeypatch, refused, code):
    journal.set_run_control(RunControlAction.PAUSE, actor="ben", reason="thin", now=NOW)

    def run_sessions(self, book, sessions, phases, progress):
        return [
            types.SimpleNamespace(
                session=SESSION,
                run_id="r",
                success=False,
                stage="gate",
                message="paused",
                refused=refused,
                refused_by="",
            )
        ]

    monkeypatch.setattr(sys.modules["console.launcher"].open_launcher, "run_sessions", run_sessions)

    spoken = speak("run-once", "--book", "us_five", "--session", "2013-02-28", "--phase", "execute")

    assert spoken.code == code
    assert "trading resume --reason TEXT" in spoken.out
    assert "trading report" not in spoken.out


# ------------------------------------------------------------------------------------- settled already


@pytest.mark.parametrize(("carried_by", "how"), [("", "with what was filled"), ("ben: odd", "by ben: odd")])
def test_a_session_that_is_settled_is_not_settled_again_and_says_so(
    speak, journal, launched, carried_by, how
):
    a_filled_intent(journal)
    journal.settle(**OF, closing=OPENED, carried_by=carried_by, now=CLOSE)

    spoken = speak("settle", str(SESSION), "--book", "us_five", "--carry", "--reason", "again", "--yes")

    assert spoken.code == 4
    assert "was settled already at 2013-02-28 21:00:00 UTC" in spoken.err
    assert how in spoken.err
    assert launched == []


# ------------------------------------------------------------------------------------- what a run ends


@pytest.mark.parametrize(
    "words", [("--session", "2013-03-01"), ("--session", "2013-02-28")], ids=["a later session", "its own"]
)
def test_a_run_that_ends_what_waits_names_it_and_asks_first(speak, journal, launched, monkeypatch, words):
    row = a_pending_intent(journal)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)

    spoken = speak("run-once", "--book", "us_five", *words)

    assert (spoken.code, launched) == (1, [])
    assert "BUY 700 AAPL 2013-02-28, us_five (pending_approval): its time ends 2013-02-28 21:00" in spoken.err
    assert row.intent_id in spoken.err
    assert speak("run-once", "--book", "us_five", *words, "--yes").code == 0
    assert len(launched) == 1


@pytest.mark.parametrize("action", [RunControlAction.HALT, RunControlAction.PAUSE])
def test_a_run_that_is_refused_while_trading_is_stopped_asks_about_no_ending(
    speak, journal, launched, monkeypatch, action
):
    a_pending_intent(journal)
    journal.set_run_control(action, actor="ben", reason="thin", now=NOW)
    asked = []
    monkeypatch.setattr("typer.confirm", lambda question, **_: asked.append(question) or True)
    of = ("run-once", "--book", "us_five", "--session", "2013-02-28")

    speak(*of)
    speak(*of, "--phase", "execute")
    assert asked == []

    speak(*of, "--phase", "settle")
    assert asked == ["let 1 intent expire?"]


@pytest.mark.parametrize(
    ("phase", "follows"),
    [
        ("decide", ["trading approvals list --book us_five", f"{RUN} --phase execute"]),
        ("execute", ["trading approvals list --book us_five", f"{RUN} --phase settle"]),
        ("settle", ["trading report --book us_five"]),
        ("all", ["trading report --book us_five"]),
    ],
)
@pytest.mark.usefixtures("launched")
def test_a_run_says_where_its_intents_are_and_what_comes_next(speak, journal, phase, follows):
    a_pending_intent(journal)

    words = (*RUN.split()[1:], "--phase", phase, "--yes")
    told = speak(*words).out.splitlines()

    assert told[told.index("next:") :] == ["next:", *(f"  {line}" for line in ["trading status", *follows])]
    assert any(line.endswith("1 pending approval") for line in told)
    assert speak(*words, "--json").json["runs"][0]["intents"] == {"pending_approval": 1}


@pytest.mark.usefixtures("launched")
def test_a_run_after_which_nobody_is_waited_for_leads_to_no_approvals(speak, journal):
    an_approved_intent(journal)

    told = speak(*RUN.split()[1:], "--phase", "decide").out

    assert f"next:\n  trading status\n  {RUN} --phase execute\n" in told
    assert "approvals" not in told


@pytest.mark.usefixtures("launched")
def test_a_retry_that_ran_here_says_where_the_intents_are(speak, journal):
    an_approved_intent(journal)

    of = ("retry", "--book", "us_five", "--reason", "again", "--yes")

    assert "us_five 2013-02-28: run here; now 1 approved" in speak(*of).out
    assert speak(*of, "--json").json["intents"] == {"approved": 1}


def test_a_retry_that_the_web_server_runs_says_nothing_of_where_the_intents_are(speak, journal, monkeypatch):
    an_approved_intent(journal)
    told = {"how": "graphql", "run_id": "run-1", "message": "http://127.0.0.1:3000/runs/run-1"}
    monkeypatch.setattr("console.verbs.stopping.launch", lambda *_: (told, ExitCode.DONE))

    spoken = speak("retry", "--book", "us_five", "--reason", "again", "--yes")

    assert spoken.out.splitlines()[0] == f"us_five 2013-02-28: started at the web server: {told['message']}"


def test_an_execution_before_the_time_is_over_asks_nothing(speak, journal, launched):
    a_pending_intent(journal)

    spoken = speak("run-once", "--book", "us_five", "--session", "2013-02-28", "--phase", "execute")

    assert spoken.code == 0
    assert launched == [("us_five", date(2013, 2, 28))]


# ------------------------------------------------------------------------------------- reconciled


def brought(**said):
    return texts.brought([Brought(book="us_five", session=SESSION, **said)])


@pytest.mark.parametrize(
    ("said", "headline", "following"),
    [
        ({}, "journal and broker agree", "trading status"),
        ({"still_open": ("IBM i (executing)",)}, "agree; 1 still open", "trading orders --book us_five"),
        (
            {"still_open": ("IBM i (unknown)",), "unproven": 1},
            "NOT PROVEN: the broker has not told what became of 1 order",
            "trading stuck --book us_five",
        ),
        (
            {"parked": ("IBM i", "GOOG j")},
            "NOT PROVEN: a person has to say what became of 2 orders",
            "trading stuck --book us_five",
        ),
        ({"not_compared": "not opened"}, "orders agree, holdings were NOT compared", "trading status"),
        ({"halted": "broker_unavailable: down"}, "NOT RECONCILED", "trading incidents"),
        (
            {"still_open": ("IBM i (approved)",), "unsent": ("trading run-once --phase execute",)},
            "agree; 1 still open",
            "trading run-once --phase execute",
        ),
    ],
    ids=["all well", "resting", "unproven", "parked", "not compared", "halted", "approved"],
)
def test_the_headline_of_a_reconciliation_says_what_its_lines_say(said, headline, following):
    text = brought(**said)

    assert headline in text.splitlines()[0]
    assert following in text.partition("next:")[2]
    assert ("  holdings    compared" in text) is (not {"not_compared", "halted"} & set(said))


# ------------------------------------------------------------------------------------- over already


def test_a_preview_of_what_was_rejected_shows_its_end_and_offers_nothing(speak, journal, launched):
    row = a_pending_intent(journal)
    speak("approvals", "reject", row.intent_id, "--reason", "earnings tonight", "--yes")

    spoken = speak("approvals", "preview", row.intent_id)

    assert "rejected by anna since" in spoken.out
    assert "earnings tonight" in spoken.out
    assert "trading approvals" not in spoken.out
    assert speak("approvals", "preview", row.intent_id, "--json").json["is_answerable"] is False


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_what_waits_for_nobody_is_refused_and_not_asked_about(speak, journal, monkeypatch, answer):
    row = a_blocked_intent(journal)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda question, **_: asked.append(question) or True)

    spoken = speak("approvals", answer, row.intent_id, "--reason", "please")

    assert (spoken.code, asked) == (4, [])
    assert "not pending approval; is rejected since" in spoken.err
    assert journal.events_of(row.intent_id)[-1].kind == "answer_refused"


@pytest.mark.parametrize(
    ("observed", "more_may_pass", "told"),
    [(60, True, "2,216 or more"), (140, False, "2,216")],
    ids=["tried no larger one", "found the largest"],
)
def test_a_guard_that_tried_nothing_larger_does_not_call_it_the_largest(
    speak, journal, observed, more_may_pass, told
):
    explained_with(journal, said("value_at_risk", observed, 100, 2216, passed=more_may_pass))

    spoken = speak("explain", "AAPL@2013-02-28")
    view = speak("explain", "AAPL@2013-02-28", "--json").json

    assert f"largest quantity that passes them all: {told}" in spoken.out.splitlines()
    assert (view["largest_quantity"], view["more_may_pass"]) == (2216, more_may_pass)
    assert view["guards"][0]["more_may_pass"] is more_may_pass


def test_another_guard_that_lets_no_more_pass_bounds_the_largest(speak, journal):
    explained_with(
        journal,
        said("value_at_risk", 60, 100, 10),
        said("max_quantity", 10, 10, 10),
        said("shorts", 0, 0, 50),
    )

    spoken = speak("explain", "AAPL@2013-02-28")

    assert "largest quantity that passes them all: 10" in spoken.out.splitlines()


@pytest.mark.parametrize(
    ("observed", "limit", "shown"),
    [
        (0, 300, ("0 sessions behind", "0 sessions behind")),
        (2, 0, ("2 sessions behind", "0 sessions behind")),
        (30, 300, ("30 s", "300 s")),
    ],
    ids=["before the open", "old before the open", "at a send"],
)
def test_a_quotes_age_and_its_limit_are_told_in_one_unit(speak, journal, observed, limit, shown):
    explained_with(journal, said("quote_age", observed, limit, NO_LIMIT))

    (age,) = speak("explain", "AAPL@2013-02-28", "--json").json["guards"]

    assert (age["observed"], age["limit"]) == shown


def explained_with(journal, *saying):
    intent = example_intent("AAPL", quantity=10)
    verdicts = [Verdict(intent.intent_key, intent.symbol, intent.session, *row, "limits") for row in saying]
    decided(journal, example_decision(intent, not_after=CLOSE), verdicts=verdicts)


def said(guard, observed, limit, largest, *, passed=True):
    return guard, passed, "ok" if passed else "stopped", observed, limit, largest


def test_an_order_that_never_reached_the_broker_is_told_as_absent_there(speak, journal):
    row = a_parked_intent(journal)
    journal.record_absence(row.intent_id, epoch=row.epoch, now=CLOSE)
    concluded_absent(journal, row, now=CLOSE)

    (book,) = speak("orders", "--book", "us_five", "--json").json["books"]

    assert [line["order_status"] for line in book["orders"]] == ["absent at the broker"]


@pytest.mark.parametrize("absences", [0, 1], ids=["on a word alone", "absent once"])
def test_every_look_tells_one_status_of_an_order_that_never_reached_the_broker(speak, journal, absences):
    row = a_parked_intent(journal)
    for _ in range(absences):
        journal.record_absence(row.intent_id, epoch=row.epoch, now=CLOSE)
    concluded_absent(journal, row, now=CLOSE)

    (line,) = speak("orders", "--json").json["books"][0]["orders"]
    (order,) = speak("trace", row.intent_id, "--json").json["orders"]

    assert line["order_status"] == order["status"] == "absent at the broker"
    assert "rejected" not in speak("trace", row.intent_id).out


@pytest.mark.parametrize("is_found", [False, True], ids=["still looked for", "found and filled"])
def test_an_order_that_was_not_found_once_is_absent_only_when_that_was_its_end(speak, journal, is_found):
    row, order = a_prepared_intent(journal)
    journal.mark_unknown(row.intent_id, epoch=row.epoch, reason="time out", is_takeover=False, now=OPEN)
    journal.record_absence(row.intent_id, epoch=row.epoch, now=OPEN)
    if is_found:
        filled(journal, row, order)

    (line,) = speak("orders", "--json").json["books"][0]["orders"]
    (traced,) = speak("trace", row.intent_id, "--json").json["orders"]

    assert line["order_status"] == traced["status"] == ("filled" if is_found else "unknown")


def test_a_trace_of_an_intent_whose_events_are_lost_shows_what_is_left(speak, journal, state):
    row = an_approved_intent(journal)
    with closing(sqlite3.connect(state / "simulated/journal.db")) as by_hand, by_hand:
        for (trigger,) in by_hand.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            by_hand.execute(f"drop trigger {trigger}")
        by_hand.execute("delete from events where intent_id = ?", (row.intent_id,))

    spoken = speak("trace", row.intent_id)

    assert spoken.code == 0
    assert f"decision\n  {row.reason}, quantity {row.quantity:,}, by policy\n" in spoken.out


def concluded_later(journal):
    return concluded_absent(journal, a_parked_intent(journal), now=CLOSE)


def approved_and_concluded_later(journal):
    row = parked_after_approval(journal, a_pending_intent(journal))
    return concluded_absent(journal, row, now=CLOSE)


def cancelled_later(journal):
    row = an_approved_intent(journal)
    person = {"actor": "anna", "reason": "no more of it"}
    return journal.cancel(row.intent_id, version=row.version, **person, now=NOW)


def rejected_by_a_person(journal):
    row = a_pending_intent(journal)
    seen = {"version": row.version, "payload_hash": row.payload_hash, "nonce": "n-1"}
    return journal.reject(row.intent_id, **seen, actor="anna", reason="too dear", now=NOW)


@pytest.mark.parametrize(
    ("then", "reason", "by"),
    [
        (concluded_later, "within_policy", ""),
        (approved_and_concluded_later, "fine", "anna"),
        (cancelled_later, "within_policy", ""),
        (rejected_by_a_person, "too dear", "anna"),
        (a_pending_intent, "pending_approval", ""),
        (a_filled_intent, "within_policy", ""),
    ],
)
def test_a_trace_tells_of_the_decision_what_was_said_at_it_and_by_whom(speak, journal, then, reason, by):
    found = then(journal)
    row = found[0] if isinstance(found, tuple) else found

    view = speak("trace", row.intent_id, "--json").json
    told = speak("trace", row.intent_id).out

    assert (view["decision_reason"], view["answered_by"]) == (reason, by)
    assert f"decision\n  {reason}, quantity {row.quantity:,}, by {by or 'policy'}\n" in told


# ------------------------------------------------------------------------------------- names, words


@pytest.mark.parametrize("name", ["bad name!", "a" * 65, "semi;colon"])
def test_one_rule_says_what_a_name_is(speak, journal, monkeypatch, name):
    option = speak("halt", "--reason", "x", "--as", name)
    monkeypatch.setenv("TRADING_OPERATOR", name)
    setting = speak("halt", "--reason", "x")

    assert (option.code, setting.code) == (2, 2)
    for spoken in (option, setting):
        assert "1 to 64 letters, digits or . _ @ -" in spoken.err


def test_an_empty_reason_is_refused_before_anything_is_shown(speak, journal, launched):
    row = a_pending_intent(journal)

    for words in (("approvals", "approve"), ("approvals", "reject"), ("orders", "cancel")):
        spoken = speak(*words, row.intent_id, "--reason", "")
        assert (spoken.code, len(spoken.err.splitlines())) == (2, 1)
    assert journal.intent(row.intent_id).state is IntentState.PENDING_APPROVAL


def test_a_symbol_is_found_however_it_is_written_and_alone_is_asked_for_its_session(speak, journal):
    a_blocked_intent(journal)

    assert speak("explain", "ibm@2013-02-28").code == 0
    assert "name a symbol with its session, e.g. FB@2013-02-28" in speak("explain", "FB").err


@pytest.mark.parametrize(
    ("words", "help_at"),
    [
        (("bogus",), "`trading --help`"),
        (("approvals", "bogus"), "`trading approvals --help`"),
        (("orders", "cancel"), "`trading orders cancel --help`"),
    ],
)
def test_what_was_mistyped_is_answered_with_the_help_that_there_is(speak, state, words, help_at):
    assert help_at in speak(*words).err


@pytest.mark.parametrize("verb", ["week", "audit"])
@pytest.mark.parametrize(("profile", "week"), [("simulated", "2013-W10"), ("paper", "2099-W01")])
def test_a_week_that_has_not_begun_is_refused_and_not_told_as_one_without_a_session(
    speak, journal, monkeypatch, *, verb, profile, week
):
    monkeypatch.setenv("TRADING_PROFILE", profile)

    refused = speak("report", verb, "--book", "us_five", "--week", week)

    assert (refused.code, refused.out) == (2, "")
    assert f"week {week}: has not begun; today is 20" in refused.err


def test_the_week_that_is_under_way_is_told(speak, journal):
    assert "us_five 2013-W09: " in speak("report", "week", "--book", "us_five", "--week", "2013-W09").out
