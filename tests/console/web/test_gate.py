"""The gate: nobody unknown gets anything but 401, on any path, and nothing they send is read (INV18)."""

from __future__ import annotations

import json
import socket
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.web.gate import HALTS
from console.web.identities import Role
from console.web.permission import needs, roles_of
from console.web.rates import Rate
from console.web.sign_in import SIGN_IN_PATH
from tests.console.web.serving import console_on
from trading.errors import BadSetting

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNKNOWN = [
    "/",
    "/nowhere",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/static/",
    "/static/htmx.min.js",
    "/favicon.ico",
]
UNKNOWN += ["/api/v1/nothing", "/../etc/passwd", "//", "/%00", SIGN_IN_PATH, f"{SIGN_IN_PATH}?code=guess"]
API = "/api/v1/openapi.json"


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    with console_on(tmp_path_factory.mktemp("desk"), failed_sign_ins=Rate(burst=10**6, per_s=1)) as served:
        yield served


def paths_of(console) -> list[tuple[str, str]]:
    """Give method and path of every route that the application has, its parameters filled in."""
    found = []
    for route, _ in roles_of(console.app.routes):
        method, _, path = route.partition(" ")
        found.append((method, path.replace("{", "").replace("}", "")))
    return found


def test_every_route_answers_the_unknown_with_the_same_401(console):
    asked = [*paths_of(console), *((method, path) for path in UNKNOWN for method in METHODS)]
    answers = {(method, path): console.ask(method, path) for method, path in asked}

    assert len(answers) > 60
    assert {key: one.status for key, one in answers.items() if one.status != 401} == {}
    bodies = {one.body for (method, _), one in answers.items() if method != "HEAD"}
    assert len(bodies) == 1
    assert json.loads(bodies.pop())["code"] == "unauthorized"
    heads = {tuple(sorted(set(one.headers) - {"date"})) for one in answers.values()}
    assert len(heads) == 1


@pytest.mark.parametrize("path", ["/", API, "/nowhere", SIGN_IN_PATH])
def test_who_is_unknown_is_answered_before_a_body_comes(console, path):
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as caller:
        caller.sendall(f"{head}Content-Length: 9000000000\r\nExpect: 100-continue\r\n\r\n".encode())
        said = caller.makefile("rb").read()  # up to the end: the server hangs up, and waits for nothing

    assert said.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in said


def test_no_byte_of_a_body_is_asked_for_without_a_token(console):
    read = []

    async def receive():
        read.append(1)
        return {"type": "http.request", "body": b"{}", "more_body": False}

    answers = asked_inside(console, receive, headers=[(b"host", f"127.0.0.1:{console.port}".encode())])

    assert [one["status"] for one in answers if one["type"] == "http.response.start"] == [401]
    assert read == []


def asked_inside(console, receive, *, headers, method="POST", path="/api/v1/control/halt"):
    """Ask the gate without a server between, so that what it asks for is seen."""
    import asyncio

    from console.web.app import gated

    answers = []

    async def send(message):
        answers.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": ("127.0.0.1", 1)}
    asyncio.run(gated(console.app)({**scope, "query_string": b""}, receive, send))
    return answers


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=st.one_of(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120),
        st.from_regex(r"ta_[0-9a-f]{8}_[0-9A-Za-z_-]{0,60}", fullmatch=True),
    ),
    scheme=st.sampled_from(["Bearer", "bearer", "Basic", "", "Bearer  "]),
)
def test_no_guessed_token_is_let_in(console, secret, scheme):
    reply = console.ask("GET", API, headers={"Authorization": f"{scheme} {secret}".strip()})

    assert reply.status == 401


