"""Which rows of a source are fit to be quotes: every rule, its order, and what a release can undo.

A row breaks at most one rule for the reader: the first of `Reason`, whose order is the precedence.
What stays is a `Quote`; everything else is `Quarantined` with its reason, so that no row is lost.
Bars and windows are quotes.py; reading files is resources/market_data/; the limits and the reviewed
releases are read by resources/quality_rules.py from `config/quality.toml` and `config/releases.toml`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple, cast

from trading.actions import ActionKind, CorporateAction
from trading.quotes import Quarantined, Quote, RawBar, SessionQuotes
from trading.sessions import Calendar
from trading.values import MICROS, Symbol, amount_from_micros, digest

BPS = 10_000
"""Basis points in one."""

ROW_ID_LENGTH = 16
"""Hex digits of a row id: 64 bits, short enough for a person to copy."""

GAP_SOURCE = "calendar"
"""Stands as the source of a gap: the calendar says that a row should be there."""


class Reason(StrEnum):
    """Say why a row is quarantined. The order is the precedence: of several reasons the first is told.

    From `conflicting` on, a reason depends on other rows; the two gaps at the end have no row at all.
    """

    HEADER_ROW = "header_row"
    UNREADABLE_DATE = "unreadable_date"
    AMBIGUOUS_DATE = "ambiguous_date"
    OFF_SESSION = "off_session"
    BAD_SYMBOL = "bad_symbol"
    MISSING_FIELD = "missing_field"
    NOT_A_NUMBER = "not_a_number"
    TOO_PRECISE = "too_precise"
    NON_POSITIVE_PRICE = "non_positive_price"
    NEGATIVE_VOLUME = "negative_volume"
    TOO_LARGE = "too_large"
    HIGH_BELOW_LOW = "high_below_low"
    OPEN_ABOVE_HIGH = "open_above_high"
    OPEN_BELOW_LOW = "open_below_low"
    CLOSE_ABOVE_HIGH = "close_above_high"
    CLOSE_BELOW_LOW = "close_below_low"
    ZERO_VOLUME = "zero_volume"
    CONFLICTING = "conflicting"
    DUPLICATE = "duplicate"
    STALE_REPEAT = "stale_repeat"
    SPLIT_WITHOUT_JUMP = "split_without_jump"
    UNEXPLAINED_JUMP = "unexplained_jump"
    SESSION_MISSING_FOR_SYMBOL = "session_missing_for_symbol"
    SESSION_MISSING_FOR_ALL = "session_missing_for_all"


_PRECEDENCE = {reason: place for place, reason in enumerate(Reason)}

RELEASABLE = frozenset(
    {
        Reason.HIGH_BELOW_LOW,
        Reason.OPEN_ABOVE_HIGH,
        Reason.OPEN_BELOW_LOW,
        Reason.CLOSE_ABOVE_HIGH,
        Reason.CLOSE_BELOW_LOW,
        Reason.ZERO_VOLUME,
        Reason.CONFLICTING,
        Reason.STALE_REPEAT,
        Reason.SPLIT_WITHOUT_JUMP,
        Reason.UNEXPLAINED_JUMP,
    }
)
"""What a person may overrule. The rest cannot become a quote (no number, no date, no positive price),
and a duplicate says nothing that is not accepted already."""


class DateStyle(StrEnum):
    """Say in which order a date's numbers stand where the text alone does not tell."""

    MDY = "mdy"
    DMY = "dmy"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityLimits:
    """Hold the numbers of the rules; `config/quality.toml` gives each its value and reason.

    `jump_bps_max`: largest believed |close / expected close − 1|, in basis points.
    `coverage_bps_min`: share of recently quoted symbols that a fit session has, in basis points.
    `coverage_sessions`: how many earlier sessions count as recent.
    `history_sessions`: how many earlier sessions a last accepted quote counts; older ones are forgotten.
    `coverage_missing_tolerated`: symbols that may always be missing, whatever their share.
    `stale_volume_min`: shares from which on an exact repeat of a bar is not believed.
    `price_micros_max`: largest price in micro-units. `volume_max`: largest volume in shares.
    """

    jump_bps_max: int
    history_sessions: int
    coverage_bps_min: int
    coverage_sessions: int
    coverage_missing_tolerated: int
    stale_volume_min: int
    price_micros_max: int
    volume_max: int

    def __post_init__(self) -> None:
        """Refuse limits that would switch a rule off or judge everything unfit."""
        for name, low, high in (
            ("jump_bps_max", 1, 100 * BPS),
            ("history_sessions", 1, 10_000),
            ("coverage_bps_min", 0, BPS),
            ("coverage_sessions", 1, self.history_sessions),
            ("coverage_missing_tolerated", 0, 1000),
            ("stale_volume_min", 1, 10**12),
            ("price_micros_max", 1, 2**62),
            ("volume_max", 1, 2**62),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} {value}: must lie from {low} to {high}")


