"""One ladder: the same facts ask as much of the same person, whether an alert or a finding tells of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.alert_policy import load_alert_policy
from trading.alerts import Severity
from trading.incident_ladder import RULES, Owner, charge_of, step_of

POLICY = load_alert_policy(Path(__file__).resolve().parents[2] / "config" / "alerts.toml")


@pytest.mark.parametrize(
    ("halts", "severity", "step"),
    [
        ("all trading", Severity.CRITICAL, "SEV-1"),
        ("SIM-FIVE", Severity.CRITICAL, "SEV-1"),
        ("SIM-FIVE IBM", Severity.CRITICAL, "SEV-2"),
        ("", Severity.CRITICAL, "SEV-2"),
        ("", Severity.WARNING, "SEV-3"),
    ],
)
def test_the_more_is_halted_and_the_sooner_somebody_acts_the_higher_it_stands(halts, severity, step):
    assert step_of(halts, severity) == step


@pytest.mark.parametrize("kind", RULES)
def test_a_finding_asks_as_much_of_the_same_person_as_the_alert_of_its_facts(kind):
    rule = {rule.code: rule for rule in POLICY.rules}[RULES[kind]]

    assert charge_of(kind, {}) == (rule.severity, rule.owner)


@pytest.mark.parametrize("rule", POLICY.rules, ids=lambda rule: rule.code)
def test_an_incident_that_an_alert_opened_asks_what_its_rule_does(rule):
    told = {"severity": rule.severity.value, "owner": rule.owner}

    assert charge_of(rule.code, told) == (rule.severity, rule.owner)


def test_a_record_that_does_not_hold_is_the_platform_s():
    assert charge_of("chain_broken", {}) == (Severity.CRITICAL, Owner.PLATFORM)
