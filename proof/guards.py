"""Books drawn by the thousand, each judged by the guards and by a naive second version: no word may differ.

A point is a book with up to three intents, or with one that is about to be sent. Most stand within a unit of
a bound. Compared are every guard's word, the reason reported first, and the largest quantity, by trying the
quantities around it. The second version is guard_oracle.py.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

import numpy as np

from proof import guard_oracle as oracle
from proof.guard_oracle import ANY, RULES, SOFT, Seen, Wish, World, risk_between, risk_is_known, var_limit
from proof.suite import Progress, Size, Told
from trading import guards
from trading.guards import GUARDS, PASS, REASONS, Case, Market, Recent, Why, first_reason
from trading.intents import Intent
from trading.limits import Limits, Restriction
from trading.positions import Book, Position
from trading.prepared import BookRisk
from trading.risk import Scenarios
from trading.values import OrderType, Side, Slot, Symbol, TimeInForce
from trading.verdicts import (
    OpenOrders,
    Prepared,
    Switches,
    funds_of,
    review_intents,
    review_one,
    stopping,
)

SESSION = date(2013, 2, 28)
SYMBOLS = tuple("ABCDEF")
SCENARIOS = 60
PREFLIGHTS = {
    REASONS[code]: code
    for code in (guards.REAL_EXECUTION_NOT_ALLOWED, guards.MISSING_APP_KEY, guards.INVALID_BASE_URL)
}

# -------------------------------------------------------------------------------- a book is drawn


def worlds(seed: int, count: int) -> Iterator[World]:
    """Give so many books; the same seed draws the same ones."""
    for number in range(count):
        yield _world(Random(f"{seed} {number}"))


def _world(rng: Random) -> World:
    """Draw a book in which little is wrong, then put it near a bound or two."""
    held = rng.sample(SYMBOLS, rng.randint(0, 4))
    live = {
        symbol: rng.choice((1_000_000, 99_990_000, rng.randint(100_000, 500_000_000))) for symbol in SYMBOLS
    }
    is_send = rng.random() < 0.4
    world: World = {
        "is_send": is_send,
        "session": SESSION,
        "kill_switch_on": False,
        "paused": False,
        "cooldown": False,
        "reconciled": True,
        "enabled": True,
        "preflight": "",
        "is_degraded": rng.random() < 0.15,
        "is_open": True,
        "age_s": rng.choice((0, 5, 300)) if is_send else 0,
        "skew_s": rng.choice((0, 2, -2)) if is_send else 0,
        "behind": dict.fromkeys(SYMBOLS, 0),
        "universe": set(SYMBOLS),
        "allowlist": list(SYMBOLS) if rng.random() < 0.8 else [],
        "restricted": [],
        "tactics": {},
        "live": live,
        "closes": {symbol: max(price + rng.randint(-9_999, 9_999), 1) for symbol, price in live.items()},
        "volumes": dict.fromkeys(SYMBOLS, 10**9),
        "positions": {symbol: rng.randint(1, 2_000) for symbol in held},
        "open_buys": {},
        "open_sells": {},
        "reserved": 0,
        "cash": rng.randint(10**11, 10**13),
        "returns": {symbol: [rng.randint(-30_000, 30_000) for _ in range(SCENARIOS)] for symbol in SYMBOLS},
        "short_history": set(),
        "limits": _limits(rng),
    }
    if is_send:
        world["open_buys"] = {symbol: rng.randint(1, 50) for symbol in rng.sample(SYMBOLS, rng.randint(0, 2))}
        world["open_sells"] = {symbol: rng.randint(1, 50) for symbol in rng.sample(held, min(len(held), 1))}
        world["reserved"] = rng.randint(0, 10**10)
    world["wishes"] = [_wish(world, rng) for _ in range(1 if is_send else rng.randint(1, 3))]
    seen = Seen(world, world["wishes"][0])
    world["opening"] = seen.world["cash"] + sum(
        seen.last_price(symbol) * quantity for symbol, quantity in world["positions"].items()
    )
    world["peak"] = seen.equity + rng.choice((0, 0, rng.randint(0, seen.equity // 20)))
    for near in rng.sample(NEAR, rng.choice((0, 1, 1, 2, 2, 3))):
        near(world, rng)
    _agree(world["limits"])
    # A symbol and slot are one intent, whatever its side: what was done of late for it is one count.
    of_late: dict[tuple[str, str], dict[str, int]] = {}
    for wish in world["wishes"]:
        counts = {name: wish[name] for name in ("same", "minute", "repeated")}
        wish.update(of_late.setdefault((wish["symbol"], wish["slot"]), counts))
    return world


def _agree(limits: dict[str, Any]) -> None:
    """Bring limits that contradict each other together: such a file is refused before a guard sees it."""
    most = limits["position_weight_bps_max"]
    limits["symbol_weight_bps_max"] = min(limits["symbol_weight_bps_max"], most)
    # A book that is open for less than nothing has a worth below 0, near which no limit can lie.
    for name, top in (("symbol_caps_bps", most), ("strategy_budgets_bps", 10**9)):
        limits[name] = {of: max(0, min(bps, top)) for of, bps in limits[name].items()}
    limits["net_notional_micros_max"] = min(
        limits["net_notional_micros_max"], limits["gross_notional_micros_max"]
    )


def _limits(rng: Random) -> dict[str, Any]:
    return {
        "order_quantity_max": 10**6,
        "order_notional_micros_max": 10**15,
        "price_collar_bps": 3_000,
        "usual_order_notional_micros": 10**14,
        "fat_finger_soft_multiple": 6,
        "fat_finger_hard_multiple": 10,
        "volume_share_bps_max": 2_000,
        "volume_sessions": 20,
        "orders_per_minute_max": 300,
        "repeated_executions_max": 3,
        "position_weight_bps_max": 50_000,
        "symbol_weight_bps_max": 40_000,
        "symbol_caps_bps": {},
        "strategy_budgets_bps": {"council": 60_000, "other": 500},
        "gross_notional_micros_max": 10**15,
        "net_notional_micros_max": 10**15,
        "leverage_bps_max": 60_000,
        "var_bps_max": 5_000,
        "var_level_bps": rng.choice((9_500, 9_900)),
        "daily_loss_bps_max": 200,
        "drawdown_bps_max": 1_000,
        "drawdown_sessions": 60,
        "degrade_notional_bps": 2_500,
        "auto_approve_notional_micros": 0,
        "cost_bps": rng.choice((0, 20, 30)),
        "quote_age_s_max": 300,
        "clock_skew_s_max": 2,
        "stale_ratio_bps_max": 1_000,
        "lot": 1,
        "tick_micros": rng.choice((0, 10_000)),
    }


def _wish(world: World, rng: Random) -> Wish:
    symbol = rng.choice((*world["positions"], *SYMBOLS))
    held = world["positions"].get(symbol, 0)
    is_sale = held > 0 and rng.random() < 0.4
    on_sale = world["open_sells"].get(symbol, 0)
    quantity = rng.choice((held, held - on_sale, held - on_sale + 1, 1)) if is_sale else rng.randint(1, 400)
    return {
        "symbol": symbol,
        "side": "SELL" if is_sale else "BUY",
        "quantity": max(quantity, 1),
        "reference": world["closes"][symbol],
        "slot": rng.choice(("rebalance", "rebalance", "stop", "flatten")),
        "strategy": "council",
        "is_limit": False,
        "same": 0,
        "minute": rng.choice((0, 299)),
        "repeated": rng.choice((0, 2)),
    }


# -------------------------------------------------------------------------------- near a bound

Near = Callable[[World, Random], None]


def _unit(rng: Random) -> int:
    return rng.choice((-1, 0, 1))


def _first(world: World) -> tuple[Seen, int]:
    seen = Seen(world, world["wishes"][0])
    return seen, seen.wish["quantity"]


def _flag(name: str, *values: Any) -> Near:
    def near(world: World, rng: Random) -> None:
        world[name] = rng.choice(values)

    return near


def _of_wish(name: str, *values: Any) -> Near:
    def near(world: World, rng: Random) -> None:
        rng.choice(world["wishes"])[name] = rng.choice(values)

    return near


def _amount(name: str, worth: Callable[[Seen, int], int], *, also: str = "") -> Near:
    """Put an amount's limit within a unit of what the first wish makes of it."""

    def near(world: World, rng: Random) -> None:
        seen, quantity = _first(world)
        world["limits"][name] = max(worth(seen, quantity) + _unit(rng), 1)
        if also:
            world["limits"][also] = max(world["limits"][also], world["limits"][name])

    return near


