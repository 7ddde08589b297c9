"""`trading alerts` by its exit code: what fires, how bad it is, who knows of it, and what the policy asks.

In process on a real journal.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from tests.console.states import NOW, SESSION
from tests.console.test_command_line import empty_journal, journal, speak, state
from tests.graph.desk import CONFIG
from tests.trading.test_metrics import worked_by_hand
from trading.alert_log import NO_RULE
from trading.alerts import evaluate, evaluate_watched, judged, judged_watched, tell
from trading.metrics import session_metrics

__all__ = ["empty_journal", "journal", "speak", "state"]

POLICY = load_alert_policy(CONFIG / "alerts.toml")
FAULTS = {"nothing": {}, "warning": {"runs.failed": 1.0}, "critical": {"ticks.failed": 1.0}}


@pytest.fixture
def policy_file(state, monkeypatch):
    """Give the policy in force as a file that may be changed."""
    config = state / "config"
    shutil.copytree(CONFIG, config)
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(config))
    return config / "alerts.toml"


def observe(journal, faults) -> None:
    """Look at what is wrong, as the watch does."""
    tell(
        evaluate_watched(faults, POLICY.rules, book="us_five", session=SESSION),
        codes=judged_watched(faults, POLICY.rules),
        keeper=JournalAlerts(journal),
        policy=POLICY,
        book="us_five",
        session=SESSION,
        now=NOW,
    )


@pytest.mark.parametrize(
    ("fail_on", "codes"),
    [
        ("none", {"nothing": 0, "warning": 0, "critical": 0}),
        ("warning", {"nothing": 0, "warning": 3, "critical": 3}),
        ("critical", {"nothing": 0, "warning": 0, "critical": 3}),
    ],
)
def test_the_verb_ends_with_3_from_the_severity_on_that_the_policy_names(
    speak, journal, policy_file, fail_on, codes
):
    text = policy_file.read_text("utf-8")
    policy_file.write_text(text.replace('fail_on = "critical"', f'fail_on = "{fail_on}"'), "utf-8")

    found = {}
    for name, faults in FAULTS.items():
        observe(journal, faults)
        found[name] = {speak("alerts").code, speak("alerts", "list", "--all", "--json").code}

    assert found == {name: {code} for name, code in codes.items()}


def test_what_somebody_knows_of_fails_nothing(speak, journal):
    observe(journal, FAULTS["critical"])
    assert speak("alerts").code == 3

    speak("alerts", "ack", "tick_failed", "--reason", "looking", "--as", "anna")

    assert speak("alerts").code == 0


def test_an_alert_of_a_rule_that_was_removed_is_over_and_says_why(speak, journal):
    observe(journal, FAULTS["critical"])
    left = replace(POLICY, rules=tuple(rule for rule in POLICY.rules if rule.code != "tick_failed"))
    JournalAlerts(journal).tell(left, now=NOW)

    assert speak("alerts").code == 0
    assert f"UTC: {NO_RULE}" in speak("alerts", "show", "tick_failed").out
    assert speak("alerts", "show", "tick_failed", "--json").json["end_reason"] == NO_RULE


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('fail_on = "critical"', 'fail_on = "always"'),
        lambda text: text.replace('fail_on = "critical"', ""),
        lambda text: text.replace('fail_on = "critical"', "fail_on = ["),
        lambda text: text.replace('source = ["alertname=', 'source = ["alertname'),
        None,
    ],
)
def test_a_policy_that_cannot_be_read_is_wrong_configuration(speak, journal, policy_file, change):
    if change is None:
        policy_file.unlink()
    else:
        policy_file.write_text(change(policy_file.read_text("utf-8")), "utf-8")

    spoken = speak("alerts")

    assert spoken.code == 2
    assert str(policy_file) in spoken.err
    assert "Traceback" not in spoken.err


def test_a_model_that_nobody_asked_is_no_data_and_no_alert(speak, journal):
    metrics = session_metrics(worked_by_hand())
    asked = [row for row in metrics if row.name.startswith("strategist_llm.")]
    silent = [row._replace(value=None) for row in asked]
    assert asked
    alerts = evaluate([*(row for row in metrics if row not in asked), *silent], POLICY.rules, book="us_five")
    of_model = [row for row in alerts if row.metric.startswith("strategist_llm.")]
    tell(
        of_model,
        codes=judged(silent, POLICY.rules),
        keeper=JournalAlerts(journal),
        policy=POLICY,
        book="us_five",
        session=SESSION,
        now=NOW,
    )

    assert of_model == []
    assert speak("alerts").code == 0
