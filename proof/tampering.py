"""An audit log changed by somebody: what is flipped, dropped, swapped, cut, spliced or signed anew is found.

The logs are the product's own: random lives of a journal, projected now and then, so that each has several
checkpoints. Each case changes a copy of the files in one way and asks the product to verify them with the
public key that was taken away before. Not here: what a crash leaves (log_machine.py, storage.py).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proof.lives import Life
from proof.suite import Progress, Size, Told
from resources.audit_keys import PUBLIC_NAME, signatory_of
from resources.audit_log import check, project
from resources.audit_paths import checkpoints_of, keys_of
from resources.journal.store import SqlJournal
from trading.audit import (
    GENESIS,
    BadEntry,
    Signatory,
    chained,
    digest_of_checkpoint,
    signed_bytes,
    verify,
    verify_signed,
)
from trading.values import canonical_json

LOGS = 4
PROJECTIONS = 6
STEPS = 14
"""Logs that cases are made of; how often each was projected, and the deeds before each projection."""

TOLD_EVERY = 100
NOT_FOUND = "not found"
BLIND_ROUNDS = 20
"""Cases of each kind, at most, until a blind verifier has to have let one pass."""

PLANTED_BUG = (
    "one verifier that looks at the chain alone misses what was written anew, and one that believes any"
    " signature misses what was signed anew"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Hold a log's bytes, by lines with their ends; `None` where the file is gone."""

    log: tuple[bytes, ...] | None
    checkpoints: tuple[bytes, ...] | None


class Original(NamedTuple):
    """Hold a log as it was written, whose signatures count, and another way on from its middle."""

    files: Files
    fork: Files
    public_key: Path
    signatory: Signatory


class Case(NamedTuple):
    """Hold changed files, and the line of the log that must be named first (0: any finding will do).

    `is_broken` says that no crash leaves such files. `kept` is a checkpoint that a person took away.
    """

    files: Files
    line: int = 0
    is_broken: bool = True
    kept: str = ""


Verify = Callable[[Path, Path, str], BadEntry | None]
"""Verifies the log at a path with a public key and a kept checkpoint."""

Tamper = Callable[[Original, Original, Random], Case]
"""Changes the first original's files; the second is another log."""


def run(size: Size, progress: Progress) -> Told:
    """Change logs in as many cases as asked; tell those that the product did not find."""
    started_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        originals = [_written(Path(folder) / str(n), seed=size.seed + n) for n in range(LOGS)]
        place = Path(folder) / "case" / "audit.jsonl"
        place.parent.mkdir()
        violations = list(_false_alarms(originals, place))
        parts: Counter[str] = Counter()
        for number in range(size.points):
            kind, missed = _tried(number, size.seed, originals, place, _product)
            parts[kind] += 1
            if missed:
                violations.append(missed)
            if (number + 1) % TOLD_EVERY == 0:
                progress(number + 1)
        is_caught = all(
            _is_caught(blind, kinds, size.seed, originals, place) for blind, kinds in BLIND.items()
        )
    return Told(
        points=size.points,
        seconds=time.monotonic() - started_at,
        seed=size.seed,
        planted_bug=PLANTED_BUG,
        is_planted_bug_caught=is_caught,
        violations=tuple(violations),
        parts=dict(parts),
    )


def _is_caught(
    blind: Verify, kinds: frozenset[str], seed: int, originals: list[Original], place: Path
) -> bool:
    """Say whether a blind verifier lets pass, of each kind that it is blind to, at least one case."""
    missed: set[str] = set()
    for number in range(BLIND_ROUNDS * len(TAMPERINGS)):
        if _kind_of(number) in kinds - missed:
            kind, why = _tried(number, seed, originals, place, blind)
            missed |= {kind} if why.endswith(NOT_FOUND) else set()
    return missed == kinds


def _kind_of(number: int) -> str:
    return list(TAMPERINGS)[number % len(TAMPERINGS)]


