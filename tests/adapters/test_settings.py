"""Settings: read once, checked, safe by default, remembered without secrets."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources import settings
from resources.journal.reader import JournalReader
from resources.journal.store import SqlJournal
from resources.settings import Profile, describe_settings, load_secrets, load_settings, shown
from trading.errors import BadSetting

ROOT = Path(settings.__file__).parents[1]


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Be in an empty project, with none of our variables set."""
    for name in [name for name in os.environ if name.upper().startswith("TRADING_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".trading").mkdir()
    return tmp_path


def refusal():
    with pytest.raises(BadSetting) as refused:
        load_settings()
    return str(refused.value)


def test_by_default_nothing_leaves_the_project_and_no_key_is_needed(project):
    loaded = load_settings()

    assert loaded.profile is Profile.SIMULATED
    assert not loaded.live_allowed
    assert loaded.execution_enabled
    assert loaded.state_dir == project / ".trading"
    assert loaded.books_file == project / "config" / "books.toml"
    assert loaded.journal_url == f"sqlite:///{project}/.trading/simulated/journal.db"
    assert loaded.lake_root == f"{project}/.trading/simulated/lake"
    assert loaded.log_file == project / ".trading" / "simulated" / "logs" / "trading.jsonl"
    assert loaded.operator
    assert load_secrets().webhook_url is None


def test_profiles_never_share_a_journal_or_a_lake(monkeypatch):
    monkeypatch.setenv("TRADING_LIVE_ALLOWED", "true")
    loaded = []
    for profile in Profile:
        monkeypatch.setenv("TRADING_PROFILE", profile)
        loaded.append(load_settings())

    assert [one.profile for one in loaded] == list(Profile)
    assert len({one.journal_url for one in loaded} | {one.lake_root for one in loaded}) == 6


@pytest.mark.parametrize("name", ["a#b", "my desk", "état d'été"])
def test_a_state_folder_of_any_name_holds_its_own_journal(project, monkeypatch, name):
    monkeypatch.setenv("TRADING_STATE_DIR", str(project / name))
    url = load_settings().journal_url

    SqlJournal(url).close()

    assert JournalReader(url).exists
    assert (project / name / "simulated" / "journal.db").is_file()
    assert {path.name for path in project.iterdir()} == {".trading", name}


@pytest.mark.parametrize("name", ["50%25 off", "what?now"])
def test_a_state_folder_that_no_database_could_be_opened_in_is_refused_by_its_own_name(
    project, monkeypatch, name
):
    monkeypatch.setenv("TRADING_STATE_DIR", str(project / name))

    assert refusal().startswith(f"TRADING_STATE_DIR '{project / name}': has a % or ? in its path")


def test_every_setting_can_be_given(project, monkeypatch):
    given = {
        "PROFILE": "paper",
        "STATE_DIR": str(project / "state"),
        "CONFIG_DIR": "reviewed",
        "BOOKS_FILE": "mine.toml",
        "JOURNAL_URL": "postgresql+psycopg2://desk@db/journal",
        "LAKE_ROOT": "s3://bucket/lake",
        "LIVE_ALLOWED": "no",
        "EXECUTION_ENABLED": "false",
        "LOG_LEVEL": "DEBUG",
        "OPERATOR": "ada",
        "DISPLAY_TIMEZONE": "America/New_York",
        "APPROVAL_MODE": "manual",
        "BROKER_ACCOUNT_NO": "7",
        "BROKER_BASE_URL": "https://broker.example",
        "PAPER_BEHAVIOUR": "bad.toml",
        "ADVISOR_BASE_URL": "https://models.example/v1",
        "ALERT_OVERRIDES": "[]",
    }
    for name, text in given.items():
        monkeypatch.setenv(f"TRADING_{name}", text)

    assert {name.removeprefix("TRADING_"): text for name, text in shown(load_settings()).items()} == given | {
        "CONFIG_DIR": str(project / "reviewed"),
        "BOOKS_FILE": str(project / "mine.toml"),
        "PAPER_BEHAVIOUR": str(project / "bad.toml"),
        "LIVE_ALLOWED": "False",
        "EXECUTION_ENABLED": "False",
    }


def test_an_unknown_variable_is_refused_with_the_nearest_known_one(monkeypatch):
    monkeypatch.setenv("TRADING_JOURNAL", "hush")

    assert refusal() == (
        "TRADING_JOURNAL: no such setting; the nearest is TRADING_JOURNAL_URL. Correct its name or unset it"
    )


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("PROFILE", "lve", "TRADING_PROFILE 'lve': Input should be 'simulated', 'paper' or 'live'"),
        (
            "EXECUTION_ENABLED",
            "perhaps",
            "TRADING_EXECUTION_ENABLED 'perhaps': Input should be a valid boolean",
        ),
        ("LOG_LEVEL", "LOUD", "TRADING_LOG_LEVEL 'LOUD': Input should be 'DEBUG', 'INFO'"),
        ("OPERATOR", "ada; drop", "TRADING_OPERATOR 'ada; drop': 1 to 64 letters, digits or . _ @ -"),
        ("DISPLAY_TIMEZONE", "Mars/Base", "TRADING_DISPLAY_TIMEZONE 'Mars/Base': not an IANA time zone"),
        (
            "JOURNAL_URL",
            "journal.db",
            "TRADING_JOURNAL_URL 'journal.db': begin with one of sqlite://, postgresql://",
        ),
        ("LAKE_ROOT", "foo://bar", "TRADING_LAKE_ROOT 'foo://bar': not a folder, nor an address"),
        ("PROFILE", "live", "TRADING_PROFILE 'live': real money also takes TRADING_LIVE_ALLOWED=true"),
    ],
)
def test_a_bad_value_is_refused_with_setting_value_and_rule(monkeypatch, name, text, told):
    monkeypatch.setenv(f"TRADING_{name}", text)

    assert refusal().startswith(told)


