"""How the desk runs, over the API: true before the first session, and after one that went wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console.slo import DeskLevels
from console.status import status_of
from console.web.identities import Role
from resources.journal.store import SqlJournal
from resources.signal_keeper import JournalSignals
from tests.console.states import NOW, SESSION, a_parked_intent
from tests.console.web.serving import console_on
from trading.signal_continuity import Poll, SessionState, window_of
from trading.slos import Judgement, Level

VIEWER = Role.VIEWER


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    with console_on(tmp_path_factory.mktemp("empty") / "state") as console:
        yield console


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Serve a desk with a filled, a blocked and a parked intent, and a window in which no quotes came."""
    with console_on(tmp_path_factory.mktemp("traded") / "state") as console:
        with SqlJournal(console.desk.settings.journal_url) as journal:
            a_parked_intent(journal)
            poll = Poll(
                looked_at=NOW,
                session_state=SessionState.PRE_OPEN,
                is_configured=True,
                universe=5,
                invalid="",
                cursor=None,
                tail=None,
                rows=0,
                signals=0,
                due=SESSION - timedelta(days=1),
                due_at=NOW - timedelta(hours=16),
            )
            window = window_of(poll, book="us_five", session=SESSION, earlier=None)
            JournalSignals(journal).keep(window, lane="simulated", now=NOW)
        yield console


def item(console, path: str):
    answer = console.ask("GET", f"/api/v1{path}", role=VIEWER)
    assert answer.status == 200, answer.body
    return answer.json.get("item", answer.json.get("items"))


def test_before_the_first_session_nothing_is_claimed_and_nothing_is_nought_that_is_not_known(empty):
    autonomy = item(empty, "/trading/autonomy?book=us_five")
    (metrics,) = item(empty, "/trading/metrics?book=us_five")
    (profit,) = item(empty, "/trading/profitability/runtime?book=us_five")
    slo = item(empty, "/slo")

    assert (autonomy["may_trade"], autonomy["level"], autonomy["watch_at"]) == (True, "normal", None)
    assert autonomy["books"][0]["last_session"] is None
    assert autonomy["books"][0]["signals"]["last"] is None
    assert (metrics["session"], metrics["metrics"]) == (None, [])
    assert profit["window"]["empty"] is True
    assert profit["realized_pnl_summary"]["adverse_excursion_proxy_bps_p95"] is None
    assert profit["caveats"] == ["no session of the book falls in the window"]
    assert [one["ratio"] for one in slo["objectives"]] == [None] * 4


def test_what_holds_the_desk_back_is_told_with_its_reason(traded):
    autonomy = item(traded, "/trading/autonomy?book=us_five")
    (signals,) = item(traded, "/signals?book=us_five")
    slo = item(traded, "/slo?book=us_five")

    assert autonomy["level"] == "incident"
    assert autonomy["severity"] == "SEV-1"
    assert autonomy["incidents_open"] == 1
    assert signals["held"] == "cursor_tail_stable, 57600 s late"
    assert {one["objective"]: (one["good"], one["total"]) for one in slo["objectives"]} == {
        "availability": (0, 0),
        "latency": (1, 1),
        "freshness": (0, 1),
        "execution": (0, 1),
    }


def test_one_set_of_facts_gives_one_level_at_every_surface(traded):
    desk = traded.desk
    slo, autonomy = item(traded, "/slo"), item(traded, "/trading/autonomy")
    status, told = status_of(desk), item(traded, "/status")
    scraped = traded.ask("GET", "/metrics", role=VIEWER).body.decode()
    pages = [traded.ask("GET", path, headers=traded.signed_in()).body.decode() for path in ("/", "/slo")]
    because = tuple(slo["reasons"])

    assert slo["level"] == "incident"
    assert because
    assert (autonomy["level"], tuple(autonomy["level_because"])) == ("incident", because)
    assert (status.level, status.level_because, status.severity) == ("incident", because, slo["severity"])
    assert (told["level"], tuple(told["level_because"])) == ("incident", because)
    assert 'trading_level{level="incident"} 1.0' in scraped
    assert DeskLevels(desk=desk).judgement() == Judgement(level=Level.INCIDENT, reasons=because)
    assert [page.count("■ incident") > 0 for page in pages] == [True, True]


def test_before_a_model_was_asked_its_cost_for_each_intent_is_not_known(empty):
    costs = item(empty, "/costs")

    assert (costs["calls"], costs["per_run"], costs["per_intent"]) == (0, None, None)
    assert costs["sessions"] == []


def test_one_incident_is_told_with_its_timeline_and_what_people_do_about_it(traded):
    asked = traded.ask(
        "POST",
        "/api/v1/incidents/1/act",
        role=Role.TRADER,
        body={"reason": "asked the broker"},
        headers={"Idempotency-Key": "one"},
    )
    refused = traded.ask(
        "POST",
        "/api/v1/incidents/1/resolve",
        role=Role.TRADER,
        body={"reason": "it is over"},
        headers={"Idempotency-Key": "two"},
    )
    review = item(traded, "/incidents/1")

    assert (asked.status, refused.status) == (200, 409)
    assert "is over when intent" in refused.json["detail"]
    assert review["severity"] == "SEV-2"
    assert review["owner"] == "trader"
    assert [one["reason"] for one in review["actions"]] == ["asked the broker"]
    assert {"order", "incident", "operator"} <= {one["part"] for one in review["timeline"]}


def test_a_number_that_no_incident_has_is_not_found(traded):
    assert traded.ask("GET", "/api/v1/incidents/99", role=VIEWER).status == 404