def _share(name: str, worth: Callable[[Seen, int], int]) -> Near:
    """Put a share of equity to the basis point under or over what the first wish makes of it."""

    def near(world: World, rng: Random) -> None:
        seen, quantity = _first(world)
        if seen.equity > 0:
            bps = worth(seen, quantity) * 10_000 // seen.equity
            world["limits"][name] = min(max(bps + rng.choice((0, 1, 1)), 1), 10**6)

    return near


def _worth(seen: Seen, quantity: int) -> int:
    return quantity * max(seen.price, 1)


def _all_worth(seen: Seen, quantity: int) -> int:
    return seen.exposure + _worth(seen, quantity)


def _own_worth(seen: Seen, quantity: int) -> int:
    return (seen.held(seen.symbol) + seen.on_order(seen.symbol, "BUY") + quantity) * seen.price


def _near_cap(world: World, rng: Random) -> None:
    seen, quantity = _first(world)
    if seen.equity > 0:
        bps = _own_worth(seen, quantity) * 10_000 // seen.equity + rng.choice((0, 1))
        world["limits"]["symbol_caps_bps"] = {seen.symbol: min(bps, 40_000), "F": 500}


def _near_budget(world: World, rng: Random) -> None:
    seen, quantity = _first(world)
    if seen.equity > 0:
        bps = _all_worth(seen, quantity) * 10_000 // seen.equity + rng.choice((0, 1))
        world["limits"]["strategy_budgets_bps"] = {"council": bps}


