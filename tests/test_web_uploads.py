"""What strangers sent and how it is handed out again; mostly on the app itself."""

from __future__ import annotations

import io
import socket
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.datastructures import FileStorage

from fer_core.settings import Settings
from fer_core.web.problems import Problem
from fer_core.web.uploads import file_name_of, open_picture
from tests.hostile import bomb_jpeg
from tests.sites import client_of, serving

KEPT = "0123456789abcdef"


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return client_of(Settings(out=tmp_path))


def keep(out: Path, name: str, data: bytes = b"GIF89a") -> str:
    folder = out / "uploads" / KEPT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return f"/library/uploads/{KEPT}/{name}"


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("lesson.MP4", "lesson.mp4"),
        ("a.b.gif", "a.b.gif"),
        ("x.js", "x.mp4"),
        ("x.html", "x.mp4"),
        ("x.svg", "x.mp4"),
        ("x.toml", "x.mp4"),
        ("x.mp4.html", "x.mp4.mp4"),
        ("C:\\videos\\x<y>.mkv", "x_y_.mkv"),
        ("mp4", "mp4.mp4"),
        ("", "video.mp4"),
    ],
)
def test_an_upload_is_called_as_recordings_are(sent: str, written: str):
    file = FileStorage(io.BytesIO(), filename=sent)
    assert file_name_of(file, Settings().discovery.extensions) == written


def test_an_ending_that_was_added_is_kept():
    file = FileStorage(io.BytesIO(), filename="lesson.ogv")
    assert file_name_of(file, ("mp4", ".OGV")) == "lesson.ogv"


@pytest.mark.parametrize("ending", Settings().discovery.extensions)
def test_a_kept_video_is_sent_as_one_and_runs_nothing(
    client: FlaskClient, tmp_path: Path, ending: str
):
    answer = client.get(keep(tmp_path, f"lesson.{ending}"), buffered=True)

    assert answer.status_code == 200
    kind = answer.headers["Content-Type"]
    assert kind == "image/gif" if ending == "gif" else kind.startswith("video/")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"sandbox allow-same-origin", "default-src 'none'"} <= set(policy)
    assert not any(part.startswith(("script-src", "object-src")) for part in policy)


@pytest.mark.parametrize("name", ["x.js", "x.html", "x.svg", "x.toml", "x.HTML", "x", "x.mp4.js"])
def test_nothing_else_is_sent_from_where_videos_are_kept(
    client: FlaskClient, tmp_path: Path, name: str
):
    assert client.get(keep(tmp_path, name)).status_code == 404


@pytest.mark.parametrize("name", ["%00.mp4", f"{'a' * 300}.mp4", "none.mp4", "..%2f..%2fa.mp4"])
def test_a_video_that_cannot_be_there_is_not(client: FlaskClient, tmp_path: Path, name: str):
    (tmp_path / "a.mp4").write_bytes(b"x")
    keep(tmp_path, "lesson.mp4")
    assert client.get(f"/library/uploads/{KEPT}/{name}", buffered=True).status_code == 404


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("0-", (0, 4_000_000)),
        ("0-99", (0, 100)),
        ("6000000-", (6_000_000, 4_000_000)),
        ("9999000-", (9_999_000, 1_000)),
        ("-5000000", (5_000_000, 4_000_000)),
        ("10-9999999", (10, 4_000_000)),
    ],
)
def test_a_video_is_sent_in_pieces_to_whoever_asks_for_pieces(
    client: FlaskClient, tmp_path: Path, asked: str, given: tuple[int, int]
):
    data = bytes(range(250)) * 40_000
    address = keep(tmp_path, "lesson.mp4", data)

    answer = client.get(address, headers={"Range": f"bytes={asked}"}, buffered=True)

    begin, length = given
    assert answer.status_code == 206
    assert answer.data == data[begin : begin + length]
    assert answer.headers["Content-Range"] == f"bytes {begin}-{begin + length - 1}/10000000"
    assert answer.headers["Content-Length"] == str(length)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=x", "bytes=0-1,5-9", "pages=1-2"])
def test_a_piece_that_is_none_is_refused(client: FlaskClient, tmp_path: Path, asked: str):
    address = keep(tmp_path, "lesson.mp4", b"x" * 1000)
    assert client.get(address, headers={"Range": asked}, buffered=True).status_code == 416


def test_players_that_pause_hold_nobody_up(tmp_path: Path):
    with serving(tmp_path, WEB__THREADS="4") as site, ExitStack() as stack:
        # When it starts it deletes what is in no table.
        address = keep(site.out, "lesson.mp4", b"\0" * 30_000_000)
        port = int(site.address.rpartition(":")[2])
        ask = f"GET {address} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-\r\n\r\n"
        for _ in range(4):
            player = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            player.sendall(ask.encode())
            assert b" 206 " in player.recv(100)

        assert site.client.get("/assets/page.css", timeout=10).status_code == 200


def test_a_picture_of_endless_passes_is_refused_before_the_first():
    assert open_picture(bomb_jpeg(50), 10_000).shape == (64, 64, 3)

    with pytest.raises(Problem) as refused:
        open_picture(bomb_jpeg(51), 10_000)

    assert refused.value.kind == "too-large"
    assert "passes" in refused.value.detail


def png(picture: Image.Image, **kept: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **kept)
    return file.getvalue()


def erased(mode: str) -> Image.Image:
    """Return a red picture, grey in grey modes, of which the left half was made transparent."""
    picture = Image.new("RGBA", (4, 2), (200, 0, 0, 255))
    picture.paste((200, 0, 0, 0), (0, 0, 2, 2))
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_was_erased_from_a_picture_is_not_seen(mode: str):
    seen = open_picture(png(erased(mode)), 100)

    assert (seen[:, :2] == 255).all()
    assert not (seen[:, 2:] == 255).any()


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_colour_that_stands_for_nothing_is_white(mode: str):
    picture = Image.new(mode, (4, 2), 0)
    picture.paste(1 if mode != "RGB" else (1, 1, 1), (2, 0, 4, 2))
    if mode == "P":
        picture.putpalette([0, 0, 0, 1, 1, 1])

    seen = open_picture(png(picture, transparency=(0, 0, 0) if mode == "RGB" else 0), 100)

    assert (seen[:, :2] == 255).all()
    assert (seen[:, 2:] == 1).all()


def test_grey_of_16_bits_is_the_same_grey_of_8():
    levels = np.array([[0, 255, 256, 128 * 256, 65535]], np.uint16)

    seen = open_picture(png(Image.fromarray(levels)), 100)

    assert seen[0, :, 0].tolist() == [0, 0, 1, 128, 255]
