"""Do the stores agree: each invariant over journal, audit log and brokers, held or violated.

A paper broker's ledger is read here; brokers over a network are asked by a process of its own (asking.py).
Also whether each order leads back to its decision, its verdicts and what was read. What an invariant means
is trading/invariants.py; whether the installation is fit at all is doctor.py. Changes nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from console.agreement import why_nothing, why_unlogged
from console.asking import Answers, ask_apart, routes_used
from console.desk import Desk
from console.exit_codes import ExitCode
from console.lake_rows import rows_found
from console.ledgers import ledger_paths, lost_ledgers
from console.paper_accounts import accounts_held, routed_accounts_held
from console.render import counted
from console.route_looks import names_another
from resources.evidence import gather, paper_dump, stored_verdicts
from resources.journal.looking import is_undecodable
from resources.settings import given_variables, load_secrets
from trading.audit import Tell
from trading.brokers import BrokerDump
from trading.errors import BrokerUnavailable, JournalUnavailable, TradingError
from trading.invariants import (
    FLATTEN_ORDERED,
    FLATTEN_PREVIEWED,
    INVARIANTS,
    Evidence,
    Invariant,
    LakeRead,
    Replayed,
    Violation,
    breaches,
    facts_of,
    without_books,
)
from trading.journal import JournalIntent
from trading.lifecycle import Stage, Step
from trading.routing import EMBEDDED_PAPER
from trading.values import Slot, digest
from trading.verdicts import Verdict, verdicts_sha

SHOWN = 10
"""How many violations, or orders that lead nowhere, are named; the others are counted."""

LOOK_AGAIN_S = 1.0
"""Seconds until a second look: what was on its way between journal and broker has arrived by then."""

MANY_EVENTS = 20_000
"""From so many events on a check takes seconds, and tells how far it is."""

TABLES_AT_ONCE = 2_000
"""After so many tables of the lake it is told how far the reading is."""

ADDRESSES = ("TRADING_WEBHOOK_URL", "TRADING_SLACK_WEBHOOK_URL", "TRADING_EMAIL_URL")

LONG_LOG_BYTES = 20_000_000
"""From such a log on reading takes seconds, and is told."""

JOURNAL = "journal"
DAMAGED = "journal's file"
LOG = "audit log"
LOG_FILE = "audit log's file"
LEDGERS = "brokers"
OVER_NETWORK = "brokers over a network"

STANDS_ON: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("INV1", "INV2", "INV4", "INV13"), (LEDGERS, OVER_NETWORK)),
    "INV8": ("checkpoints",),
    **dict.fromkeys(("INV9", "INV15"), (LOG_FILE,)),
    "INV14": ("lake",),
    "INV19": (LEDGERS, OVER_NETWORK, "lake"),
}
"""The stores without which an invariant is not judged, though the journal can be read."""

WHOLE = frozenset({"INV6", "INV8", "INV9", "INV15"})
"""Invariants of the journal's events and their log as one row: no book has a part of it by itself."""

BESIDE_JOURNAL = frozenset({"INV15", "INV20"})
"""Invariants that are judged, and mended, without the journal's rows; the others are not without them."""

HOW_UNREAD = {OVER_NETWORK: "could not be asked", JOURNAL: "is gone", LOG: "is missing"}
"""What is said of a store that is missing, where it is not that it cannot be read."""

PRIMARY = 0xFF
"""What of SQLite's extended error codes tells the kind."""

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

REMEDIES: Mapping[str, str] = {
    "INV1": "`trading halt`; cancel the order that is too many at the broker, then `trading trace` the id",
    "INV2": "`trading halt`; see at the broker who sent it: another program, or a journal that was replaced",
    "INV3": "run the session's execute or order status again; it asks the broker, and ends or parks it",
    "INV4": "`trading halt`; compare `trading trace` of the id with the broker, and correct it there",
    "INV5": "`trading halt`; compare the fills of `trading trace` with the broker's confirmations",
    "INV6": "`trading halt`; keep the journal's file, and compare it with the last copy: it was changed",
    "INV7": "`trading halt`; keep the journal's file, and compare it with the last copy: it was changed",
    "INV8": "`trading halt`; keep the journal and the log, and compare both with the copies you took away",
    "INV9": "`trading halt`; keep both: one of them was changed, or the journal is an older copy",
    "INV10": "`trading halt`; `trading explain` the id: a guard was passed over, or money was promised twice",
    "INV11": "find who sent it: `trading trace` the id names the process; stay halted until then",
    "INV12": "`trading halt`; ask the person named; what was executed is not what was approved",
    "INV13": "`trading halt`; compare both requests at the broker: the second is not the first one again",
    "INV14": "re-materialize the session's decisions; where they differ again, an input or rule was changed",
    "INV15": "change the secret or key, then find what wrote it",
    "INV16": "`trading halt`; see at the broker what was traded, and take its keys from this profile",
    "INV17": "`trading advisor ladder --to off`; `trading explain` the id: advice may only make less",
    "INV19": "`trading halt`; compare `trading positions` with the broker's ledger: one of them was changed",
    "INV20": "restore the file from a copy, or re-materialize its table where nothing was decided on it yet",
}
"""What a person does about a violation of each invariant."""