def test_a_token_is_let_in_until_it_is_revoked_or_its_days_are_over(console):
    made = console.tokens.make(name="grafana", role=Role.VIEWER, now=console.clock.instant, days=1)
    short = console.tokens.make(name="short", role=Role.VIEWER, now=console.clock.instant, days=1)
    by = {one.token.name: {"Authorization": f"Bearer {one.secret}"} for one in (made, short)}

    assert console.ask("GET", API, headers=by["grafana"]).status == 200
    console.tokens.revoke(made.token.token_id)
    assert console.ask("GET", API, headers=by["grafana"]).status == 401
    assert console.ask("GET", API, headers=by["short"]).status == 200
    console.clock.move(86_400)
    assert console.ask("GET", API, headers=by["short"]).status == 401


def test_a_token_is_kept_as_its_digest_in_a_file_of_its_owner(console):
    made = console.tokens.make(name="grafana", role=Role.VIEWER, now=console.clock.instant)
    path = console.desk.settings.profile_dir / "console" / "tokens.json"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.secret not in path.read_text()
    assert made.secret.rpartition("_")[2] not in path.read_text()


def test_tokens_that_others_could_have_written_let_nobody_in(tmp_path):
    with console_on(tmp_path) as console:
        headers = {"Authorization": f"Bearer {console.token(Role.ADMIN)}"}
        (console.desk.settings.profile_dir / "console" / "tokens.json").chmod(0o644)

        assert console.ask("GET", API, headers=headers).status == 401
        with pytest.raises(BadSetting, match="others can read or change it"):
            console.tokens.all()


# ------------------------------------------------------------------------------------- one-time links