class Fault(NamedTuple):
    """Hold the rule that a row breaks, and how."""

    reason: Reason
    detail: str


class ParsedBar(NamedTuple):
    """Hold a row whose text could be read: prices in micro-units, volume in shares."""

    symbol: Symbol
    session: date
    open_micros: int
    high_micros: int
    low_micros: int
    close_micros: int
    volume: int


def row_id(bar: RawBar) -> str:
    """Return the id by which a person names a row: a digest of source, line and content."""
    return digest(list(bar))[:ROW_ID_LENGTH]


def dates_of(calendar: Calendar, *, first: date, last: date) -> tuple[date, date]:
    """Return the dates (both included) whose rows belong to the sessions `first` to `last`.

    They end on the eve of the session after `last`, since a weekend's row is judged with the session
    before it. Asking a source for less would lose such rows.
    """
    if last == calendar.sessions[-1]:
        return first, date.max
    return first, calendar.next(last) - timedelta(days=1)


def judge_session(
    *,
    session: date,
    raw: Iterable[RawBar],
    calendar: Calendar,
    previous: Mapping[Symbol, Quote],
    actions: Iterable[CorporateAction],
    released: Collection[str],
    limits: QualityLimits,
    source_sha: str,
    known_at: datetime,
) -> SessionQuotes:
    """Return the accepted and quarantined rows of one session, whatever the order in which they came.

    `raw` holds the session's rows and those that belong to it without being dated so (no readable date,
    a weekend, a holiday): each of them comes out exactly once. `previous` is the last *accepted* quote
    of each symbol before the session. A close is compared with that one, so after an unexplained jump a
    symbol stays out, session after session, until a person releases the row or its price comes back; or
    until the quote is older than `history_sessions`, when it begins anew. Give `previous` at least that
    far back: older quotes are left aside here, so that a session is judged alike alone and in a range.
    `released` holds row ids. Raises `ValueError` for a row dated another session of the calendar, and
    `UnknownSession` where `session` is none.
    """
    calendar.require(session)
    by_symbol = _by_symbol(actions)
    judge = _Judge(
        calendar=calendar, actions=by_symbol, released=released, limits=limits, source_sha=source_sha
    )
    return judge.session_quotes(session, raw, previous, known_at)


class Reading(NamedTuple):
    """Hold what a source, by its name, gave for consecutive sessions.

    `failure` is the word for why it gave nothing, as `time_out`; empty where it gave what it has.
    """

    name: str
    rows: tuple[RawBar, ...]
    source_sha: str
    failure: str = ""


class Chosen(NamedTuple):
    """Hold a session's rows as judged, whose they are, and why not the first source's (empty where they are).

    The reason is `<source>:read:<word>`: the failure of the read, `late` where it has no row of the session,
    else `unfit`.
    """

    quotes: SessionQuotes
    used: str
    fallback_reason: str


