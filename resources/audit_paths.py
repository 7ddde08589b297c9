"""Where the files of an audit log are, beside it: for those who read none of them and need no signing."""

from __future__ import annotations

from pathlib import Path


def checkpoints_of(log: Path) -> Path:
    """Return where a log's checkpoints are."""
    return log.with_suffix(".checkpoints.jsonl")


def keys_of(log: Path) -> Path:
    """Return the folder of the key that signs a log's checkpoints."""
    return log.parent / "keys"
