"""Preflight: each thing that live execution needs has a code, and all that lacks is told in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trading.guards import PASS, REASONS
from trading.preflight import GUARD_CODES, REMEDIES, Denial, LiveFacts, denials, guard_code
from trading.promotion import Token
from trading.values import Symbol

READY = LiveFacts(
    is_advisor_stepped_back=False,
    is_execution_enabled=True,
    is_live_allowed=True,
    has_app_key=True,
    has_app_secret=True,
    account_no="7",
    base_url="https://broker.example/v2",
    allowlist=(Symbol("IBM"),),
    promotion=Token.VALID,
    are_signals_held=False,
)
LACKING = {
    Denial.EXECUTION_DISABLED: {"is_execution_enabled": False},
    Denial.REAL_EXECUTION_NOT_ALLOWED: {"is_live_allowed": False},
    Denial.MISSING_APP_KEY: {"has_app_key": False},
    Denial.MISSING_APP_SECRET: {"has_app_secret": False},
    Denial.MISSING_ACCOUNT_NO: {"account_no": "  "},
    Denial.INVALID_BASE_URL: {"base_url": ""},
    Denial.ALLOWLIST_BLOCKED: {"allowlist": ()},
    Denial.NOT_PROMOTED: {"promotion": Token.MISSING},
    Denial.PROMOTION_STALE: {"promotion": Token.STALE},
    Denial.SIGNALS_LATCHED: {"are_signals_held": True},
    Denial.ADVISOR_STEPPED_BACK: {"is_advisor_stepped_back": True},
}


def test_what_has_everything_is_denied_nothing():
    assert denials(READY) == ()
    assert guard_code(()) == PASS


@pytest.mark.parametrize("denial", Denial)
def test_each_thing_that_lacks_is_denied_by_its_code(denial):
    found = denials(replace(READY, **LACKING[denial]))

    assert found == (denial,)
    assert REASONS[guard_code(found)] == denial.lower()
    assert REMEDIES[denial]


def test_all_that_lacks_is_told_in_one_order():
    nothing = READY
    for denial, changes in LACKING.items():
        if denial is not Denial.PROMOTION_STALE:
            nothing = replace(nothing, **changes)

    assert denials(nothing) == tuple(denial for denial in Denial if denial is not Denial.PROMOTION_STALE)
    assert guard_code(denials(nothing)) == GUARD_CODES[Denial.EXECUTION_DISABLED]


@pytest.mark.parametrize(
    "url",
    [
        "broker.example",
        "http://broker.example",
        "https://",
        "https://:443",
        "https://me@broker.example",
        "https://broker.example:0",
        "https://broker.example:far",
        "https://[::1",
        "ftp://broker.example",
    ],
)
def test_an_address_that_others_could_read_or_answer_for_is_denied(url):
    assert denials(replace(READY, base_url=url)) == (Denial.INVALID_BASE_URL,)