def judge_sources(
    *,
    sessions: Sequence[date],
    readings: Sequence[Reading],
    calendar: Calendar,
    previous: Mapping[Symbol, Quote],
    actions: Iterable[CorporateAction],
    released: Collection[str],
    limits: QualityLimits,
) -> tuple[Chosen, ...]:
    """Return each session from the first source whose rows are fit to decide on, else from the first read.

    Whatever source it is, a row is judged by what was accepted before it; sources are never mixed within a
    session. Otherwise as `judge_range`.
    """
    by_symbol = _by_symbol(actions)
    judges = [
        _Judge(
            calendar=calendar,
            actions=by_symbol,
            released=released,
            limits=limits,
            source_sha=reading.source_sha,
        )
        for reading in readings
    ]
    placed = [_placed(sessions, reading.rows) for reading in readings]
    latest = dict(previous)
    own = [dict(previous) for _ in readings]
    chosen = []
    for session in sessions:
        calendar.require(session)
        tried = []
        for reading, judge, rows, before in zip(readings, judges, placed, own, strict=True):
            quotes = judge.session_quotes(session, rows[session], latest, calendar.closes_at(session))
            if before != latest:
                # Beside another source's bars an old bar of its own looks new: it is judged by its own too.
                alone = judge.session_quotes(session, rows[session], before, calendar.closes_at(session))
                before |= {quote.symbol: quote for quote in alone.accepted}
                quotes = alone if alone.unfit_reason else quotes
            else:
                before |= {quote.symbol: quote for quote in quotes.accepted}
            tried.append((reading, quotes))
        used, quotes = next(
            ((reading, judged) for reading, judged in tried if not judged.unfit_reason),
            next(((reading, judged) for reading, judged in tried if not reading.failure), tried[0]),
        )
        first, of_first = tried[0]
        reason = "" if used is first else f"{first.name}:read:{_why_left(first, of_first)}"
        latest |= {quote.symbol: quote for quote in quotes.accepted}
        chosen.append(Chosen(quotes, used.name, reason))
    return tuple(chosen)


def _why_left(reading: Reading, judged: SessionQuotes) -> str:
    """Return the word for why a source's session is not used."""
    if reading.failure:
        return reading.failure
    is_late = any(row.reason == Reason.SESSION_MISSING_FOR_ALL for row in judged.quarantined)
    return "late" if is_late or not (judged.accepted or judged.quarantined) else "unfit"


def judge_range(
    *,
    sessions: Sequence[date],
    raw: Iterable[RawBar],
    calendar: Calendar,
    previous: Mapping[Symbol, Quote],
    actions: Iterable[CorporateAction],
    released: Collection[str],
    limits: QualityLimits,
    source_sha: str,
) -> tuple[SessionQuotes, ...]:
    """Return one `SessionQuotes` for each of consecutive sessions, each judged after the one before.

    A row dated outside the calendar's sessions belongs to the session before its date, a row without a
    readable date to that of the nearest readable row above it in its source (else below it); before the
    first session, to the first. `previous` are the last accepted quotes before the first session.
    Raises `ValueError` for a row dated a session of the calendar that is not among `sessions`.
    """
    chosen = judge_sources(
        sessions=sessions,
        readings=[Reading("", tuple(raw), source_sha)],
        calendar=calendar,
        previous=previous,
        actions=actions,
        released=released,
        limits=limits,
    )
    return tuple(one.quotes for one in chosen)


# ------------------------------------------------------------------------------------------- one row

SYMBOL_PATTERN = re.compile(r"[A-Z0-9.\-]{1,12}")
_PLAIN_NUMBER = re.compile(r"(\d{1,18})(?:\.(\d{0,40}))?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,2})?", re.ASCII)
_NUMBER_NAMES = ("open", "high", "low", "close", "volume")

