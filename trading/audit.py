"""The audit chain: each event's hash covers the one before, so that an edit, a gap or a swap shows.

A chain that was written anew from its first line is whole in itself; signed checkpoints show that too. Pure:
events and lines in, hashes and findings out. The journal stores the chain with each event; the files that
people keep copies of, and the key that signs, are resources/audit_log.py and resources/audit_keys.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from trading.errors import BadInput
from trading.journal import JournalEvent
from trading.values import canonical_json

GENESIS = "0" * 64
"""What the first event's hash covers in place of an earlier one, and the first checkpoint's."""

LINE_BYTES_MAX = 16 * 2**20
"""Bytes of one line: more is never written, so a reader need not hold more to know that a line is wrong."""

_HASHES_BYTES = 200
"""Bytes of a line that its two hashes and their names take, rounded up."""

_SIGNED_AS = b"audit checkpoint 1\n"
"""Stands before the signed bytes, so that a signature of something else is never one of a checkpoint."""


class Fault(StrEnum):
    """Say what a finding means: `broken` was done to the log, the others are what a crash leaves."""

    BROKEN = "broken"
    TORN = "torn"
    UNSIGNED = "unsigned"


class Part(StrEnum):
    """Say where a finding is: `line` counts the lines of that file, or the journal's events."""

    LOG = "log"
    CHECKPOINTS = "checkpoints"
    JOURNAL = "journal"


class BadEntry(NamedTuple):
    """Name the first entry that does not hold: its line and event number (from 1), and what is wrong."""

    line: int
    seq: int
    reason: str
    fault: Fault = Fault.BROKEN
    part: Part = Part.LOG

    @property
    def heals(self) -> bool:
        """Say whether the next projection mends it, since only a crash's rest is wrong."""
        return self.fault is not Fault.BROKEN

    @property
    def told(self) -> str:
        """Return where it is and what is wrong, for people."""
        return f"line {self.line}, event {self.seq}: {self.reason}"


Tell = Callable[[str], None]
"""Takes a sentence on how far a long look is."""


def tell_nobody(_how_far: str) -> None:
    """Take what is told of a look that nobody waits for."""


class AuditLog(Protocol):
    """Keep a copy of the journal's events where people can take it away; never ahead of the journal."""

    def project(self) -> int:
        """Append the events that the copy does not have yet, and sign where it ends; return how many."""
        ...

    def verify(self) -> BadEntry | None:
        """Return what does not hold from the last signed checkpoint on, or `None`; quick at any length."""
        ...

    def verify_all(self, tell: Tell = tell_nobody) -> BadEntry | None:
        """Return the first entry that does not hold in the whole copy and against the journal, or `None`."""
        ...


class Link(NamedTuple):
    """Hold where a chain stands: the last event's number, hash and instant, and the bytes up to its end."""

    seq: int
    hash: str
    at: str
    size_bytes: int


BEGINNING = Link(0, GENESIS, "", 0)
"""Where a chain stands before its first event."""


class Checkpoint(NamedTuple):
    """Hold what is signed of a log: that its first `size_bytes` end with event `seq` of this hash.

    `at` is the instant of that event. `previous` is the digest of the checkpoint before, so that none can
    be dropped or swapped; `key_id` names the key; `signature` is hex.
    """

    seq: int
    hash: str
    at: str
    size_bytes: int
    key_id: str
    previous: str
    signature: str

    @property
    def link(self) -> Link:
        """Return where the chain stands that was signed."""
        return Link(self.seq, self.hash, self.at, self.size_bytes)


Sign = Callable[[bytes], bytes]
"""Returns the signature of bytes."""

Verifier = Callable[[bytes, bytes], bool]
"""Says whether the second argument is this key's signature of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """Hold whose signatures count: the key's id, and what tells them from others."""

    key_id: str
    is_signed: Verifier


