"""One question to an OpenAI-compatible chat-completions endpoint, over the product's one HTTP client.

A question only asks, so it may be put again; what comes back is text, or the type of what went wrong, never
an error. What the text says is trading/advice_replies.py; who asks what is resources/advisors/asking.py.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self

from pydantic import SecretStr

from resources.advisor_file import AdvisorConfig, Model
from resources.clocks import system_now
from resources.outbound.client import Endpoint, ExchangeFailed, OutboundClient, Reply
from trading.advice_context import Prompt
from trading.advice_replies import REPLY_SCHEMA, SCHEMA_VERSION
from trading.advisor_calls import TOKENS_MAX, CallError
from trading.breakers import BreakerReason, BreakerRules, Breakers
from trading.errors import BadInput
from trading.outbound import Calls

ENDPOINT = "chat.completions"
PATH = "/chat/completions"
REPLY_BYTES_MAX = 512 * 1024
"""The longest answer that is read: many times what the tokens asked for can be."""

OK = 200
REFUSED_FROM, SERVER_ERRORS_FROM, STATUSES_END = 400, 500, 600

NAMED_STATUSES = {
    401: CallError.HTTP_UNAUTHORIZED,
    402: CallError.HTTP_UNPAID,
    403: CallError.HTTP_FORBIDDEN,
    404: CallError.HTTP_NOT_FOUND,
    429: CallError.HTTP_LIMITED,
}
"""The refusals that each ask something else of a person: the key, the account, the address, patience."""

KEY_CHARACTERS_MIN = 8
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([/\"\\]))")


class Completion(NamedTuple):
    """Hold what became of one question: the model's text, or why there is none.

    Tokens are the server's own count, `None` where it gave none that could be one. `latency_ms` is of all
    attempts and the waits between them.
    """

    text: str
    error_type: str
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_ms: int
    attempts: int
    breaker: BreakerReason


class Completions(Protocol):
    """Put a prompt to a model."""

    def complete(self, prompt: Prompt, model: Model) -> Completion:
        """Return the model's text, or why there is none; it never raises."""
        ...


