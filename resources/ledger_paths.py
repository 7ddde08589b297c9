"""Where the paper broker's ledgers lie, for who reads none; which of them is missed: paper_ledgers.py."""

from __future__ import annotations

from pathlib import Path


def ledgers_in(profile_dir: Path) -> Path:
    """Return the folder of a profile's ledgers; an exchange of one's own keeps its ledger elsewhere."""
    return profile_dir / "paper"


def ledger_of(profile_dir: Path, account: str) -> Path:
    """Return where the ledger of a paper account lies."""
    return ledgers_in(profile_dir) / f"{account}.db"
