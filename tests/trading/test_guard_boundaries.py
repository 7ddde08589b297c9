"""Every guard's whole answer at its bounds, by hand: code, what it saw, its limit, the largest quantity."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import BadInput
from trading.guards import (
    GUARDS,
    NO_LIMIT,
    PASS,
    REASONS,
    Caps,
    Case,
    Control,
    Exposure,
    Instrument,
    Market,
    Proposal,
    Recent,
    Risk,
    Why,
    first_reason,
    review,
)
from trading.values import NOTIONAL_MICROS_MAX, notional_micros

GUARD = dict(GUARDS)

# A buy of 10 at 7 micro-units, so that every sum can be done in the head. Of the symbol 20 are held, 5 are on
# order and 3 on sale; free are 900 − 100; the book is worth 1,000 and stands in the market with 400.
BUY = Case(
    Proposal(sign=1, quantity=10, price_micros=7, is_flatten=False, is_limit=False),
    Market(
        price_micros=7,
        sessions_behind=0,
        quote_age_s=30,
        is_send=True,
        session_open=True,
        clock_skew_s=0,
        average_volume=105,
    ),
    Instrument(
        lot=5,
        tick_micros=7,
        in_universe=True,
        is_allowed=True,
        allowlist_size=2,
        restricted_policy=0,
        tactic=0,
    ),
    Exposure(
        position_quantity=20,
        open_buy_quantity=5,
        open_sell_quantity=3,
        cash_micros=900,
        reserved_micros=100,
        equity_micros=1_000,
        gross_micros=400,
        net_micros=300,
        strategy_micros=200,
        unpriced=0,
    ),
    Recent(same_intents=0, orders_last_minute=4, repeated_executions=1),
    Risk(
        is_history_sufficient=True,
        var_micros=40,
        var_largest=10,
        is_pnl_known=True,
        day_pnl_micros=-20,
        peak_equity_micros=1_100,
    ),
    Control(
        kill_switch_on=False,
        paused=False,
        cooldown_active=False,
        is_reconciled=True,
        execution_enabled=True,
        preflight=PASS,
        is_degraded=False,
    ),
    Caps(
        quote_age_s_max=60,
        clock_skew_s_max=2,
        order_quantity_max=12,
        order_notional_micros_max=80,
        price_collar_bps=3_000,
        fat_finger_hard_micros=200,
        fat_finger_soft_micros=100,
        volume_share_bps_max=1_000,
        orders_per_minute_max=6,
        repeated_executions_max=3,
        cost_bps=2_000,
        position_weight_bps_max=2_500,
        symbol_weight_bps_max=2_460,
        strategy_budget_bps=2_700,
        gross_micros_max=480,
        net_micros_max=375,
        leverage_bps_max=4_730,
        var_bps_max=450,
        daily_loss_bps_max=300,
        drawdown_bps_max=1_500,
        degrade_notional_bps=9_000,
    ),
)
SELL = BUY._replace(proposal=BUY.proposal._replace(sign=-1))
"""The same the other way: 17 may be sold, since 3 of 20 are on sale."""

OPEN = ("open_buy_quantity", "open_sell_quantity", "reserved_micros")

COVER = BUY._replace(exposure=BUY.exposure._replace(position_quantity=-20))
"""A buy in a book that is 20 short and has 5 on order: 15 may be bought and still only lower it."""


def but(case, *, reference=None, **changes):
    """Give a case with fields changed, `reference` for the price that the order was sized on."""
    wanted = [dict(changes) for _ in case]
    price = wanted[0].pop("price_micros", None)
    wanted[0] |= {} if reference is None else {"price_micros": reference}
    wanted[1] |= {} if price is None else {"price_micros": price}
    return Case(
        *(
            part._replace(**{name: value for name, value in own.items() if name in part._fields})
            for part, own in zip(case, wanted, strict=True)
        )
    )


ANY = NO_LIMIT
LARGEST_AT_7 = 658_812_288_346_769_700
"""2^62 over 7, without the 0.57."""

OK = "ok"

TABLE = [
    ("kill_switch", BUY, {}, (OK, 0, 0, ANY)),
    ("kill_switch", BUY, {"kill_switch_on": True}, ("kill_switch_on", 1, 0, 0)),
    ("kill_switch", BUY, {"kill_switch_on": True, "is_flatten": True}, (OK, 0, 0, ANY)),
    ("paused", BUY, {}, (OK, 0, 0, ANY)),
    ("paused", BUY, {"paused": True}, ("trading_paused", 1, 0, 0)),
    ("cooldown", BUY, {}, (OK, 0, 0, ANY)),
    ("cooldown", BUY, {"cooldown_active": True}, ("cooldown_active", 1, 0, 0)),
    ("cooldown", SELL, {"cooldown_active": True}, (OK, 1, 0, 17)),
    ("cooldown", SELL, {"cooldown_active": True, "quantity": 18}, ("cooldown_active", 1, 0, 17)),
    ("reconciled", BUY, {}, (OK, 1, 1, ANY)),
    ("reconciled", BUY, {"is_reconciled": False}, ("not_reconciled", 0, 1, 0)),
    ("execution_enabled", BUY, {}, (OK, 1, 1, ANY)),
    ("execution_enabled", BUY, {"execution_enabled": False}, ("execution_disabled", 0, 1, 0)),
    ("preflight", BUY, {}, (OK, 0, 0, ANY)),
    ("preflight", BUY, {"preflight": 202}, ("real_execution_not_allowed", 202, 0, 0)),
    ("preflight", BUY, {"preflight": 206}, ("invalid_base_url", 206, 0, 0)),
    ("quote_present", BUY, {}, (OK, 7, 1, ANY)),
    ("quote_present", BUY, {"price_micros": 1}, (OK, 1, 1, ANY)),
    ("quote_present", BUY, {"price_micros": 0}, ("missing_price", 0, 1, 0)),
    ("quote_present", BUY, {"price_micros": -1}, ("missing_price", -1, 1, 0)),
    ("quote_age", BUY, {}, (OK, 30, 60, ANY)),
    ("quote_age", BUY, {"quote_age_s": 60}, (OK, 60, 60, ANY)),
    ("quote_age", BUY, {"quote_age_s": 61}, ("quote_stale", 61, 60, 0)),
    ("quote_age", BUY, {"quote_age_s": 0}, (OK, 0, 60, ANY)),
    ("quote_age", BUY, {"quote_age_s": -1}, ("quote_stale", -1, 60, 0)),
    ("quote_age", BUY, {"quote_age_s": 61, "is_send": False}, (OK, 61, 60, ANY)),
    ("quote_age", BUY, {"sessions_behind": 1}, ("quote_stale", 1, 0, 0)),
    ("quote_age", BUY, {"sessions_behind": -1, "is_send": False}, ("quote_stale", -1, 0, 0)),
    ("session_open", BUY, {}, (OK, 1, 1, ANY)),
    ("session_open", BUY, {"session_open": False}, ("session_closed", 0, 1, 0)),
    ("clock_skew", BUY, {}, (OK, 0, 2, ANY)),
    ("clock_skew", BUY, {"clock_skew_s": 2}, (OK, 2, 2, ANY)),
    ("clock_skew", BUY, {"clock_skew_s": 3}, ("clock_skewed", 3, 2, 0)),
    ("clock_skew", BUY, {"clock_skew_s": -2}, (OK, -2, 2, ANY)),
    ("clock_skew", BUY, {"clock_skew_s": -3}, ("clock_skewed", -3, 2, 0)),
    # Whatever is worth less than 2^62.
    ("well_formed", BUY, {}, (OK, 10, LARGEST_AT_7, LARGEST_AT_7)),
    ("well_formed", BUY, {"reference": 2**61}, ("invalid_intent_type", 10, 1, 1)),
    ("well_formed", BUY, {"reference": 2**61 - 1, "quantity": 2}, (OK, 2, 2, 2)),
    ("well_formed", BUY, {"price_micros": 2**61, "quantity": 2}, ("invalid_intent_type", 2, 1, 1)),
    ("well_formed", BUY, {"quantity": 1}, (OK, 1, LARGEST_AT_7, LARGEST_AT_7)),
    ("well_formed", BUY, {"quantity": 0}, ("invalid_intent_type", 0, 1, 0)),
    ("well_formed", BUY, {"sign": 0}, ("invalid_intent_type", 10, 1, 0)),
    ("well_formed", BUY, {"sign": 2}, ("invalid_intent_type", 10, 1, 0)),
    ("well_formed", BUY, {"sign": -2}, ("invalid_intent_type", 10, 1, 0)),
    ("well_formed", SELL, {}, (OK, 10, LARGEST_AT_7, LARGEST_AT_7)),
    ("well_formed", BUY, {"reference": 0}, ("invalid_intent_type", 10, 1, 0)),
    ("well_formed", BUY, {"reference": 1, "price_micros": 1}, (OK, 10, 2**62 - 1, 2**62 - 1)),
    ("universe", BUY, {}, (OK, 1, 1, ANY)),
    ("universe", BUY, {"in_universe": False}, ("not_in_universe", 0, 1, 0)),
    ("allowlist", BUY, {}, (OK, 1, 1, ANY)),
    ("allowlist", BUY, {"is_allowed": False}, ("symbol_not_allowed", 0, 1, 0)),
    ("allowlist", SELL, {"is_allowed": False, "quantity": 17}, (OK, 0, 1, 17)),
    ("allowlist", SELL, {"is_allowed": False, "quantity": 18}, ("symbol_not_allowed", 0, 1, 17)),
    ("restricted", BUY, {}, (OK, 0, 0, ANY)),
    ("restricted", BUY, {"restricted_policy": 7}, ("restricted_symbol", 7, 0, 0)),
    ("restricted", SELL, {"restricted_policy": 7, "quantity": 17}, (OK, 7, 0, 17)),
    ("restricted", SELL, {"restricted_policy": 7, "quantity": 18}, ("restricted_symbol", 7, 0, 17)),
    ("lot_size", BUY, {}, (OK, 10, 5, ANY)),
    ("lot_size", BUY, {"quantity": 14}, ("lot_size", 14, 5, 10)),
    ("lot_size", BUY, {"quantity": 17}, ("lot_size", 17, 5, 15)),
    ("lot_size", BUY, {"quantity": 4}, ("lot_size", 4, 5, 0)),
    ("lot_size", BUY, {"lot": 1, "quantity": 4}, (OK, 4, 1, ANY)),
    ("lot_size", BUY, {"lot": 0}, ("lot_size", 10, 0, 0)),
    ("lot_size", SELL, {"quantity": 17}, (OK, 17, 5, ANY)),  # all that is left
    ("lot_size", SELL, {"quantity": 16}, ("lot_size", 16, 5, 15)),
    ("lot_size", SELL, {"quantity": 18}, ("lot_size", 18, 5, 17)),
    ("lot_size", SELL, {"quantity": 21}, ("lot_size", 21, 5, 20)),
    ("tick_size", BUY, {}, (OK, 7, 7, ANY)),
    ("tick_size", BUY, {"reference": 8}, (OK, 8, 7, ANY)),
    ("tick_size", BUY, {"reference": 8, "is_limit": True}, ("tick_size", 8, 7, 0)),
    ("tick_size", BUY, {"reference": 14, "is_limit": True}, (OK, 14, 7, ANY)),
    ("tick_size", BUY, {"reference": 8, "is_limit": True, "tick_micros": 0}, (OK, 8, 0, ANY)),
    ("tick_size", BUY, {"reference": 8, "is_limit": True, "tick_micros": 1}, (OK, 8, 1, ANY)),
    ("prohibited_tactic", BUY, {}, (OK, 0, 0, ANY)),
    ("prohibited_tactic", BUY, {"tactic": 1}, ("prohibited_tactic:spoofing", 1, 0, 0)),
    ("prohibited_tactic", BUY, {"tactic": 5}, ("prohibited_tactic:pump_and_dump", 5, 0, 0)),
    ("prohibited_tactic", BUY, {"tactic": 6}, ("prohibited_tactic:pump_and_dump", 6, 0, 0)),
    ("prohibited_tactic", BUY, {"tactic": -1}, ("prohibited_tactic:spoofing", -1, 0, 0)),
    ("max_quantity", BUY, {}, (OK, 10, 12, 12)),
    ("max_quantity", BUY, {"quantity": 12}, (OK, 12, 12, 12)),
    ("max_quantity", BUY, {"quantity": 13}, ("max_quantity_exceeded", 13, 12, 12)),
    ("max_quantity", SELL, {"quantity": 17}, (OK, 17, 12, 17)),
    ("max_quantity", SELL, {"quantity": 18}, ("max_quantity_exceeded", 18, 12, 17)),
    # 80 buys eleven at 7.
    ("max_notional", BUY, {}, (OK, 70, 80, 11)),
    ("max_notional", BUY, {"quantity": 11}, (OK, 77, 80, 11)),
    ("max_notional", BUY, {"quantity": 12}, ("max_notional_exceeded", 84, 80, 11)),
    ("max_notional", BUY, {"order_notional_micros_max": 70}, (OK, 70, 70, 10)),
    ("max_notional", BUY, {"order_notional_micros_max": 69}, ("max_notional_exceeded", 70, 69, 9)),
    ("max_notional", BUY, {"order_notional_micros_max": -8}, ("max_notional_exceeded", 70, -8, 0)),
    (
        "max_notional",
        BUY,
        {"order_notional_micros_max": -8, "price_micros": 1},
        ("max_notional_exceeded", 10, -8, 0),
    ),
    ("max_notional", BUY, {"price_micros": 0}, (OK, 0, 80, ANY)),
    ("max_notional", BUY, {"price_micros": 1}, (OK, 10, 80, 80)),
    ("max_notional", SELL, {"quantity": 17}, (OK, 119, 80, 17)),
    ("max_notional", SELL, {"quantity": 18}, ("max_notional_exceeded", 126, 80, 17)),
    ("max_notional", COVER, {"quantity": 15}, (OK, 105, 80, 15)),
    ("max_notional", COVER, {"quantity": 16}, ("max_notional_exceeded", 112, 80, 15)),
    # 30 % of 10 are 3.
    ("price_collar", BUY, {"reference": 10}, (OK, 3, 3, ANY)),
    ("price_collar", BUY, {"reference": 10, "price_micros": 13}, (OK, 3, 3, ANY)),
    ("price_collar", BUY, {"reference": 10, "price_micros": 14}, ("price_collar_exceeded", 4, 3, 0)),
    ("price_collar", BUY, {"reference": 10, "price_micros": 6}, ("price_collar_exceeded", 4, 3, 0)),
    ("price_collar", BUY, {"reference": 10, "price_micros": 0}, (OK, 0, 3, ANY)),
    ("price_collar", BUY, {"reference": 1, "price_micros": 1}, (OK, 0, 0, ANY)),
    ("price_collar", BUY, {"reference": -5, "price_micros": 1}, ("price_collar_exceeded", 6, 0, 0)),
    (
        "price_collar",
        BUY,
        {"reference": 0, "price_micros": 1, "price_collar_bps": 10_000},
        ("price_collar_exceeded", 1, 0, 0),
    ),
    ("price_collar", SELL, {"reference": 10, "price_micros": 14}, (OK, 4, 3, 17)),
    ("fat_finger_hard", BUY, {}, (OK, 70, 200, 28)),
    ("fat_finger_hard", BUY, {"fat_finger_hard_micros": 69}, ("fat_finger_hard", 70, 69, 9)),
    ("fat_finger_soft", BUY, {}, (OK, 70, 100, 14)),
    ("fat_finger_soft", BUY, {"fat_finger_soft_micros": 69}, ("fat_finger_soft", 70, 69, 9)),
    # A tenth of 105 is 10.5, so 10.
    ("volume_share", BUY, {}, (OK, 10, 10, 10)),
    ("volume_share", BUY, {"quantity": 11}, ("volume_share_exceeded", 11, 10, 10)),
    ("volume_share", BUY, {"average_volume": 0}, ("missing_volume", 0, 1, 0)),
    ("volume_share", BUY, {"average_volume": -1}, ("missing_volume", -1, 1, 0)),
    ("volume_share", BUY, {"average_volume": 1}, ("volume_share_exceeded", 10, 0, 0)),
    ("volume_share", SELL, {"quantity": 17}, (OK, 17, 10, 17)),
    ("volume_share", SELL, {"quantity": 18}, ("volume_share_exceeded", 18, 10, 17)),
    ("volume_share", SELL, {"quantity": 17, "average_volume": 0}, (OK, 0, 0, 17)),
    ("volume_share", SELL, {"quantity": 18, "average_volume": 0}, ("missing_volume", 0, 1, 17)),
    ("duplicate", BUY, {}, (OK, 0, 0, ANY)),
    ("duplicate", BUY, {"same_intents": 1}, ("duplicate_intent", 1, 0, 0)),
    ("order_rate", BUY, {}, (OK, 4, 6, ANY)),
    ("order_rate", BUY, {"orders_last_minute": 5}, (OK, 5, 6, ANY)),
    ("order_rate", BUY, {"orders_last_minute": 6}, ("order_rate_exceeded", 6, 6, 0)),
    ("order_rate", BUY, {"orders_last_minute": 7}, ("order_rate_exceeded", 7, 6, 0)),
    ("order_rate", BUY, {"orders_last_minute": 0}, (OK, 0, 6, ANY)),
    ("order_rate", BUY, {"orders_last_minute": -1}, ("order_rate_exceeded", -1, 6, 0)),
    ("order_rate", SELL, {"orders_last_minute": 6, "quantity": 17}, (OK, 6, 6, 17)),
    ("order_rate", SELL, {"orders_last_minute": 6, "quantity": 18}, ("order_rate_exceeded", 6, 6, 17)),
    ("order_rate", COVER, {"orders_last_minute": 6, "quantity": 16}, ("order_rate_exceeded", 6, 6, 15)),
    ("repeated_execution", BUY, {}, (OK, 1, 3, ANY)),
    ("repeated_execution", BUY, {"repeated_executions": 2}, (OK, 2, 3, ANY)),
    ("repeated_execution", BUY, {"repeated_executions": 3}, ("repeated_execution_disabled", 3, 3, 0)),
    ("repeated_execution", BUY, {"repeated_executions": 4}, ("repeated_execution_disabled", 4, 3, 0)),
    ("repeated_execution", BUY, {"repeated_executions": 0}, (OK, 0, 3, ANY)),
    ("repeated_execution", BUY, {"repeated_executions": -1}, ("repeated_execution_disabled", -1, 3, 0)),
    ("repeated_execution", SELL, {"repeated_executions": 3, "quantity": 17}, (OK, 3, 3, 17)),
    (
        "repeated_execution",
        SELL,
        {"repeated_executions": 3, "quantity": 18},
        ("repeated_execution_disabled", 3, 3, 17),
    ),
    ("self_match", BUY, {"open_sell_quantity": 0}, (OK, 0, 0, ANY)),
    ("self_match", BUY, {}, ("opposite_side_conflict", 3, 0, 0)),
    ("self_match", BUY, {"open_sell_quantity": 1}, ("opposite_side_conflict", 1, 0, 0)),
    ("self_match", SELL, {"open_buy_quantity": 0}, (OK, 0, 0, ANY)),
    ("self_match", SELL, {}, ("opposite_side_conflict", 5, 0, 0)),
    ("self_match", SELL, {"open_buy_quantity": 1}, ("opposite_side_conflict", 1, 0, 0)),
    ("exposure_sound", BUY, {}, (OK, 0, 0, ANY)),
    ("exposure_sound", BUY, dict.fromkeys(OPEN, 0), (OK, 0, 0, ANY)),
    ("exposure_sound", BUY, {"open_buy_quantity": -1}, ("negative_exposure", -1, 0, 0)),
    ("exposure_sound", BUY, {"open_sell_quantity": -2}, ("negative_exposure", -2, 0, 0)),
    ("exposure_sound", BUY, {"reserved_micros": -3}, ("negative_exposure", -3, 0, 0)),
    (
        "exposure_sound",
        BUY,
        {"reserved_micros": -3, "open_sell_quantity": -4},
        ("negative_exposure", -4, 0, 0),
    ),
    (
        "exposure_sound",
        BUY,
        {"open_buy_quantity": -1, "reserved_micros": -3},
        ("negative_exposure", -1, 0, 0),
    ),
    ("exposure_sound", SELL, {}, (OK, 0, 0, ANY)),
    ("exposure_sound", SELL, {"open_sell_quantity": -1, "quantity": 1}, ("negative_exposure", -1, 0, 0)),
    ("exposure_sound", SELL, {"open_buy_quantity": -1, "quantity": 17}, (OK, -1, 0, 17)),
    ("exposure_sound", SELL, {"open_buy_quantity": -1, "quantity": 18}, ("negative_exposure", -1, 0, 17)),
    ("exposure_sound", SELL, {"reserved_micros": -1, "quantity": 17}, (OK, -1, 0, 17)),
    ("exposure_sound", SELL, {"reserved_micros": -1, "quantity": 18}, ("negative_exposure", -1, 0, 17)),
    ("exposure_sound", COVER, {"open_buy_quantity": -1, "quantity": 1}, ("negative_exposure", -1, 0, 0)),
    ("exposure_sound", BUY, {"reserved_micros": -1, "sign": 0}, ("negative_exposure", -1, 0, 0)),
    ("exposure_sound", COVER, {"open_buy_quantity": -1, "sign": 0}, (OK, -1, 0, 20)),  # no order, told so
    # What is on sale by fewer than no shares makes no more sellable than is held.
    ("shorts", SELL, {"open_sell_quantity": -5, "quantity": 20}, (OK, 20, 20, 20)),
    ("shorts", SELL, {"open_sell_quantity": -5, "quantity": 21}, ("shorts_not_allowed", 21, 20, 20)),
    ("order_rate", COVER, {"open_buy_quantity": -5, "orders_last_minute": 6, "quantity": 20}, (OK, 6, 6, 20)),
    # 7 and 20 % are 8.4, so 9 each; 800 free pay 88.
    ("buying_power", BUY, {}, (OK, 90, 800, 88)),
    ("buying_power", BUY, {"cash_micros": 190}, (OK, 90, 90, 10)),
    ("buying_power", BUY, {"cash_micros": 189}, ("insufficient_buying_power", 90, 89, 9)),
    ("buying_power", BUY, {"cash_micros": 99}, ("insufficient_buying_power", 90, -1, 0)),
    ("buying_power", BUY, {"cash_micros": 109, "quantity": 1}, (OK, 9, 9, 1)),
    ("buying_power", BUY, {"price_micros": 0}, (OK, 0, 800, ANY)),
    ("buying_power", BUY, {"price_micros": 1}, (OK, 20, 800, 400)),
    (
        "buying_power",
        BUY,
        {"cash_micros": 100, "price_micros": 1, "cost_bps": 0},
        ("insufficient_buying_power", 10, 0, 0),
    ),
    ("buying_power", BUY, {"sign": 0}, (OK, 90, 800, 88)),  # what has no side is held like a buy
    ("buying_power", SELL, {"cash_micros": 0}, (OK, 0, -100, ANY)),
    ("shorts", BUY, {}, (OK, 0, 0, ANY)),
    ("shorts", SELL, {}, (OK, 10, 17, 17)),
    ("shorts", SELL, {"quantity": 17}, (OK, 17, 17, 17)),
    ("shorts", SELL, {"quantity": 18}, ("shorts_not_allowed", 18, 17, 17)),
    ("shorts", SELL, {"position_quantity": 2}, ("shorts_not_allowed", 10, 0, 0)),
    ("exposure_priced", BUY, {}, (OK, 0, 0, ANY)),
    ("exposure_priced", BUY, {"unpriced": 1}, ("missing_exposure_price", 1, 0, 0)),
    ("exposure_priced", BUY, {"unpriced": -1}, ("missing_exposure_price", -1, 0, 0)),
    ("exposure_priced", BUY, {"unpriced": 1, "sign": 0}, (OK, 1, 0, ANY)),  # it is no order, and is told so
    ("exposure_priced", SELL, {"unpriced": 1}, (OK, 1, 0, ANY)),
    ("exposure_priced", COVER, {"unpriced": 1, "quantity": 15}, (OK, 1, 0, 15)),
    ("exposure_priced", COVER, {"unpriced": 1, "quantity": 16}, ("missing_exposure_price", 1, 0, 15)),
    # 20 held, 5 on order, 10 more: 35 at 7 are 245, of 1,000 a quarter is 250; 35 fit, so 10 more.
    ("position_limit", BUY, {}, (OK, 245, 250, 10)),
    ("position_limit", BUY, {"quantity": 11}, ("max_position_pct_exceeded", 252, 250, 10)),
    ("position_limit", BUY, {"position_quantity": 40}, ("max_position_pct_exceeded", 385, 250, 0)),
    ("position_limit", BUY, {"equity_micros": -1}, ("max_position_pct_exceeded", 245, 0, 0)),
    (
        "position_limit",
        BUY,
        {"equity_micros": 0, "position_weight_bps_max": 10_000},
        ("max_position_pct_exceeded", 245, 0, 0),
    ),
    ("position_limit", BUY, {"sign": 0}, (OK, 245, 250, 10)),
    ("position_limit", BUY, {"price_micros": 0}, (OK, 0, 250, ANY)),
    ("position_limit", BUY, {"price_micros": 1}, (OK, 35, 250, 225)),
    ("position_limit", SELL, {"quantity": 100}, (OK, 0, 250, ANY)),
    # −20 held and 5 on order are −15; 250 is 35 shares at 7, so 50 may be bought.
    ("position_limit", COVER, {}, (OK, -35, 250, 50)),
    ("position_limit", COVER, {"equity_micros": 0, "quantity": 15}, (OK, 0, 0, 15)),
    ("position_limit", COVER, {"equity_micros": 0, "quantity": 16}, ("max_position_pct_exceeded", 7, 0, 15)),
    # 246 fit 35 at 7.
    ("symbol_cap", BUY, {}, (OK, 245, 246, 10)),
    ("symbol_cap", BUY, {"symbol_weight_bps_max": 2_450}, (OK, 245, 245, 10)),
    ("symbol_cap", BUY, {"symbol_weight_bps_max": 2_449}, ("symbol_notional_cap_exceeded", 245, 244, 9)),
    # The strategy's 200 and 70 are 270, all of its budget of 27 %.
    ("strategy_budget", BUY, {}, (OK, 270, 270, 10)),
    ("strategy_budget", BUY, {"strategy_budget_bps": 2_699}, ("strategy_budget_exceeded", 270, 269, 9)),
    ("strategy_budget", BUY, {"strategy_budget_bps": 0}, ("strategy_budget_exceeded", 270, 0, 0)),
    ("strategy_budget", BUY, {"strategy_budget_bps": -1}, ("missing_strategy_budget", 270, 0, 0)),
    ("strategy_budget", BUY, {"equity_micros": -5}, ("strategy_budget_exceeded", 270, 0, 0)),
    (
        "strategy_budget",
        BUY,
        {"equity_micros": -5, "strategy_budget_bps": 10_000},
        ("strategy_budget_exceeded", 270, 0, 0),
    ),
    ("strategy_budget", SELL, {"strategy_budget_bps": -1}, (OK, 200, 0, ANY)),
    ("strategy_budget", COVER, {"strategy_budget_bps": -1, "quantity": 15}, (OK, 305, 0, 15)),
    # 400 and 70 are 470 of 480, 80 of it left: eleven.
    ("gross_exposure", BUY, {}, (OK, 470, 480, 11)),
    ("gross_exposure", BUY, {"quantity": 11}, (OK, 477, 480, 11)),
    ("gross_exposure", BUY, {"quantity": 12}, ("gross_notional_limit", 484, 480, 11)),
    ("gross_exposure", BUY, {"gross_micros": 481}, ("gross_notional_limit", 551, 480, 0)),
    ("gross_exposure", BUY, {"sign": 0}, (OK, 470, 480, 11)),
    ("gross_exposure", BUY, {"price_micros": 0}, (OK, 400, 480, ANY)),
    ("gross_exposure", BUY, {"price_micros": 1}, (OK, 410, 480, 80)),
    ("gross_exposure", BUY, {"gross_micros": 480, "price_micros": 1}, ("gross_notional_limit", 490, 480, 0)),
    ("gross_exposure", SELL, {"quantity": 12}, (OK, 400, 480, ANY)),
    ("gross_exposure", COVER, {"gross_micros": 480, "quantity": 15}, (OK, 585, 480, 15)),
    ("gross_exposure", COVER, {"gross_micros": 480, "quantity": 16}, ("gross_notional_limit", 592, 480, 15)),
    ("net_exposure", BUY, {}, (OK, 370, 375, 10)),
    ("net_exposure", BUY, {"net_micros_max": 369}, ("net_notional_limit", 370, 369, 9)),
    # 47.3 % of 1,000 are 473.
    ("leverage", BUY, {}, (OK, 470, 473, 10)),
    ("leverage", BUY, {"leverage_bps_max": 4_699}, ("gross_leverage_limit", 470, 469, 9)),
    ("leverage", BUY, {"equity_micros": -5}, ("gross_leverage_limit", 470, 0, 0)),
    (
        "leverage",
        BUY,
        {"equity_micros": -5, "leverage_bps_max": 12_000},
        ("gross_leverage_limit", 470, 0, 0),
    ),
    # 4.5 % of 1,000 are 45.
    ("value_at_risk", BUY, {}, (OK, 40, 45, 10)),
    ("value_at_risk", BUY, {"var_micros": 45}, (OK, 45, 45, 10)),
    ("value_at_risk", BUY, {"var_micros": 46, "var_largest": 8}, ("var_limit", 46, 45, 8)),
    ("value_at_risk", BUY, {"var_micros": 46}, ("var_limit", 46, 45, 9)),
    ("value_at_risk", BUY, {"var_largest": 0}, (OK, 40, 45, 10)),
    ("value_at_risk", BUY, {"var_largest": 15}, (OK, 40, 45, 15)),
    ("value_at_risk", BUY, {"equity_micros": -5}, ("var_limit", 40, 0, 9)),
    ("value_at_risk", BUY, {"equity_micros": 0, "var_bps_max": 10_000}, ("var_limit", 40, 0, 9)),
    ("value_at_risk", BUY, {"sign": 0}, (OK, 40, 45, 10)),
    ("value_at_risk", BUY, {"is_history_sufficient": False}, ("missing_risk_history", 1, 0, 0)),
    ("value_at_risk", BUY, {"var_micros": -1}, ("missing_risk_history", 1, 0, 0)),
    ("value_at_risk", BUY, {"var_micros": 0}, (OK, 0, 45, 10)),
    ("value_at_risk", BUY, {"price_micros": 0, "is_history_sufficient": False}, (OK, 0, 45, ANY)),
    ("value_at_risk", BUY, {"price_micros": 1, "var_micros": 46}, ("var_limit", 46, 45, 9)),
    ("value_at_risk", SELL, {"var_micros": 46}, (OK, 0, 45, ANY)),
    ("value_at_risk", COVER, {"var_micros": 46, "var_largest": 3, "quantity": 15}, (OK, 46, 45, 15)),
    ("value_at_risk", COVER, {"var_micros": 46, "var_largest": 3, "quantity": 16}, ("var_limit", 46, 45, 15)),
    ("value_at_risk", COVER, {"is_history_sufficient": False}, (OK, 1, 0, 15)),
    # Begun with 1,020: 3 % of it are 30.6, so 30.
    ("daily_loss", BUY, {}, (OK, 20, 30, ANY)),
    ("daily_loss", BUY, {"day_pnl_micros": -30}, (OK, 30, 30, ANY)),
    ("daily_loss", BUY, {"day_pnl_micros": -31}, ("daily_loss_limit", 31, 30, 0)),
    ("daily_loss", BUY, {"day_pnl_micros": 31}, (OK, 0, 29, ANY)),
    ("daily_loss", BUY, {"day_pnl_micros": -1, "equity_micros": -50}, ("daily_loss_limit", 1, 0, 0)),
    (
        "daily_loss",
        BUY,
        {"day_pnl_micros": -1, "equity_micros": -1, "daily_loss_bps_max": 10_000},
        ("daily_loss_limit", 1, 0, 0),
    ),
    ("daily_loss", BUY, {"is_pnl_known": False}, ("missing_day_pnl", 1, 0, 0)),
    ("daily_loss", SELL, {"day_pnl_micros": -31}, (OK, 31, 30, 17)),
    ("daily_loss", SELL, {"day_pnl_micros": -31, "quantity": 18}, ("daily_loss_limit", 31, 30, 17)),
    ("daily_loss", SELL, {"is_pnl_known": False}, (OK, 1, 0, 17)),
    # 15 % of 1,100 are 165; 100 are lost.
    ("drawdown", BUY, {}, (OK, 100, 165, ANY)),
    ("drawdown", BUY, {"equity_micros": 935}, (OK, 165, 165, ANY)),
    ("drawdown", BUY, {"equity_micros": 934}, ("drawdown_limit", 166, 165, 0)),
    ("drawdown", BUY, {"equity_micros": 1_200}, (OK, 0, 165, ANY)),
    ("drawdown", BUY, {"peak_equity_micros": 0}, ("missing_peak_equity", 1, 0, 0)),
    ("drawdown", BUY, {"peak_equity_micros": -1}, ("missing_peak_equity", 1, 0, 0)),
    ("drawdown", BUY, {"peak_equity_micros": 1, "equity_micros": 1}, (OK, 0, 0, ANY)),
    ("drawdown", SELL, {"peak_equity_micros": 0}, (OK, 1, 0, 17)),
    ("drawdown", SELL, {"equity_micros": 934}, (OK, 166, 165, 17)),
    ("degrade_manual_approval", BUY, {}, (OK, 0, 0, ANY)),
    ("degrade_manual_approval", BUY, {"is_degraded": True}, ("degrade_manual_approval_required", 1, 0, 0)),
    ("degrade_manual_approval", SELL, {"is_degraded": True}, (OK, 1, 0, 17)),
    ("degrade_allowlist", BUY, {"allowlist_size": 0}, (OK, 0, 1, ANY)),
    ("degrade_allowlist", BUY, {"is_degraded": True}, (OK, 2, 1, ANY)),
    ("degrade_allowlist", BUY, {"is_degraded": True, "allowlist_size": 1}, (OK, 1, 1, ANY)),
    (
        "degrade_allowlist",
        BUY,
        {"is_degraded": True, "allowlist_size": 0},
        ("degrade_allowlist_required", 1, 0, 0),
    ),
    ("degrade_allowlist", SELL, {"is_degraded": True, "allowlist_size": 0}, (OK, 1, 0, 17)),
    ("degrade_symbol", BUY, {"is_allowed": False}, (OK, 0, 0, ANY)),
    ("degrade_symbol", BUY, {"is_degraded": True}, (OK, 0, 0, ANY)),
    ("degrade_symbol", BUY, {"is_degraded": True, "allowlist_size": 1}, (OK, 0, 0, ANY)),
    (
        "degrade_symbol",
        BUY,
        {"is_degraded": True, "allowlist_size": 0},
        ("degrade_symbol_not_allowlisted", 1, 0, 0),
    ),
    (
        "degrade_symbol",
        BUY,
        {"is_degraded": True, "is_allowed": False},
        ("degrade_symbol_not_allowlisted", 1, 0, 0),
    ),
    ("degrade_symbol", SELL, {"is_degraded": True, "is_allowed": False}, (OK, 1, 0, 17)),
    ("degrade_price", BUY, {"price_micros": 0}, (OK, 0, 1, ANY)),
    ("degrade_price", BUY, {"is_degraded": True}, (OK, 7, 1, ANY)),
    ("degrade_price", BUY, {"is_degraded": True, "price_micros": 1}, (OK, 1, 1, ANY)),
    (
        "degrade_price",
        BUY,
        {"is_degraded": True, "price_micros": 0},
        ("degrade_invalid_price_for_notional_guard", 0, 1, 0),
    ),
    # Nine tenths of 80 are 72: ten at 7.
    ("degrade_notional", BUY, {"quantity": 99}, (OK, 0, 72, ANY)),
    ("degrade_notional", BUY, {"is_degraded": True}, (OK, 70, 72, 10)),
    (
        "degrade_notional",
        BUY,
        {"is_degraded": True, "quantity": 11},
        ("degrade_notional_limit_exceeded", 77, 72, 10),
    ),
    ("degrade_notional", SELL, {"is_degraded": True, "quantity": 17}, (OK, 119, 72, 17)),
]

CODE = {reason: code for code, reason in REASONS.items()}


def told(row):
    name, case, changes, _ = row
    return f"{name} {'sale' if case is SELL else 'cover' if case is COVER else 'buy'} {changes}"


@pytest.mark.parametrize("row", TABLE, ids=told)
def test_a_guard_says_all_of_this_at_its_bound(row):
    name, case, changes, (reason, observed, limit, largest) = row

    assert GUARD[name](but(case, **changes)) == Why(CODE[reason], observed, limit, largest)


def test_every_guard_has_a_row_that_passes_and_one_that_stops():
    passing = {name for name, _, _, (reason, *_) in TABLE if reason == OK}
    stopping = {name for name, _, _, (reason, *_) in TABLE if reason != OK}

    assert passing == stopping == set(GUARD)


@given(price_micros=st.integers(1, 2**40), off=st.integers(-1, 1))
def test_well_formed_is_just_what_a_notional_can_be_told_of(price_micros, off):
    quantity = NOTIONAL_MICROS_MAX // price_micros + off
    case = but(BUY, reference=price_micros, price_micros=price_micros, quantity=quantity)
    is_told = True
    try:
        notional_micros(price_micros=price_micros, quantity=quantity)
    except BadInput:
        is_told = False

    assert (GUARD["well_formed"](case).code == PASS) == is_told


def test_a_share_of_an_amount_too_large_to_multiply_is_right_to_the_unit():
    # 2^62 − 1 is 4,611,686,018,427,387,903; of it 30 % are 1,383,505,805,528,216,370.9.
    case = but(BUY, reference=2**62 - 1, price_micros=2**62 - 1)

    assert GUARD["price_collar"](case).limit == 1_383_505_805_528_216_370


def test_a_review_is_what_each_guard_says_in_order():
    assert review(BUY) == tuple(guard(BUY) for _, guard in GUARDS)
    assert first_reason(review(BUY)) == "opposite_side_conflict"
    assert first_reason(review(but(BUY, open_sell_quantity=0))) == "ok"
