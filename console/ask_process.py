"""Ask the brokers over a network what they have, in a process of its own: `python -m console.ask_process`.

What `trading verify` compares with the journal, and whether the routes lead anywhere. Like a halt's process
it may hold a broker's key, and it has even less: what it builds of an adapter can neither send nor cancel,
and the journal is only read. It writes one JSON object on stdout; who starts it, and reads it, is asking.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from console.asking import Told, Wanted, told_as_json
from console.book_outlines import BookOutline
from console.desk import Desk, open_desk
from resources.alpaca_markets.refusals import BAD_KEYS, UNAUTHORIZED
from resources.evidence import gather
from resources.garbage import look_for_garbage_seldom
from resources.profile_brokers import ProfileBrokers
from resources.reviewed_config import deposit_of
from resources.route_file import ADAPTERS
from resources.settings import load_secrets
from trading.clock import Phase
from trading.errors import BadSetting, BrokerUnavailable, JournalUnavailable, TradingError
from trading.invariants import facts_of, secrets_stay_out

SECRET_LENGTH_MIN = 16
"""Characters from which a key is looked for: shorter words stand in any text, and no broker has such keys."""

ALL_SESSIONS = 10**6
"""More sessions than any book has."""


def main(arguments: list[str]) -> int:
    """Ask each broker that is named, and look for the keys in what is kept; return 0, whatever was found."""
    asked = _parser().parse_args(arguments)
    desk = open_desk()
    brokers = ProfileBrokers(desk.settings)
    if asked.routes:
        answer: dict[str, object] = {
            "routes": [row for book in asked.routes for row in _routes(brokers, book)]
        }
    else:
        wanted = [Wanted.from_text(text) for text in asked.ask]
        told = [_asked(desk, brokers, one) for one in wanted]
        known = {(one.account, one.adapter) for one in wanted}
        for book in asked.also_of:
            told += _also_asked(desk, brokers, book, known)
        answer = {"told": [told_as_json(one) for one in told], "shown": _places_of_keys(desk)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def _asked(desk: Desk, brokers: ProfileBrokers, wanted: Wanted) -> Told:
    """Return what one adapter has of one account, or why it could not be asked."""
    try:
        outline, now = _book_and_time(desk, wanted)
        statement = brokers.statement(wanted.adapter, outline.name)
        deposit = deposit_of(outline.name, brokers.lines[outline.name])
        return Told(
            account=wanted.account,
            adapter=wanted.adapter,
            dump=statement.dump(account=wanted.account, since=wanted.since, now=now),
            holdings=statement.holdings(now=now),
            opening_micros=brokers.routes.openings.get(wanted.adapter, deposit),
            deposit_micros=deposit,
            asked_at=now,
        )
    except (TradingError, OSError) as error:
        return Told(account=wanted.account, adapter=wanted.adapter, problem=str(error))


def _also_asked(
    desk: Desk, brokers: ProfileBrokers, book: str, known: set[tuple[str, str]]
) -> Iterator[Told]:
    """Give what is at the adapters of a book's routes that nothing went to by the journal.

    A journal that was replaced or put back knows nothing of what was sent before. Where it is gone nobody
    knows since when to ask, which is told. Adds to `known` what it asked.
    """
    outline = desk.books[book]
    unread, sessions = "", []
    try:
        sessions = desk.journal.sessions(book=book, lane=desk.lane, last=ALL_SESSIONS)
    except JournalUnavailable as error:
        unread = str(error)
    try:
        is_begun = unread or sessions
        names = [name for name in brokers.adapters_of(book) if ADAPTERS[name].is_remote] if is_begun else []
    except TradingError as error:
        yield Told(account=outline.account, adapter="routes", problem=str(error))
        return
    for name in names:
        if (outline.account, name) not in known:
            known.add((outline.account, name))
            if unread:
                yield Told(account=outline.account, adapter=name, problem=unread)
            else:
                wanted = Wanted(outline.account, name, sessions[0].session)
                yield replace(_asked(desk, brokers, wanted), holdings=None)


def _book_and_time(desk: Desk, wanted: Wanted) -> tuple[BookOutline, datetime]:
    """Return a book of an account, and the latest instant at which it did something; raises `BadSetting`."""
    latest = [
        (record.session, record.settled_at is not None, outline)
        for outline in desk.books.values()
        if outline.account == wanted.account and (record := desk.latest(outline)) is not None
    ]
    if not latest:
        raise BadSetting(f"account {wanted.account}: no book of books.toml trades it any more")
    session, is_settled, outline = max(latest, key=lambda one: one[:2])
    phase = Phase.SETTLE if is_settled else Phase.EXECUTE
    return outline, desk.clock(outline).now(session, phase)


def _places_of_keys(desk: Desk) -> list[str] | None:
    """Return where a broker's key of this environment stands and must not, `None` where there is no key."""
    secrets = load_secrets()
    given = (secrets.broker_app_key, secrets.broker_app_secret)
    keys = [key.get_secret_value() for key in given if key is not None]
    sought = tuple(key for key in keys if len(key) >= SECRET_LENGTH_MIN)
    if not sought:
        return None
    try:
        evidence = gather(desk.with_any_journal().journal, audit_path=desk.audit_log)
    except JournalUnavailable:
        # Who compares the stores says what ails the journal, and looks at what is left, as here.
        evidence = gather(desk.without_journal().journal, audit_path=desk.audit_log)
    facts = facts_of(replace(evidence, planted_secrets=sought))
    return [found.subject for found in secrets_stay_out(facts)]


def _routes(brokers: ProfileBrokers, book: str) -> Iterator[dict[str, str]]:
    """Give for each adapter over a network of a book's routes what is wrong, in a word, and what is found."""
    try:
        names = [name for name in brokers.adapters_of(book) if ADAPTERS[name].is_remote]
    except TradingError as error:
        yield {"book": book, "adapter": "", "word": "setting", "found": str(error)}
        return
    for name in names:
        word, found = _reached(brokers, name, book)
        yield {"book": book, "adapter": name, "word": word, "found": found}


def _reached(brokers: ProfileBrokers, name: str, book: str) -> tuple[str, str]:
    """Return what is wrong with an adapter, in a word (empty for nothing), and what was found."""
    try:
        account = brokers.account_at(name, book)
    except BrokerUnavailable as error:
        is_unknown = str(error).partition(":")[0] in {BAD_KEYS, UNAUTHORIZED}
        return ("keys" if is_unknown else "unreachable"), str(error)
    except TradingError as error:
        return "setting", str(error)
    expected = brokers.settings.broker_account_no
    if expected is not None and account.account != expected:
        return "other_account", f"answers as another account than {expected}"
    if account.is_blocked:
        return "blocked", f"account {account.account} is blocked there"
    return "", f"account {account.account} answers and may trade"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="console.ask_process", description=__doc__)
    parser.add_argument("--ask", action="append", default=[], help="ACCOUNT=ADAPTER=SINCE")
    parser.add_argument("--also-of", action="append", default=[], help="BOOK: what else its routes name")
    parser.add_argument("--routes", action="append", default=[], help="BOOK: do its routes lead anywhere")
    return parser


if __name__ == "__main__":
    look_for_garbage_seldom()
    sys.exit(main(sys.argv[1:]))
