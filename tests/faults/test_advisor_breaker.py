"""A model that is down: the breaker opens for every process, one of them tries, and the day goes on by rules.

Processes are real, the server answers real HTTP, and the breaker is a row of a journal on disk.
"""

from __future__ import annotations

import json
import multiprocessing
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from resources.advisor_file import read_advisor
from resources.advisors.asking import ModelAdvisor
from resources.advisors.call_log import JournalCallLog
from resources.advisors.chat_completions import ChatCompletions, breaker_of
from resources.journal.store import SqlJournal
from resources.outbound.kept import JournalBreakers
from tests.adapters.misbehaving import RESET, http, misbehaving
from trading.advice import AdviceContext, Ladder, admitted
from trading.breakers import BreakerReason, BreakerState
from trading.decisions import ADVISOR_FAILED, Outcome, decide
from trading.positions import Book, Position
from trading.testing import example_intent, example_limits, example_verdicts
from trading.values import Side, Slot, Symbol

SHIPPED = read_advisor(Path(__file__).resolve().parents[2] / "config")
CONFIG = replace(SHIPPED, large=None, limits=replace(SHIPPED.limits, timeout_s=60.0))
SESSION = date(2013, 2, 28)
CUT_OFF = datetime(2013, 2, 28, 13, 45, tzinfo=UTC)
BEGAN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
BUY = example_intent("AAPL", quantity=5)
SALE = example_intent("KO", side=Side.SELL, quantity=900)
STOP = example_intent("GE", side=Side.SELL, slot=Slot.STOP, quantity=10)
LIMITS = example_limits(
    order_notional_micros_max=10**12,
    symbol_weight_bps_max=10_000,
    auto_approve_notional_micros=10**12,
    usual_order_notional_micros=10**12,
)
BOOK = Book(
    currency="USD",
    cash_micros=10**11,
    deposits_micros=10**11,
    positions=(Position(Symbol("KO"), 900, 0), Position(Symbol("GE"), 10, 0)),
)
SPAWN = multiprocessing.get_context("spawn")
"""A process of its own from its first line: what a fork of a process with threads holds could be locked."""


def whole(_=0):
    said = {
        "symbol": "AAPL",
        "verdict": "keep",
        "factor": 1,
        "confidence": 1,
        "rationale": "",
        "evidence": [],
    }
    text = json.dumps({"schema_version": "advice.v1", "advice": [said]})
    return http("200 OK", json.dumps({"choices": [{"message": {"content": text}}]}).encode())


@contextmanager
def process_of(path, url, *, after_s):
    """Be one process with its own connections: the journal opened anew, and a clock so far on."""
    at = BEGAN + timedelta(seconds=after_s)
    with SqlJournal(f"sqlite:///{path}") as journal:
        breakers = JournalBreakers(journal)
        with ChatCompletions(
            CONFIG, url, breakers=breakers, clock=lambda: at, sleep=lambda _: None
        ) as completions:
            log = JournalCallLog(journal)
            yield ModelAdvisor(CONFIG, completions, log=log, clock=lambda: at), breakers, log


def asked(advisor, *intents, ladder=Ladder.VETO):
    context = AdviceContext(book="us_five", lane="simulated", session=SESSION, cut_off=CUT_OFF, ladder=ladder)
    return advisor.advise(intents or (BUY,), context=context)


def race(path, url, turn, results):
    """Be one of two processes that wish to ask in the same moment, once the breaker's time is over."""
    with process_of(path, url, after_s=61) as (advisor, _, _):
        (call,) = asked(advisor).calls
    if call.error_type:
        turn.set()
    results.put((call.ok, call.error_type, call.breaker.value, call.attempts))


def state_in(breakers):
    return breakers.breaker(breaker_of(CONFIG.provider)).state


