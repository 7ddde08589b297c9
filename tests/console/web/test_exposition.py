"""What a Prometheus is told: by the gate's rules, valid before any session, enough for rules and panels."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from console.exposition import closed_since_settled, families_of
from console.web.identities import Role
from resources.advisors.call_log import JournalCallLog
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.calendars import load_calendar
from resources.journal.store import SqlJournal
from resources.signal_keeper import JournalSignals
from resources.watch_signs import WatchSigns
from tests.console.states import OPENED, a_parked_intent
from tests.console.web.serving import console_on
from trading.alert_groups import Matcher, Route
from trading.alerts import ALERTNAME, STUCK, evaluate_watched, judged_watched, tell
from trading.sessions import Calendar
from trading.signal_continuity import Poll, SessionState, window_of
from trading.slos import BAD_MIN, PAIRS
from trading.testing import example_call
from trading.timetable import SETTLE_AFTER_CLOSE

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
AMTOOL = shutil.which("amtool")
needs_amtool = pytest.mark.skipif(
    AMTOOL is None, reason="amtool checks a configuration (Debian: prometheus-alertmanager)"
)
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool checks rules (Debian: prometheus)")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="Prometheus answers panels (Debian: prometheus)"
)
SESSION, SETTLED = date(2013, 2, 28), date(2013, 2, 27)
NOW = datetime(2013, 2, 28, 21, 30, tzinfo=UTC)
SCRAPED_S_MAX = 120
GRID_WIDTH = 24
NO_QUOTES = Poll(
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


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    with console_on(tmp_path_factory.mktemp("empty") / "state") as console:
        yield console


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """Serve a desk with a settled session, then a window without quotes and an intent that is not proven."""
    with console_on(tmp_path_factory.mktemp("traded") / "state") as console:
        policy = load_alert_policy(ROOT / "config" / "alerts.toml")
        with SqlJournal(console.desk.settings.journal_url) as journal:
            settled = {"book": "us_five", "lane": "simulated", "session": SETTLED}
            journal.opening_book(**settled, previous=None, opened=OPENED, now=NOW)
            journal.register(**settled, decisions=(), verdicts=(), decisions_sha="sha", now=NOW)
            journal.settle(**settled, closing=OPENED, carried_by="", now=NOW)
            a_parked_intent(journal)
            WatchSigns(console.desk.settings.profile_dir).beat()
            for minutes in (1, 0):
                poll = replace(NO_QUOTES, looked_at=NOW - timedelta(minutes=minutes))
                window = window_of(poll, book="us_five", session=SESSION, earlier=None)
                JournalSignals(journal).keep(window, lane="simulated", now=NOW)
            JournalCallLog(journal).record(example_call())
            watched = {STUCK: 1}
            tell(
                evaluate_watched(watched, policy.rules, book="us_five", session=SESSION),
                codes=judged_watched(watched, policy.rules),
                keeper=JournalAlerts(journal),
                policy=policy,
                book="us_five",
                session=SESSION,
                now=NOW,
            )
        yield console


def scraped(console) -> dict[str, float]:
    """Give every sample by its name and labels, as a parser of the format reads it."""
    answer = console.ask("GET", "/metrics", role=Role.VIEWER)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        f"{sample.name}{{{','.join(f'{k}={v}' for k, v in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_a_book_is_behind_from_its_first_session_on_and_one_that_nobody_began_is_not(tmp_path):
    with console_on(tmp_path / "state") as console:
        with SqlJournal(console.desk.settings.journal_url) as journal:
            begun = {"book": "us_five", "lane": "simulated", "session": SETTLED}
            journal.opening_book(**begun, previous=None, opened=OPENED, now=NOW)
        told = scraped(console)

    behind = {name: value for name, value in told.items() if name.startswith("trading_sessions_behind")}
    # The data ends with the first of March.
    assert behind == {"trading_sessions_behind{book=us_five}": 3}


def test_without_a_token_nothing_is_told(empty):
    answer = empty.ask("GET", "/metrics")

    assert answer.status == 401
    assert b"trading_" not in answer.body


def test_before_the_first_session_everything_countable_is_zero_and_no_close_is_claimed(empty):
    told = scraped(empty)

    assert told["trading_desk_info{mode=simulated}"] == 1
    assert told["trading_kill_switch_on{}"] == 0
    assert told["trading_intents{book=us_five,state=executed}"] == 0
    assert told["trading_fills_total{book=us_five,side=BUY}"] == 0
    assert [
        name
        for name in told
        if name.startswith(("trading_settled", "trading_cash", "trading_alerts", "trading_sessions_behind"))
    ] == []


def test_what_happened_is_counted_and_what_fires_is_named(traded):
    told = scraped(traded)

    assert told["trading_intents{book=us_five,state=unknown}"] == 1
    assert told["trading_intents{book=us_five,state=executed}"] == 0
    assert told["trading_orders{book=us_five,status=unknown}"] == 1
    assert told["trading_order_attempts_total{book=us_five,status=unknown}"] == 1
    assert told["trading_intents_stuck{book=us_five}"] == 1
    firing = "trading_alerts{about=,alertname=intents_stuck,book=us_five,severity=critical,state=firing}"
    assert told[firing] == 1
    assert told["trading_messages{channel=webhook,severity=critical,status=waiting}"] == 1


def test_no_label_names_an_order_an_intent_or_a_person(traded):
    labels = {
        label
        for family in text_string_to_metric_families(
            traded.ask("GET", "/metrics", role=Role.VIEWER).body.decode()
        )
        for sample in family.samples
        for label in sample.labels
    }

    assert labels <= {
        "mode", "account", "book", "state", "status", "side", "channel", "severity", "reason", "kind",
        "alertname", "currency", "about", "level", "objective", "window", "outcome", "purpose",
    }  # fmt: skip


def test_before_the_first_session_no_service_level_claims_anything(empty):
    told = scraped(empty)

    assert told["trading_level{level=normal}"] == 1
    assert told["trading_slo_target_ratio{objective=latency}"] == 0.99
    assert told["trading_slo_events{objective=latency,outcome=good,window=budget}"] == 0
    assert told["trading_advisor_cost_usd_total{book=us_five,purpose=advice}"] == 0
    assert [
        name for name in told if name.startswith(("trading_slo_burn_rate", "trading_slo_error_budget_left"))
    ] == []


def test_service_levels_are_told_as_the_desk_itself_tells_them(traded):
    told = scraped(traded)
    slo = traded.ask("GET", "/api/v1/slo", role=Role.VIEWER).json["item"]

    assert told[f"trading_level{{level={slo['level']}}}"] == 1
    for one in slo["objectives"]:
        named = f"objective={one['objective']}"
        assert told.get(f"trading_slo_error_budget_left_ratio{{{named}}}") == one["budget_left"]
        assert told[f"trading_slo_events{{{named},outcome=good,window=budget}}"] == one["good"]
        for row in one["windows"]:
            assert told.get(f"trading_slo_burn_rate{{{named},window={row['window']}}}") == row["burn"]
    assert told["trading_slo_burn_rate{objective=freshness,window=1h}"] == pytest.approx(100)


def test_what_models_cost_is_told_with_what_they_were_asked_about(traded):
    told, of = scraped(traded), "book=us_five"

    assert told[f"trading_advisor_cost_usd_total{{{of},purpose=advice}}"] == pytest.approx(0.00012)
    assert told[f"trading_advisor_calls_total{{{of},outcome=answered,purpose=advice}}"] == 1
    assert told[f"trading_advisor_tokens_total{{{of},kind=prompt,purpose=advice}}"] == 900
    assert told[f"trading_advisor_intents_total{{{of},purpose=advice}}"] == 1
    assert told[f"trading_advisor_runs_total{{{of},purpose=advice}}"] == 1


FROZEN = json.loads((ROOT / "config" / "exposition_v1.json").read_text("utf-8"))


def test_no_family_is_removed_renamed_or_told_otherwise_than_it_was_frozen(empty):
    told = {one.name: {"type": one.kind, "labels": list(one.labels)} for one in families_of(empty.desk)}

    assert FROZEN["schema_version"] == "exposition.v1"
    assert told == FROZEN["families"]


@needs_promtool
@pytest.mark.parametrize("desk", ["empty", "traded"])
def test_the_exposition_passes_promtools_lint(desk, request):
    body = request.getfixturevalue(desk).ask("GET", "/metrics", role=Role.VIEWER).body
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=body, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode()) == (0, "")


RULE_FILES = (DEPLOY / "prometheus" / "rules.yml",)
CASE_FILES = tuple(sorted((DEPLOY / "prometheus").glob("*_test.yml")))


def written(path: Path) -> dict[str, Any]:
    """Give what stands in a file of Prometheus or Alertmanager."""
    return yaml.safe_load(path.read_text("utf-8"))


@needs_promtool
def test_the_rules_and_their_tests_pass(tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (folder / "console.token").write_text("secret")
    for words in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", "rules.yml"],
        ["test", "rules", *(file.name for file in CASE_FILES)],
    ):
        done = subprocess.run([PROMTOOL, *words], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_case_in_which_it_finds_something():
    rules = [rule for file in RULE_FILES for group in written(file)["groups"] for rule in group["rules"]]
    cases = [case for file in CASE_FILES for case in written(file)["tests"]]
    fired = {
        one["alertname"] for case in cases for one in case.get("alert_rule_test", ()) if one["exp_alerts"]
    }
    recorded = {
        one["expr"] for case in cases for one in case.get("promql_expr_test", ()) if one["exp_samples"]
    }

    assert {rule["alert"] for rule in rules if "alert" in rule} == fired
    assert {rule["record"] for rule in rules if "record" in rule} == recorded
    assert set(written(DEPLOY / "prometheus" / "prometheus.yml")["rule_files"]) == {
        file.name for file in RULE_FILES
    }


@needs_promtool
def test_a_rule_that_says_otherwise_fails_its_test(tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    rules = folder / "rules.yml"
    rules.write_text(rules.read_text().replace('up{job="trading"} == 0', 'up{job="trading"} == 2'))

    done = subprocess.run(
        [PROMTOOL, "test", "rules", "rules_test.yml"], cwd=folder, capture_output=True, check=False
    )

    assert done.returncode != 0


ODD_DAYS = {
    "the beginning of summer time": (date(2012, 3, 9), date(2012, 3, 13)),
    "a storm and the end of summer time": (date(2012, 10, 26), date(2012, 11, 6)),
    "a holiday and a half day": (date(2012, 11, 21), date(2012, 11, 27)),
}
EVERY = timedelta(minutes=30)
NEW_YORK = ZoneInfo("America/New_York")
XNYS = load_calendar("XNYS", ROOT / "config" / "calendars")
WEEKDAYS = replace(
    XNYS,
    sessions=tuple(
        XNYS.sessions[0] + timedelta(days=day)
        for day in range((XNYS.sessions[-1] - XNYS.sessions[0]).days)
        if (XNYS.sessions[0] + timedelta(days=day)).weekday() < 5
    ),
)


def what_fires(folder: Path, days: tuple[date, date], counted_by: Calendar) -> str:
    """Give what promtool says of a desk that runs well over some days: each alert that fires at any time.

    Sessions are settled by the exchange's calendar; which are behind is counted by another one.
    """
    began = XNYS.closes_at(days[0])
    times = [began + number * EVERY for number in range((days[1] - days[0]) // EVERY)]
    settled = [
        max(day for day in XNYS.between(days[0], days[1]) if settled_at(day) <= max(at, settled_at(days[0])))
        for at in times
    ]
    behind = [
        closed_since_settled(
            counted_by, first=days[0], settled=last, today=at.astimezone(NEW_YORK).date(), now=at
        )
        for at, last in zip(times, settled, strict=True)
    ]
    told = {
        'up{job="trading", instance="desk"}': [1] * len(times),
        'trading_desk_info{mode="paper"}': [1] * len(times),
        'trading_sessions_behind{book="us_five"}': behind,
        'trading_settled_close_timestamp_seconds{book="us_five"}': [
            (XNYS.closes_at(day) - began).total_seconds() for day in settled
        ],
        "trading_watch_timestamp_seconds": [(at - began).total_seconds() - 60 for at in times],
        'trading_intents_stuck{book="us_five"}': [0] * len(times),
        'trading_messages{channel="webhook", severity="critical", status="waiting"}': [0] * len(times),
        'trading_messages{channel="webhook", severity="critical", status="dead"}': [0] * len(times),
    }
    found = f'count_over_time(ALERTS{{alertstate="firing", alertname!="TradingWatchdog"}}[{len(times)}h])'
    case = {
        "interval": f"{EVERY.seconds}s",
        "input_series": [
            {"series": name, "values": " ".join(f"{value:.0f}" for value in values)}
            for name, values in told.items()
        ],
        "promql_expr_test": [
            {"expr": found, "eval_time": f"{(len(times) - 1) * EVERY.seconds}s", "exp_samples": []}
        ],
    }
    cases = {"rule_files": [RULE_FILES[0].name], "evaluation_interval": f"{EVERY.seconds}s", "tests": [case]}
    shutil.copy(RULE_FILES[0], folder)
    (folder / "cases.yml").write_text(json.dumps(cases))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "cases.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def settled_at(session: date) -> datetime:
    """Give when a session is settled by its schedule."""
    return XNYS.closes_at(session) + SETTLE_AFTER_CLOSE


@needs_promtool
@pytest.mark.parametrize("days", ODD_DAYS.values(), ids=ODD_DAYS)
def test_over_odd_days_nothing_fires_of_a_desk_that_runs_well(days, tmp_path):
    assert what_fires(tmp_path, days, XNYS) == ""


@needs_promtool
def test_a_desk_that_takes_a_storm_for_sessions_is_told_to_be_behind(tmp_path):
    said = what_fires(tmp_path, ODD_DAYS["a storm and the end of summer time"], WEEKDAYS)

    assert 'alertname="TradingSessionsBehind"' in said


FOR_TRADING_DESKS = ' and on () trading_desk_info{mode!="simulated"}'
CONDITIONS = [
    (rule["alert"], condition)
    for file in RULE_FILES
    for group in written(file)["groups"]
    for rule in group["rules"]
    for condition in ("for", FOR_TRADING_DESKS)
    if condition in rule or condition in rule["expr"]
]


@needs_promtool
@pytest.mark.parametrize(("alert", "condition"), CONDITIONS, ids=lambda one: one.strip().partition(" ")[0])
def test_a_rule_that_no_longer_waits_or_spares_simulated_desks_fails_a_case(alert, condition, tmp_path):
    (file,) = RULE_FILES
    rules = written(file)
    (rule,) = (one for group in rules["groups"] for one in group["rules"] if one.get("alert") == alert)
    if condition == "for":
        del rule["for"]
    else:
        rule["expr"] = rule["expr"].replace(condition, "")
    (tmp_path / file.name).write_text(yaml.safe_dump(rules))
    cases = written(DEPLOY / "prometheus" / "rules_test.yml")
    cases["tests"] = [
        case
        for case in cases["tests"]
        if any(one["alertname"] == alert for one in case.get("alert_rule_test", ()))
    ]
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases))

    done = subprocess.run(
        [PROMTOOL, "test", "rules", "cases.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "FAILED" in done.stdout + done.stderr, f"no case of {alert} needs {condition}"


@needs_amtool
def test_alertmanager_takes_its_configuration():
    file = DEPLOY / "alertmanager" / "alertmanager.yml"
    done = subprocess.run([AMTOOL, "check-config", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_amtool
def test_a_configuration_that_alertmanager_does_not_take_is_found(tmp_path):
    file = tmp_path / "alertmanager.yml"
    text = (DEPLOY / "alertmanager" / "alertmanager.yml").read_text("utf-8")
    file.write_text(text.replace("receiver: dead_man", "receiver: dead_woman"))

    done = subprocess.run([AMTOOL, "check-config", file], capture_output=True, check=False)

    assert done.returncode != 0


def test_an_alertmanager_groups_waits_repeats_and_holds_back_as_the_desk_itself_does():
    config, policy = (
        written(DEPLOY / "alertmanager" / "alertmanager.yml"),
        load_alert_policy(ROOT / "config" / "alerts.toml"),
    )
    route = config["route"]
    told = Route(
        group_by=tuple(route["group_by"]),
        group_wait_s=seconds(route["group_wait"]),
        group_interval_s=seconds(route["group_interval"]),
        repeat_interval_s=seconds(route["repeat_interval"]),
    )
    inhibitions = [
        (set(rule["source_matchers"]), set(rule["target_matchers"]), tuple(rule.get("equal", ())))
        for rule in config["inhibit_rules"]
    ]
    ours = [(carried(rule.source), carried(rule.target), rule.equal) for rule in policy.inhibit]

    assert told == policy.route
    assert [rule for rule in inhibitions if rule not in ours] == [
        ({'alertname="TradingDoesNotAnswer"'}, {'alertname="TradingIsGone"'}, ())
    ]
    assert [rule for rule in ours if rule not in inhibitions] == []


def seconds(text: str) -> int:
    """Give the length of a span as Prometheus writes it, of one unit."""
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]]


def carried(matchers: tuple[Matcher, ...]) -> set[str]:
    """Give what matches in Alertmanager an alert of the desk, which Prometheus carries on under its code."""
    told = {
        f'{"code" if one.name == ALERTNAME else one.name}{one.matching.value}"{one.value}"'
        for one in matchers
    }
    return {'alertname="TradingAlertFires"', *told}


DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text("utf-8"))


def dashboard_of(path: Path) -> dict[str, Any]:
    """Give one dashboard."""
    return json.loads(path.read_text("utf-8"))


def panels() -> list[tuple[str, str]]:
    """Give each question of each panel of each dashboard, under a name of its own."""
    return [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for path in DASHBOARDS
        for panel in dashboard_of(path)["panels"]
        for target in panel["targets"]
    ]


def mistakes_of(dashboard: dict[str, Any]) -> list[str]:
    """Give what is wrong with a dashboard: by the schema, then what no schema can say."""
    found = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(dashboard)
    ]
    if found:
        return found
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    found += [f"id {one} stands twice" for one in set(ids) if ids.count(one) > 1]
    provisioned = (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    for panel in panels:
        place, letters = panel["gridPos"], [target["refId"] for target in panel["targets"]]
        found += [f"{panel['title']}: out of the grid"] * (place["x"] + place["w"] > GRID_WIDTH)
        found += [f"{panel['title']}: a letter stands twice"] * (len(letters) != len(set(letters)))
        found += [
            f"{panel['title']}: {source['uid']} is not provisioned"
            for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"]))
            if f"uid: {source['uid']}" not in provisioned
        ]
    for one, other in itertools.combinations(panels, 2):
        if covers(one["gridPos"], other["gridPos"]):
            found.append(f"{one['title']} lies over {other['title']}")
    return found


def covers(one: dict[str, int], other: dict[str, int]) -> bool:
    """Say whether two places of a grid have a cell in common."""
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_a_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_as_grafana_takes_it(path):
    assert mistakes_of(dashboard_of(path)) == []


def test_no_two_dashboards_are_one():
    uids = [dashboard_of(path)["uid"] for path in DASHBOARDS]

    assert len(uids) == len(set(uids)) >= 2


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    dashboard = dashboard_of(DASHBOARDS[0])
    change(dashboard)
    return dashboard


@pytest.mark.parametrize(
    "change",
    [
        lambda board: board["panels"][0].pop("title"),
        lambda board: board["panels"][1].update(id=board["panels"][0]["id"]),
        lambda board: board["panels"][1].update(gridPos=board["panels"][0]["gridPos"]),
        lambda board: board["panels"][0]["gridPos"].update(x=22),
        lambda board: board["panels"][0]["datasource"].update(uid="somebody-elses"),
        lambda board: board["panels"][0]["targets"][0].pop("expr"),
        lambda board: board["panels"][0].update(type="graf"),
        lambda board: board.update(schemaVersion="36"),
    ],
)
def test_a_dashboard_that_grafana_would_not_show_is_found(change):
    assert mistakes_of(broken(change)) != []


@needs_promtool
def test_every_question_of_a_panel_is_one_that_prometheus_can_parse(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expr} for number, (_, expr) in enumerate(panels())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_desk_and_prometheus_judge_a_burn_by_the_same_numbers():
    rules = (DEPLOY / "prometheus" / "rules.yml").read_text("utf-8")
    written = dict(
        re.findall(r"last_over_time\(objective:trading_slo_burn_rate:(\w+)\[10d\]\) > ([\d.]+)\s", rules)
    )
    policy = {rule.metric: rule.threshold for rule in load_alert_policy(ROOT / "config/alerts.toml").rules}

    assert {name: float(rate) for name, rate in written.items()} == {
        f"{pair.long}_{pair.short}": policy[pair.metric] for pair in PAIRS
    }
    for compared in (">=", "<"):
        assert rules.count(f'outcome="bad"}} {compared} {BAD_MIN}') == len(PAIRS)


@needs_prometheus
def test_a_real_prometheus_with_a_token_file_answers_every_panel(traded, tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (folder / "console.token").write_text(traded.token(Role.VIEWER))
    config = folder / "prometheus.yml"
    text = config.read_text().replace("127.0.0.1:3001", f"127.0.0.1:{traded.port}")
    config.write_text(text.replace("interval: 15s", "interval: 1s").replace("127.0.0.1:9093", "127.0.0.1:1"))

    with prometheus(folder) as client:
        unanswered = dict(panels())
        until = time.monotonic() + SCRAPED_S_MAX
        while unanswered and time.monotonic() < until:
            unanswered = {title: expr for title, expr in unanswered.items() if not answer(client, expr)}
            time.sleep(0.3 if unanswered else 0)
        firing = {row["metric"]["alertname"] for row in answer(client, 'ALERTS{alertstate="firing"}')}

    assert unanswered == {}
    assert "TradingWatchdog" in firing


@contextmanager
def prometheus(folder: Path) -> Iterator[httpx.Client]:
    """Run a Prometheus on a configuration while inside, and give what asks it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=said,
            stderr=said,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


def answer(client: httpx.Client, expr: str) -> list[dict]:
    """Give what a query finds now; nothing while the server is not up."""
    try:
        reply = client.get("/api/v1/query", params={"query": expr}).json()
    except (httpx.TransportError, ValueError):
        return []
    assert reply["status"] == "success", reply
    return reply["data"]["result"]
