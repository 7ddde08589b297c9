"""Every setting with its default, its unit and why the default is the safe one; validated by pydantic.

Only settings.py imports this, and only when it has to: use `load_settings` there.
"""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from upath.registry import available_implementations

from resources.operator_names import NAME_RULE, is_name
from resources.setting_names import PREFIX, SECRETS, STATE_DIR, Profile
from trading.approvals import ApprovalMode

LOOPBACK = ("127.0.0.1", "localhost", "::1")
JOURNAL_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg2")


class SettingsModel(BaseSettings):
    """Read `TRADING_…` variables; a group of settings would take its parts after `__`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    profile: Profile = Field(
        Profile.SIMULATED,
        description="simulated, paper or live: whose money moves. "
        "Simulated by default: it needs no key and reaches no broker.",
    )
    state_dir: str = Field(
        STATE_DIR,
        description="Folder of all state, from the working directory. "
        "Inside the project by default, so that two checkouts never share a journal.",
    )
    config_dir: str = Field(
        "config",
        description="Folder of reviewed files: limits, policies, calendars. "
        "The project's own by default, so that what runs is what was reviewed.",
    )
    books_file: str | None = Field(
        None,
        description="File that declares the books. "
        "`books.toml` in the config folder by default, for the same reason.",
    )
    journal_url: str | None = Field(
        None,
        description="SQLAlchemy URL of the journal, sqlite or postgresql, without a password (PostgreSQL "
        "reads PGPASSFILE; the executor's lock is in its server then). A file in the profile's own folder by "
        "default, so that profiles cannot mix.",
    )
    lake_root: str | None = Field(
        None,
        description="Folder or URL (`s3://bucket/path`, with s3fs installed) of the lake. "
        "A folder of the profile's own by default, so that profiles cannot mix.",
    )
    live_allowed: bool = Field(
        False,
        description="true or false: the switch without which the profile `live` is refused. "
        "Off by default: real money takes two deliberate settings.",
    )
    execution_enabled: bool = Field(
        True,
        description="true or false: whether approved intents are sent at all. "
        "On by default, since the default profile's broker is simulated; off holds every profile.",
    )
    approval_mode: ApprovalMode | None = Field(
        None,
        description="manual, auto or shadow_auto: who approves, for every book; weaker than what a person "
        "stored, stronger than control.toml. None by default: the reviewed file says it, and nothing makes a "
        "book more automatic than that.",
    )
    broker_app_key: SecretStr | None = Field(
        None,
        description="Key of the account at a broker over HTTP; a secret, read by the executor, a halt, and "
        "the process that only asks what a broker has. None by default: without it live execution is denied "
        "before any network call.",
    )
    broker_app_secret: SecretStr | None = Field(
        None,
        description="Secret that goes with the key. None by default, for the same reason.",
    )
    broker_account_no: str | None = Field(
        None,
        description="Number of the account at a broker over HTTP. None by default, for the same reason.",
    )
    broker_base_url: str | None = Field(
        None,
        description="Address of a broker over HTTP: https, but of a paper exchange on this machine. "
        "None by default, for the same reason.",
    )
    paper_behaviour: str | None = Field(
        None,
        description="File (TOML) that tells the paper broker how to misbehave, to practise bad days; refused "
        "in profile live. None by default: a broker that is kind.",
    )
    advisor_base_url: str | None = Field(
        None,
        description="Address of an OpenAI-compatible endpoint, up to and with its version, as "
        "`https://openrouter.ai/api/v1`: https, but of a server on this machine. "
        "None by default: no model is asked, whatever the advisor's file says.",
    )
    advisor_key: SecretStr | None = Field(
        None,
        description="Key of that endpoint; a secret, sent in a header and nowhere else. "
        "None by default: a server on this machine needs none.",
    )
    webhook_url: SecretStr | None = Field(
        None,
        description="Address (http or https) that alerts are posted to; a secret. "
        "None by default: nothing leaves the machine unasked.",
    )
    slack_webhook_url: SecretStr | None = Field(
        None,
        description="Incoming webhook (http or https) of a Slack channel, for `slack` in the alert policy's "
        "channels; a secret. None by default: nothing leaves the machine unasked.",
    )
    email_url: SecretStr | None = Field(
        None,
        description="Mailbox for `email` in the alert policy's channels, as "
        "`mailtos://user:password@server?from=desk@example.org&to=you@example.org`; a secret. "
        "None by default, for the same reason.",
    )
    alert_overrides: str | None = Field(
        None,
        description="What named persons change of alert rules here, a JSON list such as "
        '`[{"code": "drawdown_high", "threshold": 0.05, "actor": "ada", "why": "a nervous week"}]`; '
        'in `live` a change that loosens a critical rule is refused unless it says `"loosens": true`. '
        "None by default: the reviewed file holds.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        description="DEBUG, INFO, WARNING or ERROR: the least that is logged. "
        "INFO by default: each order's life is there, and no payload.",
    )
    operator: str | None = Field(
        None,
        description=f"Name under which a person's actions are recorded: {NAME_RULE}. "
        "A claim that the command line records and cannot prove; the console's tokens and links do. "
        "The system's user by default, so that an action is never anonymous.",
    )
    display_timezone: str = Field(
        "UTC",
        description="IANA time zone in which times are shown. "
        "UTC by default, as they are stored: two desks read the same hour.",
    )

    @field_validator("journal_url")
    @classmethod
    def _is_a_journal_without_password(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.password:
            raise ValueError("a password does not belong in an address that is shown; put it into PGPASSFILE")
        if parts.scheme not in JOURNAL_SCHEMES:
            raise ValueError(f"begin with one of {', '.join(f'{scheme}://' for scheme in JOURNAL_SCHEMES)}")
        return url

    @field_validator("lake_root")
    @classmethod
    def _is_a_place(cls, root: str | None) -> str | None:
        scheme, separator, _ = (root or "").partition("://")
        if separator and scheme not in available_implementations(fallback=True):
            raise ValueError("not a folder, nor an address of a known kind such as s3://bucket/path")
        return root

    @field_validator("email_url")
    @classmethod
    def _is_a_mailbox(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parts = urlsplit(url.get_secret_value())
            if parts.scheme not in {"mailto", "mailtos"} or not parts.hostname:
                raise ValueError("not a mailto:// or mailtos:// address with a server")
        return url

    @field_validator("webhook_url", "slack_webhook_url")
    @classmethod
    def _is_a_web_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            parts = urlsplit(url.get_secret_value())
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ValueError("not an http:// or https:// address with a host")
        return url

    @field_validator("advisor_base_url")
    @classmethod
    def _is_an_endpoint(cls, address: str | None) -> str | None:
        if address is None:
            return None
        parts = urlsplit(address)
        if parts.username or parts.password or parts.query or parts.fragment or not parts.hostname:
            raise ValueError("an address with a host, and without a name, password, query or fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("https, or http to 127.0.0.1 or localhost: a key is never sent in the clear")
        return address.rstrip("/")

    @field_validator("operator")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not is_name(name):
            raise ValueError(NAME_RULE)
        return name

    @field_validator("display_timezone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("not an IANA time zone such as America/New_York") from error
        return name

    @model_validator(mode="after")
    def _live_takes_two_settings(self) -> SettingsModel:
        if self.profile is Profile.LIVE and not self.live_allowed:
            raise ValueError(
                f"{PREFIX}PROFILE 'live': real money also takes {PREFIX}LIVE_ALLOWED=true, set on purpose"
            )
        return self

    @model_validator(mode="after")
    def _live_is_no_practice(self) -> SettingsModel:
        if self.profile is Profile.LIVE and self.paper_behaviour:
            raise ValueError(
                f"{PREFIX}PAPER_BEHAVIOUR {self.paper_behaviour!r}: no bad day is practised live"
            )
        return self

    def plain(self) -> dict[str, Any]:
        """Return what is no secret, as JSON values."""
        return self.model_dump(mode="json", exclude=set(SECRETS))
