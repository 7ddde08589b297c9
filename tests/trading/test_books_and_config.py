"""The reviewed files: what they say becomes a book's rules, and each mistake is named exactly."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import pytest

from resources.reviewed_config import (
    book_config,
    read_books,
    read_limits,
    read_promotion,
    read_rules,
    read_strategies,
    refuse_unknown_sections,
)
from trading.approvals import ApprovalMode
from trading.errors import BadSetting
from trading.journal import CooldownRules

BOOKS = """
[mine]
title = "My bars"
source = "folder"
path = "data/bars"
calendar = "XNYS"
currency = "USD"
account = "SIM-MINE"
deposit = "100000.50"
slippage_bps = 5
commission_bps = 1
participation_bps = 500
"""
LIMITS = """
[default]
order_quantity_max = 190000
order_notional_max = "100000"
price_collar_bps = 2900
usual_order_notional = "15000"
fat_finger_soft_multiple = 6
fat_finger_hard_multiple = 10
volume_share_bps_max = 2001
volume_sessions = 20
orders_per_minute_max = 301
repeated_executions_max = 3
position_weight_bps_max = 2500
symbol_weight_bps_max = 2000
symbol_caps_bps = { FB = 500 }
strategy_budgets_bps = { council = 10000 }
gross_notional_max = "5000000"
net_notional_max = "4000000"
leverage_bps_max = 12000
var_bps_max = 400
var_level_bps = 9500
daily_loss_bps_max = 200
drawdown_bps_max = 1000
drawdown_sessions = 60
degrade_notional_bps = 2502
auto_approve_notional = "80000"
cost_bps = 20
quote_age_s_max = 300
clock_skew_s_max = 2
stale_ratio_bps_max = 1000
lot = 1
tick_size = "0.01"

[mine]
auto_approve_notional = "40000"
allowlist = ["IBM"]
"""
STRATEGIES = """
momentum = { weight = 0.5, parameters = { lookback = 126, skip = 5, full = 0.1 } }
mean_reversion = { weight = 0.25, parameters = { sessions = 20, calm = 1.5, stretched = 2.5 } }
"""
RULES = """
[scanner]
window_sessions = 130
history_sessions = 60
top = 5
confidence_min = 0.6
risk_score_max = 0.7
trend_weight = 0.4
strength_weight = 0.2
activity_weight = 0.1
calm_weight = 0.3
open_order_penalty = 0.2

[council]
quorum = 2
support_min = 0.5
exit_quorum = 1
exit_support_min = 0.3

[allocation]
position_bps = 2000
cap_bps = 1800
reserve_bps = 500
band_bps = 100
step_bps = 600
lot = 1

[mine.scanner]
top = 3
"""
CONTROL = """
[default]
approval_mode = "auto"
four_eyes_notional = "90000"
risk_expires_s = 28800
compliance_expires_s = 28800
person_expires_s = 28800
failures_max = 3
failures_window_s = 900
incidents_max = 4
incidents_window_s = 7200
cooldown_s = 600

[mine]
approval_mode = "manual"
"""
FILES = {
    "control.toml": CONTROL,
    "books.toml": BOOKS,
    "limits.toml": LIMITS,
    "restricted.toml": "",
    "overrides.toml": "",
    "strategies.toml": STRATEGIES,
    "rules.toml": RULES,
}


class Source:
    """Give the dates of a source: 2 March 2013 is a Saturday."""

    def __init__(self, *dates):
        self._dates = dates or (date(2013, 2, 27), date(2013, 2, 28), date(2013, 3, 1), date(2013, 3, 2))

    def sessions(self):
        return self._dates


@pytest.fixture
def folder(tmp_path):
    """Give a folder of good files, and a way to change one."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def change(folder, name, old, new):
    text = FILES[name]
    assert text.count(old) == 1, old
    (folder / name).write_text(text.replace(old, new), "utf-8")


def configured(folder, calendar, source=None):
    line = read_books(folder / "books.toml")["mine"]
    return book_config("mine", line, config_dir=folder, source=source or Source(), calendar=calendar)


