"""Signed checkpoints as values: what they say of a chain, and what of it does not hold."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.audit import (
    BEGINNING,
    GENESIS,
    LINE_BYTES_MAX,
    BadEntry,
    Checkpoint,
    Fault,
    Part,
    Signatory,
    chained,
    checkpoint_content,
    checkpoint_of,
    content_of,
    content_text,
    event_of_line,
    follow,
    instant_from_text,
    instant_text,
    line_of,
    signed_bytes,
    verify,
    verify_signed,
)
from trading.errors import BadInput
from trading.journal import JournalEvent
from trading.values import canonical_json

AT = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


def signatory(key_id="k") -> Signatory:
    """Sign by a secret: what tells signatures apart is the adapter's business."""
    return Signatory(
        key_id=key_id,
        is_signed=lambda content, signature: hmac.compare_digest(signature, sign(content, key_id)),
    )


def sign(content, key_id="k") -> bytes:
    return hmac.digest(key_id.encode(), content, hashlib.sha256)


def chain(length, actor="ann") -> list[bytes]:
    lines, prev_hash = [], GENESIS
    for seq in range(1, length + 1):
        event = JournalEvent(
            seq, AT, "k", "b", "l", "s", "i", actor, "r", {"n": [1, None, True]}, prev_hash, ""
        )
        event = event._replace(hash=chained(prev_hash, content_of(event)))
        lines.append(line_of(event).encode() + b"\n")
        prev_hash = event.hash
    return lines


def signed(lines, *ends, key_id="k") -> list[bytes]:
    """Sign checkpoints after these numbers of events."""
    links = [BEGINNING]
    for line in lines:
        links.append(follow(links[-1], line))
    checkpoints = []
    for end in ends:
        previous = checkpoints[-1] if checkpoints else b""
        content = checkpoint_content(links[end], previous=previous, key_id=key_id)
        signature = sign(signed_bytes(content), key_id).hex()
        checkpoints.append(canonical_json({**content, "signature": signature}).encode() + b"\n")
    return checkpoints


LINES = chain(6)
SIGNED = signed(LINES, 2, 4, 6)


def test_a_log_signed_to_its_end_holds():
    assert verify_signed(LINES, SIGNED, signatory()) is None
    assert verify_signed([], [], signatory()) is None


@pytest.mark.parametrize("size", range(6))
def test_a_log_cut_off_is_whole_alone_and_found_by_its_checkpoints(size):
    bad = verify_signed(LINES[:size], SIGNED, signatory())

    assert verify(LINES[:size]) is None
    assert bad is not None
    assert (bad.line, bad.fault) == (size + 1, Fault.BROKEN)


def test_a_chain_written_anew_is_found_from_the_first_checkpoint_on():
    forged = chain(6, actor="eve")
    later = LINES[:4] + chain(6, actor="eve")[4:]

    assert verify(forged) is None
    assert verify_signed(forged, SIGNED, signatory()).line == 1
    assert verify_signed(later, SIGNED, signatory()).line == 5


@pytest.mark.parametrize(
    ("checkpoints", "line"),
    [
        (SIGNED[1:], 1),
        (SIGNED[:1] + SIGNED[2:], 2),
        ([SIGNED[1], SIGNED[0], SIGNED[2]], 1),
        ([SIGNED[0], *SIGNED], 2),
        (signed(LINES, 2, 4, 6, key_id="other"), 1),
        (signed(LINES, 4, 2, 6), 2),
        (signed(LINES, 2, 2, 6), 2),
        ([SIGNED[0].replace(b'"signature":"', b'"signature":"00')], 1),
        ([SIGNED[0].replace(b'"signature":"', b'"signature":"x')], 1),
        ([SIGNED[0].replace(b'"seq":2', b'"seq":3')], 1),
        ([b"{}\n"], 1),
    ],
)
def test_checkpoints_that_were_dropped_swapped_or_forged_are_named(checkpoints, line):
    bad = verify_signed(LINES, checkpoints, signatory())

    assert bad is not None
    assert (bad.line, bad.part, bad.heals) == (line, Part.CHECKPOINTS, False)


def test_a_signature_in_capitals_is_not_the_one_that_was_written():
    signature = SIGNED[-1].rpartition(b'"signature":')[2]
    shouted = [*SIGNED[:-1], SIGNED[-1].replace(signature[:-3], signature[:-3].upper())]

    assert shouted != SIGNED
    assert verify_signed(LINES, shouted, signatory()).line == 3


