"""Preflight: what live execution is denied for, told before any network call. Pure.

The codes are those of the guard `preflight`; who asks is resources/profiles.py, where a live broker would be
built, and the command `trading preflight`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from trading.guards import (
    ADVISOR_STEPPED_BACK,
    ALLOWLIST_BLOCKED,
    EXECUTION_DISABLED,
    INVALID_BASE_URL,
    MISSING_ACCOUNT_NO,
    MISSING_APP_KEY,
    MISSING_APP_SECRET,
    NOT_PROMOTED,
    PASS,
    PROMOTION_STALE,
    REAL_EXECUTION_NOT_ALLOWED,
    SIGNALS_LATCHED,
)
from trading.promotion import Token
from trading.values import Symbol


class Denial(StrEnum):
    """Name what live execution is denied for, in the order in which it is told."""

    EXECUTION_DISABLED = "EXECUTION_DISABLED"
    REAL_EXECUTION_NOT_ALLOWED = "REAL_EXECUTION_NOT_ALLOWED"
    MISSING_APP_KEY = "MISSING_APP_KEY"
    MISSING_APP_SECRET = "MISSING_APP_SECRET"  # noqa: S105 - the name of a denial, no secret
    MISSING_ACCOUNT_NO = "MISSING_ACCOUNT_NO"
    INVALID_BASE_URL = "INVALID_BASE_URL"
    ALLOWLIST_BLOCKED = "ALLOWLIST_BLOCKED"
    NOT_PROMOTED = "NOT_PROMOTED"
    PROMOTION_STALE = "PROMOTION_STALE"
    SIGNALS_LATCHED = "SIGNALS_LATCHED"
    ADVISOR_STEPPED_BACK = "ADVISOR_STEPPED_BACK"


_SAFE_ADDRESS = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(:[1-9][0-9]{0,4})?(/[^\s@]*)?")
"""A broker's address that nobody on the way can read or answer for."""

REDUCING_LEFT = frozenset(
    {
        Denial.NOT_PROMOTED,
        Denial.PROMOTION_STALE,
        Denial.SIGNALS_LATCHED,
        Denial.ADVISOR_STEPPED_BACK,
    }
)
"""The denials of what a book would add: what it holds may still be looked after, cancelled and sold."""

OK = "OK"
"""What stands where nothing is denied."""

GUARD_CODES = {
    Denial.EXECUTION_DISABLED: EXECUTION_DISABLED,
    Denial.REAL_EXECUTION_NOT_ALLOWED: REAL_EXECUTION_NOT_ALLOWED,
    Denial.MISSING_APP_KEY: MISSING_APP_KEY,
    Denial.MISSING_APP_SECRET: MISSING_APP_SECRET,
    Denial.MISSING_ACCOUNT_NO: MISSING_ACCOUNT_NO,
    Denial.INVALID_BASE_URL: INVALID_BASE_URL,
    Denial.ALLOWLIST_BLOCKED: ALLOWLIST_BLOCKED,
    Denial.NOT_PROMOTED: NOT_PROMOTED,
    Denial.PROMOTION_STALE: PROMOTION_STALE,
    Denial.SIGNALS_LATCHED: SIGNALS_LATCHED,
    Denial.ADVISOR_STEPPED_BACK: ADVISOR_STEPPED_BACK,
}
"""The guard's code of each denial."""

REMEDIES = {
    Denial.EXECUTION_DISABLED: "execution is off; TRADING_EXECUTION_ENABLED=true switches it on",
    Denial.REAL_EXECUTION_NOT_ALLOWED: "needs TRADING_PROFILE=live and TRADING_LIVE_ALLOWED=true, on purpose",
    Denial.MISSING_APP_KEY: "the broker's key is missing; TRADING_BROKER_APP_KEY has it",
    Denial.MISSING_APP_SECRET: "the broker's secret is missing; TRADING_BROKER_APP_SECRET has it",
    Denial.MISSING_ACCOUNT_NO: "the account's number at the broker is missing; see TRADING_BROKER_ACCOUNT_NO",
    Denial.INVALID_BASE_URL: "the broker's address must be https:// with a host; see TRADING_BROKER_BASE_URL",
    Denial.ALLOWLIST_BLOCKED: "a live book needs an allowlist in limits.toml; a whole universe is none",
    Denial.NOT_PROMOTED: "nobody promoted just what is configured; `trading promote council` says what lacks",
    Denial.PROMOTION_STALE: "its evidence would promote it no more; replay, file and promote it anew",
    Denial.SIGNALS_LATCHED: "quotes stopped coming; it clears after two good windows, see `trading signals`",
    Denial.ADVISOR_STEPPED_BACK: "the advisor lost its step; `trading advisor ladder` says why, and moves it",
}
"""What to do about each denial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """Hold what live execution of one book needs; of a secret only whether it is there.

    `promotion` is that of all of the book's strategies together, just as they are configured.
    `are_signals_held` says whether the book's quotes stopped coming, and have not come well again;
    `is_advisor_stepped_back` that the book's advisor lost its step and no person has moved it since.
    """

    is_execution_enabled: bool
    is_live_allowed: bool
    has_app_key: bool
    has_app_secret: bool
    account_no: str
    base_url: str
    allowlist: tuple[Symbol, ...]
    promotion: Token
    are_signals_held: bool
    is_advisor_stepped_back: bool


def denials(facts: LiveFacts) -> tuple[Denial, ...]:
    """Return all that live execution is denied for, in order; nothing where it may be."""
    found = {
        Denial.EXECUTION_DISABLED: not facts.is_execution_enabled,
        Denial.REAL_EXECUTION_NOT_ALLOWED: not facts.is_live_allowed,
        Denial.MISSING_APP_KEY: not facts.has_app_key,
        Denial.MISSING_APP_SECRET: not facts.has_app_secret,
        Denial.MISSING_ACCOUNT_NO: not facts.account_no.strip(),
        Denial.INVALID_BASE_URL: not _SAFE_ADDRESS.fullmatch(facts.base_url),
        Denial.ALLOWLIST_BLOCKED: not facts.allowlist,
        Denial.NOT_PROMOTED: facts.promotion is Token.MISSING,
        Denial.PROMOTION_STALE: facts.promotion is Token.STALE,
        Denial.SIGNALS_LATCHED: facts.are_signals_held,
        Denial.ADVISOR_STEPPED_BACK: facts.is_advisor_stepped_back,
    }
    return tuple(denial for denial, is_denied in found.items() if is_denied)


def guard_code(denied: tuple[Denial, ...]) -> int:
    """Return the code that the guard `preflight` reports: the first denial's, 0 where there is none."""
    return GUARD_CODES[denied[0]] if denied else PASS
