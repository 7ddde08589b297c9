"""The guards a second time, naively: from the papers' sentences, in plain dicts and fractions, and slow.

It shares no line with trading/guards.py, verdicts.py or risk.py and imports nothing of them: reason codes
are the published names. A world is a dict that proof/guards.py draws; a rule looks at the whole of it and
says for any quantity why not, so that the largest quantity is found by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil, floor
from typing import Any

World = dict[str, Any]
Wish = dict[str, Any]

ANY = 2**62
"""What a guard says that does not look at quantity: any."""

SOFT = {
    "fat_finger_soft",
    "volume_share_exceeded",
    "repeated_execution_disabled",
    "degrade_manual_approval_required",
}
"""The reasons that ask a person instead of blocking."""

NORMAL = {9_500: "1.644854", 9_900: "2.326348"}
"""Quantiles of the standard normal distribution, as tables print them."""


@dataclass
class Seen:
    """Hold a world as one of its wishes finds it: what the wishes before it are counted as is in it."""

    world: World
    wish: Wish
    earlier: list[tuple[Wish, bool]] = field(default_factory=list)

    def limit(self, name: str) -> Any:
        """Return a limit by its name."""
        return self.world["limits"][name]

    @property
    def symbol(self) -> str:
        """Return what is traded."""
        return str(self.wish["symbol"])

    @property
    def buys(self) -> bool:
        """Say whether it is a buy."""
        return bool(self.wish["side"] == "BUY")

    @property
    def price(self) -> int:
        """Return the price to value at, 0 where there is none."""
        return int(self.world["live"].get(self.symbol, 0))

    def held(self, symbol: str) -> int:
        """Return the shares held of a symbol."""
        return int(self.world["positions"].get(symbol, 0))

    def on_order(self, symbol: str, side: str) -> int:
        """Return the shares in open orders and unknown ones, earlier wishes that stand included.

        What is under nothing is wrong whatever is wished beside it.
        """
        there = self.world["open_buys" if side == "BUY" else "open_sells"].get(symbol, 0)
        if there < 0:
            return int(there)
        return int(there) + sum(
            wish["quantity"] for wish, _ in self.earlier if wish["symbol"] == symbol and wish["side"] == side
        )

    @property
    def reducible(self) -> int:
        """Return the shares that this wish may trade and still only lower what is held."""
        if self.buys:
            return 0
        return max(self.held(self.symbol) - max(self.on_order(self.symbol, "SELL"), 0), 0)

    @property
    def equity(self) -> int:
        """Return cash and positions at live prices; what has none counts as nothing."""
        return int(
            self.world["cash"]
            + sum(self.world["live"].get(symbol, 0) * self.held(symbol) for symbol in self.world["positions"])
        )

    def last_price(self, symbol: str) -> int:
        """Return the live price, else the last close, 0 where there is neither."""
        return int(self.world["live"].get(symbol, self.world["closes"].get(symbol, 0)))

    @property
    def counted(self) -> dict[str, int]:
        """Return shares by symbol with every open buy filled, and of sales only earlier ones that pass."""
        symbols = {
            *self.world["positions"],
            *self.world["open_buys"],
            *(w["symbol"] for w, _ in self.earlier),
        }
        sold = dict.fromkeys(symbols, 0)
        for wish, is_sure in self.earlier:
            if is_sure and wish["side"] == "SELL":
                sold[wish["symbol"]] += wish["quantity"]
        shares = {
            symbol: self.held(symbol)
            + max(self.world["open_buys"].get(symbol, 0), 0)
            + sum(w["quantity"] for w, _ in self.earlier if (w["symbol"], w["side"]) == (symbol, "BUY"))
            - sold[symbol]
            for symbol in symbols
        }
        return {symbol: quantity for symbol, quantity in shares.items() if quantity}

    @property
    def exposure(self) -> int:
        """Return what is held and on order at last prices."""
        return sum(self.last_price(symbol) * quantity for symbol, quantity in self.counted.items())

    @property
    def unpriced(self) -> int:
        """Return how many of them have no price at all; an order for fewer than no shares has none."""
        return sum(1 for symbol in self.counted if self.last_price(symbol) <= 0) + self.impossible

    @property
    def impossible(self) -> int:
        """Return how many symbols are on order by fewer than no shares."""
        return sum(1 for quantity in self.world["open_buys"].values() if quantity < 0)

    @property
    def free(self) -> int:
        """Return cash less what is promised to buys; a sale's proceeds only where it waits for nobody."""
        cash, costs = Fraction(self.world["cash"] - self.world["reserved"]), self.limit("cost_bps")
        for wish, is_paid in self.earlier:
            worth = wish["quantity"] * wish["reference"]
            if wish["side"] == "BUY" and self.world["reserved"] >= 0:
                cash -= ceil(Fraction(worth * (10_000 + costs), 10_000))
            elif wish["side"] == "SELL" and is_paid:
                cash += floor(Fraction(worth * (10_000 - costs), 10_000))
        return int(cash)

    def share(self, bps: int) -> int:
        """Return a share of equity, none of less than nothing."""
        return floor(Fraction(max(self.equity, 0) * bps, 10_000))


