"""The web interface as a real server: it starts, guards itself, and ends without a trace."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import pages
from tests.sites import Site, serving

TOKEN = "correct-horse-battery-staple"
STRICT = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("web")) as running:
        yield running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("locked")
    (home / "token").write_text(f"{TOKEN}\n")
    (home / "token").chmod(0o600)
    with serving(home, "--token-file", "token") as running:
        yield running


def test_a_page_comes_with_a_strict_policy_and_loads_only_what_the_server_has(site: Site):
    answer = site.client.get("/")

    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert all(part in policy for part in STRICT)
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Server" not in answer.headers
    loaded = re.findall(r'(?:src|href)="(/assets/[^"]+)"', answer.text)
    assert len(loaded) == 3
    for address in loaded:
        assert site.client.get(address).status_code == 200
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
    pages.parse(answer.text)


@pytest.mark.parametrize("path", ["/nothing", "/assets/page.js", "/assets/../en.toml"])
def test_what_is_not_there_is_a_problem(site: Site, path: str):
    page = site.client.get(path)
    assert page.status_code == 404
    assert page.headers["Content-Type"].startswith("text/html")

    answer = site.client.get(f"/api/v1{path}")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems#not-found"
    assert answer.json()["status"] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "a b"])
def test_another_name_of_this_server_is_not_answered(site: Site, host: str):
    assert site.client.get("/", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 302),
        ({}, 302),
    ],
)
def test_only_pages_of_this_site_may_change_things(
    site: Site, headers: dict[str, str], expected: int
):
    assert site.client.post("/logout", headers=headers).status_code == expected


def test_a_token_is_asked_for(locked: Site):
    assert locked.client.get("/").headers["Location"] == "/login"
    refused = locked.client.get("/api/v1/anything")
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems#login")
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert locked.client.get("/api/v1/anything", headers=known).status_code == 404
    assert locked.client.get("/", headers=known).status_code == 200
    wrong = {"Authorization": f"Bearer {TOKEN}x"}
    assert locked.client.get("/", headers=wrong).status_code == 302


def test_whoever_logs_in_stays_until_they_log_out(locked: Site):
    with httpx.Client(base_url=locked.address, trust_env=False) as browser:
        assert browser.post("/login", data={"token": "something else"}).status_code == 401

        entered = browser.post("/login", data={"token": TOKEN})

        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
        assert TOKEN not in cookie
        assert browser.get("/").status_code == 200
        browser.post("/logout")
        assert browser.get("/").status_code == 302


def announced(site: Site, path: str, *headers: str) -> str:
    """Return the first line that a server says to 400 MB that are yet to come."""
    port = int(site.address.rpartition(":")[2])
    head = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Length: 400000000", *headers)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (*head, "")).encode())
        return connection.recv(100).decode().partition("\r\n")[0]


EXPECT = "Expect: 100-continue"


@pytest.mark.parametrize("path", ["/login", "/ask", "/api/v1/image", "/api/v1/videos/x", "/"])
def test_only_a_video_may_be_as_large_as_one(site: Site, path: str):
    assert " 413 " in announced(site, path)
    assert " 100 " in announced(site, "/try/video", EXPECT)


@pytest.mark.parametrize(
    "header", ["X: y", "Cookie: lecturepulse=x", "Authorization: Bearer x", f"Cookie: {TOKEN}"]
)
def test_of_a_stranger_nothing_large_is_taken(locked: Site, header: str):
    for path in ("/api/v1/videos", "/try/video"):
        assert " 413 " in announced(locked, path, header)


def test_whoever_holds_the_token_may_send_a_large_video(locked: Site):
    known = f"Authorization: Bearer {TOKEN}"
    assert " 100 " in announced(locked, "/api/v1/videos", known, EXPECT)
    assert " 413 " in announced(locked, "/api/v1/image", known)

    with httpx.Client(base_url=locked.address, trust_env=False) as browser:
        browser.post("/login", data={"token": TOKEN})
        cookie = f"Cookie: lecturepulse={browser.cookies['lecturepulse']}"

    assert " 100 " in announced(locked, "/try/video", cookie, EXPECT)


def test_guessing_tokens_is_slowed_down(locked: Site):
    with httpx.Client(base_url=locked.address, trust_env=False) as browser:
        answers = [browser.post("/login", data={"token": "guess"}) for _ in range(12)]

    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_it_ends_in_good_order_and_leaves_nothing(tmp_path: Path):
    with serving(tmp_path) as running:
        scratch = running.out / "web"
        assert scratch.is_dir() and scratch.stat().st_mode & 0o777 == 0o700

        said = running.stop()

        assert running.process.returncode == 0
        assert said == "Ended. Uploads that were not kept are deleted.\n"
        assert not scratch.exists()


def test_two_do_not_look_after_one_dataset(site: Site, command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(site.out.parent)

    code, said = command("web", "--port", "0")

    assert code == 3
    assert "Another lecturepulse web looks after" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_it_does_not_listen_beyond_this_machine_without_a_token(command, host: str):
    code, said = command("web", "--host", host, "--port", "0")

    assert code == 2
    assert "there is no token" in said
    assert "--token-file" in said


@pytest.mark.parametrize(
    ("host", "hosts"),
    [("::1", "[]"), ("[::1]", "[]"), ("127.0.0.1", '["[2001:db8::1]"]')],
)
def test_a_name_that_no_request_could_have_is_refused(
    command, monkeypatch: pytest.MonkeyPatch, host: str, hosts: str
):
    monkeypatch.setenv("LECTUREPULSE_WEB__HOSTS", hosts)

    code, said = command("web", "--host", host, "--port", "0")

    assert code == 2
    assert "IPv6" in said and "127.0.0.1" in said


@pytest.mark.parametrize(
    ("mode", "text", "why"),
    [
        (0o644, TOKEN, "Others can read"),
        (0o600, "short", "needs 20 characters"),
        (0o600, None, "cannot be read"),
    ],
)
def test_a_token_that_is_none_is_refused(command, tmp_path: Path, mode: int, text, why: str):
    if text is not None:
        (tmp_path / "token").write_text(text)
        (tmp_path / "token").chmod(mode)

    code, said = command("web", "--token-file", "token", "--port", "0")

    assert code == 2
    assert why in said


def test_a_port_in_use_is_told(site: Site, command):
    code, said = command("web", "--port", site.address.rpartition(":")[2])

    assert code == 3
    assert "Cannot listen on" in said
