"""What calls to somebody outside came to: each breaker, each endpoint's figures, and a breaker reset by hand.

What the figures mean is trading/outbound.py, when a breaker opens trading/breakers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from console.actions import require_actor
from console.desk import Desk
from console.doing import By
from console.exit_codes import ExitCode
from resources.clocks import system_now
from trading.breakers import Breaker, BreakerState, reset
from trading.errors import Refused, StaleVersion, UnknownId
from trading.outbound import EndpointFigures, OutboundCall, figures_by_endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLine:
    """Hold one breaker that ever counted a failure; `until` is when it may be tried, or its trial ends."""

    name: str
    state: BreakerState
    failures: int
    trials: int
    until: datetime | None
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundView:
    """Hold the breakers by name, and the figures of the last calls by provider and endpoint.

    `first_at` and `last_at` are between which instants those calls were, `None` where there were none.
    """

    breakers: tuple[BreakerLine, ...]
    endpoints: tuple[EndpointFigures, ...]
    first_at: datetime | None
    last_at: datetime | None

    @property
    def exit_code(self) -> ExitCode:
        """Return 3 while a breaker holds calls back."""
        is_held = any(line.state is not BreakerState.CLOSED for line in self.breakers)
        return ExitCode.ATTENTION if is_held else ExitCode.DONE


def outbound_of(desk: Desk, *, last: int) -> OutboundView:
    """Return the breakers, and what the last calls came to."""
    with desk.journal.at_one_moment() as journal:
        breakers, calls = journal.breakers(), journal.outbound_calls(last=last)
    return outbound_view(breakers, calls)


def outbound_view(breakers: Sequence[Breaker], calls: Sequence[OutboundCall]) -> OutboundView:
    """Return the view of what was read."""
    return OutboundView(
        breakers=tuple(_line(breaker) for breaker in breakers),
        endpoints=tuple(figures_by_endpoint(calls)),
        first_at=min((call.at for call in calls), default=None),
        last_at=max((call.at for call in calls), default=None),
    )


def reset_breaker(desk: Desk, name: str, *, by: By) -> BreakerLine:
    """Close a breaker by a named person's word.

    Raises `UnknownId` for one that never changed, `Refused` for one that holds nothing back, `StaleVersion`
    where somebody else changed it in the same moment.
    """
    require_actor(by.actor, by.reason)
    known = {breaker.name: breaker for breaker in desk.journal.breakers()}
    if name not in known:
        raise UnknownId(
            f"breaker {name[:60]!a}: none of this name ever counted a failure; `trading outbound`"
        )
    after = reset(known[name])
    if after is None:
        raise Refused(f"breaker {name}: is closed and has counted no failure; nothing was changed")
    # SQLAlchemy takes longer to import than a verb that only reads may.
    from resources.outbound.kept import JournalBreakers

    with desk.open_journal() as journal:
        if not JournalBreakers(journal).change(after, actor=by.actor, reason=by.reason, now=system_now()):
            raise StaleVersion(f"breaker {name}: somebody else changed it meanwhile; look again")
    return _line(after)


def _line(breaker: Breaker) -> BreakerLine:
    return BreakerLine(
        name=breaker.name,
        state=breaker.state,
        failures=breaker.failures,
        trials=breaker.trials,
        until=breaker.until,
        word=breaker.word,
    )
