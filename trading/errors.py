"""The errors of the product, one tree. What a reader can do about each decides its branch.

TradingError
├── BadInput                 the user's data, setting or argument is wrong: correct it and call again
│   ├── BadSetting           a setting or a reviewed config file
│   │   └── NoBroker         no broker is configured, so that nothing of ours can be open at one
│   ├── BadQuotes            market data that cannot be read at all (a bad *row* is quarantined instead)
│   ├── ContractViolation    a record of another shape than its contract (inputs.py)
│   ├── DatasetUnknown       no manifest says what a book's data set should be (datasets.py)
│   ├── UnknownSession       not a session of this calendar, or outside the data
│   └── UnknownId            nothing is stored under this id
├── Refused                  asked rightly, denied by a rule: the message says what has to happen first
│   ├── UnfitQuotes          quotes that a decision would need are missing, stale or marked unfit
│   ├── InputsNotReady       an input of a decision is missing or not what its contract says (inputs.py)
│   ├── DatasetChanged       the data set is not what its manifest says (datasets.py)
│   ├── LookAhead            a decision asked for its own session's data, or later
│   ├── OutOfOrder           the session before is not settled, or the book opened later
│   ├── GateClosed           a blocking check or the kill switch holds execution
│   ├── ExecutorBusy         another process executes for the account (executions.py)
│   ├── LockLost             the executor's lock is gone in the middle of a run (executions.py)
│   ├── LiveRefused          a run that repeats the past asked for a live broker (live_capability.py)
│   └── ApprovalRefused      stale, expired, reused or unauthorised approval
├── JournalError             the journal could not do what was asked, and did no part of it
│   ├── IllegalTransition    the state machine has no such edge
│   ├── StaleVersion         somebody else changed the row first
│   ├── DuplicateIntent      another payload under a known intent id
│   ├── JournalBehindLog     lacks events that its own audit log has: emptied, older or another one
│   └── JournalUnavailable   locked, corrupt, wrong schema or disk full
├── RecordsUnavailable       Dagster's own records cannot be kept: damaged, full or not writable
├── AnswerUnwritten          what was asked is done, and its answer could not be written
├── LakeError                a table that is missing, corrupt or of another schema
├── BrokerRejected           a definitive refusal: the order does not exist at the broker
├── BrokerUnavailable        a read failed; trying again is safe
│   └── KeysRefused          the broker refuses our keys: a setting is wrong, and trying again does not help
└── OutcomeUnknown           a send whose outcome is not proven: never send again, ask by client order id
"""

from __future__ import annotations


class TradingError(Exception):
    """Be the root of all errors that a user may see as one line, never as a stack trace."""


def failure_word(error: BaseException) -> str:
    """Return the stable word for why something failed: what its transport calls it, else its own name.

    A transport's error has a `word`, as `time_out`; it may be the cause of the error given.
    """
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        word = getattr(cause, "word", "")
        if isinstance(word, str) and word:
            return word
        seen.append(cause)
        cause = cause.__cause__
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


class BadInput(TradingError):
    """Say that the user's data, setting or argument is wrong."""


class BadSetting(BadInput):
    """Name a setting or a reviewed config file that cannot be used."""


class BadQuotes(BadInput):
    """Name a source of market data that cannot be read at all."""


class UnknownSession(BadInput):
    """Name a date that is not a session here."""


class NoBroker(BadSetting):
    """Say that no broker is configured: nothing of ours can be open there, and nothing can be sent."""


class UnknownId(BadInput):
    """Name an id under which nothing is stored."""


class Refused(TradingError):
    """Deny a rightful request by a rule."""


class UnfitQuotes(Refused):
    """Refuse a decision whose quotes are missing, stale or marked unfit."""


class LookAhead(Refused):
    """Refuse a decision that reads its own session or later."""


class OutOfOrder(Refused):
    """Refuse a session whose predecessor in the book is not settled."""


class GateClosed(Refused):
    """Refuse execution behind a closed gate."""


class ApprovalRefused(Refused):
    """Refuse an approval that is stale, expired, reused or unauthorised; that it was given is kept."""


class JournalError(TradingError):
    """Say that the journal did not do what was asked, nor a part of it, and why.

    No intent, order or book is changed by it. That somebody tried is kept where it is history: a person's
    answer that was refused (`answer_refused`), another batch for a decided session (`conflict`).
    """


class IllegalTransition(JournalError):
    """Name an edge that the state machine does not have."""


class StaleVersion(JournalError):
    """Say that a row moved on: expected one version, found another."""


class DuplicateIntent(JournalError):
    """Name another payload under a known intent id; the first one stands."""


class JournalBehindLog(JournalError):
    """Say that the journal lacks events that its own audit log has."""


class JournalUnavailable(JournalError):
    """Say that the journal is locked, corrupt, of another schema or out of disk."""


class RecordsUnavailable(TradingError):
    """Say that Dagster's own records cannot be kept; the journal and the lake are others."""


class AnswerUnwritten(TradingError):
    """Say that an answer could not be written where it was asked for; what was asked is done."""


class LakeError(TradingError):
    """Name a table that is missing, corrupt or of another schema."""


class BrokerRejected(TradingError):
    """Carry a definitive refusal: no order exists at the broker."""


class BrokerUnavailable(TradingError):
    """Say that a read from the broker failed; trying again is safe."""


class KeysRefused(BrokerUnavailable):
    """Say that a broker does not take our keys."""


class OutcomeUnknown(TradingError):
    """Say that a send was not proven either way; ask the broker by client order id."""
