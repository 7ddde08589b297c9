"""An incident looked back on: times from events, a timeline without strangers, a post-mortem to finish."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trading.errors import BadInput
from trading.incident_ladder import Owner
from trading.incident_log import Action
from trading.incident_review import (
    IncidentFacts,
    Part,
    percentile_s,
    postmortem_text,
    reviewed,
)
from trading.journal import JournalEvent

AT = datetime(2013, 2, 28, 15, 0, tzinfo=UTC)


def event(
    seq: int, after_s: int, kind: str, *, intent: str = "", actor: str = "", reason: str = "", **body: Any
) -> JournalEvent:
    return JournalEvent(
        seq=seq,
        at=AT + timedelta(seconds=after_s),
        kind=kind,
        book="",
        lane="paper",
        session="",
        intent_id=intent,
        actor=actor,
        reason="because" if actor else reason,
        body=body,
        prev_hash="",
        hash="",
    )


def facts(**changes: Any) -> IncidentFacts:
    known: dict[str, Any] = {
        "incident_id": 7,
        "at": AT,
        "kind": "parked",
        "account": "A",
        "intent_id": "i1",
        "detail": "not proven",
        "halts": "",
        "answered_at": AT + timedelta(seconds=600),
        "answered_by": "anna",
        "answer": "intent executed",
    }
    return IncidentFacts(**{**known, **changes})


EVENTS = (
    event(1, -5000, "reconciled", account="A"),
    event(2, -90, "prepared", intent="i1"),
    event(3, -80, "prepared", intent="i2"),
    event(4, -60, "prepared_again", intent="i1"),
    event(5, -30, "outcome_unknown", intent="i1"),
    event(6, 0, "incident", intent="i1", reason="not proven", incident="parked", account="A"),
    event(7, 5, "alert", fingerprint="f" * 64, is_firing=True, labels={"alertname": "intents_stuck"}),
    event(8, 120, "incident_acknowledged", actor="anna", incident_id=7),
    event(9, 130, "incident_acknowledged", actor="ben", incident_id=8),
    event(10, 200, "incident_acted", actor="anna", incident_id=7),
    event(11, 300, "run_control", actor="anna", action="pause"),
)


def test_times_are_counted_from_the_last_send_to_the_incident_and_from_there_to_its_answer():
    found = reviewed(facts(), EVENTS)

    assert (found.detect_s, found.acknowledge_s, found.recover_s) == (60, 120, 600)
    assert found.acknowledged_by == "anna"
    assert (found.severity, found.owner) == ("SEV-2", Owner.TRADER)


def test_without_an_intent_it_began_at_the_latest_when_all_agreed_last():
    of = {"intent_id": "", "kind": "cash_mismatch", "detail": "1 there", "answered_at": None}
    told = [
        event(1, -5000, "reconciled", account="A"),
        event(2, 0, "incident", reason="1 there", incident="cash_mismatch", account="A"),
        event(3, 0, "incident", reason="1 there", incident="cash_mismatch", account="B"),
        # The comparison that found it, done at the same instant.
        event(4, 0, "reconciled", account="A"),
    ]
    found = reviewed(facts(**of), told)

    assert (found.detect_s, found.recover_s) == (5000, None)
    assert reviewed(facts(**of, account="B"), told).detect_s is None


def test_an_alert_that_is_over_is_called_in_a_timeline_as_when_it_began():
    over = event(12, 500, "alert", fingerprint="f" * 64, is_firing=False)
    other = event(13, 510, "alert", fingerprint="e" * 64, is_firing=False)
    told = reviewed(facts(), [*EVENTS, over, other]).timeline

    assert [one.what for one in told if one.part is Part.ALERT] == [
        "alert intents_stuck fires",
        "alert intents_stuck is over",
        "alert eeeeeeeeeeee is over",
    ]


def test_the_timeline_has_every_part_and_nothing_of_other_intents_or_incidents():
    found = reviewed(facts(), EVENTS)

    assert [one.seq for one in found.timeline] == [1, 2, 4, 5, 6, 7, 8, 10, 11]
    assert {one.part for one in found.timeline} == {
        Part.RUN,
        Part.ORDER,
        Part.INCIDENT,
        Part.ALERT,
        Part.OPERATOR,
    }
    assert [one.seq for one in found.actions] == [10]
    assert found.timeline[5].what == "alert intents_stuck fires"


TEMPLATE = (Path(__file__).resolve().parents[2] / "config" / "postmortem.md").read_text("utf-8")


def test_a_post_mortem_has_what_is_known_and_asks_for_the_rest():
    planned = Action(
        7, 1, "compare | first", "ben", date(2013, 3, 8), "anna", AT, "ben", AT + timedelta(days=8), "runs"
    )
    told = [one._replace(reason="a | b") if one.kind == "incident" else one for one in EVENTS]
    text = postmortem_text(reviewed(facts(detail="a | b"), told, planned=[planned]), TEMPLATE)

    assert text.startswith("# Incident 7: parked\n\na | b\n")
    assert "| time to detect | 60 s |" in text
    assert "- 2013-02-28 15:03:20 UTC anna: because" in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## What happened",
        "## What was done",
        "## Impact",
        "## Cause",
        "## Detection",
        "## What went well",
        "## Actions",
    ]
    assert text.endswith("| compare \\| first | ben | 2013-03-08 | 2013-03-08 15:00:00 UTC, ben |\n")


@pytest.mark.parametrize(
    "template", [TEMPLATE.replace("$timeline", ""), TEMPLATE + "$severity", TEMPLATE + "$ 5"]
)
def test_a_template_that_lacks_a_part_or_names_another_is_refused(template):
    with pytest.raises(BadInput, match=r"has each of \$incident, .*, no other"):
        postmortem_text(reviewed(facts(), EVENTS), template)


def test_the_95th_percentile_leaves_out_what_is_not_known():
    assert percentile_s([]) is None
    assert percentile_s([None, 5]) == 5
    assert percentile_s(range(1, 101)) == 95
