"""Cancel every open order, in a process of its own: `python -m console.cancel_process --actor … --reason …`.

What a halt does at the brokers, with a capability that can cancel and nothing else. It does nothing unless
trading is halted, writes one JSON object on stdout, and ends when nothing of ours is open or on its way any
more, or its time is over. It needs no Dagster, and of the reviewed files only what names a book, its broker
and its market: a mistake in a limit must not keep an order alive. What it does is trading/halting.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field

from console.book_outlines import BookOutline
from console.desk import Desk, open_desk
from console.render import json_text
from resources.garbage import look_for_garbage_seldom
from resources.profile_brokers import ProfileBrokers
from trading.errors import NoBroker, TradingError
from trading.halting import Canceller, CancelRound, cancel_open_orders, may_be_open
from trading.journal import Journal
from trading.values import ClientOrderId

WAIT_S_MIN, WAIT_S_MAX = 0.2, 2.0
"""How long between two looks at a broker: twice as long each time, since each look costs questions."""

NO_BROKER = "no broker is configured: there is nothing to cancel at"

NOT_LOOKED = CancelRound(problem="not looked at yet")


def main(arguments: list[str]) -> int:
    """Cancel what is open in every book; return 0 where nothing is left open, 3 where something may be."""
    asked = _parser().parse_args(arguments)
    try:
        done = _cancel_all(actor=asked.actor, reason=asked.reason, seconds=asked.seconds)
    except (TradingError, OSError) as error:
        sys.stdout.write(json_text({"books": [], "problem": str(error)}) + "\n")
        return 3
    sys.stdout.write(json_text({"books": done, "problem": ""}) + "\n")
    return 0 if all(book["is_done"] for book in done) else 3


def _cancel_all(*, actor: str, reason: str, seconds: float) -> list[dict[str, object]]:
    """Ask in every book once before any is waited for, then look again at what is left until time is over."""
    desk = open_desk()
    brokers = ProfileBrokers(desk.settings)
    with brokers.journal as journal:
        if not journal.run_control().kill_switch_on:
            return []
        ends_at = time.monotonic() + seconds
        books = [
            _Book(
                desk=desk,
                brokers=brokers,
                journal=journal,
                outline=outline,
                actor=actor,
                reason=reason,
                seconds=seconds,
                ends_at=ends_at,
            )
            for outline in desk.books.values()
        ]
        wait_s = WAIT_S_MIN
        while True:
            for book in books:
                book.look()
            if all(book.found.is_done for book in books) or time.monotonic() >= ends_at:
                return [book.told() for book in books if book.is_known]
            time.sleep(max(min(wait_s, ends_at - time.monotonic()), 0.0))
            wait_s = min(2 * wait_s, WAIT_S_MAX)


@dataclass(slots=True, kw_only=True)
class _Book:
    """Follow one book's cancels, look by look; what fails in one is told, and stops no other book's.

    `is_known`: the journal has a session of it; before its first one nothing was sent. What its account has
    open is asked of the broker whatever the journal says: an order may live behind an intent that has ended.
    `note` says that there is no broker to ask, empty where there is one. What cancels is built once: what it
    learned of the broker's limits in one look holds for the next. `seconds` are what each book may take, and
    `ends_at` is when nothing is looked at again, by the monotonic clock.
    """

    desk: Desk
    brokers: ProfileBrokers
    journal: Journal
    outline: BookOutline
    actor: str
    reason: str
    seconds: float
    ends_at: float
    began_at: float | None = None
    is_known: bool = True
    canceller: Canceller | None = None
    asked: dict[ClientOrderId, None] = field(default_factory=dict)
    found: CancelRound = NOT_LOOKED
    note: str = ""

    def look(self) -> None:
        """Ask for the cancel of what is open, unless the look before found nothing open any more."""
        if self.found.is_done:
            return
        if self.began_at is None:
            self.began_at = time.monotonic()
        try:
            self.found = self._look()
        except NoBroker:
            # Set up with one before, an order may be at it: then a person has to look there.
            self.note = NO_BROKER
            left = may_be_open(self.journal, account=self.outline.account, lane=self.desk.lane)
            told = f"{self.outline.name}: {NO_BROKER}, and {left} may be open" if left else ""
            self.found = CancelRound(problem=told)
        except (TradingError, OSError) as error:
            self.found = CancelRound(problem=f"{self.outline.name}: {type(error).__name__}: {error}")
        self.asked |= dict.fromkeys(self.found.asked)

    def _look(self) -> CancelRound:
        name, account = self.outline.name, self.outline.account
        lane = self.desk.lane
        sessions = {row.intent.session for row in self.journal.open_intents(account=account, lane=lane)}
        if not sessions and (latest := self.desk.latest(self.outline)) is not None:
            sessions = {latest.session}
        self.is_known = bool(sessions)
        if not sessions:
            return CancelRound()
        calendar = self.desk.calendar(self.outline)
        if self.canceller is None:
            self.canceller = self.brokers.cancel_only(name)
        return cancel_open_orders(
            self.journal,
            self.canceller,
            account=account,
            lane=lane,
            since=min((*calendar.before(min(sessions), 1), min(sessions))),
            actor=self.actor,
            reason=self.reason,
            now=self.desk.act_at(name, max(sessions)),
            asked_before=self.asked,
            is_over=self._is_over,
        )

    def _is_over(self) -> bool:
        """Say whether the book has had its time, no less of it because another book's broker was slow.

        Without any time the first look asks for everything.
        """
        began_at = self.ends_at if self.began_at is None else self.began_at
        return self.seconds > 0 and time.monotonic() >= max(self.ends_at, began_at + self.seconds)

    def told(self) -> dict[str, object]:
        """Return what became of the book's cancels."""
        return {
            "book": self.outline.name,
            "cancels_asked": list(self.asked),
            "still_open": list(self.found.still_open),
            "on_the_way": self.found.on_the_way,
            "problem": self.found.problem,
            "note": self.note,
            "is_done": self.found.is_done,
        }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="console.cancel_process", description=__doc__)
    parser.add_argument("--actor", required=True, help="who halted")
    parser.add_argument("--reason", required=True, help="why")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to go on looking")
    return parser


if __name__ == "__main__":
    look_for_garbage_seldom()
    sys.exit(main(sys.argv[1:]))
