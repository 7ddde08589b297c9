"""Trials: everything that was ever tried of a strategy, so that no choice looks better than it was.

What was chosen from many looks better than it is, by how many there were (honest.py). Whoever files evidence
could name a few of them and forget the rest; so what was tried is recorded in the evidence ledger when it is
tried, by a sweep as by a filing, and counted from there. Pure: what becomes of the number is
replay_evidence.py, who asks for it promotion.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from trading.evidence_ledger import Kind, LedgerRow, Run, Subject, content_of

AND = "+"
"""Joins the strategies of one council: `momentum:lookback=60+mean_reversion`."""

STRATEGIES = "strategies"
"""The parameter of a candidate that tells its strategies in full, so that they can be tried again."""


class Identity(NamedTuple):
    """Hold what makes two trials one: strategies, versions of their files, and every rule and parameter."""

    strategy: str
    strategy_version: str
    rules_sha: str


class Tried(NamedTuple):
    """Hold one trial as it was recorded: what it is, how it was called, and its strategies in full.

    `strategies` is empty where the record does not tell them: it counts, and cannot be tried again.
    """

    identity: Identity
    name: str
    strategies: tuple[str, ...]


def identity_of(subject: Subject) -> Identity:
    """Return what a trial of a subject is; data, costs and code make no other trial of it."""
    return Identity(subject.strategy, subject.strategy_version, subject.rules_sha)


def trials_of(subject: Subject, rows: Iterable[LedgerRow]) -> tuple[Tried, ...]:
    """Return what rows tell was ever tried of a subject's strategies, each once, in the order recorded.

    On its book, or on its very data in another one. A run counts with everything in it where one of the
    strategies was part of one of its candidates, since it was chosen from all of them.
    """
    told = [(row, content) for row, content in _candidates(rows) if _is_near(content, subject)]
    own = set(subject.strategy.split(AND))
    runs = {row.run_id for row, content in told if own & set(content["strategy"].split(AND))}
    found: dict[Identity, Tried] = {}
    for row, content in told:
        if row.run_id in runs:
            identity = Identity(*(content[name] for name in Identity._fields))
            found.setdefault(identity, Tried(identity, content["name"], _strategies(content)))
    return tuple(found.values())


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


def _candidates(rows: Iterable[LedgerRow]) -> Iterable[tuple[LedgerRow, dict[str, Any]]]:
    for row in rows:
        if row.kind == Kind.CANDIDATE and (content := content_of(row)) is not None:
            yield row, content


def _is_near(content: Mapping[str, str], subject: Subject) -> bool:
    return content["book"] == subject.book or content["data_set_sha"] == subject.data_set_sha


def _strategies(content: dict[str, Any]) -> tuple[str, ...]:
    told = content["parameters"].get(STRATEGIES)
    return tuple(told.split(AND)) if told else ()
