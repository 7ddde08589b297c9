"""Detectors of biased rules: what sees later bars, what depends on chance, memory or where history begins.

A session is decided by the functions that trade (session.py), then again with everything from that session on
taken away or falsified: a row that changes has seen what nobody could know. Decided again as it is, a row
that changes depends on chance or on what was asked before; with a history that begins elsewhere, on where it
begins. Each accusation names the rule, the session, the row, the column and both values.

What a strategy is: strategies/plugin.py; rows and how they are compared: parity.py. Strategies to try the
detectors on are in examples/strategies/.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from trading.actions import ActionKind, CorporateAction
from trading.books import BookConfig
from trading.candidates import rank_candidates
from trading.errors import BadSetting
from trading.parity import PLACE, WHOLE_ROW, Difference, Row, Tables, differing_rows, keyed
from trading.positions import Book, Position
from trading.quotes import Micros, Panel, Window
from trading.session import TRADING, judge, last_closes, morning_of, propose
from trading.strategies.plugin import Strategy

CANDIDATES, OPINIONS = "candidates", "opinions"
FOLLOWING = {"votes": "council", "intents": "allocation", "verdicts": "guards"}
"""What follows from candidates and opinions, and whose rule makes it."""
SCANNER = "scanner"
DIRECTION = "direction"
"""A column that has a sign and no size."""
RAISED = "raised"
"""The column of what a strategy raised, where it said nothing else."""

FEWEST_SESSIONS = 21
"""Sessions before the first one that is looked at: with fewer there are no features."""
HELD_SYMBOLS = 4
LONGER_PERCENT = (150, 200, 400)
"""Longer histories that are tried, as a share of the configured window."""
WARM_UP_SESSIONS = 5
"""Sessions in which it is looked for how much history a rule needs."""
CHANGES_KEPT = 20
"""Changes kept of each accusation; all are counted."""


class Known(NamedTuple):
    """Hold what can be looked at when a session is decided: bars, and corporate actions at their sessions."""

    panel: Panel
    actions: tuple[CorporateAction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """Hold a strategy under suspicion: `made` gives it, from whatever it may study beforehand.

    A plug-in studies nothing. Research that works on whole columns and looks its answer up by session does,
    and there the bias is. Each call of `made` gives one without memory.
    """

    name: str
    made: Callable[[Known], Strategy]


class Bias(StrEnum):
    """Say what a row depends on that it must not."""

    LOOK_AHEAD = "look_ahead"
    CHANCE = "chance"
    MEMORY = "memory"
    HISTORY = "history"


MEANINGS: Mapping[Bias, str] = {
    Bias.LOOK_AHEAD: "changes with bars or actions that nobody could know yet",
    Bias.CHANCE: "says something else when asked the same again",
    Bias.MEMORY: "depends on what it was asked before",
    Bias.HISTORY: "depends on where its history begins",
}


class Change(NamedTuple):
    """Name one value that changed, and what was done for it.

    `size` is |after − before| / max(|before|, |after|) of two numbers; `None` otherwise, as a direction.
    """

    bias: Bias
    suspect: str
    session: date
    done: str
    symbol: str
    difference: Difference
    size: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accusation:
    """Hold what was found against one rule: in how many sessions, how many values, the largest difference.

    `changes` are the first of them; `size_max` is `None` where no two numbers could be compared.
    """

    suspect: str
    bias: Bias
    sessions: int
    values: int
    size_max: float | None
    changes: tuple[Change, ...]


class WarmUp(NamedTuple):
    """Hold how much history a rule needs: the fewest sessions with which it says what it says now.

    `least_sessions` is a count within the window of `window_sessions`. `speaks_early`: with fewer it says
    something else where it should say nothing.
    """

    suspect: str
    least_sessions: int
    window_sessions: int
    speaks_early: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Hold what the detectors found: whom they accuse of what, and how much history each rule needs.

    `rows` counts rows compared; `following` the changed values of votes, intents and verdicts behind an
    accused rule; `opinions` how many opinions each strategy had in the sessions looked at.
    """

    book: str
    sessions: tuple[date, ...]
    accusations: tuple[Accusation, ...]
    warm_ups: tuple[WarmUp, ...]
    opinions: Mapping[str, int]
    rows: int
    following: int

    @property
    def is_clean(self) -> bool:
        """Say whether nobody is accused."""
        return not self.accusations

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the strategies that had no opinion in any session: nothing could be found in them.

        What is accused is not among them: it spoke on a false future alone.
        """
        accused = {row.suspect for row in self.accusations}
        return tuple(name for name, count in self.opinions.items() if not count and name not in accused)

    def biases_of(self, suspect: str) -> frozenset[Bias]:
        """Return what a rule is accused of."""
        return frozenset(row.bias for row in self.accusations if row.suspect == suspect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Hold what sessions are decided by: a book's rules, whatever its own strategies, and the suspects."""

    config: BookConfig
    known: Known
    suspects: tuple[Suspect, ...]

    def strategies_on(self, known: Known) -> tuple[Strategy | BadSetting, ...]:
        """Return every suspect as it is after it studied what is known, or the refusal it ended in."""
        return tuple(_made(suspect, known) for suspect in self.suspects)


