"""What a model is told: items known before the cut-off, delimited as data, trimmed to a budget. Pure.

An item that was known too late refuses the whole prompt, since a decision that saw it could never be repeated
honestly. What others wrote (news, names) stands in frames that nothing inside can forge. The same items give
the same prompt, byte for byte, in whatever order they came; a cache and a record know it by its digest.
Templates are files of config/prompts/, read by resources/advisor_file.py; replies are advice_replies.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from trading.errors import LookAhead
from trading.intents import Intent
from trading.values import IntentKey, Symbol, amount_from_micros, digest, digest_of_text

FRAME_BEGINS = "<<<data"
FRAME_ENDS = "data>>>"
"""The lines around what others wrote. No text inside has an angle bracket or a line of its own."""

INTENTS_PLACE = "{{intents}}"
DATA_PLACE = "{{data}}"
USER_MARK = "=== user ==="
"""What a template has: the line between what the system says and what is asked, and two places to fill."""

BYTES_PER_TOKEN = 3
"""Of UTF-8, for the estimate: models' own counts are near four, so that a budget is kept with room."""

KINDS_FIRST = ("event", "feature", "news")
"""Kinds in the order in which they are kept where not all fits; any other comes after, by name."""

REFERENCE_CHARACTERS = 8

TEXT_DIGITS = 12
"""Digits of a text's digest that stand beside a prompt's version."""

NAME_CHARACTERS_MAX = 80
"""The longest name of a strategy or symbol that a model is shown."""

_LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys("<\u2039\u00ab\u226a\u22d8\u2329\u27e8\u27ea\u276e\u3008\u300a\ufe64\uff1c", "("),
        **dict.fromkeys(">\u203a\u00bb\u226b\u22d9\u232a\u27e9\u27eb\u276f\u3009\u300b\ufe65\uff1e", ")"),
        # Selectors of variants print as nothing, and a model can read words in them.
        **dict.fromkeys((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)), None),
    }
)
_CUT = "…"


