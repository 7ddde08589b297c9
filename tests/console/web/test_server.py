"""The server as a person starts it: where it listens, what it prints, what it never writes, how it ends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from console.cli import main
from console.console_site import build_site
from console.serving_marker import told_by
from console.web.app import gated
from console.web.identities import Role
from console.web.server import Bind, marker_path
from console.web.tokens import Tokens, console_folder
from resources.clocks import system_now
from tests.console.web.serving import desk_in, served
from tests.served import until
from trading.errors import BadInput

ROOT = Path(__file__).resolve().parents[3]
ANYWHERE = ".".join("0000")
LINK = re.compile(r"http://127\.0\.0\.1:\d+/sign-in\?code=(\S+)")


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRADING_CONFIG_DIR", str(ROOT / "config"))
    monkeypatch.setenv("TRADING_OPERATOR", "anna")
    return tmp_path / "state"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Started:
    """Hold `trading console` in a process of its own."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.out = folder / "out.txt"
        with self.out.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "console", "console", "--port", str(port)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    @property
    def codes(self) -> list[str]:
        return LINK.findall(self.out.read_text())

    def ask(self, path: str, **headers: str) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            reply.read()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}
        finally:
            connection.close()


@pytest.fixture
def started(state, tmp_path):
    console = Started(free_port(), tmp_path)
    try:
        until("the console's link", lambda: console.codes)
        yield console
    finally:
        console.process.send_signal(signal.SIGINT)
        console.process.wait(30)


def test_the_link_that_is_printed_signs_in_and_a_signal_ends_the_server(started, state, capsys):
    (code,) = started.codes
    status, headers = started.ask(f"/sign-in?code={code}")
    cookie = headers["set-cookie"].partition(";")[0]

    assert status == 303
    assert started.ask("/", Cookie=cookie)[0] == 200
    assert started.ask("/")[0] == 401

    # The same command once more gives another link to the server that is up, and ends.
    assert main(["console"]) == 0
    (another,) = LINK.findall(capsys.readouterr().err)
    assert started.ask(f"/sign-in?code={another}")[0] == 303

    # No secret is in what the server writes: not the codes, the cookie, nor a token.
    tokens = Tokens(state / "simulated" / "console")
    secret = tokens.make(name="bot", role=Role.VIEWER, now=system_now()).secret
    assert started.ask("/api/v1/status", Authorization=f"Bearer {secret}")[0] == 200
    assert started.ask("/api/v1/status", Authorization=f"Bearer {secret}x")[0] == 401
    files = [path for path in state.rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files)
    for hidden in (code, another, cookie.partition("=")[2], secret):
        assert hidden.encode() not in kept
    log = (state / "simulated" / "logs" / "trading.jsonl").read_text()
    assert '"signed_in"' in log
    assert '"sign_in_failed"' in log
    own = [state / "simulated" / "console" / name for name in ("tokens.json", "links.json")]
    assert [path.stat().st_mode & 0o077 for path in own] == [0, 0]

    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(30) == 130
    assert told_by(state / "simulated" / "console" / "serving.json") is None


def test_a_port_in_use_is_named(state, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert main(["console", "--port", str(port)]) == 2
    assert f"--port {port}: cannot be used on 127.0.0.1" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- beyond this machine


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.7", "desk.example.org", "[2001:db8::1]"])
def test_nothing_is_served_in_the_clear_to_another_machine(host):
    with pytest.raises(BadInput, match="not this machine alone"):
        Bind(port=3001, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_alone_needs_nothing(host):
    assert Bind(port=3001, host=host).access.origins[0] == "http://127.0.0.1:3001"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"host": ANYWHERE, "is_behind_proxy": True}, "say how browsers reach it"),
        ({"host": ANYWHERE, "is_behind_proxy": True, "address": "http://desk"}, "say how browsers reach it"),
        ({"host": ANYWHERE, "is_behind_proxy": True, "address": "https://d/x"}, "say how browsers reach it"),
        ({"certificate": Path("c.pem")}, "name both"),
        ({"address": "https://desk"}, "takes --certificate and --key, or --behind-proxy"),
    ],
)
def test_half_a_word_about_tls_is_refused(given, why):
    with pytest.raises(BadInput, match=why):
        Bind(port=3001, **given)