Rule = Callable[[Seen, int], str]
"""Say for a quantity why not, or nothing."""


def _when(stops: Callable[[Seen], bool], reason: str) -> Rule:
    return lambda seen, _: reason if stops(seen) else ""


def _adding_when(stops: Callable[[Seen], bool], reason: str) -> Rule:
    """Stop what adds risk; who has it may still sell it."""
    return lambda seen, quantity: reason if quantity > seen.reducible and stops(seen) else ""


def _quote_age(seen: Seen, _: int) -> str:
    is_old = seen.world["behind"].get(seen.symbol, 1) != 0 if not seen.world["is_send"] else False
    if seen.world["is_send"]:
        is_old = not 0 <= seen.world["age_s"] <= seen.limit("quote_age_s_max")
    return "quote_stale" if is_old else ""


def _well_formed(seen: Seen, quantity: int) -> str:
    dearest = max(seen.price, seen.wish["reference"])
    return "" if quantity >= 1 and quantity * dearest < 2**62 else "invalid_intent_type"


def _lot(seen: Seen, quantity: int) -> str:
    is_rest = quantity == seen.reducible
    return "" if quantity % seen.limit("lot") == 0 or is_rest else "lot_size"


def _tick(seen: Seen, _: int) -> str:
    tick = seen.limit("tick_micros")
    is_off = seen.wish["is_limit"] and tick > 0 and seen.wish["reference"] % tick != 0
    return "tick_size" if is_off else ""


def _restriction(seen: Seen) -> dict[str, Any] | None:
    today = seen.world["session"]
    return next(
        (
            line
            for line in seen.world["restricted"]
            if line["symbol"] == seen.symbol
            and line["since"] <= today
            and (line["until"] is None or today <= line["until"])
        ),
        None,
    )


def _tactic(seen: Seen, _: int) -> str:
    found = seen.world["tactics"].get(seen.symbol, "")
    today = seen.world["session"]
    for line in seen.world["restricted"]:
        holds = line["since"] <= today and (line["until"] is None or today <= line["until"])
        if not found and line["symbol"] == seen.symbol and holds:
            found = line["tactic"]
    return f"prohibited_tactic:{found}" if found else ""


def _worth_at_most(limit: Callable[[Seen], int], reason: str) -> Rule:
    """Hold an order's worth to a limit; one that only reduces what is held is never too large."""

    def rule(seen: Seen, quantity: int) -> str:
        if seen.price <= 0 or quantity <= seen.reducible:
            return ""
        return reason if quantity * seen.price > limit(seen) else ""

    return rule


def _quantity(seen: Seen, quantity: int) -> str:
    is_small = quantity <= seen.limit("order_quantity_max") or quantity <= seen.reducible
    return "" if is_small else "max_quantity_exceeded"


