"""Logging in leads to the page that was wanted, and to no other site; on the app itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from fer_core.settings import Settings
from tests import pages
from tests.sites import client_of

TOKEN = "correct-horse-battery-staple"
LINK = "/library?search=bio%20101&status=done"


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    return client_of(Settings(out=tmp_path / "out", web={"token_file": str(token)}))


def test_whoever_logs_in_comes_to_the_page_that_they_wanted(client: FlaskClient):
    sent_to = client.get(LINK).headers["Location"]
    form = client.get(sent_to)
    hidden = [e for e in pages.parse(form.text).iter("input") if e.get("name") == "next"]
    assert [e.get("value") for e in hidden] == [LINK]
    wrong = client.post("/login", data={"token": "x", "next": LINK})
    assert wrong.status_code == 401 and LINK.replace("&", "&amp;") in wrong.text

    entered = client.post("/login", data={"token": TOKEN, "next": LINK})

    assert entered.headers["Location"] == LINK
    assert client.get(sent_to).headers["Location"] == LINK
    assert client.get(LINK).status_code == 200


def test_only_a_page_is_come_back_to(client: FlaskClient):
    assert client.get("/").headers["Location"] == "/login"
    assert client.post("/ask", data={"sql": "select 1"}).headers["Location"] == "/login"
    assert client.post("/login", data={"token": TOKEN}).headers["Location"] == "/"


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\r\n/evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "evil.example",
        "\x00//evil.example",
        " //evil.example",
        f"/{'x' * 3000}",
        "",
    ],
)
def test_nobody_is_led_to_another_site(client: FlaskClient, address: str):
    form = client.get("/login", query_string={"next": address})
    assert 'name="next" value="/"' in form.text

    entered = client.post("/login", data={"token": TOKEN, "next": address})

    assert entered.headers["Location"] == "/"
    known = client.get("/login", query_string={"next": address})
    assert known.headers["Location"] == "/"


def test_another_name_of_this_server_is_not_answered_with_a_token_either(client: FlaskClient):
    assert client.get("/library", headers={"Host": "evil.example"}).status_code == 400
