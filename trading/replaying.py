"""Run a replay: its data, chunk by chunk, what is kept of it, and the checks that it is held to.

The ports that it needs stand here: where data sets come from (resources/panels.py) and where replays are kept
(resources/replay_files.py). What a chunk is, is replay.py; the checks are replay_checks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol

from trading.books import BookConfig, Rules
from trading.replay import (
    DataSet,
    ReplayRequest,
    ReplayState,
    chunks_of,
    config_of,
    opening_state,
    replay_chunk,
    sessions_of,
)
from trading.replay_checks import ReplayCheck, replay_checks
from trading.replay_summary import summary_of
from trading.replayed import Replayed
from trading.sessions import Calendar
from trading.silences import why_nothing_intended
from trading.values import digest


class ReplayFile(NamedTuple):
    """Hold one file of a replay: the table and the chunk it is of, where it lies, its rows and SHA-256."""

    table: str
    chunk: str
    path: str
    rows: int
    sha: str


class DataSets(Protocol):
    """Give the data sets of a book."""

    def data_set(self, first: date, last: date) -> DataSet:
        """Return what a replay of a range reads; raises `LakeError` where what is kept of it was altered."""
        ...


class KeptReplay(Protocol):
    """Keep one replay's chunks; nobody else writes under its name meanwhile."""

    def state_after(self, chunk: str) -> ReplayState | None:
        """Return what a chunk ended with, `None` where it is not kept whole."""
        ...

    def put(self, chunk: str, part: Replayed, state: ReplayState) -> None:
        """Keep a chunk, whole or not at all."""
        ...

    def tables(self) -> Replayed:
        """Return all that is kept, read back; raises `LakeError` where a file was altered."""
        ...

    def finish(self, summary: Mapping[str, Any]) -> tuple[ReplayFile, ...]:
        """Keep that the replay is whole, with what is told of it, and return its files."""
        ...


class ReplayStore(Protocol):
    """Keep replays of a book by name."""

    code_sha: str
    """Digest of the code that decides."""

    def read(self, files: Sequence[ReplayFile]) -> tuple[Mapping[str, Any], Replayed]:
        """Return a finished replay's manifest and tables; raises `LakeError` at an altered file."""
        ...

    def whole(self) -> Mapping[str, str]:
        """Return the digest of each replay that came to its end, by name: of the one begun last."""
        ...

    def put_beside(self, files: Sequence[ReplayFile], name: str, content: str) -> str:
        """Put a page beside a finished replay's tables, and return where it lies."""
        ...

    def keeping(
        self, request: ReplayRequest, *, replay_sha: str, data_sha: str
    ) -> AbstractContextManager[KeptReplay]:
        """Return where a replay is kept; raises `BadInput` where its name is another request's."""
        ...


