"""The advisor that asks models: in batches, the small one first, within its budgets, each question recorded.

The large model is asked where the small one would change something, wants a person, or doubts itself: then
its word counts, and where it fails there is no advice. Whatever goes wrong is no advice with an error type,
and one record; nothing raises. How one question is put is chat_completions.py, what a factor may do
trading/advice.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, time
from typing import NamedTuple

from resources.advisor_file import AdvisorConfig, Model
from resources.advisors.chat_completions import ENDPOINT, Completion, Completions
from resources.advisors.kept_replies import KeptReplies, question_of
from resources.clocks import system_now
from resources.logs import log_of
from trading.advice import (
    Advice,
    AdviceContext,
    AdviceGiven,
    AdviceVerdict,
    Ladder,
    NoAdvisor,
    is_confident,
    no_advice,
    reduces_risk,
)
from trading.advice_context import (
    Prompt,
    batches_of,
    estimated_tokens,
    later_than,
    prompt_of,
    version_of_text,
)
from trading.advice_replies import SCHEMA_VERSION, ReadReply, advice_of, read_reply
from trading.advisor_calls import AdvisorCall, CallError, CallLog, Purpose, Tier, spent
from trading.breakers import BreakerReason
from trading.errors import JournalError
from trading.intents import Intent, hashed
from trading.values import IntentKey

RULES = "rules"
"""The source of what no model was asked about, since it lowers risk."""


class _Question(NamedTuple):
    """Hold one question: to whom, about what, for which session."""

    context: AdviceContext
    tier: Tier
    model: Model
    intents: Sequence[Intent]
    prompt: Prompt | None


class _Reply(NamedTuple):
    """Hold what came of a question: what could be read, and what the record tells of it."""

    read: ReadReply
    completion: Completion
    was_cached: bool = False


class ModelAdvisor:
    """Ask models for advice; a `trading.advice.Advisor`.

    `log` keeps each question and is what budgets are counted from; `replies` keeps what was read well,
    without it every question is put. `clock` is the real time, under which a question is recorded.
    """

    def __init__(
        self,
        config: AdvisorConfig,
        completions: Completions,
        *,
        log: CallLog,
        replies: KeptReplies | None = None,
        clock: Callable[[], datetime] = system_now,
        purpose: Purpose = Purpose.ADVICE,
    ) -> None:
        self._config = config
        self._completions = completions
        self._log = log
        self._replies = replies
        self._clock = clock
        self._purpose = purpose

    def advise(self, intents: Sequence[Intent], *, context: AdviceContext) -> AdviceGiven:
        """Return one advice an intent, in order, and a record of each question.

        At step 0 nobody is asked, and about what lowers risk nobody ever is.
        """
        if context.ladder is Ladder.OFF:
            return NoAdvisor().advise(intents, context=context)
        asked = [intent for intent in intents if not reduces_risk(intent)]
        said: dict[IntentKey, Advice] = {}
        calls: list[AdvisorCall] = []
        for tier in Tier:
            wanted = asked if tier is Tier.SMALL else self._second_look(asked, said)
            for batch in batches_of(wanted, batch_max=self._config.prompt_limits.batch_max):
                advice, call = self._asked(batch, tier, context)
                said.update({row.intent_key: row for row in advice})
                calls.append(call)
        untouched = (no_advice(intent, source=RULES, rationale="it lowers risk") for intent in intents)
        return AdviceGiven(
            advice=tuple(said.get(row.intent_key, row) for row in untouched), calls=tuple(calls)
        )

    def _second_look(self, asked: Sequence[Intent], said: dict[IntentKey, Advice]) -> list[Intent]:
        if self._config.large is None:
            return []
        return [intent for intent in asked if _is_doubtful(said[intent.intent_key])]

    def _asked(
        self, intents: Sequence[Intent], tier: Tier, context: AdviceContext
    ) -> tuple[tuple[Advice, ...], AdvisorCall]:
        """Return what one model said of some intents, and the record of the question, which is kept."""
        model = self._config.model(tier)
        question = _Question(context, tier, model, intents, prompt=None)
        try:
            question = question._replace(prompt=self._prompt(intents, context))
            reply = self._reply(question)
        except Exception as error:  # noqa: BLE001 - whatever it is, rules go on without this model
            log_of("advisor").error("advisor_defect", model=model.name, error=type(error).__name__)
            reply = _no_reply(CallError.DEFECT)
        call = self._call(question, reply)
        try:
            self._log.record(call)
        except Exception as error:  # noqa: BLE001 - a measurement that is lost must not lose the session
            log_of("advisor").error("advisor_call_not_recorded", error=type(error).__name__)
        return advice_of(reply.read, intents, source=model.name), call

    def _prompt(self, intents: Sequence[Intent], context: AdviceContext) -> Prompt | None:
        """Return the prompt, `None` where any item was known too late: then nothing is told at all."""
        if later_than(context.items, context.cut_off):
            return None
        return prompt_of(
            self._config.template,
            intents,
            context.items,
            cut_off=context.cut_off,
            limits=self._config.prompt_limits,
        )

    def _reply(self, question: _Question) -> _Reply:
        prompt = question.prompt
        if prompt is None:
            return _no_reply(CallError.LOOK_AHEAD)
        if prompt.tokens > self._config.prompt_limits.prompt_tokens_max:
            return _no_reply(CallError.PROMPT_TOO_LONG)
        name = question_of(
            prompt_sha=prompt.sha,
            model=question.model.name,
            provider=self._config.provider,
            completion_tokens_max=self._config.limits.completion_tokens_max,
        )
        if (kept := self._kept(name, prompt)) is not None:
            return _Reply(kept, _silent(""), was_cached=True)
        if (broken := self._broken_budget(question)) is not None:
            return _no_reply(broken)
        completion = self._completions.complete(prompt, question.model)
        if completion.error_type:
            return _Reply(ReadReply(error_type=completion.error_type), completion)
        read = read_reply(completion.text, asked=prompt.asked)
        if self._replies is not None and not read.error_type:
            self._replies.keep(name, completion.text)
        return _Reply(read, completion)

    def _kept(self, name: str, prompt: Prompt) -> ReadReply | None:
        found = None if self._replies is None else self._replies.find(name)
        read = None if found is None else read_reply(found, asked=prompt.asked)
        return None if read is None or read.error_type else read

    def _broken_budget(self, question: _Question) -> CallError | None:
        """Return the budget that this question could break, counted as if it took all that it may."""
        limits, context = self._config.limits, question.context
        tokens = question.prompt.tokens if question.prompt is not None else 0
        attempts = 1 + limits.retries
        try:
            # Of its own purpose: whoever compares prompts on a session must not leave it without advice.
            of_session = [
                call
                for call in self._log.calls_of(book=context.book, session=context.session)
                if call.purpose is self._purpose
            ]
            of_day = self._log.calls_of(
                since=datetime.combine(self._clock().date(), time(), self._clock().tzinfo)
            )
        except JournalError:
            return CallError.LOG_UNREADABLE
        if (
            spent(of_session).tokens + attempts * tokens + limits.completion_tokens_max
            > limits.session_tokens_max
        ):
            return CallError.TOKENS_SPENT
        dearest = question.model.prices.cost_micros(
            prompt_tokens=attempts * tokens, completion_tokens=limits.completion_tokens_max
        )
        if spent(of_day).cost_micros + dearest > limits.day_cost_micros_max:
            return CallError.COST_SPENT
        return None

    def _call(self, question: _Question, reply: _Reply) -> AdvisorCall:
        at, context, completion = self._clock(), question.context, reply.completion
        prompt_sha = "" if question.prompt is None else question.prompt.sha
        used = _tokens_of(question.prompt, completion)
        return AdvisorCall(
            call_id="call-"
            + hashed(context.book, context.session.isoformat(), question.tier, prompt_sha, at.isoformat()),
            at=at,
            session=context.session,
            book=context.book,
            lane=context.lane,
            run_id=context.run_id,
            purpose=self._purpose,
            strategies=" ".join(sorted({intent.strategy for intent in question.intents})),
            intents=" ".join(intent.intent_key for intent in question.intents),
            provider=self._config.provider,
            endpoint=ENDPOINT,
            model=question.model.name,
            tier=question.tier,
            prompt_name=self._config.template.name,
            prompt_version=version_of_text(self._config.template.version, self._config.template.sha),
            prompt_sha=prompt_sha,
            schema_version=SCHEMA_VERSION,
            prompt_tokens=used.prompt,
            completion_tokens=used.completion,
            is_counted=used.is_counted,
            cost_micros=question.model.prices.cost_micros(
                prompt_tokens=used.prompt, completion_tokens=used.completion
            ),
            latency_ms=completion.latency_ms,
            attempts=completion.attempts,
            ok=not reply.read.error_type,
            error_type=reply.read.error_type,
            breaker=completion.breaker,
            was_cached=reply.was_cached,
        )


class _Tokens(NamedTuple):
    prompt: int
    completion: int
    is_counted: bool


def _tokens_of(prompt: Prompt | None, completion: Completion) -> _Tokens:
    """Return the tokens of a question: the server's count of the last attempt, our estimate of the rest.

    An attempt that failed after it went out may be charged for all the same; where nobody was reached, none.
    """
    if prompt is None or completion.attempts == 0 or completion.error_type == CallError.CONNECT:
        return _Tokens(0, 0, is_counted=False)
    last, written = completion.prompt_tokens, completion.completion_tokens
    return _Tokens(
        prompt=(prompt.tokens if last is None else last) + (completion.attempts - 1) * prompt.tokens,
        completion=estimated_tokens(completion.text) if written is None else written,
        is_counted=last is not None and written is not None and completion.attempts == 1,
    )


def _is_doubtful(advice: Advice) -> bool:
    """Say whether the large model is asked: where a reply could be read that would change something."""
    if advice.error_type:
        return False
    if advice.verdict in {AdviceVerdict.KEEP, AdviceVerdict.ABSTAIN}:
        return not is_confident(advice.confidence_bps)
    return True


def _no_reply(error: CallError) -> _Reply:
    return _Reply(ReadReply(error_type=error.value), _silent(error.value))


def _silent(error_type: str) -> Completion:
    """Return a completion for which no byte went out."""
    return Completion(
        text="",
        error_type=error_type,
        prompt_tokens=None,
        completion_tokens=None,
        latency_ms=0,
        attempts=0,
        breaker=BreakerReason.ALLOWED,
    )
