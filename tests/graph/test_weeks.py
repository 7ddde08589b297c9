"""Weeks at a real desk: each is looked back on once it is over, and a day that nobody ran is named."""

from __future__ import annotations

import json
from datetime import date

import dagster as dg
import pytest

from console.cli import main
from console.weeks import DeskWeeks
from tests.graph.desk import CALENDAR, FIRST, QUIET, Desk, copied, failure_of
from tests.graph.test_schedules_and_sensor import Desktop
from trading.clock import Phase
from trading.compliance import Area, Finding, Grade
from trading.positions import opened_book

WEEK, BEFORE = "2013-W08", "2013-W07"
MISSED, FRIDAY = date(2013, 2, 21), date(2013, 2, 22)


def looked_back(desk: Desk, week: str) -> dg.ExecuteInProcessResult:
    """Run the job of weeks for one, as the schedule's request does."""
    return desk.definitions.resolve_job_def(f"{desk.book}__week").execute_in_process(
        partition_key=week, instance=desk.instance, raise_on_error=False, run_config=QUIET
    )


def settled_without_a_decision(desk: Desk, session: date, *, previous: date) -> None:
    """Have somebody carry a session in the journal, as `trading settle --carry` does."""
    now = desk.profiled.clocks[desk.book].now(session, Phase.SETTLE)
    opened = desk.journal.opening_book(
        **desk.where(session),
        previous=previous,
        opened=opened_book(currency="USD", deposit_micros=1),
        now=now,
    )
    desk.journal.settle(**desk.where(session), closing=opened, carried_by="ann", now=now)


@pytest.fixture(scope="module")
def week(whole_session, tmp_path_factory):
    """Give a desk whose week began on Wednesday, whose Thursday nobody ran, and what its looks found."""
    desk = Desk(copied(whole_session[0].settings.state_dir, tmp_path_factory.mktemp("week") / "desk"))
    home = desk.settings.profile_dir / "dagster"
    home.mkdir()
    daemon = dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}})
    early = week_tick(desk, daemon)
    settled_without_a_decision(desk, FRIDAY, previous=FIRST)
    due = week_tick(desk, daemon)
    desk.instance.add_dynamic_partitions("us_five__weeks", daemon.get_dynamic_partitions("us_five__weeks"))
    run = looked_back(desk, WEEK)
    assert run.success, failure_of(run)
    yield desk, early, due, week_tick(desk, daemon), run
    daemon.dispose()
    desk.close()


def week_tick(desk: Desk, daemon: dg.DagsterInstance):
    """Evaluate the schedule of weeks as the daemon does on a Monday."""
    context = dg.build_schedule_context(
        instance=daemon, scheduled_execution_time=CALENDAR.opens_at(date(2013, 2, 25))
    )
    schedule = Desktop(desk).schedule("week")
    return schedule._execution_fn.decorated_fn(context, week_records=DeskWeeks(desk.settings))


def written(desk: Desk, name: str) -> dict:
    return json.loads((desk.settings.profile_dir / "reports" / "us_five" / WEEK / name).read_text("utf-8"))


def test_a_week_is_asked_for_when_it_is_over_and_never_again(week):
    _, early, due, after, _ = week

    assert isinstance(early, dg.SkipReason)
    assert [(request.partition_key, request.run_key) for request in due] == [
        (WEEK, f"us_five:{WEEK}:week:2013-02-25")
    ]
    assert isinstance(after, dg.SkipReason)


def test_the_health_summary_names_every_session_and_adds_up_what_was_run(week):
    health = written(week[0], "health.json")

    assert [(row["session"], row["kept"]) for row in health["sessions"]] == [
        ("2013-02-20", "in time"),
        ("2013-02-21", "missed"),
        ("2013-02-22", "missed"),
    ]
    assert health["closed"] == [["2013-02-18", "President's Day"]]
    assert health["attention"] == [
        "2013-02-21 missed: nobody ran it",
        "2013-02-22 missed: carried by ann: nothing was decided",
        "availability has spent its error budget",
    ]
    assert (health["expected"], health["run"], health["missed"]) == (3, 1, 2)
    assert health["sessions"][0]["orders"] == health["orders"] > 0
    report = json.loads(
        (week[0].settings.profile_dir / "reports" / "us_five" / str(FIRST) / "report.json").read_text("utf-8")
    )
    assert health["equity"] == report["pnl"]["equity"]
    assert health["pnl"] == report["pnl"]["session_pnl"]
    assert health["budgets"][0]["sessions"] == 3


def test_the_audit_finds_the_missed_day_and_that_nothing_else_is_wrong(week):
    desk, *_, run = week
    rows = desk.lake.read_rows(("us_five", "weekly_audit"), WEEK, Finding)[0]

    critical = [(row.area, row.subject) for row in rows if row.grade is Grade.CRITICAL]
    assert critical == [(Area.SESSIONS, "2013-02-21"), (Area.SESSIONS, "2013-02-22")]
    audit = written(desk, "audit.json")
    assert audit["linked"] == audit["intents"] > 0
    assert {row["invariant"] for row in audit["invariants"]} >= {"INV1", "INV8", "INV20"}
    assert [row for row in audit["invariants"] if row["standing"] == "violated"] == []
    assert "limits.toml" in audit["files"]
    unknown = [row.subject for row in rows if row.grade is Grade.NOT_CHECKED]
    assert "reviewed files" in unknown
    (check,) = run.get_asset_check_evaluations()
    assert not check.passed


def test_the_graph_shows_what_was_found_as_metadata(week):
    told = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in week[-1].get_asset_materialization_events()
    }

    assert told["weekly_health"]["sessions"].value == "1 of 3 run, 0 late, 2 missed"
    assert told["weekly_audit"]["critical"].value == 2
    assert len(told["weekly_audit"]["areas"].records) == len(Area)


def test_a_name_of_no_week_is_refused_in_one_line(week):
    desk = week[0]
    desk.instance.add_dynamic_partitions("us_five__weeks", ["last one"])

    run = looked_back(desk, "last one")

    assert not run.success
    assert "write it as 2013-W09" in failure_of(run)[1]


def test_the_verbs_tell_the_same_and_the_pages_stand_alone(week, monkeypatch, capsys):
    desk = week[0]
    monkeypatch.setenv("TRADING_STATE_DIR", str(desk.settings.state_dir))

    assert main(["report", "week", "--book", "us_five", "--week", WEEK, "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["health"]["attention"] == written(desk, "health.json")["attention"]
    assert said["html"].endswith(f"{WEEK}/health.html")
    assert main(["report", "audit", "--book", "us_five", "--week", BEFORE]) == 0
    text = capsys.readouterr().out
    assert text.startswith("us_five 2013-W07: no session, and nothing out of order")
    for name in ("health.html", "audit.html"):
        page = (desk.settings.profile_dir / "reports" / "us_five" / WEEK / name).read_text("utf-8")
        assert "<script" not in page
        assert "2013-02-21" in page
        assert "<svg" in page