def detect(trial: Trial, sessions: Sequence[date]) -> Detection:
    """Return what is found against each suspect and the book's own rules over some sessions, ascending.

    Raises `BadSetting` where a suspect raises on the bars as they are: then nothing can be said of it.
    """
    true = trial.strategies_on(trial.known)
    openings = {session: _holding_book(trial, session) for session in sessions}
    honest: dict[date, Tables] = {}
    for session in sessions:
        honest[session] = _decided(trial, trial.known, true, session, openings[session])
        _refuse_raised(honest[session])
    changes = _Changes(suspects=tuple(suspect.name for suspect in trial.suspects))
    unsteady = _note_unsteady(trial, true, honest, openings, changes)
    for session in sessions:
        for done, known in futures_of(trial.known, session).items():
            again = _decided(trial, known, trial.strategies_on(known), session, openings[session])
            changes.note(
                Bias.LOOK_AHEAD, session, done, before=honest[session], after=again, excused=unsteady
            )
    warm_ups = _note_histories(trial, sessions, changes, unsteady)
    return Detection(
        book=trial.config.name,
        sessions=tuple(sessions),
        accusations=changes.accusations(),
        warm_ups=warm_ups,
        opinions=_opinions_counted(trial, honest),
        rows=changes.rows,
        following=changes.following,
    )


def sampled(panel: Panel, count: int) -> tuple[date, ...]:
    """Return up to `count` sessions spread evenly over a panel, its last one among them, ascending."""
    able = panel.sessions[FEWEST_SESSIONS:]
    if count < 1 or not able:
        return ()
    places = np.unique(np.linspace(len(able) - 1, 0, min(count, len(able))).round().astype(int))
    return tuple(able[place] for place in places)


# ---------------------------------------------------------------------------------- futures that are not true


def futures_of(known: Known, session: date) -> dict[str, Known]:
    """Return what was known before a session with several futures that differ from the true one, by name.

    Bars of the session itself and of later ones change, and actions after it: one effective in the session is
    known before its open.
    """
    panel, actions = known
    row = bisect_left(panel.sessions, session)
    told = tuple(action for action in actions if action.effective_on <= session)
    futures = {"later bars removed": Known(without_later(panel, row), actions)}
    for name, change in _FALSIFIED.items():
        futures[f"later bars {name}"] = Known(_altered(panel, row, change), actions)
    futures["later actions removed"] = Known(panel, told)
    futures["later actions invented"] = Known(panel, (*told, *_invented(panel, row, session)))
    return futures


def without_later(panel: Panel, row: int) -> Panel:
    """Return a panel as it stood before a row: without later ones and symbols first quoted in them."""
    listed = np.flatnonzero((panel.close[:row] > 0).any(axis=0))
    return _part(panel, slice(None, row), listed)


_FALSIFIED: Mapping[str, Callable[[Micros], Micros]] = {
    "ten times as high": lambda bars: bars * 10,
    "without a quote": np.zeros_like,
    "in reverse order": lambda bars: bars[::-1] // 3,
    "of another symbol": lambda bars: np.roll(bars, 1, axis=1) * 2,
}
"""What is done to the bars of a session and all after it. Volumes change likewise."""


def _altered(panel: Panel, row: int, change: Callable[[Micros], Micros]) -> Panel:
    arrays = {}
    for name in ("open", "high", "low", "close", "volume"):
        array = getattr(panel, name).copy()
        array[row:] = change(array[row:])
        array.setflags(write=False)
        arrays[name] = array
    return replace(panel, **arrays)


