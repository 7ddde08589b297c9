"""The settings, read once: environment variables `TRADING_…`. Nobody else reads the environment.

A setting is declared with its default and its reason in settings_model.py, which imports pydantic and
takes a third of a second; a command that only reads must answer sooner. So what was validated, never a
secret, is remembered in the state folder under the digest of all that it came from.
"""

from __future__ import annotations

import difflib
import getpass
import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.journal.looking import file_of
from resources.setting_names import PREFIX, SECRETS, STATE_DIR, Profile
from trading.errors import BadSetting

if TYPE_CHECKING:
    from pydantic import SecretStr, ValidationError

__all__ = [
    "PREFIX",
    "SECRETS",
    "Profile",
    "Secrets",
    "SettingDescription",
    "Settings",
    "describe_settings",
    "load_secrets",
    "load_settings",
    "shown",
]

REMEMBERED = "settings.json"

_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*@")
_STARRED = r"\1:***@"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Hold all settings but secrets, paths absolute; what each means is told in settings_model.py."""

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
    approval_mode: str = ""
    broker_account_no: str | None = None
    broker_base_url: str | None = None
    paper_behaviour: Path | None = None
    advisor_base_url: str | None = None
    alert_overrides: str = ""

    @property
    def profile_dir(self) -> Path:
        """Return the folder of everything that belongs to one profile: lanes cannot overwrite each other."""
        return self.state_dir / self.profile

    @property
    def log_file(self) -> Path:
        """Return the file of JSON log lines."""
        return self.profile_dir / "logs" / "trading.jsonl"

    @property
    def audit_log(self) -> Path:
        """Return the file of the audit log, which tells the journal's events."""
        return self.profile_dir / "audit.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Hold the secrets, which show themselves as stars."""

    webhook_url: SecretStr | None
    slack_webhook_url: SecretStr | None
    email_url: SecretStr | None
    broker_app_key: SecretStr | None
    broker_app_secret: SecretStr | None
    advisor_key: SecretStr | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDescription:
    """Describe one setting to a reader: its variable, its default as text, what it is and why it is safe."""

    variable: str
    default: str
    meaning: str


def load_settings() -> Settings:
    """Return the settings of this environment and folder.

    Raises `BadSetting` naming variable, value and rule.
    """
    given = given_variables()
    key = _digest(given)
    memory = _absolute(Path(given.get(f"{PREFIX}STATE_DIR") or STATE_DIR)) / REMEMBERED
    values = _recalled(memory, key)
    if values is None:
        values = _validated(given).plain()
        _remember(memory, key, values)
    settings = _settings_from(values)
    _check_places(settings)
    return settings


def load_secrets() -> Secrets:
    """Return the secrets of this environment; raises `BadSetting`, in which no secret is shown."""
    return _secrets_of(tuple(sorted(given_variables().items())))


# Each channel and each door asks anew, a dozen times a session; to validate takes longer than most writes.
@lru_cache(maxsize=1)
def _secrets_of(given: tuple[tuple[str, str], ...]) -> Secrets:
    found = _validated(dict(given))
    return Secrets(
        webhook_url=found.webhook_url,
        slack_webhook_url=found.slack_webhook_url,
        email_url=found.email_url,
        broker_app_key=found.broker_app_key,
        broker_app_secret=found.broker_app_secret,
        advisor_key=found.advisor_key,
    )


def shown(settings: Settings) -> dict[str, str]:
    """Return the settings as text by variable, to show to a person; there is no secret among them."""
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in asdict(settings).items()}


def describe_settings() -> tuple[SettingDescription, ...]:
    """Return every setting in the order of its declaration, secrets included, without any value."""
    from resources.settings_model import SettingsModel  # noqa: PLC0415 - slow to import, see the module's docstring

    return tuple(
        SettingDescription(
            variable=f"{PREFIX}{name.upper()}",
            default="" if field.default is None else str(field.default),
            meaning=field.description or "",
        )
        for name, field in SettingsModel.model_fields.items()
    )


def given_variables() -> dict[str, str]:
    """Return our variables by upper-case name; an empty one counts as not given."""
    return {
        name.upper(): text for name, text in os.environ.items() if name.upper().startswith(PREFIX) and text
    }


def _validated(given: dict[str, str]) -> Any:
    from pydantic import ValidationError  # noqa: PLC0415 - slow to import, see the module's docstring

    from resources.settings_model import SettingsModel  # noqa: PLC0415 - as above

    known = [f"{PREFIX}{name.upper()}" for name in SettingsModel.model_fields]
    for variable in sorted(set(given) - set(known)):
        (nearest,) = difflib.get_close_matches(variable, known, n=1, cutoff=0)
        raise BadSetting(
            f"{variable}: no such setting; the nearest is {nearest}. Correct its name or unset it"
        )
    try:
        return SettingsModel()
    except ValidationError as error:
        raise BadSetting(_told(error)) from None  # the cause would show values, secrets among them


def _told(error: ValidationError) -> str:
    """Return every wrong setting with value and rule on one line, secrets without their value."""
    told = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        rule = problem["msg"].removeprefix("Value error, ")
        value = "" if name in SECRETS else f" {_PASSWORD.sub(_STARRED, str(problem['input']))!r}"
        told.append(f"{PREFIX}{name.upper()}{value}: {rule}" if name else rule)
    return "; ".join(told)