def _collar(seen: Seen, quantity: int) -> str:
    if quantity <= seen.reducible:
        return ""
    away = abs(seen.price - seen.wish["reference"])
    allowed = Fraction(seen.wish["reference"] * seen.limit("price_collar_bps"), 10_000)
    return "price_collar_exceeded" if seen.price > 0 and away > allowed else ""


def _volume(seen: Seen, quantity: int) -> str:
    volume = seen.world["volumes"].get(seen.symbol, 0)
    if quantity <= seen.reducible:
        return ""
    if volume <= 0:
        return "missing_volume"
    return "volume_share_exceeded" if quantity * 10_000 > volume * seen.limit("volume_share_bps_max") else ""


def _same(seen: Seen) -> bool:
    alike = [
        wish
        for wish, _ in seen.earlier
        if all(wish[name] == seen.wish[name] for name in ("symbol", "side", "slot"))
    ]
    return bool(seen.wish["same"] + len(alike) > 0)


def _sound(seen: Seen, quantity: int) -> str:
    own, other = ("BUY", "SELL") if seen.buys else ("SELL", "BUY")
    if seen.on_order(seen.symbol, own) < 0:
        return "negative_exposure"
    is_wrong = seen.on_order(seen.symbol, other) < 0 or seen.world["reserved"] < 0
    return "negative_exposure" if is_wrong and quantity > seen.reducible else ""


def _power(seen: Seen, quantity: int) -> str:
    if not seen.buys or seen.price <= 0:
        return ""
    each = ceil(Fraction(seen.price * (10_000 + seen.limit("cost_bps")), 10_000))
    return "insufficient_buying_power" if quantity * each > seen.free else ""


def _short(seen: Seen, quantity: int) -> str:
    return "shorts_not_allowed" if not seen.buys and quantity > seen.reducible else ""


def _position(bps: Callable[[Seen], int], reason: str) -> Rule:
    """Hold a position to a share of equity, once everything open is bought."""

    def rule(seen: Seen, quantity: int) -> str:
        if not seen.buys or seen.price <= 0:
            return ""
        shares = seen.held(seen.symbol) + seen.on_order(seen.symbol, "BUY") + quantity
        return reason if shares * seen.price > seen.share(bps(seen)) else ""

    return rule


def _all_at_most(limit: Callable[[Seen], int], reason: str) -> Rule:
    """Hold to a limit what all positions are worth once everything open is bought."""

    def rule(seen: Seen, quantity: int) -> str:
        if not seen.buys or seen.price <= 0:
            return ""
        return reason if seen.exposure + quantity * seen.price > limit(seen) else ""

    return rule


def _budget(seen: Seen, quantity: int) -> str:
    budgets = seen.limit("strategy_budgets_bps")
    if seen.wish["strategy"] not in budgets:
        return _all_at_most(lambda _: 0, "missing_strategy_budget")(seen, quantity)
    of = budgets[seen.wish["strategy"]]
    return _all_at_most(lambda each: each.share(of), "strategy_budget_exceeded")(seen, quantity)


def _loss(seen: Seen, quantity: int) -> str:
    if quantity <= seen.reducible:
        return ""
    opening = seen.world["opening"]
    held = [symbol for symbol in seen.counted if symbol not in {w["symbol"] for w, _ in seen.earlier}]
    at_first = {**dict.fromkeys(held), **dict.fromkeys(seen.world["positions"])}
    at_first |= dict.fromkeys(seen.world["open_buys"])
    is_unpriced = any(
        seen.last_price(symbol) <= 0
        for symbol in at_first
        if seen.held(symbol) + max(seen.world["open_buys"].get(symbol, 0), 0)
    )
    if opening is None or is_unpriced or seen.impossible:
        return "missing_day_pnl"
    worth = seen.world["cash"] + sum(
        seen.last_price(symbol) * quantity for symbol, quantity in seen.world["positions"].items()
    )
    lost = opening - worth
    began = max(seen.equity + lost, 0)
    allowed = floor(Fraction(began * seen.limit("daily_loss_bps_max"), 10_000))
    return "daily_loss_limit" if max(lost, 0) > allowed else ""