def _part(panel: Panel, rows: slice, columns: np.ndarray) -> Panel:
    return Panel(
        sessions=panel.sessions[rows],
        symbols=tuple(panel.symbols[column] for column in columns),
        open=panel.open[rows, columns],
        high=panel.high[rows, columns],
        low=panel.low[rows, columns],
        close=panel.close[rows, columns],
        volume=panel.volume[rows, columns],
        unfit=panel.unfit,
    )


def _invented(panel: Panel, row: int, session: date) -> Iterator[CorporateAction]:
    """Return a split and a dividend for every symbol, in the two sessions after one."""
    later = [*panel.sessions[row + 1 : row + 3], session + timedelta(days=1), session + timedelta(days=2)]
    for symbol in panel.symbols:
        yield CorporateAction(effective_on=later[0], symbol=symbol, kind=ActionKind.SPLIT, numerator=3)
        yield CorporateAction(
            effective_on=later[1], symbol=symbol, kind=ActionKind.DIVIDEND, dividend_micros=500_000
        )


# ---------------------------------------------------------------------------------------- one session decided


def _decided(
    trial: Trial,
    known: Known,
    strategies: Sequence[Strategy | BadSetting],
    session: date,
    opening: Book,
) -> Tables:
    """Return everything that the rules make of a session, as tables."""
    rules = trial.config.rules
    window = known.panel.window_before(session, rules.window_sessions, actions=known.actions)
    opinions = _opinions(trial, window, strategies)
    raised = {_strategy_of(key) for key, row in opinions.items() if RAISED in row}
    able = [one for one in strategies if isinstance(one, Strategy) and one.name not in raised]
    rules = replace(rules, strategies=tuple(able))
    candidates = rank_candidates(window, rules.scanner)
    proposed = propose(
        book_name=trial.config.name,
        window=window,
        candidates=candidates,
        opening=opening,
        actions=known.actions,
        rules=rules,
    )
    verdicts = judge(
        proposed.intents,
        window=window,
        at_open=proposed.at_open,
        morning=morning_of(window, at_open=proposed.at_open, rules=rules, equities=()),
        rules=rules,
        switches=TRADING,
    )
    return {
        CANDIDATES: keyed(candidates, "symbol"),
        OPINIONS: opinions,
        "votes": keyed(proposed.votes.values(), "symbol"),
        "intents": keyed(proposed.intents, "symbol", "intent_key"),
        "verdicts": keyed(verdicts, "symbol", "guard"),
    }


def _opinions(trial: Trial, window: Window, strategies: Sequence[Strategy | BadSetting]) -> dict[str, Row]:
    """Return what every suspect says of every symbol of a window, candidate or not, or what it raised."""
    opinions: dict[str, Row] = {}
    for suspect, strategy in zip(trial.suspects, strategies, strict=True):
        try:
            if isinstance(strategy, BadSetting):
                raise strategy
            for symbol, signal in strategy.opinions(window, window.symbols).items():
                opinions[f"{suspect.name}/{symbol}"] = signal._asdict()
        except BadSetting as error:
            opinions[f"{suspect.name}/"] = {RAISED: str(error)}
    return opinions


def _made(suspect: Suspect, known: Known) -> Strategy | BadSetting:
    try:
        return replace(suspect.made(known), name=suspect.name)
    except BadSetting as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever a study raises is what it says of these bars
        return BadSetting(f"strategy {suspect.name!r}: raised {type(error).__name__}: {error}")


def _refuse_raised(tables: Tables) -> None:
    for row in tables[OPINIONS].values():
        if RAISED in row:
            raise BadSetting(str(row[RAISED]))