_YEAR_FIRST = re.compile(r"(\d{4})([-/]?)(\d{2})\2(\d{2})", re.ASCII)
_MONTH_BY_NAME = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@lru_cache(maxsize=1 << 15)
def read_date(text: str, style: DateStyle | None = None) -> date | Fault:
    """Return the date that a text gives, or why it gives none.

    Read without a style: `2013-03-01`, `20130301`, `2013/03/01`, `01-Mar-2013`. What ends in the year
    (`03/01/2013`) needs `style`, even where only one order is possible: a column is in one order
    throughout, and a row that happens to tell must not decide for the others.
    """
    text = text.strip()
    if match := _YEAR_FIRST.fullmatch(text):
        return _date_or_fault(text, year=match[1], month=match[3], day=match[4])
    if match := _MONTH_BY_NAME.fullmatch(text):
        name = match[2].lower()
        if name not in _MONTHS:
            return Fault(Reason.UNREADABLE_DATE, f"date {text!r}: no month is called {match[2]!r}")
        return _date_or_fault(text, year=match[3], month=str(_MONTHS.index(name) + 1), day=match[1])
    if match := _YEAR_LAST.fullmatch(text):
        match style:
            case None:
                return Fault(
                    Reason.AMBIGUOUS_DATE, f"date {text!r}: day or month first? set date_style to dmy or mdy"
                )
            case DateStyle.DMY:
                return _date_or_fault(text, year=match[4], month=match[3], day=match[1])
            case DateStyle.MDY:
                return _date_or_fault(text, year=match[4], month=match[1], day=match[3])
    return Fault(
        Reason.UNREADABLE_DATE,
        f"date {text!r}: not 2013-03-01, 20130301, 2013/03/01, 01-Mar-2013 or, with date_style, 03/01/2013",
    )


def _date_or_fault(text: str, *, year: str, month: str, day: str) -> date | Fault:
    try:
        return date(int(year), int(month), int(day))
    except ValueError as error:
        return Fault(Reason.UNREADABLE_DATE, f"date {text!r}: {error}")


def parse_bar(bar: RawBar, limits: QualityLimits) -> ParsedBar | Fault:
    """Return a row's values, or the first rule by which they cannot be had.

    Text stays text: `TRUE`, `NAN`, `ON`, `NA` and `NULL` are symbols like any other. Whether the date is
    a session, and whether open, high, low and close agree, is judged by others.
    """
    if bar.open.strip().lower() in _NUMBER_NAMES:
        return Fault(Reason.HEADER_ROW, f"a header in mid-file: open is {bar.open.strip()!r}")
    on = read_date(bar.session)
    if isinstance(on, Fault):
        return on
    symbol = bar.symbol.strip()
    if not SYMBOL_PATTERN.fullmatch(symbol):
        return Fault(Reason.BAD_SYMBOL, f"symbol {symbol!r}: not 1 to 12 of A-Z, 0-9, point and dash")
    texts = bar[4:]
    numbers = [micros_or_fault(name, text) for name, text in zip(_NUMBER_NAMES, texts, strict=True)]
    if faults := [number for number in numbers if isinstance(number, Fault)]:
        return min(faults, key=lambda fault: _PRECEDENCE[fault.reason])
    opened, high, low, close, volume_micros = cast("list[int]", numbers)
    if volume_micros % MICROS:
        return Fault(Reason.TOO_PRECISE, f"volume {bar.volume}: whole shares only")
    volume = volume_micros // MICROS
    for name, micros, text in zip(_NUMBER_NAMES, (opened, high, low, close), texts, strict=False):
        if micros <= 0:
            return Fault(Reason.NON_POSITIVE_PRICE, f"{name} {text.strip()}: a price is above zero")
    if volume < 0:
        return Fault(Reason.NEGATIVE_VOLUME, f"volume {bar.volume.strip()}: never below zero")
    if (top := max(opened, high, low, close)) > limits.price_micros_max:
        ceiling = amount_from_micros(limits.price_micros_max)
        return Fault(Reason.TOO_LARGE, f"price {amount_from_micros(top)}: limit price_max {ceiling}")
    if volume > limits.volume_max:
        return Fault(Reason.TOO_LARGE, f"volume {volume}: limit volume_max {limits.volume_max}")
    return ParsedBar(Symbol(symbol), on, opened, high, low, close, volume)


