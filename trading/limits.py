"""Limits: the reviewed numbers that guards and the approval policy hold trading to, and who set one aside.

Read from `config/limits.toml`, `config/restricted.toml` and `config/overrides.toml` by
resources/reviewed_config.py; what enforces them is guards.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from typing import Any

from trading.guards import BPS, GUARDS, TACTICS, Caps, Instrument
from trading.values import Symbol, digest

OVERRIDE_LIFE_MAX = timedelta(hours=24)
"""How long an override by the clock may last; one that names its session lasts for that session."""

POSITIVE = (
    "order_quantity_max",
    "order_notional_micros_max",
    "price_collar_bps",
    "usual_order_notional_micros",
    "fat_finger_soft_multiple",
    "volume_share_bps_max",
    "volume_sessions",
    "orders_per_minute_max",
    "repeated_executions_max",
    "position_weight_bps_max",
    "symbol_weight_bps_max",
    "gross_notional_micros_max",
    "net_notional_micros_max",
    "leverage_bps_max",
    "var_bps_max",
    "daily_loss_bps_max",
    "drawdown_bps_max",
    "drawdown_sessions",
    "degrade_notional_bps",
    "quote_age_s_max",
    "lot",
)
"""The limits that are over zero: one of zero would stop trading, for which there is a halt."""

NOT_NEGATIVE = (
    "auto_approve_notional_micros",
    "cost_bps",
    "clock_skew_s_max",
    "stale_ratio_bps_max",
    "tick_micros",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Hold one line of the restricted list: what may not be bought, by which policy, from when until when.

    `policy` is the policy's number, 1 or more. `until` is the last date it holds on, `None`: until it is
    taken off. `tactic` names the prohibited tactic that trading it would be, empty where it is none.
    """

    policy: int
    symbol: Symbol
    since: date
    until: date | None
    reason: str
    tactic: str = ""

    def __post_init__(self) -> None:
        """Refuse a restriction that nobody could have meant."""
        if self.policy < 1:
            raise ValueError(f"policy {self.policy} of {self.symbol}: must be 1 or more")
        if self.until is not None and self.until < self.since:
            raise ValueError(
                f"policy {self.policy} of {self.symbol}: until {self.until} is before {self.since}"
            )
        if self.tactic and self.tactic not in TACTICS:
            raise ValueError(f"policy {self.policy} tactic {self.tactic!r}: known are {', '.join(TACTICS)}")

    def holds_on(self, session: date) -> bool:
        """Say whether it is in force on a date."""
        return self.since <= session and (self.until is None or session <= self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Hold limits that change on a date: `values` are fields of `Limits` and what they are from then on."""

    effective_from: date
    reason: str
    values: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Hold a person's word that one guard's soft block does not hold for a symbol (empty: for the book).

    It lasts for a `session`, or `since` an instant (UTC) `until` another, at most a day.
    """

    actor: str
    reason: str
    guard: str
    symbol: str
    session: date | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse an override that is nobody's, has no end, or is of a guard that does not exist."""
        if not self.actor.strip() or not self.reason.strip():
            raise ValueError(f"override of {self.guard}: is of a named person with a reason, or not at all")
        if self.guard not in {name for name, _ in GUARDS}:
            raise ValueError(f"override of {self.guard}: there is no such guard")
        if self.session is not None:
            if self.since is not None or self.until is not None:
                raise ValueError(
                    f"override of {self.guard}: lasts for a session or between instants, not both"
                )
            return
        if self.since is None or self.until is None:
            raise ValueError(f"override of {self.guard}: needs a session, or from and until")
        if not timedelta(0) < self.until - self.since <= OVERRIDE_LIFE_MAX:
            raise ValueError(
                f"override of {self.guard}: {self.since} until {self.until}: must be over 0, at most 24 h"
            )

    def holds_for(self, symbol: Symbol, *, session: date, now: datetime | None) -> bool:
        """Say whether it is in force for a symbol in a session at an instant (`None`: only by session)."""
        if self.symbol not in {"", symbol}:
            return False
        if self.since is None or self.until is None:
            return self.session == session
        return now is not None and self.since <= now < self.until

    def told(self) -> str:
        """Return who set the guard aside, why and for how long, as its verdict tells it."""
        until = f"session {self.session}" if self.session else f"until {self.until:%Y-%m-%d %H:%M:%S} UTC"
        return f"overridden by {self.actor}, {until}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hold one book's limits. Money in micro-units of the book's currency, shares of equity in bps.

    What each means stands in `config/limits.toml` under its name. `symbol_caps_bps` and
    `strategy_budgets_bps` are pairs of a name and its share of equity; `allowlist` empty means every symbol
    of the universe; `changes` take effect on their dates, `restrictions` hold on theirs.
    """

    order_quantity_max: int
    order_notional_micros_max: int
    price_collar_bps: int
    usual_order_notional_micros: int
    fat_finger_soft_multiple: int
    fat_finger_hard_multiple: int
    volume_share_bps_max: int
    volume_sessions: int
    orders_per_minute_max: int
    repeated_executions_max: int
    position_weight_bps_max: int
    symbol_weight_bps_max: int
    gross_notional_micros_max: int
    net_notional_micros_max: int
    leverage_bps_max: int
    var_bps_max: int
    var_level_bps: int
    daily_loss_bps_max: int
    drawdown_bps_max: int
    drawdown_sessions: int
    degrade_notional_bps: int
    auto_approve_notional_micros: int
    cost_bps: int
    quote_age_s_max: int
    clock_skew_s_max: int
    stale_ratio_bps_max: int
    lot: int
    tick_micros: int
    allowlist: tuple[Symbol, ...] = ()
    symbol_caps_bps: tuple[tuple[Symbol, int], ...] = ()
    strategy_budgets_bps: tuple[tuple[str, int], ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        """Refuse limits that contradict themselves, now or after a change."""
        for name in POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive; to stop trading use halt")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)}: must not be negative")
        self._refuse_contradictions()
        for change in self.changes:
            self.on(change.effective_from)

    def on(self, session: date) -> Limits:
        """Return the limits in force in a session: changes of later dates and ended restrictions left out."""
        if not self.changes and not self.restrictions:
            return self
        values: dict[str, Any] = {}
        for change in sorted(self.changes, key=lambda change: change.effective_from):
            if change.effective_from <= session:
                values |= dict(change.values)
        held = tuple(line for line in self.restrictions if line.holds_on(session))
        if not values and not self.changes and held == self.restrictions:
            return self
        return replace(self, **values, restrictions=held, changes=())

    def caps(self, symbol: Symbol, strategy: str) -> Caps:
        """Return the scalars that guards take of a symbol and a strategy."""
        budgets = dict(self.strategy_budgets_bps)
        return Caps(
            quote_age_s_max=self.quote_age_s_max,
            clock_skew_s_max=self.clock_skew_s_max,
            order_quantity_max=self.order_quantity_max,
            order_notional_micros_max=self.order_notional_micros_max,
            price_collar_bps=self.price_collar_bps,
            fat_finger_hard_micros=self.usual_order_notional_micros * self.fat_finger_hard_multiple,
            fat_finger_soft_micros=self.usual_order_notional_micros * self.fat_finger_soft_multiple,
            volume_share_bps_max=self.volume_share_bps_max,
            orders_per_minute_max=self.orders_per_minute_max,
            repeated_executions_max=self.repeated_executions_max,
            cost_bps=self.cost_bps,
            position_weight_bps_max=self.position_weight_bps_max,
            symbol_weight_bps_max=dict(self.symbol_caps_bps).get(symbol, self.symbol_weight_bps_max),
            strategy_budget_bps=budgets.get(strategy, -1),
            gross_micros_max=self.gross_notional_micros_max,
            net_micros_max=self.net_notional_micros_max,
            leverage_bps_max=self.leverage_bps_max,
            var_bps_max=self.var_bps_max,
            daily_loss_bps_max=self.daily_loss_bps_max,
            drawdown_bps_max=self.drawdown_bps_max,
            degrade_notional_bps=self.degrade_notional_bps,
        )

    def instrument(self, symbol: Symbol, *, session: date, in_universe: bool, tactic: int) -> Instrument:
        """Return what guards take of a symbol in a session; `tactic` is what was found, 0: nothing."""
        held = [line for line in self.restrictions if line.symbol == symbol and line.holds_on(session)]
        listed = next((TACTICS.index(line.tactic) + 1 for line in held if line.tactic), 0)
        return Instrument(
            lot=self.lot,
            tick_micros=self.tick_micros,
            in_universe=in_universe,
            is_allowed=self.allows(symbol),
            allowlist_size=len(self.allowlist),
            restricted_policy=held[0].policy if held else 0,
            tactic=tactic or listed,
        )

    def allows(self, symbol: Symbol) -> bool:
        """Say whether a symbol may be traded at all."""
        return not self.allowlist or symbol in self.allowlist

    def sha(self) -> str:
        """Return the digest of the limits, kept on every verdict."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        told["restrictions"] = [repr(line) for line in self.restrictions]
        told["changes"] = [repr(change) for change in self.changes]
        return digest(told)

    def _refuse_contradictions(self) -> None:
        if self.auto_approve_notional_micros > self.order_notional_micros_max:
            raise ValueError(
                f"auto_approve_notional {self.auto_approve_notional_micros} is over "
                f"order_notional_max {self.order_notional_micros_max}: nothing above that can be approved"
            )
        if self.fat_finger_soft_multiple >= self.fat_finger_hard_multiple:
            raise ValueError(
                f"fat_finger_soft_multiple {self.fat_finger_soft_multiple} is not under "
                f"fat_finger_hard_multiple {self.fat_finger_hard_multiple}: nobody would ever be asked"
            )
        for name, weight_bps in (
            ("symbol_weight_bps_max", self.symbol_weight_bps_max),
            *self.symbol_caps_bps,
        ):
            if not 0 <= weight_bps <= self.position_weight_bps_max:
                raise ValueError(
                    f"{name} {weight_bps}: must be 0 to position_weight_bps_max "
                    f"{self.position_weight_bps_max}; a symbol's cap is within what any position may have"
                )
        if self.net_notional_micros_max > self.gross_notional_micros_max:
            raise ValueError(
                f"net_notional_max {self.net_notional_micros_max} is over "
                f"gross_notional_max {self.gross_notional_micros_max}: net exposure never is"
            )
        if not BPS // 2 < self.var_level_bps < BPS:
            raise ValueError(f"var_level_bps {self.var_level_bps}: must be over 5000 and under 10000")
        if self.degrade_notional_bps > BPS:
            raise ValueError(
                f"degrade_notional_bps {self.degrade_notional_bps} is over {BPS}: degraded is tighter"
            )
        for name, budget_bps in self.strategy_budgets_bps:
            if budget_bps < 0:
                raise ValueError(f"strategy_budgets_bps {name} {budget_bps}: must not be negative")