def _holding_book(trial: Trial, session: date) -> Book:
    """Return a book that half of the deposit is invested in, so that there is something to sell."""
    config = trial.config
    panel, actions = trial.known
    earlier = [action for action in actions if action.effective_on < session]
    window = panel.window_before(session, config.rules.window_sessions, actions=earlier)
    closes = dict(list(last_closes(window).items())[:HELD_SYMBOLS])
    each = config.deposit_micros // (2 * HELD_SYMBOLS)
    positions = tuple(
        Position(symbol, each // close, each // close * close)
        for symbol, close in sorted(closes.items())
        if close <= each
    )
    return Book(
        currency=config.currency,
        cash_micros=config.deposit_micros - sum(position.cost_micros for position in positions),
        deposits_micros=config.deposit_micros,
        positions=positions,
    )


def _opinions_counted(trial: Trial, honest: Mapping[date, Tables]) -> dict[str, int]:
    counts = {suspect.name: 0 for suspect in trial.suspects}
    for tables in honest.values():
        for key in tables[OPINIONS]:
            counts[_strategy_of(key)] += 1
    return counts


# -------------------------------------------------------------------------------- asked again, and in between


def _note_unsteady(
    trial: Trial,
    true: Sequence[Strategy | BadSetting],
    honest: Mapping[date, Tables],
    openings: Mapping[date, Book],
    changes: _Changes,
) -> frozenset[str]:
    """Note what says something else when asked again; return who does.

    First a suspect without memory is asked the same in the same order: what differs is chance. Then the one
    that was asked already is asked again, each session after the one before it: what differs is memory.
    """
    fresh = trial.strategies_on(trial.known)
    for session in honest:
        again = _decided(trial, trial.known, fresh, session, openings[session])
        changes.note(Bias.CHANCE, session, "asked the same again", before=honest[session], after=again)
    by_chance = changes.accused()
    panel, actions = trial.known
    for session in honest:
        before = panel.sessions[bisect_left(panel.sessions, session) - 1]
        window = panel.window_before(before, trial.config.rules.window_sessions, actions=actions)
        _opinions(trial, window, true)
        again = _decided(trial, trial.known, true, session, openings[session])
        done = f"asked again, after {before}"
        changes.note(Bias.MEMORY, session, done, before=honest[session], after=again, excused=by_chance)
    return changes.accused()


# ----------------------------------------------------------------------------------- where the history begins


def _note_histories(
    trial: Trial, sessions: Sequence[date], changes: _Changes, unsteady: frozenset[str]
) -> tuple[WarmUp, ...]:
    """Note what differs with a longer history than is configured; return how much each rule needs.

    Only candidates and opinions are compared, since votes, intents and verdicts follow from them. A rule that
    is silent for want of history and speaks with more is not accused: silence misleads nobody.
    """
    configured = trial.config.rules.window_sessions
    longest = {day: bisect_left(trial.known.panel.sessions, day) for day in sessions}
    usual = {day: _wishes_with(trial, day, configured) for day in sessions if longest[day] >= configured}
    for session, tables in usual.items():
        for count in (configured * percent // 100 for percent in LONGER_PERCENT):
            if count <= longest[session]:
                again = _both_speak(tables, _wishes_with(trial, session, count))
                done = f"{count} sessions of history, not {configured}"
                before = _both_speak(again, tables)
                changes.note(Bias.HISTORY, session, done, before=before, after=again, excused=unsteady)
    few = dict(list(usual.items())[:: -(-len(usual) // WARM_UP_SESSIONS)]) if usual else {}
    names = [name for name in (SCANNER, *changes.suspects) if name not in unsteady]
    return tuple(_warm_up(trial, name, few, configured) for name in names) if few else ()


def _wishes_with(trial: Trial, session: date, count: int) -> Tables:
    """Return candidates and opinions of a session whose history begins `count` sessions before it."""
    window, known = _window_with(trial, session, count)
    return {
        CANDIDATES: keyed(rank_candidates(window, trial.config.rules.scanner), "symbol"),
        OPINIONS: _opinions(trial, window, trial.strategies_on(known)),
    }


def _window_with(trial: Trial, session: date, count: int) -> tuple[Window, Known]:
    """Return a window that begins `count` sessions before one, and what is known from there on.

    The symbols are those of the configured window. Whatever is studied beforehand begins there too.
    """
    panel, actions = trial.known
    row = bisect_left(panel.sessions, session)
    usual = panel.close[max(0, row - trial.config.rules.window_sessions) : row]
    known = Known(_part(panel, slice(row - count, None), np.flatnonzero((usual > 0).any(axis=0))), actions)
    return known.panel.window_before(session, count, actions=actions), known


def _both_speak(one: Tables, other: Tables) -> Tables:
    """Return the other's tables with the rows alone that one has as well."""
    return {
        table: {key: row for key, row in rows.items() if key in one[table]} for table, rows in other.items()
    }


def _warm_up(trial: Trial, name: str, usual: Mapping[date, Tables], configured: int) -> WarmUp:
    """Return the fewest sessions with which a rule says what it says with the window, by halving.

    It is taken for granted that more history than enough is enough; a rule for which it is not is accused of
    depending on its history anyway.
    """
    alone = replace(trial, suspects=tuple(one for one in trial.suspects if one.name == name))
    speaks_early = False
    few, enough = 0, configured
    while enough - few > 1:
        count = (few + enough) // 2
        changed = _first_changed(alone, name, usual, count)
        speaks_early = speaks_early or (changed is not None and changed.column not in {WHOLE_ROW, PLACE})
        few, enough = (few, count) if changed is None else (count, enough)
    return WarmUp(name, enough, configured, speaks_early)


def _first_changed(trial: Trial, name: str, usual: Mapping[date, Tables], count: int) -> Difference | None:
    """Return what first differs from what a rule usually says, with a history of `count` sessions.

    Only symbols are looked at that are quoted in it; one value that differs is preferred to a missing row.
    """
    for session, tables in usual.items():
        window, known = _window_with(trial, session, count)
        if name == SCANNER:
            rows = keyed(rank_candidates(window, trial.config.rules.scanner), "symbol")
            keys = {str(symbol) for symbol in window.symbols}
        else:
            rows = _opinions(trial, window, trial.strategies_on(known))
            keys = {f"{name}/{symbol}" for symbol in window.symbols}
        table = CANDIDATES if name == SCANNER else OPINIONS
        before = {key: row for key, row in tables[table].items() if key in keys}
        found = list(differing_rows(table, before, rows))
        if found:
            return next((row for row in found if row.column != WHOLE_ROW), found[0])
    return None


# ----------------------------------------------------------------------------------------------- what changed


class _Changes:
    """Gather changes by whose rule they are."""

    def __init__(self, *, suspects: tuple[str, ...]) -> None:
        self.suspects = suspects
        self.rows = 0
        self.following = 0
        self._changes: dict[tuple[str, Bias], list[Change]] = {}
        self._counted: dict[tuple[str, Bias], int] = {}
        self._sessions: dict[tuple[str, Bias], set[date]] = {}
        self._sizes: dict[tuple[str, Bias], float] = {}

    def note(
        self,
        bias: Bias,
        session: date,
        done: str,
        *,
        before: Tables,
        after: Tables,
        excused: frozenset[str] = frozenset(),
    ) -> None:
        """Note how a session changed, by the rule that changed first; what follows from it is counted.

        Of a suspect in `excused` nothing is noted: what it is accused of already would show as this.
        """
        has_cause = False
        for table in before:
            self.rows += len(before[table])
            found = list(differing_rows(table, before[table], after[table]))
            if table in FOLLOWING and has_cause:
                self.following += len(found)
                continue
            for difference in found:
                suspect = _suspect_of(difference)
                if suspect not in excused:
                    symbol, size = _symbol_of(difference), _size(difference)
                    self._note(Change(bias, suspect, session, done, symbol, difference, size))
            has_cause = has_cause or bool(found)

    def accused(self) -> frozenset[str]:
        """Return whose rows changed so far."""
        return frozenset(suspect for suspect, _ in self._counted)

    def accusations(self) -> tuple[Accusation, ...]:
        """Return one accusation a rule and bias, by rule."""
        return tuple(
            Accusation(
                suspect=suspect,
                bias=bias,
                sessions=len(self._sessions[suspect, bias]),
                values=count,
                size_max=self._sizes.get((suspect, bias)),
                changes=tuple(self._changes[suspect, bias]),
            )
            for (suspect, bias), count in sorted(self._counted.items())
        )

    def _note(self, change: Change) -> None:
        at = change.suspect, change.bias
        kept = self._changes.setdefault(at, [])
        if len(kept) < CHANGES_KEPT:
            kept.append(change)
        self._counted[at] = self._counted.get(at, 0) + 1
        self._sessions.setdefault(at, set()).add(change.session)
        if change.size is not None:
            self._sizes[at] = max(self._sizes.get(at, 0.0), change.size)


def _strategy_of(key: str) -> str:
    return key.partition("/")[0]


def _suspect_of(difference: Difference) -> str:
    if difference.table == OPINIONS:
        return _strategy_of(difference.key)
    return FOLLOWING.get(difference.table, SCANNER)


def _symbol_of(difference: Difference) -> str:
    """Return the symbol in a row's key: behind a strategy's name, before an intent's key or a guard."""
    match difference.table:
        case "opinions":
            return difference.key.partition("/")[2]
        case "intents" | "verdicts":
            return difference.key.rpartition("/")[0]
        case _:
            return difference.key


def _size(difference: Difference) -> float | None:
    if difference.column == DIRECTION:
        return None
    try:
        before, after = float(difference.live), float(difference.replayed)
    except ValueError:
        return None
    largest = max(abs(before), abs(after))
    return abs(after - before) / largest if largest > 0 else 0.0