PUT_BACK = "keep what is left, and put the whole copy back: docs/how-to/copy_and_restore.md"
"""What a person does about a violation where the journal is gone or damaged, and knows nothing any more."""


class Standing(StrEnum):
    """Say how an invariant stands."""

    HELD = "held"
    VIOLATED = "violated"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Hold how one invariant stands, what was looked at, and why it could not be judged where it was not."""

    invariant: str
    says: str
    standing: Standing
    looked_at: str
    why: str
    violations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Hold one violation, and what a person does about it."""

    invariant: str
    subject: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """Hold an order that does not lead back to all it was made from, and where the way ends."""

    client_order_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Hold how many orders lead back: order, intent, decision, verdicts, digest of the inputs.

    A flatten's order leads back to the person who ordered it, its preview, and the guards at its send. `why`
    says why none could be followed, empty where they could.
    """

    orders: int
    linked: int
    unlinked: tuple[Unlinked, ...]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Hold what was found: the first violations, and the stores that could not be read."""

    verdict: str
    exit_code: ExitCode
    invariants: tuple[Checked, ...]
    violations: tuple[Found, ...]
    violations_total: int
    links: Links
    unreadable: tuple[str, ...]


def verify(desk: Desk, *, book: str | None, tell: Tell) -> Verified:
    """Return how each invariant stands in the profile's stores; `book` keeps to what is one book's.

    What disagrees is looked at a second time, since a running desk moves between two reads.
    Raises `BadInput` on an unknown book, `JournalUnavailable` where the journal cannot be read, but one that
    is damaged for good is as one that is gone: the other stores are compared.
    """
    only = None if book is None else desk.one(book).name
    try:
        if nothing := _why_nothing(desk):
            return _not_verified(nothing)
        return _compared(desk.with_any_journal(), only, tell, missing=_missing(desk))
    except JournalUnavailable as error:
        if not _is_damage(error):
            raise
        return _compared(desk.without_journal(), only, tell, missing={DAMAGED: str(error)})


def _compared(desk: Desk, only: str | None, tell: Tell, *, missing: Mapping[str, str]) -> Verified:
    look = _look(desk, tell, only)
    found = look.found()
    if any(found.values()):
        time.sleep(LOOK_AGAIN_S)
        look = _look(desk, tell, only)
        again = look.found()
        # What stands in both is no movement; the order is that of the second look.
        found = {name: [row for row in again[name] if row in set(found[name])] for name in again}
    look = replace(look, unreadable={**missing, **look.unreadable})
    return _verified(look, found, _links(desk, look.evidence, look.others))


def _why_nothing(desk: Desk) -> str:
    """Return that there is nothing of a desk, and where; empty where there is something, or was."""
    try:
        return why_nothing(desk)
    except JournalUnavailable:
        return ""


def _missing(desk: Desk) -> dict[str, str]:
    """Return what to say of a journal that is lost while other stores tell of it, or else of a lost log.

    Raises `JournalUnavailable` of a journal that is there and cannot be read.
    """
    desk.with_any_journal().journal.run_control()
    try:
        desk.journal.run_control()
    except JournalUnavailable as error:
        return {JOURNAL: str(error)}
    unlogged = why_unlogged(desk)
    return {LOG: unlogged} if unlogged else {}


