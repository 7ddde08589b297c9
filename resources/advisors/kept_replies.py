"""Replies that were read well, kept by the digest of what was asked: the same question is asked once.

A reply is read again by the same strict reader each time, so that a file that somebody changed is at most
another reply. What cannot be read or written is no reply: a cache never fails a question.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from trading.advice_replies import SCHEMA_VERSION
from trading.values import digest

REPLIES_MAX = 4_096
"""Replies kept; beyond it the oldest half goes."""

REPLY_BYTES_MAX = 256 * 1024


class KeptReplies:
    """Keep replies in a folder, one file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, question: str) -> str | None:
        """Return the reply to a question, `None` where none is kept."""
        with suppress(OSError, ValueError), self._path(question).open("rb") as file:
            read = file.read(REPLY_BYTES_MAX + 1)
            return read.decode() if len(read) <= REPLY_BYTES_MAX else None
        return None

    def keep(self, question: str, reply: str) -> None:
        """Keep a reply."""
        path = self._path(question)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with suppress(OSError, ValueError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room()
            temporary.write_bytes(reply.encode())
            temporary.replace(path)

    def _make_room(self) -> None:
        kept = list(self._folder.glob("*.txt"))
        if len(kept) >= REPLIES_MAX:
            for path in sorted(kept, key=lambda found: found.stat().st_mtime)[: len(kept) // 2]:
                path.unlink(missing_ok=True)

    def _path(self, question: str) -> Path:
        return self._folder / f"{question}.txt"


def question_of(*, prompt_sha: str, model: str, provider: str, completion_tokens_max: int) -> str:
    """Return the digest that a question is known by: all that its answer depends on."""
    return digest([SCHEMA_VERSION, provider, model, prompt_sha, completion_tokens_max])
