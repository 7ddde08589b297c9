"""Reads what a model answered: text in, opinions out, or the type of what is wrong with it. It never raises.

A reply holds exactly one JSON object, alone or in prose or a code fence. Whatever is not just as the schema
has it makes the whole reply no advice: who invents one symbol is not believed on another. Time is linear in
the text and memory bounded, since a text over `REPLY_CHARACTERS_MAX` is not looked at. What advice may do is
advice.py; who fetched the text is resources/advisors/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, NamedTuple

from trading.advice import (
    EVIDENCE_CHARACTERS_MAX,
    EVIDENCE_MAX,
    NOT_ANSWERED,
    RATIONALE_CHARACTERS_MAX,
    Advice,
    AdviceVerdict,
    is_plain_text,
    no_advice,
)
from trading.guards import BPS
from trading.intents import Intent
from trading.values import IntentKey

SCHEMA_VERSION = "advice.v1"
"""The version of what a model answers in; part of what a lock of a model names."""

REPLY_CHARACTERS_MAX = 65_536
"""The longest reply that is read: two hundred opinions with the longest rationales fit."""
NESTING_MAX = 8
"""The deepest nesting that is read; the schema has four levels."""
NUMBER_CHARACTERS_MAX = 32
"""The longest number that is read: no factor or confidence has so many digits."""
OPINIONS_MAX = 200
"""The most opinions of one reply."""


class ReplyError(StrEnum):
    """Say what is wrong with a reply; the first thing found is told."""

    TOO_LONG = "reply_too_long"
    NO_OBJECT = "reply_no_object"
    TRUNCATED = "reply_truncated"
    SEVERAL_OBJECTS = "reply_several_objects"
    TOO_DEEP = "reply_too_deep"
    NOT_JSON = "reply_not_json"
    DUPLICATE_KEY = "reply_duplicate_key"
    NOT_FINITE = "reply_not_finite"
    HUGE_NUMBER = "reply_huge_number"
    SCHEMA_VERSION = "reply_schema_version"
    UNKNOWN_FIELD = "reply_unknown_field"
    MISSING_FIELD = "reply_missing_field"
    WRONG_TYPE = "reply_wrong_type"
    OUT_OF_RANGE = "reply_out_of_range"
    UNKNOWN_VERDICT = "reply_unknown_verdict"
    UNKNOWN_SYMBOL = "reply_unknown_symbol"
    REPEATED_SYMBOL = "reply_repeated_symbol"
    TEXT_TOO_LONG = "reply_text_too_long"
    CONTROL_CHARACTER = "reply_control_character"


class Opinion(NamedTuple):
    """Hold what a model said of one intent; factor and confidence in [0, 10000] basis points, rounded down.

    `evidence` names items that the model was shown. Whether its confidence is enough is `advice.admitted`'s.
    """

    intent_key: IntentKey
    verdict: AdviceVerdict
    factor_bps: int
    confidence_bps: int
    rationale: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadReply:
    """Hold what could be read of a reply: opinions in the reply's order, or what is wrong, never both."""

    opinions: tuple[Opinion, ...] = ()
    error_type: str = ""


_OPINION_FIELDS = ("symbol", "verdict", "factor", "confidence", "rationale", "evidence")
_REPLY_FIELDS = ("schema_version", "advice")

REPLY_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": list(_REPLY_FIELDS),
    "properties": {
        "schema_version": {"type": "string", "enum": [SCHEMA_VERSION]},
        "advice": {
            "type": "array",
            "maxItems": OPINIONS_MAX,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": list(_OPINION_FIELDS),
                "properties": {
                    "symbol": {"type": "string"},
                    "verdict": {"type": "string", "enum": [verdict.value for verdict in AdviceVerdict]},
                    "factor": {"type": "number", "minimum": 0, "maximum": 1},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                    "rationale": {"type": "string", "maxLength": RATIONALE_CHARACTERS_MAX},
                    "evidence": {
                        "type": "array",
                        "maxItems": EVIDENCE_MAX,
                        "items": {"type": "string", "maxLength": EVIDENCE_CHARACTERS_MAX},
                    },
                },
            },
        },
    },
}
"""What a model answers in, for a server that holds it to a schema; `read_reply` holds all replies to it."""


def read_reply(text: str, *, asked: Mapping[str, IntentKey]) -> ReadReply:
    """Return the opinions in a model's text on what it was `asked` about, by symbol; it never raises.

    An intent that the reply leaves out has no opinion: nobody makes one up for it.
    """
    try:
        return ReadReply(opinions=_opinions(_parsed(_object_in(text)), asked))
    except _Unreadable as found:
        return ReadReply(error_type=found.error.value)


def advice_of(reply: ReadReply, intents: Sequence[Intent], *, source: str) -> tuple[Advice, ...]:
    """Return one advice an intent, in order, from a reply about them; `source` says whose.

    What the reply leaves out is not answered, and where it cannot be read all are without advice.
    """
    said = {opinion.intent_key: opinion for opinion in reply.opinions}
    return tuple(
        _advice(said[intent.intent_key], intent, source)
        if intent.intent_key in said
        else no_advice(intent, source=source, error_type=reply.error_type or NOT_ANSWERED)
        for intent in intents
    )


def _advice(opinion: Opinion, intent: Intent, source: str) -> Advice:
    return no_advice(intent, source=source, rationale=opinion.rationale)._replace(
        verdict=opinion.verdict,
        factor_bps=opinion.factor_bps,
        confidence_bps=opinion.confidence_bps,
        evidence=", ".join(opinion.evidence),
    )


