"""Read the reviewed alert policy, `config/alerts.toml`. Each mistake is named by file, rule, field and value.

A profile changes rules in the file, a named person in TRADING_ALERT_OVERRIDES: neither loosens a critical
rule in `live` without saying so. What the rules mean is trading/alerts.py; what they judge is
trading/metrics.py.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from resources.operator_names import NAME_RULE, is_name
from resources.setting_names import PREFIX, Profile
from trading.alert_groups import InhibitRule, Matcher, Route, matcher_of
from trading.alert_log import LABELS
from trading.alerts import (
    WATCHED,
    AlertPolicy,
    AlertRule,
    Comparison,
    DeliveryPolicy,
    FailOn,
    PolicyOverride,
    Severity,
    is_looser,
)
from trading.errors import BadSetting
from trading.incident_ladder import Owner
from trading.metrics import METRICS

OVERRIDES = f"{PREFIX}ALERT_OVERRIDES"

Rules = dict[str, AlertRule]
"""Rules by code, in the order of the file."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Rule(_Section):
    code: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    severity: Severity
    owner: Owner
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
    backoff_critical_s_max: int = Field(strict=True, gt=0)
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


class _Changed(_Section):
    code: str
    severity: Severity | None = None
    threshold: float | None = Field(None, strict=True)
    loosens: bool = Field(False, strict=True)
    why: str = Field(min_length=1)


class _Change(_Changed):
    profile: str


class _Override(_Changed):
    actor: str


_AN_OVERRIDE, _SEVERAL = TypeAdapter(_Override), TypeAdapter(tuple[Any, ...])


class _Policy(_Section):
    fail_on: FailOn
    opens_incident: tuple[Severity, ...]
    route: _Route
    inhibit: tuple[_Inhibit, ...]
    changes: tuple[_Change, ...] = ()
    delivery: _Delivery
    rules: tuple[_Rule, ...]


def load_alert_policy(path: Path, *, profile: str = "", overrides: str = "") -> AlertPolicy:
    """Return the policy of a file, with what it changes for a profile and what `overrides` change.

    `overrides` is a JSON list of objects with `code`, `actor`, `why`, and `severity` or `threshold`. Raises
    `BadSetting` naming file or variable, rule, field and value.
    """
    content = _toml(path)
    try:
        policy = _Policy.model_validate(content)
    except ValidationError as error:
        raise BadSetting(f"{path}: {_first_mistake(error, content)}") from error
    _refuse_unusable_rules(path, policy.rules)
    rules = {rule.code: AlertRule(**rule.model_dump()) for rule in policy.rules}
    in_profile = _changed_by_profile(path, policy, rules)
    by_person = _overrides(overrides)
    return AlertPolicy(
        rules=tuple(_overridden(in_profile.get(profile, rules), by_person, profile=profile).values()),
        fail_on=policy.fail_on,
        opens_incident=policy.opens_incident,
        route=Route(**policy.route.model_dump()),
        inhibit=tuple(_inhibit(path, number, rule) for number, rule in enumerate(policy.inhibit, start=1)),
        delivery=DeliveryPolicy(**policy.delivery.model_dump()),
        overrides=tuple(
            _as_override(change, in_profile.get(profile, rules)[change.code]) for change in by_person
        ),
    )


# -------------------------------------------------------------------------------------- what changes a rule


def _changed_by_profile(path: Path, policy: _Policy, rules: Rules) -> dict[str, Rules]:
    """Return the rules of each profile that changes some; all changes are judged, whichever is in force."""
    seen: set[tuple[str, str]] = set()
    found: dict[str, Rules] = {}
    for change in policy.changes:
        where = f"{path}: change of {change.code} in profile {change.profile}"
        if change.profile not in set(Profile):
            raise BadSetting(f"{where}: profiles are {', '.join(Profile)}")
        if (change.profile, change.code) in seen:
            raise BadSetting(f"{where}: stands twice")
        seen.add((change.profile, change.code))
        changed = _changed(change, rules, profile=change.profile, where=where)
        found[change.profile] = found.get(change.profile, rules) | {change.code: changed}
    return found