def test_the_files_become_a_book(folder, xnys):
    book = configured(folder, xnys)

    assert (book.name, book.account, book.currency) == ("mine", "SIM-MINE", "USD")
    assert book.deposit_micros == 100_000_500_000
    assert tuple(book.costs) == (5, 1, 500)
    assert (book.first_session, book.last_session) == (date(2013, 2, 27), date(2013, 3, 1))
    assert book.rules.window_sessions == 130
    assert book.rules.strategy_version() == "mean_reversion@1,momentum@1"
    assert [strategy.weight for strategy in book.rules.strategies] == [0.25, 0.5]


def test_who_approves_and_when_it_cools_down_is_a_books_own(folder):
    mine, other = read_rules("mine", folder), read_rules("other", folder)

    assert (mine.approvals.mode, other.approvals.mode) == (ApprovalMode.MANUAL, ApprovalMode.AUTO)
    assert mine.approvals.four_eyes_micros == 90_000_000_000
    assert mine.cooldown == CooldownRules(
        failures_max=3, window_s=900, cooldown_s=600, incidents_max=4, incidents_window_s=7200
    )
    assert mine.sha() != replace(mine, approvals=other.approvals).sha()


def test_a_books_own_section_overrides_the_default_and_no_other_book(folder, xnys):
    mine, other = configured(folder, xnys).rules, read_rules("other", folder)

    assert (mine.scanner.top, other.scanner.top) == (3, 5)
    assert (mine.limits.auto_approve_notional_micros, other.limits.auto_approve_notional_micros) == (
        40_000_000_000,
        80_000_000_000,
    )
    assert (mine.limits.allows("IBM"), mine.limits.allows("AAPL"), other.limits.allows("AAPL")) == (
        True,
        False,
        True,
    )
    assert mine.sha() != other.sha()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("rules.toml", "top = 3", "top = 4"),
        ("rules.toml", "calm_weight = 0.3", "calm_weight = 0.300000001"),
        ("rules.toml", "exit_support_min = 0.3", "exit_support_min = 0.31"),
        ("rules.toml", "step_bps = 600", "step_bps = 601"),
        ("rules.toml", "window_sessions = 130", "window_sessions = 131"),
        ("limits.toml", "cost_bps = 20", "cost_bps = 21"),
        ("limits.toml", '["IBM"]', '["IBM", "AAPL"]'),
        ("strategies.toml", "skip = 5", "skip = 6"),
        ("strategies.toml", "weight = 0.25", "weight = 0.26"),
    ],
)
def test_the_digest_of_the_rules_changes_with_any_number(folder, name, old, new):
    before = read_rules("mine", folder).sha()
    change(folder, name, old, new)

    assert read_rules("mine", folder).sha() != before


def test_the_shipped_files_are_good(config_dir):
    books = read_books(config_dir / "books.toml")

    assert {"us_five", "us_wide"} <= books.keys()
    refuse_unknown_sections(config_dir, books=books)
    for name in books:
        assert read_rules(name, config_dir).limits.symbol_weight_bps_max > 0


def test_written_sessions_bound_a_book_whatever_its_source_has(folder, xnys):
    change(
        folder, "books.toml", "participation_bps = 500", "participation_bps = 500\nlast_session = 2013-02-28"
    )

    assert configured(folder, xnys).first_session == date(2013, 2, 27)
    assert configured(folder, xnys).last_session == date(2013, 2, 28)


