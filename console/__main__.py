"""The process of a command: `trading`, and `python -m console`, how one of our processes starts another."""

from __future__ import annotations

import sys

from resources.garbage import look_for_garbage_seldom

INTERRUPTED = 130
"""`ExitCode.INTERRUPTED`, which is imported with the rest."""


def main() -> int:
    """Run the command line in a process of its own and return its exit code."""
    look_for_garbage_seldom()
    try:
        # Not above: most of what would be searched is made by this.
        from console.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("trading: interrupted before it began: nothing was done\n")
        return INTERRUPTED
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
