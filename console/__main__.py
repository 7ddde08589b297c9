"""The process of a command: `trading`, and `python -m console`, how one of our processes starts another."""

from __future__ import annotations

from resources.garbage import look_for_garbage_seldom


def main() -> int:
    """Run the command line in a process of its own and return its exit code."""
    look_for_garbage_seldom()
    # Not above: most of what would be searched is made by this.
    from console.cli import main as run

    return run()


if __name__ == "__main__":
    raise SystemExit(main())
