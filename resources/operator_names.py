"""What may stand as the name of whoever acts: one rule for settings, command line, tokens and links."""

from __future__ import annotations

import re
import unicodedata

NAME_LENGTH_MAX = 64
NAMES_OF_MACHINES = frozenset({"executor", "order_status"})
"""Under which the desk itself acts: a person of that name would make a halt, or an end, look like its own."""

NAME_RULE = (
    f"1 to {NAME_LENGTH_MAX} letters, digits or . _ @ -, single spaces between, and not "
    + " or ".join(sorted(NAMES_OF_MACHINES))
)

_NAME = re.compile(r"[\w.@-]+(?: [\w.@-]+)*")


def is_name(name: str) -> bool:
    """Say whether a name may act."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return (
        len(name) <= NAME_LENGTH_MAX and _NAME.fullmatch(name) is not None and folded not in NAMES_OF_MACHINES
    )