class _Unreadable(Exception):
    def __init__(self, error: ReplyError) -> None:
        super().__init__(error)
        self.error = error


def _object_in(text: str) -> str:
    """Return the one object of a text, in a single pass that counts braces outside of strings."""
    if len(text) > REPLY_CHARACTERS_MAX:
        raise _Unreadable(ReplyError.TOO_LONG)
    depth, begin, is_quoted, is_escaped = 0, 0, False, False
    found: str | None = None
    for at, character in enumerate(text):
        if is_quoted:
            is_quoted = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"' and depth:
            is_quoted = True
        elif character == "{" or (character == "[" and depth):
            if not depth and found is not None:
                raise _Unreadable(ReplyError.SEVERAL_OBJECTS)
            begin = at if not depth else begin
            depth += 1
            if depth > NESTING_MAX:
                raise _Unreadable(ReplyError.TOO_DEEP)
        elif character in "}]" and depth:
            depth -= 1
            if not depth:
                found = text[begin : at + 1]
    if depth:
        raise _Unreadable(ReplyError.TRUNCATED)
    if found is None:
        raise _Unreadable(ReplyError.NO_OBJECT)
    return found


def _parsed(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_repeats,
            parse_constant=_no_constant,
            parse_int=_short_number,
            parse_float=_short_number,
        )
    except ValueError as error:
        raise _Unreadable(ReplyError.NOT_JSON) from error


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _Unreadable(ReplyError.DUPLICATE_KEY)
    return fields


def _no_constant(_: str) -> Any:
    raise _Unreadable(ReplyError.NOT_FINITE)


def _short_number(written: str) -> Decimal:
    """Return a number exactly as it was written; as a float `1e999` would be infinite."""
    if len(written) > NUMBER_CHARACTERS_MAX:
        raise _Unreadable(ReplyError.HUGE_NUMBER)
    try:
        return Decimal(written)
    except InvalidOperation as error:  # a short text, and an exponent of twenty digits
        raise _Unreadable(ReplyError.HUGE_NUMBER) from error


def _opinions(reply: Any, asked: Mapping[str, IntentKey]) -> tuple[Opinion, ...]:
    if not isinstance(reply, dict):
        raise _Unreadable(ReplyError.WRONG_TYPE)
    if "schema_version" in reply and reply["schema_version"] != SCHEMA_VERSION:
        raise _Unreadable(ReplyError.SCHEMA_VERSION)
    _check_fields(reply, _REPLY_FIELDS)
    listed = reply["advice"]
    if not isinstance(listed, list):
        raise _Unreadable(ReplyError.WRONG_TYPE)
    if len(listed) > OPINIONS_MAX:
        raise _Unreadable(ReplyError.OUT_OF_RANGE)
    opinions = tuple(_opinion(said, asked) for said in listed)
    if len({opinion.intent_key for opinion in opinions}) < len(opinions):
        raise _Unreadable(ReplyError.REPEATED_SYMBOL)
    return opinions


def _opinion(said: Any, asked: Mapping[str, IntentKey]) -> Opinion:
    if not isinstance(said, dict):
        raise _Unreadable(ReplyError.WRONG_TYPE)
    _check_fields(said, _OPINION_FIELDS)
    symbol, verdict = said["symbol"], said["verdict"]
    if not isinstance(symbol, str) or not isinstance(verdict, str) or not isinstance(said["evidence"], list):
        raise _Unreadable(ReplyError.WRONG_TYPE)
    if symbol not in asked:
        raise _Unreadable(ReplyError.UNKNOWN_SYMBOL)
    if verdict not in set(AdviceVerdict):
        raise _Unreadable(ReplyError.UNKNOWN_VERDICT)
    if len(said["evidence"]) > EVIDENCE_MAX:
        raise _Unreadable(ReplyError.OUT_OF_RANGE)
    return Opinion(
        intent_key=asked[symbol],
        verdict=AdviceVerdict(verdict),
        factor_bps=_bps(said["factor"]),
        confidence_bps=_bps(said["confidence"]),
        rationale=_text(said["rationale"], characters_max=RATIONALE_CHARACTERS_MAX),
        evidence=tuple(_text(item, characters_max=EVIDENCE_CHARACTERS_MAX) for item in said["evidence"]),
    )


def _check_fields(found: Mapping[str, Any], expected: Sequence[str]) -> None:
    if set(found) - set(expected):
        raise _Unreadable(ReplyError.UNKNOWN_FIELD)
    if set(expected) - set(found):
        raise _Unreadable(ReplyError.MISSING_FIELD)


def _bps(number: Any) -> int:
    """Return a ratio in [0, 1] as basis points, rounded down: never more than was said."""
    if not isinstance(number, Decimal):
        raise _Unreadable(ReplyError.WRONG_TYPE)
    if not 0 <= number <= 1:
        raise _Unreadable(ReplyError.OUT_OF_RANGE)
    return int(number * BPS)


def _text(text: Any, *, characters_max: int) -> str:
    if not isinstance(text, str):
        raise _Unreadable(ReplyError.WRONG_TYPE)
    if len(text) > characters_max:
        raise _Unreadable(ReplyError.TEXT_TOO_LONG)
    if not is_plain_text(text, characters_max=characters_max):
        raise _Unreadable(ReplyError.CONTROL_CHARACTER)
    return text