def test_a_link_signs_a_browser_in_once(console):
    code = console.links.issue(name="anna", role=Role.TRADER, now=console.clock.instant)
    first, again = (console.ask("GET", f"{SIGN_IN_PATH}?code={code}") for _ in range(2))
    cookie = {"Cookie": first.headers["set-cookie"].partition(";")[0]}

    assert (first.status, first.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(first.headers["set-cookie"].split("; "))
    assert again.status == 401
    assert "set-cookie" not in again.headers
    assert console.ask("GET", API, headers=cookie).status == 200


def test_a_link_that_is_over_is_told_to_a_person_as_a_page(console):
    browser = {"Accept": "text/html,application/xhtml+xml"}
    replies = [console.ask("GET", path, headers=browser) for path in (f"{SIGN_IN_PATH}?code=over", "/orders")]
    program = console.ask("GET", f"{SIGN_IN_PATH}?code=over", headers={"Accept": "application/json"})

    assert [reply.status for reply in (*replies, program)] == [401, 401, 401]
    assert {reply.headers["content-type"] for reply in replies} == {"text/html; charset=utf-8"}
    assert len({reply.body for reply in replies}) == 1
    assert b"<code>trading console</code> again" in replies[0].body
    assert program.json["code"] == "unauthorized"
    assert console.ask("GET", API, headers=browser).json["code"] == "unauthorized"


def test_links_whose_files_cannot_be_opened_sign_nobody_in(tmp_path):
    with console_on(tmp_path) as console:
        code = console.links.issue(name="anna", role=Role.TRADER, now=console.clock.instant)
        lock = console.desk.settings.profile_dir / "console" / "links.json.lock"
        lock.unlink()
        lock.mkdir()

        assert console.ask("GET", f"{SIGN_IN_PATH}?code={code}").status == 401
        with pytest.raises(BadSetting, match=r"links\.json: cannot be reached or changed"):
            console.links.issue(name="anna", role=Role.TRADER, now=console.clock.instant)


def test_tokens_whose_folder_is_none_let_nobody_in(tmp_path):
    with console_on(tmp_path) as console:
        headers = {"Authorization": f"Bearer {console.token(Role.ADMIN)}"}
        folder = console.desk.settings.profile_dir / "console"
        folder.rename(folder.with_name("elsewhere"))
        folder.touch()

        assert console.ask("GET", API, headers=headers).status == 401


def test_over_tls_the_cookie_ends_as_it_began(tmp_path):
    with console_on(tmp_path, origins=("https://desk.example",)) as console:
        code = console.links.issue(name="anna", role=Role.TRADER, now=console.clock.instant)
        ours = {"Host": "desk.example", "Origin": "https://desk.example"}
        began = console.ask("GET", f"{SIGN_IN_PATH}?code={code}", headers=ours).headers["set-cookie"]
        browser = {**ours, "Cookie": began.partition(";")[0]}
        csrf = {"X-CSRF-Token": console.csrf_of(browser)}
        ended = console.ask("POST", "/sign-out", headers={**browser, **csrf}).headers["set-cookie"]

        assert began.startswith("__Host-")
        assert set(began.split("; ")[1:]) | {"Max-Age=0"} == set(ended.split("; ")[1:])


@pytest.mark.parametrize(("after_s", "status"), [(60, 303), (61, 401)])
def test_a_link_is_good_for_a_minute(console, after_s, status):
    code = console.links.issue(name="anna", role=Role.TRADER, now=console.clock.instant)
    console.clock.move(after_s)

    assert console.ask("GET", f"{SIGN_IN_PATH}?code={code}").status == status


def test_a_link_under_another_host_signs_nobody_in(console):
    code = console.links.issue(name="anna", role=Role.TRADER, now=console.clock.instant)
    reply = console.ask("GET", f"{SIGN_IN_PATH}?code={code}", headers={"Host": "evil.example"})

    assert reply.status == 401


def test_a_browser_that_signs_out_or_is_idle_is_unknown(console):
    browser, other = console.signed_in(), console.signed_in()
    csrf = {"X-CSRF-Token": console.csrf_of(browser)}

    assert console.ask("POST", "/sign-out", headers={**browser, **csrf}).status == 204
    assert console.ask("GET", API, headers=browser).status == 401
    assert console.ask("GET", API, headers=other).status == 200
    console.clock.move(9 * 3600)
    assert console.ask("GET", API, headers=other).status == 401


# ------------------------------------------------------------------------------------- hosts, origins, pages


def test_a_name_that_is_not_ours_is_refused_to_who_is_known(console):
    reply = console.ask("GET", API, role=Role.VIEWER, headers={"Host": "evil.example"})

    assert (reply.status, reply.json["code"]) == (421, "host_not_allowed")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", ""])
def test_a_change_that_another_page_asks_for_is_refused(console, origin):
    browser = console.signed_in()
    headers = {**browser, "X-CSRF-Token": console.csrf_of(browser), "Origin": origin}
    reply = console.ask("POST", "/sign-out", headers=headers)

    assert (reply.status, reply.json["code"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize("given", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "guess"}])
def test_a_browsers_change_carries_the_token_of_its_page(console, given):
    browser = console.signed_in()
    reply = console.ask("POST", "/sign-out", headers={**browser, **given})

    assert reply.status == 403
    assert b"Csrf token wrong" in reply.body
    assert console.ask("GET", API, headers=browser).status == 200


def test_a_form_may_carry_it_as_a_field(console):
    browser = console.signed_in()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"csrf_token={console.csrf_of(browser)}".encode()

    assert console.ask("POST", "/sign-out", headers={**browser, **form}, body=body).status == 204


def test_every_answer_keeps_a_browser_safe(console):
    for reply in (console.ask("GET", "/"), console.ask("GET", API, role=Role.VIEWER)):
        policy = reply.headers["content-security-policy"]

        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers


# ------------------------------------------------------------------------------------- how much, how often


@pytest.mark.parametrize("claim", ["70000", "-1", "many"])
def test_a_body_that_is_too_long_is_refused_by_its_head(console, claim):
    head = f"POST /sign-out HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\nContent-Length: {claim}\r\n"
    token = console.token(Role.VIEWER)
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as caller:
        caller.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        said = caller.makefile("rb").readline()

    assert said.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("claim", ["\u00b2", "9" * 5000, "+5", ""])
def test_a_length_that_is_no_number_is_refused(console, claim):
    async def receive():
        raise AssertionError("no body is read")

    given = {"host": f"127.0.0.1:{console.port}", "content-length": claim}
    given["authorization"] = f"Bearer {console.token(Role.TRADER)}"
    headers = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    answers = asked_inside(console, receive, headers=headers)

    assert [one["status"] for one in answers if one["type"] == "http.response.start"] == [413]


def test_a_body_that_does_not_say_how_long_it_is_is_read_up_to_the_limit(console):
    browser = console.signed_in()
    headers = {**browser, "Transfer-Encoding": "chunked", "Content-Length": ""}
    del headers["Content-Length"]
    sent = f"POST /sign-out HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\n"
    sent += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sent += "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    with socket.create_connection(("127.0.0.1", console.port), timeout=10) as caller:
        caller.sendall(sent.encode() + (b"10000\r\n" + b"a" * 65_536 + b"\r\n") * 2)
        said = caller.makefile("rb").readline()

    assert said.startswith(b"HTTP/1.1 413 ")


def test_too_many_requests_are_told_how_long_to_wait_and_a_halt_never_is(tmp_path):
    with console_on(tmp_path, requests=Rate(burst=3, per_s=0.5)) as console:
        answers = [console.ask("GET", API, role=Role.VIEWER) for _ in range(4)]
        halts = [console.ask("POST", path, role=Role.VIEWER) for path in sorted(HALTS)]
        other = console.ask("POST", "/somewhere/halt", role=Role.VIEWER)

        assert [one.status for one in answers] == [200, 200, 200, 429]
        assert answers[3].headers["retry-after"] == "3"
        assert console.ask("GET", API, role=Role.TRADER).status == 200
        assert [one.status for one in halts] == [403, 403]
        assert {f"POST {path}" for path in HALTS} <= set(console.app.state.roles)
        assert other.status == 429
        console.clock.move(2)
        assert console.ask("GET", API, role=Role.VIEWER).status == 200


def test_who_guesses_shuts_nobody_out_who_has_a_token_or_a_link(tmp_path):
    with console_on(tmp_path, failed_sign_ins=Rate(burst=2, per_s=0.1)) as console:
        browser = console.signed_in()
        assert console.ask("GET", API, role=Role.VIEWER).status == 200
        for _ in range(3):
            console.ask("GET", API, headers={"Authorization": "Bearer ta_00000000_guess"})
            guessed = console.ask("GET", f"{SIGN_IN_PATH}?code=guess")

        halt = {"path": "/api/v1/control/halt", "body": {"reason": "stop"}}
        assert guessed.status == 401
        assert console.ask("POST", **halt, role=Role.ADMIN).status == 200
        assert console.ask("GET", API, role=Role.VIEWER).status == 200
        assert console.ask("GET", API, headers=browser).status == 200
        assert console.ask("GET", API, headers=console.signed_in()).status == 200


def test_a_guessed_link_of_who_guesses_too_often_holds_no_file(tmp_path):
    with console_on(tmp_path, failed_sign_ins=Rate(burst=2, per_s=0.1)) as console:
        lock = console.desk.settings.profile_dir / "console" / "links.json.lock"
        for _ in range(2):
            console.ask("GET", f"{SIGN_IN_PATH}?code=guess")
        lock.unlink()
        held_back = console.ask("GET", f"{SIGN_IN_PATH}?code=guess")
        was_opened = lock.exists()
        console.clock.move(10)
        console.ask("GET", f"{SIGN_IN_PATH}?code=guess")

        assert held_back.status == 401
        assert not was_opened
        assert lock.exists()


# ------------------------------------------------------------------------------------- roles


def test_an_application_whose_route_says_no_role_does_not_start(console):
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.get("/open")(lambda: "")
    with pytest.raises(TypeError, match="route /open: declares no role"):
        dict(roles_of(app.routes))

    closed = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    closed.get("/closed", dependencies=[needs(Role.TRADER)])(lambda: "")
    assert dict(roles_of(closed.routes)) == {"GET /closed": Role.TRADER}


def test_every_route_of_the_console_declares_its_role(console):
    assert dict(roles_of(console.app.routes)) == console.app.state.roles
    assert console.app.state.roles[f"GET {API}"] is Role.VIEWER