def _is_damage(error: JournalUnavailable) -> bool:
    """Say whether a journal's file is damaged for good: not locked, out of reach or of another version."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and (
        is_undecodable(cause) or getattr(cause, "sqlite_errorcode", 0) & PRIMARY in DAMAGE
    )


# -------------------------------------------------------------------------------- looking


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """Hold one look at all stores, what could not be read, and the books that were not asked for."""

    evidence: Evidence
    unreadable: Mapping[str, str]
    others: frozenset[str]
    tell: Tell

    def found(self) -> dict[str, list[Violation]]:
        """Return the violations of each invariant by its name, those of other books left out."""
        evidence = self.evidence
        is_long = len(evidence.events) >= MANY_EVENTS
        facts = facts_of(evidence)
        book_of: dict[str, str] = {row.intent_id: row.intent.book for row in evidence.intents}
        for order in evidence.orders:
            book_of[order.client_order_id] = book_of.get(order.intent_id, "")
        for fill in evidence.fills:
            book_of[fill.execution_id] = book_of.get(fill.intent_id, "")
        found = {}
        for invariant in INVARIANTS:
            if is_long:
                self.tell(f"{invariant.name} {invariant.says}: {invariant.looks_at(evidence)}")
            found[invariant.name] = [
                row
                for row in breaches(invariant, facts)
                # A session's subject begins with its book; an id has it by its intent.
                if book_of.get(row.subject, row.subject.partition(" ")[0]) not in self.others
            ]
        return found


def _look(desk: Desk, tell: Tell, only: str | None) -> _Look:
    """Read the brokers before the journal, so that what they have was prepared by then.

    All of the journal and its log is read, of the lake and of what is held the one book's alone where one
    is asked for.
    """
    unreadable: dict[str, str] = {}
    dumps: list[BrokerDump] = []
    faults: tuple[str, ...] | None = None
    audit_path = desk.audit_log
    is_logged = audit_path.exists()
    if is_logged and (why := _why_unread_log(audit_path)):
        unreadable[LOG_FILE] = why
        is_logged = False
    if is_logged and audit_path.stat().st_size > LONG_LOG_BYTES:
        tell("reading the brokers, the log and the journal")
    answers = _answers(desk, tell)
    if answers.problems:
        unreadable[OVER_NETWORK] = "; ".join(answers.problems)
    try:
        dumps = list(_dumps(desk))
    except TradingError as error:
        unreadable[LEDGERS] = str(error)
    try:
        faults = _checkpoint_faults(audit_path)
    except TradingError as error:
        unreadable["checkpoints"] = str(error)
    evidence = gather(
        desk.journal,
        audit_path=audit_path if is_logged else None,
        dumps=dumps,
        checkpoint_faults=faults,
        planted_secrets=_secrets_in_force(),
    )
    evidence = replace(evidence, secrets_shown=answers.shown)
    elsewhere = _accounts_elsewhere(evidence)
    untold = elsewhere - _accounts_told(answers)
    if LEDGERS not in unreadable:
        lost = lost_ledgers(desk)
        asked = lost.keys() if only is None else _accounts_of(desk, evidence, only)
        if missed := [why for account, why in lost.items() if account in asked]:
            unreadable[LEDGERS] = "; ".join(missed)
        told = [
            dump
            for dump in (*dumps, *_dumps_over_network(answers))
            if dump.account not in untold and dump.account not in lost
        ]
        evidence = replace(evidence, dumps=tuple(told))
    others = frozenset() if only is None else _books_known(desk, evidence) - {only}
    books = [name for name in desk.books if name not in others]
    lake = _lake_read(desk, books, tell)
    try:
        evidence = replace(evidence, lake=lake, replayed=tuple(_decisions_in_lake(desk, books, evidence)))
    except TradingError as error:
        evidence = replace(evidence, lake=lake)
        unreadable["lake"] = str(error)
    if LEDGERS not in unreadable and "lake" not in unreadable:
        try:
            held = [one for one in accounts_held(desk) if one.account not in elsewhere]
            whole = [one for one in answers.told if one.account not in untold]
            held += routed_accounts_held(desk, whole)
            evidence = replace(evidence, held=tuple(one for one in held if one.book not in others))
        except BrokerUnavailable as error:
            unreadable[LEDGERS] = str(error)
        except TradingError as error:
            unreadable["lake"] = str(error)
    return _Look(evidence=evidence, unreadable=unreadable, others=others, tell=tell)


def _accounts_of(desk: Desk, evidence: Evidence, book: str) -> frozenset[str]:
    """Return the accounts that a book ever had, by the reviewed file and by its intents."""
    now = {desk.books[book].account} if book in desk.books else set()
    return frozenset(now | {row.account for row in evidence.intents if row.intent.book == book})


def _books_known(desk: Desk, evidence: Evidence) -> frozenset[str]:
    """Return the books of the reviewed file, and those that only the journal still knows."""
    known = {*desk.books, *(row.intent.book for row in evidence.intents)}
    return frozenset(known | {row.book for row in evidence.sessions})


def _answers(desk: Desk, tell: Tell) -> Answers:
    """Return what the brokers over a network tell: where an order ever went, and where one would go."""
    wanted = routes_used(desk)
    routed = tuple(sorted(desk.books)) if names_another(desk) else ()
    if wanted:
        tell(f"asking {', '.join(sorted({one.adapter for one in wanted}))}")
    return ask_apart(wanted, routed=routed)


def _lake_read(desk: Desk, books: Sequence[str], tell: Tell) -> LakeRead:
    """Hash every table of some books that a pointer of the lake names."""
    named = [(book, asset, partition) for book in books for asset, partition in desk.lake.tables(book)]
    altered = []
    for count, (book, asset, partition) in enumerate(named, start=1):
        if why := desk.lake.fault_of(book, asset, partition):
            altered.append((f"{book}/{asset} {partition}".rstrip(), why))
        if count % TABLES_AT_ONCE == 0:
            tell(f"lake: {count:,} of {len(named):,} tables read")
    return LakeRead(len(named), tuple(altered))


def _dumps(desk: Desk) -> Iterator[BrokerDump]:
    """Give what each paper broker in this process has, by its ledger."""
    for account, path in ledger_paths(desk).items():
        dump = paper_dump(path, account=account)
        if dump is not None:
            yield dump


def _accounts_elsewhere(evidence: Evidence) -> frozenset[str]:
    """Return the accounts of which an adapter over a network has orders, so that no ledger is all of them."""
    account_of = {row.intent_id: row.account for row in evidence.intents}
    return frozenset(
        account_of[order.intent_id]
        for order in evidence.orders
        if order.route.actual not in {"", EMBEDDED_PAPER} and order.intent_id in account_of
    )


def _accounts_told(answers: Answers) -> frozenset[str]:
    """Return the accounts of which every adapter told what it has: half of an account proves nothing."""
    told = {one.account for one in answers.told}
    return frozenset(told - {one.account for one in answers.told if one.problem})


def _dumps_over_network(answers: Answers) -> Iterator[BrokerDump]:
    for one in answers.told:
        if one.dump is not None:
            yield one.dump


def _why_unread_log(path: Path) -> str:
    """Return why a log cannot be read, empty where it can."""
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"{path}: {error.strerror}"


def _checkpoint_faults(audit_path: Path) -> tuple[str, ...] | None:
    """Return what the signed checkpoints find wrong in the log, `None` where there is none to look at.

    What a crash left is nothing wrong.
    """
    # Signatures take a tenth of a second to import, and no other reading verb needs them.
    from resources.audit_log import check, has_checkpoint

    bad = check(audit_path)
    if bad is not None and not bad.heals:
        return (f"{bad.part} line {bad.line}, event {bad.seq}: {bad.reason}",)
    return () if has_checkpoint(audit_path) else None


def _secrets_in_force() -> tuple[str, ...]:
    """Return the secrets of this environment, to look for them where none may stand; they are never shown."""
    if not set(ADDRESSES) & set(given_variables()):
        return ()
    secrets = load_secrets()
    given = (secrets.webhook_url, secrets.slack_webhook_url, secrets.email_url)
    return tuple(secret.get_secret_value() for secret in given if secret is not None)


def _decisions_in_lake(desk: Desk, books: Sequence[str], evidence: Evidence) -> Iterator[Replayed]:
    """Give for some books' sessions with decisions in the lake their digest in the journal, and in the table.

    The table is what the session's run, or a later rerun of it, made. It is never there before the journal
    has the decisions, so those of which the journal knows nothing differ.
    """
    registered = {
        (row.book, row.session.isoformat()): row.decisions_sha
        for row in evidence.sessions
        if row.lane == desk.lane
    }
    for book in books:
        for partition in desk.lake.partitions(book, "decisions"):
            state = desk.lake.state(book, "decisions", partition)
            if state is not None:
                rows = rows_found(desk.lake, [state], "find_decisions")
                recorded = registered.get((book, partition), "")
                yield Replayed(book, date.fromisoformat(partition), recorded, _decisions_sha(rows))


def _decisions_sha(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the digest that the journal has of decisions, from the rows of their table."""
    told = []
    for row in rows:
        not_after = _EPOCH + timedelta(microseconds=row["not_after"])
        told.append([str(value) for value in {**row, "not_after": not_after}.values()])
    return digest(told)


