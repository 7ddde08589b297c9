"""A model that answers as it is told, for tests and comparisons: it remembers prompts and calls nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from resources.advisor_file import Model
from resources.advisors.chat_completions import Completion
from trading.advice_context import Prompt
from trading.breakers import BreakerReason

Script = Callable[[Prompt, Model], str]
"""Gives the text that a model answers a prompt with."""


@dataclass(slots=True)
class ScriptedCompletions:
    """Answer by a script; a `resources.advisors.chat_completions.Completions`."""

    script: Script
    heard: list[tuple[Model, Prompt]] = field(default_factory=list)

    def complete(self, prompt: Prompt, model: Model) -> Completion:
        """Return the script's text as a model's, in no time."""
        self.heard.append((model, prompt))
        return Completion(
            text=self.script(prompt, model),
            error_type="",
            prompt_tokens=None,
            completion_tokens=None,
            latency_ms=0,
            attempts=1,
            breaker=BreakerReason.ALLOWED,
        )