MISTAKES = [
    # books.toml
    ("books.toml", 'source = "folder"', 'source = "yahoo"', "[mine] source = 'yahoo': Input should be"),
    ("books.toml", 'path = "data/bars"\n', "", '[mine] path: missing; source "folder" needs the folder'),
    ("books.toml", 'deposit = "100000.50"\n', "", "[mine] deposit: missing"),
    ("books.toml", '"100000.50"', "100000", "[mine] deposit = 100000: Input should be a valid string"),
    ("books.toml", "100000.50", "0", "[mine] deposit = '0': must be positive"),
    ("books.toml", "100000.50", "-5", "[mine] deposit = '-5': must be positive"),
    ("books.toml", "100000.50", "0.0000001", "[mine] deposit: amount '0.0000001': more than six decimals"),
    ("books.toml", "100000.50", "1e13", "[mine] deposit: amount '1e13': too large"),
    ("books.toml", '"USD"', '"usd"', "[mine] currency = 'usd': String should match pattern"),
    (
        "books.toml",
        "slippage_bps = 5",
        "slippage_bps = -1",
        "[mine] slippage_bps = -1: Input should be greater",
    ),
    ("books.toml", "slippage_bps = 5", "slippage = 5", "[mine] slippage_bps: missing"),
    (
        "books.toml",
        "commission_bps = 1",
        "commission_bps = 1\nfee = 2",
        "[mine] fee = 2: Extra inputs are not",
    ),
    ("books.toml", "participation_bps = 500", "participation_bps = 0", "[mine] participation_bps = 0: "),
    ("books.toml", "[mine]", "[Mine]", "[Mine]: a book's name is a lower-case word"),
    ("books.toml", "[mine]", '["my book"]', "[my book]: a book's name is a lower-case word"),
    ("books.toml", BOOKS, "", "no book in it; add a section"),
    ("books.toml", BOOKS, "mine = 5", "mine = 5: must be a section with keys"),
    ("books.toml", BOOKS, "[mine", "Expected ']'"),
    (
        "books.toml",
        "participation_bps = 500",
        "participation_bps = 500\nfirst_session = 2013-03-01\nlast_session = 2013-02-28",
        "[mine] first_session = 2013-03-01: after last_session = 2013-02-28; no session is left",
    ),
    (
        "books.toml",
        "slippage_bps = 5",
        "slippage_bps = 19",
        "[mine] slippage_bps = 19, commission_bps = 1 are over cost_bps = 20 in limits.toml",
    ),
    # control.toml
    ("control.toml", "[default]", "[defaults]", "no [default]; without it nobody could approve"),
    ("control.toml", '"manual"', '"by hand"', "[mine] approval_mode = 'by hand': Input should be 'manual'"),
    ("control.toml", '"90000"', '"0"', "[mine] four_eyes_notional = '0': must be positive"),
    ("control.toml", "= 3\n", "= 0\n", "[default] failures_max = 0: Input should be greater than 0"),
    # limits.toml
    ("limits.toml", "[default]", "[defaults]", "no [default]; without limits nothing is traded"),
    ("limits.toml", "cost_bps = 20\n", "", "[default] cost_bps: missing"),
    ("limits.toml", "= 2000", "= 10001", "[default] symbol_weight_bps_max = 10001: Input should be less"),
    ("limits.toml", "= 300", "= 0", "[default] quote_age_s_max = 0: Input should be greater than 0"),
    (
        "limits.toml",
        "{ council = 10000 }",
        "{ momentum = 3000 }",
        "strategy_budgets_bps momentum: decides no intent, so that its budget would hold for nothing",
    ),
    ("limits.toml", '["IBM"]', '"IBM"', "[mine] allowlist = 'IBM': Input should be a valid tuple"),
    (
        "limits.toml",
        '"40000"',
        "40000",
        "[mine] auto_approve_notional = 40000: Input should be a valid string",
    ),
    ("limits.toml", '"40000"', '"4e"', "[mine] auto_approve_notional: amount '4e': not a decimal number"),
    (
        "limits.toml",
        '"40000"',
        '"100001"',
        "[mine]: auto_approve_notional 100001000000 is over order_notional_max 100000000000",
    ),
    (
        "limits.toml",
        '[mine]\nauto_approve_notional = "40000"',
        "[mine.x]",
        "[mine] x = {'allowlist': ['IBM']}: ",
    ),
    # rules.toml
    ("rules.toml", "[council]", "[counsel]", "no [council]"),
    ("rules.toml", "top = 3", "top = 0", "[mine.scanner] top = 0: Input should be greater than 0"),
    ("rules.toml", "band_bps = 100", "band_bps = 99.5", "[allocation] band_bps = 99.5: "),
    ("rules.toml", "top = 3", "topp = 3", "[mine.scanner] topp = 3: Extra inputs are not permitted"),
    ("rules.toml", "confidence_min = 0.6", "confidence_min = 1.1", "[scanner] confidence_min = 1.1: "),
    ("rules.toml", "trend_weight = 0.4", "trend_weight = nan", "[scanner] trend_weight = nan: "),
    ("rules.toml", "trend_weight = 0.4", "trend_weight = inf", "[scanner] trend_weight = inf: "),
    ("rules.toml", "lot = 1\n", "", "[allocation] lot: missing"),
    ("rules.toml", "[mine.scanner]\ntop = 3", "[mine]\nscanner = 3", "mine.scanner = 3: must be a section"),
    ("rules.toml", "\nquorum = 2", "\nquorum = 3", "[council] quorum = 3: only 2 strategies are configured"),
    ("rules.toml", "exit_quorum = 1", "exit_quorum = 3", "[council] exit_quorum = 3: only 2 strategies"),
    (
        "rules.toml",
        "history_sessions = 60",
        "history_sessions = 131",
        "[scanner] history_sessions = 131: over window_sessions = 130",
    ),
    # strategies.toml
    ("strategies.toml", STRATEGIES, "", "no strategy in it; add one line"),
    (
        "strategies.toml",
        "momentum =",
        "momentun =",
        "strategy 'momentun': no file trading/strategies/momentun.py",
    ),
    (
        "strategies.toml",
        "weight = 0.5",
        "weight = 0",
        "[momentum] weight = 0: Input should be greater than 0",
    ),
    ("strategies.toml", "weight = 0.5", "weight = inf", "[momentum] weight = inf: "),
    ("strategies.toml", "weight = 0.5", "wait = 0.5", "[momentum] weight: missing"),
    ("strategies.toml", "full = 0.1", "full = [1]", "[momentum] parameters.full"),
    ("strategies.toml", "full = 0.1", "full = nan", "[momentum] parameters.full"),
    ("strategies.toml", "full = 0.1", "fool = 0.1", "strategy 'momentum': parameters"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[-1][:40])
def test_a_mistake_is_named_by_file_section_key_and_value(folder, xnys, mistake):
    name, old, new, told = mistake
    change(folder, name, old, new)

    with pytest.raises(BadSetting) as refusal:
        configured(folder, xnys)

    assert told in str(refusal.value)
    assert name in str(refusal.value) or "trading/strategies/" in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_or_no_text_is_named(folder, xnys, name):
    (folder / name).write_bytes(b"\xff\xfe")
    with pytest.raises(BadSetting, match=re.escape(str(folder / name))):
        configured(folder, xnys)
    (folder / name).unlink()
    with pytest.raises(BadSetting, match=rf"{re.escape(str(folder / name))}: no such file"):
        configured(folder, xnys)


def test_a_source_without_a_session_is_refused(folder, xnys):
    with pytest.raises(BadSetting, match=r"\[mine\]: its source has no bar on any session of XNYS"):
        configured(folder, xnys, Source(date(2013, 3, 2)))


def test_parts_read_alone_say_the_same(folder):
    assert read_limits("mine", folder / "limits.toml") == read_rules("mine", folder).limits
    assert read_strategies(folder / "strategies.toml") == read_rules("mine", folder).strategies


def test_costs_over_what_buying_power_allows_for_from_a_date_on_are_refused(folder, xnys):
    path = folder / "limits.toml"
    later = '[[changes]]\nbook = "mine"\neffective_from = 2013-03-01\nreason = "calm"\ncost_bps = 6\n'
    path.write_text(path.read_text("utf-8") + later, "utf-8")

    with pytest.raises(BadSetting, match=r"commission_bps = 1 are over cost_bps = 6 in limits\.toml"):
        configured(folder, xnys)


def dated(book, on, keys):
    return f'[[changes]]\nbook = "{book}"\neffective_from = {on}\nreason = "calm"\n{keys}\n'


@pytest.mark.parametrize("book", ["mine", "default"])
def test_a_limit_that_is_changed_twice_on_a_date_is_refused(folder, book):
    path = folder / "limits.toml"
    first, second = dated(book, "2013-03-01", "lot = 10"), dated(book, "2013-03-01", "lot = 100")
    path.write_text(path.read_text("utf-8") + first + second, "utf-8")

    with pytest.raises(BadSetting, match=rf"changes of 2013-03-01\]: lot of {book} is changed twice on that"):
        read_limits("mine", path)


def test_another_limit_another_date_or_another_book_changes_beside_it(folder):
    path = folder / "limits.toml"
    changes = [
        dated("mine", "2013-03-01", "lot = 10"),
        dated("mine", "2013-03-01", "clock_skew_s_max = 3"),
        dated("mine", "2013-03-02", "lot = 20"),
        dated("default", "2013-03-01", "lot = 5"),
    ]
    path.write_text(path.read_text("utf-8") + "".join(changes), "utf-8")

    limits = read_limits("mine", path)

    assert [limits.on(date(2013, 3, day)).lot for day in (1, 2)] == [10, 20]


def test_costs_up_to_what_buying_power_allows_for_are_good(folder, xnys):
    change(folder, "books.toml", "slippage_bps = 5", "slippage_bps = 18")

    assert configured(folder, xnys).costs.slippage_bps == 18


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("limits.toml", "[mine]", "[mein]", r"\[mein\]: nothing reads it; known are default, mine"),
        ("rules.toml", "[mine.scanner]", "[mein.scanner]", r"\[mein\]: nothing reads it; known are scanner"),
        (
            "rules.toml",
            "[mine.scanner]",
            "[mine.scaner]",
            r"\[mine.scaner\]: nothing reads it; known are scanner, council, allocation",
        ),
        ("rules.toml", "[mine.scanner]\ntop = 3", "[scaner]\ntop = 3", r"\[scaner\]: nothing reads it"),
    ],
)
def test_a_section_that_nothing_reads_is_refused(folder, name, old, new, told):
    refuse_unknown_sections(folder, books={"mine"})
    change(folder, name, old, new)

    with pytest.raises(BadSetting, match=told):
        refuse_unknown_sections(folder, books={"mine"})


