"""Routes: by account, market and strategy, the adapter that an order goes to, and those that may stand in.

A route is chosen before an order is prepared (T2), when provably nothing of it was sent, and is stored with
it; whatever follows, a resend, a query, a cancel, goes to the adapter stored and to no other. The lines stand
in config/routes.toml, read by resources/route_file.py; asking and sending by them is resources/routes.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trading.brokers import Capabilities, DedupScope, Holdings
from trading.values import Symbol

ANY = "*"
"""What a line names where it is for every account, market or strategy."""

EMBEDDED_PAPER = "embedded_paper"
"""The paper broker in this process: where every order went before routes were recorded."""

NOT_RECORDED = "not recorded"
"""What is shown for an order that was prepared before its route was stored with it."""

CIRCUIT_OPEN = "circuit_open"
RATE_LIMITED = "rate_limited"
TIMEOUT = "timeout"
UNREACHABLE = "unreachable"
SHARES_ELSEWHERE = "shares_elsewhere"
"""Words for why an adapter cannot take an order now; a reason is its name, `_` and one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLine:
    """Hold one reviewed line: for which account, market and strategy (`*`: any), which adapters in order.

    The first adapter is expected, the others may stand in for it; `reason` is the reviewer's.
    """

    account: str
    market: str
    strategy: str
    adapters: tuple[str, ...]
    reason: str

    def __post_init__(self) -> None:
        """Refuse a line without an adapter, with one twice, or without a reason."""
        if not self.adapters:
            raise ValueError(f"route {self.name}: names no adapter")
        if len(set(self.adapters)) != len(self.adapters):
            raise ValueError(f"route {self.name}: names an adapter twice ({', '.join(self.adapters)})")
        if not self.reason.strip():
            raise ValueError(f"route {self.name}: has no reason; a reviewed line says why")

    @property
    def name(self) -> str:
        """Return how messages call the line."""
        return f"{self.account} × {self.market} × {self.strategy}"

    @property
    def specificity(self) -> int:
        """Return how many of account, market and strategy the line names."""
        return sum(1 for named in self._named if named != ANY)

    @property
    def _named(self) -> tuple[str, str, str]:
        return self.account, self.market, self.strategy

    def covers(self, *, account: str, market: str, strategy: str) -> bool:
        """Say whether the line is for an order."""
        asked = (account, market, strategy)
        return all(named in {ANY, one} for named, one in zip(self._named, asked, strict=True))

    def meets(self, other: RouteLine) -> bool:
        """Say whether some order could be for both lines."""
        pairs = zip(self._named, other._named, strict=True)
        return all(ANY in {mine, theirs} or mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """Hold all lines. No order can meet two equally specific ones: such a table cannot be made."""

    lines: tuple[RouteLine, ...]

    def __post_init__(self) -> None:
        """Refuse two lines of which neither is the more specific one for some order."""
        for place, line in enumerate(self.lines):
            for other in self.lines[place + 1 :]:
                if line.specificity == other.specificity and line.meets(other):
                    raise ValueError(
                        f"routes {line.name} and {other.name}: an order could be for both, and neither is "
                        "more specific; name more in one of them"
                    )

    def line_for(self, *, account: str, market: str, strategy: str) -> RouteLine | None:
        """Return the most specific line for an order, `None` where there is none."""
        meant = [
            line for line in self.lines if line.covers(account=account, market=market, strategy=strategy)
        ]
        return max(meant, key=lambda line: line.specificity, default=None)


class RouteChoice(NamedTuple):
    """Hold where one order goes: the adapter expected, the one chosen, and why they differ, if they do.

    `fallback_count` counts the adapters passed over, `fallback_reason` names why, in their order. All empty
    and 0 where it was prepared before routes were stored: that is shown as not recorded, never guessed.
    """

    expected: str
    actual: str
    fallback_count: int = 0
    fallback_reason: str = ""

    @property
    def is_recorded(self) -> bool:
        """Say whether the route is known at all."""
        return bool(self.actual)

    @property
    def fallback(self) -> str:
        """Return `fallback_from_<expected>_to_<actual>`, empty where the expected adapter was chosen."""
        return f"fallback_from_{self.expected}_to_{self.actual}" if self.fallback_count else ""

    @property
    def told(self) -> str:
        """Return the way in words: the adapter, and where it stands in for another, for which and why."""
        if not self.fallback_count:
            return shown_adapter(self.actual)
        return f"{self.actual} instead of {self.expected} ({self.fallback_reason})"


UNRECORDED = RouteChoice("", "")
"""The route of an order that was prepared before routes were stored with orders."""


def shown_adapter(name: str) -> str:
    """Return an adapter's name as tables and pages show it; of an order from before routes none is known."""
    return name or NOT_RECORDED


class NoRoute(NamedTuple):
    """Say that nothing is sent now, and why: no adapter of the route can take the order."""

    reason: str


def choose(adapters: Sequence[str], ailing: Mapping[str, str]) -> RouteChoice | NoRoute:
    """Return the first adapter of a route that nothing ails, and what was passed over for it.

    `ailing` has a word (`circuit_open`, …) for each adapter that cannot take the order now. Ask before an
    order is prepared and never after: an order that may have been sent stays with its adapter.
    """
    passed: list[str] = []
    for name in adapters:
        word = ailing.get(name, "")
        if not word:
            return RouteChoice(adapters[0], name, len(passed), ", ".join(passed))
        passed.append(f"{name}_{word}")
    return NoRoute(f"no_route: {', '.join(passed)}")


def weakest(declared: Iterable[Capabilities]) -> Capabilities:
    """Return what may be relied on whichever of several adapters an order is at; raises for none.

    Two scopes of deduplication that are not the same prove only the narrower one where the other is for
    all time, and nothing where neither contains the other.
    """
    several = tuple(declared)
    if not several:
        raise ValueError("weakest: of no adapter at all nothing can be told")
    scopes = {each.dedup_scope for each in several} - {DedupScope.ALL_TIME}
    scope = DedupScope.ALL_TIME if not scopes else scopes.pop() if len(scopes) == 1 else DedupScope.NONE
    windows = [each.dedup_window_s for each in several if each.dedup_scope is DedupScope.WINDOW]
    return Capabilities(
        is_live=any(each.is_live for each in several),
        dedup_scope=scope,
        is_query_authoritative=all(each.is_query_authoritative for each in several),
        settle_time_s=max(each.settle_time_s for each in several),
        definitive_errors=frozenset.intersection(*(each.definitive_errors for each in several)),
        ambiguous_errors=frozenset().union(*(each.ambiguous_errors for each in several)),
        dedup_window_s=min(windows) if windows and scope is DedupScope.WINDOW else 0,
    )


def together(parts: Sequence[tuple[Holdings, int]], *, opened_with_micros: int) -> Holdings:
    """Return what an account has over several brokers: all its shares, and one deposit with every change.

    Each part is what one broker says, and with how much cash (micro-units) the account was opened there:
    only what it gained or lost since belongs to a book that was opened once, with `opened_with_micros`.
    """
    shares: dict[Symbol, int] = {}
    cash_micros = opened_with_micros
    for holdings, opening_micros in parts:
        cash_micros += holdings.cash_micros - opening_micros
        for symbol, quantity in holdings.quantities.items():
            shares[symbol] = shares.get(symbol, 0) + quantity
    return Holdings(
        quantities={symbol: quantity for symbol, quantity in sorted(shares.items()) if quantity},
        cash_micros=cash_micros,
    )