def micros_or_fault(name: str, text: str) -> int | Fault:
    """Return the micro-units of a number written as text, exactly, or why there are none.

    `Fraction` reads the rare exponent (`1e-3`): `Decimal` would round beyond 28 digits without a word.
    """
    text = text.strip()
    if match := _PLAIN_NUMBER.fullmatch(text):
        whole, decimals = match.groups("")
        decimals = decimals.rstrip("0").ljust(6, "0")
        if len(decimals) > 6:  # noqa: PLR2004 - decimals of a micro-unit
            return Fault(Reason.TOO_PRECISE, f"{name} {text}: more than six decimals")
        return int(whole + decimals)
    if not text:
        return Fault(Reason.MISSING_FIELD, f"{name} is empty")
    if not _NUMBER.fullmatch(text):
        return Fault(Reason.NOT_A_NUMBER, f"{name} {text!r}: not a decimal number")
    micros = Fraction(text) * MICROS
    if micros.denominator != 1:
        return Fault(Reason.TOO_PRECISE, f"{name} {text}: more than six decimals")
    return micros.numerator


def range_fault(bar: ParsedBar) -> Fault | None:
    """Return the first way in which a bar's own numbers disagree, or nothing."""
    opened, high, low, close = bar.open_micros, bar.high_micros, bar.low_micros, bar.close_micros
    if low <= opened <= high and low <= close <= high and bar.volume:
        return None
    if high < low:
        return Fault(Reason.HIGH_BELOW_LOW, _against("high", high, "low", low))
    if opened > high:
        return Fault(Reason.OPEN_ABOVE_HIGH, _against("open", opened, "high", high))
    if opened < low:
        return Fault(Reason.OPEN_BELOW_LOW, _against("open", opened, "low", low))
    if close > high:
        return Fault(Reason.CLOSE_ABOVE_HIGH, _against("close", close, "high", high))
    if close < low:
        return Fault(Reason.CLOSE_BELOW_LOW, _against("close", close, "low", low))
    return Fault(Reason.ZERO_VOLUME, "volume 0: a price at which nothing was traded")


def _against(name: str, micros: int, other: str, other_micros: int) -> str:
    return f"{name} {amount_from_micros(micros)} against {other} {amount_from_micros(other_micros)}"


# ------------------------------------------------------------------------------ a row after its predecessor


def history_fault(
    bar: ParsedBar, previous: Quote, actions: Iterable[CorporateAction], limits: QualityLimits
) -> Fault | None:
    """Return how a bar disagrees with its symbol's last accepted quote, or nothing.

    The close expected is the last accepted one, less dividends and divided by splits effective since.
    """
    since = [action for action in actions if previous.session < action.effective_on <= bar.session]
    if any(action.kind is ActionKind.DELISTING for action in since):
        return None  # another instrument trades under the symbol now
    if bar[2:] == previous[2:7] and bar.volume >= limits.stale_volume_min:
        return Fault(Reason.STALE_REPEAT, f"open, high, low, close and volume as on {previous.session}")
    expected = _expected_close(previous.close_micros, since)
    if _within(bar.close_micros, expected, limits.jump_bps_max):
        return None
    splits = [action for action in since if action.kind is ActionKind.SPLIT]
    if splits and _within(bar.close_micros, previous.close_micros, limits.jump_bps_max):
        split = splits[-1]
        return Fault(
            Reason.SPLIT_WITHOUT_JUMP,
            f"split {split.numerator}:{split.denominator} of {split.effective_on}, but close "
            f"{amount_from_micros(bar.close_micros)} after {amount_from_micros(previous.close_micros)}",
        )
    return Fault(Reason.UNEXPLAINED_JUMP, _jump_detail(bar, previous, expected, limits))


