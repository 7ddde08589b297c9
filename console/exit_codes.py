"""What the command line's exit codes mean, and which error leads to which: one table, shown in the docs.

The errors themselves are trading/errors.py; `trading` ends with these codes in cli.py.
"""

from __future__ import annotations

from enum import IntEnum

from trading.errors import (
    BadInput,
    BrokerRejected,
    BrokerUnavailable,
    IllegalTransition,
    JournalUnavailable,
    KeysRefused,
    OutcomeUnknown,
    RecordsUnavailable,
    Refused,
    StaleVersion,
    TradingError,
)


class ExitCode(IntEnum):
    """Say how a command ended, to scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    ATTENTION = 3
    REFUSED = 4
    HALTED = 5
    DEPENDENCY_DOWN = 6
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed, or not confirmed: the message says what and where",
    ExitCode.USAGE: "wrong usage, argument, setting or reviewed file: correct it and call again",
    ExitCode.ATTENTION: "a person is needed: a pending approval, a refused session, an unknown order",
    ExitCode.REFUSED: "refused by a guard, a gate or the journal's protocol: nothing was changed",
    ExitCode.HALTED: "trading is halted by the kill switch",
    ExitCode.DEPENDENCY_DOWN: "the journal, Dagster's records or a broker: locked, corrupt, full or down",
    ExitCode.INTERRUPTED: "interrupted by the keyboard",
}
"""What each code means, in one sentence for people."""

CODE_OF_ERROR: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (KeyboardInterrupt, ExitCode.INTERRUPTED),
    (BadInput, ExitCode.USAGE),
    (KeysRefused, ExitCode.USAGE),
    (Refused, ExitCode.REFUSED),
    (IllegalTransition, ExitCode.REFUSED),
    (StaleVersion, ExitCode.REFUSED),
    (BrokerRejected, ExitCode.REFUSED),
    (OutcomeUnknown, ExitCode.ATTENTION),
    (JournalUnavailable, ExitCode.DEPENDENCY_DOWN),
    (BrokerUnavailable, ExitCode.DEPENDENCY_DOWN),
    (RecordsUnavailable, ExitCode.DEPENDENCY_DOWN),
    (TradingError, ExitCode.FAILED),
)
"""Which code an error ends with: the first line it is an instance of."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the code that an error ends the command with; what is in no line has failed."""
    return _code_of(type(error))


def exit_code_named(name: str) -> ExitCode | None:
    """Return the code of an error of ours by its name, as a run's records keep it; `None` for others."""
    kinds = [kind for kind in _tree(TradingError) if kind.__name__ == name]
    return _code_of(kinds[0]) if kinds else None


def _code_of(error: type[BaseException]) -> ExitCode:
    for kind, code in CODE_OF_ERROR:
        if issubclass(error, kind):
            return code
    return ExitCode.FAILED


def _tree(root: type[TradingError]) -> list[type[TradingError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in _tree(child))]
