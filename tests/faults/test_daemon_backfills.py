"""The desk as it is meant to be used: web server and daemon up, sessions launched over GraphQL.

One morning at the server, then what it left: in order, out of order, again, as assets, halted, by approval.
Rules of order that need no server are tests/graph.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.event_api import PartitionKeyFilter

from console.actions import Answer, answer_intent, confirmation_of, halt, resume, shown
from console.launcher import Launched, Launcher
from jobs.session_jobs import SESSION
from tests.graph.desk import CALENDAR, CONFIG, WINDOW, settings_in
from tests.served import DONE, Served, served, until
from trading.clock import Phase
from trading.gates import GATE_NAMES
from trading.journal import JournalIntent, SessionRecord
from trading.lifecycle import IntentState
from trading.testing import NoAuditLog

pytestmark = pytest.mark.timeout(2400)  # a day at a server is spent before the first of these tests

BOOK, LANE = "us_five", "simulated"
FIRST = [str(day) for day in CALENDAR.between(date(2013, 2, 4), date(2013, 2, 6))]
LATER = [str(day) for day in CALENDAR.between(date(2013, 2, 7), date(2013, 2, 8))]
QUOTES_FROM = CALENDAR.before(date.fromisoformat(FIRST[0]), WINDOW)[0]
SHUFFLED = [LATER[1], LATER[0]]
AGAIN = [FIRST[1]]
CHECKS_OF_DECISIONS = (*GATE_NAMES, "no_intent_is_blocked")
ASSETS = ("corporate_actions", *SESSION)


@dataclass
class Morning:
    """Hold what was launched in one morning, and how it came out."""

    launcher: Launcher
    held: dict[str, str] = field(default_factory=dict)
    sent_while_held: int = 0
    approved: tuple[str, ...] = ()
    launched: Launched | None = None
    sent_after_approval: tuple[str, ...] = ()
    shuffled: dict[str, dict[str, str]] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    files_of_first: dict[str, str] = field(default_factory=dict)
    orders_of_first: list[tuple[str, str]] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    files_after_again: dict[str, str] = field(default_factory=dict)
    as_assets: dict[str, str] = field(default_factory=dict)

    def record(self, session: str) -> SessionRecord | None:
        return self.launcher.profiled.journal.session_record(
            book=BOOK, lane=LANE, session=date.fromisoformat(session)
        )

    def intents(self, session: str) -> tuple[JournalIntent, ...]:
        return self.launcher.profiled.journal.intents(
            book=BOOK, lane=LANE, session=date.fromisoformat(session)
        )

    def settled(self) -> list[str]:
        found = [(session, self.record(session)) for session in (*FIRST, *LATER)]
        return [session for session, record in found if record and record.settled_at]

    def orders(self) -> list[tuple[str, str]]:
        """Give client order id and symbol of every order in the paper broker's ledger, in its order."""
        account = self.launcher.profiled.books[BOOK].account
        file = self.launcher.settings.profile_dir / "paper" / f"{account}.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return connection.execute("select client_order_id, symbol from orders order by seq").fetchall()

    def files(self) -> dict[str, str]:
        """Give the digest of every table of the first sessions, by place."""
        root = Path(self.launcher.settings.lake_root) / BOOK
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for session in FIRST
            for path in sorted(root.glob(f"*/{session}/*.parquet"))
        }


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Morning]:
    """Spend a morning at the server: an order waits for a person, sessions run, then all that is odd."""
    folder = tmp_path_factory.mktemp("morning")
    config = with_small_approvals(folder / "config")
    state = folder / "state"
    settings = settings_in(state, config_dir=config, books_file=config / "books.toml")
    launcher = Launcher(settings, progress=lambda _: None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="module 'sre_", category=DeprecationWarning)
        launcher.import_quotes(
            BOOK, first=QUOTES_FROM, through=date.fromisoformat(LATER[-1]), progress=lambda _: None
        )
    decided = launcher.run_job(BOOK, "decide", date.fromisoformat(FIRST[0]))
    assert decided.success, decided
    it = Morning(launcher)
    with served(state, config_dir=config) as desk:
        approve_while_halted(it, desk)
        run_what_is_out_of_order(it, desk)
        run_the_first_then_all_that_is_odd(it, desk)
    yield it
    launcher.instance.dispose()
    launcher.profiled.journal.close()


def with_small_approvals(config: Path) -> Path:
    """Make a configuration in which some buys wait for a person and some do not."""
    shutil.copytree(CONFIG, config)
    limits = config / "limits.toml"
    text = limits.read_text("utf-8")
    changed = text.replace("[us_five]\n", '[us_five]\nauto_approve_notional = "59800"\n')
    assert changed != text
    limits.write_text(changed, "utf-8")
    return config


def approve_while_halted(it: Morning, desk: Served) -> None:
    """Halt, approve what waits, ask for executions alone; resume, and execute as the console does."""
    journal = it.launcher.profiled.journal
    now = it.launcher.profiled.clocks[BOOK].now(date.fromisoformat(FIRST[0]), Phase.EXECUTE)
    halt(journal, actor="tester", reason="rehearsal", now=now)
    waiting = [row for row in it.intents(FIRST[0]) if row.state is IntentState.PENDING_APPROVAL]
    for row in waiting:
        answer_intent(
            journal, row.intent_id, Answer.APPROVE, seen=shown(row), actor="tester", reason="looked", now=now
        )
    it.approved = tuple(row.intent_id for row in waiting)
    alone = desk.launch("us_five__execute", FIRST[0], assets=["executions"])
    until("executions alone", lambda: desk.status(alone) in DONE)
    it.held, it.sent_while_held = desk.why(alone), len(it.orders())
    resume(
        journal,
        audit=NoAuditLog(),
        confirmed=confirmation_of(journal.run_control()),
        actor="tester",
        reason="rehearsed",
        now=now,
    )
    it.launched = it.launcher.launch_execute(BOOK, date.fromisoformat(FIRST[0]))
    until("the approved order", lambda: desk.status(it.launched.run_id) in DONE)
    it.sent_after_approval = tuple(order for order, _ in it.orders())


