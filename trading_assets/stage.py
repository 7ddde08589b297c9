"""What every stage of the graph shares: keys, groups, owners, a run's session, how refusals are kept.

The stages themselves are in stages/, one file each, in the order of the flow; which stages a book has is
session_graph.py.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, TypedDict, get_args, get_type_hints

import dagster as dg
import structlog

from trading.books import BookConfig
from trading.errors import JournalBehindLog, JournalUnavailable, TradingError
from trading.journal import Journal, StageRun
from trading.positions import Book, opened_book
from trading.protocol import WATCHED_SESSIONS
from trading.reporting import ReportFile
from trading.sessions import Calendar

COMMANDER = "commander"
SCANNER = "scanner"
STRATEGIST = "strategist"
SUPERVISOR = "supervisor"
EXECUTOR = "executor"
MONITOR = "monitor"
REPORTER = "reporter"

OWNERS = ["team:trading-desk"]

WHY_NONE = "why_none"
"""Metadata key under which a stage says why it made nothing; it travels to the table's pointer."""
UNFIT_REASON = "unfit_reason"
INPUTS_SHA = "inputs_sha"
FALLBACK_REASON = "fallback_reason"
EQUITY_MICROS = "equity_micros"
SELECTED = "selected"
POINTER_EXTRAS = (UNFIT_REASON, FALLBACK_REASON, WHY_NONE, EQUITY_MICROS, SELECTED)
"""Metadata keys that travel to a table's pointer, where they are read without opening the table."""


COLUMN_TYPES: dict[type, str] = {datetime: "timestamp"}
"""What the UI calls a type that is not called by its own name."""

ENDINGS = {
    "_micros": "millionths of the currency's unit",
    "_bps": "hundredths of a percent",
    "_at": "instant in UTC",
    "not_after": "instant in UTC after which nothing may be sent",
    "_on": "date of the exchange",
    "quantity": "shares",
    "volume": "shares",
    "inputs_sha": "digest of all that was read",
    "_sha": "digest of the content",
    "payload_hash": "digest of what was decided; an approval names it",
}
"""What the ending of a column's name says of it."""

REASON_CHARACTERS_MAX = 2_000
"""How much of a refusal is kept: it is read as one line."""

REFUSED_BY = "refused_by"
"""The metadata of a step that refused, which names the error that it refused with."""

CARRIED_BY_TAG = "trading/carried_by"
"""The run tag under which `trading settle --carry` names who carries a session."""


class Where(TypedDict):
    """Hold what names one session of one book in the journal."""

    book: str
    lane: str
    session: date


@dataclass(frozen=True, kw_only=True)
class BookGraph:
    """Hold what the stages of one book are built from; `lane` says whose money moves."""

    config: BookConfig
    calendar: Calendar
    sessions: dg.TimeWindowPartitionsDefinition
    lane: str

    @property
    def name(self) -> str:
        """Return the book's name: the prefix of its asset keys."""
        return self.config.name

    @property
    def replay_names(self) -> dg.DynamicPartitionsDefinition:
        """Return the partitions of replays: one a name, added when somebody asks for it."""
        return dg.DynamicPartitionsDefinition(name=f"{self.config.name}__replays")

    @property
    def sweep_names(self) -> dg.DynamicPartitionsDefinition:
        """Return the partitions of sweeps: one a name, added when somebody asks for it."""
        return dg.DynamicPartitionsDefinition(name=f"{self.config.name}__sweeps")

    @property
    def week_names(self) -> dg.DynamicPartitionsDefinition:
        """Return the partitions of weeks, as `2013-W09`: each added when it is over."""
        return dg.DynamicPartitionsDefinition(name=f"{self.config.name}__weeks")

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of one of the book's assets."""
        return dg.AssetKey([self.config.name, asset])

    def session_before(self, session: date) -> date | None:
        """Return the session before one, `None` where the book's data starts with it."""
        earlier = self.calendar.before(session, 1)
        return earlier[0] if earlier and earlier[0] >= self.config.first_session else None

    def watched_since(self, session: date) -> date:
        """Return the first session whose ended orders are still compared with the broker's."""
        return (*self.calendar.before(session, WATCHED_SESSIONS), session)[0]

    def next_open(self, session: date) -> datetime | None:
        """Return when the session after one opens, `None` where the calendar ends with it."""
        later = self.calendar.between(session, self.calendar.sessions[-1])[1:2]
        return self.calendar.opens_at(later[0]) if later else None

    def where(self, session: date) -> Where:
        """Return what names a session of the book in the journal."""
        return Where(book=self.config.name, lane=self.lane, session=session)

    def rows_of(self, asset: str, **arguments: Any) -> dg.AssetIn:
        """Return an input that gives an asset's rows: a tuple, or a dict by session for several."""
        return dg.AssetIn(key=self.key(asset), **arguments)

    def hydrated(self) -> dict[str, dg.AssetIn]:
        """Return the input that gives how a session's inputs came, `None` where that was not kept yet."""
        return {"input_envelopes": self.rows_of("input_envelopes", metadata={"optional": True})}

    def earlier_quotes(self) -> dg.AssetDep:
        """Return the only edge from quotes to a decision: the session before, never its own."""
        return dg.AssetDep(
            self.key("market_quotes"),
            partition_mapping=dg.TimeWindowPartitionMapping(
                start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
            ),
        )

    def asset_arguments(self, name: str, *, group: str, kinds: set[str] | None = None) -> dict[str, Any]:
        """Return what each asset of the book is declared with."""
        return {
            "key": self.key(name),
            "partitions_def": self.sessions,
            "group_name": group,
            "owners": OWNERS,
            "kinds": {"parquet"} | (kinds or set()),
            "pool": None,
        }


