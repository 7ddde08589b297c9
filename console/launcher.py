"""Start runs of the graph: in this process, or through the web server where one is up.

The only module of the console that knows Dagster; verbs import it when they need it, since it takes a while.
Launching twice is harmless: what may execute is the journal's say, never the launcher's.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeLogManager
from sqlalchemy.exc import DatabaseError

from console.exit_codes import exit_code_named
from console.render import counted
from console.serving import address, dagster_home, launch_job, serving_port
from jobs.replay_job import REPLAY_TAG
from jobs.session_jobs import BOOK_TAG, job_name
from resources.advisors.comparing import Compared
from resources.clocks import system_now
from resources.keyboard import keyboard_held
from resources.logs import configure_logging
from resources.paper_broker.behaviour_file import check_behaviour
from resources.profiles import Profiled
from resources.settings import Profile, Settings, load_settings
from resources.sweeping import BookSweeper
from trading.advice import AdviceContext, AdviceGiven, Ladder
from trading.advisor_calls import Purpose
from trading.audit import AuditLog
from trading.clock import Phase
from trading.control import cooldown_refusal, state_of, transition
from trading.errors import (
    ApprovalRefused,
    BadInput,
    GateClosed,
    JournalError,
    RecordsUnavailable,
    Refused,
    TradingError,
)
from trading.flattening import FlattenPlan, confirmation_of, flatten_decisions
from trading.inputs import InputRow
from trading.intents import Intent
from trading.journal import JournalIntent, RunControlAction, is_finished
from trading.lifecycle import NOT_BEGUN, Refusal
from trading.replay import Asked, config_of, request_of, sessions_of
from trading.replaying import replay_sha_of
from trading.sweeping import AskedSweep, variants_asked
from trading.values import MICROS, OrderType, Side, Slot, Symbol, TimeInForce, amount_from_micros
from trading_assets.definitions import definitions_of, graph_of
from trading_assets.executor import Ports, Reconciled, flatten_plan, reconcile_book, tell_people
from trading_assets.hydration import origin_reads
from trading_assets.stage import CARRIED_BY_TAG, REFUSED_BY
from trading_assets.tables import OF_SESSIONS

DEMO_SESSIONS = 20

RESOURCES = "resources"
"""Where a run failed that had no step: what it is to work with could not be made."""

SECONDS = "seconds, "
"""How metadata that tells seconds begins."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration that keeps a run's own log off the terminal; Dagster stores every event all the same."""

Progress = Callable[[str], None]


class RunResult(NamedTuple):
    """Hold how one run went; `stage` and `message` name the first failed step and why, empty on success.

    `refused` says that a gate before a stage was closed, and so nothing of it was begun; `refused_by` is the
    name of the error of ours that ended it, empty where none did.
    """

    session: date
    run_id: str
    success: bool
    stage: str
    message: str
    refused: bool = False
    refused_by: str = ""


class Carried(NamedTuple):
    """Hold how carrying a session went, and the intents that were cancelled for it, as they were before."""

    run: RunResult
    cancelled: tuple[JournalIntent, ...]


class Launched(NamedTuple):
    """Hold how a run was started: `graphql` (the web server runs it) or `process` (this one did)."""

    how: str
    run_id: str
    success: bool
    message: str


class ReplayRun(NamedTuple):
    """Hold how the run of a replay or a sweep went.

    `seconds` are what its parts took, empty where it did not end well; `refused_by` as a `RunResult` has it.
    """

    name: str
    run_id: str
    success: bool
    message: str
    seconds: dict[str, float]
    refused_by: str = ""


