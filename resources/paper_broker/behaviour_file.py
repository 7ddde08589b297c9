"""A broker's behaviour as a reviewed text: TOML, every key checked.

What the words mean is trading/broker_behaviour.py.
"""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trading.broker_behaviour import Behaviour, ReportFault, SendFault
from trading.brokers import SETTLE_TIME_S_MAX, DedupScope
from trading.errors import BadInput, BadSetting

Word = TypeVar("Word", bound=StrEnum)

ANSWERED = "answered"
"""What stands in `script` for a send that simply gets its answer."""


class _BehaviourText(BaseModel):
    """Hold the file's keys; all of them may be left out."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    scope: str = DedupScope.ALL_TIME.value
    window_s: int = 0
    claims: str | None = None
    script: tuple[str, ...] = ()
    sends: dict[str, int] = {}
    reports: dict[str, int] = {}
    executions: int = 1
    late_s: int = SETTLE_TIME_S_MAX
    slow_s: float = 1.0


def check_behaviour(told: Path | None) -> None:
    """Raise `BadSetting` where a file is named that tells no behaviour; `None` names none.

    For whoever is about to decide a session, which could not be sent then. A halt does not ask: it is stored
    whatever the paper broker is told to be.
    """
    if told is None:
        return
    try:
        load_behaviour(told)
    except BadSetting as error:
        raise BadSetting(
            f"TRADING_PAPER_BEHAVIOUR: {error}; name a file such as config/behaviours/lost_answers.toml, or "
            "unset it"
        ) from error


def load_behaviour(path: Path) -> Behaviour:
    """Return the behaviour that a file describes; raises `BadSetting` for one that cannot be."""
    try:
        return behaviour_from_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSetting(f"behaviour {path}: {error.strerror}") from error
    except (UnicodeDecodeError, BadInput) as error:
        raise BadSetting(f"behaviour {path}: {error}") from error


def behaviour_from_text(text: str) -> Behaviour:
    """Return the behaviour that a text describes; raises `BadInput` for one that cannot be."""
    try:
        written = _BehaviourText.model_validate(tomllib.loads(text))
        return Behaviour(
            seed=written.seed,
            scope=_word("scope", written.scope, DedupScope),
            window_s=written.window_s,
            claims=None if written.claims is None else _word("claims", written.claims, DedupScope),
            script=tuple(
                None if word == ANSWERED else _word("script", word, SendFault) for word in written.script
            ),
            sends={_word("sends", word, SendFault): chance for word, chance in written.sends.items()},
            reports={_word("reports", word, ReportFault): chance for word, chance in written.reports.items()},
            executions=written.executions,
            late_s=written.late_s,
            slow_s=written.slow_s,
        )
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise BadInput(f"{place}: {fault['msg']}") from error
    except ValueError as error:
        raise BadInput(str(error)) from error


def _word(key: str, word: str, known: type[Word]) -> Word:
    """Return a word as what it means; raises `ValueError` naming those that there are."""
    try:
        return known(word)
    except ValueError:
        raise ValueError(f"{key} {word!r}: must be one of {', '.join(known)}") from None