def _tried(number: int, seed: int, originals: list[Original], place: Path, ask: Verify) -> tuple[str, str]:
    """Return the kind of a case, and how it was missed; empty where it was found."""
    rng = Random(f"{seed}/{number}")
    kind = _kind_of(number)
    original, other = rng.sample(originals, 2)
    case = TAMPERINGS[kind](original, other, rng)
    if case.files == original.files:
        raise ValueError(f"case {number} ({kind}) changes nothing")
    _put(case.files, place)
    try:
        bad = ask(place, original.public_key, case.kept)
    except Exception as error:  # noqa: BLE001 - any error at all on a malformed file is what is looked for
        return kind, f"case {number} ({kind}): {type(error).__name__}: {error}"
    if bad is None:
        return kind, f"case {number} ({kind}): {NOT_FOUND}"
    if case.is_broken and bad.heals:
        return kind, f"case {number} ({kind}): taken for what a crash leaves: {bad}"
    if case.line and bad.line != case.line:
        return kind, f"case {number} ({kind}): line {case.line} was changed, named was {bad}"
    return kind, ""


def _false_alarms(originals: Iterable[Original], place: Path) -> Iterable[str]:
    """Say where the product finds something in a log that nobody changed."""
    for number, original in enumerate(originals):
        for name, files in (("log", original.files), ("fork", original.fork)):
            _put(files, place)
            bad = _product(place, original.public_key, "")
            if bad is not None:
                yield f"{name} {number}, unchanged: {bad}"


# -------------------------------------------------------------------------------- verifiers


def _product(path: Path, public_key: Path, kept: str) -> BadEntry | None:
    return check(path, public_key=public_key, kept=kept)


def _chain_alone(path: Path, _public_key: Path, _kept: str) -> BadEntry | None:
    return verify(_read(path))


def _gullible(path: Path, public_key: Path, _kept: str) -> BadEntry | None:
    signatory = replace(signatory_of(public_key), is_signed=lambda _content, _signature: True)
    return verify_signed(_read(path), _read(checkpoints_of(path)), signatory)


# -------------------------------------------------------------------------------- logs


