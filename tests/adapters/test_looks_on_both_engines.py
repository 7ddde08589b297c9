"""A week, a service level and every look of the console are told alike from a journal on either engine."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console.slo import slo_of
from console.web.identities import Role
from console.weeks import week_audit, week_health
from resources.audit_log import AuditFile
from resources.evidence_ledger import EvidenceLedger
from resources.signal_keeper import JournalSignals
from tests.adapters.test_evidence_ledger import QUIET
from tests.adapters.test_service_levels import a_window
from tests.console.states import CLOSE, NOW, OF, OPENED, SESSION, a_parked_intent, concluded_absent
from tests.console.web.serving import console_on
from trading.compliance import Area, AreaOutcome
from trading.evidence_ledger import drafts_of_run
from trading.weeks import week_of_date

WEEK = week_of_date(SESSION)


@pytest.fixture
def console(database, tmp_path):
    """Serve a desk whose session sent an order that nobody can prove, and was settled after an incident."""
    with console_on(tmp_path / "state", settings={"journal_url": database.url}) as served:
        with database.open() as journal:
            JournalSignals(journal).keep(a_window(NOW), lane="simulated", now=NOW)
            EvidenceLedger(journal).file(drafts_of_run(QUIET), actor="replay", now=NOW)
            parked = a_parked_intent(journal)
            concluded_absent(journal, parked, now=CLOSE)
            journal.plan_action(
                incident_id=1,
                owner="ben",
                due_on=SESSION - timedelta(days=1),
                actor="ann",
                reason="compare before the open",
                now=CLOSE,
            )
            journal.settle(**OF, closing=OPENED, carried_by="ann", now=CLOSE)
            AuditFile(journal, served.desk.settings.audit_log).project()
        yield served


def test_a_week_its_levels_and_every_look_are_told_from_either_engine(console):
    desk = console.desk
    outline = desk.one("us_five")
    health = week_health(desk, outline, WEEK)
    audit = week_audit(desk, outline, WEEK, tell=lambda _: None)
    levels = slo_of(desk, book="us_five")
    looks = {
        path: console.ask(
            "GET", f"{path}?book=us_five" if path.endswith("/sessions") else path, role=Role.VIEWER
        )
        for path, verbs in console.app.openapi()["paths"].items()
        if "get" in verbs and "{" not in path
    }
    scraped = console.ask("GET", "/metrics", role=Role.VIEWER)

    assert health.attention == (
        "incident 1: ben was to do by 2013-02-27: compare before the open",
        f"{SESSION} has no daily report: its numbers are not in the sums",
        "freshness has spent its error budget",
    )
    assert [(one.kind, one.detect_s, one.recover_s) for one in health.incidents] == [("parked", 0, 23_400)]
    assert (health.expected, health.orders, health.filled) == (1, 1, 0)
    assert [(one.objective, one.budget_left) for one in levels.objectives[:2]] == [
        ("availability", 1.0),
        ("latency", 1.0),
    ]
    # A plan or a filing is no change of what may be traded: whoever settled is the only one.
    assert [(one.what, one.actor) for one in audit.controls] == [("settled", "ann")]
    assert [one.outcome for one in audit.areas if one.area is Area.AUDIT_LOG] == [AreaOutcome.IN_ORDER]
    assert {path: answer.json for path, answer in looks.items() if answer.status != 200} == {}
    assert len(looks) > 20
    assert scraped.status == 200
    assert b'trading_incidents_total{account="SIM-FIVE",kind="parked"} 1.0' in scraped.body
