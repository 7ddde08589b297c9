"""The command line as `python -m console`: how one of our processes starts another."""

from __future__ import annotations

from console.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