@pytest.mark.parametrize(
    ("lines", "checkpoints", "expected"),
    [
        (LINES, SIGNED[:2], (5, Fault.UNSIGNED, Part.LOG)),
        (LINES, [], (1, Fault.UNSIGNED, Part.LOG)),
        ([*LINES, b'{"actor'], SIGNED, (7, Fault.TORN, Part.LOG)),
        (LINES, [*SIGNED[:2], SIGNED[2][:-1]], (3, Fault.TORN, Part.CHECKPOINTS)),
        ([*LINES[:4], LINES[4][:9]], SIGNED[:2], (5, Fault.TORN, Part.LOG)),
    ],
)
def test_what_a_crash_leaves_is_told_apart(lines, checkpoints, expected):
    bad = verify_signed(lines, checkpoints, signatory())

    assert bad is not None
    assert (bad.line, bad.fault, bad.part) == expected
    assert bad.heals


def test_a_line_torn_below_a_checkpoint_is_no_crash():
    bad = verify_signed([*LINES[:5], LINES[5][:-1]], SIGNED, signatory())

    assert bad == BadEntry(6, 6, "is not here, but checkpoint 3 is signed for entry 6: cut off")


def test_only_a_kept_checkpoint_tells_that_both_were_cut_off():
    kept = checkpoint_of(SIGNED[2], signatory())
    assert isinstance(kept, Checkpoint)

    assert verify_signed(LINES, SIGNED, signatory(), kept=kept) is None
    assert verify_signed(LINES[:4], SIGNED[:2], signatory()) is None
    bad = verify_signed(LINES[:4], SIGNED[:2], signatory(), kept=kept)
    assert bad is not None
    assert (bad.line, bad.seq, bad.part) == (3, 6, Part.CHECKPOINTS)


def test_what_comes_after_a_verified_place_is_verified_alone():
    after = checkpoint_of(SIGNED[1], signatory()).link

    assert verify_signed(LINES[4:], (), signatory(), after=after).fault is Fault.UNSIGNED
    assert verify_signed(LINES[5:], (), signatory(), after=after).line == 5
    assert verify_signed([], (), signatory(), after=after) is None


def test_a_line_gives_its_event_back():
    event = event_of_line(LINES[3])

    assert line_of(event).encode() + b"\n" == LINES[3]
    assert event.at == AT


@pytest.mark.parametrize("line", [b"", b"{}", b"\xff", LINES[0].replace(b"2013-02-28T", b"2013-02-31T")])
def test_a_line_that_is_no_event_is_refused(line):
    with pytest.raises(BadInput, match="audit log"):
        event_of_line(line)


def test_an_event_that_no_line_can_hold_is_refused():
    with pytest.raises(BadInput, match="a line holds"):
        chained(GENESIS, {"kind": "k", "reason": "x" * LINE_BYTES_MAX})
    with pytest.raises(BadInput, match="no Unicode"):
        chained(GENESIS, {"kind": "k", "reason": "\ud800"})


@given(
    body=st.dictionaries(st.text(), st.lists(st.integers() | st.text() | st.booleans() | st.none())),
    told=st.text(),
)
def test_an_event_whose_body_was_written_already_has_the_text_of_the_whole(body, told):
    content = {**content_of(event_of_line(LINES[0])), "reason": told, "actor": told, "body": body}

    assert content_text(content, body=canonical_json(body)) == canonical_json(content)


def test_lines_of_text_and_of_bytes_are_verified_alike():
    assert verify(line.decode() for line in LINES) is None
    assert verify([LINES[0].decode(), "\ud800"]).line == 2


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (AT, "2013-02-28T14:30:00.000000Z"),
        (AT.replace(microsecond=7), "2013-02-28T14:30:00.000007Z"),
        (AT.astimezone(timezone(timedelta(hours=-5))), "2013-02-28T14:30:00.000000Z"),
        (datetime(5, 1, 2, tzinfo=UTC), "0005-01-02T00:00:00.000000Z"),
    ],
)
def test_an_instant_is_text_of_one_width_in_utc_and_comes_back_from_it(at, text):
    assert instant_text(at) == text
    assert instant_from_text(text) == at
