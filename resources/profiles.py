"""The table of resources: which adapter stands behind each port, by profile. Nothing opens before it is used.

Only the two roots call this: trading_assets/definitions.py for the graph, console/launcher.py for the
operator. What reaches a broker is resources/profile_brokers.py, with which a halt begins without all this. A
live broker needs a capability that a backfill or a replay never gets (live_capability.py), and is built
nowhere yet, so that the live profile trades nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from resources.advice_records import LakeAdviceRecords
from resources.advisor_file import AdvisorConfig, read_advisor, read_prompt
from resources.advisor_ladder import JournalLadder
from resources.advisors.asking import ModelAdvisor
from resources.advisors.call_log import JournalCallLog
from resources.advisors.chat_completions import ChatCompletions
from resources.advisors.comparing import Asked, Compared, compare
from resources.advisors.kept_replies import KeptReplies
from resources.alert_keeper import JournalAlerts
from resources.alert_policy import load_alert_policy
from resources.audit_log import AuditFile
from resources.clocks import SimulatedClock, SystemClock
from resources.craft import craft_sha
from resources.dataset_files import verified_dataset
from resources.evidence_ledger import EvidenceLedger
from resources.journal.lock import ExecutorDatabaseLock, ExecutorFileLock, executor_lock
from resources.journal.store import SqlJournal
from resources.lake.accepted import (
    LakeAcceptedQuotes,
    LakeActions,
    LakeBookHistory,
    LakeBrokerHistory,
    LakeInputHistory,
    LakeLineage,
)
from resources.lake.store import Lake
from resources.lake.window import LakeWindowReader
from resources.live_capability import LiveCapability, live_capability
from resources.market_data.opening_quotes import OpeningQuotes
from resources.market_data.sources import fallback_of
from resources.notifier import ADDRESSED, Notifier, StdoutChannel
from resources.outbound.kept import JournalBreakers, JournalCallHistory, JournalCalls
from resources.panels import BookDataSets, PanelFolder
from resources.per_book import PerBook
from resources.profile_brokers import NO_LIVE_BROKER, ProfileBrokers
from resources.quality_rules import load_releases
from resources.replay_files import ReplayFiles
from resources.reports import ReportWriter
from resources.reviewed_config import book_config, read_promotion, refuse_unknown_sections
from resources.route_file import ADAPTERS
from resources.routes import AccountRouter
from resources.session_courses import JournalCourses
from resources.session_records import LakeSessionRecords
from resources.setting_names import ADDRESSES
from resources.settings import Profile, Settings, load_secrets
from resources.signal_keeper import JournalSignals
from resources.tear_sheets import TearSheets
from resources.watch_signs import WatchSigns
from resources.week_pages import WeekWriter
from trading.advice import AdviceContext, Advisor, Ladder, NoAdvisor
from trading.advice_items import cut_off_of, items_of
from trading.advice_ladder import LadderRules
from trading.advice_replies import SCHEMA_VERSION
from trading.advisor_calls import ErrorBudget, Purpose
from trading.alerts import AlertPolicy
from trading.books import BookConfig
from trading.candidates import Candidate
from trading.clock import Clock, Phase
from trading.datasets import Dataset, DatasetChanged, DatasetUnknown
from trading.errors import BadSetting, NoBroker
from trading.intents import Intent
from trading.preflight import Denial, LiveFacts, denials
from trading.promotion import PromotionRules, Token, token_of
from trading.quality import QualityLimits
from trading.quotes import MarketData
from trading.replay_evidence import COUNCIL, as_configured, subject_of
from trading.session import passing
from trading.signal_continuity import blocks
from trading.values import digest
from trading.verdicts import Verdict

One = TypeVar("One")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedQuality:
    """Hold the reviewed limits of quality, and find what people have released."""

    limits: QualityLimits
    reviewed: frozenset[str]
    journal: SqlJournal

    def released(self) -> frozenset[str]:
        """Return the ids of released rows: those in the reviewed file and those in the journal."""
        return self.reviewed | {release.row_id for release in self.journal.quote_releases()}


class Profiled(ProfileBrokers):
    """Build every adapter of one profile's settings, each once, when it is first asked for."""

    def __init__(self, settings: Settings, *, assets: Sequence[str] = ()) -> None:
        """Take the settings; `assets` are the tables whose lineage a report names."""
        super().__init__(settings)
        self._assets = tuple(assets)

    @cached_property
    def fallback_sources(self) -> PerBook[MarketData]:
        """Return the source that stands in where a book's own fails, of the books that name one."""
        root = self.settings.config_dir.parent
        named = [book for book, line in self.lines.items() if line.fallback_source]
        return PerBook(
            named, lambda book: self._translated(book, fallback_of(book, self.lines[book], root=root))
        )

    @cached_property
    def books(self) -> PerBook[BookConfig]:
        """Return each book with its rules."""
        refuse_unknown_sections(self.settings.config_dir, books=self.lines)
        return PerBook(
            self.lines,
            lambda book: book_config(
                book,
                self.lines[book],
                config_dir=self.settings.config_dir,
                source=self.sources[book],
                calendar=self.calendars[book],
            ),
        )

    @cached_property
    def evidence_data(self) -> PerBook[str]:
        """Return the digest of what each book's evidence is made from: its data set, and how it is judged."""
        quality = [repr(self.quality.limits), sorted(self.quality.released())]
        return PerBook(self.lines, lambda book: digest([self.datasets[book].sha, *quality]))

    @cached_property
    def datasets(self) -> PerBook[Dataset]:
        """Return each book's data set, held to its manifest when first asked for.

        Asking raises `DatasetUnknown` where a book has no manifest and `DatasetChanged` where it differs.
        """
        return PerBook(
            self.lines,
            lambda book: verified_dataset(
                self.books[book],
                source=self.sources[book],
                calendar=self.calendars[book],
                books_file=Path(self.settings.books_file),
            ),
        )

    @cached_property
    def clocks(self) -> PerBook[Clock]:
        """Return each book's clock: the data's when simulated, else the system's."""
        if self.settings.profile is Profile.SIMULATED:
            return PerBook(self.lines, lambda book: SimulatedClock(calendar=self.calendars[book]))
        return PerBook(self.lines, lambda _: SystemClock())

    @cached_property
    def lake(self) -> Lake:
        """Return the lake."""
        return Lake(self.settings.lake_root)

    @cached_property
    def windows(self) -> PerBook[LakeWindowReader]:
        """Return each book's only way to quotes for a decision."""
        return PerBook(
            self.lines,
            lambda book: LakeWindowReader(
                lake=self.lake,
                book=book,
                calendar=self.calendars[book],
                starts_on=self.books[book].first_session,
            ),
        )

    @cached_property
    def accepted_quotes(self) -> PerBook[LakeAcceptedQuotes]:
        """Return each book's stored quotes, for marks and fills."""
        return PerBook(
            self.lines,
            lambda book: LakeAcceptedQuotes(lake=self.lake, book=book, calendar=self.calendars[book]),
        )

    @cached_property
    def book_history(self) -> PerBook[LakeBookHistory]:
        """Return each book's equities."""
        return PerBook(self.lines, lambda book: LakeBookHistory(lake=self.lake, book=book))

    @cached_property
    def call_history(self) -> PerBook[JournalCallHistory]:
        """Return what was asked and sent for each book's account."""
        return PerBook(
            self.lines,
            lambda book: JournalCallHistory(
                JournalCalls(self.journal), account=self.lines[book].account, calendar=self.calendars[book]
            ),
        )

    @cached_property
    def course_history(self) -> PerBook[JournalCourses]:
        """Return the course of each book's sessions."""
        return PerBook(
            self.lines,
            lambda book: JournalCourses(
                self.journal,
                book=book,
                lane=self.settings.profile.value,
                account=self.lines[book].account,
            ),
        )

    @cached_property
    def broker_history(self) -> PerBook[LakeBrokerHistory]:
        """Return what each book's broker said at earlier settlements."""
        return PerBook(self.lines, lambda book: LakeBrokerHistory(lake=self.lake, book=book))

    @cached_property
    def input_history(self) -> PerBook[LakeInputHistory]:
        """Return what each book's sessions were decided on, beside their windows."""
        return PerBook(self.lines, lambda book: LakeInputHistory(lake=self.lake, book=book))

    @cached_property
    def action_history(self) -> PerBook[LakeActions]:
        """Return each book's imported corporate actions."""
        return PerBook(self.lines, lambda book: LakeActions(lake=self.lake, book=book))

    @cached_property
    def lineage(self) -> LakeLineage:
        """Return the reader of content hashes."""
        return LakeLineage(lake=self.lake, assets=self._assets)

    @cached_property
    def session_records(self) -> PerBook[LakeSessionRecords]:
        """Return each book's recorded sessions."""
        return PerBook(
            self.lines,
            lambda book: LakeSessionRecords(
                lake=self.lake, journal=self.journal, book=book, lane=self.settings.profile.value
            ),
        )

    @cached_property
    def quality(self) -> ReviewedQuality:
        """Return the rules of quality."""
        folder = self.settings.config_dir
        return ReviewedQuality(
            limits=self.quality_limits,
            reviewed=frozenset(release.row_id for release in load_releases(folder / "releases.toml")),
            journal=self.journal,
        )

    @cached_property
    def data_sets(self) -> PerBook[BookDataSets]:
        """Return what each book's replays read."""
        return PerBook(
            self.lines,
            lambda book: BookDataSets(
                config=self.books[book],
                calendar=self.calendars[book],
                source=self.sources[book],
                quality=self.quality,
                accepted=self.accepted_quotes[book],
                imported_actions=self.action_history[book],
                lake=self.lake,
                panels=PanelFolder(self.settings.profile_dir / "panels"),
                verify=lambda: self.datasets[book],
            ),
        )

    @cached_property
    def evidence(self) -> EvidenceLedger:
        """Return the evidence ledger."""
        return EvidenceLedger(self.journal)

    @cached_property
    def promotion_rules(self) -> PerBook[PromotionRules]:
        """Return what each book's evidence has to reach."""
        path = self.settings.config_dir / "promotion.toml"
        return PerBook(self.lines, lambda book: read_promotion(book, path, books=self.lines))

    @cached_property
    def tear_sheets(self) -> TearSheets:
        """Return the writer of the pages of scorecards."""
        return TearSheets()

    @cached_property
    def replay_stores(self) -> PerBook[ReplayFiles]:
        """Return where each book's replays are kept."""
        return PerBook(self.lines, lambda book: ReplayFiles(self.settings.lake_root, book=book))

    @cached_property
    def live_quotes(self) -> PerBook[OpeningQuotes]:
        """Return each book's prices at a send."""
        return PerBook(
            self.lines,
            lambda book: OpeningQuotes(market=self.markets[book], calendar=self.calendars[book]),
        )

    def brokers_in(self, run_tags: Mapping[str, str]) -> PerBook[Any]:
        """Return each book's broker as a run with these tags may have it.

        In the live profile taking one raises `LiveRefused` for a run that repeats the past. Where nothing is
        denied but a promotion, the broker only takes sales of what is held.
        """
        if self.settings.profile is not Profile.LIVE:
            return self.brokers
        lane = self.settings.profile.value
        return PerBook(
            self.lines,
            lambda book: self.live_broker(
                book, live_capability(lane=lane, run_tags=run_tags, denied=self.live_denials(book))
            ),
        )

    def routers_in(self, run_tags: Mapping[str, str]) -> PerBook[AccountRouter]:
        """Return what chooses each book's adapters before a send, as a run with these tags may have it."""
        brokers = self.brokers_in(run_tags)
        return PerBook(
            self.lines,
            lambda book: AccountRouter(
                self.routes.table,
                brokers[book],
                account=self.lines[book].account,
                market=self.lines[book].calendar,
                breakers=self._route_breakers(book),
            ),
        )

    def live_denials(self, book: str) -> tuple[Denial, ...]:
        """Return what live execution of a book is denied for, before anything is asked over the network."""
        secrets = load_secrets()
        return denials(
            LiveFacts(
                is_execution_enabled=self.settings.execution_enabled,
                is_live_allowed=self.settings.live_allowed,
                has_app_key=secrets.broker_app_key is not None,
                has_app_secret=secrets.broker_app_secret is not None,
                account_no=self.settings.broker_account_no or "",
                base_url=self.settings.broker_base_url or "",
                allowlist=self.books[book].rules.limits.allowlist,
                promotion=self.promotion(book),
                are_signals_held=bool(
                    blocks(self.signal_keeper.last_window(book=book, lane=self.settings.profile.value))
                ),
                is_advisor_stepped_back=self.advisor_ladder.log(book).stepped_back is not None,
            )
        )

    def promotion(self, book: str) -> Token:
        """Return how the promotion of a book's strategies stands, all together and as they are configured.

        A book whose data is not what its manifest says has none: no evidence could be of it.
        """
        config = self.books[book]
        try:
            data_sha = self.evidence_data[book]
        except (DatasetUnknown, DatasetChanged):
            return Token.MISSING
        subject = subject_of(as_configured(config, COUNCIL), data_set_sha=data_sha, code_sha=craft_sha())
        as_of = self.clocks[book].now(config.last_session, Phase.SETTLE)
        return token_of(
            subject,
            self.evidence.read(),
            self.promotion_rules[book].thresholds,
            as_of=as_of,
            last_session=self.calendars[book].between(config.first_session, as_of.date())[-1],
        )

    def live_broker(self, book: str, capability: LiveCapability) -> Any:
        """Return a book's live broker; raises `NoBroker` where its routes name none."""
        home = self._home(book)
        if not all(ADAPTERS[name].is_live for name in home):
            raise NoBroker(f"{book}: {NO_LIVE_BROKER}")
        return self._routed(book, home=home, capability=capability)

    @cached_property
    def executor_locks(self) -> PerBook[ExecutorFileLock | ExecutorDatabaseLock]:
        """Return the lock of each book's account: only one process executes for it."""
        return PerBook(
            self.lines,
            lambda book: executor_lock(
                self.settings.journal_url,
                self.settings.profile_dir / "locks",
                account=self.books[book].account,
            ),
        )

    @cached_property
    def call_log(self) -> JournalCallLog:
        """Return what models were asked, as the journal has it."""
        return JournalCallLog(self.journal)

    @cached_property
    def advisor(self) -> Advisor:
        """Return who advises: nobody without the advisor's file, or without an address to ask."""
        return self.advisor_for(Purpose.ADVICE)

    def advisor_for(self, purpose: Purpose) -> Advisor:
        """Return who is asked for a purpose, under which its questions are recorded."""
        config, completions = self.advisor_config, self._completions
        if config is None or completions is None:
            return NoAdvisor()
        replies = KeptReplies(self.settings.profile_dir / "advisor_replies")
        return ModelAdvisor(
            config,
            completions,
            log=self.call_log,
            replies=replies if purpose is Purpose.ADVICE else None,
            purpose=purpose,
        )

    def compared_prompts(self, book: str, versions: Sequence[str], *, last: int) -> tuple[Compared, ...]:
        """Return what versions of the advisor's prompt come to on a book's last sessions with intents.

        Raises `BadSetting` without a model to ask, or without such a version.
        """
        config, completions = self.advisor_config, self._completions
        if config is None or completions is None:
            raise BadSetting(
                "no model is configured: TRADING_ADVISOR_BASE_URL says where one is, advisor.toml which"
            )
        configs = [
            replace(config, template=read_prompt(self.settings.config_dir, config.template.name, version))
            for version in versions
        ]
        return compare(
            configs,
            [self._asked_in(book, key) for key in self.lake.partitions((book, "intents"))[-last:]],
            completions,
            log=self.call_log,
        )

    def _asked_in(self, book: str, key: str) -> Asked:
        """Return what an advisor was asked in a stored session, from its tables."""

        def rows(asset: str, row_type: type[One]) -> tuple[One, ...]:
            return self.lake.read_rows((book, asset), key, row_type)[0]

        session = date.fromisoformat(key)
        intents = passing(rows("intents", Intent), rows("verdicts", Verdict))
        calendar = self.calendars[book]
        return Asked(
            intents=intents,
            context=AdviceContext(
                book=book,
                lane=self.settings.profile.value,
                session=session,
                cut_off=cut_off_of(
                    session, now=self.clocks[book].now(session, Phase.DECIDE), calendar=calendar
                ),
                ladder=Ladder.SHADOW,
                items=items_of(rows("candidates", Candidate), intents, calendar=calendar),
            ),
        )

    @cached_property
    def _completions(self) -> ChatCompletions | None:
        address = self.settings.advisor_base_url
        if self.advisor_config is None or address is None:
            return None
        key = load_secrets().advisor_key
        return ChatCompletions(
            self.advisor_config,
            address,
            key="" if key is None else key.get_secret_value(),
            breakers=JournalBreakers(self.journal),
            calls=JournalCalls(self.journal),
        )

    @cached_property
    def advisor_ladder(self) -> JournalLadder:
        """Return how much the advisor may do for each book: off without its file."""
        config = self.advisor_config
        if config is None:
            return JournalLadder(self.journal, ceiling=Ladder.OFF, lock=None)
        return JournalLadder(
            self.journal, ceiling=config.step, lock=config.lock(SCHEMA_VERSION), budget=config.budget
        )

    @cached_property
    def advisor_config(self) -> AdvisorConfig | None:
        """Return the reviewed advisor, `None` without its file."""
        return read_advisor(self.settings.config_dir)

    @cached_property
    def ladder_rules(self) -> LadderRules:
        """Return how much evidence a step of the ladder needs."""
        budget = self.advisor_config.budget if self.advisor_config else ErrorBudget()
        return LadderRules(budget=budget)

    @cached_property
    def trained_until(self) -> date | None:
        """Return the last day that a configured model may have learned of, `None` without one."""
        config = self.advisor_config
        return None if config is None else max(model.cut_off_on for model in config.models)

    @cached_property
    def advice_records(self) -> PerBook[LakeAdviceRecords]:
        """Return what was said of each book's sessions."""
        return PerBook(
            self.lines,
            lambda book: LakeAdviceRecords(lake=self.lake, book=book, calendar=self.calendars[book]),
        )

    @cached_property
    def alert_policy(self) -> AlertPolicy:
        """Return the reviewed alert policy."""
        return load_alert_policy(
            self.settings.config_dir / "alerts.toml",
            profile=self.settings.profile.value,
            overrides=self.settings.alert_overrides,
        )

    @cached_property
    def alert_keeper(self) -> JournalAlerts:
        """Return what is known of alerts, in the journal."""
        return JournalAlerts(self.journal, accounts={book: line.account for book, line in self.lines.items()})

    @cached_property
    def watch_signs(self) -> WatchSigns:
        """Return the sign of life of the watch, in the profile's folder."""
        return WatchSigns(self.settings.profile_dir)

    @cached_property
    def signal_keeper(self) -> JournalSignals:
        """Return what is known of windows of signals, in the journal."""
        return JournalSignals(self.journal)

    @cached_property
    def audit_log(self) -> AuditFile:
        """Return the file that tells the journal's events."""
        return AuditFile(self.journal, self.settings.audit_log)

    @cached_property
    def notifier(self) -> Notifier:
        """Return the deliverer of the outbox."""
        return Notifier(
            self.journal,
            {
                "stdout": StdoutChannel(sys.stdout),
                **{name: channel(_address(name)) for name, channel in ADDRESSED.items()},
            },
            policy=self.alert_policy.delivery,
        )

    @cached_property
    def week_writer(self) -> WeekWriter:
        """Return the writer of what was found of weeks, beside the daily reports."""
        return WeekWriter(self.settings.profile_dir / "reports")

    @cached_property
    def report_writer(self) -> ReportWriter:
        """Return the writer of daily reports."""
        return ReportWriter(self.settings.profile_dir / "reports")


def _address(channel: str) -> str | None:
    """Return where a channel sends to, `None` where nothing is configured."""
    secret = getattr(load_secrets(), ADDRESSES[channel])
    return str(secret.get_secret_value()) if secret is not None else None
