"""Read the reviewed alert policy, `config/alerts.toml`. Each mistake is named by file, rule, field and value.

What the rules mean is trading/alerts.py; what they judge is trading/metrics.py.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resources.setting_names import Profile
from trading.alert_groups import InhibitRule, Matcher, Route, matcher_of
from trading.alert_log import LABELS
from trading.alerts import (
    WATCHED,
    AlertPolicy,
    AlertRule,
    Comparison,
    DeliveryPolicy,
    FailOn,
    Severity,
)
from trading.errors import BadSetting
from trading.metrics import METRICS


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Rule(_Section):
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    severity: Severity
    owner: Literal["trader", "risk", "data", "platform"]
    metric: str
    comparison: Comparison
    threshold: float = Field(strict=True)
    unit: str
    runbook: str
    why: str = Field(min_length=1)


class _Delivery(_Section):
    channels: tuple[Literal["stdout", "webhook", "slack", "email"], ...]
    rate_limit_count: int = Field(strict=True, gt=0)
    rate_limit_window_s: int = Field(strict=True, gt=0)
    retries: int = Field(strict=True, ge=0, le=5)
    retry_wait_s: float = Field(strict=True, ge=0, le=60)
    backoff_s: int = Field(strict=True, gt=0)
    backoff_s_max: int = Field(strict=True, gt=0)
    attempts_max: int = Field(strict=True, gt=0)
    lease_s: int = Field(strict=True, gt=0)


class _Route(_Section):
    group_by: tuple[Literal["alertname", "book", "severity", "about"], ...]
    group_wait_s: int = Field(strict=True, ge=0, le=3600)
    group_interval_s: int = Field(strict=True, gt=0, le=86400)
    repeat_interval_s: int = Field(strict=True, gt=0)


class _Inhibit(_Section):
    source: tuple[str, ...] = Field(min_length=1)
    target: tuple[str, ...] = Field(min_length=1)
    equal: tuple[Literal["alertname", "book", "severity", "about"], ...]
    why: str = Field(min_length=1)


class _Change(_Section):
    profile: str
    code: str
    severity: Severity | None = None
    threshold: float | None = Field(None, strict=True)
    why: str = Field(min_length=1)


class _Policy(_Section):
    fail_on: FailOn
    route: _Route
    inhibit: tuple[_Inhibit, ...]
    changes: tuple[_Change, ...] = ()
    delivery: _Delivery
    rules: tuple[_Rule, ...]


def load_alert_policy(path: Path, *, profile: str = "") -> AlertPolicy:
    """Return the policy of a file, with what it changes for a profile.

    Raises `BadSetting` naming file, rule, field and value.
    """
    content = _toml(path)
    try:
        policy = _Policy.model_validate(content)
    except ValidationError as error:
        raise BadSetting(f"{path}: {_first_mistake(error, content)}") from error
    _refuse_unusable_rules(path, policy.rules)
    _refuse_unusable_changes(path, policy)
    changes = {change.code: change for change in policy.changes if change.profile == profile}
    return AlertPolicy(
        rules=tuple(_rule(rule, changes.get(rule.code)) for rule in policy.rules),
        fail_on=policy.fail_on,
        route=Route(**policy.route.model_dump()),
        inhibit=tuple(_inhibit(path, number, rule) for number, rule in enumerate(policy.inhibit, start=1)),
        delivery=DeliveryPolicy(**policy.delivery.model_dump()),
    )


def _rule(rule: _Rule, change: _Change | None) -> AlertRule:
    changed = (
        {} if change is None else change.model_dump(include={"severity", "threshold"}, exclude_none=True)
    )
    return AlertRule(**(rule.model_dump() | changed))


def _inhibit(path: Path, number: int, rule: _Inhibit) -> InhibitRule:
    return InhibitRule(
        source=tuple(_matcher(path, number, text) for text in rule.source),
        target=tuple(_matcher(path, number, text) for text in rule.target),
        equal=rule.equal,
    )


def _matcher(path: Path, number: int, text: str) -> Matcher:
    try:
        matcher = matcher_of(text)
    except ValueError as error:
        raise BadSetting(f"{path}: inhibit number {number}: {error}") from error
    if matcher.name not in LABELS:
        raise BadSetting(f"{path}: inhibit number {number}: {text!r}: labels are {', '.join(LABELS)}")
    return matcher


def _refuse_unusable_changes(path: Path, policy: _Policy) -> None:
    """Refuse a change of a rule or profile that does not exist, or a second one of the same."""
    codes = {rule.code for rule in policy.rules}
    seen: set[tuple[str, str]] = set()
    for change in policy.changes:
        where = f"{path}: change of {change.code} in profile {change.profile}"
        if change.code not in codes:
            raise BadSetting(f"{where}: no rule has this code")
        if change.profile not in set(Profile):
            raise BadSetting(f"{where}: profiles are {', '.join(Profile)}")
        if (change.profile, change.code) in seen:
            raise BadSetting(f"{where}: stands twice")
        if change.severity is None and change.threshold is None:
            raise BadSetting(f"{where}: changes nothing; give severity or threshold")
        seen.add((change.profile, change.code))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: {error}") from error


def _first_mistake(error: ValidationError, content: dict[str, Any]) -> str:
    """Return the first mistake as `rule CODE: field = value: what is wrong`."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    where = ".".join(place)
    if place[0] == "rules" and len(place) > 1:
        where = f"rule {_code_of(content['rules'], place[1])}: {'.'.join(place[2:])}"
    if first["type"] == "missing":
        return f"{where} is missing; every key is needed"
    if first["type"] == "extra_forbidden":
        return f"{where} = {first['input']!r} is not a known key; remove it or correct its name"
    return f"{where} = {first['input']!r}: {first['msg']}"


def _code_of(rules: Any, index: str) -> str:
    """Return a rule's code where it has one, else its place in the file, counted from 1."""
    rule = rules[int(index)]
    return str(rule["code"]) if isinstance(rule, dict) and "code" in rule else f"number {int(index) + 1}"


def _refuse_unusable_rules(path: Path, rules: tuple[_Rule, ...]) -> None:
    """Refuse a doubled code, and a rule on a metric that does not exist or is of another unit."""
    units = {metric.name: metric.unit for metric in METRICS} | WATCHED
    seen: set[str] = set()
    for rule in rules:
        if rule.code in seen:
            raise BadSetting(f"{path}: rule {rule.code}: code stands twice; each rule needs its own")
        seen.add(rule.code)
        if rule.metric not in units:
            raise BadSetting(
                f"{path}: rule {rule.code}: metric = {rule.metric!r} is not in metrics.v1, nor watched; "
                f"config/metrics_v1.json lists the metrics, and {', '.join(WATCHED)} are watched"
            )
        if rule.unit != units[rule.metric]:
            raise BadSetting(
                f"{path}: rule {rule.code}: unit = {rule.unit!r}, "
                f"but {rule.metric} is in {units[rule.metric]!r}"
            )
        if rule.runbook != f"docs/runbooks/{rule.code}.md":
            raise BadSetting(
                f"{path}: rule {rule.code}: runbook = {rule.runbook!r} must be docs/runbooks/{rule.code}.md"
            )
