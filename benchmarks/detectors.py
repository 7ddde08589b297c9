"""Try the detectors on every example strategy and every session: `python benchmarks/detectors.py`.

Prints for each book how many sessions were looked at, who was accused of what and in how many of them, and
ends with 1 unless every biased example is accused and nobody else. `--every N` looks at each N-th session.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from resources.judged_bars import judged_bars
from resources.profiles import Profiled
from resources.settings import load_settings
from resources.strategy_files import suspect_in, suspect_of
from trading.lookahead import FEWEST_SESSIONS, Detection, Trial, detect

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "strategies"


def main(arguments: list[str]) -> int:
    """Detect, print the figures, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--every", type=int, default=1)
    every = parser.parse_args(arguments).every
    profiled = Profiled(load_settings())
    biased = {path.stem for path in (EXAMPLES / "biased").glob("*.py")}
    is_right = True
    for book in profiled.lines:
        started = time.process_time()
        config, known = profiled.books[book], judged_bars(profiled, book)
        suspects = [suspect_in(path) for path in sorted(EXAMPLES.rglob("*.py"))]
        suspects += [suspect_of(strategy) for strategy in config.rules.strategies]
        sessions = known.panel.sessions[FEWEST_SESSIONS:][::-every][::-1]
        found = detect(Trial(config=config, known=known, suspects=tuple(suspects)), sessions)
        is_right = is_right and {row.suspect for row in found.accusations} == biased
        tell(found, cpu_s=time.process_time() - started)
    print("every biased example accused, nobody else" if is_right else "WRONG: see above")
    return 0 if is_right else 1


def tell(found: Detection, *, cpu_s: float) -> None:
    """Print what was found in one book."""
    print(f"{found.book}: {len(found.sessions):,} sessions, {found.rows:,} rows compared, {cpu_s:.0f} s CPU")
    for row in found.accusations:
        print(f"  {row.suspect:22} {row.bias.value:10} {row.sessions:6,} sessions {row.values:10,} values")
    for need in found.warm_ups:
        print(f"  {need.suspect:22} needs {need.least_sessions} of {need.window_sessions} sessions")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