def test_a_number_where_a_book_has_its_section_is_refused(folder):
    (folder / "rules.toml").write_text("mine = 3\n", "utf-8")

    with pytest.raises(BadSetting, match="mine = 3: must be a section with keys"):
        refuse_unknown_sections(folder, books={"mine"})


def test_sections_of_the_shipped_books_are_no_mistake_beside_a_file_of_other_books(folder):
    refuse_unknown_sections(folder, books={"theirs"})
    (folder / "books.toml").unlink()
    with pytest.raises(BadSetting, match=r"\[mine\]: nothing reads it"):
        refuse_unknown_sections(folder, books={"theirs"})


@pytest.mark.parametrize("account", ["SIM-MINE", "sim-mine"])
def test_two_books_never_share_an_account(tmp_path, account):
    path = tmp_path / "books.toml"
    second = BOOKS.replace("[mine]", "[yours]").replace("SIM-MINE", account)
    path.write_text(BOOKS + second)
    with pytest.raises(BadSetting, match=rf"\[yours\] account = '{account}': is the account of \[mine\] too"):
        read_books(path)


def test_an_account_names_files_and_so_holds_no_slash(tmp_path):
    path = tmp_path / "books.toml"
    path.write_text(BOOKS.replace("SIM-MINE", "SIM/MINE"))
    with pytest.raises(BadSetting, match=r"\[mine\] account = 'SIM/MINE': must hold no /"):
        read_books(path)