def _expected_close(close_micros: int, actions: Iterable[CorporateAction]) -> Fraction | int:
    expected: Fraction | int = close_micros
    for action in sorted(actions):
        match action.kind:
            case ActionKind.SPLIT:
                expected *= Fraction(action.denominator, action.numerator)
            case ActionKind.DIVIDEND:
                # A payment above the price is a mistake of the source: the jump rule shall say so.
                expected = max(expected - action.dividend_micros, 1)
            case ActionKind.DELISTING:
                break  # its holders are paid out; `history_fault` holds what follows to no history
    return expected


def _within(close_micros: int, expected: Fraction | int, bps_max: int) -> bool:
    allowed = bps_max * expected
    return -allowed <= BPS * (close_micros - expected) <= allowed


# Ratios in use; a jump close to one is probably a split that the source does not tell.
_SPLIT_RATIOS = tuple(
    Fraction(new, old)
    for new, old in ((3, 2), (2, 1), (3, 1), (4, 1), (5, 1), (10, 1), (1, 2), (1, 3), (1, 5), (1, 10))
)
_SPLIT_NEARNESS_BPS = 500


def _jump_detail(bar: ParsedBar, previous: Quote, expected: Fraction | int, limits: QualityLimits) -> str:
    move_bps = round((Fraction(bar.close_micros) / expected - 1) * BPS)
    near = [
        ratio for ratio in _SPLIT_RATIOS if _within(bar.close_micros, expected / ratio, _SPLIT_NEARNESS_BPS)
    ]
    hint = f"; near a {near[0].numerator}:{near[0].denominator} split that no action tells" if near else ""
    return (
        f"close {amount_from_micros(bar.close_micros)} after {amount_from_micros(previous.close_micros)} on "
        f"{previous.session}: {move_bps / 100:+.1f} %, limit {limits.jump_bps_max / 100:g} %{hint}"
    )