def _fall(seen: Seen, quantity: int) -> str:
    if quantity <= seen.reducible:
        return ""
    highest = max(seen.world["peak"], seen.equity)
    if highest <= 0:
        return "missing_peak_equity"
    allowed = floor(Fraction(highest * seen.limit("drawdown_bps_max"), 10_000))
    return "drawdown_limit" if highest - seen.equity > allowed else ""


def _degraded(stops: Callable[[Seen, int], bool], reason: str) -> Rule:
    return lambda seen, quantity: reason if seen.world["is_degraded"] and stops(seen, quantity) else ""


def _adds(seen: Seen, quantity: int) -> bool:
    return quantity > seen.reducible


def _is_listed(seen: Seen) -> bool:
    return not seen.world["allowlist"] or seen.symbol in seen.world["allowlist"]


# -------------------------------------------------------------------------------- value at risk


def risk_is_known(seen: Seen) -> bool:
    """Say whether every share held, on order or asked for has a price and a history.

    A sale that is only wished for does not make the rest of the book known.
    """
    symbols = {*seen.counted, *seen.world["positions"], seen.symbol}
    return seen.price > 0 and all(
        symbol in seen.world["returns"]
        and symbol not in seen.world["short_history"]
        and seen.last_price(symbol) > 0
        for symbol in symbols
    )


def risk_between(seen: Seen, quantity: int) -> tuple[Decimal, Decimal]:
    """Return bounds of the value at risk with so many shares more; between them is a rounding's width."""
    level = seen.limit("var_level_bps")
    shares = dict(seen.counted)
    pnl = [Decimal(0)] * len(next(iter(seen.world["returns"].values())))
    with localcontext() as context:
        context.prec = 60
        worths = [(symbol, seen.last_price(symbol) * held) for symbol, held in shares.items()]
        for symbol, worth in [*worths, (seen.symbol, seen.price * quantity)]:
            for place, ppm in enumerate(seen.world["returns"][symbol]):
                pnl[place] += Decimal(worth) * ppm / 1_000_000
        count = len(pnl)
        worse = ceil(Fraction(count * (10_000 - level), 10_000))
        by_rank = -sorted(pnl)[worse - 1]
        mean = sum(pnl) / count
        variance = sum((each - mean) ** 2 for each in pnl) / (count - 1)
        by_curve = Decimal(NORMAL[level]) * variance.sqrt()
        exact = max(by_rank, by_curve, Decimal(0))
        width = max(abs(each) for each in pnl) / 2**21 * 8 + len(shares) + 3
        return exact, exact + width


def var_limit(seen: Seen) -> int:
    """Return what the value at risk may be."""
    return seen.share(seen.limit("var_bps_max"))


def _history(seen: Seen, quantity: int) -> str:
    """Say why not of what is missing; what VaR itself says is held against its bounds by proof/guards.py."""
    missing = seen.buys and seen.price > 0 and not risk_is_known(seen) and quantity > seen.reducible
    return "missing_risk_history" if missing else ""


