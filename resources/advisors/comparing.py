"""Prompts side by side on the same recorded sessions: what each takes, how it fails, and what it says.

Nothing is decided or stored as advice: each question is recorded as a comparison's. What a session is advised
by is config/advisor.toml alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from resources.advisor_file import AdvisorConfig
from resources.advisors.asking import ModelAdvisor
from resources.advisors.chat_completions import Completions
from resources.clocks import system_now
from trading.advice import Advice, AdviceContext, AdviceVerdict, admitted
from trading.advice_replies import SCHEMA_VERSION
from trading.advisor_calls import (
    AdvisorCall,
    BudgetFigures,
    CallLog,
    Purpose,
    Spent,
    budget_figures,
    spent,
)
from trading.intents import Intent
from trading.values import IntentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Hold one recorded session: the intents that passed the guards, and what was known of them."""

    intents: Sequence[Intent]
    context: AdviceContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Hold what one prompt came to on all sessions.

    `verdicts` count the intents by what was said of them, `no_advice` those without any by error type.
    `agreeing` is the share of intents on which it says what the first prompt says, `None` without intents.
    """

    prompt: str
    prompt_sha: str
    schema_version: str
    sessions: int
    intents: int
    spent: Spent
    budget: BudgetFigures
    verdicts: Mapping[str, int]
    no_advice: Mapping[str, int]
    agreeing: float | None


def compare(
    configs: Sequence[AdvisorConfig],
    sessions: Sequence[Asked],
    completions: Completions,
    *,
    log: CallLog,
    clock: Callable[[], datetime] = system_now,
) -> tuple[Compared, ...]:
    """Return what each configuration's prompt comes to, on the same sessions, in the order given.

    Every question is put: what was kept of one prompt would make it look cheaper than the other.
    """
    found: list[Compared] = []
    first: dict[IntentKey, AdviceVerdict] = {}
    for config in configs:
        advisor = ModelAdvisor(config, completions, log=log, clock=clock, purpose=Purpose.COMPARE)
        rows: list[Advice] = []
        calls: list[AdvisorCall] = []
        for asked in sessions:
            given = advisor.advise(asked.intents, context=asked.context)
            rows += admitted(given.advice, asked.intents, ladder=asked.context.ladder)
            calls += given.calls
        first = first or {row.intent_key: row.verdict for row in rows}
        found.append(_compared(config, rows, calls, first, sessions=len(sessions)))
    return tuple(found)


def _compared(
    config: AdvisorConfig,
    rows: Sequence[Advice],
    calls: Sequence[AdvisorCall],
    first: Mapping[IntentKey, AdviceVerdict],
    *,
    sessions: int,
) -> Compared:
    said = [row for row in rows if not row.error_type]
    return Compared(
        prompt=f"{config.template.name} {config.template.version}",
        prompt_sha=config.template.sha,
        schema_version=SCHEMA_VERSION,
        sessions=sessions,
        intents=len(rows),
        spent=spent(calls),
        budget=budget_figures(calls, budget=config.budget),
        verdicts=dict(sorted(Counter(row.verdict.value for row in said).items())),
        no_advice=dict(sorted(Counter(row.error_type for row in rows if row.error_type).items())),
        agreeing=sum(row.verdict is first[row.intent_key] for row in rows) / len(rows) if rows else None,
    )