# ----------------------------------------------------------------------------------------- one session


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Hold what stays the same from session to session."""

    calendar: Calendar
    actions: Mapping[Symbol, list[CorporateAction]]
    released: Collection[str]
    limits: QualityLimits
    source_sha: str

    def session_quotes(
        self, session: date, raw: Iterable[RawBar], previous: Mapping[Symbol, Quote], known_at: datetime
    ) -> SessionQuotes:
        """Return the verdict on one session's rows."""
        previous = self._remembered(session, previous)
        quarantined: list[Quarantined] = []
        readable: dict[Symbol, list[tuple[RawBar, ParsedBar]]] = {}
        seen: set[str] = set()
        for bar in sorted(raw, key=_place):
            parsed = self._parsed_in(session, bar)
            if isinstance(parsed, Fault):
                quarantined.append(_quarantine(bar, session, parsed))
                if parsed.reason not in _UNDATED:
                    seen.add(bar.symbol.strip())
                continue
            seen.add(parsed.symbol)
            readable.setdefault(parsed.symbol, []).append((bar, parsed))
        accepted = []
        for symbol in sorted(readable):
            quote, refused = self._one_of(session, readable[symbol], previous.get(symbol), known_at)
            quarantined += refused
            if quote is not None:
                accepted.append(quote)
        gaps = _gaps(session, seen, previous)
        quarantined += gaps
        return SessionQuotes(
            session=session,
            accepted=tuple(accepted),
            quarantined=tuple(sorted(quarantined, key=_shelf)),
            unfit_reason=self._unfit_reason(session, previous, accepted=len(accepted), any_row=bool(seen)),
        )

    def _remembered(self, session: date, previous: Mapping[Symbol, Quote]) -> Mapping[Symbol, Quote]:
        earlier = self.calendar.before(session, self.limits.history_sessions)
        oldest = earlier[0] if earlier else session
        return {symbol: quote for symbol, quote in previous.items() if oldest <= quote.session < session}

    def _parsed_in(self, session: date, bar: RawBar) -> ParsedBar | Fault:
        parsed = parse_bar(bar, self.limits)
        on = parsed.session if isinstance(parsed, ParsedBar) else read_date(bar.session)
        if on == session or isinstance(on, Fault):
            return parsed
        if on in self.calendar:
            raise ValueError(f"{bar.source} line {bar.line} is dated {on}: not a row of session {session}")
        if isinstance(parsed, Fault) and parsed.reason is Reason.HEADER_ROW:
            return parsed
        why = self.calendar.why_closed(on)
        return Fault(Reason.OFF_SESSION, f"{on} is no session of {self.calendar.name}: {why}")

    def _one_of(
        self,
        session: date,
        rows: list[tuple[RawBar, ParsedBar]],
        previous: Quote | None,
        known_at: datetime,
    ) -> tuple[Quote | None, list[Quarantined]]:
        """Return the quote that a symbol's readable rows give, if any, and the rows that give none."""
        sound, refused = [], []
        for bar, parsed in rows:
            fault = range_fault(parsed)
            if fault is not None and not self._is_released(bar):
                refused.append(_quarantine(bar, session, fault))
            else:
                sound.append((bar, parsed, fault is not None))
        chosen, doubles = self._without_doubles(session, sound)
        refused += doubles
        if chosen is None:
            return None, refused
        bar, parsed, released = chosen
        if previous is not None:
            fault = history_fault(parsed, previous, self.actions.get(parsed.symbol, ()), self.limits)
            if fault is not None and not self._is_released(bar):
                return None, [*refused, _quarantine(bar, session, fault)]
            released = released or fault is not None
        return Quote(*parsed, bar.source, self.source_sha, known_at, released), refused

    def _without_doubles(
        self, session: date, rows: list[tuple[RawBar, ParsedBar, bool]]
    ) -> tuple[tuple[RawBar, ParsedBar, bool] | None, list[Quarantined]]:
        """Return the one row that stands, and the others; none stands where they disagree."""
        if len(rows) <= 1:
            return (rows[0] if rows else None), []
        if len({parsed for _, parsed, _ in rows}) == 1:
            first = rows[0][0]
            fault = Fault(Reason.DUPLICATE, f"as {first.source} line {first.line}")
            return rows[0], [_quarantine(bar, session, fault) for bar, _, _ in rows[1:]]
        lines = ", ".join(f"{bar.source} line {bar.line}" for bar, _, _ in rows)
        fault = Fault(Reason.CONFLICTING, f"different bars of one session: {lines}; release the right one")
        preferred = [row for row in rows if self._is_released(row[0])]
        if len(preferred) != 1:
            return None, [_quarantine(bar, session, fault) for bar, _, _ in rows]
        bar, parsed, _ = preferred[0]
        return (bar, parsed, True), [
            _quarantine(other, session, fault) for other, _, _ in rows if other is not bar
        ]

    def _is_released(self, bar: RawBar) -> bool:
        return bool(self.released) and row_id(bar) in self.released

    def _unfit_reason(
        self, session: date, previous: Mapping[Symbol, Quote], *, accepted: int, any_row: bool
    ) -> str:
        if not any_row:
            return f"no row at all for {session}"
        if accepted == 0:
            return f"no accepted quote for {session}: every row is quarantined"
        limits = self.limits
        recent = self.calendar.before(session, limits.coverage_sessions)
        expected = sum(quote.session >= recent[0] for quote in previous.values()) if recent else 0
        missing = expected - accepted
        if (
            missing <= limits.coverage_missing_tolerated
            or accepted * BPS >= limits.coverage_bps_min * expected
        ):
            return ""
        return (
            f"{accepted} of {expected} recently quoted symbols accepted for {session}: "
            f"coverage_min is {limits.coverage_bps_min / 100:g} %"
        )