class Launcher:
    """Run jobs of one machine's settings."""

    def __init__(self, settings: Settings, progress: Progress | None = None) -> None:
        """Take the settings; what is costly is made when first needed. `progress` is told of alerts."""
        self.settings = settings
        self._progress = progress or _to_stderr
        self.profiled = Profiled(settings, assets=OF_SESSIONS)
        self._definitions: dict[str, dg.Definitions] = {}

    def definitions(self, book: str) -> dg.Definitions:
        """Return the graph of a book, made when first asked for."""
        if book not in self._definitions:
            self._definitions[book] = definitions_of(self.settings, only=book)
        return self._definitions[book]

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """Return Dagster's own storage, inside the profile's state folder."""
        instance = dg.DagsterInstance.from_config(str(dagster_home(self.settings)))
        _begin_out_of_reach(instance.compute_log_manager)
        return instance

    def run_sessions(
        self, book: str, sessions: Sequence[date], phases: Sequence[str], progress: Progress
    ) -> list[RunResult]:
        """Run sessions of a book in order, quotes of their windows imported first; stop at the first failure.

        `phases` are of `decide`, `execute`, `settle`; all three are one run of the session job.
        """
        self._require_sessions(book, sessions)
        check_behaviour(self.settings.paper_behaviour)
        # A wrong file, address or key of the advisor's is told here: a run would fail without a word.
        _ = self.profiled.advisor
        self.import_window(book, sessions[0], progress)
        results: list[RunResult] = []
        for number, session in enumerate(sessions, start=1):
            for what in _jobs_of(phases):
                progress(f"{book} {session} {what} ({number} of {len(sessions)})")
                results.append(self._cooling_down(book, what, session) or self.run_job(book, what, session))
                if not results[-1].success:
                    return results
        return results

    def _cooling_down(self, book: str, what: str, session: date) -> RunResult | None:
        """Return that a session is not decided since its account cools down; what was decided goes on."""
        if what not in {"session", Phase.DECIDE}:
            return None
        graph, journal = graph_of(self.profiled, book), self.profiled.journal
        record = journal.session_record(**graph.where(session))
        if record is not None and record.decided_at is not None:
            return None
        held = journal.cool_down(
            account=graph.config.account,
            lane=graph.lane,
            rules=graph.config.rules.cooldown,
            now=self.profiled.clocks[book].now(session, Phase.DECIDE),
        )
        if held is None:
            return None
        message = ": ".join(cooldown_refusal(held))
        return RunResult(session, "", False, Phase.DECIDE, message, refused=True, refused_by="GateClosed")

    def run_job(
        self, book: str, what: str, session: date, *, tags: dict[str, str] | None = None
    ) -> RunResult:
        """Run one job of a book for a session in this process."""
        job = self.definitions(book).resolve_job_def(job_name(book, what))
        result = self._execute(job, partition_key=session.isoformat(), tags={BOOK_TAG: book, **(tags or {})})
        step, message = _first_failure(result)
        stage = step.removeprefix(f"{book}__")
        # The line of a stage names book, session and stage; whoever shows a result says them beside it.
        message = message.removeprefix(f"{book} {session} {stage}: ")
        is_refused = not result.success and bool(_closed_checks(result))
        return RunResult(
            session, result.run_id, result.success, stage, message, is_refused, _refused_by(result)
        )

    def input_reads(self, book: str, session: date, *, connect: bool) -> list[tuple[InputRow, bool]]:
        """Return how each origin of each input of a session answers, and whether it was asked at all.

        Without `connect` nobody is asked over the network.
        """
        self._require_sessions(book, [session])
        profiled = self.profiled
        return origin_reads(
            graph_of(profiled, book),
            session,
            windows=profiled.windows,
            brokers=profiled.brokers_in({}),
            journal=profiled.journal,
            now=profiled.clocks[book].now(session, Phase.DECIDE),
            asks_broker=connect or self.settings.profile is Profile.SIMULATED,
        )

    def ask_advisor(self, book: str) -> AdviceGiven:
        """Put one question about an order that is made up to the advisor's model; nothing follows from it."""
        now = system_now()
        intent = Intent(
            book=book,
            strategy="smoke",
            strategy_version="1",
            session=now.date(),
            symbol=Symbol("EXAMPLE"),
            slot=Slot.REBALANCE,
            side=Side.BUY,
            quantity=1,
            price_micros=MICROS,
            currency=self.profiled.books[book].currency,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.OPG,
            rationale="a question without effect",
        )
        context = AdviceContext(
            book=book,
            lane=self.settings.profile.value,
            session=now.date(),
            cut_off=now,
            ladder=Ladder.SHADOW,
        )
        return self.profiled.advisor_for(Purpose.SMOKE).advise([intent], context=context)

    def compare_prompts(self, book: str, versions: Sequence[str], *, last: int) -> tuple[Compared, ...]:
        """Ask with each version of the prompt about a book's last sessions; nothing is decided or stored."""
        return self.profiled.compared_prompts(book, versions, last=last)

    def import_window(self, book: str, session: date, progress: Progress) -> int:
        """Import what a decision for a session reads and is missing; return how many sessions."""
        config, calendar = self.profiled.books[book], self.profiled.calendars[book]
        needed = [
            day
            for day in calendar.before(session, config.rules.window_sessions)
            if day >= config.first_session and not self._is_imported(book, day)
        ]
        return self._import(book, needed[0], needed[-1], progress) if needed else 0

    def import_quotes(
        self, book: str, *, first: date | None, through: date | None, progress: Progress
    ) -> int:
        """Import the quotes of a range of sessions; return how many.

        Without `first` it is the window that a decision after `through` reads.
        """
        config, calendar = self.profiled.books[book], self.profiled.calendars[book]
        last = through or config.last_session
        if first is None:
            window = calendar.before(last, config.rules.window_sessions)
            first = max(window[0] if window else last, config.first_session)
        self._require_sessions(book, [first, last])
        return self._import(book, first, last, progress)

    def launch_execute(self, book: str, session: date) -> Launched:
        """Start the execute job of a session at once: through the web server where one is up, else here."""
        port = serving_port(self.settings)
        why_here = ""
        if port is not None:
            tags = {BOOK_TAG: book, "dagster/partition": session.isoformat()}
            try:
                run_id = launch_job(port, job_name(book, "execute"), tags)
                return Launched("graphql", run_id, success=True, message=f"{address(port)}/runs/{run_id}")
            except (OSError, TradingError) as error:
                # Here then. Had the server taken it after all, both would run, and the journal sends once.
                why_here = f" (the web server did not take it: {error})"
        result = self.run_job(book, "execute", session)
        failed_at = f"{result.stage}: " if result.stage else ""
        message = f"{failed_at}{result.message}{why_here}"
        return Launched("process", result.run_id, success=result.success, message=message)

    @cached_property
    def _audit_log_read_whole(self) -> AuditLog:
        """Return the audit log, all of it read once: two minutes of a processor for a million lines."""
        return self.profiled.audit_log.read_whole(self._progress)

    def reconcile_on_whole_log(self, book: str, session: date) -> Reconciled:
        """Do as `reconcile`, after all of the audit log was read; who executes reads what is not signed yet.

        It is read before the executor's lock is taken, and once however many books are asked about.
        """
        return self.reconcile(book, session, audit=self._audit_log_read_whole)

    def reconcile(self, book: str, session: date, *, audit: AuditLog | None = None) -> Reconciled:
        """Bring journal and broker of a book together in this process, sending nothing; people are told.

        `audit` is how the log is looked at: from its last signed checkpoint, unless told otherwise. Raises
        `ExecutorBusy` while another process executes for the account.
        """
        profiled = self.profiled
        configure_logging(self.settings.log_file, level=self.settings.log_level)
        graph = graph_of(profiled, book)
        ports = self._ports(book)
        if audit is not None:
            ports = replace(ports, audit=audit)
        done = reconcile_book(graph, session, ports, holder=f"reconcile {os.getpid()}")
        try:
            profiled.audit_log.project()
        except JournalError:
            # A log that halted this very run is told by it, and with what it halted.
            if not done.outcomes.halted:
                raise
        with contextlib.redirect_stdout(_Told(self._progress)):
            tell_people(
                graph,
                session,
                done.outcomes,
                journal=profiled.journal,
                policy=profiled.alert_policy,
                keeper=profiled.alert_keeper,
                notifier=profiled.notifier,
                now=profiled.clocks[book].now(session, Phase.EXECUTE),
                not_compared=done.not_compared,
            )
        return done

    def preview_flatten(self, book: str, session: date, *, actor: str) -> FlattenPlan:
        """Return what selling all that a book holds would be, and store that it was shown; sends nothing.

        Journal and broker are brought together first, so that what a halt cancelled is no more on its way.
        Raises `GateClosed` unless trading is halted, or where the broker could not be asked.
        """
        journal = self.profiled.journal
        refused = transition(state_of(journal.run_control()), RunControlAction.FLATTEN)
        if isinstance(refused, Refusal):
            raise GateClosed(f"flatten: {refused.code}: {refused.message}")
        done = self.reconcile(book, session)
        if done.outcomes.halted:
            raise GateClosed(f"flatten: what is held is not known: {done.outcomes.halted}")
        plan = flatten_plan(
            graph_of(self.profiled, book), session, self._ports(book), live=self.profiled.live_quotes[book]
        )
        journal.preview_flatten(
            command_id=plan.command_id,
            book=book,
            lane=plan.lane,
            account=plan.account,
            session=session,
            plan=plan.text(),
            actor=actor,
            now=self.profiled.clocks[book].now(session, Phase.EXECUTE),
        )
        return plan

    def order_flatten(
        self, book: str, session: date, *, confirmed: str, actor: str, reason: str
    ) -> tuple[FlattenPlan, RunResult]:
        """Order the flatten that `confirmed` names and send it at once.

        What was decided and never sent is cancelled first. Raises `ApprovalRefused` where what is held is not
        what was shown under that word.
        """
        journal = self.profiled.journal
        plan = self.preview_flatten(book, session, actor=actor)
        if confirmation_of(plan) != confirmed:
            raise ApprovalRefused(
                f"--confirm {confirmed}: names another flatten than would be sent now; "
                "run `trading flatten` again and read what it says"
            )
        now = self.profiled.clocks[book].now(session, Phase.EXECUTE)
        for row in journal.open_intents(account=plan.account, lane=plan.lane):
            if row.state in NOT_BEGUN and row.intent.slot is not Slot.FLATTEN:
                journal.cancel(
                    row.intent_id, version=row.version, actor=actor, reason=f"flatten: {reason}", now=now
                )
        if plan.sold:
            decisions = flatten_decisions(
                plan,
                actor=actor,
                reason=reason,
                limits_sha=self.profiled.books[book].rules.limits.on(session).sha(),
                not_after=self.profiled.calendars[book].closes_at(session),
                now=now,
            )
            journal.order_flatten(
                command_id=plan.command_id,
                decisions=decisions,
                verdicts=(),
                actor=actor,
                reason=reason,
                now=now,
            )
        return plan, self.run_job(book, "flatten", session)

    def settle_carried(self, book: str, session: date, *, actor: str, reason: str) -> Carried:
        """Settle a session by a person's word: nothing of it executes, the book is carried over.

        What was not begun is cancelled first. Where the session cannot be settled all the same, since an
        order may be out, the message says what was.
        """
        if not actor or not reason:
            raise BadInput("settle --carry: needs a named person and a reason")
        journal = self.profiled.journal
        lane = self.settings.profile.value
        now = self.profiled.clocks[book].now(session, Phase.SETTLE)
        if journal.session_record(book=book, lane=lane, session=session) is None:
            raise Refused(
                f"{book} {session}: nothing was started in this session; run it, or an earlier one, first"
            )
        rows = journal.intents(book=book, lane=lane, session=session)
        cancelled = tuple(row for row in rows if row.state in NOT_BEGUN)
        for row in cancelled:
            journal.cancel(row.intent_id, version=row.version, actor=actor, reason=reason, now=now)
        run = self.run_job(book, "carry", session, tags={CARRIED_BY_TAG: f"{actor}: {reason}"})
        if run.success or not cancelled:
            return Carried(run, cancelled)
        named = ", ".join(f"{row.intent.symbol} {row.intent_id}" for row in cancelled)
        message = f"{run.message}; what was never sent is cancelled all the same: {named}"
        return Carried(run._replace(message=message), cancelled)

    def replay(self, book: str, name: str, asked: Asked) -> ReplayRun:
        """Replay a range of a book in this process, under a name or one that tells what it is.

        Raises `BadInput` before anything runs for what cannot be replayed, or a name that is taken.
        """
        config = self.profiled.books[book]
        request = request_of(asked, config, name=name)
        sessions_of(request, config, self.profiled.calendars[book])
        config_of(request, config)
        self.profiled.replay_stores[book].refuse_taken(request)
        graph = graph_of(self.profiled, book)
        self.instance.add_dynamic_partitions(str(graph.replay_names.name), [request.name])
        job = self.definitions(book).resolve_job_def(job_name(book, "replay"))
        result = self._execute(
            job,
            partition_key=request.name,
            tags={REPLAY_TAG: request.name},
            run_config={"ops": {f"{book}__replays": {"config": _replay_config(asked)}}},
        )
        _, message = _first_failure(result)
        return ReplayRun(
            request.name,
            result.run_id,
            result.success,
            message,
            _seconds_told(result),
            _refused_by(result),
        )

    def sweep(self, book: str, name: str, asked: AskedSweep, *, workers: int) -> ReplayRun:
        """Sweep variants of a book in this process, under a name; 0 workers mean all cores.

        Raises `BadInput` before anything runs for what cannot be varied, or a name that is another sweep's.
        """
        variants = variants_asked(asked, self.profiled.books[book])
        BookSweeper(self.profiled, book).begin(name, asked, done=0, of=len(variants))
        graph = graph_of(self.profiled, book)
        self.instance.add_dynamic_partitions(str(graph.sweep_names.name), [name])
        result = self._execute(
            self.definitions(book).resolve_job_def(job_name(book, "sweep")),
            partition_key=name,
            tags={REPLAY_TAG: name},
            run_config={"ops": {f"{book}__sweeps": {"config": {**asked.payload(), "workers": workers}}}},
        )
        _, message = _first_failure(result)
        return ReplayRun(name, result.run_id, result.success, message, {}, _refused_by(result))

    def is_replayed(self, book: str, asked: Asked) -> bool:
        """Say whether a replay of just this, by the rules and data that there are now, is kept whole."""
        request = request_of(asked, self.profiled.books[book], name="")
        pointer = self.profiled.lake.pointer((book, "replays"), request.name)
        if pointer is None:
            return False
        config, calendar = config_of(request, self.profiled.books[book]), self.profiled.calendars[book]
        sessions = sessions_of(request, config, calendar)
        data = self.profiled.data_sets[book].data_set(sessions[0], sessions[-1])
        code_sha = self.profiled.replay_stores[book].code_sha
        return pointer.inputs_sha == replay_sha_of(config, request, data=data, code_sha=code_sha)

    def run_demo(self, progress: Progress) -> list[RunResult]:
        """Run the last 20 sessions of `us_five` whole, decide and execute today's of `us_wide`, replay years.

        What is done already is left alone, so that a second call changes nothing. Today's session of
        `us_wide` stays open: a person may approve what waits. The replay is of all the data of `us_five`.
        """
        lane = self.settings.profile.value
        journal = self.profiled.journal
        results: list[RunResult] = []
        for book, count, phases in (
            ("us_five", DEMO_SESSIONS, ALL_PHASES),
            ("us_wide", 1, ("decide", "execute")),
        ):
            config, calendar = self.profiled.books[book], self.profiled.calendars[book]
            sessions = calendar.between(config.first_session, config.last_session)[-count:]
            wanted = []
            for session in sessions:
                record = journal.session_record(book=book, lane=lane, session=session)
                done = record is not None and (
                    record.settled_at if phases == ALL_PHASES else record.decided_at
                )
                if not done:
                    wanted.append(session)
            if not wanted:
                progress(f"{book}: done already: {counted(len(sessions), 'session')}")
                continue
            results += self.run_sessions(book, wanted, phases, progress)
        return [*results, *self._demo_replay("us_five", progress)]

    def _demo_replay(self, book: str, progress: Progress) -> list[RunResult]:
        """Replay all the data of a book, unless that is kept already."""
        if self.is_replayed(book, Asked()):
            progress(f"{book}: all its data is replayed already")
            return []
        run = self.replay(book, "", Asked())
        progress(f"{book} replay {run.name}: {sum(run.seconds.values()):.1f} seconds beside Dagster's")
        return [
            RunResult(self.profiled.books[book].last_session, run.run_id, run.success, "replays", run.message)
        ]

    def _ports(self, book: str) -> Ports:
        """Return what bringing a book's journal and broker together works with."""
        profiled = self.profiled
        return Ports(
            journal=profiled.journal,
            broker=profiled.brokers_in({})[book],
            lock=profiled.executor_locks[book],
            audit=profiled.audit_log,
            clock=profiled.clocks[book],
            accepted=profiled.accepted_quotes[book],
            history=profiled.book_history[book],
            actions=profiled.action_history[book],
        )

    def _import(self, book: str, first: date, last: date, progress: Progress) -> int:
        count = len(self.profiled.calendars[book].between(first, last))
        progress(f"{book} import quotes of {counted(count, 'session')}, {first} to {last}")
        job = self.definitions(book).resolve_job_def(job_name(book, "import_quotes"))
        result = self._execute(
            job,
            tags={
                BOOK_TAG: book,
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )
        if not result.success:
            stage, message = _first_failure(result)
            raise TradingError(f"{book} import of {first} to {last}, {stage}: {message}")
        accepted, quarantined = (
            self._rows_stored(book, name, first, last) for name in ("market_quotes", "quarantined_quotes")
        )
        progress(f"{book} {accepted:,} rows accepted, {quarantined:,} quarantined")
        return count

    def _rows_stored(self, book: str, asset: str, first: date, last: date) -> int:
        days = self.profiled.calendars[book].between(first, last)
        return sum(self.profiled.lake.require((book, asset), day.isoformat()).rows for day in days)

    def _execute(
        self, job: dg.JobDefinition, *, run_config: Mapping[str, Any] | None = None, **of_run: Any
    ) -> dg.ExecuteInProcessResult:
        """Run a job here; raises `RecordsUnavailable` where Dagster cannot keep its records of it.

        A run that the keyboard ended raises `KeyboardInterrupt`, as anything else it ends does.
        """
        try:
            with contextlib.redirect_stdout(_Told(self._progress)):
                result = job.execute_in_process(
                    instance=self.instance,
                    raise_on_error=False,
                    run_config={**QUIET, **(run_config or {})},
                    **of_run,
                )
        except (DatabaseError, OSError) as error:
            raise RecordsUnavailable(
                f"Dagster's records below {self.settings.profile_dir / 'dagster'}: "
                f"{str(error).splitlines()[0]}; make room and make it writable (or set TRADING_STATE_DIR), "
                "or move the damaged folder away: it holds the history of runs alone, "
                "the journal and the lake stay"
            ) from error
        if any(_is_interrupt(event) for event in result.all_events):
            raise KeyboardInterrupt
        return result

    def _is_imported(self, book: str, session: date) -> bool:
        return self.profiled.lake.pointer((book, "market_quotes"), session.isoformat()) is not None

    def _is_finished(self, book: str, session: date) -> bool:
        record = self.profiled.journal.session_record(
            book=book, lane=self.settings.profile.value, session=session
        )
        report = self.profiled.lake.pointer((book, "daily_report"), session.isoformat())
        return is_finished(record, has_report=report is not None)

    def _require_sessions(self, book: str, sessions: Sequence[date]) -> None:
        config, calendar = self.profiled.books[book], self.profiled.calendars[book]
        for session in sessions:
            calendar.require(session)
            if not config.first_session <= session <= config.last_session:
                raise BadInput(
                    f"{book} {session}: the data covers {config.first_session} to {config.last_session}"
                )


ALL_PHASES = ("decide", "execute", "settle")


def open_launcher() -> Launcher:
    """Return the launcher of this machine's settings; raises `BadSetting` where one is wrong."""
    return Launcher(load_settings())


def _begin_out_of_reach(manager: ComputeLogManager) -> None:
    """Let what Dagster starts to copy a run's output to the terminal begin out of the keyboard's reach.

    It ends with the run. An interrupt would reach it too, and the watcher among it would print a trace.
    """
    capture = manager.capture_logs

    @contextlib.contextmanager
    def capture_held(log_key: Sequence[str]) -> Generator[CapturedLogContext, None, None]:
        with contextlib.ExitStack() as captured:
            with keyboard_held():
                context = captured.enter_context(capture(log_key))
            yield context

    manager.capture_logs = capture_held  # type: ignore[method-assign] # of this instance alone


def _jobs_of(phases: Sequence[str]) -> tuple[str, ...]:
    unknown = [phase for phase in phases if phase not in ALL_PHASES]
    if unknown:
        raise BadInput(f"phase {unknown[0]!r}: known are {', '.join(ALL_PHASES)}")
    return ("session",) if tuple(phases) == ALL_PHASES else tuple(phases)


def _first_failure(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """Return the step that failed first and its one line, empty strings on success.

    Of a blocking check it is what the check found, not that one failed. A run whose resources could not be
    made, as by a setting that is wrong, has no step: it is told as `RESOURCES`.
    """
    for event in result.all_events:
        if event.is_step_failure:
            return str(event.step_key), _closed_checks(result) or _one_line(event)
    _, message = _unmade(result)
    return (RESOURCES, message) if message else ("", "")


def _unmade(result: dg.ExecuteInProcessResult) -> tuple[str, str]:
    """Return by which error's name, and why, a run's resources were not made; empty where they were."""
    for event in result.all_events:
        if event.event_type is dg.DagsterEventType.RESOURCE_INIT_FAILURE:
            error = event.engine_event_data.error
            if error is None:
                return "", "failed"
            # The first line begins with the class, as a traceback's last one does.
            line = error.message.strip().splitlines()[0]
            name = error.cls_name or ""
            return name, line.partition(f"{name}: ")[2] or line
    return "", ""


def _refused_by(result: dg.ExecuteInProcessResult) -> str:
    """Return the name of the error with which the first failed step or a resource refused; empty without."""
    for event in result.all_events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            kept = told.metadata.get(REFUSED_BY) if told is not None else None
            return "" if kept is None else str(kept.value)
    name, _ = _unmade(result)
    return name


def _replay_config(asked: Asked) -> dict[str, Any]:
    """Return what is asked of a replay as its asset's configuration."""
    told: dict[str, Any] = {
        "first_session": str(asked.first_session or ""),
        "last_session": str(asked.last_session or ""),
        "strategies": list(asked.strategies),
        "deposit": "" if asked.deposit_micros is None else str(amount_from_micros(asked.deposit_micros)),
        "approve": asked.approve,
        "light": asked.light,
    }
    costs = ("slippage_bps", "commission_bps", "participation_bps")
    return told | {name: cost for name in costs if (cost := getattr(asked, name)) is not None}


def _seconds_told(result: dg.ExecuteInProcessResult) -> dict[str, float]:
    """Return the seconds that a materialization of a run tells, by what took them."""
    told: dict[str, float] = {}
    for event in result.all_events:
        if event.is_step_materialization:
            metadata = event.step_materialization_data.materialization.metadata
            told |= {
                name.removeprefix(SECONDS): float(str(value.value))
                for name, value in metadata.items()
                if name.startswith(SECONDS)
            }
    return told


def _is_interrupt(event: dg.DagsterEvent) -> bool:
    error = event.step_failure_data.error if event.is_step_failure else None
    return error is not None and error.cls_name == "DagsterExecutionInterruptedError"


def _closed_checks(result: dg.ExecuteInProcessResult) -> str:
    """Return the blocking checks that failed in a run, each with its detail; empty where none did."""
    evaluations = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return "; ".join(
        f"{evaluation.check_name}: {evaluation.metadata['detail'].value}"
        for evaluation in evaluations
        if not evaluation.passed and evaluation.blocking and "detail" in evaluation.metadata
    )


def _one_line(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    if data.error is None:
        return "failed"
    cause = data.error.cause or data.error
    line, name = cause.message.strip().splitlines()[0], cause.cls_name or ""
    # An error of ours says all there is to know; of another one its class is half of it.
    return (line.partition(f"{name}: ")[2] or line) if exit_code_named(name) else line


def _to_stderr(message: str) -> None:
    sys.stderr.write(message + "\n")


class _Told(io.TextIOBase):
    """Take what runs print: an alert becomes one line of progress, anything else goes to stderr.

    A verb's standard output is its answer alone.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._line = ""

    def write(self, text: str) -> int:
        """Take text, line by line."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def _tell(self, line: str) -> None:
        try:
            self._progress(f"alert {json.loads(line)['subject']}")
        except (ValueError, KeyError, TypeError):
            sys.stderr.write(line + "\n")
