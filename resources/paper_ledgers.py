"""Which paper accounts have orders, by the journal, and what is said of one whose ledger is gone.

Whoever would open a ledger and whoever only looks ask here, so that both say the same. What is in a ledger is
paper_broker/, where it lies ledger_paths.py.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from resources.evidence import Answering
from resources.ledger_paths import ledger_of
from trading.errors import BrokerUnavailable
from trading.invariants import LIVE


def accounts_on_paper(journal: Answering, *, lane: str) -> tuple[str, ...]:
    """Return the accounts of which a paper broker of ours took an order, or may have; ascending.

    An account all of whose orders go to a broker over a network is none: it has no ledger.
    """
    if lane == LIVE:
        return ()
    rows = journal.answers(("find_accounts_on_paper",))["find_accounts_on_paper"]
    return tuple(row["account"] for row in rows if row["lane"] == lane)


def is_gone(ledger: Path) -> bool:
    """Say whether there is no ledger, or an empty file in its place.

    Of one that only cannot be looked at, opening it tells why.
    """
    try:
        return ledger.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def lost_ledgers(journal: Answering, *, lane: str, profile_dir: Path) -> dict[str, str]:
    """Return what to do about each ledger that is gone although its paper broker took orders, by account."""
    ledgers = {account: ledger_of(profile_dir, account) for account in accounts_on_paper(journal, lane=lane)}
    gone = {account: ledger for account, ledger in ledgers.items() if is_gone(ledger)}
    if not gone:
        return {}
    rows = journal.answers(("find_last_on_paper",))["find_last_on_paper"]
    last = {row["account"]: date.fromisoformat(row["session"]) for row in rows if row["lane"] == lane}
    return {
        account: f"paper broker {ledger}: is missing or empty, but took orders, the last on {last[account]}: "
        "restore its last copy, do not trade"
        for account, ledger in gone.items()
    }


def refuse_lost(journal: Answering, *, lane: str, profile_dir: Path, account: str) -> None:
    """Raise `BrokerUnavailable` where an account has orders, but no ledger any more.

    A new one would be another account, without the orders and shares that the journal knows, and would hide
    that the old one is gone.
    """
    if not is_gone(ledger_of(profile_dir, account)):
        return
    if why := lost_ledgers(journal, lane=lane, profile_dir=profile_dir).get(account):
        raise BrokerUnavailable(why)