_UNDATED = frozenset({Reason.HEADER_ROW, Reason.UNREADABLE_DATE, Reason.AMBIGUOUS_DATE, Reason.OFF_SESSION})
"""Reasons of rows that do not say that a symbol was there in the session."""


def _gaps(session: date, seen: Collection[str], previous: Mapping[Symbol, Quote]) -> list[Quarantined]:
    """Return a gap for all, or one for each symbol quoted in the last quoted session but not in this one."""
    if not seen:
        return [
            _gap(session, "", Fault(Reason.SESSION_MISSING_FOR_ALL, "the source has no row of this session"))
        ]
    latest = max((quote.session for quote in previous.values()), default=None)
    return [
        _gap(session, symbol, Fault(Reason.SESSION_MISSING_FOR_SYMBOL, f"last quoted {quote.session}"))
        for symbol, quote in previous.items()
        if quote.session == latest and symbol not in seen
    ]


def _gap(session: date, symbol: str, fault: Fault) -> Quarantined:
    place = digest([GAP_SOURCE, session.isoformat(), symbol, fault.reason])[:ROW_ID_LENGTH]
    empty = ("", "", "", "", "")
    return Quarantined(
        place, symbol, session, *empty, GAP_SOURCE, 0, fault.reason, fault.detail, releasable=False
    )


def _quarantine(bar: RawBar, session: date, fault: Fault) -> Quarantined:
    return Quarantined(
        row_id=row_id(bar),
        symbol=bar.symbol,
        session=session,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        source=bar.source,
        line=bar.line,
        reason=fault.reason,
        detail=fault.detail,
        releasable=fault.reason in RELEASABLE,
    )


_place = attrgetter("source", "line")


def _shelf(row: Quarantined) -> tuple[str, str, str, int]:
    return row.symbol, row.reason, row.source, row.line


def _by_symbol(actions: Iterable[CorporateAction]) -> dict[Symbol, list[CorporateAction]]:
    grouped: dict[Symbol, list[CorporateAction]] = {}
    for action in actions:
        grouped.setdefault(action.symbol, []).append(action)
    return grouped


# ------------------------------------------------------------------------------------- rows to sessions


def _placed(sessions: Sequence[date], raw: Iterable[RawBar]) -> dict[date, list[RawBar]]:
    """Return the rows of each session; every row stands in exactly one."""
    by_session: dict[date, list[RawBar]] = {session: [] for session in sessions}
    rows = sorted(raw, key=_place)
    if rows and not sessions:
        raise ValueError(f"{len(rows)} rows and no session to place them in")
    for bar, on in zip(rows, dates_by_neighbour(rows), strict=True):
        index = max(bisect_right(sessions, on) - 1, 0) if on is not None else 0
        by_session[sessions[index]].append(bar)
    return by_session


def dates_by_neighbour(rows: Sequence[RawBar]) -> list[date | None]:
    """Return the date of each row, sorted by source and line; without one of its own, its neighbour's.

    The neighbour is the nearest readable row above in the same source, else the nearest below, else the
    earliest date of all rows; None only where no row at all has a date.
    """
    read = [read_date(bar.session) for bar in rows]
    own = [None if isinstance(on, Fault) else on for on in read]
    found = list(own)
    for order in (range(len(rows)), range(len(rows) - 1, -1, -1)):
        nearest: tuple[str, date | None] = ("", None)
        for index in order:
            source, on = rows[index].source, own[index]
            if on is not None or source != nearest[0]:
                nearest = source, on
            elif found[index] is None:
                found[index] = nearest[1]
    earliest = min((on for on in own if on is not None), default=None)
    return [earliest if on is None else on for on in found]