def _digest(given: dict[str, str]) -> str:
    """Return the digest of what settings come from: variables (of secrets the name), folder, source."""
    digest = hashlib.sha256()
    for name, text in sorted(given.items()):
        shown = "" if name.removeprefix(PREFIX).lower() in SECRETS else text
        digest.update(f"{name}={shown}\0".encode(errors="surrogateescape"))
    digest.update(f"{Path.cwd()}\0{Path.home()}\0".encode(errors="surrogateescape"))
    for source in ("setting_names.py", "settings.py", "settings_model.py"):
        digest.update(Path(__file__).with_name(source).read_bytes())
    return digest.hexdigest()


def _recalled(memory: Path, key: str) -> dict[str, Any] | None:
    # A memory that is absent, torn or of other settings is no memory: validating again is always right.
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(memory.read_bytes())
        if content["digest"] == key and set(content["settings"]) == set(Settings.__dataclass_fields__):
            return dict(content["settings"])
    return None


def _remember(memory: Path, key: str, values: dict[str, Any]) -> None:
    # Only where there is a state folder already: to look at settings makes nothing. A folder that cannot be
    # written costs time at the next call, and the journal in it will say so itself.
    temporary = memory.with_name(f"{memory.name}.{os.getpid()}")
    with suppress(OSError):
        if not memory.parent.is_dir():
            return
        try:
            temporary.write_text(json.dumps({"digest": key, "settings": values}, indent=1), encoding="utf-8")
            temporary.replace(memory)
        finally:
            temporary.unlink(missing_ok=True)


def _settings_from(values: dict[str, Any]) -> Settings:
    profile = Profile(values["profile"])
    state_dir = _absolute(Path(values["state_dir"]))
    config_dir = _absolute(Path(values["config_dir"]))
    own = state_dir / profile
    return Settings(
        profile=profile,
        state_dir=state_dir,
        config_dir=config_dir,
        books_file=_absolute(Path(values["books_file"]))
        if values["books_file"]
        else config_dir / "books.toml",
        journal_url=values["journal_url"] or f"sqlite:///{own / 'journal.db'}",
        lake_root=_place(values["lake_root"]) if values["lake_root"] else str(own / "lake"),
        live_allowed=values["live_allowed"],
        execution_enabled=values["execution_enabled"],
        log_level=values["log_level"],
        operator=values["operator"] or _system_user(),
        display_timezone=values["display_timezone"],
        approval_mode=values["approval_mode"] or "",
        broker_account_no=values["broker_account_no"],
        broker_base_url=values["broker_base_url"],
        paper_behaviour=_absolute(Path(values["paper_behaviour"])) if values["paper_behaviour"] else None,
        advisor_base_url=values["advisor_base_url"],
        alert_overrides=values["alert_overrides"] or "",
    )


def _check_places(settings: Settings) -> None:
    """Raise `BadSetting` where a path cannot be what it is named for, whatever was remembered of it."""
    try:
        _check_kinds(settings)
    except OSError as error:
        raise BadSetting(
            f"{error.filename}: {error.strerror}; make it readable, or name another place by the settings "
            f"{PREFIX}STATE_DIR, {PREFIX}BOOKS_FILE, {PREFIX}JOURNAL_URL"
        ) from error


def _check_kinds(settings: Settings) -> None:
    if set("%?") & set(str(settings.state_dir)):
        raise BadSetting(
            f"{PREFIX}STATE_DIR '{settings.state_dir}': has a % or ? in its path, which mean something else "
            "in the addresses of the databases below it; name another folder"
        )
    folder = settings.profile_dir
    for place in (folder, *folder.parents):
        if place.is_symlink() and not place.exists():
            # As of a disk that is not there: a desk may be on it, and nothing here would tell of it.
            raise BadSetting(
                f"{PREFIX}STATE_DIR '{settings.state_dir}': {place} is a link that leads nowhere; put back "
                "what it leads to, or name another folder"
            )
    if settings.state_dir.exists() and not settings.state_dir.is_dir():
        raise BadSetting(f"{PREFIX}STATE_DIR '{settings.state_dir}': is a file; name a folder")
    if settings.books_file.is_dir():
        raise BadSetting(
            f"{PREFIX}BOOKS_FILE '{settings.books_file}': is a folder; name the file that declares the books"
        )
    named = file_of(settings.journal_url)
    if named is None or named == Path():
        return
    journal = _absolute(named)
    shown = f"{PREFIX}JOURNAL_URL '{settings.journal_url}'"
    if journal.is_dir():
        raise BadSetting(f"{shown}: is a folder; name a file in {settings.profile_dir}")
    if not journal.resolve().is_relative_to(settings.profile_dir.resolve()):
        raise BadSetting(
            f"{shown}: outside of {settings.profile_dir}, where the executor's lock and paper ledger lie: "
            "two state folders on one journal could both send; move it with TRADING_STATE_DIR instead"
        )


def _place(root: str) -> str:
    return root if "://" in root else str(_absolute(Path(root)))


def _absolute(path: Path) -> Path:
    return Path.cwd() / path.expanduser()


def _system_user() -> str:
    """Return the name of the user at the machine, or its number where a container gave it no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
