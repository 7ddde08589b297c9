"""Whether each input of a session can be read, from each of its origins, end to end; nothing is executed.

Who is asked what is trading_assets/hydration.py. An origin over the network is asked only with `--connect`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from console.desk import Desk
from console.exit_codes import ExitCode
from console.runs import bounded_by_source, plan_of
from trading.breakers import FAILURE_WORDS
from trading.inputs import InputRow, InputStatus

NOBODY_ANSWERS = FAILURE_WORDS | {"broker_unavailable", "circuit_open", "rate_limited"}
"""The words at the end of a read's code that say of a broker that it gave no answer."""

SKIPPED = "skipped"
"""The status of an origin that is reached over the network, and that nobody asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRead:
    """Hold how one origin of one source answered: `status` is ready, ask, error or skipped."""

    book: str
    session: date
    source: str
    origin: str
    status: str
    records: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """Hold every origin's answer. Of reads that were asked for: how many there were, and how they went."""

    reads: tuple[OriginRead, ...]
    attempted: int
    ready: int
    errors: int
    skipped: int
    exit_code: ExitCode


def smoke(desk: Desk, *, book: str | None, session: date | None, connect: bool) -> Smoke:
    """Return how every origin of every input of each book answers for its next session."""
    plans = []
    for outline in desk.chosen(book):
        plan = plan_of(desk, bounded_by_source(desk, outline), session=session, last=None)
        last = desk.latest(outline)
        chosen = plan.sessions[0] if plan.sessions else (last.session if last else None)
        if chosen is not None:
            plans.append((outline.name, chosen))
    from console.launcher import open_launcher

    launcher = open_launcher()
    reads = [
        read
        for name, chosen in plans
        for read in _told(name, launcher.input_reads(name, chosen, connect=connect))
    ]
    return smoke_of(reads)


def smoke_of(reads: Iterable[OriginRead]) -> Smoke:
    """Return reads with their counts and the code.

    2 a broken contract or a wrong setting, 6 a broker that does not answer, 3 what is not there yet, else 0.
    """
    listed = tuple(reads)
    statuses = [read.status for read in listed if read.status != SKIPPED]
    code = ExitCode.DONE
    if any(status == InputStatus.ASK for status in statuses) or not statuses:
        code = ExitCode.ATTENTION
    if any(
        read.status == InputStatus.ASK and read.code.rpartition(":")[2] in NOBODY_ANSWERS for read in listed
    ):
        code = ExitCode.DEPENDENCY_DOWN
    if any(status == InputStatus.ERROR for status in statuses):
        code = ExitCode.USAGE
    return Smoke(
        reads=listed,
        attempted=len(statuses),
        ready=statuses.count(InputStatus.READY),
        errors=len(statuses) - statuses.count(InputStatus.READY),
        skipped=len(listed) - len(statuses),
        exit_code=code,
    )


def _told(book: str, rows: Iterable[tuple[InputRow, bool]]) -> Iterable[OriginRead]:
    """Yield what the launcher read, each with whether it was asked at all."""
    for row, is_asked in rows:
        yield OriginRead(
            book=book,
            session=row.session,
            source=row.source.value,
            origin=row.expected,
            status=row.status.value if is_asked else SKIPPED,
            records=row.records,
            code=row.error_codes,
            detail=row.remark,
        )
