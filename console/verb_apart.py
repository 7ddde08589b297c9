"""Run a verb of the command line in a process of its own, and take the one JSON object that it answers with.

For what needs the graph, the broker or its keys, which a server never holds: it asks, waits, and tells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from console.exit_codes import ExitCode
from trading.errors import BadInput, BrokerUnavailable, OutcomeUnknown, Refused, TradingError

WAIT_S_MAX = 120
"""Longer than a session's execution takes; what was begun goes on all the same."""

_ERRORS: dict[int, type[TradingError]] = {
    ExitCode.USAGE: BadInput,
    ExitCode.REFUSED: Refused,
    ExitCode.HALTED: Refused,
    ExitCode.DEPENDENCY_DOWN: BrokerUnavailable,
}


def told_by_verb(words: Sequence[str]) -> dict[str, Any]:
    """Return what a verb answers; raises its refusal, or `OutcomeUnknown` where it does not say."""
    named = f"trading {words[0]}"
    process = subprocess.Popen(  # noqa: S603 - our own command; a person's words are arguments, never a shell's
        [sys.executable, "-m", "console", *words, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        text, _ = process.communicate(timeout=WAIT_S_MAX)
        told: dict[str, Any] = json.loads(text)
    except subprocess.TimeoutExpired as error:
        raise OutcomeUnknown(
            f"{named}: no answer within {WAIT_S_MAX} s; it goes on, and `trading status` tells how it stands"
        ) from error
    except ValueError as error:
        raise OutcomeUnknown(f"{named}: did not say how it went; see `trading status`") from error
    if "error" in told:
        found = told["error"]
        raise _ERRORS.get(found["exit_code"], TradingError)(found["message"])
    return told
