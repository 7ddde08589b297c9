"""What reaches the brokers of a profile, and nothing that only a session or a page needs.

Of a profile's adapters who halts imports these alone: its first cancel waits for no lake, no model and no
page. The rest is resources/profiles.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from resources.alpaca_markets.broker import AlpacaBroker
from resources.alpaca_markets.canceller import canceller_of
from resources.alpaca_markets.holdings import account_of
from resources.alpaca_markets.hosts import AlpacaKeys, data_host, trading_host
from resources.alpaca_markets.questions import Questions
from resources.alpaca_markets.statement import AlpacaStatement
from resources.calendars import load_calendar
from resources.cancel_only import CancelOnly
from resources.clocks import system_now
from resources.instruments import FILE as INSTRUMENTS_FILE
from resources.instruments import load_instruments
from resources.journal.store import SqlJournal
from resources.ledger_paths import ledger_of
from resources.live_capability import LiveCapability
from resources.market_data.simulated_market import SimulatedMarket, market_of
from resources.market_data.sources import source_of
from resources.market_data.translated import Translated
from resources.order_lines import log_step
from resources.outbound.client import Endpoint, OutboundClient
from resources.outbound.kept import JournalBreakers, JournalCalls
from resources.outbound.limits import RateLimits
from resources.paper_broker.behaviour_file import load_behaviour
from resources.paper_broker.broker import KIND, PaperBroker
from resources.paper_ledgers import refuse_lost
from resources.per_book import PerBook
from resources.quality_rules import load_quality_limits
from resources.reviewed_config import BookLine, costs_of, deposit_of, read_books
from resources.route_file import (
    ADAPTERS,
    ALPACA_LIVE,
    ALPACA_PAPER,
    PAPER_EXCHANGE,
    Routes,
    Traded,
    read_routes,
)
from resources.routes import Doors, RouteBreakers, RoutedBroker
from resources.settings import Profile, Settings, load_secrets
from trading.breakers import Breakers
from trading.broker_behaviour import Behaviour
from trading.brokers import Broker, BrokerAccount
from trading.errors import BadSetting, NoBroker
from trading.halting import Canceller
from trading.quality import QualityLimits
from trading.quotes import MarketData
from trading.rate_limits import LimitRules
from trading.routing import ANY, EMBEDDED_PAPER
from trading.sessions import Calendar

READ_WAIT_S_MAX = 75.0
"""How long limits may make a question wait: a whole minute, which is what brokers count calls in, and more.

A session that gave up sooner would stop at a burst which is over before its prices are old.
"""

BAR_DOWNLOADS = "bars"
"""Who is asked for bars, as calls and breakers name it."""

_ALPACA = {Profile.PAPER: ALPACA_PAPER, Profile.LIVE: ALPACA_LIVE}

NO_LIVE_BROKER = "profile live: no live broker is configured; use simulated or paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Hold how a client goes about its calls: how many at once, and how long it waits for one (seconds).

    `endpoints` are those at which a question is asked another number of times than usual.
    """

    limits: LimitRules
    timeout_s: float
    read_wait_s_max: float
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)


USUAL = Pace(limits=LimitRules(), timeout_s=5.0, read_wait_s_max=READ_WAIT_S_MAX)

HALTING = Pace(
    limits=LimitRules(burst=200),
    timeout_s=3.0,
    read_wait_s_max=2.0,
    endpoints={
        name: Endpoint(read_attempts=1) for name in ("orders.list", "orders.by_client_order_id", "account")
    },
)
"""A halt has seconds, and spends all that its answers say is left: nothing else may send meanwhile. What it
asks in vain it asks again in its next look. Who only looks whether somebody is there does not wait either."""


