"""The one ladder of incidents: how soon somebody acts and who, alike for an alert and for a finding.

Pure. An incident that an alert opened has the severity and owner of its rule (`config/alerts.toml`); one that
was found at the broker has those of the rule that sees the same facts. What halts more stands higher.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from trading.alerts import Severity
from trading.findings import PARKED
from trading.protocol import FindingKind
from trading.slos import CONDUCT, Level


class Owner(StrEnum):
    """Name who acts on an alert or an incident."""

    TRADER = "trader"
    RISK = "risk"
    DATA = "data"
    PLATFORM = "platform"


class Charge(NamedTuple):
    """Hold how much something asks of a person, and of whom."""

    severity: Severity
    owner: Owner


RULES: Mapping[str, str] = {
    **{kind.value: "broker_disagrees" for kind in FindingKind},
    PARKED: "intents_stuck",
}
"""Which rule of the alert policy sees the same facts as a kind of finding."""


def charge_of(kind: str, told: Mapping[str, Any]) -> Charge:
    """Return how much an incident asks, and of whom, by its kind and what its event tells.

    What is found is about orders and holdings, which is the trader's; of a record that does not hold the
    platform takes care. All of it is to be acted on now.
    """
    if "owner" in told:
        return Charge(Severity(told["severity"]), Owner(told["owner"]))
    return Charge(Severity.CRITICAL, Owner.TRADER if kind in RULES else Owner.PLATFORM)


def step_of(halts: str, severity: Severity) -> str:
    """Return the step of the ladder that an incident is on: SEV-1, SEV-2 or SEV-3.

    All trading or a whole account halted is the first step. One instrument halted, or what a person acts on
    now, is the second; the rest can wait for the morning. `halts` is as incidents tell it, or empty.
    """
    is_instrument = " " in halts and not halts.startswith("all ")
    if halts and not is_instrument:
        return CONDUCT[Level.INCIDENT].severity
    is_now = bool(halts) or severity is Severity.CRITICAL
    return CONDUCT[Level.WATCH if is_now else Level.NORMAL].severity