def instant_text(at: datetime) -> str:
    """Return an instant as text of one width in UTC, so that texts sort as instants happen.

    Raises `BadInput` for a time without a zone.
    """
    if at.tzinfo is None:
        raise BadInput(f"time {at.isoformat()}: has no time zone; instants are aware")
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def instant_from_text(text: str) -> datetime:
    """Return the instant of a stored text."""
    return datetime.fromisoformat(text)


# -------------------------------------------------------------------------------- events as lines


def content_of(event: JournalEvent) -> dict[str, Any]:
    """Return what an event says, without its hashes, as plain JSON values."""
    return {
        "seq": event.seq,
        "at": instant_text(event.at),
        "kind": event.kind,
        "book": event.book,
        "lane": event.lane,
        "session": event.session,
        "intent_id": event.intent_id,
        "actor": event.actor,
        "reason": event.reason,
        "body": dict(event.body),
    }


def content_text(content: Mapping[str, Any], *, body: str) -> str:
    """Return the canonical JSON of an event's content whose body was written already.

    `content` is what the event says beside its body. Most of an event is its body, and the journal stores
    that text for itself.
    """
    before = canonical_json({name: value for name, value in content.items() if name < "body"})
    after = canonical_json({name: value for name, value in content.items() if name > "body"})
    return f'{before[:-1]},"body":{body},{after[1:]}'


def chained(prev_hash: str, content: Mapping[str, Any]) -> str:
    """Return the hash (SHA-256, hex) of an event's content on top of the hash before it.

    Raises `BadInput` for an event that no line can hold: too long, or with text that is no Unicode.
    """
    return chained_text(prev_hash, canonical_json(content), kind=content.get("kind"))


def chained_text(prev_hash: str, text: str, *, kind: object) -> str:
    """Return the same of the content's canonical JSON; `kind` is how an error calls the event."""
    try:
        written = text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"event {kind}: holds text that is no Unicode: {error}") from error
    if len(written) > LINE_BYTES_MAX - _HASHES_BYTES:
        raise BadInput(f"event {kind}: {len(written)} bytes; a line holds {LINE_BYTES_MAX - _HASHES_BYTES}")
    return _hash(prev_hash, written)


def line_of(event: JournalEvent) -> str:
    """Return an event as one line of the log, without the line's end."""
    return canonical_json({**content_of(event), "prev_hash": event.prev_hash, "hash": event.hash})


def event_of_line(line: bytes) -> JournalEvent:
    """Return the event of a line that was verified; raises `BadInput` where it is none."""
    entry = _object_of(line.removesuffix(b"\n"), _FIELDS)
    if isinstance(entry, str):
        raise BadInput(f"audit log: {entry}")
    try:
        return JournalEvent(**{**entry, "at": instant_from_text(entry["at"])})
    except ValueError as error:
        raise BadInput(f"audit log: event {entry['seq']}: {error}") from error


def follow(link: Link, line: bytes) -> Link | str:
    """Return where a chain stands after a line (with its end, if it has one), or why that does not follow."""
    entry = _object_of(line.removesuffix(b"\n"), _FIELDS)
    if isinstance(entry, str):
        return entry
    if entry["seq"] != link.seq + 1:
        return f"sequence number {entry['seq']}: expected {link.seq + 1}"
    if entry["prev_hash"] != link.hash:
        return "prev_hash is not the hash of the entry before"
    content = {name: value for name, value in entry.items() if name not in {"prev_hash", "hash"}}
    if _hash(link.hash, _ENCODER.encode(content).encode()) != entry["hash"]:
        return "hash is not that of the content"
    return Link(entry["seq"], entry["hash"], entry["at"], link.size_bytes + len(line))


def verify(lines: Iterable[str | bytes]) -> BadEntry | None:
    """Return the first entry of a chain that does not hold, or `None`; lines with or without their ends.

    A log cut off between two lines is whole as far as it goes, and so is one written anew from its first
    line: `verify_signed` sees both.
    """
    stands = BEGINNING
    for line in lines:
        found = follow(stands, line if isinstance(line, bytes) else line.encode(errors="surrogatepass"))
        if isinstance(found, str):
            return BadEntry(stands.seq + 1, stands.seq + 1, found)
        stands = found
    return None