def run_what_is_out_of_order(it: Morning, desk: Served) -> None:
    """Launch later sessions one by one, shuffled, before their turn; behind them a backfill of the first."""
    runs = {session: desk.launch("us_five__session", session) for session in SHUFFLED}
    it.first = [desk.backfill_job("us_five__session", FIRST)]
    for session, run in runs.items():
        until(f"{session} out of order", lambda run=run: desk.status(run) in DONE)
        it.shuffled[session] = desk.why(run)


def run_the_first_then_all_that_is_odd(it: Morning, desk: Served) -> None:
    """Wait for the first; one of them again, and all assets of two sessions that are not decided yet."""
    (first,) = it.first
    runs = until("their runs", lambda: len(found := desk.runs_of(first)) == len(FIRST) and found)
    again = desk.backfill_job("us_five__session", AGAIN)
    assets = desk.backfill_assets(BOOK, ASSETS, LATER)
    until("the first sessions", lambda: set(desk.runs_of(first).values()) <= DONE)
    it.first = list(desk.runs_of(first).values())
    it.files_of_first, it.orders_of_first = it.files(), it.orders()
    assert set(runs) == set(desk.runs_of(first))
    until(
        "one again",
        lambda: len(f := desk.runs_of(again)) == len(AGAIN) and set(f.values()) <= DONE,
    )
    it.again, it.files_after_again = list(desk.runs_of(again).values()), it.files()
    # Its first round opens books, or refuses to; all that follows reads those, half a minute later.
    until(
        "the first round",
        lambda: len(f := desk.runs_of(assets)) > len(LATER) and set(f.values()) <= DONE,
    )
    desk.cancel(assets)
    for run in desk.runs_of(assets):
        it.as_assets |= desk.why(run)


def test_executions_asked_for_alone_while_halted_send_nothing_and_say_why(morning):
    assert morning.approved
    assert set(morning.held) == {"us_five__executions"}
    assert "trading_is_running" in morning.held["us_five__executions"]
    assert "nothing was sent" in morning.held["us_five__executions"]
    assert morning.sent_while_held == 0


def test_an_approval_starts_its_execution_through_the_server_and_each_order_is_there_once(morning):
    assert morning.launched.how == "graphql"
    assert len(morning.sent_after_approval) == len(morning.approved)


def test_sessions_launched_out_of_order_are_refused_and_say_what_has_to_come_first(morning):
    for session, told in morning.shuffled.items():
        assert set(told) >= {"us_five__opening_book"}, session
        assert session in told["us_five__opening_book"]
        assert "run it first" in told["us_five__opening_book"]


def test_sessions_launched_at_once_are_each_decided_on_the_book_that_the_one_before_left(morning):
    records = [morning.record(session) for session in FIRST]

    assert morning.first == ["SUCCESS"] * len(FIRST)
    assert all(record.settled_at and record.decided_at for record in records)
    assert [record.opening_sha for record in records[1:]] == [record.closing_sha for record in records[:-1]]
    assert len({record.closing_sha for record in records}) > 1


def test_every_stage_of_each_is_there_with_its_checks(morning):
    instance = morning.launcher.instance
    for asset in SESSION:
        missing = set(FIRST) - instance.get_materialized_partitions(dg.AssetKey([BOOK, asset]))
        assert not missing, asset
    for name in CHECKS_OF_DECISIONS:
        key = dg.AssetCheckKey(dg.AssetKey([BOOK, "decisions"]), name)
        for session in FIRST:
            latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(
                [key], partition_filter=PartitionKeyFilter(key=session)
            )
            assert latest[key].event is not None, f"{name} {session}"


def test_no_order_of_theirs_is_sent_twice_and_what_nobody_approved_expires(morning):
    intents = [row for session in FIRST for row in morning.intents(session)]
    sent = [order for order, _ in morning.orders_of_first]
    executed = [row for row in intents if row.state is IntentState.EXECUTED]

    assert len(sent) == len(set(sent)) == len(executed) > 1
    assert any(row.state is IntentState.EXPIRED for row in intents)
    assert all(not row.state.is_open for row in intents)


def test_sessions_launched_again_are_the_same_bytes_and_send_nothing(morning):
    assert morning.again == ["SUCCESS"] * len(AGAIN)
    assert morning.files_after_again == morning.files_of_first
    assert len(morning.files_of_first) >= len(FIRST) * len(SESSION)
    assert morning.orders() == morning.orders_of_first


def test_all_assets_of_later_sessions_at_once_open_one_book_and_refuse_the_rest(morning):
    first = morning.record(LATER[0])

    assert morning.settled() == FIRST
    assert first.opening_sha == morning.record(FIRST[-1]).closing_sha
    assert [morning.record(session).decided_at for session in LATER[1:] if morning.record(session)] == [
        None for session in LATER[1:] if morning.record(session)
    ]
    assert "run it first" in morning.as_assets["us_five__opening_book"]
