"""The nightly look at evidence: how each strategy stands, what is missing, and what is promoted no more."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime

import pytest

from resources.craft import craft_sha
from tests.graph.desk import CALENDAR, SESSIONS
from trading.evidence_ledger import draft_of_promotion, drafts_of_run
from trading.positions import opened_book
from trading.promotion import Outcome, PromotionRow, promotion_of
from trading.replay_evidence import as_configured, subject_of
from trading.testing import example_run
from trading.timetable import SETTLE_AFTER_CLOSE

LAST = SESSIONS[-1]
NOW: datetime = CALENDAR.closes_at(LAST) + SETTLE_AFTER_CLOSE
COUNCIL = "mean_reversion+momentum"


@pytest.fixture
def desk(desk_on):
    """Give a desk with nothing in it: the look needs no session."""
    return desk_on()


def subject_on(desk, strategy="council"):
    profiled = desk.profiled
    config = as_configured(profiled.books["us_five"], strategy)
    return subject_of(config, data_set_sha=profiled.evidence_data["us_five"], code_sha=craft_sha())


def file_run(desk, **changes):
    run = example_run(subject=subject_on(desk), made_at=NOW, **changes)
    desk.profiled.evidence.file(drafts_of_run(run), actor="replay", now=NOW)


def promote(desk):
    ledger, rules = desk.profiled.evidence, desk.profiled.promotion_rules["us_five"]
    decision = promotion_of(subject_on(desk), ledger.read(), rules.thresholds, as_of=NOW, last_session=LAST)
    promotion = decision.signed(actor="ann", reason="read it", decided_at=NOW)
    ledger.file([draft_of_promotion(promotion)], actor="ann", now=NOW)
    return decision.outcome


def evaluated(desk):
    return desk.run("evidence", LAST).get_asset_check_evaluations()


def looked(desk):
    """Run the look: the rows by strategy, and which checks passed."""
    checks = {one.check_name: one.passed for one in evaluated(desk)}
    rows, _ = desk.profiled.lake.read_rows(("us_five", "promotion_decisions"), str(LAST), PromotionRow)
    return {row.strategy: row for row in rows}, checks


def test_where_nothing_is_filed_nothing_is_missing_and_nobody_would_be_promoted(desk):
    rows, checks = looked(desk)

    assert set(rows) == {"mean_reversion", "momentum", COUNCIL}
    assert {row.outcome for row in rows.values()} == {Outcome.REFUSED}
    assert {row.reasons for row in rows.values()} == {"run_filed"}
    assert checks == {
        "evidence_is_whole": True,
        "promotions_stand_on_evidence": True,
        "evidence_is_complete": True,
    }


def test_a_promotion_stands_as_long_as_its_evidence_does(desk):
    file_run(desk)
    assert promote(desk) is Outcome.PROMOTED
    rows, checks = looked(desk)
    assert (rows[COUNCIL].outcome, rows[COUNCIL].promoted_by) == (Outcome.PROMOTED, "ann")
    assert rows["momentum"].outcome is Outcome.REFUSED
    assert all(checks.values())

    file_run(desk, name="all years", sessions=4_000, equity_levels=1)
    rows, checks = looked(desk)
    assert (rows[COUNCIL].outcome, rows[COUNCIL].reasons) == (Outcome.REFUSED, "equity_moves")
    assert checks == {
        "evidence_is_whole": True,
        "promotions_stand_on_evidence": False,
        "evidence_is_complete": True,
    }


def test_a_row_that_is_gone_fails_the_blocking_check_by_its_name(desk):
    file_run(desk)
    with closing(sqlite3.connect(desk.settings.profile_dir / "journal.db")) as raw:
        raw.execute("drop trigger evidence_stays")
        raw.execute("delete from evidence where kind = 'stress' and seq = 9")
        raw.commit()
    rows, checks = looked(desk)

    assert rows[COUNCIL].reasons == "ledger_whole, stresses_filed, stress_survivors"
    assert (checks["evidence_is_whole"], checks["evidence_is_complete"]) == (False, True)
    (whole,) = [one for one in evaluated(desk) if one.check_name == "evidence_is_whole"]
    rows = [row.data for row in whole.metadata["rows"].records]
    named = {(row["code"], row["about"].partition(" (")[0]) for row in rows}
    assert ("row_removed", "row 9") in named


def settle(journal, session, *, previous):
    """Settle a session by a person's word, without anything held."""
    opened = opened_book(currency="USD", deposit_micros=10**12)
    of = {"book": "us_five", "lane": "simulated", "session": session}
    journal.opening_book(**of, previous=previous, opened=opened, now=NOW)
    journal.settle(**of, closing=opened, carried_by="ann", now=NOW)


def test_settled_sessions_that_no_run_reaches_into_are_a_warning(desk):
    previous = None
    for session in SESSIONS[-5:]:
        settle(desk.profiled.journal, session, previous=previous)
        previous = session
    assert looked(desk)[1]["evidence_is_complete"]
    early = replace(example_run(subject=subject_on(desk), made_at=NOW), last=SESSIONS[-6])
    desk.profiled.evidence.file(drafts_of_run(early), actor="replay", now=NOW)
    rows, checks = looked(desk)
    assert (rows[COUNCIL].outcome, checks["evidence_is_complete"]) == (Outcome.PROMOTED, False)

    file_run(desk)
    assert looked(desk)[1]["evidence_is_complete"]
