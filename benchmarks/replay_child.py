"""Replay one workload in this process through one engine, and tell a line of JSON for each run.

    python -m benchmarks.replay_child bare w1 FOLDER 0          one run, then the end: a one-shot
    python -m benchmarks.replay_child bare w1 FOLDER 0 --serve  a run for each line on standard input

Started by replay.py with an interpreter that has the engine; numbers after the folder bound the sessions.
What an engine needs is imported where it is made ready, since vectorbt may live in another environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.panels import Panel, read_panel

DEPOSIT_MICROS = 100_000_000 * 1_000_000
NAMES = {"w1": "momentum", "w2": "crossing"}

Replay = Callable[[], Any]
"""What is measured: one whole run from bars in memory to fills and equity."""

Tell = Callable[[Any], tuple[Any, Any]]
"""Turns what a run gave into equity by session and fills as the bare loop records them, without the cash."""


def bare(workload: str, panel: Panel) -> tuple[Replay, Tell]:
    """Give the bare compiled loop."""
    from benchmarks import bare_ledger  # noqa: PLC0415 - only where Numba is

    replay = getattr(bare_ledger, NAMES[workload])
    return (
        lambda: replay(panel.open_micros, panel.close_micros, DEPOSIT_MICROS),
        lambda given: (given[0], given[1][:, : bare_ledger.CASH]),
    )


def integers(workload: str, panel: Panel) -> tuple[Replay, Tell]:
    """Give the integer reference."""
    from benchmarks import integer_reference  # noqa: PLC0415 - only what is measured is imported

    replay = getattr(integer_reference, NAMES[workload])
    return (
        lambda: replay(panel.open_micros, panel.close_micros, DEPOSIT_MICROS),
        lambda given: (np.array(given.equity), np.array(given.fills, np.int64).reshape(-1, 5)),
    )


def engine(workload: str, panel: Panel, *, light: bool = True) -> tuple[Replay, Tell]:
    """Give this project's engine with every guard asked; its machine code is kept beside Numba's."""
    from benchmarks.workloads import replay_workload  # noqa: PLC0415 - only what is measured is imported
    from resources.replay_engine import ReplayEngine  # noqa: PLC0415 - see above

    made = ReplayEngine(Path(os.environ["NUMBA_CACHE_DIR"]) / "rules")

    def replay() -> Any:
        return replay_workload(
            workload,
            panel.open_micros,
            panel.close_micros,
            panel.volume,
            engine=made,
            deposit_micros=DEPOSIT_MICROS,
            light=light,
        )

    return replay, told


def told(given: Any) -> tuple[Any, Any]:
    """Return the equity by session and the fills of a run of the engine, as the bare loop records them."""
    sessions, _, _, fills, _ = (int(count) for count in given.counts[:5])
    bought = given.fills
    columns = (
        bought.session,
        bought.symbol,
        bought.sign * bought.quantity,
        bought.price_micros,
        bought.commission_micros,
    )
    return given.sessions.equity_micros[:sessions], np.stack([column[:fills] for column in columns], axis=1)


def full_engine(workload: str, panel: Panel) -> tuple[Replay, Tell]:
    """Give this project's engine with every table kept."""
    return engine(workload, panel, light=False)


def vectorbt(workload: str, panel: Panel) -> tuple[Replay, Tell]:
    """Give vectorbt: a matrix of what to do, known beforehand, then its simulation from orders or signals.

    It sizes on floats and rounds the difference to whole shares, so its end is near, not equal.
    """
    import pandas as pd  # noqa: PLC0415 - vectorbt's environment has it
    import vectorbt as vbt  # noqa: PLC0415 - as above

    days = pd.bdate_range("2000-01-03", periods=len(panel.close_micros))
    opens = pd.DataFrame(panel.open_micros / 1e6, index=days)
    closes = pd.DataFrame(panel.close_micros / 1e6, index=days)
    sessions, symbols = closes.shape
    cash = DEPOSIT_MICROS / 1e6
    terms = {
        "price": opens,
        "fees": 1e-4,
        "slippage": 5e-4,
        "init_cash": cash,
        "size_granularity": 1,
        "cash_sharing": True,
        "group_by": True,
        "call_seq": "auto",
        "freq": "1D",
        "max_orders": max(100_000, sessions * symbols // 8),
    }

    def next_day(decided: Any, nothing: Any) -> Any:
        return np.vstack([np.full((1, symbols), nothing), decided[:-1]])

    def momentum() -> Any:
        count = max(1, symbols // 10)
        decided_at = np.arange(131, sessions - 1, 5)
        prices = closes.to_numpy()
        ranks = pd.DataFrame(prices[decided_at - 5] / prices[decided_at - 131]).rank(
            axis=1, ascending=False, method="first"
        )
        weights = np.full((sessions, symbols), np.nan)
        weights[decided_at] = np.where(ranks.to_numpy() <= count, 0.95 / count, 0.0)
        return vbt.Portfolio.from_orders(
            closes,
            size=next_day(weights, np.nan),
            size_type="targetpercent",
            direction="longonly",
            val_price=-np.inf,
            **terms,
        )

    def crossing() -> Any:
        fast, slow = vbt.MA.run(closes, 10, short_name="fast"), vbt.MA.run(closes, 30, short_name="slow")
        return vbt.Portfolio.from_signals(
            closes,
            next_day(fast.ma_crossed_above(slow).to_numpy(), nothing=False),
            next_day(fast.ma_crossed_below(slow).to_numpy(), nothing=False),
            size=next_day(np.floor(cash / symbols / closes.to_numpy()), np.nan),
            size_type="amount",
            direction="longonly",
            accumulate=False,
            **terms,
        )

    decide = momentum if workload == "w1" else crossing

    def replay() -> Any:
        portfolio = decide()
        return portfolio.value().to_numpy(), len(portfolio.orders.records)

    return replay, lambda given: (np.rint(given[0] * 1e6).astype(np.int64), np.zeros((given[1], 5), np.int64))


ENGINES = {
    "bare": bare,
    "integers": integers,
    "engine": engine,
    "engine_full": full_engine,
    "vectorbt": vectorbt,
}


def main() -> None:
    """Make the engine ready and run it as often as asked."""
    name, workload, folder, bound = sys.argv[1:5]
    kept = read_panel(Path(folder))
    panel = Panel(
        *(
            np.asarray(column)[: int(bound) or None]
            for column in (kept.open_micros, kept.close_micros, kept.volume)
        )
    )
    replay, tell = ENGINES[name](workload, panel)
    if "--serve" not in sys.argv:
        _run(replay, tell)
        return
    for _ in sys.stdin:
        _run(replay, tell)


def _run(replay: Replay, tell: Tell) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    given = replay()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    equity, fills = tell(given)
    line = {
        "wall_s": wall,
        "cpu_s": cpu,
        "fills": len(fills),
        "equity_micros": int(equity[-1]),
        "equity_sha": _sha(equity),
        "fills_sha": _sha(fills),
        "peak_mib": _peak_mib(),
    }
    print(json.dumps(line), flush=True)


def _peak_mib() -> float:
    """Return the most memory that this program has had; without /proc, with what it was forked from."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _sha(numbers: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype=np.int64).tobytes()).hexdigest()


if __name__ == "__main__":
    main()