class ContextItem(NamedTuple):
    """Hold one thing that a model is shown: `as_of` is the UTC instant at which it was known.

    `kind` says what it is and `source` whose word; `text` is data, whatever it says. An empty `symbol` is of
    all of them.
    """

    kind: str
    symbol: Symbol
    as_of: datetime
    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """Hold one version of a prompt; `sha` is the digest of its text."""

    name: str
    version: str
    text: str

    def __post_init__(self) -> None:
        """Refuse a template without its mark or a place, or with one of them twice."""
        for needed in (USER_MARK, INTENTS_PLACE, DATA_PLACE):
            if self.text.count(needed) != 1:
                raise ValueError(
                    f"prompt {self.name} {self.version}: {needed!r} stands in it {self.text.count(needed)} "
                    "times, needed is once"
                )
        if FRAME_BEGINS in self.text or FRAME_ENDS in self.text:
            raise ValueError(f"prompt {self.name} {self.version}: the frames of data are not the template's")

    @property
    def sha(self) -> str:
        """Return the digest of the text."""
        return digest_of_text(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLimits:
    """Hold how much a model is told at once: characters an item, tokens a prompt, intents a batch."""

    item_characters_max: int = 400
    prompt_tokens_max: int = 3_000
    batch_max: int = 10

    def __post_init__(self) -> None:
        """Refuse a limit under which nothing could be asked."""
        for name in ("item_characters_max", "prompt_tokens_max", "batch_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive")


class Prompt(NamedTuple):
    """Hold one prompt as it is sent. `asked` names its intents as the model does; `tokens` is our estimate.

    `sha` is the digest of all that is said; `left_out` counts the items that did not fit.
    """

    system: str
    user: str
    sha: str
    asked: Mapping[str, IntentKey]
    tokens: int
    left_out: int


def version_of_text(version: str, sha: str) -> str:
    """Return a prompt's version with the first digits of its text's digest: what a call was asked with.

    Another text under an old number is another prompt, whatever its file is called.
    """
    return f"{version}@{sha[:TEXT_DIGITS]}"


def later_than(items: Iterable[ContextItem], cut_off: datetime) -> tuple[ContextItem, ...]:
    """Return the items that nobody could have known before a UTC instant, or that do not say when."""
    return tuple(item for item in items if item.as_of.utcoffset() != timedelta(0) or not item.as_of < cut_off)


def require_known(items: Iterable[ContextItem], *, cut_off: datetime) -> None:
    """Raise `LookAhead` at the first item that was not known before the cut-off (UTC)."""
    for item in later_than(items, cut_off):
        raise LookAhead(
            f"{item.kind} of {item.symbol or 'the market'} from {shown_as_data(item.source, 60)}: known at "
            f"{item.as_of.isoformat()}, the session's cut-off is {cut_off.isoformat()}"
        )


def batches_of(intents: Sequence[Intent], *, batch_max: int) -> Iterator[Sequence[Intent]]:
    """Yield the intents in prompts of so many, in their order."""
    for start in range(0, len(intents), batch_max):
        yield intents[start : start + batch_max]


def prompt_of(
    template: PromptTemplate,
    intents: Sequence[Intent],
    items: Iterable[ContextItem],
    *,
    cut_off: datetime,
    limits: PromptLimits,
) -> Prompt:
    """Return the prompt about some intents, with what fits of the items about their symbols.

    Raises `LookAhead` at any item known too late, wanted or not. Without any item a prompt may still be over
    its tokens: whoever sends it looks.
    """
    held = tuple(items)
    require_known(held, cut_off=cut_off)
    asked = _named(intents)
    symbols = {intent.symbol for intent in intents} | {Symbol("")}
    system, _, user = template.text.partition(USER_MARK)
    lines = "\n".join(_lines_of(asked))
    wished = sorted({item for item in held if item.symbol in symbols}, key=_importance)
    room = limits.prompt_tokens_max - sum(map(estimated_tokens, (system, user, lines, _framed(()))))
    told = _that_fit([_line_of(item, limits.item_characters_max) for item in wished], tokens_max=room)
    said = system.strip(), _filled(user, intents=lines, data=_framed(told)).strip()
    return Prompt(
        system=said[0],
        user=said[1],
        sha=digest(list(said)),
        asked={name: intent.intent_key for name, intent in asked.items()},
        tokens=estimated_tokens(said[0]) + estimated_tokens(said[1]),
        left_out=len(wished) - len(told),
    )


def reference_of(item: ContextItem) -> str:
    """Return what an item is called in a prompt, and in the evidence of a reply: part of its digest."""
    told = (item.kind, item.symbol, item.as_of.isoformat(), item.text, item.source)
    return digest([part.encode(errors="replace").hex() for part in told])[:REFERENCE_CHARACTERS]


def shown_as_data(text: str, characters_max: int) -> str:
    """Return what others wrote as one JSON string: of one line, capped, without any sign of a frame.

    Signs that do not print (controls, marks that turn the direction, lone surrogates) become spaces.
    """
    return json.dumps(_plain(text, characters_max), ensure_ascii=False)


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text is, rather too many."""
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)


def _named(intents: Sequence[Intent]) -> dict[str, Intent]:
    """Return intents by what the model calls them: their symbol, and a number where it has several."""
    named: dict[str, Intent] = {}
    for intent in intents:
        symbol = _plain(intent.symbol, NAME_CHARACTERS_MAX)
        name, number = symbol, 1
        while name in named:
            number += 1
            name = f"{symbol}#{number}"
        named[name] = intent
    return named


def _lines_of(asked: Mapping[str, Intent]) -> Iterator[str]:
    for name, intent in asked.items():
        yield json.dumps(
            {
                "symbol": name,
                "side": intent.side.value,
                "shares": intent.quantity,
                "price": str(amount_from_micros(intent.price_micros)),
                "strategy": _plain(intent.strategy, NAME_CHARACTERS_MAX),
            },
            ensure_ascii=False,
        )


def _plain(text: str, characters_max: int) -> str:
    printed = "".join(sign if sign.isprintable() else " " for sign in text[: characters_max * 4])
    plain = " ".join(printed.split()).translate(_LOOKALIKES)
    return plain if len(plain) <= characters_max else plain[: characters_max - 1] + _CUT


def _importance(item: ContextItem) -> tuple[int, str, float, str, str, str]:
    """Return what orders items: kind, then the newest, then names, so that no order of arrival matters."""
    place = KINDS_FIRST.index(item.kind) if item.kind in KINDS_FIRST else len(KINDS_FIRST)
    return (place, item.kind, -item.as_of.timestamp(), item.symbol, item.source, item.text)


def _line_of(item: ContextItem, characters_max: int) -> str:
    head = (item.kind, str(item.symbol) or "market", item.source)
    kind, symbol, source = (shown_as_data(part, 40) for part in head)
    return (
        f'{{"ref": "{reference_of(item)}", "kind": {kind}, "of": {symbol}, '
        f'"at": "{item.as_of:%Y-%m-%dT%H:%MZ}", "from": {source}, '
        f'"text": {shown_as_data(item.text, characters_max)}}}'
    )


def _that_fit(lines: Iterable[str], *, tokens_max: int) -> tuple[str, ...]:
    """Return the lines that fit, the most important first; where a long one does not, a short one may."""
    kept, left = [], tokens_max
    for line in lines:
        tokens = estimated_tokens(line + "\n")
        if tokens <= left:
            kept.append(line)
            left -= tokens
    return tuple(kept)


def _filled(user: str, *, intents: str, data: str) -> str:
    """Return a template with both places filled at once: what fills one is never looked at for the other."""
    fills = {INTENTS_PLACE: intents, DATA_PLACE: data}
    return re.sub(f"{re.escape(INTENTS_PLACE)}|{re.escape(DATA_PLACE)}", lambda at: fills[at[0]], user)


def _framed(lines: Sequence[str]) -> str:
    return "\n".join((FRAME_BEGINS, *lines, FRAME_ENDS))