def test_several_bad_values_are_told_at_once(monkeypatch):
    monkeypatch.setenv("TRADING_PROFILE", "lve")
    monkeypatch.setenv("TRADING_LOG_LEVEL", "LOUD")

    assert refusal().count("Input should be") == 2


def test_live_takes_two_settings(monkeypatch):
    monkeypatch.setenv("TRADING_PROFILE", "live")
    monkeypatch.setenv("TRADING_LIVE_ALLOWED", "true")

    assert load_settings().profile is Profile.LIVE


def test_no_bad_day_is_practised_live(monkeypatch):
    monkeypatch.setenv("TRADING_PAPER_BEHAVIOUR", "config/behaviours/forgetful.toml")
    assert load_settings().paper_behaviour == Path.cwd() / "config/behaviours/forgetful.toml"

    monkeypatch.setenv("TRADING_PROFILE", "live")
    monkeypatch.setenv("TRADING_LIVE_ALLOWED", "true")
    assert "TRADING_PAPER_BEHAVIOUR" in refusal()


def test_an_empty_variable_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("TRADING_PROFILE", "")
    monkeypatch.setenv("TRADING_WEBHOOK_URL", "")

    assert load_settings().profile is Profile.SIMULATED
    assert load_secrets().webhook_url is None


def test_a_file_is_no_state_folder(project, monkeypatch, tmp_path):
    file = tmp_path / "a file"
    file.touch()
    monkeypatch.setenv("TRADING_STATE_DIR", str(file))

    with pytest.raises(BadSetting, match=r"^TRADING_STATE_DIR '.*a file': is a file; name a folder$"):
        load_settings()


@pytest.mark.parametrize("link", ["desk", "desk/simulated"])
def test_a_link_to_a_disk_that_is_not_there_is_no_new_desk(project, monkeypatch, link):
    monkeypatch.setenv("TRADING_STATE_DIR", str(project / "desk"))
    path = project / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(project / "unmounted" / "desk")

    told = refusal()

    assert told.startswith("TRADING_STATE_DIR ")
    assert f"{path} is a link that leads nowhere; put back what it leads to" in told


@pytest.mark.parametrize("setting", ["TRADING_STATE_DIR", "TRADING_BOOKS_FILE"])
def test_a_place_that_the_system_does_not_let_us_look_at_is_refused_by_its_name(
    project, monkeypatch, setting
):
    name = "x" * 300
    monkeypatch.setenv(setting, str(project / name))

    told = refusal()

    assert name in told
    assert "File name too long; make it readable, or name another place" in told


def test_a_folder_is_neither_a_books_file_nor_a_journal(project, monkeypatch):
    folder = project / ".trading" / "simulated" / "here"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TRADING_BOOKS_FILE", str(folder))
    books = refusal()
    monkeypatch.delenv("TRADING_BOOKS_FILE")
    monkeypatch.setenv("TRADING_JOURNAL_URL", f"sqlite:///{folder}")

    assert books.startswith(f"TRADING_BOOKS_FILE '{folder}': is a folder; name the file")
    assert refusal().startswith(f"TRADING_JOURNAL_URL 'sqlite:///{folder}': is a folder; name a file in")