def test_the_shipped_thresholds_are_good_and_a_books_own_override_them(config_dir, tmp_path):
    shipped = config_dir / "promotion.toml"
    thresholds, recording = read_promotion("us_five", shipped, books=["us_five"])
    assert thresholds.stress_survivors_min < len(thresholds.stresses)
    assert recording.windows > 0

    path = tmp_path / "promotion.toml"
    path.write_text(shipped.read_text("utf-8") + "\n[us_five]\ndrawdown_max = 0.1\n", "utf-8")
    stricter, _ = read_promotion("us_five", path, books=["us_five", "us_wide"])
    assert stricter == replace(thresholds, drawdown_max=0.1)
    assert stricter.sha() != thresholds.sha()
    assert read_promotion("us_wide", path, books=["us_five", "us_wide"])[0] == thresholds


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ("[us_five]\nfolds_min = 1\n", r"\[us_five\]: folds_min = 1: one fold shows nothing"),
        ("[us_five]\nstress_survivors_min = 9\n", "no more than there are"),
        ("[us_five]\noverfitting_max = 0.5\n", r"\[us_five\] overfitting_max = 0.5: .*less than 0.5"),
        ("[us_five]\ndrawdown_max = nan\n", r"\[us_five\] drawdown_max = nan: "),
        ("[us_five]\nnet_return = 1\n", r"\[us_five\] net_return = 1: Extra inputs"),
        ("[us_fife]\nfills_min = 1\n", r"\[us_fife\]: nothing reads it; known are default, us_five"),
    ],
)
def test_thresholds_that_contradict_themselves_refuse_to_load(config_dir, tmp_path, added, told):
    path = tmp_path / "promotion.toml"
    path.write_text((config_dir / "promotion.toml").read_text("utf-8") + added, "utf-8")

    with pytest.raises(BadSetting, match=told):
        read_promotion("us_five", path, books=["us_five"])