# -------------------------------------------------------------------------------- signed checkpoints


def checkpoint_content(link: Link, *, previous: bytes, key_id: str) -> dict[str, Any]:
    """Return what a checkpoint says but for its signature; `previous` is the line before, or empty."""
    return {
        "seq": link.seq,
        "hash": link.hash,
        "at": link.at,
        "size_bytes": link.size_bytes,
        "key_id": key_id,
        "previous": digest_of_checkpoint(previous),
    }


def is_torn(line: bytes) -> bool:
    """Say whether a line is what a crash left of one: its end is missing, or a sector that was never written.

    What was never written reads as zero bytes, which no line of ours holds.
    """
    return b"\0" in line or (not line.endswith(b"\n") and len(line) <= LINE_BYTES_MAX)


def signed_bytes(content: Mapping[str, Any]) -> bytes:
    """Return the bytes that a checkpoint's signature is of."""
    return _SIGNED_AS + canonical_json(content).encode()


def digest_of_checkpoint(line: bytes) -> str:
    """Return what the next checkpoint says of this line; of none where there is none before."""
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest() if line else GENESIS


def checkpoint_of(line: bytes, signatory: Signatory) -> Checkpoint | str:
    """Return the checkpoint of a line (with its end, if it has one), or why it is none of this key."""
    entry = _object_of(line.removesuffix(b"\n"), _CHECKPOINT_FIELDS)
    if isinstance(entry, str):
        return entry
    if entry["key_id"] != signatory.key_id:
        return f"signed with key {entry['key_id']!r}, expected {signatory.key_id!r}"
    content = {name: value for name, value in entry.items() if name != "signature"}
    try:
        signature = bytes.fromhex(entry["signature"])
    except ValueError:
        return "signature is no hexadecimal text"
    # Hexadecimal text has several forms, the line must have one: else a changed byte could go unseen.
    if signature.hex() != entry["signature"] or not signatory.is_signed(signed_bytes(content), signature):
        return f"signature is not one of key {signatory.key_id!r} under what it says"
    return Checkpoint(**entry)


def verify_signed(
    lines: Iterable[bytes],
    checkpoints: Iterable[bytes],
    signatory: Signatory,
    *,
    after: Link = BEGINNING,
    kept: Checkpoint | None = None,
) -> BadEntry | None:
    """Return the first entry of a log or its checkpoints that does not hold, or `None`.

    Both come as lines with their ends; a last one without is what a crash cut short. `after` is where both
    begin, verified before. `kept` is a checkpoint that a person took away: only that shows a log and
    checkpoints that were cut off together. Reads each line once and holds one of each.
    """
    rest = iter(lines)
    stands = after
    torn = None
    number = 0
    is_kept_here = kept is None
    for number, checkpoint in enumerate(_verified(checkpoints, signatory), start=1):
        if isinstance(checkpoint, BadEntry):
            if not checkpoint.heals:
                return checkpoint
            torn = checkpoint
            break
        found, bad = _walk(rest, stands, until=checkpoint.seq)
        if bad is not None and not bad.heals:
            return bad
        if found.seq < checkpoint.seq:
            what = f"is not here, but checkpoint {number} is signed for entry {checkpoint.seq}: cut off"
            return BadEntry(found.seq + 1, found.seq + 1, what)
        if found != checkpoint.link:
            what = (
                f"checkpoint {number} is signed for another entry {found.seq}: this one or a later one"
                " was written anew"
            )
            return BadEntry(stands.seq + 1, stands.seq + 1, what)
        stands = found
        is_kept_here |= checkpoint == kept
    end, bad = _walk(rest, stands, until=None)
    if bad is not None and not bad.heals:
        return bad
    if kept is not None and not is_kept_here:
        what = f"the checkpoint that was kept, for event {kept.seq}, is not here: cut off, or signed anew"
        return BadEntry(number + 1, kept.seq, what, part=Part.CHECKPOINTS)
    if bad is None and torn is None and end.seq > stands.seq:
        what = f"from here to {end.seq} no checkpoint is signed: not yet, or theirs was taken away"
        return BadEntry(stands.seq + 1, stands.seq + 1, what, Fault.UNSIGNED)
    return bad or torn


