"""Inputs of a decision as versioned records, and the envelope that says which of them are there.

Three sources: `market.quote`, `account.orders`, `order.status`. Each has a contract, frozen in
`config/input_contracts.json`: a payload of another shape is refused, one of an earlier version is read as the
latest. Whom a source is read from is its origins, in order; the stage that asks them is
trading_assets/stages/input_envelopes.py, and what a decision makes of open orders is candidates.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.errors import (
    BadInput,
    BadSetting,
    KeysRefused,
    LakeError,
    LookAhead,
    Refused,
    TradingError,
    failure_word,
)
from trading.journal import PREPARED, JournalOrder
from trading.orders import BrokerOrder, OrderStatus, OrderStatusRow
from trading.quotes import Quote
from trading.values import Side, Symbol, canonical_json, digest_of_text

SCHEMA_VERSION = "schema_version"
"""The key of a payload that names its contract: `market.quote.v1`."""

CONTRACT_VIOLATION = "contract_violation"
LOOK_AHEAD = "look_ahead"
MISSING = "missing"
STALE = "stale"
LATE = "late"


class InputSource(StrEnum):
    """Name what a decision reads beside its rules and its book."""

    MARKET_QUOTE = "market.quote"
    ACCOUNT_ORDERS = "account.orders"
    ORDER_STATUS = "order.status"


class Origin(StrEnum):
    """Name whom a source is read from."""

    LAKE = "lake"
    BROKER = "broker"
    JOURNAL = "journal"


ORIGINS: Mapping[InputSource, tuple[Origin, ...]] = {
    InputSource.MARKET_QUOTE: (Origin.LAKE,),
    InputSource.ACCOUNT_ORDERS: (Origin.BROKER, Origin.JOURNAL),
    InputSource.ORDER_STATUS: (Origin.JOURNAL,),
}
"""Whom each source is read from: the first that answers rightly is used, the others are its fallback."""


class InputStatus(StrEnum):
    """Say what is to be done with an input: use it, ask again (it may still come), or look into it."""

    READY = "ready"
    ASK = "ask"
    ERROR = "error"


# --------------------------------------------------------------------------------------------- contracts


class Kind(StrEnum):
    """Say what a field of a payload holds, in JSON."""

    TEXT = "text"
    NAME = "name"
    COUNT = "count"
    MICROS = "micros"
    DATE = "date"
    INSTANT = "instant"
    FLAG = "flag"


class Field(NamedTuple):
    """Hold one field of a contract: `choices` closes a text, an optional field may be null, never absent."""

    name: str
    kind: Kind
    is_optional: bool = False
    choices: tuple[str, ...] = ()


Upgrade = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Makes the fields of one version's payload into those of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Hold the fields of a source's payload, version by version from 1; what was published never changes.

    `upgrades` holds for each version but the last how its fields become those of the next.
    """

    source: str
    versions: tuple[tuple[Field, ...], ...]
    upgrades: tuple[Upgrade, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a version that nothing could read."""
        if len(self.upgrades) != len(self.versions) - 1:
            raise ValueError(
                f"{self.source}: {len(self.versions)} versions and {len(self.upgrades)} upgrades between them"
            )

    @property
    def name(self) -> str:
        """Return the name of the latest version: `market.quote.v1`."""
        return f"{self.source}.v{len(self.versions)}"

    def values_of(self, payload: Any) -> dict[str, Any]:
        """Return the typed values of a payload of any version, as the latest version has them.

        Raises `ContractViolation` for anything else than exactly the fields of its version.
        """
        if not isinstance(payload, Mapping):
            raise ContractViolation(self.source, f"a payload is {type(payload).__name__}, expected an object")
        version = self._version_of(payload)
        fields = {name: value for name, value in payload.items() if name != SCHEMA_VERSION}
        values = self._typed(version, fields)
        for at in range(version, len(self.versions)):
            upgraded = self.upgrades[at - 1](fields)
            values, fields = self._typed(at + 1, upgraded), dict(upgraded)
        return values

    def payload_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the payload of typed values in the latest version; raises `ContractViolation`."""
        written = {field.name: _written(values.get(field.name)) for field in self.versions[-1]}
        self._typed(len(self.versions), written)
        return {SCHEMA_VERSION: self.name, **written}

    def schema(self) -> dict[str, Any]:
        """Return every version as plain JSON values: what the frozen file holds."""
        return {
            f"{self.source}.v{version}": {field.name: _told(field) for field in fields}
            for version, fields in enumerate(self.versions, start=1)
        }

    def _version_of(self, payload: Mapping[str, Any]) -> int:
        named = payload.get(SCHEMA_VERSION)
        known = [f"{self.source}.v{version}" for version in range(1, len(self.versions) + 1)]
        if named not in known:
            raise ContractViolation(self.source, f"{SCHEMA_VERSION} {named!r}: not one of {', '.join(known)}")
        return known.index(named) + 1

    def _typed(self, version: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        expected = self.versions[version - 1]
        names = [field.name for field in expected]
        for name in names:
            if name not in fields:
                raise ContractViolation(self.source, f"{name} is missing")
        for name in fields:
            if name not in names:
                raise ContractViolation(self.source, f"{name!r}: no such field in v{version}")
        return {field.name: self._value(field, fields[field.name]) for field in expected}

    def _value(self, field: Field, found: Any) -> Any:
        if found is None and field.is_optional:
            return None
        value = _READ[field.kind](found)
        if value is None or (field.choices and value not in field.choices):
            wanted = f"one of {', '.join(field.choices)}" if field.choices else _MEANING[field.kind]
            raise ContractViolation(self.source, f"{field.name} {found!r}: expected {wanted}")
        return value


class ContractViolation(BadInput):
    """Name a payload that does not hold its contract; `code` is what is counted."""

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"{source}:{CONTRACT_VIOLATION}: {detail}")
        self.code = f"{source}:{CONTRACT_VIOLATION}"


def _text(found: Any) -> str | None:
    return found if isinstance(found, str) else None


def _name(found: Any) -> str | None:
    return found if isinstance(found, str) and found and found == found.strip() else None


def _count(found: Any) -> int | None:
    return found if type(found) is int and found >= 0 else None


def _micros(found: Any) -> int | None:
    return found if type(found) is int and found > 0 else None


def _date(found: Any) -> date | None:
    try:
        value = date.fromisoformat(found)
    except (TypeError, ValueError):
        return None
    return value if value.isoformat() == found else None


def _instant(found: Any) -> datetime | None:
    try:
        value = datetime.fromisoformat(found)
    except (TypeError, ValueError):
        return None
    return value.astimezone(UTC) if value.tzinfo is not None else None


def _flag(found: Any) -> bool | None:
    return found if isinstance(found, bool) else None


_READ: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text,
    Kind.NAME: _name,
    Kind.COUNT: _count,
    Kind.MICROS: _micros,
    Kind.DATE: _date,
    Kind.INSTANT: _instant,
    Kind.FLAG: _flag,
}
"""Reads a JSON value as a kind, `None` where it is none."""

