"""Limits: what contradicts itself does not load, what is dated holds on its dates, who sets a guard aside."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from resources.reviewed_config import (
    SOFT_GUARDS,
    read_limits,
    read_overrides,
    read_rules,
    refuse_unknown_sections,
)
from trading.errors import BadSetting
from trading.guards import CODES, NO_OVERRIDE, SOFT
from trading.limits import Change, Override, Restriction
from trading.testing import example_limits
from trading.values import Symbol

BOOKS = ("us_five", "us_wide")
NOON = datetime(2013, 2, 28, 17, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path, config_dir):
    """Give a copy of the reviewed files, to which lines can be added."""
    return shutil.copytree(config_dir, tmp_path / "config")


def add(folder, name, text):
    path = folder / name
    path.write_text(path.read_text("utf-8") + text, "utf-8")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"fat_finger_soft_multiple": 20}, "is not under fat_finger_hard_multiple 20: nobody would"),
        ({"symbol_weight_bps_max": 10_001}, "must be 0 to position_weight_bps_max 10000"),
        ({"symbol_caps_bps": ((Symbol("IBM"), 10_001),)}, "IBM 10001: must be 0 to position_weight_bps_max"),
        ({"net_notional_micros_max": 10**15 + 1}, "net exposure never is"),
        ({"var_level_bps": 5_000}, "must be over 5000 and under 10000"),
        ({"degrade_notional_bps": 10_001}, "degraded is tighter"),
        ({"strategy_budgets_bps": (("council", -1),)}, "must not be negative"),
        ({"drawdown_sessions": 0}, "drawdown_sessions 0: must be positive"),
        ({"clock_skew_s_max": -1}, "clock_skew_s_max -1: must not be negative"),
    ],
)
def test_limits_that_contradict_themselves_cannot_exist(changes, rule):
    with pytest.raises(ValueError, match=rule):
        example_limits(**changes)


def test_a_change_holds_from_its_date_and_its_contradictions_are_found_at_once():
    later = Change(effective_from=date(2013, 3, 1), reason="calmer", values=(("var_bps_max", 300),))
    limits = example_limits(changes=(later,))

    assert limits.on(date(2013, 2, 28)).var_bps_max == 10_000
    assert limits.on(date(2013, 3, 1)).var_bps_max == 300
    assert limits.on(date(2013, 2, 28)).sha() == example_limits().sha()
    assert limits.on(date(2013, 3, 1)).sha() == example_limits(var_bps_max=300).sha()
    with pytest.raises(ValueError, match="var_bps_max 0: must be positive"):
        example_limits(changes=(replace(later, values=(("var_bps_max", 0),)),))


def section(name, **keys):
    return f"\n[[{name}]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


CHANGE = {"book": '"us_five"', "effective_from": "2013-02-01", "reason": '"why"'}
BY_NOBODY = {"reason": '"index change"', "guard": '"volume_share"', "book": '"us_five"'}
BY_CLOCK = {"actor": '"ada"', **BY_NOBODY}
OVERRIDE = {**BY_CLOCK, "session": "2013-02-28"}
HOURS = {"from": "2013-02-28T12:00:00Z", "until": "2013-03-01T12:00:00Z"}
RESTRICTED = {"policy": "3", "symbol": '"IBM"', "from": "2013-02-01", "reason": '"a deal"'}


def test_a_change_in_the_file_is_of_a_book(folder):
    amounts = {"order_notional_max": '"60000"', "auto_approve_notional": '"50000"'}
    add(folder, "limits.toml", section("changes", **CHANGE, **amounts))
    five, wide = (read_limits(book, folder / "limits.toml") for book in ("us_five", "us_wide"))

    assert five.on(date(2013, 1, 31)).order_notional_micros_max == 100_000_000_000
    assert five.on(date(2013, 2, 1)).order_notional_micros_max == 60_000_000_000
    assert wide.changes == ()
    refuse_unknown_sections(folder, books={"us_five"})


TO_ALL = {"book": '"default"', "effective_from": "2013-02-01", "reason": '"why"'}


def test_a_change_for_every_book_leaves_what_a_book_says_of_its_own(folder):
    tighter = {**CHANGE, "book": '"us_wide"', "effective_from": "2013-01-15"}
    add(folder, "limits.toml", section("changes", **tighter, clock_skew_s_max=1))
    raised = {"auto_approve_notional": '"90000"', "cost_bps": 20, "clock_skew_s_max": 2, "allowlist": "[]"}
    add(folder, "limits.toml", section("changes", **TO_ALL, **raised, quote_age_s_max=200))
    five, wide = (read_limits(book, folder / "limits.toml").on(date(2013, 2, 1)) for book in BOOKS)

    assert (wide.auto_approve_notional_micros, wide.cost_bps, wide.clock_skew_s_max) == (
        40_000_000_000,
        30,
        1,
    )
    assert five.allowlist == ("AAPL", "GOOG", "IBM", "MSFT")
    assert five.auto_approve_notional_micros == 90_000_000_000
    assert five.quote_age_s_max == wide.quote_age_s_max == 200


def test_a_change_for_every_book_after_a_books_own_leaves_the_books_own(folder):
    add(folder, "limits.toml", section("changes", **CHANGE, lot=2))
    add(folder, "limits.toml", section("changes", **{**TO_ALL, "effective_from": "2013-03-01"}, lot=3))
    five, wide = (read_limits(book, folder / "limits.toml") for book in BOOKS)

    assert [five.on(date(2013, month, 1)).lot for month in (1, 2, 3)] == [1, 2, 2]
    assert [wide.on(date(2013, month, 1)).lot for month in (1, 2, 3)] == [1, 1, 3]


def test_what_two_persons_have_to_approve_never_goes_without_one(folder):
    control = folder / "control.toml"
    control.write_text(control.read_text("utf-8").replace('"95000"', '"80000"'), "utf-8")
    assert read_rules("us_five", folder).approvals.four_eyes_micros == 80_000_000_000

    add(folder, "limits.toml", section("changes", **TO_ALL, auto_approve_notional='"80000.01"'))
    with pytest.raises(BadSetting, match=r"80000\.01 from 2013-02-01 in limits.toml; what two persons"):
        read_rules("us_five", folder)
    assert read_rules("us_wide", folder).limits.auto_approve_notional_micros == 40_000_000_000
    control.write_text(control.read_text("utf-8").replace('"80000"', '"79999"'), "utf-8")
    with pytest.raises(BadSetting, match=r"control.toml \[us_five\] four_eyes_notional = 79999.*80000"):
        read_rules("us_five", folder)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("limits.toml", section("changes", **CHANGE), "changes no limit"),
        (
            "limits.toml",
            section("changes", **CHANGE, order_quantity_max=99999999999999999999999999),
            "less than or equal to 10000000000",
        ),
        ("limits.toml", section("changes", **CHANGE, quote_age_s_max=10**6), "less than or equal to 86400"),
        (
            "limits.toml",
            section("changes", **CHANGE, symbol_caps_bps="{ aapl = 5 }"),
            "symbol_caps_bps = 'aapl': is no symbol",
        ),
        (
            "limits.toml",
            section("changes", **CHANGE, allowlist='["IBM "]'),
            "allowlist = 'IBM ': is no symbol",
        ),
        (
            "restricted.toml",
            section("restricted", **{**RESTRICTED, "symbol": '"aapl "'}),
            "[restricted 1] symbol = 'aapl ': is no symbol",
        ),
        (
            "overrides.toml",
            section("overrides", **OVERRIDE, symbol='"ibm"'),
            "[overrides 1] symbol = 'ibm': is no symbol",
        ),
        ("limits.toml", section("changes", **CHANGE, lots=2), "lots = 2: Extra inputs"),
        ("limits.toml", section("changes", **CHANGE, lot=0), "lot = 0: Input should be greater than 0"),
        ("limits.toml", section("changes", **CHANGE, order_notional_max='"70000"'), "is over order_notional"),
        ("limits.toml", section("changes", **{**CHANGE, "reason": '""'}, lot=2), "reason = ''"),
        ("limits.toml", section("changes", **{**CHANGE, "book": '"us"'}, lot=2), "book = 'us': no such book"),
        ("restricted.toml", section("restricted", **{**RESTRICTED, "policy": "0"}), "policy = 0"),
        ("restricted.toml", section("restricted", **RESTRICTED, until="2013-01-01"), "is before 2013-02-01"),
        ("restricted.toml", section("restricted", **RESTRICTED, tactic='"luck"'), "known are spoofing"),
        ("restricted.toml", section("restrict", **RESTRICTED), "nothing reads it"),
        ("restricted.toml", "restricted = 1", "must be a list"),
        ("overrides.toml", section("overrides", **{**OVERRIDE, "guard": '"max_notional"'}), "block is hard"),
        ("overrides.toml", section("overrides", **{**OVERRIDE, "actor": '" "'}), "is of a named person"),
        ("overrides.toml", section("overrides", **BY_NOBODY), "actor: missing"),
        ("overrides.toml", section("overrides", **OVERRIDE, **HOURS), "for a session or between instants"),
        ("overrides.toml", section("overrides", **BY_CLOCK), "needs a session, or from and until"),
        (
            "overrides.toml",
            section("overrides", **BY_CLOCK, **{**HOURS, "until": "2013-03-01T12:00:01Z"}),
            "at most 24 h",
        ),
        (
            "overrides.toml",
            section("overrides", **BY_CLOCK, **{**HOURS, "from": "2013-02-28T12:00:00"}),
            "needs its offset",
        ),
        ("overrides.toml", section("overrides", **{**OVERRIDE, "book": '"us"'}), "no such book"),
    ],
)
def test_a_mistake_in_a_list_is_named_by_file_place_and_value(folder, name, text, told):
    add(folder, name, text)

    with pytest.raises(BadSetting) as refusal:
        _read_all(folder)

    assert name in str(refusal.value)
    assert told in str(refusal.value)


def _read_all(folder):
    refuse_unknown_sections(folder, books={"us_five"})
    read_limits("us_five", folder / "limits.toml")
    read_overrides("us_five", folder / "overrides.toml")


def test_the_guards_that_an_override_may_name_are_those_that_block_softly():
    assert set(SOFT_GUARDS) == {name for name, codes in CODES.items() if set(codes) & (SOFT - NO_OVERRIDE)}


def test_a_restriction_holds_on_its_dates_in_its_book_and_is_part_of_the_digest(folder):
    plain = read_limits("us_five", folder / "limits.toml")
    add(folder, "restricted.toml", section("restricted", **RESTRICTED, until="2013-02-15", book='"us_five"'))
    five, wide = (read_limits(book, folder / "limits.toml") for book in ("us_five", "us_wide"))

    def policies(session):
        limits = five.on(session)
        told = limits.instrument(Symbol("IBM"), session=session, in_universe=True, tactic=0)
        return told.restricted_policy, limits.sha() == plain.sha()

    assert policies(date(2013, 1, 31)) == (0, True)
    assert policies(date(2013, 2, 1)) == policies(date(2013, 2, 15)) == (3, False)
    assert policies(date(2013, 2, 16)) == (0, True)
    assert wide.restrictions == ()


def test_a_restriction_may_make_an_order_a_prohibited_tactic():
    line = Restriction(
        policy=9, symbol=Symbol("A"), since=date(2013, 1, 1), until=None, reason="told", tactic="insider"
    )
    told = example_limits(restrictions=(line,)).instrument(
        Symbol("A"), session=date(2013, 2, 28), in_universe=True, tactic=0
    )

    assert (told.restricted_policy, told.tactic) == (9, 3)


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (NOON - timedelta(seconds=1), False),
        (NOON, True),
        (NOON + timedelta(hours=24) - timedelta(seconds=1), True),
        (NOON + timedelta(hours=24), False),
        (None, False),
    ],
)
def test_an_override_by_the_clock_holds_from_its_first_instant_until_before_its_last(now, holds):
    until = NOON + timedelta(hours=24)
    override = Override(actor="ada", reason="why", guard="volume_share", symbol="A", since=NOON, until=until)

    assert override.holds_for(Symbol("A"), session=date(2013, 2, 28), now=now) is holds
    assert not override.holds_for(Symbol("B"), session=date(2013, 2, 28), now=now)


def test_an_override_of_a_session_holds_for_that_session():
    override = Override(actor="ada", reason="why", guard="volume_share", symbol="", session=date(2013, 2, 28))

    assert override.holds_for(Symbol("A"), session=date(2013, 2, 28), now=None)
    assert not override.holds_for(Symbol("A"), session=date(2013, 3, 1), now=NOON)
