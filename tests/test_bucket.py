"""Object storage, asked for real: what is read is what was written, and refusals are sentences."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_core import address, config, published, stopping
from fer_core.bucket import Bucket
from fer_core.errors import ConfigError, EnvironmentProblem, InputError, TransientError
from tests import s3

__all__ = ["elsewhere", "server", "storage"]

elsewhere, server, storage = s3.elsewhere, s3.server, s3.bucket


def test_what_is_written_is_listed_and_read(storage: str, tmp_path: Path) -> None:
    below = Bucket(f"{storage}/a b/c%20=")
    etag = below.write("x/ü.txt", b"one")
    Bucket(storage).write("a b/c%20=x/other", b"")
    assert below.listed()["x/ü.txt"].etag == etag
    assert [*below.listed()] == ["x/ü.txt"]
    assert below.listed_here() == {}
    assert [*Bucket(f"{below.url}/x").listed_here()] == ["ü.txt"]
    assert below.read("x/ü.txt") == (b"one", etag)
    assert below.read("nothing") is None
    assert dict(below.read_all(["x/ü.txt"])) == {"x/ü.txt": b"one"}
    below.fetch("x/ü.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"one"
    below.remove(["x/ü.txt", "nothing"])
    assert below.listed() == {}


def test_what_went_is_told(storage: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is there no more"):
        Bucket(storage).fetch("gone.mp4", tmp_path / "copy")
    with pytest.raises(TransientError, match="changed while it was read"):
        [*Bucket(storage).read_all(["gone"])]


@pytest.mark.parametrize("only", [True, False])
def test_a_name_is_no_pattern(storage: str, tmp_path: Path, *, only: bool) -> None:
    """A sidecar that is not read is an opt-out that is not heeded."""
    mine = Bucket(storage)
    names = ["Lesson [A].toml", *([] if only else ["Lesson A.toml", "C*.toml", "What is it?.toml"])]
    for name in names:
        mine.write(f"x/{name}", name.encode())
    assert dict(mine.read_all(f"x/{name}" for name in names)) == {
        f"x/{name}": name.encode() for name in names
    }
    mine.fetch("x/Lesson [A].toml", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"Lesson [A].toml"
    mine.remove(["x/Lesson [A].toml"])
    assert f"x/{names[0]}" not in mine.listed()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("AccessDenied", EnvironmentProblem),
        ("InternalError", TransientError),
        ("NoSuchKey", None),
    ],
)
def test_a_removal_that_the_server_refuses_is_no_removal(
    storage: str, monkeypatch: pytest.MonkeyPatch, code: str, told: type[Exception] | None
) -> None:
    """It answers 200 all the same, and says it of each object."""
    mine = Bucket(storage, retries=1)
    asked: list[str] = []

    def refusing(method: str, **_: object) -> object:
        asked.append(method)
        return {"Errors": [{"Key": "x", "Code": code, "Message": "No."}]}

    with monkeypatch.context() as patched:
        patched.setattr(mine._fs, "call_s3", refusing)
        if told is None:
            mine.remove(["x"])
        else:
            with pytest.raises(told, match=code):
                mine.remove(["x"])
    assert len(asked) == (2 if told is TransientError else 1)


def test_of_two_who_swap_one_wins(storage: str) -> None:
    one = Bucket(storage)
    first = one.swap("lease", b"a", None)
    assert first
    assert one.swap("lease", b"b", None) is None
    second = one.swap("lease", b"c", first)
    assert second
    assert one.swap("lease", b"d", first) is None
    assert one.swap("nothing", b"d", first) is None
    # The same words again, as after an answer that was lost, are ours.
    assert one.swap("lease", b"c", first) == second
    assert one.read("lease") == (b"c", second)


def test_a_storm_of_swaps_loses_nothing(storage: str) -> None:
    won: list[int] = []

    def count(number: int) -> None:
        mine = Bucket(storage)
        while True:
            held = mine.read("n")
            text = (held[0] if held else b"") + bytes([number])
            if mine.swap("n", text, held[1] if held else None):
                won.append(number)
                return

    threads = [threading.Thread(target=count, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = Bucket(storage).read("n")
    assert held
    assert sorted(held[0]) == sorted(won) == [*range(6)]


def test_a_bucket_that_is_none(storage: str) -> None:
    with pytest.raises(ConfigError, match="There is no bucket 'no-such-bucket'"):
        Bucket("s3://no-such-bucket/x").listed()
    with pytest.raises(ConfigError, match="There is no bucket"):
        Bucket("s3://no-such-bucket/x").write("y", b"")


def nobody() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_down_is_asked_again_and_told(
    storage: str, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{nobody()}")
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    monkeypatch.setattr(stopping.requested, "wait", wait)
    with pytest.raises(TransientError, match="does not answer as it should") as raised:
        Bucket(storage, retries=2, delay_s=3).listed()
    assert waits == [3, 6]
    assert "AWS_ENDPOINT_URL_S3" in raised.value.hint


def test_a_fault_that_passes_costs_nothing(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Bucket(storage, retries=1)
    put, faults = mine._fs.call_s3, [ConnectionResetError("cut"), None]

    def once(*arguments: object, **named: object) -> object:
        if fault := faults.pop(0):
            raise fault
        return put(*arguments, **named)

    monkeypatch.setattr(mine._fs, "call_s3", once)
    mine.write("x", b"1")
    assert not faults
    monkeypatch.undo()


def test_wrong_credentials_are_told_and_never_shown(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3.serving(INITIAL_NO_AUTH_ACTION_COUNT="0") as strict:
        for name, value in strict.environment.items():
            monkeypatch.setenv(name, value)
            ask: tuple[Callable[[Bucket], object], ...] = (
                lambda mine: mine.listed(),
                lambda mine: mine.write("x", b""),
                lambda mine: mine.swap("x", b"", None),
            )
        for one in ask:
            with pytest.raises(EnvironmentProblem, match="refuses access") as raised:
                one(Bucket("s3://some-bucket"))
            assert "AWS_ACCESS_KEY_ID" in raised.value.hint
            assert s3.SECRET not in repr(raised.value.__dict__) + str(raised.value.__cause__)


def test_no_credentials_at_all(
    storage: str, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(EnvironmentProblem, match="No credentials were found"):
        Bucket(storage).write("x", b"")


def test_without_s3fs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(EnvironmentProblem) as raised:
        Bucket("s3://some-bucket")
    assert "lecturepulse[s3]" in raised.value.hint


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://A/x", "s3://a b/x", "s3://-ab/x"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        address.bucket_and_key(url)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        address.bucket_and_key(f"s3://key:{s3.SECRET}@some-bucket/x")
    assert s3.SECRET not in raised.value.message + raised.value.hint


def test_addresses_and_their_copies(tmp_path: Path) -> None:
    copy = tmp_path / "inbox" / "bk1" / "a" / "b.mp4"
    assert address.address_of(copy, tmp_path) == "s3://bk1/a/b.mp4"
    assert address.path_of("s3://bk1/a/b.mp4", tmp_path) == copy
    there = Path("/srv/a.mp4")
    assert address.address_of(there, tmp_path) == "/srv/a.mp4"
    assert address.path_of("/srv/a.mp4", tmp_path) == there


def test_the_address_alone_names_the_working_copy(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, again = (config.load(None, {"out": f"{storage}/out"}).settings for _ in range(2))
    other = config.load(None, {"out": f"{storage}/other"}).settings
    assert first.publish_to == f"{storage}/out"
    assert first.out == again.out != other.out
    assert first.out.parent == tmp_path / "lecturepulse"


def test_a_run_that_is_to_end_does_not_wait(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping.requested, "wait", lambda _: True)
    mine = Bucket(storage, retries=5, delay_s=1000)

    def cut(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(mine._fs, "find", cut)
    with pytest.raises(TransientError):
        mine.listed()
    with pytest.raises(EnvironmentProblem), published._answering():
        mine.listed()
