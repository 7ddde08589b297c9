"""What a strategy of a replay did not say at its beginning, and how much history it would have taken to.

A look-back that is longer than the window that a decision reads, or than what the data has before the range,
leaves a strategy without an opinion; a replay of it looks like one of a strategy that wisely waited. Here the
two are told apart. Who asks is sweeps.py; how much history the detectors find a rule to need is lookahead.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from trading.actions import CorporateAction, at_sessions
from trading.books import BookConfig
from trading.errors import BadSetting
from trading.quotes import Panel, Window
from trading.reporting import money_text
from trading.session import each_session
from trading.sessions import Calendar
from trading.strategies.plugin import Parameter, Signal, Strategy
from trading.values import Symbol


class Silence(NamedTuple):
    """Hold how long a strategy said nothing, from the first session of a range on. All counts are sessions.

    `silent` of `sessions` passed before its first opinion, all where it never had one. `needed` is the least
    history with which it has one on any symbol, in the session that ended the silence or the range; `None`
    where not even all is enough that the replay has read by then. `known` of that are before the range,
    `window` is what a decision reads at most.
    """

    strategy: str
    silent: int
    sessions: int
    needed: int | None
    known: int
    window: int

    @property
    def is_whole(self) -> bool:
        """Say whether it never had an opinion."""
        return self.silent == self.sessions

    @property
    def told(self) -> str:
        """Return the silence as a sentence that says what would end it."""
        if not self.is_whole:
            return (
                f"{self.strategy} says nothing in the first {self.silent:,} of {self.sessions:,} sessions: "
                f"it needs {self.needed:,} sessions of history, and the data has {self.known:,} before the "
                "range"
            )
        never = f"{self.strategy} says nothing in any of {self.sessions:,} sessions"
        reads = f"a decision reads {self.window:,} (`window_sessions` of config/rules.toml)"
        if self.needed is None:
            all_read = self.known + self.sessions - 1
            return f"{never}, nor would it with {all_read:,} sessions of history; {reads}"
        if self.needed > self.window:
            return f"{never}: it needs {self.needed:,} sessions of history, and {reads}"
        return f"{never} of a symbol that it was asked about: a candidate, or one held"


class Listening:
    """Give a book whose strategies are listened to: when each has its first opinion, which stays its own."""

    def __init__(self, config: BookConfig) -> None:
        """Take the book; `config` of this is the same one, and every decision of it too."""
        self.heard: dict[str, date] = {}
        strategies = tuple(self._listened_to(one) for one in config.rules.strategies)
        self.config = replace(config, rules=replace(config.rules, strategies=strategies))
        self._own = config

    def silences(
        self,
        sessions: Sequence[date],
        *,
        panel: Panel,
        actions: Iterable[CorporateAction],
        calendar: Calendar,
    ) -> tuple[Silence, ...]:
        """Return who was silent in sessions that were decided in a row, for want of history or to the end.

        A strategy that had the history and waited is not named, unless it never spoke at all.
        """
        window, adjusted = self._own.rules.window_sessions, at_sessions(actions, calendar)
        known = bisect_left(panel.sessions, sessions[0])
        found = []
        for strategy in self._own.rules.strategies:
            spoke = self.heard.get(strategy.name)
            silent = len(sessions) if spoke is None else bisect_left(sessions, spoke)
            if not silent:
                continue
            needed = _history_needed(strategy, spoke or sessions[-1], panel=panel, actions=adjusted)
            if spoke is None or (needed is not None and needed > known):
                found.append(Silence(strategy.name, silent, len(sessions), needed, known, window))
        return tuple(found)

    def _listened_to(self, strategy: Strategy) -> Strategy:
        def signals(
            window: Window, symbols: Sequence[Symbol], **parameters: Parameter
        ) -> Mapping[Symbol, Signal]:
            said = strategy.signals(window, symbols, **parameters)
            given: object = said  # of a plug-in: it may be anything, and who asks refuses what is none
            if isinstance(given, Mapping) and given:
                self.heard.setdefault(strategy.name, window.session)
            return said

        return replace(strategy, signals=signals)


RICH_MICROS = 10**15
"""A thousand million units of a currency: with less than that no share is too dear to be sized."""


def why_nothing_intended(
    config: BookConfig,
    *,
    panel: Panel,
    actions: Sequence[CorporateAction],
    calendar: Calendar,
    sessions: Sequence[date],
) -> str:
    """Return why a book that intended nothing in sessions did not, as a sentence.

    They are decided again with a deposit that is large enough for anything: what is intended then was too
    dear; what is not was never voted for, for want of history or of an opinion.
    """
    listening = Listening(config)
    rich = replace(listening.config, deposit_micros=RICH_MICROS)
    for one in each_session(rich, panel=panel, actions=actions, calendar=calendar, sessions=sessions):
        if one.decided.proposed.intents:
            deposit = money_text(config.deposit_micros, config.currency)
            return (
                f"the deposit of {deposit} is too small for a lot of what was voted for, the first time "
                f"before the session of {one.session}; give it a larger one"
            )
    silences = listening.silences(sessions, panel=panel, actions=actions, calendar=calendar)
    silent = "; ".join(silence.told for silence in silences if silence.is_whole)
    return silent or "no motion was carried: too few strategies agreed, or none was sure enough"


def _history_needed(
    strategy: Strategy, session: date, *, panel: Panel, actions: Iterable[CorporateAction]
) -> int | None:
    """Return the fewest sessions before one with which a strategy has an opinion; `None`: not with all.

    By halving: a strategy that speaks with some history is taken to speak with more.
    """

    def speaks(count: int) -> bool:
        window = panel.window_before(session, count, actions=actions)
        try:
            return bool(strategy.opinions(window, window.symbols))
        except BadSetting:
            # Of a history that no decision ever gives it: what it cannot take is nothing said.
            return False

    few, enough = 0, bisect_left(panel.sessions, session)
    if not speaks(enough):
        return None
    while enough - few > 1:
        count = (few + enough) // 2
        few, enough = (few, count) if speaks(count) else (count, enough)
    return enough
