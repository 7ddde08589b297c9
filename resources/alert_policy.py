"""Read the reviewed alert policy, `config/alerts.toml`. Each mistake is named by file, rule, field and value.

What the rules mean is trading/alerts.py; what they judge is trading/metrics.py.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.alerts import WATCHED, AlertPolicy, AlertRule, Comparison, DeliveryPolicy, FailOn, Severity
from trading.errors import BadSetting
from trading.metrics import METRICS


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Rule(_Section):
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    severity: Severity
    metric: str
    comparison: Comparison
    threshold: float = Field(strict=True)
    unit: str
    runbook: str
    why: str = Field(min_length=1)


class _Delivery(_Section):
    channels: tuple[Literal["stdout", "webhook"], ...]
    rate_limit_count: int = Field(strict=True, gt=0)
    rate_limit_window_s: int = Field(strict=True, gt=0)
    retries: int = Field(strict=True, ge=0, le=5)
    retry_wait_s: float = Field(strict=True, ge=0, le=60)
    backoff_s: int = Field(strict=True, gt=0)
    backoff_s_max: int = Field(strict=True, gt=0)
    attempts_max: int = Field(strict=True, gt=0)
    lease_s: int = Field(strict=True, gt=0)


class _Policy(_Section):
    fail_on: FailOn
    delivery: _Delivery
    rules: tuple[_Rule, ...]


def load_alert_policy(path: Path) -> AlertPolicy:
    """Return the policy of a file; raises `BadSetting` naming file, rule, field and value."""
    content = _toml(path)
    try:
        policy = _Policy.model_validate(content)
    except ValidationError as error:
        raise BadSetting(f"{path}: {_first_mistake(error, content)}") from error
    _refuse_unusable_rules(path, policy.rules)
    return AlertPolicy(
        rules=tuple(AlertRule(**rule.model_dump()) for rule in policy.rules),
        fail_on=policy.fail_on,
        delivery=DeliveryPolicy(**policy.delivery.model_dump()),
    )


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
