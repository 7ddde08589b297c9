"""Trials: everything that was ever tried on a book, so that no choice looks better than it was.

What was chosen from many looks better than it is, by how many there were (honest.py). Whoever files evidence
could name a few of them and forget the rest; so what was tried is recorded in the evidence ledger when it is
tried, by a replay and by a sweep as by a filing, and counted from there. All that was tried on a book or its
data counts, under whatever name: the formula asks for every trial of the search, and a strategy that is
renamed, or edited, is the same search gone on with (Bailey and López de Prado, 2014). Pure: what becomes of
the number is replay_evidence.py, who asks for it promotion.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from trading.evidence_ledger import STRATEGY_SHA, Kind, LedgerRow, Missing, Run, Subject, content_of

AND = "+"
"""Joins the strategies of one council, and the digests of their files: `momentum:lookback=60+reversion`."""

STRATEGIES = "strategies"
"""The parameter of a candidate that tells its strategies in full, so that they can be tried again."""

IS_WHOLE = "is_whole"
"""The parameter of a recorded replay that says whether it came to its end; whoever does not say it did."""

FAILED_CHECKS = "failed_checks"
"""The parameter of a recorded replay that names the checks which did not hold; not there where all did."""


class Identity(NamedTuple):
    """Hold what makes two trials one: strategies, their versions and files, and every rule and parameter.

    `strategy_sha` is empty where a trial was recorded before files were digested: it is no other's then.
    """

    strategy: str
    strategy_version: str
    rules_sha: str
    strategy_sha: str


class Tried(NamedTuple):
    """Hold one trial as it was recorded: what it is, how it was called, and its strategies in full.

    `strategies` is empty where the record does not tell them: it counts, and cannot be tried again. `runs`
    are those that it was recorded in, empty for what is kept of a replay or a sweep and was recorded in none.
    """

    identity: Identity
    name: str
    strategies: tuple[str, ...]
    runs: frozenset[str] = frozenset()


def identity_of(subject: Subject) -> Identity:
    """Return what a trial of a subject is; data, costs and code make no other trial of it."""
    return Identity(subject.strategy, subject.strategy_version, subject.rules_sha, subject.strategy_sha)


def trials_of(subject: Subject, rows: Iterable[LedgerRow]) -> tuple[Tried, ...]:
    """Return what rows tell was ever tried on a subject's book, or on its very data in another one.

    Each once, in the order recorded, of whatever strategy: `own_trials` says which are the subject's own.
    """
    found: dict[Identity, Tried] = {}
    for row, content in _candidates(rows):
        if content["book"] == subject.book or content["data_set_sha"] == subject.data_set_sha:
            identity = _identity(content)
            told = found.get(identity) or Tried(identity, content["name"], _strategies(content))
            found[identity] = told._replace(runs=told.runs | {row.run_id})
    return tuple(found.values())


def own_trials(subject: Subject, tried: Iterable[Tried]) -> tuple[Tried, ...]:
    """Return the trials that are of a subject's own strategies, under whatever name they were tried.

    A strategy goes on under another name where its file was once the same, and under another file where its
    name was. A run counts with everything in it where one of them was part of it, since it was chosen from
    all of them.
    """
    trials = tuple(tried)
    known = _line_of(subject, trials)
    own = {one.identity: one.runs for one in trials if not known.isdisjoint(_names(one.identity))}
    runs = {run_id for told in own.values() for run_id in told}
    return tuple(one for one in trials if one.identity in own or not runs.isdisjoint(one.runs))


def trials_known_to(subject: Subject, digest: str, rows: Sequence[LedgerRow]) -> int:
    """Return how many trials a candidate's evidence has to count: those filed before it, and its own run's.

    `digest` is that of the candidate's row.
    """
    own = next(row for row in rows if row.digest == digest)
    before = [row for row in rows if row.seq < own.seq or row.run_id == own.run_id]
    return len(trials_of(subject, before))


def without_recorded(run: Run, recorded: Iterable[Identity]) -> Run:
    """Return a sweep's run with what nothing is recorded of yet: a trial made again is no other one."""
    known = set(recorded)
    new = (one for one in run.candidates if identity_of(one.bound.subject) not in known)
    return replace(run, candidates=tuple(new))


def replays_recorded(rows: Iterable[LedgerRow]) -> frozenset[str]:
    """Return the digests of the replays that rows record as having come to their end."""
    told = (content for _, content in _candidates(rows))
    return frozenset(one["replay_sha"] for one in told if one["parameters"].get(IS_WHOLE, True))


def unrecorded(book: str, kept: Mapping[str, str], rows: Iterable[LedgerRow]) -> tuple[Missing, ...]:
    """Name each whole replay of a book that no row records; `kept` are their digests by name."""
    recorded = replays_recorded(rows)
    return tuple(
        Missing(
            "replay_without_record",
            f"{book} replay {name}",
            "no row tells that it was tried; the same `trading replay` again records it",
        )
        for name, replay_sha in kept.items()
        if replay_sha not in recorded
    )


def _line_of(subject: Subject, tried: Sequence[Tried]) -> set[str]:
    """Return all names and files of strategies that a subject's own have gone under, as far as it is told."""
    known = set(_names(identity_of(subject)))
    pairs = {pair for one in tried for pair in _parts(one.identity) if all(pair)}
    while new := {each for pair in pairs if not known.isdisjoint(pair) for each in pair} - known:
        known |= new
    return known


def _names(identity: Identity) -> Iterator[str]:
    """Yield the names of a trial's strategies and the digests of their files, those that are known."""
    return (each for pair in _parts(identity) for each in pair if each)


def _parts(identity: Identity) -> Iterator[tuple[str, str]]:
    """Yield each strategy of a trial: its name and the digest of its file, empty where it is not known."""
    names, files = identity.strategy.split(AND), identity.strategy_sha.split(AND)
    return zip(names, files if len(files) == len(names) else [""] * len(names), strict=True)


def _candidates(rows: Iterable[LedgerRow]) -> Iterator[tuple[LedgerRow, dict[str, Any]]]:
    for row in rows:
        if row.kind == Kind.CANDIDATE and (content := content_of(row)) is not None:
            yield row, content


def _identity(content: Mapping[str, Any]) -> Identity:
    return Identity(
        content["strategy"],
        content["strategy_version"],
        content["rules_sha"],
        content.get(STRATEGY_SHA, ""),
    )


def _strategies(content: Mapping[str, Any]) -> tuple[str, ...]:
    told = content["parameters"].get(STRATEGIES)
    return tuple(told.split(AND)) if isinstance(told, str) and told else ()
