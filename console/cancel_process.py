"""Cancel every open order, in a process of its own: `python -m console.cancel_process --actor … --reason …`.

What a halt does at the brokers, with a capability that can cancel and nothing else. It does nothing unless
trading is halted, writes one JSON object on stdout, and ends when nothing of ours is open or on its way any
more, or its time is over. It needs no Dagster; what it does is trading/halting.py.
"""

from __future__ import annotations

import argparse
import sys
import time

from console.render import json_text
from resources.profiles import Profiled
from resources.settings import load_settings
from trading.clock import Phase
from trading.errors import TradingError
from trading.halting import cancel_open_orders

WAIT_S = 0.2
"""How long between two looks at a broker."""


def main(arguments: list[str]) -> int:
    """Cancel what is open in every book; return 0 where nothing is left open, 3 where something may be."""
    asked = _parser().parse_args(arguments)
    try:
        done = _cancel_all(actor=asked.actor, reason=asked.reason, seconds=asked.seconds)
    except TradingError as error:
        sys.stdout.write(json_text({"books": [], "problem": str(error)}) + "\n")
        return 3
    sys.stdout.write(json_text({"books": done, "problem": ""}) + "\n")
    return 0 if all(book["is_done"] for book in done) else 3


def _cancel_all(*, actor: str, reason: str, seconds: float) -> list[dict[str, object]]:
    profiled = Profiled(load_settings())
    with profiled.journal as journal:
        if not journal.run_control().kill_switch_on:
            return []
        ends_at = time.monotonic() + seconds
        done = []
        for book in profiled.lines:
            config, calendar = profiled.books[book], profiled.calendars[book]
            lane = profiled.settings.profile.value
            sessions = {row.intent.session for row in journal.open_intents(account=config.account, lane=lane)}
            if not sessions:
                continue
            now = profiled.clocks[book].now(max(sessions), Phase.EXECUTE)
            canceller = profiled.cancel_only(book)
            asked: dict[str, None] = {}
            while True:
                found = cancel_open_orders(
                    journal,
                    canceller,
                    account=config.account,
                    lane=lane,
                    since=min((*calendar.before(min(sessions), 1), min(sessions))),
                    actor=actor,
                    reason=reason,
                    now=now,
                )
                asked |= dict.fromkeys(found.asked)
                if found.is_done or time.monotonic() >= ends_at:
                    break
                time.sleep(WAIT_S)
            done.append(
                {
                    "book": book,
                    "cancels_asked": list(asked),
                    "still_open": list(found.still_open),
                    "on_the_way": found.on_the_way,
                    "problem": found.problem,
                    "is_done": found.is_done,
                }
            )
        return done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="console.cancel_process", description=__doc__)
    parser.add_argument("--actor", required=True, help="who halted")
    parser.add_argument("--reason", required=True, help="why")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to go on looking")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
