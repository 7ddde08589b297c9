"""A week's audit: each thing out of order is a finding, what nobody could judge is one of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.trading.test_weekly_health import DAYS, FIRST, PAST, WEEK, seen
from trading.compliance import (
    ApprovalSeen,
    Area,
    AreaOutcome,
    AuditFacts,
    ControlSeen,
    Grade,
    IntentSeen,
    InvariantSeen,
    MismatchSeen,
    audited,
)
from trading.evidence_ledger import Missing
from trading.weekly_health import IncidentSeen, Kept, SessionSeen

INTENT = IntentSeen("int-1", DAYS[0], "AAPL", "executed", "p" * 64, "l" * 64, "")
APPROVAL = ApprovalSeen(FIRST, "int-1", "AAPL", "approved", "ann", "fine", "p" * 64)
HELD = InvariantSeen("INV1", "no order twice", "held", "3 orders", "", 0)
SIGNED = InvariantSeen("INV8", "the log is signed", "held", "9 lines", "", 0)
OPEN_INCIDENT = IncidentSeen(7, FIRST, "stray_order", "SEV-1", 5, None, is_open=True)

CLEAN = AuditFacts(
    book="five",
    title="Five",
    mode="paper",
    week=WEEK,
    as_of=PAST,
    sessions=tuple(map(seen, DAYS)),
    intents=(INTENT,),
    approvals=(APPROVAL,),
    limits_before="l" * 64,
    files={"limits.toml": "a" * 64},
    files_before={"limits.toml": "a" * 64},
    controls=(),
    invariants=(HELD, SIGNED),
    evidence_rows=3,
    is_filed=True,
    evidence=(),
    incidents=(),
    mismatches=(),
)


def outcomes(facts: AuditFacts) -> dict[Area, AreaOutcome]:
    return {row.area: row.outcome for row in audited(facts).areas}


def test_a_week_in_order_has_no_finding_and_every_area_says_so():
    audit = audited(CLEAN)

    assert (audit.outcome, audit.findings) == ("in order", ())
    assert set(outcomes(CLEAN).values()) == {AreaOutcome.IN_ORDER, AreaOutcome.NO_DATA}
    assert outcomes(CLEAN)[Area.CONTROL] is AreaOutcome.NO_DATA
    assert (audit.intents, audit.linked) == (1, 1)


MISSED = SessionSeen(session=DAYS[1], kept=Kept.MISSED, why="nobody ran it")
UNNAMED = ControlSeen(FIRST, "halted", "SIM GOOG", "", "")
FOUND = [
    ({"sessions": (MISSED,)}, Area.SESSIONS, Grade.CRITICAL, "missed: nobody ran it"),
    ({"sessions": (MISSED._replace(kept=Kept.LATE),)}, Area.SESSIONS, Grade.WARNING, "late"),
    (
        {"intents": (INTENT._replace(missing_link="no verdict is stored of it"),)},
        Area.LINEAGE,
        Grade.CRITICAL,
        "no verdict is stored",
    ),
    (
        {"approvals": (APPROVAL._replace(payload_hash="q" * 64),)},
        Area.APPROVALS,
        Grade.CRITICAL,
        "ann answered qqqqqqqqqqqq, what was decided is pppppppppppp",
    ),
    ({"limits_before": "k" * 64}, Area.CONFIGURATION, Grade.WARNING, "kkkkkkkkkkkk became llllllllllll"),
    (
        {"files_before": {"limits.toml": "b" * 64}},
        Area.CONFIGURATION,
        Grade.WARNING,
        "bbbbbbbbbbbb became aaaaaaaaaaaa",
    ),
    ({"files_before": {}}, Area.CONFIGURATION, Grade.WARNING, "none became aaaaaaaaaaaa"),
    ({"files_before": None}, Area.CONFIGURATION, Grade.NOT_CHECKED, "nothing says what they were"),
    ({"controls": (UNNAMED,)}, Area.CONTROL, Grade.WARNING, "nobody named"),
    (
        {"controls": (UNNAMED._replace(actor="ann", reason="prices look odd"),)},
        Area.CONTROL,
        Grade.NOTE,
        "by ann: prices look odd",
    ),
    (
        {"invariants": (HELD._replace(standing="violated", violations=2), SIGNED)},
        Area.INVARIANTS,
        Grade.CRITICAL,
        "2 violations",
    ),
    (
        {"invariants": (HELD._replace(standing="not checked", why="the brokers cannot be read"), SIGNED)},
        Area.INVARIANTS,
        Grade.NOT_CHECKED,
        "the brokers cannot be read",
    ),
    (
        {"invariants": (HELD, SIGNED._replace(standing="violated", violations=1))},
        Area.AUDIT_LOG,
        Grade.CRITICAL,
        "1 violations",
    ),
    (
        {"evidence": (Missing("missing_window", "five momentum", "no run reaches into it"),)},
        Area.EVIDENCE,
        Grade.WARNING,
        "no run reaches",
    ),
    ({"is_filed": False}, Area.EVIDENCE, Grade.NOT_CHECKED, "no run of it was ever filed"),
    ({"incidents": (OPEN_INCIDENT,)}, Area.MISMATCHES, Grade.CRITICAL, "stray_order, open since"),
    (
        {"mismatches": (MismatchSeen("stores", "the journal is an older copy", "trading doctor"),)},
        Area.MISMATCHES,
        Grade.CRITICAL,
        "older copy",
    ),
]


@pytest.mark.parametrize(("changed", "area", "grade", "detail"), FOUND, ids=[one[3] for one in FOUND])
def test_what_is_out_of_order_is_one_finding_of_its_area_and_no_other_area_changes(
    changed, area, grade, detail
):
    facts = replace(CLEAN, **changed)
    audit = audited(facts)

    assert [(one.area, one.grade) for one in audit.findings] == [(area, grade)]
    assert detail in audit.findings[0].detail
    assert audit.findings[0].look.startswith("trading ")
    same, before = outcomes(facts), outcomes(CLEAN)
    assert {one for one in Area if one is not area and same[one] is not before[one]} == set()


def test_what_was_not_checked_is_no_pass():
    unread = HELD._replace(standing="not checked", why="the brokers cannot be read")
    facts = replace(CLEAN, invariants=(unread, SIGNED))

    assert outcomes(facts)[Area.INVARIANTS] is AreaOutcome.NOT_CHECKED
    assert audited(facts).outcome == "in order, 1 not checked"


def test_the_worst_finding_stands_first():
    facts = replace(
        CLEAN, sessions=(MISSED,), limits_before="k" * 64, files_before=None, incidents=(OPEN_INCIDENT,)
    )

    grades = [one.grade for one in audited(facts).findings]

    assert grades == [Grade.CRITICAL, Grade.CRITICAL, Grade.WARNING, Grade.NOT_CHECKED]


def test_a_change_of_limits_within_the_week_is_told_with_its_session_and_back_again_too():
    later = [
        INTENT._replace(intent_id=f"int-{number}", session=day, limits_sha=sha * 64)
        for number, (day, sha) in enumerate(zip(DAYS, "lmmll", strict=True))
    ]

    changes = audited(replace(CLEAN, intents=tuple(later), approvals=())).changes

    assert [(one.on, one.before[0], one.after[0]) for one in changes] == [
        (DAYS[1], "l", "m"),
        (DAYS[3], "m", "l"),
    ]


def test_a_week_without_a_session_is_audited_and_says_so():
    facts = replace(CLEAN, sessions=(), intents=(), approvals=())

    assert audited(facts).outcome == "no session, and nothing out of order"
    assert outcomes(facts)[Area.LINEAGE] is AreaOutcome.NO_DATA


def test_the_payload_is_json_with_digests_by_file():
    payload = audited(replace(CLEAN, sessions=(MISSED,))).payload()

    assert payload["files"] == {"limits.toml": "a" * 64}
    assert payload["findings"][0]["grade"] == "critical"
    assert payload["sessions"][0]["session"] == str(DAYS[0] + timedelta(days=1))