RULES: dict[str, Rule] = {
    "kill_switch": _when(
        lambda seen: seen.world["kill_switch_on"] and seen.wish["slot"] != "flatten", "kill_switch_on"
    ),
    "paused": _when(lambda seen: seen.world["paused"], "trading_paused"),
    "cooldown": _adding_when(lambda seen: bool(seen.world["cooldown"]), "cooldown_active"),
    "reconciled": _when(lambda seen: not seen.world["reconciled"], "not_reconciled"),
    "execution_enabled": _when(lambda seen: not seen.world["enabled"], "execution_disabled"),
    "preflight": lambda seen, _: seen.world["preflight"],
    "quote_present": _when(lambda seen: seen.price <= 0, "missing_price"),
    "quote_age": _quote_age,
    "session_open": _when(lambda seen: not seen.world["is_open"], "session_closed"),
    "clock_skew": _when(
        lambda seen: seen.world["is_send"] and abs(seen.world["skew_s"]) > seen.limit("clock_skew_s_max"),
        "clock_skewed",
    ),
    "well_formed": _well_formed,
    "universe": _when(lambda seen: seen.symbol not in seen.world["universe"], "not_in_universe"),
    "allowlist": _adding_when(lambda seen: not _is_listed(seen), "symbol_not_allowed"),
    "restricted": _adding_when(lambda seen: _restriction(seen) is not None, "restricted_symbol"),
    "lot_size": _lot,
    "tick_size": _tick,
    "prohibited_tactic": _tactic,
    "max_quantity": _quantity,
    "max_notional": _worth_at_most(
        lambda seen: seen.limit("order_notional_micros_max"), "max_notional_exceeded"
    ),
    "price_collar": _collar,
    "fat_finger_hard": _worth_at_most(
        lambda seen: seen.limit("usual_order_notional_micros") * seen.limit("fat_finger_hard_multiple"),
        "fat_finger_hard",
    ),
    "fat_finger_soft": _worth_at_most(
        lambda seen: seen.limit("usual_order_notional_micros") * seen.limit("fat_finger_soft_multiple"),
        "fat_finger_soft",
    ),
    "volume_share": _volume,
    "duplicate": _when(_same, "duplicate_intent"),
    "order_rate": _adding_when(
        lambda seen: not 0 <= seen.wish["minute"] < seen.limit("orders_per_minute_max"), "order_rate_exceeded"
    ),
    "repeated_execution": _adding_when(
        lambda seen: not 0 <= seen.wish["repeated"] < seen.limit("repeated_executions_max"),
        "repeated_execution_disabled",
    ),
    "self_match": _when(
        lambda seen: seen.on_order(seen.symbol, "SELL" if seen.buys else "BUY") > 0, "opposite_side_conflict"
    ),
    "exposure_sound": _sound,
    "buying_power": _power,
    "shorts": _short,
    "exposure_priced": lambda seen, quantity: (
        "missing_exposure_price" if seen.buys and seen.unpriced and quantity > seen.reducible else ""
    ),
    "position_limit": _position(
        lambda seen: int(seen.limit("position_weight_bps_max")), "max_position_pct_exceeded"
    ),
    "symbol_cap": _position(
        lambda seen: int(seen.limit("symbol_caps_bps").get(seen.symbol, seen.limit("symbol_weight_bps_max"))),
        "symbol_notional_cap_exceeded",
    ),
    "strategy_budget": _budget,
    "gross_exposure": _all_at_most(
        lambda seen: int(seen.limit("gross_notional_micros_max")), "gross_notional_limit"
    ),
    "net_exposure": _all_at_most(
        lambda seen: int(seen.limit("net_notional_micros_max")), "net_notional_limit"
    ),
    "leverage": _all_at_most(lambda seen: seen.share(seen.limit("leverage_bps_max")), "gross_leverage_limit"),
    "value_at_risk": _history,
    "daily_loss": _loss,
    "drawdown": _fall,
    "degrade_manual_approval": _degraded(_adds, "degrade_manual_approval_required"),
    "degrade_allowlist": _degraded(
        lambda seen, quantity: not seen.world["allowlist"] and _adds(seen, quantity),
        "degrade_allowlist_required",
    ),
    "degrade_symbol": _degraded(
        lambda seen, quantity: seen.symbol not in seen.world["allowlist"] and _adds(seen, quantity),
        "degrade_symbol_not_allowlisted",
    ),
    "degrade_price": _degraded(lambda seen, _: seen.price <= 0, "degrade_invalid_price_for_notional_guard"),
    "degrade_notional": lambda seen, quantity: (
        _worth_at_most(
            lambda each: floor(
                Fraction(each.limit("order_notional_micros_max") * each.limit("degrade_notional_bps"), 10_000)
            ),
            "degrade_notional_limit_exceeded",
        )(seen, quantity)
        if seen.world["is_degraded"]
        else ""
    ),
}
"""Every guard's sentence as a rule, in the order of precedence."""