def test_a_journal_file_lies_beside_the_lock_of_its_executor(project, monkeypatch):
    inside = f"sqlite:///{project / '.trading' / 'simulated' / 'other.db'}"
    monkeypatch.setenv("TRADING_JOURNAL_URL", inside)
    assert load_settings().journal_url == inside
    for outside in (project / "journal.db", project / ".trading" / "simulated" / ".." / "journal.db"):
        monkeypatch.setenv("TRADING_JOURNAL_URL", f"sqlite:///{outside}")
        assert "two state folders on one journal could both send" in refusal()


def test_a_password_in_the_journals_address_is_refused_unseen(monkeypatch):
    monkeypatch.setenv("TRADING_JOURNAL_URL", "postgresql://desk:hush@db/journal")

    told = refusal()

    assert "a password does not belong in an address that is shown" in told
    assert "hush" not in told


def test_a_bad_secret_is_refused_unseen(monkeypatch):
    monkeypatch.setenv("TRADING_WEBHOOK_URL", "ftp://hush")

    with pytest.raises(BadSetting) as refused:
        load_secrets()

    assert str(refused.value) == "TRADING_WEBHOOK_URL: not an http:// or https:// address with a host"
    assert refused.value.__cause__ is None


def test_a_secret_is_given_to_who_asks_and_shown_to_nobody(project, monkeypatch):
    monkeypatch.setenv("TRADING_WEBHOOK_URL", "https://hooks.example/hush")

    loaded, secrets = load_settings(), load_secrets()

    assert secrets.webhook_url is not None
    assert secrets.webhook_url.get_secret_value() == "https://hooks.example/hush"
    written = "".join(path.read_text() for path in project.rglob("*") if path.is_file())
    assert "hush" not in f"{loaded} {secrets} {shown(loaded)} {describe_settings()} {written}"


def test_a_changed_secret_leaves_no_trace_in_the_memory(project, monkeypatch):
    memories = set()
    for secret in ("https://hooks.example/1", "https://hooks.example/2"):
        monkeypatch.setenv("TRADING_WEBHOOK_URL", secret)
        load_settings()
        memories.add((project / ".trading" / "settings.json").read_bytes())

    assert len(memories) == 1


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings().profile = Profile.LIVE


def test_remembered_settings_are_the_validated_ones(project, monkeypatch):
    monkeypatch.setenv("TRADING_LAKE_ROOT", "elsewhere")
    validated = load_settings()
    monkeypatch.setattr(settings, "_validated", lambda _given: pytest.fail("validated again"))

    assert load_settings() == validated


def test_remembered_settings_are_read_without_importing_pydantic(project):
    load_settings()
    script = (
        "import sys; from resources.settings import load_settings; load_settings(); "
        "sys.exit('pydantic' in sys.modules)"
    )

    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setenv("TRADING_LOG_LEVEL", "ERROR"),
        lambda patch: patch.setenv("TRADING_PROFILE", "x"),
    ],
)
def test_a_changed_variable_is_validated_again(monkeypatch, change):
    load_settings()
    change(monkeypatch)
    monkeypatch.setattr(settings, "_validated", lambda _given: (_ for _ in ()).throw(BadSetting("validated")))

    assert refusal() == "validated"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": "x"}', '{"digest": "x", "settings": {}}'])
def test_a_damaged_memory_is_no_memory(project, text):
    expected = load_settings()
    memory = project / ".trading" / "settings.json"
    memory.write_text(text)

    assert load_settings() == expected
    assert json.loads(memory.read_text())["settings"]["profile"] == "simulated"


def test_a_state_folder_that_is_not_there_is_not_made(project):
    (project / ".trading").rmdir()

    load_settings()

    assert list(project.iterdir()) == []


def test_a_memory_that_cannot_be_written_is_done_without(project):
    (project / ".trading" / "settings.json").mkdir()

    assert load_settings().profile is Profile.SIMULATED
    assert [path.name for path in (project / ".trading").iterdir()] == ["settings.json"]


def test_a_setting_is_one_in_the_model_and_in_the_settings():
    described = {one.variable for one in describe_settings()}

    assert described == {*shown(load_settings()), *(f"TRADING_{name.upper()}" for name in settings.SECRETS)}


def test_every_setting_says_why_its_default_is_safe():
    for one in describe_settings():
        assert " by default" in one.meaning, one.variable