def _walk(lines: Iterator[bytes], link: Link, *, until: int | None) -> tuple[Link, BadEntry | None]:
    """Follow lines up to an event, or to their end; return where that is, and what stopped it before."""
    while until is None or link.seq < until:
        line = next(lines, None)
        if line is None:
            break
        if is_torn(line):
            return link, BadEntry(link.seq + 1, link.seq + 1, _TORN, Fault.TORN)
        found = follow(link, line)
        if isinstance(found, str):
            return link, BadEntry(link.seq + 1, link.seq + 1, found)
        link = found
    return link, None


def _verified(lines: Iterable[bytes], signatory: Signatory) -> Iterator[Checkpoint | BadEntry]:
    """Yield checkpoints as long as they hold, then the first that does not."""
    before: Checkpoint | None = None
    previous = b""
    rest = iter(lines)
    for number, line in enumerate(rest, start=1):
        seq = before.seq + 1 if before else 1
        if is_torn(line) and next(rest, None) is None:
            # One that others follow was whole once: each is synced before the next is written.
            yield BadEntry(number, seq, _TORN, Fault.TORN, Part.CHECKPOINTS)
            return
        found = checkpoint_of(line, signatory)
        if isinstance(found, Checkpoint) and found.previous != digest_of_checkpoint(previous):
            found = "previous is not the digest of the checkpoint before"
        if isinstance(found, Checkpoint) and before and found.seq <= before.seq:
            found = f"signed for event {found.seq}, the one before for {before.seq}"
        if isinstance(found, str):
            yield BadEntry(number, seq, found, part=Part.CHECKPOINTS)
            return
        yield found
        before, previous = found, line


# -------------------------------------------------------------------------------- lines

_TORN = "torn: a crash cut its writing short"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""Writes what `canonical_json` writes, of values that were read as JSON without floats."""

_FIELDS: Mapping[str, type] = {
    "seq": int, "at": str, "kind": str, "book": str, "lane": str, "session": str, "intent_id": str,
    "actor": str, "reason": str, "body": dict, "prev_hash": str, "hash": str,
}  # fmt: skip
_CHECKPOINT_FIELDS: Mapping[str, type] = {
    "seq": int, "hash": str, "at": str, "size_bytes": int, "key_id": str, "previous": str, "signature": str,
}  # fmt: skip


def _object_of(text: bytes, fields: Mapping[str, type]) -> dict[str, Any] | str:
    """Return the JSON object of a line with just these fields, or why it is none that we wrote."""
    if len(text) > LINE_BYTES_MAX:
        return f"more than {LINE_BYTES_MAX} bytes: no line is as long"
    try:
        written = text.decode()
        entry = json.loads(written, parse_float=_refuse_float, parse_constant=_refuse_float)
        is_ours = isinstance(entry, dict) and {n: type(v) for n, v in entry.items()} == fields
        if is_ours and _ENCODER.encode(entry) != written:
            return "not canonical: the line was written by something else"
    except (ValueError, RecursionError):
        is_ours, entry = False, None
    return entry if is_ours else "not one of ours: the line is no JSON object with the fields it should have"


def _refuse_float(text: str) -> None:
    raise ValueError(f"{text}: a log holds no floats")


def _hash(prev_hash: str, content: bytes) -> str:
    return hashlib.sha256(prev_hash.encode() + b"\n" + content).hexdigest()