# -------------------------------------------------------------------------------- leading back


def _links(desk: Desk, evidence: Evidence, others: frozenset[str]) -> Links:
    """Return which orders, but those of other books, lead back to all that they were made from."""
    intents = {row.intent_id: row for row in evidence.intents}
    judged = stored_verdicts(desk.journal, evidence.intents)
    registered = {event.intent_id for event in evidence.events if event.kind == Step.REGISTERED}
    flattens = _Flattens.of(evidence)
    sessions = {(row.book, row.lane, row.session): row for row in evidence.sessions}
    made_from: dict[tuple[str, str], str] = {}
    unlinked = []
    count = 0
    for order in evidence.orders:
        row = intents.get(order.intent_id)
        if row is not None and row.intent.book in others:
            continue
        count += 1
        why = "its intent is gone"
        if row is not None and row.intent.slot is Slot.FLATTEN:
            why = flattens.missing_link(row)
        elif row is not None:
            of = (row.intent.book, row.intent.session.isoformat())
            if of not in made_from:
                made_from[of] = lake_inputs_sha(desk, row)
            record = sessions.get((row.intent.book, row.lane, row.intent.session))
            is_decided = record is not None and bool(record.decisions_sha) and row.intent_id in registered
            why = missing_link(
                row, is_decided=is_decided, verdicts=judged.get(row.intent_id, []), made_from=made_from[of]
            )
        if why:
            unlinked.append(Unlinked(client_order_id=order.client_order_id, why=why))
    return Links(orders=count, linked=count - len(unlinked), unlinked=tuple(unlinked[:SHOWN]))