def test_behind_a_proxy_links_and_cookies_are_those_of_its_address():
    bind = Bind(port=3001, host=ANYWHERE, is_behind_proxy=True, address="https://Desk.example.org/")

    assert bind.access.origins[0] == "https://desk.example.org"
    assert bind.access.is_https
    assert bind.access.cookie_name == "__Host-trading_session"
    assert "desk.example.org" in bind.access.hosts


def test_over_tls_the_cookie_is_secure_and_the_clear_is_not_spoken(tmp_path):
    certificate, key = signed_for_loopback(tmp_path)
    desk = desk_in(tmp_path / "state")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        address = f"https://127.0.0.1:{port}"
        bind = Bind(port=port, certificate=certificate, key=key, address=address)
        tokens = Tokens(console_folder(desk.settings))
        secret = tokens.make(name="bot", role=Role.VIEWER, now=system_now()).secret
        with served(gated(build_site(desk, access=bind.access)), bind, listening):
            trusting = ssl.create_default_context(cafile=str(certificate))
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=30)
            connection.request("GET", "/api/v1/status", headers={"Authorization": f"Bearer {secret}"})
            reply = connection.getresponse()
            reply.read()
            connection.close()
            with socket.create_connection(("127.0.0.1", port), timeout=10) as caller:
                caller.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                in_the_clear = caller.makefile("rb").read()

    assert reply.status == 200
    assert reply.headers["strict-transport-security"].startswith("max-age=")
    assert bind.access.cookie_name == f"__Host-trading_session_{port}"
    assert b"HTTP/1.1" not in in_the_clear


def test_a_certificate_that_is_none_is_refused(state, capsys):
    for name in ("desk.pem", "desk.key"):
        Path(name).write_text("nothing", "utf-8")
    words = ["--certificate", "desk.pem", "--key", "desk.key", "--address", "https://desk.example.org"]

    assert main(["console", "--port", str(free_port()), *words]) == 2
    assert "--certificate desk.pem: with its key cannot be used" in capsys.readouterr().err


def signed_for_loopback(folder: Path) -> tuple[Path, Path]:
    """Give a certificate of 127.0.0.1, signed by itself, and its key."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "desk")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(min(now, system_now() - timedelta(days=1)))
        .not_valid_after(system_now() + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, SHA256())
    )
    certificate, private = folder / "desk.pem", folder / "desk.key"
    certificate.write_bytes(built.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


# ------------------------------------------------------------------------------------- tokens


def test_a_token_is_shown_once_listed_without_its_secret_and_taken_back(state, capsys):
    import json

    assert main(["tokens", "make", "grafana", "--role", "viewer", "--days", "30", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["tokens", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert main(["tokens", "revoke", made["token_id"]]) == 0
    capsys.readouterr()
    assert main(["tokens", "list", "--json"]) == 0
    left = json.loads(capsys.readouterr().out)

    assert made["secret"].startswith(f"ta_{made['token_id']}_")
    assert made["secret"] not in listed
    assert [row["name"] for row in json.loads(listed)["items"]] == ["grafana"]
    assert left == {"items": []}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["make", "x", "--role", "owner"], "role 'owner': one of viewer, trader, admin"),
        (["make", "a\nb"], "letters, digits or . _ @ -"),
        (["make", "x", "--days", "0"], "--days 0"),
        (["revoke", "00000000"], "token '00000000': there is none"),
    ],
)
def test_a_token_that_cannot_be_is_refused_in_one_line(state, capsys, words, why):
    assert main(["tokens", *words]) == 2
    assert why in capsys.readouterr().err
    assert not (state / "simulated" / "console" / "tokens.json").exists()


def test_tokens_are_listed_without_the_server(state):
    code = "import sys; from console.cli import main; main(['tokens', 'list']); "
    code += "print([name for name in ('fastapi', 'uvicorn', 'dagster', 'sqlalchemy') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.stdout.endswith("[]\n")


def test_the_marker_lies_in_the_profile(state):
    desk = desk_in(state)

    assert marker_path(desk.settings) == state / "simulated" / "console" / "serving.json"