def _written(folder: Path, *, seed: int) -> Original:
    """Write a log by the product, and a second one that is the same up to its middle."""
    path = folder / "audit.jsonl"
    url = f"sqlite:///{folder / 'journal.db'}"
    folder.mkdir(parents=True)
    with SqlJournal(url) as journal:
        _live(journal, path, seed=seed, projections=PROJECTIONS // 2)
    other = folder.with_name(f"{folder.name}-fork")
    shutil.copytree(folder, other)
    with SqlJournal(url) as journal:
        _live(journal, path, seed=seed + 1_000, projections=PROJECTIONS // 2)
    with SqlJournal(f"sqlite:///{other / 'journal.db'}") as journal:
        _live(journal, other / path.name, seed=seed + 2_000, projections=PROJECTIONS // 2)
    public_key = keys_of(path) / PUBLIC_NAME
    return Original(_files(path), _files(other / path.name), public_key, signatory_of(public_key))


def _live(journal: SqlJournal, path: Path, *, seed: int, projections: int) -> None:
    life = Life(journal, seed=seed)
    for _ in range(projections):
        appended = 0
        while not appended:
            for _ in range(STEPS):
                life.step()
            appended = project(journal, path)


def _files(path: Path) -> Files:
    return Files(log=tuple(_read(path)), checkpoints=tuple(_read(checkpoints_of(path))))


def _read(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _put(files: Files, path: Path) -> None:
    for place, lines in ((path, files.log), (checkpoints_of(path), files.checkpoints)):
        if lines is None:
            place.unlink(missing_ok=True)
        else:
            place.write_bytes(b"".join(lines))


# -------------------------------------------------------------------------------- the log changed


def _flip(of: Original, _other: Original, rng: Random) -> Case:
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    line = bytearray(log[at])
    line[rng.randrange(len(line))] ^= 1 << rng.randrange(8)
    log[at] = bytes(line)
    return _logged(of, log, line=at + 1)


def _drop(of: Original, _other: Original, rng: Random) -> Case:
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    del log[at]
    return _logged(of, log, line=at + 1)


def _repeat(of: Original, _other: Original, rng: Random) -> Case:
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    log.insert(rng.randint(0, at), log[at])
    return _logged(of, log)


def _swap(of: Original, _other: Original, rng: Random) -> Case:
    log = list(of.files.log or ())
    one, two = sorted(rng.sample(range(len(log)), 2))
    log[one], log[two] = log[two], log[one]
    return _logged(of, log, line=one + 1)


def _truncate(of: Original, _other: Original, rng: Random) -> Case:
    whole = b"".join(of.files.log or ())
    cut = whole[: rng.randrange(len(whole))]
    return _logged(of, cut.splitlines(keepends=True), line=cut.count(b"\n") + 1)


def _gone(of: Original, _other: Original, _rng: Random) -> Case:
    return Case(replace(of.files, log=None))


def _append(of: Original, other: Original, rng: Random) -> Case:
    """Add what is no event after the last one: a rest without an end is what a crash could leave too."""
    log = list(of.files.log or ())
    rubbish = rng.choice([b"{}", b"\n", b"null\n", rng.randbytes(40), (other.files.log or ())[-1]])
    return _logged(of, [*log, rubbish], line=len(log) + 1, is_broken=rubbish.endswith(b"\n"))


def _splice(of: Original, other: Original, rng: Random) -> Case:
    log, foreign = list(of.files.log or ()), list(other.files.log or ())
    at = rng.randrange(_parted(log, foreign) + 1, min(len(log), len(foreign)))
    until = rng.randint(at + 1, len(foreign))
    return _logged(of, log[:at] + foreign[at:until] + log[until:], line=at + 1)


def _splice_fork(of: Original, _other: Original, rng: Random) -> Case:
    """Go on as another journal did from the same middle: the chain holds, and only checkpoints tell."""
    log, fork = list(of.files.log or ()), list(of.fork.log or ())
    return _logged(of, fork[: rng.randint(_parted(log, fork) + 1, len(fork))])


def _unclean(of: Original, _other: Original, rng: Random) -> Case:
    """Write the same event in another way, or as no JSON that we write."""
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    line = log[at]
    log[at] = rng.choice(
        [
            line.replace(b"\n", b"\r\n"),
            line.replace(b",", b", ", 1),
            b" " + line,
            b"\xef\xbb\xbf" + line,
            b'{"seq":1,' + line[1:],
            line.replace(b'"seq":', b'"seq":0', 1),
            line.replace(b',"session"', b'.0,"session"', 1),
            line.replace(b',"session"', b'e0,"session"', 1),
            line.replace(b'"seq":', b'"seq":NaN,"was":', 1),
            line.replace(b'"lane"', b'"l\\u0061ne"', 1),
            line[:-1] + b"\xff\n",
            b"[" * 50_000 + b"\n",
            b"\x00" * len(line) + b"\n",
            b"\n",
        ]
    )
    return _logged(of, log, line=at + 1)


def _edit(of: Original, _other: Original, rng: Random) -> Case:
    """Change one event and give it a hash that fits: the next one, or a checkpoint, no longer does."""
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    log[at] = _rechained(_changed(log[at], rng), prev_hash=json.loads(log[at])["prev_hash"])
    return _logged(of, log)


def _rewrite(of: Original, _other: Original, rng: Random) -> Case:
    """Change one event and write every later one anew: the chain holds."""
    return _logged(of, _rewritten(of, rng))


def _leave_out(of: Original, _other: Original, rng: Random) -> Case:
    """Leave events out and count the later ones anew: the chain holds."""
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    return _logged(of, _chain_anew(log[:at], log[at + rng.randint(1, 3) :]))


# -------------------------------------------------------------------------------- the checkpoints changed


def _flip_checkpoint(of: Original, _other: Original, rng: Random) -> Case:
    lines = list(of.files.checkpoints or ())
    at = rng.randrange(len(lines))
    line = bytearray(lines[at])
    spot = rng.randrange(len(line))
    line[spot] ^= 1 << rng.randrange(8)
    lines[at] = bytes(line)
    # Without its end, the last one is what a crash in its writing leaves.
    is_last_end = (at, spot) == (len(lines) - 1, len(line) - 1)
    return _signed(of, lines, is_broken=not is_last_end)


def _drop_checkpoint(of: Original, _other: Original, rng: Random) -> Case:
    lines = list(of.files.checkpoints or ())
    at = rng.randrange(len(lines))
    del lines[at]
    # Without the last one, it is as if a crash came before it was signed: told, and compared again.
    return _signed(of, lines, is_broken=at < len(lines))


def _swap_checkpoints(of: Original, _other: Original, rng: Random) -> Case:
    lines = list(of.files.checkpoints or ())
    one, two = rng.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]
    return _signed(of, lines)


def _truncate_checkpoints(of: Original, _other: Original, rng: Random) -> Case:
    whole = b"".join(of.files.checkpoints or ())
    cut = whole[: rng.randrange(len(whole))]
    # What cuts the first one short is no crash: a key is in use only once that is on disk.
    return _signed(of, cut.splitlines(keepends=True), is_broken=b"\n" not in cut)


def _checkpoints_gone(of: Original, _other: Original, _rng: Random) -> Case:
    return Case(replace(of.files, checkpoints=None))


def _checkpoints_emptied(of: Original, _other: Original, rng: Random) -> Case:
    """Empty the checkpoints, and leave the log, some of it or none: nothing of it is a beginning."""
    log = of.files.log or ()
    left = rng.choice([log, log[: rng.randrange(len(log))], (), None])
    return Case(Files(log=left, checkpoints=()))


def _both_gone(_of: Original, _other: Original, rng: Random) -> Case:
    """Take the checkpoints away, and with them the log or what it holds."""
    return Case(Files(log=rng.choice([(), None]), checkpoints=None))


def _splice_checkpoints(of: Original, other: Original, rng: Random) -> Case:
    """Put in checkpoints of another log, or of the same key over another journal's events."""
    lines = list(of.files.checkpoints or ())
    fork = list(of.fork.checkpoints or ())
    at = rng.randrange(_parted(lines, fork), min(len(lines), len(fork)))
    foreign = rng.choice([fork, list(other.files.checkpoints or ())])
    return _signed(of, lines[:at] + foreign[at:])


def _forge(of: Original, _other: Original, rng: Random) -> Case:
    """Write the chain anew and make its checkpoints fit, with the signatures there were or made-up ones."""
    log = _rewritten(of, rng)
    made_up = rng.choice([None, bytes(64), rng.randbytes(64), b""])
    return Case(Files(log=tuple(log), checkpoints=tuple(_resigned(of, log, lambda _: made_up))))


def _resign(of: Original, _other: Original, rng: Random) -> Case:
    """Write the chain anew and sign it with another key, under its own name or under the true one's."""
    log = _rewritten(of, rng)
    key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
    name = rng.choice([of.signatory.key_id, "0123456789abcdef"])
    return Case(Files(log=tuple(log), checkpoints=tuple(_resigned(of, log, key.sign, key_id=name))))


# -------------------------------------------------------------------------------- both, against a kept one


def _cut_both(of: Original, _other: Original, rng: Random) -> Case:
    """Cut off log and checkpoints at the same checkpoint: only one that was taken away tells."""
    lines = list(of.files.checkpoints or ())
    left = rng.randrange(len(lines) - 1)
    seq = json.loads(lines[left])["seq"]
    files = Files(log=(of.files.log or ())[:seq], checkpoints=tuple(lines[: left + 1]))
    return Case(files, kept=rng.choice(lines[left + 1 :]).decode())


def _forked(of: Original, _other: Original, rng: Random) -> Case:
    """Put in the place of a log another one, truly signed, that went on otherwise from its middle."""
    lines, fork = list(of.files.checkpoints or ()), list(of.fork.checkpoints or ())
    return Case(of.fork, kept=rng.choice(lines[_parted(lines, fork) :]).decode())


TAMPERINGS: dict[str, Tamper] = {
    "flip": _flip,
    "drop": _drop,
    "repeat": _repeat,
    "swap": _swap,
    "truncate": _truncate,
    "gone": _gone,
    "append": _append,
    "splice": _splice,
    "splice_fork": _splice_fork,
    "unclean": _unclean,
    "edit": _edit,
    "rewrite": _rewrite,
    "leave_out": _leave_out,
    "flip_checkpoint": _flip_checkpoint,
    "drop_checkpoint": _drop_checkpoint,
    "swap_checkpoints": _swap_checkpoints,
    "truncate_checkpoints": _truncate_checkpoints,
    "checkpoints_gone": _checkpoints_gone,
    "checkpoints_emptied": _checkpoints_emptied,
    "both_gone": _both_gone,
    "splice_checkpoints": _splice_checkpoints,
    "forge": _forge,
    "resign": _resign,
    "cut_both": _cut_both,
    "forked": _forked,
}


BLIND: dict[Verify, frozenset[str]] = {
    _chain_alone: frozenset({"splice_fork", "rewrite", "leave_out", "forge", "forked"}),
    _gullible: frozenset({"resign", "forge", "forked"}),
}
"""Verifiers that are no good, each with the kinds that it has to let pass, or the suite proves nothing."""


# -------------------------------------------------------------------------------- what a forger would write


def _logged(of: Original, log: Iterable[bytes], *, line: int = 0, is_broken: bool = True) -> Case:
    return Case(replace(of.files, log=tuple(log)), line, is_broken)


def _signed(of: Original, lines: Iterable[bytes], *, is_broken: bool = True) -> Case:
    return Case(replace(of.files, checkpoints=tuple(lines)), is_broken=is_broken)


def _parted(one: list[bytes], two: list[bytes]) -> int:
    """Return the first place where two files differ."""
    return next(n for n, (mine, theirs) in enumerate(zip(one, two, strict=False)) if mine != theirs)


def _changed(line: bytes, rng: Random) -> dict[str, Any]:
    """Return what an event says, with something else in it."""
    entry: dict[str, Any] = json.loads(line)
    field = rng.choice(["actor", "reason", "at", "kind", "body"])
    if field == "body":
        entry["body"] = {**entry["body"], "quantity": rng.randint(10**6, 10**9)}
    else:
        entry[field] += rng.choice("abc")
    return entry


def _rechained(entry: dict[str, Any], *, prev_hash: str) -> bytes:
    content = {name: value for name, value in entry.items() if name not in {"prev_hash", "hash"}}
    hashed = chained(prev_hash, content)
    return canonical_json({**content, "prev_hash": prev_hash, "hash": hashed}).encode() + b"\n"


def _chain_anew(kept: list[bytes], rest: Iterable[bytes]) -> list[bytes]:
    """Return lines whose later ones count and hash on from those that are kept."""
    log = list(kept)
    for line in rest:
        prev_hash = json.loads(log[-1])["hash"] if log else GENESIS
        log.append(_rechained({**json.loads(line), "seq": len(log) + 1}, prev_hash=prev_hash))
    return log


def _rewritten(of: Original, rng: Random) -> list[bytes]:
    log = list(of.files.log or ())
    at = rng.randrange(len(log))
    changed = canonical_json(_changed(log[at], rng)).encode() + b"\n"
    return _chain_anew(log[:at], [changed, *log[at + 1 :]])


def _resigned(
    of: Original,
    log: list[bytes],
    sign: Callable[[bytes], bytes | None],
    *,
    key_id: str | None = None,
) -> list[bytes]:
    """Return checkpoints that fit a log; a signature of `None` stays what it was."""
    lines: list[bytes] = []
    for line in of.files.checkpoints or ():
        content = json.loads(line)
        before = content.pop("signature")
        event = json.loads(log[content["seq"] - 1])
        content |= {
            "hash": event["hash"],
            "at": event["at"],
            "size_bytes": sum(map(len, log[: content["seq"]])),
            "key_id": key_id or of.signatory.key_id,
            "previous": digest_of_checkpoint(lines[-1] if lines else b""),
        }
        signature = sign(signed_bytes(content))
        signed = {**content, "signature": before if signature is None else signature.hex()}
        lines.append(canonical_json(signed).encode() + b"\n")
    return lines
