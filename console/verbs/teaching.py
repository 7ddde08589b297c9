"""The help of a verb from its docstring: examples and exit codes keep their lines.

A docstring's paragraphs are joined for the terminal's width; one that begins with an example is not.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

EXAMPLE = "trading "
KEEP_LINES = "\b\n"
"""What the help's formatter reads as: leave the lines of this paragraph as they are."""


def help_of(verb: Callable[..., Any]) -> str:
    """Return the help text of a verb; raises `ValueError` where it teaches nothing."""
    paragraphs = cleandoc(verb.__doc__ or "").split("\n\n")
    if not any(text.startswith(EXAMPLE) for text in paragraphs):
        raise ValueError(f"{verb.__name__}: its docstring gives no example that begins with {EXAMPLE!r}")
    return "\n\n".join(KEEP_LINES + text if text.startswith(EXAMPLE) else text for text in paragraphs)
