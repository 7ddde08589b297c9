"""The reviewed alert policy: what stands in the box is usable, and each mistake is named exactly."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from resources.alert_policy import load_alert_policy
from trading.alerts import FailOn
from trading.errors import BadSetting

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config" / "alerts.toml"


@pytest.fixture
def policy_file(tmp_path) -> Path:
    return tmp_path / "alerts.toml"


def test_the_file_in_the_box_holds_the_promised_rules() -> None:
    policy = load_alert_policy(FILE)

    told = {rule.code: (rule.severity.value, rule.comparison.value, rule.threshold) for rule in policy.rules}
    assert told == {
        "strategist_success_rate_low": ("critical", "below", 0.70),
        "strategist_circuit_open_rate_high": ("critical", "above", 0.30),
        "execution_blocked_rate_high": ("warning", "above", 0.60),
        "execution_approved_executed_gap_high": ("critical", "above", 0),
        "broker_api_429_rate_high": ("warning", "above", 0.20),
        "portfolio_guard_blocked_ratio_high": ("warning", "above", 0.70),
        "portfolio_guard_strategy_budget_exceeded_high": ("warning", "above", 20),
        "drawdown_high": ("warning", "above", 0.10),
        "execution_unknown_intents": ("critical", "above", 0),
        "quarantined_ratio_high": ("warning", "above", 0.05),
        "intents_stuck": ("critical", "above", 0),
        "broker_disagrees": ("critical", "above", 0),
        "replay_differs": ("critical", "above", 0),
        "signals_latched": ("critical", "above", 0),
        "run_failed": ("warning", "above", 0),
        "check_failed": ("warning", "above", 0),
        "tick_failed": ("critical", "above", 0),
        "session_missed": ("critical", "above", 0),
        "disk_low": ("critical", "below", 0.05),
        "slippage_high": ("warning", "above", 300),
    }
    assert policy.fail_on is FailOn.CRITICAL
    assert policy.delivery.channels == ("stdout", "webhook")


def test_every_rule_has_its_runbook_and_every_runbook_its_rule() -> None:
    promised = {rule.runbook for rule in load_alert_policy(FILE).rules}
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text("utf-8")
    promised |= set(re.findall(r"docs/runbooks/[a-z_]+\.md", rules))

    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert {path for path in written if not path.endswith("README.md")} == promised


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs" / "runbooks").glob("*_*.md")))
def test_a_runbook_says_what_it_means_where_to_look_and_what_to_do(name: str) -> None:
    text = (ROOT / "docs" / "runbooks" / name).read_text("utf-8")

    assert [line for line in text.splitlines() if line.startswith("#")] == [
        f"# {name.removesuffix('.md')}",
        "## What it means",
        "## Where to look",
        "## What to do",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "threshold = 0.60",
            'threshold = "much"',
            ["rule execution_blocked_rate_high", "threshold = 'much'"],
        ),
        ("threshold = 0.60", "threshold = true", ["rule execution_blocked_rate_high", "threshold = True"]),
        ("threshold = 0.60", "threshold = nan", ["rule execution_blocked_rate_high", "threshold = nan"]),
        ("threshold = 0.60", "treshold = 0.60", ["rule execution_blocked_rate_high", "threshold is missing"]),
        (
            "threshold = 0.60",
            "threshold = 0.6\nweight = 2",
            ["execution_blocked_rate_high", "weight = 2", "known"],
        ),
        (
            'severity = "warning"',
            'severity = "loud"',
            ["rule execution_blocked_rate_high", "severity = 'loud'"],
        ),
        ('"execution.blocked_rate"', '"execution.rate"', ["metric = 'execution.rate'", "metrics.v1"]),
        ('unit = "intents"', 'unit = "ratio"', ["execution_approved_executed_gap_high", "unit = 'ratio'"]),
        ('code = "drawdown_high"', 'code = "quarantined_ratio_high"', ["quarantined_ratio_high"]),
        ("runbooks/drawdown_high", "runbooks/other", ["rule drawdown_high", "runbook ="]),
        ('fail_on = "critical"', 'fail_on = "always"', ["fail_on = 'always'"]),
        ("retries = 1", "retries = 99", ["delivery.retries = 99"]),
        ('["stdout", "webhook"]', '["pigeon"]', ["delivery.channels", "'pigeon'"]),
        ("[delivery]", "[delivery", ["alerts.toml"]),
    ],
)
def test_a_mistake_is_named_by_file_rule_field_and_value(policy_file, old, new, said) -> None:
    text = FILE.read_text("utf-8")
    assert old in text
    policy_file.write_text(text.replace(old, new, 1), "utf-8")

    with pytest.raises(BadSetting) as caught:
        load_alert_policy(policy_file)

    assert str(policy_file) in str(caught.value)
    assert [part for part in said if part not in str(caught.value)] == []


def test_a_code_that_stands_twice_is_refused(policy_file) -> None:
    text = FILE.read_text("utf-8")
    policy_file.write_text(text + text[text.rindex("[[rules]]") :], "utf-8")

    with pytest.raises(BadSetting, match="code stands twice"):
        load_alert_policy(policy_file)


def test_a_missing_file_is_named(policy_file) -> None:
    with pytest.raises(BadSetting, match=r"alerts\.toml"):
        load_alert_policy(policy_file)


def test_each_rule_gives_its_reason() -> None:
    rules = tomllib.loads(FILE.read_text("utf-8"))["rules"]

    assert [rule["code"] for rule in rules if len(rule["why"].split()) < 5] == []