def test_a_breaker_opens_survives_a_restart_is_tried_by_one_of_two_processes_and_closes(tmp_path):
    path, turn = tmp_path / "journal.db", SPAWN.Event()
    is_up = False

    def answer(number):
        if not is_up:
            return RESET
        # The trial's answer waits until the other process has been turned away: both wished at once.
        turn.wait(50)
        return whole()

    with misbehaving(answer) as (url, heard):
        with process_of(path, url, after_s=0) as (advisor, breakers, _):
            failed = [asked(advisor).calls[0] for _ in range(2)]
            assert state_in(breakers) is BreakerState.OPEN
        assert [call.attempts for call in failed] == [2, 2]

        with process_of(path, url, after_s=59) as (advisor, breakers, _):
            (held,) = asked(advisor).calls
            assert state_in(breakers) is BreakerState.OPEN
        assert (held.error_type, held.breaker, held.attempts) == (
            "circuit_open",
            BreakerReason.CIRCUIT_OPEN,
            0,
        )
        assert len(heard) == 4

        is_up = True
        results = SPAWN.Queue()
        racing = [SPAWN.Process(target=race, args=(path, url, turn, results)) for _ in range(2)]
        for process in racing:
            process.start()
        found = sorted((results.get(timeout=120) for _ in racing), reverse=True)
        for process in racing:
            process.join(30)
        assert found == [
            (True, "", "circuit_half_open", 1),
            (False, "circuit_open", "circuit_half_open", 0),
        ]
        assert len(heard) == 5

        with process_of(path, url, after_s=62) as (advisor, breakers, log):
            (call,) = asked(advisor).calls
            assert state_in(breakers) is BreakerState.CLOSED
            kept = [(row.error_type, row.breaker.value) for row in log.calls_of()]
        assert (call.ok, call.breaker, len(heard)) == (True, BreakerReason.ALLOWED, 6)

    assert sorted(kept) == sorted(
        [
            (failed[0].error_type, "allowed"), (failed[1].error_type, "allowed"),
            ("circuit_open", "circuit_open"), ("circuit_open", "circuit_half_open"),
            ("", "circuit_half_open"), ("", "allowed"),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("ladder", [Ladder.VETO, Ladder.VETO_AND_SHRINK])
def test_with_the_model_down_what_adds_risk_waits_for_a_person_and_what_lowers_it_goes(tmp_path, ladder):
    intents = (BUY, SALE, STOP)
    verdicts = example_verdicts(intents, book=BOOK, limits=LIMITS)
    with (
        misbehaving(lambda _: RESET) as (url, _),
        process_of(tmp_path / "journal.db", url, after_s=0) as (advisor, _, _),
    ):
        rounds = [asked(advisor, *intents, ladder=ladder).advice for _ in range(3)]

    for said in rounds:
        decided = decide(
            intents, verdicts, admitted(said, intents, ladder=ladder), account="SIM", lane="simulated",
            ladder=ladder, limits=LIMITS, not_after=CUT_OFF + timedelta(hours=7), inputs_sha="i",
        )  # fmt: skip
        assert [(row.outcome, row.reason, row.quantity) for row in decided] == [
            (Outcome.PENDING_APPROVAL, ADVISOR_FAILED, BUY.quantity),
            (Outcome.APPROVED, "within_policy", SALE.quantity),
            (Outcome.APPROVED, "within_policy", STOP.quantity),
        ]


def test_in_shadow_a_model_that_is_down_changes_nothing(tmp_path):
    verdicts = example_verdicts((BUY,), book=BOOK, limits=LIMITS)
    with (
        misbehaving(lambda _: RESET) as (url, _),
        process_of(tmp_path / "journal.db", url, after_s=0) as (advisor, _, _),
    ):
        said = admitted(asked(advisor, ladder=Ladder.SHADOW).advice, (BUY,), ladder=Ladder.SHADOW)
    (row,) = decide(
        (BUY,), verdicts, said, account="SIM", lane="simulated", ladder=Ladder.SHADOW, limits=LIMITS,
        not_after=CUT_OFF + timedelta(hours=7), inputs_sha="i",
    )  # fmt: skip

    assert (row.outcome, row.quantity) == (Outcome.APPROVED, BUY.quantity)
