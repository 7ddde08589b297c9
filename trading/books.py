"""A book: a data set, a calendar, an account and the reviewed rules it is traded by.

Books are lines in `config/books.toml`, read by resources/reviewed_config.py; `session_graph(book)` in
trading_assets makes the assets of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date

from trading.allocation import AllocationRules, version_of
from trading.approvals import ApprovalPolicy
from trading.candidates import ScannerRules
from trading.council import CouncilRules
from trading.inputs import ORIGINS, InputSource, Origin
from trading.journal import CooldownRules
from trading.limits import Limits, Override
from trading.simulation import FillModel
from trading.strategies.plugin import Strategy
from trading.values import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Hold everything that decides, the same for live and replay; it reads `window_sessions` back.

    `overrides` are no part of the digest: what one set aside is told by the verdict.
    """

    window_sessions: int
    scanner: ScannerRules
    strategies: tuple[Strategy, ...]
    council: CouncilRules
    allocation: AllocationRules
    limits: Limits
    approvals: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    cooldown: CooldownRules = field(default_factory=CooldownRules)
    overrides: tuple[Override, ...] = ()

    def on(self, session: date) -> Rules:
        """Return the rules with the limits in force in a session."""
        return replace(self, limits=self.limits.on(session))

    def strategy_version(self) -> str:
        """Return the names and versions of the council's strategies."""
        return version_of([(strategy.name, strategy.version) for strategy in self.strategies])

    def sha(self) -> str:
        """Return the digest of all rules and parameters: part of what a decision was decided on."""
        return digest(
            {
                "window_sessions": self.window_sessions,
                "scanner": repr(self.scanner),
                "council": repr(self.council),
                "allocation": repr(self.allocation),
                "limits": self.limits.sha(),
                "approvals": repr(self.approvals),
                "strategies": [
                    [strategy.name, strategy.version, repr(strategy.weight), repr(strategy.parameters)]
                    for strategy in self.strategies
                ],
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BookConfig:
    """Hold one book as configured. `deposit_micros` is what it opens with; `source` names its market data.

    `account_orders` is whom its open orders are read from before a scan, in order.
    `first_session` and `last_session` bound the source's data; the last one is "today" when simulated.
    """

    name: str
    title: str
    calendar: str
    currency: str
    account: str
    deposit_micros: int
    source: str
    first_session: date
    last_session: date
    rules: Rules
    costs: FillModel
    account_orders: tuple[Origin, ...] = ORIGINS[InputSource.ACCOUNT_ORDERS]