def session_of(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> date:
    """Return the session that a run is for."""
    return date.fromisoformat(context.partition_key)


@contextmanager
def refusals_kept(
    journal: Journal, graph: BookGraph, session: date, stage: str, *, clock: Callable[[], datetime]
) -> Iterator[None]:
    """Store a refusal of a stage in the journal and end the step with its one line, retries off.

    A stage that passes clears the refusal that it left before. Either way one line is logged, and every
    line logged meanwhile carries book, session, stage and run; and how long it took is kept, unless the
    clock stood still, as a simulated one does.
    """
    where = graph.where(session)
    now = clock()
    run_id = dg.AssetExecutionContext.get().run.run_id
    ids = {"book": graph.name, "session": str(session), "stage": stage, "run_id": run_id}
    with structlog.contextvars.bound_contextvars(**ids):
        log = structlog.get_logger(part="graph")
        try:
            yield
        except TradingError as error:
            # Book and session are said of a stage by all who tell of it: once is enough.
            why = str(error).removeprefix(f"{graph.name} {session}: ")
            log.warning("stage_refused", refused_by=type(error).__name__, reason=why)
            # Of a journal that is not the one of its log, nothing more is made.
            if not isinstance(error, JournalUnavailable | JournalBehindLog):
                journal.record_refusal(**where, stage=stage, reason=_storable(why), now=now)
                _keep_run(journal, where, StageRun(stage, run_id, now, clock(), passed=False))
            raise dg.Failure(
                description=f"{graph.name} {session} {stage}: {why}",
                metadata={REFUSED_BY: type(error).__name__},
                allow_retries=False,
            ) from error
        journal.clear_refusal(**where, stage=stage, now=now)
        _keep_run(journal, where, StageRun(stage, run_id, now, clock(), passed=True))
        log.info("stage_passed")


def _storable(reason: str) -> str:
    """Return why a stage refused so that any journal keeps it: no NUL, no half character, not endless."""
    return reason.replace("\0", " ").encode(errors="replace").decode()[:REASON_CHARACTERS_MAX]


def _keep_run(journal: Journal, where: Where, run: StageRun) -> None:
    """Store how long a stage took; one that passed has passed, also where that cannot be stored."""
    if run.ended_at <= run.began_at:
        return
    try:
        journal.record_stage_run(**where, run=run)
    except TradingError as error:
        structlog.get_logger(part="graph").warning("stage_not_timed", reason=str(error))


def opening_in_journal(journal: Journal, graph: BookGraph, session: date, *, now: datetime) -> Book:
    """Return the book before a session as the journal has it; opens the book where it has no session yet.

    Raises `OutOfOrder` unless the session before is settled.
    """
    return journal.opening_book(
        **graph.where(session),
        previous=graph.session_before(session),
        opened=opened_book(currency=graph.config.currency, deposit_micros=graph.config.deposit_micros),
        now=now,
    )


def table_of(rows: Sequence[Mapping[str, Any]], *, limit: int = 50) -> dg.TableMetadataValue:
    """Return rows as a table that renders inline in the UI, at most `limit` of them."""
    shown = [{name: _cell(value) for name, value in row.items()} for row in rows[:limit]]
    columns = list(shown[0]) if shown else ["nothing"]
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in shown],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name, type="string") for name in columns]),
    )


def file_row(path: Path) -> ReportFile:
    """Return a report's file as a row; its path starts at the book: the row is the same on every machine."""
    place = "/".join(path.parts[-3:])
    return ReportFile(kind=path.suffix[1:], path=place, sha=hashlib.sha256(path.read_bytes()).hexdigest())


def column_schema(row_type: type) -> dg.TableSchema:
    """Return the columns of a row type for the UI: type, whether it may be empty, what its ending means."""
    return dg.TableSchema(columns=[_column(name, hint) for name, hint in get_type_hints(row_type).items()])


def _cell(value: Any) -> str | int | float | bool:
    return value if type(value) in {str, int, float, bool} else str(value)


def _column(name: str, hint: Any) -> dg.TableColumn:
    options = [option for option in get_args(hint) if option is not NoneType]
    plain = options[0] if len(options) == 1 else hint
    plain = getattr(plain, "__supertype__", plain)
    choices = [str(choice) for choice in plain] if issubclass(plain, StrEnum) else []
    return dg.TableColumn(
        name=name,
        type="string" if issubclass(plain, str) else COLUMN_TYPES.get(plain, plain.__name__),
        description=f"one of: {', '.join(choices)}" if choices else _meaning(name),
        constraints=dg.TableColumnConstraints(nullable=len(options) == 1),
    )


def _meaning(name: str) -> str | None:
    return next((meaning for ending, meaning in ENDINGS.items() if name.endswith(ending)), None)