def _overrides(text: str) -> tuple[_Override, ...]:
    """Return what named persons change of rules; raises `BadSetting` naming the first mistake."""
    if not text:
        return ()
    try:
        several = _SEVERAL.validate_json(text)
    except ValidationError as error:
        raise BadSetting(f"{OVERRIDES}: not a JSON list of objects") from error
    found: list[_Override] = []
    for number, one in enumerate(several, start=1):
        try:
            override = _AN_OVERRIDE.validate_python(one)
        except ValidationError as error:
            code = str(one["code"]) if isinstance(one, dict) and "code" in one else f"number {number}"
            raise BadSetting(f"{OVERRIDES}: override of {code}: {_mistake(error)}") from error
        where = f"{OVERRIDES}: override of {override.code}"
        if not is_name(override.actor):
            raise BadSetting(f"{where}: actor = {override.actor!r}: {NAME_RULE}")
        if override.code in {earlier.code for earlier in found}:
            raise BadSetting(f"{where}: stands twice")
        found.append(override)
    return tuple(found)


def _overridden(rules: Rules, overrides: tuple[_Override, ...], *, profile: str) -> Rules:
    return rules | {
        change.code: _changed(change, rules, profile=profile, where=f"{OVERRIDES}: override of {change.code}")
        for change in overrides
    }


def _changed(change: _Changed, rules: Rules, *, profile: str, where: str) -> AlertRule:
    """Return a rule as a change has it; a critical one is not loosened in `live` without saying so."""
    rule = rules.get(change.code)
    if rule is None:
        raise BadSetting(f"{where}: no rule has this code")
    if change.severity is None and change.threshold is None:
        raise BadSetting(f"{where}: changes nothing; give severity or threshold")
    given = change.model_dump(include={"severity", "threshold"}, exclude_none=True)
    changed = replace(rule, **given, why=f"{rule.why} {_by(change)}: {change.why}")
    is_critical_in_live = profile == Profile.LIVE and rule.severity is Severity.CRITICAL
    if is_critical_in_live and is_looser(changed, rule) and not change.loosens:
        raise BadSetting(
            f"{where}: loosens a critical rule in live ({_told(changed, rule)}) and does not say so;"
            " give loosens = true, or leave the rule as it is"
        )
    return changed


def _by(change: _Changed) -> str:
    return f"Changed by {change.actor}" if isinstance(change, _Override) else "Changed for the profile"


def _as_override(change: _Override, rule: AlertRule) -> PolicyOverride:
    given = change.model_dump(include={"severity", "threshold"}, exclude_none=True)
    changed = replace(rule, **given)
    return PolicyOverride(
        code=change.code,
        actor=change.actor,
        why=change.why,
        told=_told(changed, rule),
        loosens=is_looser(changed, rule),
    )


def _told(changed: AlertRule, rule: AlertRule) -> str:
    """Return a change in words: what it was, and what it is."""
    parts = []
    if changed.severity is not rule.severity:
        parts.append(f"{rule.severity} becomes {changed.severity}")
    if changed.threshold != rule.threshold:
        parts.append(f"{rule.comparison} {rule.threshold:g} becomes {rule.comparison} {changed.threshold:g}")
    return ", ".join(parts) or "as it was"


# -------------------------------------------------------------------------------------- reading the file


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


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: {error}") from error


def _first_mistake(error: ValidationError, content: dict[str, Any]) -> str:
    """Return the first mistake as `rule CODE: field = value: what is wrong`."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    if place[0] == "rules" and len(place) > 1:
        return f"rule {_code_of(content['rules'], place[1])}: {_said(first, place[2:])}"
    return _said(first, place)


def _mistake(error: ValidationError) -> str:
    """Return the first mistake as `field = value: what is wrong`."""
    first = error.errors(include_url=False, include_context=False)[0]
    return _said(first, [str(part) for part in first["loc"]])


def _said(first: Any, place: list[str]) -> str:
    where = ".".join(place)
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
