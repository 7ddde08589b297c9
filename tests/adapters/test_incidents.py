"""Incidents on both engines: told once while they last, told again when they come back, and found in time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from resources.journal.store import SqlJournal
from trading.journal import RunControlAction
from trading.testing import reconciled_term

ACCOUNT, OTHER = "SIM_FIVE", "SIMXFIVE"
"""Two names of which the one is like the other, were `_` any letter."""

NOW = datetime(2013, 2, 28, 14, 0, tzinfo=UTC)


@pytest.fixture
def journal(database) -> Iterator[SqlJournal]:
    with database.open() as opened:
        yield opened


def found(journal, detail="cash: book 1 USD, broker 2", *, is_standing=True, days=0):
    journal.record_finding(
        kind="cash_mismatch",
        account=ACCOUNT,
        symbol="",
        intent_id="",
        detail=detail,
        is_standing=is_standing,
        now=NOW + timedelta(days=days),
    )


def lifted(journal):
    journal.lift_halt(account=ACCOUNT, symbol="", actor="ben", reason="booked", now=NOW)


def test_a_finding_that_comes_back_after_its_halt_was_lifted_is_another_incident(journal):
    found(journal)
    found(journal, days=1)
    lifted(journal)
    found(journal, days=7)
    found(journal, days=8)
    lifted(journal)
    found(journal, days=9)

    rows = journal.incidents()
    assert [(row.incident_id, row.detail, row.at) for row in rows] == [
        (1, "cash: book 1 USD, broker 2", NOW),
        (2, "cash: book 1 USD, broker 2; again after incident 1", NOW + timedelta(days=7)),
        (3, "cash: book 1 USD, broker 2; again after incident 2", NOW + timedelta(days=9)),
    ]
    assert [halt.reason for halt in journal.halts()] == [f"cash_mismatch: {rows[-1].detail}"]


def test_what_is_past_stays_one_incident_once_somebody_has_seen_it(journal):
    found(journal, is_standing=False)
    lifted(journal)
    found(journal, is_standing=False, days=7)

    assert (len(journal.incidents()), journal.halts()) == (1, [])


def test_more_findings_than_a_halt_names_are_told_once_each_however_often_they_are_seen(journal):
    for day in range(3):
        for number in range(12):
            found(journal, f"cash: book {number}", days=day)

    assert len(journal.incidents()) == 12


def test_what_halted_all_trading_is_another_incident_after_the_resume(journal):
    broken = {"kind": "chain_broken", "account": ACCOUNT, "intent_id": "", "detail": "line 7"}
    for _ in range(2):
        journal.record_incident(**broken, is_halting=True, now=NOW)
    journal.set_run_control(RunControlAction.RESUME, actor="ben", reason="restored", now=NOW)
    for _ in range(2):
        journal.record_incident(**broken, is_halting=True, now=NOW)

    assert [row.detail for row in journal.incidents()] == ["line 7", "line 7; again after incident 1"]
    control = journal.run_control()
    assert (control.kill_switch_on, control.reason) == (True, "chain_broken: line 7; again after incident 1")


def test_when_an_account_was_last_compared_is_known_however_long_ago_it_was(database, journal):
    reader = database.reader()
    for account in (ACCOUNT, OTHER):
        reconciled_term(journal, account=account, lane="paper", now=NOW)
    last = reader.newest_event()
    for number in range(20):
        found(journal, f"cash: book {number}", days=30)

    agreed = reader.last_reconciled(account=ACCOUNT, before=last + 5)
    assert agreed is not None
    assert (agreed.kind, agreed.body["account"]) == ("reconciled", ACCOUNT)
    assert reader.last_reconciled(account=ACCOUNT, before=agreed.seq) is None
    assert reader.last_reconciled(account=OTHER, before=last + 5).seq == last
