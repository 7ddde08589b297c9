"""The settings: the only reader of the environment (`TRADING_…`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Profile(StrEnum):
    SIMULATED = "simulated"
    PAPER = "paper"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    profile: Profile
    state_dir: Path
    config_dir: Path
    books_file: Path
    journal_url: str
    lake_root: str
    live_allowed: bool
    execution_enabled: bool
    log_level: str
    operator: str
    display_timezone: str

    @property
    def profile_dir(self) -> Path: ...  # state_dir/<profile>
    @property
    def log_file(self) -> Path: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    webhook_url: str | None


def load_settings() -> Settings: ...
def load_secrets() -> Secrets: ...
