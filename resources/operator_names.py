"""What may stand as the name of whoever acts: one rule for the setting, the command line and what is kept."""

from __future__ import annotations

import re

NAME_RULE = "1 to 64 letters, digits or . _ @ -"

_NAME = re.compile(r"[\w.@-]{1,64}")


def is_name(name: str) -> bool:
    """Say whether a name may act."""
    return _NAME.fullmatch(name) is not None