def missing_link(row: JournalIntent, *, is_decided: bool, verdicts: Sequence[Verdict], made_from: str) -> str:
    """Return the first step at which the way back from an intent ends, empty where it does not."""
    if not is_decided:
        return "no decision is registered for it"
    if not verdicts:
        return "no verdict is stored of it"
    if verdicts_sha(verdicts) != row.verdicts_sha:
        return "its verdicts are not those that it was decided on"
    if not row.inputs_sha:
        return "what its decision read was not recorded"
    if not made_from:
        return "the lake has no decisions of its session"
    if made_from != row.inputs_sha:
        return "the lake's decisions of its session were made from other inputs"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flattens:
    """Hold which flatten ordered which intent, which were shown before, and what guards looked at.

    A person orders a flatten, so no batch of decisions and no table of the lake has it. Its guards look
    where the order is prepared, and what they said is kept with that step.
    """

    ordered_by: Mapping[str, str]
    previewed: frozenset[str]
    guarded: frozenset[str]

    @classmethod
    def of(cls, evidence: Evidence) -> _Flattens:
        """Return what the events tell of flattens."""
        ordered_by: dict[str, str] = {}
        previewed, guarded = set(), set()
        for event in evidence.events:
            if event.kind == FLATTEN_PREVIEWED:
                previewed.add(str(event.body.get("command_id", "")))
            elif event.kind == FLATTEN_ORDERED:
                command_id = str(event.body.get("command_id", ""))
                ordered_by |= dict.fromkeys(event.body.get("intents", ()), command_id)
            elif event.kind == Step.PREPARED and event.body.get("whys"):
                guarded.add(event.intent_id)
        return cls(ordered_by=ordered_by, previewed=frozenset(previewed), guarded=frozenset(guarded))

    def missing_link(self, row: JournalIntent) -> str:
        """Return where the way back from a flatten's order ends, empty where it does not."""
        command_id = self.ordered_by.get(row.intent_id, "")
        if not command_id:
            return "no flatten ordered it"
        if command_id != row.inputs_sha:
            return "another flatten ordered it than it was made for"
        if command_id not in self.previewed:
            return "its flatten was shown to nobody"
        if row.intent_id not in self.guarded:
            return "no guard's verdict is stored of its send"
        return ""


