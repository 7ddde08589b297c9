"""The reviewed file of the advisor: off as it is shipped, and each contradiction refused by name."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from resources.advisor_file import read_advisor, read_prompt
from resources.settings import load_settings
from trading.advice import Ladder
from trading.advisor_calls import ErrorBudget, Prices, Tier
from trading.errors import BadSetting

SHIPPED = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def config_dir(tmp_path):
    shutil.copy(SHIPPED / "advisor.toml", tmp_path)
    shutil.copytree(SHIPPED / "prompts", tmp_path / "prompts")
    return tmp_path


def edited(config_dir, old, new):
    path = config_dir / "advisor.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    return config_dir


def test_as_it_is_shipped_the_advisor_is_off_with_the_limits_that_are_documented():
    config = read_advisor(SHIPPED)

    assert config.step is Ladder.OFF
    assert (config.limits.timeout_s, config.limits.completion_tokens_max) == (15.0, 256)
    assert (config.limits.retries, config.limits.again_s) == (1, 0.5)
    assert config.budget == ErrorBudget(error_rate_bps_max=1_000, latency_ms_p95_max=5_000, calls_min=10)
    assert config.small.prices == Prices(prompt_micros=150_000, completion_micros=600_000)
    assert config.small.cut_off_on == date(2023, 10, 1)
    assert config.model(Tier.LARGE) is config.large


def test_without_its_file_there_is_no_advisor(tmp_path):
    assert read_advisor(tmp_path) is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("step = 0 ", "step = 4 ", "step"),
        ("step = 0 ", "step = true ", "step"),
        ("step = 0 ", "stop = 0 ", "step"),
        ('"openai/gpt-4o"', '"openai/gpt-4o-mini"', "is the small one"),
        ("batch_max = 4 ", "batch_max = 5 ", "opinions take 300 tokens"),
        ("tokens_max = 3000", "tokens_max = 300", "the template alone"),
        ("session_tokens_max = 40000", "session_tokens_max = 3000", "one question may take 3256"),
        ("latency_ms_p95_max = 5000", "latency_ms_p95_max = 15000", "nothing could be slower"),
        ("error_rate_bps_max = 1000", "error_rate_bps_max = 10000", "error_rate_bps_max"),
        ("timeout_s = 15.0", "timeout_s = inf", "timeout_s"),
        ("timeout_s = 15.0", "timeout_s = 0", "timeout_s"),
        ("retries = 1 ", "retries = 9 ", "retries"),
        ('"0.15"', '"-0.15"', "not below 0"),
        ('"0.15"', '"much"', "not a decimal"),
        ('"1.00"', '"nan"', "not a finite"),
        ("2023-10-01", '"soon"', "training_cut_off"),
        ('version = "1"', 'version = "2"', "2.txt"),
        ('version = "1"', 'version = "../1"', "version"),
        ('name = "advice"', 'name = "../advice"', "name"),
        ('sha256 = "ea', 'sha256 = "ab', "a changed prompt is another version"),
        ('provider = "openrouter"', 'provider = "Open Router"', "provider"),
        ("[limits]", "[limit]", "limit"),
    ],
)
def test_a_contradiction_is_refused_by_name(config_dir, old, new, told):
    with pytest.raises(BadSetting, match=told) as caught:
        read_advisor(edited(config_dir, old, new))

    assert "advisor.toml" in str(caught.value)


def test_a_prompt_changed_under_its_version_is_refused(config_dir):
    path = config_dir / "prompts" / "advice" / "1.txt"
    path.write_text(path.read_text("utf-8") + "\nBe brave.", "utf-8")

    with pytest.raises(BadSetting, match="its digest is"):
        read_advisor(config_dir)
    assert read_prompt(config_dir, "advice", "1").text.endswith("Be brave.")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"x" * 70_000])
def test_a_file_that_is_no_prompt_is_refused(config_dir, content):
    (config_dir / "prompts" / "advice" / "1.txt").write_bytes(content)

    with pytest.raises(BadSetting, match=r"1\.txt"):
        read_prompt(config_dir, "advice", "1")


def test_a_large_model_may_be_left_out(config_dir):
    text = (config_dir / "advisor.toml").read_text("utf-8")
    first, _, rest = text.partition("[models.large]")
    (config_dir / "advisor.toml").write_text(first + rest[rest.index("[prompt]") :], "utf-8")

    config = read_advisor(config_dir)

    assert config.large is None
    assert config.model(Tier.LARGE) is config.small


@pytest.mark.parametrize(
    "address",
    [
        "http://models.example.org/v1", "https://user:word@models.example.org", "ftp://127.0.0.1", "models",
        "https://models.example.org/v1?key=1",
    ],
)  # fmt: skip
def test_an_address_that_would_send_a_key_in_the_clear_is_refused(monkeypatch, tmp_path, address):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", address)

    with pytest.raises(BadSetting, match="TRADING_ADVISOR_BASE_URL"):
        load_settings()


@pytest.mark.parametrize("address", ["https://openrouter.ai/api/v1", "http://127.0.0.1:8000/v1"])
def test_an_endpoint_over_https_or_on_this_machine_is_taken(monkeypatch, tmp_path, address):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_ADVISOR_BASE_URL", address)

    assert load_settings().advisor_base_url == address