class Seconds(NamedTuple):
    """Hold what a replay took: reading its data, deciding and filling, writing what it leaves behind."""

    data: float
    engine: float
    artefacts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Hold what can be seen of a replay; `config` is the book as the request wants it.

    `failed` are the checks that do not hold, without those that had no data. One that was stopped is not
    whole: it is of the years that are kept, and nothing was checked.
    """

    request: ReplayRequest
    config: BookConfig
    data: DataSet
    replay_sha: str
    replayed: Replayed
    failed: tuple[str, ...]
    is_whole: bool


class TrialRecorder(Protocol):
    """Record what was tried on a book, so that it counts whatever becomes of its files."""

    def record(self, seen: Seen) -> None:
        """Record a replay; the same one again changes nothing. Raises `JournalUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Hold a whole replay, its tables read back from where they are kept.

    `kept_chunks` of its chunks were there from an earlier run that did not come to its end.
    """

    request: ReplayRequest
    config: BookConfig
    data: DataSet
    replay_sha: str
    replayed: Replayed
    checks: tuple[ReplayCheck, ...]
    files: tuple[ReplayFile, ...]
    kept_chunks: int
    chunks: int
    seconds: Seconds


def run_replay(
    config: BookConfig,
    request: ReplayRequest,
    *,
    data_sets: DataSets,
    calendar: Calendar,
    store: ReplayStore,
    trials: TrialRecorder | None,
    tell: Callable[[str], None],
    clock: Callable[[], float],
) -> Finished:
    """Replay a range chunk by chunk, each kept as it ends; chunks that are kept already are left alone.

    `config` is the book as it is; `clock` gives seconds. Whoever has seen a year of it could choose it: what
    was kept is given to `trials` before the replay is whole, and also when it is stopped; `None` where what
    is run is recorded by the caller or is nobody's to choose. Raises `BadInput` for a range that the book's
    data does not cover, and for a name that is another request's.
    """
    config = config_of(request, config)
    sessions = sessions_of(request, config, calendar)
    began = clock()
    data = data_sets.data_set(sessions[0], sessions[-1])
    spent = {"data": clock() - began, "engine": 0.0, "artefacts": 0.0}
    replay_sha = replay_sha_of(config, request, data=data, code_sha=store.code_sha)
    state = opening_state(config)
    done = kept_chunks = 0
    chunks = chunks_of(sessions)

    def record(replayed: Replayed, *, failed: tuple[str, ...], is_whole: bool) -> None:
        if trials is not None:
            seen = Seen(
                request=request,
                config=config,
                data=data,
                replay_sha=replay_sha,
                replayed=replayed,
                failed=failed,
                is_whole=is_whole,
            )
            trials.record(seen)

    with store.keeping(request, replay_sha=replay_sha, data_sha=data.sha) as kept:
        try:
            for name, days in chunks.items():
                began = clock()
                found = kept.state_after(name)
                spent["artefacts"] += clock() - began
                if found is None:
                    began = clock()
                    part, state = replay_chunk(
                        config,
                        data=data,
                        calendar=calendar,
                        sessions=days,
                        state=state,
                        approve=request.approve,
                        light=request.light,
                    )
                    replayed = clock()
                    kept.put(name, part, state)
                    spent["engine"] += replayed - began
                    spent["artefacts"] += clock() - replayed
                else:
                    state = found
                    kept_chunks += 1
                done += len(days)
                told = "kept already" if found else f"{state.equities[-1] / 1e6:,.2f} {config.currency}"
                tell(
                    f"{config.name} replay {request.name}: {done:,} of {len(sessions):,} sessions,"
                    f" {name} {told}"
                )
            began = clock()
            whole = kept.tables()
            checks = replay_checks(whole, request=request, config=config, data=data, calendar=calendar)
            passed = {check.name: check.passed for check in checks}
        except BaseException:
            if done:
                record(kept.tables(), failed=(), is_whole=False)
            raise
        failed = tuple(check.name for check in checks if not check.passed and not check.no_data)
        record(whole, failed=failed, is_whole=True)
        summary = {**summary_of(whole), "data_set_sha": data.manifest_sha, "checks": passed}
        if not whole["sessions"]["intents"].any():
            summary["why_nothing_intended"] = why_nothing_intended(
                config, panel=data.panel, actions=data.actions, calendar=calendar, sessions=sessions
            )
        files = kept.finish(summary)
        spent["artefacts"] += clock() - began
    return Finished(
        request=request,
        config=config,
        data=data,
        replay_sha=replay_sha,
        replayed=whole,
        checks=checks,
        files=files,
        kept_chunks=kept_chunks,
        chunks=len(chunks),
        seconds=Seconds(**spent),
    )


def replay_sha_of(config: BookConfig, request: ReplayRequest, *, data: DataSet, code_sha: str) -> str:
    """Return the digest of all that a replay comes from; `config` is the book as the request wants it."""
    return request.replay_sha(data_sha=data.sha, rules_sha=rules_sha(config.rules), code_sha=code_sha)


def rules_sha(rules: Rules) -> str:
    """Return the digest of all that decides in a replay: the rules, and what sets a guard aside."""
    return digest({"rules": rules.sha(), "overrides": repr(rules.overrides)})