def lake_inputs_sha(desk: Desk, row: JournalIntent) -> str:
    """Return the digest of what a session's decisions in the lake were made from, empty without a table."""
    state = desk.lake.state(row.intent.book, "decisions", row.intent.session.isoformat())
    return "" if state is None else state.inputs_sha


# -------------------------------------------------------------------------------- telling


def _verified(look: _Look, found: Mapping[str, Sequence[Violation]], links: Links) -> Verified:
    own = without_books(look.evidence, look.others)
    checked = tuple(
        _checked(look, own, invariant, violated=len(found[invariant.name])) for invariant in INVARIANTS
    )
    unknown = _journal_lost(look)
    named = [
        Found(
            invariant=row.invariant,
            subject=row.subject,
            detail=row.detail,
            remedy=PUT_BACK if unknown and row.invariant not in BESIDE_JOURNAL else REMEDIES[row.invariant],
        )
        for invariant in INVARIANTS
        for row in found[invariant.name]
    ]
    verdict, code = _verdict(checked, look.unreadable)
    parked = sum(row.stage is Stage.PARKED for row in own.intents)
    if parked:
        verdict += f"; {'1 intent is' if parked == 1 else f'{parked:,} intents are'} parked: `trading stuck`"
    return Verified(
        verdict=verdict,
        exit_code=code,
        invariants=checked,
        violations=tuple(named[:SHOWN]),
        violations_total=len(named),
        links=replace(links, why=unknown),
        unreadable=tuple(f"{store}: {why}" for store, why in look.unreadable.items()),
    )


def _checked(look: _Look, own: Evidence, invariant: Invariant, *, violated: int) -> Checked:
    """Return how an invariant stands; `own` is what was looked at without the books not asked for."""
    evidence = look.evidence if invariant.name in WHOLE else own
    why = "" if invariant.name in BESIDE_JOURNAL else _journal_lost(look)
    why = why or next(
        (_why_unread(store) for store in STANDS_ON.get(invariant.name, ()) if store in look.unreadable),
        invariant.lacks(evidence),
    )
    standing = Standing.VIOLATED if violated else Standing.NOT_CHECKED if why else Standing.HELD
    return Checked(
        invariant=invariant.name,
        says=invariant.says,
        standing=standing,
        looked_at="" if standing is Standing.NOT_CHECKED else invariant.looks_at(evidence),
        why=why if standing is Standing.NOT_CHECKED else "",
        violations=violated,
    )


def _why_unread(store: str) -> str:
    return f"the {store} {HOW_UNREAD.get(store, 'cannot be read')}"


def _journal_lost(look: _Look) -> str:
    """Return that the journal is gone or damaged, empty where it is there."""
    return next((_why_unread(store) for store in (JOURNAL, DAMAGED) if store in look.unreadable), "")


def _not_verified(nothing: str) -> Verified:
    """Return what is said where there is nothing of a desk."""
    why = "there is nothing to verify"
    return Verified(
        verdict=f"NOTHING TO VERIFY: {nothing}",
        exit_code=ExitCode.DEPENDENCY_DOWN,
        invariants=tuple(
            Checked(
                invariant=each.name,
                says=each.says,
                standing=Standing.NOT_CHECKED,
                looked_at="",
                why=why,
                violations=0,
            )
            for each in INVARIANTS
        ),
        violations=(),
        violations_total=0,
        links=Links(orders=0, linked=0, unlinked=(), why=why),
        unreadable=(),
    )


def _verdict(checked: Sequence[Checked], unreadable: Mapping[str, str]) -> tuple[str, ExitCode]:
    counts = Counter(row.standing for row in checked)
    held = counted(counts[Standing.HELD], "invariant") + (" holds" if counts[Standing.HELD] == 1 else " hold")
    unjudged = f", {counts[Standing.NOT_CHECKED]} not checked" if counts[Standing.NOT_CHECKED] else ""
    violated = [row.invariant for row in checked if row.standing is Standing.VIOLATED]
    missing = ", ".join(f"{store} {HOW_UNREAD.get(store, 'unreadable')}" for store in unreadable)
    if violated:
        beside = f"{missing}; " if missing else ""
        return f"VIOLATED: {beside}{', '.join(violated)}; {held}{unjudged}", ExitCode.FAILED
    if unreadable:
        return f"CANNOT TELL: {missing}; {held}{unjudged}", ExitCode.DEPENDENCY_DOWN
    return f"ALL AGREE: {held}{unjudged}", ExitCode.DONE
