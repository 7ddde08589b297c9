"""What a Prometheus is told: by the gate's rules, valid before any session, enough for rules and panels."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from console.web.identities import Role
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.journal.store import SqlJournal
from resources.signal_keeper import JournalSignals
from resources.watch_signs import WatchSigns
from tests.console.states import a_parked_intent
from tests.console.web.serving import console_on
from trading.alerts import STUCK, evaluate_watched, judged_watched, tell
from trading.signal_continuity import Poll, SessionState, window_of

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
PROMTOOL, PROMETHEUS = shutil.which("promtool"), shutil.which("prometheus")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool checks rules (Debian: prometheus)")
needs_prometheus = pytest.mark.skipif(
    PROMETHEUS is None, reason="Prometheus answers panels (Debian: prometheus)"
)
SESSION = date(2013, 2, 28)
NOW = datetime(2013, 2, 28, 21, 30, tzinfo=UTC)
SCRAPED_S_MAX = 120
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
    """Serve a desk that was looked at, with a window without quotes, and an intent that is not proven."""
    with console_on(tmp_path_factory.mktemp("traded") / "state") as console:
        policy = load_alert_policy(ROOT / "config" / "alerts.toml")
        with SqlJournal(console.desk.settings.journal_url) as journal:
            a_parked_intent(journal)
            WatchSigns(console.desk.settings.profile_dir).beat()
            window = window_of(NO_QUOTES, book="us_five", session=SESSION, earlier=None)
            JournalSignals(journal).keep(window, lane="simulated", now=NOW)
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
        name for name in told if name.startswith(("trading_settled", "trading_cash", "trading_alerts"))
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
        "alertname", "currency", "about",
    }  # fmt: skip


@needs_promtool
@pytest.mark.parametrize("desk", ["empty", "traded"])
def test_the_exposition_passes_promtools_lint(desk, request):
    body = request.getfixturevalue(desk).ask("GET", "/metrics", role=Role.VIEWER).body
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=body, capture_output=True, check=False)

    assert (done.returncode, done.stderr.decode()) == (0, "")


@needs_promtool
def test_the_rules_and_their_tests_pass(tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (folder / "console.token").write_text("secret")
    for words in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ):
        done = subprocess.run([PROMTOOL, *words], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_rule_that_says_otherwise_fails_its_test(tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    rules = folder / "rules.yml"
    rules.write_text(rules.read_text().replace('up{job="trading"} == 0', 'up{job="trading"} == 2'))

    done = subprocess.run(
        [PROMTOOL, "test", "rules", "rules_test.yml"], cwd=folder, capture_output=True, check=False
    )

    assert done.returncode != 0


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "desk.json").read_text("utf-8"))
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel["targets"]]


def test_a_dashboards_panels_have_ids_of_their_own_and_say_what_they_show():
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "desk.json").read_text("utf-8"))

    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert [panel["title"] for panel in dashboard["panels"] if not panel["description"]] == []
    source = (DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    assert all(f"uid: {panel['datasource']['uid']}" in source for panel in dashboard["panels"])


NOT_BEFORE_A_SETTLED_SESSION = {"Since the last settled close", "Cash", "Realised P&L", "Sessions behind"}
"""Panels about what a settled session leaves: absent until there is one, as `/metrics` says of it."""


@needs_prometheus
def test_a_real_prometheus_with_a_token_file_answers_every_panel(traded, tmp_path):
    folder = shutil.copytree(DEPLOY / "prometheus", tmp_path / "prometheus")
    (folder / "console.token").write_text(traded.token(Role.VIEWER))
    config = folder / "prometheus.yml"
    text = config.read_text().replace("127.0.0.1:3001", f"127.0.0.1:{traded.port}")
    config.write_text(text.replace("interval: 15s", "interval: 1s").replace("127.0.0.1:9093", "127.0.0.1:1"))

    with prometheus(folder) as client:
        unanswered = {title: expr for title, expr in panels() if title not in NOT_BEFORE_A_SETTLED_SESSION}
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