class ChatCompletions:
    """Ask an endpoint; close it, or use it in a `with`. The key goes into one header and nowhere else.

    It is held as a secret too, to see that no answer repeats it.
    `breakers` and `calls` are kept where every process sees them; the breaker is the provider's as an
    advisor. Raises `BadSetting` for an address or key that cannot be sent.
    """

    def __init__(
        self,
        config: AdvisorConfig,
        base_url: str,
        *,
        key: str = "",
        breakers: Breakers | None = None,
        breaker_rules: BreakerRules | None = None,
        calls: Calls | None = None,
        clock: Callable[[], datetime] = system_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._key = SecretStr(key)
        limits = config.limits
        self._client = OutboundClient(
            breaker_of(config.provider),
            base_url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout_s=limits.timeout_s,
            breakers=breakers,
            breaker_rules=breaker_rules or rules_of(config),
            calls=calls,
            clock=clock,
            sleep=sleep,
            endpoints={
                ENDPOINT: Endpoint(
                    read_attempts=1 + limits.retries,
                    again_s=limits.again_s,
                    reply_bytes_max=REPLY_BYTES_MAX,
                )
            },
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the connections."""
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def complete(self, prompt: Prompt, model: Model) -> Completion:
        """Return the model's text, or why there is none; it never raises."""
        began = time.monotonic()
        try:
            reply = self._client.ask(ENDPOINT, PATH, content=self._body(prompt, model))
        except ExchangeFailed as failed:
            return _failed(
                failed.word, attempts=failed.attempts, breaker=failed.breaker, latency_ms=_ms_since(began)
            )
        except BadInput:
            return _failed(
                CallError.DEFECT.value,
                attempts=0,
                breaker=BreakerReason.ALLOWED,
                latency_ms=_ms_since(began),
            )
        found = completion_of(reply)._replace(latency_ms=_ms_since(began))
        if _tells(found.text, self._key.get_secret_value()):
            return found._replace(text="", error_type=CallError.TELLS_KEY.value)
        return found

    def _body(self, prompt: Prompt, model: Model) -> bytes:
        body: dict[str, Any] = {
            "model": model.name,
            "messages": [
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ],
            "max_tokens": self._config.limits.completion_tokens_max,
            "temperature": 0,
            "stream": False,
        }
        if self._config.is_held_to_schema:
            named = {"name": SCHEMA_VERSION.replace(".", "_"), "strict": True, "schema": REPLY_SCHEMA}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return json.dumps(body).encode()


def breaker_of(provider: str) -> str:
    """Return the name of a provider's breaker: as an advisor, whatever else it may be called for."""
    return f"advisor.{provider}"


def rules_of(config: AdvisorConfig) -> BreakerRules:
    """Return when the breaker opens; a trial's lease is longer than any question may take."""
    limits = config.limits
    longest = (limits.timeout_s + limits.again_s * 2**limits.retries) * (1 + limits.retries)
    return BreakerRules(trial_lease_s=round(longest) + 30)


def completion_of(reply: Reply) -> Completion:
    """Return what an answer says, whatever its bytes are; what is no completion is an error type."""
    error = _error_of_status(reply.status)
    text, prompt_tokens, completion_tokens = "", None, None
    if not error:
        text, error, usage = _read(reply.content)
        prompt_tokens, completion_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return Completion(
        text=text,
        error_type=error,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        latency_ms=reply.latency_ms,
        attempts=reply.attempts,
        breaker=reply.breaker,
    )


def _tells(text: str, key: str) -> bool:
    """Say whether a text has a key in it, also in JSON's own spelling; what is said would be kept.

    Who knows the key can always spell it in a way that nobody finds: this is for a server that repeats what
    it was sent. A key that could be a word of any answer is not looked for.
    """
    if len(key) < KEY_CHARACTERS_MIN:
        return False
    spelt = _ESCAPED.sub(lambda at: chr(int(at[1], 16)) if at[1] else at[2], text)
    return key in text or key in spelt


def _error_of_status(status: int) -> str:
    if status == OK:
        return ""
    if status in NAMED_STATUSES:
        return NAMED_STATUSES[status].value
    if REFUSED_FROM <= status < SERVER_ERRORS_FROM:
        return CallError.HTTP_REFUSED.value
    if SERVER_ERRORS_FROM <= status < STATUSES_END:
        return CallError.HTTP_SERVER.value
    return CallError.HTTP_OTHER.value


def _read(content: bytes) -> tuple[str, str, Any]:
    """Return the text of the first choice, or an error type, and what stands of tokens."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return "", CallError.NOT_JSON.value, None
    usage = body.get("usage") if isinstance(body, dict) else None
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return "", CallError.NOT_A_COMPLETION.value, usage
    ended = choice.get("finish_reason")
    if ended == "content_filter" or message.get("refusal"):
        return "", CallError.FILTERED.value, usage
    if ended == "length":
        return "", CallError.CUT_OFF.value, usage
    text = message.get("content")
    # Tools were never offered: who calls one has not answered.
    if not isinstance(text, str) or message.get("tool_calls"):
        return "", CallError.NOT_A_COMPLETION.value, usage
    return text, "", usage


def _count(usage: Any, name: str) -> int | None:
    found = usage.get(name) if isinstance(usage, dict) else None
    # A count of nothing is none: a server that tells it would never come to the end of a budget.
    is_count = isinstance(found, int) and not isinstance(found, bool) and 0 < found <= TOKENS_MAX
    return found if is_count else None


def _failed(word: str, *, attempts: int, breaker: BreakerReason, latency_ms: int) -> Completion:
    return Completion(
        text="",
        error_type=word,
        prompt_tokens=None,
        completion_tokens=None,
        latency_ms=latency_ms,
        attempts=attempts,
        breaker=breaker,
    )


def _ms_since(began: float) -> int:
    return max(0, round((time.monotonic() - began) * 1000))
