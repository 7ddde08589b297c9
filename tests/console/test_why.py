"""Why nothing was traded: one state of a real journal and lake for each answer there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from console.desk import Desk, open_desk
from console.exit_codes import ExitCode
from console.why import why
from resources.journal.store import SqlJournal
from resources.lake.store import Lake
from tests.console.states import (
    BEFORE,
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
    decided,
)
from trading.journal import CooldownRules, RunControlAction

CONFIG = Path(__file__).resolve().parents[2] / "config"
NONE = pa.table({"symbol": pa.array([], pa.string())})
ONE = pa.table({"symbol": ["AAPL"]})

State = Callable[[SqlJournal, Lake], object]


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Desk:
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(CONFIG))
    return open_desk()


def quotes(_, lake, rows=ONE, **extra):
    lake.write(("us_five", "market_quotes"), str(BEFORE), rows, extra=extra)


def nothing(journal, lake):
    pass


def refused(journal, lake):
    journal.record_refusal(**OF, stage="market_quotes", reason="2013-02-27: 3 of 5 symbols", now=NOW)


def opened_only(journal, lake):
    journal.opening_book(**OF, previous=BEFORE, opened=OPENED, now=NOW)


def carried(journal, lake):
    opened_only(journal, lake)
    journal.settle(**OF, closing=OPENED, carried_by="anna: the broker was down", now=NOW)


def no_quote(journal, lake):
    decided(journal)
    quotes(journal, lake, NONE)


def no_candidate(journal, lake):
    decided(journal)
    quotes(journal, lake)
    lake.write(("us_five", "candidates"), str(SESSION), NONE, extra={"why_none": "5 low_confidence"})


def no_intent(journal, lake):
    decided(journal)
    quotes(journal, lake)
    lake.write(("us_five", "candidates"), str(SESSION), ONE, extra={"selected": "1"})
    lake.write(("us_five", "intents"), str(SESSION), NONE)


def blocked(journal, lake):
    a_blocked_intent(journal)


def pending(journal, lake):
    a_pending_intent(journal)


def approved(journal, lake):
    an_approved_intent(journal)


def parked(journal, lake):
    a_parked_intent(journal)


def filled(journal, lake):
    a_filled_intent(journal)


def controlled(action: RunControlAction, then: State = nothing) -> State:
    def state(journal: SqlJournal, lake: Lake) -> None:
        then(journal, lake)
        journal.set_run_control(action, actor="ben", reason="odd prices", now=NOW)

    return state


def account_halted(journal, lake):
    opened_only(journal, lake)
    journal.record_finding(
        kind="foreign_order",
        account="SIM-FIVE",
        symbol="",
        intent_id="",
        detail="an order that nobody here sent",
        is_standing=True,
        now=NOW,
    )


def breaker_open(journal, lake):
    """Have one execution fail, and let that be enough."""
    row, _ = a_prepared_intent(journal)
    journal.refuse(row.intent_id, epoch=row.epoch, reason="insufficient funds", now=OPEN)
    journal.cool_down(account=row.account, lane=row.lane, rules=CooldownRules(failures_max=1), now=OPEN)


HOLIDAY, PAST_THE_DATA, BEFORE_THE_DATA = date(2013, 2, 18), date(2013, 3, 4), date(2000, 3, 1)

ANSWERS = [
    pytest.param(nothing, None, "session", "nothing yet", 0, id="nothing yet"),
    pytest.param(nothing, HOLIDAY, "session", "President's Day", 0, id="holiday"),
    pytest.param(nothing, date(2013, 2, 16), "session", "weekend", 0, id="weekend"),
    pytest.param(nothing, SESSION, "quotes", "no data: the quotes of 2013-02-27", 0, id="no data imported"),
    pytest.param(nothing, PAST_THE_DATA, "quotes", "end at 2013-03-01", 0, id="past the data"),
    pytest.param(nothing, BEFORE_THE_DATA, "quotes", "nothing is known before 2000-03-01", 0, id="before it"),
    pytest.param(quotes, SESSION, "session", "was not run", 0, id="not run"),
    pytest.param(no_quote, None, "quotes", "no data: none was accepted", 0, id="no quote accepted"),
    pytest.param(refused, None, "market_quotes", "refused: 2013-02-27: 3 of 5", 3, id="data refused"),
    pytest.param(opened_only, None, "decisions", "nothing was decided yet", 0, id="not decided yet"),
    pytest.param(opened_only, BEFORE, "session", "the book opened on 2013-02-28", 0, id="before it opened"),
    pytest.param(no_candidate, None, "candidates", "5 low_confidence", 0, id="no candidate"),
    pytest.param(no_intent, None, "intents", "no strategy wants a change", 0, id="no intent"),
    pytest.param(blocked, None, "passed the guards", "all blocked: 1 blocked", 0, id="all blocked"),
    pytest.param(pending, None, "approved", "1 awaiting approval: AAPL until", 3, id="awaiting approval"),
    pytest.param(approved, None, "executed", "1 approved, not sent, until 2013-02-28", 3, id="not sent yet"),
    pytest.param(parked, None, "executed", "outcome not proven", 3, id="outcome not proven"),
    pytest.param(carried, None, "settle", "by anna: the broker was down", 0, id="carried"),
    pytest.param(account_halted, None, "reconciliation", "account SIM-FIVE halted", 3, id="account halted"),
    pytest.param(breaker_open, None, "run control", "breaker open: account SIM-FIVE", 3, id="breaker open"),
    pytest.param(
        controlled(RunControlAction.PAUSE, pending), None, "run control", "paused by ben", 3, id="paused"
    ),
    pytest.param(
        controlled(RunControlAction.HALT, pending), None, "run control", "halted by ben", 5, id="halted"
    ),
    pytest.param(
        controlled(RunControlAction.HALT), None, "run control", "halted by ben", 5, id="halted at the start"
    ),
    pytest.param(filled, None, "", "1 intent filled: something was traded", 0, id="nothing wrong"),
]


@pytest.mark.parametrize(("state", "session", "stopped_at", "reason", "code"), ANSWERS)
def test_the_first_stage_at_zero_is_named_with_its_reason(desk, state, session, *, stopped_at, reason, code):
    with SqlJournal(desk.settings.journal_url) as journal:
        state(journal, Lake(desk.settings.lake_root))

    answer = why(desk, book=desk.books["us_five"], session=session)

    assert answer.stopped_at == stopped_at
    assert reason in answer.reason
    assert answer.exit_code == ExitCode(code)
    assert answer.next
    assert all(line.startswith("trading ") for line in answer.next)


def test_on_a_day_without_a_session_an_operating_desk_says_so_unasked(tmp_path, monkeypatch):
    import time_machine

    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(CONFIG))
    monkeypatch.setenv("TRADING_PROFILE", "paper")
    desk = open_desk()
    with SqlJournal(desk.settings.journal_url) as journal:
        journal.opening_book(**{**OF, "lane": "paper"}, previous=BEFORE, opened=OPENED, now=NOW)

    with time_machine.travel("2013-03-29T15:00:00Z", tick=False):
        answer = why(desk, book=desk.books["us_five"])

    assert answer.session == date(2013, 3, 29)
    assert "Good Friday" in answer.reason
    assert answer.next == ("trading why --book us_five --session 2013-03-28",)


def test_the_stage_at_zero_comes_after_stages_that_were_not(desk):
    with SqlJournal(desk.settings.journal_url) as journal:
        no_candidate(journal, Lake(desk.settings.lake_root))

    answer = why(desk, book=desk.books["us_five"])

    assert [(row.stage, row.count) for row in answer.stages[:2]] == [("quotes", 1), ("candidates", 0)]
