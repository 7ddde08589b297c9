"""How much of a payload's hash an approver has to name, so that the approval binds what was seen."""

from __future__ import annotations

import pytest

from console.verbs.deciding import _payload_seen
from trading.errors import BadInput

STORED = "0123456789abcdef" * 4


@pytest.mark.parametrize("payload", ["", "0", STORED[:11]])
def test_a_payload_named_by_too_few_digits_is_refused(payload):
    with pytest.raises(BadInput, match=rf"--payload .*: {len(payload)} digits; give 12 or more"):
        _payload_seen(STORED, payload)


@pytest.mark.parametrize("payload", [STORED[:12], STORED])
def test_twelve_digits_or_more_name_the_payload(payload):
    assert _payload_seen(STORED, payload) == STORED


def test_another_payload_stays_another():
    assert _payload_seen(STORED, "f" * 12) == "f" * 12