class ProfileBrokers:
    """Build what reaches one profile's brokers, each part once, when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings."""
        self.settings = settings

    @cached_property
    def lines(self) -> dict[str, BookLine]:
        """Return the configured books."""
        return read_books(Path(self.settings.books_file))

    @cached_property
    def calendars(self) -> PerBook[Calendar]:
        """Return each book's calendar."""
        folder = self.settings.config_dir / "calendars"
        return PerBook(self.lines, lambda book: load_calendar(self.lines[book].calendar, folder))

    @cached_property
    def sources(self) -> PerBook[MarketData]:
        """Return each book's source of market data."""
        root = self.settings.config_dir.parent
        return PerBook(
            self.lines, lambda book: self._translated(book, source_of(book, self.lines[book], root=root))
        )

    def _translated(self, book: str, source: MarketData) -> MarketData:
        """Return a source that calls each instrument by the symbol it is stored under."""
        names = self.settings.config_dir / INSTRUMENTS_FILE
        return Translated(source, load_instruments(names, self.lines[book].calendar))

    @cached_property
    def journal(self) -> SqlJournal:
        """Return the journal."""
        return SqlJournal(self.settings.journal_url, log=self.settings.audit_log, heard=log_step)

    @cached_property
    def quality_limits(self) -> QualityLimits:
        """Return the reviewed limits of quality."""
        return load_quality_limits(self.settings.config_dir / "quality.toml")

    @cached_property
    def markets(self) -> PerBook[SimulatedMarket]:
        """Return the market that each book's paper broker trades in: the source's own readable bars."""
        return PerBook(
            self.lines,
            lambda book: market_of(
                self.sources[book], calendar=self.calendars[book], limits=self.quality_limits
            ),
        )

    @cached_property
    def routes(self) -> Routes:
        """Return the reviewed routes of this profile, and what adapters over a network were opened with."""
        shipped = self.settings.config_dir / "books.toml"
        known = read_books(shipped) if shipped.exists() else {}
        return read_routes(
            self.settings.config_dir / "routes.toml",
            profile=self.settings.profile,
            books={book: _traded(line) for book, line in self.lines.items()},
            shipped=[_traded(line) for line in known.values()],
        )

    @cached_property
    def brokers(self) -> PerBook[RoutedBroker]:
        """Return each book's broker where nobody's money moves: what its routes name, as one."""
        if self.settings.profile is Profile.LIVE:
            raise NoBroker(NO_LIVE_BROKER)
        return PerBook(self.lines, lambda book: self._routed(book, home=self._home(book)))

    def _routed(
        self, book: str, *, home: tuple[str, ...], capability: LiveCapability | None = None
    ) -> RoutedBroker:
        adapters = PerBook(ADAPTERS, lambda name: self._adapter(name, book, capability))
        only_reduces = capability.only_reduces if capability else ""
        openings = self.routes.openings
        return self._over(adapters, book, home=home, openings=openings, only_reduces=only_reduces)

    def _over(
        self,
        adapters: Mapping[str, Any],
        book: str,
        *,
        home: tuple[str, ...],
        openings: Mapping[str, int],
        only_reduces: str = "",
    ) -> RoutedBroker:
        """Return one broker over a book's adapters, by what the journal has of its orders' routes."""
        return RoutedBroker(
            Doors(
                adapters=adapters,
                home=home,
                deposit_micros=deposit_of(book, self.lines[book]),
                openings=openings,
            ),
            stored=self.journal,
            account=self.lines[book].account,
            lane=self.settings.profile.value,
            breakers=self._route_breakers(book),
            only_reduces=only_reduces,
        )

    def _home(self, book: str) -> tuple[str, ...]:
        """Return the adapters of a book's orders whose strategy has no line of its own."""
        account, market = _traded(self.lines[book])
        line = self.routes.table.line_for(account=account, market=market, strategy="")
        return line.adapters if line else ()

    def _route_breakers(self, book: str) -> RouteBreakers:
        return RouteBreakers(
            JournalBreakers(self.journal),
            lane=self.settings.profile.value,
            account=self.lines[book].account,
            remote=[name for name, kind in ADAPTERS.items() if kind.is_remote],
            clock=system_now,
        )

    def _adapter(self, name: str, book: str, capability: LiveCapability | None) -> Broker:
        """Return an adapter of a book; one that moves real money takes a capability, any other has none."""
        if ADAPTERS[name].is_live != (capability is not None):
            raise BadSetting(f"{book}: adapter {name} has no place in profile {self.settings.profile}")
        if name == EMBEDDED_PAPER:
            return self._embedded_paper(book)
        breakers = JournalBreakers(self.journal)
        data = data_host(self._address_of(name))
        return AlpacaBroker(
            self._outbound(name, book, breakers=breakers),
            data=self._outbound(f"{name}_data", book, address=data, breakers=breakers),
            calendar=self.calendars[book],
            is_live=ADAPTERS[name].is_live,
            is_clock_simulated=self.settings.profile is Profile.SIMULATED,
        )

    def _canceller(self, name: str, book: str) -> Canceller:
        """Return what cancels and looks at an adapter, and cannot send.

        No breaker holds it back: the one call that an outage must not keep from going is a halt's.
        """
        if name == EMBEDDED_PAPER:
            return self._embedded_paper(book)
        client = self._outbound(name, book, breakers=None, pace=HALTING)
        questions = Questions(client, is_clock_simulated=self.settings.profile is Profile.SIMULATED)
        return canceller_of(questions, client, calendar=self.calendars[book])

    def statement(self, name: str, book: str) -> AlpacaStatement:
        """Return what tells all that an adapter over a network has of a book's account, for a proof.

        It can neither send nor cancel, and leaves no trace in the journal: looking changes nothing.
        """
        client = self._outbound(name, book, breakers=None, is_recorded=False)
        questions = Questions(client, is_clock_simulated=self.settings.profile is Profile.SIMULATED)
        return AlpacaStatement(questions, calendar=self.calendars[book], is_live=ADAPTERS[name].is_live)

    def account_at(self, name: str, book: str) -> BrokerAccount:
        """Return what an adapter over a network says of a book's account; leaves no trace in the journal.

        Raises `BadSetting` where a key or an address is missing, `BrokerUnavailable` where nobody answers. No
        simulated time is told: looking moves nobody's clock.
        """
        client = self._outbound(name, book, breakers=None, is_recorded=False, pace=HALTING)
        return account_of(Questions(client), now=system_now())

    def adapters_of(self, book: str) -> tuple[str, ...]:
        """Return every adapter that the routes of a book name, whatever strategy an order is of."""
        account, market = _traded(self.lines[book])
        strategies = ("", *(line.strategy for line in self.routes.table.lines if line.strategy != ANY))
        chosen = (
            self.routes.table.line_for(account=account, market=market, strategy=strategy)
            for strategy in strategies
        )
        return tuple(dict.fromkeys(name for line in chosen if line is not None for name in line.adapters))

    def _outbound(
        self,
        provider: str,
        book: str,
        *,
        address: str = "",
        breakers: Breakers | None,
        is_recorded: bool = True,
        pace: Pace = USUAL,
    ) -> OutboundClient:
        """Return the one client of an adapter over a network, with the account's keys.

        Raises `BadSetting` where a key or an address is missing, or is not one of the profile's.
        """
        place = address or self._address_of(provider)
        return self._signed(
            provider,
            place,
            whose=book,
            account=self.lines[book].account,
            breakers=breakers,
            is_recorded=is_recorded,
            pace=pace,
        )

    def _signed(
        self,
        provider: str,
        address: str,
        *,
        whose: str,
        account: str,
        breakers: Breakers | None,
        is_recorded: bool = True,
        pace: Pace = USUAL,
    ) -> OutboundClient:
        """Return a client whose calls have the keys; raises `BadSetting` where one is missing."""
        secrets = load_secrets()
        given = {"KEY": secrets.broker_app_key, "SECRET": secrets.broker_app_secret}
        missing = [f"TRADING_BROKER_APP_{name}" for name, secret in given.items() if secret is None]
        if secrets.broker_app_key is None or secrets.broker_app_secret is None:
            raise BadSetting(f"{whose}: adapter {provider} needs {' and '.join(missing)}, not set")
        keys = AlpacaKeys(
            key_id=secrets.broker_app_key.get_secret_value(),
            secret=secrets.broker_app_secret.get_secret_value(),
        )
        return OutboundClient(
            provider,
            address,
            headers=keys.headers(),
            breakers=breakers,
            calls=JournalCalls(self.journal) if is_recorded else None,
            limits=RateLimits(pace.limits),
            timeout_s=pace.timeout_s,
            read_wait_s_max=pace.read_wait_s_max,
            endpoints=pace.endpoints,
            account=account,
            told_as=self._told_of(address),
        )

    def _told_of(self, address: str) -> str:
        """Return how people know an address: by the setting that names it, or could name another."""
        is_set = self.settings.broker_base_url is not None
        return f"{address}, " + (
            "as TRADING_BROKER_BASE_URL says" if is_set else "TRADING_BROKER_BASE_URL is not set"
        )

    def bar_questions(self) -> Questions:
        """Return what asks this profile's market data for bars, and can send nothing.

        Raises `BadSetting` where a key or an address is missing, or is not one of the profile's.
        """
        is_simulated = self.settings.profile is Profile.SIMULATED
        trading = PAPER_EXCHANGE if is_simulated else _ALPACA[self.settings.profile]
        address = data_host(self._address_of(trading))
        client = self._signed(
            BAR_DOWNLOADS,
            address,
            whose="bars",
            account="",
            breakers=JournalBreakers(self.journal),
        )
        return Questions(client, is_clock_simulated=is_simulated)

    def _address_of(self, adapter: str) -> str:
        """Return where an adapter reaches its broker; raises `BadSetting` for another profile's address."""
        profile, asked = self.settings.profile, self.settings.broker_base_url
        if adapter == PAPER_EXCHANGE and asked is None:
            raise BadSetting(
                f"adapter {adapter}: TRADING_BROKER_BASE_URL says where `trading paper-exchange` answers"
            )
        address = trading_host(profile, asked)
        is_here = address != trading_host(profile)
        if not is_here and (adapter == PAPER_EXCHANGE or profile is Profile.SIMULATED):
            raise BadSetting(
                f"adapter {adapter}, profile {profile.value}: only an exchange on this machine is called, "
                f"http://127.0.0.1:<port>, and not {address}"
            )
        return address

    def _embedded_paper(self, book: str) -> PaperBroker:
        """Return the paper broker of a book, with a ledger of its own: of the book's line alone.

        Raises `BrokerUnavailable` where that ledger is gone, and then makes none.
        """
        account, folder = self.lines[book].account, self.settings.profile_dir
        refuse_lost(self.journal, lane=self.settings.profile.value, profile_dir=folder, account=account)
        return PaperBroker(
            ledger_of(folder, account),
            account=account,
            deposit_micros=deposit_of(book, self.lines[book]),
            market=self.markets[book],
            fill_model=costs_of(self.lines[book]),
            calendar=self.calendars[book],
            behaviour=self.paper_behaviour,
            currency=self.lines[book].currency,
        )

    @cached_property
    def paper_behaviour(self) -> Behaviour:
        """Return how the paper broker behaves: kindly, unless a file says otherwise."""
        told = self.settings.paper_behaviour
        return KIND if told is None else load_behaviour(told)

    def cancel_only(self, book: str) -> CancelOnly:
        """Return what a halt cancels a book's orders with: nothing that could send one.

        Of the book's line and the journal alone: it cancels though a file of routes, rules or limits has a
        mistake, wherever the orders were sent.
        """
        is_live = self.settings.profile is Profile.LIVE
        account, lane = self.lines[book].account, self.settings.profile.value
        if is_live and not self.journal.adapters_used(account=account, lane=lane):
            raise NoBroker(NO_LIVE_BROKER)
        return CancelOnly(
            self._over(
                PerBook(ADAPTERS, lambda name: self._canceller(name, book)),
                book,
                home=(ALPACA_LIVE if is_live else EMBEDDED_PAPER,),
                openings={},
            )
        )


def _traded(line: BookLine) -> Traded:
    return Traded(line.account, line.calendar)
