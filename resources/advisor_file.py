"""Read the reviewed file of the advisor, `config/advisor.toml`, and its prompts; a contradiction is refused.

What the ladder's steps mean is trading/advice.py; who asks is resources/advisors/. Address and key are
settings. Without the file nobody is asked, as at step 0.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trading.advice import Ladder
from trading.advice_context import PromptLimits, PromptTemplate, estimated_tokens
from trading.advice_ladder import ModelLock
from trading.advisor_calls import ErrorBudget, Prices, Tier
from trading.errors import BadInput, BadSetting
from trading.values import micros_from_text

FILE = "advisor.toml"
PROMPTS = "prompts"

TOKENS_PER_OPINION = 60
"""What a model writes of one intent: a line of the schema with a rationale of twelve words."""

TIMEOUT_S_MAX = 120.0
PROMPT_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Hold one model: its name at the endpoint, its prices, and the date after which it was told nothing.

    `cut_off_on` is what its maker states: a session up to then may be in what it learned from.
    """

    name: str
    prices: Prices
    cut_off_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Hold what a question may take: seconds an attempt, tokens of its answer, and how often it is put.

    After a failure the first wait is `again_s`, each further one twice as long. `session_tokens_max` bounds
    what one session of a book may use, `day_cost_micros_max` (millionths of a dollar) a day in UTC.
    """

    timeout_s: float
    completion_tokens_max: int
    retries: int
    again_s: float
    session_tokens_max: int
    day_cost_micros_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorConfig:
    """Hold the advisor as it was reviewed. `step` is the highest that evidence may raise it to.

    `is_held_to_schema` says that the server offers a strict JSON schema. Without `large` the small model's
    word is the last.
    """

    step: Ladder
    provider: str
    is_held_to_schema: bool
    small: Model
    large: Model | None
    template: PromptTemplate
    prompt_limits: PromptLimits
    limits: CallLimits
    budget: ErrorBudget

    @property
    def models(self) -> tuple[Model, ...]:
        """Return the models that may be asked, the small one first."""
        return (self.small,) if self.large is None else (self.small, self.large)

    def lock(self, schema_version: str) -> ModelLock:
        """Return what advice comes from with it: evidence of the ladder counts for exactly this."""
        return ModelLock(
            models=tuple(model.name for model in self.models),
            prompt_name=self.template.name,
            prompt_version=self.template.version,
            template_sha=self.template.sha,
            schema_version=schema_version,
        )

    def model(self, tier: Tier) -> Model:
        """Return the model of a tier; the small one where there is no large one."""
        return self.large if tier is Tier.LARGE and self.large is not None else self.small


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Ladder(_Section):
    step: int = Field(strict=True, ge=0, le=3)


class _Endpoint(_Section):
    provider: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    strict_schema: bool


class _Model(_Section):
    name: str = Field(pattern=r"^[\x21-\x7e]{1,120}$")
    prompt_usd_per_million: str
    completion_usd_per_million: str
    training_cut_off: date


class _Models(_Section):
    small: _Model
    large: _Model | None = None


class _Prompt(_Section):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    version: str = Field(pattern=r"^[0-9]{1,6}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    tokens_max: int = Field(strict=True, gt=0, le=1_000_000)
    item_characters_max: int = Field(strict=True, gt=0, le=10_000)
    batch_max: int = Field(strict=True, gt=0, le=200)


class _Limits(_Section):
    timeout_s: float = Field(gt=0, le=TIMEOUT_S_MAX)
    completion_tokens_max: int = Field(strict=True, gt=0, le=100_000)
    retries: int = Field(strict=True, ge=0, le=3)
    retry_wait_s: float = Field(ge=0, le=30)
    session_tokens_max: int = Field(strict=True, gt=0)
    day_cost_usd_max: str


class _Budget(_Section):
    error_rate_bps_max: int = Field(strict=True, ge=0, lt=10_000)
    latency_ms_p95_max: int = Field(strict=True, gt=0)
    calls_min: int = Field(strict=True, gt=0)


class _File(_Section):
    ladder: _Ladder
    endpoint: _Endpoint
    models: _Models
    prompt: _Prompt
    limits: _Limits
    error_budget: _Budget


def read_advisor(config_dir: Path) -> AdvisorConfig | None:
    """Return the advisor of a folder of reviewed files, `None` without its file.

    Raises `BadSetting` naming the key and what contradicts it: a prompt that is not the one of its digest, a
    large model that is the small one, an answer too short for a batch, a prompt that is over its own budget
    or a session's, and a p95 that the time-out makes true by itself.
    """
    path = config_dir / FILE
    if not path.exists():
        return None
    content = _parsed(path)
    try:
        config = AdvisorConfig(
            step=Ladder(content.ladder.step),
            provider=content.endpoint.provider,
            is_held_to_schema=content.endpoint.strict_schema,
            small=_model(content.models.small),
            large=None if content.models.large is None else _model(content.models.large),
            template=read_prompt(
                config_dir, content.prompt.name, content.prompt.version, sha=content.prompt.sha256
            ),
            prompt_limits=PromptLimits(
                item_characters_max=content.prompt.item_characters_max,
                prompt_tokens_max=content.prompt.tokens_max,
                batch_max=content.prompt.batch_max,
            ),
            limits=CallLimits(
                timeout_s=content.limits.timeout_s,
                completion_tokens_max=content.limits.completion_tokens_max,
                retries=content.limits.retries,
                again_s=content.limits.retry_wait_s,
                session_tokens_max=content.limits.session_tokens_max,
                day_cost_micros_max=_usd(content.limits.day_cost_usd_max, "[limits] day_cost_usd_max"),
            ),
            budget=ErrorBudget(**content.error_budget.model_dump()),
        )
        _refuse_contradictions(config)
    except (BadInput, ValueError) as error:
        raise BadSetting(f"{path}: {error}") from error
    return config


def read_prompt(config_dir: Path, name: str, version: str, *, sha: str = "") -> PromptTemplate:
    """Return one version of a prompt; raises `BadSetting` where it is missing or not of the digest given."""
    path = config_dir / PROMPTS / name / f"{version}.txt"
    try:
        with path.open("rb") as file:
            read = file.read(PROMPT_BYTES_MAX + 1)
        if len(read) > PROMPT_BYTES_MAX:
            raise BadSetting(f"{path}: over {PROMPT_BYTES_MAX} bytes")
        template = PromptTemplate(name=name, version=version, text=read.decode())
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: {error}") from error
    if sha and template.sha != sha:
        raise BadSetting(
            f"{path}: its digest is {template.sha}, [prompt] sha256 says {sha}; a changed prompt is another "
            "version, and is reviewed as one"
        )
    return template


def _refuse_contradictions(config: AdvisorConfig) -> None:
    limits, prompt = config.limits, config.prompt_limits
    if config.large is not None and config.large.name == config.small.name:
        raise BadSetting(f"[models.large] name = {config.large.name!r}: is the small one; leave it out")
    needed = prompt.batch_max * TOKENS_PER_OPINION
    if needed > limits.completion_tokens_max:
        raise BadSetting(
            f"[prompt] batch_max = {prompt.batch_max}: so many opinions take {needed} tokens, [limits] "
            f"completion_tokens_max = {limits.completion_tokens_max}"
        )
    bare = estimated_tokens(config.template.text)
    if bare >= prompt.prompt_tokens_max:
        raise BadSetting(f"[prompt] tokens_max = {prompt.prompt_tokens_max}: the template alone is {bare}")
    once = prompt.prompt_tokens_max + limits.completion_tokens_max
    if once > limits.session_tokens_max:
        raise BadSetting(
            f"[limits] session_tokens_max = {limits.session_tokens_max}: one question may take {once}"
        )
    longest_ms = round(limits.timeout_s * 1000)
    if config.budget.latency_ms_p95_max >= longest_ms:
        raise BadSetting(
            f"[error_budget] latency_ms_p95_max = {config.budget.latency_ms_p95_max}: an attempt ends after "
            f"{longest_ms} ms, so that nothing could be slower"
        )


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BadSetting(f"{path} {_where(first['loc'])} = {first['input']!r}: {first['msg']}") from error


def _where(place: tuple[Any, ...]) -> str:
    *sections, key = [str(part) for part in place]
    return f"[{'.'.join(sections)}] {key}" if sections else f"[{key}]"


def _model(line: _Model) -> Model:
    return Model(
        name=line.name,
        prices=Prices(
            prompt_micros=_usd(line.prompt_usd_per_million, "prompt_usd_per_million"),
            completion_micros=_usd(line.completion_usd_per_million, "completion_usd_per_million"),
        ),
        cut_off_on=line.training_cut_off,
    )


def _usd(text: str, where: str) -> int:
    try:
        micros = micros_from_text(text)
    except BadInput as error:
        raise BadSetting(f"{where}: {error}") from error
    if micros < 0:
        raise BadSetting(f"{where} = {text!r}: not below 0")
    return micros