def _near_usual(world: World, rng: Random) -> None:
    seen, quantity = _first(world)
    multiple = rng.choice((6, 10))
    world["limits"]["usual_order_notional_micros"] = max(_worth(seen, quantity) // multiple + _unit(rng), 1)


def _near_volume(world: World, rng: Random) -> None:
    seen, quantity = _first(world)
    world["volumes"][seen.symbol] = rng.choice((0, -1, quantity * 5 - 1, quantity * 5, quantity * 5 + 1))


def _near_power(world: World, rng: Random) -> None:
    seen, quantity = _first(world)
    each = -(-seen.price * (10_000 + seen.limit("cost_bps")) // 10_000)
    world["reserved"] = world["cash"] - quantity * each + _unit(rng)


def _near_loss(world: World, rng: Random) -> None:
    seen, _ = _first(world)
    worth = world["cash"] + sum(seen.last_price(s) * q for s, q in world["positions"].items())
    lost = max(seen.equity, 0) * 200 // 9_800
    world["opening"] = rng.choice((None, worth + lost + rng.randint(-2, 2), worth + 2 * lost))


def _near_fall(world: World, rng: Random) -> None:
    seen, _ = _first(world)
    world["peak"] = max(seen.equity, 0) * 10 // 9 + rng.randint(-3, 3)


def _near_risk(world: World, rng: Random) -> None:
    seen, quantity = _first(world)
    if seen.buys and seen.equity > 0 and risk_is_known(seen):
        exact, _ = risk_between(seen, quantity)
        world["limits"]["var_bps_max"] = max(int(exact * 10_000 / seen.equity) + rng.choice((-1, 0, 1)), 1)


def _near_collar(world: World, rng: Random) -> None:
    seen, _ = _first(world)
    reference = seen.wish["reference"]
    world["live"][seen.symbol] = reference + rng.choice((-1, 1)) * (reference * 3 // 10 + _unit(rng))


def _unpriced(world: World, rng: Random) -> None:
    symbol = rng.choice((world["wishes"][0]["symbol"], *world["positions"], *world["open_buys"]))
    world["live"].pop(symbol, None)
    if rng.random() < 0.5:
        world["live"][symbol] = 0
    if rng.random() < 0.6:
        world["closes"].pop(symbol, None)


def _unknown_history(world: World, rng: Random) -> None:
    symbol = rng.choice((world["wishes"][0]["symbol"], *world["positions"]))
    if rng.random() < 0.5:
        world["short_history"] = {symbol}
    else:
        del world["returns"][symbol]


def _restricted(world: World, rng: Random) -> None:
    since = SESSION + timedelta(days=rng.choice((-30, -1, 0, 1)))
    world["restricted"] = [
        {
            "symbol": rng.choice((world["wishes"][0]["symbol"], "F")),
            "policy": rng.randint(1, 9),
            "since": since,
            "until": rng.choice((None, since, since + timedelta(days=1), since + timedelta(days=60))),
            "tactic": rng.choice(("", "insider", "layering")),
        }
    ]


def _small_lots(world: World, rng: Random) -> None:
    world["limits"]["lot"] = rng.choice((2, 7, 10, 100))


def _behind(world: World, rng: Random) -> None:
    symbol = world["wishes"][0]["symbol"]
    world["behind"] = rng.choice(({}, {**world["behind"], symbol: rng.choice((1, 5, -1))}))


def _off_list(world: World, rng: Random) -> None:
    gone = world["wishes"][0]["symbol"]
    place = rng.choice(("universe", "allowlist"))
    world[place] = [symbol for symbol in SYMBOLS if symbol != gone]


def _under_nothing(world: World, rng: Random) -> None:
    what = rng.choice(("open_buys", "open_sells", "reserved"))
    if what == "reserved":
        world["reserved"] = rng.choice((-1, -(10**13)))
    else:
        symbol = rng.choice((world["wishes"][0]["symbol"], "F"))
        world[what] = {**world[what], symbol: rng.choice((-1, -400))}


def _poor(world: World, rng: Random) -> None:
    world["cash"] = rng.choice((0, -(10**12), 10**9))
    world["peak"] = rng.choice((0, world["peak"]))


def _same_again(world: World, rng: Random) -> None:
    if world["is_send"]:
        world["wishes"][0]["same"] = rng.choice((0, 1))
    else:
        world["wishes"].append({**world["wishes"][0], "quantity": rng.randint(1, 50)})


def _huge(world: World, rng: Random) -> None:
    wish = world["wishes"][0]
    wish["quantity"] = max((2**62) // max(wish["reference"], world["live"].get(wish["symbol"], 1), 1) - 1, 1)
    wish["quantity"] += rng.choice((0, 1, 2))
    wish["side"] = "BUY"


NEAR: tuple[Near, ...] = (
    _flag("kill_switch_on", True),
    _flag("paused", True),
    _flag("cooldown", True),
    _flag("reconciled", False),
    _flag("enabled", False),
    _flag("preflight", *PREFLIGHTS),
    _flag("is_open", False),
    _flag("age_s", -1, 0, 299, 300, 301, 10**6),
    _flag("skew_s", -3, -2, 2, 3),
    _flag("is_degraded", True),
    _flag("allowlist", []),
    _flag("tactics", dict.fromkeys("ABC", "spoofing"), dict.fromkeys("DEF", "pump_and_dump")),
    _of_wish("minute", 298, 299, 300, -1),
    _of_wish("repeated", 1, 2, 3, -1),
    _of_wish("strategy", "unheard_of", "other"),
    _of_wish("is_limit", True),
    _amount("order_quantity_max", lambda _, quantity: quantity),
    _amount("order_notional_micros_max", _worth),
    _amount("order_notional_micros_max", lambda seen, quantity: 4 * _worth(seen, quantity)),
    _amount("gross_notional_micros_max", _all_worth),
    _amount("net_notional_micros_max", _all_worth, also="gross_notional_micros_max"),
    _share("leverage_bps_max", _all_worth),
    _share("position_weight_bps_max", _own_worth),
    _near_cap,
    _near_budget,
    _near_usual,
    _near_volume,
    _near_power,
    _near_loss,
    _near_fall,
    _near_risk,
    _near_risk,
    _near_collar,
    _unpriced,
    _unpriced,
    _unknown_history,
    _restricted,
    _small_lots,
    _behind,
    _off_list,
    _under_nothing,
    _under_nothing,
    _poor,
    _same_again,
    _huge,
)
"""What puts a book within a unit of a bound, or takes something from it."""


# -------------------------------------------------------------------------------- the guards are asked


def asked(world: World) -> list[tuple[Intent, list[tuple[bool, str, int]], str]]:
    """Return what the guards say of each wish: passed, reason and largest by guard, and the first reason."""
    limits = _product_limits(world)
    intents = [_intent(wish) for wish in world["wishes"]]
    positions = sorted((Symbol(s), q) for s, q in world["positions"].items() if q > 0)
    book = Book(
        currency="USD",
        cash_micros=world["cash"],
        deposits_micros=1,
        positions=tuple(Position(symbol, quantity, 0) for symbol, quantity in positions),
    )
    orders = OpenOrders(book, world["open_buys"], world["open_sells"], world["reserved"])
    funds = funds_of(
        orders,
        live=world["live"],
        closes=world["closes"],
        opening_micros=world["opening"],
        peak_equity_micros=world["peak"],
    )
    risk = BookRisk(_scenarios(world))
    prepared = Prepared(
        universe=frozenset(map(Symbol, world["universe"])),
        average_volumes=world["volumes"],
        risk=risk,
        recent={
            intent.intent_key: Recent(wish["same"], wish["minute"], wish["repeated"])
            for intent, wish in zip(intents, world["wishes"], strict=True)
        },
        tactics={Symbol(symbol): guards.TACTICS.index(name) + 1 for symbol, name in world["tactics"].items()},
    )
    switches = Switches(
        kill_switch_on=world["kill_switch_on"],
        paused=world["paused"],
        cooldown_active=world["cooldown"],
        is_reconciled=world["reconciled"],
        execution_enabled=world["enabled"],
        is_degraded=world["is_degraded"],
        preflight=PREFLIGHTS.get(world["preflight"], PASS),
    )
    if world["is_send"]:
        (intent,) = intents
        market = Market(
            price_micros=world["live"].get(intent.symbol, 0),
            sessions_behind=0,
            quote_age_s=world["age_s"],
            is_send=True,
            session_open=world["is_open"],
            clock_skew_s=world["skew_s"],
            average_volume=world["volumes"].get(intent.symbol, 0),
        )
        whys = review_one(
            intent,
            quantity=intent.quantity,
            market=market,
            funds=funds,
            switches=switches,
            limits=limits,
            prepared=prepared,
        )
        return [
            (intent, [(why.code == PASS, REASONS[why.code], why.largest) for why in whys], first_reason(whys))
        ]
    verdicts = review_intents(
        intents,
        funds=funds,
        prices=world["live"],
        sessions_behind=world["behind"],
        session_open=world["is_open"],
        switches=switches,
        limits=limits,
        prepared=prepared,
    )
    told = []
    for place, intent in enumerate(intents):
        own = verdicts[place * len(GUARDS) : (place + 1) * len(GUARDS)]
        first = next((row.reason for row in own if not row.passed), REASONS[PASS])
        told.append((intent, [(row.passed, row.reason, row.largest_quantity) for row in own], first))
        stopped = stopping(own)
        if (stopped.reason if stopped else "") != _first_that_stops(
            [row.reason for row in own if not row.passed]
        ):
            raise AssertionError(f"{intent}: stopped by {stopped}")
    return told


def _first_that_stops(reasons: Sequence[str]) -> str:
    """Return what stops an intent: the first hard reason, else the first that asks a person."""
    hard = [reason for reason in reasons if reason not in SOFT]
    return (hard or list(reasons) or [""])[0]


def _product_limits(world: World) -> Limits:
    given = dict(world["limits"])
    return Limits(
        **{
            **given,
            "symbol_caps_bps": tuple((Symbol(s), bps) for s, bps in given["symbol_caps_bps"].items()),
            "strategy_budgets_bps": tuple(given["strategy_budgets_bps"].items()),
        },
        allowlist=tuple(map(Symbol, world["allowlist"])),
        restrictions=tuple(Restriction(**line, reason="drawn") for line in world["restricted"]),
    )


def _intent(wish: Wish) -> Intent:
    return Intent(
        book="drawn",
        strategy=wish["strategy"],
        strategy_version="drawn@1",
        session=SESSION,
        symbol=Symbol(wish["symbol"]),
        slot=Slot(wish["slot"]),
        side=Side(wish["side"]),
        quantity=wish["quantity"],
        price_micros=wish["reference"],
        currency="USD",
        order_type=OrderType.LIMIT if wish["is_limit"] else OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        rationale="drawn",
    )


def _scenarios(world: World) -> Scenarios:
    symbols = sorted(world["returns"])
    quantities = dict(world["positions"])
    for symbol, quantity in world["open_buys"].items():
        quantities[symbol] = quantities.get(symbol, 0) + max(quantity, 0)
    alone = Scenarios(
        returns_ppm=np.array([world["returns"][symbol] for symbol in symbols], dtype=np.int64),
        rows={Symbol(symbol): row for row, symbol in enumerate(symbols)},
        too_short=frozenset(map(Symbol, world["short_history"])),
        pnl_micros=np.zeros(SCENARIOS, dtype=np.int64),
    )
    return alone.of_book(quantities, {**world["closes"], **world["live"]})


# -------------------------------------------------------------------------------- and compared


def differences(world: World, said: Counter[str]) -> Iterator[str]:
    """Give each word of the guards that differs from the second version's; count the reasons given."""
    if [name for name, _ in GUARDS] != list(RULES):
        yield "the guards are others, or in another order"
        return
    earlier: list[tuple[Wish, bool]] = []
    for wish, (_, words, first) in zip(world["wishes"], asked(world), strict=True):
        seen = Seen(world, wish, list(earlier))
        reasons = []
        for (name, rule), (passed, reason, largest) in zip(RULES.items(), words, strict=True):
            expected = rule(seen, wish["quantity"])
            problem = ""
            if name == "value_at_risk" and not expected and wish["side"] == "BUY" and seen.price > 0:
                problem = _risk_problem(seen, passed=passed, reason=reason, largest=largest)
                expected = "" if passed else "var_limit"
            elif (passed, reason) != (not expected, expected or "ok"):
                problem = f"says {reason}, the second version {expected or 'ok'}"
            else:
                problem = _largest_problem(rule, seen, largest, is_stepped=name == "lot_size")
            if problem:
                yield f"{name} of {wish['side']} {wish['quantity']} {wish['symbol']}: {problem}"
            if expected:
                reasons.append(expected)
                said[expected] += 1
        if first != (reasons or ["ok"])[0]:
            yield f"{first} is reported first, the second version says {(reasons or ['ok'])[0]}"
        said["ok" if not reasons else "stopped"] += 1
        if not any(reason not in SOFT for reason in reasons):
            earlier.append((wish, not reasons))


def _largest_problem(rule: oracle.Rule, seen: Seen, largest: int, *, is_stepped: bool) -> str:
    """Try quantities around the largest: those up to it pass, those over it do not."""
    quantity = seen.wish["quantity"]
    if is_stepped and largest != ANY:
        # Of whole lots many pass: told is the largest up to what was asked for.
        wrong = [each for each in range(max(largest, 1), quantity + 1) if not rule(seen, each)]
        return "" if wrong in ([], [largest]) else f"largest is {largest}, but {max(wrong)} passes"
    steps = {0, 1, 2, 3, *(2**power for power in range(4, 62, 6))}
    tried = {1, quantity} | {largest + step for step in steps} | {largest - step for step in steps}
    if is_stepped:
        tried = {quantity}
    for each in sorted(tried):
        if 1 <= each < ANY and (not rule(seen, each)) != (each <= largest):
            return f"largest is {largest}, but {each} {'does not pass' if rule(seen, each) else 'passes'}"
    return ""


def _risk_problem(seen: Seen, *, passed: bool, reason: str, largest: int) -> str:
    """Hold VaR against its bounds: under them it has to pass, over them not; so has the largest quantity."""
    quantity, limit = seen.wish["quantity"], var_limit(seen)
    if not passed and reason != "var_limit":
        return f"says {reason}, the second version nothing or var_limit"
    if seen.price * quantity > 2**61 // 10:
        return "" if not passed else "an order too large for the sums of scenarios passes"
    exact, rounded = risk_between(seen, quantity)
    if passed:
        return "" if exact <= limit and largest == quantity else f"passes with {exact} of {limit}"
    if rounded <= limit:
        return f"stops at {rounded} of {limit}"
    if not 0 <= largest < quantity:
        return f"stops, but the largest is {largest}"
    if largest and risk_between(seen, largest)[0] > limit:
        return f"largest is {largest}, but its risk is over {limit}"
    if risk_between(seen, largest + 1)[1] <= limit and risk_between(seen, 0)[1] <= limit:
        return f"largest is {largest}, but one more passes"
    return ""


# -------------------------------------------------------------------------------- the suite

PLANTED_BOOKS = 400


def run(size: Size, progress: Progress) -> Told:
    """Draw so many books and compare; first with a bug planted into the guards."""
    began = time.monotonic()
    is_caught = _is_planted_bug_caught(size.seed)
    said: Counter[str] = Counter()
    violations: list[str] = []
    for number, world in enumerate(worlds(size.seed, size.points)):
        violations += [f"book {number}: {each}" for each in differences(world, said)]
        progress(number + 1)
    silent = sorted(set(REASONS.values()) - set(said) - UNDRAWN) if size.points >= ENOUGH else []
    violations += [f"{reason} was never said" for reason in silent]
    return Told(
        points=size.points,
        seconds=time.monotonic() - began,
        seed=size.seed,
        planted_bug="open buys forgotten in a symbol's cap, told of from one share too many",
        is_planted_bug_caught=is_caught,
        violations=tuple(violations),
        parts=dict(sorted(said.items())),
    )


ENOUGH = 5_000
"""With so many books every reason has to have been said."""

UNDRAWN = frozenset(
    {
        "missing_app_secret",
        "missing_account_no",
        "allowlist_blocked",
        "not_promoted",
        "promotion_stale",
        "signals_latched",
        "advisor_stepped_back",
        "prohibited_tactic:front_running",
    }
)
"""Reasons that no book is drawn for, since they differ from a drawn one in their name only."""


def forgets_open_buys(case: Case) -> Why:
    """Say what the symbol's cap would if nobody counted open buys."""
    return guards.symbol_cap(case._replace(exposure=case.exposure._replace(open_buy_quantity=0)))


def _is_planted_bug_caught(seed: int) -> bool:
    real = guards.GUARDS
    planted = tuple((name, forgets_open_buys if name == "symbol_cap" else guard) for name, guard in real)
    try:
        guards.GUARDS = planted
        return any(any(differences(world, Counter())) for world in worlds(seed, PLANTED_BOOKS))
    finally:
        guards.GUARDS = real
