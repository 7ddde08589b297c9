"""Make the made-up markets that replays are measured on: seeded, in whole cents, kept as arrays in a folder.

Geometric Brownian motion with one factor that all share: a yearly drift of 3–13 %, a volatility of 12–40 %,
a first price of 20–200, a beta of 0.6–1.4 to a market of 15 %, and 35 % of the variance overnight.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np

SIZES = {"S": (20, 2_016), "M": (500, 2_520), "L": (3_000, 5_040)}
"""Symbols and sessions."""

MADE_AS = 1
"""Raised with every change of what a seed gives, so that no panel of another making is found."""

CENT_MICROS = 10_000
LEAST_CENTS = 100
YEAR = 252
MARKET_VOLATILITY, OVERNIGHT = 0.15, 0.35
BLOCK = 64
FIELDS = ("open_micros", "close_micros", "volume")


@dataclass(frozen=True, slots=True)
class Panel:
    """Hold a market by session and column: prices in micro-units, volume in shares, all int64."""

    open_micros: Any
    close_micros: Any
    volume: Any

    @property
    def cells(self) -> int:
        """Return how many bars there are."""
        return int(self.close_micros.size)


def made_panel(symbols: int, sessions: int, seed: int = 0) -> Panel:
    """Return the market of a seed, made in blocks of columns so that memory stays with the panel."""
    market = np.random.default_rng(seed).normal(0, MARKET_VOLATILITY / YEAR**0.5, (sessions, 1))
    fields = [np.empty((sessions, symbols), np.int64) for _ in FIELDS]
    for first in range(0, symbols, BLOCK):
        columns = slice(first, min(first + BLOCK, symbols))
        rng = np.random.default_rng((seed, 1 + first // BLOCK))
        for field, values in zip(fields, _block(rng, market, columns.stop - first), strict=True):
            field[:, columns] = values
    return Panel(*fields)


def _block(rng: np.random.Generator, market: Any, symbols: int) -> tuple[Any, Any, Any]:
    sessions = len(market)
    drift = rng.uniform(0.03, 0.13, symbols) / YEAR
    beta = rng.uniform(0.6, 1.4, symbols)
    wanted = rng.uniform(0.12, 0.40, symbols)
    alone = np.sqrt(np.maximum(wanted**2 - (MARKET_VOLATILITY * beta) ** 2, 0.05**2) / YEAR)
    variance = alone**2 + (MARKET_VOLATILITY * beta) ** 2 / YEAR
    noise = rng.standard_normal((2, sessions, symbols))

    def moved(share: float, part: int) -> Any:
        return share**0.5 * (alone * noise[part] + beta * market) + share * (drift - variance / 2)

    overnight, by_day = moved(OVERNIGHT, 0), moved(1 - OVERNIGHT, 1)
    close = np.log(rng.uniform(20, 200, symbols)) + np.cumsum(overnight + by_day, axis=0)
    volume = np.rint(np.exp(rng.normal(np.log(2e6), 0.5, (sessions, symbols))))
    return _micros(close - by_day), _micros(close), volume


def _micros(logarithm: Any) -> Any:
    return np.maximum(np.rint(np.exp(logarithm) * 100), LEAST_CENTS) * CENT_MICROS


def panels_folder() -> Path:
    """Return where panels are kept: below the temporary folder of the machine, never in the repository."""
    return Path(gettempdir()) / f"trading-panels-{os.getuid()}"


def kept_path(symbols: int, sessions: int, seed: int = 0, *, under: Path) -> Path:
    """Return the folder of a panel's arrays, whether it is there or not."""
    return under / f"made{MADE_AS}-{symbols}x{sessions}-seed{seed}"


def kept_panel(symbols: int, sessions: int, seed: int = 0, *, under: Path) -> Path:
    """Return the folder of a panel's arrays, made where it is not there yet."""
    kept = kept_path(symbols, sessions, seed, under=under)
    if not kept.exists():
        under.mkdir(mode=0o700, parents=True, exist_ok=True)
        panel = made_panel(symbols, sessions, seed)
        with TemporaryDirectory(dir=under) as folder:
            whole = Path(folder) / "whole"
            whole.mkdir()
            for field in FIELDS:
                np.save(whole / f"{field}.npy", getattr(panel, field))
            whole.rename(kept)
    return kept


def read_panel(folder: Path) -> Panel:
    """Return a kept panel, mapped into memory and read-only."""
    return Panel(*(np.load(folder / f"{field}.npy", mmap_mode="r") for field in FIELDS))


if __name__ == "__main__":
    kept_panel(int(sys.argv[1]), int(sys.argv[2]), under=panels_folder())
