"""Limits: the reviewed numbers that guards and the approval policy hold trading to.

Read from `config/limits.toml` by resources/reviewed_config.py; what enforces them is guards.py.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from trading.guards import Caps
from trading.values import Symbol, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Hold one book's limits. Money in micro-units of the book's currency, shares of equity in bps.

    `auto_approve_notional_micros`: up to here a passing intent needs no person. `cost_bps`: what buying
    power allows for slippage and commission. `allowlist` empty means every symbol of the universe.
    """

    order_notional_micros_max: int
    symbol_weight_bps_max: int
    auto_approve_notional_micros: int
    cost_bps: int
    quote_age_s_max: int
    stale_ratio_bps_max: int
    allowlist: tuple[Symbol, ...] = ()

    def __post_init__(self) -> None:
        """Refuse limits that contradict themselves."""
        if self.auto_approve_notional_micros > self.order_notional_micros_max:
            raise ValueError(
                f"auto_approve_notional {self.auto_approve_notional_micros} is over "
                f"order_notional_max {self.order_notional_micros_max}: nothing above that can be approved"
            )
        for name in ("order_notional_micros_max", "symbol_weight_bps_max", "quote_age_s_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} {getattr(self, name)}: must be positive; to stop trading use halt")

    def caps(self) -> Caps:
        """Return the scalars that guards take."""
        return Caps(
            order_notional_micros_max=self.order_notional_micros_max,
            symbol_weight_bps_max=self.symbol_weight_bps_max,
            cost_bps=self.cost_bps,
            quote_age_s_max=self.quote_age_s_max,
        )

    def allows(self, symbol: Symbol) -> bool:
        """Say whether a symbol may be traded at all."""
        return not self.allowlist or symbol in self.allowlist

    def sha(self) -> str:
        """Return the digest of the limits, kept on every verdict."""
        return digest(asdict(self))
