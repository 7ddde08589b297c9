"""The paper broker as a process of its own: `python -m resources.paper_broker.process --book us_five …`.

It writes where it answers as one line of JSON, then serves until it is told to stop. Its ledger outlives it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from resources.calendars import load_calendar
from resources.garbage import look_for_garbage_seldom
from resources.market_data.simulated_market import market_of
from resources.market_data.sources import source_of
from resources.paper_broker.behaviour_file import load_behaviour
from resources.paper_broker.broker import KIND, PaperBroker
from resources.paper_broker.server import BrokerServer
from resources.quality_rules import load_quality_limits
from resources.reviewed_config import book_config, read_books


def main(arguments: list[str]) -> int:
    """Serve one book's broker until SIGTERM or SIGINT; return 0."""
    asked = _parser().parse_args(arguments)
    line = read_books(asked.config / "books.toml")[asked.book]
    calendar = load_calendar(line.calendar, asked.config / "calendars")
    source = source_of(asked.book, line, root=asked.config.parent)
    book = book_config(asked.book, line, config_dir=asked.config, source=source, calendar=calendar)
    broker = PaperBroker(
        asked.ledger,
        account=book.account,
        deposit_micros=book.deposit_micros,
        market=market_of(
            source, calendar=calendar, limits=load_quality_limits(asked.config / "quality.toml")
        ),
        fill_model=book.costs,
        calendar=calendar,
        behaviour=load_behaviour(asked.behaviour) if asked.behaviour else KIND,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with BrokerServer(broker, port=asked.port) as server:
        sys.stdout.write(json.dumps({"url": server.url, "account": book.account}) + "\n")
        sys.stdout.flush()
        try:
            server.serve_forever(poll_interval=0.05)
        except KeyboardInterrupt:
            return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="resources.paper_broker.process", description=__doc__)
    parser.add_argument("--book", required=True, help="the book of books.toml whose broker this is")
    parser.add_argument("--ledger", required=True, type=Path, help="the ledger's file, made when missing")
    parser.add_argument("--config", type=Path, default=Path("config"), help="the folder of reviewed files")
    parser.add_argument("--behaviour", type=Path, help="a TOML file; without it the broker is kind")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser


if __name__ == "__main__":
    look_for_garbage_seldom()
    sys.exit(main(sys.argv[1:]))
