"""What events tell of incidents: whose halt was lifted, who spoke of which, and what comes back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.incident_log import actions_told, incidents_told, last_alike, said_again
from trading.journal import Incident, JournalEvent

AT = datetime(2013, 2, 28, 15, 0, tzinfo=UTC)
OF = {"kind": "cash_mismatch", "account": "A", "intent_id": ""}


def event(seq: int, kind: str, *, reason: str = "", **body: Any) -> JournalEvent:
    return JournalEvent(
        seq=seq, at=AT + timedelta(seconds=seq), kind=kind, book="", lane="", session="", intent_id="",
        actor="", reason=reason, body=body, prev_hash="", hash="",
    )  # fmt: skip


def test_one_lift_ends_every_halt_of_its_account_and_none_of_another():
    of_account, of_symbol = {"account": "A", "symbol": ""}, {"account": "A", "symbol": "IBM"}
    told = incidents_told(
        [
            event(1, "incident", reason="2 there", incident="cash", account="A"),
            event(2, "halted", reason="zombie: it | cash: 2 there", **of_account),
            event(3, "incident", reason="2 there", incident="cash", account="A"),
            event(4, "halted", reason="zombie: it | cash: 2 there", **of_account),
            event(5, "incident", reason="2 there", incident="cash", account="A"),
            event(6, "halted", reason="zombie: it | cash: 2 there", **of_symbol),
            event(7, "incident", reason="2 there", incident="cash", account="A"),
            event(8, "halt_lifted", **of_account),
            event(9, "incident", reason="2 there", incident="cash", account="A"),
            event(10, "halted", reason="zombie: it | cash: 2 there", **of_account),
        ]
    )

    assert {number: (one.halt and one.halt.seq, one.is_over) for number, one in told.items()} == {
        1: (2, True),
        2: (4, True),
        3: (6, False),
        4: (None, False),
        5: (10, False),
    }
    assert told[1].lift.seq == told[2].lift.seq == 8


def test_a_resume_ends_what_halted_all_trading_and_no_account():
    told = incidents_told(
        [
            event(1, "incident", reason="2 there", incident="cash", account="A"),
            event(2, "run_control", reason="cash: 2 there", action="halt"),
            event(3, "incident", reason="2 there", incident="cash", account="A"),
            event(4, "halted", reason="cash: 2 there", account="A", symbol=""),
            event(5, "run_control", action="pause"),
            event(6, "run_control", action="resume"),
        ]
    )

    assert [one.is_over for one in told.values()] == [True, False]
    assert told[1].lift.seq == 6


@pytest.mark.parametrize(
    "halt",
    [
        event(5, "halted", reason="cash: 2 there", account="A", symbol=""),
        event(2, "run_control", reason="a drill", action="halt"),
    ],
)
def test_a_halt_that_somebody_else_set_is_no_incident_s(halt):
    incident = event(1, "incident", reason="2 there", incident="cash", account="A")

    assert incidents_told([incident, halt])[1].halt is None


def test_words_are_of_the_incident_that_they_name():
    told = incidents_told(
        [
            event(1, "incident", reason="2 there", incident="cash", account="A"),
            event(2, "incident", reason="2 there", incident="cash", account="A"),
            event(3, "incident_acknowledged", incident_id=2),
            event(4, "incident_acted", incident_id=2),
            event(5, "incident_resolved", incident_id=1),
        ]
    )

    assert (told[1].acknowledged, told[1].resolved.seq, told[1].is_over) == (None, 5, True)
    assert (told[2].acknowledged.seq, told[2].resolved, told[2].is_over) == (3, None, False)


@given(st.text(max_size=40), st.integers(min_value=1, max_value=9))
def test_however_often_something_comes_back_the_last_one_is_found_and_no_two_say_the_same(detail, times):
    rows: list[Incident] = []
    for number in range(1, times + 1):
        last = last_alike(rows, **OF, detail=detail)
        said = detail if last is None else said_again(detail, last)
        rows.append(Incident(number, OF["kind"], OF["account"], OF["intent_id"], said, AT))

    assert last_alike(rows, **OF, detail=detail) == rows[-1]
    assert len({row.detail for row in rows}) == times
    assert last_alike(rows, **OF | {"account": "B"}, detail=detail) is None


def test_an_action_is_overdue_when_its_day_is_over_and_nobody_has_done_it():
    planned = {"owner": "ben", "due_on": "2013-03-08"}
    told = actions_told(
        [
            event(1, "incident_action_planned", incident_id=1, action=1, **planned),
            event(2, "incident_action_planned", incident_id=1, action=2, **planned),
            event(3, "incident_action_done", reason="runs", incident_id=1, action=2),
        ]
    )

    assert [(key, one.outcome) for key, one in told.items()] == [((1, 1), ""), ((1, 2), "runs")]
    overdue = {
        day: [one.number for one in told.values() if one.is_overdue(date(2013, 3, day))] for day in (8, 9)
    }
    assert overdue == {8: [], 9: [1]}