_MEANING: Mapping[Kind, str] = {
    Kind.TEXT: "a text",
    Kind.NAME: "a text that is not empty",
    Kind.COUNT: "a whole number from 0 on",
    Kind.MICROS: "a whole number of micro-units above 0",
    Kind.DATE: "a date like 2013-03-01",
    Kind.INSTANT: "an instant with its offset",
    Kind.FLAG: "true or false",
}


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _told(field: Field) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": field.kind.value}
    if field.is_optional:
        told["optional"] = True
    if field.choices:
        told["choices"] = list(field.choices)
    return told


# --------------------------------------------------------------------------------------------- records


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketQuote:
    """Hold one daily bar as a decision's input. Prices in micro-units, volume in shares.

    `bid_micros` and `ask_micros` are `None` where the source has none; `mode` says whether the market is real
    or simulated. `fetched_at` is when it could be known, `checksum` the SHA-256 of what it came from.
    """

    symbol: Symbol
    session: date
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    volume: int
    bid_micros: int | None
    ask_micros: int | None
    source: str
    mode: str
    fetched_at: datetime
    sequence: int
    checksum: str

    def __post_init__(self) -> None:
        """Refuse a quote that no market makes.

        Whether its high and low enclose a bar is judged by quality.py, against which a person may release it.
        """
        if self.bid_micros is not None and self.ask_micros is not None and self.bid_micros > self.ask_micros:
            raise ValueError(
                f"{self.symbol} {self.session}: bid {self.bid_micros} is above ask {self.ask_micros}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOrder:
    """Hold one order of the account, ours or not, as the broker or the journal has it."""

    client_order_id: str
    broker_order_id: str
    symbol: Symbol
    side: Side
    quantity: int
    filled_quantity: int
    status: str

    def __post_init__(self) -> None:
        """Refuse an order that is filled beyond its quantity."""
        if self.filled_quantity > self.quantity:
            raise ValueError(
                f"order {self.client_order_id}: filled {self.filled_quantity} of {self.quantity}"
            )

    @property
    def is_open(self) -> bool:
        """Say whether something may still follow; what was prepared and never answered may."""
        return self.status == PREPARED or not OrderStatus(self.status).is_terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusOfOrder:
    """Hold where one intent's order of an earlier session stands."""

    session: date
    symbol: Symbol
    side: Side
    intent_id: str
    client_order_id: str
    intent_state: str
    status: str
    terminal: bool
    quantity: int
    filled_quantity: int
    reason: str


Record = MarketQuote | AccountOrder | StatusOfOrder

_SIDES = tuple(side.value for side in Side)

CONTRACTS: Mapping[InputSource, Contract] = {
    InputSource.MARKET_QUOTE: Contract(
        source=InputSource.MARKET_QUOTE,
        versions=(
            (
                Field("symbol", Kind.NAME),
                Field("session", Kind.DATE),
                Field("open_micros", Kind.MICROS),
                Field("high_micros", Kind.MICROS),
                Field("low_micros", Kind.MICROS),
                Field("close_micros", Kind.MICROS),
                Field("volume", Kind.COUNT),
                Field("bid_micros", Kind.MICROS, is_optional=True),
                Field("ask_micros", Kind.MICROS, is_optional=True),
                Field("source", Kind.NAME),
                Field("mode", Kind.TEXT, choices=("real", "mock")),
                Field("fetched_at", Kind.INSTANT),
                Field("sequence", Kind.COUNT),
                Field("checksum", Kind.TEXT),
            ),
        ),
    ),
    InputSource.ACCOUNT_ORDERS: Contract(
        source=InputSource.ACCOUNT_ORDERS,
        versions=(
            (
                Field("client_order_id", Kind.NAME),
                Field("broker_order_id", Kind.TEXT),
                Field("symbol", Kind.NAME),
                Field("side", Kind.TEXT, choices=_SIDES),
                Field("quantity", Kind.COUNT),
                Field("filled_quantity", Kind.COUNT),
                Field("status", Kind.TEXT, choices=(PREPARED, *(status.value for status in OrderStatus))),
            ),
        ),
    ),
    InputSource.ORDER_STATUS: Contract(
        source=InputSource.ORDER_STATUS,
        versions=(
            (
                Field("session", Kind.DATE),
                Field("symbol", Kind.NAME),
                Field("side", Kind.TEXT, choices=_SIDES),
                Field("intent_id", Kind.NAME),
                Field("client_order_id", Kind.TEXT),
                Field("intent_state", Kind.NAME),
                Field("status", Kind.NAME),
                Field("terminal", Kind.FLAG),
                Field("quantity", Kind.COUNT),
                Field("filled_quantity", Kind.COUNT),
                Field("reason", Kind.TEXT),
            ),
        ),
    ),
}
"""The contract of each source, as `config/input_contracts.json` freezes it."""

_RECORDS: Mapping[InputSource, type[Record]] = {
    InputSource.MARKET_QUOTE: MarketQuote,
    InputSource.ACCOUNT_ORDERS: AccountOrder,
    InputSource.ORDER_STATUS: StatusOfOrder,
}


def record_of(source: InputSource, payload: Any) -> Record:
    """Return the record of a payload, whatever version it is of; raises `ContractViolation`."""
    values = CONTRACTS[source].values_of(payload)
    if "side" in values:
        values["side"] = Side(values["side"])
    try:
        return _RECORDS[source](**values)
    except ValueError as error:
        raise ContractViolation(source, str(error)) from error


def quote_payload(quote: Quote, *, mode: str) -> dict[str, Any]:
    """Return an accepted bar as a payload of `market.quote`; a daily bar has no bid, no ask, one sequence."""
    return {
        SCHEMA_VERSION: CONTRACTS[InputSource.MARKET_QUOTE].name,
        "symbol": quote.symbol,
        "session": quote.session.isoformat(),
        "open_micros": quote.open_micros,
        "high_micros": quote.high_micros,
        "low_micros": quote.low_micros,
        "close_micros": quote.close_micros,
        "volume": quote.volume,
        "bid_micros": None,
        "ask_micros": None,
        "source": quote.source,
        "mode": mode,
        "fetched_at": quote.known_at.isoformat(),
        "sequence": 1,
        "checksum": quote.source_sha,
    }


def broker_order_payload(order: BrokerOrder) -> dict[str, Any]:
    """Return a broker's order as a payload of `account.orders`."""
    return {
        SCHEMA_VERSION: CONTRACTS[InputSource.ACCOUNT_ORDERS].name,
        "client_order_id": order.client_order_id,
        "broker_order_id": order.broker_order_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "quantity": order.quantity,
        "filled_quantity": order.filled_quantity,
        "status": order.status.value,
    }


def journal_order_payload(order: JournalOrder) -> dict[str, Any]:
    """Return an order that the journal prepared as a payload of `account.orders`."""
    return {
        SCHEMA_VERSION: CONTRACTS[InputSource.ACCOUNT_ORDERS].name,
        "client_order_id": order.client_order_id,
        "broker_order_id": order.broker_order_id,
        "symbol": order.request.symbol,
        "side": order.request.side.value,
        "quantity": order.request.quantity,
        "filled_quantity": order.filled_quantity,
        "status": order.status,
    }


def status_payload(row: OrderStatusRow) -> dict[str, Any]:
    """Return a row of the table `order_status` as a payload of `order.status`."""
    return {
        SCHEMA_VERSION: CONTRACTS[InputSource.ORDER_STATUS].name,
        "session": row.session.isoformat(),
        "symbol": row.symbol,
        "side": row.side.value,
        "intent_id": row.intent_id,
        "client_order_id": row.client_order_id,
        "intent_state": row.intent_state,
        "status": row.status,
        "terminal": row.terminal,
        "quantity": row.quantity,
        "filled_quantity": row.filled_quantity,
        "reason": row.reason,
    }


# --------------------------------------------------------------------------------------------- hydration


class Ask(NamedTuple):
    """Hold one way to read a source: whom it asks, and the question, which gives payloads or raises."""

    origin: Origin
    question: Callable[[], Iterable[Mapping[str, Any]]]


class Failed(NamedTuple):
    """Hold why a read gave nothing that can be used: a stable code, and one line for people."""

    code: str
    detail: str
    may_come: bool


class InputRow(NamedTuple):
    """Hold how one source was hydrated for a session. A read of one origin is one attempt.

    `ready` of the `attempted` reads held the contract, `errors` did not; `used` is the origin that is decided
    on, empty where none is, and `fallback_reason` the code for which the first one was left. `records` are
    counted, `records_sha` digests them; `payloads` is their JSON text, empty for quotes, which stand in their
    own table. `remark` is one line for people.
    """

    session: date
    source: InputSource
    contract: str
    status: InputStatus
    attempted: int
    ready: int
    errors: int
    expected: str
    used: str
    fallback_reason: str
    error_codes: str
    records: int
    records_sha: str
    payloads: str
    hydrated_at: datetime
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Hold whether a session's inputs can be decided on, and what there is of each.

    `present` are the sources with a usable read, `used` each of them with its origin, `errors` the codes
    of every read that failed. `reason` is one line why it is not ready; `open_orders` the symbols in which an
    order of the account is open.
    """

    status: InputStatus
    present: tuple[str, ...]
    used: tuple[str, ...]
    errors: tuple[str, ...]
    fallbacks: tuple[str, ...]
    reason: str
    open_orders: frozenset[Symbol]


class InputHistory(Protocol):
    """Give what was hydrated for the sessions of one book."""

    def inputs_of(self, session: date) -> tuple[InputRow, ...] | None:
        """Return the rows stored for a session, `None` where there are none."""
        ...


class InputsNotReady(Refused):
    """Refuse a scan whose inputs are not there; `status` says whether asking again may help."""

    def __init__(self, envelope: Envelope) -> None:
        super().__init__(f"inputs {envelope.status}: {envelope.reason}")
        self.status = envelope.status


def hydrated(
    source: InputSource,
    asks: Sequence[Ask],
    *,
    session: date,
    now: datetime,
    refuses: Callable[[Sequence[Record]], Failed | None] = lambda _: None,
    keeps: bool = True,
    left: str = "",
) -> InputRow:
    """Return a source hydrated from the first of its origins that answers with nothing but its contract.

    One bad record spoils a read: half a list is a failed query. `refuses` names what is wrong with
    records that hold their contract: late, stale, of the session itself. With `keeps` the row holds them.
    `left` is why a source behind the first origin was left for another one before, empty where none was.
    """
    failures: list[Failed] = []
    for ask in asks:
        records, payloads, failed = _read(source, ask, refuses)
        if failed is None:
            text = canonical_json(payloads)
            return _row(
                source,
                asks,
                session,
                now,
                failures,
                used=ask.origin,
                records=len(records),
                text=text,
                keeps=keeps,
                left=left,
            )
        failures.append(failed)
    return _row(source, asks, session, now, failures, used=None, records=0, text="[]", keeps=False)


def envelope_of(rows: Iterable[InputRow]) -> Envelope:
    """Return the envelope of a session's sources: ready only where each of them is.

    Of a session that was decided before inputs were kept there are no rows, and nothing holds it up.
    """
    listed = list(rows)
    missing = [row for row in listed if row.status is not InputStatus.READY]
    status = InputStatus.READY
    if missing:
        is_final = any(row.status is InputStatus.ERROR for row in missing)
        status = InputStatus.ERROR if is_final else InputStatus.ASK
    return Envelope(
        status=status,
        present=tuple(row.source.value for row in listed if row.used),
        used=tuple(f"{row.source}={row.used}" for row in listed if row.used),
        errors=tuple(code for row in listed for code in row.error_codes.split(", ") if code),
        fallbacks=tuple(
            f"{row.source}: {row.expected} to {row.used}, {row.fallback_reason}"
            for row in listed
            if row.fallback_reason
        ),
        reason="; ".join(row.remark for row in missing),
        open_orders=open_orders_of(listed),
    )


def open_orders_of(rows: Iterable[InputRow]) -> frozenset[Symbol]:
    """Return the symbols in which an order of the account is open, by the records that were stored.

    An order of an earlier session that has not ended counts as well, whoever knows of it.
    """
    found: set[Symbol] = set()
    for row in rows:
        for payload in json.loads(row.payloads) if row.payloads else ():
            record = record_of(row.source, payload)
            if isinstance(record, AccountOrder) and record.is_open:
                found.add(record.symbol)
            if isinstance(record, StatusOfOrder) and not record.terminal:
                found.add(record.symbol)
    return frozenset(found)


def quotes_refused(records: Sequence[Record], *, expected_on: date, known_by: datetime) -> Failed | None:
    """Return why bars are not those of the last session, `None` where they all are.

    `known_by` is the open of the decision's session: what was known later is look-ahead.
    """
    source = InputSource.MARKET_QUOTE
    quotes = [record for record in records if isinstance(record, MarketQuote)]
    if not quotes:
        return Failed(f"{source}:read:{MISSING}", f"no quote of {expected_on}", may_come=True)
    for quote in quotes:
        if quote.session > expected_on or quote.fetched_at > known_by:
            told = f"{quote.symbol} of {quote.session}, known at {quote.fetched_at.isoformat()}"
            return Failed(f"{source}:read:{LOOK_AHEAD}", told, may_come=False)
        if quote.session < expected_on:
            told = f"{quote.symbol} is of {quote.session}, expected {expected_on}"
            return Failed(f"{source}:read:{STALE}", told, may_come=True)
    return None


def orders_refused(records: Sequence[Record]) -> Failed | None:
    """Return why a list of orders cannot be one: it names an order twice."""
    seen: set[tuple[str, str]] = set()
    for record in records:
        if isinstance(record, AccountOrder):
            key = (record.client_order_id, record.broker_order_id)
            if key in seen:
                code = f"{InputSource.ACCOUNT_ORDERS}:{CONTRACT_VIOLATION}"
                return Failed(code, f"order {record.client_order_id} is listed twice", may_come=False)
            seen.add(key)
    return None


def statuses_refused(records: Sequence[Record], *, before: date) -> Failed | None:
    """Return why a session may not know of order statuses: they are its own or later ones."""
    for record in records:
        if isinstance(record, StatusOfOrder) and record.session >= before:
            code = f"{InputSource.ORDER_STATUS}:read:{LOOK_AHEAD}"
            told = f"{record.symbol} of {record.session}: a decision for {before} knows earlier ones"
            return Failed(code, told, may_come=False)
    return None


def _read(
    source: InputSource, ask: Ask, refuses: Callable[[Sequence[Record]], Failed | None]
) -> tuple[list[Record], list[Mapping[str, Any]], Failed | None]:
    """Return what one origin gave, or why it cannot be used."""
    failed: Failed | None = None
    payloads: list[Mapping[str, Any]] = []
    records: list[Record] = []
    try:
        payloads = list(ask.question())
        records = [record_of(source, payload) for payload in payloads]
    except ContractViolation as error:
        failed = Failed(error.code, str(error), may_come=False)
    except TradingError as error:
        failed = _failure_of(source, ask.origin, error)
    return records, payloads, failed if failed is not None else refuses(records)


def _failure_of(source: InputSource, origin: Origin, error: TradingError) -> Failed:
    """Return an origin's error as a code, and whether asking again may help."""
    word = failure_word(error)
    is_final = isinstance(error, LookAhead | LakeError | BadSetting | KeysRefused)
    return Failed(f"{source}:read_{origin}:{word}", str(error), may_come=not is_final)


def _row(
    source: InputSource,
    asks: Sequence[Ask],
    session: date,
    now: datetime,
    failures: Sequence[Failed],
    *,
    used: Origin | None,
    records: int,
    text: str,
    keeps: bool,
    left: str = "",
) -> InputRow:
    status = InputStatus.READY
    if used is None:
        may_come = any(failed.may_come for failed in failures)
        status = InputStatus.ASK if may_come else InputStatus.ERROR
    ready = 0 if used is None else 1
    told = "; ".join(f"{failed.code} ({failed.detail})" for failed in failures)
    return InputRow(
        session=session,
        source=source,
        contract=CONTRACTS[source].name,
        status=status,
        attempted=len(failures) + ready,
        ready=ready,
        errors=len(failures),
        expected=asks[0].origin.value,
        used="" if used is None else used.value,
        fallback_reason="" if used is None else (failures[0].code if failures else left),
        error_codes=", ".join(failed.code for failed in failures),
        records=records,
        records_sha=digest_of_text(text),
        payloads=text if keeps else "",
        hydrated_at=now,
        remark=told or left,
    )
